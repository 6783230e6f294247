//! The gates between reasons to retrain and requests: every one of them, their order, and what is recorded.

use std::time::Duration;

use mlops_core::ErrorKind;
use mlops_core::problem::Direction;
use mlops_core::retrain::gates::{
    CauseKind, CauseLevel, GateBlackout, GateInput, GateOutcome, GateRecord, GatesState, RetrainBudget,
    RetrainCause, RetrainGates, RetrainRequest, WeekDayName,
};
use mlops_core::time::Timestamp;
use proptest::prelude::*;
use serde_json::json;

const MINUTE: Duration = Duration::from_secs(60);

/// A Thursday.
fn start() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

fn gates() -> RetrainGates {
    RetrainGates::new("diabetes".parse().unwrap())
}

fn cause(id: &str) -> RetrainCause {
    RetrainCause::new(CauseKind::Event, "lake", id, format!("reason {id}"))
}

fn comes(id: &str) -> GateInput {
    GateInput::Cause(cause(id))
}

fn drift(id: &str, value: f64) -> GateInput {
    let level = CauseLevel::new("inputs", value, 0.2, Direction::LowerIsBetter);
    GateInput::Cause(RetrainCause::new(CauseKind::Drift, "monitor", id, "drift").with_level(level))
}

fn measured(value: f64) -> GateInput {
    GateInput::Measured(CauseLevel::new("inputs", value, 0.2, Direction::LowerIsBetter))
}

/// Plays inputs by the minute; every step goes through JSON, as after a restart.
fn play(gates: &RetrainGates, inputs: impl IntoIterator<Item = (u32, GateInput, u32)>) -> Vec<GateRecord> {
    let (mut state, mut all) = (GatesState::default(), Vec::new());
    for (minute, input, running) in inputs {
        let now = start() + MINUTE * minute;
        let decided = gates.step(&state, &input, running, now).unwrap();
        assert_eq!(gates.step(&state, &input, running, now).unwrap(), decided, "pure");
        state = serde_json::from_str(&serde_json::to_string(&decided.state).unwrap()).unwrap();
        assert_eq!(state, decided.state);
        all.extend(decided.records);
    }
    all
}

fn idle(inputs: impl IntoIterator<Item = (u32, GateInput)>) -> Vec<(u32, GateInput, u32)> {
    inputs.into_iter().map(|(minute, input)| (minute, input, 0)).collect()
}

/// What happened, when, to which causes.
fn story(records: &[GateRecord]) -> Vec<(i64, String, Vec<String>)> {
    records
        .iter()
        .map(|record| {
            let what = match &record.outcome {
                GateOutcome::Requested(_) => "requested".to_owned(),
                GateOutcome::Suppressed { gate, .. } => format!("suppressed by {gate}"),
                GateOutcome::Deferred { gate, .. } => format!("deferred by {gate}"),
                other => panic!("{other:?}"),
            };
            let ids = record.causes.iter().map(|cause| cause.id.clone()).collect();
            ((record.at - start()).num_minutes(), what, ids)
        })
        .collect()
}

fn lines(records: &[GateRecord]) -> Vec<String> {
    story(records).into_iter().map(|(at, what, ids)| format!("{at} {what} {}", ids.join(","))).collect()
}

#[test]
fn the_same_cause_is_one_cause() {
    let records = play(&gates(), idle([(0, comes("1")), (5, comes("1")), (5, comes("2"))]));
    assert_eq!(lines(&records), ["0 requested 1", "5 suppressed by dedupe 1", "5 requested 2"]);
}

#[test]
fn causes_that_come_together_are_one_request() {
    let gates = gates().with_debounce(MINUTE * 10);
    let records = play(
        &gates,
        idle([
            (0, comes("1")),
            (4, comes("2")),
            (9, GateInput::Tick),
            (10, GateInput::Tick),
            (11, comes("3")),
        ]),
    );
    assert_eq!(
        lines(&records),
        ["0 deferred by debounce 1", "10 requested 1,2", "11 deferred by debounce 3"]
    );
}

