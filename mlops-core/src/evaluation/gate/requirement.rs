//! What has to be computed before a gate can decide.

use serde::{Deserialize, Serialize};

use super::criterion::Criterion;
use super::spec::GateSpec;
use super::words::TestName;
use crate::id::MetricKey;
use crate::problem::Direction;

/// What a test has to show: the opposite is its null hypothesis, and its p-value is small when the claim holds.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "claim", rename_all = "snake_case", deny_unknown_fields)]
pub enum Claim {
    /// The value is at least `bound`.
    AtLeast {
        /// The bound.
        bound: f64,
    },
    /// The value is at most `bound`.
    AtMost {
        /// The bound.
        bound: f64,
    },
    /// The value is at least `min` and at most `max`: two tests, of which the larger p-value counts.
    Within {
        /// The lower bound.
        min: f64,
        /// The upper bound.
        max: f64,
    },
    /// The value is worse than the other model's by at most `max_drop`.
    NonInferiority {
        /// The margin.
        max_drop: f64,
    },
    /// The value is better than the other model's by at least `min_gain`.
    Superiority {
        /// The margin.
        min_gain: f64,
    },
    /// The value differs from the other model's by at most `band`: two tests, of which the larger p-value counts.
    Equivalence {
        /// The margin.
        band: f64,
    },
}

/// What has to be computed for one criterion.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Requirement {
    /// The criterion's id.
    pub id: String,
    /// The metric; with `attribute`, the disparity.
    pub metric: MetricKey,
    /// The slice.
    pub slice: Option<String>,
    /// The sensitive attribute.
    pub attribute: Option<String>,
    /// What has to be shown; `None` when only the rows of each class have to be counted.
    pub claim: Option<Claim>,
    /// The baseline with which is compared; `None`: the champion, or nothing.
    pub baseline: Option<String>,
    /// Which way the metric is better, where the gate says so.
    pub direction: Option<Direction>,
    /// The test; with [`TestName::Auto`] the evaluator chooses.
    pub test: TestName,
    /// The level with which the adjusted p-value will be compared: the gate's or the criterion's, divided for reuse.
    pub alpha: f64,
    /// The level at which one p-value decides by itself, whatever the others are: `alpha`, divided by the number of tests
    /// where the gate corrects for it. Use it for the interval and for the rows that are still needed.
    pub alpha_alone: f64,
    /// The fewest rows.
    pub min_rows: u64,
    /// The fewest rows of the positive class.
    pub min_positives: Option<u64>,
    /// The fewest rows of the negative class.
    pub min_negatives: Option<u64>,
}

impl Requirement {
    /// Whether another model's predictions are needed.
    pub fn is_comparison(&self) -> bool {
        use Claim::{Equivalence, NonInferiority, Superiority};
        matches!(self.claim, Some(Equivalence { .. } | NonInferiority { .. } | Superiority { .. }))
    }

    /// The confidence of the two-sided interval that says the same as the one-sided test: 1 − 2 `alpha_alone`, and below 1
    /// also where α is too small for the difference to be seen.
    pub fn confidence(&self) -> f64 {
        (1.0 - 2.0 * self.alpha_alone).min(1.0 - f64::EPSILON)
    }
}

impl Criterion {
    /// What a test has to show; nothing for a criterion that is not tested.
    pub(in crate::evaluation) fn claim(&self) -> Option<Claim> {
        if !self.is_tested() {
            return None;
        }
        match (self.max_drop, self.min_gain, self.band) {
            (Some(max_drop), ..) => return Some(Claim::NonInferiority { max_drop }),
            (_, Some(min_gain), _) => return Some(Claim::Superiority { min_gain }),
            (.., Some(band)) => return Some(Claim::Equivalence { band }),
            _ => {}
        }
        match (self.min, self.max) {
            (Some(min), Some(max)) => Some(Claim::Within { min, max }),
            (Some(bound), None) => Some(Claim::AtLeast { bound }),
            (None, Some(bound)) => Some(Claim::AtMost { bound }),
            (None, None) => None,
        }
    }
}

impl GateSpec {
    /// What has to be computed before the gate can decide: one entry for each criterion that is tested or asks for rows of
    /// each class, in the order of the file.
    ///
    /// ```
    /// use mlops_core::evaluation::{Claim, GateSpec, TestName};
    ///
    /// let gate = GateSpec::from_toml(
    ///     r#"
    ///     name = "release"
    ///     alpha = 0.05
    ///     multiplicity = "bonferroni"
    ///     reuse = { budget = 5, adaptivity = "first_change" }
    ///
    ///     [[criteria]]
    ///     id = "no-step-back"
    ///     metric = "roc_auc"
    ///     max_drop = 0.01
    ///     test = "delong"
    ///
    ///     [[criteria]]
    ///     id = "accuracy"
    ///     metric = "accuracy"
    ///     min = 0.8
    ///     test = "score"
    ///
    ///     [[criteria]]
    ///     id = "loss"
    ///     metric = "log_loss"
    ///     max = 0.5
    ///     "#,
    /// )?;
    /// let needed = gate.requirements();
    /// assert_eq!(needed.len(), 2);
    /// assert_eq!(needed[0].claim, Some(Claim::NonInferiority { max_drop: 0.01 }));
    /// assert_eq!((needed[0].test, needed[0].alpha, needed[0].alpha_alone), (TestName::Delong, 0.01, 0.005));
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn requirements(&self) -> Vec<Requirement> {
        let tests = self.criteria().iter().filter(|c| c.is_tested()).count().max(1) as f64;
        let needs = |c: &Criterion| {
            let alpha = self.level(c);
            let corrected = self.rules().multiplicity.unwrap_or_default().corrects();
            Requirement {
                id: c.id.clone(),
                metric: c.metric.clone(),
                slice: c.slice.clone(),
                attribute: c.attribute.clone(),
                claim: c.claim(),
                baseline: c.baseline.clone(),
                direction: c.direction,
                test: c.test.unwrap_or_default(),
                alpha,
                alpha_alone: if corrected { alpha / tests } else { alpha },
                min_rows: c.min_rows.unwrap_or(1).max(1),
                min_positives: c.min_positives,
                min_negatives: c.min_negatives,
            }
        };
        self.criteria().iter().filter(|c| c.needs_evidence()).map(needs).collect()
    }
}
