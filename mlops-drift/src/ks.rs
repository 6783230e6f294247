//! Two-sample Kolmogorov–Smirnov test.
//!
//! With the empirical distribution functions F of n reference values and G of m current values,
//!
//! > D = max |F(x) − G(x)| = max |i·m − j·n| / (n·m)
//!
//! over the points x of the pooled sample, i reference and j current values being at most x. The numerator is kept as the
//! exact integer it is. D lies in [0, 1], has no unit and does not change under any increasing map of the values. The one-sided
//! statistics are max (F − G), large when current values are [greater](Alternative::Greater), and max (G − F), as in SciPy.
//!
//! Values of every width are compared as what they are: integers beyond 2⁵³ do not become doubles first.
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
//!   p = 0.02 and 2000 values a side, by 1.7 % at p = 0.001 and 20 000. For one side it is exp(−2z²) with
//!   z = D·√(nm/(n + m)) (SciPy adds a term of Hodges' that makes p smaller by 1/√n or so, also where n = m and it should not).
//!
//! # Cost
//! D of large samples takes linear time: two passes over the values, and the sorting of the few that can hold the maximum
//! ([bound and refine](self#bound-and-refine)). The exact walk then takes one multiplication and addition for every state between
//! the absorbing boundaries: about 2·D·n·m of them for two sides, more where blocks of ties are long, never more than n·m.
//! [`KsMethod::Auto`] is exact up to 2²⁸ ≈ 2.7e8 states (a fraction of a second), so always when n, m ≤ 10 000, and for
//! n = m = 100 000 wherever p is not tiny; beyond that it is the limit law, or the closed form where samples come sorted, n = m
//! and nothing is tied. The result says which one it was. To hold many samples against one reference, fit a
//! [`SortedReference`](crate::SortedReference).
//!
//! # Bound and refine
//! Both samples are counted into 65 536 cells of a monotone map. Where cells meet, F − G is known exactly; inside a cell, the
//! counts bound how far it can move. Only cells whose bound beats the best value where cells meet are gathered, sorted and merged.
//! The integer is the same as by sorting everything, on all inputs.

use mlops_core::num::{Measured, NanPolicy, StatsError, UndefinedReason};
use serde::{Deserialize, Serialize};

use crate::alternative::Alternative;
use crate::pair::Tail;
use crate::sample::{Sample, Side, Value};
use crate::special::ln_kolmogorov_sf;

pub(crate) mod refine;
mod walk;
mod weighted;

pub use weighted::{WeightedKs, ks_weighted};

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
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KsOptions {
    /// What to do with NaN; an error by default.
    pub nan: NanPolicy,
    /// How p is computed.
    pub method: KsMethod,
    /// What is looked for; a deviation to either side by default.
    pub alternative: Alternative,
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

    /// Looking for this.
    #[must_use]
    pub fn with_alternative(mut self, alternative: Alternative) -> Self {
        self.alternative = alternative;
        self
    }
}

/// The result of a two-sample Kolmogorov–Smirnov test.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ks {
    /// D in [0, 1]; undefined under [`NanPolicy::Propagate`] when there is a NaN.
    pub statistic: Measured,
    /// D·n·m as the exact integer max |i·m − j·n|, or the maximum to one side.
    pub numerator: u128,
    /// What D is on average when nothing drifts, by the limit law: √(π/2)·ln 2·√(1/n + 1/m), to one side √(π/8)·√(1/n + 1/m).
    pub noise_floor: f64,
    /// P(D or more | no drift), in [0, 1].
    pub p: Measured,
    /// The natural logarithm of `p`, finite where `p` is too small for a double.
    pub ln_p: Measured,
    /// How `p` was computed; never [`KsMethod::Auto`].
    pub method: KsMethod,
    /// What was looked for.
    pub alternative: Alternative,
    /// Whether some value occurs more than once in the pooled sample; `None` where D was found without having to know.
    pub ties: Option<bool>,
    /// How many reference values took part.
    pub n: u64,
    /// How many current values took part.
    pub m: u64,
    /// What became of the reference values.
    pub reference: Side,
    /// What became of the current values.
    pub current: Side,
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
pub fn ks<'a, 'b, T: Value>(
    reference: impl Into<Sample<'a, T>>,
    current: impl Into<Sample<'b, T>>,
) -> Result<Ks, StatsError> {
    ks_with(reference, current, &KsOptions::default())
}

