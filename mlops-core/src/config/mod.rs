//! Files that people write: TOML, JSON and, with the feature `yaml`, YAML, read strictly.
//!
//! One place for the rules that every such file obeys: at most one mebibyte, no key that is not known, no key twice, and an
//! error that says in which file, at which key, on which line and in which column. Numbers are the format's own: a quoted
//! `"0.1"` is text, not a number. JSON and YAML have a null; it is refused, as a key without a value would drop a rule.

mod format;
mod json;
mod tree;
#[cfg(feature = "yaml")]
mod yaml;

use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::de::DeserializeOwned;
use toml::de::{DeTable, DeValue};

pub use self::format::Format;
use self::tree::{Fault, Node, Value};
use crate::error::{Error, ErrorKind, Result, needs_escape, quote};

/// The longest file, in bytes.
pub(crate) const MAX_BYTES: usize = 1 << 20;

/// Reads a text file of at most [`MAX_BYTES`].
///
/// # Errors
/// [`ErrorKind::NotFound`], [`ErrorKind::LimitExceeded`], [`ErrorKind::InvalidInput`] for what is not a regular file or not
/// UTF-8, [`ErrorKind::Storage`] for what the file system refuses.
pub(crate) fn read(operation: &'static str, path: &Path) -> Result<String> {
    let fault = |source: std::io::Error| {
        let kind = match source.kind() {
            std::io::ErrorKind::NotFound => ErrorKind::NotFound,
            _ => ErrorKind::Storage,
        };
        Error::new(kind, operation, "cannot read the file").with("file", path.display()).with_source(source)
    };
    // A FIFO would block when opened, and a device would never end.
    if !std::fs::metadata(path).map_err(fault)?.is_file() {
        return Err(Error::invalid(operation, "path", "is not a file").with("file", path.display()));
    }
    let mut bytes = Vec::new();
    let limit = MAX_BYTES as u64 + 1;
    File::open(path).map_err(fault)?.take(limit).read_to_end(&mut bytes).map_err(fault)?;
    // A file over the limit may be cut inside a character: its size is what is wrong with it, not its encoding.
    check_size(operation, &path.display().to_string(), bytes.len())?;
    String::from_utf8(bytes).map_err(|source| {
        let message = format!("is not UTF-8 text at byte {}", source.utf8_error().valid_up_to());
        Error::invalid(operation, "path", message)
            .with("file", path.display())
            .with_source(source.utf8_error())
    })
}

fn check_size(operation: &'static str, file: &str, bytes: usize) -> Result<()> {
    if bytes <= MAX_BYTES {
        return Ok(());
    }
    let got = format!("{bytes} bytes or more");
    Err(Error::limit(operation, "the file's size", MAX_BYTES, got).with("file", file))
}

/// A text, and what to call it in errors.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Document<'a> {
    operation: &'static str,
    file: &'a str,
    text: &'a str,
    format: Format,
}

impl<'a> Document<'a> {
    /// A text, checked to be no longer than [`MAX_BYTES`].
    ///
    /// # Errors
    /// [`ErrorKind::LimitExceeded`]; [`ErrorKind::Unsupported`] for YAML without the feature `yaml`.
    pub(crate) fn new(operation: &'static str, file: &'a str, text: &'a str, format: Format) -> Result<Self> {
        check_size(operation, file, text.len())?;
        if format == Format::Yaml && !cfg!(feature = "yaml") {
            return Err(Error::unsupported(operation, "YAML, without the feature `yaml`"));
        }
        Ok(Self { operation, file, text, format })
    }

    /// The text as a tree, for formats that have no reader with places of their own.
    fn tree(&self) -> Result<Node, Fault> {
        match self.format {
            Format::Json => json::parse(self.text),
            #[cfg(feature = "yaml")]
            Format::Yaml => yaml::parse(self.text),
            _ => Err(Fault::new(0, "the format is not known here")),
        }
    }

