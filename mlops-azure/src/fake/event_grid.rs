//! Event Grid: subscriptions with their handshake, deliveries, and topics that are published to.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use reqwest::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use reqwest::{Method, Url};
use serde_json::{Value, json};

use super::azure::FakeAzure;
use super::exchange::{FakeAnswer, FakePart, FakeRequest};
use crate::config::cloud::Audience;
use crate::event::EventPublisher;
use crate::wire::event::Event;

/// What stands behind a webhook's address.
type Hook = Arc<dyn Fn(&FakeRequest) -> FakeAnswer + Send + Sync>;

/// Event Grid in memory.
///
/// * A subscription to a webhook is made only after the webhook answered the handshake of its schema; the service tells neither the
///   address nor secret headers again.
/// * [`emit`](Self::emit) puts an event in line for every subscription whose filters take it; [`deliver`](Self::deliver) brings it. With
///   [`repeating`](Self::repeating) each is brought twice and the newest first: delivery is at least once and in no order. What is not
///   answered with success is tried again, as often as the subscription says; then it is a dead letter, or lost.
/// * What is published to `*.eventgrid.azure.net` is kept, if its token or key, its size and its members are right.
///
/// ```
/// use mlops_azure::event::EventTopics;
/// use mlops_azure::fake::{FakeAnswer, FakeAzure, FakeEventGrid};
/// use mlops_azure::wire::event::{Destination, EventSubscription};
/// use mlops_core::governance::Secret;
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
/// let azure = FakeAzure::new();
/// let grid = FakeEventGrid::of(&azure);
/// // A webhook that allows every origin.
/// grid.webhook("https://mlops.example.com/events", |_| FakeAnswer::empty(200).with("webhook-allowed-origin", "*"));
/// let hook = Destination::webhook(&Secret::new("https://mlops.example.com/events"));
/// let topics = EventTopics::new(azure.arm(), azure.workspace());
/// topics.subscribe("breaches", &EventSubscription::of_breaches(hook)).await?;
/// assert_eq!(topics.subscriptions().await?.len(), 1);
/// # Ok::<(), mlops_core::Error>(()) })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct FakeEventGrid(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    hooks: BTreeMap<String, Hook>,
    /// What subscriptions were sent, by id in lower case: the store has no secrets.
    subscriptions: BTreeMap<String, Value>,
    line: Vec<Delivery>,
    repeats: bool,
    dead: Vec<Value>,
    lost: u64,
    published: Vec<Value>,
    keys: BTreeMap<String, String>,
}

#[derive(Clone)]
struct Delivery {
    subscription: String,
    event: Event,
    attempts: u64,
}

const API: &str = "/providers/microsoft.eventgrid/";
const HANDSHAKE: &str = "Microsoft.EventGrid.SubscriptionValidationEvent";

