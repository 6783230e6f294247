//! The rules: from a state and an event to the next state and what is to be done.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::judge::Evidence;
use super::{
    Baseline, Cause, GuardEvidence, GuardFinding, GuardVerdict, Judgement, MetricGuard, ObservedTraffic,
    PauseReason, PausedAt, Phase, Rollback, RolloutState, ThinData, TrafficIntent,
};
use crate::deploy::{SmokeReport, TrafficChange, TrafficSplit};
use crate::error::{Error, Result};
use crate::governance::{Approval, ApprovalDecision, ApprovalRequest};
use crate::hash::Hasher;
use crate::id::{IdempotencyKey, Percent};
use crate::time::Timestamp;

/// What happened.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// The rollout starts, with the endpoint's traffic like this.
    Started(ObservedTraffic),
    /// The smoke test was run.
    SmokeTested(SmokeReport),
    /// The endpoint's traffic was looked at.
    TrafficObserved {
        /// What was seen.
        traffic: ObservedTraffic,
        /// The key of the change that this answers, if it answers one.
        answers: Option<IdempotencyKey>,
    },
    /// The counters at the beginning of a step were read.
    BaselineTaken {
        /// The epoch that asked for it.
        epoch: u64,
        /// The counters.
        baseline: Baseline,
    },
    /// The guards judged.
    GuardJudged {
        /// The epoch that asked for it.
        epoch: u64,
        /// What they said.
        judgement: Judgement,
        /// What they looked at.
        evidence: Option<Box<GuardEvidence>>,
    },
    /// Somebody answered the request for approval.
    ApprovalGiven(Approval),
    /// Somebody wants the traffic held where it is, for this reason.
    PauseRequested(String),
    /// Somebody wants the traffic held where it is whatever happens, for this reason.
    FreezeRequested(String),
    /// Somebody wants a paused or frozen rollout to go on.
    Resumed,
    /// Somebody wants it rolled back, for this reason.
    AbortRequested(String),
    /// Time passed.
    Tick,
    /// Something that was to be done failed.
    EffectFailed {
        /// What.
        effect: EffectKind,
        /// The epoch that asked for it.
        epoch: u64,
        /// Whether trying again may help.
        retryable: bool,
        /// What happened, as a sentence.
        message: String,
    },
}

/// Something to be done. All of it may be done twice.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Look at the endpoint's traffic.
    ObserveTraffic,
    /// Run the smoke test against the candidate.
    RunSmokeTest,
    /// Change the traffic.
    SetTraffic {
        /// The epoch it was decided in.
        epoch: u64,
        /// The change.
        change: Box<TrafficChange>,
    },
    /// Read the counters of both deployments.
    TakeBaseline {
        /// The epoch to answer with.
        epoch: u64,
    },
    /// Ask the guards.
    JudgeGuard {
        /// The epoch to answer with.
        epoch: u64,
    },
    /// Ask for approval.
    RequestApproval(ApprovalRequest),
    /// Nothing more to do: tell who wants to know that the candidate has all traffic.
    Promoted,
    /// Nothing more to do: tell who wants to know that the stable version has all traffic.
    RolledBack(Cause),
    /// Nothing more can be done: call somebody.
    Escalate(String),
}

/// The kind of an effect.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EffectKind {
    /// Of [`Effect::ObserveTraffic`].
    ObserveTraffic,
    /// Of [`Effect::RunSmokeTest`].
    RunSmokeTest,
    /// Of [`Effect::SetTraffic`].
    SetTraffic,
    /// Of [`Effect::TakeBaseline`].
    TakeBaseline,
    /// Of [`Effect::JudgeGuard`].
    JudgeGuard,
    /// Of [`Effect::RequestApproval`].
    RequestApproval,
    /// Of the effects that tell somebody.
    Notify,
}

impl Effect {
    /// Its kind.
    ///
    /// ```
    /// use mlops_core::deploy::rollout::{Effect, EffectKind};
    /// assert_eq!(Effect::JudgeGuard { epoch: 3 }.kind(), EffectKind::JudgeGuard);
    /// ```
    pub fn kind(&self) -> EffectKind {
        match self {
            Self::ObserveTraffic => EffectKind::ObserveTraffic,
            Self::RunSmokeTest => EffectKind::RunSmokeTest,
            Self::SetTraffic { .. } => EffectKind::SetTraffic,
            Self::TakeBaseline { .. } => EffectKind::TakeBaseline,
            Self::JudgeGuard { .. } => EffectKind::JudgeGuard,
            Self::RequestApproval(_) => EffectKind::RequestApproval,
            Self::Promoted | Self::RolledBack(_) | Self::Escalate(_) => EffectKind::Notify,
        }
    }
}

