//! Metrics of forecasts: errors scaled by what a naive forecast would have made of the training series ([`series`]), intervals
//! ([`interval`]), quantiles ([`quantiles`]) and ensembles ([`ensemble`]).
//!
//! Every metric comes from a state that merges and serialises, so that series, horizons, shards and windows add up; the
//! functions beside it are for data that is at hand. Numbers must be finite. Matrices are row-major: the index in an error is
//! that of the element, row · columns + column.
//!
//! ```
//! use mlops_eval::forecast::{IntervalState, mase, winkler_score};
//!
//! let (actual, forecast) = ([12.0, 15.0], [11.0, 15.5]);
//! assert_eq!(mase(&actual, &forecast, &[8.0, 9.0, 11.0, 10.0, 12.0], 1)?.value(), Some(0.5));
//!
//! let (lower, upper) = ([10.0, 10.0], [14.0, 14.0]);
//! let intervals = IntervalState::of(0.9, &actual, &lower, &upper, None)?.finish()?;
//! assert_eq!(intervals.coverage.value(), Some(0.5));
//! assert_eq!(intervals.mean_width.value(), Some(4.0));
//! assert!(winkler_score(&actual, &lower, &upper, 0.9)?.value().is_some_and(|score| (score - 14.0).abs() < 1e-12));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod ensemble;
pub mod interval;
pub mod quantiles;
pub mod series;

pub use ensemble::{CrpsEstimator, EnsembleState, EnsembleSummary, crps_ensemble, crps_ensemble_weighted};
pub use interval::{
    IntervalState, IntervalSummary, interval_coverage, interval_coverage_weighted, interval_width,
    interval_width_weighted, weighted_interval_score, weighted_interval_score_weighted, winkler_score,
    winkler_score_weighted,
};
pub use quantiles::{
    Crossing, QuantileState, QuantileSummary, crps_from_quantiles, crps_from_quantiles_weighted,
    quantile_losses, quantile_losses_weighted,
};
pub use series::{
    ForecastState, ForecastSummary, NaiveScale, SeriesSummary, mase, mase_weighted, rmsse, rmsse_weighted,
};

use mlops_core::num::sum::Sum;
use mlops_core::num::{Measured, StatsError, UndefinedReason};

use crate::input::in_range;

/// A weighted sum over the total weight; undefined without rows of positive weight.
fn mean(what: &'static str, sum: f64, weight: f64) -> Result<Measured, StatsError> {
    let weight = in_range("the sum of the weights", weight)?;
    if weight <= 0.0 {
        return Ok(Measured::none(UndefinedReason::TooFew, 0, 1));
    }
    in_range(what, sum / weight).map(Measured::Value)
}

/// That a sum of numbers that are not negative, read from elsewhere, is one.
fn check_size(parameter: &'static str, sum: &Sum) -> Result<(), StatsError> {
    let value = sum.value();
    if value.is_finite() && value >= 0.0 {
        return Ok(());
    }
    let reason = "must be finite and not negative";
    Err(StatsError::Parameter { parameter, value, reason })
}

/// That a share lies strictly between 0 and 1.
fn check_level(level: f64) -> Result<(), StatsError> {
    if level > 0.0 && level < 1.0 {
        return Ok(());
    }
    let reason = "must lie above 0 and below 1";
    Err(StatsError::Parameter { parameter: "level", value: level, reason })
}

/// That a matrix has `columns` numbers, at least one, for each of `rows` rows, all finite.
fn check_matrix(
    argument: &'static str,
    values: &[f64],
    rows: usize,
    columns: usize,
) -> Result<(), StatsError> {
    let expected = rows.checked_mul(columns).ok_or(StatsError::Overflow { what: "the size of a matrix" })?;
    if columns == 0 || values.len() != expected {
        return Err(StatsError::LengthMismatch {
            left: argument,
            left_len: values.len(),
            right: "rows times columns",
            right_len: expected,
        });
    }
    crate::input::finite(argument, values)
}

/// The sum of two numbers of rows.
fn add_rows(left: u64, right: u64) -> Result<u64, StatsError> {
    left.checked_add(right).ok_or(StatsError::Overflow { what: "the number of rows" })
}
