//! Rows as text.

use super::OP;
use super::options::BatchFormat;
use super::score::Refused;
use crate::data::{Column, ReadBatch, Table, Values};
use crate::error::{Error, ErrorKind, Result};
use crate::model::Predictions;

/// What the number of a row is called, where no column is carried.
const ROW: &str = "row";

/// Writes rows of results.
#[derive(Debug)]
pub(super) struct RowWriter {
    format: BatchFormat,
    carried: Vec<String>,
    /// What the predictions are called; known with the first of them.
    answers: Option<Vec<String>>,
}

/// The names of the columns of predictions.
pub(super) fn answers(predictions: &Predictions) -> Vec<String> {
    match predictions {
        Predictions::Probability(_) => vec!["probability".to_owned()],
        Predictions::Value(_) => vec!["value".to_owned()],
        Predictions::Classes(classes) => {
            let of = |label: &String| format!("probability_{label}");
            std::iter::once("class".to_owned()).chain(classes.labels().iter().map(of)).collect()
        }
    }
}

/// A text as JSON.
fn json(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A number as JSON; one that JSON has not, as text.
fn number(out: &mut Vec<u8>, value: f64) {
    match serde_json::Number::from_f64(value) {
        Some(number) => out.extend_from_slice(number.to_string().as_bytes()),
        None => out.extend_from_slice(json(&value.to_string()).as_bytes()),
    }
}

/// A cell of CSV, in quotes where it must be: also where it is empty, but not missing.
fn cell(out: &mut Vec<u8>, text: &str) {
    if text.is_empty() || text.contains([',', '"', '\n', '\r']) {
        out.push(b'"');
        out.extend_from_slice(text.replace('"', "\"\"").as_bytes());
        out.push(b'"');
    } else {
        out.extend_from_slice(text.as_bytes());
    }
}

/// A value of a column as JSON.
fn value(out: &mut Vec<u8>, column: &Column<'_>, row: usize) {
    let Some(label) = column.label(row) else {
        out.extend_from_slice(b"null");
        return;
    };
    let finite = match column.values() {
        Values::F64(values) => values.get(row).is_some_and(|value| value.is_finite()),
        Values::F32(values) => values.get(row).is_some_and(|value| value.is_finite()),
        Values::I64(_) | Values::Bool(_) => true,
        _ => false,
    };
    match finite {
        true => out.extend_from_slice(label.as_bytes()),
        false => out.extend_from_slice(json(&label).as_bytes()),
    }
}

impl RowWriter {
    /// A writer of these carried columns. `answers` are those of work that is resumed.
    pub(super) fn new(format: BatchFormat, carried: &[String], answers: Option<Vec<String>>) -> Self {
        Self { format, carried: carried.to_vec(), answers }
    }

    pub(super) fn answers(&self) -> Option<&[String]> {
        self.answers.as_deref()
    }

    /// The names that the columns of results have.
    fn names<'w>(&'w self, answers: &'w [String]) -> impl Iterator<Item = &'w str> {
        let row = self.carried.is_empty().then_some(ROW);
        row.into_iter().chain(self.carried.iter().chain(answers).map(String::as_str))
    }

    /// Learns what predictions are called; the first time, the header is written.
    fn learn(&mut self, out: &mut Vec<u8>, answers: Vec<String>) -> Result<()> {
        match &self.answers {
            Some(known) if *known == answers => Ok(()),
            Some(known) => {
                let message = "the model's answers are of another kind than before";
                let error = Error::new(ErrorKind::Internal, OP, message);
                Err(error.with("before", known.join(", ")).with("now", answers.join(", ")))
            }
            None => {
                if let Some(twice) = self.carried.iter().find(|name| answers.contains(name)) {
                    let message = "a carried column is called like the prediction";
                    return Err(Error::invalid(OP, "carried", message).with("column", twice));
                }
                self.header(out, &answers);
                self.answers = Some(answers);
                Ok(())
            }
        }
    }

    fn header(&self, out: &mut Vec<u8>, answers: &[String]) {
        if self.format != BatchFormat::Csv {
            return;
        }
        for (at, name) in self.names(answers).enumerate() {
            if at > 0 {
                out.push(b',');
            }
            cell(out, name);
        }
        out.push(b'\n');
    }

    /// Writes what stands above no rows at all.
    pub(super) fn empty(&self, out: &mut Vec<u8>) {
        self.header(out, &[]);
    }

    /// Writes the rows at `rows` of a table and the answers to them. `before` rows were read before those of the table.
    pub(super) fn write(
        &mut self,
        out: &mut Vec<u8>,
        table: &Table<'_>,
        rows: &[usize],
        predictions: &[Predictions],
        before: u64,
    ) -> Result<()> {
        let carried = self.carried.iter().map(|name| table.column(name)).collect::<Result<Vec<_>>>()?;
        let mut rows = rows.iter();
        for part in predictions {
            self.learn(out, answers(part))?;
            let (width, values) = numbers(part);
            let keys: Vec<String> = self
                .names(self.answers.as_deref().unwrap_or_default())
                .map(|name| json(name) + ":")
                .collect();
            for (at, (numbers, row)) in values.chunks_exact(width).zip(&mut rows).enumerate() {
                let class = part.as_classes().and_then(|classes| classes.likeliest(at));
                let answer = Answer { class, numbers };
                match self.format {
                    BatchFormat::Csv => csv_row(out, &carried, *row, before, &answer),
                    BatchFormat::JsonLines => json_row(out, &keys, &carried, *row, before, &answer),
                }
            }
        }
        Ok(())
    }

    /// Writes rows that are set aside, one JSON object a line.
    pub(super) fn refuse(
        &self,
        out: &mut Vec<u8>,
        batch: &ReadBatch,
        refused: &[Refused],
        before: u64,
    ) -> Result<()> {
        for one in refused {
            out.extend_from_slice(format!("{{\"row\":{}", before + one.at as u64 + 1).as_bytes());
            if let Some(line) = batch.line(one.at) {
                out.extend_from_slice(format!(",\"line\":{line}").as_bytes());
            }
            if let Some(column) = &one.column {
                out.extend_from_slice(format!(",\"column\":{}", json(column)).as_bytes());
            }
            out.extend_from_slice(format!(",\"reason\":{}", json(&one.reason)).as_bytes());
            if !self.carried.is_empty() {
                out.extend_from_slice(b",\"carried\":{");
                for (at, name) in self.carried.iter().enumerate() {
                    let comma = if at > 0 { "," } else { "" };
                    out.extend_from_slice(format!("{comma}{}:", json(name)).as_bytes());
                    value(out, batch.table().column(name)?, one.at);
                }
                out.push(b'}');
            }
            out.extend_from_slice(b"}\n");
        }
        Ok(())
    }
}

/// How many numbers an answer has, and all of them, answer by answer.
fn numbers(predictions: &Predictions) -> (usize, &[f64]) {
    (predictions.width(), predictions.as_slice())
}

/// The answer to one row: of several classes the likeliest, and the numbers.
struct Answer<'p> {
    class: Option<&'p str>,
    numbers: &'p [f64],
}

