//! Bodies of monitors, Event Grid, role assignments, tags and workspaces.

use std::time::Duration;

use mlops_azure::wire::arm_scope::ArmScope;
use mlops_azure::wire::event::{
    self, AdvancedFilter, DeadLetter, Destination, Event, EventSchema, EventSubscription, SubscriptionFilter,
    SystemTopic,
};
use mlops_azure::wire::job::JobInput;
use mlops_azure::wire::job::input::ValueType;
use mlops_azure::wire::monitor::{
    FeatureFilter, FeatureImportance, FeatureKind, InputData, MetricThreshold, ModelMonitor, MonitorCompute,
    MonitorDefinition, MonitorMetric, MonitorTask, MonitoringTarget, Signal,
};
use mlops_azure::wire::role::{self, DATA_SCIENTIST, PrincipalType, RoleAssignment};
use mlops_azure::wire::schedule_trigger::{Frequency, ScheduleTrigger, WeekDay};
use mlops_azure::wire::tags::{self, TagOperation, TagPatch};
use mlops_azure::wire::{ArmAt, Identity, Properties, Resource};
use mlops_core::governance::Secret;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{Built, SUBSCRIPTION, id, material, place, put, read, text};

const DAY: Duration = Duration::from_secs(86_400);

pub fn built() -> Vec<Built> {
    [monitors(), events(), governance()].into_iter().flatten().collect()
}

fn asked(context: &str) -> InputData {
    let uri = id("data/in/versions/1");
    InputData::rolling(ValueType::UriFolder, uri, DAY, Duration::ZERO).in_context(context)
}

fn learned() -> InputData {
    InputData::fixed(ValueType::MlTable, id("data/train/versions/1"))
        .in_context("training")
        .with_column("target_column", "y")
}

fn spark() -> MonitorCompute {
    MonitorCompute::spark("standard_e4s_v3", "3.4")
}

fn monitors() -> Vec<Built> {
    let at = place().at::<Resource<ModelMonitor>>(&["schedules", "watch"]).unwrap();
    let drift = Signal::data_drift(
        asked("model_inputs"),
        learned(),
        [
            MetricThreshold::numerical(MonitorMetric::JensenShannonDistance, 0.01),
            MetricThreshold::categorical(MonitorMetric::PearsonsChiSquaredTest, 0.02),
        ],
    )
    .of_features(FeatureFilter::top(10))
    .notifying();
    let predictions = Signal::prediction_drift(
        asked("model_outputs"),
        learned(),
        [MetricThreshold::numerical(MonitorMetric::PopulationStabilityIndex, 0.2)],
    );
    let quality = Signal::data_quality(
        asked("model_inputs"),
        learned(),
        [MetricThreshold::numerical(MonitorMetric::NullValueRate, 0.05)],
    );
    let target =
        MonitoringTarget::deployment(MonitorTask::Classification, id("onlineEndpoints/ep/deployments/blue"));
    let minimal = MonitorDefinition::new(spark())
        .of(target)
        .with_signal("drift", drift)
        .with_signal("pred", predictions)
        .with_signal("dq", quality)
        .writing_to(["a@b.c"]);
    let daily = ScheduleTrigger::every(1, Frequency::Day)
        .unwrap()
        .in_time_zone("UTC")
        .unwrap()
        .at([3], [15])
        .unwrap();
    vec![
        put(&at, &Resource::new(ModelMonitor::new(daily, minimal)), "schedules", Some("schedule_monitor")),
        put(&at, &Resource::new(with_everything()), "schedules", None),
    ]
}

