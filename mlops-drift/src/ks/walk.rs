//! The exact null distribution of D: how many orderings of n + m values keep |i·m − j·n| below a bound.

use std::cell::Cell;

use crate::alternative::Alternative;

/// Where the blocks of equal values end in the pooled, sorted sample: everywhere, unless there are ties.
pub(super) struct Ends {
    len: usize,
    /// The ends of all blocks, ascending, once there is a block longer than one.
    ends: Option<Vec<usize>>,
}

impl Ends {
    /// For `len` pooled values, none of them tied so far.
    pub(super) fn new(len: usize) -> Self {
        Self { len, ends: None }
    }

    /// A block from `before` to `end`, in order.
    pub(super) fn push(&mut self, before: usize, end: usize) {
        match &mut self.ends {
            Some(ends) => ends.push(end),
            None if end > before + 1 => self.ends = Some((1..=before).chain([end]).collect()),
            None => {}
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn ties(&self) -> bool {
        self.ends.is_some()
    }

    /// (start, end) of each block, the last one first.
    fn blocks_backwards(&self) -> Box<dyn Iterator<Item = (usize, usize)> + '_> {
        match &self.ends {
            None => Box::new((1..=self.len).rev().map(|end| (end - 1, end))),
            Some(ends) => {
                Box::new((0..ends.len()).rev().map(|k| (if k == 0 { 0 } else { ends[k - 1] }, ends[k])))
            }
        }
    }
}

/// What is absorbed: the sizes, with n ≤ m, and where.
#[derive(Clone, Copy, Debug)]
struct Bound {
    n: u64,
    m: u64,
    numerator: u128,
    alternative: Alternative,
}

impl Bound {
    /// The smaller side is the one to keep a row of; where the sides change places, so do the directions.
    fn new(n: u64, m: u64, numerator: u128, alternative: Alternative) -> Self {
        if n <= m {
            return Self { n, m, numerator, alternative };
        }
        let alternative = match alternative {
            Alternative::TwoSided => Alternative::TwoSided,
            Alternative::Less => Alternative::Greater,
            Alternative::Greater => Alternative::Less,
        };
        Self { n: m, m: n, numerator, alternative }
    }

    /// The i for which the deviation stays below the numerator when i + j = t, as a half-open range: |i·m − j·n| for
    /// two sides, i·m − j·n or its negative for one.
    fn band(self, t: usize) -> (usize, usize) {
        // With j = t − i the difference is i·(n + m) − t·n.
        let (whole, centre) = (u128::from(self.n) + u128::from(self.m), t as u128 * u128::from(self.n));
        let low = centre.checked_sub(self.numerator).map_or(0, |below| below / whole + 1);
        let high = (centre + self.numerator).div_ceil(whole);
        let end = u128::from(self.n) + 1;
        let low = if self.alternative == Alternative::Greater { 0 } else { low.min(end) };
        let high = if self.alternative == Alternative::Less { end } else { high.min(end) };
        (low as usize, high as usize)
    }
}

/// An upper bound on the states that [`ln_p`] visits.
pub(super) fn states(n: u64, m: u64, numerator: u128, alternative: Alternative, ends: &Ends) -> u128 {
    let side = u128::from(n.min(m)) + 1;
    let width = match alternative {
        Alternative::TwoSided => 2 * numerator / (u128::from(n) + u128::from(m)) + 2,
        // Nothing is absorbed on the other side.
        Alternative::Less | Alternative::Greater => side,
    };
    let block = |len: u128| len.saturating_mul((width + len).min(side));
    if !ends.ties() {
        return block(1).saturating_mul(ends.len() as u128);
    }
    ends.blocks_backwards().map(|(start, end)| block((end - start) as u128)).fold(0, u128::saturating_add)
}

/// A number that can be as small as a probability gets.
trait Mass: Copy {
    const ZERO: Self;
    /// Certainty, as far from the lower end of the type as it can be.
    const ONE: Self;
    /// a·self + b·other for a, b ≥ 0.
    fn mix(self, a: f64, other: Self, b: f64) -> Self;
    /// The logarithm of the ratio to [`Self::ONE`], unless precision was lost to underflow.
    fn ln_ratio(self) -> Option<f64>;
}

impl Mass for f64 {
    const ZERO: Self = 0.0;
    // 2¹⁰⁰⁰: ratios down to 2⁻²⁰⁰⁰ ≈ 1e-602 keep their precision.
    const ONE: Self = f64::from_bits((1000 + 1023) << 52);

