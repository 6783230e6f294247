//! The labelling queue, and agreement held against scikit-learn, statsmodels and krippendorff.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use mlops_core::data::{
    CsvOptions, DataAssetStore as _, DataRef, DataVerification, KappaWeights, LabelEvent, LabelProject,
    LabelQueue, LabelRecord, LabelScheme, LabelStatus, LabelTask, LabelValue, Level, Prelabel, Ratings,
    alpha_interval, cohen_kappa, content_digest, fleiss_kappa, krippendorff_alpha, parse_csv,
    percent_agreement,
};
use mlops_core::memory::{MemoryArtifactStore, MemoryDataAssetStore};
use mlops_core::num::{Measured, StatsError, UndefinedReason};
use mlops_core::time::{ManualClock, Timestamp};
use mlops_core::{ActorId, AssetName, ErrorKind};
use proptest::prelude::*;
use serde_json::{Value, json};

fn reference() -> Value {
    serde_json::from_str(include_str!("reference/agreement.json")).unwrap()
}

fn codes(value: &Value) -> Vec<usize> {
    value.as_array().unwrap().iter().map(|v| usize::try_from(v.as_u64().unwrap()).unwrap()).collect()
}

fn near(found: Measured, expected: &Value) -> bool {
    (found.value().unwrap() - expected.as_f64().unwrap()).abs() < 1e-12
}

#[test]
fn cohens_kappa_is_scikit_learns() {
    for case in reference()["cohen"].as_array().unwrap() {
        let (a, b) = (codes(&case["a"]), codes(&case["b"]));
        let classes = usize::try_from(case["classes"].as_u64().unwrap()).unwrap();
        for (weights, name) in [
            (KappaWeights::None, "none"),
            (KappaWeights::Linear, "linear"),
            (KappaWeights::Quadratic, "quadratic"),
        ] {
            let kappa = cohen_kappa(&a, &b, classes, weights).unwrap();
            assert!(near(kappa, &case["kappa"][name]), "{name}: {kappa}");
        }
    }
}

#[test]
fn fleiss_kappa_is_statsmodels() {
    for case in reference()["fleiss"].as_array().unwrap() {
        let counts: Vec<Vec<u64>> = serde_json::from_value(case["counts"].clone()).unwrap();
        assert!(near(fleiss_kappa(&counts).unwrap(), &case["kappa"]));
    }
}

#[test]
fn alpha_is_that_of_the_krippendorff_package_on_every_level() {
    for case in reference()["krippendorff"].as_array().unwrap() {
        let table: Vec<Vec<Option<f64>>> = serde_json::from_value(case["table"].clone()).unwrap();
        let units = table[0].len();
        let values: Vec<Option<f64>> =
            (0..units).flat_map(|unit| table.iter().map(move |row| row[unit])).collect();
        let ratings = Ratings::new(table.len(), &values).unwrap();
        for (level, name) in [
            (Level::Nominal, "nominal"),
            (Level::Ordinal, "ordinal"),
            (Level::Interval, "interval"),
            (Level::Ratio, "ratio"),
        ] {
            let alpha = krippendorff_alpha(&ratings, level).unwrap();
            assert!(near(alpha, &case["alpha"][name]), "{name}: {alpha} {}", case["alpha"][name]);
        }
    }
}

