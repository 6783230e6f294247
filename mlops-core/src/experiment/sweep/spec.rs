//! What a sweep is to do.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::experiment::sampler::{Goal, SamplerSpec};
use crate::experiment::space::SearchSpace;
use crate::experiment::stopping::StoppingSpec;
use crate::hash::Hasher;
use crate::id::{ActorId, ExperimentName, MetricKey, RunId, Tags, check_tags, check_text};

/// How much a sweep may use. A sweep may be resumed with another budget, and then goes on.
///
/// ```
/// use std::time::Duration;
/// use mlops_core::experiment::sweep::Budget;
///
/// let budget: Budget = toml::from_str("max_trials = 80\nmax_concurrent = 4\nmax_time = '2h'")?;
/// assert_eq!(budget, Budget::trials(80).with_concurrent(4).with_time(Duration::from_secs(7200)));
/// assert!(toml::from_str::<Budget>("max_concurrent = 0").is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, try_from = "Wire")]
pub struct Budget {
    /// How many trials there may be. Default 1000, as Azure ML's.
    pub max_trials: u64,
    /// How many run at once. Default 1.
    pub max_concurrent: usize,
    /// How long the sweep may be at work: the time during which an engine ran it, not the time between. What runs then is
    /// cancelled. Default without limit.
    #[serde(with = "optional_duration", skip_serializing_if = "Option::is_none")]
    pub max_time: Option<Duration>,
    /// How long one attempt of a trial may take; then it is ended as failed. Default without limit.
    #[serde(with = "optional_duration", skip_serializing_if = "Option::is_none")]
    pub max_trial_time: Option<Duration>,
    /// How much trials may cost together, in the unit in which they say so; when it is used up no new trial begins, and those
    /// at work come to their end. Default without limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_cost: Option<f64>,
    /// How many trials may fail; one more ends the sweep. Default without limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_failures: Option<u64>,
    /// After how many failed trials a sweep ends of which nothing has come yet: no trial has completed, none was stopped early or
    /// waits at a rung. Counted anew in each [round](super::SweepState::rounds). 0 for never. Default 10: an objective that fails
    /// whatever it is given costs ten trials and not all of them, and one that fails for half of the space is taken for such a one in
    /// a thousandth of the sweeps.
    pub max_first_failures: u64,
    /// How often a trial is tried that was lost or failed for a reason that may pass. Default 3.
    pub max_attempts: u32,
    /// How long a trial may be silent before it counts as lost; reports, checkpoints and heartbeats renew it. Default without
    /// limit: a trial is alive as long as its engine.
    #[serde(with = "optional_duration", skip_serializing_if = "Option::is_none")]
    pub lease: Option<Duration>,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            max_trials: 1000,
            max_concurrent: 1,
            max_time: None,
            max_trial_time: None,
            max_cost: None,
            max_failures: None,
            max_first_failures: 10,
            max_attempts: 3,
            lease: None,
        }
    }
}

impl Budget {
    /// The most trials of one sweep: 2²⁰.
    pub const MAX_TRIALS: u64 = 1 << 20;
    /// The most that run at once: 1024.
    pub const MAX_CONCURRENT: usize = 1024;

    /// A number of trials, one after the other.
    pub fn trials(trials: u64) -> Self {
        Self { max_trials: trials, ..Self::default() }
    }

    /// Sets how many run at once.
    #[must_use]
    pub fn with_concurrent(mut self, trials: usize) -> Self {
        self.max_concurrent = trials;
        self
    }

    /// Sets how long the sweep may be at work.
    #[must_use]
    pub fn with_time(mut self, time: Duration) -> Self {
        self.max_time = Some(time);
        self
    }

    /// Sets how long one attempt of a trial may take.
    #[must_use]
    pub fn with_trial_time(mut self, time: Duration) -> Self {
        self.max_trial_time = Some(time);
        self
    }

    /// Sets how much trials may cost together.
    #[must_use]
    pub fn with_cost(mut self, cost: f64) -> Self {
        self.max_cost = Some(cost);
        self
    }

    /// Sets how many trials may fail.
    #[must_use]
    pub fn with_failures(mut self, trials: u64) -> Self {
        self.max_failures = Some(trials);
        self
    }

    /// Sets after how many failed trials a sweep ends of which nothing has come yet; 0 for never.
    #[must_use]
    pub fn with_first_failures(mut self, trials: u64) -> Self {
        self.max_first_failures = trials;
        self
    }

