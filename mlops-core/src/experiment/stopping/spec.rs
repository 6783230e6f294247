//! Any policy of this library, as a file says it.

use serde::{Deserialize, Serialize};

use super::{
    Asha, Bandit, Hyperband, MedianStopping, Patience, Percentile, StoppingPolicy, Threshold, TrialReports,
    TruncationSelection, Verdict, Wilcoxon,
};
use crate::experiment::sampler::Goal;

/// Any policy of this library; written and read with its name under `type`.
///
/// ```
/// use mlops_core::experiment::stopping::StoppingSpec;
///
/// let spec: StoppingSpec = toml::from_str("type = 'bandit'\nslack_factor = 0.1\ndelay_evaluation = 5")?;
/// assert!(matches!(spec, StoppingSpec::Bandit(bandit) if bandit.schedule.delay_evaluation == 5));
/// // What a file says is checked when it is read.
/// for bad in [
///     "type = 'bandit'",
///     "type = 'bandit'\nslack_factor = nan",
///     "type = 'asha'\nreduction_factor = 1",
///     "type = 'median_stopping'\nslack_factor = 0.1",
///     "type = 'luck'",
/// ] {
///     assert!(toml::from_str::<StoppingSpec>(bad).is_err(), "{bad}");
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum StoppingSpec {
    /// Azure ML's bandit.
    Bandit(Bandit),
    /// Azure ML's median stopping.
    MedianStopping(MedianStopping),
    /// Azure ML's truncation selection.
    TruncationSelection(TruncationSelection),
    /// Optuna's percentile and median rules.
    Percentile(Percentile),
    /// Asynchronous successive halving.
    Asha(Asha),
    /// Hyperband.
    Hyperband(Hyperband),
    /// Optuna's signed-rank rule.
    Wilcoxon(Wilcoxon),
    /// Bounds.
    Threshold(Threshold),
    /// No improvement for a while.
    Patience(Patience),
}

impl StoppingSpec {
    fn policy(&self) -> &dyn StoppingPolicy {
        match self {
            Self::Bandit(policy) => policy,
            Self::MedianStopping(policy) => policy,
            Self::TruncationSelection(policy) => policy,
            Self::Percentile(policy) => policy,
            Self::Asha(policy) => policy,
            Self::Hyperband(policy) => policy,
            Self::Wilcoxon(policy) => policy,
            Self::Threshold(policy) => policy,
            Self::Patience(policy) => policy,
        }
    }
}

impl StoppingPolicy for StoppingSpec {
    fn decide(&self, trial: &TrialReports, all: &[TrialReports], goal: Goal) -> Verdict {
        self.policy().decide(trial, all, goal)
    }

    fn promote(&self, all: &[TrialReports], goal: Goal) -> Option<u64> {
        self.policy().promote(all, goal)
    }
}

macro_rules! from {
    ($($policy:ident),*) => {$(
        impl From<$policy> for StoppingSpec {
            fn from(policy: $policy) -> Self {
                Self::$policy(policy)
            }
        }
    )*};
}
from!(
    Asha,
    Bandit,
    Hyperband,
    MedianStopping,
    Patience,
    Percentile,
    Threshold,
    TruncationSelection,
    Wilcoxon
);
