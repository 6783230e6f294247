//! Every variant of every statistic against the same truth.
//!
//! `reference/*.json` holds inputs, expected values and the tool (with version) they come from; `reference/make.py` wrote it.
//! A statistic gets one file there and one test here, which runs every way to the same number: raw and counted, sorted and
//! shuffled, whole and merged, both sides swapped. Statistics agree to 1e-12, p-values to 1e-10, at any depth of the tail.

use std::fs;
use std::path::Path;

use mlops_core::num::{Measured, NanPolicy};
use mlops_drift::{
    BinRule, Bins, Cell, Counts, JsOptions, KlDirection, Ks, KsMethod, KsOptions, LogBase, PsiOptions,
    Smoothing, chi2_homogeneity, energy, hellinger_from_counts, js_divergence_from_counts, js_from_counts,
    js_with, kl_from_counts, ks_sorted, ks_with, l_infinity_from_counts, psi_from_counts, psi_with,
    total_variation_from_counts,
};
use serde::Deserialize;
use serde::de::DeserializeOwned;

const STATISTIC: f64 = 1e-12;
const P_VALUE: f64 = 1e-10;

fn load<T: DeserializeOwned>(name: &str) -> Vec<T> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference").join(format!("{name}.json"));
    let cases: Vec<T> = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    assert!(!cases.is_empty());
    cases
}

#[track_caller]
fn close(got: f64, expected: f64, tolerance: f64, of: &str) {
    let bound = tolerance * f64::abs(expected);
    assert!((got - expected).abs() <= bound, "{of}: {got:e} is not {expected:e}");
}

/// p to 1e-10 relative, which is ln p to 1e-10 absolute (and its own rounding where it is huge).
#[track_caller]
fn close_tail(p: Measured, ln_p: Measured, expected: (Option<f64>, Option<f64>), of: &str) {
    let (Some(want_p), Some(want_ln)) = expected else {
        assert!(p.undefined().is_some() && ln_p.undefined().is_some(), "{of}: {p} should be undefined");
        return;
    };
    let (p, ln_p) = (p.value().unwrap(), ln_p.value().unwrap());
    if want_p >= 1e-300 {
        close(p, want_p, P_VALUE, &format!("p of {of}"));
    }
    let bound = P_VALUE * f64::abs(want_ln).clamp(1e-3, 1.0) + 1e-15 * f64::abs(want_ln);
    assert!((ln_p - want_ln).abs() <= bound, "ln p of {of}: {ln_p} is not {want_ln}");
}

/// The same comparison in other guises: sides swapped, cells reversed, empty cells between them.
fn guises(a: &[u64], b: &[u64]) -> [(Vec<u64>, Vec<u64>); 4] {
    let reversed = |x: &[u64]| x.iter().rev().copied().collect::<Vec<u64>>();
    let spread = |x: &[u64]| x.iter().flat_map(|&count| [0, count, 0]).collect::<Vec<u64>>();
    [(a.to_vec(), b.to_vec()), (b.to_vec(), a.to_vec()), (reversed(a), reversed(b)), (spread(a), spread(b))]
}

/// The counts again, but counted from values and merged from three shards; `None` where that would take too long.
fn recounted(counts: &[u64]) -> Option<Counts> {
    if counts.iter().sum::<u64>() > 100_000 {
        return None;
    }
    let edges: Vec<f64> = (0u32..).take(counts.len() + 1).map(f64::from).collect();
    let bins = Bins::from_edges(&edges).unwrap();
    let values: Vec<f64> = counts
        .iter()
        .zip(&edges)
        .flat_map(|(&count, edge)| std::iter::repeat_n(edge + 0.5, usize::try_from(count).unwrap()))
        .collect();
    let mut total = bins.count(&[]);
    for shard in values.chunks(values.len().div_ceil(3)) {
        total.merge(&bins.count(shard)).unwrap();
    }
    assert_eq!(total, bins.count(&values));
    Some(total)
}