    /// Sets how often a trial is tried.
    #[must_use]
    pub fn with_attempts(mut self, attempts: u32) -> Self {
        self.max_attempts = attempts;
        self
    }

    /// Sets how long a trial may be silent.
    #[must_use]
    pub fn with_lease(mut self, lease: Duration) -> Self {
        self.lease = Some(lease);
        self
    }

    /// Checks that it can be followed.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) that names the limit.
    pub fn check(&self) -> Result<()> {
        const OP: &str = "Budget::check";
        let bad = |field: &str, message: String| Err(Error::invalid(OP, field, message));
        if !(1..=Self::MAX_TRIALS).contains(&self.max_trials) {
            let (least, most) = (1, Self::MAX_TRIALS);
            return bad("max_trials", format!("must be from {least} to {most}, got {}", self.max_trials));
        }
        if !(1..=Self::MAX_CONCURRENT).contains(&self.max_concurrent) {
            let most = Self::MAX_CONCURRENT;
            return bad("max_concurrent", format!("must be from 1 to {most}, got {}", self.max_concurrent));
        }
        if self.max_attempts == 0 {
            return bad("max_attempts", "must be at least 1, got 0".to_owned());
        }
        if let Some(cost) = self.max_cost.filter(|cost| !(cost.is_finite() && *cost >= 0.0)) {
            return bad("max_cost", format!("must be at least 0 and finite, got {cost}"));
        }
        for (field, time) in
            [("max_time", self.max_time), ("max_trial_time", self.max_trial_time), ("lease", self.lease)]
        {
            if time.is_some_and(|time| time.is_zero()) {
                return bad(field, "must be longer than nothing; leave it out for no limit".to_owned());
            }
        }
        Ok(())
    }
}

/// As it stands in a file, before it is checked.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Wire {
    max_trials: u64,
    max_concurrent: usize,
    #[serde(with = "optional_duration")]
    max_time: Option<Duration>,
    #[serde(with = "optional_duration")]
    max_trial_time: Option<Duration>,
    max_cost: Option<f64>,
    max_failures: Option<u64>,
    max_first_failures: u64,
    max_attempts: u32,
    #[serde(with = "optional_duration")]
    lease: Option<Duration>,
}

impl Default for Wire {
    fn default() -> Self {
        let budget = Budget::default();
        let Budget { max_trials, max_concurrent, max_first_failures, max_attempts, .. } = budget;
        let (max_time, max_trial_time, max_cost, max_failures, lease) = (None, None, None, None, None);
        Self {
            max_trials,
            max_concurrent,
            max_time,
            max_trial_time,
            max_cost,
            max_failures,
            max_first_failures,
            max_attempts,
            lease,
        }
    }
}

impl TryFrom<Wire> for Budget {
    type Error = Error;

    fn try_from(wire: Wire) -> Result<Self> {
        let Wire { max_trials, max_concurrent, max_time, max_trial_time, .. } = wire;
        let Wire { max_cost, max_failures, max_first_failures, max_attempts, lease, .. } = wire;
        let budget = Self {
            max_trials,
            max_concurrent,
            max_time,
            max_trial_time,
            max_cost,
            max_failures,
            max_first_failures,
            max_attempts,
            lease,
        };
        budget.check().map(|()| budget)
    }
}

/// Durations as people write them, or none.
mod optional_duration {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    struct Text(#[serde(with = "crate::time::duration_text")] Duration);

    pub(super) fn serialize<S: Serializer>(
        value: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        value.map(Text).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        Option::<Text>::deserialize(deserializer).map(|value| value.map(|Text(value)| value))
    }
}

/// What a sweep is to do: what to vary, what to optimise, how to choose, when to stop.
///
/// Experiment and name are its identity: a sweep of the same experiment and name is the same sweep, and goes on where it was.
/// All but the budget, the actor and the tags must then be the same too.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SweepSpec {
    /// The experiment.
    pub experiment: ExperimentName,
    /// The sweep's name, unique within the experiment.
    pub name: String,
    /// Who runs it.
    pub actor: ActorId,
    /// What trials report and return.
    pub metric: MetricKey,
    /// Which way it is better.
    pub goal: Goal,
    /// What is varied.
    pub space: SearchSpace,
    /// How values are chosen.
    pub sampler: SamplerSpec,
    /// What choosing draws its randomness from.
    #[serde(default)]
    pub seed: u64,
    /// When a trial stops early; never by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopping: Option<StoppingSpec>,
    /// How much it may use.
    #[serde(default)]
    pub budget: Budget,
    /// Tags of the sweep's run.
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    pub tags: Tags,
}

