//! Leaks between the parts of a split: what the model must not have seen is looked for, and found it stops the show.
//!
//! | leak | what it is | looked for |
//! |---|---|---|
//! | [`LeakKind::DuplicateRow`] | rows of two parts are equal in every feature | always |
//! | [`LeakKind::SharedId`] | one id in two parts | when an id column is named |
//! | [`LeakKind::SharedGroup`] | one group (patient, household) in two parts | when a group column is named |
//! | [`LeakKind::TimeOverlap`] | a row of a later part is not later than the last of an earlier one | when a time column is named |
//!
//! Every pair of parts is compared: a validation row seen in training spoils the choice of the model as a test row spoils
//! its judgement. Duplicates within one part are no leak; that is [`Expectation::unique`](crate::data::Expectation::unique).

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::hash::Hash;

use serde::{Deserialize, Serialize};

use crate::data::cell::{Cell, cell, row_digests, shown};
use crate::data::{Column, Part, Partition, Table, Values};
use crate::error::{Error, ErrorKind, Result, quote};

const OP: &str = "LeakageInput::check";

/// How many pairs of rows a leak lists.
const SAMPLE: usize = 20;

/// What leaks.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeakKind {
    /// Rows of two parts are equal in every feature.
    DuplicateRow,
    /// One id is in two parts.
    SharedId,
    /// One group is in two parts.
    SharedGroup,
    /// Rows of a later part are not later than all rows of an earlier one.
    TimeOverlap,
}

/// What to check: a table, its split, and what its columns mean.
///
/// ```
/// use mlops_core::data::{Column, LeakKind, LeakageInput, Partition, Table};
///
/// let table = Table::new(vec![
///     Column::i64("patient", vec![1, 2, 3, 1])?,
///     Column::f64("bmi", vec![32.1, 21.6, 30.5, 25.3])?,
/// ])?;
/// let split = Partition::predefined(4, vec![0, 1], None, vec![2, 3])?;
/// let report = LeakageInput::new(&table, &split).with_group("patient").check()?;
/// assert_eq!(report.leaks[0].kind, LeakKind::SharedGroup);
/// assert_eq!(report.leaks[0].rows, [(0, 3)]);
/// let error = report.require_clean().unwrap_err();
/// assert_eq!(error.kind(), mlops_core::ErrorKind::Rejected);
/// assert_eq!(
///     error.message(),
///     "the split leaks: column `patient`: 1 group is in both train (1 row) and test (1 row); \
///      first 1 in train row 1 and test row 4"
/// );
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct LeakageInput<'a> {
    table: &'a Table<'a>,
    partition: &'a Partition,
    id: Option<String>,
    group: Option<String>,
    time: Option<String>,
    features: Option<Vec<String>>,
}

impl<'a> LeakageInput<'a> {
    /// A table and how it was split. Rows are duplicates when they are equal in all columns but the id.
    pub fn new(table: &'a Table<'a>, partition: &'a Partition) -> Self {
        Self { table, partition, id: None, group: None, time: None, features: None }
    }

    /// The column that identifies a row.
    #[must_use]
    pub fn with_id(mut self, column: impl Into<String>) -> Self {
        self.id = Some(column.into());
        self
    }

    /// The column of what must stay together.
    #[must_use]
    pub fn with_group(mut self, column: impl Into<String>) -> Self {
        self.group = Some(column.into());
        self
    }

    /// The column of times (or numbers): each part must be strictly later than the one before.
    #[must_use]
    pub fn with_time(mut self, column: impl Into<String>) -> Self {
        self.time = Some(column.into());
        self
    }

    /// The columns whose equality makes two rows duplicates.
    #[must_use]
    pub fn with_features<S: Into<String>>(mut self, columns: impl IntoIterator<Item = S>) -> Self {
        self.features = Some(columns.into_iter().map(Into::into).collect());
        self
    }

