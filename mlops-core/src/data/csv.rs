//! Reading CSV with errors that name file, column, row and line.
//!
//! # Design
//! One scanner decides where fields begin and end, both for checking and for reading, so that there are no two opinions on
//! a row. The whole file is looked at before a type is chosen: a column is what *all* its values are, never what the first
//! hundred are. Text goes straight into its dictionary. The file is read twice from memory: once to check and infer, once to
//! build; nothing is kept for each field in between.
//!
//! # Format
//! RFC 4180, and what is around it: lines end in LF, CRLF or CR; a field may be in double quotes, doubled inside; a quote
//! inside an unquoted field is a character. A byte-order mark is skipped. Empty lines are skipped, but in a file of one column
//! they are missing values. Everything else that is off is an error: a row with too few or too many fields, text after a
//! closing quote, a quote that is never closed, a NUL byte, what is not UTF-8.
//!
//! # Types
//! An empty field is missing, quoted or not, and so is what `null_values` lists. Of the others, a column is the first of these
//! that all its values are:
//!
//! | type | values |
//! |---|---|
//! | bool | `true`, `True`, `TRUE`, `false`, `False`, `FALSE` |
//! | i64 | digits with an optional sign, without leading zeros, in 64 bits |
//! | f64 | decimal numbers; `nan`, `inf`, `infinity` in any case. Not whole numbers alone that leave 64 bits: those are names |
//! | time | ISO 8601 dates, or dates and times; UTC unless an offset is given |
//! | category | anything; and a column without any value |
//!
//! `007` is text: a number would lose its zeros. [`CsvOptions::types`] overrides all this.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::data::number::{Zeros, boolean, described, float, integer, is_whole, time};
use crate::data::{Column, DataType, Table, Validity, Values};
use crate::error::{Error, ErrorKind, Result, quote};

const OP: &str = "read_csv";

/// The most columns a file may have.
const MAX_COLUMNS: usize = 100_000;

/// How to read a CSV file.
///
/// ```
/// use mlops_core::data::CsvOptions;
///
/// let adult = CsvOptions::default().with_columns(["age", "workclass"]).with_trim(true).with_null_values(["?"]);
/// assert!(!adult.has_header);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CsvOptions {
    /// Whether the first row names the columns. Default true.
    pub has_header: bool,
    /// The names of all columns, in order: of a file without a header row, or instead of the one it has.
    pub columns: Option<Vec<String>>,
    /// The columns to keep, in this order; all when `None`. The others are checked, but not kept.
    pub select: Option<Vec<String>>,
    /// Types of columns, by name, where they shall not be inferred. A value that is not of its type is an error. Leading zeros
    /// are allowed in numbers then.
    pub types: BTreeMap<String, DataType>,
    /// Texts that stand for "missing", besides the empty one.
    pub null_values: Vec<String>,
    /// What stands between fields: an ASCII character, but no quote and no line end. Default a comma.
    pub separator: char,
    /// Whether blanks and tabs around fields are dropped. Those inside quotes stay.
    pub trim: bool,
}

impl Default for CsvOptions {
    fn default() -> Self {
        Self {
            has_header: true,
            columns: None,
            select: None,
            types: BTreeMap::new(),
            null_values: Vec::new(),
            separator: ',',
            trim: false,
        }
    }
}

fn strings<S: Into<String>>(texts: impl IntoIterator<Item = S>) -> Vec<String> {
    texts.into_iter().map(Into::into).collect()
}

impl CsvOptions {
    /// Names all columns of a file without a header row. Where there is one that shall be replaced, set `has_header` after.
    #[must_use]
    pub fn with_columns<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.columns = Some(strings(names));
        self.with_header(false)
    }

    /// Sets whether the first row names the columns.
    #[must_use]
    pub fn with_header(mut self, has_header: bool) -> Self {
        self.has_header = has_header;
        self
    }

    /// Keeps these columns only.
    #[must_use]
    pub fn with_select<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.select = Some(strings(names));
        self
    }

    /// Gives a column's type.
    #[must_use]
    pub fn with_type(mut self, column: impl Into<String>, data_type: DataType) -> Self {
        self.types.insert(column.into(), data_type);
        self
    }

    /// Sets the texts that stand for "missing".
    #[must_use]
    pub fn with_null_values<S: Into<String>>(mut self, texts: impl IntoIterator<Item = S>) -> Self {
        self.null_values = strings(texts);
        self
    }

    /// Sets what stands between fields.
    #[must_use]
    pub fn with_separator(mut self, separator: char) -> Self {
        self.separator = separator;
        self
    }

    /// Sets whether blanks and tabs around fields are dropped.
    #[must_use]
    pub fn with_trim(mut self, trim: bool) -> Self {
        self.trim = trim;
        self
    }

    fn separator_byte(&self) -> Result<u8> {
        u8::try_from(self.separator)
            .ok()
            .filter(|byte| byte.is_ascii() && !matches!(byte, b'"' | b'\r' | b'\n' | 0))
            .ok_or_else(|| {
                let message = "must be an ASCII character, but no quote, line end or NUL";
                Error::invalid(OP, "separator", message).with("separator", self.separator)
            })
    }
}