#[test]
fn what_agreement_cannot_be_computed_of_is_said() {
    let of = |units: &[&[f64]]| Ratings::of_units(units.iter().map(|unit| unit.iter().copied())).unwrap();
    let reason = |measured: Measured| measured.undefined().unwrap().reason;
    let alone = of(&[&[1.0], &[2.0], &[]]);
    assert_eq!(reason(krippendorff_alpha(&alone, Level::Nominal).unwrap()), UndefinedReason::TooFew);
    assert_eq!(reason(percent_agreement(&alone)), UndefinedReason::ZeroDenominator);
    let same = of(&[&[1.0, 1.0], &[1.0, 1.0]]);
    assert_eq!(reason(krippendorff_alpha(&same, Level::Ordinal).unwrap()), UndefinedReason::Constant);
    assert_eq!(percent_agreement(&same).value(), Some(1.0));
    assert_eq!(
        reason(cohen_kappa(&[1, 1], &[1, 1], 2, KappaWeights::None).unwrap()),
        UndefinedReason::ZeroDenominator
    );
    assert_eq!(reason(fleiss_kappa(&[vec![3, 0]]).unwrap()), UndefinedReason::ZeroDenominator);
    // −0 and 0 are one rating.
    assert_eq!(percent_agreement(&of(&[&[0.0, -0.0]])).value(), Some(1.0));

    let negative = of(&[&[-1.0, 1.0]]);
    assert!(matches!(
        krippendorff_alpha(&negative, Level::Ratio),
        Err(StatsError::OutOfRange { index: 0, .. })
    ));
    let huge = of(&[&[-1e200, 1e200]]);
    assert!(matches!(krippendorff_alpha(&huge, Level::Interval), Err(StatsError::Overflow { .. })));
    let many = Ratings::of_units((0..10_001).map(|i| [f64::from(i), f64::from(i)])).unwrap();
    assert!(matches!(krippendorff_alpha(&many, Level::Ratio), Err(StatsError::Unsupported { .. })));
    assert!(matches!(Ratings::new(2, &[Some(1.0)]), Err(StatsError::LengthMismatch { .. })));
    assert!(matches!(Ratings::new(0, &[]), Err(StatsError::Parameter { .. })));
    assert!(matches!(Ratings::new(2, &[Some(1.0), Some(f64::NAN)]), Err(StatsError::Nan { index: 1, .. })));
    assert!(matches!(Ratings::of_units([[f64::INFINITY]]), Err(StatsError::NotFinite { .. })));
    assert!(matches!(cohen_kappa(&[], &[], 2, KappaWeights::None), Err(StatsError::Empty { .. })));
    assert!(matches!(cohen_kappa(&[0], &[], 2, KappaWeights::None), Err(StatsError::LengthMismatch { .. })));
    assert!(matches!(
        cohen_kappa(&[0], &[2], 2, KappaWeights::None),
        Err(StatsError::UnknownCode { index: 0, .. })
    ));
    assert!(matches!(
        cohen_kappa(&[0], &[0], usize::MAX, KappaWeights::None),
        Err(StatsError::Parameter { .. })
    ));
    assert!(matches!(fleiss_kappa(&[]), Err(StatsError::Empty { .. })));
    assert!(matches!(fleiss_kappa(&[vec![1, 0]]), Err(StatsError::TooFew { .. })));
    assert!(matches!(fleiss_kappa(&[vec![2, 0], vec![2, 1]]), Err(StatsError::LengthMismatch { .. })));
    assert!(matches!(fleiss_kappa(&[vec![u64::MAX, 1]]), Err(StatsError::Overflow { .. })));
    for (resamples, confidence) in [(0, 0.9), (usize::MAX, 0.9), (10, 0.0), (10, 1.0), (10, f64::NAN)] {
        assert!(alpha_interval(&same, Level::Nominal, resamples, confidence, 0).is_err());
    }
    let undefined = alpha_interval(&alone, Level::Nominal, 10, 0.9, 0).unwrap();
    assert_eq!((undefined.undefined, undefined.low.value()), (10, None));
}

#[test]
fn the_interval_of_alpha_covers_what_it_should() {
    // Two raters who agree with probability 0.8 and else guess among two classes: alpha is 0.8 in the long run.
    let mut covered = 0;
    for seed in 0..100_u64 {
        let mut random = mlops_core::num::Random::new(seed).stream("raters");
        let mut unit = || {
            let first = f64::from(u8::from(random.next_f64() < 0.5));
            let second =
                if random.next_f64() < 0.8 { first } else { f64::from(u8::from(random.next_f64() < 0.5)) };
            [first, second]
        };
        let units: Vec<[f64; 2]> = (0..80).map(|_| unit()).collect();
        let interval =
            alpha_interval(&Ratings::of_units(units).unwrap(), Level::Nominal, 200, 0.9, seed).unwrap();
        let (low, high) = (interval.low.value().unwrap(), interval.high.value().unwrap());
        covered += usize::from(low <= 0.8 && 0.8 <= high);
    }
    // 90 % nominally; the percentile bootstrap falls a little short at 80 units. Standard deviation 3.
    assert!((80..=98).contains(&covered), "{covered} of 100");
}

