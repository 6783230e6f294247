//! Every metric by name: what it needs, which way is better, and how to compute it.
//!
//! For code that is driven by a configuration file or fills a report. A name is one [`Metric`]; the rows to measure
//! are an [`Input`]:
//!
//! ```
//! use mlops_eval::catalog::{Input, Metric};
//!
//! let input = Input::binary(&[true, false, true]).with_labels(&[true, false, false]).with_scores(&[0.9, 0.2, 0.4]);
//! for name in ["f1", "roc_auc"] {
//!     let metric: Metric = name.parse()?;
//!     println!("{metric} = {}", metric.evaluate(&input)?);
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::fmt;
use std::str::FromStr;

use mlops_core::num::parallel::Threads;
use mlops_core::num::{Measured, StatsError};
pub use mlops_core::problem::Direction;
use serde::{Deserialize, Serialize};

pub use crate::calibration::CalibrationMetric;
use crate::calibration::state_of as calibration_state;
use crate::calibration::{TopLabels, top_labels};
pub use crate::classification::ScoreMetric;
use crate::classification::{
    Average, BrierScale, Confusion, ConfusionMatrix, LabelMetric, MulticlassScoreState, ScoreOptions,
    ScoreState, WeightedConfusion, WeightedConfusionMatrix, ZeroDivision, multiclass_brier,
    multiclass_brier_weighted, multiclass_d2_brier, multiclass_d2_log_loss, multiclass_log_loss,
    multiclass_log_loss_weighted,
};
use crate::regression::metric::{of_sums, weight_scale};
use crate::regression::{RegressionMetric, RegressionState};
pub use crate::several::MulticlassMetric;

/// What a metric is computed from, beside the truth.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Needs {
    /// Predicted labels.
    Labels,
    /// Scores of any scale, higher for positives.
    Scores,
    /// Probabilities in [0, 1] of being positive.
    Probabilities,
    /// Predicted numbers.
    Numbers,
}

/// A metric of this crate, by what it is computed from. Serialises as its name.
///
/// ```
/// use mlops_eval::catalog::{Metric, Needs};
///
/// let metric: Metric = "rmse".parse()?;
/// assert_eq!(metric.needs(), Needs::Numbers);
/// assert_eq!(metric.to_string(), "rmse");
/// assert!("rsme".parse::<Metric>().is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Metric {
    /// Of predicted labels.
    Label(LabelMetric),
    /// Of scores or probabilities.
    Score(ScoreMetric),
    /// Of several classes: averages over them, areas, top-k.
    Multiclass(MulticlassMetric),
    /// Of probabilities: whether they mean what they say.
    Calibration(CalibrationMetric),
    /// Of predicted numbers.
    Regression(RegressionMetric),
}

impl Metric {
    /// Every metric there is.
    ///
    /// ```
    /// use mlops_eval::catalog::Metric;
    /// assert!(Metric::all().all(|metric| metric.name().parse() == Ok(metric)));
    /// ```
    pub fn all() -> impl Iterator<Item = Self> {
        let labels = LabelMetric::ALL.iter().copied().map(Self::Label);
        let scores = ScoreMetric::ALL.iter().copied().map(Self::Score);
        let classes = MulticlassMetric::ALL.iter().copied().map(Self::Multiclass);
        let calibration = CalibrationMetric::ALL.iter().copied().map(Self::Calibration);
        let numbers = RegressionMetric::ALL.iter().copied().map(Self::Regression);
        labels.chain(scores).chain(classes).chain(calibration).chain(numbers)
    }

