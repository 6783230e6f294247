//! Metrics, fairness and comparisons on a million rows, and what two threads gain on four million.
//!
//! Prints a line for each task, `NAME<tab>CPU milliseconds`, the fastest of several repetitions on one thread; the machine may be busy
//! with other things. Then two lines for each function that takes threads, `NAME, 1 thread, wall` and `NAME, 2 threads, wall`, taken in
//! turns, after making sure that both give the same. `MLOPS_BENCH_ROWS` (default 1 000 000) is the number of rows, four times as
//! many for the threads. `benches/peers/eval.py` runs this beside what users would take today and prints both.
#![allow(missing_docs)]

use std::hint::black_box;
use std::time::Instant;

use mlops_benches::{fastest, scored};
use mlops_core::num::parallel::Threads;
use mlops_core::num::{Random, StatsError};
use mlops_eval::calibration::{CalibrationBins, calibration_curve};
use mlops_eval::classification::{
    Confusion, ConfusionMatrix, LabelMetric, LogLossOptions, RocAucOptions, ScoreOptions, ScoreState,
    WeightedConfusion, WeightedConfusionMatrix, average_precision, brier, log_loss, log_loss_with, roc_auc,
    roc_auc_weighted, roc_auc_with,
};
use mlops_eval::compare::{self, Alternative, Delong, bootstrap_auc};
use mlops_eval::fairness::{
    BootstrapInterval, BootstrapOptions, CellBootstrap, FairnessOptions, GroupMetrics, SensitiveFeature,
};
use mlops_eval::ranking::{Queries, RankingOptions, ndcg};
use mlops_eval::regression::{RegressionState, ResidualState, kendall, median_absolute_error, spearman};

const RATES: [LabelMetric; 4] =
    [LabelMetric::Accuracy, LabelMetric::SelectionRate, LabelMetric::Recall, LabelMetric::FalsePositiveRate];

fn show<R>(name: &str, work: impl FnMut() -> R) {
    println!("{name}\t{:.3}", fastest(7, work));
}

/// A share of [0, 1] as one of `count` categories.
#[allow(clippy::cast_sign_loss, reason = "a share is not negative")]
fn category(share: f64, count: u32) -> u32 {
    ((share * f64::from(count)) as u32).min(count - 1)
}

/// Rows of every kind.
struct Rows {
    labels: Vec<bool>,
    scores: Vec<f64>,
    predicted: Vec<bool>,
    weights: Vec<f64>,
    /// Scores of a second model.
    other: Vec<f64>,
    /// Numbers that the scores predict.
    targets: Vec<f64>,
    /// Of 3 and of 5 categories.
    groups: [Vec<u32>; 2],
}

impl Rows {
    fn new(rows: usize) -> Self {
        let (labels, scores) = scored(rows, 1);
        let mut random = Random::new(2);
        let mut uniform = || (0..rows).map(|_| random.next_f64()).collect::<Vec<f64>>();
        let (noise, weights) = (uniform(), uniform());
        let groups = [3_u32, 5].map(|count| uniform().iter().map(|&u| category(u, count)).collect());
        Self {
            predicted: scores.iter().map(|score| *score >= 0.5).collect(),
            other: scores.iter().zip(&noise).map(|(score, noise)| score + 0.2 * noise).collect(),
            targets: scores
                .iter()
                .zip(&labels)
                .map(|(score, label)| score + f64::from(u8::from(*label)))
                .collect(),
            labels,
            scores,
            weights,
            groups,
        }
    }

    fn features(&self) -> [SensitiveFeature<'_>; 2] {
        [
            SensitiveFeature::new("a", &self.groups[0], ["0", "1", "2"]),
            SensitiveFeature::new("b", &self.groups[1], ["0", "1", "2", "3", "4"]),
        ]
    }

    fn by_group(&self, threads: Threads) -> Result<GroupMetrics, StatsError> {
        let options = FairnessOptions::default();
        GroupMetrics::parallel(&self.labels, &self.predicted, None, &self.features(), &options, threads)
    }
}

fn labels(rows: &Rows) {
    let (labels, predicted) = (&rows.labels, &rows.predicted);
    show("confusion cells and all count metrics", || {
        let cells = Confusion::of(black_box(labels), black_box(predicted))?;
        let all = LabelMetric::ALL.iter().map(|metric| metric.from_counts(cells));
        Ok::<_, StatsError>(all.collect::<Vec<_>>())
    });
    show("confusion cells, weighted", || WeightedConfusion::of(labels, predicted, &rows.weights));
    for classes in [10_u32, 1000] {
        let codes =
            |shares: &[f64]| shares.iter().map(|&share| category(share, classes)).collect::<Vec<u32>>();
        let (truth, guess) = (codes(&rows.weights), codes(&rows.scores));
        let count = classes as usize;
        show(&format!("confusion matrix, {classes} classes"), || ConfusionMatrix::of(&truth, &guess, count));
        show(&format!("confusion matrix, {classes} classes, weighted"), || {
            WeightedConfusionMatrix::of(&truth, &guess, &rows.weights, count)
        });
    }
}

