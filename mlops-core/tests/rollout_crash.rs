//! A rollout whose process is killed with SIGKILL, again and again, ends as one that was not.
//!
//! A child process (this program again) rolls out on an endpoint of a store and is killed at a random moment; then another one goes
//! on from the journal. After each kill the parent holds the store against the invariants:
//! * the traffic is that of the journal's last state, or what the change under way in that state asks for, and sums to 100;
//! * the mirror is that of the plan or none, and while there is one all traffic is with the stable version;
//! * no step was left out: the candidate's share is never above that of the step the journal has reached;
//! * what the child said it had reached is in the journal;
//! * each change of traffic that was decided was made at most once, whoever asked for it how often;
//! * the store is sound.
//!
//! Every other rollout begins with a shadow. In the end a good candidate has all traffic, and a bad one none; there is no mirror. `MLOPS_CRASH_KILLS` says how many kills there are (default 50).

mod common;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::num::NonZeroU64;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use common::wait;
use mlops_core::artifact::ArtifactStoreExt as _;
use mlops_core::data::{Column, Table};
use mlops_core::deploy::rollout::judge::{Count, Observations, Proportions};
use mlops_core::deploy::rollout::{
    Event, JournalEntry, MetricGuard, OperationGuard, Phase, Rollback, RolloutDriver, RolloutJournal as _,
    RolloutOptions, RolloutPlan, RolloutState, Strategy, TrafficIntent,
};
use mlops_core::deploy::{
    Deployer as _, DeploymentSpec, EndpointSpec, InvokeRequest, SmokeTest, TrafficChange, TrafficSplit,
};
use mlops_core::local::{LocalDeployer, LocalStore};
use mlops_core::model::{ModelFormat, Predictor as _};
use mlops_core::num::Random;
use mlops_core::problem::Task;
use mlops_core::registry::{ModelRegistry as _, NewModelVersion};
use mlops_core::serve::{BuiltinLoader, ConstantPredictor};
use mlops_core::time::{Clock as _, SystemClock};
use mlops_core::{ActorId, DeploymentName, EndpointName, IdempotencyKey, ModelName, Percent};

fn endpoint() -> EndpointName {
    EndpointName::new("diabetes").unwrap()
}

fn name(text: &str) -> DeploymentName {
    DeploymentName::new(text).unwrap()
}

fn actor() -> ActorId {
    ActorId::new("release").unwrap()
}

fn rows() -> Table<'static> {
    Table::new(vec![Column::f64("age", vec![59.0]).unwrap()]).unwrap()
}

/// What a rollout is like: from which share on the candidate is bad, if it is; whether it is a shadow first.
#[derive(Clone, Copy, Debug)]
struct Kind {
    bad_from: Option<u8>,
    shadow: bool,
}

const KINDS: [Kind; 4] = [
    Kind { bad_from: None, shadow: false },
    Kind { bad_from: None, shadow: true },
    Kind { bad_from: Some(50), shadow: false },
    // Bad as a shadow already.
    Kind { bad_from: Some(0), shadow: true },
];

fn plan(kind: Kind) -> RolloutPlan {
    let percent = |share| Percent::new(share).unwrap();
    let strategy = match kind.shadow {
        true => Strategy::Shadow { share: percent(50), promote: true },
        false => Strategy::Rolling { batch: percent(8) },
    };
    let options = RolloutOptions::default()
        .with_steps([10, 20, 40, 60, 80, 100].map(percent))
        .with_strategy(strategy)
        .with_bake(Duration::ZERO)
        .with_limits(OperationGuard::default().with_min_requests(1))
        .with_metric(MetricGuard::new("errors", Proportions::new(0.0)))
        .with_drain(Duration::from_millis(2))
        .with_rollback(Rollback::Stepped { hold: Duration::ZERO });
    let plan = RolloutPlan::canary(endpoint(), name("blue"), name("green"), actor(), options).unwrap();
    plan.with_key(IdempotencyKey::new("the-rollout").unwrap())
}

fn deployer(store: &LocalStore) -> LocalDeployer {
    store.deployer(Arc::new(store.registry()), Arc::new(BuiltinLoader))
}

/// Two versions behind an endpoint, all traffic to the first.
async fn set_up(folder: &Path) {
    let store = LocalStore::open(folder).unwrap();
    let (deployer, registry) = (deployer(&store), store.registry());
    deployer.ensure_endpoint(&EndpointSpec::new(endpoint(), actor())).await.unwrap();
    for (deployment, value) in [("blue", 0.25), ("green", 0.5)] {
        let model = ConstantPredictor::new(Task::BinaryClassification, value).unwrap();
        let blob = store.artifacts().put_bytes(model.to_bytes().unwrap()).await.unwrap();
        let (model_name, format) =
            (ModelName::new("m").unwrap(), ModelFormat::new("mlops.constant/v1").unwrap());
        let new =
            NewModelVersion::new(model_name.clone(), blob.digest, format, model.signature().clone(), actor());
        let version = registry.register(&new).await.unwrap().version;
        let spec = DeploymentSpec::new(endpoint(), name(deployment), model_name, version, actor());
        deployer.deploy(&spec).await.unwrap();
    }
    let (key, split) = (IdempotencyKey::new("first").unwrap(), TrafficSplit::all_to(name("blue")));
    let change = TrafficChange::new(endpoint(), split, actor()).with_key(key).expecting(0);
    deployer.set_traffic(&change).await.unwrap();
}

