//! The blocks of Azure ML's sweep jobs that say what to optimise, how much it may use and when trials stop.

use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Budget, SweepSpec};
use crate::error::{Error, ErrorKind, Result};
use crate::experiment::sampler::Goal;
use crate::experiment::stopping::{
    Bandit, EvaluationSchedule, MedianStopping, Slack, StoppingSpec, TruncationSelection,
};
use crate::id::MetricKey;

/// `objective`, `limits` and `early_termination` of a sweep job of Azure ML, as its YAML and its REST interface have them.
///
/// What is not given has Azure's defaults: 1000 trials, as many at once as there are trials, 60 days, no limit for one trial, no
/// early termination. A slack of 0 beside another one is none, as the SDK sends it.
///
/// # Example: from YAML to a budget and a policy
/// ```
/// # #[cfg(feature = "yaml")] {
/// use mlops_core::experiment::sweep::{AzureSweep, Budget};
///
/// let job = "
/// type: sweep
/// objective:
///   goal: minimize
///   primary_metric: loss
/// limits:
///   max_total_trials: 20
///   max_concurrent_trials: 4
///   timeout: 7200
/// early_termination:
///   type: bandit
///   slack_factor: 0.1
///   delay_evaluation: 5
/// ";
/// let sweep = AzureSweep::from_yaml("job.yml", job)?;
/// assert_eq!(sweep.budget().max_concurrent, 4);
/// let wire = sweep.to_wire()?;
/// assert_eq!(wire["limits"]["timeout"], "PT2H");
/// assert_eq!(wire["earlyTermination"]["policyType"], "Bandit");
/// assert_eq!(AzureSweep::from_wire(&wire)?, sweep);
/// assert_eq!(AzureSweep::from_yaml("again.yml", &sweep.to_yaml()?)?, sweep);
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq)]
pub struct AzureSweep {
    /// What is optimised.
    pub metric: MetricKey,
    /// Which way it is better.
    pub goal: Goal,
    /// How many trials there may be.
    pub max_total_trials: u64,
    /// How many run at once; as many as there are trials, if not given.
    pub max_concurrent_trials: Option<u64>,
    /// How long the sweep may take, in whole seconds: from a minute to a century.
    pub timeout: Duration,
    /// How long a trial may take, in whole seconds: from a minute to a century.
    pub trial_timeout: Option<Duration>,
    /// When trials stop: [`Bandit`], [`MedianStopping`] or [`TruncationSelection`].
    pub early_termination: Option<StoppingSpec>,
}

/// Azure's default: 60 days.
const TIMEOUT: Duration = Duration::from_secs(5_184_000);
/// The service reads less than a minute as 60 days.
const SHORTEST: Duration = Duration::from_secs(60);
/// Nothing runs for longer than a century: what is read is written again.
const LONGEST: Duration = Duration::from_secs(36_525 * 86_400);

impl AzureSweep {
    /// A sweep with Azure's default limits, without early termination.
    pub fn new(metric: MetricKey, goal: Goal) -> Self {
        Self {
            metric,
            goal,
            max_total_trials: 1000,
            max_concurrent_trials: None,
            timeout: TIMEOUT,
            trial_timeout: None,
            early_termination: None,
        }
    }

    /// What a sweep says in Azure's words. Azure has none for [`Budget::max_first_failures`], which is not sent.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] that names what Azure has no word for: a policy that is not one of its three, a limit of cost
    /// or failures, a lease.
    pub fn of(spec: &SweepSpec) -> Result<Self> {
        const OP: &str = "AzureSweep::of";
        let Budget { max_trials, max_concurrent, max_time, max_trial_time, .. } = spec.budget;
        for (given, what) in [
            (spec.budget.max_cost.is_some(), "a limit of cost"),
            (spec.budget.max_failures.is_some(), "a limit of failures"),
            (spec.budget.lease.is_some(), "a lease"),
        ] {
            if given {
                return Err(Error::unsupported(OP, what));
            }
        }
        let sweep = Self {
            max_total_trials: max_trials,
            max_concurrent_trials: Some(max_concurrent as u64),
            timeout: max_time.unwrap_or(TIMEOUT),
            trial_timeout: max_trial_time,
            early_termination: spec.stopping.clone(),
            ..Self::new(spec.metric.clone(), spec.goal)
        };
        sweep.check(OP).map(|()| sweep)
    }

