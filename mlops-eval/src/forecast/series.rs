//! Forecast errors of one or many series, scaled so that series of different units compare.

use std::collections::BTreeMap;

use mlops_core::num::sum::Sum;
use mlops_core::num::{Measured, StatsError, UndefinedReason};
use serde::{Deserialize, Serialize};

use crate::input::{finite, in_range};
use crate::regression::{RegressionMetric, RegressionState};

/// How wrong the seasonal naive forecast, yₜ ≈ yₜ₋ₘ, is inside a training series.
///
/// ```
/// use mlops_eval::forecast::NaiveScale;
/// let scale = NaiveScale::of(&[1.0, 2.0, 4.0], 1)?;
/// assert_eq!((scale.absolute(), scale.squared()), (1.5, 2.5));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "StoredScale", into = "StoredScale")]
pub struct NaiveScale {
    absolute: f64,
    squared: f64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredScale {
    absolute: f64,
    squared: f64,
}

impl NaiveScale {
    /// The means of |yₜ − yₜ₋ₘ| and of (yₜ − yₜ₋ₘ)² over a training series, m = `season`; 1 for a series without seasons. O(n).
    ///
    /// # Errors
    /// [`StatsError::Parameter`] for a season of 0; [`StatsError::TooFew`] for a series no longer than a season;
    /// [`StatsError::Nan`], [`StatsError::NotFinite`], [`StatsError::Overflow`].
    pub fn of(training: &[f64], season: usize) -> Result<Self, StatsError> {
        if season == 0 {
            let reason = "must be at least 1";
            return Err(StatsError::Parameter { parameter: "season", value: 0.0, reason });
        }
        if training.len() <= season {
            let needed = season.saturating_add(1);
            return Err(StatsError::TooFew { argument: "training", needed, got: training.len() });
        }
        finite("training", training)?;
        let steps = || training.iter().zip(&training[season..]).map(|(before, after)| after - before);
        let n = (training.len() - season) as f64;
        let absolute = steps().map(f64::abs).collect::<Sum>().value() / n;
        let squared = steps().map(|step| step * step).collect::<Sum>().value() / n;
        Self::given(absolute, squared)
    }

    /// A scale that is known: the mean absolute and the mean squared error of the naive forecast. 0 where it is never wrong.
    ///
    /// # Errors
    /// [`StatsError::Overflow`] for a number that is not finite, [`StatsError::Parameter`] for a negative one.
    pub fn given(absolute: f64, squared: f64) -> Result<Self, StatsError> {
        for (parameter, value) in [("absolute", absolute), ("squared", squared)] {
            in_range("the scale of a series", value)?;
            if value < 0.0 {
                let reason = "must not be negative";
                return Err(StatsError::Parameter { parameter, value, reason });
            }
        }
        Ok(Self { absolute, squared })
    }

    /// The mean absolute error of the naive forecast.
    pub fn absolute(&self) -> f64 {
        self.absolute
    }

    /// The mean squared error of the naive forecast.
    pub fn squared(&self) -> f64 {
        self.squared
    }

    fn mase(&self, state: &RegressionState) -> Result<Measured, StatsError> {
        let mae = RegressionMetric::Mae.from_state(state)?;
        scaled("the mean absolute scaled error", mae, self.absolute)
    }

    fn rmsse(&self, state: &RegressionState) -> Result<Measured, StatsError> {
        let mse = RegressionMetric::Mse.from_state(state)?;
        Ok(scaled("the root mean squared scaled error", mse, self.squared)?.map(f64::sqrt))
    }
}

impl TryFrom<StoredScale> for NaiveScale {
    type Error = StatsError;

