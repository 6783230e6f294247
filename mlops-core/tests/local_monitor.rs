//! What was observed, labelled and found, and alerts, in a folder: the suites, with the store kept open and opened anew for
//! every call; what is damaged; many rows; many processes.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt as _;
use mlops_core::artifact::GcOptions;
use mlops_core::conformance::alert::AlertsUnderTest;
use mlops_core::conformance::monitor::MonitorUnderTest;
use mlops_core::data::{Column, DataType, Table, Validity, Values};
use mlops_core::deploy::{Deployment, DeploymentSpec};
use mlops_core::evaluation::{Estimate, EvaluationInput, EvaluationReport, Evaluator, Verdict};
use mlops_core::hash::Digest;
use mlops_core::local::{LocalMonitor, LocalStore};
use mlops_core::memory::MemoryMonitor;
use mlops_core::model::Predictions;
use mlops_core::monitor::{
    Alert, AlertReceipt, AlertSink, BaselineStores, DeploymentBaseline, DriftDetector, DriftReport,
    DriftVerdict, FeatureDrift, FeatureOutcome, FeatureScore, GroundTruth, LabelReceipt, Monitor,
    MonitorCapabilities, MonitorReport, MonitorSchedule, MonitorSpec, Observations, ObserveReceipt,
    PerformanceRule, QualityLimits, Severity, SignalKind, SignalOutcome, SignalSpec, Window, check_due,
};
use mlops_core::num::Measured;
use mlops_core::problem::{Direction, Task};
use mlops_core::time::{Clock, ManualClock, Timestamp};
use mlops_core::{
    ActorId, DeploymentName, EndpointName, Error, ErrorKind, IdempotencyKey, MetricKey, ModelName,
    MonitorName, Page, PageRequest, Result, Version,
};

/// A folder that lives as long as anybody who has a store in it open: it is their clock.
#[derive(Debug)]
struct Folder {
    folder: tempfile::TempDir,
    clock: ManualClock,
}

impl Clock for Folder {
    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn monotonic(&self) -> Duration {
        self.clock.monotonic()
    }
}

fn start() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

fn folder() -> Arc<Folder> {
    Arc::new(Folder { folder: tempfile::tempdir().unwrap(), clock: ManualClock::at(start()) })
}

fn store_in(folder: &Arc<Folder>) -> LocalStore {
    LocalStore::options().with_clock(folder.clone()).open(folder.folder.path()).unwrap()
}

fn damage(folder: &Folder, sql: &str) {
    let connection = rusqlite::Connection::open(folder.folder.path().join("mlops.db")).unwrap();
    assert!(connection.execute(sql, []).unwrap() > 0, "{sql} changes nothing");
}

// ── who judges ───────────────────────────────────────────────────────────────────────────────────────────────────────────

/// Compares the share of values above the mean of the reference; of categories, the share of its first one.
#[derive(Debug)]
struct Shares(Table<'static>);

fn share(reference: &Column<'_>, column: &Column<'_>) -> Option<f64> {
    let rows: Vec<usize> = (0..column.len()).filter(|&row| column.is_valid(row)).collect();
    let like = match reference.to_f64() {
        Err(_) => rows.iter().filter(|&&row| column.label(row) == reference.label(0)).count(),
        Ok(values) => {
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            let current = column.to_f64().ok()?;
            rows.iter().filter(|&&row| current[row] <= mean).count()
        }
    };
    (rows.len() >= 10).then(|| like as f64 / rows.len() as f64)
}

impl Shares {
    fn measure(&self, reference: &Column<'_>, current: &Table<'_>) -> FeatureOutcome {
        let now = current.get(reference.name()).and_then(|column| share(reference, column));
        match share(reference, reference).zip(now) {
            None => FeatureOutcome::Failed("is not there, or has too few values".to_owned()),
            Some((before, now)) => {
                let score = (before - now).abs();
                let verdict = if score > 0.2 { DriftVerdict::Drift } else { DriftVerdict::NoDrift };
                FeatureOutcome::Measured(FeatureScore::new("share/v1", score, 0.2, verdict))
            }
        }
    }
}

impl DriftDetector for Shares {
    fn name(&self) -> &str {
        "shares"
    }

    fn features(&self) -> Vec<String> {
        self.0.names().map(str::to_owned).collect()
    }

    fn detect(&self, current: &Table<'_>, at: Timestamp) -> Result<DriftReport> {
        let measure = |reference: &Column<'_>| {
            FeatureDrift::new(reference.name().to_owned(), self.measure(reference, current))
        };
        let features: Vec<_> = self.0.columns().iter().map(measure).collect();
        let any = |verdict| features.iter().any(|feature| feature.verdict() == verdict);
        let verdict = if any(DriftVerdict::Drift) {
            DriftVerdict::Drift
        } else if any(DriftVerdict::Inconclusive) {
            DriftVerdict::Inconclusive
        } else {
            DriftVerdict::NoDrift
        };
        let rows = (self.0.rows() as u64, current.rows() as u64);
        Ok(DriftReport::new(self.name(), at, rows, features, verdict, format!("over all: {verdict}")))
    }
}

