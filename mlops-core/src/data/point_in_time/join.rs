//! The join, by sorting and merging.

use std::collections::HashMap;

use super::OP;
use super::proof::FeatureProof;
use super::view::FeatureView;
use crate::data::cell::{Cell, cell};
use crate::data::moment::{Moments, moments};
use crate::data::{Column, DataType, Table, Validity, Values};
use crate::error::{Error, ErrorKind, Result, quote};

/// Which columns say what an entity row is about, and when.
///
/// ```
/// use mlops_core::data::{Column, FeatureView, PointInTimeJoin, Table};
///
/// let orders = Table::new(vec![
///     Column::i64("customer", vec![7, 7, 7])?,
///     Column::i64("day", vec![1, 5, 5])?,
///     Column::i64("loaded", vec![2, 6, 12])?, // the last row corrects the one before, a week later
///     Column::f64("spent", vec![10.0, 20.0, 99.0])?,
/// ])?;
/// let visits = Table::new(vec![Column::i64("customer", vec![7, 7, 8])?, Column::i64("at", vec![5, 10, 10])?])?;
/// let joined = PointInTimeJoin::new(["customer"], "at")
///     .join(&visits, &[FeatureView::new("orders", &orders, "day", "loaded")])?;
/// // On day 5 the order of day 5 was not loaded, on day 10 the correction was not.
/// let spent = joined.table.column("spent")?;
/// assert_eq!([spent.label(0), spent.label(1), spent.label(2)], [Some("10".into()), Some("20".into()), None]);
/// let proof = &joined.proofs[0];
/// assert_eq!((proof.matched, proof.missing, proof.withheld), (2, 1, 2));
/// assert_eq!((proof.max_event_lead, proof.max_created_lead, proof.holds()), (Some(-4), Some(-3), true));
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PointInTimeJoin {
    keys: Vec<String>,
    time: String,
}

/// What came of a join.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq)]
pub struct Joined {
    /// The entity rows in their order, with the features beside them.
    pub table: Table<'static>,
    /// One proof for each feature.
    pub proofs: Vec<FeatureProof>,
}

impl Joined {
    /// Turns a look ahead into an error.
    ///
    /// # Errors
    /// [`ErrorKind::Rejected`] with every proof that does not hold.
    pub fn require_proven(&self) -> Result<()> {
        let broken: Vec<String> =
            self.proofs.iter().filter(|proof| !proof.holds()).map(FeatureProof::to_string).collect();
        if broken.is_empty() {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Rejected, "Joined::require_proven", broken.join("; ")))
    }
}

impl PointInTimeJoin {
    /// Entity rows by these keys at the time in this column.
    pub fn new<S: Into<String>>(keys: impl IntoIterator<Item = S>, time: impl Into<String>) -> Self {
        Self { keys: keys.into_iter().map(Into::into).collect(), time: time.into() }
    }

    /// Joins the features of each view to the entity rows. O(n log n) for n entity and feature rows.
    ///
    /// Keys are equal by value; a missing or NaN key equals nothing.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] for an unknown column; [`ErrorKind::InvalidInput`] for no keys, keys or times of different
    /// types, times that are no whole numbers or times, a time that is missing (what happened at no time cannot be shown not to
    /// look ahead), and two columns of one name in the result.
    pub fn join(&self, entities: &Table<'_>, views: &[FeatureView<'_>]) -> Result<Joined> {
        if self.keys.is_empty() {
            return Err(Error::invalid(OP, "keys", "must not be empty"));
        }
        let time = entities.column(&self.time)?;
        let at = whole(time, "time")?;
        let mut columns: Vec<Column<'static>> =
            entities.columns().iter().cloned().map(Column::into_owned).collect();
        let mut proofs = Vec::new();
        for view in views {
            let side = Side { entities, keys: &self.keys, time, at: &at };
            let (joined, of_view) = side.join(view).map_err(|error| error.with("view", &view.name))?;
            for column in joined {
                if columns.iter().any(|other| other.name() == column.name()) {
                    let message = "has the name of another column: say prefixed, or choose features";
                    let error = Error::invalid(OP, "views", message);
                    return Err(error.with("view", &view.name).with("column", column.name()));
                }
                columns.push(column);
            }
            proofs.extend(of_view);
        }
        Ok(Joined { table: Table::new(columns)?, proofs })
    }
}

