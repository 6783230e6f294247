//! Two-sample Cramér–von Mises test: the mean squared gap between two distribution functions.
//!
//! With the empirical distribution functions F of n reference values, G of m current values and H of all N = n + m,
//!
//! > T = nm/N ∫ (F − G)² dH = nm/N² Σ (F(z) − G(z))²
//!
//! over all pooled values z (Anderson, *On the distribution of the two-sample Cramér–von Mises criterion*, Ann. Math. Stat. 33,
//! 1962). T is 0 for equal samples, has no unit and does not change under increasing maps of the values. Where
//! [Kolmogorov–Smirnov](mod@crate::ks) looks at the largest gap, this adds all of them up. Infinities are ordinary, extreme values.
//!
//! SciPy's `cramervonmises_2samp` is the same number without ties. With ties it takes midranks instead, for which two
//! constant columns of 1 and 2 values already differ (T = 1/9); the integral does not have that flaw.
//!
//! # The p-value
//! - **Exact**: the share of the assignments of the pooled values to the two sides with a T as large, **given the values that are
//!   tied**, by a walk over sorted lists of partial sums (Xiao, Gordon and Yakovlev, *A C++ program for the Cramér–von Mises
//!   two-sample test*, J. Stat. Softw. 17, 2007). Only sums that can still go either way are kept, and p is added up from what
//!   reached T, so that it is right for tiny p too. Without ties this is SciPy's `method="exact"`.
//! - **Limit**: the large-sample law. Without ties it is that of ∫ B², B a Brownian bridge, at T moved and scaled to its first two
//!   moments, SciPy's `method="asymptotic"`. Given ties it is that of Σ (t/N)·B² over the ends of the groups of t tied
//!   values, at T·(N − 1)/N, whose mean is the exact one. Both by contour integration, right at any depth of the tail.
//!
//! [`CramerVonMisesMethod::Auto`] is exact where n·m ≤ 10 000 and the walk meets at most 2²¹ ≈ 2e6 partial sums, so in the tails, with ties, or with few values; elsewhere it takes the limit.

use mlops_core::num::sum::Sum;
use mlops_core::num::{Measured, NanPolicy, StatsError};
use serde::{Deserialize, Serialize};

use crate::grid::{Weight, law};
use crate::pair::{Pair, Tail};
use crate::sample::{Sample, Side, Value};
use crate::special::{CramerVonMisesLaw, ln_sf};
use crate::two::{Blocks, Sides, Two, check_sorted};

mod walk;

/// How the p-value is computed; see the [module](self).
///
/// ```
/// assert_eq!(mlops_drift::CramerVonMisesMethod::default(), mlops_drift::CramerVonMisesMethod::Auto);
/// ```
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CramerVonMisesMethod {
    /// Exact where that is cheap, the limit law elsewhere. The default; never found in a result.
    #[default]
    Auto,
    /// Exact given the ties; refused beyond n·m = 10 000 and 2²⁷ partial sums.
    Exact,
    /// The limit law, given the ties.
    Limit,
}

/// How [`cramer_von_mises_with`] treats NaN and computes p.
///
/// ```
/// use mlops_drift::{CramerVonMisesMethod, CramerVonMisesOptions};
/// let options = CramerVonMisesOptions::default().with_method(CramerVonMisesMethod::Limit);
/// assert_eq!(options.method, CramerVonMisesMethod::Limit);
/// ```
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CramerVonMisesOptions {
    /// What to do with NaN; an error by default.
    pub nan: NanPolicy,
    /// How p is computed.
    pub method: CramerVonMisesMethod,
}

impl CramerVonMisesOptions {
    /// With this NaN policy.
    #[must_use]
    pub fn with_nan(mut self, nan: NanPolicy) -> Self {
        self.nan = nan;
        self
    }

    /// With this method.
    #[must_use]
    pub fn with_method(mut self, method: CramerVonMisesMethod) -> Self {
        self.method = method;
        self
    }
}

/// The result of a two-sample Cramér–von Mises test.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CramerVonMises {
    /// T, at least 0; undefined under [`NanPolicy::Propagate`] when there is a NaN.
    pub statistic: Measured,
    /// P(T or more | no drift); 1 when all values are equal.
    pub p: Measured,
    /// The natural logarithm of `p`, finite where `p` is too small for a double.
    pub ln_p: Measured,
    /// How `p` was computed; never [`CramerVonMisesMethod::Auto`].
    pub method: CramerVonMisesMethod,
    /// Whether some value occurs more than once in the pooled sample.
    pub ties: bool,
    /// What became of the reference values.
    pub reference: Side,
    /// What became of the current values.
    pub current: Side,
}

