//! Early termination: whether a trial that is doing badly should go on.
//!
//! A policy is a pure function of what the trials have reported. A trial's reports are counted: the first is interval 1, the
//! second interval 2, whatever steps they carry. Azure ML's three policies speak of intervals; the others speak of steps, as
//! Optuna and Ray do: an epoch, a number of trees, anything that grows from report to report.
//!
//! | policy | a trial stops when | after |
//! |---|---|---|
//! | [`Bandit`] | it is farther from the best than a slack | Azure ML |
//! | [`MedianStopping`] | its best is worse than the median of the running means | Azure ML; Golovin et al., "Google Vizier" (KDD 2017) |
//! | [`TruncationSelection`] | it ranks among the worst share of the interval | Azure ML |
//! | [`Percentile`] | its best is worse than a percentile of the completed trials | Optuna |
//! | [`Asha`] | it is not among the best of its rung; or it waits there | Li et al. (MLSys 2020); Optuna, Ray |
//! | [`Hyperband`] | as above, in one of several brackets | Li et al. (JMLR 18, 2018); Optuna |
//! | [`Wilcoxon`] | a signed-rank test says it is worse than the best trial | Optuna |
//! | [`Threshold`] | a value leaves its bounds | Optuna |
//! | [`Patience`] | it has not improved for a while | Optuna |
//!
//! A NaN never counts as good: it beats nothing, improves nothing and is no best.

mod asha;
mod bandit;
mod hyperband;
mod median;
mod patience;
mod percentile;
mod reports;
mod schedule;
mod spec;
mod threshold;
mod truncation;
mod wilcoxon;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use asha::{Asha, RungRule};
pub use bandit::{Bandit, Slack};
pub use hyperband::Hyperband;
pub use median::MedianStopping;
pub use patience::Patience;
pub use percentile::Percentile;
pub use reports::{Report, Reports, Standing, TrialReports};
pub use schedule::EvaluationSchedule;
pub use spec::StoppingSpec;
pub use threshold::Threshold;
pub use truncation::TruncationSelection;
pub use wilcoxon::{Wilcoxon, signed_rank_greater};

use super::sampler::Goal;

/// Why a policy's settings, or a report, were refused.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum StoppingError {
    /// A setting lies outside its range.
    #[error("`{argument}` must be {expected}, got {value}")]
    Setting {
        /// The setting's name.
        argument: &'static str,
        /// What it must be.
        expected: &'static str,
        /// What it is.
        value: f64,
    },
    /// Two settings that exclude each other, or neither of two of which one is needed.
    #[error("exactly one of `{one}` and `{other}` must be given")]
    ExactlyOne {
        /// The one.
        one: &'static str,
        /// The other.
        other: &'static str,
    },
    /// A report whose step does not come after the last one.
    #[error("`step` is {step}, but must be greater than {last}, the step of report {interval}")]
    Step {
        /// The step.
        step: u64,
        /// The step of the last report.
        last: u64,
        /// The number of the last report.
        interval: u64,
    },
    /// A step beyond the greatest, 2⁶³ − 1, or one report too many.
    #[error("`{argument}` is {value}, but must be at most {limit}")]
    Limit {
        /// What is too much.
        argument: &'static str,
        /// The greatest.
        limit: u64,
        /// What it is.
        value: u64,
    },
    /// A policy within a policy within a policy.
    #[error("`inner` may not hold a policy that holds another")]
    Nested,
}

/// Which policy.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PolicyKind {
    /// [`Bandit`].
    Bandit,
    /// [`MedianStopping`].
    MedianStopping,
    /// [`TruncationSelection`].
    TruncationSelection,
    /// [`Percentile`].
    Percentile,
    /// [`Asha`].
    Asha,
    /// [`Hyperband`].
    Hyperband,
    /// [`Wilcoxon`].
    Wilcoxon,
    /// [`Threshold`].
    Threshold,
    /// [`Patience`].
    Patience,
    /// One that is not of this library.
    Custom,
}

impl PolicyKind {
    /// Its name in records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bandit => "bandit",
            Self::MedianStopping => "median_stopping",
            Self::TruncationSelection => "truncation_selection",
            Self::Percentile => "percentile",
            Self::Asha => "asha",
            Self::Hyperband => "hyperband",
            Self::Wilcoxon => "wilcoxon",
            Self::Threshold => "threshold",
            Self::Patience => "patience",
            Self::Custom => "custom",
        }
    }
}

impl fmt::Display for PolicyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a decision rests on.
#[non_exhaustive]
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    /// The policy that decided.
    pub policy: PolicyKind,
    /// The number of the trial's report at which it did, from 1.
    pub interval: u64,
    /// The step of that report.
    pub step: u64,
    /// The trial's own number: its best, its last value or a p-value, as the policy says; NaN when it had none.
    #[serde(with = "crate::num::json_float")]
    pub own: f64,
    /// What that was held against.
    #[serde(with = "crate::num::json_float")]
    pub bound: f64,
    /// How many trials the bound was made of.
    pub compared: u64,
    /// The rung, for policies that have any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rung: Option<u32>,
}

