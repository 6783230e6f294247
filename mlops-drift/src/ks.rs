//! Two-sample Kolmogorov–Smirnov test.
//!
//! With the empirical distribution functions F of n reference values and G of m current values,
//!
//! > D = max |F(x) − G(x)| = max |i·m − j·n| / (n·m)
//!
//! over the points x of the pooled sample, i reference and j current values being at most x. The numerator is kept as the
//! exact integer it is. D lies in [0, 1], has no unit and does not change under any increasing map of the values.
//!
//! # The p-value
//! Under no drift every assignment of the pooled values to the two sides is equally likely, and p is the share of
//! assignments with a D at least as large. [`KsMethod`] names the ways to it:
//!
//! - **Exact**: that share given the values that are *tied* in the pooled sample, so that it is right for rounded and
//!   integer data too. A walk over (i, j) with absorption where |i·m − j·n| reaches the numerator, looked at only where a
//!   block of ties ends (Schröer and Trenkler, *Exact and randomization distributions of Kolmogorov–Smirnov tests two or
//!   three samples*, Computational Statistics & Data Analysis 20, 1995). Written backwards it only adds positive
//!   numbers: the relative error stays near 1e-14 even for p = 1e-120.
//! - **`ExactContinuous`**: the same as if nothing were tied, which is what SciPy's `method="exact"` computes. With ties it is
//!   too large (conservative). For n = m it is Gnedenko and Korolyuk's closed form, at any size.
//! - **Asymptotic**: Kolmogorov's limit law of D·√(nm/(n + m)) (Smirnov 1939), SciPy's `kstwobign`. It errs on the side of
//!   caution: with L = ln 1/p, measured ln p is too large by up to about √(L/min(n, m)) + L²/(6·min(n, m)), so p by 4 % at
//!   p = 0.02 and 2000 values a side, by 1.7 % at p = 0.001 and 20 000.
//!
//! # Cost
//! Sorting, O((n + m) log(n + m)), then for the exact walk one multiplication and addition for every state between the
//! absorbing boundaries: about 2·D·n·m of them, more where blocks of ties are long, never more than n·m.
//! [`KsMethod::Auto`] is exact up to 2²⁸ ≈ 2.7e8 states (a fraction of a second), so always when n, m ≤ 10 000, and for
//! n = m = 100 000 wherever p is not tiny; beyond that it takes the closed form where there are no ties and n = m, and the
//! limit law elsewhere. The result says which one it was.

use mlops_core::num::{Measured, NanPolicy, StatsError, UndefinedReason};
use serde::{Deserialize, Serialize};

use crate::pair::Tail;
use crate::special::ln_kolmogorov_sf;

mod walk;

/// How the p-value is computed; see the [module](self).
///
/// ```
/// assert_eq!(mlops_drift::KsMethod::default(), mlops_drift::KsMethod::Auto);
/// ```
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KsMethod {
    /// Exact up to 2²⁸ states, by closed form or limit law beyond. The default; never found in a result.
    #[default]
    Auto,
    /// Exact given the ties; refused beyond 2³⁴ states (minutes).
    Exact,
    /// Exact as if nothing were tied, like SciPy's; refused beyond 2³⁴ states.
    ExactContinuous,
    /// Kolmogorov's limit law.
    Asymptotic,
}

/// How [`ks_with`] treats NaN and computes p.
///
/// ```
/// use mlops_core::num::NanPolicy;
/// use mlops_drift::{KsMethod, KsOptions};
///
/// let options = KsOptions::default().with_nan(NanPolicy::Omit).with_method(KsMethod::Asymptotic);
/// assert_eq!(options.nan, NanPolicy::Omit);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KsOptions {
    /// What to do with NaN; an error by default.
    pub nan: NanPolicy,
    /// How p is computed.
    pub method: KsMethod,
}

impl KsOptions {
    /// With this NaN policy.
    #[must_use]
    pub fn with_nan(mut self, nan: NanPolicy) -> Self {
        self.nan = nan;
        self
    }

    /// With this method.
    #[must_use]
    pub fn with_method(mut self, method: KsMethod) -> Self {
        self.method = method;
        self
    }
}

