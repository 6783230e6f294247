//! Joint drift: the statistics against NumPy, SciPy, scikit-learn and dcor; the p-values against their level; what is found that no
//! column shows alone; and the detector against the contract of `DriftDetector`.
//!
//! `reference/multivariate.json` holds rows and expected values; `reference/multivariate.py` wrote it.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use mlops_core::conformance::drift::DriftUnderTest;
use mlops_core::data::{Column, Table};
use mlops_core::monitor::{DriftDetector as _, DriftVerdict, FeatureOutcome};
use mlops_core::num::{NanPolicy, Random, StatsError, UndefinedReason};
use mlops_drift::ks;
use mlops_drift::multivariate::{
    Bandwidth, Beyond, Boosting, CentroidOptions, DomainClassifierOptions, EnergyOptions, JointDistance,
    Matrix, MmdOptions, MultivariateDetector, MultivariateMethod, MultivariateOptions, Pca, PcaOptions,
    SlicedWassersteinOptions, auc, centroid_cosine_with, domain_classifier, domain_classifier_with, energy,
    energy_with, mmd, mmd_with, pca_reconstruction, pca_reconstruction_with, sliced_wasserstein,
    sliced_wasserstein_along, sliced_wasserstein_with,
};
use serde::Deserialize;

#[derive(Deserialize)]
struct Document {
    clouds: Vec<Cloud>,
    scores: Vec<Scores>,
}

#[derive(Deserialize)]
struct Cloud {
    name: String,
    tool: String,
    columns: usize,
    reference: Vec<f64>,
    current: Vec<f64>,
    median_distance: f64,
    mmd2: f64,
    mmd2_at_half: f64,
    energy: f64,
    energy_formula: f64,
    centroid_cosine: f64,
    directions: Vec<f64>,
    sliced_wasserstein: f64,
    components: usize,
    explained: f64,
    reference_errors: Vec<f64>,
    current_mean: f64,
    current_standard_error: f64,
}

impl Cloud {
    fn sides(&self) -> (Matrix<'_, f64>, Matrix<'_, f64>) {
        let side = |values| Matrix::new(values, self.columns).unwrap();
        (side(&self.reference), side(&self.current))
    }
}

#[derive(Deserialize)]
struct Scores {
    name: String,
    tool: String,
    reference: Vec<f64>,
    current: Vec<f64>,
    auc: f64,
    standard_error: f64,
    null_deviation: f64,
}

fn document() -> Document {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/multivariate.json");
    let document: Document = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    assert!(!document.clouds.is_empty() && !document.scores.is_empty());
    document
}

/// Means of kernel values and of distances may cancel: `unit` is the size of what is subtracted.
#[track_caller]
fn close(got: f64, expected: f64, unit: f64, of: &str) {
    let bound = 1e-12 * f64::abs(expected).max(unit);
    assert!((got - expected).abs() <= bound, "{of}: {got:e} is not {expected:e}");
}

#[test]
fn mmd_agrees_with_its_formula_in_numpy() {
    for cloud in document().clouds {
        let (a, b) = cloud.sides();
        let of = format!("MMD² of {} by {}", cloud.name, cloud.tool);
        let options = MmdOptions::new(1).with_permutations(9);
        for (x, y) in [(&a, &b), (&b, &a)] {
            let got = mmd_with(x, y, &options).unwrap();
            close(got.bandwidth, cloud.median_distance, 0.0, &of);
            close(got.distance.score, cloud.mmd2, 1.0, &of);
            let fixed = mmd_with(x, y, &options.with_bandwidth(Bandwidth::Fixed(0.5))).unwrap();
            close(fixed.distance.score, cloud.mmd2_at_half, 1.0, &of);
        }
    }
}

#[test]
fn energy_agrees_with_dcor_and_with_its_formula() {
    for cloud in document().clouds {
        let (a, b) = cloud.sides();
        let of = format!("energy of {} by {}", cloud.name, cloud.tool);
        for (x, y) in [(&a, &b), (&b, &a)] {
            let got = energy_with(x, y, &EnergyOptions::new(1).with_permutations(9)).unwrap();
            close(got.score, cloud.energy, cloud.median_distance, &of);
            close(got.score, cloud.energy_formula, cloud.median_distance, &of);
        }
    }
}

