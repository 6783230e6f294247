//! The suite of [`Predictor`].

use std::sync::Arc;

use super::support::{fault, skipped};
use crate::data::{Column, DataType, Table, Validity, Values};
use crate::error::ErrorKind;
use crate::model::{ClassProbabilities, Feature, Predictions, Predictor};

/// Makes a test of every case of the [`Predictor`] suite.
///
/// Takes the name of the module to put them in, and an expression that makes a
/// [`PredictorUnderTest`](crate::conformance::predictor::PredictorUnderTest). See [the module](crate::conformance) for a whole
/// example; the tests are plain `#[test]`s and need no tokio.
///
/// ```
/// use std::sync::Arc;
/// use mlops_core::conformance::predictor::{PredictorUnderTest, one_prediction_a_row};
/// use mlops_core::data::{Column, Table};
/// use mlops_core::problem::Task;
/// use mlops_core::serve::ConstantPredictor; // your predictor here
///
/// fn fresh() -> PredictorUnderTest {
///     let rows = Table::new(vec![Column::f64("age", vec![59.0, 48.0]).unwrap()]).unwrap();
///     PredictorUnderTest::new(Arc::new(ConstantPredictor::new(Task::Regression, 4.5).unwrap()), rows)
/// }
/// mlops_core::predictor_suite!(my_predictor, fresh());
/// # one_prediction_a_row(&fresh());
/// ```
#[macro_export]
macro_rules! predictor_suite {
    ($module:ident, $fresh:expr) => {
        $crate::__conformance_suite_pure! { $module, $fresh, predictor, [
            one_prediction_a_row,
            the_same_rows_give_the_same_bits,
            rows_do_not_influence_each_other,
            bad_rows_are_refused,
            extra_columns_are_ignored,
            order_of_columns_changes_nothing,
            numbers_of_any_type_are_the_same_numbers,
            categories_are_known_by_their_text,
            predictions_are_finite,
            missing_values_are_understood_where_allowed,
            many_threads_get_the_same_answers,
        ] }
    };
}

/// A predictor, and rows that it answers.
#[derive(Debug)]
pub struct PredictorUnderTest {
    predictor: Arc<dyn Predictor>,
    rows: Table<'static>,
}

impl PredictorUnderTest {
    /// A predictor and rows that meet its signature, with no value missing: at least two, of which not all are alike.
    pub fn new(predictor: Arc<dyn Predictor>, rows: Table<'static>) -> Self {
        Self { predictor, rows }
    }

    fn bits(&self, rows: &Table<'_>) -> Vec<Vec<u64>> {
        bits(&self.predictor.predict(rows).unwrap())
    }

    fn features(&self) -> &[Feature] {
        &self.predictor.signature().inputs
    }

    /// The rows with one column replaced.
    fn with(&self, column: Column<'static>) -> Table<'static> {
        let columns = self.rows.columns().iter().cloned();
        Table::new(columns.map(|c| if c.name() == column.name() { column.clone() } else { c }).collect())
            .unwrap()
    }

    /// Answers that are either predictions or a refusal of the rows.
    fn survives(&self, rows: &Table<'_>) {
        match self.predictor.predict(rows) {
            Ok(predictions) => sound(&predictions, rows.rows()),
            Err(error) => assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}"),
        }
    }
}

/// The bits of each prediction: one number, or one for each class.
fn bits(predictions: &Predictions) -> Vec<Vec<u64>> {
    let prediction = |numbers: &[f64]| numbers.iter().map(|p| p.to_bits()).collect();
    predictions.as_slice().chunks(predictions.width()).map(prediction).collect()
}

fn classes(predictions: &Predictions) -> Option<&[String]> {
    predictions.as_classes().map(ClassProbabilities::labels)
}

/// Checks that there is one prediction a row, and that each is a number.
#[track_caller]
fn sound(predictions: &Predictions, rows: usize) {
    assert_eq!(predictions.len(), rows);
    let range = match predictions {
        Predictions::Probability(_) | Predictions::Classes(_) => 0.0..=1.0,
        Predictions::Value(_) => f64::MIN..=f64::MAX,
    };
    assert!(predictions.as_slice().iter().all(|p| range.contains(p)), "{predictions:?}");
}

