//! Counts drawn from the laws of resampling: binomial, Poisson, hypergeometric, and their forms for many cells.
//!
//! A bootstrap of n rows that fall into c cells is a multinomial draw, and a permutation of labels over groups is a
//! multivariate hypergeometric one: both are drawn from the counts, in a time that does not grow with n. Where rows are
//! needed, [`Draws::row_counts`] and [`Draws::poisson_ones`] draw how often each counts.
//!
//! All laws are exact up to the rounding of f64 (a share is a multiple of 2⁻⁵³ at best) unless a function says otherwise. What a seed gives is part of the
//! interface, as it is for [`Random`].

use std::fmt;

use super::Random;
use super::simd::{Kernel, run};
use super::special::{Hypergeometric, stirling_remainder};

/// Words fetched at once.
const BUFFER: usize = 64;

/// Draws from a stream of [`Random`], which is read ahead in blocks.
///
/// ```
/// use mlops_core::num::{Random, sample::Draws};
///
/// let mut draws = Draws::new(Random::new(7).stream("example"));
/// let heads = draws.binomial(1_000, 0.5);
/// assert!((400..600).contains(&heads));
///
/// let mut cells = [0; 3];
/// draws.multinomial(1_000_000, &[2.0, 0.0, 6.0], &mut cells);
/// assert_eq!(cells.iter().sum::<u64>(), 1_000_000);
/// assert_eq!(cells[1], 0);
/// ```
#[derive(Clone)]
pub struct Draws {
    random: Random,
    buffer: [u64; BUFFER],
    next: usize,
}

impl fmt::Debug for Draws {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ahead = BUFFER - self.next;
        f.debug_struct("Draws").field("random", &self.random).field("ahead", &ahead).finish()
    }
}

impl Draws {
    /// Draws from `random`, from where it stands.
    pub fn new(random: Random) -> Self {
        Self { random, buffer: [0; BUFFER], next: BUFFER }
    }

    /// The next 64 random bits.
    ///
    /// ```
    /// use mlops_core::num::{Random, sample::Draws};
    /// assert_eq!(Draws::new(Random::new(3)).next_u64(), Random::new(3).next_u64());
    /// ```
    pub fn next_u64(&mut self) -> u64 {
        if self.next >= BUFFER {
            self.random.fill(&mut self.buffer);
            self.next = 0;
        }
        let word = self.buffer[self.next];
        self.next += 1;
        word
    }

    /// A number in \[0, 1): a multiple of 2⁻⁵³, each equally likely.
    ///
    /// ```
    /// use mlops_core::num::{Random, sample::Draws};
    /// assert_eq!(Draws::new(Random::new(3)).next_f64(), Random::new(3).next_f64());
    /// ```
    pub fn next_f64(&mut self) -> f64 {
        const STEP: f64 = 1.0 / (1_u64 << 53) as f64;
        (self.next_u64() >> 11) as f64 * STEP
    }

    /// The number of successes in `trials` of probability `share`; a share below 0 or above 1 counts as 0 or 1, and NaN as 0.
    ///
    /// Below 10 expected successes (or failures) by inversion, else by transformed rejection (algorithm BTRS of W. Hörmann,
    /// *The generation of binomial random variates*, Journal of Statistical Computation and Simulation 46, 1993). O(1).
    pub fn binomial(&mut self, trials: u64, share: f64) -> u64 {
        if trials == 0 || share.is_nan() || share <= 0.0 {
            return 0;
        }
        if share >= 1.0 {
            return trials;
        }
        if share > 0.5 {
            return trials - self.less_likely(trials, 1.0 - share);
        }
        self.less_likely(trials, share)
    }

    fn less_likely(&mut self, trials: u64, share: f64) -> u64 {
        if trials as f64 * share < 10.0 {
            self.binomial_by_inversion(trials, share)
        } else {
            self.binomial_by_rejection(trials, share)
        }
    }

