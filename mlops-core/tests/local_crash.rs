//! What the embedded store keeps when its process is killed, its disk is full, or its disk fails.
//!
//! A child process (this program again) works on a store and says on its standard output what was acknowledged to it. It is
//! killed with SIGKILL: at random moments, and where `strace` is installed at every k-th system call of a kind. The same is
//! done with system calls that fail. After each, the parent opens the store and holds the invariants against what it has heard.
//!
//! `MLOPS_CRASH_KILLS` says how many random kills there are (default 20).

use std::collections::BTreeMap;
use std::future::Future;
use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::num::NonZeroU64;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use mlops_core::artifact::{ArtifactStoreExt as _, GcOptions};
use mlops_core::data::{AssetKind, DataAssetStore, DataRef, NewDataAsset};
use mlops_core::experiment::sweep::{SweepEntry, SweepEvent, SweepJournal as _};
use mlops_core::experiment::{
    ArtifactLink, ExperimentSpec, ExperimentTracker, ExperimentTrackerExt as _, LogBatch, MetricPoint,
    RunEnd, RunSpec,
};
use mlops_core::governance::{AuditEntry, AuditLog};
use mlops_core::local::{LocalStore, LoggerOptions};
use mlops_core::memory::MemoryTracker;
use mlops_core::model::{ModelFormat, Signature};
use mlops_core::monitor::sink::FileAlertSink;
use mlops_core::monitor::{Alert, AlertSink as _, Severity};
use mlops_core::num::Random;
use mlops_core::problem::Task;
use mlops_core::registry::{AliasChange, ModelRef, ModelRegistry, NewModelVersion};
use mlops_core::time::SystemClock;
use mlops_core::wrap::Spooled;
use mlops_core::{
    ActorId, Alias, AssetName, ErrorKind, ExperimentName, IdempotencyKey, MetricKey, ModelName, PageRequest,
    ParamKey, RelPath, RunId, Version,
};

/// Outside a runtime the store works on the thread that asks, so its futures are ready when they are polled. That gives a
/// killed child one thread to be killed in, and system calls in an order that repeats.
fn now<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    loop {
        if let std::task::Poll::Ready(answer) = future.as_mut().poll(&mut context) {
            return answer;
        }
        std::thread::yield_now();
    }
}

fn actor() -> ActorId {
    ActorId::new("crash").unwrap()
}

fn key(text: &str) -> IdempotencyKey {
    IdempotencyKey::new(text).unwrap()
}

// ------------------------------------------------------------------------------------------------------------- the child

/// One thing that a child does to a store; acknowledged by its line.
struct Worker<'a> {
    store: &'a LocalStore,
    seed: u64,
    /// Says that something was acknowledged.
    say: &'a mut dyn FnMut(String),
}

fn content(seed: u64, round: u64) -> Vec<u8> {
    format!("weights {seed} {round} ").into_bytes().repeat(200)
}

