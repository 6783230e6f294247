//! The evaluator: predictions and truth in, a report with metrics, slices and fairness out.
//!
//! [`StandardEvaluator`] implements [`Evaluator`] of `mlops-core` on top of this crate's functions. What
//! it reports is what a gate can ask for: the metrics of the task, the same on slices, and the parity criteria between the
//! groups of each sensitive column, with the groups that could not be compared named.

mod classes;
mod truth;

use std::collections::BTreeMap;

use mlops_core::data::{Column, DataType};
use mlops_core::evaluation::{
    Disparity, Estimate, EvaluationInput, EvaluationReport, Evaluator, FairnessReport, GroupReport,
    Requirement, SliceReport,
};
use mlops_core::num::parallel::Threads;
use mlops_core::num::{Measured, NanPolicy, StatsError, quantile};
use mlops_core::problem::{Direction, Task};
use mlops_core::{Error, MetricKey, Result};
use serde::{Deserialize, Serialize};

use crate::catalog::{CalibrationMetric, Evaluation, Input, Metric, Rows, ScoreMetric};
use crate::classification::{Confusion, LabelMetric};
use crate::compare::{Delong, Difference as _, PairedOptions, mean_difference, row_losses, share_of_classes};
use crate::fairness::{
    Aggregate, EqualizedOdds, FairnessOptions, GroupErrors, GroupMetrics, GroupStatus, LeftOut,
    MetricByGroup, SensitiveFeature,
};
use crate::interval::{CONFIDENCE, Interval, wilson_share};
use crate::regression::{Domain, RegressionMetric};
use crate::slice::{Slice, SliceOptions, SliceResult, SliceValue, evaluate_slices};

pub(crate) use classes::Classes;
use classes::{OneVsRest, PER_CLASS, PER_CLASS_OF_GROUPS, class_key};
pub(crate) use truth::{booleans, numbers};

const OP: &str = "Evaluator::evaluate";

/// How [`StandardEvaluator`] measures. In a file, what is not given is the default.
///
/// ```
/// use mlops_eval::evaluator::EvaluatorOptions;
/// let options = EvaluatorOptions::default().with_bands("age", [40.0, 60.0]).with_min_slice_rows(30).with_power(0.9);
/// assert_eq!((options.min_slice_rows, options.power, options.threshold), (30, 0.9, 0.5));
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct EvaluatorOptions {
    /// The probability from which on a row is predicted to be positive, in [0, 1]. Default: 0.5.
    pub threshold: f64,
    /// Where numeric slice columns are cut, by column name; ascending and finite. A numeric column that is not listed is cut at
    /// its quartiles.
    pub bands: BTreeMap<String, Vec<f64>>,
    /// The fewest rows of a slice that is measured. Default: 10.
    pub min_slice_rows: usize,
    /// The fewest rows of a group that is compared. Default: 10.
    pub min_group_rows: u64,
    /// The seed of everything random: resamples and permutations. Default: 0.
    pub seed: u64,
    /// How many resamples a bootstrap or a permutation test draws. Default: 2 000.
    pub resamples: u64,
    /// The power for which missing rows are planned, between 0 and 1. Default: 0.8.
    pub power: f64,
    /// How many threads may work. Default: one.
    pub threads: Threads,
    /// The most classes that are reported one by one; of more than so many classes a report has the figures of all together and
    /// none of a single class. Default: 100.
    pub max_reported_classes: usize,
}

impl Default for EvaluatorOptions {
    fn default() -> Self {
        Self {
            threshold: 0.5,
            bands: BTreeMap::new(),
            min_slice_rows: 10,
            min_group_rows: 10,
            seed: 0,
            resamples: 2_000,
            power: 0.8,
            threads: Threads::ONE,
            max_reported_classes: 100,
        }
    }
}

impl EvaluatorOptions {
    /// Sets the probability from which on a row is predicted to be positive.
    #[must_use]
    pub fn with_threshold(mut self, threshold: f64) -> Self {
        self.threshold = threshold;
        self
    }

    /// Cuts a numeric slice column at these edges.
    #[must_use]
    pub fn with_bands(mut self, column: impl Into<String>, edges: impl Into<Vec<f64>>) -> Self {
        self.bands.insert(column.into(), edges.into());
        self
    }

    /// Sets the fewest rows of a slice that is measured.
    #[must_use]
    pub fn with_min_slice_rows(mut self, rows: usize) -> Self {
        self.min_slice_rows = rows;
        self
    }

    /// Sets the fewest rows of a group that is compared.
    #[must_use]
    pub fn with_min_group_rows(mut self, rows: u64) -> Self {
        self.min_group_rows = rows;
        self
    }

    /// Sets the seed of everything random.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Sets how many resamples are drawn.
    #[must_use]
    pub fn with_resamples(mut self, resamples: u64) -> Self {
        self.resamples = resamples;
        self
    }

    /// Sets the power for which missing rows are planned.
    #[must_use]
    pub fn with_power(mut self, power: f64) -> Self {
        self.power = power;
        self
    }

    /// Sets how many threads may work.
    #[must_use]
    pub fn with_threads(mut self, threads: Threads) -> Self {
        self.threads = threads;
        self
    }

    /// Sets the most classes that are reported one by one.
    #[must_use]
    pub fn with_max_reported_classes(mut self, classes: usize) -> Self {
        self.max_reported_classes = classes;
        self
    }
}