impl FakeEventGrid {
    /// Event Grid of a fake, plugged in.
    pub fn of(azure: &FakeAzure) -> Self {
        let grid = Self(Arc::default());
        azure.plug(grid.clone());
        grid
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts something behind a webhook's address.
    pub fn webhook(&self, url: &str, hook: impl Fn(&FakeRequest) -> FakeAnswer + Send + Sync + 'static) {
        self.state().hooks.insert(url.to_owned(), Arc::new(hook));
    }

    /// From now on every event is brought twice, and the newest first.
    pub fn repeating(&self) {
        self.state().repeats = true;
    }

    /// Lets a topic be published to with a key.
    pub fn topic_key(&self, host: &str, key: &str) {
        self.state().keys.insert(host.to_owned(), key.to_owned());
    }

    /// What was published, in order.
    pub fn published(&self) -> Vec<Value> {
        self.state().published.clone()
    }

    /// The events that could not be delivered and had a place for that.
    pub fn dead_letters(&self) -> Vec<Value> {
        self.state().dead.clone()
    }

    /// How many could not be delivered and had none.
    pub fn lost(&self) -> u64 {
        self.state().lost
    }

    /// Puts an event of a resource in line for the subscriptions that take it; says for how many.
    pub fn emit(&self, azure: &FakeAzure, event: &Event) -> usize {
        let all: Vec<(String, Value)> =
            self.state().subscriptions.iter().map(|(id, sent)| (id.clone(), sent.clone())).collect();
        let takes = |(id, sent): &&(String, Value)| {
            let there = azure.resource(id).is_some();
            there && source(azure, id).eq_ignore_ascii_case(&event.source) && filter(sent, event)
        };
        let taking: Vec<String> = all.iter().filter(takes).map(|(id, _)| id.clone()).collect();
        let mut state = self.state();
        for subscription in &taking {
            let delivery = Delivery { subscription: subscription.clone(), event: event.clone(), attempts: 0 };
            let times = if state.repeats { 2 } else { 1 };
            state.line.extend(std::iter::repeat_n(delivery, times));
        }
        taking.len()
    }

    /// Brings what is in line until nothing is; says how many deliveries were answered with success.
    pub fn deliver(&self) -> usize {
        let mut delivered = 0;
        loop {
            let mut state = self.state();
            let next = if state.repeats { state.line.pop() } else { None };
            let next = match next {
                Some(next) => next,
                None if state.line.is_empty() => return delivered,
                None => state.line.remove(0),
            };
            let Some(sent) = state.subscriptions.get(&next.subscription).cloned() else { continue };
            let hook = url_of(&sent).and_then(|url| state.hooks.get(url.as_str()).cloned());
            drop(state);
            let status = match (hook, delivery_request(&sent, &next.event)) {
                (Some(hook), Some(request)) => hook(&request).status,
                _ => 404,
            };
            match status {
                200..=204 => delivered += 1,
                _ => self.again(next, &sent, status),
            }
        }
    }

    /// Puts a delivery in line again, or gives it up.
    fn again(&self, mut delivery: Delivery, sent: &Value, status: u16) {
        let most = sent.pointer("/properties/retryPolicy/maxDeliveryAttempts").and_then(Value::as_u64);
        delivery.attempts += 1;
        let mut state = self.state();
        // Event Grid does not try again what is wrong in itself.
        let final_status = matches!(status, 400 | 413);
        if delivery.attempts < most.unwrap_or(30) && !final_status {
            state.line.insert(0, delivery);
            return;
        }
        let has_place =
            sent.pointer("/properties/deadLetterDestination").is_some_and(|place| !place.is_null());
        match has_place {
            true => state.dead.push(delivery.event.cloud_event()),
            false => state.lost += 1,
        }
    }

    /// What is answered to a subscription whose webhook does not answer the handshake.
    fn refuse(&self, sent: &Value) -> Option<FakeAnswer> {
        let why = self.handshake(sent).err()?;
        let message = format!("Webhook validation handshake failed: {why}.");
        Some(FakeAnswer::error(400, "Endpoint validation", message))
    }

    /// The handshake of a subscription that is to be made.
    fn handshake(&self, sent: &Value) -> Result<(), &'static str> {
        let is_webhook =
            sent.pointer("/properties/destination/endpointType").and_then(Value::as_str) == Some("WebHook");
        if !is_webhook {
            return Ok(());
        }
        let Some(url) = url_of(sent) else { return Err("no address") };
        let Ok(address) = url.parse::<Url>() else { return Err("no address") };
        if address.scheme() != "https" {
            return Err("the address is not https");
        }
        let Some(hook) = self.state().hooks.get(url.as_str()).cloned() else {
            return Err("nobody answers");
        };
        if is_cloud_events(sent) {
            let mut request = FakeRequest::new(Method::OPTIONS, address);
            request.headers.insert("webhook-request-origin", HeaderValue::from_static("eventgrid.azure.net"));
            let answer = hook(&request);
            let allowed = answer.headers.get("webhook-allowed-origin").and_then(|v| v.to_str().ok());
            return match allowed {
                Some("*" | "eventgrid.azure.net") if answer.is_success() => Ok(()),
                _ => Err("the origin is not allowed"),
            };
        }
        const CODE: &str = "5c0ff33c-0de0-4000-8000-000000000001";
        let mut request = FakeRequest::new(Method::POST, address);
        request.headers.insert("aeg-event-type", HeaderValue::from_static("SubscriptionValidation"));
        request.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
        let event = json!([{
            "id": CODE, "topic": "/subscriptions/s", "subject": "", "eventType": HANDSHAKE,
            "eventTime": "2026-01-01T00:00:00Z", "data": { "validationCode": CODE }, "dataVersion": "2", "metadataVersion": "1",
        }]);
        request.body = event.to_string().into();
        let answer = hook(&request);
        let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        match answer.is_success() && body.get("validationResponse") == Some(&json!(CODE)) {
            true => Ok(()),
            false => Err("the code does not come back"),
        }
    }

