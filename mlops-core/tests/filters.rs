//! The language of filters, held against MLflow's own answers and against itself.
//!
//! `reference/make_filters.py` asked two versions of MLflow what they make of filters and orders, and which runs they find;
//! what is answered differently here on purpose is listed below with its reason.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{DateTime, TimeDelta};
use mlops_core::experiment::{
    Comparison, DataInput, ExperimentSpec, ExperimentTracker, Filter, InputMatch, LogBatch, Match,
    MetricPoint, MetricStat, MetricSummary, MlflowDialect, OrderBy, Run, RunEnd, RunQuery, RunSpec,
    RunStatus,
};
use mlops_core::hash::Digest;
use mlops_core::memory::MemoryTracker;
use mlops_core::time::Timestamp;
use mlops_core::{
    ActorId, AssetName, ErrorKind, ExperimentName, MetricKey, ParamKey, RunId, TagKey, Version,
};
use proptest::prelude::*;
use serde_json::Value;

const REFERENCES: [&str; 2] = [
    include_str!("reference/filters_mlflow_2.22.5.json"),
    include_str!("reference/filters_mlflow_3.17.2.json"),
];

/// What MLflow accepts and we refuse, with the reason.
const REFUSED: [(&str, &str); 18] = [
    ("metrics. > 1", "no key"),
    ("metrics. a = 1", "no metric's key begins with a space"),
    ("params.\"\" = 'x'", "no key"),
    ("params.`` = 'x'", "no key"),
    ("params.`a\"b` = 'x'", "no parameter's key has a quote"),
    ("params.a.`b c` = 'x'", "no parameter's key has a back-tick"),
    ("params.a = 'it\\'s'", "a backslash is no escape"),
    ("run_id IN ('x' 'y')", "a comma is missing; MLflow 3 reads `xy`"),
    ("status = 'finished'", "no run has this status"),
    ("status = 'BOGUS'", "no run has this status"),
    ("artifact_uri = 'x'", "a run has no one place for its artifacts"),
    ("metrics.a > 1 AND", "a comparison is missing"),
    ("AND metrics.a > 1", "a comparison is missing"),
    ("metrics.a > 1 AND AND metrics.b > 1", "a comparison is missing"),
    ("metrics.a > 1 metrics.b > 1", "AND is missing"),
    // Orders.
    ("metrics.", "no key"),
    ("tags.mlflow.parentRunId = 'x'", "no run has this id"),
    ("tags.mlflow.parentRunId LIKE 'a%'", "a parent is one run, not a text"),
];

/// What both accept and read differently: a doubled quote is one quote here and two in MLflow.
const READ_DIFFERENTLY: [&str; 2] = ["params.a = 'it''s'", "params.a = \"a\"\"b\""];

/// What MLflow 3.17.2 refuses and we accept.
const EXTENSIONS: [&str; 38] = [
    "metrics.a > +1",
    "metrics.a > -1.5e+3",
    "metrics.a > inf",
    "metrics.a > nan",
    "metrics.a <> 1",
    "metrics.a == 1",
    "\"metrics\".a = 1",
    "metrics.a/b = 1",
    "metrics.a-b = 1",
    "metrics.val:loss = 1",
    "metrics.123 > 1",
    "params.a = 'C:\\' AND params.b = 'x'",
    "params.a<>'x'",
    "params.a NOT LIKE 'x'",
    "params.a IN ('x')",
    "params.a IS  NOT   NULL",
    "params.-a = 'x'",
    "params.in = 'x'",
    "tags.a:b = 'x'",
    "tags.a/b/c = 'x'",
    "metrics.a IS NULL",
    "end_time IS NULL",
    "run_id IN ()",
    "run_name IN ('a')",
    "status IN ('FINISHED')",
    "metrics.a > 1 OR metrics.b > 1",
    "NOT metrics.a > 1",
    "(metrics.a > 1)",
    "(metrics.a > 1 AND metrics.b > 2)",
    "  ",
    // MLflow 2 alone.
    "params.a IS NULL",
    "params.a is null",
    "params.a IS  NULL",
    "params.a IS NOT NULL",
    "params.a is not null",
    "tags.a IS NULL",
    "run_id IN ('x', \"y\")",
    "run_id IN ('x',)",
];

fn references() -> Vec<Value> {
    REFERENCES.iter().map(|text| serde_json::from_str(text).unwrap()).collect()
}

fn list<'v>(value: &'v Value, key: &str) -> &'v [Value] {
    value[key].as_array().unwrap()
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value[key].as_str().unwrap_or_else(|| panic!("{key} in {value}"))
}

fn names(value: &Value) -> Vec<String> {
    list(value, "runs").iter().map(|name| name.as_str().unwrap().to_owned()).collect()
}

fn is_listed(list: &[(&str, &str)], text: &str) -> bool {
    list.iter().any(|(listed, _)| *listed == text)
}

fn not(filter: Filter) -> Filter {
    Filter::Not(Box::new(filter))
}

