//! Keys of rows, and sets of them that do not grow by leaps.
//!
//! A key of one column of numbers, times or truth values is its 64 bits; one of two such columns is their 128 bits; any other is the
//! first 128 bits of a SHA-256 digest of its length-prefixed values. The former two are exact; two different keys of the last
//! sort are one with a probability of n²/2¹²⁹.

use std::collections::HashSet;
use std::hash::{BuildHasher, Hasher, RandomState};

use serde::{Deserialize, Serialize};

use crate::data::cell::{Cell, cell};
use crate::data::{Column, DataType, Values};
use crate::hash::Digest;

/// How many sets a set is made of. Each grows for itself, so that the old and the new place of only one of them are held at once.
const SHARDS: usize = 64;

/// Reads the keys of a batch.
pub(super) struct KeyReader<'t> {
    columns: Vec<&'t Column<'t>>,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    One,
    Two,
    Many,
}

impl<'t> KeyReader<'t> {
    pub(super) fn new(columns: Vec<&'t Column<'t>>) -> Self {
        let words = columns.iter().all(|c| c.data_type() != DataType::Category);
        let kind = match columns.len() {
            1 if words => Kind::One,
            2 if words => Kind::Two,
            _ => Kind::Many,
        };
        Self { columns, kind }
    }

    /// An empty set for such keys.
    pub(super) fn set(&self) -> KeySet {
        if self.kind == Kind::One { KeySet::narrow() } else { KeySet::wide() }
    }

    pub(super) fn columns(&self) -> &[&'t Column<'t>] {
        &self.columns
    }

    /// Adds the keys of 64 rows, none of whose values is missing, where that takes one step: a column of whole numbers or times that
    /// count on from the largest key so far, as row numbers do. False where it does not, and then nothing has changed.
    pub(super) fn count_on(&self, set: &mut KeySet, start: usize) -> bool {
        let (Kind::One, [column], KeySet::Narrow(narrow)) = (self.kind, self.columns.as_slice(), set) else {
            return false;
        };
        let (Values::I64(values) | Values::Time(values)) = column.values() else { return false };
        match values.get(start..start + 64) {
            Some(word) => narrow.count_on(word),
            None => false,
        }
    }

    /// The key of a row, none of whose values is missing.
    pub(super) fn key(&self, row: usize, buffer: &mut Vec<u8>) -> u128 {
        let word = |at: usize| self.columns.get(at).map_or(0, |column| word(cell(column, row)));
        match self.kind {
            Kind::One => u128::from(word(0)),
            Kind::Two => u128::from(word(0)) << 64 | u128::from(word(1)),
            Kind::Many => {
                buffer.clear();
                for column in &self.columns {
                    push(cell(column, row), buffer);
                }
                let digest = Digest::of(buffer);
                digest.as_bytes().iter().take(16).fold(0, |key, byte| key << 8 | u128::from(*byte))
            }
        }
    }
}

/// The bits of a value that is not text; every NaN has the same.
fn word(cell: Cell<'_>) -> u64 {
    match cell {
        Cell::Missing | Cell::Text(_) => 0,
        Cell::Nan => f64::NAN.to_bits(),
        Cell::Float(bits) => bits,
        Cell::Integer(value) | Cell::Time(value) => value.cast_unsigned(),
        Cell::Bool(value) => u64::from(value),
    }
}

fn push(cell: Cell<'_>, buffer: &mut Vec<u8>) {
    match cell {
        Cell::Text(text) => {
            buffer.extend_from_slice(&(text.len() as u64 + 1).to_le_bytes());
            buffer.extend_from_slice(text.as_bytes());
        }
        other => {
            buffer.extend_from_slice(&0_u64.to_le_bytes());
            buffer.extend_from_slice(&word(other).to_le_bytes());
        }
    }
}

/// A hasher of words that nobody can aim at: its seed is drawn anew by every process.
#[derive(Clone, Debug)]
pub(in crate::data) struct Seed(u64);

impl Default for Seed {
    fn default() -> Self {
        Self(RandomState::new().hash_one(0_u8))
    }
}

impl BuildHasher for Seed {
    type Hasher = Fold;

    fn build_hasher(&self) -> Fold {
        Fold(self.0)
    }
}

/// Multiplies 64 bits by 64 and folds the 128 bits of the product.
#[derive(Debug)]
pub(in crate::data) struct Fold(u64);

