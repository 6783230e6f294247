//! Logging on while the tracker cannot be reached.

mod call;
mod file;
mod spool;
mod views;

use std::fmt;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;

pub use self::call::{SpoolId, SpooledCall};
pub use self::spool::{DamagedSpool, SpoolRecovery};

use self::call::Refusal;
use self::spool::Spool;
use self::views::Views;
use crate::disk::blocking;
use crate::error::{Error, ErrorKind, Result};
use crate::experiment::{
    Degradation, Experiment, ExperimentSpec, ExperimentTracker, HistoryQuery, LogBatch, MetricPoint, Run,
    RunEnd, RunQuery, RunSpec, TrackerCapabilities, WriteReceipt,
};
use crate::id::{ExperimentName, IdempotencyKey, RunId, check_tags};
use crate::page::{Page, PageRequest};
use crate::time::{Clock, Timestamp, lock};

/// A tracker that keeps what it could not send in files, and sends it when it is told to.
///
/// As long as the tracker inside answers, calls go straight to it. A write that it does not answer, or refuses for now, is put
/// into the spool, on the disk before the call returns, and is answered from what is known here. From then on **every** write
/// waits behind it, so that all arrive in the order in which they were made, until [`replay`](Self::replay) has sent them all:
/// call it from time to time, and at the end.
///
/// Each write has its key, and each start and end its time, before it is first tried, taken from the clock given to
/// [`open`](Self::open). So a call that is sent again, because its answer was lost or a process was killed before it could note the
/// answer, is the same call, and what it does is done once.
///
/// # What is answered while something waits
/// * `ensure_experiment`, `start_run` and `write` are kept. The receipt counts the points as they were sent and says, as a
///   degradation, that they wait. That the experiment exists, and that a parameter has no other value, is found out when they
///   are sent: what is then refused is in [`rejected`](Self::rejected), and what comes after it is sent all the same.
/// * `finish_run` and `set_deleted` are kept and answered for runs that were started through this spool, or that wait in it;
///   for others the tracker inside is asked what the run is like, and without an answer they fail.
/// * A run that is answered from here counts points as they were sent. When an experiment was made is the tracker's to say.
/// * Reads are answered by the tracker inside, without what waits.
/// * `heartbeat` goes to the tracker inside and fails when it does: a lease cannot be renewed from here. A run with a lease
///   that runs out meanwhile ends as killed, and its writes are refused when they are sent; runs that must survive a
///   long outage have no lease, or a long one. For a run whose start waits it is [`ErrorKind::Busy`].
///
/// # Files
/// Each `Spooled` has a file of its own in the folder, held by a lock: two processes never send the same file. What a process that
/// is gone has left is taken over when a spool is opened or replayed, and comes first. A file in which something is damaged is kept
/// aside under another name, what can be read of it is taken over, and [`recovery`](Self::recovery) says so.
///
/// ```
/// use std::sync::Arc;
/// use mlops_core::experiment::{ExperimentSpec, ExperimentTracker as _};
/// use mlops_core::memory::MemoryTracker;
/// use mlops_core::time::SystemClock;
/// use mlops_core::wrap::Spooled;
/// use mlops_core::ExperimentName;
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let folder = tempfile::tempdir()?;
/// let tracker = Spooled::open(MemoryTracker::default(), folder.path(), Arc::new(SystemClock::new()))?;
/// tracker.ensure_experiment(&ExperimentSpec::new(ExperimentName::new("diabetes")?)).await?;
/// assert_eq!(tracker.waiting(), 0);
/// let report = tracker.replay().await?;
/// assert!(report.stopped.is_none() && report.rejected.is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(()) })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Spooled<T> {
    inner: T,
    clock: Arc<dyn Clock>,
    folder: PathBuf,
    spool: Arc<Mutex<Spool>>,
    views: Arc<Mutex<Views>>,
    /// How many wait.
    count: Arc<AtomicU64>,
    /// One replay at a time.
    replaying: tokio::sync::Mutex<()>,
}

