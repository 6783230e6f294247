//! One question for any metric: is the challenger not worse than the champion by more than a margin?

use mlops_core::num::parallel::Threads;
use mlops_core::num::{Measured, StatsError, UndefinedReason};
use serde::{Deserialize, Serialize};

use super::bootstrap::{BootstrapOptions, bootstrap_cells, bootstrap_rows};
use super::counts::{PairedCells, PairedCounts};
use super::delong::Delong;
use super::differences::{DrawOptions, SignFlips, mean_difference};
use super::equivalence::{Difference, Verdict, Wald};
use super::mcnemar::{McnemarKind, mcnemar_with};
use super::permutation::{permutation, permutation_cells};
use super::result::{Alternative, Method, TestResult, check_finite, check_share};
use super::sample_size::rows_for_difference;
use super::wilcoxon::{WilcoxonOptions, wilcoxon_with};
use crate::catalog::{ClassRows, Direction, Input, Metric, MulticlassMetric, Rows, ScoreMetric};
use crate::classification::{LabelMetric, TopKOptions};
use crate::interval::{BootstrapInterval, Interval};
use crate::regression::RegressionMetric;

/// Which test a metric that is a mean over rows gets.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LossTest {
    /// Student's t on the rows' differences. The default.
    #[default]
    StudentT,
    /// The sign-flip test, exact for few rows; its interval is Student's.
    SignFlip,
    /// The bootstrap.
    Bootstrap,
}

/// The choices of [`paired`].
///
/// ```
/// use mlops_eval::compare::PairedOptions;
/// let options = PairedOptions::default().with_alpha(0.025).with_power(0.9);
/// assert_eq!((options.alpha, options.power), (0.025, 0.9));
/// ```
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PairedOptions {
    /// The level of the one-sided test, above 0 and below 0.5. Default 0.05.
    pub alpha: f64,
    /// The power that [`PairedComparison::rows_needed`] plans for. Default 0.8.
    pub power: f64,
    /// The seed of tests that draw. Default 0.
    pub seed: u64,
    /// How many resamples a bootstrap or drawn permutation takes. Default 2 000.
    pub resamples: u64,
    /// The test of mean losses. Default: Student's t.
    pub losses: LossTest,
    /// Which bootstrap interval. Default: BCa.
    pub interval: BootstrapInterval,
    /// How many threads may work. Default 1.
    pub threads: Threads,
}

impl Default for PairedOptions {
    fn default() -> Self {
        Self {
            alpha: 0.05,
            power: 0.8,
            seed: 0,
            resamples: 2_000,
            losses: LossTest::StudentT,
            interval: BootstrapInterval::Bca,
            threads: Threads::ONE,
        }
    }
}

impl PairedOptions {
    /// Sets [`Self::alpha`].
    #[must_use]
    pub const fn with_alpha(mut self, alpha: f64) -> Self {
        self.alpha = alpha;
        self
    }

    /// Sets [`Self::power`].
    #[must_use]
    pub const fn with_power(mut self, power: f64) -> Self {
        self.power = power;
        self
    }

    /// Sets [`Self::seed`].
    #[must_use]
    pub const fn with_seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Sets [`Self::resamples`].
    #[must_use]
    pub const fn with_resamples(mut self, resamples: u64) -> Self {
        self.resamples = resamples;
        self
    }

    /// Sets [`Self::losses`].
    #[must_use]
    pub const fn with_losses(mut self, losses: LossTest) -> Self {
        self.losses = losses;
        self
    }

    /// Sets [`Self::interval`].
    #[must_use]
    pub const fn with_interval(mut self, interval: BootstrapInterval) -> Self {
        self.interval = interval;
        self
    }

    /// Sets [`Self::threads`].
    #[must_use]
    pub const fn with_threads(mut self, threads: Threads) -> Self {
        self.threads = threads;
        self
    }

    fn check(&self) -> Result<(), StatsError> {
        check_share("power", self.power)?;
        check_share("alpha", self.alpha)?;
        if self.alpha >= 0.5 {
            let reason = "must lie below 0.5";
            return Err(StatsError::Parameter { parameter: "alpha", value: self.alpha, reason });
        }
        self.bootstrap().check()
    }

    pub(crate) fn bootstrap(&self) -> BootstrapOptions {
        BootstrapOptions::default()
            .with_seed(self.seed)
            .with_resamples(self.resamples)
            .with_interval(self.interval)
            .with_threads(self.threads)
    }
}

/// What [`paired`] found. Differences are challenger minus champion in the metric's unit, whichever way is better.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PairedComparison {
    /// The metric.
    pub metric: Metric,
    /// Which way it is better.
    pub direction: Direction,
    /// The test.
    pub method: Method,
    /// The champion's value.
    pub champion: Measured,
    /// The challenger's value.
    pub challenger: Measured,
    /// Challenger minus champion.
    pub difference: Measured,
    /// Two-sided, of confidence 1 − α.
    pub interval: Option<Interval>,
    /// Two-sided, of confidence 1 − 2α: the claim is shown when its worse limit is better than the margin.
    pub one_sided_interval: Option<Interval>,
    /// How much worse the challenger may be.
    pub margin: f64,
    /// The level α.
    pub alpha: f64,
    /// The one-sided p-value of "the challenger is worse by the margin or more".
    pub p: Measured,
    /// Its natural logarithm.
    pub ln_p: Measured,
    /// Whether "not worse by the margin" is shown, refuted or open.
    pub verdict: Verdict,
    /// The rows compared.
    pub rows: u64,
    /// How many rows in all would show the claim with the power asked for, if difference and variance are as on these rows. `None`
    /// where no number would, or nothing is known of the variance.
    pub rows_needed: Option<u64>,
    /// How many more rows that is; 0 where there are enough.
    pub more_rows: Option<u64>,
}

