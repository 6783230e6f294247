//! Events from outside as reasons to retrain: CloudEvents, Event Grid, MLflow.

use std::path::Path;
use std::time::Duration;

use mlops_core::ErrorKind;
use mlops_core::conformance::fuzz::{self, Input, Target};
use mlops_core::governance::Secret;
use mlops_core::retrain::event_source::{
    CloudEvents, EventFilter, EventGrid, HandshakeReply, IncomingEvent, MAX_BODY, MlflowWebhook, Received,
};
use mlops_core::retrain::{EventTrigger, Trigger, TriggerOutcome, TriggerState};
use mlops_core::time::Timestamp;
use serde_json::{Value, json};

fn now() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

fn headers(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn events(received: Received) -> Vec<IncomingEvent> {
    match received {
        Received::Events(events) => events,
        other => panic!("{other:?}"),
    }
}

fn handshake(received: Received) -> HandshakeReply {
    match received {
        Received::Handshake(reply) => reply,
        other => panic!("{other:?}"),
    }
}

fn receiver() -> CloudEvents {
    CloudEvents::new(["eventgrid.azure.net"]).unwrap()
}

fn structured(event: &Value) -> mlops_core::Result<Vec<IncomingEvent>> {
    let headers = headers(&[("Content-Type", "application/cloudevents+json; charset=utf-8")]);
    receiver().receive(&headers, event.to_string().as_bytes()).map(events)
}

/// As Azure's schema of the machine-learning events shows them, with the tags of a model monitor that found something.
fn breach() -> Value {
    json!({
        "topic": "/subscriptions/s/resourceGroups/g/providers/Microsoft.MachineLearningServices/workspaces/w",
        "subject": "experiments/0f5f/runs/monitor_1",
        "eventType": "Microsoft.MachineLearningServices.RunStatusChanged",
        "eventTime": "2026-01-01T09:22:02.4663178Z",
        "id": "5829794FCB5075FCF585476619577B5A5A30E52C",
        "data": {
            "experimentId": "0f5f", "experimentName": "monitor", "runId": "monitor_1", "runStatus": "Completed",
            "runTags": {
                "azureml_modelmonitor_threshold_breached":
                    "The signal 'inputs' has failed due to one or more features violating metric thresholds.",
            },
        },
        "dataVersion": "1.0", "metadataVersion": "1", "somethingNew": [1],
    })
}

#[test]
fn an_event_grid_batch_becomes_events_in_order_and_unknown_fields_are_kept() {
    let mut second = breach();
    second["id"] = json!("2");
    second["data"]["runTags"] = json!({});
    let body = json!([breach(), second]).to_string();
    let events = events(EventGrid::receive(body.as_bytes()).unwrap());
    assert_eq!(events.len(), 2);
    assert_eq!(events[0].time, Some("2026-01-01T09:22:02.4663178Z".parse().unwrap()));
    assert_eq!(events[0].extensions["somethingNew"], json!([1]));
    assert_eq!((events[0].breached_signal(), events[1].breached_signal()), (Some("inputs"), None));
    let filter = EventFilter::threshold_breached().unwrap();
    assert_eq!(events.iter().map(|event| filter.takes(event)).collect::<Vec<_>>(), [true, false]);
}

#[test]
fn tags_are_found_in_either_case() {
    for key in ["runTags", "RunTags", "RUNTAGS"] {
        let mut event = breach();
        let tags = event["data"]["runTags"].take();
        event["data"].as_object_mut().unwrap().remove("runTags");
        event["data"][key] = tags;
        let events = events(EventGrid::receive(event.to_string().as_bytes()).unwrap());
        assert_eq!(events[0].breached_signal(), Some("inputs"), "{key}");
        assert!(EventFilter::threshold_breached().unwrap().takes(&events[0]), "{key}");
    }
    // Only what says so is a breach.
    for text in [
        "The signal 'inputs' has passed",
        "",
        "has failed due to one or more features violating metric thresholds",
    ] {
        let mut event = breach();
        event["data"]["runTags"]["azureml_modelmonitor_threshold_breached"] = json!(text);
        let events = events(EventGrid::receive(event.to_string().as_bytes()).unwrap());
        assert_eq!(events[0].breached_signal(), None, "{text}");
    }
}

#[test]
fn both_handshakes_are_answered_and_no_address_is_called() {
    let asks = json!([{
        "id": "2d1781af", "topic": "/subscriptions/s", "subject": "", "eventTime": "2026-01-01T00:00:00Z",
        "data": {"validationCode": "512d38b6-c7b8", "validationUrl": "https://127.0.0.1:1/validate"},
        "eventType": "Microsoft.EventGrid.SubscriptionValidationEvent", "metadataVersion": "1", "dataVersion": "1",
    }]);
    let reply = handshake(EventGrid::receive(asks.to_string().as_bytes()).unwrap());
    assert_eq!(
        serde_json::from_str::<Value>(&reply.body).unwrap(),
        json!({"validationResponse": "512d38b6-c7b8"})
    );
    let mut bad = asks.clone();
    bad[0]["data"] = json!({});
    assert_eq!(
        EventGrid::receive(bad.to_string().as_bytes()).unwrap_err().context("field"),
        Some("validationCode")
    );
    let mixed = json!([asks[0], breach()]);
    assert_eq!(
        EventGrid::receive(mixed.to_string().as_bytes()).unwrap_err().context("field"),
        Some("eventType")
    );

    let answer = |receiver: &CloudEvents, pairs: &[(&str, &str)]| {
        receiver.handshake(&headers(pairs)).map(|reply| {
            let find = |name: &str| {
                reply.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone())
            };
            (find("WebHook-Allowed-Origin"), find("WebHook-Allowed-Rate"))
        })
    };
    let origin = ("webhook-request-origin", "EventGrid.azure.net");
    let allowed = Some("EventGrid.azure.net".to_owned());
    assert_eq!(answer(&receiver(), &[origin]).unwrap(), (allowed.clone(), None));
    let asked = [origin, ("WebHook-Request-Rate", "1000")];
    assert_eq!(answer(&receiver(), &asked).unwrap(), (allowed.clone(), Some("*".to_owned())));
    let slow = receiver().with_rate(60).unwrap();
    assert_eq!(answer(&slow, &asked).unwrap(), (allowed, Some("60".to_owned())));
    let any = CloudEvents::new(["*"]).unwrap();
    assert!(answer(&any, &[("WebHook-Request-Origin", "example.org")]).is_ok());
    for (pairs, kind) in [
        (vec![("WebHook-Request-Origin", "example.org")], ErrorKind::Auth),
        (vec![], ErrorKind::InvalidInput),
        (vec![("WebHook-Request-Origin", "a\r\nx: y")], ErrorKind::InvalidInput),
        (vec![origin, origin], ErrorKind::InvalidInput),
    ] {
        assert_eq!(answer(&receiver(), &pairs).unwrap_err().kind(), kind, "{pairs:?}");
    }
    assert!(CloudEvents::new(Vec::<String>::new()).is_err() && CloudEvents::new(["a b"]).is_err());
    assert!(receiver().with_rate(0).is_err());
}

