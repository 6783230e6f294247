//! Names, versions, aliases and ids as types that cannot hold a wrong value.
//!
//! A name is validated once, where it enters, and never rewritten: what was accepted is stored exactly, what cannot be
//! stored exactly is refused. Names that travel to Azure Machine Learning follow its pattern
//! (`^[a-zA-Z0-9][a-zA-Z0-9\-_]{0,254}$`), endpoint and deployment names its stricter one; keys of metrics, parameters and
//! tags follow MLflow's. On top, names that some file system treats specially (`con`, `NUL`, …) are refused everywhere, so
//! that a project moves between machines.

use std::borrow::Borrow;
use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, needs_escape, quote};
use crate::hash::Digest;
use crate::time::Timestamp;

/// Why a text is not a valid name, key, path or version.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameFault {
    /// Nothing, or nothing visible.
    Empty,
    /// More characters than allowed.
    TooLong {
        /// The limit in characters.
        limit: usize,
        /// What was sent.
        got: usize,
    },
    /// Fewer characters than required.
    TooShort {
        /// The minimum in characters.
        min: usize,
    },
    /// More parts between `/` than allowed.
    TooDeep {
        /// The limit in parts.
        limit: usize,
        /// What was sent.
        got: usize,
    },
    /// The character at this position (counted from 0, in characters) is not allowed there.
    Character {
        /// The position.
        position: usize,
    },
    /// The text is reserved: a device name, `latest`, a version number, `.` or `..`.
    Reserved,
    /// The text does not have the form this type needs.
    Form,
}

impl fmt::Display for NameFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("must not be empty"),
            Self::TooLong { limit, got } => write!(f, "has {got} characters, at most {limit} are allowed"),
            Self::TooShort { min } => write!(f, "needs at least {min} characters"),
            Self::TooDeep { limit, got } => write!(f, "has {got} parts, at most {limit} are allowed"),
            Self::Character { position } => {
                write!(f, "has a character that is not allowed at position {position}")
            }
            Self::Reserved => f.write_str("is reserved"),
            Self::Form => f.write_str("does not have the required form"),
        }
    }
}

/// A text that is not a valid name: which type refused it, why, what is allowed, and the text itself, escaped and cut.
///
/// ```
/// use mlops_core::id::{ModelName, NameFault};
/// let error = ModelName::new("../../evil").unwrap_err();
/// assert_eq!(error.what(), "model name");
/// assert_eq!(error.fault(), NameFault::Character { position: 0 });
/// assert_eq!(error.rule(), ModelName::RULE);
/// assert_eq!(
///     error.to_string(),
///     "model name \"../../evil\" has `.` at position 0 (from 0); allowed: 1 to 255 ASCII letters, \
///      digits, `-` and `_`, the first a letter or digit, and no device names as `con`"
/// );
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} \"{shown}\" {}", self.reason())]
pub struct NameError {
    what: &'static str,
    fault: NameFault,
    rule: &'static str,
    /// The character that is not allowed, where the fault is one.
    found: Option<char>,
    shown: String,
}

impl NameError {
    fn new(what: &'static str, fault: NameFault, rule: &'static str, value: &str) -> Self {
        let found = match fault {
            NameFault::Character { position } => value.chars().nth(position),
            _ => None,
        };
        Self { what, fault, rule, found, shown: quote(value) }
    }

    /// The type that refused, in words.
    pub fn what(&self) -> &'static str {
        self.what
    }

    /// Why.
    pub fn fault(&self) -> NameFault {
        self.fault
    }

    /// What is allowed, in words.
    pub fn rule(&self) -> &'static str {
        self.rule
    }

    /// The character that is not allowed, where the fault is one.
    pub fn found(&self) -> Option<char> {
        self.found
    }

    /// The fault with what is at fault, and what is allowed.
    fn reason(&self) -> String {
        let Self { fault, rule, .. } = self;
        match (self.found, fault) {
            (Some(found), NameFault::Character { position }) => {
                let found = quote(found.encode_utf8(&mut [0; 4]));
                let place = format!("at position {position} (from 0)");
                format!("has `{found}` {place}; allowed: {rule}")
            }
            _ => format!("{fault}; allowed: {rule}"),
        }
    }
}

impl From<NameError> for Error {
    fn from(error: NameError) -> Self {
        let kind = match error.fault {
            NameFault::TooLong { .. } | NameFault::TooDeep { .. } => ErrorKind::LimitExceeded,
            _ => ErrorKind::InvalidInput,
        };
        Self::new(kind, error.what, error.reason()).with("field", error.what).with("value", &error.shown)
    }
}

// What errors say is allowed; each beside its check.
const AZURE_ASSET: &str =
    "1 to 255 ASCII letters, digits, `-` and `_`, the first a letter or digit, and no device names as `con`";