    /// The budget that the limits say, with this library's defaults for what they do not say.
    pub fn budget(&self) -> Budget {
        let at_once = self.max_concurrent_trials.unwrap_or(self.max_total_trials);
        let at_once = usize::try_from(at_once).unwrap_or(usize::MAX).clamp(1, Budget::MAX_CONCURRENT);
        let budget = Budget::trials(self.max_total_trials.clamp(1, Budget::MAX_TRIALS));
        let mut budget = budget.with_concurrent(at_once).with_time(self.timeout);
        budget.max_trial_time = self.trial_timeout;
        budget
    }

    /// Checks what is written as well as what is read.
    fn check(&self, operation: &'static str) -> Result<()> {
        let bad = |field: &str, message: String| Err(Error::invalid(operation, field, message));
        let most = Budget::MAX_TRIALS;
        for (field, value) in [
            ("max_total_trials", Some(self.max_total_trials)),
            ("max_concurrent_trials", self.max_concurrent_trials),
        ] {
            if let Some(value) = value.filter(|value| !(1..=most).contains(value)) {
                return bad(field, format!("must be from 1 to {most}, got {value}"));
            }
        }
        for (field, time) in [("timeout", Some(self.timeout)), ("trial_timeout", self.trial_timeout)] {
            let Some(time) = time else { continue };
            if time < SHORTEST {
                let message = "must be at least 60 seconds: the service takes less for 60 days";
                return bad(field, format!("{message}, got {time:?}"));
            }
            if time.subsec_nanos() != 0 {
                return bad(field, format!("must be whole seconds, got {time:?}"));
            }
            if time > LONGEST {
                return bad(field, format!("must be at most a century, got {time:?}"));
            }
        }
        match &self.early_termination {
            None
            | Some(
                StoppingSpec::Bandit(_)
                | StoppingSpec::MedianStopping(_)
                | StoppingSpec::TruncationSelection(_),
            ) => Ok(()),
            Some(_) => Err(Error::unsupported(operation, "a policy other than Azure's three")),
        }
    }

    /// Reads the blocks from a sweep job in YAML; other keys of the job are left to others. With the feature `yaml`.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] with `file`, `line`, `column` and `field`; [`ErrorKind::LimitExceeded`] for a text beyond one
    /// mebibyte.
    #[cfg(feature = "yaml")]
    pub fn from_yaml(file: &str, text: &str) -> Result<Self> {
        const OP: &str = "AzureSweep::from_yaml";
        use crate::config::{Document, Format};
        let document = Document::new(OP, file, text, Format::Yaml)?;
        let job: Job = document.parse(None)?;
        let limits = job.limits.unwrap_or_default();
        let sweep = Self {
            max_total_trials: limits.max_total_trials.unwrap_or(1000),
            max_concurrent_trials: limits.max_concurrent_trials,
            timeout: limits.timeout.map_or(TIMEOUT, Duration::from_secs),
            trial_timeout: limits.trial_timeout.map(Duration::from_secs),
            early_termination: job.early_termination.map(|Placed(policy)| policy.into()),
            ..Self::new(job.objective.primary_metric, job.objective.goal)
        };
        sweep.check(OP).map_err(|error| {
            let field = error.context("field").unwrap_or_default().to_owned();
            let at = document.offset(&["limits", &field]).or_else(|| document.offset(&["early_termination"]));
            document.error(&field, at, error.message())
        })?;
        Ok(sweep)
    }