impl Fold {
    fn mix(&mut self, word: u64) {
        let wide = u128::from(self.0 ^ word) * u128::from(0x9e37_79b9_7f4a_7c15_u64);
        let (high, low) = ((wide >> 64) as u64, (wide & u128::from(u64::MAX)) as u64);
        self.0 = high ^ low;
    }
}

impl Hasher for Fold {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let word = chunk.iter().fold(0, |word, byte| word << 8 | u64::from(*byte));
            self.mix(word);
        }
    }

    fn write_u64(&mut self, word: u64) {
        self.mix(word);
    }

    fn write_u128(&mut self, word: u128) {
        self.mix((word >> 64) as u64);
        self.mix((word & u128::from(u64::MAX)) as u64);
    }
}

type Shards<T> = Vec<HashSet<T, Seed>>;

/// Keys of 64 bits. Those that come in ascending order, as row numbers do, are kept as runs of consecutive keys: a run takes
/// 16 bytes however long it is, and needs no hash.
#[derive(Clone, Debug)]
pub(in crate::data) struct Narrow {
    /// First and last key of each run, in ascending order.
    runs: Vec<[u64; 2]>,
    /// The keys that came out of order: all of them lie below the end of the last run.
    others: Shards<u64>,
}

/// A set of keys.
#[derive(Clone, Debug)]
pub(in crate::data) enum KeySet {
    Narrow(Narrow),
    Wide(Shards<u128>),
}

fn shards<T>() -> Shards<T> {
    let seed = Seed::default();
    (0..SHARDS).map(|_| HashSet::with_hasher(seed.clone())).collect()
}

/// The set a key belongs to: any bits will do that the hash inside does not use alone.
fn shard(key: u128) -> usize {
    let folded = (key >> 64) as u64 ^ (key & u128::from(u64::MAX)) as u64;
    (folded.wrapping_mul(0xff51_afd7_ed55_8ccd) >> 58) as usize
}

fn low(key: u128) -> u64 {
    (key & u128::from(u64::MAX)) as u64
}

/// Turns the order of the bits of signed numbers into that of unsigned ones, and back.
const SIGN: u64 = 1 << 63;

impl Narrow {
    fn insert(&mut self, key: u64) -> bool {
        let key = key ^ SIGN;
        let last = self.runs.last().map(|[_, last]| *last);
        if last.is_some_and(|last| key <= last) {
            return !self.in_runs(key)
                && self.others.get_mut(shard(key.into())).is_some_and(|set| set.insert(key));
        }
        match self.runs.last_mut() {
            Some([_, last]) if key - 1 == *last => *last = key,
            _ => self.runs.push([key, key]),
        }
        true
    }

    /// Adds keys that follow each other, if the first of them follows the last key so far.
    fn count_on(&mut self, keys: &[i64]) -> bool {
        let (Some([_, last]), [first, .., end]) = (self.runs.last_mut(), keys) else { return false };
        let ordered = |key: &i64| key.cast_unsigned() ^ SIGN;
        // No branch in between, so that many are compared at once.
        let apart = keys.windows(2).fold(false, |apart, pair| match pair {
            [before, after] => apart | (before.wrapping_add(1) != *after),
            _ => apart,
        });
        if apart || first > end || last.checked_add(1) != Some(ordered(first)) {
            return false;
        }
        *last = ordered(end);
        true
    }

    /// Whether an ordered key lies in a run.
    fn in_runs(&self, key: u64) -> bool {
        let after = self.runs.partition_point(|[first, _]| *first <= key);
        after.checked_sub(1).and_then(|at| self.runs.get(at)).is_some_and(|[_, last]| key <= *last)
    }

    fn contains(&self, key: u64) -> bool {
        let key = key ^ SIGN;
        self.in_runs(key) || self.others.get(shard(key.into())).is_some_and(|set| set.contains(&key))
    }

    fn keys(&self) -> impl Iterator<Item = u64> + '_ {
        let runs = self.runs.iter().flat_map(|[first, last]| *first..=*last);
        runs.chain(self.others.iter().flatten().copied()).map(|key| key ^ SIGN)
    }
}

impl KeySet {
    fn narrow() -> Self {
        Self::Narrow(Narrow { runs: Vec::new(), others: shards() })
    }

    pub(in crate::data) fn wide() -> Self {
        Self::Wide(shards())
    }

