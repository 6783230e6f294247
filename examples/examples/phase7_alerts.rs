//! Phase 7: from numbers to people: how an endpoint is doing, rules that raise the alarm once and not at every spike, an alarm
//! when data stops, and a webhook that the receiver can trust. Phase 8 at its end: what comes from outside becomes a request to retrain.
//!
//! `cargo run -p mlops-examples --example phase7_alerts`

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use mlops_core::monitor::alerting::{AlertFormat, AlertInput, AlertRules, AlertState, dispatch};
use mlops_core::monitor::sink::{
    FileAlertSink, LogAlertSink, WebhookAlertSink, WebhookIo, WebhookRequest, WebhookResponse, WebhookSecret,
    WebhookTarget, WebhookTransport, verify_webhook,
};
use mlops_core::monitor::{AlertSink, OperationReport, OperationSeries, RequestOutcome, Window};
use mlops_core::retrain::event_source::{EventFilter, EventGrid, Received};
use mlops_core::retrain::gates::{CauseKind, GateInput, GatesState, RetrainCause, RetrainGates};
use mlops_core::time::{ManualClock, NoPause, Timestamp};
use mlops_examples::narrate::{say, step};

const MINUTE: Duration = Duration::from_secs(60);
const RULES: &str = r#"
name = "diabetes"

[[rules]]
id = "errors"
signal = "error_rate"
above = 0.05
recovery = 0.02
for = "3m"
no_data = "10m"
severity = "critical"
summary = "The endpoint fails"

[[rules]]
id = "slow"
signal = "latency_p99_seconds"
above = 0.1
recovery = 0.08
for = "5m"

[[routes]]
id = "pager"
min_severity = "critical"
sinks = ["pager"]
continue = true

[[routes]]
id = "all"
group_by = ["endpoint"]
wait = "1m"
sinks = ["log", "file"]
"#;
const SECRET: &str = "whsec_bW9ybmluZy1ub29uLWV2ZW5pbmctbmlnaHQ=";

/// The pager's side: refuses what is not signed, and is busy at first. A service would post over HTTP instead.
#[derive(Debug, Default)]
struct Pager {
    took: Mutex<u32>,
}

