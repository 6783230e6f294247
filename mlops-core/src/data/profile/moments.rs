//! Moments that merge, of one column and of pairs.
//!
//! The values of a block are centred on the block's own mean before they are raised to powers, and blocks are merged by the formulas
//! of Chan, Golub and LeVeque (1979) and Pébay ("Formulas for robust, one-pass parallel computation of covariances and
//! arbitrary-order statistical moments", SAND2008-6212). Means are kept as distances from an origin, the first value of the column,
//! so that a large offset costs no digits in a merge either. How a stream is cut into batches moves the last digits of the result.

use serde::{Deserialize, Serialize};

use crate::num::json_float;
use crate::num::sum::Sum;

/// How many values there are, their mean as a distance from an origin, the sums of the second to fourth power of their distances
/// from the mean, and their sum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Moments {
    pub(super) n: f64,
    #[serde(with = "json_float")]
    pub(super) origin: f64,
    #[serde(with = "json_float")]
    mean: f64,
    #[serde(with = "json_float")]
    m2: f64,
    #[serde(with = "json_float")]
    m3: f64,
    #[serde(with = "json_float")]
    m4: f64,
    pub(super) sum: Sum,
}

impl Moments {
    /// The moments of finite values.
    pub(super) fn of(values: &[f64], origin: f64) -> Self {
        let n = values.len() as f64;
        if values.is_empty() {
            return Self::default();
        }
        let sum: Sum = values.iter().copied().collect();
        let mean = values.iter().map(|value| value - origin).collect::<Sum>().value() / n;
        let [mut m2, mut m3, mut m4, mut rest] = [0.0; 4];
        for value in values {
            let d = value - origin - mean;
            let square = d * d;
            rest += d;
            m2 += square;
            m3 += square * d;
            m4 += square * square;
        }
        // What rounding left in the mean (Björck's correction of the two-pass algorithm).
        Self { n, origin, mean, m2: m2 - rest * rest / n, m3, m4, sum }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        if other.n == 0.0 {
            return;
        }
        if self.n == 0.0 {
            *self = *other;
            return;
        }
        let (a, b) = (*self, other);
        let n = a.n + b.n;
        let d = (b.origin - a.origin) + (b.mean - a.mean);
        let (d_n, ab) = (d / n, a.n * b.n);
        self.m4 = a.m4
            + b.m4
            + d * d_n * d_n * d_n * ab * (a.n * a.n - ab + b.n * b.n)
            + 6.0 * d_n * d_n * (a.n * a.n * b.m2 + b.n * b.n * a.m2)
            + 4.0 * d_n * (a.n * b.m3 - b.n * a.m3);
        self.m3 = a.m3 + b.m3 + d * d_n * d_n * ab * (a.n - b.n) + 3.0 * d_n * (a.n * b.m2 - b.n * a.m2);
        self.m2 = a.m2 + b.m2 + d * d_n * ab;
        self.mean = a.mean + d_n * b.n;
        self.n = n;
        self.sum.merge(b.sum);
    }

    /// The mean: the compensated sum, divided.
    pub(super) fn mean(&self) -> Option<f64> {
        finite((self.n > 0.0).then(|| self.sum.value() / self.n))
    }

    /// The variance, divided by n − 1.
    pub(super) fn variance(&self) -> Option<f64> {
        finite((self.n >= 2.0).then(|| self.m2 / (self.n - 1.0)))
    }

    /// The skewness m₃/m₂^1.5, biased as SciPy's default; none for constant values.
    pub(super) fn skewness(&self) -> Option<f64> {
        let m2 = self.m2 / self.n;
        finite(self.varies().then(|| self.m3 / self.n / (m2 * m2.sqrt())))
    }

    /// The excess kurtosis m₄/m₂² − 3, biased as SciPy's default; none for constant values.
    pub(super) fn kurtosis(&self) -> Option<f64> {
        let m2 = self.m2 / self.n;
        finite(self.varies().then(|| self.m4 / self.n / (m2 * m2) - 3.0))
    }

    fn varies(&self) -> bool {
        // A constant column is its origin, but for what rounding leaves.
        self.n >= 2.0 && (self.m2 / self.n).sqrt() > 4.0 * f64::EPSILON * self.mean.abs()
    }
}

/// A number, unless it overflowed.
pub(super) fn finite(value: Option<f64>) -> Option<f64> {
    value.filter(|value| value.is_finite())
}

/// The second moments of two columns, over the rows at which both have a finite value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Pair {
    pub(super) n: f64,
    #[serde(with = "two")]
    origin: [f64; 2],
    #[serde(with = "two")]
    mean: [f64; 2],
    #[serde(with = "two")]
    squares: [f64; 2],
    #[serde(with = "json_float")]
    product: f64,
}