impl SweepSpec {
    /// A sweep with seed 0, without early stopping, with the default budget.
    pub fn new(
        experiment: ExperimentName,
        name: impl Into<String>,
        actor: ActorId,
        metric: MetricKey,
        goal: Goal,
        space: SearchSpace,
        sampler: SamplerSpec,
    ) -> Self {
        let (stopping, budget, tags) = (None, Budget::default(), Tags::new());
        let name = name.into();
        Self { experiment, name, actor, metric, goal, space, sampler, seed: 0, stopping, budget, tags }
    }

    /// Sets the seed.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Sets when a trial stops early.
    #[must_use]
    pub fn with_stopping(mut self, policy: impl Into<StoppingSpec>) -> Self {
        self.stopping = Some(policy.into());
        self
    }

    /// Sets the budget.
    #[must_use]
    pub fn with_budget(mut self, budget: Budget) -> Self {
        self.budget = budget;
        self
    }

    /// The id of the sweep, and of its run: the same for the same experiment and name.
    pub fn id(&self) -> RunId {
        let hasher = Hasher::new("mlops.sweep/v1").field(self.experiment.as_str()).field(&self.name);
        run_id(&hasher.finish().hex())
    }

    /// The id of a trial's run.
    pub fn trial_run(&self, trial: u64) -> RunId {
        trial_run(&self.id(), trial)
    }

    /// The id of the run of a [round](super::SweepState::rounds): of the first, 0, it is that of the sweep.
    pub fn round_run(&self, round: usize) -> RunId {
        round_run(&self.id(), round)
    }

    /// Checks name, tags and budget, and that the sampler can sample the space.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) and
    /// [`ErrorKind::LimitExceeded`](crate::ErrorKind::LimitExceeded), naming what is wrong.
    pub fn check(&self) -> Result<()> {
        const OP: &str = "SweepSpec::check";
        if self.name.is_empty() {
            return Err(Error::invalid(OP, "name", "is empty"));
        }
        check_text(OP, "the name", &self.name)?;
        check_tags(OP, &self.tags)?;
        self.budget.check()?;
        self.sampler.build()?.check(&self.space)?;
        Ok(())
    }

    /// The first thing in which another spec is another sweep, with its value here and there.
    #[cfg(feature = "runtime")]
    pub(super) fn differs(&self, other: &Self) -> Option<(&'static str, String, String)> {
        let shown = |spec: &Self| {
            [
                ("experiment", spec.experiment.to_string()),
                ("name", spec.name.clone()),
                ("metric", spec.metric.to_string()),
                ("goal", format!("{:?}", spec.goal)),
                ("space", json(&spec.space)),
                ("sampler", json(&spec.sampler)),
                ("seed", spec.seed.to_string()),
                ("stopping", json(&spec.stopping)),
            ]
        };
        let mut pairs = shown(self).into_iter().zip(shown(other));
        pairs.find(|((_, a), (_, b))| a != b).map(|((field, a), (_, b))| (field, a, b))
    }
}

#[cfg(feature = "runtime")]
fn json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// The id of the run of a trial of a sweep.
pub(super) fn trial_run(sweep: &RunId, trial: u64) -> RunId {
    let hasher = Hasher::new("mlops.sweep.trial/v1").field(sweep.as_str()).field(trial.to_le_bytes());
    run_id(&hasher.finish().hex())
}

/// The id of the run of a round of a sweep.
pub(super) fn round_run(sweep: &RunId, round: usize) -> RunId {
    if round == 0 {
        return sweep.clone();
    }
    let hasher =
        Hasher::new("mlops.sweep.round/v1").field(sweep.as_str()).field((round as u64).to_le_bytes());
    run_id(&hasher.finish().hex())
}

fn run_id(hex: &str) -> RunId {
    // 32 hexadecimal digits are a run's id; one that is made up would only be met if that changed.
    RunId::new(hex.get(..32).unwrap_or(hex)).unwrap_or_else(|_| RunId::generate())
}