    /// Writes the blocks as they stand in a sweep job in YAML.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] and [`ErrorKind::Unsupported`] for what Azure does not take.
    pub fn to_yaml(&self) -> Result<String> {
        self.check("AzureSweep::to_yaml")?;
        // JSON's texts are YAML's, quoted.
        let metric = Value::from(self.metric.as_str());
        let goal = match self.goal {
            Goal::Minimize => "minimize",
            Goal::Maximize => "maximize",
        };
        let mut out = format!("objective:\n  goal: {goal}\n  primary_metric: {metric}\nlimits:\n");
        let limits = [
            ("max_total_trials", Some(self.max_total_trials)),
            ("max_concurrent_trials", self.max_concurrent_trials),
            ("timeout", Some(self.timeout.as_secs())),
            ("trial_timeout", self.trial_timeout.map(|time| time.as_secs())),
        ];
        for (key, value) in limits {
            out.extend(value.map(|value| format!("  {key}: {value}\n")));
        }
        if let Some(policy) = &self.early_termination {
            out.push_str("early_termination:\n");
            let value = serde_json::to_value(policy).map_err(|e| {
                Error::new(ErrorKind::Internal, "AzureSweep::to_yaml", "a policy cannot be written")
                    .with_source(e)
            })?;
            for (key, value) in value.as_object().into_iter().flatten() {
                let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                out.push_str(&format!("  {key}: {value}\n"));
            }
        }
        Ok(out)
    }

    /// Reads the blocks from a sweep job of the REST interface: `objective`, `limits`, `earlyTermination`. Other properties are
    /// left to others.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] that names the block under `field`.
    pub fn from_wire(job: &Value) -> Result<Self> {
        const OP: &str = "AzureSweep::from_wire";
        let objective: WireObjective = block(OP, job, "objective")?
            .ok_or_else(|| Error::invalid(OP, "objective", "the block is missing"))?;
        let limits: WireLimits = block(OP, job, "limits")?.unwrap_or_default();
        let time = |field: &str, text: Option<String>| {
            let Some(text) = text else { return Ok(None) };
            let bad = || {
                Error::invalid(OP, field, "is no duration as of ISO 8601, such as PT2H").with("value", &text)
            };
            parse_duration(&text).map(Some).ok_or_else(bad)
        };
        let policy: Option<WirePolicy> = block(OP, job, "earlyTermination")?;
        let policy = policy.map(StoppingSpec::try_from).transpose();
        let sweep = Self {
            max_total_trials: limits.max_total_trials.unwrap_or(1000),
            max_concurrent_trials: limits.max_concurrent_trials,
            timeout: time("timeout", limits.timeout)?.unwrap_or(TIMEOUT),
            trial_timeout: time("trialTimeout", limits.trial_timeout)?,
            early_termination: policy
                .map_err(|e| Error::invalid(OP, "earlyTermination", e.to_string()).with_source(e))?,
            ..Self::new(objective.primary_metric, objective.goal.into())
        };
        sweep.check(OP).map(|()| sweep)
    }

    /// Writes the blocks as properties of a sweep job of the REST interface.
    ///
    /// # Errors
    /// As [`Self::to_yaml`].
    pub fn to_wire(&self) -> Result<Value> {
        self.check("AzureSweep::to_wire")?;
        let goal = match self.goal {
            Goal::Minimize => "Minimize",
            Goal::Maximize => "Maximize",
        };
        let mut limits = json!({
            "jobLimitsType": "Sweep",
            "maxTotalTrials": self.max_total_trials,
            "timeout": format_duration(self.timeout),
        });
        if let Some(trials) = self.max_concurrent_trials {
            limits["maxConcurrentTrials"] = trials.into();
        }
        if let Some(time) = self.trial_timeout {
            limits["trialTimeout"] = format_duration(time).into();
        }
        let mut job = json!({
            "objective": {"goal": goal, "primaryMetric": self.metric.as_str()},
            "limits": limits,
        });
        if let Some(policy) = self.early_termination.as_ref().and_then(wire_policy) {
            job["earlyTermination"] = policy;
        }
        Ok(job)
    }
}

