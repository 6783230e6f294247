//! Direct loss estimation: the errors of a regression model without the truth.
//!
//! A second model learns, on a labelled reference, how large the error of the first will be from the features and the first
//! model's prediction; on new rows the mean of what it predicts (clipped at 0) estimates the metric, and its root where the
//! metric is one.
//!
//! # What it assumes
//! * **No concept drift**: errors depend on features and prediction as they did in the reference.
//! * Rows are like rows of the reference: trees do not extrapolate, so errors beyond its range are estimated as at its border.
//!
//! NannyML 0.13 does the same with LightGBM; the bands and standard errors agree, the estimates to the quality of the learner.
//! Source: NannyML, "How it works: direct loss estimation".

use mlops_core::num::StatsError;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::estimate::Versioned;
use super::regression::{finish, losses};
use super::{
    BaselineRow, BoostedTrees, Features, Forest, Metric, Performance, PerformanceOptions, Predict,
    Regression, RegressionPerformance, Regressor, check,
};
use crate::chunk::Chunk;

/// Estimates the errors of a regression model without the truth. See the [module](self) for formulas and assumptions.
///
/// `M` is the model of the errors; [`BoostedTrees`] learn a [`Forest`]. Serialises with a version.
///
/// ```
/// use mlops_drift::chunk::{Chunker, Cut};
/// use mlops_drift::performance::{BoostedTrees, Dle, Features, Metric, PerformanceOptions, Regression};
///
/// // The model always says 0; the truth is ±1 on the left and ±3 on the right.
/// let x: Vec<f64> = (0..1000).map(|i| f64::from(i % 20)).collect();
/// let truth: Vec<f64> = (0..1000).map(|i| if i % 20 < 10 { 1.0 } else { 3.0 } * f64::from(i / 20 % 2 * 2 - 1)).collect();
/// let predicted = vec![0.0; 1000];
/// let chunks = Chunker::new(Cut::Count(10)).cut(1000)?;
/// let options = PerformanceOptions::default().with_metrics([Metric::Mae, Metric::Rmse]);
/// let rows = (Features::new(&x, 1)?, Regression::new(&predicted)?);
/// let dle = Dle::fit(&rows.0, &rows.1, &truth, &chunks, &options, &BoostedTrees::default())?;
///
/// // Later everything comes from the right.
/// let right = [15.0; 100];
/// let estimated = dle.estimate(&Features::new(&right, 1)?, &Regression::new(&[0.0; 100])?)?;
/// let mae = estimated.get(Metric::Mae).and_then(|estimate| estimate.value.value());
/// assert!(mae.is_some_and(|mae| (mae - 3.0).abs() < 0.05));
/// # Ok::<(), mlops_core::num::StatsError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Versioned<DleState<M>>", into = "Versioned<DleState<M>>")]
#[serde(bound(serialize = "M: Clone + Serialize", deserialize = "M: DeserializeOwned"))]
pub struct Dle<M = Forest> {
    state: DleState<M>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[serde(bound(serialize = "M: Serialize", deserialize = "M: DeserializeOwned"))]
struct DleState<M> {
    performance: RegressionPerformance,
    columns: usize,
    /// A model for each loss; MSE and RMSE share one, and MSLE and RMSLE.
    models: Vec<(Metric, M)>,
}

impl<M> TryFrom<Versioned<DleState<M>>> for Dle<M> {
    type Error = String;

