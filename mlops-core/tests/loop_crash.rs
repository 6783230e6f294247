//! A loop whose process is killed with SIGKILL, again and again, loses no reason to retrain and answers none twice.
//!
//! A child process (this program again) is told reasons, trains, judges and rolls out through a loop of a store and is killed at a
//! random moment; then another one goes on from the journal. After each kill the parent holds the store against the invariants:
//! * every reason that the child said it had handed over is in the journal, and was requested, held back with a reason, or waits;
//! * no reason is in two requests, a request is one cycle, and a cycle has one run and at most one version;
//! * one candidate at most is on its way: no other deployment than what served before has traffic beside it;
//! * the alias points to a version that the gate let pass and somebody approved, which is what serves, or has all traffic already,
//!   and never to content that was rolled back;
//! * a challenger that nobody answered about in time, or that something newer took the place of, never gets any traffic;
//! * the store is sound, and the audit log intact.
//!
//! In the end every reason is decided, and the audit log has every change of phase and every reason that was held back, once.
//! `MLOPS_CRASH_KILLS` says how many kills there are (default 50).

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::num::NonZeroU64;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use common::wait;
use mlops_core::artifact::ArtifactStoreExt as _;
use mlops_core::data::{Column, Table};
use mlops_core::deploy::rollout::judge::{Count, Observations, Proportions};
use mlops_core::deploy::rollout::{MetricGuard, OperationGuard, RolloutOptions, Strategy};
use mlops_core::deploy::{
    Deployer as _, DeploymentSpec, EndpointSpec, InvokeRequest, SmokeTest, TrafficChange, TrafficSplit,
};
use mlops_core::evaluation::{CriterionResult, GateDecision, Verdict};
use mlops_core::governance::{
    ApprovalDecision, ApprovalRequest, Approver as _, AuditLog as _, CallbackApprover,
};
use mlops_core::hash::Digest;
use mlops_core::local::{LocalDeployer, LocalModelRegistry, LocalStore};
use mlops_core::model::{ModelFormat, Predictor as _};
use mlops_core::num::Random;
use mlops_core::problem::Task;
use mlops_core::registry::{ModelRegistry as _, ModelVersion, NewModelVersion, Promotion, Protection};
use mlops_core::retrain::closed_loop::{
    ClosedLoop, LoopBackends, LoopConfig, LoopEffect, LoopEntry, LoopEvent, LoopJournal as _, LoopPhase,
    LoopState, Serving,
};
use mlops_core::retrain::gates::{CauseKind, GateInput, GateOutcome, RetrainCause, RetrainGates};
use mlops_core::serve::{BuiltinLoader, ConstantPredictor};
use mlops_core::time::SystemClock;
use mlops_core::{
    ActorId, Alias, DeploymentName, EndpointName, IdempotencyKey, ModelName, PageRequest, Percent, RunId,
    Version,
};

/// How many reasons there are; some of them are told twice.
const CAUSES: u64 = 24;

fn endpoint() -> EndpointName {
    EndpointName::new("diabetes").unwrap()
}

fn model() -> ModelName {
    ModelName::new("diabetes").unwrap()
}

fn champion() -> Alias {
    Alias::new("champion").unwrap()
}

fn actor(name: &str) -> ActorId {
    ActorId::new(name).unwrap()
}

fn deployment(version: Version) -> DeploymentName {
    DeploymentName::new(format!("v-{version}")).unwrap()
}

fn id() -> IdempotencyKey {
    IdempotencyKey::new("the-loop").unwrap()
}

fn rows() -> Table<'static> {
    Table::new(vec![Column::f64("age", vec![59.0]).unwrap()]).unwrap()
}

fn registry(store: &LocalStore) -> LocalModelRegistry {
    store.registry().with_protected(champion(), Protection::GateAndApproval)
}

fn deployer(store: &LocalStore) -> LocalDeployer {
    store.deployer(Arc::new(registry(store)), Arc::new(BuiltinLoader))
}

