//! Model monitors: made, changed, stopped and removed; and from a breach to a reason to retrain.

use std::time::Duration;

use mlops_azure::event::{EventReceiver, EventTopics};
use mlops_azure::fake::{FakeEventGrid, breach};
use mlops_azure::monitor::{DriftLimit, ModelMonitors, MonitorPlan};
use mlops_azure::wire::event::{Destination, EventSubscription, RUN_STATUS_CHANGED};
use mlops_azure::wire::job::input::ValueType;
use mlops_azure::wire::monitor::{
    FeatureKind, InputData, ModelMonitor, MonitorCompute, MonitorMetric, MonitorTask, MonitoringTarget,
    ProductionData, Signal, SignalType,
};
use mlops_azure::wire::schedule_trigger::{Frequency, ScheduleTrigger};
use mlops_core::data::DataType;
use mlops_core::governance::Secret;
use mlops_core::monitor::{
    FeatureBounds, MonitorSpec, PerformanceRule, QualityLimits, QualityRule, Severity, SignalKind, SignalSpec,
};
use mlops_core::retrain::event_source::EventFilter;
use mlops_core::retrain::{EventTrigger, Trigger as _, TriggerState};
use mlops_core::{Error, ErrorKind};
use serde_json::json;

use super::event::webhook;
use crate::judged;

fn spec(signals: Vec<SignalSpec>) -> MonitorSpec {
    MonitorSpec::new("watch".parse().unwrap(), "churn".parse().unwrap(), signals)
}

fn plan() -> MonitorPlan {
    let target =
        MonitoringTarget::deployment(MonitorTask::Classification, "/subscriptions/s/deployments/blue");
    let daily = ScheduleTrigger::every(1, Frequency::Day).unwrap().at([3], [15]).unwrap();
    MonitorPlan::new(
        daily,
        MonitorCompute::spark("standard_e4s_v3", "3.4"),
        target,
        InputData::fixed(ValueType::MlTable, "azureml:train:1").in_context("training"),
    )
    .with_inputs("azureml:model_inputs:1")
    .with_outputs("azureml:model_outputs:1")
    .with_window(Duration::from_secs(86_400), Duration::from_secs(3_600))
    .with_limit(DriftLimit::of_score("js.distance.base2/v1", 0.1))
    .with_limit(DriftLimit::of_p_value("chi2.distance/v1", 0.05))
    .writing_to(["on-call@example.com"])
}

fn rule() -> QualityRule {
    QualityRule::new(vec![
        FeatureBounds::new("age", DataType::I64),
        FeatureBounds::new("plan", DataType::Category),
    ])
}

fn monitor() -> ModelMonitor {
    let mut outputs = SignalSpec::new("outputs", SignalKind::PredictionDrift);
    outputs.severity = Severity::Critical;
    plan()
        .monitor(&spec(vec![
            SignalSpec::new("inputs", SignalKind::DataDrift),
            outputs,
            SignalSpec::new("quality", SignalKind::DataQuality(Box::new(rule()))),
        ]))
        .unwrap()
}