#[test]
fn centroid_cosine_agrees_with_scipy() {
    for cloud in document().clouds {
        let (a, b) = cloud.sides();
        let of = format!("centroid cosine of {} by {}", cloud.name, cloud.tool);
        for (x, y) in [(&a, &b), (&b, &a)] {
            let got = centroid_cosine_with(x, y, &CentroidOptions::new(1).with_permutations(9)).unwrap();
            close(got.score, cloud.centroid_cosine, 1e-2, &of);
        }
    }
}

#[test]
fn sliced_wasserstein_agrees_with_scipy_along_the_same_directions() {
    for cloud in document().clouds {
        let (a, b) = cloud.sides();
        let of = format!("sliced W1 of {} by {}", cloud.name, cloud.tool);
        let directions = Matrix::new(&cloud.directions, cloud.columns).unwrap();
        let options = SlicedWassersteinOptions::new(1).with_permutations(9);
        for (x, y) in [(&a, &b), (&b, &a)] {
            let got = sliced_wasserstein_along(x, y, &directions, &options).unwrap();
            close(got.score, cloud.sliced_wasserstein, 0.0, &of);
        }
    }
}

#[test]
fn reconstruction_errors_agree_with_scikit_learn() {
    for cloud in document().clouds {
        let (a, b) = cloud.sides();
        let of = format!("PCA of {} by {}", cloud.name, cloud.tool);
        let pca = Pca::fit(&a, 0.65).unwrap();
        assert_eq!(pca.components(), cloud.components, "{of}");
        close(pca.explained(), cloud.explained, 0.0, &of);
        for (got, expected) in pca.errors(&a).unwrap().iter().zip(&cloud.reference_errors) {
            close(*got, *expected, 10.0, &of);
        }
        if a.rows() >= 4 {
            let got = pca_reconstruction_with(&a, &b, &PcaOptions::new(1).with_permutations(9)).unwrap();
            close(got.current.mean, cloud.current_mean, 1.0, &of);
            close(got.current.standard_error.value().unwrap(), cloud.current_standard_error, 1.0, &of);
            assert_eq!(got.components, cloud.components as u64);
        }
    }
}

#[test]
fn the_area_under_the_curve_agrees_with_scikit_learn() {
    for case in document().scores {
        let of = format!("AUC of {} by {}", case.name, case.tool);
        let got = auc(&case.reference, &case.current).unwrap();
        close(got.value, case.auc, 0.0, &of);
        close(got.standard_error.value().unwrap(), case.standard_error, 0.0, &of);
        // SciPy's deviation is recovered from its p-value, which costs digits.
        assert!((got.null_deviation / case.null_deviation - 1.0).abs() < 1e-9, "{of}");
    }
}

/// Standard normal numbers: sums of twelve uniform ones.
fn normals(seed: u64, count: usize) -> Vec<f64> {
    let mut random = Random::new(seed);
    (0..count).map(|_| (0..12).map(|_| random.next_f64()).sum::<f64>() - 6.0).collect()
}

/// Rows of two columns with this correlation, each with mean 0 and deviation 1.
fn correlated(seed: u64, rows: usize, rho: f64) -> Vec<f64> {
    let other = (1.0 - rho * rho).sqrt();
    normals(seed, 2 * rows).chunks(2).flat_map(|pair| [pair[0], rho * pair[0] + other * pair[1]]).collect()
}

type Measure = fn(&Matrix<'_, f64>, &Matrix<'_, f64>, u64) -> JointDistance;

/// Every statistic in a small form: 39 permutations, so that p ≤ 0.05 with a probability of 2/40.
const SMALL: [(&str, Measure); 7] = [
    ("centroid cosine", |a, b, seed| {
        centroid_cosine_with(a, b, &CentroidOptions::new(seed).with_permutations(39)).unwrap()
    }),
    ("energy", |a, b, seed| energy_with(a, b, &EnergyOptions::new(seed).with_permutations(39)).unwrap()),
    ("mmd", |a, b, seed| mmd_with(a, b, &MmdOptions::new(seed).with_permutations(39)).unwrap().distance),
    ("mmd by Fourier features", |a, b, seed| {
        let options = MmdOptions::new(seed).with_permutations(39).with_max_rows(10).with_frequencies(8);
        mmd_with(a, b, &options).unwrap().distance
    }),
    ("sliced Wasserstein", |a, b, seed| {
        let options = SlicedWassersteinOptions::new(seed).with_permutations(39).with_projections(4);
        sliced_wasserstein_with(a, b, &options).unwrap()
    }),
    ("pca", |a, b, seed| {
        pca_reconstruction_with(a, b, &PcaOptions::new(seed).with_permutations(39)).unwrap().distance
    }),
    ("domain classifier", |a, b, seed| {
        let learner = Boosting::default().with_rounds(5).with_depth(2).with_min_leaf(4);
        let options = DomainClassifierOptions::new(seed).with_importances(false);
        domain_classifier_with(a, b, &options, &learner).unwrap().distance
    }),
];

