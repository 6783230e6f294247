//! The driver: carries out what the rules say, and tells them what it saw.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;

use super::guard::since;
use super::judge::{Evidence, Observations};
use super::machine::elapsed;
use super::metric::failures;
use super::prechecks::precheck;
use super::{
    Baseline, Effect, EffectKind, Event, Guard, GuardEvidence, GuardFinding, GuardVerdict, JournalEntry,
    Judgement, LabelledPerformance, MetricGuard, MetricProvider, MetricQuery, MetricRequest, MetricSource,
    ObservedTraffic, Phase, RolloutJournal, RolloutPlan, RolloutState, step,
};
use crate::deploy::{Deployer, Deployment, Endpoint, MirrorChange, OperationStats, SmokeTest, TrafficChange};
use crate::error::{Error, ErrorKind, Result};
use crate::evaluation::GateDecision;
use crate::governance::{Approval, ApprovalRequest, Approver, AuditEntry, AuditLog};
use crate::hash::{Digest, Hasher};
use crate::id::{DeploymentName, IdempotencyKey, Percent};
use crate::registry::ModelRegistry;
use crate::time::Timestamp;

/// How a rollout is doing.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RolloutStatus {
    /// The phase.
    pub phase: Phase,
    /// The candidate's share of the traffic, as it was seen last.
    pub share: Percent,
    /// What the guards last said in this step.
    pub verdict: Option<GuardVerdict>,
    /// What went wrong last and is not overcome yet.
    pub problem: Option<String>,
}

impl RolloutStatus {
    /// Whether it has ended, one way or the other.
    pub fn is_terminal(&self) -> bool {
        self.phase.is_terminal()
    }

    /// Whether the candidate has all traffic for good.
    pub fn is_promoted(&self) -> bool {
        self.phase == Phase::Promoted
    }
}

impl fmt::Display for RolloutStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} to the candidate", self.phase, self.share)?;
        if let Some(verdict) = self.verdict {
            write!(f, ", guards: {verdict}")?;
        }
        if let Some(problem) = &self.problem {
            write!(f, ", last problem: {problem}")?;
        }
        f.write_str(")")
    }
}

/// Drives one rollout against a deployer.
///
/// Time is the caller's: each [`advance`](Self::advance) does what can be done now and returns. Between two calls the candidate
/// serves its share. Every change of state is in the journal before anything is done about it, so a driver may be dropped at any
/// point, also inside `advance`; [`resume`](Self::resume) goes on where it was, and what may or may not have been done is done
/// again under the same key.
///
/// A failure of what has to be done is not an error of `advance`: it is the status' `problem`, tried again by the next call and
/// in the end a reason to roll back. Errors of `advance` are those of the journal and the audit log, of an approval that is not
/// valid, and of traffic that is not what the plan starts from.
///
/// ```
/// # use std::sync::Arc;
/// # use std::time::Duration;
/// # use mlops_core::data::Table;
/// # use mlops_core::deploy::{Deployer, SmokeTest};
/// use mlops_core::deploy::rollout::{OperationGuard, RolloutDriver, RolloutOptions, RolloutPlan, VecJournal};
/// # use mlops_core::time::Clock;
/// # use mlops_core::{ActorId, DeploymentName, EndpointName};
///
/// // The candidate is deployed already, without traffic.
/// async fn roll_out(
///     deployer: Arc<dyn Deployer>,
///     smoke_test: SmokeTest,
///     clock: &dyn Clock,
///     send_traffic: impl AsyncFn(),
/// ) -> mlops_core::Result<bool> {
///     let plan = RolloutPlan::canary(
///         EndpointName::new("diabetes")?,
///         DeploymentName::new("blue")?,
///         DeploymentName::new("green")?,
///         ActorId::new("release-bot")?,
///         RolloutOptions::default().with_bake(Duration::ZERO).with_limits(OperationGuard::default()),
///     )?;
///     let mut rollout = RolloutDriver::new(plan, smoke_test, deployer, Arc::new(VecJournal::default()));
///     loop {
///         let status = rollout.advance(clock.now()).await?;
///         println!("{status}");
///         if status.is_terminal() {
///             return Ok(status.is_promoted());
///         }
///         send_traffic().await;
///     }
/// }
/// ```
pub struct RolloutDriver {
    state: RolloutState,
    sequence: u64,
    smoke_test: SmokeTest,
    deployer: Arc<dyn Deployer>,
    journal: Arc<dyn RolloutJournal>,
    guards: Vec<Arc<dyn Guard>>,
    approvers: Vec<Arc<dyn Approver>>,
    registry: Option<Arc<dyn ModelRegistry>>,
    gate: Option<GateDecision>,
    metrics: Option<Arc<dyn MetricProvider>>,
    audit: Option<Arc<dyn AuditLog>>,
    /// With the epoch it was reported in.
    performance: Option<(u64, LabelledPerformance)>,
    /// By guard, with the epoch they were reported in.
    reported: BTreeMap<String, (u64, Observations)>,
    unaudited: VecDeque<AuditEntry>,
}

