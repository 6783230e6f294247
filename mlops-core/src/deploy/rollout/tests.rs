//! The rules by tables and by random events; the driver against an endpoint in memory that fails and crashes on demand.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt as _;
use proptest::prelude::*;
// Of the two of this name the one that random moves are made with.
use proptest::strategy::{Strategy, ValueTree as _};
use proptest::test_runner::TestRunner;

use super::judge::{Observations, Threshold};
use super::support::*;
use super::*;
use crate::deploy::serving::Change;
use crate::deploy::{
    DeployerCapabilities, DeploymentState, Endpoint, EndpointSpec, Mirror, MirrorChange, OperationStats,
    SmokeCheck, SmokeReport, Sticky, TrafficChange, TrafficSplit,
};
use crate::error::{ErrorKind, Result};
use crate::evaluation::Estimate;
use crate::governance::{Approval, ApprovalDecision, ApprovalRequest, AuditLog as _};
use crate::hash::Digest;
use crate::id::{IdempotencyKey, MetricKey, ModelName, Percent, Version};
use crate::num::Measured;
use crate::problem::Direction;
use crate::time::{Timestamp, lock};

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Bakes for 10 s, waits for data for 20 s more, ends after 1000 s.
fn options() -> RolloutOptions {
    RolloutOptions::default()
        .with_bake(secs(10))
        .with_patience(secs(20))
        .with_deadline(secs(1_000))
        .with_max_attempts(3)
        .with_limits(OperationGuard::default().with_min_requests(10).with_max_failure_rate(0.1))
}

/// Half of the requests go to the shadow too.
fn in_shadow(promote: bool) -> super::Strategy {
    super::Strategy::Shadow { share: Percent::new(50).unwrap(), promote }
}

fn plan(options: RolloutOptions) -> RolloutPlan {
    let plan = RolloutPlan::canary(endpoint_name(), name("blue"), name("green"), actor("bot"), options);
    plan.unwrap().with_key(IdempotencyKey::new("rollout-1").unwrap())
}

fn blue() -> TrafficSplit {
    TrafficSplit::all_to(name("blue"))
}

fn green(share: u8) -> TrafficSplit {
    TrafficSplit::canary(name("blue"), name("green"), Percent::new(share).unwrap()).unwrap()
}

// ── the rules ────────────────────────────────────────────────────────────────────────────────────────────────────────────

/// A rollout that carries out nothing: events in, effects out, and the endpoint as the events say it is.
struct Desk {
    state: RolloutState,
    effects: Vec<Effect>,
    now: i64,
}

impl Desk {
    fn new(plan: RolloutPlan) -> Self {
        Self { state: RolloutState::new(plan), effects: Vec::new(), now: 0 }
    }

    /// Started, smoke test passed, first split in force and baseline taken: baking the first step.
    fn baking(options: RolloutOptions) -> Self {
        let mut desk = Self::new(plan(options));
        desk.started();
        desk.send(smoke(true));
        desk.obeyed();
        desk.baseline();
        assert_eq!(desk.state.phase, Phase::Baking { step: 0, since: at(0) });
        desk
    }

    /// The last split before all traffic is in force, and the candidate passed: waiting for the approval.
    fn awaiting_approval() -> Self {
        let mut desk = Self::baking(options().with_steps(percents(&[50, 100])).with_approval());
        desk.now += 10;
        desk.judge(GuardVerdict::Pass);
        assert_eq!(desk.state.phase, Phase::AwaitingApproval { step: 1 });
        desk
    }

    /// Started, everything there that the plan needs: at the smoke test.
    fn started(&mut self) {
        self.send(Event::Started(ObservedTraffic::new(self.state.plan.initial_split(), 1)));
        self.started_from_prechecks();
    }

    fn try_send(&mut self, event: Event) -> Result<()> {
        let (state, effects) = step(&self.state, &event, at(self.now))?;
        // Every state survives being written down.
        let text = serde_json::to_string(&state).unwrap();
        assert_eq!(serde_json::from_str::<RolloutState>(&text).unwrap(), state);
        (self.state, self.effects) = (state, effects);
        Ok(())
    }

    fn send(&mut self, event: Event) {
        self.try_send(event).unwrap();
    }

    fn change(&self) -> Option<TrafficChange> {
        self.effects.iter().find_map(|effect| match effect {
            Effect::SetTraffic { change, .. } => Some((**change).clone()),
            _ => None,
        })
    }

    /// The change of traffic that was just asked for happens.
    fn obeyed(&mut self) {
        let change = self.change().expect("a change of traffic was asked for");
        let traffic = ObservedTraffic::new(change.split, change.expected.unwrap_or_default() + 1);
        self.send(Event::TrafficObserved { traffic, answers: Some(change.key) });
    }

    fn observe(&mut self, split: TrafficSplit, revision: u64) {
        self.send(Event::TrafficObserved { traffic: ObservedTraffic::new(split, revision), answers: None });
    }

    fn baseline(&mut self) {
        let baseline = Baseline { at: at(self.now), candidate: None, stable: None };
        self.send(Event::BaselineTaken { epoch: self.state.epoch, baseline });
    }

    fn judge(&mut self, verdict: GuardVerdict) {
        self.send(judged(self.state.epoch, verdict));
    }

    /// Every phase from the start to the last bake that has moved no traffic yet, with what it is called.
    fn before_any_traffic() -> Vec<(&'static str, Self)> {
        let start = |options: RolloutOptions| {
            let mut desk = Self::new(plan(options));
            desk.send(Event::Started(ObservedTraffic::new(blue(), 1)));
            desk
        };
        let tested = |options| {
            let mut desk = start(options);
            desk.send(prechecked(true));
            desk.send(seen(DeploymentState::Ready));
            desk.send(smoke(true));
            desk
        };
        let shadow = || options().with_strategy(in_shadow(true));
        let mut deploying = start(options());
        deploying.send(prechecked(true));
        let mut smoking = start(options());
        smoking.started_from_prechecks();
        let mut shadowing = tested(shadow());
        shadowing.mirrored();
        shadowing.baseline();
        let mut unmirroring = tested(shadow());
        unmirroring.mirrored();
        unmirroring.baseline();
        unmirroring.now += 10;
        unmirroring.judge(GuardVerdict::Pass);
        vec![
            ("prechecks", start(options())),
            ("deploying", deploying),
            ("smoke test", smoking),
            ("mirroring", tested(shadow())),
            ("shadowing", shadowing),
            ("unmirroring", unmirroring),
            ("approval", tested(options().with_steps(percents(&[100])).with_approval())),
        ]
    }

    fn started_from_prechecks(&mut self) {
        self.send(prechecked(true));
        self.send(seen(DeploymentState::Ready));
        assert_eq!(self.state.phase, Phase::SmokeTest);
    }

    fn mirror_change(&self) -> Option<MirrorChange> {
        self.effects.iter().find_map(|effect| match effect {
            Effect::SetMirror { change, .. } => Some((**change).clone()),
            _ => None,
        })
    }

    /// The change of the mirror that was just asked for happens; the traffic stays as it was seen last.
    fn mirrored(&mut self) {
        let change = self.mirror_change().expect("a change of the mirror was asked for");
        let split = self.state.observed.as_ref().unwrap().split.clone();
        let revision = change.expected.unwrap_or_default() + 1;
        let traffic = ObservedTraffic { split, revision, mirror: change.mirror };
        self.send(Event::TrafficObserved { traffic, answers: Some(change.key) });
    }

    /// Somebody else moved the traffic; the mirror stays as it was seen last.
    fn moved_by_somebody(&mut self, split: TrafficSplit) {
        let mirror = self.state.observed.as_ref().unwrap().mirror.clone();
        let traffic = ObservedTraffic { split, revision: 70, mirror };
        self.send(Event::TrafficObserved { traffic, answers: None });
    }

    /// What was asked for happens until nothing is asked for any more; the splits that were in force meanwhile.
    fn carried_out(&mut self) -> Vec<TrafficSplit> {
        let mut splits = Vec::new();
        for _ in 0..10 {
            if self.mirror_change().is_some() {
                self.mirrored();
            } else if let Some(change) = self.change() {
                splits.push(change.split);
                self.obeyed();
            } else {
                return splits;
            }
        }
        panic!("it does not end: {:?}", self.state);
    }
}

fn percents(steps: &[u8]) -> Vec<Percent> {
    steps.iter().filter_map(|step| Percent::new(*step)).collect()
}

