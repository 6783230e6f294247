//! The judge of Spinnaker's Kayenta, NetflixACAJudge-v1.0, for one metric.

use serde::{Deserialize, Serialize};

use super::rank_shift::{Sorted, check_confidence, superiority};
use super::{Direction, Finding, Observations};
use crate::deploy::rollout::GuardVerdict;
use crate::num::StatsError;
use crate::num::quantile::quantile_sorted;
use crate::num::sum::mean;

/// What Kayenta calls a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Classification {
    /// No bad change was shown.
    Pass,
    /// The candidate is higher.
    High,
    /// The candidate is lower.
    Low,
    /// A version was not observed.
    Nodata,
    /// A version was not observed although the metric must have data.
    NodataFailMetric,
}

/// What becomes of NaN, which stands for a point in time without a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NanStrategy {
    /// It is left out.
    #[default]
    Remove,
    /// It counts as 0: nothing happened then.
    Replace,
}

/// How large a change is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EffectSize {
    /// The candidate's mean divided by the stable version's; no change is 1.
    #[default]
    MeanRatio,
    /// How often a value of the candidate exceeds one of the stable version, ties by half; no change is 0.5.
    CommonLanguage,
}

impl EffectSize {
    fn of_no_change(self) -> f64 {
        match self {
            Self::MeanRatio => 1.0,
            Self::CommonLanguage => 0.5,
        }
    }
}

/// Classifies a metric as Kayenta does.
///
/// After NaN and, where asked for, outliers are dealt with: samples that are equal, or one single value over both, pass. Else, with
/// estimate and interval of [`rank_shift`](super::rank_shift()) and bound = `tolerance`·|estimate|: **high** (a failure) when the
/// interval lies above the bound and the effect is at least `allowed_increase`; **low** (a failure) when it lies below −bound
/// and the effect is at most `allowed_decrease`; **pass** otherwise, also for want of data: demand a number of samples beside it.
///
/// Where ours differs: an interval is exact where Kayenta's has a tolerance of 1e-4 in the metric's unit; two samples that are
/// constant give the exact shift where Kayenta adds random noise; where the stable version's mean is 0 there is no mean ratio,
/// and the interval alone decides.
///
/// An outlier lies more than `outlier_factor` interquartile ranges outside the quartiles and outside the 5th and 95th
/// percentile, each of its own sample. Infinities are errors. O((m + n)·log(m + n)).
///
/// ```
/// use mlops_core::deploy::rollout::judge::{Classification, Kayenta};
///
/// let stable: Vec<f64> = (0..60).map(|i| 100.0 + f64::from(i % 7)).collect();
/// let higher: Vec<f64> = stable.iter().map(|v| v + 5.0).collect();
/// let (class, finding) = Kayenta::default().classify(&higher, &stable)?;
/// assert_eq!(class, Classification::High);
/// assert_eq!(finding.rule, "kayenta.high");
/// # Ok::<(), mlops_core::num::StatsError>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Kayenta {
    /// Which change is bad. Default either.
    pub direction: Direction,
    /// The confidence of the interval, in (0, 1). Default 0.98.
    pub confidence: f64,
    /// The share of the estimated shift that the interval must exceed, finite and at least 0. Default 0.25.
    pub tolerance: f64,
    /// How the size of a change is measured. Default the mean ratio.
    pub effect: EffectSize,
    /// The smallest effect that is an increase. Default that of no change.
    pub allowed_increase: Option<f64>,
    /// The largest effect that is a decrease. Default that of no change.
    pub allowed_decrease: Option<f64>,
    /// What becomes of NaN. Default it is left out.
    pub nan: NanStrategy,
    /// Interquartile ranges beyond which a value is an outlier; Kayenta's is 3. Default outliers stay.
    pub outlier_factor: Option<f64>,
    /// Whether no data is a failure. Default no.
    pub must_have_data: bool,
}

impl Default for Kayenta {
    fn default() -> Self {
        Self {
            direction: Direction::Either,
            confidence: 0.98,
            tolerance: 0.25,
            effect: EffectSize::MeanRatio,
            allowed_increase: None,
            allowed_decrease: None,
            nan: NanStrategy::Remove,
            outlier_factor: None,
            must_have_data: false,
        }
    }
}

impl Kayenta {
    /// Sets which change is bad.
    #[must_use]
    pub fn with_direction(mut self, direction: Direction) -> Self {
        self.direction = direction;
        self
    }

    /// Sets the confidence of the interval.
    #[must_use]
    pub fn with_confidence(mut self, confidence: f64) -> Self {
        self.confidence = confidence;
        self
    }

    /// Sets the share of the estimated shift that the interval must exceed.
    #[must_use]
    pub fn with_tolerance(mut self, tolerance: f64) -> Self {
        self.tolerance = tolerance;
        self
    }

    /// Sets how the size of a change is measured.
    #[must_use]
    pub fn with_effect(mut self, effect: EffectSize) -> Self {
        self.effect = effect;
        self
    }

    /// Sets the largest effect that is a decrease and the smallest that is an increase.
    #[must_use]
    pub fn with_allowed(mut self, decrease: f64, increase: f64) -> Self {
        (self.allowed_decrease, self.allowed_increase) = (Some(decrease), Some(increase));
        self
    }

    /// Sets what becomes of NaN.
    #[must_use]
    pub fn with_nan(mut self, nan: NanStrategy) -> Self {
        self.nan = nan;
        self
    }

    /// Leaves outliers out.
    #[must_use]
    pub fn with_outlier_factor(mut self, factor: f64) -> Self {
        self.outlier_factor = Some(factor);
        self
    }

