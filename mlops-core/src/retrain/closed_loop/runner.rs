//! The loop in motion: carries out what the rules say through registry, deployer, approver and audit log.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use super::note::notes;
use super::trigger::level;
use super::{
    Challenger, Comparison, ENTRIES, LoopConfig, LoopEffect, LoopEntry, LoopEvent, LoopJournal, LoopPhase,
    LoopState, LoopTrigger, Serving, step,
};
use crate::deploy::rollout::judge::Observations;
use crate::deploy::rollout::{
    Guard, LabelledPerformance, MetricProvider, MetricSource, Phase, RolloutDriver, RolloutJournal,
    RolloutPlan, RolloutStatus,
};
use crate::deploy::{Deployer, DeploymentSpec, SmokeTest, TrafficChange, TrafficSplit};
use crate::error::{Error, ErrorKind, Result};
use crate::evaluation::{EvaluationReport, GateDecision, champion};
use crate::governance::{ApprovalRequest, Approver, AuditEntry, AuditLog};
use crate::hash::{Digest, Hasher};
use crate::id::{DeploymentName, IdempotencyKey, Percent, RunId, Version};
use crate::monitor::MonitorSpec;
use crate::registry::{AliasChange, ModelRegistry, ModelVersion, Promotion};
use crate::retrain::gates::{CauseLevel, GateInput, RetrainCause};
use crate::retrain::{Signal, TriggerDecision, TriggerOutcome, TriggerState};
use crate::time::{Clock, Timestamp};

/// What a loop works through.
#[non_exhaustive]
#[derive(Clone, Debug)]
pub struct LoopBackends {
    /// Where versions and aliases are.
    pub registry: Arc<dyn ModelRegistry>,
    /// Where models answer.
    pub deployer: Arc<dyn Deployer>,
    /// Where rollouts are written down.
    pub journal: Arc<dyn RolloutJournal>,
    /// Where everything is recorded.
    pub audit: Arc<dyn AuditLog>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
}

impl LoopBackends {
    /// These backends.
    pub fn new(
        registry: Arc<dyn ModelRegistry>,
        deployer: Arc<dyn Deployer>,
        journal: Arc<dyn RolloutJournal>,
        audit: Arc<dyn AuditLog>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { registry, deployer, journal, audit, clock }
    }
}

/// A loop from a reason to retrain to the version that serves, and back.
///
/// It trains nothing itself: its user does, and tells it ([`training_started`](Self::training_started),
/// [`training_finished`](Self::training_finished), [`judged`](Self::judged)). From the gate's decision on it works alone, one
/// [`advance`](Self::advance) after the other, between which the candidate serves its share.
///
/// # Order
/// 1. A **signal** is shown to every [trigger](LoopTrigger), and what they find goes through the
///    [gates](crate::retrain::gates::RetrainGates). What is held back is recorded, with the reason. One cycle comes after the other.
/// 2. The **gate** decides about exactly this content; content that was rolled back before is refused. Where the loop has
///    [rules for champions](super::LoopConfig::champion), the challenger must be better by them, on the same rows.
/// 3. The **approval**, where it is demanded, is of that decision, before the challenger gets any traffic. A challenger that nobody
///    answers about in time has [expired](LoopPhase::Expired); what is newer may [supersede](LoopPhase::Superseded) it.
/// 4. The **rollout** moves the traffic. The alias stays: until the end, the champion is what most callers get, and a rollback
///    has no alias to move.
/// 5. The **alias** follows by compare-and-set when the challenger has all traffic. If the registry refuses, the traffic goes
///    back: what is called the champion is what serves.
/// 6. A **revert** later moves traffic first, for the callers' sake, then the alias, each to where it was before.
///
/// # What survives
/// With a [journal](Self::resume), everything that happened is written down before anything is done about it. A loop whose process
/// was killed at any moment goes on with [`resume`](Self::resume) and [`advance`](Self::advance), and then:
/// * **No reason is lost.** One that a call returned from has its [record](LoopEntry::records) in the journal, or waits in the
///   [gates' state](LoopState::gates); told again, because the call did not return, it is known and recorded as such.
/// * **None is answered twice.** A [request](LoopState::request) begins one cycle, and a cycle has one run: train under the
///   [id that follows from the request](crate::retrain::gates::RetrainRequest::run), and a training that was cut off is the same
///   run again.
/// * **One candidate at most is on its way**: beside what served before, one deployment at most has traffic.
/// * **The champion has passed.** The alias points to a version that the gate let pass (and that was approved, where that is
///   demanded), and never moves before that version has all traffic.
/// * **The audit log has everything**, every change of phase and every reason that was held back, each once; while it is down the
///   loop goes on, and what is missing is made up for.
///
/// Without a journal, keep [`state`](Self::state) after every call; a loop made from a kept state does again what it may or may not
/// have done, under the same keys.
///
/// ```
/// use mlops_core::retrain::closed_loop::{ClosedLoop, LoopBackends, LoopJournal, LoopState};
/// # use std::sync::Arc;
/// # use mlops_core::deploy::SmokeTest;
/// # use mlops_core::evaluation::GateDecision;
/// # use mlops_core::registry::ModelVersion;
/// # use mlops_core::retrain::Signal;
/// # use mlops_core::{Error, ErrorKind, RunId};
/// async fn close_the_loop(
///     start: LoopState,
///     journal: Arc<dyn LoopJournal>,
///     backends: LoopBackends,
///     smoke_test: SmokeTest,
///     signal: Signal,
///     train: impl AsyncFn(&RunId) -> (ModelVersion, GateDecision),
///     send_traffic: impl AsyncFn(),
/// ) -> mlops_core::Result<()> {
///     let mut closed_loop = ClosedLoop::resume(start, journal, backends, smoke_test).await?;
///     if !closed_loop.signal(&signal).await? {
///         return Ok(());
///     }
///     // The id that follows from the request: a training that is killed goes on as the same run.
///     let request = closed_loop.state().request.as_ref();
///     let none = || Error::new(ErrorKind::NotFound, "close_the_loop", "nobody asked for a training");
///     let run = request.ok_or_else(none)?.run()?;
///     closed_loop.training_started(&run).await?;
///     let (version, gate) = train(&run).await;
///     closed_loop.training_finished().await?;
///     closed_loop.judged(&version, &gate).await?;
///     while !closed_loop.advance().await?.is_at_rest() {
///         send_traffic().await;
///     }
///     println!("{}", closed_loop.state().phase);
///     Ok(())
/// }
/// ```
pub struct ClosedLoop {
    state: LoopState,
    backends: LoopBackends,
    smoke_test: SmokeTest,
    approver: Option<Arc<dyn Approver>>,
    guards: Vec<Arc<dyn Guard>>,
    metrics: Option<Arc<dyn MetricProvider>>,
    triggers: Vec<LoopTrigger>,
    rollout: Option<RolloutDriver>,
    journal: Option<Arc<dyn LoopJournal>>,
    /// The number of the last entry.
    sequence: u64,
    /// Whether nobody knows if the last entry was written down.
    uncertain: bool,
    /// With the numbers of the entries they are about.
    unaudited: VecDeque<(u64, AuditEntry)>,
}