/// Reads a CSV file.
///
/// Needs memory for the file, and for the table: 8 bytes a number, 4 bytes a text, one copy of each distinct text.
///
/// # Errors
/// All of them have the file's name in the context.
/// - [`ErrorKind::NotFound`]: no such file; a column of `select` or `types` that is not there.
/// - [`ErrorKind::InvalidInput`]: not a regular file; no bytes; a header but no rows; a header that names a column twice or not at
///   all; a row with more or fewer fields than there are columns; a value that is not of the type asked for; quotes that do
///   not match; NUL bytes; what is not UTF-8. Names row (the first below the header is 1), line and column.
/// - [`ErrorKind::LimitExceeded`]: more than 100 000 columns; a name of more than 1024 characters.
/// - [`ErrorKind::Storage`]: the file cannot be read.
///
/// ```no_run
/// use mlops_core::data::{CsvOptions, read_csv};
/// let table = read_csv("patients.csv", &CsvOptions::default().with_null_values(["NA"]))?;
/// println!("{} rows", table.rows());
/// # Ok::<(), mlops_core::Error>(())
/// ```
pub fn read_csv(path: impl AsRef<Path>, options: &CsvOptions) -> Result<Table<'static>> {
    let path = path.as_ref();
    parse_csv(&read_file(OP, path)?, options).map_err(|e| e.with("file", file_name(path)))
}

/// Reads CSV from memory.
///
/// # Errors
/// As [`read_csv`], without those of files.
///
/// ```
/// use mlops_core::data::{CsvOptions, DataType, parse_csv};
///
/// let table = parse_csv(b"id,bmi,sex\n1,32.1,f\n2,,m\n", &CsvOptions::default())?;
/// let types: Vec<DataType> = table.columns().iter().map(|c| c.data_type()).collect();
/// assert_eq!(types, [DataType::I64, DataType::F64, DataType::Category]);
/// assert_eq!(table.column("bmi")?.missing(), 1);
///
/// let error = parse_csv(b"id,bmi\n1,32.1\n2\n", &CsvOptions::default()).unwrap_err();
/// assert_eq!(error.message(), "row 2 (line 3): has 1 field, but there are 2 columns");
/// let strict = CsvOptions::default().with_type("bmi", DataType::F64);
/// let error = parse_csv(b"id,bmi\n1,32.1\n2,abc\n", &strict).unwrap_err();
/// assert_eq!(error.message(), "column `bmi`, row 2 (line 3): \"abc\" is not a number");
/// # Ok::<(), mlops_core::Error>(())
/// ```
pub fn parse_csv(bytes: &[u8], options: &CsvOptions) -> Result<Table<'static>> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut records = Records::new(bytes, options)?;
    let names = header(&mut records, options)?;
    let kept = Kept::new(&names, options)?;
    let start = records.mark();
    let types = infer(&mut records, &names, &kept, options)?;
    let rows = records.row;
    records.rewind(start);
    build(&mut records, rows, &names, &kept, &types)
}

/// The bytes of a regular file.
pub(super) fn read_file(operation: &'static str, path: &Path) -> Result<Vec<u8>> {
    let wrap = |e: std::io::Error| {
        let (kind, message) = match e.kind() {
            std::io::ErrorKind::NotFound => (ErrorKind::NotFound, "no such file"),
            _ => (ErrorKind::Storage, "the file cannot be read"),
        };
        Error::new(kind, operation, message).with("file", file_name(path)).with_source(e)
    };
    let metadata = std::fs::metadata(path).map_err(wrap)?;
    // A pipe or a device could block for ever.
    if !metadata.is_file() {
        let message = if metadata.is_dir() { "is a directory" } else { "is not a regular file" };
        return Err(Error::invalid(operation, "path", message).with("file", file_name(path)));
    }
    std::fs::read(path).map_err(wrap)
}

/// A path for a message, which keeps the end of a long one: that is where the name is.
pub(super) fn file_name(path: &Path) -> String {
    const LIMIT: usize = 60;
    let text = path.display().to_string();
    match text.chars().count().checked_sub(LIMIT) {
        None | Some(0) => text,
        Some(surplus) => format!("…{}", text.chars().skip(surplus).collect::<String>()),
    }
}

/// Where a record is: its row, 0 for the header, and the line it begins on.
#[derive(Clone, Copy, Debug)]
struct At {
    row: usize,
    line: usize,
}

impl At {
    fn fail(self, column: Option<&str>, message: &str) -> Error {
        let place = if self.row == 0 { "header".to_owned() } else { format!("row {}", self.row) };
        let column_text = column.map(|name| format!("column `{}`, ", quote(name))).unwrap_or_default();
        let message = format!("{column_text}{place} (line {}): {message}", self.line);
        let error = Error::invalid(OP, "content", message).with("row", self.row).with("line", self.line);
        match column {
            Some(name) => error.with("column", name),
            None => error,
        }
    }
}

