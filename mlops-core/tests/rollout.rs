//! The rules of rollouts under crashes: a process that stops after any effect, at any step of any strategy, and goes on from what was
//! written down; what guards on metrics lead to; freezing, draining, going back in steps; what was written before reads on.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use mlops_core::artifact::ArtifactStoreExt as _;
use mlops_core::data::{Column, Table};
use mlops_core::deploy::rollout::judge::{
    Count, Evidence, Finding, Observations, Proportions, ScoreOptions, Threshold,
};
use mlops_core::deploy::rollout::*;
use mlops_core::deploy::{
    Deployer as _, Deployment, DeploymentSpec, DeploymentState, EndpointSpec, InvokeRequest, Mirror,
    MirrorChange, SmokeCheck, SmokeReport, SmokeTest, Sticky, TrafficChange, TrafficSplit,
};
use mlops_core::evaluation::{CriterionResult, GateDecision, Verdict};
use mlops_core::governance::{Approval, ApprovalDecision, ApprovalRequest};
use mlops_core::hash::Digest;
use mlops_core::memory::{MemoryArtifactStore, MemoryDeployer, MemoryModelRegistry};
use mlops_core::model::{ModelFormat, Predictor as _};
use mlops_core::problem::Task;
use mlops_core::registry::{ModelRegistry as _, ModelVersion, NewModelVersion};
use mlops_core::serve::{BuiltinLoader, ConstantPredictor};
use mlops_core::time::{ManualClock, Timestamp};
use mlops_core::{ActorId, DeploymentName, EndpointName, ErrorKind, IdempotencyKey, Percent, Version};

fn at(seconds: i64) -> Timestamp {
    let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    start + chrono::TimeDelta::seconds(seconds)
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn name(text: &str) -> DeploymentName {
    DeploymentName::new(text).unwrap()
}

fn percent(share: u8) -> Percent {
    Percent::new(share).unwrap()
}

fn options() -> RolloutOptions {
    let metric = MetricGuard::new("errors", Proportions::new(0.0)).on_inconclusive(ThinData::Continue);
    RolloutOptions::default()
        .with_steps([10, 40, 100].map(percent))
        .with_bake(secs(2))
        .with_patience(secs(5))
        .with_deadline(secs(1_000))
        .with_metric(metric.on_no_data(ThinData::Continue))
}

fn plan(options: RolloutOptions) -> RolloutPlan {
    let (endpoint, actor) = (EndpointName::new("diabetes").unwrap(), ActorId::new("bot").unwrap());
    let plan = RolloutPlan::canary(endpoint, name("blue"), name("green"), actor, options).unwrap();
    plan.with_key(IdempotencyKey::new("rollout-1").unwrap())
}

/// What the world does to a rollout. Places count from 0: the shadow, where there is one, then the steps.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Story {
    Good,
    /// A guard fails at this step.
    Bad(usize),
    /// Somebody aborts at this step.
    Abort(usize),
    /// Somebody pauses at this step, and the candidate fails then.
    BadWhilePaused(usize),
    /// Somebody freezes at this step, the candidate fails for a while, and then somebody lets it go on.
    Frozen(usize),
    /// Somebody else gives the candidate all traffic at this step, or while it is waited for; when it is paused for that somebody
    /// aborts, or does not and it gets late.
    Given(Option<usize>, bool),
}

/// An endpoint, a process that may stop, and what it wrote down.
struct World {
    state: RolloutState,
    /// The state as it was written down last; it is read from text after a stop.
    journal: RolloutState,
    now: i64,
    traffic: ObservedTraffic,
    made: BTreeMap<IdempotencyKey, (Change, ObservedTraffic)>,
    /// How often the candidate was looked at; it is ready at the second look.
    looks: u32,
    effects: usize,
    /// At which effect it stops, and whether after it.
    strike: (usize, bool),
    story: Story,
    acted: bool,
    /// Whether somebody else has given the candidate traffic.
    given: bool,
    asked: u32,
}

/// A change of the traffic or of the mirror.
#[derive(Clone, Debug, PartialEq)]
enum Change {
    Traffic(TrafficChange),
    Mirror(MirrorChange),
}

/// The process has stopped.
struct Stopped;

impl World {
    fn new(options: RolloutOptions, story: Story, strike: (usize, bool)) -> Self {
        let state = RolloutState::new(plan(options));
        // What keeps callers before the rollout is not what does in it.
        let before = state.plan.initial_split().with_sticky(None);
        let traffic = ObservedTraffic::new(before, 3);
        let journal = state.clone();
        let made = BTreeMap::new();
        let (acted, given, asked, looks, effects) = (false, false, 0, 0, 0);
        Self { state, journal, now: 0, traffic, made, looks, effects, strike, story, acted, given, asked }
    }

    /// Runs to the end; whether it was stopped on the way.
    fn run(&mut self) -> bool {
        let mut stopped = false;
        for _ in 0..200 {
            self.now += 1;
            let event = match self.state.phase {
                Phase::Draft => Event::Started(self.traffic.clone()),
                _ => Event::Tick,
            };
            let mut done = self.feed(event);
            if done.is_ok() && !self.acted {
                done = self.act();
            }
            if done.is_err() {
                stopped = true;
                let written = serde_json::to_string(&self.journal).unwrap();
                self.state = serde_json::from_str(&written).unwrap();
                assert_eq!(self.state, self.journal);
            }
            if self.state.phase.is_terminal() {
                return stopped;
            }
        }
        panic!("{:?} {:?} did not end: {:?}", self.story, self.strike, self.state);
    }

    /// A person acts, once, when the time has come; and a second time on what is frozen.
    fn act(&mut self) -> Result<(), Stopped> {
        let here = match self.state.phase {
            Phase::Baking { step, .. } => Some(step + usize::from(self.state.plan.shadow().is_some())),
            Phase::Shadowing { .. } => Some(0),
            _ => None,
        };
        if let Story::Given(place, late) = self.story {
            return self.give(place == here, late);
        }
        let (step, event) = match self.story {
            Story::Abort(step) => (step, Event::AbortRequested("enough".into())),
            Story::BadWhilePaused(step) => (step, Event::PauseRequested("lunch".into())),
            Story::Frozen(step) => (step, Event::FreezeRequested("sale".into())),
            Story::Good | Story::Bad(_) | Story::Given(..) => return Ok(()),
        };
        if let (Story::Frozen(_), Phase::Frozen { .. }) = (self.story, &self.state.phase) {
            self.acted = self.now > 30;
            return if self.acted { self.feed(Event::Resumed) } else { Ok(()) };
        }
        if here != Some(step) {
            return Ok(());
        }
        self.acted = !matches!(self.story, Story::Frozen(_));
        self.feed(event)
    }

    /// Somebody else gives the candidate all traffic, and acts again when the rollout has paused for it.
    fn give(&mut self, here: bool, late: bool) -> Result<(), Stopped> {
        if matches!(self.state.phase, Phase::Paused { .. }) {
            self.acted = true;
            self.now += if late { 1_000 } else { 0 };
            return if late { Ok(()) } else { self.feed(Event::AbortRequested("not so".into())) };
        }
        let plan = &self.state.plan;
        let all = plan.split(plan.steps().len() - 1);
        if here && !self.state.phase.is_terminal() && self.traffic.split != all {
            self.traffic.split = all;
            self.traffic.revision += 1;
            self.given = true;
        }
        Ok(())
    }

