//! Azure ML's bandit policy.

use serde::{Deserialize, Serialize};

use super::reports::others;
use super::{
    Abstention, EvaluationSchedule, Evidence, PolicyKind, StoppingError, StoppingPolicy, TrialReports,
    Verdict, best_of, better,
};
use crate::experiment::sampler::Goal;

/// How far from the best a trial may be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Slack {
    /// A share s of the best value B: the bound is B/(1 + s) when more is better, B·(1 + s) when less is.
    Factor(f64),
    /// A distance: the bound is B − s when more is better, B + s when less is.
    Amount(f64),
}

/// Stops a trial whose best value is worse than the best of all trials by more than a slack.
///
/// At interval i, B is the best value of all trials over intervals 1 to i, its own included, and M the trial's own. With a
/// goal to maximise it stops when M < B/(1 + `slack_factor`), or M < B − `slack_amount`; with a goal to minimise when
/// M > B·(1 + `slack_factor`), or M > B + `slack_amount`. A trial with fewer than i reports takes no part at i. A trial with
/// no number in its reports stops as soon as another has one.
///
/// The ratio has no meaning for B ≤ 0; the policy then abstains with [`Abstention::RatioOfNonPositive`].
///
/// ```
/// use mlops_core::experiment::sampler::Goal;
/// use mlops_core::experiment::stopping::{Bandit, Slack, StoppingPolicy as _, TrialReports, Verdict};
///
/// // Azure's example: with a best of 0.8 and a factor of 0.2, trials below 0.8 / 1.2 = 0.667 stop.
/// let policy = Bandit::new(Slack::Factor(0.2))?;
/// let all = [0.8, 0.66, 0.67].map(|value| TrialReports::new((value * 100.0) as u64).with_values([value]));
/// let all = all.into_iter().collect::<Result<Vec<_>, _>>()?;
/// assert!(matches!(policy.decide(&all[1], &all, Goal::Maximize), Verdict::Stop(_)));
/// assert_eq!(policy.decide(&all[2], &all, Goal::Maximize), Verdict::Continue);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Wire", into = "Wire")]
pub struct Bandit {
    slack: Slack,
    /// When it is evaluated.
    pub schedule: EvaluationSchedule,
}

impl Bandit {
    /// A policy that is evaluated at every interval.
    ///
    /// # Errors
    /// [`StoppingError::Setting`] for a slack that is negative or not finite.
    pub fn new(slack: Slack) -> Result<Self, StoppingError> {
        let (argument, value) = match slack {
            Slack::Factor(value) => ("slack_factor", value),
            Slack::Amount(value) => ("slack_amount", value),
        };
        if !(value.is_finite() && value >= 0.0) {
            return Err(StoppingError::Setting { argument, expected: "at least 0 and finite", value });
        }
        Ok(Self { slack, schedule: EvaluationSchedule::default() })
    }

    /// From Azure's two settings, of which exactly one is given.
    ///
    /// # Errors
    /// [`StoppingError::ExactlyOne`], and as [`Self::new`].
    pub fn from_settings(factor: Option<f64>, amount: Option<f64>) -> Result<Self, StoppingError> {
        match (factor, amount) {
            (Some(factor), None) => Self::new(Slack::Factor(factor)),
            (None, Some(amount)) => Self::new(Slack::Amount(amount)),
            _ => Err(StoppingError::ExactlyOne { one: "slack_factor", other: "slack_amount" }),
        }
    }

    /// Sets when it is evaluated.
    #[must_use]
    pub fn with_schedule(mut self, schedule: EvaluationSchedule) -> Self {
        self.schedule = schedule;
        self
    }

    /// How far from the best a trial may be.
    pub const fn slack(&self) -> Slack {
        self.slack
    }

    fn bound(&self, best: f64, goal: Goal) -> Result<f64, Abstention> {
        match (self.slack, goal) {
            (Slack::Factor(_), _) if best <= 0.0 => Err(Abstention::RatioOfNonPositive { best }),
            (Slack::Factor(factor), Goal::Maximize) => Ok(best / (1.0 + factor)),
            (Slack::Factor(factor), Goal::Minimize) => Ok(best * (1.0 + factor)),
            (Slack::Amount(amount), Goal::Maximize) => Ok(best - amount),
            (Slack::Amount(amount), Goal::Minimize) => Ok(best + amount),
        }
    }
}

impl StoppingPolicy for Bandit {
    fn decide(&self, trial: &TrialReports, all: &[TrialReports], goal: Goal) -> Verdict {
        let interval = trial.reports.interval();
        if !self.schedule.is_due(interval) {
            return Verdict::Abstain(Abstention::NotDue);
        }
        let own = trial.reports.best_until(interval, goal);
        let rivals = others(trial.number, all).filter_map(|other| other.reports.best_until(interval, goal));
        let values: Vec<f64> = rivals.chain(own).collect();
        let Some(best) = best_of(goal, values.iter().copied()) else {
            return Verdict::Abstain(Abstention::TooFew { found: 0, needed: 1 });
        };
        let own = own.unwrap_or(f64::NAN);
        match self.bound(best, goal) {
            Err(why) => Verdict::Abstain(why),
            Ok(bound) if better(goal, bound, own) => {
                Verdict::Stop(Evidence::new(PolicyKind::Bandit, &trial.reports, own, bound, values.len()))
            }
            Ok(_) => Verdict::Continue,
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    slack_factor: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    slack_amount: Option<f64>,
    #[serde(default = "one")]
    evaluation_interval: u64,
    #[serde(default)]
    delay_evaluation: u64,
}

fn one() -> u64 {
    1
}

impl TryFrom<Wire> for Bandit {
    type Error = StoppingError;

    fn try_from(wire: Wire) -> Result<Self, StoppingError> {
        let Wire { slack_factor, slack_amount, evaluation_interval, delay_evaluation } = wire;
        let schedule = EvaluationSchedule { evaluation_interval, delay_evaluation };
        Ok(Self::from_settings(slack_factor, slack_amount)?.with_schedule(schedule))
    }
}

impl From<Bandit> for Wire {
    fn from(bandit: Bandit) -> Self {
        let EvaluationSchedule { evaluation_interval, delay_evaluation } = bandit.schedule;
        let (slack_factor, slack_amount) = match bandit.slack {
            Slack::Factor(value) => (Some(value), None),
            Slack::Amount(value) => (None, Some(value)),
        };
        Self { slack_factor, slack_amount, evaluation_interval, delay_evaluation }
    }
}
