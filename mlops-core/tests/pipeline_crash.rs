//! What a pipeline keeps when its process is killed, and what two processes do that run the same.
//!
//! A child process (this program again) runs a pipeline on a folder and says on its standard output which steps begin and end. It
//! is killed with SIGKILL at random moments, and another one resumes its run, until the run has ended. After each kill the parent
//! holds the folder against the invariants:
//! * no step runs again after its success was written down, by the journal and by what the steps themselves left in a file;
//! * no record of the cache refers to content that is not there or not what it should be;
//! * the outputs of a run that ended are those of a run that was not killed, and every step ran.
//!
//! `MLOPS_CRASH_KILLS` says how many kills there are (default 50).

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::OpenOptions;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use mlops_core::artifact::GcOptions;
use mlops_core::hash::Digest;
use mlops_core::id::{ComponentName, ComponentVersion, PortName, StepName};
use mlops_core::local::LocalStore;
use mlops_core::num::Random;
use mlops_core::pipeline::{
    Backends, Cancel, Component, Components, ExecutorOptions, ParamSpec, Pipeline, PipelineEvent,
    PipelineExecutor, PipelineJournal as _, PipelineReport, PipelineSpec, PipelineState, PipelineStatus,
    PortType, RunOptions, StepCache as _, StepContext, StepRetry, StepSpec, StepState, VerifyPolicy, verify,
};
use mlops_core::time::{SystemClock, TokioPause};
use mlops_core::{ErrorKind, RunId};

use common::wait;

fn port(name: &str) -> PortName {
    PortName::new(name).unwrap()
}

fn step(name: &str) -> StepName {
    StepName::new(name).unwrap()
}

fn component(name: &str) -> Component {
    let version = ComponentVersion::new("1").unwrap();
    Component::new(ComponentName::new(name).unwrap(), version, Digest::of(name.as_bytes()))
        .with_optional_input(port("a"), PortType::UriFile)
        .with_optional_input(port("b"), PortType::UriFile)
        .with_output(port("out"), PortType::UriFile)
        .with_parameter(port("n"), ParamSpec::integer(None, None))
}

/// Ten steps in diamonds: `s0`, then pairs that wait for what came before, then one of a component that is not deterministic.
fn spec() -> PipelineSpec {
    let work = component("work").reference();
    let mut spec = PipelineSpec::new(ComponentName::new("crash").unwrap());
    let retry = StepRetry::default().with_preemptions(1000);
    for i in 0..10_i64 {
        let mut one = StepSpec::new(step(&format!("s{i}")), work.clone())
            .with_parameter(port("n"), i)
            .with_retry(retry);
        for (name, before) in [("a", i - 2), ("b", i - 3)] {
            if before >= 0 {
                one = one.with_input_from(port(name), step(&format!("s{before}")), port("out"));
            }
        }
        spec = spec.with_step(one);
    }
    let roll = StepSpec::new(step("roll"), component("roll").reference()).with_parameter(port("n"), 100_i64);
    spec.with_step(roll.with_input_from(port("a"), step("s4"), port("out")).with_retry(retry))
}

/// The code: it says that it begins, leaves that it did in a file, works for a moment with a checkpoint in its middle, and digests
/// what goes in.
fn components(folder: &Path, pace: Duration) -> Components {
    let mut components = Components::new();
    for name in ["work", "roll"] {
        let described = component(name).with_is_deterministic(name == "work");
        let trace = folder.join("trace");
        components = components
            .with_fn(described, move |context: StepContext| {
                let trace = trace.clone();
                async move {
                    leave(&trace, context.step().as_str());
                    say(&format!("begin {}", context.step()));
                    let half = context.checkpoint().await?;
                    if half.is_none() {
                        tokio::time::sleep(pace).await;
                        context.save_checkpoint(context.step().as_str().as_bytes().to_vec()).await?;
                    } else {
                        assert_eq!(half.as_deref(), Some(context.step().as_str().as_bytes()));
                    }
                    tokio::time::sleep(pace).await;
                    let mut text = format!("{}\n", context.integer("n")?);
                    for name in context.inputs().keys() {
                        let bytes = context.read(name.as_str(), 1 << 20).await?;
                        text.push_str(&format!("{name} {}\n", Digest::of(&bytes)));
                    }
                    context.write("out", text.into_bytes()).await?;
                    say(&format!("end {}", context.step()));
                    Ok(())
                }
            })
            .unwrap();
    }
    components
}