fn compared(sign: &str) -> Comparison {
    match sign {
        "<" => Comparison::Less,
        "<=" => Comparison::AtMost,
        "=" => Comparison::Equal,
        "!=" => Comparison::NotEqual,
        ">=" => Comparison::AtLeast,
        ">" => Comparison::Greater,
        other => panic!("{other}"),
    }
}

/// What MLflow's parser says of a value, as a match.
fn matched(sign: &str, value: &Value) -> Match {
    let one = || value.as_str().unwrap().to_owned();
    let many = || value.as_array().unwrap().iter().map(|v| v.as_str().unwrap().to_owned()).collect();
    match sign.to_uppercase().as_str() {
        "=" => Match::Equals(one()),
        "!=" => Match::NotIn(vec![one()]),
        "LIKE" => Match::Like(one()),
        "ILIKE" => Match::ILike(one()),
        "IN" => Match::In(many()),
        "NOT IN" => Match::NotIn(many()),
        other => panic!("{other}"),
    }
}

fn millis(value: &Value) -> Timestamp {
    let number = value.as_f64().unwrap_or_else(|| value.as_str().unwrap().parse().unwrap());
    if number > 1e20 {
        return Timestamp::MAX_UTC;
    }
    DateTime::UNIX_EPOCH + TimeDelta::microseconds((number * 1000.0) as i64)
}

