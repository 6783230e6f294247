//! Rows as bytes, for the way from one step of a pipeline to the next.

use std::borrow::Cow;
use std::str::FromStr;

use mlops_core::data::{Column, DataType, Table, Validity, Values};
use mlops_core::hash::canonical_json;
use mlops_core::time::Timestamp;
use mlops_core::{Error, ErrorKind, Result};

/// A column on its way: its name, its type, and its values as text, so that NaN and the last digit arrive too.
type Packed = (String, DataType, Vec<Option<String>>);

/// The rows as JSON: the same rows are the same bytes.
///
/// # Errors
/// None that a table can cause.
pub fn pack(table: &Table<'_>) -> Result<Vec<u8>> {
    let packed: Vec<Packed> = table.columns().iter().map(packed).collect();
    canonical_json(&packed)
}

fn packed(column: &Column<'_>) -> Packed {
    let values = (0..column.len()).map(|row| column.label(row).map(Cow::into_owned));
    (column.name().to_owned(), column.data_type(), values.collect())
}

/// The rows that [`pack`] was given.
///
/// # Errors
/// [`ErrorKind::Corrupt`] for bytes that it did not make.
pub fn unpack(bytes: &[u8]) -> Result<Table<'static>> {
    let packed: Vec<Packed> = serde_json::from_slice(bytes)
        .map_err(|e| Error::new(ErrorKind::Corrupt, "unpack", "the bytes are no rows").with_source(e))?;
    Table::new(packed.into_iter().map(unpacked).collect::<Result<_>>()?)
}

fn unpacked((name, kind, values): Packed) -> Result<Column<'static>> {
    let valid: Vec<bool> = values.iter().map(Option::is_some).collect();
    let valid = valid.contains(&false).then(|| Validity::from_bools(&valid));
    let values = match kind {
        DataType::F64 => Values::F64(parsed(&values)?.into()),
        DataType::F32 => Values::F32(parsed(&values)?.into()),
        DataType::I64 => Values::I64(parsed(&values)?.into()),
        DataType::Bool => Values::Bool(parsed(&values)?.into()),
        DataType::Time => {
            let times: Vec<Timestamp> = parsed(&values)?;
            Values::Time(times.iter().map(Timestamp::timestamp_micros).collect::<Vec<_>>().into())
        }
        _ => return Column::optional_text(name, values.iter().map(Option::as_deref)),
    };
    Column::new(name, values, valid)
}

/// The values; what is missing is anything.
fn parsed<T: FromStr + Default>(values: &[Option<String>]) -> Result<Vec<T>> {
    let value = |text: &Option<String>| match text.as_deref().map(str::parse) {
        Some(Ok(value)) => Ok(value),
        None => Ok(T::default()),
        Some(Err(_)) => Err(Error::new(ErrorKind::Corrupt, "unpack", "a value is not of its column's type")),
    };
    values.iter().map(value).collect()
}
