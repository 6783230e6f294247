use mlops_core::conformance::fuzz::Input;
use mlops_core::data::{Column, Table};
use mlops_eval::catalog::{self, Metric};
use mlops_eval::slice::*;

use super::{answer, answers, near, reread, rows};

pub fn slices(input: &mut Input<'_>) {
    let rows = rows(input);
    let options = SliceOptions::default()
        .with_minimum_size(if input.byte() == 0 { input.size() } else { 2 })
        .with_confidence(near(input, 0.95));
    let edges: Vec<f64> = (0..input.below(5)).map(|at| near(input, at as f64)).collect();
    let mut slices = answer("bins", Slice::bins("x", &rows.truth, &edges)).unwrap_or_default();
    slices.extend(
        answer("categories", Slice::categories("code", &rows.codes, &["a", "b", "c", "d"]))
            .unwrap_or_default(),
    );
    slices.push(Slice::missing("none", &rows.scores));
    slices.push(Slice::category("code", &rows.codes, 1).negated().named(input.text()));
    if let [first, .., last] = slices.as_slice() {
        let both = [first.and(last), first.or(last)];
        slices.extend(both.into_iter().flatten());
    }
    let all: Vec<Metric> = Metric::all().collect();
    let binary = catalog::Input::binary(&rows.y).with_labels(&rows.p).with_scores(&rows.shares);
    let numbers = catalog::Input::regression(&rows.truth, &rows.forecast).with_weights(&rows.weights);
    for data in [&binary, &numbers, &binary.with_weights(&rows.weights)] {
        let metrics: Vec<Metric> = all.iter().copied().filter(|metric| data.supports(*metric)).collect();
        answers![
            evaluate_slices(data, &slices, &metrics, &options),
            evaluate_slices(data, &slices, &all, &options)
        ];
    }
}

fn filter(input: &mut Input<'_>, depth: usize) -> Option<Filter> {
    let column = input.pick(&["x", "plan", "churned", "True Y", ""]);
    let made = match input.byte() % if depth > 0 { 12 } else { 8 } {
        0 => Filter::greater(column, near(input, 0.5)),
        1 => Filter::at_least(column, near(input, 0.5)),
        2 => Filter::less(column, near(input, 0.5)),
        3 => Filter::at_most(column, near(input, 0.5)),
        4 => Filter::equal(column, "a"),
        5 => Filter::includes(column, ["a", "b"]),
        6 => Filter::excludes(column, [input.f64(), 1.0]),
        7 => Filter::in_the_range_of(column, near(input, 0.0), near(input, 1.0)),
        8 => filter(input, depth - 1)?.and(filter(input, depth - 1)?),
        9 => filter(input, depth - 1)?.or(filter(input, depth - 1)?),
        10 => Filter::all([filter(input, depth - 1)?]),
        _ => filter(input, depth - 1)?.negated(),
    };
    answer("Filter", made)
}

pub fn cohorts(input: &mut Input<'_>) {
    let rows = rows(input);
    let n = rows.codes.len();
    let columns = [
        Column::f64("x", rows.truth.clone()),
        Column::text("plan", rows.codes.iter().map(|code| ["a", "b", "c"][(code % 3) as usize])),
    ];
    let Ok(table) = columns.into_iter().collect::<Result<Vec<_>, _>>().and_then(Table::new) else { return };
    let (Ok(truth), Ok(predicted)) =
        (Column::f64("y", rows.truth.clone()), Column::f64("p", rows.forecast.clone()))
    else {
        return;
    };
    let given = CohortRows::new(&table).with_truth(&truth).with_predictions(&predicted);
    let filters: Vec<Filter> = (0..input.below(3)).filter_map(|_| filter(input, 3)).collect();
    let Some(cohort) = answer("new", Cohort::new(input.text(), filters)) else { return };
    reread(input, "Cohort", &cohort, |cohort: &Cohort| {
        assert!(!cohort.name().is_empty() && !cohort.definition().is_empty() || cohort.filters().is_empty());
        // The name of a slice is what the cohort is called, a NaN not excluded.
        if let Ok(slice) = cohort.slice(&given) {
            assert_eq!(slice.mask().len(), n);
        }
    });
}
