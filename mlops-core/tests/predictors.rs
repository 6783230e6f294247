//! Models of other libraries, held against what these libraries answer; and files that nobody should trust.
//!
//! References: `tests/reference/make_predictors.py` (LightGBM 4.7.0, XGBoost 3.2.0, scikit-learn 1.9.1), `make_predictors_onnx.py` and
//! `make_predictors_trees.py` (onnxruntime 1.32.0), `make_predictors_stopping.py` (models that stopped early; LightGBM and XGBoost as above).

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
use proptest::prelude::*;
use serde_json::{Value, json};

const LIGHTGBM: &str = include_str!("reference/predictors_lightgbm.json");
const ONNX: &str = include_str!("reference/predictors_onnx.json");
const STOPPING: &str = include_str!("reference/predictors_stopping.json");
const TREES: &str = include_str!("reference/predictors_trees.json");
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
    for case in cases(ONNX).into_iter().chain(cases(TREES)) {
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

/// A file is asked as what wrote it asks it: an estimator up to its best iteration, a booster whole.
#[test]
fn models_that_stopped_early_take_the_trees_that_their_library_takes() {
    let mut stopped = 0;
    for case in cases(STOPPING) {
        let name = &case["name"];
        let iterations = usize::try_from(case["iterations"].as_u64().unwrap()).unwrap();
        let options = ImportOptions::default().with_iterations(iterations);
        let (read, best) = if let Some(text) = case["text"].as_str() {
            let text = text.as_bytes();
            (ImportedModel::from_lightgbm(text), ImportedModel::from_lightgbm_with(text, &options))
        } else {
            let json = case["json"].as_str().unwrap().as_bytes();
            (ImportedModel::from_xgboost_json(json), ImportedModel::from_xgboost_json_with(json, &options))
        };
        let (read, best) = (read.unwrap(), best.unwrap());
        close(&all_scores(&read, &case), &numbers(&case["answers"]), 1e-6, name);
        close(&all_scores(&best, &case), &numbers(&case["best"]), 1e-6, name);
        if let Some(ubj) = case["ubj"].as_str() {
            let model = ImportedModel::from_xgboost_ubj(&base64(ubj)).unwrap();
            assert_eq!(all_scores(&model, &case), all_scores(&read, &case));
        }
        stopped += usize::from(all_scores(&read, &case) != all_scores(&best, &case));
    }
    // Only whole boosters say something else than their best trees.
    assert_eq!(stopped, 3);
    let estimator = case(STOPPING, "estimator, binary");
    for best in ["-1", "", "1e3", "99", "4294967295"] {
        let mut json: Value = serde_json::from_str(estimator["json"].as_str().unwrap()).unwrap();
        json["learner"]["attributes"]["best_iteration"] = best.into();
        let error = ImportedModel::from_xgboost_json(json.to_string().as_bytes()).unwrap_err();
        assert_eq!(
            (error.kind(), error.context("field")),
            (ErrorKind::Corrupt, Some("best_iteration")),
            "{best}"
        );
    }
}

/// The nodes of a random tree: its questions' children, and none for a leaf.
fn random_tree(random: &mut Random, leaves: usize) -> Vec<Option<(usize, usize)>> {
    let mut nodes = vec![None];
    for _ in 1..leaves {
        let free: Vec<usize> = (0..nodes.len()).filter(|node| nodes[*node].is_none()).collect();
        // Now and then the last leaf, so that some trees are deep.
        let chosen = if below(random, 3) == 0 { free.len() - 1 } else { below(random, free.len()) };
        nodes[free[chosen]] = Some((nodes.len(), nodes.len() + 1));
        nodes.extend([None, None]);
    }
    nodes
}

fn below(random: &mut Random, bound: usize) -> usize {
    usize::try_from(random.next_u64() % bound as u64).unwrap()
}

fn pick<T: Copy>(random: &mut Random, all: &[T]) -> T {
    all[below(random, all.len())]
}

/// Sizes on both sides of a word's and of all words' end.
const LEAVES: [usize; 12] = [1, 2, 3, 8, 31, 32, 33, 64, 65, 128, 256, 300];

/// Few numbers, so that rows lie on thresholds; and some that nobody expects.
const NUMBERS: [f64; 12] = [-1.5, -0.75, -0.1, 0.0, -0.0, 1e-36, 0.1, 0.3, 0.7, 2.0, 1e-35, 1e30];

/// Rows of four numbers, of which the last two are categories, all with holes.
fn random_rows(random: &mut Random, rows: usize) -> Vec<f64> {
    let number = |random: &mut Random, column: usize| match below(random, 8) {
        0 => f64::NAN,
        1 if column < 2 => pick(random, &[f64::INFINITY, f64::NEG_INFINITY, 0.3 + 1e-9, 0.1_f32.into()]),
        1 => pick(random, &[-1.0, -0.5, 3.9, 63.0, 64.0, 1e9, 4294967295.0, 1e300, f64::INFINITY]),
        _ if column < 2 => pick(random, &NUMBERS),
        _ => below(random, if column == 2 { 40 } else { 200 }) as f64,
    };
    (0..rows * 4).map(|i| number(random, i % 4)).collect()
}

/// A question of a tree of LightGBM: feature, threshold or words, kind of decision.
struct Question {
    feature: usize,
    threshold: f64,
    words: Vec<u32>,
    decision: u8,
}

fn random_question(random: &mut Random) -> Question {
    let feature = below(random, 4);
    if feature < 2 {
        let decision = pick(random, &[0, 2, 4, 6, 8, 10]);
        return Question { feature, threshold: pick(random, &NUMBERS), words: Vec::new(), decision };
    }
    let words = (0..=below(random, 4)).map(|_| u32::try_from(random.next_u64() >> 32).unwrap()).collect();
    Question { feature, threshold: 0.0, words, decision: 1 }
}

impl Question {
    /// As LightGBM's documentation has it.
    fn goes_left(&self, x: f64) -> bool {
        if self.decision & 1 != 0 {
            let is = |category: usize| self.words[category / 32] >> (category % 32) & 1 == 1;
            return (0..32 * self.words.len()).any(|category| category as f64 == x.trunc() && is(category));
        }
        let near_zero = x.abs() <= f64::from(1e-35_f32);
        let x = if near_zero { 0.0 } else { x };
        match self.decision >> 2 {
            0 if x.is_nan() => 0.0 <= self.threshold,
            1 if x.is_nan() || near_zero => self.decision & 2 != 0,
            2 if x.is_nan() => self.decision & 2 != 0,
            _ => x <= self.threshold,
        }
    }
}

type RandomTree = (Vec<Option<(usize, usize)>>, Vec<Question>, Vec<f64>);

fn words<T: ToString>(all: impl IntoIterator<Item = T>) -> String {
    all.into_iter().map(|one| one.to_string()).collect::<Vec<_>>().join(" ")
}

/// Trees in LightGBM's text: inner nodes are numbered apart from leaves.
fn lightgbm_text(trees: &[RandomTree], outputs: usize) -> String {
    let mut text = format!(
        "tree\nversion=v4\nnum_class={outputs}\nnum_tree_per_iteration={outputs}\nmax_feature_idx=3\nfeature_names=a b c d\nfeature_infos=none none none none\n\n"
    );
    for (number, (nodes, questions, values)) in trees.iter().enumerate() {
        let leaves = nodes.iter().filter(|node| node.is_none()).count();
        let before = |node: usize| nodes[..node].iter().filter(|node| node.is_some()).count();
        let name = |node: usize| {
            let inner = i64::try_from(before(node)).unwrap();
            if nodes[node].is_some() { inner } else { inner - i64::try_from(node).unwrap() - 1 }
        };
        let inner: Vec<usize> = (0..nodes.len()).filter(|node| nodes[*node].is_some()).collect();
        let leaf: Vec<usize> = (0..nodes.len()).filter(|node| nodes[*node].is_none()).collect();
        let sets: Vec<&Question> = inner.iter().map(|i| &questions[*i]).filter(|q| q.decision == 1).collect();
        let bounds = sets.iter().scan(0, |at, q| {
            *at += q.words.len();
            Some(*at)
        });
        let mut set = 0_u32;
        let threshold = inner.iter().map(|i| {
            if questions[*i].decision != 1 {
                return format!("{:?}", questions[*i].threshold);
            }
            set += 1;
            (set - 1).to_string()
        });
        let threshold = words(threshold);
        text += &format!("Tree={number}\nnum_leaves={leaves}\nnum_cat={}\n", sets.len());
        text += &format!("leaf_value={}\n", words(leaf.iter().map(|i| format!("{:?}", values[*i]))));
        if leaves > 1 {
            text += &format!(
                "split_feature={}\nthreshold={threshold}\n",
                words(inner.iter().map(|i| questions[*i].feature))
            );
            text += &format!("decision_type={}\n", words(inner.iter().map(|i| questions[*i].decision)));
            text += &format!("left_child={}\n", words(inner.iter().map(|i| name(nodes[*i].unwrap().0))));
            text += &format!("right_child={}\n", words(inner.iter().map(|i| name(nodes[*i].unwrap().1))));
        }
        if !sets.is_empty() {
            text += &format!("cat_boundaries={}\n", words(std::iter::once(0).chain(bounds)));
            text += &format!("cat_threshold={}\n", words(sets.iter().flat_map(|q| &q.words)));
        }
        text += "\n";
    }
    text + "end of trees\n"
}

fn random_lightgbm(random: &mut Random, outputs: usize) -> Vec<RandomTree> {
    let tree = |_| {
        let leaves = pick(random, &LEAVES);
        let nodes = random_tree(random, leaves);
        let questions = nodes.iter().map(|_| random_question(random)).collect();
        let values = nodes.iter().map(|_| random.next_f64() - 0.5).collect();
        (nodes, questions, values)
    };
    (0..outputs * 4).map(tree).collect()
}

/// A file of XGBoost with random trees over the same four numbers.
fn random_xgboost(random: &mut Random, classes: usize) -> String {
    let outputs = classes.max(1);
    let mut trees = Vec::new();
    for _ in 0..4 * outputs {
        let leaves = pick(random, &LEAVES);
        let nodes = random_tree(random, leaves);
        let child = |which: fn((usize, usize)) -> usize| -> Vec<i64> {
            nodes.iter().map(|node| node.map_or(-1, |both| i64::try_from(which(both)).unwrap())).collect()
        };
        let features: Vec<usize> = nodes.iter().map(|_| below(random, 4)).collect();
        let conditions: Vec<f64> = nodes.iter().map(|_| pick(random, &NUMBERS[..10])).collect();
        let (mut categories, mut of_nodes, mut segments, mut sizes) = (vec![], vec![], vec![], vec![]);
        for (node, feature) in features.iter().enumerate().filter(|(node, _)| nodes[*node].is_some()) {
            if *feature >= 2 {
                // Now and then one that is far off, so that the set is a list.
                let mut listed: Vec<usize> = (0..=below(random, 20)).map(|_| below(random, 150)).collect();
                listed.extend((below(random, 8) == 0).then_some(1_000_000));
                listed.sort_unstable();
                listed.dedup();
                of_nodes.push(node);
                segments.push(categories.len());
                sizes.push(listed.len());
                categories.extend(listed);
            }
        }
        let kinds: Vec<u8> =
            features.iter().zip(&nodes).map(|(f, node)| u8::from(*f >= 2 && node.is_some())).collect();
        trees.push(json!({
            "tree_param": {"size_leaf_vector": "1"}, "left_children": child(|both| both.0), "right_children": child(|both| both.1),
            "split_indices": features, "split_conditions": conditions, "default_left": nodes.iter().map(|_| below(random, 2)).collect::<Vec<_>>(),
            "split_type": kinds, "categories": categories, "categories_nodes": of_nodes, "categories_segments": segments, "categories_sizes": sizes,
        }));
    }
    let info: Vec<usize> = (0..trees.len()).map(|tree| tree % outputs).collect();
    let objective = if classes > 1 { "multi:softprob" } else { "reg:squarederror" };
    json!({"learner": {
        "attributes": {}, "feature_names": [], "feature_types": [],
        "gradient_booster": {"name": "gbtree", "model": {"gbtree_model_param": {"num_parallel_tree": "1"}, "tree_info": info, "trees": trees}},
        "learner_model_param": {"base_score": "0.25", "num_class": classes.to_string(), "num_feature": "4", "num_target": "1"},
        "objective": {"name": objective},
    }})
    .to_string()
}

/// A file of scikit-learn with random trees whose leaves hold three numbers.
fn random_sklearn(random: &mut Random, narrow: bool) -> String {
    let mut trees = Vec::new();
    for _ in 0..6 {
        let leaves = pick(random, &LEAVES);
        let nodes = random_tree(random, leaves);
        let features: Vec<i64> =
            nodes.iter().map(|n| if n.is_some() { pick(random, &[0, 1, 2, 3]) } else { -1 }).collect();
        let value: Vec<Vec<f64>> =
            nodes.iter().map(|_| (0..3).map(|_| random.next_f64()).collect()).collect();
        trees.push(json!({
            "output": 0, "feature": features, "threshold": nodes.iter().map(|_| pick(random, &NUMBERS)).collect::<Vec<_>>(),
            "left": nodes.iter().map(|n| n.map_or(0, |both| both.0)).collect::<Vec<_>>(), "right": nodes.iter().map(|n| n.map_or(0, |both| both.1)).collect::<Vec<_>>(),
            "missing_left": nodes.iter().map(|_| below(random, 2) == 0).collect::<Vec<_>>(), "value": value,
        }));
    }
    let forest = json!({"narrow": narrow, "start": [0.0, 0.0, 0.0], "divisor": 6.0, "link": "share", "width": 3, "trees": trees});
    let features: Vec<Value> = ["a", "b", "c", "d"].iter().map(|name| json!({"name": name})).collect();
    json!({"format": "mlops.sklearn/v1", "features": features, "model": {"forest": forest}, "answer": {"classes": [0, 1, 2]}}).to_string()
}

fn bits(values: &[f64]) -> Vec<u64> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// The answers to rows alone, together, on threads and from columns: one and the same.
fn alone_and_together(model: &ImportedModel, rows: &[f64]) -> std::result::Result<Vec<f64>, TestCaseError> {
    let forest = model.forest().unwrap();
    let alone: Vec<f64> = rows.chunks(4).flat_map(|row| forest.predict_row(row).unwrap()).collect();
    for threads in [Threads::ONE, Threads::new(2)] {
        prop_assert_eq!(bits(&forest.predict_rows(rows, threads).unwrap()), bits(&alone));
    }
    let column = |(i, feature): (usize, &mlops_core::model::Feature)| {
        Column::f64(feature.name.clone(), rows.iter().skip(i).step_by(4).copied().collect::<Vec<f64>>())
            .unwrap()
    };
    let table = Table::new(model.signature().inputs.iter().enumerate().map(column).collect()).unwrap();
    prop_assert_eq!(bits(model.scores(&table).unwrap().row_major()), bits(&alone));
    Ok(alone)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    /// Missing values, categories in small, large and scattered sets, trees of one leaf to hundreds, one output and three, single and double
    /// precision.
    #[test]
    fn a_row_gets_the_same_bits_alone_and_among_others(seed: u64, count in 1_usize..420) {
        let mut random = Random::new(seed);
        let rows = random_rows(&mut random, count);
        let outputs = pick(&mut random, &[1, 3]);
        let trees = random_lightgbm(&mut random, outputs);
        let model = ImportedModel::from_lightgbm(lightgbm_text(&trees, outputs).as_bytes()).unwrap();
        let answers = alone_and_together(&model, &rows)?;
        // And they are those of the rules, read one by one.
        for (row, answers) in rows.chunks(4).zip(answers.chunks(outputs)) {
            let mut sums = vec![0.0; outputs];
            for (number, (nodes, questions, values)) in trees.iter().enumerate() {
                let mut at = 0;
                while let Some((left, right)) = nodes[at] {
                    at = if questions[at].goes_left(row[questions[at].feature]) { left } else { right };
                }
                sums[number % outputs] += values[at];
            }
            prop_assert_eq!(bits(answers), bits(&sums));
        }
        let classes = pick(&mut random, &[0, 3]);
        let model = ImportedModel::from_xgboost_json(random_xgboost(&mut random, classes).as_bytes()).unwrap();
        alone_and_together(&model, &rows)?;
        let narrow = below(&mut random, 2) == 0;
        let model = ImportedModel::from_sklearn_json(random_sklearn(&mut random, narrow).as_bytes()).unwrap();
        alone_and_together(&model, &rows)?;
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
    let change = TrafficChange::new(endpoint.clone(), split, me).with_key(key).expecting(0);
    deployer.set_traffic(&change).await?;
    let request = InvokeRequest::new(endpoint, rows);
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

/// The bytes of a number in protocol buffers.
fn varint(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 128 {
        bytes.push(u8::try_from(number & 127).unwrap() | 128);
        number >>= 7;
    }
    bytes.push(u8::try_from(number).unwrap());
    bytes
}

/// A graph of one `TreeEnsemble` with these lists: by default one question with two leaves.
fn tree_ensemble(changed: &[(&str, &[i64])]) -> Vec<u8> {
    let lists: [(&str, &[i64]); 9] = [
        ("tree_roots", &[0]),
        ("nodes_featureids", &[0]),
        ("nodes_truenodeids", &[0]),
        ("nodes_trueleafs", &[1]),
        ("nodes_falsenodeids", &[1]),
        ("nodes_falseleafs", &[1]),
        ("leaf_targetids", &[0, 0]),
        ("n_targets", &[1]),
        ("post_transform", &[0]),
    ];
    let ints = |(name, ints): &(&str, &[i64])| {
        let ints = changed.iter().find(|(changed, _)| changed == name).map_or(*ints, |(_, ints)| *ints);
        let ints: Vec<u8> =
            ints.iter().flat_map(|i| [vec![8 << 3], varint(i.cast_unsigned())].concat()).collect();
        field(5, &[field(1, name.as_bytes()), ints].concat())
    };
    let tensor = |name: &str, kind: u8, raw: &[u8]| {
        field(
            5,
            &[field(1, name.as_bytes()), field(5, &[vec![2 << 3, kind], field(9, raw)].concat())].concat(),
        )
    };
    let modes: Vec<u8> = changed
        .iter()
        .find(|(name, _)| *name == "nodes_modes")
        .map_or(vec![0], |(_, modes)| modes.iter().map(|mode| u8::try_from(*mode).unwrap()).collect());
    let node = [
        field(1, b"X"),
        field(2, b"Y"),
        field(4, b"TreeEnsemble"),
        field(7, b"ai.onnx.ml"),
        lists.iter().flat_map(ints).collect(),
        tensor("nodes_splits", 1, &0.5_f32.to_le_bytes()),
        tensor("leaf_weights", 1, &[1.5_f32.to_le_bytes(), (-2.0_f32).to_le_bytes()].concat()),
        tensor("nodes_modes", 2, &modes),
    ]
    .concat();
    field(7, &[field(1, &node), field(11, &field(1, b"X")), field(12, &field(1, b"Y"))].concat())
}

#[test]
fn ensembles_of_trees_that_lead_nowhere_are_refused() {
    let good = ImportedModel::from_onnx(&tree_ensemble(&[])).unwrap();
    let rows = Table::new(vec![Column::f64("X", vec![0.5, 0.75]).unwrap()]).unwrap();
    assert_eq!(good.predict(&rows).unwrap().as_slice(), [1.5, -2.0]);
    let several = |list: &'static str, numbers: &'static [i64]| [(list, numbers)];
    for (changed, field) in [
        (several("tree_roots", &[1]), "tree_roots"),
        (several("tree_roots", &[-1]), "tree_roots"),
        (several("nodes_featureids", &[1]), ""),
        (several("nodes_featureids", &[-1]), "nodes_featureids"),
        (several("nodes_featureids", &[]), "nodes_featureids"),
        (several("nodes_truenodeids", &[2]), "nodes_truenodeids"),
        (several("nodes_trueleafs", &[]), "nodes_trueleafs"),
        (several("nodes_falsenodeids", &[i64::MAX]), "nodes_falsenodeids"),
        (several("leaf_targetids", &[0]), "leaf_targetids"),
        (several("leaf_targetids", &[0, 1]), "leaf_targetids"),
        (several("n_targets", &[-1]), "n_targets"),
        (several("nodes_modes", &[7]), "nodes_modes"),
        (several("nodes_modes", &[6]), "membership_values"),
        (several("post_transform", &[9]), "post_transform"),
    ] {
        let error = ImportedModel::from_onnx(&tree_ensemble(&changed)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{changed:?}: {error}");
        assert!(field.is_empty() || error.context("field") == Some(field), "{changed:?}: {error}");
    }
    // Circles, and a node of two trees.
    for changed in [
        vec![("nodes_trueleafs", &[0][..])],
        vec![("nodes_trueleafs", &[0][..]), ("nodes_falseleafs", &[0][..]), ("nodes_falsenodeids", &[0][..])],
        vec![("tree_roots", &[0, 0][..])],
    ] {
        assert_eq!(
            ImportedModel::from_onnx(&tree_ensemble(&changed)).unwrap_err().kind(),
            ErrorKind::Corrupt
        );
    }
    // The runtime and the specification read these numbers differently; and huge counts cost nothing.
    for changed in [several("post_transform", &[1]), several("post_transform", &[2])] {
        assert_eq!(
            ImportedModel::from_onnx(&tree_ensemble(&changed)).unwrap_err().kind(),
            ErrorKind::Unsupported
        );
    }
    let huge = ImportedModel::from_onnx(&tree_ensemble(&several("n_targets", &[1 << 20])));
    assert_eq!(huge.unwrap_err().kind(), ErrorKind::LimitExceeded);
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