/// As many predictions as rows, in their order; no rows, no predictions.
pub fn one_prediction_a_row(under: &PredictorUnderTest) {
    let rows = under.rows.rows();
    assert!(rows >= 2, "the suite needs two rows");
    sound(&under.predictor.predict(&under.rows).unwrap(), rows);
    sound(&under.predictor.predict(&under.rows.take(&[]).unwrap()).unwrap(), 0);
    let backwards: Vec<usize> = (0..rows).rev().collect();
    let mut expected = under.bits(&under.rows);
    expected.reverse();
    assert_eq!(under.bits(&under.rows.take(&backwards).unwrap()), expected);
}

/// Asked twice, a predictor says the same.
pub fn the_same_rows_give_the_same_bits(under: &PredictorUnderTest) {
    let first = under.bits(&under.rows);
    for _ in 0..3 {
        assert_eq!(under.bits(&under.rows), first);
    }
}

/// A row has the same prediction alone, among others and beside itself; of several classes, of the same ones.
pub fn rows_do_not_influence_each_other(under: &PredictorUnderTest) {
    let together = under.predictor.predict(&under.rows).unwrap();
    for (row, expected) in bits(&together).iter().enumerate() {
        let alone = under.predictor.predict(&under.rows.take(&[row]).unwrap()).unwrap();
        assert_eq!(bits(&alone), std::slice::from_ref(expected), "row {row}");
        assert_eq!(classes(&alone), classes(&together), "row {row}");
        assert_eq!(under.bits(&under.rows.take(&[row, 0, row]).unwrap())[2], *expected, "row {row}");
    }
}

/// A column of the right name whose values no model of a feature of this type can use.
fn wrong_type(feature: &Feature, rows: usize) -> Column<'static> {
    let name = feature.name.clone();
    match feature.data_type {
        DataType::Category | DataType::Time => Column::f64(name, vec![0.5; rows]).unwrap(),
        _ => Column::text(name, vec!["text"; rows]).unwrap(),
    }
}

/// Rows without a column, or with one of another type, are refused, and the error names the column.
pub fn bad_rows_are_refused(under: &PredictorUnderTest) {
    let rows = under.rows.rows();
    for feature in under.features() {
        for bad in [under.rows.without(&[&feature.name]), under.with(wrong_type(feature, rows))] {
            let error = fault(under.predictor.predict(&bad));
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert!(error.to_string().contains(&crate::error::quote(&feature.name)), "{error}");
        }
        if !feature.nullable {
            let bad = under.with(missing(under.rows.column(&feature.name).unwrap(), rows - 1));
            assert_eq!(fault(under.predictor.predict(&bad)).kind(), ErrorKind::InvalidInput, "{feature:?}");
        }
    }
    if !under.features().is_empty() {
        assert_eq!(fault(under.predictor.predict(&Table::default())).kind(), ErrorKind::InvalidInput);
    }
}