    fn feed(&mut self, event: Event) -> Result<(), Stopped> {
        let mut events = std::collections::VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            for effect in self.step(&event) {
                self.effects += 1;
                if self.strike == (self.effects, false) {
                    return Err(Stopped);
                }
                let seen = self.execute(effect);
                if self.strike == (self.effects, true) {
                    return Err(Stopped);
                }
                events.extend(seen);
            }
        }
        Ok(())
    }

    fn step(&mut self, event: &Event) -> Vec<Effect> {
        let before = self.state.phase.clone();
        let (state, effects) = step(&self.state, event, at(self.now)).unwrap();
        if matches!(before, Phase::Frozen { .. })
            && !matches!(event, Event::Resumed | Event::AbortRequested(_))
        {
            assert!(effects.iter().all(|effect| !moves(effect)), "{event:?}");
            assert!(matches!(state.phase, Phase::Frozen { .. }), "{event:?} {:?}", state.phase);
        }
        if state.mirrored {
            let still = effects.iter().all(|effect| effect.kind() != EffectKind::SetTraffic);
            assert!(still, "traffic is moved in the shadow by {event:?}");
        }
        if state != self.state {
            self.journal = state.clone();
            self.state = state;
            // Up to the stop it is as in the story without one.
            if self.effects >= self.strike.0 {
                self.rollback_is_one_change_away();
            }
        }
        effects
    }

    fn rollback_is_one_change_away(&self) {
        let abort = Event::AbortRequested("now".into());
        let (state, effects) = step(&self.state, &abort, at(self.now)).unwrap();
        let changes: Vec<_> = effects
            .iter()
            .filter_map(|effect| match effect {
                Effect::SetTraffic { change, .. } => Some(change),
                _ => None,
            })
            .collect();
        assert!(changes.len() <= 1, "{changes:?}");
        assert!(effects.iter().filter(|effect| moves(effect)).count() <= 1, "{effects:?}");
        let (initial, share) = (state.plan.initial_split(), self.state.share());
        for change in changes {
            let less = change.split.share(state.plan.candidate()) < share;
            assert!(change.split == initial || less, "{} after {share}", change.split);
        }
        assert!(
            state.phase.is_terminal() || matches!(state.phase, Phase::RollingBack { .. }),
            "{:?}",
            state.phase
        );
    }

    fn execute(&mut self, effect: Effect) -> Vec<Event> {
        match effect {
            Effect::ObserveTraffic => vec![self.observed(None)],
            Effect::RunPrechecks => vec![prechecked(true)],
            Effect::EnsureCandidate => {
                self.looks += 1;
                let ready = self.looks > 1;
                vec![seen(if ready { DeploymentState::Ready } else { DeploymentState::Creating })]
            }
            Effect::SetMirror { epoch, change } => self.set_mirror(epoch, &change),
            Effect::RunSmokeTest => {
                let check = SmokeCheck::new("answers", true, "looked");
                vec![Event::SmokeTested(SmokeReport::new(name("green"), 1).with_check(check))]
            }
            Effect::SetTraffic { epoch, change } => self.set_traffic(epoch, &change),
            Effect::TakeBaseline { epoch } => {
                let baseline = Baseline::new(at(self.now), None, None);
                vec![Event::BaselineTaken { epoch, baseline }]
            }
            Effect::JudgeGuard { epoch } => vec![self.judge(epoch)],
            Effect::RequestApproval(request) => vec![self.approve(&request)],
            _ => Vec::new(),
        }
    }

    fn judge(&self, epoch: u64) -> Event {
        let share = self.traffic.split.share(&name("green"));
        let step = self.state.plan.steps().iter().position(|step| *step == share);
        let shadow = self.traffic.mirror.as_ref().map(|_| 0);
        let place = step.map(|step| step + usize::from(self.state.plan.shadow().is_some())).or(shadow);
        let bad = match self.story {
            Story::Good | Story::Abort(_) | Story::Given(..) => false,
            Story::Bad(from) => place >= Some(from),
            Story::BadWhilePaused(_) => matches!(self.state.phase, Phase::Paused { .. }),
            Story::Frozen(_) => matches!(self.state.phase, Phase::Frozen { .. }),
        };
        let verdict = if bad { GuardVerdict::Fail } else { GuardVerdict::Pass };
        let finding = Finding::new("test", verdict, "looked").with("ln_e_beyond", 0.5);
        let evidence = GuardEvidence::new(share, None, None).with_finding("errors", finding);
        let judgement = Judgement::new(GuardVerdict::Pass, "looked");
        Event::GuardJudged { epoch, judgement, evidence: Some(Box::new(evidence)) }
    }

    fn approve(&mut self, request: &ApprovalRequest) -> Event {
        self.asked += 1;
        let by = ActorId::new(format!("officer-{}", self.asked % 3)).unwrap();
        Event::ApprovalGiven(Approval::answer(request, ApprovalDecision::Approved, by, "", at(self.now)))
    }

    fn observed(&self, answers: Option<IdempotencyKey>) -> Event {
        Event::TrafficObserved { traffic: self.traffic.clone(), answers }
    }

    fn set_traffic(&mut self, epoch: u64, change: &TrafficChange) -> Vec<Event> {
        let (key, made) = (&change.key, Change::Traffic(change.clone()));
        if let Some(answer) = self.answered(EffectKind::SetTraffic, epoch, key, change.expected, &made) {
            return answer;
        }
        assert_eq!(self.traffic.mirror, None, "traffic is moved in the shadow");
        self.is_allowed(&change.split);
        self.traffic = ObservedTraffic::new(change.split.clone(), self.traffic.revision + 1);
        self.made.insert(key.clone(), (made, self.traffic.clone()));
        vec![self.observed(Some(key.clone()))]
    }

    fn set_mirror(&mut self, epoch: u64, change: &MirrorChange) -> Vec<Event> {
        let (key, made) = (&change.key, Change::Mirror(change.clone()));
        if let Some(answer) = self.answered(EffectKind::SetMirror, epoch, key, change.expected, &made) {
            return answer;
        }
        let initial = self.state.plan.initial_split();
        let given = self.given && change.mirror.is_none();
        assert!(given || self.traffic.split == initial, "a shadow while traffic is moved");
        assert!(change.mirror.is_none() || change.mirror == self.state.plan.shadow());
        self.traffic.mirror.clone_from(&change.mirror);
        self.traffic.revision += 1;
        self.made.insert(key.clone(), (made, self.traffic.clone()));
        vec![self.observed(Some(key.clone()))]
    }

    /// Compare-and-set, idempotent by key: the answer, where the change is not to be made now.
    fn answered(
        &self,
        effect: EffectKind,
        epoch: u64,
        key: &IdempotencyKey,
        expected: Option<u64>,
        change: &Change,
    ) -> Option<Vec<Event>> {
        if let Some((made, traffic)) = self.made.get(key) {
            assert_eq!(made, change, "one key, two changes");
            return Some(vec![Event::TrafficObserved {
                traffic: traffic.clone(),
                answers: Some(key.clone()),
            }]);
        }
        if expected == Some(self.traffic.revision) {
            return None;
        }
        let message = "another revision".to_owned();
        let failed = Event::EffectFailed { effect, epoch, retryable: true, message };
        Some(vec![self.observed(None), failed])
    }

    /// The maps there may be, and the order in which they may follow one another.
    fn is_allowed(&self, split: &TrafficSplit) {
        let plan = &self.state.plan;
        let total: u32 = split.shares().map(|(_, share)| u32::from(share.get())).sum();
        assert_eq!(total, 100);
        let place =
            |split: &TrafficSplit| match (0..plan.steps().len()).find(|step| plan.split(*step) == *split) {
                Some(step) => step + 1,
                None => {
                    assert!(split.same_shares(&plan.initial_split()), "{split}");
                    0
                }
            };
        assert_eq!(split.sticky(), plan.options().sticky.as_ref());
        let (from, to) = (place(&self.traffic.split), place(split));
        assert!(to <= from + 1, "from {} to {split}: no step is left out", self.traffic.split);
        let back = matches!(self.state.phase, Phase::RollingBack { .. });
        assert!(to > from || back, "from {} to {split} in {:?}", self.traffic.split, self.state.phase);
    }
}

