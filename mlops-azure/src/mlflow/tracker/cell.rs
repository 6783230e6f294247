//! Text of any length in tags of limited length.
//!
//! A tag of a run holds 8 000 characters (5 000 on older servers), and MLflow cuts longer ones without a word. A *cell* is a
//! text under a name: in the tag itself where it fits, else in numbered tags beside it, while the tag holds their number and
//! the digest of the whole. The digest is part of their names, so that a text that is replaced stays whole until its
//! successor is.

use std::collections::HashMap;

use mlops_core::hash::Digest;
use mlops_core::{Error, ErrorKind, Result};

use crate::mlflow::wire::KeyValue;

/// The longest text in one tag, in characters; every server since MLflow 1 keeps that much.
pub(super) const MAX_TAG: usize = 5_000;
/// The longest parameter that MLflow keeps in full, in characters.
pub(super) const MAX_PARAM: usize = 6_000;

const MARK: &str = "mlops:chunks=";

/// Tags by key.
pub(super) type Table = HashMap<String, String>;

/// Writes a text under a name. The text must not begin with the mark of long cells; JSON never does.
pub(super) fn write(name: &str, text: String, out: &mut Vec<KeyValue>) {
    if text.len() <= MAX_TAG || text.chars().count() <= MAX_TAG {
        return out.push(KeyValue::new(name, text));
    }
    let (chunks, digest) = (split(&text, MAX_TAG), Digest::of(text.as_bytes()));
    for (i, chunk) in chunks.iter().enumerate() {
        out.push(KeyValue::new(piece(name, &digest, i), *chunk));
    }
    // Last: what it names is there before it is.
    out.push(KeyValue::new(name, format!("{MARK}{};{digest}", chunks.len())));
}

fn piece(name: &str, digest: &Digest, i: usize) -> String {
    format!("{name}.{}.{i}", digest.hex().get(..12).unwrap_or_default())
}

/// Reads what was written under a name; `None` if nothing was.
pub(super) fn read(operation: &'static str, name: &str, tags: &Table) -> Result<Option<String>> {
    let Some(head) = tags.get(name) else { return Ok(None) };
    let Some(rest) = head.strip_prefix(MARK) else { return Ok(Some(head.clone())) };
    let corrupt = || {
        Error::new(ErrorKind::Corrupt, operation, "a text kept in several tags is not what was written")
            .with("tag", name)
    };
    let (count, digest) = rest.split_once(';').ok_or_else(corrupt)?;
    let count: usize = count.parse().map_err(|_| corrupt())?;
    let digest: Digest = digest.parse().map_err(|_| corrupt())?;
    let mut text = String::new();
    for i in 0..count.min(tags.len()) {
        text.push_str(tags.get(&piece(name, &digest, i)).ok_or_else(corrupt)?);
    }
    match Digest::of(text.as_bytes()) == digest {
        true => Ok(Some(text)),
        false => Err(corrupt()),
    }
}

/// Cuts a text into pieces of `size` characters.
fn split(text: &str, size: usize) -> Vec<&str> {
    let mut ends: Vec<usize> = text.char_indices().map(|(at, _)| at).step_by(size).collect();
    ends.push(text.len());
    ends.windows(2).filter_map(|pair| text.get(*pair.first()?..*pair.last()?)).collect()
}

/// What people see of a text that is too long for MLflow: its beginning, its length and its digest, so that two texts that
/// begin alike differ.
pub(super) fn preview(text: &str) -> String {
    const SHOWN: usize = MAX_TAG - 200;
    let head: String = text.chars().take(SHOWN).collect();
    format!("{head}… ({} characters, {})", text.chars().count(), Digest::of(text.as_bytes()))
}

/// Whether a text has more than `limit` characters.
pub(super) fn is_longer(text: &str, limit: usize) -> bool {
    text.len() > limit && text.chars().count() > limit
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(pairs: &[KeyValue]) -> Table {
        pairs.iter().map(|pair| (pair.key.clone(), pair.value.clone())).collect()
    }

    #[test]
    fn text_of_any_length_comes_back() {
        for text in ["", "{}", &"家".repeat(MAX_TAG), &"家".repeat(MAX_TAG + 1), &"é1".repeat(65_536)] {
            let mut pairs = Vec::new();
            write("cell", text.to_owned(), &mut pairs);
            assert!(pairs.iter().all(|pair| pair.value.chars().count() <= MAX_TAG));
            assert_eq!(read("op", "cell", &table(&pairs)).unwrap().as_deref(), Some(text));
        }
        assert_eq!(read("op", "cell", &Table::new()).unwrap(), None);
    }

    #[test]
    fn a_cell_that_lost_or_changed_a_piece_is_corrupt() {
        let mut pairs = Vec::new();
        write("cell", "x".repeat(3 * MAX_TAG), &mut pairs);
        let mut lost = table(&pairs);
        lost.remove(&pairs[1].key);
        let mut changed = table(&pairs);
        changed.insert(pairs[0].key.clone(), "y".to_owned());
        let mut endless = table(&pairs);
        endless.insert("cell".to_owned(), format!("{MARK}18446744073709551615;x"));
        for tags in [lost, changed, endless] {
            assert_eq!(read("op", "cell", &tags).unwrap_err().kind(), ErrorKind::Corrupt);
        }
    }

    #[test]
    fn a_text_that_is_replaced_stays_whole_until_its_successor_is() {
        let (mut old, mut new) = (Vec::new(), Vec::new());
        let (one, two) = ("1".repeat(20_000), "2".repeat(30_000));
        write("cell", one.clone(), &mut old);
        write("cell", two.clone(), &mut new);
        let mut tags = table(&old);
        for (i, pair) in new.iter().enumerate() {
            tags.insert(pair.key.clone(), pair.value.clone());
            let expected = if i + 1 == new.len() { &two } else { &one };
            assert_eq!(read("op", "cell", &tags).unwrap().as_ref(), Some(expected));
        }
    }

    #[test]
    fn previews_of_texts_that_begin_alike_differ() {
        let (one, two) = (format!("{}1", "x".repeat(10_000)), format!("{}2", "x".repeat(10_000)));
        assert_ne!(preview(&one), preview(&two));
        assert!(!is_longer(&preview(&one), MAX_TAG));
    }
}
