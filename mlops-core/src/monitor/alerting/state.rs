//! What is remembered from one look to the next.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Notice, NoticeAlert};
use crate::error::{Error, Result};
use crate::evaluation::Verdict;
use crate::monitor::{MonitorReport, OperationReport, SignalReport};
use crate::time::Timestamp;

/// What [`AlertRules::step`](super::AlertRules::step) looks at.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertInput {
    /// A number was measured, or could not be.
    Observed {
        /// Its name.
        signal: String,
        /// What it is of: endpoint, deployment, feature.
        labels: BTreeMap<String, String>,
        /// The number; `None`, NaN and the infinities are no value.
        value: Option<f64>,
    },
    /// Time passed: what waits, repeats or fell silent is looked at. Send one as often as these should be exact.
    Tick,
}

impl AlertInput {
    /// The signal under which reports of monitors are observed.
    pub const MONITOR_SIGNAL: &str = "monitor_signal";

    /// A number without labels.
    pub fn value(signal: impl Into<String>, value: f64) -> Self {
        Self::Observed { signal: signal.into(), labels: BTreeMap::new(), value: Some(value) }
    }

    /// Every signal of a monitor's report: `monitor_signal` is 1 where it fails and 0 where it passes, and has no value where there
    /// was too little data. Labels are `monitor` and `signal`.
    ///
    /// ```
    /// use mlops_core::evaluation::Verdict;
    /// use mlops_core::monitor::alerting::AlertInput;
    /// use mlops_core::monitor::{MonitorReport, SignalKind, SignalOutcome, SignalReport, SignalSpec, Window};
    /// let (start, end) = ("2026-01-01T00:00:00Z".parse()?, "2026-01-02T00:00:00Z".parse()?);
    /// let spec = SignalSpec::new("inputs", SignalKind::DataDrift);
    /// let signal = SignalReport::new(&spec, Verdict::Insufficient, "no rows", SignalOutcome::Failed("no rows".into()));
    /// let report = MonitorReport::new("diabetes".parse()?, Window::new(start, end)?, end, 0, vec![signal]);
    /// let AlertInput::Observed { value, labels, .. } = &AlertInput::of_monitor(&report)[0] else { return Err("a tick".into()) };
    /// assert_eq!((*value, labels["signal"].as_str()), (None, "inputs"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn of_monitor(report: &MonitorReport) -> Vec<Self> {
        let observed = |found: &SignalReport| Self::Observed {
            signal: Self::MONITOR_SIGNAL.to_owned(),
            labels: [("monitor", report.monitor.as_str()), ("signal", found.signal.as_str())]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
            value: match found.verdict {
                Verdict::Fail => Some(1.0),
                Verdict::Pass => Some(0.0),
                Verdict::Insufficient => None,
            },
        };
        report.signals.iter().map(observed).collect()
    }

    /// Every number of a window of operation, with these labels.
    ///
    /// ```
    /// use std::time::Duration;
    /// use mlops_core::monitor::alerting::AlertInput;
    /// use mlops_core::monitor::{OperationReport, OperationSeries, Window};
    /// let (start, minute) = ("2026-01-01T00:00:00Z".parse()?, Duration::from_secs(60));
    /// let report = OperationSeries::new(minute)?.report(&Window::new(start, start + minute)?)?;
    /// assert_eq!(AlertInput::of_operation(&report, &[("endpoint", "diabetes")]).len(), OperationReport::SIGNALS.len());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn of_operation(report: &OperationReport, labels: &[(&str, &str)]) -> Vec<Self> {
        let labels: BTreeMap<String, String> =
            labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let observed = |(signal, value): (&str, _)| Self::Observed {
            signal: signal.to_owned(),
            labels: labels.clone(),
            value,
        };
        report.signals().map(observed).collect()
    }
}

/// How far an alert is.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertPhase {
    /// Nothing is wrong.
    #[default]
    Quiet,
    /// Wrong, but not for long enough.
    Pending {
        /// Since when.
        since: Timestamp,
    },
    /// It fires.
    Firing {
        /// Since when it is wrong.
        since: Timestamp,
    },
}

/// One series under one rule.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AlertSeries {
    /// The rule.
    pub rule: String,
    /// The labels of the series.
    pub labels: BTreeMap<String, String>,
    /// The last value; `None` before the first.
    pub value: Option<f64>,
    /// When it came, or since when it is waited for.
    pub heard: Timestamp,
    /// Whether nothing at all was observed yet: a stand-in for whatever series the rule may take.
    pub awaited: bool,
    /// Whether the value is wrong.
    pub threshold: AlertPhase,
    /// Whether the value is missing.
    pub no_data: AlertPhase,
}

