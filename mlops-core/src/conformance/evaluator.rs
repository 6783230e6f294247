//! The suite of [`Evaluator`].

use std::sync::Arc;

use super::support::{at, fault, skipped};
use crate::data::{Column, Table, Validity, Values};
use crate::error::{ErrorKind, Result};
use crate::evaluation::{EvaluationInput, EvaluationReport, Evaluator};
use crate::hash::{Digest, canonical_json};
use crate::model::Predictions;
use crate::problem::Task;
use crate::time::Timestamp;

/// Makes a test of every case of the [`Evaluator`] suite.
///
/// Takes the name of the module to put them in, and an expression that makes an
/// [`EvaluatorUnderTest`](crate::conformance::evaluator::EvaluatorUnderTest). See [the module](crate::conformance) for a whole
/// example; the tests are plain `#[test]`s and need no tokio.
///
/// ```
/// use std::sync::Arc;
/// use mlops_core::conformance::evaluator::EvaluatorUnderTest;
/// use mlops_core::evaluation::Evaluator;
/// use mlops_core::problem::Task;
///
/// fn under_test(evaluator: Arc<dyn Evaluator>) -> EvaluatorUnderTest {
///     EvaluatorUnderTest::new(evaluator, [Task::BinaryClassification, Task::Regression])
/// }
/// // mlops_core::evaluator_suite!(my_evaluator, under_test(Arc::new(my_evaluator())));
/// ```
#[macro_export]
macro_rules! evaluator_suite {
    ($module:ident, $fresh:expr) => {
        $crate::__conformance_suite_pure! { $module, $fresh, evaluator, [
            evaluation_is_deterministic,
            report_names_its_subject,
            metrics_are_named_beforehand,
            bad_input_is_refused,
            bad_truth_is_refused,
            reports_hold_no_nan,
            slices_and_groups_of_any_kind_are_survived,
            better_predictions_are_not_worse,
            other_tasks_are_refused,
            many_threads_judge_the_same,
        ] }
    };
}

/// An evaluator, and the tasks it knows.
#[derive(Debug)]
pub struct EvaluatorUnderTest {
    evaluator: Arc<dyn Evaluator>,
    tasks: Vec<Task>,
}

impl EvaluatorUnderTest {
    /// An evaluator for these tasks.
    pub fn new(evaluator: Arc<dyn Evaluator>, tasks: impl IntoIterator<Item = Task>) -> Self {
        Self { evaluator, tasks: tasks.into_iter().collect() }
    }

    /// Judges, and checks what every report must be.
    #[track_caller]
    fn judge(&self, data: &Data) -> Result<EvaluationReport> {
        let report = self.evaluator.evaluate(&data.input())?;
        if let Err(error) = canonical_json(&report) {
            panic!("a report with a number that is not finite: {error}: {report:?}");
        }
        assert_eq!(report.rows, data.predictions.len() as u64);
        Ok(report)
    }
}

/// What an evaluation looks at, owned.
#[derive(Clone, Debug)]
struct Data {
    task: Task,
    predictions: Predictions,
    truth: Column<'static>,
    slices: Table<'static>,
    sensitive: Table<'static>,
}

fn now() -> Timestamp {
    at("2026-01-01T00:00:00Z")
}

