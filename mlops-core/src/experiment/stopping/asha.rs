//! Asynchronous successive halving.

use serde::{Deserialize, Serialize};

use super::{
    Abstention, Evidence, PolicyKind, Standing, StoppingError, StoppingPolicy, TrialReports, Verdict, better,
};
use crate::experiment::sampler::Goal;
use crate::num::NanPolicy;
use crate::num::quantile::{quantile_sorted, sorted};

/// Which trials of a rung go on.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RungRule {
    /// Those among the best ⌊n/η⌋ of the n that have reached the rung, itself included, and the best one while that is 0: as
    /// Optuna's `SuccessiveHalvingPruner`.
    #[default]
    TopShare,
    /// Those no worse than the 1 − 1/η quantile of the others that have reached the rung, and the first: as Ray's
    /// `AsyncHyperBandScheduler`. Of several rungs reached by one report the highest counts.
    Quantile,
}

/// Asynchronous successive halving: rungs at the steps r·η^(s+k), k = 0, 1, …, at each of which a trial goes on only if it is
/// among the best of those that have reached it so far.
///
/// r is `min_resource`, η the `reduction_factor`, s the `early_stopping_rate`. A trial's value at a rung is that of its first
/// report at or after the rung's step; a trial whose value there is NaN stops. In the plain form a trial that is not good
/// enough stops at once, and the verdicts are those of Optuna 5's `SuccessiveHalvingPruner` (without its guessed
/// `min_resource`). With `pause`, as Li et al. describe it, it waits instead, and goes on when it is among the best ⌊n/η⌋
/// because others came after it that were worse; nothing waits at `max_resource`.
///
/// Source: Li et al., "A System for Massively Parallel Hyperparameter Tuning" (MLSys 2020).
///
/// ```
/// use mlops_core::experiment::sampler::Goal;
/// use mlops_core::experiment::stopping::{Asha, StoppingPolicy as _, TrialReports};
///
/// let policy = Asha::new(1, 2)?; // rungs at 1, 2, 4, 8, …
/// let all = (0..4).map(|n| TrialReports::new(n).with_values([n as f64])).collect::<Result<Vec<_>, _>>()?;
/// let goes_on = |n: usize| policy.decide(&all[n], &all, Goal::Minimize).goes_on();
/// assert_eq!([0, 1, 2, 3].map(goes_on), [true, true, false, false]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Wire", into = "Wire")]
pub struct Asha {
    min_resource: u64,
    reduction_factor: u64,
    early_stopping_rate: u32,
    bootstrap_count: u64,
    max_resource: Option<u64>,
    rule: RungRule,
    pause: bool,
}

impl Asha {
    /// Rungs at `min_resource`·`reduction_factor`^k, at which trials stop.
    ///
    /// # Errors
    /// [`StoppingError::Setting`] for a resource of 0 and a factor below 2.
    pub fn new(min_resource: u64, reduction_factor: u64) -> Result<Self, StoppingError> {
        at_least("min_resource", "at least 1", 1, min_resource)?;
        at_least("reduction_factor", "at least 2", 2, reduction_factor)?;
        Ok(Self {
            min_resource,
            reduction_factor,
            early_stopping_rate: 0,
            bootstrap_count: 0,
            max_resource: None,
            rule: RungRule::TopShare,
            pause: false,
        })
    }

    /// Leaves out the first `rate` rungs.
    #[must_use]
    pub fn with_early_stopping_rate(mut self, rate: u32) -> Self {
        self.early_stopping_rate = rate;
        self
    }

    /// Stops every trial at a rung until more than this many have reached it.
    #[must_use]
    pub fn with_bootstrap_count(mut self, count: u64) -> Self {
        self.bootstrap_count = count;
        self
    }

    /// Sets which trials of a rung go on.
    #[must_use]
    pub fn with_rule(mut self, rule: RungRule) -> Self {
        self.rule = rule;
        self
    }

    /// Lets trials wait at their rung instead of stopping them; at `max_resource` and after it none does.
    ///
    /// # Errors
    /// [`StoppingError::Setting`] for a greatest resource below the least.
    pub fn pausing(mut self, max_resource: u64) -> Result<Self, StoppingError> {
        at_least("max_resource", "at least `min_resource`", self.min_resource, max_resource)?;
        (self.pause, self.max_resource) = (true, Some(max_resource));
        Ok(self)
    }

