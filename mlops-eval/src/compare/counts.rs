//! Two classifiers on the same rows, counted: who is right where, and the shares that follow.

use mlops_core::num::StatsError;
use serde::{Deserialize, Serialize};

use crate::classification::{Confusion, LabelMetric};
use crate::input::{named, paired};

/// How often two models succeed, together and alone: all that a comparison of two paired shares needs. Merges.
///
/// ```
/// use mlops_eval::compare::PairedCounts;
///
/// let counts = PairedCounts::of(&[true, true, false], &[true, false, true])?;
/// assert_eq!((counts.both, counts.only_first, counts.only_second, counts.neither), (1, 1, 1, 0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PairedCounts {
    /// Rows where both succeed.
    pub both: u64,
    /// Rows where only the first succeeds.
    pub only_first: u64,
    /// Rows where only the second succeeds.
    pub only_second: u64,
    /// Rows where neither succeeds.
    pub neither: u64,
}

impl PairedCounts {
    /// Counts rows of successes.
    ///
    /// # Errors
    /// [`StatsError::LengthMismatch`], [`StatsError::Empty`].
    pub fn of(first: &[bool], second: &[bool]) -> Result<Self, StatsError> {
        let counts = Confusion::of(first, second).map_err(|error| match error {
            StatsError::Empty { .. } => StatsError::Empty { argument: "first" },
            StatsError::LengthMismatch { left_len, right_len, .. } => {
                StatsError::LengthMismatch { left: "first", left_len, right: "second", right_len }
            }
            other => other,
        })?;
        Ok(Self {
            both: counts.true_positives,
            only_first: counts.false_negatives,
            only_second: counts.false_positives,
            neither: counts.true_negatives,
        })
    }

    /// Only the rows that tell the models apart; McNemar's tests need no more, and the shares of the others are not known.
    pub const fn discordant(only_first: u64, only_second: u64) -> Self {
        Self { both: 0, only_first, only_second, neither: 0 }
    }

    /// Adds one row.
    pub fn push(&mut self, first: bool, second: bool) {
        let cell = match (first, second) {
            (true, true) => &mut self.both,
            (true, false) => &mut self.only_first,
            (false, true) => &mut self.only_second,
            (false, false) => &mut self.neither,
        };
        *cell = cell.saturating_add(1);
    }

    /// Adds the rows of another part of the data.
    ///
    /// ```
    /// use mlops_eval::compare::PairedCounts;
    /// let mut counts = PairedCounts::of(&[true], &[true])?;
    /// counts.merge(&PairedCounts::of(&[true], &[false])?)?;
    /// assert_eq!((counts.both, counts.only_first, counts.rows()), (1, 1, 2));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`StatsError::Overflow`]; `self` is unchanged then.
    pub fn merge(&mut self, other: &Self) -> Result<(), StatsError> {
        let merged = Self {
            both: add(self.both, other.both)?,
            only_first: add(self.only_first, other.only_first)?,
            only_second: add(self.only_second, other.only_second)?,
            neither: add(self.neither, other.neither)?,
        };
        *self = merged;
        Ok(())
    }

    /// The number of rows; stays at `u64::MAX` if hand-made counts add up to more.
    pub fn rows(&self) -> u64 {
        [self.only_first, self.only_second, self.neither].into_iter().fold(self.both, u64::saturating_add)
    }
}

fn add(a: u64, b: u64) -> Result<u64, StatsError> {
    a.checked_add(b).ok_or(StatsError::Overflow { what: "a paired count" })
}