/// Measures every metric of the catalogue that a task has, but for `smooth_ece`, which costs more than all the others together.
///
/// Binary tasks need probabilities and a truth of yes and no, tasks of several classes the probabilities of all classes and the
/// class of every row, regressions values and a numeric truth; [`EvaluationInput::truth`] says how each is written. A 95 %
/// confidence interval stands beside every metric that is a share of rows (Wilson), the area under the ROC curve (DeLong) and every
/// metric that is a mean over rows (Student's t). What a gate wants tested beyond that is in [`evidence`](Self::evidence).
///
/// # Several classes
/// The predicted class is the likeliest, the first of equals; the threshold plays no part. A report has
///
/// | what | keys |
/// |---|---|
/// | shares of rows | `accuracy`, `zero_one_loss`, `top_2_accuracy`, `top_3_accuracy`, `top_5_accuracy` (of more classes than that) |
/// | of all classes | `balanced_accuracy`, `mcc`, `cohen_kappa`; `precision_macro`, `f1_weighted` and the others: the average is in the name |
/// | of the probabilities | `roc_auc_ovr`, `roc_auc_ovo` (also weighted), `average_precision_macro`, `log_loss`, `brier` (halved: 0 to 1), `d2_log_loss`, `d2_brier`, `classwise_ece` |
/// | calibration of the top label | `ece` and the others: is the likeliest class as often right as its probability says? |
/// | of each class against the rest | `precision/CLASS`, `recall/CLASS`, `f1/CLASS`, `false_positive_rate/CLASS`, `roc_auc/CLASS`; `support/CLASS`, the number of its rows |
///
/// In the name of a class every character that a metric's key may not hold, and `/` and `:`, becomes `:HEX:`, so that `<60` is
/// asked for as `recall/:3c:60`; a class whose key would be too long goes by the digest of its name. Slices have all of these too.
/// Where the probabilities of a row do not add up to 1 within 1e-6, as those of a model that scores every class against the rest,
/// there is no metric of the probabilities and no calibration.
///
/// Between groups, `accuracy_equality_difference` and its ratio compare the shares of rows that are right. The other criteria are
/// about a positive class: each holds for several classes if it holds for every class against the rest.
/// `demographic_parity_difference/CLASS`, `equal_opportunity_…`, `equalized_odds_…` and `predictive_parity_…` are about one class;
/// without a class they are the largest difference, or the smallest ratio, of any class that occurs, and undefined if that of one
/// class is.
///
/// ```
/// use mlops_core::data::Column;
/// use mlops_core::evaluation::{EvaluationInput, Evaluator as _};
/// use mlops_core::hash::Digest;
/// use mlops_core::model::Predictions;
/// use mlops_core::problem::Task;
/// use mlops_eval::evaluator::StandardEvaluator;
///
/// let predictions = Predictions::classes(
///     ["low", "mid", "high"],
///     vec![0.7, 0.2, 0.1, 0.2, 0.5, 0.3, 0.1, 0.3, 0.6, 0.3, 0.6, 0.1],
/// )?;
/// let truth = Column::text("risk", ["low", "mid", "high", "low"])?;
/// let (model, data) = (Digest::of(b"model"), Digest::of(b"data"));
/// let (task, at) = (Task::MulticlassClassification, "2026-01-01T00:00:00Z".parse()?);
/// let input = EvaluationInput::new(model, data, task, &predictions, &truth, at);
/// let report = StandardEvaluator::default().evaluate(&input)?;
/// assert_eq!(report.metric("accuracy"), Some(0.75));
/// assert_eq!((report.metric("recall/low"), report.metric("support/low")), (Some(0.5), Some(2.0)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Two classes
/// ```
/// use mlops_core::data::Column;
/// use mlops_core::evaluation::{EvaluationInput, Evaluator as _};
/// use mlops_core::hash::Digest;
/// use mlops_core::model::Predictions;
/// use mlops_core::problem::Task;
/// use mlops_eval::evaluator::StandardEvaluator;
///
/// let predictions = Predictions::probability(vec![0.9, 0.2, 0.7, 0.4])?;
/// let truth = Column::bool("ill", vec![true, false, false, true])?;
/// let report = StandardEvaluator::default().evaluate(&EvaluationInput::new(
///     Digest::of(b"model"),
///     Digest::of(b"data"),
///     Task::BinaryClassification,
///     &predictions,
///     &truth,
///     "2026-01-01T00:00:00Z".parse()?,
/// ))?;
/// assert_eq!(report.metric("roc_auc"), Some(0.75));
/// assert_eq!(report.metric("accuracy"), Some(0.5));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct StandardEvaluator {
    options: EvaluatorOptions,
}

impl StandardEvaluator {
    /// An evaluator that measures this way.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](mlops_core::ErrorKind::InvalidInput) for a threshold outside [0, 1] or bands that do not rise.
    pub fn new(options: EvaluatorOptions) -> Result<Self> {
        const OP: &str = "StandardEvaluator::new";
        if !(0.0..=1.0).contains(&options.threshold) {
            let error = Error::invalid(OP, "threshold", "must lie in [0, 1]");
            return Err(error.with("value", options.threshold));
        }
        if !(options.power > 0.0 && options.power < 1.0) {
            let error = Error::invalid(OP, "power", "must lie above 0 and below 1");
            return Err(error.with("value", options.power));
        }
        for (column, edges) in &options.bands {
            let rise = edges.windows(2).all(|pair| pair[0] < pair[1]) && edges.iter().all(|e| e.is_finite());
            if !rise || edges.is_empty() {
                let error = Error::invalid(OP, "bands", "must be finite edges that rise, at least one");
                return Err(error.with("column", column));
            }
        }
        Ok(Self { options })
    }

