//! The gate for build services, as a build service runs it: files in, an exit code and a rendering out.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use mlops_core::evaluation::{EvaluationReport, GateDecision, Verdict};
use mlops_core::num::Random;
use polars::prelude::{Column, DataFrame, ParquetWriter};
use serde_json::Value;

/// Files of one case.
struct Case {
    folder: tempfile::TempDir,
}

impl Case {
    /// A test set of 2 000 people, and two models: the challenger errs on 14 % of them, the champion on 18 %.
    fn new() -> Self {
        let case = Self { folder: tempfile::tempdir().unwrap() };
        case.write("p.csv", &predictions(0.14, 1, false));
        case.write("c.csv", &predictions(0.18, 2, true));
        case
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        fs::write(self.path(name), text).unwrap();
        self.path(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    fn gate(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gate"));
        command.current_dir(self.folder.path()).env_remove("GITHUB_STEP_SUMMARY");
        command.args(["--sensitive", "sex", "--id", "person"]).args(arguments).output().unwrap()
    }

    /// The gate of the examples, on the challenger and the champion.
    fn release(&self, arguments: &[&str]) -> Output {
        let criteria = concat!(env!("CARGO_MANIFEST_DIR"), "/config/ci.gate.toml");
        let files = [
            "--criteria",
            criteria,
            "--predictions",
            "p.csv",
            "--champion",
            "c.csv",
            "--ledger",
            "ledger.jsonl",
        ];
        self.gate(&[&files, arguments].concat())
    }
}

/// Rows with a person, their sex, the truth and a prediction that is wrong with this chance; `turned` has them in another order.
fn predictions(wrong: f64, seed: u64, turned: bool) -> String {
    let mut random = Random::new(seed);
    let mut rows: Vec<String> = (0..2000)
        .map(|person| {
            let (truth, sex) = (person * 7 % 10 < 4, if person % 2 == 0 { "f" } else { "m" });
            let right = random.next_f64() >= wrong;
            let prediction = 0.5 + if truth == right { 0.45 } else { -0.45 } * random.next_f64();
            format!("p{person},{sex},{truth},{prediction}")
        })
        .collect();
    if turned {
        rows.reverse();
    }
    let mut text = "person,sex,truth,prediction\n".to_owned();
    rows.iter().for_each(|row| writeln!(text, "{row}").unwrap());
    text
}

#[track_caller]
fn code(output: &Output, expected: i32) -> String {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(expected), "{out}{err}");
    assert!(!err.contains("panicked"), "{err}");
    format!("{out}{err}")
}

#[test]
fn a_better_model_passes_and_the_files_say_so() {
    let case = Case::new();
    let text = code(
        &case.release(&[
            "--write",
            "json=d.json",
            "--write",
            "junit=d.xml",
            "--write",
            "sarif=d.sarif",
            "--report",
            "r.json",
        ]),
        0,
    );
    assert!(text.starts_with("gate release: pass (4 of 4 criteria pass)"), "{text}");
    let decision: GateDecision = serde_json::from_str(&case.read("d.json")).unwrap();
    let report: EvaluationReport = serde_json::from_str(&case.read("r.json")).unwrap();
    assert_eq!((decision.verdict, decision.report), (Verdict::Pass, report.digest().unwrap()));
    assert_eq!(decision.model, report.model);
    assert!(decision.evidence.is_some());
    assert!(case.read("d.xml").contains("<testsuite"));
    let sarif: Value = serde_json::from_str(&case.read("d.sarif")).unwrap();
    assert_eq!(sarif["version"], "2.1.0");
    // A second run of the same decision is the same use of the test set, and the same bytes.
    let first = case.read("d.json").replace(&decision.at.to_rfc3339(), "");
    code(&case.release(&["--write", "json=d.json", "--at", "2026-01-05T09:00:00Z"]), 0);
    let again: GateDecision = serde_json::from_str(&case.read("d.json")).unwrap();
    assert_eq!(again.criteria, decision.criteria);
    assert_eq!(again.uses, decision.uses);
    assert!(!first.is_empty());
}

#[test]
fn a_worse_model_fails_and_one_that_is_not_sure_is_not_let_through() {
    let case = Case::new();
    case.write("p.csv", &predictions(0.28, 5, false));
    let text = code(&case.release(&["--format", "github"]), 1);
    assert!(text.contains("::error file="), "{text}");
    // Thirty rows tell nobody anything.
    let head = |name: &str| case.read(name).lines().take(31).collect::<Vec<_>>().join("\n");
    let (p, c) = (head("p.csv"), head("p.csv"));
    case.write("p.csv", &p);
    case.write("c.csv", &c);
    code(&case.release(&[]), 3);
}

#[test]
fn every_format_is_printed() {
    let case = Case::new();
    for (format, begins) in [
        ("text", "gate release: pass"),
        ("json", "{"),
        ("markdown", "#"),
        ("junit", "<?xml"),
        ("sarif", "{"),
        ("github", "::"),
        ("azure-devops", "##vso["),
        ("in-toto", "{"),
    ] {
        let text = code(&case.release(&["--format", format]), 0);
        assert!(text.starts_with(begins), "{format}: {text}");
    }
    let summary = case.path("summary.md");
    let criteria = concat!(env!("CARGO_MANIFEST_DIR"), "/config/ci.gate.toml");
    let mut command = Command::new(env!("CARGO_BIN_EXE_gate"));
    command.current_dir(case.folder.path()).env("GITHUB_STEP_SUMMARY", &summary);
    let arguments =
        ["--criteria", criteria, "--predictions", "p.csv", "--champion", "c.csv", "--format", "github"];
    let more = ["--sensitive", "sex", "--id", "person", "--ledger", "l"];
    code(&command.args(arguments).args(more).output().unwrap(), 0);
    assert!(case.read("summary.md").contains("| accuracy |"));
}

#[test]
fn the_test_set_wears_out() {
    let case = Case::new();
    case.write(
        "gate.json",
        r#"{"name":"g","reuse":{"budget":2},"criteria":[{"id":"a","metric":"accuracy","min":0.7}]}"#,
    );
    let run = |file: &str| {
        case.gate(&["--criteria", "gate.json", "--predictions", file, "--ledger", "ledger.jsonl"])
    };
    case.write("q.csv", &predictions(0.15, 3, false));
    case.write("r.csv", &predictions(0.16, 4, false));
    code(&run("p.csv"), 0);
    code(&run("p.csv"), 0);
    code(&run("q.csv"), 0);
    let text = code(&run("r.csv"), 3);
    assert!(text.contains("a new one is needed"), "{text}");
    assert_eq!(case.read("ledger.jsonl").lines().count(), 4);
    // Without the ledger nobody knows how worn it is.
    code(&case.gate(&["--criteria", "gate.json", "--predictions", "p.csv"]), 3);
    case.write("ledger.jsonl", "{\"data\":1}\n");
    let text = code(&run("p.csv"), 3);
    assert!(text.contains("line of the ledger is damaged"), "{text}");
}

#[test]
fn somebody_has_to_approve_of_exactly_this_decision() {
    let case = Case::new();
    case.write(
        "gate.yaml",
        "name: g\nrequires_approval: true\ncriteria:\n  - id: a\n    metric: accuracy\n    min: 0.7\n",
    );
    let run = |more: &[&str]| {
        let files = [
            "--criteria",
            "gate.yaml",
            "--predictions",
            "p.csv",
            "--at",
            "2026-01-05T09:00:00Z",
            "--write",
            "json=d.json",
        ];
        case.gate(&[&files, more].concat())
    };
    code(&run(&[]), 4);
    let decision: GateDecision = serde_json::from_str(&case.read("d.json")).unwrap();
    let approval = |subject: String| {
        format!(
            r#"{{"subject":"{subject}","decision":"approved","requester":"builder","approver":"owner","at":"2026-01-05T10:00:00Z","expires_at":"2126-01-05T10:00:00Z","comment":""}}"#
        )
    };
    case.write("yes.json", &approval(decision.digest().unwrap().to_string()));
    code(&run(&["--approval", "yes.json"]), 0);
    case.write("other.json", &approval(decision.model.to_string()));
    code(&run(&["--approval", "other.json"]), 4);
    case.write("broken.json", "{");
    code(&run(&["--approval", "broken.json"]), 2);
}

#[test]
fn parquet_numbers_and_other_dialects_are_read() {
    let case = Case::new();
    let parquet = |name: &str| {
        let text = case.read(&format!("{name}.csv"));
        let rows: Vec<Vec<&str>> = text.lines().skip(1).map(|line| line.split(',').collect()).collect();
        let texts = |at: usize| rows.iter().map(|row| row[at]).collect::<Vec<_>>();
        let truth: Vec<bool> = texts(2).iter().map(|truth| truth.parse().unwrap()).collect();
        let scores: Vec<f64> = texts(3).iter().map(|score| score.parse().unwrap()).collect();
        let columns = vec![
            Column::new("person".into(), texts(0)),
            Column::new("sex".into(), texts(1)),
            Column::new("truth".into(), truth),
            Column::new("prediction".into(), scores),
        ];
        let mut frame = DataFrame::new(rows.len(), columns).unwrap();
        let file = fs::File::create(case.path(&format!("{name}.parquet"))).unwrap();
        ParquetWriter::new(file).finish(&mut frame).unwrap();
    };
    parquet("p");
    parquet("c");
    let criteria = concat!(env!("CARGO_MANIFEST_DIR"), "/config/ci.gate.toml");
    let files =
        ["--predictions", "p.parquet", "--champion", "c.parquet", "--ledger", "l", "--criteria", criteria];
    let from_parquet = code(&case.gate(&files), 0);
    assert_eq!(from_parquet, code(&case.release(&[]), 0));

    case.write("mlflow.json", r#"{"accuracy_score": {"threshold": 0.8, "greater_is_better": true}}"#);
    let files = ["--criteria", "mlflow.json", "--dialect", "mlflow", "--predictions", "p.csv"];
    code(&case.gate(&files), 0);
    case.write(
        "rai.json",
        r#"{"Model": {"ModelName": "m"}, "Metrics": {"accuracy_score": {"threshold": ">=0.99"}}}"#,
    );
    code(&case.gate(&["--criteria", "rai.json", "--dialect", "rai-scorecard", "--predictions", "p.csv"]), 1);

    case.write("n.csv", "truth,prediction\n1,1.1\n2,2.2\n3,2.9\n4,4.1\n");
    case.write("n.toml", "name = \"n\"\n[[criteria]]\nid = \"mae\"\nmetric = \"mae\"\nmax = 0.2\n");
    let mut command = Command::new(env!("CARGO_BIN_EXE_gate"));
    let arguments = ["--criteria", "n.toml", "--predictions", "n.csv", "--task", "regression"];
    code(&command.current_dir(case.folder.path()).args(arguments).output().unwrap(), 0);
}

#[test]
fn what_cannot_be_used_is_named_and_ends_in_two() {
    let case = Case::new();
    let toml =
        |text: &str| case.write("g.toml", &format!("name = \"g\"\n[[criteria]]\nid = \"a\"\n{text}\n"));
    toml("metric = \"accuracy\"\nmin = 0.7");
    let run =
        |more: &[&str]| case.gate(&[&["--criteria", "g.toml", "--predictions", "p.csv"], more].concat());
    code(&run(&[]), 0);
    let named = |more: &[&str], words: &[&str]| {
        let text = code(&run(more), 2);
        assert!(words.iter().all(|word| text.contains(word)), "{words:?}: {text}");
    };
    named(&["--truth", "tuth"], &["tuth"]);
    named(&["--prediction", "person"], &["p.csv"]);
    named(&["--champion", "missing.csv"], &["missing.csv"]);
    named(&["--format", "pdf"], &["pdf"]);
    named(&["--threshold", "1.5"], &["threshold"]);
    named(&["--bands", "age=x"], &["age=x"]);
    named(&["--positive", "yes"], &["positive", "yes"]);
    case.write("short.csv", &case.read("p.csv").lines().take(100).collect::<Vec<_>>().join("\n"));
    named(&["--champion", "short.csv"], &["short.csv", "99 rows", "2000"]);
    case.write("other.csv", &case.read("p.csv").replacen("p7,", "x7,", 1));
    named(&["--champion", "other.csv"], &["other.csv", "person"]);
    case.write("twice.csv", &case.read("p.csv").replacen("p7,", "p8,", 1));
    named(&["--champion", "twice.csv"], &["twice.csv", "rows 8 and 9"]);
    case.write("flipped.csv", &case.read("p.csv").replacen("false", "true", 1));
    named(&["--champion", "flipped.csv"], &["flipped.csv", "truth"]);
    toml("metric = \"acuracy\"\nmin = 0.7\ntest = \"exact\"");
    named(&[], &["acuracy"]);
    toml("metric = \"accuracy\"\nmni = 0.7");
    named(&[], &["mni", "min", "line"]);
    // A metric that nobody has measured can never pass.
    toml("metric = \"acuracy\"\nmin = 0.0");
    code(&run(&[]), 1);
    assert!(Path::new(env!("CARGO_BIN_EXE_gate")).exists());
}