fn at(minutes: i64) -> Timestamp {
    "2026-03-02T09:00:00Z".parse::<Timestamp>().unwrap() + TimeDelta::minutes(minutes)
}

fn who(name: &str) -> ActorId {
    ActorId::new(name).unwrap()
}

fn project(overlap: usize) -> LabelProject {
    project_of(LabelScheme::nominal(["ill", "well"]).unwrap(), overlap)
}

fn project_of(scheme: LabelScheme, overlap: usize) -> LabelProject {
    LabelProject::new(AssetName::new("triage").unwrap(), scheme)
        .with_overlap(overlap)
        .with_lease(Duration::from_secs(600))
        .with_adjudicators([who("chief"), who("ann")])
}

fn queue(overlap: usize, tasks: usize) -> LabelQueue {
    let mut queue = LabelQueue::new(project(overlap)).unwrap();
    for task in 0..tasks {
        assert!(queue.add(LabelTask::of(format!("t{task}"), &[u8::try_from(task).unwrap()]), at(0)).unwrap());
    }
    queue
}

fn claimed(queue: &mut LabelQueue, annotator: &str, minutes: i64) -> Option<String> {
    queue.claim(&who(annotator), at(minutes)).unwrap().map(|assignment| assignment.task.id)
}

/// A call that must fail, and leave everything as it was.
fn refused<T: std::fmt::Debug>(
    queue: &mut LabelQueue,
    kind: ErrorKind,
    call: impl FnOnce(&mut LabelQueue) -> mlops_core::Result<T>,
) {
    let before = queue.clone();
    let error = call(queue).unwrap_err();
    assert_eq!(error.kind(), kind, "{error}");
    assert_eq!((&*queue, queue.progress()), (&before, before.progress()));
}

#[test]
fn each_task_goes_to_as_many_annotators_as_asked_and_never_twice_to_one() {
    let mut queue = queue(2, 2);
    assert_eq!(claimed(&mut queue, "ann", 0).as_deref(), Some("t0"));
    // Asked again, the same answer: a client that lost it gets it back.
    assert_eq!(claimed(&mut queue, "ann", 1).as_deref(), Some("t0"));
    assert_eq!(claimed(&mut queue, "ben", 1).as_deref(), Some("t0"));
    assert_eq!(claimed(&mut queue, "cem", 1).as_deref(), Some("t1"), "t0 is in two hands already");
    assert_eq!(queue.submit(&who("ann"), "t0", "ill", at(2)).unwrap(), LabelStatus::Open);
    assert_eq!(claimed(&mut queue, "ann", 2).as_deref(), Some("t1"));
    assert_eq!(queue.submit(&who("ben"), "t0", "ill", at(3)).unwrap(), LabelStatus::Agreed);
    assert_eq!(queue.label("t0").unwrap(), Some(&LabelValue::from("ill")));
    assert_eq!(claimed(&mut queue, "ben", 3), None);
    queue.submit(&who("cem"), "t1", "ill", at(4)).unwrap();
    assert_eq!(queue.submit(&who("ann"), "t1", "well", at(4)).unwrap(), LabelStatus::Disputed);
    let progress = queue.progress();
    assert_eq!(progress.tasks, BTreeMap::from([(LabelStatus::Agreed, 1), (LabelStatus::Disputed, 1)]));
    assert_eq!((progress.votes, progress.leases), (4, 0));
}

