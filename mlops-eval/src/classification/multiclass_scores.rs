//! Probabilities of several classes: areas one against the rest and one against one, average precision, and losses.
//!
//! Truth is a code from 0, probabilities are row by row, one column per class, and every row adds up to 1 within 1e-6.

use std::collections::BTreeMap;

use mlops_core::num::sum::Sum;
use mlops_core::num::{Measured, StatsError, UndefinedReason};
use serde::{Deserialize, Serialize};

use super::auc::{area_below, roc_auc_from_state};
use super::losses::{Loss, mean_of_rows};
use super::matrix::Average;
use super::multilabel_scores::{averaged, mean};
use super::pr::average_precision_from_state;
use super::probability::LogLossOptions;
use super::scores::{ScoreOptions, ScoreState};
use super::zero_division::ZeroDivision;
use crate::input::{in_range, named, not_empty, probabilities, weight_total};
use crate::runs::Runs;

/// How far the probabilities of a row may be from adding up to 1.
const ROW_SUM_TOLERANCE: f64 = 1e-6;

/// For each class that occurs and each column of probabilities, the distinct probabilities with the weight that has them.
///
/// That is what is left of the rows once columns are looked at one at a time, and enough for everything in this module: areas
/// one against the rest and one against one, average precision, log loss, Brier score and their skills. Merges and serialises.
/// Its size is rows × classes at most; [`ScoreOptions::resolution`] bounds it by classes² × (2ᵏ + 1).
///
/// ```
/// use mlops_eval::classification::{Average, MulticlassScoreState, multiclass_roc_auc};
///
/// let probabilities = [0.7, 0.2, 0.1, 0.2, 0.5, 0.3, 0.1, 0.3, 0.6, 0.4, 0.4, 0.2];
/// let state = MulticlassScoreState::of(&[0, 1, 2, 1], &probabilities, 3)?;
/// assert_eq!(multiclass_roc_auc(&state, Average::Macro)?.value(), Some(1.0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub struct MulticlassScoreState {
    rows: u64,
    classes: usize,
    /// Per class of the truth, the runs of each column.
    by_class: BTreeMap<u32, Vec<Runs<1>>>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    rows: u64,
    classes: usize,
    by_class: BTreeMap<u32, Vec<Runs<1>>>,
}

impl MulticlassScoreState {
    /// The state of rows that count alike.
    ///
    /// # Errors
    /// [`StatsError::LengthMismatch`] unless there are `classes` probabilities for each row, [`StatsError::Empty`],
    /// [`StatsError::UnknownCode`]; [`StatsError::Nan`] and [`StatsError::OutOfRange`] with the position in `probabilities`, and
    /// the latter with the position of the row and its sum where a row does not add up to 1.
    pub fn of(y_true: &[u32], probabilities: &[f64], classes: usize) -> Result<Self, StatsError> {
        Self::of_with(y_true, probabilities, classes, None, &ScoreOptions::default())
    }

    /// The state of rows with or without weights, with options.
    ///
    /// ```
    /// use mlops_eval::classification::{MulticlassScoreState, ScoreOptions};
    /// let options = ScoreOptions::default().with_resolution(Some(10));
    /// let state = MulticlassScoreState::of_with(&[0, 1], &[0.7, 0.3, 0.2, 0.8], 2, Some(&[1.0, 3.0]), &options)?;
    /// assert_eq!(state.class_weights(), [1.0, 3.0]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`of`](Self::of), and what [`weights::total`](mlops_core::num::weights::total) refuses.
    pub fn of_with(
        y_true: &[u32],
        probabilities: &[f64],
        classes: usize,
        weights: Option<&[f64]>,
        options: &ScoreOptions,
    ) -> Result<Self, StatsError> {
        check(y_true, probabilities, classes)?;
        weight_total(weights, named("y_true", y_true))?;
        let mut rows_of: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
        y_true.iter().enumerate().for_each(|(row, &class)| rows_of.entry(class).or_default().push(row));
        let mut by_class = BTreeMap::new();
        for (class, rows) in rows_of {
            let column = |column: usize| {
                let values = rows.iter().map(|row| probabilities[row * classes + column]);
                let values = options.round(values)?;
                let weight = |position: usize| crate::input::weight(weights, rows[position]);
                Ok(Runs::of_one(&values, weight, options.threads))
            };
            by_class.insert(class, (0..classes).map(column).collect::<Result<Vec<_>, StatsError>>()?);
        }
        Ok(Self { rows: y_true.len() as u64, classes, by_class })
    }