fn all_guises(a: &[u64], b: &[u64]) -> Vec<(Vec<u64>, Vec<u64>)> {
    let mut all = guises(a, b).to_vec();
    if let (Some(a), Some(b)) = (recounted(a), recounted(b)) {
        all.push((a.as_slice().to_vec(), b.as_slice().to_vec()));
    }
    all
}

#[derive(Deserialize)]
struct Chi2Case {
    name: String,
    tool: String,
    reference: Vec<u64>,
    current: Vec<u64>,
    statistic: f64,
    dof: u64,
    p: Option<f64>,
    ln_p: Option<f64>,
}

#[test]
fn chi_square_agrees_with_scipy() {
    for case in load::<Chi2Case>("chi2") {
        for (a, b) in all_guises(&case.reference, &case.current) {
            let of = format!("{} by {}", case.name, case.tool);
            let got = chi2_homogeneity(&a, &b).unwrap();
            close(got.statistic, case.statistic, STATISTIC, &of);
            assert_eq!(got.dof, case.dof, "{of}");
            close_tail(got.p, got.ln_p, (case.p, case.ln_p), &of);
        }
    }
}

#[derive(Deserialize)]
struct PsiCase {
    name: String,
    tool: String,
    reference: Vec<u64>,
    current: Vec<u64>,
    smoothing: Smoothing,
    score: f64,
    unit: f64,
    p: Option<f64>,
    ln_p: Option<f64>,
}

#[test]
fn psi_agrees_with_sixty_digit_arithmetic() {
    for case in load::<PsiCase>("psi") {
        for (a, b) in all_guises(&case.reference, &case.current) {
            let of = format!("{} with {:?} by {}", case.name, case.smoothing, case.tool);
            let got = psi_from_counts(&a, &b, case.smoothing).unwrap();
            close(got.score, case.score, STATISTIC, &of);
            let floor = (got.cells - 1) as f64 * case.unit;
            close(got.noise_floor, floor, STATISTIC, &of);
            close(got.corrected, (got.score - got.noise_floor).max(0.0), STATISTIC, &of);
            close_tail(got.p, got.ln_p, (case.p, case.ln_p), &of);
        }
    }
}

#[derive(Deserialize)]
struct JsCase {
    name: String,
    tool: String,
    reference: Vec<u64>,
    current: Vec<u64>,
    base: LogBase,
    distance: f64,
    divergence: f64,
    unit: f64,
    p: Option<f64>,
    ln_p: Option<f64>,
}

#[test]
fn jensen_shannon_agrees_with_scipy() {
    for case in load::<JsCase>("js") {
        for (a, b) in all_guises(&case.reference, &case.current) {
            let of = format!("{} in base {:?} by {}", case.name, case.base, case.tool);
            let distance = js_from_counts(&a, &b, case.base).unwrap();
            let divergence = js_divergence_from_counts(&a, &b, case.base).unwrap();
            close(distance.score, case.distance, STATISTIC, &of);
            close(divergence.score, case.divergence, STATISTIC, &of);
            close(divergence.score.sqrt(), distance.score, STATISTIC, &of);
            close(divergence.noise_floor.sqrt(), distance.noise_floor, STATISTIC, &of);
            close(divergence.corrected.sqrt(), distance.corrected, STATISTIC, &of);
            assert_eq!(
                (divergence.reference, divergence.current, divergence.cells),
                (distance.reference, distance.current, distance.cells)
            );
            let nats = if case.base == LogBase::Two { std::f64::consts::LN_2 } else { 1.0 };
            let floor = (divergence.cells - 1) as f64 * case.unit / 8.0 / nats;
            close(divergence.noise_floor, floor, STATISTIC, &of);
            for (p, ln_p) in [(distance.p, distance.ln_p), (divergence.p, divergence.ln_p)] {
                close_tail(p, ln_p, (case.p, case.ln_p), &of);
            }
        }
    }
}

