//! What a gate says without evidence, and what it refuses to be.

use std::collections::BTreeMap;

use super::*;
use crate::error::ErrorKind;
use crate::evaluation::{
    CriterionResult, Disparity, Estimate, EvaluationReport, FairnessReport, SliceReport, Verdict,
};
use crate::hash::Digest;
use crate::id::MetricKey;
use crate::num::{Measured, UndefinedReason};
use crate::problem::{Direction, Task};
use crate::time::Timestamp;

const AT: Timestamp = chrono::DateTime::UNIX_EPOCH;

fn key(name: &str) -> MetricKey {
    MetricKey::new(name).unwrap()
}

fn value(v: f64, rows: u64) -> Estimate {
    Estimate::new(Measured::Value(v), Direction::HigherIsBetter, rows)
}

fn cost(v: f64) -> Estimate {
    Estimate::new(Measured::Value(v), Direction::LowerIsBetter, 100)
}

/// A report about the data `d` with some metrics.
fn report(metrics: &[(&str, Estimate)]) -> EvaluationReport {
    let (model, data) = (Digest::of(b"m"), Digest::of(b"d"));
    let mut report = EvaluationReport::new(model, data, Task::BinaryClassification, AT, 100);
    report.metrics = metrics.iter().map(|(k, e)| (key(k), *e)).collect();
    report
}

fn judge(
    criterion: Criterion,
    report: &EvaluationReport,
    champion: Option<&EvaluationReport>,
) -> CriterionResult {
    let gate = GateSpec::new("g", vec![criterion]).unwrap();
    let decision = gate.decide(report, champion, AT).unwrap();
    assert_eq!(decision.verdict, decision.criteria[0].verdict);
    decision.criteria[0].clone()
}

fn auc() -> Criterion {
    Criterion::new("c", key("auc"))
}

#[test]
fn a_value_is_held_against_its_bounds() {
    use Verdict::{Fail, Pass};
    for (criterion, v, verdict, reason) in [
        (auc().with_min(0.75), 0.71, Fail, "auc is 0.71, at least 0.75 is needed"),
        (auc().with_min(0.75), 0.75, Pass, "auc is 0.75, at least 0.75 is needed"),
        (auc().with_max(0.1), 0.1 + 1e-9, Fail, "auc is 0.100000001, at most 0.1 is allowed"),
        (auc().with_max(0.3), 0.1 + 0.2, Pass, "auc is 0.30000000000000004, at most 0.3 is allowed"),
        (
            auc().with_min(0.1).with_max(0.2),
            0.15,
            Pass,
            "auc is 0.15, at least 0.1 is needed; auc is 0.15, at most 0.2 is allowed",
        ),
        (auc().with_min(0.1).with_max(0.2), 0.3, Fail, "auc is 0.3, at most 0.2 is allowed"),
        (
            auc().with_min(0.5).with_max(0.5),
            0.5,
            Pass,
            "auc is 0.5, at least 0.5 is needed; auc is 0.5, at most 0.5 is allowed",
        ),
        (auc().with_min(-2.0), -1.0, Pass, "auc is -1, at least -2 is needed"),
    ] {
        let result = judge(criterion, &report(&[("auc", value(v, 100))]), None);
        assert_eq!((result.verdict, result.reason.as_str()), (verdict, reason));
        assert_eq!(result.observed, Some(Measured::Value(v)));
    }
}

