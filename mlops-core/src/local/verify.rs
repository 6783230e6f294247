//! Checking a whole store: what is in the database, and the content it refers to.

use std::collections::BTreeSet;

use futures_util::StreamExt as _;
use rusqlite::Connection;
use serde::{Deserialize, Serialize};

use super::db::failed;
use super::names::{List, Listed};
use super::row::{self, Record};
use super::store::{Inner, LocalStore};
use super::{approval, audit, closed_loop, data, deployer, monitor, pipeline, registry, rollout, sweep};
use crate::artifact::{ArtifactStore as _, ArtifactStoreExt as _};
use crate::error::{Error, ErrorKind, Result};
use crate::governance::AuditVerification;
use crate::hash::Digest;

const OP: &str = "LocalStore::verify";

/// What kind of thing is wrong in a store.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingKind {
    /// SQLite cannot read its own file.
    Database,
    /// A row is not what was written.
    Row,
    /// Something that is numbered or counted is missing, or there is too much of it.
    Missing,
    /// Rows contradict each other: an alias that points to an archived version, for one.
    Inconsistent,
    /// The audit log is broken.
    Audit,
    /// Content that something refers to is gone.
    ContentMissing,
    /// Content that something refers to does not hash to its digest, or cannot be read.
    ContentDamaged,
}

/// One thing that is wrong.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What kind.
    pub kind: FindingKind,
    /// What it is about: a row by table and key, content by digest.
    pub subject: String,
    /// What is wrong, in words.
    pub reason: String,
}

/// What [`LocalStore::verify`] found.
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreReport {
    /// Everything that is wrong.
    pub findings: Vec<Finding>,
    /// How many rows were what was written.
    pub rows: u64,
    /// How many contents were read and hash to their digest.
    pub contents: u64,
}

impl StoreReport {
    /// Whether nothing is wrong.
    pub fn is_sound(&self) -> bool {
        self.findings.is_empty()
    }
}

impl LocalStore {
    /// Reads everything and checks it: the structure of the database; the digest of every row of the registry, the data
    /// assets, the audit log, deployments, rollouts, loops, pipelines, approvals and monitors; every line of the journals of sweeps; that
    /// versions, events, histories, changes of traffic, rollouts and loops are contiguous; that aliases point to versions that are there and not archived, and traffic to
    /// deployments that are there, as the last change said; that every row that was observed has its id and the other way
    /// round; that the audit log is intact; and that all content that is registered is there and hashes to its digest.
    ///
    /// Others may write meanwhile: the database is read as it was at one moment.
    ///
    /// # Errors
    /// Only where it could not look: what is wrong with the store is in the report.
    ///
    /// ```
    /// use mlops_core::local::LocalStore;
    /// # let dir = tempfile::tempdir()?;
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
    /// let store = LocalStore::open(dir.path())?;
    /// let report = store.verify().await?;
    /// assert!(report.is_sound(), "{:?}", report.findings);
    /// # Ok::<(), mlops_core::Error>(()) })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn verify(&self) -> Result<StoreReport> {
        let inner = self.inner().clone();
        let check = move || check_database(&inner);
        let (mut findings, contents) = crate::disk::blocking(OP, check).await?;
        for (digest, what) in contents.trees {
            let read = self.artifacts().verify_tree(&digest).await.map(drop);
            findings.content(digest, &what, read)?;
        }
        for (digest, what) in contents.models {
            findings.content(digest, &what, self.read_content(&digest).await)?;
        }
        Ok(findings.report)
    }

    /// Reads content, and all files where it is a tree.
    async fn read_content(&self, digest: &Digest) -> Result<()> {
        let artifacts = self.artifacts();
        match artifacts.tree(digest).await {
            Ok(_) => return artifacts.verify_tree(digest).await.map(drop),
            // It is no tree.
            Err(e) if e.kind() == ErrorKind::Corrupt => {}
            Err(e) => return Err(e),
        }
        let mut stream = artifacts.get(digest, None).await?;
        while let Some(piece) = stream.next().await {
            piece?;
        }
        Ok(())
    }
}

fn check_database(inner: &Inner) -> Result<(Findings, Contents)> {
    let (mut findings, mut contents) = (Findings::default(), Contents::default());
    inner.db.read_now(OP, |connection| {
        findings.integrity(connection)?;
        registry::check(connection, &mut findings, &mut contents)?;
        data::check(connection, &mut findings, &mut contents)?;
        deployer::check(connection, &mut findings)?;
        rollout::check(connection, &mut findings)?;
        closed_loop::check(connection, &mut findings)?;
        pipeline::check(connection, &mut findings)?;
        approval::check(connection, &mut findings)?;
        monitor::check(connection, &mut findings)
    })?;
    sweep::check(inner, &mut findings)?;
    match audit::verify(inner, None) {
        Ok(AuditVerification::Intact(checkpoint)) => findings.report.rows += checkpoint.size,
        Ok(AuditVerification::Broken { sequence, reason }) => {
            findings.add(FindingKind::Audit, format!("audit_record {sequence}"), reason);
        }
        Err(e) if e.kind() == ErrorKind::Corrupt => {
            findings.add(FindingKind::Audit, "audit_record", e.to_string());
        }
        Err(e) => return Err(e),
    }
    Ok((findings, contents))
}

/// Content that is referred to, and from where.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    /// What must be a tree.
    trees: std::collections::BTreeMap<Digest, String>,
    /// What may be one.
    models: std::collections::BTreeMap<Digest, String>,
}

impl Contents {
    pub(crate) fn tree(&mut self, digest: Digest, what: impl std::fmt::Display) {
        self.trees.entry(digest).or_insert_with(|| what.to_string());
    }

