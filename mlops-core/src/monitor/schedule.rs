//! Looking at regular times: every window once, also after a restart, and late enough for labels to have come.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Monitor, MonitorReport, Window};
use crate::error::{Error, Result};
use crate::id::MonitorName;
use crate::time::{Timestamp, duration_text};

/// Windows of one length, one after the other on a grid that begins at the Unix epoch, each of them due `delay` after its end.
///
/// The delay is for what comes late: labels, and rows of slow batches. Windows that were missed are made up for, the latest
/// `catch_up` of them; how many were left out is said.
///
/// ```
/// use std::time::Duration;
/// use mlops_core::monitor::MonitorSchedule;
/// use mlops_core::time::Timestamp;
/// let hour = Duration::from_secs(3_600);
/// let schedule = MonitorSchedule::new(hour)?.with_delay(hour / 4)?.with_catch_up(2)?;
///
/// let at = |text: &str| text.parse::<Timestamp>();
/// let first = schedule.due(None, at("2026-01-01T09:20:00Z")?);
/// assert_eq!(first.windows.len(), 1, "without a past, the last window alone");
/// assert_eq!(first.windows[0].end, at("2026-01-01T09:00:00Z")?);
///
/// let done = Some(first.windows[0].end);
/// assert!(schedule.due(done, at("2026-01-01T10:14:59Z")?).windows.is_empty());
/// assert_eq!(schedule.due(done, at("2026-01-01T10:15:00Z")?).windows.len(), 1);
/// let late = schedule.due(done, at("2026-01-01T14:30:00Z")?);
/// assert_eq!((late.windows.len(), late.left_out), (2, 3));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "ScheduleWire", into = "ScheduleWire")]
pub struct MonitorSchedule {
    wire: ScheduleWire,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ScheduleWire {
    #[serde(with = "duration_text")]
    every: Duration,
    #[serde(default, with = "duration_text")]
    delay: Duration,
    #[serde(default = "one_day")]
    catch_up: u32,
}

fn one_day() -> u32 {
    24
}

/// Windows to look at.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueWindows {
    /// Oldest first.
    pub windows: Vec<Window>,
    /// How many older ones are left out because too many were missed.
    pub left_out: u64,
}

impl From<MonitorSchedule> for ScheduleWire {
    fn from(schedule: MonitorSchedule) -> Self {
        schedule.wire
    }
}

impl TryFrom<ScheduleWire> for MonitorSchedule {
    type Error = Error;

    fn try_from(wire: ScheduleWire) -> Result<Self> {
        const OP: &str = "MonitorSchedule::new";
        let (second, longest) = (Duration::from_secs(1), Duration::from_secs(366 * 86_400));
        if !(second..=longest).contains(&wire.every) || wire.every.subsec_nanos() != 0 {
            let message = format!("must be whole seconds, 1 s to 366 days, got {:?}", wire.every);
            return Err(Error::invalid(OP, "every", message));
        }
        if wire.delay > 10 * longest {
            return Err(Error::invalid(OP, "delay", "must be at most ten years"));
        }
        if !(1..=10_000).contains(&wire.catch_up) {
            return Err(Error::invalid(
                OP,
                "catch_up",
                format!("must lie in 1 to 10 000, got {}", wire.catch_up),
            ));
        }
        Ok(Self { wire })
    }
}

impl MonitorSchedule {
    /// Windows of this length, due at their end; of those that were missed, the latest 24 are made up for.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) unless it is a whole number of seconds, from 1 s to 366 days.
    pub fn new(every: Duration) -> Result<Self> {
        ScheduleWire { every, delay: Duration::ZERO, catch_up: one_day() }.try_into()
    }

    /// Sets how long after its end a window is due.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for more than ten years.
    pub fn with_delay(self, delay: Duration) -> Result<Self> {
        ScheduleWire { delay, ..self.wire }.try_into()
    }

    /// Sets how many missed windows are made up for.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) unless it lies in 1 to 10 000.
    pub fn with_catch_up(self, windows: u32) -> Result<Self> {
        ScheduleWire { catch_up: windows, ..self.wire }.try_into()
    }

    /// The windows that are due at `now` and end after `done`, the end of the last one that was looked at. Without one, the latest
    /// alone. A clock that goes back makes nothing due again.
    pub fn due(&self, done: Option<Timestamp>, now: Timestamp) -> DueWindows {
        // Seconds; at most 366 days and ten years, which fit many times.
        let every = i64::try_from(self.wire.every.as_secs()).unwrap_or(i64::MAX);
        let delay = i64::try_from(self.wire.delay.as_secs()).unwrap_or(i64::MAX);
        // The number of the window that comes next: those before have ended, long enough ago.
        let next = (now.timestamp().saturating_sub(delay)).div_euclid(every);
        let first = done.map_or(next - 1, |done| done.timestamp().div_euclid(every));
        let missed = u64::try_from(next - first).unwrap_or_default();
        let windows = missed.min(self.wire.catch_up.into());
        let at = |number: i64| Timestamp::from_timestamp(number.checked_mul(every)?, 0);
        let window = |back: u64| {
            let number = next.checked_sub_unsigned(back)?;
            Window::new(at(number)?, at(number + 1)?).ok()
        };
        DueWindows { windows: (1..=windows).rev().filter_map(window).collect(), left_out: missed - windows }
    }
}

/// What became of the windows that were due.
#[non_exhaustive]
#[derive(Debug)]
pub struct CheckedWindows {
    /// The end of the last window that was looked at: hand it in as `done` the next time.
    pub done: Option<Timestamp>,
    /// The reports, oldest first.
    pub reports: Vec<MonitorReport>,
    /// Why it ended early, if it did: the window is looked at again the next time.
    pub failure: Option<Error>,
}

/// Looks at every window that is due, oldest first. One that fails ends the call; what was looked at before stays looked at.
pub async fn check_due(
    monitor: &dyn Monitor,
    name: &MonitorName,
    schedule: &MonitorSchedule,
    done: Option<Timestamp>,
    now: Timestamp,
) -> CheckedWindows {
    let mut checked = CheckedWindows { done, reports: Vec::new(), failure: None };
    for window in schedule.due(done, now).windows {
        match monitor.check(name, &window).await {
            Ok(report) => checked.reports.push(report),
            Err(error) => {
                checked.failure = Some(error.with("window", window.start.to_rfc3339()));
                return checked;
            }
        }
        checked.done = Some(window.end);
    }
    checked
}
