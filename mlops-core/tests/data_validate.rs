//! Validation against dataframely, pandera and itself: whole, in batches, merged, resumed; and on hostile tables and files.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use mlops_core::ErrorKind;
use mlops_core::data::{
    Column, Comparison, CsvOptions, DataType, Expectation, Expectations, ExtraColumns, Field, Length, Range,
    ReadBatch, RuleVerdict, Schema, SchemaFormat, Severity, Statistic, Table, Threshold, TolerantCsvBatches,
    ValidateOptions, ValidationReport, Validator, ValidatorState, Validity, Values, parse_csv,
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
            Expectation::readable(["x"]),
            Expectation::readable(Vec::<String>::new()),
            Expectation::aggregate("x", Statistic::Mean, at_most(1.0)),
            Expectation::aggregate("x", Statistic::Sum, at_most(1.0)),
            Expectation::aggregate("x", Statistic::Min, at_most(1.0)),
            Expectation::aggregate("x", Statistic::Max, at_most(1.0)),
            Expectation::aggregate("x", Statistic::StandardDeviation, at_most(1.0)),
            Expectation::aggregate("x", Statistic::Quantile(0.25), at_most(1.0)),
            Expectation::aggregate("x", Statistic::Distinct, at_most(1.0)),
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

/// Statistic, column, minimum, maximum, success.
type Judged = (String, String, Option<f64>, Option<f64>, bool);

#[derive(Deserialize)]
struct Aggregates {
    csv: String,
    values: BTreeMap<String, BTreeMap<String, serde_json::Value>>,
    verdicts: Vec<Judged>,
}

/// pandas 2.3.3, NumPy 2.3.5 and Great Expectations 1.24.1, by `reference/data_aggregates.py`.
fn aggregates() -> (Table<'static>, Aggregates) {
    let reference: Aggregates = serde_json::from_str(include_str!("reference/data_aggregates.json")).unwrap();
    (parse_csv(reference.csv.as_bytes(), &Default::default()).unwrap(), reference)
}

fn statistic(name: &str) -> Statistic {
    use Statistic::{Distinct, Max, Mean, Min, StandardDeviation, Sum};
    let all = [Mean, Sum, Min, Max, StandardDeviation, Distinct];
    all.into_iter().find(|statistic| statistic.name() == name).unwrap()
}

#[test]
fn statistics_are_those_of_pandas_and_numpy() {
    let (table, reference) = aggregates();
    for (column, values) in &reference.values {
        for (name, value) in values {
            let wanted: Vec<(Statistic, f64)> = match value.as_array() {
                None => vec![(statistic(name), value.as_f64().unwrap())],
                Some(pairs) => pairs
                    .iter()
                    .map(|pair| (Statistic::Quantile(pair[0].as_f64().unwrap()), pair[1].as_f64().unwrap()))
                    .collect(),
            };
            for (statistic, theirs) in wanted {
                let result = only(Expectation::aggregate(column, statistic, Range::default()), &table);
                let ours = result.observed.unwrap();
                // pandas' plain sums of squares of values near 1e9 lose digits; the deviation is compared with fewer.
                let near = if statistic == Statistic::StandardDeviation { 1e-9 } else { 1e-14 };
                assert!(
                    (ours - theirs).abs() <= near * theirs.abs(),
                    "{column} {statistic}: {ours}, {theirs}"
                );
                assert_eq!(result.verdict, RuleVerdict::Pass, "{column} {statistic}");
            }
        }
    }
}

#[test]
fn verdicts_on_statistics_are_those_of_great_expectations() {
    let (table, reference) = aggregates();
    assert_eq!(reference.verdicts.len(), 76);
    for (name, column, low, high, success) in &reference.verdicts {
        let range = Range::new(*low, *high).unwrap();
        let result = only(Expectation::aggregate(column, statistic(name), range), &table);
        assert_eq!(result.verdict == RuleVerdict::Pass, *success, "{name} of {column} in {range}");
    }
}

fn of_everything(column: &str) -> Vec<Expectation> {
    use Statistic::{Distinct, Max, Mean, Min, Quantile, StandardDeviation, Sum};
    [Mean, Sum, Min, Max, StandardDeviation, Quantile(0.1), Quantile(0.9), Distinct]
        .map(|statistic| Expectation::aggregate(column, statistic, at_most(0.0)))
        .to_vec()
}

#[test]
fn statistics_do_not_depend_on_how_a_table_is_cut_written_or_merged() {
    let (table, _) = aggregates();
    let rules = ["x", "n", "small"].iter().flat_map(|column| of_everything(column));
    let expected = Expectations::new(rules.collect()).unwrap();
    let whole = validated(&expected, &table, usize::MAX).0;
    for rows in [1, 63, 64, 200] {
        assert_eq!(validated(&expected, &table, rows).0, whole, "batches of {rows}");
    }
    let mut merged = Validator::new(&expected, ValidateOptions::default());
    for part in parts(&table, 77) {
        let mut validator = Validator::new(&expected, ValidateOptions::default());
        validator.push(&part).unwrap();
        let written = serde_json::to_string(&validator.state()).unwrap();
        merged.merge(&Validator::resume(serde_json::from_str(&written).unwrap()).unwrap()).unwrap();
    }
    for (ours, theirs) in merged.report().results.iter().zip(&whole.results) {
        let (a, b) = (ours.observed.unwrap(), theirs.observed.unwrap());
        assert!((a - b).abs() <= 1e-12 * b.abs(), "{}: {a}, {b}", ours.id);
        assert_eq!((ours.verdict, ours.evaluated), (theirs.verdict, theirs.evaluated));
    }
}

#[test]
fn what_has_no_statistic_does_not_pass() {
    let all = Range::default();
    let time = Column::new("x", Values::Time(vec![5, -5].into()), None).unwrap();
    let texts = Column::text("x", ["a", "b"]).unwrap();
    let none = Column::new("x", Values::F64(vec![0.0].into()), Some(Validity::from_bools(&[false]))).unwrap();
    let float = |values: &[f64]| Column::f64("x", values.to_vec()).unwrap();
    let result = |column: &Column<'_>, statistic| {
        only(Expectation::aggregate("x", statistic, all), &Table::new(vec![column.clone()]).unwrap())
    };
    use RuleVerdict::{Fail, Pass, Unknown};
    for (column, statistic, verdict, message) in [
        (&texts, Statistic::Mean, Unknown, "column `x`: is category and has no mean"),
        (&texts, Statistic::Max, Unknown, "column `x`: is category and has no max"),
        (&texts, Statistic::Distinct, Pass, ""),
        (&time, Statistic::Sum, Unknown, "column `x`: is time and has no sum"),
        (&time, Statistic::Max, Pass, ""),
        (&none, Statistic::Sum, Unknown, "column `x`: has no value"),
        (&none, Statistic::Quantile(0.5), Unknown, "column `x`: has no value"),
        (&none, Statistic::Distinct, Pass, ""),
        (&float(&[1.0]), Statistic::StandardDeviation, Unknown, "column `x`: has fewer than two values"),
        (
            &float(&[1.0, f64::NAN]),
            Statistic::Max,
            Fail,
            "column `x`: the maximum is not known: 1 value is NaN, expected (−∞, ∞)",
        ),
        (
            &float(&[f64::INFINITY, f64::NEG_INFINITY]),
            Statistic::Mean,
            Fail,
            "column `x`: the mean is NaN, expected (−∞, ∞)",
        ),
        (
            &float(&[1e308, -1e308]),
            Statistic::StandardDeviation,
            Fail,
            "column `x`: the standard deviation is NaN, expected (−∞, ∞)",
        ),
        (&float(&[1e308, -1e308]), Statistic::Mean, Pass, ""),
    ] {
        let result = result(column, statistic);
        assert_eq!((result.verdict, result.message.as_str()), (verdict, message), "{statistic} {column:?}");
    }
    // Beyond 2⁵³, and beyond 64 bits, integers are summed exactly.
    let big = Column::i64("x", vec![i64::MAX, i64::MAX, 1]).unwrap();
    let table = Table::new(vec![big]).unwrap();
    let sum = |min| only(Expectation::aggregate("x", Statistic::Sum, at_least(min)), &table).verdict;
    let two64 = 18_446_744_073_709_551_616.0;
    assert_eq!((sum(two64), sum(18_446_744_073_709_549_568.0)), (Fail, Pass));
    let hidden = ValidateOptions::default().with_values(false);
    let rules = Expectations::new(of_everything("x")).unwrap();
    let mut validator = Validator::new(&rules, hidden);
    validator.push(&table).unwrap();
    let report = validator.report();
    assert_eq!(
        report.result("max(x)").unwrap().message,
        "column `x`: the maximum is elsewhere, expected (−∞, 0]"
    );
    assert_eq!(report.results.iter().filter(|r| r.observed.is_none()).count(), 4);
    for bad in [f64::NAN, -0.1, 1.1] {
        let error = Expectations::new(vec![Expectation::aggregate("x", Statistic::Quantile(bad), all)]);
        assert_eq!(error.unwrap_err().context("field"), Some("share"));
    }
    let many = vec![Expectation::aggregate("x", Statistic::Quantile(0.5), all); 65];
    assert_eq!(Expectations::new(many).unwrap_err().kind(), ErrorKind::LimitExceeded);
}

