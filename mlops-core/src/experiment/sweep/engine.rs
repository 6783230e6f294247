//! The engine of one run of a sweep: it owns the state, so that everything happens in the order of the journal.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{AbortHandle, JoinSet};

use super::context::{Message, Shared};
use super::projection::Projection;
use super::{
    Action, EndReason, FailureClass, Signal, Sweep, SweepEntry, SweepEvent, SweepState, SweepSummary,
    TrialContext, TrialError, TrialOutcome, TrialPhase,
};
use crate::error::{Error, ErrorKind, Result};
use crate::experiment::stopping::Reports;
use crate::governance::{BudgetStop, Ticket};

/// How an attempt came to nothing.
#[derive(Debug)]
pub(super) struct Failure {
    class: FailureClass,
    message: String,
}

impl Failure {
    fn of(error: &TrialError) -> Self {
        let own = error.downcast_ref::<Error>();
        let class = match own {
            Some(error) if error.is_retryable() => FailureClass::Transient,
            _ => FailureClass::Permanent,
        };
        Self { class, message: cut(&error.to_string()) }
    }

    fn panic(payload: &(dyn std::any::Any + Send)) -> Self {
        let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| payload.downcast_ref::<String>().cloned());
        Self { class: FailureClass::Panic, message: cut(&text.unwrap_or_else(|| "a panic".to_owned())) }
    }
}

/// What is kept of a message.
fn cut(text: &str) -> String {
    text.chars().take(1000).collect()
}

type Attempt = Pin<Box<dyn Future<Output = Result<f64, Failure>> + Send>>;

/// Makes the future of an attempt.
pub(super) type Launch = Box<dyn Fn(TrialContext) -> Attempt + Send + Sync>;

/// An attempt whose task is alive.
struct Task {
    attempt: u32,
    abort: AbortHandle,
    shared: Arc<Shared>,
    /// On the monotonic clock.
    began: Duration,
    heard: Duration,
    /// The last step it reported, written down or not.
    cursor: Option<u64>,
    /// What it may cost.
    ticket: Option<Ticket>,
}

impl Task {
    /// Tells the guard what it cost.
    fn spend(&self, cost: f64) {
        if let Some(ticket) = &self.ticket {
            ticket.spend(cost);
        }
    }
}

pub(super) struct Engine<'a> {
    sweep: &'a Sweep,
    state: SweepState,
    projection: Projection,
    launch: Launch,
    sender: mpsc::UnboundedSender<Message>,
    receiver: mpsc::UnboundedReceiver<Message>,
    tasks: JoinSet<()>,
    alive: BTreeMap<u64, Task>,
    /// The numbers of `alive`.
    busy: BTreeSet<u64>,
}

impl<'a> Engine<'a> {
    pub(super) fn asynchronous<F, R>(objective: F) -> Launch
    where
        F: Fn(TrialContext) -> R + Send + Sync + 'static,
        R: Future<Output = Result<f64, TrialError>> + Send + 'static,
    {
        let objective = Arc::new(objective);
        Box::new(move |context| {
            let objective = objective.clone();
            // The objective is called within the task, so that its panic is the trial's too.
            let attempt = async move { objective(context).await };
            let caught = AssertUnwindSafe(attempt).catch_unwind();
            Box::pin(caught.map(|ended| match ended {
                Ok(result) => result.map_err(|error| Failure::of(&error)),
                Err(payload) => Err(Failure::panic(&*payload)),
            }))
        })
    }

    pub(super) fn blocking<F>(objective: F) -> Launch
    where
        F: Fn(TrialContext) -> Result<f64, TrialError> + Send + Sync + 'static,
    {
        let objective = Arc::new(objective);
        Box::new(move |context| {
            let objective = objective.clone();
            let work = move || objective(context).map_err(|error| Failure::of(&error));
            Box::pin(async move {
                match tokio::task::spawn_blocking(work).await {
                    Ok(result) => result,
                    Err(error) => match error.try_into_panic() {
                        Ok(payload) => Err(Failure::panic(&*payload)),
                        Err(_) => Err(Failure {
                            class: FailureClass::Lost,
                            message: "the runtime is shutting down".to_owned(),
                        }),
                    },
                }
            })
        })
    }