/// One group of alerts on a route, from its first alert to its last.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AlertGroup {
    /// The route.
    pub route: String,
    /// The labels that make the group.
    pub labels: BTreeMap<String, String>,
    /// Its number.
    pub incident: u64,
    /// When it began.
    pub opened: Timestamp,
    /// How many notices were made.
    pub notices: u64,
    /// When the last one was.
    pub last_notice: Option<Timestamp>,
    /// What the last one said was firing, by the key of the alert.
    pub told: BTreeMap<String, NoticeAlert>,
}

/// A notice that has not reached all its sinks.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UndeliveredNotice {
    /// The notice.
    pub notice: Notice,
    /// The sinks that do not have it.
    pub waiting: BTreeSet<String>,
    /// How often delivery was tried.
    pub attempts: u32,
    /// Why the last try failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
}

/// Everything that rules remember. Keep it after every call; it is plain data, and may be written down.
///
/// Rules may change between calls: series of rules that are gone, and groups of routes that are gone, end.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AlertState {
    /// The version of this shape: 1.
    pub schema: u32,
    /// When it last looked.
    pub last_seen: Option<Timestamp>,
    /// How many groups there were.
    pub incidents: u64,
    /// The series, by rule and labels.
    pub series: BTreeMap<String, AlertSeries>,
    /// The groups, by route and labels.
    pub groups: BTreeMap<String, AlertGroup>,
    /// Notices that are still to be delivered, oldest first.
    pub undelivered: Vec<UndeliveredNotice>,
    /// How many notices were given up because [`MAX_UNDELIVERED`](Self::MAX_UNDELIVERED) others waited: each of them is a
    /// failure that somebody has to look at.
    pub given_up: u64,
}

impl Default for AlertState {
    fn default() -> Self {
        Self {
            schema: 1,
            last_seen: None,
            incidents: 0,
            series: BTreeMap::new(),
            groups: BTreeMap::new(),
            undelivered: Vec::new(),
            given_up: 0,
        }
    }
}

impl AlertState {
    /// The most series, over all rules.
    pub const MAX_SERIES: usize = 10_000;

    /// The most notices that wait; beyond, the oldest is given up and counted.
    pub const MAX_UNDELIVERED: usize = 10_000;

    /// The alerts that fire, by rule and labels.
    pub fn firing(&self) -> impl Iterator<Item = &AlertSeries> {
        let fires = |phase: AlertPhase| matches!(phase, AlertPhase::Firing { .. });
        self.series.values().filter(move |series| fires(series.threshold) || fires(series.no_data))
    }

    pub(super) fn check(&self) -> Result<()> {
        const OP: &str = "AlertRules::step";
        if self.schema != 1 {
            return Err(Error::invalid(OP, "schema", "is not known here").with("value", self.schema));
        }
        let (series, most) = (self.series.len(), Self::MAX_SERIES);
        if series > most {
            return Err(Error::limit(OP, "the number of series", most, series));
        }
        Ok(())
    }

    pub(super) fn enqueue(&mut self, notice: &Notice) {
        let waiting = notice.sinks.clone();
        self.undelivered.push(UndeliveredNotice {
            notice: notice.clone(),
            waiting,
            attempts: 0,
            last_error: None,
        });
        let over = self.undelivered.len().saturating_sub(Self::MAX_UNDELIVERED);
        self.undelivered.drain(..over);
        self.given_up = self.given_up.saturating_add(over as u64);
    }

    /// No time lies after `now`: what was remembered by a clock that was ahead begins again now.
    pub(super) fn not_after(&mut self, now: Timestamp) {
        let ahead = self.last_seen.is_some_and(|seen| seen > now);
        self.last_seen = Some(now);
        if !ahead {
            return;
        }
        let clamp = |phase: &mut AlertPhase| match phase {
            AlertPhase::Pending { since } | AlertPhase::Firing { since } => *since = (*since).min(now),
            AlertPhase::Quiet => {}
        };
        for series in self.series.values_mut() {
            series.heard = series.heard.min(now);
            clamp(&mut series.threshold);
            clamp(&mut series.no_data);
        }
        for group in self.groups.values_mut() {
            group.opened = group.opened.min(now);
            group.last_notice = group.last_notice.map(|last| last.min(now));
        }
    }
}
