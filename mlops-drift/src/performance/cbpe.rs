//! Confidence-based performance estimation: performance without labels, from calibrated scores.
//!
//! A calibrated score p says that the row is positive with probability p. So a row predicted positive is a true positive p
//! times and a false one 1 − p times, and the expected confusion matrix of a chunk is a sum over its rows. From it follow
//! accuracy, precision, recall, F1 and specificity; AUROC and average precision from the expected numbers of positives in the
//! order of the model's scores; log loss and Brier score from the expected loss of each row.
//!
//! # What it assumes
//! * **No concept drift**: rows that look alike are positive as often as they were in the reference. When that changes the
//!   estimate does not notice, by construction. It does notice that rows of other kinds arrive (covariate drift).
//! * Scores that are, or can be calibrated to be, probabilities everywhere that new rows fall.
//!
//! # Where it differs from NannyML 0.13
//! * Rows of equal score are one step of a curve; NannyML takes them in the order of an unstable sort, so that its AUROC and
//!   average precision depend on it. NannyML also rounds cumulative counts to five decimals. Without ties the two agree to that.
//! * The standard errors of F1 (delta method) and AUROC (DeLong) replace formulas that err, the first upwards and the second
//!   downwards; those of several classes count the rows that move two classes at once.
//! * The shuffles that decide whether to calibrate are drawn from another generator: a reference on the verge may be decided
//!   differently. The calibration itself is always fitted to the whole reference and agrees.
//! * A ratio with denominator zero is undefined, not 0 or NaN.
//!
//! Source: NannyML, "How it works: confidence-based performance estimation"; Białek, Kuberski, Perrakis, Bifet, "Estimating model
//! performance under covariate shift without labels" (arXiv 2401.08348).

use mlops_core::num::{Random, StatsError};
use serde::{Deserialize, Serialize};

use super::binary::{CellValues, Soft, soft};
use super::calibrate;
use super::estimate::Versioned;
use super::multiclass;
use super::realised::versioned;
use super::{
    BaselineRow, Binary, BinaryPerformance, Calibration, Confusion, Isotonic, Multiclass,
    MulticlassPerformance, Performance, PerformanceOptions, check,
};
use crate::chunk::Chunk;

/// How performance is estimated.
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CbpeOptions {
    /// What is measured and how it is judged.
    pub performance: PerformanceOptions,
    /// When scores are calibrated. Default: when it lowers the calibration error of held-out rows.
    pub calibration: Calibration,
    /// What a row is worth, for [`Metric::BusinessValue`](super::Metric::BusinessValue); of two classes alone.
    pub values: Option<CellValues>,
    /// The seed of the shuffles that decide about calibration. Default: 0.
    pub seed: u64,
}

impl CbpeOptions {
    /// Measures and judges like this.
    #[must_use]
    pub fn with_performance(mut self, options: PerformanceOptions) -> Self {
        self.performance = options;
        self
    }

    /// Sets when scores are calibrated.
    #[must_use]
    pub const fn with_calibration(mut self, calibration: Calibration) -> Self {
        self.calibration = calibration;
        self
    }

    /// Sets what a row is worth.
    #[must_use]
    pub const fn with_values(mut self, values: CellValues) -> Self {
        self.values = Some(values);
        self
    }

    /// Sets the seed.
    #[must_use]
    pub const fn with_seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }
}