#[derive(Deserialize)]
struct DistancesCase {
    name: String,
    tool: String,
    reference: Vec<u64>,
    current: Vec<u64>,
    kl_current: f64,
    ln_p_kl_current: f64,
    kl_reference: f64,
    ln_p_kl_reference: f64,
    hellinger: f64,
    ln_p_hellinger: f64,
    total_variation: f64,
    l_infinity: f64,
    ln_p_l_infinity: Option<f64>,
}

#[test]
fn the_other_distances_agree_with_sixty_digit_arithmetic() {
    for case in load::<DistancesCase>("distances") {
        let [plain, swapped, reversed, spread] = guises(&case.reference, &case.current);
        for (guise, swap) in [(plain, false), (reversed, false), (spread, false), (swapped, true)] {
            let (a, b) = guise;
            let of = format!("{} by {}", case.name, case.tool);
            let kl = |direction| kl_from_counts(&a, &b, direction, Smoothing::Jeffreys).unwrap();
            let (from_reference, from_current) =
                (kl(KlDirection::CurrentFromReference), kl(KlDirection::ReferenceFromCurrent));
            let (current, reference) =
                if swap { (from_current, from_reference) } else { (from_reference, from_current) };
            for (got, score, ln_p) in [
                (current, case.kl_current, Some(case.ln_p_kl_current)),
                (reference, case.kl_reference, Some(case.ln_p_kl_reference)),
                (hellinger_from_counts(&a, &b).unwrap(), case.hellinger, Some(case.ln_p_hellinger)),
                (total_variation_from_counts(&a, &b).unwrap(), case.total_variation, None),
                (l_infinity_from_counts(&a, &b).unwrap(), case.l_infinity, case.ln_p_l_infinity),
            ] {
                close(got.score, score, STATISTIC, &format!("{} of {of}", got.definition));
                if let Some(ln_p) = ln_p {
                    let p = Some(ln_p.exp());
                    close_tail(got.p, got.ln_p, (p, Some(ln_p)), &format!("{} of {of}", got.definition));
                }
            }
        }
    }
}

#[derive(Deserialize)]
struct EnergyCase {
    name: String,
    tool: String,
    reference: Vec<f64>,
    current: Vec<f64>,
    score: f64,
}

#[test]
fn energy_agrees_with_scipy() {
    for case in load::<EnergyCase>("energy") {
        let of = format!("{} by {}", case.name, case.tool);
        let (a, b) = (&case.reference, &case.current);
        let reversed = |x: &[f64]| x.iter().rev().copied().collect::<Vec<f64>>();
        let moved = |x: &[f64]| x.iter().map(|v| v * 4.0).collect::<Vec<f64>>();
        close(energy(a, b).unwrap().score, case.score, STATISTIC, &of);
        close(energy(b, a).unwrap().score, case.score, STATISTIC, &of);
        close(energy(&reversed(a), &reversed(b)).unwrap().score, case.score, STATISTIC, &of);
        close(energy(&moved(a), &moved(b)).unwrap().score, 2.0 * case.score, STATISTIC, &of);
    }
}

#[derive(Deserialize)]
struct RuleCase {
    name: String,
    tool: String,
    rule: BinRule,
    reference: Vec<f64>,
    edges: Vec<f64>,
    counts: Vec<u64>,
}

#[test]
fn rules_agree_with_numpy() {
    for case in load::<RuleCase>("rules") {
        let of = format!("{} in {:?} by {}", case.name, case.rule, case.tool);
        let bins = Bins::fit(&case.reference, case.rule).unwrap();
        let counts = bins.count(&case.reference);
        let fitted = &counts.present()[1..counts.present().len() - 1];
        assert_eq!(fitted, case.counts, "{of}");
        let lows: Vec<f64> = bins
            .cells()
            .filter_map(|cell| match cell {
                Cell::Range { low: std::ops::Bound::Included(low), .. } => Some(low),
                _ => None,
            })
            .collect();
        for (got, want) in lows.iter().zip(&case.edges) {
            assert!((got - want).abs() <= 1e-14 * want.abs().max(1.0), "{of}: {got} is not {want}");
        }
    }
}