/// What [`Spooled::replay`] did.
#[non_exhaustive]
#[derive(Debug, Default)]
pub struct SpoolReport {
    /// How many calls were acknowledged.
    pub sent: u64,
    /// The calls that were refused for good; see [`Spooled::rejected`].
    pub rejected: Vec<SpoolId>,
    /// What the tracker could not keep as it was sent.
    pub degraded: Vec<Degradation>,
    /// How many calls wait still.
    pub waiting: u64,
    /// The call at which it stopped, and why: sent later, it may succeed.
    pub stopped: Option<(SpoolId, Error)>,
}

/// A call that the tracker refused when it was sent. It is kept until it is [discarded](Spooled::discard).
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq)]
pub struct RejectedCall {
    /// Its name in the spool.
    pub id: SpoolId,
    /// The call; `None` if the disk has lost it.
    pub call: Option<SpooledCall>,
    /// What kind of error it was.
    pub kind: ErrorKind,
    /// The error.
    pub message: String,
    /// When.
    pub at: Timestamp,
}

/// Whether a call that failed so may be kept and sent later.
fn may_wait(error: &Error) -> bool {
    let passes = error.is_retryable() && error.kind().is_retryable();
    passes || error.kind() == ErrorKind::UnknownOutcome
}

/// Whether a call that failed so fails so for ever. What is wrong with the tracker, the disk below it or the credentials is not
/// the call's fault.
fn is_refusal(error: &Error) -> bool {
    !error.is_retryable()
        && matches!(
            error.kind(),
            ErrorKind::InvalidInput
                | ErrorKind::LimitExceeded
                | ErrorKind::NotFound
                | ErrorKind::AlreadyExists
                | ErrorKind::Conflict
                | ErrorKind::Unsupported
                | ErrorKind::Rejected
        )
}

impl<T> Spooled<T> {
    /// The greatest size of a spool, if nothing else is said: 1 GiB.
    pub const LIMIT: u64 = 1 << 30;

    /// Puts it around a tracker, with its files in `folder`, which is made if it is not there. What processes that are gone
    /// have left in it waits here from now on.
    ///
    /// # Errors
    /// [`ErrorKind::Storage`] when the folder cannot be written to.
    pub fn open(inner: T, folder: &Path, clock: Arc<dyn Clock>) -> Result<Self> {
        let count = Arc::new(AtomicU64::new(0));
        let mut spool = Spool::open(folder, Self::LIMIT, count.clone())?;
        let views = Arc::new(Mutex::new(Views::default()));
        spool.adopt("Spooled::open", &views, clock.now())?;
        let spool = Arc::new(Mutex::new(spool));
        let replaying = tokio::sync::Mutex::new(());
        Ok(Self { inner, clock, folder: folder.to_owned(), spool, views, count, replaying })
    }

    /// Sets the greatest size of the files together, in bytes. A write that finds no room is
    /// [`ErrorKind::LimitExceeded`]; what waits is not touched.
    #[must_use]
    pub fn with_limit(self, bytes: u64) -> Self {
        lock(&self.spool).set_limit(bytes);
        self
    }

    /// The tracker inside.
    pub fn inner(&self) -> &T {
        &self.inner
    }

    /// How many calls wait.
    pub fn waiting(&self) -> u64 {
        self.count.load(Ordering::SeqCst)
    }

    /// What was found in the folder so far.
    pub fn recovery(&self) -> SpoolRecovery {
        lock(&self.spool).recovery.clone()
    }

    /// The calls that were refused when they were sent, the oldest first.
    ///
    /// # Errors
    /// [`ErrorKind::Cancelled`] when the runtime is shutting down.
    pub async fn rejected(&self) -> Result<Vec<RejectedCall>> {
        let spool = self.spool.clone();
        let rejected = blocking("Spooled::rejected", move || Ok(lock(&spool).rejected())).await?;
        let shown = rejected.into_iter().map(|(id, call, refusal)| {
            let Refusal { kind, message, at } = refusal;
            RejectedCall { id, call, kind, message, at }
        });
        Ok(shown.collect())
    }

    /// Throws away a call that was refused, or one that waits and cannot be sent.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if it is not there, [`ErrorKind::Storage`] if the disk does not take it.
    pub async fn discard(&self, id: SpoolId) -> Result<()> {
        let spool = self.spool.clone();
        blocking("Spooled::discard", move || lock(&spool).discard(id)).await
    }

