//! Where fields and records begin and end.

use std::borrow::Cow;

use crate::error::{Error, Result, quote};

use super::OP;
use super::options::CsvOptions;

/// Where a record is: its row, 0 for the header, and the line it begins on.
#[derive(Clone, Copy, Debug)]
pub(super) struct At {
    pub(super) row: usize,
    pub(super) line: usize,
}

impl At {
    pub(super) fn fail(self, column: Option<&str>, message: &str) -> Error {
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
pub(super) struct Field {
    from: usize,
    until: usize,
    /// Whether it was in quotes.
    quoted: bool,
    /// Whether a doubled quote is inside.
    doubled: bool,
}

/// Splits bytes into records of fields.
#[derive(Debug)]
pub(super) struct Records<'b> {
    bytes: &'b [u8],
    separator: u8,
    trim: bool,
    nulls: &'b [String],
    position: usize,
    line: usize,
    /// The row read last.
    pub(super) row: usize,
    pub(super) fields: Vec<Field>,
    /// The first byte that may not be there, and what is wrong with it.
    foul: Option<Foul>,
    /// Whether more bytes follow, which are not here yet.
    partial: bool,
}

/// A byte that may not be there, and what is wrong with it.
pub(super) type Foul = (usize, &'static str);

/// A place to go back to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    /// The byte.
    pub(super) position: usize,
    /// Its line, counted from 1.
    pub(super) line: usize,
    /// The row read last.
    pub(super) row: usize,
}

impl<'b> Records<'b> {
    pub(super) fn new(bytes: &'b [u8], options: &'b CsvOptions) -> Result<Self> {
        Ok(Self {
            bytes,
            separator: options.separator_byte()?,
            trim: options.trim,
            nulls: &options.null_values,
            position: 0,
            line: 1,
            row: 0,
            fields: Vec::new(),
            foul: foul(bytes, false),
            partial: false,
        })
    }

    /// The same over the first bytes of a file, or over some in the middle of it: the rest is not here yet.
    pub(super) fn part(
        bytes: &'b [u8],
        options: &'b CsvOptions,
        from: Mark,
        foul: Option<Foul>,
        partial: bool,
    ) -> Result<Self> {
        Ok(Self {
            bytes,
            separator: options.separator_byte()?,
            trim: options.trim,
            nulls: &options.null_values,
            position: from.position,
            line: from.line,
            row: from.row,
            fields: Vec::new(),
            foul,
            partial,
        })
    }

    pub(super) fn mark(&self) -> Mark {
        Mark { position: self.position, line: self.line, row: self.row }
    }

    pub(super) fn rewind(&mut self, mark: Mark) {
        (self.position, self.line, self.row) = (mark.position, mark.line, mark.row);
    }

    /// Reads the next record into `fields`, blank lines too; `None` at the end, and where the record goes on in bytes that are
    /// not here yet: then nothing of it is read.
    pub(super) fn advance(&mut self, row: usize, names: Option<&[String]>) -> Result<Option<At>> {
        self.fields.clear();
        if self.position >= self.bytes.len() {
            return Ok(None);
        }
        let (at, start) = (At { row, line: self.line }, self.mark());
        loop {
            let name = names.and_then(|names| names.get(self.fields.len())).map(String::as_str);
            let field = match self.field(at, name) {
                Err(_) if self.is_starved() => return Ok(self.give_up(start)),
                field => field?,
            };
            if let Some((_, what)) = self.foul.filter(|(byte, _)| *byte < self.position) {
                return Err(at.fail(name, what));
            }
            if self.is_starved() {
                return Ok(self.give_up(start));
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

    /// Whether what was read last may go on in bytes that are not here yet; a CR may be half of a line end.
    fn is_starved(&self) -> bool {
        let left = self.bytes.get(self.position..).unwrap_or_default();
        self.partial && matches!(left, [] | [b'\r'])
    }

    fn give_up(&mut self, start: Mark) -> Option<At> {
        self.fields.clear();
        (self.position, self.line) = (start.position, start.line);
        None
    }

    /// The next row of `names.len()` fields.
    pub(super) fn row(&mut self, names: &[String]) -> Result<Option<At>> {
        match self.any_row(names)? {
            Some(at) if self.fields.len() != names.len() => Err(at.fail(None, &self.ragged(names.len()))),
            at => Ok(at),
        }
    }

    /// The next row, however many fields it has.
    pub(super) fn any_row(&mut self, names: &[String]) -> Result<Option<At>> {
        loop {
            let Some(at) = self.advance(self.row + 1, Some(names))? else { return Ok(None) };
            if self.is_blank() && names.len() > 1 {
                continue;
            }
            self.row = at.row;
            return Ok(Some(at));
        }
    }

    /// What is wrong with a row that has another number of fields than there are columns.
    pub(super) fn ragged(&self, columns: usize) -> String {
        let columns = if columns == 1 { "is 1 column".into() } else { format!("are {columns} columns") };
        let fields = if self.fields.len() == 1 { "field" } else { "fields" };
        format!("has {} {fields}, but there {columns}", self.fields.len())
    }

    /// The beginning of the record read last, as it stands there.
    pub(super) fn beginning(&self) -> Cow<'b, str> {
        let ends = self.fields.first().zip(self.fields.last());
        let (from, until) = ends.map_or((0, 0), |(first, last)| (first.from, last.until));
        // Enough for what a message shows of it.
        let bytes = self.bytes.get(from..until.min(from + 1_024)).unwrap_or_default();
        String::from_utf8_lossy(bytes)
    }

    pub(super) fn is_blank(&self) -> bool {
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
    pub(super) fn text(&self, index: usize) -> Cow<'b, str> {
        let Some(field) = self.fields.get(index) else { return Cow::Borrowed("") };
        // Everything up to here was found to be UTF-8, and fields are cut at ASCII characters.
        let text = std::str::from_utf8(&self.bytes[field.from..field.until]).unwrap_or_default();
        if field.doubled { text.replace("\"\"", "\"").into() } else { text.into() }
    }

    /// The text of a field; `None` when it stands for "missing".
    pub(super) fn value(&self, index: usize) -> Option<Cow<'b, str>> {
        Some(self.text(index)).filter(|text| !text.is_empty() && !self.nulls.iter().any(|null| null == text))
    }
}

/// The first byte that no text file has. In a part of a file a character may be cut at the end.
pub(super) fn foul(bytes: &[u8], partial: bool) -> Option<Foul> {
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return Some((0, "is UTF-16; only UTF-8 is read"));
    }
    let nul = bytes.iter().position(|byte| *byte == 0).map(|at| (at, "has a NUL byte"));
    let utf8 = std::str::from_utf8(bytes).err().filter(|e| !partial || e.error_len().is_some());
    let utf8 = utf8.map(|e| (e.valid_up_to(), "is not UTF-8"));
    [nul, utf8].into_iter().flatten().min()
}
