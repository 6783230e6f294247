//! The monitor in memory.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;

use crate::error::{Error, Result};
use crate::evaluation::Evaluator;
use crate::id::{EndpointName, MonitorName};
use crate::monitor::compute::{self, Batch, Judges, Slice};
use crate::monitor::{
    DriftDetector, GroundTruth, LabelReceipt, Monitor, MonitorCapabilities, MonitorReport, MonitorSpec,
    Observations, ObserveReceipt, Window,
};
use crate::page::pager::Pager;
use crate::page::{Page, PageRequest};
use crate::problem::Task;
use crate::time::{Clock, lock};

/// Observations and labels in memory, checked by the detectors and the evaluator handed in.
///
/// # How signals are computed
/// * A [data drift](crate::monitor::SignalKind::DataDrift) signal asks the detector registered under its name about the features
///   of all rows in the window, over all deployments of the endpoint. A feature that is not in every batch of the window, or
///   not in one type, is left out; the detector reports it as failed, the signal says why.
/// * A [prediction drift](crate::monitor::SignalKind::PredictionDrift) signal asks it about a table of one column of 64-bit
///   floats, called [`MemoryMonitor::PREDICTION`].
/// * A [performance](crate::monitor::SignalKind::Performance) signal hands the labelled rows of the window to the evaluator and
///   holds the rule's metric against its limit, the way the metric's [`Direction`](crate::problem::Direction) says. With fewer
///   labels than the rule needs, a metric that is missing or has no value, it is insufficient.
/// * A [data quality](crate::monitor::SignalKind::DataQuality) signal needs nobody: the rule has everything.
///
/// The reports of evaluators name the model and the data they are about. A monitor knows neither's digest; it puts there
/// digests of what it does know: the endpoint and the names of the deployments that answered, and the ids, predictions and
/// truths that were judged.
///
/// A detector or evaluator that fails, panics or reports NaN makes a signal
/// [`SignalOutcome::Failed`](crate::monitor::SignalOutcome::Failed), never a passed one. Predictions that are NaN, infinite or
/// no probability are refused by `observe`; features are kept as they are.
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
/// let spec = MonitorSpec::new(
///     MonitorName::new("diabetes")?,
///     EndpointName::new("diabetes")?,
///     vec![SignalSpec::new("inputs", SignalKind::DataDrift)],
/// );
/// assert_eq!(monitor.define(&spec).await.unwrap_err().kind(), ErrorKind::Unsupported);
/// # Ok::<(), mlops_core::Error>(()) })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct MemoryMonitor {
    clock: Arc<dyn Clock>,
    judges: Judges,
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

impl MemoryMonitor {
    /// The column in which detectors of prediction drift find the predictions.
    pub const PREDICTION: &str = compute::PREDICTION;

    /// A monitor that cannot compute any signal yet.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, judges: Judges::default(), pager: Pager::new(), state: Mutex::default() }
    }

    /// Computes drift signals called `signal` with this detector, in every monitor that has one.
    #[must_use]
    pub fn with_detector(mut self, signal: impl Into<String>, detector: Arc<dyn DriftDetector>) -> Self {
        self.judges.detectors.insert(signal.into(), detector);
        self
    }

    /// Computes performance signals with this evaluator, for this task. Of a binary task, labels are 1 or 0.
    #[must_use]
    pub fn with_evaluator(mut self, evaluator: Arc<dyn Evaluator>, task: Task) -> Self {
        self.judges.evaluator = Some((evaluator, task));
        self
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
            compute::join(&mut receipt, row, label, self.ids.contains(&label.id), known)?;
            new.insert(&label.id, label.value);
        }
        self.labels.extend(new.into_iter().map(|(id, value)| (id.to_owned(), value)));
        Ok(receipt)
    }
}

