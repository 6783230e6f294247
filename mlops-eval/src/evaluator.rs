//! The evaluator: predictions and truth in, a report with metrics, slices and fairness out.
//!
//! [`StandardEvaluator`] implements [`Evaluator`] of `mlops-core` on top of this crate's functions. What
//! it reports is what a gate can ask for: the metrics of the task, the same on slices, and the parity criteria between the
//! groups of each sensitive column, with the groups that could not be compared named.

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
use crate::compare::{Delong, Difference as _, PairedOptions, mean_difference, row_losses};
use crate::fairness::{
    Aggregate, EqualizedOdds, FairnessOptions, GroupErrors, GroupMetrics, GroupStatus, LeftOut,
    SensitiveFeature,
};
use crate::interval::{CONFIDENCE, Interval, wilson_share};
use crate::regression::{Domain, RegressionMetric};
use crate::slice::{Slice, SliceOptions, SliceResult, SliceValue, evaluate_slices};

const OP: &str = "Evaluator::evaluate";

/// How [`StandardEvaluator`] measures.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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

    /// Sets how many threads may work.
    #[must_use]
    pub fn with_threads(mut self, threads: Threads) -> Self {
        self.threads = threads;
        self
    }
}

/// Measures every metric of the catalogue that a task has, but for `smooth_ece`, which costs more than all the others together.
///
/// Binary tasks need probabilities and a truth that is boolean; regressions need values and a numeric truth. A 95 % confidence
/// interval stands beside every metric that is a share of rows (Wilson), the area under the ROC curve (DeLong) and every metric that
/// is a mean over rows (Student's t). What a gate wants tested beyond that is in [`evidence`](Self::evidence).
///
/// ```
/// use mlops_core::data::{Column, Table};
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

    /// The cells of the groups of a sensitive column, if there is one of this name.
    pub(crate) fn groups(
        &self,
        input: &EvaluationInput<'_>,
        attribute: &str,
        truth: &[bool],
        labels: &[bool],
    ) -> Result<Option<GroupMetrics>> {
        let Some(column) = input.sensitive.get(attribute) else { return Ok(None) };
        let (codes, levels) = levels_of(column);
        let feature = SensitiveFeature::new(column.name(), &codes, levels);
        self.counted(truth, labels, &feature).map(Some)
    }

    fn counted(
        &self,
        truth: &[bool],
        labels: &[bool],
        feature: &SensitiveFeature<'_>,
    ) -> Result<GroupMetrics> {
        let options = FairnessOptions::default().with_minimum_size(self.options.min_group_rows);
        Ok(GroupMetrics::of(truth, labels, std::slice::from_ref(feature), &options)?)
    }

    fn binary(&self, input: &EvaluationInput<'_>, report: &mut EvaluationReport) -> Result<()> {
        let truth = booleans(input.truth)?;
        let scores = input.predictions.as_slice();
        let labels = self.labels(scores)?;
        let rows = Input::binary(&truth).with_labels(&labels).with_scores(scores);
        let mut metrics: Vec<Metric> = Vec::new();
        let mut evaluation = Evaluation::new(rows);
        // It costs more than all the others together, on every slice.
        let dear = Metric::Calibration(CalibrationMetric::SmoothEce);
        for metric in Metric::all().filter(|metric| rows.supports(*metric) && *metric != dear) {
            let value = match evaluation.value(metric) {
                // Probabilities next to 0 that are wrong: what does not fit an f64 is not reported, and the rest is.
                Err(StatsError::Overflow { .. }) if matches!(metric, Metric::Calibration(_)) => continue,
                value => value?,
            };
            metrics.push(metric);
            report.metrics.insert(key(metric.name())?, estimate(metric, value, &rows)?);
        }
        report.slices = self.slices(input, &rows, &metrics)?;
        report.fairness = self.attributes(input, |feature| self.parity(&truth, &labels, feature))?;
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
        report.slices = self.slices(input, &rows, &metrics)?;
        report.fairness = self.attributes(input, |feature| self.group_errors(&truth, predicted, feature))?;
        Ok(())
    }

    fn slices(
        &self,
        input: &EvaluationInput<'_>,
        rows: &Input<'_>,
        metrics: &[Metric],
    ) -> Result<Vec<SliceReport>> {
        let mut slices = Vec::new();
        for column in input.slices.columns() {
            slices.extend(self.cut(column)?);
        }
        let options = SliceOptions::default().with_minimum_size(self.options.min_slice_rows);
        let results = match evaluate_slices(rows, &slices, metrics, &options) {
            // As for the whole: a metric of calibration that does not fit an f64 on some slice is left out of all of them.
            Err(StatsError::Overflow { .. }) => {
                let fits = |metric: &Metric| evaluate_slices(rows, &slices, &[*metric], &options).is_ok();
                let kept = |metric: &&Metric| !matches!(metric, Metric::Calibration(_)) || fits(metric);
                let metrics: Vec<Metric> = metrics.iter().filter(kept).copied().collect();
                evaluate_slices(rows, &slices, &metrics, &options)?
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

    fn attributes(
        &self,
        input: &EvaluationInput<'_>,
        measure: impl Fn(&SensitiveFeature<'_>) -> Result<(Vec<GroupReport>, BTreeMap<MetricKey, Disparity>)>,
    ) -> Result<Vec<FairnessReport>> {
        let report = |column: &Column<'_>| {
            let (codes, levels) = levels_of(column);
            let feature = SensitiveFeature::new(column.name(), &codes, levels);
            let (groups, disparities) = measure(&feature)?;
            Ok(FairnessReport::new(column.name(), groups, disparities))
        };
        input.sensitive.columns().iter().map(report).collect()
    }

    fn parity(
        &self,
        truth: &[bool],
        labels: &[bool],
        feature: &SensitiveFeature<'_>,
    ) -> Result<(Vec<GroupReport>, BTreeMap<MetricKey, Disparity>)> {
        let counted = self.counted(truth, labels, feature)?;
        let mut groups: BTreeMap<String, GroupReport> = BTreeMap::new();
        for metric in LabelMetric::ALL {
            for group in counted.by_group(*metric).groups {
                let small = group.status != GroupStatus::Judged;
                let name = group.group.to_string();
                let entry = groups
                    .entry(name.clone())
                    .or_insert_with(|| GroupReport::new(name, group.rows, small, BTreeMap::new()));
                let mut estimate = Estimate::new(group.value, metric.direction(), group.rows);
                if let Some(interval) = group.interval {
                    estimate = estimate.with_interval(interval.lower, interval.upper);
                }
                entry.metrics.insert(key(metric.name())?, estimate);
            }
        }
        let rows = truth.len() as u64;
        let disparities =
            Parity::ALL.into_iter().map(|parity| (parity.name(), parity.direction(), parity.of(&counted)));
        Ok((groups.into_values().collect(), named(disparities, rows)?))
    }

    fn group_errors(
        &self,
        truth: &[f64],
        predicted: &[f64],
        feature: &SensitiveFeature<'_>,
    ) -> Result<(Vec<GroupReport>, BTreeMap<MetricKey, Disparity>)> {
        let options = FairnessOptions::default().with_minimum_size(self.options.min_group_rows);
        let errors = GroupErrors::of(truth, predicted, None, std::slice::from_ref(feature), &options)?;
        let mut groups: BTreeMap<String, GroupReport> = BTreeMap::new();
        let mut disparities = BTreeMap::new();
        for metric in [RegressionMetric::Mae, RegressionMetric::Rmse] {
            let by_group = errors.by_group(metric)?;
            for group in &by_group.groups {
                let small = group.status != GroupStatus::Judged;
                let name = group.group.to_string();
                let entry = groups
                    .entry(name.clone())
                    .or_insert_with(|| GroupReport::new(name, group.rows, small, BTreeMap::new()));
                entry
                    .metrics
                    .insert(key(metric.name())?, Estimate::new(group.value, metric.direction(), group.rows));
            }
            let difference = by_group.difference();
            let name = format!("{}_difference", metric.name());
            disparities.extend(named(
                [(name.as_str(), Direction::LowerIsBetter, (difference.value, difference.left_out))],
                truth.len() as u64,
            )?);
        }
        Ok((groups.into_values().collect(), disparities))
    }
}

impl Evaluator for StandardEvaluator {
    fn evaluate(&self, input: &EvaluationInput<'_>) -> Result<EvaluationReport> {
        input.check()?;
        let rows = input.predictions.len() as u64;
        let mut report = EvaluationReport::new(input.model, input.data, input.task, input.at, rows);
        match input.task {
            Task::BinaryClassification => self.binary(input, &mut report)?,
            Task::Regression => self.regression(input, &mut report)?,
            _ => return Err(Error::unsupported(OP, "this task")),
        }
        Ok(report)
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

type Compared<'a> = (&'a str, Direction, (Measured, Vec<LeftOut>));

fn named<'a>(
    disparities: impl IntoIterator<Item = Compared<'a>>,
    rows: u64,
) -> Result<BTreeMap<MetricKey, Disparity>> {
    let one = |(name, direction, (value, left_out)): Compared<'_>| {
        let mut names: Vec<String> = left_out.iter().map(|l| l.group.to_string()).collect();
        names.sort();
        names.dedup();
        Ok((key(name)?, Disparity::new(Estimate::new(value, direction, rows), names)))
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
        _ => match row_losses(metric, rows)? {
            Some(losses) => mean_difference(&losses)?.interval(CONFIDENCE)?,
            None => None,
        },
    })
}

fn key(name: &str) -> Result<MetricKey> {
    Ok(MetricKey::new(name)?)
}

/// A truth of yes and no: booleans, nothing missing.
pub(crate) fn booleans(truth: &Column<'_>) -> Result<Vec<bool>> {
    if truth.data_type() != DataType::Bool {
        let message = format!("must be boolean for a binary task, is {:?}", truth.data_type());
        return Err(Error::invalid(OP, "truth", message).with("column", truth.name()));
    }
    present(truth)?;
    Ok(truth.to_f64()?.iter().map(|&v| v == 1.0).collect())
}

pub(crate) fn numbers(truth: &Column<'_>) -> Result<Vec<f64>> {
    present(truth)?;
    Ok(truth.to_f64()?.into_owned())
}

fn present(truth: &Column<'_>) -> Result<()> {
    match (0..truth.len()).find(|&row| !truth.is_valid(row)) {
        Some(row) => {
            Err(Error::invalid(OP, "truth", "has no value").with("column", truth.name()).with("row", row))
        }
        None => Ok(()),
    }
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
        StandardEvaluator::new(EvaluatorOptions { min_slice_rows: 2, ..options })?.evaluate(
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
