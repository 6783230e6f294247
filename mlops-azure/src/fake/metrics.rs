//! Azure Monitor's metrics of online endpoints.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, SecondsFormat};
use mlops_core::time::Timestamp;
use reqwest::Method;
use serde_json::{Map, Value, json};

use super::arm;
use super::azure::{FakeAzure, REGION};
use super::exchange::{FakeAnswer, FakePart, FakeRequest};

/// The metrics of the online endpoints of a [`FakeAzure`]. Clones are the same part.
///
/// What models answer is counted as it happens, by the fake's clock; a test may [add](Self::request) to it. As Azure does, it
/// * tells one series for each combination of the dimensions that a filter names, their names in lower case; averages over the series
///   that are not told apart, which is less than their sum; ten series where `top` does not say how many, and not that there are more;
/// * fills minutes without requests with zeros, where there is a series at all, also those whose data have not come yet; minutes
///   without a latency have a point without a value; what had no data has no series;
/// * knows a minute's data some [time](Self::delay) after it;
/// * refuses metrics, dimensions and intervals that there are not, in a body without an envelope; an aggregation that a metric does not have
///   is that metric's own error in an answer that is good.
///
/// Simplified: it has the metrics of traffic and machines, and not those of connections and data collection; a minute that is not over
/// has no data, where Azure tells a part of them; percentiles are those of all requests of a series.
///
/// ```
/// use mlops_azure::fake::FakeAzure;
/// let azure = FakeAzure::new();
/// azure.metrics().request("churn", "blue", (424, Some(500)), 12.5, "2026-03-02T08:00:00Z".parse().unwrap());
/// ```
#[derive(Clone, Default)]
pub struct FakeMetrics(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    series: BTreeMap<Key, BTreeMap<i64, Vec<f64>>>,
    /// How long answers take, by endpoint and deployment.
    latencies: BTreeMap<(String, String), f64>,
    delay: Duration,
    failures: BTreeMap<String, Failure>,
    throttled: u32,
    hidden: Vec<String>,
}

/// Whose values they are, of what, and for which dimensions.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    /// In lower case, below the workspace: `onlineendpoints/churn`.
    resource: String,
    metric: String,
    /// By their names in lower case.
    dimensions: BTreeMap<String, String>,
}

struct Failure {
    code: String,
    message: String,
    left: u32,
}

/// A metric that there is.
struct Known {
    name: &'static str,
    shown: &'static str,
    unit: &'static str,
    dimensions: &'static [&'static str],
    aggregations: &'static [&'static str],
    zeros: bool,
}

const AVERAGE: &[&str] = &["Average"];
const RANGE: &[&str] = &["Minimum", "Maximum", "Average"];
const REQUESTS: &str = "RequestsPerMinute";
const LATENCY: &str = "RequestLatency";

const fn latency(name: &'static str, shown: &'static str) -> Known {
    Known {
        name,
        shown,
        unit: "MilliSeconds",
        dimensions: &["deployment"],
        aggregations: AVERAGE,
        zeros: false,
    }
}

const fn percent(name: &'static str, shown: &'static str) -> Known {
    Known { name, shown, unit: "Percent", dimensions: &["instanceId"], aggregations: RANGE, zeros: false }
}

const OF_ENDPOINTS: &[Known] = &[
    latency(LATENCY, "Request Latency"),
    latency("RequestLatency_P50", "Request Latency P50"),
    latency("RequestLatency_P90", "Request Latency P90"),
    latency("RequestLatency_P95", "Request Latency P95"),
    latency("RequestLatency_P99", "Request Latency P99"),
    Known {
        name: REQUESTS,
        shown: "Requests Per Minute",
        unit: "Count",
        dimensions: &["deployment", "statusCode", "statusCodeClass", "modelStatusCode"],
        aggregations: AVERAGE,
        zeros: true,
    },
];

const OF_DEPLOYMENTS: &[Known] = &[
    percent("CpuMemoryUtilizationPercentage", "CPU Memory Utilization Percentage"),
    percent("CpuUtilizationPercentage", "CPU Utilization Percentage"),
    percent("DiskUtilization", "Disk Utilization"),
    percent("GpuMemoryUtilizationPercentage", "GPU Memory Utilization Percentage"),
    percent("GpuUtilizationPercentage", "GPU Utilization Percentage"),
];

