//! Retrain when a model has become worse.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::windows::{BadWindows, WindowsWire};
use super::{Signal, Trigger, TriggerDecision, TriggerState, WatchedSignal};
use crate::error::{Error, Result};
use crate::monitor::SignalOutcome;
use crate::time::Timestamp;

/// Fires when a performance signal of a monitor is raised for so many windows in a row.
///
/// It looks at the [`SignalReport`](crate::monitor::SignalReport) of its name in every
/// [`Signal::Monitored`] whose outcome is [`SignalOutcome::Performance`]:
///
/// | what the monitor found | what the trigger does |
/// |---|---|
/// | `Verdict::Fail` | counts the window; fires when enough came in a row, else it is suppressed |
/// | `Verdict::Pass` | starts counting afresh |
/// | `Verdict::Insufficient`, an outcome that `Failed` or has no labelled row | neither counts nor starts afresh: nothing is known of that window |
/// | another outcome, no signal of that name | nothing |
///
/// A window counts once, however often it is reported (as long as it is among the last 1000 bad ones). Firing starts the
/// count afresh. Bad windows during the cooldown count, so that the first one after it fires if there were enough; until
/// then they are suppressed.
///
/// The names of signals are unique within a monitor only: where several monitors report, give each its own trigger
/// and its own state. A report without a signal of the name is not for this trigger, so that a name that is misspelt never fires:
/// [`check_monitors`](super::TriggerExt::check_monitors) holds it against the monitors that there are.
///
/// As configuration: `signal`, `windows` and `cooldown_seconds`. Cost: proportional to the signals in the report and to
/// what is remembered.
///
/// ```
/// use std::time::Duration;
/// use mlops_core::evaluation::{EvaluationReport, Verdict};
/// use mlops_core::hash::Digest;
/// use mlops_core::monitor::{
///     MonitorReport, PerformanceRule, SignalKind, SignalOutcome, SignalReport, SignalSpec, Window,
/// };
/// use mlops_core::problem::Task;
/// use mlops_core::retrain::{PerformanceTrigger, Signal, Trigger, TriggerState};
/// use mlops_core::time::Timestamp;
///
/// let day = Duration::from_secs(86_400);
/// let trigger = PerformanceTrigger::new("accuracy", 2, 7 * day)?;
///
/// let mut state = TriggerState::default();
/// let mut start: Timestamp = "2026-01-01T00:00:00Z".parse()?;
/// let mut fired = Vec::new();
/// for _ in 0..3 {
///     let window = Window::new(start, start + day)?;
///     let rule = PerformanceRule::new("accuracy".parse()?, 0.8, 100);
///     let spec = SignalSpec::new("accuracy", SignalKind::Performance(rule));
///     let (model, rows) = (Digest::of(b"model"), Digest::of(b"rows"));
///     let report = EvaluationReport::new(model, rows, Task::BinaryClassification, window.end, 200);
///     let outcome = SignalOutcome::Performance { report: Some(report), labelled: 200 };
///     let found = SignalReport::new(&spec, Verdict::Fail, "accuracy 0.71 is below 0.8", outcome);
///     let report = MonitorReport::new("production".parse()?, window, window.end, 500, vec![found]);
///     let decision = trigger.evaluate(&state, &Signal::Monitored(Box::new(report)), window.end)?;
///     fired.push(decision.fires());
///     (state, start) = (decision.state, window.end);
/// }
/// // The first window is not enough, the third falls into the cooldown.
/// assert_eq!(fired, [false, true, false]);
///
/// let written = serde_json::to_string(&trigger)?;
/// assert_eq!(written, r#"{"signal":"accuracy","windows":2,"cooldown_seconds":604800}"#);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "WindowsWire", into = "WindowsWire")]
pub struct PerformanceTrigger(BadWindows);

impl PerformanceTrigger {
    /// Fires when the monitor's signal of this name is bad for `windows` windows in a row, and not again during the cooldown.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) when `signal` is empty, `windows` is 0 or `cooldown` is
    /// not a whole number of seconds.
    ///
    /// ```
    /// use std::time::Duration;
    /// use mlops_core::retrain::PerformanceTrigger;
    /// let trigger = PerformanceTrigger::new("accuracy", 3, Duration::from_secs(3600))?;
    /// assert_eq!((trigger.signal(), trigger.windows()), ("accuracy", 3));
    /// let error = PerformanceTrigger::new("accuracy", 0, Duration::ZERO).unwrap_err();
    /// assert_eq!(error.context("field"), Some("windows"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn new(signal: impl Into<String>, windows: u32, cooldown: Duration) -> Result<Self> {
        BadWindows::new("PerformanceTrigger::new", signal.into(), windows, cooldown).map(Self)
    }

    /// The name of the monitor's signal.
    pub fn signal(&self) -> &str {
        self.0.signal()
    }

    /// How many bad windows in a row are needed.
    pub fn windows(&self) -> u32 {
        self.0.windows()
    }

    /// How long it is held back after it fired.
    pub fn cooldown(&self) -> Duration {
        self.0.cooldown()
    }
}

impl Trigger for PerformanceTrigger {
    fn evaluate(&self, state: &TriggerState, signal: &Signal, now: Timestamp) -> Result<TriggerDecision> {
        Ok(self.0.evaluate(state, signal, now, |outcome| {
            matches!(outcome, SignalOutcome::Performance { report: Some(_), .. })
        }))
    }

    fn watches(&self) -> Vec<WatchedSignal> {
        vec![WatchedSignal::Performance(self.signal().to_owned())]
    }
}

impl From<PerformanceTrigger> for WindowsWire {
    fn from(trigger: PerformanceTrigger) -> Self {
        trigger.0.into()
    }
}

impl TryFrom<WindowsWire> for PerformanceTrigger {
    type Error = Error;

    fn try_from(wire: WindowsWire) -> Result<Self> {
        let cooldown = wire.cooldown();
        Self::new(wire.signal, wire.windows, cooldown)
    }
}