/// The result of a two-sample Kolmogorov–Smirnov test.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ks {
    /// D in [0, 1]; undefined under [`NanPolicy::Propagate`] when there is a NaN.
    pub statistic: Measured,
    /// D·n·m as the exact integer max |i·m − j·n|.
    pub numerator: u128,
    /// P(D or more | no drift), in [0, 1].
    pub p: Measured,
    /// The natural logarithm of `p`, finite where `p` is too small for a double.
    pub ln_p: Measured,
    /// How `p` was computed; never [`KsMethod::Auto`].
    pub method: KsMethod,
    /// Whether some value occurs more than once in the pooled sample.
    pub ties: bool,
    /// How many reference values took part.
    pub n: u64,
    /// How many current values took part.
    pub m: u64,
}

/// Tests whether two samples come from the same distribution; NaN is an error, infinities are values.
///
/// D agrees with `scipy.stats.ks_2samp` exactly, p to 1e-10 where no values are tied (with ties see [`KsMethod`]).
///
/// # Errors
/// [`StatsError::Empty`] and [`StatsError::Nan`] name the argument and the index.
///
/// ```
/// use mlops_core::num::Measured;
/// use mlops_drift::ks;
///
/// let test = ks(&[1.0, 2.0, 3.0, 4.0], &[3.5, 4.5, 5.5])?;
/// assert_eq!((test.numerator, test.n, test.m), (9, 4, 3));
/// assert_eq!(test.statistic, Measured::Value(0.75));
/// assert!(test.p.value().is_some_and(|p| (p - 0.22857142857142856).abs() < 1e-15)); // 8 of 35 assignments
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn ks(reference: &[f64], current: &[f64]) -> Result<Ks, StatsError> {
    ks_with(reference, current, &KsOptions::default())
}

/// The test under given [`KsOptions`].
///
/// # Errors
/// [`StatsError::Empty`]; [`StatsError::Nan`] under [`NanPolicy::Raise`], [`StatsError::AllMissing`] when
/// [`NanPolicy::Omit`] leaves nothing; [`StatsError::Parameter`] when an exact method would need more than 2³⁴ states.
///
/// # Example: ties make the continuous p-value too large
/// ```
/// use mlops_drift::{KsMethod, KsOptions, ks_with};
///
/// let (reference, current) = ([1.0, 1.0, 2.0, 2.0, 3.0, 3.0], [2.0, 3.0, 3.0, 3.0, 3.0, 3.0]);
/// let p = |method| {
///     let test = ks_with(&reference, &current, &KsOptions::default().with_method(method))?;
///     Ok::<_, mlops_core::num::StatsError>(test.p.value())
/// };
/// assert!(p(KsMethod::Exact)? < p(KsMethod::ExactContinuous)?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn ks_with(reference: &[f64], current: &[f64], options: &KsOptions) -> Result<Ks, StatsError> {
    for (argument, values) in [("reference", reference), ("current", current)] {
        if values.is_empty() {
            return Err(StatsError::Empty { argument });
        }
        if options.nan == NanPolicy::Raise
            && let Some(index) = values.iter().position(|value| value.is_nan())
        {
            return Err(StatsError::Nan { argument, index });
        }
    }
    let (a, b) = (present(reference), present(current));
    if options.nan == NanPolicy::Propagate && (a.len() < reference.len() || b.len() < current.len()) {
        return Ok(propagated(a.len(), b.len(), reference.len() + current.len()));
    }
    for (argument, values) in [("reference", &a), ("current", &b)] {
        if values.is_empty() {
            return Err(StatsError::AllMissing { argument });
        }
    }
    test(&a, &b, options.method)
}

/// The test on two samples in ascending order: no copies, O(n + m) before the p-value. Keep the reference sorted and sort
/// each current sample once.
///
/// The exact walk allocates n + 1 numbers, and with ties the ends of their blocks; the rest allocates nothing.
///
/// # Errors
/// [`StatsError::Empty`], [`StatsError::Nan`], [`StatsError::Unsorted`] with the index; [`StatsError::Parameter`] as [`ks_with`].
///
/// ```
/// use mlops_drift::{KsMethod, ks_sorted};
///
/// let test = ks_sorted(&[1.0, 2.0, 3.0], &[1.5, 2.5], KsMethod::Auto)?;
/// assert_eq!(test.numerator, 2);
/// assert!(ks_sorted(&[2.0, 1.0], &[1.0], KsMethod::Auto).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn ks_sorted(reference: &[f64], current: &[f64], method: KsMethod) -> Result<Ks, StatsError> {
    for (argument, values) in [("reference", reference), ("current", current)] {
        if values.is_empty() {
            return Err(StatsError::Empty { argument });
        }
        if let Some(index) = values.iter().position(|value| value.is_nan()) {
            return Err(StatsError::Nan { argument, index });
        }
        if let Some(index) = values.windows(2).position(|pair| pair[0] > pair[1]) {
            return Err(StatsError::Unsorted { argument, index: index + 1 });
        }
    }
    test(reference, current, method)
}