    /// Adds the rows of another part of the data.
    ///
    /// # Errors
    /// [`StatsError::Incompatible`] for another number of classes, [`StatsError::Overflow`]; `self` is unchanged then.
    pub fn merge(&mut self, other: &Self) -> Result<(), StatsError> {
        if self.classes != other.classes {
            return Err(StatsError::Incompatible { what: "the number of classes" });
        }
        let mut merged = self.clone();
        let overflow = StatsError::Overflow { what: "the number of rows" };
        merged.rows = self.rows.checked_add(other.rows).ok_or(overflow)?;
        for (&class, theirs) in &other.by_class {
            let ours = merged.by_class.entry(class).or_insert_with(|| vec![Runs::default(); theirs.len()]);
            for (ours, theirs) in ours.iter_mut().zip(theirs) {
                ours.merge(theirs)?;
            }
        }
        in_range("the sum of the weights", merged.class_weights().iter().sum())?;
        *self = merged;
        Ok(())
    }

    /// The number of rows, whatever their weights.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// The number of classes, also of those that do not occur.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// The weight of each class; its number where rows count alike.
    pub fn class_weights(&self) -> Vec<f64> {
        let mut weights = vec![0.0; self.classes];
        for (&class, columns) in &self.by_class {
            if let (Some(weight), Some(column)) = (weights.get_mut(class as usize), columns.first()) {
                *weight = column.totals()[0];
            }
        }
        weights
    }

    /// The state of one class against all others, by its own column.
    ///
    /// ```
    /// use mlops_eval::classification::MulticlassScoreState;
    /// let state = MulticlassScoreState::of(&[0, 1], &[0.7, 0.3, 0.2, 0.8], 2)?;
    /// let points: Vec<_> = state.one_vs_rest(1)?.points().collect();
    /// assert_eq!(points, [(0.3, 1.0, 0.0), (0.8, 0.0, 1.0)]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`StatsError::UnknownCode`] for a class there is not.
    pub fn one_vs_rest(&self, class: u32) -> Result<ScoreState, StatsError> {
        let column = class as usize;
        if column >= self.classes {
            let (code, known) = (u64::from(class), self.classes as u64);
            return Err(StatsError::UnknownCode { argument: "class", index: 0, code, known });
        }
        let mut pairs = Vec::new();
        for (&truth, columns) in &self.by_class {
            let side = |weight: f64| if truth == class { [0.0, weight] } else { [weight, 0.0] };
            pairs.extend(columns[column].iter().map(|(value, [weight])| (value, side(weight))));
        }
        Ok(ScoreState::from_runs(self.rows, Runs::of(pairs)))
    }

    fn one_vs_rest_states(&self) -> Result<Vec<ScoreState>, StatsError> {
        (0..self.classes).map(|class| self.one_vs_rest(class as u32)).collect()
    }

    /// Classes that occur, with each column's runs.
    fn losses(&self) -> impl Iterator<Item = (bool, f64, f64)> {
        self.by_class.iter().flat_map(|(&class, columns)| {
            columns.iter().enumerate().flat_map(move |(column, runs)| {
                runs.iter().map(move |(value, [weight])| (column == class as usize, value, weight))
            })
        })
    }

    fn total(&self) -> f64 {
        self.class_weights().into_iter().collect::<Sum>().value()
    }
}

