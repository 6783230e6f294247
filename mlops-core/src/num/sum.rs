//! Sums that do not lose small terms beside large ones.
//!
//! A plain loop over n numbers can be wrong by n·ε times the sum of their magnitudes; here the low-order bits are
//! carried along in a second number (Neumaier, *Rundungsfehleranalyse einiger Verfahren zur Summation endlicher
//! Summen*, ZAMM 54, 1974), which leaves 2·ε times the magnitude of the result plus n·ε² times the sum of magnitudes.

use serde::{Deserialize, Serialize};

use super::StatsError;

/// A running compensated sum: push numbers, merge partial sums, read the total.
///
/// Merging adds the partial totals with compensation, so that shards add up to what one pass would have given, to
/// within the error bound of the [module](self). Infinities behave as in IEEE arithmetic.
///
/// # Example: a small number beside a large one
/// ```
/// use mlops_core::num::sum::Sum;
///
/// let mut left = Sum::new();
/// left.push(1e16);
/// left.push(1.0);
/// let mut right = Sum::new();
/// right.push(-1e16);
/// left.merge(right);
/// assert_eq!(left.value(), 1.0);
/// assert_eq!(1e16 + 1.0 - 1e16, 0.0); // what a plain sum gives
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sum {
    #[serde(with = "super::json_float")]
    total: f64,
    #[serde(with = "super::json_float")]
    lost: f64,
}

impl Sum {
    /// The empty sum, 0.
    ///
    /// ```
    /// assert_eq!(mlops_core::num::sum::Sum::new().value(), 0.0);
    /// ```
    pub const fn new() -> Self {
        Self { total: 0.0, lost: 0.0 }
    }

    /// Adds one number.
    ///
    /// ```
    /// let mut sum = mlops_core::num::sum::Sum::new();
    /// sum.push(0.5);
    /// assert_eq!(sum.value(), 0.5);
    /// ```
    #[inline]
    pub fn push(&mut self, value: f64) {
        let next = self.total + value;
        self.lost += if self.total.abs() >= value.abs() {
            (self.total - next) + value
        } else {
            (value - next) + self.total
        };
        self.total = next;
    }

    /// Adds another partial sum.
    ///
    /// ```
    /// use mlops_core::num::sum::Sum;
    /// let mut a: Sum = [1.0, 2.0].into_iter().collect();
    /// a.merge([3.0].into_iter().collect());
    /// assert_eq!(a.value(), 6.0);
    /// ```
    pub fn merge(&mut self, other: Self) {
        self.push(other.total);
        self.lost += other.lost;
    }

    /// `x` minus the sum, with the digits that the total alone has lost.
    ///
    /// ```
    /// use mlops_core::num::sum::Sum;
    /// let sum: Sum = [1e16, 1.0].into_iter().collect();
    /// assert_eq!(sum.distance_to(1e16), -1.0);
    /// ```
    pub fn distance_to(&self, x: f64) -> f64 {
        (x - self.total) - self.lost
    }

    /// `other` minus this sum, with the digits that the totals alone have lost.
    ///
    /// ```
    /// use mlops_core::num::sum::Sum;
    /// let sum = |values: [f64; 2]| values.into_iter().collect::<Sum>();
    /// assert_eq!(sum([1e16, 1.0]).distance_to_sum(&sum([1e16, 3.0])), 2.0);
    /// ```
    pub fn distance_to_sum(&self, other: &Self) -> f64 {
        (other.total - self.total) + (other.lost - self.lost)
    }

    /// The total so far.
    ///
    /// ```
    /// use mlops_core::num::sum::Sum;
    /// assert_eq!([0.1; 10].into_iter().collect::<Sum>().value(), 1.0);
    /// ```
    pub fn value(&self) -> f64 {
        let corrected = self.total + self.lost;
        // Once an infinity has entered, the lost part is NaN (∞ − ∞) and the plain total is the IEEE answer.
        if corrected.is_nan() { self.total } else { corrected }
    }
}

impl Extend<f64> for Sum {
    fn extend<I: IntoIterator<Item = f64>>(&mut self, values: I) {
        values.into_iter().for_each(|value| self.push(value));
    }
}

impl FromIterator<f64> for Sum {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        let mut sum = Self::new();
        sum.extend(values);
        sum
    }
}

