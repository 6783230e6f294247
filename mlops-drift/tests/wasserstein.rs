//! Wasserstein-1 against exact rationals and SciPy, one-sided Kolmogorov–Smirnov against SciPy, and how often either alarms when
//! nothing drifts. `reference/wasserstein.py` wrote the values.

use std::fs;
use std::path::Path;

use mlops_core::num::{NanPolicy, Random, StatsError};
use mlops_drift::{
    Alternative, Definition, KsMethod, KsOptions, SortedReference, WassersteinOptions, WassersteinScale,
    ks_with, wasserstein, wasserstein_sorted, wasserstein_weighted, wasserstein_with,
};
use serde::Deserialize;
use serde::de::DeserializeOwned;

fn load<T: DeserializeOwned>(name: &str) -> T {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference").join(format!("{name}.json"));
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

#[track_caller]
fn close(got: f64, expected: f64, tolerance: f64, of: &str) {
    assert!((got - expected).abs() <= tolerance * expected.abs(), "{of}: {got:e} is not {expected:e}");
}

#[derive(Deserialize)]
struct Case {
    name: String,
    tool: String,
    reference: Vec<f64>,
    current: Vec<f64>,
    raw: f64,
    scipy: Option<f64>,
    iqr: f64,
    std: [Option<f64>; 2],
}

#[derive(Deserialize)]
struct Weighted {
    tool: String,
    reference: Vec<f64>,
    reference_weights: Vec<f64>,
    current: Vec<f64>,
    current_weights: Vec<f64>,
    raw: f64,
}

#[derive(Deserialize)]
struct Cases {
    cases: Vec<Case>,
    weighted: Weighted,
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values
}

/// Every way to the distance in one unit.
fn every_way(a: &[f64], b: &[f64], scale: WassersteinScale) -> Vec<f64> {
    let options = WassersteinOptions::default().with_scale(scale);
    let (ones_a, ones_b) = (vec![1.0; a.len()], vec![3.0; b.len()]);
    let fitted = SortedReference::fit(a).unwrap();
    let mut every = vec![
        wasserstein_with(a, b, &options).unwrap(),
        wasserstein_sorted(&sorted(a), &sorted(b), &options).unwrap(),
        fitted.wasserstein(b, &options, &mut fitted.workspace(b.len())).unwrap(),
    ];
    if scale == WassersteinScale::Raw {
        every.push(wasserstein_with(b, a, &options).unwrap());
        // Shares of subnormal gaps are rounded away.
        if a.iter().any(|value| value.abs() > 1e-300) {
            every.push(wasserstein_weighted(a, &ones_a, b, &ones_b, &options).unwrap());
        }
    }
    every.into_iter().map(|distance| distance.score).collect()
}

#[test]
fn distances_agree_with_exact_rationals_and_with_scipy() {
    let Cases { cases, weighted } = load("wasserstein");
    for Case { name, tool, reference, current, raw, scipy, iqr, std } in cases {
        let of = format!("{name} by {tool}");
        for got in every_way(&reference, &current, WassersteinScale::Raw) {
            // The smallest number is as near as subnormals come.
            assert!((got - raw).abs() <= 1e-14 * raw + 5e-324, "{of}: {got:e} is not {raw:e}");
            if let Some(scipy) = scipy.filter(|_| raw > 1e-300) {
                close(got, scipy, 1e-12, &of);
            }
        }
        if raw < 1e-300 {
            continue;
        }
        for (scale, width) in [
            (WassersteinScale::Iqr, Some(iqr)),
            (WassersteinScale::Std0, std[0]),
            (WassersteinScale::Std1, std[1]),
        ] {
            if let Some(width) = width.filter(|width| *width > 0.0) {
                for got in every_way(&reference, &current, scale) {
                    close(got, raw / width, 1e-12, &format!("{of}, {scale:?}"));
                }
            }
        }
    }
    let raw = WassersteinOptions::default().with_scale(WassersteinScale::Raw);
    let Weighted { tool, reference, reference_weights, current, current_weights, raw: expected } = weighted;
    let got = wasserstein_weighted(&reference, &reference_weights, &current, &current_weights, &raw).unwrap();
    close(got.score, expected, 1e-12, &tool);
}

/// SciPy 1.17.1 and NumPy 2.4.6 for a unit of 1: `wasserstein_distance(a, b) / numpy.std(a, ddof=ddof)`.
#[test]
fn a_deviation_is_divided_by_in_any_unit() {
    let expected = [
        (WassersteinScale::Std0, 0.632_052_565_741_072_5),
        (WassersteinScale::Std1, 0.585_166_969_475_896_7),
    ];
    for unit in [1.0, 2.0_f64.powi(-700), 2.0_f64.powi(-1000), 2.0_f64.powi(700), 2.0_f64.powi(1015)] {
        let a = [1.0, 2.0, 2.0, 2.0, 2.0, 2.0, 9.0].map(|value| value * unit);
        let b = [1.0, 2.0, 4.0, 4.0, 5.0].map(|value| value * unit);
        for (scale, expected) in expected {
            let options = WassersteinOptions::default().with_scale(scale);
            let weighted = wasserstein_weighted(&a, &[1.0; 7], &b, &[1.0; 5], &options).unwrap();
            let sorted = wasserstein_with(&a, &b, &options).unwrap();
            for got in [sorted, weighted] {
                assert_eq!(got.definition, Definition::Wasserstein(scale), "{unit:e}");
                close(got.score, expected, 1e-14, &format!("{unit:e}, {scale:?}"));
            }
        }
        // Without an interquartile range the deviation takes its place.
        let got = wasserstein(&a, &b).unwrap();
        assert_eq!(got.definition, Definition::Wasserstein(WassersteinScale::Std0), "{unit:e}");
        close(got.score, expected[0].1, 1e-14, &format!("{unit:e}"));
    }
}

#[test]
fn large_samples_agree_with_their_sorted_selves() {
    let mut random = Random::new(5);
    let mut draw =
        |n: usize, f: &dyn Fn(f64) -> f64| (0..n).map(|_| f(random.next_f64())).collect::<Vec<f64>>();
    let (raw, iqr) = (WassersteinScale::Raw, WassersteinScale::Iqr);
    let shapes: [&dyn Fn(f64) -> f64; 4] =
        [&|u| u, &|u| 1e9 + u.ln(), &|u| (u * 30.0).floor(), &|u| if u < 0.001 { 1e300 } else { u }];
    for shape in shapes {
        let (a, b) = (draw(20_000, shape), draw(15_000, shape));
        for scale in [raw, iqr] {
            let every = every_way(&a, &b, scale);
            for got in &every[1..] {
                close(*got, every[0], 1e-13, "another way");
            }
        }
    }
}

#[test]
fn hostile_samples_get_a_number_or_a_reason() {
    let of = |distance: mlops_drift::Distance| distance.definition;
    // No interquartile range, then no deviation either.
    let flat = wasserstein(&[1.0, 1.0, 1.0, 1.0, 9.0], &[1.0, 2.0]).unwrap();
    assert_eq!(of(flat), Definition::Wasserstein(WassersteinScale::Std0));
    let moved = wasserstein(&[3.5; 10], &[4.5; 10]).unwrap();
    assert_eq!((of(moved), moved.score), (Definition::Wasserstein(WassersteinScale::Range), 1.0));
    let still = wasserstein(&[3.5; 10], &[3.5; 7]).unwrap();
    assert_eq!((still.score, still.noise_floor, still.p.value()), (0.0, 0.0, None));
    // As far apart as numbers are.
    let raw = WassersteinOptions::default().with_scale(WassersteinScale::Raw);
    assert!(matches!(wasserstein_with(&[f64::MAX], &[f64::MIN], &raw), Err(StatsError::Overflow { .. })));
    assert_eq!(wasserstein_with(&[f64::MAX], &[0.0], &raw).unwrap().score, f64::MAX);
    for (values, error) in [
        (&[][..], StatsError::Empty { argument: "current" }),
        (&[1.0, f64::NAN], StatsError::Nan { argument: "current", index: 1 }),
        (&[f64::INFINITY], StatsError::NotFinite { argument: "current", index: 0, value: f64::INFINITY }),
    ] {
        assert_eq!(wasserstein(&[1.0, 2.0][..], values), Err(error));
        assert_eq!(wasserstein_sorted(&[1.0, 2.0], values, &raw), Err(error));
        let fitted = SortedReference::fit(&[1.0, 2.0]).unwrap();
        assert_eq!(fitted.wasserstein(values, &raw, &mut fitted.workspace(2)), Err(error));
    }
    let omit = raw.with_nan(NanPolicy::Omit);
    let holed = wasserstein_with(&[1.0, f64::NAN], &[f64::NAN, 3.0], &omit).unwrap();
    assert_eq!((holed.score, holed.current.missing, holed.current.used), (2.0, 1, 1));
    let propagate = raw.with_nan(NanPolicy::Propagate);
    assert!(matches!(wasserstein_with(&[1.0], &[1.0], &propagate), Err(StatsError::Unsupported { .. })));
    assert_eq!(wasserstein_with(&[1u8, 255], &[0, 0], &raw).unwrap().score, 128.0);
    assert_eq!(wasserstein_with(&[true, false], &[true, true], &raw).unwrap().score, 0.5);
}

/// A sum of twelve uniform numbers is normal enough.
fn normal(random: &mut Random) -> f64 {
    (0..12).map(|_| random.next_f64()).sum::<f64>() - 6.0
}

#[test]
fn without_drift_the_distance_is_what_its_floor_says_and_alarms_are_as_rare() {
    const SIMULATIONS: u32 = 400;
    type Shape = (&'static str, fn(&mut Random) -> f64);
    let shapes: [Shape; 5] = [
        ("uniform", Random::next_f64),
        ("normal", normal),
        ("lognormal", |random| normal(random).exp()),
        ("Pareto with four moments at most", |random| (1.0 - random.next_f64()).powf(-0.2)),
        ("rounded", |random| (2.0 * normal(random)).round()),
    ];
    for (name, shape) in shapes {
        let mut random = Random::new(11);
        let (mut alarms, mut scores, mut floors) = (0, 0.0, 0.0);
        for _ in 0..SIMULATIONS {
            let mut draw = |n: usize| (0..n).map(|_| shape(&mut random)).collect::<Vec<f64>>();
            let distance = wasserstein(&draw(150), &draw(90)).unwrap();
            alarms += u32::from(distance.p.value().unwrap() < 0.05);
            scores += distance.score;
            floors += distance.noise_floor;
        }
        let rate = f64::from(alarms) / f64::from(SIMULATIONS);
        println!("{name}: alarms {rate}, score over floor {}", scores / floors);
        // Four binomial standard deviations around 4.5 to 6 %.
        assert!((0.004..=0.108).contains(&rate), "{name}: {rate}");
        assert!((scores / floors - 1.0).abs() < 0.1, "{name}: {}", scores / floors);
    }
}

/// P(at most `held` of `runs`) where each holds with this probability.
fn binomial(held: u32, runs: u32, probability: f64) -> f64 {
    let mut term = f64::from(runs) * (1.0 - probability).ln();
    let mut total = term.exp();
    for k in 0..held {
        term += (f64::from(runs - k) / f64::from(k + 1)).ln() + (probability / (1.0 - probability)).ln();
        total += term.exp();
    }
    total
}

/// A normal number by Box and Muller.
fn gauss(random: &mut Random) -> f64 {
    let radius = (-2.0 * (1.0 - random.next_f64()).ln()).sqrt();
    radius * (2.0 * std::f64::consts::PI * random.next_f64()).cos()
}

type Draw = fn(&mut Random) -> f64;

fn exponential(random: &mut Random) -> f64 {
    -(1.0 - random.next_f64()).ln()
}

/// How many of three coins fall.
fn coins(random: &mut Random, probability: f64) -> f64 {
    (0..3).map(|_| f64::from(u8::from(random.next_f64() < probability))).sum()
}

/// Name, reference, current sample, and how far their distributions are apart.
const PAIRS: [(&str, Draw, Draw, f64); 11] = [
    ("normal", gauss, gauss, 0.0),
    ("normal, 0.1 away", gauss, |random| gauss(random) + 0.1, 0.1),
    ("normal, 0.5 away", gauss, |random| gauss(random) + 0.5, 0.5),
    ("normal, 8 away", gauss, |random| gauss(random) + 8.0, 8.0),
    // 0.3·√(2/π)
    ("normal, 1.3 times as wide", gauss, |random| gauss(random) * 1.3, 0.239_365_368_240_859_6),
    ("exponential", exponential, exponential, 0.0),
    ("exponential, 1.1 times as wide", exponential, |random| exponential(random) * 1.1, 0.1),
    ("exponential, 1.5 times as wide", exponential, |random| exponential(random) * 1.5, 0.5),
    // One is always at least the other, so that the means tell: 3·(0.5 − 0.45) and 3·(0.5 − 0.3).
    ("coins, slightly bent", |random| coins(random, 0.5), |random| coins(random, 0.45), 0.15),
    ("coins, bent", |random| coins(random, 0.5), |random| coins(random, 0.3), 0.6),
    // Only the uppermost twentieth moves, by 2.
    (
        "uniform, with a tail",
        Random::next_f64,
        |random| {
            let u = random.next_f64();
            if u < 0.95 { u } else { u + 2.0 }
        },
        0.1,
    ),
];

#[test]
fn intervals_hold_the_true_distance_as_often_as_they_say() {
    let raw = WassersteinOptions::default().with_scale(WassersteinScale::Raw);
    for (name, before, after, truth) in PAIRS {
        for (n, m, runs) in [(200, 300, 400), (2000, 1000, 100)] {
            // Discrete samples are nearest to the level, and so take more runs to tell.
            let runs = if name.starts_with("coins") { 400 } else { runs };
            let mut random = Random::new(29);
            let (mut held, mut below, mut above, mut width) = (0, 0, 0, 0.0);
            for _ in 0..runs {
                let a: Vec<f64> = (0..n).map(|_| before(&mut random)).collect();
                let b: Vec<f64> = (0..m).map(|_| after(&mut random)).collect();
                let distance = if n < 1000 {
                    wasserstein_with(&a, &b, &raw).unwrap()
                } else {
                    // From the cells.
                    let fitted = SortedReference::fit(&a).unwrap();
                    fitted.wasserstein(&b, &raw, &mut fitted.workspace(m)).unwrap()
                };
                let interval = distance.interval.unwrap();
                assert!(interval.contains(distance.score) || interval.low == 0.0);
                held += u32::from(interval.contains(truth));
                below += u32::from(interval.high < truth);
                above += u32::from(interval.low > truth);
                width += (interval.high - interval.low) / f64::from(runs);
            }
            let rate = f64::from(held) / f64::from(runs);
            println!("{name}, {n} and {m}: {rate}, {below} below and {above} above, {width:.4} wide");
            // Where 400 runs tell, 93 % in them; nowhere is 95 % beyond belief.
            assert!(runs < 400 || rate >= 0.93, "{name}, {n} and {m}: {rate}");
            assert!(binomial(held, runs, 0.95) > 0.01, "{name}, {n} and {m}: {rate}");
        }
    }
}

#[test]
fn every_way_leads_to_the_same_interval() {
    let mut random = Random::new(31);
    for (name, before, after, _) in PAIRS {
        let a: Vec<f64> = (0..12_000).map(|_| before(&mut random)).collect();
        let b: Vec<f64> = (0..9000).map(|_| after(&mut random)).collect();
        for scale in [WassersteinScale::Raw, WassersteinScale::Std0, WassersteinScale::Range] {
            let options = WassersteinOptions::default().with_scale(scale);
            let exact = wasserstein_sorted(&sorted(&a), &sorted(&b), &options).unwrap();
            let counted = wasserstein_with(&a, &b, &options).unwrap();
            let (ones_a, ones_b) = (vec![2.0; a.len()], vec![0.5; b.len()]);
            let weighted = wasserstein_weighted(&a, &ones_a, &b, &ones_b, &options).unwrap();
            let expected = exact.interval.unwrap();
            assert!(expected.low <= exact.score && exact.score <= expected.high, "{name}");
            for got in [counted, weighted].map(|distance| distance.interval.unwrap()) {
                let error = (got.low - expected.low).abs().max((got.high - expected.high).abs());
                assert!(error <= 0.02 * (expected.high - expected.low), "{name}: {got:?}, {expected:?}");
            }
            // The interval goes with the scale.
            let raw =
                wasserstein_with(&a, &b, &WassersteinOptions::default().with_scale(WassersteinScale::Raw));
            let raw = raw.unwrap();
            let unit = raw.score / counted.score;
            close(counted.interval.unwrap().high * unit, raw.interval.unwrap().high, 1e-12, name);
        }
    }
}

#[test]
fn intervals_of_hostile_samples_are_finite_or_none() {
    let mut random = Random::new(37);
    let tails: Vec<f64> =
        (0..20_000).map(|_| (std::f64::consts::PI * (random.next_f64() - 0.5)).tan()).collect();
    let mut outlier = tails.clone();
    outlier[77] = 1e300;
    let steps: Vec<f64> = tails.iter().map(|value| value.round().clamp(-2.0, 2.0)).collect();
    let samples: [&[f64]; 13] = [
        &[0.0],
        &[1.0, 1.0],
        &[1.0; 30],
        &[0.0, 5e-324, 1e-323],
        &[f64::MAX, 0.0, 1.0],
        &[f64::MIN, f64::MAX],
        &[1e300, -1e300, 3.0],
        &[1e16, 1e16 + 2.0, 1e16 + 4.0],
        &[-0.0, 0.0, 1.0],
        &tails,
        &tails[..300],
        &outlier,
        &steps,
    ];
    let mut seen = [0, 0];
    let mut check = |distance: Result<mlops_drift::Distance, StatsError>| {
        let Ok(distance) = distance else { return };
        let Some(interval) = distance.interval else {
            seen[0] += 1;
            return;
        };
        seen[1] += 1;
        assert!(interval.low.is_finite() && interval.high.is_finite(), "{distance:?}");
        assert!(0.0 <= interval.low && interval.low <= distance.score, "{distance:?}");
        assert!(distance.score <= interval.high, "{distance:?}");
        if matches!(distance.definition, Definition::Wasserstein(WassersteinScale::Range)) {
            assert!(interval.high <= 1.0 + 1e-15, "{distance:?}");
        }
    };
    for a in samples {
        let fitted = SortedReference::fit(a).unwrap();
        for b in samples {
            for scale in [WassersteinScale::Raw, WassersteinScale::Iqr, WassersteinScale::Range] {
                let options = WassersteinOptions::default().with_scale(scale);
                check(wasserstein_with(a, b, &options));
                check(wasserstein_sorted(&sorted(a), &sorted(b), &options));
                check(fitted.wasserstein(b, &options, &mut fitted.workspace(b.len())));
                let weights =
                    |values: &[f64]| (0..values.len()).map(|i| (i % 3 + 1) as f64).collect::<Vec<f64>>();
                check(wasserstein_weighted(a, &weights(a), b, &weights(b), &options));
            }
        }
    }
    assert!(seen.iter().all(|count| *count > 100), "{seen:?}");
    // One value says nothing about its spread, and neither do samples that have none.
    assert_eq!(wasserstein(&[1.0, 2.0, 3.0], &[2.0]).unwrap().interval, None);
    assert_eq!(wasserstein(&[3.5; 10], &[4.5; 10]).unwrap().interval, None);
}

#[derive(Deserialize)]
struct Sided {
    name: String,
    tool: String,
    reference: Vec<f64>,
    current: Vec<f64>,
    alternative: Alternative,
    statistic: f64,
    p: f64,
}

#[test]
fn one_sided_kolmogorov_smirnov_agrees_with_scipy() {
    for Sided { name, tool, reference, current, alternative, statistic, p } in
        load::<Vec<Sided>>("ks_one_sided")
    {
        let of = format!("{name} by {tool}");
        let options = KsOptions::default().with_method(KsMethod::Exact).with_alternative(alternative);
        let got = ks_with(&reference, &current, &options).unwrap();
        close(got.statistic.value().unwrap(), statistic, 1e-12, &of);
        close(got.p.value().unwrap(), p, 1e-10, &of);
        let fitted = SortedReference::fit(&reference).unwrap();
        let again = fitted.ks(&current, &options, &mut fitted.workspace(10)).unwrap();
        assert_eq!(again, got, "{of}");
    }
}