/// A detector that cannot.
#[derive(Debug)]
struct Broken;

impl DriftDetector for Broken {
    fn name(&self) -> &str {
        "broken"
    }

    fn features(&self) -> Vec<String> {
        vec!["age".to_owned()]
    }

    fn detect(&self, _: &Table<'_>, _: Timestamp) -> Result<DriftReport> {
        panic!("this detector panics")
    }
}

#[derive(Debug)]
struct Accuracy;

impl Evaluator for Accuracy {
    fn evaluate(&self, input: &EvaluationInput<'_>) -> Result<EvaluationReport> {
        input.check()?;
        if input.truth.data_type() != DataType::Bool {
            return Err(Error::invalid("Evaluator::evaluate", "truth", "must be true or false"));
        }
        let truth = input.truth.to_f64()?;
        let said = input.predictions.as_slice();
        let right = (0..said.len()).filter(|&row| (said[row] > 0.5) == (truth[row] == 1.0)).count();
        let rows = said.len() as u64;
        let mut report = EvaluationReport::new(input.model, input.data, input.task, input.at, rows);
        let accuracy = Measured::ratio(right as f64, said.len() as f64);
        report.metrics.insert(accuracy_key(), Estimate::new(accuracy, Direction::HigherIsBetter, rows));
        Ok(report)
    }
}

fn accuracy_key() -> MetricKey {
    MetricKey::new("accuracy").unwrap()
}

fn people(age: f64) -> Table<'static> {
    let ages: Vec<f64> = (0..400).map(|i| age + f64::from(i % 20)).collect();
    let cities: Vec<&str> = (0..400).map(|i| if i % 4 == 3 { "Trier" } else { "Bonn" }).collect();
    Table::new(vec![Column::f64("age", ages).unwrap(), Column::text("city", cities).unwrap()]).unwrap()
}

fn said() -> Arc<Shares> {
    let said = MonitorUnderTest::usual_predictions(MonitorUnderTest::ROWS).as_slice().to_vec();
    Arc::new(Shares(Table::new(vec![Column::f64(LocalMonitor::PREDICTION, said).unwrap()]).unwrap()))
}

fn monitor_in(folder: &Arc<Folder>) -> LocalMonitor {
    store_in(folder)
        .monitor()
        .with_detector("inputs", Arc::new(Shares(people(40.0))))
        .with_detector("predictions", said())
        .with_detector("broken", Arc::new(Broken))
        .with_evaluator(Arc::new(Accuracy), Task::BinaryClassification)
}

// ── suites ───────────────────────────────────────────────────────────────────────────────────────────────────────────────

fn under_test(monitor: Arc<dyn Monitor>) -> MonitorUnderTest {
    MonitorUnderTest::new(monitor, people(40.0), people(70.0))
        .with_data_drift("inputs")
        .with_prediction_drift("predictions")
        .with_accuracy(accuracy_key())
        .with_data_quality()
        .with_failing(SignalSpec::new("broken", SignalKind::DataDrift))
        .with_unsupported(SignalSpec::new("nobody's", SignalKind::DataDrift))
}