    #[inline]
    fn mix(self, a: f64, other: Self, b: f64) -> Self {
        a * self + b * other
    }

    fn ln_ratio(self) -> Option<f64> {
        let ratio = self / Self::ONE;
        if ratio > 1e-300 {
            return Some(ratio.ln());
        }
        (self > 1e-290).then(|| self.ln() - 1000.0 * std::f64::consts::LN_2)
    }
}

/// A double with an exponent of its own, for ratios below 1e-602.
#[derive(Clone, Copy, Debug)]
struct Wide {
    /// 0, or in [2⁻⁵⁰⁰, 2⁵⁰⁰].
    mantissa: f64,
    /// In units of 2⁵⁰⁰.
    exponent: i32,
}

impl Wide {
    const STEP: f64 = f64::from_bits((500 + 1023) << 52);

    /// The mantissa as it counts in another number's, larger, exponent.
    fn at(self, exponent: i32) -> f64 {
        match exponent - self.exponent {
            0 => self.mantissa,
            1 => self.mantissa / Self::STEP,
            _ => 0.0,
        }
    }
}

impl Mass for Wide {
    const ZERO: Self = Self { mantissa: 0.0, exponent: i32::MIN / 2 };
    const ONE: Self = Self { mantissa: 1.0, exponent: 0 };

    fn mix(self, a: f64, other: Self, b: f64) -> Self {
        // A weight of zero must not let the other number's exponent decide.
        let live = |mass: Self, weight: f64| if weight == 0.0 { Self::ZERO } else { mass };
        let (left, right) = (live(self, a), live(other, b));
        let exponent = left.exponent.max(right.exponent);
        let mantissa = a * left.at(exponent) + b * right.at(exponent);
        if mantissa == 0.0 {
            Self::ZERO
        } else if mantissa < 1.0 / Self::STEP {
            Self { mantissa: mantissa * Self::STEP, exponent: exponent - 1 }
        } else {
            Self { mantissa, exponent }
        }
    }