fn schedule_json(schedule: EvaluationSchedule) -> Value {
    json!({"evaluationInterval": schedule.evaluation_interval, "delayEvaluation": schedule.delay_evaluation})
}

fn wire_policy(policy: &StoppingSpec) -> Option<Value> {
    let (kind, schedule) = match policy {
        StoppingSpec::Bandit(bandit) => ("Bandit", bandit.schedule),
        StoppingSpec::MedianStopping(median) => ("MedianStopping", median.schedule),
        StoppingSpec::TruncationSelection(truncation) => ("TruncationSelection", truncation.schedule),
        _ => return None,
    };
    let mut out = schedule_json(schedule);
    out["policyType"] = kind.into();
    match policy {
        StoppingSpec::Bandit(bandit) => match bandit.slack() {
            Slack::Factor(slack) => out["slackFactor"] = slack.into(),
            Slack::Amount(slack) => out["slackAmount"] = slack.into(),
        },
        StoppingSpec::TruncationSelection(truncation) => {
            out["truncationPercentage"] = truncation.percentage().into();
            if truncation.exclude_finished_jobs {
                out["excludeFinishedJobs"] = true.into();
            }
        }
        _ => {}
    }
    Some(out)
}

/// A block of a job; none when it is absent or null.
fn block<T: DeserializeOwned>(operation: &'static str, job: &Value, key: &'static str) -> Result<Option<T>> {
    let Some(value) = job.get(key).filter(|value| !value.is_null()) else { return Ok(None) };
    T::deserialize(value)
        .map(Some)
        .map_err(|e| Error::invalid(operation, key, crate::error::quote(&e.to_string())).with_source(e))
}

/// Which slack is given: 0 beside another is none.
fn bandit(
    factor: Option<f64>,
    amount: Option<f64>,
    schedule: EvaluationSchedule,
) -> Result<Bandit, crate::experiment::stopping::StoppingError> {
    let bandit = match (factor, amount) {
        (Some(0.0), Some(amount)) => Bandit::new(Slack::Amount(amount)),
        (Some(factor), Some(0.0)) => Bandit::new(Slack::Factor(factor)),
        (factor, amount) => Bandit::from_settings(factor, amount),
    };
    bandit.map(|bandit| bandit.with_schedule(schedule))
}

// ------------------------------------------------------------------------------------------------------------------- YAML

/// The keys of a job that are read here.
#[cfg(feature = "yaml")]
#[derive(Deserialize)]
struct Job {
    objective: Objective,
    #[serde(default)]
    limits: Option<Limits>,
    #[serde(default)]
    early_termination: Option<Placed>,
}

/// A policy that is checked where it stands, so that an error has its place.
#[cfg(feature = "yaml")]
struct Placed(Policy);

#[cfg(feature = "yaml")]
impl<'de> Deserialize<'de> for Placed {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Placed;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a table with a `type`")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<Placed, A::Error> {
                Policy::deserialize(serde::de::value::MapAccessDeserializer::new(map)).map(Placed)
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

#[cfg(feature = "yaml")]
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Objective {
    goal: Goal,
    primary_metric: MetricKey,
}

#[cfg(feature = "yaml")]
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Limits {
    max_total_trials: Option<u64>,
    max_concurrent_trials: Option<u64>,
    timeout: Option<u64>,
    trial_timeout: Option<u64>,
}

/// Azure's three policies, and no other.
#[cfg(feature = "yaml")]
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Policy {
    Bandit(YamlBandit),
    MedianStopping(MedianStopping),
    TruncationSelection(TruncationSelection),
}

#[cfg(feature = "yaml")]
#[derive(Deserialize)]
#[serde(try_from = "Slacks")]
struct YamlBandit(Bandit);

#[cfg(feature = "yaml")]
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Slacks {
    slack_factor: Option<f64>,
    slack_amount: Option<f64>,
    #[serde(default = "one")]
    evaluation_interval: u64,
    #[serde(default)]
    delay_evaluation: u64,
}

#[cfg(feature = "yaml")]
impl TryFrom<Slacks> for YamlBandit {
    type Error = crate::experiment::stopping::StoppingError;

