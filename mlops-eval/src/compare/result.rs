//! What every comparison returns.

use mlops_core::num::special::{ln_normal_sf, ln_normal_two_sided, ln_student_t_sf, ln_student_t_two_sided};
use mlops_core::num::{Measured, StatsError, UndefinedReason};
use serde::{Deserialize, Serialize};

use crate::interval::{Interval, check_confidence};

/// Which difference counts against the null hypothesis. The difference is always that of the second argument minus the first:
/// challenger minus champion.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Alternative {
    /// Any difference. The default.
    #[default]
    TwoSided,
    /// The second is larger than the first.
    Greater,
    /// The second is smaller than the first.
    Less,
}

/// How a p-value or an interval came about.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// DeLong's covariance of areas under ROC curves, normal law.
    Delong,
    /// The same for several areas, χ² law.
    DelongContrast,
    /// McNemar's test, exact.
    McnemarExact,
    /// McNemar's test, mid-p.
    McnemarMidP,
    /// McNemar's test, χ² law.
    McnemarChiSquare,
    /// McNemar's test, χ² law with Edwards' continuity correction.
    McnemarCorrected,
    /// An estimate with a standard error from elsewhere, normal law.
    Wald,
    /// Tango's score for a difference of paired shares.
    Tango,
    /// Student's t on paired differences.
    PairedT,
    /// The sign test.
    Sign,
    /// The sign-flip test over every assignment of signs.
    SignFlipExact,
    /// The sign-flip test over drawn signs.
    SignFlip,
    /// Wilcoxon's signed-rank test over every assignment of signs.
    WilcoxonExact,
    /// Wilcoxon's signed-rank test, normal law.
    WilcoxonNormal,
    /// Swapping the two predictions of rows, over every way to do it.
    PermutationExact,
    /// Swapping the two predictions of rows drawn at random.
    Permutation,
    /// Bootstrap, percentile interval.
    BootstrapPercentile,
    /// Bootstrap, basic interval.
    BootstrapBasic,
    /// Bootstrap, bias-corrected and accelerated interval.
    BootstrapBca,
    /// Nadeau and Bengio's corrected t over resampled splits.
    CorrectedResampledT,
    /// Dietterich's 5×2 cross-validated t.
    FiveByTwoT,
    /// Alpaydın's combined 5×2 cross-validated F.
    FiveByTwoF,
    /// Cochran's Q.
    CochranQ,
    /// Friedman's χ².
    Friedman,
    /// Iman and Davenport's F.
    ImanDavenport,
}

/// The result of a test. What does not exist is typed, not NaN; the logarithm of p stays a number where p is 0.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TestResult {
    /// How.
    pub method: Method,
    /// Against what.
    pub alternative: Alternative,
    /// The test statistic.
    pub statistic: Measured,
    /// The p-value.
    pub p: Measured,
    /// Its natural logarithm.
    pub ln_p: Measured,
    /// Second minus first, in the unit of what is compared.
    pub difference: Measured,
    /// Around the difference, two-sided, where the method has one.
    pub interval: Option<Interval>,
    /// The rows, pairs or splits that the test counted.
    pub n: u64,
}

impl TestResult {
    pub(crate) fn new(method: Method, alternative: Alternative, statistic: Measured, ln_p: Measured) -> Self {
        Self {
            method,
            alternative,
            statistic,
            p: ln_p.map(|ln_p| ln_p.exp().min(1.0)),
            ln_p: ln_p.map(|ln_p| ln_p.min(0.0)),
            difference: Measured::none(UndefinedReason::NothingDefined, 0, 1),
            interval: None,
            n: 0,
        }
    }

    /// With a p that was counted, and is not rounded by way of its logarithm.
    pub(crate) fn counted(method: Method, alternative: Alternative, statistic: Measured, p: f64) -> Self {
        Self { p: Measured::Value(p), ..Self::new(method, alternative, statistic, Measured::Value(p.ln())) }
    }

    pub(crate) fn with(mut self, difference: Measured, interval: Option<Interval>, n: u64) -> Self {
        self.difference = difference;
        self.interval = interval;
        self.n = n;
        self
    }

    /// p = 1: nothing differs, so there is no statistic, and nothing speaks against equality.
    pub(crate) fn nothing_differs(method: Method, alternative: Alternative) -> Self {
        let statistic = Measured::none(UndefinedReason::Constant, 0, 1);
        Self::new(method, alternative, statistic, Measured::Value(0.0))
    }
}

/// ln p of a standard normal statistic.
pub(crate) fn ln_p_normal(z: f64, alternative: Alternative) -> f64 {
    match alternative {
        Alternative::TwoSided => ln_normal_two_sided(z),
        Alternative::Greater => ln_normal_sf(z),
        Alternative::Less => ln_normal_sf(-z),
    }
    .max(f64::MIN)
}

/// ln p of a statistic that follows Student's t.
pub(crate) fn ln_p_student(t: f64, dof: f64, alternative: Alternative) -> f64 {
    match alternative {
        Alternative::TwoSided => ln_student_t_two_sided(t, dof),
        Alternative::Greater => ln_student_t_sf(t, dof),
        Alternative::Less => ln_student_t_sf(-t, dof),
    }
}

/// z with P(Z ≤ z) = `share`, for a share in (0, 1), to a relative 1e-14 however close to 0 the share is.
pub(crate) fn normal_at(share: f64) -> f64 {
    // From a half up, the difference to 1 has no error; below, the share itself is the tail.
    let (tail, sign) = if share < 0.5 { (share, -1.0) } else { (1.0 - share, 1.0) };
    // In the middle the distance to a half has all digits, in the tails the tail has.
    let z = match tail {
        0.5 => return 0.0,
        tail if tail > 0.25 => mlops_core::num::special::normal_quantile(1.0 - 2.0 * tail),
        tail => normal_above(tail.ln()),
    };
    sign * z
}

