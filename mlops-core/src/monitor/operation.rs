//! What operating a model looks like in numbers: throughput, error rate, availability and latency of any window.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{LatencyHistogram, LatencySummary, Window};
use crate::deploy::RequestOutcome;
use crate::deploy::rollout::judge::Count;
use crate::error::{Error, Result};
use crate::num::{Measured, StatsError};
use crate::time::{Timestamp, duration_text};

/// The requests of one slot of time. Slots of the same time add up over instances.
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OperationCounts {
    /// Requests that were answered.
    pub answered: u64,
    /// Requests that failed.
    pub failed: u64,
    /// Requests that were refused.
    pub refused: u64,
    /// Requests whose caller went away before the answer.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub abandoned: u64,
    /// How long the answered ones took.
    pub latency: LatencyHistogram,
}

/// What is left out of files when it is nothing.
#[allow(clippy::trivially_copy_pass_by_ref)] // serde hands it over so
fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl OperationCounts {
    /// Counts one request. The latency of one that was not answered is not kept: a failure after a millisecond would make a
    /// broken deployment look fast.
    ///
    /// ```
    /// use std::time::Duration;
    /// use mlops_core::monitor::{OperationCounts, RequestOutcome};
    /// let mut counts = OperationCounts::default();
    /// counts.record(RequestOutcome::Failed, Duration::from_micros(1));
    /// assert_eq!((counts.failed, counts.latency.count()), (1, 0));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn record(&mut self, outcome: RequestOutcome, latency: Duration) {
        let counter = match outcome {
            RequestOutcome::Answered => {
                self.latency.record(latency);
                &mut self.answered
            }
            RequestOutcome::Failed => &mut self.failed,
            RequestOutcome::Refused => &mut self.refused,
            RequestOutcome::Abandoned => &mut self.abandoned,
        };
        *counter = counter.saturating_add(1);
    }

    /// Adds other counts.
    ///
    /// # Errors
    /// [`StatsError::Overflow`]; nothing is added then.
    pub fn merge(&mut self, other: &Self) -> Result<(), StatsError> {
        let overflow = StatsError::Overflow { what: "the number of requests" };
        let add = |a: u64, b: u64| a.checked_add(b).ok_or(overflow);
        let counts = (
            add(self.answered, other.answered)?,
            add(self.failed, other.failed)?,
            add(self.refused, other.refused)?,
            add(self.abandoned, other.abandoned)?,
        );
        self.latency.merge(&other.latency)?;
        (self.answered, self.failed, self.refused, self.abandoned) = counts;
        Ok(())
    }

    /// Requests that say something about the deployment: answered or failed.
    pub fn judged(&self) -> u64 {
        self.answered.saturating_add(self.failed)
    }

    /// `failed / (answered + failed)`, or that the denominator is 0.
    pub fn error_rate(&self) -> Measured {
        Measured::ratio(self.failed as f64, self.judged() as f64)
    }

    /// `abandoned / (answered + failed + abandoned)`, or that the denominator is 0.
    pub fn abandon_rate(&self) -> Measured {
        Measured::ratio(self.abandoned as f64, self.judged() as f64 + self.abandoned as f64)
    }

    /// The failures among the requests that were answered or failed, for a judge of a rollout.
    ///
    /// # Errors
    /// [`StatsError::OutOfRange`] for 2⁵³ requests and more.
    ///
    /// ```
    /// use std::time::Duration;
    /// use mlops_core::monitor::{OperationCounts, RequestOutcome};
    /// let mut counts = OperationCounts::default();
    /// counts.record(RequestOutcome::Failed, Duration::ZERO);
    /// counts.record(RequestOutcome::Answered, Duration::from_millis(900));
    /// assert_eq!(counts.failures()?.rate(), Some(0.5));
    /// assert_eq!(counts.slower_than(Duration::from_millis(500))?.rate(), Some(1.0));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn failures(&self) -> Result<Count, StatsError> {
        Count::new(self.failed, self.judged())
    }

    /// The answers that took longer than `limit`, among all answers; see [`LatencyHistogram::longer_than`] for how exactly.
    ///
    /// # Errors
    /// [`StatsError::OutOfRange`] for 2⁵³ answers and more.
    pub fn slower_than(&self, limit: Duration) -> Result<Count, StatsError> {
        Count::new(self.latency.longer_than(limit), self.answered)
    }
}

