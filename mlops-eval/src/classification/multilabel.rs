//! Rows that have any number of labels at once: the confusion cells of every label and of every row.
//!
//! Truth and prediction are indicators, row-major `&[bool]`, `labels` a row.

use std::collections::BTreeMap;

use mlops_core::num::sum::Sum;
use mlops_core::num::{Measured, StatsError};
use serde::{Deserialize, Serialize};

use super::average::{averaged, mean_of};
use super::confusion::{WeightedConfusion, cell_index};
use super::matrix::picked;
use super::{Average, CellMetric, ZeroDivision};
use crate::input::{check_weight, named, not_empty, weight, weight_total};

/// The most labels a row may have.
pub const MAX_LABELS: usize = 1 << 20;

/// The mergeable state of a multilabel classifier: the four cells of every label, and how often rows have each combination of
/// hits, false alarms and misses. That is all that any average of any metric of cells needs, over labels or over rows.
///
/// Its size is the number of labels and of combinations that occur.
///
/// ```
/// use mlops_eval::classification::{Average, LabelMetric, MultilabelConfusion, ZeroDivision};
///
/// let y_true = [true, false, true, false, true, true];
/// let y_pred = [true, false, false, false, true, true];
/// let state = MultilabelConfusion::of(&y_true, &y_pred, 3)?;
/// assert_eq!(state.subset_accuracy().value(), Some(0.5));
/// assert_eq!(state.hamming_loss().value(), Some(1.0 / 6.0));
/// let recall = state.average(LabelMetric::Recall, Average::Macro, ZeroDivision::Undefined);
/// assert_eq!(recall.value(), Some((1.0 + 1.0 + 0.5) / 3.0));
/// let recall = state.average_over_rows(LabelMetric::Recall, ZeroDivision::Undefined);
/// assert_eq!(recall.value(), Some(0.75));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub struct MultilabelConfusion {
    cells: Vec<[Sum; 4]>,
    rows: BTreeMap<Outcome, Sum>,
    total: Sum,
}

/// How many labels of a row are hits, false alarms and misses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Outcome {
    hits: u32,
    false_alarms: u32,
    misses: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    cells: Vec<[Sum; 4]>,
    rows: Vec<(Outcome, Sum)>,
    total: Sum,
}

impl MultilabelConfusion {
    /// No rows yet.
    ///
    /// ```
    /// use mlops_eval::classification::MultilabelConfusion;
    /// assert_eq!(MultilabelConfusion::new(3)?.labels(), 3);
    /// assert!(MultilabelConfusion::new(0).is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`StatsError::Parameter`] unless `labels` lies between 1 and [`MAX_LABELS`].
    pub fn new(labels: usize) -> Result<Self, StatsError> {
        check_labels(labels)?;
        Ok(Self { cells: vec![[Sum::new(); 4]; labels], rows: BTreeMap::new(), total: Sum::new() })
    }

    /// The state of rows that count alike. O(n · labels).
    ///
    /// # Errors
    /// Those of [`new`](Self::new), [`StatsError::Empty`], [`StatsError::LengthMismatch`].
    pub fn of(y_true: &[bool], y_pred: &[bool], labels: usize) -> Result<Self, StatsError> {
        Self::build(y_true, y_pred, None, labels)
    }

    /// The state of rows with a weight each.
    ///
    /// ```
    /// use mlops_eval::classification::MultilabelConfusion;
    /// let state = MultilabelConfusion::weighted(&[true, false], &[true, true], &[3.0, 1.0], 1)?;
    /// assert_eq!(state.subset_accuracy().value(), Some(0.75));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`of`](Self::of), what [`weights::total`](mlops_core::num::weights::total) refuses, and [`StatsError::Overflow`] for
    /// weights that add up to more than half of the range of f64.
    pub fn weighted(
        y_true: &[bool],
        y_pred: &[bool],
        weights: &[f64],
        labels: usize,
    ) -> Result<Self, StatsError> {
        Self::build(y_true, y_pred, Some(weights), labels)
    }

