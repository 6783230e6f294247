//! The loop against the registry in memory and an endpoint that fails on demand.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::*;
use crate::artifact::ArtifactStoreExt as _;
use crate::deploy::TrafficSplit;
use crate::deploy::rollout::judge::{Observations, Threshold};
use crate::deploy::rollout::support::{
    Officer, Shared, TestAudit, TestDeployer, Trouble, actor, at, endpoint_name, name, smoke_test,
};
use crate::deploy::rollout::{
    MetricGuard, MetricProvider, MetricQuery, MetricRequest, OperationGuard, RolloutOptions, ThinData,
    VecJournal,
};
use crate::error::{ErrorKind, Result};
use crate::evaluation::{ChampionRules, CriterionResult, Estimate, EvaluationReport, GateDecision, Verdict};
use crate::governance::{Approval, ApprovalDecision, AuditLog as _};
use crate::hash::Digest;
use crate::id::{Alias, IdempotencyKey, MetricKey, ModelName, Percent, RunId, Version};
use crate::memory::{MemoryArtifactStore, MemoryModelRegistry};
use crate::model::{ModelFormat, Signature};
use crate::monitor::{
    DriftReport, DriftVerdict, FeatureDrift, FeatureOutcome, FeatureScore, MonitorReport, MonitorSpec,
    SignalKind, SignalOutcome, SignalReport, SignalSpec, Window,
};
use crate::num::Measured;
use crate::problem::{Direction, Task};
use crate::registry::{AliasChange, ModelRegistry, ModelVersion, NewModelVersion, Protection};
use crate::retrain::gates::{CauseKind, GateInput, RetrainCause, RetrainGates};
use crate::retrain::{DriftTrigger, Signal, TriggerDecision, TriggerOutcome, TriggerState};
use crate::time::{ManualClock, lock};

fn model() -> ModelName {
    ModelName::new("diabetes").unwrap()
}

fn champion() -> Alias {
    Alias::new("champion").unwrap()
}

fn fired(reason: &str) -> TriggerDecision {
    TriggerDecision { outcome: TriggerOutcome::Fire(reason.into()), state: TriggerState::default() }
}

fn gate(artifact: Digest, verdict: Verdict) -> GateDecision {
    let criterion = CriterionResult::new("accuracy", verdict, None, "0.70 at least");
    let report = Digest::of(b"report");
    GateDecision::new("release", Digest::of(b"gate"), artifact, report, None, at(0), vec![criterion])
}

fn id() -> IdempotencyKey {
    IdempotencyKey::new("the-loop").unwrap()
}

fn run(name: &str) -> RunId {
    RunId::new(&Digest::of(name.as_bytes()).hex()[..32]).unwrap()
}

fn cause(id: &str) -> RetrainCause {
    RetrainCause::new(CauseKind::Event, "lake", id, format!("reason {id}"))
}

/// All backends, and a loop over them.
struct Plant {
    artifacts: Arc<MemoryArtifactStore>,
    registry: Arc<MemoryModelRegistry>,
    deployer: Arc<TestDeployer>,
    audit: Arc<TestAudit>,
    clock: Arc<ManualClock>,
    journal: Arc<VecJournal>,
    loops: Arc<dyn LoopJournal>,
    config: LoopConfig,
}

impl Plant {
    fn new(fate: Shared) -> Self {
        let (artifacts, clock) = (Arc::new(MemoryArtifactStore::default()), Arc::new(ManualClock::at(at(0))));
        let registry = MemoryModelRegistry::new(artifacts.clone(), clock.clone())
            .with_protected(champion(), Protection::Gate);
        let mut deployer = TestDeployer::new(TrafficSplit::none());
        deployer.fate = fate;
        let options = RolloutOptions::default()
            .with_steps(Percent::new(10).into_iter().chain([Percent::ALL]))
            .with_bake(Duration::ZERO)
            .on_no_data(ThinData::Rollback)
            .with_limits(OperationGuard::default().with_min_requests(10));
        let config = LoopConfig::new(model(), champion(), endpoint_name(), actor("retraining"));
        Self {
            artifacts,
            registry: Arc::new(registry),
            deployer: Arc::new(deployer),
            audit: Arc::default(),
            clock,
            journal: Arc::default(),
            loops: Arc::new(VecLoopJournal::default()),
            config: config.with_rollout(options),
        }
    }

    fn backends(&self) -> LoopBackends {
        LoopBackends {
            registry: self.registry.clone(),
            deployer: self.deployer.clone(),
            journal: self.journal.clone(),
            audit: self.audit.clone(),
            clock: self.clock.clone(),
        }
    }

    /// A loop that goes on from the journal, as after a restart.
    async fn resume(&self) -> ClosedLoop {
        let start = LoopState::new(self.config.clone(), None).with_id(id());
        let resumed = ClosedLoop::resume(start, self.loops.clone(), self.backends(), smoke_test()).await;
        resumed.unwrap().with_approver(Arc::new(Officer(ApprovalDecision::Approved)))
    }

    /// What the journal has recorded about reasons.
    async fn records(&self) -> Vec<String> {
        let entries = self.loops.entries(&id(), 0, 1_000).await.unwrap();
        let effects = entries.into_iter().flat_map(|entry| entry.effects);
        let recorded = effects.filter_map(|effect| match effect {
            LoopEffect::Recorded(record) => Some(record.to_string()),
            LoopEffect::Suppressed(reason) => Some(reason),
            _ => None,
        });
        recorded.collect()
    }

    fn run_from(&self, state: LoopState) -> ClosedLoop {
        let backends = self.backends();
        // What is kept is read back.
        let text = serde_json::to_string(&state).unwrap();
        let read: LoopState = serde_json::from_str(&text).unwrap();
        assert_eq!(read, state);
        ClosedLoop::new(read, backends, smoke_test())
            .unwrap()
            .with_approver(Arc::new(Officer(ApprovalDecision::Approved)))
    }

    fn start(&self) -> ClosedLoop {
        self.run_from(LoopState::new(self.config.clone(), None))
    }

    async fn register(&self, content: &str) -> ModelVersion {
        let stored = self.artifacts.put_bytes(content.as_bytes().to_vec()).await.unwrap();
        let format = ModelFormat::new("mlops.linear/v1").unwrap();
        let signature = Signature::new(Task::BinaryClassification, Vec::new());
        let new = NewModelVersion::new(model(), stored.digest, format, signature, actor("trainer"));
        let version = self.registry.register(&new).await.unwrap();
        lock(&self.deployer.state).artifacts.insert(version.version, stored.digest);
        version
    }

    async fn alias(&self) -> Option<u64> {
        let aliases = self.registry.aliases(&model()).await.unwrap();
        aliases.into_iter().find(|(alias, _)| *alias == champion()).map(|(_, version)| version.get())
    }

    fn serves(&self, version: u64) -> bool {
        self.deployer.traffic() == TrafficSplit::all_to(name(&format!("v-{version}")))
    }

    fn actions(&self) -> Vec<String> {
        let records = lock(&self.audit.records);
        let of_the_loop = records.iter().filter(|record| record.entry.action.starts_with("retrain."));
        of_the_loop.map(|record| record.entry.action["retrain.".len()..].to_owned()).collect()
    }
}

