//! The suite of [`Monitor`].

use std::sync::Arc;
use std::time::Duration;

use super::support::{
    RACERS, TEXTS, at, fault, kind, race, read_all, read_quietly, refuses_bad_pages, skipped,
};
use crate::data::{Column, Profile, Table};
use crate::error::{ErrorKind, Result};
use crate::evaluation::Verdict;
use crate::id::{DeploymentName, EndpointName, MetricKey, MonitorName};
use crate::model::Predictions;
use crate::monitor::{
    GroundTruth, LabelReceipt, Monitor, MonitorCapabilities, MonitorReport, MonitorSpec, Observations,
    ObserveReceipt, PerformanceRule, QualityLimits, QualityRule, SignalKind, SignalOutcome, SignalReport,
    SignalSpec, Window,
};
use crate::time::Timestamp;

/// Makes a test of every case of the [`Monitor`] suite.
///
/// Takes the name of the module to put them in, and an expression that makes a fresh
/// [`MonitorUnderTest`](crate::conformance::monitor::MonitorUnderTest). See [the module](crate::conformance) for a whole
/// example.
///
/// ```
/// use std::sync::Arc;
/// use mlops_core::conformance::monitor::MonitorUnderTest;
/// use mlops_core::data::{Column, Table};
/// use mlops_core::memory::MemoryMonitor;
/// use mlops_core::monitor::DriftDetector;
/// use mlops_core::time::SystemClock;
///
/// fn ages(from: f64) -> Table<'static> {
///     let ages: Vec<f64> = (0..MonitorUnderTest::ROWS).map(|i| from + (i % 20) as f64).collect();
///     Table::new(vec![Column::f64("age", ages).unwrap()]).unwrap()
/// }
/// fn under_test(fitted_on_40: Arc<dyn DriftDetector>) -> MonitorUnderTest {
///     let monitor = MemoryMonitor::new(Arc::new(SystemClock::new())).with_detector("inputs", fitted_on_40);
///     MonitorUnderTest::new(Arc::new(monitor), ages(40.0), ages(70.0)).with_data_drift("inputs")
/// }
/// // mlops_core::monitor_suite!(my_monitor, fresh());
/// ```
#[macro_export]
macro_rules! monitor_suite {
    ($module:ident, $fresh:expr) => {
        $crate::__conformance_suite! { $module, $fresh, monitor, [
            capabilities_are_as_promised,
            define_replaces,
            unknown_signals_are_unsupported,
            bad_definitions_are_refused,
            unknown_monitors_are_not_found,
            observations_are_kept_once,
            an_id_twice_in_one_call_is_one_row,
            bad_observations_change_nothing,
            no_observations_are_no_error,
            concurrent_observations_are_kept_once,
            ids_are_told_apart_exactly,
            endpoints_are_kept_apart,
            labels_join_in_any_order,
            repeated_labels_are_duplicates,
            contradicting_labels_are_a_conflict,
            bad_labels_change_nothing,
            concurrent_labels_are_joined_once,
            check_looks_at_its_window,
            windows_that_do_not_end_are_refused,
            an_empty_window_is_insufficient,
            a_failing_signal_is_reported,
            shifted_inputs_raise_the_alarm,
            shifted_predictions_raise_the_alarm,
            batches_add_up,
            performance_is_judged_once_labels_arrive,
            too_few_labels_are_insufficient,
            a_metric_nobody_computes_passes_nothing,
            data_quality_is_judged_by_feature,
            reports_are_kept,
            paging_is_complete_under_writes,
            bad_pages_are_refused,
        ] }
    };
}

/// A monitor that has seen nothing, and what it can compute.
///
/// The suite sends rows of `usual` and of `shifted`, with [`Self::usual_predictions`] and [`Self::shifted_predictions`]; the
/// task is binary.
#[derive(Debug)]
pub struct MonitorUnderTest {
    monitor: Arc<dyn Monitor>,
    promised: MonitorCapabilities,
    usual: Arc<Table<'static>>,
    shifted: Arc<Table<'static>>,
    inputs: Option<String>,
    predictions: Option<String>,
    accuracy: Option<MetricKey>,
    quality: bool,
    failing: Option<SignalSpec>,
    unsupported: Vec<SignalSpec>,
}

impl MonitorUnderTest {
    /// How many rows the tables need to have.
    pub const ROWS: usize = 400;

    /// A monitor that promises everything, rows as a model usually sees them, and rows that are far from that; of each
    /// [`Self::ROWS`], of the same columns.
    pub fn new(monitor: Arc<dyn Monitor>, usual: Table<'static>, shifted: Table<'static>) -> Self {
        Self {
            monitor,
            promised: MonitorCapabilities::FULL,
            usual: Arc::new(usual),
            shifted: Arc::new(shifted),
            inputs: None,
            predictions: None,
            accuracy: None,
            quality: false,
            failing: None,
            unsupported: Vec::new(),
        }
    }

    /// What the monitor is meant to be able to do.
    #[must_use]
    pub fn with_promised(mut self, capabilities: MonitorCapabilities) -> Self {
        self.promised = capabilities;
        self
    }