    /// How it measures.
    pub fn options(&self) -> &EvaluatorOptions {
        &self.options
    }

    /// The choices of a paired test that a requirement asks for.
    pub(crate) fn paired(&self, requirement: &Requirement) -> PairedOptions {
        PairedOptions::default()
            .with_alpha(requirement.alpha_alone)
            .with_power(self.options.power)
            .with_seed(self.options.seed)
            .with_resamples(self.options.resamples)
            .with_threads(self.options.threads)
    }

    /// The labels that the threshold makes of probabilities.
    pub(crate) fn labels(&self, probabilities: &[f64]) -> Result<Vec<bool>> {
        if let Some(row) = probabilities.iter().position(|p| !(0.0..=1.0).contains(p)) {
            let message = format!("a probability lies in [0, 1], row {row} has {}", probabilities[row]);
            return Err(Error::invalid(OP, "predictions", message));
        }
        Ok(probabilities.iter().map(|&p| p >= self.options.threshold).collect())
    }

    /// The rows of the slice that reports have under this name, if there is one.
    pub(crate) fn mask(&self, input: &EvaluationInput<'_>, name: &str) -> Result<Option<Vec<bool>>> {
        for column in input.slices.columns() {
            if let Some(slice) = self.cut(column)?.into_iter().find(|slice| slice.name() == name) {
                return Ok(Some(slice.mask().to_vec()));
            }
        }
        Ok(None)
    }

    /// The groups of a sensitive column, if there is one of this name.
    pub(crate) fn groups(&self, input: &EvaluationInput<'_>, attribute: &str) -> Option<Groups> {
        input.sensitive.get(attribute).map(|column| Groups::of(column, self.options.min_group_rows))
    }

    fn binary(&self, input: &EvaluationInput<'_>, report: &mut EvaluationReport) -> Result<()> {
        let truth = booleans(input.truth)?;
        let scores = input.predictions.as_slice();
        let labels = self.labels(scores)?;
        let rows = Input::binary(&truth).with_labels(&labels).with_scores(scores);
        let metrics = measure(&rows, |metric| rows.supports(metric), report)?;
        report.slices = self.slices(&self.cuts(input)?, &rows, &metrics)?;
        report.fairness = attributes(self, input, |groups| parity(&truth, &labels, groups))?;
        Ok(())
    }

    fn multiclass(&self, input: &EvaluationInput<'_>, report: &mut EvaluationReport) -> Result<()> {
        let classes = Classes::of(input.predictions, input.truth)?;
        let rows = classes.input();
        let metrics = measure(&rows, |metric| classes.have(metric), report)?;
        let cuts = self.cuts(input)?;
        report.slices = self.slices(&cuts, &rows, &metrics)?;
        if classes.labels().len() <= self.options.max_reported_classes {
            for (class, label) in classes.labels().iter().enumerate() {
                self.one_class(&classes.one_vs_rest(class), label, &cuts, report)?;
            }
        }
        report.fairness =
            attributes(self, input, |groups| self.parity_of_classes(&classes, &metrics, groups))?;
        Ok(())
    }

    /// Adds the figures of one class against the rest, over all rows and on every slice.
    fn one_class(
        &self,
        class: &OneVsRest,
        label: &str,
        cuts: &[Slice],
        report: &mut EvaluationReport,
    ) -> Result<()> {
        let rows = class.input();
        for metric in PER_CLASS {
            let found = estimate(metric, metric.evaluate(&rows)?, &rows)?;
            report.metrics.insert(class_key(metric.name(), label)?, found);
        }
        let support = class_key("support", label)?;
        let truth = class.truth.iter().filter(|positive| **positive).count();
        report.metrics.insert(support.clone(), count(truth, class.truth.len()));
        let parts = self.slices(cuts, &rows, &PER_CLASS)?;
        for ((slice, part), cut) in report.slices.iter_mut().zip(parts).zip(cuts) {
            for (name, found) in part.metrics {
                slice.metrics.insert(class_key(name.as_str(), label)?, found);
            }
            let inside =
                class.truth.iter().zip(cut.mask()).filter(|(positive, inside)| **positive && **inside);
            slice.metrics.insert(support.clone(), count(inside.count(), cut.rows()));
        }
        Ok(())
    }

    fn regression(&self, input: &EvaluationInput<'_>, report: &mut EvaluationReport) -> Result<()> {
        let truth = numbers(input.truth)?;
        let predicted = input.predictions.as_slice();
        let rows = Input::regression(&truth, predicted);
        // Logarithms and deviances are for numbers of one sign, and of a prediction close to 0 they may not fit an f64: what these
        // rows are outside of is not reported.
        let defined = |metric: &Metric| match metric {
            Metric::Regression(of) => of.domain() == Domain::Real || metric.evaluate(&rows).is_ok(),
            _ => false,
        };
        let metrics: Vec<Metric> = Metric::all().filter(defined).collect();
        for metric in &metrics {
            report.metrics.insert(key(metric.name())?, estimate(*metric, metric.evaluate(&rows)?, &rows)?);
        }
        report.slices = self.slices(&self.cuts(input)?, &rows, &metrics)?;
        report.fairness = attributes(self, input, |groups| group_errors(&truth, predicted, groups))?;
        Ok(())
    }