    /// Does something with the spool, away from the threads that drive futures.
    async fn with_spool<A: Send + 'static>(
        &self,
        operation: &'static str,
        work: impl FnOnce(&mut Spool, &Mutex<Views>) -> Result<A> + Send + 'static,
    ) -> Result<A> {
        let (spool, views) = (self.spool.clone(), self.views.clone());
        blocking(operation, move || work(&mut lock(&spool), &views)).await
    }

    /// Makes a call: straight if nothing waits, and else, or if it gets no answer, into the spool by `late`, which answers
    /// `None` if it cannot be answered from here.
    async fn settle<A, F, L>(
        &self,
        operation: &'static str,
        straight: impl Fn() -> F + Send + Sync,
        late: L,
    ) -> Result<A>
    where
        A: Send + 'static,
        F: Future<Output = Result<A>> + Send,
        L: FnOnce(&mut Spool, &Mutex<Views>) -> Result<Option<A>> + Clone + Send + 'static,
    {
        loop {
            let mut cause = None;
            if self.waiting() == 0 {
                match straight().await {
                    Err(e) if may_wait(&e) => cause = Some(e),
                    answer => return answer,
                }
            }
            let (late, forced) = (late.clone(), cause.is_some());
            let work = move |spool: &mut Spool, views: &Mutex<Views>| {
                // All that waited may have been sent meanwhile.
                if spool.is_empty() && !forced { Ok(None) } else { late(spool, views).map(Some) }
            };
            return match (self.with_spool(operation, work).await, cause) {
                (Ok(Some(Some(answer))), _) => Ok(answer),
                (Ok(Some(None)), Some(cause)) => Err(cause),
                (Ok(Some(None)), None) => {
                    Err(Error::new(ErrorKind::Busy, operation, "other calls wait and come first"))
                }
                (Ok(None), _) => continue,
                (Err(e), Some(cause)) => Err(e.with("tracker", cause.kind())),
                (Err(e), None) => Err(e),
            };
        }
    }
}

impl<T: ExperimentTracker> Spooled<T> {
    /// Sends what waits, in order, until nothing waits or the tracker inside cannot take it now.
    ///
    /// A call that is refused for good is kept among the [rejected](Self::rejected) ones, and the next one is sent. A call that
    /// fails otherwise stops it; it and everything behind it waits on. Stopped at any point, also by a kill or because its future
    /// is dropped, it can be begun again.
    ///
    /// # Errors
    /// [`ErrorKind::Storage`] when the spool cannot be read or written. What the tracker answers is in the report.
    pub async fn replay(&self) -> Result<SpoolReport> {
        const OP: &str = "Spooled::replay";
        let _alone = self.replaying.lock().await;
        let clock = self.clock.clone();
        self.with_spool(OP, move |spool, views| spool.adopt(OP, views, clock.now())).await?;
        let mut report = SpoolReport::default();
        while let Some((id, call)) = self.with_spool(OP, |spool, _| Ok(spool.next())).await? {
            let lost = call.as_ref().is_err_and(|e| e.kind() == ErrorKind::Corrupt);
            let call = match call {
                Err(e) if !lost => return Err(e),
                call => call,
            };
            let answer = match &call {
                Ok(call) => self.send(call).await,
                Err(_) => Ok(Vec::new()),
            };
            let error = match (call, answer) {
                (Err(e), _) => e,
                (Ok(_), Ok(degraded)) => {
                    report.sent += 1;
                    report.degraded.extend(degraded);
                    self.with_spool(OP, move |spool, _| {
                        spool.done(id);
                        Ok(())
                    })
                    .await?;
                    continue;
                }
                (Ok(call), Err(e)) if is_refusal(&e) => {
                    lock(&self.views).forget(&call);
                    e
                }
                (Ok(_), Err(e)) => {
                    report.stopped = Some((id, e));
                    break;
                }
            };
            let refusal = Refusal { kind: error.kind(), message: error.to_string(), at: self.clock.now() };
            self.with_spool(OP, move |spool, _| spool.reject(id, refusal)).await?;
            report.rejected.push(id);
        }
        report.waiting = self.waiting();
        self.with_spool(OP, |spool, views| {
            if spool.is_empty() {
                lock(views).settle();
            }
            Ok(())
        })
        .await?;
        Ok(report)
    }

