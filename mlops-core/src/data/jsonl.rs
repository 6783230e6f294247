//! JSON Lines in batches: one object a line, for files that are larger than memory.

use std::borrow::Cow;
use std::fmt;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

use super::csv::{Builder, check_file, file_name, unreadable};
use super::number::{Zeros, described};
use super::unreadable::{Marks, ReadBatch, Unreadable};
use super::{DataType, Table};
use crate::error::{Error, Result, quote};

const OP: &str = "read_json_lines";

/// The longest line, in bytes.
const MAX_LINE: usize = 16 << 20;

/// A batch ends early when it has taken so many bytes of the file.
const MAX_BATCH: usize = 64 << 20;

/// A column that is read.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Wanted {
    name: String,
    /// None: text, whole numbers and truth values, as text.
    data_type: Option<DataType>,
}

/// Which fields of the objects are read, and as what.
///
/// ```
/// use mlops_core::data::{DataType, JsonLinesOptions};
/// let options = JsonLinesOptions::default().with_column("bmi", DataType::F64).with_text("id");
/// # let _ = options;
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JsonLinesOptions {
    columns: Vec<Wanted>,
}

impl JsonLinesOptions {
    /// Reads a field of this type: JSON numbers where numbers are wanted, `true` and `false`, texts, and ISO 8601 texts for times.
    #[must_use]
    pub fn with_column(mut self, name: impl Into<String>, data_type: DataType) -> Self {
        self.columns.push(Wanted { name: name.into(), data_type: Some(data_type) });
        self
    }

    /// Reads a field as text, also where it is a whole number of 64 bits or a truth value. Another number is refused: it could not be told how
    /// it was written.
    #[must_use]
    pub fn with_text(mut self, name: impl Into<String>) -> Self {
        self.columns.push(Wanted { name: name.into(), data_type: None });
        self
    }
}

/// Reads a file of one JSON object a line, batch by batch. What cannot be read is set aside as by
/// [`TolerantCsvBatches`](crate::data::TolerantCsvBatches): a value of another type is missing, of a line that is no object every value is, and both
/// are [described](ReadBatch::unreadable).
///
/// A field that is not there, or null, is missing. Other fields than those asked for are not kept; a field that comes twice makes its line
/// one that cannot be read. Empty lines are skipped; so is a byte-order mark.
///
/// Memory: one line (16 MiB at most) and one batch. A batch has as many rows as asked for, and fewer where they take 64 MiB of the file.
///
/// ```
/// use std::io::Write as _;
/// use mlops_core::data::{DataType, JsonLinesBatches, JsonLinesOptions};
///
/// let mut file = tempfile::NamedTempFile::new()?;
/// file.write_all(b"{\"id\": 7, \"bmi\": 32.1}\n{\"id\": \"x\", \"bmi\": \"high\"}\n{\"id\": 9\n")?;
/// let options = JsonLinesOptions::default().with_column("bmi", DataType::F64).with_text("id");
/// let batch = JsonLinesBatches::open(file.path(), &options, 100)?.next().ok_or("empty")??;
/// assert_eq!(batch.table().column("id")?.label(0).as_deref(), Some("7"));
/// let texts: Vec<String> = batch.unreadable().iter().map(|place| place.to_string()).collect();
/// assert_eq!(texts[0], "line 2, column `bmi`: \"high\" is not a number");
/// assert_eq!(batch.unreadable_rows(), [1, 2]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct JsonLinesBatches {
    path: PathBuf,
    file: BufReader<File>,
    columns: Vec<Wanted>,
    rows: usize,
    line: Vec<u8>,
    /// The number of the line read last.
    number: usize,
    read: usize,
    done: bool,
}

