//! The embedded monitor.

mod block;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use rusqlite::{Connection, Row, Transaction};

use self::block::Rows;
use super::db::{Durability, failed};
use super::row::damaged;
use super::seal::{self, open, seal};
use super::sql;
use super::store::{Inner, LocalStore};
use super::verify::Findings;
use crate::disk::blocking;
use crate::error::{Error, Result};
use crate::evaluation::Evaluator;
use crate::id::{DeploymentName, EndpointName, MonitorName};
use crate::monitor::compute::{self, Batch, Judges, Slice};
use crate::monitor::{
    Alert, DriftDetector, GroundTruth, LabelReceipt, Monitor, MonitorCapabilities, MonitorReport,
    MonitorSpec, Observations, ObserveReceipt, Window,
};
use crate::page::{Page, PageRequest};
use crate::problem::Task;
use crate::time::Timestamp;

const OBSERVE: &str = "Monitor::observe";
const LABEL: &str = "Monitor::label";
const CHECK: &str = "Monitor::check";
const REPORTS: &str = "Monitor::reports";
const VERIFY: &str = "LocalStore::verify";

/// Observations, labels and reports in a folder, checked by the detectors and the evaluator handed in.
///
/// The rows of one call are one block in the database, in which every number keeps every bit; a damaged block is
/// [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt). Definitions and reports survive a power cut. Observations and labels
/// survive the process; a power cut may take the last calls, each as a whole, and sending them again changes nothing where
/// they are there.
///
/// Many processes may observe, label and check at once: a service observes, a job labels, another one checks. Detectors and
/// evaluator belong to a handle, not to the store: a check by a handle that lacks one reports that signal as
/// [failed](crate::monitor::SignalOutcome::Failed).
///
/// Signals are computed as [`MemoryMonitor`](crate::memory::MemoryMonitor) computes them, on the rows of the window, which are
/// read into memory. Cost: `observe` is linear in the rows of the call, and writes one entry into an index for each; `check` is
/// linear in the rows of the window.
///
/// ```
/// # use std::sync::Arc;
/// use mlops_core::data::{Column, Table};
/// use mlops_core::local::LocalStore;
/// use mlops_core::model::Predictions;
/// use mlops_core::monitor::{GroundTruth, Monitor, Observations};
/// use mlops_core::{DeploymentName, EndpointName};
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// # let dir = tempfile::tempdir().unwrap();
/// # let folder = dir.path();
/// let monitor = LocalStore::open(folder)?.monitor();
/// let endpoint = EndpointName::new("diabetes")?;
/// let (blue, at, ids) = (DeploymentName::new("blue")?, chrono::DateTime::UNIX_EPOCH, ["patient-7".to_owned()]);
/// let age = Table::new(vec![Column::f64("age", vec![59.0])?])?;
/// let answers = Predictions::probability(vec![0.25])?;
/// let seen = Observations::new(endpoint.clone(), blue, at, &ids, &age, &answers);
/// assert_eq!(monitor.observe(&seen).await?.accepted, 1);
///
/// // The truth arrives weeks later, at another process; the row is still there, and it is there once.
/// let monitor = LocalStore::open(folder)?.monitor();
/// let truth = GroundTruth::new("patient-7", 1.0);
/// assert_eq!(monitor.label(&endpoint, &[truth]).await?.joined, 1);
/// assert_eq!(monitor.observe(&seen).await?.duplicates, 1);
/// # Ok::<(), mlops_core::Error>(()) })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct LocalMonitor {
    store: Arc<Inner>,
    judges: Judges,
}

impl LocalStore {
    /// A monitor that cannot compute any signal yet; see [`LocalMonitor::with_detector`].
    pub fn monitor(&self) -> LocalMonitor {
        LocalMonitor { store: self.inner().clone(), judges: Judges::default() }
    }
}

impl LocalMonitor {
    /// The column in which detectors of prediction drift find the predictions.
    pub const PREDICTION: &str = compute::PREDICTION;

