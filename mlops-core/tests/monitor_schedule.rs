//! Monitors at regular times.

use std::sync::Arc;
use std::time::Duration;

use mlops_core::memory::MemoryMonitor;
use mlops_core::monitor::{MonitorSchedule, check_due};
use mlops_core::time::{ManualClock, Timestamp};
use mlops_core::{ErrorKind, MonitorName};
use proptest::prelude::*;

const HOUR: Duration = Duration::from_secs(3_600);

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

#[test]
fn a_schedule_that_makes_no_sense_is_refused_and_a_written_one_is_read_back() {
    for bad in [Duration::ZERO, Duration::from_millis(1_500), Duration::from_secs(400 * 86_400)] {
        assert_eq!(MonitorSchedule::new(bad).unwrap_err().context("field"), Some("every"), "{bad:?}");
    }
    let hourly = MonitorSchedule::new(HOUR).unwrap();
    assert_eq!(hourly.with_delay(Duration::MAX).unwrap_err().context("field"), Some("delay"));
    assert_eq!(hourly.with_catch_up(0).unwrap_err().context("field"), Some("catch_up"));
    let read: MonitorSchedule = serde_json::from_str(r#"{"every":"1h","delay":"30m"}"#).unwrap();
    assert_eq!(read, hourly.with_delay(HOUR / 2).unwrap());
    assert_eq!(
        serde_json::from_str::<MonitorSchedule>(&serde_json::to_string(&read).unwrap()).unwrap(),
        read
    );
    assert!(serde_json::from_str::<MonitorSchedule>(r#"{"every":"0s"}"#).is_err());
}

#[test]
fn the_ends_of_time_are_no_windows_and_no_panic() {
    let hourly = MonitorSchedule::new(HOUR).unwrap().with_delay(HOUR).unwrap();
    for now in [Timestamp::MIN_UTC, Timestamp::MAX_UTC, at("1969-12-31T23:30:00Z")] {
        for done in [None, Some(Timestamp::MIN_UTC), Some(Timestamp::MAX_UTC)] {
            assert!(hourly.due(done, now).windows.len() <= 24);
        }
    }
}

#[tokio::test]
async fn a_window_that_fails_is_looked_at_again() {
    let now = at("2026-01-01T09:00:00Z");
    let monitor = MemoryMonitor::new(Arc::new(ManualClock::at(now)));
    let (name, hourly) = (MonitorName::new("none").unwrap(), MonitorSchedule::new(HOUR).unwrap());
    let done = Some(at("2026-01-01T07:00:00Z"));
    let checked = check_due(&monitor, &name, &hourly, done, now).await;
    assert_eq!(checked.failure.map(|error| error.kind()), Some(ErrorKind::NotFound));
    assert_eq!((checked.done, checked.reports.len()), (done, 0));
}

proptest! {
    /// However irregularly one looks: every window is due exactly once, in order, none before it is over, and none is lost but
    /// those that are counted.
    #[test]
    fn every_window_is_due_once(looks in prop::collection::vec(-4_000i64..40_000, 1..60), delay in 0u64..9_000) {
        let schedule = MonitorSchedule::new(HOUR).unwrap().with_delay(Duration::from_secs(delay)).unwrap().with_catch_up(5).unwrap();
        let (mut now, mut done) = (at("2026-01-01T00:00:00Z"), Some(at("2025-12-31T20:00:00Z")));
        for look in looks {
            now += chrono::TimeDelta::seconds(look);
            let due = schedule.due(done, now);
            if let Some(first) = due.windows.first() {
                let left_out = (first.start - done.unwrap()).num_hours();
                prop_assert_eq!(u64::try_from(left_out).unwrap(), due.left_out);
            }
            for pair in due.windows.windows(2) {
                prop_assert_eq!(pair[0].end, pair[1].start);
            }
            for window in due.windows {
                prop_assert!(window.end + Duration::from_secs(delay) <= now);
                done = Some(window.end);
            }
        }
    }
}