    /// The name of a data drift signal that passes the usual rows and fails the shifted ones.
    #[must_use]
    pub fn with_data_drift(mut self, signal: impl Into<String>) -> Self {
        self.inputs = Some(signal.into());
        self
    }

    /// The name of a prediction drift signal that passes the usual predictions and fails the shifted ones.
    #[must_use]
    pub fn with_prediction_drift(mut self, signal: impl Into<String>) -> Self {
        self.predictions = Some(signal.into());
        self
    }

    /// The metric that is the share of predictions on the right side of one half.
    #[must_use]
    pub fn with_accuracy(mut self, metric: MetricKey) -> Self {
        self.accuracy = Some(metric);
        self
    }

    /// Data quality can be watched. The shifted rows have to be out of the bounds of the usual ones in one feature at least.
    #[must_use]
    pub fn with_data_quality(mut self) -> Self {
        self.quality = true;
        self
    }

    /// A signal that can be defined and fails whenever it is computed.
    #[must_use]
    pub fn with_failing(mut self, signal: SignalSpec) -> Self {
        self.failing = Some(signal);
        self
    }

    /// Adds a signal that the monitor cannot compute.
    #[must_use]
    pub fn with_unsupported(mut self, signal: SignalSpec) -> Self {
        self.unsupported.push(signal);
        self
    }

    /// Probabilities as the model usually says them: 0.1, 0.9, 0.2, 0.8, 0.3, 0.7 and again.
    ///
    /// ```
    /// use mlops_core::conformance::monitor::MonitorUnderTest;
    /// assert_eq!(MonitorUnderTest::usual_predictions(2).as_slice(), [0.1, 0.9]);
    /// ```
    pub fn usual_predictions(rows: usize) -> Predictions {
        Predictions::Probability((0..rows).map(|row| [0.1, 0.9, 0.2, 0.8, 0.3, 0.7][row % 6]).collect())
    }

    /// Probabilities that are far from the usual ones: all at or above 0.95.
    ///
    /// ```
    /// use mlops_core::conformance::monitor::MonitorUnderTest;
    /// assert_eq!(MonitorUnderTest::shifted_predictions(3).as_slice(), [0.95, 0.96, 0.97]);
    /// ```
    pub fn shifted_predictions(rows: usize) -> Predictions {
        Predictions::Probability((0..rows).map(|row| [0.95, 0.96, 0.97, 0.98][row % 4]).collect())
    }

    /// Every signal that the monitor can compute.
    fn signals(&self) -> Vec<SignalSpec> {
        let inputs = self.inputs.iter().map(|name| SignalSpec::new(name, SignalKind::DataDrift));
        let predictions =
            self.predictions.iter().map(|name| SignalSpec::new(name, SignalKind::PredictionDrift));
        let accuracy = self.accuracy.iter().map(|metric| accuracy("accuracy", metric, 0.8, 10));
        inputs.chain(predictions).chain(accuracy).collect()
    }

    fn spec(&self, name: &str, signals: Vec<SignalSpec>) -> MonitorSpec {
        MonitorSpec { name: monitor_name(name), endpoint: endpoint("diabetes"), signals }
    }

    async fn define(&self, signals: Vec<SignalSpec>) -> &dyn Monitor {
        self.monitor.define(&self.spec("watch", signals)).await.unwrap();
        &self.monitor
    }

    /// Defines a monitor with every signal there is.
    async fn watch(&self) -> &dyn Monitor {
        self.define(self.signals()).await
    }

    /// Sends the usual rows with these ids.
    async fn see(&self, ids: &[String], when: Timestamp) -> ObserveReceipt {
        self.see_all(ids, when, &self.usual, &Self::usual_predictions(ids.len())).await.unwrap()
    }

    async fn see_all(
        &self,
        ids: &[String],
        when: Timestamp,
        rows: &Table<'_>,
        predictions: &Predictions,
    ) -> Result<ObserveReceipt> {
        let features = rows.take(&(0..ids.len()).collect::<Vec<_>>()).unwrap();
        self.monitor.observe(&observations("diabetes", when, ids, &features, predictions)).await
    }

    async fn label(&self, labels: &[GroundTruth]) -> Result<LabelReceipt> {
        self.monitor.label(&endpoint("diabetes"), labels).await
    }

    async fn check(&self, window: &Window) -> MonitorReport {
        self.monitor.check(&monitor_name("watch"), window).await.unwrap()
    }

    async fn rows(&self, window: &Window) -> u64 {
        self.check(window).await.rows
    }
}

fn monitor_name(name: &str) -> MonitorName {
    MonitorName::new(name).unwrap()
}

fn endpoint(name: &str) -> EndpointName {
    EndpointName::new(name).unwrap()
}

fn observations<'a>(
    of: &str,
    when: Timestamp,
    ids: &'a [String],
    features: &'a Table<'a>,
    predictions: &'a Predictions,
) -> Observations<'a> {
    let deployment = DeploymentName::new("blue").unwrap();
    Observations { endpoint: endpoint(of), deployment, at: when, ids, features, predictions }
}