    /// The slices of all columns by which rows are sliced.
    fn cuts(&self, input: &EvaluationInput<'_>) -> Result<Vec<Slice>> {
        let mut slices = Vec::new();
        for column in input.slices.columns() {
            slices.extend(self.cut(column)?);
        }
        Ok(slices)
    }

    fn slices(&self, slices: &[Slice], rows: &Input<'_>, metrics: &[Metric]) -> Result<Vec<SliceReport>> {
        parts(slices, rows, metrics, self.options.min_slice_rows)
    }

    fn cut(&self, column: &Column<'_>) -> Result<Vec<Slice>> {
        let name = column.name();
        let bands = self.options.bands.get(name);
        if column.data_type() == DataType::Category
            || (column.data_type() == DataType::Bool && bands.is_none())
        {
            let (codes, levels) = levels_of(column);
            return Ok(Slice::categories(name, &codes, &levels)?);
        }
        let values = column.to_f64()?;
        let edges = match bands {
            Some(edges) => edges.clone(),
            None => quartiles(&values)?,
        };
        if edges.is_empty() {
            return Ok(vec![Slice::new(format!("{name} (all)"), vec![true; values.len()])]);
        }
        Ok(Slice::bins(name, &values, &edges)?)
    }

    fn parity_of_classes(
        &self,
        classes: &Classes<'_>,
        metrics: &[Metric],
        groups: &Groups,
    ) -> Result<Compared> {
        let right = classes.right();
        let counted = groups.count(&vec![true; right.len()], &right)?;
        let mut reports = ByGroup::default();
        // The share that is right, which the cells of right and wrong rows have an interval of.
        reports.add(&counted.by_group(LabelMetric::Accuracy), key("accuracy")?);
        reports.add_parts(&groups.slices()?, &classes.input(), metrics, groups.minimum)?;
        let rows = right.len() as u64;
        let of_all = [Parity::AccuracyEqualityDifference, Parity::AccuracyEqualityRatio];
        let mut disparities = named(of_all.map(|p| (key(p.name()), p.direction(), p.of(&counted))), rows)?;

        let each = classes.labels().len() <= self.options.max_reported_classes;
        let mut worst: BTreeMap<&str, (Measured, Vec<LeftOut>)> = BTreeMap::new();
        for (class, label) in classes.labels().iter().enumerate() {
            let one = classes.one_vs_rest(class);
            let counted = groups.count(&one.truth, &one.labels)?;
            if each {
                for metric in PER_CLASS_OF_GROUPS {
                    reports.add(&counted.by_group(metric), class_key(metric.name(), label)?);
                }
            }
            for parity in Parity::of_a_class() {
                let found = parity.of(&counted);
                if one.occurs() {
                    let entry = worst.entry(parity.name());
                    let so_far = entry.or_insert_with(|| (found.0, Vec::new()));
                    *so_far = (parity.worse(so_far.0, found.0), [so_far.1.clone(), found.1.clone()].concat());
                }
                if each {
                    let key = class_key(parity.name(), label);
                    disparities.extend(named([(key, parity.direction(), found)], rows)?);
                }
            }
        }
        for parity in Parity::of_a_class() {
            let found = worst.remove(parity.name());
            disparities
                .extend(named(found.map(|found| (key(parity.name()), parity.direction(), found)), rows)?);
        }
        Ok((reports.finish(), disparities))
    }
}

/// What was found between the groups of an attribute: every group, and the disparities.
type Compared = (Vec<GroupReport>, BTreeMap<MetricKey, Disparity>);

/// Measures every metric that the rows have, and says which those are.
fn measure(
    rows: &Input<'_>,
    have: impl Fn(Metric) -> bool,
    report: &mut EvaluationReport,
) -> Result<Vec<Metric>> {
    let mut metrics: Vec<Metric> = Vec::new();
    let mut evaluation = Evaluation::new(*rows);
    // It costs more than all the others together, on every slice.
    let dear = Metric::Calibration(CalibrationMetric::SmoothEce);
    for metric in Metric::all().filter(|metric| have(*metric) && *metric != dear) {
        let value = match evaluation.value(metric) {
            // Probabilities next to 0 that are wrong: what does not fit an f64 is not reported, and the rest is.
            Err(StatsError::Overflow { .. }) if matches!(metric, Metric::Calibration(_)) => continue,
            value => value?,
        };
        metrics.push(metric);
        report.metrics.insert(key(metric.name())?, estimate(metric, value, rows)?);
    }
    Ok(metrics)
}

/// Measures metrics on parts of the rows.
fn parts(
    slices: &[Slice],
    rows: &Input<'_>,
    metrics: &[Metric],
    min_rows: usize,
) -> Result<Vec<SliceReport>> {
    let options = SliceOptions::default().with_minimum_size(min_rows);
    let results = match evaluate_slices(rows, slices, metrics, &options) {
        // As for the whole: a metric of calibration that does not fit an f64 on some slice is left out of all of them.
        Err(StatsError::Overflow { .. }) => {
            let fits = |metric: &Metric| evaluate_slices(rows, slices, &[*metric], &options).is_ok();
            let kept = |metric: &&Metric| !matches!(metric, Metric::Calibration(_)) || fits(metric);
            let metrics: Vec<Metric> = metrics.iter().filter(kept).copied().collect();
            evaluate_slices(rows, slices, &metrics, &options)?
        }
        results => results?,
    };
    let report = |(slice, found): (&Slice, SliceResult)| {
        let (n, part) = (found.rows as u64, rows.pick(slice.mask()));
        let estimate = |v: &SliceValue| {
            let estimate = Estimate::new(v.value, v.metric.direction(), n);
            // What has no value has no interval either.
            let of_rows = || v.value.value().map_or(Ok(None), |_| interval(v.metric, &part.input()));
            let interval = v.interval.map_or_else(of_rows, |interval| Ok(Some(interval)))?;
            Ok((key(v.metric.name())?, within(estimate, interval)))
        };
        let metrics = found.values.iter().map(estimate).collect::<Result<_>>()?;
        Ok(SliceReport::new(found.name, n, metrics))
    };
    slices.iter().zip(results).map(report).collect()
}