/// The test under given [`KsOptions`].
///
/// # Errors
/// [`StatsError::Empty`]; [`StatsError::Nan`] under [`NanPolicy::Raise`], [`StatsError::AllMissing`] when nothing is left;
/// [`StatsError::Parameter`] when an exact method would need more than 2³⁴ states.
///
/// # Example: ties make the continuous p-value too large
/// ```
/// use mlops_drift::{KsMethod, KsOptions, ks_with};
///
/// let (reference, current) = ([1, 1, 2, 2, 3, 3], [2, 3, 3, 3, 3, 3]);
/// let p = |method| {
///     let test = ks_with(&reference, &current, &KsOptions::default().with_method(method))?;
///     Ok::<_, mlops_core::num::StatsError>(test.p.value())
/// };
/// assert!(p(KsMethod::Exact)? < p(KsMethod::ExactContinuous)?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Example: only greater values matter
/// ```
/// use mlops_drift::{Alternative, KsOptions, ks_with};
///
/// let (before, after) = ([1.0, 2.0, 3.0, 4.0, 5.0], [0.5, 0.6, 0.7, 0.8, 0.9]);
/// let greater = ks_with(&before, &after, &KsOptions::default().with_alternative(Alternative::Greater))?;
/// let less = ks_with(&before, &after, &KsOptions::default().with_alternative(Alternative::Less))?;
/// assert_eq!((greater.p.value(), less.p.value()), (Some(1.0), Some(1.0 / 252.0)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn ks_with<'a, 'b, T: Value>(
    reference: impl Into<Sample<'a, T>>,
    current: impl Into<Sample<'b, T>>,
    options: &KsOptions,
) -> Result<Ks, StatsError> {
    let (reference, current) = (reference.into(), current.into());
    let (a, before) = reference.present("reference", options.nan)?;
    let (b, after) = current.present("current", options.nan)?;
    let nan = options.nan == NanPolicy::Propagate && (reference.has_nan() || current.has_nan());
    for (argument, values) in [("reference", &a), ("current", &b)] {
        if values.is_empty() && !nan {
            return Err(StatsError::AllMissing { argument });
        }
    }
    let asked = Asked { n: a.len(), m: b.len(), options: *options, sides: (before, after) };
    if nan {
        return Ok(asked.propagated());
    }
    if a.len() + b.len() > refine::SORTED_BELOW && a.len().max(b.len()) < refine::MOST {
        let numerator = || refine::numerator(&a, &b, options.alternative);
        if let Some(answer) = asked.without_order(numerator)? {
            return Ok(answer);
        }
    }
    asked.on_sorted(&sorted(&a), &sorted(&b))
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
pub fn ks_sorted<T: Value>(reference: &[T], current: &[T], method: KsMethod) -> Result<Ks, StatsError> {
    ks_sorted_with(reference, current, &KsOptions::default().with_method(method))
}

/// [`ks_sorted`] under given options. A NaN is an error under every policy: it has no place in an order.
///
/// # Errors
/// As [`ks_sorted`].
///
/// ```
/// use mlops_drift::{Alternative, KsOptions, ks_sorted_with};
///
/// let options = KsOptions::default().with_alternative(Alternative::Less);
/// assert_eq!(ks_sorted_with(&[3, 4, 5], &[1, 2], &options)?.numerator, 6);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn ks_sorted_with<T: Value>(
    reference: &[T],
    current: &[T],
    options: &KsOptions,
) -> Result<Ks, StatsError> {
    let before = check_sorted("reference", reference)?;
    let after = check_sorted("current", current)?;
    let asked = Asked { n: reference.len(), m: current.len(), options: *options, sides: (before, after) };
    asked.on_sorted(reference, current)
}

/// Refuses what is not in order; the account of what is.
pub(crate) fn check_sorted<T: Value>(argument: &'static str, values: &[T]) -> Result<Side, StatsError> {
    if values.is_empty() {
        return Err(StatsError::Empty { argument });
    }
    if let Some(index) = values.iter().position(|value| value.is_nan()) {
        return Err(StatsError::Nan { argument, index });
    }
    if let Some(index) = values.windows(2).position(|pair| pair[0] > pair[1]) {
        return Err(StatsError::Unsorted { argument, index: index + 1 });
    }
    let rows = values.len() as u64;
    let infinite = values.iter().filter(|value| !value.is_finite()).count() as u64;
    Ok(Side { rows, used: rows, missing: 0, infinite, unseen: 0 })
}

/// In ascending order; sorting integers is faster than comparing doubles.
pub(crate) fn sorted<T: Value>(values: &[T]) -> Vec<T> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by_key(|value| value.key());
    sorted
}

/// What was asked, apart from the values.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    pub(crate) n: usize,
    pub(crate) m: usize,
    pub(crate) options: KsOptions,
    pub(crate) sides: (Side, Side),
}

impl Asked {
    fn sizes(&self) -> (u64, u64) {
        (self.n as u64, self.m as u64)
    }