fn scores(rows: &Rows) {
    let (labels, scores) = (&rows.labels, &rows.scores);
    show("log loss", || log_loss(black_box(labels), black_box(scores)));
    show("Brier score", || brier(labels, scores));
    show("ROC AUC", || roc_auc(labels, scores));
    let cauchy: Vec<f64> = scores.iter().map(|score| (3.0 * (score - 0.5)).tan()).collect();
    show("ROC AUC, heavy tails", || roc_auc(labels, &cauchy));
    let rounded: Vec<f64> = scores.iter().map(|score| (100.0 * score).round() / 100.0).collect();
    show("ROC AUC, two decimals", || roc_auc(labels, &rounded));
    show("ROC AUC, weighted", || roc_auc_weighted(labels, scores, &rows.weights));
    show("average precision", || average_precision(labels, scores));
    show("score state", || ScoreState::of(labels, scores));
    show("score state, heavy tails", || ScoreState::of(labels, &cauchy));
    show("score state, weighted", || ScoreState::weighted(labels, scores, &rows.weights));
    show("10-bin calibration, all norms", || {
        let curve = calibration_curve(labels, scores)?;
        Ok::<_, StatsError>([curve.ece(), curve.mce(), curve.rmsce(), curve.ace()])
    });
}

fn numbers(rows: &Rows) {
    let (targets, scores) = (&rows.targets, &rows.scores);
    show("regression, all moments", || RegressionState::of(targets, scores, None)?.finish());
    show("regression, all moments, weighted", || {
        RegressionState::of(targets, scores, Some(&rows.weights))?.finish()
    });
    show("residual quantiles", || ResidualState::of(targets, scores, None)?.summary());
    show("median absolute error", || median_absolute_error(targets, scores));
    show("Spearman correlation", || spearman(targets, scores));
    show("Kendall correlation", || kendall(targets, scores));
}

fn ranked(rows: &Rows) -> Result<(), StatsError> {
    let grades: Vec<f64> = rows.weights.iter().map(|share| (share * 5.0).floor()).collect();
    let offsets: Vec<usize> = (0..=rows.scores.len()).step_by(100).collect();
    let whole = offsets.last().copied().unwrap_or(0);
    let queries = Queries::from_offsets(&grades[..whole], &rows.scores[..whole], &offsets)?;
    show("NDCG, queries of 100 documents", || ndcg(&queries, &RankingOptions::default()));
    Ok(())
}

fn fairness(rows: &Rows) -> Result<(), StatsError> {
    show("4 metrics x 15 groups with intervals", || {
        let groups = rows.by_group(Threads::ONE)?;
        Ok::<_, StatsError>(RATES.map(|metric| groups.by_group(metric)))
    });
    let groups = rows.by_group(Threads::ONE)?;
    let cells = groups.confusions().unwrap_or_default();
    show("2 000 bootstrap resamples of all group rates", || {
        let bootstrap = CellBootstrap::of(cells, &BootstrapOptions::new(1))?;
        let all = bootstrap.resamples().flatten().map(|cells| RATES.map(|rate| rate.from_counts(*cells)));
        Ok::<_, StatsError>(
            all.fold(0.0, |sum, rates| sum + rates.iter().filter_map(|rate| rate.value()).sum::<f64>()),
        )
    });
    show("bootstrap interval of a largest difference, 2 000 resamples", || {
        let bootstrap = CellBootstrap::of(cells, &BootstrapOptions::new(1))?;
        bootstrap.estimate(0.95, BootstrapInterval::Percentile, |cells| {
            let rates =
                cells.iter().filter_map(|cells| LabelMetric::SelectionRate.from_counts(*cells).value());
            let (low, high) = rates.fold((1.0, 0.0), |(low, high), rate| (rate.min(low), rate.max(high)));
            Some(high - low)
        })
    });
    Ok(())
}

fn comparison(rows: &Rows) {
    let (labels, first, second) = (&rows.labels, &rows.scores, &rows.other);
    show("DeLong, 2 models", || {
        Delong::of(labels, &[first, second])?.compare(0, 1, Alternative::TwoSided, 0.95)
    });
    // The sorts are made once, whatever the number of resamples.
    let drawn = |resamples| {
        let options = compare::BootstrapOptions::default()
            .with_resampling(compare::Resampling::Poisson)
            .with_resamples(resamples);
        fastest(3, || bootstrap_auc(labels, first, second, &options))
    };
    println!("one AUC bootstrap resample\t{:.3}", (drawn(41) - drawn(1)) / 40.0);
}

