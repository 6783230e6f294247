//! The confusion matrix of a multiclass classifier, and the averages over its classes.

use mlops_core::num::{Measured, StatsError, UndefinedReason};
use serde::{Deserialize, Serialize};

use super::ZeroDivision;
use super::average::averaged;
pub use super::average::{Average, CellMetric};
use super::confusion::{Confusion, WeightedConfusion};
use super::kernel::{count_multiclass, sum_multiclass};
use super::rates::power_of_two_below;
use crate::input::{check_weight, named, not_empty, paired, weight_total};
use mlops_core::num::parallel::Threads;
use mlops_core::num::sum::Sum;

/// The most classes a matrix may have: 2 048² cells take 32 MiB.
pub const MAX_CLASSES: usize = 2_048;

/// How often each true class (row) is predicted as each class (column).
///
/// ```
/// use mlops_eval::classification::ConfusionMatrix;
///
/// let matrix = ConfusionMatrix::of(&[0, 1, 2, 2], &[0, 2, 2, 1], 3)?;
/// assert_eq!(matrix.get(2, 1), Some(1));
/// assert_eq!(matrix.weighted().accuracy().value(), Some(0.5));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Stored<u64>", into = "Stored<u64>")]
pub struct ConfusionMatrix {
    classes: usize,
    cells: Vec<u64>,
}

/// As a matrix is written down.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored<T> {
    classes: usize,
    cells: Vec<T>,
}

impl<T> Stored<T> {
    fn check(&self) -> Result<(), StatsError> {
        check_classes(self.classes)?;
        if self.cells.len() == self.classes * self.classes {
            return Ok(());
        }
        let (left_len, right_len) = (self.cells.len(), self.classes * self.classes);
        Err(StatsError::LengthMismatch { left: "cells", left_len, right: "pairs of classes", right_len })
    }
}

impl TryFrom<Stored<u64>> for ConfusionMatrix {
    type Error = StatsError;

    fn try_from(stored: Stored<u64>) -> Result<Self, StatsError> {
        stored.check()?;
        Ok(Self { classes: stored.classes, cells: stored.cells })
    }
}

impl From<ConfusionMatrix> for Stored<u64> {
    fn from(matrix: ConfusionMatrix) -> Self {
        Self { classes: matrix.classes, cells: matrix.cells }
    }
}

impl ConfusionMatrix {
    /// An empty matrix for the classes 0 to `classes` − 1, to be filled by [`push`](Self::push) and
    /// [`merge`](Self::merge).
    ///
    /// ```
    /// use mlops_eval::classification::ConfusionMatrix;
    /// assert_eq!(ConfusionMatrix::new(3)?.classes(), 3);
    /// assert!(ConfusionMatrix::new(0).is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`StatsError::Parameter`] unless `classes` lies between 1 and [`MAX_CLASSES`].
    pub fn new(classes: usize) -> Result<Self, StatsError> {
        check_classes(classes)?;
        Ok(Self { classes, cells: vec![0; classes * classes] })
    }

    /// Counts the rows. One pass.
    ///
    /// # Errors
    /// [`StatsError::LengthMismatch`], [`StatsError::Empty`], [`StatsError::UnknownCode`] for a code that is not
    /// below `classes`, [`StatsError::Parameter`] as for [`new`](Self::new).
    pub fn of(y_true: &[u32], y_pred: &[u32], classes: usize) -> Result<Self, StatsError> {
        Self::of_with(y_true, y_pred, classes, Threads::ONE)
    }

    /// [`of`](Self::of) on several threads; the same counts on any number of them.
    ///
    /// ```
    /// use mlops_core::num::parallel::Threads;
    /// use mlops_eval::classification::ConfusionMatrix;
    /// let matrix = ConfusionMatrix::of_with(&[0, 1], &[0, 0], 2, Threads::new(2))?;
    /// assert_eq!(matrix, ConfusionMatrix::of(&[0, 1], &[0, 0], 2)?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`of`](Self::of).
    pub fn of_with(
        y_true: &[u32],
        y_pred: &[u32],
        classes: usize,
        threads: Threads,
    ) -> Result<Self, StatsError> {
        paired(named("y_true", y_true), named("y_pred", y_pred))?;
        check_classes(classes)?;
        Ok(Self { classes, cells: count_multiclass(y_true, y_pred, classes, threads)? })
    }

