//! Ranking against scikit-learn, trec_eval and brute force over all orders of tied documents (`reference/ranking.json`), to
//! 1e-12; and laws of ties, policies and the state.

use std::collections::BTreeMap;

use mlops_core::num::{Measured, StatsError};
use mlops_eval::ranking::{
    Gain, Queries, RankTies, RankingMetric, RankingOptions, RankingState, WithoutRelevant, ndcg,
    ndcg_weighted,
};
use proptest::prelude::*;
use serde::Deserialize;

#[derive(Deserialize)]
struct File {
    versions: BTreeMap<String, String>,
    max_grade: f64,
    brute_force: Vec<Brute>,
    scikit_learn: Vec<ScikitLearn>,
    trec_eval: TrecEval,
}

#[derive(Deserialize)]
struct Brute {
    relevance: Vec<f64>,
    scores: Vec<f64>,
    cutoff: usize,
    gain: Gain,
    averaged: BTreeMap<RankingMetric, Option<f64>>,
    row_order: BTreeMap<RankingMetric, Option<f64>>,
}

#[derive(Deserialize)]
struct ScikitLearn {
    relevance: Vec<f64>,
    scores: Vec<f64>,
    documents: usize,
    cutoff: Option<usize>,
    weights: Vec<f64>,
    log_base: f64,
    dcg: Vec<f64>,
    ndcg: Vec<f64>,
    mean_ndcg: f64,
    weighted_ndcg: f64,
    ndcg_ignore_ties: f64,
}

#[derive(Deserialize)]
struct TrecEval {
    relevance: Vec<f64>,
    scores: Vec<f64>,
    offsets: Vec<usize>,
    values: BTreeMap<String, Vec<f64>>,
}

fn file() -> File {
    let file: File = serde_json::from_str(include_str!("reference/ranking.json")).unwrap();
    assert_eq!(file.versions["scikit-learn"], "1.9.1");
    file
}

#[track_caller]
fn agree(context: &str, got: Measured, expected: Option<f64>) {
    match (got.value(), expected) {
        (Some(got), Some(expected)) => {
            let tolerance = 1e-12 * expected.abs().max(1.0);
            assert!((got - expected).abs() <= tolerance, "{context}: {got} instead of {expected}");
        }
        (got, expected) => assert_eq!(got, expected, "{context}"),
    }
}

#[test]
fn ties_are_the_mean_over_all_orders_of_the_tied_documents() {
    let file = file();
    assert!(file.brute_force.len() >= 30);
    for (number, case) in file.brute_force.iter().enumerate() {
        let queries = Queries::one(&case.relevance, &case.scores).unwrap();
        let options = RankingOptions::default()
            .with_cutoff(case.cutoff)
            .with_gain(case.gain)
            .with_max_grade(file.max_grade);
        assert_eq!(case.averaged.len(), RankingMetric::ALL.len());
        for (ties, expected) in [(RankTies::Averaged, &case.averaged), (RankTies::RowOrder, &case.row_order)]
        {
            for (metric, expected) in expected {
                let got = metric.per_query(&queries, &options.with_ties(ties)).unwrap();
                agree(&format!("{number}, {metric}, {ties:?}"), got[0], *expected);
            }
        }
    }
}

#[test]
fn gains_agree_with_scikit_learn() {
    for (number, case) in file().scikit_learn.iter().enumerate() {
        let offsets: Vec<usize> = (0..=4).map(|query| query * case.documents).collect();
        let queries = Queries::from_offsets(&case.relevance, &case.scores, &offsets).unwrap();
        let mut options = RankingOptions::default().with_without_relevant(WithoutRelevant::Zero);
        options.cutoff = case.cutoff;
        let dcg = RankingMetric::Dcg.per_query(&queries, &options.with_log_base(case.log_base)).unwrap();
        let ndcgs = RankingMetric::Ndcg.per_query(&queries, &options).unwrap();
        for query in 0..4 {
            agree(&format!("{number}, DCG {query}"), dcg[query], Some(case.dcg[query]));
            // The query without relevant documents is 0 there.
            let none = case.relevance[offsets[query]..offsets[query + 1]].iter().all(|grade| *grade == 0.0);
            let expected = (!none).then_some(case.ndcg[query]);
            agree(&format!("{number}, NDCG {query}"), ndcgs[query], expected);
        }
        agree("mean", ndcg(&queries, &options).unwrap(), Some(case.mean_ndcg));
        agree(
            "weighted",
            ndcg_weighted(&queries, &case.weights, &options).unwrap(),
            Some(case.weighted_ndcg),
        );
        let rows = options.with_ties(RankTies::ReverseRowOrder);
        agree("ties ignored", ndcg(&queries, &rows).unwrap(), Some(case.ndcg_ignore_ties));
    }
}

