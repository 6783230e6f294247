//! Bad windows in a row, as one signal of one monitor reports them.

use std::time::Duration;

use super::memory;
use crate::error::{Error, Result};
use crate::evaluation::Verdict;
use crate::id::MonitorName;
use crate::monitor::{MonitorReport, SignalReport};
use crate::retrain::{Signal, TriggerDecision, TriggerState};
use crate::time::Timestamp;

/// How many windows are remembered, so that a report that comes twice counts once.
const REMEMBERED: usize = 256;

/// What to count.
pub(super) struct Windows<'a> {
    pub(super) operation: &'static str,
    pub(super) monitor: &'a MonitorName,
    pub(super) signal: &'a str,
    pub(super) windows: u32,
    pub(super) cooldown: Duration,
}

impl Windows<'_> {
    pub(super) fn check(&self) -> Result<()> {
        memory::check_name(self.operation, "signal", self.signal)?;
        if self.windows == 0 {
            return Err(Error::invalid(self.operation, "windows", "must be at least 1"));
        }
        memory::check_duration(self.operation, "cooldown", self.cooldown, Duration::ZERO)
    }

    /// Counts the window that `signal` reports, if it does; `judge` says what the report of the signal amounts to.
    pub(super) fn evaluate(
        &self,
        state: &TriggerState,
        signal: &Signal,
        now: Timestamp,
        judge: impl Fn(&SignalReport) -> Result<Verdict>,
    ) -> Result<TriggerDecision> {
        self.check()?;
        let mut state = state.clone();
        let Signal::Monitored(report) = signal else {
            return Ok(memory::quiet(state));
        };
        if report.monitor != *self.monitor {
            return Ok(memory::quiet(state));
        }
        state.last_seen = Some(now);
        let found = self.find(report)?;
        Ok(match judge(found)? {
            Verdict::Insufficient => memory::quiet(state),
            verdict if !self.is_new(&mut state, report, verdict) => match verdict {
                Verdict::Fail => memory::suppress(state, "the window was counted already".to_owned()),
                _ => memory::quiet(state),
            },
            Verdict::Pass => {
                state.bad_windows = 0;
                memory::quiet(state)
            }
            Verdict::Fail => self.bad(state, &found.reason, now),
        })
    }

    fn find<'r>(&self, report: &'r MonitorReport) -> Result<&'r SignalReport> {
        report.signals.iter().find(|s| s.signal == self.signal).ok_or_else(|| {
            let message = "the monitor has no signal of this name";
            Error::invalid(self.operation, "signal", message)
                .with("monitor", self.monitor)
                .with("signal", self.signal)
        })
    }

    /// A window counts once for each verdict: it may have passed before late labels showed that it failed. It is known by
    /// what it is and not by its place in time, which a clock that goes back would bring into disorder.
    fn is_new(&self, state: &mut TriggerState, report: &MonitorReport, verdict: Verdict) -> bool {
        let (start, end) = (report.window.start.to_rfc3339(), report.window.end.to_rfc3339());
        let (source, id) = (format!("{}/{}", self.monitor, self.signal), format!("{start}/{end}/{verdict}"));
        memory::remember(state, &source, &id, REMEMBERED)
    }

    fn bad(&self, mut state: TriggerState, reason: &str, now: Timestamp) -> TriggerDecision {
        state.bad_windows = state.bad_windows.saturating_add(1);
        let (bad, needed) = (state.bad_windows, self.windows);
        if bad < needed {
            return memory::suppress(state, format!("{bad} of {needed} bad windows in a row: {reason}"));
        }
        let reason = format!("{}: {bad} bad windows in a row: {reason}", self.signal);
        let mut decision = memory::fire(state, self.cooldown, reason, now);
        if decision.fires() {
            decision.state.bad_windows = 0;
        }
        decision
    }
}
