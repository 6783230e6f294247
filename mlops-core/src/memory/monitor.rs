//! The monitor in memory.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use serde::Serialize;

use crate::data::{Column, Table};
use crate::error::{Error, ErrorKind, Result};
use crate::evaluation::{EvaluationInput, EvaluationReport, Evaluator, Verdict};
use crate::hash::{Digest, Hasher, canonical_json};
use crate::id::{DeploymentName, EndpointName, MonitorName};
use crate::model::Predictions;
use crate::monitor::{
    DriftDetector, DriftReport, DriftVerdict, GroundTruth, LabelReceipt, Monitor, MonitorCapabilities,
    MonitorReport, MonitorSpec, Observations, ObserveReceipt, PerformanceRule, SignalKind, SignalOutcome,
    SignalReport, SignalSpec, Window,
};
use crate::num::Measured;
use crate::page::pager::Pager;
use crate::page::{Page, PageRequest};
use crate::problem::{Direction, Task};
use crate::time::{Clock, Timestamp, lock};

/// Observations and labels in memory, checked by the detectors and the evaluator handed in.
///
/// # How signals are computed
/// * A [`SignalKind::DataDrift`] asks the detector registered under the signal's name about the features of all rows in the
///   window, over all deployments of the endpoint. A feature that is not in every batch of the window, or not in one type, is
///   left out; the detector reports it as failed, the signal says why.
/// * A [`SignalKind::PredictionDrift`] asks it about a table of one column of 64-bit floats, called
///   [`MemoryMonitor::PREDICTION`].
/// * A [`SignalKind::Performance`] hands the labelled rows of the window to the evaluator and holds the rule's metric against
///   its limit, the way the metric's [`Direction`] says. With fewer labels than the rule needs, a metric that is missing or
///   has no value, it is insufficient.
///
/// The reports of evaluators name the model and the data they are about. A monitor knows neither's digest; it puts there
/// digests of what it does know: the endpoint and the names of the deployments that answered, and the ids, predictions and
/// truths that were judged.
///
/// A detector or evaluator that fails, panics or reports NaN makes a signal [`SignalOutcome::Failed`], never a passed one.
/// Predictions that are NaN, infinite or no probability are refused by `observe`; features are kept as they are.
///
/// ```
/// # use std::sync::Arc;
/// use mlops_core::memory::MemoryMonitor;
/// use mlops_core::monitor::{Monitor, MonitorSpec, SignalKind, SignalSpec};
/// use mlops_core::time::SystemClock;
/// use mlops_core::{EndpointName, ErrorKind, MonitorName};
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let monitor = MemoryMonitor::new(Arc::new(SystemClock::new()));
/// // It can compute what it was given detectors for: here nothing, and it says so at once.
/// let spec = MonitorSpec {
///     name: MonitorName::new("diabetes")?,
///     endpoint: EndpointName::new("diabetes")?,
///     signals: vec![SignalSpec::new("inputs", SignalKind::DataDrift)],
/// };
/// assert_eq!(monitor.define(&spec).await.unwrap_err().kind(), ErrorKind::Unsupported);
/// # Ok::<(), mlops_core::Error>(()) })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct MemoryMonitor {
    clock: Arc<dyn Clock>,
    detectors: BTreeMap<String, Arc<dyn DriftDetector>>,
    evaluator: Option<(Arc<dyn Evaluator>, Task)>,
    pager: Pager,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    monitors: BTreeMap<MonitorName, MonitorSpec>,
    endpoints: HashMap<EndpointName, Observed>,
    /// Oldest first; the place in the list is the report's number.
    reports: HashMap<MonitorName, Vec<Arc<MonitorReport>>>,
}

/// What is known about one endpoint.
#[derive(Default)]
struct Observed {
    batches: Vec<Arc<Batch>>,
    ids: HashSet<String>,
    /// Also those whose observation has not come yet: they are joined when somebody looks.
    labels: HashMap<String, f64>,
}

/// The new rows of one call of `observe`.
struct Batch {
    at: Timestamp,
    deployment: DeploymentName,
    ids: Vec<String>,
    features: Table<'static>,
    predictions: Predictions,
}