/// Truth and the labels of two models, counted: every metric of labels, of either model, follows from these eight numbers, and
/// so do permutation tests and the bootstrap of their differences. Merges.
///
/// ```
/// use mlops_eval::classification::LabelMetric;
/// use mlops_eval::compare::PairedCells;
///
/// let cells = PairedCells::of(&[true, true, false], &[true, false, false], &[true, true, false])?;
/// assert_eq!(LabelMetric::Recall.from_counts(cells.second()).value(), Some(1.0));
/// let recall = cells.shares(LabelMetric::Recall).ok_or("recall counts the same rows for both models")?;
/// assert_eq!((recall.both, recall.only_second), (1, 1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PairedCells {
    /// Counts of negative rows, by "first says positive, second says positive": no no, no yes, yes no, yes yes.
    pub negative: [u64; 4],
    /// Counts of positive rows, in the same order.
    pub positive: [u64; 4],
}

impl PairedCells {
    /// Counts the rows. One pass.
    ///
    /// # Errors
    /// [`StatsError::LengthMismatch`], [`StatsError::Empty`].
    pub fn of(y_true: &[bool], first: &[bool], second: &[bool]) -> Result<Self, StatsError> {
        paired(named("y_true", y_true), named("first", first))?;
        paired(named("y_true", y_true), named("second", second))?;
        // Sums without a branch or a table: the compiler turns them into vector instructions.
        let mut sums = [0_u64; 7];
        for ((&t, &a), &b) in y_true.iter().zip(first).zip(second) {
            let row = [t, a, b, t & a, t & b, a & b, t & a & b];
            sums.iter_mut().zip(row).for_each(|(sum, one)| *sum += u64::from(one));
        }
        let [t, a, b, ta, tb, ab, tab] = sums;
        let cells = |all: u64, a: u64, b: u64, ab: u64| [all + ab - a - b, b - ab, a - ab, ab];
        Ok(Self {
            negative: cells(y_true.len() as u64 - t, a - ta, b - tb, ab - tab),
            positive: cells(t, ta, tb, tab),
        })
    }

    /// Adds the rows of another part of the data.
    ///
    /// ```
    /// use mlops_eval::compare::PairedCells;
    /// let part = PairedCells::of(&[true], &[true], &[false])?;
    /// let mut whole = part;
    /// whole.merge(&part)?;
    /// assert_eq!(whole.positive, [0, 0, 2, 0]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`StatsError::Overflow`]; `self` is unchanged then.
    pub fn merge(&mut self, other: &Self) -> Result<(), StatsError> {
        let mut merged = *self;
        for (ours, theirs) in merged.list_mut().into_iter().zip(other.list()) {
            *ours = add(*ours, theirs)?;
        }
        *self = merged;
        Ok(())
    }

    pub(super) fn list(&self) -> [u64; 8] {
        let ([a, b, c, d], [e, f, g, h]) = (self.negative, self.positive);
        [a, b, c, d, e, f, g, h]
    }

    fn list_mut(&mut self) -> [&mut u64; 8] {
        let ([a, b, c, d], [e, f, g, h]) = (&mut self.negative, &mut self.positive);
        [a, b, c, d, e, f, g, h]
    }

    pub(super) fn from_list([a, b, c, d, e, f, g, h]: [u64; 8]) -> Self {
        Self { negative: [a, b, c, d], positive: [e, f, g, h] }
    }

    /// The number of rows; stays at `u64::MAX` if hand-made counts add up to more.
    pub fn rows(&self) -> u64 {
        self.list().into_iter().fold(0, u64::saturating_add)
    }

    /// That the rows add up to less than 2⁵³, and there is at least one.
    pub(super) fn check(&self) -> Result<(), StatsError> {
        let rows = self.rows();
        if rows == 0 {
            return Err(StatsError::ZeroTotal { argument: "cells" });
        }
        if rows >= 1 << 53 {
            return Err(StatsError::Overflow { what: "the number of rows" });
        }
        Ok(())
    }

    /// The confusion cells of the first model.
    pub fn first(&self) -> Confusion {
        let (n, p) = (self.negative, self.positive);
        confusion([n[0], n[1]], [n[2], n[3]], [p[0], p[1]], [p[2], p[3]])
    }

    /// The confusion cells of the second model.
    pub fn second(&self) -> Confusion {
        let (n, p) = (self.negative, self.positive);
        confusion([n[0], n[2]], [n[1], n[3]], [p[0], p[2]], [p[1], p[3]])
    }

