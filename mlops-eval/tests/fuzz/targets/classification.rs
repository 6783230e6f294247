use mlops_core::conformance::fuzz::Input;
use mlops_core::num::parallel::Threads;
use mlops_eval::classification::*;

use super::{Rows, answer, answers, mergeable, near, plain, reread, rows};

pub fn average(input: &mut Input<'_>) -> Average {
    input.pick(&[Average::Macro, Average::Micro, Average::Weighted])
}

pub fn zero_division(input: &mut Input<'_>) -> ZeroDivision {
    // `Nan` asks for one, as an undefined number.
    input.pick(&[ZeroDivision::Undefined, ZeroDivision::Zero, ZeroDivision::One, ZeroDivision::Nan])
}

macro_rules! label_families {
    ($rows:expr, $cells:expr; $($plain:ident(), $weighted:ident(), $from_counts:ident();)+) => {$(
        answer(stringify!($plain), $plain(&$rows.y, &$rows.p));
        answer(stringify!($weighted), $weighted(&$rows.y, &$rows.p, &$rows.weights));
        for cells in $cells { plain(stringify!($from_counts), $from_counts(cells)); }
    )+};
}

fn use_cells(cells: &WeightedConfusion) {
    for metric in LabelMetric::ALL {
        plain(metric.name(), metric.from_counts(*cells));
        plain(metric.name(), metric.share(*cells));
        plain("fairlearn_rate", compat::fairlearn_rate(*metric, *cells));
        plain("CellMetric", CellMetric::from(*metric).from_counts(*cells));
    }
    plain("likelihood_ratios", compat::likelihood_ratios(*cells, Some(1.0), None));
    answer("plus", cells.plus(cells));
    plain("total", cells.total());
}

pub fn labels(input: &mut Input<'_>) {
    let (first, second) = (rows(input), rows(input));
    let beta = near(input, 1.0);
    let rows = &first;
    let given =
        WeightedConfusion::new(input.f64().abs(), input.f64().abs(), near(input, 3.0), near(input, 1e300));
    let mut cells: Vec<WeightedConfusion> = answer("new", given).into_iter().collect();
    cells.extend(answer("of", WeightedConfusion::of(&rows.y, &rows.p, &rows.weights)));
    cells.extend(answer("of", Confusion::of(&rows.y, &rows.p)).map(WeightedConfusion::from));
    let cells_of = || cells.iter().copied();
    label_families! { rows, cells_of();
        accuracy(), accuracy_weighted(), accuracy_from_counts();
        balanced_accuracy(), balanced_accuracy_weighted(), balanced_accuracy_from_counts();
        precision(), precision_weighted(), precision_from_counts();
        recall(), recall_weighted(), recall_from_counts();
        f1(), f1_weighted(), f1_from_counts();
        jaccard(), jaccard_weighted(), jaccard_from_counts();
        specificity(), specificity_weighted(), specificity_from_counts();
        negative_predictive_value(), negative_predictive_value_weighted(), negative_predictive_value_from_counts();
        false_positive_rate(), false_positive_rate_weighted(), false_positive_rate_from_counts();
        false_negative_rate(), false_negative_rate_weighted(), false_negative_rate_from_counts();
        false_discovery_rate(), false_discovery_rate_weighted(), false_discovery_rate_from_counts();
        false_omission_rate(), false_omission_rate_weighted(), false_omission_rate_from_counts();
        selection_rate(), selection_rate_weighted(), selection_rate_from_counts();
        prevalence(), prevalence_weighted(), prevalence_from_counts();
        zero_one_loss(), zero_one_loss_weighted(), zero_one_loss_from_counts();
        informedness(), informedness_weighted(), informedness_from_counts();
        markedness(), markedness_weighted(), markedness_from_counts();
        g_mean(), g_mean_weighted(), g_mean_from_counts();
        fowlkes_mallows(), fowlkes_mallows_weighted(), fowlkes_mallows_from_counts();
        positive_likelihood_ratio(), positive_likelihood_ratio_weighted(), positive_likelihood_ratio_from_counts();
        negative_likelihood_ratio(), negative_likelihood_ratio_weighted(), negative_likelihood_ratio_from_counts();
        diagnostic_odds_ratio(), diagnostic_odds_ratio_weighted(), diagnostic_odds_ratio_from_counts();
        prevalence_threshold(), prevalence_threshold_weighted(), prevalence_threshold_from_counts();
        mcc(), mcc_weighted(), mcc_from_counts();
    }
    answers![f_beta(&rows.y, &rows.p, beta), f_beta_weighted(&rows.y, &rows.p, &rows.weights, beta)];
    for cells in &cells {
        answer("f_beta_from_counts", f_beta_from_counts(*cells, beta));
        reread(input, "WeightedConfusion", cells, use_cells);
    }
    if let Some(metric) = answer("CellMetric::f_beta", CellMetric::f_beta(beta)) {
        cells_of().for_each(|cells| {
            plain("f_beta", metric.from_counts(cells));
        });
    }
    let both =
        |of: fn(&Rows) -> Option<Confusion>| [&first, &second].into_iter().filter_map(of).collect::<Vec<_>>();
    let counts = both(|rows| Confusion::of_with(&rows.y, &rows.p, Threads::ONE).ok());
    mergeable(input, "Confusion", &counts, Confusion::merge, |counts| use_cells(&(*counts).into()));
    let states: Vec<_> = [&first, &second]
        .into_iter()
        .filter_map(|rows| answer("of", WeightedConfusionState::of(&rows.y, &rows.p, &rows.weights)))
        .collect();
    let merge = WeightedConfusionState::merge;
    mergeable(input, "WeightedConfusionState", &states, merge, |state| use_cells(&state.finish()));
}

