//! Latencies as a histogram that adds up: over instances, over windows, over restarts.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::num::StatsError;

/// An octave has 2⁷ buckets.
const BITS: u32 = 7;
const PER_OCTAVE: u64 = 1 << BITS;
/// One past the bucket of the longest duration that is told apart, `u64::MAX` ns.
const BUCKETS: usize = 57 * 128 + 128;

/// How long answers took: a histogram with buckets that are linear within an octave and double from octave to octave, as in
/// HdrHistogram.
///
/// # Definition
/// Durations are whole nanoseconds, at most `u64::MAX` of them (584 years); longer ones count as that. Up to 255 ns every
/// nanosecond has its bucket. From there each octave [2ᵏ, 2ᵏ⁺¹) is cut into 128 buckets of one width.
///
/// # Error
/// [`quantile`](Self::quantile) answers with the middle of the bucket in which the value with rank ⌈q·n⌉ lies (the definition
/// `inverted_cdf` of NumPy; no interpolation), held between the smallest and the largest duration recorded. It is at most
/// [`RELATIVE_ERROR`](Self::RELATIVE_ERROR) = 1/256 (0.39 %) away from that value. Count, total, smallest and largest are exact.
///
/// # Merging
/// [`merge`](Self::merge) adds counts. The result is the same, to the bit, as that of one histogram which saw everything,
/// in whatever order. All histograms have the same buckets, so that any two can be merged.
///
/// # Cost
/// `record` is a few shifts and one addition. Memory grows with the longest duration, up to 59 kB; the written form holds
/// buckets with a count alone.
///
/// ```
/// use std::time::Duration;
/// use mlops_core::monitor::LatencyHistogram;
///
/// let (mut one, mut other) = (LatencyHistogram::new(), LatencyHistogram::new());
/// for ms in 1..=99 {
///     one.record(Duration::from_millis(ms));
/// }
/// other.record(Duration::from_secs(2));
/// one.merge(&other)?;
///
/// let summary = one.summary().ok_or("nothing was recorded")?;
/// assert_eq!((summary.count, summary.max), (100, Duration::from_secs(2)));
/// assert!((summary.p50.as_secs_f64() - 0.050).abs() <= 0.050 * LatencyHistogram::RELATIVE_ERROR);
/// assert_eq!(one, serde_json::from_str(&serde_json::to_string(&one)?)?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "LatencyWire", into = "LatencyWire")]
pub struct LatencyHistogram {
    /// From bucket 0 to the highest one that was ever hit.
    counts: Vec<u64>,
    count: u64,
    /// Cannot overflow: fewer than 2⁶⁴ durations of less than 2⁶⁴ ns.
    total_ns: u128,
    min_ns: u64,
    max_ns: u64,
}

/// Quantiles of latency, each with [`LatencyHistogram::RELATIVE_ERROR`]; count, mean, smallest and largest are exact.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LatencySummary {
    /// How many durations there are, at least 1.
    pub count: u64,
    /// The mean, rounded down to a nanosecond.
    pub mean: Duration,
    /// The smallest.
    pub min: Duration,
    /// The median.
    pub p50: Duration,
    /// The 90th percentile.
    pub p90: Duration,
    /// The 95th percentile.
    pub p95: Duration,
    /// The 99th percentile.
    pub p99: Duration,
    /// The 99.9th percentile.
    pub p999: Duration,
    /// The largest.
    pub max: Duration,
}

/// As it is written down. Nanoseconds travel as text: JSON readers round numbers from 2⁵³ on.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LatencyWire {
    /// The version of the shape and of the buckets: 1.
    version: u32,
    total_ns: String,
    min_ns: String,
    max_ns: String,
    /// Bucket and count, ascending, without those that are empty.
    buckets: Vec<(u32, u64)>,
}

/// The bucket of a duration.
fn bucket(ns: u64) -> usize {
    let shift = (u64::BITS - (ns | 1).leading_zeros()).saturating_sub(BITS + 1);
    // At most 56 · 128 + 255.
    (u64::from(shift) * PER_OCTAVE + (ns >> shift)) as usize
}