impl ScoreOptions {
    /// The values, rounded as the options say.
    fn round(&self, values: impl Iterator<Item = f64>) -> Result<Vec<f64>, StatsError> {
        let steps = self.steps()?;
        Ok(values.map(|value| steps.map_or(value, |steps| super::scores::rounded(value, steps))).collect())
    }
}

/// Shapes, codes, probabilities and the sums of their rows.
fn check(y_true: &[u32], forecast: &[f64], classes: usize) -> Result<(), StatsError> {
    not_empty(named("y_true", y_true))?;
    let expected = y_true.len().checked_mul(classes).filter(|_| classes > 0);
    if expected != Some(forecast.len()) {
        return Err(StatsError::LengthMismatch {
            left: "probabilities",
            left_len: forecast.len(),
            right: "rows × classes",
            right_len: expected.unwrap_or(0),
        });
    }
    if let Some(index) = y_true.iter().position(|&code| code as usize >= classes) {
        let (code, known) = (u64::from(y_true[index]), classes as u64);
        return Err(StatsError::UnknownCode { argument: "y_true", index, code, known });
    }
    probabilities("probabilities", forecast)?;
    for (index, row) in forecast.chunks_exact(classes).enumerate() {
        let value: f64 = row.iter().sum();
        if (value - 1.0).abs() > ROW_SUM_TOLERANCE {
            let (low, high) = (1.0 - ROW_SUM_TOLERANCE, 1.0 + ROW_SUM_TOLERANCE);
            let argument = "row sums of probabilities";
            return Err(StatsError::OutOfRange { argument, index, value, low, high });
        }
    }
    Ok(())
}

impl TryFrom<Stored> for MulticlassScoreState {
    type Error = StatsError;

    fn try_from(Stored { rows, classes, by_class }: Stored) -> Result<Self, StatsError> {
        for (index, (&class, columns)) in by_class.iter().enumerate() {
            if class as usize >= classes {
                let (code, known) = (u64::from(class), classes as u64);
                return Err(StatsError::UnknownCode { argument: "by_class", index, code, known });
            }
            if columns.len() != classes {
                return Err(StatsError::LengthMismatch {
                    left: "by_class",
                    left_len: columns.len(),
                    right: "classes",
                    right_len: classes,
                });
            }
            let weight = columns.first().map_or(0.0, |column| column.totals()[0]);
            for column in columns {
                probabilities("values", column.values())?;
                let [total] = column.totals();
                // The same rows are in each column; only rounding may tell them apart.
                if (total - weight).abs() > 1e-9 * weight || column.len() as u64 > rows || column.len() == 0 {
                    return Err(StatsError::Incompatible { what: "the weight of a class between columns" });
                }
            }
        }
        if (rows == 0) != by_class.is_empty() || rows < by_class.len() as u64 {
            let reason = "does not fit the classes that occur";
            return Err(StatsError::Parameter { parameter: "rows", value: rows as f64, reason });
        }
        // Fewer classes than columns that are there: no file asks for more memory than it has itself.
        if by_class.is_empty() && classes > 0 {
            return Err(StatsError::Empty { argument: "by_class" });
        }
        let state = Self { rows, classes, by_class };
        in_range("the sum of the weights", state.class_weights().iter().sum())?;
        Ok(state)
    }
}

impl From<MulticlassScoreState> for Stored {
    fn from(state: MulticlassScoreState) -> Self {
        Self { rows: state.rows, classes: state.classes, by_class: state.by_class }
    }
}

/// The area under the ROC curve, each class against the rest: the mean of the classes (macro), the mean weighted by their
/// prevalence (weighted), or the area of all columns in one ranking (micro).
///
/// Undefined when a class that counts does not occur, or is the only one; the numerator then says how many classes are defined
/// and the denominator how many count. Agrees with `roc_auc_score(multi_class="ovr")` of scikit-learn 1.9.1 to 1e-12.
///
/// # Errors
/// [`StatsError::ZeroTotal`], [`StatsError::Overflow`].
pub fn multiclass_roc_auc(state: &MulticlassScoreState, average: Average) -> Result<Measured, StatsError> {
    averaged(&state.one_vs_rest_states()?, average, roc_auc_from_state)
}