/// The next state of a rollout, and what is to be done.
///
/// Pure: no clock, no I/O. The caller writes the new state down, then carries the effects out and feeds back what it saw. A
/// [`Event::Tick`] gives everything that is still to be done in a phase, so nothing is lost when the process stops in between.
///
/// What always holds:
/// * Traffic is only ever moved to the split of a step of the plan, or back to the initial one.
/// * A step follows on another only after the guards passed the one before (or the plan says to go on without data), and the
///   step to all traffic only after an approval, where the plan demands one.
/// * From every state that is not an end, a rollback is one change of traffic away, or none when no traffic was moved; a stepped
///   one begins with that change, and each of its changes takes traffic from the candidate.
/// * While it is paused, waits for approval or drains the guards go on judging, and a failure rolls back. While it is frozen they
///   judge, and nothing but a person moves traffic.
/// * An event that comes twice, too late, or for another epoch changes nothing. An end changes no more.
/// * A change of traffic by somebody else pauses the rollout. It is undone only by a rollback, and only if it leaves the
///   candidate any traffic; else the rollback ends in [`Phase::Failed`] and the traffic stays as it is.
/// * A clock that goes back lengthens a bake or the deadline; it shortens neither.
///
/// # Errors
/// * [`ErrorKind::Conflict`](crate::ErrorKind::Conflict) when it starts with other traffic than the plan says, or an answer is
///   about something else; [`ErrorKind::Rejected`](crate::ErrorKind::Rejected) for an approval that is not valid. The state
///   stays.
/// * [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt) or [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) for a state
///   that no rollout can be in.
///
/// ```
/// use mlops_core::deploy::rollout::{
///     Effect, Event, ObservedTraffic, Phase, RolloutOptions, RolloutPlan, RolloutState, step,
/// };
/// use mlops_core::deploy::TrafficSplit;
/// use mlops_core::{ActorId, DeploymentName, EndpointName};
///
/// let (blue, green) = (DeploymentName::new("blue")?, DeploymentName::new("green")?);
/// let (endpoint, actor) = (EndpointName::new("diabetes")?, ActorId::new("release-bot")?);
/// let plan = RolloutPlan::canary(endpoint, blue.clone(), green, actor, RolloutOptions::default())?;
///
/// let now = "2026-01-01T00:00:00Z".parse()?;
/// let seen = ObservedTraffic { split: TrafficSplit::all_to(blue), revision: 1 };
/// let (state, effects) = step(&RolloutState::new(plan), &Event::Started(seen), now)?;
/// assert_eq!(state.phase, Phase::SmokeTest);
/// assert_eq!(effects, [Effect::RunSmokeTest]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn step(state: &RolloutState, event: &Event, now: Timestamp) -> Result<(RolloutState, Vec<Effect>)> {
    state.check()?;
    if state.phase.is_terminal() {
        return Ok((state.clone(), Vec::new()));
    }
    let mut machine = Machine { state: state.clone(), effects: Vec::new(), now };
    machine.handle(event)?;
    Ok((machine.state, machine.effects))
}

/// What a guard says, and what follows from it.
struct Opinion {
    verdict: GuardVerdict,
    then: ThinData,
    reason: String,
}

struct Machine {
    state: RolloutState,
    effects: Vec<Effect>,
    now: Timestamp,
}