/// One line, by one write, which the kernel has when it returns.
fn leave(trace: &Path, step: &str) {
    let mut file = OpenOptions::new().create(true).append(true).open(trace).unwrap();
    file.write_all(format!("{step}\n").as_bytes()).unwrap();
}

fn say(line: &str) {
    let mut out = std::io::stdout();
    let _ = out.write_all(format!("\nack {line}\n").as_bytes());
    let _ = out.flush();
}

fn executor(folder: &Path, store: &LocalStore, pace: Duration) -> (PipelineExecutor, Pipeline) {
    let components = components(folder, pace);
    let pipeline = Pipeline::new(spec(), &components).unwrap();
    let backends = Backends::new(
        Arc::new(store.artifacts()),
        Arc::new(store.step_cache()),
        Arc::new(store.pipelines()),
        Arc::new(SystemClock::new()),
        Arc::new(TokioPause),
    );
    let options = ExecutorOptions::default().with_parallelism(3);
    (PipelineExecutor::new(backends, components).with_options(options), pipeline)
}

// ── the child ───────────────────────────────────────────────────────────────────────────────────────────────────────────

/// Begins the run it is told, or resumes it where somebody began it.
#[test]
fn child() {
    let Ok(folder) = std::env::var("MLOPS_PIPELINE_FOLDER") else { return };
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let pace = Duration::from_millis(number("MLOPS_PIPELINE_PACE").unwrap());
    let run = RunId::new(std::env::var("MLOPS_PIPELINE_RUN").unwrap()).unwrap();
    let folder = Path::new(&folder);
    let report = wait(async {
        let store = LocalStore::open(folder.join("store")).unwrap();
        let (executor, pipeline) = executor(folder, &store, pace);
        say("open");
        if store.pipelines().entries(&run).await.unwrap().is_empty() {
            executor.run(&pipeline, &RunOptions::new().with_run(run)).await.unwrap()
        } else {
            executor.resume(&pipeline, &run, &Cancel::new()).await.unwrap()
        }
    });
    assert!(report.is_success(), "{report}");
    say("done");
}