    fn binomial_by_inversion(&mut self, trials: u64, share: f64) -> u64 {
        let n = trials as f64;
        let none = (n * (-share).ln_1p()).exp();
        let odds = share / (1.0 - share);
        loop {
            let (mut left, mut term, mut k) = (self.next_f64(), none, 0_u64);
            // Past 200, 1e-100 or less is left, which is a rounding error of `left`: drawn again.
            while k <= trials && k < 200 {
                if left < term {
                    return k;
                }
                left -= term;
                term *= odds * ((n - k as f64) / (k as f64 + 1.0));
                k += 1;
            }
        }
    }

    fn binomial_by_rejection(&mut self, trials: u64, share: f64) -> u64 {
        let n = trials as f64;
        let deviation = (n * share * (1.0 - share)).sqrt();
        let b = 1.15 + 2.53 * deviation;
        let a = -0.0873 + 0.0248 * b + 0.01 * share;
        let c = n * share + 0.5;
        let squeeze = 0.92 - 4.2 / b;
        loop {
            let u = self.next_f64() - 0.5;
            let v = self.next_f64();
            let us = 0.5 - u.abs();
            let k = ((2.0 * a / us + b) * u + c).floor();
            if us >= 0.07 && v <= squeeze {
                return whole(k);
            }
            if !(0.0..=n).contains(&k) {
                continue;
            }
            let height = v * (2.83 + 5.1 / b) * deviation / (a / (us * us) + b);
            if height.ln() <= ln_binomial_to_mode(k, n, share) {
                return whole(k);
            }
        }
    }

    /// A Poisson count. A mean that is not positive, or NaN, counts as 0, and one above 10¹⁸ as that.
    ///
    /// Below a mean of 10 by inversion, else by transformed rejection (algorithm PTRS of W. Hörmann, *The transformed rejection
    /// method for generating Poisson random variables*, Insurance: Mathematics and Economics 12, 1993). O(1).
    ///
    /// ```
    /// use mlops_core::num::{Random, sample::Draws};
    /// let mut draws = Draws::new(Random::new(1));
    /// assert!((90_000..110_000).contains(&draws.poisson(1e5)));
    /// assert_eq!(draws.poisson(0.0), 0);
    /// ```
    pub fn poisson(&mut self, mean: f64) -> u64 {
        if mean.is_nan() || mean <= 0.0 {
            0
        } else if mean < 10.0 {
            self.poisson_by_inversion(mean)
        } else {
            self.poisson_by_rejection(mean.min(1e18))
        }
    }

    fn poisson_by_inversion(&mut self, mean: f64) -> u64 {
        loop {
            let (mut left, mut term, mut k) = (self.next_f64(), (-mean).exp(), 0_u64);
            // Past 200, 1e-100 or less is left, which is a rounding error of `left`: drawn again.
            while k < 200 {
                if left < term {
                    return k;
                }
                left -= term;
                k += 1;
                term *= mean / k as f64;
            }
        }
    }

    fn poisson_by_rejection(&mut self, mean: f64) -> u64 {
        let b = 0.931 + 2.53 * mean.sqrt();
        let a = -0.059 + 0.02483 * b;
        let squeeze = 0.9277 - 3.6224 / (b - 2.0);
        let scale = 1.1239 + 1.1328 / (b - 3.4);
        loop {
            let u = self.next_f64() - 0.5;
            let v = self.next_f64();
            let us = 0.5 - u.abs();
            let k = ((2.0 * a / us + b) * u + mean + 0.43).floor();
            if us >= 0.07 && v <= squeeze {
                return whole(k);
            }
            if !(0.0..f64::INFINITY).contains(&k) || (us < 0.013 && v > us) {
                continue;
            }
            if (v * scale / (a / (us * us) + b)).ln() <= ln_poisson(k, mean) {
                return whole(k);
            }
        }
    }

    /// How often each of as many rows as `counts` has is drawn, by so many draws with replacement. O(n). One word of the stream
    /// is the key of the draws, which are SplitMix64 at the numbers 0, 1, … (G. Steele, D. Lea, C. Flood, *Fast splittable
    /// pseudorandom number generators*, OOPSLA 2014); a row has its probability to a relative n · 2⁻⁶⁴. A count stops at 255.
    ///
    /// ```
    /// use mlops_core::num::{Random, sample::Draws};
    /// let mut counts = [0; 100];
    /// Draws::new(Random::new(1)).row_counts(&mut counts);
    /// assert_eq!(counts.iter().map(|count| u32::from(*count)).sum::<u32>(), 100);
    /// ```
    pub fn row_counts(&mut self, counts: &mut [u8]) {
        let key = self.next_u64();
        counts.fill(0);
        let rows = counts.len() as u64;
        for number in 0..rows {
            // The high half of the product is below the number of rows.
            let row = (u128::from(split_mix(key, number)) * u128::from(rows)) >> 64;
            if let Some(count) = usize::try_from(row).ok().and_then(|row| counts.get_mut(row)) {
                *count = count.saturating_add(1);
            }
        }
    }