/// The column with no value in one row.
fn missing(column: &Column<'static>, row: usize) -> Column<'static> {
    let valid: Vec<bool> = (0..column.len()).map(|i| i != row).collect();
    let validity = Some(Validity::from_bools(&valid));
    Column::new(column.name().to_owned(), column.values().clone(), validity).unwrap()
}

/// Columns that the model does not know change nothing, whatever is in them.
pub fn extra_columns_are_ignored(under: &PredictorUnderTest) {
    let rows = under.rows.rows();
    let expected = under.bits(&under.rows);
    let unknown = |name: &str| format!("{name} that no model knows");
    for extra in [
        Column::f64(unknown("nan"), vec![f64::NAN; rows]).unwrap(),
        Column::text(unknown("text"), vec!["'; DROP TABLE rows;--"; rows]).unwrap(),
        Column::optional_text(unknown("nothing"), vec![None::<&str>; rows]).unwrap(),
    ] {
        let mut columns = vec![extra];
        columns.extend(under.rows.columns().iter().cloned());
        assert_eq!(under.bits(&Table::new(columns).unwrap()), expected);
    }
}

/// Columns are found by name, not by place.
pub fn order_of_columns_changes_nothing(under: &PredictorUnderTest) {
    let backwards = Table::new(under.rows.columns().iter().rev().cloned().collect()).unwrap();
    assert_eq!(under.bits(&backwards), under.bits(&under.rows));
}

/// One is one, as an integer, a float of either width, or `true`.
pub fn numbers_of_any_type_are_the_same_numbers(under: &PredictorUnderTest) {
    let rows = under.rows.rows();
    let numeric = |t: DataType| t.is_numeric() || t == DataType::Bool;
    let features: Vec<_> = under.features().iter().filter(|f| numeric(f.data_type)).collect();
    if features.is_empty() {
        return skipped("the model takes no numbers");
    }
    for feature in features {
        let answers: Vec<_> = [
            Values::F64(vec![1.0; rows].into()),
            Values::F32(vec![1.0; rows].into()),
            Values::I64(vec![1; rows].into()),
            Values::Bool(vec![true; rows].into()),
        ]
        .into_iter()
        .map(|values| under.bits(&under.with(Column::new(feature.name.clone(), values, None).unwrap())))
        .collect();
        assert!(answers.iter().all(|a| *a == answers[0]), "{feature:?}");
    }
}

/// Categories are the same where their text is the same, whatever their codes; a new one is answered or refused.
pub fn categories_are_known_by_their_text(under: &PredictorUnderTest) {
    let features = || under.features().iter().filter(|f| f.data_type == DataType::Category);
    if features().next().is_none() {
        return skipped("the model takes no categories");
    }
    for feature in features() {
        let column = under.rows.column(&feature.name).unwrap();
        let Values::Category { codes, levels } = column.values() else { continue };
        let shift = 2;
        let mut renumbered = vec!["never used".to_owned(); shift];
        renumbered.extend(levels.iter().cloned());
        let codes: Vec<u32> = codes.iter().map(|code| code + u32::try_from(shift).unwrap()).collect();
        let values = Values::Category { codes: codes.into(), levels: renumbered.into() };
        let same = Column::new(feature.name.clone(), values, None).unwrap();
        assert_eq!(under.bits(&under.with(same)), under.bits(&under.rows), "{feature:?}");
        let new = Column::text(feature.name.clone(), vec!["a level nobody has seen"; column.len()]).unwrap();
        under.survives(&under.with(new));
    }
}

/// Whatever numbers are sent, the answer is a number, or the rows are refused.
pub fn predictions_are_finite(under: &PredictorUnderTest) {
    let rows = under.rows.rows();
    sound(&under.predictor.predict(&under.rows).unwrap(), rows);
    let extremes = [
        0.0,
        -0.0,
        1e308,
        -1e308,
        f64::MAX,
        f64::MIN,
        f64::MIN_POSITIVE,
        5e-324,
        f64::NAN,
        f64::INFINITY,
        f64::NEG_INFINITY,
    ];
    let mut all = under.rows.clone();
    for feature in under.features().iter().filter(|f| f.data_type.is_numeric()) {
        for value in extremes {
            under.survives(&under.with(Column::f64(feature.name.clone(), vec![value; rows]).unwrap()));
        }
        let huge = Column::f64(feature.name.clone(), vec![f64::MAX; rows]).unwrap();
        all = PredictorUnderTest { predictor: under.predictor.clone(), rows: all }.with(huge);
    }
    under.survives(&all);
}

/// A missing value is answered where the signature allows it.
pub fn missing_values_are_understood_where_allowed(under: &PredictorUnderTest) {
    let features = || under.features().iter().filter(|f| f.nullable);
    if features().next().is_none() {
        return skipped("the model needs every value");
    }
    for feature in features() {
        let rows = under.with(missing(under.rows.column(&feature.name).unwrap(), 0));
        sound(&under.predictor.predict(&rows).unwrap(), rows.rows());
    }
}

/// Asked from many threads at once, a predictor says what it says to one.
pub fn many_threads_get_the_same_answers(under: &PredictorUnderTest) {
    let expected = under.bits(&under.rows);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| under.bits(&under.rows))).collect();
        for thread in threads {
            assert_eq!(thread.join().expect("no thread panics"), expected);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Error, Result};
    use crate::model::Signature;
    use crate::problem::Task;
    use crate::serve::{
        ConstantPredictor, EncoderOptions, FeatureEncoder, ForestPredictor, LinearPredictor, Node, Tree,
    };

    /// `σ(age − 50 + bonus of the city)`, with age optional.
    #[derive(Debug)]
    struct Tiny(Signature);

    impl Tiny {
        fn new() -> Self {
            let age = Feature { nullable: true, ..Feature::required("age", DataType::F64) };
            let inputs = vec![
                age,
                Feature::required("smokes", DataType::Bool),
                Feature::required("city", DataType::Category),
            ];
            Self(Signature::new(Task::BinaryClassification, inputs))
        }
    }

    impl Predictor for Tiny {
        fn signature(&self) -> &Signature {
            &self.0
        }

        fn predict(&self, rows: &Table<'_>) -> Result<Predictions> {
            self.0.check(rows)?;
            let (age, smokes) = (rows.column("age")?, rows.column("smokes")?);
            let (ages, smoke) = (age.to_f64()?, smokes.to_f64()?);
            let mut answers = Vec::with_capacity(rows.rows());
            for row in 0..rows.rows() {
                let years = if age.is_valid(row) { ages[row] } else { 50.0 };
                if !years.is_finite() || !smoke[row].is_finite() {
                    let message = format!("row {row} has a number that is not finite");
                    return Err(Error::invalid("Tiny::predict", "rows", message));
                }
                let bonus =
                    if rows.column("city")?.label(row).as_deref() == Some("Bonn") { 1.0 } else { 0.0 };
                answers.push(1.0 / (1.0 + (-(years - 50.0 + smoke[row] + bonus)).exp()));
            }
            Predictions::probability(answers)
        }
    }

    fn fresh(wrap: impl FnOnce(Tiny) -> Arc<dyn Predictor>) -> PredictorUnderTest {
        let rows = Table::new(vec![
            Column::f64("age", vec![48.0, 51.0, 50.0]).unwrap(),
            Column::bool("smokes", vec![true, false, false]).unwrap(),
            Column::text("city", ["Köln", "Bonn", "Trier"]).unwrap(),
        ]);
        PredictorUnderTest::new(wrap(Tiny::new()), rows.unwrap())
    }

    /// The predictors that come with the crate, over numbers and categories.
    fn builtin(make: impl FnOnce(FeatureEncoder) -> Arc<dyn Predictor>) -> PredictorUnderTest {
        let rows = Table::new(vec![
            Column::f64("age", vec![48.0, 51.0, 63.5, 20.0]).unwrap(),
            Column::text("city", ["Köln", "Bonn", "Trier", "Bonn"]).unwrap(),
        ])
        .unwrap();
        let encoder = FeatureEncoder::fit(&rows, &["age", "city"], &EncoderOptions::default()).unwrap();
        PredictorUnderTest::new(make(encoder), rows)
    }

    fn linear(task: Task) -> PredictorUnderTest {
        builtin(|encoder| {
            let weights = (1..=encoder.width()).map(|i| 0.5 * i as f64).collect();
            Arc::new(LinearPredictor::new(task, encoder, weights, -1.0).unwrap())
        })
    }

    fn forest() -> PredictorUnderTest {
        builtin(|encoder| {
            let stump = |column, below| {
                let split = Node::Split { column, below, left: 1, right: 2, missing: 1 };
                Tree(vec![split, Node::Leaf(-0.7), Node::Leaf(0.4)])
            };
            let trees = vec![stump(0, 0.1), stump(1, 0.5)];
            Arc::new(ForestPredictor::new(Task::BinaryClassification, encoder, 0.2, trees).unwrap())
        })
    }

    fn constant() -> PredictorUnderTest {
        builtin(|_| Arc::new(ConstantPredictor::new(Task::Regression, 4.5).unwrap()))
    }

    crate::predictor_suite!(constant_numbers, constant());
    crate::predictor_suite!(boosted_trees, forest());
    crate::predictor_suite!(linear_regression, linear(Task::Regression));
    crate::predictor_suite!(logistic_regression, linear(Task::BinaryClassification));
    crate::predictor_suite!(plain, fresh(|p| Arc::new(p)));
    crate::predictor_suite!(in_an_arc, fresh(|p| Arc::new(Arc::new(p) as Arc<dyn Predictor>)));
    crate::predictor_suite!(in_a_box, fresh(|p| Arc::new(Box::new(p) as Box<dyn Predictor>)));
}
