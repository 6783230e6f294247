//! Search spaces: what is refused and why, what reads back as it was written, and what hostile files do.

use mlops_core::experiment::space::{
    Assignment, ChoiceOption, Distribution, MAX_OPTIONS, SearchSpace, SpaceError, Value,
};
use mlops_core::{Error, ErrorKind};
use proptest::prelude::*;

fn space(law: Distribution) -> Result<SearchSpace, SpaceError> {
    SearchSpace::new([("p", law)])
}

fn one(name: &str, value: impl Into<Value>) -> Assignment {
    Assignment::new().with(name, value).unwrap()
}

#[test]
fn distributions_that_are_none_are_refused_by_parameter_key_and_value() {
    let nan = f64::NAN;
    let number = |key: &'static str, law: Distribution| (key, law);
    for (key, law) in [
        number("min", Distribution::Uniform { min: nan, max: 1.0 }),
        number("max", Distribution::Uniform { min: 0.0, max: f64::INFINITY }),
        number("max", Distribution::Uniform { min: -f64::MAX, max: f64::MAX }),
        number("q", Distribution::QUniform { min: 0.0, max: 1.0, q: 0.0 }),
        number("q", Distribution::QUniform { min: 0.0, max: 1.0, q: -1.0 }),
        number("q", Distribution::QUniform { min: 0.0, max: 1.0, q: nan }),
        number("q", Distribution::QUniform { min: 0.0, max: 1e9, q: 1e-9 }),
        number("max", Distribution::LogUniform { min: 0.0, max: 710.0 }),
        number("min", Distribution::LogUniform { min: -800.0, max: 0.0 }),
        number("q", Distribution::QLogUniform { min: 0.0, max: 700.0, q: 1.0 }),
        number("sigma", Distribution::Normal { mu: 0.0, sigma: 0.0 }),
        number("sigma", Distribution::Normal { mu: 0.0, sigma: f64::MAX }),
        number("mu", Distribution::LogNormal { mu: nan, sigma: 1.0 }),
        number("sigma", Distribution::LogNormal { mu: 0.0, sigma: 100.0 }),
        number("q", Distribution::QNormal { mu: 0.0, sigma: 1.0, q: 1e-300 }),
        number("q", Distribution::QLogNormal { mu: 0.0, sigma: 1.0, q: 0.0 }),
        number("upper", Distribution::RandInt { upper: 0 }),
        number("upper", Distribution::RandInt { upper: u64::MAX }),
        number("step", Distribution::Int { low: 0, high: 1, step: 0, log: false }),
        number("step", Distribution::Int { low: 1, high: 9, step: 2, log: true }),
        number("low", Distribution::log_int(0, 9)),
        number("high", Distribution::int(i64::MIN, i64::MAX)),
        number("low", Distribution::log_float(0.0, 1.0)),
        number("step", Distribution::Float { low: 0.0, high: 1.0, step: Some(-0.1), log: false }),
        number("step", Distribution::Float { low: 1.0, high: 2.0, step: Some(0.1), log: true }),
        number("value", Distribution::fixed(nan)),
        number("value", Distribution::choice([1.0, nan])),
    ] {
        match space(law.clone()) {
            Err(SpaceError::Number { parameter, key: found, .. }) => {
                assert_eq!((parameter.as_str(), found), ("p", key), "{law:?}")
            }
            other => panic!("{law:?}: {other:?}"),
        }
    }
    for law in [
        Distribution::Uniform { min: 1.0, max: 1.0 },
        Distribution::Uniform { min: 2.0, max: 1.0 },
        Distribution::QLogUniform { min: 1.0, max: 0.0, q: 1.0 },
        Distribution::int(2, 1),
        Distribution::float(2.0, 1.0),
    ] {
        assert!(matches!(space(law.clone()), Err(SpaceError::Order { .. })), "{law:?}");
    }
}