    fn try_from(stored: StoredScale) -> Result<Self, StatsError> {
        Self::given(stored.absolute, stored.squared)
    }
}

impl From<NaiveScale> for StoredScale {
    fn from(scale: NaiveScale) -> Self {
        Self { absolute: scale.absolute, squared: scale.squared }
    }
}

fn scaled(what: &'static str, error: Measured, scale: f64) -> Result<Measured, StatsError> {
    let Measured::Value(error) = error else { return Ok(error) };
    match Measured::ratio(error, scale) {
        Measured::Value(value) => in_range(what, value).map(Measured::Value),
        undefined => Ok(undefined),
    }
}

/// Mean absolute scaled error (Hyndman, Koehler, *Another Look at Measures of Forecast Accuracy*, International Journal of
/// Forecasting 22, 2006): the mean absolute error over that of the seasonal naive forecast inside the training series. At least
/// 0; 1 for being as wrong as the naive forecast. O(n).
///
/// Undefined with [`UndefinedReason::ZeroDenominator`] when the training series repeats itself. Agrees with utilsforecast 0.2.17.
///
/// ```
/// use mlops_eval::forecast::mase;
/// assert_eq!(mase(&[5.0, 6.0], &[5.0, 9.0], &[1.0, 2.0, 4.0], 1)?.value(), Some(1.0));
/// assert_eq!(mase(&[5.0, 6.0], &[5.0, 9.0], &[4.0, 4.0, 4.0], 1)?.value(), None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Those of [`mae`](crate::regression::mae) and of [`NaiveScale::of`].
pub fn mase(
    actual: &[f64],
    forecast: &[f64],
    training: &[f64],
    season: usize,
) -> Result<Measured, StatsError> {
    NaiveScale::of(training, season)?.mase(&RegressionState::of(actual, forecast, None)?)
}

/// [`mase`] with a weight for each forecast; the scale has none.
///
/// # Errors
/// Those of [`mase`], and what [`weights::total`](mlops_core::num::weights::total) refuses.
pub fn mase_weighted(
    actual: &[f64],
    forecast: &[f64],
    weights: &[f64],
    training: &[f64],
    season: usize,
) -> Result<Measured, StatsError> {
    NaiveScale::of(training, season)?.mase(&RegressionState::of(actual, forecast, Some(weights))?)
}

/// Root mean squared scaled error (as in the M5 competition): √(the mean squared error over that of the seasonal naive forecast
/// inside the training series). At least 0. O(n).
///
/// Undefined with [`UndefinedReason::ZeroDenominator`] when the training series repeats itself. Agrees with utilsforecast 0.2.17.
///
/// ```
/// use mlops_eval::forecast::rmsse;
/// assert_eq!(rmsse(&[5.0, 6.0], &[5.0, 6.0], &[1.0, 2.0, 4.0], 1)?.value(), Some(0.0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Those of [`mse`](crate::regression::mse) and of [`NaiveScale::of`].
pub fn rmsse(
    actual: &[f64],
    forecast: &[f64],
    training: &[f64],
    season: usize,
) -> Result<Measured, StatsError> {
    NaiveScale::of(training, season)?.rmsse(&RegressionState::of(actual, forecast, None)?)
}

/// [`rmsse`] with a weight for each forecast; the scale has none.
///
/// # Errors
/// Those of [`rmsse`], and what [`weights::total`](mlops_core::num::weights::total) refuses.
pub fn rmsse_weighted(
    actual: &[f64],
    forecast: &[f64],
    weights: &[f64],
    training: &[f64],
    season: usize,
) -> Result<Measured, StatsError> {
    NaiveScale::of(training, season)?.rmsse(&RegressionState::of(actual, forecast, Some(weights))?)
}

/// The errors of many series of any lengths, by name: what grows, merges and serialises.
///
/// ```
/// use mlops_eval::forecast::{ForecastState, NaiveScale};
///
/// let mut state = ForecastState::default();
/// state.add("north", &[3.0, 5.0], &[2.0, 5.0], None, Some(NaiveScale::of(&[1.0, 2.0, 4.0], 1)?))?;
/// state.add("south", &[10.0], &[13.0], None, Some(NaiveScale::of(&[4.0, 4.0], 1)?))?;
/// let summary = state.finish()?;
/// assert_eq!(summary.wape.value(), Some(4.0 / 18.0));
/// assert_eq!(summary.mase.value(), Some(0.5 / 1.5));
/// assert_eq!(summary.mase_left_out, ["south"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ForecastState {
    series: BTreeMap<String, Series>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Series {
    errors: RegressionState,
    scale: Option<NaiveScale>,
}

/// The metrics of one series.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SeriesSummary {
    /// The series' name.
    pub name: String,
    /// The number of forecasts, those of weight 0 included.
    pub rows: u64,
    /// [`mae`](crate::regression::mae)
    pub mae: Measured,
    /// [`rmse`](crate::regression::rmse)
    pub rmse: Measured,
    /// [`mean_error`](crate::regression::mean_error)
    pub mean_error: Measured,
    /// [`wape`](crate::regression::wape)
    pub wape: Measured,
    /// [`mase`]; undefined with [`UndefinedReason::NothingDefined`] for a series without a scale.
    pub mase: Measured,
    /// [`rmsse`]; likewise.
    pub rmsse: Measured,
}

