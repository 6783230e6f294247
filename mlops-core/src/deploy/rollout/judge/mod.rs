//! Judges: from observations of candidate and stable version to a verdict, with the numbers it rests on. Pure functions.
//!
//! | judge | question | looks | samples |
//! |---|---|---|---|
//! | [`Threshold`] | is a number on the good side of a limit? | uncorrected | any |
//! | [`MannWhitney`] | is the shift beyond a share of the stable version's median? | one | large |
//! | [`Kayenta`] | what does Spinnaker's judge say? with [`score`] over many metrics | one | large |
//! | [`Proportions`] | is a proportion beyond the other by more than a margin? | any number | any |
//! | [`Means`] | is a mean beyond the other by more than a margin? | any number | large |
//! | [`BoundedMeans`] | the same for values in a known range | any number | any |
//!
//! A rollout asks its guards again and again. A test made for one look, asked each minute whether it is significant yet, raises a
//! false alarm in the end whatever the level: use a judge for any number of looks, whose alpha holds for the whole rollout. Its
//! [`Evidence`] is carried from step to step.
//!
//! # Questions and answers
//! **Why is "either direction" refused by the sequential judges?** A margin lies on one side; two guards say what each side may be.
//!
//! **Why does `Proportions` take the worst case over both rates, rather than their difference alone?** The variance of a rate is
//! its own unknown; the smallest evidence over all pairs of rates that meet the hypothesis is valid for each of them.

mod bounded;
mod finding;
mod kayenta;
mod mann_whitney;
mod means;
mod observations;
mod proportions;
mod rank_shift;
mod score;
mod sequential;
mod threshold;

use serde::{Deserialize, Serialize};

pub use bounded::BoundedMeans;
pub use finding::Finding;
pub use kayenta::{Classification, EffectSize, Kayenta, NanStrategy};
pub use mann_whitney::MannWhitney;
pub use means::Means;
pub use observations::{Count, Observations};
pub use proportions::{Proportions, proportion_evidence, proportion_interval};
pub use rank_shift::{RankShift, rank_shift};
pub use score::{ClassifiedMetric, Score, ScoreOptions, score};
pub use sequential::{Evidence, Level};
pub use threshold::{Against, Comparator, Statistic, Threshold};

use crate::num::StatsError;

/// Which change of a metric is bad.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// More is bad, as of latency.
    Increase,
    /// Less is bad, as of accuracy.
    Decrease,
    /// Any change is bad.
    #[default]
    Either,
}

/// One of the judges, as a plan names it.
///
/// ```
/// use mlops_core::deploy::rollout::judge::{Judge, Proportions, Threshold};
///
/// let judge: Judge = toml::from_str(r#"proportions = { margin = 0.01, level = { alpha = 0.01 } }"#)?;
/// assert!(matches!(&judge, Judge::Proportions(p) if p.margin == 0.01));
/// assert!(judge.is_sequential() && judge.compares());
/// assert!(!Judge::from(Threshold::at_most(0.2)).compares());
/// assert!(toml::from_str::<Judge>("proportions = { margin = 0.01, alpha = 0.01 }").is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Judge {
    /// A limit on one number.
    Threshold(Threshold),
    /// A shift beyond a margin, by ranks.
    MannWhitney(MannWhitney),
    /// Kayenta's judge.
    Kayenta(Kayenta),
    /// Two proportions, at any number of looks.
    Proportions(Proportions),
    /// Two means, at any number of looks, for large samples.
    Means(Means),
    /// Two means of values in a known range, at any number of looks.
    BoundedMeans(BoundedMeans),
}

macro_rules! from {
    ($($judge:ident),*) => {$(
        impl From<$judge> for Judge {
            fn from(judge: $judge) -> Self {
                Self::$judge(judge)
            }
        }
    )*};
}
from!(Threshold, MannWhitney, Kayenta, Proportions, Means, BoundedMeans);

impl Judge {
    /// Judges one step; `earlier` is what a sequential judge found in the steps before, others do not look at it.
    ///
    /// # Errors
    /// Those of the judge: an option out of its range, or observations it cannot judge.
    ///
    /// ```
    /// use mlops_core::deploy::rollout::GuardVerdict;
    /// use mlops_core::deploy::rollout::judge::{Evidence, Judge, Observations, Threshold};
    /// let judge = Judge::from(Threshold::at_most(0.2));
    /// let seen = Observations::values(vec![0.1, 0.4], Vec::new());
    /// assert_eq!(judge.judge(&seen, Evidence::default())?.verdict, GuardVerdict::Fail);
    /// # Ok::<(), mlops_core::num::StatsError>(())
    /// ```
    pub fn judge(&self, seen: &Observations, earlier: Evidence) -> Result<Finding, StatsError> {
        match self {
            Self::Threshold(judge) => judge.judge(seen),
            Self::MannWhitney(judge) => judge.judge(seen),
            Self::Kayenta(judge) => judge.judge(seen),
            Self::Proportions(judge) => judge.judge(seen, earlier),
            Self::Means(judge) => judge.judge(seen, earlier),
            Self::BoundedMeans(judge) => judge.judge(seen, earlier),
        }
    }

    /// Checks the options.
    ///
    /// # Errors
    /// [`StatsError::Parameter`] names the option.
    pub fn check(&self) -> Result<(), StatsError> {
        match self {
            Self::Threshold(judge) => judge.check(),
            Self::MannWhitney(judge) => judge.check(),
            Self::Kayenta(judge) => judge.check(),
            Self::Proportions(judge) => judge.check(),
            Self::Means(judge) => judge.check(),
            Self::BoundedMeans(judge) => judge.check(),
        }
    }

    /// Whether its level holds however often it is asked, and its evidence is carried on.
    pub fn is_sequential(&self) -> bool {
        matches!(self, Self::Proportions(_) | Self::Means(_) | Self::BoundedMeans(_))
    }

    /// Whether it looks at the stable version too.
    pub fn compares(&self) -> bool {
        match self {
            Self::Threshold(judge) => judge.compares(),
            _ => true,
        }
    }
}