#[test]
fn what_was_not_measured_fails_and_what_is_thin_is_insufficient() {
    use Verdict::{Fail, Insufficient};
    let none =
        Estimate::new(Measured::none(UndefinedReason::SingleClass, 1, 2), Direction::HigherIsBetter, 100);
    let mut full = report(&[("auc", value(0.9, 100)), ("recall", none), ("empty", value(0.9, 0))]);
    let metrics = |e| BTreeMap::from([(key("auc"), e)]);
    full.slices = vec![
        SliceReport::new("old", 9, metrics(value(0.9, 9))),
        SliceReport::new("twice", 9, metrics(value(0.9, 9))),
        SliceReport::new("twice", 9, metrics(value(0.9, 9))),
    ];
    let disparity = |left_out: &[&str]| {
        let left_out = left_out.iter().map(|s| (*s).to_owned()).collect();
        BTreeMap::from([(key("auc"), Disparity::new(value(0.0, 100), left_out))])
    };
    full.fairness = vec![
        FairnessReport::new("sex", vec![], disparity(&[])),
        FairnessReport::new("race", vec![], disparity(&["a", "b", "c"])),
    ];
    let min = |metric: &str| Criterion::new("c", key(metric)).with_min(-1.0);
    let about = |slice: &str| auc().with_min(-1.0).with_slice(slice);
    let over = |attribute: &str| auc().with_min(-1.0).with_attribute(attribute);
    for (criterion, verdict, reason) in [
        (min("acu"), Fail, "the report has no metric `acu`; did you mean `auc`?"),
        (min("f1"), Fail, "the report has no metric `f1`"),
        (min("recall"), Insufficient, "recall has no value: only one class is present"),
        (min("empty"), Insufficient, "empty rests on 0 rows, at least 1 are needed"),
        (min("auc").with_min_rows(101), Insufficient, "auc rests on 100 rows, at least 101 are needed"),
        (about("odl"), Fail, "the report has no slice `odl`; did you mean `old`?"),
        (about("twice"), Fail, "the report has more than one slice `twice`"),
        (
            about("old").with_min_rows(10),
            Insufficient,
            "auc in slice `old` rests on 9 rows, at least 10 are needed",
        ),
        (
            Criterion::new("c", key("f1")).with_min(0.0).with_slice("old"),
            Fail,
            "slice `old` has no metric `f1`",
        ),
        (over("age"), Fail, "the report has no sensitive attribute `age`"),
        (
            over("race"),
            Insufficient,
            "auc over `race` leaves out groups that are too small or undefined: `a` and 2 more",
        ),
        (
            min("auc").with_interval(IntervalEnd::Low),
            Insufficient,
            "auc has no confidence interval, the gate asks for one",
        ),
    ] {
        let result = judge(criterion, &full, None);
        assert_eq!((result.verdict, result.reason.as_str()), (verdict, reason));
    }
    assert_eq!(judge(min("auc").with_min_rows(100), &full, None).verdict, Verdict::Pass);
    assert_eq!(judge(over("sex"), &full, None).verdict, Verdict::Pass);
    assert_eq!(judge(about("old"), &full, None).verdict, Verdict::Pass);
}

#[test]
fn a_number_that_is_none_gives_no_decision() {
    let gate = GateSpec::new("g", vec![auc().with_min(0.5).with_max_drop(1.0)]).unwrap();
    let good = report(&[("auc", value(0.9, 100))]);
    for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        for estimate in [
            value(bad, 100),
            value(0.9, 100).with_interval(bad, 1.0),
            value(0.9, 100).with_interval(0.0, bad),
            value(0.9, 100).with_interval(1.0, 0.0),
        ] {
            // Also where no criterion looks.
            for metric in ["auc", "other"] {
                let mut broken = good.clone();
                broken.metrics.insert(key(metric), estimate);
                for error in [gate.decide(&broken, None, AT), gate.decide(&good, Some(&broken), AT)] {
                    let error = error.unwrap_err();
                    assert_eq!(error.kind(), ErrorKind::InvalidInput);
                    assert_eq!(error.context("metric"), Some(metric));
                }
            }
        }
    }
}

