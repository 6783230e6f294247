//! Operational metrics: latencies, rates and availability that add up over instances and windows.

use std::time::Duration;

use mlops_core::ErrorKind;
use mlops_core::monitor::{LatencyHistogram, OperationReport, OperationSeries, RequestOutcome, Window};
use mlops_core::num::{Measured, StatsError, UndefinedReason};
use mlops_core::time::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};

const MINUTE: Duration = Duration::from_secs(60);

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn of(latencies: impl IntoIterator<Item = u64>) -> LatencyHistogram {
    let mut histogram = LatencyHistogram::new();
    latencies.into_iter().for_each(|ns| histogram.record(Duration::from_nanos(ns)));
    histogram
}

/// The latencies of `reference/monitor_latency.py`.
fn draws(shape: &str, n: u64) -> Vec<u64> {
    let mut x = n;
    let mut next = || {
        x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        x >> 11
    };
    let shape: fn(u64) -> u64 = match shape {
        "even_to_a_second" => |r| r % 1_000_000_000,
        "octaves" => |r| (1 << (r % 40)) + (r >> 7) % (1 << (r % 40)),
        "tiny" => |r| r % 300,
        "two_speeds" => {
            |r| if r % 100 > 0 { 2_000_000 + r % 1_000_000 } else { 3_000_000_000 + r % 500_000_000 }
        }
        "one_value" => |_| 1_234_567,
        other => panic!("{other}"),
    };
    (0..n).map(|_| shape(next())).collect()
}

#[test]
fn quantiles_meet_numpy_within_the_stated_error() {
    let reference: Value = serde_json::from_str(include_str!("reference/monitor_latency.json")).unwrap();
    let mut worst: f64 = 0.0;
    for case in reference["cases"].as_array().unwrap() {
        let (shape, n) = (case["shape"].as_str().unwrap(), case["n"].as_u64().unwrap());
        let latencies = draws(shape, n);
        let whole = of(latencies.clone());
        assert_eq!(
            serde_json::to_value(&whole).unwrap()["total_ns"],
            case["total"],
            "the sum of {shape} {n} is exact"
        );
        for (share, expected) in
            reference["shares"].as_array().unwrap().iter().zip(case["quantiles"].as_array().unwrap())
        {
            let (share, expected) =
                (share.as_f64().unwrap(), expected.as_str().unwrap().parse::<u64>().unwrap());
            let got = u64::try_from(whole.quantile(share).unwrap().unwrap().as_nanos()).unwrap();
            let error = got.abs_diff(expected) as f64;
            assert!(
                error <= expected as f64 * LatencyHistogram::RELATIVE_ERROR,
                "{shape} {n} {share}: {got} {expected}"
            );
            worst = worst.max(if expected > 0 { error / expected as f64 } else { error });
        }
        // Split over seven instances and merged in another order, it is the same histogram.
        let mut merged = LatencyHistogram::new();
        for instance in (0..7).rev() {
            merged.merge(&of(latencies.iter().copied().skip(instance).step_by(7))).unwrap();
        }
        assert_eq!(merged, whole, "{shape} {n}");
    }
    println!("largest relative error: {worst:.5}");
    assert!(worst > 0.001, "the reference does not reach where the error is");
}

#[test]
fn the_ends_of_time_are_recorded() {
    let mut histogram = LatencyHistogram::new();
    histogram.record(Duration::ZERO);
    histogram.record(Duration::MAX);
    assert_eq!(histogram.min(), Some(Duration::ZERO));
    assert_eq!(histogram.max(), Some(Duration::from_nanos(u64::MAX)));
    assert_eq!(histogram.quantile(0.5).unwrap(), Some(Duration::ZERO));
    assert_eq!(histogram, serde_json::from_str(&serde_json::to_string(&histogram).unwrap()).unwrap());
}

#[test]
fn nothing_recorded_has_no_quantile_and_a_share_that_is_none_is_refused() {
    let empty = LatencyHistogram::new();
    assert_eq!((empty.summary(), empty.mean(), empty.quantile(0.5).unwrap()), (None, None, None));
    assert_eq!(empty, serde_json::from_str(&serde_json::to_string(&empty).unwrap()).unwrap());
    for bad in [f64::NAN, -0.1, 1.1, f64::INFINITY] {
        assert!(matches!(empty.quantile(bad), Err(StatsError::Parameter { parameter: "q", .. })), "{bad}");
    }
}

