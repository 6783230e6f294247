//! Evidence for a gate: what its criteria ask to be tested, computed on the rows.
//!
//! A gate of `mlops-core` decides over reports, and says beforehand what a report cannot tell
//! ([`GateSpec::requirements`]): is 0.81 surely above 0.8, is the challenger surely not worse than the champion, do groups
//! surely differ by less than 0.1? [`StandardEvaluator::evidence`] answers on the rows, with the test that the criterion names or
//! the one that fits its metric:
//!
//! | claim | metric | tests, the default first |
//! |---|---|---|
//! | at least, at most, within | a share of rows | `exact` (binomial), `score` (Wilson), `bootstrap` |
//! | | ROC AUC | `delong`, `bootstrap` |
//! | | a mean over rows (log loss, Brier, MAE, MSE) | `t`, `bootstrap` |
//! | | any other, but errors of calibration | `bootstrap` (BCa) |
//! | not worse, better, the same as another model | a share of rows that both models have in common | `score` (Tango), `mcnemar` and `permutation` about a margin of 0, `bootstrap` |
//! | | ROC AUC | `delong`, `permutation` about 0, `bootstrap` |
//! | | a mean over rows | `t`, `sign_flip`, `wilcoxon`, `permutation` about 0, `bootstrap` |
//! | | any other, but errors of calibration | `bootstrap`, `permutation` about 0 |
//! | a disparity at most, a ratio at least | accuracy equality; demographic parity, equal opportunity, equalized odds, and the other rates of groups | `intersection_union` |
//!
//! Each p-value is that of the claim's opposite, before the gate's corrections. A test that does not fit the metric is an error, for
//! the gate asks for what cannot be had; a claim that the rows cannot decide (no variance, no positives) has evidence without a
//! p-value, and the gate finds it insufficient.
//!
//! Of several classes, accuracy and top-k accuracy are shares of all rows, and log loss and Brier score means over rows. A metric of
//! one class, as `recall/setosa`, is that of the class against the rest and has the tests of a binary task; so have the disparities
//! of one class. A disparity without a class is shown for every class that occurs, and its p-value is the largest of theirs. The
//! other model's classes are matched by name.

mod comparison;
mod disparity;
mod single;

use std::collections::BTreeMap;

use mlops_core::evaluation::{
    Claim, CriterionEvidence, EvaluationInput, GateEvidence, GateSpec, Requirement, TestName,
};
use mlops_core::hash::Digest;
use mlops_core::model::Predictions;
use mlops_core::problem::Task;
use mlops_core::{Error, Result};

use crate::catalog::{Input, Metric, Rows};
use crate::compare::{Difference, Method};
use crate::evaluator::{Classes, StandardEvaluator, booleans, numbers};

const OP: &str = "StandardEvaluator::evidence";

/// Another model's predictions for the same rows, in the same order.
///
/// ```
/// use mlops_core::hash::Digest;
/// use mlops_core::model::Predictions;
/// use mlops_eval::evidence::Other;
///
/// let predictions = Predictions::probability(vec![0.2, 0.9])?;
/// let champion = Other::new(Digest::of(b"champion"), &predictions);
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Other<'a> {
    model: Digest,
    predictions: &'a Predictions,
}

impl<'a> Other<'a> {
    /// The predictions of the model with this digest.
    pub fn new(model: Digest, predictions: &'a Predictions) -> Self {
        Self { model, predictions }
    }
}

/// The models with which criteria compare.
#[derive(Clone, Debug, Default)]
pub struct Others<'a> {
    champion: Option<Other<'a>>,
    baselines: BTreeMap<String, Other<'a>>,
}

impl<'a> Others<'a> {
    /// Sets the champion.
    ///
    /// ```
    /// use mlops_core::hash::Digest;
    /// use mlops_core::model::Predictions;
    /// use mlops_eval::evidence::{Other, Others};
    ///
    /// let (new, old) = (Predictions::value(vec![1.0])?, Predictions::value(vec![2.0])?);
    /// let others = Others::default()
    ///     .with_champion(Other::new(Digest::of(b"champion"), &new))
    ///     .with_baseline("last year", Other::new(Digest::of(b"old"), &old));
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    #[must_use]
    pub fn with_champion(mut self, champion: Other<'a>) -> Self {
        self.champion = Some(champion);
        self
    }

