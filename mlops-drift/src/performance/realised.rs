//! Realised performance: chunks whose labels are known, against a reference.

use mlops_core::num::{Measured, StatsError, UndefinedReason};
use serde::{Deserialize, Serialize};

use super::binary::{CellValues, check_metrics as check_binary};
use super::estimate::{Baseline, Versioned};
use super::multiclass::check_metrics as check_multiclass;
use super::regression::check_metrics as check_regression;
use super::{
    BaselineRow, Binary, Measurement, Metric, Multiclass, Performance, PerformanceOptions, Regression, check,
    measure_binary, measure_multiclass, measure_regression,
};
use crate::chunk::{Chunk, Joined};

/// The measurements of a chunk without a single label.
fn nothing(metrics: Vec<Metric>) -> Vec<Measurement> {
    let none = Measured::none(UndefinedReason::TooFew, 0, 1);
    metrics
        .into_iter()
        .map(|metric| Measurement { metric, value: none, unit_variance: none, rows: 0 })
        .collect()
}

macro_rules! versioned {
    ($type:ident, $state:ident, $name:literal) => {
        impl TryFrom<Versioned<$state>> for $type {
            type Error = String;

            fn try_from(stored: Versioned<$state>) -> Result<Self, String> {
                Ok(Self { state: stored.open($name)? })
            }
        }

        impl From<$type> for Versioned<$state> {
            fn from(fitted: $type) -> Self {
                Self::new(fitted.state)
            }
        }
    };
}
pub(super) use versioned;

/// Holds the realised performance of two-class chunks against a reference.
///
/// Serialises with a version.
///
/// ```
/// use mlops_core::evaluation::Verdict;
/// use mlops_drift::chunk::{Chunker, Cut};
/// use mlops_drift::performance::{Binary, BinaryPerformance, Metric, PerformanceOptions};
///
/// // A reference where nine of ten predictions are right.
/// let scores: Vec<f64> = (0..1000).map(|i| if i % 2 == 0 { 0.9 } else { 0.1 }).collect();
/// let predicted: Vec<bool> = scores.iter().map(|&score| score > 0.5).collect();
/// let truth: Vec<bool> = (0..1000).map(|i| (i % 2 == 0) != (i * 7 % 10 == 3)).collect();
/// let rows = Binary::new(&scores, &predicted)?;
/// let chunks = Chunker::new(Cut::Count(10)).cut(1000)?;
/// let options = PerformanceOptions::default().with_metrics([Metric::Accuracy]);
/// let watch = BinaryPerformance::fit(&rows, &truth, &chunks, &options)?;
///
/// assert_eq!(watch.measure(&rows, &truth)?.verdict(), Verdict::Pass);
/// let wrong: Vec<bool> = truth.iter().map(|truth| !truth).collect();
/// assert_eq!(watch.measure(&rows, &wrong)?.verdict(), Verdict::Fail);
/// # Ok::<(), mlops_core::num::StatsError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Versioned<BinaryState>", into = "Versioned<BinaryState>")]
pub struct BinaryPerformance {
    state: BinaryState,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct BinaryState {
    baseline: Baseline,
    values: Option<CellValues>,
}

versioned!(BinaryPerformance, BinaryState, "a two-class performance");

impl BinaryPerformance {
    /// Measures the reference, whole and in chunks.
    ///
    /// # Errors
    /// As [`measure_binary`]; [`StatsError::Empty`] for a chunk without rows and [`StatsError::LengthMismatch`] for one with rows beyond
    /// the data; [`StatsError::Parameter`] for options.
    pub fn fit(
        rows: &Binary<'_>,
        truth: &[bool],
        chunks: &[Chunk],
        options: &PerformanceOptions,
    ) -> Result<Self, StatsError> {
        Self::fit_with_values(rows, truth, chunks, options, None)
    }

    /// As [`fit`](Self::fit), with what a row is worth by cell, which [`Metric::BusinessValue`] needs.
    ///
    /// # Errors
    /// As [`fit`](Self::fit).
    pub fn fit_with_values(
        rows: &Binary<'_>,
        truth: &[bool],
        chunks: &[Chunk],
        options: &PerformanceOptions,
        values: Option<CellValues>,
    ) -> Result<Self, StatsError> {
        options.check()?;
        let metrics = options.metrics_or(&Metric::BINARY);
        check_binary(&metrics, values.as_ref())?;
        let whole = measure_binary(rows, truth, &metrics, values.as_ref())?;
        check::chunks(chunks, rows.rows())?;
        let of_chunk = |chunk: &Chunk| {
            let scores = check::pick(chunk, "scores", rows.scores)?;
            let predicted = check::pick(chunk, "predicted", rows.predicted)?;
            let truth = check::pick(chunk, "truth", truth)?;
            measure_binary(&Binary::new(&scores, &predicted)?, &truth, &metrics, values.as_ref())
        };
        let chunks = chunks.iter().map(of_chunk).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { state: BinaryState { baseline: Baseline::new(whole, &chunks, options), values } })
    }

