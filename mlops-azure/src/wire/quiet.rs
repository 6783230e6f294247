//! What may hold a secret, and prints none: members that nobody here knows, untyped values, texts that anybody writes.
//!
//! The types serialise as what is in them; only their `Debug` is of their own.
//!
//! | type | what for | its `Debug` shows |
//! |---|---|---|
//! | [`Members`] | members of an object that this crate does not know | the names |
//! | [`Untyped`] | a value whose form this crate does not know | what kind of value it is |
//! | [`Text`] | addresses, command lines, literals, messages | the text, without queries and users of addresses and without what looks like a secret |
//! | [`TextMap`](super::TextMap) | tags, properties, environment variables | the names |
//! | [`Hidden`] | a secret that is sent | nothing |

use std::fmt;
use std::ops::{Deref, DerefMut};

use mlops_core::governance::Secret;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use crate::http::redact;

/// Members of an object that this crate does not know, by name. It can be used as the map that it is; `Debug` shows the names alone,
/// because a service may answer a secret anywhere.
///
/// ```
/// use mlops_azure::wire::{DataVersion, Members};
/// let read: DataVersion = serde_json::from_str(r#"{"dataType":"uri_file","dataUri":"azureml://x","new":"hunter2"}"#)?;
/// assert_eq!(read.other["new"], "hunter2");
/// assert_eq!(format!("{:?}", read.other), r#"{"new": ..}"#);
/// assert!(Members::new().is_empty());
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Members(pub Map<String, Value>);

impl Members {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Deref for Members {
    type Target = Map<String, Value>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for Members {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

impl From<Map<String, Value>> for Members {
    fn from(members: Map<String, Value>) -> Self {
        Self(members)
    }
}

impl FromIterator<(String, Value)> for Members {
    fn from_iter<I: IntoIterator<Item = (String, Value)>>(members: I) -> Self {
        Self(members.into_iter().collect())
    }
}

impl IntoIterator for Members {
    type Item = (String, Value);
    type IntoIter = serde_json::map::IntoIter;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl fmt::Debug for Members {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        names(self.0.keys(), f)
    }
}

/// The names of a map, each with `..` for its value.
pub(super) fn names<'a>(names: impl Iterator<Item = &'a String>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.debug_map().entries(names.map(|name| (Shown(name), format_args!("..")))).finish()
}

/// A text without what looks like a secret.
struct Shown<'a>(&'a str);

impl fmt::Debug for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&redact::addresses(self.0), f)
    }
}

/// A value whose form this crate does not know. `Debug` shows what kind of value it is.
///
/// ```
/// use mlops_azure::wire::Untyped;
/// let value: Untyped = serde_json::from_str(r#"{"adminUserPassword":"hunter2"}"#)?;
/// assert_eq!(format!("{value:?}"), r#"{"adminUserPassword": ..}"#);
/// assert_eq!(format!("{:?}", Untyped::from("hunter2")), "(text)");
/// assert_eq!(value["adminUserPassword"], "hunter2");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Untyped(pub Value);

impl Deref for Untyped {
    type Target = Value;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for Untyped {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

impl<V: Into<Value>> From<V> for Untyped {
    fn from(value: V) -> Self {
        Self(value.into())
    }
}

impl fmt::Debug for Untyped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Value::Object(members) => names(members.keys(), f),
            Value::Array(items) => write!(f, "(list of {})", items.len()),
            Value::String(_) => f.write_str("(text)"),
            plain @ (Value::Null | Value::Bool(_) | Value::Number(_)) => write!(f, "{plain}"),
        }
    }
}

/// A text that anybody may have written: an address, a command line, a literal, a message. It can be used as the `str` that it is.
/// `Debug` shows it without what looks like a secret, and addresses in it without user and query: a signature stands there. It has
/// no `Display`: whoever wants all of it says [`as_str`](Self::as_str).
///
/// ```
/// use mlops_azure::wire::Text;
/// let text = Text::from("python train.py --data https://sa.blob.core.windows.net/c/d.csv?sv=1&sig=hunter2 --api-key=hunter2");
/// assert_eq!(
///     format!("{text:?}"),
///     r#""python train.py --data https://sa.blob.core.windows.net/c/d.csv?(secret) --api-key=(secret)""#
/// );
/// assert!(text.ends_with("hunter2"));
/// ```
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Text(pub String);

impl Text {
    /// The whole text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The whole text.
    pub fn into_string(self) -> String {
        self.0
    }
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl From<Text> for String {
    fn from(text: Text) -> Self {
        text.0
    }
}

impl PartialEq<str> for Text {
    fn eq(&self, other: &str) -> bool {
        self.0 == other
    }
}

impl PartialEq<&str> for Text {
    fn eq(&self, other: &&str) -> bool {
        self.0 == *other
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Shown(&self.0).fmt(f)
    }
}

/// A text that is sent and never shown.
#[derive(Clone)]
pub struct Hidden(pub Secret);

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

impl PartialEq for Hidden {
    fn eq(&self, other: &Self) -> bool {
        self.0.expose() == other.0.expose()
    }
}

impl Eq for Hidden {}

impl Serialize for Hidden {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.expose())
    }
}

impl<'de> Deserialize<'de> for Hidden {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(Secret::new(String::deserialize(deserializer)?)))
    }
}