fn moves(effect: &Effect) -> bool {
    matches!(effect.kind(), EffectKind::SetTraffic | EffectKind::SetMirror)
}

fn prechecked(passed: bool) -> Event {
    Event::Prechecked(PrecheckReport::default().with_check(SmokeCheck::new("stable", passed, "looked")))
}

fn candidate() -> Deployment {
    let (endpoint, model) = (EndpointName::new("diabetes").unwrap(), "risk".parse().unwrap());
    let spec = DeploymentSpec::new(endpoint, name("green"), model, Version::FIRST, "bot".parse().unwrap());
    Deployment::ready(spec, Digest::of(b"the model"), at(0))
}

fn seen(state: DeploymentState) -> Event {
    let mut deployment = candidate();
    deployment.state = state;
    Event::CandidateSeen(Box::new(deployment))
}

fn shadow(share: u8, promote: bool) -> Strategy {
    Strategy::Shadow { share: percent(share), promote }
}

fn risk(count: u32) -> ApproverRole {
    ApproverRole::new("risk", count, ["officer-0", "officer-1", "officer-2"].map(|who| who.parse().unwrap()))
}

fn strategies() -> Vec<RolloutOptions> {
    let stepped = Rollback::Stepped { hold: secs(3) };
    let alone = |options: RolloutOptions| {
        let mut options = options;
        options.metrics = vec![MetricGuard::new("errors", Threshold::at_most(0.1))];
        options
    };
    vec![
        options(),
        options().with_rollback(stepped).with_drain(secs(4)).with_approvals(2),
        options()
            .with_strategy(Strategy::Rolling { batch: percent(30) })
            .with_sticky(by_user())
            .with_rollback(Rollback::Stepped { hold: secs(0) }),
        alone(options()).with_strategy(Strategy::BlueGreen).with_drain(secs(4)),
        alone(options()).with_strategy(Strategy::AllAtOnce),
        options().with_strategy(shadow(25, true)).with_rollback(stepped).with_approver_role(risk(2)),
        options().with_strategy(shadow(50, false)),
    ]
}

fn by_user() -> Sticky {
    Sticky::header("x-user").unwrap().with_salt("autumn").unwrap()
}

#[test]
fn a_stop_after_any_effect_at_any_step_ends_at_one_end_or_the_other() {
    let (mut stops, mut runs) = (0, 0);
    for options in strategies() {
        let shadow_only = matches!(options.strategy, Strategy::Shadow { promote: false, .. });
        let shadows = usize::from(matches!(options.strategy, Strategy::Shadow { .. }));
        let steps = if shadow_only { 0 } else { plan(options.clone()).steps().len() };
        let last = steps + shadows - 1;
        let mut stories = vec![Story::Good];
        for step in std::collections::BTreeSet::from([0, last / 2, last]) {
            stories.extend([
                Story::Bad(step),
                Story::Abort(step),
                Story::BadWhilePaused(step),
                Story::Frozen(step),
            ]);
        }
        let before_traffic = std::iter::once(None).chain((0..shadows).map(Some));
        stories.extend(before_traffic.flat_map(|place| [false, true].map(|late| Story::Given(place, late))));
        for story in stories {
            for after in [false, true] {
                // First without a stop, then with one at each effect.
                for strike in 0.. {
                    let mut world = World::new(options.clone(), story, (strike, after));
                    let stopped = world.run();
                    runs += 1;
                    stops += usize::from(stopped);
                    // Stopped at the wrong moment it is past where somebody else would have acted.
                    let missed = matches!(story, Story::Given(..)) && !world.given;
                    let good = missed || matches!(story, Story::Good | Story::Frozen(_));
                    let phase = &world.state.phase;
                    let end = if shadow_only { Phase::Shadowed } else { Phase::Promoted };
                    assert_eq!(*phase == end, good, "{story:?} {strike} {after}: {phase:?}");
                    assert_eq!(world.traffic.mirror, None, "{story:?} {strike} {after}: {phase:?}");
                    let end = if good && !shadow_only {
                        TrafficSplit::all_to(name("green"))
                    } else {
                        TrafficSplit::all_to(name("blue"))
                    };
                    assert!(world.traffic.split.same_shares(&end), "{story:?} {strike} {after}: {phase:?}");
                    if !stopped && strike > 0 {
                        break;
                    }
                }
            }
        }
    }
    println!("{stops} stops in {runs} rollouts");
    assert!(stops > 1_000, "{stops}");
}

// ── what follows from guards ─────────────────────────────────────────────────────────────────────────────────────────────

/// A rollout that bakes its first step.
fn baking(options: RolloutOptions) -> World {
    let mut world = World::new(options, Story::Good, (0, false));
    for event in [Event::Started(world.traffic.clone()), Event::Tick] {
        let _ = world.feed(event);
    }
    assert!(matches!(world.state.phase, Phase::Baking { step: 0, .. }), "{:?}", world.state.phase);
    world
}

fn found(world: &World, verdict: GuardVerdict) -> Event {
    let evidence = GuardEvidence::new(percent(10), None, None)
        .with_finding("errors", Finding::new("test", verdict, "looked"));
    let judgement = Judgement::new(GuardVerdict::Pass, "looked");
    Event::GuardJudged { epoch: world.state.epoch, judgement, evidence: Some(Box::new(evidence)) }
}

#[test]
fn what_a_guard_on_a_metric_leads_to_is_what_the_plan_says() {
    use GuardVerdict::{Fail, Inconclusive, NoData};
    use ThinData::{Continue, Pause, Rollback};
    let metric = |fail, inconclusive, no_data| {
        let guard = MetricGuard::new("errors", Threshold::at_most(0.1));
        let mut options = options();
        options.metrics = vec![guard.on_fail(fail).on_inconclusive(inconclusive).on_no_data(no_data)];
        baking(options)
    };
    for (mut world, verdict, wait, expected) in [
        (metric(Rollback, Pause, Pause), Fail, 0, "RollingBack"),
        (metric(Pause, Pause, Pause), Fail, 0, "Paused"),
        (metric(Continue, Pause, Pause), Fail, 2, "Shifting"),
        (metric(Rollback, Pause, Pause), Inconclusive, 2, "Baking"),
        (metric(Rollback, Pause, Continue), Inconclusive, 7, "Paused"),
        (metric(Rollback, Continue, Pause), Inconclusive, 7, "Shifting"),
        (metric(Rollback, Continue, Rollback), NoData, 7, "RollingBack"),
        (metric(Rollback, Continue, Pause), NoData, 7, "Paused"),
    ] {
        world.now += wait;
        let event = found(&world, verdict);
        world.step(&event);
        let phase = format!("{:?}", world.state.phase);
        assert!(phase.starts_with(expected), "{verdict} after {wait} s: {phase}");
    }
    // A guard of the plan about which nothing was found is one without data.
    let mut silent = metric(Rollback, Continue, Rollback);
    silent.now += 7;
    let judgement = Judgement::new(GuardVerdict::Pass, "looked");
    silent.step(&Event::GuardJudged { epoch: silent.state.epoch, judgement, evidence: None });
    assert!(matches!(silent.state.phase, Phase::RollingBack { cause: Cause::NoData }));
}

