//! What a trial runs with: a value for every active parameter.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use super::error::SpaceError;
use super::value::{Value, ValueVisitor};
use crate::hash::{Digest, Hasher};

/// The longest name of a parameter, in characters.
pub const MAX_NAME: usize = 128;

/// What a trial runs with: parameters and their values, in the order of their names.
///
/// The value of a conditional choice is a table; a parameter within it is named by its path, `model.depth`.
///
/// ```
/// use mlops_core::experiment::space::{Assignment, Value};
///
/// let tree = Assignment::new().with("kind", "tree")?.with("depth", 3)?;
/// let trial = Assignment::new().with("rate", 0.1)?.with("model", Value::Table(tree))?;
/// assert_eq!(trial.float("rate")?, 0.1);
/// assert_eq!(trial.int("model.depth")?, 3);
/// assert_eq!(trial.to_string(), "model.depth=3 model.kind=tree rate=0.1");
/// assert!(Assignment::new().with("rate", f64::NAN).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Assignment(BTreeMap<String, Value>);

impl Assignment {
    /// No parameters.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a parameter.
    ///
    /// # Errors
    /// As [`Assignment::set`].
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Result<Self, SpaceError> {
        self.set(name, value)?;
        Ok(self)
    }

    /// Sets a parameter, in place of the value it had.
    ///
    /// # Errors
    /// [`SpaceError::Name`] for a name that is none, [`SpaceError::Number`] for a number that is not finite.
    pub fn set(&mut self, name: &str, value: impl Into<Value>) -> Result<(), SpaceError> {
        check_name(name)?;
        let value = match value.into() {
            // One nought, so that equal values have equal digests.
            Value::Float(value) => Value::Float(finite(name, "value", value)? + 0.0),
            value => value,
        };
        self.0.insert(name.to_owned(), value);
        Ok(())
    }

    /// Sets a parameter that has no value yet.
    pub(super) fn insert_new(&mut self, name: &str, value: Value) -> Result<(), SpaceError> {
        match self.0.contains_key(name) {
            true => Err(SpaceError::Duplicate { parameter: name.to_owned() }),
            false => self.set(name, value),
        }
    }

    /// The value at a path: a name, or names from table to table with points between them. O(names · log n).
    pub fn get(&self, path: &str) -> Option<&Value> {
        let (name, rest) = path.split_once('.').map_or((path, None), |(name, rest)| (name, Some(rest)));
        let value = self.0.get(name)?;
        match rest {
            Some(rest) => value.as_table()?.get(rest),
            None => Some(value),
        }
    }

    /// The value of a name of this level.
    pub(in crate::experiment) fn value(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// The number at a path; a whole number is one too.
    ///
    /// # Errors
    /// [`SpaceError::Missing`], [`SpaceError::Kind`].
    pub fn float(&self, path: &str) -> Result<f64, SpaceError> {
        self.read(path, "a number", Value::as_f64)
    }

    /// The whole number at a path.
    ///
    /// # Errors
    /// [`SpaceError::Missing`], [`SpaceError::Kind`].
    pub fn int(&self, path: &str) -> Result<i64, SpaceError> {
        self.read(path, "a whole number", Value::as_i64)
    }

    /// The text at a path.
    ///
    /// # Errors
    /// [`SpaceError::Missing`], [`SpaceError::Kind`].
    pub fn text(&self, path: &str) -> Result<&str, SpaceError> {
        self.read(path, "a text", Value::as_str)
    }

    /// The truth value at a path.
    ///
    /// # Errors
    /// [`SpaceError::Missing`], [`SpaceError::Kind`].
    pub fn bool(&self, path: &str) -> Result<bool, SpaceError> {
        self.read(path, "a truth value", Value::as_bool)
    }

    fn read<'a, T>(
        &'a self,
        path: &str,
        expected: &'static str,
        as_kind: impl Fn(&'a Value) -> Option<T>,
    ) -> Result<T, SpaceError> {
        let value = self.get(path).ok_or_else(|| SpaceError::Missing { parameter: path.to_owned() })?;
        let found = value.kind();
        as_kind(value).ok_or_else(|| SpaceError::Kind { parameter: path.to_owned(), expected, found })
    }

    /// The parameters and their values, tables as they are, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// Every parameter with the path that leads to it, tables taken apart: what a run logs.
    ///
    /// ```
    /// use mlops_core::experiment::space::{Assignment, Value};
    /// let inner = Assignment::new().with("depth", 3)?;
    /// let flat = Assignment::new().with("model", Value::Table(inner))?.flat();
    /// assert_eq!(flat, [("model.depth".to_owned(), Value::Int(3))]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn flat(&self) -> Vec<(String, Value)> {
        let mut out = Vec::new();
        for (name, value) in &self.0 {
            match value {
                Value::Table(table) => {
                    out.extend(
                        table.flat().into_iter().map(|(inner, value)| (format!("{name}.{inner}"), value)),
                    );
                }
                value => out.push((name.clone(), value.clone())),
            }
        }
        out
    }

    /// How many parameters there are, tables counted once.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The digest of names, kinds and values; equal for equal assignments alone.
    ///
    /// ```
    /// use mlops_core::experiment::space::Assignment;
    /// let digest = |a: Assignment| a.digest();
    /// assert_ne!(digest(Assignment::new().with("n", 1)?), digest(Assignment::new().with("n", 1.0)?));
    /// assert_eq!(digest(Assignment::new().with("x", 0.0)?), digest(Assignment::new().with("x", -0.0)?));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn digest(&self) -> Digest {
        let mut hasher = Hasher::new("mlops.assignment/v1");
        for (name, value) in &self.0 {
            hasher.push(name.as_bytes());
            value.hash_into(&mut hasher);
        }
        hasher.finish()
    }
}

/// The paths and values, with spaces between them.
impl fmt::Display for Assignment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (path, value)) in self.flat().iter().enumerate() {
            write!(f, "{}{path}={value}", if i == 0 { "" } else { " " })?;
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Assignment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match deserializer.deserialize_map(ValueVisitor)? {
            Value::Table(table) => Ok(table),
            other => Err(D::Error::custom(format_args!("expected a table, found {}", other.kind()))),
        }
    }
}

/// A name is one to [`MAX_NAME`] letters, digits, `_` and `-` of ASCII, and begins with a letter or `_`: what the names of
/// environment variables and of Azure's inputs allow, and no point, which stands in paths.
pub(super) fn check_name(name: &str) -> Result<(), SpaceError> {
    let mut bytes = name.bytes();
    let begins = bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
    let fits = begins && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    match fits && name.len() <= MAX_NAME {
        true => Ok(()),
        false => Err(SpaceError::Name { name: name.to_owned() }),
    }
}

pub(super) fn finite(parameter: &str, key: &'static str, value: f64) -> Result<f64, SpaceError> {
    match value.is_finite() {
        true => Ok(value),
        false => {
            Err(SpaceError::Number { parameter: parameter.to_owned(), key, value, reason: "must be finite" })
        }
    }
}