/// The groups of a sensitive column.
pub(crate) struct Groups {
    name: String,
    codes: Vec<u32>,
    levels: Vec<String>,
    minimum: u64,
}

impl Groups {
    fn of(column: &Column<'_>, minimum: u64) -> Self {
        let (codes, levels) = levels_of(column);
        Self { name: column.name().to_owned(), codes, levels, minimum }
    }

    fn feature(&self) -> [SensitiveFeature<'_>; 1] {
        [SensitiveFeature::new(&self.name, &self.codes, self.levels.iter().cloned())]
    }

    fn options(&self) -> FairnessOptions {
        FairnessOptions::default().with_minimum_size(self.minimum)
    }

    /// The confusion cells of every group.
    pub(crate) fn count(&self, truth: &[bool], labels: &[bool]) -> Result<GroupMetrics> {
        Ok(GroupMetrics::of(truth, labels, &self.feature(), &self.options())?)
    }

    /// The rows of every group, under the names that reports have for groups.
    fn slices(&self) -> Result<Vec<Slice>> {
        let slices = Slice::categories(&self.name, &self.codes, &self.levels)?;
        let named = |(slice, level): (Slice, &String)| {
            Slice::new(format!("{}={level}", self.name), slice.mask().to_vec())
        };
        Ok(slices.into_iter().zip(&self.levels).map(named).collect())
    }
}

/// Reports of groups while their metrics come in.
#[derive(Default)]
struct ByGroup(BTreeMap<String, GroupReport>);

impl ByGroup {
    fn add(&mut self, by_group: &MetricByGroup, key: MetricKey) {
        let direction = by_group.metric.direction();
        for group in &by_group.groups {
            let name = group.group.to_string();
            let small = group.status != GroupStatus::Judged;
            let entry = self
                .0
                .entry(name.clone())
                .or_insert_with(|| GroupReport::new(name, group.rows, small, BTreeMap::new()));
            let estimate = Estimate::new(group.value, direction, group.rows);
            entry.metrics.insert(key.clone(), within(estimate, group.interval));
        }
    }

    /// Adds metrics of the groups that are there, but for those that are there already.
    fn add_parts(
        &mut self,
        slices: &[Slice],
        rows: &Input<'_>,
        metrics: &[Metric],
        minimum: u64,
    ) -> Result<()> {
        let minimum = usize::try_from(minimum).unwrap_or(usize::MAX);
        for part in parts(slices, rows, metrics, minimum)? {
            let Some(group) = self.0.get_mut(&part.name) else { continue };
            part.metrics.into_iter().for_each(|(key, found)| {
                group.metrics.entry(key).or_insert(found);
            });
        }
        Ok(())
    }

    fn finish(self) -> Vec<GroupReport> {
        self.0.into_values().collect()
    }
}

fn attributes(
    evaluator: &StandardEvaluator,
    input: &EvaluationInput<'_>,
    measure: impl Fn(&Groups) -> Result<Compared>,
) -> Result<Vec<FairnessReport>> {
    let report = |column: &Column<'_>| {
        let (groups, disparities) = measure(&Groups::of(column, evaluator.options.min_group_rows))?;
        Ok(FairnessReport::new(column.name(), groups, disparities))
    };
    input.sensitive.columns().iter().map(report).collect()
}

fn parity(truth: &[bool], labels: &[bool], groups: &Groups) -> Result<Compared> {
    let counted = groups.count(truth, labels)?;
    let mut reports = ByGroup::default();
    for metric in LabelMetric::ALL {
        reports.add(&counted.by_group(*metric), key(metric.name())?);
    }
    let disparities = Parity::ALL.map(|parity| (key(parity.name()), parity.direction(), parity.of(&counted)));
    Ok((reports.finish(), named(disparities, truth.len() as u64)?))
}

fn group_errors(truth: &[f64], predicted: &[f64], groups: &Groups) -> Result<Compared> {
    let errors = GroupErrors::of(truth, predicted, None, &groups.feature(), &groups.options())?;
    let (mut reports, mut disparities) = (ByGroup::default(), BTreeMap::new());
    for metric in [RegressionMetric::Mae, RegressionMetric::Rmse] {
        let by_group = errors.by_group(metric)?;
        reports.add(&by_group, key(metric.name())?);
        let difference = by_group.difference();
        let found = (difference.value, difference.left_out);
        let name = key(&format!("{}_difference", metric.name()));
        disparities.extend(named([(name, Direction::LowerIsBetter, found)], truth.len() as u64)?);
    }
    Ok((reports.finish(), disparities))
}

/// A number of rows out of so many.
fn count(rows: usize, of: usize) -> Estimate {
    Estimate::new(Measured::Value(rows as f64), Direction::Neither, of as u64)
}

