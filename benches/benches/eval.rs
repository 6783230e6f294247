//! Metrics on a million rows.
#![allow(missing_docs)]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use mlops_benches::scored;
use mlops_eval::classification::{Confusion, log_loss, roc_auc};

const N: usize = 1_000_000;

fn benches(c: &mut Criterion) {
    let (labels, scores) = scored(N, 1);
    let predicted: Vec<bool> = scores.iter().map(|s| *s >= 0.5).collect();
    let mut group = c.benchmark_group("eval 1e6");
    group.throughput(Throughput::Elements(N as u64)).sample_size(10);
    group
        .bench_function("confusion", |b| b.iter(|| Confusion::of(black_box(&labels), black_box(&predicted))));
    group.bench_function("log loss", |b| b.iter(|| log_loss(black_box(&labels), black_box(&scores))));
    group.bench_function("roc auc", |b| b.iter(|| roc_auc(black_box(&labels), black_box(&scores))));
    group.finish();
}

criterion_group!(all, benches);
criterion_main!(all);