#[test]
fn without_drift_p_values_are_as_rare_as_they_say() {
    const SIMULATIONS: u64 = 500;
    for (name, measure) in SMALL {
        let mut alarms = 0;
        for s in 0..SIMULATIONS {
            let (a, b) = (correlated(2 * s, 40, 0.5), correlated(2 * s + 1, 30, 0.5));
            let p = measure(&Matrix::new(&a, 2).unwrap(), &Matrix::new(&b, 2).unwrap(), s).p.value().unwrap();
            alarms += u32::from(p <= 0.05);
        }
        // Four binomial standard deviations around 5 %.
        let rate = f64::from(alarms) / SIMULATIONS as f64;
        let bound = 4.0 * (0.05 * 0.95 / SIMULATIONS as f64).sqrt();
        assert!((rate - 0.05).abs() <= bound, "{name} alarms in {rate} of simulations without drift");
    }
}

#[test]
fn the_noise_floor_is_the_mean_of_the_score_without_drift() {
    const SIMULATIONS: u64 = 200;
    for (name, measure) in SMALL.into_iter().filter(|(name, _)| !name.contains("mmd")) {
        let (mut scores, mut floors, mut squares) = (0.0, 0.0, 0.0);
        for s in 0..SIMULATIONS {
            let (a, b) = (correlated(2 * s + 9000, 40, 0.5), correlated(2 * s + 9001, 30, 0.5));
            let got = measure(&Matrix::new(&a, 2).unwrap(), &Matrix::new(&b, 2).unwrap(), s);
            (scores, floors) = (scores + got.score, floors + got.noise_floor);
            squares += (got.score - got.noise_floor).powi(2);
        }
        // Four standard errors of the mean difference.
        let bound = 4.0 * squares.sqrt();
        assert!((scores - floors).abs() <= bound, "{name}: {scores} {floors}");
    }
}

#[test]
fn dependence_that_changes_is_found_where_no_column_shows_it() {
    let (a, b) = (correlated(1, 150, 0.8), correlated(2, 150, -0.8));
    for column in 0..2 {
        let of = |rows: &[f64]| rows.iter().skip(column).step_by(2).copied().collect::<Vec<f64>>();
        assert!(
            ks(&of(&a), &of(&b)).unwrap().p.value() > Some(0.05),
            "column {column} alone has not changed"
        );
    }
    let (a, b) = (Matrix::new(&a, 2).unwrap(), Matrix::new(&b, 2).unwrap());
    let found = domain_classifier(&a, &b, 3).unwrap().distance;
    assert!(found.score > 0.75 && found.ln_p.value() < Some(-12.0), "{found:?}");
    for distance in [
        energy(&a, &b, 3).unwrap(),
        mmd(&a, &b, 3).unwrap().distance,
        pca_reconstruction(&a, &b, 3).unwrap().distance,
        sliced_wasserstein(&a, &b, 3).unwrap(),
    ] {
        assert_eq!(distance.p.value(), Some(0.002), "{distance:?}");
        assert!(distance.score > 3.0 * distance.noise_floor.abs(), "{distance:?}");
    }
}

#[test]
fn a_ring_is_told_from_a_disc() {
    // The same means, the same spread, no correlation: only the radius tells.
    let around = |seed: u64, ring: bool| -> Vec<f64> {
        let mut random = Random::new(seed);
        let mut point = || {
            let angle = std::f64::consts::TAU * random.next_f64();
            let radius = if ring { 1.0 } else { (2.0 * random.next_f64()).sqrt() };
            [radius * angle.cos(), radius * angle.sin()]
        };
        (0..200).flat_map(|_| point()).collect()
    };
    let (ring, disc) = (around(1, true), around(2, false));
    let found =
        domain_classifier(&Matrix::new(&ring, 2).unwrap(), &Matrix::new(&disc, 2).unwrap(), 3).unwrap();
    assert!(found.distance.score > 0.75 && found.distance.p.value() < Some(1e-8), "{found:?}");
}

