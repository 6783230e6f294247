//! The loop in motion: carries out what the rules say through registry, deployer, approver and audit log.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use super::{Challenger, LoopEffect, LoopEvent, LoopPhase, LoopState, Serving, step};
use crate::deploy::rollout::{
    Guard, LabelledPerformance, Phase, RolloutDriver, RolloutJournal, RolloutPlan, RolloutStatus,
};
use crate::deploy::{Deployer, DeploymentSpec, SmokeTest, TrafficChange, TrafficSplit};
use crate::error::{Error, ErrorKind, Result};
use crate::evaluation::GateDecision;
use crate::governance::{ApprovalRequest, Approver, AuditEntry, AuditLog};
use crate::hash::{Digest, Hasher};
use crate::id::{DeploymentName, IdempotencyKey, Percent, RunId, Version};
use crate::registry::{AliasChange, ModelRegistry, ModelVersion, Promotion};
use crate::retrain::{TriggerDecision, TriggerOutcome};
use crate::time::{Clock, Timestamp};

/// What a loop works through.
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

/// A loop from a reason to retrain to the version that serves, and back.
///
/// It trains nothing itself: its user does, and tells it ([`training_started`](Self::training_started),
/// [`training_finished`](Self::training_finished), [`judged`](Self::judged)). From the gate's decision on it works alone, one
/// [`advance`](Self::advance) after the other, between which the candidate serves its share.
///
/// # Order
/// 1. The **gate** decides about exactly this content; content that was rolled back before is refused.
/// 2. The **approval**, where it is demanded, is of that decision, before the challenger gets any traffic.
/// 3. The **rollout** moves the traffic. The alias stays: until the end, the champion is what most callers get, and a rollback
///    has no alias to move.
/// 4. The **alias** follows by compare-and-set when the challenger has all traffic. If the registry refuses, the traffic goes
///    back: what is called the champion is what serves.
/// 5. A **revert** later moves traffic first, for the callers' sake, then the alias, each to where it was before.
///
/// Every change of phase is recorded in the audit log, reasons that were held back too. Keep [`state`](Self::state) after every
/// call; a loop made from a kept state does again what it may or may not have done, under the same keys.
///
/// ```
/// use mlops_core::retrain::closed_loop::{ClosedLoop, LoopBackends, LoopState};
/// # use mlops_core::deploy::SmokeTest;
/// # use mlops_core::evaluation::GateDecision;
/// # use mlops_core::registry::ModelVersion;
/// # use mlops_core::retrain::TriggerDecision;
/// # use mlops_core::RunId;
/// async fn close_the_loop(
///     state: LoopState,
///     backends: LoopBackends,
///     smoke_test: SmokeTest,
///     decision: TriggerDecision,
///     train: impl AsyncFn(&RunId) -> (ModelVersion, GateDecision),
///     send_traffic: impl AsyncFn(),
/// ) -> mlops_core::Result<()> {
///     let mut closed_loop = ClosedLoop::new(state, backends, smoke_test)?;
///     if !closed_loop.trigger(&decision).await? {
///         return Ok(());
///     }
///     let run = RunId::generate();
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
    rollout: Option<RolloutDriver>,
    unaudited: VecDeque<AuditEntry>,
}

