//! Attribution drift against scikit-learn and SciPy; `reference/attribution.py` made the values and says their versions.

use mlops_core::num::StatsError;
use mlops_drift::signal::{attribution, ndcg, rank_biased_overlap, weighted_tau};
use serde_json::Value;

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

#[test]
fn ndcg_and_tau_meet_sklearn_and_scipy() {
    let file: Value = serde_json::from_str(include_str!("reference/attribution.json")).unwrap();
    let cases = file["cases"].as_array().unwrap();
    assert!(cases.len() > 10);
    for case in cases {
        let (reference, current) = (numbers(&case["reference"]), numbers(&case["current"]));
        let got = attribution(&reference, &current).unwrap();
        let gain = got.ndcg.value().unwrap();
        assert!((gain - case["ndcg"].as_f64().unwrap()).abs() <= 1e-12, "{case}: {gain}");
        match (case["weighted_tau"].as_f64(), got.weighted_tau.value()) {
            (Some(expected), Some(tau)) => assert!((tau - expected).abs() <= 1e-12, "{case}: {tau}"),
            (expected, tau) => assert_eq!(expected, tau, "{case}"),
        }
        let moved = got.moved.value().unwrap();
        assert!((0.0..=1.0).contains(&moved));
        assert_eq!(moved == 0.0, reference == current, "{case}");
    }
}

#[test]
fn what_ndcg_forgives_the_others_see() {
    // Complete reversal.
    let reversed = attribution(&[4.0, 3.0, 2.0, 1.0], &[1.0, 2.0, 3.0, 4.0]).unwrap();
    assert!(reversed.ndcg.value().unwrap() > 0.74);
    assert_eq!(reversed.weighted_tau.value(), Some(-1.0));
    // The same order, but nearly everything has moved to the first feature.
    let collapsed = attribution(&[0.4, 0.3, 0.2, 0.1], &[0.97, 0.02, 0.009, 0.001]).unwrap();
    assert_eq!((collapsed.ndcg.value(), collapsed.weighted_tau.value()), (Some(1.0), Some(1.0)));
    assert!((collapsed.moved.value().unwrap() - 0.57).abs() < 1e-12);
}

#[test]
fn attributions_that_are_none_are_refused_by_name() {
    let refused: [(&[f64], &[f64], StatsError); 5] = [
        (&[], &[], StatsError::Empty { argument: "reference" }),
        (&[1.0], &[f64::NAN], StatsError::Nan { argument: "current", index: 0 }),
        (
            &[1.0, f64::INFINITY],
            &[1.0, 1.0],
            StatsError::NotFinite { argument: "reference", index: 1, value: f64::INFINITY },
        ),
        (
            &[-1.0],
            &[1.0],
            StatsError::OutOfRange {
                argument: "reference",
                index: 0,
                value: -1.0,
                low: 0.0,
                high: f64::INFINITY,
            },
        ),
        (
            &[1.0],
            &[1.0, 2.0],
            StatsError::LengthMismatch { left: "reference", left_len: 1, right: "current", right_len: 2 },
        ),
    ];
    for (reference, current, error) in refused {
        assert_eq!(ndcg(reference, current), Err(error));
        assert_eq!(weighted_tau(reference, current), Err(error));
    }
    assert_eq!(ndcg(&[0.0, 0.0], &[1.0, 2.0]).unwrap().value(), None);
    assert_eq!(attribution(&[0.0, 0.0], &[1.0, 2.0]).unwrap().moved.value(), None);
    assert_eq!(ndcg(&[2.0], &[0.0]).unwrap().value(), Some(1.0));
}

/// By hand from the formula of Webber, Moffat and Zobel (2010), in rationals.
#[test]
fn overlap_is_that_of_the_formula() {
    let cases: [(&[f64], &[f64], f64, f64); 7] = [
        // Agreements 0, 0, 2/3, 1: 1/16 + (0 + 0 + 1/6 + 1/8)/2.
        (&[4.0, 3.0, 2.0, 1.0], &[1.0, 2.0, 3.0, 4.0], 0.5, 5.0 / 24.0),
        // 0.6561 + 0.1·(0 + 0 + 0.81·2/3 + 0.729).
        (&[4.0, 3.0, 2.0, 1.0], &[1.0, 2.0, 3.0, 4.0], 0.9, 0.783),
        // The first two swapped, agreements 0, 1, 1: 1/8 + (0 + 1/2 + 1/4)/2.
        (&[3.0, 2.0, 1.0], &[2.0, 3.0, 1.0], 0.5, 0.5),
        // The last two swapped, agreements 1, 1/2, 1: 1/8 + (1 + 1/4 + 1/4)/2.
        (&[3.0, 2.0, 1.0], &[3.0, 1.0, 2.0], 0.5, 0.875),
        // Ties on both sides, {1, 2} and {2, 3} lead: agreements 1/2, 1/2, 1: 1/8 + (1/2 + 1/4 + 1/4)/2.
        (&[2.0, 2.0, 1.0], &[1.0, 2.0, 2.0], 0.5, 0.625),
        // Everything tied on one side, agreements 2·1/(1 + 3), then 1 twice: 0.729 + 0.1·(0.5 + 0.9 + 0.81).
        (&[3.0, 0.0, 0.0], &[0.2, 0.2, 0.2], 0.9, 0.95),
        (&[1.0], &[7.0], 0.3, 1.0),
    ];
    for (reference, current, persistence, expected) in cases {
        for (a, b) in [(reference, current), (current, reference)] {
            let got = rank_biased_overlap(a, b, persistence).unwrap();
            assert!((got - expected).abs() < 1e-15, "{a:?} {b:?} {persistence}: {got} is not {expected}");
        }
    }
}

#[test]
fn overlap_is_one_for_one_order_and_forgives_more_further_down() {
    let reference: Vec<f64> = (1..=40).rev().map(f64::from).collect();
    let swapped = |at: usize| {
        let mut current = reference.clone();
        current.swap(at, at + 1);
        attribution(&reference, &current).unwrap().rank_biased_overlap
    };
    let squares: Vec<f64> = reference.iter().map(|v| v * v).collect();
    assert!((attribution(&reference, &squares).unwrap().rank_biased_overlap - 1.0).abs() < 1e-15);
    assert!((0..38).all(|at| swapped(at) < swapped(at + 1)));
    for persistence in [0.0, 1.0, -0.5, f64::INFINITY, f64::NAN] {
        let refused = rank_biased_overlap(&[1.0], &[1.0], persistence);
        assert!(
            matches!(refused, Err(StatsError::Parameter { parameter: "persistence", .. })),
            "{refused:?}"
        );
    }
}
