//! Counts of a table against a reference.

use std::borrow::Cow;

use mlops_core::data::{Column, DataType, Table, Values};
use mlops_core::hash::Digest;
use mlops_core::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};

use super::category::CategoryProfile;
use super::numeric::{MAX_ROWS, NumericProfile, too_many, total};
use super::reference::{ColumnCells, Reference, ReferenceColumn};

/// A table as mergeable counts on the cells of a [`Reference`]: of a shard, a day, a window of a stream.
///
/// Counts, extremes, moments and distinct counts merge **exactly**: associatively, commutatively, and to the bits that one pass over
/// all the rows would have given. Quantile sketches and the sketch of frequent unseen categories merge within their errors.
/// No row is kept.
///
/// Serialises with a version and the digest of its reference; it is checked against the reference wherever the two meet.
///
/// # Example: two shards
/// ```
/// use mlops_core::data::{Column, Table};
/// use mlops_drift::profile::Reference;
///
/// let table = |ages: Vec<f64>| Table::new(vec![Column::f64("age", ages)?]);
/// let reference = Reference::fit(&table(vec![20.0, 30.0, 40.0, 50.0])?)?;
/// let mut monday = reference.profile(&table(vec![25.0, 35.0])?)?;
/// monday.merge(&reference.profile(&table(vec![95.0])?)?)?;
/// assert_eq!(monday, reference.profile(&table(vec![95.0, 25.0, 35.0])?)?);
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub struct Profile {
    pub(super) reference: Digest,
    pub(super) rows: u64,
    pub(super) columns: Vec<ColumnProfile>,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    version: u32,
    reference: Digest,
    rows: u64,
    columns: Vec<ColumnProfile>,
}

/// The counts of one column.
#[non_exhaustive]
#[expect(clippy::large_enum_variant, reason = "a few hundred bytes beside thousands of counts a column")]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ColumnProfile {
    /// Numbers and booleans.
    Numeric(NumericProfile),
    /// Text.
    Category(CategoryProfile),
}

impl ColumnProfile {
    /// How many values are missing: absent or NaN.
    pub fn missing(&self) -> u64 {
        match self {
            Self::Numeric(profile) => profile.missing(),
            Self::Category(profile) => profile.missing(),
        }
    }

    /// How many values are there.
    pub fn present(&self) -> u64 {
        match self {
            Self::Numeric(profile) => profile.present(),
            Self::Category(profile) => profile.present(),
        }
    }

    /// The counts: in the order of the [`Grid`](super::Grid) or of the [`CategoryBins`](crate::CategoryBins).
    pub fn cells(&self) -> &[u64] {
        match self {
            Self::Numeric(profile) => profile.cells(),
            Self::Category(profile) => profile.cells(),
        }
    }

    fn merge(&mut self, other: &Self) -> Result<()> {
        match (self, other) {
            (Self::Numeric(mine), Self::Numeric(more)) => mine.merge(more),
            (Self::Category(mine), Self::Category(more)) => mine.merge(more),
            _ => Err(Error::invalid("Profile::merge", "other", "has columns of other types")),
        }
    }
}

impl Profile {
    /// The version of the serialised form.
    pub const VERSION: u32 = 1;

    /// The most rows a profile counts: 2⁶², so that products of two totals fit 128 bits.
    pub const MAX_ROWS: u64 = MAX_ROWS;

    /// How many rows were counted.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// The digest of the reference whose cells were counted.
    pub fn reference(&self) -> Digest {
        self.reference
    }

    /// The columns, in the order of the reference.
    pub fn columns(&self) -> &[ColumnProfile] {
        &self.columns
    }

    pub(crate) fn into_columns(self) -> Vec<ColumnProfile> {
        self.columns
    }

