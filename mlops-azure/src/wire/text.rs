//! Maps from text to text, and durations.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::quiet::{self, Text};
use crate::http::operation::duration;

/// Tags, properties and environment variables: text to text, in the order of the names.
///
/// `Debug` shows the names alone: a value may be a secret, and in environment variables often is.
///
/// Numbers and truth values that a service answers are read as the text that JSON has for them, and `null` as not there: the
/// schema allows texts alone, but not every client kept to it.
///
/// ```
/// use mlops_azure::wire::TextMap;
/// let map: TextMap = serde_json::from_str(r#"{"a":"b","hash_version":202208,"gone":null}"#)?;
/// assert_eq!(map.get("hash_version"), Some("202208"));
/// assert_eq!(serde_json::to_string(&map)?, r#"{"a":"b","hash_version":"202208"}"#);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct TextMap(pub BTreeMap<String, String>);

impl TextMap {
    /// The value under a name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Sets the value under a name.
    pub fn insert(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.0.insert(name.into(), value.into());
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for TextMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        quiet::names(self.0.keys(), f)
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for TextMap {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        Self(pairs.into_iter().map(|(k, v)| (k.into(), v.into())).collect())
    }
}

impl<'de> Deserialize<'de> for TextMap {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Option::<BTreeMap<String, Value>>::deserialize(deserializer)?.unwrap_or_default();
        let text = |(name, value)| match value {
            Value::Null => None,
            Value::String(text) => Some((name, text)),
            other => Some((name, other.to_string())),
        };
        Ok(Self(raw.into_iter().filter_map(text).collect()))
    }
}

/// Without members that are `null`, which say what members that are not there say. In lists `null` stays, so that places stay.
pub(crate) fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let said = members.iter().filter(|(_, member)| !member.is_null());
            Value::Object(said.map(|(name, member)| (name.clone(), without_nulls(member))).collect())
        }
        Value::Array(items) => items.iter().map(without_nulls).collect(),
        other => other.clone(),
    }
}

/// Reads a text; numbers and truth values as the text that JSON has for them.
pub(crate) fn lenient<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Text>, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(Text(text))),
        value @ (Value::Number(_) | Value::Bool(_)) => Ok(Some(Text(value.to_string()))),
        _ => Err(serde::de::Error::custom("is neither a text nor a number")),
    }
}

/// A duration as ISO 8601 writes it. One that was read is written back as it was, also if it has no length in seconds.
///
/// ```
/// use std::time::Duration;
/// use mlops_azure::wire::IsoDuration;
/// let five: IsoDuration = serde_json::from_str("\"PT5M\"")?;
/// assert_eq!(five.get(), Some(Duration::from_secs(300)));
/// assert_eq!(IsoDuration::from(Duration::from_millis(500)).as_str(), "PT0.5S");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct IsoDuration(String);

impl IsoDuration {
    /// So many whole days: no time at all is `P0D`, where other durations of no length are `PT0S`.
    pub fn days(days: u32) -> Self {
        Self(format!("P{days}D"))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its length; `None` for a text that has none, such as a year.
    pub fn get(&self) -> Option<Duration> {
        duration::parse(&self.0)
    }
}

impl From<Duration> for IsoDuration {
    fn from(duration: Duration) -> Self {
        Self(duration::format(duration))
    }
}