    /// Adds one row.
    ///
    /// ```
    /// use mlops_eval::classification::ConfusionMatrix;
    ///
    /// let mut matrix = ConfusionMatrix::new(2)?;
    /// matrix.push(0, 1)?;
    /// assert_eq!(matrix.get(0, 1), Some(1));
    /// assert!(matrix.push(0, 2).is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`StatsError::UnknownCode`], with index 0.
    pub fn push(&mut self, y_true: u32, y_pred: u32) -> Result<(), StatsError> {
        let cell = &mut self.cells[cell(0, y_true, y_pred, self.classes)?];
        *cell = cell.saturating_add(1);
        Ok(())
    }

    /// Adds the counts of another part of the data.
    ///
    /// ```
    /// use mlops_eval::classification::ConfusionMatrix;
    ///
    /// let mut whole = ConfusionMatrix::of(&[0, 1], &[0, 0], 2)?;
    /// whole.merge(&ConfusionMatrix::of(&[1], &[1], 2)?)?;
    /// assert_eq!(whole, ConfusionMatrix::of(&[0, 1, 1], &[0, 0, 1], 2)?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`StatsError::Incompatible`] when the numbers of classes differ, [`StatsError::Overflow`]; `self` is unchanged
    /// then.
    pub fn merge(&mut self, other: &Self) -> Result<(), StatsError> {
        if self.classes != other.classes {
            return Err(StatsError::Incompatible { what: "the number of classes" });
        }
        let overflow = StatsError::Overflow { what: "a confusion count" };
        let sums = self.cells.iter().zip(&other.cells).map(|(a, b)| a.checked_add(*b).ok_or(overflow));
        self.cells = sums.collect::<Result<_, _>>()?;
        Ok(())
    }

    /// The number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// How often `y_true` was predicted as `y_pred`; `None` for a class there is not.
    ///
    /// ```
    /// use mlops_eval::classification::ConfusionMatrix;
    /// assert_eq!(ConfusionMatrix::of(&[0], &[1], 2)?.get(0, 1), Some(1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn get(&self, y_true: usize, y_pred: usize) -> Option<u64> {
        let known = y_true < self.classes && y_pred < self.classes;
        known.then(|| self.cells[y_true * self.classes + y_pred])
    }

    /// One class against the rest: `class` is positive, all others are negative.
    ///
    /// ```
    /// use mlops_eval::classification::ConfusionMatrix;
    ///
    /// let matrix = ConfusionMatrix::of(&[0, 1, 2, 2], &[0, 2, 2, 1], 3)?;
    /// assert_eq!(matrix.one_vs_rest(2).map(|counts| counts.false_positives), Some(1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn one_vs_rest(&self, class: usize) -> Option<Confusion> {
        let hits = self.get(class, class)?;
        let sum =
            |cells: &mut dyn Iterator<Item = &u64>| cells.fold(0, |sum: u64, cell| sum.saturating_add(*cell));
        let actual = sum(&mut self.cells[class * self.classes..][..self.classes].iter());
        let predicted = sum(&mut self.cells.iter().skip(class).step_by(self.classes));
        let rows = sum(&mut self.cells.iter());
        Some(Confusion {
            true_positives: hits,
            false_positives: predicted - hits,
            false_negatives: actual - hits,
            true_negatives: rows.saturating_sub(actual).saturating_sub(predicted - hits),
        })
    }

    /// The same cells as f64, which is where the metrics are. Exact up to 2⁵³ rows in a cell.
    ///
    /// ```
    /// use mlops_eval::classification::ConfusionMatrix;
    /// let cells = ConfusionMatrix::of(&[0, 1], &[0, 0], 2)?.weighted();
    /// assert_eq!(cells.total(), 2.0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn weighted(&self) -> WeightedConfusionMatrix {
        let cells = self.cells.iter().map(|&count| count as f64).collect();
        WeightedConfusionMatrix { classes: self.classes, cells }
    }
}

/// The weight that falls on each pair of true class (row) and predicted class (column), and the metrics of it.
///
/// ```
/// use mlops_eval::classification::{Average, LabelMetric, WeightedConfusionMatrix, ZeroDivision};
///
/// let matrix = WeightedConfusionMatrix::of(&[0, 1, 1], &[0, 1, 0], &[1.0, 2.0, 1.0], 2)?;
/// assert_eq!(matrix.accuracy().value(), Some(0.75));
/// let f1 = matrix.average(LabelMetric::F1, Average::Macro, ZeroDivision::Undefined);
/// assert_eq!(f1.value(), Some((2.0 / 3.0 + 0.8) / 2.0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Stored<f64>", into = "Stored<f64>")]
pub struct WeightedConfusionMatrix {
    classes: usize,
    cells: Vec<f64>,
}