/// A field's bytes without quotes and blanks around.
#[derive(Clone, Copy, Debug)]
struct Field {
    from: usize,
    until: usize,
    /// Whether it was in quotes.
    quoted: bool,
    /// Whether a doubled quote is inside.
    doubled: bool,
}

/// Splits bytes into records of fields.
#[derive(Debug)]
struct Records<'b> {
    bytes: &'b [u8],
    separator: u8,
    trim: bool,
    nulls: &'b [String],
    position: usize,
    line: usize,
    row: usize,
    fields: Vec<Field>,
    /// The first byte that may not be there, and what is wrong with it.
    foul: Option<(usize, &'static str)>,
}

/// A place to go back to.
#[derive(Clone, Copy, Debug)]
struct Mark {
    position: usize,
    line: usize,
}

impl<'b> Records<'b> {
    fn new(bytes: &'b [u8], options: &'b CsvOptions) -> Result<Self> {
        Ok(Self {
            bytes,
            separator: options.separator_byte()?,
            trim: options.trim,
            nulls: &options.null_values,
            position: 0,
            line: 1,
            row: 0,
            fields: Vec::new(),
            foul: foul(bytes),
        })
    }

    fn mark(&self) -> Mark {
        Mark { position: self.position, line: self.line }
    }

    fn rewind(&mut self, mark: Mark) {
        (self.position, self.line, self.row) = (mark.position, mark.line, 0);
    }

    /// Reads the next record into `fields`, blank lines too; `None` at the end.
    fn advance(&mut self, row: usize, names: Option<&[String]>) -> Result<Option<At>> {
        self.fields.clear();
        if self.position >= self.bytes.len() {
            return Ok(None);
        }
        let at = At { row, line: self.line };
        loop {
            let name = names.and_then(|names| names.get(self.fields.len())).map(String::as_str);
            let field = self.field(at, name)?;
            if let Some((_, what)) = self.foul.filter(|(byte, _)| *byte < self.position) {
                return Err(at.fail(name, what));
            }
            self.fields.push(field);
            match self.bytes.get(self.position) {
                Some(byte) if *byte == self.separator => self.position += 1,
                Some(_) => {
                    self.end_line();
                    return Ok(Some(at));
                }
                None => return Ok(Some(at)),
            }
        }
    }

    /// The next row of `names.len()` fields.
    fn row(&mut self, names: &[String]) -> Result<Option<At>> {
        loop {
            let Some(at) = self.advance(self.row + 1, Some(names))? else { return Ok(None) };
            if self.is_blank() && names.len() > 1 {
                continue;
            }
            self.row = at.row;
            if self.fields.len() == names.len() {
                return Ok(Some(at));
            }
            let columns =
                if names.len() == 1 { "is 1 column".into() } else { format!("are {} columns", names.len()) };
            let fields = if self.fields.len() == 1 { "field" } else { "fields" };
            return Err(at.fail(None, &format!("has {} {fields}, but there {columns}", self.fields.len())));
        }
    }

    fn is_blank(&self) -> bool {
        matches!(self.fields.as_slice(), [only] if only.from == only.until && !only.quoted)
    }

    fn field(&mut self, at: At, column: Option<&str>) -> Result<Field> {
        let start = self.position;
        self.skip_blanks();
        if self.bytes.get(self.position) == Some(&b'"') && (self.trim || self.position == start) {
            return self.quoted(at, column);
        }
        let from = self.position;
        let separator = self.separator;
        let ends = |byte: &u8| *byte == separator || matches!(byte, b'\r' | b'\n');
        let rest = &self.bytes[from..];
        self.position += rest.iter().position(ends).unwrap_or(rest.len());
        let mut until = self.position;
        while self.trim && until > from && matches!(self.bytes[until - 1], b' ' | b'\t') {
            until -= 1;
        }
        Ok(Field { from, until, quoted: false, doubled: false })
    }

    fn skip_blanks(&mut self) {
        let blank = |byte: &u8| self.trim && matches!(byte, b' ' | b'\t') && *byte != self.separator;
        while self.bytes.get(self.position).is_some_and(blank) {
            self.position += 1;
        }
    }

    fn quoted(&mut self, at: At, column: Option<&str>) -> Result<Field> {
        self.position += 1;
        let (from, mut doubled) = (self.position, false);
        let until = loop {
            match self.bytes.get(self.position) {
                None => return Err(at.fail(column, "a quote is opened but never closed")),
                Some(b'"') if self.bytes.get(self.position + 1) == Some(&b'"') => {
                    doubled = true;
                    self.position += 2;
                }
                Some(b'"') => break self.position,
                Some(b'\r' | b'\n') => self.end_line(),
                Some(_) => self.position += 1,
            }
        };
        self.position += 1;
        self.skip_blanks();
        match self.bytes.get(self.position) {
            Some(byte) if *byte != self.separator && !matches!(byte, b'\r' | b'\n') => {
                Err(at.fail(column, "there is text after the closing quote"))
            }
            _ => Ok(Field { from, until, quoted: true, doubled }),
        }
    }

