//! Aliases that are protected in the store itself, for every handle and every process.

use std::collections::BTreeMap;

use rusqlite::types::Value;
use rusqlite::{Connection, Transaction};

use super::LocalModelRegistry;
use crate::error::Result;
use crate::id::{ActorId, Alias};
use crate::local::row::{self, Cells, Record, Tally, damaged, text, time};
use crate::registry::Protection;
use crate::time::Timestamp;

/// The tally of rows, which are never removed.
pub(super) const PROTECTED: &str = "protected aliases";

/// Whether an alias is protected, and who said so last.
#[derive(Debug)]
pub(super) struct ProtectedRow {
    alias: Alias,
    protection: Option<Protection>,
    actor: ActorId,
    at: Timestamp,
}

impl Record for ProtectedRow {
    const TABLE: &'static str = "protected_alias";
    const COLUMNS: &'static str = "alias, protection, actor, at";
    const KEY: usize = 1;

    fn cells(&self) -> Result<Vec<Value>> {
        let protection =
            self.protection.map(|protection| row::doc("LocalModelRegistry::protect", &protection));
        let protection = protection.transpose()?.unwrap_or(Value::Null);
        Ok(vec![text(&self.alias), protection, text(&self.actor), time(self.at)])
    }

    fn read(cells: &Cells<'_, '_>) -> Result<Self> {
        Ok(Self {
            alias: cells.parse(0)?,
            protection: cells.optional(1, Cells::doc)?,
            actor: cells.parse(2)?,
            at: cells.time(3)?,
        })
    }
}

/// What is protected: by a handle, and in the store. Where both say something, the stronger holds.
pub(super) fn protections(
    operation: &'static str,
    connection: &Connection,
    handle: &BTreeMap<Alias, Protection>,
) -> Result<BTreeMap<Alias, Protection>> {
    let rows: Vec<ProtectedRow> = row::list(operation, connection, "ORDER BY alias", [])?;
    if rows.len() as u64 != Tally::of(operation, connection, PROTECTED)? {
        return Err(damaged(operation, ProtectedRow::TABLE, "count").with("found", rows.len()));
    }
    let mut all = handle.clone();
    for ProtectedRow { alias, protection, .. } in rows {
        let Some(stored) = protection else { continue };
        all.entry(alias).and_modify(|handle| *handle = stored.max(*handle)).or_insert(stored);
    }
    Ok(all)
}

fn put(
    operation: &'static str,
    transaction: &Transaction<'_>,
    new: &ProtectedRow,
) -> Result<Option<Protection>> {
    let find = "WHERE alias = ?1";
    let before: Option<ProtectedRow> = row::find(operation, transaction, find, [new.alias.as_str()])?;
    match (&before, new.protection) {
        (Some(before), protection) if before.protection == protection => return Ok(protection),
        (None, None) => return Ok(None),
        (None, Some(_)) => drop(Tally::next(operation, transaction, PROTECTED)?),
        (Some(_), _) => {}
    }
    row::put(operation, transaction, new)?;
    Ok(before.and_then(|row| row.protection))
}

impl LocalModelRegistry {
    /// Protects an alias, of every model, from moves through any handle and in any process, from now on: it is kept in the store. Answers
    /// how it was protected there before; a weaker protection replaces a stronger one.
    ///
    /// [`with_protected`](Self::with_protected) protects through one handle. Where both say something, the stronger holds.
    ///
    /// ```
    /// use mlops_core::local::LocalStore;
    /// use mlops_core::registry::Protection;
    /// use mlops_core::{ActorId, Alias};
    /// # let dir = tempfile::tempdir()?;
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
    /// let (champion, owner) = (Alias::new("champion")?, ActorId::new("owner")?);
    /// LocalStore::open(dir.path())?.registry().protect(&champion, Protection::Gate, &owner).await?;
    ///
    /// // Whoever opens the store later is held to it.
    /// let registry = LocalStore::open(dir.path())?.registry();
    /// assert_eq!(registry.protections().await?.get(&champion), Some(&Protection::Gate));
    /// # Ok::<(), mlops_core::Error>(()) })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Those of the store.
    pub async fn protect(
        &self,
        alias: &Alias,
        protection: Protection,
        actor: &ActorId,
    ) -> Result<Option<Protection>> {
        self.set_protection("LocalModelRegistry::protect", alias, Some(protection), actor).await
    }

    /// Takes back what [`protect`](Self::protect) said of an alias; who did and when stays in the store. Answers how it was protected there
    /// before.
    ///
    /// ```
    /// use mlops_core::local::LocalStore;
    /// use mlops_core::registry::Protection;
    /// use mlops_core::{ActorId, Alias};
    /// # let dir = tempfile::tempdir()?;
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
    /// let registry = LocalStore::open(dir.path())?.registry();
    /// let (champion, owner) = (Alias::new("champion")?, ActorId::new("owner")?);
    /// registry.protect(&champion, Protection::Gate, &owner).await?;
    /// assert_eq!(registry.unprotect(&champion, &owner).await?, Some(Protection::Gate));
    /// assert_eq!(registry.unprotect(&champion, &owner).await?, None);
    /// # Ok::<(), mlops_core::Error>(()) })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Those of the store.
    pub async fn unprotect(&self, alias: &Alias, actor: &ActorId) -> Result<Option<Protection>> {
        self.set_protection("LocalModelRegistry::unprotect", alias, None, actor).await
    }

    /// The aliases that are protected through this handle, by itself or by the store.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
    /// let registry = mlops_core::local::LocalStore::open(dir.path())?.registry();
    /// assert!(registry.protections().await?.is_empty());
    /// # Ok::<(), mlops_core::Error>(()) })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Those of the store.
    pub async fn protections(&self) -> Result<BTreeMap<Alias, Protection>> {
        const OP: &str = "LocalModelRegistry::protections";
        let handle = self.protected.clone();
        self.read(OP, move |_, connection| protections(OP, connection, &handle)).await
    }

    async fn set_protection(
        &self,
        operation: &'static str,
        alias: &Alias,
        protection: Option<Protection>,
        actor: &ActorId,
    ) -> Result<Option<Protection>> {
        let (alias, actor) = (alias.clone(), actor.clone());
        let put = move |write: &super::Write<'_, '_>| {
            put(operation, write.transaction, &ProtectedRow { alias, protection, actor, at: write.now })
        };
        self.write(operation, put).await
    }
}