impl TryFrom<Stored<f64>> for WeightedConfusionMatrix {
    type Error = StatsError;

    fn try_from(stored: Stored<f64>) -> Result<Self, StatsError> {
        stored.check()?;
        match mlops_core::num::weights::total("cells", &stored.cells) {
            Ok(_) | Err(StatsError::ZeroTotal { .. }) => {}
            Err(error) => return Err(error),
        }
        Ok(Self { classes: stored.classes, cells: stored.cells })
    }
}

impl From<WeightedConfusionMatrix> for Stored<f64> {
    fn from(matrix: WeightedConfusionMatrix) -> Self {
        Self { classes: matrix.classes, cells: matrix.cells }
    }
}

/// What the cells of a matrix are divided by.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Normalize {
    /// The rows of their true class: each row of the matrix adds up to 1.
    True,
    /// The rows of their predicted class: each column adds up to 1.
    Pred,
    /// All rows.
    All,
}

impl WeightedConfusionMatrix {
    /// Adds up the weights of the rows. One pass, compensated sums.
    ///
    /// # Errors
    /// Those of [`ConfusionMatrix::of`], and what [`weights::total`](mlops_core::num::weights::total) refuses.
    pub fn of(y_true: &[u32], y_pred: &[u32], weights: &[f64], classes: usize) -> Result<Self, StatsError> {
        Self::of_with(y_true, y_pred, weights, classes, Threads::ONE)
    }

    /// [`of`](Self::of) on several threads; the same bits on any number of them.
    ///
    /// # Errors
    /// Those of [`of`](Self::of).
    pub fn of_with(
        y_true: &[u32],
        y_pred: &[u32],
        weights: &[f64],
        classes: usize,
        threads: Threads,
    ) -> Result<Self, StatsError> {
        Ok(WeightedConfusionMatrixState::of_with(y_true, y_pred, weights, classes, threads)?.finish())
    }

