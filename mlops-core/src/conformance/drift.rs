//! The suite of [`DriftDetector`].

use std::sync::Arc;

use super::support::{at, skipped};
use crate::data::{Column, DataType, Table, Validity, Values};
use crate::hash::canonical_json;
use crate::monitor::{DriftDetector, DriftReport, DriftVerdict, FeatureOutcome};
use crate::time::Timestamp;

/// Makes a test of every case of the [`DriftDetector`] suite.
///
/// Takes the name of the module to put them in, and an expression that makes a
/// [`DriftUnderTest`](crate::conformance::drift::DriftUnderTest). See [the module](crate::conformance) for a whole example;
/// the tests are plain `#[test]`s and need no tokio.
///
/// ```
/// use std::sync::Arc;
/// use mlops_core::conformance::drift::DriftUnderTest;
/// use mlops_core::data::{Column, Table};
/// use mlops_core::monitor::DriftDetector;
///
/// fn ages(from: f64) -> Table<'static> {
///     Table::new(vec![Column::f64("age", (0..500).map(|i| from + f64::from(i % 20)).collect::<Vec<_>>()).unwrap()]).unwrap()
/// }
/// fn under_test(fit: impl Fn(&Table<'_>) -> Arc<dyn DriftDetector>) -> DriftUnderTest {
///     DriftUnderTest::new(fit(&ages(40.0)), ages(40.0), ages(70.0))
/// }
/// // mlops_core::drift_detector_suite!(my_detector, under_test(my_fit));
/// ```
#[macro_export]
macro_rules! drift_detector_suite {
    ($module:ident, $fresh:expr) => {
        $crate::__conformance_suite_pure! { $module, $fresh, drift, [
            detection_is_deterministic,
            reports_say_what_was_looked_at,
            a_failing_feature_is_a_row,
            what_fails_is_not_calm,
            too_little_data_is_inconclusive,
            the_reference_does_not_drift,
            a_large_shift_is_drift,
            reports_hold_no_nan,
            extra_columns_are_ignored,
            categories_are_known_by_their_text,
            many_threads_find_the_same,
        ] }
    };
}

/// A fitted detector, what it was fitted on, and data that is far from that.
#[derive(Debug)]
pub struct DriftUnderTest {
    detector: Arc<dyn DriftDetector>,
    reference: Table<'static>,
    shifted: Table<'static>,
}

impl DriftUnderTest {
    /// A detector fitted on `reference`; and rows of the same columns, of which at least one is shifted so far that there is
    /// no doubt. Both have as many rows as the detector needs to decide.
    pub fn new(detector: Arc<dyn DriftDetector>, reference: Table<'static>, shifted: Table<'static>) -> Self {
        Self { detector, reference, shifted }
    }

    /// Looks at current data, and checks what every report must be.
    #[track_caller]
    fn detect(&self, current: &Table<'_>) -> DriftReport {
        let report = self.detector.detect(current, now()).unwrap();
        let named: Vec<_> = report.features.iter().map(|f| f.feature.clone()).collect();
        assert_eq!(named, self.detector.features(), "every feature has its row, in order");
        assert!(!report.reason.is_empty());
        for feature in &report.features {
            if let FeatureOutcome::Failed(reason) = &feature.outcome {
                assert!(!reason.is_empty(), "{feature:?}");
            }
        }
        if let Err(error) = canonical_json(&report) {
            panic!("a report with a number that is not finite: {error}: {report:?}");
        }
        report
    }
}

fn now() -> Timestamp {
    at("2026-01-01T00:00:00Z")
}

fn replaced(table: &Table<'static>, column: &Column<'static>) -> Table<'static> {
    let columns = table.columns().iter();
    let columns = columns.map(|c| if c.name() == column.name() { column.clone() } else { c.clone() });
    Table::new(columns.collect()).unwrap()
}

/// The same data at the same time gives the same report.
pub fn detection_is_deterministic(under: &DriftUnderTest) {
    for current in [&under.reference, &under.shifted] {
        let first = under.detect(current);
        for _ in 0..3 {
            assert_eq!(under.detect(current), first);
        }
    }
}

/// A report names the detector, the time, and how much data there was.
pub fn reports_say_what_was_looked_at(under: &DriftUnderTest) {
    let report = under.detect(&under.shifted);
    assert_eq!(report.detector, under.detector.name());
    assert!(!report.detector.is_empty());
    assert_eq!(report.at, now());
    assert_eq!(report.reference_rows, under.reference.rows() as u64);
    assert_eq!(report.current_rows, under.shifted.rows() as u64);
}