    /// A Poisson count with mean 1 for every element: how often rows count in a bootstrap that lets their number vary (J. Hanley,
    /// B. MacGibbon, *Creating non-parametric bootstrap samples using Poisson frequencies*, Computer Methods and Programs in
    /// Biomedicine 83, 2006). One word of the stream is the key, as for [`row_counts`](Self::row_counts); every count takes 32
    /// bits, so its probabilities are exact to 2⁻³². O(n), several counts at a time; the same on every instruction set.
    ///
    /// ```
    /// use mlops_core::num::{Random, sample::Draws};
    /// let mut counts = [0; 10_000];
    /// Draws::new(Random::new(1)).poisson_ones(&mut counts);
    /// let sum: u32 = counts.iter().map(|count| u32::from(*count)).sum();
    /// assert!((9_500..10_500).contains(&sum));
    /// ```
    pub fn poisson_ones(&mut self, counts: &mut [u8]) {
        let key = self.next_u64();
        run(PoissonOnes { key, counts });
    }

    /// The number of marked balls in one draw of a [`Hypergeometric`] law.
    ///
    /// Up to 10 balls one by one, else by ratio of uniforms (algorithm HRUA of E. Stadlober, *The ratio of uniforms approach
    /// for generating discrete random variates*, Journal of Computational and Applied Mathematics 31, 1990). O(1). A law
    /// whose `marked` or `drawn` exceeds its `total` counts as if they were equal to it.
    ///
    /// ```
    /// use mlops_core::num::{Random, sample::Draws, special::Hypergeometric};
    /// let mut draws = Draws::new(Random::new(1));
    /// assert_eq!(draws.hypergeometric(&Hypergeometric { total: 9, marked: 9, drawn: 4 }), 4);
    /// ```
    pub fn hypergeometric(&mut self, law: &Hypergeometric) -> u64 {
        let total = law.total;
        let (marked, drawn) = (law.marked.min(total), law.drawn.min(total));
        // The same law for the smaller of each pair: balls left behind for balls drawn, plain for marked.
        let (few_marked, few_drawn) = (marked.min(total - marked), drawn.min(total - drawn));
        let small = Hypergeometric { total, marked: few_marked, drawn: few_drawn };
        let count = if few_drawn.min(few_marked) <= 10 {
            // Marked and drawn balls change places without changing the law.
            self.one_by_one(total, few_marked.max(few_drawn), few_marked.min(few_drawn))
        } else {
            self.hypergeometric_by_ratio(&small)
        };
        let among_marked = if marked == few_marked { count } else { few_drawn - count };
        if drawn == few_drawn { among_marked } else { marked - among_marked }
    }

    fn one_by_one(&mut self, mut total: u64, mut marked: u64, drawn: u64) -> u64 {
        let mut count = 0;
        for _ in 0..drawn {
            if self.next_f64() * (total as f64) < marked as f64 {
                count += 1;
                marked -= 1;
            }
            total -= 1;
        }
        count
    }

