//! Two-proportion z-test: has the share of hits changed?
//!
//! With a of n reference values and b of m current values being hits, and the pooled share π = (a + b)/(n + m),
//!
//! > z = (b/m − a/n)/√(π(1 − π)(1/n + 1/m)),
//!
//! standard normal without drift where hits and misses are not few (z² is [chi-square](mod@crate::chi2) of the 2 × 2 table; for few use
//! [Fisher's test](mod@crate::fisher)). z is positive where the current share is larger. There is no continuity correction.
//!
//! The interval for the difference of the shares joins the two Wilson intervals (Newcombe, *Interval estimation for the
//! difference between independent proportions*, Statistics in Medicine 17, 1998, method 10): it stays inside [−1, 1] and holds
//! its level for shares near 0 and 1, where the textbook interval does not.

use mlops_core::num::{Measured, NanPolicy, StatsError, UndefinedReason};
use serde::{Deserialize, Serialize};

use crate::alternative::Alternative;
use crate::distance::Interval;
use crate::pair::{Pair, Tail};
use crate::sample::{Sample, Side};
use crate::special::normal_quantile;
use crate::t_test::check_level;
use crate::two::{Sides, Two};

/// What [`proportions_with`] looks for and which interval it reports.
///
/// ```
/// assert_eq!(mlops_drift::ProportionsOptions::default().level, 0.95);
/// ```
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProportionsOptions {
    /// Which deviations count.
    pub alternative: Alternative,
    /// The level of the interval, in (0, 1); 0.95 by default.
    pub level: f64,
}

impl Default for ProportionsOptions {
    fn default() -> Self {
        Self { alternative: Alternative::default(), level: 0.95 }
    }
}

impl ProportionsOptions {
    /// With this alternative.
    #[must_use]
    pub fn with_alternative(mut self, alternative: Alternative) -> Self {
        self.alternative = alternative;
        self
    }

    /// With an interval of this level.
    #[must_use]
    pub fn with_level(mut self, level: f64) -> Self {
        self.level = level;
        self
    }
}

/// The result of a two-proportion z-test.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Proportions {
    /// z; undefined when all values of both sides are hits, or none is.
    pub statistic: Measured,
    /// P(as extreme or more | no drift).
    pub p: Measured,
    /// The natural logarithm of `p`, finite where `p` is too small for a double.
    pub ln_p: Measured,
    /// The current share minus the reference share, in [−1, 1].
    pub difference: f64,
    /// A two-sided interval for the difference of the shares.
    pub interval: Interval,
    /// Which deviations counted.
    pub alternative: Alternative,
    /// What became of the reference values.
    pub reference: Side,
    /// What became of the current values.
    pub current: Side,
}

/// The two-sided test on two columns of truth values.
///
/// # Errors
/// [`StatsError::Empty`], [`StatsError::AllMissing`].
///
/// ```
/// use mlops_drift::proportions;
/// let test = proportions(&[true, false, false, false], &[true, true, true, false])?;
/// assert_eq!(test.difference, 0.5);
/// # Ok::<(), mlops_core::num::StatsError>(())
/// ```
pub fn proportions<'a, 'b>(
    reference: impl Into<Sample<'a, bool>>,
    current: impl Into<Sample<'b, bool>>,
) -> Result<Proportions, StatsError> {
    proportions_with(reference, current, &ProportionsOptions::default())
}

/// The test on two columns of truth values under given [`ProportionsOptions`].
///
/// # Errors
/// As [`proportions`]; [`StatsError::Parameter`] for a level outside (0, 1).
///
/// ```
/// use mlops_drift::{ProportionsOptions, proportions_with};
/// let options = ProportionsOptions::default().with_level(0.99);
/// assert_eq!(proportions_with(&[true, false], &[true, true], &options)?.interval.level, 0.99);
/// # Ok::<(), mlops_core::num::StatsError>(())
/// ```
pub fn proportions_with<'a, 'b>(
    reference: impl Into<Sample<'a, bool>>,
    current: impl Into<Sample<'b, bool>>,
    options: &ProportionsOptions,
) -> Result<Proportions, StatsError> {
    let two = Two::new(reference, current, NanPolicy::Raise)?;
    let Sides { reference, current } = two.sides;
    let test = proportions_from_counts(hits(&two.reference), hits(&two.current), options)?;
    Ok(Proportions { reference, current, ..test })
}

/// How many are true, how many false.
pub(crate) fn hits(values: &[bool]) -> [u64; 2] {
    let hits = values.iter().filter(|value| **value).count();
    [hits as u64, (values.len() - hits) as u64]
}