    /// Adds a key; whether it is new.
    pub(in crate::data) fn insert(&mut self, key: u128) -> bool {
        match self {
            Self::Narrow(narrow) => narrow.insert(low(key)),
            Self::Wide(shards) => shards.get_mut(shard(key)).is_some_and(|set| set.insert(key)),
        }
    }

    pub(super) fn contains(&self, key: u128) -> bool {
        match self {
            Self::Narrow(narrow) => narrow.contains(low(key)),
            Self::Wide(shards) => shards.get(shard(key)).is_some_and(|set| set.contains(&key)),
        }
    }

    /// How many keys are kept; a run counts as one.
    pub(in crate::data) fn kept(&self) -> u64 {
        match self {
            Self::Narrow(narrow) => {
                narrow.runs.len() as u64 + narrow.others.iter().map(|set| set.len() as u64).sum::<u64>()
            }
            Self::Wide(shards) => shards.iter().map(|set| set.len() as u64).sum(),
        }
    }

    /// How many keys there are.
    pub(super) fn count(&self) -> u128 {
        match self {
            Self::Narrow(narrow) => {
                let of_run = |[first, last]: &[u64; 2]| u128::from(last - first) + 1;
                let others = narrow.others.iter().map(|set| set.len() as u128);
                narrow.runs.iter().map(of_run).chain(others).sum()
            }
            Self::Wide(shards) => shards.iter().map(|set| set.len() as u128).sum(),
        }
    }

    fn keys(&self) -> Box<dyn Iterator<Item = u128> + '_> {
        match self {
            Self::Narrow(narrow) => Box::new(narrow.keys().map(u128::from)),
            Self::Wide(shards) => Box::new(shards.iter().flatten().copied()),
        }
    }

    /// Adds all keys of another set; how many were there already.
    pub(in crate::data) fn merge(&mut self, other: &Self) -> u64 {
        let mut common = 0;
        for key in other.keys() {
            common += u64::from(!self.insert(key));
        }
        common
    }

    /// The keys: runs as they are, the others in ascending order, each of 128 bits as two words.
    pub(in crate::data) fn to_words(&self) -> KeyWords {
        match self {
            Self::Narrow(narrow) => {
                let mut others: Vec<u64> = narrow.others.iter().flatten().copied().collect();
                others.sort_unstable();
                KeyWords::Narrow { runs: narrow.runs.clone(), others }
            }
            Self::Wide(shards) => {
                let mut keys: Vec<u128> = shards.iter().flatten().copied().collect();
                keys.sort_unstable();
                KeyWords::Wide(keys.into_iter().map(|key| [(key >> 64) as u64, low(key)]).collect())
            }
        }
    }

    /// The set that was written; `None` for what no set writes.
    pub(in crate::data) fn from_words(words: &KeyWords) -> Option<Self> {
        match words {
            KeyWords::Narrow { runs, others } => {
                let upright = runs.iter().all(|[first, last]| first <= last);
                let apart = runs.windows(2).all(|pair| matches!(pair, [[_, a], [b, _]] if a < b));
                let end = runs.last().map(|[_, last]| *last);
                let mut narrow = Narrow { runs: runs.clone(), others: shards() };
                let fits = others.iter().all(|key| {
                    Some(*key) < end
                        && !narrow.in_runs(*key)
                        && narrow.others.get_mut(shard((*key).into())).is_some_and(|set| set.insert(*key))
                });
                (upright && apart && fits).then_some(Self::Narrow(narrow))
            }
            KeyWords::Wide(keys) => {
                let mut set = Self::wide();
                let key = |[high, low]: &[u64; 2]| u128::from(*high) << 64 | u128::from(*low);
                keys.iter().all(|words| set.insert(key(words))).then_some(set)
            }
        }
    }
}