const AZURE_COMPONENT: &str =
    "1 to 255 lower-case ASCII letters, digits and `_`, the first a letter, and no device names as `con`";
const AZURE_PORT: &str = "1 to 255 lower-case ASCII letters, digits and `_`, the first a letter, and no names of devices or of the environment as `path`";
const COMPONENT_VERSION: &str =
    "1 to 255 ASCII letters, digits, `-`, `_` and `.`, the first a letter or digit";
const AZURE_ENDPOINT: &str = "3 to 32 ASCII letters, digits and `-`, the first a letter, the last not `-`, and no device names as `con`";
const MLFLOW_KEY: &str = "1 to 250 letters, digits, spaces, `_`, `-`, `.`, `:` and `/`, no space at an end, no part between `/` that is empty, `.` or `..`";
const ALIAS: &str = "1 to 255 ASCII letters, digits, `-`, `_` and `.`, the first a letter or digit, and neither `latest` nor a number as `3` or `v3`";
const RUN_ID: &str = "32 of `0` to `9` and `a` to `f`";
const LINE: &str = "1 to 256 visible characters on one line, no space at an end";
const SECRET_NAME: &str = "1 to 127 ASCII letters, digits and `-`";
const KEY_128: &str = "1 to 128 visible ASCII characters without spaces";
const REL_PATH: &str = "up to 1024 characters in 1 to 64 parts with `/` between them, each of 1 to 255 bytes, without `\\`, `:`, `*`, `?`, `\"`, `<`, `>`, `|` and what cannot be seen, none `.`, `..`, a device name, with `~` or a space at its start, `.` or a space at its end, or with `%` and two hexadecimal digits";
const VERSION: &str = "a whole number from 1 to 2^63 - 1, without zeros before it";
const DIGEST: &str = "`sha256:` and 64 of `0` to `9` and `a` to `f`";

/// Windows device names; a file of that name cannot exist there, with or without an extension.
fn is_device(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or(name).to_ascii_lowercase();
    matches!(stem.as_str(), "con" | "prn" | "aux" | "nul" | "conin$" | "conout$")
        || (stem.len() == 4
            && (stem.starts_with("com") || stem.starts_with("lpt"))
            && stem.as_bytes()[3].is_ascii_digit())
}

fn check_chars(value: &str, max: usize, ok: impl Fn(usize, char) -> bool) -> Result<(), NameFault> {
    if value.trim().is_empty() {
        return Err(NameFault::Empty);
    }
    if let Some(position) = value.chars().enumerate().position(|(i, c)| !ok(i, c)) {
        return Err(NameFault::Character { position });
    }
    let got = value.chars().count();
    if got > max {
        return Err(NameFault::TooLong { limit: max, got });
    }
    Ok(())
}

/// Azure ML's asset names: ASCII letters, digits, `-` and `_`, the first a letter or digit, at most 255.
fn azure_asset(value: &str) -> Result<(), NameFault> {
    check_chars(value, 255, |i, c| c.is_ascii_alphanumeric() || (i > 0 && matches!(c, '-' | '_')))?;
    if is_device(value) { Err(NameFault::Reserved) } else { Ok(()) }
}

/// Azure ML's endpoint names: 3 to 32 of ASCII letters, digits and `-`, first a letter, last not `-`.
fn azure_endpoint(value: &str) -> Result<(), NameFault> {
    check_chars(value, 32, |i, c| {
        if i == 0 { c.is_ascii_alphabetic() } else { c.is_ascii_alphanumeric() || c == '-' }
    })?;
    if value.ends_with('-') {
        return Err(NameFault::Character { position: value.len() - 1 });
    }
    if value.len() < 3 {
        return Err(NameFault::TooShort { min: 3 });
    }
    if is_device(value) { Err(NameFault::Reserved) } else { Ok(()) }
}

/// MLflow's keys: letters and digits of any script, `_ - . : /` and inner spaces; a relative path without empty, `.` or
/// `..` segments; at most 250.
fn mlflow_key(value: &str) -> Result<(), NameFault> {
    check_chars(value, 250, |_, c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | ' ' | ':' | '/'))?;
    let plain = |s: &str| !matches!(s.trim(), "" | "." | "..");
    if value != value.trim() || !value.split('/').all(plain) { Err(NameFault::Form) } else { Ok(()) }
}

/// Any visible text on one line.
fn line(max: usize) -> impl Fn(&str) -> Result<(), NameFault> {
    move |value| {
        check_chars(value, max, |_, c| !needs_escape(c))?;
        if value == value.trim() { Ok(()) } else { Err(NameFault::Form) }
    }
}

fn alias(value: &str) -> Result<(), NameFault> {
    check_chars(value, 255, |i, c| c.is_ascii_alphanumeric() || (i > 0 && matches!(c, '-' | '_' | '.')))?;
    let digits = value.strip_prefix(['v', 'V']).unwrap_or(value);
    let number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    if number || value.eq_ignore_ascii_case("latest") { Err(NameFault::Reserved) } else { Ok(()) }
}