/// Estimates the performance of a two-class model without labels. See the [module](self) for formulas and assumptions.
///
/// Fit O(n log n), estimate O(n log n). Serialises with a version: the fitted state is small and holds no rows.
///
/// ```
/// use mlops_drift::chunk::{Chunker, Cut};
/// use mlops_drift::performance::{Binary, Cbpe, CbpeOptions, Metric};
///
/// // The score is the probability: of ten rows with score 0.3 three are positive.
/// let scores: Vec<f64> = (0..1000).map(|i| f64::from(i % 10) / 10.0 + 0.05).collect();
/// let truth: Vec<bool> = (0..1000).map(|i| (i / 10) % 100 < (i % 10) * 10 + 5).collect();
/// let predicted: Vec<bool> = scores.iter().map(|&score| score >= 0.5).collect();
/// let reference = Binary::new(&scores, &predicted)?;
/// let chunks = Chunker::new(Cut::Count(10)).cut(1000)?;
/// let cbpe = Cbpe::fit(&reference, &truth, &chunks, &CbpeOptions::default())?;
///
/// // Later only rows come that the model is unsure of.
/// let unsure = [0.45, 0.55].repeat(50);
/// let guessed: Vec<bool> = unsure.iter().map(|&score| score >= 0.5).collect();
/// let estimated = cbpe.estimate(&Binary::new(&unsure, &guessed)?)?;
/// let accuracy = estimated.get(Metric::Accuracy).and_then(|estimate| estimate.value.value());
/// assert!(accuracy.is_some_and(|accuracy| (accuracy - 0.55).abs() < 1e-9));
/// # Ok::<(), mlops_core::num::StatsError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Versioned<CbpeState>", into = "Versioned<CbpeState>")]
pub struct Cbpe {
    state: CbpeState,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CbpeState {
    performance: BinaryPerformance,
    calibration: Option<Isotonic>,
}

versioned!(Cbpe, CbpeState, "a performance estimator of two classes");

impl Cbpe {
    /// Fits the calibration, the standard errors and the bands to a labelled reference, which the model was not trained on.
    ///
    /// # Errors
    /// As [`BinaryPerformance::fit`]; [`StatsError::Unsupported`] when all rows of the reference are of one class.
    pub fn fit(
        rows: &Binary<'_>,
        truth: &[bool],
        chunks: &[Chunk],
        options: &CbpeOptions,
    ) -> Result<Self, StatsError> {
        let (base, values) = (&options.performance, options.values);
        let performance = BinaryPerformance::fit_with_values(rows, truth, chunks, base, values)?;
        let labels = soft(truth);
        if truth.iter().all(|&label| label) || !truth.contains(&true) {
            return Err(single_class());
        }
        let random = Random::new(options.seed).stream("cbpe");
        let calibration = calibrate::fit(rows.scores, &labels, options.calibration, &random)?;
        Ok(Self { state: CbpeState { performance, calibration } })
    }

    /// The calibration, if scores are calibrated.
    pub fn calibration(&self) -> Option<&Isotonic> {
        self.state.calibration.as_ref()
    }

    /// What the reference did.
    pub fn reference(&self) -> &[BaselineRow] {
        self.state.performance.reference()
    }

    /// The performance realised by rows whose labels are known, judged by the same bands.
    pub fn realised(&self) -> &BinaryPerformance {
        &self.state.performance
    }

    /// Estimates and judges the performance of a chunk.
    ///
    /// # Errors
    /// None today that [`Binary::new`] has not found.
    pub fn estimate(&self, rows: &Binary<'_>) -> Result<Performance, StatsError> {
        let baseline = self.state.performance.baseline();
        let metrics = baseline.metrics();
        let expected = Soft::new(rows, &self.probabilities(rows), &metrics);
        let values: Vec<_> =
            metrics.iter().map(|&metric| expected.value(metric, self.state.performance.values())).collect();
        Ok(baseline.judge_estimated(&values, rows.rows() as u64))
    }

    /// The expected numbers of rows by predicted and true class.
    pub fn confusion(&self, rows: &Binary<'_>) -> Confusion {
        Soft::new(rows, &self.probabilities(rows), &[]).confusion
    }