/// The area under the ROC curve, each class against each other (Hand and Till 2001): the mean over pairs j, k of
/// (A(j|k) + A(k|j))/2, where A(j|k) is the area among rows of the two classes by the column of j. Macro counts pairs alike;
/// weighted counts them by the share of rows that belong to them.
///
/// Rows with weights enter each pair's area, and each pair's share, with their weights: scikit-learn refuses them here. Undefined
/// when a class has no weight (macro), or when fewer than two have. Agrees with `roc_auc_score(multi_class="ovo")` of scikit-learn
/// 1.9.1 to 1e-12.
///
/// ```
/// use mlops_eval::classification::{Average, MulticlassScoreState, multiclass_roc_auc_one_vs_one};
///
/// let probabilities = [0.7, 0.2, 0.1, 0.2, 0.5, 0.3, 0.1, 0.3, 0.6, 0.4, 0.4, 0.2];
/// let state = MulticlassScoreState::of(&[0, 1, 2, 1], &probabilities, 3)?;
/// assert_eq!(multiclass_roc_auc_one_vs_one(&state, Average::Macro)?.value(), Some(1.0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`StatsError::Unsupported`] for [`Average::Micro`], which has no pairs.
pub fn multiclass_roc_auc_one_vs_one(
    state: &MulticlassScoreState,
    average: Average,
) -> Result<Measured, StatsError> {
    if average == Average::Micro {
        let reason = "pairs of classes are averaged, not pooled";
        return Err(StatsError::Unsupported { what: "the micro average one against one", reason });
    }
    let weights = state.class_weights();
    let present: Vec<usize> = (0..state.classes).filter(|&class| weights[class] > 0.0).collect();
    if present.len() < 2 || (average == Average::Macro && present.len() < state.classes) {
        return Ok(Measured::none(UndefinedReason::SingleClass, present.len(), state.classes.max(2)));
    }
    let mut pairs = Vec::new();
    for (position, &j) in present.iter().enumerate() {
        for &k in &present[position + 1..] {
            let area = 0.5 * (state.pair_area(j, k) + state.pair_area(k, j));
            let weight = if average == Average::Weighted { weights[j] + weights[k] } else { 1.0 };
            pairs.push((Measured::Value(area), in_range("the sum of the weights", weight)?));
        }
    }
    mean(pairs.into_iter())
}

impl MulticlassScoreState {
    /// The area of class `j` above class `k` by the column of `j`; both have weight.
    fn pair_area(&self, j: usize, k: usize) -> f64 {
        let runs_of = |class: usize| {
            let columns = self.by_class.get(&(class as u32));
            columns.and_then(|columns| columns.get(j)).into_iter().flat_map(Runs::iter)
        };
        let positives = runs_of(j).map(|(value, [weight])| (value, [0.0, weight]));
        let negatives = runs_of(k).map(|(value, [weight])| (value, [weight, 0.0]));
        let runs = Runs::of(positives.chain(negatives).collect());
        area_below(
            runs.iter().map(|(value, [negative, positive])| (value, negative, positive)),
            runs.totals(),
        )
    }
}

/// [`average_precision`](super::average_precision) of each class against the rest, averaged as [`multiclass_roc_auc`] says.
///
/// A class that does not occur is undefined; `zero_division` says what it counts as. Agrees with scikit-learn 1.9.1 to 1e-12.
///
/// ```
/// use mlops_eval::classification::{Average, MulticlassScoreState, ZeroDivision, multiclass_average_precision};
///
/// let state = MulticlassScoreState::of(&[0, 1], &[0.7, 0.3, 0.2, 0.8], 2)?;
/// let ap = multiclass_average_precision(&state, Average::Macro, ZeroDivision::Undefined)?;
/// assert_eq!(ap.value(), Some(1.0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Those of [`multiclass_roc_auc`].
pub fn multiclass_average_precision(
    state: &MulticlassScoreState,
    average: Average,
    zero_division: ZeroDivision,
) -> Result<Measured, StatsError> {
    let states = state.one_vs_rest_states()?;
    averaged(&states, average, |class| Ok(zero_division.apply(average_precision_from_state(class)?)))
}