/// The test; NaN is an error. O(N log N) before the p-value.
///
/// Without ties T agrees with `scipy.stats.cramervonmises_2samp` to 1e-12, p to 1e-10 for the same method.
///
/// # Errors
/// [`StatsError::Empty`], [`StatsError::Nan`], [`StatsError::AllMissing`] name the argument.
///
/// ```
/// use mlops_drift::cramer_von_mises;
///
/// let test = cramer_von_mises(&[1.0, 2.0, 3.0, 4.0], &[3.5, 4.5, 5.5])?;
/// assert!(test.statistic.value().is_some_and(|t| (t - 0.3928571428571428).abs() < 1e-15));
/// assert!(test.p.value().is_some_and(|p| (p - 4.0 / 35.0).abs() < 1e-14)); // 4 of 35 assignments
/// # Ok::<(), mlops_core::num::StatsError>(())
/// ```
pub fn cramer_von_mises<'a, 'b, T: Value>(
    reference: impl Into<Sample<'a, T>>,
    current: impl Into<Sample<'b, T>>,
) -> Result<CramerVonMises, StatsError> {
    cramer_von_mises_with(reference, current, &CramerVonMisesOptions::default())
}

/// The test under given [`CramerVonMisesOptions`].
///
/// # Errors
/// As [`cramer_von_mises`]; [`StatsError::Parameter`] when [`CramerVonMisesMethod::Exact`] is out of reach.
///
/// ```
/// use mlops_core::num::Measured;
/// use mlops_drift::{CramerVonMisesOptions, cramer_von_mises_with};
///
/// let constant = cramer_von_mises_with(&[7_i64], &[7, 7], &CramerVonMisesOptions::default())?;
/// assert_eq!((constant.statistic, constant.p), (Measured::Value(0.0), Measured::Value(1.0)));
/// # Ok::<(), mlops_core::num::StatsError>(())
/// ```
pub fn cramer_von_mises_with<'a, 'b, T: Value>(
    reference: impl Into<Sample<'a, T>>,
    current: impl Into<Sample<'b, T>>,
    options: &CramerVonMisesOptions,
) -> Result<CramerVonMises, StatsError> {
    let two = Two::new(reference, current, options.nan)?;
    if let Some(none) = two.undefined {
        let Sides { reference, current } = two.sides;
        let (statistic, p, ln_p, method, ties) = (none, none, none, CramerVonMisesMethod::Exact, false);
        return Ok(CramerVonMises { statistic, p, ln_p, method, ties, reference, current });
    }
    let (a, b) = two.sorted_keys();
    test(Blocks::new(&a, &b), two.sides, options.method)
}

/// The test on two samples in ascending order: no copies, O(N) before the p-value.
///
/// # Errors
/// [`StatsError::Empty`], [`StatsError::Nan`], [`StatsError::Unsorted`] with the index; as [`cramer_von_mises_with`].
///
/// ```
/// use mlops_drift::{CramerVonMisesMethod, cramer_von_mises_sorted};
/// assert!(cramer_von_mises_sorted(&[1.0, 2.0], &[1.5], CramerVonMisesMethod::Auto).is_ok());
/// assert!(cramer_von_mises_sorted(&[2.0, 1.0], &[1.5], CramerVonMisesMethod::Auto).is_err());
/// ```
pub fn cramer_von_mises_sorted<T: Value>(
    reference: &[T],
    current: &[T],
    method: CramerVonMisesMethod,
) -> Result<CramerVonMises, StatsError> {
    check_sorted("reference", reference)?;
    check_sorted("current", current)?;
    test(Blocks::new(reference, current), Sides::sorted(reference, current), method)
}

/// The test on counts over the same **ordered** cells: values in one cell are ties. Linear time before the p-value.
///
/// # Errors
/// [`StatsError::LengthMismatch`], [`StatsError::Empty`], [`StatsError::ZeroTotal`], [`StatsError::Overflow`]; as
/// [`cramer_von_mises_with`].
///
/// ```
/// use mlops_drift::{CramerVonMisesMethod, cramer_von_mises, cramer_von_mises_from_counts};
///
/// let counted = cramer_von_mises_from_counts(&[3, 1, 0], &[1, 1, 2], CramerVonMisesMethod::Auto)?;
/// let listed = cramer_von_mises(&[1_u8, 1, 1, 2], &[1, 2, 3, 3])?;
/// assert_eq!((counted.statistic, counted.p), (listed.statistic, listed.p));
/// # Ok::<(), mlops_core::num::StatsError>(())
/// ```
pub fn cramer_von_mises_from_counts(
    reference: &[u64],
    current: &[u64],
    method: CramerVonMisesMethod,
) -> Result<CramerVonMises, StatsError> {
    let pair = Pair::new(reference, current)?;
    test(pair.occupied(), Sides::whole(pair.n, pair.m), method)
}

