//! Models of other libraries, held against what these libraries answer; and files that nobody should trust.
//!
//! References: `tests/reference/make_predictors.py` (LightGBM 4.7.0, XGBoost 3.2.0, scikit-learn 1.9.1) and
//! `make_predictors_onnx.py` (onnxruntime 1.32.0).

use std::sync::Arc;

use mlops_core::artifact::ArtifactStoreExt as _;
use mlops_core::conformance::predictor::PredictorUnderTest;
use mlops_core::data::{Column, DataType, Table};
use mlops_core::deploy::{
    Deployer as _, DeploymentSpec, EndpointSpec, InvokeRequest, TrafficChange, TrafficSplit,
};
use mlops_core::local::LocalStore;
use mlops_core::model::{ModelFormat, ModelLoader as _, Predictor};
use mlops_core::num::Random;
use mlops_core::num::parallel::Threads;
use mlops_core::problem::Task;
use mlops_core::registry::{ModelRegistry as _, NewModelVersion};
use mlops_core::serve::{BuiltinLoader, ImportOptions, ImportedModel, detect_format};
use mlops_core::{
    ActorId, DeploymentName, EndpointName, ErrorKind, IdempotencyKey, ModelName, RelPath, Result,
};
use serde_json::Value;

const LIGHTGBM: &str = include_str!("reference/predictors_lightgbm.json");
const ONNX: &str = include_str!("reference/predictors_onnx.json");
const XGBOOST: &str = include_str!("reference/predictors_xgboost.json");
const SKLEARN: &str = include_str!("reference/predictors_sklearn.json");

fn cases(text: &str) -> Vec<Value> {
    let file: Value = serde_json::from_str(text).unwrap();
    file["cases"].as_array().unwrap().clone()
}

fn case(text: &str, name: &str) -> Value {
    cases(text).into_iter().find(|case| case["name"] == name).unwrap()
}

fn number(value: &Value) -> f64 {
    match value {
        Value::Null => f64::NAN,
        Value::String(text) => text.parse().unwrap(),
        number => number.as_f64().unwrap(),
    }
}

/// The rows of a case as a table for a model.
fn table(model: &ImportedModel, case: &Value) -> Table<'static> {
    let rows = case["rows"].as_array().unwrap();
    let column = |(i, feature): (usize, &mlops_core::model::Feature)| {
        let values = rows.iter().map(|row| &row[i]);
        if feature.data_type == DataType::Category {
            return Column::optional_text(feature.name.clone(), values.map(Value::as_str)).unwrap();
        }
        Column::f64(feature.name.clone(), values.map(number).collect::<Vec<f64>>()).unwrap()
    };
    Table::new(model.signature().inputs.iter().enumerate().map(column).collect()).unwrap()
}

/// The rows of a case as numbers, where all are.
fn flat(case: &Value) -> Vec<f64> {
    case["rows"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|row| row.as_array().unwrap().iter().map(number))
        .collect()
}

/// Lists of lists, or numbers, one after the other.
fn numbers(value: &Value) -> Vec<f64> {
    let one = |value: &Value| match value {
        Value::Array(list) => list.iter().map(number).collect(),
        one => vec![number(one)],
    };
    value.as_array().unwrap().iter().flat_map(one).collect()
}

#[track_caller]
fn close(got: &[f64], expected: &[f64], tolerance: f64, name: &Value) {
    assert_eq!(got.len(), expected.len(), "{name}");
    for (i, (got, expected)) in got.iter().zip(expected).enumerate() {
        let near = (got - expected).abs() <= tolerance * expected.abs().max(1e-300) || got == expected;
        assert!(near, "{name}, answer {i}: {got} instead of {expected}");
    }
}

fn all_scores(model: &ImportedModel, case: &Value) -> Vec<f64> {
    model.scores(&table(model, case)).unwrap().row_major().to_vec()
}

/// The sums of every row, alone, and that many rows at once answer the same bits.
fn sums(model: &ImportedModel, case: &Value) -> Vec<f64> {
    let forest = model.forest().unwrap();
    let rows = flat(case);
    let width = forest.features();
    let alone: Vec<f64> = rows.chunks(width).flat_map(|row| forest.predict_row(row).unwrap()).collect();
    // More than a block, and not a whole number of them.
    let times = 300 / case["rows"].as_array().unwrap().len() + 1;
    let many = forest.predict_rows(&rows.repeat(times), Threads::ONE).unwrap();
    let bits = |values: &[f64]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(&many), bits(&alone.repeat(times)), "{}", case["name"]);
    rows.chunks(width).flat_map(|row| forest.sums(row).unwrap()).collect()
}

