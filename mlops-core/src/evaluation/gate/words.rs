//! The words of a gate's file.

use serde::{Deserialize, Serialize};

use crate::evaluation::Verdict;
use crate::num::multiple::Correction;

/// An end of a confidence interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IntervalEnd {
    /// The lower end: goes with `min`.
    Low,
    /// The upper end: goes with `max`.
    High,
}

/// What a comparison with the champion says when there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoChampion {
    /// The criterion passes: a first release is possible.
    Pass,
    /// The criterion fails.
    Fail,
    /// The criterion cannot be decided. The default: nobody releases for the first time by accident.
    #[default]
    Insufficient,
}

impl From<NoChampion> for Verdict {
    fn from(policy: NoChampion) -> Self {
        match policy {
            NoChampion::Pass => Self::Pass,
            NoChampion::Fail => Self::Fail,
            NoChampion::Insufficient => Self::Insufficient,
        }
    }
}

/// How much it matters that a criterion is not met.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The gate does not pass. The default.
    #[default]
    Error,
    /// It is shown, and the gate may pass.
    Warning,
    /// It is mentioned, and the gate may pass.
    Note,
}

impl Severity {
    /// The name in files and reports: `error`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }

    /// Whether a criterion of this severity can keep the gate from passing.
    ///
    /// ```
    /// use mlops_core::evaluation::Severity;
    /// assert!(Severity::Error.blocks() && !Severity::Warning.blocks());
    /// ```
    pub const fn blocks(self) -> bool {
        matches!(self, Self::Error)
    }

    pub(in crate::evaluation) const fn is_error(&self) -> bool {
        self.blocks()
    }
}

/// What a test of a comparison has to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hypothesis {
    /// That the model is not worse by more than `max_drop`.
    NonInferiority,
    /// That the model is better by more than `min_gain`.
    Superiority,
    /// That the two differ by less than `band`, whichever way.
    Equivalence,
}

/// The test from which a p-value comes. Which of them fit a metric is for the evaluator to say.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TestName {
    /// The one that the evaluator finds most fit for the metric. The default.
    #[default]
    Auto,
    /// A paired bootstrap; of any metric.
    Bootstrap,
    /// DeLong's test; of two areas under the ROC curve.
    Delong,
    /// An exact binomial test; of a rate and a bound.
    Exact,
    /// Every pair of groups at the level of the whole; of a disparity and a bound.
    IntersectionUnion,
    /// McNemar's test; of two rates on the same rows.
    Mcnemar,
    /// A paired permutation of the two models' predictions; of any metric.
    Permutation,
    /// A score test (Wilson, Newcombe); of rates.
    Score,
    /// Signs of the differences per row turned at random; of a mean over rows.
    SignFlip,
    /// Student's t; of a mean over rows.
    T,
    /// Wilcoxon's signed ranks; of differences per row.
    Wilcoxon,
}

impl TestName {
    /// The name in files and reports: `delong`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Bootstrap => "bootstrap",
            Self::Delong => "delong",
            Self::Exact => "exact",
            Self::IntersectionUnion => "intersection_union",
            Self::Mcnemar => "mcnemar",
            Self::Permutation => "permutation",
            Self::Score => "score",
            Self::SignFlip => "sign_flip",
            Self::T => "t",
            Self::Wilcoxon => "wilcoxon",
        }
    }

    /// Whether the test needs two models on the same rows.
    pub(super) const fn is_paired(self) -> bool {
        matches!(self, Self::Delong | Self::Mcnemar | Self::Permutation | Self::SignFlip | Self::Wilcoxon)
    }

    /// Whether the test has nothing to say about two models.
    pub(super) const fn is_single(self) -> bool {
        matches!(self, Self::Exact)
    }
}

/// What is done about several tests in one gate.
///
/// All criteria of severity `error` must pass for the gate to pass, and the claim "every one of them holds" is kept at the level of a
/// single test without any correction: that is the intersection-union principle (Berger, *Multiparameter hypothesis testing
/// and acceptance sampling*, Technometrics 24, 1982). A correction is for reading criteria one by one.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Multiplicity {
    /// Nothing: every test stands for itself. The default; for the verdict of the whole gate the same as `intersection_union`.
    #[default]
    None,
    /// Every test at the level of the whole, and only all of them together are a claim.
    IntersectionUnion,
    /// The chance of any false pass among the tests is kept, step by step.
    Holm,
    /// The chance of any false pass among the tests is kept, at α divided by their number.
    Bonferroni,
    /// The chance of any false pass is kept for independent or positively dependent tests.
    Hommel,
    /// The share of false passes among passes is kept, for independent or positively dependent tests; for exploring.
    BenjaminiHochberg,
}

impl Multiplicity {
    /// The name in files and reports: `holm`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::IntersectionUnion => "intersection_union",
            Self::Holm => "holm",
            Self::Bonferroni => "bonferroni",
            Self::Hommel => "hommel",
            Self::BenjaminiHochberg => "benjamini_hochberg",
        }
    }

    /// How p-values are adjusted before they are compared with α.
    ///
    /// ```
    /// use mlops_core::evaluation::Multiplicity;
    /// use mlops_core::num::multiple::Correction;
    /// assert_eq!(Multiplicity::Holm.correction(), Correction::Holm);
    /// assert_eq!(Multiplicity::IntersectionUnion.correction(), Correction::None);
    /// ```
    pub const fn correction(self) -> Correction {
        match self {
            Self::None | Self::IntersectionUnion => Correction::None,
            Self::Holm => Correction::Holm,
            Self::Bonferroni => Correction::Bonferroni,
            Self::Hommel => Correction::Hommel,
            Self::BenjaminiHochberg => Correction::BenjaminiHochberg,
        }
    }

    pub(super) const fn corrects(self) -> bool {
        !matches!(self, Self::None | Self::IntersectionUnion)
    }
}