/// Compares the challenger with the champion by a metric, on the same rows, with the test that fits the metric:
///
/// | metric | test and interval |
/// |---|---|
/// | ROC AUC | DeLong |
/// | accuracy, recall, specificity, false positive and false negative rate | Tango's score on the rows the rate counts |
/// | accuracy and zero-one loss of several classes, and what equals them; top-k accuracy without ties | Tango's score on all rows |
/// | precision, F1, MCC and the other metrics of binary labels | bootstrap of the paired cells |
/// | log loss, Brier score, also of several classes, MAE, MSE | Student's t on the rows' differences, or [`PairedOptions::losses`] |
/// | everything else, and everything weighted | bootstrap of the rows |
///
/// Errors and tests of calibration are refused: noise makes such an error larger, resampling adds noise, and no test of the
/// difference of two is known to keep its level. The Brier score and the log loss hold calibration to account and have one.
///
/// The claim is that the challenger is not worse by `margin` or more; 0 asks for better at all, a negative margin for better by
/// that much. Where the models never differ, Tango's score still bounds the difference, while DeLong, t and the bootstrap have no
/// variance to go by: p is undefined and the verdict [`Verdict::Undecided`]. Both inputs carry the same truth. Prefer a margin and options chosen before the data were seen.
///
/// # Errors
/// [`StatsError::Unsupported`] for a metric that has no better end, an error of calibration, or what an input cannot be asked for;
/// [`StatsError::Incompatible`] for inputs of different truth or weights; [`StatsError::Parameter`]; and what the metric refuses.
///
/// ```
/// use mlops_eval::catalog::Input;
/// use mlops_eval::compare::{PairedOptions, Verdict, paired};
///
/// let y_true = [true, false].repeat(200);
/// let champion: Vec<bool> = (0..400).map(|row| y_true[row] ^ (row % 9 == 0)).collect();
/// let challenger: Vec<bool> = (0..400).map(|row| y_true[row] ^ (row % 16 == 0)).collect();
/// let (champion, challenger) =
///     (Input::binary(&y_true).with_labels(&champion), Input::binary(&y_true).with_labels(&challenger));
/// let comparison = paired("accuracy".parse()?, &champion, &challenger, 0.0, &PairedOptions::default())?;
/// assert_eq!(comparison.verdict, Verdict::Shown);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn paired(
    metric: Metric,
    champion: &Input<'_>,
    challenger: &Input<'_>,
    margin: f64,
    options: &PairedOptions,
) -> Result<PairedComparison, StatsError> {
    options.check()?;
    check_finite("margin", margin)?;
    if metric.direction() == Direction::Neither {
        let reason = "neither end of it is better";
        return Err(StatsError::Unsupported { what: metric.name(), reason });
    }
    let evidence = paired_difference(metric, champion, challenger, PairedTest::Auto, options)?;
    let values = [metric.evaluate(champion)?, metric.evaluate(challenger)?];
    let question = Question { metric, margin, options, values, rows: champion.rows() as u64 };
    question.answer(&*evidence)
}

fn same_rows(champion: &Input<'_>, challenger: &Input<'_>) -> Result<(), StatsError> {
    let ((ours, our_weights), (theirs, their_weights)) = (champion.parts(), challenger.parts());
    let same = match (ours, theirs) {
        (Rows::Binary { y_true: a, .. }, Rows::Binary { y_true: b, .. }) => a == b,
        (Rows::Multiclass(a), Rows::Multiclass(b)) => a.y_true == b.y_true && a.classes == b.classes,
        (Rows::Regression { y_true: a, .. }, Rows::Regression { y_true: b, .. }) => a == b,
        _ => false,
    };
    if !same {
        return Err(StatsError::Incompatible { what: "the truth" });
    }
    if our_weights != their_weights {
        return Err(StatsError::Incompatible { what: "the weights" });
    }
    Ok(())
}