/// The smallest and the largest duration of a bucket below [`BUCKETS`].
fn bounds(bucket: usize) -> (u64, u64) {
    let bucket = bucket as u64;
    let shift = (bucket / PER_OCTAVE).saturating_sub(1);
    let low = (bucket - shift * PER_OCTAVE) << shift;
    (low, low | ((1 << shift) - 1))
}

/// The middle of a bucket: nothing in it is further away than half its width.
fn middle(bucket: usize) -> u64 {
    let (low, high) = bounds(bucket);
    low + (high - low) / 2
}

impl LatencyHistogram {
    /// How far a quantile may be from the value it stands for, as a share of that value.
    pub const RELATIVE_ERROR: f64 = 1.0 / 256.0;

    /// An empty histogram.
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts one duration.
    ///
    /// ```
    /// use std::time::Duration;
    /// use mlops_core::monitor::LatencyHistogram;
    /// let mut histogram = LatencyHistogram::new();
    /// histogram.record(Duration::from_millis(3));
    /// assert_eq!(histogram.max(), Some(Duration::from_millis(3)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn record(&mut self, latency: Duration) {
        let ns = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        // Only a histogram that was read can be this full; one more would break its sums.
        let Some(count) = self.count.checked_add(1) else { return };
        let at = bucket(ns);
        if at >= self.counts.len() {
            self.counts.resize(at + 1, 0);
        }
        self.counts[at] += 1;
        self.min_ns = if self.count == 0 { ns } else { self.min_ns.min(ns) };
        self.max_ns = self.max_ns.max(ns);
        self.total_ns += u128::from(ns);
        self.count = count;
    }

    /// Adds the counts of another histogram.
    ///
    /// # Errors
    /// [`StatsError::Overflow`] when both together have 2⁶⁴ durations or more; nothing is added then.
    pub fn merge(&mut self, other: &Self) -> Result<(), StatsError> {
        let overflow = StatsError::Overflow { what: "the number of latencies" };
        let count = self.count.checked_add(other.count).ok_or(overflow)?;
        if self.counts.len() < other.counts.len() {
            self.counts.resize(other.counts.len(), 0);
        }
        // No bucket holds more than the whole.
        self.counts.iter_mut().zip(&other.counts).for_each(|(own, more)| *own += more);
        self.min_ns = match (self.count, other.count) {
            (0, _) => other.min_ns,
            (_, 0) => self.min_ns,
            _ => self.min_ns.min(other.min_ns),
        };
        self.max_ns = self.max_ns.max(other.max_ns);
        self.total_ns += other.total_ns;
        self.count = count;
        Ok(())
    }

    /// How many durations were recorded.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The smallest duration; `None` if there is none.
    pub fn min(&self) -> Option<Duration> {
        (self.count > 0).then(|| Duration::from_nanos(self.min_ns))
    }

    /// The largest duration; `None` if there is none.
    pub fn max(&self) -> Option<Duration> {
        (self.count > 0).then(|| Duration::from_nanos(self.max_ns))
    }

    /// The sum of all durations in seconds, correctly rounded once from the exact sum of nanoseconds, then divided by 10⁹.
    ///
    /// ```
    /// use std::time::Duration;
    /// use mlops_core::monitor::LatencyHistogram;
    /// let mut histogram = LatencyHistogram::new();
    /// (0..3).for_each(|_| histogram.record(Duration::from_millis(500)));
    /// assert_eq!(histogram.total_seconds(), 1.5);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn total_seconds(&self) -> f64 {
        self.total_ns as f64 / 1e9
    }

    /// The mean, rounded down to a nanosecond; `None` if nothing was recorded.
    pub fn mean(&self) -> Option<Duration> {
        let mean = self.total_ns.checked_div(u128::from(self.count))?;
        // A mean lies between the smallest and the largest.
        Some(Duration::from_nanos(u64::try_from(mean).unwrap_or(u64::MAX)))
    }

    /// The duration that a share `q` of all does not exceed; see the [type](Self) for definition and error. `None` if nothing
    /// was recorded.
    ///
    /// # Errors
    /// [`StatsError::Parameter`] for a `q` that is NaN or outside [0, 1].
    ///
    /// ```
    /// use std::time::Duration;
    /// use mlops_core::monitor::LatencyHistogram;
    /// let mut histogram = LatencyHistogram::new();
    /// assert_eq!(histogram.quantile(0.5)?, None);
    /// (1..=100).for_each(|ns| histogram.record(Duration::from_nanos(ns)));
    /// assert_eq!(histogram.quantile(0.99)?, Some(Duration::from_nanos(99)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn quantile(&self, q: f64) -> Result<Option<Duration>, StatsError> {
        if !(0.0..=1.0).contains(&q) {
            return Err(StatsError::Parameter { parameter: "q", value: q, reason: "must lie in [0, 1]" });
        }
        Ok(self.at_share(q))
    }

    /// `q` lies in [0, 1].
    fn at_share(&self, q: f64) -> Option<Duration> {
        if self.count == 0 {
            return None;
        }
        // Not negative, and cut at the count: nothing is lost but digits that a double does not have.
        #[allow(clippy::cast_sign_loss)]
        let rank = ((q * self.count as f64).ceil() as u64).clamp(1, self.count);
        let mut below = 0;
        let found = self.counts.iter().position(|count| {
            below += count;
            below >= rank
        });
        let ns = found.map_or(self.max_ns, middle);
        Some(Duration::from_nanos(ns.clamp(self.min_ns, self.max_ns)))
    }

    /// How many durations lie in buckets above that of `limit`: all that are longer than it by more than twice
    /// [`RELATIVE_ERROR`](Self::RELATIVE_ERROR), and none that is not longer.
    ///
    /// ```
    /// use std::time::Duration;
    /// use mlops_core::monitor::LatencyHistogram;
    /// let mut histogram = LatencyHistogram::new();
    /// (1..=10).for_each(|seconds| histogram.record(Duration::from_secs(seconds)));
    /// assert_eq!(histogram.longer_than(Duration::from_secs(7)), 3);
    /// assert_eq!(histogram.longer_than(Duration::MAX), 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn longer_than(&self, limit: Duration) -> u64 {
        let ns = u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX);
        self.counts.iter().skip(bucket(ns) + 1).sum()
    }

    /// The usual quantiles; `None` if nothing was recorded.
    ///
    /// ```
    /// use std::time::Duration;
    /// use mlops_core::monitor::LatencyHistogram;
    /// let mut histogram = LatencyHistogram::new();
    /// histogram.record(Duration::from_millis(3));
    /// assert_eq!(histogram.summary().map(|summary| summary.p999), Some(Duration::from_millis(3)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn summary(&self) -> Option<LatencySummary> {
        Some(LatencySummary {
            count: self.count,
            mean: self.mean()?,
            min: self.min()?,
            p50: self.at_share(0.5)?,
            p90: self.at_share(0.9)?,
            p95: self.at_share(0.95)?,
            p99: self.at_share(0.99)?,
            p999: self.at_share(0.999)?,
            max: self.max()?,
        })
    }

    /// The buckets with a count, ascending: the longest duration of each, and how many durations lie in it. What an exporter
    /// of cumulative buckets needs.
    ///
    /// ```
    /// use std::time::Duration;
    /// use mlops_core::monitor::LatencyHistogram;
    /// let mut histogram = LatencyHistogram::new();
    /// (0..2).for_each(|_| histogram.record(Duration::from_nanos(300)));
    /// assert_eq!(histogram.buckets().collect::<Vec<_>>(), [(Duration::from_nanos(301), 2)]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn buckets(&self) -> impl Iterator<Item = (Duration, u64)> + '_ {
        let filled = self.counts.iter().enumerate().filter(|(_, count)| **count > 0);
        filled.map(|(bucket, count)| (Duration::from_nanos(bounds(bucket).1), *count))
    }
}