#[test]
fn too_many_different_values_are_judged_by_what_is_certain() {
    let judged = |range| {
        let rule = Expectation::aggregate("x", Statistic::Distinct, range);
        let expected = Expectations::new(vec![rule]).unwrap();
        let mut validator = Validator::new(&expected, ValidateOptions::default().with_max_keys(100));
        validator.push(&numbers((0..1_000).map(|i| f64::from(i * 7 % 1_000)).collect())).unwrap();
        validator.report().results[0].verdict
    };
    assert_eq!(judged(at_most(100.0)), RuleVerdict::Fail);
    assert_eq!(judged(at_least(101.0)), RuleVerdict::Pass);
    assert_eq!(judged(at_least(500.0)), RuleVerdict::Unknown);
}

#[test]
fn statistics_of_hostile_states_are_refused() {
    let rules = vec![
        Expectation::aggregate("x", Statistic::Mean, at_most(9.0)),
        Expectation::aggregate("x", Statistic::Quantile(0.5), at_most(9.0)),
        Expectation::aggregate("x", Statistic::Max, at_most(9.0)),
        Expectation::aggregate("x", Statistic::Distinct, at_most(9.0)),
    ];
    let mut validator = Validator::new(&Expectations::new(rules).unwrap(), ValidateOptions::default());
    validator.push(&numbers(vec![1.0, 2.0, f64::INFINITY])).unwrap();
    let good = serde_json::to_value(validator.state()).unwrap();
    assert!(Validator::resume(serde_json::from_value(good.clone()).unwrap()).is_ok());
    use serde_json::json;
    for (pointer, value) in [
        ("/tallies/0/aggregate/nan", json!(u64::MAX)),
        ("/tallies/0/aggregate/seen/sum/count", json!(4)),
        ("/tallies/0/aggregate/seen/sum/whole", json!("1e9")),
        ("/tallies/0/aggregate", good.pointer("/tallies/1/aggregate").unwrap().clone()),
        ("/tallies/1/aggregate/seen/draw/values", json!([1])),
        ("/tallies/1/aggregate/seen/draw/values/0", json!(f64::NAN.to_bits())),
        ("/tallies/1/aggregate/seen/draw/bound", json!(0)),
        ("/tallies/2/aggregate/seen/ends/real", json!([2.0_f64.to_bits(), 1.0_f64.to_bits()])),
        ("/tallies/3/aggregate/seen/different/more_than", json!(1)),
    ] {
        let mut bad = good.clone();
        *bad.pointer_mut(pointer).unwrap_or_else(|| panic!("{pointer} in {good}")) = value;
        let state = serde_json::from_value::<ValidatorState>(bad).unwrap();
        assert_eq!(Validator::resume(state).unwrap_err().kind(), ErrorKind::Corrupt, "{pointer}");
    }
}

