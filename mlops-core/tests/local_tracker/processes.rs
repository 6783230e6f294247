//! Many processes, killed ones, and a full disk. Other processes are this program again, with a part to play.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use mlops_core::ErrorKind;
use mlops_core::experiment::{
    ExperimentTracker as _, ExperimentTrackerExt as _, RunEnd, RunQuery, RunStatus,
};
use mlops_core::local::{LocalStore, LoggerOptions};
use mlops_core::time::{Clock as _, ManualClock, SystemClock};
use mlops_core::{PageRequest, RunId};

use super::support::{block, history, journals, key, open, start};

const PART: &str = "MLOPS_TEST_PART";
const FOLDER: &str = "MLOPS_TEST_FOLDER";
const COUNT: &str = "MLOPS_TEST_COUNT";

/// A process with a part to play.
struct Actor {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Actor {
    fn start(part: &str, folder: &Path, count: usize) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["processes::plays_its_part", "--exact", "--nocapture", "--test-threads=1"])
            .env(PART, part)
            .env(FOLDER, folder)
            .env(COUNT, count.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (input, output) = (process.stdin.take().unwrap(), process.stdout.take().unwrap());
        Self { process, input, output: BufReader::new(output) }
    }

    fn cue(&mut self) {
        self.input.write_all(b"go\n").unwrap();
    }

    /// What it says next.
    fn line(&mut self) -> String {
        loop {
            let mut line = String::new();
            assert!(self.output.read_line(&mut line).unwrap() > 0, "the other process is gone");
            if let Some((_, said)) = line.split_once("says: ") {
                return said.trim().to_owned();
            }
        }
    }

    fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    fn end(mut self) {
        drop(self.input);
        assert!(self.process.wait().unwrap().success());
    }
}

fn say(text: &str) {
    let mut out = std::io::stdout();
    writeln!(out, "\nsays: {text}").unwrap();
    out.flush().unwrap();
}

fn wait_for_cue() {
    std::io::stdin().read_line(&mut String::new()).unwrap();
}

/// Plays a part in a test, when started by one; passes otherwise.
#[test]
fn plays_its_part() {
    let Ok(part) = std::env::var(PART) else { return };
    let folder = std::env::var(FOLDER).unwrap();
    let count: usize = std::env::var(COUNT).unwrap().parse().unwrap();
    match part.as_str() {
        "logger" => logs_and_waits(folder.as_ref(), count),
        "opener" => opens(folder.as_ref()),
        "writer" => writes(folder.as_ref(), count),
        other => panic!("no such part: {other}"),
    }
}

fn value(step: i64) -> f64 {
    (step as f64).sqrt()
}

fn logs_and_waits(folder: &Path, count: usize) {
    let store = open(folder);
    let run = start(&store.tracker());
    let logger = store.tracker().logger(&run, LoggerOptions::default()).unwrap();
    let (even, odd) = (logger.handle(&key("even")), logger.handle(&key("odd")));
    for step in 0..i64::try_from(count).unwrap() {
        logger.metric(if step % 2 == 0 { &even } else { &odd }, value(step), step);
    }
    let report = logger.status();
    assert_eq!((report.accepted, report.in_memory), (count as u64, 0));
    say(run.as_str());
    wait_for_cue();
}

fn opens(folder: &Path) {
    say("ready");
    wait_for_cue();
    let store = open(folder);
    assert!(store.recovery().is_whole());
    say(&store.recovery().points().to_string());
    wait_for_cue();
}

fn writes(folder: &Path, count: usize) {
    say("ready");
    wait_for_cue();
    let store = open(folder);
    let tracker = store.tracker();
    let run = start(&tracker);
    let at = SystemClock::new().now();
    let count = i64::try_from(count).unwrap();
    for step in 0..count / 2 {
        block(tracker.log_metric(&run, key("written"), value(step), step, at)).unwrap();
    }
    let logger = tracker.logger(&run, LoggerOptions::default()).unwrap();
    for step in count / 2..count {
        logger.metric(&key("logged"), value(step), step);
    }
    assert!(logger.finish(&RunEnd::FINISHED).unwrap().is_complete());
    say(run.as_str());
}

/// What a killed process logged is there, each value once.
fn killed_after(count: usize) {
    let folder = tempfile::tempdir().unwrap();
    let mut logger = Actor::start("logger", folder.path(), count);
    let run = RunId::new(logger.line()).unwrap();
    logger.kill();
    let store = open(folder.path());
    assert!(store.recovery().is_whole(), "{:?}", store.recovery());
    let tracker = store.tracker();
    let mut points = history(&tracker, &run, "even");
    points.extend(history(&tracker, &run, "odd"));
    points.sort_by_key(|point| point.step);
    assert_eq!(points.len(), count);
    for (step, point) in (0..).zip(&points) {
        assert_eq!((point.step, point.value.to_bits()), (step, value(step).to_bits()));
    }
    drop((tracker, store));
    assert!(journals(folder.path()).is_empty());
    // Nobody renews its lease any more.
    let later = SystemClock::new().now() + Duration::from_secs(3600);
    let clock = std::sync::Arc::new(ManualClock::at(later));
    let store = LocalStore::options().with_clock(clock).open(folder.path()).unwrap();
    assert_eq!(block(store.tracker().run(&run)).unwrap().status, RunStatus::Killed);
}

#[test]
fn a_kill_loses_none_of_2_000_values() {
    killed_after(2_000);
}

#[test]
fn a_kill_loses_none_of_200_000_values() {
    killed_after(200_000);
}