    /// Looks for every leak. O(rows × columns) time, 32 bytes a row.
    ///
    /// Equality is that of [`row_digests`](crate::data::row_digests): rows are hashed by value and type with lengths, so
    /// that different rows are never confused; −0.0 equals 0.0, NaN equals NaN, missing equals missing.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] for an unknown column; [`ErrorKind::InvalidInput`] when the table is not the one that was
    /// split, when no column is left to compare, when an id, group or time is missing or NaN (what is not known cannot be
    /// shown not to leak), and when times are text or booleans.
    pub fn check(&self) -> Result<LeakageReport> {
        self.partition.check_rows(OP, self.table)?;
        let mut report = LeakageReport { schema_version: 1, checked: Vec::new(), leaks: Vec::new() };
        report.add(LeakKind::DuplicateRow, self.duplicates()?);
        for (kind, column) in [(LeakKind::SharedId, &self.id), (LeakKind::SharedGroup, &self.group)] {
            if let Some(name) = column {
                report.add(kind, self.shared(kind, self.table.column(name)?)?);
            }
        }
        if let Some(name) = &self.time {
            report.add(LeakKind::TimeOverlap, self.overlap(self.table.column(name)?)?);
        }
        Ok(report)
    }

    fn duplicates(&self) -> Result<Vec<Leak>> {
        let features = match (&self.features, &self.id) {
            (Some(features), _) => self.table.select(features)?,
            (None, Some(id)) => self.table.without(&[id]),
            (None, None) => self.table.clone(),
        };
        if features.columns().is_empty() {
            return Err(Error::invalid(OP, "features", "no column is left to compare rows by"));
        }
        let digests = row_digests(&features);
        Ok(self.in_two_parts(&digests, |shared| {
            let Shared { keys, left, right, rows, .. } = shared;
            let (a, b) = (count(left.1, "row"), count(right.1, "row"));
            let distinct = count(*keys, "distinct row");
            let place = at(left.0, right.0, rows.first());
            Leak::new(
                LeakKind::DuplicateRow,
                None,
                shared,
                format!("{distinct}: {a} of {} equal {b} of {}; first {place}", left.0, right.0),
            )
        }))
    }

    fn shared(&self, kind: LeakKind, column: &Column<'_>) -> Result<Vec<Leak>> {
        let keys = (0..column.len()).map(|row| known(column, row)).collect::<Result<Vec<Cell<'_>>>>()?;
        let noun = if kind == LeakKind::SharedId { "id" } else { "group" };
        Ok(self.in_two_parts(&keys, |shared| {
            let Shared { keys, left, right, rows, .. } = shared;
            let (a, b) = (count(left.1, "row"), count(right.1, "row"));
            let verb = if *keys == 1 { "is" } else { "are" };
            let value = rows.first().map(|(row, _)| shown(column, *row)).unwrap_or_default();
            let message = format!(
                "column `{}`: {} {verb} in both {} ({a}) and {} ({b}); first {value} {}",
                quote(column.name()),
                count(*keys, noun),
                left.0,
                right.0,
                at(left.0, right.0, rows.first())
            );
            Leak::new(kind, Some(column.name()), shared, message)
        }))
    }

    /// What is equal across each pair of parts, as leaks.
    fn in_two_parts<K: Eq + Hash>(&self, keys: &[K], leak: impl Fn(&Shared) -> Leak) -> Vec<Leak> {
        self.pairs().filter_map(|(a, b)| shared_keys(keys, a, b)).map(|shared| leak(&shared)).collect()
    }

    fn pairs(&self) -> impl Iterator<Item = (Rows<'_>, Rows<'_>)> {
        let parts: Vec<Rows<'_>> = self.partition.parts().collect();
        (0..parts.len()).flat_map(move |b| (0..b).map(|a| (parts[a], parts[b])).collect::<Vec<_>>())
    }