fn tolerant(text: &str, options: &CsvOptions, rows: usize) -> Vec<ReadBatch> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    TolerantCsvBatches::open(file.path(), options, rows).unwrap().collect::<Result<_, _>>().unwrap()
}

const VISITS: &str = "id,age,seen
1,61,2024-01-31
2,old,2024-01-31
3,48
4,-1,yesterday
5,33,2024-01-31
6,,2024-01-31,x
7,20,2024-02-01
";

fn visit_schema() -> Schema {
    Schema::new(vec![
        Field::new("id", DataType::I64).with_unique(true),
        Field::new("age", DataType::I64).with_nullable(true).with_range(at_least(0.0)),
        Field::new("seen", DataType::Time),
    ])
    .unwrap()
}

#[test]
fn what_cannot_be_read_is_set_aside_with_its_reasons_in_batches_of_any_size() {
    let schema = visit_schema();
    let options = CsvOptions::default().with_schema(&schema);
    let read = |rows| {
        let mut validator = Validator::new(&Expectations::from_schema(&schema), ValidateOptions::default());
        let (mut good, mut why) = (Vec::new(), Vec::new());
        for batch in tolerant(VISITS, &options, rows) {
            let split = validator.push_read(&batch).unwrap();
            let kept = split.good_table(batch.table()).unwrap();
            good.extend(
                (0..kept.rows()).map(|row| kept.column("id").unwrap().label(row).unwrap().into_owned()),
            );
            let bad = split.bad_table(batch.table(), "why").unwrap();
            why.extend(
                (0..bad.rows()).map(|row| bad.column("why").unwrap().label(row).unwrap().into_owned()),
            );
        }
        (good, why, validator.report())
    };
    let (good, why, report) = read(100);
    assert_eq!(good, ["1", "5", "7"]);
    assert_eq!(
        why,
        [
            "readable (line 3, column `age`: \"old\" is not a whole number of 64 bits)",
            "readable (line 4: \"3,48\" has 2 fields, but there are 3 columns)",
            "within(age); present(seen); readable (line 5, column `seen`: \"yesterday\" is not an ISO 8601 date or time)",
            "readable (line 7: \"6,,2024-01-31,x\" has 4 fields, but there are 3 columns)",
        ]
    );
    assert_eq!((report.rows, report.bad_rows), (7, 4));
    let readable = report.result("readable").unwrap();
    assert_eq!((readable.failed, readable.evaluated, readable.rows()), (4, 7, vec![1, 2, 3, 5]));
    assert_eq!(
        readable.message,
        "the file: 4 rows cannot be read; first in row 2 (line 3, column `age`: \"old\" is not a whole number of 64 bits)"
    );
    // Rows that are none are nobody else's failure.
    assert_eq!(report.result("present(id)").unwrap().failed, 0);
    assert_eq!(report.result("present(seen)").unwrap().failed, 1);
    assert!(!report.passed() && report.good_rows_usable());
    for rows in [1, 2, 3] {
        assert_eq!(read(rows), (good.clone(), why.clone(), report.clone()), "batches of {rows}");
    }
    // Strict reading names the first of them: rows of another width before values.
    let error = parse_csv(VISITS.as_bytes(), &options).unwrap_err();
    assert_eq!(error.message(), "row 3 (line 4): has 2 fields, but there are 3 columns");
}

