//! Reasons to retrain.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::problem::Direction;
use crate::retrain::Signal;
use crate::time::Timestamp;

/// What kind of reason it is.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CauseKind {
    /// It is time.
    Schedule,
    /// Inputs or predictions are not what they were.
    Drift,
    /// The model is not good enough.
    Performance,
    /// Something happened outside. It comes once: what the gates drop of it does not come again.
    Event,
    /// Somebody asks for it. It comes once, as an event does.
    Manual,
}

/// How bad a signal is.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CauseLevel {
    /// The signal.
    pub signal: String,
    /// Its value.
    pub value: f64,
    /// Where it becomes a reason.
    pub threshold: f64,
    /// Where it is well again.
    pub recovery: f64,
    /// Which side is the good one.
    pub direction: Direction,
}

impl CauseLevel {
    /// A level that is well again at 0.8 of the threshold where lower is better and the threshold is positive, else at the
    /// threshold.
    pub fn new(signal: impl Into<String>, value: f64, threshold: f64, direction: Direction) -> Self {
        let shrinks = direction == Direction::LowerIsBetter && threshold > 0.0;
        let recovery = if shrinks { 0.8 * threshold } else { threshold };
        Self { signal: signal.into(), value, threshold, recovery, direction }
    }

    /// Sets where it is well again.
    #[must_use]
    pub fn with_recovery(mut self, recovery: f64) -> Self {
        self.recovery = recovery;
        self
    }

    /// Whether it is well again. With a direction that is neither, nothing is.
    pub(in crate::retrain) fn is_recovered(&self) -> bool {
        match self.direction {
            Direction::LowerIsBetter => self.value <= self.recovery,
            Direction::HigherIsBetter => self.value >= self.recovery,
            Direction::Neither => false,
        }
    }

    pub(super) fn check(&self) -> Result<()> {
        check_text("signal", &self.signal)?;
        for (field, value) in
            [("value", self.value), ("threshold", self.threshold), ("recovery", self.recovery)]
        {
            if !value.is_finite() {
                return Err(Error::invalid(
                    "RetrainGates::step",
                    field,
                    format!("must be finite, got {value}"),
                ));
            }
        }
        Ok(())
    }
}

/// A reason to retrain.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetrainCause {
    /// What kind of reason.
    pub kind: CauseKind,
    /// Who says so: a monitor, the source of an event, a person.
    pub source: String,
    /// Unique within the source: the same reason again is the same.
    pub id: String,
    /// Why, as a sentence.
    pub reason: String,
    /// How bad it is, where that is a number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<CauseLevel>,
    /// What a retraining is expected to cost, in the budget's unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<f64>,
}

impl RetrainCause {
    /// A reason without a number.
    pub fn new(
        kind: CauseKind,
        source: impl Into<String>,
        id: impl Into<String>,
        reason: impl Into<String>,
    ) -> Self {
        let (source, id, reason) = (source.into(), id.into(), reason.into());
        Self { kind, source, id, reason, level: None, cost: None }
    }

    /// The reason that a trigger has found in a signal: known by the event, or by monitor and window; a tick by its time.
    ///
    /// ```
    /// use mlops_core::retrain::Signal;
    /// use mlops_core::retrain::gates::{CauseKind, RetrainCause};
    /// let signal = Signal::Event { id: "7".into(), kind: "data.registered".into(), source: "lake".into() };
    /// let cause = RetrainCause::of_signal(CauseKind::Event, &signal, "new data", "2026-01-01T00:00:00Z".parse()?);
    /// assert_eq!((cause.source.as_str(), cause.id.as_str()), ("lake", "7"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn of_signal(kind: CauseKind, signal: &Signal, reason: impl Into<String>, now: Timestamp) -> Self {
        let (source, id) = match signal {
            Signal::Event { id, source, .. } => (source.clone(), id.clone()),
            Signal::Monitored(report) => {
                let window = report.window;
                (
                    report.monitor.to_string(),
                    format!("{} to {}", window.start.to_rfc3339(), window.end.to_rfc3339()),
                )
            }
            Signal::Tick => ("clock".to_owned(), now.to_rfc3339()),
        };
        Self::new(kind, source, id, reason)
    }

    /// Says how bad it is.
    #[must_use]
    pub fn with_level(mut self, level: CauseLevel) -> Self {
        self.level = Some(level);
        self
    }

    /// Says what a retraining is expected to cost.
    #[must_use]
    pub fn with_cost(mut self, cost: f64) -> Self {
        self.cost = Some(cost);
        self
    }

    pub(in crate::retrain) fn check(&self) -> Result<()> {
        check_text("source", &self.source)?;
        check_text("id", &self.id)?;
        if self.reason.len() > 4_096 {
            return Err(Error::invalid("RetrainGates::step", "reason", "has at most 4 096 bytes"));
        }
        if let Some(cost) = self.cost.filter(|cost| !(cost.is_finite() && *cost >= 0.0)) {
            let message = format!("must be finite and at least 0, got {cost}");
            return Err(Error::invalid("RetrainGates::step", "cost", message));
        }
        self.level.as_ref().map_or(Ok(()), CauseLevel::check)
    }
}

fn check_text(field: &'static str, text: &str) -> Result<()> {
    if (1..=1_024).contains(&text.len()) {
        return Ok(());
    }
    let message = format!("must have 1 to 1 024 bytes, got {}", text.len());
    Err(Error::invalid("RetrainGates::step", field, message))
}

/// What the gates look at.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GateInput {
    /// A reason to retrain.
    Cause(RetrainCause),
    /// A signal was measured: where it is well again, it may be a reason again.
    Measured(CauseLevel),
    /// Time passed.
    Tick,
}
