//! From one state to the next.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{SecondsFormat, TimeDelta};

use super::rules::check_observation;
use super::{
    AlertCondition, AlertGroup, AlertInput, AlertPhase, AlertRoute, AlertRule, AlertRules, AlertSeries,
    AlertState, Notice, NoticeAlert,
};
use crate::error::{Error, Result, quote};
use crate::hash::Hasher;
use crate::id::IdempotencyKey;
use crate::monitor::{AlertStatus, Severity};
use crate::time::Timestamp;

const STEP: &str = "AlertRules::step";

type Labels = BTreeMap<String, String>;

impl AlertRules {
    /// Looks at one input at the time `now`: the next state, and the notices that are new in it.
    ///
    /// Pure: the same state, input and time give the same answer, keys included. Notices are in the state, too
    /// ([`AlertState::undelivered`]), until [`dispatch`](super::dispatch) has delivered them: keep the state before you send
    /// anything. A clock that goes back makes what was remembered begin again now; it fires nothing twice and silences nothing.
    ///
    /// Cost: proportional to the state, which is copied.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for a state of another schema, for a signal or labels that are
    /// empty or too long; [`ErrorKind::LimitExceeded`](crate::ErrorKind::LimitExceeded) for a new series beyond
    /// [`AlertState::MAX_SERIES`]. The state stays what it was.
    pub fn step(
        &self,
        state: &AlertState,
        input: &AlertInput,
        now: Timestamp,
    ) -> Result<(AlertState, Vec<Notice>)> {
        state.check()?;
        let mut state = state.clone();
        state.not_after(now);
        state
            .series
            .retain(|_, series| self.rule(&series.rule).is_some_and(|rule| rule.takes(&series.labels)));
        if let AlertInput::Observed { signal, labels, value } = input {
            check_observation(signal, labels)?;
            let value = value.filter(|value| value.is_finite());
            for rule in self.rules().iter().filter(|rule| rule.signal == *signal && rule.takes(labels)) {
                observe(&mut state, rule, labels, value, now)?;
            }
        }
        self.rules().iter().try_for_each(|rule| wait_for_data(&mut state, rule, now))?;
        let notices = self.notices(&mut state, now);
        notices.iter().for_each(|notice| state.enqueue(notice));
        Ok((state, notices))
    }
}

/// Rule and labels as one text; different ones never share it.
fn series_key(rule: &AlertRule, labels: &Labels) -> Result<String> {
    key(&(&rule.id, labels))
}

fn key(parts: &impl serde::Serialize) -> Result<String> {
    serde_json::to_string(parts)
        .map_err(|source| Error::invalid(STEP, "labels", "cannot be written down").with_source(source))
}

fn entry<'a>(
    state: &'a mut AlertState,
    rule: &AlertRule,
    labels: &Labels,
    now: Timestamp,
) -> Result<&'a mut AlertSeries> {
    let key = series_key(rule, labels)?;
    if !state.series.contains_key(&key) && state.series.len() >= AlertState::MAX_SERIES {
        let (most, got) = (AlertState::MAX_SERIES, state.series.len() + 1);
        return Err(Error::limit(STEP, "the number of series", most, got).with("rule", &rule.id));
    }
    Ok(state.series.entry(key).or_insert_with(|| AlertSeries {
        rule: rule.id.clone(),
        labels: labels.clone(),
        value: None,
        heard: now,
        awaited: true,
        threshold: AlertPhase::Quiet,
        no_data: AlertPhase::Quiet,
    }))
}

/// Time passed from one moment to a later one; nothing, if it is not later.
fn passed(since: Timestamp, now: Timestamp) -> Duration {
    (now - since).to_std().unwrap_or_default()
}

fn observe(
    state: &mut AlertState,
    rule: &AlertRule,
    labels: &Labels,
    value: Option<f64>,
    now: Timestamp,
) -> Result<()> {
    let series = entry(state, rule, labels, now)?;
    series.awaited = false;
    if let Some(value) = value {
        judge(series, rule, value, now);
    }
    // Whoever waited for any series of this rule has one now.
    state.series.retain(|_, other| other.rule != rule.id || !other.awaited);
    Ok(())
}

fn judge(series: &mut AlertSeries, rule: &AlertRule, value: f64, now: Timestamp) {
    (series.value, series.heard, series.no_data) = (Some(value), now, AlertPhase::Quiet);
    series.threshold = match series.threshold {
        AlertPhase::Firing { .. } if rule.is_recovered(value) => AlertPhase::Quiet,
        firing @ AlertPhase::Firing { .. } => firing,
        _ if !rule.is_bad(value) => AlertPhase::Quiet,
        AlertPhase::Pending { since } => bad_since(rule, since, now),
        AlertPhase::Quiet => bad_since(rule, now, now),
    };
}

