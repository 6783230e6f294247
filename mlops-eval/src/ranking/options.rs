//! What is looked at, what relevance is worth, and what ties and queries without relevant documents do.

use mlops_core::num::StatsError;
use serde::{Deserialize, Serialize};

/// What a grade of relevance is worth in DCG.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Gain {
    /// The grade itself (Järvelin and Kekäläinen 2002; scikit-learn, trec_eval). The default.
    #[default]
    Linear,
    /// 2^grade − 1 (Burges et al. 2005): the highest grades count for much more.
    Exponential,
}

impl Gain {
    pub(super) fn of(self, grade: f64) -> f64 {
        match self {
            Self::Linear => grade,
            Self::Exponential => grade.exp2() - 1.0,
        }
    }
}

/// In which order documents of equal score are read.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RankTies {
    /// In every order: the metric is its mean over all of them (McSherry and Najork 2008). The default.
    #[default]
    Averaged,
    /// In the order of the rows.
    RowOrder,
    /// In the reverse order of the rows: scikit-learn's `ignore_ties=True` where NumPy's sort, which promises no order of equal
    /// scores, happens to be stable.
    ReverseRowOrder,
}

/// What a query without relevant documents adds to the mean over queries.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WithoutRelevant {
    /// Nothing: it is left out and counted. The default, and trec_eval's way.
    #[default]
    Skip,
    /// 0, as in scikit-learn's `ndcg_score`.
    Zero,
    /// 1: nothing was there to be found.
    One,
}

/// How rankings are judged. The same options for every metric; each looks at those that concern it.
///
/// ```
/// use mlops_eval::ranking::{Gain, RankingOptions};
/// let options = RankingOptions::default().with_cutoff(10).with_gain(Gain::Exponential);
/// assert_eq!(options.cutoff, Some(10));
/// ```
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RankingOptions {
    /// k: how many documents from the top are looked at. `None`, the default: all of them.
    pub cutoff: Option<usize>,
    /// What grades are worth in DCG and NDCG.
    pub gain: Gain,
    /// The base of the logarithm that position r is discounted by in DCG: 1 / log_base(r + 1). Finite and above 1; 2 by default.
    /// NDCG does not depend on it.
    pub log_base: f64,
    /// A document is relevant if its grade is above this: in precision, recall, F1, hit rate, average precision and reciprocal
    /// rank. 0 by default.
    pub relevant_above: f64,
    /// The highest grade there is, which ERR needs to turn grades into probabilities: (2^grade − 1) / 2^max_grade.
    pub max_grade: Option<f64>,
    /// In which order documents of equal score are read.
    pub ties: RankTies,
    /// What a query without relevant documents adds to the mean.
    pub without_relevant: WithoutRelevant,
}

impl Default for RankingOptions {
    fn default() -> Self {
        Self {
            cutoff: None,
            gain: Gain::Linear,
            log_base: 2.0,
            relevant_above: 0.0,
            max_grade: None,
            ties: RankTies::Averaged,
            without_relevant: WithoutRelevant::Skip,
        }
    }
}

impl RankingOptions {
    /// Looks at the first k documents only.
    #[must_use]
    pub const fn with_cutoff(mut self, k: usize) -> Self {
        self.cutoff = Some(k);
        self
    }

    /// Chooses what grades are worth.
    #[must_use]
    pub const fn with_gain(mut self, gain: Gain) -> Self {
        self.gain = gain;
        self
    }

    /// Chooses the base of the discount's logarithm.
    #[must_use]
    pub const fn with_log_base(mut self, base: f64) -> Self {
        self.log_base = base;
        self
    }

    /// Chooses the grade that a relevant document is above.
    #[must_use]
    pub const fn with_relevant_above(mut self, grade: f64) -> Self {
        self.relevant_above = grade;
        self
    }

    /// Says what the highest grade is.
    #[must_use]
    pub const fn with_max_grade(mut self, grade: f64) -> Self {
        self.max_grade = Some(grade);
        self
    }

    /// Chooses what ties do.
    #[must_use]
    pub const fn with_ties(mut self, ties: RankTies) -> Self {
        self.ties = ties;
        self
    }

    /// Chooses what queries without relevant documents do.
    #[must_use]
    pub const fn with_without_relevant(mut self, choice: WithoutRelevant) -> Self {
        self.without_relevant = choice;
        self
    }

    pub(super) fn check(&self) -> Result<(), StatsError> {
        let refused = |parameter, value, reason| Err(StatsError::Parameter { parameter, value, reason });
        if self.cutoff == Some(0) {
            return refused("cutoff", 0.0, "must be at least 1");
        }
        if !(self.log_base.is_finite() && self.log_base > 1.0) {
            return refused("log_base", self.log_base, "must be finite and above 1");
        }
        if !self.relevant_above.is_finite() {
            return refused("relevant_above", self.relevant_above, "must be finite");
        }
        match self.max_grade {
            Some(grade) if !(grade > 0.0 && grade <= 1_000.0) => {
                refused("max_grade", grade, "must be above 0 and at most 1000")
            }
            _ => Ok(()),
        }
    }
}
