//! Streaming detectors: time for one value, over streams that hold no drift.
//!
//! Prints a line for each detector, `NAME<tab>CPU milliseconds`, the fastest of several repetitions on one thread.
//! `benches/peers/drift.py` runs this beside river, whose detectors go by the same names there.
#![allow(missing_docs)]

use std::hint::black_box;

use mlops_benches::{fastest, normal};
use mlops_core::num::{Random, StatsError};
use mlops_drift::online::{
    Adwin, AdwinOptions, AnyOnlineDetector, Cusum, Ddm, Eddm, Ewma, Fhddm, HddmA, HddmW, Kswin, KswinOptions,
    OnlineDetector, PageHinkley,
};

const N: usize = 100_000;

fn main() -> Result<(), StatsError> {
    let levels = normal(N, 1, 0.0);
    let mut random = Random::new(2);
    let errors: Vec<f64> = (0..N).map(|_| f64::from(u8::from(random.next_f64() < 0.2))).collect();
    let restarting = Adwin::new(AdwinOptions::default().with_restart(true))?;
    let wide = Kswin::new(KswinOptions::default().with_window(10_000).with_recent(3000))?;
    let detectors: [(&str, &[f64], AnyOnlineDetector); 13] = [
        ("ADWIN update", &levels, Adwin::default().into()),
        ("ADWIN update, restarting", &levels, restarting.into()),
        ("Page-Hinkley update", &levels, PageHinkley::default().into()),
        ("CUSUM update", &levels, Cusum::default().into()),
        ("EWMA update", &levels, Ewma::default().into()),
        ("KSWIN update", &levels, Kswin::default().into()),
        ("KSWIN update, window of 10 000", &levels, wide.into()),
        ("ADWIN update, errors", &errors, Adwin::default().into()),
        ("DDM update", &errors, Ddm::default().into()),
        ("EDDM update", &errors, Eddm::default().into()),
        ("HDDM-A update", &errors, HddmA::default().into()),
        ("HDDM-W update", &errors, HddmW::default().into()),
        ("FHDDM update", &errors, Fhddm::default().into()),
    ];
    for (name, values, mut detector) in detectors {
        let all = fastest(7, || {
            detector.reset();
            let drifts = |value: &f64| detector.update(*value).is_ok_and(|state| state.is_drift());
            black_box(values).iter().map(drifts).filter(|drift| *drift).count()
        });
        println!("{name}\t{:.6}", all / N as f64);
    }
    Ok(())
}