impl fmt::Debug for ClosedLoop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClosedLoop")
            .field("state", &self.state)
            .field("backends", &self.backends)
            .field("guards", &self.guards)
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
            rollout: None,
            unaudited: VecDeque::new(),
        })
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

    /// Sets another smoke test for the rollouts that begin from now on: one with the predictions of the next challenger.
    pub fn set_smoke_test(&mut self, smoke_test: SmokeTest) {
        self.smoke_test = smoke_test;
    }

    /// The state; keep it after every call.
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

    /// Begins a cycle if the decision is to retrain and the loop is at rest. What is held back is recorded, with the reason.
    /// Whether training is to begin.
    ///
    /// # Errors
    /// Those of the audit log.
    pub async fn trigger(&mut self, decision: &TriggerDecision) -> Result<bool> {
        match &decision.outcome {
            TriggerOutcome::Fire(reason) => {
                let cycle = self.state.cycle;
                self.feed(LoopEvent::Triggered(reason.clone())).await?;
                Ok(self.state.cycle != cycle)
            }
            TriggerOutcome::Suppressed(reason) => {
                self.suppressed(reason);
                self.flush_audit().await.map(|()| false)
            }
            TriggerOutcome::Quiet => Ok(false),
        }
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

    /// It did not make a model; counts like one that failed the gate.
    ///
    /// # Errors
    /// As [`step`]; those of the audit log.
    pub async fn training_failed(&mut self, reason: &str) -> Result<&LoopPhase> {
        self.feed(LoopEvent::TrainingFailed(reason.to_owned())).await
    }

    /// A gate judged a registered version. If it passed, the loop goes on at once as far as it can.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for a version of another model; as [`step`] and [`advance`](Self::advance).
    pub async fn judged(&mut self, version: &ModelVersion, gate: &GateDecision) -> Result<&LoopPhase> {
        if version.spec.model != self.state.config.model {
            let error =
                Error::invalid("ClosedLoop::judged", "version", "is of another model than the loop's");
            return Err(error.with("model", &version.spec.model));
        }
        let (version, artifact) = (version.version, version.spec.artifact);
        self.feed(LoopEvent::Judged { version, artifact, gate: Box::new(gate.clone()) }).await
    }

    /// Does everything that can be done now: asks for the approval, drives the rollout on by one step, moves the alias.
    ///
    /// # Errors
    /// Those of the backends, where trying again may help: the same call again. [`ErrorKind::Conflict`] when the alias does not
    /// point to what the loop knows to serve; [`ErrorKind::Rejected`] for an approval that is not valid.
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
        let LoopPhase::RollingOut { plan, .. } = self.state.phase.clone() else {
            let error = Error::new(ErrorKind::Conflict, "ClosedLoop::abort", "no rollout is under way");
            return Err(error.with("phase", &self.state.phase));
        };
        let now = self.backends.clock.now();
        let status = self.rollout_of(&plan).await?.abort(reason, now).await;
        match self.ended(status)? {
            Some(event) => self.feed(event).await,
            None => Ok(&self.state.phase),
        }
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
        self.note("retrain.reset", reason.to_owned(), None);
        self.feed(LoopEvent::Reset).await
    }

    /// Gives content that was rolled back another chance.
    ///
    /// # Errors
    /// Those of the audit log.
    pub async fn release(&mut self, artifact: &Digest, reason: &str) -> Result<&LoopPhase> {
        self.note("retrain.release", reason.to_owned(), Some(*artifact));
        self.feed(LoopEvent::Released(*artifact)).await
    }

    // ── the machinery ────────────────────────────────────────────────────────────────────────────────────────────────

    async fn feed(&mut self, event: LoopEvent) -> Result<&LoopPhase> {
        let result = self.run(event).await;
        let audited = self.flush_audit().await;
        result.and(audited)?;
        Ok(&self.state.phase)
    }

    async fn run(&mut self, event: LoopEvent) -> Result<()> {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            let now = self.backends.clock.now();
            let (state, effects) = step(&self.state, &event, now)?;
            let moved = std::mem::discriminant(&state.phase) != std::mem::discriminant(&self.state.phase);
            self.state = state;
            if moved {
                let (action, detail) = (self.state.phase.action(), self.state.phase.to_string());
                self.note(action, detail, None);
            }
            for effect in effects {
                events.extend(self.execute(effect, now).await?);
            }
        }
        Ok(())
    }

    async fn execute(&mut self, effect: LoopEffect, now: Timestamp) -> Result<Option<LoopEvent>> {
        match effect {
            LoopEffect::Train(_) => Ok(None),
            LoopEffect::RequestApproval(request) => self.ask(&request, now).await,
            LoopEffect::PlanRollout(challenger) => self.plan_rollout(&challenger).await.map(Some),
            LoopEffect::DriveRollout(plan) => {
                let status = self.rollout_of(&plan).await?.advance(now).await;
                self.ended(status)
            }
            LoopEffect::MoveAlias(challenger) => self.move_alias(&challenger).await.map(Some),
            LoopEffect::Revert { from, to } => self.take_back(&from, to.as_ref()).await.map(Some),
            LoopEffect::Suppressed(reason) => {
                self.suppressed(&reason);
                Ok(None)
            }
            LoopEffect::Escalate(reason) => {
                self.note("retrain.escalate", reason, None);
                Ok(None)
            }
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
        let driver = self.guards.iter().cloned().fold(driver.with_audit(audit), RolloutDriver::with_guard);
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
        let change = TrafficChange {
            key: self.key("revert.traffic", &endpoint.revision.to_le_bytes()),
            endpoint: config.endpoint.clone(),
            split: to.map_or_else(TrafficSplit::none, |to| TrafficSplit::all_to(to.deployment.clone())),
            expected: deployer.capabilities().compare_and_set.then_some(endpoint.revision),
            actor: config.actor.clone(),
        };
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

    fn suppressed(&mut self, reason: &str) {
        self.note("retrain.suppress", reason.to_owned(), None);
    }

    fn note(&mut self, action: &str, detail: String, digest: Option<Digest>) {
        let config = &self.state.config;
        let mut entry = AuditEntry::new(config.actor.clone(), action, format!("model/{}", config.model));
        (entry.detail, entry.digest) = (detail, digest);
        self.unaudited.push_back(entry);
    }

    async fn flush_audit(&mut self) -> Result<()> {
        while let Some(entry) = self.unaudited.front() {
            self.backends.audit.append(entry).await?;
            self.unaudited.pop_front();
        }
        Ok(())
    }
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
