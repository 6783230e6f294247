//! Retrain when a monitor sees drift.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::windows::Windows;
use crate::error::{Error, Result};
use crate::id::MonitorName;
use crate::monitor::SignalOutcome;
use crate::retrain::{Signal, Trigger, TriggerDecision, TriggerState};
use crate::time::{Timestamp, duration_text};

/// Fires when a drift signal of a monitor was raised in several windows in a row.
///
/// A window that passes ends the row; one with too little data, or whose signal could not be computed, neither ends it nor
/// counts. The same window reported again counts once. After it fired the row begins anew; while the cooldown holds it back
/// the row goes on growing, so that it fires at the first bad window after it.
///
/// ```
/// use mlops_core::MonitorName;
/// use mlops_core::retrain::{DriftTrigger, Signal, Trigger as _, TriggerOutcome, TriggerState};
/// use std::time::Duration;
///
/// let trigger = DriftTrigger::new(MonitorName::new("diabetes")?, "data_drift")
///     .with_windows(3)
///     .with_cooldown(Duration::from_secs(86_400));
/// let now = "2026-01-01T00:00:00Z".parse()?;
/// let decision = trigger.evaluate(&TriggerState::default(), &Signal::Tick, now)?;
/// assert_eq!(decision.outcome, TriggerOutcome::Quiet);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DriftTrigger {
    /// The monitor.
    pub monitor: MonitorName,
    /// The name of its signal, which compares distributions.
    pub signal: String,
    /// How many bad windows in a row are needed, at least 1. Default 1.
    #[serde(default = "super::drift::one")]
    pub windows: u32,
    /// How long it is held back after it fired. Default not at all.
    #[serde(default, with = "duration_text")]
    pub cooldown: Duration,
}

pub(super) fn one() -> u32 {
    1
}

impl DriftTrigger {
    /// Fires at every bad window.
    pub fn new(monitor: MonitorName, signal: impl Into<String>) -> Self {
        Self { monitor, signal: signal.into(), windows: 1, cooldown: Duration::ZERO }
    }

    /// Sets how many bad windows in a row are needed.
    #[must_use]
    pub fn with_windows(mut self, windows: u32) -> Self {
        self.windows = windows;
        self
    }

    /// Sets how long it is held back after it fired.
    #[must_use]
    pub fn with_cooldown(mut self, cooldown: Duration) -> Self {
        self.cooldown = cooldown;
        self
    }

    fn windows(&self) -> Windows<'_> {
        let Self { monitor, signal, windows, cooldown } = self;
        Windows { operation: OP, monitor, signal, windows: *windows, cooldown: *cooldown }
    }

    /// Checks the options; `evaluate` does so each time.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) that names the option.
    ///
    /// ```
    /// use mlops_core::{MonitorName, retrain::DriftTrigger};
    /// let trigger = DriftTrigger::new(MonitorName::new("diabetes")?, "data_drift");
    /// assert!(trigger.check().is_ok());
    /// assert!(trigger.with_windows(0).check().is_err());
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn check(&self) -> Result<()> {
        self.windows().check()
    }
}

const OP: &str = "DriftTrigger::evaluate";

impl Trigger for DriftTrigger {
    fn evaluate(&self, state: &TriggerState, signal: &Signal, now: Timestamp) -> Result<TriggerDecision> {
        self.windows().evaluate(state, signal, now, |report| match report.outcome {
            SignalOutcome::Drift(_) | SignalOutcome::Failed(_) => Ok(report.verdict),
            _ => {
                let message = "the signal does not compare distributions; use a PerformanceTrigger";
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

    fn trigger() -> DriftTrigger {
        DriftTrigger::new(monitor(), "drift").with_windows(2).with_cooldown(Duration::from_secs(100))
    }

    #[test]
    fn so_many_bad_windows_in_a_row_fire() {
        for (verdicts, fires) in [
            (&[Fail, Fail][..], true),
            (&[Fail], false),
            (&[Fail, Pass, Fail], false),
            (&[Pass, Fail, Fail], true),
            // Too little data neither counts nor ends the row.
            (&[Fail, Insufficient, Fail], true),
            (&[Insufficient, Insufficient, Insufficient], false),
        ] {
            let mut seat = Seat::new(trigger());
            let fired = verdicts.iter().enumerate().any(|(i, verdict)| {
                seat.send(&drift_report(i, *verdict), 10 * i64::try_from(i).unwrap()).fires()
            });
            assert_eq!(fired, fires, "{verdicts:?}");
        }
    }

    #[test]
    fn insufficient_data_is_no_reason() {
        let mut seat = Seat::new(trigger().with_windows(1));
        assert_eq!(seat.send(&drift_report(0, Insufficient), 0).outcome, TriggerOutcome::Quiet);
        assert_eq!(seat.state.bad_windows, 0);
    }

    #[test]
    fn the_same_window_counts_once() {
        let mut seat = Seat::new(trigger());
        for second in 0..5 {
            let outcome = seat.send(&drift_report(0, Fail), second).outcome;
            assert!(matches!(outcome, TriggerOutcome::Suppressed(_)), "{outcome:?}");
        }
        assert_eq!(seat.state.bad_windows, 1);
        assert!(seat.send(&drift_report(1, Fail), 5).fires());
    }

    #[test]
    fn cooldown_holds_back() {
        let mut seat = Seat::new(trigger());
        seat.send(&drift_report(0, Fail), 0);
        assert!(seat.send(&drift_report(1, Fail), 1).fires());
        for window in 2..5 {
            let decision = seat.send(&drift_report(window, Fail), 50);
            let TriggerOutcome::Suppressed(reason) = decision.outcome else {
                panic!("{decision:?}");
            };
            assert_eq!(reason.contains("cooldown is 100s"), window > 2, "{reason}");
        }
        // The row was kept: the first bad window after the cooldown is enough.
        assert!(seat.send(&drift_report(5, Fail), 101).fires());
    }

    #[test]
    fn other_monitors_are_nothing_to_it_but_a_missing_signal_is_an_error() {
        let mut other = trigger();
        other.monitor = MonitorName::new("other").unwrap();
        assert_eq!(Seat::new(other).send(&drift_report(0, Fail), 0).outcome, TriggerOutcome::Quiet);
        let mut misspelt = trigger();
        misspelt.signal = "drfit".into();
        assert!(misspelt.evaluate(&TriggerState::default(), &drift_report(0, Fail), at(0)).is_err());
        let wrong_kind = performance_report(0, Fail, 10);
        let mut kind = trigger();
        kind.signal = "performance".into();
        assert!(kind.evaluate(&TriggerState::default(), &wrong_kind, at(0)).is_err());
    }

    #[test]
    fn clock_going_back_does_no_harm() {
        clock_going_back_does_no_harm_to(trigger().with_windows(1), |i| drift_report(i, Fail), 100);
    }

    #[test]
    fn memory_is_bounded() {
        let mut seat = Seat::new(trigger());
        for window in 0..1_000 {
            seat.send(&drift_report(window, Fail), 0);
        }
        assert_eq!(seat.state.seen_events.len(), 256);
    }
}
