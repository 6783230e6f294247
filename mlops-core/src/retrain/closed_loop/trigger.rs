//! Triggers that a loop asks itself, and how bad it is what they see.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::evaluation::Verdict;
use crate::monitor::{DriftReport, FeatureOutcome, MonitorReport, MonitorSpec, SignalOutcome, SignalReport};
use crate::problem::Direction;
use crate::retrain::gates::{CauseKind, CauseLevel, RetrainCause};
use crate::retrain::{Signal, Trigger, WatchedSignal};
use crate::time::Timestamp;

/// A trigger of a loop: what it is called, what kind of reason it finds, and which signal of a monitor it is about.
///
/// The loop keeps what it [remembers](crate::retrain::TriggerState) under its name.
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
/// use mlops_core::retrain::DriftTrigger;
/// use mlops_core::retrain::closed_loop::LoopTrigger;
/// use mlops_core::retrain::gates::CauseKind;
///
/// let drift = Arc::new(DriftTrigger::new("inputs", 2, Duration::ZERO)?);
/// let trigger = LoopTrigger::new("inputs drift", CauseKind::Drift, drift)?.about("inputs").with_cost(3.5)?;
/// assert_eq!(trigger.name(), "inputs drift");
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct LoopTrigger {
    name: String,
    kind: CauseKind,
    trigger: Arc<dyn Trigger>,
    signal: Option<String>,
    cost: Option<f64>,
}

impl LoopTrigger {
    /// A trigger.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for a name that is empty or longer than 256 bytes.
    pub fn new(name: impl Into<String>, kind: CauseKind, trigger: Arc<dyn Trigger>) -> Result<Self> {
        let name = name.into();
        if name.trim().is_empty() || name.len() > 256 {
            return Err(Error::invalid("LoopTrigger::new", "name", "has 1 to 256 bytes"));
        }
        Ok(Self { name, kind, trigger, signal: None, cost: None })
    }

    /// Says which signal of a monitor's report it looks at: that signal has to be well once before it is a reason again.
    #[must_use]
    pub fn about(mut self, signal: impl Into<String>) -> Self {
        self.signal = Some(signal.into());
        self
    }

    /// Says what a retraining is expected to cost, in the unit of the [budget](crate::retrain::gates::RetrainBudget).
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) unless it is finite and at least 0.
    pub fn with_cost(mut self, cost: f64) -> Result<Self> {
        if !(cost.is_finite() && cost >= 0.0) {
            let message = format!("must be finite and at least 0, got {cost}");
            return Err(Error::invalid("LoopTrigger::with_cost", "cost", message));
        }
        self.cost = Some(cost);
        Ok(self)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Refuses monitors that lack a signal it looks at or is about.
    pub(super) fn check_monitors(&self, monitors: &[MonitorSpec]) -> Result<()> {
        let about = self.signal.clone().map(WatchedSignal::Any);
        let checked = self
            .trigger
            .watches()
            .into_iter()
            .chain(about)
            .try_for_each(|watched| watched.check("ClosedLoop::check_monitors", monitors));
        checked.map_err(|error| error.with("trigger", &self.name))
    }

    pub(super) fn trigger(&self) -> &dyn Trigger {
        &*self.trigger
    }

    /// The cause that it found in a signal.
    pub(super) fn cause(&self, signal: &Signal, reason: &str, now: Timestamp) -> RetrainCause {
        let mut cause = RetrainCause::of_signal(self.kind, signal, clip(reason, 4_096), now);
        cause.cost = self.cost;
        if let (Signal::Monitored(report), Some(name)) = (signal, &self.signal) {
            let found = report.signals.iter().find(|found| found.signal == *name);
            cause.level = found.and_then(|found| level(report, found));
        }
        cause
    }
}

/// How bad a signal of a report is, called `monitor/signal`: of drift the largest score, and of the quality of data the largest
/// rate, in units of its threshold, at least 1 where the verdict is that it failed; of everything else 1 where it failed and 0
/// where it passed. It is a reason from 1 on, and well again at 0.8. `None` where the verdict is that nothing is known.
pub(super) fn level(report: &MonitorReport, signal: &SignalReport) -> Option<CauseLevel> {
    let failed = match signal.verdict {
        Verdict::Fail => true,
        Verdict::Pass => false,
        Verdict::Insufficient => return None,
    };
    let worst = match &signal.outcome {
        SignalOutcome::Drift(drift) => worst(drift),
        SignalOutcome::DataQuality(quality) => {
            quality.features.iter().map(|f| f.worst()).filter(|ratio| ratio.is_finite()).fold(0.0, f64::max)
        }
        _ => 0.0,
    };
    let value = if failed { worst.max(1.0) } else { worst };
    let name = format!("{}/{}", report.monitor, clip(&signal.signal, 512));
    Some(CauseLevel::new(name, value, 1.0, Direction::LowerIsBetter))
}

fn worst(drift: &DriftReport) -> f64 {
    let measured = drift.features.iter().filter_map(|feature| match &feature.outcome {
        FeatureOutcome::Measured(score) if score.threshold > 0.0 => {
            Some(score.corrected.unwrap_or(score.score) / score.threshold)
        }
        _ => None,
    });
    measured.filter(|ratio| ratio.is_finite()).fold(0.0, f64::max)
}

/// The beginning of a text, at most so many bytes, and a sign where something is left out.
pub(super) fn clip(text: &str, bytes: usize) -> String {
    if text.len() <= bytes {
        return text.to_owned();
    }
    let mut end = bytes.saturating_sub('…'.len_utf8());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", text.get(..end).unwrap_or_default())
}