#[test]
fn rules_say_what_unreadable_values_mean() {
    let text = "id,age\n1,61\n2,old\n3,48\n4,young\n5,5\n6,6\n7,7\n8,8\n9,9\n10,10\n";
    let options = CsvOptions::default().with_type("age", DataType::I64);
    let judged = |rules: Vec<Expectation>, options: ValidateOptions, text: &str| {
        let csv = CsvOptions::default().with_type("age", DataType::I64);
        let mut validator = Validator::new(&Expectations::new(rules).unwrap(), options);
        let mut bad = Vec::new();
        for batch in tolerant(text, &csv, 3) {
            let split = validator.push_read(&batch).unwrap();
            bad.extend(split.bad().iter().map(|row| split.first_row() + *row as u64));
        }
        (validator.report(), bad)
    };
    let age = || Expectation::readable(["age"]);
    let default = ValidateOptions::default;
    for (rule, passed, severity, bad) in [
        (age(), false, Severity::Error, vec![1, 3]),
        (age().with_max_fraction(0.2), true, Severity::Error, vec![1, 3]),
        (age().with_max_failed(1), false, Severity::Error, vec![1, 3]),
        (age().warning(), true, Severity::Warning, vec![]),
        (
            age().warning().with_escalation(Threshold::new(Severity::Critical).with_max_failed(1)),
            false,
            Severity::Critical,
            vec![],
        ),
    ] {
        let (report, rows) = judged(vec![rule.clone()], default(), text);
        let result = report.result("readable(age)").unwrap();
        assert_eq!((report.passed(), result.severity, rows), (passed, severity, bad), "{rule:?}");
        assert_eq!((result.failed, result.evaluated, report.results.len()), (2, 10, 1));
        assert_eq!(
            result.samples[0].value.as_deref(),
            Some("line 3, column `age`: \"old\" is not a whole number of 64 bits")
        );
    }
    // A rule about one column leaves the rest to the rule about the rest, which comes by itself.
    let (report, bad) = judged(vec![age().warning()], default(), &text.replace("5,5", "5"));
    assert_eq!((report.result("readable").unwrap().failed, bad), (1, vec![4]));
    // A warning does not make a good row of one that is none.
    let rest = Expectation::readable(Vec::<String>::new()).warning();
    let (report, bad) = judged(vec![rest], default(), &text.replace("5,5", "5"));
    assert_eq!((report.passed(), bad, report.bad_rows), (true, vec![4], 1));
    // A value that could not be read is not there for other rules.
    let rules = vec![age().warning(), Expectation::present("age")];
    let (report, bad) = judged(rules, default(), text);
    assert_eq!((report.result("present(age)").unwrap().failed, bad), (2, vec![1, 3]));
    let (report, _) = judged(vec![age()], default().with_values(false), text);
    assert!(!serde_json::to_string(&report).unwrap().contains("young"));
    let mut validator =
        Validator::new(&Expectations::new(vec![age()]).unwrap(), default().with_values(false));
    let batch = tolerant(text, &options, 100).remove(0);
    let why = validator.push_read(&batch).unwrap().bad_table(batch.table(), "why").unwrap();
    assert_eq!(
        why.column("why").unwrap().label(0).as_deref(),
        Some("readable(age) (line 3, column `age`: is not a whole number of 64 bits)")
    );
    // In a table nothing is unreadable.
    let table = parse_csv(b"age\n1\n", &options).unwrap();
    assert!(Expectations::new(vec![age()]).unwrap().validate(&table).passed());
    let other = Expectations::new(vec![Expectation::readable(["weight"])]).unwrap();
    assert_eq!(other.validate(&table).results[0].verdict, RuleVerdict::Unknown);
}

