//! What every monitor computes in its own process: the signals of a window, from rows and the labels known of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use serde::Serialize;

use super::{
    DriftDetector, DriftReport, DriftVerdict, GroundTruth, LabelReceipt, MonitorReport, MonitorSpec,
    Observations, PerformanceRule, QualityRule, QualityState, SignalKind, SignalOutcome, SignalReport,
    SignalSpec, Window,
};
use crate::config::hint;
use crate::data::{Column, Table};
use crate::error::{Error, ErrorKind, Result, quote};
use crate::evaluation::{EvaluationInput, EvaluationReport, Evaluator, Verdict};
use crate::hash::{Digest, Hasher, canonical_json};
use crate::id::{DeploymentName, EndpointName, MetricKey};
use crate::model::Predictions;
use crate::num::Measured;
use crate::problem::{Direction, Task};
use crate::time::Timestamp;

/// The column in which detectors of prediction drift find the predictions.
pub(crate) const PREDICTION: &str = "prediction";

/// The detectors, by the name of their signal, and the evaluator that a monitor asks.
#[derive(Clone, Default)]
pub(crate) struct Judges {
    pub(crate) detectors: BTreeMap<String, Arc<dyn DriftDetector>>,
    pub(crate) evaluator: Option<(Arc<dyn Evaluator>, Task)>,
}

/// The new rows of one call of `observe`.
pub(crate) struct Batch {
    pub(crate) at: Timestamp,
    pub(crate) deployment: DeploymentName,
    pub(crate) ids: Vec<String>,
    pub(crate) features: Table<'static>,
    pub(crate) predictions: Predictions,
}

/// The rows and labels of one window.
pub(crate) struct Slice {
    pub(crate) endpoint: EndpointName,
    pub(crate) batches: Vec<Arc<Batch>>,
    /// The truth of each row, in order, where it is known.
    pub(crate) truths: Vec<Option<f64>>,
    pub(crate) at: Timestamp,
}

impl fmt::Debug for Judges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.detectors.keys()).finish()
    }
}

impl Judges {
    /// Checks a definition, and that every signal of it can be computed.
    pub(crate) fn check_spec(&self, spec: &MonitorSpec) -> Result<()> {
        spec.check()?;
        spec.signals.iter().try_for_each(|signal| self.check_signal(signal))
    }

    /// Looks at one window.
    pub(crate) fn report(&self, spec: &MonitorSpec, window: &Window, slice: &Slice) -> MonitorReport {
        let signals = spec.signals.iter().map(|signal| self.signal(signal, slice)).collect();
        MonitorReport::new(spec.name.clone(), *window, slice.at, slice.truths.len() as u64, signals)
    }

    /// Refuses labels that are no truths.
    pub(crate) fn check_labels(&self, labels: &[GroundTruth]) -> Result<()> {
        labels.iter().enumerate().try_for_each(|(row, label)| self.check_label(row, label))
    }

    /// Refuses signals that could never be computed.
    fn check_signal(&self, signal: &SignalSpec) -> Result<()> {
        let missing = match &signal.kind {
            SignalKind::DataDrift if !self.detectors.contains_key(&signal.name) => "drift detector",
            SignalKind::PredictionDrift if !self.detectors.contains_key(&signal.name) => "drift detector",
            SignalKind::Performance(rule) => match &self.evaluator {
                Some((evaluator, task)) => {
                    return check_metric(&rule.metric, evaluator.metrics(*task).as_ref())
                        .map_err(|error| error.with("signal", &signal.name));
                }
                None => "evaluator",
            },
            _ => return Ok(()),
        };
        Err(Error::unsupported("Monitor::define", missing).with("signal", &signal.name))
    }

    fn check_label(&self, row: usize, label: &GroundTruth) -> Result<()> {
        const OP: &str = "Monitor::label";
        let bad =
            |what: String| Err(Error::invalid(OP, "labels", what).with("row", row).with("id", &label.id));
        if label.id.is_empty() || label.id.len() > 512 {
            return bad("an id has 1 to 512 bytes".to_owned());
        }
        if !label.value.is_finite() {
            return bad(format!("the truth is finite, got {}", label.value));
        }
        let binary = matches!(self.evaluator, Some((_, Task::BinaryClassification)));
        if binary && label.value != 0.0 && label.value != 1.0 {
            return bad(format!("the truth of a binary task is 1 or 0, got {}", label.value));
        }
        Ok(())
    }