    /// The answer when there is a NaN that must not be left out.
    pub(crate) fn propagated(&self) -> Ks {
        let needed = usize::try_from(self.sides.0.rows + self.sides.1.rows).unwrap_or(usize::MAX);
        let none = Measured::none(UndefinedReason::NanInput, self.n + self.m, needed);
        Ks { statistic: none, p: none, ln_p: none, ..self.answer(0, KsMethod::Exact, 0.0, Some(false)) }
    }

    fn answer(&self, numerator: u128, method: KsMethod, ln_p: f64, ties: Option<bool>) -> Ks {
        let (n, m) = self.sizes();
        let tail = Tail::from_ln(ln_p);
        Ks {
            statistic: Measured::Value(numerator as f64 / (n as f64 * m as f64)),
            numerator,
            noise_floor: noise_floor(self.n as f64, self.m as f64, self.options.alternative),
            p: tail.p,
            ln_p: tail.ln_p,
            method,
            alternative: self.options.alternative,
            ties,
            n,
            m,
            reference: self.sides.0,
            current: self.sides.1,
        }
    }

    /// The answer where p can be had without knowing which values are tied; `None` where it cannot.
    pub(crate) fn without_order(&self, numerator: impl FnOnce() -> u128) -> Result<Option<Ks>, StatsError> {
        let KsOptions { method, alternative, .. } = self.options;
        if method == KsMethod::Exact {
            return Ok(None);
        }
        let ((n, m), numerator) = (self.sizes(), numerator());
        let plain = walk::Ends::new(self.n + self.m);
        // Ties only add to the states.
        let cheap = walk::states(n, m, numerator, alternative, &plain) <= AUTO_STATES;
        if method == KsMethod::Auto && cheap {
            return Ok(None);
        }
        let method = if method == KsMethod::Auto { KsMethod::Asymptotic } else { method };
        let (method, ln_p) = ln_p(n, m, numerator, &plain, method, alternative)?;
        Ok(Some(self.answer(numerator, method, ln_p, None)))
    }

    /// The answer for samples in ascending order without NaN.
    pub(crate) fn on_sorted<T: Value>(&self, reference: &[T], current: &[T]) -> Result<Ks, StatsError> {
        let KsOptions { method, alternative, .. } = self.options;
        let merged = merge(reference, current, alternative);
        let (n, m) = self.sizes();
        let (method, ln_p) = ln_p(n, m, merged.numerator, &merged.ends, method, alternative)?;
        Ok(self.answer(merged.numerator, method, ln_p, Some(merged.ends.ties())))
    }
}

/// The mean of D when nothing drifts, by the limit law; at most 1, and 0 when a side is empty.
fn noise_floor(n: f64, m: f64, alternative: Alternative) -> f64 {
    if n == 0.0 || m == 0.0 {
        return 0.0;
    }
    let mean = match alternative {
        Alternative::TwoSided => (std::f64::consts::PI / 2.0).sqrt() * std::f64::consts::LN_2,
        Alternative::Less | Alternative::Greater => (std::f64::consts::PI / 8.0).sqrt(),
    };
    (mean * (1.0 / n + 1.0 / m).sqrt()).min(1.0)
}

/// What one pass over two sorted samples tells.
struct Merged {
    numerator: u128,
    ends: walk::Ends,
}

fn merge<T: Value>(a: &[T], b: &[T], alternative: Alternative) -> Merged {
    let (n, m) = (a.len() as u128, b.len() as u128);
    let mut ends = walk::Ends::new(a.len() + b.len());
    let (mut i, mut j, mut numerator) = (0, 0, 0);
    while i < a.len() || j < b.len() {
        // The smallest value left, and everything equal to it on both sides; −0.0 equals 0.0.
        let next = match (a.get(i), b.get(j)) {
            (Some(&x), Some(&y)) => {
                if y < x {
                    y
                } else {
                    x
                }
            }
            (Some(&x), None) => x,
            (None, Some(&y)) => y,
            (None, None) => break,
        };
        let before = i + j;
        i += run(&a[i..], next);
        j += run(&b[j..], next);
        ends.push(before, i + j);
        let (up, down) = (i as u128 * m, j as u128 * n);
        numerator = numerator.max(match alternative {
            Alternative::TwoSided => up.abs_diff(down),
            Alternative::Greater => up.saturating_sub(down),
            Alternative::Less => down.saturating_sub(up),
        });
    }
    Merged { numerator, ends }
}

