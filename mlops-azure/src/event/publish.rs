//! Sending events.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use mlops_core::governance::Secret;
use mlops_core::monitor::sink::alert_event;
use mlops_core::monitor::{Alert, AlertReceipt, AlertSink};
use mlops_core::time::{Clock as _, SystemClock};
use mlops_core::{Error, ErrorKind, Result};
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use reqwest::{Method, Url};
use serde_json::Value;
use tokio::sync::Mutex;

use crate::config::name::{check, is_segment};
use crate::delivered::Delivered;
use crate::error::{Answer, from_response};
use crate::http::{
    Call, HttpBody, HttpRequest, HttpTransport, Repeat, RetryPolicy, Service, guard, retry, wait,
};
use crate::wire::Nothing;
use crate::wire::event::{Event, PUBLISH_VERSION};

const PUBLISH: &str = "EventPublisher::publish";
/// The version of publishing to a topic of a namespace.
const NAMESPACE_VERSION: &str = "2024-06-01";
const CLOUD_EVENTS: &str = "application/cloudevents-batch+json; charset=utf-8";
const GRID_EVENTS: &str = "application/json; charset=utf-8";
/// The longest answer that is read.
const MAX_ANSWER: usize = 1 << 20;

/// What was sent.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Published {
    /// How many events.
    pub events: usize,
    /// In how many requests.
    pub requests: usize,
}

/// Sends events to a topic of one's own, in batches of at most [`MAX_BATCH`](Self::MAX_BATCH) bytes.
///
/// A request whose answer is lost is sent again: receivers see events twice, and know them by source and id. Its `Debug` shows the host.
///
/// ```
/// use std::sync::Arc;
/// use mlops_azure::event::EventPublisher;
/// use mlops_azure::http::{ReqwestConfig, ReqwestTransport};
/// use mlops_core::governance::Secret;
/// let transport = Arc::new(ReqwestTransport::new(&ReqwestConfig::default())?);
/// let topic = "https://mlops.eastus-1.eventgrid.azure.net/api/events".parse()?;
/// let publisher = EventPublisher::with_key(topic, Secret::new("hunter2"), transport)?;
/// assert!(!format!("{publisher:?}").contains("hunter2"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct EventPublisher {
    by: By,
    path: String,
    version: &'static str,
    /// Whether Event Grid's own schema is taken.
    takes_grid_events: bool,
}

#[derive(Clone)]
enum By {
    Token(Service),
    Key(Box<Keyed>),
}

#[derive(Clone)]
struct Keyed {
    base: Url,
    key: Secret,
    transport: Arc<dyn HttpTransport>,
    retry: RetryPolicy,
}

impl EventPublisher {
    /// The longest batch, in bytes: the service takes a megabyte.
    pub const MAX_BATCH: usize = 1_000_000;

    /// Sends with tokens for Event Grid's audience, to the topic at the service's host.
    pub fn new(service: Service) -> Self {
        let by = By::Token(service);
        Self { by, path: "/api/events".to_owned(), version: PUBLISH_VERSION, takes_grid_events: true }
    }

    /// Sends with tokens to a topic of a namespace, which takes CloudEvents alone.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for a name that no topic has.
    pub fn to_namespace(service: Service, topic: &str) -> Result<Self> {
        let reason = "has a character that a URL reads as something else";
        check("EventPublisher::to_namespace", "topic", topic, is_segment(topic), reason)?;
        let path = format!("/topics/{topic}:publish");
        Ok(Self { by: By::Token(service), path, version: NAMESPACE_VERSION, takes_grid_events: false })
    }

    /// Sends with the topic's key, to the address of the topic.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for an address to which no key may be sent.
    pub fn with_key(topic: Url, key: Secret, transport: Arc<dyn HttpTransport>) -> Result<Self> {
        guard::may_carry_secrets("EventPublisher::with_key", "topic", &topic)?;
        let by = By::Key(Box::new(Keyed { base: topic, key, transport, retry: RetryPolicy::default() }));
        Ok(Self { by, path: "/api/events".to_owned(), version: PUBLISH_VERSION, takes_grid_events: true })
    }