/// The rows and labels of one window.
struct Slice {
    endpoint: EndpointName,
    batches: Vec<Arc<Batch>>,
    /// The truth of each row, in order, where it is known.
    truths: Vec<Option<f64>>,
    at: Timestamp,
}

impl MemoryMonitor {
    /// The column in which detectors of prediction drift find the predictions.
    pub const PREDICTION: &str = "prediction";

    /// A monitor that cannot compute any signal yet.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            detectors: BTreeMap::new(),
            evaluator: None,
            pager: Pager::new(),
            state: Mutex::default(),
        }
    }

    /// Computes drift signals called `signal` with this detector, in every monitor that has one.
    #[must_use]
    pub fn with_detector(mut self, signal: impl Into<String>, detector: Arc<dyn DriftDetector>) -> Self {
        self.detectors.insert(signal.into(), detector);
        self
    }

    /// Computes performance signals with this evaluator, for this task. Of a binary task, labels are 1 or 0.
    #[must_use]
    pub fn with_evaluator(mut self, evaluator: Arc<dyn Evaluator>, task: Task) -> Self {
        self.evaluator = Some((evaluator, task));
        self
    }

    /// Refuses signals that could never be computed.
    fn check_signal(&self, signal: &SignalSpec) -> Result<()> {
        let missing = match &signal.kind {
            SignalKind::DataDrift if !self.detectors.contains_key(&signal.name) => "drift detector",
            SignalKind::PredictionDrift if !self.detectors.contains_key(&signal.name) => "drift detector",
            SignalKind::Performance(_) if self.evaluator.is_none() => "evaluator",
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

    /// What is known now about the rows of a window.
    fn slice(&self, monitor: &MonitorName, window: &Window) -> Result<(MonitorSpec, Slice)> {
        let state = lock(&self.state);
        let spec = state.monitors.get(monitor);
        let spec = spec.ok_or_else(|| Error::not_found("Monitor::check", "monitor", monitor))?.clone();
        let (mut batches, mut truths) = (Vec::new(), Vec::new());
        if let Some(observed) = state.endpoints.get(&spec.endpoint) {
            batches.extend(observed.batches.iter().filter(|b| window.contains(b.at)).cloned());
            let ids = batches.iter().flat_map(|b| &b.ids);
            truths.extend(ids.map(|id| observed.labels.get(id).copied()));
        }
        let slice = Slice { endpoint: spec.endpoint.clone(), batches, truths, at: self.clock.now() };
        Ok((spec, slice))
    }

    fn signal(&self, spec: &SignalSpec, slice: &Slice) -> SignalReport {
        // Detectors and evaluators are not ours: a panic in one must not cost the other signals.
        let run = AssertUnwindSafe(|| match &spec.kind {
            SignalKind::DataDrift => self.data_drift(spec, slice),
            SignalKind::PredictionDrift => self.prediction_drift(spec, slice),
            SignalKind::Performance(rule) => self.performance(rule, slice),
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
        let current = Table::new(vec![Column::f64(Self::PREDICTION, predictions)?])?;
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
                Err(_) => left_out.push(crate::error::quote(name)),
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

impl Observed {
    /// The places of the rows that are new, the first of each id.
    fn new_rows(&self, ids: &[String]) -> Vec<usize> {
        let mut seen = HashSet::new();
        (0..ids.len()).filter(|&row| !self.ids.contains(&ids[row]) && seen.insert(&ids[row])).collect()
    }

    /// Joins labels, all or none.
    fn join(&mut self, labels: &[GroundTruth]) -> Result<LabelReceipt> {
        let mut receipt = LabelReceipt::default();
        let mut new: HashMap<&str, f64> = HashMap::new();
        for (row, label) in labels.iter().enumerate() {
            let known = new.get(label.id.as_str()).or_else(|| self.labels.get(&label.id)).copied();
            if let Some(known) = known.filter(|known| *known != label.value) {
                let message = "a label contradicts an earlier one";
                let error = Error::conflict("Monitor::label", message, known, label.value);
                return Err(error.with("id", &label.id).with("row", row));
            }
            match (self.ids.contains(&label.id), known) {
                (false, _) => receipt.waiting += 1,
                (true, Some(_)) => receipt.duplicates += 1,
                (true, None) => receipt.joined += 1,
            }
            new.insert(&label.id, label.value);
        }
        self.labels.extend(new.into_iter().map(|(id, value)| (id.to_owned(), value)));
        Ok(receipt)
    }
}

/// Copies the rows at `rows`, checked to be predictions.
fn pick(predictions: &Predictions, rows: &[usize]) -> Result<Predictions> {
    let picked = |values: &[f64]| rows.iter().map(|&row| values[row]).collect::<Vec<_>>();
    match predictions {
        Predictions::Probability(values) => Predictions::probability(picked(values)),
        Predictions::Value(values) => Predictions::value(picked(values)),
    }
}

impl fmt::Debug for MemoryMonitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let monitors = lock(&self.state).monitors.len();
        f.debug_struct("MemoryMonitor")
            .field("monitors", &monitors)
            .field("detectors", &self.detectors.keys())
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Monitor for MemoryMonitor {
    fn capabilities(&self) -> MonitorCapabilities {
        MonitorCapabilities::FULL
    }

    async fn define(&self, spec: &MonitorSpec) -> Result<()> {
        spec.check()?;
        spec.signals.iter().try_for_each(|signal| self.check_signal(signal))?;
        lock(&self.state).monitors.insert(spec.name.clone(), spec.clone());
        Ok(())
    }

    async fn observe(&self, observations: &Observations<'_>) -> Result<ObserveReceipt> {
        observations.check()?;
        let Observations { ids, features, predictions, .. } = observations;
        // All of them, also those of rows that turn out to be there already: the call is right as a whole or not at all.
        pick(predictions, &(0..ids.len()).collect::<Vec<_>>())
            .map_err(|e| Error::invalid("Monitor::observe", "predictions", e.message()).with_source(e))?;
        let mut state = lock(&self.state);
        let observed = state.endpoints.entry(observations.endpoint.clone()).or_default();
        let rows = observed.new_rows(ids);
        let receipt = ObserveReceipt::new(rows.len() as u64, (ids.len() - rows.len()) as u64);
        if rows.is_empty() {
            return Ok(receipt);
        }
        let batch = Batch {
            at: observations.at,
            deployment: observations.deployment.clone(),
            ids: rows.iter().map(|&row| ids[row].clone()).collect(),
            features: features.take(&rows)?,
            predictions: pick(predictions, &rows)?,
        };
        observed.ids.extend(batch.ids.iter().cloned());
        observed.batches.push(Arc::new(batch));
        Ok(receipt)
    }

    async fn label(&self, endpoint: &EndpointName, labels: &[GroundTruth]) -> Result<LabelReceipt> {
        labels.iter().enumerate().try_for_each(|(row, label)| self.check_label(row, label))?;
        lock(&self.state).endpoints.entry(endpoint.clone()).or_default().join(labels)
    }

    async fn check(&self, monitor: &MonitorName, window: &Window) -> Result<MonitorReport> {
        Window::new(window.start, window.end)?;
        let (spec, slice) = self.slice(monitor, window)?;
        let signals = spec.signals.iter().map(|signal| self.signal(signal, &slice)).collect();
        let rows = slice.truths.len() as u64;
        let report = MonitorReport::new(monitor.clone(), *window, slice.at, rows, signals);
        let kept = Arc::new(report.clone());
        lock(&self.state).reports.entry(monitor.clone()).or_default().push(kept);
        Ok(report)
    }

    async fn reports(&self, monitor: &MonitorName, page: &PageRequest) -> Result<Page<MonitorReport>> {
        const OP: &str = "Monitor::reports";
        let state = lock(&self.state);
        if !state.monitors.contains_key(monitor) {
            return Err(Error::not_found(OP, "monitor", monitor));
        }
        let reports = state.reports.get(monitor).map_or(&[][..], Vec::as_slice);
        self.pager.page(OP, monitor, page, |after: Option<usize>| {
            let older = &reports[..after.map_or(reports.len(), |after| after.min(reports.len()))];
            Ok(older.iter().enumerate().rev().map(|(number, report)| (number, (**report).clone())))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::drift::tests::{Shares, people};
    use crate::conformance::evaluator::tests::Accuracy;
    use crate::conformance::monitor::MonitorUnderTest;
    use crate::id::MetricKey;
    use crate::monitor::{FeatureOutcome, Severity};
    use crate::time::ManualClock;

    /// Fails in the way its name says.
    #[derive(Debug)]
    struct Broken(&'static str);

    impl DriftDetector for Broken {
        fn name(&self) -> &str {
            self.0
        }

        fn features(&self) -> Vec<String> {
            vec!["age".to_owned()]
        }

        fn detect(&self, current: &Table<'_>, at: Timestamp) -> Result<DriftReport> {
            match self.0 {
                "panics" => panic!("this detector panics"),
                "fails" => Err(Error::new(ErrorKind::Storage, "detect", "the reference is gone")),
                _ => {
                    let feature = crate::monitor::FeatureDrift {
                        feature: "age".to_owned(),
                        outcome: FeatureOutcome::Measured(crate::monitor::FeatureScore::new(
                            "nan/v1",
                            f64::NAN,
                            0.1,
                            DriftVerdict::NoDrift,
                        )),
                    };
                    let rows = (1, current.rows() as u64);
                    Ok(DriftReport::new(
                        self.0,
                        at,
                        rows,
                        vec![feature],
                        DriftVerdict::NoDrift,
                        "all is well",
                    ))
                }
            }
        }
    }

    fn said() -> Table<'static> {
        let said = MonitorUnderTest::usual_predictions(MonitorUnderTest::ROWS);
        Table::new(vec![Column::f64(MemoryMonitor::PREDICTION, said.as_slice().to_vec()).unwrap()]).unwrap()
    }

    fn monitor() -> MemoryMonitor {
        MemoryMonitor::new(Arc::new(ManualClock::at(chrono::DateTime::UNIX_EPOCH)))
            .with_detector("inputs", Arc::new(Shares::new(people(40.0, "Bonn"))))
            .with_detector("predictions", Arc::new(Shares::new(said())))
            .with_detector("fails", Arc::new(Broken("fails")))
            .with_detector("panics", Arc::new(Broken("panics")))
            .with_detector("nan", Arc::new(Broken("nan")))
            .with_evaluator(Arc::new(Accuracy), Task::BinaryClassification)
    }

    fn fresh(failing: &str, wrap: impl FnOnce(MemoryMonitor) -> Arc<dyn Monitor>) -> MonitorUnderTest {
        MonitorUnderTest::new(wrap(monitor()), people(40.0, "Bonn"), people(70.0, "Bonn"))
            .with_data_drift("inputs")
            .with_prediction_drift("predictions")
            .with_accuracy(MetricKey::new("accuracy").unwrap())
            .with_failing(SignalSpec::new(failing, SignalKind::DataDrift))
            .with_unsupported(SignalSpec::new("nobody's", SignalKind::DataDrift))
            .with_unsupported(SignalSpec::new("nobody's", SignalKind::PredictionDrift))
    }

    crate::monitor_suite!(plain, fresh("fails", |m| Arc::new(m)));
    crate::monitor_suite!(in_an_arc, fresh("panics", |m| Arc::new(Arc::new(m) as Arc<dyn Monitor>)));
    crate::monitor_suite!(in_a_box, fresh("nan", |m| Arc::new(Box::new(m) as Box<dyn Monitor>)));

    fn name() -> MonitorName {
        MonitorName::new("watch").unwrap()
    }

    fn window() -> Window {
        let start = chrono::DateTime::UNIX_EPOCH;
        Window::new(start, start + chrono::TimeDelta::days(1)).unwrap()
    }

    async fn define(monitor: &MemoryMonitor, signals: Vec<SignalSpec>) {
        let endpoint = EndpointName::new("diabetes").unwrap();
        monitor.define(&MonitorSpec { name: name(), endpoint, signals }).await.unwrap();
    }

    async fn see(
        monitor: &MemoryMonitor,
        prefix: &str,
        features: &Table<'_>,
        said: &Predictions,
    ) -> Result<ObserveReceipt> {
        let ids: Vec<String> = (0..said.len()).map(|i| format!("{prefix}-{i}")).collect();
        let (endpoint, deployment) = ("diabetes", "blue");
        monitor
            .observe(&Observations {
                endpoint: EndpointName::new(endpoint).unwrap(),
                deployment: DeploymentName::new(deployment).unwrap(),
                at: chrono::DateTime::UNIX_EPOCH,
                ids: &ids,
                features,
                predictions: said,
            })
            .await
    }

    #[tokio::test]
    async fn a_feature_that_changes_its_type_between_batches_costs_nobody_else_a_measurement() {
        let monitor = monitor();
        define(&monitor, vec![SignalSpec::new("inputs", SignalKind::DataDrift)]).await;
        let usual = people(40.0, "Bonn");
        let text = Column::text("city", vec!["Bonn"; 400]).unwrap();
        let odd = Table::new(vec![Column::text("age", vec!["old"; 400]).unwrap(), text]).unwrap();
        let said = MonitorUnderTest::usual_predictions(400);
        see(&monitor, "a", &usual, &said).await.unwrap();
        see(&monitor, "b", &odd, &said).await.unwrap();
        let report = monitor.check(&name(), &window()).await.unwrap();
        let SignalOutcome::Drift(drift) = &report.signals[0].outcome else { panic!("{report:?}") };
        assert!(matches!(drift.features[0].outcome, FeatureOutcome::Failed(_)), "{drift:?}");
        assert!(matches!(drift.features[1].outcome, FeatureOutcome::Measured(_)), "{drift:?}");
        assert!(report.signals[0].reason.contains("age"), "{}", report.signals[0].reason);
        assert_ne!(report.signals[0].verdict, Verdict::Pass);
    }

    #[tokio::test]
    async fn predictions_that_are_none_are_refused() {
        let monitor = monitor();
        define(&monitor, vec![SignalSpec::new("inputs", SignalKind::DataDrift)]).await;
        let rows = people(40.0, "Bonn").take(&[0]).unwrap();
        for said in [Predictions::Probability(vec![1.5]), Predictions::Value(vec![f64::NAN])] {
            let error = see(&monitor, "a", &rows, &said).await.unwrap_err();
            assert_eq!(
                (error.kind(), error.context("field")),
                (ErrorKind::InvalidInput, Some("predictions"))
            );
        }
        assert_eq!(monitor.check(&name(), &window()).await.unwrap().rows, 0);
    }

    #[tokio::test]
    async fn labels_of_a_binary_task_are_one_or_zero() {
        let monitor = monitor();
        let label = GroundTruth { id: "a".to_owned(), value: 0.5 };
        let error = monitor.label(&EndpointName::new("diabetes").unwrap(), &[label]).await.unwrap_err();
        assert_eq!((error.kind(), error.context("row")), (ErrorKind::InvalidInput, Some("0")));
    }

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

    #[tokio::test]
    async fn a_window_of_two_kinds_of_predictions_is_not_judged() {
        let monitor = monitor();
        let metric = MetricKey::new("accuracy").unwrap();
        let rule = PerformanceRule { metric, limit: 0.5, min_labelled: 1 };
        let critical = Severity::Critical;
        let spec =
            SignalSpec { severity: critical, ..SignalSpec::new("labels", SignalKind::Performance(rule)) };
        define(&monitor, vec![spec]).await;
        let rows = people(40.0, "Bonn").take(&[0]).unwrap();
        see(&monitor, "a", &rows, &Predictions::Probability(vec![0.9])).await.unwrap();
        see(&monitor, "b", &rows, &Predictions::Value(vec![0.9])).await.unwrap();
        let labels = ["a-0", "b-0"].map(|id| GroundTruth { id: id.to_owned(), value: 1.0 });
        monitor.label(&EndpointName::new("diabetes").unwrap(), &labels).await.unwrap();
        let report = monitor.check(&name(), &window()).await.unwrap();
        assert_eq!(
            (report.signals[0].verdict, report.signals[0].severity),
            (Verdict::Insufficient, critical)
        );
        assert!(matches!(report.signals[0].outcome, SignalOutcome::Failed(_)), "{report:?}");
    }
}
