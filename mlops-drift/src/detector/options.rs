//! How a detector decides.

use std::collections::BTreeMap;

use mlops_core::{Error, Result};
use serde::{Deserialize, Serialize};

use super::method::Method;
use crate::BinRule;
use mlops_core::num::multiple::Correction;

/// When the data set as a whole drifts.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DatasetRule {
    /// When at least one feature drifts, and at least `min_share` of all. The default.
    #[default]
    Features,
    /// When Simes' p-value over all features is at most α and the score of some feature matters, whether or not that one
    /// can be told from chance by itself: many small drifts add up.
    Simes,
}

/// What is different for one feature.
///
/// ```
/// use mlops_drift::detector::{FeatureRule, Method};
///
/// let rule = FeatureRule::default().with_method(Method::Psi).with_min_score(0.2);
/// assert_eq!((rule.method, rule.min_score), (Some(Method::Psi), Some(0.2)));
/// ```
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FeatureRule {
    /// The method, in place of that for its kind.
    pub method: Option<Method>,
    /// The smallest score that matters.
    pub min_score: Option<f64>,
}

impl FeatureRule {
    /// With this method, or that for the feature's kind.
    #[must_use]
    pub fn with_method(mut self, method: impl Into<Option<Method>>) -> Self {
        self.method = method.into();
        self
    }

    /// With this smallest score that matters, or the detector's.
    #[must_use]
    pub fn with_min_score(mut self, min_score: impl Into<Option<f64>>) -> Self {
        self.min_score = min_score.into();
        self
    }
}

/// How a detector decides.
///
/// ```
/// use mlops_drift::detector::{DetectorOptions, Method};
///
/// let options = DetectorOptions::default().with_numeric(Method::Psi).with_also([Method::KolmogorovSmirnov]);
/// let text = serde_json::to_string(&options)?;
/// assert_eq!(serde_json::from_str::<DetectorOptions>(&text)?, options);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DetectorOptions {
    /// The detector's name in reports. Default: `drift`.
    pub name: String,
    /// The features watched; `None` takes every numeric, boolean and categorical column of the reference that has a present value,
    /// but for [identifiers and counters](super::Detector#what-is-watched), which drift by nature as times do: reports name what is
    /// left out.
    pub features: Option<Vec<String>>,
    /// The method for numeric and boolean features. Default: Kolmogorov–Smirnov.
    pub numeric: Method,
    /// The method for categorical features. Default: Jensen–Shannon.
    pub category: Method,
    /// Methods that are computed along wherever they can be, and decide nothing. Default: none.
    pub also: Vec<Method>,
    /// What is different for single features, which must be watched.
    pub rules: BTreeMap<String, FeatureRule>,
    /// How numeric features are cut for the methods on cells. Default: ten quantile cells.
    pub bins: BinRule,
    /// The level of the adjusted p-values, in (0, 1). Default: 0.01.
    pub alpha: f64,
    /// The smallest score that matters, in [0, ∞), for every method; `None` takes [`Method::min_score`]. The corrected score is
    /// held against it where there is one. Default: `None`.
    pub min_score: Option<f64>,
    /// The change of the share of missing values that matters, in [0, 1]. Default: 0.1.
    pub min_missing: f64,
    /// How p-values are adjusted for the number of features. Default: Benjamini–Hochberg.
    pub correction: Correction,
    /// The fewest rows, here and in the reference, on which a verdict is given. Default: 30.
    pub min_rows: u64,
    /// When the data set drifts.
    pub dataset: DatasetRule,
    /// The share of features that must drift for the data set to drift, in [0, 1]; one is always needed. Default: 0.
    pub min_share: f64,
    /// About how many cells the histograms in reports have; 0 for none. At most 1000. Default: 24.
    pub cells: usize,
    /// How many threads look at features; 0 for as many as the machine has. The report is the same for every number.
    /// Default: 1.
    pub threads: usize,
}

impl Default for DetectorOptions {
    fn default() -> Self {
        Self {
            name: "drift".to_owned(),
            features: None,
            numeric: Method::KolmogorovSmirnov,
            category: Method::JensenShannon,
            also: Vec::new(),
            rules: BTreeMap::new(),
            bins: BinRule::default(),
            alpha: 0.01,
            min_score: None,
            min_missing: 0.1,
            correction: Correction::default(),
            min_rows: 30,
            dataset: DatasetRule::default(),
            min_share: 0.0,
            cells: 24,
            threads: 1,
        }
    }
}

impl DetectorOptions {
    /// With this change of the share of missing values that matters, in [0, 1].
    #[must_use]
    pub fn with_min_missing(mut self, min_missing: f64) -> Self {
        self.min_missing = min_missing;
        self
    }