#[derive(Deserialize)]
struct BinnedCase {
    name: String,
    tool: String,
    rule: BinRule,
    reference: Vec<f64>,
    current: Vec<f64>,
    reference_counts: Vec<u64>,
    current_counts: Vec<u64>,
    psi: f64,
    js: f64,
}

#[test]
fn cells_fitted_on_samples_agree_with_numpy() {
    for case in load::<BinnedCase>("binned") {
        let of = format!("{} in {:?} by {}", case.name, case.rule, case.tool);
        let bins = Bins::fit(&case.reference, case.rule).unwrap();
        assert_eq!(bins.count(&case.reference).present(), case.reference_counts, "{of}");
        assert_eq!(bins.count(&case.current).present(), case.current_counts, "{of}");
        let psi =
            psi_with(&case.reference, &case.current, &PsiOptions::default().with_bins(case.rule)).unwrap();
        close(psi.score, case.psi, STATISTIC, &of);
        let js = js_with(&case.reference, &case.current, &JsOptions::default().with_bins(case.rule)).unwrap();
        close(js.score, case.js, STATISTIC, &of);
    }
}

#[derive(Deserialize)]
struct KsCase {
    name: String,
    tool: String,
    reference: Vec<f64>,
    current: Vec<f64>,
    numerator: u128,
    statistic: f64,
    ties: bool,
    p_exact: f64,
    ln_p_exact: f64,
    p_continuous: f64,
    ln_p_continuous: f64,
    p_asymptotic: f64,
    ln_p_asymptotic: f64,
}

/// Every way to run one method on one pair of samples.
fn every_ks(case: &KsCase, method: KsMethod) -> Vec<Ks> {
    let options = KsOptions::default().with_method(method);
    let (a, b) = (&case.reference, &case.current);
    let map = |x: &[f64], f: fn(f64) -> f64| x.iter().copied().map(f).collect::<Vec<f64>>();
    let sorted = |x: &[f64]| {
        let mut x = x.to_vec();
        x.sort_by(f64::total_cmp);
        x
    };
    let reversed = |x: &[f64]| x.iter().rev().copied().collect::<Vec<f64>>();
    let holed = |x: &[f64]| x.iter().flat_map(|&v| [f64::NAN, v]).collect::<Vec<f64>>();
    vec![
        ks_with(a, b, &options).unwrap(),
        ks_with(b, a, &options).unwrap(),
        ks_with(&reversed(a), &reversed(b), &options).unwrap(),
        ks_with(&map(a, |v| -v), &map(b, |v| -v), &options).unwrap(),
        ks_with(&map(a, |v| v * 1024.0), &map(b, |v| v * 1024.0), &options).unwrap(),
        ks_with(&holed(a), &holed(b), &options.with_nan(NanPolicy::Omit)).unwrap(),
        ks_sorted(&sorted(a), &sorted(b), method).unwrap(),
    ]
}

#[test]
fn kolmogorov_smirnov_agrees_with_scipy_and_with_exact_rationals() {
    for case in load::<KsCase>("ks") {
        for (method, p, ln_p) in [
            (KsMethod::Auto, case.p_exact, case.ln_p_exact),
            (KsMethod::Exact, case.p_exact, case.ln_p_exact),
            (KsMethod::ExactContinuous, case.p_continuous, case.ln_p_continuous),
            (KsMethod::Asymptotic, case.p_asymptotic, case.ln_p_asymptotic),
        ] {
            let of = format!("{} with {method:?} by {}", case.name, case.tool);
            for got in every_ks(&case, method) {
                assert_eq!((got.numerator, got.ties), (case.numerator, Some(case.ties)), "{of}");
                close(got.statistic.value().unwrap(), case.statistic, STATISTIC, &of);
                close_tail(got.p, got.ln_p, (Some(p), Some(ln_p)), &of);
                assert_eq!(got.method, if method == KsMethod::Auto { KsMethod::Exact } else { method });
            }
        }
    }
}