    /// Computes drift signals called `signal` with this detector, in every monitor that has one.
    #[must_use]
    pub fn with_detector(mut self, signal: impl Into<String>, detector: Arc<dyn DriftDetector>) -> Self {
        self.judges.detectors.insert(signal.into(), detector);
        self
    }

    /// Computes performance signals with this evaluator, for this task. Of a binary task, labels are 1 or 0.
    #[must_use]
    pub fn with_evaluator(mut self, evaluator: Arc<dyn Evaluator>, task: Task) -> Self {
        self.judges.evaluator = Some((evaluator, task));
        self
    }
}

impl fmt::Debug for LocalMonitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalMonitor")
            .field("folder", &self.store.root)
            .field("detectors", &self.judges)
            .finish_non_exhaustive()
    }
}

fn find_monitor(operation: &'static str, connection: &Connection, name: &MonitorName) -> Result<MonitorSpec> {
    let query = "SELECT body, digest FROM monitor WHERE name = ?1";
    let found = sql::first(operation, connection, query, [name.as_str()], |row| {
        open(operation, "monitor", name.as_str(), row, 0)
    })?;
    found.ok_or_else(|| Error::not_found(operation, "monitor", name))
}

/// The number of an endpoint that was observed or labelled before.
fn find_endpoint(
    operation: &'static str,
    connection: &Connection,
    endpoint: &EndpointName,
) -> Result<Option<i64>> {
    let query = "SELECT id FROM observed_endpoint WHERE name = ?1";
    sql::first(operation, connection, query, [endpoint.as_str()], |row| row.get(0).map_err(failed(operation)))
}

fn number_endpoint(operation: &'static str, tx: &Transaction<'_>, endpoint: &EndpointName) -> Result<i64> {
    if let Some(number) = find_endpoint(operation, tx, endpoint)? {
        return Ok(number);
    }
    sql::execute(operation, tx, "INSERT INTO observed_endpoint (name) VALUES (?1)", [endpoint.as_str()])?;
    Ok(tx.last_insert_rowid())
}

/// One call of `observe`, with its rows as a block.
struct Call {
    endpoint: EndpointName,
    deployment: DeploymentName,
    at: Timestamp,
    ids: Vec<String>,
    block: Vec<u8>,
}

fn observe(tx: &Transaction<'_>, call: &Call) -> Result<ObserveReceipt> {
    let endpoint = number_endpoint(OBSERVE, tx, &call.endpoint)?;
    let rows = insert_ids(tx, endpoint, &call.ids)?;
    let receipt = ObserveReceipt::new(rows.len() as u64, (call.ids.len() - rows.len()) as u64);
    if rows.is_empty() {
        return Ok(receipt);
    }
    let only_new;
    let block = if rows.len() == call.ids.len() {
        &call.block
    } else {
        only_new = block::decode(&call.block)?.take(&rows)?.encode()?;
        &only_new
    };
    let insert = "INSERT INTO observation_batch (endpoint, at, nanos, deployment, block)
        VALUES (?1, ?2, ?3, ?4, ?5)";
    let nanos = call.at.timestamp_subsec_nanos() % 1_000;
    let at = (endpoint, call.at.timestamp_micros(), nanos, call.deployment.as_str(), block);
    sql::execute(OBSERVE, tx, insert, at)?;
    Ok(receipt)
}

/// Takes ids; the places of those that are new, the first of each.
fn insert_ids(tx: &Transaction<'_>, endpoint: i64, ids: &[String]) -> Result<Vec<usize>> {
    let insert = "INSERT INTO observation (endpoint, id) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
    let mut statement = tx.prepare_cached(insert).map_err(failed(OBSERVE))?;
    let mut new = Vec::with_capacity(ids.len());
    // In order of the ids, so that neighbours in the index are written together.
    let mut order: Vec<usize> = (0..ids.len()).collect();
    order.sort_by(|&a, &b| ids[a].cmp(&ids[b]).then(a.cmp(&b)));
    for row in order {
        if statement.execute((endpoint, &ids[row])).map_err(failed(OBSERVE))? > 0 {
            new.push(row);
        }
    }
    new.sort_unstable();
    Ok(new)
}

