//! What a validator remembers, in memory and as it is written.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::data::cell::{cell, shown};
use crate::data::{DataType, Table, Values};
use crate::error::{Error, Result};

use super::aggregate::{Aggregate, AggregateWire};
use super::checks::Check;
use super::expectation::Expectation;
use super::expectations::Expectations;
use super::keys::{KeyReader, KeySet, KeyWords};
use super::options::ValidateOptions;
use super::report::{Combination, Sample};
use super::rule::Rule;
use super::validator::{MAX_COMBINATIONS, Validator};

/// What the columns alone say about a rule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Shape {
    Fail(String),
    Unknown(String),
    Skipped,
}

impl Shape {
    pub(super) fn message(&self) -> Option<&str> {
        match self {
            Self::Fail(message) | Self::Unknown(message) => Some(message),
            Self::Skipped => None,
        }
    }
}

/// The only value of a column so far.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Only {
    key: [u64; 2],
    pub(super) shown: String,
}

/// What is known of one rule.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    pub(super) shape: Option<Shape>,
    pub(super) evaluated: u64,
    pub(super) failed: u64,
    pub(super) samples: Vec<Sample>,
    pub(super) keys: Option<KeySet>,
    /// There were more keys than may be kept; from there on nothing was checked.
    pub(super) too_many_keys: bool,
    pub(super) only: Option<Only>,
    pub(super) varied: bool,
    /// The newest time, in microseconds.
    pub(super) newest: Option<i64>,
    pub(super) aggregate: Option<Aggregate>,
}

impl Tally {
    /// The rows of a word whose key came before, among the valid ones.
    pub(super) fn repeats(
        &mut self,
        reader: &KeyReader<'_>,
        start: usize,
        valid: u64,
        max_keys: u64,
        buffer: &mut Vec<u8>,
    ) -> u64 {
        if self.too_many_keys {
            return 0;
        }
        let set = self.keys.get_or_insert_with(|| reader.set());
        let (mut word, mut left) = (0, valid);
        if valid == u64::MAX && reader.count_on(set, start) {
            left = 0;
        }
        while left != 0 {
            let bit = left.trailing_zeros();
            left &= left - 1;
            if !set.insert(reader.key(start + bit as usize, buffer)) {
                word |= 1 << bit;
            }
        }
        // 64 rows too many do no harm; to ask at each would.
        if set.kept() > max_keys {
            (self.keys, self.too_many_keys) = (None, true);
        }
        word
    }

    /// Counts the rows of a block that break the rule, and keeps the first of them.
    pub(super) fn note(
        &mut self,
        check: &Check<'_>,
        rows: &std::ops::Range<usize>,
        mask: &[u64],
        first_row: u64,
        options: &ValidateOptions,
    ) {
        // One is kept for the sentence also when none is to be listed.
        let limit = options.sample_limit().max(1);
        for (at, word) in mask.iter().enumerate() {
            self.failed += u64::from(word.count_ones());
            let mut left = *word;
            while left != 0 && self.samples.len() < limit {
                let row = rows.start + at * 64 + left.trailing_zeros() as usize;
                left &= left - 1;
                let value = if options.values { value(check, row) } else { None };
                self.samples.push(Sample { row: first_row + row as u64, value });
            }
        }
    }

    fn merge(&mut self, other: &Self, first_row: u64, options: &ValidateOptions) -> u64 {
        self.evaluated += other.evaluated;
        self.failed += other.failed;
        let room = options.sample_limit().max(1).saturating_sub(self.samples.len());
        let moved = |sample: &Sample| Sample { row: sample.row + first_row, ..sample.clone() };
        self.samples.extend(other.samples.iter().take(room).map(moved));
        self.varied |= other.varied;
        match (&self.only, &other.only) {
            (Some(mine), Some(theirs)) => self.varied |= mine.key != theirs.key,
            (None, theirs) => self.only.clone_from(theirs),
            _ => {}
        }
        self.newest = self.newest.max(other.newest);
        match (&mut self.aggregate, &other.aggregate) {
            (Some(mine), Some(theirs)) => mine.merge(theirs, options.max_keys),
            (None, theirs) => self.aggregate.clone_from(theirs),
            _ => {}
        }
        self.too_many_keys |= other.too_many_keys;
        let common = match (&mut self.keys, &other.keys) {
            (Some(mine), Some(theirs)) => mine.merge(theirs),
            (None, Some(theirs)) => {
                self.keys = Some(theirs.clone());
                0
            }
            _ => 0,
        };
        self.failed += common;
        if self.too_many_keys || self.keys.as_ref().is_some_and(|keys| keys.kept() > options.max_keys) {
            (self.keys, self.too_many_keys) = (None, true);
        }
        common
    }
}

/// The value by which a row breaks a rule.
fn value(check: &Check<'_>, row: usize) -> Option<String> {
    let columns = match check {
        Check::Nothing | Check::Missing(_) => return None,
        Check::Mask { columns, .. } => columns.as_slice(),
        Check::Unique(reader) => reader.columns(),
        Check::Readable(reading) => return reading.describe(row, true),
    };
    let values: Vec<String> = columns.iter().map(|column| shown(column, row)).collect();
    Some(values.join(", "))
}