impl fmt::Debug for ClosedLoop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClosedLoop")
            .field("state", &self.state)
            .field("backends", &self.backends)
            .field("guards", &self.guards)
            .field("triggers", &self.triggers)
            .field("journal", &self.journal)
            .finish_non_exhaustive()
    }
}

impl ClosedLoop {
    /// A loop that goes on from `state`. Every challenger has to pass the smoke test before it gets any traffic.
    ///
    /// # Errors
    /// As [`LoopConfig::check`](super::LoopConfig::check); [`ErrorKind::Unsupported`] for a state of another schema.
    pub fn new(state: LoopState, backends: LoopBackends, smoke_test: SmokeTest) -> Result<Self> {
        state.check()?;
        Ok(Self {
            state,
            backends,
            smoke_test,
            approver: None,
            guards: Vec::new(),
            metrics: None,
            triggers: Vec::new(),
            rollout: None,
            journal: None,
            sequence: 0,
            uncertain: false,
            unaudited: VecDeque::new(),
        })
    }

    /// A loop that goes on from where the journal says it is, and from `start` if the journal does not know its
    /// [id](LoopState::with_id). The rules are those of `start`: what is under way goes on as it was planned.
    ///
    /// Triggers, guards, source of metrics and approver are attached anew. The next [`advance`](Self::advance) does again whatever was under way.
    ///
    /// # Errors
    /// As [`new`](Self::new); those of the journal; [`ErrorKind::InvalidInput`] when it holds a loop over another model, alias or
    /// endpoint under this id.
    pub async fn resume(
        start: LoopState,
        journal: Arc<dyn LoopJournal>,
        backends: LoopBackends,
        smoke_test: SmokeTest,
    ) -> Result<Self> {
        let mut resumed = Self::new(start, backends, smoke_test)?;
        resumed.journal = Some(journal);
        resumed.uncertain = true;
        resumed.settle().await?;
        // If the log is down the next call makes up for it.
        let _ = resumed.flush_audit().await;
        Ok(resumed)
    }

    /// Sets who is asked for approvals.
    #[must_use]
    pub fn with_approver(mut self, approver: Arc<dyn Approver>) -> Self {
        self.approver = Some(approver);
        self
    }

    /// Adds a guard to every rollout.
    #[must_use]
    pub fn with_guard(mut self, guard: Arc<dyn Guard>) -> Self {
        self.guards.push(guard);
        self
    }

    /// Sets where the metrics are that guards of the rollouts [query](MetricSource::Query). Without it a challenger whose rollout has
    /// such a guard is not deployed: [`advance`](Self::advance) says so.
    #[must_use]
    pub fn with_metrics(mut self, metrics: Arc<dyn MetricProvider>) -> Self {
        self.metrics = Some(metrics);
        self
    }

