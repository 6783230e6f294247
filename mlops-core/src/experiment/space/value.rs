//! A value that a parameter can take.

use std::fmt;

use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::assignment::Assignment;
use crate::error::quote;
use crate::hash::Hasher;

/// A value that a parameter can take. Plain JSON in files: `true`, `3`, `0.5`, `"adam"`, and a table for an option of a
/// conditional choice.
///
/// `3` is a whole number and `3.0` is not one: they are different values. A [`Float`](Self::Float) within an
/// [`Assignment`] or a search space is finite, and never −0; both are checked where values enter.
///
/// ```
/// use mlops_core::experiment::space::Value;
/// assert_eq!(serde_json::from_str::<Value>("3")?, Value::Int(3));
/// assert_eq!(serde_json::to_string(&Value::Float(3.0))?, "3.0");
/// assert!(serde_json::from_str::<Value>("null").is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A truth value.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A finite number.
    Float(f64),
    /// A text.
    Text(String),
    /// What an option of a conditional choice is made of.
    Table(Assignment),
}

impl Value {
    /// The number, of a whole number too.
    ///
    /// ```
    /// use mlops_core::experiment::space::Value;
    /// assert_eq!(Value::Int(3).as_f64(), Some(3.0));
    /// assert_eq!(Value::from("3").as_f64(), None);
    /// ```
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Int(value) => Some(*value as f64),
            Self::Float(value) => Some(*value),
            _ => None,
        }
    }

    /// The whole number.
    pub fn as_i64(&self) -> Option<i64> {
        if let Self::Int(value) = self { Some(*value) } else { None }
    }

    /// The text.
    pub fn as_str(&self) -> Option<&str> {
        if let Self::Text(value) = self { Some(value) } else { None }
    }

    /// The truth value.
    pub fn as_bool(&self) -> Option<bool> {
        if let Self::Bool(value) = self { Some(*value) } else { None }
    }

    /// The table.
    pub fn as_table(&self) -> Option<&Assignment> {
        if let Self::Table(value) = self { Some(value) } else { None }
    }

    /// What kind of value it is, in a word.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Bool(_) => "a truth value",
            Self::Int(_) => "a whole number",
            Self::Float(_) => "a number",
            Self::Text(_) => "a text",
            Self::Table(_) => "a table",
        }
    }

    /// Adds the value to a digest, with its kind, so that `3`, `3.0` and `"3"` differ.
    pub(super) fn hash_into(&self, hasher: &mut Hasher) {
        match self {
            Self::Bool(value) => [b"bool".as_slice(), &[u8::from(*value)]].map(|f| hasher.push(f)),
            Self::Int(value) => [b"int".as_slice(), &value.to_le_bytes()].map(|f| hasher.push(f)),
            Self::Float(value) => {
                [b"float".as_slice(), &value.to_bits().to_le_bytes()].map(|f| hasher.push(f))
            }
            Self::Text(value) => [b"text".as_slice(), value.as_bytes()].map(|f| hasher.push(f)),
            Self::Table(value) => [b"table".as_slice(), value.digest().as_bytes()].map(|f| hasher.push(f)),
        };
    }
}

/// As it would stand on a command line; texts are escaped and cut as in errors.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(value) => value.fmt(f),
            Self::Int(value) => value.fmt(f),
            // `{:?}` writes the shortest text that reads back as the same number, with a point or an exponent.
            Self::Float(value) => write!(f, "{value:?}"),
            Self::Text(value) => f.write_str(&quote(value)),
            Self::Table(value) => value.fmt(f),
        }
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i32> for Value {
    fn from(value: i32) -> Self {
        Self::Int(value.into())
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Float(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Int(value) => serializer.serialize_i64(*value),
            Self::Float(value) => serializer.serialize_f64(*value),
            Self::Text(value) => serializer.serialize_str(value),
            Self::Table(value) => value.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

pub(super) struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a truth value, a number, a text or a table")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Int(value))
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Value, E> {
        let beyond = |_| E::custom(format_args!("{value} is beyond the largest whole number, {}", i64::MAX));
        i64::try_from(value).map(Value::Int).map_err(beyond)
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        match value.is_finite() {
            true => Ok(Value::Float(value + 0.0)),
            false => Err(E::custom(format_args!("{value} is not finite"))),
        }
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut table = Assignment::new();
        while let Some(name) = map.next_key::<String>()? {
            let value: Value = map.next_value()?;
            table.insert_new(&name, value).map_err(A::Error::custom)?;
        }
        Ok(Value::Table(table))
    }
}