impl Data {
    /// Sixty rows, half of them positive, mostly predicted well; two slices and two groups of equal size.
    fn of(task: Task) -> Self {
        let positive = |row: usize| row.is_multiple_of(2);
        let wrong = |row: usize| row % 10 == 3;
        let score = |row: usize| if positive(row) != wrong(row) { 0.9 } else { 0.2 };
        let (predictions, truth) = match task {
            Task::Regression => (
                Predictions::Value((0..60).map(|row| row as f64 + score(row)).collect()),
                Column::f64("truth", (0..60).map(f64::from).collect::<Vec<_>>()),
            ),
            _ => (
                Predictions::Probability((0..60).map(score).collect()),
                Column::bool("truth", (0..60).map(positive).collect::<Vec<_>>()),
            ),
        };
        let halves = |name: &'static str, labels: [&'static str; 2]| {
            Table::new(vec![Column::text(name, (0..60).map(|row| labels[row / 30])).unwrap()]).unwrap()
        };
        let (slices, sensitive) = (halves("age band", ["<60", "60+"]), halves("sex", ["f", "m"]));
        Self { task, predictions, truth: truth.unwrap(), slices, sensitive }
    }

    fn input(&self) -> EvaluationInput<'_> {
        EvaluationInput {
            model: Digest::of(b"model"),
            data: Digest::of(b"data"),
            task: self.task,
            predictions: &self.predictions,
            truth: &self.truth,
            slices: &self.slices,
            sensitive: &self.sensitive,
            at: now(),
        }
    }

    fn says(mut self, value: impl Fn(usize) -> f64) -> Self {
        let values = (0..self.predictions.len()).map(value).collect();
        self.predictions = match self.task {
            Task::Regression => Predictions::Value(values),
            _ => Predictions::Probability(values),
        };
        self
    }

    /// Only these rows of everything.
    fn take(&self, rows: &[usize]) -> Self {
        let picked = rows.iter().map(|&row| self.predictions.as_slice()[row]).collect::<Vec<_>>();
        Self {
            truth: self.truth.take(rows).unwrap(),
            slices: self.slices.take(rows).unwrap(),
            sensitive: self.sensitive.take(rows).unwrap(),
            predictions: match self.task {
                Task::Regression => Predictions::Value(picked),
                _ => Predictions::Probability(picked),
            },
            task: self.task,
        }
    }
}

/// The same input gives the same report, to the last bit.
pub fn evaluation_is_deterministic(under: &EvaluatorUnderTest) {
    for &task in &under.tasks {
        let data = Data::of(task);
        let bytes = || canonical_json(&under.judge(&data).unwrap()).unwrap();
        let first = bytes();
        for _ in 0..3 {
            assert_eq!(bytes(), first);
        }
    }
}

/// A report carries the digests and the time of its input, and says on how many rows it rests.
pub fn report_names_its_subject(under: &EvaluatorUnderTest) {
    for &task in &under.tasks {
        let report = under.judge(&Data::of(task)).unwrap();
        assert_eq!((report.model, report.data), (Digest::of(b"model"), Digest::of(b"data")));
        assert_eq!((report.task, report.at, report.rows), (task, now(), 60));
        assert!(!report.metrics.is_empty());
        assert!(report.metrics.values().all(|estimate| estimate.rows <= 60));
    }
}

/// What the evaluator says it can report for a task is all that its reports have, in the same direction.
pub fn metrics_are_named_beforehand(under: &EvaluatorUnderTest) {
    let mut any = false;
    for &task in &under.tasks {
        let Some(named) = under.evaluator.metrics(task) else { continue };
        any = true;
        assert_eq!(under.evaluator.metrics(task).as_ref(), Some(&named), "asked again it says the same");
        let data = Data::of(task);
        let rows = [data.clone(), data.clone().says(|_| 0.5), data.take(&[0])];
        let reports = rows.map(|rows| under.judge(&rows).unwrap());
        for (key, estimate) in reports.iter().flat_map(|report| &report.metrics) {
            assert_eq!(named.get(key), Some(&estimate.direction), "{task:?}: {key}");
        }
    }
    if !any {
        skipped("the evaluator does not say what it measures");
    }
}

/// Parts of different length, and no rows at all, are refused.
pub fn bad_input_is_refused(under: &EvaluatorUnderTest) {
    for &task in &under.tasks {
        let good = Data::of(task);
        let fewer = good.take(&(0..59).collect::<Vec<_>>());
        for bad in [
            good.take(&[]),
            Data { predictions: fewer.predictions.clone(), ..good.clone() },
            Data { truth: fewer.truth.clone(), ..good.clone() },
            Data { slices: fewer.slices.clone(), ..good.clone() },
            Data { sensitive: fewer.sensitive.clone(), ..good.clone() },
        ] {
            assert_eq!(fault(under.judge(&bad)).kind(), ErrorKind::InvalidInput, "{bad:?}");
        }
    }
}