fn csv_row(out: &mut Vec<u8>, carried: &[&Column<'_>], row: usize, before: u64, answer: &Answer<'_>) {
    if carried.is_empty() {
        out.extend_from_slice((before + row as u64 + 1).to_string().as_bytes());
        out.push(b',');
    }
    for column in carried {
        if let Some(text) = column.label(row) {
            cell(out, &text);
        }
        out.push(b',');
    }
    if let Some(class) = answer.class {
        cell(out, class);
        out.push(b',');
    }
    for (at, number) in answer.numbers.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        self::number(out, *number);
    }
    out.push(b'\n');
}

fn json_row(
    out: &mut Vec<u8>,
    keys: &[String],
    carried: &[&Column<'_>],
    row: usize,
    before: u64,
    answer: &Answer<'_>,
) {
    let mut keys = keys.iter();
    let mut key = |out: &mut Vec<u8>, first: bool| {
        out.push(if first { b'{' } else { b',' });
        out.extend_from_slice(keys.next().map_or(&b""[..], |key| key.as_bytes()));
    };
    if carried.is_empty() {
        key(out, true);
        out.extend_from_slice((before + row as u64 + 1).to_string().as_bytes());
    }
    for (at, column) in carried.iter().enumerate() {
        key(out, at == 0);
        value(out, column, row);
    }
    if let Some(class) = answer.class {
        key(out, false);
        out.extend_from_slice(json(class).as_bytes());
    }
    for number in answer.numbers {
        key(out, false);
        self::number(out, *number);
    }
    out.extend_from_slice(b"}\n");
}