/// Measures how the challenger differs from the champion by a metric, challenger minus champion in the metric's unit, on the same
/// rows, as evidence from which any claim can be judged: [`superiority`](super::superiority),
/// [`non_inferiority`](super::non_inferiority), [`equivalence`](super::equivalence).
///
/// ```
/// use mlops_eval::catalog::Input;
/// use mlops_eval::compare::{PairedOptions, PairedTest, Verdict, equivalence, paired_difference};
///
/// let y_true = [true, false].repeat(200);
/// let one: Vec<bool> = (0..400).map(|row| y_true[row] ^ (row % 9 == 0)).collect();
/// let other: Vec<bool> = (0..400).map(|row| y_true[row] ^ (row % 9 == 1)).collect();
/// let (one, other) = (Input::binary(&y_true).with_labels(&one), Input::binary(&y_true).with_labels(&other));
/// let options = PairedOptions::default();
/// let evidence = paired_difference("accuracy".parse()?, &one, &other, PairedTest::Auto, &options)?;
/// assert_eq!(equivalence(&*evidence, 0.05, 0.05)?.verdict, Verdict::Shown);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`StatsError::Unsupported`] for a test that does not fit the metric, or weights where only the bootstrap takes them; and those of
/// [`paired`], but for the margin.
pub fn paired_difference(
    metric: Metric,
    champion: &Input<'_>,
    challenger: &Input<'_>,
    test: PairedTest,
    options: &PairedOptions,
) -> Result<Box<dyn Difference>, StatsError> {
    options.check()?;
    metric.resamples()?;
    champion.check()?;
    challenger.check()?;
    same_rows(champion, challenger)?;
    let weighted = champion.parts().1.is_some();
    let sides = Sides { metric, champion, challenger, options };
    match test {
        PairedTest::Auto if weighted => sides.by_rows(),
        PairedTest::Auto => sides.by_metric(),
        PairedTest::Bootstrap => sides.by_bootstrap(),
        _ if weighted => {
            let reason = "only the bootstrap takes weights";
            Err(StatsError::Unsupported { what: "this test of weighted rows", reason })
        }
        PairedTest::Delong => {
            sides.delong()?.ok_or_else(|| unfit("DeLong's test", "it is about areas under ROC curves"))
        }
        PairedTest::Score => {
            sides.shares()?.map(|counts| -> Box<dyn Difference> { Box::new(counts) }).ok_or_else(not_a_share)
        }
        PairedTest::Mcnemar => sides
            .shares()?
            .map(|counts| -> Box<dyn Difference> { Box::new(Mcnemar(counts)) })
            .ok_or_else(not_a_share),
        PairedTest::StudentT => Ok(Box::new(mean_difference(&sides.losses()?.ok_or_else(not_a_mean)?)?)),
        PairedTest::SignFlip => sides.sign_flips(sides.losses()?.ok_or_else(not_a_mean)?),
        PairedTest::Wilcoxon => {
            let differences = sides.losses()?.ok_or_else(not_a_mean)?;
            let mean = mean_difference(&differences)?;
            Ok(Box::new(SignedRanks { differences, mean }))
        }
        PairedTest::Permutation => sides.by_permutation(),
    }
}

fn unfit(what: &'static str, reason: &'static str) -> StatsError {
    StatsError::Unsupported { what, reason }
}

fn not_a_share() -> StatsError {
    unfit("a test of paired shares", "the metric is no share of rows that are the same for both models")
}

fn not_a_mean() -> StatsError {
    unfit("a test of rows' differences", "the metric is no mean over rows")
}

/// The test that measures a paired difference.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PairedTest {
    /// The one that fits the metric, as [`paired`] says. The default.
    #[default]
    Auto,
    /// Resampled rows, or cells where the metric is one of labels; of any metric.
    Bootstrap,
    /// DeLong; of ROC AUC.
    Delong,
    /// McNemar, mid-p; of shares, and only about a difference of 0: its interval is Tango's.
    Mcnemar,
    /// Swapped predictions; of any metric, and only about a difference of 0: it has no interval.
    Permutation,
    /// Tango's score; of shares.
    Score,
    /// Flipped signs; of means over rows.
    SignFlip,
    /// Student's t; of means over rows.
    StudentT,
    /// Wilcoxon's signed ranks; of means over rows. It asks whether differences are symmetric about the null: its p and the mean's
    /// interval, which is Student's, can disagree.
    Wilcoxon,
}

/// McNemar's test as evidence: it speaks of equality alone.
struct Mcnemar(PairedCounts);

impl Mcnemar {
    fn ln_p(&self, null: f64, alternative: Alternative) -> Measured {
        let test = mcnemar_with(&self.0, McnemarKind::MidP, alternative, 0.95);
        match test {
            Ok(test) if null == 0.0 => test.ln_p,
            _ => Measured::none(UndefinedReason::NothingDefined, 0, 1),
        }
    }
}

impl Difference for Mcnemar {
    fn method(&self) -> Method {
        Method::McnemarMidP
    }

    fn n(&self) -> u64 {
        self.0.rows()
    }

    fn estimate(&self) -> Measured {
        self.0.estimate()
    }

    fn ln_p_at_most(&self, null: f64) -> Measured {
        self.ln_p(null, Alternative::Greater)
    }

    fn ln_p_at_least(&self, null: f64) -> Measured {
        self.ln_p(null, Alternative::Less)
    }

    fn interval(&self, confidence: f64) -> Result<Option<Interval>, StatsError> {
        Difference::interval(&self.0, confidence)
    }
}

/// Wilcoxon's test of the rows' differences, shifted by the null.
struct SignedRanks {
    differences: Vec<f64>,
    mean: Wald,
}

impl SignedRanks {
    fn ln_p(&self, null: f64, alternative: Alternative) -> Measured {
        let shifted: Vec<f64> = self.differences.iter().map(|d| d - null).collect();
        let options = WilcoxonOptions::default().with_alternative(alternative);
        match wilcoxon_with(&shifted, &options) {
            Ok(test) => test.ln_p,
            Err(_) => Measured::none(UndefinedReason::NothingDefined, 0, 1),
        }
    }
}