    /// Steps over one line end, of whichever kind.
    fn end_line(&mut self) {
        let crlf = self.bytes[self.position..].starts_with(b"\r\n");
        self.position += if crlf { 2 } else { 1 };
        self.line += 1;
    }

    /// The text of a field of the current record.
    fn text(&self, index: usize) -> Cow<'b, str> {
        let Some(field) = self.fields.get(index) else { return Cow::Borrowed("") };
        // Everything up to here was found to be UTF-8, and fields are cut at ASCII characters.
        let text = std::str::from_utf8(&self.bytes[field.from..field.until]).unwrap_or_default();
        if field.doubled { text.replace("\"\"", "\"").into() } else { text.into() }
    }

    /// The text of a field; `None` when it stands for "missing".
    fn value(&self, index: usize) -> Option<Cow<'b, str>> {
        Some(self.text(index)).filter(|text| !text.is_empty() && !self.nulls.iter().any(|null| null == text))
    }
}

/// The first byte that no text file has.
fn foul(bytes: &[u8]) -> Option<(usize, &'static str)> {
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return Some((0, "is UTF-16; only UTF-8 is read"));
    }
    let nul = bytes.iter().position(|byte| *byte == 0).map(|at| (at, "has a NUL byte"));
    let utf8 = std::str::from_utf8(bytes).err().map(|e| (e.valid_up_to(), "is not UTF-8"));
    [nul, utf8].into_iter().flatten().min()
}

/// The names of the columns, each once.
fn header(records: &mut Records<'_>, options: &CsvOptions) -> Result<Vec<String>> {
    let start = records.mark();
    let at = loop {
        match records.advance(0, None)? {
            None => return Err(Error::invalid(OP, "content", "is empty")),
            Some(_) if records.is_blank() => {}
            Some(at) => break at,
        }
    };
    let width = records.fields.len();
    if width > MAX_COLUMNS {
        return Err(Error::limit(OP, "the number of columns", MAX_COLUMNS, width));
    }
    let names = match &options.columns {
        None if !options.has_header => {
            return Err(Error::invalid(
                OP,
                "columns",
                "must name the columns of a file without a header row",
            ));
        }
        None => (0..width).map(|i| records.text(i).into_owned()).collect(),
        Some(names) if names.len() == width => names.clone(),
        Some(names) => {
            let message = format!("names {} columns, but line {} has {width} fields", names.len(), at.line);
            return Err(Error::invalid(OP, "columns", message));
        }
    };
    let at = At { row: 0, ..at };
    check_names(&names, |name, message| match options.columns {
        None => at.fail(name, message),
        Some(_) => Error::invalid(OP, "columns", message).with("column", name.unwrap_or_default()),
    })?;
    if !options.has_header {
        records.rewind(start);
    }
    Ok(names)
}

fn check_names(names: &[String], fail: impl Fn(Option<&str>, &str) -> Error) -> Result<()> {
    let mut seen = HashMap::new();
    for (i, name) in names.iter().enumerate() {
        if name.is_empty() {
            return Err(fail(None, &format!("column {} has no name", i + 1)));
        }
        if let Some(first) = seen.insert(name, i) {
            return Err(fail(Some(name), &format!("columns {} and {} have one name", first + 1, i + 1)));
        }
    }
    Ok(())
}

/// The positions of the columns to keep, in order, and their given types.
struct Kept(Vec<(usize, Option<DataType>)>);

impl Kept {
    fn new(names: &[String], options: &CsvOptions) -> Result<Self> {
        let positions: HashMap<&str, usize> =
            names.iter().enumerate().map(|(i, n)| (n.as_str(), i)).collect();
        let find = |name: &str| {
            positions.get(name).copied().ok_or_else(|| {
                let known: Vec<&str> = names.iter().take(20).map(String::as_str).collect();
                Error::new(ErrorKind::NotFound, OP, "no such column")
                    .with("column", name)
                    .with("columns", known.join(", "))
            })
        };
        options.types.keys().try_for_each(|name| find(name).map(drop))?;
        let given = |position: usize| (position, options.types.get(&names[position]).copied());
        let Some(select) = &options.select else {
            return Ok(Self((0..names.len()).map(given).collect()));
        };
        if select.is_empty() {
            return Err(Error::invalid(OP, "select", "must not be empty"));
        }
        select.iter().map(|name| find(name).map(given)).collect::<Result<Vec<_>>>().map(Self)
    }
}

/// What the values of a column have all been so far.
#[derive(Clone, Copy, Debug)]
struct Guess {
    any: bool,
    boolean: bool,
    integer: bool,
    number: bool,
    /// Whether one of the numbers is not a whole one.
    fraction: bool,
    time: bool,
}

impl Guess {
    const NONE: Self =
        Self { any: false, boolean: true, integer: true, number: true, fraction: false, time: true };

