//! Reading Parquet through polars, whole or row group by row group, with errors that name file and column.

use std::fs::File;
use std::io::{Cursor, Read as _, Seek as _, SeekFrom};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use polars::io::parquet::metadata::FileMetadataRef;
use polars::io::parquet::read::_internal::to_deserializer;
use polars::prelude::{
    ArrowDataType, ArrowField, DataFrame, DataType as Polars, ParquetReader, PolarsError, SerReader, Series,
};
use serde::{Deserialize, Serialize};

use crate::data::csv::{CsvOptions, check_file, file_name, read_csv, read_file, unreadable};
use crate::data::text::strings;
use crate::data::{DataType, Schema, Table, frame};
use crate::error::{Error, ErrorKind, Result, quote};

const OP: &str = "read_parquet";

/// How to read a Parquet file.
///
/// ```
/// use mlops_core::data::frame::ParquetOptions;
/// let two = ParquetOptions::default().with_select(["age", "income"]);
/// assert_eq!(two.select.map(|names| names.len()), Some(2));
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ParquetOptions {
    /// The columns to read, in this order; all when `None`. A column that is not read may be of any type.
    pub select: Option<Vec<String>>,
    /// Without `select`: the columns to read where the file has them, in the order of the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected: Option<Vec<String>>,
}

impl ParquetOptions {
    /// Reads these columns only.
    #[must_use]
    pub fn with_select<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.select = Some(strings(names));
        self
    }

    /// Reads the columns that a schema names, where the file has them; whether all are there is for
    /// [validation](crate::data::Expectations::from_schema) to say. It does not see the others then: to have columns refused that the
    /// schema does not know, read all.
    ///
    /// ```
    /// use mlops_core::data::frame::ParquetOptions;
    /// use mlops_core::data::{DataType, Field, Schema};
    /// let schema = Schema::new(vec![Field::new("age", DataType::I64)])?;
    /// let options = ParquetOptions::default().with_schema(&schema);
    /// assert_eq!(options.expected, Some(vec!["age".to_owned()]));
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    #[must_use]
    pub fn with_schema(mut self, schema: &Schema) -> Self {
        self.expected = Some(schema.fields().iter().map(|field| field.name.clone()).collect());
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
    let order: Vec<&str> = positions.iter().map(|&position| fields[position].0).collect();
    let frame = reader.with_projection(Some(positions.clone())).finish().map_err(corrupt)?;
    frame.select(order).map_err(corrupt)
}

/// The positions of the columns to read, each of a type that can be.
fn selected(fields: &[(&str, &ArrowDataType)], options: &ParquetOptions) -> Result<Vec<usize>> {
    let positions = positions(fields, options)?;
    for &(name, dtype) in positions.iter().map(|&position| &fields[position]) {
        if !is_supported(dtype) {
            // The outermost type says enough; a nested one can be pages long.
            let shown = format!("{dtype:?}");
            let shown = shown.split('(').next().unwrap_or_default();
            let message = format!("column `{}` has the type {shown}, which is not supported", quote(name));
            return Err(Error::invalid(OP, "content", message).with("column", name));
        }
    }
    Ok(positions)
}

fn positions(fields: &[(&str, &ArrowDataType)], options: &ParquetOptions) -> Result<Vec<usize>> {
    let names = match (&options.select, &options.expected) {
        (Some(names), _) => names,
        (None, None) => return Ok((0..fields.len()).collect()),
        (None, Some(names)) => {
            let wanted = |at: &usize| names.iter().any(|name| name == fields[*at].0);
            let there: Vec<usize> = (0..fields.len()).filter(wanted).collect();
            if there.is_empty() {
                return Err(Error::invalid(OP, "expected", "names no column of the file"));
            }
            return Ok(there);
        }
    };
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

/// The most bytes that the columns of one row group may take when they are not compressed: 4 GiB.
const MAX_GROUP: u64 = 4 << 30;

/// Reads a Parquet file batch by batch, for files that are larger than memory.
///
/// One row group is decoded after the other, column by column, of the selected columns alone; a batch is a part of one row group. With
/// [`ParquetOptions::with_schema`] they are the columns of a schema.
///
/// Memory: one row group of the selected columns decoded, one of its columns as it lies in the file, and one batch. Writers make
/// groups of 10⁵ to 10⁶ rows; one of more than 4 GiB is refused. The warning of [`read_parquet`] about files from elsewhere holds here too.
///
/// ```
/// use mlops_core::data::frame::{ParquetBatches, ParquetOptions};
/// use mlops_core::data::{Expectation, Expectations, ValidateOptions, Validator};
/// use polars::prelude::{Column, DataFrame, ParquetWriter};
///
/// let file = tempfile::NamedTempFile::new()?;
/// let mut frame = DataFrame::new(5, vec![Column::new("age".into(), [61_i64, 48, -1, 59, 33])])?;
/// ParquetWriter::new(file.reopen()?).with_row_group_size(Some(3)).finish(&mut frame)?;
///
/// let range = mlops_core::data::Range::new(Some(0.0), None)?;
/// let expected = Expectations::new(vec![Expectation::within("age", range)])?;
/// let mut validator = Validator::new(&expected, ValidateOptions::default());
/// let mut sizes = Vec::new();
/// for batch in ParquetBatches::open(file.path(), &ParquetOptions::default(), 2)? {
///     let batch = batch?;
///     validator.push(&batch)?;
///     sizes.push(batch.rows());
/// }
/// assert!(sizes.iter().all(|rows| *rows <= 2));
/// assert_eq!((sizes.iter().sum::<usize>(), validator.report().bad_rows), (5, 1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct ParquetBatches {
    path: PathBuf,
    file: File,
    length: u64,
    metadata: FileMetadataRef,
    columns: Vec<Kept>,
    rows: usize,
    /// How many row groups were decoded.
    group: usize,
    /// The one decoded last, and how many of its rows were handed out.
    decoded: Option<(DataFrame, usize)>,
    read: u64,
    done: bool,
}

