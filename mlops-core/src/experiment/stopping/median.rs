//! Azure ML's median stopping policy.

use serde::{Deserialize, Serialize};

use super::reports::others;
use super::{
    Abstention, EvaluationSchedule, Evidence, PolicyKind, StoppingPolicy, TrialReports, Verdict, better,
};
use crate::experiment::sampler::Goal;
use crate::num::quantile::quantile;

/// Stops a trial whose best value is worse than the median of the running means of all trials.
///
/// At interval i, a trial's running mean is that of its values over intervals 1 to i; the median is over all trials that have
/// reported i times, this one included, whether they still run or not. NaN takes no part in a mean; a trial with nothing but
/// NaN stops as soon as another has a mean.
///
/// Source: Golovin et al., "Google Vizier: A Service for Black-Box Optimization" (KDD 2017), section 3.2.2.
///
/// ```
/// use mlops_core::experiment::sampler::Goal;
/// use mlops_core::experiment::stopping::{MedianStopping, StoppingPolicy as _, TrialReports};
///
/// let values = [[0.5, 0.9], [0.5, 0.7], [0.4, 0.5]];
/// let all = (0..).zip(values).map(|(n, v)| TrialReports::new(n).with_values(v));
/// let all = all.collect::<Result<Vec<_>, _>>()?;
/// // The means are 0.7, 0.6 and 0.45: their median is 0.6.
/// let goes_on = |n: usize| MedianStopping::default().decide(&all[n], &all, Goal::Maximize).goes_on();
/// assert_eq!([0, 1, 2].map(goes_on), [true, true, false]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "EvaluationSchedule", into = "EvaluationSchedule")]
pub struct MedianStopping {
    /// When it is evaluated.
    pub schedule: EvaluationSchedule,
}

impl From<EvaluationSchedule> for MedianStopping {
    fn from(schedule: EvaluationSchedule) -> Self {
        Self { schedule }
    }
}

impl From<MedianStopping> for EvaluationSchedule {
    fn from(policy: MedianStopping) -> Self {
        policy.schedule
    }
}

impl StoppingPolicy for MedianStopping {
    fn decide(&self, trial: &TrialReports, all: &[TrialReports], goal: Goal) -> Verdict {
        let interval = trial.reports.interval();
        if !self.schedule.is_due(interval) {
            return Verdict::Abstain(Abstention::NotDue);
        }
        let mean = |other: &TrialReports| other.reports.mean_until(interval);
        let means: Vec<f64> = others(trial.number, all).filter_map(mean).chain(mean(trial)).collect();
        // Of infinities of both signs the median may be none.
        let Ok(median) = quantile(&means, 0.5) else {
            return Verdict::Abstain(Abstention::TooFew { found: means.len(), needed: 1 });
        };
        let own = trial.reports.best_until(interval, goal).unwrap_or(f64::NAN);
        match better(goal, median, own) {
            true => Verdict::Stop(Evidence::new(
                PolicyKind::MedianStopping,
                &trial.reports,
                own,
                median,
                means.len(),
            )),
            false => Verdict::Continue,
        }
    }
}