fn lightgbm(case: &Value) -> ImportedModel {
    ImportedModel::from_lightgbm(case["text"].as_str().unwrap().as_bytes()).unwrap()
}

fn xgboost(case: &Value) -> ImportedModel {
    ImportedModel::from_xgboost_json(case["json"].as_str().unwrap().as_bytes()).unwrap()
}

fn base64(text: &str) -> Vec<u8> {
    let digit = |b: u8| match b {
        b'A'..=b'Z' => u32::from(b - b'A'),
        b'a'..=b'z' => u32::from(b - b'a') + 26,
        b'0'..=b'9' => u32::from(b - b'0') + 52,
        b'+' => 62,
        _ => 63,
    };
    let digits: Vec<u8> = text.bytes().filter(|b| *b != b'=').collect();
    let group = |four: &[u8]| {
        let bits = four.iter().fold(0, |bits, b| bits << 6 | digit(*b)) << (6 * (4 - four.len()));
        bits.to_be_bytes()[1..four.len()].to_vec()
    };
    digits.chunks(4).flat_map(group).collect()
}

/// Sums are LightGBM's bit for bit: doubles, added in the order of the trees. Answers go through the library of mathematics.
#[test]
fn lightgbm_agrees_bit_for_bit() {
    for case in cases(LIGHTGBM) {
        let (model, name) = (lightgbm(&case), &case["name"]);
        if name == "data frame" {
            close(&all_scores(&model, &case), &numbers(&case["answers"]), 1e-14, name);
            continue;
        }
        let (got, mut expected) = (sums(&model, &case), numbers(&case["sums"]));
        if name.as_str().unwrap().starts_with("random forest") {
            // Its raw scores are not yet averaged over the six trees.
            expected.iter_mut().for_each(|sum| *sum /= 6.0);
        }
        assert_eq!(got.len(), expected.len());
        for (i, (got, expected)) in got.iter().zip(&expected).enumerate() {
            assert_eq!(got.to_bits(), expected.to_bits(), "{name}, sum {i}: {got} {expected}");
        }
        close(&all_scores(&model, &case), &numbers(&case["answers"]), 1e-14, name);
    }
}

/// Sums of trees are XGBoost's bit for bit: single precision in the order of the trees, but for DART, which it weighs after adding.
/// Answers differ by single precision: XGBoost takes its exponentials there.
#[test]
fn xgboost_agrees_to_single_precision() {
    for case in cases(XGBOOST) {
        let (model, name) = (xgboost(&case), &case["name"]);
        close(&all_scores(&model, &case), &numbers(&case["answers"]), 1e-6, name);
        if model.forest().is_none() || name == "data frame" {
            continue;
        }
        let (got, expected) = (sums(&model, &case), numbers(&case["sums"]));
        if name == "dart" {
            close(&got, &expected, 1e-6, name);
        } else {
            assert_eq!(got, expected, "{name}");
        }
    }
}

#[test]
fn ubjson_says_what_json_says() {
    let mut seen = 0;
    for case in cases(XGBOOST).iter().filter(|case| case["ubj"].is_string()) {
        let bytes = base64(case["ubj"].as_str().unwrap());
        let model = ImportedModel::from_xgboost_ubj(&bytes).unwrap();
        assert_eq!(model.signature(), xgboost(case).signature());
        assert_eq!(all_scores(&model, case), all_scores(&xgboost(case), case), "{}", case["name"]);
        seen += 1;
    }
    assert_eq!(seen, 4);
}

#[test]
fn scikit_learn_agrees() {
    for case in cases(SKLEARN) {
        let model = ImportedModel::from_sklearn_json(case["json"].to_string().as_bytes()).unwrap();
        let scores = all_scores(&model, &case);
        let expected = numbers(&case["answers"]);
        // Of two classes, the reference has the second.
        let step = scores.len() / expected.len();
        let got: Vec<f64> = scores.iter().copied().skip(step - 1).step_by(step).collect();
        close(&got, &expected, 1e-13, &case["name"]);
        if model.forest().is_some() {
            sums(&model, &case);
        }
    }
}

