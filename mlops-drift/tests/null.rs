//! What happens when nothing drifts: the p-values must be as rare as they say.
//!
//! Fixed seeds and a counter-based generator: the same draws on every machine. A p-value of level α over s simulations gives
//! about s·α alarms; the bounds are four binomial standard deviations around the rate a good approximation may have.

use mlops_drift::{JsOptions, KsMethod, KsOptions, PsiOptions, chi2_homogeneity, js_with, ks_with, psi_with};

/// The i-th number of stream `seed`, uniform in [0, 1): SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
fn uniform(seed: u64, i: u64) -> f64 {
    let mut z = seed.wrapping_mul(0xd134_2543_de82_ef95).wrapping_add(i.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
}

fn sample(seed: u64, n: u64) -> Vec<f64> {
    (0..n).map(|i| uniform(seed, i + 1)).collect()
}

const SIMULATIONS: u64 = 2000;

/// The share of simulations with p below 0.05.
fn alarms(n: u64, m: u64, p: impl Fn(&[f64], &[f64]) -> Option<f64>) -> f64 {
    let alarm = |s: u64| p(&sample(2 * s + 1, n), &sample(2 * s + 2, m)).unwrap() < 0.05;
    (0..SIMULATIONS).filter(|&s| alarm(s)).count() as f64 / SIMULATIONS as f64
}

#[track_caller]
fn within(rate: f64, low: f64, high: f64) {
    let deviation = |share: f64| 4.0 * (share * (1.0 - share) / SIMULATIONS as f64).sqrt();
    let (from, to) = (low - deviation(low), high + deviation(high));
    assert!((from..=to).contains(&rate), "{rate} is outside [{from}, {to}]");
}

#[test]
fn psi_alarms_as_often_as_its_level_says() {
    for (n, m) in [(1000, 1000), (200, 200), (2000, 300)] {
        let rate = alarms(n, m, |a, b| psi_with(a, b, &PsiOptions::default()).unwrap().p.value());
        within(rate, 0.035, 0.055);
    }
}

#[test]
fn the_noise_floor_is_the_mean_of_the_score() {
    let mut scores = 0.0;
    let mut floors = 0.0;
    for s in 0..SIMULATIONS {
        let psi =
            psi_with(&sample(2 * s + 1, 1000), &sample(2 * s + 2, 500), &PsiOptions::default()).unwrap();
        scores += psi.score;
        floors += psi.noise_floor;
    }
    assert!((scores / floors - 1.0).abs() < 0.1, "{} {}", scores / floors, floors / SIMULATIONS as f64);
}

#[test]
fn jensen_shannon_alarms_as_often_as_its_level_says() {
    for (n, m) in [(1000, 1000), (2000, 300)] {
        let rate = alarms(n, m, |a, b| js_with(a, b, &JsOptions::default()).unwrap().p.value());
        within(rate, 0.035, 0.06);
    }
}

#[test]
fn chi_square_alarms_as_often_as_its_level_says() {
    let counts = |x: &[f64]| {
        let mut cells = [0u64; 5];
        x.iter().for_each(|v| {
            cells[usize::from(*v > 0.1)
                + usize::from(*v > 0.3)
                + usize::from(*v > 0.6)
                + usize::from(*v > 0.8)] += 1
        });
        cells
    };
    let rate = alarms(500, 400, |a, b| chi2_homogeneity(&counts(a), &counts(b)).unwrap().p.value());
    within(rate, 0.045, 0.055);
}

#[test]
fn kolmogorov_smirnov_never_alarms_too_often_even_on_rounded_data() {
    for (n, m, digits) in [(200, 150, 1e9), (60, 80, 5.0), (40, 40, 2.0)] {
        let round = |x: &[f64]| x.iter().map(|v| (v * digits).floor()).collect::<Vec<f64>>();
        let with = |method| {
            alarms(n, m, |a, b| {
                ks_with(&round(a), &round(b), &KsOptions::default().with_method(method)).unwrap().p.value()
            })
        };
        let (exact, continuous) = (with(KsMethod::Exact), with(KsMethod::ExactContinuous));
        within(exact, 0.025, 0.05);
        assert!(continuous <= exact, "ties make the continuous p-value conservative");
    }
}
