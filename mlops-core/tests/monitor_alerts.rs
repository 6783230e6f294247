//! Alert rules: waiting, hysteresis, routes, groups, repeats, silence, restarts, files.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use mlops_core::ErrorKind;
use mlops_core::memory::MemoryAlertSink;
use mlops_core::monitor::alerting::{
    AlertCondition, AlertFormat, AlertInput, AlertPhase, AlertRoute, AlertRule, AlertRules, AlertState,
    Notice, dispatch,
};
use mlops_core::monitor::{Alert, AlertReceipt, AlertSink, AlertStatus, Severity};
use mlops_core::time::Timestamp;
use proptest::prelude::*;

const MINUTE: Duration = Duration::from_secs(60);

fn start() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

fn minute(minutes: u32) -> Timestamp {
    start() + MINUTE * minutes
}

fn rules(rules: Vec<AlertRule>, routes: Vec<AlertRoute>) -> AlertRules {
    AlertRules::new("diabetes".parse().unwrap(), rules, routes).unwrap()
}

fn errors() -> AlertRule {
    AlertRule::new("errors", "error_rate").with_above(0.05, 0.02)
}

fn at_once() -> AlertRoute {
    AlertRoute::new("all", ["inbox"]).with_times(Duration::ZERO, Duration::ZERO, MINUTE * 240)
}

fn seen(value: f64) -> AlertInput {
    AlertInput::value("error_rate", value)
}

fn labelled(deployment: &str, value: f64) -> AlertInput {
    let labels = [("deployment".to_owned(), deployment.to_owned())].into();
    AlertInput::Observed { signal: "error_rate".to_owned(), labels, value: Some(value) }
}

/// Plays inputs by the minute; every step goes through JSON, as after a restart.
fn play(
    rules: &AlertRules,
    inputs: impl IntoIterator<Item = (u32, AlertInput)>,
) -> (AlertState, Vec<Notice>) {
    let (mut state, mut all) = (AlertState::default(), Vec::new());
    for (at, input) in inputs {
        let (next, notices) = rules.step(&state, &input, minute(at)).unwrap();
        assert_eq!(rules.step(&state, &input, minute(at)).unwrap(), (next.clone(), notices.clone()), "pure");
        state = serde_json::from_str(&serde_json::to_string(&next).unwrap()).unwrap();
        assert_eq!(state, next);
        all.extend(notices);
    }
    (state, all)
}

fn told(notices: &[Notice]) -> Vec<(AlertStatus, i64)> {
    notices.iter().map(|notice| (notice.status, (notice.at - start()).num_minutes())).collect()
}

use AlertStatus::{Firing, Resolved};

#[test]
fn it_fires_after_it_was_bad_for_long_enough_and_ends_at_the_recovery_level() {
    let rules = rules(vec![errors().with_for(MINUTE * 5)], vec![at_once()]);
    let values = [
        (0, 0.06),
        (4, 0.06),
        // Between both levels: the waiting ends.
        (5, 0.03),
        (6, 0.06),
        (10, 0.07),
        (11, 0.08),
        // Still not well.
        (12, 0.05),
        (13, 0.021),
        (14, 0.02),
        (15, 0.04),
    ];
    let (state, notices) = play(&rules, values.map(|(at, value)| (at, seen(value))));
    assert_eq!(told(&notices), [(Firing, 11), (Resolved, 14)]);
    assert_eq!(notices[0].alerts[0].since, minute(6));
    assert_eq!(notices[0].alerts[0].value, Some(0.08));
    assert_eq!(
        notices[0].to_alert().message,
        "1 firing: error_rate is 0.08, was above 0.05 since 2026-01-01T00:06:00Z"
    );
    assert_eq!(state.firing().count(), 0);
    assert!(state.groups.is_empty());
}