/// One comparison as MLflow's parser reads it, as the filter that means the same.
fn meant(clause: &Value) -> Filter {
    let [kind, key, sign, value] = clause.as_array().unwrap().as_slice() else { panic!("{clause}") };
    let (kind, key, sign) = (kind.as_str().unwrap(), key.as_str().unwrap(), sign.as_str().unwrap());
    let null = |has: Filter| if sign == "IS NULL" { not(has) } else { has };
    match (kind, key) {
        ("metric", key) => Filter::Metric {
            key: MetricKey::new(key).unwrap(),
            comparison: compared(sign),
            value: value.as_str().unwrap().parse().unwrap(),
        },
        ("parameter", key) if value.is_null() => null(Filter::HasParam(ParamKey::new(key).unwrap())),
        ("tag", key) if value.is_null() => null(Filter::HasTag(TagKey::new(key).unwrap())),
        ("parameter", key) => Filter::Param(ParamKey::new(key).unwrap(), matched(sign, value)),
        ("tag", key) => Filter::Tag(TagKey::new(key).unwrap(), matched(sign, value)),
        ("dataset", "name") => Filter::AnyInput(InputMatch::default().with_asset(matched(sign, value))),
        ("dataset", "digest") => Filter::AnyInput(InputMatch::default().with_digest(matched(sign, value))),
        ("dataset", "context") => Filter::AnyInput(InputMatch::default().with_role(matched(sign, value))),
        ("attribute", "run_id") => Filter::Id(matched(sign, value)),
        ("attribute", "run_name" | "run name" | "Run name") => Filter::Name(matched(sign, value)),
        ("attribute", "user_id") => Filter::Actor(matched(sign, value)),
        ("attribute", "status") => {
            let wanted = matched(sign, value);
            let name = |status: &RunStatus| format!("{status:?}").to_uppercase();
            Filter::Status(RunStatus::ALL.into_iter().filter(|s| wanted.holds(&name(s))).collect())
        }
        ("attribute", "start_time" | "created" | "Created") => Filter::Started(compared(sign), millis(value)),
        ("attribute", "end_time") => Filter::Ended(compared(sign), millis(value)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_mlflow_reads_is_read_the_same() {
    for reference in references() {
        for case in list(&reference, "grammar") {
            let text = text(case, "text");
            if case["accepted"] == false {
                let accepted = Filter::parse(text).is_ok();
                assert_eq!(accepted, EXTENSIONS.contains(&text), "{text:?}: {:?}", Filter::parse(text));
                continue;
            }
            if is_listed(&REFUSED, text) {
                assert_eq!(Filter::parse(text).unwrap_err().kind(), ErrorKind::InvalidInput, "{text:?}");
                continue;
            }
            let mut parts: Vec<Filter> = list(case, "parsed").iter().map(meant).collect();
            let expected = if parts.len() == 1 { parts.remove(0) } else { Filter::And(parts) };
            let parsed = Filter::parse(text).unwrap();
            assert_eq!(
                parsed == expected,
                !READ_DIFFERENTLY.contains(&text),
                "{text:?}: {parsed:?} is not {expected:?}"
            );
        }
    }
}

/// The runs of a reference, in a tracker.
async fn tracker(reference: &Value) -> MemoryTracker {
    let tracker = MemoryTracker::default();
    let experiment = ExperimentName::new("reference").unwrap();
    tracker.ensure_experiment(&ExperimentSpec::new(experiment.clone())).await.unwrap();
    let runs = list(reference, "runs");
    for run in runs {
        let actor = ActorId::new(text(run, "user")).unwrap();
        let mut spec = RunSpec::new(experiment.clone(), text(run, "name"), actor);
        spec.id = RunId::new(text(run, "id")).unwrap();
        spec.started_at = Some(millis(&run["start"]));
        spec.parent = run["parent"].as_u64().map(|i| RunId::new(text(&runs[i as usize], "id")).unwrap());
        tracker.start_run(&spec).await.unwrap();
        tracker.write(&spec.id, &batch(run)).await.unwrap();
        let status = RunStatus::ALL.into_iter().find(|s| s.as_str().to_uppercase() == text(run, "status"));
        let end = RunEnd::new(status.unwrap()).with_at((!run["end"].is_null()).then(|| millis(&run["end"])));
        if end.status.is_final() {
            tracker.finish_run(&spec.id, &end).await.unwrap();
        }
    }
    tracker
}

fn batch(run: &Value) -> LogBatch {
    let mut batch = LogBatch::new();
    for (key, value) in run["metrics"].as_object().unwrap() {
        let value = value.as_f64().unwrap_or(f64::NAN);
        batch = batch.metric(MetricPoint::new(MetricKey::new(key).unwrap(), value, DateTime::UNIX_EPOCH));
    }
    for (key, value) in run["params"].as_object().unwrap() {
        batch = batch.param(ParamKey::new(key).unwrap(), value.as_str().unwrap());
    }
    for (key, value) in run["tags"].as_object().unwrap() {
        batch = batch.tag(TagKey::new(key).unwrap(), value.as_str().unwrap());
    }
    for input in list(run, "inputs") {
        batch = batch.input(DataInput::new(
            AssetName::new(input[0].as_str().unwrap()).unwrap(),
            Version::FIRST,
            format!("sha256:{}", input[1].as_str().unwrap().repeat(2)).parse().unwrap(),
            input[2].as_str().unwrap().to_owned(),
        ));
    }
    batch
}

async fn found(tracker: &MemoryTracker, query: RunQuery) -> Vec<String> {
    tracker.search_runs(&query).await.unwrap().items.into_iter().map(|run| run.name).collect()
}

async fn matching(tracker: &MemoryTracker, filter: Filter) -> BTreeSet<String> {
    found(tracker, RunQuery::everywhere().with_filter(filter)).await.into_iter().collect()
}

/// Where MLflow 2 answers wrongly: it keeps NaN as 0, and drops from a list what has a capital letter.
fn is_wrong_in_mlflow_2(text: &str) -> bool {
    let zero = [
        "metrics.loss >= 0",
        "metrics.loss <= 0",
        "metrics.loss = 0",
        "metrics.loss != 0",
        "metrics.loss = -0.0",
    ];
    let nan_as_zero =
        ["metrics.loss < 1e299", "metrics.loss > -1e400", "metrics.`loss` <= -0.0", "metrics.`loss` < 1e299"];
    zero.contains(&text) || nan_as_zero.contains(&text) || text == "dataset.name IN ('Patients')"
}

#[tokio::test]
async fn the_runs_that_mlflow_finds_are_found() {
    for reference in references() {
        let tracker = tracker(&reference).await;
        let old = text(&reference["tools"], "mlflow").starts_with('2');
        let mut compared = 0;
        for case in list(&reference, "searches").iter().filter(|case| case["accepted"] == true) {
            let text = text(case, "text");
            let expected: BTreeSet<String> = names(case).into_iter().collect();
            let got = matching(&tracker, Filter::parse(text).unwrap()).await;
            assert_eq!(
                got == expected,
                !(old && is_wrong_in_mlflow_2(text)),
                "{text}: {got:?} is not {expected:?}"
            );
            compared += 1;
        }
        assert!(compared > 120, "{compared}");
    }
}

#[tokio::test]
async fn the_order_is_the_one_of_mlflow() {
    // Runs without the field, or with NaN in it, come last in both; MLflow has NaN before the rest of them.
    let last = |name: &String| ["not a number", "bare", "größe"].contains(&name.as_str());
    for reference in references() {
        let tracker = tracker(&reference).await;
        for case in list(&reference, "orders") {
            let text = text(case, "text");
            let extension = ["duration", "`Run name`"].contains(&text);
            if case["accepted"] == false || is_listed(&REFUSED, text) {
                assert_eq!(OrderBy::parse(text).is_ok(), extension, "{text:?}");
                continue;
            }
            let order = OrderBy::parse(text).unwrap();
            let mut got = found(&tracker, RunQuery::everywhere().with_order(order)).await;
            let mut expected = names(case);
            if text.starts_with("metrics.loss") {
                assert_eq!(got.split_off(9).iter().filter(|n| last(n)).count(), 3);
                assert_eq!(expected.split_off(9).iter().filter(|n| last(n)).count(), 3);
            }
            assert_eq!(got, expected, "{text}");
        }
    }
}

/// Filters, and what of them is sent to MLflow 3, if anything, and whether that is all.
const SPLITS: [(&str, Option<&str>, bool); 28] = [
    ("", None, true),
    ("params.depth NOT IN ('6', '06')", Some("params.`depth` != '6' AND params.`depth` != '06'"), true),
    ("tags.team STARTS WITH 'a'", Some("tags.`team` LIKE 'a%'"), true),
    ("tags.team STARTS WITH 'a_'", None, false),
    ("tags.team IS NOT NULL", Some("tags.`team` IS NOT NULL"), true),
    ("tags.team IS NULL", Some("tags.`team` IS NULL"), true),
    ("params.depth = \"it's\"", Some("params.`depth` = \"it's\""), true),
    ("tags.team = 'say \"hi\"'", Some("tags.`team` = 'say \"hi\"'"), true),
    ("tags.team = 'both '' and \"'", None, false),
    ("tags.team = 'C:\\'", None, false),
    ("tags.team LIKE 'a\\_b'", None, false),
    // A server cuts long texts: what is at the end, or anywhere, may be gone.
    ("tags.team CONTAINS 'is'", None, false),
    ("tags.team LIKE '%is%'", None, false),
    ("params.`a/b-c:d e` = 'x'", Some("params.`a/b-c:d e` = 'x'"), true),
    ("metrics.`a/b-c:d e` >= 1", Some("metrics.`a/b-c:d e` >= 1.0"), true),
    ("metrics.loss != 0.5", Some("metrics.`loss` != 0.5"), true),
    ("metrics.loss != 0", None, false),
    ("metrics.loss <= -0.0", Some("metrics.`loss` <= -0.0"), false),
    ("metrics.loss < inf", None, false),
    ("status IN ('FINISHED', 'KILLED', 'SCHEDULED', 'FAILED')", Some("attributes.status != 'RUNNING'"), true),
    (
        "NOT (status = 'RUNNING' OR tags.team IS NOT NULL)",
        Some("attributes.status != 'RUNNING' AND tags.`team` IS NULL"),
        true,
    ),
    ("run_id IN ('x', 'y')", Some("attributes.run_id IN ('x','y')"), true),
    ("dataset.name IN ('Patients')", None, false),
    ("start_time >= 9000", Some("attributes.start_time >= 9000"), true),
    ("start_time > 9000", Some("attributes.start_time >= 9000"), false),
    ("end_time <= 3000.5", Some("attributes.end_time <= 3000"), false),
    (
        "dataset(name = 'patients' AND context = 'test' AND version = 1)",
        Some("dataset.name = 'patients' AND dataset.context = 'test'"),
        false,
    ),
    (
        "user_id = \"o'brien\" AND (metrics.a > 1 OR duration < '5m') AND parent_run_id IS NULL",
        Some("attributes.user_id = \"o'brien\""),
        false,
    ),
];

#[test]
fn what_a_server_can_answer_is_sent() {
    for (text, sent, exact) in SPLITS {
        let split = Filter::parse(text).unwrap().split_for_mlflow(MlflowDialect::V3);
        assert_eq!((split.text.as_deref(), split.exact), (sent, exact), "{text}");
    }
    let whole = MlflowDialect::V3.with_whole_texts(true);
    let split = Filter::parse("tags.team CONTAINS 'is'").unwrap().split_for_mlflow(whole);
    assert_eq!((split.text.as_deref(), split.exact), (Some("tags.`team` LIKE '%is%'"), true));
    let split = Filter::parse("tags.team IS NOT NULL").unwrap().split_for_mlflow(MlflowDialect::V2);
    assert_eq!((split.text.as_deref(), split.exact), (Some("tags.`team` LIKE '%'"), true));
    let split = Filter::parse("tags.team IS NULL").unwrap().split_for_mlflow(MlflowDialect::V2);
    assert_eq!((split.text, split.exact), (None, false));
}

#[test]
fn what_is_sent_stays_short() {
    let ids: Vec<String> = (0..2_000).map(|_| RunId::generate().to_string()).collect();
    let many = (0..500)
        .map(|i| Filter::Param(ParamKey::new(format!("k{i}")).unwrap(), Match::Equals(String::new())));
    for filter in [Filter::Id(Match::In(ids)), Filter::And(many.collect())] {
        let split = filter.split_for_mlflow(MlflowDialect::V3);
        assert!(!split.exact && split.text.unwrap_or_default().len() <= 8_192);
    }
}

/// Every filter of the reference, sent as it would be, finds on that server all runs that match, and no other if it says so.
#[tokio::test]
async fn what_is_sent_finds_all_that_matches() {
    for (reference, dialect) in references().into_iter().zip([MlflowDialect::V2, MlflowDialect::V3]) {
        let tracker = tracker(&reference).await;
        let searches = list(&reference, "searches");
        let accepted = searches.iter().filter(|case| case["accepted"] == true);
        let answers: Vec<(Filter, BTreeSet<String>)> = accepted
            .map(|case| (Filter::parse(text(case, "text")).unwrap(), names(case).into_iter().collect()))
            .collect();
        let mut sent = 0;
        for dialect in [dialect, dialect.with_whole_texts(true)] {
            for case in searches {
                let filter = Filter::parse(text(case, "text")).unwrap();
                let split = filter.split_for_mlflow(dialect);
                let Some(server) = split.text else { continue };
                // The server's answer to the same filter in other words, where it was asked.
                let server_filter = Filter::parse(&server).unwrap();
                let Some((_, answer)) = answers.iter().find(|(asked, _)| *asked == server_filter) else {
                    continue;
                };
                let matching = matching(&tracker, filter).await;
                assert!(answer.is_superset(&matching), "{case}: {server} does not find all");
                assert!(!split.exact || *answer == matching, "{case}: {server} is not exact");
                sent += 1;
            }
        }
        assert!(sent > 150, "{sent}");
    }
}

#[test]
fn errors_say_where_and_what() {
    for (text, position, words) in [
        ("metrics.auc >= '0.9'", 15, "a number without quotes"),
        ("params.depth = 6", 15, "a text in quotes"),
        ("params.größe = 6", 15, "a text in quotes"),
        ("metrics.a > 1 metrics.b > 1", 14, "AND, OR or the end"),
        ("metrics.a > 1 AND", 17, "a field"),
        ("(metrics.a > 1", 14, "closing parenthesis"),
        ("metrics.a > 1)", 13, "AND, OR or the end"),
        ("params.a = 'x", 11, "a closing quote"),
        ("parms.depth = '6'", 0, "did you mean `params`?"),
        ("Metrics.a = 1", 0, "did you mean `metrics`?"),
        ("attributes.start_tme > 1", 11, "did you mean `start_time`?"),
        ("nonsense = 1", 0, "known are"),
        ("dataset.nam = 'x'", 8, "did you mean `name`?"),
        ("metrics = 1", 0, "a key after `metrics.`"),
        ("metrics.a ~ 1", 10, "an operator"),
        ("metrics.a LIKE 'x'", 15, "a metric is a number"),
        ("params.a > 'x'", 11, "not compared by size"),
        ("status = 'DONE'", 7, "FINISHED"),
        ("params.`a@b` = 'x'", 7, "position 1"),
        ("run_id IN ('a' 'b')", 15, "a comma"),
        ("run_id IS NULL", 14, "always there"),
        ("dataset.name NOT LIKE 'x'", 22, "put NOT before"),
        ("dataset.digest = 'sha256:ab'", 17, "without `sha256:`"),
        ("dataset(name = 'a' AND name = 'b')", 23, "twice"),
        ("parent_run_id = 'x'", 16, "32 lower-case"),
        ("start_time > 0.0000001", 13, "nanosecond"),
        ("duration < -1", 11, "'90s'"),
        ("count(params.a) > 1", 6, "a metric"),
        ("a='x' OR 1=1", 0, "unknown field `a`"),
    ] {
        let error = Filter::parse(text).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{text}: {error}");
        assert_eq!(error.context("position"), Some(position.to_string().as_str()), "{text}: {error}");
        assert!(error.to_string().contains(words), "{text}: {error}");
        assert_eq!(error.context("field"), Some("filter"));
    }
}

#[test]
fn hostile_texts_are_refused_without_effort() {
    const MEGABYTE: usize = Filter::MAX_LENGTH;
    let fill = |piece: &str| piece.repeat(MEGABYTE / piece.len());
    for (text, kind) in [
        ("(".repeat(100_000), ErrorKind::LimitExceeded),
        ("NOT ".repeat(100_000), ErrorKind::LimitExceeded),
        ("ALL(".repeat(100_000), ErrorKind::LimitExceeded),
        (fill("("), ErrorKind::LimitExceeded),
        ("x".repeat(MEGABYTE + 1), ErrorKind::LimitExceeded),
        (fill("'"), ErrorKind::InvalidInput),
        (fill("`"), ErrorKind::InvalidInput),
        (fill("x"), ErrorKind::InvalidInput),
        (fill(" "), ErrorKind::Internal),
        (fill("\u{202e}"), ErrorKind::InvalidInput),
        (format!("params.a = '{}", "''".repeat(400_000)), ErrorKind::InvalidInput),
        (format!("params.a = '{}", "x".repeat(1_000_000)), ErrorKind::InvalidInput),
        (format!("params.{} = 'x'", "k".repeat(1_000_000)), ErrorKind::InvalidInput),
        (format!("metrics.a > {}", "9".repeat(1_000_000)), ErrorKind::InvalidInput),
        (format!("start_time > {}", "9".repeat(1_000_000)), ErrorKind::InvalidInput),
        (format!("start_time > 0.{}1", "0".repeat(1_000_000)), ErrorKind::InvalidInput),
        (fill("metrics.a>1 AND "), ErrorKind::LimitExceeded),
        (fill("TRUE OR "), ErrorKind::LimitExceeded),
        (format!("run_id IN ({})", "'x',".repeat(200_000)), ErrorKind::LimitExceeded),
        (format!("run_id IN ({}", "'x',".repeat(1_000)), ErrorKind::InvalidInput),
        ("metrics.a > 1; DROP TABLE runs --".to_owned(), ErrorKind::InvalidInput),
        ("(a+)+$".to_owned(), ErrorKind::InvalidInput),
        ("params.a = 'x\0".to_owned(), ErrorKind::InvalidInput),
    ] {
        let shown: String = text.chars().take(20).collect();
        match Filter::parse(&text) {
            Ok(filter) => assert_eq!((filter, kind), (Filter::And(vec![]), ErrorKind::Internal), "{shown}"),
            Err(error) => {
                assert_eq!(error.kind(), kind, "{shown}: {error}");
                assert!(!error.to_string().contains(['\u{202e}', '\0']), "{error:?}");
                assert!(error.to_string().len() < 600, "{error}");
            }
        }
        assert!(OrderBy::parse(&text).is_err());
    }
}

#[test]
fn brackets_that_mean_nothing_do_not_deepen_a_filter() {
    let wrapped = format!("{}metrics.a > 1{}", "(".repeat(100), ")".repeat(100));
    assert_eq!(Filter::parse(&wrapped).unwrap(), Filter::parse("metrics.a > 1").unwrap());
    let deepest = (1..Filter::MAX_DEPTH).fold(Filter::And(vec![]), |f, _| not(f));
    assert_eq!(Filter::parse(&deepest.to_string()).unwrap(), deepest);
    let error = Filter::parse(&not(deepest).to_string()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LimitExceeded);
}

#[test]
fn filters_that_say_too_much_are_refused() {
    let all = |n: usize| Filter::And(vec![Filter::Not(Box::new(Filter::Or(vec![]))); n]);
    let ids = |n: usize| Filter::Id(Match::NotIn(vec![String::new(); n]));
    let like = |n: usize| Filter::AnyInput(InputMatch::default().with_role(Match::ILike("é".repeat(n))));
    for (filter, limit) in [
        (&all as &dyn Fn(usize) -> Filter, Filter::MAX_COMPARISONS),
        (&ids, Filter::MAX_TEXTS),
        (&like, Match::MAX_PATTERN),
    ] {
        assert!(RunQuery::everywhere().with_filter(filter(limit)).check().is_ok());
        assert_eq!(Filter::parse(&filter(limit).to_string()).unwrap(), filter(limit));
        let error = RunQuery::everywhere().with_filter(filter(limit + 1)).check().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::LimitExceeded);
        assert_eq!(error.context("limit"), Some(limit.to_string().as_str()));
    }
}

#[test]
fn stored_filters_keep_their_shape() {
    for (text, json) in [
        ("params.a = 'x'", r#"{"param":["a",{"equals":"x"}]}"#),
        ("params.a != 'x'", r#"{"param":["a",{"not_in":["x"]}]}"#),
        ("tags.a ILIKE 'x%'", r#"{"tag":["a",{"ilike":"x%"}]}"#),
        ("metrics.a > inf", r#"{"metric":{"key":"a","comparison":"greater","value":"Infinity"}}"#),
        (
            "max(metrics.a) <= 1",
            r#"{"metric_stat":{"key":"a","stat":"max","comparison":"at_most","value":1.0}}"#,
        ),
        ("end_time IS NULL", r#"{"not":"has_ended"}"#),
        ("duration < '1500ms'", r#"{"took":["less",{"secs":1,"nanos":500000000}]}"#),
        (
            "dataset(name = 'a' AND version = 2)",
            r#"{"any_input":{"asset":{"equals":"a"},"version":2,"digest":null,"role":null}}"#,
        ),
    ] {
        let filter = Filter::parse(text).unwrap();
        assert_eq!(serde_json::to_string(&filter).unwrap(), json);
        assert_eq!(serde_json::from_str::<Filter>(json).unwrap(), filter);
    }
}

#[test]
fn words_bind_as_in_sql() {
    for (text, same) in [
        ("TRUE OR FALSE AND FALSE", "TRUE OR (FALSE AND FALSE)"),
        ("NOT TRUE AND FALSE", "(NOT TRUE) AND FALSE"),
        ("not true or not false", "(NOT TRUE) OR (NOT FALSE)"),
        ("tags.a NOT IN ('x') AND TRUE", "(tags.a NOT IN ('x')) AND TRUE"),
        ("tags.a NOT LIKE 'x'", "tags.a IS NOT NULL AND NOT tags.a LIKE 'x'"),
        ("run_name NOT LIKE 'x'", "NOT run_name LIKE 'x'"),
        ("start_time >= '2026-01-01T00:00:00Z'", "start_time >= 1767225600000"),
        ("duration < '90s'", "duration < 90000"),
        ("status NOT IN ('RUNNING', 'SCHEDULED')", "status IN ('FINISHED', 'FAILED', 'KILLED')"),
        ("tags.`mlflow.runName` = 'x'", "run_name = 'x'"),
        ("tags.mlflow.user = 'x'", "user_id = 'x'"),
    ] {
        assert_eq!(Filter::parse(text).unwrap(), Filter::parse(same).unwrap(), "{text}");
    }
    // A key in single quotes is the tag of that name.
    let tag = Filter::Tag(TagKey::new("mlflow.runName").unwrap(), Match::Equals("x".to_owned()));
    assert_eq!(Filter::parse("tags.'mlflow.runName' = 'x'").unwrap(), tag);
}

/// Texts that meet each other often, and those that quoting may trip over.
fn words() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[abAB_%]{0,3}",
        1 => prop::sample::select(vec!["it's", "\"", "'\"", "''", "\\", "a\\", "%\\%", "é", "É", "AND", "(", "a\0b", "\n", "`"])
            .prop_map(str::to_owned),
        1 => any::<String>(),
    ]
}

fn matches() -> impl Strategy<Value = Match> {
    prop_oneof![
        words().prop_map(Match::Equals),
        words().prop_map(Match::Contains),
        words().prop_map(Match::StartsWith),
        words().prop_map(Match::Like),
        words().prop_map(Match::ILike),
        prop::collection::vec(words(), 0..3).prop_map(Match::In),
        prop::collection::vec(words(), 0..3).prop_map(Match::NotIn),
    ]
}

fn comparisons() -> impl Strategy<Value = Comparison> {
    prop::sample::select(vec![
        Comparison::Less,
        Comparison::AtMost,
        Comparison::Equal,
        Comparison::NotEqual,
        Comparison::AtLeast,
        Comparison::Greater,
    ])
}

fn keys() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "a",
        "b",
        "in",
        "1",
        "mlflow.runName",
        "mlflow.parentRunId",
        "größe",
        "a/b-c:d e",
    ])
}

fn values() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => prop::sample::select(vec![0.0, -0.0, 1.0, -1.0, 0.5, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, f64::NAN]),
        1 => any::<f64>(),
    ]
}

/// Around the same second, to the nanosecond.
fn times() -> impl Strategy<Value = Timestamp> {
    prop_oneof![
        4 => (0_i64..4, prop::sample::select(vec![0_i64, 1, 1_000, 999_999]))
            .prop_map(|(ms, ns)| DateTime::UNIX_EPOCH + TimeDelta::milliseconds(ms) + TimeDelta::nanoseconds(ns)),
        1 => (-8_000_000_000_000_i64..8_000_000_000_000, 0_u32..1_000_000_000)
            .prop_map(|(s, ns)| DateTime::from_timestamp(s, ns).unwrap()),
    ]
}

fn ids() -> impl Strategy<Value = RunId> {
    (0_u128..3).prop_map(|i| RunId::new(format!("{i:032x}")).unwrap())
}

fn assets() -> impl Strategy<Value = AssetName> {
    prop::sample::select(vec!["a", "B", "b-2"]).prop_map(|name| AssetName::new(name).unwrap())
}

fn inputs() -> impl Strategy<Value = InputMatch> {
    let text = || prop::option::of(matches());
    (text(), text(), text(), prop::option::of(1_u64..3)).prop_map(|(asset, digest, role, version)| {
        let mut input = InputMatch::default();
        (input.asset, input.digest, input.role) = (asset, digest, role);
        input.version = version.and_then(Version::new);
        input
    })
}

fn leaves() -> impl Strategy<Value = Filter> {
    let metric = |key| MetricKey::new(key).unwrap();
    let param = |key| ParamKey::new(key).unwrap();
    let tag = |key| TagKey::new(key).unwrap();
    let stats = prop::sample::select(vec![MetricStat::Min, MetricStat::Max, MetricStat::Count]);
    prop_oneof![
        (keys(), comparisons(), values()).prop_map(move |(key, comparison, value)| Filter::Metric {
            key: metric(key),
            comparison,
            value
        }),
        (keys(), stats, comparisons(), values()).prop_map(move |(key, stat, comparison, value)| {
            Filter::MetricStat { key: metric(key), stat, comparison, value }
        }),
        (keys(), matches()).prop_map(move |(key, text)| Filter::Param(param(key), text)),
        (keys(), matches()).prop_map(move |(key, text)| Filter::Tag(tag(key), text)),
        matches().prop_map(Filter::Name),
        matches().prop_map(Filter::Actor),
        matches().prop_map(Filter::Id),
        prop::collection::vec(prop::sample::select(RunStatus::ALL.to_vec()), 0..4).prop_map(Filter::Status),
        (comparisons(), times()).prop_map(|(c, at)| Filter::Started(c, at)),
        (comparisons(), times()).prop_map(|(c, at)| Filter::Ended(c, at)),
        (comparisons(), prop_oneof![0_u64..5_000_000, any::<u64>()])
            .prop_map(|(c, nanos)| Filter::Took(c, Duration::from_nanos(nanos))),
        ids().prop_map(Filter::Parent),
        assets().prop_map(Filter::Input),
        keys().prop_map(move |key| Filter::HasMetric(metric(key))),
        keys().prop_map(move |key| Filter::HasParam(param(key))),
        keys().prop_map(move |key| Filter::HasTag(tag(key))),
        Just(Filter::HasParent),
        Just(Filter::HasEnded),
        inputs().prop_map(Filter::AnyInput),
    ]
}

fn filters() -> impl Strategy<Value = Filter> {
    leaves().prop_recursive(5, 24, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Filter::And),
            prop::collection::vec(inner.clone(), 0..4).prop_map(Filter::Or),
            inner.prop_map(not),
        ]
    })
}

