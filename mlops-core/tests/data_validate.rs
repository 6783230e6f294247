//! Validation against dataframely, pandera and itself: whole, in batches, merged, resumed; and on hostile tables and files.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use mlops_core::ErrorKind;
use mlops_core::data::{
    Column, Comparison, DataType, Expectation, Expectations, ExtraColumns, Field, Length, Range, RuleVerdict,
    Schema, SchemaFormat, Severity, Table, Threshold, ValidateOptions, ValidationReport, Validator,
    ValidatorState, Validity, Values, parse_csv,
};
use proptest::prelude::*;
use serde::Deserialize;

#[derive(Deserialize)]
struct Reference {
    csv: String,
    dataframely: Dataframely,
    pandera: BTreeMap<String, Vec<u64>>,
    polars: Polars,
}

#[derive(Deserialize)]
struct Dataframely {
    counts: BTreeMap<String, u64>,
    together: Vec<(Vec<String>, u64)>,
    good: u64,
}

#[derive(Deserialize)]
struct Polars {
    repeated_ids: Vec<u64>,
}

/// dataframely 3.1.2, pandera 0.35.0 and polars 2.1.0, by `reference/data_validate.py`.
fn reference() -> Reference {
    serde_json::from_str(include_str!("reference/data_validate.json")).unwrap()
}

fn at_least(min: f64) -> Range {
    Range::new(Some(min), None).unwrap()
}

fn at_most(max: f64) -> Range {
    Range::new(None, Some(max)).unwrap()
}

/// The rules of `reference/data_validate.py` under dataframely's names.
fn visits() -> Expectations {
    let sites = ["bonn", "köln", "trier", "aachen"];
    let below = at_most(45.0).with_exclusive_max(true).unwrap();
    Expectations::new(vec![
        Expectation::present("site").with_id("site|nullability"),
        Expectation::one_of("site", sites).with_id("site_known"),
        Expectation::length("site", 0, Some(5)).with_id("site_length"),
        Expectation::matches("code", r"[ABC]\d\d").with_id("code|regex"),
        Expectation::within("bmi", at_least(5.0)).with_id("bmi|min"),
        Expectation::within("bmi", below).with_id("bmi|max_exclusive"),
        Expectation::within("age", at_least(0.0)).with_id("age|min"),
        Expectation::within("age", at_most(120.0)).with_id("age|max"),
        Expectation::compare("since", Comparison::Le, "until").with_id("in_order"),
    ])
    .unwrap()
}

fn validated(expected: &Expectations, table: &Table<'_>, batch: usize) -> (ValidationReport, Vec<u64>) {
    let mut validator = Validator::new(expected, ValidateOptions::default().with_samples(1_000));
    let mut bad = Vec::new();
    for part in parts(table, batch) {
        let split = validator.push(&part).unwrap();
        assert_eq!(split.good().len() + split.bad().len(), part.rows());
        bad.extend(split.bad().iter().map(|row| split.first_row() + *row as u64));
    }
    (validator.report(), bad)
}