#[test]
fn exactly_the_threshold_is_good_and_below_looks_the_other_way() {
    let above = rules(vec![errors()], vec![at_once()]);
    assert!(play(&above, [(0, seen(0.05))]).1.is_empty());
    let below = rules(vec![AlertRule::new("up", "error_rate").with_below(0.99, 0.999)], vec![at_once()]);
    let values = [(0, 0.99), (1, 0.98), (2, 0.995), (3, 0.9989), (4, 0.999)];
    let (_, notices) = play(&below, values.map(|(at, value)| (at, seen(value))));
    assert_eq!(told(&notices), [(Firing, 1), (Resolved, 4)]);
    assert!(notices[0].to_alert().message.contains("was below 0.99"));
}

#[test]
fn time_alone_fires_no_threshold() {
    let rules = rules(vec![errors().with_for(MINUTE * 5)], vec![at_once()]);
    let (state, notices) = play(&rules, [(0, seen(1.0)), (60, AlertInput::Tick), (61, seen(0.0))]);
    assert!(notices.is_empty());
    assert_eq!(state.series.values().next().unwrap().threshold, AlertPhase::Quiet);
}

#[test]
fn silence_fires_and_what_cannot_be_computed_is_silence() {
    let rules = rules(vec![errors().with_no_data(MINUTE * 15)], vec![at_once()]);
    let nothing =
        |value| AlertInput::Observed { signal: "error_rate".into(), labels: BTreeMap::new(), value };
    let inputs = [
        (0, seen(0.0)),
        (10, nothing(None)),
        (14, nothing(Some(f64::NAN))),
        (15, nothing(Some(f64::INFINITY))),
        (20, AlertInput::Tick),
        (30, seen(0.0)),
    ];
    let (_, notices) = play(&rules, inputs);
    assert_eq!(told(&notices), [(Firing, 15), (Resolved, 30)]);
    assert_eq!(notices[0].alerts[0].condition, AlertCondition::NoData);
    assert!(
        notices[0].alerts[0].message.contains("has had no value since 2026-01-01T00:00:00Z"),
        "{notices:?}"
    );
    let (state, _) = rules.step(&AlertState::default(), &nothing(Some(f64::NAN)), start()).unwrap();
    assert_eq!(state.series.values().next().unwrap().value, None);
}

#[test]
fn a_series_that_never_begins_is_silent_too() {
    let rule =
        AlertRule::new("alive", "error_rate").with_no_data(MINUTE * 15).with_label("deployment", "blue");
    let rules = rules(vec![rule], vec![at_once()]);
    let elsewhere = labelled("green", 0.0);
    let inputs =
        [(0, AlertInput::Tick), (14, elsewhere.clone()), (15, elsewhere), (20, labelled("blue", 0.0))];
    let (_, notices) = play(&rules, inputs);
    assert_eq!(told(&notices), [(Firing, 15), (Resolved, 20)]);
    assert!(notices[0].alerts[0].message.contains("has never had a value"), "{notices:?}");
}

#[test]
fn a_deployment_that_falls_silent_while_it_fails_has_not_recovered_unless_it_is_forgotten() {
    let rule = errors().with_no_data(MINUTE * 10);
    let inputs = || [(0, seen(1.0)), (10, AlertInput::Tick), (300, AlertInput::Tick)];
    let (state, _) = play(&rules(vec![rule.clone()], vec![at_once()]), inputs());
    let series = state.firing().next().unwrap();
    assert!(
        matches!(series.threshold, AlertPhase::Firing { .. })
            && matches!(series.no_data, AlertPhase::Firing { .. })
    );
    let forgetting = rules(vec![rule.with_forget(MINUTE * 200)], vec![at_once()]);
    let (_, notices) = play(&forgetting, inputs());
    assert_eq!(told(&notices), [(Firing, 0), (Firing, 10), (Resolved, 300)]);
}