    /// The weight of rows of class `y_true` that were predicted as `y_pred`; `None` for a class there is not.
    ///
    /// ```
    /// use mlops_eval::classification::ConfusionMatrix;
    /// assert_eq!(ConfusionMatrix::of(&[0], &[1], 2)?.weighted().get(0, 1), Some(1.0));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn get(&self, y_true: usize, y_pred: usize) -> Option<f64> {
        let known = y_true < self.classes && y_pred < self.classes;
        known.then(|| self.cells[y_true * self.classes + y_pred])
    }

    /// The cells, row-major: true class by predicted class.
    pub fn cells(&self) -> &[f64] {
        &self.cells
    }

    /// The codes of the classes that occur among the true or the predicted labels.
    ///
    /// ```
    /// use mlops_eval::classification::ConfusionMatrix;
    /// assert_eq!(ConfusionMatrix::of(&[0], &[3], 5)?.weighted().present(), [0, 3]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn present(&self) -> Vec<u32> {
        let occurs =
            |(code, class): (u32, &Margins)| (class.actual > 0.0 || class.predicted > 0.0).then_some(code);
        (0..).zip(self.margins().iter()).filter_map(occurs).collect()
    }

    /// The matrix of some of the classes, in the given order: rows whose true or predicted class is another are dropped, as
    /// by scikit-learn's `confusion_matrix(labels=…)`.
    ///
    /// ```
    /// use mlops_eval::classification::ConfusionMatrix;
    /// let matrix = ConfusionMatrix::of(&[0, 1, 2], &[0, 2, 2], 3)?.weighted();
    /// assert_eq!(matrix.select(&[2, 0])?.cells(), [1.0, 0.0, 0.0, 1.0]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`StatsError::Empty`], [`StatsError::UnknownCode`], [`StatsError::Parameter`] for a class that is named twice.
    pub fn select(&self, classes: &[u32]) -> Result<Self, StatsError> {
        let picked = self.picked(classes)?;
        let row = |t: &usize| picked.iter().map(|p| self.cells[t * self.classes + p]).collect::<Vec<_>>();
        Ok(Self { classes: picked.len(), cells: picked.iter().flat_map(row).collect() })
    }

    /// The positions of classes, each once.
    fn picked(&self, classes: &[u32]) -> Result<Vec<usize>, StatsError> {
        picked("classes", classes, self.classes)
    }

    /// Every cell divided by its row, its column or the total, row-major. Undefined where that is 0: a class that does not
    /// occur; [`compat`](super::compat) has scikit-learn's 0.
    ///
    /// ```
    /// use mlops_eval::classification::{ConfusionMatrix, Normalize};
    /// let matrix = ConfusionMatrix::of(&[0, 0, 0, 0], &[0, 0, 0, 1], 2)?.weighted();
    /// let shares: Vec<_> = matrix.normalized(Normalize::True).iter().map(|share| share.value()).collect();
    /// assert_eq!(shares, [Some(0.75), Some(0.25), None, None]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn normalized(&self, by: Normalize) -> Vec<Measured> {
        let (margins, total) = (self.margins(), self.total());
        let divisor = |cell: usize| match by {
            Normalize::True => margins[cell / self.classes].actual,
            Normalize::Pred => margins[cell % self.classes].predicted,
            Normalize::All => total,
        };
        let share = |(cell, &weight)| Measured::ratio(weight, divisor(cell)).map(|share| share.min(1.0));
        self.cells.iter().enumerate().map(share).collect()
    }

    /// The weight of the true rows of each class.
    ///
    /// ```
    /// use mlops_eval::classification::ConfusionMatrix;
    /// assert_eq!(ConfusionMatrix::of(&[0, 1, 1], &[0, 0, 0], 2)?.weighted().support(), [1.0, 2.0]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn support(&self) -> Vec<f64> {
        self.margins().iter().map(|class| class.actual).collect()
    }

    /// The number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// The weight of all rows.
    pub fn total(&self) -> f64 {
        self.cells.iter().copied().collect::<Sum>().value()
    }

    /// The share of rows predicted right, in [0, 1].
    ///
    /// ```
    /// use mlops_eval::classification::ConfusionMatrix;
    /// let matrix = ConfusionMatrix::of(&[0, 1, 2, 2], &[0, 1, 2, 1], 3)?.weighted();
    /// assert_eq!(matrix.accuracy().value(), Some(0.75));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn accuracy(&self) -> Measured {
        Measured::ratio(self.diagonal(), self.total()).map(|share| share.min(1.0))
    }

    /// The share of rows predicted wrong, in [0, 1]: 1 − [`accuracy`](Self::accuracy). With one class a row this is the
    /// Hamming loss too.
    ///
    /// ```
    /// use mlops_eval::classification::ConfusionMatrix;
    /// let matrix = ConfusionMatrix::of(&[0, 1, 2, 2], &[0, 1, 2, 1], 3)?.weighted();
    /// assert_eq!(matrix.zero_one_loss().value(), Some(0.25));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn zero_one_loss(&self) -> Measured {
        // Added up by itself: 1 − accuracy would lose the digits of a small loss.
        let wrong = |(cell, &weight): (usize, &f64)| (cell % (self.classes + 1) != 0).then_some(weight);
        let wrong = self.cells.iter().enumerate().filter_map(wrong).collect::<Sum>().value();
        Measured::ratio(wrong, self.total()).map(|share| share.min(1.0))
    }

    /// The share of labels that are wrong: with one class a row, [`zero_one_loss`](Self::zero_one_loss).
    pub fn hamming_loss(&self) -> Measured {
        self.zero_one_loss()
    }

    /// [`balanced_accuracy`](Self::balanced_accuracy) moved so that chance is 0 and perfect is 1: (b − 1/K) / (1 − 1/K) for
    /// the K classes that occur among the true labels; from −1/(K − 1) to 1.
    ///
    /// ```
    /// use mlops_eval::classification::ConfusionMatrix;
    /// let matrix = ConfusionMatrix::of(&[0, 0, 0, 1], &[0, 0, 0, 0], 2)?.weighted();
    /// assert_eq!(matrix.balanced_accuracy_adjusted().value(), Some(0.0));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn balanced_accuracy_adjusted(&self) -> Measured {
        let present = self.margins().iter().filter(|class| class.actual > 0.0).count() as f64;
        self.balanced_accuracy().map(|balanced| (balanced * present - 1.0) / (present - 1.0))
    }

    /// The mean recall of the classes that occur among the true labels, in [0, 1]; undefined when fewer than two do.
    ///
    /// ```
    /// use mlops_eval::classification::ConfusionMatrix;
    /// let matrix = ConfusionMatrix::of(&[0, 0, 0, 1], &[0, 0, 0, 0], 2)?.weighted();
    /// assert_eq!(matrix.balanced_accuracy().value(), Some(0.5));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn balanced_accuracy(&self) -> Measured {
        let recalls: Vec<f64> = self
            .margins()
            .iter()
            .filter_map(|class| Measured::ratio(class.hits, class.actual).value())
            .map(|recall| recall.min(1.0))
            .collect();
        if recalls.len() < 2 {
            return Measured::none(UndefinedReason::SingleClass, recalls.len(), 2);
        }
        Measured::Value(mean(&recalls))
    }

    /// The correlation of true and predicted class (Gorodkin 2004), in [−1, 1]; Matthews' for two classes.
    ///
    /// Undefined when the true or the predicted classes are all alike; scikit-learn returns 0 then.
    ///
    /// ```
    /// use mlops_eval::classification::ConfusionMatrix;
    /// let matrix = ConfusionMatrix::of(&[0, 1, 2], &[0, 1, 2], 3)?.weighted();
    /// assert_eq!(matrix.mcc().value(), Some(1.0));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn mcc(&self) -> Measured {
        // A power of two keeps the cells' digits and brings their products into range.
        let scale = power_of_two_below(self.total());
        let total = self.total() / scale;
        let margins = self.margins();
        let dot = |a: fn(&Margins) -> f64, b: fn(&Margins) -> f64| {
            let products = margins.iter().map(|class| (a(class) / scale) * (b(class) / scale));
            products.collect::<Sum>().value()
        };
        let covariance = total * (self.diagonal() / scale) - dot(|c| c.actual, |c| c.predicted);
        // One class holding everything leaves no variance; asked of the counts, where rounding cannot hide it.
        let varies = |part: fn(&Margins) -> f64| margins.iter().filter(|class| part(class) > 0.0).count() > 1;
        if !varies(|c| c.actual) || !varies(|c| c.predicted) {
            return Measured::ratio(covariance, 0.0);
        }
        let actual = total * total - dot(|c| c.actual, |c| c.actual);
        let predicted = total * total - dot(|c| c.predicted, |c| c.predicted);
        let spread = actual.max(0.0).sqrt() * predicted.max(0.0).sqrt();
        Measured::ratio(covariance, spread).map(|mcc| mcc.clamp(-1.0, 1.0))
    }

    /// One class against the rest; `None` for a class there is not.
    ///
    /// ```
    /// use mlops_eval::classification::WeightedConfusionMatrix;
    ///
    /// let matrix = WeightedConfusionMatrix::of(&[0, 1], &[0, 0], &[0.5, 2.0], 2)?;
    /// assert_eq!(matrix.one_vs_rest(0)?.map(|cells| cells.false_positives()), Some(2.0));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`StatsError::Overflow`] when the cells add up to more than an f64 holds.
    pub fn one_vs_rest(&self, class: usize) -> Result<Option<WeightedConfusion>, StatsError> {
        if class >= self.classes {
            return Ok(None);
        }
        self.margins()[class].against(self.total()).map(Some)
    }

    /// A metric of each class against the rest, in the order of the codes.
    ///
    /// ```
    /// use mlops_eval::classification::{ConfusionMatrix, LabelMetric};
    ///
    /// let matrix = ConfusionMatrix::of(&[0, 1, 1], &[0, 1, 0], 2)?.weighted();
    /// let recalls: Vec<_> = matrix.per_class(LabelMetric::Recall).iter().map(|m| m.value()).collect();
    /// assert_eq!(recalls, [Some(1.0), Some(0.5)]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn per_class(&self, metric: impl Into<CellMetric>) -> Vec<Measured> {
        let (total, metric) = (self.total(), metric.into());
        self.margins().iter().map(|class| metric.from_counts(class.cells(total))).collect()
    }

    /// A metric averaged over the classes; [`Average`] says which are left out and when there is no average.
    ///
    /// With [`ZeroDivision::Zero`] this is scikit-learn's default for precision, recall and F1.
    ///
    /// ```
    /// use mlops_eval::classification::{Average, CellMetric, ConfusionMatrix, LabelMetric, ZeroDivision};
    ///
    /// // Class 2 is never predicted: it has no precision.
    /// let matrix = ConfusionMatrix::of(&[0, 1, 2], &[0, 1, 1], 3)?.weighted();
    /// let average = |zero| matrix.average(LabelMetric::Precision, Average::Macro, zero).value();
    /// assert_eq!(average(ZeroDivision::Undefined), None);
    /// assert_eq!(average(ZeroDivision::Zero), Some(0.5));
    /// assert_eq!(average(ZeroDivision::Nan), Some(0.75));
    /// let f2 = matrix.average(CellMetric::f_beta(2.0)?, Average::Micro, ZeroDivision::Undefined);
    /// assert_eq!(f2.value(), Some(2.0 / 3.0));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn average(
        &self,
        metric: impl Into<CellMetric>,
        average: Average,
        zero_division: ZeroDivision,
    ) -> Measured {
        let total = self.total();
        let margins = self.margins();
        let seen = margins.iter().filter(|class| class.actual > 0.0 || class.predicted > 0.0);
        let cells: Vec<WeightedConfusion> = seen.map(|class| class.cells(total)).collect();
        averaged(&cells, metric.into(), average, zero_division)
    }

    /// [`average`](Self::average) over the given classes only, whether they occur or not: scikit-learn's `labels=`. All rows
    /// count, as negatives of these classes at least.
    ///
    /// ```
    /// use mlops_eval::classification::{Average, ConfusionMatrix, LabelMetric, ZeroDivision};
    ///
    /// let matrix = ConfusionMatrix::of(&[0, 1, 2, 2], &[0, 0, 2, 1], 3)?.weighted();
    /// let of = |classes: &[u32]| {
    ///     matrix.average_of(classes, LabelMetric::Recall, Average::Micro, ZeroDivision::Undefined)
    /// };
    /// assert_eq!(of(&[1, 2])?.value(), Some(1.0 / 3.0));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`select`](Self::select).
    pub fn average_of(
        &self,
        classes: &[u32],
        metric: impl Into<CellMetric>,
        average: Average,
        zero_division: ZeroDivision,
    ) -> Result<Measured, StatsError> {
        let (total, margins) = (self.total(), self.margins());
        let cells: Vec<WeightedConfusion> =
            self.picked(classes)?.into_iter().map(|class| margins[class].cells(total)).collect();
        Ok(averaged(&cells, metric.into(), average, zero_division))
    }

    fn diagonal(&self) -> f64 {
        self.cells.iter().step_by(self.classes + 1).copied().collect::<Sum>().value()
    }

    /// Row sums, column sums and diagonal in one pass over the cells.
    pub(super) fn margins(&self) -> Vec<Margins> {
        let k = self.classes;
        let mut actual = vec![Sum::default(); k];
        let mut predicted = vec![Sum::default(); k];
        for (row, cells) in self.cells.chunks_exact(k).enumerate() {
            for (column, &cell) in cells.iter().enumerate() {
                actual[row].push(cell);
                predicted[column].push(cell);
            }
        }
        let class = |c: usize| Margins {
            hits: self.cells[c * (k + 1)],
            actual: actual[c].value(),
            predicted: predicted[c].value(),
        };
        (0..k).map(class).collect()
    }
}

