//! Anderson–Darling test of two or more samples: the mean squared gap between distribution functions, heaviest in the tails.
//!
//! For k samples with nᵢ values, N in all, and Mᵢⱼ values of sample i up to the j-th distinct value, which occurs lⱼ times and up to which
//! there are Bⱼ values of all samples,
//!
//! > A² = Σᵢ 1/nᵢ Σⱼ lⱼ/N · (N·Mᵢⱼ − nᵢ·Bⱼ)²/(Bⱼ(N − Bⱼ))
//!
//! over all distinct values but the largest (Scholz and Stephens, *K-sample Anderson–Darling tests*, JASA 82, 1987, eq. 6; SciPy's
//! `variant="right"`). On average A² is k − 1 without drift and without ties. It depends on the order of the values only, and
//! infinities are ordinary, extreme values.
//!
//! # The p-value
//! It is not read from a table (SciPy's stops at 0.25 and 0.001) but computed from the large-sample law of A², the sum of χ²
//! variables with k − 1 degrees of freedom over j(j + 1), by contour integration: right to 1e-11 at any depth of the tail. For
//! finite samples:
//! - Without ties, A² is moved and scaled to the mean k − 1 and the exact variance of Scholz and Stephens, which is how their
//!   table is used too: within its range the two agree to 6 %.
//! - With ties, the law is that of Σ (lⱼ/N)·|B|²/(t(1 − t)) over the ends of the groups of tied values, B a Brownian bridge in k − 1
//!   dimensions, at A²·(N − 1)/N, whose mean is the exact one.
//!
//! In simulations without drift, with 12 and 9 and with 60 and 40 values, continuous and on six levels, a level of 5 % rejects as
//! often as it says within binomial bounds; deep in the tail a small sample's p is an extrapolation. [`AndersonDarlingMethod::Permutation`] shuffles the values over the samples, from a seed, and
//! is right to its resolution 1/(rounds + 1) at any size.

use mlops_core::num::sum::Sum;
use mlops_core::num::{Measured, NanPolicy, Random, StatsError, UndefinedReason};
use serde::{Deserialize, Serialize};

use crate::grid::{Weight, law};
use crate::pair::{Pair, Tail};
use crate::sample::{Sample, Side, Value};
use crate::special::{AndersonDarlingLaw, ln_sf};
use crate::two::{Blocks, Sides, Two, check_sorted};

/// How the p-value is computed; see the [module](self).
///
/// ```
/// assert_eq!(mlops_drift::AndersonDarlingMethod::default(), mlops_drift::AndersonDarlingMethod::Limit);
/// ```
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AndersonDarlingMethod {
    /// The limit law, given the ties. The default.
    #[default]
    Limit,
    /// (1 + shuffles with an A² as large)/(1 + rounds): O(N) a round.
    Permutation {
        /// Where the shuffles come from.
        seed: u64,
        /// How many, at least 1.
        rounds: u32,
    },
}

/// How [`anderson_darling_with`] treats NaN and computes p.
///
/// ```
/// use mlops_drift::{AndersonDarlingMethod, AndersonDarlingOptions};
/// let method = AndersonDarlingMethod::Permutation { seed: 7, rounds: 999 };
/// assert_eq!(AndersonDarlingOptions::default().with_method(method).method, method);
/// ```
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AndersonDarlingOptions {
    /// What to do with NaN; an error by default.
    pub nan: NanPolicy,
    /// How p is computed.
    pub method: AndersonDarlingMethod,
}

impl AndersonDarlingOptions {
    /// With this NaN policy.
    #[must_use]
    pub fn with_nan(mut self, nan: NanPolicy) -> Self {
        self.nan = nan;
        self
    }

    /// With this method.
    #[must_use]
    pub fn with_method(mut self, method: AndersonDarlingMethod) -> Self {
        self.method = method;
        self
    }
}

/// The result of an Anderson–Darling test.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct AndersonDarling {
    /// A², at least 0; undefined under [`NanPolicy::Propagate`] when there is a NaN.
    pub statistic: Measured,
    /// (A² − (k − 1))/σ, σ² the variance without ties: what SciPy calls the statistic. Undefined below four values.
    pub standardised: Measured,
    /// P(A² or more | no drift); undefined below four values and when all are equal.
    pub p: Measured,
    /// The natural logarithm of `p`, finite where `p` is too small for a double.
    pub ln_p: Measured,
    /// How `p` was computed.
    pub method: AndersonDarlingMethod,
    /// k: how many samples there are.
    pub samples: u64,
    /// Whether some value occurs more than once in the pooled sample.
    pub ties: bool,
    /// What became of the reference values, or those of the first sample.
    pub reference: Side,
    /// What became of the current values, or those of all other samples together.
    pub current: Side,
}