/// The mean of −ln of the probability given to the class that occurred. See [`log_loss`](super::log_loss).
///
/// ```
/// use mlops_eval::classification::multiclass_log_loss;
///
/// let loss = multiclass_log_loss(&[0, 2], &[0.5, 0.25, 0.25, 0.25, 0.25, 0.5], 3)?;
/// assert!(loss.value().is_some_and(|loss| (loss - 2_f64.ln()).abs() < 1e-15));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Those of [`MulticlassScoreState::of`].
pub fn multiclass_log_loss(
    y_true: &[u32],
    probabilities: &[f64],
    classes: usize,
) -> Result<Measured, StatsError> {
    multiclass_log_loss_with(y_true, probabilities, classes, None, &LogLossOptions::default())
}

/// [`multiclass_log_loss`] with a weight for each row.
///
/// ```
/// use mlops_eval::classification::multiclass_log_loss_weighted;
/// let loss = multiclass_log_loss_weighted(&[0, 1], &[1.0, 0.0, 0.5, 0.5], 2, &[0.0, 1.0])?;
/// assert!(loss.value().is_some_and(|loss| (loss - 2_f64.ln()).abs() < 1e-15));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Those of [`MulticlassScoreState::of_with`].
pub fn multiclass_log_loss_weighted(
    y_true: &[u32],
    probabilities: &[f64],
    classes: usize,
    weights: &[f64],
) -> Result<Measured, StatsError> {
    multiclass_log_loss_with(y_true, probabilities, classes, Some(weights), &LogLossOptions::default())
}

/// [`multiclass_log_loss`] with or without weights, with options.
///
/// # Errors
/// Those of [`multiclass_log_loss_weighted`], and [`StatsError::Parameter`] for an `eps` outside (0, 0.5).
pub fn multiclass_log_loss_with(
    y_true: &[u32],
    probabilities: &[f64],
    classes: usize,
    weights: Option<&[f64]>,
    options: &LogLossOptions,
) -> Result<Measured, StatsError> {
    let loss = options.loss()?;
    check(y_true, probabilities, classes)?;
    weight_total(weights, named("y_true", y_true))?;
    let given: Vec<f64> = y_true
        .iter()
        .enumerate()
        .map(|(row, &class)| probabilities[row * classes + class as usize])
        .collect();
    mean_of_rows(LOG_LOSS, &vec![true; given.len()], &given, weights, options.threads, loss)
}

/// [`multiclass_log_loss`] of the rows that a state was built from.
///
/// ```
/// use mlops_eval::classification::{MulticlassScoreState, multiclass_log_loss_from_state};
/// let state = MulticlassScoreState::of(&[0, 1], &[0.5, 0.5, 0.5, 0.5], 2)?;
/// assert!(multiclass_log_loss_from_state(&state)?.value().is_some_and(|loss| (loss - 2_f64.ln()).abs() < 1e-15));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`StatsError::Empty`] and [`StatsError::ZeroTotal`] for a state of nothing.
pub fn multiclass_log_loss_from_state(state: &MulticlassScoreState) -> Result<Measured, StatsError> {
    let (total, surprise) = (positive(state)?, LogLossOptions::default().loss()?);
    let terms = state.losses().filter(|(is_truth, _, _)| *is_truth);
    let terms = terms.map(|(_, probability, weight)| surprise.of(true, probability) * (weight / total));
    Ok(Measured::Value(in_range(LOG_LOSS, terms.collect::<Sum>().value())?))
}

