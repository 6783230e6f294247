//! Values with weights of their own, and two such samples side by side.

use mlops_core::num::sum::Sum;
use mlops_core::num::{NanPolicy, StatsError, weights};

use crate::sample::{Sample, Side, Value};

/// Values with their weights in ascending order, those of equal values too, so that the order of rows changes nothing.
pub(crate) struct Weighted<T> {
    pairs: Vec<(T, f64)>,
    /// What the weights add up to, divided by a power of two so that products of two sums neither overflow nor vanish.
    total: f64,
    /// The effective size (Σw)²/Σw²; 0 when nothing has a weight.
    pub(crate) size: f64,
}

impl<T: Value> Weighted<T> {
    /// What is present and weighs something. A value that is left out takes its weight along.
    ///
    /// # Errors
    /// [`StatsError::LengthMismatch`], [`StatsError::Empty`], [`StatsError::Nan`] and [`StatsError::AllMissing`] as `nan` says, and what
    /// [`weights::total`] refuses.
    pub(crate) fn new(
        (argument, sample): (&'static str, Sample<'_, T>),
        (name, given): (&'static str, &[f64]),
        nan: NanPolicy,
    ) -> Result<(Self, Side), StatsError> {
        if given.len() != sample.len() {
            return Err(StatsError::LengthMismatch {
                left: name,
                left_len: given.len(),
                right: argument,
                right_len: sample.len(),
            });
        }
        let (_, mut side) = sample.present(argument, nan)?;
        weights::total(name, given)?;
        let rows = sample.values().iter().zip(given).enumerate();
        let weighs = |(index, (value, weight)): &(usize, (&T, &f64))| {
            sample.is_valid(*index) && !value.is_nan() && **weight > 0.0
        };
        let mut pairs: Vec<(T, f64)> =
            rows.filter(weighs).map(|(_, (value, weight))| (*value, *weight)).collect();
        pairs.sort_unstable_by_key(|(value, weight)| (value.key(), weight.to_bits()));
        side.used = pairs.len() as u64;
        side.infinite = pairs.iter().filter(|(value, _)| !value.is_finite()).count() as u64;
        let left: Vec<f64> = pairs.iter().map(|(_, weight)| *weight).collect();
        if left.is_empty() {
            if nan == NanPolicy::Propagate {
                return Ok((Self { pairs, total: 0.0, size: 0.0 }, side));
            }
            return Err(StatsError::ZeroTotal { argument: name });
        }
        let size = weights::effective_size(name, &left)?;
        let unit = power_of_two_near(weights::total(name, &left)?);
        pairs.iter_mut().for_each(|(_, weight)| *weight /= unit);
        let total = pairs.iter().map(|(_, weight)| *weight).collect::<Sum>().value();
        Ok((Self { pairs, total, size }, side))
    }

    /// The first and the last value.
    pub(crate) fn ends(&self) -> Option<(T, T)> {
        self.pairs.first().zip(self.pairs.last()).map(|(first, last)| (first.0, last.0))
    }

    /// How many values lie outside those of another sample.
    pub(crate) fn outside(&self, other: &Self) -> u64 {
        let Some((low, high)) = other.ends() else { return 0 };
        self.pairs.iter().filter(|(value, _)| *value < low || *value > high).count() as u64
    }
}

/// A power of two by which sums of this size are divided without rounding.
fn power_of_two_near(total: f64) -> f64 {
    let exponent = i32::try_from(total.to_bits() >> 52).unwrap_or(0) - 1023;
    2.0_f64.powi(exponent.clamp(-1000, 1000))
}

/// Where a block of equal values ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Block<T> {
    pub(crate) value: T,
    /// F and G: the shares of weight of the reference and of the current sample up to here.
    pub(crate) reached: [f64; 2],
    /// F − G, exact where the weights are integers whose sums have a product below 2⁵³.
    pub(crate) difference: f64,
}

/// Calls `each` where a block of equal values ends, in ascending order. Linear.
pub(crate) fn merge<T: Value>(a: &Weighted<T>, b: &Weighted<T>, mut each: impl FnMut(Block<T>)) {
    let (mut i, mut j) = (0, 0);
    let (mut f, mut g) = (Sum::new(), Sum::new());
    loop {
        let value = match (a.pairs.get(i), b.pairs.get(j)) {
            (Some(&(x, _)), Some(&(y, _))) => {
                if y < x {
                    y
                } else {
                    x
                }
            }
            (Some(&(x, _)), None) | (None, Some(&(x, _))) => x,
            (None, None) => return,
        };
        take(&a.pairs, &mut i, value, &mut f);
        take(&b.pairs, &mut j, value, &mut g);
        let (f, g) = (f.value().min(a.total), g.value().min(b.total));
        each(Block {
            value,
            reached: [f / a.total, g / b.total],
            difference: (f * b.total - g * a.total) / (a.total * b.total),
        });
    }
}

/// Adds up the weights of the values that equal `value`.
fn take<T: Value>(pairs: &[(T, f64)], next: &mut usize, value: T, sum: &mut Sum) {
    while let Some((_, weight)) = pairs.get(*next).filter(|(x, _)| *x <= value) {
        sum.push(*weight);
        *next += 1;
    }
}