#[test]
fn a_signal_is_a_reason_again_only_after_it_was_well() {
    let inputs = [
        (0, drift("1", 0.3)),
        (1, drift("2", 0.4)),
        // Below the threshold, and not below 0.8 of it.
        (2, measured(0.17)),
        (3, drift("3", 0.3)),
        (4, measured(0.16)),
        (5, drift("4", 0.3)),
        // A cause without a level is not held back.
        (6, comes("5")),
    ];
    let held = "suppressed by hysteresis";
    let expected = [
        "0 requested 1".to_owned(),
        format!("1 {held} 2"),
        format!("3 {held} 3"),
        "5 requested 4".into(),
        "6 requested 5".into(),
    ];
    assert_eq!(lines(&play(&gates(), idle(inputs))), expected);
}

#[test]
fn a_metric_where_higher_is_better_is_well_again_from_above() {
    let level = |value| CauseLevel::new("auc", value, 0.8, Direction::HigherIsBetter).with_recovery(0.85);
    let bad = |id: &str| {
        GateInput::Cause(RetrainCause::new(CauseKind::Performance, "m", id, "auc").with_level(level(0.7)))
    };
    let inputs = [
        (0, bad("1")),
        (1, GateInput::Measured(level(0.84))),
        (2, bad("2")),
        (3, GateInput::Measured(level(0.85))),
        (4, bad("3")),
    ];
    assert_eq!(
        lines(&play(&gates(), idle(inputs))),
        ["0 requested 1", "2 suppressed by hysteresis 2", "4 requested 3"]
    );
}

#[test]
fn the_cooldown_is_that_of_the_kind() {
    let gates = gates().with_cooldown(MINUTE * 100).with_cooldown_of(CauseKind::Manual, Duration::ZERO);
    let manual = |id: &str| GateInput::Cause(RetrainCause::new(CauseKind::Manual, "ada", id, "now"));
    let records = play(
        &gates,
        idle([(0, comes("1")), (99, comes("2")), (100, comes("3")), (101, manual("4")), (150, comes("5"))]),
    );
    assert_eq!(
        lines(&records),
        [
            "0 requested 1",
            "99 suppressed by cooldown 2",
            "100 requested 3",
            "101 requested 4",
            "150 suppressed by cooldown 5"
        ]
    );
}

#[test]
fn the_budget_counts_requests_and_cost_in_any_period() {
    let of = |requests, cost| RetrainBudget::new(MINUTE * 100).with_requests(requests).with_cost(cost);
    let records =
        play(&gates().with_budget(of(Some(2), None)), idle((0..5).map(|i| (i * 49, comes(&i.to_string())))));
    assert_eq!(
        lines(&records),
        [
            "0 requested 0",
            "49 requested 1",
            "98 suppressed by budget 2",
            "147 requested 3",
            "196 requested 4"
        ]
    );
    let priced = |id: &str, cost| GateInput::Cause(cause(id).with_cost(cost));
    let inputs = [
        (0, priced("1", 6.0)),
        (1, priced("2", 5.0)),
        (2, priced("3", 4.0)),
        (3, comes("4")),
        (101, priced("5", 6.0)),
    ];
    let records = play(&gates().with_budget(of(None, Some(10.0))), idle(inputs));
    assert_eq!(
        lines(&records),
        [
            "0 requested 1",
            "1 suppressed by budget 2",
            "2 requested 3",
            "3 suppressed by budget 4",
            "101 requested 5"
        ]
    );
    let GateOutcome::Suppressed { reason, .. } = &records[1].outcome else { panic!() };
    assert_eq!(reason, "it costs 5, 6 is spent in 100m, at most 10 is allowed");
}

