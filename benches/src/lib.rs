//! What the benches share: sample data, the same in Rust and in the Python scripts beside them.
//!
//! Each of these runs ours and theirs and prints a table with ratios:
//!
//! ```sh
//! python3 benches/peers/drift.py     # drift statistics and streaming detectors: NumPy, SciPy, Evidently, NannyML, river
//! python3 benches/peers/eval.py      # metrics, fairness, comparisons: NumPy, scikit-learn, Fairlearn, MLstatkit
//! python3 benches/peers/forest.py    # forests, a row and many: LightGBM, XGBoost, onnxruntime
//! python3 benches/peers/pipeline.py  # a step that need not run: joblib's cached call
//! python3 benches/peers/sweep.py     # search for parameters: Optuna
//! cargo bench -p mlops-benches --bench serve     # models over HTTP; peers/serve.py runs MLflow's scoring server
//! cargo bench -p mlops-benches --bench store     # the embedded store; peers/store.py times MLflow
//! python3 benches/peers/validate.py  # validation and profile: pandera, dataframely, Great Expectations, ydata-profiling
//! MLOPS_BENCH_GB=4 cargo bench -p mlops-benches --bench validate    # a large file: time, and the peak of memory
//! python3 benches/peers/spark.py FOLDER    # the statements of `mlops_drift::sql` on Spark; its first lines say what FOLDER holds
//! cargo bench -p mlops-benches       # ours alone
//! ```
//!
//! Compare figures of one machine in one hour only.

use std::hint::black_box;
use std::time::Duration;

use mlops_core::num::Random;
use rustix::time::{ClockId, clock_gettime};

/// CPU time of this thread.
fn cpu() -> Duration {
    read(ClockId::ThreadCPUTime)
}

fn read(clock: ClockId) -> Duration {
    let now = clock_gettime(clock);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(now.tv_nsec).unwrap_or(0))
}

/// What `work` gives, and the CPU time of this thread that it takes.
pub fn timed<R>(work: impl FnOnce() -> R) -> (R, Duration) {
    let before = cpu();
    let result = work();
    (result, cpu() - before)
}

/// What `work` gives, and the CPU time of all threads that it takes.
pub fn timed_process<R>(work: impl FnOnce() -> R) -> (R, Duration) {
    let before = read(ClockId::ProcessCPUTime);
    let result = work();
    (result, read(ClockId::ProcessCPUTime) - before)
}

/// The least CPU time of this thread that `work` takes, in milliseconds: other work on the machine disturbs little.
pub fn fastest<R>(repeats: usize, mut work: impl FnMut() -> R) -> f64 {
    let once = |_| {
        let before = cpu();
        black_box(work());
        (cpu() - before).as_secs_f64() * 1e3
    };
    (0..repeats).map(once).fold(f64::INFINITY, f64::min)
}

/// `n` values, normal but for the tails: sums of twelve uniforms, shifted.
pub fn normal(n: usize, seed: u64, shift: f64) -> Vec<f64> {
    let mut random = Random::new(seed);
    (0..n).map(|_| (0..12).map(|_| random.next_f64()).sum::<f64>() - 6.0 + shift).collect()
}

/// `n` labels and scores that go with them: positives score higher on average.
pub fn scored(n: usize, seed: u64) -> (Vec<bool>, Vec<f64>) {
    let mut random = Random::new(seed);
    let labels: Vec<bool> = (0..n).map(|_| random.next_f64() < 0.3).collect();
    let score = |label: &bool, noise: f64| 0.7 * noise + if *label { 0.3 } else { 0.0 };
    let scores = labels.iter().map(|label| score(label, random.next_f64())).collect();
    (labels, scores)
}
