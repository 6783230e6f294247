//! A scale for values of any unit, robust against what does not belong to it.

use mlops_core::num::{NanPolicy, StatsError, quantile};
use serde::{Deserialize, Serialize};

use super::check;
use crate::wasserstein::deviation;
use crate::{Sample, Value};

/// How values are standardised before a detector looks at them:
///
/// > z = (x − centre) / spread, held within ±clip
///
/// The default leaves values as they are.
///
/// ```
/// use mlops_drift::online::Standard;
///
/// let standard = Standard::new(20.0, 5.0).with_clip(4.0);
/// assert_eq!((standard.centre, standard.spread, standard.clip), (20.0, 5.0, Some(4.0)));
/// ```
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Standard {
    /// What becomes 0. Default: 0.
    pub centre: f64,
    /// What becomes 1; positive. Default: 1.
    pub spread: f64,
    /// The largest |z|, so that one value never decides alone. Default: none.
    pub clip: Option<f64>,
}

impl Default for Standard {
    fn default() -> Self {
        Self { centre: 0.0, spread: 1.0, clip: None }
    }
}

/// The interquartile range of a normal law with standard deviation 1.
const NORMAL_IQR: f64 = 1.348_979_500_392_163_4;

impl Standard {
    /// z = (x − centre) / spread, without a clip. A detector refuses a spread that is not positive and numbers that are not finite.
    pub const fn new(centre: f64, spread: f64) -> Self {
        Self { centre, spread, clip: None }
    }

    /// With values held within ±clip, or not held.
    #[must_use]
    pub fn with_clip(mut self, clip: impl Into<Option<f64>>) -> Self {
        self.clip = clip.into();
        self
    }

    /// Fitted on a reference: the spread is IQR / 1.349, which is the standard deviation of a normal law; clip is 4; the
    /// centre is the median, moved until the clipped values have mean 0 (Huber's estimator of location, *Robust estimation
    /// of a location parameter*, Annals of Mathematical Statistics 35, 1964), so that a skewed column is in control too.
    ///
    /// Where more than half of the values are equal the IQR says nothing, and the standard deviation takes its place.
    /// Missing values are left out. O(n log n), allocates a copy.
    ///
    /// # Errors
    /// [`StatsError::TooFew`] below 8 values, [`StatsError::Nan`], [`StatsError::NotFinite`] and [`StatsError::OutOfRange`]
    /// (beyond ±1e100) for values; [`StatsError::Unsupported`] for a reference of one distinct value.
    ///
    /// ```
    /// use mlops_drift::online::Standard;
    ///
    /// // A million among a hundred small numbers moves neither centre nor spread by much.
    /// let mut values: Vec<f64> = (0..101).map(f64::from).collect();
    /// values.push(1e6);
    /// let standard = Standard::fit(&values)?;
    /// assert!((standard.centre - 50.0).abs() < 2.0 && (standard.spread - 37.0).abs() < 1.0);
    /// # Ok::<(), mlops_core::num::StatsError>(())
    /// ```
    pub fn fit<'a, T: Value>(reference: impl Into<Sample<'a, T>>) -> Result<Self, StatsError> {
        let sorted = sorted(reference.into())?;
        Self::of_sorted(&sorted)
    }

    /// Fitted on finite values in ascending order, at least one.
    pub(super) fn of_sorted(sorted: &[f64]) -> Result<Self, StatsError> {
        let [low, median, high] = [0.25, 0.5, 0.75].map(|p| quantile::quantile_sorted(sorted, p));
        let iqr = (high? - low?) / NORMAL_IQR;
        let spread = if iqr > 0.0 { iqr } else { deviation(sorted, 0) };
        if spread.is_nan() || spread <= 0.0 {
            let reason = "the reference has one distinct value";
            return Err(StatsError::Unsupported { what: "a scale for values", reason });
        }
        let mut fitted = Self { centre: median?, spread, clip: Some(4.0) };
        // Each step is exact as soon as the set of clipped values no longer changes.
        for _ in 0..100 {
            let mean = sorted.iter().map(|&x| fitted.z(x)).sum::<f64>() / sorted.len() as f64;
            fitted.centre += mean * spread;
            if mean.abs() < 1e-12 {
                break;
            }
        }
        Ok(fitted)
    }

    /// The standardised value.
    ///
    /// # Errors
    /// [`StatsError::NotFinite`], and [`StatsError::OutOfRange`] beyond ±1e100 before or after; their index is `seen`.
    #[inline]
    pub(super) fn apply(&self, value: f64, seen: u64) -> Result<f64, StatsError> {
        check::real(self.z(check::real(value, seen)?), seen)
    }

    #[inline]
    pub(super) fn z(&self, value: f64) -> f64 {
        let z = (value - self.centre) / self.spread;
        match self.clip {
            Some(clip) => z.clamp(-clip, clip),
            None => z,
        }
    }

    /// # Errors
    /// [`StatsError::Parameter`] for a centre or spread that is not one.
    pub(super) fn check(&self) -> Result<(), StatsError> {
        check::option("centre", self.centre, self.centre.abs() <= check::LIMIT, "must lie within ±1e100")?;
        check::positive("spread", self.spread)?;
        self.clip.map_or(Ok(()), |clip| check::positive("clip", clip))
    }
}