fn present(values: &[f64]) -> Vec<f64> {
    let mut present: Vec<f64> = values.iter().copied().filter(|value| !value.is_nan()).collect();
    present.sort_unstable_by(f64::total_cmp);
    present
}

fn propagated(n: usize, m: usize, needed: usize) -> Ks {
    let none = Measured::none(UndefinedReason::NanInput, n + m, needed);
    let (n, m) = (n as u64, m as u64);
    Ks { statistic: none, numerator: 0, p: none, ln_p: none, method: KsMethod::Exact, ties: false, n, m }
}

fn test(reference: &[f64], current: &[f64], method: KsMethod) -> Result<Ks, StatsError> {
    let (n, m) = (reference.len() as u64, current.len() as u64);
    let merged = merge(reference, current);
    let (method, ln_p) = ln_p(n, m, merged.numerator, &merged.ends, method)?;
    let tail = Tail::from_ln(ln_p);
    let statistic = Measured::Value(merged.numerator as f64 / (n as f64 * m as f64));
    let (numerator, ties) = (merged.numerator, merged.ends.ties());
    Ok(Ks { statistic, numerator, p: tail.p, ln_p: tail.ln_p, method, ties, n, m })
}

/// What one pass over two sorted samples tells.
struct Merged {
    numerator: u128,
    ends: walk::Ends,
}

fn merge(a: &[f64], b: &[f64]) -> Merged {
    let (n, m) = (a.len() as u128, b.len() as u128);
    let mut ends = walk::Ends::new(a.len() + b.len());
    let (mut i, mut j, mut numerator) = (0, 0, 0);
    while i < a.len() || j < b.len() {
        // The smallest value left, and everything equal to it on both sides; −0.0 equals 0.0.
        let next = match (a.get(i), b.get(j)) {
            (Some(&x), Some(&y)) => x.min(y),
            (Some(&x), None) => x,
            (None, Some(&y)) => y,
            (None, None) => break,
        };
        let before = i + j;
        i += run(&a[i..], next);
        j += run(&b[j..], next);
        ends.push(before, i + j);
        numerator = numerator.max((i as u128 * m).abs_diff(j as u128 * n));
    }
    Merged { numerator, ends }
}

/// How many leading values equal `value`.
fn run(values: &[f64], value: f64) -> usize {
    values.iter().take_while(|other| **other == value).count()
}

const AUTO_STATES: u128 = 1 << 28;
const EXACT_STATES: u128 = 1 << 34;

/// The logarithm of p and how it was computed.
fn ln_p(
    n: u64,
    m: u64,
    numerator: u128,
    ends: &walk::Ends,
    method: KsMethod,
) -> Result<(KsMethod, f64), StatsError> {
    let plain = walk::Ends::new(ends.len());
    let (ends, named) = match method {
        KsMethod::Asymptotic => return Ok((KsMethod::Asymptotic, asymptotic(n, m, numerator))),
        KsMethod::ExactContinuous => (&plain, KsMethod::ExactContinuous),
        KsMethod::Auto | KsMethod::Exact => (ends, KsMethod::Exact),
    };
    if n == m && !ends.ties() {
        return Ok((named, walk::equal_sizes(n, numerator / u128::from(n))));
    }
    let states = walk::states(n, m, numerator, ends);
    match method {
        KsMethod::Auto if states > AUTO_STATES => Ok((KsMethod::Asymptotic, asymptotic(n, m, numerator))),
        _ if states > EXACT_STATES => {
            let reason = "needs more than 2^34 states for an exact p-value";
            Err(StatsError::Parameter { parameter: "method", value: states as f64, reason })
        }
        _ => Ok((named, walk::ln_p(n, m, numerator, ends))),
    }
}

