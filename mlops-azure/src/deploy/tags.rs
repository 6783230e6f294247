//! Core's tags among those of a resource.
//!
//! Resource Manager takes 50 tags, tells their names apart without case, and refuses some characters and long values. Tags that it
//! takes are tags of the resource, which people see and change in the portal; the others are kept as JSON in a property.

use std::collections::HashSet;

use mlops_core::id::{TagKey, Tags};
use mlops_core::{Error, ErrorKind, Result};

use crate::wire::TextMap;

/// What this crate's own tags and properties begin with.
pub(super) const OURS: &str = "mlops.";

/// The property in which tags are kept that Resource Manager would not take.
pub(super) const REST: &str = "mlops.tags";

/// The most tags that a resource can have.
pub(super) const MOST: usize = 50;

/// The most tags of a caller that are made tags of a resource; the others are for this crate's own, and for those that policies add.
const SHOWN: usize = 30;

/// The longest value of a tag, in characters.
pub(super) const LONGEST: usize = 256;

/// The longest text of the property.
const LONGEST_REST: usize = 16 << 10;

/// The tags of the resource, and the text of the property, if one is needed.
pub(super) fn spread(operation: &'static str, tags: &Tags) -> Result<(TextMap, Option<String>)> {
    let (mut shown, mut rest, mut names) = (TextMap::default(), TextMap::default(), HashSet::new());
    for (key, value) in tags {
        let fits = names.len() < SHOWN && is_tag(key.as_str(), value);
        if fits && names.insert(key.as_str().to_lowercase()) {
            shown.insert(key.as_str(), value);
        } else {
            rest.insert(key.as_str(), value);
        }
    }
    if rest.is_empty() {
        return Ok((shown, None));
    }
    let text = serde_json::to_string(&rest)
        .map_err(|e| Error::invalid(operation, "tags", "cannot be written as JSON").with_source(e))?;
    match text.len() {
        got if got > LONGEST_REST => {
            Err(Error::limit(operation, "the tags that Azure does not take as tags", LONGEST_REST, got))
        }
        _ => Ok((shown, Some(text))),
    }
}

/// Core's tags of a resource with these tags and properties.
pub(super) fn gather(
    operation: &'static str,
    shown: Option<&TextMap>,
    properties: Option<&TextMap>,
) -> Result<Tags> {
    let mut tags = Tags::new();
    let rest: TextMap = match properties.and_then(|map| map.get(REST)) {
        None => TextMap::default(),
        Some(text) => serde_json::from_str(text).map_err(|e| {
            let message = "the property with the resource's tags cannot be read";
            Error::new(ErrorKind::Corrupt, operation, message).with("property", REST).with_source(e)
        })?,
    };
    let shown = shown.into_iter().flat_map(|map| &map.0).filter(|(name, _)| !name.starts_with(OURS));
    for (name, value) in shown.chain(&rest.0) {
        // Others may tag what they like; what is no key of core's is not shown.
        if let Ok(key) = TagKey::new(name) {
            tags.insert(key, value.clone());
        }
    }
    Ok(tags)
}

/// Whether Resource Manager takes a tag as it is.
fn is_tag(name: &str, value: &str) -> bool {
    let reserved = ["microsoft", "azure", "windows", OURS];
    let lower = name.to_lowercase();
    let plain = |text: &str| text == text.trim() && !text.chars().any(hides);
    !reserved.iter().any(|prefix| lower.starts_with(prefix))
        && name.chars().count() <= 512
        && !name.contains(['<', '>', '%', '&', '\\', '?', '/'])
        && value.chars().count() <= LONGEST
        && plain(name)
        && plain(value)
}

/// Whether a character may be lost or changed on the way through a portal.
fn hides(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{feff}' | '\u{fffd}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(pairs: &[(&str, &str)]) -> Tags {
        pairs.iter().map(|(k, v)| (TagKey::new(k).unwrap(), (*v).to_owned())).collect()
    }

    #[test]
    fn tags_that_azure_takes_are_tags_and_the_others_come_back_too() {
        let all = tags(&[
            ("team", "risk"),
            ("Key", "1"),
            ("key", "2"),
            ("a/b", "c"),
            ("mlops.revision", "7"),
            ("text", "a\0b"),
            ("long", &"x".repeat(257)),
            ("größe", "größe"),
        ]);
        let (shown, rest) = spread("op", &all).unwrap();
        assert!(shown.0.keys().eq(["Key", "größe", "team"]));
        let properties: TextMap = [(REST, rest.unwrap())].into_iter().collect();
        assert_eq!(gather("op", Some(&shown), Some(&properties)).unwrap(), all);
        assert_eq!(spread("op", &tags(&[("a", "b")])).unwrap().1, None);
    }

    #[test]
    fn many_and_long_tags_have_a_limit() {
        let many: Tags = (0..40).map(|i| (TagKey::new(format!("k{i}")).unwrap(), String::new())).collect();
        let (shown, rest) = spread("op", &many).unwrap();
        assert_eq!(shown.0.len(), SHOWN);
        let properties: TextMap = [(REST, rest.unwrap())].into_iter().collect();
        assert_eq!(gather("op", Some(&shown), Some(&properties)).unwrap(), many);
        let long = tags(&[("a/b", &"x".repeat(20_000))]);
        assert_eq!(spread("op", &long).unwrap_err().kind(), ErrorKind::LimitExceeded);
    }

    #[test]
    fn what_somebody_else_wrote_does_no_harm() {
        let foreign: TextMap = [("hidden-link:/x?", "y"), ("mlops.changes.0", "…")].into_iter().collect();
        assert!(gather("op", Some(&foreign), None).unwrap().is_empty());
        let broken: TextMap = [(REST, "{")].into_iter().collect();
        assert_eq!(gather("op", None, Some(&broken)).unwrap_err().kind(), ErrorKind::Corrupt);
    }
}