fn parts(table: &Table<'_>, rows: usize) -> Vec<Table<'static>> {
    let all: Vec<usize> = (0..table.rows()).collect();
    all.chunks(rows).map(|rows| table.take(rows).unwrap()).collect()
}

#[test]
fn counts_and_combinations_are_those_of_dataframely() {
    let reference = reference();
    let table = parse_csv(reference.csv.as_bytes(), &Default::default()).unwrap();
    let (report, bad) = validated(&visits(), &table, usize::MAX);
    for result in &report.results {
        let expected = reference.dataframely.counts.get(&result.id).copied().unwrap_or(0);
        assert_eq!(result.failed, expected, "{}", result.id);
        assert_eq!(result.verdict == RuleVerdict::Fail, expected > 0);
    }
    assert_eq!(report.good_rows(), reference.dataframely.good);
    assert_eq!(bad.len() as u64, report.bad_rows);
    let mut ours: Vec<(Vec<String>, u64)> = Vec::new();
    for combination in &report.combinations {
        let mut rules = combination.rules.clone();
        rules.sort();
        ours.push((rules, combination.rows));
    }
    let mut theirs = reference.dataframely.together;
    ours.sort();
    theirs.sort();
    assert_eq!(ours, theirs);
}

#[test]
fn rows_are_those_of_pandera_and_repetitions_those_of_polars() {
    let reference = reference();
    let table = parse_csv(reference.csv.as_bytes(), &Default::default()).unwrap();
    let age = Range::new(Some(0.0), Some(120.0)).unwrap();
    let bmi = Range::new(Some(5.0), Some(45.0)).unwrap().with_exclusive_max(true).unwrap();
    let expected = Expectations::new(vec![
        Expectation::within("age", age).with_id("age: in_range"),
        Expectation::within("bmi", bmi).with_id("bmi: in_range"),
        Expectation::one_of("site", ["bonn", "köln", "trier", "aachen"]).with_id("site: isin"),
        Expectation::unique(["id"]),
    ])
    .unwrap();
    let (report, _) = validated(&expected, &table, usize::MAX);
    for id in ["age: in_range", "bmi: in_range", "site: isin"] {
        assert_eq!(report.result(id).unwrap().rows(), reference.pandera[id], "{id}");
    }
    // pandera names every row of a repeated key; the first of them is a good row here.
    assert_eq!(report.result("unique(id)").unwrap().rows(), reference.polars.repeated_ids);
}

fn everything() -> Expectations {
    visits()
        .with([
            Expectation::unique(["id"]),
            Expectation::unique(["site", "code"]).warning(),
            Expectation::not_constant("age"),
            Expectation::rows(300, Some(300)),
            Expectation::mostly_present("bmi", 0.1),
            Expectation::not_one_of("code", ["A00"]),
            Expectation::exists("nothing").with_severity(Severity::Info),
        ])
        .unwrap()
}

#[test]
fn batches_of_any_size_give_the_report_of_the_whole() {
    let table = parse_csv(reference().csv.as_bytes(), &Default::default()).unwrap();
    let whole = validated(&everything(), &table, usize::MAX);
    for batch in [1, 7, 63, 64, 65, 128, 299] {
        assert_eq!(validated(&everything(), &table, batch), whole, "batches of {batch}");
    }
}

#[test]
fn merged_parts_count_as_the_whole_and_say_what_they_could_not_place() {
    let table = parse_csv(reference().csv.as_bytes(), &Default::default()).unwrap();
    let expected = everything();
    let (whole, _) = validated(&expected, &table, usize::MAX);
    let options = ValidateOptions::default().with_samples(1_000);
    let mut merged = Validator::new(&expected, options.clone());
    for part in parts(&table, 77) {
        let mut validator = Validator::new(&expected, options.clone());
        validator.push(&part).unwrap();
        merged.merge(&validator).unwrap();
    }
    let merged = merged.report();
    for (ours, theirs) in merged.results.iter().zip(&whole.results) {
        assert_eq!(
            (ours.failed, ours.evaluated, ours.verdict),
            (theirs.failed, theirs.evaluated, theirs.verdict)
        );
        if theirs.rule != "unique" {
            assert_eq!(ours, theirs);
        }
    }
    let unique = |report: &ValidationReport| {
        report.results.iter().filter(|r| r.rule == "unique").map(|r| r.failed).sum::<u64>()
    };
    assert!(merged.unplaced > 0 && merged.unplaced <= unique(&whole));
    assert!(merged.bad_rows <= whole.bad_rows && merged.bad_rows + merged.unplaced >= whole.bad_rows);
    assert!(!merged.good_rows_usable());
}

#[test]
fn a_resumed_validator_goes_on_where_the_other_was() {
    let table = parse_csv(reference().csv.as_bytes(), &Default::default()).unwrap();
    let options = ValidateOptions::default().with_samples(1_000);
    let mut validator = Validator::new(&everything(), options);
    for part in parts(&table, 50) {
        validator.push(&part).unwrap();
        let written = serde_json::to_string(&validator.state()).unwrap();
        let state: ValidatorState = serde_json::from_str(&written).unwrap();
        assert_eq!(state, validator.state());
        validator = Validator::resume(state).unwrap();
    }
    assert_eq!(validator.report(), validated(&everything(), &table, 50).0);
}

#[test]
fn states_that_no_validator_has_are_refused() {
    let mut validator =
        Validator::new(&Expectations::new(vec![Expectation::finite("x")]).unwrap(), Default::default());
    validator.push(&Table::new(vec![Column::f64("x", vec![f64::NAN, 1.0]).unwrap()]).unwrap()).unwrap();
    let good = serde_json::to_value(validator.state()).unwrap();
    for (pointer, value) in [
        ("/schema_version", serde_json::json!(2)),
        ("/rows", serde_json::json!(0)),
        ("/bad_rows", serde_json::json!(3)),
        ("/tallies", serde_json::json!([])),
        ("/tallies/0/failed", serde_json::json!(9)),
        ("/tallies/0/samples/0/row", serde_json::json!(2)),
        ("/combinations/0/0/0", serde_json::json!(1)),
        ("/combinations/0/1", serde_json::json!(u64::MAX)),
    ] {
        let mut bad = good.clone();
        *bad.pointer_mut(pointer).unwrap() = value;
        let state = serde_json::from_value::<ValidatorState>(bad).unwrap();
        assert_eq!(Validator::resume(state).unwrap_err().kind(), ErrorKind::Corrupt, "{pointer}");
    }
}

fn numbers(values: Vec<f64>) -> Table<'static> {
    Table::new(vec![Column::f64("x", values).unwrap()]).unwrap()
}

