//! Schedules against tools of others, where clocks are changed, after nobody looked, and in files.

use std::time::Duration;

use mlops_core::ErrorKind;
use mlops_core::pipeline::PipelineFormat;
use mlops_core::pipeline::schedule::{
    AzureTrigger, AzureTriggerWire, Blackout, Calendar, Cron, Frequency, Misfire, Overlap, OverlapDecision,
    Recurrence, Schedule, WeekDay, Zone,
};
use mlops_core::time::Timestamp;
use proptest::prelude::*;
use serde::Deserialize;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap_or_else(|e| panic!("{text}: {e}"))
}

fn cron(expression: &str, zone: &str) -> Schedule {
    Schedule::cron(expression.parse().unwrap(), zone.parse().unwrap())
}

fn firings(schedule: &Schedule, after: Timestamp, count: usize) -> Vec<Timestamp> {
    std::iter::successors(schedule.next_after(after), |last| schedule.next_after(*last)).take(count).collect()
}

/// Made by `tests/reference/schedule.py`, which says with which tools and versions.
#[derive(Deserialize)]
struct Reference {
    utc: Vec<(String, Timestamp, Vec<Timestamp>)>,
    zones: Vec<(String, String, Timestamp, Vec<Timestamp>)>,
    #[allow(clippy::type_complexity)]
    recurrence: Vec<(Frequency, u32, Vec<u8>, Vec<u8>, Vec<String>, String, String, Vec<Timestamp>)>,
}

fn reference() -> Reference {
    serde_json::from_str(include_str!("reference/schedule.json")).unwrap()
}

#[test]
fn cron_agrees_with_croniter() {
    let cases = reference().utc;
    assert!(cases.len() >= 150);
    for (expression, after, expected) in cases {
        assert_eq!(
            firings(&cron(&expression, "UTC"), after, expected.len()),
            expected,
            "{expression} after {after}"
        );
    }
}

#[test]
fn cron_agrees_with_a_walk_through_every_minute_where_clocks_are_changed() {
    let cases = reference().zones;
    assert!(cases.len() >= 130);
    for (expression, zone, after, expected) in cases {
        let end = after + chrono::TimeDelta::hours(60);
        let schedule = cron(&expression, &zone);
        let fired: Vec<Timestamp> =
            firings(&schedule, after, 1000).into_iter().take_while(|t| *t <= end).collect();
        assert_eq!(fired, expected, "{expression} in {zone} after {after}");
    }
}

#[test]
fn recurrences_agree_with_rrule() {
    for (frequency, interval, hours, minutes, days, start, zone, expected) in reference().recurrence {
        let mut recurrence = Recurrence::new(frequency, interval)
            .unwrap()
            .with_hours(hours)
            .unwrap()
            .with_minutes(minutes)
            .unwrap();
        if frequency == Frequency::Week {
            let day = |day: &String| serde_json::from_value::<WeekDay>(day.as_str().into()).unwrap();
            recurrence = recurrence.with_week_days(days.iter().map(day)).unwrap();
        } else if frequency == Frequency::Month {
            recurrence = recurrence.with_month_days(days.iter().map(|day| day.parse().unwrap())).unwrap();
        }
        let zone: Zone = zone.parse().unwrap();
        let schedule = Schedule::recurrence(recurrence, zone, Some(start.parse().unwrap())).unwrap();
        let fired = firings(&schedule, at("2000-01-01T00:00:00Z"), expected.len());
        assert_eq!(fired, expected, "{frequency:?} {interval} from {start}");
    }
}