#[test]
fn a_lease_that_runs_out_goes_to_somebody_else_and_its_label_is_not_taken() {
    let mut queue = queue(1, 1);
    assert_eq!(claimed(&mut queue, "ann", 0).as_deref(), Some("t0"));
    assert_eq!(claimed(&mut queue, "ben", 9), None);
    refused(&mut queue, ErrorKind::Conflict, |q| q.submit(&who("ann"), "t0", "ill", at(10)));
    assert_eq!(claimed(&mut queue, "ben", 10).as_deref(), Some("t0"));
    refused(&mut queue, ErrorKind::Conflict, |q| q.submit(&who("ann"), "t0", "ill", at(11)));
    assert_eq!(queue.submit(&who("ben"), "t0", "well", at(11)).unwrap(), LabelStatus::Agreed);
    assert!(queue.records().iter().any(
        |record| matches!(&record.what, LabelEvent::Expired { annotator, .. } if *annotator == who("ann"))
    ));
    // Who lost a task may have it again.
    let mut queue = self::queue(1, 1);
    claimed(&mut queue, "ann", 0);
    assert_eq!(queue.expire(at(60)).unwrap(), [("t0".to_owned(), who("ann"))]);
    assert_eq!(queue.expire(at(60)).unwrap(), []);
    assert_eq!(claimed(&mut queue, "ann", 61).as_deref(), Some("t0"));
}

#[test]
fn skipped_tasks_are_set_aside_and_an_adjudicator_who_did_not_label_decides() {
    let mut queue = queue(2, 1);
    for name in ["ben", "cem", "dia"] {
        assert_eq!(claimed(&mut queue, name, 0).as_deref(), Some("t0"));
        queue.skip(&who(name), "t0", "illegible", at(1)).unwrap();
        assert_eq!(claimed(&mut queue, name, 1), None);
    }
    assert_eq!(queue.status("t0").unwrap(), LabelStatus::SetAside);
    queue.adjudicate(&who("chief"), "t0", "ill", "read from the scan", at(2)).unwrap();
    assert_eq!(queue.status("t0").unwrap(), LabelStatus::Adjudicated);

    let mut queue = self::queue(2, 1);
    refused(&mut queue, ErrorKind::Conflict, |q| q.adjudicate(&who("chief"), "t0", "ill", "x", at(0)));
    for (name, label) in [("ann", "ill"), ("ben", "well")] {
        claimed(&mut queue, name, 0);
        queue.submit(&who(name), "t0", label, at(0)).unwrap();
    }
    refused(&mut queue, ErrorKind::Auth, |q| q.adjudicate(&who("ann"), "t0", "ill", "mine", at(1)));
    refused(&mut queue, ErrorKind::Auth, |q| q.adjudicate(&who("dia"), "t0", "ill", "mine", at(1)));
    refused(&mut queue, ErrorKind::InvalidInput, |q| q.adjudicate(&who("chief"), "t0", "ill", "", at(1)));
    refused(&mut queue, ErrorKind::InvalidInput, |q| q.adjudicate(&who("chief"), "t0", "dead", "x", at(1)));
    queue.adjudicate(&who("chief"), "t0", "well", "by the laboratory", at(1)).unwrap();
    refused(&mut queue, ErrorKind::Conflict, |q| q.adjudicate(&who("chief"), "t0", "ill", "again", at(2)));
}

