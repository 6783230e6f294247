//! What of a request is kept.

use std::sync::Arc;

use regex::Regex;

use crate::data::{Column, Table};
use crate::error::{Error, Result};
use crate::governance::Secret;
use crate::hash::{Digest, Hasher};

/// What becomes of a column before it leaves the server.
#[derive(Clone, Debug)]
enum Action {
    Remove,
    /// The digest of the key, by which values are hashed.
    Hash(Digest),
}

/// Which columns a rule is about.
#[derive(Clone, Debug)]
enum Subject {
    Column(String),
    Pattern(Regex),
}

/// Which columns of captured requests are removed, and which are hashed.
///
/// The first rule that names a column decides; columns that no rule names are kept as they are. A hashed value becomes the text
/// of 32 hexadecimal digits of SHA-256 over the key and the value: equal values stay equal, so that shares of categories can still
/// be compared, and nobody without the key can try values out.
///
/// ```
/// use mlops_core::data::{Column, Table};
/// use mlops_core::governance::Secret;
/// use mlops_core::serve::http::Redaction;
///
/// let redaction = Redaction::none()
///     .removing("name")
///     .removing_matching("(?i)e-?mail")?
///     .hashing("customer", &Secret::new("a key that only we know"));
/// let rows = Table::new(vec![
///     Column::text("name", ["Ada"])?,
///     Column::text("home_email", ["ada@example.org"])?,
///     Column::text("customer", ["4711"])?,
///     Column::f64("age", vec![36.0])?,
/// ])?;
/// let kept = redaction.apply(&rows)?;
/// assert_eq!(kept.names().collect::<Vec<_>>(), ["customer", "age"]);
/// assert_eq!(kept.column("customer")?.label(0).map(|text| text.len()), Some(32));
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Redaction {
    rules: Arc<Vec<(Subject, Action)>>,
}

impl Redaction {
    /// Everything is kept.
    pub fn none() -> Self {
        Self::default()
    }

    fn rule(mut self, subject: Subject, action: Action) -> Self {
        Arc::make_mut(&mut self.rules).push((subject, action));
        self
    }

    /// Removes a column.
    #[must_use]
    pub fn removing(self, column: impl Into<String>) -> Self {
        self.rule(Subject::Column(column.into()), Action::Remove)
    }

    /// Removes every column whose name matches a pattern, anywhere in the name.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for what is no pattern.
    pub fn removing_matching(self, pattern: &str) -> Result<Self> {
        Ok(self.rule(Subject::Pattern(compile(pattern)?), Action::Remove))
    }

    /// Hashes the values of a column with a key.
    #[must_use]
    pub fn hashing(self, column: impl Into<String>, key: &Secret) -> Self {
        self.rule(Subject::Column(column.into()), Action::Hash(key_digest(key)))
    }

    /// Hashes the values of every column whose name matches a pattern, anywhere in the name.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for what is no pattern.
    pub fn hashing_matching(self, pattern: &str, key: &Secret) -> Result<Self> {
        Ok(self.rule(Subject::Pattern(compile(pattern)?), Action::Hash(key_digest(key))))
    }

    /// The columns as they may be kept. O(rows · columns) where there is a rule.
    ///
    /// # Errors
    /// None in practice: the columns come out of a table.
    pub fn apply(&self, rows: &Table<'_>) -> Result<Table<'static>> {
        let mut kept = Vec::with_capacity(rows.columns().len());
        for column in rows.columns() {
            match self.action(column.name()) {
                None => kept.push(column.clone().into_owned()),
                Some(Action::Remove) => {}
                Some(Action::Hash(key)) => kept.push(hashed(column, key)?),
            }
        }
        Table::new(kept)
    }

    fn action(&self, column: &str) -> Option<&Action> {
        let about = |subject: &Subject| match subject {
            Subject::Column(name) => name == column,
            Subject::Pattern(pattern) => pattern.is_match(column),
        };
        self.rules.iter().find(|(subject, _)| about(subject)).map(|(_, action)| action)
    }
}

fn compile(pattern: &str) -> Result<Regex> {
    Regex::new(pattern).map_err(|e| {
        Error::invalid("Redaction::matching", "pattern", "is no regular expression").with_source(e)
    })
}

fn key_digest(key: &Secret) -> Digest {
    Hasher::new("mlops.redaction.key/v1").field(key.expose()).finish()
}

fn hashed(column: &Column<'_>, key: &Digest) -> Result<Column<'static>> {
    let hash = |row: usize| {
        let text = column.label(row)?;
        let digest = Hasher::new("mlops.redaction/v1").field(key.as_bytes()).field(text.as_bytes()).finish();
        digest.hex().get(..32).map(str::to_owned)
    };
    Column::optional_text(column.name().to_owned(), (0..column.len()).map(hash))
}
