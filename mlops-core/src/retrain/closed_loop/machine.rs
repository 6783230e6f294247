//! The rules: from a state and an event to the next state and what is to be done.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::trigger::clip;
use super::{Challenger, Comparison, LoopPhase, LoopState, Serving};
use crate::deploy::rollout::{Cause, RolloutPlan};
use crate::error::{Error, ErrorKind, Result};
use crate::evaluation::GateDecision;
use crate::governance::{Approval, ApprovalDecision, ApprovalRequest};
use crate::hash::{Digest, digest_json};
use crate::id::{RunId, Version};
use crate::retrain::gates::{Gate, GateInput, GateOutcome, GateRecord, RetrainRequest};
use crate::time::Timestamp;

/// What happened.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LoopEvent {
    /// A reason to retrain, or a measurement: the gates decide.
    Signalled(GateInput),
    /// A trigger looked and found nothing.
    Looked(String),
    /// A trigger found a reason and held it back itself.
    HeldBack(String),
    /// Somebody wants to retrain, past the gates, for this reason.
    Triggered(String),
    /// Somebody wants the cycle that came to nothing again, for the reason and the request it had, and says why.
    Retried(String),
    /// A run trains.
    TrainingStarted(RunId),
    /// It made a model.
    TrainingFinished,
    /// It did not, for this reason.
    TrainingFailed(String),
    /// A gate judged what the run made.
    Judged {
        /// The version.
        version: Version,
        /// The digest of its content.
        artifact: Digest,
        /// The decision.
        gate: Box<GateDecision>,
        /// How it compares with the champion, where that was asked.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        comparison: Option<Box<Comparison>>,
    },
    /// Somebody answered the request for approval.
    ApprovalGiven(Approval),
    /// The challenger is deployed, and its rollout planned.
    RolloutPlanned(Box<RolloutPlan>),
    /// The challenger could not be deployed, for this reason, and trying again will not help.
    DeployFailed(String),
    /// The rollout gave the challenger all traffic.
    RolloutPromoted,
    /// The rollout was rolled back.
    RolloutRolledBack(Cause),
    /// The rollout could not be rolled back.
    RolloutFailed(String),
    /// The alias points to the challenger.
    AliasMoved,
    /// The registry refused to move the alias, for this reason.
    AliasRefused(String),
    /// Somebody, or a monitor, wants the version before back, for this reason.
    RevertRequested(String),
    /// Traffic and alias are back.
    Reverted,
    /// Something newer takes the place of the challenger that awaits approval, for this reason.
    Superseded(String),
    /// Somebody ends the cycle before anything was deployed, for this reason.
    Cancelled(String),
    /// Somebody has looked, and says this: the circuit breaker is closed and a failure forgotten.
    Reset(String),
    /// Somebody gives content another chance.
    Released {
        /// The digest of the content.
        artifact: Digest,
        /// Why.
        reason: String,
    },
    /// Time passed.
    Tick,
}

/// Something to be done. All of it may be done twice.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LoopEffect {
    /// Train, for this reason.
    Train(String),
    /// Take up the reasons that wait: the cycle that held them back is superseded.
    TakeUp,
    /// Ask for approval.
    RequestApproval(ApprovalRequest),
    /// Deploy the challenger without traffic and plan its rollout.
    PlanRollout(Box<Challenger>),
    /// Drive the rollout on.
    DriveRollout(Box<RolloutPlan>),
    /// Move the alias to the challenger.
    MoveAlias(Box<Challenger>),
    /// Move traffic, then the alias, back.
    Revert {
        /// What has them.
        from: Serving,
        /// What shall have them.
        to: Option<Serving>,
    },
    /// Record what the gates decided about a reason to retrain.
    Recorded(Box<GateRecord>),
    /// Record that a reason to retrain was held back, and why.
    Suppressed(String),
    /// Call somebody, for this reason.
    Escalate(String),
}

