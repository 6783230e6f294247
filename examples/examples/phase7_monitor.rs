//! Phase 7: watch what a model is asked and answers, and how well it does once the truth arrives.
//!
//! `cargo run -p mlops-examples --example phase7_monitor`

use std::sync::Arc;
use std::time::Duration;

use mlops_core::data::{Column, Part, Table};
use mlops_core::hash::digest_json;
use mlops_core::memory::{MemoryAlertSink, MemoryMonitor};
use mlops_core::monitor::{
    Alert, AlertSink as _, FeatureDrift, FeatureOutcome, GroundTruth, Monitor as _, MonitorReport,
    MonitorSpec, Observations, PerformanceRule, SignalKind, SignalOutcome, SignalSpec, Window,
};
use mlops_core::problem::Task;
use mlops_core::time::{ManualClock, Timestamp};
use mlops_core::{IdempotencyKey, Result};
use mlops_drift::detector::{Detector, DetectorOptions};
use mlops_drift::report::moves;
use mlops_eval::evaluator::StandardEvaluator;
use mlops_examples::narrate::{say, step};
use mlops_examples::prepare::{LABEL, Source, prepare};
use mlops_examples::train::{Candidate, logistic};

const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let data = prepare(&Source::diabetes())?;
    let (train, later) = (data.part(Part::Train)?, data.part(Part::Test)?);
    let arriving = later.select(&data.features)?;
    let model = logistic(&train, &data.features, 0)?;

    // What the model was trained on is the reference that later weeks are held against, feature by feature.
    let detector = Detector::fit(&train.select(&data.features)?, DetectorOptions::default())?;
    let clock = Arc::new(ManualClock::at("2026-03-01T00:00:00Z".parse()?));
    let monitor = MemoryMonitor::new(clock.clone())
        .with_detector("inputs", Arc::new(detector))
        .with_evaluator(Arc::new(StandardEvaluator::default()), Task::BinaryClassification);
    let rule = PerformanceRule::new("roc_auc".parse()?, 0.75, 50);
    let spec = MonitorSpec::new(
        "diabetes".parse()?,
        "diabetes".parse()?,
        vec![
            SignalSpec::new("inputs", SignalKind::DataDrift),
            SignalSpec::new("quality", SignalKind::Performance(rule)),
        ],
    );
    monitor.define(&spec).await?;

    // Patients like those of the training data arrive. Nobody knows yet how they will fare.
    step(1, "A week like any other");
    let first: Timestamp = "2026-03-02T00:00:00Z".parse()?;
    let ids = observe(&monitor, &model, &arriving, first).await?;
    clock.advance(WEEK);
    show(&monitor.check(&spec.name, &Window::new(first, first + WEEK)?).await?);

    // Another scale is used: it shows six units more for everybody. No label is needed to see that.
    step(2, "A week with a new scale in the practice");
    let second = first + WEEK;
    let heavier: Vec<f64> = arriving.column("bmi")?.to_f64()?.iter().map(|bmi| bmi + 6.0).collect();
    let shifted = arriving.without(&["bmi"]).with_column(Column::f64("bmi", heavier)?)?;
    observe(&monitor, &model, &shifted, second).await?;
    clock.advance(WEEK);
    let report = monitor.check(&spec.name, &Window::new(second, second + WEEK)?).await?;
    show(&report);
    // The same report for people: one page that shows every feature then and now, and loads nothing.
    for signal in report.raised() {
        if let SignalOutcome::Drift(drift) = &signal.outcome {
            for moved in drift.drifted().flat_map(what_moved) {
                say(format!("         {moved}"));
            }
            let page = std::env::temp_dir().join(format!("mlops-drift-report-{}.html", std::process::id()));
            std::fs::write(&page, mlops_drift::report::html(drift))?;
            say(format!("         as a page: {}", page.display()));
        }
    }

    // An alarm that nobody hears is none: delivery is confirmed. The key follows from what the alert is about, so that it
    // arrives once however often it is sent.
    step(3, "Tell somebody");
    let sink = MemoryAlertSink::default();
    for signal in report.raised() {
        let about = digest_json(&(&report.monitor, &signal.signal, report.window))?;
        let (key, monitor) = (IdempotencyKey::from_digest(&about), report.monitor.clone());
        let alert = Alert::new(key, monitor, &signal.signal, signal.severity, &signal.reason, report.at);
        for _ in 0..2 {
            let receipt = sink.deliver(&alert).await?;
            say(format!("{:?}: {}: duplicate {}", alert.severity, alert.message, receipt.duplicate));
        }
    }
    say(format!("alerts in the inbox: {}", sink.alerts().len()));

    // A year later the truth of the first week is known. It is joined to what was said then, by id.
    step(4, "Labels arrive");
    clock.advance(52 * WEEK);
    let truth = later.column(LABEL)?.to_f64()?.into_owned();
    let labels: Vec<_> = ids.into_iter().zip(truth).map(|(id, value)| GroundTruth::new(id, value)).collect();
    let receipt = monitor.label(&spec.endpoint, &labels).await?;
    say(format!("{} labels joined, {} waiting for their observation", receipt.joined, receipt.waiting));
    show(&monitor.check(&spec.name, &Window::new(first, first + WEEK)?).await?);
    Ok(())
}

/// Asks the model, and tells the monitor what it saw and said.
async fn observe(to: &MemoryMonitor, by: &Candidate, rows: &Table<'_>, at: Timestamp) -> Result<Vec<String>> {
    let predictions = &by.predictor.predict(rows)?;
    let ids: Vec<String> = (1..=rows.rows()).map(|row| format!("{} {row}", at.date_naive())).collect();
    let (endpoint, deployment) = ("diabetes".parse()?, "blue".parse()?);
    let seen = Observations::new(endpoint, deployment, at, &ids, rows, predictions);
    to.observe(&seen).await?;
    Ok(ids)
}

/// What happened to a feature, in words.
fn what_moved(feature: &FeatureDrift) -> Vec<String> {
    let FeatureOutcome::Measured(score) = &feature.outcome else { return Vec::new() };
    let sentences = moves(score, 2).into_iter().map(|moved| moved.sentence);
    sentences.map(|sentence| format!("{}: {sentence}", feature.feature)).collect()
}

fn show(report: &MonitorReport) {
    for signal in &report.signals {
        say(format!("{:8} {}: {}", signal.signal, signal.verdict, signal.reason));
        if let SignalOutcome::Drift(drift) = &signal.outcome {
            let drifted: Vec<&str> = drift.drifted().map(|f| f.feature.as_str()).collect();
            say(format!("         drifted: [{}]", drifted.join(", ")));
        }
    }
}