/// Two numbers, as [`json_float`] writes one.
mod two {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    #[serde(transparent)]
    struct Number(#[serde(with = "crate::num::json_float")] f64);

    pub(super) fn serialize<S: Serializer>(values: &[f64; 2], serializer: S) -> Result<S::Ok, S::Error> {
        values.map(Number).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[f64; 2], D::Error> {
        <[Number; 2]>::deserialize(deserializer).map(|values| values.map(|Number(value)| value))
    }
}

/// The values of one column in one block, as distances from the column's origin: NaN where there is none that is finite.
#[derive(Clone, Debug, Default)]
pub(super) struct Block {
    values: Vec<f64>,
    holes: bool,
    origin: f64,
    /// Distances from the mean, and the mean; of use without holes.
    centred: Vec<f64>,
    mean: f64,
    squares: f64,
}

impl Block {
    pub(super) fn new(mut values: Vec<f64>, holes: bool, origin: f64) -> Self {
        values.iter_mut().for_each(|value| *value -= origin);
        if holes || values.is_empty() {
            return Self { values, holes, origin, ..Self::default() };
        }
        let mean = values.iter().copied().collect::<Sum>().value() / values.len() as f64;
        let centred: Vec<f64> = values.iter().map(|value| value - mean).collect();
        let squares = dot(&centred, &centred);
        Self { values, holes, origin, centred, mean, squares }
    }
}

/// The sum of products, in eight lanes that a compiler can hold in registers.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let (a_chunks, b_chunks) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest: f64 = a_chunks.remainder().iter().zip(b_chunks.remainder()).map(|(x, y)| x * y).sum();
    let mut lanes = [0.0; 8];
    for (x, y) in a_chunks.zip(b_chunks) {
        for ((lane, x), y) in lanes.iter_mut().zip(x).zip(y) {
            *lane += x * y;
        }
    }
    lanes.iter().sum::<f64>() + rest
}

impl Pair {
    pub(super) fn of(a: &Block, b: &Block) -> Self {
        if !a.holes && !b.holes {
            let n = a.values.len() as f64;
            let product = dot(&a.centred, &b.centred);
            return Self {
                n,
                origin: [a.origin, b.origin],
                mean: [a.mean, b.mean],
                squares: [a.squares, b.squares],
                product,
            };
        }
        let both = || a.values.iter().zip(&b.values).filter(|(x, y)| !x.is_nan() && !y.is_nan());
        let n = both().count() as f64;
        if n == 0.0 {
            return Self::default();
        }
        let mean = [both().map(|(x, _)| x).sum::<f64>() / n, both().map(|(_, y)| y).sum::<f64>() / n];
        let origin = [a.origin, b.origin];
        let mut pair = Self { n, origin, mean, squares: [0.0; 2], product: 0.0 };
        for (x, y) in both() {
            let (dx, dy) = (x - mean[0], y - mean[1]);
            pair.squares[0] += dx * dx;
            pair.squares[1] += dy * dy;
            pair.product += dx * dy;
        }
        pair
    }

    pub(super) fn merge(&mut self, other: &Self) {
        if other.n == 0.0 {
            return;
        }
        if self.n == 0.0 {
            *self = *other;
            return;
        }
        let n = self.n + other.n;
        let weight = self.n * other.n / n;
        let d = [0, 1].map(|side: usize| {
            (other.origin[side] - self.origin[side]) + (other.mean[side] - self.mean[side])
        });
        for (side, d) in d.into_iter().enumerate() {
            self.squares[side] += other.squares[side] + d * d * weight;
            self.mean[side] += d * other.n / n;
        }
        self.product += other.product + d[0] * d[1] * weight;
        self.n = n;
    }

    /// Pearson's r; none where a column is constant or something overflowed.
    pub(super) fn correlation(&self) -> Option<f64> {
        let scale = self.squares[0].sqrt() * self.squares[1].sqrt();
        let steady =
            |side: usize| (self.squares[side] / self.n).sqrt() <= 4.0 * f64::EPSILON * self.mean[side].abs();
        if self.n < 2.0 || scale == 0.0 || steady(0) || steady(1) {
            return None;
        }
        finite(Some((self.product / scale).clamp(-1.0, 1.0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_of_any_size_have_the_moments_of_the_whole() {
        let values: Vec<f64> = (0..5_000).map(|i| 1e9 + f64::from(i * 7919 % 5_003)).collect();
        let whole = Moments::of(&values, 1e9);
        for size in [1, 2, 97, 4_999] {
            let mut merged = Moments::default();
            values.chunks(size).for_each(|block| merged.merge(&Moments::of(block, block[0])));
            assert_eq!(merged.n, whole.n);
            for (ours, theirs) in [
                (merged.mean(), whole.mean()),
                (merged.variance(), whole.variance()),
                (merged.kurtosis(), whole.kurtosis()),
            ] {
                let (ours, theirs) = (ours.unwrap(), theirs.unwrap());
                assert!((ours - theirs).abs() <= 1e-13 * theirs.abs(), "{size}: {ours} is not {theirs}");
            }
        }
    }

    #[test]
    fn constant_and_overflowing_values_have_no_shape() {
        let constant = Moments::of(&[0.1; 1_000], 0.1);
        assert_eq!((constant.skewness(), constant.kurtosis()), (None, None));
        assert!(constant.variance().is_some_and(|v| v < 1e-30));
        let huge = Moments::of(&[1e308, -1e308], 1e308);
        assert_eq!((huge.variance(), huge.skewness()), (None, None));
        assert_eq!(Moments::of(&[1.0], 1.0).variance(), None);
    }
}
