use super::*;
use crate::data::{Field, Range, Table, Validity};
use crate::error::ErrorKind;

fn table() -> Table<'static> {
    let bmi = Values::F64(vec![32.1, f64::NAN, f64::INFINITY, -4.0].into());
    Table::new(vec![
        Column::i64("id", vec![1, 2, 2, 2]).unwrap(),
        Column::new("bmi", bmi, Some(Validity::from_bools(&[true, true, true, false]))).unwrap(),
        Column::optional_text("sex", [Some("f"), None, Some("x\n"), Some("f")]).unwrap(),
        Column::bool("site", vec![true; 4]).unwrap(),
        Column::f64("group", vec![0.0, -0.0, 0.0, 1.0]).unwrap(),
    ])
    .unwrap()
}

fn only(expectation: Expectation) -> Option<RuleResult> {
    let report = Expectations::new(vec![expectation]).unwrap().validate(&table());
    assert_eq!(report.checked, 1);
    report.failures().next().cloned()
}

#[test]
fn every_rule_finds_what_it_is_for() {
    let adult = Range::new(Some(18.5), Some(40.0)).unwrap();
    for (expectation, failed, rows, message) in [
        (Expectation::data_type("id", DataType::F64), 0, vec![], "column `id`: is i64, expected f64"),
        (Expectation::present("sex"), 1, vec![1], "column `sex`: 1 of 4 values is missing; first in row 2"),
        (
            Expectation::mostly_present("sex", 0.2),
            1,
            vec![1],
            "column `sex`: 1 of 4 values is missing, at most 0.2 of them may be; first in row 2",
        ),
        (
            Expectation::within("bmi", adult),
            2,
            vec![1, 2],
            "column `bmi`: 2 values lie outside [18.5, 40]; first in row 2 (NaN)",
        ),
        (
            Expectation::one_of("sex", ["f", "m"]),
            1,
            vec![2],
            r#"column `sex`: 1 value is none of the 2 allowed; first in row 3 ("x\n")"#,
        ),
        (
            Expectation::one_of("id", ["1"]),
            3,
            vec![1, 2, 3],
            "column `id`: 3 values are none of the 1 allowed; first in row 2 (2)",
        ),
        (
            Expectation::unique(["id"]),
            2,
            vec![2, 3],
            "column `id`: 2 rows repeat an earlier one; first in row 3 (value 2)",
        ),
        (
            Expectation::unique(["site", "group"]),
            2,
            vec![1, 2],
            "columns `site`, `group`: 2 rows repeat an earlier one; first in row 2 (value true, -0)",
        ),
        (Expectation::rows(5, None), 0, vec![], "the table has 4 rows, expected at least 5"),
        (Expectation::rows(1, Some(3)), 0, vec![], "the table has 4 rows, expected 1 to 3"),
        (
            Expectation::finite("bmi"),
            2,
            vec![1, 2],
            "column `bmi`: 2 values are not finite; first in row 2 (NaN)",
        ),
        (Expectation::not_constant("site"), 0, vec![], "column `site`: every value is true"),
        (
            Expectation::no_other_columns(["id", "bmi", "sex"]),
            0,
            vec![],
            "columns `site`, `group`: not expected",
        ),
        // What cannot be checked fails.
        (Expectation::finite("age"), 0, vec![], "column `age`: there is no such column"),
        (Expectation::unique(["id", "age"]), 0, vec![], "column `age`: there is no such column"),
        (Expectation::unique(["id", "id"]), 0, vec![], "columns `id`, `id`: the key names one twice"),
        (Expectation::within("sex", adult), 0, vec![], "column `sex`: is category and has no range"),
        (Expectation::within("site", adult), 0, vec![], "column `site`: is bool and has no range"),
        (Expectation::finite("sex"), 0, vec![], "column `sex`: is category and holds no numbers"),
    ] {
        let failure = only(expectation.clone()).unwrap_or_else(|| panic!("{expectation:?} passed"));
        assert_eq!((failure.failed, &failure.rows()), (failed, &rows), "{}", failure.message);
        assert_eq!(failure.message, message);
        assert_eq!(failure.rule, expectation.rule.name());
    }
}

#[test]
fn what_holds_passes() {
    for expectation in [
        Expectation::data_type("id", DataType::I64),
        Expectation::present("id"),
        Expectation::mostly_present("sex", 0.25),
        Expectation::within("id", Range::new(Some(1.0), Some(2.0)).unwrap()),
        Expectation::one_of("site", ["true"]),
        // A missing value in the key equals nothing.
        Expectation::unique(["bmi"]),
        Expectation::unique(["id", "bmi"]),
        Expectation::rows(4, Some(4)),
        Expectation::finite("id"),
        Expectation::not_constant("group"),
        Expectation::no_other_columns(["id", "bmi", "sex", "site", "group"]),
    ] {
        assert_eq!(only(expectation), None);
    }
}