/// A set of keys as it is written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::data) enum KeyWords {
    Narrow { runs: Vec<[u64; 2]>, others: Vec<u64> },
    Wide(Vec<[u64; 2]>),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_hold_what_was_put_in_and_survive_being_written() {
        let text = Column::text("a", ["x", "xy", "x"]).unwrap();
        let more = Column::text("b", ["yz", "z", "yz"]).unwrap();
        let number = Column::i64("n", vec![1, -1, 1]).unwrap();
        let other = Column::f64("f", vec![0.0, f64::NAN, -0.0]).unwrap();
        for columns in [vec![&text, &more], vec![&number], vec![&number, &other], vec![&text, &number]] {
            let reader = KeyReader::new(columns);
            let (mut set, mut buffer) = (reader.set(), Vec::new());
            let added: Vec<bool> = (0..3).map(|row| set.insert(reader.key(row, &mut buffer))).collect();
            assert_eq!(added, [true, true, false]);
            let mut same = KeySet::from_words(&set.to_words()).unwrap();
            assert_eq!((same.kept(), same.to_words()), (2, set.to_words()));
            assert_eq!(same.merge(&set), 2);
            assert!(set.contains(reader.key(1, &mut buffer)) && !set.contains(7 << 70 | 5));
        }
    }

    #[test]
    fn keys_in_order_and_out_of_order_are_one_set() {
        // Ascending with gaps, then repetitions, what lies in the gaps, below and above, at both ends of the range.
        let keys = [5_i64, 6, 7, 20, 21, 6, 10, 10, 5, -3, 21, 22, 19, i64::MAX, i64::MIN, i64::MAX, 8];
        let (mut set, mut known) = (KeySet::narrow(), HashSet::new());
        for key in keys {
            let bits = u128::from(key.cast_unsigned());
            assert_eq!(set.insert(bits), known.insert(key), "{key}");
            assert!(set.contains(bits) && !set.contains(u128::from(99_u64)));
        }
        assert_eq!(set.keys().count(), known.len());
        let mut other = KeySet::narrow();
        assert_eq!(other.merge(&set), 0);
        assert_eq!(other.merge(&set), known.len() as u64);
        for words in [
            KeyWords::Narrow { runs: vec![[2, 1]], others: vec![] },
            KeyWords::Narrow { runs: vec![[1, 3], [3, 4]], others: vec![] },
            KeyWords::Narrow { runs: vec![[1, 3]], others: vec![2] },
            KeyWords::Narrow { runs: vec![[1, 3]], others: vec![4] },
            KeyWords::Narrow { runs: vec![], others: vec![4] },
            KeyWords::Wide(vec![[1, 1], [1, 1]]),
        ] {
            assert!(KeySet::from_words(&words).is_none(), "{words:?}");
        }
    }

    #[test]
    fn keys_that_count_on_are_added_at_once_and_change_nothing() {
        let ascending = |from: i64| (0..64).map(|i| from.wrapping_add(i)).collect::<Vec<_>>();
        let mut broken = ascending(164);
        broken[40] = 7;
        let words = [
            ascending(100),
            ascending(164),
            ascending(164),
            broken,
            ascending(227),
            ascending(300),
            ascending(-5),
            ascending(i64::MAX - 63),
            ascending(i64::MAX - 62),
            ascending(i64::MIN),
            vec![9; 64],
        ];
        for first in &words {
            for second in &words {
                let column = Column::i64("n", [first.as_slice(), second].concat()).unwrap();
                let reader = KeyReader::new(vec![&column]);
                let (mut quick, mut slow, mut buffer) = (reader.set(), reader.set(), Vec::new());
                for start in [0, 64] {
                    let mut new = 0;
                    (start..start + 64)
                        .for_each(|row| new += u64::from(slow.insert(reader.key(row, &mut buffer))));
                    if reader.count_on(&mut quick, start) {
                        assert_eq!(new, 64);
                    } else {
                        (start..start + 64).for_each(|row| _ = quick.insert(reader.key(row, &mut buffer)));
                    }
                    assert_eq!(quick.to_words(), slow.to_words(), "{first:?} {second:?}");
                }
            }
        }
        let follows =
            Column::i64("n", ascending(0).into_iter().chain(ascending(64)).collect::<Vec<_>>()).unwrap();
        let reader = KeyReader::new(vec![&follows]);
        let mut set = reader.set();
        (0..64).for_each(|row| assert!(set.insert(reader.key(row, &mut Vec::new()))));
        assert!(
            reader.count_on(&mut set, 64)
                && !reader.count_on(&mut set, 64)
                && !reader.count_on(&mut set, 100)
        );
    }

    #[test]
    fn consecutive_keys_spread() {
        let mut set = KeySet::narrow();
        (0..64_000).rev().for_each(|key| assert!(set.insert(key)));
        let KeySet::Narrow(narrow) = &set else { panic!("of another kind") };
        assert!(narrow.others.iter().all(|set| (800..1_200).contains(&set.len())));
    }
}
