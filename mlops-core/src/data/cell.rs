//! One value of a column, comparable and hashable: what "equal" means for keys, duplicates and classes.

use crate::data::{Column, Table, Values};
use crate::error::{Error, Result};
use crate::hash::{Digest, Hasher};

/// A value as it is compared: −0.0 is 0.0, every NaN is the same NaN, and a missing value is neither NaN nor any text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Cell<'a> {
    Missing,
    Nan,
    /// The bits of a 64-bit float that is not NaN; a 32-bit one is widened, which changes no value.
    Float(u64),
    Integer(i64),
    Bool(bool),
    Text(&'a str),
    Time(i64),
}

impl Cell<'_> {
    fn float(value: f64) -> Self {
        match value {
            x if x.is_nan() => Self::Nan,
            0.0 => Self::Float(0),
            x => Self::Float(x.to_bits()),
        }
    }

    /// Writes the type and the value; the hasher adds the length.
    pub(super) fn push_to(self, hasher: &mut Hasher, buffer: &mut Vec<u8>) {
        buffer.clear();
        let (tag, bytes): (u8, &[u8]) = match self {
            Self::Missing => (0, &[]),
            Self::Nan => (1, &[]),
            Self::Float(bits) => (2, &bits.to_le_bytes()),
            Self::Integer(value) => (3, &value.to_le_bytes()),
            Self::Bool(value) => (4, &[u8::from(value)]),
            Self::Text(text) => (5, text.as_bytes()),
            Self::Time(micros) => (6, &micros.to_le_bytes()),
        };
        buffer.push(tag);
        buffer.extend_from_slice(bytes);
        hasher.push(buffer);
    }
}

/// The value of a row; a row beyond the end is missing.
pub(super) fn cell<'c>(column: &'c Column<'_>, row: usize) -> Cell<'c> {
    if !column.is_valid(row) {
        return Cell::Missing;
    }
    match column.values() {
        Values::F64(v) => Cell::float(v[row]),
        Values::F32(v) => Cell::float(f64::from(v[row])),
        Values::I64(v) => Cell::Integer(v[row]),
        Values::Bool(v) => Cell::Bool(v[row]),
        Values::Category { codes, levels } => usize::try_from(codes[row])
            .ok()
            .and_then(|code| levels.get(code))
            .map_or(Cell::Missing, |level| Cell::Text(level)),
        Values::Time(v) => Cell::Time(v[row]),
    }
}

/// A value for a message, in quotation marks where it is text.
pub(super) fn shown(column: &Column<'_>, row: usize) -> String {
    match (column.label(row), column.values()) {
        (None, _) => "nothing".to_owned(),
        (Some(label), Values::Category { .. }) => format!("\"{}\"", crate::error::quote(&label)),
        (Some(label), _) => label.into_owned(),
    }
}

/// The classes of a column, numbered in order of first appearance: how many there are and the class of each row.
///
/// Fails for a missing value or NaN: it belongs to no class that could be kept together or apart.
pub(super) fn classes(operation: &'static str, column: &Column<'_>) -> Result<(usize, Vec<usize>)> {
    let mut seen = std::collections::HashMap::new();
    let class_of = |row| {
        let key = cell(column, row);
        if matches!(key, Cell::Missing | Cell::Nan) {
            let what = if key == Cell::Nan { "is NaN" } else { "is missing" };
            let message = format!("column `{}`, row {}: the value {what}", column.name(), row + 1);
            return Err(Error::invalid(operation, "column", message)
                .with("column", column.name())
                .with("row", row + 1));
        }
        let next = seen.len();
        Ok(*seen.entry(key).or_insert(next))
    };
    let of_rows = (0..column.len()).map(class_of).collect::<Result<Vec<usize>>>()?;
    Ok((of_rows.iter().max().map_or(0, |last| last + 1), of_rows))
}

/// One digest a row: equal exactly when the rows hold equal values (short of a SHA-256 collision).
///
/// Every value is written with its type and its length after the names of the columns, so no two different rows are the
/// same sequence of bytes. −0.0 equals 0.0, every NaN equals every other, a missing value equals only a missing value; an
/// integer never equals a float, nor the text `1` the number. O(rows × columns) time, 32 bytes a row.
///
/// ```
/// use mlops_core::data::{Column, Table, row_digests};
///
/// let table = Table::new(vec![
///     Column::text("a", ["x", "xy", "x"])?,
///     Column::text("b", ["yz", "z", "yz"])?,
/// ])?;
/// let digests = row_digests(&table);
/// assert_eq!(digests[0], digests[2]);
/// assert_ne!(digests[0], digests[1]); // although both rows read "xyz"
/// # Ok::<(), mlops_core::Error>(())
/// ```
pub fn row_digests(table: &Table<'_>) -> Vec<Digest> {
    let mut rows = RowHasher::new(table.columns().iter().collect());
    (0..table.rows()).map(|row| rows.digest(row)).collect()
}