    pub(super) fn new(
        sweep: &'a Sweep,
        state: SweepState,
        projection: Projection,
        launch: Launch,
        sender: mpsc::UnboundedSender<Message>,
        receiver: mpsc::UnboundedReceiver<Message>,
    ) -> Self {
        let (tasks, alive, busy) = (JoinSet::new(), BTreeMap::new(), BTreeSet::new());
        Self { sweep, state, projection, launch, sender, receiver, tasks, alive, busy }
    }

    /// Writes an event down, and then takes it in.
    async fn commit(&mut self, event: SweepEvent) -> Result<()> {
        // What cannot be is not written down: a sampler of one's own may suggest what is not of the space.
        self.state.check(&event).map_err(|why| Error::new(ErrorKind::Internal, "Sweep::run", why))?;
        let now = self.sweep.clock.now();
        let entry = SweepEntry::new(self.state.entries() + 1, now, event);
        self.sweep.journal.append(self.state.id(), &entry).await?;
        self.state.apply(&entry)?;
        self.projection.heard(&self.state, &entry).await;
        if let Some(progress) = &self.sweep.progress {
            progress.heard(&self.state, &entry);
        }
        Ok(())
    }

    pub(super) async fn run(&mut self) -> Result<SweepSummary> {
        self.take_over().await?;
        while self.state.ended().is_none() {
            self.obey().await?;
            if self.state.ended().is_some() || self.act().await? {
                continue;
            }
            if self.alive.is_empty() && self.state.is_paused() {
                break;
            }
            if let Some(message) = self.next_message().await {
                self.hear(message).await?;
                // What else has come, without waiting.
                while let Ok(message) = self.receiver.try_recv() {
                    self.hear(message).await?;
                }
            }
            self.look_at_the_clock().await?;
        }
        self.sweep.control.forget_cancel();
        let tracker_problem = self.projection.finish(&self.state).await;
        Ok(SweepSummary { tracker_problem, ..SweepSummary::of(&self.state) })
    }

    /// Makes the sweep this engine's. One that is over and has no new budget is left alone.
    async fn take_over(&mut self) -> Result<()> {
        let budget = self.sweep.spec.budget.clone();
        if self.state.ended().is_some() && self.state.spec().budget == budget && !self.may_go_on() {
            return Ok(());
        }
        self.commit(SweepEvent::Opened { budget }).await?;
        // Whoever ran these is gone, or will be told so at its next entry.
        let lost: Vec<u64> = self.state.running().collect();
        for trial in lost {
            let attempt = self.attempts(trial);
            self.commit(SweepEvent::LeaseExpired { trial, attempt }).await?;
        }
        Ok(())
    }

    /// Whether it was a budget shared with others that ended the sweep, and that holds more now.
    fn may_go_on(&self) -> bool {
        self.state.ended() == Some(EndReason::Budget)
            && self.sweep.guard.as_ref().is_none_or(|(guard, expected)| guard.check(*expected).is_ok())
    }

    fn attempts(&self, trial: u64) -> u32 {
        self.state.trial(trial).map_or(0, |trial| trial.attempts)
    }

    /// Does what was asked for from outside.
    async fn obey(&mut self) -> Result<()> {
        if self.sweep.control.is_cancelled() {
            while self.state.ended().is_none() {
                let action = self.state.wind_up(EndReason::Cancelled);
                self.carry_out(action).await?;
            }
        }
        if self.sweep.control.take_pause() && self.state.ended().is_none() && !self.state.is_paused() {
            self.commit(SweepEvent::Paused).await?;
        }
        Ok(())
    }

