//! The ingestion of Application Insights.

use std::collections::{BTreeSet, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use reqwest::Method;
use serde_json::{Value, json};

use super::azure::FakeAzure;
use super::body::Bodies;
use super::exchange::{FakeAnswer, FakePart, FakeRequest};
use super::schema::Finding;
use crate::config::name::is_guid;

/// Where items are judged, whichever host they came to.
const INGESTION: &str = "eastus-1.in.applicationinsights.azure.com";

/// How the ingestion answers one request.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ingestion {
    /// With 200.
    Takes,
    /// With 206: all but those at these places, each with its status.
    TakesPart(Vec<(usize, u16)>),
    /// With a status, and perhaps with seconds to wait; nothing is taken.
    Refuses(u16, Option<u32>),
    /// With 307 to another address; nothing is taken.
    Redirects(String),
}

/// The ingestion of Application Insights in memory: `v2.1/track` at `*.applicationinsights.azure.com` and at every host that it is told.
///
/// It answers as it is [told](Self::next), and takes everything where it is told nothing, compressed by gzip or not. What is no envelope is
/// refused as the service does, with 206 and 400 for its place.
///
/// ```
/// use mlops_azure::fake::{FakeAzure, FakeInsights};
/// use mlops_azure::telemetry::AppInsights;
/// use mlops_azure::wire::telemetry::TelemetryItem;
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
/// let azure = FakeAzure::new();
/// let ingestion = FakeInsights::of(&azure);
/// let insights = AppInsights::builder(ingestion.connection().parse()?).transport(azure.transport()).build()?;
/// insights.track(&[TelemetryItem::event("prediction", azure.now())])?;
/// assert_eq!(insights.flush().await?.accepted, 1);
/// assert_eq!(ingestion.items()[0]["data"]["baseData"]["name"], "prediction");
/// # Ok::<(), mlops_core::Error>(()) })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct FakeInsights(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    next: VecDeque<Ingestion>,
    items: Vec<Value>,
    hosts: Vec<String>,
    requests: Vec<(String, usize)>,
}

impl FakeInsights {
    /// The ingestion of a fake, plugged in.
    pub fn of(azure: &FakeAzure) -> Self {
        let insights = Self(Arc::default());
        azure.plug(insights.clone());
        insights
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where it is, and a key that it takes.
    pub fn connection(&self) -> String {
        format!(
            "InstrumentationKey=00000000-0000-0000-0000-00000000cafe;IngestionEndpoint=https://{INGESTION}/"
        )
    }

    /// Answers the requests to come so, one after the other.
    pub fn next(&self, answers: impl IntoIterator<Item = Ingestion>) {
        self.state().next.extend(answers);
    }

    /// Answers at this host too.
    pub fn at_host(&self, host: &str) {
        self.state().hosts.push(host.to_owned());
    }

    /// What was taken, in order, as it was sent.
    pub fn items(&self) -> Vec<Value> {
        self.state().items.clone()
    }

    /// The host of every request, and how many items it had.
    pub fn requests(&self) -> Vec<(String, usize)> {
        self.state().requests.clone()
    }
}

impl FakePart for FakeInsights {
    fn answer(&self, request: &FakeRequest, _: &FakeAzure) -> Option<FakeAnswer> {
        let mut state = self.state();
        let host = request.host().to_owned();
        let ours = host.ends_with(".applicationinsights.azure.com") || state.hosts.contains(&host);
        if !ours {
            return None;
        }
        if request.method != Method::POST || request.path() != "/v2.1/track" {
            return Some(FakeAnswer::empty(404));
        }
        let Some(content) = request.content() else { return Some(FakeAnswer::empty(400)) };
        let Ok(Value::Array(items)) = serde_json::from_slice(&content) else {
            return Some(FakeAnswer::empty(400));
        };
        state.requests.push((host, items.len()));
        let mut refused = match state.next.pop_front().unwrap_or(Ingestion::Takes) {
            Ingestion::Takes => Vec::new(),
            Ingestion::TakesPart(refused) => refused,
            Ingestion::Refuses(status, wait) => {
                let answer = FakeAnswer::json(status, answer_body(items.len(), 0, &[(0, status)]));
                return Some(wait.into_iter().fold(answer, FakeAnswer::retry_after));
            }
            Ingestion::Redirects(to) => return Some(FakeAnswer::empty(307).with("location", to)),
        };
        let report = Bodies::official().findings(&request.method, INGESTION, request.path(), &content);
        let judged: BTreeSet<usize> =
            report.iter().flat_map(|report| &report.errors).filter_map(place).collect();
        let wrong =
            items.iter().enumerate().filter(|(place, item)| judged.contains(place) || !is_envelope(item));
        refused.extend(wrong.map(|(place, _)| (place, 400)));
        let total = items.len();
        let is_refused = |place: &usize| refused.iter().any(|(at, _)| at == place);
        let taken = items.into_iter().enumerate().filter(|(place, _)| !is_refused(place));
        let taken: Vec<Value> = taken.map(|(_, item)| item).collect();
        let count = taken.len();
        state.items.extend(taken);
        let status = if refused.is_empty() { 200 } else { 206 };
        Some(FakeAnswer::json(status, answer_body(total, count, &refused)))
    }
}

fn answer_body(received: usize, accepted: usize, refused: &[(usize, u16)]) -> Value {
    let error = |(index, status): &(usize, u16)| json!({ "index": index, "statusCode": status, "message": format!("{index}: refused with {status}") });
    let errors: Vec<Value> = refused.iter().map(error).collect();
    json!({ "itemsReceived": received, "itemsAccepted": accepted, "errors": errors, "appId": null })
}

/// The place in the list that a finding is about.
fn place(finding: &Finding) -> Option<usize> {
    finding.at.split('/').nth(1)?.parse().ok()
}

/// What the types do not say of an envelope: its name belongs to its data, its key is a GUID, its time is one, its shape is the second.
fn is_envelope(item: &Value) -> bool {
    let text = |pointer: &str| item.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let kind = text("/data/baseType").strip_suffix("Data").unwrap_or_default();
    text("/name") == format!("Microsoft.ApplicationInsights.{kind}")
        && is_guid(text("/iKey"))
        && text("/time").parse::<mlops_core::time::Timestamp>().is_ok()
        && item.pointer("/data/baseData/ver") == Some(&json!(2))
}

impl fmt::Debug for FakeInsights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FakeInsights").field("items", &self.state().items.len()).finish_non_exhaustive()
    }
}