impl Evidence {
    /// Evidence about the trial's last report.
    pub fn new(policy: PolicyKind, trial: &Reports, own: f64, bound: f64, compared: usize) -> Self {
        let step = trial.last().map_or(0, |report| report.step);
        Self { policy, interval: trial.interval(), step, own, bound, compared: compared as u64, rung: None }
    }

    /// Says at which rung.
    #[must_use]
    pub fn with_rung(mut self, rung: u32) -> Self {
        self.rung = Some(rung);
        self
    }
}

/// Equal when all numbers have the same bits, so that a NaN equals itself.
impl PartialEq for Evidence {
    fn eq(&self, other: &Self) -> bool {
        let bits = |e: &Self| (bits(e.own), bits(e.bound));
        let rest = |e: &Self| (e.policy, e.interval, e.step, e.compared, e.rung);
        rest(self) == rest(other) && bits(self) == bits(other)
    }
}

/// The bits of a number, those of every NaN the same.
pub(crate) fn bits(value: f64) -> u64 {
    if value.is_nan() { f64::NAN.to_bits() } else { value.to_bits() }
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at interval {} (step {}): {}", self.policy, self.interval, self.step, self.own)?;
        write!(f, " against {}, from {} trials", self.bound, self.compared)?;
        match self.rung {
            Some(rung) => write!(f, ", rung {rung}"),
            None => Ok(()),
        }
    }
}

/// Why a policy said nothing where it was asked. The trial goes on.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Abstention {
    /// A slack given as a ratio means nothing when the best value is not positive: the bound would lie on the wrong side of
    /// it. Give the slack as an amount.
    RatioOfNonPositive {
        /// The best value.
        best: f64,
    },
    /// The policy is not evaluated at this report.
    NotDue,
    /// Too few trials, or too few common reports, to compare with.
    TooFew {
        /// How many there are.
        found: usize,
        /// How many are needed.
        needed: usize,
    },
    /// The values compared are not all finite.
    NotFinite,
}

impl fmt::Display for Abstention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RatioOfNonPositive { best } => {
                write!(
                    f,
                    "the best value is {best}: a slack given as a ratio needs one above 0; give an amount"
                )
            }
            Self::NotDue => f.write_str("not due at this report"),
            Self::TooFew { found, needed } => write!(f, "{found} to compare with, {needed} are needed"),
            Self::NotFinite => f.write_str("the values compared are not all finite"),
        }
    }
}

/// What a policy says about a trial that has just reported.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// Go on: it was compared and is good enough.
    Continue,
    /// Go on: nothing was compared.
    Abstain(Abstention),
    /// Stop.
    Stop(Evidence),
    /// Make room for others, and wait until [`StoppingPolicy::promote`] names the trial.
    Pause(Evidence),
}

impl Verdict {
    /// Whether the trial goes on now.
    pub const fn goes_on(&self) -> bool {
        matches!(self, Self::Continue | Self::Abstain(_))
    }

    /// The evidence of a trial that does not go on.
    pub const fn evidence(&self) -> Option<&Evidence> {
        match self {
            Self::Stop(evidence) | Self::Pause(evidence) => Some(evidence),
            Self::Continue | Self::Abstain(_) => None,
        }
    }
}

/// Decides whether a trial goes on.
///
/// # Contract
/// * Pure: the same reports give the same verdict, on every machine. It neither waits nor keeps anything.
/// * Asked once for each report, with all trials as they are just after it.
/// * Values that are NaN never speak for a trial.
pub trait StoppingPolicy: fmt::Debug + Send + Sync {
    /// What to do with a trial after its last report. `all` holds every trial of the sweep, in the order of their numbers;
    /// the one with the number of `trial` is not compared with itself.
    fn decide(&self, trial: &TrialReports, all: &[TrialReports], goal: Goal) -> Verdict;

    /// The number of a waiting trial that may go on, if there is one: asked whenever a place is free, before a new trial is
    /// begun. Policies that never pause have none.
    fn promote(&self, all: &[TrialReports], goal: Goal) -> Option<u64> {
        let _ = (all, goal);
        None
    }
}

/// Never called: that it compiles says that the trait can be an object.
#[allow(dead_code)]
fn is_object_safe(_: &dyn StoppingPolicy) {}

/// Whether `a` is strictly better than `b`; a NaN is better than nothing, and anything else is better than a NaN.
pub(crate) fn better(goal: Goal, a: f64, b: f64) -> bool {
    goal.is_better(a, b)
}

/// The better of two values that are not NaN.
pub(crate) fn best_of(goal: Goal, values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut best = None;
    for value in values.into_iter().filter(|value| !value.is_nan()) {
        if best.is_none_or(|best| better(goal, value, best)) {
            best = Some(value);
        }
    }
    best
}