/// What intervals there are, in minutes, as they are asked for and as they are named in refusals.
const INTERVALS: [(&str, i64, &str); 8] = [
    ("PT1M", 1, "00:01:00"),
    ("PT5M", 5, "00:05:00"),
    ("PT15M", 15, "00:15:00"),
    ("PT30M", 30, "00:30:00"),
    ("PT1H", 60, "01:00:00"),
    ("PT6H", 360, "06:00:00"),
    ("PT12H", 720, "12:00:00"),
    ("P1D", 1440, "1.00:00:00"),
];

fn minute_of(moment: Timestamp) -> i64 {
    moment.timestamp().div_euclid(60)
}

fn moment(minute: i64) -> Timestamp {
    DateTime::from_timestamp(minute.saturating_mul(60), 0).unwrap_or_default()
}

fn lower(text: &str) -> String {
    text.to_ascii_lowercase()
}

impl FakeMetrics {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A deployment answered a request: with which status, and the model with which, after how many milliseconds, and when.
    pub fn request(
        &self,
        endpoint: &str,
        deployment: &str,
        (status, model): (u16, Option<u16>),
        latency_ms: f64,
        at: Timestamp,
    ) {
        let resource = format!("onlineendpoints/{}", lower(endpoint));
        let name = ("deployment".to_owned(), deployment.to_owned());
        let mut dimensions = BTreeMap::from([name.clone()]);
        dimensions.insert("statuscode".into(), status.to_string());
        dimensions.insert("statuscodeclass".into(), format!("{}xx", status / 100));
        dimensions.insert("modelstatuscode".into(), model.map(|model| model.to_string()).unwrap_or_default());
        let requests = Key { resource: resource.clone(), metric: REQUESTS.into(), dimensions };
        let latencies = Key { resource, metric: LATENCY.into(), dimensions: BTreeMap::from([name]) };
        let mut state = self.state();
        // One sample a minute: the number of requests.
        let bin = state.series.entry(requests).or_default().entry(minute_of(at)).or_default();
        match bin.first_mut() {
            Some(count) => *count += 1.0,
            None => bin.push(1.0),
        }
        state.series.entry(latencies).or_default().entry(minute_of(at)).or_default().push(latency_ms);
    }

    /// An instance of a deployment tells a value of a metric, such as `CpuUtilizationPercentage`.
    pub fn measure(
        &self,
        endpoint: &str,
        deployment: &str,
        metric: &str,
        instance: &str,
        value: f64,
        at: Timestamp,
    ) {
        let resource = format!("onlineendpoints/{}/deployments/{}", lower(endpoint), lower(deployment));
        let dimensions = BTreeMap::from([("instanceid".to_owned(), instance.to_owned())]);
        let key = Key { resource, metric: metric.to_owned(), dimensions };
        self.state().series.entry(key).or_default().entry(minute_of(at)).or_default().push(value);
    }

    /// How many milliseconds a deployment's answers take from now on, as the metrics tell it; ten at first.
    pub fn latency_of(&self, endpoint: &str, deployment: &str, milliseconds: f64) {
        self.state().latencies.insert((lower(endpoint), lower(deployment)), milliseconds);
    }

    /// How long after the end of a minute its data are known; at first at once.
    pub fn delay(&self, delay: Duration) {
        self.state().delay = delay;
    }

    /// The next so many answers about a metric have this error in its place.
    pub fn fail(&self, metric: &str, code: &str, message: &str, answers: u32) {
        let failure = Failure { code: code.to_owned(), message: message.to_owned(), left: answers };
        self.state().failures.insert(lower(metric), failure);
    }

    /// The next so many questions are answered with 529, as by metrics that are asked too often.
    pub fn throttled(&self, questions: u32) {
        self.state().throttled = questions;
    }

    /// From now on no metric can be split by this dimension.
    pub fn without_dimension(&self, name: &str) {
        self.state().hidden.push(lower(name));
    }

    /// A model of a deployment answered.
    pub(super) fn answered(&self, endpoint: &str, deployment: &str, status: (u16, u16), at: Timestamp) {
        let of = (lower(endpoint), lower(deployment));
        let latency = self.state().latencies.get(&of).copied().unwrap_or(10.0);
        self.request(endpoint, deployment, (status.0, Some(status.1)), latency, at);
    }
}

