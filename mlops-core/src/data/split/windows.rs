//! Folds by time: test windows one after the other, and what may be learnt from before each.

use serde::{Deserialize, Serialize};

use super::cross_validation::OP;
use super::folds::Fold;
use crate::data::moment::{Moment, Moments, Union, bad, moments};
use crate::data::{Column, Span, Table};
use crate::error::{Error, Result};

/// Which rows a test window is predicted from.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum History {
    /// All rows before the window. The default.
    #[default]
    Expanding,
    /// The rows of this length before the window.
    Rolling(Span),
    /// All rows before and after the window: for questions that do not ask what comes next. Only here an embargo matters.
    Surrounding,
}

/// From when until when a row's label is made: the row's own time until the end that this says, both included.
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LabelSpan {
    /// At the row's own time. The default.
    #[default]
    Instant,
    /// Until so long after the row's own time.
    For(Span),
    /// Until the time in this column.
    Until(String),
}

/// Windows of time: the last ends with the last row, each earlier one ends a step before.
///
/// A window holds the times in `(end − test, end]`; training takes times up to `end − test − gap` (included). On whole numbers
/// without holes these are the folds of scikit-learn 1.9.1's `TimeSeriesSplit(n_splits, test_size, gap, max_train_size)`.
///
/// | setting | leaves out of training |
/// |---|---|
/// | gap | rows less than so long before the window |
/// | labels (purge) | rows whose label is made while the label of a test row is made: the intervals meet, ends included |
/// | embargo | rows less than or exactly so long after the last test label is made; only with [`History::Surrounding`] |
///
/// ```
/// use std::time::Duration;
/// use mlops_core::data::{Column, CrossValidation, Table, TimeWindows, Values};
///
/// const DAY: i64 = 86_400_000_000;
/// let at = Values::Time((0..30).map(|day| day * DAY).collect::<Vec<_>>().into());
/// let table = Table::new(vec![Column::new("at", at, None)?])?;
/// let day = Duration::from_secs(86_400);
/// let windows = TimeWindows::new(3, 5 * day).with_gap(2 * day).rolling(10 * day);
/// let folds = CrossValidation::time("at", windows).apply(&table)?;
/// let last = &folds.folds()[2];
/// assert_eq!((last.test(), last.train().len()), (&[25, 26, 27, 28, 29][..], 10));
/// assert_eq!(last.train().last(), Some(&22));
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimeWindows {
    /// How many.
    pub folds: usize,
    /// How long each is.
    pub test: Span,
    /// From the end of one to the end of the next; their length when not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<Span>,
    /// What is learnt from.
    #[serde(default)]
    pub history: History,
    /// The distance between training and window.
    #[serde(default)]
    pub gap: Span,
    /// How long labels take to be made; rows are purged by it.
    #[serde(default)]
    pub labels: LabelSpan,
    /// The distance after the window.
    #[serde(default)]
    pub embargo: Span,
}

impl TimeWindows {
    /// So many windows of this length, one after the other, from all rows before.
    pub fn new(folds: usize, test: impl Into<Span>) -> Self {
        Self {
            folds,
            test: test.into(),
            step: None,
            history: History::Expanding,
            gap: Span::default(),
            labels: LabelSpan::Instant,
            embargo: Span::default(),
        }
    }

    /// From the end of one window to the end of the next; shorter than the window, and windows overlap.
    #[must_use]
    pub fn with_step(mut self, step: impl Into<Span>) -> Self {
        self.step = Some(step.into());
        self
    }

    /// Learns from the rows of this length before the gap only.
    #[must_use]
    pub fn rolling(mut self, length: impl Into<Span>) -> Self {
        self.history = History::Rolling(length.into());
        self
    }

    /// Learns from the rows after the window too.
    #[must_use]
    pub fn surrounding(mut self) -> Self {
        self.history = History::Surrounding;
        self
    }

    /// Leaves rows shortly before the window out of training.
    #[must_use]
    pub fn with_gap(mut self, gap: impl Into<Span>) -> Self {
        self.gap = gap.into();
        self
    }

    /// Says how long labels take to be made.
    #[must_use]
    pub fn with_labels(mut self, labels: LabelSpan) -> Self {
        self.labels = labels;
        self
    }

    /// Leaves rows shortly after the window out of training.
    #[must_use]
    pub fn with_embargo(mut self, embargo: impl Into<Span>) -> Self {
        self.embargo = embargo.into();
        self
    }

    pub(super) fn apply(&self, table: &Table<'_>, column: &Column<'_>) -> Result<Vec<Fold>> {
        if self.history != History::Surrounding && !self.embargo.is_zero() {
            let message =
                "keeps out rows after the window, but no such rows are learnt from: say surrounding";
            return Err(Error::invalid(OP, "embargo", message));
        }
        match labelled(OP, "column", &self.labels, table, column)? {
            Labelled::Whole(times, ends) => self.cut(column, &times, &ends),
            Labelled::Real(times, ends) => self.cut(column, &times, &ends),
        }
    }

