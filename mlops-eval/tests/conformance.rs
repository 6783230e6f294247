//! The evaluator keeps the contract of `Evaluator`: the public suite, every case by name.

use std::collections::BTreeMap;
use std::sync::Arc;

use mlops_core::MetricKey;
use mlops_core::conformance::evaluator::EvaluatorUnderTest;
use mlops_core::data::Column;
use mlops_core::evaluation::{EvaluationInput, Evaluator as _};
use mlops_core::hash::Digest;
use mlops_core::model::Predictions;
use mlops_core::problem::{Direction, Task};
use mlops_eval::evaluator::{EvaluatorOptions, StandardEvaluator};

fn fresh() -> EvaluatorUnderTest {
    EvaluatorUnderTest::new(
        Arc::new(StandardEvaluator::new(EvaluatorOptions::default()).unwrap()),
        [Task::BinaryClassification, Task::MulticlassClassification, Task::Regression],
    )
}
mlops_core::evaluator_suite!(standard, fresh());

/// No name is missing from what it says it measures, and none is there that no report has.
#[test]
fn it_measures_what_it_says() {
    let evaluator = StandardEvaluator::default();
    let rows = |from: i32| (from..from + 20).map(f64::from).collect::<Vec<_>>();
    let answers = [
        (
            Task::BinaryClassification,
            Predictions::probability((0..20).map(|row| (f64::from(row) + 0.5) / 20.0).collect()).unwrap(),
            Column::bool("truth", (0..20).map(|row| row % 3 == 0).collect::<Vec<_>>()).unwrap(),
        ),
        // Positive on both sides, so that no deviance is left out.
        (Task::Regression, Predictions::value(rows(2)).unwrap(), Column::f64("truth", rows(1)).unwrap()),
    ];
    for (task, predictions, truth) in answers {
        let report = evaluator
            .evaluate(&EvaluationInput::new(
                Digest::of(b"model"),
                Digest::of(b"data"),
                task,
                &predictions,
                &truth,
                "2026-01-01T00:00:00Z".parse().unwrap(),
            ))
            .unwrap();
        let reported: BTreeMap<MetricKey, Direction> =
            report.metrics.into_iter().map(|(key, estimate)| (key, estimate.direction)).collect();
        assert_eq!(evaluator.metrics(task), Some(reported), "{task:?}");
    }
}