/// A refusal, as the metrics say it: without an envelope.
fn refused(message: impl Into<String>) -> FakeAnswer {
    FakeAnswer::json(400, json!({ "code": "BadRequest", "message": message.into() }))
}

/// What a filter says of one dimension.
#[derive(Debug, Default, PartialEq)]
struct Wanted {
    every: bool,
    one_of: Vec<String>,
    none_of: Vec<String>,
}

impl Wanted {
    fn takes(&self, value: &str) -> bool {
        let is_in = |all: &[String]| all.iter().any(|one| one.eq_ignore_ascii_case(value));
        (self.one_of.is_empty() || self.every || is_in(&self.one_of)) && !is_in(&self.none_of)
    }
}

/// Takes a filter apart, by dimensions in lower case.
fn read_filter(text: &str) -> Result<BTreeMap<String, Wanted>, FakeAnswer> {
    let bad = || refused(format!("The filter '{text}' is not valid."));
    let mut wanted: BTreeMap<String, Wanted> = BTreeMap::new();
    let mut rest = text.trim();
    let mut before: Option<(String, bool)> = None;
    while !rest.is_empty() {
        let (name, after) = rest.split_once(' ').ok_or_else(bad)?;
        let (operator, after) = after.trim_start().split_once(' ').ok_or_else(bad)?;
        let (value, after) = quoted(after.trim_start()).ok_or_else(bad)?;
        let name = lower(name);
        if let Some((last, true)) = &before
            && *last != name
        {
            return Err(refused("The logical or operator cannot separate two different metadata names."));
        }
        let of = wanted.entry(name.clone()).or_default();
        match operator {
            "eq" if value == "*" => of.every = true,
            "eq" => of.one_of.push(value),
            "ne" => of.none_of.push(value),
            _ => return Err(bad()),
        }
        let after = after.trim_start();
        rest = match after.split_once(' ') {
            None if after.is_empty() => after,
            Some((joint @ ("and" | "or"), after)) if !after.trim().is_empty() => {
                before = Some((name, joint == "or"));
                after.trim_start()
            }
            _ => return Err(bad()),
        };
    }
    Ok(wanted)
}

/// A text in quotes, in which a quote is written twice, and what comes after it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut rest = text.strip_prefix('\'')?;
    let mut value = String::new();
    loop {
        let (piece, after) = rest.split_once('\'')?;
        value.push_str(piece);
        match after.strip_prefix('\'') {
            Some(more) => {
                value.push('\'');
                rest = more;
            }
            None => return Some((value, after)),
        }
    }
}

/// A question.
struct Question {
    /// Below the workspace, in lower case.
    resource: String,
    id: String,
    from: i64,
    to: i64,
    timespan: String,
    interval: String,
    /// In minutes.
    step: i64,
    aggregations: Vec<String>,
    wanted: BTreeMap<String, Wanted>,
    top: usize,
    is_strict: bool,
    now: Timestamp,
}

