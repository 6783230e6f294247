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
            zero_and_one_are_no_and_yes,
            classes_are_matched_by_name,
            unknown_classes_are_refused,
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

/// The tasks of which the suite has data.
const TASKS: [Task; 3] = [Task::BinaryClassification, Task::MulticlassClassification, Task::Regression];

/// The classes, not in the order of the alphabet.
const CLASSES: [&str; 3] = ["pine", "birch", "ash"];

/// The class of a row of several classes: every class has twenty rows.
fn class(row: usize) -> usize {
    row % 3
}

/// Probabilities of the classes in which this one has `sure`, and the others share the rest.
fn surely(class: usize, sure: f64) -> [f64; 3] {
    let mut row = [(1.0 - sure) / 2.0; 3];
    row[class] = sure;
    row
}

fn classes(rows: impl IntoIterator<Item = [f64; 3]>) -> Result<Predictions> {
    Predictions::classes(CLASSES, rows.into_iter().flatten().collect())
}

impl Data {
    /// Sixty rows, half of them positive or a third of each class, mostly predicted well; two slices and two groups of equal size.
    fn of(task: Task) -> Self {
        let positive = |row: usize| row.is_multiple_of(2);
        let wrong = |row: usize| row % 10 == 3;
        let score = |row: usize| if positive(row) != wrong(row) { 0.9 } else { 0.2 };
        let (predictions, truth) = match task {
            Task::Regression => (
                Predictions::Value((0..60).map(|row| row as f64 + score(row)).collect()),
                Column::f64("truth", (0..60).map(f64::from).collect::<Vec<_>>()),
            ),
            Task::MulticlassClassification => {
                let said =
                    |row: usize| surely(if wrong(row) { class(row + 1) } else { class(row) }, score(0));
                let truth = (0..60).map(|row| CLASSES[class(row)]);
                (classes((0..60).map(said)).unwrap(), Column::text("truth", truth))
            }
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

    /// With these predictions: numbers, probabilities of the positive class or of the first of several.
    ///
    /// # Errors
    /// For several classes where a probability is none: what holds them refuses that.
    fn says(mut self, value: impl Fn(usize) -> f64) -> Result<Self> {
        let rows = 0..self.predictions.len();
        self.predictions = match self.task {
            Task::Regression => Predictions::Value(rows.map(value).collect()),
            Task::MulticlassClassification => classes(rows.map(|row| surely(0, value(row))))?,
            _ => Predictions::Probability(rows.map(value).collect()),
        };
        Ok(self)
    }

    /// With predictions that are all right, and that are all wrong.
    fn best_and_worst(&self) -> [Self; 2] {
        if self.task == Task::MulticlassClassification {
            let of = |off: usize| classes((0..60).map(|row| surely(class(row + off), 1.0))).unwrap();
            return [0, 1].map(|off| Self { predictions: of(off), ..self.clone() });
        }
        let truth = self.truth.to_f64().unwrap().into_owned();
        let wrong = |row: usize| match self.task {
            Task::Regression => truth[row] + 30.0,
            _ => 1.0 - truth[row],
        };
        [self.clone().says(|row| truth[row]).unwrap(), self.clone().says(wrong).unwrap()]
    }

    /// Only these rows of everything.
    fn take(&self, rows: &[usize]) -> Self {
        let width = self.predictions.width();
        let row = |&row: &usize| self.predictions.as_slice()[row * width..][..width].to_vec();
        let picked: Vec<f64> = rows.iter().flat_map(row).collect();
        Self {
            truth: self.truth.take(rows).unwrap(),
            slices: self.slices.take(rows).unwrap(),
            sensitive: self.sensitive.take(rows).unwrap(),
            predictions: match self.task {
                Task::Regression => Predictions::Value(picked),
                Task::MulticlassClassification => Predictions::classes(CLASSES, picked).unwrap(),
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
        let rows = [data.clone(), data.clone().says(|_| 0.5).unwrap(), data.take(&[0])];
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
        // One number a row for several classes, and the other way round.
        let other = match task {
            Task::MulticlassClassification => Predictions::Probability(vec![0.5; 60]),
            _ => Data::of(Task::MulticlassClassification).predictions,
        };
        for bad in [
            Data { predictions: other, ..good.clone() },
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

/// A binary truth of the integers 0 and 1, or of the words, is that of booleans; another integer is refused.
pub fn zero_and_one_are_no_and_yes(under: &EvaluatorUnderTest) {
    if !under.tasks.contains(&Task::BinaryClassification) {
        return skipped("the evaluator knows no binary task");
    }
    let good = Data::of(Task::BinaryClassification);
    let expected = under.judge(&good).unwrap();
    let number = |row: usize| i64::from(row.is_multiple_of(2));
    for truth in [
        Column::i64("truth", (0..60).map(number).collect::<Vec<_>>()).unwrap(),
        Column::text("truth", (0..60).map(|row| number(row).to_string())).unwrap(),
        Column::text("truth", (0..60).map(|row| if number(row) == 1 { "true" } else { "false" })).unwrap(),
    ] {
        assert_eq!(under.judge(&Data { truth, ..good.clone() }).unwrap(), expected);
    }
    for bad in [2, -1, i64::MAX] {
        let values: Vec<i64> = (0..60).map(|row| if row == 7 { bad } else { number(row) }).collect();
        let bad = Data { truth: Column::i64("truth", values).unwrap(), ..good.clone() };
        assert_eq!(fault(under.judge(&bad)).kind(), ErrorKind::InvalidInput);
    }
}

/// The truth of several classes is matched with the model's classes by name: neither the order of its levels nor that of the model's
/// classes changes a number, and integers are the classes of their name.
pub fn classes_are_matched_by_name(under: &EvaluatorUnderTest) {
    if !under.tasks.contains(&Task::MulticlassClassification) {
        return skipped("the evaluator knows no task of several classes");
    }
    let good = Data::of(Task::MulticlassClassification);
    let expected = under.judge(&good).unwrap();
    let levels: Arc<[String]> = ["ash", "elm", "birch", "pine"].map(str::to_owned).into();
    let codes: Vec<u32> = (0..60).map(|row| [3, 2, 0][class(row)]).collect();
    let truth = Column::new("truth", Values::Category { codes: codes.into(), levels }, None).unwrap();
    assert_eq!(under.judge(&Data { truth, ..good.clone() }).unwrap(), expected);

    // The same answers with the classes the other way round, which may change the order of a sum.
    let turned = good.predictions.as_slice().chunks(3).flat_map(|row| row.iter().rev().copied()).collect();
    let names = CLASSES.iter().rev().copied();
    let predictions = Predictions::classes(names, turned).unwrap();
    let turned = under.judge(&Data { predictions, ..good.clone() }).unwrap();
    assert!(turned.metrics.keys().eq(expected.metrics.keys()), "{:?}", turned.metrics.keys());
    for (key, estimate) in &expected.metrics {
        match (estimate.value.value(), turned.metric(key.as_str())) {
            (Some(a), Some(b)) => assert!((a - b).abs() <= 1e-9 * a.abs().max(1.0), "{key}: {a} {b}"),
            (a, b) => assert_eq!(a, b, "{key}"),
        }
    }

    let predictions = Predictions::classes(["10", "2", "0"], good.predictions.as_slice().to_vec()).unwrap();
    let numbers: Vec<i64> = (0..60).map(|row| [10, 2, 0][class(row)]).collect();
    let text = Column::text("truth", numbers.iter().map(i64::to_string)).unwrap();
    let by_number = Data { predictions, truth: Column::i64("truth", numbers).unwrap(), ..good };
    let by_text = Data { truth: text, ..by_number.clone() };
    assert_eq!(under.judge(&by_number).unwrap(), under.judge(&by_text).unwrap());
}

/// A class that the model does not know is refused by its name.
pub fn unknown_classes_are_refused(under: &EvaluatorUnderTest) {
    if !under.tasks.contains(&Task::MulticlassClassification) {
        return skipped("the evaluator knows no task of several classes");
    }
    let good = Data::of(Task::MulticlassClassification);
    let name = |row: usize| if row == 7 { "elm" } else { CLASSES[class(row)] };
    let numbers: Vec<i64> = (0..60).map(|row| (row % 3) as i64).collect();
    for (truth, value) in [
        (Column::text("truth", (0..60).map(name)).unwrap(), "elm"),
        (Column::i64("truth", numbers).unwrap(), "0"),
    ] {
        let error = fault(under.judge(&Data { truth, ..good.clone() }));
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains(value), "the message names the class: {error}");
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
            data.clone().says(|_| 0.0).unwrap(),
            data.clone().says(|_| 1.0).unwrap(),
            data.clone().says(|_| 0.5).unwrap(),
            data.clone().says(|_| 5e-324).unwrap(),
        ] {
            under.judge(&legal).unwrap();
        }
        // Not what a predictor may answer; refused or survived.
        for broken in [f64::NAN, f64::INFINITY, -1.0, f64::MAX] {
            let said = data.clone().says(|row| if row == 3 { broken } else { 0.5 });
            if let Err(error) = said.and_then(|said| under.judge(&said)) {
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
        let [best, worst] = Data::of(task).best_and_worst().map(|data| under.judge(&data).unwrap());
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
    let mut others = TASKS.into_iter().filter(|task| !under.tasks.contains(task)).peekable();
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

    /// Accuracy of a binary task and of several classes, and the accuracy of the positives.
    #[derive(Debug)]
    pub(crate) struct Accuracy;

    impl Accuracy {
        /// Which rows are positive, where the truth says so.
        fn positives(truth: &Column<'_>) -> Result<Vec<bool>> {
            let of_row = |row| match truth.label(row).as_deref() {
                Some("1" | "true") => Ok(true),
                Some("0" | "false") => Ok(false),
                _ => Err(Error::invalid("Evaluator::evaluate", "truth", "must be yes or no in every row")),
            };
            match truth.data_type() {
                DataType::Bool | DataType::I64 | DataType::Category => (0..truth.len()).map(of_row).collect(),
                _ => {
                    Err(Error::invalid("Evaluator::evaluate", "truth", "is of no type that means yes and no"))
                }
            }
        }

        fn of_classes(input: &EvaluationInput<'_>) -> Result<EvaluationReport> {
            const OP: &str = "Evaluator::evaluate";
            let said = input.predictions.as_classes().ok_or(Error::unsupported(OP, "predictions"))?;
            let right = |row| match (said.likeliest(row), input.truth.label(row)) {
                (Some(said), Some(truth)) if said == truth => Ok(true),
                (_, Some(truth)) if said.labels().contains(&truth.clone().into_owned()) => Ok(false),
                (_, truth) => {
                    Err(Error::invalid(OP, "truth", format!("row {row} is of no class: {truth:?}")))
                }
            };
            let rows = said.rows();
            let right = (0..rows).map(right).collect::<Result<Vec<_>>>()?;
            let right = right.into_iter().filter(|right| *right).count();
            let value = Measured::ratio(right as f64, rows as f64);
            let mut report =
                EvaluationReport::new(input.model, input.data, input.task, input.at, rows as u64);
            let estimate = Estimate::new(value, Direction::HigherIsBetter, rows as u64);
            report.metrics.insert(MetricKey::new("accuracy")?, estimate);
            Ok(report)
        }
    }

    impl Evaluator for Accuracy {
        fn evaluate(&self, input: &EvaluationInput<'_>) -> Result<EvaluationReport> {
            const OP: &str = "Evaluator::evaluate";
            input.check()?;
            match input.task {
                Task::BinaryClassification => {}
                Task::MulticlassClassification => return Self::of_classes(input),
                _ => return Err(Error::unsupported(OP, "task")),
            }
            let said = Predictions::probability(input.predictions.as_slice().to_vec())?;
            let truth = Self::positives(input.truth)?;
            let right = |row: &usize| (said.as_slice()[*row] > 0.5) == truth[*row];
            let positive = |row: &usize| truth[*row];
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
        EvaluatorUnderTest::new(evaluator, [Task::BinaryClassification, Task::MulticlassClassification])
    }

    crate::evaluator_suite!(plain, fresh(Arc::new(Accuracy)));
    crate::evaluator_suite!(in_an_arc, fresh(Arc::new(Arc::new(Accuracy) as Arc<dyn Evaluator>)));
    crate::evaluator_suite!(in_a_box, fresh(Arc::new(Box::new(Accuracy) as Box<dyn Evaluator>)));
}
