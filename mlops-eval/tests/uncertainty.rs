//! Intervals and tests for groups, held against SciPy and statsmodels (versions inside the file).

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use mlops_eval::fairness::{HomogeneityMethod, homogeneity_test};
use mlops_eval::interval::{
    DifferenceInterval, Interval, MeanInterval, Rate, RateInterval, RatioInterval, difference_interval,
    mean_interval, rate_interval, ratio_interval,
};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

#[derive(Deserialize)]
struct File {
    versions: BTreeMap<String, String>,
    rates: Vec<One>,
    pairs: Vec<Two>,
    tables: Vec<Table>,
    means: Vec<Mean>,
}

type Limits = BTreeMap<String, [Value; 2]>;

#[derive(Deserialize)]
struct One {
    k: u64,
    n: u64,
    confidence: f64,
    limits: Limits,
}

#[derive(Deserialize)]
struct Two {
    first: [u64; 2],
    second: [u64; 2],
    confidence: f64,
    difference: Limits,
    ratio: Limits,
}

#[derive(Deserialize)]
struct Table {
    rates: Vec<[u64; 2]>,
    pearson: [f64; 2],
    likelihood_ratio: [f64; 2],
}

#[derive(Deserialize)]
struct Mean {
    values: Vec<f64>,
    confidence: f64,
    student_t: [f64; 2],
    normal: [f64; 2],
}

fn file() -> File {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/uncertainty.json");
    let file: File = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    assert_eq!((&file.versions["scipy"][..], &file.versions["statsmodels"][..]), ("1.17.1", "0.15.0"));
    file
}

fn named<M: DeserializeOwned>(name: &str) -> M {
    serde_json::from_value(Value::from(name)).unwrap()
}

fn limit(value: &Value) -> f64 {
    value.as_f64().unwrap_or(f64::INFINITY)
}

/// Equal to `tolerance`, relative above 1.
#[track_caller]
fn meets(context: &str, got: Interval, expected: [f64; 2], tolerance: f64) {
    for (got, expected) in [got.lower, got.upper].into_iter().zip(expected) {
        let close = got == expected || (got - expected).abs() <= tolerance * expected.abs().max(1.0);
        assert!(close, "{context}: {got} instead of {expected}");
    }
}

#[test]
fn intervals_of_rates_agree() {
    let mut seen = BTreeMap::new();
    for One { k, n, confidence, limits } in file().rates {
        for (name, [lower, upper]) in limits {
            let method: RateInterval = named(&name);
            let got = rate_interval(Rate::new(k, n).unwrap(), confidence, method).unwrap();
            let context = format!("{name} {k}/{n} {confidence}");
            meets(&context, got, [limit(&lower), limit(&upper)], 1e-12);
            *seen.entry(name).or_insert(0) += 1;
        }
    }
    assert_eq!(seen.len(), 4);
    assert!(seen.values().all(|cases| *cases >= 18), "{seen:?}");
}

#[test]
fn intervals_of_differences_agree() {
    let mut seen = BTreeMap::new();
    for Two { first: [k1, n1], second: [k2, n2], confidence, difference, .. } in file().pairs {
        let (first, second) = (Rate::new(k1, n1).unwrap(), Rate::new(k2, n2).unwrap());
        for (name, [lower, upper]) in difference {
            let method: DifferenceInterval = named(&name);
            let got = difference_interval(first, second, confidence, method).unwrap();
            // The reference's score limits are roots of roots.
            let tolerance = if method == DifferenceInterval::MiettinenNurminen { 1e-10 } else { 1e-12 };
            meets(&format!("{name} {k1}/{n1} {k2}/{n2}"), got, [limit(&lower), limit(&upper)], tolerance);
            *seen.entry(name).or_insert(0) += 1;
        }
    }
    assert_eq!(seen.len(), 4);
    assert!(seen.values().all(|cases| *cases >= 18), "{seen:?}");
}

