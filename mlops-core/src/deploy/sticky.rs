//! What tells callers apart, so that each of them stays with one deployment.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Where a request says who asks.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum StickyKey {
    /// In a header, whose name is in lower case.
    Header(String),
    /// In a field of the body beside the rows, a text or a whole number; with the Open Inference Protocol in the parameter of this
    /// name.
    Field(String),
}

/// What keeps a caller at its variant: the part of a request that says who asks, and a salt.
///
/// A caller's key is hashed with the salt into one of 10 000 buckets, as [`TrafficSplit::route`](super::TrafficSplit::route) has it:
/// as long as both stay, raising the share of a deployment moves callers to it and none away from it. Another salt deals the
/// callers out anew, so that it is not always the same who meet what is new. Without a salt it is the endpoint's name.
///
/// It is part of a [split](super::TrafficSplit::with_sticky), kept by the deployer with it, and so what every server of the
/// endpoint goes by. Who calls [`invoke`](super::Deployer::invoke) hands over the key itself.
///
/// ```
/// use mlops_core::deploy::Sticky;
///
/// let sticky = Sticky::header("x-user")?.with_salt("autumn")?;
/// assert_eq!(sticky.to_string(), "sticky by header x-user, salt autumn");
/// assert_eq!(serde_json::to_string(&sticky)?, r#"{"header":"x-user","salt":"autumn"}"#);
/// assert!(Sticky::header("x user").is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Wire", into = "Wire")]
pub struct Sticky {
    key: StickyKey,
    salt: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    header: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    field: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    salt: Option<String>,
}

impl From<Sticky> for Wire {
    fn from(sticky: Sticky) -> Self {
        let (header, field) = match sticky.key {
            StickyKey::Header(name) => (Some(name), None),
            StickyKey::Field(name) => (None, Some(name)),
        };
        Self { header, field, salt: sticky.salt }
    }
}

impl TryFrom<Wire> for Sticky {
    type Error = Error;

    fn try_from(wire: Wire) -> Result<Self> {
        let sticky = match (wire.header, wire.field) {
            (Some(name), None) => Self::header(name)?,
            (None, Some(name)) => Self::field(name)?,
            _ => return Err(Error::invalid("Sticky", "key", "is either a header or a field")),
        };
        wire.salt.map_or(Ok(sticky.clone()), |salt| sticky.with_salt(salt))
    }
}

/// Where rows or what belongs to them may stand in a body.
const TAKEN: [&str; 10] = [
    "data",
    "dataframe_records",
    "dataframe_split",
    "id",
    "input_data",
    "inputs",
    "instances",
    "outputs",
    "parameters",
    "params",
];

impl Sticky {
    /// Callers are told apart by a header.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) unless it is the name of a header in lower case, of 1 to 128
    /// bytes.
    pub fn header(name: impl Into<String>) -> Result<Self> {
        let name = name.into();
        let token = |byte: u8| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"!#$%&'*+-.^_`|~".contains(&byte)
        };
        if name.is_empty() || name.len() > 128 || !name.bytes().all(token) {
            let message = "is the name of a header in lower case, of 1 to 128 bytes";
            return Err(Error::invalid("Sticky::header", "header", message));
        }
        Ok(Self { key: StickyKey::Header(name), salt: None })
    }

    /// Callers are told apart by a field of the body beside the rows. A server that does not go by it refuses a body that has it, as
    /// it does every field it does not know: let callers send it once the split says so.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for a name that is blank, longer than 256 bytes or has control
    /// characters, and for one under which rows may stand.
    pub fn field(name: impl Into<String>) -> Result<Self> {
        let name = name.into();
        check_text("Sticky::field", "field", &name)?;
        if TAKEN.contains(&name.as_str()) {
            let message = "is a field of the rows, not one beside them";
            return Err(Error::invalid("Sticky::field", "field", message).with("name", name));
        }
        Ok(Self { key: StickyKey::Field(name), salt: None })
    }

    /// Sets the salt.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for one that is blank, longer than 256 bytes or has control
    /// characters.
    pub fn with_salt(mut self, salt: impl Into<String>) -> Result<Self> {
        let salt = salt.into();
        check_text("Sticky::with_salt", "salt", &salt)?;
        self.salt = Some(salt);
        Ok(self)
    }

    /// Where a request says who asks.
    pub fn key(&self) -> &StickyKey {
        &self.key
    }

    /// The salt, where it is not the endpoint's name.
    pub fn salt(&self) -> Option<&str> {
        self.salt.as_deref()
    }
}

fn check_text(operation: &'static str, field: &'static str, text: &str) -> Result<()> {
    if text.trim().is_empty() || text.len() > 256 || text.chars().any(char::is_control) {
        let message = "has 1 to 256 bytes, is not blank and has no control characters";
        return Err(Error::invalid(operation, field, message));
    }
    Ok(())
}

impl fmt::Display for Sticky {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.key {
            StickyKey::Header(name) => write!(f, "sticky by header {name}")?,
            StickyKey::Field(name) => write!(f, "sticky by field {name}")?,
        }
        self.salt.as_ref().map_or(Ok(()), |salt| write!(f, ", salt {salt}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_no_request_can_have_are_refused() {
        let long = "x".repeat(257);
        for name in ["", "X-User", "x user", "x:user", "nutzer-ü", "x-\n", &long[..129]] {
            let error = Sticky::header(name).unwrap_err();
            assert_eq!(error.context("field"), Some("header"), "{name:?}");
        }
        for name in ["", "  ", "a\u{7}", long.as_str(), "input_data", "parameters"] {
            assert_eq!(Sticky::field(name).unwrap_err().context("field"), Some("field"), "{name:?}");
        }
        assert!(Sticky::field("customer no.").is_ok());
        for salt in ["", "\t", long.as_str()] {
            let sticky = Sticky::header("x-user").unwrap();
            assert_eq!(sticky.with_salt(salt).unwrap_err().context("field"), Some("salt"));
        }
    }

    #[test]
    fn what_is_read_is_checked() {
        for text in [
            "{}",
            r#"{"header":"x-user","field":"user"}"#,
            r#"{"header":"X-User"}"#,
            r#"{"field":"data"}"#,
            r#"{"header":"x-user","salt":""}"#,
            r#"{"header":"x-user","pepper":"a"}"#,
            r#"{"salt":"a"}"#,
        ] {
            assert!(serde_json::from_str::<Sticky>(text).is_err(), "{text}");
        }
        let sticky: Sticky = toml::from_str("field = \"user\"\nsalt = \"a\"").unwrap();
        assert_eq!(sticky, Sticky::field("user").unwrap().with_salt("a").unwrap());
    }
}
