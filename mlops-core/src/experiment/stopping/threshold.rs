//! Bounds that no value may leave.

use serde::{Deserialize, Serialize};

use super::percentile::is_due;
use super::{Abstention, Evidence, PolicyKind, StoppingError, StoppingPolicy, TrialReports, Verdict};
use crate::experiment::sampler::Goal;

/// Stops a trial whose last value is NaN, below `lower` or above `upper`: one that diverges.
///
/// Decides as Optuna 5's `ThresholdPruner` does; steps are Optuna's, from 0.
///
/// ```
/// use mlops_core::experiment::sampler::Goal;
/// use mlops_core::experiment::stopping::{StoppingPolicy as _, Threshold, TrialReports};
/// let policy = Threshold::new(None, Some(10.0))?;
/// let trial = TrialReports::new(0).with_values([3.0, 11.0])?;
/// assert!(!policy.decide(&trial, &[], Goal::Minimize).goes_on());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Wire", into = "Wire")]
pub struct Threshold {
    lower: Option<f64>,
    upper: Option<f64>,
    warmup_steps: u64,
    interval_steps: u64,
}

impl Threshold {
    /// Bounds that hold at every report; at least one must be given.
    ///
    /// # Errors
    /// [`StoppingError::Setting`] for a bound that is NaN, for a lower one above the upper one, and for none at all.
    pub fn new(lower: Option<f64>, upper: Option<f64>) -> Result<Self, StoppingError> {
        let low = lower.unwrap_or(f64::NEG_INFINITY);
        let setting = |argument, expected, value| Err(StoppingError::Setting { argument, expected, value });
        match (lower, upper) {
            (None, None) => setting("upper", "given when `lower` is not", f64::NAN),
            (Some(value), _) if value.is_nan() => setting("lower", "a number", value),
            (_, Some(value)) if value.is_nan() => setting("upper", "a number", value),
            (_, Some(value)) if value < low => setting("upper", "at least `lower`", value),
            _ => Ok(Self { lower, upper, warmup_steps: 0, interval_steps: 1 }),
        }
    }

    /// Sets the step before which nothing is decided, and the distance between decisions in steps.
    ///
    /// # Errors
    /// [`StoppingError::Setting`] for a distance of 0.
    pub fn with_steps(mut self, warmup: u64, interval: u64) -> Result<Self, StoppingError> {
        (self.warmup_steps, self.interval_steps) = (warmup, super::percentile::positive(interval)?);
        Ok(self)
    }
}

impl StoppingPolicy for Threshold {
    fn decide(&self, trial: &TrialReports, _: &[TrialReports], _: Goal) -> Verdict {
        let Some(last) = trial.reports.last() else { return Verdict::Abstain(Abstention::NotDue) };
        if !is_due(&trial.reports, self.warmup_steps, self.interval_steps) {
            return Verdict::Abstain(Abstention::NotDue);
        }
        let bound = match (self.lower, self.upper) {
            (Some(lower), _) if last.value < lower => lower,
            (_, Some(upper)) if last.value > upper => upper,
            (lower, upper) if last.value.is_nan() => upper.or(lower).unwrap_or(f64::NAN),
            _ => return Verdict::Continue,
        };
        Verdict::Stop(Evidence::new(PolicyKind::Threshold, &trial.reports, last.value, bound, 0))
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lower: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    upper: Option<f64>,
    #[serde(default)]
    warmup_steps: u64,
    #[serde(default = "one")]
    interval_steps: u64,
}

fn one() -> u64 {
    1
}

impl TryFrom<Wire> for Threshold {
    type Error = StoppingError;

    fn try_from(wire: Wire) -> Result<Self, StoppingError> {
        Self::new(wire.lower, wire.upper)?.with_steps(wire.warmup_steps, wire.interval_steps)
    }
}

impl From<Threshold> for Wire {
    fn from(policy: Threshold) -> Self {
        let Threshold { lower, upper, warmup_steps, interval_steps } = policy;
        Self { lower, upper, warmup_steps, interval_steps }
    }
}