#[tokio::test]
async fn a_monitor_of_core_is_made_read_stopped_listed_and_removed() {
    let azure = judged();
    let monitors = ModelMonitors::new(azure.arm(), azure.place());
    let made = monitors.create("watch", &monitor()).await.unwrap();
    assert_eq!((made.name.as_deref(), azure.refused()), (Some("watch"), vec![]));
    // The write, its status, and the result.
    assert_eq!(azure.count(), 3, "{:?}", azure.requests());

    let read = monitors.get("watch").await.unwrap();
    let signals = &read.properties.definition().signals;
    assert_eq!(signals.keys().collect::<Vec<_>>(), ["inputs", "outputs", "quality"]);
    let drift = &signals["inputs"];
    let measured = drift.metric_thresholds.as_ref().unwrap();
    let measured: Vec<_> =
        measured.iter().map(|t| (t.data_type.clone().unwrap(), t.metric.clone(), t.value())).collect();
    assert_eq!(
        measured,
        [
            (FeatureKind::Numerical, MonitorMetric::JensenShannonDistance, Some(0.1)),
            (FeatureKind::Categorical, MonitorMetric::JensenShannonDistance, Some(0.1)),
            (FeatureKind::Categorical, MonitorMetric::PearsonsChiSquaredTest, Some(0.05)),
        ]
    );
    assert_eq!(signals["outputs"].properties.as_ref().unwrap().get("mlops.severity"), Some("critical"));
    let kinds = signals["quality"].feature_data_type_override.as_ref().unwrap();
    assert_eq!((&kinds["age"], &kinds["plan"]), (&FeatureKind::Numerical, &FeatureKind::Categorical));
    assert_eq!(signals["quality"].metric_thresholds.as_ref().unwrap().len(), 6);

    // A schedule of a job is no monitor; nor is what nobody here knows lost when it is switched off.
    let workspace = azure.workspace().id();
    let job = json!({ "properties": { "action": { "actionType": "CreateJob", "jobDefinition": {} }, "trigger": { "triggerType": "Cron", "expression": "0 0 * * *" } } });
    azure.set_resource(&format!("{workspace}/schedules/nightly"), job);
    assert_eq!(monitors.get("nightly").await.unwrap_err().kind(), ErrorKind::Conflict);
    let mut stored = azure.resource(&format!("{workspace}/schedules/watch")).unwrap();
    stored["properties"]["tags"] = json!({ "kept": "yes" });
    azure.set_resource(&format!("{workspace}/schedules/watch"), stored);
    azure.forget_requests();
    let off = monitors.disable("watch").await.unwrap();
    assert_eq!(off.properties.is_enabled, Some(false));
    assert_eq!(off.properties.tags.unwrap().get("kept"), Some("yes"));
    assert_eq!(azure.count(), 4);
    monitors.disable("watch").await.unwrap();
    assert_eq!(azure.count(), 5, "what is off is not written again");
    assert_eq!(monitors.enable("watch").await.unwrap().properties.is_enabled, Some(true));

    monitors.create("other", &monitor()).await.unwrap();
    let mut names: Vec<_> = monitors.list().await.unwrap().into_iter().filter_map(|m| m.name).collect();
    names.sort();
    assert_eq!(names, ["other", "watch"]);
    for _ in 0..2 {
        monitors.delete("watch").await.unwrap();
    }
    assert_eq!(monitors.get("watch").await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(azure.refused(), Vec::<String>::new());
}

#[tokio::test]
async fn a_monitor_that_fails_to_be_made_says_why() {
    let azure = judged();
    azure.faults().fail_operation("/schedules/watch", "BadArgument", "The compute is not supported.");
    let error = ModelMonitors::new(azure.arm(), azure.place()).create("watch", &monitor()).await.unwrap_err();
    assert!(error.to_string().contains("The compute is not supported."), "{error}");
}

fn refusal(plan: MonitorPlan, signal: SignalKind) -> Error {
    plan.monitor(&spec(vec![SignalSpec::new("s", signal)])).unwrap_err()
}

#[test]
fn what_azure_cannot_compute_is_refused_by_name() {
    let performance = PerformanceRule::new("accuracy".parse().unwrap(), 0.9, 100);
    let error = refusal(plan(), SignalKind::Performance(performance));
    assert_eq!((error.kind(), error.context("signal")), (ErrorKind::Unsupported, Some("s")));
    assert!(error.context("capability").unwrap().contains("model performance"));

    let quality = |rule: QualityRule| SignalKind::DataQuality(Box::new(rule));
    let own = rule().with_feature("age", QualityLimits::default().with_null_rate(0.5));
    let mut bounded = rule();
    bounded.features[0] = FeatureBounds::new("age", DataType::I64).within(0.0, 120.0);
    let mut times = rule();
    times.features[0] = FeatureBounds::new("at", DataType::Time);
    for (rule, capability) in [
        (own, "limits of single features"),
        (rule().with_min_rows(100), "a smallest number of rows"),
        (bounded.clone(), "bounds that are not those of the reference data"),
        (times, "the quality of this type"),
    ] {
        assert_eq!(refusal(plan(), quality(rule)).context("capability"), Some(capability));
    }
    let same = rule().with_feature("age", QualityLimits::default());
    for (plan, rule) in [(plan(), same), (plan().with_bounds_of_reference(), bounded)] {
        assert!(plan.monitor(&spec(vec![SignalSpec::new("s", quality(rule))])).is_ok());
    }
    for (limit, context) in [
        (DriftLimit::of_score("hellinger/v1", 0.1), ("definition", "hellinger/v1")),
        (DriftLimit::of_score("ks.two_sample/v1", 0.1), ("held_against", "score")),
        (DriftLimit::of_p_value("psi.jeffreys/v1", 0.05), ("held_against", "p-value")),
        (DriftLimit::of_score("psi.jeffreys/v1", f64::NAN), ("field", "limit")),
        (DriftLimit::of_p_value("chi2.distance/v1", 1.5), ("field", "limit")),
        (DriftLimit::of_score("psiphon/v1", 0.1), ("definition", "psiphon/v1")),
    ] {
        let error = refusal(plan().with_limit(limit), SignalKind::DataDrift);
        assert_eq!(error.context(context.0), Some(context.1), "{error}");
    }
}

#[test]
fn a_plan_that_lacks_something_says_what() {
    let bare = || {
        let target = MonitoringTarget::model(MonitorTask::Regression, "azureml:m:1");
        let daily = ScheduleTrigger::every(1, Frequency::Day).unwrap();
        let reference = InputData::fixed(ValueType::MlTable, "azureml:train:1");
        MonitorPlan::new(daily, MonitorCompute::spark("standard_e4s_v3", "3.4"), target, reference)
    };
    let field = |plan, kind| refusal(plan, kind).context("field").map(str::to_owned);
    assert_eq!(field(bare(), SignalKind::DataDrift).as_deref(), Some("inputs"));
    assert_eq!(field(bare(), SignalKind::PredictionDrift).as_deref(), Some("outputs"));
    let with_inputs = bare().with_inputs("azureml:i:1");
    assert_eq!(field(with_inputs, SignalKind::DataDrift).as_deref(), Some("limits"));
    assert_eq!(bare().monitor(&spec(vec![])).unwrap_err().context("field"), Some("signals"));
}

#[tokio::test]
async fn what_azure_would_refuse_or_never_compute_is_not_sent() {
    let azure = judged();
    let monitors = ModelMonitors::new(azure.arm(), azure.place());
    let with = |change: &dyn Fn(&mut Signal)| {
        let mut changed = monitor();
        change(changed.action.monitor_definition.signals.get_mut("inputs").unwrap());
        changed
    };
    let mut empty = monitor();
    empty.action.monitor_definition.signals.clear();
    let metric = |metric| move |s: &mut Signal| s.metric_thresholds.as_mut().unwrap()[0].metric = metric;
    let quality = metric(MonitorMetric::NullValueRate);
    let cases: Vec<(ModelMonitor, &str)> = vec![
        (empty, "signals"),
        (with(&|s| s.metric_thresholds.as_mut().unwrap().clear()), "metric_thresholds"),
        (with(&|s| s.reference_data = None), "production_data"),
        (with(&|s| s.production_data = None), "production_data"),
        (with(&|s| s.reference_data.as_mut().unwrap().uri.0.clear()), "uri"),
        (
            with(&|s| {
                let Some(ProductionData::One(one)) = s.production_data.clone() else { panic!() };
                s.production_data = Some(ProductionData::Several(vec![*one.clone(), *one]));
            }),
            "production_data",
        ),
        (
            with(&|s| {
                let threshold = s.metric_thresholds.as_mut().unwrap()[0].threshold.as_mut().unwrap();
                threshold.value = Some(f64::INFINITY);
            }),
            "threshold",
        ),
    ];
    for (monitor, field) in cases {
        let error = monitors.create("watch", &monitor).await.unwrap_err();
        assert_eq!(error.context("field"), Some(field), "{error}");
    }
    let mut wrong = monitor();
    let inputs = wrong.action.monitor_definition.signals.get_mut("inputs").unwrap();
    quality(inputs);
    assert_eq!(monitors.create("watch", &wrong).await.unwrap_err().context("metric"), Some("NullValueRate"));
    let preview = with(&|s| s.signal_type = SignalType::from("modelPerformance"));
    assert_eq!(monitors.create("watch", &preview).await.unwrap_err().kind(), ErrorKind::Unsupported);
    assert!(monitors.create("../watch", &monitor()).await.is_err());
    assert_eq!(azure.count(), 0);
}

/// The whole way: a monitor finds something, Event Grid tells it twice and the newest first, and the trigger fires once for each.
#[tokio::test]
async fn a_breach_that_is_delivered_twice_fires_the_trigger_once() {
    for schema in ["CloudEventSchemaV1_0", "EventGridSchema"] {
        let azure = judged();
        let grid = FakeEventGrid::of(&azure);
        grid.repeating();
        let key = Secret::new("a key of many bytes");
        let (breaches, hook) =
            webhook(EventReceiver::new().unwrap().with_key("x-mlops-key", key.clone()).unwrap());
        grid.webhook("https://mlops.example.com/events", hook);
        let destination = Destination::webhook(&Secret::new("https://mlops.example.com/events"))
            .with_key("x-mlops-key", &key);
        let subscription = EventSubscription::of_breaches(destination).written_as(schema.into());
        EventTopics::new(azure.arm(), azure.workspace()).subscribe("breaches", &subscription).await.unwrap();
        let monitors = ModelMonitors::new(azure.arm(), azure.place());
        monitors.create("watch", &monitor()).await.unwrap();

        let first = breach(&azure, &grid, "watch", "inputs").unwrap().unwrap();
        let second = breach(&azure, &grid, "watch", "outputs").unwrap().unwrap();
        assert_eq!(grid.deliver(), 4);
        monitors.disable("watch").await.unwrap();
        assert_eq!(breach(&azure, &grid, "watch", "inputs").unwrap(), None, "one that is off finds nothing");

        let trigger = EventTrigger::new(RUN_STATUS_CHANGED, Duration::ZERO).unwrap();
        let (mut state, mut fired) = (TriggerState::default(), Vec::new());
        let arrived = breaches.lock().unwrap().clone();
        for (seconds, arrived) in arrived.iter().enumerate() {
            let now = azure.now() + Duration::from_secs(seconds as u64);
            let decision = trigger.evaluate(&state, &arrived.signal, now).unwrap();
            if decision.fires() {
                fired.push(arrived.event.clone());
            }
            // A restart in between: what is known is written down.
            state = serde_json::from_str(&serde_json::to_string(&decision.state).unwrap()).unwrap();
        }
        assert_eq!((arrived.len(), fired), (4, vec![second, first]), "{schema}");
        assert!(arrived[0].is_of("watch", "outputs") && arrived[3].is_of("watch", "inputs"));
        assert_eq!(azure.refused(), Vec::<String>::new());
    }
    assert!(EventFilter::threshold_breached().is_ok());
}

#[tokio::test]
async fn a_list_has_monitors_that_are_off_and_no_odd_one_makes_it_unreadable() {
    let azure = judged();
    let monitors = ModelMonitors::new(azure.arm(), azure.place());
    monitors.create("on", &monitor()).await.unwrap();
    monitors.create("off", &monitor()).await.unwrap();
    monitors.disable("off").await.unwrap();
    let workspace = azure.workspace().id();
    let mut odd = azure.resource(&format!("{workspace}/schedules/on")).unwrap();
    odd["name"] = json!("odd");
    odd["properties"]["action"]["monitorDefinition"]["signals"] = json!("of a preview");
    azure.set_resource(&format!("{workspace}/schedules/odd"), odd);
    let mut nulls = azure.resource(&format!("{workspace}/schedules/on")).unwrap();
    nulls["properties"]["action"]["monitorDefinition"]["signals"]["gone"] = json!(null);
    azure.set_resource(&format!("{workspace}/schedules/nulls"), nulls);
    let listed = monitors.list().await.unwrap();
    let mut names: Vec<&str> = listed.iter().filter_map(|monitor| monitor.name.as_deref()).collect();
    names.sort_unstable();
    assert_eq!(names, ["nulls", "off", "on"]);
    assert_eq!(monitors.get("odd").await.unwrap_err().kind(), ErrorKind::Protocol);
}