prop_compose! {
    fn runs()(
        (name, actor) in (words(), prop::sample::select(vec!["a", "A", "it's"])),
        parent in prop::option::of(ids()),
        status in prop::sample::select(RunStatus::ALL.to_vec()),
        started_at in times(),
        ended_at in prop::option::of(times()),
        metrics in prop::collection::btree_map(keys(), prop::collection::vec(values(), 1..3), 0..4),
        params in prop::collection::btree_map(keys(), words(), 0..4),
        tags in prop::collection::btree_map(keys(), words(), 0..4),
        data in prop::collection::vec((assets(), 1_u64..3, words()), 0..3),
    ) -> Run {
        let actor = ActorId::new(actor).unwrap();
        let mut run = Run::start(RunSpec::new(ExperimentName::new("e").unwrap(), name, actor), started_at);
        (run.parent, run.status, run.ended_at) = (parent, status, ended_at);
        for (key, values) in metrics {
            let key = MetricKey::new(key).unwrap();
            let mut points = values.into_iter().map(|v| MetricPoint::new(key.clone(), v, started_at));
            let mut summary = MetricSummary::of(points.next().unwrap());
            points.for_each(|point| summary.add(point));
            run.metrics.insert(key, summary);
        }
        run.params = params.into_iter().map(|(k, v)| (ParamKey::new(k).unwrap(), v)).collect();
        run.tags = tags.into_iter().map(|(k, v)| (TagKey::new(k).unwrap(), v)).collect();
        run.inputs = data.into_iter().map(|(asset, version, role)| DataInput::new(asset, Version::new(version).unwrap(), Digest::of(role.as_bytes()), role)).collect();
        run
    }
}