/// The test on counts of hits and misses. Constant time.
///
/// z² agrees with `scipy.stats.chi2_contingency(…, correction=False)` to 1e-12, p to 1e-10 at any depth of the tail.
///
/// # Errors
/// [`StatsError::ZeroTotal`] for a side without values, [`StatsError::Overflow`] beyond 2⁶²; [`StatsError::Parameter`] for a level
/// outside (0, 1).
///
/// ```
/// use mlops_drift::{ProportionsOptions, proportions_from_counts};
///
/// let test = proportions_from_counts([120, 880], [90, 410], &ProportionsOptions::default())?;
/// assert!((test.difference - 0.06).abs() < 1e-15 && test.interval.low > 0.0);
/// assert!(test.statistic.value().is_some_and(|z| (z - 3.1570203370643455).abs() < 1e-12));
/// # Ok::<(), mlops_core::num::StatsError>(())
/// ```
pub fn proportions_from_counts(
    reference: [u64; 2],
    current: [u64; 2],
    options: &ProportionsOptions,
) -> Result<Proportions, StatsError> {
    check_level(options.level)?;
    let pair = Pair::new(&reference, &current)?;
    let ([a, a_misses], [b, b_misses]) = (reference, current);
    let (n, m) = (pair.n as f64, pair.m as f64);
    let Sides { reference, current } = Sides::whole(pair.n, pair.m);
    // b·n − a·m, exact in integers.
    let (up, down) = (u128::from(b) * u128::from(pair.n), u128::from(a) * u128::from(pair.m));
    let shift = if up >= down { (up - down) as f64 } else { -((down - up) as f64) };
    let difference = shift / n / m;
    let (hits, misses) = (a as f64 + b as f64, a_misses as f64 + b_misses as f64);
    let alternative = options.alternative;
    let interval = newcombe((a as f64, n), (b as f64, m), difference, options.level);
    let (statistic, tail) = if hits > 0.0 && misses > 0.0 {
        // z² = (b·n − a·m)²·N/(n·m·hits·misses), taken apart so that nothing overflows.
        let z = shift / (n.sqrt() * m.sqrt()) * ((n + m).sqrt() / (hits.sqrt() * misses.sqrt()));
        (Measured::Value(z), Tail::from_ln(alternative.ln_normal(z)))
    } else {
        let none = Measured::none(UndefinedReason::Constant, 1, 2);
        (none, Tail { p: none, ln_p: none })
    };
    let (p, ln_p) = (tail.p, tail.ln_p);
    Ok(Proportions { statistic, p, ln_p, difference, interval, alternative, reference, current })
}

/// Newcombe's interval for the second share minus the first.
fn newcombe((a, n): (f64, f64), (b, m): (f64, f64), difference: f64, level: f64) -> Interval {
    let z = normal_quantile(level);
    let ((low_a, high_a), (low_b, high_b)) = (wilson(a, n, z), wilson(b, m, z));
    let (p, q) = (a / n, b / m);
    let low = difference - (q - low_b).hypot(high_a - p);
    let high = difference + (high_b - q).hypot(p - low_a);
    Interval { level, low: low.max(-1.0), high: high.min(1.0) }
}

/// Wilson's interval for a share.
fn wilson(hits: f64, n: f64, z: f64) -> (f64, f64) {
    let share = hits / n;
    let square = z * z / n;
    let middle = (share + square / 2.0) / (1.0 + square);
    let reach = (square * (share * (1.0 - share) + square / 4.0)).sqrt() / (1.0 + square);
    ((middle - reach).clamp(0.0, share), (middle + reach).clamp(share, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newcombe_agrees_with_his_table() {
        // Newcombe 1998, table II, method 10: 56/70 against 48/80, and 9/10 against 3/10.
        let test = |a, b| proportions_from_counts(a, b, &ProportionsOptions::default()).unwrap().interval;
        for (interval, low, high) in
            [(test([48, 32], [56, 14]), 0.0524, 0.3339), (test([3, 7], [9, 1]), 0.1705, 0.8090)]
        {
            assert!((interval.low - low).abs() < 5e-5 && (interval.high - high).abs() < 5e-5, "{interval:?}");
        }
    }

    #[test]
    fn shares_that_cannot_differ_have_no_z() {
        for counts in [([5, 0], [3, 0]), ([0, 5], [0, 3])] {
            let test = proportions_from_counts(counts.0, counts.1, &ProportionsOptions::default()).unwrap();
            assert_eq!(test.p.undefined().map(|u| u.reason), Some(UndefinedReason::Constant));
            assert!(test.interval.contains(0.0));
        }
    }

    #[test]
    fn the_largest_counts_do_not_overflow() {
        let top = Pair::MAX_TOTAL;
        let test = proportions_from_counts([top, 0], [0, top], &ProportionsOptions::default()).unwrap();
        assert!(test.statistic.value().is_some_and(|z| (z / -(2.0 * top as f64).sqrt() - 1.0).abs() < 1e-15));
        assert!(test.ln_p.value().is_some_and(|ln_p| ln_p.is_finite() && ln_p < -1e18));
    }
}