fn onnx(case: &Value) -> ImportedModel {
    ImportedModel::from_onnx(&base64(case["onnx"].as_str().unwrap())).unwrap()
}

/// Single precision throughout, as in the runtime: its exponentials are approximations, so the last digits differ.
#[test]
fn onnxruntime_agrees() {
    for case in cases(ONNX) {
        let model = onnx(&case);
        let (got, expected) = (all_scores(&model, &case), numbers(&case["answers"]));
        assert_eq!(got.len(), expected.len(), "{}", case["name"]);
        for (i, (got, expected)) in got.iter().zip(&expected).enumerate() {
            let near = (got - expected).abs() <= 1e-6 * expected.abs().max(1.0);
            assert!(near, "{}, answer {i}: {got} instead of {expected}", case["name"]);
        }
        if model.forest().is_some() {
            sums(&model, &case);
        }
    }
}

/// A field of protocol buffers: number, then a length and bytes.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut length = bytes.len();
    let mut field = vec![number << 3 | 2];
    while length >= 128 {
        field.push(u8::try_from(length & 127).unwrap() | 128);
        length >>= 7;
    }
    field.push(u8::try_from(length).unwrap());
    field.extend(bytes);
    field
}

#[test]
fn operators_that_are_not_read_are_named() {
    let input = field(11, &field(1, b"X"));
    let node = [field(1, b"X"), field(2, b"Y"), field(4, b"SVMClassifier"), field(7, b"ai.onnx.ml")].concat();
    let graph = field(7, &[field(1, &node), input.clone()].concat());
    let error = ImportedModel::from_onnx(&graph).unwrap_err();
    assert_eq!((error.kind(), error.context("operator")), (ErrorKind::Unsupported, Some("SVMClassifier")));
    assert!(error.to_string().contains("onnx-runtime"), "{error}");

    for (bytes, kind) in [
        (field(7, &input), ErrorKind::Unsupported),
        (vec![], ErrorKind::Corrupt),
        (vec![0x3a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01], ErrorKind::Corrupt),
        (vec![0x3a, 0x05, 0x0a], ErrorKind::Corrupt),
        (vec![0xff; 40], ErrorKind::Corrupt),
        (field(7, &field(1, &[]).repeat(20_000)), ErrorKind::LimitExceeded),
    ] {
        assert_eq!(ImportedModel::from_onnx(&bytes).unwrap_err().kind(), kind);
    }
}

#[test]
fn of_several_classes_all_probabilities_are_the_prediction() {
    let case = case(LIGHTGBM, "multiclass");
    let model = lightgbm(&case);
    assert_eq!(model.signature().task, Task::MulticlassClassification);
    let scores = model.scores(&table(&model, &case)).unwrap();
    let predicted = model.predict(&table(&model, &case)).unwrap();
    let classes = predicted.as_classes().unwrap();
    assert_eq!(classes.labels(), ["0", "1", "2"]);
    assert_eq!(classes.rows(), scores.rows());
    for row in 0..scores.rows() {
        assert_eq!(classes.row(row), scores.row(row));
        assert!((classes.row(row).iter().sum::<f64>() - 1.0).abs() < 1e-12);
        let best = (0..3).max_by(|a, b| scores.row(row)[*a].total_cmp(&scores.row(row)[*b])).unwrap();
        assert_eq!(classes.likeliest(row), Some(best.to_string().as_str()));
    }
}

#[test]
fn threads_and_pieces_do_not_change_a_bit() {
    let case = case(LIGHTGBM, "multiclass");
    let model = lightgbm(&case);
    let forest = model.forest().unwrap();
    let rows = flat(&case).repeat(500);
    let one = forest.predict_rows(&rows, Threads::ONE).unwrap();
    assert_eq!(one, forest.predict_rows(&rows, Threads::new(3)).unwrap());
    assert!(forest.predict_rows(&rows[..7], Threads::ONE).is_err());
    assert!(forest.predict_row(&rows[..4]).is_err());
    assert!(forest.predict_rows(&[], Threads::ONE).unwrap().is_empty());
}

