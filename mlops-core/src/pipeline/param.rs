//! Parameters of components: values, and what values are allowed.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::quote;

/// The longest text of a parameter, in bytes.
pub(super) const MAX_PARAM_TEXT: usize = 64 << 10;

/// The most words that a text parameter may choose from.
const MAX_ALLOWED: usize = 1_000;

/// The value of a parameter. `1`, `1.0`, `true` and `"1"` are four different values, also in a step's key.
///
/// ```
/// use mlops_core::pipeline::ParamValue;
/// let read = |text| serde_json::from_str::<ParamValue>(text);
/// assert_eq!(read("1")?, ParamValue::Integer(1));
/// assert_eq!(read("1.0")?, ParamValue::Number(1.0));
/// assert_eq!(read("\"1\"")?, ParamValue::Text("1".to_owned()));
/// assert!(read("9223372036854775808").is_err());
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum ParamValue {
    /// A whole number.
    Integer(i64),
    /// A finite number.
    Number(f64),
    /// Yes or no.
    Boolean(bool),
    /// A text.
    Text(String),
}

impl ParamValue {
    /// The word for its type, as Azure ML has it.
    pub const fn type_name(&self) -> &'static str {
        match self {
            Self::Integer(_) => "integer",
            Self::Number(_) => "number",
            Self::Boolean(_) => "boolean",
            Self::Text(_) => "string",
        }
    }

    /// Refuses NaN, infinities and texts that are too long.
    pub(super) fn check(&self) -> Result<(), ParamFault> {
        match self {
            Self::Number(value) if !value.is_finite() => Err(ParamFault::NotFinite),
            Self::Text(text) if text.len() > MAX_PARAM_TEXT => {
                Err(ParamFault::TooLong { limit: MAX_PARAM_TEXT, got: text.len() })
            }
            _ => Ok(()),
        }
    }
}

impl fmt::Display for ParamValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(value) => write!(f, "{value}"),
            // `1.0`, not `1`: an integer is another value.
            Self::Number(value) => write!(f, "{value:?}"),
            Self::Boolean(value) => write!(f, "{value}"),
            Self::Text(text) => write!(f, "\"{}\"", quote(text)),
        }
    }
}

impl From<i64> for ParamValue {
    fn from(value: i64) -> Self {
        Self::Integer(value)
    }
}

impl From<f64> for ParamValue {
    fn from(value: f64) -> Self {
        Self::Number(value)
    }
}

impl From<bool> for ParamValue {
    fn from(value: bool) -> Self {
        Self::Boolean(value)
    }
}