#[test]
fn a_blackout_keeps_what_comes_and_lets_it_through_afterwards() {
    let night = GateBlackout::Weekly {
        days: [WeekDayName::Thu].into(),
        from: "00:00:00".parse().unwrap(),
        to: "01:00:00".parse().unwrap(),
    };
    let gates = gates()
        .with_blackout(night)
        .with_blackout(GateBlackout::Span { from: start() + MINUTE * 60, to: start() + MINUTE * 90 });
    let inputs = [
        (5, comes("1")),
        (6, GateInput::Tick),
        (30, comes("2")),
        (60, GateInput::Tick),
        (89, GateInput::Tick),
        (90, GateInput::Tick),
    ];
    let records = play(&gates, idle(inputs));
    assert_eq!(lines(&records), ["5 deferred by blackout 1", "90 requested 1,2"]);
    assert_eq!(records[0].to_string(), "deferred by the blackout: until 2026-01-01T01:00:00Z: reason 1");
}

#[test]
fn so_many_train_at_a_time_and_the_next_waits() {
    let inputs = [(0, comes("1"), 2), (1, GateInput::Tick, 2), (2, comes("2"), 3), (3, GateInput::Tick, 1)];
    let records = play(&gates().with_max_running(2), inputs);
    assert_eq!(lines(&records), ["0 deferred by concurrency 1", "3 requested 1,2"]);
}

#[test]
fn what_waited_out_a_blackout_still_has_to_wait_out_the_cooldown() {
    let gates = gates()
        .with_cooldown(MINUTE * 50)
        .with_blackout(GateBlackout::Span { from: start() + MINUTE, to: start() + MINUTE * 60 });
    let records =
        play(&gates, idle([(0, comes("1")), (55, comes("2")), (60, GateInput::Tick), (61, comes("3"))]));
    assert_eq!(
        lines(&records),
        ["0 requested 1", "55 deferred by blackout 2", "60 requested 2", "61 suppressed by cooldown 3"]
    );
}

#[test]
fn a_clock_that_goes_back_holds_back_once_more_at_most() {
    let gates = gates().with_cooldown(MINUTE * 10);
    let records =
        play(&gates, idle([(100_000, comes("1")), (0, comes("2")), (9, comes("3")), (10, comes("4"))]));
    assert_eq!(
        lines(&records),
        ["100000 requested 1", "0 suppressed by cooldown 2", "9 suppressed by cooldown 3", "10 requested 4"]
    );
}

fn requests(records: &[GateRecord]) -> Vec<&RetrainRequest> {
    let mut requests = Vec::new();
    for record in records {
        if let GateOutcome::Requested(request) = &record.outcome {
            requests.push(request);
        }
    }
    requests
}

#[test]
fn the_same_causes_are_the_same_request_and_others_are_not() {
    let of = |id: &str, model: &str| {
        let gates = RetrainGates::new(model.parse().unwrap());
        requests(&play(&gates, idle([(7, comes(id))])))[0].id.clone()
    };
    assert_eq!(of("1", "diabetes"), of("1", "diabetes"));
    assert_ne!(of("1", "diabetes"), of("2", "diabetes"));
    assert_ne!(of("1", "diabetes"), of("1", "churn"));
}

#[test]
fn decisions_are_what_a_loop_takes() {
    let records = play(&gates().with_cooldown(MINUTE), idle([(0, comes("1")), (0, comes("2"))]));
    assert!(records[0].to_decision().fires() && !records[1].to_decision().fires());
}

