//! Labels that come late, joined to their predictions by id.

use std::collections::BTreeMap;

use mlops_core::num::{Measured, StatsError};
use mlops_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Chunk, Chunker};

/// What a [`LabelJoin`] did with what it was given.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Receipt {
    /// The first of its id.
    New,
    /// Known already, to the last bit; nothing changed.
    Duplicate,
    /// Different from what was known, and it stands: it is later.
    Revised,
    /// Different from what is known, and the other stands.
    Outdated,
}

/// Predictions by id that wait for labels, and labels by id, some of which come before their prediction.
///
/// # Contract
/// * **Order does not matter.** Of two different predictions (or labels) of one id the later stands; of two of the same time the
///   one that compares greater. So any order of deliveries, retries and merges leads to the same rows.
/// * **Idempotent.** What is delivered twice counts once; only [`JoinCounts::duplicates`] tells.
/// * **Mergeable.** Shards [`merge`](Self::merge) in any order and grouping.
/// * **Nothing is guessed.** A prediction without a label is not in any performance; how many there are is said beside it.
///
/// `P` is what was predicted and `L` what turned out; both should be totally ordered on the values used (no NaN): of two that do
/// not compare, the one that came first stands. Serialises with a version. Memory: one entry per id until
/// [`forget_before`](Self::forget_before).
///
/// ```
/// use mlops_drift::chunk::{Chunker, Cut, LabelJoin, Period, Receipt};
///
/// let mut join: LabelJoin<f64, bool> = LabelJoin::new();
/// join.predict("a", "2026-01-05T09:00:00Z".parse()?, 0.8)?;
/// join.predict("b", "2026-01-05T10:00:00Z".parse()?, 0.3)?;
/// assert_eq!(join.label("a", "2026-01-20T00:00:00Z".parse()?, true)?, Receipt::New);
/// assert_eq!(join.label("a", "2026-01-20T00:00:00Z".parse()?, true)?, Receipt::Duplicate);
///
/// let days = join.by_chunk(&Chunker::new(Cut::Period(Period::Day)))?;
/// let (chunk, rows) = &days[0];
/// assert_eq!((chunk.key.as_str(), rows.labelled()), ("2026-01-05", 1));
/// assert_eq!(rows.completeness().value(), Some(0.5));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Stored<P, L>", into = "Stored<P, L>")]
#[serde(bound(
    serialize = "P: Clone + Serialize, L: Clone + Serialize",
    deserialize = "P: Deserialize<'de>, L: Deserialize<'de>"
))]
pub struct LabelJoin<P, L> {
    entries: BTreeMap<String, Entry<P, L>>,
    duplicates: u64,
    forgotten: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry<P, L> {
    prediction: Option<Known<P>>,
    label: Option<Known<L>>,
}

/// A value, when it was true, and whether different ones were seen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Known<T> {
    at: Timestamp,
    value: T,
    conflict: bool,
}

/// The versioned form on disk.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored<P, L> {
    version: u32,
    entries: BTreeMap<String, Entry<P, L>>,
    duplicates: u64,
    forgotten: u64,
}

/// What a [`LabelJoin`] holds and has seen.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinCounts {
    /// Predictions whose label is known.
    pub matched: u64,
    /// Predictions without a label so far.
    pub waiting: u64,
    /// Labels without a prediction so far.
    pub unmatched: u64,
    /// Ids for which different predictions, or different labels, were seen.
    pub conflicts: u64,
    /// Deliveries that repeated what was known. Shards add theirs up, also for what both saw once.
    pub duplicates: u64,
    /// Entries dropped by [`LabelJoin::forget_before`].
    pub forgotten: u64,
}

/// The rows of a chunk whose labels are known.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq)]
pub struct Joined<'a, P, L> {
    /// Prediction and label, in time order, equal times in the order of the ids.
    pub pairs: Vec<(&'a P, &'a L)>,
    /// How many predictions the chunk has, labelled or not.
    pub predictions: u64,
}

/// Chunks of predictions, each with its rows.
pub type ByChunk<'a, P, L> = Vec<(Chunk, Joined<'a, P, L>)>;

impl<P, L> Joined<'_, P, L> {
    /// How many labels are known.
    pub fn labelled(&self) -> u64 {
        self.pairs.len() as u64
    }

    /// The share of the predictions whose label is known, in [0, 1]; undefined without predictions.
    pub fn completeness(&self) -> Measured {
        Measured::ratio(self.labelled() as f64, self.predictions as f64)
    }
}

impl<P, L> Default for LabelJoin<P, L> {
    fn default() -> Self {
        Self { entries: BTreeMap::new(), duplicates: 0, forgotten: 0 }
    }
}