impl From<LatencyHistogram> for LatencyWire {
    fn from(histogram: LatencyHistogram) -> Self {
        let filled = histogram.counts.iter().zip(0..).filter(|(count, _)| **count > 0);
        Self {
            version: 1,
            total_ns: histogram.total_ns.to_string(),
            min_ns: histogram.min_ns.to_string(),
            max_ns: histogram.max_ns.to_string(),
            buckets: filled.map(|(count, bucket)| (bucket, *count)).collect(),
        }
    }
}

const READ: &str = "LatencyHistogram::read";

/// A whole number as it is written: digits alone.
fn digits<T: std::str::FromStr>(field: &str, text: &str) -> Result<T> {
    let bad = || {
        let message = "is not a whole number of nanoseconds, as text";
        Error::invalid(READ, field, message).with("value", text)
    };
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if plain { text.parse().map_err(|_| bad()) } else { Err(bad()) }
}

impl TryFrom<LatencyWire> for LatencyHistogram {
    type Error = Error;

    fn try_from(wire: LatencyWire) -> Result<Self> {
        if wire.version != 1 {
            let error = Error::invalid(READ, "version", "is not known here");
            return Err(error.with("value", wire.version));
        }
        let mut histogram = Self {
            total_ns: digits("total_ns", &wire.total_ns)?,
            min_ns: digits("min_ns", &wire.min_ns)?,
            max_ns: digits("max_ns", &wire.max_ns)?,
            ..Self::default()
        };
        for (place, (bucket, count)) in wire.buckets.iter().enumerate() {
            let bad = |what: &str| {
                Error::invalid(READ, "buckets", what.to_owned()).with("place", place).with("bucket", bucket)
            };
            let bucket = *bucket as usize;
            if bucket >= BUCKETS || bucket < histogram.counts.len() {
                return Err(bad("there is no such bucket, or it is not in ascending order"));
            }
            if *count == 0 {
                return Err(bad("an empty bucket is left out"));
            }
            histogram.count =
                histogram.count.checked_add(*count).ok_or_else(|| bad("the counts are too large"))?;
            histogram.counts.resize(bucket, 0);
            histogram.counts.push(*count);
        }
        histogram.check_sums()?;
        Ok(histogram)
    }
}