    /// Makes no data a failure.
    #[must_use]
    pub fn with_must_have_data(mut self) -> Self {
        self.must_have_data = true;
        self
    }

    /// Checks the options.
    ///
    /// # Errors
    /// [`StatsError::Parameter`] names the option.
    pub fn check(&self) -> Result<(), StatsError> {
        check_confidence(self.confidence)?;
        let options = [
            ("tolerance", Some(self.tolerance)),
            ("allowed_increase", self.allowed_increase),
            ("allowed_decrease", self.allowed_decrease),
            ("outlier_factor", self.outlier_factor),
        ];
        let bad = |value: &f64| !(value.is_finite() && *value >= 0.0);
        match options.iter().find_map(|(name, value)| value.filter(bad).map(|value| (*name, value))) {
            None => Ok(()),
            Some((parameter, value)) => {
                Err(StatsError::Parameter { parameter, value, reason: "must be finite and at least 0" })
            }
        }
    }

    /// Judges: [`classify`](Self::classify)'s finding.
    ///
    /// # Errors
    /// As [`classify`](Self::classify); counts are [`StatsError::Unsupported`].
    pub fn judge(&self, seen: &Observations) -> Result<Finding, StatsError> {
        let [candidate, stable] = seen.both("a Mann–Whitney test")?;
        self.classify(candidate, stable).map(|(_, finding)| finding)
    }

    /// Kayenta's name for the metric, and what it rests on.
    ///
    /// # Errors
    /// Those of [`check`](Self::check); [`StatsError::NotFinite`] for an infinity, with its index after NaN were dealt with.
    pub fn classify(
        &self,
        candidate: &[f64],
        stable: &[f64],
    ) -> Result<(Classification, Finding), StatsError> {
        self.check()?;
        let (candidate, stable) = (self.cleaned(candidate)?, self.cleaned(stable)?);
        if candidate.is_empty() || stable.is_empty() {
            return Ok(self.without_data());
        }
        let first = candidate[0];
        if candidate == stable || candidate.iter().chain(&stable).all(|value| *value == first) {
            let finding =
                Finding::new("kayenta.same", GuardVerdict::Pass, "both versions have the same values");
            return Ok((Classification::Pass, finding));
        }
        let sorted = Sorted::new(("candidate", &candidate), ("stable", &stable))?;
        let shift = sorted.shift(self.confidence);
        let effect = match self.effect {
            EffectSize::CommonLanguage => Some(superiority(&sorted)),
            EffectSize::MeanRatio => {
                let ratio = mean(&candidate)? / mean(&stable)?;
                Some(ratio).filter(|ratio| ratio.is_finite())
            }
        };
        let bound = self.tolerance * shift.estimate.abs();
        let class = self.class(shift.low > bound, shift.high < -bound, effect);
        let (rule, verdict) = match class {
            Classification::High => ("kayenta.high", GuardVerdict::Fail),
            Classification::Low => ("kayenta.low", GuardVerdict::Fail),
            _ => ("kayenta.pass", GuardVerdict::Pass),
        };
        let (low, high) = (shift.low, shift.high);
        let reason = format!("the shift lies in [{low:.6}, {high:.6}], the bound is {bound:.6}");
        let finding = Finding::new(rule, verdict, reason)
            .with("shift", shift.estimate)
            .with("low", low)
            .with("high", high)
            .with("bound", bound)
            .with("z", shift.z)
            .with("effect", effect.unwrap_or(f64::NAN))
            .with("candidate_n", candidate.len() as f64)
            .with("stable_n", stable.len() as f64);
        Ok((class, finding))
    }

    fn class(&self, above: bool, below: bool, effect: Option<f64>) -> Classification {
        let none = self.effect.of_no_change();
        let large = |allowed: Option<f64>| effect.is_none_or(|effect| effect >= allowed.unwrap_or(none));
        let small = |allowed: Option<f64>| effect.is_none_or(|effect| effect <= allowed.unwrap_or(none));
        if self.direction != Direction::Decrease && above && large(self.allowed_increase) {
            return Classification::High;
        }
        if self.direction != Direction::Increase && below && small(self.allowed_decrease) {
            return Classification::Low;
        }
        Classification::Pass
    }

    fn without_data(&self) -> (Classification, Finding) {
        let (class, rule, verdict) = match self.must_have_data {
            true => (Classification::NodataFailMetric, "kayenta.nodata_fail", GuardVerdict::Fail),
            false => (Classification::Nodata, "kayenta.nodata", GuardVerdict::NoData),
        };
        (class, Finding::new(rule, verdict, "one of the versions was not observed"))
    }

    fn cleaned(&self, values: &[f64]) -> Result<Vec<f64>, StatsError> {
        let kept: Vec<f64> = match self.nan {
            NanStrategy::Remove => values.iter().copied().filter(|value| !value.is_nan()).collect(),
            NanStrategy::Replace => values.iter().map(|v| if v.is_nan() { 0.0 } else { *v }).collect(),
        };
        let Some(factor) = self.outlier_factor.filter(|_| !kept.is_empty()) else {
            return Ok(kept);
        };
        let mut sorted = kept.clone();
        sorted.sort_by(f64::total_cmp);
        let at = |share| quantile_sorted(&sorted, share);
        let (lower, upper) = (at(0.25)?, at(0.75)?);
        let reach = factor * (upper - lower);
        let (low, high) = ((lower - reach).min(at(0.05)?), (upper + reach).max(at(0.95)?));
        Ok(kept.into_iter().filter(|value| (low..=high).contains(value)).collect())
    }
}