    /// What the reference did.
    pub fn reference(&self) -> &[BaselineRow] {
        &self.state.baseline.rows
    }

    pub(super) fn baseline(&self) -> &Baseline {
        &self.state.baseline
    }

    pub(super) fn values(&self) -> Option<&CellValues> {
        self.state.values.as_ref()
    }

    /// Measures and judges a chunk whose labels are all known.
    ///
    /// # Errors
    /// As [`measure_binary`].
    pub fn measure(&self, rows: &Binary<'_>, truth: &[bool]) -> Result<Performance, StatsError> {
        self.measure_of(rows, truth, rows.rows() as u64)
    }

    /// Measures and judges the labelled rows of a chunk from a [`LabelJoin`](crate::chunk::LabelJoin) of (score, predicted class).
    ///
    /// # Errors
    /// As [`Binary::new`].
    pub fn measure_joined(&self, joined: &Joined<'_, (f64, bool), bool>) -> Result<Performance, StatsError> {
        if joined.pairs.is_empty() {
            let baseline = &self.state.baseline;
            return Ok(baseline.judge_realised(&nothing(baseline.metrics()), 0, joined.predictions));
        }
        let (scores, predicted): (Vec<f64>, Vec<bool>) = joined.pairs.iter().map(|(row, _)| **row).unzip();
        let truth: Vec<bool> = joined.pairs.iter().map(|(_, truth)| **truth).collect();
        self.measure_of(&Binary::new(&scores, &predicted)?, &truth, joined.predictions)
    }

    fn measure_of(
        &self,
        rows: &Binary<'_>,
        truth: &[bool],
        predictions: u64,
    ) -> Result<Performance, StatsError> {
        let baseline = &self.state.baseline;
        let measured = measure_binary(rows, truth, &baseline.metrics(), self.values())?;
        Ok(baseline.judge_realised(&measured, rows.rows() as u64, predictions))
    }
}

/// Holds the realised performance of chunks of several classes against a reference.
///
/// Serialises with a version.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Versioned<MulticlassState>", into = "Versioned<MulticlassState>")]
pub struct MulticlassPerformance {
    state: MulticlassState,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct MulticlassState {
    baseline: Baseline,
    classes: usize,
}

versioned!(MulticlassPerformance, MulticlassState, "a performance of several classes");

impl MulticlassPerformance {
    /// Measures the reference, whole and in chunks.
    ///
    /// # Errors
    /// As [`measure_multiclass`] and [`BinaryPerformance::fit`].
    pub fn fit(
        rows: &Multiclass<'_>,
        truth: &[u32],
        chunks: &[Chunk],
        options: &PerformanceOptions,
    ) -> Result<Self, StatsError> {
        options.check()?;
        let metrics = options.metrics_or(&Metric::MULTICLASS);
        check_multiclass(&metrics)?;
        let whole = measure_multiclass(rows, truth, &metrics)?;
        check::chunks(chunks, rows.rows())?;
        let of_chunk = |chunk: &Chunk| {
            let scores: Vec<f64> = chunk.rows.iter().flat_map(|row| self::row(rows, row)).copied().collect();
            let predicted = check::pick(chunk, "predicted", rows.predicted)?;
            let truth = check::pick(chunk, "truth", truth)?;
            measure_multiclass(&Multiclass::new(&scores, rows.classes, &predicted)?, &truth, &metrics)
        };
        let chunks = chunks.iter().map(of_chunk).collect::<Result<Vec<_>, _>>()?;
        let baseline = Baseline::new(whole, &chunks, options);
        Ok(Self { state: MulticlassState { baseline, classes: rows.classes } })
    }

    /// What the reference did.
    pub fn reference(&self) -> &[BaselineRow] {
        &self.state.baseline.rows
    }

    pub(super) fn baseline(&self) -> &Baseline {
        &self.state.baseline
    }

    /// Refuses rows of another number of classes.
    pub(super) fn check(&self, rows: &Multiclass<'_>) -> Result<(), StatsError> {
        check::same_length("classes of the reference", self.state.classes, "classes", rows.classes)
    }

    /// Measures and judges a chunk whose labels are all known.
    ///
    /// # Errors
    /// As [`measure_multiclass`]; [`StatsError::LengthMismatch`] for another number of classes than the reference has.
    pub fn measure(&self, rows: &Multiclass<'_>, truth: &[u32]) -> Result<Performance, StatsError> {
        self.measure_of(rows, truth, rows.rows() as u64)
    }

