//! A value against a limit.

use mlops_core::monitor::DriftVerdict;
use mlops_core::num::StatsError;
use serde::{Deserialize, Serialize};

use crate::decision::AlarmWhen;

/// A limit and the side of it on which the alarm lies. A value that equals the limit raises nothing.
///
/// ```
/// use mlops_core::monitor::DriftVerdict;
/// use mlops_drift::signal::Threshold;
///
/// let accuracy = Threshold::below(0.9)?;
/// assert_eq!(accuracy.judge(Some(0.85)), DriftVerdict::Drift);
/// assert_eq!(accuracy.judge(Some(0.9)), DriftVerdict::NoDrift);
/// assert_eq!(accuracy.judge(None), DriftVerdict::Inconclusive);
/// # Ok::<(), mlops_core::num::StatsError>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Threshold {
    /// The limit.
    pub limit: f64,
    /// Where the alarm lies.
    pub alarm: AlarmWhen,
}

impl Threshold {
    /// An alarm above a limit.
    ///
    /// # Errors
    /// [`StatsError::Parameter`] for a limit that is not finite.
    pub fn above(limit: f64) -> Result<Self, StatsError> {
        Self::new(limit, AlarmWhen::Above)
    }

    /// An alarm below a limit.
    ///
    /// # Errors
    /// [`StatsError::Parameter`] for a limit that is not finite.
    pub fn below(limit: f64) -> Result<Self, StatsError> {
        Self::new(limit, AlarmWhen::Below)
    }

    fn new(limit: f64, alarm: AlarmWhen) -> Result<Self, StatsError> {
        if !limit.is_finite() {
            let reason = "must be finite";
            return Err(StatsError::Parameter { parameter: "limit", value: limit, reason });
        }
        Ok(Self { limit, alarm })
    }

    /// Holds a value against the limit; no value, and NaN, are inconclusive.
    pub fn judge(&self, value: Option<f64>) -> DriftVerdict {
        match value.filter(|value| !value.is_nan()) {
            None => DriftVerdict::Inconclusive,
            Some(value) if self.alarm.is_beyond(value, self.limit) => DriftVerdict::Drift,
            Some(_) => DriftVerdict::NoDrift,
        }
    }
}
