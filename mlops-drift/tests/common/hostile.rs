//! Samples that break what is careless about them, and what every p-value has to keep on them.

use mlops_core::num::Measured;
use proptest::prelude::*;

const HOSTILE: [f64; 16] = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    5e-324,
    -5e-324,
    f64::MIN_POSITIVE,
    1e308,
    -1e308,
    f64::MAX,
    f64::MIN,
    1e15,
    9_007_199_254_740_993.0,
    f64::INFINITY,
    f64::NEG_INFINITY,
    f64::NAN,
];

/// Fewer than `end` values: extremes, any bits at all, ties, and ordinary numbers.
pub fn hostile_samples(end: usize) -> impl Strategy<Value = Vec<f64>> {
    let value = prop_oneof![
        3 => prop::sample::select(&HOSTILE[..]),
        1 => any::<u64>().prop_map(f64::from_bits),
        3 => (0i32..6).prop_map(f64::from),
        2 => -1e3..1e3f64,
    ];
    prop::collection::vec(value, 0..end)
}

/// Probabilities in their range, p and ln p of one mind, and either both or neither.
pub fn check_tail(name: &str, p: Measured, ln_p: Measured) -> Result<(), TestCaseError> {
    prop_assert_eq!(p.value().is_some(), ln_p.value().is_some(), "{}", name);
    if let (Some(p), Some(ln_p)) = (p.value(), ln_p.value()) {
        prop_assert!((0.0..=1.0).contains(&p), "{name}: p {p}");
        prop_assert!(ln_p <= 0.0 && ln_p.is_finite(), "{name}: ln p {ln_p}");
        prop_assert!((p - ln_p.exp()).abs() <= 1e-12 * p, "{name}: {p} {ln_p}");
    }
    Ok(())
}
