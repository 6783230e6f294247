//! The detector keeps the contract of `DriftDetector`: the public suite, every case by name.

use mlops_core::conformance::drift::DriftUnderTest;
use mlops_core::data::{Column, Table};
use mlops_drift::detector::{Detector, DetectorOptions};
use std::sync::Arc;
fn people(age: f64, city: &str) -> Table<'static> {
    let ages: Vec<f64> = (0..400).map(|i| age + f64::from(i % 20)).collect();
    let cities: Vec<&str> = (0..400).map(|i| if i % 4 == 3 { "Trier" } else { city }).collect();
    Table::new(vec![Column::f64("age", ages).unwrap(), Column::text("city", cities).unwrap()]).unwrap()
}
fn fresh() -> DriftUnderTest {
    let r = people(40.0, "Bonn");
    let d = Detector::fit(&r, DetectorOptions::default()).unwrap();
    DriftUnderTest::new(Arc::new(d), r, people(70.0, "Bonn"))
}
mlops_core::drift_detector_suite!(standard, fresh());