    fn signal(&self, spec: &SignalSpec, slice: &Slice) -> SignalReport {
        // Detectors and evaluators are not ours: a panic in one must not cost the other signals.
        let run = AssertUnwindSafe(|| match &spec.kind {
            SignalKind::DataDrift => self.data_drift(spec, slice),
            SignalKind::PredictionDrift => self.prediction_drift(spec, slice),
            SignalKind::Performance(rule) => self.performance(rule, slice),
            SignalKind::DataQuality(rule) => quality(rule, slice),
        });
        let panicked = |_| Err(Error::new(ErrorKind::Internal, "Monitor::check", "the computation panicked"));
        match catch_unwind(run).unwrap_or_else(panicked) {
            Ok((verdict, reason, outcome)) => {
                let (verdict, reason) = match slice.truths.len() {
                    0 => (Verdict::Insufficient, "the window has no rows".to_owned()),
                    _ => (verdict, reason),
                };
                SignalReport::new(spec, verdict, reason, outcome)
            }
            Err(error) => {
                let reason = error.to_string();
                SignalReport::new(spec, Verdict::Insufficient, reason.clone(), SignalOutcome::Failed(reason))
            }
        }
    }

    fn detector(&self, spec: &SignalSpec) -> Result<&Arc<dyn DriftDetector>> {
        let detector = self.detectors.get(&spec.name);
        detector.ok_or_else(|| Error::unsupported("Monitor::check", "drift detector"))
    }

    fn data_drift(&self, spec: &SignalSpec, slice: &Slice) -> Result<Found> {
        let detector = self.detector(spec)?;
        let (current, left_out) = slice.features(&detector.features())?;
        let (verdict, mut reason, outcome) = drift(detector.detect(&current, slice.at)?)?;
        if !left_out.is_empty() {
            reason += &format!("; not in every batch in one type: {}", left_out.join(", "));
        }
        Ok((verdict, reason, outcome))
    }

    fn prediction_drift(&self, spec: &SignalSpec, slice: &Slice) -> Result<Found> {
        let predictions: Vec<f64> =
            slice.batches.iter().flat_map(|b| b.predictions.as_slice()).copied().collect();
        let current = Table::new(vec![Column::f64(PREDICTION, predictions)?])?;
        drift(self.detector(spec)?.detect(&current, slice.at)?)
    }

    fn performance(&self, rule: &PerformanceRule, slice: &Slice) -> Result<Found> {
        let Some((evaluator, task)) = &self.evaluator else {
            return Err(Error::unsupported("Monitor::check", "evaluator"));
        };
        let Some(judged) = slice.labelled()? else {
            let outcome = SignalOutcome::Performance { report: None, labelled: 0 };
            return Ok((Verdict::Insufficient, "no row is labelled yet".to_owned(), outcome));
        };
        let report = judged.evaluate(evaluator, *task, slice.at)?;
        finite(&report)?;
        let labelled = judged.truths.len() as u64;
        let (verdict, reason) = judge(rule, &report, labelled);
        Ok((verdict, reason, SignalOutcome::Performance { report: Some(report), labelled }))
    }
}

/// Refuses a metric that is not among those an evaluator says it measures, and one that has no good end.
fn check_metric(metric: &MetricKey, known: Option<&BTreeMap<MetricKey, Direction>>) -> Result<()> {
    let Some(known) = known else { return Ok(()) };
    let message = match known.get(metric) {
        None => {
            let names: Vec<&str> = known.keys().map(MetricKey::as_str).collect();
            let hint = hint(metric.as_str(), &names);
            format!("the evaluator has no metric `{}`{hint}", quote(metric.as_str()))
        }
        Some(Direction::Neither) => {
            format!("`{}` describes: neither end of it is good or bad", quote(metric.as_str()))
        }
        Some(Direction::HigherIsBetter | Direction::LowerIsBetter) => return Ok(()),
    };
    Err(Error::invalid("Monitor::define", "metric", message))
}

/// What a signal found: verdict, reason, evidence.
type Found = (Verdict, String, SignalOutcome);

/// Rows whose truth is known.
struct Judged {
    predictions: Predictions,
    truths: Vec<f64>,
    model: Digest,
    data: Digest,
}