#[test]
fn the_table_of_what_cron_does_when_clocks_are_changed() {
    let zone = "America/New_York";
    for (expression, after, expected) in [
        // A time that does not come fires at the end of the gap, the same day.
        ("30 2 * * *", "2025-03-09T05:00:00Z", vec!["2025-03-09T07:00:00Z", "2025-03-10T06:30:00Z"]),
        // A time that comes twice fires once, the first time.
        ("30 1 * * *", "2025-11-02T04:00:00Z", vec!["2025-11-02T05:30:00Z", "2025-11-03T06:30:00Z"]),
        // Every hour is every hour of passing time.
        ("0 * * * *", "2025-03-09T05:30:00Z", vec!["2025-03-09T06:00:00Z", "2025-03-09T07:00:00Z"]),
        (
            "0 * * * *",
            "2025-11-02T04:30:00Z",
            vec!["2025-11-02T05:00:00Z", "2025-11-02T06:00:00Z", "2025-11-02T07:00:00Z"],
        ),
        // The 13th or a Friday.
        ("0 0 13 * 5", "2025-06-11T12:00:00Z", vec!["2025-06-13T04:00:00Z", "2025-06-20T04:00:00Z"]),
        ("0 0 * * 7", "2025-06-11T12:00:00Z", vec!["2025-06-15T04:00:00Z"]),
    ] {
        let expected: Vec<Timestamp> = expected.into_iter().map(at).collect();
        assert_eq!(firings(&cron(expression, zone), at(after), expected.len()), expected, "{expression}");
    }
    assert_eq!(cron("0 0 30 2 *", zone).next_after(at("2025-01-01T00:00:00Z")), None);
    // From one leap day to the next, over a century that has none.
    assert_eq!(
        cron("0 0 29 2 *", "UTC").next_after(at("2096-03-01T00:00:00Z")),
        Some(at("2104-02-29T00:00:00Z"))
    );
}

#[test]
fn minutes_and_hours_are_counted_as_time_passes() {
    let zone: Zone = "America/New_York".parse().unwrap();
    let every = |frequency, interval, start: &str| {
        let recurrence = Recurrence::new(frequency, interval).unwrap();
        Schedule::recurrence(recurrence, zone, Some(start.parse().unwrap())).unwrap()
    };
    let hours = firings(&every(Frequency::Hour, 2, "2025-03-08T23:00:00"), at("2025-03-01T00:00:00Z"), 3);
    assert_eq!(hours, ["2025-03-09T04:00:00Z", "2025-03-09T06:00:00Z", "2025-03-09T08:00:00Z"].map(at));
    let minutes = every(Frequency::Minute, 90, "2025-11-02T00:00:00");
    assert_eq!(minutes.next_after(at("2025-11-02T05:00:00Z")), Some(at("2025-11-02T05:30:00Z")));
    assert_eq!(minutes.next_after(at("2035-01-01T00:00:00Z")), Some(at("2035-01-01T01:00:00Z")));
}

#[test]
fn start_end_and_calendar_bound_what_fires() {
    let daily = cron("0 9 * * *", "Europe/Berlin")
        .with_span(Some("2025-12-22T09:00:00".parse().unwrap()), Some("2026-01-05T09:00:00".parse().unwrap()))
        .unwrap()
        .with_calendar(
            Calendar::new(
                ["2025-12-25", "2025-12-26"].map(|date| date.parse().unwrap()),
                [
                    Blackout::new("2025-12-28".parse().unwrap(), "2025-12-31".parse().unwrap()),
                    Blackout::new("2025-12-30".parse().unwrap(), "2026-01-01".parse().unwrap()),
                ],
            )
            .unwrap(),
        );
    let days: Vec<String> = firings(&daily, at("2020-01-01T00:00:00Z"), 100)
        .iter()
        .map(|moment| moment.format("%m-%d %H").to_string())
        .collect();
    assert_eq!(
        days,
        ["12-22 08", "12-23 08", "12-24 08", "12-27 08", "01-02 08", "01-03 08", "01-04 08", "01-05 08"]
    );
    let span = |start: &str, end: &str| {
        cron("0 9 * * *", "UTC").with_span(Some(start.parse().unwrap()), Some(end.parse().unwrap()))
    };
    assert_eq!(
        span("2026-01-02T00:00:00", "2026-01-01T00:00:00").unwrap_err().context("field"),
        Some("end_time")
    );
    // A calendar that excludes all that is left.
    let all =
        Calendar::new([], [Blackout::new("2020-01-01".parse().unwrap(), "2262-01-01".parse().unwrap())]);
    assert_eq!(
        cron("* * * * *", "UTC").with_calendar(all.unwrap()).next_after(at("2025-01-01T00:00:00Z")),
        Some(at("2262-01-02T00:00:00Z"))
    );
}