    /// Sends a call; what of it could not be kept as it was.
    async fn send(&self, call: &SpooledCall) -> Result<Vec<Degradation>> {
        match call {
            SpooledCall::EnsureExperiment(spec) => {
                let experiment = self.inner.ensure_experiment(spec).await?;
                lock(&self.views).experiments.insert(spec.name.clone(), experiment);
            }
            SpooledCall::StartRun(spec) => drop(self.inner.start_run(spec).await?),
            SpooledCall::Write { run, batch } => return Ok(self.inner.write(run, batch).await?.degraded),
            SpooledCall::FinishRun { run, end } => drop(self.inner.finish_run(run, end).await?),
            SpooledCall::SetDeleted { run, deleted } => drop(self.inner.set_deleted(run, *deleted).await?),
        }
        Ok(Vec::new())
    }

    /// Makes sure that a call about a run can be answered from here, if it will have to be.
    async fn learn(&self, run: &RunId) -> Result<()> {
        if self.waiting() > 0 && !lock(&self.views).runs.contains_key(run) {
            let found = self.inner.run(run).await?;
            lock(&self.views).runs.entry(run.clone()).or_insert(found);
        }
        Ok(())
    }
}

impl<T: fmt::Debug> fmt::Debug for Spooled<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spooled")
            .field("inner", &self.inner)
            .field("folder", &self.folder)
            .field("waiting", &self.waiting())
            .finish_non_exhaustive()
    }
}