impl Worker<'_> {
    fn register(&mut self, round: u64) -> mlops_core::Result<Version> {
        let blob = now(self.store.artifacts().put_bytes(content(self.seed, round)))?;
        (self.say)(format!("blob {}", blob.digest));
        let (model, format) = (ModelName::new("m")?, ModelFormat::new("mlops.constant/v1")?);
        let signature = Signature::new(Task::BinaryClassification, Vec::new());
        let new = NewModelVersion::new(model, blob.digest, format, signature, actor())
            .with_key(key(&format!("register-{}-{round}", self.seed)));
        let made = now(self.store.registry().register(&new))?;
        (self.say)(format!("version {} {}", made.version, blob.digest));
        Ok(made.version)
    }

    fn move_alias(&mut self, to: Version) -> mlops_core::Result<()> {
        let (model, alias) = (ModelName::new("m")?, Alias::new("current")?);
        let registry = self.store.registry();
        let aliases = now(registry.aliases(&model))?;
        let expected = aliases.into_iter().find(|(name, _)| *name == alias).map(|(_, version)| version);
        let change = AliasChange::new(model, alias, to, actor()).expecting(expected);
        let record = now(registry.set_alias(&change))?;
        (self.say)(format!("alias {} {to}", record.sequence));
        Ok(())
    }

    fn register_data(&mut self, round: u64) -> mlops_core::Result<()> {
        let file = (RelPath::new("rows.csv")?, format!("x\n{} {round}\n", self.seed).into_bytes().into());
        let (tree, _) = now(self.store.artifacts().put_files(&[file]))?;
        let name = AssetName::new("d")?;
        let asset = NewDataAsset::stored(name, AssetKind::Table, tree.digest, actor())
            .with_key(key(&format!("data-{}-{round}", self.seed)));
        let made = now(self.store.data_assets().register(&asset))?;
        (self.say)(format!("data {} {}", made.version, tree.digest));
        Ok(())
    }

    fn audit(&mut self, round: u64) -> mlops_core::Result<()> {
        let entry = AuditEntry::new(actor(), "crash.test", format!("round/{}/{round}", self.seed))
            .with_key(key(&format!("audit-{}-{round}", self.seed)));
        let record = now(self.store.audit_log().append(&entry))?;
        (self.say)(format!("audit {} {}", record.sequence, record.hash));
        Ok(())
    }

    fn track(&mut self, round: u64) -> mlops_core::Result<()> {
        let (tracker, name) = (self.store.tracker(), ExperimentName::new("e")?);
        now(tracker.ensure_experiment(&ExperimentSpec::new(name.clone())))?;
        let run = now(tracker.start_run(&RunSpec::new(name, format!("run {round}"), actor())))?;
        (self.say)(format!("run {}", run.id));
        let mut batch = LogBatch::new().param(ParamKey::new("round")?, round);
        for step in 0..100 {
            let point = MetricPoint::new(MetricKey::new("batch")?, value(step), run.started_at);
            batch = batch.metric(point.with_step(step));
        }
        now(tracker.write(&run.id, &batch))?;
        (self.say)(format!("batch {} 100", run.id));
        let logger = tracker.logger(&run.id, LoggerOptions::default())?;
        let loss = MetricKey::new("loss")?;
        for step in 0..50 {
            logger.metric(&loss, value(step), step);
            // The record is with the kernel now.
            let status = logger.status();
            if status.in_memory == 0 && status.dropped == 0 {
                (self.say)(format!("logged {} {step}", run.id));
            }
        }
        let report = logger.flush()?;
        assert_eq!(report.dropped, 0);
        drop(logger);
        now(tracker.finish_run(&run.id, &RunEnd::FINISHED))?;
        (self.say)(format!("finished {}", run.id));
        Ok(())
    }

    fn round(&mut self, round: u64) -> mlops_core::Result<()> {
        let version = self.register(round)?;
        self.move_alias(version)?;
        self.audit(round)?;
        self.track(round)?;
        self.register_data(round)
    }
}

fn value(step: i64) -> f64 {
    1.0 / (step + 1) as f64
}

/// What the child does: rounds until it is killed, or as many as it was told. A failed call is said and ends the round.
#[test]
fn child() {
    let Ok(folder) = std::env::var("MLOPS_CRASH_FOLDER") else { return };
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let (seed, rounds) = (number("MLOPS_CRASH_SEED").unwrap(), number("MLOPS_CRASH_ROUNDS").unwrap());
    let mut out = std::io::stdout();
    let mut say = move |line: String| {
        // One write for each line: what is heard was said as a whole.
        let _ = out.write_all(format!("\nack {line}\n").as_bytes());
        let _ = out.flush();
    };
    let store = match LocalStore::open(Path::new(&folder)) {
        Ok(store) => store,
        Err(e) => return say(format!("error {:?} {e}", e.kind())),
    };
    let only_register = std::env::var_os("MLOPS_CRASH_REGISTER").is_some();
    for round in 0..rounds {
        let mut worker = Worker { store: &store, seed, say: &mut say };
        let done = if only_register { worker.register(round).map(drop) } else { worker.round(round) };
        if let Err(e) = done {
            say(format!("error {:?} {e}", e.kind()));
        }
    }
    say("end".to_owned());
}