    /// The name it has in reports and configuration files.
    ///
    /// ```
    /// use mlops_eval::catalog::{Metric, ScoreMetric};
    /// assert_eq!(Metric::Score(ScoreMetric::RocAuc).name(), "roc_auc");
    /// ```
    pub const fn name(self) -> &'static str {
        match self {
            Self::Label(metric) => metric.name(),
            Self::Score(metric) => metric.name(),
            Self::Multiclass(metric) => metric.name(),
            Self::Calibration(metric) => metric.name(),
            Self::Regression(metric) => metric.name(),
        }
    }

    /// Which way is better.
    pub const fn direction(self) -> Direction {
        match self {
            Self::Label(metric) => metric.direction(),
            Self::Score(metric) => metric.direction(),
            Self::Multiclass(metric) => metric.direction(),
            Self::Calibration(metric) => metric.direction(),
            Self::Regression(metric) => metric.direction(),
        }
    }

    /// The smallest and the largest value it can take.
    pub const fn range(self) -> (f64, f64) {
        match self {
            Self::Label(metric) => metric.range(),
            Self::Score(metric) => metric.range(),
            Self::Multiclass(metric) => metric.range(),
            Self::Calibration(metric) => metric.range(),
            Self::Regression(metric) => metric.range(),
        }
    }

    /// What it is computed from.
    pub const fn needs(self) -> Needs {
        match self {
            Self::Label(_) => Needs::Labels,
            Self::Score(metric) => metric.needs(),
            Self::Multiclass(metric) => metric.needs(),
            Self::Calibration(_) => Needs::Probabilities,
            Self::Regression(_) => Needs::Numbers,
        }
    }

    /// The metric of these rows.
    ///
    /// Of several classes, `log_loss`, `brier` (halved, so that it lies in [0, 1]) and their skills are those of
    /// [`multiclass_scores`](crate::classification::multiclass_scores), and every metric of calibration is that of the
    /// [top label](top_labels): whether the most probable class is as often right as its probability says.
    ///
    /// ```
    /// use mlops_eval::catalog::{Input, Metric};
    ///
    /// let input = Input::regression(&[1.0, 2.0], &[1.0, 3.0]).with_weights(&[1.0, 1.0]);
    /// assert_eq!("mae".parse::<Metric>()?.evaluate(&input)?.value(), Some(0.5));
    /// assert!("f1".parse::<Metric>()?.evaluate(&input).is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`StatsError::Unsupported`] when the input lacks what the metric needs, and those of the metric's function.
    pub fn evaluate(self, input: &Input<'_>) -> Result<Measured, StatsError> {
        let weights = input.weights;
        match (self, input.rows) {
            (Self::Label(metric), Rows::Binary { y_true, labels: Some(labels), .. }) => {
                Ok(metric.from_counts(binary_cells(y_true, labels, weights)?))
            }
            (metric, Rows::Multiclass(rows)) => Several::default().value(metric, &rows, weights),
            (Self::Score(metric), Rows::Binary { y_true, scores: Some(scores), .. }) => {
                metric.evaluate(y_true, scores, weights)
            }
            (Self::Calibration(metric), Rows::Binary { y_true, scores: Some(scores), .. }) => {
                metric.evaluate(y_true, scores, weights)
            }
            (Self::Regression(metric), Rows::Regression { y_true, y_pred }) => {
                metric.evaluate(y_true, y_pred, weights)
            }
            (metric, _) => Err(metric.missing()),
        }
    }

    /// Refuses what resampling the rows tells nothing about: errors of calibration, which noise makes larger, and statistics of
    /// tests, which grow with the rows.
    pub(crate) const fn resamples(self) -> Result<(), StatsError> {
        match self {
            Self::Calibration(metric) if !metric.resamples() => {
                Err(StatsError::Unsupported { what: metric.name(), reason: NO_RESAMPLES })
            }
            Self::Multiclass(metric @ MulticlassMetric::ClasswiseEce) => {
                Err(StatsError::Unsupported { what: metric.name(), reason: NO_RESAMPLES })
            }
            _ => Ok(()),
        }
    }

    fn missing(self) -> StatsError {
        let reason = match self {
            Self::Label(_) => "it needs predicted labels",
            Self::Score(
                ScoreMetric::RocAuc
                | ScoreMetric::AveragePrecision
                | ScoreMetric::PrAuc
                | ScoreMetric::Gini
                | ScoreMetric::Ks,
            ) => "it needs binary labels and scores; of several classes there is `roc_auc_ovr` and its like",
            Self::Score(_) => "it needs labels, and probabilities",
            Self::Multiclass(metric) if metric.k().is_some() => {
                "it needs the scores of more classes than it looks at"
            }
            Self::Multiclass(_) => {
                "it needs codes of several classes, and probabilities unless it is of labels"
            }
            Self::Calibration(_) => "it needs labels, and probabilities",
            Self::Regression(_) => "it needs predicted numbers",
        };
        StatsError::Unsupported { what: self.name(), reason }
    }
}

/// Why errors of calibration are not resampled.
const NO_RESAMPLES: &str = "no test of it on resampled rows keeps its level; ask for `brier` or `log_loss`";

/// Evaluates several metrics of the same rows. What several of them are read from is made when the first of them asks. Only
/// metrics that are computed from these states anyway come from them, so every bit is that of the metric by itself.
pub(crate) struct Evaluation<'a> {
    input: Input<'a>,
    calibration: Option<Result<ScoreState, StatsError>>,
    scores: Option<Result<ScoreState, StatsError>>,
    errors: Option<Result<RegressionState, StatsError>>,
    several: Several,
}