/// How a deployment was operated in a window.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OperationReport {
    /// The version of this shape: 1.
    pub schema: u32,
    /// The window.
    pub window: Window,
    /// Requests that were answered.
    pub answered: u64,
    /// Requests that failed.
    pub failed: u64,
    /// Requests that were refused.
    pub refused: u64,
    /// Requests whose caller went away before the answer.
    #[serde(default)]
    pub abandoned: u64,
    /// All requests, refused and abandoned ones included, per second of the window.
    pub throughput: f64,
    /// `failed / (answered + failed)`; undefined where nothing was asked.
    pub error_rate: Measured,
    /// `abandoned / (answered + failed + abandoned)`; undefined where nothing was asked.
    #[serde(default = "nothing_asked")]
    pub abandon_rate: Measured,
    /// Of the slots in which something was answered or failed, the share that was up; undefined where there are none.
    pub availability: Measured,
    /// How long answers took; `None` where there are none.
    pub latency: Option<LatencySummary>,
}

/// What is told of callers who went away by a report that does not know them.
fn nothing_asked() -> Measured {
    Measured::ratio(0.0, 0.0)
}

impl OperationReport {
    /// The names under which [`signals`](Self::signals) reports, in its order.
    pub const SIGNALS: [&str; 10] = [
        "throughput",
        "error_rate",
        "abandon_rate",
        "availability",
        "latency_mean_seconds",
        "latency_p50_seconds",
        "latency_p90_seconds",
        "latency_p95_seconds",
        "latency_p99_seconds",
        "latency_p999_seconds",
    ];

    /// Every number by name, for rules; `None` where it is undefined.
    ///
    /// ```
    /// use std::time::Duration;
    /// use mlops_core::monitor::{OperationSeries, RequestOutcome, Window};
    /// let start = "2026-01-01T00:00:00Z".parse()?;
    /// let mut series = OperationSeries::new(Duration::from_secs(60))?;
    /// series.record(start, RequestOutcome::Failed, Duration::from_millis(2));
    /// let report = series.report(&Window::new(start, start + Duration::from_secs(60))?)?;
    /// let error_rate = report.signals().find(|(name, _)| *name == "error_rate");
    /// assert_eq!(error_rate, Some(("error_rate", Some(1.0))));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn signals(&self) -> impl Iterator<Item = (&'static str, Option<f64>)> + use<> {
        let latency = |pick: fn(LatencySummary) -> Duration| self.latency.map(|all| pick(all).as_secs_f64());
        Self::SIGNALS.into_iter().zip([
            Some(self.throughput),
            self.error_rate.value(),
            self.abandon_rate.value(),
            self.availability.value(),
            latency(|all| all.mean),
            latency(|all| all.p50),
            latency(|all| all.p90),
            latency(|all| all.p95),
            latency(|all| all.p99),
            latency(|all| all.p999),
        ])
    }
}

/// Requests over time, in slots of one width on a grid that begins at the Unix epoch.
///
/// * Every instance keeps one, and they [`merge`](Self::merge): counts of the same slot add up, so that quantiles, rates and
///   shares of the sum are those of all requests, never means of means.
/// * A slot is **down** when of its judged requests at least the share [`down_at`](Self::with_down_at) failed; at 1, the
///   default, when all did. Availability is the share of slots with judged requests that are not down.
/// * Only so many slots are [kept](Self::with_retention); the oldest go first. A window that reaches back further is an error,
///   not a smaller number.
///
/// Cost: a slot has at most 59 kB; recording is logarithmic in the slots.
///
/// ```
/// use std::time::Duration;
/// use mlops_core::monitor::{OperationSeries, RequestOutcome, Window};
/// use mlops_core::num::Measured;
///
/// let (start, minute) = ("2026-01-01T00:00:00Z".parse()?, Duration::from_secs(60));
/// let mut blue = OperationSeries::new(minute)?;
/// let mut green = blue.clone();
/// for second in 0..60 {
///     blue.record(start + Duration::from_secs(second), RequestOutcome::Answered, Duration::from_millis(5));
/// }
/// green.record(start + minute, RequestOutcome::Failed, Duration::from_millis(1));
/// blue.merge(&green)?;
///
/// let report = blue.report(&Window::new(start, start + 2 * minute)?)?;
/// assert_eq!((report.answered, report.failed), (60, 1));
/// assert_eq!(report.error_rate, Measured::Value(1.0 / 61.0));
/// assert_eq!(report.availability, Measured::Value(0.5));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "SeriesWire", into = "SeriesWire")]
pub struct OperationSeries {
    width: Duration,
    down_at: f64,
    retention: usize,
    /// By number: microseconds since the epoch divided by the width, rounded down.
    slots: BTreeMap<i64, OperationCounts>,
    /// The lowest number that was not dropped.
    floor: Option<i64>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SeriesWire {
    version: u32,
    #[serde(with = "duration_text")]
    width: Duration,
    down_at: f64,
    retention: usize,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    floor: Option<i64>,
    slots: Vec<(i64, OperationCounts)>,
}

impl OperationSeries {
    /// The most slots that can be kept.
    pub const MAX_SLOTS: usize = 100_000;