/// Says yes, as long as they are not away.
fn officer(away: Arc<AtomicBool>) -> CallbackApprover {
    CallbackApprover::new(actor("officer"), move |_| match away.load(Ordering::SeqCst) {
        true => (ApprovalDecision::Pending, String::new()),
        false => (ApprovalDecision::Approved, "seen".to_owned()),
    })
}

fn config() -> LoopConfig {
    let rollout = RolloutOptions::default()
        .with_strategy(Strategy::Rolling { batch: Percent::new(50).unwrap() })
        .with_bake(Duration::ZERO)
        .with_limits(OperationGuard::default().with_min_requests(1))
        .with_metric(MetricGuard::new("errors", Proportions::new(0.0)));
    LoopConfig::new(model(), champion(), endpoint(), actor("retraining"))
        .with_rollout(rollout)
        .with_approval()
        .with_approval_window(Duration::from_secs(1))
        .with_supersede()
        .with_gates(RetrainGates::new(model()).with_cooldown(Duration::from_millis(40)))
}

/// What becomes of the challenger of a cycle.
#[derive(Clone, Copy, PartialEq)]
enum Fate {
    Good,
    FailsTheGate,
    /// Passes the gate, and fails where it serves.
    FailsInTraffic,
    /// Has the content of one that failed where it served.
    Again(u64),
    /// Passes the gate, and nobody answers about it.
    Unanswered,
}

fn fate(cycle: u64) -> Fate {
    match cycle % 8 {
        2 | 6 => Fate::FailsTheGate,
        3 => Fate::FailsInTraffic,
        5 => Fate::Unanswered,
        7 => Fate::Again(cycle - 4),
        _ => Fate::Good,
    }
}

/// The version of a cycle: made by its run, once, however often it is asked for.
async fn register(store: &LocalStore, cycle: u64, run: Option<&RunId>) -> ModelVersion {
    let number = if let Fate::Again(before) = fate(cycle) { before } else { cycle };
    let predictor =
        ConstantPredictor::new(Task::BinaryClassification, 0.25 + number as f64 / 1_000.0).unwrap();
    let blob = store.artifacts().put_bytes(predictor.to_bytes().unwrap()).await.unwrap();
    let format = ModelFormat::new("mlops.constant/v1").unwrap();
    let signature = predictor.signature().clone();
    let mut new = NewModelVersion::new(model(), blob.digest, format, signature, actor("trainer"));
    new.key = IdempotencyKey::new(format!("cycle-{cycle}")).unwrap();
    new.run = run.cloned();
    registry(store).register(&new).await.unwrap()
}

fn decide(version: &ModelVersion, cycle: u64) -> GateDecision {
    let verdict = if fate(cycle) == Fate::FailsTheGate { Verdict::Fail } else { Verdict::Pass };
    let criterion = CriterionResult::new("accuracy", verdict, None, "0.70 at least");
    let (gate, report) = (Digest::of(b"gate"), Digest::of(b"report"));
    let at = "2026-01-01T00:00:00Z".parse().unwrap();
    GateDecision::new("release", gate, version.spec.artifact, report, None, at, vec![criterion])
}

/// A first version that has passed the gate, has all traffic and the alias; what a loop begins with.
async fn set_up(folder: &Path) {
    let store = LocalStore::open(folder).unwrap();
    let (deployer, first) = (deployer(&store), register(&store, 0, None).await);
    deployer.ensure_endpoint(&EndpointSpec::new(endpoint(), actor("release"))).await.unwrap();
    let name = deployment(first.version);
    let spec = DeploymentSpec::new(endpoint(), name.clone(), model(), first.version, actor("release"));
    deployer.deploy(&spec).await.unwrap();
    let (key, split) = (IdempotencyKey::new("first").unwrap(), TrafficSplit::all_to(name));
    let actor = actor("release");
    let change = TrafficChange::new(endpoint(), split, actor.clone()).with_key(key).expecting(0);
    deployer.set_traffic(&change).await.unwrap();
    let gate = decide(&first, 0);
    let request = ApprovalRequest::new(
        gate.digest().unwrap(),
        "May it serve?",
        actor.clone(),
        "2100-01-01T00:00:00Z".parse().unwrap(),
    );
    let approval =
        officer(Arc::default()).decide(&request, "2026-01-01T00:00:00Z".parse().unwrap()).await.unwrap();
    let promotion = Promotion::new(model(), first.version, champion(), gate, actor)
        .with_key(IdempotencyKey::new("first-promotion").unwrap())
        .with_approval(approval);
    registry(&store).promote(&promotion).await.unwrap();
}

