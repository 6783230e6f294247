//! What is wrong, and who hears of it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::id::MonitorName;
use crate::monitor::Severity;
use crate::time::duration_text;

/// The most rules, and the most routes.
const MAX_RULES: usize = 1_000;
/// The most labels, sinks, and names to group by.
const MAX_LABELS: usize = 32;
/// The longest id, label or name of a signal, in bytes.
const MAX_TEXT: usize = 256;
/// The longest duration.
const MAX_DURATION: Duration = Duration::from_secs(10 * 366 * 86_400);

/// A number that must stay on one side of a threshold, and must keep coming.
///
/// * **Threshold.** The value is bad when it is greater than `above`, or less than `below`. Once it was bad at every observation
///   for at least [`for_`](Self::for_) (in files `for`), the alert fires: at an observation, never because time passed without one.
/// * **Hysteresis.** It ends when a value is back at `recovery` or better. A value between recovery and threshold changes
///   nothing: it starts no alert and ends none, but it ends the waiting.
/// * **Dead man.** With `no_data`, an alert of its own fires when a series has had no value for so long, also when there never was
///   one. A value that is undefined, NaN or infinite is no value: what cannot be computed raises this alert in the end, instead
///   of never raising any.
/// * Every set of labels is a series of its own. The rule looks at those that carry its `labels`.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AlertRule {
    /// Its name among the rules: letters, digits, `.`, `_` and `-`.
    pub id: String,
    /// The signal it looks at: `error_rate`. That there is one is for [`AlertRules::check_signals`] to say.
    pub signal: String,
    /// What the labels of a series must hold. Default: nothing.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// The greatest value that is still good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub above: Option<f64>,
    /// The least value that is still good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub below: Option<f64>,
    /// Where the alert ends; on the good side of the threshold, or on it. Default: the threshold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovery: Option<f64>,
    /// For how long the value must be bad. Default: not at all, the first bad value fires.
    #[serde(default, rename = "for", with = "duration_text")]
    pub for_: Duration,
    /// After how long without a value the alarm is raised. Default: never.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "duration_text::option")]
    pub no_data: Option<Duration>,
    /// After how long without a value a series and its alerts are forgotten; longer than `no_data`. Default: never, a deployment
    /// that fell silent while it was failing has not recovered.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "duration_text::option")]
    pub forget: Option<Duration>,
    /// How urgent it is. Default: warning.
    #[serde(default = "warning")]
    pub severity: Severity,
    /// What to tell people first. Default: nothing but the numbers.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub summary: String,
}

fn warning() -> Severity {
    Severity::Warning
}

