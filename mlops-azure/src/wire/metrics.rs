//! Metrics of Azure Monitor: values over time, and what there is to ask for.
//!
//! Source: Azure's specification of `Microsoft.Insights/metrics` and `metricDefinitions`, version [`VERSION`], with the types of
//! `commonMonitoringTypes` version 2; the tests read its examples and answers that Azure gave.
//!
//! # What a filter may say
//! A filter splits what it names: every combination of the values of its dimensions that had data is a series of its own, and a series
//! has values of no other dimension. Values of one dimension are joined by `or`, dimensions by `and`. A dimension that the metric does
//! not have is refused; a value that it never had is no error, and has no series. Names of dimensions come back in lower case.
//!
//! # What is told when there is nothing
//! A metric without data has no series (`"timeseries": []`). In a series, a minute without data is either a point that has a time alone,
//! or one with zero: which, is up to whose metric it is. The last minutes are told before all of their data have come.

use chrono::SecondsFormat;
use mlops_core::time::Timestamp;
use mlops_core::{Error, ErrorKind, Result};
use serde::Deserialize;

use super::arm_scope::ArmScope;
use super::quiet::{Members, Text};
use super::text::IsoDuration;
use crate::http::{Call, Page};

/// The version of the API that is spoken.
pub const VERSION: &str = "2024-02-01";

/// The most metrics that can be asked for at once.
pub const MAX_METRICS: usize = 20;

open_enum! {
    /// How the samples of a stretch of time are put together.
    pub enum Aggregation {
        /// Their sum divided by their number.
        Average = "Average",
        /// The smallest.
        Minimum = "Minimum",
        /// The largest.
        Maximum = "Maximum",
        /// Their sum.
        Total = "Total",
        /// How many there are, whatever they are.
        Count = "Count",
    }
}

open_enum! {
    /// What numbers are of.
    pub enum Unit {
        /// Things.
        Count = "Count",
        /// Bytes.
        Bytes = "Bytes",
        /// Seconds.
        Seconds = "Seconds",
        /// Thousandths of a second.
        MilliSeconds = "MilliSeconds",
        /// Things in a second.
        CountPerSecond = "CountPerSecond",
        /// Bytes in a second.
        BytesPerSecond = "BytesPerSecond",
        /// From 0 to 100.
        Percent = "Percent",
        /// It is not said.
        Unspecified = "Unspecified",
    }
}

/// How far apart values are. Not every metric has each of them: its [definition](MetricDefinition) says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Interval {
    /// A minute.
    #[default]
    Minute,
    /// Five minutes.
    FiveMinutes,
    /// A quarter of an hour.
    QuarterHour,
    /// Half an hour.
    HalfHour,
    /// An hour.
    Hour,
    /// Six hours.
    SixHours,
    /// Twelve hours.
    TwelveHours,
    /// A day.
    Day,
    /// All of the time that is asked about: one value.
    Full,
}

impl Interval {
    /// As it is sent.
    ///
    /// ```
    /// use mlops_azure::wire::metrics::Interval;
    /// assert_eq!((Interval::QuarterHour.as_str(), Interval::Full.as_str()), ("PT15M", "FULL"));
    /// ```
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Minute => "PT1M",
            Self::FiveMinutes => "PT5M",
            Self::QuarterHour => "PT15M",
            Self::HalfHour => "PT30M",
            Self::Hour => "PT1H",
            Self::SixHours => "PT6H",
            Self::TwelveHours => "PT12H",
            Self::Day => "P1D",
            Self::Full => "FULL",
        }
    }
}

/// Which values of a dimension are looked at; each of them has a series of its own.
///
/// ```
/// use mlops_azure::wire::metrics::DimensionFilter;
/// let deployments = DimensionFilter::one_of("deployment", ["blue", "o'green"])?;
/// assert_eq!(deployments.expression(), "deployment eq 'blue' or deployment eq 'o''green'");
/// assert_eq!(DimensionFilter::every("statusCode")?.expression(), "statusCode eq '*'");
/// assert_eq!(DimensionFilter::none_of("statusCodeClass", ["2xx"])?.expression(), "statusCodeClass ne '2xx'");
/// assert!(DimensionFilter::one_of("deployment", ["*"]).is_err());
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DimensionFilter {
    name: String,
    expression: String,
}