fn accuracy(name: &str, metric: &MetricKey, limit: f64, min_labelled: u64) -> SignalSpec {
    let rule = PerformanceRule { metric: metric.clone(), limit, min_labelled };
    SignalSpec::new(name, SignalKind::Performance(rule))
}

fn ids(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|i| format!("{prefix}-{i}")).collect()
}

fn truth(id: &str, value: f64) -> GroundTruth {
    GroundTruth { id: id.to_owned(), value }
}

/// What is true when every prediction is on the right side; or, when not, on the wrong one.
fn truths(ids: &[String], predictions: &Predictions, right: bool) -> Vec<GroundTruth> {
    let sides = predictions.as_slice().iter().map(|p| (*p > 0.5) == right);
    ids.iter().zip(sides).map(|(id, side)| truth(id, f64::from(u8::from(side)))).collect()
}

fn noon() -> Timestamp {
    at("2026-01-01T12:00:00Z")
}

/// The day around noon.
fn day() -> Window {
    Window::new(at("2026-01-01T00:00:00Z"), at("2026-01-02T00:00:00Z")).unwrap()
}

#[track_caller]
fn signal<'a>(report: &'a MonitorReport, name: &str) -> &'a SignalReport {
    report
        .signals
        .iter()
        .find(|s| s.signal == name)
        .unwrap_or_else(|| panic!("no signal {name} in {report:?}"))
}

/// The backend says it can do what was promised.
pub async fn capabilities_are_as_promised(under: &MonitorUnderTest) {
    assert_eq!(under.monitor.capabilities(), under.promised);
}

/// Defining again replaces the signals, and forgets neither rows nor reports.
pub async fn define_replaces(under: &MonitorUnderTest) {
    let signals = under.signals();
    under.define(signals.clone()).await;
    under.see(&ids("row", 3), noon()).await;
    let before = under.check(&day()).await;
    assert!(before.signals.iter().map(|s| &s.signal).eq(signals.iter().map(|s| &s.name)));
    under.define(signals[..1].to_vec()).await;
    let after = under.check(&day()).await;
    assert_eq!((after.rows, after.signals.len()), (3, 1));
    let kept = under.monitor.reports(&monitor_name("watch"), &Default::default()).await.unwrap();
    assert_eq!(kept.items, [after, before]);
}

/// A signal that cannot be computed is refused, with every other in the same definition.
pub async fn unknown_signals_are_unsupported(under: &MonitorUnderTest) {
    if under.unsupported.is_empty() {
        return skipped("the monitor computes every signal there is");
    }
    for bad in &under.unsupported {
        let mut signals = under.signals();
        signals.push(bad.clone());
        let spec = under.spec("watch", signals);
        assert_eq!(kind(under.monitor.define(&spec).await), ErrorKind::Unsupported, "{bad:?}");
        let checked = under.monitor.check(&monitor_name("watch"), &day()).await;
        assert_eq!(kind(checked), ErrorKind::NotFound, "nothing is defined");
    }
    let before = under.signals();
    under.define(before.clone()).await;
    let spec = under.spec("watch", under.unsupported[..1].to_vec());
    assert_eq!(kind(under.monitor.define(&spec).await), ErrorKind::Unsupported);
    assert_eq!(under.check(&day()).await.signals.len(), before.len(), "what was defined stays");
}

/// A definition that contradicts itself is refused.
pub async fn bad_definitions_are_refused(under: &MonitorUnderTest) {
    let good = under.signals();
    let one = good[0].clone();
    let unnamed = SignalSpec { name: " ".to_owned(), ..one.clone() };
    let mut bad = vec![vec![], vec![one.clone(), one], vec![unnamed]];
    if let Some(metric) = &under.accuracy {
        bad.extend([f64::NAN, f64::INFINITY].map(|limit| vec![accuracy("accuracy", metric, limit, 1)]));
    }
    for signals in bad {
        let spec = under.spec("watch", signals);
        assert_eq!(kind(under.monitor.define(&spec).await), ErrorKind::InvalidInput, "{spec:?}");
    }
    let checked = under.monitor.check(&monitor_name("watch"), &day()).await;
    assert_eq!(kind(checked), ErrorKind::NotFound);
}

/// A monitor that was not defined is not found.
pub async fn unknown_monitors_are_not_found(under: &MonitorUnderTest) {
    under.watch().await;
    let nobody = monitor_name("nobody");
    assert_eq!(kind(under.monitor.check(&nobody, &day()).await), ErrorKind::NotFound);
    assert_eq!(kind(under.monitor.reports(&nobody, &Default::default()).await), ErrorKind::NotFound);
}

/// Rows sent again, alone or among new ones, are there once, as they came first.
pub async fn observations_are_kept_once(under: &MonitorUnderTest) {
    under.watch().await;
    let ids = ids("row", 10);
    assert_eq!(under.see(&ids[..6], noon()).await, ObserveReceipt::new(6, 0));
    assert_eq!(under.see(&ids[..6], noon()).await, ObserveReceipt::new(0, 6));
    assert_eq!(under.see(&ids[4..], noon()).await, ObserveReceipt::new(4, 2));
    assert_eq!(under.rows(&day()).await, 10);
    // Also where it is said to have been at another time.
    let tomorrow = Window::new(day().end, day().end + Duration::from_secs(86_400)).unwrap();
    assert_eq!(under.see(&ids, tomorrow.start).await, ObserveReceipt::new(0, 10));
    assert_eq!((under.rows(&day()).await, under.rows(&tomorrow).await), (10, 0));
}

