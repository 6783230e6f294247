//! Individual fairness: whether people who are alike are treated alike.
//!
//! The consistency of predictions ŷ over features x is 1 − 1/n Σᵢ |ŷᵢ − mean of ŷ over the k nearest neighbours of xᵢ| (Zemel,
//! Wu, Swersky, Pitassi and Dwork, *Learning Fair Representations*, ICML 2013): 1 when neighbours always agree. Distances are
//! Euclidean, so features are to be scaled before; which features count as "alike" is the caller's judgement.

use std::cmp::Ordering;

use mlops_core::num::parallel::{Threads, map_pieces};
use mlops_core::num::sum::Sum;
use mlops_core::num::{Measured, StatsError, UndefinedReason};
use serde::{Deserialize, Serialize};

use crate::input::{finite, in_range, named, not_empty};

/// How neighbours are found.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsistencyOptions {
    /// How many neighbours; at least 1. Default 5.
    pub neighbors: usize,
    /// Whether a row is its own nearest neighbour. Default: no. AIF360 says yes, which draws the measure towards 1.
    pub include_self: bool,
    /// Threads that look for neighbours. Default: one.
    pub threads: Threads,
}

impl Default for ConsistencyOptions {
    fn default() -> Self {
        Self { neighbors: 5, include_self: false, threads: Threads::ONE }
    }
}

impl ConsistencyOptions {
    /// AIF360's choices: five neighbours, the row itself among them. Agrees with AIF360 0.6.1 to 1e-12 where no two neighbours
    /// are equally far.
    #[must_use]
    pub fn aif360_0_6() -> Self {
        Self { include_self: true, ..Self::default() }
    }

    /// Sets [`Self::neighbors`].
    #[must_use]
    pub fn with_neighbors(mut self, neighbors: usize) -> Self {
        self.neighbors = neighbors;
        self
    }

    /// Sets [`Self::include_self`].
    #[must_use]
    pub fn with_include_self(mut self, include_self: bool) -> Self {
        self.include_self = include_self;
        self
    }

    /// Sets [`Self::threads`].
    #[must_use]
    pub fn with_threads(mut self, threads: Threads) -> Self {
        self.threads = threads;
        self
    }
}

/// The consistency of predictions, in \[0, 1\] for predictions in \[0, 1\]. `features` has `columns` values for each row, row by
/// row. Of neighbours that are equally far the earlier row counts first. Undefined with fewer other rows than neighbours.
///
/// Every pair of rows is looked at: O(n² · columns).
///
/// ```
/// use mlops_eval::fairness::{ConsistencyOptions, consistency};
///
/// let income = [10.0, 11.0, 12.0, 50.0, 51.0, 52.0];
/// let options = ConsistencyOptions::default().with_neighbors(2);
/// let alike = consistency(&income, 1, &[0.0, 0.0, 0.0, 1.0, 1.0, 1.0], &options)?;
/// assert_eq!(alike.value(), Some(1.0));
/// let odd = consistency(&income, 1, &[0.0, 1.0, 0.0, 1.0, 1.0, 1.0], &options)?;
/// assert!((odd.value().unwrap() - (1.0 - 2.0 / 6.0)).abs() < 1e-15);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`StatsError::Empty`], [`StatsError::Nan`] and [`StatsError::NotFinite`] with the index, [`StatsError::LengthMismatch`] unless
/// there are `columns` features for each prediction, [`StatsError::Parameter`] for no columns or no neighbours.
pub fn consistency(
    features: &[f64],
    columns: usize,
    y_pred: &[f64],
    options: &ConsistencyOptions,
) -> Result<Measured, StatsError> {
    let positive = |parameter, value: usize| match value {
        0 => Err(StatsError::Parameter { parameter, value: 0.0, reason: "must be at least 1" }),
        _ => Ok(()),
    };
    positive("columns", columns)?;
    positive("neighbors", options.neighbors)?;
    not_empty(named("y_pred", y_pred))?;
    if y_pred.len().checked_mul(columns) != Some(features.len()) {
        let (left_len, right_len) = (features.len(), y_pred.len().saturating_mul(columns));
        return Err(StatsError::LengthMismatch {
            left: "features",
            left_len,
            right: "y_pred × columns",
            right_len,
        });
    }
    finite("features", features)?;
    finite("y_pred", y_pred)?;
    let rows = y_pred.len();
    let others = if options.include_self { rows } else { rows - 1 };
    if others < options.neighbors {
        return Ok(Measured::none(UndefinedReason::TooFew, others, options.neighbors));
    }
    let pieces = map_pieces(rows, options.threads, |range| {
        let mut nearest = Nearest::new(features, columns, options);
        range.map(|row| (y_pred[row] - nearest.mean(row, y_pred)).abs()).collect::<Sum>()
    });
    let mut sum = Sum::new();
    pieces.into_iter().for_each(|piece| sum.merge(piece));
    in_range("the consistency", 1.0 - sum.value() / rows as f64).map(Measured::Value)
}