#[test]
fn spaces_that_are_none_are_refused() {
    let none: [(&str, Distribution); 0] = [];
    assert!(matches!(SearchSpace::new(none), Err(SpaceError::Empty { .. })));
    assert!(matches!(space(Distribution::Choice { values: vec![] }), Err(SpaceError::Empty { .. })));
    assert!(matches!(space(Distribution::choice(["a", "b", "a"])), Err(SpaceError::Duplicate { .. })));
    // Equal as numbers, and so the same to whoever reads them back.
    let mixed: [ChoiceOption; 2] = [1.into(), 1.0.into()];
    assert!(matches!(space(Distribution::choice(mixed)), Err(SpaceError::Duplicate { .. })));
    let twice = [("x", Distribution::int(0, 1)), ("x", Distribution::int(0, 2))];
    assert!(matches!(SearchSpace::new(twice), Err(SpaceError::Duplicate { parameter }) if parameter == "x"));
    let long = "x".repeat(129);
    for name in ["", "1a", "a.b", "a b", "é", "-a", "a\n", long.as_str()] {
        let error = SearchSpace::new([(name, Distribution::int(0, 1))]).unwrap_err();
        assert_eq!(error, SpaceError::Name { name: name.to_owned() });
        assert!(!error.to_string().contains('\n'));
    }
    let many = Distribution::choice((0..=i64::try_from(MAX_OPTIONS).unwrap()).map(Value::Int));
    assert!(matches!(space(many), Err(SpaceError::TooMany { .. })));
    let wide = (0..1001).map(|i| (format!("p{i}"), Distribution::int(0, 1)));
    assert!(matches!(SearchSpace::new(wide), Err(SpaceError::TooMany { got: 1001, .. })));
    let table = Value::Table(one("a", 1));
    assert!(matches!(space(Distribution::fixed(table.clone())), Err(SpaceError::Kind { .. })));
    assert!(matches!(space(Distribution::choice([table])), Err(SpaceError::Kind { .. })));
    let mut nested = space(Distribution::int(0, 1)).unwrap();
    for depth in 0..10 {
        match SearchSpace::new([("p", Distribution::choice([nested.clone()]))]) {
            Ok(deeper) => nested = deeper,
            Err(error) => {
                assert!(
                    depth == 4 && matches!(error, SpaceError::Depth { limit: 4, .. }),
                    "{depth}: {error}"
                );
                return;
            }
        }
    }
    panic!("no limit");
}

#[test]
fn names_order_a_space_and_not_the_file() {
    let (x, y) = (("x", Distribution::int(0, 1)), ("y", Distribution::float(0.0, 1.0)));
    let (one, other) = (SearchSpace::new([x.clone(), y.clone()]).unwrap(), SearchSpace::new([y, x]).unwrap());
    assert_eq!(one, other);
    assert_eq!(one.digest().unwrap(), other.digest().unwrap());
}