    /// Adds a trigger, which is shown every [signal](Self::signal).
    ///
    /// # Errors
    /// [`ErrorKind::AlreadyExists`] for a second one of one name.
    pub fn with_trigger(mut self, trigger: LoopTrigger) -> Result<Self> {
        if self.triggers.iter().any(|known| known.name() == trigger.name()) {
            let message = "there is a trigger of this name already";
            let error = Error::new(ErrorKind::AlreadyExists, "ClosedLoop::with_trigger", message);
            return Err(error.with("trigger", trigger.name()));
        }
        self.triggers.push(trigger);
        Ok(self)
    }

    /// Checks that every signal that the loop's triggers [look at](crate::retrain::Trigger::watches) or are
    /// [about](LoopTrigger::about) is one of these monitors', of a kind that the trigger looks at. The loop takes reports from whoever
    /// [shows](Self::signal) them and cannot know what there is: a trigger with a misspelt name would never find a reason. Call this
    /// once triggers and monitors are there, with all monitors whose reports the loop is shown.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] that names the trigger, the signal and the one that is near.
    pub fn check_monitors(&self, monitors: &[MonitorSpec]) -> Result<()> {
        self.triggers.iter().try_for_each(|trigger| trigger.check_monitors(monitors))
    }

    /// Sets another smoke test for the rollouts that begin from now on: one with the predictions of the next challenger.
    pub fn set_smoke_test(&mut self, smoke_test: SmokeTest) {
        self.smoke_test = smoke_test;
    }

    /// The state; without a journal, keep it after every call.
    pub fn state(&self) -> &LoopState {
        &self.state
    }

    /// How the rollout is doing, if there is one under way or the last one ended in this process.
    pub fn rollout(&self) -> Option<RolloutStatus> {
        self.rollout.as_ref().map(RolloutDriver::status)
    }

    /// Tells the guards of the rollout how candidate and champion do on labelled rows.
    pub fn report_performance(&mut self, performance: LabelledPerformance) {
        if let Some(rollout) = &mut self.rollout {
            rollout.report_performance(performance);
        }
    }

    /// Hands a guard of the rollout on a metric everything observed since the step began, as
    /// [`RolloutDriver::report_observations`] has it.
    pub fn report_observations(&mut self, guard: impl Into<String>, observations: Observations) {
        if let Some(rollout) = &mut self.rollout {
            rollout.report_observations(guard, observations);
        }
    }

    /// Shows a signal to every trigger, and what they find to the gates; a monitor's report also says which signals are well again.
    /// Whether training is to begin.
    ///
    /// The same signal again is known: by triggers, which count a window once, and by the gates.
    ///
    /// # Errors
    /// Those of the triggers, of [`RetrainGates::step`](crate::retrain::gates::RetrainGates::step), of the journal and of the
    /// audit log. After an error the same call may be made again.
    pub async fn signal(&mut self, signal: &Signal) -> Result<bool> {
        self.settle().await?;
        let cycle = self.state.cycle;
        self.measure(signal).await?;
        for trigger in self.triggers.clone() {
            self.look(&trigger, signal).await?;
        }
        Ok(self.state.cycle != cycle)
    }

    /// Hands a reason to the gates: one that somebody has, or another program. Whether training is to begin.
    ///
    /// # Errors
    /// As [`signal`](Self::signal).
    pub async fn cause(&mut self, cause: &RetrainCause) -> Result<bool> {
        self.settle().await?;
        let cycle = self.state.cycle;
        self.feed(LoopEvent::Signalled(GateInput::Cause(cause.clone()))).await?;
        Ok(self.state.cycle != cycle)
    }

    /// Tells the gates how a signal is now: where it is well again, it may be a reason again.
    ///
    /// # Errors
    /// As [`signal`](Self::signal).
    pub async fn measured(&mut self, level: &CauseLevel) -> Result<&LoopPhase> {
        self.feed(LoopEvent::Signalled(GateInput::Measured(level.clone()))).await
    }

    /// Begins a cycle past the gates if the decision is to retrain and the loop is at rest: for who has asked triggers and gates of
    /// their own. What is held back is recorded, with the reason. Whether training is to begin.
    ///
    /// # Errors
    /// Those of the journal and the audit log.
    pub async fn trigger(&mut self, decision: &TriggerDecision) -> Result<bool> {
        match &decision.outcome {
            TriggerOutcome::Fire(reason) => {
                self.settle().await?;
                let cycle = self.state.cycle;
                self.feed(LoopEvent::Triggered(reason.clone())).await?;
                Ok(self.state.cycle != cycle)
            }
            TriggerOutcome::Suppressed(reason) => {
                self.feed(LoopEvent::HeldBack(reason.clone())).await.map(|_| false)
            }
            TriggerOutcome::Quiet => Ok(false),
        }
    }

    /// Begins the cycle again that came to nothing ([`LoopPhase::GateFailed`]), because the machine was lost, say: past the gates, and
    /// with the [request](LoopState::request) and the [reason](LoopState::reason) it had, to which `why` is added. A cause that was
    /// seen already would be held back by the gates, and a cycle that is triggered anew would not say what it is for. Whether
    /// training is to begin; what is held back is recorded, with the reason.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] where the loop is in another phase; those of the journal and the audit log.
    pub async fn retry(&mut self, why: &str) -> Result<bool> {
        self.settle().await?;
        let cycle = self.state.cycle;
        self.feed(LoopEvent::Retried(why.to_owned())).await?;
        Ok(self.state.cycle != cycle)
    }