#[test]
fn importances_name_the_columns_that_tell() {
    // Of five columns the second shifts and the fourth spreads.
    let rows = |seed: u64, shift: f64, spread: f64| -> Vec<f64> {
        let row = |row: &[f64]| [row[0], row[1] + shift, row[2], row[3] * spread, row[4]];
        normals(seed, 5 * 200).chunks(5).flat_map(row).collect()
    };
    let (a, b) = (rows(1, 0.0, 1.0), rows(2, 1.0, 3.0));
    let found = domain_classifier(&Matrix::new(&a, 5).unwrap(), &Matrix::new(&b, 5).unwrap(), 3).unwrap();
    let ranked = found.ranked();
    let (mut first, rest) = ([ranked[0].0, ranked[1].0], ranked[2].1);
    first.sort_unstable();
    assert_eq!(first, [1, 3]);
    assert!(ranked[1].1 > 0.05 && rest < 0.02, "{ranked:?}");
    assert!(found.distance.interval.unwrap().contains(found.distance.score));
}

#[test]
fn narrow_floats_are_the_same_numbers() {
    let (a, b) = (normals(1, 90), normals(2, 60));
    let narrow = |values: &[f64]| values.iter().map(|v| *v as f32).collect::<Vec<f32>>();
    let (a, b) = (narrow(&a), narrow(&b));
    let wide = |values: &[f32]| values.iter().map(|v| f64::from(*v)).collect::<Vec<f64>>();
    let (wide_a, wide_b) = (wide(&a), wide(&b));
    let (a, b) = (Matrix::new(&a, 3).unwrap(), Matrix::new(&b, 3).unwrap());
    let (wide_a, wide_b) = (Matrix::new(&wide_a, 3).unwrap(), Matrix::new(&wide_b, 3).unwrap());
    assert_eq!(energy(&a, &b, 1), energy(&wide_a, &b, 1));
    assert_eq!(mmd(&a, &b, 1), mmd(&a, &wide_b, 1));
    assert_eq!(pca_reconstruction(&a, &b, 1), pca_reconstruction(&wide_a, &wide_b, 1));
    assert_eq!(domain_classifier(&a, &b, 1), domain_classifier(&wide_a, &wide_b, 1));
    let few = SlicedWassersteinOptions::new(1).with_projections(9);
    assert_eq!(sliced_wasserstein_with(&a, &b, &few), sliced_wasserstein_with(&wide_a, &wide_b, &few));
}

#[test]
fn the_seed_is_all_the_randomness_there_is() {
    let (a, b) = (correlated(5, 60, 0.2), correlated(6, 50, 0.2));
    let (a, b) = (Matrix::new(&a, 2).unwrap(), Matrix::new(&b, 2).unwrap());
    for (name, measure) in SMALL {
        assert_eq!(measure(&a, &b, 7), measure(&a, &b, 7), "{name}");
        let others = (0..20).filter(|seed| measure(&a, &b, *seed) != measure(&a, &b, 7)).count();
        assert!(others >= 19, "{name}: another seed draws something else");
    }
}

#[test]
fn rows_with_a_nan_follow_the_policy() {
    let mut gone = correlated(6, 50, 0.2);
    gone[10] = f64::NAN;
    let whole = correlated(5, 60, 0.2);
    let (a, b) = (Matrix::new(&whole, 2).unwrap(), Matrix::new(&gone, 2).unwrap());
    let with = |nan| {
        [
            energy_with(&a, &b, &EnergyOptions::new(1).with_nan(nan)),
            mmd_with(&a, &b, &MmdOptions::new(1).with_nan(nan)).map(|found| found.distance),
            pca_reconstruction_with(&a, &b, &PcaOptions::new(1).with_nan(nan)).map(|found| found.distance),
            sliced_wasserstein_with(
                &a,
                &b,
                &SlicedWassersteinOptions::new(1).with_projections(3).with_nan(nan),
            ),
        ]
    };
    for refused in with(NanPolicy::Raise) {
        assert_eq!(refused, Err(StatsError::Nan { argument: "current", index: 10 }));
    }
    for omitted in with(NanPolicy::Omit) {
        let omitted = omitted.unwrap();
        assert_eq!((omitted.current.rows, omitted.current.used, omitted.current.missing), (50, 49, 1));
        assert!(omitted.p.value().is_some());
    }
    for propagated in with(NanPolicy::Propagate) {
        let reason = propagated.unwrap().p.undefined().map(|undefined| undefined.reason);
        assert_eq!(reason, Some(UndefinedReason::NanInput));
    }
}