impl LatencyHistogram {
    /// Whether smallest, largest and total can be those of the buckets.
    fn check_sums(&self) -> Result<()> {
        let bad = |field: &str| Err(Error::invalid(READ, field, "contradicts the buckets"));
        let (first, last) = (self.counts.iter().position(|count| *count > 0), self.counts.len());
        let (Some(first), Some(last)) = (first, last.checked_sub(1)) else {
            let empty = self.total_ns == 0 && self.min_ns == 0 && self.max_ns == 0;
            return if empty { Ok(()) } else { bad("buckets") };
        };
        if bucket(self.min_ns) != first {
            return bad("min_ns");
        }
        if bucket(self.max_ns) != last || self.max_ns < self.min_ns {
            return bad("max_ns");
        }
        let filled = || self.counts.iter().enumerate().filter(|(_, count)| **count > 0);
        // Fewer than 2⁶⁴ durations of less than 2⁶⁴ ns: neither sum overflows.
        let least: u128 = filled().map(|(at, count)| u128::from(bounds(at).0) * u128::from(*count)).sum();
        let most: u128 = filled().map(|(at, count)| u128::from(bounds(at).1) * u128::from(*count)).sum();
        if (least..=most).contains(&self.total_ns) { Ok(()) } else { bad("total_ns") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_duration_lies_in_its_bucket_and_buckets_leave_no_gap() {
        let mut next = 0;
        for at in 0..BUCKETS {
            let (low, high) = bounds(at);
            assert_eq!((low, bucket(low), bucket(high)), (next, at, at));
            // Half the width, as a share of the smallest value in the bucket.
            assert!((high - middle(at)) as f64 <= low as f64 * LatencyHistogram::RELATIVE_ERROR, "{at}");
            next = high.wrapping_add(1);
        }
        assert_eq!(next, 0, "the last bucket ends with the largest number");
    }
}