#[test]
fn a_space_contains_what_its_distributions_give_and_nothing_else() {
    let cases: Vec<(Distribution, Vec<Value>, Vec<Value>)> = vec![
        (
            Distribution::RandInt { upper: 3 },
            vec![0.into(), 2.into(), 2.0.into()],
            vec![3.into(), (-1).into(), 0.5.into()],
        ),
        (
            Distribution::Uniform { min: 0.0, max: 1.0 },
            vec![0.into(), 1.0.into()],
            vec![1.1.into(), "0".into(), true.into()],
        ),
        // The nearest multiple may lie beyond a bound.
        (
            Distribution::QUniform { min: 0.3, max: 1.0, q: 0.5 },
            vec![0.5.into(), 1.0.into()],
            vec![0.0.into(), 0.7.into(), 1.5.into()],
        ),
        (
            Distribution::LogUniform { min: 0.0, max: 1.0 },
            vec![1.0.into(), 1_f64.exp().into()],
            vec![0.9.into(), 2.8.into()],
        ),
        (
            Distribution::QLogUniform { min: 0.0, max: 2.0, q: 2.0 },
            vec![0.0.into(), 8.0.into()],
            vec![10.0.into(), 3.0.into()],
        ),
        (Distribution::QNormal { mu: 0.0, sigma: 1.0, q: 0.25 }, vec![(-0.75).into()], vec![0.1.into()]),
        (Distribution::LogNormal { mu: 0.0, sigma: 1.0 }, vec![0.1.into()], vec![0.0.into(), (-1.0).into()]),
        (
            Distribution::Int { low: -3, high: 4, step: 3, log: false },
            vec![(-3).into(), 3.into()],
            vec![4.into(), 1.into()],
        ),
        (
            Distribution::Float { low: 0.1, high: 0.7, step: Some(0.2), log: false },
            vec![0.1.into(), f64::min(0.1 + 0.2 * 3.0, 0.7).into()],
            vec![0.2.into(), 0.9.into()],
        ),
        (Distribution::fixed("a"), vec!["a".into()], vec!["b".into()]),
        (Distribution::choice(["a", "b"]), vec!["b".into()], vec!["c".into(), 0.into()]),
    ];
    for (law, inside, outside) in cases {
        let space = space(law.clone()).unwrap();
        for value in inside {
            assert_eq!(space.check(&one("p", value.clone())), Ok(()), "{law:?} {value}");
        }
        for value in outside {
            assert!(
                matches!(space.check(&one("p", value.clone())), Err(SpaceError::Outside { .. })),
                "{law:?} {value}"
            );
        }
    }
}

fn models() -> SearchSpace {
    let svm =
        SearchSpace::new([("kind", Distribution::fixed("svm")), ("c", Distribution::log_float(1e-3, 1e3))]);
    let tree = SearchSpace::new([("kind", Distribution::fixed("tree")), ("depth", Distribution::int(1, 9))]);
    let options: [ChoiceOption; 3] = [svm.unwrap().into(), tree.unwrap().into(), "mean".into()];
    SearchSpace::new([("model", Distribution::choice(options)), ("seed", Distribution::int(0, 9))]).unwrap()
}

#[test]
fn parameters_of_an_option_exist_when_it_is_chosen() {
    let with = |model: Value| one("seed", 1).with("model", model).unwrap();
    let tree = one("kind", "tree").with("depth", 3).unwrap();
    let space = models();
    assert!(space.contains(&with(Value::Table(tree.clone()))));
    assert!(space.contains(&with("mean".into())));
    for model in [
        Value::Table(one("kind", "tree")),
        Value::Table(tree.clone().with("c", 1.0).unwrap()),
        Value::Table(one("kind", "svm").with("depth", 3).unwrap()),
        Value::Table(tree.with("depth", 10).unwrap()),
        "tree".into(),
    ] {
        assert!(!space.contains(&with(model.clone())), "{model}");
    }
    assert_eq!(space.check(&one("seed", 1)), Err(SpaceError::Missing { parameter: "model".to_owned() }));
    let extra = with("mean".into()).with("more", 1).unwrap();
    assert_eq!(space.check(&extra), Err(SpaceError::Unknown { parameter: "more".to_owned() }));
}