/// Whether the Brier score of several classes is halved.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BrierScale {
    /// Halved for two classes, where it equals the binary [`brier`](super::brier), and not for more: scikit-learn's default.
    #[default]
    Auto,
    /// Always halved: in [0, 1].
    Half,
    /// Never halved: in [0, 2], as Brier (1950) defined it.
    Sum,
}

impl BrierScale {
    fn factor(self, classes: usize) -> f64 {
        match self {
            Self::Half => 0.5,
            Self::Auto if classes < 3 => 0.5,
            _ => 1.0,
        }
    }
}

/// The mean over rows of Σ (p − y)² over the classes, y being 1 for the class that occurred and 0 for the others.
///
/// Agrees with `brier_score_loss` of scikit-learn 1.9.1 (`scale_by_half`) to 1e-12.
///
/// ```
/// use mlops_eval::classification::{BrierScale, multiclass_brier};
/// let score = multiclass_brier(&[0, 1], &[1.0, 0.0, 0.0, 0.5, 0.5, 0.0], 3, BrierScale::Auto)?;
/// assert_eq!(score.value(), Some(0.25));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Those of [`MulticlassScoreState::of`].
pub fn multiclass_brier(
    y_true: &[u32],
    probabilities: &[f64],
    classes: usize,
    scale: BrierScale,
) -> Result<Measured, StatsError> {
    brier_of_rows(y_true, probabilities, classes, None, scale)
}

/// [`multiclass_brier`] with a weight for each row.
///
/// ```
/// use mlops_eval::classification::{BrierScale, multiclass_brier_weighted};
/// let score = multiclass_brier_weighted(&[0, 1], &[1.0, 0.0, 0.5, 0.5], 2, &[1.0, 3.0], BrierScale::Half)?;
/// assert_eq!(score.value(), Some(0.1875));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Those of [`MulticlassScoreState::of_with`].
pub fn multiclass_brier_weighted(
    y_true: &[u32],
    probabilities: &[f64],
    classes: usize,
    weights: &[f64],
    scale: BrierScale,
) -> Result<Measured, StatsError> {
    brier_of_rows(y_true, probabilities, classes, Some(weights), scale)
}

fn brier_of_rows(
    y_true: &[u32],
    probabilities: &[f64],
    classes: usize,
    weights: Option<&[f64]>,
    scale: BrierScale,
) -> Result<Measured, StatsError> {
    check(y_true, probabilities, classes)?;
    let total = weight_total(weights, named("y_true", y_true))?;
    let rows = y_true.iter().zip(probabilities.chunks_exact(classes)).enumerate();
    let terms = rows.map(|(row, (&class, row_probabilities))| {
        let squares = row_probabilities.iter().enumerate().map(|(column, &probability)| {
            let missed = if column == class as usize { 1.0 - probability } else { probability };
            missed * missed
        });
        squares.sum::<f64>() * (crate::input::weight(weights, row) / total)
    });
    let score = terms.collect::<Sum>().value() * scale.factor(classes);
    Ok(Measured::Value(in_range(BRIER, score)?))
}

/// [`multiclass_brier`] of the rows that a state was built from.
///
/// ```
/// use mlops_eval::classification::{BrierScale, MulticlassScoreState, multiclass_brier_from_state};
/// let state = MulticlassScoreState::of(&[0, 1], &[0.5, 0.5, 0.5, 0.5], 2)?;
/// assert_eq!(multiclass_brier_from_state(&state, BrierScale::Half)?.value(), Some(0.25));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`StatsError::Empty`] and [`StatsError::ZeroTotal`] for a state of nothing.
pub fn multiclass_brier_from_state(
    state: &MulticlassScoreState,
    scale: BrierScale,
) -> Result<Measured, StatsError> {
    let total = positive(state)?;
    let terms = state.losses().map(|(is_truth, probability, weight)| {
        let missed = if is_truth { 1.0 - probability } else { probability };
        missed * missed * (weight / total)
    });
    let score = terms.collect::<Sum>().value() * scale.factor(state.classes);
    Ok(Measured::Value(in_range(BRIER, score)?))
}