#[test]
fn the_first_iterations_are_a_model_of_their_own() {
    let case = case(LIGHTGBM, "regression");
    let text = case["text"].as_str().unwrap();
    let first =
        |n| ImportedModel::from_lightgbm_with(text.as_bytes(), &ImportOptions::default().with_iterations(n));
    assert_eq!(first(2).unwrap().forest().unwrap().trees(), 2);
    assert_eq!(first(6).unwrap().forest().unwrap().trees(), 6);
    for n in [0, 7, usize::MAX] {
        assert_eq!(first(n).unwrap_err().kind(), ErrorKind::InvalidInput);
    }
}

mod conforms {
    use super::*;

    fn under(name: &str, text: &str, read: fn(&Value) -> ImportedModel) -> PredictorUnderTest {
        let case = case(text, name);
        let model = read(&case);
        let rows = table(&model, &case);
        let whole: Vec<usize> =
            (0..rows.rows()).filter(|row| rows.columns().iter().all(|c| c.is_valid(*row))).take(6).collect();
        let rows = rows.take(&whole).unwrap();
        PredictorUnderTest::new(Arc::new(model), rows)
    }

    fn sklearn(case: &Value) -> ImportedModel {
        ImportedModel::from_sklearn_json(case["json"].to_string().as_bytes()).unwrap()
    }

    mlops_core::predictor_suite!(categories_of_lightgbm, under("data frame", LIGHTGBM, lightgbm));
    mlops_core::predictor_suite!(holes_in_lightgbm, under("binary with holes", LIGHTGBM, lightgbm));
    mlops_core::predictor_suite!(categories_of_xgboost, under("data frame", XGBOOST, xgboost));
    mlops_core::predictor_suite!(linear_xgboost, under("linear", XGBOOST, xgboost));
    mlops_core::predictor_suite!(scikit_learn_pipeline, under("pipeline", SKLEARN, sklearn));
    mlops_core::predictor_suite!(
        scikit_learn_classes,
        under("random forest, three classes", SKLEARN, sklearn)
    );
}

/// Registers a file under its own name in a tree, deploys the version, and asks it.
async fn served(file: &str, bytes: Vec<u8>, rows: &Table<'_>) -> Result<Vec<f64>> {
    let folder = tempfile::tempdir().unwrap();
    let store = LocalStore::open(folder.path())?;
    let deployer = store.deployer(Arc::new(store.registry()), Arc::new(BuiltinLoader));
    let format = detect_format(file, &bytes)?;
    let signature = BuiltinLoader.load(&format, &bytes)?.signature().clone();
    let files = [(RelPath::new(file)?, bytes.into()), (RelPath::new("LICENSE")?, "MIT".into())];
    let (tree, _) = store.artifacts().put_files(&files).await?;
    let (me, model) = (ActorId::new("release")?, ModelName::new("imported")?);
    let spec = NewModelVersion::new(model.clone(), tree.digest, format, signature, me.clone());
    let version = store.registry().register(&spec).await?.version;
    let (endpoint, blue) = (EndpointName::new("diabetes")?, DeploymentName::new("blue")?);
    deployer.ensure_endpoint(&EndpointSpec::new(endpoint.clone(), me.clone())).await?;
    deployer.deploy(&DeploymentSpec::new(endpoint.clone(), blue.clone(), model, version, me.clone())).await?;
    let (key, split) = (IdempotencyKey::generate(), TrafficSplit::all_to(blue));
    let change = TrafficChange { key, endpoint: endpoint.clone(), split, expected: Some(0), actor: me };
    deployer.set_traffic(&change).await?;
    let request = InvokeRequest { endpoint, deployment: None, routing_key: None, rows };
    Ok(deployer.invoke(&request).await?.predictions.as_slice().to_vec())
}