/// Every kind of signal, of data and of threshold.
fn with_everything() -> ModelMonitor {
    let (start, end) = ("2026-01-01T00:00:00Z".parse().unwrap(), "2026-01-08T00:00:00Z".parse().unwrap());
    let week =
        InputData::of_window(ValueType::MlTable, "azureml:t:1", start, end).prepared_by("azureml:prep:1");
    let numbers = [
        MonitorMetric::JensenShannonDistance,
        MonitorMetric::PopulationStabilityIndex,
        MonitorMetric::NormalizedWassersteinDistance,
        MonitorMetric::TwoSampleKolmogorovSmirnovTest,
    ];
    let categories = [
        MonitorMetric::JensenShannonDistance,
        MonitorMetric::PopulationStabilityIndex,
        MonitorMetric::PearsonsChiSquaredTest,
    ];
    let rates =
        [MonitorMetric::NullValueRate, MonitorMetric::DataTypeErrorRate, MonitorMetric::OutOfBoundsRate];
    let of = |numbers: &[MonitorMetric], categories: &[MonitorMetric]| -> Vec<MetricThreshold> {
        let numbers = numbers.iter().map(|metric| MetricThreshold::numerical(metric.clone(), 0.1));
        let categories = categories.iter().map(|metric| MetricThreshold::categorical(metric.clone(), 0.1));
        numbers.chain(categories).collect()
    };
    let attribution = Signal::attribution_drift(
        [asked("model_inputs"), asked("model_outputs")],
        learned(),
        FeatureImportance::of("y"),
        0.9,
    );
    let custom = Signal::custom("azureml:my_signal:1", [MetricThreshold::custom("my_metric", 2.0)])
        .with_asset("production_data", week.clone())
        .with_input("window", JobInput::literal(7));
    let definition = MonitorDefinition::new(spark().with_identity(Identity::user([id("x")])))
        .of(MonitoringTarget::model(MonitorTask::Regression, "azureml:m:1"))
        .with_signal("attribution", attribution.notifying())
        .with_signal("custom", custom.with_property("a", "b"))
        .with_signal(
            "drift",
            Signal::data_drift(week, learned(), of(&numbers, &categories))
                .of_features(FeatureFilter::all())
                .with_kind("zip", FeatureKind::Categorical)
                .with_importance(FeatureImportance::of("y")),
        )
        .with_signal(
            "predictions",
            Signal::prediction_drift(asked("model_outputs"), learned(), of(&numbers, &categories)),
        )
        .with_signal(
            "quality",
            Signal::data_quality(asked("model_inputs"), learned(), of(&rates, &rates))
                .of_features(FeatureFilter::named(["age"])),
        );
    let weekly = ScheduleTrigger::every(2, Frequency::Week)
        .unwrap()
        .at([1, 13], [0])
        .unwrap()
        .on_week_days([WeekDay::Monday])
        .unwrap()
        .between(Some("2026-01-01T00:00:00"), Some("2027-01-01T00:00:00"));
    let mut monitor = ModelMonitor::new(weekly, definition).with_tags(text(&[("a", "b")]));
    (monitor.display_name, monitor.description) = (Some("d".to_owned()), Some("d".into()));
    (monitor.is_enabled, monitor.properties) = (Some(false), Some(text(&[("a", "b")])));
    monitor
}

/// A body of another provider.
fn arm_put<P: Properties + DeserializeOwned>(
    at: &ArmAt<Resource<P>>,
    resource: &Resource<P>,
    kind: &'static str,
    minimal: Option<&'static str>,
) -> Built {
    Built { call: at.put("test", resource).unwrap().answering(), kind: Some(kind), minimal }
}