    /// Adds a baseline, under the name by which criteria speak of it.
    #[must_use]
    pub fn with_baseline(mut self, name: impl Into<String>, baseline: Other<'a>) -> Self {
        self.baselines.insert(name.into(), baseline);
        self
    }

    /// The model that a requirement compares with, if it is there.
    fn of(&self, requirement: &Requirement) -> Option<Other<'a>> {
        match &requirement.baseline {
            None => self.champion,
            Some(name) => self.baselines.get(name).copied(),
        }
    }
}

impl StandardEvaluator {
    /// Computes what a gate's criteria ask to be tested. Without the model that a criterion compares with, or without its slice or
    /// attribute, there is no evidence for it, and the gate says so.
    ///
    /// ```
    /// use mlops_core::data::Column;
    /// use mlops_core::evaluation::{EvaluationInput, Evaluator as _, GateInput, GateSpec, Verdict};
    /// use mlops_core::hash::Digest;
    /// use mlops_core::model::Predictions;
    /// use mlops_core::problem::Task;
    /// use mlops_eval::evaluator::StandardEvaluator;
    /// use mlops_eval::evidence::{Other, Others};
    ///
    /// let rows = 400;
    /// let truth: Vec<bool> = (0..rows).map(|row| row % 2 == 0).collect();
    /// let model = |errs: usize| {
    ///     let wrong = |row: usize| (row / 2) % errs == 0;
    ///     Predictions::probability((0..rows).map(|row| if truth[row] != wrong(row) { 0.8 } else { 0.3 }).collect())
    /// };
    /// let (challenger, champion) = (model(20)?, model(9)?);
    /// let truth = Column::bool("ill", truth.clone())?;
    /// let (data, task, at) = (Digest::of(b"data"), Task::BinaryClassification, "2026-01-01T00:00:00Z".parse()?);
    /// let input = |model: &'static str, predictions| {
    ///     EvaluationInput::new(Digest::of(model.as_bytes()), data, task, predictions, &truth, at)
    /// };
    /// let (new, old) = (input("challenger", &challenger), input("champion", &champion));
    ///
    /// let gate = GateSpec::from_toml(
    ///     r#"
    ///     name = "release"
    ///     [[criteria]]
    ///     id = "no-step-back"
    ///     metric = "accuracy"
    ///     max_drop = 0.01
    ///     hypothesis = "non_inferiority"
    ///     "#,
    /// )?;
    /// let evaluator = StandardEvaluator::default();
    /// let others = Others::default().with_champion(Other::new(old.model, old.predictions));
    /// let evidence = evaluator.evidence(&gate, &new, &others)?;
    /// let (report, champion) = (evaluator.evaluate(&new)?, evaluator.evaluate(&old)?);
    /// let decided = GateInput::new(&report).with_champion(&champion).with_evidence(&evidence);
    /// assert_eq!(gate.decide_with(&decided, new.at)?.verdict, Verdict::Pass);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](mlops_core::ErrorKind::InvalidInput) for rows that the evaluator refuses, predictions of another
    /// model that are not as many, and with the context `id` for a test that does not fit its metric or a metric that is not known.
    pub fn evidence(
        &self,
        gate: &GateSpec,
        input: &EvaluationInput<'_>,
        others: &Others<'_>,
    ) -> Result<GateEvidence> {
        input.check()?;
        let mut evidence = GateEvidence::new(gate.digest(), input.model, input.data);
        if let Some(champion) = others.champion {
            evidence = evidence.with_champion(champion.model);
        }
        for (name, baseline) in &others.baselines {
            evidence = evidence.with_baseline(name, baseline.model);
        }
        let all = others.champion.iter().chain(others.baselines.values());
        for other in all {
            let (wanted, got) = (input.predictions.len(), other.predictions.len());
            if wanted != got {
                let message = format!("the other model has {got} predictions, there are {wanted} rows");
                return Err(Error::invalid(OP, "others", message).with("model", other.model));
            }
        }
        let rows = OwnRows::of(self, input)?;
        for requirement in gate.requirements() {
            let found =
                Asked { evaluator: self, input, rows: &rows, others, requirement: &requirement }.answer();
            if let Some(found) = found.map_err(|error| error.with("id", &requirement.id))? {
                evidence = evidence.with(&requirement.id, found);
            }
        }
        Ok(evidence)
    }
}

/// The rows as the metrics take them.
enum OwnRows<'a> {
    Binary { truth: Vec<bool>, labels: Vec<bool> },
    Classes(Classes<'a>),
    Regression { truth: Vec<f64> },
}