#[test]
fn a_frozen_rollout_moves_for_nobody_but_a_person() {
    let mut world = baking(options());
    world.step(&Event::FreezeRequested("sale".into()));
    let before = world.traffic.clone();
    for event in [found(&world, GuardVerdict::Fail), Event::Tick, Event::PauseRequested("lunch".into())] {
        world.now += 5_000;
        world.step(&event);
        assert!(matches!(world.state.phase, Phase::Frozen { .. }), "{event:?}");
    }
    assert_eq!((world.traffic.clone(), world.state.verdict), (before, Some(GuardVerdict::Fail)));
    let effects = world.step(&Event::AbortRequested("after all".into()));
    assert_eq!(effects[0].kind(), EffectKind::SetTraffic);
}

#[test]
fn a_stepped_rollback_goes_through_the_splits_and_another_abort_ends_it() {
    let mut world = baking(options().with_rollback(Rollback::Stepped { hold: secs(60) }));
    while world.traffic.split != TrafficSplit::all_to(name("green")) {
        world.now += 2;
        let _ = world.feed(Event::Tick);
    }
    let _ = world.feed(Event::AbortRequested("enough".into()));
    let share = |world: &World| world.traffic.split.share(&name("green")).get();
    assert_eq!(share(&world), 40);
    world.now += 59;
    let _ = world.feed(Event::Tick);
    assert_eq!(share(&world), 40, "held");
    world.now += 1;
    let _ = world.feed(Event::Tick);
    assert_eq!(share(&world), 10);
    let _ = world.feed(Event::AbortRequested("now".into()));
    assert_eq!(share(&world), 0);
    assert!(matches!(world.state.phase, Phase::RolledBack { .. }));
}

#[test]
fn guards_go_on_judging_while_the_stable_version_drains() {
    let mut world = World::new(strategies().swap_remove(3), Story::Good, (0, false));
    while !matches!(world.state.phase, Phase::Draining { .. }) {
        world.now += 1;
        let event = if world.state.phase == Phase::Draft {
            Event::Started(world.traffic.clone())
        } else {
            Event::Tick
        };
        let _ = world.feed(event);
    }
    world.story = Story::Bad(0);
    let _ = world.feed(Event::Tick);
    assert!(
        matches!(world.state.phase, Phase::RolledBack { cause: Cause::Guard(_) }),
        "{:?}",
        world.state.phase
    );
    assert_eq!(world.traffic.split, TrafficSplit::all_to(name("blue")));
}

#[test]
fn approvals_of_one_person_count_once() {
    let mut world = baking(options().with_approvals(2));
    while !matches!(world.state.phase, Phase::AwaitingApproval { .. }) {
        world.now += 1;
        let event = found(&world, GuardVerdict::Pass);
        let effects = world.step(&event);
        for effect in effects.into_iter().filter(|effect| effect.kind() == EffectKind::SetTraffic) {
            for event in world.execute(effect) {
                for effect in world.step(&event) {
                    for event in world.execute(effect) {
                        world.step(&event);
                    }
                }
            }
        }
    }
    let request =
        ApprovalRequest::new(world.state.plan.digest().unwrap(), "?", ActorId::new("bot").unwrap(), at(900));
    let approve = |world: &mut World, by: &str| {
        let by = ActorId::new(by).unwrap();
        let yes = Approval::answer(&request, ApprovalDecision::Approved, by, "", at(world.now));
        world.step(&Event::ApprovalGiven(yes));
        world.state.approved
    };
    assert!(!approve(&mut world, "one"));
    assert!(!approve(&mut world, "one"));
    assert!(approve(&mut world, "two"));
}

#[test]
fn evidence_is_carried_from_bake_to_bake() {
    let mut world = World::new(options(), Story::Good, (0, false));
    world.run();
    let carried = world.state.earlier["errors"].beyond;
    // Two bakes are over when the last one begins, each with ln e of a half.
    let one = Evidence { beyond: 0.5, within: 0.0 }.carried().beyond;
    assert!((carried - 2.0 * one).abs() < 1e-12, "{carried} {one}");
}

// ── before anything is moved ─────────────────────────────────────────────────────────────────────────────────────────────

/// A rollout that was started, and nothing else.
fn started(plan: RolloutPlan) -> World {
    let mut world = World::new(options(), Story::Good, (0, false));
    world.state = RolloutState::new(plan);
    let event = Event::Started(world.traffic.clone());
    assert_eq!(world.step(&event), [Effect::RunPrechecks]);
    world
}

#[test]
fn what_is_not_there_at_the_beginning_ends_the_rollout_before_anything_is_done() {
    let mut world = started(plan(options()));
    assert!(!world.step(&prechecked(false)).iter().any(moves));
    let Phase::RolledBack { cause: Cause::Precheck(reason) } = &world.state.phase else {
        panic!("{:?}", world.state.phase)
    };
    assert_eq!(reason, "stable: looked");
}

#[test]
fn the_candidate_is_waited_for_and_must_be_what_the_plan_says() {
    let release = |content: &[u8]| Release::new("risk".parse().unwrap(), Version::FIRST, Digest::of(content));
    let waiting = |plan: RolloutPlan| {
        let mut world = started(plan);
        assert_eq!(world.step(&prechecked(true)), [Effect::EnsureCandidate]);
        world
    };
    let mut good = waiting(plan(options()).with_release(release(b"the model")));
    for _ in 0..3 {
        good.now += 1;
        assert_eq!(good.step(&seen(DeploymentState::Creating)), []);
        assert_eq!(good.step(&Event::Tick), [Effect::ObserveTraffic, Effect::EnsureCandidate]);
    }
    assert_eq!(good.step(&seen(DeploymentState::Ready)), [Effect::RunSmokeTest]);
    // Late, twice: nothing.
    assert_eq!(good.step(&seen(DeploymentState::Failed)), []);

    let mut other = waiting(plan(options()).with_release(release(b"another model")));
    other.step(&seen(DeploymentState::Ready));
    let mut broken = waiting(plan(options()));
    broken.step(&seen(DeploymentState::Failed));
    let mut slow = waiting(plan(options().with_startup(secs(60))));
    slow.now += 59;
    slow.step(&Event::Tick);
    assert!(matches!(slow.state.phase, Phase::Deploying { .. }));
    slow.now += 1;
    slow.step(&Event::Tick);
    for (world, words) in [(other, "the plan says"), (broken, "could not be made"), (slow, "longer than 1m")]
    {
        let Phase::RolledBack { cause: Cause::Candidate(reason) } = &world.state.phase else {
            panic!("{:?}", world.state.phase)
        };
        assert!(reason.contains(words), "{reason}");
    }
    let mut stuck = started(plan(options().with_startup(secs(60))));
    stuck.now += 60;
    stuck.step(&Event::Tick);
    assert!(matches!(&stuck.state.phase, Phase::RolledBack { cause: Cause::Precheck(_) }));
}

#[test]
fn what_is_held_before_the_smoke_test_goes_on_where_it_was() {
    for (events, at, effect) in [
        (vec![], PausedAt::Prechecks, Effect::RunPrechecks),
        (vec![prechecked(true)], PausedAt::Deploying, Effect::EnsureCandidate),
    ] {
        let mut world = started(plan(options()));
        events.iter().for_each(|event| drop(world.step(event)));
        world.step(&Event::PauseRequested("lunch".into()));
        world.now += 500;
        world.step(&prechecked(true));
        world.step(&seen(DeploymentState::Ready));
        assert!(matches!(world.state.phase, Phase::Paused { at: there, .. } if there == at));
        assert_eq!(world.step(&Event::Resumed), [effect]);
    }
}

/// An endpoint on which blue has all traffic; what green is to be is registered, and not deployed.
struct Shop {
    registry: Arc<MemoryModelRegistry>,
    deployer: Arc<MemoryDeployer>,
    green: ModelVersion,
}