#[test]
fn what_may_not_be_is_refused_and_changes_nothing() {
    let mut queue = queue(1, 1);
    refused(&mut queue, ErrorKind::NotFound, |q| q.submit(&who("ann"), "t9", "ill", at(0)));
    refused(&mut queue, ErrorKind::Conflict, |q| q.submit(&who("ann"), "t0", "ill", at(0)));
    refused(&mut queue, ErrorKind::Conflict, |q| q.add(LabelTask::of("t0", b"another item"), at(0)));
    assert!(!queue.add(LabelTask::of("t0", &[0]), at(0)).unwrap());
    for id in ["", " ", "a\nb", "a\u{202e}b", "=cmd|' /C calc'!A0", "@SUM(A1)", &"x".repeat(257)] {
        assert!(queue.add(LabelTask::of(id, b""), at(0)).is_err(), "{id:?}");
    }
    claimed(&mut queue, "ann", 0);
    for label in [LabelValue::from("dead"), LabelValue::from(1.0), LabelValue::from("")] {
        refused(&mut queue, ErrorKind::InvalidInput, |q| q.submit(&who("ann"), "t0", label, at(1)));
    }
    refused(&mut queue, ErrorKind::Conflict, |q| q.submit(&who("ben"), "t0", "ill", at(1)));
    let closed = project(1).with_annotators([who("ann")]);
    let mut queue = LabelQueue::new(closed).unwrap();
    refused(&mut queue, ErrorKind::Auth, |q| q.claim(&who("eve"), at(0)));
    let scheme = || LabelScheme::nominal(["a", "b"]).unwrap();
    let new = |scheme| LabelProject::new(AssetName::new("x").unwrap(), scheme);
    for bad in [
        new(scheme()).with_overlap(0),
        new(scheme()).with_overlap(101),
        new(scheme()).with_overlap(2).with_annotators([who("ann")]),
        new(scheme()).with_lease(Duration::ZERO),
        new(scheme()).with_lease(Duration::MAX),
        new(scheme()).with_consensus(0.4),
        new(scheme()).with_consensus(f64::NAN),
        new(scheme()).with_tolerance(-1.0),
        new(LabelScheme::Nominal(vec![])),
        new(LabelScheme::Interval { min: 1.0, max: f64::NAN }),
    ] {
        assert!(LabelQueue::new(bad.clone()).is_err(), "{bad:?}");
    }
    assert!(LabelScheme::nominal(["a", "a"]).is_err());
    assert!(LabelScheme::nominal(["a", "+1 or so"]).is_err());
    assert!(LabelScheme::nominal(["-1", "+1"]).is_ok());
    assert!(LabelScheme::ratio(-1.0, 1.0).is_err());
}

#[test]
fn consensus_is_a_majority_of_the_stated_share_and_numbers_may_differ_a_little() {
    let run = |project: LabelProject, labels: &[LabelValue]| {
        let mut queue = LabelQueue::new(project.with_overlap(labels.len())).unwrap();
        queue.add(LabelTask::of("t", b""), at(0)).unwrap();
        for (number, label) in labels.iter().enumerate() {
            let name = format!("a{number}");
            claimed(&mut queue, &name, 0);
            queue.submit(&who(&name), "t", label.clone(), at(0)).unwrap();
        }
        queue.label("t").unwrap().cloned()
    };
    let classes = |labels: &[&str]| labels.iter().map(|label| LabelValue::from(*label)).collect::<Vec<_>>();
    let numbers = |labels: &[f64]| labels.iter().map(|label| LabelValue::from(*label)).collect::<Vec<_>>();
    let ill = Some(LabelValue::from("ill"));
    assert_eq!(run(project(1), &classes(&["ill", "ill", "well"])), ill);
    assert_eq!(run(project(1), &classes(&["ill", "well"])), None);
    assert_eq!(run(project(1).with_consensus(0.75), &classes(&["ill", "ill", "well"])), None);
    assert_eq!(run(project(1).with_consensus(0.75), &classes(&["ill", "ill", "well", "ill"])), ill);
    let grades = project_of(LabelScheme::interval(0.0, 10.0).unwrap(), 1);
    assert_eq!(run(grades.clone(), &numbers(&[3.0, 3.0])), Some(3.0.into()));
    assert_eq!(run(grades.clone(), &numbers(&[3.0, 3.5])), None);
    assert_eq!(run(grades.with_tolerance(1.0), &numbers(&[3.0, 4.0, 3.5, 3.75])), Some(3.625.into()));
}