/// A child on `folder`: this program again, running [`child`] alone, on its main thread.
fn command(folder: &Path, seed: u64, rounds: u64, under: &[String]) -> Command {
    let exe = std::env::current_exe().unwrap();
    let mut command = match under.split_first() {
        Some((tool, arguments)) => {
            let mut command = Command::new(tool);
            command.args(arguments).arg(exe);
            command
        }
        None => Command::new(exe),
    };
    command
        .args(["child", "--exact", "--nocapture", "--test-threads=1"])
        .env("MLOPS_CRASH_FOLDER", folder)
        .env("MLOPS_CRASH_SEED", seed.to_string())
        .env("MLOPS_CRASH_ROUNDS", rounds.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

// ------------------------------------------------------------------------------------------------------- what was heard

/// What was acknowledged to all children of one store.
#[derive(Clone, Debug, Default)]
struct Heard {
    blobs: Vec<String>,
    versions: BTreeMap<u64, String>,
    alias: Option<(u64, u64)>,
    data: BTreeMap<u64, String>,
    audit: BTreeMap<u64, String>,
    runs: Vec<String>,
    batches: Vec<String>,
    logged: BTreeMap<String, Vec<i64>>,
    finished: Vec<String>,
    errors: Vec<String>,
    ended: bool,
}

impl Heard {
    fn hear(&mut self, line: &str) {
        let Some(line) = line.strip_prefix("ack ") else { return };
        let words: Vec<&str> = line.split(' ').collect();
        match words.as_slice() {
            ["blob", digest] => self.blobs.push((*digest).to_owned()),
            ["version", n, digest] => {
                let before = self.versions.insert(n.parse().unwrap(), (*digest).to_owned());
                assert!(before.is_none_or(|b| b == *digest), "version {n} was given out twice");
            }
            ["alias", sequence, version] => {
                self.alias = self.alias.max(Some((sequence.parse().unwrap(), version.parse().unwrap())));
            }
            ["data", n, digest] => {
                let before = self.data.insert(n.parse().unwrap(), (*digest).to_owned());
                assert!(before.is_none_or(|b| b == *digest), "data version {n} was given out twice");
            }
            ["audit", n, hash] => {
                let before = self.audit.insert(n.parse().unwrap(), (*hash).to_owned());
                assert!(before.is_none_or(|b| b == *hash), "audit record {n} was written twice");
            }
            ["run", id] => self.runs.push((*id).to_owned()),
            ["batch", id, "100"] => self.batches.push((*id).to_owned()),
            ["logged", id, step] => {
                self.logged.entry((*id).to_owned()).or_default().push(step.parse().unwrap());
            }
            ["finished", id] => self.finished.push((*id).to_owned()),
            ["error", ..] => self.errors.push(line.to_owned()),
            ["end"] => self.ended = true,
            other => panic!("the child said {other:?}"),
        }
    }

    fn hear_all(&mut self, output: &[u8]) {
        // The last line may be cut off: what was not said to its end was not said.
        let whole = output.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
        String::from_utf8_lossy(&output[..whole]).lines().for_each(|line| self.hear(line));
    }
}

// ---------------------------------------------------------------------------------------------------------- invariants

/// Opens a store and holds it against everything that was acknowledged.
fn check(folder: &Path, heard: &Heard, what: &str) {
    let store = LocalStore::open(folder).unwrap_or_else(|e| panic!("{what}: the store does not open: {e}"));
    everything_heard_is_there(&store, heard, what);
    everything_there_is_sound(&store, what);
    // No file that was being written is left once the store was opened.
    let temporary = folder.join("cas").join("tmp");
    let left = std::fs::read_dir(&temporary).map_or(0, Iterator::count);
    assert_eq!(left, 0, "{what}: temporary files are left in {}", temporary.display());
    // Opening again changes nothing.
    let before = export(&store);
    drop(store);
    let again = LocalStore::open(folder).unwrap();
    assert_eq!(export(&again), before, "{what}: opening the store changed it");
}

fn everything_heard_is_there(store: &LocalStore, heard: &Heard, what: &str) {
    let (model, asset) = (ModelName::new("m").unwrap(), AssetName::new("d").unwrap());
    for digest in &heard.blobs {
        let found = now(store.artifacts().get_bytes(&digest.parse().unwrap(), 1 << 20));
        assert!(found.is_ok(), "{what}: lost blob {digest}: {found:?}");
    }
    for (n, digest) in &heard.versions {
        let version = Version::new(*n).unwrap();
        let found = now(store.registry().get(&ModelRef::new(model.clone(), version)));
        let found = found.unwrap_or_else(|e| panic!("{what}: lost version {n}: {e}"));
        assert_eq!(found.spec.artifact.to_string(), *digest, "{what}: version {n}");
    }
    for (n, digest) in &heard.data {
        let reference = DataRef { name: asset.clone(), version: Version::new(*n).unwrap().into() };
        let found = now(store.data_assets().get(&reference));
        let found = found.unwrap_or_else(|e| panic!("{what}: lost data version {n}: {e}"));
        assert_eq!(found.spec.digest.to_string(), *digest, "{what}: data version {n}");
    }
    if let Some((sequence, version)) = heard.alias {
        let alias = Alias::new("current").unwrap();
        let page = PageRequest::first(PageRequest::MAX_LIMIT);
        let history = now(store.registry().alias_history(&model, &alias, &page)).unwrap().items;
        let record = history.iter().find(|record| record.sequence == sequence);
        let record = record.unwrap_or_else(|| panic!("{what}: lost alias change {sequence}"));
        assert_eq!(record.to.map(Version::get), Some(version), "{what}: alias change {sequence}");
    }
    let records = now(store.audit_log().read(0, usize::MAX)).unwrap();
    for (n, hash) in &heard.audit {
        let record = records.iter().find(|record| record.sequence == *n);
        let record = record.unwrap_or_else(|| panic!("{what}: lost audit record {n}"));
        assert_eq!(record.hash.to_string(), *hash, "{what}: audit record {n}");
    }
    for id in &heard.runs {
        let run = now(store.tracker().run(&RunId::new(id).unwrap()));
        let run = run.unwrap_or_else(|e| panic!("{what}: lost run {id}: {e}"));
        // Forward only: what was finished stays so.
        if heard.finished.contains(id) {
            assert!(run.status.is_final(), "{what}: run {id} is {:?} again", run.status);
        }
    }
    for id in &heard.batches {
        let points = history(store, id, "batch");
        assert_eq!(points.len(), 100, "{what}: the batch of run {id}");
        assert!((0..).zip(&points).all(|(step, p)| p.value == value(step)), "{what}: run {id}");
    }
    for (id, steps) in &heard.logged {
        let points = history(store, id, "loss");
        for step in steps {
            let found: Vec<_> = points.iter().filter(|p| p.step == *step).collect();
            assert_eq!(found.len(), 1, "{what}: run {id}, step {step}: logged once, found {}", found.len());
            assert_eq!(found[0].value.to_bits(), value(*step).to_bits(), "{what}: run {id}, step {step}");
        }
    }
}

fn history(store: &LocalStore, run: &str, key: &str) -> Vec<MetricPoint> {
    let (run, key) = (RunId::new(run).unwrap(), MetricKey::new(key).unwrap());
    now(store.tracker().full_history(&run, &key)).unwrap()
}

fn everything_there_is_sound(store: &LocalStore, what: &str) {
    let report = now(store.verify()).unwrap();
    assert!(report.is_sound(), "{what}: {report:?}");
    let model = ModelName::new("m").unwrap();
    let page = PageRequest::first(PageRequest::MAX_LIMIT);
    match now(store.registry().versions(&model, &page)) {
        Err(e) => assert_eq!(e.kind(), ErrorKind::NotFound, "{what}"),
        Ok(versions) => {
            let numbers: Vec<u64> = versions.items.iter().rev().map(|v| v.version.get()).collect();
            let expected: Vec<u64> = (1..=numbers.len() as u64).collect();
            assert_eq!(numbers, expected, "{what}: versions have gaps");
        }
    }
    let verified = now(store.audit_log().verify(None)).unwrap();
    assert!(verified.is_intact(), "{what}: {verified:?}");
    // Whatever garbage collection may take, it is nothing that something points to.
    now(store.collect_garbage(&GcOptions::default().with_grace(Duration::from_secs(3600)))).unwrap();
    let report = now(store.verify()).unwrap();
    assert!(report.is_sound(), "{what}, after garbage collection: {report:?}");
}

/// Everything that can be read, as text.
fn export(store: &LocalStore) -> String {
    let page = PageRequest::first(PageRequest::MAX_LIMIT);
    let (model, asset) = (ModelName::new("m").unwrap(), AssetName::new("d").unwrap());
    let query = mlops_core::experiment::RunQuery::everywhere().with_page(page.clone());
    let runs = now(store.tracker().search_runs(&query)).unwrap().items;
    let points: Vec<_> = runs
        .iter()
        .flat_map(|run| run.metrics.keys().map(|key| history(store, run.id.as_str(), key.as_str())))
        .collect();
    format!(
        "{runs:?}{points:?}{:?}{:?}{:?}{:?}{:?}",
        now(store.registry().versions(&model, &page)).ok(),
        now(store.registry().aliases(&model)).ok(),
        now(store.registry().events(0, PageRequest::MAX_LIMIT)).unwrap(),
        now(store.data_assets().versions(&asset, &page)).ok(),
        now(store.audit_log().read(0, usize::MAX)).unwrap(),
    )
}

// --------------------------------------------------------------------------------------------------------------- cases

#[test]
fn what_is_lost_or_changed_is_noticed() {
    let (dir, heard) = warm();
    check(dir.path(), &heard, "untouched");
    let lies: [fn(&mut Heard); 7] = [
        |heard| heard.blobs.push(mlops_core::hash::Digest::of(b"never put").to_string()),
        |heard| drop(heard.versions.insert(2, heard.blobs[0].clone())),
        |heard| heard.alias = Some((2, 1)),
        |heard| drop(heard.data.insert(2, heard.blobs[0].clone())),
        |heard| drop(heard.audit.insert(1, heard.blobs[0].clone())),
        |heard| heard.runs.push(RunId::generate().to_string()),
        |heard| heard.logged.values_mut().for_each(|steps| steps.push(50)),
    ];
    for (number, lie) in lies.into_iter().enumerate() {
        let mut other = heard.clone();
        lie(&mut other);
        let noticed = std::panic::catch_unwind(|| check(dir.path(), &other, "a lie")).is_err();
        assert!(noticed, "lie {number} went unnoticed");
    }
    let cas = dir.path().join("cas").join("sha256");
    let blob = heard.blobs[0].strip_prefix("sha256:").unwrap();
    std::fs::remove_file(cas.join(&blob[..2]).join(&blob[2..])).unwrap();
    assert!(std::panic::catch_unwind(|| check(dir.path(), &heard, "a lost blob")).is_err());
}

#[test]
fn what_was_acknowledged_survives_sigkill_at_any_moment() {
    let kills = std::env::var("MLOPS_CRASH_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(20_u64);
    let mut random = Random::new(2026);
    let (mut seed, mut killed_at_work) = (0, 0);
    // A few kills to each store, so that a store that was killed is killed again.
    while seed < kills {
        let dir = tempfile::tempdir().unwrap();
        let mut heard = Heard::default();
        for _ in 0..5.min(kills - seed) {
            seed += 1;
            let mut child = command(dir.path(), seed, u64::MAX, &[]).spawn().unwrap();
            let mut out = BufReader::new(child.stdout.take().unwrap());
            // Some are killed while they open the store, most at work: after a number of acknowledgements and a moment more.
            let lines = random.below(NonZeroU64::new(120).unwrap());
            let mut line = String::new();
            let mut acknowledged = 0;
            while acknowledged < lines && out.read_line(&mut line).unwrap() > 0 {
                acknowledged += u64::from(line.starts_with("ack "));
                heard.hear(line.trim_end());
                line.clear();
            }
            std::thread::sleep(Duration::from_micros(random.below(NonZeroU64::new(3000).unwrap())));
            child.kill().unwrap();
            let mut rest = Vec::new();
            out.read_to_end(&mut rest).unwrap();
            child.wait().unwrap();
            heard.hear_all(&rest);
            assert!(heard.errors.is_empty(), "{:?}", heard.errors);
            killed_at_work += u64::from(!heard.ended);
            check(dir.path(), &heard, &format!("kill {seed}"));
        }
    }
    println!("{killed_at_work} children were killed at work");
    assert_eq!(killed_at_work, kills);
}

/// The system calls at which something is changed.
const CALLS: &[&str] = &[
    "write",
    "pwrite64",
    "fsync",
    "fdatasync",
    "rename",
    "unlink",
    "ftruncate",
    "mkdir",
    "openat",
    "linkat",
    "fchmod",
];

fn strace() -> bool {
    let there = Command::new("strace").arg("-V").stdout(Stdio::null()).stderr(Stdio::null()).status();
    let there = there.is_ok_and(|status| status.success());
    if !there {
        println!("skipped: strace is not installed");
    }
    there
}

/// Runs one round of a child on a store that has had one round, with `effect` at the `k`-th `call`. Whether it struck.
fn strike(call: &str, effect: &str, k: usize, warm: &Path) -> (bool, Heard, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    copy(warm, dir.path());
    let log = dir.path().with_extension("strace");
    let under: Vec<String> = ["strace", "-f", "-qq", "-o", log.to_str().unwrap(), "-e"]
        .map(str::to_owned)
        .into_iter()
        .chain([format!("trace={call}"), "-e".to_owned(), format!("inject={call}:{effect}:when={k}")])
        .collect();
    let output = command(dir.path(), 7, 1, &under).output().unwrap();
    let traced = std::fs::read_to_string(&log).unwrap_or_default();
    let _ = std::fs::remove_file(&log);
    let struck = traced.contains("(INJECTED)") || traced.contains("killed by SIGKILL");
    let mut heard = Heard::default();
    heard.hear_all(&output.stdout);
    (struck, heard, dir)
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// A store that has had one round, and what was acknowledged in it.
fn warm() -> (tempfile::TempDir, Heard) {
    let dir = tempfile::tempdir().unwrap();
    let output = command(dir.path(), 1, 1, &[]).output().unwrap();
    let mut heard = Heard::default();
    heard.hear_all(&output.stdout);
    assert!(heard.ended && heard.errors.is_empty(), "{heard:?}");
    (dir, heard)
}

fn joined(one: &Heard, two: Heard) -> Heard {
    let mut all = one.clone();
    all.blobs.extend(two.blobs);
    all.versions.extend(two.versions);
    all.alias = all.alias.max(two.alias);
    all.data.extend(two.data);
    all.audit.extend(two.audit);
    all.runs.extend(two.runs);
    all.batches.extend(two.batches);
    all.logged.extend(two.logged);
    all.finished.extend(two.finished);
    all
}

/// Strikes at the 1st, 2nd, 3rd … call of every kind until no more of them are made; returns how often it struck.
///
/// `MLOPS_CRASH_STRIDE` thins out: with 5, every fifth call is struck (default 7, so that the whole suite stays quick).
fn strike_everywhere(effect: &str, may_fail: bool) -> usize {
    let stride =
        std::env::var("MLOPS_CRASH_STRIDE").ok().and_then(|n| n.parse().ok()).unwrap_or(7_usize).max(1);
    let (before, known) = warm();
    let mut points = 0;
    for call in CALLS {
        for k in (1..).step_by(stride) {
            let (struck, heard, dir) = strike(call, effect, k, before.path());
            if !struck {
                break;
            }
            points += 1;
            let what = format!("{effect} at {call} number {k}");
            if may_fail {
                for error in &heard.errors {
                    let typed = ["Storage", "Busy", "Corrupt", "Integrity"];
                    assert!(
                        typed.iter().any(|kind| error.starts_with(&format!("error {kind} "))),
                        "{what}: {error}"
                    );
                }
            } else {
                assert!(heard.errors.is_empty(), "{what}: {:?}", heard.errors);
            }
            check(dir.path(), &joined(&known, heard), &what);
        }
    }
    println!("{effect}: {points} points");
    points
}

#[test]
fn what_was_acknowledged_survives_sigkill_at_every_system_call() {
    if strace() {
        assert!(strike_everywhere("signal=SIGKILL", false) > 20);
    }
}

#[test]
fn a_full_disk_loses_nothing() {
    if strace() {
        assert!(strike_everywhere("error=ENOSPC", true) > 20);
    }
}

#[test]
fn a_failing_disk_loses_nothing() {
    if strace() {
        assert!(strike_everywhere("error=EIO", true) > 20);
    }
}

#[test]
fn eight_processes_may_make_one_store_and_register_at_once() {
    const EACH: u64 = 200;
    let dir = tempfile::tempdir().unwrap();
    let start = |seed| command(dir.path(), seed, EACH, &[]).env("MLOPS_CRASH_REGISTER", "1").spawn().unwrap();
    let children: Vec<_> = (0..8).map(start).collect();
    let mut all = Heard::default();
    for child in children {
        let output = child.wait_with_output().unwrap();
        let mut heard = Heard::default();
        heard.hear_all(&output.stdout);
        assert!(heard.ended, "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(heard.errors, Vec::<String>::new());
        assert_eq!(heard.versions.len() as u64, EACH);
        all = joined(&all, heard);
    }
    // A version that was given out twice would be one here.
    assert_eq!(all.versions.keys().copied().collect::<Vec<_>>(), (1..=8 * EACH).collect::<Vec<_>>());
    check(dir.path(), &all, "eight processes");
}

#[test]
fn eight_processes_may_do_everything_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let children: Vec<_> = (0..8).map(|seed| command(dir.path(), seed, 5, &[]).spawn().unwrap()).collect();
    let mut all = Heard::default();
    for child in children {
        let output = child.wait_with_output().unwrap();
        let mut heard = Heard::default();
        heard.hear_all(&output.stdout);
        assert!(heard.ended, "{}", String::from_utf8_lossy(&output.stderr));
        // Of two that move the alias from the same place one loses: that is what comparing is for.
        let other = heard.errors.iter().find(|e| !e.starts_with("error Conflict "));
        assert_eq!(other, None);
        all = joined(&all, heard);
    }
    check(dir.path(), &all, "eight processes");
}

// ------------------------------------------------------------------------------------------- what a power cut would have taken

/// One thing that a child does in its folder, named by `MLOPS_CRASH_DO`, and says when it is acknowledged.
#[test]
fn child_does() {
    let Ok(folder) = std::env::var("MLOPS_CRASH_FOLDER") else { return };
    let Ok(what) = std::env::var("MLOPS_CRASH_DO") else { return };
    let folder = Path::new(&folder);
    let open = || LocalStore::open(folder.join("a").join("store")).unwrap();
    match what.as_str() {
        "open" => drop(open()),
        "log" => {
            let (store, run) = begun(open());
            let logger = store.tracker().logger(&run, quiet()).unwrap();
            logger.metric(&MetricKey::new("loss").unwrap(), 0.5, 1);
        }
        "log and die" => {
            let (store, run) = begun(open());
            let logger = store.tracker().logger(&run, quiet()).unwrap();
            logger.metric(&MetricKey::new("loss").unwrap(), 0.5, 1);
            std::process::abort();
        }
        "commit and die" => {
            let (store, run) = begun(open());
            let logger = store.tracker().logger(&run, quiet()).unwrap();
            logger.metric(&MetricKey::new("loss").unwrap(), 0.5, 1);
            logger.flush().unwrap();
            std::process::abort();
        }
        "append to a sweep" => {
            let event = SweepEvent::Promoted { trial: 1 };
            let entry = SweepEntry::new(1, chrono::DateTime::UNIX_EPOCH, event);
            now(open().sweeps().synced().append(&RunId::generate(), &entry)).unwrap();
        }
        "deliver" => {
            let at = chrono::DateTime::UNIX_EPOCH;
            let endpoint = "e".parse().unwrap();
            let alert = Alert::new(key("k"), endpoint, "inputs", Severity::Warning, "drift", at);
            now(FileAlertSink::open(folder.join("alerts")).unwrap().deliver(&alert)).unwrap();
        }
        "spool" => {
            let (clock, folder) = (Arc::new(SystemClock::new()), folder.join("a").join("spool"));
            drop(Spooled::open(MemoryTracker::new(clock.clone()), &folder, clock).unwrap());
        }
        "sync" => {
            let (store, run) = begun(open());
            let blob = now(store.artifacts().put_bytes(b"dear diary".to_vec())).unwrap();
            let path = RelPath::new("deep/notes.txt").unwrap();
            let link = ArtifactLink::new(path, blob.digest, blob.size);
            now(store.tracker().write(&run, &LogBatch::new().artifact(link))).unwrap();
            println!("\nlogged {run}");
            now(store.mlflow().sync()).unwrap();
        }
        other => panic!("{other}"),
    }
    println!("\nacknowledged");
}

/// Nothing is committed unless somebody says so.
fn quiet() -> LoggerOptions {
    LoggerOptions::default().with_lease(None).with_commit_every(Duration::from_secs(3600))
}

/// A store with a run.
fn begun(store: LocalStore) -> (LocalStore, RunId) {
    let (tracker, name) = (store.tracker(), ExperimentName::new("e").unwrap());
    now(tracker.ensure_experiment(&ExperimentSpec::new(name.clone()))).unwrap();
    let run = now(tracker.start_run(&RunSpec::new(name, "run", actor()))).unwrap();
    (store, run.id)
}

/// Runs [`child_does`] under `strace`; what it printed, and its system calls.
fn traced(folder: &Path, what: &str, more: &[&str]) -> (String, Vec<String>) {
    let log = folder.join("strace");
    let calls = "trace=fsync,fdatasync,write,pwrite64,unlink,unlinkat,rename,renameat,renameat2";
    let mut command = Command::new("strace");
    command.args(["-f", "-y", "-qq", "-o"]).arg(&log).args(["-e", calls]).args(more);
    command.arg(std::env::current_exe().unwrap());
    command.args(["child_does", "--exact", "--nocapture", "--test-threads=1"]);
    command.env("MLOPS_CRASH_FOLDER", folder).env("MLOPS_CRASH_DO", what);
    let output = command.output().unwrap();
    let calls = std::fs::read_to_string(&log).unwrap_or_default().lines().map(str::to_owned).collect();
    (String::from_utf8_lossy(&output.stdout).into_owned(), calls)
}

/// Where the first call is that has all of these words in it.
fn first(calls: &[String], words: &[&str]) -> Option<usize> {
    calls.iter().position(|call| words.iter().all(|word| call.contains(word)))
}

/// A name is durable when the folder above it was synced: before what was done is acknowledged.
#[test]
fn names_are_durable_before_what_is_in_them_is_acknowledged() {
    if !strace() {
        return;
    }
    for (what, folders) in [
        // Folders are made from above, so the last one that was made is the last that is synced.
        ("open", vec!["", "/a", "/a/store"]),
        ("append to a sweep", vec!["/a/store", "/a/store/sweeps"]),
        ("deliver", vec![""]),
        ("spool", vec!["", "/a", "/a/spool"]),
        ("sync", vec!["/a/store/mlflow", "/a/store/mlflow/runs"]),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let (_, calls) = traced(&root, what, &[]);
        let acknowledged = first(&calls, &["write(", "acknowledged"]);
        let acknowledged = acknowledged.unwrap_or_else(|| panic!("{what} failed"));
        for folder in folders {
            let folder = format!("<{}{folder}>", root.display());
            let synced = first(&calls, &["fsync(", &folder]);
            assert!(synced.is_some_and(|at| at < acknowledged), "{what}: {folder} is not synced");
        }
    }
}

/// What is taken out of a journal is durable before the journal is removed.
#[test]
fn a_journal_is_removed_after_the_disk_has_what_was_in_it() {
    if !strace() {
        return;
    }
    for (before, what) in [(None, "log"), (Some("log and die"), "open"), (Some("commit and die"), "open")] {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        if let Some(before) = before {
            traced(&root, before, &[]);
        }
        let (_, calls) = traced(&root, what, &[]);
        let gone =
            first(&calls, &["unlink", ".mlj"]).unwrap_or_else(|| panic!("{before:?}, {what}: {calls:?}"));
        // The commit that took the values in is the last thing that was written to the log before.
        let synced = calls[..gone].iter().rposition(|call| call.contains("mlops.db-wal"));
        let synced = synced.and_then(|at| calls.get(at)).is_some_and(|call| call.contains("sync("));
        assert!(synced, "{before:?}, {what}: {:?}", &calls[gone.saturating_sub(5)..=gone]);
    }
}

/// A copy has its name after the disk has all of it: what is there under its name is never looked into again.
#[test]
fn a_projected_file_is_durable_before_it_has_its_name() {
    if !strace() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (_, calls) = traced(dir.path(), "sync", &[]);
    let named = first(&calls, &["rename", "notes.txt"]).unwrap();
    let synced = first(&calls, &["sync(", "/mlflow/", "part"]);
    assert!(synced.is_some_and(|at| at < named), "{calls:?}");
}

/// Wherever a synchronisation is killed, the next one lays out what it did not.
#[test]
fn a_projection_that_was_killed_is_finished_by_the_next_one() {
    if !strace() {
        return;
    }
    let mut kills = 0;
    for nth in 1..100 {
        let dir = tempfile::tempdir().unwrap();
        let kill = format!("inject=rename,renameat,renameat2,fsync,fdatasync:signal=SIGKILL:when={nth}");
        let (said, _) = traced(dir.path(), "sync", &["-e", &kill]);
        if said.contains("acknowledged") {
            break;
        }
        let Some(run) = said.lines().find_map(|line| line.strip_prefix("logged ")) else { continue };
        kills += 1;
        let store = LocalStore::open(dir.path().join("a").join("store")).unwrap();
        let report = now(store.mlflow().sync()).unwrap();
        let file = store.folder().join("mlflow/runs").join(run).join("artifacts/deep/notes.txt");
        let content = std::fs::read_to_string(file).unwrap_or_default();
        assert_eq!(content, "dear diary", "killed at call {nth}: {report:?}");
    }
    assert!(kills > 3, "{kills}");
}
