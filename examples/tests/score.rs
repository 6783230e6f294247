//! What `serving/score.py` answers is what the predictors answer that wrote the models.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use mlops_core::data::{Column, Table, Validity, Values};
use mlops_core::model::Predictor;
use mlops_core::problem::Task;
use mlops_core::serve::{
    ConstantPredictor, EncoderOptions, FeatureEncoder, ForestPredictor, LinearPredictor, Node, Tree,
};
use serde_json::{Value, json};

const DRIVER: &str = "import json, score, sys; score.init(); print(json.dumps(score.run(sys.stdin.read())))";

/// Asks the script as Azure does: with the model in a folder of its own, and a request as text.
fn asked(model: &[u8], request: &Value) -> Option<Output> {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let file = folder.path().join("ab12");
    std::fs::write(file, model).expect("the temporary folder can be written");
    let mut python = Command::new("python3");
    python.args(["-B", "-c", DRIVER]).env("AZUREML_MODEL_DIR", folder.path());
    python.env("PYTHONPATH", Path::new(env!("CARGO_MANIFEST_DIR")).join("serving"));
    python.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let Ok(mut child) = python.spawn() else {
        println!("skipped: there is no python3");
        return None;
    };
    let written = child.stdin.take().map(|mut input| input.write_all(request.to_string().as_bytes()));
    written.expect("there is an input").expect("the script reads its input");
    Some(child.wait_with_output().expect("the script ends"))
}

fn rows() -> Table<'static> {
    let some = || Some(Validity::from_bools(&[true, false, true, true]));
    Table::new(vec![
        Column::new("age", Values::F64(vec![59.0, 0.0, 24.5, 50.0].into()), some()).expect("four values"),
        Column::f64("bmi", vec![32.1, 21.6, 30.5, 25.0]).expect("four values"),
        Column::optional_text("sex", [Some("m"), None, Some("f"), Some("f")]).expect("four values"),
    ])
    .expect("three columns")
}

/// The same rows as a request: the columns in another order, and one that no model knows.
fn request() -> Value {
    json!({ "input_data": {
        "columns": ["sex", "age", "bmi", "extra"], "index": [0, 1, 2, 3],
        "data": [["m", 59.0, 32.1, 1], [null, null, 21.6, 2], ["f", 24.5, 30.5, null], ["f", 50, 25, "x"]],
    } })
}

fn models() -> Vec<(Box<dyn Predictor>, Vec<u8>)> {
    let fitted = |options: &EncoderOptions| {
        FeatureEncoder::fit(&rows(), &["age", "bmi", "sex"], options).expect("there are values")
    };
    let (standard, raw) = (fitted(&EncoderOptions::default()), fitted(&EncoderOptions::raw()));
    let split = |column, below, left, right, missing| Node::Split { column, below, left, right, missing };
    let trees = vec![
        Tree(vec![split(0, 24.5, 1, 2, 3), Node::Leaf(-1.5), Node::Leaf(0.25), Node::Leaf(0.5)]),
        Tree(vec![
            split(2, 0.5, 1, 2, 1),
            Node::Leaf(0.1),
            split(1, 31.0, 3, 4, 4),
            Node::Leaf(2.0),
            Node::Leaf(3.0),
        ]),
    ];
    let mut models: Vec<(Box<dyn Predictor>, Vec<u8>)> = Vec::new();
    for task in [Task::BinaryClassification, Task::Regression] {
        let weights = vec![0.5, -1.25, 0.75, 0.1, -3.0];
        let linear = LinearPredictor::new(task, standard.clone(), weights, 0.3).expect("as many as columns");
        models.push((Box::new(linear.clone()), linear.to_bytes().expect("can be written")));
        let forest = ForestPredictor::new(task, raw.clone(), 0.2, trees.clone()).expect("sound trees");
        models.push((Box::new(forest.clone()), forest.to_bytes().expect("can be written")));
        let constant = ConstantPredictor::new(task, 0.25).expect("a probability");
        models.push((Box::new(constant.clone()), constant.to_bytes().expect("can be written")));
    }
    models
}

#[test]
fn the_script_answers_what_the_predictor_answers() {
    for (predictor, bytes) in models() {
        let Some(output) = asked(&bytes, &request()) else { return };
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let answer: Vec<f64> = serde_json::from_slice(&output.stdout).expect("a list of numbers");
        let expected = predictor.predict(&rows()).expect("the rows fit");
        assert_eq!(answer.len(), expected.as_slice().len());
        for (got, expected) in answer.iter().zip(expected.as_slice()) {
            assert!((got - expected).abs() <= 1e-14 * expected.abs().max(1.0), "{got} {expected}");
        }
    }
}

#[test]
fn what_does_not_fit_is_refused_by_name_and_without_its_value() {
    let Some((_, linear)) = models().into_iter().next() else { return };
    for (columns, row, named) in [
        (json!(["age", "bmi"]), json!([59.0, 32.1]), "'sex'"),
        (json!(["age", "bmi", "sex"]), json!(["hunter2", 32.1, "m"]), "'age'"),
        (json!(["age", "bmi", "sex"]), json!([59.0, 32.1, 4711.5]), "'sex'"),
        (json!(["age", "bmi", "sex"]), json!([59.0, 32.1]), "another number of values"),
    ] {
        let request = json!({ "input_data": { "columns": columns, "data": [row] } });
        let Some(output) = asked(&linear, &request) else { return };
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(named), "{said}");
        assert!(!said.contains("hunter2") && !said.contains("4711.5"), "{said}");
    }
    let Some(output) = asked(br#"{"model":{"task":"multiclass_classification"}}"#, &request()) else {
        return;
    };
    assert!(!output.status.success());
}
