//! Mean losses of probabilities: the loops behind log loss and Brier score.

use std::ops::Range;

use mlops_core::num::parallel::{Threads, map_pieces};
use mlops_core::num::simd::{Kernel, run};
use mlops_core::num::sum::Sum;
use mlops_core::num::{Measured, StatsError};

use super::scores::ScoreState;
use crate::input::{in_range, named, paired, probabilities, weight_total};

/// What a probability costs once the outcome is known. `of` must be `#[inline(always)]`, free of branches, and finite for every
/// probability.
pub(crate) trait Loss: Copy + Sync {
    /// The loss of one row.
    fn of(self, positive: bool, probability: f64) -> f64;
}

/// (p − y)².
#[derive(Clone, Copy)]
pub(crate) struct Squared;

impl Loss for Squared {
    #[inline(always)]
    fn of(self, positive: bool, probability: f64) -> f64 {
        let missed = if positive { 1.0 - probability } else { probability };
        missed * missed
    }
}

/// −ln of the probability given to what happened, moved into [eps, 1 − eps].
#[derive(Clone, Copy)]
pub(crate) struct Surprise {
    pub(crate) eps: f64,
}

impl Loss for Surprise {
    #[inline(always)]
    fn of(self, positive: bool, probability: f64) -> f64 {
        let complement = 1.0 - probability;
        let (given, missed) = if positive { (probability, complement) } else { (complement, probability) };
        self.of_share(given, missed)
    }
}

impl Surprise {
    /// −ln of `given` = 1 − `missed`.
    #[inline(always)]
    pub(crate) fn of_share(self, given: f64, missed: f64) -> f64 {
        // Clipped on both sides, because 1 − eps may round to 1.
        let given = if given > self.eps { given } else { self.eps };
        let missed = if missed > self.eps { missed } else { self.eps };
        let highest = 1.0 - self.eps;
        -ln(if given < highest { given } else { highest }, missed)
    }
}

/// ln 2 in two parts: the first has zeros at its end, so that its product with an exponent is exact.
const LN_2_HIGH: f64 = 0.693_147_180_136_293_2;
const LN_2_LOW: f64 = 4.236_521_365_809_284e-10;
/// The bits of the largest number below √½ and of 1.
const SQRT_HALF_BITS: u64 = 0x3FE6_A09E_667F_3BCC;
const ONE_BITS: u64 = 0x3FF0_0000_0000_0000;
const FRACTION: u64 = (1 << 52) - 1;
/// 2⁵²: a number whose last bit is worth 1.
const UNIT_BITS: u64 = 0x4330_0000_0000_0000;
const UNIT: f64 = 4_503_599_627_370_496.0;

/// ln q for q in (0, 1], with `missed` = 1 − q, which has more digits where q is near 1. Off by less than 1 ulp.
///
/// q = 2ᵉ(1 + f) with 1 + f between √½ and √2, and ln(1 + f) = 2 artanh s with s = f/(2 + f), |s| < 0.172: ten terms of the
/// series leave 2·10⁻¹⁷. Only additions, multiplications, one division and choices: every instruction set gives the same bits.
#[inline(always)]
fn ln(q: f64, missed: f64) -> f64 {
    let subnormal = q < f64::MIN_POSITIVE;
    let bits = (if subnormal { q * UNIT } else { q }).to_bits();
    let shifted = bits + (ONE_BITS - SQRT_HALF_BITS);
    // The biased exponent as the last bits of a float: a conversion that every instruction set has.
    let biased = f64::from_bits((shifted >> 52) | UNIT_BITS) - UNIT;
    let exponent = biased - (if subnormal { 1023.0 + 52.0 } else { 1023.0 });
    let fraction = f64::from_bits((shifted & FRACTION) + SQRT_HALF_BITS) - 1.0;
    let f = if exponent == 0.0 { -missed } else { fraction };
    let s = f / (2.0 + f);
    let z = s * s;
    let mut tail = 2.0 / 21.0;
    for odd in [19.0, 17.0, 15.0, 13.0, 11.0, 9.0, 7.0, 5.0, 3.0] {
        tail = tail * z + 2.0 / odd;
    }
    // 2s = f − s·f, so the leading term f enters without rounding.
    let correction = s * (f - tail * z) - exponent * LN_2_LOW;
    exponent * LN_2_HIGH + (f - correction)
}

const LANES: usize = 8;

/// Compensated sums in lanes (Knuth's addition without a branch), and how many probabilities were none.
struct Total<'a, L> {
    y_true: &'a [bool],
    forecast: &'a [f64],
    /// The weights and what they are divided by.
    shares: Option<(&'a [f64], f64)>,
    loss: L,
}

