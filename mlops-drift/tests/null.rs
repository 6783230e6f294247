//! What happens when nothing drifts: the p-values must be as rare as they say.
//!
//! Fixed seeds and a counter-based generator: the same draws on every machine. A p-value of level α over s simulations gives
//! about s·α alarms; the bounds are four binomial standard deviations around the rate a good approximation may have.

use mlops_drift::{
    Bins, KsMethod, KsOptions, LogBase, Smoothing, chi2_homogeneity, js, js_divergence_from_counts,
    js_from_counts, ks_with, psi, psi_from_counts,
};

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

const SIMULATIONS: u64 = 8000;

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

/// Ten cells known before any sample is drawn.
fn deciles() -> Bins {
    let edges: Vec<f64> = (0..=10).map(|i| f64::from(i) / 10.0).collect();
    Bins::from_edges(&edges).unwrap()
}

#[test]
fn on_fixed_cells_psi_and_js_alarm_as_often_as_their_level_says() {
    let bins = deciles();
    for (n, m) in [(1000, 1000), (200, 200), (2000, 300)] {
        let psi = |a: &[f64], b: &[f64]| {
            psi_from_counts(bins.count(a).as_slice(), bins.count(b).as_slice(), Smoothing::Jeffreys).unwrap()
        };
        within(alarms(n, m, |a, b| psi(a, b).p.value()), 0.045, 0.055);
        let js = |a: &[f64], b: &[f64]| {
            js_from_counts(bins.count(a).as_slice(), bins.count(b).as_slice(), LogBase::Two).unwrap()
        };
        within(alarms(n, m, |a, b| js(a, b).p.value()), 0.045, 0.055);
    }
}

#[test]
fn on_fitted_cells_psi_and_js_alarm_a_little_more_often() {
    for (n, m) in [(1000, 1000), (300, 2000), (2000, 300), (1000, 500)] {
        within(alarms(n, m, |a, b| psi(a, b).unwrap().p.value()), 0.05, 0.075);
        within(alarms(n, m, |a, b| js(a, b).unwrap().p.value()), 0.045, 0.065);
    }
}

#[test]
fn the_noise_floor_is_the_mean_of_the_score() {
    let bins = deciles();
    let (mut psis, mut psi_floors, mut js_scores, mut js_floors) = (0.0, 0.0, 0.0, 0.0);
    for s in 0..SIMULATIONS {
        let (a, b) = (bins.count(&sample(2 * s + 1, 1000)), bins.count(&sample(2 * s + 2, 500)));
        let psi = psi_from_counts(a.as_slice(), b.as_slice(), Smoothing::Jeffreys).unwrap();
        let js = js_divergence_from_counts(a.as_slice(), b.as_slice(), LogBase::E).unwrap();
        (psis, psi_floors) = (psis + psi.score, psi_floors + psi.noise_floor);
        (js_scores, js_floors) = (js_scores + js.score, js_floors + js.noise_floor);
    }
    // Four standard errors of the mean of a χ² variable with 9 degrees of freedom over 8000 draws are 2.1 %.
    assert!((psis / psi_floors - 1.0).abs() < 0.025, "{}", psis / psi_floors);
    assert!((js_scores / js_floors - 1.0).abs() < 0.025, "{}", js_scores / js_floors);
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
