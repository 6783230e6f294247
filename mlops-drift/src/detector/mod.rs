//! Detectors: a reference fitted once, current data held against it feature by feature, one verdict.
//!
//! [`Detector`] implements [`DriftDetector`] of `mlops-core`, so that monitors and triggers
//! can use it. A feature drifts when **both** hold: its p-value, adjusted for the number of features, is at most α, so that
//! chance does not explain it; and its score reaches a threshold, so that it matters. The first alone alarms on anything once
//! there are enough rows, the second alone alarms on noise while there are few.

mod feature;

use std::fmt;

use mlops_core::data::{DataType, Table};
use mlops_core::monitor::{DriftDetector, DriftReport, DriftVerdict, FeatureDrift, FeatureOutcome};
use mlops_core::time::Timestamp;
use mlops_core::{Error, Result};
use serde::{Deserialize, Serialize};

use self::feature::{Fitted, Measured};
use crate::multiple::{Correction, adjust};

/// What is measured on a numeric feature.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NumericMethod {
    /// The Kolmogorov–Smirnov statistic D, with a p-value given ties; missing values are tested apart. The default.
    #[default]
    KolmogorovSmirnov,
    /// The population stability index on ten quantile cells, missing values in a cell of their own.
    Psi,
    /// The Jensen–Shannon distance, base 2, on the same cells.
    JensenShannon,
}

/// What is measured on a categorical feature.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CategoryMethod {
    /// The Jensen–Shannon distance, base 2; unseen levels and missing values have cells of their own. The default.
    #[default]
    JensenShannon,
    /// The population stability index on the same cells.
    Psi,
}

/// How a detector decides.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DetectorOptions {
    /// The detector's name in reports. Default: `drift`.
    pub name: String,
    /// The features watched; `None` takes every numeric, boolean and categorical column of the reference. Columns of times
    /// are not watched: they drift by nature.
    pub features: Option<Vec<String>>,
    /// The method for numeric and boolean features.
    pub numeric: NumericMethod,
    /// The method for categorical features.
    pub category: CategoryMethod,
    /// The level of the adjusted p-values, in (0, 1). Default: 0.01.
    pub alpha: f64,
    /// The smallest score that matters, in [0, ∞). Default: 0.1.
    pub min_score: f64,
    /// How p-values are adjusted for the number of features. Default: Benjamini–Hochberg.
    pub correction: Correction,
    /// The fewest rows, here and in the reference, on which a verdict is given. Default: 30.
    pub min_rows: u64,
    /// The share of features that must drift for the data set to drift, in [0, 1]; one is always needed. Default: 0.
    pub min_share: f64,
}

impl Default for DetectorOptions {
    fn default() -> Self {
        Self {
            name: "drift".to_owned(),
            features: None,
            numeric: NumericMethod::default(),
            category: CategoryMethod::default(),
            alpha: 0.01,
            min_score: 0.1,
            correction: Correction::default(),
            min_rows: 30,
            min_share: 0.0,
        }
    }
}

impl DetectorOptions {
    /// Sets the name in reports.
    #[must_use]
    pub fn with_name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Watches only these features.
    #[must_use]
    pub fn with_features<S: Into<String>>(mut self, features: impl IntoIterator<Item = S>) -> Self {
        self.features = Some(features.into_iter().map(Into::into).collect());
        self
    }

    /// Sets the method for numeric features.
    #[must_use]
    pub fn with_numeric(mut self, method: NumericMethod) -> Self {
        self.numeric = method;
        self
    }

    /// Sets the method for categorical features.
    #[must_use]
    pub fn with_category(mut self, method: CategoryMethod) -> Self {
        self.category = method;
        self
    }

    /// Sets the level of the adjusted p-values.
    #[must_use]
    pub fn with_alpha(mut self, alpha: f64) -> Self {
        self.alpha = alpha;
        self
    }

    /// Sets the smallest score that matters.
    #[must_use]
    pub fn with_min_score(mut self, min_score: f64) -> Self {
        self.min_score = min_score;
        self
    }

    /// Sets the fewest rows on which a verdict is given.
    #[must_use]
    pub fn with_min_rows(mut self, min_rows: u64) -> Self {
        self.min_rows = min_rows;
        self
    }