/// One id is one row, also within a call.
pub async fn an_id_twice_in_one_call_is_one_row(under: &MonitorUnderTest) {
    under.watch().await;
    let ids = ["a", "b", "a", "a"].map(str::to_owned);
    assert_eq!(under.see(&ids, noon()).await, ObserveReceipt::new(2, 2));
    assert_eq!(under.rows(&day()).await, 2);
}

/// Observations that do not fit together are refused as a whole.
pub async fn bad_observations_change_nothing(under: &MonitorUnderTest) {
    under.watch().await;
    let rows = |n: usize| under.usual.take(&(0..n).collect::<Vec<_>>()).unwrap();
    let said = MonitorUnderTest::usual_predictions;
    let good = ids("row", 3);
    let empty = [good[0].clone(), String::new(), good[2].clone()];
    let long = [good[0].clone(), "x".repeat(513), good[2].clone()];
    for (ids, rows, said) in [
        (&good[..], rows(2), said(3)),
        (&good, rows(4), said(3)),
        (&good, rows(3), said(2)),
        (&good, rows(3), said(0)),
        (&empty, rows(3), said(3)),
        (&long, rows(3), said(3)),
    ] {
        let answer = under.monitor.observe(&observations("diabetes", noon(), ids, &rows, &said)).await;
        assert_eq!(kind(answer), ErrorKind::InvalidInput);
        assert_eq!(under.rows(&day()).await, 0);
    }
    assert_eq!(under.see(&good, noon()).await.accepted, 3, "no id was used up");
}

/// Sending nothing does nothing.
pub async fn no_observations_are_no_error(under: &MonitorUnderTest) {
    under.watch().await;
    assert_eq!(under.see(&[], noon()).await, ObserveReceipt::default());
    assert_eq!(under.rows(&day()).await, 0);
    if under.promised.ground_truth {
        assert_eq!(under.label(&[]).await.unwrap(), LabelReceipt::default());
    }
}

/// Rows sent by many at once, most of them more than once, are all there once.
pub async fn concurrent_observations_are_kept_once(under: &MonitorUnderTest) {
    under.watch().await;
    let receipts = race(RACERS, |i| {
        let (monitor, rows) = (under.monitor.clone(), under.usual.clone());
        async move {
            // Each sends the rows that the next one sends too.
            let ids: Vec<String> = (i..i + 10).map(|n| format!("row-{n}")).collect();
            let features = rows.take(&(0..10).collect::<Vec<_>>()).unwrap();
            let said = MonitorUnderTest::usual_predictions(10);
            monitor.observe(&observations("diabetes", noon(), &ids, &features, &said)).await.unwrap()
        }
    })
    .await;
    let distinct = RACERS as u64 + 9;
    assert_eq!(receipts.iter().map(|r| r.accepted).sum::<u64>(), distinct);
    assert_eq!(receipts.iter().map(|r| r.duplicates).sum::<u64>(), RACERS as u64 * 10 - distinct);
    assert_eq!(under.rows(&day()).await, distinct);
}

/// Ids that look alike are different ids; any text is one.
pub async fn ids_are_told_apart_exactly(under: &MonitorUnderTest) {
    under.watch().await;
    let mut ids: Vec<String> = ["é", "e\u{301}", "E", "e", " e", "1", "01", "1.0"].map(str::to_owned).into();
    ids.extend(TEXTS.iter().filter(|text| !text.is_empty()).map(|text| (*text).to_owned()));
    ids.push("x".repeat(512));
    let count = ids.len() as u64;
    assert_eq!(under.see(&ids, noon()).await, ObserveReceipt::new(count, 0));
    assert_eq!(under.see(&ids, noon()).await, ObserveReceipt::new(0, count));
    if under.promised.ground_truth {
        let labels: Vec<_> = ids.iter().map(|id| truth(id, 1.0)).collect();
        assert_eq!(under.label(&labels).await.unwrap(), LabelReceipt::new(count, 0, 0));
    }
}

/// The same ids at another endpoint are other rows.
pub async fn endpoints_are_kept_apart(under: &MonitorUnderTest) {
    under.watch().await;
    let ids = ids("row", 3);
    under.see(&ids, noon()).await;
    let (rows, said) = (under.usual.take(&[0, 1, 2]).unwrap(), MonitorUnderTest::usual_predictions(3));
    let elsewhere =
        under.monitor.observe(&observations("another", noon(), &ids, &rows, &said)).await.unwrap();
    assert_eq!(elsewhere, ObserveReceipt::new(3, 0));
    assert_eq!(under.rows(&day()).await, 3);
    if under.promised.ground_truth {
        let labels = [truth("row-0", 1.0)];
        under.monitor.label(&endpoint("another"), &labels).await.unwrap();
        assert_eq!(under.label(&[truth("row-0", 0.0)]).await.unwrap(), LabelReceipt::new(1, 0, 0));
    }
}

