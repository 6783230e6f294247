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

/// z with P(Z ≤ z) = `share`, for a share in (0, 1).
pub(crate) fn normal_at(share: f64) -> f64 {
    let z = mlops_core::num::special::normal_quantile((2.0 * share - 1.0).abs());
    if share < 0.5 { -z } else { z }
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
