//! Who may read and write in a Data Lake: POSIX access lists of accounts with a hierarchical namespace.
//!
//! # Version, permission, and what differs
//! The Data Lake's own endpoint (`….dfs.…`), version 2023-11-03. Whoever owns the path may change its list; so may the role
//! `Storage Blob Data Owner`. Role assignments are asked before lists are: a role that allows something is not taken back by a
//! list. The blob endpoint has no lists, and neither has Azurite nor core's local store, where the file system's own permissions
//! are in force. A change of a whole tree is not atomic: it goes from one entry to the next, and what was changed stays changed when
//! a later one fails.

use std::fmt;
use std::str::FromStr;

use mlops_core::{Error, ErrorKind, Result};
use reqwest::Method;
use serde::Deserialize;

use super::client::Signed;
use super::container::Container;

/// To whom an entry of an access list applies.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AclScope {
    /// The user that owns the path.
    OwningUser,
    /// A user, service principal or managed identity, by object id.
    User(String),
    /// The group that owns the path.
    OwningGroup,
    /// A group, by object id.
    Group(String),
    /// The most that anybody but the owner and others can have.
    Mask,
    /// Everybody else.
    Other,
}

/// What an entry allows.
///
/// ```
/// use mlops_azure::storage::AclPermissions;
/// assert_eq!(AclPermissions { read: true, write: false, execute: true }.to_string(), "r-x");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AclPermissions {
    /// To read a file, or to list a folder.
    pub read: bool,
    /// To write a file, or to make and remove what is in a folder.
    pub write: bool,
    /// To go through a folder; nothing for a file.
    pub execute: bool,
}

impl fmt::Display for AclPermissions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bit = |set: bool, letter: char| if set { letter } else { '-' };
        write!(f, "{}{}{}", bit(self.read, 'r'), bit(self.write, 'w'), bit(self.execute, 'x'))
    }
}

/// One entry of an access list.
///
/// ```
/// use mlops_azure::storage::{AclEntry, AclScope};
/// let entry: AclEntry = "default:user:00000000-0000-0000-0000-000000000001:r-x".parse()?;
/// assert!(entry.is_default && entry.permissions.read && !entry.permissions.write);
/// assert_eq!(entry.to_string(), "default:user:00000000-0000-0000-0000-000000000001:r-x");
/// assert!("user::rwz".parse::<AclEntry>().is_err());
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AclEntry {
    /// Whether it is what new entries of a folder get, and not what is in force for the folder itself.
    pub is_default: bool,
    /// To whom it applies.
    pub scope: AclScope,
    /// What it allows.
    pub permissions: AclPermissions,
}

impl AclEntry {
    /// An entry in force.
    pub fn new(scope: AclScope, permissions: AclPermissions) -> Self {
        Self { is_default: false, scope, permissions }
    }

    /// The same as what new entries of a folder get.
    #[must_use]
    pub fn as_default(mut self) -> Self {
        self.is_default = true;
        self
    }

    fn head(&self) -> String {
        let default = if self.is_default { "default:" } else { "" };
        let scope = match &self.scope {
            AclScope::OwningUser => "user:".to_owned(),
            AclScope::User(id) => format!("user:{id}"),
            AclScope::OwningGroup => "group:".to_owned(),
            AclScope::Group(id) => format!("group:{id}"),
            AclScope::Mask => "mask:".to_owned(),
            AclScope::Other => "other:".to_owned(),
        };
        format!("{default}{scope}")
    }
}

impl fmt::Display for AclEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.head(), self.permissions)
    }
}