/// The metrics of all series, and of each.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ForecastSummary {
    /// Each series, by name.
    pub series: Vec<SeriesSummary>,
    /// Σ w|y − ŷ| / Σ w|y| over the forecasts of all series.
    pub wape: Measured,
    /// The mean of the series' [`mase`], each counting once, over those that have one.
    pub mase: Measured,
    /// The series that have no [`mase`].
    pub mase_left_out: Vec<String>,
    /// The mean of the series' [`rmsse`], each counting once, over those that have one.
    pub rmsse: Measured,
    /// The series that have no [`rmsse`].
    pub rmsse_left_out: Vec<String>,
}

impl ForecastState {
    /// Adds forecasts of a series, and its scale where it is known. Weights that are `None` are all 1. O(n).
    ///
    /// # Errors
    /// Those of [`RegressionState::of`]; [`StatsError::Incompatible`] when the series has another scale already. The state is
    /// unchanged then.
    pub fn add(
        &mut self,
        name: impl Into<String>,
        actual: &[f64],
        forecast: &[f64],
        weights: Option<&[f64]>,
        scale: Option<NaiveScale>,
    ) -> Result<(), StatsError> {
        let errors = RegressionState::of(actual, forecast, weights)?;
        self.add_series(name.into(), &Series { errors, scale })
    }

    fn add_series(&mut self, name: String, series: &Series) -> Result<(), StatsError> {
        let none = Series { errors: RegressionState::default(), scale: None };
        let known = self.series.get(&name).copied().unwrap_or(none);
        let merged = known.merged(series)?;
        self.series.insert(name, merged);
        Ok(())
    }

    /// Adds the forecasts of another part of the data: of other series, or of the same ones.
    ///
    /// # Errors
    /// [`StatsError::Incompatible`] when a series has two scales; `self` is unchanged then.
    pub fn merge(&mut self, other: &Self) -> Result<(), StatsError> {
        let mut merged = self.clone();
        for (name, series) in &other.series {
            merged.add_series(name.clone(), series)?;
        }
        *self = merged;
        Ok(())
    }

    /// The number of series.
    pub fn len(&self) -> usize {
        self.series.len()
    }

    /// Whether there is no series.
    pub fn is_empty(&self) -> bool {
        self.series.is_empty()
    }

    /// The metrics so far.
    ///
    /// # Errors
    /// [`StatsError::Overflow`] when a sum does not fit an f64.
    pub fn finish(&self) -> Result<ForecastSummary, StatsError> {
        let mut all = RegressionState::default();
        let mut series = Vec::with_capacity(self.series.len());
        for (name, one) in &self.series {
            all.merge(&one.errors);
            series.push(one.summary(name)?);
        }
        let (mase, mase_left_out) = average(&series, |one| one.mase)?;
        let (rmsse, rmsse_left_out) = average(&series, |one| one.rmsse)?;
        let wape = RegressionMetric::Wape.from_state(&all)?;
        Ok(ForecastSummary { series, wape, mase, mase_left_out, rmsse, rmsse_left_out })
    }
}