/// The compensated sum of a slice; 0 for an empty one. Linear time, no allocation, any unit.
///
/// NaN in, NaN out: callers apply their [`NanPolicy`](super::NanPolicy) first. Agrees with Python's `math.fsum` to 2 ulp
/// where the terms do not cancel by more than ε⁻¹.
///
/// ```
/// assert_eq!(mlops_core::num::sum::sum(&[1.0, 1e100, 1.0, -1e100]), 2.0);
/// ```
pub fn sum(values: &[f64]) -> f64 {
    values.iter().copied().collect::<Sum>().value()
}

/// The arithmetic mean of finite values, also where their plain sum would overflow. Linear time, no allocation.
///
/// # Errors
/// [`StatsError::Empty`]; [`StatsError::Nan`] and [`StatsError::NotFinite`] with the first offending index.
///
/// ```
/// use mlops_core::num::sum::mean;
///
/// assert_eq!(mean(&[1.0, 2.0, 4.5])?, 2.5);
/// assert_eq!(mean(&[1e308, 1e308])?, 1e308);
/// assert!(mean(&[]).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn mean(values: &[f64]) -> Result<f64, StatsError> {
    let argument = "values";
    if values.is_empty() {
        return Err(StatsError::Empty { argument });
    }
    if let Some((index, &value)) = values.iter().enumerate().find(|(_, value)| !value.is_finite()) {
        return Err(if value.is_nan() {
            StatsError::Nan { argument, index }
        } else {
            StatsError::NotFinite { argument, index, value }
        });
    }
    let n = values.len() as f64;
    let total = sum(values);
    if total.is_finite() {
        return Ok(total / n);
    }
    // Dividing by a power of two first is exact but for subnormals, which cannot matter beside an overflowing sum.
    let scale = (values.len().next_power_of_two() as f64) * 2.0;
    Ok(values.iter().map(|value| value / scale).collect::<Sum>().value() / n * scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_agree_with_the_exact_value() {
        // Exact values by `math.fsum` of CPython 3.11.
        let tenths: Vec<f64> = (1..=1000).map(|i| f64::from(i) / 10.0).collect();
        let harmonic: Vec<f64> = (1..=100_000).map(|i| 1.0 / f64::from(i)).collect();
        for (values, exact) in [
            (tenths, 50050.0),
            (harmonic, 12.090146129863427),
            (vec![1e308, 1e292, -1e308], 1e292),
            (vec![5e-324; 3], 1.5e-323),
            (vec![-0.0, 0.0], 0.0),
            (vec![], 0.0),
        ] {
            let got = sum(&values);
            assert!((got - exact).abs() <= 2.0 * f64::EPSILON * exact.abs(), "{got} is not {exact}");
        }
    }

    #[test]
    fn infinities_and_nan_follow_ieee_arithmetic() {
        assert_eq!(sum(&[f64::INFINITY, 1.0]), f64::INFINITY);
        assert_eq!(sum(&[1.0, f64::NEG_INFINITY, 2.0]), f64::NEG_INFINITY);
        assert!(sum(&[f64::INFINITY, f64::NEG_INFINITY]).is_nan());
        assert!(sum(&[1.0, f64::NAN]).is_nan());
    }

    #[test]
    fn shards_add_up_to_one_pass() {
        let values: Vec<f64> = (0..1000).map(|i| f64::from(i).sin() * 10f64.powi(i % 30)).collect();
        let whole = sum(&values);
        for size in [1, 7, 100, 999] {
            let mut merged = Sum::new();
            for shard in values.chunks(size) {
                merged.merge(shard.iter().copied().collect());
            }
            assert!((merged.value() - whole).abs() <= 4.0 * f64::EPSILON * whole.abs());
        }
    }

    #[test]
    fn the_mean_survives_sums_that_overflow() {
        assert_eq!(mean(&[f64::MAX, f64::MAX, f64::MAX]), Ok(f64::MAX));
        assert_eq!(mean(&[f64::MAX, -f64::MAX]), Ok(0.0));
        assert_eq!(mean(&[1e308, 1e308, -1e308]), Ok(1e308 / 3.0));
    }

    #[test]
    fn the_mean_names_what_it_refuses() {
        assert_eq!(mean(&[1.0, f64::NAN]), Err(StatsError::Nan { argument: "values", index: 1 }));
        assert!(matches!(mean(&[f64::INFINITY]), Err(StatsError::NotFinite { index: 0, .. })));
    }
}