#[test]
fn a_required_interval_takes_the_place_of_the_value() {
    let estimate = value(0.8, 100).with_interval(0.7, 0.9);
    for (criterion, verdict, seen) in [
        (auc().with_min(0.75), Verdict::Pass, 0.8),
        (auc().with_min(0.75).with_interval(IntervalEnd::Low), Verdict::Fail, 0.7),
        (auc().with_min(0.7).with_interval(IntervalEnd::Low), Verdict::Pass, 0.7),
        (auc().with_max(0.85).with_interval(IntervalEnd::High), Verdict::Fail, 0.9),
        (auc().with_max(0.9).with_interval(IntervalEnd::High), Verdict::Pass, 0.9),
    ] {
        let result = judge(criterion, &report(&[("auc", estimate)]), None);
        assert_eq!(
            (result.verdict, result.observed),
            (verdict, Some(Measured::Value(seen))),
            "{}",
            result.reason
        );
    }
}

#[test]
fn a_champion_is_compared_in_the_metrics_own_direction() {
    use Verdict::{Fail, Pass};
    let drop = |d| auc().with_max_drop(d);
    let gain = |g| auc().with_min_gain(g);
    for (criterion, new, old, lower, verdict) in [
        (gain(0.05), 0.85, 0.8, false, Pass),
        (gain(0.05), 0.849, 0.8, false, Fail),
        (gain(0.05), 0.8, 0.85, false, Fail),
        (gain(0.0), 0.8, 0.8, false, Pass),
        (gain(0.1), 0.2, 0.3, true, Pass),
        (gain(0.1), 0.21, 0.3, true, Fail),
        (drop(0.1), 0.3, 0.2, true, Pass),
        (drop(0.1), 0.301, 0.2, true, Fail),
        (drop(0.05), 0.8, 0.85, false, Pass),
        (drop(0.05), 0.79, 0.85, false, Fail),
        (drop(0.0), 0.8, 0.8, false, Pass),
        (drop(f64::MAX), 0.0, f64::MAX, false, Pass),
        (drop(f64::MAX), -f64::MAX, f64::MAX, false, Fail),
        (gain(f64::MAX), f64::MAX, f64::MAX, false, Fail),
    ] {
        let with = |v| report(&[("auc", if lower { cost(v) } else { value(v, 100) })]);
        let result = judge(criterion, &with(new), Some(&with(old)));
        assert_eq!(result.verdict, verdict, "{}", result.reason);
    }
    let (new, old) = (report(&[("auc", value(0.8, 100))]), report(&[("auc", value(0.83, 100))]));
    let reason = judge(drop(0.02), &new, Some(&old)).reason;
    assert_eq!(reason, "auc is 0.8 and the champion's is 0.83, it may be worse by at most 0.02");
}

#[test]
fn a_champion_that_says_nothing_comparable_decides_nothing() {
    let new = report(&[("auc", value(0.8, 100))]);
    let none = Estimate::new(Measured::ratio(0.0, 0.0), Direction::HigherIsBetter, 100);
    let other_data = EvaluationReport { data: Digest::of(b"other"), ..new.clone() };
    let other_task = EvaluationReport { task: Task::Regression, ..new.clone() };
    for (champion, reason) in [
        (
            other_data,
            "the champion was evaluated on other data (d9298a10d1b0) than this model (18ac3e7343f0)",
        ),
        (other_task, "the champion answers another kind of question"),
        (report(&[]), "of the champion, the report has no metric `auc`"),
        (report(&[("auc", none)]), "the champion's auc has no value: the denominator is zero"),
        (report(&[("auc", cost(0.8))]), "the two reports disagree on which way auc is better"),
        (report(&[("auc", value(0.8, 99))]), "the champion's auc rests on 99 rows, this model's on 100"),
    ] {
        let result = judge(auc().with_max_drop(1.0), &new, Some(&champion));
        assert_eq!((result.verdict, result.reason.as_str()), (Verdict::Insufficient, reason));
    }
}

#[test]
fn a_metric_without_a_direction_has_bounds_but_no_champion() {
    let rate = Estimate::new(Measured::Value(0.5), Direction::Neither, 100);
    let new = report(&[("rate", rate)]);
    let rate = || Criterion::new("c", key("rate"));
    assert_eq!(judge(rate().with_min(0.4).with_max(0.6), &new, None).verdict, Verdict::Pass);
    for criterion in [rate().with_max_drop(1.0), rate().with_min_gain(0.0)] {
        for champion in [None, Some(&new)] {
            let result = judge(criterion.clone().with_no_champion(NoChampion::Pass), &new, champion);
            assert_eq!(result.verdict, Verdict::Fail, "{}", result.reason);
        }
    }
}