impl Machine {
    fn handle(&mut self, event: &Event) -> Result<()> {
        if self.state.phase == Phase::Draft {
            return match event {
                Event::Started(traffic) => self.start(traffic),
                Event::AbortRequested(reason) => self.roll_back(Cause::Aborted(reason.clone())),
                _ => Ok(()),
            };
        }
        match event {
            Event::Started(_) => Ok(()),
            Event::SmokeTested(report) => self.smoke_tested(report),
            Event::TrafficObserved { traffic, answers } => self.observed(traffic, answers.as_ref()),
            Event::BaselineTaken { epoch, baseline } => self.baseline_taken(*epoch, baseline),
            Event::GuardJudged { epoch, judgement, evidence } => {
                self.judged(*epoch, judgement, evidence.as_ref().map_or(&[], |seen| &seen.findings))
            }
            Event::ApprovalGiven(approval) => self.approval_given(approval),
            Event::PauseRequested(reason) => self.pause(PauseReason::Requested(reason.clone())),
            Event::FreezeRequested(reason) => self.freeze(reason),
            Event::Resumed => self.resume(),
            Event::AbortRequested(reason) => self.roll_back(Cause::Aborted(reason.clone())),
            Event::Tick => self.tick(),
            Event::EffectFailed { effect, epoch, retryable, message } => {
                self.failed(*effect, *epoch, *retryable, message)
            }
        }
    }

    // ── beginning ────────────────────────────────────────────────────────────────────────────────────────────────────

    fn start(&mut self, traffic: &ObservedTraffic) -> Result<()> {
        let initial = self.state.plan.initial_split();
        if traffic.split != initial {
            let message = "the endpoint's traffic is not what the plan starts from";
            return Err(Error::conflict("rollout::step", message, initial, &traffic.split)
                .with("endpoint", self.state.plan.endpoint()));
        }
        self.state.observed = Some(traffic.clone());
        self.state.started_at = Some(self.now);
        self.state.phase = Phase::SmokeTest;
        self.emit(Effect::RunSmokeTest)
    }

    fn smoke_tested(&mut self, report: &SmokeReport) -> Result<()> {
        let candidate = self.state.plan.candidate();
        if report.deployment != *candidate {
            let message = "the smoke test is of another deployment";
            return Err(Error::conflict("rollout::step", message, candidate, &report.deployment));
        }
        let paused_here = matches!(self.state.phase, Phase::Paused { at: PausedAt::SmokeTest, .. });
        if self.state.phase != Phase::SmokeTest && !paused_here {
            return Ok(());
        }
        if !report.passed() {
            return self.roll_back(Cause::SmokeTest(report.reason()));
        }
        // A paused rollout runs the smoke test again when it goes on.
        if paused_here { Ok(()) } else { self.enter(0) }
    }

    // ── steps ────────────────────────────────────────────────────────────────────────────────────────────────────────

    /// Enters a step: through the approval where one is needed and missing, else straight to its split.
    fn enter(&mut self, step: usize) -> Result<()> {
        let plan = &self.state.plan;
        let all = plan.steps().get(step) == Some(&Percent::ALL);
        if all && plan.options().approval && !self.state.approved {
            self.state.phase = Phase::AwaitingApproval { step };
            let request = self.approval_request()?;
            return self.emit(Effect::RequestApproval(request));
        }
        let split = plan.split(step);
        if self.observed_split() == Some(&split) && self.state.intent.is_none() {
            return self.bake(step);
        }
        self.state.phase = Phase::Shifting { step };
        self.state.failures = 0;
        self.intend(split)
    }

    /// The split of a step is in force.
    fn bake(&mut self, step: usize) -> Result<()> {
        self.carry_evidence();
        let state = &mut self.state;
        state.settled = state.plan.split(step);
        (state.intent, state.baseline, state.verdict, state.problem) = (None, None, None, None);
        state.failures = 0;
        // With nothing to fall back on there is nothing a guard could decide.
        if state.plan.stable().is_none() {
            return self.promote();
        }
        state.epoch += 1;
        state.phase = Phase::Baking { step, since: self.now };
        let epoch = state.epoch;
        self.emit(Effect::TakeBaseline { epoch })
    }

    fn next(&mut self, step: usize) -> Result<()> {
        let next = step + 1;
        if next < self.state.plan.steps().len() {
            return self.enter(next);
        }
        if self.state.plan.options().drain.is_zero() {
            return self.promote();
        }
        self.state.phase = Phase::Draining { since: self.now };
        Ok(())
    }

    /// What sequential guards found in a bake that is over counts in the next ones.
    fn carry_evidence(&mut self) {
        for (guard, found) in std::mem::take(&mut self.state.evidence) {
            let earlier = self.state.earlier.entry(guard).or_default();
            *earlier = earlier.plus(found.carried());
        }
    }

