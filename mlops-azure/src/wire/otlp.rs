//! OTLP in JSON: what a collector of OpenTelemetry is told.
//!
//! Source: OpenTelemetry protocol 1.x, its JSON encoding: members in camel case, 64-bit integers as texts, enumerations as numbers, ids
//! in hexadecimal.

use std::fmt;

use super::quiet::{self, Text, Untyped};
use mlops_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// Attributes: texts and numbers by name, in the order they are given.
#[derive(Clone, Default, PartialEq)]
pub struct Attributes(Vec<(String, Value)>);

impl Attributes {
    /// With a text.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.0.push((name.into(), json!({ "stringValue": value.into() })));
        self
    }

    /// With a whole number.
    #[must_use]
    pub fn with_int(mut self, name: impl Into<String>, value: i64) -> Self {
        self.0.push((name.into(), json!({ "intValue": value.to_string() })));
        self
    }

    fn list(&self) -> Value {
        self.0.iter().map(|(name, value)| json!({ "key": name, "value": value })).collect()
    }
}

impl fmt::Debug for Attributes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        quiet::names(self.0.iter().map(|(name, _)| name), f)
    }
}

/// Nanoseconds since the Unix epoch, as a text; 0 before it and beyond 2262.
fn nanos(at: Timestamp) -> String {
    at.timestamp_nanos_opt().unwrap_or_default().max(0).to_string()
}

/// A number at a time, of a window.
#[derive(Clone, Debug, PartialEq)]
pub struct NumberPoint {
    /// The window's first moment.
    pub start: Timestamp,
    /// The first moment after.
    pub end: Timestamp,
    /// Of what.
    pub attributes: Attributes,
    /// The number.
    pub value: PointValue,
}

/// A number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum PointValue {
    /// How many.
    Count(u64),
    /// How much; one that is not finite is left out.
    Measure(f64),
}

impl NumberPoint {
    fn json(&self) -> Option<Value> {
        let mut point = json!({
            "attributes": self.attributes.list(),
            "startTimeUnixNano": nanos(self.start), "timeUnixNano": nanos(self.end),
        });
        let (name, value) = match self.value {
            PointValue::Count(count) => {
                ("asInt", Value::String(i64::try_from(count).unwrap_or(i64::MAX).to_string()))
            }
            PointValue::Measure(value) => ("asDouble", Value::Number(serde_json::Number::from_f64(value)?)),
        };
        point.as_object_mut()?.insert(name.to_owned(), value);
        Some(point)
    }
}

/// A bucketed distribution of a window.
#[derive(Clone, Debug, PartialEq)]
pub struct HistogramPoint {
    /// The window's first moment.
    pub start: Timestamp,
    /// The first moment after.
    pub end: Timestamp,
    /// Of what.
    pub attributes: Attributes,
    /// The sum of the values; finite.
    pub sum: f64,
    /// The upper bounds of the buckets, ascending and finite; the last bucket has none.
    pub bounds: Vec<f64>,
    /// How many values each bucket has: one more than there are bounds.
    pub counts: Vec<u64>,
}

impl HistogramPoint {
    fn json(&self) -> Option<Value> {
        if self.counts.len() != self.bounds.len() + 1 || !self.sum.is_finite() {
            return None;
        }
        let count = self.counts.iter().fold(0_u64, |sum, count| sum.saturating_add(*count));
        Some(json!({
            "attributes": self.attributes.list(),
            "startTimeUnixNano": nanos(self.start), "timeUnixNano": nanos(self.end),
            "count": count.to_string(), "sum": self.sum, "explicitBounds": self.bounds,
            "bucketCounts": self.counts.iter().map(u64::to_string).collect::<Vec<_>>(),
        }))
    }
}

/// A metric and its points.
#[derive(Clone, Debug, PartialEq)]
pub struct Metric {
    /// Its name.
    pub name: String,
    /// Its unit, as UCUM writes it: `1`, `s`, `{request}`.
    pub unit: &'static str,
    /// What kind of metric, and its points.
    pub data: MetricData,
}

/// What kind of metric, and its points.
#[derive(Clone, Debug, PartialEq)]
pub enum MetricData {
    /// A number as it is.
    Gauge(Vec<NumberPoint>),
    /// How many in each window; only ever more.
    Sum(Vec<NumberPoint>),
    /// How values of each window are distributed.
    Histogram(Vec<HistogramPoint>),
}

impl Metric {
    /// What is of the window alone, and not of all time.
    const DELTA: u8 = 1;

    fn json(&self) -> Value {
        let numbers =
            |points: &[NumberPoint]| points.iter().filter_map(NumberPoint::json).collect::<Vec<_>>();
        let (kind, data) = match &self.data {
            MetricData::Gauge(points) => ("gauge", json!({ "dataPoints": numbers(points) })),
            MetricData::Sum(points) => {
                let points = numbers(points);
                let sum = json!({ "aggregationTemporality": Self::DELTA, "isMonotonic": true, "dataPoints": points });
                ("sum", sum)
            }
            MetricData::Histogram(points) => {
                let points: Vec<_> = points.iter().filter_map(HistogramPoint::json).collect();
                ("histogram", json!({ "aggregationTemporality": Self::DELTA, "dataPoints": points }))
            }
        };
        json!({ "name": self.name, "unit": self.unit, kind: data })
    }
}