impl Slice {
    /// These features of all rows, and the names of those that cannot be put into one column.
    fn features(&self, names: &[String]) -> Result<(Table<'static>, Vec<String>)> {
        let (mut columns, mut left_out) = (Vec::new(), Vec::new());
        for name in names {
            let parts: Result<Vec<_>> =
                self.batches.iter().map(|b| b.features.select(std::slice::from_ref(name))).collect();
            match parts.and_then(|parts| Table::concat(&parts)) {
                Ok(column) => columns.extend(column.columns().iter().cloned()),
                Err(_) => left_out.push(quote(name)),
            }
        }
        Ok((Table::new(columns)?, left_out))
    }

    /// The rows whose truth is known; none if there are none.
    fn labelled(&self) -> Result<Option<Judged>> {
        let rows = self.batches.iter().flat_map(|b| (0..b.ids.len()).map(move |row| (b, row)));
        let mut values = Vec::new();
        let (mut kinds, mut deployments) = (BTreeSet::new(), BTreeSet::new());
        let mut data = Hasher::new("mlops.monitored-data/v1");
        let mut truths = Vec::new();
        for ((batch, row), truth) in rows.zip(&self.truths) {
            let Some(truth) = truth else { continue };
            let value = batch.predictions.as_slice()[row];
            data.push(batch.ids[row].as_bytes());
            data.push(&value.to_le_bytes());
            data.push(&truth.to_le_bytes());
            kinds.insert(matches!(batch.predictions, Predictions::Probability(_)));
            deployments.insert(&batch.deployment);
            values.push(value);
            truths.push(*truth);
        }
        let predictions = match (kinds.contains(&true), kinds.contains(&false)) {
            (false, false) => return Ok(None),
            (true, false) => Predictions::probability(values)?,
            (false, true) => Predictions::value(values)?,
            (true, true) => {
                let message = "the window has probabilities and other predictions";
                return Err(Error::invalid("Monitor::check", "predictions", message));
            }
        };
        let model = Hasher::new("mlops.monitored-model/v1").field(self.endpoint.as_str());
        let model = deployments.iter().fold(model, |hash, name| hash.field(name.as_str())).finish();
        Ok(Some(Judged { predictions, truths, model, data: data.finish() }))
    }
}

impl Judged {
    fn evaluate(&self, evaluator: &dyn Evaluator, task: Task, at: Timestamp) -> Result<EvaluationReport> {
        let truth = match task {
            Task::BinaryClassification => {
                Column::bool("truth", self.truths.iter().map(|t| *t == 1.0).collect::<Vec<_>>())?
            }
            Task::Regression => Column::f64("truth", &self.truths[..])?,
            Task::MulticlassClassification => {
                return Err(Error::unsupported("Monitor::check", "a task of several classes"));
            }
        };
        let none = Table::default();
        evaluator.evaluate(&EvaluationInput {
            model: self.model,
            data: self.data,
            task,
            predictions: &self.predictions,
            truth: &truth,
            slices: &none,
            sensitive: &none,
            at,
        })
    }
}

fn quality(rule: &QualityRule, slice: &Slice) -> Result<Found> {
    let mut state = QualityState::default();
    slice.batches.iter().for_each(|batch| state.push(rule, &batch.features));
    let report = rule.judge(&state);
    finite(&report)?;
    Ok((report.verdict(), report.reason(), SignalOutcome::DataQuality(report)))
}

/// Refuses a report that holds a NaN or an infinity: it can neither be judged nor kept.
fn finite(report: &impl Serialize) -> Result<()> {
    canonical_json(report).map(drop).map_err(|e| {
        let message = "the report holds a number that is not finite";
        Error::new(ErrorKind::Internal, "Monitor::check", message).with_source(e)
    })
}

fn drift(report: DriftReport) -> Result<Found> {
    finite(&report)?;
    let verdict = match report.verdict {
        DriftVerdict::Drift => Verdict::Fail,
        DriftVerdict::NoDrift => Verdict::Pass,
        DriftVerdict::Inconclusive => Verdict::Insufficient,
    };
    Ok((verdict, report.reason.clone(), SignalOutcome::Drift(report)))
}