#[test]
fn missing_ids_are_no_duplicates_but_nan_is() {
    let ids = Column::optional_text("id", [None::<&str>, None]).unwrap();
    let nan = Column::f64("x", vec![f64::NAN, -f64::NAN]).unwrap();
    let table = Table::new(vec![ids, nan]).unwrap();
    let check = |name: &str| {
        Expectations::new(vec![Expectation::unique([name])]).unwrap().validate(&table).failures().count()
    };
    assert_eq!((check("id"), check("x")), (0, 1));
}

#[test]
fn an_empty_or_all_missing_column_is_not_varied() {
    for table in [
        Table::new(vec![Column::f64("x", vec![]).unwrap()]).unwrap(),
        Table::new(vec![Column::optional_text("x", [None::<&str>]).unwrap()]).unwrap(),
    ] {
        let expected = Expectations::new(vec![Expectation::not_constant("x")]).unwrap();
        assert_eq!(expected.validate(&table).results[0].message, "column `x`: has no value");
    }
}

#[test]
fn the_sample_is_bounded_and_the_count_is_not() {
    let table = Table::new(vec![Column::f64("x", vec![f64::NAN; 1_000]).unwrap()]).unwrap();
    let report = Expectations::new(vec![Expectation::finite("x")]).unwrap().validate(&table);
    assert_eq!((report.results[0].failed, report.results[0].samples.len()), (1_000, 20));
}

#[test]
fn warnings_pass_and_errors_do_not() {
    let warning = Expectation::present("sex").warning();
    let report = Expectations::new(vec![warning.clone()]).unwrap().validate(&table());
    assert!(report.passed() && report.failures().count() == 1 && report.require_passed().is_ok());
    let both = Expectations::new(vec![warning, Expectation::finite("bmi")]).unwrap().validate(&table());
    let error = both.require_passed().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Rejected);
    assert!(error.message().contains("`bmi`") && !error.message().contains("`sex`"), "{error}");
    assert!(both.to_string().contains("\nwarning: column `sex`"));
}

#[test]
fn malformed_expectations_are_refused_also_when_read() {
    for bad in [
        Expectation::mostly_present("x", 1.5),
        Expectation::mostly_present("x", f64::NAN),
        Expectation::one_of("x", Vec::<String>::new()),
        Expectation::unique(Vec::<String>::new()),
        Expectation::no_other_columns(Vec::<String>::new()),
        Expectation::rows(2, Some(1)),
    ] {
        let text = serde_json::to_string(&vec![bad.clone()]).unwrap();
        assert_eq!(Expectations::new(vec![bad]).unwrap_err().kind(), ErrorKind::InvalidInput);
        assert!(serde_json::from_str::<Expectations>(&text).is_err(), "{text}");
    }
    assert!(Expectations::new(vec![]).is_err());
    assert!(serde_json::from_str::<Expectations>("[]").is_err());
    for text in [
        r#"[{"rule":"finite","column":"x","severity":"fatal"}]"#,
        r#"[{"rule":"finite","column":"x","colunm":"y"}]"#,
        r#"[{"rule":"finit","column":"x"}]"#,
    ] {
        assert!(serde_json::from_str::<Expectations>(text).is_err(), "{text}");
    }
}

#[test]
fn expectations_and_reports_survive_serialisation() {
    let range = Range::new(Some(0.0), None).unwrap();
    let all = Expectations::new(vec![
        Expectation::within("bmi", range).warning(),
        Expectation::unique(["id", "sex"]),
        Expectation::rows(1, None),
    ])
    .unwrap();
    let text = serde_json::to_string(&all).unwrap();
    assert_eq!(serde_json::from_str::<Expectations>(&text).unwrap(), all);
    let report = all.validate(&table());
    let text = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<ValidationReport>(&text).unwrap(), report);
    let toml =
        "[[expect]]\nrule = \"within\"\ncolumn = \"age\"\nrange = { min = 0.0 }\nseverity = \"warning\"\n";
    let read: std::collections::HashMap<String, Expectations> = toml::from_str(toml).unwrap();
    assert_eq!(read["expect"].as_slice()[0], Expectation::within("age", range).warning());
}

#[test]
fn a_schema_expects_what_it_says() {
    let range = Range::new(Some(0.0), Some(1.0)).unwrap();
    let schema = Schema::new(vec![
        Field::new("p", DataType::F64).with_range(range),
        Field::new("c", DataType::Category).with_nullable(true).with_levels(["a"]),
    ])
    .unwrap();
    let good = Table::new(vec![
        Column::optional_text("c", [Some("a"), None]).unwrap(),
        Column::f64("p", vec![0.5, 1.0]).unwrap(),
    ])
    .unwrap();
    let expected = Expectations::from_schema(&schema);
    assert_eq!(expected.validate(&good).failures().count(), 0);
    let bad = Table::new(vec![
        Column::optional_text("c", [Some("b")]).unwrap(),
        Column::new("p", Values::F64(vec![2.0].into()), Some(Validity::from_bools(&[false]))).unwrap(),
    ])
    .unwrap();
    let rules: Vec<String> = expected.validate(&bad).failures().map(|f| f.rule.clone()).collect();
    assert_eq!(rules, ["present", "one_of"]);
}