#[tokio::test]
async fn files_of_other_libraries_are_served_from_the_registry() {
    let case_of = |text| case(text, "data frame");
    let (light, boost) = (case_of(LIGHTGBM), case_of(XGBOOST));
    let (pipeline, graph) = (case(SKLEARN, "pipeline"), case(ONNX, "random forest of numbers"));
    let exported = ImportedModel::from_sklearn_json(pipeline["json"].to_string().as_bytes()).unwrap();
    for (file, bytes, model, case) in [
        ("model.txt", light["text"].as_str().unwrap().as_bytes().to_vec(), lightgbm(&light), &light),
        ("model.json", boost["json"].as_str().unwrap().as_bytes().to_vec(), xgboost(&boost), &boost),
        ("model.ubj", base64(boost["ubj"].as_str().unwrap()), xgboost(&boost), &boost),
        ("model.onnx", base64(graph["onnx"].as_str().unwrap()), onnx(&graph), &graph),
        ("model.json", pipeline["json"].to_string().into_bytes(), exported, &pipeline),
    ] {
        let answers = served(file, bytes, &table(&model, case)).await.unwrap();
        close(&answers, &numbers(&case["answers"]), 1e-6, &case["name"]);
    }
}

/// Every damage is a typed error or another model: no panic, no endless way.
#[test]
fn damaged_files_are_refused_or_other_models() {
    type Read = fn(&[u8]) -> Result<ImportedModel>;
    let text = |case: Value, key: &str| case[key].as_str().unwrap().as_bytes().to_vec();
    let files: [(Vec<u8>, Read); 5] = [
        (base64(case(ONNX, "gradient boosting")["onnx"].as_str().unwrap()), ImportedModel::from_onnx),
        (text(case(LIGHTGBM, "categories"), "text"), ImportedModel::from_lightgbm),
        (text(case(XGBOOST, "categories"), "json"), ImportedModel::from_xgboost_json),
        (base64(case(XGBOOST, "categories")["ubj"].as_str().unwrap()), ImportedModel::from_xgboost_ubj),
        (
            case(SKLEARN, "histograms, categories with holes")["json"].to_string().into_bytes(),
            ImportedModel::from_sklearn_json,
        ),
    ];
    let (mut refused, mut random) = (0, Random::new(7));
    for (bytes, read) in &files {
        read(bytes).unwrap();
        let mut draw = |below: usize| usize::try_from(random.next_u64() % below as u64).unwrap();
        for round in 0..300 {
            let mut damaged = bytes.clone();
            let at = draw(bytes.len());
            match round % 3 {
                0 => damaged.truncate(at),
                1 => damaged[at] ^= 1 << draw(8),
                _ => {
                    let from = draw(bytes.len());
                    let part = bytes[from..(from + 1 + draw(30)).min(bytes.len())].to_vec();
                    damaged.splice(at..(at + draw(30)).min(bytes.len()), part);
                }
            }
            match read(&damaged) {
                Ok(model) => {
                    if let Some(forest) = model.forest() {
                        forest.predict_row(&vec![0.5; forest.features()]).unwrap();
                    }
                }
                Err(error) => {
                    let known = [ErrorKind::Corrupt, ErrorKind::Unsupported, ErrorKind::LimitExceeded];
                    assert!(known.contains(&error.kind()), "{error}");
                    refused += 1;
                }
            }
        }
    }
    assert!(refused > 600, "only {refused} damages were seen");
}

