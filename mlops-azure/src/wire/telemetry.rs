//! Application Insights: envelopes of what is told, and what the service answers.
//!
//! Source: the protocol of `v2.1/track` as the official exporter speaks it. Properties are texts; numbers go to measurements. Durations are
//! `D.HH:MM:SS.mmm`.

use std::collections::BTreeMap;
use std::time::Duration;

use super::quiet::Text;
use super::text::TextMap;
use chrono::SecondsFormat;
use mlops_core::time::Timestamp;
use serde::{Deserialize, Serialize};

/// The longest text of a property, in characters; longer ones are cut.
const MAX_PROPERTY: usize = 8_192;
/// The longest name of a property, metric or event, in characters.
const MAX_NAME: usize = 512;
/// The longest message, in characters.
const MAX_MESSAGE: usize = 32_768;

/// A duration as Application Insights writes it, to the millisecond, rounded down: days, hours, minutes, seconds.
///
/// ```
/// use std::time::Duration;
/// use mlops_azure::wire::telemetry::duration_text;
/// assert_eq!(duration_text(Duration::from_millis(19)), "0.00:00:00.019");
/// assert_eq!(duration_text(Duration::from_millis(93_784_005)), "1.02:03:04.005");
/// ```
pub fn duration_text(duration: Duration) -> String {
    let (seconds, millis) = (duration.as_secs(), duration.subsec_millis());
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    format!("{days}.{hours:02}:{minutes:02}:{:02}.{millis:03}", seconds % 60)
}

/// Texts by name. What is over the service's limits is cut.
pub type Texts = TextMap;

/// Numbers by name.
pub type Numbers = BTreeMap<String, f64>;

/// A piece of telemetry, without the key of where it goes: that is added when it is sent, so that none lies on a disk.
///
/// ```
/// use mlops_azure::wire::telemetry::{Telemetry, TelemetryItem};
/// let at = "2026-01-01T00:00:00Z".parse()?;
/// let event = TelemetryItem::event("prediction", at).with_property("model", "m:1").with_measurement("latency_ms", 3.2);
/// assert_eq!(event.data.base_type(), "EventData");
/// assert_eq!(serde_json::from_str::<TelemetryItem>(&serde_json::to_string(&event)?)?, event);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TelemetryItem {
    /// When it happened.
    pub time: Timestamp,
    /// Tags such as `ai.operation.id`, over those of the client.
    #[serde(default, skip_serializing_if = "TextMap::is_empty")]
    pub tags: Texts,
    /// Of how many it is told, in per cent; of all where nothing is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample_rate: Option<f64>,
    /// What happened.
    pub data: Telemetry,
}

/// What happened.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "baseType", content = "baseData")]
pub enum Telemetry {
    /// A request was answered.
    #[serde(rename = "RequestData")]
    Request(RequestData),
    /// Somebody else was asked.
    #[serde(rename = "RemoteDependencyData")]
    Dependency(DependencyData),
    /// Something failed.
    #[serde(rename = "ExceptionData")]
    Exception(ExceptionData),
    /// A number was measured.
    #[serde(rename = "MetricData")]
    Metric(MetricData),
    /// Somebody says something.
    #[serde(rename = "MessageData")]
    Message(MessageData),
    /// Anything else.
    #[serde(rename = "EventData")]
    Event(EventData),
}

impl Telemetry {
    /// The name of its kind in the envelope.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Request(_) => "Microsoft.ApplicationInsights.Request",
            Self::Dependency(_) => "Microsoft.ApplicationInsights.RemoteDependency",
            Self::Exception(_) => "Microsoft.ApplicationInsights.Exception",
            Self::Metric(_) => "Microsoft.ApplicationInsights.Metric",
            Self::Message(_) => "Microsoft.ApplicationInsights.Message",
            Self::Event(_) => "Microsoft.ApplicationInsights.Event",
        }
    }

    /// The name of its data's type.
    pub fn base_type(&self) -> &'static str {
        match self {
            Self::Request(_) => "RequestData",
            Self::Dependency(_) => "RemoteDependencyData",
            Self::Exception(_) => "ExceptionData",
            Self::Metric(_) => "MetricData",
            Self::Message(_) => "MessageData",
            Self::Event(_) => "EventData",
        }
    }
}

