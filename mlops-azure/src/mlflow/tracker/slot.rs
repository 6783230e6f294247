//! What MLflow makes of a metric's points, and how it is undone.
//!
//! MLflow keeps a point as (key, step, milliseconds, value). It stores infinities as ±1.797e308 and −0.0 as 0.0, forgets in
//! which order values of one step and time came, and takes the greatest of them for the last. A *slot* is one step and time of
//! one metric. Most slots hold one plain value, and MLflow keeps them as they are. A slot that holds more, or a value that
//! MLflow changes, is written down beside, exactly and in order, in a tag of the run.

use std::collections::{HashMap, HashSet};

use mlops_core::hash::Hasher;
use mlops_core::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};

use super::cell::{self, Table};
use super::names;
use crate::mlflow::wire::{KeyValue, Metric};

/// Step and milliseconds.
pub(super) type Place = (i64, i64);

/// The most values of one slot that are written down.
pub(super) const MAX_SLOT: usize = 256;

/// The most slots of one metric that are remembered.
const MAX_LEDGER: usize = 65_536;

/// What MLflow's SQL store makes of a value.
fn projected(value: f64) -> f64 {
    match value {
        f64::INFINITY => f64::MAX,
        f64::NEG_INFINITY => f64::MIN,
        _ if value == 0.0 => 0.0,
        _ => value,
    }
}

/// The bits of a value, one pattern for all NaNs.
fn bits(value: f64) -> u64 {
    if value.is_nan() { f64::NAN.to_bits() } else { value.to_bits() }
}

/// Whether MLflow keeps a value as it is, if it is alone in its slot.
fn is_plain(value: f64) -> bool {
    bits(projected(value)) == bits(value)
}

/// The exact content of a slot, as its tag has it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Written {
    key: String,
    step: i64,
    ms: i64,
    values: Vec<Exact>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Exact(#[serde(with = "mlops_core::num::json_float")] f64);

/// The slots of a run that are written down, by metric.
#[derive(Debug, Default, Clone)]
pub(super) struct Slots(HashMap<String, HashMap<Place, Vec<f64>>>);

impl Slots {
    /// Reads the slots among a run's tags.
    pub(super) fn read(operation: &'static str, tags: &Table) -> Result<Self> {
        let mut slots = Self::default();
        for name in tags.keys().filter(|key| names::is_head(key, names::SLOT)) {
            let Some(text) = cell::read(operation, name, tags)? else { continue };
            let slot: Written = serde_json::from_str(&text).map_err(|e| {
                Error::new(ErrorKind::Corrupt, operation, "a tag of points cannot be read")
                    .with("tag", name)
                    .with_source(e)
            })?;
            let values = slot.values.iter().map(|Exact(value)| *value).collect();
            slots.0.entry(slot.key).or_default().insert((slot.step, slot.ms), values);
        }
        Ok(slots)
    }

    /// The last value of what MLflow gives as the latest point.
    pub(super) fn last(&self, latest: &Metric) -> f64 {
        let slot = self.0.get(&latest.key).and_then(|slots| slots.get(&(latest.step, latest.timestamp)));
        slot.and_then(|values| values.last().copied()).unwrap_or(latest.value)
    }

    /// The points of a metric in their order, from the rows that MLflow has in any order.
    pub(super) fn points(&self, key: &str, rows: &[Metric]) -> Vec<(Place, f64)> {
        let mut places: HashMap<Place, Vec<f64>> = HashMap::new();
        for row in rows {
            places.entry((row.step, row.timestamp)).or_default().push(row.value);
        }
        let written = self.0.get(key);
        let mut points = Vec::with_capacity(rows.len());
        for (place, stored) in places {
            match written.and_then(|slots| slots.get(&place)) {
                None => points.extend(stored.into_iter().map(|value| (place, value))),
                Some(exact) => points.extend(merge(exact, &stored).into_iter().map(|value| (place, value))),
            }
        }
        // The sort is stable: within a slot the order stays.
        points.sort_by_key(|(place, _)| *place);
        points
    }
}

/// The values of a slot: what is written down and was stored, then what others stored.
fn merge(exact: &[f64], stored: &[f64]) -> Vec<f64> {
    let rows: HashSet<u64> = stored.iter().map(|v| bits(projected(*v))).collect();
    let known: HashSet<u64> = exact.iter().map(|v| bits(projected(*v))).collect();
    let ours = exact.iter().copied().filter(|v| rows.contains(&bits(projected(*v))));
    let theirs = stored.iter().copied().filter(|v| !known.contains(&bits(projected(*v))));
    ours.chain(theirs).collect()
}

/// The points of one metric that this client knows of: what is new, and which slots hold more than one value. Of a long
/// metric only the last steps are remembered: that is where points are logged, and where calls are repeated.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    slots: HashMap<Place, Slot>,
    /// Below this, points are forgotten.
    floor: Option<Place>,
}