async fn resume(store: &LocalStore, deployer: Arc<LocalDeployer>, away: Arc<AtomicBool>) -> ClosedLoop {
    let first = register(store, 0, None).await;
    let serving = Serving::new(first.version, first.spec.artifact, deployment(first.version));
    let start = LoopState::new(config(), Some(serving)).with_id(id());
    let backends = LoopBackends::new(
        Arc::new(registry(store)),
        deployer,
        Arc::new(store.rollouts()),
        Arc::new(store.audit_log()),
        Arc::new(SystemClock::new()),
    );
    let smoke_test = SmokeTest::new(rows()).unwrap();
    let resumed = ClosedLoop::resume(start, Arc::new(store.loops()), backends, smoke_test).await.unwrap();
    resumed.with_approver(Arc::new(officer(away)))
}

fn cause(number: u64) -> RetrainCause {
    RetrainCause::new(CauseKind::Event, "lake", format!("event-{number}"), format!("file {number} arrived"))
}

fn say(line: &str) {
    let mut out = std::io::stdout();
    // One write for each line: what is heard was said as a whole.
    let _ = out.write_all(format!("\nack {line}\n").as_bytes());
    let _ = out.flush();
}

/// Hands over every reason from `next` on, and sees every cycle to its end.
async fn drive(folder: &Path, mut next: u64, pace: Duration) -> LoopState {
    let store = LocalStore::open(folder).unwrap();
    // One deployer, for what is asked of it counts for the loop at once.
    let deployer = Arc::new(deployer(&store));
    let away = Arc::new(AtomicBool::new(false));
    let mut one = resume(&store, deployer.clone(), away.clone()).await;
    say("open");
    loop {
        let (phase, cycle) = (one.state().phase.clone(), one.state().cycle);
        away.store(fate(cycle) == Fate::Unanswered, Ordering::SeqCst);
        // Some come while a cycle is under way, and some of all come twice.
        let comes = phase.is_at_rest() || next.is_multiple_of(3);
        if comes && next <= CAUSES {
            for _ in 0..1 + u64::from(next.is_multiple_of(5)) {
                one.cause(&cause(next)).await.unwrap();
            }
            say(&format!("cause {next}"));
            next += 1;
            continue;
        }
        match phase {
            LoopPhase::Requested { .. } => {
                let run = one.state().request.as_ref().unwrap().run().unwrap();
                one.training_started(&run).await.unwrap();
            }
            LoopPhase::Training { run } => {
                register(&store, cycle, Some(&run)).await;
                one.training_finished().await.unwrap();
            }
            LoopPhase::Evaluating { run } => {
                let version = register(&store, cycle, Some(&run)).await;
                one.judged(&version, &decide(&version, cycle)).await.unwrap();
            }
            phase if phase.is_at_rest() && one.state().gates.waiting.is_empty() => {
                return one.state().clone();
            }
            _ => {
                serve(&deployer, cycle).await;
                let failed = if fate(cycle) == Fate::FailsInTraffic { 60 } else { 1 };
                let (candidate, stable) = (Count::new(failed, 100).unwrap(), Count::new(1, 100).unwrap());
                one.report_observations("errors", Observations::Counts { candidate, stable });
                one.advance().await.unwrap();
            }
        }
        say(&format!("cycle {}", one.state().cycle));
        tokio::time::sleep(pace).await;
    }
}

async fn serve(deployer: &LocalDeployer, cycle: u64) {
    for caller in 0..25 {
        let (deployment, table) = (None, rows());
        let routing_key = Some(format!("caller {caller} of {cycle}"));
        let request =
            InvokeRequest::new(endpoint(), &table).with_deployment(deployment).with_routing_key(routing_key);
        deployer.invoke(&request).await.unwrap();
    }
}