    fn promote(&mut self) -> Result<()> {
        self.state.phase = Phase::Promoted;
        self.emit(Effect::Promoted)
    }

    fn baseline_taken(&mut self, epoch: u64, baseline: &Baseline) -> Result<()> {
        let at_a_step = matches!(self.state.phase, Phase::Baking { .. } | Phase::Draining { .. })
            || matches!(self.state.phase.held_at(), Some(PausedAt::Step(_)));
        if at_a_step && epoch == self.state.epoch && self.state.baseline.is_none() {
            self.state.baseline = Some(baseline.clone());
        }
        Ok(())
    }

    fn judged(&mut self, epoch: u64, judgement: &Judgement, findings: &[GuardFinding]) -> Result<()> {
        let held = self.state.phase.held_at().is_some();
        let judging = matches!(
            self.state.phase,
            Phase::Baking { .. } | Phase::AwaitingApproval { .. } | Phase::Draining { .. }
        );
        if !(judging || held) || epoch != self.state.epoch || !self.state.moved {
            return Ok(());
        }
        let opinions = self.opinions(judgement, findings);
        self.note_evidence(findings);
        self.state.verdict = Some(GuardVerdict::all(opinions.iter().map(|opinion| opinion.verdict)));
        self.state.problem = None;
        if matches!(self.state.phase, Phase::Frozen { .. }) {
            return Ok(());
        }
        let failure = |policy| {
            let failed = |o: &&Opinion| o.verdict == GuardVerdict::Fail && o.then == policy;
            opinions.iter().find(failed).map(|opinion| opinion.reason.clone())
        };
        if let Some(reason) = failure(ThinData::Rollback) {
            return self.roll_back(Cause::Guard(reason));
        }
        if let Some(reason) = failure(ThinData::Pause) {
            return if held { Ok(()) } else { self.pause(PauseReason::Guard(reason)) };
        }
        match self.state.phase {
            Phase::Baking { step, since } => self.baked(step, since, &opinions),
            Phase::Draining { since } => self.drained(since),
            _ => Ok(()),
        }
    }

    /// What each guard says and what follows from it; those that fail and are to be ignored say nothing any more.
    fn opinions(&self, judgement: &Judgement, findings: &[GuardFinding]) -> Vec<Opinion> {
        let options = self.state.plan.options();
        let then = |verdict, on_fail, on_inconclusive, on_no_data| match verdict {
            GuardVerdict::Pass => ThinData::Continue,
            GuardVerdict::Fail => on_fail,
            GuardVerdict::Inconclusive => on_inconclusive,
            GuardVerdict::NoData => on_no_data,
        };
        let verdict = judgement.verdict;
        let first = Opinion {
            verdict,
            then: then(verdict, ThinData::Rollback, options.on_inconclusive, options.on_no_data),
            reason: judgement.reason.clone(),
        };
        let of_metric = |guard: &MetricGuard| {
            let found = findings.iter().find(|found| found.guard == guard.name);
            let verdict = found.map_or(GuardVerdict::NoData, |found| found.finding.verdict);
            let reason = found.map_or("nothing was found", |found| found.finding.reason.as_str());
            Opinion {
                verdict,
                then: then(verdict, guard.on_fail, guard.on_inconclusive, guard.on_no_data),
                reason: format!("{}: {reason}", guard.name),
            }
        };
        [first].into_iter().chain(options.metrics.iter().map(of_metric)).collect()
    }

    fn note_evidence(&mut self, findings: &[GuardFinding]) {
        for GuardFinding { guard, finding } in findings {
            let metrics = &self.state.plan.options().metrics;
            if metrics.iter().any(|metric| metric.name == *guard && metric.judge.is_sequential()) {
                self.state.evidence.insert(guard.clone(), Evidence::of(finding));
            }
        }
    }

    /// Whether a step has baked, as nothing has failed.
    fn baked(&mut self, step: usize, since: Timestamp, opinions: &[Opinion]) -> Result<()> {
        let thin = |o: &&Opinion| matches!(o.verdict, GuardVerdict::Inconclusive | GuardVerdict::NoData);
        let thin: Vec<_> = opinions.iter().filter(thin).map(|o| (o.verdict, o.then)).collect();
        if !thin.is_empty() {
            return self.thin_data(step, since, &thin);
        }
        let baked = elapsed(since, self.now) >= self.state.plan.options().bake;
        // Without a baseline nobody can have judged this step.
        if baked && self.state.baseline.is_some() { self.next(step) } else { Ok(()) }
    }