fn command(folder: &Path, run: &RunId, pace: u64) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["child", "--exact", "--nocapture", "--test-threads=1"])
        .env("MLOPS_PIPELINE_FOLDER", folder)
        .env("MLOPS_PIPELINE_RUN", run.as_str())
        .env("MLOPS_PIPELINE_PACE", pace.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Runs a child until it has said so many lines and a moment more, and kills it; whether it was done before.
fn run_and_kill(folder: &Path, run: &RunId, lines: u64, moment: Duration) -> bool {
    let mut child = command(folder, run, 1).spawn().unwrap();
    let heard = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let mut said = heard.filter(|line| line.starts_with("ack ") && line != "ack open");
    let mut done = false;
    for _ in 0..lines {
        match said.next() {
            Some(line) if line == "ack done" => done = true,
            Some(_) => {}
            None => break,
        }
    }
    if !done {
        std::thread::sleep(moment);
        child.kill().unwrap();
        done = said.any(|line| line == "ack done");
    }
    child.wait().unwrap();
    done
}

// ── the invariants ──────────────────────────────────────────────────────────────────────────────────────────────────────

fn trace(folder: &Path) -> BTreeMap<String, usize> {
    let text = std::fs::read_to_string(folder.join("trace")).unwrap_or_default();
    text.lines().fold(BTreeMap::new(), |mut counts, line| {
        *counts.entry(line.to_owned()).or_default() += 1;
        counts
    })
}

/// How often each step had begun when its success was first seen in the journal.
type Settled = BTreeMap<String, usize>;

fn check(folder: &Path, run: &RunId, settled: &mut Settled) -> Option<PipelineState> {
    let store = LocalStore::open(folder.join("store")).unwrap();
    for component in ["work", "roll"] {
        let component = ComponentName::new(component).unwrap();
        for record in wait(store.step_cache().recent(&component, 1000)).unwrap() {
            let damage = wait(verify(&record, VerifyPolicy::Always, &store.artifacts())).unwrap();
            assert_eq!(damage, None, "a record of {} dangles", record.step);
        }
    }
    check_run(folder, &store, run, settled)
}

/// What holds whatever becomes of the records of the cache.
fn check_run(folder: &Path, store: &LocalStore, run: &RunId, settled: &mut Settled) -> Option<PipelineState> {
    let entries = wait(store.pipelines().entries(run)).unwrap();
    // Once a success is written down, nothing else is about that step.
    let mut over = BTreeSet::new();
    for entry in &entries {
        if let Some(step) = entry.event.step() {
            assert!(!over.contains(step), "entry {}: {:?} after its success", entry.sequence, entry.event);
        }
        if let PipelineEvent::Succeeded { step, .. } | PipelineEvent::Reused { step, .. } = &entry.event {
            over.insert(step.clone());
        }
    }
    let ran = trace(folder);
    for step in &over {
        let count = ran[step.as_str()];
        let before = *settled.entry(step.to_string()).or_insert(count);
        assert_eq!(count, before, "step {step} ran after its success was written down");
    }
    let report = wait(store.verify()).unwrap();
    assert!(report.is_sound(), "{report:?}");
    match PipelineState::replay(&entries) {
        Ok(state) => Some(state),
        Err(e) if e.kind() == ErrorKind::NotFound => None,
        Err(e) => panic!("{e}"),
    }
}

fn outputs(state: &PipelineState) -> BTreeMap<String, Digest> {
    let digest = |state: &StepState| state.outputs().map(|outputs| outputs["out"].digest);
    state.steps().filter_map(|(name, step)| Some((name.to_string(), digest(&step.state)?))).collect()
}

/// A run that nobody kills.
fn unkilled() -> BTreeMap<String, Digest> {
    let dir = tempfile::tempdir().unwrap();
    let run = RunId::generate();
    let report: PipelineReport = wait(async {
        let store = LocalStore::open(dir.path().join("store")).unwrap();
        let (executor, pipeline) = executor(dir.path(), &store, Duration::from_millis(1));
        executor.run(&pipeline, &RunOptions::new().with_run(run.clone())).await.unwrap()
    });
    assert_eq!(report.succeeded(), 11);
    outputs(&check(dir.path(), &run, &mut Settled::new()).unwrap())
}

#[test]
fn a_run_that_is_killed_at_any_moment_goes_on_to_the_same_end() {
    let kills = std::env::var("MLOPS_CRASH_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(50_u64);
    let expected = unkilled();
    assert_eq!(expected.len(), 11);
    let mut random = Random::new(2026).stream("pipeline kills");
    let below = |random: &mut Random, bound: u64| random.below(bound.try_into().unwrap());
    let (mut killed, mut in_the_middle, mut resumed, mut runs) = (0, 0, 0, 0);
    while killed < kills {
        let dir = tempfile::tempdir().unwrap();
        let (run, mut settled) = (RunId::generate(), Settled::new());
        runs += 1;
        loop {
            // The last run of all is let go on to its end.
            let lines = if killed >= kills { 1_000 } else { below(&mut random, 8) };
            let moment = Duration::from_micros(below(&mut random, 4_000));
            let done = run_and_kill(dir.path(), &run, lines, moment);
            let state = check(dir.path(), &run, &mut settled);
            killed += u64::from(!done);
            let half = |state: &PipelineState| {
                state.steps().any(|(_, step)| matches!(step.state, StepState::Running { .. }))
            };
            in_the_middle += u64::from(!done && state.as_ref().is_some_and(half));
            let Some(state) = state.filter(|state| state.status() != PipelineStatus::Running) else {
                continue;
            };
            assert_eq!(state.status(), PipelineStatus::Succeeded);
            assert_eq!(outputs(&state), expected);
            assert_eq!(trace(dir.path()).len(), 11, "every step ran");
            resumed += state.resumed();
            break;
        }
    }
    println!("{killed} kills in {runs} runs, {in_the_middle} with a step at work, {resumed} resumptions");
    assert!(in_the_middle > kills / 4, "only {in_the_middle} of {killed} kills hit a step at work");
}

/// Between a kill and the resumption everything is collected that nothing refers to, however young it is.
#[test]
fn a_run_that_is_killed_goes_on_after_its_garbage_was_collected() {
    let kills = std::env::var("MLOPS_CRASH_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(50_u64) / 2;
    let expected = unkilled();
    let mut random = Random::new(2026).stream("pipeline kills and garbage");
    let below = |random: &mut Random, bound: u64| random.below(bound.try_into().unwrap());
    let (mut killed, mut runs, mut removed, mut checkpoints) = (0, 0, 0, 0);
    while killed < kills {
        let dir = tempfile::tempdir().unwrap();
        let (run, mut settled) = (RunId::generate(), Settled::new());
        runs += 1;
        loop {
            let lines = if killed >= kills { 1_000 } else { below(&mut random, 8) };
            let moment = Duration::from_micros(below(&mut random, 4_000));
            killed += u64::from(!run_and_kill(dir.path(), &run, lines, moment));
            let store = LocalStore::open(dir.path().join("store")).unwrap();
            let state = check_run(dir.path(), &store, &run, &mut settled);
            if let Some(state) = &state {
                checkpoints += state.steps().filter(|(_, step)| step.checkpoint.is_some()).count();
            }
            let Some(state) = state.filter(|state| state.status() != PipelineStatus::Running) else {
                removed += wait(store.collect_garbage(&GcOptions::default())).unwrap().removed.len();
                continue;
            };
            assert_eq!(state.status(), PipelineStatus::Succeeded);
            assert_eq!(outputs(&state), expected);
            assert_eq!(trace(dir.path()).len(), 11, "every step ran");
            break;
        }
    }
    println!("{killed} kills in {runs} runs, {removed} blobs collected");
    assert!(checkpoints > 0);
}

#[test]
fn the_check_notices_what_it_is_for() {
    let dir = tempfile::tempdir().unwrap();
    let run = RunId::generate();
    assert!(run_and_kill(dir.path(), &run, 1_000, Duration::ZERO));
    let mut settled = Settled::new();
    let state = check(dir.path(), &run, &mut settled).unwrap();
    assert_eq!((settled.len(), state.status()), (11, PipelineStatus::Succeeded));
    let noticed = |settled: &Settled| {
        let mut settled = settled.clone();
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            check(dir.path(), &run, &mut settled).is_some()
        }))
        .is_err()
    };
    assert!(!noticed(&settled));
    // A step that runs once more.
    leave(&dir.path().join("trace"), "s3");
    assert!(noticed(&settled));
    // A record whose content is gone.
    let hex = outputs(&state)["s3"].hex();
    std::fs::remove_file(dir.path().join("store/cas/sha256").join(&hex[..2]).join(&hex[2..])).unwrap();
    assert!(noticed(&Settled::new()));
}

#[test]
fn of_two_processes_that_run_the_same_each_step_runs_once() {
    let dir = tempfile::tempdir().unwrap();
    drop(LocalStore::open(dir.path().join("store")).unwrap());
    let start = |_| command(dir.path(), &RunId::generate(), 15).spawn().unwrap();
    let children: Vec<_> = (0..2).map(start).collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let ran = trace(dir.path());
    assert_eq!(ran.len(), 11);
    for (step, count) in ran {
        // What is not deterministic is made by each for itself.
        assert_eq!(count, if step == "roll" { 2 } else { 1 }, "step {step}");
    }
}