    /// Reads the text as a `T`. `list` names the array of tables whose `id` an error quotes, when it lies in one of them.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] with the context `field` (the key), `file`, `line` and, where there is one, `id`.
    pub(crate) fn parse<T: DeserializeOwned>(&self, list: Option<&str>) -> Result<T> {
        match self.format {
            Format::Toml => self.parse_toml(list),
            Format::Json | Format::Yaml => self.parse_tree(list),
        }
    }

    fn parse_tree<T: DeserializeOwned>(&self, list: Option<&str>) -> Result<T> {
        let tree = self.tree().map_err(|fault| self.failure(fault))?;
        T::deserialize(&tree).map_err(|fault| {
            let id = fault.at.zip(list).and_then(|(at, list)| id_in_tree(&tree, list, at));
            let failure = self.failure(fault);
            match id {
                Some(id) => failure.with("id", id),
                None => failure,
            }
        })
    }

    fn failure(&self, fault: Fault) -> Error {
        let (key, message) = describe(&fault.message, &fault.key, "");
        self.error(&key, fault.at, message)
    }

    fn parse_toml<T: DeserializeOwned>(&self, list: Option<&str>) -> Result<T> {
        toml::from_str(self.text).map_err(|error| {
            let offset = error.span().map(|span| span.start);
            let at = error.span().and_then(|span| self.text.get(span)).unwrap_or_default();
            let (key, message) = explain(error, at);
            let failure = self.error(&key, offset, message);
            match offset.zip(list).and_then(|(offset, list)| self.id_at(list, offset)) {
                Some(id) => failure.with("id", id),
                None => failure,
            }
        })
    }

    /// [`ErrorKind::InvalidInput`] about `key` at a byte offset of the text.
    pub(crate) fn error(&self, key: &str, offset: Option<usize>, message: impl Into<String>) -> Error {
        let error = Error::invalid(self.operation, &quote(key), message).with("file", self.file);
        match offset {
            Some(offset) => error.with("line", self.line(offset)).with("column", self.column(offset)),
            None => error,
        }
    }

    /// The line, counted from 1, in which a byte lies.
    fn line(&self, offset: usize) -> usize {
        let before = self.text.as_bytes().iter().take(offset);
        1 + before.filter(|byte| **byte == b'\n').count()
    }

    /// The character of its line, counted from 1, that begins at a byte.
    fn column(&self, offset: usize) -> usize {
        let before = self.text.get(..offset).unwrap_or_default();
        1 + before.chars().rev().take_while(|c| *c != '\n').count()
    }

    /// Where the value at a path of keys stands; nowhere, if there is none.
    pub(crate) fn offset(&self, path: &[&str]) -> Option<usize> {
        if self.format != Format::Toml {
            let tree = self.tree().ok()?;
            return path.iter().try_fold(&tree, |node, key| node.get(key)).map(|node| node.at);
        }
        let document = DeTable::parse(self.text).ok()?;
        let (last, tables) = path.split_last()?;
        let mut table = document.get_ref();
        for key in tables {
            let DeValue::Table(inner) = table.get(*key)?.get_ref() else { return None };
            table = inner;
        }
        table.get(*last).map(|value| value.span().start)
    }

    /// Where the value at `key` of a table in the array `list` stands; where the table stands, if it has no such key.
    pub(crate) fn offset_in(&self, list: &str, index: usize, key: &str) -> Option<usize> {
        if self.format != Format::Toml {
            let tree = self.tree().ok()?;
            let Value::List(tables) = &tree.get(list)?.value else { return None };
            let table = tables.get(index)?;
            return Some(table.get(key).map_or(table.at, |value| value.at));
        }
        let document = DeTable::parse(self.text).ok()?;
        let DeValue::Array(tables) = document.get_ref().get(list)?.get_ref() else { return None };
        let table = tables.get(index)?;
        let value = table.get_ref().get(key);
        Some(value.map_or(table.span().start, |value| value.span().start))
    }

