//! The confusion matrix of a multiclass classifier, and the averages over its classes.

use mlops_core::num::{Measured, StatsError, UndefinedReason};
use serde::{Deserialize, Serialize};

use super::ZeroDivision;
use super::confusion::{Confusion, WeightedConfusion};
use super::rates::{LabelMetric, power_of_two_below};
use crate::input::{named, paired, weight_total};
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfusionMatrix {
    classes: usize,
    cells: Vec<u64>,
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
        paired(named("y_true", y_true), named("y_pred", y_pred))?;
        let mut matrix = Self::new(classes)?;
        for (row, (&t, &p)) in y_true.iter().zip(y_pred).enumerate() {
            matrix.cells[cell(row, t, p, classes)?] += 1;
        }
        Ok(matrix)
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

/// How the values of the classes become one number.
///
/// Classes that occur neither among the true nor among the predicted labels are left out. A class whose own value is
/// undefined makes the average undefined, unless a [`ZeroDivision`] puts a number in its place.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Average {
    /// Every class counts the same. The default.
    #[default]
    Macro,
    /// The cells of all classes are added first. For precision, recall and F1 this is accuracy.
    Micro,
    /// Every class counts by its true rows.
    Weighted,
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
#[derive(Clone, Debug, PartialEq)]
pub struct WeightedConfusionMatrix {
    classes: usize,
    cells: Vec<f64>,
}

impl WeightedConfusionMatrix {
    /// Adds up the weights of the rows. One pass, compensated sums.
    ///
    /// # Errors
    /// Those of [`ConfusionMatrix::of`], and what [`weights::total`](mlops_core::num::weights::total) refuses.
    pub fn of(y_true: &[u32], y_pred: &[u32], weights: &[f64], classes: usize) -> Result<Self, StatsError> {
        let rows = named("y_true", y_true);
        paired(rows, named("y_pred", y_pred))?;
        weight_total(Some(weights), rows)?;
        check_classes(classes)?;
        let mut sums = vec![Sum::default(); classes * classes];
        for (row, ((&t, &p), &weight)) in y_true.iter().zip(y_pred).zip(weights).enumerate() {
            sums[cell(row, t, p, classes)?].push(weight);
        }
        Ok(Self { classes, cells: sums.into_iter().map(|sum| sum.value()).collect() })
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
    pub fn per_class(&self, metric: LabelMetric) -> Vec<Measured> {
        let total = self.total();
        self.margins().iter().map(|class| class.measure(metric, total)).collect()
    }

    /// A metric averaged over the classes; [`Average`] says which are left out and when there is no average.
    ///
    /// With [`ZeroDivision::Zero`] this is scikit-learn's default for precision, recall and F1.
    ///
    /// ```
    /// use mlops_eval::classification::{Average, ConfusionMatrix, LabelMetric, ZeroDivision};
    ///
    /// // Class 2 is never predicted: it has no precision.
    /// let matrix = ConfusionMatrix::of(&[0, 1, 2], &[0, 1, 1], 3)?.weighted();
    /// let average = |zero| matrix.average(LabelMetric::Precision, Average::Macro, zero).value();
    /// assert_eq!(average(ZeroDivision::Undefined), None);
    /// assert_eq!(average(ZeroDivision::Zero), Some(0.5));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn average(&self, metric: LabelMetric, average: Average, zero_division: ZeroDivision) -> Measured {
        let total = self.total();
        let mut seen = self.margins();
        seen.retain(|class| class.actual > 0.0 || class.predicted > 0.0);
        if let Average::Micro = average {
            return zero_division.apply(micro(&seen, metric, total));
        }
        let values = seen.iter().map(|class| zero_division.apply(class.measure(metric, total)).value());
        let Some(values) = values.collect::<Option<Vec<f64>>>().filter(|values| !values.is_empty()) else {
            return Measured::none(UndefinedReason::NothingDefined, 0, seen.len());
        };
        if let Average::Weighted = average {
            let support: Sum = seen.iter().map(|class| class.actual).collect();
            let terms =
                seen.iter().zip(&values).map(|(class, value)| value * (class.actual / support.value()));
            return Measured::Value(terms.collect::<Sum>().value());
        }
        Measured::Value(mean(&values))
    }

    fn diagonal(&self) -> f64 {
        self.cells.iter().step_by(self.classes + 1).copied().collect::<Sum>().value()
    }

    /// Row sums, column sums and diagonal in one pass over the cells.
    fn margins(&self) -> Vec<Margins> {
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
struct Margins {
    hits: f64,
    actual: f64,
    predicted: f64,
}

impl Margins {
    fn against(&self, total: f64) -> Result<WeightedConfusion, StatsError> {
        // Differences of sums may fall below 0 by a rounding error.
        let false_positives = (self.predicted - self.hits).max(0.0);
        let false_negatives = (self.actual - self.hits).max(0.0);
        let true_negatives = (total - self.actual - false_positives).max(0.0);
        WeightedConfusion::new(self.hits, false_positives, false_negatives, true_negatives)
    }

    fn measure(&self, metric: LabelMetric, total: f64) -> Measured {
        match self.against(total) {
            Ok(cells) => metric.from_counts(cells),
            // Only a total beyond f64 is refused, and the constructors refuse that first.
            Err(_) => Measured::none(UndefinedReason::NothingDefined, 0, 1),
        }
    }
}

fn micro(seen: &[Margins], metric: LabelMetric, total: f64) -> Measured {
    let share = seen.len() as f64;
    let sum = |part: &dyn Fn(&WeightedConfusion) -> f64| -> f64 {
        // Divided by the number of classes, which no metric notices, so that the sum stays within range.
        let parts =
            seen.iter().filter_map(|class| class.against(total).ok()).map(|cells| part(&cells) / share);
        parts.collect::<Sum>().value()
    };
    let pooled = WeightedConfusion::new(
        sum(&WeightedConfusion::true_positives),
        sum(&WeightedConfusion::false_positives),
        sum(&WeightedConfusion::false_negatives),
        sum(&WeightedConfusion::true_negatives),
    );
    match pooled {
        Ok(cells) => metric.from_counts(cells),
        Err(_) => Measured::none(UndefinedReason::NothingDefined, 0, seen.len()),
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
        _ => Err(StatsError::UnknownCode {
            argument,
            index: row,
            code: u64::from(code),
            known: classes as u64,
        }),
    };
    Ok(index("y_true", y_true)? * classes + index("y_pred", y_pred)?)
}

#[cfg(test)]
mod tests {
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