    pub(crate) fn model(&mut self, digest: Digest, what: impl std::fmt::Display) {
        self.models.entry(digest).or_insert_with(|| what.to_string());
    }
}

/// Collects what is wrong.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    report: StoreReport,
}

impl Findings {
    pub(crate) fn add(&mut self, kind: FindingKind, subject: impl Into<String>, reason: impl Into<String>) {
        self.report.findings.push(Finding { kind, subject: subject.into(), reason: reason.into() });
    }

    /// Counts rows that are what was written.
    pub(crate) fn whole(&mut self, rows: u64) {
        self.report.rows += rows;
    }

    /// Says that something is missing, or too much, where `found` is not what is `expected`.
    pub(crate) fn count(&mut self, subject: impl Into<String>, expected: u64, found: u64) {
        if expected != found {
            let reason = format!("there should be {expected} of them, and there are {found}");
            self.add(FindingKind::Missing, subject, reason);
        }
    }

    /// What `keep` keeps of all rows of a table that are what was written; the others are findings. `order` is the columns of
    /// the key.
    pub(crate) fn rows<R: Record, T>(
        &mut self,
        connection: &Connection,
        order: &str,
        mut keep: impl FnMut(R) -> T,
    ) -> Result<Vec<T>> {
        let mut rows = Vec::new();
        let tail = format!("ORDER BY {order}");
        let read = row::each(OP, connection, &tail, [], |found: Result<R>| {
            match found {
                Ok(found) => rows.push(keep(found)),
                Err(e) if e.kind() == ErrorKind::Corrupt => self.damaged(R::TABLE, &e),
                Err(e) => return Err(e),
            }
            Ok(())
        });
        self.report.rows += rows.len() as u64;
        match read {
            Err(e) if e.kind() == ErrorKind::Corrupt => {
                self.add(FindingKind::Database, R::TABLE, e.to_string());
            }
            answer => answer?,
        }
        Ok(rows)
    }

    /// A row that was read, if it is what was written; else it is a finding.
    pub(crate) fn row<T>(&mut self, table: &str, read: Result<T>) -> Result<Option<T>> {
        match read {
            Ok(row) => {
                self.report.rows += 1;
                Ok(Some(row))
            }
            Err(e) if e.kind() == ErrorKind::Corrupt => {
                self.damaged(table, &e);
                Ok(None)
            }
            Err(e) => Err(e),
        }
    }

    /// What a tally says; 0 where it is damaged, which is a finding.
    pub(crate) fn tally(&mut self, connection: &Connection, name: &'static str) -> Result<u64> {
        match row::Tally::of(OP, connection, name) {
            Err(e) if e.kind() == ErrorKind::Corrupt => {
                self.damaged("tally", &e);
                Ok(0)
            }
            answer => answer,
        }
    }

    /// Checks that the rows of a table are the list of their names.
    pub(crate) fn names<R: Listed>(&mut self, connection: &Connection, rows: &[R]) -> Result<()> {
        let list = match List::of::<R>(OP, connection) {
            Err(e) if e.kind() == ErrorKind::Corrupt => {
                self.damaged(List::TABLE, &e);
                return Ok(());
            }
            list => list?,
        };
        self.count(R::TABLE, list.count, rows.len() as u64);
        let mut expected = list.first.as_deref();
        for row in rows {
            if expected != Some(row.name()) {
                let reason =
                    format!("before {} there should be {}", row.name(), expected.unwrap_or("nothing"));
                self.add(FindingKind::Missing, R::TABLE, reason);
            }
            expected = row.next();
        }
        if let Some(missing) = expected {
            self.add(FindingKind::Missing, R::TABLE, format!("at the end there should be {missing}"));
        }
        Ok(())
    }

    fn damaged(&mut self, table: &str, e: &Error) {
        let subject = e.context("row").unwrap_or(table).to_owned();
        self.add(FindingKind::Row, subject, "the row is not what was written");
    }

    fn integrity(&mut self, connection: &Connection) -> Result<()> {
        let mut statement = connection.prepare("PRAGMA integrity_check(100)").map_err(failed(OP))?;
        let lines = statement.query_map([], |row| row.get::<_, String>(0)).map_err(failed(OP))?;
        for line in lines {
            match line.map_err(failed(OP)) {
                Ok(line) if line == "ok" => {}
                Ok(line) => self.add(FindingKind::Database, "mlops.db", line),
                Err(e) if e.kind() == ErrorKind::Corrupt => {
                    self.add(FindingKind::Database, "mlops.db", e.to_string());
                }
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    fn content(&mut self, digest: Digest, what: &str, read: Result<()>) -> Result<()> {
        let kind = match &read {
            Ok(()) => {
                self.report.contents += 1;
                return Ok(());
            }
            Err(e) => match e.kind() {
                ErrorKind::NotFound => FindingKind::ContentMissing,
                ErrorKind::Integrity | ErrorKind::Corrupt => FindingKind::ContentDamaged,
                _ => return read,
            },
        };
        let reason = read.map_or_else(|e| e.to_string(), |()| String::new());
        self.add(kind, digest.to_string(), format!("{what}: {reason}"));
        Ok(())
    }
}

/// The numbers from 1 to `expected` that are not among `found`, which is in order.
pub(crate) fn gaps(expected: u64, found: impl IntoIterator<Item = u64>) -> Vec<u64> {
    let found: BTreeSet<u64> = found.into_iter().collect();
    (1..=expected).filter(|number| !found.contains(number)).take(100).collect()
}