impl<'a> Evaluation<'a> {
    pub(crate) fn new(input: Input<'a>) -> Self {
        Self { input, calibration: None, scores: None, errors: None, several: Several::default() }
    }

    /// What [`Metric::evaluate`] returns, in the same bits.
    pub(crate) fn value(&mut self, metric: Metric) -> Result<Measured, StatsError> {
        let weights = self.input.weights;
        match (metric, self.input.rows) {
            (metric, Rows::Multiclass(rows)) => self.several.value(metric, &rows, weights),
            (Metric::Calibration(of), Rows::Binary { y_true, scores: Some(scores), .. })
                if !of.reads_rows() =>
            {
                let build = || calibration_state(y_true, scores, weights);
                of.from_state(kept(&mut self.calibration, build)?)
            }
            (
                Metric::Score(of @ (ScoreMetric::AveragePrecision | ScoreMetric::PrAuc | ScoreMetric::Ks)),
                Rows::Binary { y_true, scores: Some(scores), .. },
            ) => {
                let build = || match weights {
                    None => ScoreState::of(y_true, scores),
                    Some(weights) => ScoreState::weighted(y_true, scores, weights),
                };
                of.from_state(kept(&mut self.scores, build)?)
            }
            (Metric::Regression(of), Rows::Regression { y_true, y_pred }) if of_sums(of) => {
                let scale = weight_scale(weights);
                let build = || RegressionState::build(y_true, y_pred, weights, Threads::ONE, scale);
                let state = kept(&mut self.errors, build)?;
                if of == RegressionMetric::Rmse && !state.squares_fit() {
                    return of.evaluate(y_true, y_pred, weights);
                }
                of.from_state(state)
            }
            _ => metric.evaluate(&self.input),
        }
    }
}

fn kept<S>(
    slot: &mut Option<Result<S, StatsError>>,
    build: impl FnOnce() -> Result<S, StatsError>,
) -> Result<&S, StatsError> {
    slot.get_or_insert_with(build).as_ref().map_err(|error| *error)
}

fn binary_cells(
    y_true: &[bool],
    labels: &[bool],
    weights: Option<&[f64]>,
) -> Result<WeightedConfusion, StatsError> {
    match weights {
        None => Ok(Confusion::of(y_true, labels)?.into()),
        Some(weights) => WeightedConfusion::of(y_true, labels, weights),
    }
}

/// What several metrics of several classes are read from, made when the first of them asks.
#[derive(Default)]
struct Several {
    cells: Option<Result<WeightedConfusionMatrix, StatsError>>,
    scores: Option<Result<MulticlassScoreState, StatsError>>,
    top: Option<Result<TopLabels, StatsError>>,
    calibration: Option<Result<ScoreState, StatsError>>,
}

impl Several {
    fn value(
        &mut self,
        metric: Metric,
        rows: &ClassRows<'_>,
        weights: Option<&[f64]>,
    ) -> Result<Measured, StatsError> {
        if !rows.support(metric) {
            return Err(metric.missing());
        }
        let ClassRows { y_true, classes, average, probabilities, .. } = *rows;
        match (metric, probabilities) {
            (Metric::Label(label), _) => averaged(label, self.cells(rows, weights)?, average),
            (Metric::Multiclass(of), _) if of.needs() == Needs::Labels => {
                of.of_cells(self.cells(rows, weights)?)?.ok_or(metric.missing())
            }
            (Metric::Multiclass(of), Some(probabilities)) => {
                let found = if of.k().is_some() || of == MulticlassMetric::ClasswiseEce {
                    of.of_scores(y_true, probabilities, classes, weights)?
                } else {
                    of.from_state(self.scores(rows, probabilities, weights)?)?
                };
                found.ok_or(metric.missing())
            }
            (Metric::Score(ScoreMetric::LogLoss), Some(probabilities)) => match weights {
                None => multiclass_log_loss(y_true, probabilities, classes),
                Some(weights) => multiclass_log_loss_weighted(y_true, probabilities, classes, weights),
            },
            (Metric::Score(ScoreMetric::Brier), Some(probabilities)) => match weights {
                None => multiclass_brier(y_true, probabilities, classes, BrierScale::Half),
                Some(weights) => {
                    multiclass_brier_weighted(y_true, probabilities, classes, weights, BrierScale::Half)
                }
            },
            (Metric::Score(ScoreMetric::D2LogLoss), Some(probabilities)) => {
                multiclass_d2_log_loss(self.scores(rows, probabilities, weights)?)
            }
            (Metric::Score(ScoreMetric::D2Brier), Some(probabilities)) => {
                multiclass_d2_brier(self.scores(rows, probabilities, weights)?)
            }
            (Metric::Calibration(of), Some(probabilities)) => self.of_top(of, rows, probabilities, weights),
            _ => Err(metric.missing()),
        }
    }