/// A truth of the wrong type, or that is missing or NaN in a row, is refused.
pub fn bad_truth_is_refused(under: &EvaluatorUnderTest) {
    for &task in &under.tasks {
        let good = Data::of(task);
        let known: Vec<bool> = (0..60).map(|row| row != 7).collect();
        let values = good.truth.values().clone();
        let mut bad = vec![
            Column::text("truth", vec!["yes"; 60]).unwrap(),
            Column::new("truth", values, Some(Validity::from_bools(&known))).unwrap(),
            Column::f64(
                "truth",
                (0..60).map(|row| if row == 7 { f64::NAN } else { 1.0 }).collect::<Vec<_>>(),
            )
            .unwrap(),
        ];
        if task == Task::BinaryClassification {
            bad.push(Column::new("truth", Values::Time(vec![1; 60].into()), None).unwrap());
        }
        for truth in bad {
            let bad = Data { truth, ..good.clone() };
            assert_eq!(fault(under.judge(&bad)).kind(), ErrorKind::InvalidInput, "{:?}", bad.truth);
        }
    }
}

/// Where a metric has no value the report says so, with the reason; nothing panics.
pub fn reports_hold_no_nan(under: &EvaluatorUnderTest) {
    for &task in &under.tasks {
        let data = Data::of(task);
        let positives: Vec<usize> = (0..60).step_by(2).collect();
        let negatives: Vec<usize> = (1..60).step_by(2).collect();
        for legal in [
            data.take(&[0]),
            data.take(&[0, 1]),
            data.take(&[5; 30]),
            data.take(&positives),
            data.take(&negatives),
            data.clone().says(|_| 0.0),
            data.clone().says(|_| 1.0),
            data.clone().says(|_| 0.5),
            data.clone().says(|_| 5e-324),
        ] {
            under.judge(&legal).unwrap();
        }
        // Not what a predictor may answer; refused or survived.
        for broken in [f64::NAN, f64::INFINITY, -1.0, f64::MAX] {
            if let Err(error) = under.judge(&data.clone().says(|row| if row == 3 { broken } else { 0.5 })) {
                assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
            }
        }
    }
}

/// Slices and groups may be tiny, constant, missing, numerous or called anything.
pub fn slices_and_groups_of_any_kind_are_survived(under: &EvaluatorUnderTest) {
    for &task in &under.tasks {
        let data = Data::of(task);
        let columns = [
            Column::text("one group", vec!["all"; 60]).unwrap(),
            Column::text("every row its own", (0..60).map(|row| row.to_string())).unwrap(),
            Column::optional_text("nobody's", vec![None::<&str>; 60]).unwrap(),
            Column::optional_text("some", (0..60).map(|row| (row % 3 > 0).then_some("known"))).unwrap(),
            Column::text("größe 家族 \u{202e}", (0..60).map(|row| ["", "\0", "a\nb", "🦀"][row % 4]))
                .unwrap(),
            Column::bool("flag", (0..60).map(|row| row == 0).collect::<Vec<_>>()).unwrap(),
            Column::i64("number", (0..60).map(|row| row % 2).collect::<Vec<_>>()).unwrap(),
        ];
        for column in columns {
            let table = Table::new(vec![column]).unwrap();
            for data in [
                Data { slices: table.clone(), sensitive: Table::default(), ..data.clone() },
                Data { sensitive: table.clone(), slices: Table::default(), ..data.clone() },
            ] {
                if let Err(error) = under.judge(&data) {
                    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
                }
            }
        }
        under.judge(&Data { slices: Table::default(), sensitive: Table::default(), ..data }).unwrap();
    }
}

/// By no metric are perfect predictions worse than the worst: directions are told right.
pub fn better_predictions_are_not_worse(under: &EvaluatorUnderTest) {
    for &task in &under.tasks {
        let data = Data::of(task);
        let truth = data.truth.to_f64().unwrap().into_owned();
        let (best, worst) = match task {
            Task::Regression => (data.clone().says(|row| truth[row]), data.says(|row| truth[row] + 30.0)),
            _ => (data.clone().says(|row| truth[row]), data.says(|row| 1.0 - truth[row])),
        };
        let (best, worst) = (under.judge(&best).unwrap(), under.judge(&worst).unwrap());
        for (key, estimate) in &best.metrics {
            if let (Some(best), Some(worst)) = (estimate.value.value(), worst.metric(key.as_str())) {
                assert!(
                    estimate.direction.gain(best, worst) >= 0.0,
                    "{key}: {best} perfect, {worst} all wrong"
                );
            }
        }
    }
}