#[test]
fn alerts_that_break_together_are_one_notice_and_repeat_while_they_last() {
    let route = AlertRoute::new("all", ["inbox"]).with_times(MINUTE, MINUTE * 5, MINUTE * 60);
    let rules = rules(vec![errors()], vec![route]);
    let mut inputs = vec![
        (0, labelled("blue", 1.0)),
        (0, labelled("green", 1.0)),
        (1, AlertInput::Tick),
        // One more joins; it is told five minutes after the last notice.
        (2, labelled("red", 1.0)),
        (3, labelled("blue", 0.0)),
        (6, AlertInput::Tick),
    ];
    inputs.extend((7..=130).map(|at| (at, AlertInput::Tick)));
    inputs.extend([(131, labelled("green", 0.0)), (132, labelled("red", 0.0))]);
    let (_, notices) = play(&rules, inputs);
    // At 131 the last notice is five minutes old or more: that one of two ended is told, and then that all is well.
    assert_eq!(
        told(&notices),
        [(Firing, 1), (Firing, 6), (Firing, 66), (Firing, 126), (Firing, 131), (Resolved, 132)]
    );
    let members =
        |notice: &Notice, status| notice.alerts.iter().filter(|alert| alert.status == status).count();
    assert_eq!((members(&notices[0], Firing), members(&notices[0], Resolved)), (2, 0));
    assert_eq!((members(&notices[1], Firing), members(&notices[1], Resolved)), (2, 1));
    let incidents: Vec<_> = notices.iter().map(|notice| (notice.incident, notice.sequence)).collect();
    assert_eq!(incidents, [(1, 1), (1, 2), (1, 3), (1, 4), (1, 5), (1, 6)]);
    let keys: std::collections::BTreeSet<_> = notices.iter().map(|notice| &notice.key).collect();
    assert_eq!(keys.len(), notices.len());
}

#[test]
fn what_is_over_before_its_first_notice_is_told_to_nobody() {
    let route = AlertRoute::new("all", ["inbox"]).with_times(MINUTE * 5, MINUTE, MINUTE * 60);
    let (state, notices) =
        play(&rules(vec![errors()], vec![route]), [(0, seen(1.0)), (1, seen(0.0)), (9, AlertInput::Tick)]);
    assert!(notices.is_empty() && state.groups.is_empty());
}

#[test]
fn routes_take_by_severity_and_label_and_go_on_where_they_say_so() {
    let routes = vec![
        AlertRoute::new("audit", ["file"]).with_continue(),
        AlertRoute::new("pager", ["pager"]).with_min_severity(Severity::Critical),
        AlertRoute::new("blue", ["blue"]).with_label("deployment", "blue").without_resolved(),
        AlertRoute::new("rest", ["inbox"]),
    ];
    let slow = AlertRule::new("slow", "latency").with_above(1.0, 1.0).with_severity(Severity::Critical);
    let rules = rules(vec![errors(), slow], routes);
    let routes_of = |input: AlertInput| -> Vec<String> {
        play(&rules, [(0, input)]).1.into_iter().map(|notice| notice.route).collect()
    };
    assert_eq!(routes_of(labelled("blue", 1.0)), ["audit", "blue"]);
    assert_eq!(routes_of(labelled("green", 1.0)), ["audit", "rest"]);
    assert_eq!(routes_of(AlertInput::value("latency", 2.0)), ["audit", "pager"]);
    let (_, notices) = play(&rules, [(0, labelled("blue", 1.0)), (1, labelled("blue", 0.0))]);
    let ended: Vec<_> = notices.iter().filter(|n| n.status == Resolved).map(|n| n.route.as_str()).collect();
    assert_eq!(ended, ["audit"]);
}