/// From a trigger to what became of the challenger, with traffic in between.
async fn cycle(plant: &Plant, one: &mut ClosedLoop, version: &ModelVersion) -> Result<LoopPhase> {
    assert!(one.trigger(&fired("drift")).await?);
    let run = RunId::generate();
    one.training_started(&run).await?;
    one.training_finished().await?;
    one.judged(version, &gate(version.spec.artifact, Verdict::Pass)).await?;
    to_rest(plant, one).await
}

async fn to_rest(plant: &Plant, one: &mut ClosedLoop) -> Result<LoopPhase> {
    for _ in 0..20 {
        if one.state().phase.is_at_rest() {
            return Ok(one.state().phase.clone());
        }
        plant.deployer.send_traffic();
        one.advance().await?;
    }
    panic!("it did not end: {:?}", one.state());
}

#[tokio::test]
async fn challengers_become_champions_and_the_alias_is_what_serves() {
    let plant = Plant::new(Shared::default());
    let mut one = plant.start();
    for number in 1..=3 {
        let version = plant.register(&format!("weights {number}")).await;
        let phase = cycle(&plant, &mut one, &version).await.unwrap();
        assert_eq!(phase, LoopPhase::Promoted { version: version.version });
        assert_eq!(plant.alias().await, Some(number));
        assert!(plant.serves(number));
    }
    assert_eq!(one.state().previous.as_ref().map(|serving| serving.version.get()), Some(2));
    let expected = ["request", "train", "evaluate", "challenger_ready", "roll_out", "move_alias", "promote"];
    assert_eq!(plant.actions(), expected.repeat(3));
    assert!(plant.audit.verify(None).await.unwrap().is_intact());
}

#[tokio::test]
async fn the_alias_moves_only_when_the_challenger_has_all_traffic() {
    let plant = Plant::new(Shared::default());
    let mut one = plant.start();
    let first = plant.register("one").await;
    cycle(&plant, &mut one, &first).await.unwrap();
    let second = plant.register("two").await;
    one.trigger(&fired("drift")).await.unwrap();
    one.training_started(&RunId::generate()).await.unwrap();
    one.training_finished().await.unwrap();
    one.judged(&second, &gate(second.spec.artifact, Verdict::Pass)).await.unwrap();
    while !one.state().phase.is_at_rest() {
        let all = plant.serves(2) && one.rollout().is_some_and(|status| status.is_promoted());
        assert_eq!(plant.alias().await, Some(if all { 2 } else { 1 }));
        plant.deployer.send_traffic();
        one.advance().await.unwrap();
    }
    assert_eq!(plant.alias().await, Some(2));
}

#[tokio::test]
async fn a_bad_challenger_is_rolled_back_and_its_content_gets_no_other_chance() {
    let plant = Plant::new(Shared::default());
    let mut one = plant.start();
    let good = plant.register("good").await;
    cycle(&plant, &mut one, &good).await.unwrap();

    let bad = plant.register("bad").await;
    plant.deployer.fail_at("v-2");
    let phase = cycle(&plant, &mut one, &bad).await.unwrap();
    assert!(matches!(phase, LoopPhase::RolledBack { version, .. } if version == bad.version));
    assert!(plant.serves(1));
    assert_eq!(plant.alias().await, Some(1));

    // The same content under another version number.
    let again = plant.register("bad").await;
    assert_ne!(again.version, bad.version);
    let phase = cycle(&plant, &mut one, &again).await.unwrap();
    let LoopPhase::GateFailed { reason } = phase else { panic!("{phase:?}") };
    assert!(reason.contains("rolled back"), "{reason}");
    assert!(plant.serves(1));

    lock(&plant.deployer.state).failing = None;
    one.release(&again.spec.artifact, "the fault was in the network").await.unwrap();
    let phase = cycle(&plant, &mut one, &again).await.unwrap();
    assert_eq!(phase, LoopPhase::Promoted { version: again.version });
}

#[tokio::test]
async fn too_many_gate_failures_in_a_row_open_the_circuit_breaker() {
    let plant = Plant::new(Shared::default());
    let mut one = plant.start();
    for (number, verdict) in [Verdict::Fail, Verdict::Insufficient, Verdict::Fail].into_iter().enumerate() {
        assert!(!one.state().breaker_open);
        let version = plant.register(&format!("weak {number}")).await;
        one.trigger(&fired("drift")).await.unwrap();
        one.training_started(&RunId::generate()).await.unwrap();
        one.training_finished().await.unwrap();
        let phase = one.judged(&version, &gate(version.spec.artifact, verdict)).await.unwrap();
        assert!(matches!(phase, LoopPhase::GateFailed { .. }));
    }
    assert!(one.state().breaker_open);
    assert!(!one.trigger(&fired("drift")).await.unwrap());
    assert_eq!(plant.actions().last().map(String::as_str), Some("suppress"));
    assert!(plant.actions().contains(&"escalate".to_owned()));
    one.reset("looked at the data").await.unwrap();
    assert!(one.trigger(&fired("drift")).await.unwrap());
}

#[tokio::test]
async fn reasons_that_are_held_back_are_recorded() {
    let plant = Plant::new(Shared::default());
    let mut one = plant.start();
    let held = TriggerOutcome::Suppressed("cooldown".into());
    let decision = TriggerDecision { outcome: held, state: TriggerState::default() };
    assert!(!one.trigger(&decision).await.unwrap());
    assert!(one.trigger(&fired("drift")).await.unwrap());
    assert!(!one.trigger(&fired("schedule")).await.unwrap(), "one cycle at a time");
    assert_eq!(plant.actions(), ["suppress", "request", "suppress"]);
    let details: Vec<_> = lock(&plant.audit.records).iter().map(|r| r.entry.detail.clone()).collect();
    assert_eq!(details[0], "cooldown");
    assert!(details[2].contains("under way") && details[2].contains("schedule"), "{}", details[2]);
}

#[tokio::test]
async fn nothing_is_deployed_before_the_approval() {
    for (decision, promoted) in [(ApprovalDecision::Approved, true), (ApprovalDecision::Rejected, false)] {
        let mut plant = Plant::new(Shared::default());
        plant.config = plant.config.with_approval();
        let mut one = plant.start().with_approver(Arc::new(Officer(decision)));
        let version = plant.register("one").await;
        let phase = cycle(&plant, &mut one, &version).await.unwrap();
        assert_eq!(matches!(phase, LoopPhase::Promoted { .. }), promoted, "{phase:?}");
        assert_eq!(plant.serves(1), promoted);
        assert_eq!(plant.alias().await.is_some(), promoted);
    }
}

#[tokio::test]
async fn an_approval_that_does_not_come_in_time_declines() {
    let mut plant = Plant::new(Shared::default());
    plant.config = plant.config.with_approval().with_approval_window(Duration::from_secs(3_600));
    let mut one = plant.start().with_approver(Arc::new(Officer(ApprovalDecision::Pending)));
    let version = plant.register("one").await;
    one.trigger(&fired("drift")).await.unwrap();
    one.training_started(&RunId::generate()).await.unwrap();
    one.training_finished().await.unwrap();
    one.judged(&version, &gate(version.spec.artifact, Verdict::Pass)).await.unwrap();
    plant.clock.advance(Duration::from_secs(3_599));
    assert!(matches!(one.advance().await.unwrap(), LoopPhase::AwaitingApproval { .. }));
    plant.clock.advance(Duration::from_secs(1));
    let until = at(3_600);
    assert_eq!(*one.advance().await.unwrap(), LoopPhase::Expired { version: version.version, until });
    assert!(plant.deployer.traffic().is_none());
    // A yes that comes now is too late, and the next cycle begins as from rest.
    assert!(matches!(one.advance().await.unwrap(), LoopPhase::Expired { .. }));
    assert!(one.trigger(&fired("drift")).await.unwrap());
    let (actions, expired) = (plant.actions(), one.state().cycle);
    assert_eq!(actions[actions.len() - 2..], ["expire", "request"]);
    assert_eq!(expired, 2);
}

