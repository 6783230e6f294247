//! Streaming detectors: time for one value, over streams that hold no drift.
#![allow(missing_docs)]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use mlops_benches::normal;
use mlops_core::num::Random;
use mlops_drift::online::{
    Adwin, AdwinOptions, AnyOnlineDetector, Cusum, Ddm, Eddm, Ewma, Fhddm, HddmA, HddmW, Kswin, KswinOptions,
    OnlineDetector, PageHinkley,
};

const N: usize = 100_000;

fn benches(c: &mut Criterion) {
    let levels = normal(N, 1, 0.0);
    let mut random = Random::new(2);
    let errors: Vec<f64> = (0..N).map(|_| f64::from(u8::from(random.next_f64() < 0.2))).collect();
    let wide = KswinOptions { window: 10_000, recent: 3000, ..Default::default() };
    let detectors: [(&str, &[f64], AnyOnlineDetector); 13] = [
        ("adwin", &levels, Adwin::default().into()),
        (
            "adwin, restarting",
            &levels,
            Adwin::new(AdwinOptions { restart: true, ..Default::default() }).expect("valid").into(),
        ),
        ("page-hinkley", &levels, PageHinkley::default().into()),
        ("cusum", &levels, Cusum::default().into()),
        ("ewma", &levels, Ewma::default().into()),
        ("kswin 100", &levels, Kswin::default().into()),
        ("kswin 10000", &levels, Kswin::new(wide).expect("valid").into()),
        ("adwin, errors", &errors, Adwin::default().into()),
        ("ddm", &errors, Ddm::default().into()),
        ("eddm", &errors, Eddm::default().into()),
        ("hddm-a", &errors, HddmA::default().into()),
        ("hddm-w", &errors, HddmW::default().into()),
        ("fhddm", &errors, Fhddm::default().into()),
    ];
    let mut group = c.benchmark_group("online 1e5 updates");
    group.throughput(Throughput::Elements(N as u64)).sample_size(10);
    for (name, values, mut detector) in detectors {
        group.bench_function(name, |b| {
            b.iter(|| {
                detector.reset();
                let drifts = |value: &f64| detector.update(*value).is_ok_and(|state| state.is_drift());
                black_box(values).iter().map(drifts).filter(|drift| *drift).count()
            });
        });
    }
    group.finish();
}

criterion_group!(all, benches);
criterion_main!(all);