#[test]
fn what_models_suggest_is_shown_marked_and_never_counted() {
    let mut queue = LabelQueue::new(project(1).showing_prelabels()).unwrap();
    for id in ["seen", "blind"] {
        queue.add(LabelTask::of(id, id.as_bytes()), at(0)).unwrap();
    }
    let suggestion = Prelabel::new("triage:3", "well").with_score(0.9);
    assert!(queue.prelabel("seen", suggestion.clone(), at(0)).unwrap());
    assert!(!queue.prelabel("seen", suggestion.clone(), at(0)).unwrap());
    refused(&mut queue, ErrorKind::Conflict, |q| q.prelabel("seen", Prelabel::new("triage:3", "ill"), at(0)));
    for bad in
        [Prelabel::new("m", "dead"), Prelabel::new("", "ill"), Prelabel::new("m", "ill").with_score(1.1)]
    {
        refused(&mut queue, ErrorKind::InvalidInput, |q| q.prelabel("seen", bad, at(0)));
    }
    assert_eq!(queue.status("seen").unwrap(), LabelStatus::Open);
    let assignment = queue.claim(&who("ann"), at(0)).unwrap().unwrap();
    assert_eq!(assignment.prelabels, [suggestion]);
    queue.submit(&who("ann"), "seen", "ill", at(0)).unwrap();
    assert_eq!(queue.claim(&who("ann"), at(0)).unwrap().unwrap().prelabels, []);
    // A suggestion that comes after the task was handed out was not seen.
    queue.prelabel("blind", Prelabel::new("triage:3", "ill"), at(0)).unwrap();
    queue.submit(&who("ann"), "blind", "ill", at(0)).unwrap();
    refused(&mut queue, ErrorKind::Conflict, |q| q.prelabel("blind", Prelabel::new("late:1", "ill"), at(0)));
    assert_eq!(queue.label("seen").unwrap(), Some(&LabelValue::from("ill")));
    assert_eq!(
        [queue.votes("seen").unwrap()[0].assisted, queue.votes("blind").unwrap()[0].assisted],
        [true, false]
    );
    let report = queue.agreement().unwrap();
    let model = &report.models[0];
    assert_eq!((model.tasks, model.same.value(), model.same_blind.value()), (2, Some(0.5), Some(1.0)));
    assert_eq!((report.votes, report.assisted, report.alpha.value()), (2, 1, None));
}

#[test]
fn the_report_agrees_with_the_measures_it_is_made_of() {
    let scheme = LabelScheme::ordinal(["low", "mid", "high"]).unwrap();
    let mut queue = LabelQueue::new(project_of(scheme, 3)).unwrap();
    let labels = [[0, 0, 0], [0, 1, 0], [2, 2, 1], [1, 1, 1], [2, 0, 2], [2, 2, 2]];
    for (task, labels) in labels.iter().enumerate() {
        let id = format!("t{task}");
        queue.add(LabelTask::of(&id, id.as_bytes()), at(0)).unwrap();
        for (name, label) in ["ann", "ben", "cem"].iter().zip(labels) {
            claimed(&mut queue, name, 0);
            queue.submit(&who(name), &id, ["low", "mid", "high"][*label], at(0)).unwrap();
        }
    }
    let report = queue.agreement().unwrap();
    let ratings = Ratings::of_units(labels.iter().map(|unit| unit.map(|label| label as f64))).unwrap();
    assert_eq!(ratings, queue.votes_as_ratings().unwrap());
    assert_eq!(report.alpha, krippendorff_alpha(&ratings, Level::Ordinal).unwrap());
    assert_eq!((report.same, report.level), (percent_agreement(&ratings), Level::Ordinal));
    let counts: Vec<Vec<u64>> = labels
        .iter()
        .map(|unit| (0..3).map(|class| unit.iter().filter(|&&label| label == class).count() as u64).collect())
        .collect();
    assert_eq!(report.fleiss, Some(fleiss_kappa(&counts).unwrap()));
    let [ann, ben]: [Vec<usize>; 2] = [0, 1].map(|rater| labels.iter().map(|unit| unit[rater]).collect());
    let pair =
        report.pairs.iter().find(|pair| pair.first == who("ann") && pair.second == who("ben")).unwrap();
    assert_eq!(pair.kappa, Some(cohen_kappa(&ann, &ben, 3, KappaWeights::Linear).unwrap()));
    assert_eq!((report.pairs.len(), pair.tasks), (3, 6));
}