    fn hypergeometric_by_ratio(&mut self, law: &Hypergeometric) -> u64 {
        // 2√(2/e) and 3 − 2√(3/e).
        const WIDTH: f64 = 1.715_527_769_921_413_5;
        const SHIFT: f64 = 0.898_916_162_058_898_8;
        let (total, marked, drawn) = (law.total as f64, law.marked as f64, law.drawn as f64);
        let share = marked / total;
        let center = drawn * share + 0.5;
        let variance = (total - drawn) * drawn * share * (1.0 - share) / (total - 1.0);
        let width = WIDTH * (variance + 0.5).sqrt() + SHIFT;
        let bound = marked.min(drawn) + 1.0;
        let others = total - marked - drawn;
        let ln_shape = |x: f64| {
            ln_factorial(x) + ln_factorial(marked - x) + ln_factorial(drawn - x) + ln_factorial(others + x)
        };
        let mode = law.mode() as f64;
        let at_mode = ln_shape(mode);
        loop {
            let (u, v) = (1.0 - self.next_f64(), self.next_f64());
            let k = (center + width * (v - 0.5) / u).floor();
            if !(k >= 0.0 && k < bound) {
                continue;
            }
            let height = at_mode - ln_shape(k);
            if u * (4.0 - u) - 3.0 <= height || (u * (u - height) < 1.0 && 2.0 * u.ln() <= height) {
                return whole(k);
            }
        }
    }

    /// `trials` trials over cells whose probabilities are in proportion to `weights`: one binomial draw per cell, given the
    /// cells before. O(cells). Weights that are not positive count as 0; if none is, `counts` is 0. Only the cells that both
    /// slices have are filled.
    pub fn multinomial(&mut self, trials: u64, weights: &[f64], counts: &mut [u64]) {
        counts.fill(0);
        let mut weight_left: f64 = weights.iter().filter(|weight| **weight > 0.0).sum();
        let last = weights.iter().rposition(|weight| *weight > 0.0);
        let mut left = trials;
        for (cell, (&weight, count)) in weights.iter().zip(counts).enumerate() {
            if left == 0 {
                break;
            }
            if weight.is_nan() || weight <= 0.0 {
                continue;
            }
            // What is left goes to the last cell, whatever the sums were rounded to.
            *count = if Some(cell) == last { left } else { self.binomial(left, weight / weight_left) };
            left -= *count;
            weight_left -= weight;
        }
    }

    /// [`multinomial`](Self::multinomial) with whole numbers for weights, whose sums are exact: how many of `trials` rows,
    /// drawn with replacement from rows that fall into cells of these sizes, fall into each.
    ///
    /// ```
    /// use mlops_core::num::{Random, sample::Draws};
    /// let mut counts = [0; 3];
    /// Draws::new(Random::new(1)).resample(20, &[5, 0, 15], &mut counts);
    /// assert_eq!((counts[0] + counts[2], counts[1]), (20, 0));
    /// ```
    pub fn resample(&mut self, trials: u64, sizes: &[u64], counts: &mut [u64]) {
        counts.fill(0);
        let mut rows_left: u128 = sizes.iter().map(|size| u128::from(*size)).sum();
        let mut left = trials;
        for (&size, count) in sizes.iter().zip(counts) {
            if left == 0 {
                break;
            }
            if size > 0 {
                let all = u128::from(size) == rows_left;
                *count = if all { left } else { self.binomial(left, size as f64 / rows_left as f64) };
                left -= *count;
                rows_left -= u128::from(size);
            }
        }
    }

    /// `drawn` balls drawn without replacement from `sizes[i]` balls of colour i: how many of each. O(colours). The total
    /// stays below 2⁶²; more drawn than there are counts as all.
    ///
    /// ```
    /// use mlops_core::num::{Random, sample::Draws};
    /// let mut counts = [0; 3];
    /// Draws::new(Random::new(1)).without_replacement(4, &[3, 0, 1], &mut counts);
    /// assert_eq!(counts, [3, 0, 1]);
    /// ```
    pub fn without_replacement(&mut self, drawn: u64, sizes: &[u64], counts: &mut [u64]) {
        counts.fill(0);
        let mut total = sizes.iter().fold(0_u64, |sum, size| sum.saturating_add(*size));
        let mut left = drawn.min(total);
        for (&size, count) in sizes.iter().zip(counts) {
            if left == 0 {
                break;
            }
            *count = self.hypergeometric(&Hypergeometric { total, marked: size, drawn: left });
            left -= *count;
            total -= size;
        }
    }
}

/// A count that is an f64; the cast saturates.
#[expect(clippy::cast_sign_loss, reason = "the count lies in [0, n]")]
fn whole(k: f64) -> u64 {
    k as u64
}

