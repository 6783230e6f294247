//! Moments that merge exactly.

use mlops_core::num::{Measured, UndefinedReason};
use serde::{Deserialize, Serialize};

use super::exact::ExactSum;

/// The sums of the first four powers of the finite values of a column, in a unit and from an origin that the reference fixes.
///
/// A value x becomes z = (x − origin)/unit, rounded to a double once. z and z² are summed **exactly**, z³ and z⁴ are rounded once and
/// then summed exactly, so shards merge to the bits of the whole in every order. What is computed from the sums at the end
/// carries that one rounding per value and nothing that grows with n: the mean is within 2⁻⁵² of the mean distance from the origin,
/// the variance within about 2⁻⁵⁰(1 + δ) relative, δ being the distance of mean and origin in standard deviations, skewness and
/// kurtosis within about 2⁻⁴⁸(1 + δ⁴).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Moments {
    /// How many finite values there are.
    count: u64,
    /// For each power, how many values have one too large for a double.
    beyond: [u64; 4],
    sums: [ExactSum; 4],
}

/// Where z = 0 is, and what z = 1 is long.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Unit {
    pub(super) origin: f64,
    /// A power of two.
    pub(super) length: f64,
}

/// What the moments of a column say; undefined where there are too few values, or powers beyond the range of doubles.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct MomentSummary {
    /// How many finite values there are.
    pub count: u64,
    /// Their mean.
    pub mean: Measured,
    /// Their variance, divided by n − 1.
    pub variance: Measured,
    /// Their skewness m₃/m₂^1.5 (biased, as SciPy's default).
    pub skewness: Measured,
    /// Their excess kurtosis m₄/m₂² − 3 (biased, as SciPy's default).
    pub kurtosis: Measured,
}

impl Moments {
    pub(super) fn push(&mut self, value: f64, unit: Unit) {
        if !value.is_finite() {
            return;
        }
        self.count += 1;
        let z = (value - unit.origin) / unit.length;
        let square = z * z;
        for (k, power) in [z, square, square * z, square * square].into_iter().enumerate() {
            if power.is_finite() { self.sums[k].push(power) } else { self.beyond[k] += 1 }
        }
        // What the rounded square lacks; not finite, and then left out, only where the square is not.
        self.sums[1].push(z.mul_add(z, -square));
    }

    /// Adds other moments with the same unit; `None` when a count would overflow, and then nothing has changed.
    pub(super) fn merge(&mut self, other: &Self) -> Option<()> {
        let count = self.count.checked_add(other.count)?;
        let mut beyond = self.beyond;
        for (mine, more) in beyond.iter_mut().zip(other.beyond) {
            *mine = mine.checked_add(more)?;
        }
        (self.count, self.beyond) = (count, beyond);
        self.sums.iter_mut().zip(&other.sums).for_each(|(mine, more)| mine.merge(more));
        Some(())
    }

    pub(super) const fn count(&self) -> u64 {
        self.count
    }

    pub(super) fn summary(&self, unit: Unit) -> MomentSummary {
        let n = self.count as f64;
        let have = usize::try_from(self.count).unwrap_or(usize::MAX);
        let few = |need| Measured::none(UndefinedReason::TooFew, have, need);
        let none = MomentSummary {
            count: self.count,
            mean: few(1),
            variance: few(2),
            skewness: few(2),
            kurtosis: few(2),
        };
        if self.count == 0 {
            return none;
        }
        let known = |power: usize, value: f64| {
            let fine = self.beyond[..power].iter().all(|&beyond| beyond == 0) && value.is_finite();
            if fine { Measured::Value(value) } else { Measured::none(UndefinedReason::NanInput, have, have) }
        };
        let (first, first_rest) = self.sums[0].parts();
        let mean = (first / n + first_rest / n) * unit.length + unit.origin;
        let mut summary = MomentSummary { mean: known(1, mean), ..none };
        if self.count < 2 {
            return summary;
        }
        let scatter = self.scatter();
        summary.variance = known(2, scatter / (n - 1.0) * unit.length * unit.length);
        let m2 = scatter / n;
        if m2 > 0.0 {
            let z = first / n;
            let [_, s2, s3, s4] = [0, 1, 2, 3].map(|k: usize| self.sums[k].value() / n);
            let m3 = s3 - 3.0 * z * s2 + 2.0 * z * z * z;
            let m4 = s4 - 4.0 * z * s3 + 6.0 * z * z * s2 - 3.0 * z * z * z * z;
            summary.skewness = known(3, m3 / (m2 * m2.sqrt()));
            summary.kurtosis = known(4, m4 / (m2 * m2) - 3.0);
        } else {
            let constant = Measured::none(UndefinedReason::Constant, have, have);
            (summary.skewness, summary.kurtosis) = (constant, constant);
        }
        summary
    }

