//! Kolmogorov–Smirnov and energy distance of weighted values, against exact rationals, SciPy, rows repeated, and chance.

use std::fs;
use std::path::Path;

use mlops_core::num::{Measured, NanPolicy, StatsError};
use mlops_drift::{
    Alternative, EnergyOptions, KsMethod, KsOptions, energy, energy_weighted, ks_weighted, ks_with,
};
use serde::Deserialize;

#[derive(Deserialize)]
struct Case {
    name: String,
    tool: String,
    reference: Vec<f64>,
    reference_weights: Vec<f64>,
    current: Vec<f64>,
    current_weights: Vec<f64>,
    n: f64,
    m: f64,
    two_sided: f64,
    greater: f64,
    less: f64,
    ln_p_two_sided: f64,
    ln_p_greater: f64,
    ln_p_less: f64,
    energy: f64,
}

fn cases() -> Vec<Case> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/weighted.json");
    let cases: Vec<Case> = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    assert!(!cases.is_empty());
    cases
}

#[track_caller]
fn close(got: f64, want: f64, relative: f64, absolute: f64, of: &str) {
    assert!((got - want).abs() <= relative * want.abs() + absolute, "{of}: {got:e} is not {want:e}");
}

fn towards(alternative: Alternative) -> KsOptions {
    KsOptions::default().with_alternative(alternative)
}

#[test]
fn both_agree_with_exact_rationals_and_scipy_at_any_scale_of_the_weights() {
    for case in cases() {
        let of = format!("{} by {}", case.name, case.tool);
        for scale in [1.0, 3.0, 1e-290, 1e290] {
            let scaled = |weights: &[f64]| weights.iter().map(|w| w * scale).collect::<Vec<f64>>();
            let (v, w) = (scaled(&case.reference_weights), scaled(&case.current_weights));
            for (alternative, d, ln_p) in [
                (Alternative::TwoSided, case.two_sided, case.ln_p_two_sided),
                (Alternative::Greater, case.greater, case.ln_p_greater),
                (Alternative::Less, case.less, case.ln_p_less),
            ] {
                let options = towards(alternative);
                let got = ks_weighted(&case.reference, &v, &case.current, &w, &options).unwrap();
                let of = format!("{of}, {alternative:?}");
                close(got.statistic.value().unwrap(), d, 0.0, 1e-15, &of);
                close(got.ln_p.value().unwrap(), ln_p, 1e-10, 1e-14, &of);
                close(got.n, case.n, 1e-12, 0.0, &of);
                close(got.m, case.m, 1e-12, 0.0, &of);
                assert_eq!(got.method, KsMethod::Asymptotic);
            }
            let options = EnergyOptions::default();
            let there = energy_weighted(&case.reference, &v, &case.current, &w, &options).unwrap();
            let back = energy_weighted(&case.current, &w, &case.reference, &v, &options).unwrap();
            close(there.score, case.energy, 1e-12, 0.0, &of);
            close(back.score, case.energy, 1e-12, 0.0, &of);
        }
    }
}

#[test]
fn integer_weights_are_rows_repeated() {
    for case in cases().iter().filter(|case| ["small", "integers", "ones"].contains(&case.name.as_str())) {
        let repeated = |values: &[f64], weights: &[f64]| -> Vec<f64> {
            #[expect(clippy::cast_sign_loss, reason = "the weights of these cases are counts")]
            let rows = values.iter().zip(weights).map(|(v, w)| std::iter::repeat_n(*v, *w as usize));
            rows.flatten().collect()
        };
        let (a, b) = (&case.reference, &case.current);
        let (v, w) = (&case.reference_weights, &case.current_weights);
        let (many_a, many_b) = (repeated(a, v), repeated(b, w));
        for alternative in [Alternative::TwoSided, Alternative::Less, Alternative::Greater] {
            let options = towards(alternative);
            let plain = ks_with(&many_a, &many_b, &options).unwrap();
            let got = ks_weighted(a, v, b, w, &options).unwrap();
            assert_eq!(got.statistic, plain.statistic, "{}", case.name);
        }
        let got = energy_weighted(a, v, b, w, &EnergyOptions::default()).unwrap();
        close(got.score, energy(&many_a, &many_b).unwrap().score, 1e-14, 0.0, &case.name);
    }
}