fn test(
    blocks: impl Iterator<Item = (u64, u64)> + Clone,
    sides: Sides,
    method: CramerVonMisesMethod,
) -> Result<CramerVonMises, StatsError> {
    let (n, m) = blocks.clone().fold((0, 0), |(n, m), (a, b)| (n + a, m + b));
    let statistic = criterion(blocks.clone(), n, m);
    let sizes = blocks.map(|(a, b)| a + b);
    let ties = sizes.clone().any(|size| size > 1);
    let exact = match method {
        CramerVonMisesMethod::Limit => None,
        CramerVonMisesMethod::Auto => exact(&sizes, (n, m), statistic, 1 << 21).ok(),
        CramerVonMisesMethod::Exact => Some(exact(&sizes, (n, m), statistic, 1 << 27)?),
    };
    let method = if exact.is_some() { CramerVonMisesMethod::Exact } else { CramerVonMisesMethod::Limit };
    let tail = Tail::from_ln(exact.unwrap_or_else(|| limit(sizes, n, m, statistic, ties)));
    let Sides { reference, current } = sides;
    let statistic = Measured::Value(statistic);
    Ok(CramerVonMises { statistic, p: tail.p, ln_p: tail.ln_p, method, ties, reference, current })
}

/// ln p of a T of midranks by the laws without ties, for whatever wants it: exact, where what ties leave of a whole sum is rounded
/// down, or the limit.
pub(crate) fn ln_p_as_if_untied(
    (n, m): (u64, u64),
    statistic: f64,
    by_walk: bool,
) -> Result<f64, StatsError> {
    let ones = std::iter::repeat_n(1, (n + m) as usize);
    if !by_walk {
        return Ok(limit(ones, n, m, statistic, false));
    }
    let unit = walk::unit(n as usize, m as usize);
    exact(&ones, (n, m), (statistic * unit + 1e-6).floor() / unit, 1 << 27)
}

/// T. The differences of the distribution functions are exact integers over n·m.
fn criterion(blocks: impl Iterator<Item = (u64, u64)>, n: u64, m: u64) -> f64 {
    let (mut i, mut j) = (0, 0);
    let pairs = n as f64 * m as f64;
    let term = |(a, b): (u64, u64)| {
        (i, j) = (i + a, j + b);
        let gap = (u128::from(i) * u128::from(m)).abs_diff(u128::from(j) * u128::from(n)) as f64 / pairs;
        (a + b) as f64 * gap * gap
    };
    let total = n as f64 + m as f64;
    blocks.map(term).collect::<Sum>().value() * (n as f64 / total) * (m as f64 / total)
}

/// ln p by the walk, if n·m is small enough for it.
fn exact(
    sizes: &(impl Iterator<Item = u64> + Clone),
    (n, m): (u64, u64),
    statistic: f64,
    budget: usize,
) -> Result<f64, StatsError> {
    let refused = |value| {
        let reason = "needs too many steps for an exact p-value";
        Err(StatsError::Parameter { parameter: "method", value, reason })
    };
    if n.saturating_mul(m) > walk::MAX_PAIRS || n + m > walk::MAX_TOTAL {
        return refused(n as f64 * m as f64);
    }
    let sizes: Vec<usize> = sizes.clone().map(|size| size as usize).collect();
    walk::ln_p(&sizes, n as usize, m as usize, statistic)
        .within(budget)
        .map_or_else(|| refused(budget as f64), Ok)
}

