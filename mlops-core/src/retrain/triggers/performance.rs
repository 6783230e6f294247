//! Retrain when performance has fallen.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::windows::Windows;
use crate::error::{Error, Result};
use crate::evaluation::Verdict;
use crate::id::MonitorName;
use crate::monitor::SignalOutcome;
use crate::retrain::{Signal, Trigger, TriggerDecision, TriggerState};
use crate::time::{Timestamp, duration_text};

/// Fires when a performance signal of a monitor was raised in several windows in a row, each with enough labelled rows.
///
/// Rows are counted as by [`DriftTrigger`](super::DriftTrigger). A window that is looked at again when more labels have come
/// counts again only if its verdict changed.
///
/// ```
/// use mlops_core::MonitorName;
/// use mlops_core::retrain::PerformanceTrigger;
/// let trigger = PerformanceTrigger::new(MonitorName::new("diabetes")?, "accuracy").with_min_labelled(200);
/// assert!(trigger.check().is_ok());
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PerformanceTrigger {
    /// The monitor.
    pub monitor: MonitorName,
    /// The name of its signal, which compares predictions with the truth.
    pub signal: String,
    /// How many bad windows in a row are needed, at least 1. Default 1.
    #[serde(default = "super::drift::one")]
    pub windows: u32,
    /// How many labelled rows a window needs to count, beyond what the monitor asks for. Default 0.
    #[serde(default)]
    pub min_labelled: u64,
    /// How long it is held back after it fired. Default not at all.
    #[serde(default, with = "duration_text")]
    pub cooldown: Duration,
}

impl PerformanceTrigger {
    /// Fires at every bad window.
    pub fn new(monitor: MonitorName, signal: impl Into<String>) -> Self {
        Self { monitor, signal: signal.into(), windows: 1, min_labelled: 0, cooldown: Duration::ZERO }
    }

    /// Sets how many bad windows in a row are needed.
    #[must_use]
    pub fn with_windows(mut self, windows: u32) -> Self {
        self.windows = windows;
        self
    }

    /// Sets how many labelled rows a window needs to count.
    #[must_use]
    pub fn with_min_labelled(mut self, rows: u64) -> Self {
        self.min_labelled = rows;
        self
    }

    /// Sets how long it is held back after it fired.
    #[must_use]
    pub fn with_cooldown(mut self, cooldown: Duration) -> Self {
        self.cooldown = cooldown;
        self
    }

    fn windows(&self) -> Windows<'_> {
        let Self { monitor, signal, windows, cooldown, .. } = self;
        Windows { operation: OP, monitor, signal, windows: *windows, cooldown: *cooldown }
    }

    /// Checks the options; `evaluate` does so each time.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) that names the option.
    pub fn check(&self) -> Result<()> {
        self.windows().check()
    }
}

const OP: &str = "PerformanceTrigger::evaluate";

impl Trigger for PerformanceTrigger {
    fn evaluate(&self, state: &TriggerState, signal: &Signal, now: Timestamp) -> Result<TriggerDecision> {
        self.windows().evaluate(state, signal, now, |report| match report.outcome {
            SignalOutcome::Performance { labelled, .. } if labelled < self.min_labelled => {
                Ok(Verdict::Insufficient)
            }
            SignalOutcome::Performance { .. } | SignalOutcome::Failed(_) => Ok(report.verdict),
            _ => {
                let message = "the signal does not compare with the truth; use a DriftTrigger";
                Err(Error::invalid(OP, "signal", message).with("signal", &report.signal))
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::support::*;
    use super::*;
    use crate::evaluation::Verdict::{Fail, Insufficient, Pass};
    use crate::retrain::TriggerOutcome;

    fn trigger() -> PerformanceTrigger {
        PerformanceTrigger::new(monitor(), "performance").with_min_labelled(50)
    }

    #[test]
    fn a_bad_window_with_enough_labels_fires() {
        for (verdict, labelled, fires) in
            [(Fail, 50, true), (Fail, 49, false), (Pass, 50, false), (Insufficient, 50, false)]
        {
            let decision = Seat::new(trigger()).send(&performance_report(0, verdict, labelled), 0);
            assert_eq!(decision.fires(), fires, "{verdict}, {labelled}");
        }
    }

    #[test]
    fn insufficient_data_is_no_reason() {
        for signal in [performance_report(0, Insufficient, 500), performance_report(0, Fail, 49)] {
            assert_eq!(Seat::new(trigger()).send(&signal, 0).outcome, TriggerOutcome::Quiet);
        }
    }

    #[test]
    fn a_window_counts_when_late_labels_show_that_it_failed() {
        let mut seat = Seat::new(trigger());
        assert!(!seat.send(&performance_report(0, Fail, 10), 0).fires());
        assert!(!seat.send(&performance_report(0, Pass, 60), 1).fires());
        assert!(seat.send(&performance_report(0, Fail, 90), 2).fires());
        assert!(!seat.send(&performance_report(0, Fail, 95), 3).fires());
    }

    #[test]
    fn cooldown_holds_back() {
        let mut seat = Seat::new(trigger().with_cooldown(Duration::from_secs(100)));
        assert!(seat.send(&performance_report(0, Fail, 90), 0).fires());
        assert!(!seat.send(&performance_report(1, Fail, 90), 99).fires());
        assert!(seat.send(&performance_report(2, Fail, 90), 100).fires());
    }

    #[test]
    fn clock_going_back_does_no_harm() {
        let trigger = trigger().with_cooldown(Duration::from_secs(100));
        clock_going_back_does_no_harm_to(trigger, |i| performance_report(i, Fail, 90), 100);
    }
}