impl<'a> OwnRows<'a> {
    fn of(evaluator: &StandardEvaluator, input: &EvaluationInput<'a>) -> Result<Self> {
        match input.task {
            Task::MulticlassClassification => Classes::of(input.predictions, input.truth).map(Self::Classes),
            Task::BinaryClassification => {
                let labels = evaluator.labels(input.predictions.as_slice())?;
                Ok(Self::Binary { truth: booleans(input.truth)?, labels })
            }
            Task::Regression => Ok(Self::Regression { truth: numbers(input.truth)? }),
            _ => Err(Error::unsupported(OP, "this task")),
        }
    }
}

/// What is computed from this model's rows and, where there is one, the other's.
type Answer<'a> = dyn Fn(&Input<'_>, Option<&Input<'_>>) -> Result<Option<CriterionEvidence>> + 'a;

/// One requirement, and everything there is to answer it.
struct Asked<'a> {
    evaluator: &'a StandardEvaluator,
    input: &'a EvaluationInput<'a>,
    rows: &'a OwnRows<'a>,
    others: &'a Others<'a>,
    requirement: &'a Requirement,
}

impl Asked<'_> {
    fn answer(&self) -> Result<Option<CriterionEvidence>> {
        if let Some(attribute) = &self.requirement.attribute {
            return self.disparity(attribute);
        }
        let (name, class) = self.asked();
        let metric: Metric =
            name.parse().map_err(|error| Error::invalid(OP, "metric", format!("{error}")))?;
        match &self.requirement.slice {
            None => self.with_input(class, &|input, other| self.about(metric, input, other)),
            Some(slice) => {
                let Some(mask) = self.evaluator.mask(self.input, slice)? else { return Ok(None) };
                self.with_input(class, &|input, other| {
                    let part = input.pick(&mask);
                    let other = other.map(|other| other.pick(&mask));
                    let other = other.as_ref().map(|other| other.input());
                    if part.input().rows() == 0 {
                        return Ok(None);
                    }
                    self.about(metric, &part.input(), other.as_ref())
                })
            }
        }
    }

    /// The name of the metric or disparity, and the class that it is about, if it is about one.
    fn asked(&self) -> (&str, Option<usize>) {
        let key = self.requirement.metric.as_str();
        match self.rows {
            OwnRows::Classes(classes) => {
                classes.named(key).map_or((key, None), |(name, class)| (name, Some(class)))
            }
            _ => (key, None),
        }
    }

    /// Calls `answer` with this model's rows and the other's; with a class against the rest, where there is one.
    fn with_input(&self, class: Option<usize>, answer: &Answer<'_>) -> Result<Option<CriterionEvidence>> {
        let other = self.others.of(self.requirement).filter(|_| self.requirement.is_comparison());
        match self.rows {
            OwnRows::Binary { truth, labels } => {
                let input =
                    Input::binary(truth).with_labels(labels).with_scores(self.input.predictions.as_slice());
                let Some(other) = other else { return answer(&input, None) };
                let scores = other.predictions.as_slice();
                let labels = self.evaluator.labels(scores)?;
                answer(&input, Some(&Input::binary(truth).with_labels(&labels).with_scores(scores)))
            }
            OwnRows::Classes(ours) => {
                let theirs = other.map(|other| ours.with(other.predictions)).transpose()?;
                let Some(class) = class else {
                    return answer(&ours.input(), theirs.as_ref().map(Classes::input).as_ref());
                };
                let theirs = theirs.map(|theirs| theirs.one_vs_rest(class));
                answer(&ours.one_vs_rest(class).input(), theirs.as_ref().map(|class| class.input()).as_ref())
            }
            OwnRows::Regression { truth } => {
                let input = Input::regression(truth, self.input.predictions.as_slice());
                let other = other.map(|other| Input::regression(truth, other.predictions.as_slice()));
                answer(&input, other.as_ref())
            }
        }
    }

    fn about(
        &self,
        metric: Metric,
        input: &Input<'_>,
        other: Option<&Input<'_>>,
    ) -> Result<Option<CriterionEvidence>> {
        let evidence = counted(input);
        match (self.requirement.claim, other) {
            (None, _) => Ok(Some(evidence)),
            (Some(claim), None) if !self.requirement.is_comparison() => {
                self.alone(metric, input, claim, evidence).map(Some)
            }
            // What is to be compared with is not there.
            (Some(_), None) => Ok(None),
            (Some(claim), Some(other)) => self.compared(metric, input, other, claim, evidence).map(Some),
        }
    }

    /// Adds what a measured value or difference says about a claim that is an interval of values: above `low`, below `high`.
    fn weighed(
        &self,
        measured: &dyn Difference,
        (low, high): (Option<f64>, Option<f64>),
        evidence: CriterionEvidence,
    ) -> Result<CriterionEvidence> {
        let tails =
            [low.map(|low| measured.ln_p_at_most(low)), high.map(|high| measured.ln_p_at_least(high))];
        let worst = tails.into_iter().flatten().map(mlops_core::num::Measured::value);
        let ln_p: Option<f64> = worst.reduce(|a, b| Some(a?.max(b?))).flatten();
        let (Some(ln_p), Some(estimate)) = (ln_p, measured.estimate().value()) else { return Ok(evidence) };
        let mut evidence = evidence.with_p(test_name(measured.method()), ln_p.exp().min(1.0), estimate);
        if let Some(interval) = measured.interval(self.requirement.confidence())? {
            evidence = evidence.with_interval(interval.lower, interval.upper, interval.confidence);
            let slack = [low.map(|low| estimate - low), high.map(|high| high - estimate)];
            let slack = slack.into_iter().flatten().fold(f64::INFINITY, f64::min);
            if let Some(more) = self.more_rows(&interval, slack, evidence.rows)? {
                evidence = evidence.with_more_rows(more);
            }
        }
        Ok(evidence)
    }

    /// How many more rows would show the claim if the estimate were true, from the width of the interval on these.
    fn more_rows(&self, interval: &crate::interval::Interval, slack: f64, rows: u64) -> Result<Option<u64>> {
        let z = mlops_core::num::special::normal_quantile(interval.confidence);
        let error = (interval.upper - interval.lower) / (2.0 * z);
        if !(slack > 0.0 && error > 0.0 && error.is_finite()) {
            return Ok(None);
        }
        let (alpha, power) = (self.requirement.alpha_alone, self.evaluator.options().power);
        let variance = error * error * rows as f64;
        let wanted = crate::compare::rows_for_difference(
            variance,
            slack,
            alpha,
            power,
            crate::compare::Alternative::Greater,
        )?;
        Ok(wanted.map(|wanted| wanted.saturating_sub(rows)))
    }
}

