//! Cohen's κ: agreement beyond chance.

use mlops_core::num::sum::Sum;
use mlops_core::num::{Measured, StatsError};
use serde::{Deserialize, Serialize};

use super::matrix::{ConfusionMatrix, WeightedConfusionMatrix};
use super::rates::power_of_two_below;
use crate::input::finite;

/// How bad it is to take one class for another.
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KappaWeights {
    /// Every disagreement counts 1 (Cohen 1960). The default.
    #[default]
    Unweighted,
    /// |i − j|: for classes in order.
    Linear,
    /// (i − j)²: for classes in order (Fleiss and Cohen 1973).
    Quadratic,
    /// A matrix of one's own, row-major, true class by predicted class: finite, not negative, 0 on the diagonal.
    Custom(Vec<f64>),
}

impl KappaWeights {
    fn check(&self, classes: usize) -> Result<(), StatsError> {
        let Self::Custom(weights) = self else { return Ok(()) };
        if weights.len() != classes * classes {
            return Err(StatsError::LengthMismatch {
                left: "kappa weights",
                left_len: weights.len(),
                right: "cells of the matrix",
                right_len: classes * classes,
            });
        }
        finite("kappa weights", weights)?;
        let bad = |(index, &value): (usize, &f64)| {
            let high = if index % (classes + 1) == 0 { 0.0 } else { f64::MAX };
            (!(0.0..=high).contains(&value)).then_some((index, value, high))
        };
        match weights.iter().enumerate().find_map(bad) {
            None => Ok(()),
            Some((index, value, high)) => {
                Err(StatsError::OutOfRange { argument: "kappa weights", index, value, low: 0.0, high })
            }
        }
    }

    fn at(&self, row: usize, column: usize, classes: usize) -> f64 {
        let distance = row.abs_diff(column) as f64;
        match self {
            Self::Unweighted => f64::from(u8::from(row != column)),
            Self::Linear => distance,
            Self::Quadratic => distance * distance,
            Self::Custom(weights) => weights[row * classes + column],
        }
    }

    fn largest(&self) -> f64 {
        match self {
            Self::Custom(weights) => power_of_two_below(weights.iter().copied().fold(0.0, f64::max)),
            _ => 1.0,
        }
    }
}

impl WeightedConfusionMatrix {
    /// Cohen's κ (1960, 1968): 1 − Σ w·observed / Σ w·expected by chance, at most 1; 0 for agreement by chance, negative
    /// below it.
    ///
    /// Linear and quadratic weights count all classes of the matrix, also those that do not occur; scikit-learn without
    /// `labels` counts those that do: [`select`](Self::select) them first. Undefined when one class holds everything on both
    /// sides. O(classes²).
    ///
    /// ```
    /// use mlops_eval::classification::{ConfusionMatrix, KappaWeights};
    ///
    /// let matrix = ConfusionMatrix::of(&[0, 0, 1, 1], &[0, 1, 1, 1], 2)?.weighted();
    /// assert_eq!(matrix.kappa(&KappaWeights::Unweighted)?.value(), Some(0.5));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`StatsError::LengthMismatch`], [`StatsError::Nan`], [`StatsError::NotFinite`] and [`StatsError::OutOfRange`] for
    /// [`KappaWeights::Custom`].
    pub fn kappa(&self, weights: &KappaWeights) -> Result<Measured, StatsError> {
        let k = self.classes();
        weights.check(k)?;
        // Powers of two keep the digits and bring the products into range.
        let (scale, largest) = (power_of_two_below(self.total()), weights.largest());
        let margins = self.margins();
        let total = self.total() / scale;
        let (mut observed, mut expected) = (Sum::new(), Sum::new());
        for (row, cells) in self.cells().chunks_exact(k).enumerate() {
            for (column, cell) in cells.iter().enumerate() {
                let weight = weights.at(row, column, k) / largest;
                observed.push(weight * (cell / scale));
                let chance = (margins[row].actual / scale) * (margins[column].predicted / scale);
                expected.push(if chance == 0.0 { 0.0 } else { weight * (chance / total) });
            }
        }
        let (observed, expected) = (observed.value(), expected.value());
        Ok(Measured::ratio(observed, expected).map(|share| 1.0 - share))
    }
}