/// Holds a metric against its limit.
fn judge(rule: &PerformanceRule, report: &EvaluationReport, labelled: u64) -> (Verdict, String) {
    let PerformanceRule { metric, limit, min_labelled } = rule;
    if labelled < *min_labelled {
        let reason = format!("{labelled} rows are labelled, {min_labelled} are needed to judge");
        return (Verdict::Insufficient, reason);
    }
    let Some(estimate) = report.metrics.get(metric) else {
        return (Verdict::Insufficient, format!("the evaluation has no metric {metric}"));
    };
    let value = match estimate.value {
        Measured::Value(value) => value,
        Measured::Undefined(why) => return (Verdict::Insufficient, format!("{metric} is {why}")),
    };
    // Written so that no comparison with NaN can come out as good.
    let (good, at) = match estimate.direction {
        Direction::HigherIsBetter => (value >= *limit, "least"),
        Direction::LowerIsBetter => (value <= *limit, "most"),
        Direction::Neither => {
            return (Verdict::Insufficient, format!("{metric} describes: neither end of it is good or bad"));
        }
    };
    let verdict = if good { Verdict::Pass } else { Verdict::Fail };
    (
        verdict,
        format!("{metric} is {value:.4} over {labelled} labelled rows, at {at} {limit:.4} is asked for"),
    )
}

/// Checks observations as a whole, also those rows of them that turn out to be there already: a call is right or it is not.
pub(crate) fn check_observations(observations: &Observations<'_>) -> Result<()> {
    observations.check()?;
    let predictions = observations.predictions;
    pick(predictions, &(0..predictions.len()).collect::<Vec<_>>())
        .map(drop)
        .map_err(|e| Error::invalid("Monitor::observe", "predictions", e.message()).with_source(e))
}

/// Joins one label: `seen` is whether its observation came, `known` the label that the id has already.
pub(crate) fn join(
    receipt: &mut LabelReceipt,
    row: usize,
    label: &GroundTruth,
    seen: bool,
    known: Option<f64>,
) -> Result<()> {
    if let Some(known) = known.filter(|known| *known != label.value) {
        let message = "a label contradicts an earlier one";
        let error = Error::conflict("Monitor::label", message, known, label.value);
        return Err(error.with("id", &label.id).with("row", row));
    }
    match (seen, known) {
        (false, _) => receipt.waiting += 1,
        (true, Some(_)) => receipt.duplicates += 1,
        (true, None) => receipt.joined += 1,
    }
    Ok(())
}

/// Copies the rows at `rows`, checked to be predictions.
pub(crate) fn pick(predictions: &Predictions, rows: &[usize]) -> Result<Predictions> {
    let picked = |values: &[f64]| rows.iter().map(|&row| values[row]).collect::<Vec<_>>();
    match predictions {
        Predictions::Probability(values) => Predictions::probability(picked(values)),
        Predictions::Value(values) => Predictions::value(picked(values)),
        Predictions::Classes(_) => {
            Err(Error::unsupported("Monitor::observe", "predictions of several classes"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::MetricKey;

    #[test]
    fn a_metric_is_held_against_its_limit_the_way_it_points() {
        let metric = MetricKey::new("m").unwrap();
        let rule = |limit| PerformanceRule { metric: metric.clone(), limit, min_labelled: 5 };
        let digest = Digest::of(b"x");
        let report = |value, direction| {
            let now = chrono::DateTime::UNIX_EPOCH;
            let mut report = EvaluationReport::new(digest, digest, Task::Regression, now, 5);
            report.metrics.insert(metric.clone(), crate::evaluation::Estimate::new(value, direction, 5));
            report
        };
        use Direction::{HigherIsBetter, LowerIsBetter, Neither};
        let none = Measured::ratio(0.0, 0.0);
        for (value, direction, limit, expected) in [
            (Measured::Value(0.8), HigherIsBetter, 0.8, Verdict::Pass),
            (Measured::Value(0.79), HigherIsBetter, 0.8, Verdict::Fail),
            (Measured::Value(0.8), LowerIsBetter, 0.8, Verdict::Pass),
            (Measured::Value(0.81), LowerIsBetter, 0.8, Verdict::Fail),
            (Measured::Value(f64::NAN), HigherIsBetter, 0.8, Verdict::Fail),
            (Measured::Value(f64::NAN), LowerIsBetter, 0.8, Verdict::Fail),
            (none, HigherIsBetter, -1.0, Verdict::Insufficient),
            (Measured::Value(0.8), Neither, 0.8, Verdict::Insufficient),
        ] {
            let (verdict, reason) = judge(&rule(limit), &report(value, direction), 5);
            assert_eq!(verdict, expected, "{reason}");
            assert_eq!(judge(&rule(limit), &report(value, direction), 4).0, Verdict::Insufficient);
        }
    }
}