    fn drained(&mut self, since: Timestamp) -> Result<()> {
        let over = elapsed(since, self.now) >= self.state.plan.options().drain;
        if over { self.promote() } else { Ok(()) }
    }

    /// What the plan says when its patience with a step is over: the strictest of what follows.
    fn thin_data(&mut self, step: usize, since: Timestamp, thin: &[(GuardVerdict, ThinData)]) -> Result<()> {
        let options = self.state.plan.options();
        if elapsed(since, self.now) < options.bake + options.patience {
            return Ok(());
        }
        let strictest = |policy| thin.iter().find(|(_, then)| *then == policy).map(|(verdict, _)| *verdict);
        if let Some(verdict) = strictest(ThinData::Rollback) {
            let none = verdict == GuardVerdict::NoData;
            return self.roll_back(if none { Cause::NoData } else { Cause::Inconclusive });
        }
        match strictest(ThinData::Pause) {
            Some(GuardVerdict::NoData) => self.pause(PauseReason::NoData),
            Some(_) => self.pause(PauseReason::Inconclusive),
            None => self.next(step),
        }
    }

    // ── traffic ──────────────────────────────────────────────────────────────────────────────────────────────────────

    /// Decides a change of traffic, in an epoch of its own.
    fn intend(&mut self, split: TrafficSplit) -> Result<()> {
        let state = &mut self.state;
        state.epoch += 1;
        let expected = state.observed.as_ref().map_or(0, |seen| seen.revision);
        state.intent = Some(TrafficIntent { split, expected, epoch: state.epoch });
        state.moved = true;
        self.emit_intent()
    }

    fn emit_intent(&mut self) -> Result<()> {
        let Some(intent) = self.state.intent.clone() else {
            return Ok(());
        };
        let change = Box::new(self.change(&intent)?);
        self.emit(Effect::SetTraffic { epoch: intent.epoch, change })
    }

    fn change(&self, intent: &TrafficIntent) -> Result<TrafficChange> {
        let plan = &self.state.plan;
        Ok(TrafficChange {
            key: self.key(intent.epoch)?,
            endpoint: plan.endpoint().clone(),
            split: intent.split.clone(),
            expected: Some(intent.expected),
            actor: plan.actor().clone(),
        })
    }

    fn key(&self, epoch: u64) -> Result<IdempotencyKey> {
        let hasher = Hasher::new("mlops.rollout.traffic/v1").field(self.state.plan.digest()?.as_bytes());
        Ok(IdempotencyKey::from_digest(&hasher.field(epoch.to_le_bytes()).finish()))
    }

    fn observed(&mut self, traffic: &ObservedTraffic, answers: Option<&IdempotencyKey>) -> Result<()> {
        let answered = match (&self.state.intent, answers) {
            (Some(intent), Some(key)) => self.key(intent.epoch)? == *key,
            _ => false,
        };
        let known = self.state.observed.as_ref().map_or(0, |seen| seen.revision);
        if traffic.revision < known && !answered {
            // A late answer to an early question.
            return Ok(());
        }
        if traffic.revision >= known {
            self.state.observed = Some(traffic.clone());
        }
        match &self.state.phase {
            Phase::Shifting { step } => self.observed_shifting(*step, traffic),
            Phase::RollingBack { .. } => self.observed_rolling_back(traffic, answered),
            Phase::SmokeTest
            | Phase::Baking { .. }
            | Phase::AwaitingApproval { .. }
            | Phase::Draining { .. }
                if traffic.split != self.state.settled =>
            {
                self.pause(PauseReason::TrafficChanged(traffic.split.clone()))
            }
            _ => Ok(()),
        }
    }