#[test]
fn what_cannot_be_compared_is_an_error_that_names_it() {
    let (two, three) = (Matrix::new(&[1.0; 40], 2).unwrap(), Matrix::new(&[1.0; 60], 3).unwrap());
    let infinite = Matrix::new(&[f64::INFINITY; 40], 2).unwrap();
    let empty = Matrix::new(Vec::<f64>::new(), 2).unwrap();
    let all = |a: &Matrix<'_, f64>, b: &Matrix<'_, f64>| {
        [
            energy(a, b, 1).map(|_| ()),
            mmd(a, b, 1).map(|_| ()),
            pca_reconstruction(a, b, 1).map(|_| ()),
            sliced_wasserstein(a, b, 1).map(|_| ()),
            domain_classifier(a, b, 1).map(|_| ()),
        ]
    };
    for got in all(&two, &three) {
        assert!(matches!(got, Err(StatsError::LengthMismatch { left_len: 2, right_len: 3, .. })), "{got:?}");
    }
    for got in all(&two, &infinite) {
        assert!(matches!(got, Err(StatsError::NotFinite { argument: "current", index: 0, .. })), "{got:?}");
    }
    for got in all(&empty, &two) {
        assert_eq!(got, Err(StatsError::Empty { argument: "reference" }));
    }
    let over = energy_with(&two, &two, &EnergyOptions::new(1).with_max_rows(39));
    assert!(matches!(over, Err(StatsError::Parameter { parameter: "max_rows", value: 39.0, .. })));
    let sampled = EnergyOptions::new(1).with_max_rows(30).with_beyond(Beyond::Sample);
    assert_eq!(energy_with(&two, &two, &sampled).unwrap().reference.used, 15);
}

#[test]
fn results_survive_json() {
    let (a, b) = (correlated(5, 60, 0.2), correlated(6, 50, 0.7));
    let (a, b) = (Matrix::new(&a, 2).unwrap(), Matrix::new(&b, 2).unwrap());
    for (name, measure) in SMALL {
        let distance = measure(&a, &b, 1);
        let text = serde_json::to_string(&distance).unwrap();
        assert_eq!(serde_json::from_str::<JointDistance>(&text).unwrap(), distance, "{name}");
    }
    let pca = Pca::fit(&a, 0.65).unwrap();
    assert_eq!(serde_json::from_str::<Pca>(&serde_json::to_string(&pca).unwrap()).unwrap(), pca);
}

/// People whose income follows their age.
fn people(age: f64) -> Table<'static> {
    let ages: Vec<f64> = (0..120).map(|i| age + f64::from(i % 20)).collect();
    let incomes: Vec<f64> =
        (0..120).map(|i| 1000.0 + 100.0 * f64::from(i % 20) + 30.0 * f64::from(i * 7 % 11)).collect();
    Table::new(vec![Column::f64("age", ages).unwrap(), Column::f64("income", incomes).unwrap()]).unwrap()
}

/// The row in reports is called like a column, which the suite replaces and removes.
fn under_test(method: MultivariateMethod) -> DriftUnderTest {
    let options = MultivariateOptions::new(11).with_feature("age").with_method(method).with_permutations(199);
    let detector = MultivariateDetector::fit(&people(40.0), options).unwrap();
    DriftUnderTest::new(Arc::new(detector), people(40.0), people(70.0))
}

mlops_core::drift_detector_suite!(by_domain_classifier, under_test(MultivariateMethod::DomainClassifier));
mlops_core::drift_detector_suite!(by_pca, under_test(MultivariateMethod::Pca));
mlops_core::drift_detector_suite!(by_mmd, under_test(MultivariateMethod::Mmd));
mlops_core::drift_detector_suite!(by_energy, under_test(MultivariateMethod::Energy));
mlops_core::drift_detector_suite!(by_sliced_wasserstein, under_test(MultivariateMethod::SlicedWasserstein));

