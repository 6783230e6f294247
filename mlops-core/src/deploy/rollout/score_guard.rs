//! Guards on a score over many metrics.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::judge::{Classification, ClassifiedMetric, Finding, ScoreOptions, score};
use super::metric::NOT_COMPARED;
use super::{GuardFinding, GuardVerdict, ThinData};
use crate::error::{Error, Result};

/// A guard on a metric that a score counts.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScoredMetric {
    /// The group it counts in.
    pub group: String,
    /// Whether the whole score is 0 when it fails. Default no.
    #[serde(default)]
    pub critical: bool,
}

/// A guard whose verdict is the weighted score of guards on metrics, as Kayenta groups them.
///
/// A metric that passes passes; one that fails is high, or low where its rule ends in `below` or `low`; one that has no data or is
/// inconclusive has no data. The verdict is that of [`score`]: from `pass` on it passes, from `marginal` on it is inconclusive, below
/// it fails. Where ours differs: a rollout looks again and again from the first moment of a step on, so that metrics without data,
/// half of them or a critical one, are **no data** here, about which the plan has its patience, where Kayenta's one look fails.
///
/// The metrics counted decide nothing by themselves any more. In the step to all traffic those that compare are left out; where all of
/// them do, nothing follows from the score.
///
/// ```
/// use mlops_core::deploy::rollout::judge::{Kayenta, ScoreOptions};
/// use mlops_core::deploy::rollout::{MetricGuard, RolloutOptions, ScoreGuard};
///
/// let score = ScoreGuard::new("canary", ScoreOptions::new(90.0, 70.0).with_weight("errors", 60.0))
///     .with_metric("p99", "latency")
///     .with_critical("5xx", "errors");
/// let options = RolloutOptions::default()
///     .with_metric(MetricGuard::new("p99", Kayenta::default()))
///     .with_metric(MetricGuard::new("5xx", Kayenta::default()));
/// assert!(options.clone().with_score(score.clone()).check().is_ok());
/// assert!(options.with_score(score.with_metric("p50", "latency")).check().is_err());
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScoreGuard {
    /// The name, unique among a plan's scores and metrics.
    pub name: String,
    /// What the score must reach, and what each group counts for.
    pub options: ScoreOptions,
    /// The guards on metrics that it counts, by name.
    pub metrics: BTreeMap<String, ScoredMetric>,
    /// When it fails. Default roll back.
    #[serde(default = "rollback")]
    pub on_fail: ThinData,
    /// When it is marginal. Default pause.
    #[serde(default)]
    pub on_inconclusive: ThinData,
    /// When there is nothing to judge. Default pause.
    #[serde(default)]
    pub on_no_data: ThinData,
}

fn rollback() -> ThinData {
    ThinData::Rollback
}

impl ScoreGuard {
    /// A score over no metric yet.
    pub fn new(name: impl Into<String>, options: ScoreOptions) -> Self {
        let (on_fail, on_inconclusive, on_no_data) = (rollback(), ThinData::Pause, ThinData::Pause);
        let (name, metrics) = (name.into(), BTreeMap::new());
        Self { name, options, metrics, on_fail, on_inconclusive, on_no_data }
    }

    /// Counts a guard on a metric in a group.
    #[must_use]
    pub fn with_metric(mut self, metric: impl Into<String>, group: impl Into<String>) -> Self {
        let scored = ScoredMetric { group: group.into(), critical: false };
        self.metrics.insert(metric.into(), scored);
        self
    }

    /// Counts a guard on a metric in a group; when it fails, the whole score is 0.
    #[must_use]
    pub fn with_critical(mut self, metric: impl Into<String>, group: impl Into<String>) -> Self {
        self.metrics.insert(metric.into(), ScoredMetric { group: group.into(), critical: true });
        self
    }

    /// Sets what follows when it fails.
    #[must_use]
    pub fn on_fail(mut self, policy: ThinData) -> Self {
        self.on_fail = policy;
        self
    }

    /// Sets what follows when it is marginal.
    #[must_use]
    pub fn on_inconclusive(mut self, policy: ThinData) -> Self {
        self.on_inconclusive = policy;
        self
    }

