//! What is remembered of one column.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::data::{Column, DataType, Values};

use super::distinct::{Countable, Different, Registers};
use super::hash;
use super::moments::{Block, Moments};
use super::sample::kept;

/// Rows that are looked at together.
pub(super) const BLOCK: usize = 4_096;

#[derive(Clone, Debug)]
pub(super) struct State {
    pub(super) name: String,
    pub(super) data_type: DataType,
    pub(super) rows: u64,
    pub(super) missing: u64,
    pub(super) numbers: Numbers,
    pub(super) times: Option<(i64, i64)>,
    pub(super) texts: Texts,
    pub(super) words: Different<u64>,
    pub(super) labels: Different<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Numbers {
    pub(super) nan: u64,
    pub(super) infinite: [u64; 2],
    pub(super) zeros: u64,
    pub(super) negative: u64,
    pub(super) range: Option<(f64, f64)>,
    /// The first finite value.
    origin: Option<f64>,
    pub(super) moments: Moments,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Texts {
    pub(super) count: u64,
    pub(super) shortest: u64,
    pub(super) longest: u64,
    pub(super) total: u64,
    pub(super) empty: u64,
}

impl Texts {
    /// Whether these can be the texts of a column with so many values.
    pub(super) fn are_of(&self, count: u64) -> bool {
        self.count <= count && self.empty <= self.count && self.shortest <= self.longest
    }

    fn add(&mut self, length: u64, times: u64) {
        self.shortest = if self.count == 0 { length } else { self.shortest.min(length) };
        self.longest = self.longest.max(length);
        self.count += times;
        self.total = self.total.saturating_add(length.saturating_mul(times));
        self.empty += if length == 0 { times } else { 0 };
    }

    fn merge(&mut self, other: &Self) {
        if other.count == 0 {
            return;
        }
        self.shortest = if self.count == 0 { other.shortest } else { self.shortest.min(other.shortest) };
        self.longest = self.longest.max(other.longest);
        self.count += other.count;
        self.total = self.total.saturating_add(other.total);
        self.empty += other.empty;
    }
}

impl State {
    pub(super) fn new(name: &str, data_type: DataType) -> Self {
        Self {
            name: name.to_owned(),
            data_type,
            rows: 0,
            missing: 0,
            numbers: Numbers::default(),
            times: None,
            texts: Texts::default(),
            words: Different::new(),
            labels: Different::new(),
        }
    }

    /// Looks at a batch. Of a numeric column, its blocks are handed to `each`, in order.
    pub(super) fn push(&mut self, column: &Column<'_>, limit: usize, mut each: impl FnMut(usize, Block)) {
        self.rows += column.len() as u64;
        self.missing += column.missing() as u64;
        match column.values() {
            Values::F64(v) => self.floats(column, |row| v.get(row).copied(), limit, each),
            Values::F32(v) => self.floats(column, |row| v.get(row).map(|x| f64::from(*x)), limit, each),
            Values::I64(v) => self.integers(column, v, limit, &mut each),
            Values::Bool(v) => {
                let truths =
                    v.iter().enumerate().filter(|(row, x)| **x && column.is_valid(*row)).count() as u64;
                let lies = (column.len() - column.missing()) as u64 - truths;
                for (bit, times) in [(0_u64, lies), (1, truths)].into_iter().filter(|(_, times)| *times > 0) {
                    self.words.add(&bit, times, limit, || bit.hash64(), || bit);
                }
            }
            Values::Time(v) => {
                for (row, time) in v.iter().enumerate().filter(|(row, _)| column.is_valid(*row)) {
                    let _ = row;
                    let (low, high) = self.times.unwrap_or((*time, *time));
                    self.times = Some((low.min(*time), high.max(*time)));
                    let bits = time.cast_unsigned();
                    self.words.add(&bits, 1, limit, || bits.hash64(), || bits);
                }
            }
            Values::Category { codes, levels } => self.categories(column, codes, levels, limit),
        }
    }

    fn floats(
        &mut self,
        column: &Column<'_>,
        value: impl Fn(usize) -> Option<f64>,
        limit: usize,
        mut each: impl FnMut(usize, Block),
    ) {
        for (at, start) in (0..column.len()).step_by(BLOCK).enumerate() {
            let rows = start..column.len().min(start + BLOCK);
            let mut values = Vec::with_capacity(rows.len());
            let mut there = Vec::with_capacity(rows.len());
            for row in rows {
                let value = value(row).filter(|_| column.is_valid(row));
                let Some(value) = value else {
                    values.push(f64::NAN);
                    continue;
                };
                if value.is_nan() {
                    self.numbers.nan += 1;
                } else {
                    let bits = hash::float_bits(value);
                    self.words.add(&bits, 1, limit, || bits.hash64(), || bits);
                }
                if value.is_infinite() {
                    self.numbers.infinite[usize::from(value < 0.0)] += 1;
                }
                if value.is_finite() {
                    values.push(value);
                    there.push(value);
                } else {
                    values.push(f64::NAN);
                }
            }
            self.numbers.add(&there);
            let holes = there.len() < values.len();
            each(at, Block::new(values, holes, self.numbers.origin.unwrap_or(0.0)));
        }
    }

    fn integers(
        &mut self,
        column: &Column<'_>,
        v: &[i64],
        limit: usize,
        each: &mut impl FnMut(usize, Block),
    ) {
        for (at, start) in (0..v.len()).step_by(BLOCK).enumerate() {
            let chunk = v.get(start..v.len().min(start + BLOCK)).unwrap_or_default();
            let mut values = Vec::with_capacity(chunk.len());
            let mut there = Vec::with_capacity(chunk.len());
            for (row, value) in chunk.iter().enumerate() {
                if column.is_valid(start + row) {
                    let bits = value.cast_unsigned();
                    self.words.add(&bits, 1, limit, || bits.hash64(), || bits);
                    values.push(*value as f64);
                    there.push(*value as f64);
                } else {
                    values.push(f64::NAN);
                }
            }
            self.numbers.add(&there);
            let holes = there.len() < values.len();
            each(at, Block::new(values, holes, self.numbers.origin.unwrap_or(0.0)));
        }
    }

    fn categories(&mut self, column: &Column<'_>, codes: &[u32], levels: &[String], limit: usize) {
        // Only levels that some row has; a dictionary may be much larger than a batch.
        let mut counts: HashMap<u32, u64> = HashMap::new();
        for (_, code) in codes.iter().enumerate().filter(|(row, _)| column.is_valid(*row)) {
            *counts.entry(*code).or_default() += 1;
        }
        for (code, times) in counts {
            let Some(level) = usize::try_from(code).ok().and_then(|code| levels.get(code)) else { continue };
            self.texts.add(level.chars().count() as u64, times);
            let level = kept(level);
            self.labels.add(
                level.as_ref(),
                times,
                limit,
                || hash::text(&level),
                || level.clone().into_owned(),
            );
        }
    }

    pub(super) fn merge(&mut self, other: &Self, limit: usize) {
        self.rows += other.rows;
        self.missing += other.missing;
        self.numbers.merge(&other.numbers);
        self.times = match (self.times, other.times) {
            (Some((low, high)), Some((l, h))) => Some((low.min(l), high.max(h))),
            (mine, theirs) => mine.or(theirs),
        };
        self.texts.merge(&other.texts);
        self.words.merge(&other.words, limit);
        self.labels.merge(&other.labels, limit);
    }

    /// How many different values there are, and whether they were counted.
    pub(super) fn distinct(&self) -> (u64, bool) {
        #[expect(clippy::cast_sign_loss, reason = "an estimate is not negative")]
        let estimated = |registers: &Registers| (registers.estimate().round() as u64, false);
        match (&self.words, &self.labels) {
            (Different::Estimated(registers), _) | (_, Different::Estimated(registers)) => {
                estimated(registers)
            }
            (Different::Counted(words), Different::Counted(labels)) => {
                ((words.len() + labels.len()) as u64, true)
            }
        }
    }
}

impl Numbers {
    /// Whether these can be the numbers of a column with so many values.
    pub(super) fn are_of(&self, count: u64) -> bool {
        let finite = self.moments.n;
        let others = [self.nan, self.infinite[0], self.infinite[1]].map(u128::from).iter().sum::<u128>();
        let some = finite > 0.0;
        finite >= 0.0
            && finite.fract() == 0.0
            && finite + others as f64 <= count as f64
            && self.zeros as f64 <= finite
            && self.negative <= count
            && self.range.is_some() == some
            && self.origin.is_some() == some
            && self.range.is_none_or(|(low, high)| low <= high && low.is_finite() && high.is_finite())
    }

    fn add(&mut self, values: &[f64]) {
        for value in values {
            self.zeros += u64::from(*value == 0.0);
            self.negative += u64::from(*value < 0.0);
            let (low, high) = self.range.unwrap_or((*value, *value));
            self.range = Some((low.min(*value), high.max(*value)));
        }
        if let Some(first) = values.first() {
            let origin = *self.origin.get_or_insert(*first);
            self.moments.merge(&Moments::of(values, origin));
        }
    }

    fn merge(&mut self, other: &Self) {
        self.nan += other.nan;
        self.infinite[0] += other.infinite[0];
        self.infinite[1] += other.infinite[1];
        self.zeros += other.zeros;
        self.negative += other.negative;
        self.range = match (self.range, other.range) {
            (Some((low, high)), Some((l, h))) => Some((low.min(l), high.max(h))),
            (mine, theirs) => mine.or(theirs),
        };
        self.origin = self.origin.or(other.origin);
        self.moments.merge(&other.moments);
    }
}