#[test]
fn what_was_missed_is_dealt_with_by_the_policy() {
    let hourly = |misfire| cron("0 * * * *", "UTC").with_misfire(misfire, Duration::from_secs(60)).unwrap();
    let (last, late, punctual) =
        (at("2026-01-01T00:00:00Z"), at("2026-01-01T05:30:00Z"), at("2026-01-01T05:00:59Z"));
    for (misfire, now, fire, left_out) in [
        (Misfire::Skip, late, vec![], 5),
        (Misfire::Skip, punctual, vec!["2026-01-01T05:00:00Z"], 4),
        (Misfire::FireOnce, late, vec!["2026-01-01T05:00:00Z"], 4),
        (
            Misfire::FireAll { max: 3 },
            late,
            vec!["2026-01-01T03:00:00Z", "2026-01-01T04:00:00Z", "2026-01-01T05:00:00Z"],
            2,
        ),
        (Misfire::FireAll { max: 1000 }, last, vec![], 0),
    ] {
        let due = hourly(misfire).due(Some(last), now);
        assert_eq!(due.fire, fire.into_iter().map(at).collect::<Vec<_>>(), "{misfire:?} at {now}");
        assert_eq!((due.left_out, due.at_least), (left_out, false), "{misfire:?} at {now}");
        assert_eq!(due.next, hourly(misfire).next_after(now));
    }
    // A first look fires only what is on time.
    assert!(hourly(Misfire::FireOnce).due(None, late).fire.is_empty());
    assert_eq!(hourly(Misfire::FireOnce).due(None, punctual).fire, [at("2026-01-01T05:00:00Z")]);
    // What was dealt with does not fire again, also when the clock was set back.
    assert!(hourly(Misfire::FireOnce).due(Some(punctual), punctual).fire.is_empty());
    assert!(hourly(Misfire::FireOnce).due(Some(late), last).fire.is_empty());
}

#[test]
fn decades_of_missed_minutes_are_not_all_counted() {
    let minutes =
        cron("* * * * *", "UTC").with_misfire(Misfire::FireAll { max: 2 }, Duration::from_secs(60)).unwrap();
    let due = minutes.due(Some(at("1990-01-01T00:00:00Z")), at("2026-01-01T00:00:30Z"));
    assert_eq!(due.fire, ["2025-12-31T23:59:00Z", "2026-01-01T00:00:00Z"].map(at));
    assert!(due.at_least && due.left_out > Schedule::MAX_COUNTED);
    assert_eq!(due.next, Some(at("2026-01-01T00:01:00Z")));
}

#[test]
fn a_run_at_work_is_dealt_with_by_the_policy() {
    use OverlapDecision::{CancelThenStart, Skip, Start, Wait};
    for (overlap, expected) in [
        (Overlap::Skip, [Start, Skip, Skip]),
        (Overlap::Queue, [Start, Wait, Skip]),
        (Overlap::CancelRunning, [Start, CancelThenStart, CancelThenStart]),
        (Overlap::Allow, [Start, Start, Start]),
    ] {
        let decided = [(false, false), (true, false), (true, true)]
            .map(|(at_work, waits)| overlap.decide(at_work, waits));
        assert_eq!(decided, expected, "{overlap:?}");
    }
}

// ── files ───────────────────────────────────────────────────────────────────────────────────────────────────────────────

#[test]
fn a_schedule_is_written_and_read_back() {
    let weekly =
        Recurrence::new(Frequency::Week, 2).unwrap().with_hours([9]).unwrap().with_minutes([0, 30]).unwrap();
    let weekly = weekly.with_week_days([WeekDay::Friday]).unwrap();
    let zone: Zone = "Europe/Berlin".parse().unwrap();
    let start = Some("2025-01-01T08:00:05".parse().unwrap());
    let calendar = Calendar::new(["2025-12-25".parse().unwrap()], []).unwrap();
    for schedule in [
        cron("*/5 8-17 * * mon-fri", "Asia/Tokyo")
            .with_overlap(Overlap::CancelRunning)
            .with_calendar(calendar),
        Schedule::recurrence(weekly, zone, start)
            .unwrap()
            .with_misfire(Misfire::FireAll { max: 7 }, Duration::from_millis(1))
            .unwrap(),
    ] {
        let text = serde_json::to_string(&schedule).unwrap();
        assert_eq!(Schedule::parse(&text, PipelineFormat::Json).unwrap(), schedule, "{text}");
    }
}