/// ln P(X = k) − ln P(X = m) for the mode m.
fn ln_binomial_to_mode(k: f64, n: f64, share: f64) -> f64 {
    let rest = 1.0 - share;
    let m = ((n + 1.0) * share).floor();
    // Stirling's formula for the four factorials, with the large parts taken together.
    let odds_at = |x: f64| ((share * (n + 2.0) - (x + 1.0)) / (rest * (x + 1.0))).ln_1p();
    (n + 1.0) * ((k - m) / (n - k + 1.0)).ln_1p() - (m + 0.5) * odds_at(m)
        + (k + 0.5) * odds_at(k)
        + stirling_remainder(m + 1.0)
        + stirling_remainder(n - m + 1.0)
        - stirling_remainder(k + 1.0)
        - stirling_remainder(n - k + 1.0)
}

/// ½ ln 2π.
const HALF_LN_TAU: f64 = 0.918_938_533_204_672_8;

/// ln P(X = k) of a Poisson law, with the large parts taken together.
fn ln_poisson(k: f64, mean: f64) -> f64 {
    if k < 1.0 {
        return -mean;
    }
    let x = (k - mean) / mean;
    -(mean * ((1.0 + x) * x.ln_1p() - x)) - 0.5 * k.ln() - HALF_LN_TAU - stirling_remainder(k)
}

/// 64 bits that depend on a key and a number alone, which compiles to vector instructions.
#[inline(always)]
fn split_mix(key: u64, number: u64) -> u64 {
    let mut z = key.wrapping_add(number.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// 2³² P(X ≤ k) of a Poisson X with mean 1, for k from 0: the count is how many of them a uniform number reaches.
const POISSON_ONE: [u32; 13] = [
    1_580_030_169,
    3_160_060_337,
    3_950_075_422,
    4_213_413_783,
    4_279_248_374,
    4_292_415_292,
    4_294_609_778,
    4_294_923_276,
    4_294_962_463,
    4_294_966_817,
    4_294_967_253,
    4_294_967_292,
    4_294_967_295,
];

struct PoissonOnes<'a> {
    key: u64,
    counts: &'a mut [u8],
}

impl Kernel for PoissonOnes<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        const LANES: usize = 32;
        for (block, counts) in (0..).zip(self.counts.chunks_mut(2 * LANES)) {
            let mut uniform = [0_u32; 2 * LANES];
            for lane in 0..LANES {
                let word = split_mix(self.key, block * LANES as u64 + lane as u64);
                uniform[lane] = word as u32;
                uniform[LANES + lane] = (word >> 32) as u32;
            }
            let mut drawn = [0_u32; 2 * LANES];
            for limit in POISSON_ONE {
                for (count, u) in drawn.iter_mut().zip(&uniform) {
                    *count += u32::from(*u >= limit);
                }
            }
            for (count, drawn) in counts.iter_mut().zip(drawn) {
                *count = drawn as u8;
            }
        }
    }
}