/// What one class adds up to.
pub(super) struct Margins {
    hits: f64,
    pub(super) actual: f64,
    pub(super) predicted: f64,
}

impl Margins {
    fn against(&self, total: f64) -> Result<WeightedConfusion, StatsError> {
        // Differences of sums may fall below 0 by a rounding error.
        let false_positives = (self.predicted - self.hits).max(0.0);
        let false_negatives = (self.actual - self.hits).max(0.0);
        let true_negatives = (total - self.actual - false_positives).max(0.0);
        WeightedConfusion::new(self.hits, false_positives, false_negatives, true_negatives)
    }

    /// Only a total beyond f64 is refused, and the constructors refuse that first.
    fn cells(&self, total: f64) -> WeightedConfusion {
        self.against(total).unwrap_or_default()
    }
}

/// [`WeightedConfusionMatrix`] while rows still come: the compensated sum of every cell.
///
/// ```
/// use mlops_eval::classification::{WeightedConfusionMatrix, WeightedConfusionMatrixState};
///
/// let mut state = WeightedConfusionMatrixState::new(3)?;
/// state.push(0, 2, 0.5)?;
/// state.merge(&WeightedConfusionMatrixState::of(&[1], &[1], &[2.0], 3)?)?;
/// assert_eq!(state.finish(), WeightedConfusionMatrix::of(&[0, 1], &[2, 1], &[0.5, 2.0], 3)?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Stored<Sum>", into = "Stored<Sum>")]
pub struct WeightedConfusionMatrixState {
    classes: usize,
    cells: Vec<Sum>,
}