impl DimensionFilter {
    /// All values that had data.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for a name that is not made of letters, digits and `._-/`.
    pub fn every(name: impl Into<String>) -> Result<Self> {
        let name = checked_name("DimensionFilter::every", name.into())?;
        Ok(Self { expression: format!("{name} eq '*'"), name })
    }

    /// These values.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for such a name, for no value, and for a value that is empty, has a control character, or is `*`,
    /// which would mean all.
    pub fn one_of<S: AsRef<str>>(
        name: impl Into<String>,
        values: impl IntoIterator<Item = S>,
    ) -> Result<Self> {
        Self::of("DimensionFilter::one_of", name.into(), values, "eq", " or ")
    }

    /// All values but these.
    ///
    /// # Errors
    /// As of [`one_of`](Self::one_of).
    pub fn none_of<S: AsRef<str>>(
        name: impl Into<String>,
        values: impl IntoIterator<Item = S>,
    ) -> Result<Self> {
        Self::of("DimensionFilter::none_of", name.into(), values, "ne", " and ")
    }

    fn of<S: AsRef<str>>(
        operation: &'static str,
        name: String,
        values: impl IntoIterator<Item = S>,
        operator: &str,
        joint: &str,
    ) -> Result<Self> {
        let name = checked_name(operation, name)?;
        let mut terms = Vec::new();
        for value in values {
            let value = value.as_ref();
            let reason = match value {
                "" => "must not be empty",
                "*" => "must not be the sign for all values",
                _ if value.chars().any(char::is_control) => "must not have control characters",
                _ => {
                    // As in OData, a quote is written twice.
                    terms.push(format!("{name} {operator} '{}'", value.replace('\'', "''")));
                    continue;
                }
            };
            return Err(Error::invalid(operation, "values", reason).with("dimension", name));
        }
        match terms.is_empty() {
            true => Err(Error::invalid(operation, "values", "must not be none").with("dimension", name)),
            false => Ok(Self { expression: terms.join(joint), name }),
        }
    }

    /// The dimension.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The filter as it is sent.
    pub fn expression(&self) -> &str {
        &self.expression
    }
}

fn checked_name(operation: &'static str, name: String) -> Result<String> {
    let of_name = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
    match !name.is_empty() && name.len() <= 256 && name.chars().all(of_name) {
        true => Ok(name),
        false => Err(Error::invalid(operation, "name", "must be made of letters, digits and ._-/")
            .with("value", mlops_core::error::quote(&name))),
    }
}

/// What is asked of the metrics of a resource.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricsQuery {
    metrics: Vec<String>,
    from: Timestamp,
    to: Timestamp,
    interval: Interval,
    aggregations: Vec<Aggregation>,
    filters: Vec<DimensionFilter>,
    top: Option<u32>,
    namespace: Option<String>,
}

impl MetricsQuery {
    /// The averages of metrics in each minute of \[`from`, `to`).
    pub fn new<S: Into<String>>(
        metrics: impl IntoIterator<Item = S>,
        from: Timestamp,
        to: Timestamp,
    ) -> Self {
        Self {
            metrics: metrics.into_iter().map(Into::into).collect(),
            from,
            to,
            interval: Interval::default(),
            aggregations: vec![Aggregation::Average],
            filters: Vec::new(),
            top: None,
            namespace: None,
        }
    }

    /// The same, this far apart.
    #[must_use]
    pub fn with_interval(mut self, interval: Interval) -> Self {
        self.interval = interval;
        self
    }

    /// The same, put together in these ways.
    #[must_use]
    pub fn with_aggregations(mut self, aggregations: impl IntoIterator<Item = Aggregation>) -> Self {
        self.aggregations = aggregations.into_iter().collect();
        self
    }

    /// The same, split by the values of a further dimension. All metrics that are asked for must have it.
    #[must_use]
    pub fn with_filter(mut self, filter: DimensionFilter) -> Self {
        self.filters.push(filter);
        self
    }

