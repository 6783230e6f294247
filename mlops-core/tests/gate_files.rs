//! Gates in files: three formats, one meaning, one schema.

use std::path::{Path, PathBuf};
use std::time::Instant;

use mlops_core::MetricKey;
use mlops_core::evaluation::gate::schema;
use mlops_core::evaluation::{
    Adaptivity, Criterion, GateFormat, GateSpec, Hypothesis, IntervalEnd, Multiplicity, NoChampion, Severity,
    TestName,
};
use mlops_core::hash::Digest;
use mlops_core::problem::Direction;
use mlops_core::{Error, ErrorKind};
use proptest::prelude::*;
use serde_json::Value;

const FORMATS: &[GateFormat] = if cfg!(feature = "yaml") {
    &[GateFormat::Toml, GateFormat::Json, GateFormat::Yaml]
} else {
    &[GateFormat::Toml, GateFormat::Json]
};

fn corpus(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/gate_corpus").join(folder)
}

/// The files of a folder that can be read with the features at hand.
fn files(folder: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(corpus(folder)).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| FORMATS.contains(&GateFormat::of(file)));
    files.sort();
    files
}

#[test]
fn valid_files_are_read_and_their_digest_is_that_of_their_bytes() {
    let all = files("valid");
    assert!(all.len() >= 3);
    for file in all {
        let gate = GateSpec::from_file(&file).unwrap_or_else(|error| panic!("{file:?}: {error}"));
        assert_eq!(gate.digest(), Digest::of(&std::fs::read(&file).unwrap()));
        assert_eq!(gate, GateSpec::from_file_as(&file, GateFormat::of(&file)).unwrap());
    }
}

