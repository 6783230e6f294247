//! A detector of joint drift in the columns of a table.

use std::fmt;

use mlops_core::data::Table;
use mlops_core::monitor::{
    DriftDetector, DriftReport, DriftVerdict, FeatureDrift, FeatureOutcome, FeatureScore,
};
use mlops_core::num::NanPolicy;
use mlops_core::time::Timestamp;
use mlops_core::{Error, Result};
use serde::{Deserialize, Serialize};

use super::boosting::Boosting;
use super::domain_classifier::{DomainClassification, DomainClassifierOptions, domain_classifier_with};
use super::energy::{EnergyOptions, energy_with};
use super::joint::{Beyond, JointDistance};
use super::matrix::Matrix;
use super::mmd::{MmdOptions, mmd_with};
use super::pca::{PcaOptions, pca_reconstruction_with};
use super::scaler::{Scaler, is_number, raw};
use super::sliced_wasserstein::{SlicedWassersteinOptions, sliced_wasserstein_with};
use crate::bins::Missing;

/// What a [`MultivariateDetector`] measures.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MultivariateMethod {
    /// The out-of-fold AUC of a [domain classifier](super::domain_classifier()); missing values are values like others. The default.
    #[default]
    DomainClassifier,
    /// The [reconstruction error](super::pca_reconstruction) outside the leading principal components.
    Pca,
    /// The [maximum mean discrepancy](super::mmd()).
    Mmd,
    /// The [energy distance](super::energy()).
    Energy,
    /// The [sliced Wasserstein distance](super::sliced_wasserstein()).
    SlicedWasserstein,
}

/// How a [`MultivariateDetector`] decides.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MultivariateOptions {
    /// The detector's name in reports. Default: `multivariate drift`.
    pub name: String,
    /// The name of the one row in reports, which stands for all columns together. Default: `all columns`.
    pub feature: String,
    /// The columns watched, which must be numeric or boolean; `None` takes all such columns of the reference.
    pub columns: Option<Vec<String>>,
    /// What is measured.
    pub method: MultivariateMethod,
    /// The level of the p-value, in (0, 1). Default: 0.01.
    pub alpha: f64,
    /// The smallest score that matters; `None` is 0.55 for the domain classifier and 0 for the others.
    pub min_score: Option<f64>,
    /// The fewest usable rows, here and in the reference, on which a verdict is given; at least 10. Default: 50.
    pub min_rows: u64,
    /// What everything random is drawn from, the same for every window.
    pub seed: u64,
    /// How many permutations; 499 by default. The domain classifier needs none.
    pub permutations: u32,
    /// The most rows of both sides together; more are sampled (energy, sliced Wasserstein, domain classifier) or have their kernel
    /// approximated (MMD). Default: 5 000.
    pub max_rows: usize,
}

