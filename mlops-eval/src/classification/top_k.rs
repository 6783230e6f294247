//! Top-k accuracy: is the true class among the k with the highest scores?

use mlops_core::num::sum::Sum;
use mlops_core::num::{Measured, StatsError};
use serde::{Deserialize, Serialize};

use super::matrix::unknown_code;
use crate::input::{check_weight, named, not_empty, not_finite, weight, weight_total};

/// What classes with the score of the true class do to it.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TopKTies {
    /// The share of the orders of the tied classes in which the true class is among the first k. The default: it depends on
    /// no order of classes.
    #[default]
    Averaged,
    /// The class with the higher code comes first, as in scikit-learn 1.9.1.
    HigherCodeFirst,
    /// The true class comes last: equal scores are no hit.
    TrueClassLast,
}

/// How many classes are looked at, and what ties do.
///
/// ```
/// use mlops_eval::classification::{TopKOptions, TopKTies};
/// let options = TopKOptions::new(3).with_ties(TopKTies::HigherCodeFirst);
/// assert_eq!(options.k, 3);
/// ```
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TopKOptions {
    /// How many classes; with as many as there are, every row is a hit.
    pub k: usize,
    /// What ties do.
    #[serde(default)]
    pub ties: TopKTies,
}

impl TopKOptions {
    /// The k highest scores, ties averaged.
    pub const fn new(k: usize) -> Self {
        Self { k, ties: TopKTies::Averaged }
    }

    /// Chooses what ties do.
    #[must_use]
    pub const fn with_ties(mut self, ties: TopKTies) -> Self {
        self.ties = ties;
        self
    }

    /// How much of a hit a row is, in [0, 1].
    pub(crate) fn hit(&self, class: usize, scores: &[f64]) -> f64 {
        let score = scores[class];
        let above = scores.iter().filter(|other| **other > score).count();
        let tied = scores.iter().filter(|other| **other == score).count();
        let whole = |before: usize| f64::from(u8::from(before < self.k));
        match self.ties {
            TopKTies::Averaged => (self.k.saturating_sub(above) as f64 / tied as f64).min(1.0),
            TopKTies::HigherCodeFirst => {
                whole(above + scores[class + 1..].iter().filter(|other| **other == score).count())
            }
            TopKTies::TrueClassLast => whole(above + tied - 1),
        }
    }
}

/// The mergeable state of top-k accuracy: the weight of hits and of all rows.
///
/// ```
/// use mlops_eval::classification::{TopKOptions, TopKState};
///
/// let mut state = TopKState::new(3, TopKOptions::new(2))?;
/// state.push(0, &[0.2, 0.5, 0.3], 1.0)?;
/// state.merge(&TopKState::of(&[2], &[0.2, 0.5, 0.3], None, 3, TopKOptions::new(2))?)?;
/// assert_eq!(state.finish().value(), Some(0.5));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub struct TopKState {
    classes: usize,
    options: TopKOptions,
    hits: Sum,
    total: Sum,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    classes: usize,
    options: TopKOptions,
    hits: Sum,
    total: Sum,
}

impl TopKState {
    /// No rows yet.
    ///
    /// # Errors
    /// [`StatsError::Parameter`] without classes or with a k of 0.
    pub fn new(classes: usize, options: TopKOptions) -> Result<Self, StatsError> {
        let reason = "must be at least 1";
        if classes == 0 {
            return Err(StatsError::Parameter { parameter: "classes", value: 0.0, reason });
        }
        if options.k == 0 {
            return Err(StatsError::Parameter { parameter: "k", value: 0.0, reason });
        }
        Ok(Self { classes, options, hits: Sum::new(), total: Sum::new() })
    }

    /// The state of rows: `scores` has one row of `classes` scores for each element of `y_true`. O(n · classes).
    ///
    /// # Errors
    /// Those of [`new`](Self::new); [`StatsError::Empty`], [`StatsError::LengthMismatch`]; [`StatsError::UnknownCode`] with the
    /// row; [`StatsError::Nan`] and [`StatsError::NotFinite`] with the position in `scores`; what
    /// [`weights::total`](mlops_core::num::weights::total) refuses.
    pub fn of(
        y_true: &[u32],
        scores: &[f64],
        weights: Option<&[f64]>,
        classes: usize,
        options: TopKOptions,
    ) -> Result<Self, StatsError> {
        let mut state = Self::new(classes, options)?;
        not_empty(named("y_true", y_true))?;
        if y_true.len().checked_mul(classes) != Some(scores.len()) {
            let right_len = y_true.len().saturating_mul(classes);
            let (left, right) = ("scores", "y_true times classes");
            return Err(StatsError::LengthMismatch { left, left_len: scores.len(), right, right_len });
        }
        weight_total(weights, named("y_true", y_true))?;
        for (row, (&class, scores)) in y_true.iter().zip(scores.chunks_exact(classes)).enumerate() {
            state.add(row, class, scores, weight(weights, row))?;
        }
        Ok(state)
    }