impl Difference for SignedRanks {
    fn method(&self) -> Method {
        Method::WilcoxonNormal
    }

    fn n(&self) -> u64 {
        self.differences.len() as u64
    }

    fn estimate(&self) -> Measured {
        self.mean.estimate
    }

    fn ln_p_at_most(&self, null: f64) -> Measured {
        self.ln_p(null, Alternative::Greater)
    }

    fn ln_p_at_least(&self, null: f64) -> Measured {
        self.ln_p(null, Alternative::Less)
    }

    fn interval(&self, confidence: f64) -> Result<Option<Interval>, StatsError> {
        self.mean.interval(confidence)
    }
}

/// A permutation test in both directions, done beforehand.
struct Swapped {
    greater: TestResult,
    less: TestResult,
}

impl Difference for Swapped {
    fn method(&self) -> Method {
        self.greater.method
    }

    fn n(&self) -> u64 {
        self.greater.n
    }

    fn estimate(&self) -> Measured {
        self.greater.difference
    }

    fn ln_p_at_most(&self, null: f64) -> Measured {
        if null == 0.0 { self.greater.ln_p } else { Measured::none(UndefinedReason::NothingDefined, 0, 1) }
    }

    fn ln_p_at_least(&self, null: f64) -> Measured {
        if null == 0.0 { self.less.ln_p } else { Measured::none(UndefinedReason::NothingDefined, 0, 1) }
    }

    fn interval(&self, _: f64) -> Result<Option<Interval>, StatsError> {
        Ok(None)
    }
}

/// Two models' predictions for the same rows, and a metric.
struct Sides<'a> {
    metric: Metric,
    champion: &'a Input<'a>,
    challenger: &'a Input<'a>,
    options: &'a PairedOptions,
}

impl Sides<'_> {
    /// The test that fits the metric best.
    fn by_metric(&self) -> Result<Box<dyn Difference>, StatsError> {
        if let Some(areas) = self.delong()? {
            return Ok(areas);
        }
        if let Some(counts) = self.shares()? {
            return Ok(Box::new(counts));
        }
        match (self.options.losses, self.losses()?) {
            (LossTest::StudentT, Some(differences)) => Ok(Box::new(mean_difference(&differences)?)),
            (LossTest::SignFlip, Some(differences)) => self.sign_flips(differences),
            _ => self.by_bootstrap(),
        }
    }

    fn delong(&self) -> Result<Option<Box<dyn Difference>>, StatsError> {
        let scores = |input: &Input<'_>| match input.parts().0 {
            Rows::Binary { y_true, scores: Some(scores), .. } => Some((y_true.to_vec(), scores.to_vec())),
            _ => None,
        };
        if self.metric != Metric::Score(ScoreMetric::RocAuc) {
            return Ok(None);
        }
        let (Some((y_true, first)), Some((_, second))) = (scores(self.champion), scores(self.challenger))
        else {
            return Ok(None);
        };
        let areas = Delong::of_with(&y_true, &[&first, &second], self.options.threads)?;
        Ok(Some(Box::new(areas.difference(0, 1)?)))
    }

    fn cells(&self) -> Result<Option<(LabelMetric, PairedCells)>, StatsError> {
        match (self.metric, self.champion.parts().0, self.challenger.parts().0) {
            (
                Metric::Label(metric),
                Rows::Binary { y_true, labels: Some(first), .. },
                Rows::Binary { labels: Some(second), .. },
            ) => Ok(Some((metric, PairedCells::of(y_true, first, second)?))),
            _ => Ok(None),
        }
    }

    fn shares(&self) -> Result<Option<PairedCounts>, StatsError> {
        if let Some((metric, cells)) = self.cells()? {
            return Ok(cells.shares(metric));
        }
        match (share_of_classes(self.metric, self.champion)?, share_of_classes(self.metric, self.challenger)?)
        {
            (Some(first), Some(second)) => PairedCounts::of(&first, &second).map(Some),
            _ => Ok(None),
        }
    }

    /// The rows' differences of a metric that is a mean over rows.
    fn losses(&self) -> Result<Option<Vec<f64>>, StatsError> {
        match (row_losses(self.metric, self.champion)?, row_losses(self.metric, self.challenger)?) {
            (Some(first), Some(second)) => super::differences(&first, &second).map(Some),
            _ => Ok(None),
        }
    }

    fn draws(&self) -> DrawOptions {
        let PairedOptions { seed, resamples, threads, .. } = *self.options;
        DrawOptions::default().with_seed(seed).with_resamples(resamples).with_threads(threads)
    }

    fn sign_flips(&self, differences: Vec<f64>) -> Result<Box<dyn Difference>, StatsError> {
        Ok(Box::new(SignFlips::new(differences, self.draws())?))
    }

    fn by_bootstrap(&self) -> Result<Box<dyn Difference>, StatsError> {
        match self.cells()? {
            Some((metric, cells)) if self.champion.parts().1.is_none() => {
                Ok(Box::new(bootstrap_cells(&cells, metric, &self.options.bootstrap())?))
            }
            _ => self.by_rows(),
        }
    }

    fn by_rows(&self) -> Result<Box<dyn Difference>, StatsError> {
        let weights = self.champion.parts().1;
        let metrics = |drawn: &[f64]| {
            let product: Vec<f64>;
            let drawn = match weights {
                None => drawn,
                Some(weights) => {
                    product = drawn.iter().zip(weights).map(|(a, b)| a * b).collect();
                    &product
                }
            };
            Ok([
                self.metric.evaluate(&self.champion.with_weights(drawn))?,
                self.metric.evaluate(&self.challenger.with_weights(drawn))?,
            ])
        };
        Ok(Box::new(bootstrap_rows(self.champion.rows(), metrics, &self.options.bootstrap())?))
    }

    fn by_permutation(&self) -> Result<Box<dyn Difference>, StatsError> {
        let both = |test: &dyn Fn(&DrawOptions) -> Result<TestResult, StatsError>| {
            let greater = test(&self.draws().with_alternative(Alternative::Greater))?;
            let less = test(&self.draws().with_alternative(Alternative::Less))?;
            Ok(Box::new(Swapped { greater, less }) as Box<dyn Difference>)
        };
        if let Some((metric, cells)) = self.cells()? {
            return both(&|options| permutation_cells(&cells, metric, options));
        }
        match (self.champion.parts().0, self.challenger.parts().0) {
            (Rows::Binary { y_true, scores: Some(first), .. }, Rows::Binary { scores: Some(second), .. }) => {
                let metric =
                    |scores: &[f64]| self.metric.evaluate(&Input::binary(y_true).with_scores(scores));
                both(&|options| permutation(first, second, metric, options))
            }
            (Rows::Regression { y_true, y_pred: first }, Rows::Regression { y_pred: second, .. }) => {
                let metric = |y_pred: &[f64]| self.metric.evaluate(&Input::regression(y_true, y_pred));
                both(&|options| permutation(first, second, metric, options))
            }
            (Rows::Multiclass(first), Rows::Multiclass(second)) => {
                let (ours, theirs) = (answers(&first)?, answers(&second)?);
                let metric = |said: &[Answer<'_>]| metric_of_answers(self.metric, &first, said);
                both(&|options| permutation(&ours, &theirs, metric, options))
            }
            _ => Err(unfit("a permutation test", "the inputs do not hold what the metric is computed from")),
        }
    }
}

