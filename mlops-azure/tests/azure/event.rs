//! Event Grid: subscriptions, deliveries that come twice and in no order, publishing.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use mlops_azure::config::cloud::Audience;
use mlops_azure::event::{EventAlertSink, EventPublisher, EventReceiver, EventTopics};
use mlops_azure::fake::{FakeAnswer, FakeAzure, FakeEventGrid, FakeRequest};
use mlops_azure::http::{RetryPolicy, Url};
use mlops_azure::monitor::Breach;
use mlops_azure::wire::event::{
    DeadLetter, DeliveryRetry, Destination, Event, EventSchema, EventSubscription, RUN_STATUS_CHANGED,
};
use mlops_core::ErrorKind;
use mlops_core::conformance::alert::AlertsUnderTest;
use mlops_core::governance::Secret;
use mlops_core::monitor::Alert;
use mlops_core::retrain::event_source::Received;
use serde_json::{Value, json};

const HOOK: &str = "https://mlops.example.com/events?code=hunter2-of-the-address";
const KEY: &str = "hunter2-of-the-subscription";

fn headers(request: &FakeRequest) -> Vec<(String, String)> {
    let text = |(name, value): (&mlops_azure::http::HeaderName, &mlops_azure::http::HeaderValue)| {
        Some((name.to_string(), value.to_str().ok()?.to_owned()))
    };
    request.headers.iter().filter_map(text).collect()
}

/// A server's webhook: what a receiver takes is kept, and its answers are those that the docs of the receiver ask for.
pub fn webhook(receiver: EventReceiver) -> (Arc<Mutex<Vec<Breach>>>, impl Fn(&FakeRequest) -> FakeAnswer) {
    let breaches = Arc::new(Mutex::new(Vec::new()));
    let kept = breaches.clone();
    let hook = move |request: &FakeRequest| match receiver.receive(
        request.method.as_str(),
        &headers(request),
        &request.body,
    ) {
        Ok(Received::Handshake(reply)) => {
            let answer = FakeAnswer::bytes(reply.status, "application/json", reply.body);
            let origin = reply.headers.into_iter().find(|(name, _)| name == "WebHook-Allowed-Origin");
            origin
                .into_iter()
                .fold(answer, |answer, (_, origin)| answer.with("webhook-allowed-origin", origin))
        }
        Ok(received) => {
            kept.lock().unwrap().extend(EventReceiver::breaches(&received));
            FakeAnswer::empty(200)
        }
        Err(error) if error.kind() == ErrorKind::Auth => FakeAnswer::empty(401),
        Err(_) => FakeAnswer::empty(400),
    };
    (breaches, hook)
}

fn subscription() -> EventSubscription {
    EventSubscription::of_breaches(
        Destination::webhook(&Secret::new(HOOK)).with_key("x-mlops-key", &Secret::new(KEY)),
    )
}

fn breach_event(azure: &FakeAzure, id: &str, text: &str) -> Event {
    Event::new(id, azure.workspace().id(), RUN_STATUS_CHANGED, azure.now())
        .about("experiments/e/runs/r")
        .with_data(json!({ "runTags": { "azureml_modelmonitor_threshold_breached": text } }))
}

const BREACHED: &str = "watch_inputs has failed due to one or more features violating metric thresholds";