    /// A run trains.
    ///
    /// # Errors
    /// As [`step`]; those of the audit log.
    pub async fn training_started(&mut self, run: &RunId) -> Result<&LoopPhase> {
        self.feed(LoopEvent::TrainingStarted(run.clone())).await
    }

    /// It made a model, which is evaluated now.
    ///
    /// # Errors
    /// As [`step`]; those of the audit log.
    pub async fn training_finished(&mut self) -> Result<&LoopPhase> {
        self.feed(LoopEvent::TrainingFinished).await
    }

    /// It did not make a model; counts like one that failed the gate. The cause is not asked for by itself again: [`retry`](Self::retry).
    ///
    /// # Errors
    /// As [`step`]; those of the audit log.
    pub async fn training_failed(&mut self, reason: &str) -> Result<&LoopPhase> {
        self.feed(LoopEvent::TrainingFailed(reason.to_owned())).await
    }

    /// A gate judged a registered version. If it passed, the loop goes on at once as far as it can.
    ///
    /// While another version awaits approval a newer one that passed takes its place, in a cycle of its own, where
    /// [the loop is told so](super::LoopConfig::with_supersede).
    ///
    /// # Errors
    /// [`ErrorKind::Rejected`] for a newer version that did not pass while another one awaits approval;
    /// [`ErrorKind::InvalidInput`] for a version of another model; [`ErrorKind::Rejected`] where the loop has
    /// [rules for champions](super::LoopConfig::champion) and something serves: then it is
    /// [`judged_against`](Self::judged_against); as [`step`] and [`advance`](Self::advance).
    pub async fn judged(&mut self, version: &ModelVersion, gate: &GateDecision) -> Result<&LoopPhase> {
        self.judge(version, gate, None).await
    }

    /// The same for a challenger and the champion, whose reports are of the same rows: by the loop's rules the challenger takes
    /// its place, or the champion keeps it. A champion that stays is no failure of the gate.
    ///
    /// # Errors
    /// As [`judged`](Self::judged); [`ErrorKind::InvalidInput`] when the loop has no rules for champions, and as
    /// [`compare`](champion::compare); [`ErrorKind::Conflict`] for reports about something else than what serves and what was judged.
    pub async fn judged_against(
        &mut self,
        version: &ModelVersion,
        gate: &GateDecision,
        reports: (&EvaluationReport, &EvaluationReport),
    ) -> Result<&LoopPhase> {
        let Some(rules) = &self.state.config.champion else {
            let message = "the loop has no rules to compare by";
            return Err(Error::invalid("ClosedLoop::judged_against", "champion", message));
        };
        let (champion, challenger) = reports;
        let decision = champion::compare(champion, challenger, rules)?;
        let (champion, challenger) = (champion.model, challenger.model);
        self.judge(version, gate, Some(Box::new(Comparison { champion, challenger, decision }))).await
    }

    async fn judge(
        &mut self,
        version: &ModelVersion,
        gate: &GateDecision,
        comparison: Option<Box<Comparison>>,
    ) -> Result<&LoopPhase> {
        if version.spec.model != self.state.config.model {
            let error =
                Error::invalid("ClosedLoop::judged", "version", "is of another model than the loop's");
            return Err(error.with("model", &version.spec.model));
        }
        let (version, artifact) = (version.version, version.spec.artifact);
        let gate = Box::new(gate.clone());
        let judged = LoopEvent::Judged { version, artifact, gate, comparison };
        self.settle().await?;
        match &self.state.phase {
            LoopPhase::AwaitingApproval { challenger, .. }
                if self.state.config.supersede && version > challenger.version =>
            {
                let reason = format!("version {version} is newer and has passed the gate");
                self.require_better(&reason, &judged)?;
                self.feed(LoopEvent::Superseded(reason)).await?;
            }
            _ => {}
        }
        self.feed(judged).await
    }

    /// Refuses to give up a challenger that awaits approval for one that would not come as far.
    fn require_better(&self, reason: &str, judged: &LoopEvent) -> Result<()> {
        let now = self.backends.clock.now();
        let (without, _) = step(&self.state, &LoopEvent::Superseded(reason.to_owned()), now)?;
        let (then, _) = step(&without, judged, now)?;
        if matches!(then.phase, LoopPhase::AwaitingApproval { .. } | LoopPhase::ChallengerReady { .. }) {
            return Ok(());
        }
        let message = "it does not take the place of the version that awaits approval";
        let error = Error::new(ErrorKind::Rejected, "ClosedLoop::judged", message);
        Err(error.with("phase", then.phase))
    }