fn run_id(value: &str) -> Result<(), NameFault> {
    check_chars(value, 32, |_, c| matches!(c, '0'..='9' | 'a'..='f'))?;
    if value.len() == 32 { Ok(()) } else { Err(NameFault::TooShort { min: 32 }) }
}

/// Azure ML's names of components and of what goes in and out of them: `^[a-z][a-z0-9_]{0,254}$`.
fn azure_component(value: &str) -> Result<(), NameFault> {
    check_chars(value, 255, |i, c| c.is_ascii_lowercase() || (i > 0 && (c.is_ascii_digit() || c == '_')))?;
    if is_device(value) { Err(NameFault::Reserved) } else { Ok(()) }
}

/// The same, without the names of environment variables that Azure ML reserves.
fn azure_port(value: &str) -> Result<(), NameFault> {
    azure_component(value)?;
    let reserved = ["path", "ld_library_path", "user", "logname", "home", "pwd", "shell"];
    if reserved.contains(&value) { Err(NameFault::Reserved) } else { Ok(()) }
}

fn component_version(value: &str) -> Result<(), NameFault> {
    check_chars(value, 255, |i, c| c.is_ascii_alphanumeric() || (i > 0 && matches!(c, '-' | '_' | '.')))
}

fn secret_name(value: &str) -> Result<(), NameFault> {
    check_chars(value, 127, |_, c| c.is_ascii_alphanumeric() || c == '-')
}

fn key_128(value: &str) -> Result<(), NameFault> {
    check_chars(value, 128, |_, c| c.is_ascii_graphic())
}

fn rel_path(value: &str) -> Result<(), NameFault> {
    check_chars(value, 1024, |_, c| {
        !needs_escape(c) && !matches!(c, '\\' | ':' | '*' | '?' | '"' | '<' | '>' | '|')
    })?;
    let segments = || value.split('/');
    if segments().count() > 64 {
        return Err(NameFault::TooDeep { limit: 64, got: segments().count() });
    }
    for segment in segments() {
        if segment.is_empty()
            || segment.len() > 255
            || segment.starts_with(' ')
            || segment.ends_with([' ', '.'])
        {
            return Err(NameFault::Form);
        }
        if is_device(segment) || segment.starts_with('~') {
            return Err(NameFault::Reserved);
        }
        if looks_encoded(segment) {
            return Err(NameFault::Form);
        }
    }
    Ok(())
}

/// `%2e`, `%2F`, … : some peer would decode it, so it means two things.
fn looks_encoded(segment: &str) -> bool {
    segment
        .as_bytes()
        .windows(3)
        .any(|w| w[0] == b'%' && w[1].is_ascii_hexdigit() && w[2].is_ascii_hexdigit())
}

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident = $what:literal, $check:expr, $rule:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(std::sync::Arc<str>);

        impl $name {
            /// Which texts are one, as errors say it.
            pub const RULE: &str = $rule;

            #[doc = concat!("Checks and takes a ", $what, ".")]
            ///
            /// # Errors
            /// [`NameError`] with the fault; the text is never changed to make it fit.
            pub fn new(value: impl AsRef<str>) -> Result<Self, NameError> {
                let value = value.as_ref();
                match $check(value) {
                    Ok(()) => Ok(Self(value.into())),
                    Err(fault) => Err(NameError::new($what, fault, $rule, value)),
                }
            }

            /// The text as it was given.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(value: &str) -> Result<Self, NameError> {
                Self::new(value)
            }
        }

        impl TryFrom<&str> for $name {
            type Error = NameError;

            fn try_from(value: &str) -> Result<Self, NameError> {
                Self::new(value)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Self::new(String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
            }
        }
    )*};
}