#[test]
fn a_written_histogram_that_contradicts_itself_is_refused() {
    let good = serde_json::to_value(of([5, 300, 300, 1_000_000])).unwrap();
    assert!(serde_json::from_value::<LatencyHistogram>(good.clone()).is_ok());
    for (key, value, says) in [
        ("version", json!(2), "version"),
        ("total_ns", json!("1"), "total_ns"),
        ("total_ns", json!("-1"), "total_ns"),
        ("total_ns", json!("+1000605"), "total_ns"),
        ("total_ns", json!(1_000_605), "string"),
        ("total_ns", json!("9".repeat(60)), "total_ns"),
        ("min_ns", json!("4"), "min_ns"),
        ("max_ns", json!("1"), "max_ns"),
        ("buckets", json!([]), "buckets"),
        ("buckets", json!([[5, 1], [5, 1]]), "ascending"),
        ("buckets", json!([[5, 0]]), "empty bucket"),
        ("buckets", json!([[4_000_000_000_u32, 1]]), "no such bucket"),
        ("buckets", json!([[5, u64::MAX], [6, 1]]), "too large"),
        ("extra", json!(1), "unknown field"),
    ] {
        let mut bad = good.clone();
        bad[key] = value;
        let error = serde_json::from_value::<LatencyHistogram>(bad).unwrap_err().to_string();
        assert!(error.contains(says), "{key}: {error}");
    }
}

#[test]
fn counts_that_do_not_fit_are_refused_and_change_nothing() {
    let full =
        json!({"version": 1, "total_ns": "0", "min_ns": "0", "max_ns": "0", "buckets": [[0, u64::MAX]]});
    let mut full: LatencyHistogram = serde_json::from_value(full).unwrap();
    let before = full.clone();
    assert_eq!(full.merge(&of([1])), Err(StatsError::Overflow { what: "the number of latencies" }));
    full.record(Duration::from_secs(1));
    assert_eq!(full, before);
    assert_eq!(full.quantile(1.0).unwrap(), Some(Duration::ZERO));
}

fn series() -> OperationSeries {
    OperationSeries::new(MINUTE).unwrap()
}

#[test]
fn rates_are_those_of_all_requests_not_means_of_means() {
    let start = at("2026-01-01T00:00:00Z");
    let (mut busy, mut idle) = (series(), series());
    for i in 0..990 {
        busy.record(start, RequestOutcome::Answered, Duration::from_micros(1_000 + i));
    }
    for _ in 0..10 {
        idle.record(start, RequestOutcome::Failed, Duration::from_secs(9));
    }
    (0..5).for_each(|_| assert!(idle.record(start, RequestOutcome::Refused, Duration::ZERO)));
    busy.merge(&idle).unwrap();
    let report = busy.report(&Window::new(start, start + MINUTE).unwrap()).unwrap();
    assert_eq!((report.answered, report.failed, report.refused), (990, 10, 5));
    assert_eq!(report.error_rate, Measured::Value(0.01));
    assert_eq!(report.throughput, 1_005.0 / 60.0);
    // A failure says nothing about how fast answers are.
    assert_eq!(report.latency.unwrap().max, Duration::from_micros(1_989));
}

#[test]
fn a_slot_is_down_when_its_share_of_failures_says_so() {
    let start = at("2026-01-01T00:00:00Z");
    let fill = |mut series: OperationSeries| {
        for (minute, answered, failed) in [(0, 10, 0), (1, 5, 5), (2, 0, 10), (4, 9, 1)] {
            let when = start + MINUTE * minute;
            (0..answered)
                .for_each(|_| assert!(series.record(when, RequestOutcome::Answered, Duration::ZERO)));
            (0..failed).for_each(|_| assert!(series.record(when, RequestOutcome::Failed, Duration::ZERO)));
        }
        // Refused requests alone say neither up nor down.
        series.record(start + MINUTE * 5, RequestOutcome::Refused, Duration::ZERO);
        series.report(&Window::new(start, start + MINUTE * 10).unwrap()).unwrap().availability
    };
    assert_eq!(fill(series()), Measured::Value(0.75));
    assert_eq!(fill(series().with_down_at(0.5).unwrap()), Measured::Value(0.5));
    assert_eq!(fill(series().with_down_at(0.1).unwrap()), Measured::Value(0.25));
}

#[test]
fn a_window_without_requests_has_no_rates() {
    let start = at("2026-01-01T00:00:00Z");
    let report = series().report(&Window::new(start, start + MINUTE).unwrap()).unwrap();
    let reason = |measured: Measured| measured.undefined().map(|undefined| undefined.reason);
    assert_eq!(report.throughput, 0.0);
    assert_eq!(reason(report.error_rate), Some(UndefinedReason::ZeroDenominator));
    assert_eq!(reason(report.availability), Some(UndefinedReason::ZeroDenominator));
    assert_eq!(
        report.signals().filter(|(_, value)| value.is_none()).count(),
        OperationReport::SIGNALS.len() - 1
    );
}