#[test]
fn weights_of_one_give_the_tests_without_weights() {
    for case in cases() {
        let (a, b) = (&case.reference, &case.current);
        let (v, w) = (vec![1.0; a.len()], vec![1.0; b.len()]);
        for alternative in [Alternative::TwoSided, Alternative::Less, Alternative::Greater] {
            let options = towards(alternative).with_method(KsMethod::Asymptotic);
            let (plain, got) =
                (ks_with(a, b, &options).unwrap(), ks_weighted(a, &v, b, &w, &options).unwrap());
            assert_eq!(got.statistic, plain.statistic, "{}", case.name);
            let ln = |ln_p: Measured| ln_p.value().unwrap();
            close(ln(got.ln_p), ln(plain.ln_p), 1e-12, 1e-14, &case.name);
            close(got.noise_floor, plain.noise_floor, 1e-14, 0.0, &case.name);
        }
        let plain = energy(a, b).unwrap();
        let got = energy_weighted(a, &v, b, &w, &EnergyOptions::default()).unwrap();
        close(got.score, plain.score, 1e-14, 0.0, &case.name);
        close(got.noise_floor, plain.noise_floor, 1e-13, 0.0, &case.name);
        close(got.ln_p.value().unwrap(), plain.ln_p.value().unwrap(), 1e-9, 1e-12, &case.name);
        let (got, plain) = (got.interval.unwrap(), plain.interval.unwrap());
        close(got.low, plain.low, 1e-6, 1e-9, &case.name);
        close(got.high, plain.high, 1e-6, 1e-9, &case.name);
    }
}

#[test]
fn what_is_left_out_takes_its_weight_along() {
    let (a, v) = ([1.0, f64::NAN, 3.0, 4.0], [1.0, 100.0, 0.5, 2.0]);
    let (b, w) = ([2.0, 3.0], [1.0, 3.0]);
    let (rest, weights) = ([1.0, 3.0, 4.0], [1.0, 0.5, 2.0]);
    let omit = KsOptions::default().with_nan(NanPolicy::Omit);
    let (with, without) =
        (ks_weighted(&a, &v, &b, &w, &omit).unwrap(), ks_weighted(&rest, &weights, &b, &w, &omit).unwrap());
    assert_eq!((with.statistic, with.p, with.n), (without.statistic, without.p, without.n));
    assert_eq!((with.reference.rows, with.reference.used, with.reference.missing), (4, 3, 1));
    let options = EnergyOptions::default().with_nan(NanPolicy::Omit);
    let with = energy_weighted(&a, &v, &b, &w, &options).unwrap();
    let without = energy_weighted(&rest, &weights, &b, &w, &options).unwrap();
    assert_eq!((with.score, with.p, with.interval), (without.score, without.p, without.interval));

    let propagate = omit.with_nan(NanPolicy::Propagate);
    let undefined = ks_weighted(&a, &v, &b, &w, &propagate).unwrap();
    assert!(undefined.statistic.undefined().is_some() && undefined.p.undefined().is_some());
    assert!(ks_weighted(&rest, &weights, &b, &w, &propagate).unwrap().statistic.value().is_some());
}

#[test]
fn integers_beyond_doubles_are_told_apart() {
    let big = 1_i64 << 53;
    let test = ks_weighted(&[big], &[2.0], &[big + 1], &[1.0], &KsOptions::default()).unwrap();
    assert_eq!(test.statistic, Measured::Value(1.0));
}

#[test]
fn bad_weights_and_exact_methods_are_refused() {
    let with = |v: &[f64], w: &[f64]| {
        ks_weighted(&[1.0, 2.0], v, &[1.0, 3.0], w, &KsOptions::default()).unwrap_err()
    };
    let energy = |v: &[f64], w: &[f64]| {
        energy_weighted(&[1.0, 2.0], v, &[1.0, 3.0], w, &EnergyOptions::default()).unwrap_err()
    };
    for refused in [with, energy] as [fn(&[f64], &[f64]) -> StatsError; 2] {
        assert!(matches!(
            refused(&[1.0], &[1.0, 1.0]),
            StatsError::LengthMismatch { left: "reference_weights", .. }
        ));
        let nan = refused(&[1.0, 1.0], &[1.0, f64::NAN]);
        assert_eq!(nan, StatsError::Nan { argument: "current_weights", index: 1 });
        assert!(matches!(refused(&[-1.0, 1.0], &[1.0, 1.0]), StatsError::OutOfRange { index: 0, .. }));
        let zero = refused(&[1.0, 1.0], &[0.0, 0.0]);
        assert_eq!(zero, StatsError::ZeroTotal { argument: "current_weights" });
    }
    for method in [KsMethod::Exact, KsMethod::ExactContinuous] {
        let options = KsOptions::default().with_method(method);
        let refused = ks_weighted(&[1.0], &[1.0], &[2.0], &[1.0], &options).unwrap_err();
        assert!(refused.to_string().contains("method"), "{refused}");
    }
    // All the weight is on a value that is left out.
    let (a, b) = ([1.0, f64::NAN], [1.0, 2.0]);
    let omit = KsOptions::default().with_nan(NanPolicy::Omit);
    let refused = ks_weighted(&a, &[0.0, 1.0], &b, &[1.0, 1.0], &omit);
    assert_eq!(refused.unwrap_err(), StatsError::ZeroTotal { argument: "reference_weights" });
    let infinite = energy_weighted(
        &[f64::INFINITY, 1.0, f64::INFINITY],
        &[0.0, 1.0, 1.0],
        &b,
        &[1.0, 1.0],
        &EnergyOptions::default(),
    );
    assert_eq!(
        infinite.unwrap_err(),
        StatsError::NotFinite { argument: "reference", index: 2, value: f64::INFINITY }
    );
}