    /// What is tried again, for a publisher with a key; one with tokens does as its service does.
    #[must_use]
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        if let By::Key(keyed) = &mut self.by {
            keyed.retry = policy;
        }
        self
    }

    /// Sends events as CloudEvents.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for an event that receivers cannot read and [`ErrorKind::LimitExceeded`] for one over the batch's
    /// limit, with its place, before anything is sent; those of the service, with how many events were `published` before.
    pub async fn publish(&self, events: &[Event]) -> Result<Published> {
        let batches = batches(events.iter().map(|event| (event.check(), event.cloud_event())))?;
        self.send(batches, CLOUD_EVENTS).await
    }

    /// Sends events in Event Grid's own schema.
    ///
    /// # Errors
    /// As of [`publish`](Self::publish); [`ErrorKind::Unsupported`] for a namespace's topic.
    pub async fn publish_grid_events(&self, events: &[Event]) -> Result<Published> {
        if !self.takes_grid_events {
            return Err(Error::unsupported(PUBLISH, "events in Event Grid's own schema to a namespace"));
        }
        let batches = batches(events.iter().map(|event| (event.check(), event.grid_event())))?;
        self.send(batches, GRID_EVENTS).await
    }

    /// Sends what is written as CloudEvents already.
    ///
    /// # Errors
    /// As of [`publish`](Self::publish).
    pub async fn publish_cloud_events(&self, events: impl IntoIterator<Item = Value>) -> Result<Published> {
        let batches = batches(events.into_iter().map(|event| (Ok(()), event)))?;
        self.send(batches, CLOUD_EVENTS).await
    }

    async fn send(&self, batches: Vec<(usize, Bytes)>, content_type: &'static str) -> Result<Published> {
        let mut published = Published::default();
        for (events, body) in batches {
            let sent = match &self.by {
                By::Token(service) => self.send_with_token(service, body, content_type).await,
                By::Key(keyed) => self.send_with_key(keyed, body, content_type).await,
            };
            sent.map_err(|error| error.with("published", published.events))?;
            published.events += events;
            published.requests += 1;
        }
        Ok(published)
    }

    async fn send_with_token(
        &self,
        service: &Service,
        body: Bytes,
        content_type: &'static str,
    ) -> Result<()> {
        let call: Call<Nothing> =
            Call::post(PUBLISH, &self.path).query("api-version", self.version).repeat(Repeat::Safe);
        service.reply(call.raw_body(body, content_type)).await.map(|_| ())
    }

    async fn send_with_key(&self, keyed: &Keyed, body: Bytes, content_type: &'static str) -> Result<()> {
        let Keyed { base, key, transport, retry: policy } = keyed;
        let mut url = guard::same_origin(PUBLISH, base, &self.path)?;
        url.query_pairs_mut().append_pair("api-version", self.version);
        let mut request = HttpRequest::new(Method::POST, url);
        request.headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        let bad = |_| Error::invalid(PUBLISH, "key", "holds a character that no header can hold");
        let mut value = HeaderValue::from_str(key.expose()).map_err(bad)?;
        value.set_sensitive(true);
        request.headers.insert("aeg-sas-key", value);
        request.body = HttpBody::Bytes(body);
        let sent = retry::send(&**transport, policy, PUBLISH, Repeat::Safe, Some(MAX_ANSWER), request);
        let response = sent.await?;
        if (200..300).contains(&response.status) {
            return Ok(());
        }
        let asked = wait::asked(&response.headers, SystemClock::new().now());
        let (status, body) = (response.status, response.body.collect(MAX_ANSWER).await?);
        let secrets = [key.clone()];
        let answer = Answer::new(status, &body).with_secrets(&secrets);
        let answer = asked.map_or(answer.clone(), |wait| answer.with_retry_after(wait));
        Err(from_response(PUBLISH, &answer))
    }
}