async fn shop() -> Shop {
    let clock = Arc::new(ManualClock::at(at(0)));
    let artifacts = Arc::new(MemoryArtifactStore::default());
    let registry = Arc::new(MemoryModelRegistry::new(artifacts.clone(), clock.clone()));
    let loader = Arc::new(BuiltinLoader);
    let deployer = Arc::new(MemoryDeployer::new(registry.clone(), artifacts.clone(), loader, clock));
    let (endpoint, actor): (EndpointName, ActorId) =
        ("diabetes".parse().unwrap(), "trainer".parse().unwrap());
    let mut versions = Vec::new();
    for value in [0.25, 0.5] {
        let model = ConstantPredictor::new(Task::BinaryClassification, value).unwrap();
        let artifact = artifacts.put_bytes(model.to_bytes().unwrap()).await.unwrap().digest;
        let format = ModelFormat::new("mlops.constant/v1").unwrap();
        let (name, signature) = ("risk".parse().unwrap(), model.signature().clone());
        let new = NewModelVersion::new(name, artifact, format, signature, actor.clone());
        versions.push(registry.register(&new).await.unwrap());
    }
    let green = versions.pop().unwrap();
    deployer.ensure_endpoint(&EndpointSpec::new(endpoint.clone(), actor.clone())).await.unwrap();
    let model = green.spec.model.clone();
    let spec = DeploymentSpec::new(endpoint.clone(), name("blue"), model, Version::FIRST, actor.clone());
    deployer.deploy(&spec).await.unwrap();
    let (key, split) = (IdempotencyKey::generate(), TrafficSplit::all_to(name("blue")));
    let change = TrafficChange::new(endpoint, split, actor).with_key(key);
    deployer.set_traffic(&change).await.unwrap();
    Shop { registry, deployer, green }
}

impl Shop {
    /// A gate's decision about some content.
    fn decision(content: Digest, verdict: Verdict) -> GateDecision {
        let criteria = vec![CriterionResult::new("auc", verdict, None, "looked")];
        GateDecision::new(
            "release",
            Digest::of(b"gate"),
            content,
            Digest::of(b"report"),
            None,
            at(0),
            criteria,
        )
    }

    fn release(&self) -> Release {
        let spec = &self.green.spec;
        Release::new(spec.model.clone(), self.green.version, spec.artifact)
    }

    /// Rolls out what is released, with this decision of the gate, and one request between two looks.
    async fn roll_out(&self, release: Release, gate: Option<GateDecision>) -> Phase {
        let limits = OperationGuard::default().with_min_requests(1);
        let options =
            options().with_bake(Duration::ZERO).with_limits(limits).with_strategy(shadow(100, true));
        let plan = plan(options).with_release(release);
        let rows = Table::new(vec![Column::f64("age", vec![59.0]).unwrap()]).unwrap();
        let (journal, test) = (Arc::new(VecJournal::default()), SmokeTest::new(rows.clone()).unwrap());
        let mut driver = RolloutDriver::new(plan, test, self.deployer.clone(), journal)
            .with_registry(self.registry.clone());
        if let Some(gate) = gate {
            driver = driver.with_gate(gate);
        }
        for now in 0..20 {
            let status = driver.advance(at(now)).await.unwrap();
            if status.is_terminal() {
                return status.phase;
            }
            for deployment in [None, Some(name("green"))] {
                let (endpoint, routing_key) = ("diabetes".parse().unwrap(), None);
                let request = InvokeRequest::new(endpoint, &rows)
                    .with_deployment(deployment)
                    .with_routing_key(routing_key);
                self.deployer.invoke(&request).await.unwrap();
            }
        }
        panic!("{}", driver.status())
    }
}

#[tokio::test]
async fn what_the_plan_releases_is_looked_up_deployed_and_rolled_out() {
    let shop = shop().await;
    let decision = Shop::decision(shop.green.spec.artifact, Verdict::Pass);
    let release = shop.release().with_gate(decision.digest().unwrap());
    assert_eq!(shop.roll_out(release, Some(decision)).await, Phase::Promoted);
    let made = shop.deployer.deployments(&"diabetes".parse().unwrap()).await.unwrap();
    assert_eq!(made[&name("green")].artifact, shop.green.spec.artifact);
}

#[tokio::test]
async fn what_no_gate_let_through_is_not_deployed() {
    let shop = shop().await;
    let content = shop.green.spec.artifact;
    let (good, bad) = (Shop::decision(content, Verdict::Pass), Shop::decision(content, Verdict::Fail));
    let other = Shop::decision(Digest::of(b"another model"), Verdict::Pass);
    let gated = |decision: &GateDecision| shop.release().with_gate(decision.digest().unwrap());
    let absent = Release::new(shop.green.spec.model.clone(), Version::new(9).unwrap(), content);
    let model = shop.green.spec.model.clone();
    let changed = Release::new(model, shop.green.version, Digest::of(b"another model"));
    for (release, gate, words) in [
        (gated(&good), None, "it is not there"),
        (gated(&good), Some(bad.clone()), "the decision is"),
        (gated(&bad), Some(bad), "the gate did not pass"),
        (gated(&other), Some(other), "judged another model"),
        (absent, None, "version: "),
        (changed, None, "the content of risk:2 is"),
    ] {
        let Phase::RolledBack { cause: Cause::Precheck(reason) } = shop.roll_out(release, gate).await else {
            panic!("{words}")
        };
        assert!(reason.contains(words), "{reason}");
    }
    let (model, version) = (shop.green.spec.model.clone(), shop.green.version);
    shop.registry.set_archived(&model, version, true, &"trainer".parse().unwrap()).await.unwrap();
    let Phase::RolledBack { cause } = shop.roll_out(shop.release(), None).await else { panic!() };
    assert!(cause.to_string().contains("risk:2 is archived"), "{cause}");
    let made = shop.deployer.deployments(&"diabetes".parse().unwrap()).await.unwrap();
    assert!(made.into_keys().eq([name("blue")]));
}

// ── the shadow ───────────────────────────────────────────────────────────────────────────────────────────────────────────

/// A rollout whose candidate is the shadow, and bakes.
fn shadowing(options: RolloutOptions) -> World {
    let mut world = World::new(options, Story::Good, (0, false));
    for event in [Event::Started(world.traffic.clone()), Event::Tick] {
        let _ = world.feed(event);
    }
    assert!(matches!(world.state.phase, Phase::Shadowing { .. }), "{:?}", world.state.phase);
    assert_eq!(world.traffic.mirror, Some(Mirror::new(name("green"), percent(50))));
    world
}

#[test]
fn a_good_shadow_gets_traffic_only_where_the_plan_says() {
    for promote in [false, true] {
        let mut world = shadowing(options().with_strategy(shadow(50, promote)));
        world.now += 1;
        let _ = world.feed(Event::Tick);
        assert!(matches!(world.state.phase, Phase::Shadowing { .. }), "it has not baked");
        world.now += 1;
        let _ = world.feed(Event::Tick);
        assert_eq!(world.traffic.mirror, None);
        let green = world.traffic.split.share(&name("green")).get();
        match promote {
            true => {
                assert_eq!((green, matches!(world.state.phase, Phase::Baking { step: 0, .. })), (10, true))
            }
            false => assert_eq!((green, &world.state.phase), (0, &Phase::Shadowed)),
        }
    }
}