impl AlertRule {
    /// A rule that warns of nothing yet.
    pub fn new(id: impl Into<String>, signal: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            signal: signal.into(),
            labels: BTreeMap::new(),
            above: None,
            below: None,
            recovery: None,
            for_: Duration::ZERO,
            no_data: None,
            forget: None,
            severity: Severity::Warning,
            summary: String::new(),
        }
    }

    /// Bad above a threshold, well again at `recovery` or below.
    #[must_use]
    pub fn with_above(mut self, threshold: f64, recovery: f64) -> Self {
        (self.above, self.below, self.recovery) = (Some(threshold), None, Some(recovery));
        self
    }

    /// Bad below a threshold, well again at `recovery` or above.
    #[must_use]
    pub fn with_below(mut self, threshold: f64, recovery: f64) -> Self {
        (self.above, self.below, self.recovery) = (None, Some(threshold), Some(recovery));
        self
    }

    /// Sets for how long the value must be bad.
    #[must_use]
    pub fn with_for(mut self, length: Duration) -> Self {
        self.for_ = length;
        self
    }

    /// Raises the alarm after so long without a value.
    #[must_use]
    pub fn with_no_data(mut self, after: Duration) -> Self {
        self.no_data = Some(after);
        self
    }

    /// Forgets a series after so long without a value.
    #[must_use]
    pub fn with_forget(mut self, after: Duration) -> Self {
        self.forget = Some(after);
        self
    }

    /// Looks at series with this label alone.
    #[must_use]
    pub fn with_label(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.labels.insert(name.into(), value.into());
        self
    }

    /// Sets how urgent it is.
    #[must_use]
    pub fn with_severity(mut self, severity: Severity) -> Self {
        self.severity = severity;
        self
    }

    /// Sets what to tell people first.
    #[must_use]
    pub fn with_summary(mut self, summary: impl Into<String>) -> Self {
        self.summary = summary.into();
        self
    }

    /// Whether a value is bad; finite values only.
    pub(super) fn is_bad(&self, value: f64) -> bool {
        self.above.is_some_and(|threshold| value > threshold)
            || self.below.is_some_and(|threshold| value < threshold)
    }

    /// Whether a value ends an alert; finite values only.
    pub(super) fn is_recovered(&self, value: f64) -> bool {
        match (self.above, self.below) {
            (Some(threshold), _) => value <= self.recovery.unwrap_or(threshold),
            (_, Some(threshold)) => value >= self.recovery.unwrap_or(threshold),
            (None, None) => true,
        }
    }

    /// Whether it looks at a series with these labels.
    pub(super) fn takes(&self, labels: &BTreeMap<String, String>) -> bool {
        carries(labels, &self.labels)
    }

    fn check(&self) -> Result<(), Wrong> {
        check_id(&self.id)?;
        check_text("signal", &self.signal)?;
        check_labels(&self.labels)?;
        for (key, value) in [("above", self.above), ("below", self.below), ("recovery", self.recovery)] {
            if let Some(value) = value.filter(|value| !value.is_finite()) {
                return Err(Wrong::at(key, format!("must be finite, got {value}")));
            }
        }
        match (self.above, self.below, self.recovery) {
            (Some(_), Some(_), _) => {
                return Err(Wrong::at("below", "a rule has `above` or `below`, not both"));
            }
            (None, None, Some(_)) => return Err(Wrong::at("recovery", "needs `above` or `below`")),
            (None, None, None) if self.no_data.is_none() => {
                return Err(Wrong::at("id", "a rule needs `above`, `below` or `no_data`"));
            }
            (None, None, None) if !self.for_.is_zero() => {
                return Err(Wrong::at("for", "needs `above` or `below`"));
            }
            (Some(threshold), _, Some(recovery)) if recovery > threshold => {
                return Err(Wrong::at("recovery", format!("must be at most {threshold}, got {recovery}")));
            }
            (_, Some(threshold), Some(recovery)) if recovery < threshold => {
                return Err(Wrong::at("recovery", format!("must be at least {threshold}, got {recovery}")));
            }
            _ => {}
        }
        check_duration("for", self.for_)?;
        for (key, length) in [("no_data", self.no_data), ("forget", self.forget)] {
            let Some(length) = length else { continue };
            check_duration(key, length)?;
            if length.is_zero() {
                return Err(Wrong::at(key, "must be longer than nothing"));
            }
        }
        if let (Some(no_data), Some(forget)) = (self.no_data, self.forget)
            && forget <= no_data
        {
            return Err(Wrong::at("forget", "must be longer than `no_data`, which would never be raised"));
        }
        if self.summary.len() > 4 * MAX_TEXT {
            return Err(Wrong::at("summary", format!("has at most {} bytes", 4 * MAX_TEXT)));
        }
        Ok(())
    }
}

/// Who hears of alerts, how they are put together, and how often.
///
/// An alert goes to the first route that takes it, and on to later ones while these `continue`. On a route, alerts that agree
/// in the labels of `group_by` are one group, and a group is one notice:
///
/// * the first one `wait` after its first alert, so that what breaks together is told together;
/// * another one when alerts came or went, `interval` after the last one at the earliest;
/// * the same again every `repeat`, as long as something fires;
/// * a last one, resolved, when nothing fires any more. A group that was over before its first notice is told to nobody.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AlertRoute {
    /// Its name among the routes: letters, digits, `.`, `_` and `-`.
    pub id: String,
    /// What the labels of an alert must hold. Default: nothing.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// How urgent an alert must be at least. Default: whatever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_severity: Option<Severity>,
    /// The labels that make a group; `rule`, `severity` and `signal` are among them. Default: `rule`.
    #[serde(default = "by_rule")]
    pub group_by: BTreeSet<String>,
    /// The names of the sinks. That they are there is for [`AlertRules::check_sinks`] to say.
    pub sinks: BTreeSet<String>,
    /// How long the first notice waits for more. Default: not at all.
    #[serde(default, with = "duration_text")]
    pub wait: Duration,
    /// How long a changed group waits after the last notice. Default: 5 minutes.
    #[serde(default = "five_minutes", with = "duration_text")]
    pub interval: Duration,
    /// After how long an unchanged group is told again. Default: 4 hours.
    #[serde(default = "four_hours", with = "duration_text")]
    pub repeat: Duration,
    /// Whether it is told that a group has ended. Default: yes.
    #[serde(default = "yes")]
    pub resolved: bool,
    /// Whether later routes see the alert, too. Default: no.
    #[serde(default, rename = "continue")]
    pub continue_: bool,
}

fn by_rule() -> BTreeSet<String> {
    ["rule".to_owned()].into()
}

fn five_minutes() -> Duration {
    Duration::from_secs(300)
}

fn four_hours() -> Duration {
    Duration::from_secs(4 * 3_600)
}

fn yes() -> bool {
    true
}