/// What is known of all rules.
#[derive(Clone, Debug)]
pub(super) struct State {
    pub(super) columns: Option<Vec<(String, DataType)>>,
    pub(super) rows: u64,
    pub(super) bad_rows: u64,
    pub(super) tallies: Vec<Tally>,
    pub(super) combinations: BTreeMap<Vec<usize>, u64>,
    pub(super) other_combinations: u64,
    pub(super) unplaced: u64,
}

impl State {
    pub(super) fn new(rules: usize) -> Self {
        Self {
            columns: None,
            rows: 0,
            bad_rows: 0,
            tallies: vec![Tally::default(); rules],
            combinations: BTreeMap::new(),
            other_combinations: 0,
            unplaced: 0,
        }
    }

    pub(super) fn count_combination(&mut self, rules: &[usize], rows: u64) {
        if let Some(count) = self.combinations.get_mut(rules) {
            *count += rows;
        } else if self.combinations.len() < MAX_COMBINATIONS {
            self.combinations.insert(rules.to_vec(), rows);
        } else {
            self.other_combinations += rows;
        }
    }

    pub(super) fn combinations(&self, names: &[String]) -> Vec<Combination> {
        let name = |rule: &usize| names.get(*rule).cloned().unwrap_or_default();
        let combination = |(rules, rows): (&Vec<usize>, &u64)| Combination {
            rules: rules.iter().map(name).collect(),
            rows: *rows,
        };
        self.combinations.iter().map(combination).collect()
    }

    pub(super) fn merge(&mut self, other: &Self, options: &ValidateOptions) {
        for (mine, theirs) in self.tallies.iter_mut().zip(&other.tallies) {
            self.unplaced += mine.merge(theirs, self.rows, options);
        }
        self.unplaced += other.unplaced;
        self.bad_rows += other.bad_rows;
        self.rows += other.rows;
        other.combinations.iter().for_each(|(rules, rows)| self.count_combination(rules, *rows));
        self.other_combinations += other.other_combinations;
    }
}

/// What rules about whole columns see of a batch.
pub(super) fn see_columns(
    state: &mut State,
    expectations: &[Expectation],
    options: &ValidateOptions,
    batch: &Table<'_>,
) {
    for (tally, expectation) in state.tallies.iter_mut().zip(expectations) {
        if tally.shape.is_some() {
            continue;
        }
        match &expectation.rule {
            Rule::NotConstant { column } => {
                if let Some(column) = batch.get(column) {
                    tally.evaluated += (column.len() - column.missing()) as u64;
                    see_values(tally, column);
                }
            }
            Rule::Fresh { column, .. } => {
                if let Some((column, Values::Time(times))) = batch.get(column).map(|c| (c, c.values())) {
                    let there = times.iter().enumerate().filter(|(row, _)| column.is_valid(*row));
                    let newest = there.map(|(_, time)| *time).max();
                    tally.evaluated += (column.len() - column.missing()) as u64;
                    tally.newest = tally.newest.max(newest);
                }
            }
            Rule::Aggregate { column, statistic, .. } => {
                if let Some(column) = batch.get(column) {
                    tally.evaluated += (column.len() - column.missing()) as u64;
                    let aggregate = tally.aggregate.get_or_insert_with(|| Aggregate::new(*statistic));
                    aggregate.see(column, options.max_keys);
                }
            }
            _ => {}
        }
    }
}

fn see_values(tally: &mut Tally, column: &crate::data::Column<'_>) {
    if tally.varied {
        return;
    }
    let mut there = (0..column.len()).filter(|row| column.is_valid(*row));
    let Some(first) = there.next() else { return };
    let value = cell(column, first);
    if there.any(|row| cell(column, row) != value) {
        tally.varied = true;
        return;
    }
    let key = KeyReader::new(vec![column]).key(first, &mut Vec::new());
    let key = [(key >> 64) as u64, (key & u128::from(u64::MAX)) as u64];
    match &tally.only {
        Some(only) => tally.varied = only.key != key,
        None => tally.only = Some(Only { key, shown: shown(column, first) }),
    }
}

/// What a [`Validator`] remembers, to be written and read again: on another machine, or after a restart.
///
/// Other tables are not part of it; make them known again. Keys of [`Rule::Unique`] and the values of a
/// [distinct count](super::Statistic::Distinct) are, with about 20 or 40 characters each in JSON; those that follow each other
/// (1, 2, 3) are one. So are the values that a quantile is computed of, with about 40 characters each.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ValidatorState {
    schema_version: u32,
    expectations: Expectations,
    options: ValidateOptions,
    columns: Option<Vec<(String, DataType)>>,
    rows: u64,
    bad_rows: u64,
    tallies: Vec<TallyWire>,
    combinations: Vec<(Vec<usize>, u64)>,
    other_combinations: u64,
    unplaced: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TallyWire {
    shape: Option<Shape>,
    evaluated: u64,
    failed: u64,
    samples: Vec<Sample>,
    keys: Option<KeyWords>,
    too_many_keys: bool,
    only: Option<Only>,
    varied: bool,
    newest: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    aggregate: Option<AggregateWire>,
}