/// A task that the evaluator does not know is refused, not judged as another.
pub fn other_tasks_are_refused(under: &EvaluatorUnderTest) {
    let all = [Task::BinaryClassification, Task::Regression];
    let mut others = all.into_iter().filter(|task| !under.tasks.contains(task)).peekable();
    if others.peek().is_none() {
        return skipped("the evaluator knows every task");
    }
    for task in others {
        let error = fault(under.judge(&Data::of(task)));
        assert!(matches!(error.kind(), ErrorKind::Unsupported | ErrorKind::InvalidInput), "{error}");
    }
}

/// Asked from many threads at once, an evaluator judges as it does for one.
pub fn many_threads_judge_the_same(under: &EvaluatorUnderTest) {
    for &task in &under.tasks {
        let data = Data::of(task);
        let expected = under.judge(&data).unwrap();
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| under.judge(&data).unwrap())).collect();
            for thread in threads {
                assert_eq!(thread.join().expect("no thread panics"), expected);
            }
        });
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::data::DataType;
    use crate::error::Error;
    use crate::evaluation::Estimate;
    use crate::id::MetricKey;
    use crate::num::Measured;
    use crate::problem::Direction;

    /// Accuracy of a binary task, and the accuracy of the positives.
    #[derive(Debug)]
    pub(crate) struct Accuracy;

    impl Evaluator for Accuracy {
        fn evaluate(&self, input: &EvaluationInput<'_>) -> Result<EvaluationReport> {
            const OP: &str = "Evaluator::evaluate";
            input.check()?;
            if input.task != Task::BinaryClassification {
                return Err(Error::unsupported(OP, "task"));
            }
            if input.truth.data_type() != DataType::Bool || input.truth.missing() > 0 {
                return Err(Error::invalid(OP, "truth", "must be true or false in every row"));
            }
            let said = Predictions::probability(input.predictions.as_slice().to_vec())?;
            let truth = input.truth.to_f64()?;
            let right = |row: &usize| (said.as_slice()[*row] > 0.5) == (truth[*row] == 1.0);
            let positive = |row: &usize| truth[*row] == 1.0;
            let all = 0..said.len();
            let count = |n: usize| n as f64;
            let accuracy = Measured::ratio(count(all.clone().filter(right).count()), count(all.len()));
            let hits = all.clone().filter(positive).filter(right).count();
            let recall = Measured::ratio(count(hits), count(all.clone().filter(positive).count()));
            let rows = all.len() as u64;
            let mut report = EvaluationReport::new(input.model, input.data, input.task, input.at, rows);
            for (key, value) in [("accuracy", accuracy), ("recall", recall)] {
                let estimate = Estimate::new(value, Direction::HigherIsBetter, rows);
                report.metrics.insert(MetricKey::new(key)?, estimate);
            }
            Ok(report)
        }

        fn metrics(&self, task: Task) -> Option<BTreeMap<MetricKey, Direction>> {
            let named = |key: &str| Some((MetricKey::new(key).ok()?, Direction::HigherIsBetter));
            (task == Task::BinaryClassification)
                .then(|| ["accuracy", "recall"].into_iter().flat_map(named).collect())
        }
    }

    fn fresh(evaluator: Arc<dyn Evaluator>) -> EvaluatorUnderTest {
        EvaluatorUnderTest::new(evaluator, [Task::BinaryClassification])
    }

    crate::evaluator_suite!(plain, fresh(Arc::new(Accuracy)));
    crate::evaluator_suite!(in_an_arc, fresh(Arc::new(Arc::new(Accuracy) as Arc<dyn Evaluator>)));
    crate::evaluator_suite!(in_a_box, fresh(Arc::new(Box::new(Accuracy) as Box<dyn Evaluator>)));
}