impl Evaluator for StandardEvaluator {
    fn evaluate(&self, input: &EvaluationInput<'_>) -> Result<EvaluationReport> {
        input.check()?;
        let rows = input.predictions.len() as u64;
        let mut report = EvaluationReport::new(input.model, input.data, input.task, input.at, rows);
        match input.task {
            Task::BinaryClassification => self.binary(input, &mut report)?,
            Task::MulticlassClassification => self.multiclass(input, &mut report)?,
            Task::Regression => self.regression(input, &mut report)?,
            _ => return Err(Error::unsupported(OP, "this task")),
        }
        Ok(report)
    }

    fn metrics(&self, task: Task) -> Option<BTreeMap<MetricKey, Direction>> {
        let reported = |metric: &Metric| match (task, metric) {
            (Task::BinaryClassification, Metric::Calibration(metric)) => {
                *metric != CalibrationMetric::SmoothEce
            }
            (Task::BinaryClassification, Metric::Label(_) | Metric::Score(_)) => true,
            (Task::Regression, Metric::Regression(_)) => true,
            _ => false,
        };
        let named: Result<BTreeMap<_, _>> = Metric::all()
            .filter(reported)
            .map(|metric| Ok((key(metric.name())?, metric.direction())))
            .collect();
        named.ok().filter(|named| !named.is_empty())
    }
}

/// A parity criterion of binary decisions, as reports name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Parity {
    DemographicParityDifference,
    DemographicParityRatio,
    EqualOpportunityDifference,
    EqualOpportunityRatio,
    EqualizedOddsDifference,
    EqualizedOddsRatio,
    PredictiveParityDifference,
    PredictiveParityRatio,
    AccuracyEqualityDifference,
    AccuracyEqualityRatio,
}

impl Parity {
    const ALL: [Self; 10] = [
        Self::DemographicParityDifference,
        Self::DemographicParityRatio,
        Self::EqualOpportunityDifference,
        Self::EqualOpportunityRatio,
        Self::EqualizedOddsDifference,
        Self::EqualizedOddsRatio,
        Self::PredictiveParityDifference,
        Self::PredictiveParityRatio,
        Self::AccuracyEqualityDifference,
        Self::AccuracyEqualityRatio,
    ];

    /// The criteria that are about one class against the rest; whether a row is right is not.
    pub(crate) fn of_a_class() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|parity| parity.rate() != Some(LabelMetric::Accuracy))
    }

    /// The worse of the values of two classes; undefined if one is.
    pub(crate) fn worse(self, a: Measured, b: Measured) -> Measured {
        match (a.value(), b.value()) {
            (Some(x), Some(y)) => Measured::Value(if self.is_ratio() { x.min(y) } else { x.max(y) }),
            (None, _) => a,
            (_, None) => b,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::DemographicParityDifference => "demographic_parity_difference",
            Self::DemographicParityRatio => "demographic_parity_ratio",
            Self::EqualOpportunityDifference => "equal_opportunity_difference",
            Self::EqualOpportunityRatio => "equal_opportunity_ratio",
            Self::EqualizedOddsDifference => "equalized_odds_difference",
            Self::EqualizedOddsRatio => "equalized_odds_ratio",
            Self::PredictiveParityDifference => "predictive_parity_difference",
            Self::PredictiveParityRatio => "predictive_parity_ratio",
            Self::AccuracyEqualityDifference => "accuracy_equality_difference",
            Self::AccuracyEqualityRatio => "accuracy_equality_ratio",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|parity| parity.name() == name)
    }

    pub(crate) const fn is_ratio(self) -> bool {
        matches!(
            self,
            Self::DemographicParityRatio
                | Self::EqualOpportunityRatio
                | Self::EqualizedOddsRatio
                | Self::PredictiveParityRatio
                | Self::AccuracyEqualityRatio
        )
    }

    const fn direction(self) -> Direction {
        if self.is_ratio() { Direction::HigherIsBetter } else { Direction::LowerIsBetter }
    }

    /// The rate that is compared between groups; none for equalized odds, which compares two.
    pub(crate) const fn rate(self) -> Option<LabelMetric> {
        match self {
            Self::DemographicParityDifference | Self::DemographicParityRatio => {
                Some(LabelMetric::SelectionRate)
            }
            Self::EqualOpportunityDifference | Self::EqualOpportunityRatio => Some(LabelMetric::Recall),
            Self::EqualizedOddsDifference | Self::EqualizedOddsRatio => None,
            Self::PredictiveParityDifference | Self::PredictiveParityRatio => Some(LabelMetric::Precision),
            Self::AccuracyEqualityDifference | Self::AccuracyEqualityRatio => Some(LabelMetric::Accuracy),
        }
    }

    /// Its value, and the groups that are left out.
    pub(crate) fn of(self, counted: &GroupMetrics) -> (Measured, Vec<LeftOut>) {
        let one = |a: Aggregate| (a.value, a.left_out);
        let odds = |e: EqualizedOdds| {
            let mut left_out = e.true_positive_rate.left_out;
            left_out.extend(e.false_positive_rate.left_out);
            (e.value, left_out)
        };
        match self {
            Self::DemographicParityDifference => one(counted.demographic_parity_difference()),
            Self::DemographicParityRatio => one(counted.demographic_parity_ratio()),
            Self::EqualOpportunityDifference => one(counted.equal_opportunity_difference()),
            Self::EqualOpportunityRatio => one(counted.equal_opportunity_ratio()),
            Self::EqualizedOddsDifference => odds(counted.equalized_odds_difference()),
            Self::EqualizedOddsRatio => odds(counted.equalized_odds_ratio()),
            Self::PredictiveParityDifference => one(counted.predictive_parity_difference()),
            Self::PredictiveParityRatio => one(counted.predictive_parity_ratio()),
            Self::AccuracyEqualityDifference => one(counted.accuracy_equality_difference()),
            Self::AccuracyEqualityRatio => one(counted.accuracy_equality_ratio()),
        }
    }
}