    /// Σz² − (Σz)²/n, at least 0, with twice the digits of a double until the difference is taken.
    fn scatter(&self) -> f64 {
        let n = self.count as f64;
        let ((s, s_rest), (q, q_rest)) = (self.sums[0].parts(), self.sums[1].parts());
        let quotient = s / n;
        let quotient_rest = ((-quotient).mul_add(n, s) + s_rest) / n;
        let product = s * quotient;
        let product_rest = s.mul_add(quotient, -product) + s * quotient_rest + s_rest * quotient;
        ((q - product) + (q_rest - product_rest)).max(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNIT: Unit = Unit { origin: 8.0, length: 0.5 };

    fn moments(values: &[f64]) -> Moments {
        let mut moments = Moments::default();
        values.iter().for_each(|&value| moments.push(value, UNIT));
        moments
    }

    #[test]
    fn moments_agree_with_numpy_and_scipy() {
        // NumPy 2.4.6 (mean, var with ddof=1) and SciPy 1.17.1 (skew, kurtosis).
        let values = [15.0, 20.0, 35.0, 40.0, 50.0, 3.5, -2.25];
        let got = moments(&values).summary(UNIT);
        for (name, got, expected) in [
            ("mean", got.mean, 23.035714285714285),
            ("variance", got.variance, 375.4672619047619),
            ("skewness", got.skewness, 0.05023705718443243),
            ("kurtosis", got.kurtosis, -1.357772902848791),
        ] {
            let got = got.value().unwrap();
            assert!((got - expected).abs() <= 1e-13 * f64::abs(expected), "{name}: {got} is not {expected}");
        }
    }

    #[test]
    fn a_small_scatter_far_from_the_origin_survives() {
        let values: Vec<f64> = (0..1000).map(|i| 1e9 + f64::from(i % 7)).collect();
        let direct: f64 = values.iter().map(|v| v - 1e9).map(|v| v * v).sum::<f64>()
            - values.iter().map(|v| v - 1e9).sum::<f64>().powi(2) / 1000.0;
        let got = moments(&values).summary(UNIT).variance.value().unwrap();
        assert!((got - direct / 999.0).abs() < 1e-12 * direct, "{got} {}", direct / 999.0);
    }

    #[test]
    fn powers_out_of_range_are_undefined_and_the_rest_is_not() {
        let got = moments(&[1e300, 0.0]).summary(UNIT);
        assert_eq!(got.mean.value(), Some(5e299));
        assert_eq!(got.variance.value(), None);
        assert_eq!(moments(&[]).summary(UNIT).mean.value(), None);
        let constant = moments(&[3.0; 5]).summary(UNIT);
        assert_eq!((constant.mean.value(), constant.variance.value()), (Some(3.0), Some(0.0)));
        assert_eq!(constant.skewness.undefined().map(|u| u.reason), Some(UndefinedReason::Constant));
    }

    #[test]
    fn shards_merge_to_the_bits_of_the_whole() {
        let values: Vec<f64> = (0..999).map(|i| f64::from(i).sin() * 10f64.powi(i % 20 - 10)).collect();
        let whole = moments(&values);
        for size in [1, 7, 500] {
            let mut merged = Moments::default();
            for shard in values.rchunks(size) {
                merged.merge(&moments(shard)).unwrap();
            }
            assert_eq!(merged, whole);
            assert_eq!(merged.summary(UNIT), whole.summary(UNIT));
        }
    }
}