#[test]
fn rules_inputs_and_states_that_make_no_sense_are_refused() {
    let bad_rules = [
        ("max_running", gates().with_max_running(0)),
        ("cooldown", gates().with_cooldown(Duration::MAX)),
        ("debounce", gates().with_debounce(Duration::MAX)),
        ("cooldown_by_cause", gates().with_cooldown_of(CauseKind::Drift, Duration::MAX)),
        ("blackouts", gates().with_blackout(GateBlackout::Span { from: start(), to: start() })),
        ("period", gates().with_budget(RetrainBudget::new(Duration::ZERO))),
        ("cost", gates().with_budget(RetrainBudget::new(MINUTE).with_cost(f64::NAN))),
        ("requests", gates().with_budget(RetrainBudget::new(MINUTE).with_requests(u32::MAX))),
    ];
    for (field, gates) in bad_rules {
        let error = gates.step(&GatesState::default(), &GateInput::Tick, 0, start()).unwrap_err();
        assert_eq!((error.kind(), error.context("field")), (ErrorKind::InvalidInput, Some(field)), "{error}");
    }
    for (field, input) in [
        ("id", comes("")),
        ("id", comes(&"x".repeat(1_025))),
        ("cost", GateInput::Cause(cause("1").with_cost(-1.0))),
        ("value", measured(f64::NAN)),
    ] {
        let error = gates().step(&GatesState::default(), &input, 0, start()).unwrap_err();
        assert_eq!(error.context("field"), Some(field), "{error}");
    }
    let mut state = serde_json::to_value(GatesState::default()).unwrap();
    state["schema"] = json!(9);
    let state: GatesState = serde_json::from_value(state).unwrap();
    assert!(gates().step(&state, &GateInput::Tick, 0, start()).is_err());
}

#[test]
fn a_flood_of_causes_is_bounded() {
    let gates = gates().with_debounce(MINUTE);
    let mut state = GatesState::default();
    for i in 0..1_000 {
        state = gates.step(&state, &comes(&i.to_string()), 0, start()).unwrap().state;
    }
    let error = gates.step(&state, &comes("more"), 0, start()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LimitExceeded);
    let decided = gates.step(&state, &GateInput::Tick, 0, start() + MINUTE).unwrap();
    assert_eq!(decided.requested().map(|request| request.causes.len()), Some(1_000));
}