impl JsonLinesBatches {
    /// Opens a file; `rows` is the most rows of a batch, at least 1.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) for no such file; [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for what is no
    /// regular file, for no rows a batch, and for no columns or one that comes twice. While reading, in addition:
    /// [`ErrorKind::LimitExceeded`](crate::ErrorKind::LimitExceeded) for a line of more than 16 MiB, and
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for a file without rows.
    pub fn open(path: impl AsRef<Path>, options: &JsonLinesOptions, rows: usize) -> Result<Self> {
        let path = path.as_ref();
        let bad = |field, message| Err(Error::invalid(OP, field, message).with("file", file_name(path)));
        if rows == 0 {
            return bad("rows", "must be at least 1");
        }
        if options.columns.is_empty() {
            return bad("columns", "must not be empty");
        }
        let mut seen = std::collections::HashSet::new();
        if let Some(twice) = options.columns.iter().find(|column| !seen.insert(column.name.as_str())) {
            let error = Error::invalid(OP, "columns", "names a column twice");
            return Err(error.with("column", &twice.name));
        }
        check_file(OP, path)?;
        let file = File::open(path).map_err(|e| unreadable(OP, path, e))?;
        Ok(Self {
            path: path.to_owned(),
            file: BufReader::with_capacity(1 << 18, file),
            columns: options.columns.clone(),
            rows,
            line: Vec::new(),
            number: 0,
            read: 0,
            done: false,
        })
    }

    /// How many rows were read, those that could not be read among them.
    pub fn rows_read(&self) -> usize {
        self.read
    }

    /// Reads the next line that is not blank; false at the end.
    fn next_line(&mut self) -> Result<bool> {
        loop {
            self.line.clear();
            let most = MAX_LINE as u64 + 1;
            let read = (&mut self.file).take(most).read_until(b'\n', &mut self.line);
            if read.map_err(|e| unreadable(OP, &self.path, e))? == 0 {
                return Ok(false);
            }
            self.number += 1;
            if self.line.len() > MAX_LINE {
                let got = format!("{} bytes or more", self.line.len());
                let error = Error::limit(OP, "the length of a line", MAX_LINE, got);
                return Err(error.with("line", self.number));
            }
            if self.number == 1 && self.line.starts_with(b"\xef\xbb\xbf") {
                self.line.drain(..3);
            }
            if !self.line.trim_ascii().is_empty() {
                return Ok(true);
            }
        }
    }

    fn read(&mut self) -> Result<Option<ReadBatch>> {
        let room = self.rows.min(1 << 12);
        let mut building = Building {
            builders: self
                .columns
                .iter()
                .map(|column| Builder::new(column.data_type.unwrap_or(DataType::Category), room))
                .collect(),
            marks: Marks::default(),
            rows: 0,
        };
        let mut taken = 0;
        while building.rows < self.rows && taken < MAX_BATCH && self.next_line()? {
            taken += self.line.len();
            building.push(&self.columns, &self.line, self.number)?;
        }
        self.read += building.rows;
        match building.rows {
            0 if self.read == 0 => Err(Error::invalid(OP, "content", "has no rows")),
            0 => Ok(None),
            _ => building.finish(&self.columns).map(Some),
        }
    }
}

/// After an error there is nothing more.
impl Iterator for JsonLinesBatches {
    type Item = Result<ReadBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let batch = self.read();
        self.done = !matches!(batch, Ok(Some(_)));
        let name = || file_name(&self.path);
        batch.map_err(|e| if e.context("file").is_some() { e } else { e.with("file", name()) }).transpose()
    }
}

struct Building {
    builders: Vec<Builder>,
    marks: Marks,
    rows: usize,
}