    /// Does everything that can be done now: lets reasons that waited through the gates, asks for the approval, drives the rollout on
    /// by one step, moves the alias.
    ///
    /// # Errors
    /// Those of the backends, where trying again may help: the same call again. [`ErrorKind::Conflict`] when the alias does not
    /// point to what the loop knows to serve; [`ErrorKind::Rejected`] for an approval that is not valid, where an approval is demanded
    /// and nobody is there to ask, and where a guard queries metrics and there is [no source](Self::with_metrics) of them: nothing is
    /// deployed then, and the call may be made again once there is.
    pub async fn advance(&mut self) -> Result<&LoopPhase> {
        self.feed(LoopEvent::Tick).await
    }

    /// Goes back to the version that served before, and refuses the content of this one from now on.
    ///
    /// # Errors
    /// [`ErrorKind::Rejected`] when there is no version to go back to, [`ErrorKind::Conflict`] while a cycle is under way; those
    /// of the backends, after which [`advance`](Self::advance) goes on with it.
    pub async fn revert(&mut self, reason: &str) -> Result<&LoopPhase> {
        self.feed(LoopEvent::RevertRequested(reason.to_owned())).await
    }

    /// Rolls back the rollout that is under way.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] when there is none; as [`advance`](Self::advance).
    pub async fn abort(&mut self, reason: &str) -> Result<&LoopPhase> {
        let (rollout, now) = self.under_way("ClosedLoop::abort").await?;
        let status = rollout.abort(reason, now).await;
        self.told(status).await
    }

    /// Holds the traffic of the rollout that is under way where it is; its guards go on judging, and a failure rolls back.
    ///
    /// # Errors
    /// As [`abort`](Self::abort).
    pub async fn pause(&mut self, reason: &str) -> Result<&LoopPhase> {
        let (rollout, now) = self.under_way("ClosedLoop::pause").await?;
        let status = rollout.pause(reason, now).await;
        self.told(status).await
    }

    /// Lets the rollout that is under way go on, whoever or whatever paused it; a step bakes anew.
    ///
    /// # Errors
    /// As [`abort`](Self::abort).
    pub async fn unpause(&mut self) -> Result<&LoopPhase> {
        let (rollout, now) = self.under_way("ClosedLoop::unpause").await?;
        let status = rollout.unpause(now).await;
        self.told(status).await
    }

    /// Ends a cycle whose challenger awaits approval, because something newer takes its place: for who knows before the loop does.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] when nothing awaits approval.
    pub async fn supersede(&mut self, reason: &str) -> Result<&LoopPhase> {
        self.feed(LoopEvent::Superseded(reason.to_owned())).await
    }

    /// Ends a cycle in which nothing was deployed yet.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] once a rollout is under way: [`abort`](Self::abort) it.
    pub async fn cancel(&mut self, reason: &str) -> Result<&LoopPhase> {
        self.feed(LoopEvent::Cancelled(reason.to_owned())).await
    }

    /// Somebody has looked: closes the circuit breaker, and ends a failure.
    ///
    /// # Errors
    /// Those of the audit log.
    pub async fn reset(&mut self, reason: &str) -> Result<&LoopPhase> {
        self.feed(LoopEvent::Reset(reason.to_owned())).await
    }

    /// Gives content that was rolled back another chance.
    ///
    /// # Errors
    /// Those of the audit log.
    pub async fn release(&mut self, artifact: &Digest, reason: &str) -> Result<&LoopPhase> {
        self.feed(LoopEvent::Released { artifact: *artifact, reason: reason.to_owned() }).await
    }

    // ── the machinery ────────────────────────────────────────────────────────────────────────────────────────────────

    async fn feed(&mut self, event: LoopEvent) -> Result<&LoopPhase> {
        self.feed_with(event, None).await
    }

    /// Feeds an event together with what a trigger remembers from then on.
    async fn feed_with(
        &mut self,
        event: LoopEvent,
        memory: Option<(&str, TriggerState)>,
    ) -> Result<&LoopPhase> {
        let result = self.run(event, memory).await;
        // Also when the run fails: what the journal has happened.
        let audited = self.flush_audit().await;
        result.and(audited)?;
        Ok(&self.state.phase)
    }

