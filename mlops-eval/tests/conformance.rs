//! The evaluator keeps the contract of `Evaluator`: the public suite, every case by name.

use mlops_core::conformance::evaluator::EvaluatorUnderTest;
use mlops_core::problem::Task;
use mlops_eval::evaluator::{EvaluatorOptions, StandardEvaluator};
use std::sync::Arc;
fn fresh() -> EvaluatorUnderTest {
    EvaluatorUnderTest::new(
        Arc::new(StandardEvaluator::new(EvaluatorOptions::default()).unwrap()),
        [Task::BinaryClassification, Task::MulticlassClassification, Task::Regression],
    )
}
mlops_core::evaluator_suite!(standard, fresh());