impl FromStr for AclEntry {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let bad = || {
            let reason = "must be [default:]user|group|mask|other:[id]:rwx";
            Error::invalid("AclEntry::from_str", "entry", reason).with("value", text)
        };
        let (is_default, rest) = match text.strip_prefix("default:") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let parts: Vec<&str> = rest.split(':').collect();
        let [kind, id, letters] = parts.as_slice() else { return Err(bad()) };
        let scope = match (*kind, *id) {
            ("user", "") => AclScope::OwningUser,
            ("user", id) => AclScope::User(id.to_owned()),
            ("group", "") => AclScope::OwningGroup,
            ("group", id) => AclScope::Group(id.to_owned()),
            ("mask", "") => AclScope::Mask,
            ("other", "") => AclScope::Other,
            _ => return Err(bad()),
        };
        let bit = |at: usize, letter: u8| match letters.as_bytes().get(at) {
            Some(found) if *found == letter => Ok(true),
            Some(b'-') => Ok(false),
            _ => Err(bad()),
        };
        let permissions =
            AclPermissions { read: bit(0, b'r')?, write: bit(1, b'w')?, execute: bit(2, b'x')? };
        match letters.len() == 3 {
            true => Ok(Self { is_default, scope, permissions }),
            false => Err(bad()),
        }
    }
}

/// How the lists of a whole tree are changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AclChange {
    /// They become this.
    Set,
    /// These entries are added, or replaced where they are.
    Modify,
    /// These entries are taken away; what they allow does not matter.
    Remove,
}

impl AclChange {
    fn as_str(self) -> &'static str {
        match self {
            Self::Set => "set",
            Self::Modify => "modify",
            Self::Remove => "remove",
        }
    }
}

/// What became of a change of a whole tree.
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AclReport {
    /// Folders that were changed.
    pub folders: u64,
    /// Files that were changed.
    pub files: u64,
    /// How many could not be changed.
    pub failures: u64,
    /// The first of those that could not be changed, at most [`AclReport::MAX_FAILED`], each with the service's reason.
    pub failed: Vec<AclFailure>,
    /// Where a change that did not come to its end goes on; `None` when it did.
    pub continuation: Option<String>,
}

impl AclReport {
    /// How many failures are kept by name.
    pub const MAX_FAILED: usize = 1000;
}

/// A path whose list could not be changed.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AclFailure {
    /// The path.
    pub path: String,
    /// Why.
    pub reason: String,
}

/// How a change of a whole tree goes.
///
/// ```
/// use mlops_azure::storage::AclOptions;
///
/// let options = AclOptions::default().with_batch(500).with_go_on(true);
/// assert_eq!((options.batch, options.go_on), (500, true));
/// ```
#[non_exhaustive]
#[derive(Clone, Debug)]
pub struct AclOptions {
    /// How many entries the service changes in one request, 1 to 2000.
    pub batch: u32,
    /// After how many requests to stop, with where to go on in the report.
    pub max_batches: u32,
    /// Whether to go on after a path that could not be changed.
    pub go_on: bool,
    /// Where to go on: what an earlier report said.
    pub continuation: Option<String>,
}

impl Default for AclOptions {
    fn default() -> Self {
        Self { batch: 2000, max_batches: u32::MAX, go_on: true, continuation: None }
    }
}

impl AclOptions {
    /// With so many entries changed in one request, 1 to 2000.
    #[must_use]
    pub fn with_batch(mut self, batch: u32) -> Self {
        self.batch = batch;
        self
    }

    /// With at most so many requests.
    #[must_use]
    pub fn with_max_batches(mut self, max_batches: u32) -> Self {
        self.max_batches = max_batches;
        self
    }

    /// Going on after a path that could not be changed, or not.
    #[must_use]
    pub fn with_go_on(mut self, go_on: bool) -> Self {
        self.go_on = go_on;
        self
    }