    fn try_from(stored: Versioned<DleState<M>>) -> Result<Self, String> {
        Ok(Self { state: stored.open("an estimator of losses")? })
    }
}

impl<M> From<Dle<M>> for Versioned<DleState<M>> {
    fn from(fitted: Dle<M>) -> Self {
        Self::new(fitted.state)
    }
}

/// The metric whose loss a metric is made of.
const fn loss_of(metric: Metric) -> Metric {
    match metric {
        Metric::Rmse => Metric::Mse,
        Metric::Rmsle => Metric::Msle,
        other => other,
    }
}

impl<M: Predict> Dle<M> {
    /// Learns the errors, and fits standard errors and bands, on a labelled reference that the model was not trained on.
    ///
    /// # Errors
    /// As [`RegressionPerformance::fit`] and the learner's; [`StatsError::LengthMismatch`] when features and predictions differ in rows.
    pub fn fit<R: Regressor<Model = M>>(
        features: &Features<'_>,
        rows: &Regression<'_>,
        truth: &[f64],
        chunks: &[Chunk],
        options: &PerformanceOptions,
        learner: &R,
    ) -> Result<Self, StatsError> {
        let performance = RegressionPerformance::fit(rows, truth, chunks, options)?;
        let values = with_predictions(features, rows)?;
        let columns = features.columns() + 1;
        let matrix = Features::new(&values, columns)?;
        let mut models: Vec<(Metric, M)> = Vec::new();
        for metric in performance.baseline().metrics() {
            let loss = loss_of(metric);
            if models.iter().all(|(known, _)| *known != loss) {
                models.push((loss, learner.fit(&matrix, &losses(rows, truth, loss)?)?));
            }
        }
        Ok(Self { state: DleState { performance, columns, models } })
    }

    /// What the reference did.
    pub fn reference(&self) -> &[BaselineRow] {
        self.state.performance.reference()
    }

    /// The performance realised by rows whose truth is known, judged by the same bands.
    pub fn realised(&self) -> &RegressionPerformance {
        &self.state.performance
    }

    /// Estimates and judges the errors of a chunk.
    ///
    /// # Errors
    /// [`StatsError::LengthMismatch`] for another number of columns than the reference has, or of rows than there are predictions;
    /// [`StatsError::Nan`] and [`StatsError::NotFinite`] when the model of the errors breaks its contract.
    pub fn estimate(
        &self,
        features: &Features<'_>,
        rows: &Regression<'_>,
    ) -> Result<Performance, StatsError> {
        check::same_length(
            "columns fitted",
            self.state.columns,
            "columns and prediction",
            features.columns() + 1,
        )?;
        let values = with_predictions(features, rows)?;
        let matrix = Features::new(&values, self.state.columns)?;
        let mean = |(metric, model): &(Metric, M)| {
            let predicted = model.predict(&matrix)?;
            check::same_length("predicted losses", predicted.len(), "rows", rows.rows())?;
            check::finite("predicted losses", &predicted)?;
            let clipped: Vec<f64> = predicted.iter().map(|loss| loss.max(0.0)).collect();
            Ok((*metric, super::estimate::moments(&clipped).0))
        };
        let means = self.state.models.iter().map(mean).collect::<Result<Vec<_>, StatsError>>()?;
        let baseline = self.state.performance.baseline();
        let value = |metric: Metric| {
            let mean =
                means.iter().find(|(known, _)| *known == loss_of(metric)).map_or(0.0, |(_, mean)| *mean);
            finish(metric, mean)
        };
        let values: Vec<_> = baseline.metrics().into_iter().map(value).collect();
        Ok(baseline.judge_estimated(&values, rows.rows() as u64))
    }
}

impl Dle<Forest> {
    /// As [`fit`](Self::fit), with boosted trees as they come.
    ///
    /// # Errors
    /// As [`fit`](Self::fit).
    pub fn fit_boosted(
        features: &Features<'_>,
        rows: &Regression<'_>,
        truth: &[f64],
        chunks: &[Chunk],
        options: &PerformanceOptions,
    ) -> Result<Self, StatsError> {
        Self::fit(features, rows, truth, chunks, options, &BoostedTrees::default())
    }
}

/// The features with the prediction as a last column.
fn with_predictions(features: &Features<'_>, rows: &Regression<'_>) -> Result<Vec<f64>, StatsError> {
    check::same_length("features", features.rows(), "predicted", rows.rows())?;
    let rows = features.iter().zip(rows.predicted);
    Ok(rows.flat_map(|(row, predicted)| row.iter().chain(std::iter::once(predicted))).copied().collect())
}
