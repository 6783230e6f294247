//! Correlations of ranks and the concordance index: what depends on the order of the numbers alone.
//!
//! A weight is how often a row counts: a row of weight 2 gives what two equal rows give. Pairs of equal rows are ties in both
//! columns, so they never enter a denominator.

use mlops_core::num::ranks::sort_pairs;
use mlops_core::num::sum::Sum;
use mlops_core::num::{Measured, StatsError, UndefinedReason};

use super::metric::weight_scale;
use super::state::{RegressionState, check, constant_target, too_few};
use crate::input::weight;
use mlops_core::num::parallel::Threads;

/// Rows of positive weight, checked.
pub(crate) struct Pairs {
    y_true: Vec<f64>,
    y_pred: Vec<f64>,
    weights: Vec<f64>,
}

/// Sums of w·w′ over the pairs of rows that differ in a column or are ordered alike.
struct Counts {
    /// Concordant minus discordant.
    balance: f64,
    /// Pairs whose targets differ.
    targets: f64,
    /// Pairs whose predictions differ.
    predictions: f64,
}

impl Pairs {
    pub(crate) fn check(y_true: &[f64], y_pred: &[f64], weights: Option<&[f64]>) -> Result<Self, StatsError> {
        check(y_true, y_pred, weights)?;
        let scale = weight_scale(weights);
        let counts = |row: &usize| weight(weights, *row) > 0.0;
        let rows: Vec<usize> = (0..y_true.len()).filter(counts).collect();
        // −0 + 0 is 0: both zeros are one number.
        Ok(Self {
            y_true: rows.iter().map(|&row| y_true[row] + 0.0).collect(),
            y_pred: rows.iter().map(|&row| y_pred[row] + 0.0).collect(),
            weights: rows.iter().map(|&row| weight(weights, row) * scale).collect(),
        })
    }

    /// Why there is no correlation, if so.
    fn refused(&self) -> Option<Measured> {
        let rows = self.y_true.len();
        if rows < 2 {
            return Some(too_few(rows as u64, 2));
        }
        let constant = |values: &[f64]| values.iter().all(|value| *value == values[0]);
        (constant(&self.y_true) || constant(&self.y_pred)).then(|| constant_target(0.0))
    }

    pub(crate) fn spearman(&self) -> Result<Measured, StatsError> {
        if let Some(refused) = self.refused() {
            return Ok(refused);
        }
        let (y, p) = (self.positions(&self.y_true), self.positions(&self.y_pred));
        let state = RegressionState::build(&y, &p, Some(&self.weights), Threads::ONE, 1.0)?;
        super::RegressionMetric::Pearson.from_state(&state)
    }

    /// The weight below a value and half of that at it: a midrank up to a constant.
    fn positions(&self, values: &[f64]) -> Vec<f64> {
        let mut order: Vec<(f64, usize)> = values.iter().copied().zip(0..).collect();
        sort_pairs(&mut order);
        let mut positions = vec![0.0; values.len()];
        let mut below = Sum::new();
        for tied in order.chunk_by(|a, b| a.0 == b.0) {
            let at = tied.iter().map(|&(_, row)| self.weights[row]).collect::<Sum>().value();
            for &(_, row) in tied {
                positions[row] = below.value() + 0.5 * at;
            }
            below.push(at);
        }
        positions
    }

    pub(crate) fn kendall(&self) -> Result<Measured, StatsError> {
        if let Some(refused) = self.refused() {
            return Ok(refused);
        }
        let counts = self.counts();
        let spread = counts.targets.sqrt() * counts.predictions.sqrt();
        if spread <= 0.0 {
            return Ok(constant_target(counts.balance));
        }
        Ok(Measured::Value((counts.balance / spread).clamp(-1.0, 1.0)))
    }

    pub(crate) fn concordance_index(&self) -> Result<Measured, StatsError> {
        let rows = self.y_true.len();
        if rows < 2 {
            return Ok(too_few(rows as u64, 2));
        }
        let counts = self.counts();
        if counts.targets <= 0.0 {
            return Ok(Measured::none(UndefinedReason::Constant, 0, 0));
        }
        // Concordant + half the ties, of C + D + T pairs, is half of 1 + (C − D) / (C + D + T).
        Ok(Measured::Value((0.5 + 0.5 * (counts.balance / counts.targets)).clamp(0.0, 1.0)))
    }

