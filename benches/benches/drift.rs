//! Drift statistics on a million values a side.
#![allow(missing_docs)]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use mlops_benches::normal;
use mlops_drift::{BinRule, Bins, KsMethod, Smoothing, ks_sorted, psi_from_counts};

const N: usize = 1_000_000;

fn benches(c: &mut Criterion) {
    let (reference, current) = (normal(N, 1, 0.0), normal(N, 2, 0.1));
    let mut group = c.benchmark_group("drift 1e6");
    group.throughput(Throughput::Elements(N as u64)).sample_size(10);

    let bins = Bins::fit(&reference, BinRule::default()).expect("a million finite values");
    let baseline = bins.count(&reference);
    group.bench_function("psi, cells fitted", |b| {
        b.iter(|| {
            let counts = bins.count(black_box(&current));
            psi_from_counts(baseline.as_slice(), counts.as_slice(), Smoothing::default())
        });
    });

    let mut sorted = reference.clone();
    sorted.sort_unstable_by(f64::total_cmp);
    group.bench_function("ks, reference sorted", |b| {
        b.iter(|| {
            let mut current = black_box(&current).clone();
            current.sort_unstable_by(f64::total_cmp);
            ks_sorted(&sorted, &current, KsMethod::Asymptotic)
        });
    });
    group.finish();
}

criterion_group!(all, benches);
criterion_main!(all);