/// Opens the folder anew for every call, and closes it after.
#[derive(Debug)]
struct Reopening(Arc<Folder>);

#[async_trait]
impl Monitor for Reopening {
    fn capabilities(&self) -> MonitorCapabilities {
        monitor_in(&self.0).capabilities()
    }

    async fn define(&self, spec: &MonitorSpec) -> Result<()> {
        monitor_in(&self.0).define(spec).await
    }

    async fn observe(&self, observations: &Observations<'_>) -> Result<ObserveReceipt> {
        monitor_in(&self.0).observe(observations).await
    }

    async fn label(&self, endpoint: &EndpointName, labels: &[GroundTruth]) -> Result<LabelReceipt> {
        monitor_in(&self.0).label(endpoint, labels).await
    }

    async fn check(&self, monitor: &MonitorName, window: &Window) -> Result<MonitorReport> {
        monitor_in(&self.0).check(monitor, window).await
    }

    async fn reports(&self, monitor: &MonitorName, page: &PageRequest) -> Result<Page<MonitorReport>> {
        monitor_in(&self.0).reports(monitor, page).await
    }
}

#[async_trait]
impl AlertSink for Reopening {
    async fn deliver(&self, alert: &Alert) -> Result<AlertReceipt> {
        store_in(&self.0).alerts().deliver(alert).await
    }
}

mlops_core::monitor_suite!(monitor, under_test(Arc::new(monitor_in(&folder()))));
mlops_core::monitor_suite!(monitor_opened_anew, under_test(Arc::new(Reopening(folder()))));

/// Everything that has arrived, read page by page outside the runtime, where nothing has to be waited for.
fn arrived(folder: &Arc<Folder>) -> Vec<Alert> {
    let sink = store_in(folder).alerts();
    let read = move || {
        let (mut all, mut page) = (Vec::new(), Some(PageRequest::first(3)));
        while let Some(request) = page {
            let answer = sink.alerts(&request).now_or_never().unwrap().unwrap();
            page = request.after(&answer);
            all.extend(answer.items);
        }
        all
    };
    std::thread::spawn(read).join().unwrap()
}

fn alerts(wrap: impl FnOnce(&Arc<Folder>) -> Arc<dyn AlertSink>) -> AlertsUnderTest {
    let folder = folder();
    AlertsUnderTest::new(wrap(&folder)).with_arrived(move || arrived(&folder))
}

mlops_core::alert_sink_suite!(alert_sink, alerts(|folder| Arc::new(store_in(folder).alerts())));
mlops_core::alert_sink_suite!(alert_sink_opened_anew, alerts(|folder| Arc::new(Reopening(folder.clone()))));

// ── what the suites do not see ───────────────────────────────────────────────────────────────────────────────────────────

fn endpoint() -> EndpointName {
    EndpointName::new("diabetes").unwrap()
}

fn name() -> MonitorName {
    MonitorName::new("watch").unwrap()
}

fn day() -> Window {
    Window::new(start(), start() + Duration::from_secs(86_400)).unwrap()
}

fn ids(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|i| format!("{prefix}-{i}")).collect()
}

fn truth(id: &str, value: f64) -> GroundTruth {
    GroundTruth::new(id.to_owned(), value)
}

async fn see(
    monitor: &dyn Monitor,
    ids: &[String],
    at: Timestamp,
    features: &Table<'_>,
    predictions: &Predictions,
) -> Result<ObserveReceipt> {
    let deployment = DeploymentName::new("blue").unwrap();
    monitor.observe(&Observations::new(endpoint(), deployment, at, ids, features, predictions)).await
}

async fn define(monitor: &dyn Monitor, signals: Vec<SignalSpec>) {
    monitor.define(&MonitorSpec::new(name(), endpoint(), signals)).await.unwrap();
}

fn all_signals() -> Vec<SignalSpec> {
    let rule = PerformanceRule::new(accuracy_key(), 0.8, 10);
    vec![
        SignalSpec::new("inputs", SignalKind::DataDrift),
        SignalSpec::new("predictions", SignalKind::PredictionDrift),
        SignalSpec::new("accuracy", SignalKind::Performance(rule)),
    ]
}