#[test]
fn rules_are_plain_configuration() {
    let gates: RetrainGates = serde_json::from_value(json!({
        "model": "diabetes", "debounce": "10m", "cooldown": "1d", "cooldown_by_cause": {"manual": "0s"},
        "budget": {"period": "30d", "requests": 4},
        "blackouts": [{"weekly": {"days": ["Sat", "Sun"], "from": "00:00:00", "to": "00:00:00"}}],
    }))
    .unwrap();
    gates.check().unwrap();
    assert_eq!(gates.max_running, 1);
    assert_eq!(serde_json::from_str::<RetrainGates>(&serde_json::to_string(&gates).unwrap()).unwrap(), gates);
    // Saturday, all day.
    assert_eq!(
        gates.blackouts[0].until(start() + MINUTE * 60 * 24 * 2),
        Some("2026-01-04T00:00:00Z".parse().unwrap())
    );
    assert_eq!(gates.blackouts[0].until(start()), None);
    assert!(serde_json::from_value::<RetrainGates>(json!({"model": "diabetes", "cool_down": "1d"})).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// However causes come: requests keep their distance, nothing is requested in a blackout or while too many train, every cause is
    /// recorded, and none is in two requests.
    #[test]
    fn the_gates_hold(steps in prop::collection::vec((0u32..12, 0u32..40, 0u32..3, 0u32..15), 1..120)) {
        let night = GateBlackout::Weekly {
            days: [WeekDayName::Thu, WeekDayName::Fri].into(),
            from: "08:00:00".parse().unwrap(),
            to: "09:30:00".parse().unwrap(),
        };
        let gates = gates()
            .with_debounce(MINUTE * 7)
            .with_cooldown(MINUTE * 45)
            .with_budget(RetrainBudget::new(MINUTE * 300).with_requests(3))
            .with_blackout(night.clone())
            .with_max_running(2);
        let mut minute = 400;
        let mut inputs = Vec::new();
        for (kind, id, running, wait) in steps {
            minute += wait;
            let input = match kind {
                0..7 => comes(&id.to_string()),
                7..9 => drift(&format!("d{id}"), 0.3),
                9 => measured(0.1),
                _ => GateInput::Tick,
            };
            inputs.push((minute, input, running));
        }
        let came: std::collections::BTreeSet<String> = inputs.iter().filter_map(|(_, input, _)| match input {
            GateInput::Cause(cause) => Some(cause.id.clone()),
            _ => None,
        }).collect();
        let again = inputs.clone();
        let records = play(&gates, inputs);
        let requests = requests(&records);
        for pair in requests.windows(2) {
            prop_assert!(pair[1].at - pair[0].at >= chrono::TimeDelta::minutes(45));
        }
        for four in requests.windows(4) {
            prop_assert!(four[3].at - four[0].at >= chrono::TimeDelta::minutes(300));
        }
        let mut used = std::collections::BTreeSet::new();
        for request in &requests {
            prop_assert_eq!(night.until(request.at), None);
            for cause in &request.causes {
                prop_assert!(used.insert(cause.id.clone()), "in two requests: {}", cause.id);
            }
        }
        // Once nothing holds them back any more, every cause has been recorded.
        let mut end = Vec::from_iter(again);
        end.push((minute + 100_000, GateInput::Tick, 0));
        let records = play(&gates, end);
        let mentioned: std::collections::BTreeSet<String> =
            records.iter().flat_map(|record| &record.causes).map(|cause| cause.id.clone()).collect();
        prop_assert_eq!(mentioned, came);
    }
}

#[cfg(feature = "schedule")]
mod in_time_zones {
    use super::*;

    fn dark(zone: &str, days: &[WeekDayName], from: &str, to: &str) -> GateBlackout {
        GateBlackout::WeeklyIn {
            time_zone: zone.parse().unwrap(),
            days: days.iter().copied().collect(),
            from: from.parse().unwrap(),
            to: to.parse().unwrap(),
        }
    }

    /// Holds blackouts against moments: the last before it, the first in it, the last in it, the first after it.
    fn lasts(blackout: &GateBlackout, from: &str, to: &str) {
        let (from, to): (Timestamp, Timestamp) = (from.parse().unwrap(), to.parse().unwrap());
        let moment = Duration::from_nanos(1);
        assert_eq!(blackout.until(from - moment), None, "before {from}");
        assert_eq!(blackout.until(from), Some(to), "from {from}");
        assert_eq!(blackout.until(to - moment), Some(to), "before {to}");
        assert_eq!(blackout.until(to), None, "at {to}");
    }

    /// Moments from Python 3.11.7's `zoneinfo` with tzdata 2025b (`datetime(..., fold=0 and 1).astimezone(UTC)`).
    #[test]
    fn a_weekly_blackout_follows_the_clocks_on_the_wall() {
        use WeekDayName::{Fri, Sat, Sun};
        // Berlin: a winter's and a summer's night.
        let nights = dark("Europe/Berlin", &[Fri], "22:00:00", "06:00:00");
        lasts(&nights, "2026-01-09T21:00:00Z", "2026-01-10T05:00:00Z");
        lasts(&nights, "2026-07-10T20:00:00Z", "2026-07-11T04:00:00Z");
        // The nights in which the clocks are set forward (29 March, 7 hours) and back (25 October, 9 hours).
        let nights = dark("W. Europe Standard Time", &[Sat], "22:00:00", "06:00:00");
        lasts(&nights, "2026-03-28T21:00:00Z", "2026-03-29T04:00:00Z");
        lasts(&nights, "2026-10-24T20:00:00Z", "2026-10-25T05:00:00Z");
        // New York: to a time that does not come, from one, and both.
        let into = dark("America/New_York", &[Sun], "01:00:00", "02:30:00");
        lasts(&into, "2026-03-08T06:00:00Z", "2026-03-08T07:00:00Z");
        let out_of = dark("America/New_York", &[Sun], "02:30:00", "04:00:00");
        lasts(&out_of, "2026-03-08T07:00:00Z", "2026-03-08T08:00:00Z");
        let within = dark("America/New_York", &[Sun], "02:15:00", "02:45:00");
        let mut at: Timestamp = "2026-03-08T05:00:00Z".parse().unwrap();
        for _ in 0..240 {
            assert_eq!(within.until(at), None, "{at}");
            at += MINUTE;
        }
        lasts(&within, "2026-03-15T06:15:00Z", "2026-03-15T06:45:00Z");
        // An hour that comes twice is dark twice: to it, from it, and within it.
        let twice = dark("America/New_York", &[Sun], "00:30:00", "01:30:00");
        lasts(&twice, "2026-11-01T04:30:00Z", "2026-11-01T06:30:00Z");
        let twice = dark("America/New_York", &[Sun], "01:30:00", "03:00:00");
        lasts(&twice, "2026-11-01T05:30:00Z", "2026-11-01T08:00:00Z");
        let twice = dark("America/New_York", &[Sun], "01:15:00", "01:45:00");
        lasts(&twice, "2026-11-01T05:15:00Z", "2026-11-01T06:45:00Z");
        // Clocks that are set back at midnight (Havana goes from 01:00 to 00:00), and by half an hour (Lord Howe Island).
        let midnight = dark("America/Havana", &[Sun], "00:00:00", "01:00:00");
        lasts(&midnight, "2026-11-01T04:00:00Z", "2026-11-01T06:00:00Z");
        let half = dark("Australia/Lord_Howe", &[Sun], "01:15:00", "01:45:00");
        lasts(&half, "2026-04-04T14:15:00Z", "2026-04-04T15:15:00Z");
        // A whole day has 23, 24 or 25 hours.
        let day = dark("Europe/Berlin", &[Sun], "00:00:00", "00:00:00");
        lasts(&day, "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z");
        lasts(&day, "2026-04-04T22:00:00Z", "2026-04-05T22:00:00Z");
        lasts(&day, "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z");
    }

    #[test]
    fn in_utc_both_kinds_are_the_same() {
        let days = [WeekDayName::Mon, WeekDayName::Thu, WeekDayName::Sun];
        let (from, to) = ("22:00:00", "06:30:00");
        let weekly =
            GateBlackout::Weekly { days: days.into(), from: from.parse().unwrap(), to: to.parse().unwrap() };
        let zoned = dark("UTC", &days, from, to);
        let mut at = start();
        for _ in 0..2 * 7 * 24 * 4 {
            assert_eq!(zoned.until(at), weekly.until(at), "{at}");
            at += MINUTE * 15;
        }
    }

    #[test]
    fn gates_keep_what_comes_in_the_night_until_it_is_over_there() {
        let gates = gates().with_blackout(dark("Asia/Tokyo", &[WeekDayName::Thu], "09:00:00", "10:00:00"));
        let records = play(&gates, idle([(0, comes("a")), (59, GateInput::Tick), (60, GateInput::Tick)]));
        assert_eq!(lines(&records), ["0 deferred by blackout a", "60 requested a"]);
        let text = serde_json::to_value(&gates).unwrap();
        assert_eq!(text["blackouts"][0]["weekly_in"]["time_zone"], "Asia/Tokyo");
        assert_eq!(serde_json::from_value::<RetrainGates>(text).unwrap(), gates);
        let never = self::gates().with_blackout(dark("Asia/Tokyo", &[], "09:00:00", "10:00:00"));
        assert_eq!(never.check().unwrap_err().context("field"), Some("blackouts"));
        let strange = json!({ "weekly_in": { "time_zone": "Asia/Tokio", "days": ["Thu"], "from": "09:00:00", "to": "10:00:00" } });
        let error = serde_json::from_value::<GateBlackout>(strange).unwrap_err();
        assert!(error.to_string().contains("did you mean `Asia/Tokyo`?"), "{error}");
    }
}
