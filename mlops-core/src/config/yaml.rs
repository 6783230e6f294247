//! YAML as a tree with places, under budgets.
//!
//! Of YAML, what a plain configuration file needs: no anchors, aliases, merge keys or tags of one's own, one document, words
//! that are no numbers and no truth values by accident, and no number that is none.

use std::fmt;

use serde::Deserialize;
use serde::de::{Error as _, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;
use serde_saphyr::options::{DuplicateKeyPolicy, MergeKeyPolicy, NonFiniteFloatPolicy};

use super::tree::{Entry, Fault, MAX_DEPTH, Node, Value, check_keys};

/// Reads a text as one YAML document.
pub(super) fn parse(text: &str) -> Result<Node, Fault> {
    // The budgets count what a file of this size may hold, not what a usual one does.
    let budget = serde_saphyr::budget! {
        max_aliases: 0,
        max_anchors: 0,
        max_depth: MAX_DEPTH,
        flow_nesting_limit: MAX_DEPTH,
        max_documents: 1,
        max_events: 200_000,
        max_nodes: 100_000,
        max_total_scalar_bytes: super::MAX_BYTES,
        max_merge_keys: 0,
        max_inclusion_depth: 0,
    };
    let options = serde_saphyr::options! {
        budget: budget,
        duplicate_keys: DuplicateKeyPolicy::Error,
        merge_keys: MergeKeyPolicy::Error,
        non_finite_float_policy: NonFiniteFloatPolicy::Reject,
        reject_unsupported_tags: true,
        strict_booleans: true,
        legacy_octal_numbers: false,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
        with_snippet: false,
    };
    let parsed: Spanned<Raw> = serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let error = error.without_snippet();
        let at = error.location().and_then(|l| offset(text, &l));
        Fault { at, key: String::new(), message: error.to_string() }
    })?;
    node(text, parsed)
}

/// A value as the reader hands it over.
enum Raw {
    Leaf(Value),
    List(Vec<Spanned<Raw>>),
    Table(Vec<(Spanned<String>, Spanned<Raw>)>),
}

fn node(text: &str, spanned: Spanned<Raw>) -> Result<Node, Fault> {
    let at = offset(text, &spanned.referenced).unwrap_or_default();
    let value = match spanned.value {
        Raw::Leaf(value) => value,
        Raw::List(nodes) => {
            Value::List(nodes.into_iter().map(|inner| node(text, inner)).collect::<Result<_, _>>()?)
        }
        Raw::Table(entries) => {
            let entry = |(key, value): (Spanned<String>, Spanned<Raw>)| {
                let at = offset(text, &key.referenced).unwrap_or(at);
                Ok(Entry { at, key: key.value, value: node(text, value)? })
            };
            let entries = entries.into_iter().map(entry).collect::<Result<Vec<_>, _>>()?;
            check_keys(&entries)?;
            Value::Table(entries)
        }
    };
    Ok(Node { at, value })
}

fn offset(text: &str, location: &serde_saphyr::Location) -> Option<usize> {
    let at = usize::try_from(location.span().byte_offset()?).ok()?;
    (at <= text.len()).then_some(at)
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Leaf(Value::Bool(value)))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Raw, E> {
        Ok(Raw::Leaf(Value::Unsigned(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Raw, E> {
        Ok(Raw::Leaf(u64::try_from(value).map_or(Value::Signed(value), Value::Unsigned)))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Raw, E> {
        if value.is_finite() {
            Ok(Raw::Leaf(Value::Float(value)))
        } else {
            Err(E::custom("is no finite number"))
        }
    }

    fn visit_str<E>(self, text: &str) -> Result<Raw, E> {
        Ok(Raw::Leaf(Value::Text(text.to_owned())))
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Leaf(Value::Null))
    }

    fn visit_none<E>(self) -> Result<Raw, E> {
        Ok(Raw::Leaf(Value::Null))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Raw, A::Error> {
        let mut nodes = Vec::new();
        while let Some(node) = items.next_element()? {
            nodes.push(node);
        }
        Ok(Raw::List(nodes))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Raw, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        if entries.len() > super::MAX_BYTES {
            return Err(A::Error::custom("has too many keys"));
        }
        Ok(Raw::Table(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_words_and_numbers_are_numbers() {
        let read = |text: &str| parse(text).map(|node| node.value).ok();
        let word = |text: &str| Some(Value::Text(text.to_owned()));
        for (text, expected) in [
            ("0.1", Some(Value::Float(0.1))),
            ("\"0.1\"", word("0.1")),
            ("1", Some(Value::Unsigned(1))),
            ("-1", Some(Value::Signed(-1))),
            ("no", word("no")),
            ("true", Some(Value::Bool(true))),
            ("012", word("012")),
            ("1_000", word("1_000")),
            ("~", Some(Value::Null)),
            (".nan", None),
            (".inf", None),
            ("-.INF", None),
            ("1e999", None),
            ("&a 1", None),
            ("[&a 1, *a]", None),
            ("!mine 1", None),
            ("<<: {a: 1}", None),
            ("a: 1\na: 2", None),
            ("--- 1\n--- 2", None),
        ] {
            assert_eq!(read(text), expected, "{text}");
        }
    }

    #[test]
    fn every_value_and_key_has_a_place() {
        let text = "é: 1\nitems:\n  - {id: a, n: 0.5}\n";
        let root = parse(text).unwrap();
        let Value::Table(entries) = &root.value else { panic!("no table") };
        assert_eq!(entries[1].at, text.find("items").unwrap());
        let Value::List(items) = &entries[1].value.value else { panic!("no list") };
        assert_eq!(items[0].get("n").map(|n| n.at), text.find("0.5"));
    }
}
