//! The rules: from a state and an event to the next state and what is to be done.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::judge::{Evidence, Finding};
use super::metric::NOT_COMPARED;
use super::{
    Baseline, Cause, GuardEvidence, GuardFinding, GuardVerdict, Judgement, MetricGuard, MirrorTarget,
    ObservedTraffic, PauseReason, PausedAt, Phase, PrecheckReport, Rollback, RolloutState, ScoreGuard,
    ThinData, TrafficIntent,
};
use crate::deploy::{
    Deployment, DeploymentState, Mirror, MirrorChange, SmokeReport, TrafficChange, TrafficSplit,
};
use crate::error::{Error, ErrorKind, Result};
use crate::governance::{Approval, ApprovalDecision, ApprovalRequest};
use crate::hash::Hasher;
use crate::id::{IdempotencyKey, Percent};
use crate::time::{Timestamp, duration_text};

/// What happened.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// The rollout starts, with the endpoint's traffic like this.
    Started(ObservedTraffic),
    /// It was looked at whether everything is there that the plan needs.
    Prechecked(PrecheckReport),
    /// The candidate was looked at, or made.
    CandidateSeen(Box<Deployment>),
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
    /// Look whether everything is there that the plan needs.
    RunPrechecks,
    /// Look at the candidate, and make it where it is not there.
    EnsureCandidate,
    /// Run the smoke test against the candidate.
    RunSmokeTest,
    /// Change the mirror.
    SetMirror {
        /// The epoch it was decided in.
        epoch: u64,
        /// The change.
        change: Box<MirrorChange>,
    },
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
    /// Nothing more to do: tell who wants to know that the candidate was good as a shadow.
    Shadowed,
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
    /// Of [`Effect::RunPrechecks`].
    RunPrechecks,
    /// Of [`Effect::EnsureCandidate`].
    EnsureCandidate,
    /// Of [`Effect::RunSmokeTest`].
    RunSmokeTest,
    /// Of [`Effect::SetMirror`].
    SetMirror,
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
            Self::RunPrechecks => EffectKind::RunPrechecks,
            Self::EnsureCandidate => EffectKind::EnsureCandidate,
            Self::RunSmokeTest => EffectKind::RunSmokeTest,
            Self::SetMirror { .. } => EffectKind::SetMirror,
            Self::SetTraffic { .. } => EffectKind::SetTraffic,
            Self::TakeBaseline { .. } => EffectKind::TakeBaseline,
            Self::JudgeGuard { .. } => EffectKind::JudgeGuard,
            Self::RequestApproval(_) => EffectKind::RequestApproval,
            Self::Promoted | Self::Shadowed | Self::RolledBack(_) | Self::Escalate(_) => EffectKind::Notify,
        }
    }
}

/// The next state of a rollout, and what is to be done.
///
/// Pure: no clock, no I/O. The caller writes the new state down, then carries the effects out and feeds back what it saw. A
/// [`Event::Tick`] gives everything that is still to be done in a phase, so nothing is lost when the process stops in between.
///
/// What always holds:
/// * Traffic is only ever moved to the split of a step of the plan, or back to the initial one. As long as the candidate is the shadow,
///   and until it is seen to be none any more, no traffic is moved at all.
/// * A step follows on another only after the guards passed the one before (or the plan says to go on without data), and the
///   step to all traffic only after an approval, where the plan demands one.
/// * From every state that is not an end, a rollback is at most two changes away: first of the mirror, where the candidate may be the
///   shadow; then of the traffic, where the rollout ever changed it or the candidate was last seen to have any, whoever gave it that. A
///   stepped one begins so, and each of its changes takes traffic from the candidate.
/// * [`Phase::RolledBack`] is reached only when the traffic, as it was last seen, is the initial one.
/// * While it is paused, waits for approval or drains the guards go on judging a candidate that is the shadow or has traffic, whoever
///   gave it that, and a failure rolls back. While it is frozen they judge, and nothing but a person moves traffic.
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
/// let seen = ObservedTraffic::new(TrafficSplit::all_to(blue), 1);
/// let (state, effects) = step(&RolloutState::new(plan), &Event::Started(seen), now)?;
/// assert_eq!(state.phase, Phase::Prechecks { since: now });
/// assert_eq!(effects, [Effect::RunPrechecks]);
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
    /// Whether nothing can be said however long one waits: a comparison with a version without traffic.
    hopeless: bool,
}