/// What a model of several classes said about one row: a code, and the probabilities where there are any.
type Answer<'a> = (u32, &'a [f64]);

fn answers<'a>(rows: &ClassRows<'a>) -> Result<Vec<Answer<'a>>, StatsError> {
    let Some(probabilities) = rows.probabilities else {
        return Ok(rows.y_pred.iter().map(|&code| (code, &[][..])).collect());
    };
    if rows.classes == 0 {
        return Err(StatsError::Parameter { parameter: "classes", value: 0.0, reason: "must be at least 1" });
    }
    Ok(rows.y_pred.iter().copied().zip(probabilities.chunks(rows.classes)).collect())
}

fn metric_of_answers(
    metric: Metric,
    rows: &ClassRows<'_>,
    said: &[Answer<'_>],
) -> Result<Measured, StatsError> {
    let y_pred: Vec<u32> = said.iter().map(|(code, _)| *code).collect();
    let input = Input::multiclass(rows.y_true, &y_pred, rows.classes).with_average(rows.average);
    if rows.probabilities.is_none() {
        return metric.evaluate(&input);
    }
    let probabilities: Vec<f64> = said.iter().flat_map(|(_, row)| *row).copied().collect();
    metric.evaluate(&input.with_probabilities(&probabilities))
}

/// For a metric of several classes that is a share of all rows, which rows it counts: those that are right, wrong, or whose class is
/// among the top k. `None` for other metrics, and where classes that tie at the k-th place count by a part.
pub(crate) fn share_of_classes(metric: Metric, input: &Input<'_>) -> Result<Option<Vec<bool>>, StatsError> {
    let (Rows::Multiclass(rows), true) = (input.parts().0, input.supports(metric)) else { return Ok(None) };
    let right = |wanted: bool| {
        input.check()?;
        if rows.y_true.iter().chain(rows.y_pred).any(|code| *code as usize >= rows.classes) {
            // Says which.
            metric.evaluate(input)?;
        }
        let pairs = rows.y_true.iter().zip(rows.y_pred);
        Ok(Some(pairs.map(|(truth, said)| (truth == said) == wanted).collect()))
    };
    match metric {
        // A predicted class that does not occur leaves it undefined, and no share of rows.
        Metric::Multiclass(MulticlassMetric::RecallWeighted) if metric.evaluate(input)?.value().is_none() => {
            Ok(None)
        }
        Metric::Label(LabelMetric::Accuracy)
        | Metric::Multiclass(
            MulticlassMetric::PrecisionMicro
            | MulticlassMetric::RecallMicro
            | MulticlassMetric::F1Micro
            | MulticlassMetric::RecallWeighted,
        ) => right(true),
        Metric::Label(LabelMetric::ZeroOneLoss) => right(false),
        _ => {
            let hits = top_hits(metric, input)?.unwrap_or_default();
            let whole = !hits.is_empty() && hits.iter().all(|hit| *hit == 0.0 || *hit == 1.0);
            Ok(whole.then(|| hits.iter().map(|hit| *hit == 1.0).collect()))
        }
    }
}

/// How much of a hit every row is, for a top-k accuracy.
fn top_hits(metric: Metric, input: &Input<'_>) -> Result<Option<Vec<f64>>, StatsError> {
    let (Metric::Multiclass(of), Rows::Multiclass(rows)) = (metric, input.parts().0) else { return Ok(None) };
    let (Some(k), Some(scores)) = (of.k(), rows.probabilities) else { return Ok(None) };
    metric.evaluate(&Input::multiclass(rows.y_true, rows.y_pred, rows.classes).with_probabilities(scores))?;
    let options = TopKOptions::new(k);
    let rows = rows.y_true.iter().zip(scores.chunks_exact(rows.classes));
    Ok(Some(rows.map(|(&class, scores)| options.hit(class as usize, scores)).collect()))
}

/// The metric of every row alone, where it is the mean of these.
pub(crate) fn row_losses(metric: Metric, input: &Input<'_>) -> Result<Option<Vec<f64>>, StatsError> {
    match (metric, input.parts().0) {
        (
            Metric::Score(metric @ (ScoreMetric::LogLoss | ScoreMetric::Brier)),
            Rows::Binary { y_true, scores: Some(scores), .. },
        ) => row_values(y_true.len(), |i| metric.evaluate(&y_true[i..=i], &scores[i..=i], None)).map(Some),
        (
            Metric::Regression(metric @ (RegressionMetric::Mae | RegressionMetric::Mse)),
            Rows::Regression { y_true, y_pred },
        ) => row_values(y_true.len(), |i| metric.evaluate(&y_true[i..=i], &y_pred[i..=i], None)).map(Some),
        (
            Metric::Score(ScoreMetric::LogLoss | ScoreMetric::Brier),
            Rows::Multiclass(ClassRows { y_true, y_pred, classes, probabilities: Some(said), .. }),
        ) => {
            input.check()?;
            let of_row = |i: usize| {
                let row = &said[i * classes..(i + 1) * classes];
                metric.evaluate(
                    &Input::multiclass(&y_true[i..=i], &y_pred[i..=i], classes).with_probabilities(row),
                )
            };
            row_values(y_true.len(), of_row).map(Some)
        }
        _ => top_hits(metric, input),
    }
}

/// A metric that is a mean over rows, of each row alone.
fn row_values(
    rows: usize,
    of_row: impl Fn(usize) -> Result<Measured, StatsError>,
) -> Result<Vec<f64>, StatsError> {
    let value = |row| {
        let missing = StatsError::Unsupported { what: "a loss", reason: "it has no value on a single row" };
        of_row(row)?.value().ok_or(missing)
    };
    (0..rows).map(value).collect()
}

struct Question<'a> {
    metric: Metric,
    margin: f64,
    options: &'a PairedOptions,
    values: [Measured; 2],
    rows: u64,
}