/// A disparity before it goes into a report.
type Found = (Result<MetricKey>, Direction, (Measured, Vec<LeftOut>));

fn named(disparities: impl IntoIterator<Item = Found>, rows: u64) -> Result<BTreeMap<MetricKey, Disparity>> {
    let one = |(key, direction, (value, left_out)): Found| {
        let mut names: Vec<String> = left_out.iter().map(|l| l.group.to_string()).collect();
        names.sort();
        names.dedup();
        Ok((key?, Disparity::new(Estimate::new(value, direction, rows), names)))
    };
    disparities.into_iter().map(one).collect()
}

/// A metric of rows, with the interval of those that have a simple one.
fn estimate(metric: Metric, value: Measured, rows: &Input<'_>) -> Result<Estimate> {
    let estimate = Estimate::new(value, metric.direction(), rows.rows() as u64);
    Ok(within(estimate, interval(metric, rows)?))
}

fn within(estimate: Estimate, interval: Option<Interval>) -> Estimate {
    match interval {
        Some(interval) => estimate.with_interval(interval.lower, interval.upper),
        None => estimate,
    }
}

/// The 95 % interval of a share of rows (Wilson), of an area under the ROC curve (DeLong, on the logit scale) and of a mean over
/// rows (Student's t); other metrics need a bootstrap, which a gate asks for where it needs one.
fn interval(metric: Metric, rows: &Input<'_>) -> Result<Option<Interval>> {
    Ok(match (metric, rows.parts().0) {
        (Metric::Label(label), Rows::Binary { y_true, labels: Some(labels), .. }) => {
            let share = label.share(Confusion::of(y_true, labels)?).filter(|(_, trials)| *trials > 0.0);
            share.map(|(successes, trials)| wilson_share(successes, trials, CONFIDENCE))
        }
        (Metric::Score(ScoreMetric::RocAuc), Rows::Binary { y_true, scores: Some(scores), .. }) => {
            let area = Delong::of(y_true, &[scores])?;
            match area.logit_interval(0, CONFIDENCE)? {
                Some(interval) => Some(interval),
                None => area.interval(0, CONFIDENCE)?,
            }
        }
        _ => match (share_of_classes(metric, rows)?, row_losses(metric, rows)?) {
            (Some(share), _) => {
                let hits = share.iter().filter(|hit| **hit).count();
                Some(wilson_share(hits as f64, share.len() as f64, CONFIDENCE))
            }
            (None, Some(losses)) => mean_difference(&losses)?.interval(CONFIDENCE)?,
            (None, None) => None,
        },
    })
}

fn key(name: &str) -> Result<MetricKey> {
    Ok(MetricKey::new(name)?)
}

/// Codes and levels of any column, by the text of its values; what is missing is a level of its own.
fn levels_of(column: &Column<'_>) -> (Vec<u32>, Vec<String>) {
    const MISSING: &str = "(missing)";
    let text = |row| column.label(row).map_or_else(|| MISSING.to_owned(), |label| label.into_owned());
    let values: Vec<String> = (0..column.len()).map(text).collect();
    let feature = SensitiveFeature::from_values(column.name(), &values);
    let place: BTreeMap<&str, u32> = feature.categories().iter().map(String::as_str).zip(0_u32..).collect();
    // Every value is among its own categories.
    let codes = values.iter().map(|v| place.get(v.as_str()).copied().unwrap_or(u32::MAX)).collect();
    (codes, feature.categories().to_vec())
}

fn quartiles(values: &[f64]) -> Result<Vec<f64>> {
    let present: Vec<f64> = values.iter().copied().filter(|v| v.is_finite()).collect();
    if present.is_empty() {
        return Ok(Vec::new());
    }
    let quartiles = quantile::quantiles_with(&present, &[0.25, 0.5, 0.75], NanPolicy::Raise)?;
    let mut edges: Vec<f64> = quartiles.into_iter().filter_map(Measured::value).collect();
    edges.dedup();
    Ok(edges)
}

#[cfg(test)]
mod tests {
    use super::*;
    use mlops_core::data::Table;
    use mlops_core::hash::Digest;
    use mlops_core::model::Predictions;

    fn evaluate(
        task: Task,
        predictions: Predictions,
        truth: Column<'_>,
        slices: Table<'_>,
        sensitive: Table<'_>,
    ) -> Result<EvaluationReport> {
        let options = EvaluatorOptions::default().with_bands("age", [40.0, 60.0]).with_min_group_rows(2);
        StandardEvaluator::new(options.with_min_slice_rows(2))?.evaluate(
            &EvaluationInput::new(
                Digest::of(b"m"),
                Digest::of(b"d"),
                task,
                &predictions,
                &truth,
                "2026-01-01T00:00:00Z".parse().unwrap(),
            )
            .with_slices(&slices)
            .with_sensitive(&sensitive),
        )
    }