fn say(line: &str) {
    let mut out = std::io::stdout();
    // One write for each line: what is heard was said as a whole.
    let _ = out.write_all(format!("\nack {line}\n").as_bytes());
    let _ = out.flush();
}

async fn drive(folder: &Path, kind: Kind, pace: Duration) -> Phase {
    let store = LocalStore::open(folder).unwrap();
    let (deployer, journal) = (Arc::new(deployer(&store)), Arc::new(store.rollouts()));
    let smoke_test = SmokeTest::new(rows()).unwrap();
    let mut driver = RolloutDriver::resume(plan(kind), smoke_test, deployer.clone(), journal).await.unwrap();
    say("open");
    let clock = SystemClock::new();
    loop {
        let status = driver.advance(clock.now()).await.unwrap();
        say(&format!("{} {}", driver.state().epoch, status.share.get()));
        if status.is_terminal() {
            return status.phase;
        }
        for caller in 0..25 {
            let (deployment, table) = (None, rows());
            let routing_key = Some(format!("caller {caller} of {}", driver.state().epoch));
            let request = InvokeRequest::new(endpoint(), &table)
                .with_deployment(deployment)
                .with_routing_key(routing_key);
            deployer.invoke(&request).await.unwrap();
        }
        let bad = kind.bad_from.is_some_and(|from| status.share.get() >= from);
        let failed = if bad { 60 } else { 1 };
        let (candidate, stable) = (Count::new(failed, 100).unwrap(), Count::new(1, 100).unwrap());
        driver.report_observations("errors", Observations::Counts { candidate, stable });
        tokio::time::sleep(pace).await;
    }
}

#[test]
fn child() {
    let Ok(folder) = std::env::var("MLOPS_ROLLOUT_FOLDER") else { return };
    let kind = std::env::var("MLOPS_ROLLOUT_KIND").unwrap().parse::<usize>().unwrap();
    wait(drive(Path::new(&folder), KINDS[kind], Duration::from_micros(500)));
    say("end");
}

/// The largest epoch the child said it had reached, and whether it said that it had come to the end.
#[derive(Default)]
struct Heard {
    epoch: u64,
    ended: bool,
}

impl Heard {
    fn hear(&mut self, line: &str) -> bool {
        let Some(line) = line.trim_end().strip_prefix("ack ") else { return false };
        self.ended |= line == "end";
        if let Some((epoch, _)) = line.split_once(' ') {
            self.epoch = self.epoch.max(epoch.parse().unwrap());
        }
        true
    }
}

/// Runs a child and kills it after so many lines and a moment more.
fn kill(folder: &Path, kind: usize, lines: u64, moment: Duration, heard: &mut Heard) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["child", "--exact", "--nocapture", "--test-threads=1"]).env("MLOPS_ROLLOUT_FOLDER", folder);
    command.env("MLOPS_ROLLOUT_KIND", kind.to_string());
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

/// Holds the store against the invariants of the head of this file.
async fn check(folder: &Path, kind: Kind, heard: &Heard) {
    let (store, plan) = (LocalStore::open(folder).unwrap(), plan(kind));
    let entries = store.rollouts().entries(&plan.digest().unwrap()).await.unwrap();
    let served = deployer(&store).endpoint(&endpoint()).await.unwrap();
    let total: u32 = served.traffic.shares().map(|(_, share)| u32::from(share.get())).sum();
    assert_eq!(total, 100);
    if served.mirror.is_some() {
        assert_eq!((&served.mirror, &served.traffic), (&plan.shadow(), &plan.initial_split()));
    }
    traffic_is_what_was_decided(&plan, &entries, &served.traffic);
    let epoch = entries.last().map_or(0, |entry| entry.state.epoch);
    assert!(epoch >= heard.epoch, "{} was said, the journal is at {epoch}", heard.epoch);
    // The first revision is that of the split before the rollout.
    let decided = decisions(&entries).len() as u64;
    assert!(served.revision <= 1 + decided, "{} revisions of {decided} decisions", served.revision);
    let report = store.verify().await.unwrap();
    assert!(report.is_sound(), "{report:?}");
}

/// The changes of traffic and mirror that were decided, in order, each once.
fn decisions(entries: &[JournalEntry]) -> Vec<TrafficIntent> {
    let mut decided: Vec<TrafficIntent> = Vec::new();
    for intent in entries.iter().filter_map(|entry| entry.state.intent.as_ref()) {
        if decided.last().is_none_or(|last| last.epoch != intent.epoch) {
            decided.push(intent.clone());
        }
    }
    decided
}

