//! The median and percentile rules of Optuna.

use serde::{Deserialize, Serialize};

use super::{
    Abstention, Evidence, PolicyKind, Reports, Standing, StoppingError, StoppingPolicy, TrialReports,
    Verdict, better,
};
use crate::experiment::sampler::Goal;
use crate::num::NanPolicy;
use crate::num::quantile::{quantile_sorted, sorted};

/// Stops a trial whose best value so far is worse than a percentile of what the *completed* trials reported at the same step.
///
/// With `percentile` 25 a trial goes on when it is among the best quarter; 50 is the median rule. Nothing is decided while
/// fewer than `startup_trials` trials have completed, before `warmup_steps`, more than once in `interval_steps` steps, and
/// where fewer than `min_trials` completed trials have a report at that step. A trial with nothing but NaN stops.
///
/// Decides as Optuna 5's `PercentilePruner` and `MedianPruner` do. Percentiles are linear between order statistics.
///
/// ```
/// use mlops_core::experiment::sampler::Goal;
/// use mlops_core::experiment::stopping::{Percentile, Standing, StoppingPolicy as _, TrialReports};
///
/// let completed = |n, value| {
///     TrialReports::new(n).with_standing(Standing::Completed { value }).with_values([value])
/// };
/// let mut all = (0..5).map(|n| completed(n, n as f64)).collect::<Result<Vec<_>, _>>()?;
/// all.push(TrialReports::new(5).with_values([2.5])?);
/// assert!(!Percentile::median().decide(&all[5], &all, Goal::Minimize).goes_on());
/// assert!(Percentile::new(75.0)?.decide(&all[5], &all, Goal::Minimize).goes_on());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Wire", into = "Wire")]
pub struct Percentile {
    percentile: f64,
    startup_trials: u64,
    warmup_steps: u64,
    interval_steps: u64,
    min_trials: u64,
}

impl Percentile {
    /// The percentile rule with Optuna's defaults: 5 start-up trials, no warm-up, every step, at least one value.
    ///
    /// # Errors
    /// [`StoppingError::Setting`] for a percentile outside \[0, 100\].
    pub fn new(percentile: f64) -> Result<Self, StoppingError> {
        if !(0.0..=100.0).contains(&percentile) {
            let (argument, expected) = ("percentile", "from 0 to 100");
            return Err(StoppingError::Setting { argument, expected, value: percentile });
        }
        Ok(Self { percentile, ..Self::median() })
    }

    /// The median rule, with the same defaults.
    pub const fn median() -> Self {
        Self { percentile: 50.0, startup_trials: 5, warmup_steps: 0, interval_steps: 1, min_trials: 1 }
    }

    /// Sets how many trials must have completed.
    #[must_use]
    pub fn with_startup_trials(mut self, trials: u64) -> Self {
        self.startup_trials = trials;
        self
    }

    /// Sets the step before which nothing is decided, and the distance between decisions in steps.
    ///
    /// # Errors
    /// [`StoppingError::Setting`] for a distance of 0.
    pub fn with_steps(mut self, warmup: u64, interval: u64) -> Result<Self, StoppingError> {
        (self.warmup_steps, self.interval_steps) = (warmup, positive(interval)?);
        Ok(self)
    }

    /// Sets how many completed trials must have a value at the step; 0 is as 1.
    #[must_use]
    pub fn with_min_trials(mut self, trials: u64) -> Self {
        self.min_trials = trials.max(1);
        self
    }