fn prechecked(passed: bool) -> Event {
    let check = SmokeCheck::new("stable", passed, "looked");
    Event::Prechecked(PrecheckReport::default().with_check(check))
}

fn seen(state: DeploymentState) -> Event {
    let mut deployment = deployment("green");
    deployment.state = state;
    Event::CandidateSeen(Box::new(deployment))
}

fn smoke(passed: bool) -> Event {
    let check = SmokeCheck::new("answers", passed, "looked");
    Event::SmokeTested(SmokeReport::new(name("green"), 1).with_check(check))
}

fn judged(epoch: u64, verdict: GuardVerdict) -> Event {
    Event::GuardJudged { epoch, judgement: Judgement::new(verdict, "looked"), evidence: None }
}

fn abort() -> Event {
    Event::AbortRequested("enough".into())
}

fn failed(effect: EffectKind, epoch: u64, retryable: bool) -> Event {
    Event::EffectFailed { effect, epoch, retryable, message: "no answer".into() }
}

fn approval(state: &RolloutState, decision: ApprovalDecision, by: &str) -> Approval {
    let request = ApprovalRequest {
        subject: state.plan.digest().unwrap(),
        question: "?".into(),
        requester: actor("bot"),
        expires_at: at(500),
    };
    Approval::answer(&request, decision, actor(by), "said so", at(20))
}

#[test]
fn a_good_candidate_gets_the_traffic_step_by_step() {
    let mut desk = Desk::baking(options());
    for (step, next) in [(0, 50), (1, 100)] {
        desk.now += 9;
        desk.judge(GuardVerdict::Pass);
        assert_eq!(desk.effects, [], "the step has not baked");
        desk.now += 1;
        desk.judge(GuardVerdict::Pass);
        assert_eq!(desk.state.phase, Phase::Shifting { step: step + 1 });
        assert_eq!(desk.change().unwrap().split, green(next));
        desk.obeyed();
        desk.baseline();
    }
    desk.now += 10;
    desk.judge(GuardVerdict::Pass);
    assert_eq!(desk.state.phase, Phase::Promoted);
    assert_eq!(desk.effects, [Effect::Promoted]);
}

#[test]
fn the_first_deployment_gets_all_traffic_after_the_smoke_test() {
    let plan = RolloutPlan::first(endpoint_name(), name("green"), actor("bot"), options()).unwrap();
    let mut desk = Desk::new(plan);
    desk.started();
    desk.send(smoke(true));
    assert_eq!(desk.change().unwrap().split, TrafficSplit::all_to(name("green")));
    desk.obeyed();
    assert_eq!(desk.state.phase, Phase::Promoted);
}

#[test]
fn a_rollout_starts_only_from_the_traffic_of_its_plan() {
    let mut desk = Desk::new(plan(options()));
    for split in [TrafficSplit::none(), green(10), green(100), TrafficSplit::all_to(name("other"))] {
        let error = desk.try_send(Event::Started(ObservedTraffic::new(split, 1))).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
        assert_eq!(desk.state.phase, Phase::Draft);
    }
}

#[test]
fn a_candidate_that_fails_the_smoke_test_gets_no_traffic() {
    let mut desk = Desk::new(plan(options()));
    desk.started();
    desk.send(smoke(false));
    assert!(matches!(desk.state.phase, Phase::RolledBack { cause: Cause::SmokeTest(_) }));
    assert!(desk.change().is_none());
}

#[test]
fn what_thin_data_leads_to_is_what_the_plan_says() {
    let baking = |policy| options().on_no_data(policy).on_inconclusive(ThinData::Pause);
    for (policy, verdict, expected) in [
        (ThinData::Pause, GuardVerdict::NoData, Some(PauseReason::NoData)),
        (ThinData::Rollback, GuardVerdict::Inconclusive, Some(PauseReason::Inconclusive)),
        (ThinData::Rollback, GuardVerdict::NoData, None),
        (ThinData::Continue, GuardVerdict::NoData, None),
    ] {
        let mut desk = Desk::baking(baking(policy));
        desk.now += 29;
        desk.judge(verdict);
        assert!(matches!(desk.state.phase, Phase::Baking { step: 0, .. }), "patience is not over");
        desk.now += 1;
        desk.judge(verdict);
        match (&desk.state.phase, expected) {
            (Phase::Paused { reason, .. }, Some(expected)) => assert_eq!(*reason, expected),
            (Phase::RollingBack { cause: Cause::NoData }, None) => assert_eq!(policy, ThinData::Rollback),
            (Phase::Shifting { step: 1 }, None) => assert_eq!(policy, ThinData::Continue),
            (phase, _) => panic!("{policy:?}, {verdict}: {phase:?}"),
        }
    }
}

#[test]
fn a_pass_without_a_baseline_is_not_believed() {
    let mut desk = Desk::new(plan(options()));
    desk.started();
    desk.send(smoke(true));
    desk.obeyed();
    desk.now += 10;
    desk.judge(GuardVerdict::Pass);
    assert!(matches!(desk.state.phase, Phase::Baking { step: 0, .. }));
    desk.now += 20;
    desk.send(Event::Tick);
    assert!(matches!(desk.state.phase, Phase::Paused { reason: PauseReason::NoData, .. }));
}

#[test]
fn the_guard_goes_on_judging_while_paused_or_awaiting_approval() {
    let mut waiting = Desk::awaiting_approval();
    let mut paused = Desk::baking(options());
    paused.send(Event::PauseRequested("lunch".into()));
    for desk in [&mut waiting, &mut paused] {
        desk.send(Event::Tick);
        let judge = Effect::JudgeGuard { epoch: desk.state.epoch };
        assert!(desk.effects.contains(&judge), "{:?}", desk.effects);
        let before = desk.state.phase.clone();
        desk.judge(GuardVerdict::Pass);
        assert_eq!(desk.state.phase, before, "a pass opens nothing");
        desk.judge(GuardVerdict::Fail);
        assert!(matches!(desk.state.phase, Phase::RollingBack { cause: Cause::Guard(_) }));
        assert_eq!(desk.change().unwrap().split, blue());
    }
}

#[test]
fn a_resumed_step_bakes_anew_and_old_judgements_do_not_count() {
    let mut desk = Desk::baking(options());
    desk.send(Event::PauseRequested("lunch".into()));
    let old = desk.state.epoch;
    desk.now += 100;
    desk.send(Event::Resumed);
    assert_eq!(desk.state.phase, Phase::Baking { step: 0, since: at(100) });
    desk.baseline();
    desk.now += 10;
    desk.send(judged(old, GuardVerdict::Pass));
    assert_eq!(desk.state.phase, Phase::Baking { step: 0, since: at(100) });
    desk.judge(GuardVerdict::Pass);
    assert_eq!(desk.state.phase, Phase::Shifting { step: 1 });
}

