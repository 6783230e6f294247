//! One score out of many metrics, as Kayenta has it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Classification, Finding};
use crate::deploy::rollout::GuardVerdict;
use crate::num::StatsError;

/// A metric that was classified, and what it counts for.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassifiedMetric {
    /// Its name.
    pub name: String,
    /// The group whose score it is part of.
    pub group: String,
    /// What it was called.
    pub classification: Classification,
    /// Whether the whole score is 0 when it fails.
    #[serde(default)]
    pub critical: bool,
}

impl ClassifiedMetric {
    /// A metric of a group that is not critical.
    pub fn new(name: impl Into<String>, group: impl Into<String>, classification: Classification) -> Self {
        Self { name: name.into(), group: group.into(), classification, critical: false }
    }

    /// Makes it critical.
    #[must_use]
    pub fn with_critical(mut self) -> Self {
        self.critical = true;
        self
    }
}

/// What a score must reach, and what each group counts for.
///
/// ```
/// use mlops_core::deploy::rollout::GuardVerdict;
/// use mlops_core::deploy::rollout::judge::{Classification, ClassifiedMetric, ScoreOptions, score};
///
/// let metrics = [
///     ClassifiedMetric::new("p99", "latency", Classification::High),
///     ClassifiedMetric::new("mean", "latency", Classification::Pass),
///     ClassifiedMetric::new("5xx", "errors", Classification::Pass),
/// ];
/// let options = ScoreOptions::new(90.0, 70.0).with_weight("errors", 60.0);
/// let total = score(&metrics, &options)?;
/// assert_eq!((total.total, total.groups["latency"]), (80.0, Some(50.0)));
/// assert_eq!(total.finding.verdict, GuardVerdict::Inconclusive);
/// # Ok::<(), mlops_core::num::StatsError>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScoreOptions {
    /// From here on it passes, in [0, 100].
    pub pass: f64,
    /// From here on it is marginal, in [0, `pass`]; below it fails.
    pub marginal: f64,
    /// The weights of groups in per cent, together at most 100; what they leave is shared evenly by the other groups.
    #[serde(default)]
    pub weights: BTreeMap<String, f64>,
}

impl ScoreOptions {
    /// No weights: all groups count the same.
    pub fn new(pass: f64, marginal: f64) -> Self {
        Self { pass, marginal, weights: BTreeMap::new() }
    }

    /// Sets the weight of a group.
    #[must_use]
    pub fn with_weight(mut self, group: impl Into<String>, weight: f64) -> Self {
        self.weights.insert(group.into(), weight);
        self
    }

    /// Checks the options.
    ///
    /// # Errors
    /// [`StatsError::Parameter`] names the option.
    pub fn check(&self) -> Result<(), StatsError> {
        let bad = |parameter, value, reason| Err(StatsError::Parameter { parameter, value, reason });
        if !(0.0..=100.0).contains(&self.pass) {
            return bad("pass", self.pass, "must lie in [0, 100]");
        }
        if !(0.0..=self.pass).contains(&self.marginal) {
            return bad("marginal", self.marginal, "must lie between 0 and `pass`");
        }
        let outside = |weight: &&f64| !(0.0..=100.0).contains(*weight);
        if let Some(weight) = self.weights.values().find(outside) {
            return bad("weights", *weight, "must lie in [0, 100]");
        }
        let total: f64 = self.weights.values().sum();
        if total > 100.0 { bad("weights", total, "must be at most 100 together") } else { Ok(()) }
    }
}

/// A score and what it is made of.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// The weighted sum over the groups, in [0, 100]; 0 where a critical metric failed.
    pub total: f64,
    /// The score of each group, in [0, 100]; `None` without data.
    pub groups: BTreeMap<String, Option<f64>>,
    /// Pass; marginal is inconclusive; or fail.
    pub finding: Finding,
}

/// Scores metrics: of each group 100·passed / (passed + high + low + failed for want of data), over the groups the weighted sum.
/// A group without data adds nothing, and keeps its weight. A critical metric that does not pass makes the total 0; when half of the
/// metrics or more have no data it fails; no metrics at all are no data. O(k·log k).
///
/// # Errors
/// Those of [`ScoreOptions::check`].
pub fn score(metrics: &[ClassifiedMetric], options: &ScoreOptions) -> Result<Score, StatsError> {
    options.check()?;
    let mut counts = BTreeMap::<&str, (u32, u32)>::new();
    for metric in metrics {
        let (passed, judged) = counts.entry(&metric.group).or_default();
        *passed += u32::from(metric.classification == Classification::Pass);
        *judged += u32::from(metric.classification != Classification::Nodata);
    }
    let of_group = |(passed, judged): &(u32, u32)| {
        (*judged > 0).then(|| 100.0 * f64::from(*passed) / f64::from(*judged))
    };
    let groups: BTreeMap<String, Option<f64>> =
        counts.iter().map(|(group, counts)| ((*group).to_owned(), of_group(counts))).collect();
    let unweighted = groups.keys().filter(|group| !options.weights.contains_key(*group)).count();
    let left = (100.0 - options.weights.values().sum::<f64>()) / unweighted.max(1) as f64;
    let weight = |group: &String| options.weights.get(group).copied().unwrap_or(left);
    let sum: f64 = groups.iter().map(|(group, score)| score.unwrap_or(0.0) * weight(group) / 100.0).sum();
    let failed = |m: &&ClassifiedMetric| m.critical && m.classification != Classification::Pass;
    let critical = metrics.iter().find(failed);
    let total = if critical.is_some() { 0.0 } else { sum };
    let missing = metrics.iter().filter(|m| m.classification == Classification::Nodata).count();
    let (rule, verdict, reason) = if metrics.is_empty() {
        ("score.no_data", GuardVerdict::NoData, "no metric was judged".to_owned())
    } else if let Some(metric) = critical {
        ("score.critical", GuardVerdict::Fail, format!("the critical metric {} did not pass", metric.name))
    } else if 2 * missing >= metrics.len() {
        let reason = format!("{missing} of {} metrics have no data", metrics.len());
        ("score.nodata", GuardVerdict::Fail, reason)
    } else if total >= options.pass {
        ("score.pass", GuardVerdict::Pass, format!("{total:.2} of 100, {} pass", options.pass))
    } else if total >= options.marginal {
        ("score.marginal", GuardVerdict::Inconclusive, format!("{total:.2} of 100, {} pass", options.pass))
    } else {
        ("score.fail", GuardVerdict::Fail, format!("{total:.2} of 100, {} are marginal", options.marginal))
    };
    let finding = Finding::new(rule, verdict, reason).with("score", total);
    let finding = finding.with("metrics", metrics.len() as f64).with("without_data", missing as f64);
    Ok(Score { total, groups, finding })
}