impl<P, L> LabelJoin<P, L> {
    /// The version of the serialised form.
    pub const VERSION: u32 = 1;
    /// The most bytes of an id.
    pub const MAX_ID: usize = 512;

    /// Nothing known yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// What it holds and has seen. O(ids).
    pub fn counts(&self) -> JoinCounts {
        let mut counts =
            JoinCounts { duplicates: self.duplicates, forgotten: self.forgotten, ..JoinCounts::default() };
        for entry in self.entries.values() {
            match (&entry.prediction, &entry.label) {
                (Some(_), Some(_)) => counts.matched += 1,
                (Some(_), None) => counts.waiting += 1,
                (None, _) => counts.unmatched += 1,
            }
            let conflict = |prediction: bool, label: bool| u64::from(prediction || label);
            counts.conflicts += conflict(
                entry.prediction.as_ref().is_some_and(|known| known.conflict),
                entry.label.as_ref().is_some_and(|known| known.conflict),
            );
        }
        counts
    }

    /// Drops predictions made before `t` with their labels, and labels of nobody that are older; how many were dropped. A label
    /// that comes for a dropped prediction is unmatched.
    pub fn forget_before(&mut self, t: Timestamp) -> u64 {
        let before = self.entries.len();
        self.entries.retain(|_, entry| match (&entry.prediction, &entry.label) {
            (Some(prediction), _) => prediction.at >= t,
            (None, Some(label)) => label.at >= t,
            (None, None) => false,
        });
        let dropped = (before - self.entries.len()) as u64;
        self.forgotten = self.forgotten.saturating_add(dropped);
        dropped
    }

    /// The rows of the predictions made in [`from`, `to`). O(ids).
    pub fn between(&self, from: Timestamp, to: Timestamp) -> Joined<'_, P, L> {
        joined(self.in_time().into_iter().filter(|(at, _)| (from..to).contains(at)).map(|(_, entry)| entry))
    }

    /// The predictions cut into chunks by the time they were made, each with the rows whose labels are known by now; nothing
    /// without predictions. O(ids log ids).
    ///
    /// # Errors
    /// As [`Chunker::cut_at`].
    pub fn by_chunk(&self, chunker: &Chunker) -> Result<ByChunk<'_, P, L>, StatsError> {
        let rows = self.in_time();
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let times: Vec<Timestamp> = rows.iter().map(|(at, _)| *at).collect();
        let with_rows = |chunk: Chunk| {
            let rows = joined(chunk.rows.iter().filter_map(|row| rows.get(row)).map(|(_, entry)| *entry));
            (chunk, rows)
        };
        Ok(chunker.cut_at(&times)?.into_iter().map(with_rows).collect())
    }

    /// The entries with predictions, in time order.
    fn in_time(&self) -> Vec<(Timestamp, &Entry<P, L>)> {
        let timed = |entry: &'_ _| -> Option<Timestamp> {
            let entry: &Entry<P, L> = entry;
            entry.prediction.as_ref().map(|prediction| prediction.at)
        };
        let mut rows: Vec<_> = self.entries.values().filter_map(|e| timed(e).map(|at| (at, e))).collect();
        rows.sort_by_key(|(at, _)| *at);
        rows
    }
}

fn joined<'a, P: 'a, L: 'a>(rows: impl Iterator<Item = &'a Entry<P, L>>) -> Joined<'a, P, L> {
    let mut joined = Joined { pairs: Vec::new(), predictions: 0 };
    for entry in rows {
        joined.predictions += 1;
        if let (Some(prediction), Some(label)) = (&entry.prediction, &entry.label) {
            joined.pairs.push((&prediction.value, &label.value));
        }
    }
    joined
}

impl<P: PartialOrd, L: PartialOrd> LabelJoin<P, L> {
    /// Takes a prediction made at `at`.
    ///
    /// # Errors
    /// [`StatsError::Empty`] for an empty id, [`StatsError::Parameter`] for one beyond [`MAX_ID`](Self::MAX_ID) bytes.
    pub fn predict(&mut self, id: &str, at: Timestamp, prediction: P) -> Result<Receipt, StatsError> {
        let entry = entry(&mut self.entries, id)?;
        let receipt = learn(&mut entry.prediction, Known { at, value: prediction, conflict: false });
        self.duplicates += u64::from(receipt == Receipt::Duplicate);
        Ok(receipt)
    }

