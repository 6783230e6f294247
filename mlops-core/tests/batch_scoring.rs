//! Files are scored in order, with bounded memory, and interrupted work ends as work that was not.
//!
//! `MLOPS_CRASH_KILLS` says how many kills there are (default 20).

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mlops_core::artifact::ArtifactStoreExt as _;
use mlops_core::data::{Column, CsvOptions, DataType, Table};
use mlops_core::deploy::{Deployer as _, DeploymentSpec, EndpointSpec, TrafficChange, TrafficSplit};
use mlops_core::memory::{MemoryArtifactStore, MemoryDeployer, MemoryModelRegistry};
use mlops_core::model::{Feature, ModelFormat, Predictions, Predictor, Signature};
use mlops_core::num::Random;
use mlops_core::pipeline::Cancel;
use mlops_core::problem::Task;
use mlops_core::registry::{ModelRegistry as _, NewModelVersion};
use mlops_core::serve::batch::{
    BadRows, BatchCounts, BatchFormat, BatchInput, BatchOptions, BatchProgress, BatchScoring, DeployedModel,
};
use mlops_core::serve::{BuiltinLoader, ConstantPredictor};
use mlops_core::time::SystemClock;
use mlops_core::{
    ActorId, DeploymentName, EndpointName, Error, ErrorKind, IdempotencyKey, ModelName, Percent, Result,
};

/// y = 2 x + 1 for whoever has a plan; x below -1000 is refused, and at a given question it fails.
#[derive(Debug)]
struct Line {
    signature: Signature,
    slope: f64,
    asked: AtomicU64,
    fails_at: u64,
}

impl Line {
    fn new() -> Self {
        let nullable = Feature::required("plan", DataType::Category).with_nullable(true);
        let inputs = vec![Feature::required("x", DataType::F64), nullable];
        let signature = Signature::new(Task::Regression, inputs);
        Self { signature, slope: 2.0, asked: AtomicU64::new(0), fails_at: u64::MAX }
    }

    fn failing_at(fails_at: u64) -> Self {
        Self { fails_at, ..Self::new() }
    }
}

impl Predictor for Line {
    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn predict(&self, rows: &Table<'_>) -> Result<Predictions> {
        assert!(self.asked.fetch_add(1, Ordering::SeqCst) < self.fails_at, "this model fails");
        let x = rows.column("x")?.to_f64()?;
        if let Some(row) = x.iter().position(|x| *x < -1000.0) {
            let error =
                Error::invalid("Line::predict", "rows", format!("{} is far below what was seen", x[row]));
            return Err(error.with("column", "x").with("row", row));
        }
        let plan = rows.column("plan")?;
        let bonus = |row| if plan.label(row).as_deref() == Some("pro") { 0.5 } else { 0.0 };
        Predictions::value(x.iter().enumerate().map(|(row, x)| self.slope * x + 1.0 + bonus(row)).collect())
    }
}

/// Keeps the last it heard, and may turn a switch.
#[derive(Debug, Default)]
struct Watcher {
    heard: Mutex<Vec<BatchCounts>>,
    cancel_at: u64,
    cancel: Cancel,
}

impl BatchProgress for Watcher {
    fn heard(&self, counts: &BatchCounts) {
        self.heard.lock().unwrap().push(*counts);
        if counts.rows >= self.cancel_at && self.cancel_at > 0 {
            self.cancel.cancel();
        }
    }
}

struct Scene {
    folder: tempfile::TempDir,
}