    fn observed_shifting(&mut self, step: usize, traffic: &ObservedTraffic) -> Result<()> {
        let Some(intent) = &self.state.intent else {
            return Ok(());
        };
        if traffic.split == intent.split {
            self.bake(step)
        } else if traffic.split != self.state.settled {
            self.pause(PauseReason::TrafficChanged(traffic.split.clone()))
        } else if traffic.revision != intent.expected {
            // Nothing moved, but the endpoint is at another revision than the change expects: it can never be made.
            self.intend_again()
        } else {
            // Not made, or not visible yet; the next tick asks for it again.
            Ok(())
        }
    }

    fn observed_rolling_back(&mut self, traffic: &ObservedTraffic, answered: bool) -> Result<()> {
        let Some(intent) = &self.state.intent else {
            return Ok(());
        };
        if traffic.split == intent.split && (answered || traffic.revision > intent.expected) {
            return self.gone_back();
        }
        // The split of before may be seen at the expected revision while an earlier change is still on its way: only our own
        // change, by raising the revision, keeps that one out.
        if traffic.revision <= intent.expected {
            return Ok(());
        }
        match self.taken_over() {
            Some(foreign) => self.left_to_others(&foreign),
            None => self.intend_again(),
        }
    }

    /// A change of the way back is in force: the last, or the next one after a while.
    fn gone_back(&mut self) -> Result<()> {
        let plan = &self.state.plan;
        let done = self.state.intent.as_ref().is_none_or(|intent| intent.split == plan.initial_split());
        let Rollback::Stepped { hold } = plan.options().rollback else { return self.rolled_back() };
        if done {
            return self.rolled_back();
        }
        let since = *self.state.held_since.get_or_insert(self.now);
        (self.state.failures, self.state.problem) = (0, None);
        if elapsed(since, self.now) < hold {
            return Ok(());
        }
        self.state.held_since = None;
        self.intend(self.way_back())
    }

    /// The next split of the way back: the largest of the plan that takes traffic from the candidate, in the end the initial one.
    fn way_back(&self) -> TrafficSplit {
        let plan = &self.state.plan;
        let share = self.state.share();
        let lower = (0..plan.steps().len()).rev().find(|step| plan.steps()[*step] < share);
        match (plan.options().rollback, lower) {
            (Rollback::Stepped { .. }, Some(step)) if plan.stable().is_some() => plan.split(step),
            _ => plan.initial_split(),
        }
    }

    /// The same split again, at the revision seen last: one more try.
    fn intend_again(&mut self) -> Result<()> {
        self.state.held_since = None;
        let split = self.state.intent.as_ref().map_or_else(TrafficSplit::none, |intent| intent.split.clone());
        if self.count_failure("the endpoint's traffic was changed by somebody else at the same time") {
            return self.give_up();
        }
        self.intend(split)
    }

    // ── holding ──────────────────────────────────────────────────────────────────────────────────────────────────────

    fn approval_given(&mut self, approval: &Approval) -> Result<()> {
        let waiting = matches!(
            self.state.phase,
            Phase::AwaitingApproval { .. }
                | Phase::Paused { at: PausedAt::Approval(_), .. }
                | Phase::Frozen { at: PausedAt::Approval(_), .. }
        );
        if !waiting || self.state.approved {
            return Ok(());
        }
        let subject = self.state.plan.digest()?;
        if approval.subject != subject {
            let message = "the approval is about something else";
            return Err(Error::conflict("rollout::step", message, subject, approval.subject));
        }
        match approval.decision {
            ApprovalDecision::Pending => Ok(()),
            ApprovalDecision::Rejected => self.roll_back(Cause::Refused(approval.comment.clone())),
            ApprovalDecision::Approved => {
                approval.require(&subject, self.now)?;
                if !self.state.approvers.contains(&approval.approver) {
                    self.state.approvers.push(approval.approver.clone());
                }
                let needed = self.state.plan.options().approvals;
                self.state.approved = self.state.approvers.len() as u64 >= u64::from(needed);
                if !self.state.approved {
                    return Ok(());
                }
                match self.state.phase {
                    Phase::AwaitingApproval { step } => self.enter(step),
                    _ => Ok(()),
                }
            }
        }
    }

    fn approval_request(&self) -> Result<ApprovalRequest> {
        let plan = &self.state.plan;
        let deadline = chrono::TimeDelta::from_std(plan.options().deadline).unwrap_or(chrono::TimeDelta::MAX);
        let started = self.state.started_at.unwrap_or(self.now);
        Ok(ApprovalRequest {
            subject: plan.digest()?,
            question: format!("Give {} all traffic of {}?", plan.candidate(), plan.endpoint()),
            requester: plan.actor().clone(),
            expires_at: started.checked_add_signed(deadline).unwrap_or(Timestamp::MAX_UTC),
        })
    }