    /// Measures and judges the labelled rows of a chunk from a [`LabelJoin`](crate::chunk::LabelJoin) of (scores, predicted class).
    ///
    /// # Errors
    /// As [`measure`](Self::measure) and [`Multiclass::new`].
    pub fn measure_joined(
        &self,
        joined: &Joined<'_, (Vec<f64>, u32), u32>,
    ) -> Result<Performance, StatsError> {
        if joined.pairs.is_empty() {
            let baseline = &self.state.baseline;
            return Ok(baseline.judge_realised(&nothing(baseline.metrics()), 0, joined.predictions));
        }
        for ((scores, _), _) in &joined.pairs {
            check::same_length(
                "classes of the reference",
                self.state.classes,
                "scores of a row",
                scores.len(),
            )?;
        }
        let scores: Vec<f64> = joined.pairs.iter().flat_map(|((scores, _), _)| scores).copied().collect();
        let predicted: Vec<u32> = joined.pairs.iter().map(|((_, predicted), _)| *predicted).collect();
        let truth: Vec<u32> = joined.pairs.iter().map(|(_, truth)| **truth).collect();
        let rows = Multiclass::new(&scores, self.state.classes, &predicted)?;
        self.measure_of(&rows, &truth, joined.predictions)
    }

    fn measure_of(
        &self,
        rows: &Multiclass<'_>,
        truth: &[u32],
        predictions: u64,
    ) -> Result<Performance, StatsError> {
        self.check(rows)?;
        let baseline = &self.state.baseline;
        let measured = measure_multiclass(rows, truth, &baseline.metrics())?;
        Ok(baseline.judge_realised(&measured, rows.rows() as u64, predictions))
    }
}

/// The scores of a row.
fn row<'a>(rows: &Multiclass<'a>, row: usize) -> &'a [f64] {
    let from = row.saturating_mul(rows.classes);
    rows.scores.get(from..from.saturating_add(rows.classes)).unwrap_or_default()
}

/// Holds the realised performance of chunks of numbers against a reference.
///
/// Serialises with a version.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Versioned<RegressionState>", into = "Versioned<RegressionState>")]
pub struct RegressionPerformance {
    state: RegressionState,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RegressionState {
    baseline: Baseline,
}

versioned!(RegressionPerformance, RegressionState, "a performance of numbers");

impl RegressionPerformance {
    /// Measures the reference, whole and in chunks.
    ///
    /// # Errors
    /// As [`measure_regression`] and [`BinaryPerformance::fit`].
    pub fn fit(
        rows: &Regression<'_>,
        truth: &[f64],
        chunks: &[Chunk],
        options: &PerformanceOptions,
    ) -> Result<Self, StatsError> {
        options.check()?;
        let metrics = options.metrics_or(&Metric::REGRESSION);
        check_regression(&metrics)?;
        let whole = measure_regression(rows, truth, &metrics)?;
        check::chunks(chunks, rows.rows())?;
        let of_chunk = |chunk: &Chunk| {
            let predicted = check::pick(chunk, "predicted", rows.predicted)?;
            let truth = check::pick(chunk, "truth", truth)?;
            measure_regression(&Regression::new(&predicted)?, &truth, &metrics)
        };
        let chunks = chunks.iter().map(of_chunk).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { state: RegressionState { baseline: Baseline::new(whole, &chunks, options) } })
    }

    /// What the reference did.
    pub fn reference(&self) -> &[BaselineRow] {
        &self.state.baseline.rows
    }

    pub(super) fn baseline(&self) -> &Baseline {
        &self.state.baseline
    }

    /// Measures and judges a chunk whose truth is all known.
    ///
    /// # Errors
    /// As [`measure_regression`].
    pub fn measure(&self, rows: &Regression<'_>, truth: &[f64]) -> Result<Performance, StatsError> {
        self.measure_of(rows, truth, rows.rows() as u64)
    }

    /// Measures and judges the rows of a chunk whose truth is known from a [`LabelJoin`](crate::chunk::LabelJoin).
    ///
    /// # Errors
    /// As [`Regression::new`] and [`measure_regression`].
    pub fn measure_joined(&self, joined: &Joined<'_, f64, f64>) -> Result<Performance, StatsError> {
        if joined.pairs.is_empty() {
            let baseline = &self.state.baseline;
            return Ok(baseline.judge_realised(&nothing(baseline.metrics()), 0, joined.predictions));
        }
        let (predicted, truth): (Vec<f64>, Vec<f64>) = joined.pairs.iter().map(|(p, t)| (**p, **t)).unzip();
        self.measure_of(&Regression::new(&predicted)?, &truth, joined.predictions)
    }

    fn measure_of(
        &self,
        rows: &Regression<'_>,
        truth: &[f64],
        predictions: u64,
    ) -> Result<Performance, StatsError> {
        let baseline = &self.state.baseline;
        let measured = measure_regression(rows, truth, &baseline.metrics())?;
        Ok(baseline.judge_realised(&measured, rows.rows() as u64, predictions))
    }
}