#[test]
fn lists_without_ties_agree_with_trec_eval() {
    let case = file().trec_eval;
    let queries = Queries::from_offsets(&case.relevance, &case.scores, &case.offsets).unwrap();
    let all = RankingOptions::default();
    let five = all.with_cutoff(5);
    let table = [
        ("map", RankingMetric::AveragePrecision, all),
        ("map_cut_5", RankingMetric::AveragePrecision, five),
        ("recip_rank", RankingMetric::ReciprocalRank, all),
        ("P_5", RankingMetric::Precision, five),
        ("recall_5", RankingMetric::Recall, five),
        ("success_5", RankingMetric::HitRate, five),
        ("ndcg", RankingMetric::Ndcg, all),
        ("ndcg_cut_5", RankingMetric::Ndcg, five),
    ];
    assert_eq!(case.values.len(), table.len());
    for (name, metric, options) in table {
        let got = metric.per_query(&queries, &options).unwrap();
        assert_eq!(got.len(), case.values[name].len());
        for (got, expected) in got.into_iter().zip(&case.values[name]) {
            agree(name, got, Some(*expected));
        }
        let mean = RankingState::of(&queries, None, &[metric], &options).unwrap().mean(metric).unwrap();
        let expected = case.values[name].iter().sum::<f64>() / case.values[name].len() as f64;
        agree(name, mean, Some(expected));
    }
}

#[test]
fn queries_without_relevant_documents_follow_the_policy() {
    let queries = Queries::from_offsets(&[1.0, 0.0, 0.0], &[0.2, 0.3, 0.1], &[0, 2, 2, 3]).unwrap();
    let mean = |choice| {
        let options = RankingOptions::default().with_without_relevant(choice);
        let state =
            RankingState::of(&queries, Some(&[1.0, 2.0, 1.0]), &[RankingMetric::ReciprocalRank], &options);
        let state = state.unwrap();
        assert_eq!((state.queries(), state.undefined(RankingMetric::ReciprocalRank).unwrap()), (3, 2));
        state.mean(RankingMetric::ReciprocalRank).unwrap().value().unwrap()
    };
    assert_eq!(mean(WithoutRelevant::Skip), 0.5);
    assert_eq!(mean(WithoutRelevant::Zero), 0.125);
    assert_eq!(mean(WithoutRelevant::One), 0.875);
    let nothing = Queries::one(&[0.0], &[1.0]).unwrap();
    assert_eq!(ndcg(&nothing, &RankingOptions::default()).unwrap().value(), None);
}

#[test]
fn bad_options_and_grades_are_named() {
    let queries = Queries::one(&[5.0, 0.0], &[0.2, 0.1]).unwrap();
    let refused =
        |metric: RankingMetric, options: RankingOptions| metric.per_query(&queries, &options).unwrap_err();
    let good = RankingOptions::default();
    for (options, name) in [
        (good.with_cutoff(0), "cutoff"),
        (good.with_log_base(1.0), "log_base"),
        (good.with_log_base(f64::NAN), "log_base"),
        (good.with_relevant_above(f64::INFINITY), "relevant_above"),
        (good.with_max_grade(0.0), "max_grade"),
        (good.with_max_grade(f64::NAN), "max_grade"),
    ] {
        let error = refused(RankingMetric::Ndcg, options);
        assert!(matches!(error, StatsError::Parameter { parameter, .. } if parameter == name), "{error}");
        let again = RankingState::new(&[RankingMetric::Ndcg], &options).unwrap_err();
        assert_eq!(again.to_string(), error.to_string());
    }
    let err = RankingMetric::ExpectedReciprocalRank;
    assert!(matches!(refused(err, good), StatsError::Unsupported { .. }));
    assert!(matches!(refused(err, good.with_max_grade(4.0)), StatsError::OutOfRange { value: 5.0, .. }));
    let huge = Queries::one(&[2000.0, 1.0], &[0.2, 0.1]).unwrap();
    let exponential = good.with_gain(Gain::Exponential);
    assert!(matches!(RankingMetric::Dcg.per_query(&huge, &exponential), Err(StatsError::Overflow { .. })));
    assert!(matches!(RankingMetric::Ndcg.per_query(&huge, &exponential), Err(StatsError::Overflow { .. })));
}