names! {
    /// A data asset's name, by Azure ML's rule for assets.
    ///
    /// ```
    /// use mlops_core::AssetName;
    /// assert!(AssetName::new("patients-2026_q1").is_ok());
    /// for bad in ["", "a/b", "..", "é", "con", "-x", "a\nb", "a%2Fb"] {
    ///     assert!(AssetName::new(bad).is_err(), "{bad:?}");
    /// }
    /// ```
    AssetName = "asset name", azure_asset, AZURE_ASSET;

    /// A registered model's name, by Azure ML's rule for assets.
    ///
    /// ```
    /// use mlops_core::ModelName;
    /// assert_eq!(ModelName::new("churn")?.as_str(), "churn");
    /// # Ok::<(), mlops_core::id::NameError>(())
    /// ```
    ModelName = "model name", azure_asset, AZURE_ASSET;

    /// A component's name, by Azure ML's rule for components: lower-case ASCII letters, digits and `_`, the first a letter.
    ///
    /// ```
    /// use mlops_core::id::ComponentName;
    /// assert!(ComponentName::new("train_forest").is_ok());
    /// for bad in ["", "Train", "train-forest", "1st", "nul"] {
    ///     assert!(ComponentName::new(bad).is_err(), "{bad:?}");
    /// }
    /// ```
    ComponentName = "component name", azure_component, AZURE_COMPONENT;

    /// A component's version: letters, digits, `-`, `_` and `.`, the first a letter or digit.
    ///
    /// ```
    /// use mlops_core::id::ComponentVersion;
    /// assert!(ComponentVersion::new("1.0.2").is_ok());
    /// assert!(ComponentVersion::new("1:2").is_err());
    /// ```
    ComponentVersion = "component version", component_version, COMPONENT_VERSION;

    /// The name of an input, an output or a parameter of a component, by Azure ML's rule; the names of environment variables
    /// that Azure ML reserves (`path`, `home`, …) are refused.
    ///
    /// ```
    /// use mlops_core::id::PortName;
    /// assert!(PortName::new("training_data").is_ok());
    /// assert!(PortName::new("path").is_err());
    /// ```
    PortName = "port name", azure_port, AZURE_PORT;

    /// The name of a step of a pipeline, by the rule for component names.
    ///
    /// ```
    /// use mlops_core::id::StepName;
    /// assert!(StepName::new("train_2").is_ok());
    /// assert!(StepName::new("Train 2").is_err());
    /// ```
    StepName = "step name", azure_component, AZURE_COMPONENT;

    /// An experiment's name, by Azure ML's rule for assets.
    ///
    /// ```
    /// assert!(mlops_core::ExperimentName::new("diabetes-progression").is_ok());
    /// ```
    ExperimentName = "experiment name", azure_asset, AZURE_ASSET;

    /// A monitor's name, by Azure ML's rule for assets.
    ///
    /// ```
    /// assert!(mlops_core::MonitorName::new("diabetes-drift").is_ok());
    /// ```
    MonitorName = "monitor name", azure_asset, AZURE_ASSET;

    /// An online endpoint's name: 3 to 32 letters, digits and `-`, as Azure ML demands.
    ///
    /// ```
    /// use mlops_core::EndpointName;
    /// assert!(EndpointName::new("diabetes").is_ok());
    /// assert!(EndpointName::new("ab").is_err());
    /// assert!(EndpointName::new("1st").is_err());
    /// assert!(EndpointName::new("x".repeat(33)).is_err());
    /// ```
    EndpointName = "endpoint name", azure_endpoint, AZURE_ENDPOINT;

    /// A deployment's name within an endpoint (`blue`, `green`), by the same rule as [`EndpointName`].
    ///
    /// ```
    /// assert!(mlops_core::DeploymentName::new("blue").is_ok());
    /// ```
    DeploymentName = "deployment name", azure_endpoint, AZURE_ENDPOINT;

    /// A metric's key, by MLflow's rule.
    ///
    /// ```
    /// use mlops_core::MetricKey;
    /// assert!(MetricKey::new("val/roc_auc").is_ok());
    /// assert!(MetricKey::new("Güte @ 5").is_err());
    /// assert!(MetricKey::new("../x").is_err());
    /// ```
    MetricKey = "metric key", mlflow_key, MLFLOW_KEY;

    /// A parameter's key, by MLflow's rule.
    ///
    /// ```
    /// assert!(mlops_core::ParamKey::new("learning_rate").is_ok());
    /// ```
    ParamKey = "parameter key", mlflow_key, MLFLOW_KEY;

    /// A tag's key, by MLflow's rule.
    ///
    /// ```
    /// assert!(mlops_core::TagKey::new("mlflow.source.git.commit").is_ok());
    /// ```
    TagKey = "tag key", mlflow_key, MLFLOW_KEY;

    /// An alias of a model version (`champion`): letters, digits, `-`, `_`, `.`; not `latest`, not a version number.
    ///
    /// ```
    /// use mlops_core::Alias;
    /// assert!(Alias::new("champion").is_ok());
    /// for bad in ["latest", "3", "v3", "", "a b"] {
    ///     assert!(Alias::new(bad).is_err(), "{bad:?}");
    /// }
    /// ```
    Alias = "alias", alias, ALIAS;

    /// A run's id: 32 lower-case hexadecimal digits, made by the client and ordered by time.
    ///
    /// ```
    /// use mlops_core::RunId;
    /// let id = RunId::generate();
    /// assert_eq!(id.as_str().len(), 32);
    /// assert!(RunId::new("not-a-run").is_err());
    /// ```
    RunId = "run id", run_id, RUN_ID;

    /// Who does something: a person, a service or a job, as one line of text.
    ///
    /// ```
    /// assert!(mlops_core::ActorId::new("training-pipeline").is_ok());
    /// ```
    ActorId = "actor", line(256), LINE;

    /// A secret's name, by Azure Key Vault's rule.
    ///
    /// ```
    /// use mlops_core::SecretName;
    /// assert!(SecretName::new("tracking-token").is_ok());
    /// assert!(SecretName::new("TRACKING_TOKEN").is_err());
    /// ```
    SecretName = "secret name", secret_name, SECRET_NAME;

    /// A key made by the client that makes a repeated call the same call: 1 to 128 visible ASCII characters.
    ///
    /// ```
    /// use mlops_core::IdempotencyKey;
    /// assert_ne!(IdempotencyKey::generate(), IdempotencyKey::generate());
    /// assert!(IdempotencyKey::new("two words").is_err());
    /// ```
    IdempotencyKey = "idempotency key", key_128, KEY_128;

    /// A path inside a store: relative, `/`-separated, with no `.` or `..`, no empty segment, nothing that any file system
    /// or URL reads as something else.
    ///
    /// ```
    /// use mlops_core::RelPath;
    /// assert!(RelPath::new("model/weights.json").is_ok());
    /// for bad in ["../x", "/etc/passwd", "a//b", "a/./b", "a/", r"C:\x", "%2e%2e/x", "~/x", "a\0b", "nul.txt"] {
    ///     assert!(RelPath::new(bad).is_err(), "{bad:?}");
    /// }
    /// ```
    RelPath = "relative path", rel_path, REL_PATH;
}