/// The least wall milliseconds on one thread and on two, taken in turns so that both meet the same neighbours.
fn threads<R: PartialEq>(name: &str, work: impl Fn(Threads) -> R) {
    let both = [Threads::ONE, Threads::new(2)];
    assert!(work(both[0]) == work(both[1]), "{name}: two threads give something else");
    let mut least = [f64::INFINITY; 2];
    for _ in 0..15 {
        for (least, threads) in least.iter_mut().zip(both) {
            let before = Instant::now();
            black_box(work(threads));
            *least = least.min(before.elapsed().as_secs_f64() * 1e3);
        }
    }
    println!("{name}, 1 thread, wall\t{:.3}\n{name}, 2 threads, wall\t{:.3}", least[0], least[1]);
}

/// Arithmetic in registers that fills every port of a core: what two threads can gain at most where the machine's second
/// processor shares a core with the first, or has less of the clock when both work.
fn full_ports(threads: Threads) -> u64 {
    let pieces = mlops_core::num::parallel::map(64, threads, |piece| {
        let mut lanes = [0_u64; 16];
        for step in 0..200_000_u64 {
            for (lane, value) in lanes.iter_mut().enumerate() {
                *value = (*value ^ step).wrapping_add(lane as u64 ^ piece as u64);
            }
            black_box(&mut lanes);
        }
        lanes.iter().fold(0, |sum: u64, lane| sum.wrapping_add(*lane))
    });
    pieces.into_iter().fold(0, u64::wrapping_add)
}

/// A sum that takes no time beside the reading of its terms: what two threads can gain at most on columns that do not stay in the
/// cache.
fn read_memory(values: &[f64], threads: Threads) -> f64 {
    let sum = |piece: &[f64]| {
        let mut lanes = [0.0; 16];
        for values in piece.chunks_exact(lanes.len()) {
            lanes.iter_mut().zip(values).for_each(|(lane, value)| *lane += value);
        }
        lanes.iter().sum::<f64>()
    };
    mlops_core::num::parallel::map_pieces(values.len(), threads, |rows| sum(&values[rows])).iter().sum()
}

/// Takes memory for three numbers a row, as a state of distinct scores does, and writes to it for the first time: what two
/// threads can gain at most where the result is as large as the rows.
fn take_memory(rows: usize, threads: Threads) -> usize {
    let parts = mlops_core::num::parallel::map(threads.get(), threads, |_| {
        black_box(vec![1.5_f64; 3 * rows / threads.get()]);
    });
    parts.len().min(1)
}

fn on_threads(rows: &Rows) -> Result<(), StatsError> {
    threads("the machine itself, arithmetic in registers", full_ports);
    let Rows { labels, scores, predicted, weights, other, targets, .. } = rows;
    threads("the machine itself, reading memory", |threads| read_memory(scores, threads));
    threads("the machine itself, taking memory", |threads| take_memory(scores.len(), threads));
    threads("confusion cells", |threads| Confusion::of_with(labels, predicted, threads));
    threads("weighted confusion cells", |threads| {
        WeightedConfusion::of_with(labels, predicted, weights, threads)
    });
    threads("log loss", |threads| {
        log_loss_with(labels, scores, &LogLossOptions::default().with_threads(threads))
    });
    threads("ROC AUC", |threads| {
        roc_auc_with(labels, scores, &RocAucOptions::default().with_threads(threads))
    });
    threads("score state", |threads| {
        ScoreState::of_with(labels, scores, None, &ScoreOptions::default().with_threads(threads))
    });
    threads("calibration bins", |threads| {
        let mut bins = CalibrationBins::uniform(10)?;
        bins.extend_with(labels, scores, None, threads).map(|()| bins)
    });
    threads("regression state", |threads| RegressionState::of_with(targets, scores, None, threads));
    threads("group metrics", |threads| rows.by_group(threads));
    threads("DeLong", |threads| Delong::of_with(labels, &[scores, other], threads));
    let groups = rows.by_group(Threads::ONE)?;
    let cells = groups.confusions().unwrap_or_default();
    threads("cell bootstrap", |threads| {
        let options = BootstrapOptions::new(1).with_threads(threads);
        CellBootstrap::of(cells, &options)
            .map(|drawn| drawn.resamples().flatten().copied().collect::<Vec<Confusion>>())
    });
    Ok(())
}

fn main() -> Result<(), StatsError> {
    let count: usize =
        std::env::var("MLOPS_BENCH_ROWS").ok().and_then(|n| n.parse().ok()).unwrap_or(1_000_000);
    let rows = Rows::new(count);
    labels(&rows);
    scores(&rows);
    numbers(&rows);
    ranked(&rows)?;
    fairness(&rows)?;
    comparison(&rows);
    on_threads(&Rows::new(4 * count))
}