    fn binary() -> EvaluationReport {
        let predictions = Predictions::probability(vec![0.9, 0.2, 0.7, 0.4, 0.6, 0.1]).unwrap();
        let truth = Column::bool("ill", vec![true, false, false, true, true, false]).unwrap();
        let age = Column::f64("age", vec![30.0, 35.0, 50.0, 55.0, 70.0, 75.0]).unwrap();
        let sex = Column::text("sex", ["f", "f", "f", "m", "m", "x"]).unwrap();
        let (slices, sensitive) = (Table::new(vec![age]).unwrap(), Table::new(vec![sex]).unwrap());
        evaluate(Task::BinaryClassification, predictions, truth, slices, sensitive).unwrap()
    }

    #[test]
    fn slices_follow_the_bands() {
        let report = binary();
        let names: Vec<(&str, u64)> = report.slices.iter().map(|s| (s.name.as_str(), s.rows)).collect();
        assert_eq!(names, [("age < 40", 2), ("40 <= age < 60", 2), ("age >= 60", 2)]);
        let accuracy = |i: usize| report.slices[i].metrics["accuracy"].value.value();
        assert_eq!((accuracy(0), accuracy(1), accuracy(2)), (Some(1.0), Some(0.0), Some(1.0)));
    }

    #[test]
    fn groups_that_cannot_be_compared_are_named() {
        let report = binary();
        let fairness = &report.fairness[0];
        assert_eq!(fairness.attribute, "sex");
        let parity = &fairness.disparities["demographic_parity_difference"];
        // f selects 2 of 3, m selects 1 of 2.
        assert!((parity.estimate.value.value().unwrap() - 1.0 / 6.0).abs() < 1e-15);
        assert_eq!(parity.left_out, ["sex=x"]);
        assert!(fairness.groups.iter().any(|g| g.name == "sex=x" && g.too_small));
    }

    #[test]
    fn a_single_class_leaves_its_metrics_undefined_and_the_report_serialisable() {
        let predictions = Predictions::probability(vec![0.9, 0.2]).unwrap();
        let truth = Column::bool("y", vec![true, true]).unwrap();
        let report =
            evaluate(Task::BinaryClassification, predictions, truth, Table::default(), Table::default());
        let report = report.unwrap();
        assert!(report.undefined().any(|(key, _)| key.as_str() == "roc_auc"));
        assert!(report.digest().is_ok());
    }

    #[test]
    fn a_metric_of_calibration_that_does_not_fit_is_left_out_and_the_rest_is_reported() {
        let of = |probabilities: Vec<f64>, truth: Vec<bool>, slices: Vec<Column<'static>>| {
            let predictions = Predictions::probability(probabilities).unwrap();
            let (truth, slices) = (Column::bool("ill", truth).unwrap(), Table::new(slices).unwrap());
            evaluate(Task::BinaryClassification, predictions, truth, slices, Table::default()).unwrap()
        };
        // One positive where 2e-320 are expected: the ratio overflows.
        let report = of(vec![1e-320, 1e-320], vec![true, false], Vec::new());
        assert!(!report.metrics.contains_key("calibration_ratio"));
        assert!(report.metric("ece").is_some() && report.metric("corp_miscalibration").is_some());

        // On one slice alone.
        let age = Column::f64("age", vec![30.0, 30.0, 50.0, 50.0]).unwrap();
        let report = of(vec![1e-320, 1e-320, 0.5, 0.5], vec![true, false, true, false], vec![age]);
        assert!(report.metrics.contains_key("calibration_ratio"));
        for slice in &report.slices {
            assert!(!slice.metrics.contains_key("calibration_ratio"), "{}", slice.name);
            assert!(slice.metrics.contains_key("ece") && slice.metrics.contains_key("roc_auc"));
        }
    }

    #[test]
    fn truth_of_the_wrong_kind_or_with_holes_is_refused() {
        let scores = || Predictions::probability(vec![0.9, 0.2]).unwrap();
        let run =
            |truth| evaluate(Task::BinaryClassification, scores(), truth, Table::default(), Table::default());
        assert!(run(Column::f64("y", vec![1.0, 0.0]).unwrap()).is_err());
        assert!(run(Column::bool("y", vec![true]).unwrap()).is_err());
        let holes = mlops_core::data::Validity::from_bools(&[true, false]);
        let values = mlops_core::data::Values::Bool(vec![true, false].into());
        let error = run(Column::new("y", values, Some(holes)).unwrap()).unwrap_err();
        assert_eq!(error.context("row"), Some("1"));
    }

    #[test]
    fn a_regression_has_errors_by_group() {
        let predictions = Predictions::value(vec![1.0, 2.0, 3.0, 5.0]).unwrap();
        let truth = Column::f64("y", vec![1.0, 2.0, 4.0, 4.0]).unwrap();
        let sex = Table::new(vec![Column::text("sex", ["f", "f", "m", "m"]).unwrap()]).unwrap();
        let report = evaluate(Task::Regression, predictions, truth, Table::default(), sex).unwrap();
        assert_eq!(report.metric("mae"), Some(0.5));
        assert_eq!(report.fairness[0].disparities["mae_difference"].estimate.value.value(), Some(1.0));
    }

    #[test]
    fn options_out_of_range_are_refused() {
        assert!(StandardEvaluator::new(EvaluatorOptions::default().with_threshold(f64::NAN)).is_err());
        assert!(StandardEvaluator::new(EvaluatorOptions::default().with_bands("age", [2.0, 1.0])).is_err());
        assert!(StandardEvaluator::new(EvaluatorOptions::default().with_bands("age", [])).is_err());
    }
}
