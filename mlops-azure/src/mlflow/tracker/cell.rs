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
/// The longest text in one tag that Azure Machine Learning keeps.
pub(super) const MAX_AZURE_TAG: usize = 1_000;

const MARK: &str = "mlops:chunks=";

/// Tags by key.
pub(super) type Table = HashMap<String, String>;

/// Writes a text under a name. The text must not begin with the mark of long cells; JSON never does.
pub(super) fn write(name: &str, text: String, out: &mut Vec<KeyValue>) {
    write_in(MAX_TAG, name, text, out);
}

/// Cuts what is the tracker's own and does not fit into a tag of `size` characters into further tags. Whoever reads a cell puts
/// its pieces together again, of whatever size.
pub(super) fn fit(size: usize, pairs: Vec<KeyValue>) -> Vec<KeyValue> {
    if size >= MAX_TAG {
        return pairs;
    }
    let mut out = Vec::with_capacity(pairs.len());
    for KeyValue { key, value } in pairs {
        match super::names::is_own_param(&key) {
            true => write_in(size, &key, value, &mut out),
            false => out.push(KeyValue { key, value }),
        }
    }
    out
}

fn write_in(size: usize, name: &str, text: String, out: &mut Vec<KeyValue>) {
    if !is_longer(&text, size) {
        return out.push(KeyValue::new(name, text));
    }
    let (chunks, digest) = (split(&text, size), Digest::of(text.as_bytes()));
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
    read_in(2, operation, name, tags)
}

/// Reads a cell whose pieces may be cells themselves, to so many levels.
fn read_in(levels: u32, operation: &'static str, name: &str, tags: &Table) -> Result<Option<String>> {
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
        let piece = piece(name, &digest, i);
        match levels.checked_sub(1) {
            Some(below) if below > 0 => {
                text.push_str(&read_in(below, operation, &piece, tags)?.ok_or_else(corrupt)?)
            }
            _ => text.push_str(tags.get(&piece).ok_or_else(corrupt)?),
        }
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
pub(super) fn preview(text: &str, limit: usize) -> String {
    let head: String = text.chars().take(limit.min(MAX_TAG).saturating_sub(200)).collect();
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
    fn cells_fit_into_smaller_tags_and_come_back() {
        for text in ["{}".to_owned(), "家".repeat(1_001), "é1".repeat(9_999), "x".repeat(100_000)] {
            let mut pairs = Vec::new();
            write("mlops.spec", text.clone(), &mut pairs);
            pairs.push(KeyValue::new("note", "y".repeat(3_000)));
            let small = fit(MAX_AZURE_TAG, pairs.clone());
            let own = |pair: &&KeyValue| pair.key.starts_with("mlops.");
            assert!(small.iter().filter(own).all(|p| p.value.chars().count() <= 1_000 && p.key.len() <= 100));
            assert_eq!(read("op", "mlops.spec", &table(&small)).unwrap().as_ref(), Some(&text));
            assert_eq!(
                small.last().map(|pair| pair.value.len()),
                Some(3_000),
                "what is the user's is not cut here"
            );
            assert_eq!(fit(MAX_TAG, pairs.clone()), pairs);
        }
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
        for limit in [MAX_TAG, MAX_AZURE_TAG] {
            assert_ne!(preview(&one, limit), preview(&two, limit));
            assert!(!is_longer(&preview(&one, limit), limit));
        }
    }
}