    /// What is published to a topic.
    fn publish(&self, request: &FakeRequest, azure: &FakeAzure) -> FakeAnswer {
        let known_key = self.state().keys.get(request.host()).cloned();
        match request.header("aeg-sas-key") {
            Some(key) if known_key.as_deref() == Some(key) => {}
            Some(_) => {
                return FakeAnswer::error(401, "Unauthorized", "The request authorization key is not valid.");
            }
            None => {
                if let Some(refused) = azure.refuse_token(request, Audience::EventGrid) {
                    return refused;
                }
            }
        }
        if request.body.len() > EventPublisher::MAX_BATCH + 48_576 {
            return FakeAnswer::error(413, "RequestEntityTooLarge", "The request is larger than 1 MB.");
        }
        let bad = |why: &str| FakeAnswer::error(400, "BadRequest", why);
        if request.query("api-version").is_none() {
            return bad("api-version is missing");
        }
        if let Some(refused) = azure.refuse_body(request) {
            return refused;
        }
        let Value::Array(events) = request.json() else { return bad("a batch is a list") };
        let content_type = request.header(CONTENT_TYPE.as_str()).unwrap_or_default();
        let in_clouds = content_type.starts_with("application/cloudevents-batch+json");
        let needed: &[&str] = match in_clouds {
            true => &["specversion", "id", "source", "type"],
            false => &["id", "subject", "eventType", "eventTime", "dataVersion"],
        };
        // The types say that these are there, for one of the two forms, and not that they say something.
        let says = |event: &Value, name: &str| {
            event.get(name).and_then(Value::as_str).is_some_and(|text| !text.is_empty())
        };
        let is_of_form = |event: &Value| needed.iter().all(|name| says(event, name));
        match events.iter().all(is_of_form) {
            true => {
                self.state().published.extend(events);
                FakeAnswer::empty(200)
            }
            false => bad("an event is not in the form that the header says"),
        }
    }
}

impl FakePart for FakeEventGrid {
    fn answer(&self, request: &FakeRequest, azure: &FakeAzure) -> Option<FakeAnswer> {
        if request.host().ends_with(".eventgrid.azure.net") {
            return Some(self.publish(request, azure));
        }
        let id = request.path().to_ascii_lowercase();
        if !is_subscription(&id) {
            return None;
        }
        match request.method {
            Method::PUT => {
                let sent = request.json();
                if let Some(refused) = self.refuse(&sent) {
                    return Some(refused);
                }
                self.state().subscriptions.insert(id, sent);
            }
            Method::DELETE => drop(self.state().subscriptions.remove(&id)),
            _ => {}
        }
        None
    }

    /// Neither the address nor secret headers are told again.
    fn complete(&self, resource: &mut Value, _: &FakeAzure) {
        let kind = resource.get("type").and_then(Value::as_str).unwrap_or_default().to_ascii_lowercase();
        if !kind.ends_with("/eventsubscriptions") {
            return;
        }
        let Some(place) =
            resource.pointer_mut("/properties/destination/properties").and_then(Value::as_object_mut)
        else {
            return;
        };
        if let Some(Value::String(url)) = place.remove("endpointUrl") {
            let base = url.split('?').next().unwrap_or_default();
            place.insert("endpointBaseUrl".to_owned(), json!(base));
        }
        let headers = place.get_mut("deliveryAttributeMappings").and_then(Value::as_array_mut);
        for header in headers.into_iter().flatten() {
            let properties = header.get_mut("properties").and_then(Value::as_object_mut);
            if let Some(properties) = properties.filter(|p| p.get("isSecret") == Some(&json!(true))) {
                properties.insert("value".to_owned(), Value::Null);
            }
        }
    }
}

fn is_subscription(id: &str) -> bool {
    id.contains(API) && id.rsplit('/').nth(1) == Some("eventsubscriptions")
}