#[test]
fn a_queue_read_from_a_file_is_one_that_calls_can_lead_to() {
    let mut queue = queue(2, 2);
    claimed(&mut queue, "ann", 0);
    queue.submit(&who("ann"), "t0", "ill", at(1)).unwrap();
    claimed(&mut queue, "ben", 1);
    let text = serde_json::to_string(&queue).unwrap();
    let mut read: LabelQueue = serde_json::from_str(&text).unwrap();
    assert_eq!(read, queue);
    // What was in hands still is.
    assert_eq!(read.submit(&who("ben"), "t0", "ill", at(2)).unwrap(), LabelStatus::Agreed);
    assert_ne!(read, queue);

    let value: Value = serde_json::from_str(&text).unwrap();
    let spoiled = |change: &dyn Fn(&mut Value)| {
        let mut value = value.clone();
        change(&mut value);
        serde_json::from_value::<LabelQueue>(value).unwrap_err().to_string()
    };
    let twice = spoiled(&|v| {
        let submitted = v["records"][3].clone();
        v["records"].as_array_mut().unwrap().push(submitted);
    });
    assert!(twice.contains("not in the annotator's hands") && twice.contains("record: 5"), "{twice}");
    assert!(spoiled(&|v| v["records"][3]["what"]["label"] = json!("dead")).contains("none of the 2 classes"));
    assert!(spoiled(&|v| v["records"][3]["at"] = json!("2030-01-01T00:00:00Z")).contains("run out"));
    assert!(
        spoiled(&|v| v["records"][2]["what"]["until"] = json!("2020-01-01T00:00:00Z"))
            .contains("after the time")
    );
    assert!(spoiled(&|v| v["project"]["overlap"] = json!(0)).contains("overlap"));
    assert!(spoiled(&|v| v["schema_version"] = json!(2)).contains("only 1"));
    assert!(spoiled(&|v| v["records"][0]["what"]["event"] = json!("destroyed")).contains("unknown variant"));
    let records: Vec<LabelRecord> = serde_json::from_value(value["records"].clone()).unwrap();
    assert_eq!(LabelQueue::replay(queue.project().clone(), records).unwrap(), queue);
}

#[tokio::test]
async fn labels_become_a_data_asset_that_says_what_people_and_models_said() {
    let artifacts = Arc::new(MemoryArtifactStore::default());
    let assets = MemoryDataAssetStore::new(artifacts.clone(), Arc::new(ManualClock::at(at(0))));
    let scheme = LabelScheme::nominal(["ill, \"very\"", "well"]).unwrap();
    let mut queue = LabelQueue::new(project_of(scheme, 1)).unwrap();
    for id in ["a", "b"] {
        queue.add(LabelTask::of(id, id.as_bytes()), at(0)).unwrap();
    }
    queue.prelabel("b", Prelabel::new("triage:3", "well"), at(0)).unwrap();
    claimed(&mut queue, "ann", 0);
    queue.submit(&who("ann"), "a", "ill, \"very\"", at(0)).unwrap();

    let lines: Vec<Value> =
        queue.to_jsonl().unwrap().lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(lines[0]["label"], json!("ill, \"very\""));
    assert_eq!(
        (&lines[1]["label"], &lines[1]["prelabel"], &lines[1]["status"]),
        (&json!(null), &json!("well"), &json!("open"))
    );
    assert_eq!(queue.votes_to_jsonl().unwrap().lines().count(), 1);
    let csv = parse_csv(queue.to_csv().unwrap().as_bytes(), &CsvOptions::default()).unwrap();
    assert_eq!(csv.column("label").unwrap().label(0).as_deref(), Some("ill, \"very\""));
    assert_eq!((csv.rows(), csv.column("label").unwrap().missing()), (2, 1));

    let name = AssetName::new("triage-labels").unwrap();
    let register =
        async || queue.register(&*artifacts, &assets, name.clone(), who("labelling")).await.unwrap();
    let (first, again) = (register().await, register().await);
    assert_eq!((first.version, first.spec.digest), (again.version, again.spec.digest));
    assert_eq!(first.spec.content, Some(content_digest(&queue.to_table().unwrap())));
    let verified = assets.verify(&DataRef::latest(name.clone())).await.unwrap();
    assert!(matches!(verified, DataVerification::Intact { .. }));
    let empty = LabelQueue::new(project(1)).unwrap();
    assert!(empty.register(&*artifacts, &assets, name, who("labelling")).await.is_err());
}