impl fmt::Debug for RolloutDriver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RolloutDriver")
            .field("state", &self.state)
            .field("sequence", &self.sequence)
            .field("deployer", &self.deployer)
            .field("guards", &self.guards)
            .finish_non_exhaustive()
    }
}

impl RolloutDriver {
    /// Drives a rollout that has not started; nothing happens before [`advance`](Self::advance).
    ///
    /// A plan that the journal knows already is not started again: its first `advance` is
    /// [`ErrorKind::Conflict`]. Use [`resume`](Self::resume) where either may be.
    pub fn new(
        plan: RolloutPlan,
        smoke_test: SmokeTest,
        deployer: Arc<dyn Deployer>,
        journal: Arc<dyn RolloutJournal>,
    ) -> Self {
        Self {
            state: RolloutState::new(plan),
            sequence: 0,
            smoke_test,
            deployer,
            journal,
            guards: Vec::new(),
            approvers: Vec::new(),
            registry: None,
            gate: None,
            metrics: None,
            audit: None,
            performance: None,
            reported: BTreeMap::new(),
            unaudited: VecDeque::new(),
        }
    }

    /// Drives a rollout on from where the journal says it is; from the beginning if the journal does not know it.
    ///
    /// The next [`advance`](Self::advance) looks at the endpoint again and does again whatever was under way. Guards, approvers,
    /// registry, gate, source of metrics and audit log are attached anew.
    ///
    /// # Errors
    /// Those of the journal; [`ErrorKind::Corrupt`] when what it holds is about another plan.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use mlops_core::deploy::{Deployer, SmokeTest};
    /// # use mlops_core::deploy::rollout::{RolloutDriver, RolloutJournal, RolloutPlan};
    /// # use mlops_core::time::Timestamp;
    /// async fn after_a_restart(
    ///     plan: RolloutPlan,
    ///     smoke_test: SmokeTest,
    ///     deployer: Arc<dyn Deployer>,
    ///     journal: Arc<dyn RolloutJournal>,
    ///     now: Timestamp,
    /// ) -> mlops_core::Result<()> {
    ///     let mut rollout = RolloutDriver::resume(plan, smoke_test, deployer, journal).await?;
    ///     println!("{}", rollout.advance(now).await?);
    ///     Ok(())
    /// }
    /// ```
    pub async fn resume(
        plan: RolloutPlan,
        smoke_test: SmokeTest,
        deployer: Arc<dyn Deployer>,
        journal: Arc<dyn RolloutJournal>,
    ) -> Result<Self> {
        let rollout = plan.digest()?;
        let entries = journal.entries(&rollout).await?;
        let mut driver = Self::new(plan, smoke_test, deployer, journal);
        for entry in entries {
            if entry.state.plan != driver.state.plan {
                let message = "the journal holds another plan under the digest of this one";
                return Err(
                    Error::new(ErrorKind::Corrupt, "RolloutDriver::resume", message).with("rollout", rollout)
                );
            }
            driver.take(entry, &rollout)?;
        }
        Ok(driver)
    }