/// The share of the log loss that the probabilities save over the prevalences. See [`d2_log_loss`](super::d2_log_loss).
///
/// Undefined with [`UndefinedReason::SingleClass`] unless two classes have weight. Agrees with `d2_log_loss_score` of scikit-learn
/// 1.9.1 to 1e-12.
///
/// ```
/// use mlops_eval::classification::{MulticlassScoreState, multiclass_d2_log_loss};
/// let state = MulticlassScoreState::of(&[0, 1], &[0.5, 0.5, 0.5, 0.5], 2)?;
/// assert!(multiclass_d2_log_loss(&state)?.value().is_some_and(|skill| skill.abs() < 1e-15));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`StatsError::Empty`] and [`StatsError::ZeroTotal`] for a state of nothing.
pub fn multiclass_d2_log_loss(state: &MulticlassScoreState) -> Result<Measured, StatsError> {
    let (loss, surprise) = (multiclass_log_loss_from_state(state)?, LogLossOptions::default().loss()?);
    skill(state, loss, |prevalence| prevalence * surprise.of(true, prevalence))
}

/// The share of the Brier score that the probabilities save over the prevalences. See [`d2_brier`](super::d2_brier).
///
/// Undefined with [`UndefinedReason::SingleClass`] unless two classes have weight. Agrees with `d2_brier_score` of scikit-learn
/// 1.9.1 to 1e-12.
///
/// ```
/// use mlops_eval::classification::{MulticlassScoreState, multiclass_d2_brier};
/// let state = MulticlassScoreState::of(&[0, 1], &[1.0, 0.0, 0.0, 1.0], 2)?;
/// assert_eq!(multiclass_d2_brier(&state)?.value(), Some(1.0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`StatsError::Empty`] and [`StatsError::ZeroTotal`] for a state of nothing.
pub fn multiclass_d2_brier(state: &MulticlassScoreState) -> Result<Measured, StatsError> {
    let score = multiclass_brier_from_state(state, BrierScale::Sum)?;
    skill(state, score, |prevalence| prevalence * (1.0 - prevalence))
}

/// 1 − loss / loss of the prevalences.
fn skill(
    state: &MulticlassScoreState,
    loss: Measured,
    null: impl Fn(f64) -> f64,
) -> Result<Measured, StatsError> {
    let (weights, total) = (state.class_weights(), positive(state)?);
    let present = weights.iter().filter(|weight| **weight > 0.0).count();
    let null = weights.iter().map(|weight| null(weight / total)).collect::<Sum>().value();
    match loss.value().filter(|_| present > 1 && null > 0.0) {
        Some(loss) => Ok(Measured::Value(in_range("the skill", 1.0 - loss / null)?)),
        None => Ok(Measured::none(UndefinedReason::SingleClass, present, 2)),
    }
}

/// The total weight, which must be positive.
fn positive(state: &MulticlassScoreState) -> Result<f64, StatsError> {
    if state.rows == 0 {
        return Err(StatsError::Empty { argument: "state" });
    }
    let total = state.total();
    if total == 0.0 { Err(StatsError::ZeroTotal { argument: "weights" }) } else { Ok(total) }
}