/// The values of a column of whole numbers or times.
fn whole(column: &Column<'_>, field: &str) -> Result<Vec<i128>> {
    match moments(OP, field, column)? {
        Moments::Whole(values) => Ok(values),
        Moments::Real(_) => {
            let error =
                Error::invalid(OP, field, "must hold times or whole numbers: floats are never the same time");
            Err(error.with("column", column.name()))
        }
    }
}

/// The entity side of a join.
struct Side<'a> {
    entities: &'a Table<'a>,
    keys: &'a [String],
    time: &'a Column<'a>,
    at: &'a [i128],
}

/// A feature row as it is chosen by: of several the greatest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    event: i128,
    created: i128,
    row: usize,
}

/// What was found for an entity row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    /// No such key.
    Missing,
    /// Nothing known at the time.
    NotYet,
    /// Only rows that are too old.
    Expired,
    /// This row; whether others were its equals in time.
    Row(usize, bool),
}

/// The times of a view's rows.
struct Times {
    event: Vec<i128>,
    created: Option<Vec<i128>>,
    ttl: i128,
}

impl Times {
    fn candidate(&self, row: usize) -> Candidate {
        let event = self.event[row];
        Candidate { event, created: self.created.as_ref().map_or(event, |created| created[row]), row }
    }

    /// From when on a row may be used.
    fn available(&self, row: usize, cutoff: bool) -> i128 {
        let Candidate { event, created, .. } = self.candidate(row);
        if cutoff { event.max(created) } else { event }
    }
}