#[test]
fn of_many_that_open_at_once_one_replays() {
    let folder = tempfile::tempdir().unwrap();
    let mut logger = Actor::start("logger", folder.path(), 20_000);
    let run = RunId::new(logger.line()).unwrap();
    let before = {
        // What it committed itself, before it dies.
        let store = open(folder.path());
        history(&store.tracker(), &run, "even").len() + history(&store.tracker(), &run, "odd").len()
    };
    logger.kill();
    let mut openers: Vec<Actor> = (0..4).map(|_| Actor::start("opener", folder.path(), 0)).collect();
    openers.iter_mut().for_each(|actor| assert_eq!(actor.line(), "ready"));
    openers.iter_mut().for_each(Actor::cue);
    let replayed: Vec<u64> = openers.iter_mut().map(|actor| actor.line().parse().unwrap()).collect();
    assert!(replayed.iter().filter(|points| **points > 0).count() <= 1, "{replayed:?}");
    assert!(before as u64 + replayed.iter().sum::<u64>() <= 20_000);
    openers.into_iter().for_each(Actor::end);
    let tracker = open(folder.path()).tracker();
    assert_eq!(history(&tracker, &run, "even").len() + history(&tracker, &run, "odd").len(), 20_000);
}

#[test]
fn eight_processes_make_one_store_and_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("fresh");
    let mut writers: Vec<Actor> = (0..8).map(|_| Actor::start("writer", &folder, 200)).collect();
    writers.iter_mut().for_each(|actor| assert_eq!(actor.line(), "ready"));
    writers.iter_mut().for_each(Actor::cue);
    let mut runs: Vec<RunId> = writers.iter_mut().map(|actor| RunId::new(actor.line()).unwrap()).collect();
    writers.into_iter().for_each(Actor::end);
    let store = open(&folder);
    assert!(store.recovery().journals.is_empty());
    let tracker = store.tracker();
    for run in &runs {
        for (name, steps) in [("written", 0..100), ("logged", 100..200)] {
            let points = history(&tracker, run, name);
            let found: Vec<_> = points.iter().map(|p| (p.step, p.value.to_bits())).collect();
            assert_eq!(found, steps.map(|step| (step, value(step).to_bits())).collect::<Vec<_>>());
        }
        assert_eq!(block(tracker.run(run)).unwrap().status, RunStatus::Finished);
    }
    runs.sort();
    runs.dedup();
    let found =
        block(tracker.search_runs(&RunQuery::everywhere().with_page(PageRequest::first(100)))).unwrap();
    assert_eq!((runs.len(), found.items.len()), (8, 8));
    assert_eq!(block(tracker.experiments(&PageRequest::first(10))).unwrap().items.len(), 1);
}

/// A file system with little room.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=6m", "tmpfs"])
            .arg(folder.path())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success());
        mounted.then_some(Self(folder))
    }

    /// Takes all the room there is.
    fn fill(&self) {
        let mut file = std::fs::File::create(self.0.path().join("filler")).unwrap();
        for size in [1 << 16, 1 << 12, 1 << 8, 1] {
            while file.write_all(&vec![0; size]).is_ok() {}
        }
    }

    fn free(&self) {
        std::fs::remove_file(self.0.path().join("filler")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("--lazy").arg(self.0.path()).status());
    }
}

#[test]
fn a_full_disk_is_reported_and_survived() {
    let Some(disk) = SmallDisk::mount() else {
        eprintln!("skipped: no small file system can be mounted here");
        return;
    };
    let store = open(&disk.0.path().join(".mlops"));
    let tracker = store.tracker();
    let run = start(&tracker);
    let options = LoggerOptions::default().with_lease(None).with_commit_every(Duration::from_millis(50));
    let logger = tracker.logger(&run, options).unwrap();
    let loss = logger.handle(&key("loss"));
    let mut step = 0;
    let mut log = |count: u64| {
        for _ in 0..count {
            logger.metric(&loss, value(step), step);
            step += 1;
        }
    };
    log(1000);
    assert!(logger.flush().unwrap().is_complete());

    disk.fill();
    log(60_000);
    let report = logger.status();
    assert!(report.in_memory > 50_000 && report.dropped == 0, "{report:?}");
    assert_eq!((report.accepted, report.pending() + report.committed), (61_000, 61_000));
    let error = logger.flush().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Storage, "{error}");
    let cause = logger.status().last_error.unwrap();
    assert_eq!(cause.kind(), ErrorKind::Storage);
    assert!(block(tracker.run(&run)).unwrap().metrics[&key("loss")].count >= 1000, "it can be read");
    assert!(block(tracker.finish_run(&run, &RunEnd::FINISHED)).is_err(), "not before what was logged");

    log(60_000);
    let report = logger.status();
    assert!(report.in_memory <= 65_536 && report.dropped > 40_000, "{report:?}");
    assert_eq!(report.accepted, report.committed + report.pending() + report.dropped);

    disk.free();
    let before = logger.flush().unwrap();
    assert_eq!((before.pending(), before.in_memory), (0, 0));
    log(1000);
    let report = logger.finish(&RunEnd::FINISHED).unwrap();
    assert_eq!(report.committed, report.accepted - report.dropped);
    assert_eq!(report.dropped, before.dropped);
    let points = history(&tracker, &run, "loss");
    assert_eq!(points.len() as u64, report.committed);
    assert!(points.iter().all(|point| point.value.to_bits() == value(point.step).to_bits()));
}