#[test]
fn parts_of_which_only_some_were_unreadable_merge_and_resume() {
    let schema = visit_schema();
    let options = CsvOptions::default().with_schema(&schema);
    let expected = Expectations::from_schema(&schema);
    let mut whole = Validator::new(&expected, ValidateOptions::default());
    let batches = tolerant(VISITS, &options, 2);
    batches.iter().for_each(|batch| drop(whole.push_read(batch).unwrap()));
    let part = |batch: &ReadBatch| {
        let mut part = Validator::new(&expected, ValidateOptions::default());
        part.push_read(batch).unwrap();
        let written = serde_json::to_string(&part.state()).unwrap();
        Validator::resume(serde_json::from_str(&written).unwrap()).unwrap()
    };
    for first in [None, Some(0)] {
        let mut merged = match first {
            None => Validator::new(&expected, ValidateOptions::default()),
            Some(at) => part(&batches[at]),
        };
        batches
            .iter()
            .skip(usize::from(first.is_some()))
            .for_each(|batch| merged.merge(&part(batch)).unwrap());
        assert_eq!(merged.report(), whole.report());
    }
    // From the end, so that a part without the rule meets one that has it.
    let mut last = part(&batches[3]);
    last.merge(&part(&batches[0])).unwrap();
    assert_eq!(last.report().result("readable").unwrap().failed, 1);
}

#[test]
fn what_is_no_csv_still_is_an_error_in_a_tolerant_reading() {
    let file = tempfile::NamedTempFile::new().unwrap();
    for (content, message) in [
        (&b"a,b\n1,\"\n"[..], "a quote is opened but never closed"),
        (b"a,b\n1,\0\n", "has a NUL byte"),
        (b"a,b\n1,\xff\n", "is not UTF-8"),
        (b"a,a\n1,2\n", "have one name"),
        (b"a,b\n", "has a header, but no rows"),
    ] {
        std::fs::write(file.path(), content).unwrap();
        let read = TolerantCsvBatches::open(file.path(), &CsvOptions::default(), 10);
        let error = read.and_then(Iterator::collect::<Result<Vec<_>, _>>).unwrap_err();
        assert!(error.message().contains(message), "{error}");
    }
    // A million fields in one row are one place.
    let wide = format!("a,b\n1,2\n{}\n3,4\n", ",".repeat(1_000_000));
    let batches = tolerant(&wide, &CsvOptions::default().with_type("a", DataType::I64), 10);
    assert_eq!((batches[0].table().rows(), batches[0].unreadable_count()), (3, 1));
    assert!(batches[0].unreadable()[0].text.chars().count() <= 70);
}

#[cfg(feature = "yaml")]
const PATIENTS_YAML: &str = r#"environments: [training, serving]
extra_columns: refuse
fields:
  - name: age
    data_type: i64
    range: {min: 0, max: 120}
  - name: site
    data_type: category
    levels: [bonn, "köln"]
    not_in: [serving]
