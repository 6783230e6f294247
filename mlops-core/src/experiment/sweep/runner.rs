//! A sweep that is run.

use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};

use tokio::sync::mpsc;

use super::context::Message;
use super::engine::Engine;
use super::projection::Projection;
use super::{
    SamplerRecord, SweepEvent, SweepJournal, SweepProgress, SweepSpec, SweepState, SweepSummary,
    TrialContext, TrialError,
};
use crate::error::{Error, Result};
use crate::experiment::sampler::Sampler;
use crate::experiment::stopping::StoppingPolicy;
use crate::experiment::{Capsule, ExperimentTracker};
use crate::governance::BudgetGuard;
use crate::time::{Clock, SystemClock, lock};

/// Runs the trials of one sweep.
///
/// Trials are tasks of the tokio runtime that drives [`run`](Self::run), up to [`Budget::max_concurrent`](super::Budget) at
/// once. An objective that fails or panics ends its trial, never the sweep. Dropping the future of `run` is like a kill: tasks
/// are aborted, and the next `run` goes on from the journal. Running a sweep that is over returns its summary.
///
/// ```
/// use std::sync::Arc;
/// use mlops_core::experiment::sampler::{Goal, RandomOptions, SamplerSpec};
/// use mlops_core::experiment::space::{Distribution, SearchSpace};
/// use mlops_core::experiment::stopping::Asha;
/// use mlops_core::experiment::sweep::{Budget, Sweep, SweepSpec};
/// use mlops_core::memory::{MemorySweepJournal, MemoryTracker};
/// use mlops_core::{ActorId, ExperimentName, MetricKey};
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
/// let space = SearchSpace::new([("rate", Distribution::log_float(1e-4, 1.0))])?;
/// let spec = SweepSpec::new(
///     ExperimentName::new("churn")?, "rates", ActorId::new("trainer")?,
///     MetricKey::new("loss")?, Goal::Minimize, space, SamplerSpec::Random(RandomOptions::default()),
/// );
/// let spec = spec.with_budget(Budget::trials(8).with_concurrent(2)).with_stopping(Asha::new(1, 2)?);
/// let sweep = Sweep::new(spec, Arc::new(MemorySweepJournal::default()))?
///     .with_tracker(Arc::new(MemoryTracker::default()));
///
/// let summary = sweep.run(|trial| async move {
///     let rate = trial.assignment().float("rate")?;
///     let mut loss = 1.0;
///     for epoch in 1..=8 {
///         loss -= (loss - (rate.ln() + 4.0).abs()) * 0.3;
///         if trial.report(epoch, loss).await?.is_stop() {
///             break;
///         }
///     }
///     Ok(loss)
/// }).await?;
/// assert_eq!(summary.trials.total(), 8);
/// assert!(summary.best.is_some());
/// # Ok::<(), Box<dyn std::error::Error>>(()) })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Sweep {
    pub(super) spec: SweepSpec,
    pub(super) journal: Arc<dyn SweepJournal>,
    pub(super) sampler: Arc<dyn Sampler>,
    pub(super) policy: Option<Arc<dyn StoppingPolicy>>,
    pub(super) tracker: Option<Arc<dyn ExperimentTracker>>,
    pub(super) progress: Option<Arc<dyn SweepProgress>>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) capsule: Capsule,
    pub(super) control: SweepControl,
    pub(super) guard: Option<(BudgetGuard, f64)>,
}

impl fmt::Debug for Sweep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sweep")
            .field("spec", &self.spec)
            .field("journal", &self.journal)
            .field("tracker", &self.tracker)
            .finish_non_exhaustive()
    }
}

impl Sweep {
    /// A sweep that is kept in a journal; nothing happens before it is run.
    ///
    /// # Errors
    /// As [`SweepSpec::check`].
    pub fn new(spec: SweepSpec, journal: Arc<dyn SweepJournal>) -> Result<Self> {
        spec.check()?;
        let sampler = spec.sampler.build()?;
        let policy = spec.stopping.clone().map(|policy| Arc::new(policy) as Arc<dyn StoppingPolicy>);
        Ok(Self {
            spec,
            journal,
            sampler,
            policy,
            tracker: None,
            progress: None,
            clock: Arc::new(SystemClock::new()),
            capsule: Capsule::default(),
            control: SweepControl::default(),
            guard: None,
        })
    }

    /// Keeps a run for the sweep, and a run within it for each trial and each further [round](SweepState::rounds).
    #[must_use]
    pub fn with_tracker(mut self, tracker: Arc<dyn ExperimentTracker>) -> Self {
        self.tracker = Some(tracker);
        self
    }