fn label(tx: &Transaction<'_>, endpoint: &EndpointName, labels: &[GroundTruth]) -> Result<LabelReceipt> {
    let endpoint = number_endpoint(LABEL, tx, endpoint)?;
    let mut receipt = LabelReceipt::default();
    let seen = "SELECT 1 FROM observation WHERE endpoint = ?1 AND id = ?2";
    let mut seen = tx.prepare_cached(seen).map_err(failed(LABEL))?;
    let mut known = tx.prepare_cached(FIND_LABEL).map_err(failed(LABEL))?;
    let insert = "INSERT INTO label (endpoint, id, value) VALUES (?1, ?2, ?3)";
    let mut insert = tx.prepare_cached(insert).map_err(failed(LABEL))?;
    for (row, label) in labels.iter().enumerate() {
        let id = (endpoint, &label.id);
        let seen = seen.exists(id).map_err(failed(LABEL))?;
        let known = find_label(LABEL, &mut known, endpoint, &label.id)?;
        compute::join(&mut receipt, row, label, seen, known)?;
        if known.is_none() {
            insert.execute((endpoint, &label.id, label.value)).map_err(failed(LABEL))?;
        }
    }
    Ok(receipt)
}

const FIND_LABEL: &str = "SELECT value FROM label WHERE endpoint = ?1 AND id = ?2";

fn find_label(
    operation: &'static str,
    statement: &mut rusqlite::Statement<'_>,
    endpoint: i64,
    id: &str,
) -> Result<Option<f64>> {
    let mut rows = statement.query((endpoint, id)).map_err(failed(operation))?;
    match rows.next().map_err(failed(operation))? {
        Some(row) => row.get(0).map(Some).map_err(failed(operation)),
        None => Ok(None),
    }
}

/// What is known now about the rows of a window.
fn slice(
    connection: &Connection,
    monitor: &MonitorName,
    window: &Window,
    at: Timestamp,
) -> Result<(MonitorSpec, Slice)> {
    let spec = find_monitor(CHECK, connection, monitor)?;
    let mut slice = Slice { endpoint: spec.endpoint.clone(), batches: Vec::new(), truths: Vec::new(), at };
    if let Some(endpoint) = find_endpoint(CHECK, connection, &spec.endpoint)? {
        slice.batches = batches(connection, endpoint, window)?;
        let mut known = connection.prepare_cached(FIND_LABEL).map_err(failed(CHECK))?;
        for id in slice.batches.iter().flat_map(|batch| &batch.ids) {
            slice.truths.push(find_label(CHECK, &mut known, endpoint, id)?);
        }
    }
    Ok((spec, slice))
}

fn batches(connection: &Connection, endpoint: i64, window: &Window) -> Result<Vec<Arc<Batch>>> {
    // To the microsecond in the index, then exactly.
    let query = "SELECT id, at, nanos, deployment, block FROM observation_batch
        WHERE endpoint = ?1 AND at BETWEEN ?2 AND ?3 ORDER BY id";
    let range = (endpoint, window.start.timestamp_micros(), window.end.timestamp_micros());
    let found = sql::all(CHECK, connection, query, range, |row| {
        let (id, micros): (i64, i64) = sql::head(CHECK, row)?;
        let read = || Ok((row.get::<_, u32>(2)?, row.get::<_, String>(3)?));
        let (nanos, deployment) = read().map_err(failed(CHECK))?;
        let Some(at) = exact(micros, nanos) else {
            return Err(damaged(CHECK, "observation_batch", id));
        };
        if !window.contains(at) {
            return Ok(None);
        }
        let Rows { ids, features, predictions } = read_block(CHECK, row, 4, id)?;
        let deployment = DeploymentName::new(deployment)
            .map_err(|e| damaged(CHECK, "observation_batch", id).with_source(e))?;
        Ok(Some(Arc::new(Batch { at, deployment, ids, features, predictions })))
    })?;
    Ok(found.into_iter().flatten().collect())
}