    fn see(&mut self, text: &str) {
        self.any = true;
        self.boolean = self.boolean && boolean(text).is_some();
        self.integer = self.integer && integer(text, Zeros::Refuse).is_some();
        self.number = self.number && float(text, Zeros::Refuse).is_some();
        self.fraction = self.fraction || (self.number && !is_whole(text));
        self.time = self.time && time(text).is_some();
    }

    fn is_open(self) -> bool {
        self.boolean || self.number || self.time
    }

    fn data_type(self) -> DataType {
        match self {
            Self { any: false, .. } => DataType::Category,
            Self { boolean: true, .. } => DataType::Bool,
            Self { integer: true, .. } => DataType::I64,
            Self { number: true, fraction: true, .. } => DataType::F64,
            Self { time: true, .. } => DataType::Time,
            _ => DataType::Category,
        }
    }
}

/// Checks every row and finds each column's type.
fn infer(
    records: &mut Records<'_>,
    names: &[String],
    kept: &Kept,
    options: &CsvOptions,
) -> Result<Vec<DataType>> {
    let mut guesses = vec![Guess::NONE; kept.0.len()];
    while records.row(names)?.is_some() {
        for ((position, given), guess) in kept.0.iter().zip(&mut guesses) {
            if given.is_none()
                && guess.is_open()
                && let Some(text) = records.value(*position)
            {
                guess.see(&text);
            }
        }
    }
    if records.row == 0 {
        let message = if options.has_header { "has a header, but no rows" } else { "has no rows" };
        return Err(Error::invalid(OP, "content", message));
    }
    Ok(kept
        .0
        .iter()
        .zip(guesses)
        .map(|((_, given), guess)| given.unwrap_or_else(|| guess.data_type()))
        .collect())
}

fn build(
    records: &mut Records<'_>,
    rows: usize,
    names: &[String],
    kept: &Kept,
    types: &[DataType],
) -> Result<Table<'static>> {
    let mut builders: Vec<Builder> = types.iter().map(|ty| Builder::new(*ty, rows)).collect();
    while let Some(at) = records.row(names)? {
        for (((position, given), builder), ty) in kept.0.iter().zip(&mut builders).zip(types) {
            let zeros = if given.is_some() { Zeros::Allow } else { Zeros::Refuse };
            let text = records.value(*position);
            if !builder.push(text.as_deref(), zeros)? {
                let shown = quote(text.as_deref().unwrap_or_default());
                let message = format!("\"{shown}\" is not {}", described(*ty));
                return Err(at.fail(Some(&names[*position]), &message));
            }
        }
    }
    let columns = kept.0.iter().zip(builders).map(|((position, _), b)| b.finish(&names[*position]));
    Table::new(columns.collect::<Result<Vec<_>>>()?)
}

/// Collects the values of one column.
struct Builder {
    values: Building,
    valid: Vec<bool>,
}

enum Building {
    F64(Vec<f64>),
    F32(Vec<f32>),
    I64(Vec<i64>),
    Bool(Vec<bool>),
    Time(Vec<i64>),
    Text { codes: Vec<u32>, levels: Vec<String>, seen: HashMap<String, u32> },
}

impl Builder {
    fn new(data_type: DataType, rows: usize) -> Self {
        let values = match data_type {
            DataType::F64 => Building::F64(Vec::with_capacity(rows)),
            DataType::F32 => Building::F32(Vec::with_capacity(rows)),
            DataType::I64 => Building::I64(Vec::with_capacity(rows)),
            DataType::Bool => Building::Bool(Vec::with_capacity(rows)),
            DataType::Time => Building::Time(Vec::with_capacity(rows)),
            DataType::Category => {
                Building::Text { codes: Vec::with_capacity(rows), levels: Vec::new(), seen: HashMap::new() }
            }
        };
        Self { values, valid: Vec::with_capacity(rows) }
    }

    /// Adds a value, and says whether it was of the type.
    fn push(&mut self, text: Option<&str>, zeros: Zeros) -> Result<bool> {
        self.valid.push(text.is_some());
        fn put<T: Default>(
            values: &mut Vec<T>,
            text: Option<&str>,
            parse: impl Fn(&str) -> Option<T>,
        ) -> bool {
            let value = text.map_or_else(|| Some(T::default()), parse);
            let good = value.is_some();
            values.extend(value);
            good
        }
        Ok(match &mut self.values {
            Building::F64(values) => put(values, text, |text| float(text, zeros)),
            Building::F32(values) => put(values, text, |text| {
                let narrow = text.parse::<f32>().ok()?;
                float(text, zeros).filter(|wide| wide.is_finite() == narrow.is_finite()).map(|_| narrow)
            }),
            Building::I64(values) => put(values, text, |text| integer(text, zeros)),
            Building::Bool(values) => put(values, text, boolean),
            Building::Time(values) => put(values, text, time),
            Building::Text { codes, levels, seen } => {
                codes.push(text.map_or(Ok(0), |text| code(text, levels, seen))?);
                true
            }
        })
    }

