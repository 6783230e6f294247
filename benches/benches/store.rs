//! The embedded store against MLflow's Python client on SQLite: the same work, on the same disk, in the same run.
//!
//! ```sh
//! python3 -m venv peers && peers/bin/pip install mlflow-skinny==3.17.2 sqlalchemy alembic pandas
//! MLOPS_BENCH_PYTHON=peers/bin/python cargo bench -p mlops-benches --bench store
//! ```
//!
//! Without `MLOPS_BENCH_PYTHON` only our own figures are printed. `MLOPS_BENCH_RUNS` (default 10 000) is the number of runs that
//! are searched; MLflow searches the same ones, in the projection of the store.
#![allow(missing_docs)]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use mlops_core::experiment::{
    ExperimentSpec, ExperimentTracker, Field, LogBatch, MetricPoint, OrderBy, RunEnd, RunQuery, RunSpec,
};
use mlops_core::local::{LocalStore, LocalTracker, LoggerOptions};
use mlops_core::num::Random;
use mlops_core::time::{Clock as _, SystemClock};
use mlops_core::{ActorId, Error, ExperimentName, MetricKey, PageRequest, ParamKey, Result, RunId};
use rustix::time::{ClockId, clock_gettime};

/// What one repetition of a task took.
#[derive(Clone, Copy, Debug)]
struct Cost {
    wall: f64,
    cpu: f64,
}

/// CPU time of this process, all threads; or of this thread alone.
fn cpu(of: ClockId) -> Duration {
    let now = clock_gettime(of);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(now.tv_nsec).unwrap_or(0))
}

/// Runs `work`, which does its task `times` times, `repeats` times over; the fastest counts. CPU time is that of all threads.
async fn fastest(repeats: usize, times: usize, work: impl AsyncFnMut(usize) -> Result<()>) -> Result<Cost> {
    fastest_of(ClockId::ProcessCPUTime, repeats, times, work).await
}

async fn fastest_of(
    clock: ClockId,
    repeats: usize,
    times: usize,
    mut work: impl AsyncFnMut(usize) -> Result<()>,
) -> Result<Cost> {
    let mut best = Cost { wall: f64::INFINITY, cpu: f64::INFINITY };
    for repeat in 0..repeats {
        let (wall, before) = (Instant::now(), cpu(clock));
        work(repeat).await?;
        let (wall, cpu) = (wall.elapsed(), cpu(clock) - before);
        best.wall = best.wall.min(wall.as_secs_f64() / times as f64);
        best.cpu = best.cpu.min(cpu.as_secs_f64() / times as f64);
    }
    Ok(best)
}

fn experiment() -> Result<ExperimentName> {
    Ok(ExperimentName::new("bench")?)
}

async fn start(tracker: &LocalTracker, name: &str) -> Result<RunId> {
    let run = tracker.start_run(&RunSpec::new(experiment()?, name, ActorId::new("bench")?)).await?;
    Ok(run.id)
}

/// One value at a time, as a training loop does it.
async fn log_metric(tracker: &LocalTracker) -> Result<Cost> {
    const VALUES: u32 = 1_000_000;
    let key = MetricKey::new("loss")?;
    fastest(3, VALUES as usize, async |repeat| {
        let run = start(tracker, &format!("values {repeat}")).await?;
        let logger = tracker.logger(&run, LoggerOptions::default())?;
        for step in 0..VALUES {
            logger.metric(&key, f64::from(step), i64::from(step));
        }
        let report = logger.flush()?;
        assert_eq!((report.dropped, report.accepted), (0, u64::from(VALUES)));
        Ok(())
    })
    .await
}

/// The calls alone: what the thread of the training loop itself pays, while another one commits.
async fn log_metric_call(tracker: &LocalTracker) -> Result<Cost> {
    const VALUES: usize = 200_000;
    let (key, run) = (MetricKey::new("loss")?, start(tracker, "calls").await?);
    let logger = tracker.logger(&run, LoggerOptions::default())?;
    let mut step = 0;
    let cost = fastest_of(ClockId::ThreadCPUTime, 5, VALUES, async |_| {
        for _ in 0..VALUES {
            logger.metric(&key, 0.5, step);
            step += 1;
        }
        Ok(())
    })
    .await?;
    logger.flush()?;
    Ok(cost)
}

async fn batches(tracker: &LocalTracker) -> Result<Cost> {
    const BATCHES: i64 = 100;
    let (key, at) = (MetricKey::new("loss")?, SystemClock::new().now());
    fastest(3, BATCHES as usize * 1000, async |repeat| {
        let run = start(tracker, &format!("batches {repeat}")).await?;
        for batch in 0..BATCHES {
            let point = |i| MetricPoint::new(key.clone(), i as f64, at).with_step(batch * 1000 + i);
            let batch = LogBatch::new().with_metrics((0..1000).map(point));
            tracker.write(&run, &batch).await?;
        }
        Ok(())
    })
    .await
}

async fn small_runs(tracker: &LocalTracker) -> Result<Cost> {
    const RUNS: usize = 500;
    let (key, at) = (MetricKey::new("loss")?, SystemClock::new().now());
    fastest(3, RUNS, async |_| {
        for _ in 0..RUNS {
            let run = start(tracker, "small").await?;
            for step in 0..10 {
                let point = MetricPoint::new(key.clone(), 0.5, at).with_step(step);
                tracker.write(&run, &LogBatch::new().metric(point)).await?;
            }
            tracker.finish_run(&run, &RunEnd::FINISHED).await?;
        }
        Ok(())
    })
    .await
}

