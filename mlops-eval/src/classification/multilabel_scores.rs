//! Scores for several labels that a row can have at once: one question per label.

use mlops_core::num::sum::Sum;
use mlops_core::num::{Measured, StatsError, UndefinedReason};
use serde::{Deserialize, Serialize};

use super::auc::roc_auc_from_state;
use super::matrix::Average;
use super::pr::average_precision_from_state;
use super::scores::{ScoreOptions, ScoreState};
use super::zero_division::ZeroDivision;
use crate::input::weight_total;

/// One [`ScoreState`] per label: all that areas and average precisions of labels need. Merges and serialises.
///
/// ```
/// use mlops_eval::classification::{Average, MultilabelScoreState, multilabel_roc_auc};
///
/// let y_true = [true, false, /* row 1 */ false, true, /* row 2 */ true, true];
/// let scores = [0.9, 0.2, 0.3, 0.8, 0.6, 0.1];
/// let state = MultilabelScoreState::of(&y_true, &scores, 2)?;
/// assert_eq!(multilabel_roc_auc(&state, Average::Macro)?.value(), Some(0.75));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub struct MultilabelScoreState {
    labels: Vec<ScoreState>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    labels: Vec<ScoreState>,
}

impl MultilabelScoreState {
    /// The state of rows that count alike. Truth and scores are row by row, `labels` columns each.
    ///
    /// # Errors
    /// [`StatsError::LengthMismatch`], [`StatsError::Empty`], [`StatsError::Parameter`] when there are no labels or the rows are
    /// not whole; [`StatsError::Nan`] and [`StatsError::NotFinite`] with the position in `scores`.
    pub fn of(y_true: &[bool], scores: &[f64], labels: usize) -> Result<Self, StatsError> {
        Self::of_with(y_true, scores, labels, None, &ScoreOptions::default())
    }

    /// The state of rows with or without weights, with options.
    ///
    /// ```
    /// use mlops_eval::classification::{MultilabelScoreState, ScoreOptions};
    /// let (weights, options) = ([0.5, 2.0], ScoreOptions::default());
    /// let state = MultilabelScoreState::of_with(&[true, false], &[0.9, 0.2], 1, Some(&weights), &options)?;
    /// assert_eq!(state.labels()[0].negatives(), 2.0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`of`](Self::of), and what [`weights::total`](mlops_core::num::weights::total) refuses.
    pub fn of_with(
        y_true: &[bool],
        scores: &[f64],
        labels: usize,
        weights: Option<&[f64]>,
        options: &ScoreOptions,
    ) -> Result<Self, StatsError> {
        super::scores::check(y_true, scores, None, options.threads)?;
        if labels == 0 || !scores.len().is_multiple_of(labels) {
            let reason = "does not divide the number of scores";
            return Err(StatsError::Parameter { parameter: "labels", value: labels as f64, reason });
        }
        let column = |label: usize| {
            let truth: Vec<bool> = y_true.iter().skip(label).step_by(labels).copied().collect();
            let column: Vec<f64> = scores.iter().skip(label).step_by(labels).copied().collect();
            weight_total(weights, crate::input::named("rows of y_true", &truth))?;
            ScoreState::of_with(&truth, &column, weights, options)
        };
        Ok(Self { labels: (0..labels).map(column).collect::<Result<_, _>>()? })
    }

    /// Adds the rows of another part of the data.
    ///
    /// # Errors
    /// [`StatsError::Incompatible`] for another number of labels, [`StatsError::Overflow`]; `self` is unchanged then.
    pub fn merge(&mut self, other: &Self) -> Result<(), StatsError> {
        if self.labels.len() != other.labels.len() {
            return Err(StatsError::Incompatible { what: "the number of labels" });
        }
        let mut merged = self.labels.clone();
        for (ours, theirs) in merged.iter_mut().zip(&other.labels) {
            ours.merge(theirs)?;
        }
        self.labels = merged;
        Ok(())
    }

    /// The state of each label.
    pub fn labels(&self) -> &[ScoreState] {
        &self.labels
    }
}

impl TryFrom<Stored> for MultilabelScoreState {
    type Error = StatsError;

    fn try_from(Stored { labels }: Stored) -> Result<Self, StatsError> {
        let rows = labels.first().map_or(0, ScoreState::rows);
        if labels.is_empty() || labels.iter().any(|label| label.rows() != rows) {
            return Err(StatsError::Incompatible { what: "the number of rows of the labels" });
        }
        Ok(Self { labels })
    }
}

impl From<MultilabelScoreState> for Stored {
    fn from(state: MultilabelScoreState) -> Self {
        Self { labels: state.labels }
    }
}