#[test]
fn all_traffic_needs_the_approval_that_the_plan_demands() {
    use ApprovalDecision::{Approved, Pending, Rejected};
    let mut desk = Desk::awaiting_approval();
    assert!(
        matches!(&desk.effects[..], [Effect::RequestApproval(request)] if request.expires_at == at(1_000))
    );
    desk.send(Event::ApprovalGiven(approval(&desk.state, Pending, "officer")));
    assert_eq!(desk.state.phase, Phase::AwaitingApproval { step: 1 });

    let own = approval(&desk.state, Approved, "bot");
    assert_eq!(desk.try_send(Event::ApprovalGiven(own)).unwrap_err().kind(), ErrorKind::Rejected);
    let mut other = approval(&desk.state, Approved, "officer");
    other.subject = Digest::of(b"another plan");
    assert_eq!(desk.try_send(Event::ApprovalGiven(other)).unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(desk.state.phase, Phase::AwaitingApproval { step: 1 });

    let mut refused = Desk::awaiting_approval();
    refused.send(Event::ApprovalGiven(approval(&refused.state, Rejected, "officer")));
    assert!(matches!(refused.state.phase, Phase::RollingBack { cause: Cause::Refused(_) }));

    desk.send(Event::ApprovalGiven(approval(&desk.state, Approved, "officer")));
    assert_eq!(desk.change().unwrap().split, green(100));
}

#[test]
fn an_approval_given_during_a_pause_counts_when_it_goes_on() {
    let mut desk = Desk::awaiting_approval();
    desk.send(Event::PauseRequested("lunch".into()));
    desk.send(Event::ApprovalGiven(approval(&desk.state, ApprovalDecision::Approved, "officer")));
    assert_eq!(desk.effects, []);
    desk.send(Event::Resumed);
    assert_eq!(desk.state.phase, Phase::Shifting { step: 1 });
}

#[test]
fn the_deadline_rolls_back_from_anywhere_even_paused() {
    let mut paused = Desk::baking(options());
    paused.send(Event::PauseRequested("holiday".into()));
    for mut desk in [Desk::baking(options()), paused, Desk::awaiting_approval()] {
        desk.now = 999;
        desk.send(Event::Tick);
        assert!(!matches!(desk.state.phase, Phase::RollingBack { .. }));
        desk.now = 1_000;
        desk.send(Event::Tick);
        assert!(matches!(desk.state.phase, Phase::RollingBack { cause: Cause::Deadline }));
    }
}

#[test]
fn a_clock_that_goes_back_ends_no_bake_and_no_deadline() {
    let mut desk = Desk::baking(options());
    desk.now = -1_000_000;
    desk.judge(GuardVerdict::Pass);
    desk.send(Event::Tick);
    assert!(matches!(desk.state.phase, Phase::Baking { step: 0, .. }));
    desk.now = 10;
    desk.judge(GuardVerdict::Pass);
    assert_eq!(desk.state.phase, Phase::Shifting { step: 1 });
}

#[test]
fn a_change_of_traffic_by_somebody_else_pauses_and_is_not_fought_over() {
    for foreign in [blue(), green(90), TrafficSplit::all_to(name("other")), TrafficSplit::none()] {
        let mut desk = Desk::baking(options());
        desk.observe(foreign.clone(), 7);
        let Phase::Paused { reason: PauseReason::TrafficChanged(seen), .. } = &desk.state.phase else {
            panic!("{foreign}: {:?}", desk.state.phase);
        };
        assert_eq!(*seen, foreign);
        assert!(desk.change().is_none());
        // Whoever lets it go on wants the plan's split back, from the revision that is there now.
        desk.send(Event::Resumed);
        let change = desk.change().unwrap();
        assert_eq!((change.split, change.expected), (green(10), Some(7)));
    }
}

#[test]
fn a_rollback_leaves_traffic_alone_that_somebody_else_took_from_the_candidate() {
    let mut desk = Desk::baking(options());
    desk.observe(TrafficSplit::all_to(name("other")), 7);
    desk.send(abort());
    assert!(matches!(desk.state.phase, Phase::Failed { .. }));
    assert!(matches!(&desk.effects[..], [Effect::Escalate(_)]));

    let mut desk = Desk::baking(options());
    desk.observe(green(90), 7);
    desk.send(abort());
    assert_eq!(desk.change().unwrap().split, blue());
}

#[test]
fn a_rollback_takes_traffic_from_a_candidate_that_somebody_else_gave_it_to() {
    type End<'a> = (&'a str, &'a dyn Fn(&mut Desk));
    let late = |desk: &mut Desk| {
        desk.now = 1_000;
        desk.send(Event::Tick);
    };
    let resumed_and_aborted = |desk: &mut Desk| {
        desk.send(Event::Resumed);
        desk.send(abort());
    };
    let failing = |desk: &mut Desk| {
        desk.send(Event::Tick);
        desk.baseline();
        desk.send(Event::Tick);
        let judge = Effect::JudgeGuard { epoch: desk.state.epoch };
        assert!(desk.effects.contains(&judge), "{:?}", desk.effects);
        desk.judge(GuardVerdict::Fail);
    };
    let ends: [End<'_>; 5] = [
        ("abort", &|desk| desk.send(abort())),
        ("deadline", &late),
        ("guard", &failing),
        ("resume and abort", &resumed_and_aborted),
        ("freeze and abort", &|desk| {
            desk.send(Event::FreezeRequested("sale".into()));
            desk.send(abort());
        }),
    ];
    for (ends_by, end) in ends {
        for (phase, mut desk) in Desk::before_any_traffic() {
            let shown = format!("{phase}, {ends_by}");
            desk.moved_by_somebody(green(100));
            assert!(matches!(desk.state.phase, Phase::Paused { .. }), "{shown}: {:?}", desk.state.phase);
            end(&mut desk);
            assert!(!desk.effects.iter().any(|effect| matches!(effect, Effect::RolledBack(_))), "{shown}");
            assert_eq!(desk.carried_out(), [blue()], "{shown}");
            assert!(matches!(desk.state.phase, Phase::RolledBack { .. }), "{shown}: {:?}", desk.state.phase);
            assert_eq!(desk.state.observed.as_ref().unwrap().mirror, None, "{shown}");
        }
    }
}

#[test]
fn a_rollback_of_what_was_never_moved_leaves_the_traffic_to_who_took_it() {
    for foreign in [TrafficSplit::all_to(name("other")), TrafficSplit::none()] {
        for (phase, mut desk) in Desk::before_any_traffic() {
            desk.moved_by_somebody(foreign.clone());
            desk.send(abort());
            assert_eq!(desk.carried_out(), [], "{phase}");
            // Nobody is told that the stable version has all traffic.
            assert!(matches!(desk.state.phase, Phase::Failed { .. }), "{phase}: {:?}", desk.state.phase);
            assert!(matches!(&desk.effects[..], [Effect::Escalate(_)]), "{phase}");
        }
    }
}

#[test]
fn a_step_that_somebody_else_has_reached_is_judged_like_any_other() {
    let reached = || {
        let mut desk = Desk::new(plan(options()));
        desk.started();
        desk.observe(green(10), 7);
        desk.send(Event::Resumed);
        desk.send(smoke(true));
        assert_eq!(desk.state.phase, Phase::Baking { step: 0, since: at(0) });
        assert!(!desk.state.moved);
        desk.baseline();
        desk
    };
    let mut bad = reached();
    bad.judge(GuardVerdict::Fail);
    assert!(
        matches!(bad.state.phase, Phase::RollingBack { cause: Cause::Guard(_) }),
        "{:?}",
        bad.state.phase
    );
    assert_eq!(bad.carried_out(), [blue()]);

    let mut good = reached();
    good.now += 10;
    good.judge(GuardVerdict::Pass);
    assert_eq!(good.change().unwrap().split, green(50));
}

#[test]
fn traffic_that_the_candidate_gets_while_the_mirror_is_taken_away_is_taken_back_too() {
    for foreign in [green(77), TrafficSplit::all_to(name("other"))] {
        let (_, mut desk) = Desk::before_any_traffic().swap_remove(4);
        desk.send(abort());
        let off = desk.mirror_change().unwrap();
        assert_eq!((&off.mirror, off.expected), (&None, Some(2)));
        // It is off, and somebody moved the traffic right after.
        desk.observe(foreign.clone(), 4);
        if foreign == green(77) {
            assert_eq!(desk.change().unwrap().expected, Some(4));
            assert_eq!(desk.carried_out(), [blue()]);
            assert!(matches!(desk.state.phase, Phase::RolledBack { .. }), "{:?}", desk.state.phase);
        } else {
            assert!(matches!(desk.state.phase, Phase::Failed { .. }), "{:?}", desk.state.phase);
        }
    }
}

/// As versions before wrote it: nothing moved, and the candidate with all traffic by somebody else.
#[test]
fn a_state_of_before_with_traffic_by_somebody_else_is_rolled_back_whole() {
    let mut desk = Desk::new(plan(options()));
    desk.started();
    desk.observe(green(100), 7);
    let mut text: serde_json::Value = serde_json::to_value(&desk.state).unwrap();
    assert_eq!(text["moved"], serde_json::json!(false));
    text["phase"] = serde_json::json!({ "baking": { "step": 2, "since": at(0) } });
    text["settled"] = text["observed"]["split"].clone();
    desk.state = serde_json::from_value(text).unwrap();
    desk.send(Event::Tick);
    desk.now = 1_000;
    desk.send(Event::Tick);
    assert_eq!(desk.carried_out(), [blue()]);
    assert!(matches!(desk.state.phase, Phase::RolledBack { cause: Cause::Deadline }));
}

#[test]
fn a_change_that_lost_the_race_is_decided_again_at_the_new_revision() {
    let mut desk = Desk::new(plan(options()));
    desk.started();
    desk.send(smoke(true));
    let first = desk.change().unwrap();
    // Somebody set the same split again: nothing moved but the revision.
    desk.observe(blue(), 2);
    let second = desk.change().unwrap();
    assert_eq!((&first.split, first.expected), (&second.split, Some(1)));
    assert_eq!(second.expected, Some(2));
    assert_ne!(first.key, second.key);
    // The failure of the first one counts no more.
    desk.send(failed(EffectKind::SetTraffic, desk.state.epoch - 1, false));
    assert_eq!(desk.state.phase, Phase::Shifting { step: 0 });
    // Three times in a row is enough.
    desk.observe(blue(), 3);
    desk.observe(blue(), 4);
    assert!(matches!(desk.state.phase, Phase::RollingBack { cause: Cause::Effect(_) }));
}

#[test]
fn a_stepped_rollback_gives_the_candidate_nothing_that_somebody_else_took_from_it() {
    for (taken, next) in [(blue(), blue()), (green(20), green(10)), (green(60), green(50))] {
        let mut desk = Desk::baking(options().with_rollback(Rollback::Stepped { hold: secs(60) }));
        desk.observe(green(77), 7);
        desk.send(abort());
        assert_eq!(desk.change().unwrap().split, green(50));
        desk.observe(taken.clone(), 8);
        let change = desk.change().unwrap();
        assert_eq!((change.split, change.expected), (next, Some(8)), "after {taken}");
    }
}

#[test]
fn a_late_answer_to_an_early_question_is_ignored() {
    let mut desk = Desk::baking(options());
    let before = desk.state.clone();
    desk.observe(blue(), 1);
    assert_eq!(desk.state, before);
}

#[test]
fn a_rollback_is_done_only_when_its_own_change_is_in_force() {
    let mut desk = Desk::new(plan(options()));
    desk.started();
    desk.send(smoke(true));
    let shift = desk.change().unwrap();
    desk.send(abort());
    let back = desk.change().unwrap();
    assert_eq!((&back.split, back.expected), (&blue(), Some(1)));
    // The traffic looks right, but the shift may still be on its way.
    desk.observe(blue(), 1);
    assert!(matches!(desk.state.phase, Phase::RollingBack { .. }));
    // It was, and it came first: the rollback meets another revision, looks, and is decided again.
    desk.observe(shift.split, 2);
    let again = desk.change().unwrap();
    assert_eq!((again.split, again.expected), (blue(), Some(2)));
    desk.send(Event::Tick);
    desk.obeyed();
    assert!(matches!(desk.state.phase, Phase::RolledBack { cause: Cause::Aborted(_) }));
}

#[test]
fn what_keeps_failing_rolls_back_and_a_rollback_that_keeps_failing_escalates() {
    let mut desk = Desk::new(plan(options()));
    desk.started();
    for _ in 0..2 {
        desk.send(failed(EffectKind::RunSmokeTest, 0, true));
        assert_eq!(desk.state.phase, Phase::SmokeTest);
    }
    desk.send(failed(EffectKind::RunSmokeTest, 0, true));
    assert!(matches!(desk.state.phase, Phase::RolledBack { cause: Cause::Effect(_) }));

    let mut desk = Desk::new(plan(options()));
    desk.started();
    desk.send(smoke(true));
    desk.send(failed(EffectKind::SetTraffic, desk.state.epoch, false));
    assert!(matches!(desk.state.phase, Phase::RollingBack { .. }), "not worth another try");
    for _ in 0..2 {
        desk.send(failed(EffectKind::SetTraffic, desk.state.epoch, false));
        assert!(matches!(desk.state.phase, Phase::RollingBack { .. }));
    }
    desk.send(failed(EffectKind::SetTraffic, desk.state.epoch, true));
    assert!(matches!(desk.state.phase, Phase::Failed { .. }));
    assert!(matches!(&desk.effects[..], [Effect::Escalate(_)]));
}

#[test]
fn states_that_no_rollout_can_be_in_are_refused() {
    let good = Desk::baking(options()).state;
    let mut unknown = good.clone();
    unknown.schema = 2;
    let mut beyond = good.clone();
    beyond.phase = Phase::Baking { step: 3, since: at(0) };
    let mut aimless = good.clone();
    aimless.phase = Phase::Shifting { step: 0 };
    let mut blind = good;
    blind.observed = None;
    for (state, kind) in [
        (unknown, ErrorKind::Unsupported),
        (beyond, ErrorKind::Corrupt),
        (aimless, ErrorKind::Corrupt),
        (blind, ErrorKind::Corrupt),
    ] {
        assert_eq!(step(&state, &Event::Tick, at(0)).unwrap_err().kind(), kind);
    }
}

/// What the world may do next; revisions and epochs are made up relative to the state, so that they often fit.
#[derive(Clone, Debug)]
enum Move {
    Prechecked(bool),
    Seen(DeploymentState),
    Smoke(bool),
    Obey,
    ObserveNow,
    /// Somebody else sets this split, so many revisions on, with green as the shadow or the mirror as it was; and it is seen or not.
    Foreign {
        split: u8,
        ahead: u64,
        shadow: bool,
        seen: bool,
    },
    Baseline,
    Judge(GuardVerdict, u64),
    Approve(ApprovalDecision),
    Pause,
    Freeze,
    Resume,
    Abort,
    Tick,
    Late,
    Fail(EffectKind, bool),
    Restart,
}

fn moves() -> impl Strategy<Value = Move> {
    // Mostly what a rollout that goes well sees: else few would come far enough to go wrong late.
    let verdict = prop_oneof![
        30 => Just(GuardVerdict::Pass),
        1 => Just(GuardVerdict::Fail),
        2 => Just(GuardVerdict::Inconclusive),
        1 => Just(GuardVerdict::NoData),
    ];
    let decision = prop_oneof![
        8 => Just(ApprovalDecision::Approved),
        1 => Just(ApprovalDecision::Pending),
        1 => Just(ApprovalDecision::Rejected)
    ];
    let kind = prop_oneof![
        Just(EffectKind::SetTraffic),
        Just(EffectKind::SetMirror),
        Just(EffectKind::RunPrechecks),
        Just(EffectKind::EnsureCandidate),
        Just(EffectKind::RunSmokeTest),
        Just(EffectKind::JudgeGuard),
        Just(EffectKind::ObserveTraffic)
    ];
    prop_oneof![
        12 => prop::bool::weighted(0.97).prop_map(Move::Prechecked),
        12 => prop_oneof![
            20 => Just(DeploymentState::Ready),
            3 => Just(DeploymentState::Creating),
            1 => Just(DeploymentState::Failed),
        ].prop_map(Move::Seen),
        12 => prop::bool::weighted(0.97).prop_map(Move::Smoke),
        30 => Just(Move::Obey),
        4 => Just(Move::ObserveNow),
        2 => (0..5_u8, 0..3_u64, prop::bool::weighted(0.1), prop::bool::weighted(0.8)).prop_map(
            |(split, ahead, shadow, seen)| Move::Foreign { split, ahead, shadow, seen }
        ),
        25 => Just(Move::Baseline),
        35 => (verdict, prop::bool::weighted(0.1)).prop_map(|(verdict, old)| Move::Judge(verdict, u64::from(old))),
        8 => decision.prop_map(Move::Approve),
        1 => Just(Move::Pause),
        1 => Just(Move::Freeze),
        4 => Just(Move::Resume),
        1 => Just(Move::Abort),
        8 => Just(Move::Tick),
        1 => prop::bool::weighted(0.2).prop_map(|late| if late { Move::Late } else { Move::Tick }),
        1 => (kind, prop::bool::weighted(0.8)).prop_map(|(kind, retryable)| Move::Fail(kind, retryable)),
        2 => Just(Move::Restart),
    ]
}

/// The rules under random events, with an endpoint that applies changes by compare-and-set, and the laws checked at each one.
struct World {
    desk: Desk,
    traffic: ObservedTraffic,
    /// Changes asked for and not yet made, oldest first: each may be made late, or never.
    on_the_way: Vec<Change>,
    /// Changes that were made, and the traffic after each: the answer if they are asked for again.
    made: BTreeMap<IdempotencyKey, ObservedTraffic>,
    /// Whether the candidate was good as a shadow; and at each step.
    shadow_passed: bool,
    passed: Vec<bool>,
    approved: bool,
}

impl World {
    fn new(options: RolloutOptions) -> Self {
        let mut desk = Desk::new(plan(options));
        let traffic = ObservedTraffic::new(blue(), 1);
        desk.send(Event::Started(traffic.clone()));
        let passed = vec![false; desk.state.plan.steps().len()];
        let (on_the_way, made) = (Vec::new(), BTreeMap::new());
        Self { desk, traffic, on_the_way, made, shadow_passed: false, passed, approved: false }
    }

    fn play(&mut self, one: &Move) {
        let epoch = self.desk.state.epoch;
        let event = match one {
            Move::Prechecked(passed) => prechecked(*passed),
            Move::Seen(state) => seen(*state),
            Move::Smoke(passed) => smoke(*passed),
            Move::Obey => return self.obey(),
            Move::ObserveNow => self.observed(None),
            Move::Foreign { split, ahead, shadow, seen } => {
                let splits = [blue(), green(10), green(77), green(100), TrafficSplit::all_to(name("other"))];
                if *ahead > 0 {
                    self.traffic.split = splits[usize::from(*split)].clone();
                    self.traffic.revision += ahead;
                    let green = Mirror::new(name("green"), Percent::new(50).unwrap());
                    let has_traffic = self.traffic.split.share(&green.deployment) != Percent::ZERO;
                    match (has_traffic, shadow) {
                        (true, _) => self.traffic.mirror = None,
                        (false, true) => self.traffic.mirror = Some(green),
                        _ => {}
                    }
                }
                if !seen {
                    return;
                }
                self.observed(None)
            }
            Move::Baseline => {
                let baseline = Baseline { at: at(self.desk.now), candidate: None, stable: None };
                Event::BaselineTaken { epoch, baseline }
            }
            Move::Judge(verdict, behind) => {
                self.note_judgement(*verdict, *behind);
                judged(epoch.saturating_sub(*behind), *verdict)
            }
            Move::Approve(decision) => {
                self.approved |= *decision == ApprovalDecision::Approved;
                Event::ApprovalGiven(approval(&self.desk.state, *decision, "officer"))
            }
            Move::Pause => Event::PauseRequested("because".into()),
            Move::Freeze => Event::FreezeRequested("because".into()),
            Move::Resume => Event::Resumed,
            Move::Abort => abort(),
            Move::Tick => Event::Tick,
            Move::Late => {
                self.desk.now += 1_000;
                Event::Tick
            }
            Move::Fail(kind, retryable) => failed(*kind, epoch, *retryable),
            Move::Restart => {
                let text = serde_json::to_vec(&self.desk.state).unwrap();
                self.desk.state = serde_json::from_slice(&text).unwrap();
                Event::Tick
            }
        };
        self.send(event);
    }

    fn observed(&self, answers: Option<IdempotencyKey>) -> Event {
        Event::TrafficObserved { traffic: self.traffic.clone(), answers }
    }

    /// The oldest change on the way arrives.
    fn obey(&mut self) {
        if self.on_the_way.is_empty() {
            return;
        }
        let change = self.on_the_way.remove(0);
        if let Some(then) = self.made.get(change.key()) {
            let (traffic, answers) = (then.clone(), Some(change.key().clone()));
            return self.send(Event::TrafficObserved { traffic, answers });
        }
        let mut endpoint = Endpoint::new(EndpointSpec::new(endpoint_name(), actor("bot")), at(0));
        (endpoint.traffic, endpoint.revision) = (self.traffic.split.clone(), self.traffic.revision);
        endpoint.mirror.clone_from(&self.traffic.mirror);
        let Ok(after) = change.applied_to(endpoint) else {
            return self.send(self.observed(None));
        };
        let (split, revision, mirror) = (after.traffic, after.revision, after.mirror);
        self.traffic = ObservedTraffic { split, revision, mirror };
        self.made.insert(change.key().clone(), self.traffic.clone());
        self.send(self.observed(Some(change.key().clone())));
    }

    fn note_judgement(&mut self, verdict: GuardVerdict, behind: u64) {
        let baked = |since| at(self.desk.now) - since >= chrono::TimeDelta::seconds(10);
        if verdict != GuardVerdict::Pass || behind != 0 {
            return;
        }
        match self.desk.state.phase {
            Phase::Baking { step, since } if baked(since) => self.passed[step] = true,
            Phase::Shadowing { since } if baked(since) => self.shadow_passed = true,
            _ => {}
        }
    }

    fn send(&mut self, event: Event) {
        let before = self.desk.state.clone();
        let result = step(&before, &event, at(self.desk.now));
        // Pure: the same again.
        match (&result, step(&before, &event, at(self.desk.now))) {
            (Ok(one), Ok(two)) => assert_eq!(*one, two),
            (Err(_), Err(_)) => return,
            _ => panic!("one of two equal calls failed"),
        }
        self.desk.send(event.clone());
        if before.phase.is_terminal() {
            assert_eq!(self.desk.state, before, "an end changes no more");
            assert_eq!(self.desk.effects, []);
        }
        self.check_changes();
        self.check_rollback();
        self.check_end();
        for effect in std::mem::take(&mut self.desk.effects) {
            match effect {
                Effect::SetTraffic { change, .. } => self.on_the_way.push(Change::Traffic(*change)),
                Effect::SetMirror { change, .. } => self.on_the_way.push(Change::Mirror(*change)),
                _ => {}
            }
        }
    }

    fn check_changes(&self) {
        let plan = &self.desk.state.plan;
        for effect in &self.desk.effects {
            if let Effect::SetMirror { change, .. } = effect {
                assert!(change.mirror.is_none() || change.mirror == plan.shadow());
            }
            let Effect::SetTraffic { change, epoch } = effect else { continue };
            assert!(!self.desk.state.mirrored, "traffic is moved while the candidate may be the shadow");
            assert_eq!(*epoch, self.desk.state.intent.as_ref().unwrap().epoch);
            let total: u32 = change.split.shares().map(|(_, share)| u32::from(share.get())).sum();
            assert_eq!(total, 100);
            if matches!(self.desk.state.phase, Phase::RollingBack { .. }) {
                let less = change.split.share(plan.candidate()) < self.desk.state.share();
                assert!(change.split == plan.initial_split() || less, "{}", change.split);
                continue;
            }
            let step = (0..plan.steps().len()).find(|step| plan.split(*step) == change.split);
            let step = step.expect("a split of the plan");
            assert!(self.shadow_passed || plan.shadow().is_none(), "no shadow was good");
            assert!(self.passed[..step].iter().all(|passed| *passed), "step {step} is not earned");
            if plan.options().approval && plan.steps()[step] == Percent::ALL {
                assert!(self.approved);
            }
        }
    }

    /// Who is told that the stable version has all traffic is told what was seen last.
    fn check_end(&self) {
        let state = &self.desk.state;
        if matches!(state.phase, Phase::RolledBack { .. }) {
            let seen = &state.observed.as_ref().unwrap().split;
            assert!(seen.same_shares(&blue()), "rolled back with {seen}");
            assert!(!state.mirrored && state.intent.is_none());
        }
    }

    /// From here, a rollback begins with one change, of the mirror or of the traffic, wherever the candidate may have either; and ends at
    /// once only where it has neither.
    fn check_rollback(&self) {
        let (state, effects) = step(&self.desk.state, &abort(), at(self.desk.now)).unwrap();
        let moves =
            |effect: &&Effect| matches!(effect.kind(), EffectKind::SetTraffic | EffectKind::SetMirror);
        let changes = effects.iter().filter(moves).count();
        match state.phase {
            Phase::RollingBack { .. } if state.mirrored => {
                assert_eq!(state.intent.unwrap().mirror, Some(MirrorTarget::Off));
            }
            Phase::RollingBack { .. } => {
                let (split, share) = (state.intent.unwrap().split, self.desk.state.share());
                assert!(split == blue() || split.share(&name("green")) < share, "{split}");
            }
            Phase::RolledBack { .. } => {
                assert_eq!((changes, self.desk.state.share()), (0, Percent::ZERO));
            }
            Phase::Promoted | Phase::Shadowed | Phase::Failed { .. } => assert_eq!(changes, 0),
            phase => panic!("{phase:?} after an abort"),
        }
        assert!(changes <= 1);
    }

    /// From now on nobody interferes and everything works: how does it end?
    fn settle(&mut self) {
        // Whatever is on the way arrives first.
        while !self.on_the_way.is_empty() {
            self.obey();
        }
        self.send(abort());
        for _ in 0..40 {
            if self.desk.state.phase.is_terminal() && self.on_the_way.is_empty() {
                return;
            }
            self.desk.now += 1;
            self.send(Event::Tick);
            self.send(self.observed(None));
            self.obey();
        }
        panic!("it did not end: {:?}", self.desk.state);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn the_laws_hold_under_any_events(
        moves in prop::collection::vec((moves(), 0..8_i64), 1..120),
        approval in any::<bool>(),
        shadow in prop::option::of(any::<bool>()),
        stepped in prop::bool::weighted(0.3),
    ) {
        let mut options = options().with_patience(secs(40));
        if stepped {
            options = options.with_rollback(Rollback::Stepped { hold: secs(3) });
        }
        if let Some(promote) = shadow {
            options = options.with_strategy(in_shadow(promote));
        }
        let mut world = World::new(if approval { options.with_approval() } else { options });
        for (one, later) in &moves {
            world.desk.now += later;
            world.play(one);
        }
        world.settle();
        // Nobody but the rollout moved traffic unless the moves say so: then it ends at one end or the other.
        let alone = !moves.iter().any(|(one, _)| matches!(one, Move::Foreign { .. }));
        if alone && !matches!(world.desk.state.phase, Phase::Failed { .. }) {
            let expected = if world.desk.state.phase == Phase::Promoted { green(100) } else { blue() };
            prop_assert_eq!(&world.traffic.split, &expected);
            prop_assert_eq!(&world.traffic.mirror, &None);
        }
    }

    #[test]
    fn an_event_that_comes_twice_is_an_event_that_came_once(
        moves in prop::collection::vec((moves(), 0..8_i64), 1..60),
        twice in prop_oneof![
            Just(Move::Prechecked(true)), Just(Move::Smoke(true)), Just(Move::ObserveNow), Just(Move::Baseline),
            Just(Move::Pause), Just(Move::Abort), Just(Move::Tick)
        ],
    ) {
        let mut world = World::new(options().with_strategy(in_shadow(true)));
        for (one, later) in &moves {
            world.desk.now += later;
            world.play(one);
        }
        world.play(&twice);
        let once = world.desk.state.clone();
        world.play(&twice);
        prop_assert_eq!(&world.desk.state, &once);
    }
}

/// That the laws held says little if nothing happened.
#[test]
fn random_events_reach_every_phase() {
    let mut runner = TestRunner::deterministic();
    let plays = prop::collection::vec((moves(), 0..8_i64), 1..120);
    let mut reached = BTreeMap::<String, usize>::new();
    for round in 0..1_000 {
        let options = options().with_approval();
        let mut world = World::new(match round % 4 {
            0 => options.with_strategy(in_shadow(true)),
            1 => options.with_strategy(in_shadow(false)),
            _ => options,
        });
        for (one, later) in plays.new_tree(&mut runner).unwrap().current() {
            world.desk.now += later;
            world.play(&one);
            let shown = format!("{:?}", world.desk.state.phase);
            let phase = shown.split(' ').next().unwrap_or_default().to_owned();
            *reached.entry(phase).or_default() += 1;
        }
    }
    for phase in [
        "Prechecks",
        "Deploying",
        "SmokeTest",
        "Mirroring",
        "Shadowing",
        "Unmirroring",
        "Shadowed",
        "Shifting",
        "Baking",
        "AwaitingApproval",
        "Paused",
        "RollingBack",
        "RolledBack",
        "Promoted",
        "Failed",
    ] {
        assert!(reached.contains_key(phase), "{phase} was never reached: {reached:?}");
    }
}

// ── the driver ───────────────────────────────────────────────────────────────────────────────────────────────────────────

/// A journal whose calls may be struck like those of the deployer.
#[derive(Debug, Default)]
struct TestJournal {
    inner: VecJournal,
    fate: Shared,
}

#[async_trait]
impl RolloutJournal for TestJournal {
    async fn append(&self, rollout: &Digest, entry: &JournalEntry) -> Result<()> {
        self.fate.call(|| self.inner.append(rollout, entry).now_or_never().unwrap()).await
    }

    async fn entries(&self, rollout: &Digest) -> Result<Vec<JournalEntry>> {
        self.inner.entries(rollout).await
    }
}

fn quick() -> RolloutOptions {
    options().with_bake(Duration::ZERO)
}

struct Stage {
    deployer: Arc<TestDeployer>,
    journal: Arc<TestJournal>,
    plan: RolloutPlan,
    now: i64,
}

impl Stage {
    fn new(options: RolloutOptions) -> Self {
        let deployer = Arc::new(TestDeployer::new(blue()));
        Self { deployer, journal: Arc::default(), plan: plan(options), now: 0 }
    }

    /// Deployer and journal share one count of calls, and one stroke of fate.
    fn struck(options: RolloutOptions, strike: usize, trouble: Trouble) -> Self {
        let fate = Shared::striking(strike, trouble);
        let mut deployer = TestDeployer::new(blue());
        deployer.fate = fate.clone();
        let journal = TestJournal { inner: VecJournal::default(), fate };
        Self { deployer: Arc::new(deployer), journal: Arc::new(journal), plan: plan(options), now: 0 }
    }

    fn driver(&self) -> RolloutDriver {
        let (deployer, journal) = (self.deployer.clone(), self.journal.clone());
        RolloutDriver::new(self.plan.clone(), smoke_test(), deployer, journal)
    }

    async fn resumed(&self) -> RolloutDriver {
        let (deployer, journal) = (self.deployer.clone(), self.journal.clone());
        RolloutDriver::resume(self.plan.clone(), smoke_test(), deployer, journal).await.unwrap()
    }

    /// Traffic and time until it ends; a crash, or an error, begins again from the journal. At the end: the driver, and whether
    /// there was a crash or an error.
    async fn run(&mut self, mut driver: RolloutDriver) -> (RolloutDriver, bool) {
        let mut troubled = false;
        for _ in 0..50 {
            self.now += 1;
            let advanced = driver.advance(at(self.now)).now_or_never();
            match advanced {
                Some(Ok(status)) if status.is_terminal() => return (driver, troubled),
                Some(Ok(_)) => {}
                None | Some(Err(_)) => {
                    troubled = true;
                    driver = self.resumed().await;
                }
            }
            self.deployer.send_traffic();
        }
        panic!("it did not end: {:?}", driver.status());
    }
}

#[tokio::test]
async fn a_good_candidate_is_promoted() {
    let mut stage = Stage::new(quick());
    let driver = stage.driver();
    let (driver, _) = stage.run(driver).await;
    assert!(driver.status().is_promoted());
    let history = lock(&stage.deployer.state).history.clone();
    assert_eq!(history, [blue(), green(10), green(50), green(100)]);
}

#[tokio::test]
async fn one_call_moves_one_step_and_the_status_says_which() {
    let stage = Stage::new(quick());
    let mut driver = stage.driver();
    let shown = driver.advance(at(0)).await.unwrap().to_string();
    assert_eq!(shown, "step 1: baking (10 % to the candidate)");
    // Nobody asked the candidate anything: it stays where it is.
    let status = driver.advance(at(1)).await.unwrap();
    assert_eq!((status.share, status.verdict), (Percent::new(10).unwrap(), Some(GuardVerdict::NoData)));
    stage.deployer.send_traffic();
    let status = driver.advance(at(2)).await.unwrap();
    assert_eq!(status.share.get(), 50);
}

#[tokio::test]
async fn a_candidate_that_fails_is_rolled_back_and_the_stable_version_serves_on() {
    for options in [quick(), quick().with_limits(OperationGuard::default())] {
        let mut stage = Stage::new(options);
        stage.deployer.fail_at("green");
        let driver = stage.driver();
        let (driver, _) = stage.run(driver).await;
        let Phase::RolledBack { cause: Cause::Guard(reason) } = driver.status().phase else {
            panic!("{}", driver.status());
        };
        assert!(reason.contains("10 of 10 requests failed"), "{reason}");
        assert_eq!(stage.deployer.traffic(), blue());
    }
}

#[tokio::test]
async fn failures_of_the_past_are_not_held_against_a_step() {
    let mut stage = Stage::new(quick());
    let mut old = OperationStats::default();
    (old.requests, old.failures) = (1_000, 1_000);
    lock(&stage.deployer.state).stats.insert(name("green"), old);
    let driver = stage.driver();
    let (driver, _) = stage.run(driver).await;
    assert!(driver.status().is_promoted());
}

#[tokio::test]
async fn a_candidate_that_answers_nonsense_gets_no_traffic() {
    let mut stage = Stage::new(quick());
    lock(&stage.deployer.state).prediction = f64::NAN;
    let driver = stage.driver();
    let (driver, _) = stage.run(driver).await;
    assert!(matches!(driver.status().phase, Phase::RolledBack { cause: Cause::SmokeTest(_) }));
    assert_eq!(lock(&stage.deployer.state).history, [blue()]);
}

#[tokio::test]
async fn a_guard_that_the_plan_demands_must_be_there() {
    let mut stage = Stage::new(quick().with_guard("performance").on_no_data(ThinData::Rollback));
    let driver = stage.driver();
    let (driver, _) = stage.run(driver).await;
    assert!(matches!(driver.status().phase, Phase::RolledBack { cause: Cause::NoData }));

    let stage = Stage::new(quick().with_guard("performance"));
    let mut driver = stage.driver().with_guard(Arc::new(PerformanceGuard::default()));
    let accuracy = |value| Estimate::new(Measured::Value(value), Direction::HigherIsBetter, 500);
    let score = |candidate| LabelledPerformance {
        metric: MetricKey::new("accuracy").unwrap(),
        candidate: accuracy(candidate),
        stable: accuracy(0.75),
    };
    driver.advance(at(0)).await.unwrap();
    stage.deployer.send_traffic();
    driver.report_performance(score(0.76));
    assert_eq!(driver.advance(at(1)).await.unwrap().share.get(), 50);
    // Numbers of an earlier step say nothing about this one.
    stage.deployer.send_traffic();
    assert_eq!(driver.advance(at(2)).await.unwrap().verdict, Some(GuardVerdict::NoData));
    driver.report_performance(score(0.70));
    let status = driver.advance(at(3)).await.unwrap();
    assert!(matches!(status.phase, Phase::RolledBack { cause: Cause::Guard(_) }), "{status}");
}

#[tokio::test]
async fn a_deployer_that_does_not_tell_gives_no_data() {
    let mut stage = Stage::new(quick().on_no_data(ThinData::Rollback));
    let mut deployer = TestDeployer::new(blue());
    deployer.capabilities = DeployerCapabilities { operation_stats: false, ..DeployerCapabilities::FULL };
    stage.deployer = Arc::new(deployer);
    let driver = stage.driver();
    let (driver, _) = stage.run(driver).await;
    assert!(matches!(driver.status().phase, Phase::RolledBack { cause: Cause::NoData }));
}

#[tokio::test]
async fn approval_comes_from_the_approver_or_by_hand() {
    let mut stage = Stage::new(quick().with_approval());
    let driver = stage.driver().with_approver(Arc::new(Officer(ApprovalDecision::Approved)));
    let (driver, _) = stage.run(driver).await;
    assert!(driver.status().is_promoted());

    let mut stage = Stage::new(quick().with_approval());
    let driver = stage.driver().with_approver(Arc::new(Officer(ApprovalDecision::Rejected)));
    let (driver, _) = stage.run(driver).await;
    assert!(matches!(driver.status().phase, Phase::RolledBack { cause: Cause::Refused(_) }));
    assert_eq!(stage.deployer.traffic(), blue());

    let stage = Stage::new(quick().with_steps(percents(&[50, 100])).with_approval());
    let mut driver = stage.driver();
    for now in 0..5 {
        driver.advance(at(now)).await.unwrap();
        stage.deployer.send_traffic();
    }
    assert_eq!(driver.status().phase, Phase::AwaitingApproval { step: 1 });
    assert_eq!(stage.deployer.traffic(), green(50));
    let yes = approval(driver.state(), ApprovalDecision::Approved, "officer");
    assert_eq!(driver.approve(yes, at(6)).await.unwrap().share.get(), 100);
}

#[tokio::test]
async fn somebody_elses_change_of_traffic_pauses_until_it_is_let_go_on() {
    let mut stage = Stage::new(quick());
    let mut driver = stage.driver();
    driver.advance(at(0)).await.unwrap();
    {
        let mut state = lock(&stage.deployer.state);
        (state.traffic, state.revision) = (green(90), state.revision + 1);
    }
    stage.deployer.send_traffic();
    let status = driver.advance(at(1)).await.unwrap();
    assert_eq!(
        status.to_string().split(" (").next(),
        Some("paused: somebody else changed the traffic to blue 10 %, green 90 %")
    );
    driver.unpause(at(2)).await.unwrap();
    assert_eq!(stage.deployer.traffic(), green(10));
    let (driver, _) = stage.run(driver).await;
    assert!(driver.status().is_promoted());
}

#[tokio::test]
async fn a_race_for_the_traffic_is_seen_and_run_again() {
    let stage = Stage::new(quick());
    let mut driver = stage.driver();
    driver.advance(at(0)).await.unwrap();
    stage.deployer.send_traffic();
    // Somebody sets the same split again behind its back; the next shift expects the revision before.
    lock(&stage.deployer.state).revision += 1;
    let status = driver.advance(at(1)).await.unwrap();
    assert_eq!(status.share.get(), 50, "{status}");
    assert_eq!(status.problem, None);
}

#[tokio::test]
async fn every_change_of_phase_is_audited_once_also_across_restarts_and_outages() {
    let stage = Stage::new(quick());
    let audit = Arc::new(TestAudit::default());
    *lock(&audit.down) = true;
    let mut driver = stage.driver().with_audit(audit.clone());
    assert_eq!(driver.advance(at(0)).await.unwrap_err().kind(), ErrorKind::Transport);
    assert_eq!(stage.deployer.traffic(), green(10), "traffic does not wait for the log");
    *lock(&audit.down) = false;
    stage.deployer.send_traffic();
    driver.advance(at(1)).await.unwrap();
    drop(driver);
    let mut driver = stage.resumed().await.with_audit(audit.clone());
    stage.deployer.fail_at("green");
    stage.deployer.send_traffic();
    driver.advance(at(2)).await.unwrap();
    let actions: Vec<_> = lock(&audit.records).iter().map(|r| r.entry.action.clone()).collect();
    assert_eq!(
        actions,
        [
            "rollout.precheck",
            "rollout.deploy",
            "rollout.smoke_test",
            "rollout.shift",
            "rollout.bake",
            "rollout.shift",
            "rollout.bake",
            "rollout.roll_back",
            "rollout.rolled_back"
        ]
    );
    assert!(audit.verify(None).await.unwrap().is_intact());
}

#[tokio::test]
async fn a_second_driver_of_the_same_rollout_is_stopped_by_the_journal() {
    let stage = Stage::new(quick());
    let mut one = stage.driver();
    one.advance(at(0)).await.unwrap();
    let mut two = stage.resumed().await;
    stage.deployer.send_traffic();
    two.advance(at(1)).await.unwrap();
    assert_eq!(one.advance(at(2)).await.unwrap_err().kind(), ErrorKind::Conflict);
    // Nor does the plan start again.
    let mut anew = stage.driver();
    assert_eq!(anew.advance(at(3)).await.unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(stage.deployer.traffic(), green(50));
}

#[tokio::test]
async fn a_shadow_is_judged_on_what_is_mirrored_and_then_gets_traffic() {
    let mut stage = Stage::new(quick().with_strategy(in_shadow(true)));
    let mut driver = stage.driver();
    let shown = driver.advance(at(0)).await.unwrap().to_string();
    assert_eq!(shown, "shadow: baking (0 % to the candidate)");
    assert_eq!(
        lock(&stage.deployer.state).mirror,
        Some(Mirror::new(name("green"), Percent::new(50).unwrap()))
    );
    // Nobody asked it anything yet.
    assert_eq!(driver.advance(at(1)).await.unwrap().verdict, Some(GuardVerdict::NoData));
    assert_eq!(stage.deployer.traffic(), blue());
    let (driver, _) = stage.run(driver).await;
    assert!(driver.status().is_promoted());
    let state = lock(&stage.deployer.state);
    assert_eq!(
        (state.history.clone(), &state.mirror),
        (vec![blue(), green(10), green(50), green(100)], &None)
    );
}

#[tokio::test]
async fn a_shadow_that_fails_ends_with_the_traffic_as_it_was() {
    let mut stage = Stage::new(quick().with_strategy(in_shadow(true)));
    stage.deployer.fail_at("green");
    let driver = stage.driver();
    let (driver, _) = stage.run(driver).await;
    let Phase::RolledBack { cause: Cause::Guard(reason) } = driver.status().phase else {
        panic!("{}", driver.status());
    };
    assert!(reason.contains("50 of 50 requests failed"), "{reason}");
    let state = lock(&stage.deployer.state);
    assert_eq!((state.history.clone(), &state.mirror), (vec![blue()], &None));
}

#[tokio::test]
async fn what_the_plan_needs_is_looked_at_before_anything_is_done() {
    let end = async |stage: Stage, driver: RolloutDriver| {
        let mut stage = stage;
        let (driver, _) = stage.run(driver).await;
        assert_eq!(lock(&stage.deployer.state).history, [blue()]);
        match driver.status().phase {
            Phase::RolledBack { cause: Cause::Precheck(reason) } => reason,
            phase => panic!("{phase}"),
        }
    };
    let release = Release::new(ModelName::new("risk").unwrap(), Version::FIRST, Digest::of(b"the model"));

    let stage = Stage::new(quick());
    lock(&stage.deployer.state).deployed.remove(&name("blue"));
    let driver = stage.driver();
    assert_eq!(end(stage, driver).await, "stable: blue is not there");

    let stage = Stage::new(quick());
    lock(&stage.deployer.state).deployed.remove(&name("green"));
    let driver = stage.driver();
    let reason = end(stage, driver).await;
    assert!(reason.starts_with("candidate: green is not there"), "{reason}");

    let stage = Stage::new(quick().with_max_deployments(1));
    let driver = stage.driver();
    assert_eq!(end(stage, driver).await, "quota: 2 deployments with the candidate, 1 are allowed");

    let stage = Stage::new(quick().with_strategy(in_shadow(false)));
    lock(&stage.deployer.state).mirror = Some(Mirror::new(name("red"), Percent::new(5).unwrap()));
    let driver = stage.driver();
    assert_eq!(end(stage, driver).await, "mirror: there is a mirror already, 5 % to red");

    let mut stage = Stage::new(quick().with_strategy(in_shadow(false)));
    let mut deployer = TestDeployer::new(blue());
    deployer.capabilities = DeployerCapabilities { max_mirror: Percent::ZERO, ..DeployerCapabilities::FULL };
    stage.deployer = Arc::new(deployer);
    let driver = stage.driver();
    assert_eq!(end(stage, driver).await, "mirror: 50 % are to be mirrored, the deployer can mirror 0 %");

    let mut stage = Stage::new(quick().with_sticky(Sticky::header("x-user").unwrap()));
    let mut deployer = TestDeployer::new(blue());
    deployer.capabilities = DeployerCapabilities { sticky_routing: false, ..DeployerCapabilities::FULL };
    stage.deployer = Arc::new(deployer);
    let driver = stage.driver();
    let expected =
        "sticky: the plan is sticky by header x-user, the deployer keeps nobody at their deployment";
    assert_eq!(end(stage, driver).await, expected);

    // The plan says what the candidate is of, and there is no registry and no gate to tell about it.
    let mut stage = Stage::new(quick());
    stage.plan = stage.plan.clone().with_release(release.clone().with_gate(Digest::of(b"a decision")));
    let driver = stage.driver();
    let reason = end(stage, driver).await;
    assert!(
        reason.contains("version: there is no registry") && reason.contains("gate: the plan demands"),
        "{reason}"
    );

    let mut stage = Stage::new(quick());
    let other = Release::new(release.model, release.version, Digest::of(b"another model"));
    stage.plan = stage.plan.clone().with_release(other);
    let driver = stage.driver();
    let reason = end(stage, driver).await;
    assert!(reason.contains("candidate: its content is"), "{reason}");
}

/// A source that has observed one metric at both versions, once a second since the beginning of time.
#[derive(Debug, Default)]
struct Ticks {
    asked: Mutex<Vec<(i64, i64, u64)>>,
}

#[async_trait]
impl MetricProvider for Ticks {
    async fn observe(&self, request: &MetricRequest<'_>) -> Result<Option<Observations>> {
        let since = |moment: Timestamp| (moment - at(0)).num_seconds();
        let (from, to) = (since(request.from), since(request.to));
        lock(&self.asked).push((from, to, request.min_samples));
        assert_eq!((request.candidate, request.stable), (&name("green"), Some(&name("blue"))));
        let seen = || vec![1.0; usize::try_from(to - from).unwrap()];
        Ok((request.metric == "ms").then(|| Observations::values(seen(), seen())))
    }
}

#[tokio::test]
async fn a_query_asks_for_its_window_of_the_step_and_nothing_else() {
    let guard = |metric: &str| {
        let query = MetricQuery::new(metric).with_from(secs(5)).with_to(secs(20));
        MetricGuard::query("latency", query, Threshold::at_most(2.0)).with_min_samples(8)
    };
    let stage = Stage::new(options().with_metric(guard("ms")));
    let source = Arc::new(Ticks::default());
    let mut driver = stage.driver().with_metrics(source.clone());
    driver.advance(at(0)).await.unwrap();
    stage.deployer.send_traffic();
    for (now, verdict) in [
        (4, GuardVerdict::NoData),
        (5, GuardVerdict::NoData),
        (8, GuardVerdict::Inconclusive),
        (12, GuardVerdict::Inconclusive),
    ] {
        assert_eq!(driver.advance(at(now)).await.unwrap().verdict, Some(verdict), "at {now}");
    }
    assert_eq!(*lock(&source.asked), [(5, 8, 8), (5, 12, 8)]);
    // Enough: the step has baked, the next one begins, and with it the next window.
    assert_eq!(driver.advance(at(13)).await.unwrap().share.get(), 50);
    stage.deployer.send_traffic();
    driver.advance(at(40)).await.unwrap();
    assert_eq!(lock(&source.asked).last(), Some(&(18, 33, 8)));

    // No source, or one without the metric: no data, with the reason.
    for (metrics, words) in
        [(None, "no source of metrics"), (Some(Arc::new(Ticks::default())), "has no other")]
    {
        let stage = Stage::new(options().with_metric(guard("other")));
        let mut driver = stage.driver();
        if let Some(metrics) = metrics {
            driver = driver.with_metrics(metrics);
        }
        driver.advance(at(0)).await.unwrap();
        driver.advance(at(10)).await.unwrap();
        let entries = stage.journal.entries(&stage.plan.digest().unwrap()).await.unwrap();
        let Some(Event::GuardJudged { evidence: Some(seen), .. }) = entries.last().map(|entry| &entry.event)
        else {
            panic!("{entries:?}");
        };
        assert!(seen.findings[0].finding.reason.contains(words), "{}", seen.findings[0].finding);
    }
}

#[tokio::test]
async fn several_approvers_are_asked_and_together_they_approve() {
    let mut stage = Stage::new(quick().with_approvals(2));
    let named = |who: &str| {
        let who = actor(who);
        Arc::new(crate::governance::AutoApprover::new(who))
    };
    let driver = stage.driver().with_approver(named("one")).with_approver(named("two"));
    let (driver, _) = stage.run(driver).await;
    assert!(driver.status().is_promoted());
    assert_eq!(driver.state().approvers, [actor("one"), actor("two")]);
}

/// At every call to deployer or journal in turn, whatever can go wrong with it: at the end all traffic is with the candidate if it
/// is good, with the stable version if it is not, and no split was in force that the plan does not have.
#[tokio::test]
async fn a_crash_at_any_call_ends_at_one_end_or_the_other() {
    use Trouble::{CrashAfter, CrashBefore, ErrorAfter, ErrorBefore};
    let mut struck = 0;
    for trouble in [CrashBefore, CrashAfter, ErrorBefore, ErrorAfter] {
        for good in [true, false] {
            for (strike, options) in
                (1..).flat_map(|strike| [(strike, quick()), (strike, quick().with_strategy(in_shadow(true)))])
            {
                let shadowed = options.strategy != super::Strategy::Canary;
                let mut stage = Stage::struck(options, strike, trouble);
                if !good {
                    stage.deployer.fail_at("green");
                }
                let driver = stage.driver();
                let (driver, troubled) = stage.run(driver).await;
                let (phase, traffic) = (driver.status().phase, stage.deployer.traffic());
                let expected = if good { green(100) } else { blue() };
                assert_eq!(traffic, expected, "{trouble:?} at call {strike}: {phase}");
                assert_eq!(phase == Phase::Promoted, good, "{trouble:?} at call {strike}: {phase}");
                assert_eq!(lock(&stage.deployer.state).mirror, None, "{trouble:?} at call {strike}: {phase}");
                for split in &lock(&stage.deployer.state).history {
                    assert!([blue(), green(10), green(50), green(100)].contains(split), "{split}");
                }
                if shadowed && !good {
                    assert_eq!(
                        lock(&stage.deployer.state).history,
                        [blue()],
                        "a bad shadow moves no traffic"
                    );
                }
                // Past the last call nothing strikes any more; a rollout with a shadow makes the most calls.
                if shadowed && lock(&stage.deployer.fate.0).calls < strike {
                    break;
                }
                struck += usize::from(troubled);
            }
        }
    }
    assert!(struck > 50, "only {struck} crashes and errors were seen");
}