    /// Knight's method (*A Computer Method for Calculating Kendall's Tau with Ungrouped Data*, JASA 61, 1966), with weights:
    /// rows ordered by target and then prediction; the swaps that order them by prediction are the discordant pairs.
    fn counts(&self) -> Counts {
        let mut by_prediction: Vec<(f64, usize)> = self.y_pred.iter().copied().zip(0..).collect();
        sort_pairs(&mut by_prediction);
        let groups = || by_prediction.chunk_by(|a, b| a.0 == b.0);
        let predictions = differing(groups().map(|tied| self.weight_of(tied)));

        // Both sorts are stable, so rows of equal targets stand in the order of their predictions.
        let mut order: Vec<(f64, usize)> =
            by_prediction.iter().map(|&(_, row)| (self.y_true[row], row)).collect();
        sort_pairs(&mut order);
        let targets = differing(order.chunk_by(|a, b| a.0 == b.0).map(|tied| self.weight_of(tied)));

        // Pairs that differ in target but not in prediction: those of one prediction, by target.
        let mut only_targets = Sum::new();
        for tied in groups() {
            let mut own: Vec<(f64, usize)> = tied.iter().map(|&(_, row)| (self.y_true[row], row)).collect();
            sort_pairs(&mut own);
            only_targets.push(differing(own.chunk_by(|a, b| a.0 == b.0).map(|tied| self.weight_of(tied))));
        }
        let mut rows: Vec<(f64, f64)> =
            order.iter().map(|&(_, row)| (self.y_pred[row], self.weights[row])).collect();
        let discordant = discordant(&mut rows);
        let both = targets - only_targets.value();
        Counts { balance: both - 2.0 * discordant, targets, predictions }
    }

    fn weight_of(&self, tied: &[(f64, usize)]) -> f64 {
        tied.iter().map(|&(_, row)| self.weights[row]).collect::<Sum>().value()
    }
}

/// Σ of products over the pairs of different groups.
fn differing(groups: impl Iterator<Item = f64>) -> f64 {
    let (mut below, mut pairs) = (Sum::new(), Sum::new());
    for group in groups {
        pairs.push(below.value() * group);
        below.push(group);
    }
    pairs.value()
}

/// Σ w·w′ over pairs whose first stands before the second and is larger; sorts the rows. Bottom-up merge sort, O(n log n).
fn discordant(rows: &mut Vec<(f64, f64)>) -> f64 {
    let mut total = Sum::new();
    let mut scratch = rows.clone();
    let mut width = 1;
    while width < rows.len() {
        for (from, to) in rows.chunks(2 * width).zip(scratch.chunks_mut(2 * width)) {
            let (left, right) = from.split_at(width.min(from.len()));
            total.push(merge(left, right, to));
        }
        std::mem::swap(rows, &mut scratch);
        width *= 2;
    }
    total.value()
}

/// Merges two sorted parts and returns the weight of the pairs that changed places.
fn merge(left: &[(f64, f64)], right: &[(f64, f64)], to: &mut [(f64, f64)]) -> f64 {
    let mut ahead = left.iter().map(|(_, w)| w).sum::<f64>();
    let mut swapped = 0.0;
    let (mut i, mut j) = (0, 0);
    for place in to {
        if i < left.len() && (j >= right.len() || left[i].0 <= right[j].0) {
            ahead -= left[i].1;
            *place = left[i];
            i += 1;
        } else {
            // All that is left on the left is larger. Exhausted, it weighs 0 however its sum was rounded.
            swapped += if i < left.len() { right[j].1 * ahead } else { 0.0 };
            *place = right[j];
            j += 1;
        }
    }
    swapped
}