rules:
  - rule: mean
    column: age
    range: {min: 40, max: 70}
    severity: warning
  - rule: quantile
    column: age
    share: 0.9
    range: {max: 90}
  - rule: readable
    columns: [age]
    max_fraction: 0.01
"#;

#[cfg(feature = "yaml")]
#[test]
fn a_schema_in_yaml_says_the_same_and_its_faults_have_a_place() {
    let schema = Schema::from_text(PATIENTS_YAML, SchemaFormat::Yaml).unwrap();
    let json = schema.to_text(SchemaFormat::Json).unwrap();
    assert_eq!(Schema::from_text(&json, SchemaFormat::Yaml).unwrap(), schema);
    assert_eq!(schema.rules()[1].name(), "quantile(age, 0.9)");
    let mut other = Vec::new();
    for (from, to, field, line) in [
        ("extra_columns:", "extra_colums:", "extra_colums", "2"),
        ("refuse", "refuze", "extra_columns", "2"),
        ("data_type: i64", "data_type: int", "data_type", "5"),
        ("min: 0,", "min: 500,", "range", "4"),
        ("min: 0,", "minn: 0,", "minn", "6"),
        ("name: site", "name: age", "name", "7"),
        ("levels: [bonn, \"köln\"]", "levels: [bonn, bonn]", "levels", "9"),
        ("not_in: [serving]", "not_in: [severing]", "not_in", "10"),
        ("rule: mean", "rule: meen", "rule", "12"),
        ("share: 0.9", "share: 1.9", "share", "18"),
        ("share: 0.9", "share: .nan", "file", "18"),
        ("share: 0.9", "values: [a]", "share", "16"),
        ("columns: [age]", "columns: [sex]", "column", "20"),
        ("max_fraction: 0.01", "max_fraction: 1.01", "max_fraction", "22"),
    ] {
        assert!(PATIENTS_YAML.contains(from), "{from}");
        let error = Schema::from_text(&PATIENTS_YAML.replacen(from, to, 1), SchemaFormat::Yaml).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
        let (found, at) =
            (error.context("field").unwrap_or_default(), error.context("line").unwrap_or_default());
        if !found.ends_with(field) || at != line {
            other.push(error.to_string());
        }
    }
    assert!(other.is_empty(), "{other:#?}");
    for text in ["", "fields: []", "fields: 3", "- a", "fields: &a [*a]", "a: b: c", "\0", "--- 1\n--- 2\n"] {
        assert!(Schema::from_text(text, SchemaFormat::Yaml).is_err(), "{text:?}");
    }
    let deep = format!("fields: {}{}", "[".repeat(50_000), "]".repeat(50_000));
    assert!(Schema::from_text(&deep, SchemaFormat::Yaml).is_err());
    let anchors = PATIENTS_YAML.replacen("[training, serving]", "&a [training, serving]", 1);
    assert!(Schema::from_text(&anchors, SchemaFormat::Yaml).is_err());
}