/// Cohen's κ of two codings of the same rows. O(n + classes²).
///
/// ```
/// use mlops_eval::classification::{KappaWeights, cohen_kappa};
///
/// let kappa = cohen_kappa(&[0, 1, 2, 2], &[0, 1, 2, 1], 3, &KappaWeights::Quadratic)?;
/// assert!((kappa.value().unwrap_or(f64::NAN) - 0.8).abs() < 1e-15);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Those of [`ConfusionMatrix::of`] and [`WeightedConfusionMatrix::kappa`].
pub fn cohen_kappa(
    y_true: &[u32],
    y_pred: &[u32],
    classes: usize,
    disagreement: &KappaWeights,
) -> Result<Measured, StatsError> {
    ConfusionMatrix::of(y_true, y_pred, classes)?.weighted().kappa(disagreement)
}

/// [`cohen_kappa`] with a weight for each row.
///
/// ```
/// use mlops_eval::classification::{KappaWeights, cohen_kappa_weighted};
///
/// let kappa = cohen_kappa_weighted(&[0, 1, 1], &[0, 0, 1], &[1.0, 1.0, 2.0], 2, &KappaWeights::Unweighted)?;
/// assert_eq!(kappa.value(), Some(0.5));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Those of [`WeightedConfusionMatrix::of`] and [`WeightedConfusionMatrix::kappa`].
pub fn cohen_kappa_weighted(
    y_true: &[u32],
    y_pred: &[u32],
    weights: &[f64],
    classes: usize,
    disagreement: &KappaWeights,
) -> Result<Measured, StatsError> {
    WeightedConfusionMatrix::of(y_true, y_pred, weights, classes)?.kappa(disagreement)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matrix() -> WeightedConfusionMatrix {
        ConfusionMatrix::of(&[0, 0, 1, 2, 2, 1, 0], &[0, 1, 1, 2, 0, 1, 0], 3).unwrap().weighted()
    }

    #[test]
    fn a_custom_matrix_reproduces_the_named_ones_at_any_scale() {
        for (named, custom) in [
            (KappaWeights::Unweighted, [0.0, 1.0, 1.0, 1.0, 0.0, 1.0, 1.0, 1.0, 0.0]),
            (KappaWeights::Linear, [0.0, 1.0, 2.0, 1.0, 0.0, 1.0, 2.0, 1.0, 0.0]),
            (KappaWeights::Quadratic, [0.0, 1.0, 4.0, 1.0, 0.0, 1.0, 4.0, 1.0, 0.0]),
        ] {
            let expected = matrix().kappa(&named).unwrap().value().unwrap();
            for scale in [1.0, 3e-300, 2e307] {
                let custom = KappaWeights::Custom(custom.map(|weight| weight * scale).to_vec());
                let got = matrix().kappa(&custom).unwrap().value().unwrap();
                assert!((got - expected).abs() < 1e-14, "{named:?} {scale}: {got} {expected}");
            }
        }
    }

    #[test]
    fn bad_weights_are_named() {
        let refused = |weights: Vec<f64>| matrix().kappa(&KappaWeights::Custom(weights)).unwrap_err();
        assert!(matches!(refused(vec![0.0; 4]), StatsError::LengthMismatch { right_len: 9, .. }));
        let mut weights = vec![0.0; 9];
        weights[8] = 1.0;
        assert!(matches!(refused(weights.clone()), StatsError::OutOfRange { index: 8, high: 0.0, .. }));
        weights[8] = 0.0;
        weights[1] = f64::NAN;
        assert!(matches!(refused(weights), StatsError::Nan { index: 1, .. }));
    }

    #[test]
    fn one_class_on_both_sides_has_no_kappa() {
        let one = ConfusionMatrix::of(&[1, 1], &[1, 1], 3).unwrap().weighted();
        for weights in [KappaWeights::Unweighted, KappaWeights::Linear, KappaWeights::Quadratic] {
            assert_eq!(one.kappa(&weights).unwrap().value(), None);
        }
        assert_eq!(
            ConfusionMatrix::new(2).unwrap().weighted().kappa(&KappaWeights::Linear).unwrap().value(),
            None
        );
    }
}