impl Series {
    fn merged(&self, other: &Self) -> Result<Self, StatsError> {
        if let (Some(a), Some(b)) = (self.scale, other.scale)
            && a != b
        {
            return Err(StatsError::Incompatible { what: "the scale of a series" });
        }
        let mut errors = self.errors;
        errors.merge(&other.errors);
        Ok(Self { errors, scale: self.scale.or(other.scale) })
    }

    fn summary(&self, name: &str) -> Result<SeriesSummary, StatsError> {
        let get = |metric: RegressionMetric| metric.from_state(&self.errors);
        let none = Measured::none(UndefinedReason::NothingDefined, 0, 1);
        Ok(SeriesSummary {
            name: name.to_owned(),
            rows: self.errors.rows(),
            mae: get(RegressionMetric::Mae)?,
            rmse: get(RegressionMetric::Rmse)?,
            mean_error: get(RegressionMetric::MeanError)?,
            wape: get(RegressionMetric::Wape)?,
            mase: self.scale.map_or(Ok(none), |scale| scale.mase(&self.errors))?,
            rmsse: self.scale.map_or(Ok(none), |scale| scale.rmsse(&self.errors))?,
        })
    }
}

/// The mean over the series that have a value, and the names of those that have none.
fn average(
    series: &[SeriesSummary],
    of: impl Fn(&SeriesSummary) -> Measured,
) -> Result<(Measured, Vec<String>), StatsError> {
    let values: Vec<f64> = series.iter().filter_map(|one| of(one).value()).collect();
    let left_out = series.iter().filter(|one| of(one).value().is_none()).map(|one| one.name.clone());
    let mean = if values.is_empty() {
        Measured::none(UndefinedReason::NothingDefined, 0, 1)
    } else {
        Measured::Value(mlops_core::num::sum::mean(&values)?)
    };
    Ok((mean, left_out.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_training_series_is_longer_than_a_season() {
        let short = NaiveScale::of(&[1.0, 2.0], 2);
        assert_eq!(short, Err(StatsError::TooFew { argument: "training", needed: 3, got: 2 }));
        assert!(matches!(NaiveScale::of(&[1.0, 2.0], 0), Err(StatsError::Parameter { .. })));
        assert!(NaiveScale::of(&[1.0], usize::MAX).is_err());
        assert!(matches!(NaiveScale::of(&[1.0, f64::NAN], 1), Err(StatsError::Nan { index: 1, .. })));
    }

    #[test]
    fn a_series_keeps_its_scale() {
        let scale = |absolute| Some(NaiveScale::given(absolute, 1.0).unwrap());
        let mut state = ForecastState::default();
        state.add("a", &[1.0], &[2.0], None, scale(1.0)).unwrap();
        let before = state.clone();
        let refused = state.add("a", &[1.0], &[2.0], None, scale(2.0));
        assert_eq!(refused, Err(StatsError::Incompatible { what: "the scale of a series" }));
        assert_eq!(state, before);
        let mut other = ForecastState::default();
        other.add("b", &[1.0], &[2.0], None, scale(1.0)).unwrap();
        other.add("a", &[1.0], &[2.0], None, scale(2.0)).unwrap();
        assert!(state.merge(&other).is_err());
        assert_eq!(state, before);
        state.add("a", &[1.0], &[4.0], None, None).unwrap();
        assert_eq!(state.finish().unwrap().series[0].mase.value(), Some(2.0));
    }

    #[test]
    fn no_series_have_no_metric() {
        let state = ForecastState::default();
        assert!(state.is_empty() && state.finish().unwrap().mase.value().is_none());
        assert_eq!(state.finish().unwrap().wape.value(), None);
    }

    #[test]
    fn what_is_read_back_is_checked() {
        let mut state = ForecastState::default();
        state.add("a", &[1.0], &[2.0], None, Some(NaiveScale::given(0.25, 0.5).unwrap())).unwrap();
        let text = serde_json::to_string(&state).unwrap();
        assert_eq!(serde_json::from_str::<ForecastState>(&text).unwrap(), state);
        assert!(serde_json::from_str::<ForecastState>(&text.replace("0.25", "-0.25")).is_err());
    }
}