/// A request that was answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RequestData {
    /// The version of the shape: 2.
    pub ver: u8,
    /// What was asked: `POST /score`.
    pub name: String,
    /// Its id.
    pub id: String,
    /// How long it took.
    pub duration: String,
    /// The status.
    pub response_code: String,
    /// Whether it went well.
    pub success: bool,
    /// Texts.
    pub properties: Texts,
    /// Numbers.
    pub measurements: Numbers,
    /// Where it was asked; without a query.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<Text>,
}

/// A request to somebody else.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DependencyData {
    /// The version of the shape: 2.
    pub ver: u8,
    /// What was asked: `GET /x`.
    pub name: String,
    /// Its id.
    pub id: String,
    /// The status.
    pub result_code: String,
    /// How long it took.
    pub duration: String,
    /// Whether it went well.
    pub success: bool,
    /// Texts.
    pub properties: Texts,
    /// Numbers.
    pub measurements: Numbers,
    /// What kind of service: `HTTP`, `SQL`.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The command or the address; without what is secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Text>,
    /// The host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
}

/// A failure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExceptionData {
    /// The version of the shape: 2.
    pub ver: u8,
    /// Texts.
    pub properties: Texts,
    /// Numbers.
    pub measurements: Numbers,
    /// What failed, and what caused it.
    pub exceptions: Vec<ExceptionDetails>,
}

/// One failure of a chain.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExceptionDetails {
    /// Its type.
    pub type_name: String,
    /// What it says.
    pub message: Text,
    /// Whether `stack` is all of it.
    pub has_full_stack: bool,
    /// Where it happened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stack: Option<Text>,
}

/// A number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MetricData {
    /// The version of the shape: 2.
    pub ver: u8,
    /// Texts.
    pub properties: Texts,
    /// The one number: the service reads no second.
    pub metrics: Vec<MetricPoint>,
}

/// A number, or several in one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MetricPoint {
    /// What was measured.
    pub name: String,
    /// The number, or the sum of several; finite.
    pub value: f64,
    /// How many.
    pub count: u64,
    /// The smallest of several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    /// The largest of several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
}

/// What somebody says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MessageData {
    /// The version of the shape: 2.
    pub ver: u8,
    /// What.
    pub message: Text,
    /// How bad it is: 0 verbose, 1 information, 2 warning, 3 error, 4 critical.
    pub severity_level: u8,
    /// Texts.
    pub properties: Texts,
    /// Numbers.
    pub measurements: Numbers,
}

/// Anything else.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EventData {
    /// The version of the shape: 2.
    pub ver: u8,
    /// Its name.
    pub name: String,
    /// Texts.
    pub properties: Texts,
    /// Numbers.
    pub measurements: Numbers,
}

/// A text of at most so many characters.
fn cut(text: &str, limit: usize) -> String {
    text.char_indices().nth(limit).map_or(text, |(end, _)| text.get(..end).unwrap_or_default()).to_owned()
}

impl TelemetryItem {
    fn new(time: Timestamp, data: Telemetry) -> Self {
        Self { time, tags: Texts::default(), sample_rate: None, data }
    }

    /// A request that was answered.
    pub fn request(
        name: &str,
        id: &str,
        status: u16,
        success: bool,
        duration: Duration,
        time: Timestamp,
    ) -> Self {
        let data = RequestData {
            ver: 2,
            name: cut(name, 1_024),
            id: cut(id, 512),
            duration: duration_text(duration),
            response_code: status.to_string(),
            success,
            properties: Texts::default(),
            measurements: Numbers::new(),
            url: None,
        };
        Self::new(time, Telemetry::Request(data))
    }

    /// A request to somebody else, over HTTP.
    pub fn dependency(
        name: &str,
        id: &str,
        status: u16,
        success: bool,
        duration: Duration,
        time: Timestamp,
    ) -> Self {
        let data = DependencyData {
            ver: 2,
            name: cut(name, 1_024),
            id: cut(id, 512),
            result_code: status.to_string(),
            duration: duration_text(duration),
            success,
            properties: Texts::default(),
            measurements: Numbers::new(),
            kind: Some("HTTP".to_owned()),
            data: None,
            target: None,
        };
        Self::new(time, Telemetry::Dependency(data))
    }