impl fmt::Debug for MemoryMonitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let monitors = lock(&self.state).monitors.len();
        f.debug_struct("MemoryMonitor")
            .field("monitors", &monitors)
            .field("detectors", &self.judges)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Monitor for MemoryMonitor {
    fn capabilities(&self) -> MonitorCapabilities {
        MonitorCapabilities::FULL
    }

    async fn define(&self, spec: &MonitorSpec) -> Result<()> {
        self.judges.check_spec(spec)?;
        lock(&self.state).monitors.insert(spec.name.clone(), spec.clone());
        Ok(())
    }

    async fn observe(&self, observations: &Observations<'_>) -> Result<ObserveReceipt> {
        compute::check_observations(observations)?;
        let Observations { ids, features, predictions, .. } = observations;
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
            predictions: compute::pick(predictions, &rows)?,
        };
        observed.ids.extend(batch.ids.iter().cloned());
        observed.batches.push(Arc::new(batch));
        Ok(receipt)
    }

    async fn label(&self, endpoint: &EndpointName, labels: &[GroundTruth]) -> Result<LabelReceipt> {
        self.judges.check_labels(labels)?;
        lock(&self.state).endpoints.entry(endpoint.clone()).or_default().join(labels)
    }

    async fn check(&self, monitor: &MonitorName, window: &Window) -> Result<MonitorReport> {
        Window::new(window.start, window.end)?;
        let (spec, slice) = self.slice(monitor, window)?;
        let report = self.judges.report(&spec, window, &slice);
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
    use crate::data::{Column, Table};
    use crate::error::ErrorKind;
    use crate::evaluation::{EvaluationInput, EvaluationReport, Verdict};
    use crate::id::{DeploymentName, MetricKey};
    use crate::model::Predictions;
    use crate::monitor::{
        DriftReport, DriftVerdict, FeatureOutcome, PerformanceRule, Severity, SignalKind, SignalOutcome,
        SignalSpec,
    };
    use crate::problem::Direction;
    use crate::time::{ManualClock, Timestamp};

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
            .with_data_quality()
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

    /// Says what it measures: the metrics of the other, and one that only describes.
    #[derive(Debug)]
    struct Named;

    impl Evaluator for Named {
        fn evaluate(&self, input: &EvaluationInput<'_>) -> Result<EvaluationReport> {
            Accuracy.evaluate(input)
        }

        fn metrics(&self, task: Task) -> Option<BTreeMap<MetricKey, Direction>> {
            let mut named = Accuracy.metrics(task)?;
            named.insert(MetricKey::new("prevalence").ok()?, Direction::Neither);
            Some(named)
        }
    }

    #[tokio::test]
    async fn a_misspelt_metric_is_refused_with_what_is_near() {
        let clock = Arc::new(ManualClock::at(chrono::DateTime::UNIX_EPOCH));
        let monitor = MemoryMonitor::new(clock).with_evaluator(Arc::new(Named), Task::BinaryClassification);
        let endpoint = EndpointName::new("diabetes").unwrap();
        let spec = |metric: &str| {
            let metric = MetricKey::new(metric).unwrap();
            let rule = PerformanceRule { metric, limit: 0.8, min_labelled: 1 };
            let signals = vec![SignalSpec::new("quality", SignalKind::Performance(rule))];
            MonitorSpec { name: name(), endpoint: endpoint.clone(), signals }
        };
        for (metric, message) in [
            ("acuracy", "the evaluator has no metric `acuracy`; did you mean `accuracy`?"),
            ("roc_auc", "the evaluator has no metric `roc_auc`"),
            ("prevalence", "`prevalence` describes: neither end of it is good or bad"),
        ] {
            let error = monitor.define(&spec(metric)).await.unwrap_err();
            assert_eq!((error.kind(), error.message()), (ErrorKind::InvalidInput, message));
            assert!(error.context("signal").is_some_and(|signal| signal == "quality"), "{error}");
        }
        assert_eq!(monitor.check(&name(), &window()).await.unwrap_err().kind(), ErrorKind::NotFound);
        monitor.define(&spec("recall")).await.unwrap();
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