impl Building {
    fn push(&mut self, columns: &[Wanted], line: &[u8], number: usize) -> Result<()> {
        let row = self.rows;
        self.rows += 1;
        self.marks.begin(number);
        let line = line.trim_ascii_end();
        let mut json = serde_json::Deserializer::from_slice(line);
        let read = Fields(columns).deserialize(&mut json).and_then(|values| json.end().map(|()| values));
        let values = match read {
            Ok(values) => values,
            Err(e) => {
                self.builders.iter_mut().for_each(Builder::push_missing);
                let beginning = String::from_utf8_lossy(line.get(..1_024).unwrap_or(line));
                let (text, problem) = (quote(&beginning), problem(&e));
                let place = Unreadable { row, line: number, column: None, expected: None, text, problem };
                self.marks.add(|| place, row, None);
                return Ok(());
            }
        };
        for ((column, builder), value) in columns.iter().zip(&mut self.builders).zip(&values) {
            let good = match text_of(value, column.data_type) {
                Ok(text) => builder.push(text.as_deref(), Zeros::Allow)?,
                Err(()) => false,
            };
            if good {
                continue;
            }
            builder.push_missing();
            let shown = match value {
                Some(Value::String(text)) => quote(text),
                other => quote(&other.as_ref().map(Value::to_string).unwrap_or_default()),
            };
            let place = || Unreadable {
                row,
                line: number,
                column: Some(column.name.clone()),
                expected: column.data_type,
                text: shown,
                problem: match column.data_type {
                    Some(data_type) => format!("is not {}", described(data_type)),
                    None => "is not a text, a whole number or a truth value".to_owned(),
                },
            };
            self.marks.add(place, row, Some(&column.name));
        }
        Ok(())
    }

    fn finish(self, columns: &[Wanted]) -> Result<ReadBatch> {
        let built = columns.iter().zip(self.builders).map(|(column, builder)| builder.finish(&column.name));
        let table = Table::new(built.collect::<Result<Vec<_>>>()?)?;
        Ok(ReadBatch::new(table, self.marks))
    }
}

/// What is wrong with a line.
fn problem(error: &serde_json::Error) -> String {
    if error.is_data() {
        // Our own words, and that the line holds something else than an object.
        let text = error.to_string();
        return match text.split_once(" at line ") {
            Some((what, _)) if what.starts_with("has ") => quote(what),
            _ => "is not a JSON object".to_owned(),
        };
    }
    format!("is not JSON (at byte {})", error.column())
}

/// The text of a value for a column of this type; none where it is missing; an error where it is of another type.
fn text_of(value: &Option<Value>, data_type: Option<DataType>) -> Result<Option<Cow<'_, str>>, ()> {
    let owned = |text: String| Ok(Some(Cow::Owned(text)));
    match (value, data_type) {
        (None | Some(Value::Null), _) => Ok(None),
        (Some(Value::Number(number)), Some(DataType::F64 | DataType::F32 | DataType::I64)) => {
            owned(number.to_string())
        }
        (Some(Value::Number(number)), None) if number.is_i64() || number.is_u64() => {
            owned(number.to_string())
        }
        (Some(Value::Bool(value)), Some(DataType::Bool) | None) => owned(value.to_string()),
        (Some(Value::String(text)), Some(DataType::Category | DataType::Time) | None) => {
            Ok(Some(Cow::Borrowed(text)))
        }
        _ => Err(()),
    }
}

/// Reads the wanted fields of an object, each once.
struct Fields<'c>(&'c [Wanted]);

