//! The experiment tracker on MLflow's REST API.
//!
//! # Version, permission, and what is eventually consistent
//! MLflow's REST API 2.0, as servers of MLflow 2 and 3 and Azure Machine Learning speak it. With MLflow's authentication on, the user needs
//! `EDIT` on the experiments; in Azure the role `AzureML Data Scientist` has `…/workspaces/experiments/*`. A server over one SQL
//! database is consistent; Azure's searches may show a run some seconds after it was started.
//!
//! # What differs from the local backend
//! A batch goes in several steps and is completed by repeating it, times are in milliseconds, and searches know less: see
//! [`MlflowTracker`]. MLflow's own interface shows the runs, and other clients may write to them.

mod cell;
mod experiments;
mod names;
mod plan;
mod push;
mod record;
mod search;
mod session;
mod slot;
mod start;
mod write;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use mlops_core::experiment::{
    Experiment, ExperimentSpec, ExperimentTracker, HistoryQuery, LogBatch, MetricPoint, Run, RunEnd,
    RunQuery, RunSpec, TrackerCapabilities, WriteReceipt,
};
use mlops_core::page::pager::Pager;
use mlops_core::time::{Clock, SystemClock};
use mlops_core::{Error, ErrorKind, ExperimentName, Page, PageRequest, Result, RunId, id};
use serde_json::json;

use self::experiments::Experiments;
use self::record::Kept;
use self::search::Listings;
use self::session::{Ids, Sessions};
use super::client::MlflowClient;
use super::wire::{self, HistoryAnswer, Metric, RunAnswer};
use crate::http::Repeat;

/// Runs on an MLflow server.
///
/// What MLflow has no place for is kept in tags of the run that begin with `mlops.`: the client's id, the capsule, exact
/// times, inputs, artifacts by digest, receipts of keys, leases. Name, user, parent, git commit, status, data sets,
/// parameters and metrics are where MLflow's user interface looks for them. Runs that other clients made can be read, searched
/// and written to; MLflow's id is then the run's id.
///
/// # What MLflow cannot keep
/// * Times of metric points are cut to milliseconds, and the receipt says so; a time before 1970 is
///   [`ErrorKind::Unsupported`].
/// * A batch goes in several steps. One that failed half-way is completed by repeating it.
/// * Summaries are those of the last point, and searches that ask for whole histories are [`ErrorKind::Unsupported`].
///   ([`TrackerCapabilities::summaries`])
/// * Text longer than MLflow keeps (6 000 characters of a parameter, 5 000 of a tag) is kept in full in further tags; MLflow's
///   user interface shows its beginning, and the receipt says so. An experiment's tags are refused beyond 5 000 characters.
/// * Infinities and −0.0, and the order of points at one step and time, are kept in a tag beside the points, for up to 256
///   points at one step and time. Of a long metric the last 32 768 steps and times, at least, are compared with; the receipt
///   says of a point before them that it may have been there already.
/// * Keys that begin with `mlops.`, and those of MLflow that the tracker sets itself, are refused as tags and parameters.
///
/// # Several writers
/// Runs start and end once, also when several processes try, and a parameter has one value: these are decided by the
/// server. Everything else that is checked before a write (that the run is open, that an artifact's path is free, which points
/// are new) is checked against what this client knows, which is no older than
/// [`with_freshness`](Self::with_freshness) says; points that another client logs to the same metric since are counted as new.
/// Calls to one run from one tracker and its clones wait for each other.
///
/// ```no_run
/// use mlops_azure::mlflow::{MlflowClient, MlflowTracker};
/// use mlops_core::experiment::{ExperimentSpec, ExperimentTracker as _, RunSpec};
/// use mlops_core::{ActorId, ExperimentName};
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let client = MlflowClient::builder("http://127.0.0.1:5000").build()?;
/// let tracker = MlflowTracker::new(client).with_namespace(ExperimentName::new("risk-team")?);
/// let name = ExperimentName::new("diabetes")?;
/// tracker.ensure_experiment(&ExperimentSpec::new(name.clone())).await?;
/// tracker.start_run(&RunSpec::new(name, "baseline", ActorId::new("trainer")?)).await?;
/// # Ok::<(), mlops_core::Error>(()) })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct MlflowTracker {
    client: MlflowClient,
    clock: Arc<dyn Clock>,
    namespace: Option<ExperimentName>,
    freshness: Duration,
    page_size: Option<usize>,
    /// The run whose status is not this client's to write, by MLflow's id.
    status_left: Option<Arc<str>>,
    shared: Arc<Shared>,
}