impl Opinion {
    /// Whether it lets a step pass as it is.
    fn is_let_go(&self) -> bool {
        self.hopeless && self.then == ThinData::Continue
    }
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
            Event::Prechecked(report) => self.prechecked(report),
            Event::CandidateSeen(deployment) => self.candidate_seen(deployment),
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
        // What kept callers until now does not matter: the first split of the plan says what does from then on.
        if !traffic.split.same_shares(&initial) {
            let message = "the endpoint's traffic is not what the plan starts from";
            return Err(Error::conflict("rollout::step", message, initial, &traffic.split)
                .with("endpoint", self.state.plan.endpoint()));
        }
        self.state.settled = traffic.split.clone();
        self.state.observed = Some(traffic.clone());
        self.state.started_at = Some(self.now);
        self.state.phase = Phase::Prechecks { since: self.now };
        self.emit(Effect::RunPrechecks)
    }

    fn prechecked(&mut self, report: &PrecheckReport) -> Result<()> {
        let here = matches!(self.state.phase, Phase::Prechecks { .. });
        if !here && self.state.phase.held_at() != Some(PausedAt::Prechecks) {
            return Ok(());
        }
        if !report.passed() {
            return self.roll_back(Cause::Precheck(report.reason()));
        }
        // A paused rollout checks again when it goes on.
        if !here {
            return Ok(());
        }
        self.begin(Phase::Deploying { since: self.now }, Effect::EnsureCandidate)
    }

    fn candidate_seen(&mut self, deployment: &Deployment) -> Result<()> {
        let (plan, spec) = (&self.state.plan, &deployment.spec);
        if spec.name != *plan.candidate() || spec.endpoint != *plan.endpoint() {
            let message = "the deployment is not the candidate";
            return Err(Error::conflict("rollout::step", message, plan.candidate(), &spec.name));
        }
        let here = matches!(self.state.phase, Phase::Deploying { .. });
        if !here && self.state.phase.held_at() != Some(PausedAt::Deploying) {
            return Ok(());
        }
        if let Some(difference) = plan.release().and_then(|release| release.difference(deployment)) {
            return self.roll_back(Cause::Candidate(difference));
        }
        match deployment.state {
            DeploymentState::Failed => self.roll_back(Cause::Candidate("it could not be made".to_owned())),
            DeploymentState::Ready if here => self.begin(Phase::SmokeTest, Effect::RunSmokeTest),
            // It is asked for again; a paused rollout looks again when it goes on.
            _ => {
                (self.state.failures, self.state.problem) = (0, None);
                Ok(())
            }
        }
    }

    /// A phase before anything is moved begins with what it does.
    fn begin(&mut self, phase: Phase, effect: Effect) -> Result<()> {
        (self.state.failures, self.state.problem) = (0, None);
        self.state.phase = phase;
        self.emit(effect)
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
        if paused_here { Ok(()) } else { self.mirror() }
    }

    // ── the shadow ───────────────────────────────────────────────────────────────────────────────────────────────────

    /// Makes the candidate the shadow, where the plan has one; else goes to the first step.
    fn mirror(&mut self) -> Result<()> {
        let Some(mirror) = self.state.plan.shadow() else { return self.enter(0) };
        let there = self.observed_mirror() == Some(&mirror);
        if there && self.state.mirrored && self.state.intent.is_none() {
            return self.bake_shadow();
        }
        self.state.phase = Phase::Mirroring;
        self.state.failures = 0;
        self.intend_mirror(MirrorTarget::On(mirror))
    }

    /// The candidate is the shadow.
    fn bake_shadow(&mut self) -> Result<()> {
        self.settle();
        self.state.epoch += 1;
        self.state.phase = Phase::Shadowing { since: self.now };
        let epoch = self.state.epoch;
        self.emit(Effect::TakeBaseline { epoch })
    }

    fn unmirror(&mut self) -> Result<()> {
        self.state.phase = Phase::Unmirroring;
        self.state.failures = 0;
        self.intend_mirror(MirrorTarget::Off)
    }

    /// The candidate was good as a shadow, and is none any more.
    fn after_shadow(&mut self) -> Result<()> {
        self.settle();
        self.state.mirrored = false;
        if self.state.plan.promotes() {
            return self.enter(0);
        }
        self.state.phase = Phase::Shadowed;
        self.emit(Effect::Shadowed)
    }

    fn observed_mirroring(&mut self, traffic: &ObservedTraffic) -> Result<()> {
        let Some(intent) = &self.state.intent else {
            return Ok(());
        };
        let back = self.state.phase == Phase::Unmirroring;
        if traffic.split != self.state.settled {
            return self.pause(PauseReason::TrafficChanged(traffic.split.clone()));
        }
        if back && !self.is_shadow(traffic) {
            return self.after_shadow();
        }
        if !back && intent.is_met_by(traffic) {
            return self.bake_shadow();
        }
        if traffic.revision == intent.expected {
            // Not made, or not visible yet; the next tick asks for it again.
            return Ok(());
        }
        let foreign = traffic.mirror.is_some() && !self.is_shadow(traffic);
        if foreign {
            self.pause(PauseReason::MirrorChanged(traffic.mirror.clone()))
        } else {
            self.intend_again()
        }
    }

    /// Whether the candidate is the shadow there.
    fn is_shadow(&self, traffic: &ObservedTraffic) -> bool {
        traffic.mirror.as_ref().is_some_and(|mirror| mirror.deployment == *self.state.plan.candidate())
    }

    fn observed_mirror(&self) -> Option<&Mirror> {
        self.state.observed.as_ref().and_then(|seen| seen.mirror.as_ref())
    }

    // ── steps ────────────────────────────────────────────────────────────────────────────────────────────────────────

    /// Enters a step: through the approval where one is needed and missing, else straight to its split.
    fn enter(&mut self, step: usize) -> Result<()> {
        let plan = &self.state.plan;
        let all = plan.steps().get(step) == Some(&Percent::ALL);
        if all && plan.options().approval && !self.state.approved {
            self.state.phase = Phase::AwaitingApproval { step };
            self.state.asked_at.get_or_insert(self.now);
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
        self.settle();
        let state = &mut self.state;
        state.settled = state.plan.split(step);
        // With nothing to fall back on there is nothing a guard could decide.
        if state.plan.stable().is_none() {
            return self.promote();
        }
        state.epoch += 1;
        state.phase = Phase::Baking { step, since: self.now };
        let epoch = state.epoch;
        self.emit(Effect::TakeBaseline { epoch })
    }

    /// What was asked for is in force: nothing is under way any more, and what is judged begins anew.
    fn settle(&mut self) {
        self.carry_evidence();
        let state = &mut self.state;
        (state.intent, state.baseline, state.verdict, state.problem) = (None, None, None, None);
        state.failures = 0;
    }

    /// On from a step or the shadow.
    fn next(&mut self, at: PausedAt) -> Result<()> {
        let PausedAt::Step(step) = at else { return self.unmirror() };
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
        let wanted = self.is_watched() && self.is_at_work() && self.state.baseline.is_none();
        if wanted && epoch == self.state.epoch {
            self.state.baseline = Some(baseline.clone());
        }
        Ok(())
    }

    fn judged(&mut self, epoch: u64, judgement: &Judgement, findings: &[GuardFinding]) -> Result<()> {
        let held = self.state.phase.held_at().is_some();
        if !self.is_watched() || epoch != self.state.epoch || !self.is_at_work() {
            return Ok(());
        }
        let opinions = self.opinions(judgement, findings);
        self.note_evidence(findings);
        self.state.verdict = Some(overall(&opinions));
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
            Phase::Baking { step, since } => self.baked(PausedAt::Step(step), since, &opinions),
            Phase::Shadowing { since } => self.baked(PausedAt::Shadow, since, &opinions),
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
            hopeless: false,
        };
        let none = Finding::new("guard.none", GuardVerdict::NoData, "nothing was found");
        let of_metric = |guard: &MetricGuard| {
            let found = findings.iter().find(|found| found.guard == guard.name);
            let found = found.map_or(&none, |found| &found.finding);
            let hopeless = found.rule == NOT_COMPARED;
            let on_no_data = if hopeless { guard.on_not_compared } else { guard.on_no_data };
            Opinion {
                verdict: found.verdict,
                then: then(found.verdict, guard.on_fail, guard.on_inconclusive, on_no_data),
                reason: format!("{}: {}", guard.name, found.reason),
                hopeless,
            }
        };
        let of_score = |score: &ScoreGuard| {
            let found = score.judge(findings);
            let hopeless = found.rule == NOT_COMPARED;
            let on_no_data = if hopeless { ThinData::Continue } else { score.on_no_data };
            Opinion {
                verdict: found.verdict,
                then: then(found.verdict, score.on_fail, score.on_inconclusive, on_no_data),
                reason: format!("{}: {}", score.name, found.reason),
                hopeless,
            }
        };
        let alone = options.metrics.iter().filter(|guard| !options.is_scored(&guard.name)).map(of_metric);
        [first].into_iter().chain(alone).chain(options.scores.iter().map(of_score)).collect()
    }

    fn note_evidence(&mut self, findings: &[GuardFinding]) {
        for GuardFinding { guard, finding } in findings {
            let metrics = &self.state.plan.options().metrics;
            if metrics.iter().any(|metric| metric.name == *guard && metric.judge.is_sequential()) {
                self.state.evidence.insert(guard.clone(), Evidence::of(finding));
            }
        }
    }

    /// Whether a step or the shadow has baked, as nothing has failed.
    fn baked(&mut self, at: PausedAt, since: Timestamp, opinions: &[Opinion]) -> Result<()> {
        let thin = |o: &&Opinion| {
            matches!(o.verdict, GuardVerdict::Inconclusive | GuardVerdict::NoData) && !o.is_let_go()
        };
        let thin: Vec<_> = opinions.iter().filter(thin).map(|o| (o.verdict, o.then)).collect();
        if !thin.is_empty() {
            return self.thin_data(at, since, &thin);
        }
        let baked = elapsed(since, self.now) >= self.state.plan.options().bake;
        // Without a baseline nobody can have judged this step.
        if baked && self.state.baseline.is_some() { self.next(at) } else { Ok(()) }
    }

    fn drained(&mut self, since: Timestamp) -> Result<()> {
        let over = elapsed(since, self.now) >= self.state.plan.options().drain;
        if over { self.promote() } else { Ok(()) }
    }

    /// What the plan says when its patience with a step is over: the strictest of what follows.
    fn thin_data(&mut self, at: PausedAt, since: Timestamp, thin: &[(GuardVerdict, ThinData)]) -> Result<()> {
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
            None => self.next(at),
        }
    }

    // ── traffic ──────────────────────────────────────────────────────────────────────────────────────────────────────

    /// Decides a change of traffic, in an epoch of its own.
    fn intend(&mut self, split: TrafficSplit) -> Result<()> {
        let state = &mut self.state;
        state.epoch += 1;
        let expected = state.observed.as_ref().map_or(0, |seen| seen.revision);
        state.intent = Some(TrafficIntent { split, expected, epoch: state.epoch, mirror: None });
        state.moved = true;
        self.emit_intent()
    }

    /// Decides a change of the mirror, in an epoch of its own; the traffic stays.
    fn intend_mirror(&mut self, target: MirrorTarget) -> Result<()> {
        let state = &mut self.state;
        state.epoch += 1;
        state.mirrored |= target != MirrorTarget::Off;
        let expected = state.observed.as_ref().map_or(0, |seen| seen.revision);
        let (split, mirror) = (state.settled.clone(), Some(target));
        state.intent = Some(TrafficIntent { split, expected, epoch: state.epoch, mirror });
        self.emit_intent()
    }

    fn emit_intent(&mut self) -> Result<()> {
        let Some(intent) = self.state.intent.clone() else {
            return Ok(());
        };
        let epoch = intent.epoch;
        match &intent.mirror {
            None => {
                let change = Box::new(self.change(&intent)?);
                self.emit(Effect::SetTraffic { epoch, change })
            }
            Some(target) => {
                let plan = &self.state.plan;
                let change = MirrorChange {
                    key: self.key(epoch)?,
                    endpoint: plan.endpoint().clone(),
                    mirror: target.mirror().cloned(),
                    expected: Some(intent.expected),
                    actor: plan.actor().clone(),
                };
                self.emit(Effect::SetMirror { epoch, change: Box::new(change) })
            }
        }
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
            Phase::RollingBack { .. } => {
                // The answer to a repeated change is of when it was made: what was seen since is newer.
                let newest = self.state.observed.clone().unwrap_or_else(|| traffic.clone());
                self.observed_rolling_back(&newest, answered)
            }
            Phase::Mirroring | Phase::Unmirroring => self.observed_mirroring(traffic),
            Phase::Prechecks { .. }
            | Phase::Deploying { .. }
            | Phase::SmokeTest
            | Phase::Shadowing { .. }
            | Phase::Baking { .. }
            | Phase::AwaitingApproval { .. }
            | Phase::Draining { .. }
                if traffic.split != self.state.settled =>
            {
                self.pause(PauseReason::TrafficChanged(traffic.split.clone()))
            }
            Phase::Shadowing { .. } if traffic.mirror != self.state.plan.shadow() => {
                self.pause(PauseReason::MirrorChanged(traffic.mirror.clone()))
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
        if intent.mirror.is_some() {
            // As below: only a newer revision keeps an earlier change out.
            if traffic.revision <= intent.expected && !answered {
                return Ok(());
            }
            if self.is_shadow(traffic) {
                return self.intend_again();
            }
            self.state.mirrored = false;
            return self.take_back();
        }
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
        let hold = match plan.options().rollback {
            Rollback::Stepped { hold } if !done => hold,
            _ => return self.rolled_back(),
        };
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

    /// The same again, at the revision seen last: one more try. A step of the way back is chosen anew: what the candidate has now may be
    /// less than it would give.
    fn intend_again(&mut self) -> Result<()> {
        self.state.held_since = None;
        let Some(intent) = self.state.intent.clone() else { return Ok(()) };
        if self.count_failure("the endpoint's traffic was changed by somebody else at the same time") {
            return self.give_up();
        }
        let on_the_way_back = matches!(self.state.phase, Phase::RollingBack { .. })
            && intent.split != self.state.plan.initial_split();
        match intent.mirror {
            None if on_the_way_back => self.intend(self.way_back()),
            None => self.intend(intent.split),
            Some(target) => self.intend_mirror(target),
        }
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
        if approval.decision != ApprovalDecision::Pending {
            self.state.plan.options().approver_keys.verify(approval)?;
        }
        match approval.decision {
            ApprovalDecision::Pending => Ok(()),
            ApprovalDecision::Rejected => {
                self.require_role(approval)?;
                self.roll_back(Cause::Refused(approval.comment.clone()))
            }
            ApprovalDecision::Approved => {
                approval.require(&subject, self.now)?;
                self.require_role(approval)?;
                self.note_approval(approval);
                match self.state.phase {
                    Phase::AwaitingApproval { step } if self.state.approved => self.enter(step),
                    _ => Ok(()),
                }
            }
        }
    }

    /// Who answers has a role that the plan asks, where it asks roles; and is not who made the plan, whatever the approval says.
    fn require_role(&self, approval: &Approval) -> Result<()> {
        let plan = &self.state.plan;
        let roles = &plan.options().approver_roles;
        let has_one = || roles.iter().any(|role| role.members.contains(&approval.approver));
        let reason = if approval.decision == ApprovalDecision::Approved && approval.approver == *plan.actor()
        {
            "nobody can approve what they asked for"
        } else if !roles.is_empty() && !has_one() {
            "the approver has none of the roles that the plan asks"
        } else {
            return Ok(());
        };
        let error = Error::new(ErrorKind::Rejected, "rollout::step", reason);
        Err(error.with("approver", &approval.approver))
    }

    fn note_approval(&mut self, approval: &Approval) {
        let by = &approval.approver;
        if !self.state.approvers.contains(by) {
            self.state.approvers.push(by.clone());
        }
        self.state.approved_until.insert(by.clone(), approval.expires_at);
        self.count_approvals();
    }

    /// Whether enough people approved, all of whose approvals still count.
    fn count_approvals(&mut self) {
        let (state, now) = (&mut self.state, self.now);
        state.approved_until.retain(|by, until| {
            let counts = now < *until;
            if !counts {
                state.approvers.retain(|approver| approver != by);
            }
            counts
        });
        let options = state.plan.options();
        state.approved = state.approvers.len() as u64 >= u64::from(options.approvals)
            && options.approver_roles.iter().all(|role| role.is_met(&state.approvers));
    }

    /// Until when approvals are waited for.
    fn approval_expires(&self) -> Timestamp {
        let options = self.state.plan.options();
        let later = |since: Option<Timestamp>, by: Duration| {
            let by = chrono::TimeDelta::from_std(by).unwrap_or(chrono::TimeDelta::MAX);
            since.unwrap_or(self.now).checked_add_signed(by).unwrap_or(Timestamp::MAX_UTC)
        };
        let end = later(self.state.started_at, options.deadline);
        let asked = self.state.asked_at.or(self.state.started_at);
        options.approval_expiry.map_or(end, |expiry| later(asked, expiry).min(end))
    }

    fn approval_request(&self) -> Result<ApprovalRequest> {
        let plan = &self.state.plan;
        Ok(ApprovalRequest {
            subject: plan.digest()?,
            question: format!("Give {} all traffic of {}?", plan.candidate(), plan.endpoint()),
            requester: plan.actor().clone(),
            expires_at: self.approval_expires(),
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
            Phase::Prechecks { .. } => Some(PausedAt::Prechecks),
            Phase::Deploying { .. } => Some(PausedAt::Deploying),
            Phase::SmokeTest => Some(PausedAt::SmokeTest),
            Phase::Mirroring | Phase::Shadowing { .. } | Phase::Unmirroring => Some(PausedAt::Shadow),
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
            PausedAt::Prechecks => self.begin(Phase::Prechecks { since: self.now }, Effect::RunPrechecks),
            PausedAt::Deploying => self.begin(Phase::Deploying { since: self.now }, Effect::EnsureCandidate),
            PausedAt::SmokeTest => self.begin(Phase::SmokeTest, Effect::RunSmokeTest),
            PausedAt::Shadow => self.mirror(),
            PausedAt::Step(step) => self.enter(step),
            PausedAt::Approval(step) => {
                // What was approved long ago may count no more; then it is asked for anew.
                self.count_approvals();
                if self.now >= self.approval_expires() {
                    self.state.asked_at = None;
                }
                self.enter(step)
            }
        }
    }

    // ── going back ───────────────────────────────────────────────────────────────────────────────────────────────────

    fn roll_back(&mut self, cause: Cause) -> Result<()> {
        if matches!(self.state.phase, Phase::RollingBack { .. }) {
            return self.hurry_back(&cause);
        }
        self.state.phase = Phase::RollingBack { cause };
        if self.state.mirrored {
            self.state.failures = 0;
            return self.intend_mirror(MirrorTarget::Off);
        }
        self.take_back()
    }

    /// Takes from the candidate what traffic it has or may have, as it is no shadow any more.
    fn take_back(&mut self) -> Result<()> {
        if let Some(foreign) = self.taken_over() {
            return self.left_to_others(&foreign);
        }
        if !self.may_have_traffic() {
            return self.rolled_back();
        }
        self.state.failures = 0;
        self.intend(self.way_back())
    }

    /// Somebody who aborts a stepped rollback wants all traffic back now.
    fn hurry_back(&mut self, cause: &Cause) -> Result<()> {
        let initial = self.state.plan.initial_split();
        let on_the_way = |intent: &TrafficIntent| intent.mirror.is_none() && intent.split != initial;
        let on_the_way = self.state.intent.as_ref().is_some_and(on_the_way);
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
        (self.state.intent, self.state.problem, self.state.mirrored) = (None, None, false);
        self.state.phase = Phase::RolledBack { cause: cause.clone() };
        self.emit(Effect::RolledBack(cause))
    }

    /// The traffic, if it is neither the initial one nor gives the candidate anything: somebody else has acted already.
    fn taken_over(&self) -> Option<TrafficSplit> {
        let plan = &self.state.plan;
        let foreign = |split: &&TrafficSplit| {
            !split.same_shares(&plan.initial_split()) && split.share(plan.candidate()) == Percent::ZERO
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
        if matches!(effect, EffectKind::SetTraffic | EffectKind::SetMirror) && !moving {
            return Ok(());
        }
        let counts = match effect {
            EffectKind::RunPrechecks => matches!(self.state.phase, Phase::Prechecks { .. }),
            EffectKind::EnsureCandidate => matches!(self.state.phase, Phase::Deploying { .. }),
            EffectKind::SetMirror => {
                matches!(self.state.phase, Phase::Mirroring | Phase::Unmirroring | Phase::RollingBack { .. })
            }
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
            Phase::Prechecks { .. } => self.roll_back(Cause::Precheck(reason)),
            Phase::Deploying { .. } => self.roll_back(Cause::Candidate(reason)),
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
            Phase::Prechecks { since } => match self.overdue(since) {
                Some(reason) => self.roll_back(Cause::Precheck(reason)),
                None => self.prepare(Effect::RunPrechecks),
            },
            Phase::Deploying { since } => match self.overdue(since) {
                Some(reason) => self.roll_back(Cause::Candidate(reason)),
                None => self.prepare(Effect::EnsureCandidate),
            },
            Phase::SmokeTest => self.prepare(Effect::RunSmokeTest),
            Phase::Mirroring | Phase::Unmirroring => self.emit_intent(),
            Phase::RollingBack { .. } if self.state.held_since.is_some() => self.emit(Effect::ObserveTraffic),
            Phase::Shifting { .. } | Phase::RollingBack { .. } => self.emit_intent(),
            Phase::Draining { since } => {
                if self.state.baseline.is_none() {
                    self.drained(since)?;
                }
                if matches!(self.state.phase, Phase::Draining { .. }) { self.watch() } else { Ok(()) }
            }
            Phase::Baking { step, since } => self.tick_baking(PausedAt::Step(step), since),
            Phase::Shadowing { since } => self.tick_baking(PausedAt::Shadow, since),
            Phase::Paused { .. } | Phase::Frozen { .. } => self.watch(),
            Phase::AwaitingApproval { .. } if self.now >= self.approval_expires() => {
                self.roll_back(Cause::ApprovalExpired)
            }
            Phase::AwaitingApproval { .. } => {
                self.watch()?;
                let request = self.approval_request()?;
                self.emit(Effect::RequestApproval(request))
            }
            _ => Ok(()),
        }
    }

    fn tick_baking(&mut self, at: PausedAt, since: Timestamp) -> Result<()> {
        let before = self.state.phase.clone();
        if self.state.baseline.is_none() {
            // Counters that cannot be read for so long are no data; the plan says what then.
            let then = self.state.plan.options().on_no_data;
            self.thin_data(at, since, &[(GuardVerdict::NoData, then)])?;
        }
        if self.state.phase == before { self.watch() } else { Ok(()) }
    }

    /// What a phase before anything is moved goes on with.
    fn prepare(&mut self, effect: Effect) -> Result<()> {
        self.emit(Effect::ObserveTraffic)?;
        self.emit(effect)
    }

    /// Why a phase that began then takes too long.
    fn overdue(&self, since: Timestamp) -> Option<String> {
        let startup = self.state.plan.options().startup;
        let late = elapsed(since, self.now) >= startup;
        late.then(|| {
            let problem = self.state.problem.as_deref().unwrap_or("no answer yet");
            format!("it took longer than {}: {problem}", duration_text::format(startup))
        })
    }

    /// Whether the candidate has traffic, as it was last seen, or may have some: a change of this rollout may be on its way.
    fn may_have_traffic(&self) -> bool {
        self.state.moved || self.state.share() != Percent::ZERO
    }

    /// Whether there is anything of the candidate to judge: it has traffic, or is the shadow.
    fn is_at_work(&self) -> bool {
        self.state.mirrored || self.may_have_traffic()
    }

    /// Whether the guards look at the candidate in this phase, if it is at work.
    fn is_watched(&self) -> bool {
        let watched = matches!(
            self.state.phase,
            Phase::Baking { .. }
                | Phase::Shadowing { .. }
                | Phase::AwaitingApproval { .. }
                | Phase::Draining { .. }
        );
        watched || self.state.phase.held_at().is_some()
    }

    /// Looks at traffic and candidate.
    fn watch(&mut self) -> Result<()> {
        let epoch = self.state.epoch;
        self.emit(Effect::ObserveTraffic)?;
        if self.state.baseline.is_some() {
            self.emit(Effect::JudgeGuard { epoch })
        } else if self.is_at_work() {
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

/// What the guards say together; those that could only compare with nobody say nothing.
fn overall(opinions: &[Opinion]) -> GuardVerdict {
    GuardVerdict::all(opinions.iter().filter(|opinion| !opinion.is_let_go()).map(|opinion| opinion.verdict))
}

/// The time since a moment; none if the clock has gone back behind it.
pub(super) fn elapsed(since: Timestamp, now: Timestamp) -> Duration {
    (now - since).to_std().unwrap_or_default()
}
