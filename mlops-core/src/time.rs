//! Time as something handed in: every timer, lease and record asks a [`Clock`], so that tests turn hours by hand.

mod backoff;
pub mod duration_text;
mod pause;

use std::fmt;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

pub(crate) use self::backoff::Backoff;
#[cfg(feature = "local")]
pub use self::pause::TokioPause;
pub use self::pause::{NoPause, Pause};

/// A point in time, UTC. Backends keep it to the microsecond at least.
pub type Timestamp = DateTime<Utc>;

/// Where "now" comes from.
///
/// # Contract
/// * `now` is wall-clock time: it may jump, also backwards. Order must never be derived from it alone.
/// * `monotonic` never goes backwards; only differences of it mean anything.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// The wall-clock time, truncated to microseconds.
    fn now(&self) -> Timestamp;

    /// Time since an arbitrary fixed origin, never decreasing.
    fn monotonic(&self) -> Duration;
}

/// The machine's clock.
///
/// ```
/// use mlops_core::time::{Clock, SystemClock};
/// let clock = SystemClock::new();
/// let before = clock.monotonic();
/// assert!(clock.monotonic() >= before);
/// ```
#[derive(Debug, Clone, Copy)]
pub struct SystemClock {
    origin: Instant,
}

impl SystemClock {
    /// A clock whose monotonic origin is this call.
    pub fn new() -> Self {
        Self { origin: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        truncate(Utc::now())
    }

    fn monotonic(&self) -> Duration {
        self.origin.elapsed()
    }
}

/// A clock that stands still until it is moved.
///
/// ```
/// use std::time::Duration;
/// use mlops_core::time::{Clock, ManualClock};
///
/// let clock = ManualClock::at("2026-01-01T00:00:00Z".parse()?);
/// let start = clock.now();
/// clock.advance(Duration::from_secs(3600));
/// assert_eq!((clock.now() - start).num_minutes(), 60);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct ManualClock {
    state: Mutex<(Timestamp, Duration)>,
}

impl ManualClock {
    /// A clock that shows `now`.
    pub fn at(now: Timestamp) -> Self {
        Self { state: Mutex::new((truncate(now), Duration::ZERO)) }
    }

    /// Moves wall clock and monotonic clock forward. Saturates at the end of representable time.
    pub fn advance(&self, by: Duration) {
        let mut state = lock(&self.state);
        let step = chrono::TimeDelta::from_std(by).unwrap_or(chrono::TimeDelta::MAX);
        state.0 = state.0.checked_add_signed(step).unwrap_or(Timestamp::MAX_UTC);
        state.1 = state.1.saturating_add(by);
    }

    /// Sets the wall clock, also backwards; the monotonic clock does not move.
    pub fn set(&self, now: Timestamp) {
        lock(&self.state).0 = truncate(now);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        lock(&self.state).0
    }

    fn monotonic(&self) -> Duration {
        lock(&self.state).1
    }
}

impl<T: Clock + ?Sized> Clock for std::sync::Arc<T> {
    fn now(&self) -> Timestamp {
        (**self).now()
    }

    fn monotonic(&self) -> Duration {
        (**self).monotonic()
    }
}

/// Cuts a timestamp to whole microseconds, the resolution that every backend keeps.
///
/// ```
/// use mlops_core::time::truncate;
/// let t = "2026-01-01T00:00:00.123456789Z".parse()?;
/// assert_eq!(truncate(t).to_rfc3339(), "2026-01-01T00:00:00.123456+00:00");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn truncate(t: Timestamp) -> Timestamp {
    DateTime::from_timestamp_micros(t.timestamp_micros()).unwrap_or(t)
}

/// Locks a mutex whose data is valid at every point, so that a panic elsewhere does not poison it for everybody.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn setting_the_clock_back_leaves_monotonic_time_alone() {
        let clock = ManualClock::at(DateTime::UNIX_EPOCH);
        clock.advance(Duration::from_secs(10));
        clock.set(DateTime::UNIX_EPOCH);
        assert_eq!(clock.now(), DateTime::UNIX_EPOCH);
        assert_eq!(clock.monotonic(), Duration::from_secs(10));
    }

    #[test]
    fn advancing_past_the_end_of_time_saturates() {
        let clock = ManualClock::at(DateTime::UNIX_EPOCH);
        clock.advance(Duration::MAX);
        clock.advance(Duration::MAX);
        assert_eq!(clock.monotonic(), Duration::MAX);
    }
}