    /// A failure.
    pub fn exception(type_name: &str, message: &str, time: Timestamp) -> Self {
        let details = ExceptionDetails {
            type_name: cut(type_name, 1_024),
            message: Text(cut(message, MAX_MESSAGE)),
            has_full_stack: false,
            stack: None,
        };
        let (properties, measurements) = (Texts::default(), Numbers::new());
        let data = ExceptionData { ver: 2, properties, measurements, exceptions: vec![details] };
        Self::new(time, Telemetry::Exception(data))
    }

    /// A number. One that is not finite is 0, and says so in the property `not_finite`: JSON has no NaN.
    pub fn metric(name: &str, value: f64, time: Timestamp) -> Self {
        let point = MetricPoint {
            name: cut(name, MAX_NAME),
            value: if value.is_finite() { value } else { 0.0 },
            count: 1,
            min: None,
            max: None,
        };
        let data = MetricData { ver: 2, properties: Texts::default(), metrics: vec![point] };
        let item = Self::new(time, Telemetry::Metric(data));
        if value.is_finite() { item } else { item.with_property("not_finite", value.to_string()) }
    }

    /// Several numbers in one: their sum, how many there are, the smallest and the largest; all finite.
    pub fn aggregate(name: &str, sum: f64, count: u64, (min, max): (f64, f64), time: Timestamp) -> Self {
        let mut item = Self::metric(name, sum, time);
        if let Telemetry::Metric(data) = &mut item.data
            && let Some(point) = data.metrics.first_mut()
        {
            let finite = |value: f64| value.is_finite().then_some(value);
            (point.count, point.min, point.max) = (count, finite(min), finite(max));
        }
        item
    }

    /// What somebody says: 0 verbose, 1 information, 2 warning, 3 error, 4 critical.
    pub fn message(message: &str, severity_level: u8, time: Timestamp) -> Self {
        let data = MessageData {
            ver: 2,
            message: Text(cut(message, MAX_MESSAGE)),
            severity_level: severity_level.min(4),
            properties: Texts::default(),
            measurements: Numbers::new(),
        };
        Self::new(time, Telemetry::Message(data))
    }

    /// Anything else.
    pub fn event(name: &str, time: Timestamp) -> Self {
        let (properties, measurements) = (Texts::default(), Numbers::new());
        let data = EventData { ver: 2, name: cut(name, MAX_NAME), properties, measurements };
        Self::new(time, Telemetry::Event(data))
    }

    /// With a text.
    #[must_use]
    pub fn with_property(mut self, name: &str, value: impl AsRef<str>) -> Self {
        let properties = match &mut self.data {
            Telemetry::Request(data) => &mut data.properties,
            Telemetry::Dependency(data) => &mut data.properties,
            Telemetry::Exception(data) => &mut data.properties,
            Telemetry::Metric(data) => &mut data.properties,
            Telemetry::Message(data) => &mut data.properties,
            Telemetry::Event(data) => &mut data.properties,
        };
        properties.insert(cut(name, MAX_NAME), cut(value.as_ref(), MAX_PROPERTY));
        self
    }

    /// With a number. A metric has none: there it is a text; so is a number that is not finite.
    #[must_use]
    pub fn with_measurement(mut self, name: &str, value: f64) -> Self {
        let measurements = match &mut self.data {
            Telemetry::Request(data) => Some(&mut data.measurements),
            Telemetry::Dependency(data) => Some(&mut data.measurements),
            Telemetry::Exception(data) => Some(&mut data.measurements),
            Telemetry::Message(data) => Some(&mut data.measurements),
            Telemetry::Event(data) => Some(&mut data.measurements),
            Telemetry::Metric(_) => None,
        };
        match measurements.filter(|_| value.is_finite()) {
            Some(measurements) => {
                measurements.insert(cut(name, MAX_NAME), value);
                self
            }
            None => self.with_property(name, value.to_string()),
        }
    }