#[test]
fn a_bad_shadow_is_taken_away_and_nothing_else() {
    let mut world = shadowing(options().with_strategy(shadow(50, true)));
    world.story = Story::Bad(0);
    let before = world.traffic.clone();
    let _ = world.feed(Event::Tick);
    assert!(matches!(world.state.phase, Phase::RolledBack { cause: Cause::Guard(_) }));
    assert_eq!(world.traffic, ObservedTraffic::new(before.split, before.revision + 1));
}

#[test]
fn a_mirror_that_somebody_else_changed_pauses_and_is_set_again_by_who_resumes() {
    for foreign in
        [None, Some(Mirror::new(name("red"), percent(5))), Some(Mirror::new(name("green"), percent(5)))]
    {
        let mut world = shadowing(options().with_strategy(shadow(50, true)));
        world.traffic.mirror.clone_from(&foreign);
        world.traffic.revision += 1;
        let _ = world.feed(Event::Tick);
        let Phase::Paused { at: PausedAt::Shadow, reason: PauseReason::MirrorChanged(found) } =
            &world.state.phase
        else {
            panic!("{:?}", world.state.phase)
        };
        assert_eq!(*found, foreign);
        let _ = world.feed(Event::Resumed);
        assert!(matches!(world.state.phase, Phase::Shadowing { .. }), "{:?}", world.state.phase);
        assert_eq!(world.traffic.mirror, world.state.plan.shadow());
    }
}

#[test]
fn a_rollback_meets_a_mirror_that_is_still_on_its_way() {
    let mut world = World::new(options().with_strategy(shadow(50, true)), Story::Good, (0, false));
    let started = Event::Started(world.traffic.clone());
    for event in [started, prechecked(true), seen(DeploymentState::Ready)] {
        world.step(&event);
    }
    let smoke = SmokeReport::new(name("green"), 1).with_check(SmokeCheck::new("answers", true, "looked"));
    let on = world.step(&Event::SmokeTested(smoke)).remove(0);
    let off = world.step(&Event::AbortRequested("no".into())).remove(0);
    assert_eq!((on.kind(), off.kind()), (EffectKind::SetMirror, EffectKind::SetMirror));
    // No mirror is seen, but the one decided may come yet: that is not the end.
    let nothing = world.observed(None);
    world.step(&nothing);
    assert!(matches!(world.state.phase, Phase::RollingBack { .. }));
    // It comes first; the rollback meets another revision, looks, and is decided again.
    let _ = world.execute(on);
    let again: Vec<_> = world.execute(off).iter().flat_map(|event| world.step(event)).collect();
    assert!(again.iter().any(|effect| effect.kind() == EffectKind::SetMirror), "{again:?}");
    for effect in again {
        for event in world.execute(effect) {
            world.step(&event);
        }
    }
    assert!(matches!(world.state.phase, Phase::RolledBack { .. }), "{:?}", world.state.phase);
    assert_eq!(world.traffic.mirror, None);
}

#[test]
fn the_evidence_of_the_shadow_counts_in_the_steps() {
    let mut world = World::new(options().with_strategy(shadow(50, true)), Story::Good, (0, false));
    world.run();
    let carried = world.state.earlier["errors"].beyond;
    // The shadow and two of three bakes are over when the last one begins, each with ln e of a half.
    let one = Evidence { beyond: 0.5, within: 0.0 }.carried().beyond;
    assert!((carried - 3.0 * one).abs() < 1e-12, "{carried} {one}");
}

// ── who approves ─────────────────────────────────────────────────────────────────────────────────────────────────────────

/// A rollout that waits for approvals of its last step.
fn awaiting(options: RolloutOptions) -> World {
    let mut world = baking(options.with_steps([40, 100].map(percent)));
    world.now += 2;
    let event = found(&world, GuardVerdict::Pass);
    let effects = world.step(&event);
    assert_eq!(effects[0].kind(), EffectKind::RequestApproval);
    world
}

/// What comes of an approval by somebody that expires then.
fn approve(world: &mut World, by: &str, until: i64) -> Result<bool, ErrorKind> {
    let request = ApprovalRequest::new(
        world.state.plan.digest().unwrap(),
        "?",
        ActorId::new("bot").unwrap(),
        at(until),
    );
    let yes = Approval::answer(&request, ApprovalDecision::Approved, by.parse().unwrap(), "", at(world.now));
    let given =
        step(&world.state, &Event::ApprovalGiven(yes), at(world.now)).map_err(|error| error.kind())?;
    world.state = given.0;
    Ok(world.state.approved)
}

#[test]
fn what_keeps_callers_is_said_by_every_split_and_changed_by_nobody_unnoticed() {
    let sticky = options().with_sticky(by_user());
    let mut world = baking(sticky.clone());
    assert_eq!(world.traffic.split, plan(sticky.clone()).split(0));
    assert_eq!(world.traffic.split.sticky(), Some(&by_user()));
    // The same shares by something else are other traffic: callers would move.
    let split = world.traffic.split.clone().with_sticky(Sticky::header("x-session").unwrap());
    let traffic = ObservedTraffic::new(split.clone(), world.traffic.revision + 1);
    world.step(&Event::TrafficObserved { traffic, answers: None });
    let Phase::Paused { reason, .. } = &world.state.phase else { panic!("{:?}", world.state.phase) };
    assert_eq!(*reason, PauseReason::TrafficChanged(split));
    // Whatever the endpoint went by before, a plan may begin; but not with other shares.
    for (before, begins) in [
        (TrafficSplit::all_to(name("blue")), true),
        (TrafficSplit::all_to(name("blue")).with_sticky(Sticky::field("user").unwrap()), true),
        (TrafficSplit::all_to(name("green")).with_sticky(by_user()), false),
    ] {
        let event = Event::Started(ObservedTraffic::new(before.clone(), 3));
        let begun = step(&RolloutState::new(plan(sticky.clone())), &event, at(1));
        assert_eq!(begun.is_ok(), begins, "{before}");
        // Nothing was moved yet: seen again as it was, nobody has changed it.
        if let Ok((state, _)) = begun {
            let traffic = ObservedTraffic::new(before, 3);
            let (state, _) = step(&state, &Event::TrafficObserved { traffic, answers: None }, at(2)).unwrap();
            assert!(matches!(state.phase, Phase::Prechecks { .. }), "{:?}", state.phase);
        }
    }
}

#[cfg(feature = "signing")]
#[test]
fn an_approval_counts_only_as_its_approver_signed_it() {
    use mlops_core::governance::ApproverKeys;
    use mlops_core::oversight::signing::SigningKey;

    let officer = |number: u32| ActorId::new(format!("officer-{number}")).unwrap();
    let keys: Vec<SigningKey> = (0..3).map(|_| SigningKey::generate().unwrap()).collect();
    let known = keys.iter().take(2).zip(0..).fold(ApproverKeys::new(), |known, (key, number)| {
        known.with_key(officer(number), key.verifying_key().to_pem().unwrap()).unwrap()
    });
    let options = options().with_approvals(2).with_approver_keys(known.clone());
    let mut world = awaiting(options.clone());
    let answer = |decision, number| {
        let request = ApprovalRequest::new(
            world.state.plan.digest().unwrap(),
            "?",
            ActorId::new("bot").unwrap(),
            at(900),
        );
        Approval::answer(&request, decision, officer(number), "seen", at(5))
    };
    let (yes, no) = (ApprovalDecision::Approved, ApprovalDecision::Rejected);
    let good = answer(yes, 0).signed(&keys[0]).unwrap();
    let mut tampered = good.clone();
    tampered.expires_at = at(990);
    for (bad, expected) in [
        (answer(yes, 0), ErrorKind::Rejected),
        (answer(no, 0), ErrorKind::Rejected),
        (answer(yes, 0).signed(&keys[1]).unwrap(), ErrorKind::Rejected),
        (answer(yes, 2).signed(&keys[2]).unwrap(), ErrorKind::Rejected),
        (tampered, ErrorKind::Integrity),
    ] {
        let error = step(&world.state, &Event::ApprovalGiven(bad.clone()), at(world.now)).unwrap_err();
        assert_eq!(error.kind(), expected, "{bad:?}");
    }
    let second = answer(yes, 1).signed(&keys[1]).unwrap();
    for (approval, enough) in [(good.clone(), false), (good, false), (second, true)] {
        world.step(&Event::ApprovalGiven(approval));
        assert_eq!(world.state.approved, enough);
    }
    assert!(matches!(world.state.phase, Phase::Shifting { step: 1 }));

    // Whose keys they are is part of what is approved; and a plan that nobody could approve is not made.
    let other = plan(options.clone().with_approver_keys(ApproverKeys::new()));
    assert_ne!(other.digest().unwrap(), plan(options.clone()).digest().unwrap());
    let mut silent = options.clone();
    (silent.approval, silent.approvals) = (false, 1);
    let counsel = ApproverRole::new("legal", 1, ["counsel".parse().unwrap()]);
    for bad in [silent, options.clone().with_approvals(3), options.with_approver_role(counsel)] {
        assert_eq!(bad.check().unwrap_err().context("field"), Some("approver_keys"));
    }
}