impl AlertRoute {
    /// A route that takes everything, with the defaults above.
    pub fn new(id: impl Into<String>, sinks: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            id: id.into(),
            labels: BTreeMap::new(),
            min_severity: None,
            group_by: by_rule(),
            sinks: sinks.into_iter().map(Into::into).collect(),
            wait: Duration::ZERO,
            interval: five_minutes(),
            repeat: four_hours(),
            resolved: true,
            continue_: false,
        }
    }

    /// Takes alerts with this label alone.
    #[must_use]
    pub fn with_label(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.labels.insert(name.into(), value.into());
        self
    }

    /// Takes alerts that are so urgent at least.
    #[must_use]
    pub fn with_min_severity(mut self, severity: Severity) -> Self {
        self.min_severity = Some(severity);
        self
    }

    /// Sets the labels that make a group.
    #[must_use]
    pub fn with_group_by(mut self, labels: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.group_by = labels.into_iter().map(Into::into).collect();
        self
    }

    /// Sets how long the first notice, a changed group and an unchanged group wait.
    #[must_use]
    pub fn with_times(mut self, wait: Duration, interval: Duration, repeat: Duration) -> Self {
        (self.wait, self.interval, self.repeat) = (wait, interval, repeat);
        self
    }

    /// Does not tell that a group has ended.
    #[must_use]
    pub fn without_resolved(mut self) -> Self {
        self.resolved = false;
        self
    }

    /// Lets later routes see the alert, too.
    #[must_use]
    pub fn with_continue(mut self) -> Self {
        self.continue_ = true;
        self
    }

    fn takes_everything(&self) -> bool {
        self.labels.is_empty() && self.min_severity.is_none()
    }

    /// Whether it takes an alert with these labels.
    pub(super) fn takes(&self, labels: &BTreeMap<String, String>, severity: Severity) -> bool {
        carries(labels, &self.labels) && self.min_severity.is_none_or(|least| severity >= least)
    }

    fn check(&self) -> Result<(), Wrong> {
        check_id(&self.id)?;
        check_labels(&self.labels)?;
        for (key, names) in [("sinks", &self.sinks), ("group_by", &self.group_by)] {
            if names.len() > MAX_LABELS {
                return Err(Wrong::at(key, format!("has at most {MAX_LABELS} names, got {}", names.len())));
            }
            names.iter().try_for_each(|name| check_text(key, name))?;
        }
        if self.sinks.is_empty() {
            return Err(Wrong::at("sinks", "nobody would hear of it"));
        }
        for (key, length) in [("wait", self.wait), ("interval", self.interval), ("repeat", self.repeat)] {
            check_duration(key, length)?;
        }
        if self.repeat.is_zero() {
            return Err(Wrong::at("repeat", "must be longer than nothing: every look would send a notice"));
        }
        Ok(())
    }
}

/// Rules and routes.
///
/// The last route takes every alert: none is lost because nobody thought of it.
///
/// ```
/// use mlops_core::monitor::alerting::{AlertRoute, AlertRule, AlertRules};
///
/// let rule = AlertRule::new("errors", "error_rate").with_above(0.05, 0.02);
/// let picky = AlertRoute::new("blue", ["pager"]).with_label("deployment", "blue");
/// let error = AlertRules::new("diabetes".parse()?, vec![rule.clone()], vec![picky.clone()]).unwrap_err();
/// assert_eq!(error.context("field"), Some("routes"));
/// let rest = AlertRoute::new("rest", ["inbox"]);
/// assert_eq!(AlertRules::new("diabetes".parse()?, vec![rule], vec![picky, rest])?.routes().len(), 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "RulesWire", into = "RulesWire")]
pub struct AlertRules {
    name: MonitorName,
    rules: Vec<AlertRule>,
    routes: Vec<AlertRoute>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RulesWire {
    pub(super) name: MonitorName,
    pub(super) rules: Vec<AlertRule>,
    pub(super) routes: Vec<AlertRoute>,
}

impl From<AlertRules> for RulesWire {
    fn from(rules: AlertRules) -> Self {
        Self { name: rules.name, rules: rules.rules, routes: rules.routes }
    }
}

impl TryFrom<RulesWire> for AlertRules {
    type Error = Error;

    fn try_from(wire: RulesWire) -> Result<Self> {
        Self::new(wire.name, wire.rules, wire.routes)
    }
}

/// What is wrong: with which entry of which list, at which key.
#[derive(Debug)]
pub(super) struct Wrong {
    pub(super) list: &'static str,
    /// The entry's place and id; `None` where it is the list.
    pub(super) entry: Option<(usize, String)>,
    pub(super) key: &'static str,
    pub(super) message: String,
}

impl Wrong {
    fn at(key: &'static str, message: impl Into<String>) -> Self {
        Self { list: "", entry: None, key, message: message.into() }
    }

    fn list(list: &'static str, message: impl Into<String>) -> Self {
        Self { list, entry: None, key: list, message: message.into() }
    }