    /// Adds one row with the scores of all classes.
    ///
    /// # Errors
    /// [`StatsError::LengthMismatch`], and those of [`of`](Self::of) for row 0; [`StatsError::Overflow`]. `self` is unchanged
    /// then.
    pub fn push(&mut self, y_true: u32, scores: &[f64], weight: f64) -> Result<(), StatsError> {
        check_weight(weight)?;
        if scores.len() != self.classes {
            let (left_len, right_len) = (scores.len(), self.classes);
            return Err(StatsError::LengthMismatch { left: "scores", left_len, right: "classes", right_len });
        }
        let mut next = self.clone();
        next.add(0, y_true, scores, weight)?;
        *self = next.in_range()?;
        Ok(())
    }

    fn add(&mut self, row: usize, class: u32, scores: &[f64], weight: f64) -> Result<(), StatsError> {
        let known = usize::try_from(class).ok().filter(|class| *class < self.classes);
        let Some(index) = known else { return Err(unknown_code("y_true", row, class, self.classes)) };
        if let Some(bad) = scores.iter().position(|score| !score.is_finite()) {
            return Err(not_finite("scores", row * self.classes + bad, scores[bad]));
        }
        self.hits.push(weight * self.options.hit(index, scores));
        self.total.push(weight);
        Ok(())
    }

    /// Adds the rows of another part of the data.
    ///
    /// # Errors
    /// [`StatsError::Incompatible`] when classes or options differ, [`StatsError::Overflow`]; `self` is unchanged then.
    pub fn merge(&mut self, other: &Self) -> Result<(), StatsError> {
        if self.classes != other.classes {
            return Err(StatsError::Incompatible { what: "the number of classes" });
        }
        if self.options != other.options {
            return Err(StatsError::Incompatible { what: "the options of top-k" });
        }
        let mut next = self.clone();
        next.hits.merge(other.hits);
        next.total.merge(other.total);
        *self = next.in_range()?;
        Ok(())
    }

    fn in_range(self) -> Result<Self, StatsError> {
        crate::input::in_range("the sum of the weights", self.total.value())?;
        Ok(self)
    }

    /// The share of rows whose true class is among the first k, in [0, 1]; undefined without rows.
    pub fn finish(&self) -> Measured {
        Measured::ratio(self.hits.value(), self.total.value()).map(|share| share.clamp(0.0, 1.0))
    }
}

impl TryFrom<Stored> for TopKState {
    type Error = StatsError;

    fn try_from(stored: Stored) -> Result<Self, StatsError> {
        let Stored { classes, options, hits, total } = stored;
        let state = Self { hits, total, ..Self::new(classes, options)? };
        check_weight(hits.value())?;
        check_weight(total.value())?;
        // Rounding may move a sum of hits past the sum of weights, by less than this.
        if hits.value() > total.value() * (1.0 + 1e-9) {
            let (value, high) = (hits.value(), total.value());
            return Err(StatsError::OutOfRange { argument: "hits", index: 0, value, low: 0.0, high });
        }
        Ok(state)
    }
}

impl From<TopKState> for Stored {
    fn from(state: TopKState) -> Self {
        let TopKState { classes, options, hits, total } = state;
        Self { classes, options, hits, total }
    }
}

/// The share of rows whose true class is among the `k` classes with the highest scores, in [0, 1]. `scores` is row-major,
/// `classes` a row; ties are averaged ([`TopKTies::Averaged`]). O(n · classes).
///
/// ```
/// use mlops_eval::classification::top_k_accuracy;
///
/// let scores = [0.5, 0.3, 0.2, 0.1, 0.45, 0.45];
/// assert_eq!(top_k_accuracy(&[1, 2], &scores, 3, 2)?.value(), Some(1.0));
/// assert_eq!(top_k_accuracy(&[1, 2], &scores, 3, 1)?.value(), Some(0.25));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Those of [`TopKState::of`].
pub fn top_k_accuracy(
    y_true: &[u32],
    scores: &[f64],
    classes: usize,
    k: usize,
) -> Result<Measured, StatsError> {
    top_k_accuracy_with(y_true, scores, classes, TopKOptions::new(k))
}