#[derive(Clone, Debug)]
enum Call {
    Claim(u8),
    Submit(u8, u8, bool),
    Skip(u8, u8),
    Expire,
    Wait(u8),
    Decide(u8),
}

fn calls() -> impl Strategy<Value = Vec<Call>> {
    let (who, task) = (0_u8..5, 0_u8..6);
    prop::collection::vec(
        prop_oneof![
            4 => who.clone().prop_map(Call::Claim),
            4 => (who.clone(), task.clone(), any::<bool>()).prop_map(|(w, t, l)| Call::Submit(w, t, l)),
            1 => (who, task.clone()).prop_map(|(w, t)| Call::Skip(w, t)),
            1 => Just(Call::Expire),
            1 => (1_u8..15).prop_map(Call::Wait),
            1 => task.prop_map(Call::Decide),
        ],
        0..120,
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn whatever_is_called_no_task_has_too_many_hands_and_the_records_lead_back(calls in calls(), overlap in 1_usize..4) {
        let mut queue = queue(overlap, 6);
        let mut minutes = 0;
        let mut held: HashMap<u8, String> = HashMap::new();
        for call in calls {
            match call {
                Call::Claim(w) => {
                    if let Some(task) = claimed(&mut queue, &format!("w{w}"), minutes) {
                        held.insert(w, task);
                    }
                }
                Call::Submit(w, task, ill) => {
                    let task = held.remove(&w).unwrap_or_else(|| format!("t{task}"));
                    let _ = queue.submit(&who(&format!("w{w}")), &task, if ill { "ill" } else { "well" }, at(minutes));
                }
                Call::Skip(w, task) => {
                    let task = held.remove(&w).unwrap_or_else(|| format!("t{task}"));
                    let _ = queue.skip(&who(&format!("w{w}")), &task, "unclear", at(minutes));
                }
                Call::Expire => drop(queue.expire(at(minutes)).unwrap()),
                Call::Wait(more) => minutes += i64::from(more),
                Call::Decide(task) => {
                    let _ = queue.adjudicate(&who("chief"), &format!("t{task}"), "ill", "decided", at(minutes));
                }
            }
        }
        let replayed: LabelQueue = serde_json::from_str(&serde_json::to_string(&queue).unwrap()).unwrap();
        prop_assert_eq!(&replayed, &queue);
        prop_assert_eq!(replayed.progress(), queue.progress());
        let tasks: Vec<(String, LabelStatus)> = queue.tasks().map(|(task, status)| (task.id.clone(), status)).collect();
        for (task, status) in tasks {
            let votes = queue.votes(&task).unwrap();
            let distinct: HashSet<&ActorId> = votes.iter().map(|vote| &vote.annotator).collect();
            prop_assert_eq!(distinct.len(), votes.len());
            prop_assert!(votes.len() <= overlap);
            let labelled = matches!(status, LabelStatus::Agreed | LabelStatus::Adjudicated);
            prop_assert_eq!(queue.label(&task).unwrap().is_some(), labelled);
            prop_assert!(status != LabelStatus::Agreed || votes.len() == overlap);
            prop_assert_eq!(status, replayed.status(&task).unwrap());
        }
        // Everybody goes on: everything that is open can still be finished.
        minutes += 60;
        for w in 0..9 {
            while let Some(task) = claimed(&mut queue, &format!("x{w}"), minutes) {
                queue.submit(&who(&format!("x{w}")), &task, "ill", at(minutes)).unwrap();
            }
        }
        prop_assert!(!queue.progress().tasks.contains_key(&LabelStatus::Open));
    }
}
