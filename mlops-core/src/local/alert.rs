//! The embedded alert sink.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use rusqlite::{Connection, Transaction};

use super::db::{Durability, failed};
use super::seal::{open, seal};
use super::sql;
use super::store::{Inner, LocalStore};
use crate::error::Result;
use crate::id::check_text;
use crate::monitor::{Alert, AlertReceipt, AlertSink};
use crate::page::{Page, PageRequest};

const DELIVER: &str = "AlertSink::deliver";
const ALERTS: &str = "LocalAlertSink::alerts";

/// Alerts in a folder, in the order in which they arrived: for whoever looks, and as the record of what was raised.
///
/// An alert that was delivered survives a power cut. This sink calls nobody: something that does reads
/// [`alerts`](Self::alerts).
///
/// ```
/// use mlops_core::local::LocalStore;
/// use mlops_core::monitor::{Alert, AlertSink as _, Severity};
/// use mlops_core::{IdempotencyKey, MonitorName, PageRequest};
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// # let dir = tempfile::tempdir().unwrap();
/// # let folder = dir.path();
/// let sink = LocalStore::open(folder)?.alerts();
/// let at = chrono::DateTime::UNIX_EPOCH;
/// let (key, monitor) = (IdempotencyKey::generate(), MonitorName::new("diabetes")?);
/// let alert = Alert::new(key, monitor, "inputs", Severity::Warning, "age drifted", at);
/// assert!(!sink.deliver(&alert).await?.duplicate);
/// assert!(sink.deliver(&alert).await?.duplicate);
/// assert_eq!(sink.alerts(&PageRequest::default()).await?.items, [alert]);
/// # Ok::<(), mlops_core::Error>(()) })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct LocalAlertSink {
    store: Arc<Inner>,
}

impl LocalStore {
    /// Takes alerts, and lists them.
    pub fn alerts(&self) -> LocalAlertSink {
        LocalAlertSink { store: self.inner().clone() }
    }
}

impl LocalAlertSink {
    /// Every alert that arrived, each once, oldest first.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for a page that is none;
    /// [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt) for a row that is not what was written.
    pub async fn alerts(&self, page: &PageRequest) -> Result<Page<Alert>> {
        page.check(ALERTS)?;
        let (store, page) = (self.store.clone(), page.clone());
        let list = move |connection: &Connection| {
            store.pager.page(ALERTS, &(), &page, |after: Option<i64>| list(connection, after, &page))
        };
        self.store.db.read(ALERTS, list).await
    }
}

impl fmt::Debug for LocalAlertSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalAlertSink").field("folder", &self.store.root).finish_non_exhaustive()
    }
}

fn list(
    connection: &Connection,
    after: Option<i64>,
    page: &PageRequest,
) -> Result<impl Iterator<Item = (i64, Alert)> + use<>> {
    let query = "SELECT number, key, body, digest FROM alert WHERE number > ?1 ORDER BY number LIMIT ?2";
    let params = (after.unwrap_or_default(), sql::one_more(page));
    let rows = sql::all(ALERTS, connection, query, params, |row| {
        let (number, key): (i64, String) = sql::head(ALERTS, row)?;
        Ok((number, open(ALERTS, "alert", &key, row, 2)?))
    })?;
    Ok(rows.into_iter())
}

/// Keeps an alert; whether it is new.
fn deliver(tx: &Transaction<'_>, alert: &Alert) -> Result<bool> {
    let key = alert.key.as_str();
    let known = sql::first(DELIVER, tx, "SELECT 1 FROM alert WHERE key = ?1", [key], |row| {
        row.get::<_, i64>(0).map_err(failed(DELIVER))
    })?;
    if known.is_some() {
        return Ok(false);
    }
    let row = seal(DELIVER, "alert", key, alert)?;
    let insert = "INSERT INTO alert (key, body, digest) VALUES (?1, ?2, ?3)";
    sql::execute(DELIVER, tx, insert, (key, row.body, row.digest))?;
    Ok(true)
}

#[async_trait]
impl AlertSink for LocalAlertSink {
    async fn deliver(&self, alert: &Alert) -> Result<AlertReceipt> {
        check_text(DELIVER, "the signal's name", &alert.signal)?;
        check_text(DELIVER, "the message", &alert.message)?;
        let alert = alert.clone();
        let new = self.store.db.write(DELIVER, Durability::Power, move |tx| deliver(tx, &alert)).await?;
        Ok(AlertReceipt::new(!new, "local"))
    }
}