fn asymptotic(n: u64, m: u64, numerator: u128) -> f64 {
    let (n, m) = (n as f64, m as f64);
    ln_kolmogorov_sf(numerator as f64 / (n * m).sqrt() / (n + m).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every assignment of the pooled values, one by one: the definition of p.
    fn by_enumeration(a: &[f64], b: &[f64]) -> f64 {
        let pooled: Vec<f64> = a.iter().chain(b).copied().collect();
        let observed = merge(&present(a), &present(b)).numerator;
        let (mut hits, mut all) = (0u32, 0u32);
        for mask in 0u32..1 << pooled.len() {
            if mask.count_ones() as usize == a.len() {
                let pick = |side: u32| {
                    let chosen = pooled.iter().enumerate().filter(|(i, _)| mask >> i & 1 == side);
                    present(&chosen.map(|(_, v)| *v).collect::<Vec<f64>>())
                };
                all += 1;
                hits += u32::from(merge(&pick(1), &pick(0)).numerator >= observed);
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
            (&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], &[7.0, 8.0, 9.0, 10.0, 11.0, 12.0]),
            (&[1.0, 2.0, 2.0, 4.0, 9.0, 9.0, 9.0], &[2.0, 2.0, 9.0, 10.0, 11.0, 12.0, 13.0]),
            (&[-0.0, 0.0, f64::INFINITY], &[0.0, f64::NEG_INFINITY, f64::NEG_INFINITY, 1.0]),
        ];
        for (a, b) in samples {
            let got = ks(a, b).unwrap();
            let expected = by_enumeration(a, b);
            let p = got.p.value().unwrap();
            assert!((p - expected).abs() <= 1e-14 * expected, "{a:?} {b:?}: {p} is not {expected}");
            assert_eq!(got.method, KsMethod::Exact);
        }
    }

    #[test]
    fn the_methods_meet_where_they_should() {
        // Without ties the walk and the closed form are the same number.
        for (n, d) in [(5u64, 2u128), (50, 13), (200, 40), (1000, 300), (3000, 2900)] {
            let ends = walk::Ends::new(usize::try_from(2 * n).unwrap());
            let walked = walk::ln_p(n, n, d * u128::from(n), &ends);
            let closed = walk::equal_sizes(n, d);
            assert!((walked - closed).abs() <= 1e-12 * closed.abs().max(1.0), "{n} {d}: {walked} {closed}");
        }
        // The limit law is near at size.
        let (n, h) = (100_000u64, 608u128);
        let limit = asymptotic(n, n, h * u128::from(n));
        assert!((limit - walk::equal_sizes(n, h)).abs() < 1e-3);
    }

    #[test]
    fn a_p_value_beyond_doubles_still_has_a_logarithm() {
        let low: Vec<f64> = (0..3000).map(f64::from).collect();
        let high: Vec<f64> = (5000..7500).map(f64::from).collect();
        let test = ks(&low, &high).unwrap();
        assert_eq!(test.p, Measured::Value(0.0));
        // ln(2 · 3000! · 2500! / 5500!) by mpmath.
        let expected = -3_784.329_724_844_619;
        assert!(test.ln_p.value().is_some_and(|ln_p| (ln_p - expected).abs() < 1e-9), "{:?}", test.ln_p);
    }

    #[test]
    fn auto_leaves_the_exact_walk_when_it_costs_too_much() {
        let a: Vec<f64> = (0..60_000).map(|i| f64::from(i) * 1.7).collect();
        let b: Vec<f64> = (0..50_000).map(f64::from).collect();
        let test = ks(&a, &b).unwrap();
        assert_eq!(test.method, KsMethod::Asymptotic);
        assert!(test.ln_p.value().is_some_and(|ln_p| ln_p < -1000.0));
    }

    #[test]
    fn nan_policies_do_what_they_say() {
        let (holed, whole) = ([1.0, f64::NAN, 2.0], [1.5, 2.5]);
        let with = |a: &[f64], b: &[f64], nan| ks_with(a, b, &KsOptions::default().with_nan(nan));
        let raised = StatsError::Nan { argument: "current", index: 1 };
        assert_eq!(with(&whole, &holed, NanPolicy::Raise), Err(raised));
        assert_eq!(with(&whole, &holed, NanPolicy::Omit), ks(&whole, &[1.0, 2.0]));
        let propagated = with(&whole, &holed, NanPolicy::Propagate).unwrap();
        assert_eq!(propagated.p.undefined().map(|u| u.reason), Some(UndefinedReason::NanInput));
        assert_eq!(
            with(&[f64::NAN], &whole, NanPolicy::Omit),
            Err(StatsError::AllMissing { argument: "reference" })
        );
    }
}