/// The present values of a reference, ascending.
pub(super) fn sorted<T: Value>(reference: Sample<'_, T>) -> Result<Vec<f64>, StatsError> {
    const LEAST: usize = 8;
    let (values, _) = reference.present("reference", NanPolicy::Raise)?;
    if values.len() < LEAST {
        return Err(StatsError::TooFew { argument: "reference", needed: LEAST, got: values.len() });
    }
    let mut sorted = Vec::with_capacity(values.len());
    for (index, value) in values.iter().map(|value| value.to_f64()).enumerate() {
        sorted.push(check::real(value, index as u64).map_err(|error| named("reference", error))?);
    }
    sorted.sort_unstable_by(f64::total_cmp);
    Ok(sorted)
}

/// The same complaint about another argument.
fn named(argument: &'static str, error: StatsError) -> StatsError {
    match error {
        StatsError::NotFinite { index, value, .. } => StatsError::NotFinite { argument, index, value },
        StatsError::OutOfRange { index, value, low, high, .. } => {
            StatsError::OutOfRange { argument, index, value, low, high }
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clipped_values_of_a_skewed_reference_have_mean_zero() {
        let reference: Vec<f64> = (1..=999).map(|i| -(1.0 - f64::from(i) / 1000.0).ln().powi(3)).collect();
        let standard = Standard::fit(&reference).unwrap();
        let mean = reference.iter().map(|&x| standard.z(x)).sum::<f64>() / 999.0;
        assert!(mean.abs() < 1e-10, "{standard:?}: {mean}");
    }

    #[test]
    fn rare_errors_have_a_scale_although_their_quartiles_are_equal() {
        let mut reference = [0.0; 100];
        reference[..10].fill(1.0);
        let standard = Standard::fit(&reference).unwrap();
        assert!((standard.spread - 0.3).abs() < 1e-12 && (standard.centre - 0.1).abs() < 1e-12);
        // Their squares are too small for an f64.
        reference[..10].fill(1e-200);
        let standard = Standard::fit(&reference).unwrap();
        assert!((standard.spread / 0.3e-200 - 1.0).abs() < 1e-12, "{standard:?}");
    }

    #[test]
    fn a_reference_without_scale_is_refused() {
        assert!(matches!(Standard::fit(&[3.5; 20]), Err(StatsError::Unsupported { .. })));
        assert!(matches!(Standard::fit(&[1.0, 2.0]), Err(StatsError::TooFew { got: 2, .. })));
        let mut values = [1.0; 10];
        values[4] = f64::INFINITY;
        let refused = Standard::fit(&values);
        assert!(matches!(refused, Err(StatsError::NotFinite { argument: "reference", index: 4, .. })));
    }
}
