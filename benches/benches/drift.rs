//! Drift statistics at ten million values a side, and twenty columns of a hundred thousand rows.
//!
//! Prints a line for each task, `NAME<tab>CPU milliseconds`, the fastest of several repetitions on one thread; the machine may be busy
//! with other things. `MLOPS_BENCH_ROWS` (default 10 000 000) is the size of a side. `benches/peers/drift.py` runs this beside what
//! users would take today and prints both.
#![allow(missing_docs)]

use std::hint::black_box;
use std::time::Instant;

use mlops_benches::fastest;
use mlops_core::num::{Random, StatsError};
use mlops_drift::{
    BinRule, Bins, Counts, KsMethod, KsOptions, LogBase, Smoothing, SortedReference, WassersteinOptions,
    WassersteinScale, Workspace, chi2_homogeneity, js_from_counts, ks, psi_from_counts, wasserstein_with,
};

fn show<R>(name: &str, work: impl FnMut() -> R) {
    println!("{name}\t{:.3}", fastest(5, work));
}

/// Sums of four uniforms: normal enough, and quick to make.
fn bell(n: usize, seed: u64) -> Vec<f64> {
    let mut random = Random::new(seed);
    (0..n).map(|_| (0..4).map(|_| random.next_f64()).sum::<f64>() - 2.0).collect()
}

fn map(values: &[f64], f: impl Fn(f64) -> f64) -> Vec<f64> {
    values.iter().map(|value| f(*value)).collect()
}

fn counting(reference: &[f64], current: &[f64]) -> Result<(), StatsError> {
    show("sum of the values", || current.iter().sum::<f64>());
    for k in [10, 20, 64] {
        let bins = Bins::fit(&reference[..reference.len().min(1_000_000)], BinRule::Quantile(k))?;
        let (before, mut after) = (bins.count(reference), bins.count(&current[..0]));
        show(&format!("PSI and JS counts, {k} fitted cells"), || {
            bins.count_into(&mut after, black_box(current))?;
            psi_from_counts(before.as_slice(), after.as_slice(), Smoothing::default())?;
            js_from_counts(before.as_slice(), after.as_slice(), LogBase::Two)
        });
    }
    Ok(())
}

fn exact(reference: &[f64], current: &[f64]) -> Result<(), StatsError> {
    let raw = WassersteinOptions::default().with_scale(WassersteinScale::Raw);
    let moved = map(current, |value| value + 0.1);
    let rounded =
        (map(reference, |v| (170.0 * v).round() / 100.0), map(current, |v| (170.0 * v).round() / 100.0));
    show("KS, two raw samples, no drift", || ks(reference, current));
    show("KS, two raw samples, drift", || ks(reference, &moved));
    show("KS, two raw samples, heavy ties", || ks(&rounded.0, &rounded.1));
    show("Wasserstein, two raw samples, no drift", || wasserstein_with(reference, current, &raw));
    show("Wasserstein, two raw samples, drift", || wasserstein_with(reference, &moved, &raw));
    let fitted = SortedReference::fit(reference)?;
    let mut workspace = fitted.workspace(current.len());
    let limit = KsOptions::default().with_method(KsMethod::Asymptotic);
    for (name, current) in [("no drift", current), ("drift", &moved)] {
        show(&format!("KS, fitted reference, {name}"), || fitted.ks(current, &limit, &mut workspace));
        show(&format!("Wasserstein, fitted reference, {name}"), || {
            fitted.wasserstein(current, &raw, &mut workspace)
        });
    }
    Ok(())
}

/// A fitted column with what a check needs room for.
struct Column {
    bins: Bins,
    before: Counts,
    after: Counts,
    sorted: SortedReference<f64>,
    workspace: Workspace<f64>,
    current: Vec<f64>,
}

impl Column {
    fn new(seed: u64, rows: usize) -> Result<Self, StatsError> {
        let (reference, current) = (bell(rows, 2 * seed), bell(rows, 2 * seed + 1));
        let bins = Bins::fit(&reference, BinRule::default())?;
        let (before, after) = (bins.count(&reference), bins.count(&reference[..0]));
        let sorted = SortedReference::fit(&reference)?;
        let workspace = sorted.workspace(rows);
        Ok(Self { bins, before, after, sorted, workspace, current })
    }

    /// PSI, chi-square, KS and Wasserstein.
    fn check(&mut self) -> Result<f64, StatsError> {
        let limit = KsOptions::default().with_method(KsMethod::Asymptotic);
        self.after = self.bins.count(&self.current);
        let (before, after) = (self.before.as_slice(), self.after.as_slice());
        let psi = psi_from_counts(before, after, Smoothing::default())?;
        let chi2 = chi2_homogeneity(before, after)?;
        let test = self.sorted.ks(&self.current, &limit, &mut self.workspace)?;
        let moved =
            self.sorted.wasserstein(&self.current, &WassersteinOptions::default(), &mut self.workspace)?;
        Ok(psi.score + chi2.statistic + test.numerator as f64 + moved.score)
    }
}

/// Wall milliseconds of all columns on as many threads.
fn on_threads(columns: &mut [Column], threads: usize) -> f64 {
    let once = |_| {
        let before = Instant::now();
        std::thread::scope(|scope| {
            for part in columns.chunks_mut(columns.len().div_ceil(threads)) {
                scope.spawn(|| part.iter_mut().map(Column::check).filter(Result::is_err).count());
            }
        });
        before.elapsed().as_secs_f64() * 1e3
    };
    (0..15).map(once).fold(f64::INFINITY, f64::min)
}

fn table() -> Result<(), StatsError> {
    let mut columns = (0..20).map(|seed| Column::new(seed, 100_000)).collect::<Result<Vec<Column>, _>>()?;
    show("100 000 rows x 20 columns, PSI + KS + W1 + chi-square", || {
        columns.iter_mut().map(Column::check).collect::<Result<Vec<f64>, _>>()
    });
    let (one, two) = (on_threads(&mut columns, 1), on_threads(&mut columns, 2));
    println!("the same on 1 thread, wall\t{one:.3}\nthe same on 2 threads, wall\t{two:.3}");
    Ok(())
}

fn main() -> Result<(), StatsError> {
    let rows = std::env::var("MLOPS_BENCH_ROWS").ok().and_then(|n| n.parse().ok()).unwrap_or(10_000_000);
    let (reference, current) = (bell(rows, 1), bell(rows, 2));
    counting(&reference, &current)?;
    exact(&reference, &current)?;
    table()
}