    /// From where an earlier report stopped.
    #[must_use]
    pub fn with_continuation(mut self, continuation: impl Into<Option<String>>) -> Self {
        self.continuation = continuation.into();
        self
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct Batch {
    directories_successful: u64,
    files_successful: u64,
    failure_count: u64,
    failed_entries: Vec<Failed>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Failed {
    name: String,
    error_message: String,
}

/// The access lists of a file system. A file system is a container, by its other endpoint.
#[derive(Clone, Debug)]
pub struct DataLakeAccess {
    container: Container,
    base: reqwest::Url,
}

impl DataLakeAccess {
    /// Those of the file system that is this container.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] for an account that is at an address of its own.
    pub fn new(container: Container) -> Result<Self> {
        let base = container.account().data_lake()?;
        Ok(Self { container, base })
    }

    /// The same behind another address: a stand-in's.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for an address to which no secret may be sent.
    pub fn at(container: Container, base: &str) -> Result<Self> {
        const OP: &str = "DataLakeAccess::at";
        let base = reqwest::Url::parse(base).map_err(|_| Error::invalid(OP, "base", "is not a URL"))?;
        crate::http::guard::may_carry_secrets(OP, "base", &base)?;
        Ok(Self { container, base })
    }

    fn url(&self, operation: &'static str, path: &str) -> Result<reqwest::Url> {
        // Checks the path; the root of the file system is a path here.
        if !path.is_empty() {
            self.container.url(path)?;
        }
        let segments = path.split('/').filter(|segment| !segment.is_empty());
        let segments: Vec<&str> = std::iter::once(self.container.name()).chain(segments).collect();
        self.container.client().url(operation, &self.base, &segments)
    }

    /// Reads the list of a path; of the file system's root for an empty one.
    ///
    /// # Errors
    /// Those of the service; [`ErrorKind::Protocol`] for a list that is none.
    pub async fn get(&self, path: &str) -> Result<Vec<AclEntry>> {
        const OP: &str = "DataLakeAccess::get";
        let call = Signed::new(OP, Method::HEAD).query("action", "getAccessControl");
        let answer = self.container.client().send(&self.url(OP, path)?, &call).await?;
        let bad = |e: Error| Error::new(ErrorKind::Protocol, OP, "the answer's list is none").with_source(e);
        let list = answer.header("x-ms-acl").unwrap_or_default();
        list.split(',').filter(|entry| !entry.is_empty()).map(|entry| entry.parse().map_err(bad)).collect()
    }

    /// Replaces the list of one path.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for a list that the service would refuse; those of the service.
    pub async fn set(&self, path: &str, entries: &[AclEntry]) -> Result<()> {
        const OP: &str = "DataLakeAccess::set";
        check_list(OP, entries, true)?;
        let call = Signed::new(OP, Method::PATCH)
            .query("action", "setAccessControl")
            .header("x-ms-acl", list(entries));
        self.container.client().send(&self.url(OP, path)?, &call).await.map(drop)
    }

    /// Changes the lists of a path and of everything below it, batch by batch.
    ///
    /// The service answers with success also where some paths could not be changed: they are in the report. A request that is
    /// refused as a whole is an error; what was changed before it stays so, and the error's context `continuation` says where to
    /// go on.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for a list or options that the service would refuse; those of the service.
    pub async fn set_recursive(
        &self,
        path: &str,
        change: AclChange,
        entries: &[AclEntry],
        options: &AclOptions,
    ) -> Result<AclReport> {
        const OP: &str = "DataLakeAccess::set_recursive";
        check_list(OP, entries, change == AclChange::Set)?;
        if !(1..=2000).contains(&options.batch) {
            return Err(Error::invalid(OP, "batch", "must be from 1 to 2000").with("value", options.batch));
        }
        let url = self.url(OP, path)?;
        let acl = match change {
            AclChange::Remove => entries.iter().map(AclEntry::head).collect::<Vec<_>>().join(","),
            _ => list(entries),
        };
        let mut report = AclReport { continuation: options.continuation.clone(), ..AclReport::default() };
        for _ in 0..options.max_batches {
            let mut call = Signed::new(OP, Method::PATCH)
                .query("action", "setAccessControlRecursive")
                .query("mode", change.as_str())
                .query("maxRecords", options.batch.to_string())
                .query("forceFlag", if options.go_on { "true" } else { "false" })
                .header("x-ms-acl", acl.as_str());
            if let Some(continuation) = &report.continuation {
                call = call.query("continuation", continuation.as_str());
            }
            let at = report.continuation.clone();
            let answer = self.container.client().send(&url, &call).await.map_err(|e| match &at {
                Some(at) => e.with("continuation", at),
                None => e,
            })?;
            let batch: Batch = serde_json::from_slice(&answer.body).map_err(|_| {
                Error::new(ErrorKind::Protocol, OP, "the answer does not say what was changed")
            })?;
            report.add(batch);
            let next = answer.header("x-ms-continuation").filter(|next| !next.is_empty()).map(str::to_owned);
            let stopped = !options.go_on && report.failures > 0;
            if next.is_some() && next == at {
                return Err(Error::new(ErrorKind::Protocol, OP, "the change has no end"));
            }
            report.continuation = next;
            if report.continuation.is_none() || stopped {
                break;
            }
        }
        Ok(report)
    }
}

impl AclReport {
    fn add(&mut self, batch: Batch) {
        self.folders = self.folders.saturating_add(batch.directories_successful);
        self.files = self.files.saturating_add(batch.files_successful);
        self.failures = self.failures.saturating_add(batch.failure_count);
        let room = Self::MAX_FAILED.saturating_sub(self.failed.len());
        self.failed.extend(batch.failed_entries.into_iter().take(room).map(|failed| AclFailure {
            path: failed.name,
            reason: crate::http::redact::text(&failed.error_message, &[], 300),
        }));
    }
}

fn list(entries: &[AclEntry]) -> String {
    entries.iter().map(AclEntry::to_string).collect::<Vec<_>>().join(",")
}

/// Checks what the service would refuse after a round trip: an empty list, one of more than 32 entries in force or 32 defaults, an
/// id that is none, the same twice, and, for a whole list, one without owner, group and others.
fn check_list(operation: &'static str, entries: &[AclEntry], whole: bool) -> Result<()> {
    let bad = |reason: &str| Err(Error::invalid(operation, "entries", reason));
    for default in [false, true] {
        let part: Vec<&AclEntry> = entries.iter().filter(|entry| entry.is_default == default).collect();
        if part.len() > 32 {
            return bad("has more than 32 entries in force, or more than 32 defaults");
        }
        let scopes: std::collections::BTreeSet<&AclScope> = part.iter().map(|entry| &entry.scope).collect();
        if scopes.len() != part.len() {
            return bad("names somebody twice");
        }
        let base = [AclScope::OwningUser, AclScope::OwningGroup, AclScope::Other];
        if whole && (!default || !part.is_empty()) && !base.iter().all(|scope| scopes.contains(scope)) {
            return bad("needs entries for the owning user, the owning group and others");
        }
    }
    let plain = |id: &str| {
        !id.is_empty()
            && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'@'))
    };
    let named = entries.iter().all(|entry| match &entry.scope {
        AclScope::User(id) | AclScope::Group(id) => plain(id),
        _ => true,
    });
    match (entries.is_empty(), named) {
        (true, _) => bad("has no entry"),
        (_, false) => bad("has an id that is no object id"),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(text: &str) -> Vec<AclEntry> {
        text.split(',').map(|entry| entry.parse().unwrap()).collect()
    }

    #[test]
    fn entries_are_written_as_they_are_read() {
        for text in [
            "user::rwx",
            "user:a-b:r--",
            "group::r-x",
            "group:g:---",
            "mask::rwx",
            "other::---",
            "default:other::r-x",
        ] {
            assert_eq!(text.parse::<AclEntry>().unwrap().to_string(), text);
        }
        for bad in [
            "",
            "user",
            "user:rwx",
            "user::rw",
            "user::rwxx",
            "user::wrx",
            "mask:m:rwx",
            "x::rwx",
            "user:a:b:rwx",
        ] {
            assert_eq!(bad.parse::<AclEntry>().unwrap_err().context("field"), Some("entry"), "{bad}");
        }
    }

    #[test]
    fn lists_that_the_service_would_refuse_are_refused_here() {
        let whole = entries("user::rwx,group::r-x,other::---");
        assert!(check_list("op", &whole, true).is_ok());
        let many: Vec<AclEntry> = (0..33).map(|i| format!("user:u{i}:r--").parse().unwrap()).collect();
        let forged =
            vec![AclEntry::new(AclScope::User("x:rwx,other:".to_owned()), AclPermissions::default())];
        for (bad, as_whole) in [
            (Vec::new(), false),
            (entries("user::rwx,user::r--"), false),
            (entries("user::rwx"), true),
            (entries("user::rwx,group::r-x,other::---,default:user::rwx"), true),
            (many, false),
            (forged, false),
        ] {
            assert_eq!(
                check_list("op", &bad, as_whole).unwrap_err().context("field"),
                Some("entries"),
                "{bad:?}"
            );
        }
    }
}