/// Keeps a call, and takes it into what is known here.
fn keep(spool: &mut Spool, views: &Mutex<Views>, call: &SpooledCall, now: Timestamp) -> Result<()> {
    spool.push(call)?;
    lock(views).absorb(call, now);
    Ok(())
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<T: ExperimentTracker> ExperimentTracker for Spooled<T> {
    fn capabilities(&self) -> TrackerCapabilities {
        self.inner.capabilities()
    }

    async fn ensure_experiment(&self, spec: &ExperimentSpec) -> Result<Experiment> {
        const OP: &str = "ExperimentTracker::ensure_experiment";
        check_tags(OP, &spec.tags)?;
        let (wanted, now) = (spec.clone(), self.clock.now());
        let late = move |spool: &mut Spool, views: &Mutex<Views>| {
            if !lock(views).experiments.contains_key(&wanted.name) {
                keep(spool, views, &SpooledCall::EnsureExperiment(wanted.clone()), now)?;
            }
            Ok(lock(views).experiments.get(&wanted.name).cloned())
        };
        let made = self.settle(OP, || self.inner.ensure_experiment(spec), late).await?;
        lock(&self.views).experiments.insert(made.name.clone(), made.clone());
        Ok(made)
    }

    async fn experiment(&self, name: &ExperimentName) -> Result<Experiment> {
        self.inner.experiment(name).await
    }

    async fn experiments(&self, page: &PageRequest) -> Result<Page<Experiment>> {
        self.inner.experiments(page).await
    }

    async fn start_run(&self, spec: &RunSpec) -> Result<Run> {
        const OP: &str = "ExperimentTracker::start_run";
        spec.check()?;
        let now = self.clock.now();
        let spec = RunSpec { started_at: Some(spec.started_at.unwrap_or(now)), ..spec.clone() };
        let wanted = spec.clone();
        let late = move |spool: &mut Spool, views: &Mutex<Views>| {
            let there = lock(views).same(&wanted)?;
            if there.is_none() {
                keep(spool, views, &SpooledCall::StartRun(Box::new(wanted.clone())), now)?;
            }
            Ok(lock(views).runs.get(&wanted.id).cloned())
        };
        let straight = || async {
            let run = self.inner.start_run(&spec).await?;
            lock(&self.views).started(&run);
            Ok(run)
        };
        self.settle(OP, straight, late).await
    }

    async fn write(&self, run: &RunId, batch: &LogBatch) -> Result<WriteReceipt> {
        const OP: &str = "ExperimentTracker::write";
        batch.check()?;
        // A call that came through before the run ended may be repeated after.
        let may_be_repeated = batch.key.is_some();
        let mut batch = batch.clone();
        batch.key.get_or_insert_with(IdempotencyKey::generate);
        let (id, batch, now) = (run.clone(), Arc::new(batch), self.clock.now());
        let waits = batch.clone();
        let late = move |spool: &mut Spool, views: &Mutex<Views>| {
            if !may_be_repeated {
                lock(views).check_open(OP, &id)?;
            }
            let mut receipt = WriteReceipt::new(waits.metrics.len() as u64);
            let call = SpooledCall::Write { run: id, batch: Arc::unwrap_or_clone(waits) };
            keep(spool, views, &call, now)?;
            let reason = "it waits in the spool until the tracker can be reached";
            receipt.degraded.push(Degradation::new("the batch", reason));
            Ok(Some(receipt))
        };
        let straight = || async {
            let receipt = self.inner.write(run, &batch).await?;
            lock(&self.views).write(run, &batch);
            Ok(receipt)
        };
        self.settle(OP, straight, late).await
    }

    async fn heartbeat(&self, run: &RunId, lease: Duration) -> Result<()> {
        let answer = self.inner.heartbeat(run, lease).await;
        let waits = || self.waiting() > 0 && lock(&self.views).runs.contains_key(run);
        match answer {
            Err(e) if e.kind() == ErrorKind::NotFound && waits() => {
                let message = "the start of the run waits; its lease cannot be renewed";
                let error = Error::new(ErrorKind::Busy, "ExperimentTracker::heartbeat", message);
                Err(error.with("run", run).with_source(e))
            }
            answer => answer,
        }
    }

    async fn finish_run(&self, run: &RunId, end: &RunEnd) -> Result<Run> {
        const OP: &str = "ExperimentTracker::finish_run";
        if !end.status.is_final() {
            let error = Error::invalid(OP, "status", "must be finished, failed or killed");
            return Err(error.with("value", end.status.as_str()));
        }
        self.learn(run).await?;
        let now = self.clock.now();
        let end = RunEnd { status: end.status, at: Some(end.at.unwrap_or(now)) };
        let id = run.clone();
        let late = move |spool: &mut Spool, views: &Mutex<Views>| {
            match lock(views).runs.get(&id) {
                None => return Ok(None),
                Some(known) if known.status == end.status => return Ok(Some(known.clone())),
                Some(_) => {}
            }
            lock(views).check_open(OP, &id)?;
            keep(spool, views, &SpooledCall::FinishRun { run: id.clone(), end }, now)?;
            Ok(lock(views).runs.get(&id).cloned())
        };
        let straight = || async {
            let ended = self.inner.finish_run(run, &end).await?;
            lock(&self.views).runs.remove(run);
            Ok(ended)
        };
        self.settle(OP, straight, late).await
    }

    async fn run(&self, run: &RunId) -> Result<Run> {
        self.inner.run(run).await
    }

    async fn search_runs(&self, query: &RunQuery) -> Result<Page<Run>> {
        self.inner.search_runs(query).await
    }

    async fn history(&self, run: &RunId, query: &HistoryQuery) -> Result<Page<MetricPoint>> {
        self.inner.history(run, query).await
    }

    async fn set_deleted(&self, run: &RunId, deleted: bool) -> Result<Run> {
        const OP: &str = "ExperimentTracker::set_deleted";
        self.learn(run).await?;
        let (id, now) = (run.clone(), self.clock.now());
        let late = move |spool: &mut Spool, views: &Mutex<Views>| {
            if !lock(views).runs.contains_key(&id) {
                return Ok(None);
            }
            keep(spool, views, &SpooledCall::SetDeleted { run: id.clone(), deleted }, now)?;
            Ok(lock(views).runs.get(&id).cloned())
        };
        let straight = || async {
            let changed = self.inner.set_deleted(run, deleted).await?;
            lock(&self.views).changed(&changed);
            Ok(changed)
        };
        self.settle(OP, straight, late).await
    }
}
