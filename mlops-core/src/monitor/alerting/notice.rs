//! What somebody is told.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::id::{IdempotencyKey, MonitorName};
use crate::monitor::{Alert, AlertStatus, Severity};
use crate::time::Timestamp;

/// Which part of a rule an alert is of.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertCondition {
    /// The value is on the wrong side of the threshold.
    Threshold,
    /// There is no value.
    NoData,
}

/// One alert in a notice.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoticeAlert {
    /// The rule.
    pub rule: String,
    /// The signal it looks at.
    pub signal: String,
    /// Which part of the rule.
    pub condition: AlertCondition,
    /// Whether it fires, or has ended since the last notice.
    pub status: AlertStatus,
    /// How urgent it is.
    pub severity: Severity,
    /// The labels of the series.
    pub labels: BTreeMap<String, String>,
    /// Since when it is so.
    pub since: Timestamp,
    /// The last value of the series; `None` before the first.
    pub value: Option<f64>,
    /// What is wrong, as a sentence.
    pub message: String,
}

/// What one group of alerts has to say.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Notice {
    /// The same notice has the same key, whenever and however often it is made from the same state.
    pub key: IdempotencyKey,
    /// The rules it comes from.
    pub rules: MonitorName,
    /// The route it takes.
    pub route: String,
    /// The sinks at its end.
    pub sinks: BTreeSet<String>,
    /// Whether anything fires.
    pub status: AlertStatus,
    /// The highest severity of what fires, or of what did.
    pub severity: Severity,
    /// The labels that its alerts have in common by `group_by`.
    pub group: BTreeMap<String, String>,
    /// What fires, and what has ended since the last notice.
    pub alerts: Vec<NoticeAlert>,
    /// When it was made.
    pub at: Timestamp,
    /// Counts the groups: the notices of one incident share it.
    pub incident: u64,
    /// Counts the notices of the incident, from 1.
    pub sequence: u64,
}

impl Notice {
    /// The most alerts that the message spells out.
    const SPELT_OUT: usize = 10;

    /// As what an [`AlertSink`](crate::monitor::AlertSink) takes: one alert for the group, its message a line that spells out up
    /// to ten members.
    pub fn to_alert(&self) -> Alert {
        let signals: BTreeSet<&str> = self.alerts.iter().map(|alert| alert.signal.as_str()).collect();
        let signals: Vec<&str> = signals.into_iter().take(Self::SPELT_OUT).collect();
        Alert {
            key: self.key.clone(),
            monitor: self.rules.clone(),
            signal: signals.join(", "),
            severity: self.severity,
            message: self.message(),
            at: self.at,
            status: self.status,
            labels: self.group.clone(),
        }
    }

    fn message(&self) -> String {
        let count = |status| self.alerts.iter().filter(|alert| alert.status == status).count();
        let (firing, resolved) = (count(AlertStatus::Firing), count(AlertStatus::Resolved));
        let mut message = match (firing, resolved) {
            (0, _) => format!("{resolved} resolved"),
            (_, 0) => format!("{firing} firing"),
            _ => format!("{firing} firing, {resolved} resolved"),
        };
        for (place, alert) in self.alerts.iter().take(Self::SPELT_OUT).enumerate() {
            message += if place == 0 { ": " } else { "; " };
            message += &alert.message;
        }
        match self.alerts.len().saturating_sub(Self::SPELT_OUT) {
            0 => message,
            more => format!("{message}; and {more} more"),
        }
    }
}