impl<'de> DeserializeSeed<'de> for Fields<'_> {
    type Value = Vec<Option<Value>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Fields<'_> {
    type Value = Vec<Option<Value>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut values: Vec<Option<Value>> = vec![None; self.0.len()];
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            match self.0.iter().position(|column| column.name == key) {
                None => drop(map.next_value::<IgnoredAny>()?),
                Some(at) => {
                    let value = map.next_value()?;
                    let place = values.get_mut(at).filter(|place| place.is_none());
                    let Some(place) = place else {
                        let message = format!("has the field {} twice", quote(&key));
                        return Err(serde::de::Error::custom(message));
                    };
                    *place = Some(value);
                }
            }
        }
        Ok(values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use std::io::Write as _;

    fn options() -> JsonLinesOptions {
        JsonLinesOptions::default()
            .with_column("x", DataType::F64)
            .with_column("n", DataType::I64)
            .with_column("b", DataType::Bool)
            .with_column("s", DataType::Category)
            .with_column("t", DataType::Time)
            .with_text("id")
    }

    fn read(content: &[u8], rows: usize) -> Result<Vec<ReadBatch>> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(content).unwrap();
        JsonLinesBatches::open(file.path(), &options(), rows)?.collect()
    }

    #[test]
    fn values_are_of_their_types_or_set_aside() {
        let text = concat!(
            "\u{feff}{\"x\": 1, \"n\": -7, \"b\": true, \"s\": \"\", \"t\": \"2026-01-02\", \"id\": 1000}\n",
            "\r\n",
            "{\"x\": 1.5e300, \"n\": 1.0, \"b\": 1, \"s\": 5, \"t\": 0, \"id\": 1.0}\n",
            "{\"x\": null, \"other\": {\"deep\": [1, {}]}}\n",
            "{\"x\": 1e999}\n",
            "{\"x\": 1, \"x\": 2}\n",
            "[1]\n",
            "{\"x\": \"\u{e9}",
        );
        let batches = read(text.as_bytes(), 100).unwrap();
        let [batch] = &batches[..] else { panic!("{} batches", batches.len()) };
        let label = |name, row| batch.table().column(name).unwrap().label(row).map(Cow::into_owned);
        let first: Vec<_> =
            ["x", "n", "b", "s", "t", "id"].iter().map(|name| label(name, 0).unwrap()).collect();
        assert_eq!(first, ["1", "-7", "true", "", "2026-01-02T00:00:00+00:00", "1000"]);
        assert_eq!(batch.unreadable_rows(), [1, 3, 4, 5, 6]);
        let lines: Vec<_> = (0..7).map(|row| batch.line(row).unwrap()).collect();
        assert_eq!(lines, [1, 3, 4, 5, 6, 7, 8]);
        let told: Vec<String> = batch.unreadable().iter().map(ToString::to_string).collect();
        assert_eq!(
            told[..5],
            [
                "line 3, column `n`: \"1.0\" is not a whole number of 64 bits",
                "line 3, column `b`: \"1\" is not true or false",
                "line 3, column `s`: \"5\" is not a text",
                "line 3, column `t`: \"0\" is not an ISO 8601 date or time",
                "line 3, column `id`: \"1.0\" is not a text, a whole number or a truth value",
            ]
        );
        assert!(told[5].starts_with("line 5: ") && told[5].contains("is not JSON (at byte "), "{}", told[5]);
        assert!(told[6].ends_with("has the field x twice"), "{}", told[6]);
        assert!(told[7].ends_with("is not a JSON object"), "{}", told[7]);
        assert!(told[8].starts_with("line 8: ") && told[8].contains("is not JSON"), "{}", told[8]);
        assert_eq!(label("x", 1).as_deref(), Some(&*1.5e300_f64.to_string()));
    }

    #[test]
    fn batches_have_as_many_rows_as_asked_for() {
        let text: String = (0..10).map(|i| format!("{{\"x\": {i}}}\n")).collect();
        let sizes: Vec<_> = read(text.as_bytes(), 4).unwrap().iter().map(|b| b.table().rows()).collect();
        assert_eq!(sizes, [4, 4, 2]);
    }

    #[test]
    fn files_without_rows_and_with_endless_lines_are_refused() {
        for content in [&b""[..], b"\n \n", b"\xef\xbb\xbf"] {
            assert_eq!(read(content, 1).unwrap_err().message(), "has no rows");
        }
        let mut long = b"{\"s\": \"".to_vec();
        long.resize(MAX_LINE + 10, b'x');
        let error = read(&long, 1).unwrap_err();
        assert_eq!((error.kind(), error.context("line")), (ErrorKind::LimitExceeded, Some("1")));
        // Nothing in it is a line; none of it is held but its beginning.
        let nested = "[".repeat(100_000);
        assert_eq!(read(nested.as_bytes(), 1).unwrap()[0].unreadable_rows(), [0]);
    }
}