#[tokio::test]
async fn a_subscription_is_made_after_the_handshake_in_both_schemas_and_ended() {
    let azure = crate::judged();
    let grid = FakeEventGrid::of(&azure);
    let topics = EventTopics::new(azure.arm(), azure.workspace());
    let error = topics.subscribe("early", &subscription()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");

    let receiver = EventReceiver::new().unwrap().with_key("x-mlops-key", Secret::new(KEY)).unwrap();
    grid.webhook(HOOK, webhook(receiver).1);
    azure.forget_requests();
    let made = topics.subscribe("cloud", &subscription()).await.unwrap();
    // The write, its status, and the result.
    assert_eq!(azure.count(), 3, "{:?}", azure.requests());
    let shown = format!("{made:?} {}", serde_json::to_string(&made).unwrap());
    assert!(!shown.contains("hunter2"), "{shown}");
    topics.subscribe("grid", &subscription().written_as(EventSchema::EventGrid)).await.unwrap();
    assert_eq!(topics.subscriptions().await.unwrap().len(), 2);
    assert_eq!(topics.subscription("grid").await.unwrap().name.as_deref(), Some("grid"));

    assert_eq!(grid.emit(&azure, &breach_event(&azure, "1", BREACHED)), 2);
    topics.unsubscribe("grid").await.unwrap();
    topics.unsubscribe("grid").await.unwrap();
    assert_eq!(grid.emit(&azure, &breach_event(&azure, "2", BREACHED)), 1);
    for requests in azure.requests() {
        assert!(!requests.contains("hunter2"), "{requests}");
    }
}

#[tokio::test]
async fn a_system_topic_is_made_subscribed_to_and_removed() {
    let azure = crate::judged();
    let grid = FakeEventGrid::of(&azure);
    grid.webhook(HOOK, webhook(EventReceiver::new().unwrap()).1);
    let topics = EventTopics::new(azure.arm(), azure.workspace());
    let made = topics.create_topic("evgt-churn", "eastus").await.unwrap();
    assert_eq!(made.properties.source.as_deref(), Some(azure.workspace().id().as_str()));
    topics.subscribe_to("evgt-churn", "breaches", &subscription()).await.unwrap();
    assert_eq!(grid.emit(&azure, &breach_event(&azure, "1", BREACHED)), 1);
    assert_eq!(topics.topic("evgt-churn").await.unwrap().name.as_deref(), Some("evgt-churn"));
    topics.delete_topic("evgt-churn").await.unwrap();
    assert_eq!(topics.topic("evgt-churn").await.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn only_what_the_filters_take_is_delivered_and_only_with_the_key_taken() {
    let azure = crate::judged();
    let grid = FakeEventGrid::of(&azure);
    let receiver = EventReceiver::new().unwrap().with_key("X-Mlops-Key", Secret::new(KEY)).unwrap();
    let (breaches, hook) = webhook(receiver);
    grid.webhook(HOOK, hook);
    let topics = EventTopics::new(azure.arm(), azure.workspace());
    topics.subscribe("breaches", &subscription()).await.unwrap();
    assert_eq!(grid.emit(&azure, &breach_event(&azure, "1", "all is well")), 0);
    let elsewhere = Event { source: "/subscriptions/s".to_owned(), ..breach_event(&azure, "2", BREACHED) };
    assert_eq!(grid.emit(&azure, &elsewhere), 0);
    let shouted = breach_event(&azure, "3", &BREACHED.to_uppercase());
    assert_eq!(grid.emit(&azure, &shouted), 1, "filters have no case");
    assert_eq!(grid.emit(&azure, &breach_event(&azure, "4", BREACHED)), 1);
    grid.deliver();
    let seen: Vec<String> = breaches.lock().unwrap().iter().map(|breach| breach.event.clone()).collect();
    assert_eq!(seen, ["4"]);

    // Somebody else's subscription to the same address has not the key.
    let other = EventSubscription::of_breaches(Destination::webhook(&Secret::new(HOOK)));
    topics.subscribe("somebody", &other).await.unwrap();
    topics.unsubscribe("breaches").await.unwrap();
    grid.emit(&azure, &breach_event(&azure, "5", BREACHED));
    assert_eq!(grid.deliver(), 0);
    assert_eq!((breaches.lock().unwrap().len(), grid.lost()), (1, 1));
}

#[tokio::test]
async fn what_cannot_be_delivered_is_tried_again_and_then_a_dead_letter() {
    let azure = crate::judged();
    let grid = FakeEventGrid::of(&azure);
    let calls = Arc::new(Mutex::new(0));
    let count = calls.clone();
    grid.webhook(HOOK, move |request| match request.method.as_str() {
        "OPTIONS" => FakeAnswer::empty(200).with("webhook-allowed-origin", "*"),
        _ => {
            *count.lock().unwrap() += 1;
            FakeAnswer::empty(503)
        }
    });
    let topics = EventTopics::new(azure.arm(), azure.workspace());
    let account = azure.workspace().id().replace("workspaces/mlw-fake", "x");
    let patient = EventSubscription {
        retry_policy: Some(DeliveryRetry::new(3, 60).unwrap()),
        ..subscription().with_dead_letters(DeadLetter::blobs(account, "dead"))
    };
    topics.subscribe("breaches", &patient).await.unwrap();
    grid.emit(&azure, &breach_event(&azure, "1", BREACHED));
    assert_eq!(grid.deliver(), 0);
    assert_eq!((*calls.lock().unwrap(), grid.lost()), (3, 0));
    assert_eq!(grid.dead_letters()[0]["id"], "1");
}

fn topic_url() -> Url {
    "https://evgt-mlops.eastus-1.eventgrid.azure.net/api/events".parse().unwrap()
}

fn events(count: usize, bytes: usize) -> Vec<Event> {
    let at = "2026-01-01T00:00:00Z".parse().unwrap();
    let event = |n: usize| {
        Event::new(n.to_string(), "/mlops/churn", "Mlops.DriftDetected", at)
            .with_data(json!({ "text": "x".repeat(bytes) }))
    };
    (0..count).map(event).collect()
}

#[tokio::test]
async fn events_are_published_with_a_token_in_batches_of_a_megabyte() {
    let azure = crate::judged();
    let grid = FakeEventGrid::of(&azure);
    let publisher = EventPublisher::new(azure.service(topic_url(), Audience::EventGrid));
    let published = publisher.publish(&events(7, 300_000)).await.unwrap();
    assert_eq!((published.events, published.requests, azure.count()), (7, 3, 3));
    assert_eq!(grid.published().len(), 7);
    publisher.publish_grid_events(&events(1, 1)).await.unwrap();
    assert_eq!(grid.published()[7]["eventType"], "Mlops.DriftDetected");

    azure.forget_requests();
    let error = publisher.publish(&events(2, 1_000_000)).await.unwrap_err();
    assert_eq!((error.kind(), error.context("event")), (ErrorKind::LimitExceeded, Some("0")));
    let nameless = Event { id: String::new(), ..events(1, 1).remove(0) };
    assert_eq!(publisher.publish(&[nameless]).await.unwrap_err().context("field"), Some("id"));
    assert_eq!(azure.count(), 0, "nothing is sent of what cannot be");

    // Busy and lost answers are tried again; an event may be there twice.
    azure.faults().busy(1);
    publisher.publish(&events(1, 1)).await.unwrap();
    azure.faults().lose_answers(1);
    publisher.publish(&events(1, 1)).await.unwrap();
    assert_eq!((azure.count(), grid.published().len()), (4, 11));
}

#[tokio::test]
async fn a_token_for_somebody_else_and_a_wrong_key_publish_nothing() {
    let azure = crate::judged();
    let grid = FakeEventGrid::of(&azure);
    let publisher = EventPublisher::new(azure.service(topic_url(), Audience::Storage));
    assert_eq!(publisher.publish(&events(1, 1)).await.unwrap_err().kind(), ErrorKind::Auth);
    grid.topic_key("evgt-mlops.eastus-1.eventgrid.azure.net", "hunter2-of-the-topic");
    let with_key = |key: &str| {
        let publisher = EventPublisher::with_key(topic_url(), Secret::new(key), azure.transport()).unwrap();
        publisher.retry(RetryPolicy::default().with_initial(Duration::ZERO))
    };
    let error = with_key("hunter2-wrong").publish(&events(1, 1)).await.unwrap_err();
    assert!(
        error.kind() == ErrorKind::Auth && !format!("{error} {error:?}").contains("hunter2"),
        "{error:?}"
    );
    azure.faults().unavailable(1);
    let good = with_key("hunter2-of-the-topic");
    assert_eq!(good.publish(&events(2, 1)).await.unwrap().events, 2);
    assert!(!format!("{good:?}").contains("hunter2"));
    assert_eq!(grid.published().len(), 2);
    let plain =
        EventPublisher::with_key("http://example.com".parse().unwrap(), Secret::new("k"), azure.transport());
    assert_eq!(plain.unwrap_err().kind(), ErrorKind::InvalidInput);
}

fn alerts_of(published: Vec<Value>) -> Vec<Alert> {
    published.into_iter().map(|event| serde_json::from_value(event["data"].clone()).unwrap()).collect()
}

mlops_core::alert_sink_suite!(event_alerts, {
    let azure = crate::judged();
    let grid = FakeEventGrid::of(&azure);
    let publisher = EventPublisher::new(azure.service(topic_url(), Audience::EventGrid));
    let sink = EventAlertSink::new(publisher, "/mlops/monitors");
    AlertsUnderTest::new(Arc::new(sink)).with_arrived(move || alerts_of(grid.published()))
});