fn ln_factorial(x: f64) -> f64 {
    const SMALL: [f64; 10] = [1.0, 1.0, 2.0, 6.0, 24.0, 120.0, 720.0, 5_040.0, 40_320.0, 362_880.0];
    if x < 10.0 {
        return SMALL[(whole(x) as usize).min(9)].ln();
    }
    (x + 0.5) * x.ln() - x + HALF_LN_TAU + stirling_remainder(x)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::num::simd::{Level, run_at};
    use crate::num::special::{Binomial, ln_chi2_sf};

    /// Pearson's χ² of 40 000 draws against a law, cells of fewer than 20 expected draws put together; fails one time in
    /// 10 000 seeds.
    fn follows(name: &str, mut draw: impl FnMut() -> u64, pmf: impl Fn(u64) -> f64, most: u64) {
        const DRAWS: usize = 40_000;
        let mut counts = std::collections::BTreeMap::new();
        for _ in 0..DRAWS {
            *counts.entry(draw()).or_insert(0.0) += 1.0;
        }
        assert!(counts.keys().all(|k| *k <= most), "{name}");
        let (mut chi2, mut cells) = (0.0, 0.0);
        let (mut expected, mut seen) = (0.0, 0.0);
        let mut done = 0.0;
        for k in 0..=most {
            expected += pmf(k) * DRAWS as f64;
            seen += counts.get(&k).copied().unwrap_or(0.0);
            if expected >= 20.0 && DRAWS as f64 - done - expected >= 20.0 {
                chi2 += (seen - expected) * (seen - expected) / expected;
                cells += 1.0;
                done += expected;
                (expected, seen) = (0.0, 0.0);
            }
        }
        chi2 += (seen - expected) * (seen - expected) / expected.max(1e-9);
        assert!(cells > 0.0, "{name}: nothing to compare");
        assert!(ln_chi2_sf(chi2, cells) > f64::ln(1e-4), "{name}: χ² {chi2} with {cells} degrees of freedom");
    }

    fn draws(name: &str) -> Draws {
        Draws::new(Random::new(20).stream(name))
    }

    #[test]
    fn binomial_draws_follow_the_law_on_every_path() {
        for (n, share) in [
            (1, 0.3),
            (7, 0.5),
            (12, 0.9),
            (40, 0.02),
            (20, 0.5),
            (25, 0.41),
            (300, 0.05),
            (1_000, 0.5),
            (1_000, 0.97),
            (2_000, 0.2),
        ] {
            let name = format!("binomial {n} {share}");
            let mut random = draws(&name);
            let pmf = |k| Binomial { trials: n, probability: share }.ln_pmf(k).exp();
            follows(&name, || random.binomial(n, share), pmf, n);
        }
    }

    #[test]
    fn poisson_draws_follow_the_law_on_every_path() {
        for mean in [0.5_f64, 1.0, 3.0, 9.99, 10.0, 10.5, 40.0, 900.0] {
            let name = format!("poisson {mean}");
            let mut random = draws(&name);
            let pmf = |k: u64| (k as f64 * mean.ln() - mean - ln_factorial(k as f64)).exp();
            follows(&name, || random.poisson(mean), pmf, whole(mean + 20.0 * mean.sqrt() + 20.0));
        }
    }

    #[test]
    fn large_poisson_counts_scatter_as_their_mean_says() {
        for mean in [1e6_f64, 1e12, 1e18] {
            let mut random = draws("large");
            let scores: Vec<f64> =
                (0..10_000).map(|_| (random.poisson(mean) as f64 - mean) / mean.sqrt()).collect();
            let average = scores.iter().sum::<f64>() / 1e4;
            let variance = scores.iter().map(|z| z * z).sum::<f64>() / 1e4;
            // Five standard errors of 10 000 normal draws.
            assert!(average.abs() < 0.05 && (variance - 1.0).abs() < 0.071, "{mean}: {average} {variance}");
        }
    }

    #[test]
    fn poisson_ones_follow_the_law_and_are_the_same_on_every_instruction_set() {
        let mut counts = vec![0_u8; 100_003];
        draws("ones").poisson_ones(&mut counts);
        let key = draws("ones").next_u64();
        for level in Level::all() {
            let mut again = vec![0_u8; 100_003];
            run_at(level, PoissonOnes { key, counts: &mut again });
            assert_eq!(again, counts, "{level:?}");
        }
        let mut next = counts.iter().copied().map(u64::from);
        follows("ones", || next.next().unwrap(), |k| (-1.0 - ln_factorial(k as f64)).exp(), 13);
    }

    #[test]
    fn thresholds_of_poisson_ones_are_those_of_the_law() {
        let (mut term, mut sum) = ((-1.0_f64).exp(), 0.0);
        for (k, limit) in (1..).zip(POISSON_ONE) {
            sum += term;
            term /= f64::from(k);
            assert!((f64::from(limit) - (sum * 4_294_967_296.0)).abs() <= 1.5, "{k}: {limit}");
        }
    }

    #[test]
    fn rows_are_drawn_alike_and_add_up() {
        let mut random = draws("rows");
        let (mut counts, mut sums) = ([0_u8; 7], [0_u64; 7]);
        for _ in 0..10_000 {
            random.row_counts(&mut counts);
            assert_eq!(counts.iter().map(|count| u32::from(*count)).sum::<u32>(), 7);
            sums.iter_mut().zip(counts).for_each(|(sum, count)| *sum += u64::from(count));
        }
        for sum in sums {
            // Five standard errors of 70 000 draws.
            assert!(
                (sum as f64 - 10_000.0).abs() < 5.0 * (70_000.0 / 7.0 * 6.0 / 7.0_f64).sqrt(),
                "{sums:?}"
            );
        }
        random.row_counts(&mut []);
        random.poisson_ones(&mut []);
    }

    #[test]
    fn hypergeometric_draws_follow_the_law_on_every_path() {
        for (total, marked, drawn) in [
            (10, 4, 3),
            (60, 30, 30),
            (60, 45, 20),
            (60, 20, 45),
            (60, 45, 45),
            (1_000, 500, 300),
            (4_000, 200, 3_000),
            (500, 490, 100),
            (100_000, 150, 9_000),
        ] {
            let law = Hypergeometric { total, marked, drawn };
            let name = format!("{law:?}");
            let mut random = draws(&name);
            let pmf = |k| if (law.lowest()..=law.highest()).contains(&k) { law.ln_pmf(k).exp() } else { 0.0 };
            follows(&name, || random.hypergeometric(&law), pmf, law.highest());
        }
    }

    #[test]
    fn counts_of_any_size_have_the_right_mean_and_spread() {
        let mut random = draws("large");
        for n in [1_000_000_000_u64, 1 << 40, 1 << 58] {
            let (mut mean, mut square) = (0.0, 0.0);
            for _ in 0..4_000 {
                let z = (random.binomial(n, 0.3) as f64 - 0.3 * n as f64) / (0.21 * n as f64).sqrt();
                mean += z / 4_000.0;
                square += z * z / 4_000.0;
            }
            assert!(mean.abs() < 0.06 && (square - 1.0).abs() < 0.09, "{n}: {mean} {square}");
        }
    }

    #[test]
    fn cells_add_up_and_keep_their_shares() {
        let mut random = draws("cells");
        let mut counts = [0; 4];
        let mut sums = [0_u64; 4];
        for _ in 0..500 {
            random.resample(1_000, &[10, 0, 30, 60], &mut counts);
            assert_eq!((counts.iter().sum::<u64>(), counts[1]), (1_000, 0));
            sums.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
        }
        for (sum, share) in sums.into_iter().zip([0.1, 0.0, 0.3, 0.6]) {
            // Five standard errors of 500 000 rows.
            let error = 5.0 * (share * (1.0 - share) / 500_000.0_f64).sqrt();
            assert!((sum as f64 / 500_000.0 - share).abs() <= error);
        }
        for _ in 0..500 {
            random.without_replacement(30, &[20, 0, 15, 5], &mut counts);
            assert_eq!(counts.iter().sum::<u64>(), 30);
            assert!(counts[0] <= 20 && counts[1] == 0 && counts[2] <= 15 && counts[3] <= 5);
        }
    }

    #[test]
    fn hostile_arguments_give_a_count() {
        let mut random = draws("hostile");
        for share in [f64::NAN, -1.0, 0.0, 5e-324, 1.0, 2.0, f64::INFINITY, f64::NEG_INFINITY] {
            for n in [0, 1, 9, u64::MAX] {
                assert!(random.binomial(n, share) <= n, "{n} {share}");
            }
        }
        for mean in [f64::NAN, -1.0, 0.0, f64::NEG_INFINITY] {
            assert_eq!(random.poisson(mean), 0, "{mean}");
        }
        assert_eq!(random.poisson(5e-324), 0);
        assert!(random.poisson(f64::INFINITY) > 1 << 59 && random.poisson(f64::MAX) > 1 << 59);
        for weights in [&[][..], &[0.0, 0.0], &[f64::NAN, -1.0]] {
            let mut counts = [7; 2];
            random.multinomial(5, weights, &mut counts);
            assert_eq!(counts, [0, 0]);
        }
        let mut counts = [0; 2];
        random.resample(u64::MAX, &[u64::MAX, u64::MAX], &mut counts);
        assert_eq!(counts[0] + counts[1], u64::MAX);
        assert_eq!(random.hypergeometric(&Hypergeometric { total: 3, marked: 9, drawn: 9 }), 3);
    }
}