/// Hashes rows of columns as [`row_digests`] says: the names, in this order, then the values.
pub(super) struct RowHasher<'t, 'a> {
    columns: Vec<&'t Column<'a>>,
    prefix: Hasher,
    buffer: Vec<u8>,
}

impl<'t, 'a> RowHasher<'t, 'a> {
    pub(super) fn new(columns: Vec<&'t Column<'a>>) -> Self {
        let mut prefix = Hasher::new("mlops.row/v1");
        columns.iter().for_each(|column| prefix.push(column.name().as_bytes()));
        Self { columns, prefix, buffer: Vec::new() }
    }

    pub(super) fn digest(&mut self, row: usize) -> Digest {
        let mut hasher = self.prefix.clone();
        for column in &self.columns {
            cell(column, row).push_to(&mut hasher, &mut self.buffer);
        }
        hasher.finish()
    }
}

/// The rows to keep so that no two are equal in `columns`: the first of each, in order. All columns when the list is empty.
///
/// Duplicates that end up on both sides of a split are a leak; drop them before with
/// [`Table::take`](crate::data::Table::take). Equality is that of [`row_digests`].
///
/// # Errors
/// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) for an unknown column.
///
/// ```
/// use mlops_core::data::{Column, Table, distinct_rows};
/// let table = Table::new(vec![Column::i64("x", vec![1, 1, 2])?])?;
/// assert_eq!(distinct_rows::<&str>(&table, &[])?, [0, 2]);
/// # Ok::<(), mlops_core::Error>(())
/// ```
pub fn distinct_rows<S: AsRef<str>>(table: &Table<'_>, columns: &[S]) -> Result<Vec<usize>> {
    let digests = if columns.is_empty() { row_digests(table) } else { row_digests(&table.select(columns)?) };
    let mut seen = std::collections::HashSet::new();
    Ok((0..table.rows()).filter(|&row| seen.insert(digests[row])).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Validity;
    use std::sync::Arc;

    fn column(values: Values<'static>, valid: &[bool]) -> Column<'static> {
        Column::new("x", values, Some(Validity::from_bools(valid))).unwrap()
    }

    #[test]
    fn equality_of_values_is_the_documented_one() {
        let floats = vec![0.0, -0.0, f64::NAN, -f64::NAN, f64::from_bits(0x7ff0_0000_0000_0001), 5e-324, 0.0];
        let floats = column(Values::F64(floats.into()), &[true, true, true, true, true, true, false]);
        let cells: Vec<Cell<'_>> = (0..8).map(|row| cell(&floats, row)).collect();
        assert_eq!(cells[0], cells[1]);
        assert!(cells[2] == Cell::Nan && cells[3] == Cell::Nan && cells[4] == Cell::Nan);
        assert_ne!(cells[0], cells[5]);
        assert!(cells[6] == Cell::Missing && cells[7] == Cell::Missing);
    }

    #[test]
    fn levels_that_read_the_same_are_one_value() {
        let levels: Arc<[String]> = vec!["a".to_owned(), "a".to_owned()].into();
        let column = column(Values::Category { codes: vec![0, 1].into(), levels }, &[true, true]);
        assert_eq!(cell(&column, 0), cell(&column, 1));
        assert_eq!(classes("test", &column).unwrap(), (1, vec![0, 0]));
    }

    #[test]
    fn values_of_different_types_never_share_a_digest() {
        let one = [
            Column::i64("x", vec![1]).unwrap(),
            Column::f64("x", vec![1.0]).unwrap(),
            Column::bool("x", vec![true]).unwrap(),
            Column::text("x", ["1"]).unwrap(),
            Column::new("x", Values::Time(vec![1].into()), None).unwrap(),
            column(Values::I64(vec![1].into()), &[false]),
            Column::f64("x", vec![f64::NAN]).unwrap(),
            Column::text("x", [""]).unwrap(),
            Column::text("x", ["NaN"]).unwrap(),
            Column::i64("y", vec![1]).unwrap(),
        ];
        let mut digests = std::collections::HashSet::new();
        for column in one {
            assert!(digests.insert(row_digests(&Table::new(vec![column]).unwrap())[0]));
        }
    }

    #[test]
    fn a_class_of_a_missing_value_is_refused_with_its_row() {
        let column = Column::optional_text("sex", [Some("f"), None]).unwrap();
        let error = classes("test", &column).unwrap_err();
        assert!(error.message().contains("`sex`, row 2"), "{error}");
    }
}