    fn check(&self) -> Result<()> {
        let ranges = [
            ("alpha", self.alpha, self.alpha > 0.0 && self.alpha < 1.0, "must lie in (0, 1)"),
            (
                "min_score",
                self.min_score,
                self.min_score.is_finite() && self.min_score >= 0.0,
                "must lie in [0, ∞)",
            ),
            ("min_share", self.min_share, (0.0..=1.0).contains(&self.min_share), "must lie in [0, 1]"),
        ];
        match ranges.into_iter().find(|(_, _, ok, _)| !ok) {
            Some((field, value, _, reason)) => {
                Err(Error::invalid("Detector::fit", field, reason).with("value", value))
            }
            None => Ok(()),
        }
    }
}

/// Holds current data against a reference it was fitted on.
///
/// ```
/// use mlops_core::data::{Column, Table};
/// use mlops_core::monitor::{DriftDetector as _, DriftVerdict};
/// use mlops_drift::detector::{Detector, DetectorOptions};
///
/// let ages = |from: i32, n: i32| Column::f64("age", (0..n).map(|i| f64::from(from + i % 40)).collect::<Vec<_>>());
/// let detector = Detector::fit(&Table::new(vec![ages(20, 400)?])?, DetectorOptions::default())?;
///
/// let now = "2026-01-01T00:00:00Z".parse()?;
/// let same = detector.detect(&Table::new(vec![ages(20, 120)?])?, now)?;
/// assert_eq!(same.verdict, DriftVerdict::NoDrift);
/// let older = detector.detect(&Table::new(vec![ages(45, 120)?])?, now)?;
/// assert_eq!(older.verdict, DriftVerdict::Drift);
/// assert_eq!(older.drifted().next().map(|f| f.feature.as_str()), Some("age"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Detector {
    options: DetectorOptions,
    features: Vec<Fitted>,
    rows: u64,
}

impl Detector {
    /// Fits the reference: sorts or counts every feature once.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](mlops_core::ErrorKind::InvalidInput) for options out of range, no rows, no feature to watch, or a
    /// feature of a type that is not watched; [`ErrorKind::NotFound`](mlops_core::ErrorKind::NotFound) for a feature that is not there.
    /// A feature without a single present value is fitted as such: it is a failed row in every report.
    pub fn fit(reference: &Table<'_>, options: DetectorOptions) -> Result<Self> {
        const OP: &str = "Detector::fit";
        options.check()?;
        if reference.rows() == 0 {
            return Err(Error::invalid(OP, "reference", "has no rows"));
        }
        let watched = |t: DataType| t != DataType::Time;
        let names: Vec<String> = match &options.features {
            Some(names) => names.clone(),
            None => {
                let columns = reference.columns().iter().filter(|c| watched(c.data_type()));
                columns.map(|c| c.name().to_owned()).collect()
            }
        };
        if names.is_empty() {
            return Err(Error::invalid(OP, "features", "there is no feature to watch"));
        }
        let mut features = Vec::with_capacity(names.len());
        for name in &names {
            let column = reference.column(name)?;
            if !watched(column.data_type()) {
                return Err(
                    Error::invalid(OP, "features", "a column of times is not watched").with("feature", name)
                );
            }
            features.push(Fitted::fit(column, &options)?);
        }
        Ok(Self { options, features, rows: reference.rows() as u64 })
    }

    /// How it decides.
    pub fn options(&self) -> &DetectorOptions {
        &self.options
    }

    /// The verdicts of all features, once their p-values are adjusted together.
    fn decide(
        &self,
        rows: u64,
        measured: Vec<(String, Result<Measured, String>)>,
    ) -> Result<Vec<FeatureDrift>> {
        let p: Vec<f64> = measured.iter().filter_map(|(_, m)| m.as_ref().ok()).map(|m| m.p).collect();
        let mut adjusted = adjust(&p, self.options.correction)?.into_iter();
        let enough = rows >= self.options.min_rows && self.rows >= self.options.min_rows;
        let outcomes = measured.into_iter().map(|(feature, result)| {
            let outcome = match result {
                Err(reason) => FeatureOutcome::Failed(reason),
                Ok(measured) => {
                    let q = adjusted.next().unwrap_or(1.0);
                    FeatureOutcome::Measured(measured.score(&self.options, q, enough))
                }
            };
            FeatureDrift { feature, outcome }
        });
        Ok(outcomes.collect())
    }

