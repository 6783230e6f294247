//! Means and variances of two samples on a common scale on which nothing overflows.

use mlops_core::num::sum::Sum;

use crate::sample::Value;
use crate::two::Two;

/// The values of two samples as offsets from a common origin, times a power of two.
///
/// Differences of integers are exact, so that neighbours beyond 2⁵³ stay apart; the power keeps squares of values like 1e300
/// and 5e-324 in range. Statistics that do not depend on origin and scale are the same on the offsets.
#[derive(Debug)]
pub(crate) struct Offsets {
    pub(crate) reference: Vec<f64>,
    pub(crate) current: Vec<f64>,
    /// The exponent of the power: offset = difference·2^(−exponent).
    exponent: i32,
}

impl Offsets {
    /// The offsets of finite values.
    pub(crate) fn new<T: Value>(two: &Two<'_, '_, T>) -> Self {
        let near = middle(two);
        let from = |origin: T| {
            let offsets = |values: &[T]| values.iter().map(|value| value.minus(origin)).collect::<Vec<f64>>();
            (offsets(&two.reference), offsets(&two.current))
        };
        let largest =
            |(a, b): &(Vec<f64>, Vec<f64>)| a.iter().chain(b).fold(0.0, |top, x| f64::max(top, x.abs()));
        let mut offsets = from(near);
        if !largest(&offsets).is_finite() {
            // From one end of the doubles to the other is further than a double reaches: measure from 0.
            offsets = from(T::default());
        }
        let top: f64 = largest(&offsets);
        let exponent = if top == 0.0 || (1e-100..1e100).contains(&top) { 0 } else { top.log2() as i32 };
        let (mut reference, mut current) = offsets;
        if exponent != 0 {
            reference.iter_mut().chain(&mut current).for_each(|x| *x = times_two_to(*x, -exponent));
        }
        Self { reference, current, exponent }
    }

    /// A difference of offsets in the unit of the values; infinite where that is too large for a double.
    pub(crate) fn unscaled(&self, x: f64) -> f64 {
        times_two_to(x, self.exponent)
    }
}

/// A middle value of the pooled sample: an outlier or a far end as the origin would cost all others their digits.
fn middle<T: Value>(two: &Two<'_, '_, T>) -> T {
    let mut pooled = [&two.reference[..], &two.current[..]].concat();
    let half = pooled.len() / 2;
    if pooled.is_empty() {
        return T::default();
    }
    *pooled.select_nth_unstable_by_key(half, |value| value.key()).1
}

/// x·2^exponent for exponents a single power of two cannot express.
fn times_two_to(x: f64, exponent: i32) -> f64 {
    let half = exponent / 2;
    x * 2f64.powi(half) * 2f64.powi(exponent - half)
}

/// Size, mean and sum of squared deviations of one sample.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moments {
    pub(crate) n: f64,
    /// The sum, and what it lost to rounding.
    sum: (f64, f64),
    /// Σ(x − mean)².
    pub(crate) squares: f64,
}

impl Moments {
    /// Two passes, both compensated.
    pub(crate) fn new(values: &[f64]) -> Self {
        let n = values.len() as f64;
        let total: Sum = values.iter().copied().collect();
        let sum = (total.value(), -total.distance_to(total.value()));
        let mean = sum.0 / n;
        let deviations: Sum = values.iter().map(|x| x - mean).collect();
        let squares: Sum = values.iter().map(|x| (x - mean) * (x - mean)).collect();
        // The mean is rounded; its error, squared, comes off.
        let correction = deviations.value() * deviations.value() / n;
        let varies = values.iter().any(|x| values.first() != Some(x));
        Self { n, sum, squares: if varies { (squares.value() - correction).max(0.0) } else { 0.0 } }
    }

    /// The mean of `other` minus this mean, rounded about once: n·Σy − m·Σx in twice the precision.
    pub(crate) fn difference_to(&self, other: &Self) -> f64 {
        let product = |n: f64, (high, low): (f64, f64)| {
            let rounded = n * high;
            (rounded, n.mul_add(high, -rounded) + n * low)
        };
        let (theirs, ours) = (product(self.n, other.sum), product(other.n, self.sum));
        ((theirs.0 - ours.0) + (theirs.1 - ours.1)) / (self.n * other.n)
    }

    /// The mean.
    pub(crate) fn mean(&self) -> f64 {
        (self.sum.0 + self.sum.1) / self.n
    }

    /// The unbiased variance, for at least two values.
    pub(crate) fn variance(&self) -> f64 {
        self.squares / (self.n - 1.0)
    }
}

#[cfg(test)]
mod tests {
    use mlops_core::num::NanPolicy;

    use super::*;

    #[test]
    fn neighbours_beyond_2_to_the_53_stay_apart() {
        let base = 1_i64 << 60;
        let (a, b) = ([base, base + 1, base + 2], [base + 3]);
        let two = Two::new(&a, &b, NanPolicy::Raise).unwrap();
        let offsets = Offsets::new(&two);
        assert_eq!((&offsets.reference[..], &offsets.current[..]), (&[-2.0, -1.0, 0.0][..], &[1.0][..]));
    }

    #[test]
    fn an_outlier_is_not_the_origin() {
        let (a, b) = ([1e300, 1.0, 2.0], [3.0, 4.0]);
        let offsets = Offsets::new(&Two::new(&a, &b, NanPolicy::Raise).unwrap());
        assert_eq!(offsets.unscaled(offsets.current[1]), 1.0);
    }

    #[test]
    fn the_largest_and_the_smallest_numbers_have_variances() {
        for (values, ratio) in [([f64::MIN, f64::MAX, 0.0], 0.0), ([5e-324, 1e-323, 1.5e-323], 0.0)] {
            let offsets = Offsets::new(&Two::new(&values, &[values[0]], NanPolicy::Raise).unwrap());
            let moments = Moments::new(&offsets.reference);
            assert!(moments.variance() > ratio && moments.variance().is_finite(), "{values:?}: {moments:?}");
        }
    }

    #[test]
    fn a_small_difference_of_means_keeps_its_digits() {
        let a = Moments::new(&[1e8, 3.0, -1e8 + 1e-9]);
        let b = Moments::new(&[3.0, 1e8 + 1e-7, -1e8]);
        let exact = ((1e8_f64 + 1e-7 - 1e8) - (-1e8_f64 + 1e-9 + 1e8)) / 3.0;
        assert!((a.difference_to(&b) / exact - 1.0).abs() < 1e-12);
    }
}