#[test]
fn groups_are_made_by_labels() {
    let by = |names: &[&str]| {
        let route = at_once().with_group_by(names.iter().copied());
        let twin =
            AlertRule::new("twin", "error_rate").with_above(0.5, 0.5).with_severity(Severity::Critical);
        let inputs = [(0, labelled("blue", 1.0)), (0, labelled("green", 1.0))];
        let (state, _) = play(&rules(vec![errors(), twin], vec![route]), inputs);
        state.groups.len()
    };
    assert_eq!(by(&[]), 1);
    assert_eq!(by(&["rule"]), 2);
    assert_eq!(by(&["severity"]), 2);
    assert_eq!(by(&["deployment"]), 2);
    assert_eq!(by(&["deployment", "rule"]), 4);
    assert_eq!(by(&["no-such-label"]), 1);
}

#[test]
fn a_clock_that_goes_back_fires_nothing_twice_and_silences_nothing() {
    let rules = rules(vec![errors().with_for(MINUTE * 5).with_no_data(MINUTE * 15)], vec![at_once()]);
    let inputs = [
        (1_000, seen(1.0)),
        (1_006, seen(1.0)),
        // Put right by a day or so: nothing new is told.
        (0, seen(1.0)),
        (1, seen(1.0)),
        // Four hours from there it is repeated, and not after the day it was ahead.
        (239, seen(1.0)),
        (240, seen(1.0)),
        (241, seen(0.0)),
    ];
    let (_, notices) = play(&rules, inputs);
    assert_eq!(told(&notices), [(Firing, 1_006), (Firing, 240), (Resolved, 241)]);
}

#[test]
fn rules_that_are_gone_end_their_alerts() {
    let before =
        rules(vec![errors(), AlertRule::new("slow", "latency").with_above(1.0, 1.0)], vec![at_once()]);
    let (state, _) = play(&before, [(0, seen(1.0)), (0, AlertInput::value("latency", 2.0))]);
    let after = rules(vec![errors()], vec![at_once()]);
    let (state, notices) = after.step(&state, &AlertInput::Tick, minute(1)).unwrap();
    assert_eq!(told(&notices), [(Resolved, 1)]);
    assert_eq!(notices[0].alerts[0].rule, "slow");
    assert_eq!(state.firing().count(), 1);
}