fn only(expectation: Expectation, table: &Table<'_>) -> mlops_core::data::RuleResult {
    Expectations::new(vec![expectation]).unwrap().validate(table).results.remove(0)
}

#[test]
fn tolerance_and_levels_decide_what_failures_mean() {
    // One of ten values is NaN.
    let table = numbers((0..10).map(|i| if i == 3 { f64::NAN } else { f64::from(i) }).collect());
    let finite = || Expectation::finite("x");
    for (expectation, verdict, severity) in [
        (finite(), RuleVerdict::Fail, Severity::Error),
        (finite().with_max_failed(1), RuleVerdict::Pass, Severity::Error),
        (finite().with_max_failed(0), RuleVerdict::Fail, Severity::Error),
        (finite().with_max_fraction(0.1), RuleVerdict::Pass, Severity::Error),
        // What is called "mostly 0.9" elsewhere: 1 − 0.9 is a little less than 0.1.
        (finite().with_max_fraction(1.0 - 0.9), RuleVerdict::Pass, Severity::Error),
        (finite().with_max_fraction(0.09), RuleVerdict::Fail, Severity::Error),
        (finite().with_max_fraction(0.1).with_max_failed(0), RuleVerdict::Fail, Severity::Error),
        (
            finite().warning().with_escalation(Threshold::new(Severity::Critical).with_max_failed(0)),
            RuleVerdict::Fail,
            Severity::Critical,
        ),
        (
            finite()
                .with_max_failed(5)
                .with_escalation(Threshold::new(Severity::Critical).with_max_fraction(0.05)),
            RuleVerdict::Fail,
            Severity::Critical,
        ),
        (
            finite().warning().with_escalation(Threshold::new(Severity::Critical).with_max_failed(2)),
            RuleVerdict::Fail,
            Severity::Warning,
        ),
    ] {
        let result = only(expectation.clone(), &table);
        assert_eq!(
            (result.verdict, result.severity),
            (verdict, severity),
            "{expectation:?}: {}",
            result.message
        );
        assert_eq!((result.failed, result.evaluated), (1, 10));
    }
    // A tolerated row is still a bad row; one that only a warning is about is not.
    for (expectation, bad) in [(finite().with_max_failed(1), 1), (finite().warning(), 0)] {
        let report = Expectations::new(vec![expectation]).unwrap().validate(&table);
        assert!(report.passed());
        assert_eq!((report.bad_rows, report.combinations[0].rows), (bad, 1));
    }
}