impl WeightedConfusionMatrixState {
    /// No rows yet of the classes 0 to `classes` − 1.
    ///
    /// # Errors
    /// [`StatsError::Parameter`] unless `classes` lies between 1 and [`MAX_CLASSES`].
    pub fn new(classes: usize) -> Result<Self, StatsError> {
        check_classes(classes)?;
        Ok(Self { classes, cells: vec![Sum::new(); classes * classes] })
    }

    /// Adds up the weights of the rows. One pass.
    ///
    /// # Errors
    /// Those of [`WeightedConfusionMatrix::of`].
    pub fn of(y_true: &[u32], y_pred: &[u32], weights: &[f64], classes: usize) -> Result<Self, StatsError> {
        Self::of_with(y_true, y_pred, weights, classes, Threads::ONE)
    }

    /// [`of`](Self::of) on several threads; the same bits on any number of them.
    ///
    /// # Errors
    /// Those of [`WeightedConfusionMatrix::of`].
    pub fn of_with(
        y_true: &[u32],
        y_pred: &[u32],
        weights: &[f64],
        classes: usize,
        threads: Threads,
    ) -> Result<Self, StatsError> {
        let rows = named("y_true", y_true);
        paired(rows, named("y_pred", y_pred))?;
        paired(named("weights", weights), rows)?;
        check_classes(classes)?;
        let cells = sum_multiclass(y_true, y_pred, weights, classes, threads)?;
        let state = cells.map(|cells| Self { classes, cells });
        match state.filter(|state| state.total().is_finite() && state.total() > 0.0) {
            Some(state) => Ok(state),
            // Something is wrong with the weights: the check that names it comes second, because it is slow.
            None => {
                weight_total(Some(weights), rows)?;
                Err(OVERFLOW)
            }
        }
    }