/// The test of two samples; NaN is an error. O(N log N).
///
/// The standardised A² agrees with `scipy.stats.anderson_ksamp(…, variant="right")` to 1e-12.
///
/// # Errors
/// [`StatsError::Empty`], [`StatsError::Nan`], [`StatsError::AllMissing`] name the argument.
///
/// ```
/// use mlops_drift::anderson_darling;
///
/// let a: Vec<f64> = (0..200).map(f64::from).collect();
/// let b: Vec<f64> = (0..200).map(|i| 60.0 + f64::from(i) * 1.2).collect();
/// let test = anderson_darling(&a, &b)?;
/// assert!(test.p.value().is_some_and(|p| p < 1e-12)); // where a table would say 0.001
/// # Ok::<(), mlops_core::num::StatsError>(())
/// ```
pub fn anderson_darling<'a, 'b, T: Value>(
    reference: impl Into<Sample<'a, T>>,
    current: impl Into<Sample<'b, T>>,
) -> Result<AndersonDarling, StatsError> {
    anderson_darling_with(reference, current, &AndersonDarlingOptions::default())
}

/// The test of two samples under given [`AndersonDarlingOptions`].
///
/// # Errors
/// As [`anderson_darling`]; [`StatsError::Parameter`] for no rounds.
///
/// ```
/// use mlops_drift::{AndersonDarlingMethod, AndersonDarlingOptions, anderson_darling_with};
///
/// let method = AndersonDarlingMethod::Permutation { seed: 1, rounds: 99 };
/// let options = AndersonDarlingOptions::default().with_method(method);
/// let test = anderson_darling_with(&[1, 2, 3, 4, 5, 6], &[17, 18, 19, 20, 21, 22], &options)?;
/// assert!(test.p.value().is_some_and(|p| (0.01..=0.04).contains(&p)));
/// # Ok::<(), mlops_core::num::StatsError>(())
/// ```
pub fn anderson_darling_with<'a, 'b, T: Value>(
    reference: impl Into<Sample<'a, T>>,
    current: impl Into<Sample<'b, T>>,
    options: &AndersonDarlingOptions,
) -> Result<AndersonDarling, StatsError> {
    let two = Two::new(reference, current, options.nan)?;
    if let Some(none) = two.undefined {
        return Ok(undefined(none, 2, two.sides, options.method));
    }
    let (a, b) = two.sorted_keys();
    test(Blocks::new(&a, &b).map(|(a, b)| [a, b]), 2, two.sides, options.method)
}

/// The test of two samples in ascending order: no copies, O(N).
///
/// # Errors
/// [`StatsError::Empty`], [`StatsError::Nan`], [`StatsError::Unsorted`] with the index; [`StatsError::Parameter`] for no rounds.
///
/// ```
/// use mlops_drift::{AndersonDarlingMethod, anderson_darling_sorted};
/// let test = anderson_darling_sorted(&[1.0, 2.0, 4.0], &[3.0, 5.0, 6.0], AndersonDarlingMethod::Limit)?;
/// assert!(test.p.value().is_some_and(|p| p > 0.05));
/// # Ok::<(), mlops_core::num::StatsError>(())
/// ```
pub fn anderson_darling_sorted<T: Value>(
    reference: &[T],
    current: &[T],
    method: AndersonDarlingMethod,
) -> Result<AndersonDarling, StatsError> {
    check_sorted("reference", reference)?;
    check_sorted("current", current)?;
    let blocks = Blocks::new(reference, current).map(|(a, b)| [a, b]);
    test(blocks, 2, Sides::sorted(reference, current), method)
}

/// The test on counts over the same **ordered** cells: values in one cell are ties. Linear time.
///
/// # Errors
/// [`StatsError::LengthMismatch`], [`StatsError::Empty`], [`StatsError::ZeroTotal`], [`StatsError::Overflow`];
/// [`StatsError::Parameter`] for no rounds, or more than 2²⁴ values to shuffle.
///
/// ```
/// use mlops_drift::{AndersonDarlingMethod, anderson_darling, anderson_darling_from_counts};
///
/// let counted = anderson_darling_from_counts(&[3, 1, 0], &[1, 1, 2], AndersonDarlingMethod::Limit)?;
/// let listed = anderson_darling(&[1_u8, 1, 1, 2], &[1, 2, 3, 3])?;
/// assert_eq!((counted.statistic, counted.p), (listed.statistic, listed.p));
/// # Ok::<(), mlops_core::num::StatsError>(())
/// ```
pub fn anderson_darling_from_counts(
    reference: &[u64],
    current: &[u64],
    method: AndersonDarlingMethod,
) -> Result<AndersonDarling, StatsError> {
    let pair = Pair::new(reference, current)?;
    test(pair.occupied().map(|(a, b)| [a, b]), 2, Sides::whole(pair.n, pair.m), method)
}