#[test]
fn what_cannot_be_checked_is_no_pass() {
    let time = Column::new("t", Values::Time(vec![0, 1_000_000].into()), None).unwrap();
    let table = numbers(vec![1.0, 2.0]).with_column(time).unwrap();
    for (expectation, message) in [
        (Expectation::finite("y"), "column `y`: there is no such column"),
        (Expectation::matches("y", "a"), "column `y`: there is no such column"),
        (Expectation::length("x", 1, None), "column `x`: is f64 and holds no texts"),
        (
            Expectation::within_time("x", Some(chrono::DateTime::UNIX_EPOCH), None),
            "column `x`: is f64 and holds no times",
        ),
        (Expectation::fresh("t", Duration::from_secs(1)), "column `t`: its age is not known without `now`"),
        (Expectation::fresh("x", Duration::from_secs(1)), "column `x`: is f64 and holds no times"),
        (
            Expectation::compare("x", Comparison::Lt, "t"),
            "column `x`: is f64, which does not compare with time",
        ),
        (Expectation::foreign_key(["x"], "other"), "the table `other` was not given"),
        (Expectation::rows_ratio("other", at_least(0.5)), "the table `other` was not given"),
        (Expectation::unique(["x", "x"]), "columns `x`, `x`: the key names one twice"),
    ] {
        let result = only(expectation.clone(), &table);
        assert_eq!(
            (result.verdict, result.message.as_str()),
            (RuleVerdict::Unknown, message),
            "{expectation:?}"
        );
        let report = Expectations::new(vec![expectation.clone()]).unwrap().validate(&table);
        assert!(!report.passed() && !report.good_rows_usable() && report.bad_rows == 0);
    }
    let nothing = Validator::new(&visits(), ValidateOptions::default()).report();
    assert!(!nothing.passed() && nothing.results.iter().all(|r| r.verdict == RuleVerdict::Unknown));
    let skipped = only(Expectation::finite("y").with_if_present(true), &table);
    assert_eq!(skipped.verdict, RuleVerdict::Skipped);
    // Skipping everything is checking nothing.
    let expected = Expectations::new(vec![Expectation::finite("y").with_if_present(true)]).unwrap();
    assert!(!expected.validate(&table).passed());
}

#[test]
fn more_keys_than_may_be_kept_is_unknown_unless_something_was_found() {
    let expected = Expectations::new(vec![Expectation::unique(["x"])]).unwrap();
    let options = ValidateOptions::default().with_max_keys(100);
    let mut validator = Validator::new(&expected, options.clone());
    validator.push(&numbers((0..1_000).map(f64::from).collect())).unwrap();
    let report = validator.report();
    assert_eq!(report.results[0].verdict, RuleVerdict::Unknown);
    assert!(report.results[0].message.contains("more different keys than may be kept"));
    let mut validator = Validator::new(&expected, options);
    validator.push(&numbers((0..1_000).map(|i| f64::from(i / 2)).collect())).unwrap();
    assert_eq!(validator.report().results[0].verdict, RuleVerdict::Fail);
}