/// Of what a subscription is: what its system topic is of, or the resource that it is below.
fn source(azure: &FakeAzure, id: &str) -> String {
    let Some((scope, below)) = id.rsplit_once(API) else { return String::new() };
    let Some(topic) = below.strip_prefix("systemtopics/").and_then(|rest| rest.split('/').next()) else {
        return scope.to_owned();
    };
    let topic = azure.resource(&format!("{scope}{API}systemtopics/{topic}")).unwrap_or_default();
    topic.pointer("/properties/source").and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn url_of(sent: &Value) -> Option<String> {
    sent.pointer("/properties/destination/properties/endpointUrl")?.as_str().map(str::to_owned)
}

fn is_cloud_events(sent: &Value) -> bool {
    let schema = sent.pointer("/properties/eventDeliverySchema").and_then(Value::as_str);
    schema == Some("CloudEventSchemaV1_0")
}

/// Whether a subscription takes an event.
fn filter(sent: &Value, event: &Event) -> bool {
    let Some(filter) = sent.pointer("/properties/filter") else { return true };
    let texts = |value: Option<&Value>| -> Option<Vec<String>> {
        let values = value?.as_array()?;
        Some(values.iter().filter_map(Value::as_str).map(str::to_lowercase).collect())
    };
    let kinds = texts(filter.get("includedEventTypes"));
    if kinds.is_some_and(|kinds| !kinds.contains(&event.kind.to_lowercase())) {
        return false;
    }
    let cased = filter.get("isSubjectCaseSensitive") == Some(&json!(true));
    let as_compared = |text: &str| if cased { text.to_owned() } else { text.to_lowercase() };
    let subject = as_compared(event.subject.as_deref().unwrap_or_default());
    let edge = |name: &str| as_compared(filter.get(name).and_then(Value::as_str).unwrap_or_default());
    if !subject.starts_with(&edge("subjectBeginsWith")) || !subject.ends_with(&edge("subjectEndsWith")) {
        return false;
    }
    let advanced = filter.get("advancedFilters").and_then(Value::as_array);
    advanced.into_iter().flatten().all(|one| {
        let key = one.get("key").and_then(Value::as_str).unwrap_or_default();
        let found = member(event, key);
        let text = found.as_ref().and_then(Value::as_str).map(str::to_lowercase);
        let any = |fits: &dyn Fn(&str, &str) -> bool| {
            let values = texts(one.get("values")).unwrap_or_default();
            text.as_deref().is_some_and(|text| values.iter().any(|value| fits(text, value)))
        };
        match one.get("operatorType").and_then(Value::as_str).unwrap_or_default() {
            "StringContains" => any(&|text, value| text.contains(value)),
            "StringBeginsWith" => any(&|text, value| text.starts_with(value)),
            "StringEndsWith" => any(&|text, value| text.ends_with(value)),
            "StringIn" => any(&|text, value| text == value),
            "StringNotIn" => !any(&|text, value| text == value),
            "IsNotNull" => found.is_some(),
            "BoolEquals" => found == one.get("value").cloned(),
            _ => false,
        }
    })
}

/// A member of an event by its path, keys in any case.
fn member(event: &Event, key: &str) -> Option<Value> {
    let all =
        json!({ "data": event.data, "subject": event.subject, "eventType": event.kind, "id": event.id });
    let found = key.split('.').try_fold(&all, |value, key| {
        let members = value.as_object()?;
        members.iter().find(|(name, _)| name.eq_ignore_ascii_case(key)).map(|(_, value)| value)
    });
    found.filter(|value| !value.is_null()).cloned()
}

/// A delivery as it reaches a webhook.
fn delivery_request(sent: &Value, event: &Event) -> Option<FakeRequest> {
    let mut request = FakeRequest::new(Method::POST, url_of(sent)?.parse().ok()?);
    let (content_type, body) = match is_cloud_events(sent) {
        true => ("application/cloudevents+json; charset=utf-8", event.cloud_event()),
        false => {
            let mut grid = event.grid_event();
            grid["topic"] = json!(event.source);
            grid["metadataVersion"] = json!("1");
            ("application/json; charset=utf-8", json!([grid]))
        }
    };
    request.headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    request.headers.insert("aeg-event-type", HeaderValue::from_static("Notification"));
    let headers = sent.pointer("/properties/destination/properties/deliveryAttributeMappings");
    for header in headers.and_then(Value::as_array).into_iter().flatten() {
        let name = header.get("name")?.as_str()?.parse::<HeaderName>().ok()?;
        let value = header.pointer("/properties/value")?.as_str()?;
        request.headers.insert(name, HeaderValue::from_str(value).ok()?);
    }
    request.body = body.to_string().into();
    Some(request)
}

impl fmt::Debug for FakeEventGrid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.debug_struct("FakeEventGrid")
            .field("subscriptions", &state.subscriptions.len())
            .field("in_line", &state.line.len())
            .finish_non_exhaustive()
    }
}