#[async_trait]
impl WebhookTransport for Pager {
    async fn post(&self, request: &WebhookRequest) -> mlops_core::Result<WebhookResponse> {
        let secret = WebhookSecret::parse(SECRET)?;
        let now = "2026-03-02T09:00:00Z".parse().unwrap_or_default();
        verify_webhook(&[secret], &request.headers, &request.body, now, 120 * MINUTE)?;
        let mut took = self.took.lock().unwrap_or_else(|broken| broken.into_inner());
        *took += 1;
        Ok(WebhookResponse::new(if *took == 1 { 503 } else { 204 }))
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let start: Timestamp = "2026-03-02T09:00:00Z".parse()?;

    // Every instance counts for itself. What they counted adds up, quantiles included.
    step(1, "Two instances of one endpoint, minute by minute");
    let mut series = OperationSeries::new(MINUTE)?;
    for instance in 0..2_u32 {
        let mut own = OperationSeries::new(MINUTE)?;
        for minute in 0..30_u32 {
            for request in 0..100_u32 {
                // From minute 5 to 12 the second instance loses its database; from 20 on nobody asks any more.
                let lost = instance == 1 && (5..12).contains(&minute) && request % 3 == 0;
                let outcome = if lost { RequestOutcome::Failed } else { RequestOutcome::Answered };
                if minute < 20 {
                    let latency = Duration::from_micros(u64::from(2_000 + 37 * (request % 50)));
                    own.record(start + MINUTE * minute, outcome, latency);
                }
            }
        }
        series.merge(&own)?;
    }
    let report = series.report(&Window::new(start, start + MINUTE * 20)?)?;
    say(format!("{} answered, {} failed, {:.0} a second", report.answered, report.failed, report.throughput));
    if let Some(latency) = report.latency {
        say(format!("p50 {:?}, p99 {:?}, longest {:?}", latency.p50, latency.p99, latency.max));
    }

    step(2, "Rules, and who hears of them");
    let rules = AlertRules::parse(RULES, AlertFormat::Toml)?;
    let folder = std::env::temp_dir().join(format!("mlops-alerts-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let clock = Arc::new(ManualClock::at(start));
    let target = WebhookTarget::new(
        "pager",
        "https://pager.example/hook",
        "/mlops/monitors/diabetes",
        vec![WebhookSecret::parse(SECRET)?],
    );
    let io = WebhookIo::new(Arc::new(Pager::default()), Arc::new(NoPause), clock.clone());
    let pager = WebhookAlertSink::new(target, io)?;
    let file = folder.join("alerts.jsonl");
    let sinks: BTreeMap<String, Arc<dyn AlertSink>> = [
        ("pager".to_owned(), Arc::new(pager.clone()) as Arc<dyn AlertSink>),
        ("log".to_owned(), Arc::new(LogAlertSink::new(std::io::stdout())) as Arc<dyn AlertSink>),
        ("file".to_owned(), Arc::new(FileAlertSink::open(&file)?) as Arc<dyn AlertSink>),
    ]
    .into();
    // A name that is misspelt would wait for ever: rules and routes are held against what there is before anything happens.
    rules.check_signals(OperationReport::SIGNALS, &[])?;
    rules.check_sinks(&sinks)?;
    let mut state = AlertState::default();
    for minute in 1..=40_u32 {
        let now = start + MINUTE * minute;
        clock.advance(MINUTE);
        let last = series.report(&Window::new(now - MINUTE, now)?)?;
        for input in AlertInput::of_operation(&last, &[("endpoint", "diabetes")]) {
            (state, _) = rules.step(&state, &input, now)?;
        }
        // A service would write the state down here: whatever happens now, no notice is lost and none arrives twice.
        (state, _) = dispatch(&state, &sinks).await;
    }
    say(format!("still firing: {}; not delivered: {}", state.firing().count(), state.undelivered.len()));
    for attempt in pager.attempts() {
        say(format!(
            "pager, attempt {}: {:?} {}",
            attempt.attempt,
            attempt.status,
            attempt.failure.unwrap_or_default()
        ));
    }
    say(format!("lines in the file: {}", std::fs::read_to_string(&file)?.lines().count()));
    std::fs::remove_dir_all(&folder)?;

    // Events arrive more than once and in no order; a request is made once.
    step(3, "A monitor in the cloud says that the inputs drifted");
    let body = br#"[{"topic": "/workspaces/w", "id": "5829", "subject": "experiments/1/runs/m", "eventTime": "2026-03-02T10:00:00Z",
        "eventType": "Microsoft.MachineLearningServices.RunStatusChanged", "data": {"RunTags": {"azureml_modelmonitor_threshold_breached":
        "The signal 'inputs' has failed due to one or more features violating metric thresholds."}}, "dataVersion": "1.0"}]"#;
    let gates =
        RetrainGates::new("diabetes".parse()?).with_debounce(5 * MINUTE).with_cooldown(24 * 60 * MINUTE);
    let filter = EventFilter::threshold_breached()?;
    let mut gate_state = GatesState::default();
    let mut inputs = Vec::new();
    for _ in 0..2 {
        let Received::Events(events) = EventGrid::receive(body)? else { continue };
        for event in events.iter().filter(|event| filter.takes(event)) {
            let reason = format!("{} is over its threshold", event.breached_signal().unwrap_or("a signal"));
            inputs.push(GateInput::Cause(RetrainCause::of_signal(
                CauseKind::Drift,
                &event.signal(),
                reason,
                start,
            )));
        }
    }
    inputs.push(GateInput::Tick);
    for (minute, input) in (60_u32..).step_by(5).zip(&inputs) {
        let decided = gates.step(&gate_state, input, 0, start + MINUTE * minute)?;
        decided.records.iter().for_each(|record| say(record.to_string()));
        gate_state = decided.state;
    }
    Ok(())
}
