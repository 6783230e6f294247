//! Combinatorial purged cross-validation.

use serde::{Deserialize, Serialize};

use super::cross_validation::{MAX_FOLDS, Made, OP};
use super::folds::Fold;
use super::windows::{LabelSpan, Labelled, labelled};
use crate::data::moment::{Moment, Union, in_order};
use crate::data::{Column, Span, Table};
use crate::error::{Error, Result};

/// The most groups that all folds together may test.
const MAX_CHOSEN: usize = 1_000_000;

/// Combinatorial purged cross-validation: rows in the order of time are cut into N groups of equal size (the first ones one
/// row larger), and every choice of k groups is a test once, in lexicographic order.
///
/// A training row is purged when its label is made while that of a test row is made: the intervals meet, ends included. It
/// falls under the embargo when its time lies at most so long after the last label of a stretch of neighbouring test groups.
/// There are C(N, k) folds; out of them C(N − 1, k − 1) backtest paths are put together, each of which tests every group once:
/// path j takes for each group the j-th fold that tests it. With k = 1 this is purged k-fold cross-validation.
///
/// Source: M. López de Prado, *Advances in Financial Machine Learning* (Wiley, 2018), chapters 7 and 12.
///
/// ```
/// use mlops_core::data::{Column, CombinatorialPurged, CrossValidation, LabelSpan, Table};
///
/// let table = Table::new(vec![Column::i64("day", (0..60).collect::<Vec<_>>())?])?;
/// let purged = CombinatorialPurged::new(6, 2).with_labels(LabelSpan::For(2.into())).with_embargo(1);
/// let folds = CrossValidation::combinatorial_purged("day", purged).apply(&table)?;
/// assert_eq!((folds.folds().len(), folds.paths().len()), (15, 5));
/// // Groups 0 and 3: rows 0–9 and 30–39. Row 28 has its label at 30, row 40 shares a day with the label of row 38,
/// // row 42 lies a day after the last label.
/// let fold = &folds.folds()[2];
/// assert!([10, 11, 12, 28, 29, 40, 41, 42].iter().all(|row| !fold.train().contains(row)));
/// assert_eq!((fold.train().len(), fold.purged(), fold.embargoed()), (32, 6, 2));
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CombinatorialPurged {
    /// N: how many groups.
    pub groups: usize,
    /// k: how many of them are a test at once.
    pub test_groups: usize,
    /// How long labels take to be made.
    #[serde(default)]
    pub labels: LabelSpan,
    /// How long after the test labels nothing is learnt from.
    #[serde(default)]
    pub embargo: Span,
}

impl CombinatorialPurged {
    /// Every choice of `test_groups` out of `groups`.
    pub fn new(groups: usize, test_groups: usize) -> Self {
        Self { groups, test_groups, labels: LabelSpan::Instant, embargo: Span::default() }
    }

    /// Says how long labels take to be made.
    #[must_use]
    pub fn with_labels(mut self, labels: LabelSpan) -> Self {
        self.labels = labels;
        self
    }

    /// Leaves rows shortly after a test out of training.
    #[must_use]
    pub fn with_embargo(mut self, embargo: impl Into<Span>) -> Self {
        self.embargo = embargo.into();
        self
    }

