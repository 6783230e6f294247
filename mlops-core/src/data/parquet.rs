//! Reading Parquet through polars, with errors that name file and column.

use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use polars::prelude::{ArrowDataType, DataFrame, ParquetReader, PolarsError, SerReader};
use serde::{Deserialize, Serialize};

use crate::data::csv::{CsvOptions, file_name, read_csv, read_file};
use crate::data::{Table, frame};
use crate::error::{Error, ErrorKind, Result, quote};

const OP: &str = "read_parquet";

/// How to read a Parquet file.
///
/// ```
/// use mlops_core::data::frame::ParquetOptions;
/// let two = ParquetOptions::default().with_select(["age", "income"]);
/// assert_eq!(two.select.map(|names| names.len()), Some(2));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ParquetOptions {
    /// The columns to read, in this order; all when `None`. A column that is not read may be of any type.
    pub select: Option<Vec<String>>,
}

impl ParquetOptions {
    /// Reads these columns only.
    #[must_use]
    pub fn with_select<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.select = Some(names.into_iter().map(Into::into).collect());
        self
    }
}

/// Reads a table by its file's extension: `.csv` with a header, `.tsv` the same with tabs, `.parquet` or `.pq`; in any case.
///
/// # Errors
/// [`ErrorKind::InvalidInput`] for another extension; else those of [`read_csv`] and [`read_parquet`].
///
/// ```
/// use mlops_core::data::frame;
/// let error = frame::read("patients.xlsx").unwrap_err();
/// assert_eq!(error.context("file"), Some("patients.xlsx"));
/// ```
pub fn read(path: impl AsRef<Path>) -> Result<Table<'static>> {
    let path = path.as_ref();
    let extension = path.extension().and_then(|e| e.to_str()).map(str::to_ascii_lowercase);
    match extension.as_deref() {
        Some("csv") => read_csv(path, &CsvOptions::default()),
        Some("tsv") => read_csv(path, &CsvOptions::default().with_separator('\t')),
        Some("parquet" | "pq") => read_parquet(path, &ParquetOptions::default()),
        _ => Err(Error::invalid("frame::read", "path", "must end in .csv, .tsv, .parquet or .pq")
            .with("file", file_name(path))),
    }
}

/// Reads a Parquet file; types become what [`frame`](crate::data::frame) says.
///
/// Needs memory for the file, the decoded columns and the table. The decoder trusts lengths inside the file: one that is
/// damaged in the wrong place, or made to harm, can ask for more memory than there is, and then the process ends. Check the
/// digest of a file that comes from elsewhere before you read it.
///
/// # Errors
/// All of them have the file's name in the context.
/// - [`ErrorKind::NotFound`]: no such file; a column of `select` that is not there.
/// - [`ErrorKind::InvalidInput`]: not a regular file; not Parquet; no rows; a column of a type that has no place in a table.
/// - [`ErrorKind::Corrupt`]: a Parquet file that cannot be decoded, or that is encrypted.
/// - [`ErrorKind::Storage`]: the file cannot be read.
///
/// ```no_run
/// use mlops_core::data::frame::{ParquetOptions, read_parquet};
/// let table = read_parquet("patients.parquet", &ParquetOptions::default())?;
/// println!("{} rows", table.rows());
/// # Ok::<(), mlops_core::Error>(())
/// ```
pub fn read_parquet(path: impl AsRef<Path>, options: &ParquetOptions) -> Result<Table<'static>> {
    let path = path.as_ref();
    let bytes = read_file(OP, path)?;
    parse(&bytes, options).map_err(|e| e.with("file", file_name(path)))
}

fn parse(bytes: &[u8], options: &ParquetOptions) -> Result<Table<'static>> {
    if bytes.is_empty() {
        return Err(Error::invalid(OP, "content", "is empty"));
    }
    if !(bytes.len() >= 12 && bytes.starts_with(b"PAR1") && bytes.ends_with(b"PAR1")) {
        return Err(Error::invalid(OP, "content", "is not a Parquet file"));
    }
    // The decoder has places where a damaged file makes it panic; a file must not take its reader down.
    let frame = catch_unwind(AssertUnwindSafe(|| decode(bytes, options)));
    let frame =
        frame.unwrap_or_else(|_| Err(Error::new(ErrorKind::Corrupt, OP, "the file cannot be decoded")))?;
    if frame.height() == 0 {
        return Err(Error::invalid(OP, "content", "has no rows"));
    }
    frame::table(&frame).map(Table::into_owned)
}