    fn cells(
        &mut self,
        rows: &ClassRows<'_>,
        weights: Option<&[f64]>,
    ) -> Result<&WeightedConfusionMatrix, StatsError> {
        let ClassRows { y_true, y_pred, classes, .. } = *rows;
        kept(&mut self.cells, || match weights {
            None => Ok(ConfusionMatrix::of(y_true, y_pred, classes)?.weighted()),
            Some(weights) => WeightedConfusionMatrix::of(y_true, y_pred, weights, classes),
        })
    }

    fn scores(
        &mut self,
        rows: &ClassRows<'_>,
        probabilities: &[f64],
        weights: Option<&[f64]>,
    ) -> Result<&MulticlassScoreState, StatsError> {
        let options = ScoreOptions::default();
        let build =
            || MulticlassScoreState::of_with(rows.y_true, probabilities, rows.classes, weights, &options);
        kept(&mut self.scores, build)
    }

    fn of_top(
        &mut self,
        metric: CalibrationMetric,
        rows: &ClassRows<'_>,
        probabilities: &[f64],
        weights: Option<&[f64]>,
    ) -> Result<Measured, StatsError> {
        let top = kept(&mut self.top, || top_labels(rows.y_true, probabilities, rows.classes))?;
        if metric.reads_rows() {
            return metric.evaluate(&top.correct, &top.confidence, weights);
        }
        let build = || calibration_state(&top.correct, &top.confidence, weights);
        metric.from_state(kept(&mut self.calibration, build)?)
    }
}

fn averaged(
    metric: LabelMetric,
    matrix: &WeightedConfusionMatrix,
    average: Average,
) -> Result<Measured, StatsError> {
    match metric {
        LabelMetric::Accuracy => Ok(matrix.accuracy()),
        LabelMetric::BalancedAccuracy => Ok(matrix.balanced_accuracy()),
        LabelMetric::Mcc => Ok(matrix.mcc()),
        LabelMetric::ZeroOneLoss => Ok(matrix.zero_one_loss()),
        LabelMetric::SelectionRate | LabelMetric::Prevalence => {
            let reason = "with several classes there is no positive one";
            Err(StatsError::Unsupported { what: metric.name(), reason })
        }
        metric => Ok(matrix.average(metric, average, ZeroDivision::Undefined)),
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl From<Metric> for String {
    fn from(metric: Metric) -> Self {
        metric.name().to_owned()
    }
}

/// A name that is no metric; the message has the nearest one that is, or lists them all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownMetric {
    name: String,
}

impl UnknownMetric {
    /// The name that was asked for.
    ///
    /// ```
    /// use mlops_eval::catalog::Metric;
    /// assert_eq!("auk".parse::<Metric>().map_err(|e| e.name().to_owned()), Err("auk".to_owned()));
    /// ```
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The metric whose name is the fewest slips away: letters put in, left out, changed or swapped. `None` when they are more
    /// than a third of the letters.
    ///
    /// ```
    /// use mlops_eval::catalog::Metric;
    ///
    /// let error = "roc_acu".parse::<Metric>().err().ok_or("a slip")?;
    /// assert_eq!(error.nearest(), Some("roc_auc".parse()?));
    /// assert_eq!(error.to_string(), "\"roc_acu\" is not a metric; did you mean `roc_auc`?");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn nearest(&self) -> Option<Metric> {
        // A name of more letters than this is no slip, and the cost grows with the square.
        let letters: Vec<char> = self.name.chars().take(65).collect();
        let near = |metric: Metric| {
            let name: Vec<char> = metric.name().chars().collect();
            let limit = (name.len().max(letters.len()) / 3).max(1);
            let slips = slips(&letters, &name);
            (letters.len() <= 64 && slips <= limit).then_some((slips, metric))
        };
        Metric::all().filter_map(near).min_by_key(|(slips, _)| *slips).map(|(_, metric)| metric)
    }
}

/// How many letters must be put in, left out, changed or swapped with their neighbour (optimal string alignment).
fn slips(a: &[char], b: &[char]) -> usize {
    let (mut before, mut above) = (Vec::new(), (0..=b.len()).collect::<Vec<_>>());
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let changed = above[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut fewest = changed.min(above[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                fewest = fewest.min(before[j - 2] + 1);
            }
            row.push(fewest);
        }
        before = std::mem::replace(&mut above, row);
    }
    above.last().copied().unwrap_or_default()
}