/// Finds the neighbours of one row after the other, in memory that is used again.
struct Nearest<'a> {
    features: &'a [f64],
    columns: usize,
    options: &'a ConsistencyOptions,
    candidates: Vec<(f64, usize)>,
}

impl<'a> Nearest<'a> {
    fn new(features: &'a [f64], columns: usize, options: &'a ConsistencyOptions) -> Self {
        Self { features, columns, options, candidates: Vec::new() }
    }

    fn mean(&mut self, row: usize, y_pred: &[f64]) -> f64 {
        let own = &self.features[row * self.columns..][..self.columns];
        let distance = |other: &[f64]| own.iter().zip(other).map(|(a, b)| (a - b) * (a - b)).sum::<f64>();
        self.candidates.clear();
        let others = self.features.chunks_exact(self.columns).enumerate();
        let wanted = others.filter(|(other, _)| self.options.include_self || *other != row);
        self.candidates.extend(wanted.map(|(index, other)| (distance(other), index)));
        let order =
            |a: &(f64, usize), b: &(f64, usize)| -> Ordering { a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)) };
        let k = self.options.neighbors;
        self.candidates.select_nth_unstable_by(k - 1, order);
        let nearest = &mut self.candidates[..k];
        // Added up in the order of rows, so that the sum does not depend on how they were selected.
        nearest.sort_unstable_by_key(|candidate| candidate.1);
        nearest.iter().map(|&(_, index)| y_pred[index] / k as f64).collect::<Sum>().value()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_row_itself_draws_towards_one() {
        let features: Vec<f64> = (0..40).map(f64::from).collect();
        let y_pred: Vec<f64> = (0..40).map(|i| f64::from(i * 7 % 5 % 2)).collect();
        let of = |options: &ConsistencyOptions| consistency(&features, 1, &y_pred, options).unwrap().value();
        assert!(of(&ConsistencyOptions::default()) < of(&ConsistencyOptions::aif360_0_6()));
        let threaded = ConsistencyOptions::default().with_threads(Threads::new(2));
        assert_eq!(of(&threaded), of(&ConsistencyOptions::default()));
    }

    #[test]
    fn too_few_rows_have_no_neighbours() {
        let options = ConsistencyOptions::default().with_neighbors(2);
        let found = consistency(&[1.0, 2.0], 1, &[0.0, 1.0], &options).unwrap();
        assert_eq!(found.undefined().unwrap().reason, UndefinedReason::TooFew);
        assert!(
            consistency(&[1.0, 2.0], 1, &[0.0, 1.0], &options.with_include_self(true))
                .unwrap()
                .value()
                .is_some()
        );
    }

    #[test]
    fn bad_arguments_are_named() {
        let options = ConsistencyOptions::default();
        let error = consistency(&[1.0, 2.0, 3.0], 2, &[0.0], &options).unwrap_err();
        assert_eq!(error.to_string(), "`features` has 3 elements but `y_pred × columns` has 2");
        assert!(consistency(&[], 0, &[], &options).is_err());
        assert!(consistency(&[f64::NAN], 1, &[0.0], &options).is_err());
        assert!(consistency(&[1.0], 1, &[0.0], &options.with_neighbors(0)).is_err());
        assert!(consistency(&[1.0], usize::MAX, &[0.0, 1.0], &options).is_err());
    }
}