fn traffic_is_what_was_decided(plan: &RolloutPlan, entries: &[JournalEntry], served: &TrafficSplit) {
    let of_traffic = decisions(entries).into_iter().filter(|intent| intent.mirror.is_none());
    let decided: Vec<_> = of_traffic.map(|intent| intent.split).collect();
    let before = decided.iter().rev().nth(1).cloned().unwrap_or_else(|| plan.initial_split());
    let last = decided.last().cloned().unwrap_or_else(|| plan.initial_split());
    let under_way = entries.last().is_some_and(|entry| entry.state.intent.is_some());
    assert!(
        *served == last || (under_way && *served == before),
        "{served}, decided was {last} after {before}"
    );
    // Up one step at a time.
    let place = |split: &TrafficSplit| {
        (0..plan.steps().len()).find(|step| plan.split(*step) == *split).map_or(0, |step| step + 1)
    };
    let places: Vec<_> = [0].into_iter().chain(decided.iter().map(place)).collect();
    assert!(places.windows(2).all(|pair| pair[1] <= pair[0] + 1), "{places:?}");
}

#[test]
fn a_rollout_killed_at_any_moment_ends_as_one_that_was_not() {
    let kills = std::env::var("MLOPS_CRASH_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(50_u64);
    let mut random = Random::new(2026);
    let (mut done, mut rollouts, mut under_way, mut in_shadow) = (0, 0, 0, 0);
    while done < kills {
        let number = rollouts % KINDS.len();
        let kind = KINDS[number];
        rollouts += 1;
        let dir = tempfile::tempdir().unwrap();
        wait(set_up(dir.path()));
        let mut heard = Heard::default();
        while !heard.ended && done < kills {
            // The shadow is at the beginning: there one is killed more often.
            let early = kind.shadow && random.below(NonZeroU64::new(2).unwrap()) == 0;
            let most = if early { 3 } else { 9 };
            let lines = random.below(NonZeroU64::new(most).unwrap());
            let moment = Duration::from_micros(random.below(NonZeroU64::new(9_000).unwrap()));
            kill(dir.path(), number, lines, moment, &mut heard);
            done += u64::from(!heard.ended);
            wait(check(dir.path(), kind, &heard));
            if let Some(state) = wait(standing(dir.path(), kind)) {
                under_way += u64::from(state.intent.is_some() && !state.phase.is_terminal());
                in_shadow += u64::from(state.mirrored);
            }
        }
        let phase = wait(drive(dir.path(), kind, Duration::ZERO));
        wait(check(dir.path(), kind, &heard));
        let served = wait(deployer(&LocalStore::open(dir.path()).unwrap()).endpoint(&endpoint())).unwrap();
        let end = if kind.bad_from.is_some() { name("blue") } else { name("green") };
        assert_eq!(served.traffic, TrafficSplit::all_to(end), "rollout {rollouts}, {kind:?}: {phase}");
        assert_eq!(served.mirror, None, "rollout {rollouts}, {kind:?}: {phase}");
        let promoted = matches!(phase, Phase::Promoted);
        assert_eq!(promoted, kind.bad_from.is_none(), "rollout {rollouts}, {kind:?}: {phase}");
    }
    println!(
        "{done} kills over {rollouts} rollouts, {under_way} with a change under way, {in_shadow} in the shadow"
    );
}

async fn standing(folder: &Path, kind: Kind) -> Option<RolloutState> {
    let entries = LocalStore::open(folder).unwrap().rollouts();
    let mut entries = entries.entries(&plan(kind).digest().unwrap()).await.unwrap();
    entries.pop().map(|entry| entry.state)
}

#[test]
fn traffic_that_nobody_decided_would_be_noticed() {
    let dir = tempfile::tempdir().unwrap();
    wait(set_up(dir.path()));
    wait(drive(dir.path(), KINDS[0], Duration::ZERO));
    let entries = LocalStore::open(dir.path()).unwrap().rollouts();
    let plan = plan(KINDS[0]);
    let entries = wait(entries.entries(&plan.digest().unwrap())).unwrap();
    assert!(matches!(entries[0].event, Event::Started(_)));
    traffic_is_what_was_decided(&plan, &entries, &TrafficSplit::all_to(name("green")));
    let noticed = |entries: &[JournalEntry], split: TrafficSplit| {
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            traffic_is_what_was_decided(&plan, entries, &split)
        }))
        .is_err()
    };
    assert!(noticed(&entries, TrafficSplit::all_to(name("blue"))));
    // A step left out.
    let mut gap = entries.clone();
    gap.retain(|entry| entry.state.intent.as_ref().is_none_or(|intent| intent.split != plan.split(3)));
    assert!(noticed(&gap, TrafficSplit::all_to(name("green"))));
}