    fn pause(&mut self, reason: PauseReason) -> Result<()> {
        if let Some(at) = self.here() {
            self.state.phase = Phase::Paused { at, reason };
        }
        Ok(())
    }

    fn freeze(&mut self, reason: &str) -> Result<()> {
        let paused = match self.state.phase {
            Phase::Paused { at, .. } => Some(at),
            _ => None,
        };
        if let Some(at) = paused.or_else(|| self.here()) {
            self.state.phase = Phase::Frozen { at, reason: reason.to_owned() };
        }
        Ok(())
    }

    /// Where a rollout that is held now goes on; none where it is held already, or cannot be.
    fn here(&self) -> Option<PausedAt> {
        match self.state.phase {
            Phase::SmokeTest => Some(PausedAt::SmokeTest),
            Phase::Shifting { step } | Phase::Baking { step, .. } => Some(PausedAt::Step(step)),
            Phase::AwaitingApproval { step } => Some(PausedAt::Approval(step)),
            Phase::Draining { .. } => Some(PausedAt::Step(self.state.plan.steps().len() - 1)),
            _ => None,
        }
    }

    fn resume(&mut self) -> Result<()> {
        let Some(at) = self.state.phase.held_at() else {
            return Ok(());
        };
        (self.state.failures, self.state.problem) = (0, None);
        // Whoever resumes has seen how the traffic is now: that is where it goes on from.
        if let Some(split) = self.observed_split().cloned() {
            self.state.settled = split;
        }
        match at {
            PausedAt::SmokeTest => {
                self.state.phase = Phase::SmokeTest;
                self.emit(Effect::RunSmokeTest)
            }
            PausedAt::Step(step) | PausedAt::Approval(step) => self.enter(step),
        }
    }

    // ── going back ───────────────────────────────────────────────────────────────────────────────────────────────────

    fn roll_back(&mut self, cause: Cause) -> Result<()> {
        if matches!(self.state.phase, Phase::RollingBack { .. }) {
            return self.hurry_back(&cause);
        }
        self.state.phase = Phase::RollingBack { cause };
        if !self.state.moved {
            return self.rolled_back();
        }
        if let Some(foreign) = self.taken_over() {
            return self.left_to_others(&foreign);
        }
        self.state.failures = 0;
        self.intend(self.way_back())
    }

    /// Somebody who aborts a stepped rollback wants all traffic back now.
    fn hurry_back(&mut self, cause: &Cause) -> Result<()> {
        let initial = self.state.plan.initial_split();
        let on_the_way = self.state.intent.as_ref().is_some_and(|intent| intent.split != initial);
        if !(on_the_way && matches!(cause, Cause::Aborted(_))) {
            return Ok(());
        }
        self.state.held_since = None;
        self.intend(initial)
    }

    fn rolled_back(&mut self) -> Result<()> {
        let Phase::RollingBack { cause } = self.state.phase.clone() else {
            return Ok(());
        };
        (self.state.intent, self.state.problem) = (None, None);
        self.state.phase = Phase::RolledBack { cause: cause.clone() };
        self.emit(Effect::RolledBack(cause))
    }

    /// The traffic, if it is neither the initial one nor gives the candidate anything: somebody else has acted already.
    fn taken_over(&self) -> Option<TrafficSplit> {
        let plan = &self.state.plan;
        let foreign = |split: &&TrafficSplit| {
            **split != plan.initial_split() && split.share(plan.candidate()) == Percent::ZERO
        };
        self.observed_split().filter(foreign).cloned()
    }

    fn left_to_others(&mut self, split: &TrafficSplit) -> Result<()> {
        self.fail(format!("somebody else moved the traffic to {split}; it is left like that"))
    }

    fn fail(&mut self, reason: String) -> Result<()> {
        self.state.phase = Phase::Failed { reason: reason.clone() };
        self.emit(Effect::Escalate(reason))
    }

    // ── trouble and time ─────────────────────────────────────────────────────────────────────────────────────────────