impl Question {
    fn read(request: &FakeRequest, azure: &FakeAzure, resource: &str, id: &str) -> Result<Self, FakeAnswer> {
        let asked = |name: &str| request.query(name).filter(|text| !text.is_empty());
        let timespan = asked("timespan").unwrap_or_default();
        let times = timespan
            .split_once('/')
            .and_then(|(from, to)| Some((from.parse::<Timestamp>().ok()?, to.parse::<Timestamp>().ok()?)));
        let Some((from, to)) = times.filter(|(from, to)| from < to) else {
            return Err(refused(format!("The timespan '{timespan}' is not valid.")));
        };
        let interval = asked("interval").unwrap_or_else(|| "PT1M".to_owned());
        let (first, end) = (minute_of(from), minute_of(to - Duration::from_nanos(1)) + 1);
        let step = match INTERVALS.iter().find(|(name, ..)| interval.eq_ignore_ascii_case(name)) {
            Some((_, minutes, _)) => *minutes,
            None if interval.eq_ignore_ascii_case("FULL") => end - first,
            None => {
                let all: Vec<&str> = INTERVALS.iter().map(|(.., shown)| *shown).collect();
                let message = format!("Invalid time grain duration: {interval}, supported ones are: ");
                return Err(refused(message + &all.join(",")));
            }
        };
        if (end - first) / step > 100_000 {
            return Err(refused("The timespan has too many points."));
        }
        let filter = asked("$filter");
        let top = match (asked("top").map(|top| top.parse::<usize>()), &filter) {
            (None, _) => 10,
            (Some(Ok(top)), Some(_)) if top > 0 => top,
            (Some(_), _) => return Err(refused("The parameter top is not valid.")),
        };
        let words = asked("aggregation").unwrap_or_else(|| "Average".to_owned());
        let shown = |t: Timestamp| t.to_rfc3339_opts(SecondsFormat::AutoSi, true);
        Ok(Self {
            resource: resource.to_owned(),
            id: id.to_owned(),
            from: first,
            to: end,
            timespan: format!("{}/{}", shown(from), shown(to)),
            interval,
            step,
            aggregations: words.split(',').map(|word| word.trim().to_owned()).collect(),
            wanted: read_filter(&filter.unwrap_or_default())?,
            top,
            is_strict: asked("ValidateDimensions").is_none_or(|text| !text.eq_ignore_ascii_case("false")),
            now: azure.now(),
        })
    }
}

impl State {
    fn answer(&mut self, question: &Question, known: &[Known], names: &str) -> Result<Value, FakeAnswer> {
        let mut metrics = Vec::new();
        for name in names.split(',') {
            let name = name.replace("%2", ",");
            let metric = known.iter().find(|known| known.name.eq_ignore_ascii_case(&name));
            metrics.push(metric.ok_or_else(|| {
                let all: Vec<&str> = known.iter().map(|known| known.name).collect();
                let kind = type_of(question);
                let provider = "Microsoft.MachineLearningServices";
                let message = format!(
                    "Failed to find metric configuration for provider: {provider}, resource Type: {kind}, metric: {name}, Valid metrics: "
                );
                refused(message + &all.join(","))
            })?);
        }
        if metrics.len() > 20 {
            return Err(refused("At most 20 metric names can be specified."));
        }
        let mut value = Vec::new();
        for metric in metrics {
            value.push(self.metric(question, metric)?);
        }
        Ok(json!({
            "cost": (question.to - question.from) / question.step, "timespan": question.timespan,
            "interval": question.interval, "value": value,
            "namespace": format!("Microsoft.MachineLearningServices/{}", type_of(question)),
            "resourceregion": REGION,
        }))
    }

    fn metric(&mut self, question: &Question, metric: &Known) -> Result<Value, FakeAnswer> {
        let shown: Vec<&str> =
            metric.dimensions.iter().copied().filter(|name| !self.hidden.contains(&lower(name))).collect();
        let is_known = |name: &String| shown.iter().any(|known| known.eq_ignore_ascii_case(name));
        if question.is_strict && !question.wanted.keys().all(is_known) {
            let wanted: Vec<&str> = question.wanted.keys().map(String::as_str).collect();
            return Err(refused(format!(
                "Metric: {} does not support requested dimension combination: {}, supported ones are: {}",
                metric.name,
                wanted.join(","),
                shown.join(",")
            )));
        }
        let split: Vec<&String> = question.wanted.keys().filter(|name| is_known(name)).collect();
        let supports =
            |word: &String| metric.aggregations.iter().any(|known| known.eq_ignore_ascii_case(word));
        let unsupported = question.aggregations.iter().find(|word| !supports(word));
        let mut error = unsupported.map(|word| {
            let message = format!("Sampling type is not found. SamplingType:{word}.");
            ("InvalidSamplingType".to_owned(), message)
        });
        if let Some(failure) = self.failures.get_mut(&lower(metric.name)).filter(|failure| failure.left > 0) {
            failure.left -= 1;
            error = Some((failure.code.clone(), failure.message.clone()));
        }
        let series = if error.is_some() { Vec::new() } else { self.series(question, metric, &split) };
        let mut told = json!({
            "id": format!("{}/providers/Microsoft.Insights/metrics/{}", question.id, metric.name),
            "type": "Microsoft.Insights/metrics",
            "name": { "value": metric.name, "localizedValue": metric.shown },
            "unit": metric.unit, "timeseries": series, "errorCode": "Success",
        });
        if let Some((code, message)) = error {
            told["errorCode"] = json!(code);
            told["errorMessage"] = json!(message);
        }
        Ok(told)
    }