impl fmt::Display for UnknownMetric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Escaped and cut: the name comes from a file, and the message goes to a terminal.
        let shown: String = self.name.chars().take(64).flat_map(char::escape_debug).collect();
        if let Some(near) = self.nearest() {
            return write!(f, "\"{shown}\" is not a metric; did you mean `{near}`?");
        }
        write!(f, "\"{shown}\" is not a metric; known are ")?;
        for (position, metric) in Metric::all().enumerate() {
            write!(f, "{}{metric}", if position == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

impl std::error::Error for UnknownMetric {}

impl FromStr for Metric {
    type Err = UnknownMetric;

    fn from_str(name: &str) -> Result<Self, UnknownMetric> {
        Self::all()
            .find(|metric| metric.name() == name)
            .ok_or_else(|| UnknownMetric { name: name.to_owned() })
    }
}

impl TryFrom<String> for Metric {
    type Error = UnknownMetric;

    fn try_from(name: String) -> Result<Self, UnknownMetric> {
        name.parse()
    }
}

/// The rows to measure: truth, predictions of one or two kinds, and weights. Borrows everything; checked by the metric.
///
/// ```
/// use mlops_eval::catalog::{Input, Metric};
///
/// let input = Input::multiclass(&[0, 1, 2], &[0, 1, 1], 3);
/// assert_eq!("accuracy".parse::<Metric>()?.evaluate(&input)?.value(), Some(2.0 / 3.0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    pub(crate) rows: Rows<'a>,
    pub(crate) weights: Option<&'a [f64]>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Rows<'a> {
    Binary { y_true: &'a [bool], labels: Option<&'a [bool]>, scores: Option<&'a [f64]> },
    Multiclass(ClassRows<'a>),
    Regression { y_true: &'a [f64], y_pred: &'a [f64] },
}

/// Rows of several classes: codes, and where there are any the probabilities of all classes, row by row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClassRows<'a> {
    pub(crate) y_true: &'a [u32],
    pub(crate) y_pred: &'a [u32],
    pub(crate) classes: usize,
    pub(crate) average: Average,
    pub(crate) probabilities: Option<&'a [f64]>,
}

impl ClassRows<'_> {
    const fn support(&self, metric: Metric) -> bool {
        match metric {
            Metric::Label(metric) => !matches!(metric, LabelMetric::SelectionRate | LabelMetric::Prevalence),
            Metric::Multiclass(metric) => match (metric.needs(), metric.k()) {
                (Needs::Labels, _) => true,
                (_, Some(k)) => self.probabilities.is_some() && k < self.classes,
                (_, None) => self.probabilities.is_some(),
            },
            Metric::Score(metric) => {
                matches!(metric.needs(), Needs::Probabilities) && self.probabilities.is_some()
            }
            Metric::Calibration(_) => self.probabilities.is_some(),
            Metric::Regression(_) => false,
        }
    }
}

impl<'a> Input<'a> {
    /// Binary truth; labels and scores follow.
    ///
    /// ```
    /// use mlops_eval::catalog::Input;
    /// let input = Input::binary(&[true, false]).with_scores(&[0.9, 0.1]);
    /// assert_eq!(input.rows(), 2);
    /// ```
    pub const fn binary(y_true: &'a [bool]) -> Self {
        Self { rows: Rows::Binary { y_true, labels: None, scores: None }, weights: None }
    }

    /// Codes of `classes` classes, averaged by [`Average::Macro`] where a metric is defined class by class.
    pub const fn multiclass(y_true: &'a [u32], y_pred: &'a [u32], classes: usize) -> Self {
        let average = Average::Macro;
        let rows = ClassRows { y_true, y_pred, classes, average, probabilities: None };
        Self { rows: Rows::Multiclass(rows), weights: None }
    }

    /// Numbers.
    pub const fn regression(y_true: &'a [f64], y_pred: &'a [f64]) -> Self {
        Self { rows: Rows::Regression { y_true, y_pred }, weights: None }
    }

    /// Adds predicted labels to a binary input; leaves other inputs alone.
    ///
    /// ```
    /// use mlops_eval::catalog::{Input, Metric};
    /// let input = Input::binary(&[true, false]).with_labels(&[true, true]);
    /// assert_eq!("precision".parse::<Metric>()?.evaluate(&input)?.value(), Some(0.5));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub const fn with_labels(mut self, y_pred: &'a [bool]) -> Self {
        if let Rows::Binary { labels, .. } = &mut self.rows {
            *labels = Some(y_pred);
        }
        self
    }

    /// Adds scores to a binary input, or probabilities, which some metrics need them to be; leaves other inputs alone.
    ///
    /// ```
    /// use mlops_eval::catalog::{Input, Metric};
    /// let input = Input::binary(&[true, false]).with_scores(&[0.5, 0.5]);
    /// assert_eq!("brier".parse::<Metric>()?.evaluate(&input)?.value(), Some(0.25));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub const fn with_scores(mut self, values: &'a [f64]) -> Self {
        if let Rows::Binary { scores, .. } = &mut self.rows {
            *scores = Some(values);
        }
        self
    }

    /// Chooses the average of a multiclass input; leaves other inputs alone.
    ///
    /// ```
    /// use mlops_eval::catalog::{Input, Metric};
    /// use mlops_eval::classification::Average;
    /// let input = Input::multiclass(&[0, 1, 1], &[0, 1, 0], 2).with_average(Average::Micro);
    /// assert_eq!("f1".parse::<Metric>()?.evaluate(&input)?.value(), Some(2.0 / 3.0));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub const fn with_average(mut self, choice: Average) -> Self {
        if let Rows::Multiclass(rows) = &mut self.rows {
            rows.average = choice;
        }
        self
    }

    /// Adds probabilities to a multiclass input, row by row, in each the classes in the order of their codes; leaves other inputs
    /// alone. Top-k accuracies take scores of any scale.
    ///
    /// ```
    /// use mlops_eval::catalog::{Input, Metric};
    /// let probabilities = [0.7, 0.2, 0.1, 0.2, 0.5, 0.3, 0.1, 0.3, 0.6];
    /// let input = Input::multiclass(&[0, 1, 2], &[0, 1, 2], 3).with_probabilities(&probabilities);
    /// assert_eq!("roc_auc_ovr".parse::<Metric>()?.evaluate(&input)?.value(), Some(1.0));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub const fn with_probabilities(mut self, values: &'a [f64]) -> Self {
        if let Rows::Multiclass(rows) = &mut self.rows {
            rows.probabilities = Some(values);
        }
        self
    }

    /// Adds a weight for each row.
    #[must_use]
    pub const fn with_weights(mut self, weights: &'a [f64]) -> Self {
        self.weights = Some(weights);
        self
    }

    /// The number of rows of the truth.
    pub const fn rows(&self) -> usize {
        match self.rows {
            Rows::Binary { y_true, .. } => y_true.len(),
            Rows::Multiclass(rows) => rows.y_true.len(),
            Rows::Regression { y_true, .. } => y_true.len(),
        }
    }

    /// Truth with predictions, and the weights.
    pub(crate) const fn parts(&self) -> (Rows<'a>, Option<&'a [f64]>) {
        (self.rows, self.weights)
    }

    /// Whether this input holds what `metric` needs, as far as can be told without computing.
    ///
    /// ```
    /// use mlops_eval::catalog::{Input, Metric};
    ///
    /// let input = Input::binary(&[true]).with_labels(&[true]);
    /// let names: Vec<_> = Metric::all().filter(|metric| input.supports(*metric)).map(Metric::name).collect();
    /// assert!(names.contains(&"f1") && !names.contains(&"roc_auc"));
    /// ```
    pub const fn supports(&self, metric: Metric) -> bool {
        match (metric, self.rows) {
            (Metric::Label(_), Rows::Binary { labels: Some(_), .. })
            | (Metric::Score(_) | Metric::Calibration(_), Rows::Binary { scores: Some(_), .. })
            | (Metric::Regression(_), Rows::Regression { .. }) => true,
            (metric, Rows::Multiclass(rows)) => rows.support(metric),
            _ => false,
        }
    }

    /// Checks that every part has as many elements as the truth, so that rows can be picked from it.
    pub(crate) fn check(&self) -> Result<(), StatsError> {
        let rows = self.rows();
        let same = |left: &'static str, left_len: usize| {
            let mismatch = StatsError::LengthMismatch { left, left_len, right: "y_true", right_len: rows };
            if left_len == rows { Ok(()) } else { Err(mismatch) }
        };
        match self.rows {
            Rows::Binary { labels, scores, .. } => {
                labels.map_or(Ok(()), |labels| same("y_pred", labels.len()))?;
                scores.map_or(Ok(()), |scores| same("scores", scores.len()))?;
            }
            Rows::Multiclass(ClassRows { y_pred, classes, probabilities, .. }) => {
                same("y_pred", y_pred.len())?;
                let (right, needed) = ("rows × classes", rows.checked_mul(classes));
                if let Some(found) = probabilities.filter(|found| Some(found.len()) != needed) {
                    let (left, left_len) = ("probabilities", found.len());
                    let right_len = needed.unwrap_or(usize::MAX);
                    return Err(StatsError::LengthMismatch { left, left_len, right, right_len });
                }
            }
            Rows::Regression { y_pred, .. } => same("y_pred", y_pred.len())?,
        }
        self.weights.map_or(Ok(()), |weights| same("weights", weights.len()))?;
        if rows == 0 { Err(StatsError::Empty { argument: "y_true" }) } else { Ok(()) }
    }

    /// The rows that `mask` marks, copied. Lengths must have been checked.
    pub(crate) fn pick(&self, mask: &[bool]) -> Picked {
        match self.rows {
            Rows::Binary { y_true, labels, scores } => Picked {
                truth: PickedRows::Binary {
                    y_true: picked(y_true, mask),
                    labels: labels.map(|labels| picked(labels, mask)),
                    scores: scores.map(|scores| picked(scores, mask)),
                },
                weights: self.weights.map(|weights| picked(weights, mask)),
            },
            Rows::Multiclass(ClassRows { y_true, y_pred, classes, average, probabilities }) => Picked {
                truth: PickedRows::Multiclass {
                    y_true: picked(y_true, mask),
                    y_pred: picked(y_pred, mask),
                    classes,
                    average,
                    probabilities: probabilities.map(|values| {
                        let rows = values.chunks(classes.max(1)).zip(mask).filter(|(_, keep)| **keep);
                        rows.flat_map(|(row, _)| row).copied().collect()
                    }),
                },
                weights: self.weights.map(|weights| picked(weights, mask)),
            },
            Rows::Regression { y_true, y_pred } => Picked {
                truth: PickedRows::Regression { y_true: picked(y_true, mask), y_pred: picked(y_pred, mask) },
                weights: self.weights.map(|weights| picked(weights, mask)),
            },
        }
    }
}