/// The test of any number of samples, such as one a day; the first is the reference. O(N log N + N·k).
///
/// # Errors
/// [`StatsError::TooFew`] for fewer than two samples; as [`anderson_darling_with`], where every sample but the first is called
/// `current`.
///
/// ```
/// use mlops_drift::{AndersonDarlingOptions, Sample, anderson_darling_k};
///
/// let days = [[1.0, 2.0, 3.0, 4.0], [1.5, 2.5, 3.5, 4.5], [1.2, 2.2, 3.2, 9.0]];
/// let samples: Vec<Sample<'_, f64>> = days.iter().map(Sample::from).collect();
/// let test = anderson_darling_k(&samples, &AndersonDarlingOptions::default())?;
/// assert!(test.samples == 3 && test.p.value().is_some_and(|p| p > 0.5));
/// # Ok::<(), mlops_core::num::StatsError>(())
/// ```
pub fn anderson_darling_k<T: Value>(
    samples: &[Sample<'_, T>],
    options: &AndersonDarlingOptions,
) -> Result<AndersonDarling, StatsError> {
    let [first, others @ ..] = samples else { return Err(few(0)) };
    if others.is_empty() {
        return Err(few(1));
    }
    let k = samples.len() as u64;
    let mut sides = Sides::whole(0, 0);
    let (mut pooled, mut none) = (Vec::new(), None);
    for (index, &other) in others.iter().enumerate() {
        let two = Two::new(*first, other, options.nan)?;
        if index == 0 {
            sides.reference = two.sides.reference;
            pooled.extend(two.reference.iter().map(|value| (value.key(), 0)));
        }
        sides.current = add(sides.current, two.sides.current);
        pooled.extend(two.current.iter().map(|value| (value.key(), index + 1)));
        none = none.or(two.undefined);
    }
    if let Some(none) = none {
        return Ok(undefined(none, k, sides, options.method));
    }
    pooled.sort_unstable();
    let blocks = pooled.chunk_by(|x, y| x.0 == y.0).map(|tied| {
        let mut counts = vec![0; samples.len()];
        tied.iter().for_each(|&(_, sample)| counts[sample] += 1);
        counts
    });
    test(blocks, samples.len(), sides, options.method)
}

fn few(got: usize) -> StatsError {
    StatsError::TooFew { argument: "samples", needed: 2, got }
}

fn add(a: Side, b: Side) -> Side {
    Side {
        rows: a.rows + b.rows,
        used: a.used + b.used,
        missing: a.missing + b.missing,
        infinite: a.infinite + b.infinite,
        unseen: a.unseen + b.unseen,
    }
}

fn undefined(none: Measured, samples: u64, sides: Sides, method: AndersonDarlingMethod) -> AndersonDarling {
    let Sides { reference, current } = sides;
    let (statistic, standardised, p, ln_p, ties) = (none, none, none, none, false);
    AndersonDarling { statistic, standardised, p, ln_p, method, samples, ties, reference, current }
}

fn test<B: AsRef<[u64]>>(
    blocks: impl Iterator<Item = B> + Clone,
    samples: usize,
    sides: Sides,
    method: AndersonDarlingMethod,
) -> Result<AndersonDarling, StatsError> {
    let mut sizes = vec![0_u64; samples];
    let (mut groups, mut total) = (0_u64, 0_u64);
    for block in blocks.clone() {
        sizes.iter_mut().zip(block.as_ref()).for_each(|(sum, count)| *sum += count);
        groups += 1;
        total += block.as_ref().iter().sum::<u64>();
    }
    let statistic = criterion(blocks.clone(), &sizes, total);
    let ties = groups < total;
    let freedom = samples as f64 - 1.0;
    let deviation = (total > 3).then(|| variance(&sizes, total).sqrt());
    let none = |reason, have, need| Measured::none(reason, have, need);
    let few = none(UndefinedReason::TooFew, total as usize, 4);
    let standardised = deviation.map_or(few, |sigma| Measured::Value((statistic - freedom) / sigma));
    let tail = match (deviation, method) {
        (None, _) => Tail { p: few, ln_p: few },
        _ if groups == 1 => {
            let constant = none(UndefinedReason::Constant, 1, 2);
            Tail { p: constant, ln_p: constant }
        }
        (_, AndersonDarlingMethod::Permutation { seed, rounds }) => {
            Tail::from_ln(permuted(blocks, &sizes, total, statistic, seed, rounds)?)
        }
        (Some(sigma), _) => {
            let groups = blocks.map(|block| block.as_ref().iter().sum());
            Tail::from_ln(limit(groups, total, freedom, ties, statistic, sigma))
        }
    };
    let Sides { reference, current } = sides;
    let (statistic, samples) = (Measured::Value(statistic), samples as u64);
    let (p, ln_p) = (tail.p, tail.ln_p);
    Ok(AndersonDarling { statistic, standardised, p, ln_p, method, samples, ties, reference, current })
}

/// A².
fn criterion<B: AsRef<[u64]>>(blocks: impl Iterator<Item = B>, sizes: &[u64], total: u64) -> f64 {
    let mut seen = vec![0_u64; sizes.len()];
    let mut sum = Sum::new();
    let mut before = 0_u64;
    for block in blocks {
        let tied: u64 = block.as_ref().iter().sum();
        before += tied;
        if before == total {
            break;
        }
        let scale = tied as f64 / total as f64 / (before as f64 * ((total - before) as f64));
        for ((seen, count), &size) in seen.iter_mut().zip(block.as_ref()).zip(sizes) {
            *seen += count;
            let (left, right) =
                (u128::from(total) * u128::from(*seen), u128::from(size) * u128::from(before));
            let gap = left.abs_diff(right) as f64;
            sum.push(gap * scale * (gap / size as f64));
        }
    }
    sum.value()
}

/// ln p by the limit law.
fn limit(
    groups: impl Iterator<Item = u64>,
    total: u64,
    freedom: f64,
    ties: bool,
    statistic: f64,
    deviation: f64,
) -> f64 {
    if ties {
        let law = law(groups, total, Weight::Tails, freedom);
        return law.map_or(0.0, |law| ln_sf(&law, statistic * ((total - 1) as f64 / total as f64)));
    }
    // The variance of the limit is 2(k − 1)Σ 1/(j(j + 1))² = 2(k − 1)(π²/3 − 3).
    let limit = (2.0 * freedom * (std::f64::consts::PI.powi(2) / 3.0 - 3.0)).sqrt();
    let moved = freedom + (statistic - freedom) * (limit / deviation);
    ln_sf(&AndersonDarlingLaw { dimensions: freedom }, moved)
}

/// The variance of A² without drift and ties (Scholz and Stephens, eq. 4), for more than three values.
pub(crate) fn variance(sizes: &[u64], total: u64) -> f64 {
    let k = sizes.len() as f64;
    let inverse: f64 = sizes.iter().map(|size| 1.0 / *size as f64).sum();
    let (h, g) = harmonics(total);
    let n = total as f64;
    let a = (4.0 * g - 6.0) * (k - 1.0) + (10.0 - 6.0 * g) * inverse;
    let b = (2.0 * g - 4.0) * k * k + 8.0 * h * k + (2.0 * g - 14.0 * h - 4.0) * inverse - 8.0 * h + 4.0 * g
        - 6.0;
    let c = (6.0 * h + 2.0 * g - 2.0) * k * k
        + (4.0 * h - 4.0 * g + 6.0) * k
        + (2.0 * h - 6.0) * inverse
        + 4.0 * h;
    let d = (2.0 * h + 6.0) * k * k - 4.0 * h * k;
    // Divided by N³ throughout, so that nothing overflows.
    let top = a + b / n + c / n / n + d / n / n / n;
    top / ((1.0 - 1.0 / n) * (1.0 - 2.0 / n) * (1.0 - 3.0 / n))
}

/// Σ 1/i over 1 ≤ i < N, and ΣΣ 1/((N − i)j) over 1 ≤ i < j < N.
fn harmonics(total: u64) -> (f64, f64) {
    const SUMMED: u64 = 1 << 20;
    if total > SUMMED {
        // ln(N − 1) + γ + 1/(2(N − 1)), and the first terms of the expansion of g; both are off by less than 1e-9.
        let n = total as f64;
        let h = (n - 1.0).ln() + 0.577_215_664_901_532_9 + 0.5 / (n - 1.0);
        return (h, std::f64::consts::PI.powi(2) / 6.0 - (2.0 * h + 1.0) / n);
    }
    let (mut h, mut g) = (1.0, 0.0);
    // The partial sums of 1/(N − 1) + 1/(N − 2) + … over 2, 3, …
    let mut partial = Sum::new();
    for j in 2..total {
        partial.push(1.0 / (total - j + 1) as f64);
        g += partial.value() / j as f64;
        h += 1.0 / j as f64;
    }
    (h, g)
}

/// ln of the share of shuffles, the sample itself among them, with an A² as large.
fn permuted<B: AsRef<[u64]>>(
    blocks: impl Iterator<Item = B>,
    sizes: &[u64],
    total: u64,
    statistic: f64,
    seed: u64,
    rounds: u32,
) -> Result<f64, StatsError> {
    const MOST: u64 = 1 << 24;
    if rounds == 0 {
        return Err(StatsError::Parameter { parameter: "rounds", value: 0.0, reason: "must be at least 1" });
    }
    if total > MOST {
        let reason = "is more values than can be shuffled (2^24)";
        return Err(StatsError::Parameter { parameter: "method", value: total as f64, reason });
    }
    let groups: Vec<usize> = blocks.map(|block| block.as_ref().iter().sum::<u64>() as usize).collect();
    let mut labels: Vec<usize> =
        (0..sizes.len()).flat_map(|i| std::iter::repeat_n(i, sizes[i] as usize)).collect();
    let random = Random::new(seed).stream("anderson-darling");
    // Sums in another order differ by rounding: what is equal must count.
    let bound = statistic * (1.0 - 1e-12);
    let mut hits = 1_u64;
    for round in 0..rounds {
        random.nth(u64::from(round)).shuffle(&mut labels);
        let mut rest = &labels[..];
        let shuffled = groups.iter().map(|&size| {
            let (tied, after) = rest.split_at(size);
            rest = after;
            let mut counts = vec![0_u64; sizes.len()];
            tied.iter().for_each(|&sample| counts[sample] += 1);
            counts
        });
        hits += u64::from(criterion(shuffled, sizes, total) >= bound);
    }
    Ok((hits as f64 / (f64::from(rounds) + 1.0)).ln())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn harmonic_sums_meet_their_limits() {
        let near = |total: u64| {
            let n = total as f64;
            let h = (n - 1.0).ln() + 0.577_215_664_901_532_9 + 0.5 / (n - 1.0);
            (h, std::f64::consts::PI.powi(2) / 6.0 - (2.0 * h + 1.0) / n)
        };
        let (exact, limit) = (harmonics(1 << 18), near(1 << 18));
        assert!((exact.0 - limit.0).abs() < 1e-10 && (exact.1 - limit.1).abs() < 1e-9, "{exact:?} {limit:?}");
        // N = 4: 1 + 1/2 + 1/3, and 1/(3·2) + 1/(3·3) + 1/(2·3).
        let (h, g) = harmonics(4);
        assert!((h - 11.0 / 6.0).abs() < 1e-15 && (g - (1.0 / 6.0 + 1.0 / 9.0 + 1.0 / 6.0)).abs() < 1e-15);
    }

    #[test]
    fn shuffles_and_the_limit_agree() {
        let a: Vec<u32> = (0..30).map(|i| i * 7 % 31).collect();
        for (b, within) in [
            ((0..25).map(|i| i * 11 % 37 + 6).collect::<Vec<u32>>(), 0.02),
            ((0..40).map(|i| i * 5 % 29 / 4 * 4).collect(), 0.03),
        ] {
            let p = |method| {
                let options = AndersonDarlingOptions::default().with_method(method);
                anderson_darling_with(&a, &b, &options).unwrap().p.value().unwrap()
            };
            let (limit, shuffled) = (
                p(AndersonDarlingMethod::Limit),
                p(AndersonDarlingMethod::Permutation { seed: 3, rounds: 3999 }),
            );
            assert!((limit - shuffled).abs() < within, "{limit} {shuffled}");
        }
    }

    #[test]
    fn two_samples_are_a_case_of_many() {
        let (a, b) = ([3.0, 1.0, 4.0, 1.0, 5.0, 9.0], [2.0, 6.0, 5.0, 3.0, 5.0]);
        let options = AndersonDarlingOptions::default();
        let many = anderson_darling_k(&[Sample::from(&a), Sample::from(&b)], &options).unwrap();
        assert_eq!(many, anderson_darling(&a, &b).unwrap());
        assert!(anderson_darling_k(&[Sample::from(&a)], &options).is_err());
    }

    #[test]
    fn what_has_no_law_has_no_p() {
        let reason = |a: &[f64], b: &[f64]| anderson_darling(a, b).unwrap().p.undefined().map(|u| u.reason);
        assert_eq!(reason(&[1.0], &[2.0, 3.0]), Some(UndefinedReason::TooFew));
        assert_eq!(reason(&[1.0; 4], &[1.0; 5]), Some(UndefinedReason::Constant));
        assert_eq!(reason(&[1.0; 4], &[2.0; 5]), None);
    }
}