    /// How many folds there are: C(N, k).
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) unless 1 ≤ k < N;
    /// [`ErrorKind::LimitExceeded`](crate::ErrorKind::LimitExceeded) for more than 10 000 folds, or a million
    /// test groups in all of them.
    ///
    /// ```
    /// use mlops_core::data::CombinatorialPurged;
    /// assert_eq!(CombinatorialPurged::new(10, 3).folds()?, 120);
    /// assert!(CombinatorialPurged::new(6, 6).folds().is_err());
    /// assert!(CombinatorialPurged::new(200, 100).folds().is_err());
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn folds(&self) -> Result<usize> {
        if self.test_groups == 0 || self.test_groups >= self.groups {
            let message = format!(
                "must lie between 1 and {} groups, got {}",
                self.groups.saturating_sub(1),
                self.test_groups
            );
            return Err(Error::invalid(OP, "test_groups", message));
        }
        let mut folds: u128 = 1;
        for i in 0..self.test_groups.min(self.groups - self.test_groups) {
            folds = folds * (self.groups - i) as u128 / (i as u128 + 1);
            if folds > MAX_FOLDS as u128 {
                return Err(Error::limit(OP, "the number of folds", MAX_FOLDS, folds));
            }
        }
        let chosen = folds.saturating_mul(self.test_groups as u128);
        if chosen > MAX_CHOSEN as u128 {
            return Err(Error::limit(OP, "folds × test groups", MAX_CHOSEN, chosen));
        }
        usize::try_from(folds).map_err(|_| Error::limit(OP, "the number of folds", MAX_FOLDS, folds))
    }

    /// The groups that each fold tests, in lexicographic order.
    pub(super) fn choices(&self) -> Result<Vec<Vec<usize>>> {
        let folds = self.folds()?;
        let (n, k) = (self.groups, self.test_groups);
        let mut choice: Vec<usize> = (0..k).collect();
        let mut all = Vec::with_capacity(folds);
        loop {
            all.push(choice.clone());
            let Some(moves) = (0..k).rev().find(|&at| choice[at] < n - k + at) else { return Ok(all) };
            choice[moves] += 1;
            for at in moves + 1..k {
                choice[at] = choice[at - 1] + 1;
            }
        }
    }

    /// For each path, the fold that tests each group.
    pub(super) fn paths(&self) -> Result<Vec<Vec<usize>>> {
        let mut tests = vec![Vec::new(); self.groups];
        for (fold, choice) in self.choices()?.iter().enumerate() {
            choice.iter().for_each(|&group| tests[group].push(fold));
        }
        let paths = tests.first().map_or(0, Vec::len);
        Ok((0..paths).map(|path| tests.iter().map(|folds| folds[path]).collect()).collect())
    }

    pub(super) fn apply(&self, table: &Table<'_>, column: &Column<'_>) -> Result<Made> {
        self.folds()?;
        if self.groups > table.rows() {
            let message = format!("is {}, but there are {} rows", self.groups, table.rows());
            return Err(Error::invalid(OP, "groups", message));
        }
        match labelled(OP, "column", &self.labels, table, column)? {
            Labelled::Whole(times, ends) => self.cut(column, &times, &ends),
            Labelled::Real(times, ends) => self.cut(column, &times, &ends),
        }
    }

    fn cut<T: Moment>(&self, column: &Column<'_>, times: &[T], ends: &[T]) -> Result<Made> {
        let embargo = self.embargo.along(OP, "embargo", column)?;
        let order = in_order(times);
        let mut groups: Vec<Vec<usize>> = Vec::with_capacity(self.groups);
        let mut rest = order.as_slice();
        for group in 0..self.groups {
            let size = times.len() / self.groups + usize::from(group < times.len() % self.groups);
            let (rows, others) = rest.split_at(size);
            groups.push(rows.to_vec());
            rest = others;
        }
        let mut group_of = vec![0; times.len()];
        for (group, rows) in groups.iter().enumerate() {
            rows.iter().for_each(|&row| group_of[row] = group);
        }
        let labels: Vec<Union<T>> = groups
            .iter()
            .map(|rows| Union::new(rows.iter().map(|&row| (times[row], ends[row])).collect()))
            .collect();
        let mut folds = Vec::new();
        for choice in self.choices()? {
            let mut is_test = vec![false; self.groups];
            choice.iter().for_each(|&group| is_test[group] = true);
            // The last label of each stretch of neighbouring test groups.
            let stretches = choice.chunk_by(|a, b| a + 1 == *b);
            let last: Vec<T> = stretches
                .filter_map(|run| {
                    let ends = run.iter().filter_map(|&group| labels[group].end());
                    ends.reduce(|a, b| if b > a { b } else { a })
                })
                .collect();
            let mut fold = Fold::default();
            for row in 0..times.len() {
                let (from, until) = (times[row], ends[row]);
                match () {
                    () if is_test[group_of[row]] => fold.test.push(row),
                    () if choice.iter().any(|&group| labels[group].meets(from, until)) => fold.purged += 1,
                    () if last.iter().any(|&end| from > end && from <= end.shifted(embargo)) => {
                        fold.embargoed += 1
                    }
                    () => fold.train.push(row),
                }
            }
            if fold.train.is_empty() {
                let message =
                    format!("and embargo leave no training rows when groups {choice:?} are the test");
                return Err(Error::invalid(OP, "labels", message).with("column", column.name()));
            }
            folds.push(fold);
        }
        groups.iter_mut().for_each(|rows| rows.sort_unstable());
        Ok(Made { folds, groups, paths: self.paths()? })
    }
}