    /// Does the next thing there is to do; whether there was one.
    async fn act(&mut self) -> Result<bool> {
        let policy = self.sweep.policy.as_deref();
        let action = self.state.next(&self.busy, policy, self.sweep.clock.now());
        if let (Action::Ask(_) | Action::Promote(_) | Action::Start(_), Some((guard, expected))) =
            (action, &self.sweep.guard)
            && let Err(stop) = guard.check(*expected)
        {
            return self.refused(&stop).await;
        }
        match action {
            Action::Wait => Ok(false),
            action => self.carry_out(action).await.map(|()| true),
        }
    }

    /// What is at work may cost less than was expected: only then is it known that nothing more can begin.
    async fn refused(&mut self, stop: &BudgetStop) -> Result<bool> {
        if !self.alive.is_empty() {
            return Ok(false);
        }
        self.commit(SweepEvent::Refused { reason: stop.to_string() }).await.map(|()| true)
    }

    async fn carry_out(&mut self, action: Action) -> Result<()> {
        match action {
            Action::Ask(_) => {
                let event = self.state.suggest(&*self.sweep.sampler)?;
                self.commit(event).await
            }
            Action::Start(trial) => self.start(trial).await,
            Action::Promote(trial) => self.commit(SweepEvent::Promoted { trial }).await,
            Action::Settle(trial) => self.end(trial, TrialOutcome::Pruned, 0.0).await,
            Action::Cancel(trial) => {
                let cost = self.drop_task(trial);
                self.end(trial, TrialOutcome::Cancelled, cost).await
            }
            Action::End(reason) => self.commit(SweepEvent::Ended { reason }).await,
            Action::Wait => Ok(()),
        }
    }

    async fn end(&mut self, trial: u64, outcome: TrialOutcome, cost: f64) -> Result<()> {
        let attempt = self.attempts(trial);
        self.commit(SweepEvent::Finished { trial, attempt, outcome, cost }).await
    }

    async fn start(&mut self, trial: u64) -> Result<()> {
        let Some(attempt) = self.attempts(trial).checked_add(1) else {
            return Err(Error::limit(
                "Sweep::run",
                "the number of attempts",
                u32::MAX,
                u64::from(u32::MAX) + 1,
            ));
        };
        let ticket = match &self.sweep.guard {
            None => None,
            Some((guard, expected)) => match guard.admit(*expected) {
                Ok(ticket) => Some(ticket),
                // Somebody else was faster since it was looked at.
                Err(stop) => return self.refused(&stop).await.map(drop),
            },
        };
        self.commit(SweepEvent::Started { trial, attempt }).await?;
        let (Some(known), Some(assignment)) = (self.state.trial(trial), self.state.assignment(trial)) else {
            return Ok(());
        };
        let reports = usize::try_from(trial).ok().and_then(|at| self.state.reports().get(at));
        let shared = Arc::new(Shared {
            trial,
            attempt,
            assignment: assignment.clone(),
            seed: self.state.spec().seed,
            run: super::spec::trial_run(self.state.id(), trial),
            checkpoint: known.checkpoint.clone(),
            last_step: reports.and_then(|trial| trial.reports.last()).map(|last| last.step),
            cost: AtomicU64::new(0.0_f64.to_bits()),
        });
        let context = TrialContext { shared: shared.clone(), engine: self.sender.clone() };
        let (work, engine, told) = ((self.launch)(context), self.sender.clone(), shared.clone());
        let abort = self.tasks.spawn(async move {
            let result = work.await;
            // An engine that is gone needs no telling.
            let _ = engine.send(Message::Ended { trial, attempt, result, cost: told.take() });
        });
        let began = self.sweep.clock.monotonic();
        self.alive.insert(trial, Task { attempt, abort, shared, began, heard: began, cursor: None, ticket });
        self.busy.insert(trial);
        Ok(())
    }

