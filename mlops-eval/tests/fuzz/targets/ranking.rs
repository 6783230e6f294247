use mlops_core::conformance::fuzz::Input;
use mlops_eval::ranking::*;

use super::{answer, answers, mergeable, near, plain, rows};

pub fn ranking(input: &mut Input<'_>) {
    let rows = rows(input);
    let mut options = RankingOptions::default()
        .with_gain(input.pick(&[Gain::Linear, Gain::Exponential]))
        .with_log_base(near(input, 2.0))
        .with_relevant_above(near(input, 0.0))
        .with_ties(input.pick(&[RankTies::Averaged, RankTies::RowOrder, RankTies::ReverseRowOrder]))
        .with_without_relevant(input.pick(&[
            WithoutRelevant::Skip,
            WithoutRelevant::Zero,
            WithoutRelevant::One,
        ]));
    if input.bool() {
        options = options.with_cutoff(input.size()).with_max_grade(near(input, 4.0));
    }
    let grades: Vec<f64> =
        rows.truth.iter().map(|grade| if input.byte() == 0 { *grade } else { grade.abs() }).collect();
    let ids: Vec<u64> = rows.codes.iter().map(|&code| u64::from(code)).collect();
    let offsets: Vec<usize> = (0..input.below(5)).map(|_| input.size()).collect();
    let scores = &rows.scores;
    let all = [
        Queries::from_ids(&grades, scores, &ids),
        Queries::from_offsets(&grades, scores, &offsets),
        Queries::one(&grades, scores),
    ];
    let mut states: Vec<RankingState> = RankingState::new(RankingMetric::ALL, &options).into_iter().collect();
    for queries in all.into_iter().flatten() {
        let w = &rows.weights[..queries.len().min(rows.weights.len())];
        answers![
            dcg(&queries, &options),
            dcg_weighted(&queries, w, &options),
            ndcg(&queries, &options),
            ndcg_weighted(&queries, w, &options),
            mean_average_precision(&queries, &options),
            mean_average_precision_weighted(&queries, w, &options),
            mean_reciprocal_rank(&queries, &options),
            mean_reciprocal_rank_weighted(&queries, w, &options),
            expected_reciprocal_rank(&queries, &options),
            expected_reciprocal_rank_weighted(&queries, w, &options),
            precision_at_k(&queries, &options),
            precision_at_k_weighted(&queries, w, &options),
            recall_at_k(&queries, &options),
            recall_at_k_weighted(&queries, w, &options),
            hit_rate_at_k(&queries, &options),
            hit_rate_at_k_weighted(&queries, w, &options),
            f1_at_k(&queries, &options),
            f1_at_k_weighted(&queries, w, &options),
        ];
        for metric in RankingMetric::ALL {
            answer("per_query", metric.per_query(&queries, &options));
        }
        states.extend(answer("of", RankingState::of(&queries, Some(w), RankingMetric::ALL, &options)));
    }
    states.truncate(3);
    mergeable(input, "RankingState", &states, RankingState::merge, |state| {
        for metric in RankingMetric::ALL {
            answer("mean", state.mean(*metric));
            answer("undefined", state.undefined(*metric));
        }
        plain("metrics", (state.metrics().collect::<Vec<_>>(), state.queries()));
        let mut more = state.clone();
        answer("push", more.push(&[1.0, 0.0], &[0.5, 0.7], 2.0));
    });
}