#[test]
fn child() {
    let Ok(folder) = std::env::var("MLOPS_LOOP_FOLDER") else { return };
    let next = std::env::var("MLOPS_LOOP_NEXT").unwrap().parse().unwrap();
    wait(drive(Path::new(&folder), next, Duration::from_micros(300)));
    say("end");
}

/// What the children said: the last reason they had handed over, the last cycle, and whether one came to the end.
#[derive(Default)]
struct Heard {
    cause: u64,
    cycle: u64,
    ended: bool,
}

impl Heard {
    fn hear(&mut self, line: &str) -> bool {
        let Some(line) = line.trim_end().strip_prefix("ack ") else { return false };
        self.ended |= line == "end";
        match line.split_once(' ') {
            Some(("cause", number)) => self.cause = self.cause.max(number.parse().unwrap()),
            Some(("cycle", number)) => self.cycle = self.cycle.max(number.parse().unwrap()),
            _ => {}
        }
        true
    }
}

/// Runs a child and kills it after so many lines and a moment more.
fn kill(folder: &Path, lines: u64, moment: Duration, heard: &mut Heard) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["child", "--exact", "--nocapture", "--test-threads=1"])
        .env("MLOPS_LOOP_FOLDER", folder)
        .env("MLOPS_LOOP_NEXT", (heard.cause + 1).to_string());
    let pipes = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = pipes.spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let (mut line, mut said) = (String::new(), 0);
    while said < lines && out.read_line(&mut line).unwrap() > 0 {
        said += u64::from(heard.hear(&line));
        line.clear();
    }
    std::thread::sleep(moment);
    child.kill().unwrap();
    let (mut rest, mut faults) = (Vec::new(), String::new());
    out.read_to_end(&mut rest).unwrap();
    child.stderr.take().unwrap().read_to_string(&mut faults).unwrap();
    child.wait().unwrap();
    assert!(!faults.contains("panicked"), "{faults}");
    // The last line may be cut off: what was not said to its end was not said.
    let whole = rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    for line in String::from_utf8_lossy(&rest[..whole]).lines() {
        heard.hear(line);
    }
}

async fn entries(store: &LocalStore) -> Vec<LoopEntry> {
    let mut all = Vec::new();
    loop {
        let page = store.loops().entries(&id(), all.len() as u64, 1_000).await.unwrap();
        if page.is_empty() {
            return all;
        }
        all.extend(page);
    }
}

/// Holds the store against the invariants of the head of this file.
async fn check(folder: &Path, heard: &Heard) {
    let store = LocalStore::open(folder).unwrap();
    let report = store.verify().await.unwrap();
    assert!(report.is_sound(), "{report:?}");
    let Some(standing) = store.loops().standing(&id()).await.unwrap() else {
        assert_eq!((heard.cause, heard.cycle), (0, 0), "what was said is gone");
        return;
    };
    let (entries, state) = (entries(&store).await, standing.state);
    assert_eq!(standing.sequence, entries.len() as u64);
    assert!(state.cycle >= heard.cycle, "cycle {} was said, the journal is at {}", heard.cycle, state.cycle);
    no_reason_is_lost(&entries, &state, heard.cause);
    no_reason_is_answered_twice(&entries, &state);
    let versions = registry(&store).versions(&model(), &PageRequest::default()).await.unwrap().items;
    one_version_for_each_run(&entries, &versions);
    one_candidate_is_on_its_way(&state, &deployer(&store).endpoint(&endpoint()).await.unwrap().traffic);
    let aliases = registry(&store).aliases(&model()).await.unwrap();
    let [(alias, version)] = &aliases[..] else { panic!("{aliases:?}") };
    assert_eq!(*alias, champion());
    let found = versions.iter().find(|found| found.version == *version).unwrap();
    the_champion_has_passed(&entries, &state, found);
    what_went_unanswered_stays_away(&entries);
    if state.serving.as_ref().is_none_or(|serving| serving.version != *version) {
        let traffic = deployer(&store).endpoint(&endpoint()).await.unwrap().traffic;
        assert_eq!(traffic.share(&deployment(*version)), Percent::ALL, "the alias went ahead of the traffic");
    }
    assert!(store.audit_log().verify(None).await.unwrap().is_intact());
}