    /// Gives the runs what one needs to make them again.
    #[must_use]
    pub fn with_capsule(mut self, capsule: Capsule) -> Self {
        self.capsule = capsule;
        self
    }

    /// Tells somebody how it goes.
    #[must_use]
    pub fn with_progress(mut self, progress: Arc<dyn SweepProgress>) -> Self {
        self.progress = Some(progress);
        self
    }

    /// Takes the time from this clock. Default: the machine's. Limits of time are looked at a few times a second.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Chooses with a sampler of one's own, in place of the spec's. Its name and parameters are written down, and must be the
    /// same when the sweep is resumed.
    ///
    /// # Errors
    /// Those of [`Sampler::check`].
    pub fn with_sampler(mut self, sampler: Arc<dyn Sampler>) -> Result<Self> {
        sampler.check(&self.spec.space)?;
        self.sampler = sampler;
        Ok(self)
    }

    /// Stops trials by a policy of one's own, in place of the spec's.
    #[must_use]
    pub fn with_policy(mut self, policy: Arc<dyn StoppingPolicy>) -> Self {
        self.policy = Some(policy);
        self
    }

    /// Asks a budget that is shared with others before each attempt of a trial, which is expected to cost `expected`; what trials say
    /// they [spent](TrialContext::spend) is what counts in the end, and what was expected where they say nothing.
    ///
    /// What the budget does not hold does not begin. While others of the sweep's trials are at work it waits, for they may cost less
    /// than expected; then the sweep ends by [`EndReason::Budget`](super::EndReason::Budget), with the reason in its journal and summary.
    /// Running it again goes on when the budget holds more then.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use mlops_core::experiment::sampler::{Goal, RandomOptions, SamplerSpec};
    /// # use mlops_core::experiment::space::{Distribution, SearchSpace};
    /// # use mlops_core::experiment::sweep::{EndReason, Sweep, SweepSpec};
    /// # use mlops_core::memory::MemorySweepJournal;
    /// # use mlops_core::{ActorId, ExperimentName, MetricKey};
    /// use mlops_core::governance::BudgetGuard;
    /// use mlops_core::governance::budget::{Budget, Threshold, ThresholdBasis, TimeGrain};
    /// # tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
    /// # let space = SearchSpace::new([("rate", Distribution::log_float(1e-4, 1.0))])?;
    /// # let spec = SweepSpec::new(
    /// #     ExperimentName::new("churn")?, "rates", ActorId::new("trainer")?,
    /// #     MetricKey::new("loss")?, Goal::Minimize, space, SamplerSpec::Random(RandomOptions::default()),
    /// # );
    /// let start = chrono::NaiveDate::from_ymd_opt(2026, 3, 1).ok_or("no such day")?;
    /// let thresholds = vec![Threshold::new(80.0).with_basis(ThresholdBasis::Actual)];
    /// let guard =
    ///     BudgetGuard::new(&Budget::new("team", 100.0, TimeGrain::Monthly, start, thresholds)?, 70.0)?;
    /// let sweep =
    ///     Sweep::new(spec, Arc::new(MemorySweepJournal::default()))?.with_guard(guard.clone(), 10.0);
    /// let summary = sweep.run(|trial| async move {
    ///     trial.spend(8.0);
    ///     Ok(trial.assignment().float("rate")?)
    /// }).await?;
    /// assert_eq!((summary.ended, summary.trials.completed), (Some(EndReason::Budget), 3));
    /// assert_eq!(summary.refused.as_deref(), Some("the budget `team` of 100 has 6 left, and 10 would be needed"));
    /// assert_eq!((guard.spent(), guard.crossed().len()), (94.0, 1));
    /// # Ok::<(), Box<dyn std::error::Error>>(()) })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn with_guard(mut self, guard: BudgetGuard, expected: f64) -> Self {
        self.guard = Some((guard, expected));
        self
    }

    /// What it is to do.
    pub fn spec(&self) -> &SweepSpec {
        &self.spec
    }

    /// Pauses or cancels the sweep while it runs, from elsewhere.
    pub fn control(&self) -> SweepControl {
        self.control.clone()
    }

    /// Where it stands by its journal; `None` when it was never run.
    ///
    /// # Errors
    /// Those of the journal, and [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt) as [`SweepState::replay`].
    pub async fn state(&self) -> Result<Option<SweepState>> {
        SweepState::replay(&self.journal.entries(&self.spec.id(), 0).await?)
    }

    /// Runs the sweep to its end, or until it is paused; an objective is a function from a trial's context to the value of
    /// the metric.
    ///
    /// # Errors
    /// Those of the journal; [`ErrorKind::Conflict`](crate::ErrorKind::Conflict) for a journal of another sweep under this
    /// name, and when another engine takes the sweep over. Failures of trials and of the tracker are in the summary.
    pub async fn run<F, R>(&self, objective: F) -> Result<SweepSummary>
    where
        F: Fn(TrialContext) -> R + Send + Sync + 'static,
        R: Future<Output = Result<f64, TrialError>> + Send + 'static,
    {
        self.drive(Engine::asynchronous(objective)).await
    }

    /// As [`run`](Self::run), for an objective that computes and blocks: each attempt has a thread of tokio's for blocking
    /// work, and reports with [`TrialContext::report_blocking`]. A thread cannot be aborted: one whose trial was cancelled is
    /// told at its next report.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn run_blocking<F>(&self, objective: F) -> Result<SweepSummary>
    where
        F: Fn(TrialContext) -> Result<f64, TrialError> + Send + Sync + 'static,
    {
        self.drive(Engine::blocking(objective)).await
    }

    async fn drive(&self, launch: super::engine::Launch) -> Result<SweepSummary> {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.control.attach(sender.clone());
        let (state, entries) = self.open().await?;
        let projection = Projection::new(self, &state, &entries);
        let mut engine = Engine::new(self, state, projection, launch, sender, receiver);
        engine.run().await
    }

    /// The state by the journal, made where there is none. What ran when it was left is lost then.
    async fn open(&self) -> Result<(SweepState, Vec<super::SweepEntry>)> {
        const OP: &str = "Sweep::run";
        let id = self.spec.id();
        let mut entries = self.journal.entries(&id, 0).await?;
        let sampler =
            SamplerRecord { name: self.sampler.name().to_owned(), parameters: self.sampler.parameters() };
        let Some(state) = SweepState::replay(&entries)? else {
            let event = SweepEvent::Created { spec: Box::new(self.spec.clone()), sampler };
            let first = super::SweepEntry::new(1, self.clock.now(), event);
            self.journal.append(&id, &first).await?;
            entries.push(first);
            let state = SweepState::begin(&entries[0])?;
            return Ok((state, entries));
        };
        let taken = |field: &'static str, here: String, there: String| {
            let message = "the journal has another sweep under this name";
            Err(Error::conflict(OP, message, here, there).with("field", field).with("sweep", &id))
        };
        if let Some((field, here, there)) = self.spec.differs(state.spec()) {
            return taken(field, here, there);
        }
        if state.sampler() != &sampler {
            let shown = |record: &SamplerRecord| format!("{} {}", record.name, record.parameters);
            return taken("sampler", shown(&sampler), shown(state.sampler()));
        }
        Ok((state, entries))
    }
}