/// Rows, and those of each class.
fn counted(input: &Input<'_>) -> CriterionEvidence {
    let evidence = CriterionEvidence::new(input.rows() as u64);
    match input.parts().0 {
        Rows::Binary { y_true, .. } => {
            let positives = y_true.iter().filter(|positive| **positive).count() as u64;
            evidence.with_classes(positives, y_true.len() as u64 - positives)
        }
        _ => evidence,
    }
}

fn test_name(method: Method) -> TestName {
    match method {
        Method::Delong | Method::DelongContrast => TestName::Delong,
        Method::McnemarExact | Method::McnemarMidP | Method::McnemarChiSquare | Method::McnemarCorrected => {
            TestName::Mcnemar
        }
        Method::Tango => TestName::Score,
        Method::SignFlip | Method::SignFlipExact => TestName::SignFlip,
        Method::WilcoxonExact | Method::WilcoxonNormal => TestName::Wilcoxon,
        Method::Permutation | Method::PermutationExact => TestName::Permutation,
        Method::BootstrapPercentile | Method::BootstrapBasic | Method::BootstrapBca => TestName::Bootstrap,
        _ => TestName::T,
    }
}

/// The error of a gate that asks for a test its metric does not have.
fn unfit(test: TestName, what: &str) -> Error {
    Error::invalid(OP, "test", format!("the test {} does not fit {what}", test.name()))
}

/// The bounds that a claim sets to a value or a difference; with `flip` those of its negative.
fn bounds(claim: Claim) -> Result<(Option<f64>, Option<f64>)> {
    Ok(match claim {
        Claim::AtLeast { bound } => (Some(bound), None),
        Claim::AtMost { bound } => (None, Some(bound)),
        Claim::Within { min, max } => (Some(min), Some(max)),
        Claim::NonInferiority { max_drop } => (Some(-max_drop), None),
        Claim::Superiority { min_gain } => (Some(min_gain), None),
        Claim::Equivalence { band } => (Some(-band), Some(band)),
        _ => return Err(Error::unsupported(OP, "this claim")),
    })
}