/// Tags of anything: keys to text.
pub type Tags = std::collections::BTreeMap<TagKey, String>;

/// The longest text of a tag, a parameter or a description, in characters.
pub const MAX_TEXT: usize = 65_536;

/// The most tags or parameters one thing may have.
pub const MAX_ENTRIES: usize = 10_000;

/// Checks free text against [`MAX_TEXT`]; `what` names it in the error.
///
/// # Errors
/// [`ErrorKind::LimitExceeded`]: text is never cut.
///
/// ```
/// use mlops_core::id::check_text;
/// assert!(check_text("register", "description", "short").is_ok());
/// assert!(check_text("register", "description", &"x".repeat(65_537)).is_err());
/// ```
pub fn check_text(operation: &'static str, what: &'static str, text: &str) -> crate::Result<()> {
    // Most text is short: its length in bytes bounds the characters without counting them.
    if text.len() <= MAX_TEXT {
        return Ok(());
    }
    match text.chars().count() {
        got if got > MAX_TEXT => Err(Error::limit(operation, what, MAX_TEXT, got)),
        _ => Ok(()),
    }
}

/// Checks tags against [`MAX_ENTRIES`] and their text against [`MAX_TEXT`].
///
/// # Errors
/// [`ErrorKind::LimitExceeded`] that names the tag.
pub fn check_tags(operation: &'static str, tags: &Tags) -> crate::Result<()> {
    if tags.len() > MAX_ENTRIES {
        return Err(Error::limit(operation, "the number of tags", MAX_ENTRIES, tags.len()));
    }
    tags.iter()
        .try_for_each(|(key, text)| check_text(operation, "a tag", text).map_err(|e| e.with("tag", key)))
}

/// Checks the URI of external data: a known scheme, no credentials, no traversal, nothing that reads two ways.
///
/// # Errors
/// [`ErrorKind::InvalidInput`] with the reason; the URI is quoted without its query.
///
/// ```
/// use mlops_core::id::check_uri;
/// assert!(check_uri("register", "abfss://data@lake.dfs.core.windows.net/patients/2026").is_ok());
/// for bad in ["ftp://x/y", "https://u:p@host/x", "https://host/a/../b", "https://host/x?sig=secret", "x"] {
///     assert!(check_uri("register", bad).is_err(), "{bad}");
/// }
/// ```
pub fn check_uri(operation: &'static str, uri: &str) -> crate::Result<()> {
    const SCHEMES: [&str; 8] = ["file", "https", "abfss", "wasbs", "azureml", "s3", "gs", "dbfs"];
    // What follows `?` may be a signature: it is not even quoted.
    let shown = uri.split(['?', '#']).next().unwrap_or_default();
    let bad = |reason: &str| {
        let credentials =
            shown.split("://").nth(1).is_some_and(|rest| rest.contains('@') && rest.contains(':'));
        let value = if credentials { "(not shown: it holds credentials)" } else { shown };
        Err(Error::invalid(operation, "uri", reason).with("value", value))
    };
    let Some((scheme, rest)) = uri.split_once("://") else {
        return bad("has no scheme");
    };
    if !SCHEMES.contains(&scheme) {
        return bad("has a scheme that is not allowed (file, https, abfss, wasbs, azureml, s3, gs, dbfs)");
    }
    if uri.chars().count() > 2_048 {
        return Err(Error::limit(operation, "the URI", 2_048, uri.chars().count()));
    }
    if uri.chars().any(|c| needs_escape(c) || c == ' ' || c == '\\') {
        return bad("has a space, a backslash or an invisible character");
    }
    if uri.contains(['?', '#', ';']) {
        return bad("has a query, a fragment or parameters; store credentials as secrets");
    }
    if rest
        .split('/')
        .next()
        .is_some_and(|host| host.split_once('@').is_some_and(|(user, _)| user.contains(':')))
    {
        return bad("holds a password; store credentials as secrets");
    }
    if rest.split('/').any(|s| matches!(s, "." | "..")) || rest.split('/').any(looks_encoded) {
        return bad("has a `.` or `..` segment or an escaped character");
    }
    Ok(())
}

