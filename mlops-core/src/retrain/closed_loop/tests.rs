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
use crate::evaluation::{CriterionResult, GateDecision, Verdict};
use crate::governance::{ApprovalDecision, AuditLog as _};
use crate::hash::Digest;
use crate::id::{Alias, ModelName, Percent, RunId, Version};
use crate::memory::{MemoryArtifactStore, MemoryModelRegistry};
use crate::model::{ModelFormat, Signature};
use crate::problem::Task;
use crate::registry::{AliasChange, ModelRegistry, ModelVersion, NewModelVersion, Protection};
use crate::retrain::{TriggerDecision, TriggerOutcome, TriggerState};
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

/// All backends, and a loop over them.
struct Plant {
    artifacts: Arc<MemoryArtifactStore>,
    registry: Arc<MemoryModelRegistry>,
    deployer: Arc<TestDeployer>,
    audit: Arc<TestAudit>,
    clock: Arc<ManualClock>,
    journal: Arc<VecJournal>,
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
            config: config.with_rollout(options),
        }
    }

    fn run_from(&self, state: LoopState) -> ClosedLoop {
        let backends = LoopBackends {
            registry: self.registry.clone(),
            deployer: self.deployer.clone(),
            journal: self.journal.clone(),
            audit: self.audit.clone(),
            clock: self.clock.clone(),
        };
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