/// A line of a log.
#[derive(Clone, Debug, PartialEq)]
pub struct LogRecord {
    /// When it happened.
    pub at: Timestamp,
    /// How bad it is: 9 information, 13 warning, 17 error, 21 fatal.
    pub severity: u8,
    /// The same as a word.
    pub severity_text: &'static str,
    /// What is said.
    pub body: Text,
    /// Of what.
    pub attributes: Attributes,
}

impl LogRecord {
    fn json(&self, observed: Timestamp) -> Value {
        json!({
            "timeUnixNano": nanos(self.at), "observedTimeUnixNano": nanos(observed),
            "severityNumber": self.severity, "severityText": self.severity_text,
            "body": { "stringValue": self.body }, "attributes": self.attributes.list(),
        })
    }
}

/// A step of something that is traced.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    /// The id of the whole: not zero.
    pub trace: u128,
    /// Its own id: not zero.
    pub id: u64,
    /// The step above.
    pub parent: Option<u64>,
    /// What it is.
    pub name: String,
    /// When it began.
    pub start: Timestamp,
    /// When it ended.
    pub end: Timestamp,
    /// Of what.
    pub attributes: Attributes,
    /// Whether it failed.
    pub failed: bool,
}

impl Span {
    /// What serves a request.
    const SERVER: u8 = 2;

    fn json(&self) -> Value {
        let mut span = json!({
            "traceId": format!("{:032x}", self.trace), "spanId": format!("{:016x}", self.id),
            "name": self.name, "kind": Self::SERVER,
            "startTimeUnixNano": nanos(self.start), "endTimeUnixNano": nanos(self.end),
            "attributes": self.attributes.list(),
            "status": if self.failed { json!({ "code": 2 }) } else { json!({ "code": 1 }) },
        });
        if let (Some(parent), Some(members)) = (self.parent, span.as_object_mut()) {
            members.insert("parentSpanId".to_owned(), Value::String(format!("{parent:016x}")));
        }
        span
    }
}

fn scope() -> Value {
    json!({ "name": "mlops", "version": env!("CARGO_PKG_VERSION") })
}

fn around(outer: &str, inner: &str, list: &str, resource: &Attributes, items: Vec<Value>) -> Value {
    let mut scoped = Map::new();
    scoped.insert("scope".to_owned(), scope());
    scoped.insert(list.to_owned(), Value::Array(items));
    let mut one = Map::new();
    one.insert("resource".to_owned(), json!({ "attributes": resource.list() }));
    one.insert(inner.to_owned(), json!([scoped]));
    json!({ outer: [one] })
}

/// The body of a request to `/v1/metrics`.
///
/// ```
/// use mlops_azure::wire::otlp::{Attributes, Metric, MetricData, NumberPoint, PointValue, metrics_body};
/// let at = "2026-01-01T00:00:00Z".parse()?;
/// let point = NumberPoint { start: at, end: at, attributes: Attributes::default(), value: PointValue::Count(3) };
/// let metric = Metric { name: "mlops.requests".into(), unit: "{request}", data: MetricData::Sum(vec![point]) };
/// let body = metrics_body(&Attributes::default().with("service.name", "scorer"), &[metric]);
/// let sum = &body["resourceMetrics"][0]["scopeMetrics"][0]["metrics"][0]["sum"];
/// assert_eq!(sum["dataPoints"][0]["asInt"], "3");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn metrics_body(resource: &Attributes, metrics: &[Metric]) -> Value {
    let metrics = metrics.iter().map(Metric::json).collect();
    around("resourceMetrics", "scopeMetrics", "metrics", resource, metrics)
}

/// The body of a request to `/v1/logs`.
pub fn logs_body(resource: &Attributes, records: &[LogRecord], observed: Timestamp) -> Value {
    let records = records.iter().map(|record| record.json(observed)).collect();
    around("resourceLogs", "scopeLogs", "logRecords", resource, records)
}

/// The body of a request to `/v1/traces`.
pub fn traces_body(resource: &Attributes, spans: &[Span]) -> Value {
    let spans = spans.iter().map(Span::json).collect();
    around("resourceSpans", "scopeSpans", "spans", resource, spans)
}

/// What a collector answers when it took a part.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ExportAnswer {
    /// Which part it did not take.
    pub partial_success: Option<PartialSuccess>,
}

/// Which part a collector did not take.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PartialSuccess {
    /// How many points of metrics.
    pub rejected_data_points: Option<Untyped>,
    /// How many lines.
    pub rejected_log_records: Option<Untyped>,
    /// How many spans.
    pub rejected_spans: Option<Untyped>,
    /// Why.
    pub error_message: Option<Text>,
}

impl PartialSuccess {
    /// How many of whatever was sent; numbers come as texts, and as numbers too.
    ///
    /// ```
    /// use mlops_azure::wire::otlp::ExportAnswer;
    /// let read: ExportAnswer = serde_json::from_str(r#"{"partialSuccess":{"rejectedDataPoints":"2"}}"#)?;
    /// assert_eq!(read.partial_success.unwrap().rejected(), 2);
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    pub fn rejected(&self) -> u64 {
        let counts = [&self.rejected_data_points, &self.rejected_log_records, &self.rejected_spans];
        let count = |value: &Untyped| value.as_u64().or_else(|| value.as_str()?.parse().ok());
        counts.into_iter().flatten().filter_map(count).fold(0, u64::saturating_add)
    }
}