    /// The paired counts of a metric that is a share of the same rows for both models: accuracy and selection rate of all rows,
    /// recall and false negative rate of the positives, specificity and false positive rate of the negatives.
    ///
    /// `None` for the others. Precision and its like count the rows that a model selects, which differ between the models: they
    /// have no paired table, and are compared by [`bootstrap_cells`](super::bootstrap_cells) or
    /// [`permutation_cells`](super::permutation_cells).
    pub fn shares(&self, metric: LabelMetric) -> Option<PairedCounts> {
        let selected = |[neither, only_second, only_first, both]: [u64; 4]| PairedCounts {
            both,
            only_first,
            only_second,
            neither,
        };
        let left_out = |[both, only_first, only_second, neither]: [u64; 4]| PairedCounts {
            both,
            only_first,
            only_second,
            neither,
        };
        let sum = |mut a: PairedCounts, b: PairedCounts| a.merge(&b).ok().map(|()| a);
        match metric {
            LabelMetric::Accuracy => sum(selected(self.positive), left_out(self.negative)),
            LabelMetric::SelectionRate => sum(selected(self.positive), selected(self.negative)),
            LabelMetric::Recall => Some(selected(self.positive)),
            LabelMetric::FalseNegativeRate => Some(left_out(self.positive)),
            LabelMetric::Specificity => Some(left_out(self.negative)),
            LabelMetric::FalsePositiveRate => Some(selected(self.negative)),
            _ => None,
        }
    }
}

/// From the counts of negatives left out and selected, and of positives left out and selected.
fn confusion(left: [u64; 2], selected: [u64; 2], missed: [u64; 2], found: [u64; 2]) -> Confusion {
    let sum = |[a, b]: [u64; 2]| a.saturating_add(b);
    Confusion {
        true_negatives: sum(left),
        false_positives: sum(selected),
        false_negatives: sum(missed),
        true_positives: sum(found),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_hold_both_confusions_and_every_paired_share() {
        let rows = 5_000_u64;
        let bit =
            |i: u64, s: u64| (i.wrapping_mul(2_654_435_761).wrapping_add(s) >> (s % 7 + 9)).is_multiple_of(3);
        let [t, a, b] = [1, 2, 3].map(|s| (0..rows).map(|i| bit(i, s)).collect::<Vec<bool>>());
        let cells = PairedCells::of(&t, &a, &b).unwrap();
        assert_eq!(cells.first(), Confusion::of(&t, &a).unwrap());
        assert_eq!(cells.second(), Confusion::of(&t, &b).unwrap());
        assert_eq!(cells.rows(), rows);
        for metric in LabelMetric::ALL {
            let Some(counts) = cells.shares(*metric) else { continue };
            let share = |wins: u64| Some(wins as f64 / counts.rows() as f64);
            assert_eq!(share(counts.both + counts.only_first), metric.from_counts(cells.first()).value());
            assert_eq!(share(counts.both + counts.only_second), metric.from_counts(cells.second()).value());
        }
        let right = |p: &[bool]| p.iter().zip(&t).map(|(p, t)| p == t).collect::<Vec<bool>>();
        let accuracy = PairedCounts::of(&right(&a), &right(&b)).unwrap();
        assert_eq!(cells.shares(LabelMetric::Accuracy), Some(accuracy));
    }

    #[test]
    fn a_merge_that_would_wrap_is_an_error_and_changes_nothing() {
        let mut cells = PairedCells { positive: [1, u64::MAX, 0, 0], ..Default::default() };
        let before = cells;
        assert!(cells.merge(&before).is_err());
        assert_eq!(cells, before);
        let mut counts = PairedCounts::discordant(u64::MAX, 0);
        assert!(counts.merge(&PairedCounts::discordant(1, 0)).is_err());
        assert_eq!(counts.rows(), u64::MAX);
    }
}