    fn try_from(slacks: Slacks) -> Result<Self, Self::Error> {
        let Slacks { slack_factor, slack_amount, evaluation_interval, delay_evaluation } = slacks;
        let schedule = EvaluationSchedule { evaluation_interval, delay_evaluation };
        bandit(slack_factor, slack_amount, schedule).map(Self)
    }
}

#[cfg(feature = "yaml")]
impl From<Policy> for StoppingSpec {
    fn from(policy: Policy) -> Self {
        match policy {
            Policy::Bandit(YamlBandit(bandit)) => bandit.into(),
            Policy::MedianStopping(median) => median.into(),
            Policy::TruncationSelection(truncation) => truncation.into(),
        }
    }
}

#[cfg(feature = "yaml")]
fn one() -> u64 {
    1
}

// ------------------------------------------------------------------------------------------------------------------- wire

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct WireObjective {
    goal: WireGoal,
    primary_metric: MetricKey,
}

#[derive(Deserialize)]
enum WireGoal {
    #[serde(alias = "minimize")]
    Minimize,
    #[serde(alias = "maximize")]
    Maximize,
}

impl From<WireGoal> for Goal {
    fn from(goal: WireGoal) -> Self {
        match goal {
            WireGoal::Minimize => Self::Minimize,
            WireGoal::Maximize => Self::Maximize,
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct WireLimits {
    #[serde(rename = "jobLimitsType")]
    _kind: Option<LimitsKind>,
    max_total_trials: Option<u64>,
    max_concurrent_trials: Option<u64>,
    timeout: Option<String>,
    trial_timeout: Option<String>,
}

#[derive(Serialize, Deserialize)]
enum LimitsKind {
    Sweep,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct WirePolicy {
    policy_type: PolicyType,
    evaluation_interval: Option<u64>,
    delay_evaluation: Option<u64>,
    slack_factor: Option<f64>,
    slack_amount: Option<f64>,
    truncation_percentage: Option<u64>,
    exclude_finished_jobs: Option<bool>,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
enum PolicyType {
    Bandit,
    MedianStopping,
    TruncationSelection,
}

/// Why a policy of the REST interface is none.
#[derive(Debug, thiserror::Error)]
enum WireError {
    #[error(transparent)]
    Setting(#[from] crate::experiment::stopping::StoppingError),
    #[error("`{0}` does not belong to this policy")]
    Foreign(&'static str),
}

impl TryFrom<WirePolicy> for StoppingSpec {
    type Error = WireError;

    fn try_from(wire: WirePolicy) -> Result<Self, WireError> {
        let schedule = EvaluationSchedule {
            evaluation_interval: wire.evaluation_interval.unwrap_or(0),
            delay_evaluation: wire.delay_evaluation.unwrap_or(0),
        };
        let kind = wire.policy_type;
        let slack = wire.slack_factor.is_some() || wire.slack_amount.is_some();
        let truncation = wire.truncation_percentage.is_some() || wire.exclude_finished_jobs.is_some();
        for (given, belongs, name) in [
            (slack, PolicyType::Bandit, "slackFactor or slackAmount"),
            (truncation, PolicyType::TruncationSelection, "truncationPercentage or excludeFinishedJobs"),
        ] {
            if given && kind != belongs {
                return Err(WireError::Foreign(name));
            }
        }
        Ok(match kind {
            PolicyType::Bandit => match (wire.slack_factor, wire.slack_amount) {
                // Both left at the interface's default, 0.
                (None, None) => Bandit::new(Slack::Amount(0.0))?.with_schedule(schedule).into(),
                (factor, amount) => bandit(factor, amount, schedule)?.into(),
            },
            PolicyType::MedianStopping => MedianStopping::from(schedule).into(),
            PolicyType::TruncationSelection => {
                let percentage = wire.truncation_percentage.unwrap_or(0);
                let percentage = u8::try_from(percentage).unwrap_or(u8::MAX);
                let policy = TruncationSelection::new(percentage)?.with_schedule(schedule);
                match wire.exclude_finished_jobs {
                    Some(true) => policy.without_finished().into(),
                    _ => policy.into(),
                }
            }
        })
    }
}

// -------------------------------------------------------------------------------------------------------------- durations

/// A duration as of ISO 8601 in weeks, days, hours, minutes and seconds; months and years have no length. At most [`LONGEST`].
fn parse_duration(text: &str) -> Option<Duration> {
    const UNITS: [(char, u64, bool); 5] =
        [('W', 604_800, false), ('D', 86_400, false), ('H', 3_600, true), ('M', 60, true), ('S', 1, true)];
    let mut rest = text.strip_prefix('P')?;
    let (mut total, mut in_time, mut next, mut parts) = (0_u64, false, 0, 0);
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('T').filter(|after| !in_time && !after.is_empty()) {
            (in_time, rest) = (true, after);
            continue;
        }
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, after) = rest.split_at(digits);
        let letter = after.chars().next()?;
        let place = UNITS.iter().position(|(unit, _, time)| *unit == letter && *time == in_time)?;
        if place < next {
            return None;
        }
        (next, parts) = (place + 1, parts + 1);
        let (_, length, _) = UNITS.get(place)?;
        total = total.checked_add(number.parse::<u64>().ok()?.checked_mul(*length)?)?;
        rest = after.get(letter.len_utf8()..)?;
    }
    (parts > 0 && total <= LONGEST.as_secs()).then(|| Duration::from_secs(total))
}

/// Whole seconds as a duration of ISO 8601, as Python's `isodate` writes them.
fn format_duration(time: Duration) -> String {
    let seconds = time.as_secs();
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let mut out = String::from("P");
    if days > 0 {
        out.push_str(&format!("{days}D"));
    }
    if rest > 0 || days == 0 {
        out.push('T');
        for (value, unit) in [(rest / 3_600, 'H'), (rest / 60 % 60, 'M'), (rest % 60, 'S')] {
            if value > 0 {
                out.push_str(&format!("{value}{unit}"));
            }
        }
        if rest == 0 {
            out.push_str("0S");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Python's isodate 0.7.2, `duration_isoformat(timedelta(seconds=n))`.
    #[test]
    fn durations_are_written_as_isodate_writes_them_and_read_back() {
        for (seconds, text) in [
            (0, "PT0S"),
            (60, "PT1M"),
            (7_200, "PT2H"),
            (86_400, "P1D"),
            (90_061, "P1DT1H1M1S"),
            (5_184_000, "P60D"),
            (3_605, "PT1H5S"),
        ] {
            assert_eq!(format_duration(Duration::from_secs(seconds)), text);
            assert_eq!(parse_duration(text), Some(Duration::from_secs(seconds)));
        }
        assert_eq!(parse_duration("P2W"), Some(Duration::from_secs(1_209_600)));
        assert_eq!(parse_duration("PT90M"), Some(Duration::from_secs(5_400)));
        for bad in [
            "",
            "P",
            "PT",
            "P1",
            "1D",
            "P1H",
            "PT1D",
            "PT1M1H",
            "PT1H1H",
            "P1M",
            "P1Y",
            "PT1.5S",
            "P-1D",
            "PT1é",
            "P1DT",
            "PT99999999999999999999S",
            "P36526D",
            "PTT1S",
            "P1DT1DT",
        ] {
            assert_eq!(parse_duration(bad), None, "{bad}");
        }
    }
}
