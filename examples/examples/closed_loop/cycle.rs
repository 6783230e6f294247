//! The closed loop: its rules, and one cycle from a reason to a version that serves.

use std::sync::Arc;
use std::time::Duration;

use mlops_core::deploy::rollout::{OperationGuard, PerformanceGuard, RolloutOptions, ThinData};
use mlops_core::deploy::{Deployer as _, SmokeTest};
use mlops_core::evaluation::{ChampionRules, EvaluationReport, GateDecision};
use mlops_core::governance::{ApprovalDecision, ApprovalRequest, CallbackApprover};
use mlops_core::model::Predictor as _;
use mlops_core::registry::{ModelRegistry as _, ModelVersion};
use mlops_core::retrain::closed_loop::{
    ClosedLoop, LoopBackends, LoopConfig, LoopEffect, LoopJournal as _, LoopPhase, LoopState, LoopTrigger,
};
use mlops_core::retrain::gates::{CauseKind, RetrainCause, RetrainGates};
use mlops_core::retrain::{DriftTrigger, PerformanceTrigger};
use mlops_core::{ActorId, Error, ErrorKind, IdempotencyKey, MetricKey, Percent, Result, Version};
use mlops_examples::narrate::say;

use super::build::{self, Trained, World};
use super::serve::Service;

const DAY: Duration = Duration::from_secs(86_400);

/// The loop over the platform: a canary of 10, 50 and 100 %, an approval, a pause of one day between two cycles.
pub async fn open(world: &World) -> Result<ClosedLoop> {
    let platform = &world.platform;
    let rollout = RolloutOptions::default()
        .with_bake(Duration::from_secs(60))
        .with_limits(OperationGuard::default().with_min_requests(10).with_max_failure_rate(0.01))
        .with_guard("performance");
    // Azure tells how many requests failed minutes later, and not to a deployer: there, labelled rows alone decide.
    let rollout = match platform.deployer.capabilities().operation_stats {
        true => rollout,
        false => rollout.on_no_data(ThinData::Continue),
    };
    let model = world.model()?;
    let config =
        LoopConfig::new(model.clone(), build::champion()?, world.endpoint()?, platform.actor.clone())
            .with_rollout(rollout)
            .with_approval()
            .with_champion(ChampionRules::new(MetricKey::new("roc_auc")?))
            .with_gates(RetrainGates::new(model).with_cooldown(DAY));
    let backends = LoopBackends::new(
        Arc::clone(&platform.registry),
        Arc::clone(&platform.deployer),
        Arc::clone(&platform.rollouts),
        Arc::clone(&platform.audit),
        Arc::clone(&platform.clock) as _,
    );
    let start = LoopState::new(config, None).with_id(IdempotencyKey::new("the-closed-loop")?);
    let smoke_test = SmokeTest::new(world.production.take(&[0])?)?;
    let manager = CallbackApprover::new(ActorId::new("release-manager")?, |request: &ApprovalRequest| {
        say(format_args!("{} asks: {} Approved.", request.requester, request.question));
        (ApprovalDecision::Approved, format!("seen: {}", request.question))
    });
    let drift = Arc::new(DriftTrigger::new("inputs", 1, Duration::ZERO)?);
    let performance = Arc::new(PerformanceTrigger::new("performance", 1, Duration::ZERO)?);
    ClosedLoop::resume(start, Arc::clone(&platform.loops), backends, smoke_test)
        .await?
        .with_approver(Arc::new(manager))
        .with_guard(Arc::new(PerformanceGuard::default().with_margin(0.1).with_min_rows(10)))
        .with_trigger(LoopTrigger::new("drift", CauseKind::Drift, drift)?.about("inputs"))?
        .with_trigger(
            LoopTrigger::new("performance", CauseKind::Performance, performance)?.about("performance"),
        )
}

/// What was trained, registered and judged, and may become champion.
#[derive(Debug)]
pub struct Challenger<'a> {
    pub version: &'a ModelVersion,
    pub trained: &'a Trained,
    pub report: &'a EvaluationReport,
    pub gate: &'a GateDecision,
    /// The champion's report on the same rows, once there is one.
    pub champion: Option<&'a EvaluationReport>,
}

/// Tells the loop what was trained and judged, and sees the rollout to its end.
pub async fn run(
    world: &World,
    service: &mut Service,
    one: &mut ClosedLoop,
    challenger: &Challenger<'_>,
) -> Result<LoopPhase> {
    let Challenger { version, trained, report, gate, champion } = challenger;
    let rows = (0..5.min(world.production.rows())).collect::<Vec<_>>();
    let sample = world.production.take(&rows)?;
    let expected = trained.predictor.predict(&sample)?;
    one.set_smoke_test(SmokeTest::new(sample)?.expecting(expected, 1e-12)?);
    one.training_started(&trained.run).await?;
    one.training_finished().await?;
    match champion {
        None => one.judged(version, gate).await?,
        Some(champion) => one.judged_against(version, gate, (*champion, *report)).await?,
    };
    service.roll_out(world, one).await
}

/// Hands over a reason that somebody has.
pub async fn ask(one: &mut ClosedLoop, id: &str, reason: &str) -> Result<bool> {
    one.cause(&RetrainCause::new(CauseKind::Manual, "data-science", id, reason)).await
}

/// The version that the loop is to have promoted is the champion, and has all traffic.
pub async fn require_champion(world: &World, one: &ClosedLoop, version: Version) -> Result<()> {
    let aliases = world.platform.registry.aliases(&world.model()?).await?;
    let champion =
        aliases.into_iter().find(|(alias, _)| build::champion().is_ok_and(|known| *alias == known));
    let traffic = world.platform.deployer.endpoint(&world.endpoint()?).await?.traffic;
    let serving = one.state().serving.as_ref();
    let serves = serving.is_some_and(|serving| {
        serving.version == version && traffic.share(&serving.deployment) == Percent::ALL
    });
    if serves && champion.is_some_and(|(_, champion)| champion == version) {
        say(format_args!("The champion is version {version}; the traffic is {traffic}."));
        return Ok(());
    }
    let message = format!("version {version} should be the champion: {}, {traffic}", one.state().phase);
    Err(Error::new(ErrorKind::Rejected, "closed loop", message))
}

/// The last reason that was held back, as the loop's journal has it.
pub async fn last_held_back(world: &World, one: &ClosedLoop) -> Result<String> {
    let (id, mut after, mut last) = (&one.state().id, 0, None);
    loop {
        let entries = world.platform.loops.entries(id, after, 100).await?;
        let Some(newest) = entries.last().map(|entry| entry.sequence) else { break };
        after = newest;
        for effect in entries.into_iter().flat_map(|entry| entry.effects) {
            match effect {
                LoopEffect::Suppressed(reason) => last = Some(reason),
                LoopEffect::Recorded(record) if record.request().is_none() => last = Some(record.to_string()),
                _ => {}
            }
        }
    }
    last.ok_or_else(|| Error::not_found("closed loop", "reason that was held back", "in the journal"))
}