fn bad_since(rule: &AlertRule, since: Timestamp, now: Timestamp) -> AlertPhase {
    if passed(since, now) >= rule.for_ { AlertPhase::Firing { since } } else { AlertPhase::Pending { since } }
}

/// Raises what fell silent, and forgets what was silent for long.
fn wait_for_data(state: &mut AlertState, rule: &AlertRule, now: Timestamp) -> Result<()> {
    if let Some(forget) = rule.forget {
        state.series.retain(|_, series| series.rule != rule.id || passed(series.heard, now) < forget);
    }
    let Some(no_data) = rule.no_data else { return Ok(()) };
    let mut any = false;
    for series in state.series.values_mut().filter(|series| series.rule == rule.id) {
        any = true;
        let silent = passed(series.heard, now) >= no_data;
        if silent && series.no_data == AlertPhase::Quiet {
            let step = TimeDelta::from_std(no_data).unwrap_or_default();
            let since = series.heard.checked_add_signed(step).unwrap_or(now);
            series.no_data = AlertPhase::Firing { since };
        }
    }
    // A series that never begins is silent, too: it is waited for under the labels that the rule asks for.
    if !any {
        entry(state, rule, &rule.labels, now)?;
    }
    Ok(())
}

/// An alert that fires: its key within the group, and what to say of it.
type Firing = BTreeMap<String, NoticeAlert>;

impl AlertRules {
    /// What fires now, by group.
    fn firing<'a>(&'a self, state: &AlertState) -> BTreeMap<String, (&'a AlertRoute, Labels, Firing)> {
        let mut groups: BTreeMap<String, (&AlertRoute, Labels, Firing)> = BTreeMap::new();
        for (series_key, series) in &state.series {
            let Some(rule) = self.rule(&series.rule) else { continue };
            for (condition, phase) in
                [(AlertCondition::Threshold, series.threshold), (AlertCondition::NoData, series.no_data)]
            {
                let AlertPhase::Firing { since } = phase else { continue };
                let alert = alert(rule, series, condition, since);
                for route in self.routes_of(&series.labels, rule.severity) {
                    let labels = group_labels(route, &alert);
                    let Ok(key) = key(&(&route.id, &labels)) else { continue };
                    let (_, _, firing) = groups.entry(key).or_insert_with(|| (route, labels, Firing::new()));
                    firing.insert(format!("{condition:?} {series_key}"), alert.clone());
                }
            }
        }
        groups
    }

    /// The first route that takes an alert, and later ones while they go on.
    fn routes_of(&self, labels: &Labels, severity: Severity) -> Vec<&AlertRoute> {
        let mut taken = Vec::new();
        for route in self.routes().iter().filter(|route| route.takes(labels, severity)) {
            taken.push(route);
            if !route.continue_ {
                break;
            }
        }
        taken
    }

    fn notices(&self, state: &mut AlertState, now: Timestamp) -> Vec<Notice> {
        let mut firing = self.firing(state);
        for (key, (route, labels, _)) in &firing {
            if !state.groups.contains_key(key) {
                state.incidents = state.incidents.saturating_add(1);
                let group = AlertGroup {
                    route: route.id.clone(),
                    labels: labels.clone(),
                    incident: state.incidents,
                    opened: now,
                    notices: 0,
                    last_notice: None,
                    told: Firing::new(),
                };
                state.groups.insert(key.clone(), group);
            }
        }
        let mut notices = Vec::new();
        state.groups.retain(|key, group| {
            // A route that is gone has nobody left to tell.
            let Some(route) = self.route(&group.route) else { return false };
            let now_firing = firing.remove(key).map(|(_, _, firing)| firing).unwrap_or_default();
            let over = now_firing.is_empty();
            if over && group.notices == 0 {
                return false;
            }
            if !is_due(route, group, &now_firing, now) {
                return true;
            }
            if !over || route.resolved {
                notices.push(self.notice(route, group, &now_firing, now));
            }
            group.notices = group.notices.saturating_add(1);
            group.last_notice = Some(now);
            group.told = now_firing;
            !over
        });
        notices
    }

    fn notice(&self, route: &AlertRoute, group: &AlertGroup, firing: &Firing, now: Timestamp) -> Notice {
        let ended =
            group.told.iter().filter(|(key, _)| !firing.contains_key(*key)).map(|(_, alert)| ended(alert));
        let alerts: Vec<NoticeAlert> = firing.values().cloned().chain(ended).collect();
        let status = if firing.is_empty() { AlertStatus::Resolved } else { AlertStatus::Firing };
        let of_status = alerts.iter().filter(|alert| alert.status == status);
        let severity = of_status.map(|alert| alert.severity).max().unwrap_or(Severity::Info);
        let sequence = group.notices.saturating_add(1);
        let digest = Hasher::new("mlops.alert-notice/v1")
            .field(self.name().as_str())
            .field(&group.route)
            .field(group.opened.timestamp_micros().to_le_bytes())
            .field(group.incident.to_le_bytes())
            .field(sequence.to_le_bytes());
        let digest =
            group.labels.iter().fold(digest, |digest, (name, value)| digest.field(name).field(value));
        Notice {
            key: IdempotencyKey::from_digest(&digest.finish()),
            rules: self.name().clone(),
            route: route.id.clone(),
            sinks: route.sinks.clone(),
            status,
            severity,
            group: group.labels.clone(),
            alerts,
            at: now,
            incident: group.incident,
            sequence,
        }
    }
}