#[test]
fn a_yes_that_comes_too_late_lets_the_challenger_expire() {
    let config = Plant::new(Shared::default()).config.with_approval();
    let config = config.with_approval_window(Duration::from_secs(60));
    let artifact = Digest::of(b"one");
    let (version, gate) = (Version::FIRST, Box::new(gate(artifact, Verdict::Pass)));
    let mut state = LoopState::new(config, None);
    for event in [
        LoopEvent::Triggered("drift".into()),
        LoopEvent::TrainingStarted(run("one")),
        LoopEvent::TrainingFinished,
        LoopEvent::Judged { version, artifact, gate, comparison: None },
    ] {
        state = step(&state, &event, at(0)).unwrap().0;
    }
    let LoopPhase::AwaitingApproval { request, until, .. } = state.phase.clone() else { panic!("{state:?}") };
    let yes = Approval::answer(&request, ApprovalDecision::Approved, actor("officer"), "", at(1));
    let (early, _) = step(&state, &LoopEvent::ApprovalGiven(yes.clone()), at(59)).unwrap();
    assert!(matches!(early.phase, LoopPhase::ChallengerReady { .. }));
    let (late, effects) = step(&state, &LoopEvent::ApprovalGiven(yes), at(60)).unwrap();
    assert_eq!((late.phase, effects), (LoopPhase::Expired { version, until }, Vec::new()));
}

#[cfg(feature = "signing")]
#[tokio::test]
async fn an_answer_counts_only_as_its_approver_signed_it() {
    use crate::governance::{ApproverKeys, SigningApprover};
    use crate::oversight::signing::SigningKey;

    let (key, strange) = (SigningKey::generate().unwrap(), SigningKey::generate().unwrap());
    let keys = ApproverKeys::new().with_key(actor("officer"), key.verifying_key().to_pem().unwrap()).unwrap();
    let mut plant = Plant::new(Shared::default());
    // The registry asks for the same signature when the alias moves.
    let registry = MemoryModelRegistry::new(plant.artifacts.clone(), plant.clock.clone())
        .with_protected(champion(), Protection::GateAndApproval)
        .with_approver_keys(keys.clone());
    plant.registry = Arc::new(registry);
    plant.config = plant.config.with_approver_keys(keys);
    let (one, version) = awaiting(&plant, "one").await;
    drop(one);
    let officer = |decision| Arc::new(Officer(decision));
    let signing =
        |key: &SigningKey, decision| SigningApprover::new(officer(decision), actor("officer"), key.clone());
    for approver in [
        officer(ApprovalDecision::Approved) as Arc<dyn crate::governance::Approver>,
        officer(ApprovalDecision::Rejected),
        Arc::new(signing(&strange, ApprovalDecision::Approved)),
    ] {
        let mut one = plant.resume().await.with_approver(approver);
        assert_eq!(one.advance().await.unwrap_err().kind(), ErrorKind::Rejected);
        assert!(matches!(one.state().phase, LoopPhase::AwaitingApproval { .. }), "as it was");
    }
    let approver = Arc::new(signing(&key, ApprovalDecision::Approved));
    let mut one = plant.resume().await.with_approver(approver);
    assert_eq!(to_rest(&plant, &mut one).await.unwrap(), LoopPhase::Promoted { version: version.version });
    assert_eq!(plant.alias().await, Some(1));
    let mut silent = plant.config.clone();
    silent.approval = false;
    assert_eq!(silent.check().unwrap_err().context("field"), Some("approver_keys"));
}

/// A loop of which a challenger awaits an approval that does not come.
async fn awaiting(plant: &Plant, content: &str) -> (ClosedLoop, ModelVersion) {
    let mut one = plant.resume().await.with_approver(Arc::new(Officer(ApprovalDecision::Pending)));
    let version = plant.register(content).await;
    assert!(one.cause(&cause(content)).await.unwrap());
    one.training_started(&run(content)).await.unwrap();
    one.training_finished().await.unwrap();
    let phase = one.judged(&version, &gate(version.spec.artifact, Verdict::Pass)).await.unwrap();
    assert!(matches!(phase, LoopPhase::AwaitingApproval { .. }), "{phase:?}");
    (one, version)
}

#[tokio::test]
async fn a_newer_reason_supersedes_a_challenger_that_awaits_approval() {
    let mut plant = Plant::new(Shared::default());
    let gates = RetrainGates::new(model()).with_cooldown(Duration::from_secs(60));
    plant.config = plant.config.with_approval().with_supersede().with_gates(gates);
    let (mut one, version) = awaiting(&plant, "one").await;
    assert!(!one.cause(&cause("early")).await.unwrap(), "the cooldown holds it back");
    assert!(matches!(one.state().phase, LoopPhase::AwaitingApproval { .. }));
    plant.clock.advance(Duration::from_secs(60));
    assert!(!one.cause(&cause("one")).await.unwrap(), "it is known");
    assert!(one.cause(&cause("two")).await.unwrap());
    assert_eq!(one.state().cycle, 2);
    assert_eq!(one.state().request.as_ref().map(|request| request.causes.clone()), Some(vec![cause("two")]));
    let entries = plant.loops.entries(&id(), 0, 1_000).await.unwrap();
    let superseded: Vec<_> = entries
        .iter()
        .filter_map(|entry| match &entry.phase {
            Some(LoopPhase::Superseded { version, reason }) => Some((*version, reason.as_str())),
            _ => None,
        })
        .collect();
    assert_eq!(superseded, [(version.version, "there is a newer reason to retrain: reason two")]);
    let actions = plant.actions();
    assert_eq!(actions[actions.len() - 3..], ["supersede", "defer", "request"]);
    // A yes that comes now is about nothing that waits.
    let mut one = plant.resume().await;
    assert!(matches!(one.advance().await.unwrap(), LoopPhase::Requested { .. }));
    assert!(plant.deployer.traffic().is_none());
}

#[tokio::test]
async fn a_reason_that_waited_before_there_was_a_challenger_does_not_supersede_it() {
    for supersede in [false, true] {
        let mut plant = Plant::new(Shared::default());
        plant.config = plant.config.with_approval();
        plant.config.supersede = supersede;
        let mut one = plant.resume().await.with_approver(Arc::new(Officer(ApprovalDecision::Pending)));
        let version = plant.register("one").await;
        assert!(one.cause(&cause("one")).await.unwrap());
        one.training_started(&run("one")).await.unwrap();
        assert!(!one.cause(&cause("two")).await.unwrap());
        one.training_finished().await.unwrap();
        one.judged(&version, &gate(version.spec.artifact, Verdict::Pass)).await.unwrap();
        assert!(matches!(one.advance().await.unwrap(), LoopPhase::AwaitingApproval { .. }));
        // One that comes now does, where the loop is told so.
        assert_eq!(one.cause(&cause("three")).await.unwrap(), supersede);
        let waits = one.state().gates.waiting.len();
        assert_eq!((waits, one.state().cycle), if supersede { (0, 2) } else { (2, 1) });
    }
}