/// A column that is read.
#[derive(Debug)]
struct Kept {
    field: ArrowField,
    data_type: DataType,
}

/// The decoder has places where a damaged file makes it panic; a file must not take its reader down.
fn guarded<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    let answer = catch_unwind(AssertUnwindSafe(work));
    answer.unwrap_or_else(|_| Err(Error::new(ErrorKind::Corrupt, OP, "the file cannot be decoded")))
}

impl ParquetBatches {
    /// Opens a file and reads what it says about itself; `rows` is the most rows of a batch, at least 1.
    ///
    /// # Errors
    /// As [`read_parquet`], and [`ErrorKind::InvalidInput`] for no rows a batch.
    pub fn open(path: impl AsRef<Path>, options: &ParquetOptions, rows: usize) -> Result<Self> {
        let path = path.as_ref();
        Self::start(path, options, rows).map_err(|e| named(e, path))
    }

    fn start(path: &Path, options: &ParquetOptions, rows: usize) -> Result<Self> {
        if rows == 0 {
            return Err(Error::invalid(OP, "rows", "must be at least 1"));
        }
        check_file(OP, path)?;
        let mut file = File::open(path).map_err(|e| unreadable(OP, path, e))?;
        let length = file.metadata().map_err(|e| unreadable(OP, path, e))?.len();
        if length == 0 {
            return Err(Error::invalid(OP, "content", "is empty"));
        }
        let mut magic = [0; 8];
        let (start, end) = magic.split_at_mut(4);
        let framed = length >= 12
            && file.read_exact(start).is_ok()
            && file.seek(SeekFrom::End(-4)).is_ok()
            && file.read_exact(end).is_ok();
        if !framed || magic != *b"PAR1PAR1" {
            return Err(Error::invalid(OP, "content", "is not a Parquet file"));
        }
        let own = file.try_clone().map_err(|e| unreadable(OP, path, e))?;
        let (metadata, columns) = guarded(|| describe(own, options))?;
        if metadata.row_groups.iter().all(|group| group.num_rows() == 0) {
            return Err(Error::invalid(OP, "content", "has no rows"));
        }
        let path = path.to_owned();
        Ok(Self {
            path,
            file,
            length,
            metadata,
            columns,
            rows,
            group: 0,
            decoded: None,
            read: 0,
            done: false,
        })
    }

    /// The columns: name and type.
    pub fn columns(&self) -> Vec<(&str, DataType)> {
        self.columns.iter().map(|kept| (kept.field.name.as_str(), kept.data_type)).collect()
    }

    /// How many row groups the file says it has.
    pub fn row_groups(&self) -> usize {
        self.metadata.row_groups.len()
    }

    /// How many rows were read.
    pub fn rows_read(&self) -> u64 {
        self.read
    }