#[derive(Debug, Clone)]
enum Slot {
    One(f64),
    Many(Vec<f64>),
}

impl Slot {
    fn values(&self) -> &[f64] {
        match self {
            Self::One(value) => std::slice::from_ref(value),
            Self::Many(values) => values,
        }
    }
}

/// What a point does to its slot.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub(super) enum Added {
    /// It was there.
    Known,
    /// It is new, and MLflow keeps it as it is.
    Plain,
    /// It is new, and its slot must be written down: before the point if `before`, because without it MLflow's value would be
    /// read as another.
    Written {
        /// Whether the tag must be there before the point.
        before: bool,
    },
    /// It is new, and its slot holds too much to be written down.
    Crowded,
    /// It lies where points are forgotten: it may have been there.
    Forgotten,
}

impl Ledger {
    /// The ledger of points that are there.
    pub(super) fn of(points: impl IntoIterator<Item = (Place, f64)>) -> Self {
        let mut ledger = Self::default();
        for (place, value) in points {
            ledger.add(place, value);
        }
        ledger
    }

    /// Takes a point in.
    pub(super) fn add(&mut self, place: Place, value: f64) -> Added {
        if self.floor.is_some_and(|floor| place < floor) {
            return Added::Forgotten;
        }
        let Some(slot) = self.slots.get_mut(&place) else {
            self.slots.insert(place, Slot::One(value));
            self.shrink();
            return if is_plain(value) { Added::Plain } else { Added::Written { before: true } };
        };
        if slot.values().iter().any(|v| bits(*v) == bits(value)) {
            return Added::Known;
        }
        let mut values = slot.values().to_vec();
        values.push(value);
        let crowded = values.len() > MAX_SLOT;
        *slot = Slot::Many(values);
        match crowded {
            true => Added::Crowded,
            false => Added::Written { before: !is_plain(value) },
        }
    }

    /// Forgets the earlier half when there are too many.
    fn shrink(&mut self) {
        if self.slots.len() <= MAX_LEDGER {
            return;
        }
        let mut places: Vec<Place> = self.slots.keys().copied().collect();
        let middle = places.len() / 2;
        let (_, floor, _) = places.select_nth_unstable(middle);
        let floor = *floor;
        self.slots.retain(|place, _| *place >= floor);
        self.floor = Some(floor);
    }