    /// The same with so many series at most; where it is not said and there is a filter, Azure answers ten, and does not tell that
    /// there are more.
    #[must_use]
    pub fn with_top(mut self, series: u32) -> Self {
        self.top = Some(series);
        self
    }

    /// The same of the metrics in a namespace; without, of those of the resource's own type.
    #[must_use]
    pub fn with_namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = Some(namespace.into());
        self
    }

    fn check(&self, operation: &'static str) -> Result<()> {
        let bad = |field, reason| Err(Error::invalid(operation, field, reason));
        if !(1..=MAX_METRICS).contains(&self.metrics.len()) {
            return bad("metrics", "must be from 1 to 20").map_err(|e| e.with("value", self.metrics.len()));
        }
        if self.metrics.iter().any(|name| name.trim().is_empty()) {
            return bad("metrics", "must have a name each");
        }
        if self.from >= self.to {
            return bad("to", "must be after the beginning")
                .map_err(|e| e.with("from", self.from).with("value", self.to));
        }
        if self.aggregations.is_empty() {
            return bad("aggregations", "must not be none");
        }
        let mut names: Vec<String> = self.filters.iter().map(|f| f.name.to_ascii_lowercase()).collect();
        names.sort();
        if names.windows(2).any(|pair| pair.first() == pair.get(1)) {
            return bad("filters", "must name each dimension once");
        }
        match self.top {
            Some(0) => bad("top", "must be above 0"),
            Some(_) if self.filters.is_empty() => bad("top", "must go with a filter"),
            _ => Ok(()),
        }
    }
}

fn at<R>(scope: &ArmScope, what: &str, operation: &'static str) -> Result<Call<R>> {
    Ok(scope.at(&["providers", "Microsoft.Insights", what], VERSION)?.get(operation))
}

/// Reads values of a resource's metrics. The answer comes whole, not in pages.
///
/// # Errors
/// [`ErrorKind::InvalidInput`] for no metric or more than [`MAX_METRICS`], a time that ends before it begins, no aggregation, two filters
/// on one dimension, and a number of series that is 0 or goes without a filter.
///
/// ```
/// use mlops_azure::wire::arm_scope::ArmScope;
/// use mlops_azure::wire::metrics::{self, DimensionFilter, MetricsQuery};
/// let scope = ArmScope::new("/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/rg")?;
/// let (from, to) = ("2026-03-02T08:00:00Z".parse().unwrap(), "2026-03-02T08:10:00Z".parse().unwrap());
/// let query = MetricsQuery::new(["RequestsPerMinute"], from, to).with_filter(DimensionFilter::every("statusCode")?);
/// let call = metrics::values("example", &scope, &query)?;
/// assert!(call.target().ends_with(
///     "/resourceGroups/rg/providers/Microsoft.Insights/metrics?api-version=2024-02-01&metricnames=RequestsPerMinute\
///      &timespan=2026-03-02T08%3A00%3A00Z%2F2026-03-02T08%3A10%3A00Z&interval=PT1M&aggregation=Average\
///      &$filter=statusCode%20eq%20%27%2A%27"
/// ));
/// # Ok::<(), mlops_core::Error>(())
/// ```
pub fn values(operation: &'static str, scope: &ArmScope, query: &MetricsQuery) -> Result<Call<Metrics>> {
    query.check(operation)?;
    let time = |t: Timestamp| t.to_rfc3339_opts(SecondsFormat::AutoSi, true);
    // A comma in a name is written so, before the URL's own escapes.
    let names: Vec<String> = query.metrics.iter().map(|name| name.replace(',', "%2")).collect();
    let aggregations: Vec<&str> = query.aggregations.iter().map(Aggregation::as_str).collect();
    let mut call = at(scope, "metrics", operation)?
        .query("metricnames", names.join(","))
        .query("timespan", format!("{}/{}", time(query.from), time(query.to)))
        .query("interval", query.interval.as_str())
        .query("aggregation", aggregations.join(","));
    if !query.filters.is_empty() {
        let all: Vec<&str> = query.filters.iter().map(DimensionFilter::expression).collect();
        call = call.query("$filter", all.join(" and "));
    }
    if let Some(top) = query.top {
        call = call.query("top", top.to_string());
    }
    if let Some(namespace) = &query.namespace {
        call = call.query("metricnamespace", namespace.clone());
    }
    Ok(call)
}