    fn overlap(&self, column: &Column<'_>) -> Result<Vec<Leak>> {
        for row in 0..column.len() {
            known(column, row)?;
        }
        match column.values() {
            Values::I64(times) | Values::Time(times) => Ok(self.overlaps(column, times)),
            Values::F64(_) | Values::F32(_) => Ok(self.overlaps(column, &column.to_f64()?)),
            _ => {
                let message = "must hold numbers or times, to be in an order";
                Err(Error::invalid(OP, "time", message).with("column", column.name()))
            }
        }
    }

    fn overlaps<T: Copy + PartialOrd>(&self, column: &Column<'_>, times: &[T]) -> Vec<Leak> {
        self.pairs().filter_map(|(earlier, later)| overlap(column, times, earlier, later)).collect()
    }
}

/// A part and its rows.
type Rows<'p> = (Part, &'p [usize]);

/// What two parts share.
struct Shared {
    /// How many different keys.
    keys: usize,
    /// The earlier part and how many of its rows are concerned.
    left: (Part, usize),
    /// The later one.
    right: (Part, usize),
    /// The first pairs.
    rows: Vec<(usize, usize)>,
}

fn shared_keys<K: Eq + Hash>(keys: &[K], left: Rows<'_>, right: Rows<'_>) -> Option<Shared> {
    let mut first_left = HashMap::new();
    for &row in left.1 {
        first_left.entry(&keys[row]).or_insert(row);
    }
    let mut found = HashSet::new();
    let (mut right_rows, mut rows) = (0, Vec::new());
    for &row in right.1 {
        if let Some(&other) = first_left.get(&keys[row]) {
            right_rows += 1;
            if found.insert(&keys[row]) && rows.len() < SAMPLE {
                rows.push((other, row));
            }
        }
    }
    let left_rows = left.1.iter().filter(|&&row| found.contains(&keys[row])).count();
    let shared = Shared { keys: found.len(), left: (left.0, left_rows), right: (right.0, right_rows), rows };
    (shared.keys > 0).then_some(shared)
}

/// Times are not NaN here, so they have a latest.
fn overlap<T: Copy + PartialOrd>(
    column: &Column<'_>,
    times: &[T],
    earlier: Rows<'_>,
    later: Rows<'_>,
) -> Option<Leak> {
    let latest = earlier.1.iter().copied().reduce(|a, b| if times[b] > times[a] { b } else { a })?;
    let first = later.1.iter().copied().reduce(|a, b| if times[b] < times[a] { b } else { a })?;
    let early: Vec<usize> = later.1.iter().copied().filter(|&row| times[row] <= times[latest]).collect();
    let late = earlier.1.iter().filter(|&&row| times[row] >= times[first]).count();
    if early.is_empty() {
        return None;
    }
    let verb = if early.len() == 1 { "is" } else { "are" };
    let message = format!(
        "column `{}`: {} of {} {verb} not later than the last of {} ({}, row {}); first row {} ({})",
        quote(column.name()),
        count(early.len(), "row"),
        later.0,
        earlier.0,
        shown(column, latest),
        latest + 1,
        early[0] + 1,
        shown(column, early[0])
    );
    let rows = early.iter().take(SAMPLE).map(|&row| (latest, row)).collect();
    let shared = Shared { keys: early.len(), left: (earlier.0, late), right: (later.0, early.len()), rows };
    Some(Leak::new(LeakKind::TimeOverlap, Some(column.name()), &shared, message))
}

/// A value that is neither missing nor NaN.
fn known<'c>(column: &'c Column<'_>, row: usize) -> Result<Cell<'c>> {
    let what = match cell(column, row) {
        Cell::Missing => "is missing",
        Cell::Nan => "is NaN",
        known => return Ok(known),
    };
    let message = format!("column `{}`, row {}: the value {what}", quote(column.name()), row + 1);
    Err(Error::invalid(OP, "column", message).with("column", column.name()).with("row", row + 1))
}

fn count(n: usize, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}