impl<L: Loss> Kernel for Total<'_, L> {
    type Output = Option<Sum>;

    #[inline(always)]
    fn run(self) -> Option<Sum> {
        let (mut totals, mut lost, mut faults) = ([0.0; LANES], [0.0; LANES], [0.0; LANES]);
        let whole = self.forecast.len() / LANES * LANES;
        for start in (0..whole).step_by(LANES) {
            let (y, p) = (&self.y_true[start..start + LANES], &self.forecast[start..start + LANES]);
            let mut losses = [0.0; LANES];
            for lane in 0..LANES {
                losses[lane] = self.loss.of(y[lane], p[lane]);
                faults[lane] += if (0.0..=1.0).contains(&p[lane]) { 0.0 } else { 1.0 };
            }
            if let Some((weights, total)) = self.shares {
                let weights = &weights[start..start + LANES];
                for lane in 0..LANES {
                    losses[lane] *= weights[lane] / total;
                }
            }
            for lane in 0..LANES {
                let (sum, value) = (totals[lane], losses[lane]);
                let next = sum + value;
                let added = next - sum;
                lost[lane] += (sum - (next - added)) + (value - added);
                totals[lane] = next;
            }
        }
        let mut sum = Sum::new();
        for row in whole..self.forecast.len() {
            let p = self.forecast[row];
            faults[0] += if (0.0..=1.0).contains(&p) { 0.0 } else { 1.0 };
            let share = self.shares.map_or(1.0, |(weights, total)| weights[row] / total);
            sum.push(self.loss.of(self.y_true[row], p) * share);
        }
        sum.extend(totals);
        sum.extend(lost);
        (faults.iter().sum::<f64>() == 0.0).then_some(sum)
    }
}

/// The mean loss of the rows. The same bits on every number of threads and every instruction set.
pub(crate) fn mean_of_rows(
    what: &'static str,
    y_true: &[bool],
    forecast: &[f64],
    weights: Option<&[f64]>,
    threads: Threads,
    loss: impl Loss,
) -> Result<Measured, StatsError> {
    paired(named("y_true", y_true), named("probabilities", forecast))?;
    // The weight becomes a share before it meets the loss, so that large weights do not overflow.
    let total = match weights {
        None => y_true.len() as f64,
        Some(_) => {
            probabilities("probabilities", forecast)?;
            weight_total(weights, named("y_true", y_true))?
        }
    };
    let piece = |rows: Range<usize>| {
        let shares = weights.map(|weights| (&weights[rows.clone()], total));
        run(Total { y_true: &y_true[rows.clone()], forecast: &forecast[rows], shares, loss })
    };
    let mut sum = Sum::new();
    for piece in map_pieces(y_true.len(), threads, piece) {
        match piece {
            Some(piece) => sum.merge(piece),
            None => probabilities("probabilities", forecast)?,
        }
    }
    let mean = if weights.is_none() { sum.value() / total } else { sum.value() };
    Ok(Measured::Value(in_range(what, mean)?))
}

/// The mean loss of the rows that a state was built from.
pub(crate) fn mean_of_state(
    what: &'static str,
    state: &ScoreState,
    loss: impl Loss,
) -> Result<Measured, StatsError> {
    state.check_weight()?;
    state.check_probabilities("scores")?;
    let total = state.negatives() + state.positives();
    let terms = state.points().flat_map(|(p, negative, positive)| {
        [loss.of(false, p) * (negative / total), loss.of(true, p) * (positive / total)]
    });
    Ok(Measured::Value(in_range(what, terms.collect::<Sum>().value())?))
}

#[cfg(test)]
mod tests {
    use mlops_core::num::simd::{Level, run_at};

    use super::*;

    /// Numbers between 0 and 1 of every size, both ends dense.
    fn probabilities_of_every_size() -> Vec<f64> {
        let mut values = vec![0.0, 1.0, 0.5, 5e-324, f64::MIN_POSITIVE, f64::EPSILON, 1.0 - f64::EPSILON];
        for i in 1..3000 {
            let x = f64::from(i) / 3000.0;
            values.extend([x, x.powi(40), 1.0 - x.powi(30)]);
        }
        values
    }

    #[test]
    fn the_logarithm_is_within_three_ulps_of_the_standard_one() {
        for eps in [f64::MIN_POSITIVE, f64::EPSILON] {
            let loss = Surprise { eps };
            for p in probabilities_of_every_size() {
                let clipped = p.max(eps).min(1.0 - eps);
                let positive = -clipped.ln();
                let negative = if 1.0 - p <= eps { -eps.ln() } else { -(-p.max(eps)).ln_1p() };
                for (got, expected) in [(loss.of(true, p), positive), (loss.of(false, p), negative)] {
                    let near = (got - expected).abs() <= 3.0 * f64::EPSILON * expected.abs();
                    // 1 − eps rounds to 1, whose logarithm is 0; ours keeps eps.
                    assert!(
                        near || (expected == 0.0 && got <= 2.0 * eps),
                        "{p:e} {eps:e}: {got:e} {expected:e}"
                    );
                }
            }
        }
    }

    #[test]
    fn every_instruction_set_gives_the_same_bits() {
        let forecast = probabilities_of_every_size();
        let y_true: Vec<bool> = (0..forecast.len()).map(|row| row % 3 == 0).collect();
        let weights: Vec<f64> = (0..forecast.len()).map(|row| (row % 7) as f64).collect();
        let loss = Surprise { eps: f64::EPSILON };
        for shares in [None, Some((&weights[..], 11.0))] {
            let kernel = || Total { y_true: &y_true, forecast: &forecast, shares, loss };
            let expected = run_at(Level::Baseline, kernel()).unwrap();
            for level in Level::all() {
                assert_eq!(run_at(level, kernel()), Some(expected), "{level:?}");
            }
        }
    }
}