const LOG_LOSS: &str = "the log loss";
const BRIER: &str = "the Brier score";

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> (Vec<u32>, Vec<f64>, Vec<f64>) {
        let y_true: Vec<u32> = (0..60).map(|row| (row * row) % 3).collect();
        let forecast = (0..60_u32).flat_map(|row| {
            let raw = [1 + (row * 7) % 5, 1 + (row * 3) % 4, 1 + (row * 11) % 6].map(f64::from);
            raw.map(|value| value / raw.iter().sum::<f64>())
        });
        let weights = (0..60).map(|row| f64::from(row % 4) / 4.0).collect();
        (y_true, forecast.collect(), weights)
    }

    #[test]
    fn parts_merge_into_the_whole_and_are_read_back() {
        let (y_true, forecast, weights) = rows();
        let options = ScoreOptions::default();
        let of = |rows: std::ops::Range<usize>| {
            let probabilities = &forecast[3 * rows.start..3 * rows.end];
            MulticlassScoreState::of_with(
                &y_true[rows.clone()],
                probabilities,
                3,
                Some(&weights[rows]),
                &options,
            )
        };
        let whole = of(0..60).unwrap();
        let mut merged = of(0..17).unwrap();
        merged.merge(&of(17..60).unwrap()).unwrap();
        assert_eq!(merged, whole);
        let text = serde_json::to_string(&whole).unwrap();
        assert_eq!(serde_json::from_str::<MulticlassScoreState>(&text).unwrap(), whole);
        for bad in [
            text.replace("\"classes\":3", "\"classes\":2"),
            text.replace("\"rows\":60", "\"rows\":0"),
            r#"{"rows":0,"classes":1000000000000,"by_class":{}}"#.to_owned(),
            r#"{"rows":1,"classes":1,"by_class":{"0":[{"values":[1.5],"weights":[[1.0]]}]}}"#.to_owned(),
            r#"{"rows":1,"classes":1,"by_class":{"7":[{"values":[0.5],"weights":[[1.0]]}]}}"#.to_owned(),
        ] {
            assert!(serde_json::from_str::<MulticlassScoreState>(&bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_state_tells_what_the_rows_tell() {
        let (y_true, forecast, weights) = rows();
        let options = ScoreOptions::default();
        let state = MulticlassScoreState::of_with(&y_true, &forecast, 3, Some(&weights), &options).unwrap();
        let close = |a: Measured, b: Measured| (a.value().unwrap() - b.value().unwrap()).abs() < 1e-14;
        let loss = multiclass_log_loss_weighted(&y_true, &forecast, 3, &weights).unwrap();
        assert!(close(multiclass_log_loss_from_state(&state).unwrap(), loss));
        for scale in [BrierScale::Auto, BrierScale::Half, BrierScale::Sum] {
            let score = multiclass_brier_weighted(&y_true, &forecast, 3, &weights, scale).unwrap();
            assert!(close(multiclass_brier_from_state(&state, scale).unwrap(), score));
        }
    }

    #[test]
    fn bad_rows_are_named() {
        let of =
            |y_true: &[u32], p: &[f64], k| MulticlassScoreState::of(y_true, p, k).unwrap_err().to_string();
        assert_eq!(of(&[], &[], 2), "`y_true` is empty");
        assert_eq!(of(&[0], &[1.0], 2), "`probabilities` has 1 elements but `rows × classes` has 2");
        assert_eq!(
            of(&[2], &[0.5, 0.5], 2),
            "`y_true` has the code 2 at index 0, but there are 2 known ones"
        );
        assert!(
            of(&[0, 0], &[0.5, 0.5, 0.5, 0.6], 2)
                .starts_with("`row sums of probabilities` has 1.1 at index 1")
        );
        assert!(of(&[0], &[1.5, -0.5], 2).starts_with("`probabilities` has 1.5 at index 0"));
        assert!(of(&[0], &[], usize::MAX).starts_with("`probabilities` has 0"));
        assert!(of(&[0], &[], 0).starts_with("`probabilities` has 0"));
    }

    #[test]
    fn a_class_that_does_not_occur_leaves_no_macro_area() {
        let state = MulticlassScoreState::of(&[0, 1], &[0.6, 0.4, 0.0, 0.1, 0.8, 0.1], 3).unwrap();
        assert_eq!(multiclass_roc_auc(&state, Average::Macro).unwrap().value(), None);
        assert_eq!(multiclass_roc_auc(&state, Average::Weighted).unwrap().value(), Some(1.0));
        assert_eq!(multiclass_roc_auc_one_vs_one(&state, Average::Macro).unwrap().value(), None);
        assert!(multiclass_roc_auc_one_vs_one(&state, Average::Micro).is_err());
    }
}