impl RunId {
    /// A new id: the time in milliseconds first, then random bits (UUID version 7 without hyphens).
    pub fn generate() -> Self {
        Self(uuid::Uuid::now_v7().simple().to_string().into())
    }
}

impl IdempotencyKey {
    /// A new random key (UUID version 4).
    pub fn generate() -> Self {
        Self(uuid::Uuid::new_v4().simple().to_string().into())
    }

    /// The key that follows from what a call is about, so that a restarted process finds its own call again.
    ///
    /// ```
    /// use mlops_core::{IdempotencyKey, hash::Digest};
    /// let digest = Digest::of(b"rollout 7, step 2");
    /// assert_eq!(IdempotencyKey::from_digest(&digest), IdempotencyKey::from_digest(&digest));
    /// ```
    pub fn from_digest(digest: &Digest) -> Self {
        Self(digest.hex().into())
    }
}

/// A version: 1, 2, 3, … up to 2⁶³ − 1, given out by the store, without gaps, never twice.
///
/// ```
/// use mlops_core::Version;
/// assert_eq!("12".parse::<Version>()?.get(), 12);
/// for bad in ["", "0", "-1", "01", "1.0", "1e3", "latest", "99999999999999999999", "٣"] {
///     assert!(bad.parse::<Version>().is_err(), "{bad}");
/// }
/// # Ok::<(), mlops_core::id::NameError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Version(NonZeroU64);

impl Version {
    /// The first version.
    pub const FIRST: Self = Self(NonZeroU64::MIN);
    const MAX: u64 = i64::MAX.unsigned_abs();

    /// The version with this number, if it is one.
    pub const fn new(number: u64) -> Option<Self> {
        match NonZeroU64::new(number) {
            Some(n) if number <= Self::MAX => Some(Self(n)),
            _ => None,
        }
    }

    /// The number.
    pub const fn get(self) -> u64 {
        self.0.get()
    }

    /// The version after this one; `None` at the end of the numbers.
    pub const fn next(self) -> Option<Self> {
        match self.0.get().checked_add(1) {
            Some(n) => Self::new(n),
            None => None,
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Version {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let plain = text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0');
        let number = if plain { text.parse().ok() } else { None };
        number.and_then(Self::new).ok_or_else(|| NameError::new("version", NameFault::Form, VERSION, text))
    }
}

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = u64::deserialize(deserializer)?;
        Self::new(number).ok_or_else(|| serde::de::Error::custom("a version lies between 1 and 2^63 - 1"))
    }
}

/// Which version of a named thing is meant.
///
/// ```
/// use mlops_core::{Version, VersionSpec};
/// assert_eq!("latest".parse::<VersionSpec>()?, VersionSpec::Latest);
/// assert_eq!("3".parse::<VersionSpec>()?, VersionSpec::Exact(Version::new(3).unwrap()));
/// assert!(matches!("@champion".parse::<VersionSpec>()?, VersionSpec::Alias(_)));
/// # Ok::<(), mlops_core::id::NameError>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VersionSpec {
    /// The highest version that is not archived.
    Latest,
    /// This version.
    Exact(Version),
    /// The version an alias points to now.
    Alias(Alias),
    /// The version an alias pointed to at a moment in the past.
    AliasAsOf {
        /// The alias.
        alias: Alias,
        /// The moment.
        at: Timestamp,
    },
    /// The version with this content.
    Digest(Digest),
}

impl FromStr for VersionSpec {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if text == "latest" {
            return Ok(Self::Latest);
        }
        if let Some(alias) = text.strip_prefix('@') {
            return Alias::new(alias).map(Self::Alias);
        }
        if text.starts_with("sha256:") {
            let bad = |_| NameError::new("version", NameFault::Form, DIGEST, text);
            return text.parse().map(Self::Digest).map_err(bad);
        }
        text.parse().map(Self::Exact)
    }
}

impl fmt::Display for VersionSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Latest => f.write_str("latest"),
            Self::Exact(version) => version.fmt(f),
            Self::Alias(alias) => write!(f, "@{alias}"),
            Self::AliasAsOf { alias, at } => write!(f, "@{alias} as of {}", at.to_rfc3339()),
            Self::Digest(digest) => digest.fmt(f),
        }
    }
}