/// Lists the metrics that a resource has.
///
/// # Errors
/// None that a scope can cause.
pub fn definitions(operation: &'static str, scope: &ArmScope) -> Result<Call<Page<MetricDefinition>>> {
    at(scope, "metricDefinitions", operation)
}

/// A name, and how people read it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LocalizableString {
    /// The name.
    pub value: String,
    /// How people read it.
    #[serde(default)]
    pub localized_value: Option<String>,
}

/// The answer to a [`MetricsQuery`].
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Metrics {
    /// How dear the answer was, in units of the service.
    #[serde(default)]
    pub cost: Option<f64>,
    /// The time that it is about, which may be adjusted: two times with `/` between.
    #[serde(default)]
    pub timespan: Option<String>,
    /// How far apart its values are, which may be adjusted.
    #[serde(default)]
    pub interval: Option<String>,
    /// Whose metrics they are.
    #[serde(default)]
    pub namespace: Option<String>,
    /// Where the resource is.
    #[serde(default, rename = "resourceregion")]
    pub region: Option<String>,
    /// The metrics.
    #[serde(default)]
    pub value: Vec<Metric>,
    /// Members that this crate does not know.
    #[serde(flatten)]
    pub other: Members,
}

impl Metrics {
    /// The series of one of the metrics, by its name in any case.
    ///
    /// # Errors
    /// [`ErrorKind::Protocol`] for a metric that is not in the answer; those of [`Metric::series`].
    ///
    /// ```
    /// use mlops_azure::wire::metrics::Metrics;
    /// let answer = r#"{"timespan":"…","value":[{"id":"…","type":"Microsoft.Insights/metrics","unit":"Count",
    ///     "name":{"value":"RequestsPerMinute"},"timeseries":[],"errorCode":"Success"}]}"#;
    /// let metrics: Metrics = serde_json::from_str(answer)?;
    /// assert!(metrics.series("example", "requestsperminute")?.is_empty());
    /// assert!(metrics.series("example", "RequestLatency").is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn series(&self, operation: &'static str, metric: &str) -> Result<&[TimeSeries]> {
        self.metric(operation, metric)?.series(operation)
    }

    /// One of the metrics, by its name in any case.
    ///
    /// # Errors
    /// [`ErrorKind::Protocol`] for one that is not in the answer.
    pub fn metric(&self, operation: &'static str, metric: &str) -> Result<&Metric> {
        let found = self.value.iter().find(|found| found.name.value.eq_ignore_ascii_case(metric));
        found.ok_or_else(|| {
            let message = "the answer does not have a metric that was asked for";
            Error::new(ErrorKind::Protocol, operation, message).with("metric", metric)
        })
    }
}

/// One metric of an answer.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Metric {
    /// Its name.
    pub name: LocalizableString,
    /// What it is, for people.
    #[serde(default)]
    pub display_description: Option<Text>,
    /// What its numbers are of.
    #[serde(default)]
    pub unit: Option<Unit>,
    /// A series for each combination of the dimensions that were filtered by; one without a filter.
    #[serde(default)]
    pub timeseries: Vec<TimeSeries>,
    /// `Success`, or why there are no values of this metric: the others of the same answer may be good.
    #[serde(default)]
    pub error_code: Option<String>,
    /// The same for people.
    #[serde(default)]
    pub error_message: Option<Text>,
    /// Members that this crate does not know; its id and type are among them.
    #[serde(flatten)]
    pub other: Members,
}

