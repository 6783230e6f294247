//! Azure ML's truncation selection policy.

use serde::{Deserialize, Serialize};

use super::reports::others;
use super::{
    Abstention, EvaluationSchedule, Evidence, PolicyKind, Standing, StoppingError, StoppingPolicy,
    TrialReports, Verdict, better,
};
use crate::experiment::sampler::Goal;

/// Stops the worst share of the trials of an interval.
///
/// At interval i, all trials that have reported i times are ranked by the value of their i-th report: an old trial is compared
/// as it was then, however good it has become since. Of n trials the worst ⌊n·percentage/100⌋ stop; a trial stops when at least
/// n minus that many others are strictly better, so that a tie speaks for it. NaN is worst.
///
/// ```
/// use mlops_core::experiment::sampler::Goal;
/// use mlops_core::experiment::stopping::{StoppingPolicy as _, TrialReports, TruncationSelection};
///
/// let all = (0..5).map(|n| TrialReports::new(n).with_values([n as f64])).collect::<Result<Vec<_>, _>>()?;
/// let policy = TruncationSelection::new(20)?;
/// let stops: Vec<_> = all.iter().filter(|t| !policy.decide(t, &all, Goal::Maximize).goes_on()).collect();
/// assert_eq!(stops, [&all[0]]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Wire", into = "Wire")]
pub struct TruncationSelection {
    percentage: u8,
    /// When it is evaluated.
    pub schedule: EvaluationSchedule,
    /// Whether trials that have ended are left out of the ranking. Default no.
    pub exclude_finished_jobs: bool,
}

impl TruncationSelection {
    /// A policy that is evaluated at every interval.
    ///
    /// # Errors
    /// [`StoppingError::Setting`] for a percentage outside 1 to 99.
    pub fn new(percentage: u8) -> Result<Self, StoppingError> {
        if !(1..=99).contains(&percentage) {
            let value = f64::from(percentage);
            let (argument, expected) = ("truncation_percentage", "a whole number from 1 to 99");
            return Err(StoppingError::Setting { argument, expected, value });
        }
        Ok(Self { percentage, schedule: EvaluationSchedule::default(), exclude_finished_jobs: false })
    }

    /// Sets when it is evaluated.
    #[must_use]
    pub fn with_schedule(mut self, schedule: EvaluationSchedule) -> Self {
        self.schedule = schedule;
        self
    }

    /// Leaves trials that have ended out of the ranking.
    #[must_use]
    pub fn without_finished(mut self) -> Self {
        self.exclude_finished_jobs = true;
        self
    }

    /// Which share stops, in percent.
    pub const fn percentage(&self) -> u8 {
        self.percentage
    }

    fn ranks(&self, other: &TrialReports) -> bool {
        !self.exclude_finished_jobs || matches!(other.standing, Standing::Running | Standing::Paused { .. })
    }
}

impl StoppingPolicy for TruncationSelection {
    fn decide(&self, trial: &TrialReports, all: &[TrialReports], goal: Goal) -> Verdict {
        let interval = trial.reports.interval();
        let Some(own) = trial.reports.last().filter(|_| self.schedule.is_due(interval)) else {
            return Verdict::Abstain(Abstention::NotDue);
        };
        let rivals = others(trial.number, all).filter(|other| self.ranks(other));
        let mut values: Vec<f64> = rivals.filter_map(|r| r.reports.at(interval)).map(|r| r.value).collect();
        let ahead = values.iter().filter(|value| better(goal, **value, own.value)).count();
        let n = values.len() + 1;
        // At most 2²⁰ trials or so: no overflow.
        let kept = n - n * usize::from(self.percentage) / 100;
        if ahead < kept {
            return Verdict::Continue;
        }
        // The bound is the worst value that is kept.
        values.sort_by(|a, b| better(goal, *b, *a).cmp(&better(goal, *a, *b)));
        let bound = values.get(kept.saturating_sub(1)).copied().unwrap_or(f64::NAN);
        let policy = PolicyKind::TruncationSelection;
        Verdict::Stop(Evidence::new(policy, &trial.reports, own.value, bound, n))
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    truncation_percentage: u64,
    #[serde(default = "one")]
    evaluation_interval: u64,
    #[serde(default)]
    delay_evaluation: u64,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    exclude_finished_jobs: bool,
}

fn one() -> u64 {
    1
}

impl TryFrom<Wire> for TruncationSelection {
    type Error = StoppingError;

    fn try_from(wire: Wire) -> Result<Self, StoppingError> {
        let percentage = u8::try_from(wire.truncation_percentage).unwrap_or(u8::MAX);
        let Wire { evaluation_interval, delay_evaluation, exclude_finished_jobs, .. } = wire;
        let schedule = EvaluationSchedule { evaluation_interval, delay_evaluation };
        let policy = Self::new(percentage)?.with_schedule(schedule);
        Ok(Self { exclude_finished_jobs, ..policy })
    }
}

impl From<TruncationSelection> for Wire {
    fn from(policy: TruncationSelection) -> Self {
        let EvaluationSchedule { evaluation_interval, delay_evaluation } = policy.schedule;
        Self {
            truncation_percentage: u64::from(policy.percentage),
            evaluation_interval,
            delay_evaluation,
            exclude_finished_jobs: policy.exclude_finished_jobs,
        }
    }
}
