//! How text travels through maps of short texts: in pieces that every database holds, and so that every character arrives.

use mlops_core::{Error, ErrorKind, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::wire::TextMap;

/// The most characters in one tag. MLflow lets 100 000 pass; the column of its 2.x databases holds 5 000.
const PIECE: usize = 4_800;

/// The most characters in one property of an asset of Azure Machine Learning, whose limit is nowhere said.
const PROPERTY: usize = 1_000;

/// The most characters that one thing may take in all its tags: 8 MB travel in one request.
pub(crate) const MAX_JSON: usize = 8 << 20;

/// JSON in ASCII: no database, collation or proxy has an opinion about it.
pub(crate) fn ascii_json(operation: &'static str, value: &impl Serialize) -> Result<String> {
    let json = serde_json::to_string(value).map_err(|e| {
        Error::new(ErrorKind::InvalidInput, operation, "cannot be written as JSON").with_source(e)
    })?;
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        // Outside of strings JSON is ASCII, so that what is not stands within one.
        if c.is_ascii() && c != '\u{7f}' {
            out.push(c);
        } else {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    match out.len() {
        got if got > MAX_JSON => Err(Error::limit(operation, "the text of one entry", MAX_JSON, got)),
        _ => Ok(out),
    }
}

/// Reads what [`ascii_json`] wrote.
pub(crate) fn from_json<T: DeserializeOwned>(operation: &'static str, json: &str) -> Result<T> {
    serde_json::from_str(json).map_err(|e| {
        Error::new(ErrorKind::Corrupt, operation, "what the server keeps cannot be read").with_source(e)
    })
}

/// One tag, as MLflow takes it.
pub(crate) fn tag(key: &str, value: &str) -> Value {
    json!({ "key": key, "value": value })
}

/// The tags that hold ASCII text: `KEY.000`, `KEY.001`, …
pub(crate) fn cut(key: &str, ascii: &str) -> Vec<Value> {
    let pieces = ascii.as_bytes().chunks(PIECE).enumerate();
    // Text in ASCII has its characters at its bytes.
    pieces.map(|(i, piece)| tag(&format!("{key}.{i:03}"), &String::from_utf8_lossy(piece))).collect()
}

/// The text that [`cut`] made tags of; `None` where there is none, or a piece is missing.
pub(crate) fn join(key: &str, tags: &[Value]) -> Option<String> {
    let mut pieces: Vec<(usize, &str)> = tags
        .iter()
        .filter_map(|tag| {
            let number = tag.get("key")?.as_str()?.strip_prefix(key)?.strip_prefix('.')?;
            Some((number.parse().ok()?, tag.get("value")?.as_str()?))
        })
        .collect();
    pieces.sort_unstable();
    let whole = !pieces.is_empty() && pieces.iter().enumerate().all(|(i, (number, _))| i == *number);
    whole.then(|| pieces.into_iter().map(|(_, piece)| piece).collect())
}

/// Puts ASCII text into properties: `KEY.000`, `KEY.001`, …
pub(crate) fn spread(key: &str, ascii: &str, properties: &mut TextMap) {
    for (i, piece) in ascii.as_bytes().chunks(PROPERTY).enumerate() {
        properties.insert(format!("{key}.{i:03}"), String::from_utf8_lossy(piece));
    }
}

/// The text that [`spread`] put into properties; `None` where there is none, or a piece is missing.
pub(crate) fn gather(key: &str, properties: &TextMap) -> Option<String> {
    let number = |name: &str| name.strip_prefix(key)?.strip_prefix('.')?.parse::<usize>().ok();
    let mut pieces: Vec<(usize, &str)> =
        properties.0.iter().filter_map(|(name, piece)| Some((number(name)?, piece.as_str()))).collect();
    pieces.sort_unstable();
    let whole = !pieces.is_empty() && pieces.iter().enumerate().all(|(i, (number, _))| i == *number);
    whole.then(|| pieces.into_iter().map(|(_, piece)| piece).collect())
}

/// Text as it is shown in the service's pages, where the exact one is kept elsewhere: at most `limit` characters, none that a
/// database refuses.
pub(crate) fn shown(text: &str, limit: usize) -> String {
    let clean = |c: char| if c == '\0' { '\u{fffd}' } else { c };
    if text.chars().nth(limit).is_none() {
        return text.chars().map(clean).collect();
    }
    text.chars().take(limit.saturating_sub(1)).map(clean).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_any_script_travels_in_ascii_and_comes_back() {
        for text in [
            "",
            "plain",
            "größe \u{7f}",
            "家族 👩‍👩‍👧",
            "a\0b\r\n\u{1b}",
            "\u{10ffff}\u{fffd}",
            "\\u0041 \"quoted\"",
        ] {
            let json = ascii_json("op", &text).unwrap();
            assert!(json.bytes().all(|b| (0x20..0x7f).contains(&b)), "{json}");
            assert_eq!(from_json::<String>("op", &json).unwrap(), text);
        }
    }

    #[test]
    fn pieces_make_the_whole_in_whatever_order_they_come() {
        let text: String = ('a'..='z').cycle().take(20_000).collect();
        let mut tags = cut("mlops.spec", &text);
        assert_eq!(tags.len(), 5);
        tags.reverse();
        tags.push(tag("mlops.specs.000", "another key"));
        tags.push(tag("mlops.spec.x", "no number"));
        assert_eq!(join("mlops.spec", &tags).as_deref(), Some(text.as_str()));
        tags.remove(2);
        assert_eq!(join("mlops.spec", &tags), None, "a piece is missing");
        assert_eq!(join("mlops.spec", &[]), None);
    }

    #[test]
    fn properties_hold_text_of_any_length() {
        let text: String = ('a'..='z').cycle().take(1_000 * 1_001).collect();
        let mut properties = TextMap::default();
        spread("mlops.spec", &text, &mut properties);
        properties.insert("mlops.spec", "another key");
        assert_eq!((properties.0.len(), gather("mlops.spec", &properties)), (1_002, Some(text)));
        properties.0.remove("mlops.spec.1000");
        properties.0.remove("mlops.spec.007");
        assert_eq!(gather("mlops.spec", &properties), None, "a piece is missing");
    }

    #[test]
    fn what_is_shown_says_that_it_was_cut() {
        assert_eq!(shown("äbc", 3), "äbc");
        assert_eq!(shown("äbcd", 3), "äb…");
        assert_eq!(shown("a\0b", 3), "a\u{fffd}b");
    }

    #[test]
    fn an_entry_over_the_limit_is_refused() {
        let error = ascii_json("op", &"é".repeat(MAX_JSON / 6 + 1)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::LimitExceeded);
    }
}