    /// Sets what follows when there is nothing to judge.
    #[must_use]
    pub fn on_no_data(mut self, policy: ThinData) -> Self {
        self.on_no_data = policy;
        self
    }

    /// Checks name, metrics and options.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) that names the field.
    pub fn check(&self) -> Result<()> {
        let bad = |field, message: String| Err(Error::invalid("ScoreGuard::check", field, message));
        if self.name.trim().is_empty() {
            return bad("name", "must not be empty".into());
        }
        if self.metrics.is_empty() {
            return bad("metrics", format!("of {} must not be empty", self.name));
        }
        self.options.check().or_else(|error| bad("options", format!("of {}: {error}", self.name)))
    }

    /// The names of the metrics it counts.
    pub fn metrics(&self) -> impl Iterator<Item = &str> {
        self.metrics.keys().map(String::as_str)
    }

    /// Scores what guards on metrics found; what was not found has no data.
    ///
    /// ```
    /// use mlops_core::deploy::rollout::judge::{Finding, ScoreOptions};
    /// use mlops_core::deploy::rollout::{GuardFinding, GuardVerdict, ScoreGuard};
    ///
    /// let score = ScoreGuard::new("canary", ScoreOptions::new(90.0, 70.0))
    ///     .with_metric("p99", "latency")
    ///     .with_metric("5xx", "errors");
    /// let found = |guard: &str, verdict| {
    ///     GuardFinding::new(guard.to_owned(), Finding::new("kayenta.high", verdict, "looked"))
    /// };
    /// let found = [found("p99", GuardVerdict::Fail), found("5xx", GuardVerdict::Pass)];
    /// let finding = score.judge(&found);
    /// assert_eq!((finding.verdict, finding.numbers["score"]), (GuardVerdict::Fail, 50.0));
    /// assert_eq!(score.judge(&found[..1]).verdict, GuardVerdict::NoData);
    /// ```
    pub fn judge(&self, findings: &[GuardFinding]) -> Finding {
        let found =
            |name: &str| findings.iter().find(|found| found.guard == name).map(|found| &found.finding);
        let compared = |name: &&String| found(name).is_none_or(|finding| finding.rule != NOT_COMPARED);
        let judged = self.metrics.keys().filter(compared).count();
        if judged == 0 {
            let reason = "the stable version has no traffic to compare with";
            return Finding::new(NOT_COMPARED, GuardVerdict::NoData, reason);
        }
        let classify = |(name, metric): (&String, &ScoredMetric)| {
            let class = found(name).map_or(Classification::Nodata, class);
            let classified = ClassifiedMetric::new(name, &metric.group, class);
            if metric.critical { classified.with_critical() } else { classified }
        };
        let metrics = self.metrics.iter().filter(|(name, _)| compared(name));
        let classified: Vec<_> = metrics.map(classify).collect();
        let missing = |m: &&ClassifiedMetric| m.classification == Classification::Nodata;
        let without: Vec<_> = classified.iter().filter(missing).collect();
        if 2 * without.len() >= classified.len() || without.iter().any(|metric| metric.critical) {
            let names: Vec<_> = without.iter().map(|metric| metric.name.as_str()).collect();
            let reason = format!("nothing can be said of {}", names.join(", "));
            return Finding::new("score.no_data", GuardVerdict::NoData, reason)
                .with("metrics", classified.len() as f64)
                .with("without_data", without.len() as f64);
        }
        match score(&classified, &self.options) {
            Ok(score) => score.finding,
            Err(error) => {
                let reason = format!("it cannot be judged: {error}");
                Finding::new("guard.refused", GuardVerdict::Inconclusive, reason)
            }
        }
    }
}

fn class(finding: &Finding) -> Classification {
    let below = finding.rule.ends_with(".below") || finding.rule.ends_with(".low");
    match finding.verdict {
        GuardVerdict::Pass => Classification::Pass,
        GuardVerdict::Fail if finding.rule == "kayenta.nodata_fail" => Classification::NodataFailMetric,
        GuardVerdict::Fail if below => Classification::Low,
        GuardVerdict::Fail => Classification::High,
        GuardVerdict::Inconclusive | GuardVerdict::NoData => Classification::Nodata,
    }
}