fn decode(bytes: &[u8], options: &ParquetOptions) -> Result<DataFrame> {
    let corrupt =
        |e: PolarsError| Error::new(ErrorKind::Corrupt, OP, "the file cannot be decoded").with_source(e);
    let mut reader = ParquetReader::new(Cursor::new(bytes));
    let schema = reader.schema().map_err(corrupt)?;
    let fields: Vec<(&str, &ArrowDataType)> =
        schema.iter().map(|(name, field)| (name.as_str(), field.dtype())).collect();
    let positions = selected(&fields, options)?;
    for &(name, dtype) in positions.iter().map(|&position| &fields[position]) {
        if !is_supported(dtype) {
            // The outermost type says enough; a nested one can be pages long.
            let shown = format!("{dtype:?}");
            let shown = shown.split('(').next().unwrap_or_default();
            let message = format!("column `{}` has the type {shown}, which is not supported", quote(name));
            return Err(Error::invalid(OP, "content", message).with("column", name));
        }
    }
    let order: Vec<&str> = positions.iter().map(|&position| fields[position].0).collect();
    let frame = reader.with_projection(Some(positions.clone())).finish().map_err(corrupt)?;
    frame.select(order).map_err(corrupt)
}

/// The positions of the columns to read.
fn selected(fields: &[(&str, &ArrowDataType)], options: &ParquetOptions) -> Result<Vec<usize>> {
    let Some(names) = &options.select else { return Ok((0..fields.len()).collect()) };
    if names.is_empty() {
        return Err(Error::invalid(OP, "select", "must not be empty"));
    }
    let find = |name: &String| {
        fields.iter().position(|(known, _)| known == name).ok_or_else(|| {
            let known: Vec<&str> = fields.iter().take(20).map(|(known, _)| *known).collect();
            Error::new(ErrorKind::NotFound, OP, "no such column")
                .with("column", name)
                .with("columns", known.join(", "))
        })
    };
    names.iter().map(find).collect()
}