#[tokio::test]
async fn a_reason_that_has_passed_its_debounce_supersedes() {
    let mut plant = Plant::new(Shared::default());
    let gates = RetrainGates::new(model()).with_debounce(Duration::from_secs(60));
    plant.config = plant.config.with_approval().with_supersede().with_gates(gates);
    let mut one = plant.resume().await.with_approver(Arc::new(Officer(ApprovalDecision::Pending)));
    let version = plant.register("one").await;
    one.trigger(&fired("drift")).await.unwrap();
    one.training_started(&run("one")).await.unwrap();
    one.training_finished().await.unwrap();
    one.judged(&version, &gate(version.spec.artifact, Verdict::Pass)).await.unwrap();
    assert!(!one.cause(&cause("two")).await.unwrap());
    assert!(matches!(one.advance().await.unwrap(), LoopPhase::AwaitingApproval { .. }));
    plant.clock.advance(Duration::from_secs(60));
    assert_eq!(*one.advance().await.unwrap(), LoopPhase::Requested { reason: "reason two".into() });
}

#[tokio::test]
async fn a_newer_version_that_passed_supersedes_one_that_awaits_approval() {
    let mut plant = Plant::new(Shared::default());
    plant.config = plant.config.with_approval().with_supersede();
    let (mut one, first) = awaiting(&plant, "one").await;
    let (second, third) = (plant.register("two").await, plant.register("three").await);
    // What did not pass takes nobody's place.
    let failed = gate(second.spec.artifact, Verdict::Fail);
    assert_eq!(one.judged(&second, &failed).await.unwrap_err().kind(), ErrorKind::Rejected);
    assert!(matches!(one.state().phase, LoopPhase::AwaitingApproval { .. }));
    let passed = gate(third.spec.artifact, Verdict::Pass);
    let waits = |phase: &LoopPhase, version: &ModelVersion| matches!(phase, LoopPhase::AwaitingApproval { challenger, .. } if challenger.version == version.version);
    assert!(waits(one.judged(&third, &passed).await.unwrap(), &third));
    assert_eq!((one.state().cycle, one.state().request.clone()), (2, None));
    // The one before does not come back, and the same is known.
    let old = gate(first.spec.artifact, Verdict::Pass);
    assert_eq!(one.judged(&first, &old).await.unwrap_err().kind(), ErrorKind::Conflict);
    assert!(waits(one.judged(&third, &passed).await.unwrap(), &third));
    let mut one = plant.resume().await;
    assert_eq!(to_rest(&plant, &mut one).await.unwrap(), LoopPhase::Promoted { version: third.version });
    let actions = plant.actions();
    assert_eq!(actions.iter().filter(|action| *action == "supersede").count(), 1, "{actions:?}");
}

#[tokio::test]
async fn what_was_superseded_by_a_version_that_the_crash_forgot_takes_it_when_it_is_told_again() {
    let mut plant = Plant::new(Shared::default());
    plant.config = plant.config.with_approval().with_supersede();
    let (mut one, first) = awaiting(&plant, "one").await;
    let second = plant.register("two").await;
    // The process ends between the two entries.
    one.supersede("version 2 is newer and has passed the gate").await.unwrap();
    drop(one);
    let mut one = plant.resume().await;
    assert!(matches!(&one.state().phase, LoopPhase::Superseded { version, .. } if *version == first.version));
    let old = gate(first.spec.artifact, Verdict::Pass);
    assert_eq!(one.judged(&first, &old).await.unwrap_err().kind(), ErrorKind::Conflict);
    one.judged(&second, &gate(second.spec.artifact, Verdict::Pass)).await.unwrap();
    assert_eq!(to_rest(&plant, &mut one).await.unwrap(), LoopPhase::Promoted { version: second.version });
    assert_eq!(one.supersede("too late").await.unwrap_err().kind(), ErrorKind::Conflict);
}

#[test]
fn what_was_written_before_there_was_superseding_reads_as_it_was() {
    let config = r#"{"model":"diabetes","alias":"champion","endpoint":"diabetes","actor":"retraining","approval":true}"#;
    let state = format!(
        r#"{{"schema":1,"id":"the-loop","config":{config},"cycle":1,"phase":{{"declined":{{"version":1,"reason":"nobody answered in time"}}}},"serving":null,"previous":null,"gate_failures":0,"breaker_open":false,"quarantine":[]}}"#
    );
    let state: LoopState = serde_json::from_str(&state).unwrap();
    assert!(!state.config.supersede && state.phase.is_at_rest());
    assert_eq!(state.phase.to_string(), "version 1 is declined: nobody answered in time");
    // Rules that say nothing about it are written as they were.
    assert!(!serde_json::to_string(&state).unwrap().contains("supersede"));
    let entry = r#"{"sequence":7,"at":"2026-01-01T00:00:00Z","event":"tick","phase":{"declined":{"version":1,"reason":"nobody answered in time"}},"effects":[]}"#;
    let entry: LoopEntry = serde_json::from_str(entry).unwrap();
    assert_eq!(entry.phase.as_ref(), Some(&state.phase));
}

/// Every pair of a phase and an event: a step that is refused changes nothing, ends are ends, and one that is superseded or has
/// expired is not deployed by anything that comes later in its cycle.
#[test]
fn nothing_leads_from_an_end_back_to_the_challenger() {
    let config = Plant::new(Shared::default()).config.with_approval().with_supersede();
    let artifact = Digest::of(b"one");
    let judged = |version: u64| LoopEvent::Judged {
        version: Version::new(version).unwrap(),
        artifact,
        gate: Box::new(gate(artifact, Verdict::Pass)),
        comparison: None,
    };
    let events = |state: &LoopState| {
        let mut events = vec![
            LoopEvent::Tick,
            LoopEvent::Superseded("newer".into()),
            LoopEvent::Cancelled("no".into()),
            LoopEvent::Triggered("drift".into()),
            LoopEvent::Retried("no disk".into()),
            LoopEvent::TrainingStarted(run("one")),
            LoopEvent::TrainingFinished,
            LoopEvent::TrainingFailed("no disk".into()),
            judged(1),
            LoopEvent::DeployFailed("no".into()),
            LoopEvent::RolloutPromoted,
            LoopEvent::AliasMoved,
            LoopEvent::Signalled(GateInput::Cause(cause("later"))),
        ];
        if let LoopPhase::AwaitingApproval { request, .. } = &state.phase {
            for decision in
                [ApprovalDecision::Approved, ApprovalDecision::Rejected, ApprovalDecision::Pending]
            {
                let answer = Approval::answer(request, decision, actor("officer"), "", at(1));
                events.push(LoopEvent::ApprovalGiven(answer));
            }
        }
        events
    };
    // Breadth first over what can be reached in five steps, at two times: in time, and too late for an answer.
    let mut reached = vec![LoopState::new(config, None).with_id(id())];
    let (mut ends, mut seen) = (0, 0);
    for _ in 0..6 {
        let mut next: Vec<LoopState> = Vec::new();
        for state in &reached {
            for event in events(state) {
                for now in [at(10), at(8 * 86_400)] {
                    let Ok((after, _)) = step(state, &event, now) else { continue };
                    seen += 1;
                    let ended =
                        matches!(state.phase, LoopPhase::Superseded { .. } | LoopPhase::Expired { .. });
                    let waits = matches!(
                        after.phase,
                        LoopPhase::AwaitingApproval { .. } | LoopPhase::ChallengerReady { .. }
                    );
                    assert!(!(ended && waits), "{event:?} led from {:?} to {:?}", state.phase, after.phase);
                    ends += u64::from(ended);
                    if after.cycle == state.cycle && ended {
                        assert_eq!(after.phase, state.phase);
                    }
                    if after != *state && !next.contains(&after) {
                        next.push(after);
                    }
                }
            }
        }
        reached = next;
    }
    assert!(ends > 20 && seen > 500, "{ends} of {seen}");
}