impl Question<'_> {
    fn answer(&self, evidence: &dyn Difference) -> Result<PairedComparison, StatsError> {
        let lower_is_better = self.metric.direction() == Direction::LowerIsBetter;
        let (for_claim, against) = if lower_is_better {
            (evidence.ln_p_at_least(self.margin), evidence.ln_p_at_most(self.margin))
        } else {
            (evidence.ln_p_at_most(-self.margin), evidence.ln_p_at_least(-self.margin))
        };
        let PairedOptions { alpha, power, .. } = *self.options;
        let small = |ln_p: Measured| ln_p.value().is_some_and(|ln_p| ln_p <= alpha.ln());
        let verdict = match (small(for_claim), small(against)) {
            (true, _) => Verdict::Shown,
            (false, true) => Verdict::Refuted,
            (false, false) => Verdict::Undecided,
        };
        let difference = super::difference_of(self.values[0], self.values[1]);
        let one_sided_interval = evidence.interval(1.0 - 2.0 * alpha)?;
        let gain = difference.value().map(|d| if lower_is_better { -d } else { d });
        // Rows of the whole data: a rate of positives needs them in their share.
        let rows_needed = gain.zip(one_sided_interval).and_then(|(gain, interval)| {
            let error = (interval.upper - interval.lower)
                / (2.0 * mlops_core::num::special::normal_quantile(interval.confidence));
            let variance_per_row = error * error * self.rows as f64;
            rows_for_difference(variance_per_row, gain + self.margin, alpha, power, Alternative::Greater)
                .ok()
                .flatten()
        });
        Ok(PairedComparison {
            metric: self.metric,
            direction: self.metric.direction(),
            method: evidence.method(),
            champion: self.values[0],
            challenger: self.values[1],
            difference,
            interval: evidence.interval(1.0 - alpha)?,
            one_sided_interval,
            margin: self.margin,
            alpha,
            p: for_claim.map(|ln_p| ln_p.exp().min(1.0)),
            ln_p: for_claim,
            verdict,
            rows: self.rows,
            rows_needed,
            more_rows: rows_needed.map(|needed| needed.saturating_sub(self.rows)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(rows: usize, seed: usize) -> Vec<bool> {
        (0..rows).map(|i| (i * 31 + seed * 17 + i * i * seed) % 7 < 3).collect()
    }

    #[test]
    fn every_metric_finds_its_test_and_respects_its_direction() {
        let rows = 300;
        let y: Vec<bool> = (0..rows).map(|i| i % 3 == 0).collect();
        let wrong = |every: usize| -> Vec<bool> {
            (0..rows).map(|i| y[i] ^ (i % every == 0 || i % every == 1)).collect()
        };
        let (worse, better) = (wrong(5), wrong(20));
        let score = |labels: &[bool]| -> Vec<f64> {
            labels
                .iter()
                .enumerate()
                .map(|(i, l)| if *l { 0.7 } else { 0.3 } + (i % 17) as f64 / 100.0)
                .collect()
        };
        let (worse_scores, better_scores) = (score(&worse), score(&better));
        let champion = Input::binary(&y).with_labels(&worse).with_scores(&worse_scores);
        let challenger = Input::binary(&y).with_labels(&better).with_scores(&better_scores);
        let options = PairedOptions::default().with_resamples(500);
        for metric in Metric::all().filter(|metric| champion.supports(*metric)) {
            if metric.direction() == Direction::Neither || matches!(metric, Metric::Calibration(_)) {
                assert!(paired(metric, &champion, &challenger, 0.0, &options).is_err(), "{metric}");
                continue;
            }
            let forth = paired(metric, &champion, &challenger, 0.0, &options).unwrap();
            let back = paired(metric, &challenger, &champion, 0.0, &options).unwrap();
            assert_eq!(forth.verdict, Verdict::Shown, "{metric} {forth:?}");
            assert_eq!(back.verdict, Verdict::Refuted, "{metric} {back:?}");
            let generous = paired(metric, &challenger, &champion, 2.0, &options);
            if metric.range() == (0.0, 1.0) && forth.method != Method::Tango {
                assert_eq!(generous.unwrap().verdict, Verdict::Shown, "{metric}");
            }
            // Rows needed go by the width of the interval, which for an odds ratio is long on one side.
            let enough = if metric.name() == "diagnostic_odds_ratio" { 60 } else { 0 };
            assert!(forth.more_rows.is_some_and(|more| more <= enough), "{metric} {forth:?}");
            assert_eq!(back.more_rows, None, "{metric} {back:?}");
            let text = serde_json::to_string(&forth).unwrap();
            assert_eq!(serde_json::from_str::<PairedComparison>(&text).unwrap(), forth);
        }
    }

    #[test]
    fn weights_numbers_and_classes_take_the_bootstrap_of_rows() {
        let y: Vec<f64> = (0..120).map(|i| f64::from(i % 11)).collect();
        let near = |by: f64| -> Vec<f64> {
            y.iter().enumerate().map(|(i, y)| y + by * ((i % 5) as f64 - 2.0)).collect()
        };
        let (far, close) = (near(1.0), near(0.3));
        let ones = vec![1.0; 120];
        let options = PairedOptions::default().with_resamples(300);
        for metric in Metric::all().filter(|metric| matches!(metric, Metric::Regression(_))) {
            let champion = Input::regression(&y, &far);
            let challenger = Input::regression(&y, &close);
            let Ok(plain) = paired(metric, &champion, &challenger, 0.0, &options) else { continue };
            let weighted =
                paired(metric, &champion.with_weights(&ones), &challenger.with_weights(&ones), 0.0, &options);
            let weighted = weighted.unwrap();
            assert_eq!(weighted.method, Method::BootstrapBca, "{metric}");
            assert_eq!(
                weighted.verdict == Verdict::Shown,
                plain.verdict == Verdict::Shown,
                "{metric} {plain:?} {weighted:?}"
            );
        }
        let codes: Vec<u32> = (0..90).map(|i| i % 3).collect();
        let wrong: Vec<u32> = (0..90).map(|i| if i % 4 == 0 { (i + 1) % 3 } else { i % 3 }).collect();
        let champion = Input::multiclass(&codes, &wrong, 3);
        let challenger = Input::multiclass(&codes, &codes, 3);
        let accuracy = "accuracy".parse().unwrap();
        let comparison = paired(accuracy, &champion, &challenger, 0.0, &options).unwrap();
        assert_eq!((comparison.verdict, comparison.method), (Verdict::Shown, Method::Tango));
        let weights = vec![1.0; 90];
        let weighted = [champion.with_weights(&weights), challenger.with_weights(&weights)];
        let comparison = paired(accuracy, &weighted[0], &weighted[1], 0.0, &options).unwrap();
        assert_eq!((comparison.verdict, comparison.method), (Verdict::Shown, Method::BootstrapBca));
    }

    /// A model's codes and probabilities.
    type Said = (Vec<u32>, Vec<f64>);

    /// Codes of three classes and two models: the second is right more often, and surer.
    fn classes() -> (Vec<u32>, [Said; 2]) {
        let y: Vec<u32> = (0..240).map(|i| i * 5 % 3).collect();
        let model = |wrong_every: usize, sure: f64| {
            let rows = y.iter().enumerate().map(|(i, &class)| {
                let off = 1 + (i / wrong_every % 2) as u32;
                let said = if i % wrong_every == 0 { (class + off) % 3 } else { class };
                let sure = sure - (i % 7) as f64 / 50.0;
                let rest = (1.0 - sure) * (0.55 + (i % 5) as f64 / 30.0);
                let mut row = [0.0; 3];
                row[said as usize] = sure;
                row[(said as usize + 1) % 3] = rest;
                row[(said as usize + 2) % 3] = 1.0 - sure - rest;
                (said, row)
            });
            let (said, rows): (Vec<u32>, Vec<[f64; 3]>) = rows.unzip();
            (said, rows.into_iter().flatten().collect::<Vec<f64>>())
        };
        let models = [model(4, 0.7), model(16, 0.85)];
        (y, models)
    }

    #[test]
    fn metrics_of_several_classes_find_their_test_and_respect_their_direction() {
        let (y, [worse, better]) = classes();
        let champion = Input::multiclass(&y, &worse.0, 3).with_probabilities(&worse.1);
        let challenger = Input::multiclass(&y, &better.0, 3).with_probabilities(&better.1);
        let options = PairedOptions::default().with_resamples(200);
        for metric in Metric::all().filter(|metric| champion.supports(*metric)) {
            let calibration =
                matches!(metric, Metric::Calibration(_) | Metric::Multiclass(MulticlassMetric::ClasswiseEce));
            if calibration || metric.direction() == Direction::Neither {
                assert!(paired(metric, &champion, &challenger, 0.0, &options).is_err(), "{metric}");
                continue;
            }
            let forth = paired(metric, &champion, &challenger, 0.0, &options).unwrap();
            let back = paired(metric, &challenger, &champion, 0.0, &options).unwrap();
            assert_eq!(forth.verdict, Verdict::Shown, "{metric} {forth:?}");
            assert_eq!(back.verdict, Verdict::Refuted, "{metric} {back:?}");
            let expected = match metric.name() {
                "accuracy" | "zero_one_loss" | "recall_weighted" | "f1_micro" | "recall_micro"
                | "precision_micro" | "top_2_accuracy" => Method::Tango,
                "log_loss" | "brier" => Method::PairedT,
                _ => Method::BootstrapBca,
            };
            assert_eq!(forth.method, expected, "{metric}");
        }
    }

    #[test]
    fn swapped_answers_of_several_classes_test_equality() {
        let (y, [worse, better]) = classes();
        let champion = Input::multiclass(&y, &worse.0, 3).with_probabilities(&worse.1);
        let challenger = Input::multiclass(&y, &better.0, 3).with_probabilities(&better.1);
        let options = PairedOptions::default().with_resamples(199);
        for name in ["accuracy", "f1_macro", "log_loss", "roc_auc_ovr"] {
            let metric: Metric = name.parse().unwrap();
            let found =
                paired_difference(metric, &champion, &challenger, PairedTest::Permutation, &options).unwrap();
            let worse = match metric.direction() {
                Direction::LowerIsBetter => found.ln_p_at_least(0.0),
                _ => found.ln_p_at_most(0.0),
            };
            // No drawn way was as extreme.
            assert!((worse.value().unwrap() - (1.0_f64 / 200.0).ln()).abs() < 1e-12, "{name} {worse:?}");
            let same =
                paired_difference(metric, &champion, &champion, PairedTest::Permutation, &options).unwrap();
            assert_eq!(same.ln_p_at_most(0.0), Measured::Value(0.0), "{name}");
        }
    }

    #[test]
    fn ties_at_the_kth_place_leave_a_mean_of_parts() {
        let scores = [0.4, 0.3, 0.3, 0.5, 0.25, 0.25, 0.6, 0.3, 0.1];
        let input = Input::multiclass(&[1, 2, 2], &[0, 0, 0], 3).with_probabilities(&scores);
        let metric: Metric = "top_2_accuracy".parse().unwrap();
        assert_eq!(share_of_classes(metric, &input), Ok(None));
        assert_eq!(row_losses(metric, &input), Ok(Some(vec![0.5, 0.5, 0.0])));
        assert_eq!(metric.evaluate(&input).unwrap().value(), Some(1.0 / 3.0));
    }

    #[test]
    fn inputs_that_do_not_belong_together_are_refused() {
        let (a, b) = (labels(20, 1), labels(20, 2));
        let options = PairedOptions::default();
        let metric: Metric = "accuracy".parse().unwrap();
        let ours = Input::binary(&a).with_labels(&b);
        let error = paired(metric, &ours, &Input::binary(&b).with_labels(&a), 0.0, &options);
        assert_eq!(error, Err(StatsError::Incompatible { what: "the truth" }));
        let error = paired(metric, &ours, &ours.with_weights(&[1.0; 20]), 0.0, &options);
        assert_eq!(error, Err(StatsError::Incompatible { what: "the weights" }));
        assert!(paired(metric, &ours, &ours, f64::NAN, &options).is_err());
        assert!(paired(metric, &ours, &ours, 0.0, &options.with_alpha(0.5)).is_err());
        assert!(paired("roc_auc".parse().unwrap(), &ours, &ours, 0.0, &options).is_err());
    }
}