impl MultivariateOptions {
    /// The defaults for a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            name: "multivariate drift".to_owned(),
            feature: "all columns".to_owned(),
            columns: None,
            method: MultivariateMethod::default(),
            alpha: 0.01,
            min_score: None,
            min_rows: 50,
            seed,
            permutations: 499,
            max_rows: 5_000,
        }
    }

    /// Sets the name in reports.
    #[must_use]
    pub fn with_name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Sets the name of the row in reports.
    #[must_use]
    pub fn with_feature(mut self, feature: impl Into<String>) -> Self {
        self.feature = feature.into();
        self
    }

    /// Watches only these columns.
    #[must_use]
    pub fn with_columns<S: Into<String>>(mut self, columns: impl IntoIterator<Item = S>) -> Self {
        self.columns = Some(columns.into_iter().map(Into::into).collect());
        self
    }

    /// Sets what is measured.
    #[must_use]
    pub fn with_method(mut self, method: MultivariateMethod) -> Self {
        self.method = method;
        self
    }

    /// Sets the level of the p-value.
    #[must_use]
    pub fn with_alpha(mut self, alpha: f64) -> Self {
        self.alpha = alpha;
        self
    }

    /// Sets the smallest score that matters.
    #[must_use]
    pub fn with_min_score(mut self, min_score: f64) -> Self {
        self.min_score = Some(min_score);
        self
    }

    /// Sets the fewest rows on which a verdict is given.
    #[must_use]
    pub fn with_min_rows(mut self, min_rows: u64) -> Self {
        self.min_rows = min_rows;
        self
    }

    /// Sets how many permutations are drawn.
    #[must_use]
    pub fn with_permutations(mut self, permutations: u32) -> Self {
        self.permutations = permutations;
        self
    }

    /// Sets the most rows of both sides together.
    #[must_use]
    pub fn with_max_rows(mut self, max_rows: usize) -> Self {
        self.max_rows = max_rows;
        self
    }

    fn threshold(&self) -> f64 {
        let default = if self.method == MultivariateMethod::DomainClassifier { 0.55 } else { 0.0 };
        self.min_score.unwrap_or(default)
    }

    fn check(&self) -> Result<()> {
        let smallest_p = 1.0 / (1.0 + f64::from(self.permutations));
        let permutes = self.method != MultivariateMethod::DomainClassifier;
        let wrong = match self {
            Self { alpha, .. } if !(*alpha > 0.0 && *alpha < 1.0) => {
                Some(("alpha", alpha.to_string(), "must lie between 0 and 1"))
            }
            Self { min_score: Some(score), .. } if !score.is_finite() => {
                Some(("min_score", score.to_string(), "must be finite"))
            }
            Self { min_rows, .. } if *min_rows < 10 => {
                Some(("min_rows", min_rows.to_string(), "must be at least 10"))
            }
            Self { max_rows, .. } if *max_rows < 20 => {
                Some(("max_rows", max_rows.to_string(), "must be at least 20"))
            }
            Self { feature, .. } if feature.is_empty() => {
                Some(("feature", String::new(), "must not be empty"))
            }
            Self { permutations, alpha, .. } if permutes && smallest_p > *alpha => {
                Some(("permutations", permutations.to_string(), "are too few for any p to reach alpha"))
            }
            _ => None,
        };
        match wrong {
            Some((field, value, reason)) => {
                Err(Error::invalid("MultivariateDetector::fit", field, reason).with("value", value))
            }
            None => Ok(()),
        }
    }
}

/// Holds the rows of current data, as wholes, against those of a reference.
///
/// A report has one row for all columns together. It drifts when its p-value is at most α and its score reaches the threshold. A column
/// that is missing or of another type leaves nothing to compare: the row has failed and the verdict is inconclusive. Numeric and boolean
/// columns take part, on the scale of the reference; rows with a missing value are left out but by the domain
/// classifier, which also names the columns by which rows are told apart.
///
/// ```
/// use mlops_core::data::{Column, Table};
/// use mlops_core::monitor::{DriftDetector as _, DriftVerdict};
/// use mlops_drift::multivariate::{MultivariateDetector, MultivariateOptions};
///
/// // Salary grows with age, until one day it falls with it. Each column alone stays as it was.
/// let table = |salary: fn(i32) -> i32| {
///     let column = |f: &dyn Fn(i32) -> i32| (0..200).map(|i| f64::from(f(i % 50))).collect::<Vec<_>>();
///     Table::new(vec![Column::f64("age", column(&|i| 20 + i))?, Column::f64("salary", column(&salary))?])
/// };
/// let reference = table(|i| 2_000 + 100 * i)?;
/// let detector = MultivariateDetector::fit(&reference, MultivariateOptions::new(7))?;
///
/// let now = "2026-01-01T00:00:00Z".parse()?;
/// assert_eq!(detector.detect(&reference, now)?.verdict, DriftVerdict::NoDrift);
/// let report = detector.detect(&table(|i| 6_900 - 100 * i)?, now)?;
/// assert_eq!(report.verdict, DriftVerdict::Drift);
/// assert!(report.reason.contains("salary"), "{}", report.reason);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct MultivariateDetector {
    options: MultivariateOptions,
    names: Vec<String>,
    /// `None` where columns are taken as they are.
    scaler: Option<Scaler>,
    reference: Matrix<'static, f64>,
}