impl Metric {
    /// Its series; none where there are no data.
    ///
    /// # Errors
    /// The metric's own error, with the service's code and message: [`ErrorKind::InvalidInput`] for codes that begin with `Invalid` or
    /// are `BadRequest`, as of an aggregation that the metric does not have, and [`ErrorKind::Rejected`] for all others.
    pub fn series(&self, operation: &'static str) -> Result<&[TimeSeries]> {
        let code = self.error_code.as_deref().unwrap_or("Success");
        if code.eq_ignore_ascii_case("Success") {
            return Ok(&self.timeseries);
        }
        let is_ours = code.starts_with("Invalid") || code == "BadRequest";
        let kind = if is_ours { ErrorKind::InvalidInput } else { ErrorKind::Rejected };
        let mut error = Error::new(kind, operation, "the service has no values of the metric");
        error = error.with("metric", &self.name.value).with("code", code);
        match &self.error_message {
            Some(message) => Err(error.with("reason", mlops_core::error::quote(message))),
            None => Err(error),
        }
    }
}

/// The values of a metric for one combination of dimensions.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct TimeSeries {
    /// The values of the dimensions that were filtered by.
    #[serde(rename = "metadatavalues")]
    pub dimensions: Vec<DimensionValue>,
    /// The points, one after the other.
    pub data: Vec<MetricValue>,
    /// Members that this crate does not know.
    #[serde(flatten)]
    pub other: Members,
}

impl TimeSeries {
    /// The value of a dimension, by its name in any case.
    pub fn dimension(&self, name: &str) -> Option<&str> {
        let found = self.dimensions.iter().find(|found| found.name.value.eq_ignore_ascii_case(name));
        found.map(|found| found.value.as_str())
    }

    /// Times and values of an aggregation, without the points that have none.
    pub fn points<'a>(&'a self, aggregation: &'a Aggregation) -> impl Iterator<Item = (Timestamp, f64)> + 'a {
        self.data.iter().filter_map(|point| Some((point.time_stamp, point.get(aggregation)?)))
    }
}

/// The value of a dimension.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct DimensionValue {
    /// The dimension, in lower case.
    pub name: LocalizableString,
    /// Its value.
    #[serde(default)]
    pub value: String,
}

/// The values of a stretch of time, by how they are put together; those that were asked for are there if there are data.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MetricValue {
    /// When the stretch begins.
    pub time_stamp: Timestamp,
    /// The average.
    #[serde(default)]
    pub average: Option<f64>,
    /// The smallest.
    #[serde(default)]
    pub minimum: Option<f64>,
    /// The largest.
    #[serde(default)]
    pub maximum: Option<f64>,
    /// The sum.
    #[serde(default)]
    pub total: Option<f64>,
    /// The number of samples.
    #[serde(default)]
    pub count: Option<f64>,
    /// Members that this crate does not know.
    #[serde(flatten)]
    pub other: Members,
}

impl MetricValue {
    /// The value of an aggregation.
    pub fn get(&self, aggregation: &Aggregation) -> Option<f64> {
        match aggregation {
            Aggregation::Average => self.average,
            Aggregation::Minimum => self.minimum,
            Aggregation::Maximum => self.maximum,
            Aggregation::Total => self.total,
            Aggregation::Count => self.count,
            Aggregation::Other(_) => None,
        }
    }
}

/// What a metric is, and in which ways it can be asked for.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MetricDefinition {
    /// Its name.
    pub name: LocalizableString,
    /// Whose it is.
    #[serde(default)]
    pub namespace: Option<String>,
    /// What it is, for people.
    #[serde(default)]
    pub display_description: Option<Text>,
    /// What its numbers are of.
    #[serde(default)]
    pub unit: Option<Unit>,
    /// How it is put together where nothing is asked for.
    #[serde(default)]
    pub primary_aggregation_type: Option<Aggregation>,
    /// How it can be put together.
    #[serde(default)]
    pub supported_aggregation_types: Vec<Aggregation>,
    /// How far apart its values can be, and how long they are kept.
    #[serde(default)]
    pub metric_availabilities: Vec<MetricAvailability>,
    /// What it can be split by.
    #[serde(default)]
    pub dimensions: Vec<LocalizableString>,
    /// Whether it must be.
    #[serde(default)]
    pub is_dimension_required: bool,
    /// Members that this crate does not know.
    #[serde(flatten)]
    pub other: Members,
}

