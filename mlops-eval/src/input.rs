//! The checks every metric makes before it computes: lengths, finite values, probabilities, weights.

use mlops_core::num::parallel::{Threads, map_pieces};
use mlops_core::num::{StatsError, weights};

/// An argument with the name it has in errors.
#[derive(Clone, Copy)]
pub(crate) struct Named<'a, T> {
    pub(crate) name: &'static str,
    pub(crate) values: &'a [T],
}

pub(crate) fn named<'a, T>(name: &'static str, values: &'a [T]) -> Named<'a, T> {
    Named { name, values }
}

pub(crate) fn not_empty<T>(argument: Named<'_, T>) -> Result<(), StatsError> {
    if argument.values.is_empty() { Err(StatsError::Empty { argument: argument.name }) } else { Ok(()) }
}

/// Both sides have the same number of elements, and at least one.
pub(crate) fn paired<A, B>(left: Named<'_, A>, right: Named<'_, B>) -> Result<(), StatsError> {
    if left.values.len() != right.values.len() {
        return Err(StatsError::LengthMismatch {
            left: left.name,
            left_len: left.values.len(),
            right: right.name,
            right_len: right.values.len(),
        });
    }
    not_empty(left)
}

pub(crate) fn finite(argument: &'static str, values: &[f64]) -> Result<(), StatsError> {
    finite_on(Threads::ONE, argument, values)
}

/// [`finite`] on several threads.
pub(crate) fn finite_on(threads: Threads, argument: &'static str, values: &[f64]) -> Result<(), StatsError> {
    // A chunk at a time without a branch, which is several rows at once.
    let good = |values: &[f64]| values.iter().fold(true, |good, value| good & value.is_finite());
    if map_pieces(values.len(), threads, |rows| values[rows].chunks(1024).all(good))
        .into_iter()
        .all(|good| good)
    {
        return Ok(());
    }
    match values.iter().position(|value| !value.is_finite()) {
        None => Ok(()),
        Some(index) => Err(not_finite(argument, index, values[index])),
    }
}

/// The error for a value that is NaN or infinite.
pub(crate) fn not_finite(argument: &'static str, index: usize, value: f64) -> StatsError {
    if value.is_nan() {
        StatsError::Nan { argument, index }
    } else {
        StatsError::NotFinite { argument, index, value }
    }
}

pub(crate) fn probabilities(argument: &'static str, values: &[f64]) -> Result<(), StatsError> {
    // NaN is in no range, so one test finds every fault.
    let Some(index) = values.iter().position(|value| !(0.0..=1.0).contains(value)) else {
        return Ok(());
    };
    let value = values[index];
    if value.is_nan() {
        return Err(StatsError::Nan { argument, index });
    }
    Err(StatsError::OutOfRange { argument, index, value, low: 0.0, high: 1.0 })
}

/// Checks the weights if there are any, and returns their total, or the number of rows.
pub(crate) fn weight_total<T>(weights: Option<&[f64]>, rows: Named<'_, T>) -> Result<f64, StatsError> {
    match weights {
        None => Ok(rows.values.len() as f64),
        Some(weights) => weights::total_for("weights", weights, rows.name, rows.values.len()),
    }
}

/// The weight of a row: 1 where there are no weights.
pub(crate) fn weight(weights: Option<&[f64]>, row: usize) -> f64 {
    weights.map_or(1.0, |weights| weights[row])
}

/// The value, unless it left the range of f64.
pub(crate) fn in_range(what: &'static str, value: f64) -> Result<f64, StatsError> {
    if value.is_finite() { Ok(value) } else { Err(StatsError::Overflow { what }) }
}

/// That one weight is finite and not negative.
pub(crate) fn check_weight(weight: f64) -> Result<(), StatsError> {
    match weights::total("weight", &[weight]) {
        Ok(_) | Err(StatsError::ZeroTotal { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}
