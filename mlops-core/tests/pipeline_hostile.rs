//! Pipeline files that somebody made to break the reader: typed errors with a place, and no panic, for anything.

use mlops_core::ErrorKind;
use mlops_core::hash::Digest;
use mlops_core::id::{ComponentName, ComponentVersion, PortName};
use mlops_core::pipeline::compute::ComputePlan;
use mlops_core::pipeline::{Component, Components, ParamSpec, Pipeline, PipelineFormat, PortType};
use proptest::prelude::*;

fn port(name: &str) -> PortName {
    PortName::new(name).unwrap()
}

fn components() -> Components {
    let work = Component::new(
        ComponentName::new("work").unwrap(),
        ComponentVersion::new("1").unwrap(),
        Digest::of(b""),
    )
    .with_optional_input(port("x"), PortType::UriFile)
    .with_output(port("x"), PortType::UriFile)
    .with_parameter(port("n"), ParamSpec::integer(Some(0), Some(9)).with_default(0_i64))
    .with_parameter(port("rate"), ParamSpec::number(Some(0.0), None).with_default(0.5));
    Components::new().with_described(work).unwrap()
}

fn parse(text: &str, format: PipelineFormat) -> mlops_core::Result<Pipeline> {
    Pipeline::parse(text, format, &components())
}

/// A file of one step, with something of ours in it.
fn step(more: &str) -> String {
    format!("name = \"p\"\n[[steps]]\nid = \"a\"\ncomponent = \"work:1\"\n{more}\n")
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    assert!(parse(&step(""), PipelineFormat::Toml).is_ok());
    let long = "x".repeat(300);
    for more in [
        "parameters.n = 9223372036854775808".to_owned(),
        "parameters.n = 1e999".to_owned(),
        "parameters.rate = nan".to_owned(),
        "parameters.rate = inf".to_owned(),
        "parameters.rate = -inf".to_owned(),
        "parameters.n = [1]".to_owned(),
        "parameters.n = {}".to_owned(),
        "parameters.n = \"1\"".to_owned(),
        "parameters.n = 1\nparameters.n = 2".to_owned(),
        "parameters.path = 1".to_owned(),
        "parameters.n = \"${{parent.jobs.a.outputs.x}}\"".to_owned(),
        "parameters.n = \"${{\"".to_owned(),
        "inputs.x = \"${{parent.jobs.a.outputs.x}}\"".to_owned(),
        "inputs.x = \"${{parent.jobs.a.outputs.x.y}}\"".to_owned(),
        "inputs.x = \"${{parent.inputs.}}\"".to_owned(),
        "inputs.x = \"../../etc/passwd\"".to_owned(),
        "after = [\"a\"]".to_owned(),
        "after = [\"b\"]".to_owned(),
        format!("after = [\"{long}\"]"),
        "timeout = \"1e9s\"".to_owned(),
        "timeout = \"999999999999999999999999d\"".to_owned(),
        "retry.attempts = 0".to_owned(),
        "retry.attempts = 4294967296".to_owned(),
        "retry.jitter = nan".to_owned(),
        "retry.jitter = 2".to_owned(),
        "when = \"sometimes\"".to_owned(),
        "if = { parameter = \"n\", equals = 1 }".to_owned(),
        "resource = \"GPU 1\"".to_owned(),
        "assets.y = \"rows\"".to_owned(),
        "secrets.n = \"a_b\"".to_owned(),
        "[[steps]]\nid = \"a\"\ncomponent = \"work:1\"".to_owned(),
        "[[steps]]\nid = \"\"\ncomponent = \"work:1\"".to_owned(),
        "[[steps]]\nid = \"b\"\ncomponent = \"work\"".to_owned(),
        "[[steps]]\nid = \"b\u{202e}\"\ncomponent = \"work:1\"".to_owned(),
        "[parameters.n]\ntype = \"integer\"\nmin = 2\nmax = 1".to_owned(),
        "[parameters.n]\ntype = \"tensor\"".to_owned(),
        "[inputs]\nraw = \"uri_fil\"".to_owned(),
    ] {
        let error = parse(&step(&more), PipelineFormat::Toml).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{more}: {error}");
        let line: usize = error.context("line").unwrap_or_else(|| panic!("{more}: {error}")).parse().unwrap();
        assert!((1..=8).contains(&line) && error.context("field").is_some(), "{more}: {error}");
        let shown = format!("{error} {error:?}");
        assert!(shown.len() < 2_000 && !shown.contains(['\n', '\u{202e}']), "{more}: {shown}");
    }
}