    fn probabilities(&self, rows: &Binary<'_>) -> Vec<f64> {
        match &self.state.calibration {
            None => rows.scores.to_vec(),
            Some(curve) => rows.scores.iter().map(|&score| curve.at(score).clamp(0.0, 1.0)).collect(),
        }
    }
}

fn single_class() -> StatsError {
    StatsError::Unsupported {
        what: "performance without labels",
        reason: "the reference has rows of one class only",
    }
}

/// Estimates the performance of a model of several classes without labels: the scores of each class are calibrated against
/// the rest and then made to add up to 1. See the [module](self) for formulas and assumptions.
///
/// Serialises with a version.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Versioned<MulticlassState>", into = "Versioned<MulticlassState>")]
pub struct MulticlassCbpe {
    state: MulticlassState,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct MulticlassState {
    performance: MulticlassPerformance,
    /// One for each class.
    calibrations: Vec<Option<Isotonic>>,
}

versioned!(MulticlassCbpe, MulticlassState, "a performance estimator of several classes");

impl MulticlassCbpe {
    /// Fits the calibrations, the standard errors and the bands to a labelled reference, which the model was not trained on.
    ///
    /// # Errors
    /// As [`MulticlassPerformance::fit`]; [`StatsError::Unsupported`] when all rows of the reference are of one class.
    pub fn fit(
        rows: &Multiclass<'_>,
        truth: &[u32],
        chunks: &[Chunk],
        options: &CbpeOptions,
    ) -> Result<Self, StatsError> {
        let performance = MulticlassPerformance::fit(rows, truth, chunks, &options.performance)?;
        if truth.windows(2).all(|pair| pair.first() == pair.last()) {
            return Err(single_class());
        }
        let random = Random::new(options.seed).stream("cbpe");
        let calibration = |class: usize| {
            let is_class = |&code: &u32| f64::from(u8::from(code as usize == class));
            let labels: Vec<f64> = truth.iter().map(is_class).collect();
            calibrate::fit(&rows.column(class), &labels, options.calibration, &random.nth(class as u64))
        };
        let calibrations = (0..rows.classes).map(calibration).collect::<Result<_, _>>()?;
        Ok(Self { state: MulticlassState { performance, calibrations } })
    }

    /// The calibration of each class, where its scores are calibrated.
    pub fn calibrations(&self) -> &[Option<Isotonic>] {
        &self.state.calibrations
    }

    /// What the reference did.
    pub fn reference(&self) -> &[BaselineRow] {
        self.state.performance.reference()
    }

    /// The performance realised by rows whose labels are known, judged by the same bands.
    pub fn realised(&self) -> &MulticlassPerformance {
        &self.state.performance
    }

    /// Estimates and judges the performance of a chunk.
    ///
    /// # Errors
    /// [`StatsError::LengthMismatch`] for another number of classes than the reference has.
    pub fn estimate(&self, rows: &Multiclass<'_>) -> Result<Performance, StatsError> {
        self.state.performance.check(rows)?;
        check::same_length("calibrations", self.state.calibrations.len(), "classes", rows.classes)?;
        let baseline = self.state.performance.baseline();
        let metrics = baseline.metrics();
        let expected = multiclass::Soft::new(rows, &self.probabilities(rows), &metrics);
        let values: Vec<_> = metrics.iter().map(|&metric| expected.value(metric)).collect();
        Ok(baseline.judge_estimated(&values, rows.rows() as u64))
    }

    /// Calibrated scores that add up to 1 in each row; a row of zeros becomes uniform.
    fn probabilities(&self, rows: &Multiclass<'_>) -> Vec<f64> {
        let mut all = rows.scores.to_vec();
        for row in all.chunks_exact_mut(rows.classes) {
            for (score, curve) in row.iter_mut().zip(&self.state.calibrations) {
                if let Some(curve) = curve {
                    *score = curve.at(*score).clamp(0.0, 1.0);
                }
            }
            let total: f64 = row.iter().sum();
            for p in row {
                *p = if total > 0.0 { *p / total } else { 1.0 / rows.classes as f64 };
            }
        }
        all
    }
}