    fn failed(&mut self, effect: EffectKind, epoch: u64, retryable: bool, message: &str) -> Result<()> {
        let moving = self.state.intent.as_ref().is_some_and(|intent| intent.epoch == epoch);
        if effect == EffectKind::SetTraffic && !moving {
            return Ok(());
        }
        let counts = match effect {
            EffectKind::RunSmokeTest => self.state.phase == Phase::SmokeTest,
            EffectKind::SetTraffic => {
                matches!(self.state.phase, Phase::Shifting { .. } | Phase::RollingBack { .. })
            }
            _ => false,
        };
        if !counts {
            self.state.problem = Some(message.to_owned());
            return Ok(());
        }
        let over = self.count_failure(message);
        // A rollback is tried as often as the plan allows, whatever the error says: there is nothing better to do.
        let hopeless = !retryable && !matches!(self.state.phase, Phase::RollingBack { .. });
        if over || hopeless { self.give_up() } else { Ok(()) }
    }

    /// Counts a failure in a row; whether it was the last that the plan allows.
    fn count_failure(&mut self, message: &str) -> bool {
        self.state.problem = Some(message.to_owned());
        self.state.failures = self.state.failures.saturating_add(1);
        self.state.failures >= self.state.plan.options().max_attempts
    }

    fn give_up(&mut self) -> Result<()> {
        let reason = self.state.problem.clone().unwrap_or_default();
        match self.state.phase {
            Phase::RollingBack { .. } => self.fail(format!("the rollback failed: {reason}")),
            _ => self.roll_back(Cause::Effect(reason)),
        }
    }

    fn tick(&mut self) -> Result<()> {
        let deadline = self.state.plan.options().deadline;
        let late = self.state.started_at.is_some_and(|start| elapsed(start, self.now) >= deadline);
        if late && !matches!(self.state.phase, Phase::RollingBack { .. } | Phase::Frozen { .. }) {
            return self.roll_back(Cause::Deadline);
        }
        match self.state.phase.clone() {
            Phase::SmokeTest => {
                self.emit(Effect::ObserveTraffic)?;
                self.emit(Effect::RunSmokeTest)
            }
            Phase::RollingBack { .. } if self.state.held_since.is_some() => self.emit(Effect::ObserveTraffic),
            Phase::Shifting { .. } | Phase::RollingBack { .. } => self.emit_intent(),
            Phase::Draining { since } => {
                if self.state.baseline.is_none() {
                    self.drained(since)?;
                }
                if matches!(self.state.phase, Phase::Draining { .. }) { self.watch() } else { Ok(()) }
            }
            Phase::Baking { step, since } => {
                if self.state.baseline.is_none() {
                    // Counters that cannot be read for so long are no data; the plan says what then.
                    let then = self.state.plan.options().on_no_data;
                    self.thin_data(step, since, &[(GuardVerdict::NoData, then)])?;
                }
                if matches!(self.state.phase, Phase::Baking { .. }) { self.watch() } else { Ok(()) }
            }
            Phase::Paused { .. } | Phase::Frozen { .. } => self.watch(),
            Phase::AwaitingApproval { .. } => {
                self.watch()?;
                let request = self.approval_request()?;
                self.emit(Effect::RequestApproval(request))
            }
            _ => Ok(()),
        }
    }

    /// Looks at traffic and candidate.
    fn watch(&mut self) -> Result<()> {
        let epoch = self.state.epoch;
        self.emit(Effect::ObserveTraffic)?;
        let at_a_step = self.state.moved && !matches!(self.state.phase, Phase::AwaitingApproval { .. });
        if self.state.baseline.is_some() {
            self.emit(Effect::JudgeGuard { epoch })
        } else if at_a_step {
            self.emit(Effect::TakeBaseline { epoch })
        } else {
            Ok(())
        }
    }

    fn observed_split(&self) -> Option<&TrafficSplit> {
        self.state.observed.as_ref().map(|seen| &seen.split)
    }

    fn emit(&mut self, effect: Effect) -> Result<()> {
        self.effects.push(effect);
        Ok(())
    }
}

/// The time since a moment; none if the clock has gone back behind it.
pub(super) fn elapsed(since: Timestamp, now: Timestamp) -> Duration {
    (now - since).to_std().unwrap_or_default()
}