#[test]
fn every_role_must_approve_by_as_many_of_its_members_as_it_says() {
    let legal = ApproverRole::new("legal", 1, ["officer-2".parse().unwrap(), "counsel".parse().unwrap()]);
    let mut world = awaiting(options().with_approver_role(risk(2)).with_approver_role(legal));
    assert_eq!(approve(&mut world, "stranger", 900), Err(ErrorKind::Rejected));
    assert_eq!(approve(&mut world, "bot", 900), Err(ErrorKind::Rejected));
    for (by, enough) in [("officer-0", false), ("officer-0", false), ("officer-1", false), ("counsel", true)]
    {
        assert_eq!(approve(&mut world, by, 900), Ok(enough), "{by}");
    }
    assert!(matches!(world.state.phase, Phase::Shifting { step: 1 }));
    // Somebody with both roles counts for both, unless more people are demanded.
    let both = ApproverRole::new("legal", 1, ["officer-2".parse().unwrap()]);
    let mut world = awaiting(options().with_approver_role(risk(1)).with_approver_role(both.clone()));
    assert_eq!(approve(&mut world, "officer-2", 900), Ok(true));
    let two = options().with_approver_role(risk(1)).with_approver_role(both).with_approvals(2);
    assert_eq!(approve(&mut awaiting(two), "officer-2", 900), Ok(false));
}

#[test]
fn who_asks_approves_nothing_whatever_name_the_request_has() {
    let mut world = awaiting(options().with_approval());
    let request = ApprovalRequest::new(
        world.state.plan.digest().unwrap(),
        "?",
        "somebody-else".parse().unwrap(),
        at(900),
    );
    let own = Approval::answer(&request, ApprovalDecision::Approved, "bot".parse().unwrap(), "", at(5));
    let error = step(&world.state, &Event::ApprovalGiven(own), at(world.now)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Rejected);
    // Nor is a plan made whose role could only be met by who makes it.
    let alone = ApproverRole::new("risk", 1, ["bot".parse().unwrap()]);
    let (endpoint, actor) = (EndpointName::new("diabetes").unwrap(), ActorId::new("bot").unwrap());
    let options = options().with_approver_role(alone);
    let plan = RolloutPlan::canary(endpoint, name("blue"), name("green"), actor, options);
    assert_eq!(plan.unwrap_err().context("field"), Some("approver_roles"));
    assert_eq!(approve(&mut world, "officer-0", 900), Ok(true));
}

#[test]
fn approvals_expire_and_so_does_the_wait_for_them() {
    let mut world = awaiting(options().with_approvals(2).with_approval_expiry(secs(100)));
    let since = world.now;
    // One that counts shorter than the request allows has expired when the second comes.
    assert_eq!(approve(&mut world, "officer-0", since + 10), Ok(false));
    world.now = since + 10;
    assert_eq!(approve(&mut world, "officer-1", since + 100), Ok(false));
    let effects = world.step(&Event::Tick);
    let Some(Effect::RequestApproval(request)) = effects.last() else { panic!("{effects:?}") };
    assert_eq!(request.expires_at, at(since + 100));
    world.now = since + 99;
    world.step(&Event::Tick);
    assert!(matches!(world.state.phase, Phase::AwaitingApproval { .. }));
    world.now = since + 100;
    world.step(&Event::Tick);
    assert!(matches!(world.state.phase, Phase::RollingBack { cause: Cause::ApprovalExpired }));
}

#[test]
fn an_approval_that_expired_during_a_pause_is_asked_for_anew() {
    let mut world = awaiting(options().with_approval().with_approval_expiry(secs(100)));
    world.step(&Event::PauseRequested("holiday".into()));
    let until = world.now + 100;
    assert_eq!(approve(&mut world, "officer-0", until), Ok(true));
    world.now += 200;
    let effects = world.step(&Event::Resumed);
    let Some(Effect::RequestApproval(request)) = effects.first() else { panic!("{effects:?}") };
    assert_eq!(request.expires_at, at(world.now + 100));
    assert!(matches!(world.state.phase, Phase::AwaitingApproval { step: 1 }));
}

