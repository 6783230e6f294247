//! Inequality, consistency, disparity and differential fairness against AIF360 0.6.1, data balance against responsibleai 0.36.0.
//! `tests/reference/inequality.py` made the values.

use mlops_core::num::Measured;
use mlops_eval::classification::Confusion;
use mlops_eval::fairness::{
    ConsistencyOptions, LabelBalance, Reweighing, aggregate_balance, atkinson_index,
    coefficient_of_variation, consistency, demographic_disparity_aif360, differential_fairness,
    differential_fairness_amplification, distribution_balance, generalized_entropy,
    generalized_entropy_by_group, generalized_entropy_from_counts, theil_index,
};
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Deserialize)]
struct Reference {
    versions: BTreeMap<String, String>,
    fairness: Vec<Fairness>,
    balance: Vec<Balance>,
}

#[derive(Deserialize)]
struct Fairness {
    groups: Vec<u32>,
    y_true: Vec<u8>,
    y_pred: Vec<u8>,
    features: Vec<f64>,
    weights: Vec<f64>,
    alphas: Vec<f64>,
    entropy: Vec<f64>,
    between: Vec<f64>,
    theil: f64,
    variation: f64,
    consistency: f64,
    disparity: f64,
    epsilon_true: f64,
    epsilon_pred: f64,
    epsilon_ten: f64,
    amplification: f64,
    reweighed: Vec<f64>,
}

impl Fairness {
    fn cells(&self) -> Vec<Confusion> {
        let mut cells = vec![Confusion::default(); 3];
        for ((&group, &y), &p) in self.groups.iter().zip(&self.y_true).zip(&self.y_pred) {
            cells[group as usize].push(y == 1, p == 1);
        }
        cells
    }

    fn benefits(&self) -> Vec<f64> {
        self.y_true.iter().zip(&self.y_pred).map(|(&y, &p)| 1.0 + f64::from(p) - f64::from(y)).collect()
    }
}

#[derive(Deserialize)]
struct Balance {
    codes: Vec<u32>,
    y_true: Vec<u8>,
    gaps: Vec<Gap>,
    distribution: BTreeMap<String, f64>,
    aggregate_counts: Vec<u64>,
    aggregate: BTreeMap<String, f64>,
}

#[derive(Deserialize)]
struct Gap {
    a: usize,
    b: usize,
    #[serde(flatten)]
    measures: BTreeMap<String, f64>,
}

fn reference() -> Reference {
    let reference: Reference = serde_json::from_str(include_str!("reference/inequality.json")).unwrap();
    assert_eq!((&*reference.versions["aif360"], &*reference.versions["responsibleai"]), ("0.6.1", "0.36.0"));
    reference
}

#[track_caller]
fn close(got: Measured, expected: f64) {
    let got = got.value().unwrap();
    assert!((got - expected).abs() <= 1e-12 * expected.abs().max(1.0), "{got} is not {expected}");
}

#[test]
fn inequality_is_what_aif360_says() {
    for case in reference().fairness {
        let (cells, benefits) = (case.cells(), case.benefits());
        let mut all = Confusion::default();
        cells.iter().for_each(|group| all.merge(group).unwrap());
        for ((&alpha, &entropy), &between) in case.alphas.iter().zip(&case.entropy).zip(&case.between) {
            close(generalized_entropy(&benefits, alpha).unwrap(), entropy);
            close(generalized_entropy_from_counts(all, alpha).unwrap(), entropy);
            let parts = generalized_entropy_by_group(&cells, alpha).unwrap();
            close(parts.total, entropy);
            close(parts.between, between);
        }
        close(theil_index(&benefits).unwrap(), case.theil);
        close(coefficient_of_variation(&benefits).unwrap(), case.variation);
    }
}

#[test]
fn consistency_is_what_aif360_says() {
    for case in reference().fairness {
        let y_pred: Vec<f64> = case.y_pred.iter().map(|&p| f64::from(p)).collect();
        let found = consistency(&case.features, 2, &y_pred, &ConsistencyOptions::aif360_0_6()).unwrap();
        close(found, case.consistency);
    }
}