/// How many rows the report says are labelled.
#[track_caller]
fn labelled(report: &MonitorReport) -> u64 {
    match signal(report, "accuracy").outcome {
        SignalOutcome::Performance { labelled, .. } => labelled,
        ref other => panic!("{other:?}"),
    }
}

/// A label that comes before its row waits for it.
pub async fn labels_join_in_any_order(under: &MonitorUnderTest) {
    if !under.promised.ground_truth {
        return skipped("labels are not joined here");
    }
    under.watch().await;
    let ids = ids("row", 4);
    let labels = truths(&ids, &MonitorUnderTest::usual_predictions(4), true);
    assert_eq!(under.label(&labels[..3]).await.unwrap(), LabelReceipt::new(0, 0, 3));
    under.see(&ids, noon()).await;
    assert_eq!(under.label(&labels[3..]).await.unwrap(), LabelReceipt::new(1, 0, 0));
    if under.accuracy.is_some() {
        assert_eq!(labelled(&under.check(&day()).await), 4);
    }
}

/// A label that is sent again says nothing new.
pub async fn repeated_labels_are_duplicates(under: &MonitorUnderTest) {
    if !under.promised.ground_truth {
        return skipped("labels are not joined here");
    }
    under.watch().await;
    under.see(&ids("row", 2), noon()).await;
    let labels = [truth("row-0", 1.0), truth("row-1", 0.0)];
    assert_eq!(under.label(&labels).await.unwrap(), LabelReceipt::new(2, 0, 0));
    assert_eq!(under.label(&labels).await.unwrap(), LabelReceipt::new(0, 2, 0));
    // Waiting for its row, it goes on waiting; once the row came, it is joined.
    let early = [truth("late", 1.0)];
    assert_eq!(under.label(&early).await.unwrap(), LabelReceipt::new(0, 0, 1));
    assert_eq!(under.label(&early).await.unwrap(), LabelReceipt::new(0, 0, 1));
    under.see(&["late".to_owned()], noon()).await;
    assert_eq!(under.label(&early).await.unwrap(), LabelReceipt::new(0, 1, 0));
}

/// A label that contradicts one known, or another in the same call, is a conflict, and nothing of the call is kept.
pub async fn contradicting_labels_are_a_conflict(under: &MonitorUnderTest) {
    if !under.promised.ground_truth {
        return skipped("labels are not joined here");
    }
    under.watch().await;
    under.see(&ids("row", 3), noon()).await;
    under.label(&[truth("row-0", 1.0), truth("waiting", 1.0)]).await.unwrap();
    for bad in [
        [truth("row-1", 1.0), truth("row-0", 0.0)],
        [truth("row-1", 1.0), truth("waiting", 0.0)],
        [truth("row-1", 1.0), truth("row-1", 0.0)],
    ] {
        assert_eq!(fault(under.label(&bad).await).kind(), ErrorKind::Conflict);
    }
    assert_eq!(under.label(&[truth("row-1", 0.0)]).await.unwrap(), LabelReceipt::new(1, 0, 0));
}

/// Labels that are no truth are refused, with the whole call.
pub async fn bad_labels_change_nothing(under: &MonitorUnderTest) {
    if !under.promised.ground_truth {
        return skipped("labels are not joined here");
    }
    under.watch().await;
    under.see(&ids("row", 3), noon()).await;
    for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let answer = under.label(&[truth("row-0", 1.0), truth("row-1", bad)]).await;
        assert_eq!(kind(answer), ErrorKind::InvalidInput, "{bad}");
    }
    assert_eq!(under.label(&[truth("row-0", 0.0)]).await.unwrap(), LabelReceipt::new(1, 0, 0));
}

/// Of many that send the same labels at once, one joins each.
pub async fn concurrent_labels_are_joined_once(under: &MonitorUnderTest) {
    if !under.promised.ground_truth {
        return skipped("labels are not joined here");
    }
    under.watch().await;
    under.see(&ids("row", 20), noon()).await;
    let receipts = race(RACERS, |i| {
        let monitor = under.monitor.clone();
        async move {
            let labels: Vec<_> = (0..20).map(|n| truth(&format!("row-{}", (n + i) % 20), 1.0)).collect();
            monitor.label(&endpoint("diabetes"), &labels).await.unwrap()
        }
    })
    .await;
    assert_eq!(receipts.iter().map(|r| r.joined).sum::<u64>(), 20);
    assert_eq!(receipts.iter().map(|r| r.duplicates).sum::<u64>(), (RACERS as u64 - 1) * 20);
}

/// A check sees the rows from the window's start up to and without its end.
pub async fn check_looks_at_its_window(under: &MonitorUnderTest) {
    under.watch().await;
    let tick = Duration::from_micros(1);
    let Window { start, end } = day();
    for (id, when) in
        [("before", start - tick), ("first", start), ("noon", noon()), ("last", end - tick), ("after", end)]
    {
        under.see(&[id.to_owned()], when).await;
    }
    assert_eq!(under.rows(&day()).await, 3);
    assert_eq!(under.rows(&Window::new(start - tick, end + tick).unwrap()).await, 5);
    assert_eq!(under.rows(&Window::new(end - tick, end).unwrap()).await, 1);
    let report = under.check(&day()).await;
    assert_eq!((report.window, report.monitor), (day(), monitor_name("watch")));
}