    /// Where the value at a path of keys within a table of the array `list` stands; where the last table on the way stands, if
    /// the path goes no further.
    pub(crate) fn offset_within(&self, list: &str, index: usize, path: &[&str]) -> Option<usize> {
        if self.format != Format::Toml {
            let tree = self.tree().ok()?;
            let Value::List(tables) = &tree.get(list)?.value else { return None };
            let mut node = tables.get(index)?;
            for key in path {
                let Some(inner) = node.get(key) else { break };
                node = inner;
            }
            return Some(node.at);
        }
        let document = DeTable::parse(self.text).ok()?;
        let DeValue::Array(tables) = document.get_ref().get(list)?.get_ref() else { return None };
        let mut value = tables.get(index)?;
        for key in path {
            let DeValue::Table(table) = value.get_ref() else { break };
            let Some(inner) = table.get(*key) else { break };
            value = inner;
        }
        Some(value.span().start)
    }

    /// The `id` of the table in the array `list` within which a byte lies.
    fn id_at(&self, list: &str, offset: usize) -> Option<String> {
        // What lies further down does not matter, and whatever does not parse there would cost an error each.
        let end = self.text.floor_char_boundary(offset.saturating_add(16 << 10));
        let (document, _) = DeTable::parse_recoverable(&self.text[..end]);
        let tables = document.get_ref().get(list)?.get_ref();
        let DeValue::Array(tables) = tables else { return None };
        let table = tables.iter().take_while(|table| table.span().start <= offset).last()?;
        match table.get_ref().get("id")?.get_ref() {
            DeValue::String(id) => Some(id.to_string()),
            _ => None,
        }
    }
}

/// The `id` of the table in the array `list` within which a byte lies.
fn id_in_tree(tree: &Node, list: &str, offset: usize) -> Option<String> {
    let Value::List(tables) = &tree.get(list)?.value else { return None };
    let table = tables.iter().take_while(|table| table.at <= offset).last()?;
    match &table.get("id")?.value {
        Value::Text(id) => Some(id.clone()),
        _ => None,
    }
}

/// The key an error is about, and what is wrong with it, as a sentence. `at` is the text the error points at.
fn explain(mut error: toml::de::Error, at: &str) -> (String, String) {
    // Without its input the error prints its message and then the path of the key. It is not kept as a source: with or
    // without input it repeats text of the file unescaped and at any length.
    error.set_input(None);
    let shown = error.to_string();
    let path = shown.trim_end().rsplit_once("\nin `").and_then(|(_, path)| path.strip_suffix('`'));
    let path = path.unwrap_or_default();
    describe(error.message(), path, at)
}

/// The same, of a message of serde's, the path of keys at which it arose, and the text it points at.
fn describe(message: &str, path: &str, at: &str) -> (String, String) {
    if let Some((what, name, known)) = unknown(message) {
        let key = if what == "key" { name } else { path };
        return (key.to_owned(), suggest(what, name, &known));
    }
    if let Some(key) = message.strip_prefix("missing field `").and_then(|rest| rest.strip_suffix('`')) {
        return (key.to_owned(), format!("the key `{}` is missing", quote(key)));
    }
    let key = match path {
        "" if message == "duplicate key" && !at.is_empty() => at,
        "" => "file",
        path => path,
    };
    (key.to_owned(), shorten(message))
}

/// Takes serde's message about a name that is not known apart.
fn unknown(message: &str) -> Option<(&'static str, &str, Vec<&str>)> {
    let (what, rest) = match message.strip_prefix("unknown field `") {
        Some(rest) => ("key", rest),
        None => ("value", message.strip_prefix("unknown variant `")?),
    };
    // From the right: the known names are ours, the unknown one may hold anything.
    let (name, known) = rest.rsplit_once("`, expected ").or_else(|| rest.rsplit_once("`, there are no "))?;
    Some((what, name, known.split('`').skip(1).step_by(2).collect()))
}

fn suggest(what: &str, name: &str, known: &[&str]) -> String {
    let shown = quote(name);
    match nearest(name, known) {
        Some(near) => format!("unknown {what} `{shown}`; did you mean `{near}`?"),
        None => format!("unknown {what} `{shown}`; known are {}", known.join(", ")),
    }
}