/// Whether a group has something to say now.
fn is_due(route: &AlertRoute, group: &AlertGroup, firing: &Firing, now: Timestamp) -> bool {
    let Some(last) = group.last_notice else { return passed(group.opened, now) >= route.wait };
    let changed = !group.told.keys().eq(firing.keys());
    passed(last, now)
        >= if firing.is_empty() {
            // That it is over is told at once: somebody is working on it.
            Duration::ZERO
        } else if changed {
            route.interval
        } else {
            route.repeat
        }
}

/// The labels by which a route puts alerts together; a label that an alert does not have is empty.
fn group_labels(route: &AlertRoute, alert: &NoticeAlert) -> Labels {
    let value = |name: &str| match name {
        "rule" => alert.rule.clone(),
        "signal" => alert.signal.clone(),
        "severity" => match alert.severity {
            Severity::Info => "info".to_owned(),
            Severity::Warning => "warning".to_owned(),
            Severity::Critical => "critical".to_owned(),
        },
        _ => alert.labels.get(name).cloned().unwrap_or_default(),
    };
    route.group_by.iter().map(|name| (name.clone(), value(name))).collect()
}

fn alert(rule: &AlertRule, series: &AlertSeries, condition: AlertCondition, since: Timestamp) -> NoticeAlert {
    NoticeAlert {
        rule: rule.id.clone(),
        signal: rule.signal.clone(),
        condition,
        status: AlertStatus::Firing,
        severity: rule.severity,
        labels: series.labels.clone(),
        since,
        value: series.value,
        message: message(rule, series, condition, since),
    }
}

fn message(rule: &AlertRule, series: &AlertSeries, condition: AlertCondition, since: Timestamp) -> String {
    let signal = quote(&rule.signal);
    let what = match (condition, series.value, rule.above, rule.below) {
        (AlertCondition::Threshold, Some(value), Some(threshold), _) => {
            format!("{signal} is {value}, was above {threshold} since {}", shown(since))
        }
        (AlertCondition::Threshold, Some(value), _, Some(threshold)) => {
            format!("{signal} is {value}, was below {threshold} since {}", shown(since))
        }
        (AlertCondition::NoData, Some(_), ..) => {
            format!("{signal} has had no value since {}", shown(series.heard))
        }
        _ => format!("{signal} has never had a value, waited for since {}", shown(series.heard)),
    };
    let of = shown_labels(&series.labels);
    match rule.summary.as_str() {
        "" => format!("{what}{of}"),
        summary => format!("{summary}: {what}{of}"),
    }
}

/// An alert that was told and fires no more. Why it ended is not said: its last value may be older than that.
fn ended(alert: &NoticeAlert) -> NoticeAlert {
    let (signal, since, of) = (quote(&alert.signal), shown(alert.since), shown_labels(&alert.labels));
    let message = format!("{signal} fires no more; it was wrong since {since}{of}");
    NoticeAlert { status: AlertStatus::Resolved, message, ..alert.clone() }
}

fn shown(at: Timestamp) -> String {
    at.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

fn shown_labels(labels: &Labels) -> String {
    let labels: Vec<String> =
        labels.iter().map(|(name, value)| format!("{}={}", quote(name), quote(value))).collect();
    if labels.is_empty() { String::new() } else { format!(" ({})", labels.join(", ")) }
}