/// The ids of the causes that came, and in how many requests each of them is.
fn requested(entries: &[LoopEntry]) -> BTreeMap<&str, usize> {
    let mut found = BTreeMap::new();
    for record in entries.iter().flat_map(LoopEntry::records) {
        let counts = usize::from(matches!(record.outcome, GateOutcome::Requested(_)));
        for cause in &record.causes {
            *found.entry(cause.id.as_str()).or_default() += counts;
        }
    }
    found
}

fn no_reason_is_lost(entries: &[LoopEntry], state: &LoopState, said: u64) {
    let came: BTreeSet<&str> = entries
        .iter()
        .filter_map(|entry| match &entry.event {
            LoopEvent::Signalled(GateInput::Cause(cause)) => Some(cause.id.as_str()),
            _ => None,
        })
        .collect();
    let decided = requested(entries);
    for number in 1..=said {
        let id = format!("event-{number}");
        assert!(came.contains(id.as_str()), "{id} was handed over and is not in the journal");
        let waits = state.gates.waiting.iter().any(|cause| cause.id == id);
        assert!(waits || decided.contains_key(id.as_str()), "nobody knows what became of {id}");
    }
}

fn no_reason_is_answered_twice(entries: &[LoopEntry], state: &LoopState) {
    for (id, times) in requested(entries) {
        assert!(times <= 1, "{id} is in {times} requests");
    }
    let requests: Vec<RunId> = entries
        .iter()
        .flat_map(LoopEntry::records)
        .filter_map(|record| record.request().map(|request| request.run().unwrap()))
        .collect();
    assert_eq!(requests.len() as u64, state.cycle, "a request is a cycle");
    let runs: Vec<&RunId> = entries
        .iter()
        .filter_map(|entry| match &entry.phase {
            Some(LoopPhase::Training { run }) => Some(run),
            _ => None,
        })
        .collect();
    // Each request has its run, in order; that of the last may not have begun.
    assert!(requests.len() - runs.len() <= 1, "{} runs of {} requests", runs.len(), requests.len());
    assert!(runs.iter().zip(&requests).all(|(run, expected)| **run == *expected));
}

fn one_version_for_each_run(entries: &[LoopEntry], versions: &[ModelVersion]) {
    let runs: Vec<&RunId> = versions.iter().filter_map(|version| version.spec.run.as_ref()).collect();
    let different: BTreeSet<&str> = runs.iter().map(|run| run.as_str()).collect();
    assert_eq!(runs.len(), different.len(), "a run made two versions");
    let trained = |run: &&&RunId| {
        entries
            .iter()
            .any(|entry| matches!(&entry.phase, Some(LoopPhase::Training { run: known }) if known == **run))
    };
    assert_eq!(runs.iter().filter(trained).count(), runs.len(), "a version is of no run of the loop");
}

fn one_candidate_is_on_its_way(state: &LoopState, traffic: &TrafficSplit) {
    let total: u32 = traffic.shares().map(|(_, share)| u32::from(share.get())).sum();
    assert_eq!(total, 100);
    let candidate = match &state.phase {
        LoopPhase::RollingOut { plan, .. } => Some(plan.candidate()),
        LoopPhase::Promoting { deployment, .. } => Some(deployment),
        LoopPhase::Reverting { from, .. } => Some(&from.deployment),
        _ => None,
    };
    let known: Vec<_> = state.serving.iter().map(|serving| &serving.deployment).chain(candidate).collect();
    for (name, share) in traffic.shares().filter(|(_, share)| *share != Percent::ZERO) {
        assert!(known.contains(&name), "{name} has {share}, and the loop is at: {}", state.phase);
    }
}