/// How long values that are so far apart are kept.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MetricAvailability {
    /// How far apart.
    pub time_grain: IsoDuration,
    /// How long.
    #[serde(default)]
    pub retention: Option<IsoDuration>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn scope() -> ArmScope {
        ArmScope::new("/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/rg").unwrap()
    }

    fn query() -> MetricsQuery {
        MetricsQuery::new(["A"], time("2026-03-02T08:00:00Z"), time("2026-03-02T08:05:00Z"))
    }

    fn target(query: &MetricsQuery) -> String {
        let target = values("test", &scope(), query).unwrap().target();
        percent_encoding::percent_decode_str(&target).decode_utf8().unwrap().into_owned()
    }

    /// The parameters of the official example `GetMetric.json` of version 2024-02-01, but for those that are not sent here.
    #[test]
    fn the_official_call_is_made() {
        let query = MetricsQuery::new(
            ["BlobCount", "BlobCapacity"],
            time("2021-04-20T09:00:00Z"),
            time("2021-04-20T14:00:00Z"),
        )
        .with_interval(Interval::SixHours)
        .with_aggregations([Aggregation::Average, Aggregation::Minimum, Aggregation::Maximum])
        .with_filter(DimensionFilter::every("Tier").unwrap())
        .with_namespace("Microsoft.Storage/storageAccounts/blobServices")
        .with_top(5);
        let sent = target(&query);
        for part in [
            "/providers/Microsoft.Insights/metrics?api-version=2024-02-01",
            "metricnames=BlobCount,BlobCapacity",
            "timespan=2021-04-20T09:00:00Z/2021-04-20T14:00:00Z",
            "interval=PT6H",
            "aggregation=Average,Minimum,Maximum",
            "$filter=Tier eq '*'",
            "top=5",
            "metricnamespace=Microsoft.Storage/storageAccounts/blobServices",
        ] {
            assert!(sent.contains(part), "{part} is not in {sent}");
        }
    }

    #[test]
    fn filters_are_joined_by_their_rules() {
        let query = query()
            .with_filter(DimensionFilter::one_of("deployment", ["blue", "green"]).unwrap())
            .with_filter(DimensionFilter::none_of("statusCodeClass", ["2xx", "3xx"]).unwrap())
            .with_filter(DimensionFilter::every("modelStatusCode").unwrap());
        let sent = target(&query);
        let filter = "$filter=deployment eq 'blue' or deployment eq 'green' and statusCodeClass ne '2xx' \
                      and statusCodeClass ne '3xx' and modelStatusCode eq '*'";
        assert!(sent.ends_with(filter), "{sent}");
    }

    #[test]
    fn nothing_in_a_value_ends_it() {
        for hostile in ["' or '1' eq '1", "a'", "'", "&top=1", "a b", "ä"] {
            let filter = DimensionFilter::one_of("d", [hostile]).unwrap();
            let sent = values("test", &scope(), &query().with_filter(filter.clone())).unwrap().target();
            assert_eq!(sent.matches('&').count(), 5, "{sent}");
            let inside = filter.expression().strip_prefix("d eq '").unwrap().strip_suffix('\'').unwrap();
            assert_eq!(inside.replace("''", "\u{0}").replace('\u{0}', "'"), hostile);
            assert!(!inside.replace("''", "").contains('\''), "{inside}");
        }
    }

    #[test]
    fn what_cannot_be_asked_is_refused_by_its_name() {
        let every = || DimensionFilter::every("d").unwrap();
        let none: [&str; 0] = [];
        for (field, query) in [
            ("metrics", MetricsQuery { metrics: Vec::new(), ..query() }),
            ("metrics", MetricsQuery { metrics: vec!["A".into(); 21], ..query() }),
            ("metrics", MetricsQuery { metrics: vec![" ".into()], ..query() }),
            ("to", MetricsQuery { to: query().from, ..query() }),
            ("aggregations", query().with_aggregations([])),
            ("filters", query().with_filter(every()).with_filter(DimensionFilter::every("D").unwrap())),
            ("top", query().with_top(3)),
            ("top", query().with_filter(every()).with_top(0)),
        ] {
            let error = values("test", &scope(), &query).unwrap_err();
            assert_eq!((error.kind(), error.context("field")), (ErrorKind::InvalidInput, Some(field)));
        }
        for error in [
            DimensionFilter::one_of("d", none).unwrap_err(),
            DimensionFilter::one_of("d", [""]).unwrap_err(),
            DimensionFilter::none_of("d", ["*"]).unwrap_err(),
            DimensionFilter::one_of("d", ["a\nb"]).unwrap_err(),
            DimensionFilter::every("").unwrap_err(),
            DimensionFilter::every("d eq 'x' or e").unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
        }
    }

    #[test]
    fn a_comma_in_a_name_is_no_second_name() {
        let query = MetricsQuery { metrics: vec!["a,b".into(), "c".into()], ..query() };
        assert!(values("test", &scope(), &query).unwrap().target().contains("metricnames=a%252b%2Cc&"));
    }

    /// What Azure answered of an online endpoint on 26 March 2021, cut to three points a series.
    /// Source: github.com/rsethur/validate-metrics, `test/metrics_vcr/test_metric_with_filtering_and_multiple_dimensions.yaml`.
    const RECORDED: &str = r#"{"cost":24,"timespan":"2021-02-21T21:14:00Z/2021-02-21T21:39:00Z","interval":"PT1M","value":[{
        "id":"/subscriptions/5f08d643-1910-4a38-a7c7-84a39d4f42e0/…/providers/Microsoft.Insights/metrics/RequestsPerMinute",
        "type":"Microsoft.Insights/metrics","name":{"value":"RequestsPerMinute","localizedValue":"Requests Per Minute"},
        "displayDescription":"The number of requests sent to online endpoint within a minute","unit":"Count","timeseries":[
        {"metadatavalues":[{"name":{"value":"deployment","localizedValue":"deployment"},"value":"blue"},
            {"name":{"value":"statuscodeclass","localizedValue":"statuscodeclass"},"value":"4xx"}],
         "data":[{"timeStamp":"2021-02-21T21:14:00Z","average":0.0},{"timeStamp":"2021-02-21T21:15:00Z","average":2750.0},
            {"timeStamp":"2021-02-21T21:18:00Z","average":1637.0}]},
        {"metadatavalues":[{"name":{"value":"deployment","localizedValue":"deployment"},"value":"blue"},
            {"name":{"value":"statuscodeclass","localizedValue":"statuscodeclass"},"value":"5xx"}],
         "data":[{"timeStamp":"2021-02-21T21:36:00Z","average":47.0},{"timeStamp":"2021-02-21T21:37:00Z","average":102.0},
            {"timeStamp":"2021-02-21T21:38:00Z","average":31.0}]}],"errorCode":"Success"}],
        "namespace":"Microsoft.MachineLearningServices/workspaces/onlineEndpoints","resourceregion":"eastus2euap"}"#;

    #[test]
    fn what_azure_answered_is_read() {
        let metrics: Metrics = serde_json::from_str(RECORDED).unwrap();
        assert_eq!((metrics.cost, metrics.region.as_deref()), (Some(24.0), Some("eastus2euap")));
        assert_eq!(metrics.metric("test", "RequestsPerMinute").unwrap().unit, Some(Unit::Count));
        let series = metrics.series("test", "RequestsPerMinute").unwrap();
        let read: Vec<_> = series
            .iter()
            .map(|one| {
                let total: f64 = one.points(&Aggregation::Average).map(|(_, value)| value).sum();
                (one.dimension("deployment"), one.dimension("statusCodeClass"), total)
            })
            .collect();
        assert_eq!(read, [(Some("blue"), Some("4xx"), 4387.0), (Some("blue"), Some("5xx"), 180.0)]);
        assert_eq!(series[0].dimension("statusCode"), None);
        assert_eq!(series[0].data[1].time_stamp, time("2021-02-21T21:15:00Z"));
    }

    /// Source: the official example `GetMetricError.json` of version 2023-10-01, shortened; 2024-02-01 has the same types.
    #[test]
    fn one_metric_may_fail_where_another_is_told() {
        let answer = r#"{"cost":239,"timespan":"2021-06-07T21:51:00Z/2021-06-08T01:51:00Z","interval":"PT4H","value":[
            {"id":"…","type":"Microsoft.Insights/metrics","name":{"value":"MongoRequestsCount","localizedValue":"(deprecated)"},
             "unit":"CountPerSecond","timeseries":[],"errorCode":"InvalidSamplingType","errorMessage":"Sampling type is not found. Metric:CosmosDBCustomer,AzureMonitor,MongoRequests, SamplingType:NullableAverage."},
            {"id":"…","type":"Microsoft.Insights/metrics","name":{"value":"MongoRequests","localizedValue":"Mongo Requests"},"unit":"Count",
             "timeseries":[{"metadatavalues":[],"data":[{"timeStamp":"2021-06-07T21:51:00Z","average":0.0}]}],"errorCode":"Success"}],
            "namespace":"microsoft.documentdb/databaseaccounts","resourceregion":"westus2"}"#;
        let metrics: Metrics = serde_json::from_str(answer).unwrap();
        let error = metrics.series("test", "MongoRequestsCount").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert_eq!(error.context("code"), Some("InvalidSamplingType"));
        assert!(error.context("reason").unwrap().starts_with("Sampling type is not found."), "{error}");
        assert_eq!(metrics.series("test", "MongoRequests").unwrap()[0].data[0].average, Some(0.0));
    }

    #[test]
    fn no_data_and_what_nobody_knows_are_read() {
        let answer = r#"{"value":[{"name":{"value":"A"},"unit":"Furlongs","timeseries":[{"data":[
            {"timeStamp":"2026-03-02T08:00:00Z"},{"timeStamp":"2026-03-02T08:01:00Z","average":1,"median":2}]}],
            "errorCode":"ServerBusy"},{"name":{"value":"B"},"new":1}],"extra":{}}"#;
        let metrics: Metrics = serde_json::from_str(answer).unwrap();
        let odd = metrics.metric("test", "a").unwrap();
        assert_eq!(odd.unit, Some(Unit::Other("Furlongs".into())));
        assert_eq!(odd.timeseries[0].points(&Aggregation::Average).count(), 1);
        assert_eq!(odd.timeseries[0].points(&Aggregation::Other("Median".into())).count(), 0);
        assert_eq!(odd.series("test").unwrap_err().kind(), ErrorKind::Rejected);
        assert_eq!(metrics.series("test", "B").unwrap(), []);
    }

    /// Source: the official example `GetMetricDefinitionsMetricClass.json` of version 2024-02-01, shortened; the dimension is that of
    /// `RequestsPerMinute`.
    #[test]
    fn definitions_are_read() {
        let answer = r#"{"value":[{"id":"…","resourceId":"…","namespace":"microsoft.storagecache/caches","metricClass":"Latency",
            "name":{"value":"ClientLatency","localizedValue":"Average Client Latency"},"isDimensionRequired":false,
            "unit":"MilliSeconds","primaryAggregationType":"Average","supportedAggregationTypes":["Minimum","Maximum","Average"],
            "metricAvailabilities":[{"timeGrain":"PT1M","retention":"P93D"},{"timeGrain":"P1D","retention":"P93D"}],
            "dimensions":[{"value":"deployment","localizedValue":"deployment"}]}]}"#;
        let page: Page<MetricDefinition> = serde_json::from_str(answer).unwrap();
        let definition = &page.value[0];
        assert_eq!(definition.unit, Some(Unit::MilliSeconds));
        assert_eq!(definition.supported_aggregation_types[2], Aggregation::Average);
        assert_eq!(definition.metric_availabilities[0].time_grain.as_str(), "PT1M");
        assert_eq!(definition.dimensions[0].value, "deployment");
        assert!(definitions("test", &scope()).unwrap().target().contains("/metricDefinitions?api-version"));
    }
}