fn at(left: Part, right: Part, rows: Option<&(usize, usize)>) -> String {
    rows.map(|(a, b)| format!("in {left} row {} and {right} row {}", a + 1, b + 1)).unwrap_or_default()
}

/// One leak between two parts.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Leak {
    /// What leaks.
    pub kind: LeakKind,
    /// The column; `None` for whole rows.
    pub column: Option<String>,
    /// The part it leaks from, and how many of its rows are concerned.
    pub from: (Part, usize),
    /// The part it leaks into, and how many of its rows are concerned.
    pub into: (Part, usize),
    /// How many different ids, groups or rows are shared; for times, how many rows of the later part are too early.
    pub keys: usize,
    /// The first pairs of rows, one on each side, at most 20, counted from 0 in the table that was split.
    pub rows: Vec<(usize, usize)>,
    /// What happened, in one sentence; rows of the table counted from 1.
    pub message: String,
}

impl Leak {
    fn new(kind: LeakKind, column: Option<&str>, shared: &Shared, message: String) -> Self {
        Self {
            kind,
            column: column.map(str::to_owned),
            from: shared.left,
            into: shared.right,
            keys: shared.keys,
            rows: shared.rows.clone(),
            message,
        }
    }
}

/// What came of looking for leaks.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LeakageReport {
    /// The version of this report's shape: 1.
    pub schema_version: u32,
    /// What was looked for; what is not listed is not known to be clean.
    pub checked: Vec<LeakKind>,
    /// What was found.
    pub leaks: Vec<Leak>,
}

impl LeakageReport {
    fn add(&mut self, kind: LeakKind, leaks: Vec<Leak>) {
        self.checked.push(kind);
        self.leaks.extend(leaks);
    }

    /// Whether nothing was found of what was looked for.
    pub fn is_clean(&self) -> bool {
        self.leaks.is_empty()
    }

    /// Turns leaks into an error.
    ///
    /// # Errors
    /// [`ErrorKind::Rejected`] with every leak in words: how many, and the first row on each side.
    pub fn require_clean(&self) -> Result<()> {
        if self.is_clean() {
            return Ok(());
        }
        let all: Vec<&str> = self.leaks.iter().map(|leak| leak.message.as_str()).collect();
        let message = format!("the split leaks: {}", all.join("; "));
        Err(Error::new(ErrorKind::Rejected, "LeakageReport::require_clean", message))
    }
}