    /// Aborts the task of a trial, if it has one; what it cost and did not say.
    fn drop_task(&mut self, trial: u64) -> f64 {
        self.busy.remove(&trial);
        self.alive.remove(&trial).map_or(0.0, |task| {
            task.abort.abort();
            let cost = task.shared.take();
            task.spend(cost);
            cost
        })
    }

    /// The next message; nothing when it is time to look at the clock first.
    async fn next_message(&mut self) -> Option<Message> {
        // Ended tasks are taken from the set, so that it does not grow.
        while self.tasks.try_join_next().is_some() {}
        let budget = &self.state.spec().budget;
        let limits = [budget.max_time, budget.max_trial_time, budget.lease];
        match limits.into_iter().flatten().min() {
            None => self.receiver.recv().await,
            Some(shortest) => {
                let tick = (shortest / 4).clamp(Duration::from_millis(5), Duration::from_millis(250));
                tokio::time::timeout(tick, self.receiver.recv()).await.ok().flatten()
            }
        }
    }

    async fn hear(&mut self, message: Message) -> Result<()> {
        match message {
            Message::Wake => Ok(()),
            Message::Heartbeat { trial, attempt } => {
                self.touch(trial, attempt);
                Ok(())
            }
            Message::Report { trial, attempt, step, value, cost, answer } => {
                self.touch(trial, attempt);
                self.report((trial, attempt), (step, value), cost, answer).await
            }
            Message::Checkpoint { trial, attempt, checkpoint, answer } => {
                self.touch(trial, attempt);
                self.checkpoint((trial, attempt), checkpoint, answer).await
            }
            Message::Ended { trial, attempt, result, cost } => {
                self.ended((trial, attempt), result, cost).await
            }
        }
    }

    /// The trial was heard of.
    fn touch(&mut self, trial: u64, attempt: u32) {
        let now = self.sweep.clock.monotonic();
        if let Some(task) = self.alive.get_mut(&trial).filter(|task| task.attempt == attempt) {
            task.heard = now;
        }
    }

    /// What a task is to do that is not, or no more, at work for its trial.
    fn signal(&self, (trial, attempt): (u64, u32)) -> Signal {
        let known = self.state.trial(trial).filter(|trial| trial.attempts == attempt);
        match known.map(|trial| &trial.phase) {
            Some(TrialPhase::Running) => Signal::Continue,
            Some(TrialPhase::Paused(_)) => Signal::Pause,
            _ => Signal::Stop,
        }
    }

    async fn report(
        &mut self,
        at: (u64, u32),
        (step, value): (u64, f64),
        cost: f64,
        answer: oneshot::Sender<Result<Signal>>,
    ) -> Result<()> {
        if self.signal(at) == Signal::Continue {
            if let Err(refused) = self.check_step(at.0, step) {
                self.keep_cost(at.0, cost);
                let _ = answer.send(Err(refused));
                return Ok(());
            }
            match self.state.hear(at, (step, value), cost, self.sweep.policy.as_deref()) {
                Some(event) => {
                    if let Some(task) = self.alive.get(&at.0) {
                        task.spend(cost);
                    }
                    self.commit(event).await?;
                }
                None => self.keep_cost(at.0, cost),
            }
            if let Some(task) = self.alive.get_mut(&at.0) {
                task.cursor = Some(step);
            }
        }
        // A task that was dropped does not wait for its answer.
        let _ = answer.send(Ok(self.signal(at)));
        Ok(())
    }

    /// Gives a cost back that was told with nothing to write down.
    fn keep_cost(&self, trial: u64, cost: f64) {
        if let Some(task) = self.alive.get(&trial) {
            let context = TrialContext { shared: task.shared.clone(), engine: self.sender.clone() };
            context.spend(cost);
        }
    }