/// How long after a lease ran out MLflow is told of it: what is written down stays, and a reader's clock that runs ahead must
/// not end somebody else's run.
const GRACE: Duration = Duration::from_secs(300);

/// What all clones of a tracker share.
#[derive(Default)]
struct Shared {
    pager: Pager,
    experiments: Mutex<Experiments>,
    ids: Mutex<Ids>,
    sessions: Mutex<Sessions>,
    listings: Mutex<Listings>,
}

/// Locks a mutex whose data is valid at every point.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl MlflowTracker {
    /// What this tracker can keep, on any MLflow server.
    pub const CAPABILITIES: TrackerCapabilities = TrackerCapabilities::FULL
        .with_atomic_batches(false)
        .with_summaries(false)
        .with_exact_times(false)
        .with_max_param(id::MAX_TEXT);

    /// A tracker that sees all experiments of the server.
    ///
    /// ```
    /// use mlops_azure::mlflow::{MlflowClient, MlflowTracker};
    /// use mlops_core::experiment::ExperimentTracker as _;
    /// let tracker = MlflowTracker::new(MlflowClient::builder("http://127.0.0.1:5000").build()?);
    /// assert!(tracker.capabilities().leases && !tracker.capabilities().atomic_batches);
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn new(client: MlflowClient) -> Self {
        Self {
            client,
            clock: Arc::new(SystemClock::new()),
            namespace: None,
            freshness: Duration::from_secs(1),
            page_size: None,
            status_left: None,
            shared: Arc::default(),
        }
    }

    /// Keeps to the experiments whose names on the server begin with `namespace/`, and leaves that out of their names: so
    /// several teams share a server.
    #[must_use]
    pub fn with_namespace(mut self, namespace: ExperimentName) -> Self {
        self.namespace = Some(namespace);
        self.shared = Arc::default();
        self
    }

    /// Takes the time from this clock. Leases are measured by its wall clock, the only one that processes share: they should be
    /// much longer than clocks differ.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// How old what is known of a run may be when something is written to it: a second where nothing is set. Zero asks the
    /// server before every write.
    #[must_use]
    pub fn with_freshness(mut self, age: Duration) -> Self {
        self.freshness = age;
        self
    }

    /// How many runs of a search, or points of a history, are asked for at once: 1 000 and 25 000 where nothing is set. At
    /// least one.
    #[must_use]
    pub fn with_page_size(mut self, size: usize) -> Self {
        self.page_size = Some(size.max(1));
        self
    }

    /// Leaves the status of one run, by MLflow's id, to the service that runs it: to finish it is written down, and
    /// MLflow's own status is not touched.
    #[must_use]
    pub fn with_status_left_of(mut self, mlflow_run_id: &str) -> Self {
        self.status_left = Some(mlflow_run_id.into());
        self
    }

    /// How long a tag may be.
    fn max_tag(&self) -> usize {
        if self.client.is_azure() { cell::MAX_AZURE_TAG } else { cell::MAX_TAG }
    }

    async fn post(
        &self,
        op: &'static str,
        path: &str,
        body: &serde_json::Value,
    ) -> Result<serde_json::Value> {
        self.client.post(op, path, body, Repeat::Safe).await
    }

    /// A run by MLflow's id, if it is there and in the namespace.
    async fn fetch(&self, op: &'static str, uuid: &str) -> Result<Option<Kept>> {
        match self.client.get(op, "mlflow/runs/get", &[("run_id", uuid)]).await {
            Ok(answer) => self.keep(op, wire::read::<RunAnswer>(op, answer)?.run).await,
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            // What is not MLflow's form of an id is no run of its.
            Err(error) if error.kind() == ErrorKind::InvalidInput => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A run of MLflow's as one of ours, if it is in the namespace and the one of its key.
    async fn keep(&self, op: &'static str, body: wire::RunBody) -> Result<Option<Kept>> {
        let Some(experiment) = self.experiment_name(op, &body.info.experiment_id).await? else {
            return Ok(None);
        };
        let uuid = body.info.run_id.clone();
        let kept = Kept::read(op, experiment, body).map_err(|e| e.with("run", &uuid))?;
        if kept.is_live && kept.is_foreign && kept.run.id.as_str() != uuid {
            // An id that does not say MLflow's own is found by having been met.
            lock(&self.shared.ids).learn(&kept.run.id, &uuid);
        }
        Ok(kept.is_live.then(|| kept.at(self.clock.now())))
    }

    /// A run by its id.
    async fn find(&self, op: &'static str, id: &RunId) -> Result<Option<Kept>> {
        if let Some(kept) = self.find_own(op, id).await? {
            return Ok(Some(kept));
        }
        // Runs of other clients have MLflow's id.
        let found = self.fetch(op, id.as_str()).await?.filter(|kept| kept.run.id == *id);
        if let Some(kept) = &found {
            lock(&self.shared.ids).learn(id, &kept.uuid);
        }
        Ok(found)
    }

    /// A run by the id that a client made.
    async fn find_own(&self, op: &'static str, id: &RunId) -> Result<Option<Kept>> {
        let known = lock(&self.shared.ids).get(id);
        if let Some(uuid) = known {
            if let Some(kept) = self.fetch(op, &uuid).await?.filter(|kept| kept.run.id == *id) {
                return Ok(Some(kept));
            }
            lock(&self.shared.ids).forget(id);
        }
        let mut candidates = self.candidates(op, id).await?;
        candidates.retain(|kept| kept.is_live);
        let found = candidates.pop().map(|kept| kept.at(self.clock.now()));
        if let Some(kept) = &found {
            lock(&self.shared.ids).learn(id, &kept.uuid);
        }
        Ok(found)
    }

    async fn must_find(&self, op: &'static str, id: &RunId) -> Result<Kept> {
        let kept = self.find(op, id).await?.ok_or_else(|| Error::not_found(op, "run", id))?;
        self.bury(op, &kept).await;
        Ok(kept)
    }

    /// Tells MLflow of a run that ended without telling it: its lease ran out, or the last step of its end was lost. That is
    /// for people who look at MLflow's user interface; the run reads the same without it, so a failure does no harm.
    async fn bury(&self, op: &'static str, kept: &Kept) {
        if kept.closed || kept.run.deleted || !kept.run.status.is_final() {
            return;
        }
        let (Some(at), status) = (kept.run.ended_at, kept.run.status) else { return };
        // There the status of a run that another client started is for the service to write.
        if kept.is_foreign && self.client.is_azure() {
            return;
        }
        if kept.run.lease_until.is_some() && self.clock.now() < record::lease_end(at, GRACE) {
            return;
        }
        if self.claim_end(op, &kept.uuid, status, at).await.is_ok() {
            let _ = self.close(op, &kept.uuid, status, at).await;
        }
    }

    /// All rows of a metric's history.
    async fn rows(&self, op: &'static str, uuid: &str, key: &str) -> Result<Vec<Metric>> {
        let size = self.page_size.unwrap_or(25_000).to_string();
        let paged = self.client.capabilities().await?.paged_history;
        let mut rows = Vec::new();
        let mut token: Option<String> = None;
        loop {
            let mut query = vec![("run_id", uuid), ("metric_key", key)];
            if paged {
                query.push(("max_results", &size));
            }
            if let Some(token) = &token {
                query.push(("page_token", token));
            }
            let answer = self.client.get(op, "mlflow/metrics/get-history", &query).await?;
            let page: HistoryAnswer = wire::read(op, answer)?;
            rows.extend(page.metrics);
            match page.next_page_token.filter(|next| !next.is_empty()) {
                // A server that gives the same token again would never end.
                Some(next) if token.as_ref() != Some(&next) => token = Some(next),
                _ => return Ok(rows),
            }
        }
    }
}

impl MlflowTracker {
    /// MLflow's own id of a run: what its user interface and its other clients know it by.
    ///
    /// ```no_run
    /// # use mlops_azure::mlflow::MlflowTracker;
    /// # async fn f(tracker: MlflowTracker, run: mlops_core::RunId) -> mlops_core::Result<()> {
    /// println!("#/experiments/0/runs/{}", tracker.mlflow_run_id(&run).await?);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`]; those of the transport.
    pub async fn mlflow_run_id(&self, run: &RunId) -> Result<String> {
        Ok(self.must_find("MlflowTracker::mlflow_run_id", run).await?.uuid)
    }

    /// Takes a run that another client started for one of ours, by MLflow's id: from then on every tracker finds it by its
    /// [`RunId`]. Where MLflow's id can be one, it is that already; else, as for jobs of Azure Machine Learning, one that follows
    /// from it is written into the run. Adopted twice, and by several at once, it is the same run.
    ///
    /// ```no_run
    /// # use mlops_azure::mlflow::MlflowTracker;
    /// # async fn f(tracker: MlflowTracker) -> mlops_core::Result<()> {
    /// let run = tracker.adopt("amiable_pin_1").await?;
    /// println!("{} in {}", run.id, run.experiment);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] for a run that is not there or not in the namespace; [`ErrorKind::Conflict`] for one that is not
    /// open to it, because another run took its place.
    pub async fn adopt(&self, mlflow_run_id: &str) -> Result<Run> {
        const OP: &str = "MlflowTracker::adopt";
        let missing = || Error::not_found(OP, "run", mlflow_run_id);
        let kept = self.fetch(OP, mlflow_run_id).await?.ok_or_else(missing)?;
        let id = kept.run.id.clone();
        if kept.is_foreign && id.as_str() != kept.uuid && !kept.has_key {
            // The claim first: a run with a key and without a claim counts for nobody.
            if !self.claim(OP, &kept.uuid, names::CLAIM, "live").await? {
                let message = "the run gave way to another one";
                return Err(Error::new(ErrorKind::Conflict, OP, message).with("run", mlflow_run_id));
            }
            let body = json!({ "run_id": kept.uuid, "key": names::RUN_KEY, "value": id });
            self.post(OP, "mlflow/runs/set-tag", &body).await?;
        }
        lock(&self.shared.ids).learn(&id, &kept.uuid);
        Ok(self.must_find(OP, &id).await?.run)
    }
}

impl fmt::Debug for MlflowTracker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MlflowTracker")
            .field("client", &self.client)
            .field("namespace", &self.namespace)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl ExperimentTracker for MlflowTracker {
    fn capabilities(&self) -> TrackerCapabilities {
        Self::CAPABILITIES
    }

    async fn ensure_experiment(&self, spec: &ExperimentSpec) -> Result<Experiment> {
        self.ensure(spec).await
    }

    async fn experiment(&self, name: &ExperimentName) -> Result<Experiment> {
        const OP: &str = "ExperimentTracker::experiment";
        let found = self.experiment_by_name(OP, name).await?;
        found.map(|(_, experiment)| experiment).ok_or_else(|| Error::not_found(OP, "experiment", name))
    }

    async fn experiments(&self, page: &PageRequest) -> Result<Page<Experiment>> {
        self.list_experiments(page).await
    }

    async fn start_run(&self, spec: &RunSpec) -> Result<Run> {
        self.start(spec).await
    }

    async fn write(&self, run: &RunId, batch: &LogBatch) -> Result<WriteReceipt> {
        self.log(run, batch).await
    }

    async fn heartbeat(&self, run: &RunId, lease: Duration) -> Result<()> {
        const OP: &str = "ExperimentTracker::heartbeat";
        if lease.is_zero() {
            return Err(Error::invalid(OP, "lease", "must be longer than nothing").with("run", run));
        }
        let session = self.session(run);
        let mut session = session.state.lock().await;
        let kept = self.load(OP, run, &mut session).await?;
        kept.check_open(OP)?;
        let until = record::lease_end(self.clock.now(), lease);
        let value = until.timestamp_micros().to_string();
        let body = json!({ "run_id": kept.uuid, "key": names::LEASE, "value": value });
        session.begin();
        self.post(OP, "mlflow/runs/set-tag", &body).await?;
        session.end();
        if let Some(kept) = session.known() {
            kept.run.lease_until = Some(until);
        }
        Ok(())
    }

    async fn finish_run(&self, run: &RunId, end: &RunEnd) -> Result<Run> {
        self.finish(run, end).await
    }

    async fn run(&self, run: &RunId) -> Result<Run> {
        Ok(self.must_find("ExperimentTracker::run", run).await?.run)
    }

    async fn search_runs(&self, query: &RunQuery) -> Result<Page<Run>> {
        self.search(query).await
    }

    async fn history(&self, run: &RunId, query: &HistoryQuery) -> Result<Page<MetricPoint>> {
        const OP: &str = "ExperimentTracker::history";
        if query.from_step > query.to_step {
            return Err(Error::invalid(OP, "from_step", "must not be greater than `to_step`")
                .with("from_step", query.from_step)
                .with("to_step", query.to_step));
        }
        let asked = (run, &query.key, query.from_step, query.to_step);
        // A bad token is refused before anything is fetched.
        self.shared.pager.after::<Position>(OP, &asked, &query.page)?;
        let kept = self.must_find(OP, run).await?;
        let rows = self.rows(OP, &kept.uuid, query.key.as_str()).await?;
        let points = positioned(kept.slots.points(query.key.as_str(), &rows));
        self.shared.pager.page(OP, &asked, &query.page, |after: Option<Position>| {
            let wanted = points.into_iter().filter(move |(position, _)| {
                (query.from_step..=query.to_step).contains(&position.0)
                    && after.is_none_or(|after| *position > after)
            });
            Ok(wanted.map(|(position, value)| {
                let at = record::from_ms(position.1);
                (position, MetricPoint::new(query.key.clone(), value, at).with_step(position.0))
            }))
        })
    }

    async fn set_deleted(&self, run: &RunId, deleted: bool) -> Result<Run> {
        const OP: &str = "ExperimentTracker::set_deleted";
        let session = self.session(run);
        let mut session = session.state.lock().await;
        session.forget();
        let kept = self.load(OP, run, &mut session).await?;
        if kept.run.deleted != deleted {
            let path = if deleted { "mlflow/runs/delete" } else { "mlflow/runs/restore" };
            self.post(OP, path, &json!({ "run_id": kept.uuid })).await?;
            session.forget();
        }
        Ok(self.load(OP, run, &mut session).await?.run.clone())
    }
}

/// Where a point stands: step, milliseconds, and its place among those of the same step and time.
type Position = (i64, i64, u64);

fn positioned(points: Vec<(slot::Place, f64)>) -> Vec<(Position, f64)> {
    let (mut last, mut n) = (None, 0);
    let number = |(place, value): (slot::Place, f64)| {
        n = if last == Some(place) { n + 1 } else { 0 };
        last = Some(place);
        ((place.0, place.1, n), value)
    };
    points.into_iter().map(number).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_of_one_step_and_time_are_numbered() {
        let points = vec![((0, 5), 1.0), ((0, 5), 2.0), ((0, 6), 3.0), ((1, 0), 4.0), ((1, 0), 5.0)];
        let positions: Vec<_> = positioned(points).into_iter().map(|(position, _)| position).collect();
        assert_eq!(positions, [(0, 5, 0), (0, 5, 1), (0, 6, 0), (1, 0, 0), (1, 0, 1)]);
    }
}