    fn build(
        y_true: &[bool],
        y_pred: &[bool],
        weights: Option<&[f64]>,
        labels: usize,
    ) -> Result<Self, StatsError> {
        let mut state = Self::new(labels)?;
        let rows = check_shape(y_true, "y_pred", y_pred, labels)?;
        let places: Vec<()> = vec![(); rows];
        let total = weight_total(weights, named("rows of y_true", &places))?;
        state.check_total(total)?;
        for (row, (t, p)) in y_true.chunks_exact(labels).zip(y_pred.chunks_exact(labels)).enumerate() {
            state.add(t, p, weight(weights, row));
        }
        Ok(state)
    }

    /// Adds one row.
    ///
    /// # Errors
    /// [`StatsError::LengthMismatch`]; [`StatsError::Nan`], [`StatsError::NotFinite`] or [`StatsError::OutOfRange`] for the
    /// weight; [`StatsError::Overflow`]. `self` is unchanged then.
    pub fn push(&mut self, y_true: &[bool], y_pred: &[bool], weight: f64) -> Result<(), StatsError> {
        check_weight(weight)?;
        for (left, left_len) in [("y_true", y_true.len()), ("y_pred", y_pred.len())] {
            if left_len != self.labels() {
                let right_len = self.labels();
                return Err(StatsError::LengthMismatch { left, left_len, right: "labels", right_len });
            }
        }
        // No cell and no combination holds more than all rows.
        self.check_total(self.total.value() + weight)?;
        self.add(y_true, y_pred, weight);
        Ok(())
    }

    fn add(&mut self, y_true: &[bool], y_pred: &[bool], weight: f64) {
        let mut outcome = Outcome { hits: 0, false_alarms: 0, misses: 0 };
        for ((sums, &t), &p) in self.cells.iter_mut().zip(y_true).zip(y_pred) {
            sums[cell_index(t, p)].push(weight);
            outcome.hits += u32::from(t & p);
            outcome.false_alarms += u32::from(!t & p);
            outcome.misses += u32::from(t & !p);
        }
        self.rows.entry(outcome).or_default().push(weight);
        self.total.push(weight);
    }

    /// Adds the rows of another part of the data.
    ///
    /// # Errors
    /// [`StatsError::Incompatible`] when the numbers of labels differ, [`StatsError::Overflow`]; `self` is unchanged then.
    pub fn merge(&mut self, other: &Self) -> Result<(), StatsError> {
        if self.labels() != other.labels() {
            return Err(StatsError::Incompatible { what: "the number of labels" });
        }
        self.check_total(self.total.value() + other.total.value())?;
        for (sum, part) in self.cells.iter_mut().flatten().zip(other.cells.iter().flatten()) {
            sum.merge(*part);
        }
        for (outcome, part) in &other.rows {
            self.rows.entry(*outcome).or_default().merge(*part);
        }
        self.total.merge(other.total);
        Ok(())
    }

    /// With room for the rounding of the parts, which are added up in other orders.
    fn check_total(&self, total: f64) -> Result<(), StatsError> {
        crate::input::in_range("the sum of the weights", total * 2.0).map(|_| ())
    }

    /// The number of labels.
    pub fn labels(&self) -> usize {
        self.cells.len()
    }

    /// The weight of all rows.
    pub fn total(&self) -> f64 {
        self.total.value()
    }