/// A window that does not end after it starts is no window.
pub async fn windows_that_do_not_end_are_refused(under: &MonitorUnderTest) {
    under.watch().await;
    for window in [Window { start: noon(), end: noon() }, Window { start: noon(), end: day().start }] {
        let answer = under.monitor.check(&monitor_name("watch"), &window).await;
        assert_eq!(kind(answer), ErrorKind::InvalidInput, "{window:?}");
    }
}

/// Where nothing was seen, nothing is raised and nothing passes.
pub async fn an_empty_window_is_insufficient(under: &MonitorUnderTest) {
    let signals = under.signals();
    under.define(signals.clone()).await;
    for seen in [false, true] {
        if seen {
            under.see(&ids("row", 10), day().end).await;
        }
        let report = under.check(&day()).await;
        assert_eq!((report.rows, report.signals.len()), (0, signals.len()));
        assert!(report.signals.iter().all(|s| s.verdict == Verdict::Insufficient && !s.reason.is_empty()));
        assert_eq!(report.raised().count(), 0);
    }
}

/// A signal that fails has its place in the report, with the reason, and the others are computed.
pub async fn a_failing_signal_is_reported(under: &MonitorUnderTest) {
    let Some(failing) = &under.failing else { return skipped("no signal fails here") };
    let mut signals = vec![failing.clone()];
    signals.extend(under.signals());
    under.define(signals.clone()).await;
    under.see(&ids("row", MonitorUnderTest::ROWS), noon()).await;
    let report = under.check(&day()).await;
    assert!(report.signals.iter().map(|s| &s.signal).eq(signals.iter().map(|s| &s.name)));
    let failed = &report.signals[0];
    assert_eq!(failed.verdict, Verdict::Insufficient);
    assert!(matches!(&failed.outcome, SignalOutcome::Failed(reason) if !reason.is_empty()), "{failed:?}");
    assert!(report.signals[1..].iter().all(|s| !matches!(s.outcome, SignalOutcome::Failed(_))), "{report:?}");
}

/// The usual rows pass; shifted ones raise the alarm, with the severity asked for.
pub async fn shifted_inputs_raise_the_alarm(under: &MonitorUnderTest) {
    let Some(name) = &under.inputs else { return skipped("data drift is not computed here") };
    let critical = crate::monitor::Severity::Critical;
    let spec = SignalSpec { severity: critical, ..SignalSpec::new(name, SignalKind::DataDrift) };
    under.define(vec![spec]).await;
    let said = MonitorUnderTest::usual_predictions(MonitorUnderTest::ROWS);
    for (rows, when, expected) in [
        (&under.usual, noon(), Verdict::Pass),
        (&under.shifted, noon() + Duration::from_secs(86_400), Verdict::Fail),
    ] {
        let ids = ids(&format!("{expected}"), MonitorUnderTest::ROWS);
        under.see_all(&ids, when, rows, &said).await.unwrap();
        let window = Window::new(when, when + Duration::from_secs(1)).unwrap();
        let report = under.check(&window).await;
        let found = signal(&report, name);
        assert_eq!((found.verdict, found.severity), (expected, critical), "{found:?}");
        assert!(matches!(found.outcome, SignalOutcome::Drift(_)));
        assert_eq!(report.raised().count(), usize::from(expected == Verdict::Fail));
    }
}

/// The usual predictions pass; shifted ones raise the alarm.
pub async fn shifted_predictions_raise_the_alarm(under: &MonitorUnderTest) {
    let Some(name) = &under.predictions else { return skipped("prediction drift is not computed here") };
    under.define(vec![SignalSpec::new(name, SignalKind::PredictionDrift)]).await;
    let rows = MonitorUnderTest::ROWS;
    for (said, when, expected) in [
        (MonitorUnderTest::usual_predictions(rows), noon(), Verdict::Pass),
        (MonitorUnderTest::shifted_predictions(rows), noon() + Duration::from_secs(86_400), Verdict::Fail),
    ] {
        under.see_all(&ids(&format!("{expected}"), rows), when, &under.usual, &said).await.unwrap();
        let report = under.check(&Window::new(when, when + Duration::from_secs(1)).unwrap()).await;
        assert_eq!(signal(&report, name).verdict, expected, "{report:?}");
    }
}