fn group() -> ArmScope {
    ArmScope::new(&format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/rg")).unwrap()
}

/// What the minimal bodies call the workspace.
fn with_source(mut topic: SystemTopic) -> SystemTopic {
    topic.source = Some(id("").trim_end_matches('/').to_owned());
    topic
}

fn events() -> Vec<Built> {
    let workspace = mlops_azure::config::Workspace::new(SUBSCRIPTION, "rg", "wsp").unwrap();
    let topic = Resource::new(with_source(SystemTopic::of_workspace(&workspace))).with_location("eastus");
    let hook = || Destination::webhook(&Secret::new("https://x/hook"));
    let filter = SubscriptionFilter {
        subject_begins_with: Some("experiments/".to_owned()),
        is_subject_case_sensitive: Some(false),
        advanced_filters: Some(vec![AdvancedFilter::is_in("data.runStatus", ["failed"])]),
        ..SubscriptionFilter::default()
    };
    let keyed = EventSubscription {
        filter: Some(filter),
        ..EventSubscription::of_breaches(hook().with_key("x-key", &Secret::new("k")))
            .written_as(EventSchema::EventGrid)
            .with_dead_letters(DeadLetter::blobs(id("x"), "dead"))
    };
    let at = event::subscription(&group(), "breaches").unwrap();
    vec![
        arm_put(
            &event::system_topic(&group(), "t").unwrap(),
            &topic,
            "Microsoft.EventGrid/systemTopics@2025-02-15",
            Some("eventgrid_system_topic"),
        ),
        arm_put(
            &at,
            &Resource::new(EventSubscription::of_breaches(hook())),
            "Microsoft.EventGrid/eventSubscriptions@2025-02-15",
            Some("eventgrid_subscription"),
        ),
        arm_put(
            &event::topic_subscription(&group(), "t", "breaches").unwrap(),
            &Resource::new(keyed),
            "Microsoft.EventGrid/systemTopics/eventSubscriptions@2025-02-15",
            None,
        ),
    ]
}

fn governance() -> Vec<Built> {
    let principal = "00000000-0000-0000-0000-000000000000";
    let mut role =
        RoleAssignment::new(&group(), DATA_SCIENTIST, principal, PrincipalType::ServicePrincipal).unwrap();
    let at = role::assignment(&group(), &role.name(&group()).to_string()).unwrap();
    role.role_definition_id = role.role_definition_id.replace(SUBSCRIPTION, "s");
    let merged = text(&[("environment", "dev"), ("project", "p"), ("owner", "o"), ("cost-center", "c")]);
    let patch = TagPatch::new(TagOperation::Merge, merged).unwrap();
    let call = tags::tags(&group()).unwrap().patch("test", &patch).unwrap().answering();
    vec![
        arm_put(
            &at,
            &Resource::new(role),
            "Microsoft.Authorization/roleAssignments@2022-04-01",
            Some("role_assignment"),
        ),
        Built { call, kind: None, minimal: Some("tags_merge") },
    ]
}

/// A monitor that was read is written back as it was, with what nobody here knows.
#[test]
fn a_monitor_passes_through_its_type_unchanged() {
    let Some(material) = material() else { return };
    let mut body = read(&material.join("minimal/schedule_monitor.json"))["body"].clone();
    let signal = &mut body["properties"]["action"]["monitorDefinition"]["signals"]["drift"];
    signal["futureMember"] = json!({ "x": [1, null] });
    signal["productionData"]["future"] = json!(true);
    body["properties"]["action"]["monitorDefinition"]["computeConfiguration"]["future"] = json!("y");
    let read: Resource<ModelMonitor> = serde_json::from_value(body.clone()).unwrap();
    assert_eq!(serde_json::to_value(&read).unwrap(), body);
    let shouted = body.to_string().replace("DataDrift", "datadrift").replace("\"Rolling\"", "\"rolling\"");
    let read: Resource<ModelMonitor> = serde_json::from_str(&shouted).unwrap();
    assert_eq!(read.body().unwrap(), body);
}

/// What the official SDK sends is of a preview, and Azure's stable types refuse it: the reason not to copy it.
#[test]
fn what_the_official_sdk_sends_for_a_monitor_is_refused_by_the_stable_types() {
    let Some(material) = material() else { return };
    let schemas = mlops_azure::fake::Schemas::open(material.join("types")).unwrap();
    let recorded = read(&material.join("recorded/azure-ai-ml-1.35.2-monitors-registries.json"));
    let monitors: Vec<&Value> = recorded
        .as_array()
        .unwrap()
        .iter()
        .filter(|one| one["method"] == "PUT")
        .map(|one| &one["body"])
        .filter(|body| body.pointer("/properties/action/actionType") == Some(&json!("CreateMonitor")))
        .collect();
    assert!(!monitors.is_empty());
    for body in monitors {
        let kind = "Microsoft.MachineLearningServices/workspaces/schedules@2026-05-01";
        assert!(!schemas.judge(kind, body).unwrap().errors.is_empty());
    }
}

/// A subscription that somebody else made is written back with what nobody here knows.
#[test]
fn a_subscription_passes_through_its_type_unchanged() {
    let body = json!({ "properties": {
        "destination": { "endpointType": "WebHook", "properties": {
            "endpointUrl": "https://x/hook",
            "deliveryAttributeMappings": [
                { "name": "x-run", "type": "Dynamic", "properties": { "sourceField": "data.runId" } },
                { "name": "x-who", "type": "Static", "properties": { "value": "me", "isSecret": false } },
            ] } },
        "deadLetterDestination": { "endpointType": "StorageBlob", "new": { "a": 1 },
            "properties": { "resourceId": "/x", "blobContainerName": "dead", "new": 2 } },
    } });
    let read: Resource<EventSubscription> = serde_json::from_value(body.clone()).unwrap();
    assert_eq!(read.body().unwrap(), body);
}

#[test]
fn a_published_event_is_the_minimal_one() {
    let Some(material) = material() else { return };
    let minimal = read(&material.join("minimal/eventgrid_publish.json"));
    let at = "2026-01-01T00:00:00Z".parse().unwrap();
    assert_eq!(json!([Event::new("1", "mlops", "Mlops.DriftDetected", at).cloud_event()]), minimal["body"]);
}