#[test]
fn values_are_read_by_path_and_kind() {
    let inner = one("depth", 3).with("rate", 0.5).unwrap();
    let trial = one("flag", true).with("model", Value::Table(inner)).unwrap().with("name", "a").unwrap();
    assert_eq!((trial.int("model.depth"), trial.float("model.depth")), (Ok(3), Ok(3.0)));
    assert_eq!((trial.bool("flag"), trial.text("name")), (Ok(true), Ok("a")));
    assert!(matches!(trial.int("model.rate"), Err(SpaceError::Kind { .. })));
    for path in ["", ".", "model.", "model.depth.x", "nothing", "flag.x"] {
        assert!(matches!(trial.float(path), Err(SpaceError::Missing { .. })), "{path}");
    }
    let text = serde_json::to_string(&trial).unwrap();
    assert_eq!(text, r#"{"flag":true,"model":{"depth":3,"rate":0.5},"name":"a"}"#);
    let read: Assignment = serde_json::from_str(&text).unwrap();
    assert_eq!((read.digest(), &read), (trial.digest(), &trial));
    for bad in [
        r#"{"a":null}"#,
        r#"{"a":[1]}"#,
        r#"{"a":18446744073709551615}"#,
        r#"{"a.b":1}"#,
        r#"{"a":1,"a":2}"#,
        "[]",
        "1",
    ] {
        assert!(serde_json::from_str::<Assignment>(bad).is_err(), "{bad}");
    }
}

/// The context of an error about a file.
fn place(error: &Error) -> (Option<&str>, Option<&str>) {
    (error.context("field"), error.context("line"))
}

#[test]
fn a_hostile_file_is_refused_with_its_place() {
    let deep = |open: &str, n: usize| format!("{{\"x\": {}", open.repeat(n));
    let chain = format!("{}1{}", r#"{"x":{"type":"choice","values":["#.repeat(6), "]}}".repeat(6));
    for (text, field, line, words) in [
        ("{\"x\": {\"type\": \"float\", \"low\": 0,\n \"hihg\": 1}}", "hihg", "1", "did you mean `high`?"),
        ("{\n\"x\": {\"type\": \"flaot\"}}", "x.type", "2", "did you mean `float`?"),
        ("{\n\"x\": {\"type\": \"int\", \"low\": 3}}", "high", "2", "the key `high` is missing"),
        ("{\n\"x\": {\"low\": 3}}", "type", "2", "the key `type` is missing"),
        ("{\"y\": 1,\n\"x\": {\"type\": \"int\", \"low\": 3, \"high\": 1}}", "x", "2", "`low` is 3.0"),
        ("{\"x\": {\"type\": \"int\", \"low\": 3, \"high\": 1e400}}", "file", "1", "beyond every number"),
        ("{\"x\": {\"type\": \"int\", \"low\": 3, \"high\": 99999999999999999999}}", "x", "1", ""),
        ("{\"x\": {\"type\": \"int\", \"low\": 3, \"high\": 5.5}}", "x", "1", "floating point `5.5`"),
        ("{\"x\": {\"type\": \"int\", \"low\": \"3\", \"high\": 5}}", "x", "1", "string"),
        ("{\"x\": {\"type\": \"uniform\", \"min\": 0, \"max\": null}}", "x", "1", "null"),
        ("{\"x\": 1,\n \"x\": 2}", "x", "2", "duplicate key"),
        ("{\"x\": {\"type\": \"choice\",\n\"values\": []}}", "x", "1", "is empty"),
        ("{\"x\": {\"type\": \"choice\",\n\"values\": [[1]]}}", "x", "1", ""),
        ("{\"a b\": 1}", "a b", "1", "is no name"),
        ("{}", "file", "1", "is empty"),
        ("[]", "file", "1", ""),
        ("3", "file", "1", ""),
        ("", "file", "1", ""),
        (&deep("[", 10_000), "file", "1", "nested"),
        (&deep("{\"x\":", 10_000), "file", "1", "nested"),
        (&chain, "file", "1", "nested"),
    ] {
        let error = SearchSpace::from_json(text).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{text:.80}: {error}");
        assert_eq!(error.context("line"), Some(line), "{text:.80}: {error}");
        assert!(error.message().contains(words), "{text:.80}: {error}");
        let (found, _) = place(&error);
        assert!(found.is_some_and(|found| found.starts_with(field)), "{text:.80}: {error}");
    }
    let big = format!("{{\"x\": \"{}\"}}", "x".repeat(1 << 20));
    assert_eq!(SearchSpace::from_json(&big).unwrap_err().kind(), ErrorKind::LimitExceeded);
    for text in [
        "x = {type = \"float\", low = nan, high = 1}",
        "x = {type = \"float\", low = -inf, high = 1}",
        "x = 1979-05-27",
        "[x]\n[x]",
    ] {
        let error = SearchSpace::from_toml(text).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{text}: {error}");
        assert!(error.context("line").is_some(), "{text}: {error}");
    }
}

#[test]
fn azures_wire_form_is_refused_where_it_is_none() {
    for (text, words) in [
        (r#"{"x": ["unifrom", [0, 1]]}"#, "did you mean `uniform`?"),
        (r#"{"x": ["uniform", [0]]}"#, "has 1 numbers, expected 2"),
        (r#"{"x": ["uniform", [0, 1, 2]]}"#, "has 3 numbers, expected 2"),
        (r#"{"x": ["quniform", [0, 1]]}"#, "has 2 numbers, expected 3"),
        (r#"{"x": ["quniform", [0, 1, 0]]}"#, "`q` is 0.0, which must be positive"),
        (r#"{"x": ["uniform", [1, 0]]}"#, "`min` is 1.0, which must be below `max`, 0.0"),
        (r#"{"x": ["uniform", [0, 1], 2]}"#, "has more than"),
        (r#"{"x": ["uniform"]}"#, "has no list"),
        (r#"{"x": []}"#, "is empty"),
        (r#"{"x": ["choice", [1, 2]]}"#, ""),
        (r#"{"x": ["choice", [[]]]}"#, "is empty"),
        (r#"{"x": ["choice", [[1], [2]]]}"#, "expected one list"),
        (r#"{"x": ["choice", [[[1]]]]}"#, "a list is no value"),
        (r#"{"x": ["randint", [1.5]]}"#, ""),
        (r#"{"x": ["randint", [1, 2]]}"#, "has 2 numbers, expected 1"),
        (r#"{"x": 1}"#, "is a plain value"),
        (r#"{"x": ["choice", [[{"y": ["normal", [0, -1]]}]]]}"#, "`sigma` is -1.0"),
    ] {
        let error = SearchSpace::from_azure_json(text).unwrap_err();
        assert!(error.message().contains(words), "{text}: {error}");
        assert_eq!(error.context("line"), Some("1"), "{text}: {error}");
    }
}

#[cfg(feature = "yaml")]
mod yaml {
    use super::*;

    #[derive(serde::Deserialize)]
    struct Reference {
        cases: Vec<Case>,
    }

    #[derive(serde::Deserialize)]
    struct Case {
        yaml: String,
        wire: serde_json::Value,
    }

    /// Numbers by value, whether they are whole or not.
    fn same(a: &serde_json::Value, b: &serde_json::Value) -> bool {
        use serde_json::Value as J;
        match (a, b) {
            (J::Number(a), J::Number(b)) => a.as_f64() == b.as_f64(),
            (J::Array(a), J::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
            (J::Object(a), J::Object(b)) => {
                a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
            }
            _ => a == b,
        }
    }

    /// azure-ai-ml 1.35.2, by `tests/reference/make_azure_space.py`.
    #[test]
    fn azures_yaml_and_wire_forms_say_the_same_as_azures_own_reader_says() {
        let reference: Reference = serde_json::from_str(include_str!("reference/azure_space.json")).unwrap();
        assert_eq!(reference.cases.len(), 3);
        for case in &reference.cases {
            let space = SearchSpace::from_azure_yaml(&case.yaml).unwrap();
            assert_eq!(SearchSpace::from_azure_json(&case.wire.to_string()).unwrap(), space);
            let wire = space.to_azure_json().unwrap();
            assert!(same(&wire, &case.wire), "{wire} is not {}", case.wire);
            assert_eq!(SearchSpace::from_azure_yaml(&space.to_azure_yaml().unwrap()).unwrap(), space);
            let job =
                format!("type: sweep\nlimits: {{timeout: 7200}}\nsearch_space:\n{}", indented(&case.yaml));
            assert_eq!(SearchSpace::from_azure_yaml(&job).unwrap(), space);
        }
    }

    fn indented(text: &str) -> String {
        text.lines().map(|line| format!("  {line}\n")).collect()
    }

    #[test]
    fn azures_yaml_is_refused_with_its_place() {
        for (text, line, words) in [
            ("x:\n  type: uniform\n  min_value: 0", "2", "the key `max_value` is missing"),
            ("x:\n  type: uniform\n  min_value: 0\n  max_value: 1\n  q: 2", "2", "does not go with"),
            ("x:\n  type: uniform\n  min: 0", "3", "unknown key `min`"),
            ("x: {type: uniform, min_value: .nan, max_value: 1}", "1", ""),
            ("x: {type: choice, values: [&a 1, *a]}", "1", ""),
            ("x: {type: choice}", "1", "the key `values` is missing"),
            ("x: {type: randint, upper: 0}", "1", "`upper` is 0.0"),
            ("x: 1", "1", "is a plain value"),
        ] {
            let error = SearchSpace::from_azure_yaml(text).unwrap_err();
            assert!(error.message().contains(words), "{text}: {error}");
            assert!(error.context("line").is_some(), "{text}: {error}");
            assert_eq!(error.context("line").map(|l| l <= line), Some(true), "{text}: {error}");
        }
    }

    #[test]
    fn own_yaml_reads_as_own_json_does() {
        let yaml = "rate: {type: float, low: 1e-5, high: 0.1, log: true}\nkind: {type: choice, values: [a, 1, 2.5, true]}\n";
        let json = r#"{"rate": {"type": "float", "low": 1e-5, "high": 0.1, "log": true}, "kind": {"type": "choice", "values": ["a", 1, 2.5, true]}}"#;
        assert_eq!(SearchSpace::from_yaml(yaml).unwrap(), SearchSpace::from_json(json).unwrap());
    }

    proptest! {
        #[test]
        fn what_is_written_in_azures_yaml_reads_back(space in azure_spaces()) {
            let text = space.to_azure_yaml().unwrap();
            prop_assert_eq!(SearchSpace::from_azure_yaml(&text).unwrap(), space, "{}", text);
        }

        #[test]
        fn no_text_makes_the_yaml_readers_panic(text in "[a-z0-9:{}\\[\\],\\- \n&*!|>\"']{0,80}") {
            let _ = SearchSpace::from_azure_yaml(&text).map(|space| space.to_azure_yaml());
            let _ = SearchSpace::from_yaml(&text);
        }
    }
}

fn finite() -> impl Strategy<Value = f64> {
    prop_oneof![-1e3..1e3, Just(0.0), Just(-0.0), Just(1e-5), Just(123_456.75), Just(-2.5e-7), any::<f64>()]
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-zA-Z_][a-zA-Z0-9_-]{0,6}",
        Just("yes".to_owned()),
        Just("null".to_owned()),
        Just("y".to_owned())
    ]
}

fn plain() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<i64>().prop_map(Value::Int),
        finite().prop_map(Value::Float),
        "[ -~]{0,8}|\\PC{0,4}".prop_map(Value::Text),
        prop::sample::select(vec!["yes", "1", "1.5", "null", "~", "", "- a", "a: b", "#", "1e5"])
            .prop_map(Value::from),
    ]
}

/// Distributions that Azure has, good or bad.
fn azure_laws() -> impl Strategy<Value = Distribution> {
    let three = (finite(), finite(), finite()).boxed();
    prop_oneof![
        prop::collection::vec(plain().prop_map(ChoiceOption::Value), 0..4)
            .prop_map(|values| Distribution::Choice { values }),
        (0..50_u64).prop_map(|upper| Distribution::RandInt { upper }),
        three.clone().prop_map(|(min, max, _)| Distribution::Uniform { min, max }),
        three.clone().prop_map(|(min, max, q)| Distribution::QUniform { min, max, q }),
        three.clone().prop_map(|(min, max, _)| Distribution::LogUniform { min, max }),
        three.clone().prop_map(|(min, max, q)| Distribution::QLogUniform { min, max, q }),
        three.clone().prop_map(|(mu, sigma, _)| Distribution::Normal { mu, sigma }),
        three.clone().prop_map(|(mu, sigma, q)| Distribution::QNormal { mu, sigma, q }),
        three.clone().prop_map(|(mu, sigma, _)| Distribution::LogNormal { mu, sigma }),
        three.prop_map(|(mu, sigma, q)| Distribution::QLogNormal { mu, sigma, q }),
    ]
}

fn own_laws() -> impl Strategy<Value = Distribution> {
    let whole = (-50..50_i64, -50..50_i64, 0..4_u64, any::<bool>());
    let number = (finite(), finite(), prop::option::of(finite()), any::<bool>());
    prop_oneof![
        azure_laws(),
        plain().prop_map(|value| Distribution::Fixed { value }),
        any::<bool>().prop_map(Distribution::fixed),
        whole.prop_map(|(low, high, step, log)| Distribution::Int { low, high, step, log }),
        number.prop_map(|(low, high, step, log)| Distribution::Float { low, high, step, log }),
    ]
}

/// The spaces among tables of laws, with options that are spaces.
fn spaces(law: impl Strategy<Value = Distribution> + Clone + 'static) -> impl Strategy<Value = SearchSpace> {
    let table = prop::collection::vec((name(), law), 1..4).boxed();
    (table.clone(), prop::collection::vec(table, 0..3)).prop_filter_map("no space", |(outer, options)| {
        let good = |table: Vec<(String, Distribution)>| {
            let laws = table
                .into_iter()
                .filter(|(name, law)| SearchSpace::new([(name.as_str(), law.clone())]).is_ok());
            SearchSpace::new(laws).ok()
        };
        let mut parameters: Vec<(String, Distribution)> =
            good(outer)?.iter().map(|(name, law)| (name.to_owned(), law.clone())).collect();
        let options: Vec<ChoiceOption> = options.into_iter().filter_map(good).map(Into::into).collect();
        if !options.is_empty() {
            parameters.push(("nested".to_owned(), Distribution::Choice { values: options }));
        }
        SearchSpace::new(parameters).ok()
    })
}

fn azure_spaces() -> impl Strategy<Value = SearchSpace> {
    let laws = azure_laws().boxed();
    // What does not vary stands within options alone.
    spaces(laws)
}

proptest! {
    #[test]
    fn what_is_written_as_json_reads_back(space in spaces(own_laws().boxed())) {
        let text = serde_json::to_string(&space).unwrap();
        prop_assert_eq!(SearchSpace::from_json(&text).unwrap(), space.clone(), "{}", text);
        prop_assert_eq!(serde_json::from_str::<SearchSpace>(&text).unwrap(), space);
    }

    #[test]
    fn what_is_written_for_azure_reads_back(space in azure_spaces()) {
        let wire = space.to_azure_json().unwrap().to_string();
        prop_assert_eq!(SearchSpace::from_azure_json(&wire).unwrap(), space, "{}", wire);
    }

    #[test]
    fn no_text_makes_the_readers_panic(text in "[a-z0-9:{}\\[\\],=.\\- \n\"]{0,80}") {
        let _ = SearchSpace::from_json(&text);
        let _ = SearchSpace::from_toml(&text);
        let _ = SearchSpace::from_azure_json(&text);
    }

    /// Laws in a file are checked as those in code are: what a file says is a space or an error, never a space that is none.
    #[test]
    fn a_file_says_no_more_than_code_can(law in own_laws()) {
        let unchecked = serde_json::json!({"x": law});
        let read = SearchSpace::from_json(&unchecked.to_string());
        let built = SearchSpace::new([("x", law)]);
        prop_assert_eq!(read.ok(), built.ok());
    }
}
