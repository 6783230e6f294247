//! Tests of calibration, and the ratio of observed to expected positives.

use mlops_core::num::special::{ln_chi2_sf, ln_normal_two_sided, normal_quantile};
use mlops_core::num::sum::Sum;
use mlops_core::num::{Measured, StatsError, UndefinedReason};
use serde::{Deserialize, Serialize};

use super::Checked;
use super::bins::Binning;
use crate::classification::ScoreState;
use crate::interval::{Interval, check_confidence};

/// Spiegelhalter's test.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spiegelhalter {
    /// Standard normal for a calibrated model; above 0 where the Brier score is worse than it promises.
    pub z: Measured,
    /// The two-sided p-value.
    pub p_value: Measured,
}

/// Spiegelhalter's z (*Probabilistic prediction in patient management and clinical trials*, 1986): whether the Brier score is
/// what the probabilities promise. z = Σ (y − p)(1 − 2p) / √(Σ (1 − 2p)² p (1 − p)).
///
/// Undefined with [`UndefinedReason::ZeroDenominator`] where every probability is 0, ½ or 1. Weights count rows.
/// O(distinct probabilities).
///
/// ```
/// use mlops_eval::calibration::spiegelhalter;
/// use mlops_eval::classification::ScoreState;
///
/// let test = spiegelhalter(&ScoreState::of(&[true, true, false], &[0.1, 0.1, 0.9])?)?;
/// assert!((test.z.value().unwrap_or(0.0) - 9.0 / 3_f64.sqrt()).abs() < 1e-12);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`StatsError::Empty`] and [`StatsError::ZeroTotal`] for a state without rows or weight; [`StatsError::OutOfRange`] for
/// scores that are no probabilities; [`StatsError::Overflow`] for weights near the largest f64, of which z is larger than any.
pub fn spiegelhalter(state: &ScoreState) -> Result<Spiegelhalter, StatsError> {
    let data = Checked::new(state)?;
    let (mut excess, mut variance) = (Sum::new(), Sum::new());
    for point in data.points() {
        let tilt = 1.0 - 2.0 * point.p;
        excess.push((point.positive * (1.0 - point.p) - point.negative * point.p) * tilt);
        variance.push(point.weight() * (tilt * tilt) * (point.p * (1.0 - point.p)));
    }
    let z = Measured::ratio(excess.value(), variance.value().sqrt());
    if let Measured::Value(value) = z {
        crate::input::in_range("Spiegelhalter's z", value)?;
    }
    Ok(Spiegelhalter { z, p_value: z.map(|z| ln_normal_two_sided(z).exp()) })
}

/// The choices behind the Hosmer–Lemeshow test.
///
/// ```
/// use mlops_eval::calibration::HosmerLemeshowOptions;
/// let options = HosmerLemeshowOptions::default().with_groups(5).with_fitted_on_the_same_rows(true);
/// assert_eq!(options.groups, 5);
/// ```
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HosmerLemeshowOptions {
    /// How many groups of equal weight. Default 10. Tied probabilities stay together, so there may be fewer.
    pub groups: usize,
    /// Whether the model was fitted on these very rows: the degrees of freedom are the number of groups then less 2. Default:
    /// no, the rows are new to it.
    pub fitted_on_the_same_rows: bool,
}

impl Default for HosmerLemeshowOptions {
    fn default() -> Self {
        Self { groups: 10, fitted_on_the_same_rows: false }
    }
}

impl HosmerLemeshowOptions {
    /// Sets [`Self::groups`].
    #[must_use]
    pub fn with_groups(mut self, groups: usize) -> Self {
        self.groups = groups;
        self
    }

    /// Sets [`Self::fitted_on_the_same_rows`].
    #[must_use]
    pub fn with_fitted_on_the_same_rows(mut self, same: bool) -> Self {
        self.fitted_on_the_same_rows = same;
        self
    }
}

/// The Hosmer–Lemeshow test.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct HosmerLemeshow {
    /// The statistic.
    pub chi2: Measured,
    /// Its degrees of freedom for a calibrated model.
    pub degrees_of_freedom: usize,
    /// P(χ² ≥ statistic).
    pub p_value: Measured,
    /// The number of groups.
    pub groups: usize,
}