    /// The step of a rung; `None` for one beyond every step.
    ///
    /// ```
    /// use mlops_core::experiment::stopping::Asha;
    /// let policy = Asha::new(2, 3)?.with_early_stopping_rate(1);
    /// assert_eq!([0, 1, 2, 64].map(|k| policy.rung_step(k)), [Some(6), Some(18), Some(54), None]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn rung_step(&self, rung: u32) -> Option<u64> {
        let power = self.early_stopping_rate.checked_add(rung)?;
        self.reduction_factor.checked_pow(power)?.checked_mul(self.min_resource)
    }

    /// The rungs that the last report reached and none before it, with their steps.
    fn reached(&self, trial: &TrialReports) -> Vec<(u32, u64)> {
        let Some(last) = trial.reports.last() else { return Vec::new() };
        let before = trial.reports.iter().rev().nth(1).map(|report| report.step);
        let rungs = (0..).map_while(|rung| Some((rung, self.rung_step(rung)?)));
        let reached = rungs.take_while(|(_, step)| *step <= last.step);
        reached.filter(|(_, step)| before.is_none_or(|before| before < *step)).collect()
    }

    /// The policy among the trials of one bracket.
    pub(super) fn decide_within(
        &self,
        trial: &TrialReports,
        all: &[TrialReports],
        goal: Goal,
        within: &dyn Fn(u64) -> bool,
    ) -> Verdict {
        let reached = self.reached(trial);
        let Some((top, last)) = reached.last().zip(trial.reports.last()) else {
            return Verdict::Abstain(Abstention::NotDue);
        };
        let one = [*top];
        // Optuna climbs one rung after the other, the others look at the highest alone.
        let climbed: &[(u32, u64)] =
            if self.pause || self.rule == RungRule::Quantile { &one } else { &reached };
        for (rung, step) in climbed {
            let others: Vec<f64> = values(trial.number, all, *step, within).collect();
            let verdict = self.judge(trial, last.value, *rung, *step, &others, goal);
            if !verdict.goes_on() {
                return verdict;
            }
        }
        Verdict::Continue
    }

    /// The verdict at one rung; `others` are the values of the other trials there, without NaN.
    fn judge(
        &self,
        trial: &TrialReports,
        own: f64,
        rung: u32,
        step: u64,
        others: &[f64],
        goal: Goal,
    ) -> Verdict {
        if self.pause && self.max_resource.is_some_and(|max| step >= max) && !own.is_nan() {
            return Verdict::Continue;
        }
        let bound = self.bound(own, others, goal);
        let count = others.len() + 1;
        if !own.is_nan() && bound.is_some_and(|bound| !better(goal, bound, own)) {
            return Verdict::Continue;
        }
        let bound = bound.unwrap_or(f64::NAN);
        let evidence = Evidence::new(PolicyKind::Asha, &trial.reports, own, bound, count).with_rung(rung);
        match self.pause && !own.is_nan() {
            true => Verdict::Pause(evidence),
            false => Verdict::Stop(evidence),
        }
    }

    /// The value that a trial must not be worse than; `None` when no value is good enough.
    fn bound(&self, own: f64, others: &[f64], goal: Goal) -> Option<f64> {
        let infinitely_bad = match goal {
            Goal::Maximize => f64::NEG_INFINITY,
            Goal::Minimize => f64::INFINITY,
        };
        if self.rule == RungRule::Quantile && !self.pause {
            // As more is better: what is to be minimised is turned round.
            let sign = if goal == Goal::Minimize { -1.0 } else { 1.0 };
            let turned: Vec<f64> = others.iter().map(|value| sign * value).collect();
            let share = 1.0 - 1.0 / self.reduction_factor as f64;
            let cutoff = sorted(&turned, NanPolicy::Omit).and_then(|turned| quantile_sorted(&turned, share));
            return Some(cutoff.map_or(infinitely_bad, |cutoff| sign * cutoff));
        }
        let mut values: Vec<f64> = others.iter().copied().chain((!own.is_nan()).then_some(own)).collect();
        values.sort_by(|a, b| better(goal, *b, *a).cmp(&better(goal, *a, *b)));
        if values.len() as u64 <= self.bootstrap_count {
            return None;
        }
        let factor = usize::try_from(self.reduction_factor).unwrap_or(usize::MAX);
        match (values.len() / factor).checked_sub(1) {
            Some(last) => values.get(last).copied(),
            // Nobody waits, so the first few go on if they are the best; where they can wait they do.
            None if self.pause => None,
            None => values.first().copied(),
        }
    }

    /// The waiting trial that goes on: from the highest rung that has one among its best, the best.
    fn promotable(&self, all: &[TrialReports], goal: Goal) -> Option<u64> {
        let waiting = |trial: &TrialReports| match trial.standing {
            Standing::Paused { rung } => Some(rung),
            _ => None,
        };
        let mut rungs: Vec<u32> = all.iter().filter_map(waiting).collect();
        rungs.sort_unstable();
        rungs.dedup();
        rungs.into_iter().rev().find_map(|rung| {
            let step = self.rung_step(rung)?;
            let at_rung: Vec<f64> = values(u64::MAX, all, step, &|_| true).collect();
            let bound = self.bound(f64::NAN, &at_rung, goal)?;
            let candidates = all.iter().filter(|trial| waiting(trial) == Some(rung));
            let valued = candidates.filter_map(|t| Some((t.number, t.reports.from_step(step)?.value)));
            let good = valued.filter(|(_, value)| !value.is_nan() && !better(goal, bound, *value));
            let best = good.reduce(|best, next| if better(goal, next.1, best.1) { next } else { best });
            best.map(|(number, _)| number)
        })
    }
}