    /// The cells of one label; `None` for a label there is not.
    ///
    /// ```
    /// use mlops_eval::classification::MultilabelConfusion;
    /// let state = MultilabelConfusion::of(&[true, false], &[true, true], 2)?;
    /// assert_eq!(state.label(1).map(|cells| cells.false_positives()), Some(1.0));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn label(&self, label: usize) -> Option<WeightedConfusion> {
        self.cells.get(label).map(confusion)
    }

    /// A metric of each label.
    ///
    /// ```
    /// use mlops_eval::classification::{LabelMetric, MultilabelConfusion};
    /// let state = MultilabelConfusion::of(&[true, false], &[true, true], 2)?;
    /// let precision: Vec<_> = state.per_label(LabelMetric::Precision).iter().map(|m| m.value()).collect();
    /// assert_eq!(precision, [Some(1.0), Some(0.0)]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn per_label(&self, metric: impl Into<CellMetric>) -> Vec<Measured> {
        let metric = metric.into();
        self.cells.iter().map(|sums| metric.from_counts(confusion(sums))).collect()
    }

    /// The weight of the rows that have each label.
    ///
    /// ```
    /// use mlops_eval::classification::MultilabelConfusion;
    /// assert_eq!(MultilabelConfusion::of(&[true, false], &[true, true], 2)?.support(), [1.0, 0.0]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn support(&self) -> Vec<f64> {
        let support = |sums| {
            let cells = confusion(sums);
            cells.true_positives() + cells.false_negatives()
        };
        self.cells.iter().map(support).collect()
    }

    /// A metric averaged over all labels, also those that nothing has. A label whose value is undefined makes the average
    /// undefined, unless `zero_division` puts a number in its place or leaves it out.
    pub fn average(
        &self,
        metric: impl Into<CellMetric>,
        average: Average,
        zero_division: ZeroDivision,
    ) -> Measured {
        let cells: Vec<WeightedConfusion> = self.cells.iter().map(confusion).collect();
        averaged(&cells, metric.into(), average, zero_division)
    }

    /// [`average`](Self::average) over the given labels only: scikit-learn's `labels=`.
    ///
    /// ```
    /// use mlops_eval::classification::{Average, LabelMetric, MultilabelConfusion, ZeroDivision};
    ///
    /// let state = MultilabelConfusion::of(&[true, false, true], &[true, true, false], 3)?;
    /// let zero = ZeroDivision::Undefined;
    /// let precision = state.average_of(&[0, 1], LabelMetric::Precision, Average::Micro, zero)?;
    /// assert_eq!(precision.value(), Some(0.5));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`StatsError::Empty`], [`StatsError::UnknownCode`], [`StatsError::Parameter`] for a label that is named twice.
    pub fn average_of(
        &self,
        labels: &[u32],
        metric: impl Into<CellMetric>,
        average: Average,
        zero_division: ZeroDivision,
    ) -> Result<Measured, StatsError> {
        let picked = picked("labels", labels, self.labels())?;
        let cells: Vec<WeightedConfusion> =
            picked.into_iter().map(|label| confusion(&self.cells[label])).collect();
        Ok(averaged(&cells, metric.into(), average, zero_division))
    }

    /// A metric of each row's own cells, averaged over the rows by their weights: scikit-learn's `average="samples"`. O(number
    /// of combinations).
    pub fn average_over_rows(&self, metric: impl Into<CellMetric>, zero_division: ZeroDivision) -> Measured {
        let metric = metric.into();
        let labels = self.labels();
        let values = self
            .rows
            .iter()
            .map(|(outcome, weight)| (metric.from_counts(outcome.cells(labels)), weight.value().max(0.0)));
        mean_of(values, zero_division)
    }

    /// The share of rows all of whose labels are right, in [0, 1]; undefined without rows.
    pub fn subset_accuracy(&self) -> Measured {
        let right = self.rows.iter().filter(|(outcome, _)| outcome.false_alarms + outcome.misses == 0);
        let right: Sum = right.map(|(_, weight)| weight.value()).collect();
        Measured::ratio(right.value(), self.total()).map(|share| share.clamp(0.0, 1.0))
    }

    /// The share of rows with a wrong label: 1 − [`subset_accuracy`](Self::subset_accuracy).
    ///
    /// ```
    /// use mlops_eval::classification::MultilabelConfusion;
    /// let state = MultilabelConfusion::of(&[true, false], &[true, true], 2)?;
    /// assert_eq!(state.zero_one_loss().value(), Some(1.0));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn zero_one_loss(&self) -> Measured {
        self.subset_accuracy().map(|accuracy| 1.0 - accuracy)
    }

    /// The share of labels that are wrong, over all rows and labels, in [0, 1]; undefined without rows.
    pub fn hamming_loss(&self) -> Measured {
        // Divided first: the total times the number of labels may leave the range of f64.
        let labels = self.labels() as f64;
        let wrong = self.rows.iter().map(|(outcome, weight)| {
            weight.value() * (f64::from(outcome.false_alarms + outcome.misses) / labels)
        });
        Measured::ratio(wrong.collect::<Sum>().value(), self.total()).map(|share| share.clamp(0.0, 1.0))
    }
}