impl Scene {
    fn new(name: &str, content: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(name), content).unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    fn names(&self) -> Vec<String> {
        let names = std::fs::read_dir(self.folder.path()).unwrap();
        let mut names: Vec<_> = names.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn scoring(&self, input: &str, output: &str, options: BatchOptions) -> BatchScoring {
        BatchScoring::new(BatchInput::of_name(self.path(input)).unwrap(), self.path(output))
            .with_options(options)
    }
}

fn aside(max_share: f64) -> BadRows {
    BadRows::SetAside { max_share }
}

/// Rows of which every hundredth or so is bad, in one of four ways.
fn mixed(rows: usize) -> String {
    let mut text = "id,plan,x,other\n".to_owned();
    for i in 0..rows {
        let plan = ["pro", "basic", ""][i % 3];
        match i % 400 {
            7 => text.push_str(&format!("{i:05},{plan},high,0\n")),
            107 => text.push_str(&format!("{i:05},{plan},,0\n")),
            207 => text.push_str(&format!("{i:05},{plan}\n")),
            307 => text.push_str(&format!("{i:05},{plan},-2000,0\n")),
            308 => text.push_str(&format!("\"{i:05},\"\"x\"\"\",{plan},{}.25,\"two\nlines\"\n", i)),
            _ => text.push_str(&format!("{i:05},{plan},{}.5,0\n", i)),
        }
    }
    text
}

#[test]
fn rows_come_out_in_their_order_with_what_is_carried() {
    let text = "\u{feff}note,id,x,plan\na,007,1,pro\n\"b, c\",,2.5,\n\"d\"\"e\",1e3,-1,basic\n";
    let scene = Scene::new("rows.csv", text);
    let options = BatchOptions::default().with_carried(["id", "note"]).with_batch_rows(2);
    let watcher = Arc::new(Watcher::default());
    let scoring = scene.scoring("rows.csv", "scores.csv", options.clone()).with_progress(watcher.clone());
    let report = scoring.score(&Line::new()).unwrap();
    let expected = "id,note,value\n007,a,3.5\n,\"b, c\",6.0\n1e3,\"d\"\"e\",-1.0\n";
    assert_eq!(scene.read("scores.csv"), expected);
    assert_eq!(scene.names(), ["rows.csv", "scores.csv"], "nothing else is left");
    let counts = |rows| (rows, rows, 0);
    let heard: Vec<_> = watcher.heard.lock().unwrap().iter().map(|c| (c.rows, c.scored, c.bad)).collect();
    assert_eq!(heard, [counts(2), counts(3)]);
    assert_eq!((report.counts.rows, report.resumed_rows, report.refused), (3, 0, None));
    assert_eq!(report.output, mlops_core::hash::Digest::of(expected.as_bytes()));
    assert_eq!(report.input, mlops_core::hash::Digest::of(text.as_bytes()));

    // The same as JSON; and without an id, the number of the row.
    let scoring = scene.scoring("rows.csv", "scores.jsonl", options.with_format(BatchFormat::JsonLines));
    scoring.score(&Line::new()).unwrap();
    let expected = concat!(
        "{\"id\":\"007\",\"note\":\"a\",\"value\":3.5}\n",
        "{\"id\":null,\"note\":\"b, c\",\"value\":6.0}\n",
        "{\"id\":\"1e3\",\"note\":\"d\\\"e\",\"value\":-1.0}\n"
    );
    assert_eq!(scene.read("scores.jsonl"), expected);
    scene.scoring("rows.csv", "plain.csv", BatchOptions::default()).score(&Line::new()).unwrap();
    assert_eq!(scene.read("plain.csv"), "row,value\n1,3.5\n2,6.0\n3,-1.0\n");
}

#[test]
fn json_lines_are_scored_as_csv_is() {
    let mut lines = String::new();
    for i in 0..50 {
        let plan = ["\"pro\"", "\"basic\"", "null"][i % 3];
        lines.push_str(&format!("{{\"x\": {i}.5, \"id\": {i}, \"plan\": {plan}, \"other\": [{{}}]}}\n"));
    }
    lines.push_str("{\"x\": \"high\", \"id\": 50}\n{\"x\": 1, \"id\"\n");
    let scene = Scene::new("rows.jsonl", &lines);
    let options = BatchOptions::default().with_carried(["id"]).with_bad_rows(aside(0.1)).with_batch_rows(7);
    let report = scene.scoring("rows.jsonl", "scores.csv", options).score(&Line::new()).unwrap();
    assert_eq!((report.counts.scored, report.counts.bad), (50, 2));
    let scores = scene.read("scores.csv");
    assert_eq!(scores.lines().nth(2), Some("1,4.0"));
    assert_eq!(scores.lines().nth(50), Some("49,100.0"));
    let expected = concat!(
        "{\"row\":51,\"line\":51,\"column\":\"x\",\"reason\":\"\\\"high\\\" is not a number\",\"carried\":{\"id\":\"50\"}}\n",
        "{\"row\":52,\"line\":52,\"reason\":\"\\\"{\\\"x\\\": 1, \\\"id\\\"\\\" is not JSON (at byte 13)\",\"carried\":{\"id\":null}}\n",
    );
    assert_eq!(scene.read("scores.csv.refused.jsonl"), expected);
}

#[cfg(feature = "polars-io")]
#[test]
fn parquet_is_scored_as_csv_is() {
    use polars::prelude::{Column as Series, DataFrame, ParquetWriter};
    let scene = Scene::new("unused", "");
    let ids: Vec<i64> = (0..100).map(|i| 1000 + i).collect();
    let x: Vec<Option<f64>> = (0..100).map(|i| (i != 31).then_some(f64::from(i))).collect();
    let plan: Vec<Option<&str>> = (0..100).map(|i| [Some("pro"), None][i % 2]).collect();
    let columns =
        vec![Series::new("id".into(), ids), Series::new("x".into(), x), Series::new("plan".into(), plan)];
    let mut frame = DataFrame::new(100, columns).unwrap();
    let file = std::fs::File::create(scene.path("rows.parquet")).unwrap();
    ParquetWriter::new(file).with_row_group_size(Some(30)).finish(&mut frame).unwrap();
    let options = BatchOptions::default()
        .with_carried(["id"])
        .with_format(BatchFormat::JsonLines)
        .with_batch_rows(8)
        .with_bad_rows(aside(0.01));
    let report = scene.scoring("rows.parquet", "scores.jsonl", options).score(&Line::new()).unwrap();
    assert_eq!((report.counts.rows, report.counts.bad), (100, 1));
    let scores = scene.read("scores.jsonl");
    assert_eq!(scores.lines().count(), 99);
    assert_eq!(scores.lines().nth(98), Some("{\"id\":1099,\"value\":199.0}"));
    let refused = "{\"row\":32,\"column\":\"x\",\"reason\":\"has no value, but the model needs one\",\"carried\":{\"id\":1031}}\n";
    assert_eq!(scene.read("scores.jsonl.refused.jsonl"), refused);
}

#[test]
fn bad_rows_are_named_with_line_and_reason() {
    let scene = Scene::new("rows.csv", &mixed(800));
    let options = BatchOptions::default().with_carried(["id"]).with_batch_rows(64).with_bad_rows(aside(0.01));
    let report = scene.scoring("rows.csv", "scores.csv", options.clone()).score(&Line::new()).unwrap();
    assert_eq!((report.counts.rows, report.counts.scored, report.counts.bad), (800, 792, 8));
    let refused = scene.read("scores.csv.refused.jsonl");
    let lines: Vec<&str> = refused.lines().collect();
    let told = |row: u64, line: u64, rest: &str| format!("{{\"row\":{row},\"line\":{line},{rest}}}");
    assert_eq!(
        lines[..4],
        [
            told(
                8,
                9,
                "\"column\":\"x\",\"reason\":\"\\\"high\\\" is not a number\",\"carried\":{\"id\":\"00007\"}"
            ),
            told(
                108,
                109,
                "\"column\":\"x\",\"reason\":\"has no value, but the model needs one\",\"carried\":{\"id\":\"00107\"}"
            ),
            told(
                208,
                209,
                "\"reason\":\"\\\"00207,pro\\\" has 2 fields, but there are 4 columns\",\"carried\":{\"id\":null}"
            ),
            told(
                308,
                309,
                "\"column\":\"x\",\"reason\":\"-2000 is far below what was seen\",\"carried\":{\"id\":\"00307\"}"
            ),
        ]
    );
    // The row before has a line end in quotes: lines and rows part.
    assert!(lines[4].starts_with("{\"row\":408,\"line\":410,"), "{}", lines[4]);
    let scores = scene.read("scores.csv");
    assert_eq!(scores.lines().count(), 793);
    assert_eq!(scores.lines().nth(305), Some("\"00308,\"\"x\"\"\",617.5"));

    for bad_rows in [BadRows::Refuse, aside(0.009)] {
        let scene = Scene::new("rows.csv", &mixed(800));
        let options = options.clone().with_bad_rows(bad_rows).with_checkpoint_batches(1);
        let error = scene.scoring("rows.csv", "scores.csv", options.clone()).score(&Line::new()).unwrap_err();
        match bad_rows {
            BadRows::Refuse => {
                assert_eq!(error.kind(), ErrorKind::InvalidInput);
                assert_eq!(error.message(), "column `x`, row 8 (line 9): \"high\" is not a number");
                assert_eq!((error.context("row"), error.context("line")), (Some("8"), Some("9")));
            }
            _ => {
                assert_eq!((error.kind(), error.context("bad")), (ErrorKind::Rejected, Some("8")));
                assert!(error.context("first").unwrap().contains("row 8"), "{error}");
            }
        }
        assert!(!scene.names().contains(&"scores.csv".to_owned()), "no results of work that failed");
        // Who thinks better of it does not begin anew.
        let options = options.with_bad_rows(aside(0.01));
        scene.scoring("rows.csv", "scores.csv", options).score(&Line::new()).unwrap();
        assert_eq!(scene.read("scores.csv"), scores);
    }
}

#[test]
fn a_share_of_bad_rows_ends_the_work_before_the_end_of_a_long_file() {
    let mut text = mixed(11_000);
    text.push_str(&"1,,1,1\n".repeat(20_000));
    let scene = Scene::new("rows.csv", &text);
    let options = BatchOptions::default().with_batch_rows(1_000).with_bad_rows(aside(0.005));
    let error = scene.scoring("rows.csv", "s.csv", options).score(&Line::new()).unwrap_err();
    assert_eq!((error.kind(), error.context("rows")), (ErrorKind::Rejected, Some("10000")));
}

#[test]
fn files_of_bad_rows_only_and_of_none() {
    let scene = Scene::new("rows.csv", "x,plan\nhigh,\n,\n");
    let options = BatchOptions::default().with_bad_rows(aside(1.0));
    let report = scene.scoring("rows.csv", "scores.csv", options.clone()).score(&Line::new()).unwrap();
    assert_eq!((report.counts.rows, report.counts.scored), (2, 0));
    assert_eq!(scene.read("scores.csv"), "row\n");
    std::fs::write(scene.path("none.csv"), "x,plan\n").unwrap();
    let error = scene.scoring("none.csv", "none.out", options).score(&Line::new()).unwrap_err();
    assert_eq!(error.message(), "has a header, but no rows");
}

#[test]
fn what_is_wrong_with_the_whole_is_said_before_anything_is_written() {
    let scene = Scene::new("rows.csv", "x,y,plan\n1,2,a\n");
    let csv = scene.path("rows.csv");
    let wrong = BatchInput::csv(&csv, CsvOptions::default().with_type("x", DataType::Category));
    let carried = |name| BatchOptions::default().with_carried([name]);
    for (scoring, kind) in [
        (scene.scoring("none.csv", "s.csv", BatchOptions::default()), ErrorKind::NotFound),
        (scene.scoring("rows.csv", "s.csv", carried("z")), ErrorKind::NotFound),
        (
            scene.scoring("rows.csv", "s.csv", BatchOptions::default().with_batch_rows(0)),
            ErrorKind::InvalidInput,
        ),
        (scene.scoring("rows.csv", "..", BatchOptions::default()), ErrorKind::InvalidInput),
        (scene.scoring("rows.csv", "no/such/folder.csv", BatchOptions::default()), ErrorKind::NotFound),
        (
            BatchScoring::new(BatchInput::json_lines(scene.folder.path()), scene.path("s")),
            ErrorKind::InvalidInput,
        ),
    ] {
        assert_eq!(scoring.score(&Line::new()).unwrap_err().kind(), kind, "{scoring:?}");
        assert_eq!(scene.names(), ["rows.csv"]);
    }
    let error = BatchScoring::new(wrong, scene.path("s.csv")).score(&Line::new()).unwrap_err();
    assert_eq!((error.kind(), error.context("column")), (ErrorKind::InvalidInput, Some("x")));
    // Nothing was done that could be taken up: who corrects the mistake is not told of unfinished work.
    scene.scoring("rows.csv", "s.csv", BatchOptions::default()).score(&Line::new()).unwrap();
    assert_eq!(scene.read("s.csv"), "row,value\n1,3.0\n");
    // A column that is called like the answer.
    std::fs::write(scene.path("value.csv"), "x,value,plan\n1,2,a\n").unwrap();
    let error = scene.scoring("value.csv", "v.csv", carried("value")).score(&Line::new()).unwrap_err();
    assert_eq!((error.kind(), error.context("column")), (ErrorKind::InvalidInput, Some("value")));
    assert!(BatchInput::of_name("rows.xlsx").is_err());
}

#[test]
fn results_that_are_there_are_replaced_only_when_asked() {
    let scene = Scene::new("rows.csv", &mixed(800));
    std::fs::write(scene.path("scores.csv"), "precious").unwrap();
    let options = BatchOptions::default().with_bad_rows(aside(0.1));
    let score = |options: BatchOptions| scene.scoring("rows.csv", "scores.csv", options).score(&Line::new());
    assert_eq!(score(options.clone()).unwrap_err().kind(), ErrorKind::AlreadyExists);
    assert_eq!((scene.read("scores.csv"), scene.names().len()), ("precious".to_owned(), 2));
    // What a kill has left behind after the end is nothing to go on with.
    std::fs::create_dir(scene.path("scores.csv.batch")).unwrap();
    assert_eq!(score(options.clone()).unwrap_err().kind(), ErrorKind::AlreadyExists);
    assert_eq!((scene.read("scores.csv"), scene.names().len()), ("precious".to_owned(), 2));
    score(options.clone().with_overwrite(true)).unwrap();
    assert!(scene.read("scores.csv").starts_with("row,value\n"));
    // What was set aside goes with the results it belongs to.
    assert!(scene.path("scores.csv.refused.jsonl").exists());
    std::fs::write(scene.path("rows.csv"), "x,plan\n1,\n").unwrap();
    score(options.with_overwrite(true)).unwrap();
    assert_eq!(scene.names(), ["rows.csv", "scores.csv"]);
}

/// The results of work that was never interrupted.
fn calm(text: &str, options: &BatchOptions) -> (String, String) {
    let scene = Scene::new("rows.csv", text);
    scene.scoring("rows.csv", "s.csv", options.clone()).score(&Line::new()).unwrap();
    (scene.read("s.csv"), scene.read("s.csv.refused.jsonl"))
}

#[test]
fn work_that_was_interrupted_anywhere_ends_as_work_that_was_not() {
    let text = mixed(1_600);
    let options = BatchOptions::default()
        .with_carried(["id"])
        .with_batch_rows(50)
        .with_checkpoint_batches(3)
        .with_bad_rows(aside(0.02));
    let expected = calm(&text, &options);
    for first in [1, 2, 30, 75] {
        for second in [1, 20, 77] {
            let scene = Scene::new("rows.csv", &text);
            let scoring = scene.scoring("rows.csv", "s.csv", options.clone());
            // The model panics; then somebody loses patience; then it goes through.
            let error = scoring.score(&Line::failing_at(first)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Internal);
            let cancel = Cancel::new();
            let watcher = Watcher { cancel_at: second * 20, cancel: cancel.clone(), ..Watcher::default() };
            let scoring = scoring.with_progress(Arc::new(watcher));
            let error = scoring.clone().with_cancel(cancel).score(&Line::new()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Cancelled);
            assert_eq!(scene.names(), ["rows.csv", "s.csv.batch"]);
            let report = scoring.score(&Line::new()).unwrap();
            assert_eq!(scene.read("s.csv"), expected.0, "{first} {second}");
            assert_eq!(scene.read("s.csv.refused.jsonl"), expected.1);
            assert_eq!((report.counts.rows, report.counts.bad), (1_600, 16));
            assert!(second < 77 || report.resumed_rows >= 1_000, "{report:?}");
            assert_eq!(scene.names(), ["rows.csv", "s.csv", "s.csv.refused.jsonl"]);
        }
    }
}

/// Work that was cancelled after some checkpoints.
fn unfinished(scene: &Scene, options: &BatchOptions) {
    let cancel = Cancel::new();
    let watcher = Watcher { cancel_at: 600, cancel: cancel.clone(), ..Watcher::default() };
    let scoring = scene.scoring("rows.csv", "s.csv", options.clone()).with_progress(Arc::new(watcher));
    scoring.with_cancel(cancel).score(&Line::new()).unwrap_err();
}

#[test]
fn unfinished_work_is_taken_up_only_as_what_it_was() {
    let options =
        BatchOptions::default().with_batch_rows(50).with_checkpoint_batches(2).with_bad_rows(aside(0.02));
    let text = mixed(1_600);
    let (expected, _) = calm(&text, &options);
    let kind = |scene: &Scene, options: &BatchOptions, model: &Line| {
        scene.scoring("rows.csv", "s.csv", options.clone()).score(model).map_err(|e| e.kind())
    };
    let scene = Scene::new("rows.csv", &text);
    unfinished(&scene, &options);
    let conflict = Err(ErrorKind::Conflict);
    // Other options, another model by name and by what it answers, another input.
    assert_eq!(kind(&scene, &options.clone().with_batch_rows(25), &Line::new()).map(drop), conflict);
    assert_eq!(kind(&scene, &options.clone().with_carried(["id"]), &Line::new()).map(drop), conflict);
    let scoring = scene.scoring("rows.csv", "s.csv", options.clone()).with_model("line:2");
    assert_eq!(scoring.score(&Line::new()).unwrap_err().kind(), ErrorKind::Conflict);
    let steeper = Line { slope: 2.5, ..Line::new() };
    let error = scene.scoring("rows.csv", "s.csv", options.clone()).score(&steeper).unwrap_err();
    assert!(error.message().contains("other results than before"), "{error}");
    std::fs::write(scene.path("rows.csv"), text.replace("basic", "basil")).unwrap();
    assert_eq!(kind(&scene, &options, &Line::new()).map(drop), conflict);
    // As it was it goes on, even after all that.
    std::fs::write(scene.path("rows.csv"), &text).unwrap();
    assert!(kind(&scene, &options, &Line::new()).unwrap().resumed_rows > 0);
    assert_eq!(scene.read("s.csv"), expected);

    let scene = Scene::new("rows.csv", &text);
    unfinished(&scene, &options);
    let restart = options.clone().with_restart(true);
    assert_eq!(kind(&scene, &restart.with_batch_rows(40), &Line::new()).unwrap().resumed_rows, 0);
    assert_eq!(scene.read("s.csv"), expected);
}

#[test]
fn unfinished_work_that_was_damaged_is_noticed() {
    let options =
        BatchOptions::default().with_batch_rows(50).with_checkpoint_batches(2).with_bad_rows(aside(0.02));
    let text = mixed(1_600);
    let scene = Scene::new("rows.csv", &text);
    unfinished(&scene, &options);
    let results = scene.path("s.csv.batch/results");
    let good = std::fs::read(&results).unwrap();
    let score = || scene.scoring("rows.csv", "s.csv", options.clone()).score(&Line::new());
    for damage in [&good[..100], &[b"x", &good[1..]].concat()] {
        std::fs::write(&results, damage).unwrap();
        assert_eq!(score().unwrap_err().kind(), ErrorKind::Integrity);
        std::fs::write(&results, &good).unwrap();
    }
    // Whoever works holds the journal.
    let journal = std::fs::File::open(scene.path("s.csv.batch/journal")).unwrap();
    journal.lock().unwrap();
    assert_eq!(score().unwrap_err().kind(), ErrorKind::Busy);
    journal.unlock().unwrap();
    std::fs::write(scene.path("s.csv.batch/journal"), "{}\n").unwrap();
    assert_eq!(score().unwrap_err().kind(), ErrorKind::Corrupt);
    let report = scene.scoring("rows.csv", "s.csv", options.clone().with_restart(true)).score(&Line::new());
    assert_eq!(report.unwrap().counts.scored, 1_584);
}

#[test]
fn results_that_could_not_be_named_are_named_later() {
    let options = BatchOptions::default().with_batch_rows(50).with_bad_rows(aside(0.02)).with_overwrite(true);
    let text = mixed(800);
    let expected = calm(&text, &options);
    let scene = Scene::new("rows.csv", &text);
    // A folder stands where the results should be.
    std::fs::create_dir(scene.path("s.csv")).unwrap();
    let score = || scene.scoring("rows.csv", "s.csv", options.clone()).score(&Line::failing_at(u64::MAX));
    assert_eq!(score().unwrap_err().kind(), ErrorKind::Storage);
    std::fs::remove_dir(scene.path("s.csv")).unwrap();
    let report = scene.scoring("rows.csv", "s.csv", options.clone()).score(&Line::failing_at(0)).unwrap();
    assert_eq!((report.resumed_rows, report.counts.bad), (800, 8), "nothing is asked again");
    assert_eq!((scene.read("s.csv"), scene.read("s.csv.refused.jsonl")), expected);
    assert_eq!(scene.names(), ["rows.csv", "s.csv", "s.csv.refused.jsonl"]);
}

#[test]
fn memory_does_not_grow_with_the_file() {
    let options =
        BatchOptions::default().with_carried(["id"]).with_batch_rows(512).with_bad_rows(aside(0.02));
    let most = |rows: usize, input: &str, lines: bool| {
        let text = match lines {
            false => mixed(rows),
            true => (0..rows).map(|i| format!("{{\"id\":{i},\"x\":{i},\"plan\":\"pro\"}}\n")).collect(),
        };
        let scene = Scene::new(input, &text);
        drop(text);
        let scoring = scene.scoring(input, "s.csv", options.clone());
        let model = Line::new();
        let mut report = None;
        let counted = allocation_counter::measure(|| report = Some(scoring.score(&model).unwrap()));
        assert_eq!(report.unwrap().counts.rows, rows as u64);
        counted.bytes_max
    };
    for (input, lines) in [("rows.csv", false), ("rows.jsonl", true)] {
        // Beyond one buffer of the reader, so that only the number of batches differs.
        let (small, large) = (most(60_000, input, lines), most(240_000, input, lines));
        println!("{input}: {small} bytes for 60 000 rows, {large} for 240 000");
        assert!(large < small + 64 * 1024, "{small} {large}");
        assert!(large < 6 << 20, "{large}");
    }
}

fn kill_options() -> BatchOptions {
    BatchOptions::default()
        .with_carried(["id"])
        .with_batch_rows(40)
        .with_checkpoint_batches(2)
        .with_bad_rows(aside(0.02))
}

#[test]
fn child() {
    let Some(folder) = std::env::var_os("MLOPS_BATCH_FOLDER") else { return };
    let folder = Path::new(&folder);
    let input = BatchInput::of_name(folder.join("rows.csv")).unwrap();
    let scoring = BatchScoring::new(input, folder.join("s.csv")).with_options(kill_options());
    scoring.with_progress(Arc::new(Teller)).score(&Line::new()).unwrap();
}

/// Says on standard output how far the work is.
#[derive(Debug)]
struct Teller;

impl BatchProgress for Teller {
    fn heard(&self, counts: &BatchCounts) {
        let mut out = std::io::stdout();
        let _ = out.write_all(format!("\nrows {}\n", counts.rows).as_bytes());
        let _ = out.flush();
    }
}

#[test]
fn work_that_is_killed_again_and_again_ends_as_work_that_was_not() {
    let kills = std::env::var("MLOPS_CRASH_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(20_u64);
    let text = mixed(2_000);
    let expected = calm(&text, &kill_options());
    let mut random = Random::new(2026);
    let (mut done, mut files, mut taken_up) = (0, 0, 0);
    while done < kills {
        let scene = Scene::new("rows.csv", &text);
        files += 1;
        let finished = || scene.path("s.csv").exists() && !scene.path("s.csv.batch/journal").exists();
        while !finished() && done < kills {
            let mut child = Command::new(std::env::current_exe().unwrap())
                .args(["child", "--exact", "--nocapture", "--test-threads=1"])
                .env("MLOPS_BATCH_FOLDER", scene.folder.path())
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            // Some are killed while they look at what is there, most at work, a few at the end.
            let said = BufReader::new(child.stdout.take().unwrap()).lines().map_while(|line| line.ok());
            let mut said = said.filter_map(|line| line.strip_prefix("rows ")?.parse::<u64>().ok());
            let batches = random.below(24.try_into().unwrap());
            if batches > 0 {
                // The first batch of work that is taken up ends beyond the first of the file.
                taken_up += u64::from(said.next().is_some_and(|rows| rows > 40));
                said.by_ref().take(usize::try_from(batches).unwrap() - 1).for_each(drop);
            }
            std::thread::sleep(Duration::from_micros(random.below(2_000.try_into().unwrap())));
            child.kill().unwrap();
            let output = child.wait_with_output().unwrap();
            let faults = String::from_utf8_lossy(&output.stderr);
            assert!(!faults.contains("panicked"), "{faults}");
            done += 1;
        }
        if !finished() {
            scene.scoring("rows.csv", "s.csv", kill_options()).score(&Line::new()).unwrap();
        }
        assert_eq!((scene.read("s.csv"), scene.read("s.csv.refused.jsonl")), expected, "file {files}");
    }
    println!(
        "{done} kills over {files} files; {taken_up} times work was taken up that had come to checkpoints"
    );
    assert!(taken_up > 0 || kills < 20);
}

#[tokio::test]
async fn the_model_of_a_deployment_scores_under_its_version() {
    let clock = Arc::new(SystemClock::new());
    let artifacts = Arc::new(MemoryArtifactStore::new(clock.clone()));
    let registry = Arc::new(MemoryModelRegistry::new(artifacts.clone(), clock.clone()));
    let deployer = MemoryDeployer::new(registry.clone(), artifacts.clone(), Arc::new(BuiltinLoader), clock);
    let (me, name) = (ActorId::new("release").unwrap(), ModelName::new("prior").unwrap());
    let endpoint = EndpointName::new("clinic").unwrap();
    deployer.ensure_endpoint(&EndpointSpec::new(endpoint.clone(), me.clone())).await.unwrap();
    let mut deployments = Vec::new();
    for (color, value) in [("blue", 0.25), ("green", 0.75)] {
        let model = ConstantPredictor::new(Task::BinaryClassification, value).unwrap();
        let blob = artifacts.put_bytes(model.to_bytes().unwrap()).await.unwrap();
        let format = ModelFormat::new("mlops.constant/v1").unwrap();
        let new =
            NewModelVersion::new(name.clone(), blob.digest, format, model.signature().clone(), me.clone());
        let version = registry.register(&new).await.unwrap().version;
        let color = DeploymentName::new(color).unwrap();
        let spec = DeploymentSpec::new(endpoint.clone(), color.clone(), name.clone(), version, me.clone());
        deployer.deploy(&spec).await.unwrap();
        deployments.push(color);
    }
    let find = async |named: Option<&DeploymentName>| {
        let (registry, artifacts) = (registry.clone(), artifacts.clone());
        DeployedModel::find(&deployer, registry, artifacts, Arc::new(BuiltinLoader), &endpoint, named).await
    };
    let split = async |split: TrafficSplit| {
        let (key, endpoint, actor) = (IdempotencyKey::generate(), endpoint.clone(), me.clone());
        deployer.set_traffic(&TrafficChange::new(endpoint, split, actor).with_key(key)).await.unwrap();
    };
    // Who answers has to be one.
    assert_eq!(find(None).await.unwrap_err().kind(), ErrorKind::Conflict);
    let half = Percent::new(50).unwrap();
    split(TrafficSplit::canary(deployments[0].clone(), deployments[1].clone(), half).unwrap()).await;
    assert_eq!(find(None).await.unwrap_err().kind(), ErrorKind::Conflict);
    let none = DeploymentName::new("red").unwrap();
    assert_eq!(find(Some(&none)).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(find(Some(&deployments[1])).await.unwrap().version.get(), 2);
    split(TrafficSplit::all_to(deployments[1].clone())).await;
    let model = find(None).await.unwrap();

    let scene = Scene::new("rows.csv", "patient\n1\n2\n");
    let scoring = scene.scoring("rows.csv", "scores.csv", BatchOptions::default().with_carried(["patient"]));
    let report = scoring.score_deployed(&model).unwrap();
    assert_eq!(scene.read("scores.csv"), "patient,probability\n1,0.75\n2,0.75\n");
    assert_eq!(report.model, Some(format!("prior:2 {}", model.artifact)));
    // Without a column there is nothing that could be counted.
    let error =
        scene.scoring("rows.csv", "s.csv", BatchOptions::default()).score(&model.predictor).unwrap_err();
    assert_eq!(error.context("field"), Some("carried"));
}

/// Says whether a number is low, mid or high, quite surely.
#[derive(Debug)]
struct Thirds(Signature);

impl Predictor for Thirds {
    fn signature(&self) -> &Signature {
        &self.0
    }

    fn predict(&self, rows: &Table<'_>) -> Result<Predictions> {
        let third = |x: &f64| match x {
            x if *x < 1.0 => [0.75, 0.25, 0.0],
            x if *x < 2.0 => [0.125, 0.75, 0.125],
            _ => [0.0, 0.25, 0.75],
        };
        let values = rows.column("x")?.to_f64()?.iter().flat_map(third).collect();
        Predictions::classes(["low", "mid, say", "high"], values)
    }
}

#[test]
fn of_several_classes_the_likeliest_is_written_and_all_probabilities() {
    let model =
        Thirds(Signature::new(Task::MulticlassClassification, vec![Feature::required("x", DataType::F64)]));
    let scene = Scene::new("rows.csv", "id,x\na,0\nb,1\nc,2\n");
    let options = BatchOptions::default().with_carried(["id"]).with_batch_rows(2);
    scene.scoring("rows.csv", "s.csv", options.clone()).score(&model).unwrap();
    let expected = concat!(
        "id,class,probability_low,\"probability_mid, say\",probability_high\n",
        "a,low,0.75,0.25,0.0\n",
        "b,\"mid, say\",0.125,0.75,0.125\n",
        "c,high,0.0,0.25,0.75\n"
    );
    assert_eq!(scene.read("s.csv"), expected);
    scene.scoring("rows.csv", "s.jsonl", options.with_format(BatchFormat::JsonLines)).score(&model).unwrap();
    let line = "{\"id\":\"b\",\"class\":\"mid, say\",\"probability_low\":0.125,\"probability_mid, say\":0.75,\"probability_high\":0.125}";
    assert_eq!(scene.read("s.jsonl").lines().nth(1), Some(line));
}

#[test]
fn tables_of_tests_are_what_they_seem() {
    // `mixed` must hold every kind of bad row, or the tests above show nothing.
    let column = Column::f64("x", vec![1.0, -2000.0]).unwrap();
    let plan = Column::optional_text("plan", [Some("pro"), None]).unwrap();
    let table = Table::new(vec![column, plan]).unwrap();
    assert_eq!(Line::new().predict(&table).unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(Line::new().predict(&table.take(&[0]).unwrap()).unwrap().as_slice(), [3.5]);
}