    /// Adds a guard; the limits of the plan are always judged.
    #[must_use]
    pub fn with_guard(mut self, guard: Arc<dyn Guard>) -> Self {
        self.guards.push(guard);
        self
    }

    /// Adds somebody who is asked for an approval. Without anybody, hand approvals in with [`approve`](Self::approve).
    #[must_use]
    pub fn with_approver(mut self, approver: Arc<dyn Approver>) -> Self {
        self.approvers.push(approver);
        self
    }

    /// Sets where the version is looked up that the plan says the candidate is of.
    #[must_use]
    pub fn with_registry(mut self, registry: Arc<dyn ModelRegistry>) -> Self {
        self.registry = Some(registry);
        self
    }

    /// Hands in the decision of the gate that the plan demands.
    #[must_use]
    pub fn with_gate(mut self, decision: GateDecision) -> Self {
        self.gate = Some(decision);
        self
    }

    /// Sets where the metrics are that guards query.
    #[must_use]
    pub fn with_metrics(mut self, metrics: Arc<dyn MetricProvider>) -> Self {
        self.metrics = Some(metrics);
        self
    }

    /// Sets where every change of phase is recorded, once.
    #[must_use]
    pub fn with_audit(mut self, audit: Arc<dyn AuditLog>) -> Self {
        self.audit = Some(audit);
        self
    }

    /// The state.
    pub fn state(&self) -> &RolloutState {
        &self.state
    }

    /// How it is doing, as it was seen last.
    pub fn status(&self) -> RolloutStatus {
        RolloutStatus {
            phase: self.state.phase.clone(),
            share: self.state.share(),
            verdict: self.state.verdict,
            problem: self.state.problem.clone(),
        }
    }

    /// Tells the guards how candidate and stable version do on labelled rows. It counts for the step that is under way, until
    /// newer numbers come.
    pub fn report_performance(&mut self, performance: LabelledPerformance) {
        self.performance = Some((self.state.epoch, performance));
    }

    /// Hands a guard on a metric everything observed since the step began, in the order in which it was observed. It counts for the
    /// step that is under way, until more is reported. For a name that no guard has it changes nothing.
    pub fn report_observations(&mut self, guard: impl Into<String>, observations: Observations) {
        self.reported.insert(guard.into(), (self.state.epoch, observations));
    }

    /// Does everything that can be done now: starts, or goes on.
    ///
    /// # Errors
    /// See [`RolloutDriver`]. After an error the same call may be made again.
    pub async fn advance(&mut self, now: Timestamp) -> Result<RolloutStatus> {
        let event = match self.state.phase {
            Phase::Draft => {
                let endpoint = self.deployer.endpoint(self.state.plan.endpoint()).await?;
                Event::Started(traffic_of(&endpoint))
            }
            _ => Event::Tick,
        };
        self.feed(event, now).await
    }

    /// Holds the traffic where it is; guards go on judging.
    ///
    /// # Errors
    /// See [`RolloutDriver`].
    pub async fn pause(&mut self, reason: impl Into<String>, now: Timestamp) -> Result<RolloutStatus> {
        self.feed(Event::PauseRequested(reason.into()), now).await
    }

    /// Holds the traffic where it is, whatever guards say and however late it gets, until [`unpause`](Self::unpause) or
    /// [`abort`](Self::abort). A rollback that has begun is not held up.
    ///
    /// # Errors
    /// See [`RolloutDriver`].
    pub async fn freeze(&mut self, reason: impl Into<String>, now: Timestamp) -> Result<RolloutStatus> {
        self.feed(Event::FreezeRequested(reason.into()), now).await
    }