#[test]
fn an_error_in_a_file_has_its_place() {
    for (text, line, words) in [
        ("cron = \"0 25 * * *\"", "1", "must be from 0 to 23"),
        ("\ncron = \"0 2 * *\"", "2", "must have 5 fields"),
        ("cron = \"0 2 * * *\"\ntime_zone = \"Europe/Berln\"", "2", "did you mean `Europe/Berlin`?"),
        ("cron = \"0 2 * * *\"\nstart_time = \"2025-02-30T00:00:00\"", "2", "is no local time"),
        ("cron = \"0 2 * * *\"\nmisfir = \"skip\"", "2", "did you mean `misfire`?"),
        ("cron = \"0 2 * * *\"\n[recurrence]\nfrequency = \"day\"", "1", "one of `cron` and `recurrence`"),
        ("[recurrence]\nfrequency = \"day\"\ninterval = 501", "1", "must be from 1 to 500"),
        (
            "[recurrence]\nfrequency = \"day\"\n[recurrence.schedule]\nhours = [24]",
            "1",
            "must be from 0 to 23",
        ),
        ("[recurrence]\nfrequency = \"hour\"", "1", "must be given"),
        ("cron = \"0 2 * * *\"\nmisfire = \"fire_all\"", "1", "must be given with"),
        ("cron = \"0 2 * * *\"\nmisfire = \"fire_all\"\nmax_fires = 1001", "3", "must be from 1 to 1000"),
        ("cron = \"0 2 * * *\"\ngrace = \"-1m\"", "2", "is not a duration"),
        (
            "cron = \"0 2 * * *\"\n[calendar]\nblackouts = [{ from = \"2025-01-02\", to = \"2025-01-01\" }]",
            "2",
            "is after",
        ),
    ] {
        let error = Schedule::parse(text, PipelineFormat::Toml).unwrap_err();
        assert_eq!(
            (error.kind(), error.context("line")),
            (ErrorKind::InvalidInput, Some(line)),
            "{text}: {error}"
        );
        assert!(error.to_string().contains(words), "{text}: {error}");
    }
}

/// The examples of Azure ML's documentation of schedules.
#[test]
fn triggers_of_azure_are_read_and_written() {
    let recurrence = r#"{"type": "recurrence", "frequency": "week", "interval": 1,
        "schedule": {"hours": [4, 5, 10], "minutes": [0, 30], "week_days": ["monday", "friday"]},
        "start_time": "2025-05-10T10:15:00", "end_time": "2025-06-10T10:15:00", "time_zone": "Pacific Standard Time"}"#;
    let expression = r#"{"type": "cron", "expression": "0 16 * * 1", "start_time": "2025-07-10T10:00:00",
        "time_zone": "Eastern Standard Time"}"#;
    let single = r#"{"type": "recurrence", "frequency": "month", "interval": 2, "start_time": "2025-01-31T08:00:00Z",
        "schedule": {"hours": 9, "minutes": 0, "month_days": 31}}"#;
    for (text, first) in [
        (recurrence, "2025-05-12T11:00:00Z"),
        (expression, "2025-07-14T20:00:00Z"),
        (single, "2025-01-31T09:00:00Z"),
    ] {
        let trigger = AzureTrigger::parse(text, PipelineFormat::Json).unwrap();
        let schedule = Schedule::try_from(trigger.clone()).unwrap();
        assert_eq!(schedule.next_after(at("2025-01-01T00:00:00Z")), Some(at(first)), "{text}");
        let written = AzureTrigger::try_from(&schedule).unwrap();
        let read = AzureTrigger::parse(&written.to_json().unwrap(), PipelineFormat::Json).unwrap();
        assert_eq!(Schedule::try_from(read).unwrap(), schedule);
        let wire = serde_json::to_string(&AzureTriggerWire::from(trigger.clone())).unwrap();
        assert!(wire.contains("\"triggerType\":"), "{wire}");
        let wire: AzureTriggerWire = serde_json::from_str(&wire).unwrap();
        assert_eq!(Schedule::try_from(AzureTrigger::from(wire)).unwrap(), schedule);
    }
    for bad in [
        r#"{"type": "cron"}"#,
        r#"{"type": "cron", "expression": "0 0 * * *", "frequency": "day"}"#,
        r#"{"type": "recurrence", "frequency": "day", "interval": 0, "start_time": "2025-01-01T00:00:00"}"#,
        r#"{"type": "recurrence", "frequency": "day"}"#,
        r#"{"type": "recurrence", "expression": "0 0 * * *", "frequency": "day"}"#,
        r#"{"type": "cron", "expression": "0 0 * * *", "time_zone": "Mars Standard Time"}"#,
        r#"{"type": "cron", "expression": "0 0 * * *", "start_time": "yesterday"}"#,
        r#"{"type": "cron", "expression": "0 0 * * *", "retries": 1}"#,
        r#"{"type": "recurrence", "frequency": "week", "schedule": {"week_days": ["someday"]}}"#,
    ] {
        let read = AzureTrigger::parse(bad, PipelineFormat::Json).and_then(Schedule::try_from);
        assert_eq!(read.unwrap_err().kind(), ErrorKind::InvalidInput, "{bad}");
    }
    let holidays = Calendar::new(["2025-12-25".parse().unwrap()], []).unwrap();
    let lost = AzureTrigger::try_from(&cron("0 0 * * *", "UTC").with_calendar(holidays));
    assert_eq!(lost.unwrap_err().kind(), ErrorKind::Unsupported);
}