const RUN: u8 = 0;
const PAUSE: u8 = 1;
const CANCEL: u8 = 2;

/// Pauses or cancels a sweep that runs elsewhere.
#[derive(Clone, Debug, Default)]
pub struct SweepControl {
    asked: Arc<AtomicU8>,
    engine: Arc<Mutex<Option<mpsc::UnboundedSender<Message>>>>,
}

impl SweepControl {
    /// Begins no more trials: `run` returns when those at work have ended, and the next `run` goes on.
    pub fn pause(&self) {
        self.ask(PAUSE);
    }

    /// Ends the sweep: trials at work are aborted.
    pub fn cancel(&self) {
        self.ask(CANCEL);
    }

    fn ask(&self, what: u8) {
        self.asked.fetch_max(what, Ordering::SeqCst);
        if let Some(engine) = lock(&self.engine).as_ref() {
            // An engine that is gone needs no telling.
            let _ = engine.send(Message::Wake);
        }
    }

    fn attach(&self, engine: mpsc::UnboundedSender<Message>) {
        *lock(&self.engine) = Some(engine);
    }

    /// Whether a pause was asked for, which is then forgotten.
    pub(super) fn take_pause(&self) -> bool {
        self.asked.compare_exchange(PAUSE, RUN, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }

    pub(super) fn is_cancelled(&self) -> bool {
        self.asked.load(Ordering::SeqCst) == CANCEL
    }

    pub(super) fn forget_cancel(&self) {
        let _ = self.asked.compare_exchange(CANCEL, RUN, Ordering::SeqCst, Ordering::SeqCst);
    }
}