/// The next state of a closed loop, and what is to be done.
///
/// Pure, like the rollout's [`step`](crate::deploy::rollout::step). A [`LoopEvent::Tick`] gives what is still to be done in a phase.
///
/// # Errors
/// [`ErrorKind::Conflict`] for an event that has no place in the phase the loop is in, an approval or a decision about something
/// else; [`ErrorKind::Rejected`] for an approval that is not valid, or when there is no version to go back to; as
/// [`ApproverKeys::verify`](crate::governance::ApproverKeys::verify) where answers must be signed. The state stays.
///
/// ```
/// use mlops_core::retrain::closed_loop::{LoopConfig, LoopEffect, LoopEvent, LoopState, step};
/// use mlops_core::{ActorId, Alias, EndpointName, ModelName};
///
/// let (model, alias) = (ModelName::new("diabetes")?, Alias::new("champion")?);
/// let config = LoopConfig::new(model, alias, EndpointName::new("diabetes")?, ActorId::new("retraining")?);
/// let now = "2026-01-01T00:00:00Z".parse()?;
/// let (state, effects) = step(&LoopState::new(config, None), &LoopEvent::Triggered("drift".into()), now)?;
/// assert_eq!(effects, [LoopEffect::Train("drift".into())]);
/// // One cycle at a time.
/// let (same, effects) = step(&state, &LoopEvent::Triggered("more drift".into()), now)?;
/// assert_eq!(same, state);
/// assert!(matches!(&effects[..], [LoopEffect::Suppressed(_)]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn step(state: &LoopState, event: &LoopEvent, now: Timestamp) -> Result<(LoopState, Vec<LoopEffect>)> {
    state.check()?;
    let mut machine = Machine { state: state.clone(), effects: Vec::new(), now };
    machine.handle(event)?;
    Ok((machine.state, machine.effects))
}

struct Machine {
    state: LoopState,
    effects: Vec<LoopEffect>,
    now: Timestamp,
}

impl Machine {
    fn handle(&mut self, event: &LoopEvent) -> Result<()> {
        match event {
            LoopEvent::Signalled(input) => self.signalled(input),
            LoopEvent::Looked(_) => Ok(()),
            LoopEvent::HeldBack(reason) => {
                self.effects.push(LoopEffect::Suppressed(reason.clone()));
                Ok(())
            }
            LoopEvent::Triggered(reason) => self.triggered(reason),
            LoopEvent::Retried(why) => self.retried(why),
            LoopEvent::TrainingStarted(run) => self.training_started(run),
            LoopEvent::TrainingFinished => self.training_finished(),
            LoopEvent::TrainingFailed(reason) => self.training_failed(reason),
            LoopEvent::Judged { version, artifact, gate, comparison } => {
                self.judged(*version, *artifact, gate, comparison.as_deref())
            }
            LoopEvent::ApprovalGiven(approval) => self.approval_given(approval),
            LoopEvent::RolloutPlanned(plan) => self.rollout_planned(plan),
            LoopEvent::DeployFailed(reason) => self.deploy_failed(reason),
            LoopEvent::RolloutPromoted => self.rollout_promoted(),
            LoopEvent::RolloutRolledBack(cause) => self.rollout_rolled_back(cause),
            LoopEvent::RolloutFailed(reason) => self.rollout_failed(reason),
            LoopEvent::AliasMoved => self.alias_moved(),
            LoopEvent::AliasRefused(reason) => self.alias_refused(reason),
            LoopEvent::RevertRequested(reason) => self.revert_requested(reason),
            LoopEvent::Reverted => self.reverted(),
            LoopEvent::Superseded(reason) => self.superseded(reason),
            LoopEvent::Cancelled(reason) => self.cancelled(reason),
            LoopEvent::Reset(_) => self.reset(),
            LoopEvent::Released { artifact, .. } => {
                self.state.quarantine.remove(artifact);
                Ok(())
            }
            LoopEvent::Tick => self.tick(),
        }
    }

    // ── from a reason to a challenger ────────────────────────────────────────────────────────────────────────────────

    /// What comes while somebody must look is dropped; everything else is for the gates.
    fn signalled(&mut self, input: &GateInput) -> Result<()> {
        let (GateInput::Cause(cause), Some(reason)) = (input, self.state.waits_for_somebody()) else {
            return self.ask_gates_or_supersede(input);
        };
        cause.check()?;
        let outcome = GateOutcome::Suppressed { gate: Gate::Breaker, reason };
        let record = GateRecord { at: self.now, causes: vec![cause.clone()], outcome };
        self.effects.push(LoopEffect::Recorded(Box::new(record)));
        Ok(())
    }

    fn may_begin(&self) -> bool {
        self.state.phase.is_at_rest() && self.state.waits_for_somebody().is_none()
    }