    /// Lets a paused or frozen rollout go on; a step bakes anew.
    ///
    /// # Errors
    /// See [`RolloutDriver`].
    pub async fn unpause(&mut self, now: Timestamp) -> Result<RolloutStatus> {
        self.feed(Event::Resumed, now).await
    }

    /// Rolls back.
    ///
    /// # Errors
    /// See [`RolloutDriver`].
    pub async fn abort(&mut self, reason: impl Into<String>, now: Timestamp) -> Result<RolloutStatus> {
        self.feed(Event::AbortRequested(reason.into()), now).await
    }

    /// Hands in an answer to the request for approval, bound to the digest of the plan.
    ///
    /// # Errors
    /// See [`RolloutDriver`].
    pub async fn approve(&mut self, approval: Approval, now: Timestamp) -> Result<RolloutStatus> {
        self.feed(Event::ApprovalGiven(approval), now).await
    }

    async fn feed(&mut self, event: Event, now: Timestamp) -> Result<RolloutStatus> {
        let mut events = VecDeque::from([event]);
        // Audited also when the run fails: what the journal has happened.
        let run = async {
            while let Some(event) = events.pop_front() {
                for effect in self.apply(event, now).await? {
                    events.extend(self.execute(effect, now).await);
                }
            }
            Ok(())
        };
        let result = run.await;
        let audited = self.flush_audit().await;
        result.and(audited)?;
        Ok(self.status())
    }

    /// Steps, and writes down the new state if there is one.
    async fn apply(&mut self, event: Event, now: Timestamp) -> Result<Vec<Effect>> {
        let (state, effects) = step(&self.state, &event, now)?;
        if state != self.state {
            let rollout = state.plan.digest()?;
            let entry = JournalEntry::new(self.sequence + 1, now, event, state, effects.clone());
            self.journal.append(&rollout, &entry).await?;
            self.take(entry, &rollout)?;
        }
        Ok(effects)
    }

    /// Makes the state of an entry the current one.
    fn take(&mut self, entry: JournalEntry, rollout: &Digest) -> Result<()> {
        if entry.sequence != self.sequence + 1 {
            let message = "the journal has a gap";
            let error = Error::new(ErrorKind::Corrupt, "RolloutDriver::resume", message);
            return Err(error.with("expected", self.sequence + 1).with("found", entry.sequence));
        }
        if std::mem::discriminant(&entry.state.phase) != std::mem::discriminant(&self.state.phase) {
            self.unaudited.push_back(audit_entry(&entry, rollout));
        }
        self.sequence = entry.sequence;
        self.state = entry.state;
        Ok(())
    }

    /// The log may be down while traffic has to move: it is written last, and what is missing is made up for by the next call.
    async fn flush_audit(&mut self) -> Result<()> {
        let Some(audit) = self.audit.clone() else {
            return Ok(());
        };
        while let Some(entry) = self.unaudited.front() {
            audit.append(entry).await?;
            self.unaudited.pop_front();
        }
        Ok(())
    }

    async fn execute(&self, effect: Effect, now: Timestamp) -> Vec<Event> {
        let kind = effect.kind();
        let epoch = self.state.epoch;
        let done = match effect {
            Effect::ObserveTraffic => self.observe().await.map(|event| vec![event]),
            Effect::RunPrechecks => self.run_prechecks().await.map(|event| vec![event]),
            Effect::EnsureCandidate => self.ensure_candidate().await.map(|event| vec![event]),
            Effect::SetMirror { epoch, change } => return self.set_mirror(epoch, &change).await,
            Effect::RunSmokeTest => self.run_smoke_test().await.map(|event| vec![event]),
            Effect::SetTraffic { epoch, change } => return self.set_traffic(epoch, &change).await,
            Effect::TakeBaseline { epoch } => self.take_baseline(epoch, now).await.map(|event| vec![event]),
            Effect::JudgeGuard { epoch } => Ok(vec![self.judge(epoch, now).await]),
            Effect::RequestApproval(request) => self.ask(&request, now).await,
            Effect::Promoted | Effect::Shadowed | Effect::RolledBack(_) | Effect::Escalate(_) => {
                Ok(Vec::new())
            }
        };
        done.unwrap_or_else(|error| vec![failure(kind, epoch, &error)])
    }