    /// It stands for so many of its like, of which the others are not told.
    #[must_use]
    pub fn standing_for(mut self, count: u32) -> Self {
        self.sample_rate = (count > 1).then(|| 100.0 / f64::from(count));
        self
    }

    /// Within a distributed operation: its id, and that of the step above.
    #[must_use]
    pub fn within(mut self, operation: &str, parent: Option<&str>) -> Self {
        self.tags.insert("ai.operation.id".to_owned(), cut(operation, 128));
        if let Some(parent) = parent {
            self.tags.insert("ai.operation.parentId".to_owned(), cut(parent, 512));
        }
        self
    }

    /// With a tag.
    #[must_use]
    pub fn with_tag(mut self, name: &str, value: &str) -> Self {
        self.tags.insert(name.to_owned(), cut(value, 1_024));
        self
    }
}

/// An item as it is sent.
#[derive(Clone, Debug, Serialize)]
pub struct Envelope<'a> {
    name: &'static str,
    time: String,
    #[serde(rename = "iKey")]
    key: Key<'a>,
    #[serde(rename = "sampleRate", skip_serializing_if = "Option::is_none")]
    sample_rate: Option<f64>,
    tags: BTreeMap<&'a str, &'a str>,
    data: &'a Telemetry,
}

#[derive(Clone, Serialize)]
#[serde(transparent)]
struct Key<'a>(&'a str);

impl std::fmt::Debug for Key<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(secret)")
    }
}

impl<'a> Envelope<'a> {
    /// An item for the owner of a key, with the client's tags where it has none of its own.
    ///
    /// ```
    /// use mlops_azure::wire::telemetry::{Envelope, TelemetryItem, Texts};
    /// let item = TelemetryItem::event("prediction", "2026-01-01T00:00:00Z".parse()?);
    /// let tags = Texts::from_iter([("ai.cloud.role", "scorer")]);
    /// let envelope = Envelope::new(&item, "guid", &tags);
    /// assert_eq!(serde_json::to_value(&envelope)?["tags"]["ai.cloud.role"], "scorer");
    /// assert!(!format!("{envelope:?}").contains("guid"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn new(item: &'a TelemetryItem, key: &'a str, tags: &'a Texts) -> Self {
        let text = |(name, value): (&'a String, &'a String)| (name.as_str(), value.as_str());
        Self {
            name: item.data.name(),
            time: item.time.to_rfc3339_opts(SecondsFormat::Micros, true),
            key: Key(key),
            sample_rate: item.sample_rate,
            tags: tags.0.iter().chain(&item.tags.0).map(text).collect(),
            data: &item.data,
        }
    }
}

/// What the service answers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TrackAnswer {
    /// How many items it got.
    pub items_received: u64,
    /// How many it took.
    pub items_accepted: u64,
    /// Which it did not take.
    pub errors: Vec<TrackError>,
}

/// An item that was not taken.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TrackError {
    /// Its place in the request.
    pub index: usize,
    /// Why, as a status.
    pub status_code: u16,
    /// Why, for people.
    pub message: Text,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at() -> Timestamp {
        "2026-01-01T00:00:00Z".parse().unwrap()
    }

    #[test]
    fn what_is_not_finite_is_a_text() {
        let metric = TelemetryItem::metric("psi", f64::NAN, at());
        let text = serde_json::to_string(&metric).unwrap();
        assert!(text.contains(r#""not_finite":"NaN""#) && text.contains(r#""value":0.0"#), "{text}");
        let event = TelemetryItem::event("e", at()).with_measurement("x", f64::INFINITY);
        let Telemetry::Event(data) = event.data else { panic!() };
        assert_eq!((data.properties.get("x").unwrap(), data.measurements.len()), ("inf", 0));
    }

    #[test]
    fn texts_are_cut_between_characters() {
        let event = TelemetryItem::event(&"é".repeat(600), at()).with_property("p", "x".repeat(9_000));
        let Telemetry::Event(data) = event.data else { panic!() };
        assert_eq!((data.name.chars().count(), data.properties.get("p").unwrap().len()), (512, 8_192));
    }
}