#[test]
fn json_is_as_strict() {
    for (text, words) in [
        ("", "file"),
        ("null", "null"),
        ("[]", ""),
        ("{}", "`name` is missing"),
        (r#"{"name": "p"}"#, "has no steps"),
        (r#"{"name": "p", "steps": null}"#, "null"),
        (r#"{"name": "p", "name": "q", "steps": []}"#, "duplicate"),
        (r#"{"name": "p", "steps": [{"id": "a", "component": "work:1", "parameters": {"n": 1e400}}]}"#, ""),
        (
            r#"{"name": "p", "steps": [{"id": "a", "component": "work:1", "parameters": {"n": 1.0}}]}"#,
            "integer",
        ),
        (r#"{"name": "p", "steps": [{"id": "a", "component": "work:1", "parameters": {"n": NaN}}]}"#, ""),
        (r#"{"name": "p", "steps": [{"id": "a", "component": "work:1", "inputs": {"x": {"x": 1}}}]}"#, ""),
    ] {
        let error = parse(text, PipelineFormat::Json).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{text}: {error}");
        assert!(error.to_string().contains(words), "{text}: {error}");
    }
    let deep = format!("{{\"name\": {}1{}}}", "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(parse(&deep, PipelineFormat::Json).unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[test]
fn what_is_too_much_is_refused_before_it_is_worked_on() {
    let big = "#".repeat((1 << 20) + 1);
    assert_eq!(parse(&big, PipelineFormat::Toml).unwrap_err().kind(), ErrorKind::LimitExceeded);
    // As many steps as fit into a file, in one ring.
    let mut ring = String::from("name = \"p\"\n");
    let steps = 9_000;
    for i in 0..steps {
        let before = (i + 1) % steps;
        ring.push_str(&format!("[[steps]]\nid=\"s{i}\"\ncomponent=\"work:1\"\ninputs.x=\"${{{{parent.jobs.s{before}.outputs.x}}}}\"\n"));
    }
    assert!(ring.len() < 1 << 20);
    let error = parse(&ring, PipelineFormat::Toml).unwrap_err();
    assert!(error.to_string().contains("wait for each other") && error.to_string().len() < 1_000, "{error}");
    // A step that waits for all others, each of them of a name that is nearly another's.
    let after: Vec<String> = (0..20_000).map(|i| format!("\"s{i}\"")).collect();
    let error = parse(&step(&format!("after = [{}]", after.join(","))), PipelineFormat::Toml).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}

#[cfg(not(feature = "yaml"))]
#[test]
fn yaml_needs_its_feature() {
    assert_eq!(parse("name: p", PipelineFormat::Yaml).unwrap_err().kind(), ErrorKind::Unsupported);
}

#[cfg(feature = "yaml")]
#[test]
fn yaml_says_the_same() {
    let text = "name: p\nsteps:\n  - id: a\n    component: work:1\n    parameters:\n      n: 12\n";
    let error = parse(text, PipelineFormat::Yaml).unwrap_err();
    assert_eq!((error.context("line"), error.context("id")), (Some("6"), Some("a")), "{error}");
    assert!(parse(&text.replace("12", "3"), PipelineFormat::Yaml).is_ok());
    assert!(parse(&text.replace("12", "&a 3"), PipelineFormat::Yaml).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_text_breaks_the_reader(text in "\\PC{0,80}", lines in proptest::collection::vec("[a-z\\[\\]{}=\"$.:0-9 \\n]{0,20}", 0..8)) {
        for text in [text, step(&lines.concat())] {
            for format in [PipelineFormat::Toml, PipelineFormat::Json, PipelineFormat::Yaml] {
                let _ = parse(&text, format);
                let _ = ComputePlan::parse(&text, format);
            }
        }
    }

    /// A good file with a few bytes changed is read, or refused with a typed error.
    #[test]
    fn no_change_breaks_the_reader(changes in proptest::collection::vec((0_usize..400, 0_u8..128), 1..6)) {
        let mut bytes = step("inputs.x = \"${{parent.jobs.b.outputs.x}}\"\nretry = { attempts = 3 }\n[[steps]]\nid = \"b\"\n\
            component = \"work:1\"\nparameters = { n = 3, rate = 0.5 }\ntimeout = \"5m\"\nwhen = \"always\"").into_bytes();
        for (at, byte) in changes {
            let at = at % bytes.len();
            bytes[at] = byte;
        }
        if let Err(error) = parse(&String::from_utf8(bytes).unwrap(), PipelineFormat::Toml) {
            prop_assert!(matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::LimitExceeded), "{error}");
        }
    }
}