impl From<Version> for VersionSpec {
    fn from(version: Version) -> Self {
        Self::Exact(version)
    }
}

impl From<Alias> for VersionSpec {
    fn from(alias: Alias) -> Self {
        Self::Alias(alias)
    }
}

/// A share of traffic in whole per cent, 0 to 100.
///
/// ```
/// use mlops_core::Percent;
/// assert_eq!(Percent::new(10).map(Percent::get), Some(10));
/// assert_eq!(Percent::new(101), None);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Percent(u8);

impl Percent {
    /// No traffic.
    pub const ZERO: Self = Self(0);
    /// All traffic.
    pub const ALL: Self = Self(100);

    /// The share, if it is at most 100.
    pub const fn new(percent: u8) -> Option<Self> {
        if percent <= 100 { Some(Self(percent)) } else { None }
    }

    /// The number.
    pub const fn get(self) -> u8 {
        self.0
    }

    /// What is left to 100.
    ///
    /// ```
    /// use mlops_core::Percent;
    /// assert_eq!(Percent::ALL.complement(), Percent::ZERO);
    /// ```
    #[must_use]
    pub const fn complement(self) -> Self {
        Self(100 - self.0)
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} %", self.0)
    }
}

impl<'de> Deserialize<'de> for Percent {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = u8::deserialize(deserializer)?;
        Self::new(number).ok_or_else(|| serde::de::Error::custom("a percentage lies between 0 and 100"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_names_are_refused_by_every_strict_name() {
        let hostile = [
            "",
            " ",
            "\t",
            "\u{a0}",
            ".",
            "..",
            "../../evil",
            "a/b",
            "a\\b",
            "C:evil",
            "con",
            "NUL",
            "aux",
            "com1",
            "model.",
            "model ",
            "a\0b",
            "a\nb",
            "a\r\nb",
            "\u{1b}[2J",
            "a\u{202e}b",
            "a\u{200b}b",
            "\u{feff}a",
            "e\u{301}",
            "é",
            "а",
            "a%2Fb",
            "%2e%2e%2f",
            "%252e",
            "x?api-version=1",
            "x#y",
            "x;p=..",
            "a&b=c",
            "@evil.com/",
            "//evil.com",
            "'; DROP TABLE mv;--",
            "%_",
            "{{7*7}}",
            "${env:HOME}",
            "$(id)",
            "`id`",
            "<script>",
            "=cmd|' /C calc'!A0",
        ];
        for name in hostile {
            assert!(AssetName::new(name).is_err(), "asset {name:?}");
            assert!(ModelName::new(name).is_err(), "model {name:?}");
            assert!(ExperimentName::new(name).is_err(), "experiment {name:?}");
            assert!(EndpointName::new(name).is_err(), "endpoint {name:?}");
            assert!(
                SecretName::new(name).is_err() || matches!(name, "con" | "NUL" | "aux" | "com1"),
                "{name:?}"
            );
        }
    }

    #[test]
    fn a_name_is_too_long_by_one_character() {
        let fault = ModelName::new("m".repeat(256)).unwrap_err().fault();
        assert_eq!(fault, NameFault::TooLong { limit: 255, got: 256 });
        assert!(ModelName::new("m".repeat(255)).is_ok());
        let error: Error = ModelName::new("m".repeat(300)).unwrap_err().into();
        assert_eq!(error.kind(), ErrorKind::LimitExceeded);
    }

    #[test]
    fn an_error_says_what_is_allowed_and_what_is_not() {
        let endpoint = "3 to 32 ASCII letters, digits and `-`, the first a letter, the last not `-`, and no device names as `con`";
        for (name, said) in [
            ("my_endpoint", "has `_` at position 2 (from 0)"),
            ("größe", "has `ö` at position 2 (from 0)"),
            ("a\u{200b}b", r"has `\u{200b}` at position 1 (from 0)"),
            ("7up", "has `7` at position 0 (from 0)"),
            ("blue-", "has `-` at position 4 (from 0)"),
            ("ab", "needs at least 3 characters"),
            ("", "must not be empty"),
            ("nul", "is reserved"),
        ] {
            let error = EndpointName::new(name).unwrap_err();
            let shown = quote(name);
            assert_eq!(error.to_string(), format!("endpoint name \"{shown}\" {said}; allowed: {endpoint}"));
            let error = Error::from(error);
            assert_eq!(error.message(), format!("{said}; allowed: {endpoint}"));
            assert_eq!(
                (error.context("field"), error.context("value")),
                (Some("endpoint name"), Some(&*shown))
            );
        }
        let error = EndpointName::new("e".repeat(33)).unwrap_err();
        assert!(
            error.to_string().contains("has 33 characters, at most 32 are allowed; allowed: 3 to 32"),
            "{error}"
        );
        assert_eq!((error.rule(), error.found()), (endpoint, None));
        assert_eq!(EndpointName::new("a b").unwrap_err().found(), Some(' '));
        let error = "03".parse::<Version>().unwrap_err();
        assert!(error.to_string().contains("a whole number from 1 to"), "{error}");
    }

    /// What a rule says in words is what its check does: every ASCII character, first and later, and the lengths.
    #[test]
    fn rules_say_what_is_checked() {
        type Takes = fn(&str) -> bool;
        type Rule = (&'static str, Takes, usize, usize, fn(char) -> bool, &'static str);
        // The rule, the check, the least and the greatest length, what may come first, and what later.
        let alphanumeric = |c: char| c.is_ascii_alphanumeric();
        let rules: [Rule; 6] = [
            (ModelName::RULE, |s| ModelName::new(s).is_ok(), 1, 255, alphanumeric, "-_"),
            (EndpointName::RULE, |s| EndpointName::new(s).is_ok(), 3, 32, |c| c.is_ascii_alphabetic(), "-"),
            (ComponentVersion::RULE, |s| ComponentVersion::new(s).is_ok(), 1, 255, alphanumeric, "-_."),
            (Alias::RULE, |s| Alias::new(s).is_ok(), 1, 255, alphanumeric, "-_."),
            (
                SecretName::RULE,
                |s| SecretName::new(s).is_ok(),
                1,
                127,
                |c| c.is_ascii_alphanumeric() || c == '-',
                "-",
            ),
            (IdempotencyKey::RULE, |s| IdempotencyKey::new(s).is_ok(), 1, 128, |c| c.is_ascii_graphic(), "-"),
        ];
        for (rule, takes, least, most, first, marks) in rules {
            assert!(rule.starts_with(&format!("{least} to {most} ")), "{rule}");
            assert!(takes(&"x".repeat(least)) && takes(&"x".repeat(most)), "{rule}");
            assert!(!takes(&"x".repeat(least - 1)) && !takes(&"x".repeat(most + 1)), "{rule}");
            for c in (0..128_u8).map(char::from) {
                assert_eq!(takes(&format!("{c}xyz")), first(c), "{rule}: {c:?} first");
                let later = c.is_ascii_alphanumeric()
                    || marks.contains(c)
                    || rule == IdempotencyKey::RULE && c.is_ascii_graphic();
                assert_eq!(takes(&format!("x{c}yz")), later, "{rule}: {c:?} later");
                assert!(
                    !marks.contains(c) || rule.contains(&format!("`{c}`")) || rule == IdempotencyKey::RULE,
                    "{rule}: {c:?}"
                );
            }
        }
    }

    #[test]
    fn accepted_text_is_kept_exactly() {
        for key in ["loss", "val/loss", "größe", "a:b c", "läs är"] {
            assert_eq!(MetricKey::new(key).unwrap().as_str(), key);
        }
        let json = serde_json::to_string(&ModelName::new("Model").unwrap()).unwrap();
        assert_eq!(json, "\"Model\"");
        assert!(serde_json::from_str::<ModelName>("\"a/b\"").is_err());
    }

    #[test]
    fn paths_that_leave_the_store_or_mean_two_things_are_refused() {
        for bad in [
            "..",
            "a/..",
            "../a",
            "a/../../x",
            "\\\\host\\share",
            "a\\b",
            "a:b",
            " a",
            "a ",
            "a.",
            "a/.",
            "./a",
            "%2e%2e/x",
            "%252e%252e/x",
            "con/x",
            "x/aux.txt",
            "a\u{202e}b",
            "a?b",
            "a*",
        ] {
            assert!(RelPath::new(bad).is_err(), "{bad:?}");
        }
        let error = RelPath::new(vec!["d"; 65].join("/")).unwrap_err();
        assert_eq!(error.fault(), NameFault::TooDeep { limit: 64, got: 65 });
        assert_eq!(Error::from(error).kind(), ErrorKind::LimitExceeded);
        assert!(RelPath::new("a".repeat(256)).is_err());
        for good in [".hidden", "a/b/c.txt", "Äpfel/ß", "100% done", "model"] {
            assert!(RelPath::new(good).is_ok(), "{good:?}");
        }
    }

    #[test]
    fn versions_end_where_signed_integers_end() {
        let last = Version::new(u64::MAX / 2).unwrap();
        assert_eq!(last.next(), None);
        assert_eq!(Version::FIRST.next(), Version::new(2));
        assert_eq!(Version::new(u64::MAX), None);
    }

    #[test]
    fn run_ids_are_ordered_by_time_of_making() {
        let a = RunId::generate();
        std::thread::sleep(std::time::Duration::from_millis(3));
        assert!(a < RunId::generate());
    }
}