/// What was measured, and what to say about it.
struct Found {
    distance: JointDistance,
    words: String,
}

impl MultivariateDetector {
    /// Fits the reference: its scale, and a copy of its rows.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](mlops_core::ErrorKind::InvalidInput) for options out of range, no rows, no column to watch, a column
    /// that is not numeric, a single column for PCA, and, but for the domain classifier, one without any value or with an infinite one;
    /// [`ErrorKind::NotFound`](mlops_core::ErrorKind::NotFound) for a column that is not there.
    pub fn fit(reference: &Table<'_>, options: MultivariateOptions) -> Result<Self> {
        const OP: &str = "MultivariateDetector::fit";
        options.check()?;
        if reference.rows() == 0 {
            return Err(Error::invalid(OP, "reference", "has no rows"));
        }
        let names = match &options.columns {
            Some(names) => names.clone(),
            None => {
                let columns = reference.columns().iter().filter(|column| is_number(column));
                columns.map(|column| column.name().to_owned()).collect()
            }
        };
        if names.is_empty() {
            return Err(Error::invalid(OP, "columns", "there is no column to watch"));
        }
        if options.method == MultivariateMethod::Pca && names.len() < 2 {
            return Err(Error::invalid(OP, "columns", "one column has no direction beside the leading one"));
        }
        if options.method == MultivariateMethod::DomainClassifier {
            let matrix = raw(reference, &names)?;
            return Ok(Self { options, names, scaler: None, reference: matrix });
        }
        let scaler = Scaler::fit_columns(reference, &names)?;
        let matrix = scaler.matrix(reference)?;
        Ok(Self { options, names, scaler: Some(scaler), reference: matrix })
    }

    /// How it decides.
    pub fn options(&self) -> &MultivariateOptions {
        &self.options
    }

    /// The columns watched.
    pub fn columns(&self) -> &[String] {
        &self.names
    }

    /// The joint distance alone, with its p-value and interval, without a verdict.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](mlops_core::ErrorKind::NotFound) for a column that is not there;
    /// [`ErrorKind::InvalidInput`](mlops_core::ErrorKind::InvalidInput) for one without numbers and whatever the statistic refuses.
    pub fn measure(&self, current: &Table<'_>) -> Result<JointDistance> {
        Ok(self.find(current)?.distance)
    }

    fn find(&self, current: &Table<'_>) -> Result<Found> {
        if let Some(missing) = self.names.iter().find(|name| current.get(name).is_none()) {
            return Err(Error::not_found("MultivariateDetector::detect", "column", missing));
        }
        let current = match &self.scaler {
            Some(scaler) => scaler.matrix(current)?,
            None => raw(current, &self.names)?,
        };
        let (before, seed) = (&self.reference, self.options.seed);
        let (permutations, max_rows) = (self.options.permutations, self.options.max_rows);
        let (nan, plain) = (NanPolicy::Omit, |distance| Found { distance, words: String::new() });
        Ok(match self.options.method {
            MultivariateMethod::DomainClassifier => {
                let options =
                    DomainClassifierOptions::new(seed).with_max_rows(max_rows).with_missing(Missing::Cell);
                let found = domain_classifier_with(before, &current, &options, &Boosting::default())?;
                Found { distance: found.distance, words: self.telling(&found) }
            }
            MultivariateMethod::Pca => {
                let options = PcaOptions::new(seed).with_permutations(permutations).with_nan(nan);
                let found = pca_reconstruction_with(before, &current, &options)?;
                let (old, new) = (found.reference.mean, found.current.mean);
                Found {
                    distance: found.distance,
                    words: format!(", mean error {old:.4} before and {new:.4} now"),
                }
            }
            MultivariateMethod::Mmd => {
                let options = MmdOptions::new(seed)
                    .with_permutations(permutations)
                    .with_max_rows(max_rows)
                    .with_nan(nan);
                plain(mmd_with(before, &current, &options)?.distance)
            }
            MultivariateMethod::Energy => {
                let options =
                    EnergyOptions::new(seed).with_permutations(permutations).with_max_rows(max_rows);
                plain(energy_with(before, &current, &options.with_beyond(Beyond::Sample).with_nan(nan))?)
            }
            MultivariateMethod::SlicedWasserstein => {
                let options = SlicedWassersteinOptions::new(seed).with_permutations(permutations);
                plain(sliced_wasserstein_with(
                    before,
                    &current,
                    &options.with_max_rows(max_rows).with_nan(nan),
                )?)
            }
        })
    }