/// How many leading values equal `value`.
fn run<T: Value>(values: &[T], value: T) -> usize {
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
    alternative: Alternative,
) -> Result<(KsMethod, f64), StatsError> {
    let plain = walk::Ends::new(ends.len());
    let (ends, named) = match method {
        KsMethod::Asymptotic => return Ok((KsMethod::Asymptotic, asymptotic(n, m, numerator, alternative))),
        KsMethod::ExactContinuous => (&plain, KsMethod::ExactContinuous),
        KsMethod::Auto | KsMethod::Exact => (ends, KsMethod::Exact),
    };
    if n == m && !ends.ties() {
        return Ok((named, walk::equal_sizes(n, numerator / u128::from(n), alternative)));
    }
    let states = walk::states(n, m, numerator, alternative, ends);
    match method {
        KsMethod::Auto if states > AUTO_STATES => {
            Ok((KsMethod::Asymptotic, asymptotic(n, m, numerator, alternative)))
        }
        _ if states > EXACT_STATES => {
            let reason = "needs more than 2^34 states for an exact p-value";
            Err(StatsError::Parameter { parameter: "method", value: states as f64, reason })
        }
        _ => Ok((named, walk::ln_p(n, m, numerator, alternative, ends))),
    }
}

fn asymptotic(n: u64, m: u64, numerator: u128, alternative: Alternative) -> f64 {
    let (n, m) = (n as f64, m as f64);
    limit(numerator as f64 / (n * m).sqrt() / (n + m).sqrt(), alternative)
}

/// ln P(D·√(nm/(n + m)) ≥ z) in the limit.
fn limit(z: f64, alternative: Alternative) -> f64 {
    if alternative == Alternative::TwoSided { ln_kolmogorov_sf(z) } else { -2.0 * z * z }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Alternative; 3] = [Alternative::TwoSided, Alternative::Less, Alternative::Greater];

    /// Every assignment of the pooled values, one by one: the definition of p.
    fn by_enumeration(a: &[f64], b: &[f64], alternative: Alternative) -> f64 {
        let pooled: Vec<f64> = a.iter().chain(b).copied().collect();
        let observed = merge(&sorted(a), &sorted(b), alternative).numerator;
        let (mut hits, mut all) = (0u32, 0u32);
        for mask in 0u32..1 << pooled.len() {
            if mask.count_ones() as usize == a.len() {
                let pick = |side: u32| {
                    let chosen = pooled.iter().enumerate().filter(|(i, _)| mask >> i & 1 == side);
                    sorted(&chosen.map(|(_, v)| *v).collect::<Vec<f64>>())
                };
                all += 1;
                hits += u32::from(merge(&pick(1), &pick(0), alternative).numerator >= observed);
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
            for alternative in ALL {
                for (a, b) in [(a, b), (b, a)] {
                    let options = KsOptions::default().with_alternative(alternative);
                    let got = ks_with(a, b, &options).unwrap();
                    let expected = by_enumeration(a, b, alternative);
                    let p = got.p.value().unwrap();
                    let of = format!("{a:?} {b:?} {alternative:?}");
                    assert!((p - expected).abs() <= 1e-14 * expected, "{of}: {p} is not {expected}");
                    assert_eq!(got.method, KsMethod::Exact);
                }
            }
        }
    }

    #[test]
    fn the_methods_meet_where_they_should() {
        // Without ties the walk and the closed form are the same number.
        for (n, d) in [(5u64, 2u128), (50, 13), (200, 40), (1000, 300), (3000, 2900)] {
            let ends = walk::Ends::new(usize::try_from(2 * n).unwrap());
            for alternative in ALL {
                let walked = walk::ln_p(n, n, d * u128::from(n), alternative, &ends);
                let closed = walk::equal_sizes(n, d, alternative);
                assert!(
                    (walked - closed).abs() <= 1e-12 * closed.abs().max(1.0),
                    "{n} {d}: {walked} {closed}"
                );
            }
        }
        // The limit law is near at size.
        let (n, h) = (100_000u64, 608u128);
        for alternative in ALL {
            let limit = asymptotic(n, n, h * u128::from(n), alternative);
            assert!((limit - walk::equal_sizes(n, h, alternative)).abs() < 1e-3);
        }
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
        let (omitted, plain) =
            (with(&whole, &holed, NanPolicy::Omit).unwrap(), ks(&whole, &[1.0, 2.0]).unwrap());
        assert_eq!((omitted.numerator, omitted.p, omitted.n, omitted.m), (plain.numerator, plain.p, 2, 2));
        assert_eq!((omitted.current.rows, omitted.current.missing), (3, 1));
        let propagated = with(&whole, &holed, NanPolicy::Propagate).unwrap();
        assert_eq!(propagated.p.undefined().map(|u| u.reason), Some(UndefinedReason::NanInput));
        assert_eq!(
            with(&[f64::NAN], &whole, NanPolicy::Omit),
            Err(StatsError::AllMissing { argument: "reference" })
        );
    }
}