/// A run as an MLflow server of one version has it: times in milliseconds, no infinities, in version 2 no NaN.
fn on_server(run: &Run, old: bool) -> Run {
    let cut = |at: Timestamp| DateTime::from_timestamp_millis(at.timestamp_millis()).unwrap();
    let mut run = run.clone();
    run.started_at = cut(run.started_at);
    run.ended_at = run.ended_at.map(cut);
    if run.name.is_empty() {
        run.name = "brave-fox-1".to_owned();
    }
    for summary in run.metrics.values_mut() {
        let value = summary.last.value;
        summary.last.value = match value {
            nan if nan.is_nan() => {
                if old {
                    0.0
                } else {
                    nan
                }
            }
            value => value.clamp(-f64::MAX, f64::MAX),
        };
    }
    run
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn what_is_printed_is_read_back(filter in filters()) {
        let text = filter.to_string();
        let parsed = Filter::parse(&text).unwrap();
        // By way of their debug form, in which NaN is NaN.
        prop_assert_eq!(format!("{parsed:?}"), format!("{filter:?}"), "{}", text);
        let json = serde_json::to_string(&filter).unwrap();
        let again: Filter = serde_json::from_str(&json).unwrap();
        prop_assert_eq!(again.to_string(), text);
    }

    #[test]
    fn what_a_server_finds_has_all_that_matches(filter in filters(), run in runs(), whole in any::<bool>()) {
        for (dialect, old) in [(MlflowDialect::V2, true), (MlflowDialect::V3, false)] {
            let split = filter.split_for_mlflow(dialect.with_whole_texts(whole));
            let sent = split.text.as_deref().map_or(Filter::And(vec![]), |text| Filter::parse(text).unwrap());
            let (wanted, found) = (filter.matches(&run), sent.matches(&on_server(&run, old)));
            prop_assert!(found || !wanted, "{} misses a run of {}", sent, filter);
            prop_assert!(!split.exact || found == wanted, "{} is not exactly {}", sent, filter);
        }
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in any::<String>()) {
        let _ = Filter::parse(&text);
        let _ = OrderBy::parse(&text);
    }

    #[test]
    fn no_mixture_of_words_makes_the_reader_panic(pieces in prop::collection::vec(prop::sample::select(vec![
        "metrics", "params", "tags", "dataset", "dataset(", "min(", "status", "start_time", "duration", ".", "a", "`", "'", "\"",
        "=", "!=", "<", ">=", "LIKE", "NOT", "IN", "IS", "NULL", "AND", "OR", "ALL(", "(", ")", ",", " ", "1", "-", "1e", "é",
        "TRUE", "'x'", "FINISHED", "'RUNNING'", "parent_run_id", "run_id", "STARTS", "WITH", "\u{3000}", "\0",
    ]), 0..12)) {
        let text = pieces.concat();
        if let Ok(filter) = Filter::parse(&text) {
            prop_assert_eq!(Filter::parse(&filter.to_string()).unwrap().to_string(), filter.to_string());
        }
        let spaced = pieces.join(" ");
        if let Ok(filter) = Filter::parse(&spaced) {
            prop_assert_eq!(Filter::parse(&filter.to_string()).unwrap().to_string(), filter.to_string());
        }
    }
}