    /// The percentile of the completed trials at a step, with the number of values it is of.
    fn bound(&self, completed: &[&TrialReports], step: u64, goal: Goal) -> Result<(f64, usize), Abstention> {
        let at_step = completed.iter().filter_map(|other| other.reports.at_step(step));
        let values: Vec<f64> = at_step.map(|report| report.value).collect();
        let needed = usize::try_from(self.min_trials).unwrap_or(usize::MAX);
        let found = values.len();
        if found < needed {
            return Err(Abstention::TooFew { found, needed });
        }
        let share = match goal {
            Goal::Maximize => 100.0 - self.percentile,
            Goal::Minimize => self.percentile,
        } / 100.0;
        let ascending = sorted(&values, NanPolicy::Omit).map_err(|_| Abstention::NotFinite)?;
        let bound = quantile_sorted(&ascending, share).map_err(|_| Abstention::NotFinite)?;
        Ok((bound, found))
    }
}

impl StoppingPolicy for Percentile {
    fn decide(&self, trial: &TrialReports, all: &[TrialReports], goal: Goal) -> Verdict {
        let completed = completed(trial.number, all);
        let needed = usize::try_from(self.startup_trials).unwrap_or(usize::MAX).max(1);
        if completed.len() < needed {
            return Verdict::Abstain(Abstention::TooFew { found: completed.len(), needed });
        }
        let last = trial.reports.last();
        let due = is_due(&trial.reports, self.warmup_steps, self.interval_steps);
        let Some(last) = last.filter(|_| due) else { return Verdict::Abstain(Abstention::NotDue) };
        let stop = |own, bound, compared| {
            Verdict::Stop(Evidence::new(PolicyKind::Percentile, &trial.reports, own, bound, compared))
        };
        let bound = self.bound(&completed, last.step, goal);
        match (trial.reports.best(goal), bound) {
            // Nothing but NaN stops whatever the others have.
            (None, bound) => {
                let (bound, compared) = bound.unwrap_or((f64::NAN, 0));
                stop(f64::NAN, bound, compared)
            }
            (_, Err(why)) => Verdict::Abstain(why),
            (Some(own), Ok((bound, compared))) if better(goal, bound, own) => stop(own, bound, compared),
            _ => Verdict::Continue,
        }
    }
}

/// The other trials that completed.
pub(super) fn completed(trial: u64, all: &[TrialReports]) -> Vec<&TrialReports> {
    let others = super::reports::others(trial, all);
    others.filter(|other| matches!(other.standing, Standing::Completed { .. })).collect()
}

/// Whether the last report is the first one in its interval of steps, after the warm-up.
pub(super) fn is_due(reports: &Reports, warmup: u64, interval: u64) -> bool {
    let Some(last) = reports.last().filter(|last| last.step >= warmup) else { return false };
    let begin = (last.step - warmup) / interval.max(1) * interval.max(1) + warmup;
    let before = reports.iter().rev().nth(1);
    before.is_none_or(|before| before.step < begin)
}

pub(super) fn positive(interval: u64) -> Result<u64, StoppingError> {
    match interval {
        0 => Err(StoppingError::Setting { argument: "interval_steps", expected: "at least 1", value: 0.0 }),
        interval => Ok(interval),
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    #[serde(default = "fifty")]
    percentile: f64,
    #[serde(default = "five")]
    startup_trials: u64,
    #[serde(default)]
    warmup_steps: u64,
    #[serde(default = "one")]
    interval_steps: u64,
    #[serde(default = "one")]
    min_trials: u64,
}

fn fifty() -> f64 {
    50.0
}

fn five() -> u64 {
    5
}

fn one() -> u64 {
    1
}

impl TryFrom<Wire> for Percentile {
    type Error = StoppingError;

    fn try_from(wire: Wire) -> Result<Self, StoppingError> {
        let policy = Self::new(wire.percentile)?.with_startup_trials(wire.startup_trials);
        policy.with_min_trials(wire.min_trials).with_steps(wire.warmup_steps, wire.interval_steps)
    }
}

impl From<Percentile> for Wire {
    fn from(policy: Percentile) -> Self {
        let Percentile { percentile, startup_trials, warmup_steps, interval_steps, min_trials } = policy;
        Self { percentile, startup_trials, warmup_steps, interval_steps, min_trials }
    }
}