/// [`top_k_accuracy`] with a rule for ties.
///
/// ```
/// use mlops_eval::classification::{TopKOptions, TopKTies, top_k_accuracy_with};
/// let options = TopKOptions::new(1).with_ties(TopKTies::HigherCodeFirst);
/// assert_eq!(top_k_accuracy_with(&[0, 1], &[0.5; 4], 2, options)?.value(), Some(0.5));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Those of [`TopKState::of`].
pub fn top_k_accuracy_with(
    y_true: &[u32],
    scores: &[f64],
    classes: usize,
    options: TopKOptions,
) -> Result<Measured, StatsError> {
    Ok(TopKState::of(y_true, scores, None, classes, options)?.finish())
}

/// [`top_k_accuracy`] with a weight for each row.
///
/// ```
/// use mlops_eval::classification::top_k_accuracy_weighted;
/// let value = top_k_accuracy_weighted(&[0, 0], &[0.9, 0.1, 0.1, 0.9], &[3.0, 1.0], 2, 1)?;
/// assert_eq!(value.value(), Some(0.75));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Those of [`TopKState::of`].
pub fn top_k_accuracy_weighted(
    y_true: &[u32],
    scores: &[f64],
    weights: &[f64],
    classes: usize,
    k: usize,
) -> Result<Measured, StatsError> {
    top_k_accuracy_weighted_with(y_true, scores, weights, classes, TopKOptions::new(k))
}

/// [`top_k_accuracy_weighted`] with a rule for ties.
///
/// # Errors
/// Those of [`TopKState::of`].
pub fn top_k_accuracy_weighted_with(
    y_true: &[u32],
    scores: &[f64],
    weights: &[f64],
    classes: usize,
    options: TopKOptions,
) -> Result<Measured, StatsError> {
    Ok(TopKState::of(y_true, scores, Some(weights), classes, options)?.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_are_settled_by_the_rule() {
        let scores = [0.4, 0.4, 0.4, 0.9];
        let hit = |k, ties, class| TopKOptions::new(k).with_ties(ties).hit(class, &scores);
        assert_eq!(hit(1, TopKTies::Averaged, 0), 0.0);
        assert_eq!(hit(2, TopKTies::Averaged, 0), 1.0 / 3.0);
        assert_eq!(hit(4, TopKTies::Averaged, 0), 1.0);
        assert_eq!(hit(2, TopKTies::HigherCodeFirst, 2), 1.0);
        assert_eq!(hit(2, TopKTies::HigherCodeFirst, 1), 0.0);
        assert_eq!(hit(3, TopKTies::TrueClassLast, 0), 0.0);
        assert_eq!(hit(1, TopKTies::TrueClassLast, 3), 1.0);
    }

    #[test]
    fn bad_rows_and_options_are_named() {
        let of = |y: &[u32], s: &[f64], k| TopKState::of(y, s, None, 2, TopKOptions::new(k));
        assert!(matches!(of(&[0], &[0.5], 1), Err(StatsError::LengthMismatch { right_len: 2, .. })));
        assert!(matches!(of(&[0], &[0.5, 0.5], 0), Err(StatsError::Parameter { parameter: "k", .. })));
        assert!(matches!(of(&[0, 2], &[0.5; 4], 1), Err(StatsError::UnknownCode { index: 1, code: 2, .. })));
        let nan = of(&[0, 1], &[0.5, 0.5, 0.5, f64::NAN], 1);
        assert_eq!(nan, Err(StatsError::Nan { argument: "scores", index: 3 }));
        assert!(TopKState::new(0, TopKOptions::new(1)).is_err());
    }

    #[test]
    fn what_is_read_back_is_checked() {
        let state = TopKState::of(
            &[0, 1, 1],
            &[0.1, 0.2, 0.3, 0.3, 0.5, 0.1],
            Some(&[0.1, 0.2, 0.3]),
            2,
            TopKOptions::new(1),
        )
        .unwrap();
        let text = serde_json::to_string(&state).unwrap();
        assert_eq!(serde_json::from_str::<TopKState>(&text).unwrap(), state);
        for (from, to) in [
            ("\"k\":1", "\"k\":0"),
            ("\"classes\":2", "\"classes\":0"),
            ("\"hits\":{\"total\":", "\"hits\":{\"total\":1"),
        ] {
            assert!(serde_json::from_str::<TopKState>(&text.replace(from, to)).is_err(), "{to}");
        }
    }
}