// ── anything at all ─────────────────────────────────────────────────────────────────────────────────────────────────────

fn any_time() -> impl Strategy<Value = Timestamp> {
    (-4_000_000_000_i64..8_000_000_000).prop_map(|seconds| Timestamp::from_timestamp(seconds, 0).unwrap())
}

fn any_zone() -> impl Strategy<Value = Zone> {
    let zones = [
        "UTC",
        "America/New_York",
        "Australia/Lord_Howe",
        "Pacific/Apia",
        "Africa/Casablanca",
        "Asia/Tehran",
    ];
    proptest::sample::select(zones.to_vec()).prop_map(|zone| zone.parse().unwrap())
}

fn any_field(max: u32) -> impl Strategy<Value = String> {
    prop_oneof![
        Just("*".to_owned()),
        (1..=max).prop_map(|step| format!("*/{step}")),
        (1..=max).prop_map(|value| value.to_string()),
        (1..=max, 1..=max).prop_map(|(a, b)| format!("{}-{}", a.min(b), a.max(b))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn no_text_breaks_the_reader(text in "[ -~\\t]{0,30}", wild in "\\PC{0,20}") {
        for text in [text, wild] {
            let _ = text.parse::<Cron>();
            let _ = text.parse::<Zone>();
            for format in [PipelineFormat::Toml, PipelineFormat::Json] {
                let _ = Schedule::parse(&text, format);
                let _ = AzureTrigger::parse(&text, format);
            }
        }
    }

    #[test]
    fn the_next_firing_lies_ahead_and_nothing_lies_between(
        minute in any_field(59), hour in any_field(23), weekday in any_field(7), zone in any_zone(), after in any_time(),
    ) {
        let schedule = Schedule::cron(format!("{minute} {hour} * * {weekday}").parse().unwrap(), zone);
        let next = schedule.next_after(after).unwrap();
        prop_assert!(next > after);
        // Whoever looks from anywhere in between sees the same.
        for share in [1, 3, 7, 9] {
            let between = after + (next - after) * share / 10;
            prop_assert_eq!(schedule.next_after(between), Some(next));
        }
    }

    #[test]
    fn what_is_due_is_what_comes_next_one_after_the_other(
        hour in any_field(23), zone in any_zone(), last in any_time(), days in 0_i64..20,
    ) {
        let schedule = Schedule::cron(format!("30 {hour} * * *").parse().unwrap(), zone);
        let schedule = schedule.with_misfire(Misfire::FireAll { max: 1000 }, Duration::from_secs(60)).unwrap();
        let now = last + chrono::TimeDelta::days(days);
        let due = schedule.due(Some(last), now);
        let expected: Vec<Timestamp> = firings(&schedule, last, 1001).into_iter().take_while(|t| *t <= now).collect();
        prop_assert_eq!(due.fire, expected);
        prop_assert_eq!(due.left_out, 0);
    }
}