impl fmt::Debug for EventPublisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = match &self.by {
            By::Token(service) => service.base().host_str().map(str::to_owned),
            By::Key(keyed) => keyed.base.host_str().map(str::to_owned),
        };
        f.debug_struct("EventPublisher").field("host", &host).field("path", &self.path).finish()
    }
}

/// Lists of events, each of at most [`EventPublisher::MAX_BATCH`] bytes, with how many there are in each.
fn batches(events: impl IntoIterator<Item = (Result<()>, Value)>) -> Result<Vec<(usize, Bytes)>> {
    const MOST: usize = EventPublisher::MAX_BATCH;
    let (mut done, mut open, mut count) = (Vec::new(), Vec::from(b"["), 0_usize);
    for (place, (checked, event)) in events.into_iter().enumerate() {
        checked.map_err(|error| error.with("event", place))?;
        let bad = |e| Error::invalid(PUBLISH, "event", "cannot be written as JSON").with_source(e);
        let text = serde_json::to_vec(&event).map_err(|e: serde_json::Error| bad(e))?;
        if text.len() + 2 > MOST {
            return Err(
                Error::limit(PUBLISH, "the size of an event", MOST - 2, text.len()).with("event", place)
            );
        }
        if count > 0 && open.len() + 1 + text.len() + 1 > MOST {
            open.push(b']');
            done.push((count, std::mem::replace(&mut open, Vec::from(b"[")).into()));
            count = 0;
        }
        if count > 0 {
            open.push(b',');
        }
        open.extend_from_slice(&text);
        count += 1;
    }
    if count > 0 {
        open.push(b']');
        done.push((count, open.into()));
    }
    Ok(done)
}

/// Sends core's alerts as CloudEvents to a topic.
///
/// An alert has arrived when the topic took it. Keys that arrived are remembered in this process, the last 100 000 of them; after a
/// restart, receivers know a second one by its id, which is the key. Alerts are sent one at a time.
#[derive(Debug)]
pub struct EventAlertSink {
    publisher: EventPublisher,
    source: String,
    delivered: Mutex<Delivered>,
}

impl EventAlertSink {
    /// Sends alerts as events of this source, a URI reference such as `/mlops/monitors`.
    pub fn new(publisher: EventPublisher, source: impl Into<String>) -> Self {
        Self { publisher, source: source.into(), delivered: Mutex::default() }
    }
}

#[async_trait]
impl AlertSink for EventAlertSink {
    async fn deliver(&self, alert: &Alert) -> Result<AlertReceipt> {
        let event = alert_event(alert, &self.source)?;
        let mut delivered = self.delivered.lock().await;
        let receipt = |duplicate| AlertReceipt::new(duplicate, format!("{:?}", self.publisher));
        if delivered.contains(&alert.key) {
            return Ok(receipt(true));
        }
        let published = self.publisher.publish_cloud_events([event]).await?;
        if published.events != 1 {
            return Err(Error::new(ErrorKind::Internal, "AlertSink::deliver", "the event was not sent"));
        }
        delivered.insert(&alert.key);
        Ok(receipt(false))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn batches_are_as_full_as_they_may_be_and_no_fuller() {
        let event = |size: usize| (Ok(()), Value::String("x".repeat(size - 2)));
        let sizes = |events: Vec<usize>| -> Vec<(usize, usize)> {
            let made = batches(events.into_iter().map(event)).unwrap();
            made.iter().map(|(count, body)| (*count, body.len())).collect()
        };
        assert_eq!(sizes(vec![]), []);
        assert_eq!(sizes(vec![499_998, 499_999]), [(2, 1_000_000)]);
        assert_eq!(sizes(vec![499_999, 499_999]), [(1, 500_001), (1, 500_001)]);
        assert_eq!(sizes(vec![999_998, 2]), [(1, 1_000_000), (1, 4)]);
        let error = batches([event(2), event(999_999)]).unwrap_err();
        assert_eq!((error.kind(), error.context("event")), (ErrorKind::LimitExceeded, Some("1")));
        assert_eq!(&batches([(Ok(()), json!({"a": 1}))]).unwrap()[0].1[..], br#"[{"a":1}]"#);
    }
}