    /// Takes a label that was true as of `at`: of two different labels the later stands.
    ///
    /// # Errors
    /// As [`predict`](Self::predict).
    pub fn label(&mut self, id: &str, at: Timestamp, label: L) -> Result<Receipt, StatsError> {
        let entry = entry(&mut self.entries, id)?;
        let receipt = learn(&mut entry.label, Known { at, value: label, conflict: false });
        self.duplicates += u64::from(receipt == Receipt::Duplicate);
        Ok(receipt)
    }

    /// Takes in everything another one knows.
    pub fn merge(&mut self, other: Self) {
        for (id, theirs) in other.entries {
            let ours = self.entries.entry(id).or_insert(Entry { prediction: None, label: None });
            if let Some(prediction) = theirs.prediction {
                learn(&mut ours.prediction, prediction);
            }
            if let Some(label) = theirs.label {
                learn(&mut ours.label, label);
            }
        }
        self.duplicates = self.duplicates.saturating_add(other.duplicates);
        self.forgotten = self.forgotten.saturating_add(other.forgotten);
    }
}

fn entry<'a, P, L>(
    entries: &'a mut BTreeMap<String, Entry<P, L>>,
    id: &str,
) -> Result<&'a mut Entry<P, L>, StatsError> {
    if id.is_empty() {
        return Err(StatsError::Empty { argument: "id" });
    }
    if id.len() > LabelJoin::<P, L>::MAX_ID {
        let reason = "must be at most 512 bytes long";
        return Err(StatsError::Parameter { parameter: "id", value: id.len() as f64, reason });
    }
    // Looked up first: most deliveries are of a known id, and a key is only allocated for a new one.
    if !entries.contains_key(id) {
        entries.insert(id.to_owned(), Entry { prediction: None, label: None });
    }
    entries.get_mut(id).ok_or(StatsError::Empty { argument: "id" })
}

/// Keeps the later of two values, and remembers when they differ.
fn learn<T: PartialOrd>(known: &mut Option<Known<T>>, new: Known<T>) -> Receipt {
    let Some(old) = known else {
        *known = Some(new);
        return Receipt::New;
    };
    let same_value = old.value == new.value;
    let conflict = old.conflict || new.conflict || !same_value;
    if same_value && old.at == new.at {
        old.conflict = conflict;
        return Receipt::Duplicate;
    }
    let stands = new.at > old.at || (new.at == old.at && new.value > old.value);
    if stands {
        *old = new;
    }
    old.conflict = conflict;
    match (same_value, stands) {
        (true, _) => Receipt::Duplicate,
        (false, true) => Receipt::Revised,
        (false, false) => Receipt::Outdated,
    }
}

impl<P, L> TryFrom<Stored<P, L>> for LabelJoin<P, L> {
    type Error = String;

    fn try_from(stored: Stored<P, L>) -> Result<Self, String> {
        if stored.version != Self::VERSION {
            return Err(format!("a join of version {} is not known, only {}", stored.version, Self::VERSION));
        }
        if stored.entries.keys().any(|id| id.is_empty() || id.len() > Self::MAX_ID) {
            return Err(format!("an id has 1 to {} bytes", Self::MAX_ID));
        }
        if stored.entries.values().any(|entry| entry.prediction.is_none() && entry.label.is_none()) {
            return Err("an id has neither a prediction nor a label".to_owned());
        }
        Ok(Self { entries: stored.entries, duplicates: stored.duplicates, forgotten: stored.forgotten })
    }
}

impl<P, L> From<LabelJoin<P, L>> for Stored<P, L> {
    fn from(join: LabelJoin<P, L>) -> Self {
        let LabelJoin { entries, duplicates, forgotten } = join;
        Self { version: LabelJoin::<P, L>::VERSION, entries, duplicates, forgotten }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(at: i64, value: i32) -> Known<i32> {
        Known { at: Timestamp::from_timestamp_micros(at).unwrap(), value, conflict: false }
    }

    #[test]
    fn the_later_stands_and_of_two_at_once_the_greater() {
        for (old, new, receipt, stands) in [
            ((1, 5), (1, 5), Receipt::Duplicate, (1, 5)),
            ((1, 5), (2, 5), Receipt::Duplicate, (2, 5)),
            ((1, 5), (2, 3), Receipt::Revised, (2, 3)),
            ((2, 3), (1, 5), Receipt::Outdated, (2, 3)),
            ((1, 5), (1, 6), Receipt::Revised, (1, 6)),
            ((1, 6), (1, 5), Receipt::Outdated, (1, 6)),
        ] {
            let mut kept = Some(known(old.0, old.1));
            assert_eq!(learn(&mut kept, known(new.0, new.1)), receipt);
            let kept = kept.unwrap();
            assert_eq!((kept.at.timestamp_micros(), kept.value), stands);
            assert_eq!(kept.conflict, old.1 != new.1);
        }
    }
}