/// The values at a rung of all trials but one that have reached it, without NaN.
fn values<'a>(
    trial: u64,
    all: &'a [TrialReports],
    step: u64,
    within: &'a dyn Fn(u64) -> bool,
) -> impl Iterator<Item = f64> + 'a {
    let others = super::reports::others(trial, all).filter(move |other| within(other.number));
    let reports = others.filter_map(move |other| other.reports.from_step(step));
    reports.map(|report| report.value).filter(|value| !value.is_nan())
}

impl StoppingPolicy for Asha {
    fn decide(&self, trial: &TrialReports, all: &[TrialReports], goal: Goal) -> Verdict {
        self.decide_within(trial, all, goal, &|_| true)
    }

    fn promote(&self, all: &[TrialReports], goal: Goal) -> Option<u64> {
        if self.pause { self.promotable(all, goal) } else { None }
    }
}

pub(super) fn at_least(
    argument: &'static str,
    expected: &'static str,
    least: u64,
    value: u64,
) -> Result<(), StoppingError> {
    match value >= least {
        true => Ok(()),
        false => Err(StoppingError::Setting { argument, expected, value: value as f64 }),
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    #[serde(default = "one")]
    min_resource: u64,
    #[serde(default = "four")]
    reduction_factor: u64,
    #[serde(default)]
    early_stopping_rate: u32,
    #[serde(default)]
    bootstrap_count: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max_resource: Option<u64>,
    #[serde(default)]
    rule: RungRule,
    #[serde(default)]
    pause: bool,
}

fn one() -> u64 {
    1
}

fn four() -> u64 {
    4
}

impl TryFrom<Wire> for Asha {
    type Error = StoppingError;

    fn try_from(wire: Wire) -> Result<Self, StoppingError> {
        let policy = Self::new(wire.min_resource, wire.reduction_factor)?
            .with_early_stopping_rate(wire.early_stopping_rate)
            .with_bootstrap_count(wire.bootstrap_count)
            .with_rule(wire.rule);
        match (wire.pause, wire.max_resource) {
            (true, Some(max)) => policy.pausing(max),
            (false, None) => Ok(policy),
            (pause, _) => {
                let expected = if pause { "given with `pause`" } else { "left out without `pause`" };
                let value = wire.max_resource.map_or(f64::NAN, |max| max as f64);
                Err(StoppingError::Setting { argument: "max_resource", expected, value })
            }
        }
    }
}

impl From<Asha> for Wire {
    fn from(policy: Asha) -> Self {
        let Asha { min_resource, reduction_factor, early_stopping_rate, .. } = policy;
        let Asha { bootstrap_count, max_resource, rule, pause, .. } = policy;
        Self {
            min_resource,
            reduction_factor,
            early_stopping_rate,
            bootstrap_count,
            max_resource,
            rule,
            pause,
        }
    }
}
