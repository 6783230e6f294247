//! What a monitor's event says.

use mlops_core::retrain::Signal;
use mlops_core::retrain::event_source::IncomingEvent;
use serde_json::Value;

use crate::wire::event::{BREACH_TEXT, RUN_STATUS_CHANGED};

/// A model monitor is over a threshold, and says so by an event.
///
/// Which number it was and how far it went, the event does not say; and that there is no event does not say that all is well: a
/// metric that cannot be computed is left out, and failed runs raise none.
///
/// ```
/// use mlops_azure::monitor::Breach;
/// use mlops_core::retrain::event_source::{EventGrid, Received};
///
/// let body = br#"[{"topic": "/subscriptions/s", "id": "1", "eventType": "Microsoft.MachineLearningServices.RunStatusChanged",
///   "data": {"runId": "r", "RunTags": {"AzureML_ModelMonitor_Threshold_Breached":
///     "churn-monitor_inputs has failed due to one or more features violating metric thresholds"}}}]"#;
/// let Received::Events(events) = EventGrid::receive(body)? else { return Err("a handshake".into()) };
/// let breach = Breach::of(&events[0]).ok_or("no breach")?;
/// assert_eq!((breach.run.as_deref(), breach.is_of("churn-monitor", "inputs")), (Some("r"), true));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq)]
pub struct Breach {
    /// The workspace that tells.
    pub source: String,
    /// The event's id: the same event may arrive more than once.
    pub event: String,
    /// The run that computed the monitor.
    pub run: Option<String>,
    /// What is over its threshold, as the service names it: the signal, or monitor and signal with `_` between.
    pub subject: String,
    /// The event, for core's triggers.
    pub signal: Signal,
}

/// The tag that says so.
const TAG: &str = "azureml_modelmonitor_threshold_breached";

impl Breach {
    /// What an event says, if it says that a threshold is breached. Keys are compared without case.
    pub fn of(event: &IncomingEvent) -> Option<Self> {
        if !event.kind.eq_ignore_ascii_case(RUN_STATUS_CHANGED) {
            return None;
        }
        let text = event.at(&["runTags", TAG])?.as_str()?;
        let (before, _) = text.split_once(BREACH_TEXT)?;
        Some(Self {
            source: event.source.clone(),
            event: event.id.clone(),
            run: event.at(&["runId"]).and_then(Value::as_str).map(str::to_owned),
            subject: subject(before).to_owned(),
            signal: event.signal(),
        })
    }

    /// Whether it is about this signal of this monitor.
    pub fn is_of(&self, monitor: &str, signal: &str) -> bool {
        let both = self.subject.strip_prefix(monitor).and_then(|rest| rest.strip_prefix('_'));
        self.subject == signal || both == Some(signal)
    }
}

/// `The signal 'inputs' ` and `monitor_inputs ` are both written.
fn subject(before: &str) -> &str {
    let quoted = before.split_once('\'').and_then(|(_, rest)| rest.rsplit_once('\''));
    quoted.map_or(before.trim(), |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_to_name_a_signal_are_read() {
        assert_eq!(subject("The signal 'inputs' "), "inputs");
        assert_eq!(subject("churn_inputs "), "churn_inputs");
        assert_eq!(subject("The signal 'it's' "), "it's");
    }
}