/// A version that is registered and deployed, and what it was like when it went live: kept beside its deployment, and what a monitor
/// on a schedule watches by, after a restart too.
#[tokio::test]
async fn a_baseline_is_captured_when_a_deployment_goes_live_and_one_schedule_watches_everything() {
    let folder = folder();
    let stores = || {
        let store = store_in(&folder);
        let (artifacts, registry) = (Arc::new(store.artifacts()), Arc::new(store.registry()));
        BaselineStores::new(artifacts, Arc::new(store.data_assets()), registry)
    };
    let deployment = |artifact| {
        let (name, model) = (DeploymentName::new("blue").unwrap(), ModelName::new("diabetes").unwrap());
        let spec =
            DeploymentSpec::new(endpoint(), name, model, Version::FIRST, ActorId::new("release").unwrap());
        Deployment::ready(spec, artifact, start())
    };
    let live = deployment(Digest::of(b"weights"));
    assert_eq!(stores().of(&live).await.unwrap(), None);
    let (rows, predictions) = (people(40.0), MonitorUnderTest::usual_predictions(400));
    let captured = DeploymentBaseline::capture(&live, &rows, &predictions, start()).unwrap();
    let first = stores().keep(&captured, &live).await.unwrap();
    assert_eq!(stores().keep(&captured, &live).await.unwrap(), first, "kept once");
    assert_eq!(stores().of(&live).await.unwrap(), Some(captured.clone()));
    // Content that no row of the store referred to would be collected.
    let removed = store_in(&folder).collect_garbage(&GcOptions::default()).await.unwrap().removed;
    assert_eq!((removed.len(), stores().of(&live).await.unwrap()), (0, Some(captured)));
    assert!(store_in(&folder).verify().await.unwrap().is_sound());
    // A later one takes its place.
    let captured =
        DeploymentBaseline::capture(&live, &rows, &predictions, start() + chrono::TimeDelta::days(1));
    let captured = captured.unwrap();
    assert_eq!(stores().keep(&captured, &live).await.unwrap().version.get(), 2);
    assert_eq!(stores().of(&live).await.unwrap(), Some(captured.clone()));
    // Other content under the same name is not what it is of.
    let swapped = deployment(Digest::of(b"other weights"));
    assert_eq!(stores().of(&swapped).await.unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(stores().keep(&captured, &swapped).await.unwrap_err().kind(), ErrorKind::Conflict);
    for (rows, said) in [(0, 0), (10, 9)] {
        let (rows, said) = (
            people(40.0).take(&(0..rows).collect::<Vec<_>>()).unwrap(),
            MonitorUnderTest::usual_predictions(said),
        );
        assert_eq!(
            DeploymentBaseline::capture(&live, &rows, &said, start()).unwrap_err().kind(),
            ErrorKind::InvalidInput
        );
    }

    // One monitor, four signals, a window an hour; labels come within a quarter of it.
    let quality = captured
        .quality()
        .with_feature("city", QualityLimits::default().with_null_rate(0.0))
        .with_min_rows(50);
    let mut signals = all_signals();
    signals.push(SignalSpec::new("quality", SignalKind::DataQuality(Box::new(quality))));
    define(&monitor_in(&folder), signals).await;
    let hour = Duration::from_secs(3_600);
    let schedule = MonitorSchedule::new(hour).unwrap().with_delay(hour / 4).unwrap();
    let said = MonitorUnderTest::usual_predictions(100);
    let some: Vec<usize> = (0..100).collect();
    let gone = people(40.0).take(&some).unwrap().without(&["city"]);
    let city: Vec<Option<&str>> = (0..100).map(|row| (row > 0).then_some("Bonn")).collect();
    let one_gone = gone.with_column(Column::optional_text("city", city).unwrap()).unwrap();
    let hours = [people(40.0).take(&some).unwrap(), people(70.0).take(&some).unwrap(), one_gone];
    for (number, features) in (0_i64..).zip(&hours) {
        let ids: Vec<String> = (0..100).map(|row| format!("{number}-{row}")).collect();
        let at = start() + chrono::TimeDelta::minutes(60 * number + 30);
        see(&monitor_in(&folder), &ids, at, features, &said).await.unwrap();
        let labels: Vec<_> = ids
            .iter()
            .zip(said.as_slice())
            .map(|(id, said)| truth(id, f64::from(u8::from(*said > 0.5))))
            .collect();
        monitor_in(&folder).label(&endpoint(), &labels).await.unwrap();
    }
    let (mut done, mut reports) = (Some(start()), Vec::new());
    for minutes in [59, 74, 75, 130, 195] {
        let now = start() + chrono::TimeDelta::minutes(minutes);
        let checked = check_due(&monitor_in(&folder), &name(), &schedule, done, now).await;
        assert!(checked.failure.is_none());
        done = checked.done;
        reports.extend(checked.reports);
    }
    let verdicts =
        |report: &MonitorReport| report.signals.iter().map(|signal| signal.verdict).collect::<Vec<_>>();
    let found: Vec<_> = reports.iter().map(verdicts).collect();
    use Verdict::{Fail, Pass};
    // Inputs, predictions, accuracy, quality. The share of cities is far from the usual one in the last hour.
    assert_eq!(found, [[Pass, Pass, Pass, Pass], [Fail, Pass, Pass, Fail], [Fail, Pass, Pass, Fail]]);
    let reasons: Vec<&str> = reports.iter().map(|report| report.signals[3].reason.as_str()).collect();
    assert_eq!(
        reasons,
        [
            "all of 2 features are within their limits in 100 rows",
            "age is out of bounds in 100.0 % of 100 rows, at most 5.0 % is asked for",
            "city is missing in 1.0 % of 100 rows, at most 0.0 % is asked for",
        ]
    );
}

/// Sends the same to a monitor in memory and to one in a folder: batches that overlap, hostile numbers, missing values, labels
/// before and after, and windows that cut between them. Both find the same, to the last bit.
#[tokio::test]
async fn it_finds_what_the_monitor_in_memory_finds() {
    let folder = folder();
    let local = Reopening(folder.clone());
    let memory = MemoryMonitor::new(folder.clone())
        .with_detector("inputs", Arc::new(Shares(people(40.0))))
        .with_detector("predictions", said())
        .with_evaluator(Arc::new(Accuracy), Task::BinaryClassification);
    let both: [&dyn Monitor; 2] = [&local, &memory];
    for monitor in both {
        define(monitor, all_signals()).await;
    }
    let hostile = [f64::NAN, -f64::NAN, f64::INFINITY, -0.0, 5e-324, f64::MAX, 40.0, 41.0];
    for step in 0..8_u32 {
        let rows = 60;
        let ages: Vec<f64> = (0..rows).map(|i| hostile[(i + step as usize) % 8]).collect();
        let valid: Vec<bool> = (0..rows).map(|i| i % 7 != 0).collect();
        let age = Column::new("age", Values::F64(ages.into()), Some(Validity::from_bools(&valid))).unwrap();
        let city = (0..rows).map(|i| (i % 5 != 0).then_some(["Bonn", "Trier", "a\0b"][i % 3]));
        let features = Table::new(vec![age, Column::optional_text("city", city).unwrap()]).unwrap();
        let ids: Vec<String> = (0..rows).map(|i| format!("row-{}", step as usize * 40 + i)).collect();
        let said = MonitorUnderTest::usual_predictions(rows);
        // Some lie a nanosecond apart: windows are exact.
        let at = start() + chrono::TimeDelta::nanoseconds(i64::from(step) * 333);
        let labels: Vec<_> = ids.iter().step_by(3).map(|id| truth(id, f64::from(step % 2))).collect();
        let mut receipts = Vec::new();
        for monitor in both {
            let early = monitor.label(&endpoint(), &labels).await;
            let seen = see(monitor, &ids, at, &features, &said).await.unwrap();
            let late = monitor.label(&endpoint(), &labels).await;
            receipts.push((early.map_err(|e| e.kind()), seen, late.map_err(|e| e.kind())));
        }
        assert_eq!(receipts[0], receipts[1], "step {step}");
    }
    for (from, to) in [(0, 333), (333, 334), (334, 1_000), (0, 1_998), (1_999, 3_000), (3_000, 4_000)] {
        let at = |nanos| start() + chrono::TimeDelta::nanoseconds(nanos);
        let window = Window::new(at(from), at(to)).unwrap();
        let found = both[0].check(&name(), &window).await.unwrap();
        assert_eq!(found, both[1].check(&name(), &window).await.unwrap(), "{from} to {to}");
    }
    let page = PageRequest::default();
    let found = both[0].reports(&name(), &page).await.unwrap().items;
    let expected = both[1].reports(&name(), &page).await.unwrap().items;
    assert!(expected.iter().any(|report| report.rows > 100));
    assert_eq!(found, expected);
}

#[tokio::test]
async fn a_hundred_thousand_rows_are_one_call() {
    const ROWS: usize = 100_000;
    let folder = folder();
    let monitor = monitor_in(&folder);
    define(&monitor, all_signals()).await;
    let ages: Vec<f64> = (0..ROWS).map(|i| 40.0 + (i % 20) as f64).collect();
    let cities: Vec<&str> = (0..ROWS).map(|i| if i % 4 == 3 { "Trier" } else { "Bonn" }).collect();
    let features = vec![Column::f64("age", ages).unwrap(), Column::text("city", cities).unwrap()];
    let features = Table::new(features).unwrap();
    let (ids, said) = (ids("row", ROWS), MonitorUnderTest::usual_predictions(ROWS));
    let began = std::time::Instant::now();
    assert_eq!(see(&monitor, &ids, start(), &features, &said).await.unwrap().accepted, ROWS as u64);
    let observed = began.elapsed();
    assert_eq!(see(&monitor, &ids, start(), &features, &said).await.unwrap().duplicates, ROWS as u64);
    let labels: Vec<_> =
        ids.iter().zip(said.as_slice()).map(|(id, p)| truth(id, f64::from(u8::from(*p > 0.5)))).collect();
    let began = std::time::Instant::now();
    assert_eq!(monitor.label(&endpoint(), &labels).await.unwrap().joined, ROWS as u64);
    let labelled = began.elapsed();
    let began = std::time::Instant::now();
    let report = monitor.check(&name(), &day()).await.unwrap();
    let checked = began.elapsed();
    assert_eq!(report.rows, ROWS as u64);
    assert!(report.signals.iter().all(|signal| signal.verdict == Verdict::Pass), "{report:?}");
    println!("{ROWS} rows: observed in {observed:?}, labelled in {labelled:?}, checked in {checked:?}");
}

#[tokio::test]
async fn a_window_without_columns_still_has_rows() {
    let monitor = monitor_in(&folder());
    define(&monitor, all_signals()).await;
    let rows = people(40.0).take(&[0, 1]).unwrap().without(&["age", "city"]);
    let (ids, said) = (ids("row", 2), MonitorUnderTest::usual_predictions(2));
    see(&monitor, &ids, start(), &rows, &said).await.unwrap();
    assert_eq!(monitor.check(&name(), &day()).await.unwrap().rows, 2);
}

#[tokio::test]
async fn a_check_without_the_detector_says_which_signal_it_could_not_compute() {
    let folder = folder();
    let monitor = monitor_in(&folder);
    define(&monitor, all_signals()).await;
    let (ids, said) = (ids("row", 20), MonitorUnderTest::usual_predictions(20));
    let rows = people(40.0).take(&(0..20).collect::<Vec<_>>()).unwrap();
    see(&monitor, &ids, start(), &rows, &said).await.unwrap();
    let bare = store_in(&folder).monitor();
    let report = bare.check(&name(), &day()).await.unwrap();
    assert_eq!((report.rows, report.signals.len()), (20, 3));
    for signal in &report.signals {
        assert!(matches!(signal.outcome, SignalOutcome::Failed(_)), "{signal:?}");
        assert_eq!(signal.verdict, Verdict::Insufficient);
    }
}

#[tokio::test]
async fn what_was_damaged_is_refused_by_name() {
    for (sql, row) in [
        ("UPDATE observation_batch SET block = substr(block, 1, length(block) - 1)", "observation_batch 1"),
        ("UPDATE observation_batch SET block = zeroblob(length(block))", "observation_batch 1"),
        ("UPDATE monitor SET body = replace(body, '0.8', '0.1')", "monitor watch"),
        ("UPDATE monitor_report SET body = replace(body, '\"fail\"', '\"pass\"')", "monitor_report watch/1"),
        ("UPDATE alert SET body = replace(body, 'critical', 'info')", "alert an-alert"),
    ] {
        let folder = folder();
        let monitor = monitor_in(&folder);
        define(&monitor, all_signals()).await;
        let (ids, said) = (ids("row", 20), MonitorUnderTest::shifted_predictions(20));
        let rows = people(70.0).take(&(0..20).collect::<Vec<_>>()).unwrap();
        see(&monitor, &ids, start(), &rows, &said).await.unwrap();
        assert!(monitor.check(&name(), &day()).await.unwrap().raised().count() > 0);
        let sink = store_in(&folder).alerts();
        let (key, signal, message) = ("an-alert", "inputs".to_owned(), "age drifted".to_owned());
        let key = IdempotencyKey::new(key).unwrap();
        let severity = Severity::Critical;
        sink.deliver(&Alert::new(key, name(), signal, severity, message, start())).await.unwrap();
        damage(&folder, sql);
        let checked = monitor.check(&name(), &day()).await.map(drop);
        let listed = monitor.reports(&name(), &PageRequest::default()).await.map(drop);
        let alerts = sink.alerts(&PageRequest::default()).await.map(drop);
        let errors: Vec<_> = [checked, listed, alerts].into_iter().filter_map(Result::err).collect();
        assert!(!errors.is_empty(), "{sql}");
        for error in errors {
            assert_eq!(
                (error.kind(), error.context("row")),
                (ErrorKind::Corrupt, Some(row)),
                "{sql}: {error}"
            );
        }
    }
}

// ── processes ────────────────────────────────────────────────────────────────────────────────────────────────────────────

const CHILD: &str = "MLOPS_TEST_FOLDER";
const CHILDREN: usize = 4;

/// What each process does: it sends the rows and labels that every other process sends too, in an order of its own.
#[tokio::test]
async fn child_that_observes() {
    let Ok(folder) = std::env::var(CHILD) else { return };
    let monitor = LocalStore::open(Path::new(&folder)).unwrap().monitor();
    let turn = std::process::id() as usize;
    let rows = people(40.0).take(&[0, 1, 2]).unwrap();
    let said = MonitorUnderTest::usual_predictions(3);
    for i in 0..100 {
        let first = (i * 37 + turn) % 100;
        let ids: Vec<String> = (first..first + 3).map(|n| format!("row-{n}")).collect();
        see(&monitor, &ids, start(), &rows, &said).await.unwrap();
        let labels: Vec<_> = ids.iter().map(|id| truth(id, 1.0)).collect();
        monitor.label(&endpoint(), &labels).await.unwrap();
    }
}

#[tokio::test]
async fn rows_of_many_processes_are_there_once() {
    let folder = folder();
    let monitor = monitor_in(&folder);
    define(&monitor, all_signals()).await;
    let children: Vec<_> = (0..CHILDREN)
        .map(|_| {
            std::process::Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "child_that_observes"])
                .env(CHILD, folder.folder.path())
                .stdout(std::process::Stdio::null())
                .spawn()
                .unwrap()
        })
        .collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    let report = monitor.check(&name(), &day()).await.unwrap();
    assert_eq!(report.rows, 102);
    let SignalOutcome::Performance { labelled, .. } = report.signals[2].outcome else { panic!("{report:?}") };
    assert_eq!(labelled, 102);
    assert!(store_in(&folder).verify().await.unwrap().is_sound());
    damage(&folder, "DELETE FROM observation WHERE id = 'row-7'");
    assert_eq!(store_in(&folder).verify().await.unwrap().findings.len(), 1);
}