    fn ask_gates(&mut self, input: &GateInput) -> Result<()> {
        let running = u32::from(!self.may_begin());
        let rules = self.state.config.rules();
        let decided = rules.step(&self.state.gates, input, running, self.now)?;
        self.state.gates = decided.state;
        for record in decided.records {
            let request = record.request().map(|request| (clip(&record.to_string(), 4_096), request.clone()));
            self.effects.push(LoopEffect::Recorded(Box::new(record)));
            if let Some((reason, request)) = request {
                self.begin(reason, Some(request));
            }
        }
        Ok(())
    }

    /// A reason that from now on nothing but the cycle under way holds back takes the place of a challenger that awaits approval,
    /// where the loop is told so. One that waited before there was a challenger does not: its turn comes.
    fn ask_gates_or_supersede(&mut self, input: &GateInput) -> Result<()> {
        let held = |state: &LoopState| state.gates.deferred_by == Some(Gate::Concurrency);
        let (was_held, newest) = (held(&self.state), self.state.gates.waiting.last().cloned());
        self.ask_gates(input)?;
        let LoopPhase::AwaitingApproval { challenger, .. } = &self.state.phase else { return Ok(()) };
        let Some(cause) = self.state.gates.waiting.last().filter(|_| held(&self.state)) else {
            return Ok(());
        };
        if self.state.config.supersede && (!was_held || newest.as_ref() != Some(cause)) {
            let reason = format!("there is a newer reason to retrain: {}", clip(&cause.reason, 4_096));
            self.state.phase = LoopPhase::Superseded { version: challenger.version, reason };
            self.effects.push(LoopEffect::TakeUp);
        }
        Ok(())
    }

    fn triggered(&mut self, reason: &str) -> Result<()> {
        let held = match self.state.waits_for_somebody() {
            Some(held) => Some(held),
            None if self.state.phase.is_at_rest() => None,
            None => Some(format!("a cycle is under way: {}", self.state.phase)),
        };
        match held {
            Some(held) => {
                self.effects.push(LoopEffect::Suppressed(format!("{held}; held back: {reason}")));
            }
            None => self.begin(reason.to_owned(), None),
        }
        Ok(())
    }

    fn retried(&mut self, why: &str) -> Result<()> {
        if !matches!(self.state.phase, LoopPhase::GateFailed { .. }) {
            return self.out_of_place("a retry was asked for");
        }
        if let Some(held) = self.state.waits_for_somebody() {
            self.effects.push(LoopEffect::Suppressed(format!("{held}; held back: a retry, {why}")));
            return Ok(());
        }
        let first = self.state.reason.as_deref().unwrap_or("the reason is not known");
        let reason = clip(&format!("{first}; again: {why}"), 4_096);
        let request = self.state.request.clone();
        self.begin(reason, request);
        Ok(())
    }

    fn begin(&mut self, reason: String, request: Option<RetrainRequest>) {
        self.state.cycle += 1;
        self.state.request = request;
        self.state.reason = Some(reason.clone());
        self.state.phase = LoopPhase::Requested { reason: reason.clone() };
        self.effects.push(LoopEffect::Train(reason));
    }

    fn training_started(&mut self, run: &RunId) -> Result<()> {
        match &self.state.phase {
            LoopPhase::Requested { .. } => {
                self.state.phase = LoopPhase::Training { run: run.clone() };
                Ok(())
            }
            LoopPhase::Training { run: known } if known == run => Ok(()),
            _ => self.out_of_place("training started"),
        }
    }

    fn training_finished(&mut self) -> Result<()> {
        match &self.state.phase {
            LoopPhase::Training { run } => {
                self.state.phase = LoopPhase::Evaluating { run: run.clone() };
                Ok(())
            }
            LoopPhase::Evaluating { .. } => Ok(()),
            _ => self.out_of_place("training finished"),
        }
    }

    fn training_failed(&mut self, reason: &str) -> Result<()> {
        match &self.state.phase {
            LoopPhase::Requested { .. } | LoopPhase::Training { .. } | LoopPhase::Evaluating { .. } => {
                self.gate_failed(format!("training failed: {reason}"));
                Ok(())
            }
            LoopPhase::GateFailed { .. } => Ok(()),
            _ => self.out_of_place("training failed"),
        }
    }