#[test]
fn an_approval_of_another_plan_approves_nothing() {
    let options = options().with_approver_role(risk(1));
    let mut world = awaiting(options.clone());
    let mut others = vec![plan(options.clone().with_steps([40, 100].map(percent)).with_approvals(2))];
    let release = Release::new("risk".parse().unwrap(), Version::FIRST, Digest::of(b"the model"));
    others.push(world.state.plan.clone().with_release(release.clone()));
    others.push(world.state.plan.clone().with_release(release.with_gate(Digest::of(b"a decision"))));
    let mut digests = vec![world.state.plan.digest().unwrap()];
    for other in others {
        let request = ApprovalRequest::new(other.digest().unwrap(), "?", "bot".parse().unwrap(), at(900));
        assert!(!digests.contains(&request.subject));
        digests.push(request.subject);
        let yes =
            Approval::answer(&request, ApprovalDecision::Approved, "officer-0".parse().unwrap(), "", at(5));
        let error = step(&world.state, &Event::ApprovalGiven(yes), at(world.now)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
    }
    assert_eq!(approve(&mut world, "officer-0", 900), Ok(true));
}

// ── scores, and comparisons with nobody ──────────────────────────────────────────────────────────────────────────────────

fn findings(world: &World, found: &[(&str, &str, GuardVerdict)]) -> Event {
    let mut evidence = GuardEvidence::new(world.state.share(), None, None);
    for (guard, rule, verdict) in found {
        evidence = evidence.with_finding(*guard, Finding::new(*rule, *verdict, "looked"));
    }
    let judgement = Judgement::new(GuardVerdict::Pass, "looked");
    Event::GuardJudged { epoch: world.state.epoch, judgement, evidence: Some(Box::new(evidence)) }
}

#[test]
fn a_score_decides_for_the_metrics_it_counts() {
    use GuardVerdict::{Fail, NoData, Pass};
    let scored = || {
        let mut options = options();
        let names = ["p50", "p99", "5xx", "4xx"];
        options.metrics = names.map(|name| MetricGuard::new(name, Threshold::at_most(0.1))).to_vec();
        let score = ScoreGuard::new("canary", ScoreOptions::new(75.0, 50.0).with_weight("errors", 50.0));
        let score = score.with_metric("p50", "latency").with_metric("p99", "latency");
        options.with_score(score.with_metric("4xx", "errors").with_critical("5xx", "errors"))
    };
    for (found, expected) in [
        // 75 of 100: one of two latencies is worth a quarter.
        ([("p50", Pass), ("p99", Fail), ("5xx", Pass), ("4xx", Pass)], "Shifting"),
        ([("p50", Pass), ("p99", Fail), ("5xx", Pass), ("4xx", Fail)], "Paused"),
        ([("p50", Pass), ("p99", Pass), ("5xx", Fail), ("4xx", Pass)], "RollingBack"),
        ([("p50", Fail), ("p99", Fail), ("5xx", Pass), ("4xx", Fail)], "RollingBack"),
        ([("p50", NoData), ("p99", Pass), ("5xx", NoData), ("4xx", Pass)], "Paused"),
    ] {
        let mut world = baking(scored());
        world.now += 7;
        let event = findings(&world, &found.map(|(name, verdict)| (name, "threshold.limit", verdict)));
        world.step(&event);
        let phase = format!("{:?}", world.state.phase);
        assert!(phase.starts_with(expected), "{found:?}: {phase}");
    }
}

#[test]
fn who_compares_with_nobody_says_so_and_the_plan_says_what_follows() {
    let last = |policy| {
        let guard = MetricGuard::new("errors", Proportions::new(0.0)).on_not_compared(policy);
        let mut options = options();
        options.metrics = vec![guard];
        let mut world = baking(options);
        while world.state.share() != Percent::ALL {
            world.now += 2;
            let _ = world.feed(Event::Tick);
        }
        world.now += 7;
        let event = findings(&world, &[("errors", "guard.not_compared", GuardVerdict::NoData)]);
        world.step(&event);
        world.state
    };
    let promoted = last(ThinData::Continue);
    assert_eq!((promoted.phase, promoted.verdict), (Phase::Promoted, Some(GuardVerdict::Pass)));
    let paused = last(ThinData::Pause);
    assert!(matches!(paused.phase, Phase::Paused { reason: PauseReason::NoData, .. }), "{:?}", paused.phase);
    assert_eq!(paused.verdict, Some(GuardVerdict::NoData));
    assert!(matches!(last(ThinData::Rollback).phase, Phase::RollingBack { cause: Cause::NoData }));
}

#[test]
fn a_score_over_comparisons_holds_nothing_up_where_there_is_nothing_to_compare_with() {
    let score = ScoreGuard::new("canary", ScoreOptions::new(75.0, 50.0)).with_metric("errors", "all");
    let alone =
        GuardFinding::new("errors", Finding::new("guard.not_compared", GuardVerdict::NoData, "looked"));
    let found = score.judge(&[alone]);
    assert_eq!((found.verdict, found.rule.as_str()), (GuardVerdict::NoData, "guard.not_compared"));
    let mut world = World::new(options().with_score(score), Story::Good, (0, false));
    world.run();
    assert_eq!(world.state.phase, Phase::Promoted);
}

// ── plans ────────────────────────────────────────────────────────────────────────────────────────────────────────────────

#[test]
fn strategies_are_steps() {
    let shares =
        |options: RolloutOptions| plan(options).steps().iter().map(|step| step.get()).collect::<Vec<_>>();
    let rolling = |batch| options().with_strategy(Strategy::Rolling { batch: percent(batch) });
    assert_eq!(shares(rolling(30)), [30, 60, 90, 100]);
    assert_eq!(shares(rolling(99)), [99, 100]);
    assert_eq!(shares(rolling(1)).len(), 100);
    assert_eq!(shares(options().with_strategy(shadow(50, true))), [10, 40, 100]);
    assert_eq!(shares(options().with_strategy(shadow(50, false))), [100]);
    let canary =
        |metric: &str| ScoreGuard::new("canary", ScoreOptions::new(90.0, 70.0)).with_metric(metric, "a");
    let query = MetricQuery::new("ms").with_from(secs(5)).with_to(secs(5));
    let mut unapproved = options().with_approver_role(risk(1));
    unapproved.approval = false;
    let mut bad = vec![
        ("strategy", options().with_strategy(shadow(0, true))),
        ("deadline", options().with_strategy(shadow(50, true)).with_deadline(secs(8))),
        ("startup", options().with_startup(Duration::ZERO)),
        ("max_deployments", options().with_max_deployments(0)),
        ("approver_roles", options().with_approver_role(risk(4))),
        ("approver_roles", options().with_approver_role(risk(0))),
        ("approver_roles", options().with_approver_role(risk(1)).with_approver_role(risk(2))),
        ("approver_roles", unapproved),
        ("approval_expiry", options().with_approval_expiry(secs(9))),
        ("approval_expiry", options().with_approval().with_approval_expiry(Duration::ZERO)),
        ("scores", options().with_score(canary("other"))),
        ("scores", options().with_score(canary("errors")).with_score(canary("errors"))),
        ("metrics", options().with_score(ScoreGuard::new("canary", ScoreOptions::new(90.0, 70.0)))),
        ("source", options().with_metric(MetricGuard::query("ms", query, Threshold::at_most(1.0)))),
        ("steps", options().with_strategy(Strategy::Rolling { batch: Percent::ZERO })),
        ("metrics", options().with_strategy(Strategy::AllAtOnce)),
        ("approvals", options().with_approvals(0)),
        ("metrics", options().with_metric(MetricGuard::new("errors", Threshold::at_most(1.0)))),
        ("name", options().with_metric(MetricGuard::new(" ", Threshold::at_most(1.0)))),
        ("judge", options().with_metric(MetricGuard::new("other", Threshold::at_most(f64::NAN)))),
        (
            "min_samples",
            options().with_metric(MetricGuard::new("other", Threshold::at_most(1.0)).with_min_samples(0)),
        ),
        ("drain", options().with_drain(Duration::MAX)),
    ];
    let mut blue_green = options().with_strategy(Strategy::BlueGreen);
    blue_green.metrics.clear();
    bad.push(("drain", blue_green));
    for (field, options) in bad {
        assert_eq!(options.check().unwrap_err().context("field"), Some(field), "{options:?}");
    }
}

/// What is as it always was is not written, so that plans keep the digests under which journals know them, and states written before
/// read on.
#[test]
fn what_was_written_before_is_read_on() {
    let plain = plan(RolloutOptions::default());
    let value = serde_json::to_value(&plain).unwrap();
    let keys: Vec<_> = value["options"].as_object().unwrap().keys().cloned().collect();
    let known = "approval bake deadline guards limits max_attempts on_inconclusive on_no_data patience steps";
    assert_eq!(keys.join(" "), known);
    let state = serde_json::to_value(RolloutState::new(plain.clone())).unwrap();
    for new in ["approvers", "earlier", "evidence", "held_since", "mirrored", "asked_at", "approved_until"] {
        assert!(state.get(new).is_none(), "{new}");
    }
    assert_eq!(serde_json::from_value::<RolloutState>(state).unwrap(), RolloutState::new(plain));
}

#[test]
fn a_plan_with_everything_in_it_survives_being_written() {
    for options in strategies() {
        let plan = plan(options);
        let text = serde_json::to_string(&plan).unwrap();
        let read: RolloutPlan = serde_json::from_str(&text).unwrap();
        assert_eq!((read.digest().unwrap(), &read), (plan.digest().unwrap(), &plan));
    }
    let seen =
        Observations::Counts { candidate: Count::new(1, 3).unwrap(), stable: Count::new(0, 9).unwrap() };
    let text = serde_json::to_string(&seen).unwrap();
    assert_eq!(serde_json::from_str::<Observations>(&text).unwrap(), seen);
}