/// ln p by the limit law.
fn limit(sizes: impl Iterator<Item = u64>, n: u64, m: u64, statistic: f64, ties: bool) -> f64 {
    let (total, n, m) = (n + m, n as f64, m as f64);
    let size = total as f64;
    if ties {
        let law = law(sizes, total, Weight::Flat, 1.0);
        return law.map_or(0.0, |law| ln_sf(&law, statistic * ((size - 1.0) / size)));
    }
    // Anderson's mean and variance; the limit has 1/6 and 1/45.
    let mean = (1.0 + 1.0 / size) / 6.0;
    // (N + 1)(4nmN − 3(n² + m²) − 2nm)/(180·N²·nm), with shares so that nothing overflows.
    let (x, y) = (n / size, m / size);
    let inner = (4.0 * x * y * size - 3.0 * (x * x + y * y) - 2.0 * x * y) / (4.0 * x * y);
    let variance = (1.0 + 1.0 / size) / (45.0 * size) * inner;
    if variance <= 0.0 {
        // One value a side: T can only be what it is.
        return 0.0;
    }
    ln_sf(&CramerVonMisesLaw, 1.0 / 6.0 + (statistic - mean) / (45.0 * variance).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocks(a: &[f64], b: &[f64]) -> Vec<(u64, u64)> {
        let two = Two::new(a, b, NanPolicy::Raise).unwrap();
        let (a, b) = two.sorted_keys();
        Blocks::new(&a, &b).collect()
    }

    /// Every assignment of the pooled values, one by one: the definition of p.
    fn by_enumeration(a: &[f64], b: &[f64]) -> f64 {
        let t = |a: &[f64], b: &[f64]| criterion(blocks(a, b).into_iter(), a.len() as u64, b.len() as u64);
        let pooled: Vec<f64> = a.iter().chain(b).copied().collect();
        let observed = t(a, b);
        let (mut hits, mut all) = (0u32, 0u32);
        for mask in 0u32..1 << pooled.len() {
            if mask.count_ones() as usize == a.len() {
                let pick = |side| {
                    let chosen = pooled.iter().enumerate().filter(move |(i, _)| mask >> i & 1 == side);
                    chosen.map(|(_, v)| *v).collect::<Vec<f64>>()
                };
                all += 1;
                hits += u32::from(t(&pick(1), &pick(0)) >= observed * (1.0 - 1e-12));
            }
        }
        f64::from(hits) / f64::from(all)
    }

    #[test]
    fn p_is_the_share_of_assignments() {
        let samples: [(&[f64], &[f64]); 9] = [
            (&[1.0, 2.0, 3.0, 4.0, 5.0], &[2.5, 3.5, 6.0, 7.0]),
            (&[1.0, 1.0, 2.0, 2.0, 3.0], &[2.0, 3.0, 3.0, 3.0]),
            (&[0.0, 0.0, 0.0, 1.0], &[0.0, 1.0, 1.0, 1.0, 1.0, 1.0]),
            (&[1.0; 4], &[1.0; 5]),
            (&[1.0; 4], &[2.0; 5]),
            (&[1.0], &[2.0, 3.0, 4.0]),
            (&[1.0], &[2.0]),
            (&[1.0, 2.0, 2.0, 4.0, 9.0, 9.0, 9.0], &[2.0, 2.0, 9.0, 10.0, 11.0, 12.0, 13.0]),
            (&[-0.0, 0.0, f64::INFINITY], &[0.0, f64::NEG_INFINITY, f64::NEG_INFINITY, 1.0]),
        ];
        for (a, b) in samples {
            let got = cramer_von_mises(a, b).unwrap();
            let (p, expected) = (got.p.value().unwrap(), by_enumeration(a, b));
            assert!((p - expected).abs() <= 1e-13 * expected, "{a:?} {b:?}: {p} is not {expected}");
            assert_eq!(got.method, CramerVonMisesMethod::Exact);
        }
    }

    #[test]
    fn the_limit_given_ties_is_near_the_exact_law() {
        // Four and nine levels, 60 values a side: the continuous limit would be far off.
        for (levels, shift) in [(4, 9), (9, 14)] {
            let a: Vec<u8> = (0..60).map(|i: u8| i % levels).collect();
            let b: Vec<u8> =
                (0..60).map(|i: u8| (i % levels).max(u8::from(i < shift) * (levels - 1))).collect();
            let ln_p = |method| {
                let options = CramerVonMisesOptions::default().with_method(method);
                cramer_von_mises_with(&a, &b, &options).unwrap().ln_p.value().unwrap()
            };
            let (exact, limit) = (ln_p(CramerVonMisesMethod::Exact), ln_p(CramerVonMisesMethod::Limit));
            assert!((exact - limit).abs() < 0.06 * exact.abs().max(1.0), "{levels}: {exact} {limit}");
        }
    }

    #[test]
    fn an_exact_p_value_out_of_reach_is_refused() {
        let a: Vec<i32> = (0..3000).collect();
        let options = CramerVonMisesOptions::default().with_method(CramerVonMisesMethod::Exact);
        let error = cramer_von_mises_with(&a, &a, &options).unwrap_err();
        assert!(matches!(error, StatsError::Parameter { parameter: "method", .. }));
    }
}