/// What a message about an unknown name ends with: the known one that is near, or nothing.
pub(crate) fn hint(name: &str, known: &[&str]) -> String {
    nearest(name, known).map(|near| format!("; did you mean `{}`?", quote(near))).unwrap_or_default()
}

/// The known name with the fewest edits, if they are few enough for a slip: one, or up to a third of the letters.
pub(crate) fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    // A name of more letters than this is no slip, and the cost grows with the square.
    let letters: Vec<char> = name.chars().take(65).collect();
    let near = |k: &&'a str| {
        let other: Vec<char> = k.chars().collect();
        let limit = (other.len().max(letters.len()) / 3).max(1);
        let edits = edits(&letters, &other);
        (letters.len() <= 64 && edits <= limit).then_some((edits, *k))
    };
    known.iter().filter_map(near).min_by_key(|(edits, _)| *edits).map(|(_, k)| k)
}

/// How many letters must be put in, left out, changed or swapped with their neighbour (optimal string alignment).
fn edits(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let changed = above[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut fewest = changed.min(above[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                fewest = fewest.min(before[j - 2] + 1);
            }
            row.push(fewest);
        }
        before = std::mem::replace(&mut above, row);
    }
    above.last().copied().unwrap_or_default()
}

/// Escapes a message and cuts what is too long out of its middle: the ends say what is wrong, the middle is a value.
fn shorten(message: &str) -> String {
    const END: usize = 60;
    let escape =
        |c: char| -> String { if needs_escape(c) { c.escape_default().collect() } else { c.into() } };
    let escaped: Vec<char> =
        message.chars().take(10 * END).flat_map(|c| escape(c).chars().collect::<Vec<_>>()).collect();
    let whole = message.chars().nth(10 * END).is_none();
    if whole && escaped.len() <= 2 * END {
        return escaped.into_iter().collect();
    }
    let tail: Vec<char> = message.chars().rev().take(END).collect();
    let tail: String = tail.into_iter().rev().map(escape).collect();
    let tail: Vec<char> = tail.chars().collect();
    let start: String = escaped.iter().take(END).collect();
    let end: String = tail.iter().skip(tail.len().saturating_sub(END)).collect();
    format!("{start}…{end}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Sample {
        max: Option<f64>,
        way: Option<Way>,
        #[serde(default)]
        items: Vec<Item>,
    }

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Item {
        id: String,
        count: Option<u64>,
    }

    #[derive(Debug, serde::Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Way {
        HigherIsBetter,
        LowerIsBetter,
    }

    fn fault(text: &str) -> Error {
        Document::new("op", "a.toml", text, Format::Toml)
            .and_then(|d| d.parse::<Sample>(Some("items")))
            .unwrap_err()
    }

    #[test]
    fn an_error_names_file_key_and_line_and_the_nearest_known_name() {
        for (text, field, line, words) in [
            ("\nmaxx = 1", "maxx", "2", "unknown key `maxx`; did you mean `max`?"),
            ("zebra = 1", "zebra", "1", "unknown key `zebra`; known are max, way, items"),
            ("way = \"higher_is_beter\"", "way", "1", "did you mean `higher_is_better`?"),
            ("max = 1\nmax = 999", "max", "2", "duplicate"),
            ("max = \"0.1\"", "max", "1", "expected f64"),
            ("max = [1", "file", "1", ""),
            ("\n\n[[items]]\ncount = 1", "id", "3", "the key `id` is missing"),
            ("[[items]]\nid = \"a\"\n[[items]]\nid = \"b\"\ncount = -1", "items.count", "5", "integer `-1`"),
        ] {
            let error = fault(text);
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{text}");
            assert_eq!(error.context("file"), Some("a.toml"), "{text}");
            assert_eq!(error.context("line"), Some(line), "{text}: {error}");
            assert!(error.message().contains(words), "{text}: {error}");
            assert_eq!(error.context("field"), Some(field), "{text}: {error}");
        }
    }

    #[test]
    fn the_nearest_name_is_one_slip_or_a_few_away() {
        let known = ["min", "max", "max_drop", "require_interval"];
        for (name, near) in [
            ("mni", Some("min")),
            ("maxx", Some("max")),
            ("maxdrop", Some("max_drop")),
            ("interval", None),
            ("requires_intervall", Some("require_interval")),
            ("", None),
            ("zzz", None),
        ] {
            assert_eq!(nearest(name, &known), near, "{name}");
        }
        assert_eq!(nearest("x", &[]), None);
        assert_eq!(nearest(&"max".repeat(1_000_000), &known), None);
    }

    #[test]
    fn an_error_within_a_list_names_the_id() {
        for (text, id) in [
            ("[[items]]\nid = \"a\"\n[[items]]\nid = \"b\"\ncount = -1", Some("b")),
            ("[[items]]\ncont = 1\nid = \"a\"\n[[items]]\nid = \"b\"\n", Some("a")),
            ("[[items]]\nid = \"a\"\ncount = 1\ncount = 2\n[[items]]\nid = \"b\"", Some("a")),
            ("items = [{id = \"a\"}, {id = \"b\", cnt = 1}]", Some("b")),
            ("[[items]]\ncont = 1\n", None),
        ] {
            assert_eq!(fault(text).context("id"), id, "{text}: {}", fault(text));
        }
    }

    #[test]
    fn what_is_no_toml_at_all_is_refused_without_a_forged_line() {
        for text in [
            "[".repeat(50_000),
            "[".repeat(MAX_BYTES),
            "=\n".repeat(MAX_BYTES / 2),
            "a=1\n".repeat(MAX_BYTES / 4),
            "[[items]]\n".repeat(MAX_BYTES / 10),
            format!("max = {}", "[".repeat(50_000)),
            format!("max = \"{}\"", "x".repeat(900_000)),
            format!("\"{}\" = 1", "\\n".repeat(1000)),
            "way = \"\\u202e\\u001b[2J\\n2026-01-01 granted\"".to_owned(),
            "max = 1\0".to_owned(),
            "\u{202e} = 1".to_owned(),
            ".a".repeat(10_000),
        ] {
            let error = fault(&text);
            let shown = format!("{error} {error:?}");
            assert!(!shown.contains(['\n', '\u{1b}', '\0', '\u{202e}']), "{shown}");
            assert!(shown.chars().count() < 1_000, "{shown}");
        }
        assert_eq!(fault(&" ".repeat(MAX_BYTES + 1)).kind(), ErrorKind::LimitExceeded);
    }

    #[test]
    fn a_byte_order_mark_and_line_ends_of_two_characters_are_read() {
        let document = Document::new("op", "a.toml", "\u{feff}max = 1\r\n", Format::Toml).unwrap();
        assert_eq!(document.parse::<Sample>(None).unwrap().max, Some(1.0));
    }

    #[test]
    fn files_that_cannot_be_read_say_why() {
        let folder = std::env::temp_dir().join(format!("mlops-config-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir(&folder).unwrap();
        let write = |name: &str, bytes: &[u8]| {
            let path = folder.join(name);
            std::fs::write(&path, bytes).unwrap();
            path
        };
        let cases = [
            (folder.join("absent"), ErrorKind::NotFound),
            (folder.clone(), ErrorKind::InvalidInput),
            (write("latin", b"max = \xe9"), ErrorKind::InvalidInput),
            (write("utf16", b"\xff\xfem\0"), ErrorKind::InvalidInput),
            (write("big", &vec![b' '; MAX_BYTES + 1]), ErrorKind::LimitExceeded),
        ];
        for (path, kind) in cases {
            let error = read("op", &path).unwrap_err();
            assert_eq!(error.kind(), kind, "{error}");
            assert!(error.context("file").is_some(), "{error}");
        }
        let longest = write("longest", &vec![b' '; MAX_BYTES]);
        assert_eq!(read("op", &longest).unwrap().len(), MAX_BYTES);
        std::fs::remove_dir_all(folder).unwrap();
    }
}