impl From<&Tally> for TallyWire {
    fn from(tally: &Tally) -> Self {
        Self {
            shape: tally.shape.clone(),
            evaluated: tally.evaluated,
            failed: tally.failed,
            samples: tally.samples.clone(),
            keys: tally.keys.as_ref().map(KeySet::to_words),
            too_many_keys: tally.too_many_keys,
            only: tally.only.clone(),
            varied: tally.varied,
            newest: tally.newest,
            aggregate: tally.aggregate.as_ref().map(AggregateWire::from),
        }
    }
}

impl TallyWire {
    /// The tally of this rule that was written, of so many rows; `None` for keys and values that no tally has.
    fn tally(self, rule: &Rule, rows: u64) -> Option<Tally> {
        let aggregate = match (self.aggregate, rule) {
            (None, _) => None,
            (Some(wire), Rule::Aggregate { statistic, .. }) => Some(wire.aggregate(*statistic, rows)?),
            (Some(_), _) => return None,
        };
        let keys = match &self.keys {
            Some(words) => Some(KeySet::from_words(words)?),
            None => None,
        };
        Some(Tally {
            shape: self.shape,
            evaluated: self.evaluated,
            failed: self.failed,
            samples: self.samples,
            keys,
            too_many_keys: self.too_many_keys,
            only: self.only,
            varied: self.varied,
            newest: self.newest,
            aggregate,
        })
    }
}

impl Validator {
    /// What it remembers. O(keys log keys).
    ///
    /// ```
    /// use mlops_core::data::{Column, Expectation, Expectations, Table, ValidateOptions, Validator, ValidatorState};
    ///
    /// let expected = Expectations::new(vec![Expectation::unique(["id"])])?;
    /// let mut validator = Validator::new(&expected, ValidateOptions::default());
    /// validator.push(&Table::new(vec![Column::i64("id", vec![1, 2])?])?)?;
    /// let written = serde_json::to_string(&validator.state())?;
    ///
    /// let mut again = Validator::resume(serde_json::from_str::<ValidatorState>(&written)?)?;
    /// let split = again.push(&Table::new(vec![Column::i64("id", vec![2])?])?)?;
    /// assert_eq!((split.first_row(), split.bad()), (2, &[0][..]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn state(&self) -> ValidatorState {
        let State { columns, rows, bad_rows, tallies, combinations, other_combinations, unplaced } =
            &self.state;
        ValidatorState {
            schema_version: 1,
            // They were checked when this validator was made of them.
            expectations: Expectations::checked(self.expectations.to_vec()),
            options: self.options.clone(),
            columns: columns.clone(),
            rows: *rows,
            bad_rows: *bad_rows,
            tallies: tallies.iter().map(TallyWire::from).collect(),
            combinations: combinations.iter().map(|(rules, rows)| (rules.clone(), *rows)).collect(),
            other_combinations: *other_combinations,
            unplaced: *unplaced,
        }
    }

    /// A validator that goes on where another was.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt) for a state that no validator has: of another version, or with counts that
    /// contradict each other.
    pub fn resume(state: ValidatorState) -> Result<Self> {
        const OP: &str = "Validator::resume";
        let corrupt = |what: &str| Error::new(crate::ErrorKind::Corrupt, OP, what);
        if state.schema_version != 1 {
            return Err(
                corrupt("the state is of a version that is not known").with("version", state.schema_version)
            );
        }
        let rules = state.expectations.as_slice().len();
        if state.tallies.len() != rules {
            return Err(corrupt("the state has another number of rules than of expectations"));
        }
        let listed: u128 = state.combinations.iter().map(|(_, rows)| u128::from(*rows)).sum();
        let wrong = |t: &TallyWire| {
            t.failed > t.evaluated
                || t.evaluated > state.rows
                || t.samples.len() > ValidateOptions::MAX_SAMPLES
                || t.samples.iter().any(|sample| sample.row >= state.rows)
        };
        let beyond = state.combinations.iter().any(|(list, _)| list.iter().any(|rule| *rule >= rules));
        let many = listed + u128::from(state.other_combinations) > u128::from(state.rows);
        if state.tallies.iter().any(wrong) || beyond || many || state.bad_rows > state.rows {
            return Err(corrupt("the state's counts contradict each other"));
        }
        let written = state.tallies.into_iter().zip(state.expectations.as_slice());
        let tallies = written.map(|(wire, e)| wire.tally(&e.rule, state.rows)).collect::<Option<Vec<_>>>();
        let message = "the state has keys or values that contradict each other";
        let tallies = tallies.ok_or_else(|| corrupt(message))?;
        let mut validator = Self::new(&state.expectations, state.options);
        validator.state = State {
            columns: state.columns,
            rows: state.rows,
            bad_rows: state.bad_rows,
            tallies,
            combinations: state.combinations.into_iter().collect(),
            other_combinations: state.other_combinations,
            unplaced: state.unplaced,
        };
        Ok(validator)
    }
}