    /// A series that keeps 1 440 slots: a day of minutes.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) unless `width` is a whole number of milliseconds, from 1 ms to
    /// 366 days.
    pub fn new(width: Duration) -> Result<Self> {
        let fits = (Duration::from_millis(1)..=Duration::from_secs(366 * 86_400)).contains(&width);
        if !fits || !width.subsec_nanos().is_multiple_of(1_000_000) {
            let message = format!("must be whole milliseconds, 1 ms to 366 days, got {width:?}");
            return Err(Error::invalid("OperationSeries::new", "width", message));
        }
        Ok(Self { width, down_at: 1.0, retention: 1_440, slots: BTreeMap::new(), floor: None })
    }

    /// Sets the error rate from which on a slot is down.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) unless it lies in (0, 1].
    pub fn with_down_at(mut self, down_at: f64) -> Result<Self> {
        if !(down_at > 0.0 && down_at <= 1.0) {
            let message = format!("must lie in (0, 1], got {down_at}");
            return Err(Error::invalid("OperationSeries::with_down_at", "down_at", message));
        }
        self.down_at = down_at;
        Ok(self)
    }

    /// Sets how many slots are kept; those beyond are dropped at the next record.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) unless it lies in 1 to [`MAX_SLOTS`](Self::MAX_SLOTS).
    pub fn with_retention(mut self, slots: usize) -> Result<Self> {
        if !(1..=Self::MAX_SLOTS).contains(&slots) {
            let message = format!("must lie in 1 to {}, got {slots}", Self::MAX_SLOTS);
            return Err(Error::invalid("OperationSeries::with_retention", "slots", message));
        }
        self.retention = slots;
        Ok(self)
    }

    /// The width of a slot.
    pub fn width(&self) -> Duration {
        self.width
    }

    /// How many slots there are.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether nothing was recorded, or nothing of it is kept.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Microseconds; a width is at most 366 days, which fits many times.
    fn width_us(&self) -> i64 {
        i64::try_from(self.width.as_micros()).unwrap_or(i64::MAX).max(1)
    }

    fn slot(&self, at: Timestamp) -> i64 {
        at.timestamp_micros().div_euclid(self.width_us())
    }

    /// Counts a request at the time it ended. One that is older than everything kept is dropped; whether it was counted.
    pub fn record(&mut self, at: Timestamp, outcome: RequestOutcome, latency: Duration) -> bool {
        let slot = self.slot(at);
        if self.floor.is_some_and(|floor| slot < floor) {
            return false;
        }
        self.slots.entry(slot).or_default().record(outcome, latency);
        self.trim();
        self.slots.contains_key(&slot)
    }

    /// Drops the oldest slots beyond the retention.
    fn trim(&mut self) {
        while self.slots.len() > self.retention {
            let Some((dropped, _)) = self.slots.pop_first() else { return };
            self.floor = self.floor.max(Some(dropped.saturating_add(1)));
        }
    }

    /// Adds the slots of another series. What either has dropped is dropped from both.
    ///
    /// # Errors
    /// [`StatsError::Incompatible`] for another width or another `down_at`, [`StatsError::Overflow`]; nothing is added then.
    pub fn merge(&mut self, other: &Self) -> Result<(), StatsError> {
        if self.width != other.width {
            return Err(StatsError::Incompatible { what: "the width of a slot" });
        }
        if self.down_at != other.down_at {
            return Err(StatsError::Incompatible { what: "the error rate of a slot that is down" });
        }
        let floor = self.floor.max(other.floor);
        let mut slots = self.slots.clone();
        for (number, counts) in &other.slots {
            slots.entry(*number).or_default().merge(counts)?;
        }
        slots.retain(|number, _| floor.is_none_or(|floor| *number >= floor));
        (self.slots, self.floor) = (slots, floor);
        self.trim();
        Ok(())
    }

    /// A series of the same settings in which nothing is recorded.
    pub(super) fn emptied(&self) -> Self {
        Self { slots: BTreeMap::new(), floor: None, ..*self }
    }

    /// The slots of a window alone, and what was dropped.
    pub(super) fn within(&self, window: &Window) -> Self {
        let slots =
            self.slots.range(self.slot(window.start)..self.slot(window.end).max(self.slot(window.start)));
        let slots = slots.map(|(number, counts)| (*number, counts.clone())).collect();
        Self { slots, ..*self }
    }

    /// When the newest slot ends; `None` where there is none.
    pub(super) fn newest_end(&self) -> Option<i64> {
        self.slots
            .last_key_value()
            .map(|(number, _)| number.saturating_add(1).saturating_mul(self.width_us()))
    }

    /// For how long slots are kept, in microseconds.
    pub(super) fn kept_us(&self) -> i64 {
        self.width_us().saturating_mul(i64::try_from(self.retention).unwrap_or(i64::MAX))
    }