#[test]
fn inputs_and_states_that_cannot_be_kept_are_refused() {
    let rules = rules(vec![errors()], vec![at_once()]);
    let state = AlertState::default();
    let labels = |labels: BTreeMap<String, String>| AlertInput::Observed {
        signal: "error_rate".into(),
        labels,
        value: Some(0.0),
    };
    for bad in [
        AlertInput::value("", 1.0),
        AlertInput::value("x".repeat(257), 1.0),
        labels([(String::new(), "x".into())].into()),
        labels([("x".into(), "x".repeat(257))].into()),
        labels((0..33).map(|i| (i.to_string(), String::new())).collect()),
    ] {
        assert_eq!(rules.step(&state, &bad, start()).unwrap_err().kind(), ErrorKind::InvalidInput, "{bad:?}");
    }
    let mut other = serde_json::to_value(&state).unwrap();
    other["schema"] = 2.into();
    let other: AlertState = serde_json::from_value(other).unwrap();
    assert_eq!(rules.step(&other, &AlertInput::Tick, start()).unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[test]
fn too_many_series_are_refused_and_the_others_go_on() {
    let rules = rules(vec![errors()], vec![at_once()]);
    let (state, _) = play(&rules, [(0, labelled("0", 0.0))]);
    let mut written = serde_json::to_value(&state).unwrap();
    let one = written["series"].as_object().unwrap().values().next().unwrap().clone();
    let many = (0..AlertState::MAX_SERIES).map(|i| {
        let name = if i == 0 { r#"["errors",{"deployment":"0"}]"#.to_owned() } else { i.to_string() };
        (name, one.clone())
    });
    written["series"] = serde_json::Value::Object(many.collect());
    let full: AlertState = serde_json::from_value(written).unwrap();
    let error = rules.step(&full, &labelled("new", 0.0), minute(1)).unwrap_err();
    assert_eq!((error.kind(), error.context("rule")), (ErrorKind::LimitExceeded, Some("errors")));
    assert_eq!(rules.step(&full, &labelled("0", 1.0), minute(1)).unwrap().1.len(), 1);
}

/// Fails as long as it is told to.
#[derive(Debug, Default)]
struct Moody {
    inbox: MemoryAlertSink,
    broken: std::sync::atomic::AtomicBool,
}

impl Moody {
    fn set_broken(&self, broken: bool) {
        self.broken.store(broken, std::sync::atomic::Ordering::SeqCst);
    }
}

#[async_trait::async_trait]
impl AlertSink for Moody {
    async fn deliver(&self, alert: &Alert) -> mlops_core::Result<AlertReceipt> {
        if self.broken.load(std::sync::atomic::Ordering::SeqCst) {
            return Err(mlops_core::Error::new(ErrorKind::Transport, "AlertSink::deliver", "nobody answers"));
        }
        self.inbox.deliver(alert).await
    }
}

#[tokio::test]
async fn a_sink_that_fails_keeps_its_notices_and_delays_no_other() {
    let (good, bad) = (Arc::new(MemoryAlertSink::default()), Arc::new(Moody::default()));
    let sinks: BTreeMap<String, Arc<dyn AlertSink>> =
        [("good".to_owned(), good.clone() as _), ("bad".to_owned(), bad.clone() as _)].into();
    let route =
        AlertRoute::new("all", ["good", "bad", "unknown"]).with_times(Duration::ZERO, Duration::ZERO, MINUTE);
    let rules = rules(vec![errors()], vec![route]);
    bad.set_broken(true);
    let mut state = AlertState::default();
    for (at, value) in [(0, 1.0), (1, 1.0), (2, 0.0)] {
        (state, _) = rules.step(&state, &seen(value), minute(at)).unwrap();
        let (next, deliveries) = dispatch(&state, &sinks).await;
        state = next;
        let failed = deliveries.iter().filter(|delivery| delivery.outcome.is_err()).count();
        assert_eq!(failed, 2, "each sink that fails is tried once a call: {deliveries:?}");
    }
    assert_eq!(good.alerts().len(), 3);
    assert_eq!(state.undelivered.len(), 3);
    assert_eq!(state.undelivered[0].attempts, 3);
    assert!(
        state.undelivered[0].last_error.as_ref().is_some_and(|error| error.contains("no such sink")),
        "{state:?}"
    );
    bad.set_broken(false);
    let (state, _) = dispatch(&state, &sinks).await;
    assert_eq!(good.alerts(), bad.inbox.alerts(), "in order, each once");
    let waiting: Vec<_> = state.undelivered.iter().flat_map(|waiting| &waiting.waiting).collect();
    assert_eq!(waiting, ["unknown"; 3]);
}

/// A process that is killed after any step or delivery, and goes on from what it had written down.
#[tokio::test]
async fn killed_anywhere_every_notice_arrives_exactly_once() {
    let rules = rules(
        vec![errors().with_for(MINUTE * 2).with_no_data(MINUTE * 7)],
        vec![
            at_once().with_continue(),
            AlertRoute::new("rest", ["other"]).with_times(MINUTE, MINUTE * 3, MINUTE * 10),
        ],
    );
    let inputs: Vec<(u32, AlertInput)> = (0..60)
        .map(|at| match at {
            5..20 => (at, labelled("blue", 1.0)),
            20..25 => (at, labelled("blue", 0.01)),
            25..40 => (at, AlertInput::Tick),
            _ => (at, labelled(if at % 2 == 0 { "blue" } else { "green" }, f64::from(at % 7) / 30.0)),
        })
        .collect();
    let (_, expected) = play(&rules, inputs.clone());
    assert!(expected.len() > 8, "{}", expected.len());
    // Killed before the state is written (the step is done again), before the delivery, and before its outcome is written.
    for killed in 0..3 {
        let sinks = [Arc::new(MemoryAlertSink::default()), Arc::new(MemoryAlertSink::default())];
        let by_name: BTreeMap<String, Arc<dyn AlertSink>> =
            [("inbox".to_owned(), sinks[0].clone() as _), ("other".to_owned(), sinks[1].clone() as _)].into();
        let mut written = AlertState::default();
        for (at, input) in &inputs {
            let (next, _) = rules.step(&written, input, minute(*at)).unwrap();
            if killed == 0 {
                // It came as far as the sinks, and the disk has nothing of it.
                dispatch(&next, &by_name).await;
            }
            let (next, _) = rules.step(&written, input, minute(*at)).unwrap();
            written = next;
            if killed == 1 && at % 3 > 0 {
                continue;
            }
            let (delivered, _) = dispatch(&written, &by_name).await;
            if killed != 2 || at % 3 == 0 {
                written = delivered;
            }
        }
        dispatch(&written, &by_name).await;
        let of = |sink: &str| -> Vec<Alert> {
            expected.iter().filter(|notice| notice.sinks.contains(sink)).map(Notice::to_alert).collect()
        };
        assert_eq!(sinks[0].alerts(), of("inbox"), "killed at {killed}");
        assert_eq!(sinks[1].alerts(), of("other"), "killed at {killed}");
    }
}

const FILE: &str = r#"
name = "diabetes"

[[rules]]
id = "errors"
signal = "error_rate"
labels = { endpoint = "diabetes" }
above = 0.05
recovery = 0.02
for = "5m"
no_data = "15m"
severity = "critical"
summary = "The endpoint fails"

[[rules]]
id = "drift"
signal = "psi"
above = 0.2

[[routes]]
id = "pager"
min_severity = "critical"
sinks = ["pager"]
repeat = "1h"
continue = true

[[routes]]
id = "rest"
group_by = ["endpoint"]
sinks = ["log", "file"]
resolved = false
"#;

#[test]
fn rules_are_read_from_toml_json_and_yaml_alike() {
    let rules = AlertRules::parse(FILE, AlertFormat::Toml).unwrap();
    assert_eq!(rules.rules()[0].for_, MINUTE * 5);
    assert_eq!(rules.rules()[1].severity, Severity::Warning);
    assert_eq!(rules.routes()[0].repeat, MINUTE * 60);
    assert!(rules.routes()[0].continue_ && !rules.routes()[1].resolved);
    let json = serde_json::to_string_pretty(&rules).unwrap();
    assert_eq!(AlertRules::parse(&json, AlertFormat::Json).unwrap(), rules);
    if cfg!(feature = "yaml") {
        // JSON is YAML.
        assert_eq!(AlertRules::parse(&json, AlertFormat::Yaml).unwrap(), rules);
    } else {
        assert_eq!(AlertRules::parse(&json, AlertFormat::Yaml).unwrap_err().kind(), ErrorKind::Unsupported);
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("alerts.json");
    std::fs::write(&path, json).unwrap();
    assert_eq!(AlertRules::read(&path).unwrap(), rules);
    assert_eq!(AlertRules::read(folder.path().join("none")).unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn what_is_wrong_in_a_file_is_named_with_its_place() {
    let line = |text: &str, part: &str| {
        text.lines().enumerate().filter(|(_, line)| line.contains(part)).last().unwrap().0 + 1
    };
    for (from, to, id, field, says) in [
        ("above = 0.05", "above = nan", Some("errors"), "above", "finite"),
        ("above = 0.05", "above = \"0.05\"", Some("errors"), "above", "invalid type"),
        ("recovery = 0.02", "recovery = 0.2", Some("errors"), "recovery", "at most 0.05"),
        ("for = \"5m\"", "for = \"5 minutes\"", Some("errors"), "for", "not a duration"),
        ("for = \"5m\"", "for = \"99999d\"", Some("errors"), "for", "ten years"),
        ("no_data = \"15m\"", "nodata = \"15m\"", Some("errors"), "nodata", "no_data"),
        ("no_data = \"15m\"", "no_data = \"0s\"", Some("errors"), "no_data", "longer than nothing"),
        (
            "no_data = \"15m\"",
            "no_data = \"15m\"\nforget = \"15m\"",
            Some("errors"),
            "forget",
            "longer than `no_data`",
        ),
        ("severity = \"critical\"", "severity = \"fatal\"", Some("errors"), "severity", "unknown value"),
        ("id = \"drift\"", "id = \"errors\"", Some("errors"), "id", "twice"),
        ("id = \"drift\"", "id = \"dr ift\"", Some(r"dr ift"), "id", "letters"),
        ("above = 0.2", "below = 0.2\nabove = 0.1", Some("drift"), "below", "not both"),
        ("above = 0.2", "recovery = 0.2", Some("drift"), "recovery", "needs `above`"),
        ("sinks = [\"pager\"]", "sinks = []", Some("pager"), "sinks", "nobody"),
        ("repeat = \"1h\"", "repeat = \"0s\"", Some("pager"), "repeat", "longer than nothing"),
        ("group_by = [\"endpoint\"]", "labels = { endpoint = \"x\" }", None, "routes", "last route"),
    ] {
        let text = FILE.replacen(from, to, 1);
        let error = AlertRules::parse(&text, AlertFormat::Toml).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{to}: {error}");
        assert!(error.message().contains(says), "{to}: {error}");
        assert_eq!(error.context("field").map(|found| found.ends_with(field)), Some(true), "{to}: {error}");
        if error.context("id").is_some() || !matches!(field, "sinks" | "repeat") {
            assert_eq!(error.context("id"), id, "{to}: {error}");
        }
        if id.is_some() && !to.contains('\n') {
            assert_eq!(error.context("line"), Some(&*line(&text, to).to_string()), "{to}: {error}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// However it is looked at, what fires was bad, and every incident that was told ends with one notice that says so.
    #[test]
    fn every_incident_that_was_told_is_told_to_have_ended(
        steps in prop::collection::vec((0u32..3, 0u32..20, 0u32..4), 1..80),
    ) {
        let route = AlertRoute::new("all", ["inbox"]).with_times(MINUTE, MINUTE * 2, MINUTE * 15);
        let rules = rules(vec![errors().with_for(MINUTE * 3).with_no_data(MINUTE * 8)], vec![route]);
        let mut now = 0;
        let mut inputs = Vec::new();
        for (deployment, value, wait) in steps {
            now += wait;
            inputs.push((now, match value {
                19 => AlertInput::Tick,
                _ => labelled(&deployment.to_string(), f64::from(value) / 200.0),
            }));
        }
        // In the end all is well, and there is time to say so.
        let end = |state: &AlertState| state.series.values().filter_map(|s| s.labels.get("deployment").cloned()).collect::<Vec<_>>();
        let (state, _) = play(&rules, inputs.clone());
        inputs.extend(end(&state).into_iter().map(|deployment| (now + 1, labelled(&deployment, 0.0))));
        if state.series.values().all(|series| series.awaited) {
            inputs.push((now + 1, labelled("0", 0.0)));
        }
        let (state, notices) = play(&rules, inputs);
        prop_assert!(state.groups.is_empty(), "{:?}", state.groups);
        let mut open = BTreeMap::new();
        for notice in &notices {
            let told = open.entry(notice.incident).or_insert_with(Vec::new);
            prop_assert!(told.last() != Some(&Resolved), "nothing follows the end");
            prop_assert_eq!(notice.sequence, told.len() as u64 + 1);
            told.push(notice.status);
        }
        for told in open.values() {
            prop_assert_eq!(told.last(), Some(&Resolved));
        }
    }
}