impl Outcome {
    fn labels(self) -> u64 {
        u64::from(self.hits) + u64::from(self.false_alarms) + u64::from(self.misses)
    }

    fn cells(self, labels: usize) -> WeightedConfusion {
        let right = (labels as u64).saturating_sub(self.labels()) as f64;
        let (hits, false_alarms, misses) =
            (f64::from(self.hits), f64::from(self.false_alarms), f64::from(self.misses));
        // Counts of labels: never refused.
        WeightedConfusion::new(hits, false_alarms, misses, right).unwrap_or_default()
    }
}

/// Only a total beyond f64 is refused, and the state refuses that first.
fn confusion(sums: &[Sum; 4]) -> WeightedConfusion {
    let [tn, fp, fn_, tp] = sums.map(|sum| sum.value().max(0.0));
    WeightedConfusion::new(tp, fp, fn_, tn).unwrap_or_default()
}

pub(super) fn check_labels(labels: usize) -> Result<(), StatsError> {
    if (1..=MAX_LABELS).contains(&labels) {
        return Ok(());
    }
    let reason = "must lie between 1 and 1048576";
    Err(StatsError::Parameter { parameter: "labels", value: labels as f64, reason })
}

/// The number of rows of two matrices of the same shape.
pub(super) fn check_shape<T>(
    y_true: &[bool],
    name: &'static str,
    other: &[T],
    labels: usize,
) -> Result<usize, StatsError> {
    not_empty(named("y_true", y_true))?;
    let rows = y_true.len() / labels;
    let expected = if y_true.len().is_multiple_of(labels) { y_true.len() } else { (rows + 1) * labels };
    if y_true.len() != expected {
        let right = "whole rows of labels";
        return Err(StatsError::LengthMismatch {
            left: "y_true",
            left_len: y_true.len(),
            right,
            right_len: expected,
        });
    }
    if other.len() != y_true.len() {
        let (left_len, right_len) = (y_true.len(), other.len());
        return Err(StatsError::LengthMismatch { left: "y_true", left_len, right: name, right_len });
    }
    Ok(rows)
}

impl TryFrom<Stored> for MultilabelConfusion {
    type Error = StatsError;

    fn try_from(stored: Stored) -> Result<Self, StatsError> {
        let labels = stored.cells.len();
        check_labels(labels)?;
        check_weight(stored.total.value())?;
        let total = stored.total.value();
        let state = Self { cells: stored.cells, rows: BTreeMap::new(), total: stored.total };
        state.check_total(total)?;
        for (index, sums) in state.cells.iter().enumerate() {
            let [tn, fp, fn_, tp] = sums.map(|sum| sum.value());
            let cells = WeightedConfusion::new(tp, fp, fn_, tn)?;
            near("cells", index, cells.total(), total)?;
        }
        let mut rows = BTreeMap::new();
        for (index, (outcome, sum)) in stored.rows.into_iter().enumerate() {
            check_weight(sum.value())?;
            if outcome.labels() > labels as u64 {
                let (value, high) = (outcome.labels() as f64, labels as f64);
                return Err(StatsError::OutOfRange { argument: "rows", index, value, low: 0.0, high });
            }
            if rows.insert(outcome, sum).is_some() {
                let reason = "is the position of a combination that was there before";
                return Err(StatsError::Parameter { parameter: "rows", value: index as f64, reason });
            }
        }
        let all: Sum = rows.values().map(|sum| sum.value()).collect();
        near("rows", 0, all.value(), total)?;
        Ok(Self { rows, ..state })
    }
}