    /// Everything in slots that begin at `from` or later: nothing of what was before it.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) where some of it was dropped.
    ///
    /// ```
    /// use std::time::Duration;
    /// use mlops_core::monitor::{OperationSeries, RequestOutcome};
    /// let (start, minute) = ("2026-01-01T00:00:30Z".parse()?, Duration::from_secs(60));
    /// let mut series = OperationSeries::new(minute)?;
    /// for at in [start, start + minute] {
    ///     series.record(at, RequestOutcome::Failed, Duration::ZERO);
    /// }
    /// // The slot in which it lies began earlier.
    /// assert_eq!(series.since(start)?.failed, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn since(&self, from: Timestamp) -> Result<OperationCounts> {
        const OP: &str = "OperationSeries::since";
        let begun = self.slot(from);
        let starts = begun.saturating_mul(self.width_us()) == from.timestamp_micros();
        let first = if starts { begun } else { begun.saturating_add(1) };
        if self.floor.is_some_and(|floor| first < floor) {
            let error = Error::not_found(OP, "slot", from.to_rfc3339());
            return Err(error.with("retention", self.retention));
        }
        let mut all = OperationCounts::default();
        self.slots.range(first..).try_for_each(|(_, counts)| all.merge(counts))?;
        Ok(all)
    }

    /// How it went in a window.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for a window that does not begin and end where slots do;
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) for one that begins before what is kept.
    pub fn report(&self, window: &Window) -> Result<OperationReport> {
        const OP: &str = "OperationSeries::report";
        let (width, length) = (self.width_us(), (window.end - window.start).num_microseconds());
        let on_grid = |at: Timestamp| {
            at.timestamp_micros().rem_euclid(width) == 0 && at.timestamp_subsec_nanos().is_multiple_of(1_000)
        };
        for (field, at) in [("start", window.start), ("end", window.end)] {
            if !on_grid(at) {
                let message =
                    format!("must lie on the grid of slots of {}", duration_text::format(self.width));
                return Err(Error::invalid(OP, field, message).with("value", at.to_rfc3339()));
            }
        }
        let Some(length) = length.filter(|length| *length > 0) else {
            return Err(Error::invalid(OP, "window", "must end after it starts, and not cover all of time"));
        };
        let (first, end) = (self.slot(window.start), self.slot(window.end));
        if self.floor.is_some_and(|floor| first < floor) {
            let error = Error::not_found(OP, "slot", window.start.to_rfc3339());
            return Err(error.with("retention", self.retention));
        }
        let mut all = OperationCounts::default();
        let (mut up, mut judged) = (0_u32, 0_u32);
        for counts in self.slots.range(first..end).map(|(_, counts)| counts) {
            all.merge(counts)?;
            if let Measured::Value(rate) = counts.error_rate() {
                judged += 1;
                up += u32::from(rate < self.down_at);
            }
        }
        let requests = all.judged() as f64 + all.refused as f64 + all.abandoned as f64;
        Ok(OperationReport {
            schema: 1,
            window: *window,
            answered: all.answered,
            failed: all.failed,
            refused: all.refused,
            abandoned: all.abandoned,
            throughput: requests / (length as f64 / 1e6),
            error_rate: all.error_rate(),
            abandon_rate: all.abandon_rate(),
            availability: Measured::ratio(f64::from(up), f64::from(judged)),
            latency: all.latency.summary(),
        })
    }
}

impl From<OperationSeries> for SeriesWire {
    fn from(series: OperationSeries) -> Self {
        let OperationSeries { width, down_at, retention, slots, floor } = series;
        Self { version: 1, width, down_at, retention, floor, slots: slots.into_iter().collect() }
    }
}

impl TryFrom<SeriesWire> for OperationSeries {
    type Error = Error;

    fn try_from(wire: SeriesWire) -> Result<Self> {
        const OP: &str = "OperationSeries::read";
        if wire.version != 1 {
            return Err(Error::invalid(OP, "version", "is not known here").with("value", wire.version));
        }
        let empty = Self::new(wire.width)?.with_down_at(wire.down_at)?.with_retention(wire.retention)?;
        if wire.slots.len() > wire.retention {
            return Err(Error::limit(OP, "the number of slots", wire.retention, wire.slots.len()));
        }
        let mut series = Self { floor: wire.floor, ..empty };
        for (place, (number, counts)) in wire.slots.into_iter().enumerate() {
            let bad = |what: &str| Error::invalid(OP, "slots", what.to_owned()).with("place", place);
            let ascends = series.slots.last_key_value().is_none_or(|(last, _)| *last < number);
            if !ascends || series.floor.is_some_and(|floor| number < floor) {
                return Err(bad("slots ascend, from the first that was not dropped"));
            }
            if counts.latency.count() != counts.answered {
                return Err(bad("there are as many latencies as answers"));
            }
            series.slots.insert(number, counts);
        }
        Ok(series)
    }
}