impl Side<'_> {
    fn join(&self, view: &FeatureView<'_>) -> Result<(Vec<Column<'static>>, Vec<FeatureProof>)> {
        let times = self.times(view)?;
        let keys = self.matched_keys(view)?;
        let found = self.find(view, &times, &keys, view.cutoff);
        let open = match view.cutoff && times.created.is_some() {
            true => self.find(view, &times, &keys, false),
            false => found.clone(),
        };
        let row = |found: &Found| if let Found::Row(row, _) = found { Some(*row) } else { None };
        let withheld = found.iter().zip(&open).filter(|(a, b)| row(a) != row(b)).count();
        let rows: Vec<Option<usize>> = found.iter().map(row).collect();
        let proof = self.proof(view, &times, &found, withheld);
        let (mut columns, mut proofs) = (Vec::new(), Vec::new());
        for name in self.features(view) {
            let column = view.table.column(&name)?;
            let null_values = rows.iter().flatten().filter(|&&row| !column.is_valid(row)).count();
            let joined = if view.prefixed { format!("{}__{name}", view.name) } else { name.clone() };
            columns.push(taken(column, &rows)?.renamed(joined)?);
            proofs.push(FeatureProof { feature: name, null_values, ..proof.clone() });
        }
        Ok((columns, proofs))
    }

    fn key_names<'v>(&'v self, view: &'v FeatureView<'_>) -> &'v [String] {
        view.keys.as_deref().unwrap_or(self.keys)
    }

    fn features(&self, view: &FeatureView<'_>) -> Vec<String> {
        let is_feature = |name: &&str| {
            !self.key_names(view).iter().any(|key| key == name)
                && *name != view.event
                && view.created.as_deref() != Some(*name)
        };
        let all = || view.table.names().filter(is_feature).map(str::to_owned).collect();
        view.features.clone().unwrap_or_else(all)
    }

    fn times(&self, view: &FeatureView<'_>) -> Result<Times> {
        let of = |name: &str, field: &str| {
            let column = view.table.column(name)?;
            let values = whole(column, field)?;
            if column.data_type() != self.time.data_type() {
                let (a, b) = (column.data_type(), self.time.data_type());
                let message = format!("holds {a:?}, but `{}` holds {b:?}", quote(self.time.name()));
                return Err(Error::invalid(OP, field, message).with("column", name));
            }
            Ok(values)
        };
        let created = view.created.as_deref().map(|name| of(name, "created")).transpose()?;
        Ok(Times { event: of(&view.event, "event")?, created, ttl: view.ttl.along(OP, "ttl", self.time)? })
    }

    /// The number of the key of each feature row and of each entity row; `None` for a row without one. Numbers run over the
    /// keys of both sides.
    fn matched_keys(&self, view: &FeatureView<'_>) -> Result<[Vec<Option<usize>>; 2]> {
        let names = self.key_names(view);
        if names.len() != self.keys.len() {
            let message = format!("has {} columns, but the join has {}", names.len(), self.keys.len());
            return Err(Error::invalid(OP, "keys", message));
        }
        let right = names.iter().map(|name| view.table.column(name)).collect::<Result<Vec<_>>>()?;
        let left = self.keys.iter().map(|name| self.entities.column(name)).collect::<Result<Vec<_>>>()?;
        for (a, b) in left.iter().zip(&right) {
            if a.data_type() != b.data_type() {
                let message = format!(
                    "`{}` holds {:?}, but `{}` of the view holds {:?}",
                    quote(a.name()),
                    a.data_type(),
                    quote(b.name()),
                    b.data_type()
                );
                return Err(Error::invalid(OP, "keys", message).with("column", b.name()));
            }
        }
        let mut numbers: HashMap<Vec<Cell<'_>>, usize> = HashMap::new();
        let of_side = [(&right, view.table.rows()), (&left, self.entities.rows())].map(|(columns, rows)| {
            let mut of_rows = Vec::with_capacity(rows);
            for row in 0..rows {
                let next = numbers.len();
                of_rows.push(key(columns, row).map(|key| *numbers.entry(key).or_insert(next)));
            }
            of_rows
        });
        Ok(of_side)
    }

    /// For each entity row the greatest feature row that is available, unless it is too old: then all others are too.
    fn find(
        &self,
        view: &FeatureView<'_>,
        times: &Times,
        keys: &[Vec<Option<usize>>; 2],
        cutoff: bool,
    ) -> Vec<Found> {
        let [of_view, of_entities] = keys;
        let with_key = |(row, key): (usize, &Option<usize>)| key.map(|key| (key, row));
        let mut rows: Vec<(usize, i128, usize)> = of_view
            .iter()
            .enumerate()
            .filter_map(with_key)
            .map(|(key, row)| (key, times.available(row, cutoff), row))
            .collect();
        let mut wanted: Vec<(usize, i128, usize)> = of_entities
            .iter()
            .enumerate()
            .filter_map(with_key)
            .map(|(key, row)| (key, self.at[row], row))
            .collect();
        rows.sort_unstable();
        wanted.sort_unstable();
        let mut found = vec![Found::Missing; of_entities.len()];
        let mut rest = rows.as_slice();
        for same in wanted.chunk_by(|a, b| a.0 == b.0) {
            let Some(&(key, ..)) = same.first() else { continue };
            rest = &rest[rest.partition_point(|row| row.0 < key)..];
            let (of_key, others) = rest.split_at(rest.partition_point(|row| row.0 == key));
            rest = others;
            let mut next = of_key.iter().peekable();
            let mut best: Option<(Candidate, bool)> = None;
            for &(_, at, entity) in same {
                while let Some((.., row)) =
                    next.next_if(|row| if view.strict { row.1 < at } else { row.1 <= at })
                {
                    best = Some(better(best, times.candidate(*row)));
                }
                found[entity] = match best {
                    _ if of_key.is_empty() => Found::Missing,
                    None => Found::NotYet,
                    Some((candidate, _))
                        if times.ttl > 0 && candidate.event < at.saturating_sub(times.ttl) =>
                    {
                        Found::Expired
                    }
                    Some((candidate, tied)) => Found::Row(candidate.row, tied),
                };
            }
        }
        found
    }

    /// The proof for all features of a view, from the rows that were taken.
    fn proof(&self, view: &FeatureView<'_>, times: &Times, found: &[Found], withheld: usize) -> FeatureProof {
        let count = |wanted: fn(&Found) -> bool| found.iter().filter(|found| wanted(found)).count();
        let lead = |of: &[i128]| {
            let leads = found.iter().zip(self.at).filter_map(|(found, at)| match found {
                Found::Row(row, _) => Some(of[*row].saturating_sub(*at)),
                _ => None,
            });
            leads.max().map(|lead| {
                // Two times of 64 bits can be further apart than 64 bits say; the sign stays.
                i64::try_from(lead).unwrap_or(if lead < 0 { i64::MIN } else { i64::MAX })
            })
        };
        FeatureProof {
            view: view.name.clone(),
            feature: String::new(),
            entity_rows: found.len(),
            matched: count(|found| matches!(found, Found::Row(..))),
            null_values: 0,
            missing: count(|found| *found == Found::Missing),
            not_yet: count(|found| *found == Found::NotYet),
            expired: count(|found| *found == Found::Expired),
            ties: count(|found| matches!(found, Found::Row(_, true))),
            withheld,
            max_event_lead: lead(&times.event),
            max_created_lead: times.created.as_deref().and_then(lead),
            knowledge_recorded: times.created.is_some(),
            strict: view.strict,
            microseconds: self.time.data_type() == DataType::Time,
        }
    }
}