    fn finish(self, name: &str) -> Result<Column<'static>> {
        let validity = self.valid.contains(&false).then(|| Validity::from_bools(&self.valid));
        let values = match self.values {
            Building::F64(values) => Values::F64(values.into()),
            Building::F32(values) => Values::F32(values.into()),
            Building::I64(values) => Values::I64(values.into()),
            Building::Bool(values) => Values::Bool(values.into()),
            Building::Time(values) => Values::Time(values.into()),
            Building::Text { codes, levels, .. } => {
                Values::Category { codes: codes.into(), levels: levels.into() }
            }
        };
        Column::new(name.to_owned(), values, validity)
    }
}

fn code(text: &str, levels: &mut Vec<String>, seen: &mut HashMap<String, u32>) -> Result<u32> {
    if let Some(code) = seen.get(text) {
        return Ok(*code);
    }
    let code = u32::try_from(levels.len())
        .map_err(|_| Error::limit(OP, "the number of distinct texts", u32::MAX, levels.len()))?;
    seen.insert(text.to_owned(), code);
    levels.push(text.to_owned());
    Ok(code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Result<Table<'static>> {
        parse_csv(text.as_bytes(), &CsvOptions::default())
    }

    /// A column as text, with `∅` for missing.
    fn labels(table: &Table<'_>, column: &str) -> Vec<String> {
        let column = table.column(column).unwrap();
        let label = |row| column.label(row).map_or_else(|| "∅".to_owned(), Cow::into_owned);
        (0..column.len()).map(label).collect()
    }

    #[test]
    fn every_kind_of_bad_content_is_named_with_its_place() {
        for (content, message) in [
            (&b""[..], "is empty"),
            (b"\xef\xbb\xbf", "is empty"),
            (b"\n\r\n", "is empty"),
            (b"a,b", "has a header, but no rows"),
            (b"a,b\n\n", "has a header, but no rows"),
            (b"a,b\n1,2\n3\n", "row 2 (line 3): has 1 field, but there are 2 columns"),
            (b"a,b\n\n1,2,3\n", "row 1 (line 3): has 3 fields, but there are 2 columns"),
            (b"a\n1,2\n", "row 1 (line 2): has 2 fields, but there is 1 column"),
            (b"a,b\n\"x\ny\",1\n2\n", "row 2 (line 4): has 1 field, but there are 2 columns"),
            (b"a,b,a\n1,2,3\n", "column `a`, header (line 1): columns 1 and 3 have one name"),
            (b"a,,c\n1,2,3\n", "header (line 1): column 2 has no name"),
            (b"a,b\n1,\xff\n", "column `b`, row 1 (line 2): is not UTF-8"),
            (b"a,\xe4\n1,2\n", "header (line 1): is not UTF-8"),
            (b"a,b\n1,2\n3,\xc3", "column `b`, row 2 (line 3): is not UTF-8"),
            (b"a,b\n1,2\n3\x00,4\n", "column `a`, row 2 (line 3): has a NUL byte"),
            (b"\xff\xfea\x00", "header (line 1): is UTF-16; only UTF-8 is read"),
            (b"a,b\n1,\"x\n2,3\n", "column `b`, row 1 (line 2): a quote is opened but never closed"),
            (b"a,b\n\"x\"y,2\n", "column `a`, row 1 (line 2): there is text after the closing quote"),
        ] {
            let error = parse_csv(content, &CsvOptions::default()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
            assert_eq!(error.message(), message, "{:?}", String::from_utf8_lossy(content));
        }
    }

    #[test]
    fn bad_options_are_refused() {
        let content = b"a,b\n1,x\n";
        let default = CsvOptions::default;
        for (options, kind, message) in [
            (default().with_separator('"'), ErrorKind::InvalidInput, "must be an ASCII character"),
            (default().with_separator('é'), ErrorKind::InvalidInput, "must be an ASCII character"),
            (default().with_header(false), ErrorKind::InvalidInput, "must name the columns"),
            (
                default().with_columns(["a"]),
                ErrorKind::InvalidInput,
                "names 1 columns, but line 1 has 2 fields",
            ),
            (default().with_columns(["a", "a"]), ErrorKind::InvalidInput, "columns 1 and 2 have one name"),
            (default().with_columns(["a", ""]), ErrorKind::InvalidInput, "column 2 has no name"),
            (
                default().with_columns(["a".to_owned(), "x".repeat(1025)]),
                ErrorKind::LimitExceeded,
                "over its limit",
            ),
            (default().with_select(["c"]), ErrorKind::NotFound, "no such column"),
            (default().with_select(["a", "a"]), ErrorKind::InvalidInput, "two columns of one name"),
            (default().with_select(Vec::<String>::new()), ErrorKind::InvalidInput, "must not be empty"),
            (default().with_type("c", DataType::F64), ErrorKind::NotFound, "no such column"),
        ] {
            let error = parse_csv(content, &options).unwrap_err();
            assert_eq!(error.kind(), kind, "{error}");
            assert!(error.message().contains(message), "{error}");
        }
        let wide = vec![b','; MAX_COLUMNS];
        assert_eq!(parse_csv(&wide, &default()).unwrap_err().kind(), ErrorKind::LimitExceeded);
    }

    #[test]
    fn a_value_of_another_type_is_named_with_its_place() {
        for (value, ty, message) in [
            ("abc", DataType::F64, "\"abc\" is not a number"),
            ("1e999", DataType::F64, "\"1e999\" is not a number"),
            ("1e39", DataType::F32, "\"1e39\" is not a number"),
            ("1.5", DataType::I64, "\"1.5\" is not a whole number of 64 bits"),
            ("yes", DataType::Bool, "\"yes\" is not true or false"),
            ("31/12/2024", DataType::Time, "\"31/12/2024\" is not an ISO 8601 date or time"),
            ("a\u{1b}[2J", DataType::F64, "\"a\\u{1b}[2J\" is not a number"),
        ] {
            let options = CsvOptions::default().with_type("y", ty);
            let error = parse_csv(format!("x,y\n1,\n2,{value}\n").as_bytes(), &options).unwrap_err();
            assert_eq!(error.message(), format!("column `y`, row 2 (line 3): {message}"));
            assert_eq!(
                (error.context("row"), error.context("line"), error.context("column")),
                (Some("2"), Some("3"), Some("y"))
            );
        }
    }

    #[test]
    fn a_column_is_what_all_its_values_are() {
        use DataType::{Bool, Category, F64, I64, Time};
        for (values, expected) in [
            (&["1", "-2", "+3"][..], I64),
            (&["1", "2.5"], F64),
            (&["1", "nan", "-inf"], F64),
            (&["1e3"], F64),
            (&["1", "x"], Category),
            (&["007", "008"], Category),
            (&["9223372036854775807"], I64),
            (&["9223372036854775808", "1"], Category),
            (&["9223372036854775808", "1.5"], F64),
            (&["1e400"], Category),
            (&["true", "False"], Bool),
            (&["true", "1"], Category),
            (&["2024-01-31", "2024-01-31T10:00Z"], Time),
            (&["2024-01-31", "2024-02-30"], Category),
            (&["", ""], Category),
            (&["", "1"], I64),
        ] {
            let text = values.iter().fold("k,x\n".to_owned(), |text, value| format!("{text}k,{value}\n"));
            assert_eq!(parse(&text).unwrap().column("x").unwrap().data_type(), expected, "{values:?}");
        }
    }

    #[test]
    fn the_last_of_many_values_still_decides_the_type() {
        let mut text = "x\n".to_owned() + &"1\n".repeat(10_000);
        text += "x17\n";
        let table = parse(&text).unwrap();
        assert_eq!(table.column("x").unwrap().data_type(), DataType::Category);
        let error = crate::data::require_numeric(&table, "x").unwrap_err();
        assert_eq!(error.message(), "column `x`, row 10001: \"x17\" is not a number");
    }

    #[test]
    fn nan_missing_empty_and_the_word_null_stay_apart() {
        let table = parse("k,x,t\na,NaN,NaN\nb,,null\nc,1,\nd,inf,\"\"\n").unwrap();
        assert_eq!(labels(&table, "x"), ["NaN", "∅", "1", "inf"]);
        assert_eq!(labels(&table, "t"), ["NaN", "null", "∅", "∅"]);
    }

    #[test]
    fn quotes_and_line_ends_follow_rfc_4180() {
        let text = "a,b\r\n\"x, \"\"y\"\"\nz\",1\r2 \"in\",3\n\" q \",4";
        let table = parse(text).unwrap();
        assert_eq!(labels(&table, "a"), ["x, \"y\"\nz", "2 \"in\"", " q "]);
        assert_eq!(labels(&table, "b"), ["1", "3", "4"]);
    }

    #[test]
    fn an_empty_line_is_nothing_among_columns_and_missing_alone() {
        assert_eq!(labels(&parse("\na,b\n\n1,2\n\n\n3,4\n\n").unwrap(), "a"), ["1", "3"]);
        assert_eq!(labels(&parse("a\n1\n\n2\n").unwrap(), "a"), ["1", "∅", "2"]);
    }

    /// The layout of the Adult data of the UCI repository: no header, a blank after each comma, `?` for unknown.
    #[test]
    fn a_file_without_header_with_blanks_and_question_marks_is_read() {
        let text =
            "39, State-gov, 77516, <=50K\n50, ?, 83311, <=50K\n\"38\" , \"Private \", 215646, >50K\n\n";
        let options = CsvOptions::default()
            .with_columns(["age", "workclass", "fnlwgt", "income"])
            .with_trim(true)
            .with_null_values(["?"]);
        let table = parse_csv(text.as_bytes(), &options).unwrap();
        assert_eq!(table.column("age").unwrap().data_type(), DataType::I64);
        assert_eq!(labels(&table, "age"), ["39", "50", "38"]);
        assert_eq!(labels(&table, "workclass"), ["State-gov", "∅", "Private "]);
        assert_eq!(labels(&table, "income"), ["<=50K", "<=50K", ">50K"]);
        // Without trimming nothing is dropped in silence.
        let raw = parse_csv(text.lines().next().unwrap().as_bytes(), &options.with_trim(false)).unwrap();
        assert_eq!(labels(&raw, "fnlwgt"), [" 77516"]);
    }

    #[test]
    fn columns_can_be_chosen_typed_and_renamed() {
        let options = CsvOptions::default().with_select(["c", "a"]).with_type("c", DataType::F32);
        let table = parse_csv(b"a;b;c\n1;x;007\n", &options.clone().with_separator(';')).unwrap();
        assert_eq!(table.names().collect::<Vec<_>>(), ["c", "a"]);
        assert_eq!(table.columns()[0].values(), &Values::F32(vec![7.0].into()));
        let renamed = CsvOptions::default().with_columns(["x", "y"]).with_header(true);
        let table = parse_csv(b"a,b\n1,2\n", &renamed).unwrap();
        assert_eq!((labels(&table, "x"), table.rows()), (vec!["1".to_owned()], 1));
        let tabs = CsvOptions::default().with_separator('\t').with_trim(true);
        assert_eq!(labels(&parse_csv(b"a\tb\n\t 2 \n", &tabs).unwrap(), "b"), ["2"]);
    }

    #[test]
    fn unselected_columns_are_checked_too() {
        let options = CsvOptions::default().with_select(["a"]);
        assert!(parse_csv(b"a,b\n1,\xff\n", &options).is_err());
        assert!(parse_csv(b"a,b\n1\n", &options).is_err());
    }

    #[test]
    fn errors_of_files_name_the_file() {
        let folder = std::env::temp_dir().join(format!("mlops-core-csv-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir(&folder).unwrap();
        let file = folder.join("ragged.csv");
        std::fs::write(&file, "a,b\n1\n").unwrap();
        let missing = read_csv(folder.join("none.csv"), &CsvOptions::default()).unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::NotFound);
        assert!(missing.context("file").unwrap().ends_with("none.csv"), "{missing}");
        let directory = read_csv(&folder, &CsvOptions::default()).unwrap_err();
        assert!(directory.message().contains("is a directory"), "{directory}");
        let ragged = read_csv(&file, &CsvOptions::default()).unwrap_err();
        assert!(ragged.context("file").unwrap().ends_with("ragged.csv"), "{ragged}");
        std::fs::write(&file, "a,b\n1,2\n").unwrap();
        assert_eq!(read_csv(&file, &CsvOptions::default()).unwrap().rows(), 1);
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_long_path_keeps_its_end() {
        let shown = file_name(Path::new(&format!("/{}/data.csv", "ä".repeat(200))));
        assert!(shown.starts_with('…') && shown.ends_with("/data.csv") && shown.chars().count() == 61);
        assert_eq!(file_name(Path::new("data.csv")), "data.csv");
    }

    proptest! {
        /// What is written by the rules of RFC 4180 comes back as it was.
        #[test]
        fn text_survives(rows in prop::collection::vec([".{0,8}", "[a\"\r\n, ]{1,6}"], 1..20)) {
            let clean = |text: &str| text.replace('\0', "");
            let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
            let rows: Vec<[String; 2]> = rows.iter().map(|row| [clean(&row[0]), clean(&row[1])]).collect();
            let mut text = "a,b\n".to_owned();
            for row in &rows {
                text += &format!("{},{}\r\n", quoted(&row[0]), quoted(&row[1]));
            }
            let options = CsvOptions::default().with_type("a", DataType::Category).with_type("b", DataType::Category);
            let table = parse_csv(text.as_bytes(), &options).unwrap();
            for (column, name) in ["a", "b"].into_iter().enumerate() {
                let read = labels(&table, name);
                for (read, row) in read.iter().zip(&rows) {
                    prop_assert_eq!(read, if row[column].is_empty() { "∅" } else { &row[column] });
                }
            }
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..60), trim: bool) {
            let _ = parse_csv(&bytes, &CsvOptions::default().with_trim(trim));
        }

        #[test]
        fn no_marks_make_it_panic(text in "[a1\",\r\n .\u{e4}]{0,40}", trim: bool) {
            if let Ok(table) = parse_csv(text.as_bytes(), &CsvOptions::default().with_trim(trim)) {
                prop_assert!(table.rows() > 0);
            }
        }

        #[test]
        fn floats_survive(values in prop::collection::vec(any::<f64>(), 1..20)) {
            let text = values.iter().fold("x\n".to_owned(), |text, value| format!("{text}{value:?}\n"));
            let table = parse(&text).unwrap();
            for (read, value) in table.columns()[0].to_f64().unwrap().iter().zip(&values) {
                prop_assert!(read.to_bits() == value.to_bits() || (read.is_nan() && value.is_nan()));
            }
        }
    }
}