    async fn observe(&self) -> Result<Event> {
        let endpoint = self.deployer.endpoint(self.state.plan.endpoint()).await?;
        Ok(Event::TrafficObserved { traffic: traffic_of(&endpoint), answers: None })
    }

    async fn run_prechecks(&self) -> Result<Event> {
        let (registry, gate) = (self.registry.as_ref(), self.gate.as_ref());
        precheck(&self.state.plan, &self.deployer, registry, gate).await.map(Event::Prechecked)
    }

    /// The candidate as it is; made, where the plan says what it is of and it is not there.
    async fn ensure_candidate(&self) -> Result<Event> {
        let plan = &self.state.plan;
        let (endpoint, name) = (plan.endpoint(), plan.candidate());
        let there: Option<Deployment> = self.deployer.deployments(endpoint).await?.remove(name);
        let deployment = match (there, plan.release()) {
            (Some(there), _) => there,
            (None, Some(release)) => {
                self.deployer.deploy(&release.deployment(endpoint, name, plan.actor())).await?
            }
            (None, None) => return Err(Error::not_found("RolloutDriver::advance", "deployment", name)),
        };
        Ok(Event::CandidateSeen(Box::new(deployment)))
    }

    async fn run_smoke_test(&self) -> Result<Event> {
        let plan = &self.state.plan;
        self.smoke_test.run(&self.deployer, plan.endpoint(), plan.candidate()).await.map(Event::SmokeTested)
    }

    async fn set_traffic(&self, epoch: u64, change: &TrafficChange) -> Vec<Event> {
        let expected = self.expected(change.expected);
        let change = TrafficChange { expected, ..change.clone() };
        let answer = self.deployer.set_traffic(&change).await;
        self.answered(EffectKind::SetTraffic, epoch, change.key, answer).await
    }

    async fn set_mirror(&self, epoch: u64, change: &MirrorChange) -> Vec<Event> {
        let expected = self.expected(change.expected);
        let change = MirrorChange { expected, ..change.clone() };
        let answer = self.deployer.set_mirror(&change).await;
        self.answered(EffectKind::SetMirror, epoch, change.key, answer).await
    }

    fn expected(&self, revision: Option<u64>) -> Option<u64> {
        revision.filter(|_| self.deployer.capabilities().compare_and_set)
    }

    async fn answered(
        &self,
        effect: EffectKind,
        epoch: u64,
        key: IdempotencyKey,
        answer: Result<Endpoint>,
    ) -> Vec<Event> {
        match answer {
            Ok(endpoint) => {
                let traffic = traffic_of(&endpoint);
                vec![Event::TrafficObserved { traffic, answers: Some(key) }]
            }
            Err(error) if error.kind() == ErrorKind::Conflict => {
                self.after_conflict(effect, epoch, &error).await
            }
            Err(error) => vec![failure(effect, epoch, &error)],
        }
    }

    /// A conflict says that the endpoint is not as expected, or that the change cannot be made. Seen first, what follows from it
    /// may begin another epoch, and the failure then counts for nothing.
    async fn after_conflict(&self, effect: EffectKind, epoch: u64, error: &Error) -> Vec<Event> {
        let failed = failure(effect, epoch, error);
        match self.observe().await {
            Ok(observed) => vec![observed, failed],
            Err(_) => vec![failed],
        }
    }

    async fn take_baseline(&self, epoch: u64, now: Timestamp) -> Result<Event> {
        let (candidate, stable) = self.read_stats().await?;
        Ok(Event::BaselineTaken { epoch, baseline: Baseline { at: now, candidate, stable } })
    }