fn use_matrix(matrix: &WeightedConfusionMatrix) {
    for metric in LabelMetric::ALL {
        plain("per_class", matrix.per_class(*metric));
        for average in [Average::Macro, Average::Micro, Average::Weighted] {
            plain("average", matrix.average(*metric, average, ZeroDivision::Undefined));
            answer("average_of", matrix.average_of(&[0, 1], *metric, average, ZeroDivision::Zero));
        }
    }
    for by in [Normalize::True, Normalize::Pred, Normalize::All] {
        plain("normalized", matrix.normalized(by));
        plain("normalized", compat::normalized(matrix, by));
    }
    for kappa in [KappaWeights::Unweighted, KappaWeights::Linear, KappaWeights::Quadratic] {
        answer("kappa", matrix.kappa(&kappa));
        answer("cohen_kappa", compat::cohen_kappa(matrix, &kappa, Some(0.0)));
    }
    plain("mcc", (compat::mcc(matrix), matrix.mcc(), matrix.total(), matrix.support(), matrix.present()));
    plain("accuracy", (matrix.accuracy(), matrix.zero_one_loss(), matrix.hamming_loss()));
    plain("balanced_accuracy", (matrix.balanced_accuracy(), matrix.balanced_accuracy_adjusted()));
    plain("balanced_accuracy", [true, false].map(|adjusted| compat::balanced_accuracy(matrix, adjusted)));
    for class in 0..3 {
        answer("one_vs_rest", matrix.one_vs_rest(class));
        plain("get", matrix.get(class, 0));
    }
    answer("select", matrix.select(&[1, 0]));
}

pub fn matrices(input: &mut Input<'_>) {
    let both = [rows(input), rows(input)];
    let classes = if input.byte() == 0 { input.size() } else { 1 + usize::from(input.byte() % 5) };
    let custom: Vec<f64> = (0..classes.min(5).pow(2)).map(|_| input.f64()).collect();
    let kappa = KappaWeights::Custom(custom);
    let rows = &both[0];
    let (y, p, w) = (&rows.codes, &rows.guesses, &rows.weights);
    answers![cohen_kappa(y, p, classes, &kappa), cohen_kappa_weighted(y, p, w, classes, &kappa)];
    let counts: Vec<_> = both
        .iter()
        .filter_map(|rows| answer("of", ConfusionMatrix::of(&rows.codes, &rows.guesses, classes)))
        .collect();
    mergeable(input, "ConfusionMatrix", &counts, ConfusionMatrix::merge, |counts| {
        use_matrix(&counts.weighted());
        plain("one_vs_rest", (counts.one_vs_rest(0), counts.one_vs_rest(9), counts.get(9, 0)));
    });
    let states: Vec<_> = both
        .iter()
        .filter_map(|rows| {
            answer("of", WeightedConfusionMatrixState::of(&rows.codes, &rows.guesses, &rows.weights, classes))
        })
        .collect();
    let merge = WeightedConfusionMatrixState::merge;
    mergeable(input, "WeightedConfusionMatrixState", &states, merge, |state| use_matrix(&state.finish()));
    if let Some(matrix) = answer("of", WeightedConfusionMatrix::of(y, p, w, classes)) {
        answer("kappa", matrix.kappa(&kappa));
        reread(input, "WeightedConfusionMatrix", &matrix, use_matrix);
    }
}