    /// The columns that give rows away, at most three.
    fn telling(&self, found: &DomainClassification) -> String {
        let ranked = found.ranked();
        let telling = ranked.iter().filter(|(_, importance)| *importance > 0.01).take(3);
        let names: Vec<&str> =
            telling.filter_map(|(column, _)| self.names.get(*column)).map(String::as_str).collect();
        if names.is_empty() { String::new() } else { format!(", told by {}", names.join(", ")) }
    }

    fn judge(&self, distance: &JointDistance) -> DriftVerdict {
        let enough = self.options.min_rows;
        if distance.reference.used < enough || distance.current.used < enough {
            return DriftVerdict::Inconclusive;
        }
        // Without a p-value all rows are equal.
        let p = distance.p.value().unwrap_or(1.0);
        if p <= self.options.alpha && distance.score >= self.options.threshold() {
            DriftVerdict::Drift
        } else {
            DriftVerdict::NoDrift
        }
    }

    fn score(&self, distance: &JointDistance) -> FeatureScore {
        let (definition, threshold) = (distance.definition.to_string(), self.options.threshold());
        let mut score = FeatureScore::new(definition, distance.score, threshold, self.judge(distance));
        let share = |side: crate::Side| side.missing as f64 / side.rows.max(1) as f64;
        score.noise_floor = distance.noise_floor;
        score.p_value = distance.p.value();
        score.adjusted_p_value = distance.p.value();
        score.missing_reference = share(distance.reference);
        score.missing_current = share(distance.current);
        score
    }
}

impl DriftDetector for MultivariateDetector {
    fn name(&self) -> &str {
        &self.options.name
    }

    fn features(&self) -> Vec<String> {
        vec![self.options.feature.clone()]
    }

    fn detect(&self, current: &Table<'_>, at: Timestamp) -> Result<DriftReport> {
        let (verdict, outcome, reason) = match self.find(current) {
            Err(error) => {
                let reason = error.to_string();
                (DriftVerdict::Inconclusive, FeatureOutcome::Failed(reason.clone()), reason)
            }
            Ok(Found { distance, words }) => {
                let score = self.score(&distance);
                let (before, now) = (distance.reference.used, distance.current.used);
                let reason = match (score.verdict, distance.p.value()) {
                    (DriftVerdict::Inconclusive, _) => {
                        let need = self.options.min_rows;
                        format!("{now} usable rows against {before} are too few, at least {need} are needed")
                    }
                    (_, Some(p)) => {
                        format!("{} scores {:.4} at p = {p:.2e}{words}", distance.definition, distance.score)
                    }
                    (_, None) => {
                        format!("{} scores {:.4}: nothing varies", distance.definition, distance.score)
                    }
                };
                (score.verdict, FeatureOutcome::Measured(score), reason)
            }
        };
        let features = vec![FeatureDrift::new(self.options.feature.clone(), outcome)];
        let rows = (self.reference.rows() as u64, current.rows() as u64);
        Ok(DriftReport::new(&self.options.name, at, rows, features, verdict, reason))
    }
}

impl fmt::Debug for MultivariateDetector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MultivariateDetector")
            .field("options", &self.options)
            .field("columns", &self.names)
            .field("rows", &self.reference.rows())
            .finish_non_exhaustive()
    }
}