    fn check_step(&self, trial: u64, step: u64) -> Result<()> {
        const OP: &str = "TrialContext::report";
        let cursor = self.alive.get(&trial).and_then(|task| task.cursor);
        if let Some(last) = cursor.filter(|last| step <= *last) {
            return Err(Error::invalid(OP, "step", format!("must be greater than {last}, got {step}")));
        }
        if step > Reports::MAX_STEP {
            return Err(Error::limit(OP, "the step", Reports::MAX_STEP, step));
        }
        let reports = usize::try_from(trial).ok().and_then(|at| self.state.reports().get(at));
        let full = reports.is_some_and(|trial| {
            let beyond = trial.reports.last().is_none_or(|last| step > last.step);
            beyond && trial.reports.interval() >= Reports::MAX_LEN as u64
        });
        match full {
            true => Err(Error::limit(OP, "the number of reports", Reports::MAX_LEN, Reports::MAX_LEN + 1)),
            false => Ok(()),
        }
    }

    async fn checkpoint(
        &mut self,
        (trial, attempt): (u64, u32),
        checkpoint: String,
        answer: oneshot::Sender<Result<()>>,
    ) -> Result<()> {
        const OP: &str = "TrialContext::save_checkpoint";
        let refused = crate::id::check_text(OP, "the checkpoint", &checkpoint).and_then(|()| {
            match self.signal((trial, attempt)) {
                Signal::Continue => Ok(()),
                _ => Err(Error::new(ErrorKind::Cancelled, OP, "the trial is not at work any more")),
            }
        });
        let done = match refused {
            Ok(()) => {
                self.commit(SweepEvent::Checkpointed { trial, attempt, checkpoint }).await?;
                Ok(())
            }
            refused => refused,
        };
        let _ = answer.send(done);
        Ok(())
    }

    async fn ended(
        &mut self,
        (trial, attempt): (u64, u32),
        result: Result<f64, Failure>,
        cost: f64,
    ) -> Result<()> {
        // A task that was given up says nothing more.
        if self.alive.get(&trial).is_none_or(|task| task.attempt != attempt) {
            return Ok(());
        }
        if let Some(task) = self.alive.remove(&trial) {
            task.spend(cost);
        }
        self.busy.remove(&trial);
        if self.signal((trial, attempt)) != Signal::Continue {
            return Ok(());
        }
        let outcome = match result {
            Ok(value) if value.is_finite() => TrialOutcome::Completed { value },
            Ok(value) => TrialOutcome::Failed {
                class: FailureClass::NotFinite,
                message: format!("the objective returned {value}"),
            },
            Err(Failure { class, message }) => TrialOutcome::Failed { class, message },
        };
        self.end(trial, outcome, cost).await
    }

    /// Ends attempts that take too long, and gives up those of which nothing is heard.
    async fn look_at_the_clock(&mut self) -> Result<()> {
        let budget = &self.state.spec().budget;
        let (limit, lease) = (budget.max_trial_time, budget.lease);
        if limit.is_none() && lease.is_none() {
            return Ok(());
        }
        let now = self.sweep.clock.monotonic();
        let over = |since: Duration, limit: Option<Duration>| {
            limit.is_some_and(|limit| now.saturating_sub(since) > limit)
        };
        let late: Vec<(u64, u32, bool)> = self
            .alive
            .iter()
            .filter(|(_, task)| over(task.began, limit) || over(task.heard, lease))
            .map(|(trial, task)| (*trial, task.attempt, over(task.began, limit)))
            .collect();
        for (trial, attempt, timed_out) in late {
            let at_work = self.signal((trial, attempt)) == Signal::Continue;
            let cost = self.drop_task(trial);
            match (at_work, timed_out) {
                // It had its answer and did not return.
                (false, _) => {}
                (true, true) => {
                    let message = "took longer than a trial may".to_owned();
                    let outcome = TrialOutcome::Failed { class: FailureClass::Timeout, message };
                    self.end(trial, outcome, cost).await?;
                }
                (true, false) => self.commit(SweepEvent::LeaseExpired { trial, attempt }).await?,
            }
        }
        Ok(())
    }
}