/// z with ln P(Z ≥ z) = `ln_tail`, for a tail of at most a half: a tail that no number of 64 bits holds has its z too.
pub(crate) fn normal_above(ln_tail: f64) -> f64 {
    // ln P(Z ≥ z) is below -z²/2.
    above(ln_tail, (-2.0 * ln_tail).sqrt(), ln_normal_sf)
}

/// t with P(T ≥ t) = `tail`, for a tail in (0, 1/2]; infinite where it is beyond the largest number.
pub(crate) fn student_above(tail: f64, dof: f64) -> f64 {
    if tail > 0.25 {
        return mlops_core::num::special::student_t_quantile(1.0 - 2.0 * tail, dof);
    }
    let ln_tail = tail.ln();
    let mut high = 1.0;
    while ln_student_t_sf(high, dof) > ln_tail {
        high *= 2.0;
        if high.is_infinite() {
            return high;
        }
    }
    above(ln_tail, high, |t| ln_student_t_sf(t, dof))
}

/// Where a falling ln P is `ln_tail`, between 0 and `high`, by bisection.
fn above(ln_tail: f64, mut high: f64, ln_sf: impl Fn(f64) -> f64) -> f64 {
    let mut low = 0.0;
    loop {
        let middle = f64::midpoint(low, high);
        if middle <= low || middle >= high {
            return middle;
        }
        if ln_sf(middle) > ln_tail {
            low = middle;
        } else {
            high = middle;
        }
    }
}

/// `estimate` ± z·`half`, or ± t·`half`.
pub(crate) fn around(
    estimate: f64,
    standard_error: f64,
    dof: Option<f64>,
    confidence: f64,
) -> Result<Interval, StatsError> {
    check_confidence(confidence)?;
    let quantile = match dof {
        None => mlops_core::num::special::normal_quantile(confidence),
        Some(dof) => mlops_core::num::special::student_t_quantile(confidence, dof),
    };
    let half = quantile * standard_error;
    Ok(Interval { lower: estimate - half, upper: estimate + half, confidence })
}

/// Checks a level of significance or a power.
pub(crate) fn check_share(parameter: &'static str, value: f64) -> Result<(), StatsError> {
    if value > 0.0 && value < 1.0 {
        return Ok(());
    }
    Err(StatsError::Parameter { parameter, value, reason: "must lie above 0 and below 1" })
}

/// Checks a number that may be anything finite.
pub(crate) fn check_finite(parameter: &'static str, value: f64) -> Result<(), StatsError> {
    if value.is_finite() {
        return Ok(());
    }
    Err(StatsError::Parameter { parameter, value, reason: "must be finite" })
}

#[cfg(test)]
#[allow(clippy::excessive_precision, reason = "reference values stand as mpmath printed them")]
mod tests {
    use super::*;

    #[test]
    fn quantiles_of_the_normal_law_agree_with_mpmath() {
        // mpmath 1.3.0 with 60 digits: the z with erfc(-z/√2)/2 = p, for the number of 64 bits next to p.
        for (share, z) in [
            (5e-324, -38.467405617144346251),
            (1e-308, -37.540674921545942401),
            (1e-300, -37.047096299361199237),
            (1e-200, -30.205594179579643063),
            (1e-100, -21.273453560965324294),
            (1e-50, -14.933337534788488981),
            (1e-20, -9.2623400897984075796),
            (1e-17, -8.4937932241095980661),
            (1e-16, -8.2220822161304356152),
            (1e-10, -6.3613409024040561991),
            (1e-5, -4.2648907939228246102),
            (0.001, -3.0902323061678135354),
            (0.025, -1.9599639845400542118),
            (0.05, -1.644853626951472688),
            (0.2, -0.84162123357291416552),
            (0.3, -0.52440051270804081597),
            (0.45, -0.12566134685507400616),
            (0.4999999, -2.5066282747031065135e-7),
            (0.5, 0.0),
            (0.55, 0.12566134685507414641),
            (0.7, 0.52440051270804065631),
            (0.8, 0.8416212335729143638),
            (0.975, 1.9599639845400538556),
            (0.999999, 4.7534243088170877657),
            (0.9999999999999999, 8.2095361516013868556),
        ] {
            let ours = normal_at(share);
            assert!((ours - z).abs() <= 1e-14 * z.abs(), "{share}: {ours} and not {z}");
        }
    }

    #[test]
    fn quantiles_of_students_law_agree_with_mpmath() {
        // mpmath 1.3.0 with 60 digits: I(ν/(ν + t²); ν/2, 1/2)/2 = p by bisection.
        for (tail, dof, t) in [
            (1e-300, 1.0, 3.1830988618379066356e+299),
            (1e-300, 9.0, 5.149441074600765747e+33),
            (1e-300, 1000.0, 54.291388553051742853),
            (1e-100, 4.0, 1.3160740129524924542e+25),
            (1e-20, 30.0, 22.658878371940183115),
            (1e-17, 99.0, 10.338507217542550633),
            (1e-6, 9.0, 10.720160409909500364),
            (0.025, 9.0, 2.2621571627982055086),
            (0.05, 1000.0, 1.6463788172854646886),
            (0.3, 5.0, 0.55942964446936078524),
        ] {
            let ours = student_above(tail, dof);
            assert!((ours - t).abs() <= 1e-13 * t.abs(), "{tail}, {dof}: {ours} and not {t}");
        }
        assert_eq!(student_above(1e-320, 1.0), f64::INFINITY);
    }
}