/// The test of Hosmer and Lemeshow (*Goodness of fit tests for the multiple logistic regression model*, 1980): over groups of
/// rows with like probabilities, χ² = Σ (O − E)² / (E (1 − E/n)), with O positives observed and E expected among n.
///
/// Undefined with [`UndefinedReason::ZeroDenominator`] where a group expects none or all to be positive and is wrong (one that is
/// right adds 0); the p-value with [`UndefinedReason::TooFew`] without degrees of freedom. Weights count rows. The groups are
/// those of [`Binning::EqualMass`]. It depends on the number of groups, and with many rows it rejects any model: prefer
/// [`recalibration`](super::recalibration()) and the errors with intervals.
///
/// ```
/// use mlops_eval::calibration::{HosmerLemeshowOptions, hosmer_lemeshow};
/// use mlops_eval::classification::ScoreState;
///
/// let state = ScoreState::of(&[true, true, false, true], &[0.5, 0.5, 0.75, 0.75])?;
/// let test = hosmer_lemeshow(&state, &HosmerLemeshowOptions::default())?;
/// assert_eq!((test.chi2.value(), test.degrees_of_freedom), (Some(1.0 / 0.5 + 0.25 / 0.375), 2));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Those of [`spiegelhalter`], and [`StatsError::Parameter`] for the number of groups.
pub fn hosmer_lemeshow(
    state: &ScoreState,
    options: &HosmerLemeshowOptions,
) -> Result<HosmerLemeshow, StatsError> {
    let data = Checked::new(state)?;
    let bins = Binning::EqualMass(options.groups).bins_for(data)?;
    let mut sums = vec![[Sum::new(); 4]; bins.edges().len().saturating_sub(1).max(1)];
    for point in data.points() {
        let Some([n, observed, expected, complement]) = sums.get_mut(bins.index(point.p)) else { continue };
        n.push(point.weight());
        observed.push(point.positive);
        expected.push(point.weight() * point.p);
        complement.push(point.weight() * (1.0 - point.p));
    }
    let groups = sums.len();
    let mut chi2 = Measured::Value(0.0);
    for [n, observed, expected, complement] in sums.into_iter().map(|sums| sums.map(|sum| sum.value())) {
        let difference = observed - expected;
        let variance = expected * (complement / n);
        let term = if difference == 0.0 {
            Measured::Value(0.0)
        } else {
            Measured::ratio(difference * difference, variance)
        };
        chi2 = match (chi2, term) {
            (Measured::Value(sum), Measured::Value(term)) => Measured::Value(sum + term),
            (Measured::Value(_), none) | (none, _) => none,
        };
    }
    if let Measured::Value(value) = chi2 {
        crate::input::in_range("the Hosmer-Lemeshow statistic", value)?;
    }
    let degrees_of_freedom = if options.fitted_on_the_same_rows { groups.saturating_sub(2) } else { groups };
    let p_value = match (chi2, degrees_of_freedom) {
        (Measured::Value(_), 0) => Measured::none(UndefinedReason::TooFew, groups, 3),
        (chi2, dof) => chi2.map(|chi2| ln_chi2_sf(chi2, dof as f64).exp()),
    };
    Ok(HosmerLemeshow { chi2, degrees_of_freedom, p_value, groups })
}

/// Observed over expected positives.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CalibrationRatio {
    /// Σ y / Σ p.
    pub ratio: Measured,
    /// exp(ln ratio ± z √((1 − O/n)/O)); none where nothing is observed or expected.
    pub interval: Option<Interval>,
}

/// The ratio of observed to expected positives, O/E = Σ y / Σ p: 1 for a model that is calibrated in the large, above 1 where
/// its probabilities are too low.
///
/// At least 0. Undefined with [`UndefinedReason::ZeroDenominator`] where every probability is 0. The interval is that of the
/// logarithm, with E taken as known (Debray et al., BMJ 2017). Weights count rows.
///
/// ```
/// use mlops_eval::calibration::calibration_ratio;
/// use mlops_eval::classification::ScoreState;
///
/// let state = ScoreState::of(&[true, false], &[0.125, 0.125])?;
/// assert_eq!(calibration_ratio(&state, 0.95)?.ratio.value(), Some(4.0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Those of [`spiegelhalter`], and [`StatsError::Parameter`] for a confidence outside (0, 1).
pub fn calibration_ratio(state: &ScoreState, confidence: f64) -> Result<CalibrationRatio, StatsError> {
    check_confidence(confidence)?;
    let data = Checked::new(state)?;
    let expected = data.points().map(|point| point.weight() * point.p).collect::<Sum>().value();
    let ratio = Measured::ratio(data.positives, expected);
    if let Measured::Value(value) = ratio {
        crate::input::in_range("the calibration ratio", value)?;
    }
    let error = (data.negatives / data.total / data.positives).sqrt() * normal_quantile(confidence);
    let interval = ratio.value().filter(|_| data.positives > 0.0 && error < 700.0).map(|ratio| Interval {
        lower: ratio * (-error).exp(),
        upper: (ratio * error.exp()).min(f64::MAX),
        confidence,
    });
    Ok(CalibrationRatio { ratio, interval })
}