    /// With this share of features that must drift for the data set to drift, in [0, 1].
    #[must_use]
    pub fn with_min_share(mut self, min_share: f64) -> Self {
        self.min_share = min_share;
        self
    }

    /// The default, with a method for numeric features that needs nothing but counts: the Jensen–Shannon distance. For
    /// [`Reference::detect`](crate::profile::Reference::detect).
    ///
    /// ```
    /// use mlops_drift::detector::{DetectorOptions, Method};
    /// assert_eq!(DetectorOptions::on_counts().numeric, Method::JensenShannon);
    /// ```
    pub fn on_counts() -> Self {
        Self::default().with_numeric(Method::JensenShannon)
    }

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
    pub fn with_numeric(mut self, method: Method) -> Self {
        self.numeric = method;
        self
    }

    /// Sets the method for categorical features.
    #[must_use]
    pub fn with_category(mut self, method: Method) -> Self {
        self.category = method;
        self
    }

    /// Computes these along.
    #[must_use]
    pub fn with_also(mut self, methods: impl IntoIterator<Item = Method>) -> Self {
        self.also = methods.into_iter().collect();
        self
    }

    /// Sets what is different for one feature.
    #[must_use]
    pub fn with_rule(mut self, feature: impl Into<String>, rule: FeatureRule) -> Self {
        self.rules.insert(feature.into(), rule);
        self
    }

    /// Sets how numeric features are cut.
    #[must_use]
    pub fn with_bins(mut self, bins: BinRule) -> Self {
        self.bins = bins;
        self
    }

    /// Sets the level of the adjusted p-values.
    #[must_use]
    pub fn with_alpha(mut self, alpha: f64) -> Self {
        self.alpha = alpha;
        self
    }

    /// Sets the smallest score that matters, for every method.
    #[must_use]
    pub fn with_min_score(mut self, min_score: f64) -> Self {
        self.min_score = Some(min_score);
        self
    }

    /// Sets how p-values are adjusted.
    #[must_use]
    pub fn with_correction(mut self, correction: Correction) -> Self {
        self.correction = correction;
        self
    }

    /// Sets when the data set drifts.
    #[must_use]
    pub fn with_dataset(mut self, rule: DatasetRule) -> Self {
        self.dataset = rule;
        self
    }

    /// Sets the fewest rows on which a verdict is given.
    #[must_use]
    pub fn with_min_rows(mut self, min_rows: u64) -> Self {
        self.min_rows = min_rows;
        self
    }

    /// Sets about how many cells histograms have; 0 for no histograms.
    #[must_use]
    pub fn with_cells(mut self, cells: usize) -> Self {
        self.cells = cells;
        self
    }

    /// Sets how many threads look at features.
    #[must_use]
    pub fn with_threads(mut self, threads: usize) -> Self {
        self.threads = threads;
        self
    }

    /// The method and the smallest score that matters for a feature.
    pub(super) fn rule(&self, feature: &str, categories: bool) -> (Method, f64) {
        let rule = self.rules.get(feature).copied().unwrap_or_default();
        let method = rule.method.unwrap_or(if categories { self.category } else { self.numeric });
        (method, rule.min_score.or(self.min_score).unwrap_or(method.min_score()))
    }

    /// Every feature with a rule is watched.
    pub(super) fn check_rules(
        &self,
        operation: &'static str,
        is_watched: impl Fn(&str) -> bool,
    ) -> Result<()> {
        match self.rules.keys().find(|name| !is_watched(name)) {
            None => Ok(()),
            Some(name) => {
                let error =
                    Error::invalid(operation, "rules", "has a rule for a feature that is not watched");
                Err(error.with("feature", name))
            }
        }
    }

    pub(super) fn check(&self) -> Result<()> {
        let share = "must lie in [0, 1]";
        let scores = self.rules.values().filter_map(|rule| rule.min_score).chain(self.min_score);
        let scores =
            scores.map(|score| ("min_score", score, score.is_finite() && score >= 0.0, "must lie in [0, ∞)"));
        let ranges = [
            ("alpha", self.alpha, self.alpha > 0.0 && self.alpha < 1.0, "must lie in (0, 1)"),
            ("min_missing", self.min_missing, (0.0..=1.0).contains(&self.min_missing), share),
            ("min_share", self.min_share, (0.0..=1.0).contains(&self.min_share), share),
            ("cells", self.cells as f64, self.cells <= 1000, "must be at most 1000"),
        ];
        if let Some((field, value, _, reason)) = ranges.into_iter().chain(scores).find(|(_, _, ok, _)| !ok) {
            return Err(Error::invalid("Detector::fit", field, reason).with("value", value));
        }
        if !self.category.on_categories() {
            let message = format!("{} is not defined for categories", self.category);
            return Err(Error::invalid("Detector::fit", "category", message));
        }
        Ok(())
    }
}