    fn verdict(&self, rows: u64, features: &[FeatureDrift]) -> (DriftVerdict, String) {
        let count = |verdict| features.iter().filter(|f| f.verdict() == verdict).count();
        let (drifted, judged) =
            (count(DriftVerdict::Drift), features.len() - count(DriftVerdict::Inconclusive));
        let need = self.options.min_rows;
        if rows < need || self.rows < need {
            let reason = format!("{rows} rows against {} are too few, at least {need} are needed", self.rows);
            return (DriftVerdict::Inconclusive, reason);
        }
        if judged == 0 {
            return (DriftVerdict::Inconclusive, "no feature could be judged".to_owned());
        }
        let share = drifted as f64 / features.len() as f64;
        if drifted > 0 && share >= self.options.min_share {
            return (DriftVerdict::Drift, format!("{drifted} of {} features drifted", features.len()));
        }
        (
            DriftVerdict::NoDrift,
            format!("{drifted} of {} features drifted, {judged} could be judged", features.len()),
        )
    }
}

impl DriftDetector for Detector {
    fn name(&self) -> &str {
        &self.options.name
    }

    fn features(&self) -> Vec<String> {
        self.features.iter().map(|f| f.name().to_owned()).collect()
    }

    fn detect(&self, current: &Table<'_>, at: Timestamp) -> Result<DriftReport> {
        let rows = current.rows() as u64;
        let measure = |fitted: &Fitted| {
            let result = match current.get(fitted.name()) {
                None => Err("the feature is missing from the current data".to_owned()),
                Some(column) => fitted.measure(column, &self.options),
            };
            (fitted.name().to_owned(), result)
        };
        let features = self.decide(rows, self.features.iter().map(measure).collect())?;
        let (verdict, reason) = self.verdict(rows, &features);
        Ok(DriftReport::new(&self.options.name, at, (self.rows, rows), features, verdict, reason))
    }
}