#[test]
fn states_are_read_back_as_they_were_written_and_checked() {
    let options = RankingOptions::default().with_cutoff(3).with_max_grade(4.0);
    let queries = Queries::from_ids(&[1.0, 0.0, 3.0, 2.0], &[0.1, 0.2, 0.3, 0.3], &[2, 1, 2, 1]).unwrap();
    let state = RankingState::of(&queries, Some(&[0.1, 0.7]), RankingMetric::ALL, &options).unwrap();
    let text = serde_json::to_string(&state).unwrap();
    assert_eq!(serde_json::from_str::<RankingState>(&text).unwrap(), state);
    for (from, to) in [
        ("\"cutoff\":3", "\"cutoff\":0"),
        ("\"max_grade\":4.0", "\"max_grade\":null"),
        ("\"log_base\":2.0", "\"log_base\":0.5"),
        ("\"queries\":2", "\"queries\":2,\"more\":1"),
        ("\"metric\":\"ndcg\"", "\"metric\":\"dcg\""),
        ("\"weights\":{\"total\":", "\"weights\":{\"total\":9"),
        ("\"weights\":{\"total\":", "\"weights\":{\"total\":-"),
        ("\"undefined\":0", "\"undefined\":3"),
    ] {
        assert!(text.contains(from), "{from} {text}");
        assert!(serde_json::from_str::<RankingState>(&text.replacen(from, to, 1)).is_err(), "{to}");
    }
}

fn documents() -> impl Strategy<Value = Vec<(f64, f64)>> {
    prop::collection::vec(
        (prop::sample::select(vec![0.0, 0.0, 1.0, 2.0, 4.0]), (0..5_u8).prop_map(f64::from)),
        1..30,
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn the_order_of_rows_does_not_matter_and_values_are_in_range(rows in documents(), turn in 0..30_usize, k in 1..12_usize) {
        let options = RankingOptions::default().with_cutoff(k).with_max_grade(4.0);
        let mut turned = rows.clone();
        turned.rotate_left(turn % rows.len());
        turned.reverse();
        let all = |rows: &[(f64, f64)]| {
            let (relevance, scores): (Vec<f64>, Vec<f64>) = rows.iter().copied().unzip();
            let queries = Queries::one(&relevance, &scores).unwrap();
            RankingMetric::ALL.iter().map(|m| m.per_query(&queries, &options).unwrap()[0]).collect::<Vec<_>>()
        };
        for ((metric, a), b) in RankingMetric::ALL.iter().zip(all(&rows)).zip(all(&turned)) {
            let (low, high) = metric.range();
            match (a, b) {
                (Measured::Value(a), Measured::Value(b)) => {
                    prop_assert!((a - b).abs() < 1e-12, "{} {} {}", metric, a, b);
                    prop_assert!(a.is_finite() && (low..=high + 1e-15).contains(&a), "{} {}", metric, a);
                }
                (a, b) => prop_assert_eq!(a.value().or(b.value()), None),
            }
        }
    }

    #[test]
    fn parts_add_up_to_the_whole_whoever_brings_the_rows(
        queries in prop::collection::vec(documents(), 2..8),
        weights in prop::collection::vec(0.01..3.0_f64, 8),
        cut in 1..8_usize,
    ) {
        let options = RankingOptions::default().with_max_grade(4.0);
        let cut = 1 + cut % (queries.len() - 1);
        let mut flat = (Vec::new(), Vec::new(), Vec::new());
        let mut states = [0, 1].map(|_| RankingState::new(RankingMetric::ALL, &options).unwrap());
        for (number, rows) in queries.iter().enumerate() {
            let (relevance, scores): (Vec<f64>, Vec<f64>) = rows.iter().copied().unzip();
            states[usize::from(number >= cut)].push(&relevance, &scores, weights[number]).unwrap();
            flat.2.extend(std::iter::repeat_n(number as u64, rows.len()));
            flat.0.extend(relevance);
            flat.1.extend(scores);
        }
        let [mut merged, other] = states;
        merged.merge(&other).unwrap();
        let by_id = Queries::from_ids(&flat.0, &flat.1, &flat.2).unwrap();
        let whole =
            RankingState::of(&by_id, Some(&weights[..queries.len()]), RankingMetric::ALL, &options).unwrap();
        for &metric in RankingMetric::ALL {
            match (merged.mean(metric).unwrap(), whole.mean(metric).unwrap()) {
                (Measured::Value(a), Measured::Value(b)) => prop_assert!((a - b).abs() < 1e-13 * b.max(1.0)),
                (a, b) => prop_assert_eq!(a, b),
            }
            prop_assert_eq!(merged.undefined(metric).unwrap(), whole.undefined(metric).unwrap());
        }
    }
}