    async fn run(&mut self, event: LoopEvent, mut memory: Option<(&str, TriggerState)>) -> Result<()> {
        self.settle().await?;
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            let now = self.backends.clock.now();
            for effect in self.apply(event, memory.take(), now).await? {
                events.extend(self.execute(effect, now).await?);
            }
        }
        Ok(())
    }

    /// Steps, and writes down what happened, unless it changes nothing and there is nothing to record.
    async fn apply(
        &mut self,
        event: LoopEvent,
        memory: Option<(&str, TriggerState)>,
        now: Timestamp,
    ) -> Result<Vec<LoopEffect>> {
        let (mut state, effects) = step(&self.state, &event, now)?;
        if let Some((trigger, memory)) = memory {
            state.triggers.insert(trigger.to_owned(), memory);
        }
        let moved = std::mem::discriminant(&state.phase) != std::mem::discriminant(&self.state.phase);
        let phase = moved.then(|| state.phase.clone());
        let entry = LoopEntry::new(self.sequence + 1, now, event, phase, effects);
        let notes = notes(&entry, &state, self.journal.is_some());
        if state == self.state && notes.is_empty() {
            return Ok(entry.effects);
        }
        if let Some(journal) = &self.journal {
            self.uncertain = true;
            journal.append(&entry, &state).await?;
            self.uncertain = false;
        }
        self.unaudited.extend(notes.into_iter().map(|note| (entry.sequence, note)));
        (self.sequence, self.state) = (entry.sequence, state);
        Ok(entry.effects)
    }

    /// After a start, an answer of the journal that was lost, or an entry of somebody else: goes on from where the journal is.
    async fn settle(&mut self) -> Result<()> {
        let Some(journal) = self.journal.clone().filter(|_| self.uncertain) else {
            return Ok(());
        };
        if let Some(standing) = journal.standing(&self.state.id).await?
            && standing.sequence != self.sequence
        {
            let config = self.state.config.clone();
            check_same(&config, &standing.state)?;
            let unaudited = unaudited(&*journal, &standing.state, standing.sequence).await?;
            (self.sequence, self.state, self.unaudited) = (standing.sequence, standing.state, unaudited);
            self.state.config = config;
            self.rollout = None;
        }
        self.uncertain = false;
        Ok(())
    }

    /// Tells the gates which signals of a report are well again, of those that wait for it.
    async fn measure(&mut self, signal: &Signal) -> Result<()> {
        let Signal::Monitored(report) = signal else { return Ok(()) };
        for found in &report.signals {
            let level = level(report, found).filter(CauseLevel::is_recovered);
            let Some(level) = level.filter(|level| self.state.gates.disarmed.contains(&level.signal)) else {
                continue;
            };
            self.feed(LoopEvent::Signalled(GateInput::Measured(level))).await?;
        }
        Ok(())
    }

    async fn look(&mut self, trigger: &LoopTrigger, signal: &Signal) -> Result<()> {
        let (name, now) = (trigger.name(), self.backends.clock.now());
        let before = self.state.triggers.get(name).cloned().unwrap_or_default();
        let decision = trigger.trigger().evaluate(&before, signal, now)?;
        let event = match decision.outcome {
            TriggerOutcome::Fire(reason) => {
                LoopEvent::Signalled(GateInput::Cause(trigger.cause(signal, &reason, now)))
            }
            TriggerOutcome::Suppressed(reason) => LoopEvent::HeldBack(format!("{name}: {reason}")),
            // That it looked alone is kept with whatever happens next.
            TriggerOutcome::Quiet if same_but_for_the_time(&before, &decision.state) => {
                self.state.triggers.insert(name.to_owned(), decision.state);
                return Ok(());
            }
            TriggerOutcome::Quiet => LoopEvent::Looked(name.to_owned()),
        };
        self.feed_with(event, Some((name, decision.state))).await.map(drop)
    }

    async fn execute(&mut self, effect: LoopEffect, now: Timestamp) -> Result<Option<LoopEvent>> {
        match effect {
            LoopEffect::Train(_) => Ok(None),
            LoopEffect::TakeUp => Ok(Some(LoopEvent::Tick)),
            LoopEffect::RequestApproval(request) => self.ask(&request, now).await,
            LoopEffect::PlanRollout(challenger) => self.plan_rollout(&challenger).await.map(Some),
            LoopEffect::DriveRollout(plan) => {
                let status = self.rollout_of(&plan).await?.advance(now).await;
                self.ended(status)
            }
            LoopEffect::MoveAlias(challenger) => self.move_alias(&challenger).await.map(Some),
            LoopEffect::Revert { from, to } => self.take_back(&from, to.as_ref()).await.map(Some),
            // They are notes of the entry.
            LoopEffect::Recorded(_) | LoopEffect::Suppressed(_) | LoopEffect::Escalate(_) => Ok(None),
        }
    }

    async fn ask(&self, request: &ApprovalRequest, now: Timestamp) -> Result<Option<LoopEvent>> {
        match &self.approver {
            Some(approver) => approver.decide(request, now).await.map(LoopEvent::ApprovalGiven).map(Some),
            None => {
                let message = "the loop demands an approval but has nobody to ask";
                Err(Error::new(ErrorKind::Rejected, "ClosedLoop::advance", message))
            }
        }
    }

    async fn plan_rollout(&self, challenger: &Challenger) -> Result<LoopEvent> {
        let config = &self.state.config;
        let serving = self.state.serving.as_ref();
        self.require_metrics()?;
        self.require_alias(serving.map(|serving| serving.version)).await?;
        let name = DeploymentName::new(format!("v-{}", challenger.version))?;
        let (endpoint, model) = (config.endpoint.clone(), config.model.clone());
        let spec =
            DeploymentSpec::new(endpoint, name.clone(), model, challenger.version, config.actor.clone());
        let deployment = match self.backends.deployer.deploy(&spec).await {
            Ok(deployment) => deployment,
            Err(error) if again(&error) => return Err(error),
            Err(error) => return Ok(LoopEvent::DeployFailed(error.to_string())),
        };
        if deployment.artifact != challenger.artifact {
            let reason = format!("{} answers with other content than was judged", name);
            return Ok(LoopEvent::DeployFailed(reason));
        }
        let (endpoint, actor, options) =
            (config.endpoint.clone(), config.actor.clone(), config.rollout.clone());
        let plan = match serving {
            Some(stable) => RolloutPlan::canary(endpoint, stable.deployment.clone(), name, actor, options)?,
            None => RolloutPlan::first(endpoint, name, actor, options)?,
        };
        Ok(LoopEvent::RolloutPlanned(Box::new(plan.with_key(self.key("rollout", &[])))))
    }

    /// Refuses to begin a rollout with a guard that would have nobody to ask.
    fn require_metrics(&self) -> Result<()> {
        let guards = &self.state.config.rollout.metrics;
        let query = guards.iter().find(|guard| matches!(guard.source, MetricSource::Query(_)));
        match query.filter(|_| self.metrics.is_none()) {
            None => Ok(()),
            Some(guard) => {
                let message = "a guard of the rollout queries metrics, but the loop has no source to ask";
                let error = Error::new(ErrorKind::Rejected, "ClosedLoop::advance", message);
                Err(error.with("guard", &guard.name))
            }
        }
    }

    /// Refuses to begin when the alias is not at what the loop knows to serve: somebody else has promoted.
    async fn require_alias(&self, expected: Option<Version>) -> Result<()> {
        let found = self.alias().await?;
        if found == expected {
            return Ok(());
        }
        let shown = |version: Option<Version>| version.map_or("nothing".to_owned(), |v| v.to_string());
        let message = "the alias does not point to what the loop knows to serve";
        Err(Error::conflict("ClosedLoop::advance", message, shown(expected), shown(found))
            .with("alias", &self.state.config.alias))
    }

    async fn alias(&self) -> Result<Option<Version>> {
        let config = &self.state.config;
        let aliases = self.backends.registry.aliases(&config.model).await?;
        Ok(aliases.into_iter().find(|(alias, _)| *alias == config.alias).map(|(_, version)| version))
    }

    /// The driver of a plan: the one at work, or one that goes on from the journal.
    async fn rollout_of(&mut self, plan: &RolloutPlan) -> Result<&mut RolloutDriver> {
        let driver = match self.rollout.take() {
            Some(driver) if driver.state().plan == *plan => driver,
            _ => self.resume_rollout(plan).await?,
        };
        Ok(self.rollout.insert(driver))
    }

    /// The rollout that is under way, and what time it is.
    async fn under_way(&mut self, operation: &'static str) -> Result<(&mut RolloutDriver, Timestamp)> {
        self.settle().await?;
        let LoopPhase::RollingOut { plan, .. } = self.state.phase.clone() else {
            let error = Error::new(ErrorKind::Conflict, operation, "no rollout is under way");
            return Err(error.with("phase", &self.state.phase));
        };
        let now = self.backends.clock.now();
        Ok((self.rollout_of(&plan).await?, now))
    }

    /// Goes on with what the rollout under way came to after somebody told it something.
    async fn told(&mut self, status: Result<RolloutStatus>) -> Result<&LoopPhase> {
        match self.ended(status)? {
            Some(event) => self.feed(event).await,
            None => Ok(&self.state.phase),
        }
    }

    /// A driver that failed may not know whether its last entry was written down; the next one asks the journal.
    fn ended(&mut self, status: Result<RolloutStatus>) -> Result<Option<LoopEvent>> {
        match status {
            Ok(status) => Ok(ended(status)),
            Err(error) => {
                self.rollout = None;
                Err(error)
            }
        }
    }

    async fn resume_rollout(&self, plan: &RolloutPlan) -> Result<RolloutDriver> {
        let LoopBackends { deployer, journal, audit, .. } = self.backends.clone();
        let driver = RolloutDriver::resume(plan.clone(), self.smoke_test.clone(), deployer, journal).await?;
        let mut driver =
            self.guards.iter().cloned().fold(driver.with_audit(audit), RolloutDriver::with_guard);
        if let Some(metrics) = &self.metrics {
            driver = driver.with_metrics(metrics.clone());
        }
        Ok(match &self.approver {
            Some(approver) => driver.with_approver(approver.clone()),
            None => driver,
        })
    }

    async fn move_alias(&self, challenger: &Challenger) -> Result<LoopEvent> {
        let config = &self.state.config;
        let promotion = Promotion {
            key: self.key("promote", &[]),
            model: config.model.clone(),
            version: challenger.version,
            alias: config.alias.clone(),
            expected: self.state.serving.as_ref().map(|serving| serving.version),
            gate: challenger.gate.clone(),
            approval: challenger.approval.clone(),
            actor: config.actor.clone(),
        };
        match self.backends.registry.promote(&promotion).await {
            Ok(_) => Ok(LoopEvent::AliasMoved),
            Err(error) if again(&error) => Err(error),
            Err(error) => Ok(LoopEvent::AliasRefused(error.to_string())),
        }
    }

    async fn take_back(&self, from: &Serving, to: Option<&Serving>) -> Result<LoopEvent> {
        self.take_back_traffic(from, to).await?;
        self.take_back_alias(from, to).await?;
        Ok(LoopEvent::Reverted)
    }

    async fn take_back_traffic(&self, from: &Serving, to: Option<&Serving>) -> Result<()> {
        let (config, deployer) = (&self.state.config, &self.backends.deployer);
        let endpoint = deployer.endpoint(&config.endpoint).await?;
        // Without traffic it is back already, or somebody else has acted, who is not fought over it.
        if endpoint.traffic.share(&from.deployment) == Percent::ZERO {
            return Ok(());
        }
        let split = to.map_or_else(TrafficSplit::none, |to| TrafficSplit::all_to(to.deployment.clone()));
        let split = split.with_sticky(endpoint.traffic.sticky().cloned());
        let change = TrafficChange::new(config.endpoint.clone(), split, config.actor.clone());
        let mut change = change.with_key(self.key("revert.traffic", &endpoint.revision.to_le_bytes()));
        change.expected = deployer.capabilities().compare_and_set.then_some(endpoint.revision);
        deployer.set_traffic(&change).await.map(|_| ())
    }

    async fn take_back_alias(&self, from: &Serving, to: Option<&Serving>) -> Result<()> {
        if self.alias().await? != Some(from.version) {
            return Ok(());
        }
        let config = &self.state.config;
        let (model, alias, actor) = (config.model.clone(), config.alias.clone(), config.actor.clone());
        let mut change = AliasChange::new(model, alias, from.version, actor)
            .expecting(Some(from.version))
            .because(self.state.phase.to_string());
        (change.to, change.key) = (to.map(|to| to.version), self.key("revert.alias", &[]));
        self.backends.registry.set_alias(&change).await.map(|_| ())
    }

    /// The key of a call of this cycle: the same call has the same key, also after a restart.
    fn key(&self, what: &str, detail: &[u8]) -> IdempotencyKey {
        let hasher = Hasher::new("mlops.closed_loop/v1").field(self.state.id.as_str());
        let hasher = hasher.field(self.state.cycle.to_le_bytes()).field(what).field(detail);
        IdempotencyKey::from_digest(&hasher.finish())
    }

    /// The log may be down while traffic has to move: it is written last, and what is missing is made up for by the next call.
    async fn flush_audit(&mut self) -> Result<()> {
        while let Some((sequence, entry)) = self.unaudited.front() {
            self.backends.audit.append(entry).await?;
            let done = *sequence;
            self.unaudited.pop_front();
            if self.journal.is_some() && self.unaudited.front().is_none_or(|(next, _)| *next != done) {
                self.state.audited = done;
            }
        }
        Ok(())
    }
}