/// Whether a column of this type is read; the decoder would panic on some of the others.
fn is_supported(dtype: &ArrowDataType) -> bool {
    use ArrowDataType as A;
    match dtype {
        A::Null | A::Boolean | A::Float32 | A::Float64 | A::Date32 | A::Date64 | A::Timestamp(..) => true,
        A::Int8 | A::Int16 | A::Int32 | A::Int64 | A::UInt8 | A::UInt16 | A::UInt32 | A::UInt64 => true,
        A::Utf8 | A::LargeUtf8 | A::Utf8View => true,
        A::Decimal(..) | A::Decimal32(..) | A::Decimal64(..) | A::Decimal256(..) => true,
        A::Dictionary(_, values, _) => matches!(**values, A::Utf8 | A::LargeUtf8 | A::Utf8View),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::DataType;
    use polars::prelude::{Column, DataType as Polars, NamedFrom, ParquetWriter, Series, TimeUnit};

    fn bytes(columns: Vec<Column>) -> Vec<u8> {
        let mut frame = DataFrame::new(columns.first().map_or(0, Column::len), columns).unwrap();
        let mut bytes = Vec::new();
        ParquetWriter::new(&mut bytes).finish(&mut frame).unwrap();
        bytes
    }

    fn sample() -> Vec<u8> {
        let ints = Column::new("i".into(), [Some(1_i64), None, Some(3)]);
        bytes(vec![
            ints.cast(&Polars::Int32).unwrap(),
            Column::new("f".into(), [Some(f64::NAN), None, Some(2.5)]),
            Column::new("s".into(), [Some("a"), None, Some("b")]),
            Column::new("b".into(), [Some(true), None, Some(false)]),
            ints.cast(&Polars::Datetime(TimeUnit::Milliseconds, None)).unwrap().with_name("t".into()),
            Column::new("tags".into(), [1_i64, 2, 3].map(|tag| Series::new("".into(), [tag]))),
        ])
    }

    #[test]
    fn columns_survive_the_file() {
        let all = ["i", "f", "s", "b", "t"];
        let table = parse(&sample(), &ParquetOptions::default().with_select(all)).unwrap();
        let types: Vec<DataType> = table.columns().iter().map(crate::data::Column::data_type).collect();
        assert_eq!(types, [DataType::I64, DataType::F64, DataType::Category, DataType::Bool, DataType::Time]);
        for column in table.columns() {
            assert_eq!((column.len(), column.missing(), column.is_valid(1)), (3, 1, false));
        }
        assert_eq!(table.column("t").unwrap().label(2).as_deref(), Some("1970-01-01T00:00:00.003+00:00"));
        let two = parse(&sample(), &ParquetOptions::default().with_select(["s", "i"])).unwrap();
        assert_eq!(two.names().collect::<Vec<_>>(), ["s", "i"]);
    }

    #[test]
    fn bad_content_is_refused_by_name() {
        let default = ParquetOptions::default;
        for (content, options, kind, message) in [
            (vec![], default(), ErrorKind::InvalidInput, "is empty"),
            (b"a,b\n1,2\n".to_vec(), default(), ErrorKind::InvalidInput, "is not a Parquet file"),
            (b"PAR1PAR1".to_vec(), default(), ErrorKind::InvalidInput, "is not a Parquet file"),
            (b"PAR1\0\0\0\0PAR1".to_vec(), default(), ErrorKind::Corrupt, "cannot be decoded"),
            (b"PAR1\xff\xff\xff\xffPAR1".to_vec(), default(), ErrorKind::Corrupt, "cannot be decoded"),
            (sample(), default(), ErrorKind::InvalidInput, "column `tags` has the type"),
            (sample(), default().with_select(["x"]), ErrorKind::NotFound, "no such column"),
            (
                sample(),
                default().with_select(Vec::<String>::new()),
                ErrorKind::InvalidInput,
                "must not be empty",
            ),
            (
                bytes(vec![Column::new("x".into(), Vec::<i64>::new())]),
                default(),
                ErrorKind::InvalidInput,
                "has no rows",
            ),
        ] {
            let error = parse(&content, &options).unwrap_err();
            assert_eq!(error.kind(), kind, "{error}");
            assert!(error.message().contains(message), "{error}");
        }
    }

    #[test]
    fn a_damaged_file_is_an_error_or_a_table_never_a_panic() {
        let good = bytes(vec![Column::new("f".into(), [1.5, 2.5]), Column::new("s".into(), ["a", "b"])]);
        for cut in [good.len() / 2, good.len() - 1] {
            assert!(parse(&good[..cut], &ParquetOptions::default()).is_err());
        }
        for at in (4..good.len() - 4).step_by(7) {
            let mut bad = good.clone();
            bad[at] ^= 0x55;
            // A flipped value may still decode; what must not happen is a panic that gets out.
            let _ = parse(&bad, &ParquetOptions::default());
        }
    }

    #[test]
    fn files_are_read_by_their_extension() {
        let folder = std::env::temp_dir().join(format!("mlops-core-parquet-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir(&folder).unwrap();
        let write = |name: &str, content: &[u8]| {
            let file = folder.join(name);
            std::fs::write(&file, content).unwrap();
            file
        };
        let parquet = bytes(vec![Column::new("a".into(), [1_i64])]);
        for (name, content) in [("x.csv", &b"a\n1\n"[..]), ("x.TSV", b"a\tb\n1\t2\n"), ("x.pq", &parquet)] {
            let table = read(write(name, content)).unwrap();
            assert_eq!(*table.column("a").unwrap().to_f64().unwrap(), [1.0], "{name}");
        }
        assert!(read(write("x.xlsx", b"")).is_err());
        let error = read(write("y.parquet", b"a,b")).unwrap_err();
        assert!(error.context("file").unwrap().ends_with("y.parquet"), "{error}");
        assert_eq!(read(folder.join("none.parquet")).unwrap_err().kind(), ErrorKind::NotFound);
        assert!(
            read_parquet(&folder, &ParquetOptions::default()).unwrap_err().message().contains("directory")
        );
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