#[tokio::test]
async fn an_alias_that_the_registry_refuses_to_move_takes_the_traffic_back() {
    let plant = Plant::new(Shared::default());
    let mut one = plant.start();
    let first = plant.register("one").await;
    cycle(&plant, &mut one, &first).await.unwrap();
    let second = plant.register("two").await;
    one.trigger(&fired("drift")).await.unwrap();
    one.training_started(&RunId::generate()).await.unwrap();
    one.training_finished().await.unwrap();
    one.judged(&second, &gate(second.spec.artifact, Verdict::Pass)).await.unwrap();
    // Somebody takes the alias away while traffic moves.
    let mut away = AliasChange::new(model(), champion(), first.version, actor("somebody"));
    (away.to, away.expected) = (None, Some(first.version));
    plant.registry.set_alias(&away).await.unwrap();
    let phase = to_rest(&plant, &mut one).await.unwrap();
    assert!(matches!(phase, LoopPhase::RolledBack { .. }), "{phase:?}");
    assert!(plant.serves(1));
    assert_eq!(plant.alias().await, None, "what somebody else decided stays");
    assert!(one.state().quarantine.is_empty(), "the content is not to blame");

    // The next cycle does not begin to move traffic on a wrong belief.
    let third = plant.register("three").await;
    let error = cycle(&plant, &mut one, &third).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(plant.serves(1));
}

#[tokio::test]
async fn a_champion_that_turns_out_bad_is_reverted() {
    let plant = Plant::new(Shared::default());
    let mut one = plant.start();
    assert_eq!(one.revert("why not").await.unwrap_err().kind(), ErrorKind::Rejected);
    for content in ["one", "two"] {
        let version = plant.register(content).await;
        cycle(&plant, &mut one, &version).await.unwrap();
    }
    let phase = one.revert("accuracy fell once labels came").await.unwrap();
    assert!(matches!(phase, LoopPhase::RolledBack { .. }), "{phase:?}");
    assert!(plant.serves(1));
    assert_eq!(plant.alias().await, Some(1));
    assert_eq!(one.state().serving.as_ref().map(|serving| serving.version), Some(Version::FIRST));
    assert_eq!(one.state().quarantine.len(), 1);
    assert_eq!(one.revert("and further").await.unwrap_err().kind(), ErrorKind::Rejected);
}