    fn ln_ratio(self) -> Option<f64> {
        let step = 500.0 * std::f64::consts::LN_2;
        Some(self.mantissa.ln() + f64::from(self.exponent) * step)
    }
}

/// ln P(deviation ≥ numerator) over all orderings, the deviation looked at where blocks of ties end.
pub(super) fn ln_p(n: u64, m: u64, numerator: u128, alternative: Alternative, ends: &Ends) -> f64 {
    if numerator == 0 {
        return 0.0;
    }
    let bound = Bound::new(n, m, numerator, alternative);
    let quick = absorbed::<f64>(bound, ends).ln_ratio();
    let ln_p = quick.or_else(|| absorbed::<Wide>(bound, ends).ln_ratio());
    ln_p.unwrap_or(f64::NEG_INFINITY).min(0.0)
}

/// The probability to be absorbed on the way from (0, 0) to (n, m), times [`Mass::ONE`].
///
/// f(i) at time t is the probability to be absorbed at t or later, having seen i reference values among the first t. With
/// r = n + m − t values left, f_t(i) = [(n − i)·f_{t+1}(i + 1) + (r − n + i)·f_{t+1}(i)] / r, and f is 1 outside the band
/// where a block ends. Only i in `low..high` have f ≠ 1 and are kept up to date.
fn absorbed<M: Mass>(bound: Bound, ends: &Ends) -> M {
    let (rows, others) = (bound.n as usize, usize::try_from(bound.m).unwrap_or(usize::MAX));
    let left: Vec<f64> = (0..=rows).map(|i| (rows - i) as f64).collect();
    let mut f = vec![M::ONE; rows + 2];
    f[rows] = M::ZERO;
    let (mut low, mut high) = (rows, rows + 1);
    for (start, end) in ends.blocks_backwards() {
        let (inside, outside) = bound.band(end);
        f[low..high.min(inside.max(low))].fill(M::ONE);
        f[outside.clamp(low, high)..high].fill(M::ONE);
        (low, high) = (low.max(inside), high.min(outside));
        if low >= high {
            return M::ONE;
        }
        for t in (start..end).rev() {
            // One state more below, as far as (i, t − i) can be reached at all.
            low = low.saturating_sub(1).max(t.saturating_sub(others));
            high = high.min(t + 1);
            step(&mut f[low..=high], &left[low..high], (ends.len() - t) as f64);
        }
    }
    f[0]
}

/// One step back in time, in place: every state from itself and the next one.
fn step<M: Mass>(f: &mut [M], left: &[f64], remaining: f64) {
    let inverse = 1.0 / remaining;
    let states = Cell::from_mut(f).as_slice_of_cells();
    for (pair, &up) in states.windows(2).zip(left) {
        pair[0].set(pair[1].get().mix(up * inverse, pair[0].get(), (remaining - up) * inverse));
    }
}

/// ln P(max |i − j| ≥ h) for n = m without ties: 2 Σ (−1)ᵏ⁻¹ C(2n, n + kh)/C(2n, n), and for one side the first term without
/// the 2 (Gnedenko and Korolyuk 1951).
pub(super) fn equal_sizes(n: u64, h: u128, alternative: Alternative) -> f64 {
    if h == 0 {
        return 0.0;
    }
    // ln C(2n, n + s) − ln C(2n, n), by adding up ln((n − j)/(n + 1 + j)) for j < s.
    let mut ln_ratio = mlops_core::num::sum::Sum::new();
    let (mut first, mut series, mut s) = (0.0, mlops_core::num::sum::Sum::new(), 0u128);
    for k in 1u32.. {
        for _ in 0..h {
            if s >= u128::from(n) {
                break;
            }
            // (n − s)/(n + 1 + s) = 1 − (2s + 1)/(n + 1 + s), but where it is far from 1 the quotient is better.
            let (top, bottom) = ((u128::from(n) - s) as f64, (u128::from(n) + 1 + s) as f64);
            let drop = (2 * s + 1) as f64 / bottom;
            ln_ratio.push(if drop < 0.5 { (-drop).ln_1p() } else { (top / bottom).ln() });
            s += 1;
        }
        if u128::from(k) * h > u128::from(n) {
            break;
        }
        let ln_term = ln_ratio.value();
        if k == 1 {
            if alternative != Alternative::TwoSided {
                return ln_term.min(0.0);
            }
            first = ln_term;
        }
        let term = (ln_term - first).exp();
        series.push(if k % 2 == 1 { term } else { -term });
        if term < 1e-18 {
            break;
        }
    }
    (std::f64::consts::LN_2 + first + series.value().ln()).min(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_numbers_do_what_doubles_do() {
        for (n, m, numerator) in [(30, 20, 200), (200, 150, 9000), (500, 37, 10_000)] {
            let ends = Ends::new(usize::try_from(n + m).unwrap());
            let quick = absorbed::<f64>(Bound::new(n, m, numerator, Alternative::TwoSided), &ends)
                .ln_ratio()
                .unwrap();
            let wide = absorbed::<Wide>(Bound::new(n, m, numerator, Alternative::TwoSided), &ends)
                .ln_ratio()
                .unwrap();
            assert!((quick - wide).abs() < 1e-12, "{quick} {wide}");
        }
    }

    #[test]
    fn the_estimate_is_an_upper_bound_of_the_right_order() {
        let mut tied = Ends::new(2000);
        (0..20).for_each(|k| tied.push(100 * k, 100 * (k + 1)));
        for (ends, at_least) in [(Ends::new(2000), 60_000), (tied, 100_000)] {
            let states = states(1000, 1000, 40_000, Alternative::TwoSided, &ends);
            assert!(states >= at_least && states <= 1_001 * 2000, "{states}");
        }
    }

    #[test]
    fn bands_hold_what_stays_below_the_bound() {
        for (n, m, numerator) in [(5, 7, 12), (3, 3, 3), (1, 9, 9), (4, 8, 1)] {
            for t in 0..=usize::try_from(n + m).unwrap() {
                for alternative in [Alternative::TwoSided, Alternative::Less, Alternative::Greater] {
                    let (low, high) = Bound { n, m, numerator, alternative }.band(t);
                    for i in 0..=t.min(usize::try_from(n).unwrap()) {
                        let difference = i as i128 * i128::from(m) - (t - i) as i128 * i128::from(n);
                        let height = match alternative {
                            Alternative::TwoSided => difference.abs(),
                            Alternative::Less => -difference,
                            Alternative::Greater => difference,
                        };
                        let inside = height < i128::try_from(numerator).unwrap();
                        assert_eq!((low..high).contains(&i), inside, "{n} {m} {t} {i} {alternative:?}");
                    }
                }
            }
        }
    }
}