fn exact(micros: i64, nanos: u32) -> Option<Timestamp> {
    let at = Timestamp::from_timestamp_micros(micros)?;
    at.checked_add_signed(chrono::TimeDelta::nanoseconds(i64::from(nanos)))
}

fn report_key(monitor: &MonitorName, report: i64) -> String {
    format!("{monitor}/{report}")
}

/// Keeps a report. Its number is in its digest, so it is known before the row is written.
fn keep(tx: &Transaction<'_>, report: &MonitorReport) -> Result<()> {
    let query = "SELECT coalesce(max(id), 0) + 1 FROM monitor_report";
    let number = sql::first(CHECK, tx, query, [], |row| row.get::<_, i64>(0).map_err(failed(CHECK)))?;
    let number = number.unwrap_or(1);
    let row = seal(CHECK, "monitor_report", &report_key(&report.monitor, number), report)?;
    let insert = "INSERT INTO monitor_report (id, monitor, body, digest) VALUES (?1, ?2, ?3, ?4)";
    sql::execute(CHECK, tx, insert, (number, report.monitor.as_str(), row.body, row.digest)).map(drop)
}

fn define(tx: &Transaction<'_>, spec: &MonitorSpec) -> Result<()> {
    const OP: &str = "Monitor::define";
    let row = seal(OP, "monitor", spec.name.as_str(), spec)?;
    let upsert = "INSERT INTO monitor (name, body, digest) VALUES (?1, ?2, ?3)
        ON CONFLICT (name) DO UPDATE SET body = excluded.body, digest = excluded.digest";
    sql::execute(OP, tx, upsert, (spec.name.as_str(), row.body, row.digest)).map(drop)
}

/// The reports before the one with this number, newest first, enough for a page.
fn reports(
    connection: &Connection,
    monitor: &MonitorName,
    before: Option<i64>,
    page: &PageRequest,
) -> Result<std::vec::IntoIter<(i64, MonitorReport)>> {
    let query = "SELECT id, body, digest FROM monitor_report WHERE monitor = ?1 AND id < ?2
        ORDER BY id DESC LIMIT ?3";
    let params = (monitor.as_str(), before.unwrap_or(i64::MAX), sql::one_more(page));
    let found = sql::all(REPORTS, connection, query, params, |row| {
        let id: i64 = row.get(0).map_err(failed(REPORTS))?;
        Ok((id, open(REPORTS, "monitor_report", &report_key(monitor, id), row, 1)?))
    })?;
    Ok(found.into_iter())
}

/// Checks definitions, reports, alerts and what was observed, and that every row that was observed has its id.
pub(crate) fn check(connection: &Connection, findings: &mut Findings) -> Result<()> {
    let query = "SELECT name, body, digest FROM monitor";
    seal::check::<MonitorSpec>(connection, findings, "monitor", query)?;
    let query = "SELECT monitor || '/' || id, body, digest FROM monitor_report";
    seal::check::<MonitorReport>(connection, findings, "monitor_report", query)?;
    let query = "SELECT key, body, digest FROM alert";
    seal::check::<Alert>(connection, findings, "alert", query)?;
    let query = "SELECT endpoint, id, block FROM observation_batch";
    let mut rows: BTreeMap<i64, u64> = BTreeMap::new();
    let mut unread = 0_u64;
    sql::all(VERIFY, connection, query, [], |row| {
        let (endpoint, id): (i64, i64) = sql::head(VERIFY, row)?;
        let read = read_block(VERIFY, row, 2, id);
        match findings.row("observation_batch", read)? {
            Some(read) => *rows.entry(endpoint).or_default() += read.ids.len() as u64,
            None => unread += 1,
        }
        Ok(())
    })?;
    let query = "SELECT endpoint, count(*) FROM observation GROUP BY endpoint";
    let ids = sql::all(VERIFY, connection, query, [], |row| sql::head::<i64, i64>(VERIFY, row))?;
    // How many ids a block that cannot be read would have is not known.
    for (endpoint, ids) in ids.into_iter().filter(|_| unread == 0) {
        let rows = rows.remove(&endpoint).unwrap_or_default();
        findings.count(format!("observation {endpoint}"), rows, ids.unsigned_abs());
    }
    for (endpoint, rows) in rows.into_iter().filter(|_| unread == 0) {
        findings.count(format!("observation {endpoint}"), rows, 0);
    }
    Ok(())
}