impl fmt::Debug for Detector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.features.iter().map(Fitted::name).collect();
        f.debug_struct("Detector")
            .field("name", &self.options.name)
            .field("features", &names)
            .field("rows", &self.rows)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mlops_core::data::{Column, Validity, Values};

    fn normal(n: usize, seed: u64, shift: f64) -> Vec<f64> {
        // Sums of twelve uniforms: normal enough for a detector.
        let mut state = seed.wrapping_mul(0xd1b5_4a32_d192_ed03);
        let mut uniform = || {
            // splitmix64
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
        };
        (0..n).map(|_| (0..12).map(|_| uniform()).sum::<f64>() - 6.0 + shift).collect()
    }

    fn table(n: usize, seed: u64, shift: f64) -> Table<'static> {
        let plan = (0..n).map(|i| ["basic", "plus", "pro"][(i * 7 + i / 3) % 3]);
        Table::new(vec![
            Column::f64("x", normal(n, seed, shift)).unwrap(),
            Column::f64("noise", normal(n, seed + 1000, 0.0)).unwrap(),
            Column::text("plan", plan).unwrap(),
        ])
        .unwrap()
    }

    fn now() -> Timestamp {
        "2026-01-01T00:00:00Z".parse().unwrap()
    }

    fn each_method() -> impl Iterator<Item = DetectorOptions> {
        let numeric = [NumericMethod::KolmogorovSmirnov, NumericMethod::Psi, NumericMethod::JensenShannon];
        let category = [CategoryMethod::JensenShannon, CategoryMethod::Psi, CategoryMethod::JensenShannon];
        numeric
            .into_iter()
            .zip(category)
            .map(|(n, c)| DetectorOptions::default().with_numeric(n).with_category(c))
    }

    #[test]
    fn a_shift_is_found_in_its_feature_and_only_there() {
        for options in each_method() {
            let detector = Detector::fit(&table(800, 1, 0.0), options.clone()).unwrap();
            let report = detector.detect(&table(300, 2, 1.0), now()).unwrap();
            assert_eq!(report.verdict, DriftVerdict::Drift, "{options:?}");
            let drifted: Vec<&str> = report.drifted().map(|f| f.feature.as_str()).collect();
            assert_eq!(drifted, ["x"], "{options:?}");
        }
    }

    #[test]
    fn false_alarms_stay_below_alpha() {
        for options in each_method() {
            let options = options.with_alpha(0.05).with_min_score(0.0).with_features(["x", "noise"]);
            let alarms = (0..200_u64)
                .filter(|&i| {
                    let detector = Detector::fit(&table(500, 10_000 + i, 0.0), options.clone()).unwrap();
                    detector.detect(&table(200, 20_000 + i, 0.0), now()).unwrap().verdict
                        == DriftVerdict::Drift
                })
                .count();
            // Binomial(200, 0.05): at most 20 with a probability of 0.9988.
            assert!(alarms <= 20, "{alarms} {options:?}");
        }
    }

    #[test]
    fn a_column_that_goes_missing_is_drift_under_every_method() {
        for options in each_method() {
            let detector = Detector::fit(&table(500, 1, 0.0), options.clone()).unwrap();
            let valid: Vec<bool> = (0..200).map(|i| i % 2 == 0).collect();
            let x = Values::F64(normal(200, 5, 0.0).into());
            let half = Column::new("x", x, Some(Validity::from_bools(&valid))).unwrap();
            let current = table(200, 6, 0.0).without(&["x"]).with_column(half).unwrap();
            let report = detector.detect(&current, now()).unwrap();
            let drifted: Vec<&str> = report.drifted().map(|f| f.feature.as_str()).collect();
            assert_eq!(drifted, ["x"], "{options:?}");
        }
    }

    #[test]
    fn a_new_level_is_drift() {
        for options in each_method() {
            let detector = Detector::fit(&table(500, 1, 0.0), options).unwrap();
            let plan =
                Column::text("plan", (0..200).map(|i| if i % 3 == 0 { "free" } else { "basic" })).unwrap();
            let current = table(200, 6, 0.0).without(&["plan"]).with_column(plan).unwrap();
            let report = detector.detect(&current, now()).unwrap();
            assert!(report.drifted().any(|f| f.feature == "plan"));
        }
    }

    #[test]
    fn a_feature_that_cannot_be_measured_is_a_row_and_the_others_are_measured() {
        let detector = Detector::fit(&table(500, 1, 0.0), DetectorOptions::default()).unwrap();
        let text = Column::text("x", (0..200).map(|_| "?")).unwrap();
        let nothing = Column::f64("noise", vec![f64::NAN; 200]).unwrap();
        let current = Table::new(vec![text, nothing]).unwrap();
        let report = detector.detect(&current, now()).unwrap();
        let failed = |i: usize| matches!(report.features[i].outcome, FeatureOutcome::Failed(_));
        assert!(failed(0) && failed(2), "{report:?}");
        // All missing is a change that can be measured: the share of missing values went from 0 to 1.
        assert_eq!(report.features[1].verdict(), DriftVerdict::Drift);
    }

    #[test]
    fn too_few_rows_are_inconclusive() {
        let detector = Detector::fit(&table(500, 1, 0.0), DetectorOptions::default()).unwrap();
        for rows in [0, 1, 29] {
            let report = detector.detect(&table(rows, 2, 9.0), now()).unwrap();
            assert_eq!(report.verdict, DriftVerdict::Inconclusive, "{rows}");
            assert_eq!(report.drifted().count(), 0);
        }
    }

    #[test]
    fn options_out_of_range_are_refused() {
        let reference = table(100, 1, 0.0);
        for options in [
            DetectorOptions::default().with_alpha(0.0),
            DetectorOptions::default().with_alpha(f64::NAN),
            DetectorOptions::default().with_min_score(f64::INFINITY),
            DetectorOptions { min_share: 1.5, ..DetectorOptions::default() },
            DetectorOptions::default().with_features(["nowhere"]),
            DetectorOptions::default().with_features(Vec::<String>::new()),
        ] {
            assert!(Detector::fit(&reference, options.clone()).is_err(), "{options:?}");
        }
        assert!(Detector::fit(&Table::default(), DetectorOptions::default()).is_err());
    }
}
