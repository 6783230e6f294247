//! A sweep that is killed with SIGKILL, again and again, ends as one that was not.
//!
//! A child process (this program again) runs a sweep on a store and is killed at a random moment; then another one goes on. What
//! every report was answered is said on the child's standard output, so that a value that was acknowledged and then forgotten
//! would be noticed.
//!
//! `MLOPS_CRASH_KILLS` says how many kills there are (default 50).

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::num::NonZeroU64;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use mlops_core::experiment::sampler::{Goal, SamplerSpec, TpeOptions};
use mlops_core::experiment::space::{Distribution, SearchSpace};
use mlops_core::experiment::stopping::{Bandit, Slack};
use mlops_core::experiment::sweep::{
    Budget, Sweep, SweepEvent, SweepJournal as _, SweepSpec, SweepState, TrialContext, TrialError,
    TrialPhase, verify_suggestions,
};
use mlops_core::experiment::{ExperimentTracker as _, ExperimentTrackerExt as _, RunQuery};
use mlops_core::local::LocalStore;
use mlops_core::num::Random;
use mlops_core::{ActorId, ExperimentName, MetricKey, PageRequest};

const TRIALS: u64 = 40;

fn spec() -> SweepSpec {
    let space = SearchSpace::new([("x", Distribution::float(-2.0, 2.0))]).unwrap();
    let (experiment, actor) = (ExperimentName::new("crash").unwrap(), ActorId::new("crash").unwrap());
    let metric = MetricKey::new("loss").unwrap();
    let sampler = SamplerSpec::Tpe(TpeOptions::default());
    SweepSpec::new(experiment, "killed", actor, metric, Goal::Minimize, space, sampler)
        .with_seed(8)
        .with_stopping(Bandit::new(Slack::Amount(0.5)).unwrap())
        // However often it is killed, no trial is given up.
        .with_budget(Budget::trials(TRIALS).with_attempts(u32::MAX))
}

fn say(line: &str) {
    if std::env::var_os("MLOPS_CRASH_FOLDER").is_none() {
        return;
    }
    let mut out = std::io::stdout();
    // One write for each line: what is heard was said as a whole.
    let _ = out.write_all(format!("\nack {line}\n").as_bytes());
    let _ = out.flush();
}

async fn train(trial: TrialContext) -> Result<f64, TrialError> {
    let x = trial.assignment().float("x")?;
    let mut random = trial.random();
    let mut loss = f64::NAN;
    for epoch in 1..=6 {
        loss = x * x + random.next_f64() / epoch as f64;
        let signal = trial.report(epoch, loss).await?;
        say(&format!("{} {epoch} {}", trial.number(), loss.to_bits()));
        if signal.is_stop() {
            break;
        }
        // Most kills should strike at work.
        std::thread::sleep(Duration::from_micros(200));
    }
    Ok(loss)
}

fn sweep(store: &LocalStore) -> Sweep {
    Sweep::new(spec(), Arc::new(store.sweeps())).unwrap().with_tracker(Arc::new(store.tracker()))
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
}

#[test]
fn child() {
    let Ok(folder) = std::env::var("MLOPS_CRASH_FOLDER") else { return };
    let store = LocalStore::open(Path::new(&folder)).unwrap();
    let summary = block_on(sweep(&store).run(train)).unwrap();
    assert_eq!(summary.tracker_problem, None);
    say("end");
}