/// The area under the ROC curve over labels: the mean of the labels (macro), the mean weighted by their positives (weighted), or
/// the area of all scores of all labels in one ranking (micro).
///
/// Undefined when a label that counts has one class only; the numerator then says how many labels are defined and the denominator
/// how many count. Agrees with scikit-learn 1.9.1 to 1e-12.
///
/// # Errors
/// [`StatsError::ZeroTotal`], [`StatsError::Overflow`].
pub fn multilabel_roc_auc(state: &MultilabelScoreState, average: Average) -> Result<Measured, StatsError> {
    averaged(&state.labels, average, roc_auc_from_state)
}

/// [`average_precision`](super::average_precision) over labels, averaged as [`multilabel_roc_auc`] says.
///
/// A label without positives is undefined; `zero_division` says what it counts as. Agrees with scikit-learn 1.9.1 to 1e-12 with
/// [`ZeroDivision::Zero`].
///
/// ```
/// use mlops_eval::classification::{Average, MultilabelScoreState, ZeroDivision, multilabel_average_precision};
///
/// let state = MultilabelScoreState::of(&[true, false, false, false], &[0.9, 0.2, 0.3, 0.8], 2)?;
/// let with = |zero| multilabel_average_precision(&state, Average::Macro, zero);
/// assert_eq!(with(ZeroDivision::Zero)?.value(), Some(0.5));
/// assert_eq!(with(ZeroDivision::Undefined)?.value(), None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Those of [`multilabel_roc_auc`].
pub fn multilabel_average_precision(
    state: &MultilabelScoreState,
    average: Average,
    zero_division: ZeroDivision,
) -> Result<Measured, StatsError> {
    averaged(&state.labels, average, |label| Ok(zero_division.apply(average_precision_from_state(label)?)))
}

/// A metric of each of several questions, averaged.
pub(crate) fn averaged(
    states: &[ScoreState],
    average: Average,
    metric: impl Fn(&ScoreState) -> Result<Measured, StatsError>,
) -> Result<Measured, StatsError> {
    if average == Average::Micro {
        let mut pooled = ScoreState::default();
        for state in states {
            pooled.merge(state)?;
        }
        return metric(&pooled);
    }
    let weighted = average == Average::Weighted;
    let weights = states.iter().map(|state| if weighted { state.positives() } else { 1.0 });
    let values = states.iter().map(metric).collect::<Result<Vec<_>, _>>()?;
    mean(values.into_iter().zip(weights))
}

/// The weighted mean of values, all of which must be defined unless their weight is 0.
pub(crate) fn mean(values: impl Iterator<Item = (Measured, f64)>) -> Result<Measured, StatsError> {
    let counting: Vec<(Measured, f64)> = values.filter(|(_, weight)| *weight > 0.0).collect();
    let defined: Vec<(f64, f64)> =
        counting.iter().filter_map(|(value, weight)| Some((value.value()?, *weight))).collect();
    if counting.is_empty() || defined.len() < counting.len() {
        let reason =
            if defined.is_empty() { UndefinedReason::NothingDefined } else { UndefinedReason::SingleClass };
        return Ok(Measured::none(reason, defined.len(), counting.len()));
    }
    let total = defined.iter().map(|(_, weight)| *weight).collect::<Sum>().value();
    let mean = defined.iter().map(|(value, weight)| value * (weight / total)).collect::<Sum>().value();
    Ok(Measured::Value(crate::input::in_range("the average", mean)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_merges_and_is_read_back_checked() {
        let y_true = [true, false, false, true, true, true, false, false];
        let scores = [0.9, 0.2, 0.3, 0.8, 0.6, 0.1, 0.6, 0.4];
        let whole = MultilabelScoreState::of(&y_true, &scores, 2).unwrap();
        let mut merged = MultilabelScoreState::of(&y_true[..4], &scores[..4], 2).unwrap();
        merged.merge(&MultilabelScoreState::of(&y_true[4..], &scores[4..], 2).unwrap()).unwrap();
        assert_eq!(merged, whole);
        let text = serde_json::to_string(&whole).unwrap();
        assert_eq!(serde_json::from_str::<MultilabelScoreState>(&text).unwrap(), whole);
        assert!(serde_json::from_str::<MultilabelScoreState>(r#"{"labels":[]}"#).is_err());
        assert!(merged.merge(&MultilabelScoreState::of(&y_true, &scores, 4).unwrap()).is_err());
    }

    #[test]
    fn bad_shapes_are_refused() {
        for labels in [0, 3] {
            assert!(MultilabelScoreState::of(&[true; 4], &[0.5; 4], labels).is_err());
        }
        assert!(MultilabelScoreState::of(&[], &[], 1).is_err());
        let weights = [1.0; 4];
        let options = ScoreOptions::default();
        assert!(MultilabelScoreState::of_with(&[true; 4], &[0.5; 4], 2, Some(&weights), &options).is_err());
    }
}