fn the_champion_has_passed(entries: &[LoopEntry], state: &LoopState, version: &ModelVersion) {
    let artifact = version.spec.artifact;
    assert!(!state.quarantine.contains(&artifact), "{} was rolled back", version.version);
    let known = match &state.phase {
        LoopPhase::Promoting { challenger, .. } => challenger.version == version.version,
        _ => false,
    };
    let serves = state.serving.as_ref().is_some_and(|serving| serving.version == version.version);
    assert!(
        known || serves,
        "version {} is the champion, and the loop is at: {}",
        version.version,
        state.phase
    );
    // The first one passed before there was a loop.
    if version.version == Version::FIRST {
        return;
    }
    let passed = entries.iter().find_map(|entry| match &entry.event {
        LoopEvent::Judged { version: judged, artifact, gate, .. } if *judged == version.version => {
            gate.require_pass(artifact).is_ok().then_some(gate)
        }
        _ => None,
    });
    let gate = passed.unwrap_or_else(|| panic!("version {} did not pass", version.version)).digest().unwrap();
    let approved = entries.iter().any(|entry| match &entry.event {
        LoopEvent::ApprovalGiven(approval) => {
            approval.subject == gate && approval.decision == ApprovalDecision::Approved
        }
        _ => false,
    });
    assert!(approved, "nobody approved version {}", version.version);
}

fn what_went_unanswered_stays_away(entries: &[LoopEntry]) {
    let mut gone = BTreeSet::new();
    for phase in entries.iter().filter_map(|entry| entry.phase.as_ref()) {
        match phase {
            LoopPhase::Expired { version, .. } | LoopPhase::Superseded { version, .. } => {
                gone.insert(*version);
            }
            LoopPhase::AwaitingApproval { challenger, .. }
            | LoopPhase::ChallengerReady { challenger }
            | LoopPhase::RollingOut { challenger, .. }
            | LoopPhase::Promoting { challenger, .. } => {
                assert!(!gone.contains(&challenger.version), "version {} came back", challenger.version);
            }
            _ => {}
        }
    }
}

/// After an end that nobody disturbed: every reason is decided, and everything is in the audit log once.
async fn check_end(folder: &Path, state: &LoopState) {
    let store = LocalStore::open(folder).unwrap();
    let entries = entries(&store).await;
    assert!(state.phase.is_at_rest() && state.gates.waiting.is_empty(), "{state:?}");
    let promoted = entries.iter().filter(|e| matches!(e.phase, Some(LoopPhase::Promoted { .. }))).count();
    assert!(promoted > 0, "nothing was promoted");
    let unanswered = |entry: &&LoopEntry| {
        matches!(entry.phase, Some(LoopPhase::Expired { .. } | LoopPhase::Superseded { .. }))
    };
    let away = (1..=state.cycle).filter(|cycle| fate(*cycle) == Fate::Unanswered).count();
    assert!(entries.iter().filter(unanswered).count() >= away, "somebody answered who was away");
    let mut expected: BTreeMap<String, usize> = BTreeMap::new();
    let mut expect = |detail: String| *expected.entry(detail).or_default() += 1;
    for entry in &entries {
        entry.phase.iter().for_each(|phase| expect(phase.to_string()));
        for effect in &entry.effects {
            match effect {
                LoopEffect::Recorded(record) if !matches!(record.outcome, GateOutcome::Requested(_)) => {
                    expect(record.to_string());
                }
                LoopEffect::Suppressed(reason) | LoopEffect::Escalate(reason) => expect(reason.clone()),
                _ => {}
            }
        }
    }
    let (mut found, mut after) = (BTreeMap::new(), 0);
    loop {
        let records = store.audit_log().read(after, 1_000).await.unwrap();
        let Some(last) = records.last() else { break };
        after = last.sequence;
        for record in records.into_iter().filter(|record| record.entry.action.starts_with("retrain.")) {
            *found.entry(record.entry.detail).or_default() += 1;
        }
    }
    assert_eq!(found, expected);
}