fn picked<T: Copy>(values: &[T], mask: &[bool]) -> Vec<T> {
    values.iter().zip(mask).filter(|(_, keep)| **keep).map(|(value, _)| *value).collect()
}

/// The rows of a slice.
pub(crate) struct Picked {
    truth: PickedRows,
    weights: Option<Vec<f64>>,
}

enum PickedRows {
    Binary {
        y_true: Vec<bool>,
        labels: Option<Vec<bool>>,
        scores: Option<Vec<f64>>,
    },
    Multiclass {
        y_true: Vec<u32>,
        y_pred: Vec<u32>,
        classes: usize,
        average: Average,
        probabilities: Option<Vec<f64>>,
    },
    Regression {
        y_true: Vec<f64>,
        y_pred: Vec<f64>,
    },
}

impl Picked {
    pub(crate) fn input(&self) -> Input<'_> {
        let rows = match &self.truth {
            PickedRows::Binary { y_true, labels, scores } => {
                Rows::Binary { y_true, labels: labels.as_deref(), scores: scores.as_deref() }
            }
            PickedRows::Multiclass { y_true, y_pred, classes, average, probabilities } => {
                let (classes, average) = (*classes, *average);
                let probabilities = probabilities.as_deref();
                Rows::Multiclass(ClassRows { y_true, y_pred, classes, average, probabilities })
            }
            PickedRows::Regression { y_true, y_pred } => Rows::Regression { y_true, y_pred },
        };
        Input { rows, weights: self.weights.as_deref() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_lead_back() {
        let names: Vec<&str> = Metric::all().map(Metric::name).collect();
        let mut unique = names.clone();
        unique.sort_unstable();
        unique.dedup();
        assert_eq!(unique.len(), names.len());
        for metric in Metric::all() {
            assert_eq!(metric.name().parse(), Ok(metric));
            let text = serde_json::to_string(&metric).unwrap();
            assert_eq!(text, format!("\"{metric}\""));
            assert_eq!(serde_json::from_str::<Metric>(&text).unwrap(), metric);
        }
    }

    #[test]
    fn what_gates_of_other_tools_are_carried_over_to_is_a_metric() {
        for (theirs, ours) in mlops_core::evaluation::ImportedGate::known_metrics() {
            assert!(ours.parse::<Metric>().is_ok(), "{theirs} would become {ours}");
        }
        // What both call alike needs no translation, and has none to another metric.
        for metric in Metric::all() {
            for (theirs, ours) in mlops_core::evaluation::ImportedGate::known_metrics() {
                assert!(
                    *theirs != metric.name() || theirs == ours,
                    "{theirs} is a metric, and would become {ours}"
                );
            }
        }
    }

    #[test]
    fn the_crate_docs_list_every_metric() {
        let docs = include_str!("lib.rs");
        for metric in Metric::all() {
            assert!(docs.contains(&format!("//! | `{metric}` | ")), "{metric} is not in the table");
        }
    }

    #[test]
    fn an_unknown_name_is_escaped_and_the_known_ones_are_listed() {
        let message = "f1\n\u{1b}[31m".parse::<Metric>().unwrap_err().to_string();
        assert!(
            message.starts_with(r#""f1\n\u{1b}[31m" is not a metric; known are accuracy, "#),
            "{message}"
        );
        assert!(message.ends_with("max_error"), "{message}");
    }

    #[test]
    fn a_slip_finds_the_metric_that_was_meant() {
        let near = |name: &str| name.parse::<Metric>().unwrap_err().nearest().map(Metric::name);
        for (slip, meant) in
            [("rsme", "rmse"), ("F1", "f1"), ("acuracy", "accuracy"), ("smooth_ecee", "smooth_ece")]
        {
            assert_eq!(near(slip), Some(meant));
        }
        for nothing in ["", "quality", &"f1".repeat(40)] {
            assert_eq!(near(nothing), None, "{nothing}");
        }
    }

    #[test]
    fn a_state_that_is_made_once_gives_what_each_metric_gives() {
        let y_true: Vec<bool> = (0..60).map(|row| row % 3 == 0).collect();
        let scores: Vec<f64> = (0..60).map(|row| f64::from(row * 7 % 20) / 20.0).collect();
        let weights: Vec<f64> = (0..60).map(|row| f64::from(row % 4)).collect();
        let input = Input::binary(&y_true).with_scores(&scores);
        let bad = Input::binary(&y_true).with_scores(&weights);
        let codes: Vec<u32> = (0..60).map(|row| row * 5 % 3).collect();
        let said: Vec<u32> = (0..60).map(|row| row * 7 % 3).collect();
        let wide: Vec<f64> = scores.iter().flat_map(|p| [*p, (1.0 - p) / 4.0, 0.75 * (1.0 - p)]).collect();
        let classes = Input::multiclass(&codes, &said, 3).with_probabilities(&wide);
        let unfit = Input::multiclass(&codes, &said, 3).with_probabilities(&scores);
        for input in
            [input, input.with_weights(&weights), bad, classes, classes.with_weights(&weights), unfit]
        {
            let mut evaluation = Evaluation::new(input);
            for metric in Metric::all() {
                assert_eq!(evaluation.value(metric), metric.evaluate(&input), "{metric}");
            }
        }
    }

    #[test]
    fn what_an_input_supports_is_what_it_evaluates() {
        let inputs = [
            Input::binary(&[true, false]),
            Input::binary(&[true, false]).with_labels(&[true, false]),
            Input::binary(&[true, false]).with_scores(&[0.9, 0.1]),
            Input::multiclass(&[0, 1], &[0, 1], 2).with_weights(&[1.0, 2.0]),
            Input::multiclass(&[0, 1], &[0, 1], 2).with_probabilities(&[0.9, 0.1, 0.2, 0.8]),
            Input::multiclass(&[0, 2], &[0, 1], 4)
                .with_probabilities(&[0.25, 0.25, 0.5, 0.0, 0.0, 1.0, 0.0, 0.0]),
            Input::regression(&[1.0, 2.0], &[1.0, 2.0]),
        ];
        for input in inputs {
            for metric in Metric::all() {
                let unsupported = matches!(metric.evaluate(&input), Err(StatsError::Unsupported { .. }));
                assert_eq!(input.supports(metric), !unsupported, "{metric} {input:?}");
            }
        }
    }

    #[test]
    fn values_lie_in_the_announced_range() {
        let binary = Input::binary(&[true, false, true])
            .with_labels(&[true, true, false])
            .with_scores(&[0.2, 0.9, 0.8]);
        let regression = Input::regression(&[1.0, 2.0, 4.0], &[2.0, 0.0, 9.0]);
        let classes = Input::multiclass(&[0, 1, 3], &[1, 1, 2], 4)
            .with_probabilities(&[0.25, 0.5, 0.25, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0]);
        for input in [binary, regression, classes] {
            for metric in Metric::all().filter(|metric| input.supports(*metric)) {
                // A prediction of 0 is no mean of a Poisson or gamma law.
                let value = match metric.evaluate(&input) {
                    Err(StatsError::OutOfRange { argument: "y_pred", index: 1, .. }) => {
                        assert!(metric.name().ends_with("_deviance"), "{metric}");
                        continue;
                    }
                    result => result.unwrap().value(),
                };
                let (low, high) = metric.range();
                assert!(value.is_none_or(|value| (low..=high).contains(&value)), "{metric}: {value:?}");
            }
        }
    }
}