    fn within(mut self, list: &'static str, place: usize, id: &str) -> Self {
        (self.list, self.entry) = (list, Some((place, id.to_owned())));
        self
    }
}

impl RulesWire {
    pub(super) fn check(&self) -> Result<(), Wrong> {
        for (list, length) in [("rules", self.rules.len()), ("routes", self.routes.len())] {
            if !(1..=MAX_RULES).contains(&length) {
                return Err(Wrong::list(list, format!("needs 1 to {MAX_RULES} entries, got {length}")));
            }
        }
        let mut seen = BTreeSet::new();
        for (place, rule) in self.rules.iter().enumerate() {
            let checked = rule.check().and_then(|()| new(&mut seen, &rule.id));
            checked.map_err(|wrong| wrong.within("rules", place, &rule.id))?;
        }
        let mut seen = BTreeSet::new();
        for (place, route) in self.routes.iter().enumerate() {
            let checked = route.check().and_then(|()| new(&mut seen, &route.id));
            checked.map_err(|wrong| wrong.within("routes", place, &route.id))?;
        }
        match self.routes.last() {
            Some(last) if last.takes_everything() => Ok(()),
            _ => Err(Wrong::list(
                "routes",
                "the last route must take every alert: no `labels`, no `min_severity`",
            )),
        }
    }
}

fn new<'a>(seen: &mut BTreeSet<&'a str>, id: &'a str) -> Result<(), Wrong> {
    if seen.insert(id) { Ok(()) } else { Err(Wrong::at("id", "stands twice")) }
}

fn check_id(id: &str) -> Result<(), Wrong> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if (1..=MAX_TEXT).contains(&id.len()) && id.chars().all(plain) {
        return Ok(());
    }
    Err(Wrong::at("id", format!("has 1 to {MAX_TEXT} letters, digits, `.`, `_` and `-`")))
}

fn check_text(key: &'static str, text: &str) -> Result<(), Wrong> {
    if (1..=MAX_TEXT).contains(&text.len()) {
        return Ok(());
    }
    Err(Wrong::at(key, format!("must have 1 to {MAX_TEXT} bytes, got {}", text.len())))
}

fn check_labels(labels: &BTreeMap<String, String>) -> Result<(), Wrong> {
    if labels.len() > MAX_LABELS {
        return Err(Wrong::at("labels", format!("has at most {MAX_LABELS} entries, got {}", labels.len())));
    }
    for (name, value) in labels {
        check_text("labels", name)?;
        if value.len() > MAX_TEXT {
            return Err(Wrong::at("labels", format!("a value has at most {MAX_TEXT} bytes")));
        }
    }
    Ok(())
}

fn check_duration(key: &'static str, length: Duration) -> Result<(), Wrong> {
    if length <= MAX_DURATION { Ok(()) } else { Err(Wrong::at(key, "must be at most ten years")) }
}

/// Whether labels hold everything that is wanted.
fn carries(labels: &BTreeMap<String, String>, wanted: &BTreeMap<String, String>) -> bool {
    wanted.iter().all(|(name, value)| labels.get(name) == Some(value))
}

impl AlertRules {
    /// Rules and routes, checked.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) with the context `field` and, where it lies in a rule or route,
    /// its `list`, `place` and `id`.
    pub fn new(name: MonitorName, rules: Vec<AlertRule>, routes: Vec<AlertRoute>) -> Result<Self> {
        let wire = RulesWire { name, rules, routes };
        wire.check().map_err(|wrong| {
            let error = Error::invalid("AlertRules::new", wrong.key, wrong.message);
            match wrong.entry {
                Some((place, id)) => error.with("list", wrong.list).with("place", place).with("id", id),
                None => error,
            }
        })?;
        Ok(Self::checked(wire))
    }

    pub(super) fn checked(wire: RulesWire) -> Self {
        Self { name: wire.name, rules: wire.rules, routes: wire.routes }
    }

    /// What they are called; alerts name it as their monitor.
    pub fn name(&self) -> &MonitorName {
        &self.name
    }

    /// The rules, in their order.
    pub fn rules(&self) -> &[AlertRule] {
        &self.rules
    }

    /// The routes, in their order.
    pub fn routes(&self) -> &[AlertRoute] {
        &self.routes
    }

    pub(super) fn rule(&self, id: &str) -> Option<&AlertRule> {
        self.rules.iter().find(|rule| rule.id == id)
    }

    pub(super) fn route(&self, id: &str) -> Option<&AlertRoute> {
        self.routes.iter().find(|route| route.id == id)
    }
}

/// Refuses labels and signals that cannot be kept.
pub(super) fn check_observation(signal: &str, labels: &BTreeMap<String, String>) -> Result<()> {
    let checked = check_text("signal", signal).and_then(|()| check_labels(labels));
    checked.map_err(|wrong| Error::invalid("AlertRules::step", wrong.key, wrong.message))
}