impl From<&str> for ParamValue {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl<'de> Deserialize<'de> for ParamValue {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl serde::de::Visitor<'_> for ValueVisitor {
    type Value = ParamValue;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number, a finite number, true, false or a text")
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<ParamValue, E> {
        Ok(ParamValue::Boolean(value))
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<ParamValue, E> {
        Ok(ParamValue::Integer(value))
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<ParamValue, E> {
        let value = i64::try_from(value).map_err(|_| E::custom("a whole number must be below 2^63"))?;
        Ok(ParamValue::Integer(value))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<ParamValue, E> {
        checked(ParamValue::Number(value))
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<ParamValue, E> {
        checked(ParamValue::Text(value.to_owned()))
    }
}

fn checked<E: serde::de::Error>(value: ParamValue) -> Result<ParamValue, E> {
    value.check().map_err(E::custom)?;
    Ok(value)
}

/// Which values a parameter takes. Bounds are inclusive.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq)]
pub enum ParamType {
    /// Whole numbers.
    Integer {
        /// The smallest.
        min: Option<i64>,
        /// The greatest.
        max: Option<i64>,
    },
    /// Finite numbers; a whole number up to 2⁵³ is taken as one.
    Number {
        /// The smallest.
        min: Option<f64>,
        /// The greatest.
        max: Option<f64>,
    },
    /// Yes or no.
    Boolean,
    /// Texts; one of `allowed`, unless that is empty.
    Text {
        /// The texts to choose from.
        allowed: Vec<String>,
    },
}

impl ParamType {
    /// The word for it, as Azure ML has it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Integer { .. } => "integer",
            Self::Number { .. } => "number",
            Self::Boolean => "boolean",
            Self::Text { .. } => "string",
        }
    }
}

/// What a parameter of a component or pipeline may be.
///
/// ```
/// use mlops_core::pipeline::{ParamFault, ParamSpec, ParamValue};
///
/// let rate = ParamSpec::number(Some(0.0), Some(1.0)).with_default(0.1);
/// assert_eq!(rate.accept(&ParamValue::Integer(1))?, ParamValue::Number(1.0));
/// assert!(matches!(rate.accept(&ParamValue::Number(1.5)), Err(ParamFault::AboveMax { .. })));
/// # Ok::<(), ParamFault>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "ParamWire", into = "ParamWire")]
pub struct ParamSpec {
    kind: ParamType,
    default: Option<ParamValue>,
    optional: bool,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Word {
    Integer,
    Number,
    Boolean,
    String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ParamWire {
    r#type: Word,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    default: Option<ParamValue>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    min: Option<ParamValue>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max: Option<ParamValue>,
    #[serde(default, skip_serializing_if = "Vec::is_empty", rename = "enum")]
    allowed: Vec<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    optional: bool,
}

impl TryFrom<ParamWire> for ParamSpec {
    type Error = ParamFault;

    fn try_from(wire: ParamWire) -> Result<Self, ParamFault> {
        let bounded = wire.min.is_some() || wire.max.is_some();
        let kind = match wire.r#type {
            Word::Integer => ParamType::Integer { min: whole(wire.min)?, max: whole(wire.max)? },
            Word::Number => ParamType::Number { min: number(wire.min)?, max: number(wire.max)? },
            Word::Boolean | Word::String if bounded => return Err(ParamFault::NoBounds),
            Word::Boolean => ParamType::Boolean,
            Word::String => ParamType::Text { allowed: wire.allowed.clone() },
        };
        if !wire.allowed.is_empty() && !matches!(kind, ParamType::Text { .. }) {
            return Err(ParamFault::NoChoice);
        }
        let spec = Self { kind, default: wire.default, optional: wire.optional };
        spec.check()?;
        Ok(spec)
    }
}

fn whole(value: Option<ParamValue>) -> Result<Option<i64>, ParamFault> {
    match value {
        None => Ok(None),
        Some(ParamValue::Integer(value)) => Ok(Some(value)),
        Some(other) => Err(ParamFault::Type { expected: "integer", got: other.type_name() }),
    }
}

fn number(value: Option<ParamValue>) -> Result<Option<f64>, ParamFault> {
    match value {
        None => Ok(None),
        Some(value) => match widen(&value)? {
            ParamValue::Number(value) => Ok(Some(value)),
            other => Err(ParamFault::Type { expected: "number", got: other.type_name() }),
        },
    }
}

/// A whole number as the number it is; other values as they are.
fn widen(value: &ParamValue) -> Result<ParamValue, ParamFault> {
    match value {
        ParamValue::Integer(value) if value.unsigned_abs() > 1 << 53 => Err(ParamFault::Inexact),
        ParamValue::Integer(value) => Ok(ParamValue::Number(*value as f64)),
        other => Ok(other.clone()),
    }
}

impl From<ParamSpec> for ParamWire {
    fn from(spec: ParamSpec) -> Self {
        let (r#type, min, max, allowed) = match spec.kind {
            ParamType::Integer { min, max } => {
                (Word::Integer, min.map(ParamValue::Integer), max.map(ParamValue::Integer), Vec::new())
            }
            ParamType::Number { min, max } => {
                (Word::Number, min.map(ParamValue::Number), max.map(ParamValue::Number), Vec::new())
            }
            ParamType::Boolean => (Word::Boolean, None, None, Vec::new()),
            ParamType::Text { allowed } => (Word::String, None, None, allowed),
        };
        Self { r#type, default: spec.default, min, max, allowed, optional: spec.optional }
    }
}

impl ParamSpec {
    /// A parameter of this type that must be given.
    pub fn new(kind: ParamType) -> Self {
        Self { kind, default: None, optional: false }
    }

    /// A whole number within these bounds.
    pub fn integer(min: Option<i64>, max: Option<i64>) -> Self {
        Self::new(ParamType::Integer { min, max })
    }

    /// A number within these bounds.
    pub fn number(min: Option<f64>, max: Option<f64>) -> Self {
        Self::new(ParamType::Number { min, max })
    }

    /// Yes or no.
    pub fn boolean() -> Self {
        Self::new(ParamType::Boolean)
    }

    /// Any text.
    pub fn text() -> Self {
        Self::new(ParamType::Text { allowed: Vec::new() })
    }

    /// One of these texts.
    pub fn one_of<S: Into<String>>(allowed: impl IntoIterator<Item = S>) -> Self {
        Self::new(ParamType::Text { allowed: allowed.into_iter().map(Into::into).collect() })
    }

    /// The value where none is given.
    ///
    /// ```
    /// # use mlops_core::pipeline::{ParamSpec, ParamValue};
    /// let depth = ParamSpec::integer(Some(1), Some(32)).with_default(6_i64);
    /// assert_eq!(depth.default(), Some(&ParamValue::Integer(6)));
    /// assert!(ParamSpec::integer(Some(1), Some(32)).with_default(64_i64).check().is_err());
    /// ```
    #[must_use]
    pub fn with_default(mut self, value: impl Into<ParamValue>) -> Self {
        self.default = Some(value.into());
        self
    }

    /// It may be left out, also without a default.
    ///
    /// ```
    /// # use mlops_core::pipeline::ParamSpec;
    /// assert!(ParamSpec::boolean().is_required());
    /// assert!(!ParamSpec::boolean().with_optional().is_required());
    /// ```
    #[must_use]
    pub fn with_optional(mut self) -> Self {
        self.optional = true;
        self
    }

    /// Which values it takes.
    pub fn kind(&self) -> &ParamType {
        &self.kind
    }

    /// The value where none is given.
    pub fn default(&self) -> Option<&ParamValue> {
        self.default.as_ref()
    }

    /// Whether somebody must say it.
    pub fn is_required(&self) -> bool {
        self.default.is_none() && !self.optional
    }

    /// Refuses bounds that are not finite or turned round, and a default that is not allowed.
    ///
    /// # Errors
    /// [`ParamFault`].
    pub fn check(&self) -> Result<(), ParamFault> {
        match &self.kind {
            ParamType::Integer { min: Some(min), max: Some(max) } if min > max => {
                return Err(ParamFault::EmptyRange);
            }
            ParamType::Number { min, max } => {
                if min.iter().chain(max).any(|bound| !bound.is_finite()) {
                    return Err(ParamFault::NotFinite);
                }
                if min.zip(*max).is_some_and(|(min, max)| min > max) {
                    return Err(ParamFault::EmptyRange);
                }
            }
            ParamType::Text { allowed } if allowed.len() > MAX_ALLOWED => {
                return Err(ParamFault::TooLong { limit: MAX_ALLOWED, got: allowed.len() });
            }
            _ => {}
        }
        self.default.as_ref().map_or(Ok(()), |value| self.accept(value).map(drop))
    }

    /// A value as this parameter takes it: a whole number becomes a number where one is wanted.
    ///
    /// # Errors
    /// [`ParamFault`] for a value of another type or outside the bounds.
    pub fn accept(&self, value: &ParamValue) -> Result<ParamValue, ParamFault> {
        value.check()?;
        let wrong = || ParamFault::Type { expected: self.kind.name(), got: value.type_name() };
        let bound =
            |value: &dyn fmt::Display, bound: &dyn fmt::Display| (value.to_string(), bound.to_string());
        match (&self.kind, value) {
            (ParamType::Integer { min, max }, ParamValue::Integer(given)) => {
                if let Some((value, bound)) = min.filter(|min| given < min).map(|min| bound(given, &min)) {
                    return Err(ParamFault::BelowMin { value, bound });
                }
                if let Some((value, bound)) = max.filter(|max| given > max).map(|max| bound(given, &max)) {
                    return Err(ParamFault::AboveMax { value, bound });
                }
                Ok(value.clone())
            }
            (ParamType::Number { min, max }, _) => {
                let ParamValue::Number(given) = widen(value)? else { return Err(wrong()) };
                if let Some((value, bound)) = min.filter(|min| given < *min).map(|min| bound(&given, &min)) {
                    return Err(ParamFault::BelowMin { value, bound });
                }
                if let Some((value, bound)) = max.filter(|max| given > *max).map(|max| bound(&given, &max)) {
                    return Err(ParamFault::AboveMax { value, bound });
                }
                Ok(ParamValue::Number(given))
            }
            (ParamType::Boolean, ParamValue::Boolean(_)) => Ok(value.clone()),
            (ParamType::Text { allowed }, ParamValue::Text(text)) => {
                if allowed.is_empty() || allowed.contains(text) {
                    return Ok(value.clone());
                }
                let known = allowed.iter().take(8).map(|word| quote(word)).collect::<Vec<_>>().join(", ");
                Err(ParamFault::NotAllowed { value: quote(text), known })
            }
            _ => Err(wrong()),
        }
    }
}

/// Why a value or a parameter's bounds are refused.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParamFault {
    /// A value of another type.
    #[error("must be of type {expected}, got {got}")]
    Type {
        /// The type wanted.
        expected: &'static str,
        /// The type given.
        got: &'static str,
    },
    /// NaN or an infinity.
    #[error("must be finite")]
    NotFinite,
    /// A whole number beyond 2⁵³, where a number is wanted.
    #[error("a whole number beyond 2^53 is no exact number")]
    Inexact,
    /// Below the smallest value.
    #[error("must be at least {bound}, got {value}")]
    BelowMin {
        /// The value.
        value: String,
        /// The bound.
        bound: String,
    },
    /// Above the greatest value.
    #[error("must be at most {bound}, got {value}")]
    AboveMax {
        /// The value.
        value: String,
        /// The bound.
        bound: String,
    },
    /// None of the texts to choose from.
    #[error("\"{value}\" is none of {known}")]
    NotAllowed {
        /// The text.
        value: String,
        /// The first of those allowed.
        known: String,
    },
    /// The smallest value is greater than the greatest.
    #[error("min is greater than max")]
    EmptyRange,
    /// Bounds on something that has no order.
    #[error("only numbers have min and max")]
    NoBounds,
    /// A choice of texts for something that is no text.
    #[error("only texts have an enum")]
    NoChoice,
    /// Longer than allowed.
    #[error("is too long: {got}, at most {limit} are allowed")]
    TooLong {
        /// The limit.
        limit: usize,
        /// What was sent.
        got: usize,
    },
}