/// The key of a row; `None` where part of it is missing or NaN.
fn key<'c>(columns: &[&'c Column<'_>], row: usize) -> Option<Vec<Cell<'c>>> {
    let cells = columns.iter().map(|column| Some(cell(column, row)));
    cells.map(|cell| cell.filter(|cell| !matches!(cell, Cell::Missing | Cell::Nan))).collect()
}

/// The greater of two candidates, and whether it has an equal in time.
fn better(best: Option<(Candidate, bool)>, new: Candidate) -> (Candidate, bool) {
    let Some((old, tied)) = best else { return (new, false) };
    if (old.event, old.created) == (new.event, new.created) {
        return (old.max(new), true);
    }
    if new > old { (new, false) } else { (old, tied) }
}

/// The rows of a column, missing where there is none.
fn taken(column: &Column<'_>, rows: &[Option<usize>]) -> Result<Column<'static>> {
    let valid: Vec<bool> = rows.iter().map(|row| row.is_some_and(|row| column.is_valid(row))).collect();
    let values = if column.is_empty() {
        nothing(column.data_type(), rows.len())
    } else {
        let indices: Vec<usize> = rows.iter().map(|row| row.unwrap_or(0)).collect();
        column.take(&indices)?.values().clone()
    };
    let validity = valid.contains(&false).then(|| Validity::from_bools(&valid));
    Column::new(column.name().to_owned(), values, validity)
}

/// Slots for values that are all missing.
fn nothing(data_type: DataType, rows: usize) -> Values<'static> {
    match data_type {
        DataType::F64 => Values::F64(vec![0.0; rows].into()),
        DataType::F32 => Values::F32(vec![0.0; rows].into()),
        DataType::I64 => Values::I64(vec![0; rows].into()),
        DataType::Bool => Values::Bool(vec![false; rows].into()),
        DataType::Category => Values::Category { codes: vec![0; rows].into(), levels: Vec::new().into() },
        DataType::Time => Values::Time(vec![0; rows].into()),
    }
}