#[test]
fn windows_off_the_grid_and_before_what_is_kept_are_refused() {
    let start = at("2026-01-01T00:00:00Z");
    let mut series = series().with_retention(2).unwrap();
    for minute in 0..3 {
        assert!(series.record(start + MINUTE * minute, RequestOutcome::Answered, Duration::ZERO));
    }
    assert!(!series.record(start, RequestOutcome::Answered, Duration::ZERO), "that slot was dropped");
    let report = |from, to| series.report(&Window::new(from, to).unwrap());
    assert_eq!(report(start + MINUTE, start + MINUTE * 3).unwrap().answered, 2);
    assert_eq!(report(start, start + MINUTE * 3).unwrap_err().kind(), ErrorKind::NotFound);
    let off = report(start + Duration::from_secs(61), start + MINUTE * 3).unwrap_err();
    assert_eq!((off.kind(), off.context("field")), (ErrorKind::InvalidInput, Some("start")));
    let off = report(start + MINUTE, start + MINUTE * 2 + Duration::from_nanos(1)).unwrap_err();
    assert_eq!(off.context("field"), Some("end"));
    // Slots before the epoch have a place too.
    let mut early = OperationSeries::new(MINUTE).unwrap();
    let before = at("1969-12-31T23:59:30Z");
    early.record(before, RequestOutcome::Answered, Duration::ZERO);
    let window = Window::new(at("1969-12-31T23:59:00Z"), at("1970-01-01T00:00:00Z")).unwrap();
    assert_eq!(early.report(&window).unwrap().answered, 1);
}

#[test]
fn series_that_do_not_fit_together_are_not_merged() {
    let mut series = series();
    let other = OperationSeries::new(Duration::from_secs(10)).unwrap();
    assert!(matches!(series.merge(&other), Err(StatsError::Incompatible { .. })));
    let other = OperationSeries::new(MINUTE).unwrap().with_down_at(0.5).unwrap();
    assert!(matches!(series.merge(&other), Err(StatsError::Incompatible { .. })));
    for bad in [Duration::ZERO, Duration::from_micros(1_500), Duration::from_secs(400 * 86_400)] {
        assert_eq!(OperationSeries::new(bad).unwrap_err().context("field"), Some("width"), "{bad:?}");
    }
    for bad in [0.0, f64::NAN, 1.5, -1.0] {
        assert!(OperationSeries::new(MINUTE).unwrap().with_down_at(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_written_series_is_checked_when_it_is_read() {
    let mut series = series();
    series.record(at("2026-01-01T00:00:00Z"), RequestOutcome::Answered, MINUTE);
    series.record(at("2026-01-01T00:01:00Z"), RequestOutcome::Failed, MINUTE);
    let good = serde_json::to_value(&series).unwrap();
    assert_eq!(serde_json::from_value::<OperationSeries>(good.clone()).unwrap(), series);
    for (pointer, value) in [
        ("/version", json!(7)),
        ("/width", json!("1ns")),
        ("/down_at", json!(0)),
        ("/retention", json!(1)),
        ("/retention", json!(0)),
        ("/slots/0/0", json!(i64::MAX)),
        ("/slots/0/1/answered", json!(2)),
        ("/floor", json!(i64::MAX)),
    ] {
        let mut bad = good.clone();
        match bad.pointer_mut(pointer) {
            Some(place) => *place = value,
            None => bad["floor"] = value,
        }
        assert!(serde_json::from_value::<OperationSeries>(bad).is_err(), "{pointer}");
    }
}

proptest! {
    #[test]
    fn merging_is_the_same_in_every_order(parts in prop::collection::vec(prop::collection::vec(any::<u64>(), 0..40), 1..6)) {
        let histograms: Vec<_> = parts.iter().map(|part| of(part.iter().copied())).collect();
        let sum = |order: &mut dyn Iterator<Item = &LatencyHistogram>| {
            order.fold(LatencyHistogram::new(), |mut sum, next| {
                sum.merge(next).unwrap();
                sum
            })
        };
        let forward = sum(&mut histograms.iter());
        prop_assert_eq!(&forward, &sum(&mut histograms.iter().rev()));
        prop_assert_eq!(&forward, &of(parts.concat()));
        let text = serde_json::to_string(&forward).unwrap();
        prop_assert_eq!(&serde_json::from_str::<LatencyHistogram>(&text).unwrap(), &forward);
    }
}