/// A column of the right name whose values cannot be compared with the reference.
fn other_type(column: &Column<'_>) -> Column<'static> {
    let (name, rows) = (column.name().to_owned(), column.len());
    match column.data_type() {
        DataType::Category => Column::f64(name, vec![0.5; rows]).unwrap(),
        _ => Column::text(name, vec!["text"; rows]).unwrap(),
    }
}

/// A feature that is missing or of another type is a row that says so, and the others are measured all the same.
pub fn a_failing_feature_is_a_row(under: &DriftUnderTest) {
    let whole = under.detect(&under.reference);
    for name in under.detector.features() {
        let column = under.reference.column(&name).unwrap();
        for current in [under.reference.without(&[&name]), replaced(&under.reference, &other_type(column))] {
            // A table whose only column is gone has no rows either; that is another case.
            if current.columns().is_empty() {
                continue;
            }
            for (feature, before) in under.detect(&current).features.iter().zip(&whole.features) {
                let failed = matches!(feature.outcome, FeatureOutcome::Failed(_));
                let expected = feature.feature == name || matches!(before.outcome, FeatureOutcome::Failed(_));
                assert_eq!(failed, expected, "without {name}: {feature:?}");
                if failed {
                    assert_eq!(feature.verdict(), DriftVerdict::Inconclusive);
                }
            }
        }
    }
}

/// Features that all are of another type say nothing about drift.
pub fn what_fails_is_not_calm(under: &DriftUnderTest) {
    let mut current = under.reference.clone();
    for name in under.detector.features() {
        let column = other_type(under.reference.column(&name).unwrap());
        current = replaced(&current, &column);
    }
    let report = under.detect(&current);
    assert_ne!(report.verdict, DriftVerdict::NoDrift, "{report:?}");
}

/// Nothing, and next to nothing, is neither drift nor its absence.
pub fn too_little_data_is_inconclusive(under: &DriftUnderTest) {
    for table in [&under.reference, &under.shifted] {
        for current in [table.take(&[]).unwrap(), table.take(&[0]).unwrap(), Table::default()] {
            let report = under.detect(&current);
            assert_eq!(report.verdict, DriftVerdict::Inconclusive, "{} rows: {report:?}", current.rows());
        }
    }
}

/// What the detector was fitted on is not drift, in no feature.
pub fn the_reference_does_not_drift(under: &DriftUnderTest) {
    let report = under.detect(&under.reference);
    assert_eq!(report.verdict, DriftVerdict::NoDrift, "{report:?}");
    assert_eq!(report.drifted().count(), 0);
}

/// A shift beyond doubt is drift, in a feature that is named.
pub fn a_large_shift_is_drift(under: &DriftUnderTest) {
    let report = under.detect(&under.shifted);
    assert_eq!(report.verdict, DriftVerdict::Drift, "{report:?}");
    assert!(report.drifted().count() > 0, "{report:?}");
}

/// Whatever is in a column, the report holds numbers, and nothing panics.
pub fn reports_hold_no_nan(under: &DriftUnderTest) {
    let rows = under.reference.rows();
    for name in under.detector.features() {
        let column = under.reference.column(&name).unwrap();
        let valid = vec![false; rows];
        let nothing =
            Column::new(name.clone(), column.values().clone(), Some(Validity::from_bools(&valid))).unwrap();
        let mut hostile = vec![nothing];
        match column.data_type() {
            DataType::Category => {
                hostile.push(Column::text(name.clone(), vec!["a level nobody has seen"; rows]).unwrap());
                hostile
                    .push(Column::text(name.clone(), (0..rows).map(|row| format!("level {row}"))).unwrap());
            }
            _ => {
                let extremes =
                    [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, f64::MIN, 0.0, -0.0, 5e-324];
                for value in extremes {
                    hostile.push(Column::f64(name.clone(), vec![value; rows]).unwrap());
                }
                let mixed: Vec<f64> = (0..rows).map(|row| extremes[row % extremes.len()]).collect();
                hostile.push(Column::f64(name.clone(), mixed).unwrap());
            }
        }
        for column in &hostile {
            under.detect(&replaced(&under.reference, column));
        }
    }
}

/// Columns that are not in the reference change nothing.
pub fn extra_columns_are_ignored(under: &DriftUnderTest) {
    for table in [&under.reference, &under.shifted] {
        let extra = Column::f64("a column that no reference has", vec![f64::NAN; table.rows()]).unwrap();
        let mut columns = vec![extra];
        columns.extend(table.columns().iter().cloned());
        assert_eq!(under.detect(&Table::new(columns).unwrap()), under.detect(table));
    }
}

/// Categories are the same where their text is the same, whatever their codes.
pub fn categories_are_known_by_their_text(under: &DriftUnderTest) {
    let mut renumbered = under.reference.clone();
    for name in under.detector.features() {
        let column = under.reference.column(&name).unwrap();
        let Values::Category { codes, levels } = column.values() else { continue };
        let mut more = vec!["never used".to_owned()];
        more.extend(levels.iter().cloned());
        let codes: Vec<u32> = codes.iter().map(|code| code + 1).collect();
        let values = Values::Category { codes: codes.into(), levels: more.into() };
        let same = Column::new(name, values, column.validity().cloned()).unwrap();
        renumbered = replaced(&renumbered, &same);
    }
    if renumbered == under.reference {
        return skipped("the reference has no categories");
    }
    assert_eq!(under.detect(&renumbered), under.detect(&under.reference));
}

/// Asked from many threads at once, a detector finds what it finds for one.
pub fn many_threads_find_the_same(under: &DriftUnderTest) {
    let expected = under.detect(&under.shifted);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| under.detect(&under.shifted))).collect();
        for thread in threads {
            assert_eq!(thread.join().expect("no thread panics"), expected);
        }
    });
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::error::Result;
    use crate::monitor::{FeatureDrift, FeatureScore};

    /// Compares the share of values above a limit; of categories, the share of the first level.
    #[derive(Debug)]
    pub(crate) struct Shares {
        reference: Table<'static>,
    }

    impl Shares {
        pub(crate) fn new(reference: Table<'static>) -> Self {
            Self { reference }
        }

        /// The share of rows that are like most of the reference: at or below its mean, or of its first level.
        fn share(reference: &Column<'_>, column: &Column<'_>) -> Result<Option<f64>, String> {
            if (reference.data_type() == DataType::Category) != (column.data_type() == DataType::Category) {
                return Err("is of another type".to_owned());
            }
            let valid = || (0..column.len()).filter(|&row| column.is_valid(row));
            let (like, all) = match reference.to_f64() {
                Err(_) => {
                    let first = reference.label(0);
                    (valid().filter(|&row| column.label(row) == first).count(), valid().count())
                }
                Ok(values) => {
                    let limit = values.iter().sum::<f64>() / values.len() as f64;
                    let current = column.to_f64().map_err(|e| e.to_string())?;
                    let numbers = || valid().filter(|&row| !current[row].is_nan());
                    (numbers().filter(|&row| current[row] <= limit).count(), numbers().count())
                }
            };
            Ok((all >= 10).then(|| like as f64 / all as f64))
        }

        fn measure(&self, name: &str, current: &Table<'_>) -> FeatureOutcome {
            let reference = self.reference.column(name).unwrap();
            let Some(column) = current.get(name) else {
                return FeatureOutcome::Failed("is not there".to_owned());
            };
            match (Self::share(reference, reference), Self::share(reference, column)) {
                (Ok(Some(before)), Ok(Some(now))) => {
                    let score = (before - now).abs();
                    let verdict = if score > 0.2 { DriftVerdict::Drift } else { DriftVerdict::NoDrift };
                    FeatureOutcome::Measured(FeatureScore::new("share/v1", score, 0.2, verdict))
                }
                (Err(reason), _) | (_, Err(reason)) => FeatureOutcome::Failed(reason),
                _ => FeatureOutcome::Failed("has too few values".to_owned()),
            }
        }
    }

    impl DriftDetector for Shares {
        fn name(&self) -> &str {
            "shares"
        }

        fn features(&self) -> Vec<String> {
            self.reference.names().map(str::to_owned).collect()
        }

        fn detect(&self, current: &Table<'_>, at: Timestamp) -> Result<DriftReport> {
            let measure =
                |name: &str| FeatureDrift { feature: name.to_owned(), outcome: self.measure(name, current) };
            let features: Vec<_> = self.reference.names().map(measure).collect();
            let any = |verdict| features.iter().any(|f| f.verdict() == verdict);
            let verdict = match (any(DriftVerdict::Drift), any(DriftVerdict::Inconclusive)) {
                (true, _) => DriftVerdict::Drift,
                (false, true) => DriftVerdict::Inconclusive,
                (false, false) => DriftVerdict::NoDrift,
            };
            let rows = (self.reference.rows() as u64, current.rows() as u64);
            Ok(DriftReport::new(self.name(), at, rows, features, verdict, format!("over all: {verdict}")))
        }
    }

    /// Four hundred people, aged around `age`, most of them from `city`.
    pub(crate) fn people(age: f64, city: &str) -> Table<'static> {
        let ages: Vec<f64> = (0..400).map(|i| age + f64::from(i % 20)).collect();
        let cities: Vec<&str> = (0..400).map(|i| if i % 4 == 3 { "Trier" } else { city }).collect();
        Table::new(vec![Column::f64("age", ages).unwrap(), Column::text("city", cities).unwrap()]).unwrap()
    }

    fn fresh(wrap: impl FnOnce(Shares) -> Arc<dyn DriftDetector>) -> DriftUnderTest {
        DriftUnderTest::new(
            wrap(Shares::new(people(40.0, "Bonn"))),
            people(40.0, "Bonn"),
            people(70.0, "Bonn"),
        )
    }

    crate::drift_detector_suite!(plain, fresh(|d| Arc::new(d)));
    crate::drift_detector_suite!(in_an_arc, fresh(|d| Arc::new(Arc::new(d) as Arc<dyn DriftDetector>)));
    crate::drift_detector_suite!(in_a_box, fresh(|d| Arc::new(Box::new(d) as Box<dyn DriftDetector>)));
}
