//! The door to polars: a `DataFrame` becomes a [`Table`], looked at where that is possible and copied where it is not.
//!
//! | polars | becomes | without a copy |
//! |---|---|---|
//! | `Float64`, `Float32` | f64, f32 | yes |
//! | `Int64` | i64 | yes |
//! | `Int8` to `Int32`, `UInt8` to `UInt64` | i64; a value beyond 2⁶³ − 1 is an error | no |
//! | `Boolean` | bool | no |
//! | `String`, `Categorical`, `Enum` | category, levels in order of first appearance | no |
//! | `Date`, `Datetime` | time; a datetime without zone is taken for UTC, nanoseconds are cut off | microseconds only |
//! | `Decimal` | f64, the nearest | no |
//! | `Null` | category, all missing | no |
//!
//! "Without a copy" holds for a column of one chunk that is not empty; several chunks are joined. Nulls stay nulls and NaN stays
//! NaN. Any other type is an error that names the column.

use std::borrow::Cow;

use polars::prelude::{
    ChunkedArray, DataFrame, DataType as Polars, PolarsError, PolarsNumericType, Series, TimeUnit,
};

use crate::data::{Column, Table, Validity, Values};
use crate::error::{Error, Result, quote};

#[cfg(feature = "polars-io")]
pub use crate::data::csv::{CsvBatches, CsvOptions, TolerantCsvBatches, read_csv};
#[cfg(feature = "polars-io")]
pub use crate::data::parquet::{ParquetBatches, ParquetOptions, read, read_parquet};

const OP: &str = "frame::table";

/// The table a frame is.
///
/// # Errors
/// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for a column of a type not in the [list](self), with a name no
/// column can have, and for a number or time that does not fit, with its row.
///
/// ```
/// use mlops_core::data::{DataType, frame};
/// use polars::prelude::{Column, DataFrame};
///
/// let frame = DataFrame::new(2, vec![
///     Column::new("age".into(), [59_i64, 48]),
///     Column::new("sex".into(), [Some("f"), None]),
/// ])?;
/// let table = frame::table(&frame)?;
/// assert_eq!(table.column("age")?.data_type(), DataType::I64);
/// assert_eq!(table.column("sex")?.missing(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn table(frame: &DataFrame) -> Result<Table<'_>> {
    let columns = frame.columns().iter().map(|c| column(c.as_materialized_series()));
    Table::new(columns.collect::<Result<Vec<_>>>()?)
}

/// As [`table`]: so that a frame can be given wherever something that becomes a table is taken.
///
/// ```
/// use mlops_core::data::Table;
/// use polars::prelude::{Column, DataFrame};
///
/// let frame = DataFrame::new(2, vec![Column::new("age".into(), [59_i64, 48])])?;
/// assert_eq!(Table::try_from(&frame)?.rows(), 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
impl<'a> TryFrom<&'a DataFrame> for Table<'a> {
    type Error = Error;

    fn try_from(frame: &'a DataFrame) -> Result<Self> {
        table(frame)
    }
}

/// The column a series is.
///
/// # Errors
/// As [`table`].
///
/// ```
/// use mlops_core::data::{Values, frame};
/// use polars::prelude::{NamedFrom, Series};
///
/// let series = Series::new("x".into(), [1.5, 2.5]);
/// let column = frame::column(&series)?;
/// assert!(matches!(column.values(), Values::F64(std::borrow::Cow::Borrowed(_))));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn column(series: &Series) -> Result<Column<'_>> {
    let (values, validity) = match series.dtype() {
        Polars::Float64 => numbers(series.f64().map_err(|e| mistyped(series, e))?, Values::F64),
        Polars::Float32 => numbers(series.f32().map_err(|e| mistyped(series, e))?, Values::F32),
        Polars::Int64 => numbers(series.i64().map_err(|e| mistyped(series, e))?, Values::I64),
        Polars::UInt64 => {
            let values = series.u64().map_err(|e| mistyped(series, e))?;
            mapped(series, values, |value| i64::try_from(value).ok(), Values::I64)?
        }
        Polars::Int8 | Polars::Int16 | Polars::Int32 | Polars::UInt8 | Polars::UInt16 | Polars::UInt32 => {
            let wide = cast(series, &Polars::Int64)?;
            mapped(series, wide.i64().map_err(|e| mistyped(series, e))?, Some, Values::I64)?
        }
        dtype if dtype.is_decimal() => {
            let nearest = cast(series, &Polars::Float64)?;
            mapped(series, nearest.f64().map_err(|e| mistyped(series, e))?, Some, Values::F64)?
        }
        Polars::Boolean => booleans(series)?,
        Polars::Date => dates(series)?,
        Polars::Datetime(unit, _) => times(series, *unit)?,
        Polars::String | Polars::Null => return texts(series),
        dtype if dtype.is_categorical() || dtype.is_enum() => return texts(series),
        other => {
            let message =
                format!("column `{}` has the type {other}, which is not supported", quote(series.name()));
            return Err(Error::invalid(OP, "frame", message).with("column", series.name()));
        }
    };
    Column::new(series.name().as_str(), values, validity)
}