#[test]
fn invalid_files_are_refused_at_the_right_place() {
    let table = std::fs::read_to_string(corpus("invalid.tsv")).unwrap();
    let (mut seen, mut wrong) = (0, Vec::new());
    for row in table.lines().skip(1) {
        let [name, field, line, column, _] = row.split('\t').collect::<Vec<_>>()[..] else { panic!("{row}") };
        let file = corpus("invalid").join(name);
        if !FORMATS.contains(&GateFormat::of(&file)) {
            continue;
        }
        seen += 1;
        let error = GateSpec::from_file(&file).expect_err(name);
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{name}: {error}");
        let found = [error.context("field"), error.context("line"), error.context("column")];
        let expected =
            if line.is_empty() { [Some(field), found[1], found[2]] } else { [field, line, column].map(Some) };
        if found != expected {
            wrong.push(format!("{name} {found:?} {expected:?}: {}", error.message()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(seen, files("invalid").len());
}

#[test]
fn an_unknown_word_names_the_nearest_one_in_every_format() {
    let texts = [
        "name = \"g\"\n[[criteria]]\nid = \"a\"\nmetric = \"auc\"\nmax_drp = 0.1\n",
        "{\"name\": \"g\",\n\"criteria\": [{\n\"id\": \"a\", \"metric\": \"auc\",\n\n\"max_drp\": 0.1}]}",
        "name: g\ncriteria:\n- id: a\n  metric: auc\n  max_drp: 0.1\n",
    ];
    for (format, text) in FORMATS.iter().zip(texts) {
        let error = GateSpec::from_text(text, *format).unwrap_err();
        assert_eq!(error.message(), "unknown key `max_drp`; did you mean `max_drop`?");
        assert_eq!(
            (error.context("line"), error.context("id")),
            (Some("5"), Some("a")),
            "{format:?}: {error}"
        );
        let word = text.replace("max_drp", "severity").replace("0.1", "\"warnin\"");
        let error = GateSpec::from_text(&word, *format).unwrap_err();
        assert_eq!(error.message(), "unknown value `warnin`; did you mean `warning`?", "{format:?}");
    }
}

#[cfg(not(feature = "yaml"))]
#[test]
fn yaml_without_its_feature_is_refused() {
    let error = GateSpec::from_text("name: g", GateFormat::Yaml).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}

/// The same gate in every format.
fn in_formats(value: &Value) -> Vec<(GateFormat, String)> {
    let text = serde_json::to_string_pretty(value).unwrap();
    let toml = toml::to_string(value).unwrap();
    // JSON is YAML too.
    let mut all = vec![(GateFormat::Toml, toml), (GateFormat::Json, text.clone())];
    if FORMATS.contains(&GateFormat::Yaml) {
        all.push((GateFormat::Yaml, text));
    }
    all
}

#[test]
fn a_gate_means_the_same_in_every_format() {
    for file in files("valid").iter().filter(|file| GateFormat::of(file) == GateFormat::Toml) {
        let text = std::fs::read_to_string(file).unwrap();
        let expected = GateSpec::from_toml(&text).unwrap();
        let value: Value = toml::from_str(&text).unwrap();
        for (format, text) in in_formats(&value) {
            let gate = GateSpec::from_text(&text, format).unwrap();
            assert_eq!(
                (gate.criteria(), gate.rules()),
                (expected.criteria(), expected.rules()),
                "{format:?}"
            );
        }
    }
}

#[test]
fn the_published_schema_is_the_one_in_code() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas/gate.schema.json");
    let expected = serde_json::to_string_pretty(&schema()).unwrap() + "\n";
    if std::env::var_os("MLOPS_WRITE_SCHEMA").is_some() {
        std::fs::write(&file, &expected).unwrap();
    }
    let published = std::fs::read_to_string(&file).unwrap();
    assert!(published == expected, "run this test with MLOPS_WRITE_SCHEMA=1 to publish the schema anew");
}

fn known(text: &str) -> Vec<String> {
    let error: Error = GateSpec::from_toml(text).unwrap_err();
    let (_, names) = error.message().split_once("known are ").unwrap_or_else(|| panic!("{error}"));
    let mut names: Vec<String> = names.split(", ").map(str::to_owned).collect();
    names.sort();
    names
}

#[test]
fn the_schema_knows_the_keys_that_the_reader_knows() {
    let criterion = "name = \"g\"\n[[criteria]]\nzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz = 1";
    let reuse = "name = \"g\"\n[reuse]\nzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz = 1";
    for (text, place) in [
        ("zzzzzzzzzzzzzzzzzzzzzzzzzzzzzz = 1", "/properties"),
        (criterion, "/$defs/criterion/properties"),
        (reuse, "/properties/reuse/properties"),
    ] {
        let schema = schema();
        let keys: Vec<&String> = schema.pointer(place).unwrap().as_object().unwrap().keys().collect();
        let mut keys: Vec<String> = keys.into_iter().cloned().collect();
        keys.sort();
        assert_eq!(keys, known(text), "{place}");
    }
}

/// The words of an enum as serde writes them.
fn words<T: serde::Serialize>(all: &[T]) -> Vec<Value> {
    all.iter().map(|word| serde_json::to_value(word).unwrap()).collect()
}

#[test]
fn the_schema_knows_the_words_that_the_reader_knows() {
    use TestName::{
        Auto, Bootstrap, Delong, Exact, IntersectionUnion, Mcnemar, Permutation, Score, SignFlip, T, Wilcoxon,
    };
    let tests = [
        Auto,
        Bootstrap,
        Delong,
        Exact,
        IntersectionUnion,
        Mcnemar,
        Permutation,
        Score,
        SignFlip,
        T,
        Wilcoxon,
    ];
    let multiplicities = [
        Multiplicity::None,
        Multiplicity::IntersectionUnion,
        Multiplicity::Holm,
        Multiplicity::Bonferroni,
        Multiplicity::Hommel,
        Multiplicity::BenjaminiHochberg,
    ];
    let of = "/$defs/criterion/properties";
    for (place, expected) in [
        (format!("{of}/test"), words(&tests)),
        (format!("{of}/severity"), words(&[Severity::Error, Severity::Warning, Severity::Note])),
        (
            format!("{of}/hypothesis"),
            words(&[Hypothesis::NonInferiority, Hypothesis::Superiority, Hypothesis::Equivalence]),
        ),
        (format!("{of}/no_champion"), words(&[NoChampion::Pass, NoChampion::Fail, NoChampion::Insufficient])),
        (format!("{of}/require_interval"), words(&[IntervalEnd::Low, IntervalEnd::High])),
        (format!("{of}/direction"), words(&[Direction::HigherIsBetter, Direction::LowerIsBetter])),
        ("/properties/multiplicity".to_owned(), words(&multiplicities)),
        (
            "/properties/reuse/properties/adaptivity".to_owned(),
            words(&[Adaptivity::None, Adaptivity::Full, Adaptivity::FirstChange]),
        ),
    ] {
        let schema = schema();
        assert_eq!(schema.pointer(&place).unwrap()["enum"], Value::Array(expected), "{place}");
    }
    // The names in reports are the words of files.
    assert!(tests.iter().all(|t| serde_json::to_value(t).unwrap() == t.name()));
    assert!(multiplicities.iter().all(|m| serde_json::to_value(m).unwrap() == m.name()));
}

#[test]
fn a_criterion_is_written_as_it_is_read() {
    let key = MetricKey::new("auc").unwrap();
    let criteria = [
        Criterion::new("a", key.clone()).with_min(0.5).with_slice("s").with_min_of_each_class(1, 2),
        Criterion::new("b", key.clone())
            .with_band(0.1)
            .with_hypothesis(Hypothesis::Equivalence)
            .with_baseline("x"),
        Criterion::new("c", key).with_min_relative_gain(0.1).with_severity(Severity::Note),
    ];
    for criterion in criteria {
        let text = serde_json::to_string(&criterion).unwrap();
        assert_eq!(serde_json::from_str::<Criterion>(&text).unwrap(), criterion);
    }
}

/// Nothing but a gate or an error comes back, soon, and no error forges a line.
fn read_quietly(text: &str) {
    for format in FORMATS {
        if let Err(error) = GateSpec::from_text(text, *format) {
            let shown = format!("{error} {error:?}");
            assert!(!shown.contains(['\n', '\r', '\u{1b}', '\0', '\u{202e}']), "{format:?} {shown:?}");
            assert!(shown.chars().count() < 2_000, "{format:?} {shown:?}");
        }
    }
}

#[test]
fn what_is_meant_to_exhaust_the_reader_does_not() {
    let laughs = "a: &a [x,x,x,x,x,x,x,x,x]\n".to_owned()
        + &('b'..='j')
            .map(|c| {
                let before = char::from(u8::try_from(u32::from(c)).unwrap() - 1);
                format!("{c}: &{c} [{}]\n", vec![format!("*{before}"); 9].join(","))
            })
            .collect::<String>();
    for text in [
        laughs,
        "[".repeat(1 << 20),
        "{\"a\":".repeat(200_000),
        "- ".repeat(500_000),
        "? ".repeat(500_000),
        "a: ".repeat(300_000),
        "\n".repeat(1 << 20),
        format!("name: {}", "x".repeat(1_000_000)),
        format!("{{\"name\": \"{}", "\\u0041".repeat(170_000)),
        format!("name: g\ncriteria: [{}]", "{},".repeat(300_000)),
        format!("{{\"name\": \"g\", \"criteria\": [{}0]}}", "0,".repeat(500_000)),
        format!("name: |\n{}", " x\n".repeat(300_000)),
        "!".repeat(1 << 20),
        "&a ".repeat(300_000),
        "%TAG ! a\n".repeat(100_000),
        "\"".repeat(1 << 20),
        "'".repeat(1 << 20),
        "#".repeat(1 << 20),
        "9".repeat(1 << 20),
        format!("{{{}\"z\":1}}", (0..60_000).map(|i| format!("\"k{i}\":{i},")).collect::<String>()),
    ] {
        let began = Instant::now();
        read_quietly(&text);
        // Far from what it takes; a bound on what may grow with the square of the text.
        assert!(began.elapsed().as_secs() < 60, "{:?}…", text.get(..20));
    }
}

fn seeds() -> Vec<String> {
    let all = files("valid").into_iter().chain(files("invalid"));
    all.map(|file| std::fs::read_to_string(file).unwrap()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn arbitrary_text_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        read_quietly(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn arbitrary_words_of_the_languages_never_panic(
        words in prop::collection::vec(
            prop::sample::select(vec![
                "name", "criteria", "id", "min", ":", "=", "[", "]", "{", "}", "\"", "'", ",", "\n", "  ", "- ", "nan",
                ".nan", "1e999", "-", "&a", "*a", "!!float", "<<", "|", ">", "#", "[[", "]]", "é", "\u{202e}", "\0", "\\u",
                "null", "true", "---", "...", "%", "@", "`", "0x", "9223372036854775808",
            ]),
            0..60,
        ),
    ) {
        read_quietly(&words.concat());
    }

    #[test]
    fn mutated_files_never_panic(
        seed in any::<prop::sample::Index>(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0_u8..4), 1..6),
    ) {
        let seeds = seeds();
        let mut bytes = seed.get(&seeds).clone().into_bytes();
        for (place, byte, kind) in edits {
            if bytes.is_empty() {
                break;
            }
            let at = place.index(bytes.len());
            match kind {
                0 => bytes[at] = byte,
                1 => { bytes.remove(at); }
                2 => bytes.insert(at, byte),
                _ => {
                    let tail = bytes.split_off(at);
                    bytes.extend_from_slice(&tail[tail.len() / 2..]);
                    bytes.extend_from_slice(&tail);
                }
            }
        }
        read_quietly(&String::from_utf8_lossy(&bytes));
    }
}