pub fn multilabel(input: &mut Input<'_>) {
    let both = [rows(input), rows(input)];
    let labels = if input.byte() == 0 { input.size() } else { 1 + usize::from(input.byte() % 3) };
    let whole = |rows: &Rows| rows.y.len().min(rows.p.len()) / labels.max(1) * labels.clamp(1, 64);
    let states: Vec<_> = both
        .iter()
        .filter_map(|rows| {
            let n = whole(rows).min(rows.y.len());
            answer("of", MultilabelConfusion::of(&rows.y[..n], &rows.p[..n], labels));
            let weights = &rows.weights[..(n / labels.max(1)).min(rows.weights.len())];
            answer("weighted", MultilabelConfusion::weighted(&rows.y[..n], &rows.p[..n], weights, labels))
        })
        .collect();
    mergeable(input, "MultilabelConfusion", &states, MultilabelConfusion::merge, |state| {
        for metric in LabelMetric::ALL {
            plain("per_label", state.per_label(*metric));
            plain("average_over_rows", state.average_over_rows(*metric, ZeroDivision::Undefined));
            for average in [Average::Macro, Average::Micro, Average::Weighted] {
                plain("average", state.average(*metric, average, ZeroDivision::Undefined));
                answer("average_of", state.average_of(&[0], *metric, average, ZeroDivision::One));
            }
        }
        plain("losses", (state.subset_accuracy(), state.zero_one_loss(), state.hamming_loss()));
        plain("total", (state.total(), state.support(), state.label(0), state.label(99)));
    });
    let rows = &both[0];
    let n = whole(rows).min(rows.y.len());
    let (y, s) = (&rows.y[..n], &rows.scores[..n]);
    let w = &rows.weights[..n / labels.clamp(1, 64)];
    answers![
        coverage_error(y, s, labels),
        coverage_error_weighted(y, s, w, labels),
        label_ranking_average_precision(y, s, labels),
        label_ranking_average_precision_weighted(y, s, w, labels),
        label_ranking_loss(y, s, labels),
        label_ranking_loss_weighted(y, s, w, labels),
    ];
    let states: Vec<_> = [None, Some(w)]
        .into_iter()
        .filter_map(|w| answer("of", LabelRankingState::of(y, s, w, labels)))
        .collect();
    mergeable(input, "LabelRankingState", &states, LabelRankingState::merge, |state| {
        plain("finish", state.finish());
    });
}

pub fn top_k(input: &mut Input<'_>) {
    let both = [rows(input), rows(input)];
    let classes = if input.byte() == 0 { input.size() } else { 1 + usize::from(input.byte() % 5) };
    let (k, few) = (input.size(), classes.min(64));
    let ties = input.pick(&[TopKTies::Averaged, TopKTies::HigherCodeFirst, TopKTies::TrueClassLast]);
    let options = TopKOptions::new(k).with_ties(ties);
    let mut states = vec![];
    for rows in &both {
        let scores: Vec<f64> =
            (0..rows.codes.len() * few).map(|at| rows.scores[at % rows.scores.len()]).collect();
        let (y, w) = (&rows.codes, &rows.weights);
        answers![
            top_k_accuracy(y, &scores, classes, k),
            top_k_accuracy_with(y, &scores, classes, options),
            top_k_accuracy_weighted(y, &scores, w, classes, k),
            top_k_accuracy_weighted_with(y, &scores, w, classes, options),
        ];
        states.extend(answer("of", TopKState::of(y, &scores, Some(w), classes, options)));
        states.extend(answer("new", TopKState::new(classes, options)));
    }
    mergeable(input, "TopKState", &states, TopKState::merge, |state| {
        plain("finish", state.finish());
        let mut more = state.clone();
        answer("push", more.push(0, &[0.5], 2.0));
        plain("finish", more.finish());
    });
    let choice = zero_division(input);
    plain("apply", choice.apply(accuracy_from_counts(Confusion::default())));
}