/// What somebody may write on purpose, each with the field that the error must name.
#[test]
fn hostile_files_name_the_field() {
    let text = case(LIGHTGBM, "categories")["text"].as_str().unwrap().to_owned();
    let line = |key: &str| text.lines().find(|line| line.starts_with(key)).unwrap().to_owned();
    for (key, value, field) in [
        ("num_leaves=", "num_leaves=18446744073709551615", "leaf_value"),
        ("num_leaves=", "num_leaves=-1", "num_leaves"),
        ("max_feature_idx=", "max_feature_idx=18446744073709551615", "num_tree_per_iteration"),
        ("num_tree_per_iteration=", "num_tree_per_iteration=0", "num_tree_per_iteration"),
        ("feature_names=", "feature_names=a a b c d", ""),
        ("left_child=", "left_child=0 0 0 0 0 0 0", ""),
        ("left_child=", "left_child=99 1 2 3 4 5 6", "left_child"),
        ("right_child=", "right_child=-99 1 2 3 4 5 6", "right_child"),
        ("threshold=", "threshold=nan nan nan nan nan nan nan", ""),
        ("leaf_value=", "leaf_value=nan 1 1 1 1 1 1 1", ""),
        ("leaf_value=", "leaf_value=1", "leaf_value"),
        ("cat_boundaries=", "cat_boundaries=9 0", "cat_threshold"),
        ("num_cat=", "num_cat=18446744073709551615", "cat_boundaries"),
        ("split_feature=", "split_feature=5 5 5 5 5 5 5", "split_feature"),
        ("is_linear=", "is_linear=1", "is_linear"),
        ("objective=", "objective=evil", ""),
        ("version=", "version=v9", ""),
    ] {
        let bad = text.replacen(&line(key), value, 1);
        let error = ImportedModel::from_lightgbm(bad.as_bytes()).unwrap_err();
        assert!(field.is_empty() || error.context("field") == Some(field), "{value}: {error}");
    }

    let json: Value = serde_json::from_str(case(XGBOOST, "categories")["json"].as_str().unwrap()).unwrap();
    let tree = |key: &str, value: Value| {
        let mut json = json.clone();
        json["learner"]["gradient_booster"]["model"]["trees"][0][key] = value;
        ImportedModel::from_xgboost_json(json.to_string().as_bytes()).unwrap_err()
    };
    let nodes =
        json["learner"]["gradient_booster"]["model"]["trees"][0]["left_children"].as_array().unwrap().len();
    for (key, value) in [
        ("left_children", vec![0_i64; nodes]),
        ("left_children", vec![99; nodes]),
        ("right_children", vec![-5; nodes]),
        ("right_children", vec![1; nodes - 1]),
        ("split_indices", vec![5; nodes]),
        ("categories_segments", vec![1 << 40; 2]),
        ("categories", vec![-1; 40]),
        ("categories", vec![1 << 40; 40]),
    ] {
        assert_eq!(tree(key, value.into()).kind(), ErrorKind::Corrupt, "{key}");
    }
    let deep = format!("{{\"learner\":{}", "[".repeat(1_000_000));
    assert_eq!(ImportedModel::from_xgboost_json(deep.as_bytes()).unwrap_err().kind(), ErrorKind::Corrupt);
    let learner = |key: &str, inner: &str, value: &str| {
        let mut json = json.clone();
        json["learner"][key][inner] = value.into();
        ImportedModel::from_xgboost_json(json.to_string().as_bytes()).unwrap_err()
    };
    for score in ["[nan]", "inf", "[1,2]", "", "[1"] {
        let error = learner("learner_model_param", "base_score", score);
        assert_eq!(error.context("field"), Some("base_score"), "{score}");
    }
    assert_eq!(
        learner("learner_model_param", "num_feature", "4294967295").context("field"),
        Some("num_feature")
    );
    assert_eq!(learner("objective", "name", "evil").kind(), ErrorKind::Unsupported);

    // A billion elements in a few bytes, a length beyond the file, containers in containers.
    for bytes in [
        &b"{L\0\0\0\0\0\0\0\x07learner[$Z#l\x7f\xff\xff\xff"[..],
        b"{L\0\0\0\0\0\0\0\x07learner[$L#L\x7f\xff\xff\xff\xff\xff\xff\xff",
        b"{L\xff\xff\xff\xff\xff\xff\xff\xfflearner",
        &[b"{i\x07learner".to_vec(), vec![b'['; 100_000]].concat(),
        b"",
    ] {
        assert_eq!(ImportedModel::from_xgboost_ubj(bytes).unwrap_err().kind(), ErrorKind::Corrupt);
    }
}

#[test]
fn formats_are_told_by_content() {
    for (name, bytes, format) in [
        ("", case(LIGHTGBM, "categories")["text"].as_str().unwrap().as_bytes().to_vec(), "lightgbm.text/v1"),
        ("x", case(XGBOOST, "categories")["json"].as_str().unwrap().as_bytes().to_vec(), "xgboost.json/v1"),
        ("", base64(case(XGBOOST, "categories")["ubj"].as_str().unwrap()), "xgboost.ubj/v1"),
        ("model", case(SKLEARN, "ridge")["json"].to_string().into_bytes(), "sklearn.json/v1"),
    ] {
        assert_eq!(detect_format(name, &bytes).unwrap(), ModelFormat::new(format).unwrap());
    }
    for bytes in [&b""[..], b"\x80\x04\x95", b"PK\x03\x04", b"{}"] {
        assert_eq!(detect_format("model.pkl", bytes).unwrap_err().kind(), ErrorKind::Unsupported);
    }
}