/// That parts add up to the whole, but for rounding.
fn near(argument: &'static str, index: usize, value: f64, total: f64) -> Result<(), StatsError> {
    let (low, high) = (total * (1.0 - 1e-9), total * (1.0 + 1e-9));
    if (low..=high).contains(&value) {
        return Ok(());
    }
    Err(StatsError::OutOfRange { argument, index, value, low, high })
}

impl From<MultilabelConfusion> for Stored {
    fn from(state: MultilabelConfusion) -> Self {
        Self { cells: state.cells, rows: state.rows.into_iter().collect(), total: state.total }
    }
}

#[cfg(test)]
mod tests {
    use super::super::LabelMetric;
    use super::*;

    fn rows(n: usize) -> (Vec<bool>, Vec<bool>, Vec<f64>) {
        let bits = |step: usize, part| (0..n * 4).map(|i| (i * step + i / 3) % 7 < part).collect();
        (bits(3, 3), bits(5, 4), (0..n).map(|i| (i % 5) as f64 * 0.3 + 0.1).collect())
    }

    #[test]
    fn parts_merge_into_the_whole() {
        let (t, p, w) = rows(50);
        let whole = MultilabelConfusion::of(&t, &p, 4).unwrap();
        let mut merged = MultilabelConfusion::of(&t[..80], &p[..80], 4).unwrap();
        merged.merge(&MultilabelConfusion::of(&t[80..], &p[80..], 4).unwrap()).unwrap();
        assert_eq!(merged, whole);
        let mut pushed = MultilabelConfusion::new(4).unwrap();
        for row in 0..50 {
            pushed.push(&t[row * 4..][..4], &p[row * 4..][..4], w[row]).unwrap();
        }
        assert_eq!(pushed, MultilabelConfusion::weighted(&t, &p, &w, 4).unwrap());
    }

    #[test]
    fn bad_rows_are_named() {
        let error = MultilabelConfusion::of(&[true; 3], &[true; 3], 2).unwrap_err();
        assert_eq!(error.to_string(), "`y_true` has 3 elements but `whole rows of labels` has 4");
        assert!(MultilabelConfusion::of(&[true; 4], &[true; 2], 2).is_err());
        assert!(MultilabelConfusion::of(&[], &[], 2).is_err());
        assert!(MultilabelConfusion::weighted(&[true; 4], &[true; 4], &[1.0], 2).is_err());
        let mut state = MultilabelConfusion::new(2).unwrap();
        assert!(state.push(&[true], &[true, false], 1.0).is_err());
        assert!(state.push(&[true, true], &[true, false], f64::INFINITY).is_err());
        state.push(&[true, true], &[true, false], 1e308).unwrap_err();
        assert_eq!(state, MultilabelConfusion::new(2).unwrap());
        let unknown = state.average_of(&[2], LabelMetric::F1, Average::Macro, ZeroDivision::Zero);
        assert!(matches!(unknown, Err(StatsError::UnknownCode { argument: "labels", .. })));
    }

    #[test]
    fn what_is_read_back_is_checked() {
        let (t, p, w) = rows(20);
        let state = MultilabelConfusion::weighted(&t, &p, &w, 4).unwrap();
        let text = serde_json::to_string(&state).unwrap();
        assert_eq!(serde_json::from_str::<MultilabelConfusion>(&text).unwrap(), state);
        for bad in [
            text.replacen("\"total\":", "\"total\":1", 1),
            text.replacen("\"total\":", "\"total\":-", 1),
            text.replacen("\"hits\":", "\"hits\":7", 1),
            text.replacen("\"cells\":[", "\"cells\":[],\"more\":[", 1),
        ] {
            assert!(serde_json::from_str::<MultilabelConfusion>(&bad).is_err(), "{bad}");
        }
    }
}