#[test]
fn what_holds_without_a_champion_is_stated() {
    let new = report(&[("auc", value(0.8, 100))]);
    for (policy, verdict) in [
        (None, Verdict::Insufficient),
        (Some(NoChampion::Insufficient), Verdict::Insufficient),
        (Some(NoChampion::Pass), Verdict::Pass),
        (Some(NoChampion::Fail), Verdict::Fail),
    ] {
        let criterion = Criterion { no_champion: policy, ..auc().with_max_drop(0.1) };
        assert_eq!(judge(criterion.clone(), &new, None).verdict, verdict);
        // The policy is about the champion alone: the model's own bound still holds.
        assert_eq!(judge(criterion.with_min(0.9), &new, None).verdict, Verdict::Fail);
    }
}

#[test]
fn the_champions_report_is_named_where_one_was_compared_with() {
    let (new, old) = (report(&[("auc", value(0.8, 100))]), report(&[("auc", value(0.7, 100))]));
    for (criterion, named) in
        [(auc().with_min(0.5), None), (auc().with_max_drop(0.0), Some(old.digest().unwrap()))]
    {
        let gate = GateSpec::new("g", vec![criterion]).unwrap();
        assert_eq!(gate.decide(&new, Some(&old), AT).unwrap().champion_report, named);
    }
}

const FILE: &str = "name = \"g\"\n[[criteria]]\nid = \"a\"\nmetric = \"auc\"\n";

#[test]
fn a_gate_that_could_mislead_is_refused_with_its_place() {
    for (text, field, id, line) in [
        ("name = \"g\"", "criteria", None, None),
        ("name = \"g\"\ncriteria = []", "criteria", None, Some("2")),
        ("name = \"../g\"\ncriteria = []", "name", None, Some("1")),
        ("", "name", None, Some("1")),
        (FILE, "criteria", Some("a"), Some("2")),
        (&format!("{FILE}min = nan"), "min", Some("a"), Some("5")),
        (&format!("{FILE}max = -inf"), "max", Some("a"), Some("5")),
        (&format!("{FILE}min = 0.9\nmax = 0.8"), "min", Some("a"), Some("5")),
        (&format!("{FILE}max_drop = -0.1"), "max_drop", Some("a"), Some("5")),
        (&format!("{FILE}\nmin_gain = nan"), "min_gain", Some("a"), Some("6")),
        (&format!("{FILE}min_gain = 0\nmax_drop = 0"), "max_drop", Some("a"), Some("6")),
        (&format!("{FILE}min = 0\nno_champion = \"pass\""), "no_champion", Some("a"), Some("6")),
        (&format!("{FILE}min = 0\nrequire_interval = \"high\""), "require_interval", Some("a"), Some("6")),
        (&format!("{FILE}max = 0\nrequire_interval = \"low\""), "require_interval", Some("a"), Some("6")),
        (
            &format!("{FILE}min = 0\nmax = 1\nrequire_interval = \"low\""),
            "require_interval",
            Some("a"),
            Some("7"),
        ),
        (
            &format!("{FILE}max_drop = 0\nrequire_interval = \"low\""),
            "require_interval",
            Some("a"),
            Some("6"),
        ),
        (&format!("{FILE}min = 0\nmin_rows = 0"), "min_rows", Some("a"), Some("6")),
        (&format!("{FILE}min = 0\nmin_rows = -1"), "criteria.min_rows", Some("a"), Some("6")),
        (&format!("{FILE}min = 0\nslice = \" \""), "slice", Some("a"), Some("6")),
        (&format!("{FILE}min = 0\nslice = \"x\"\nattribute = \"y\""), "attribute", Some("a"), Some("7")),
        (&format!("{FILE}max = 0.1\nmax = 999"), "max", Some("a"), Some("6")),
        (&format!("{FILE}maxx = 0.1"), "maxx", Some("a"), Some("5")),
        (&format!("{FILE}min = \"0.1\""), "criteria.min", Some("a"), Some("5")),
        (&format!("{FILE}min = 1_0_\n"), "file", Some("a"), Some("5")),
        (
            &format!("{FILE}min = 0\n[[criteria]]\nid = \"a\"\nmetric = \"f1\"\nmin = 0"),
            "id",
            Some("a"),
            Some("7"),
        ),
        (&FILE.replace("\"a\"", "\"a b\""), "id", Some("a b"), Some("3")),
        (&FILE.replace("auc", "../x"), "criteria.metric", Some("a"), Some("4")),
    ] {
        let error = GateSpec::from_toml(text).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{text}");
        assert_eq!(error.context("field"), Some(field), "{text}: {error}");
        assert_eq!((error.context("id"), error.context("line")), (id, line), "{text}: {error}");
    }
}