    /// Adds one row. O(1); O(classes²) for weights above 10²⁸⁰, after which the total is looked at.
    ///
    /// # Errors
    /// [`StatsError::UnknownCode`], with index 0; [`StatsError::Nan`], [`StatsError::NotFinite`] or
    /// [`StatsError::OutOfRange`] for the weight; [`StatsError::Overflow`]. `self` is unchanged then.
    pub fn push(&mut self, y_true: u32, y_pred: u32, weight: f64) -> Result<(), StatsError> {
        check_weight(weight)?;
        let cell = cell(0, y_true, y_pred, self.classes)?;
        let before = self.cells[cell];
        self.cells[cell].push(weight);
        // It takes more than 10¹² smaller weights to move a finite total past the last f64.
        if weight <= 1e280 || self.total().is_finite() {
            return Ok(());
        }
        self.cells[cell] = before;
        Err(OVERFLOW)
    }

    /// Adds the sums of another part of the data.
    ///
    /// # Errors
    /// [`StatsError::Incompatible`] when the numbers of classes differ, [`StatsError::Overflow`]; `self` is unchanged
    /// then.
    pub fn merge(&mut self, other: &Self) -> Result<(), StatsError> {
        if self.classes != other.classes {
            return Err(StatsError::Incompatible { what: "the number of classes" });
        }
        let mut next = self.clone();
        next.cells.iter_mut().zip(&other.cells).for_each(|(sum, part)| sum.merge(*part));
        if !next.total().is_finite() {
            return Err(OVERFLOW);
        }
        *self = next;
        Ok(())
    }

    /// The matrix of what has come so far.
    pub fn finish(&self) -> WeightedConfusionMatrix {
        let cells = self.cells.iter().map(|sum| sum.value().max(0.0)).collect();
        WeightedConfusionMatrix { classes: self.classes, cells }
    }

    fn total(&self) -> f64 {
        self.cells.iter().map(|sum| sum.value()).collect::<Sum>().value()
    }
}

const OVERFLOW: StatsError = StatsError::Overflow { what: "the sum of the weights" };

impl TryFrom<Stored<Sum>> for WeightedConfusionMatrixState {
    type Error = StatsError;

    fn try_from(stored: Stored<Sum>) -> Result<Self, StatsError> {
        let cells = stored.cells.iter().map(|sum| sum.value()).collect();
        WeightedConfusionMatrix::try_from(Stored { classes: stored.classes, cells })?;
        Ok(Self { classes: stored.classes, cells: stored.cells })
    }
}