    async fn read_stats(&self) -> Result<(Option<OperationStats>, Option<OperationStats>)> {
        let plan = &self.state.plan;
        let candidate = self.stats(plan.candidate()).await?;
        let stable = match plan.stable() {
            Some(stable) => self.stats(stable).await?,
            None => None,
        };
        Ok((candidate, stable))
    }

    async fn stats(&self, deployment: &DeploymentName) -> Result<Option<OperationStats>> {
        if !self.deployer.capabilities().operation_stats {
            return Ok(None);
        }
        self.deployer.stats(self.state.plan.endpoint(), deployment).await.map(Some)
    }

    async fn judge(&self, epoch: u64, now: Timestamp) -> Event {
        match self.evidence(now).await {
            Ok(evidence) => {
                let judgement = self.ask_guards(&evidence);
                Event::GuardJudged { epoch, judgement, evidence: Some(Box::new(evidence)) }
            }
            // Counters that cannot be read are no data: the plan says what to do about that.
            Err(error) => {
                let judgement = Judgement::new(GuardVerdict::NoData, error.to_string());
                Event::GuardJudged { epoch, judgement, evidence: None }
            }
        }
    }

    async fn evidence(&self, now: Timestamp) -> Result<GuardEvidence> {
        let (candidate, stable) = self.read_stats().await?;
        let baseline = self.state.baseline.as_ref();
        let delta = |earlier: Option<OperationStats>, now: Option<OperationStats>| match (earlier, now) {
            (Some(earlier), Some(now)) => Some(since(&earlier, &now)),
            _ => None,
        };
        let candidate = delta(baseline.and_then(|b| b.candidate), candidate);
        let stable = delta(baseline.and_then(|b| b.stable), stable);
        let mut evidence = GuardEvidence::new(self.state.share(), candidate, stable);
        evidence.elapsed = baseline.map(|b| elapsed(b.at, now)).unwrap_or_default();
        let current = self.performance.as_ref().filter(|(epoch, _)| *epoch == self.state.epoch);
        evidence.performance = current.map(|(_, performance)| performance.clone());
        let options = self.state.plan.options();
        for guard in &options.metrics {
            let found = self.find(guard, &evidence, now).await;
            evidence.findings.push(found);
        }
        // For who reads the journal; the rules score what was found themselves.
        for score in &options.scores {
            let finding = score.judge(&evidence.findings);
            evidence.findings.push(GuardFinding { guard: score.name.clone(), finding });
        }
        Ok(evidence)
    }

    async fn find(&self, guard: &MetricGuard, evidence: &GuardEvidence, now: Timestamp) -> GuardFinding {
        let seen = match &guard.source {
            MetricSource::Failures => {
                let counted = evidence.candidate.as_ref();
                let counted = counted.and_then(|stats| failures(stats, evidence.stable.as_ref()));
                counted.ok_or_else(|| "the deployer does not tell how the candidate does".to_owned())
            }
            MetricSource::Reported => {
                let reported = self.reported.get(&guard.name).filter(|(epoch, _)| *epoch == self.state.epoch);
                let reported = reported.map(|(_, seen)| seen.clone());
                reported.ok_or_else(|| "nobody reported it in this step".to_owned())
            }
            MetricSource::Query(query) => self.query(query, guard.min_samples, now).await,
        };
        let seen = seen.as_ref().map_err(String::as_str);
        let earlier = self.state.earlier.get(&guard.name).copied().unwrap_or(Evidence::default());
        let alone = evidence.share == Percent::ALL;
        GuardFinding { guard: guard.name.clone(), finding: guard.find(seen, earlier, alone) }
    }