#[test]
fn a_threshold_beyond_every_number_is_refused() {
    let error = GateSpec::from_toml(&format!("{FILE}min = 1e400")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
}

#[test]
fn numbers_are_tomls_own() {
    for (text, expected) in [("1", 1.0), ("1_000", 1000.0), ("1e3", 1000.0), ("-0.0", 0.0), ("0x10", 16.0)] {
        let gate = GateSpec::from_toml(&format!("{FILE}min = {text}")).unwrap();
        assert_eq!(gate.criteria()[0].min, Some(expected), "{text}");
    }
    for text in ["012", "no", "1,5", ".5"] {
        assert!(GateSpec::from_toml(&format!("{FILE}min = {text}")).is_err(), "{text}");
    }
}

#[test]
fn a_gate_in_code_is_held_to_the_same_rules() {
    for (criteria, field) in [
        (vec![], "criteria"),
        (vec![auc()], "criteria"),
        (vec![auc().with_min(f64::NAN)], "min"),
        (vec![auc().with_min(0.0), auc().with_max(0.0)], "id"),
        (vec![auc().with_min(0.0); 1_001], "criteria"),
    ] {
        assert_eq!(GateSpec::new("g", criteria).unwrap_err().context("field"), Some(field));
    }
    assert_eq!(GateSpec::new("", vec![auc().with_min(0.0)]).unwrap_err().context("field"), Some("name"));
}

#[test]
fn changing_one_byte_of_the_file_changes_the_digest_of_the_decision() {
    let text = format!("{FILE}min = 0.75 # as agreed");
    let new = report(&[("auc", value(0.8, 100))]);
    let digest = |text: &str| GateSpec::from_toml(text).unwrap().decide(&new, None, AT).unwrap().gate_digest;
    assert_eq!(digest(&text), Digest::of(text.as_bytes()));
    // A threshold, a comment, a blank.
    for changed in [text.replace("0.75", "0.74"), text.replace("agreed", "agreeb"), format!("{text} ")] {
        assert_ne!(digest(&changed), digest(&text), "{changed}");
    }
    let coded = |min| GateSpec::new("g", vec![auc().with_min(min)]).unwrap().digest();
    assert_ne!(coded(0.75), coded(0.74));
}

#[test]
fn a_file_is_read_as_its_text_is() {
    let path = std::env::temp_dir().join(format!("mlops-gate-{}.toml", uuid::Uuid::new_v4()));
    let text = format!("{FILE}min = 0.75\r\n");
    std::fs::write(&path, &text).unwrap();
    let read = GateSpec::from_file(&path).unwrap();
    std::fs::write(&path, format!("{FILE}mn = 0.75")).unwrap();
    let error = GateSpec::from_file(&path).unwrap_err();
    std::fs::remove_file(&path).unwrap();
    assert_eq!(read, GateSpec::from_toml(&text).unwrap());
    assert!(error.context("file").is_some_and(|f| !f.is_empty() && f != "(text)"), "{error}");
}