impl fmt::Display for LeakageReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {} checked", count(self.leaks.len(), "leak"), count(self.checked.len(), "kind"))?;
        self.leaks.iter().try_for_each(|leak| write!(f, "\n{}", leak.message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Fractions, Split, Validity};
    use proptest::prelude::*;

    fn one(column: Column<'static>) -> Table<'static> {
        Table::new(vec![column]).unwrap()
    }

    fn halves(rows: usize) -> Partition {
        Partition::predefined(rows, (0..rows / 2).collect(), None, (rows / 2..rows).collect()).unwrap()
    }

    #[test]
    fn equal_rows_are_found_by_value_not_by_their_bits_or_their_text() {
        let leaks = |column: Column<'static>| {
            let table = one(column);
            let split = halves(table.rows());
            LeakageInput::new(&table, &split).check().unwrap().leaks.len()
        };
        assert_eq!(leaks(Column::f64("x", vec![0.0, -0.0]).unwrap()), 1);
        assert_eq!(leaks(Column::f64("x", vec![f64::NAN, -f64::NAN]).unwrap()), 1);
        assert_eq!(leaks(Column::optional_text("x", [None::<&str>, None]).unwrap()), 1);
        assert_eq!(leaks(Column::optional_text("x", [None, Some("")]).unwrap()), 0);
        let values = Values::F64(vec![f64::NAN, f64::NAN].into());
        let half = Some(Validity::from_bools(&[true, false]));
        assert_eq!(leaks(Column::new("x", values, half).unwrap()), 0);
        assert_eq!(leaks(Column::i64("x", vec![1 << 53, (1 << 53) + 1]).unwrap()), 0);
    }

    #[test]
    fn cells_that_read_the_same_when_joined_are_different_rows() {
        let table = Table::new(vec![
            Column::text("a", ["ab", "a", "1", "x,y"]).unwrap(),
            Column::text("b", ["c", "bc", "1,1", "z"]).unwrap(),
        ])
        .unwrap();
        let split = halves(4);
        assert!(LeakageInput::new(&table, &split).check().unwrap().is_clean());
    }

    #[test]
    fn every_pair_of_parts_is_compared_and_every_leak_reported() {
        use LeakKind::{DuplicateRow, SharedId, TimeOverlap};
        use Part::{Test, Train, Validation};
        let table = Table::new(vec![
            Column::text("id", ["a", "b", "a", "c", "b", "a"]).unwrap(),
            Column::f64("x", vec![1.0, 2.0, 3.0, 1.0, 5.0, 1.0]).unwrap(),
        ])
        .unwrap();
        let split = Partition::predefined(6, vec![0, 1], Some(vec![2, 3]), vec![4, 5]).unwrap();
        let report = LeakageInput::new(&table, &split).with_id("id").with_time("x").check().unwrap();
        assert_eq!(report.checked, [DuplicateRow, SharedId, TimeOverlap]);
        let found: Vec<(LeakKind, Part, usize, Part, usize, usize)> =
            report.leaks.iter().map(|l| (l.kind, l.from.0, l.from.1, l.into.0, l.into.1, l.keys)).collect();
        assert_eq!(
            found,
            [
                (DuplicateRow, Train, 1, Validation, 1, 1),
                (DuplicateRow, Train, 1, Test, 1, 1),
                (DuplicateRow, Validation, 1, Test, 1, 1),
                (SharedId, Train, 1, Validation, 1, 1),
                (SharedId, Train, 2, Test, 2, 2),
                (SharedId, Validation, 1, Test, 1, 1),
                (TimeOverlap, Train, 2, Validation, 1, 1),
                (TimeOverlap, Train, 2, Test, 1, 1),
                (TimeOverlap, Validation, 2, Test, 1, 1),
            ]
        );
        let error = report.require_clean().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Rejected);
        for part in [
            "1 distinct row: 1 row of train equal 1 row of validation; first in train row 1 and validation row 4",
            "column `id`: 2 ids are in both train (2 rows) and test (2 rows); first \"b\" in train row 2 and test row 5",
            "column `x`: 1 row of test is not later than the last of train (2, row 2); first row 6 (1)",
        ] {
            assert!(error.message().contains(part), "{error}");
        }
    }

    #[test]
    fn an_equal_time_is_a_leak_and_a_later_one_is_none() {
        for (times, leaks) in [(vec![1, 2, 2, 3], 1), (vec![1, 2, 3, 4], 0), (vec![3, 4, 1, 2], 1)] {
            let table = one(Column::i64("t", times).unwrap());
            let split = halves(4);
            let report =
                LeakageInput::new(&table, &split).with_features(["t"]).with_time("t").check().unwrap();
            let found = report.leaks.iter().filter(|l| l.kind == LeakKind::TimeOverlap).count();
            assert_eq!(found, leaks, "{report}");
        }
    }

    #[test]
    fn what_cannot_be_checked_is_an_error_not_clean() {
        let table = Table::new(vec![
            Column::optional_text("id", [Some("a"), None]).unwrap(),
            Column::f64("t", vec![1.0, f64::NAN]).unwrap(),
            Column::text("day", ["mon", "tue"]).unwrap(),
        ])
        .unwrap();
        let split = halves(2);
        let input = || LeakageInput::new(&table, &split);
        for (input, message) in [
            (input().with_id("id"), "column `id`, row 2: the value is missing"),
            (input().with_group("id"), "column `id`, row 2: the value is missing"),
            (input().with_time("t"), "column `t`, row 2: the value is NaN"),
            (input().with_time("day"), "must hold numbers or times"),
            (input().with_group("nope"), "no such column"),
            (input().with_features(Vec::<String>::new()), "no column is left"),
        ] {
            let error = input.check().unwrap_err();
            assert!(error.message().contains(message), "{error}");
        }
        let only_id = one(Column::text("id", ["a", "b"]).unwrap());
        assert!(LeakageInput::new(&only_id, &split).with_id("id").check().is_err());
        let longer = one(Column::text("id", ["a", "b", "c"]).unwrap());
        assert!(LeakageInput::new(&longer, &split).check().is_err());
    }

    #[test]
    fn the_sample_is_bounded_and_the_count_is_not() {
        let table = one(Column::i64("x", (0..100).chain(0..100).collect::<Vec<_>>()).unwrap());
        let split = halves(200);
        let report = LeakageInput::new(&table, &split).check().unwrap();
        assert_eq!((report.leaks[0].keys, report.leaks[0].rows.len()), (100, 20));
        let text = serde_json::to_string(&report).unwrap();
        assert_eq!(serde_json::from_str::<LeakageReport>(&text).unwrap(), report);
    }

    /// A table where every row differs in id, group and feature, with time going up.
    fn clean(rows: i64) -> [Vec<i64>; 4] {
        [
            (0..rows).collect(),
            (0..rows).map(|i| i + 1_000).collect(),
            (0..rows).collect(),
            (0..rows).collect(),
        ]
    }

    fn check(columns: &[Vec<i64>; 4], split: &Partition) -> LeakageReport {
        let named = ["id", "group", "time", "x"].iter().zip(columns);
        let columns = named.map(|(name, values)| Column::i64(*name, values.clone()).unwrap()).collect();
        let table = Table::new(columns).unwrap();
        LeakageInput::new(&table, split)
            .with_id("id")
            .with_group("group")
            .with_time("time")
            .with_features(["x"])
            .check()
            .unwrap()
    }

    proptest! {
        #[test]
        fn clean_splits_are_clean(rows in 20_i64..100, seed: u64) {
            let columns = clean(rows);
            let table = one(Column::i64("time", columns[2].clone()).unwrap());
            let fractions = Fractions::validation_test(0.2, 0.2).unwrap();
            let split = Split::time("time", fractions).apply(&table).unwrap();
            prop_assert!(check(&columns, &split).is_clean());
            let split = Split::holdout(fractions, seed).apply(&table).unwrap();
            let kinds: HashSet<LeakKind> = check(&columns, &split).leaks.iter().map(|l| l.kind).collect();
            prop_assert!(kinds.iter().all(|kind| *kind == LeakKind::TimeOverlap));
        }

        #[test]
        fn every_planted_leak_is_found(rows in 20_i64..100, what in 0_usize..4, a: usize, b: usize) {
            let mut columns = clean(rows);
            let table = one(Column::i64("time", columns[2].clone()).unwrap());
            let split = Split::time("time", Fractions::validation_test(0.2, 0.2).unwrap()).apply(&table).unwrap();
            let from = split.train()[a % split.train().len()];
            let into = split.test()[b % split.test().len()];
            let kind = [LeakKind::SharedId, LeakKind::SharedGroup, LeakKind::TimeOverlap, LeakKind::DuplicateRow];
            // A copied time lies before all of validation too, so it leaks from both earlier parts.
            columns[what][into] = columns[what][from];
            let report = check(&columns, &split);
            let leaks: Vec<&Leak> = report.leaks.iter().collect();
            prop_assert_eq!(leaks.len(), if what == 2 { 2 } else { 1 });
            for leak in leaks {
                prop_assert_eq!(leak.kind, kind[what]);
                prop_assert_eq!(leak.keys, 1);
                prop_assert_eq!(leak.rows[0].1, into);
            }
            if what != 2 {
                prop_assert_eq!(report.leaks[0].rows[0], (from, into));
            }
        }
    }
}