fn pairs(rows: &[f64]) -> Table<'static> {
    let column = |name: &'static str, index: usize| {
        Column::f64(name, rows.iter().skip(index).step_by(2).copied().collect::<Vec<_>>()).unwrap()
    };
    Table::new(vec![
        column("first", 0),
        column("second", 1),
        Column::text("city", vec!["Bonn"; rows.len() / 2]).unwrap(),
    ])
    .unwrap()
}

#[test]
fn detectors_report_one_row_for_all_columns() {
    let now = "2026-01-01T00:00:00Z".parse().unwrap();
    let (before, same, flipped) =
        (pairs(&correlated(1, 200, 0.8)), pairs(&correlated(8, 150, 0.8)), pairs(&correlated(2, 150, -0.8)));
    for (method, definition) in [
        (MultivariateMethod::DomainClassifier, "domain_classifier.auc.folds5/v1"),
        (MultivariateMethod::Pca, "pca.reconstruction.share0.65/v1"),
        (MultivariateMethod::Mmd, "mmd2.unbiased.gaussian/v1"),
        (MultivariateMethod::Energy, "energy.v/v1"),
        (MultivariateMethod::SlicedWasserstein, "sliced_wasserstein1.directions100/v1"),
    ] {
        let options = MultivariateOptions::new(5).with_method(method).with_permutations(199);
        let detector = MultivariateDetector::fit(&before, options).unwrap();
        assert_eq!(detector.columns(), ["first", "second"]);
        assert_eq!(detector.detect(&same, now).unwrap().verdict, DriftVerdict::NoDrift, "{method:?}");
        let report = detector.detect(&flipped, now).unwrap();
        assert_eq!(report.verdict, DriftVerdict::Drift, "{report:?}");
        assert_eq!(report.features.len(), 1);
        assert_eq!(report.features[0].feature, "all columns");
        let FeatureOutcome::Measured(score) = &report.features[0].outcome else { panic!("{report:?}") };
        assert_eq!(score.definition, definition);
        assert!(score.p_value <= Some(0.01));
        let few = detector.detect(&same.take(&(0..30).collect::<Vec<_>>()).unwrap(), now).unwrap();
        assert_eq!(few.verdict, DriftVerdict::Inconclusive, "{few:?}");
    }
}

#[test]
fn missing_values_that_come_up_are_found_by_the_domain_classifier() {
    let now = "2026-01-01T00:00:00Z".parse().unwrap();
    let before = correlated(1, 200, 0.5);
    let mut gone = correlated(2, 200, 0.5);
    gone.iter_mut().step_by(4).for_each(|value| *value = f64::NAN);
    let detector = MultivariateDetector::fit(&pairs(&before), MultivariateOptions::new(5)).unwrap();
    let report = detector.detect(&pairs(&gone), now).unwrap();
    assert_eq!(report.verdict, DriftVerdict::Drift, "{report:?}");
    assert!(report.reason.ends_with("told by first"), "{}", report.reason);
    let FeatureOutcome::Measured(score) = &report.features[0].outcome else { panic!("{report:?}") };
    assert_eq!((score.missing_reference, score.missing_current), (0.0, 0.5));
}

#[test]
fn detectors_that_cannot_be_are_refused() {
    let table = pairs(&correlated(1, 60, 0.5));
    let fit = |options: MultivariateOptions| MultivariateDetector::fit(&table, options).map(|_| ());
    let good = || MultivariateOptions::new(1).with_method(MultivariateMethod::Energy);
    fit(good()).unwrap();
    for options in [
        good().with_alpha(0.0),
        good().with_alpha(f64::NAN),
        good().with_permutations(50),
        good().with_min_score(f64::INFINITY),
        good().with_min_rows(9),
        good().with_max_rows(19),
        good().with_feature(""),
        good().with_columns(["first"]).with_method(MultivariateMethod::Pca),
        good().with_columns(["city"]),
        good().with_columns(["nowhere"]),
        good().with_columns(Vec::<String>::new()),
    ] {
        assert!(fit(options.clone()).is_err(), "{options:?}");
    }
    assert!(MultivariateDetector::fit(&Table::default(), good()).is_err());
}