    /// Adds another profile against the same reference; on an error nothing has changed.
    ///
    /// # Errors
    /// [`Conflict`](ErrorKind::Conflict) for a profile against another reference;
    /// [`LimitExceeded`](ErrorKind::LimitExceeded) beyond 2⁶² rows.
    ///
    /// ```
    /// use mlops_core::data::{Column, Table};
    /// use mlops_drift::profile::Reference;
    ///
    /// let fit = |x| Reference::fit(&Table::new(vec![Column::f64("x", vec![x])?])?);
    /// let (one, other) = (fit(1.0)?, fit(2.0)?);
    /// assert!(one.baseline().clone().merge(other.baseline()).is_err());
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn merge(&mut self, other: &Self) -> Result<()> {
        const OP: &str = "Profile::merge";
        if self.reference != other.reference || self.columns.len() != other.columns.len() {
            return Err(Error::new(ErrorKind::Conflict, OP, "the profiles have different references")
                .with("left", self.reference)
                .with("right", other.reference));
        }
        let rows = self.rows.checked_add(other.rows).filter(|&rows| rows <= MAX_ROWS).ok_or_else(too_many)?;
        // An empty profile changes nothing, whatever it knows or does not know.
        if other.rows == 0 {
            return Ok(());
        }
        if self.rows == 0 {
            self.clone_from(other);
            return Ok(());
        }
        let mut columns = self.columns.clone();
        for (mine, more) in columns.iter_mut().zip(&other.columns) {
            mine.merge(more)?;
        }
        (self.rows, self.columns) = (rows, columns);
        Ok(())
    }
}

impl TryFrom<Stored> for Profile {
    type Error = String;

    fn try_from(stored: Stored) -> std::result::Result<Self, String> {
        if stored.version != Self::VERSION {
            return Err(format!(
                "profiles of version {} are not known, only {}",
                stored.version,
                Self::VERSION
            ));
        }
        if stored.rows > MAX_ROWS {
            return Err(format!("a profile cannot have {} rows", stored.rows));
        }
        // Sums of counts are taken before a profile meets its reference.
        if let Some(wrong) = stored.columns.iter().find_map(|column| total(column.cells(), stored.rows)) {
            return Err(format!("a column {wrong}"));
        }
        Ok(Self { reference: stored.reference, rows: stored.rows, columns: stored.columns })
    }
}

impl From<Profile> for Stored {
    fn from(profile: Profile) -> Self {
        let Profile { reference, rows, columns } = profile;
        Self { version: Profile::VERSION, reference, rows, columns }
    }
}

/// Counts tables, one after the other, against a [`Reference`].
///
/// # Example: a stream in batches
/// ```
/// use mlops_core::data::{Column, Table};
/// use mlops_drift::profile::Reference;
///
/// let batch = |from: i64| Table::new(vec![Column::i64("n", (from..from + 10).collect::<Vec<i64>>())?]);
/// let reference = Reference::fit(&batch(0)?)?;
/// let mut profiler = reference.profiler()?;
/// for from in [0, 5, 10] {
///     profiler.push(&batch(from)?)?;
/// }
/// assert_eq!(profiler.finish().rows(), 30);
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Profiler<'r> {
    reference: &'r Reference,
    profile: Profile,
}

impl<'r> Profiler<'r> {
    pub(super) fn new(reference: &'r Reference) -> Result<Self> {
        let profile = reference.empty_profile()?;
        Ok(Self { reference, profile })
    }

    pub(super) fn resume(reference: &'r Reference, profile: Profile) -> Result<Self> {
        reference.check(&profile)?;
        Ok(Self { reference, profile })
    }

