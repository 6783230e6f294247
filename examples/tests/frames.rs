//! Two frames, one call.

use mlops_core::data::{Table, frame};
use mlops_core::monitor::{DriftVerdict, FeatureOutcome};
use mlops_core::time::Timestamp;
use mlops_drift::detector::{DetectorOptions, compare_at};
use polars::prelude::{Column, DataFrame};

fn patients(rows: i64, older: i64) -> DataFrame {
    let age: Vec<i64> = (0..rows).map(|i| 20 + older + i * 7 % 40).collect();
    let bmi: Vec<Option<f64>> = (0..rows).map(|i| (i % 10 > 0).then_some(18.0 + (i % 23) as f64)).collect();
    let sex: Vec<&str> = (0..rows).map(|i| if i % 2 == 0 { "f" } else { "m" }).collect();
    let columns =
        vec![Column::new("age".into(), age), Column::new("bmi".into(), bmi), Column::new("sex".into(), sex)];
    DataFrame::new(usize::try_from(rows).unwrap(), columns).unwrap()
}

fn at() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

#[test]
fn frames_are_compared_as_the_tables_they_are() {
    let (then, now) = (patients(920, 0), patients(460, 12));
    let options = DetectorOptions::default();
    let report = compare_at(&then, &now, &options, at()).unwrap();
    assert_eq!(report.verdict, DriftVerdict::Drift);
    assert_eq!(report.drifted().map(|f| f.feature.as_str()).collect::<Vec<_>>(), ["age"]);
    let bmi = report.features.iter().find(|f| f.feature == "bmi").unwrap();
    let FeatureOutcome::Measured(bmi) = &bmi.outcome else { panic!("{bmi:?}") };
    assert_eq!((bmi.reference.missing, bmi.current.missing), (92, 46));
    let (then, now) = (frame::table(&then).unwrap(), Table::try_from(&now).unwrap());
    assert_eq!(compare_at(&then, &now, &options, at()).unwrap(), report);
    let same = mlops_drift::compare(&then, &patients(460, 0), &options).unwrap();
    assert_eq!(same.verdict, DriftVerdict::NoDrift);
}

#[test]
fn a_frame_that_is_no_table_is_refused_by_its_column() {
    let bmi = Column::new("bmi".into(), [u64::MAX, 1]);
    let odd = DataFrame::new(2, vec![bmi]).unwrap();
    let error = compare_at(&odd, &patients(50, 0), &DetectorOptions::default(), at()).unwrap_err();
    assert!(error.message().contains("column `bmi`, row 1"), "{error}");
}