/// Rows that arrive in pieces are judged as if they had arrived at once.
pub async fn batches_add_up(under: &MonitorUnderTest) {
    let Some(name) = &under.inputs else { return skipped("data drift is not computed here") };
    under.watch().await;
    let (whole, pieces) = (noon(), noon() + Duration::from_secs(3_600));
    let rows = MonitorUnderTest::ROWS;
    let said = MonitorUnderTest::usual_predictions(rows);
    under.see_all(&ids("whole", rows), whole, &under.shifted, &said).await.unwrap();
    for start in (0..rows).step_by(50) {
        let part: Vec<usize> = (start..start + 50).collect();
        let features = under.shifted.take(&part).unwrap();
        let said = Predictions::Probability(part.iter().map(|&i| said.as_slice()[i]).collect());
        under.see_all(&ids(&format!("part-{start}"), 50), pieces, &features, &said).await.unwrap();
    }
    let outcome = async |when: Timestamp| {
        let report = under.check(&Window::new(when, when + Duration::from_secs(1)).unwrap()).await;
        assert_eq!(report.rows, rows as u64);
        match &signal(&report, name).outcome {
            SignalOutcome::Drift(drift) => drift.features.clone(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(outcome(whole).await, outcome(pieces).await);
}

/// Without labels nothing is said; right predictions pass, wrong ones raise the alarm.
pub async fn performance_is_judged_once_labels_arrive(under: &MonitorUnderTest) {
    if under.accuracy.is_none() || !under.promised.ground_truth {
        return skipped("performance is not computed here");
    }
    under.watch().await;
    let said = MonitorUnderTest::usual_predictions(30);
    for (right, expected) in [(true, Verdict::Pass), (false, Verdict::Fail)] {
        let when = noon() + Duration::from_secs(if right { 0 } else { 86_400 });
        let window = Window::new(when, when + Duration::from_secs(1)).unwrap();
        let ids = ids(&format!("{expected}"), 30);
        under.see(&ids, when).await;
        let before = under.check(&window).await;
        let found = signal(&before, "accuracy");
        assert_eq!(found.verdict, Verdict::Insufficient);
        assert_eq!(found.outcome, SignalOutcome::Performance { report: None, labelled: 0 });
        under.label(&truths(&ids, &said, right)).await.unwrap();
        let after = under.check(&window).await;
        let found = signal(&after, "accuracy");
        assert_eq!(found.verdict, expected, "{found:?}");
        let SignalOutcome::Performance { report: Some(report), labelled: 30 } = &found.outcome else {
            panic!("{found:?}")
        };
        assert_eq!(report.rows, 30);
    }
}

/// With fewer labels than the rule needs there is evidence, but no verdict.
pub async fn too_few_labels_are_insufficient(under: &MonitorUnderTest) {
    let Some(metric) = under.accuracy.as_ref().filter(|_| under.promised.ground_truth) else {
        return skipped("performance is not computed here");
    };
    under.define(vec![accuracy("accuracy", metric, 0.8, 10)]).await;
    let (ids, said) = (ids("row", 10), MonitorUnderTest::usual_predictions(10));
    under.see(&ids, noon()).await;
    let labels = truths(&ids, &said, false);
    for (count, expected) in [(4, Verdict::Insufficient), (9, Verdict::Insufficient), (10, Verdict::Fail)] {
        under.label(&labels[..count]).await.unwrap();
        let report = under.check(&day()).await;
        assert_eq!((labelled(&report), signal(&report, "accuracy").verdict), (count as u64, expected));
    }
}

/// A rule about a metric that nobody computes is refused where that is known when it is defined; where it is not, it is never met and
/// never broken.
pub async fn a_metric_nobody_computes_passes_nothing(under: &MonitorUnderTest) {
    if under.accuracy.is_none() || !under.promised.ground_truth {
        return skipped("performance is not computed here");
    }
    let unknown = accuracy("accuracy", &MetricKey::new("no such metric").unwrap(), -1e300, 1);
    if let Err(error) = under.monitor.define(&under.spec("watch", vec![unknown])).await {
        assert!(matches!(error.kind(), ErrorKind::Unsupported | ErrorKind::InvalidInput), "{error}");
        let checked = under.monitor.check(&monitor_name("watch"), &day()).await;
        assert_eq!(kind(checked), ErrorKind::NotFound, "nothing is defined");
        return;
    }
    let (ids, said) = (ids("row", 20), MonitorUnderTest::usual_predictions(20));
    under.see(&ids, noon()).await;
    under.label(&truths(&ids, &said, true)).await.unwrap();
    let report = under.check(&day()).await;
    assert_eq!(signal(&report, "accuracy").verdict, Verdict::Insufficient);
}

/// What is missing, of another type or out of bounds is counted by feature, also where types change between batches.
pub async fn data_quality_is_judged_by_feature(under: &MonitorUnderTest) {
    if !under.quality {
        return skipped("data quality is not watched here");
    }
    let rule = QualityRule::of_profile(&Profile::of(&under.usual).unwrap()).with_min_rows(10);
    let strict = rule.clone().with_limits(QualityLimits::default().with_null_rate(0.0));
    let spec = |name: &str, rule: &QualityRule| {
        SignalSpec::new(name, SignalKind::DataQuality(Box::new(rule.clone())))
    };
    under.define(vec![spec("quality", &rule), spec("strict", &strict)]).await;
    let said = MonitorUnderTest::usual_predictions(MonitorUnderTest::ROWS);
    let later = |hours: u64| noon() + Duration::from_secs(hours * 3_600);
    let look = async |hours: u64| {
        let report =
            under.check(&Window::new(later(hours), later(hours) + Duration::from_secs(1)).unwrap()).await;
        let of = |name| match &signal(&report, name).outcome {
            SignalOutcome::DataQuality(quality) => {
                assert_eq!(signal(&report, name).verdict, quality.verdict(), "{quality}");
                quality.clone()
            }
            other => panic!("{other:?}"),
        };
        (of("quality"), of("strict"))
    };
    let ids = |name: &str| ids(name, MonitorUnderTest::ROWS);
    // The rows the bounds are of.
    under.see_all(&ids("usual"), later(0), &under.usual, &said).await.unwrap();
    let (quality, strict) = look(0).await;
    assert_eq!((quality.verdict(), strict.verdict()), (Verdict::Pass, Verdict::Pass), "{quality}");
    assert!(
        quality.features.iter().all(|f| (f.nulls, f.type_errors, f.out_of_bounds) == (0, 0, 0)),
        "{quality:?}"
    );
    // Far away from them.
    under.see_all(&ids("shifted"), later(1), &under.shifted, &said).await.unwrap();
    let (quality, _) = look(1).await;
    assert_eq!(quality.verdict(), Verdict::Fail);
    assert!(quality.features.iter().any(|f| f.out_of_bounds > 0), "{quality:?}");
    // A column that is gone from one batch of 21: a twentieth may be missing.
    let gone = under.usual.columns()[0].name().to_owned();
    let few: Vec<usize> = (0..20).collect();
    let (without, said_few) =
        (under.usual.take(&few).unwrap().without(&[&gone]), MonitorUnderTest::usual_predictions(20));
    under.see_all(&ids("whole"), later(2), &under.usual, &said).await.unwrap();
    under.see_all(&self::ids("without", 20), later(2), &without, &said_few).await.unwrap();
    let (quality, strict) = look(2).await;
    assert_eq!((quality.verdict(), strict.verdict()), (Verdict::Pass, Verdict::Fail), "{quality}");
    let first = &quality.features[0];
    assert_eq!((first.feature == gone, first.nulls, first.rows), (true, 20, 420));
    // The same column as truth values, which it is not.
    let odd = Column::bool(gone.clone(), vec![true; 20]).unwrap();
    let odd = without.with_column(odd).unwrap();
    under.see_all(&self::ids("odd", 20), later(2), &odd, &said_few).await.unwrap();
    let (quality, _) = look(2).await;
    let first = &quality.features[0];
    assert_eq!((first.type_errors, first.rows, first.verdict), (20, 440, Verdict::Fail), "{quality}");
    // Too few rows to judge.
    under.see(&self::ids("few", 9), later(3)).await;
    let (quality, _) = look(3).await;
    assert_eq!((quality.verdict(), quality.rows), (Verdict::Insufficient, 9));
    let mut bad = rule.clone();
    bad.limits.null_rate = f64::NAN;
    assert_eq!(
        kind(under.monitor.define(&under.spec("watch", vec![spec("q", &bad)])).await),
        ErrorKind::InvalidInput
    );
}

async fn reports(under: &MonitorUnderTest, limit: usize) -> Vec<MonitorReport> {
    let name = &monitor_name("watch");
    read_quietly(limit, |page| async move { under.monitor.reports(name, &page).await }).await
}

/// Every report can be read again, newest first, as it was; labels that come later do not change it.
pub async fn reports_are_kept(under: &MonitorUnderTest) {
    under.watch().await;
    assert!(reports(under, 10).await.is_empty());
    let ids = ids("row", 20);
    let mut made = Vec::new();
    for piece in ids.chunks(5) {
        under.see(piece, noon()).await;
        made.insert(0, under.check(&day()).await);
    }
    assert!(made.iter().map(|r| r.rows).eq([20, 15, 10, 5]));
    if under.promised.ground_truth {
        let said = MonitorUnderTest::usual_predictions(20);
        under.label(&truths(&ids, &said, false)).await.unwrap();
    }
    for limit in [1, 3, 100] {
        assert_eq!(reports(under, limit).await, made, "pages of {limit}");
    }
}

/// Whoever reads page by page while checks are made sees each report that was there exactly once.
pub async fn paging_is_complete_under_writes(under: &MonitorUnderTest) {
    under.watch().await;
    let window = |minutes: u64| {
        let end = day().start + Duration::from_secs(60 * (minutes + 1));
        Window::new(day().start, end).unwrap()
    };
    let there: Vec<Window> = (0..20).map(window).collect();
    for window in &there {
        under.check(window).await;
    }
    let name = &monitor_name("watch");
    let seen = read_all(
        3,
        |page| async move { under.monitor.reports(name, &page).await },
        |number| async move { under.check(&window(100 + number as u64)).await },
    )
    .await;
    let seen: Vec<_> = seen.iter().map(|r| r.window).filter(|w| there.contains(w)).collect();
    assert!(seen.iter().eq(there.iter().rev()), "each once, newest first");
}

/// Limits of nobody and tokens of somebody else are refused.
pub async fn bad_pages_are_refused(under: &MonitorUnderTest) {
    under.watch().await;
    under.check(&day()).await;
    let name = &monitor_name("watch");
    refuses_bad_pages(|page| async move { under.monitor.reports(name, &page).await }).await;
}