    /// The series of a metric, one for each combination of what it is split by.
    fn series(&self, question: &Question, metric: &Known, split: &[&String]) -> Vec<Value> {
        let (stored, percentile) = match metric.name.split_once("_P") {
            Some((stored, percentile)) => (stored, percentile.parse::<f64>().ok()),
            None => (metric.name, None),
        };
        let is_known = |minute: &i64| moment(minute + 1) + self.delay <= question.now;
        let mut groups: BTreeMap<Vec<&str>, BTreeMap<i64, Vec<f64>>> = BTreeMap::new();
        let of_metric = self
            .series
            .iter()
            .filter(|(key, _)| key.resource == question.resource && key.metric.eq_ignore_ascii_case(stored));
        for (key, bins) in of_metric {
            let value_of = |name: &String| key.dimensions.get(name).map_or("", String::as_str);
            if !split.iter().all(|name| question.wanted.get(*name).is_none_or(|w| w.takes(value_of(name)))) {
                continue;
            }
            let seen = bins.range(question.from..question.to).filter(|(minute, _)| is_known(minute));
            for (minute, values) in seen {
                let group = groups.entry(split.iter().map(|name| value_of(name)).collect()).or_default();
                let values = match percentile {
                    Some(p) => vec![nearest_rank(values, p)],
                    None => values.clone(),
                };
                group.entry(*minute).or_default().extend(values);
            }
        }
        let told = groups.into_iter().take(if split.is_empty() { 1 } else { question.top });
        told.map(|(values, bins)| {
            let dimensions: Vec<Value> = split
                .iter()
                .zip(values)
                .map(|(name, value)| json!({ "name": { "value": name, "localizedValue": name }, "value": value }))
                .collect();
            json!({ "metadatavalues": dimensions, "data": points(question, metric, &bins) })
        })
        .collect()
    }
}

fn points(question: &Question, metric: &Known, bins: &BTreeMap<i64, Vec<f64>>) -> Vec<Value> {
    let mut points = Vec::new();
    let mut minute = question.from;
    while minute < question.to {
        let end = minute + question.step;
        let values: Vec<f64> =
            bins.range(minute..end).flat_map(|(_, values)| values.iter().copied()).collect();
        let mut point = Map::new();
        let time = moment(minute).to_rfc3339_opts(SecondsFormat::Secs, true);
        point.insert("timeStamp".to_owned(), json!(time));
        for word in &question.aggregations {
            let value = match values.is_empty() {
                true => metric.zeros.then_some(0.0),
                false => aggregate(word, &values),
            };
            if let Some(value) = value {
                point.insert(lower(word), json!(value));
            }
        }
        points.push(Value::Object(point));
        minute = end;
    }
    points
}

fn aggregate(word: &str, values: &[f64]) -> Option<f64> {
    let total: f64 = values.iter().sum();
    Some(match lower(word).as_str() {
        "average" => total / values.len() as f64,
        "total" => total,
        "count" => values.len() as f64,
        "minimum" => values.iter().copied().fold(f64::INFINITY, f64::min),
        "maximum" => values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        _ => return None,
    })
}

/// A percentile: the smallest value that so many per cent are not above.
fn nearest_rank(values: &[f64], percent: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let needed = percent / 100.0 * sorted.len() as f64;
    let found = sorted.iter().enumerate().find(|(index, _)| (index + 1) as f64 >= needed);
    found.map(|(_, value)| *value).or(sorted.last().copied()).unwrap_or_default()
}

fn type_of(question: &Question) -> &'static str {
    match question.resource.contains("/deployments/") {
        true => "workspaces/onlineEndpoints/deployments",
        false => "workspaces/onlineEndpoints",
    }
}