    fn judged(
        &mut self,
        version: Version,
        artifact: Digest,
        gate: &GateDecision,
        comparison: Option<&Comparison>,
    ) -> Result<()> {
        let newer =
            matches!(self.state.phase, LoopPhase::Superseded { version: before, .. } if version > before);
        if newer {
            // What took the place of the other one is a cycle of its own, past the gates.
            (self.state.cycle, self.state.request) = (self.state.cycle + 1, None);
            self.state.reason =
                Some(format!("version {version} takes the place of one that awaited approval"));
        } else if !matches!(self.state.phase, LoopPhase::Evaluating { .. }) {
            let known = |c: &Challenger| c.version == version && c.artifact == artifact && c.gate == *gate;
            return match &self.state.phase {
                LoopPhase::AwaitingApproval { challenger, .. }
                | LoopPhase::ChallengerReady { challenger }
                    if known(challenger) =>
                {
                    Ok(())
                }
                _ => self.out_of_place("a gate judged"),
            };
        }
        if self.state.quarantine.contains(&artifact) {
            self.gate_failed(format!("version {version} has the content of one that was rolled back"));
            return Ok(());
        }
        match gate.require_pass(&artifact) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::Rejected => {
                self.gate_failed(error.to_string());
                return Ok(());
            }
            Err(error) => return Err(error),
        }
        let worse = self.compared(&artifact, gate, comparison)?;
        self.state.gate_failures = 0;
        if let Some(reason) = worse {
            return self.decline(version, reason);
        }
        let challenger = Box::new(Challenger { version, artifact, gate: gate.clone(), approval: None });
        if self.state.config.approval { self.await_approval(challenger) } else { self.ready(challenger) }
    }

    /// Why the champion keeps its place, if it does.
    fn compared(
        &self,
        artifact: &Digest,
        gate: &GateDecision,
        comparison: Option<&Comparison>,
    ) -> Result<Option<String>> {
        const OP: &str = "closed_loop::step";
        let (Some(rules), Some(serving)) = (&self.state.config.champion, &self.state.serving) else {
            return Ok(None);
        };
        let Some(comparison) = comparison else {
            let message = "the loop asks for a comparison with the champion, and there is none";
            return Err(Error::new(ErrorKind::Rejected, OP, message));
        };
        let decision = &comparison.decision;
        for (part, expected, found) in [
            ("champion", serving.artifact, comparison.champion),
            ("challenger", *artifact, comparison.challenger),
            ("report", gate.report, decision.challenger_report),
            ("rules", digest_json(rules)?, decision.rules),
        ] {
            if expected != found {
                let message = "the comparison is about something else";
                return Err(Error::conflict(OP, message, expected, found).with("part", part));
            }
        }
        let keeps = || format!("the champion keeps its place: {decision}");
        Ok((!decision.is_promotion()).then(keeps))
    }

    fn gate_failed(&mut self, reason: String) {
        self.state.phase = LoopPhase::GateFailed { reason: reason.clone() };
        self.state.gate_failures = self.state.gate_failures.saturating_add(1);
        let failures = self.state.gate_failures;
        if failures >= self.state.config.max_gate_failures {
            self.state.breaker_open = true;
            let message = format!("{failures} challengers in a row failed the gate; the last: {reason}");
            self.effects.push(LoopEffect::Escalate(message));
        }
    }

    // ── from a challenger to the champion ────────────────────────────────────────────────────────────────────────────

    fn await_approval(&mut self, challenger: Box<Challenger>) -> Result<()> {
        let config = &self.state.config;
        let until = later(self.now, config.approval_window);
        let request = ApprovalRequest {
            subject: challenger.gate.digest()?,
            question: format!(
                "Make {}:{} the {} and let it serve at {}?",
                config.model, challenger.version, config.alias, config.endpoint
            ),
            requester: config.actor.clone(),
            // It has to count still when the alias moves, after a rollout that begins as late as it may.
            expires_at: later(later(until, config.rollout.deadline), config.rollout.deadline),
        };
        self.effects.push(LoopEffect::RequestApproval(request.clone()));
        self.state.phase = LoopPhase::AwaitingApproval { challenger, request, until };
        Ok(())
    }

    fn approval_given(&mut self, approval: &Approval) -> Result<()> {
        let LoopPhase::AwaitingApproval { challenger, request, until } = &self.state.phase else {
            return Ok(());
        };
        let until = *until;
        if approval.subject != request.subject {
            let message = "the approval is about something else";
            return Err(Error::conflict("closed_loop::step", message, request.subject, approval.subject));
        }
        if approval.decision != ApprovalDecision::Pending {
            self.state.config.approver_keys.verify(approval)?;
        }
        let mut challenger = challenger.clone();
        match approval.decision {
            ApprovalDecision::Pending => Ok(()),
            ApprovalDecision::Rejected => self
                .decline(challenger.version, format!("{} refused: {}", approval.approver, approval.comment)),
            ApprovalDecision::Approved if self.now >= until.min(approval.expires_at) => {
                self.expire(challenger.version, until)
            }
            ApprovalDecision::Approved => {
                approval.require(&request.subject, self.now)?;
                challenger.approval = Some(approval.clone());
                self.ready(challenger)
            }
        }
    }

    fn ready(&mut self, challenger: Box<Challenger>) -> Result<()> {
        self.effects.push(LoopEffect::PlanRollout(challenger.clone()));
        self.state.phase = LoopPhase::ChallengerReady { challenger };
        Ok(())
    }

    fn rollout_planned(&mut self, plan: &RolloutPlan) -> Result<()> {
        let LoopPhase::ChallengerReady { challenger } = &self.state.phase else {
            return Ok(());
        };
        let plan = Box::new(plan.clone());
        self.effects.push(LoopEffect::DriveRollout(plan.clone()));
        self.state.phase = LoopPhase::RollingOut { challenger: challenger.clone(), plan };
        Ok(())
    }

    fn deploy_failed(&mut self, reason: &str) -> Result<()> {
        match &self.state.phase {
            LoopPhase::ChallengerReady { challenger } => {
                self.decline(challenger.version, format!("it could not be deployed: {reason}"))
            }
            _ => Ok(()),
        }
    }

    fn decline(&mut self, version: Version, reason: String) -> Result<()> {
        self.state.phase = LoopPhase::Declined { version, reason };
        Ok(())
    }

    fn expire(&mut self, version: Version, until: Timestamp) -> Result<()> {
        self.state.phase = LoopPhase::Expired { version, until };
        Ok(())
    }

    fn superseded(&mut self, reason: &str) -> Result<()> {
        match &self.state.phase {
            LoopPhase::AwaitingApproval { challenger, .. } => {
                let (version, reason) = (challenger.version, reason.to_owned());
                self.state.phase = LoopPhase::Superseded { version, reason };
                Ok(())
            }
            LoopPhase::Superseded { .. } => Ok(()),
            _ => self.out_of_place("a challenger was superseded"),
        }
    }

    fn rollout_promoted(&mut self) -> Result<()> {
        let LoopPhase::RollingOut { challenger, plan } = &self.state.phase else {
            return Ok(());
        };
        self.effects.push(LoopEffect::MoveAlias(challenger.clone()));
        self.state.phase =
            LoopPhase::Promoting { challenger: challenger.clone(), deployment: plan.candidate().clone() };
        Ok(())
    }

    fn rollout_rolled_back(&mut self, cause: &Cause) -> Result<()> {
        let LoopPhase::RollingOut { challenger, .. } = &self.state.phase else {
            return Ok(());
        };
        let (version, artifact) = (challenger.version, challenger.artifact);
        // What failed around the model is not held against it.
        if !matches!(cause, Cause::Effect(_)) {
            self.state.quarantine.insert(artifact);
        }
        self.state.phase = LoopPhase::RolledBack { version, reason: cause.to_string() };
        Ok(())
    }

    fn rollout_failed(&mut self, reason: &str) -> Result<()> {
        if matches!(self.state.phase, LoopPhase::RollingOut { .. }) {
            self.effects.push(LoopEffect::Escalate(reason.to_owned()));
            self.state.phase = LoopPhase::Failed { reason: reason.to_owned() };
        }
        Ok(())
    }

    fn alias_moved(&mut self) -> Result<()> {
        let Some(now_serving) = self.promoting() else {
            return Ok(());
        };
        self.state.phase = LoopPhase::Promoted { version: now_serving.version };
        self.state.previous = self.state.serving.replace(now_serving);
        Ok(())
    }

    fn alias_refused(&mut self, reason: &str) -> Result<()> {
        match self.promoting() {
            Some(from) => {
                let to = self.state.serving.clone();
                self.revert(from, to, format!("the alias could not be moved: {reason}"), false)
            }
            None => Ok(()),
        }
    }

    /// The challenger that has all traffic, as what would serve.
    fn promoting(&self) -> Option<Serving> {
        match &self.state.phase {
            LoopPhase::Promoting { challenger, deployment } => Some(Serving {
                version: challenger.version,
                artifact: challenger.artifact,
                deployment: deployment.clone(),
            }),
            _ => None,
        }
    }

    // ── back ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    fn revert_requested(&mut self, reason: &str) -> Result<()> {
        if matches!(self.state.phase, LoopPhase::Reverting { .. }) {
            return Ok(());
        }
        if !self.state.phase.is_at_rest() {
            return self.out_of_place("a revert was requested");
        }
        match (self.state.serving.clone(), self.state.previous.clone()) {
            (Some(from), Some(to)) => self.revert(from, Some(to), reason.to_owned(), true),
            _ => {
                let message = "there is no version to go back to";
                Err(Error::new(ErrorKind::Rejected, "closed_loop::step", message))
            }
        }
    }

    fn revert(&mut self, from: Serving, to: Option<Serving>, reason: String, quarantine: bool) -> Result<()> {
        self.effects.push(LoopEffect::Revert { from: from.clone(), to: to.clone() });
        self.state.phase = LoopPhase::Reverting { from, to, reason, quarantine };
        Ok(())
    }

    fn reverted(&mut self) -> Result<()> {
        let LoopPhase::Reverting { from, to, reason, quarantine } = self.state.phase.clone() else {
            return Ok(());
        };
        if quarantine {
            self.state.quarantine.insert(from.artifact);
            // One step back: what served before that is not known any more.
            self.state.previous = None;
        }
        self.state.serving = to;
        self.state.phase = LoopPhase::RolledBack { version: from.version, reason };
        Ok(())
    }

    fn cancelled(&mut self, reason: &str) -> Result<()> {
        match &self.state.phase {
            LoopPhase::Requested { .. } | LoopPhase::Training { .. } | LoopPhase::Evaluating { .. } => {
                self.state.phase = LoopPhase::Idle;
                Ok(())
            }
            LoopPhase::AwaitingApproval { challenger, .. } | LoopPhase::ChallengerReady { challenger } => {
                self.decline(challenger.version, format!("cancelled: {reason}"))
            }
            phase if phase.is_at_rest() => Ok(()),
            _ => self.out_of_place("a cycle was cancelled"),
        }
    }

    fn reset(&mut self) -> Result<()> {
        (self.state.gate_failures, self.state.breaker_open) = (0, false);
        if matches!(self.state.phase, LoopPhase::Failed { .. }) {
            self.state.phase = LoopPhase::Idle;
        }
        Ok(())
    }

    fn tick(&mut self) -> Result<()> {
        if self.may_begin() && self.state.gates.waiting_since.is_some() {
            return self.ask_gates(&GateInput::Tick);
        }
        let effect = match &self.state.phase {
            LoopPhase::AwaitingApproval { challenger, until, .. } if self.now >= *until => {
                return self.expire(challenger.version, *until);
            }
            LoopPhase::AwaitingApproval { request, .. } => {
                let request = request.clone();
                if self.state.config.supersede && self.state.gates.waiting_since.is_some() {
                    self.ask_gates_or_supersede(&GateInput::Tick)?;
                }
                if !matches!(self.state.phase, LoopPhase::AwaitingApproval { .. }) {
                    return Ok(());
                }
                LoopEffect::RequestApproval(request)
            }
            LoopPhase::Requested { reason } => LoopEffect::Train(reason.clone()),
            LoopPhase::ChallengerReady { challenger } => LoopEffect::PlanRollout(challenger.clone()),
            LoopPhase::RollingOut { plan, .. } => LoopEffect::DriveRollout(plan.clone()),
            LoopPhase::Promoting { challenger, .. } => LoopEffect::MoveAlias(challenger.clone()),
            LoopPhase::Reverting { from, to, .. } => {
                LoopEffect::Revert { from: from.clone(), to: to.clone() }
            }
            _ => return Ok(()),
        };
        self.effects.push(effect);
        Ok(())
    }

    fn out_of_place(&self, what: &str) -> Result<()> {
        let message = format!("{what}, which has no place where the loop is");
        Err(Error::new(ErrorKind::Conflict, "closed_loop::step", message).with("phase", &self.state.phase))
    }
}

fn later(at: Timestamp, by: Duration) -> Timestamp {
    let by = chrono::TimeDelta::from_std(by).unwrap_or(chrono::TimeDelta::MAX);
    at.checked_add_signed(by).unwrap_or(Timestamp::MAX_UTC)
}
