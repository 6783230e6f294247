//! Counting bad windows in a row: what [`DriftTrigger`](super::DriftTrigger) and
//! [`PerformanceTrigger`](super::PerformanceTrigger) share.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::cooldown::{Cooldown, looked, quiet, shown, suppressed};
use super::{Signal, TriggerDecision, TriggerState, seen};
use crate::error::{Error, Result};
use crate::evaluation::Verdict;
use crate::id::check_text;
use crate::monitor::{MonitorReport, SignalOutcome, SignalReport};
use crate::time::Timestamp;

/// As it is written down.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WindowsWire {
    pub(super) signal: String,
    pub(super) windows: u32,
    pub(super) cooldown_seconds: u64,
}

impl WindowsWire {
    pub(super) fn cooldown(&self) -> Duration {
        Duration::from_secs(self.cooldown_seconds)
    }
}

impl From<BadWindows> for WindowsWire {
    fn from(rule: BadWindows) -> Self {
        let cooldown_seconds = rule.cooldown.length().as_secs();
        Self { signal: rule.signal, windows: rule.windows, cooldown_seconds }
    }
}

/// So many bad windows of one signal in a row are a reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BadWindows {
    signal: String,
    windows: u32,
    cooldown: Cooldown,
}

impl BadWindows {
    pub(super) fn new(
        operation: &'static str,
        signal: String,
        windows: u32,
        cooldown: Duration,
    ) -> Result<Self> {
        check_text(operation, "a signal's name", &signal)?;
        if signal.trim().is_empty() {
            return Err(Error::invalid(operation, "signal", "must name a signal of the monitor"));
        }
        if windows == 0 {
            return Err(Error::invalid(operation, "windows", "must be at least 1, got 0"));
        }
        Ok(Self { signal, windows, cooldown: Cooldown::new(operation, cooldown)? })
    }

    pub(super) fn signal(&self) -> &str {
        &self.signal
    }

    pub(super) fn windows(&self) -> u32 {
        self.windows
    }

    pub(super) fn cooldown(&self) -> Duration {
        self.cooldown.length()
    }

    /// Looks at a signal; `is_ours` picks the outcomes that say something.
    pub(super) fn evaluate(
        &self,
        state: &TriggerState,
        signal: &Signal,
        now: Timestamp,
        is_ours: impl Fn(&SignalOutcome) -> bool,
    ) -> TriggerDecision {
        let mut state = looked(state, now);
        let Signal::Monitored(report) = signal else { return quiet(state) };
        let found = report.signals.iter().find(|s| s.signal == self.signal && is_ours(&s.outcome));
        match found.map(|found| (found.verdict, found)) {
            Some((Verdict::Fail, found)) => self.bad(state, report, found, now),
            Some((Verdict::Pass, _)) => {
                state.bad_windows = 0;
                quiet(state)
            }
            Some((Verdict::Insufficient, _)) | None => quiet(state),
        }
    }

    fn bad(
        &self,
        mut state: TriggerState,
        report: &MonitorReport,
        found: &SignalReport,
        now: Timestamp,
    ) -> TriggerDecision {
        let window = format!("{} to {}", shown(report.window.start), shown(report.window.end));
        // A report that is delivered twice, or a window that is looked at again, is still one window.
        if !seen::is_new(&mut state, report.monitor.as_str(), &window) {
            let reason = format!("the window {window} of {} was counted already", report.monitor);
            return suppressed(state, reason);
        }
        state.bad_windows = state.bad_windows.saturating_add(1);
        let (count, signal) = (state.bad_windows, &self.signal);
        let plural = if count == 1 { "" } else { "s in a row" };
        let reason =
            format!("{signal} was bad for {count} window{plural}, last from {window}: {}", found.reason);
        if count < self.windows {
            return suppressed(state, format!("{count} of {} bad windows: {reason}", self.windows));
        }
        self.cooldown.decide(state, now, reason)
    }
}