#[test]
fn intervals_of_ratios_agree() {
    let mut seen = BTreeMap::new();
    for Two { first: [k1, n1], second: [k2, n2], confidence, ratio, .. } in file().pairs {
        let (first, second) = (Rate::new(k1, n1).unwrap(), Rate::new(k2, n2).unwrap());
        for (name, [lower, upper]) in ratio {
            let method: RatioInterval = named(&name);
            let got = ratio_interval(first, second, confidence, method).unwrap();
            let score = matches!(method, RatioInterval::Koopman | RatioInterval::MiettinenNurminen);
            let tolerance = if score { 1e-8 } else { 1e-12 };
            meets(&format!("{name} {k1}/{n1} {k2}/{n2}"), got, [limit(&lower), limit(&upper)], tolerance);
            *seen.entry(name).or_insert(0) += 1;
        }
    }
    assert_eq!(seen.len(), 4);
    assert!(seen.values().all(|cases| *cases >= 14), "{seen:?}");
}

#[test]
fn homogeneity_tests_agree() {
    for Table { rates, pearson, likelihood_ratio } in file().tables {
        let rates: Vec<Rate> = rates.iter().map(|[k, n]| Rate::new(*k, *n).unwrap()).collect();
        for (method, expected) in
            [(HomogeneityMethod::Pearson, pearson), (HomogeneityMethod::LikelihoodRatio, likelihood_ratio)]
        {
            let test = homogeneity_test(&rates, method).unwrap();
            for (got, expected) in [test.statistic, test.p_value].into_iter().zip(expected) {
                let got = got.value().unwrap();
                assert!((got - expected).abs() <= 1e-11 * expected.max(1.0), "{rates:?}: {got} {expected}");
            }
        }
    }
}

#[test]
fn intervals_of_means_agree() {
    for Mean { values, confidence, student_t, normal } in file().means {
        for (method, expected) in [(MeanInterval::StudentT, student_t), (MeanInterval::Normal, normal)] {
            let got = mean_interval(&values, confidence, method).unwrap();
            meets(&format!("{method:?} {values:?}"), got, expected, 1e-12);
        }
    }
}

/// Two rates, and the limits of their difference.
type Printed = ((u64, u64), (u64, u64), f64, f64);

/// To the four digits that the paper prints.
#[test]
fn published_intervals_are_met() {
    let of = |(k1, n1), (k2, n2), method| {
        let (first, second) = (Rate::new(k1, n1).unwrap(), Rate::new(k2, n2).unwrap());
        difference_interval(first, second, 0.95, method).unwrap()
    };
    for (first, second, lower, upper) in NEWCOMBE_TABLE_2 {
        let got = of(first, second, DifferenceInterval::Newcombe);
        assert!((got.lower - lower).abs() < 6e-5 && (got.upper - upper).abs() < 6e-5, "{first:?}: {got:?}");
    }
    for (first, second, lower, upper) in MIETTINEN_NURMINEN_TABLE_2 {
        let got = of(first, second, DifferenceInterval::MiettinenNurminen);
        assert!((got.lower - lower).abs() < 6e-5 && (got.upper - upper).abs() < 6e-5, "{first:?}: {got:?}");
    }
}

/// Method 10 of Newcombe, *Interval estimation for the difference between independent proportions*, Statistics in Medicine 17
/// (1998), table II.
const NEWCOMBE_TABLE_2: [Printed; 4] = [
    ((56, 70), (48, 80), 0.0524, 0.3339),
    ((9, 10), (3, 10), 0.1705, 0.8090),
    ((6, 7), (2, 7), 0.0582, 0.8062),
    ((5, 56), (0, 29), -0.0381, 0.1926),
];

/// Method 6 of the same table.
const MIETTINEN_NURMINEN_TABLE_2: [Printed; 4] = [
    ((56, 70), (48, 80), 0.0528, 0.3382),
    ((9, 10), (3, 10), 0.1700, 0.8406),
    ((6, 7), (2, 7), 0.0342, 0.8534),
    ((5, 56), (0, 29), -0.0326, 0.1933),
];