#[test]
fn a_loop_killed_at_any_moment_loses_no_reason_and_answers_none_twice() {
    let kills = std::env::var("MLOPS_CRASH_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(50_u64);
    let mut random = Random::new(2026);
    let (mut done, mut loops, mut cycles) = (0, 0, 0);
    let mut phases: BTreeMap<String, u64> = BTreeMap::new();
    while done < kills {
        loops += 1;
        let dir = tempfile::tempdir().unwrap();
        wait(set_up(dir.path()));
        let mut heard = Heard::default();
        while !heard.ended && done < kills {
            let lines = random.below(NonZeroU64::new(16).unwrap());
            let moment = Duration::from_micros(random.below(NonZeroU64::new(20_000).unwrap()));
            kill(dir.path(), lines, moment, &mut heard);
            done += u64::from(!heard.ended);
            wait(check(dir.path(), &heard));
            *phases.entry(phase(dir.path())).or_default() += 1;
        }
        let state = wait(drive(dir.path(), heard.cause + 1, Duration::ZERO));
        heard.cause = CAUSES;
        wait(check(dir.path(), &heard));
        wait(check_end(dir.path(), &state));
        cycles += state.cycle;
    }
    println!("{done} kills over {loops} loops and {cycles} cycles; killed at: {phases:?}");
}

/// The name of the phase a loop is in.
fn phase(folder: &Path) -> String {
    let journal = LocalStore::open(folder).unwrap().loops();
    let standing = wait(journal.standing(&id())).unwrap();
    let shown = standing.map_or("nothing".to_owned(), |standing| format!("{:?}", standing.state.phase));
    shown.split([' ', '{', '(']).next().unwrap_or_default().to_owned()
}

#[test]
fn what_the_invariants_forbid_would_be_noticed() {
    let dir = tempfile::tempdir().unwrap();
    wait(set_up(dir.path()));
    let state = wait(drive(dir.path(), 1, Duration::ZERO));
    let store = LocalStore::open(dir.path()).unwrap();
    let entries = wait(entries(&store));
    let versions = wait(registry(&store).versions(&model(), &PageRequest::default())).unwrap().items;
    let noticed = |check: &dyn Fn()| std::panic::catch_unwind(std::panic::AssertUnwindSafe(check)).is_err();
    // A reason that is gone, and one in two requests.
    let first = |entry: &LoopEntry| matches!(&entry.event, LoopEvent::Signalled(GateInput::Cause(cause)) if cause.id == "event-1");
    let mut without = entries.clone();
    without.retain(|entry| !first(entry));
    assert!(noticed(&|| no_reason_is_lost(&without, &state, CAUSES)));
    let mut twice = entries.clone();
    twice.extend(entries.iter().filter(|entry| first(entry)).cloned());
    assert!(noticed(&|| no_reason_is_answered_twice(&twice, &state)));
    // A run twice.
    let training =
        entries.iter().find(|entry| matches!(entry.phase, Some(LoopPhase::Training { .. }))).unwrap();
    let mut again = entries.clone();
    again.push(training.clone());
    assert!(noticed(&|| no_reason_is_answered_twice(&again, &state)));
    let mut doubled = versions.clone();
    doubled.push(versions.iter().find(|version| version.spec.run.is_some()).unwrap().clone());
    assert!(noticed(&|| one_version_for_each_run(&entries, &doubled)));
    // A challenger that nobody answered about, at work again.
    let mut back = entries.clone();
    back.extend(
        entries.iter().filter(|entry| matches!(entry.phase, Some(LoopPhase::Promoting { .. }))).cloned(),
    );
    what_went_unanswered_stays_away(&back);
    back.extend(
        entries
            .iter()
            .filter(|entry| matches!(entry.phase, Some(LoopPhase::AwaitingApproval { .. })))
            .cloned(),
    );
    assert!(noticed(&|| what_went_unanswered_stays_away(&back)));
    // Traffic that nobody decided, and a champion that failed.
    let strange = TrafficSplit::all_to(DeploymentName::new("v-2000").unwrap());
    assert!(noticed(&|| one_candidate_is_on_its_way(&state, &strange)));
    for version in
        versions.iter().filter(|version| version.version != state.serving.as_ref().unwrap().version)
    {
        assert!(noticed(&|| the_champion_has_passed(&entries, &state, version)), "{}", version.version);
    }
}
