//! Baselines, by scikit-learn's conventions.

use mlops_core::experiment::baseline::{class_prior, median, quantile, seasonal_naive};
use mlops_core::num::StatsError;

const TARGETS: [f64; 10] = [151.0, 75.0, 141.0, 206.0, 135.0, 97.0, 138.0, 63.0, 110.0, 310.5];

/// scikit-learn 1.9.1: `DummyRegressor(strategy=…).fit(X, y).constant_[0, 0]`, X being zeros.
#[test]
fn quantiles_are_those_of_scikit_learn() {
    assert_eq!(median(&TARGETS).unwrap().value, 136.5);
    assert_eq!(quantile(&TARGETS, 0.0).unwrap().value, 63.0);
    assert_eq!(quantile(&TARGETS, 0.25).unwrap().value, 100.25);
    assert!((quantile(&TARGETS, 0.9).unwrap().value - 216.44999999999996).abs() < 1e-12);
}

/// scikit-learn 1.9.1: `DummyClassifier(strategy="prior")`, `predict_proba` and `predict`; and "most_frequent" for the tie.
#[test]
fn class_priors_are_those_of_scikit_learn() {
    let prior = class_prior(&[2, 0, 1, 1, 2, 0, 3, 1, 2, 2, 0], 4).unwrap();
    let expected = [0.2727272727272727, 0.2727272727272727, 0.36363636363636365, 0.09090909090909091];
    assert_eq!((prior.shares.as_slice(), prior.majority, prior.rows), (expected.as_slice(), 2, 11));
    assert_eq!(class_prior(&[1, 0, 1, 0, 2], 3).unwrap().majority, 0);
    assert_eq!(class_prior(&[1], 3).unwrap().shares, [0.0, 1.0, 0.0]);
}

#[test]
fn what_has_no_baseline_is_refused_with_its_place() {
    assert_eq!(class_prior(&[], 3), Err(StatsError::Empty { argument: "labels" }));
    let unknown = StatsError::UnknownCode { argument: "labels", index: 1, code: 3, known: 3 };
    assert_eq!(class_prior(&[0, 3], 3), Err(unknown));
    assert!(class_prior(&[0], 0).is_err());
    assert!(matches!(class_prior(&[0], u32::MAX), Err(StatsError::Parameter { .. })));
    assert_eq!(median(&[]), Err(StatsError::Empty { argument: "values" }));
    assert_eq!(median(&[1.0, f64::NAN]), Err(StatsError::Nan { argument: "values", index: 1 }));
    let infinite = StatsError::NotFinite { argument: "values", index: 0, value: f64::INFINITY };
    assert_eq!(quantile(&[f64::INFINITY], 0.5), Err(infinite));
    for p in [-0.1, 1.1, f64::NAN] {
        assert!(matches!(quantile(&[1.0], p), Err(StatsError::Parameter { .. })), "{p}");
    }
    assert_eq!(
        seasonal_naive(&[1.0], 2, 1),
        Err(StatsError::TooFew { argument: "series", needed: 2, got: 1 })
    );
    assert!(matches!(seasonal_naive(&[1.0], 0, 1), Err(StatsError::Parameter { .. })));
    assert_eq!(seasonal_naive(&[1.0, f64::NAN], 1, 1), Err(StatsError::Nan { argument: "series", index: 1 }));
    // What lies before the last season does not matter.
    assert_eq!(seasonal_naive(&[f64::NAN, 1.0], 1, 1), Ok(vec![1.0]));
    assert_eq!(seasonal_naive(&[1.0], 1, 0), Ok(vec![]));
    assert_eq!(seasonal_naive(&[], 1, 3), Err(StatsError::TooFew { argument: "series", needed: 1, got: 0 }));
}