    /// The tags that write a slot down.
    pub(super) fn write(
        &self,
        operation: &'static str,
        key: &str,
        place: Place,
        out: &mut Vec<KeyValue>,
    ) -> Result<()> {
        let Some(slot) = self.slots.get(&place) else { return Ok(()) };
        let values = slot.values().iter().copied().map(Exact).collect();
        let written = Written { key: key.to_owned(), step: place.0, ms: place.1, values };
        let text = names::json(operation, &written)?;
        let hash = Hasher::new("mlops.mlflow.slot/v1")
            .field(key)
            .field(place.0.to_be_bytes())
            .field(place.1.to_be_bytes())
            .finish();
        cell::write(&names::numbered(names::SLOT, &hash), text, out);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(value: f64, step: i64, timestamp: i64) -> Metric {
        Metric { key: "m".to_owned(), value, timestamp, step }
    }

    /// What MLflow keeps of these points, and the tags beside it.
    fn stored(points: &[(Place, f64)]) -> (Vec<Metric>, Table) {
        let (mut ledger, mut tags, mut rows) = (Ledger::default(), Vec::new(), Vec::new());
        for (place, value) in points {
            match ledger.add(*place, *value) {
                Added::Written { .. } => ledger.write("op", "m", *place, &mut tags).unwrap(),
                Added::Plain | Added::Known | Added::Crowded | Added::Forgotten => {}
            }
            let row = row(projected(*value), place.0, place.1);
            let same = |r: &Metric| {
                (r.step, r.timestamp, bits(r.value)) == (row.step, row.timestamp, bits(row.value))
            };
            if !rows.iter().any(same) {
                rows.push(row);
            }
        }
        // MLflow answers in the order of the values.
        rows.sort_by(|l, r| {
            (l.timestamp, l.step).cmp(&(r.timestamp, r.step)).then(l.value.total_cmp(&r.value))
        });
        (rows, tags.into_iter().map(|pair| (pair.key, pair.value)).collect())
    }

    #[test]
    fn what_mlflow_changes_comes_back_exactly_and_in_order() {
        for points in [
            vec![((0, 0), -0.0), ((1, 0), 0.0), ((2, 0), f64::INFINITY), ((3, 0), f64::MAX)],
            vec![
                ((0, 0), f64::MAX),
                ((0, 0), f64::INFINITY),
                ((0, 0), f64::NAN),
                ((0, 0), -0.0),
                ((0, 0), 0.0),
            ],
            vec![((0, 0), 3.0), ((0, 0), 1.0), ((0, 0), 2.0), ((-1, 5), 7.0)],
        ] {
            let (rows, tags) = stored(&points);
            let mut expected = points.clone();
            expected.sort_by_key(|(place, _)| *place);
            let read = Slots::read("op", &tags).unwrap().points("m", &rows);
            let exact =
                |points: &[(Place, f64)]| points.iter().map(|(p, v)| (*p, bits(*v))).collect::<Vec<_>>();
            assert_eq!(exact(&read), exact(&expected));
        }
    }

    #[test]
    fn plain_points_cost_no_tag() {
        let (_, tags) = stored(&[((0, 0), 1.0), ((1, 0), f64::NAN), ((2, 0), f64::MAX), ((2, 1), 5e-324)]);
        assert!(tags.is_empty());
    }

    #[test]
    fn a_slot_written_before_its_point_does_not_invent_it() {
        let (_, tags) = stored(&[((0, 0), 1.0), ((0, 0), f64::INFINITY)]);
        let slots = Slots::read("op", &tags).unwrap();
        assert_eq!(slots.points("m", &[row(1.0, 0, 0)]), [((0, 0), 1.0)]);
        // What another client logs beside is not lost.
        assert_eq!(slots.points("m", &[row(1.0, 0, 0), row(9.0, 0, 0)]), [((0, 0), 1.0), ((0, 0), 9.0)]);
    }

    #[test]
    fn the_last_value_is_the_last_logged() {
        let (rows, tags) = stored(&[((0, 0), 3.0), ((0, 0), 1.0)]);
        let latest = rows.iter().max_by(|l, r| l.value.total_cmp(&r.value)).unwrap();
        assert_eq!(Slots::read("op", &tags).unwrap().last(latest), 1.0);
        assert_eq!(Slots::default().last(latest), 3.0);
    }

    #[test]
    fn a_crowded_slot_says_so() {
        let mut ledger = Ledger::default();
        let added: Vec<_> = (0..=MAX_SLOT).map(|i| ledger.add((0, 0), i as f64)).collect();
        assert_eq!(added.last(), Some(&Added::Crowded));
        assert_eq!(added.iter().filter(|a| **a == Added::Crowded).count(), 1);
        assert_eq!(ledger.add((0, 0), 0.0), Added::Known);
    }

    #[test]
    fn of_a_long_metric_the_last_steps_are_remembered() {
        let mut ledger = Ledger::default();
        let steps = 3 * i64::try_from(MAX_LEDGER).unwrap();
        for step in 0..steps {
            assert_eq!(ledger.add((step, 0), 1.0), Added::Plain);
        }
        assert!(ledger.slots.len() <= MAX_LEDGER);
        assert_eq!(ledger.add((steps - 1, 0), 1.0), Added::Known);
        assert_eq!(ledger.add((0, 0), 1.0), Added::Forgotten);
    }
}