#[test]
fn a_stream_that_changes_its_columns_is_refused_and_nothing_changes() {
    let mut validator =
        Validator::new(&Expectations::new(vec![Expectation::finite("x")]).unwrap(), Default::default());
    validator.push(&numbers(vec![1.0])).unwrap();
    let other = Table::new(vec![Column::i64("x", vec![1]).unwrap()]).unwrap();
    let error = validator.push(&other).unwrap_err();
    assert_eq!(error.message(), "column 1 is `x` (i64), in earlier batches it was `x` (f64)");
    assert_eq!(validator.rows(), 1);
    let mut stranger =
        Validator::new(&Expectations::new(vec![Expectation::exists("x")]).unwrap(), Default::default());
    stranger.push(&numbers(vec![1.0])).unwrap();
    assert_eq!(validator.merge(&stranger).unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[test]
fn rules_across_tables_and_about_time_are_checked() {
    let patients = Table::new(vec![
        Column::i64("id", vec![1, 2]).unwrap(),
        Column::text("site", ["bonn", "köln"]).unwrap(),
    ])
    .unwrap();
    let visits = Table::new(vec![
        Column::new(
            "patient",
            Values::I64(vec![1, 2, 2, 0].into()),
            Some(Validity::from_bools(&[true, true, true, false])),
        )
        .unwrap(),
        Column::text("site", ["bonn", "bonn", "köln", "bonn"]).unwrap(),
        Column::new("at", Values::Time(vec![0, 60_000_000, 30_000_000, 5].into()), None).unwrap(),
    ])
    .unwrap();
    let key = Expectation::from(mlops_core::data::Rule::ForeignKey {
        columns: vec!["patient".into(), "site".into()],
        table: "patients".into(),
        references: vec!["id".into(), "site".into()],
    });
    let expected = Expectations::new(vec![
        key,
        Expectation::rows_ratio("patients", Range::new(Some(1.0), Some(1.5)).unwrap()),
        Expectation::fresh("at", Duration::from_secs(3_600)),
    ])
    .unwrap();
    let judged = |now: &str| {
        let options = ValidateOptions::default().with_now(now.parse().unwrap());
        let mut validator = Validator::new(&expected, options);
        validator.add_reference("patients", &patients).unwrap();
        validator.push(&visits).unwrap();
        validator.report()
    };
    let report = judged("1970-01-01T01:00:30Z");
    assert_eq!(report.results[0].rows(), [1]);
    assert_eq!(
        report.results[0].message,
        "columns `patient`, `site`: 1 row is without a counterpart in `patients`; first in row 2 (value 2, \"bonn\")"
    );
    assert_eq!(
        report.results[1].message,
        "the table has 4 rows, 2 times the 2 of `patients`; expected [1, 1.5]"
    );
    assert_eq!(report.results[2].verdict, RuleVerdict::Pass);
    assert_eq!(
        judged("1970-01-01T02:00:00Z").results[2].message,
        "column `at`: the newest value is 7140s old, at most 1h is allowed".replace("7140s", "119m")
    );
    assert_eq!(
        judged("1970-01-01T00:00:00Z").results[2].message,
        "column `at`: the newest value lies 1m in the future"
    );
    let mut validator = Validator::new(&expected, ValidateOptions::default());
    assert_eq!(validator.add_reference("patients", &visits).unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn an_environment_has_its_own_columns_and_rules() {
    let fields = vec![
        Field::new("age", DataType::I64),
        Field::new("label", DataType::Bool).with_not_in(["serving"]),
        Field::new("note", DataType::Category).with_optional(true).with_length(Length::new(1, None).unwrap()),
    ];
    let schema = Schema::new(fields)
        .unwrap()
        .with_environments(["training", "serving"])
        .unwrap()
        .with_rules(vec![Expectation::rows(2, None).with_only_in(["training"])])
        .unwrap()
        .with_extra_columns(ExtraColumns::Refuse);
    let age = Column::i64("age", vec![59]).unwrap();
    let serving = Table::new(vec![age.clone()]).unwrap();
    let training = Table::new(vec![age, Column::bool("label", vec![true]).unwrap()]).unwrap();
    let failed = |environment: &str, table: &Table<'_>| -> Vec<String> {
        let report = Expectations::for_environment(&schema, environment).unwrap().validate(table);
        report.failures().map(|f| f.id.clone()).collect()
    };
    assert_eq!(failed("serving", &serving), Vec::<String>::new());
    assert_eq!(failed("serving", &training), ["no_other_columns"]);
    assert_eq!(failed("training", &training), ["rows"]);
    assert_eq!(failed("training", &serving), ["type(label)", "present(label)", "rows"]);
    assert!(
        Schema::new(vec![Field::new("x", DataType::F64)]).unwrap().with_environments(["a", "a"]).is_err()
    );
}

#[test]
fn the_order_of_columns_is_checked_where_it_matters() {
    let schema = Schema::new(vec![Field::new("a", DataType::F64), Field::new("b", DataType::F64)]).unwrap();
    let column = |name: &'static str| Column::f64(name, vec![1.0]).unwrap();
    let swapped = Table::new(vec![column("b"), column("a")]).unwrap();
    assert!(Expectations::from_schema(&schema).validate(&swapped).passed());
    let report = Expectations::from_schema(&schema.with_ordered(true)).validate(&swapped);
    let messages: Vec<&str> = report.failures().map(|f| f.message.as_str()).collect();
    assert_eq!(messages, ["column `b`: stands before `a`, expected after it"]);
}

#[test]
fn reports_can_leave_values_out() {
    let secret = Table::new(vec![Column::text("name", ["Ada", "Ada"]).unwrap()]).unwrap();
    let expected = Expectations::new(vec![
        Expectation::one_of("name", ["x"]),
        Expectation::unique(["name"]),
        Expectation::not_constant("name"),
    ])
    .unwrap();
    let mut validator = Validator::new(&expected, ValidateOptions::default().with_values(false));
    validator.push(&secret).unwrap();
    let written = serde_json::to_string(&validator.report()).unwrap();
    assert!(!written.contains("Ada") && written.contains("2 values are none of the 1 allowed"), "{written}");
}

#[test]
fn integers_and_times_at_the_ends_of_their_range_are_compared_exactly() {
    let big = 9_007_199_254_740_993; // 2⁵³ + 1, which no float is
    let table = Table::new(vec![
        Column::i64("n", vec![i64::MIN, big - 1, big, i64::MAX]).unwrap(),
        Column::new("t", Values::Time(vec![i64::MIN, 0, 1, i64::MAX].into()), None).unwrap(),
    ])
    .unwrap();
    let rows = |expectation| only(expectation, &table).rows();
    assert_eq!(rows(Expectation::within("n", at_most(9_007_199_254_740_992.0))), [2, 3]);
    assert_eq!(rows(Expectation::within("n", at_least(-9.3e18))), Vec::<u64>::new());
    assert_eq!(rows(Expectation::within("n", at_least(9.3e18))), [0, 1, 2, 3]);
    let epoch = chrono::DateTime::UNIX_EPOCH;
    assert_eq!(rows(Expectation::within_time("t", Some(epoch), Some(epoch))), [0, 2, 3]);
    assert_eq!(rows(Expectation::compare("n", Comparison::Ge, "n2")), Vec::<u64>::new());
    // Times that no calendar has are shown as something.
    assert!(
        only(Expectation::within_time("t", Some(epoch), None), &table).message.contains("first in row 1")
    );
}

#[test]
fn empty_tables_single_rows_and_columns_of_nothing_are_judged() {
    let schema = Schema::new(vec![
        Field::new("x", DataType::F64).with_finite(true).with_unique(true),
        Field::new("c", DataType::Category).with_nullable(true).with_pattern("[a-z]+"),
    ])
    .unwrap();
    let expected = Expectations::from_schema(&schema);
    let table = |x: Vec<f64>, c: Vec<Option<&str>>| {
        Table::new(vec![Column::f64("x", x).unwrap(), Column::optional_text("c", c).unwrap()]).unwrap()
    };
    assert!(expected.validate(&table(vec![], vec![])).passed());
    assert!(expected.validate(&table(vec![1.0], vec![None])).passed());
    assert!(expected.validate(&table(vec![1.0, 2.0], vec![None, None])).passed());
    assert!(!expected.validate(&table(vec![1.0], vec![Some("A")])).passed());
    assert!(!expected.validate(&Table::default()).passed());
}

#[test]
fn a_million_categories_are_no_trouble() {
    let levels: Arc<[String]> = (0..1_000_000).map(|i| format!("patient-{i:07}")).collect();
    let codes: Vec<u32> = (0..100_000).map(|i| i * 7 % 1_000_000).collect();
    let column = Column::new("c", Values::Category { codes: codes.into(), levels }, None).unwrap();
    let expected = Expectations::new(vec![
        Expectation::matches("c", r"patient-\d{7}"),
        Expectation::unique(["c"]),
        Expectation::length("c", 15, Some(15)),
    ])
    .unwrap();
    assert!(expected.validate(&Table::new(vec![column]).unwrap()).passed());
}

const PATIENTS: &str = r#"environments = ["training", "serving"]
extra_columns = "refuse"
ordered = true

[[fields]]
name = "age"
data_type = "i64"
range = { min = 0, max = 120, exclusive_max = true }

[[fields]]
name = "icd"
data_type = "category"
nullable = true
pattern = '[A-Z]\d\d(\.\d+)?'
length = { min = 3, max = 8 }
not_in = ["serving"]

[[rules]]
id = "enough"
rule = "rows"
min = 100
only_in = ["training"]

[[rules]]
rule = "unique"
columns = ["age", "icd"]
severity = "warning"
max_fraction = 0.01
escalations = [{ severity = "critical", max_fraction = 0.5 }]

[[rules]]
rule = "compare"
column = "age"
is = "le"
other = "icd"
if_present = true
"#;

#[test]
fn a_schema_file_says_all_and_is_written_back_the_same() {
    let schema = Schema::from_text(PATIENTS, SchemaFormat::Toml).unwrap();
    assert_eq!(schema.fields()[0].range.unwrap().to_string(), "[0, 120)");
    assert_eq!(schema.rules()[1].escalations[0].severity, Severity::Critical);
    for format in [SchemaFormat::Toml, SchemaFormat::Json] {
        assert_eq!(Schema::from_text(&schema.to_text(format).unwrap(), format).unwrap(), schema);
    }
    let every = Schema::new(vec![Field::new("x", DataType::Time), Field::new("y", DataType::Time)])
        .unwrap()
        .with_rules(vec![
            Expectation::exists("x"),
            Expectation::data_type("x", DataType::Time),
            Expectation::mostly_present("x", 0.5),
            Expectation::within("x", at_least(0.0)),
            Expectation::within_time("x", Some("2024-02-29T12:00:00Z".parse().unwrap()), None),
            Expectation::one_of("x", ["a"]),
            Expectation::not_one_of("x", ["a"]),
            Expectation::matches("x", "a|b"),
            Expectation::length("x", 1, Some(2)),
            Expectation::finite("x"),
            Expectation::not_constant("x"),
            Expectation::unique(["x", "y"]),
            Expectation::compare("x", Comparison::Gt, "y"),
            Expectation::rows(1, Some(2)),
            Expectation::no_other_columns(["x"]),
            Expectation::column_order(["y", "x"]),
            Expectation::fresh("x", Duration::from_secs(90)),
            Expectation::foreign_key(["x"], "t"),
            Expectation::rows_ratio("t", at_most(1.0)),
        ])
        .unwrap();
    for format in [SchemaFormat::Toml, SchemaFormat::Json] {
        assert_eq!(Schema::from_text(&every.to_text(format).unwrap(), format).unwrap(), every);
    }
}

#[test]
fn a_bad_schema_file_is_refused_with_key_and_line() {
    for (from, to, field, line) in [
        ("extra_columns", "extra_colums", "extra_colums", "2"),
        ("\"refuse\"", "\"refuze\"", "extra_columns", "2"),
        ("data_type = \"i64\"", "data_type = \"int\"", "fields.data_type", "7"),
        ("min = 0,", "min = 500,", "fields.range", "8"),
        ("name = \"icd\"", "name = \"age\"", "name", "11"),
        (r"'[A-Z]\d\d(\.\d+)?'", "'('", "pattern", "14"),
        ("data_type = \"category\"", "data_type = \"f64\"", "pattern", "14"),
        ("not_in = [\"serving\"]", "not_in = [\"severing\"]", "not_in", "16"),
        ("max_fraction = 0.01", "max_fraction = 1.01", "max_fraction", "28"),
        ("max_fraction = 0.01", "max_frction = 0.01", "max_frction", "28"),
        ("max_fraction = 0.01", "max_fraction = nan", "max_fraction", "28"),
        ("columns = [\"age\", \"icd\"]", "columns = [\"age\", \"sex\"]", "column", "24"),
        ("rule = \"rows\"\nmin = 100", "rule = \"rows\"\nvalues = [\"a\"]", "values", "21"),
        ("is = \"le\"", "is = \"less\"", "rules.is", "34"),
        ("rule = \"unique\"", "rule = \"uniq\"", "rules.rule", "25"),
        ("nullable = true", "nullable = true\nnullable = true", "nullable", "14"),
    ] {
        assert!(PATIENTS.contains(from), "{from}");
        let error = Schema::from_text(&PATIENTS.replacen(from, to, 1), SchemaFormat::Toml).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        let (found, at) =
            (error.context("field").unwrap_or_default(), error.context("line").unwrap_or_default());
        assert!(found.ends_with(field.rsplit('.').next().unwrap()), "{to}: {error}");
        assert_eq!(at, line, "{to}: {error}");
    }
    for text in ["", "fields = []", "[[fields]]", "\u{feff}", "fields = 3", "[", "{}", "\0"] {
        for format in [SchemaFormat::Toml, SchemaFormat::Json] {
            assert!(Schema::from_text(text, format).is_err(), "{text:?}");
        }
    }
    let deep = format!("{{\"fields\":{}{}}}", "[".repeat(50_000), "]".repeat(50_000));
    assert!(Schema::from_text(&deep, SchemaFormat::Json).is_err());
    let long = format!("# {}", "x".repeat(2 << 20));
    assert_eq!(Schema::from_text(&long, SchemaFormat::Toml).unwrap_err().kind(), ErrorKind::LimitExceeded);
    let many = Schema::new(vec![Field::new("c", DataType::Category)]).unwrap();
    let patterns = |n| (0..n).map(|_| Expectation::matches("c", "a")).collect::<Vec<_>>();
    assert!(many.clone().with_rules(patterns(256)).is_ok());
    assert_eq!(many.with_rules(patterns(257)).unwrap_err().kind(), ErrorKind::LimitExceeded);
}

#[test]
fn a_diff_says_whom_a_change_may_hurt() {
    let base = Schema::from_text(PATIENTS, SchemaFormat::Toml).unwrap();
    for (from, to, breaks, refuses) in [
        ("max = 120", "max = 130", false, false),
        ("max = 120", "max = 110", false, true),
        ("nullable = true", "nullable = false", false, true),
        ("max = 8", "max = 9", false, false),
        ("min = 100", "min = 90", false, false),
        ("min = 100", "min = 110", false, true),
        ("severity = \"warning\"", "severity = \"error\"", false, true),
        ("max_fraction = 0.01", "max_fraction = 0.02", false, false),
        ("max_fraction = 0.01", "max_fraction = 0.001", false, true),
        ("ordered = true", "ordered = false", false, false),
        ("\"refuse\"", "\"warn\"", false, false),
        ("data_type = \"i64\"", "data_type = \"f64\"", true, true),
        ("pattern = '[A-Z]", "pattern = '[A-Y]", false, true),
    ] {
        let other = Schema::from_text(&PATIENTS.replacen(from, to, 1), SchemaFormat::Toml).unwrap();
        let diff = base.diff(&other);
        assert!(!diff.is_empty(), "{to}");
        assert_eq!((diff.is_breaking(), diff.may_refuse()), (breaks, refuses), "{to}: {diff}");
        let written = serde_json::to_string(&diff).unwrap();
        assert_eq!(serde_json::from_str::<mlops_core::data::SchemaDiff>(&written).unwrap(), diff);
    }
    assert!(base.diff(&base).is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Masks of 64 rows, with bitmaps that start anywhere, against a loop over the rows.
    #[test]
    fn blocks_find_what_a_loop_over_the_rows_finds(
        cells in prop::collection::vec((any::<bool>(), 0_u8..6, any::<bool>()), 0..300),
        offset in 0_usize..9,
    ) {
        let values: Vec<f64> = cells.iter().map(|(_, v, _)| [0.0, -0.0, 1.5, f64::NAN, 1e300, -7.0][usize::from(*v)]).collect();
        let mut bits = vec![0_u8; (offset + cells.len()).div_ceil(8) + 1];
        for (at, _) in cells.iter().enumerate().filter(|(_, cell)| cell.0) {
            bits[(offset + at) / 8] |= 1 << ((offset + at) % 8);
        }
        let validity = Validity::new(bits, offset, cells.len()).unwrap();
        let x = Column::new("x", Values::F64(values.clone().into()), Some(validity)).unwrap();
        let b = Column::bool("b", cells.iter().map(|cell| cell.2).collect::<Vec<_>>()).unwrap();
        let table = Table::new(vec![x, b]).unwrap();
        let range = Range::new(Some(0.0), Some(2.0)).unwrap();
        let expected = Expectations::new(vec![
            Expectation::present("x"),
            Expectation::within("x", range),
            Expectation::one_of("b", ["true"]),
            Expectation::unique(["x"]),
        ]).unwrap();
        let mut validator = Validator::new(&expected, ValidateOptions::default().with_samples(1_000));
        let split = validator.push(&table).unwrap();
        let mut seen = std::collections::HashSet::new();
        let mut naive: [Vec<u64>; 4] = Default::default();
        for (row, (valid, _, flag)) in cells.iter().enumerate() {
            let value = values[row];
            let key = if value.is_nan() { f64::NAN.to_bits() } else { (value + 0.0).to_bits() };
            let broken = [!valid, *valid && !(0.0..=2.0).contains(&value), !flag, *valid && !seen.insert(key)];
            (0..4).filter(|rule| broken[*rule]).for_each(|rule| naive[rule].push(row as u64));
        }
        let report = validator.report();
        for (result, rows) in report.results.iter().zip(&naive) {
            prop_assert_eq!(&result.rows(), rows);
            prop_assert_eq!(result.failed, rows.len() as u64);
        }
        let mut bad: Vec<u64> = naive.concat();
        bad.sort_unstable();
        bad.dedup();
        prop_assert_eq!(split.bad().iter().map(|row| *row as u64).collect::<Vec<_>>(), bad);
    }
}