#[test]
fn a_diff_shows_how_the_range_of_a_rule_changed() {
    let schema = |range, statistic| {
        let field = Field::new("x", DataType::F64);
        let rule = Expectation::aggregate("x", statistic, range).with_id("level");
        Schema::new(vec![field]).unwrap().with_rules(vec![rule]).unwrap()
    };
    let narrow = Range::new(Some(1.0), Some(2.0)).unwrap();
    let (old, new) = (schema(at_least(0.0), Statistic::Mean), schema(narrow, Statistic::Mean));
    assert_eq!(
        old.diff(&new).changes()[0].to_string(),
        "changed rule level: range [0, ∞) → [1, 2] [may refuse data]"
    );
    assert_eq!(new.diff(&old).changes()[0].to_string(), "changed rule level: range [1, 2] → [0, ∞)");
    assert!(new.diff(&schema(narrow, Statistic::Max)).may_refuse());
    assert!(new.diff(&schema(narrow, Statistic::Mean)).is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Runs of rows are copied as single rows are, with bitmaps that start anywhere.
    #[test]
    fn rows_taken_in_runs_are_those_taken_one_by_one(
        flags in prop::collection::vec((any::<bool>(), 0_u8..100), 1..600),
        offset in 0_usize..9,
    ) {
        let mut bits = vec![0_u8; (offset + flags.len()).div_ceil(8)];
        for (at, _) in flags.iter().enumerate().filter(|(_, (valid, _))| *valid) {
            bits[(offset + at) / 8] |= 1 << ((offset + at) % 8);
        }
        let values: Vec<i64> = (0..).take(flags.len()).collect();
        let validity = Validity::new(bits, offset, flags.len()).unwrap();
        let column = Column::new("x", Values::I64(values.into()), Some(validity)).unwrap();
        // Nearly all rows, so that there are runs of any length.
        let rows: Vec<usize> = (0..flags.len()).filter(|row| flags[*row].1 > 1).collect();
        let taken = Table::new(vec![column.clone()]).unwrap().take(&rows).unwrap();
        prop_assert_eq!(taken.rows(), rows.len());
        for (at, row) in rows.iter().enumerate() {
            prop_assert_eq!(taken.columns()[0].label(at), column.label(*row));
        }
        prop_assert!(column.take(&[flags.len()]).is_err());
    }

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

/// A column of every type, of which some values are missing; `bad` says which rows break the rule about `bad`.
fn of_all_types(bad: &[bool]) -> Table<'static> {
    let n = bad.len();
    let all = || 0..n;
    let whole = |i: usize| i64::try_from(i).unwrap();
    let mixed = |i: usize| (i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
    let valid: Vec<bool> = all().map(|i| mixed(i) % 5 != 0).collect();
    // Bits that do not begin with a byte.
    let bytes = Validity::from_bools(&[&[true, false, true][..], &valid].concat());
    let bytes: Vec<u8> = (0..bytes.len().div_ceil(8))
        .map(|byte| (0..8).fold(0, |bits, bit| bits | u8::from(bytes.is_valid(8 * byte + bit)) << bit))
        .collect();
    let gaps = || Some(Validity::new(bytes.clone(), 3, n).unwrap());
    let levels: Arc<[String]> = ["a", "b", "c"].map(str::to_owned).into();
    let codes: Vec<u32> = all().map(|i| u32::try_from(mixed(i) % 3).unwrap()).collect();
    let floats: Vec<f64> = all().map(|i| if i % 7 == 0 { f64::NAN } else { i as f64 - 0.5 }).collect();
    let column = |name: &'static str, values, gaps| Column::new(name, values, gaps).unwrap();
    Table::new(vec![
        column("f64", Values::F64(floats.into()), gaps()),
        column("f32", Values::F32(all().map(|i| i as f32).collect()), None),
        column("i64", Values::I64(all().map(|i| whole(i) * 3).collect()), gaps()),
        column("bool", Values::Bool(all().map(|i| mixed(i) % 2 == 0).collect()), None),
        column("text", Values::Category { codes: codes.into(), levels }, gaps()),
        column("time", Values::Time(all().map(|i| whole(i) - 9).collect()), None),
        column("bad", Values::I64(bad.iter().map(|bad| i64::from(*bad)).collect()), None),
    ])
    .unwrap()
}

/// What two tables hold, NaN by its bits.
fn written(table: &Table<'_>) -> Vec<String> {
    let cells = |row: usize| table.columns().iter().map(move |column| format!("{:?}", column.label(row)));
    let mut lines: Vec<String> =
        (0..table.rows()).map(|row| cells(row).collect::<Vec<_>>().join(",")).collect();
    lines.extend(table.columns().iter().map(|c| format!("{} {:?} {}", c.name(), c.data_type(), c.missing())));
    lines
}

#[test]
fn rows_taken_apart_in_place_are_those_that_are_copied_apart() {
    let expected = Expectations::new(vec![Expectation::within("bad", at_most(0.0))]).unwrap();
    let random =
        |i: usize, of: u64| (i as u64).wrapping_mul(0xd134_2543_de82_ef95) >> 33 < (1 << 31) / 1_000 * of;
    type Pattern<'p> = &'p dyn Fn(usize) -> bool;
    let patterns: [Pattern<'_>; 9] = [
        &|_| false,
        &|_| true,
        &|i| i % 2 == 0,
        &|i| i % 2 == 1,
        &|i| i == 0,
        &|i| i % 100 == 99,
        &|i| (200..4_500).contains(&i),
        &|i| random(i, 10),
        &|i| random(i, 500),
    ];
    for (at, pattern) in patterns.iter().enumerate() {
        for rows in [0, 1, 63, 64, 65, 5_000] {
            let bad: Vec<bool> = (0..rows).map(pattern).collect();
            let table = of_all_types(&bad);
            let split = Validator::new(&expected, ValidateOptions::default()).push(&table).unwrap();
            let listed: Vec<usize> = (0..rows).filter(|row| !bad[*row]).collect();
            let good = written(&split.good_table(&table).unwrap());
            assert_eq!(split.good(), listed, "{at} {rows}");
            assert_eq!(good, written(&table.take(&listed).unwrap()), "{at} {rows}");
            assert_eq!(good, written(&split.good_table(&table).unwrap()), "listing the rows changes nothing");
            let set_aside = written(&split.bad_table(&table, "why").unwrap());
            for batch in [Table::from(&table), table.clone()] {
                let apart = split.apart(batch, "why").unwrap();
                assert_eq!((&written(&apart.0), &written(&apart.1)), (&good, &set_aside), "{at} {rows}");
            }
            // A split whose rows were listed is the same split.
            let fresh = Validator::new(&expected, ValidateOptions::default()).push(&table).unwrap();
            assert_eq!(split, fresh);
        }
    }
}

#[test]
fn a_split_fits_no_shorter_table() {
    let expected = Expectations::new(vec![Expectation::within("bad", at_most(0.0))]).unwrap();
    for pattern in [0, 1] {
        let bad: Vec<bool> = (0..100).map(|i| i % 2 == pattern && i < 60).collect();
        let split = Validator::new(&expected, ValidateOptions::default()).push(&of_all_types(&bad)).unwrap();
        let shorter = of_all_types(&bad[..70]);
        let errors = [split.good_table(&shorter).unwrap_err(), split.apart(shorter, "why").unwrap_err()];
        for error in errors {
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert_eq!(error.message(), "row 70 is asked for but there are 70");
        }
        assert!(split.apart(of_all_types(&bad), "bad").is_err(), "a name that is taken");
    }
}

#[test]
fn whole_numbers_keep_a_range_of_whole_numbers_at_both_ends_of_what_64_bits_hold() {
    let numbers = [i64::MIN, i64::MIN + 1, -1, 0, 1, i64::MAX - 1, i64::MAX];
    let bounds = [-1e300, -9.3e18, -(2_f64.powi(63)), -0.5, 0.0, 0.5, 2_f64.powi(63), 9.3e18, 1e300];
    for min in bounds {
        for max in bounds.into_iter().filter(|max| *max >= min) {
            let range = Range::new(Some(min), Some(max)).unwrap();
            let rule = Expectations::new(vec![Expectation::within("n", range)]).unwrap();
            let table = Table::new(vec![Column::i64("n", numbers.to_vec()).unwrap()]).unwrap();
            let split = Validator::new(&rule, ValidateOptions::default()).push(&table).unwrap();
            // Bounds and numbers as whole numbers of 128 bits, which hold both.
            let (low, high) = (min.ceil() as i128, max.floor() as i128);
            let inside = |n: i64| i128::from(n) >= low && i128::from(n) <= high;
            let good: Vec<usize> = (0..numbers.len()).filter(|at| inside(numbers[*at])).collect();
            assert_eq!(split.good(), good, "{min} {max}");
        }
    }
}

#[test]
fn whole_numbers_compare_as_they_are_ordered() {
    use Comparison::{Eq, Ge, Gt, Le, Lt, Ne};
    let numbers = [i64::MIN, -1, 0, 1, i64::MAX];
    let pairs: Vec<(i64, i64)> =
        numbers.iter().flat_map(|a| numbers.map(|b| (*a, b))).cycle().take(150).collect();
    let (a, b): (Vec<i64>, Vec<i64>) = pairs.iter().copied().unzip();
    let table = Table::new(vec![Column::i64("a", a).unwrap(), Column::i64("b", b).unwrap()]).unwrap();
    for (is, holds) in [
        (Lt, (|a, b| a < b) as fn(i64, i64) -> bool),
        (Le, |a, b| a <= b),
        (Eq, |a, b| a == b),
        (Ne, |a, b| a != b),
        (Ge, |a, b| a >= b),
        (Gt, |a, b| a > b),
    ] {
        let rule = Expectations::new(vec![Expectation::compare("a", is, "b")]).unwrap();
        let split = Validator::new(&rule, ValidateOptions::default()).push(&table).unwrap();
        let good: Vec<usize> = (0..pairs.len()).filter(|at| holds(pairs[*at].0, pairs[*at].1)).collect();
        assert_eq!(split.good(), good, "{is:?}");
    }
}