macro_rules! rank_metrics {
    ($(
        $(#[doc = $doc:literal])+
        $plain:ident, $weighted:ident, example $example:literal;
    )+) => {$(
        $(#[doc = $doc])+
        ///
        /// ```
        #[doc = concat!("use mlops_eval::regression::", stringify!($plain), ";")]
        #[doc = concat!("let value = ", stringify!($plain), "(&[1.0, 2.0, 3.0, 4.0], &[1.0, 3.0, 2.0, 4.0])?.value().unwrap_or(f64::NAN);")]
        #[doc = concat!("assert!((value - ", $example, ").abs() < 1e-15);")]
        /// # Ok::<(), Box<dyn std::error::Error>>(())
        /// ```
        ///
        /// # Errors
        /// [`StatsError::LengthMismatch`], [`StatsError::Empty`], [`StatsError::Nan`], [`StatsError::NotFinite`].
        pub fn $plain(y_true: &[f64], y_pred: &[f64]) -> Result<Measured, StatsError> {
            Pairs::check(y_true, y_pred, None)?.$plain()
        }

        #[doc = concat!("[`", stringify!($plain), "`] with a weight for each row: how often it counts.")]
        ///
        /// ```
        #[doc = concat!("use mlops_eval::regression::{", stringify!($plain), ", ", stringify!($weighted), "};")]
        #[doc = concat!("let repeated = ", stringify!($plain), "(&[1.0, 1.0, 4.0, 2.0], &[2.0, 2.0, 1.5, 3.0])?.value().unwrap_or(f64::NAN);")]
        #[doc = concat!("let weighted = ", stringify!($weighted), "(&[1.0, 4.0, 2.0], &[2.0, 1.5, 3.0], &[2.0, 1.0, 1.0])?;")]
        /// assert!(weighted.value().is_some_and(|value| (value - repeated).abs() < 1e-12));
        /// # Ok::<(), Box<dyn std::error::Error>>(())
        /// ```
        ///
        /// # Errors
        #[doc = concat!("Those of [`", stringify!($plain), "`], and what [`weights::total`](mlops_core::num::weights::total) refuses.")]
        pub fn $weighted(y_true: &[f64], y_pred: &[f64], weights: &[f64]) -> Result<Measured, StatsError> {
            Pairs::check(y_true, y_pred, Some(weights))?.$plain()
        }
    )+};
}

rank_metrics! {
    /// Spearman's ρ: Pearson's correlation of midranks, from −1 to 1. With weights, the midrank of a value is the weight below it
    /// plus half of that at it. O(n) from 2 048 rows on. Agrees with `scipy.stats.spearmanr` (1.17.1) to 1e-12.
    ///
    /// Undefined with [`UndefinedReason::TooFew`] for fewer than two rows of positive weight, and with
    /// [`UndefinedReason::Constant`] when targets or predictions do not vary.
    spearman, spearman_weighted, example "0.8";

    /// Kendall's τ-b: (C − D) / √(pairs of different targets · pairs of different predictions), C and D the concordant and
    /// discordant pairs, from −1 to 1. With weights each pair counts w·w′. O(n log n). Agrees with `scipy.stats.kendalltau`
    /// (1.17.1) to 1e-12.
    ///
    /// Undefined as [`spearman`].
    kendall, kendall_weighted, example "2.0 / 3.0";

    /// The concordance index (Harrell et al., *Evaluating the Yield of Medical Tests*, JAMA 247, 1982) of targets that are all
    /// observed: the share of pairs of different targets whose predictions are in the same order, equal predictions counting one
    /// half; from 0 to 1. With weights each pair counts w·w′. O(n log n). Agrees with `concordance_index` of lifelines 0.30.3.
    ///
    /// Undefined with [`UndefinedReason::TooFew`] for fewer than two rows of positive weight, and with
    /// [`UndefinedReason::Constant`] when targets do not vary.
    concordance_index, concordance_index_weighted, example "5.0 / 6.0";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_counted_as_by_hand() {
        let y: Vec<f64> = (0..97).map(|i| f64::from((i * 31) % 13)).collect();
        let p: Vec<f64> = (0..97).map(|i| f64::from((i * 17) % 11)).collect();
        let w: Vec<f64> = (0..97).map(|i| f64::from(1 + i % 3)).collect();
        let (mut balance, mut targets, mut predictions) = (0.0, 0.0, 0.0);
        for i in 0..97 {
            for j in 0..i {
                let product = w[i] * w[j];
                let (a, b) = (y[i] - y[j], p[i] - p[j]);
                targets += if a == 0.0 { 0.0 } else { product };
                predictions += if b == 0.0 { 0.0 } else { product };
                balance += if a * b == 0.0 { 0.0 } else { (a * b).signum() * product };
            }
        }
        let pairs = Pairs { y_true: y, y_pred: p, weights: w };
        let counts = pairs.counts();
        assert_eq!([counts.balance, counts.targets, counts.predictions], [balance, targets, predictions]);
    }

    #[test]
    fn what_does_not_vary_has_no_correlation() {
        for (y, p) in [([1.0, 1.0], [1.0, 2.0]), ([1.0, 2.0], [0.0, -0.0])] {
            for result in [spearman(&y, &p), kendall(&y, &p)] {
                assert_eq!(result.unwrap().undefined().unwrap().reason, UndefinedReason::Constant);
            }
        }
        assert_eq!(concordance_index(&[1.0, 2.0], &[3.0, 3.0]).unwrap().value(), Some(0.5));
        assert_eq!(concordance_index(&[1.0, 1.0], &[3.0, 4.0]).unwrap().value(), None);
        assert_eq!(kendall(&[1.0], &[1.0]).unwrap().undefined().unwrap().reason, UndefinedReason::TooFew);
    }
}