    /// Decodes the next row group that has rows; false at the end.
    fn decode(&mut self) -> Result<bool> {
        self.decoded = None;
        let metadata = FileMetadataRef::clone(&self.metadata);
        while let Some(group) = metadata.row_groups.get(self.group) {
            self.group += 1;
            if group.num_rows() == 0 {
                continue;
            }
            let number = self.group;
            let at = |e: Error| e.with("row_group", number);
            let wanted = |name: &str| self.columns.iter().any(|kept| kept.field.name.as_str() == name);
            let chunks = group.parquet_columns().iter();
            let mine = chunks.filter(|c| c.descriptor().path_in_schema.first().is_some_and(|n| wanted(n)));
            let size: u64 = mine.map(|c| u64::try_from(c.uncompressed_size()).unwrap_or(0)).sum();
            if size > MAX_GROUP {
                return Err(at(Error::limit(OP, "the size of a row group", MAX_GROUP, size)));
            }
            let mut columns = Vec::with_capacity(self.columns.len());
            for kept in &self.columns {
                let name = kept.field.name.as_str();
                let chunks = group.columns_under_root_iter(name);
                let series = guarded(|| {
                    let missing = || Error::new(ErrorKind::Corrupt, OP, "the column is not in the row group");
                    let chunks: Vec<_> = chunks.ok_or_else(missing)?.collect();
                    let mut read = Vec::with_capacity(chunks.len());
                    for chunk in chunks {
                        let range = chunk.byte_range();
                        let bytes = bytes(&mut self.file, &self.path, self.length, range)?;
                        read.push((chunk, bytes.into()));
                    }
                    let (arrays, _) = to_deserializer(read, kept.field.clone(), None).map_err(corrupt)?;
                    Series::try_from((&kept.field, arrays)).map_err(corrupt)
                });
                let series = series.and_then(|series| match series.len() == group.num_rows() {
                    true => Ok(series),
                    false => {
                        Err(Error::new(ErrorKind::Corrupt, OP, "a column has other rows than its group")
                            .with("rows", series.len())
                            .with("expected", group.num_rows()))
                    }
                });
                columns.push(series.map_err(|e| at(e.with("column", name)))?.into());
            }
            let frame = DataFrame::new(group.num_rows(), columns).map_err(|e| at(corrupt(e)))?;
            self.decoded = Some((frame, 0));
            return Ok(true);
        }
        Ok(false)
    }

    fn next_batch(&mut self) -> Result<Option<Table<'static>>> {
        loop {
            if let Some((frame, taken)) = &mut self.decoded
                && *taken < frame.height()
            {
                let from = *taken;
                *taken += self.rows.min(frame.height() - from);
                let part = frame.slice(i64::try_from(from).unwrap_or(i64::MAX), *taken - from);
                // A row in the message counts from the first of this batch.
                let place = |e: Error| e.with("row_group", self.group).with("rows_before", self.read);
                let table = frame::table(&part).map_err(place)?.into_owned();
                self.read += table.rows() as u64;
                return Ok(Some(table));
            }
            if !self.decode()? {
                return Ok(None);
            }
        }
    }
}

fn corrupt(error: PolarsError) -> Error {
    Error::new(ErrorKind::Corrupt, OP, "the file cannot be decoded").with_source(error)
}

fn named(error: Error, path: &Path) -> Error {
    if error.context("file").is_some() { error } else { error.with("file", file_name(path)) }
}

/// What a file says about itself, and the columns to read.
fn describe(file: File, options: &ParquetOptions) -> Result<(FileMetadataRef, Vec<Kept>)> {
    let mut reader = ParquetReader::new(file);
    let schema = reader.schema().map_err(corrupt)?;
    let metadata = FileMetadataRef::clone(reader.get_metadata().map_err(corrupt)?);
    let fields: Vec<&ArrowField> = schema.iter().map(|(_, field)| field).collect();
    let types: Vec<(&str, &ArrowDataType)> =
        fields.iter().map(|field| (field.name.as_str(), field.dtype())).collect();
    let kept = |position: usize| {
        let field = (*fields[position]).clone();
        let empty = Series::new_empty(field.name.clone(), &Polars::from_arrow_field(&field));
        let data_type = frame::column(&empty)?.data_type();
        Ok(Kept { field, data_type })
    };
    let columns = selected(&types, options)?.into_iter().map(kept).collect::<Result<Vec<_>>>()?;
    Ok((metadata, columns))
}

/// The bytes of a column in a row group.
fn bytes(file: &mut File, path: &Path, length: u64, range: std::ops::Range<u64>) -> Result<Vec<u8>> {
    if range.start > range.end || range.end > length {
        return Err(Error::new(ErrorKind::Corrupt, OP, "a column lies outside the file")
            .with("bytes", format!("{}..{}", range.start, range.end)));
    }
    let size = usize::try_from(range.end - range.start)
        .map_err(|_| Error::limit(OP, "the size of a column", usize::MAX, range.end - range.start))?;
    let mut bytes = vec![0; size];
    let read = file.seek(SeekFrom::Start(range.start)).and_then(|_| file.read_exact(&mut bytes));
    read.map_err(|e| unreadable(OP, path, e))?;
    Ok(bytes)
}

/// After an error there is nothing more.
impl Iterator for ParquetBatches {
    type Item = Result<Table<'static>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let batch = self.next_batch();
        self.done = !matches!(batch, Ok(Some(_)));
        batch.map_err(|e| named(e, &self.path)).transpose()
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