/// The block in a column of the batch with this number.
fn read_block(operation: &'static str, row: &Row<'_>, at: usize, batch: i64) -> Result<Rows> {
    let block = row.get_ref(at).and_then(|block| Ok(block.as_blob()?)).map_err(failed(operation))?;
    block::decode(block).map_err(|e| damaged(operation, "observation_batch", batch).with_source(e))
}

#[async_trait]
impl Monitor for LocalMonitor {
    fn capabilities(&self) -> MonitorCapabilities {
        MonitorCapabilities::FULL
    }

    async fn define(&self, spec: &MonitorSpec) -> Result<()> {
        self.judges.check_spec(spec)?;
        let spec = spec.clone();
        self.store.db.write("Monitor::define", Durability::Power, move |tx| define(tx, &spec)).await
    }

    async fn observe(&self, observations: &Observations<'_>) -> Result<ObserveReceipt> {
        compute::check_observations(observations)?;
        if observations.ids.is_empty() {
            return Ok(ObserveReceipt::default());
        }
        let Observations { endpoint, deployment, at, ids, features, predictions } = observations;
        let call = Call {
            endpoint: endpoint.clone(),
            deployment: deployment.clone(),
            at: *at,
            ids: ids.to_vec(),
            block: block::encode(ids, features, predictions)?,
        };
        self.store.db.write(OBSERVE, Durability::Process, move |tx| observe(tx, &call)).await
    }

    async fn label(&self, endpoint: &EndpointName, labels: &[GroundTruth]) -> Result<LabelReceipt> {
        self.judges.check_labels(labels)?;
        if labels.is_empty() {
            return Ok(LabelReceipt::default());
        }
        let (endpoint, labels) = (endpoint.clone(), labels.to_vec());
        self.store.db.write(LABEL, Durability::Process, move |tx| label(tx, &endpoint, &labels)).await
    }

    async fn check(&self, monitor: &MonitorName, window: &Window) -> Result<MonitorReport> {
        Window::new(window.start, window.end)?;
        let (store, judges) = (self.store.clone(), self.judges.clone());
        let (monitor, window) = (monitor.clone(), *window);
        // Reading and computing, for as long as that takes; nobody waits for it.
        let look = move || {
            let at = store.clock.now();
            let (spec, slice) = store.db.read_now(CHECK, |c| slice(c, &monitor, &window, at))?;
            let report = judges.report(&spec, &window, &slice);
            store.db.write_now(CHECK, Durability::Power, |tx| keep(tx, &report))?;
            Ok(report)
        };
        blocking(CHECK, look).await
    }

    async fn reports(&self, monitor: &MonitorName, page: &PageRequest) -> Result<Page<MonitorReport>> {
        let (store, monitor, page) = (self.store.clone(), monitor.clone(), page.clone());
        let list = move |connection: &Connection| {
            find_monitor(REPORTS, connection, &monitor)?;
            store.pager.page(REPORTS, &monitor, &page, |before| reports(connection, &monitor, before, &page))
        };
        self.store.db.read(REPORTS, list).await
    }
}