#[test]
fn disparity_and_differential_fairness_are_what_aif360_says() {
    for case in reference().fairness {
        let cells = case.cells();
        let counts = |f: fn(&Confusion) -> u64| cells.iter().map(move |c| (f(c) as f64, c.rows() as f64));
        let predicted: Vec<(f64, f64)> = counts(|c| c.true_positives + c.false_positives).collect();
        let actual: Vec<(f64, f64)> = counts(|c| c.true_positives + c.false_negatives).collect();
        let decided: Vec<(f64, f64)> = predicted.iter().map(|&(k, n)| (k, n - k)).collect();
        close(demographic_disparity_aif360(&decided).unwrap(), case.disparity);
        close(differential_fairness(&actual, 1.0).unwrap().epsilon, case.epsilon_true);
        close(differential_fairness(&predicted, 1.0).unwrap().epsilon, case.epsilon_pred);
        close(differential_fairness(&predicted, 10.0).unwrap().epsilon, case.epsilon_ten);
        close(differential_fairness_amplification(&cells, 1.0).unwrap(), case.amplification);
    }
}

#[test]
fn reweighing_is_what_aif360_says() {
    for case in reference().fairness {
        let y_true: Vec<bool> = case.y_true.iter().map(|&y| y == 1).collect();
        let fitted = Reweighing::weighted(&case.groups, 3, &y_true, &case.weights).unwrap();
        let factors = fitted.weights(&case.groups, &y_true).unwrap();
        for ((factor, weight), expected) in factors.iter().zip(&case.weights).zip(&case.reweighed) {
            close(Measured::Value(factor * weight), *expected);
        }
    }
}

#[test]
fn data_balance_is_what_the_toolbox_says() {
    for case in reference().balance {
        let y_true: Vec<bool> = case.y_true.iter().map(|&y| y == 1).collect();
        let balance = LabelBalance::of(&case.codes, 3, &y_true).unwrap();
        assert_eq!(case.gaps.len(), 3);
        for Gap { a, b, measures: expected } in &case.gaps {
            let gap = balance.gap(*a, *b).unwrap();
            close(gap.measures.statistical_parity, expected["StatisticalParity"]);
            close(gap.measures.pointwise_mutual_information, expected["PointwiseMutualInfo"]);
            close(gap.measures.sorensen_dice, expected["SorensonDiceCoeff"]);
            close(gap.measures.jaccard, expected["JaccardIndex"]);
            close(gap.measures.kendall, expected["KendallRankCorrelation"]);
            close(gap.measures.log_likelihood_ratio, expected["LogLikelihoodRatio"]);
            close(gap.measures.t_test, expected["TTest"]);
            close(gap.t_test_p, expected["TTestPValue"]);
        }
        let counts: Vec<u64> = balance.counts().iter().map(|c| c.rows()).collect();
        let found = distribution_balance(&counts, None).unwrap();
        close(found.kl_divergence, case.distribution["KLDivergence"]);
        close(found.js_distance, case.distribution["JensenShannonDist"]);
        close(found.wasserstein_distance, case.distribution["WassersteinDist"]);
        close(found.infinity_norm, case.distribution["InfiniteNormDist"]);
        close(found.total_variation, case.distribution["TotalVarianceDist"]);
        close(found.chi_square, case.distribution["ChiSquareStat"]);
        close(found.chi_square_p, case.distribution["ChiSquarePValue"]);
        close(found.cross_entropy, case.distribution["CrossEntropy"]);
        let found = aggregate_balance(&case.aggregate_counts).unwrap();
        close(found.atkinson, case.aggregate["AtkinsonIndex"]);
        close(found.theil_l, case.aggregate["TheilLIndex"]);
        close(found.theil_t, case.aggregate["TheilTIndex"]);
    }
}

#[test]
fn atkinson_is_the_share_that_could_be_given_up() {
    // (1 + 4)/2 = 2.5; with ε = 1/2 the even equivalent is ((1 + 2)/2)² = 2.25, with ε = 1 it is √4 = 2, with ε = 2 it is 1.6.
    for (epsilon, even) in [(0.0, 2.5), (0.5, 2.25), (1.0, 2.0), (2.0, 1.6)] {
        close(atkinson_index(&[1.0, 4.0], epsilon).unwrap(), 1.0 - even / 2.5);
    }
}