    /// Counts the rows of a table; columns that the reference does not have are passed over. On an error nothing has changed.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) for a column that is not there, [`InvalidInput`](ErrorKind::InvalidInput) for text
    /// where the reference has numbers and the other way round; both name the column.
    pub fn push(&mut self, table: &Table<'_>) -> Result<()> {
        let rows = self.profile.rows.saturating_add(table.rows() as u64);
        if rows > MAX_ROWS {
            return Err(too_many());
        }
        let mut found = Vec::with_capacity(self.profile.columns.len());
        for wanted in self.reference.columns() {
            let column = table.column(wanted.name())?;
            if !matches(wanted, column) {
                let message =
                    format!("is {:?}, in the reference {:?}", column.data_type(), wanted.data_type());
                return Err(Error::invalid("Profiler::push", "column", message).with("column", wanted.name()));
            }
            found.push((wanted, column));
        }
        for (profile, (wanted, column)) in self.profile.columns.iter_mut().zip(found) {
            push_column(profile, wanted, column);
        }
        self.profile.rows = rows;
        Ok(())
    }

    /// Adds a profile of other rows.
    ///
    /// # Errors
    /// As [`Profile::merge`] and [`Reference::check`].
    pub fn merge(&mut self, other: &Profile) -> Result<()> {
        self.reference.check(other)?;
        self.profile.merge(other)
    }

    /// What was counted so far.
    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    /// The profile.
    pub fn finish(self) -> Profile {
        self.profile
    }
}

fn matches(wanted: &ReferenceColumn, column: &Column<'_>) -> bool {
    match wanted.cells() {
        ColumnCells::Numeric { .. } => !matches!(column.data_type(), DataType::Category | DataType::Time),
        ColumnCells::Category { .. } => column.data_type() == DataType::Category,
    }
}

fn push_column(profile: &mut ColumnProfile, wanted: &ReferenceColumn, column: &Column<'_>) {
    match (profile, wanted.cells()) {
        (ColumnProfile::Numeric(profile), ColumnCells::Numeric { grid, .. }) => {
            let unit = super::reference::unit(grid);
            let absent = for_each_chunk(column, |values| profile.push(grid, unit, values));
            profile.push_absent(absent);
        }
        (ColumnProfile::Category(profile), ColumnCells::Category { bins }) => {
            for (label, count) in levels(column) {
                profile.push(bins, label, count);
            }
        }
        _ => {}
    }
}

/// Calls `f` with the values that are there, in order, as doubles; returns how many are not there.
pub(crate) fn for_each_chunk(column: &Column<'_>, mut f: impl FnMut(&[f64])) -> u64 {
    const CHUNK: usize = 2048;
    let rows = column.len();
    if let (Values::F64(values), None) = (column.values(), column.validity()) {
        values.chunks(CHUNK).for_each(f);
        return 0;
    }
    let mut chunk = Vec::with_capacity(CHUNK);
    let mut absent = 0;
    for row in 0..rows {
        if !column.is_valid(row) {
            absent += 1;
            continue;
        }
        chunk.push(match column.values() {
            Values::F64(values) => values[row],
            Values::F32(values) => f64::from(values[row]),
            Values::I64(values) | Values::Time(values) => values[row] as f64,
            Values::Bool(values) => f64::from(u8::from(values[row])),
            _ => f64::NAN,
        });
        if chunk.len() == CHUNK {
            f(&chunk);
            chunk.clear();
        }
    }
    f(&chunk);
    absent
}

/// The levels of a column that occur, in the order of their codes, and what is missing, with their counts.
pub(super) fn levels<'a>(column: &'a Column<'_>) -> Vec<(Option<&'a str>, u64)> {
    let Values::Category { codes, levels } = column.values() else { return Vec::new() };
    let codes: Cow<'_, [u32]> = Cow::Borrowed(codes);
    let mut counts = vec![0_u64; levels.len()];
    let mut missing = 0;
    for (row, code) in codes.iter().enumerate() {
        let level = usize::try_from(*code).ok().filter(|_| column.is_valid(row));
        match level.and_then(|level| counts.get_mut(level)) {
            Some(count) => *count += 1,
            None => missing += 1,
        }
    }
    let known = levels.iter().zip(counts).map(|(level, count)| (Some(level.as_str()), count));
    known.chain([(None, missing)]).filter(|&(_, count)| count > 0).collect()
}
