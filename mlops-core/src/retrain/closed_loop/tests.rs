//! The loop against the registry in memory and an endpoint that fails on demand.

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::artifact::ArtifactStoreExt as _;
use crate::deploy::TrafficSplit;
use crate::deploy::rollout::support::{
    Officer, Shared, TestAudit, TestDeployer, Trouble, actor, at, endpoint_name, name, smoke_test,
};
use crate::deploy::rollout::{OperationGuard, RolloutOptions, ThinData, VecJournal};
use crate::error::{ErrorKind, Result};
use crate::evaluation::{ChampionRules, CriterionResult, Estimate, EvaluationReport, GateDecision, Verdict};
use crate::governance::{ApprovalDecision, AuditLog as _};
use crate::hash::Digest;
use crate::id::{Alias, IdempotencyKey, MetricKey, ModelName, Percent, RunId, Version};
use crate::memory::{MemoryArtifactStore, MemoryModelRegistry};
use crate::model::{ModelFormat, Signature};
use crate::monitor::{
    DriftReport, DriftVerdict, FeatureDrift, FeatureOutcome, FeatureScore, MonitorReport, SignalKind,
    SignalOutcome, SignalReport, SignalSpec, Window,
};
use crate::num::Measured;
use crate::problem::{Direction, Task};
use crate::registry::{AliasChange, ModelRegistry, ModelVersion, NewModelVersion, Protection};
use crate::retrain::gates::{CauseKind, RetrainCause, RetrainGates};
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
    assert!(matches!(one.advance().await.unwrap(), LoopPhase::Declined { .. }));
    assert!(plant.deployer.traffic().is_none());
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