fn definition(id: &str, kind: &str, metric: &Known) -> Value {
    let grains: Vec<Value> =
        INTERVALS.iter().map(|(name, ..)| json!({ "timeGrain": name, "retention": "P93D" })).collect();
    let dimensions: Vec<Value> =
        metric.dimensions.iter().map(|name| json!({ "value": name, "localizedValue": name })).collect();
    json!({
        "id": format!("{id}/providers/microsoft.insights/metricdefinitions/{}", metric.name), "resourceId": id,
        "namespace": format!("Microsoft.MachineLearningServices/{kind}"),
        "name": { "value": metric.name, "localizedValue": metric.shown }, "isDimensionRequired": false,
        "unit": metric.unit, "primaryAggregationType": "Average",
        "supportedAggregationTypes": metric.aggregations, "metricAvailabilities": grains, "dimensions": dimensions,
    })
}

/// The metrics that a resource below the workspace has.
fn known_of(resource: &str) -> Option<(&'static str, &'static [Known])> {
    let segments: Vec<&str> = resource.split('/').collect();
    match segments.as_slice() {
        ["onlineendpoints", _] => Some(("workspaces/onlineEndpoints", OF_ENDPOINTS)),
        ["onlineendpoints", _, "deployments", _] => {
            Some(("workspaces/onlineEndpoints/deployments", OF_DEPLOYMENTS))
        }
        _ => None,
    }
}

impl FakePart for FakeMetrics {
    fn answer(&self, request: &FakeRequest, azure: &FakeAzure) -> Option<FakeAnswer> {
        let path = request.path().trim_end_matches('/');
        let key = lower(path);
        let (scope, what) = key.rsplit_once("/providers/microsoft.insights/")?;
        if request.method != Method::GET || !matches!(what, "metrics" | "metricdefinitions") {
            return None;
        }
        let id = path.get(..scope.len())?;
        if azure.resource(scope).is_none() {
            return Some(arm::not_found(id));
        }
        {
            let mut state = self.state();
            if state.throttled > 0 {
                state.throttled -= 1;
                let message = "The metrics backend is throttling requests.";
                return Some(FakeAnswer::json(529, json!({ "code": "Throttled", "message": message })));
            }
        }
        let resource = scope.strip_prefix(&lower(&azure.workspace().id())).and_then(|r| r.strip_prefix('/'));
        let Some((resource, (kind, known))) = resource.and_then(|r| Some((r, known_of(r)?))) else {
            return Some(refused(format!("{id} has no supported platform metric namespace.")));
        };
        if what == "metricdefinitions" {
            let all: Vec<Value> = known.iter().map(|metric| definition(id, kind, metric)).collect();
            return Some(FakeAnswer::ok(json!({ "value": all })));
        }
        let names = request.query("metricnames").unwrap_or_default();
        let told = Question::read(request, azure, resource, id)
            .and_then(|question| self.state().answer(&question, known, &names));
        Some(told.map_or_else(|refused| refused, FakeAnswer::ok))
    }
}

impl fmt::Debug for FakeMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FakeMetrics").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_read_as_azure_reads_them() {
        let read = |text: &str| {
            read_filter(text).map_err(|answer| String::from_utf8_lossy(&answer.body).into_owned())
        };
        let wanted =
            read("A eq 'a1' and B eq 'b1' or B eq 'o''b' and C eq '*' and D ne 'x' and D ne 'y'").unwrap();
        assert_eq!(wanted["b"].one_of, ["b1", "o'b"]);
        assert!(wanted["c"].takes("anything") && wanted["a"].takes("A1") && !wanted["a"].takes("a2"));
        assert!(!wanted["d"].takes("y") && wanted["d"].takes("z"));
        assert_eq!(read("").unwrap().len(), 0);
        // The official example of what is invalid.
        assert!(
            read("A eq 'a1' and B eq 'b1' and C eq '*' or B eq 'b2'")
                .unwrap_err()
                .contains("cannot separate")
        );
        for bad in [
            "A",
            "A eq",
            "A eq a1",
            "A eq 'a",
            "A eq 'a' and",
            "A eq 'a' xor A eq 'b'",
            "A gt '1'",
            "A eq 'a'b",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn percentiles_are_values_that_there_were() {
        let values = [5.0, 1.0, 4.0, 2.0, 3.0];
        for (percent, expected) in [(50.0, 3.0), (90.0, 5.0), (99.0, 5.0), (20.0, 1.0), (0.0, 1.0)] {
            assert_eq!(nearest_rank(&values, percent), expected);
        }
    }
}