#[test]
fn cloud_events_come_structured_batched_and_in_headers() {
    let event = json!({
        "specversion": "1.0", "id": "7", "source": "/lake", "type": "data.registered", "subject": "diabetes:3",
        "time": "2026-01-01T01:00:00+01:00", "datacontenttype": "application/json", "data": {"rows": 3},
        "traceparent": "00-1", "comexampleothervalue": 5,
    });
    let one = structured(&event).unwrap();
    assert_eq!(one[0].time, Some(now()));
    assert_eq!(one[0].extensions.len(), 2);
    assert_eq!(one[0].at(&["Rows"]), Some(&json!(3)));

    let batched = headers(&[("content-type", "Application/CloudEvents-Batch+JSON")]);
    let many = json!([event, event]).to_string();
    assert_eq!(events(receiver().receive(&batched, many.as_bytes()).unwrap()).len(), 2);
    assert!(events(receiver().receive(&batched, b"[]").unwrap()).is_empty());

    let binary = headers(&[
        ("Content-Type", "application/json"),
        ("ce-specversion", "1.0"),
        ("CE-id", "7"),
        ("ce-source", "/lake"),
        ("ce-type", "data.registered"),
        ("ce-subject", "diabetes%3A3"),
        ("ce-time", "2026-01-01T00:00:00Z"),
        ("ce-traceparent", "00-1"),
        ("ce-comexampleothervalue", "5"),
    ]);
    let mut expected = one[0].clone();
    expected.extensions.insert("comexampleothervalue".to_owned(), json!("5"));
    assert_eq!(events(receiver().receive(&binary, br#"{"rows": 3}"#).unwrap()), [expected]);

    // Data in base64 is read where it is JSON, and nothing a trigger could use where it is not.
    let mut encoded = event.clone();
    encoded.as_object_mut().unwrap().remove("data");
    for (text, data) in [("eyJyb3dzIjozfQ==", json!({"rows": 3})), ("//79", Value::Null)] {
        encoded["data_base64"] = json!(text);
        assert_eq!(structured(&encoded).unwrap()[0].data, data);
    }
}

#[test]
fn what_is_no_event_is_refused_by_name() {
    let good = json!({"specversion": "1.0", "id": "7", "source": "/lake", "type": "data.registered"});
    for (key, value, field) in [
        ("specversion", json!("0.3"), "specversion"),
        ("specversion", json!(1.0), "specversion"),
        ("id", Value::Null, "id"),
        ("id", json!(""), "id"),
        ("id", json!("x".repeat(1_025)), "id"),
        ("source", json!(["x"]), "source"),
        ("type", json!(7), "type"),
        ("time", json!("yesterday"), "time"),
        ("subject", json!(7), "subject"),
        ("data_base64", json!("?"), "data_base64"),
        ("data_base64", json!(7), "data_base64"),
    ] {
        let mut bad = good.clone();
        bad[key] = value;
        let error = structured(&bad).unwrap_err();
        assert_eq!((error.kind(), error.context("field")), (ErrorKind::InvalidInput, Some(field)), "{error}");
    }
    let mut both = good.clone();
    (both["data"], both["data_base64"]) = (json!(1), json!("MQ=="));
    assert!(structured(&both).is_err());
    for missing in ["specversion", "id", "source", "type"] {
        let mut bad = good.clone();
        bad.as_object_mut().unwrap().remove(missing);
        assert_eq!(structured(&bad).unwrap_err().context("field"), Some(missing));
    }
    let kind = headers(&[("content-type", "text/plain")]);
    assert_eq!(receiver().receive(&kind, b"{}").unwrap_err().kind(), ErrorKind::Unsupported);

    for key in ["topic", "id", "eventType"] {
        let mut bad = json!([breach(), breach()]);
        bad[1].as_object_mut().unwrap().remove(key);
        let error = EventGrid::receive(bad.to_string().as_bytes()).unwrap_err();
        assert_eq!((error.context("field"), error.context("event")), (Some(key), Some("1")), "{error}");
    }
    for bad in ["", "null", "7", "[7]", "[[]]", "{", "[{}"] {
        assert!(EventGrid::receive(bad.as_bytes()).is_err(), "{bad}");
    }
}

#[test]
fn bodies_are_bounded_in_size_number_and_depth() {
    let large = format!("[{}]", " ".repeat(MAX_BODY));
    assert_eq!(EventGrid::receive(large.as_bytes()).unwrap_err().kind(), ErrorKind::LimitExceeded);
    let many = format!("[{}]", vec!["{}"; 5_001].join(","));
    assert_eq!(EventGrid::receive(many.as_bytes()).unwrap_err().kind(), ErrorKind::LimitExceeded);
    let deep = "[".repeat(100_000);
    assert_eq!(EventGrid::receive(deep.as_bytes()).unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[test]
fn mlflow_signatures_are_those_of_mlflow() {
    let reference: Value = serde_json::from_str(include_str!("reference/monitor_webhook.json")).unwrap();
    let cases = reference["mlflow"].as_array().unwrap();
    assert_eq!(cases.len(), 24);
    for case in cases {
        let text = |key: &str| case[key].as_str().unwrap();
        let receiver = MlflowWebhook::new("mlflow", vec![Secret::new(text("secret"))]).unwrap();
        assert_eq!(
            receiver.sign(text("id"), text("timestamp"), text("body").as_bytes()),
            [text("signature")]
        );
    }
}

#[test]
fn mlflow_events_are_taken_as_they_were_signed() {
    let receiver = MlflowWebhook::new("mlflow", vec![Secret::new("old"), Secret::new("new")]).unwrap();
    let body = br#"{"entity":"model_version","action":"created","timestamp":"2026-01-01T00:00:00+00:00","data":{"name":"diabetes","version":"3"}}"#;
    let stamp = now().timestamp().to_string();
    let signed = |id: &str, stamp: &str, signature: &str| {
        headers(&[
            ("x-mlflow-delivery-id", id),
            ("X-MLflow-Timestamp", stamp),
            ("X-MLFLOW-SIGNATURE", signature),
        ])
    };
    for right in receiver.sign("d1", &stamp, body) {
        let events = events(receiver.receive(&signed("d1", &stamp, &right), body, now()).unwrap());
        assert_eq!(events[0].kind, "mlflow.model_version.created");
        assert_eq!((events[0].id.as_str(), events[0].subject.as_deref()), ("d1", Some("diabetes")));
        assert_eq!(events[0].time, Some(now()));
        let late = receiver.receive(&signed("d1", &stamp, &right), body, now() + Duration::from_secs(301));
        assert_eq!(late.unwrap_err().kind(), ErrorKind::Auth);
        for headers in
            [signed("d2", &stamp, &right), signed("d1", "1767225601", &right), signed("d1", &stamp, "v1,")]
        {
            assert_eq!(receiver.receive(&headers, body, now()).unwrap_err().kind(), ErrorKind::Auth);
        }
        assert_eq!(
            receiver.receive(&signed("d1", &stamp, &right), b"{}", now()).unwrap_err().kind(),
            ErrorKind::Auth
        );
    }
    let bad = b"{}";
    let signature = &receiver.sign("d1", &stamp, bad)[0];
    assert_eq!(
        receiver.receive(&signed("d1", &stamp, signature), bad, now()).unwrap_err().context("field"),
        Some("entity")
    );
    assert!(!format!("{receiver:?}").contains("old"));
    assert!(
        MlflowWebhook::new("mlflow", vec![]).is_err()
            && MlflowWebhook::new("", vec![Secret::new("x")]).is_err()
    );
}

#[test]
fn an_event_that_is_delivered_twice_fires_once() {
    let trigger = EventTrigger::new("Microsoft.MachineLearningServices.*", Duration::ZERO).unwrap();
    let mut state = TriggerState::default();
    let mut fired = 0;
    for _ in 0..3 {
        for event in events(EventGrid::receive(breach().to_string().as_bytes()).unwrap()) {
            let decision = trigger.evaluate(&state, &event.signal(), now()).unwrap();
            fired += u32::from(matches!(decision.outcome, TriggerOutcome::Fire(_)));
            state = decision.state;
        }
    }
    assert_eq!(fired, 1);
}

#[test]
fn filters_hold_all_their_conditions_and_are_checked_when_read() {
    let event = &events(EventGrid::receive(breach().to_string().as_bytes()).unwrap())[0];
    let of = |kind: &str| EventFilter::new(kind).unwrap();
    assert!(
        of("Microsoft.*").takes(event) && !of("Microsoft.MachineLearningServices.ModelDeployed").takes(event)
    );
    assert!(of("*").with_subject("experiments/").unwrap().takes(event));
    assert!(!of("*").with_subject("models/").unwrap().takes(event));
    assert!(!of("*").with_source("elsewhere").unwrap().takes(event));
    assert!(of("*").with_data(["RUNSTATUS"], "complete").unwrap().takes(event));
    assert!(!of("*").with_data(["runStatus", "deeper"], "complete").unwrap().takes(event));
    let filter = EventFilter::threshold_breached().unwrap();
    let text = serde_json::to_string(&filter).unwrap();
    assert_eq!(serde_json::from_str::<EventFilter>(&text).unwrap(), filter);
    for bad in [
        json!({"kind": ""}),
        json!({"kind": "*x"}),
        json!({"kind": "x", "data": [{"path": [], "contains": "x"}]}),
        json!({"kind": "x", "data": [{"path": ["x"], "contains": ""}]}),
        json!({"kind": "x", "more": 1}),
    ] {
        assert!(serde_json::from_value::<EventFilter>(bad.clone()).is_err(), "{bad}");
    }
}

const TARGETS: &[Target] = &[("event_source_bytes", bytes), ("event_source_json", spoilt)];

/// Whatever arrives, nothing panics, and what is taken fits what a trigger remembers.
#[test]
fn no_request_panics_and_every_event_has_an_identity() {
    fuzz::run(Path::new(env!("CARGO_MANIFEST_DIR")), TARGETS);
}

fn look(received: mlops_core::Result<Received>) {
    let Ok(Received::Events(events)) = received else { return };
    let trigger = EventTrigger::new("*", Duration::ZERO).unwrap();
    for event in events {
        assert!(event.breached_signal().is_none_or(|signal| signal.len() < MAX_BODY));
        assert!(
            !EventFilter::threshold_breached().unwrap().takes(&event)
                || event.kind.ends_with("RunStatusChanged")
        );
        trigger.evaluate(&TriggerState::default(), &event.signal(), now()).unwrap();
    }
}

fn everywhere(input: &mut Input<'_>, body: &[u8]) {
    look(EventGrid::receive(body));
    let kinds = [
        "application/cloudevents+json",
        "application/cloudevents-batch+json",
        "application/json",
        "text/plain",
    ];
    let mut sent = headers(&[("content-type", input.pick(&kinds))]);
    for name in [
        "ce-specversion",
        "ce-id",
        "ce-source",
        "ce-type",
        "ce-time",
        "WebHook-Request-Origin",
        "WebHook-Request-Rate",
    ] {
        if input.bool() {
            let value = if input.bool() { input.text() } else { "1.0".to_owned() };
            sent.push((name.to_owned(), value));
        }
    }
    drop(receiver().handshake(&sent));
    look(receiver().receive(&sent, body));
    let mlflow = MlflowWebhook::new("mlflow", vec![Secret::new("s")]).unwrap();
    let stamp = now().timestamp().to_string();
    let signature = mlflow.sign("d", &stamp, body).remove(0);
    let signed = headers(&[
        ("x-mlflow-delivery-id", "d"),
        ("x-mlflow-timestamp", &stamp),
        ("x-mlflow-signature", &signature),
    ]);
    look(mlflow.receive(&signed, body, now()));
}

fn bytes(input: &mut Input<'_>) {
    let body = input.rest();
    everywhere(input, body.as_bytes());
}

fn spoilt(input: &mut Input<'_>) {
    let cloud = json!({"specversion": "1.0", "id": "7", "source": "/lake", "type": "x", "data_base64": "MQ==", "time": "2026-01-01T00:00:00Z"});
    let mlflow = json!({"entity": "model_version", "action": "created", "timestamp": "2026-01-01T00:00:00Z", "data": {"name": "x"}});
    let documents = [json!([breach(), breach()]), cloud.clone(), json!([cloud]), mlflow];
    let at = input.below(documents.len());
    let body = input.json(&documents[at]).to_string();
    everywhere(input, body.as_bytes());
}