type Parts<'s> = (Values<'s>, Option<Validity<'s>>);

/// A series that is not of the type it states.
fn mistyped(series: &Series, error: PolarsError) -> Error {
    let message = format!("column `{}` cannot be read as {}", quote(series.name()), series.dtype());
    Error::invalid(OP, "frame", message).with("column", series.name()).with_source(error)
}

fn cast(series: &Series, dtype: &Polars) -> Result<Series> {
    series.strict_cast(dtype).map_err(|e| mistyped(series, e))
}

/// Numbers as they are: borrowed when only one chunk has any, joined when several have.
fn numbers<'s, T: PolarsNumericType>(
    array: &'s ChunkedArray<T>,
    wrap: impl FnOnce(Cow<'s, [T::Native]>) -> Values<'s>,
) -> Parts<'s> {
    let mut filled = array.downcast_iter().filter(|chunk| !chunk.values().is_empty());
    let (first, second) = (filled.next(), filled.next());
    let (None, Some(chunk)) = (second, first) else {
        let mut all = Vec::with_capacity(array.len());
        array.downcast_iter().for_each(|chunk| all.extend_from_slice(chunk.values().as_slice()));
        return (wrap(Cow::Owned(all)), validity(array));
    };
    let bits = chunk.validity().filter(|bits| bits.unset_bits() > 0).map(|bits| bits.as_slice());
    // The bitmap covers its own bits, so that it is never too short.
    let valid = bits.and_then(|(bytes, offset, len)| Validity::new(bytes, offset, len).ok());
    (wrap(Cow::Borrowed(chunk.values().as_slice())), valid)
}

fn validity<T: PolarsNumericType>(array: &ChunkedArray<T>) -> Option<Validity<'static>> {
    let valid = || array.iter().map(|value| value.is_some()).collect::<Vec<bool>>();
    (array.null_count() > 0).then(|| Validity::from_bools(&valid()))
}

/// Numbers made of others, one by one; `None` for one that does not fit.
fn mapped<T: PolarsNumericType, N: Copy + Default + 'static>(
    series: &Series,
    array: &ChunkedArray<T>,
    map: impl Fn(T::Native) -> Option<N>,
    wrap: impl FnOnce(Cow<'static, [N]>) -> Values<'static>,
) -> Result<Parts<'static>> {
    let fit = |(row, value): (usize, Option<T::Native>)| {
        let Some(value) = value else { return Ok(N::default()) };
        map(value).ok_or_else(|| {
            let name = series.name();
            let message = format!("column `{}`, row {}: {value} is out of range", quote(name), row + 1);
            Error::invalid(OP, "frame", message).with("column", name).with("row", row + 1)
        })
    };
    let values = array.iter().enumerate().map(fit).collect::<Result<Vec<N>>>()?;
    Ok((wrap(values.into()), validity(array)))
}

fn booleans(series: &Series) -> Result<Parts<'static>> {
    let array = series.bool().map_err(|e| mistyped(series, e))?;
    let values: Vec<bool> = array.iter().map(|value| value.unwrap_or_default()).collect();
    let valid = || array.iter().map(|value| value.is_some()).collect::<Vec<bool>>();
    let validity = (array.null_count() > 0).then(|| Validity::from_bools(&valid()));
    Ok((Values::Bool(values.into()), validity))
}

fn dates(series: &Series) -> Result<Parts<'static>> {
    const DAY: i64 = 86_400_000_000;
    let days = series.date().map_err(|e| mistyped(series, e))?;
    mapped(series, &days.phys, |day| i64::from(day).checked_mul(DAY), Values::Time)
}