/// Refuses to go on with a loop over something else.
fn check_same(config: &LoopConfig, found: &LoopState) -> Result<()> {
    let known = &found.config;
    for (field, same, value) in [
        ("model", config.model == known.model, known.model.as_str()),
        ("alias", config.alias == known.alias, known.alias.as_str()),
        ("endpoint", config.endpoint == known.endpoint, known.endpoint.as_str()),
    ] {
        if !same {
            let message = "the journal holds a loop over another one under this id";
            return Err(Error::invalid("ClosedLoop::resume", field, message).with("found", value));
        }
    }
    Ok(())
}

/// What is to be recorded about the entries up to `last` that may not be in the audit log yet.
async fn unaudited(
    journal: &dyn LoopJournal,
    state: &LoopState,
    last: u64,
) -> Result<VecDeque<(u64, AuditEntry)>> {
    let (mut found, mut after) = (VecDeque::new(), state.audited);
    while after < last {
        let entries = journal.entries(&state.id, after, ENTRIES).await?;
        let Some(newest) = entries.last().map(|entry| entry.sequence).filter(|newest| *newest > after) else {
            let message = "the journal lacks entries";
            let error = Error::new(ErrorKind::Corrupt, "ClosedLoop::resume", message);
            return Err(error.with("after", after).with("last", last));
        };
        after = newest;
        let notes = |entry: &LoopEntry| {
            let sequence = entry.sequence;
            notes(entry, state, true).into_iter().map(move |note| (sequence, note))
        };
        found.extend(entries.iter().flat_map(notes));
    }
    Ok(found)
}

fn same_but_for_the_time(before: &TriggerState, after: &TriggerState) -> bool {
    let timeless = |state: &TriggerState| TriggerState { last_seen: None, ..state.clone() };
    before.last_seen.is_some() && timeless(before) == timeless(after)
}

/// Whether the same call may be made again: it has its key.
fn again(error: &Error) -> bool {
    error.is_retryable() || error.kind() == ErrorKind::UnknownOutcome
}

fn ended(status: RolloutStatus) -> Option<LoopEvent> {
    match status.phase {
        Phase::Promoted => Some(LoopEvent::RolloutPromoted),
        Phase::RolledBack { cause } => Some(LoopEvent::RolloutRolledBack(cause)),
        Phase::Failed { reason } => Some(LoopEvent::RolloutFailed(reason)),
        _ => None,
    }
}
