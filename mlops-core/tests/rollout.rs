//! The rules of rollouts under crashes: a process that stops after any effect, at any step of any strategy, and goes on from what was
//! written down; what guards on metrics lead to; freezing, draining, going back in steps; what was written before reads on.

use std::collections::BTreeMap;
use std::time::Duration;

use mlops_core::deploy::rollout::judge::{Count, Evidence, Finding, Observations, Proportions, Threshold};
use mlops_core::deploy::rollout::*;
use mlops_core::deploy::{SmokeCheck, SmokeReport, TrafficChange, TrafficSplit};
use mlops_core::governance::{Approval, ApprovalDecision, ApprovalRequest};
use mlops_core::time::Timestamp;
use mlops_core::{ActorId, DeploymentName, EndpointName, IdempotencyKey, Percent};

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

/// What the world does to a rollout.
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
}

/// An endpoint, a process that may stop, and what it wrote down.
struct World {
    state: RolloutState,
    /// The state as it was written down last.
    journal: String,
    now: i64,
    traffic: ObservedTraffic,
    made: BTreeMap<IdempotencyKey, (TrafficChange, u64)>,
    effects: usize,
    /// At which effect it stops, and whether after it.
    strike: (usize, bool),
    story: Story,
    acted: bool,
    asked: u32,
}

/// The process has stopped.
struct Stopped;

impl World {
    fn new(options: RolloutOptions, story: Story, strike: (usize, bool)) -> Self {
        let state = RolloutState::new(plan(options));
        let traffic = ObservedTraffic { split: state.plan.initial_split(), revision: 3 };
        let journal = serde_json::to_string(&state).unwrap();
        let made = BTreeMap::new();
        Self { state, journal, now: 0, traffic, made, effects: 0, strike, story, acted: false, asked: 0 }
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
                self.state = serde_json::from_str(&self.journal).unwrap();
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
            Phase::Baking { step, .. } => Some(step),
            _ => None,
        };
        let (step, event) = match self.story {
            Story::Abort(step) => (step, Event::AbortRequested("enough".into())),
            Story::BadWhilePaused(step) => (step, Event::PauseRequested("lunch".into())),
            Story::Frozen(step) => (step, Event::FreezeRequested("sale".into())),
            Story::Good | Story::Bad(_) => return Ok(()),
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
            assert!(effects.iter().all(|effect| effect.kind() != EffectKind::SetTraffic), "{event:?}");
            assert!(matches!(state.phase, Phase::Frozen { .. }), "{event:?} {:?}", state.phase);
        }
        if state != self.state {
            self.journal = serde_json::to_string(&state).unwrap();
            self.state = state;
            self.rollback_is_one_change_away();
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
            Effect::RunSmokeTest => {
                let check = SmokeCheck::new("answers", true, "looked");
                vec![Event::SmokeTested(SmokeReport::new(name("green"), 1).with_check(check))]
            }
            Effect::SetTraffic { epoch, change } => self.set_traffic(epoch, &change),
            Effect::TakeBaseline { epoch } => {
                let baseline = Baseline { at: at(self.now), candidate: None, stable: None };
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
        let bad = match self.story {
            Story::Good | Story::Abort(_) => false,
            Story::Bad(from) => step >= Some(from),
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

    /// Compare-and-set, idempotent by key.
    fn set_traffic(&mut self, epoch: u64, change: &TrafficChange) -> Vec<Event> {
        if let Some((made, revision)) = self.made.get(&change.key) {
            assert_eq!(made, change, "one key, two changes");
            let traffic = ObservedTraffic { split: made.split.clone(), revision: *revision };
            return vec![Event::TrafficObserved { traffic, answers: Some(change.key.clone()) }];
        }
        if change.expected != Some(self.traffic.revision) {
            let (effect, message) = (EffectKind::SetTraffic, "another revision".to_owned());
            let failed = Event::EffectFailed { effect, epoch, retryable: true, message };
            return vec![self.observed(None), failed];
        }
        self.is_allowed(&change.split);
        self.traffic = ObservedTraffic { split: change.split.clone(), revision: self.traffic.revision + 1 };
        self.made.insert(change.key.clone(), (change.clone(), self.traffic.revision));
        vec![self.observed(Some(change.key.clone()))]
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
                    assert_eq!(*split, plan.initial_split());
                    0
                }
            };
        let (from, to) = (place(&self.traffic.split), place(split));
        assert!(to <= from + 1, "from {} to {split}: no step is left out", self.traffic.split);
        let back = matches!(self.state.phase, Phase::RollingBack { .. });
        assert!(to > from || back, "from {} to {split} in {:?}", self.traffic.split, self.state.phase);
    }
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
            .with_rollback(Rollback::Stepped { hold: secs(0) }),
        alone(options()).with_strategy(Strategy::BlueGreen).with_drain(secs(4)),
        alone(options()).with_strategy(Strategy::AllAtOnce),
    ]
}

#[test]
fn a_stop_after_any_effect_at_any_step_ends_at_one_end_or_the_other() {
    let (mut stops, mut runs) = (0, 0);
    for options in strategies() {
        let last = plan(options.clone()).steps().len() - 1;
        let mut stories = vec![Story::Good];
        for step in [0, last / 2, last] {
            stories.extend([
                Story::Bad(step),
                Story::Abort(step),
                Story::BadWhilePaused(step),
                Story::Frozen(step),
            ]);
        }
        stories.dedup();
        for story in stories {
            for after in [false, true] {
                for strike in 1.. {
                    let mut world = World::new(options.clone(), story, (strike, after));
                    let stopped = world.run();
                    runs += 1;
                    stops += usize::from(stopped);
                    let good = matches!(story, Story::Good | Story::Frozen(_));
                    let phase = &world.state.phase;
                    assert_eq!(*phase == Phase::Promoted, good, "{story:?} {strike} {after}: {phase:?}");
                    let end = if good {
                        TrafficSplit::all_to(name("green"))
                    } else {
                        TrafficSplit::all_to(name("blue"))
                    };
                    assert_eq!(world.traffic.split, end, "{story:?} {strike} {after}: {phase:?}");
                    if !stopped {
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
    let request = ApprovalRequest {
        subject: world.state.plan.digest().unwrap(),
        question: "?".into(),
        requester: ActorId::new("bot").unwrap(),
        expires_at: at(900),
    };
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

// ── plans ────────────────────────────────────────────────────────────────────────────────────────────────────────────────

#[test]
fn strategies_are_steps() {
    let shares =
        |options: RolloutOptions| plan(options).steps().iter().map(|step| step.get()).collect::<Vec<_>>();
    let rolling = |batch| options().with_strategy(Strategy::Rolling { batch: percent(batch) });
    assert_eq!(shares(rolling(30)), [30, 60, 90, 100]);
    assert_eq!(shares(rolling(99)), [99, 100]);
    assert_eq!(shares(rolling(1)).len(), 100);
    let mut bad = vec![
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
    for new in ["approvers", "earlier", "evidence", "held_since"] {
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