fn times(series: &Series, unit: TimeUnit) -> Result<Parts<'_>> {
    let array = &series.datetime().map_err(|e| mistyped(series, e))?.phys;
    match unit {
        TimeUnit::Microseconds => Ok(numbers(array, Values::Time)),
        TimeUnit::Milliseconds => mapped(series, array, |t| t.checked_mul(1_000), Values::Time),
        // Towards the past, also before 1970.
        TimeUnit::Nanoseconds => mapped(series, array, |t| Some(t.div_euclid(1_000)), Values::Time),
    }
}

fn texts(series: &Series) -> Result<Column<'_>> {
    let name = series.name().as_str();
    if series.dtype().is_null() {
        return Column::optional_text(name, std::iter::repeat_n(None::<&str>, series.len()));
    }
    let text = if series.dtype() == &Polars::String {
        Cow::Borrowed(series)
    } else {
        Cow::Owned(cast(series, &Polars::String)?)
    };
    Column::optional_text(name, text.str().map_err(|e| mistyped(series, e))?.iter())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::DataType;
    use polars::prelude::{Categories, FrozenCategories, NamedFrom, PlSmallStr};

    fn series<T: ?Sized, N>(values: N) -> Series
    where
        Series: NamedFrom<N, T>,
    {
        Series::new("x".into(), values)
    }

    fn labels(series: &Series) -> (DataType, Vec<String>) {
        let column = column(series).unwrap();
        let label = |row| column.label(row).map_or_else(|| "∅".to_owned(), Cow::into_owned);
        (column.data_type(), (0..column.len()).map(label).collect())
    }

    #[test]
    fn every_type_comes_through_with_its_nulls() {
        let ints = series(&[Some(-1_i64), None, Some(100)]);
        let days = series(&[Some(0_i32), None, Some(-1)]);
        let enumeration = Polars::from_frozen_categories(FrozenCategories::new(["z", "b", "a"]).unwrap());
        let texts = series(&[Some("b"), None, Some("a")]);
        let time = |unit| Polars::Datetime(unit, None);
        for (series, ty, expected) in [
            (series(&[Some(1.5_f64), None, Some(f64::NAN)]), DataType::F64, ["1.5", "∅", "NaN"]),
            (series(&[Some(0.1_f32), None, Some(f32::INFINITY)]), DataType::F32, ["0.1", "∅", "inf"]),
            (ints.clone(), DataType::I64, ["-1", "∅", "100"]),
            (ints.cast(&Polars::Int32).unwrap(), DataType::I64, ["-1", "∅", "100"]),
            (ints.cast(&Polars::Int16).unwrap(), DataType::I64, ["-1", "∅", "100"]),
            (ints.cast(&Polars::Int8).unwrap(), DataType::I64, ["-1", "∅", "100"]),
            (series(&[Some(1_u64), None, Some(1 << 62)]), DataType::I64, ["1", "∅", "4611686018427387904"]),
            (series(&[Some(1_u32), None, Some(u32::MAX)]), DataType::I64, ["1", "∅", "4294967295"]),
            (series(&[Some(0_u16), None, Some(9)]), DataType::I64, ["0", "∅", "9"]),
            (series(&[Some(0_u8), None, Some(9)]), DataType::I64, ["0", "∅", "9"]),
            (series(&[Some(true), None, Some(false)]), DataType::Bool, ["true", "∅", "false"]),
            (texts.clone(), DataType::Category, ["b", "∅", "a"]),
            (
                texts.cast(&Polars::from_categories(Categories::global())).unwrap(),
                DataType::Category,
                ["b", "∅", "a"],
            ),
            (texts.cast(&enumeration).unwrap(), DataType::Category, ["b", "∅", "a"]),
            (Series::new_null("x".into(), 3), DataType::Category, ["∅", "∅", "∅"]),
            (
                days.cast(&Polars::Date).unwrap(),
                DataType::Time,
                ["1970-01-01T00:00:00+00:00", "∅", "1969-12-31T00:00:00+00:00"],
            ),
            (
                ints.cast(&time(TimeUnit::Microseconds)).unwrap(),
                DataType::Time,
                ["1969-12-31T23:59:59.999999+00:00", "∅", "1970-01-01T00:00:00.000100+00:00"],
            ),
            (
                ints.cast(&time(TimeUnit::Milliseconds)).unwrap(),
                DataType::Time,
                ["1969-12-31T23:59:59.999+00:00", "∅", "1970-01-01T00:00:00.100+00:00"],
            ),
            (
                ints.cast(&time(TimeUnit::Nanoseconds)).unwrap(),
                DataType::Time,
                ["1969-12-31T23:59:59.999999+00:00", "∅", "1970-01-01T00:00:00+00:00"],
            ),
        ] {
            assert_eq!(labels(&series), (ty, expected.map(str::to_owned).to_vec()), "{}", series.dtype());
        }
    }

    #[test]
    fn only_levels_that_occur_are_kept_in_order_of_appearance() {
        let enumeration = Polars::from_frozen_categories(FrozenCategories::new(["z", "b", "a"]).unwrap());
        let series = series(&["b", "a", "b"]).cast(&enumeration).unwrap();
        let Values::Category { codes, levels } = column(&series).unwrap().values().clone() else { panic!() };
        assert_eq!((&codes[..], &levels[..]), (&[0, 1, 0][..], &["b".to_owned(), "a".to_owned()][..]));
    }

    #[test]
    fn one_chunk_is_borrowed_with_its_nulls_and_its_offset() {
        let whole = series(&(0..40_i64).map(|i| (i % 3 > 0).then_some(i)).collect::<Vec<_>>());
        let slice = whole.slice(7, 20);
        let column = column(&slice).unwrap();
        let Values::I64(Cow::Borrowed(values)) = column.values() else { panic!("copied") };
        for row in 0..20 {
            let expected = slice.i64().unwrap().get(row);
            assert_eq!(column.is_valid(row).then_some(values[row]), expected, "{row}");
        }
        assert_eq!((column.len(), column.missing()), (20, slice.null_count()));
    }

    #[test]
    fn chunks_are_joined_and_empty_ones_do_not_matter() {
        let empty = series(&Vec::<Option<f64>>::new());
        let mut one = empty.clone();
        one.append(&series(&[Some(1.0), None])).unwrap();
        one.append(&empty).unwrap();
        assert!(matches!(column(&one).unwrap().values(), Values::F64(Cow::Borrowed(_))));
        assert_eq!(labels(&one).1, ["1", "∅"]);
        one.append(&series(&[Some(f64::NAN), Some(3.0)]).slice(1, 1)).unwrap();
        assert!(one.n_chunks() > 1);
        assert_eq!(labels(&one).1, ["1", "∅", "3"]);
        for empty in
            [empty.clone(), empty.cast(&Polars::String).unwrap(), empty.cast(&Polars::Boolean).unwrap()]
        {
            assert!(column(&empty).unwrap().is_empty());
        }
        let mut texts = series(&["a"]);
        texts.append(&series(&[None::<&str>])).unwrap();
        texts.append(&series(&["b", "a"]).slice(1, 1)).unwrap();
        assert_eq!(labels(&texts).1, ["a", "∅", "a"]);
        let mut flags = series(&[Some(true)]);
        flags.append(&series(&[None::<bool>, Some(false)])).unwrap();
        assert_eq!(labels(&flags.slice(1, 2)).1, ["∅", "false"]);
    }

    #[test]
    fn a_constant_column_is_read() {
        let constant =
            polars::prelude::Column::new_scalar("x".into(), polars::prelude::Scalar::from(7_i64), 3);
        let frame = DataFrame::new(3, vec![constant]).unwrap();
        assert_eq!(*table(&frame).unwrap().column("x").unwrap().to_f64().unwrap(), [7.0; 3]);
    }

    #[test]
    fn what_does_not_fit_is_named_with_column_and_row() {
        let big = series(&[Some(1_u64), None, Some(u64::MAX)]);
        let error = column(&big).unwrap_err();
        assert_eq!(error.message(), "column `x`, row 3: 18446744073709551615 is out of range");
        let far = series(&[i64::MAX]).cast(&Polars::Datetime(TimeUnit::Milliseconds, None)).unwrap();
        assert!(column(&far).unwrap_err().message().contains("row 1"));
        let far = series(&[i32::MAX]).cast(&Polars::Date).unwrap();
        assert!(column(&far).unwrap_err().message().contains("row 1"));
    }

    #[test]
    fn other_types_and_impossible_names_are_refused_by_name() {
        let list = Series::new("tags".into(), [series(&[1_i64, 2])]);
        let frame = DataFrame::new(1, vec![list.into()]).unwrap();
        let error = table(&frame).unwrap_err();
        assert!(error.message().starts_with("column `tags` has the type list"), "{error}");
        let nameless = Series::new(PlSmallStr::EMPTY, [1_i64]);
        assert!(column(&nameless).is_err());
        assert_eq!(table(&DataFrame::empty()).unwrap().columns().len(), 0);
    }
}