    fn cut<T: Moment>(&self, column: &Column<'_>, times: &[T], ends: &[T]) -> Result<Vec<Fold>> {
        let along = |span: &Span, field| span.along(OP, field, column);
        let (test, gap, embargo) =
            (along(&self.test, "test")?, along(&self.gap, "gap")?, along(&self.embargo, "embargo")?);
        let step = self.step.as_ref().map_or(Ok(test), |step| along(step, "step"))?;
        let rolling = match &self.history {
            History::Rolling(length) => Some(along(length, "history")?),
            _ => None,
        };
        for (field, length) in [("test", Some(test)), ("step", Some(step)), ("history", rolling)] {
            if length == Some(0) {
                return Err(Error::invalid(OP, field, "must not be nothing"));
            }
        }
        let Some(last) = times.iter().copied().reduce(|a, b| if b > a { b } else { a }) else {
            return Err(Error::invalid(OP, "table", "has no rows"));
        };
        let surrounding = self.history == History::Surrounding;
        (0..self.folds)
            .map(|fold| {
                let back = step.saturating_mul((self.folds - 1 - fold) as i128);
                let end = last.shifted(-back);
                let start = end.shifted(-test);
                let before = start.shifted(-gap);
                let from = rolling.map(|length| before.shifted(-length));
                let learnt =
                    |t: T| (t <= before && from.is_none_or(|from| t > from)) || (surrounding && t > end);
                let is_test = |t: T| t > start && t <= end;
                let fold = purged(times, ends, learnt, is_test, embargo);
                check(&fold, self.folds, back, column).map(|()| fold)
            })
            .collect()
    }
}

/// A fold of the rows that are chosen for training and test, less the rows whose labels meet those of the test and those
/// within the embargo.
fn purged<T: Moment>(
    times: &[T],
    ends: &[T],
    learnt: impl Fn(T) -> bool,
    is_test: impl Fn(T) -> bool,
    embargo: i128,
) -> Fold {
    let test: Vec<usize> = (0..times.len()).filter(|&row| is_test(times[row])).collect();
    let union = Union::new(test.iter().map(|&row| (times[row], ends[row])).collect());
    let mut fold = Fold { test, ..Fold::default() };
    for row in (0..times.len()).filter(|&row| learnt(times[row])) {
        let late = union.end().is_some_and(|end| times[row] > end && times[row] <= end.shifted(embargo));
        match () {
            () if union.meets(times[row], ends[row]) => fold.purged += 1,
            () if late => fold.embargoed += 1,
            () => fold.train.push(row),
        }
    }
    fold
}

fn check(fold: &Fold, folds: usize, back: i128, column: &Column<'_>) -> Result<()> {
    let Some(part) = fold.empty_part() else { return Ok(()) };
    let message =
        format!("leave no {part} rows to the window that ends {back} before the last row, of {folds}");
    Err(Error::invalid(OP, "windows", message).with("column", column.name()))
}

/// When rows are, and when the label of each is made at last: in whole units or in real ones.
pub(in crate::data) enum Labelled {
    Whole(Vec<i128>, Vec<i128>),
    Real(Vec<f64>, Vec<f64>),
}

/// The times of a column and the ends of the labels. An error about the times names `field`, one about the labels `labels`.
pub(in crate::data) fn labelled(
    operation: &'static str,
    field: &'static str,
    labels: &LabelSpan,
    table: &Table<'_>,
    column: &Column<'_>,
) -> Result<Labelled> {
    match moments(operation, field, column)? {
        Moments::Whole(times) => {
            let ends = label_ends(operation, labels, &times, table, column, whole)?;
            Ok(Labelled::Whole(times, ends))
        }
        Moments::Real(times) => {
            let ends = label_ends(operation, labels, &times, table, column, real)?;
            Ok(Labelled::Real(times, ends))
        }
    }
}

fn whole(moments: Moments) -> Option<Vec<i128>> {
    match moments {
        Moments::Whole(values) => Some(values),
        Moments::Real(_) => None,
    }
}

fn real(moments: Moments) -> Option<Vec<f64>> {
    match moments {
        Moments::Real(values) => Some(values),
        Moments::Whole(values) => Some(values.into_iter().map(|value| value as f64).collect()),
    }
}

/// When the label of each row is made at last.
fn label_ends<T: Moment>(
    operation: &'static str,
    labels: &LabelSpan,
    times: &[T],
    table: &Table<'_>,
    column: &Column<'_>,
    as_same: impl Fn(Moments) -> Option<Vec<T>>,
) -> Result<Vec<T>> {
    match labels {
        LabelSpan::Instant => Ok(times.to_vec()),
        LabelSpan::For(span) => {
            let length = span.along(operation, "labels", column)?;
            Ok(times.iter().map(|time| time.shifted(length)).collect())
        }
        LabelSpan::Until(name) => {
            let until = table.column(name)?;
            let found = moments(operation, "labels", until)?;
            let same = (until.data_type() == crate::data::DataType::Time)
                == (column.data_type() == crate::data::DataType::Time);
            let Some(ends) = as_same(found).filter(|_| same) else {
                let message = format!("is in another unit than `{}`", crate::error::quote(column.name()));
                return Err(Error::invalid(operation, "labels", message).with("column", name));
            };
            match times.iter().zip(&ends).position(|(time, end)| end < time) {
                Some(row) => Err(bad(operation, "labels", until, row, "lies before the row's own")),
                None => Ok(ends),
            }
        }
    }
}