    /// What the source of metrics observed in the query's window of this step; or why there is nothing.
    async fn query(
        &self,
        query: &MetricQuery,
        min_samples: u64,
        now: Timestamp,
    ) -> std::result::Result<Observations, String> {
        let Some(metrics) = &self.metrics else { return Err("there is no source of metrics to ask".into()) };
        let began = self.state.baseline.as_ref().map(|baseline| baseline.at);
        let Some((from, to)) = began.and_then(|began| query.window(began, now)) else {
            return Err("its window has not begun".into());
        };
        let plan = &self.state.plan;
        let request = MetricRequest {
            metric: &query.metric,
            endpoint: plan.endpoint(),
            candidate: plan.candidate(),
            stable: plan.stable(),
            from,
            to,
            min_samples,
        };
        match metrics.observe(&request).await {
            Ok(Some(seen)) => Ok(seen),
            Ok(None) => Err(format!("the source of metrics has no {}", query.metric)),
            Err(error) => Err(error.to_string()),
        }
    }

    fn ask_guards(&self, evidence: &GuardEvidence) -> Judgement {
        let options = self.state.plan.options();
        let limits = ("operation", options.limits.judge(evidence));
        let attached = self.guards.iter().map(|guard| (guard.name(), guard.judge(evidence)));
        let is_missing = |name: &&String| !self.guards.iter().any(|guard| guard.name() == name.as_str());
        let missing = options.guards.iter().filter(is_missing).map(|name| {
            (
                name.as_str(),
                Judgement::new(GuardVerdict::NoData, "the plan demands this guard, it is not there"),
            )
        });
        Judgement::all([limits].into_iter().chain(attached).chain(missing))
    }

    async fn ask(&self, request: &ApprovalRequest, now: Timestamp) -> Result<Vec<Event>> {
        let mut answers = Vec::with_capacity(self.approvers.len());
        for approver in &self.approvers {
            answers.push(Event::ApprovalGiven(approver.decide(request, now).await?));
        }
        Ok(answers)
    }
}

fn traffic_of(endpoint: &Endpoint) -> ObservedTraffic {
    let (split, revision, mirror) = (endpoint.traffic.clone(), endpoint.revision, endpoint.mirror.clone());
    ObservedTraffic { split, revision, mirror }
}

fn failure(effect: EffectKind, epoch: u64, error: &Error) -> Event {
    // A conflict and a lost answer are tried again: the change has its key and names what it expects.
    let again = matches!(error.kind(), ErrorKind::Conflict | ErrorKind::UnknownOutcome);
    let retryable = error.is_retryable() || again;
    Event::EffectFailed { effect, epoch, retryable, message: error.to_string() }
}

fn audit_entry(entry: &JournalEntry, rollout: &Digest) -> AuditEntry {
    let (plan, phase) = (&entry.state.plan, &entry.state.phase);
    let action = match phase {
        Phase::Draft => "rollout.draft",
        Phase::Prechecks { .. } => "rollout.precheck",
        Phase::Deploying { .. } => "rollout.deploy",
        Phase::SmokeTest => "rollout.smoke_test",
        Phase::Mirroring => "rollout.mirror",
        Phase::Shadowing { .. } => "rollout.shadow",
        Phase::Unmirroring => "rollout.unmirror",
        Phase::Shifting { .. } => "rollout.shift",
        Phase::Baking { .. } => "rollout.bake",
        Phase::AwaitingApproval { .. } => "rollout.await_approval",
        Phase::Paused { .. } => "rollout.pause",
        Phase::Draining { .. } => "rollout.drain",
        Phase::Frozen { .. } => "rollout.freeze",
        Phase::RollingBack { .. } => "rollout.roll_back",
        Phase::RolledBack { .. } => "rollout.rolled_back",
        Phase::Promoted => "rollout.promote",
        Phase::Shadowed => "rollout.shadowed",
        Phase::Failed { .. } => "rollout.fail",
    };
    let subject = format!("endpoint/{}/deployment/{}", plan.endpoint(), plan.candidate());
    let hasher = Hasher::new("mlops.rollout.audit/v1").field(rollout.as_bytes());
    let key = IdempotencyKey::from_digest(&hasher.field(entry.sequence.to_le_bytes()).finish());
    AuditEntry::new(plan.actor().clone(), action, subject)
        .with_key(key)
        .with_digest(*rollout)
        .with_detail(phase.to_string())
}