/// Runs to be searched: three parameters, five metrics of ten points each.
async fn fill(folder: &Path, runs: usize) -> Result<()> {
    let store = LocalStore::open(folder)?;
    let tracker = store.tracker();
    tracker.ensure_experiment(&ExperimentSpec::new(experiment()?)).await?;
    let (mut random, at) = (Random::new(1), SystemClock::new().now());
    for number in 0..runs {
        let run = start(&tracker, &format!("run {number}")).await?;
        let mut batch = LogBatch::new();
        for key in ["depth", "rate", "seed"] {
            batch = batch.param(ParamKey::new(key)?, number % 10);
        }
        for key in ["auc", "loss", "recall", "precision", "brier"] {
            for step in 0..10 {
                let point = MetricPoint::new(MetricKey::new(key)?, random.next_f64(), at);
                batch = batch.metric(point.with_step(step));
            }
        }
        tracker.write(&run, &batch).await?;
        tracker.finish_run(&run, &RunEnd::FINISHED).await?;
    }
    Ok(())
}

async fn search(tracker: &LocalTracker, query: &RunQuery) -> Result<Cost> {
    fastest(7, 1, async |_| {
        let page = tracker.search_runs(query).await?;
        assert_eq!(page.items.len(), 100);
        assert_eq!(page.items[0].metrics.len(), 5);
        Ok(())
    })
    .await
}

async fn open(folder: &Path) -> Result<Cost> {
    fastest(7, 1, async |_| {
        let store = LocalStore::open(folder)?;
        store.tracker().experiment(&experiment()?).await?;
        Ok(())
    })
    .await
}

async fn ours(folder: &Path, runs: usize) -> Result<BTreeMap<&'static str, Cost>> {
    let mut costs = BTreeMap::new();
    {
        let store = LocalStore::open(folder.join("writes"))?;
        let tracker = store.tracker();
        tracker.ensure_experiment(&ExperimentSpec::new(experiment()?)).await?;
        costs.insert("log_metric, the call", log_metric_call(&tracker).await?);
        costs.insert("log_metric, committed", log_metric(&tracker).await?);
        costs.insert("log_batch of 1000, per point", batches(&tracker).await?);
        costs.insert("create, 10 metrics, end", small_runs(&tracker).await?);
    }
    let full = folder.join("runs");
    fill(&full, runs).await?;
    costs.insert("open", open(&full).await?);
    let store = LocalStore::open(&full)?;
    let tracker = store.tracker();
    let page = RunQuery::new(experiment()?).with_page(PageRequest::first(100));
    costs.insert("search, page of 100", search(&tracker, &page).await?);
    let order = OrderBy::descending(Field::Metric(MetricKey::new("auc")?));
    costs.insert("search, ordered by a metric", search(&tracker, &page.with_order(order)).await?);
    store.mlflow().sync().await?;
    Ok(costs)
}

/// What the peer measured: a line for each task, `NAME<tab>WALL<tab>CPU`, in seconds.
fn theirs(python: &str, folder: &Path) -> Result<BTreeMap<String, Cost>> {
    let failed = |e: String| Error::invalid("store bench", "MLOPS_BENCH_PYTHON", e);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/store.py");
    let output = Command::new(python)
        .arg(script)
        .arg(folder.join("peer.db"))
        .arg(folder.join("runs/mlflow.db"))
        .output()
        .map_err(|e| failed(e.to_string()))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        return Err(failed(String::from_utf8_lossy(&output.stderr).into_owned()));
    }
    let mut costs = BTreeMap::new();
    for line in text.lines() {
        let mut parts = line.split('\t');
        let (Some(name), Some(wall), Some(cpu)) = (parts.next(), parts.next(), parts.next()) else {
            println!("{line}");
            continue;
        };
        if let (Ok(wall), Ok(cpu)) = (wall.parse(), cpu.parse()) {
            costs.insert(name.to_owned(), Cost { wall, cpu });
        }
    }
    Ok(costs)
}

fn shown(seconds: f64) -> String {
    match seconds {
        s if s < 1e-3 => format!("{:.2} µs", s * 1e6),
        s if s < 1.0 => format!("{:.2} ms", s * 1e3),
        s => format!("{s:.2} s"),
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let runs = std::env::var("MLOPS_BENCH_RUNS").ok().and_then(|n| n.parse().ok()).unwrap_or(10_000);
    let dir = tempfile::tempdir()?;
    println!("{runs} runs to search; wall and CPU time per task, the fastest of several repetitions");
    let ours = ours(dir.path(), runs).await?;
    let theirs = match std::env::var("MLOPS_BENCH_PYTHON") {
        Ok(python) => theirs(&python, dir.path())?,
        Err(_) => {
            println!("MLflow: skipped, MLOPS_BENCH_PYTHON does not say which Python has it");
            BTreeMap::new()
        }
    };
    println!(
        "{:32} {:>10} {:>10} {:>12} {:>12} {:>8} {:>8}",
        "", "wall", "CPU", "MLflow wall", "MLflow CPU", "wall ×", "CPU ×"
    );
    for (name, cost) in &ours {
        let peer = theirs.get(*name).or_else(|| name.split_once(',').and_then(|(head, _)| theirs.get(head)));
        print!("{name:32} {:>10} {:>10}", shown(cost.wall), shown(cost.cpu));
        match peer {
            Some(peer) => println!(
                " {:>12} {:>12} {:>8.0} {:>8.0}",
                shown(peer.wall),
                shown(peer.cpu),
                peer.wall / cost.wall,
                peer.cpu / cost.cpu
            ),
            None => println!(),
        }
    }
    Ok(())
}