#[tokio::test]
async fn a_rollout_can_be_aborted_and_a_cycle_cancelled() {
    let plant = Plant::new(Shared::default());
    let mut one = plant.start();
    let first = plant.register("one").await;
    cycle(&plant, &mut one, &first).await.unwrap();

    one.trigger(&fired("drift")).await.unwrap();
    assert_eq!(one.abort("no").await.unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(*one.cancel("changed my mind").await.unwrap(), LoopPhase::Idle);

    let second = plant.register("two").await;
    one.trigger(&fired("drift")).await.unwrap();
    one.training_started(&RunId::generate()).await.unwrap();
    one.training_finished().await.unwrap();
    one.judged(&second, &gate(second.spec.artifact, Verdict::Pass)).await.unwrap();
    assert!(matches!(one.state().phase, LoopPhase::RollingOut { .. }));
    assert_eq!(one.cancel("too late").await.unwrap_err().kind(), ErrorKind::Conflict);
    let phase = one.abort("a complaint").await.unwrap();
    assert!(matches!(phase, LoopPhase::RolledBack { .. }), "{phase:?}");
    assert!(plant.serves(1));
}

/// Observes the same at both versions.
#[derive(Debug)]
struct Steady;

#[async_trait]
impl MetricProvider for Steady {
    async fn observe(&self, request: &MetricRequest<'_>) -> Result<Option<Observations>> {
        assert_eq!((request.metric, request.candidate), ("latency_ms", &name("v-2")));
        Ok(Some(Observations::values(vec![20.0; 30], vec![20.0; 30])))
    }
}

/// Something serves, a challenger has passed the gate, and its rollout has a guard that queries a metric.
async fn queried(plant: &mut Plant) -> (ClosedLoop, ModelVersion) {
    let mut one = plant.start();
    let first = plant.register("one").await;
    cycle(plant, &mut one, &first).await.unwrap();
    let mut state = one.state().clone();
    let guard = MetricGuard::query("latency", MetricQuery::new("latency_ms"), Threshold::at_most(30.0));
    state.config.rollout = state.config.rollout.clone().with_metric(guard);
    let mut one = plant.run_from(state);
    let second = plant.register("two").await;
    one.trigger(&fired("drift")).await.unwrap();
    one.training_started(&RunId::generate()).await.unwrap();
    one.training_finished().await.unwrap();
    (one, second)
}

#[tokio::test]
async fn a_guard_that_queries_metrics_asks_the_source_of_the_loop() {
    let mut plant = Plant::new(Shared::default());
    let (one, second) = queried(&mut plant).await;
    let mut one = one.with_metrics(Arc::new(Steady));
    one.judged(&second, &gate(second.spec.artifact, Verdict::Pass)).await.unwrap();
    for _ in 0..20 {
        plant.clock.advance(Duration::from_secs(1));
        plant.deployer.send_traffic();
        if one.advance().await.unwrap().is_at_rest() {
            break;
        }
    }
    assert_eq!(one.state().phase, LoopPhase::Promoted { version: second.version }, "{:?}", one.rollout());
}

#[tokio::test]
async fn a_guard_that_queries_metrics_has_no_challenger_deployed_without_a_source() {
    let mut plant = Plant::new(Shared::default());
    let (mut one, second) = queried(&mut plant).await;
    let error = one.judged(&second, &gate(second.spec.artifact, Verdict::Pass)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Rejected, "{error}");
    assert!(error.to_string().contains("latency"), "{error}");
    assert_eq!(one.advance().await.unwrap_err().kind(), ErrorKind::Rejected);
    assert!(!lock(&plant.deployer.state).deployed.contains_key(&name("v-2")));
    // With one it goes on where it was.
    let mut one = one.with_metrics(Arc::new(Steady));
    one.advance().await.unwrap();
    assert!(matches!(one.state().phase, LoopPhase::RollingOut { .. }), "{:?}", one.state().phase);
}

#[tokio::test]
async fn a_rollout_is_paused_and_goes_on() {
    let plant = Plant::new(Shared::default());
    let mut one = plant.start();
    assert_eq!(one.pause("no").await.unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(one.unpause().await.unwrap_err().kind(), ErrorKind::Conflict);
    let first = plant.register("one").await;
    cycle(&plant, &mut one, &first).await.unwrap();
    let second = plant.register("two").await;
    one.trigger(&fired("drift")).await.unwrap();
    one.training_started(&RunId::generate()).await.unwrap();
    one.training_finished().await.unwrap();
    one.judged(&second, &gate(second.spec.artifact, Verdict::Pass)).await.unwrap();
    one.advance().await.unwrap();
    let share = |one: &ClosedLoop| one.rollout().unwrap().share.get();
    one.pause("lunch").await.unwrap();
    assert_eq!(one.rollout().unwrap().to_string().split(" (").next(), Some("paused: lunch"));
    let held = share(&one);
    for _ in 0..3 {
        plant.deployer.send_traffic();
        one.advance().await.unwrap();
        assert_eq!(share(&one), held);
    }
    one.unpause().await.unwrap();
    let phase = to_rest(&plant, &mut one).await.unwrap();
    assert_eq!(phase, LoopPhase::Promoted { version: second.version });

    // What pauses by itself goes on, or back, as somebody says; also after a restart.
    let third = plant.register("three").await;
    one.trigger(&fired("drift")).await.unwrap();
    one.training_started(&RunId::generate()).await.unwrap();
    one.training_finished().await.unwrap();
    one.judged(&third, &gate(third.spec.artifact, Verdict::Pass)).await.unwrap();
    one.advance().await.unwrap();
    one.pause("a complaint").await.unwrap();
    let mut again = plant.run_from(one.state().clone());
    again.unpause().await.unwrap();
    let phase = to_rest(&plant, &mut again).await.unwrap();
    assert_eq!(phase, LoopPhase::Promoted { version: third.version });
}

#[tokio::test]
async fn evidence_about_something_else_is_refused() {
    let plant = Plant::new(Shared::default());
    let mut one = plant.start();
    let version = plant.register("one").await;
    let decision = gate(version.spec.artifact, Verdict::Pass);
    assert_eq!(one.judged(&version, &decision).await.unwrap_err().kind(), ErrorKind::Conflict);
    one.trigger(&fired("drift")).await.unwrap();
    one.training_started(&RunId::generate()).await.unwrap();
    one.training_finished().await.unwrap();
    let other = gate(Digest::of(b"other"), Verdict::Pass);
    assert_eq!(one.judged(&version, &other).await.unwrap_err().kind(), ErrorKind::Conflict);
    let mut foreign = version.clone();
    foreign.spec.model = ModelName::new("other").unwrap();
    assert_eq!(one.judged(&foreign, &decision).await.unwrap_err().kind(), ErrorKind::InvalidInput);
    // What the deployer would answer with is compared too.
    lock(&plant.deployer.state).artifacts.insert(version.version, Digest::of(b"swapped"));
    one.judged(&version, &decision).await.unwrap();
    assert!(matches!(one.state().phase, LoopPhase::Declined { .. }));
}

/// The deployer fails once, at each of its calls in turn, before or after it did what was asked. Whoever tries again with the
/// state that was kept before the call comes to the same end.
#[tokio::test]
async fn a_kept_state_goes_on_after_a_failure_at_any_call() {
    for trouble in [Trouble::ErrorBefore, Trouble::ErrorAfter] {
        for strike in 1.. {
            let fate = Shared::striking(strike, trouble);
            let plant = Plant::new(fate.clone());
            let mut one = plant.start();
            for content in ["one", "two"] {
                let version = plant.register(content).await;
                one.trigger(&fired("drift")).await.unwrap();
                one.training_started(&RunId::generate()).await.unwrap();
                one.training_finished().await.unwrap();
                let decision = gate(version.spec.artifact, Verdict::Pass);
                let kept = one.state().clone();
                if one.judged(&version, &decision).await.is_err() {
                    one = plant.run_from(kept);
                    one.judged(&version, &decision).await.unwrap();
                }
                for _ in 0..20 {
                    let kept = one.state().clone();
                    plant.deployer.send_traffic();
                    if one.advance().await.is_err() {
                        one = plant.run_from(kept);
                    }
                }
                assert_eq!(one.state().phase, LoopPhase::Promoted { version: version.version });
            }
            assert!(plant.serves(2), "{trouble:?} at call {strike}");
            assert_eq!(plant.alias().await, Some(2));
            if lock(&fate.0).calls < strike {
                break;
            }
        }
    }
}

#[tokio::test]
async fn what_the_gates_hold_back_is_in_the_journal_with_the_reason() {
    let mut plant = Plant::new(Shared::default());
    let gates = RetrainGates::new(model()).with_cooldown(Duration::from_secs(3_600));
    plant.config = plant.config.with_gates(gates);
    assert!(plant.resume().await.cause(&cause("a")).await.unwrap());
    let request = plant.resume().await.state().request.clone().unwrap();
    assert_eq!(request.causes, [cause("a")]);
    assert!(!plant.resume().await.cause(&cause("a")).await.unwrap(), "told twice");
    assert!(!plant.resume().await.cause(&cause("b")).await.unwrap(), "too early");
    assert!(plant.resume().await.state().gates.waiting.is_empty());
    plant.clock.advance(Duration::from_secs(3_600));
    assert!(!plant.resume().await.cause(&cause("c")).await.unwrap(), "one cycle at a time");
    assert_eq!(plant.resume().await.state().gates.waiting, [cause("c")]);
    plant.resume().await.training_failed("no disk").await.unwrap();
    // What waited is decided when its turn comes.
    let mut one = plant.resume().await;
    assert!(matches!(one.advance().await.unwrap(), LoopPhase::Requested { .. }));
    assert!(one.state().gates.waiting.is_empty());
    let records = plant.records().await;
    assert_eq!(
        records,
        [
            "reason a",
            "held back by the dedupe: it was seen already: reason a",
            "held back by the cooldown: until 2026-01-01T01:00:00Z: reason b",
            "deferred by the concurrency: 1 at work, at most 1 at a time: reason c",
            "reason c",
        ]
    );
    assert_eq!(plant.actions(), ["request", "suppress", "suppress", "defer", "gate_failed", "request"]);
    assert!(plant.audit.verify(None).await.unwrap().is_intact());
}

#[tokio::test]
async fn what_waits_begins_the_next_cycle() {
    let plant = Plant::new(Shared::default());
    let mut one = plant.resume().await;
    assert!(one.cause(&cause("a")).await.unwrap());
    assert!(!one.cause(&cause("b")).await.unwrap());
    one.cancel("changed my mind").await.unwrap();
    let mut one = plant.resume().await;
    let phase = one.advance().await.unwrap();
    assert_eq!(*phase, LoopPhase::Requested { reason: "reason b".into() });
    assert_eq!(one.state().cycle, 2);
    // Ticks that change nothing are not written down.
    let entries = plant.loops.entries(&id(), 0, 1_000).await.unwrap().len();
    for _ in 0..3 {
        one.advance().await.unwrap();
    }
    assert_eq!(plant.loops.entries(&id(), 0, 1_000).await.unwrap().len(), entries);
}

/// A monitor's report about a day, in which the inputs are so many times as far away as they may be.
fn drifted(day: i64, ratio: f64) -> Signal {
    let (start, end) = (at(day * 86_400), at((day + 1) * 86_400));
    let (drift, verdict) = if ratio > 1.0 {
        (DriftVerdict::Drift, Verdict::Fail)
    } else {
        (DriftVerdict::NoDrift, Verdict::Pass)
    };
    let score = FeatureScore::new("psi/v1", 0.25 * ratio, 0.25, drift);
    let feature = FeatureDrift { feature: "age".into(), outcome: FeatureOutcome::Measured(score) };
    let report = DriftReport::new("inputs", end, (100, 100), vec![feature], drift, "age");
    let spec = SignalSpec::new("inputs", SignalKind::DataDrift);
    let signal = SignalReport::new(&spec, verdict, "age", SignalOutcome::Drift(report));
    let window = Window::new(start, end).unwrap();
    let report = MonitorReport::new("watch".parse().unwrap(), window, end, 100, vec![signal]);
    Signal::Monitored(Box::new(report))
}

#[tokio::test]
async fn why_it_ran_is_kept_to_the_end_and_through_a_retry() {
    let plant = Plant::new(Shared::default());
    let retried = plant.resume().await.retry("no reason").await;
    assert_eq!(retried.unwrap_err().kind(), ErrorKind::Conflict, "nothing came to nothing");
    assert!(plant.resume().await.cause(&cause("a")).await.unwrap());
    let request = plant.resume().await.state().request.clone();
    for (number, why) in [(1, "reason a"), (2, "reason a; again: the machine was lost")] {
        let mut one = plant.resume().await;
        one.training_started(&run("one")).await.unwrap();
        let state = one.state();
        assert_eq!((state.cycle, state.reason.as_deref()), (number, Some(why)));
        assert_eq!(state.request, request, "{why}");
        one.training_failed("no disk").await.unwrap();
        assert_eq!(one.state().reason.as_deref(), Some(why));
        assert!(one.retry("the machine was lost").await.unwrap());
    }
    assert!(!plant.resume().await.cause(&cause("a")).await.unwrap(), "the cause itself was seen already");
    // Past the gates there is no request, and the reason is kept all the same.
    plant.resume().await.cancel("enough").await.unwrap();
    let mut one = plant.resume().await;
    assert!(one.trigger(&fired("drift")).await.unwrap());
    one.training_started(&run("two")).await.unwrap();
    assert_eq!((one.state().reason.as_deref(), &one.state().request), (Some("drift"), &None));
    // Where somebody must look first, nothing is tried again.
    one.training_failed("no disk").await.unwrap();
    assert!(one.state().breaker_open);
    assert!(!one.retry("once more").await.unwrap());
    assert!(plant.records().await.last().unwrap().ends_with("held back: a retry, once more"));
}

#[tokio::test]
async fn triggers_are_held_against_the_monitors_that_there_are() {
    let plant = Plant::new(Shared::default());
    let checked = async |watched: &str, about: &str| {
        let trigger = Arc::new(DriftTrigger::new(watched, 2, Duration::ZERO).unwrap());
        let trigger = LoopTrigger::new("drift", CauseKind::Drift, trigger).unwrap().about(about);
        let one = plant.resume().await.with_trigger(trigger).unwrap();
        let signals = vec![SignalSpec::new("inputs", SignalKind::DataDrift)];
        let monitor =
            MonitorSpec { name: "watch".parse().unwrap(), endpoint: "diabetes".parse().unwrap(), signals };
        one.check_monitors(&[monitor])
    };
    checked("inputs", "inputs").await.unwrap();
    for (watched, about) in [("input", "inputs"), ("inputs", "input")] {
        let error = checked(watched, about).await.unwrap_err();
        assert_eq!(error.message(), "no monitor has a signal `input`; did you mean `inputs`?");
        assert_eq!(error.context("trigger"), Some("drift"));
    }
}

#[tokio::test]
async fn a_signal_goes_through_triggers_and_gates_and_has_to_be_well_in_between() {
    let plant = Plant::new(Shared::default());
    let look = async |day: i64, ratio: f64| {
        plant.clock.advance(Duration::from_secs(86_400));
        let trigger = Arc::new(DriftTrigger::new("inputs", 2, Duration::ZERO).unwrap());
        let trigger = LoopTrigger::new("drift", CauseKind::Drift, trigger).unwrap().about("inputs");
        let mut one = plant.resume().await.with_trigger(trigger).unwrap();
        let began = one.signal(&drifted(day, ratio)).await.unwrap();
        if began {
            one.cancel("looked at").await.unwrap();
        }
        began
    };
    assert!(!look(0, 0.5).await);
    assert!(!look(1, 2.0).await, "one bad day");
    assert!(!look(1, 2.0).await, "the same report");
    assert!(look(2, 2.0).await, "two bad days");
    assert!(!look(3, 2.0).await, "the trigger counts anew");
    assert!(!look(4, 2.0).await, "it was never well");
    assert!(!look(5, 0.9).await, "not as bad, and not well");
    assert!(!look(6, 2.0).await);
    assert!(!look(7, 2.0).await);
    assert!(!look(8, 0.8).await, "well again");
    assert!(!look(9, 2.0).await);
    assert!(look(10, 2.0).await);
    let held = plant.records().await;
    let count = |text: &str| held.iter().filter(|record| record.contains(text)).count();
    assert_eq!(count("1 of 2 bad windows"), 4, "{held:#?}");
    assert_eq!(count("was counted already"), 1);
    assert_eq!(count("held back by the hysteresis"), 2);
    let started = plant.actions().iter().filter(|action| *action == "request").count();
    assert_eq!(started, 2);
}

#[tokio::test]
async fn while_somebody_must_look_reasons_are_held_back_and_are_not_seen() {
    let plant = Plant::new(Shared::default());
    let mut one = plant.resume().await;
    for number in 0..3 {
        assert!(one.cause(&cause(&format!("early {number}"))).await.unwrap());
        one.training_failed("no disk").await.unwrap();
    }
    assert!(one.state().breaker_open);
    let mut one = plant.resume().await;
    assert!(!one.cause(&cause("late")).await.unwrap());
    let last = plant.records().await.pop().unwrap();
    assert!(last.starts_with("held back by the circuit breaker: 3 challengers in a row"), "{last}");
    one.reset("more disk").await.unwrap();
    assert!(plant.resume().await.cause(&cause("late")).await.unwrap());
    assert_eq!(plant.actions().iter().filter(|action| *action == "reset").count(), 1);
}

fn scored(artifact: Digest, value: f64) -> EvaluationReport {
    let mut report =
        EvaluationReport::new(artifact, Digest::of(b"rows"), Task::BinaryClassification, at(0), 100);
    let estimate = Estimate::new(Measured::Value(value), Direction::HigherIsBetter, 100);
    report.metrics.insert(MetricKey::new("accuracy").unwrap(), estimate);
    report
}

fn gate_of(report: &EvaluationReport) -> GateDecision {
    let criterion = CriterionResult::new("accuracy", Verdict::Pass, None, "0.70 at least");
    let (gate, digest) = (Digest::of(b"gate"), report.digest().unwrap());
    GateDecision::new("release", gate, report.model, digest, None, at(0), vec![criterion])
}

#[tokio::test]
async fn a_challenger_must_be_better_than_the_champion_on_the_same_rows() {
    let mut plant = Plant::new(Shared::default());
    plant.config =
        plant.config.with_champion(ChampionRules::new(MetricKey::new("accuracy").unwrap()).with_margin(0.01));
    let mut one = plant.resume().await;
    let versions = [plant.register("one").await, plant.register("two").await, plant.register("three").await];
    let reports =
        [0.8, 0.805, 0.9].into_iter().zip(&versions).map(|(value, v)| scored(v.spec.artifact, value));
    let reports: Vec<EvaluationReport> = reports.collect();
    let begin = async |one: &mut ClosedLoop, id: &str| {
        assert!(one.cause(&cause(id)).await.unwrap());
        one.training_started(&run(id)).await.unwrap();
        one.training_finished().await.unwrap();
    };
    // There is nothing to compare the first with.
    begin(&mut one, "first").await;
    one.judged(&versions[0], &gate_of(&reports[0])).await.unwrap();
    assert_eq!(
        to_rest(&plant, &mut one).await.unwrap(),
        LoopPhase::Promoted { version: versions[0].version }
    );

    begin(&mut one, "second").await;
    let gate = gate_of(&reports[1]);
    assert_eq!(one.judged(&versions[1], &gate).await.unwrap_err().kind(), ErrorKind::Rejected);
    for pair in [(&reports[2], &reports[1]), (&reports[0], &reports[2])] {
        let error = one.judged_against(&versions[1], &gate, pair).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    }
    let phase = one.judged_against(&versions[1], &gate, (&reports[0], &reports[1])).await.unwrap();
    let LoopPhase::Declined { reason, .. } = phase else { panic!("{phase:?}") };
    assert!(reason.starts_with("the champion keeps its place: keep: accuracy is 0.805"), "{reason}");
    assert_eq!((one.state().gate_failures, plant.serves(1)), (0, true));

    begin(&mut one, "third").await;
    one.judged_against(&versions[2], &gate_of(&reports[2]), (&reports[0], &reports[2])).await.unwrap();
    assert_eq!(
        to_rest(&plant, &mut one).await.unwrap(),
        LoopPhase::Promoted { version: versions[2].version }
    );
}

#[tokio::test]
async fn of_two_loops_under_one_id_one_is_told_and_goes_on_from_the_journal() {
    let plant = Plant::new(Shared::default());
    let (mut one, mut two) = (plant.resume().await, plant.resume().await);
    assert!(one.cause(&cause("a")).await.unwrap());
    assert_eq!(two.cause(&cause("b")).await.unwrap_err().kind(), ErrorKind::Conflict);
    assert!(!two.cause(&cause("b")).await.unwrap());
    assert_eq!((two.state().cycle, two.state().gates.waiting.len()), (1, 1));
    let mut other = plant.config.clone();
    other.model = ModelName::new("another").unwrap();
    let start = LoopState::new(other, None).with_id(id());
    let refused = ClosedLoop::resume(start, plant.loops.clone(), plant.backends(), smoke_test()).await;
    assert_eq!(refused.unwrap_err().context("field"), Some("model"));
}

#[tokio::test]
async fn while_the_audit_log_is_down_the_loop_goes_on_and_what_is_missing_is_made_up_for() {
    let plant = Plant::new(Shared::default());
    let mut one = plant.resume().await;
    assert!(one.cause(&cause("a")).await.unwrap());
    *lock(&plant.audit.down) = true;
    assert!(one.cause(&cause("b")).await.is_err());
    assert!(one.training_failed("no disk").await.is_err());
    assert!(matches!(one.state().phase, LoopPhase::GateFailed { .. }));
    assert_eq!(plant.actions(), ["request"]);
    drop(one);
    *lock(&plant.audit.down) = false;
    let mut one = plant.resume().await;
    one.advance().await.unwrap();
    assert_eq!(plant.actions(), ["request", "defer", "gate_failed", "request"]);
    plant.resume().await.advance().await.unwrap();
    assert_eq!(plant.actions().len(), 4, "each once");
}

/// A journal whose calls fail once, before or after they did what was asked.
#[derive(Debug)]
struct Shaky(VecLoopJournal, Shared);

#[async_trait::async_trait]
impl LoopJournal for Shaky {
    async fn append(&self, entry: &LoopEntry, state: &LoopState) -> Result<()> {
        use futures_util::FutureExt as _;
        self.1.call(|| self.0.append(entry, state).now_or_never().unwrap()).await
    }

    async fn standing(&self, id: &IdempotencyKey) -> Result<Option<LoopStanding>> {
        self.0.standing(id).await
    }

    async fn entries(&self, id: &IdempotencyKey, after: u64, limit: usize) -> Result<Vec<LoopEntry>> {
        self.0.entries(id, after, limit).await
    }
}

/// The journal fails once, at each of its entries in turn. Whoever makes the same call again, or resumes, comes to the same end.
#[tokio::test]
async fn an_answer_of_the_journal_that_is_lost_loses_nothing() {
    for (trouble, restarts) in [
        (Trouble::ErrorBefore, false),
        (Trouble::ErrorAfter, false),
        (Trouble::ErrorBefore, true),
        (Trouble::ErrorAfter, true),
    ] {
        for strike in 1.. {
            let fate = Shared::striking(strike, trouble);
            let mut plant = Plant::new(Shared::default());
            plant.config = plant.config.with_approval();
            plant.loops = Arc::new(Shaky(VecLoopJournal::default(), fate.clone()));
            let version = plant.register("one").await;
            let decision = gate(version.spec.artifact, Verdict::Pass);
            let mut one = plant.resume().await;
            for _ in 0..60 {
                plant.deployer.send_traffic();
                let phase = one.state().phase.clone();
                let done = match phase {
                    LoopPhase::Promoted { .. } => break,
                    LoopPhase::Requested { .. } => one.training_started(&run("one")).await.map(drop),
                    LoopPhase::Training { .. } => one.training_finished().await.map(drop),
                    LoopPhase::Evaluating { .. } => one.judged(&version, &decision).await.map(drop),
                    phase if phase.is_at_rest() => one.cause(&cause("a")).await.map(drop),
                    _ => one.advance().await.map(drop),
                };
                if done.is_err() && restarts {
                    one = plant.resume().await;
                }
            }
            assert_eq!(
                one.state().phase,
                LoopPhase::Promoted { version: version.version },
                "{trouble:?} at {strike}"
            );
            assert_eq!((one.state().cycle, plant.alias().await), (1, Some(1)));
            one.advance().await.unwrap();
            let mut actions = plant.actions();
            actions.retain(|action| action != "suppress");
            let expected = [
                "request",
                "train",
                "evaluate",
                "await_approval",
                "challenger_ready",
                "roll_out",
                "move_alias",
                "promote",
            ];
            assert_eq!(actions, expected, "{trouble:?} at {strike}, {restarts}");
            if lock(&fate.0).calls < strike {
                break;
            }
        }
    }
}

#[test]
fn rules_that_do_not_fit_the_loop_are_refused() {
    let config = || Plant::new(Shared::default()).config;
    let other = RetrainGates::new(ModelName::new("another").unwrap());
    let many = RetrainGates::new(model()).with_max_running(2);
    let negative = ChampionRules::new(MetricKey::new("accuracy").unwrap()).with_margin(-1.0);
    for (field, config) in [
        ("gates", config().with_gates(other)),
        ("max_running", config().with_gates(many)),
        ("margin", config().with_champion(negative)),
    ] {
        assert_eq!(config.check().unwrap_err().context("field"), Some(field));
    }
}