fn command(folder: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["child", "--exact", "--nocapture", "--test-threads=1"])
        .env("MLOPS_CRASH_FOLDER", folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// What was acknowledged: of each trial and step the value.
type Heard = BTreeMap<(u64, u64), u64>;

fn hear(heard: &mut Heard, line: &str) -> bool {
    let Some(line) = line.strip_prefix("ack ") else { return false };
    if line == "end" {
        return true;
    }
    let numbers: Vec<u64> = line.split(' ').map(|word| word.parse().unwrap()).collect();
    let [trial, step, bits] = numbers[..] else { panic!("the child said {line:?}") };
    let before = heard.insert((trial, step), bits);
    assert!(before.is_none_or(|before| before == bits), "trial {trial} gave another value at step {step}");
    false
}

/// Runs a child, kills it after so many lines and a moment more; whether it came to the end of the sweep.
fn kill(folder: &Path, lines: u64, moment: Duration, heard: &mut Heard) -> bool {
    let mut child = command(folder).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let (mut line, mut said, mut ended) = (String::new(), 0, false);
    while said < lines && out.read_line(&mut line).unwrap() > 0 {
        said += u64::from(line.starts_with("ack "));
        ended |= hear(heard, line.trim_end());
        line.clear();
    }
    std::thread::sleep(moment);
    child.kill().unwrap();
    let mut rest = Vec::new();
    out.read_to_end(&mut rest).unwrap();
    let mut faults = String::new();
    child.stderr.take().unwrap().read_to_string(&mut faults).unwrap();
    child.wait().unwrap();
    assert!(!faults.contains("panicked"), "{faults}");
    // The last line may be cut off: what was not said to its end was not said.
    let whole = rest.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
    for line in String::from_utf8_lossy(&rest[..whole]).lines() {
        ended |= hear(heard, line);
    }
    ended
}

fn state(store: &LocalStore) -> SweepState {
    block_on(sweep(store).state()).unwrap().unwrap()
}

/// Everything that was acknowledged is in the journal.
fn nothing_is_forgotten(store: &LocalStore, heard: &Heard) {
    if heard.is_empty() {
        return;
    }
    let state = state(store);
    for ((trial, step), bits) in heard {
        let reports = &state.reports()[usize::try_from(*trial).unwrap()].reports;
        let value = reports.at_step(*step).map(|report| report.value.to_bits());
        assert_eq!(value, Some(*bits), "trial {trial}, step {step}");
    }
}

fn shape(state: &SweepState) -> Vec<String> {
    let trials = state.trials().iter().zip(state.reports());
    trials
        .map(|(trial, reports)| {
            let assignment = state.assignment(trial.number).unwrap();
            format!("{} {assignment} {:?} {:?}", trial.number, trial.phase, reports.reports)
        })
        .collect()
}

#[test]
fn a_sweep_killed_at_any_moment_ends_as_one_that_was_not() {
    let kills = std::env::var("MLOPS_CRASH_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(50_u64);
    let dir = tempfile::tempdir().unwrap();
    let calm = LocalStore::open(dir.path()).unwrap();
    block_on(sweep(&calm).run(train)).unwrap();
    let expected = shape(&state(&calm));
    let pruned = state(&calm).trials().iter().filter(|t| matches!(t.phase, TrialPhase::Pruned(_))).count();
    assert!(pruned > 5, "{pruned}");

    let mut random = Random::new(2026);
    let (mut done, mut sweeps, mut losses) = (0, 0, 0);
    while done < kills {
        sweeps += 1;
        let dir = tempfile::tempdir().unwrap();
        let mut heard = Heard::new();
        // Some are killed while they open the store, most at work, a few at the end.
        let mut ended = false;
        while !ended && done < kills {
            let lines = random.below(NonZeroU64::new(24).unwrap());
            let moment = Duration::from_micros(random.below(NonZeroU64::new(1500).unwrap()));
            ended = kill(dir.path(), lines, moment, &mut heard);
            done += u64::from(!ended);
            nothing_is_forgotten(&LocalStore::open(dir.path()).unwrap(), &heard);
        }
        let store = LocalStore::open(dir.path()).unwrap();
        block_on(sweep(&store).run(train)).unwrap();
        let state = state(&store);
        assert_eq!(shape(&state), expected, "sweep {sweeps}");
        losses += state.trials().iter().map(|trial| trial.losses).sum::<u32>();
        every_trial_is_one_run(&store, &state);
        let entries = block_on(store.sweeps().entries(&spec().id(), 0)).unwrap();
        assert_eq!(verify_suggestions(&entries, &*spec().sampler.build().unwrap()).unwrap(), TRIALS);
        let asked = entries.iter().filter(|entry| matches!(entry.event, SweepEvent::Asked { .. })).count();
        assert_eq!(asked as u64, TRIALS);
        let report = block_on(store.verify()).unwrap();
        assert!(report.is_sound(), "{report:?}");
    }
    println!("{done} kills over {sweeps} sweeps; {losses} attempts were lost and made again");
    assert!(losses > 0);
}

/// Every trial has one run within the sweep's, with its values, ended as the trial.
fn every_trial_is_one_run(store: &LocalStore, state: &SweepState) {
    let (tracker, spec) = (store.tracker(), spec());
    let page = PageRequest::first(PageRequest::MAX_LIMIT);
    let runs = block_on(tracker.search_runs(&RunQuery::everywhere().with_page(page))).unwrap().items;
    assert_eq!(runs.len() as u64, TRIALS + 1);
    for trial in state.trials() {
        let run = block_on(tracker.run(&spec.trial_run(trial.number))).unwrap();
        assert!(run.status.is_final() && run.parent == Some(spec.id()));
        let x = state.assignment(trial.number).unwrap().get("x").unwrap();
        assert_eq!(run.params.get("x"), Some(&x.to_string()));
        let history = block_on(tracker.full_history(&run.id, &spec.metric)).unwrap();
        let expected: Vec<_> =
            state.reports()[usize::try_from(trial.number).unwrap()].reports.iter().collect();
        let found: Vec<_> = history.iter().map(|point| (point.step, point.value.to_bits())).collect();
        let expected: Vec<_> =
            expected.iter().map(|r| (i64::try_from(r.step).unwrap(), r.value.to_bits())).collect();
        assert_eq!(found, expected, "trial {}", trial.number);
    }
}

#[test]
fn a_value_that_was_forgotten_would_be_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let store = LocalStore::open(dir.path()).unwrap();
    block_on(sweep(&store).run(train)).unwrap();
    let mut heard = Heard::new();
    let first = state(&store).reports()[0].reports.at(1).unwrap();
    heard.insert((0, first.step), first.value.to_bits());
    nothing_is_forgotten(&store, &heard);
    heard.insert((0, 99), first.value.to_bits());
    assert!(std::panic::catch_unwind(AssertUnwindSafe(|| nothing_is_forgotten(&store, &heard))).is_err());
}