impl From<WeightedConfusionMatrixState> for Stored<Sum> {
    fn from(state: WeightedConfusionMatrixState) -> Self {
        Self { classes: state.classes, cells: state.cells }
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().copied().collect::<Sum>().value() / values.len() as f64
}

fn check_classes(classes: usize) -> Result<(), StatsError> {
    if (1..=MAX_CLASSES).contains(&classes) {
        return Ok(());
    }
    let reason = "must lie between 1 and 2048";
    Err(StatsError::Parameter { parameter: "classes", value: classes as f64, reason })
}

/// The position of a pair of codes, or the error that names the one that is unknown.
fn cell(row: usize, y_true: u32, y_pred: u32, classes: usize) -> Result<usize, StatsError> {
    let index = |argument, code: u32| match usize::try_from(code) {
        Ok(class) if class < classes => Ok(class),
        _ => Err(unknown_code(argument, row, code, classes)),
    };
    Ok(index("y_true", y_true)? * classes + index("y_pred", y_pred)?)
}

pub(super) fn unknown_code(argument: &'static str, row: usize, code: u32, classes: usize) -> StatsError {
    StatsError::UnknownCode { argument, index: row, code: u64::from(code), known: classes as u64 }
}

/// Codes as positions, each of which may be named once.
pub(super) fn picked(argument: &'static str, codes: &[u32], known: usize) -> Result<Vec<usize>, StatsError> {
    not_empty(named(argument, codes))?;
    let mut seen = vec![false; known];
    let position = |(index, &code): (usize, &u32)| match seen.get_mut(code as usize) {
        None => Err(unknown_code(argument, index, code, known)),
        Some(true) => {
            let reason = "is named twice";
            Err(StatsError::Parameter { parameter: argument, value: f64::from(code), reason })
        }
        Some(seen) => {
            *seen = true;
            Ok(code as usize)
        }
    };
    codes.iter().enumerate().map(position).collect()
}

#[cfg(test)]
mod tests {
    use super::super::rates::LabelMetric;
    use super::*;

    #[test]
    fn two_classes_are_the_binary_case() {
        let y_true = [1, 1, 0, 0, 1, 0, 1];
        let y_pred = [1, 0, 0, 1, 1, 0, 1];
        let matrix = ConfusionMatrix::of(&y_true, &y_pred, 2).unwrap();
        let binary = matrix.one_vs_rest(1).unwrap();
        let bools = |codes: &[u32]| codes.iter().map(|&code| code == 1).collect::<Vec<_>>();
        assert_eq!(binary, Confusion::of(&bools(&y_true), &bools(&y_pred)).unwrap());
        for (whole, metric) in [
            (matrix.weighted().mcc(), LabelMetric::Mcc),
            (matrix.weighted().accuracy(), LabelMetric::Accuracy),
            (matrix.weighted().balanced_accuracy(), LabelMetric::BalancedAccuracy),
        ] {
            let expected = metric.from_counts(binary).value().unwrap();
            assert!((whole.value().unwrap() - expected).abs() < 1e-15, "{metric}");
        }
    }

    #[test]
    fn micro_averages_of_precision_recall_and_f1_are_accuracy() {
        let matrix = ConfusionMatrix::of(&[0, 1, 2, 3, 3, 1], &[0, 2, 2, 3, 0, 1], 5).unwrap().weighted();
        for metric in [LabelMetric::Precision, LabelMetric::Recall, LabelMetric::F1] {
            let micro = matrix.average(metric, Average::Micro, ZeroDivision::Undefined);
            assert_eq!(micro.value(), matrix.accuracy().value());
        }
    }

    #[test]
    fn one_class_only_has_no_correlation() {
        let matrix = ConfusionMatrix::of(&[0, 0, 0], &[0, 1, 2], 3).unwrap().weighted();
        assert_eq!(matrix.mcc().undefined().unwrap().reason, UndefinedReason::ZeroDenominator);
        assert_eq!(matrix.balanced_accuracy().undefined().unwrap().reason, UndefinedReason::SingleClass);
    }

    #[test]
    fn bad_codes_and_sizes_are_named() {
        let error = ConfusionMatrix::of(&[0, 3], &[0, 0], 3).unwrap_err();
        assert_eq!(error, StatsError::UnknownCode { argument: "y_true", index: 1, code: 3, known: 3 });
        for classes in [0, MAX_CLASSES + 1, usize::MAX] {
            assert!(matches!(ConfusionMatrix::new(classes), Err(StatsError::Parameter { .. })));
        }
        let mut two = ConfusionMatrix::new(2).unwrap();
        assert!(two.merge(&ConfusionMatrix::new(3).unwrap()).is_err());
        assert_eq!(two.get(2, 0), None);
        assert_eq!(two.one_vs_rest(2), None);
        assert_eq!(two.weighted().one_vs_rest(2), Ok(None));
    }
}
