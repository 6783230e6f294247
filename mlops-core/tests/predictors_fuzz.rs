//! Fuzzing of what reads models of other libraries ([`mlops_core::conformance::fuzz`] says how, and which variables are read).
//!
//! Whatever a file says, nothing panics; what is refused is refused with a reason; and a model that was accepted answers every row, many rows
//! with the bits of one.
//!
//! ```text
//! MLOPS_FUZZ_SECONDS=60 cargo test -p mlops-core --all-features --test predictors_fuzz
//! ```

use std::path::Path;

use mlops_core::conformance::fuzz::{self, Input, Target};
use mlops_core::model::Predictor as _;
use mlops_core::num::parallel::Threads;
use mlops_core::serve::{ImportedModel, detect_format};
use mlops_core::{ErrorKind, Result};
use serde_json::Value;

const TARGETS: &[Target] = &[
    ("model_lightgbm", model_lightgbm),
    ("model_onnx", model_onnx),
    ("model_sklearn", model_sklearn),
    ("model_ubj", model_ubj),
    ("model_xgboost", model_xgboost),
];

#[test]
fn no_model_panics_or_answers_differently_among_others() {
    fuzz::run(Path::new(env!("CARGO_MANIFEST_DIR")), TARGETS);
}

fn cases(text: &str) -> Vec<Value> {
    let file: Value = serde_json::from_str(text).unwrap();
    file["cases"].as_array().unwrap().clone()
}

/// A few of the smaller files, kept from call to call.
fn files(text: &'static str, key: &'static str) -> Vec<Vec<u8>> {
    let bytes = |case: &Value| match &case[key] {
        Value::String(text) => Some(text.as_bytes().to_vec()),
        Value::Null => None,
        document => Some(document.to_string().into_bytes()),
    };
    let mut files: Vec<Vec<u8>> = cases(text).iter().filter_map(bytes).collect();
    files.sort_by_key(Vec::len);
    files.truncate(8);
    files
}

const LIGHTGBM: &str = include_str!("reference/predictors_lightgbm.json");
const ONNX: &str = include_str!("reference/predictors_onnx.json");
const SKLEARN: &str = include_str!("reference/predictors_sklearn.json");
const TREES: &str = include_str!("reference/predictors_trees.json");
const XGBOOST: &str = include_str!("reference/predictors_xgboost.json");

macro_rules! kept {
    ($text:expr, $key:expr) => {{
        static FILES: std::sync::OnceLock<Vec<Vec<u8>>> = std::sync::OnceLock::new();
        FILES.get_or_init(|| files($text, $key))
    }};
}

fn base64(text: &[u8]) -> Vec<u8> {
    let digit = |b: u8| match b {
        b'A'..=b'Z' => u32::from(b - b'A'),
        b'a'..=b'z' => u32::from(b - b'a') + 26,
        b'0'..=b'9' => u32::from(b - b'0') + 52,
        b'+' => 62,
        _ => 63,
    };
    let digits: Vec<u8> = text.iter().copied().filter(|b| *b != b'=').collect();
    let group = |four: &[u8]| {
        let bits = four.iter().fold(0, |bits, b| bits << 6 | digit(*b)) << (6 * (4 - four.len()));
        bits.to_be_bytes()[1..four.len()].to_vec()
    };
    digits.chunks(4).flat_map(group).collect()
}

/// Bytes with some of them changed, moved, doubled or dropped.
fn spoilt(input: &mut Input<'_>, bytes: &[u8], pieces: &[&str]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..=input.below(6) {
        let from = (input.below(bytes.len() + 1) + 7 * input.below(bytes.len() + 1)) % (bytes.len() + 1);
        let to = (from + usize::from(input.byte() % 12)).min(bytes.len());
        match input.byte() % 4 {
            0 if from < bytes.len() => bytes[from] = input.byte(),
            1 if from < bytes.len() => bytes[from] ^= 1 << (input.byte() % 8),
            2 => drop(bytes.splice(from..to, input.pick(pieces).bytes())),
            _ => bytes.truncate(bytes.len() - input.below(bytes.len() / 8 + 1)),
        }
    }
    bytes
}

fn ask(input: &mut Input<'_>, model: Result<ImportedModel>) {
    let model = match model {
        Ok(model) => model,
        Err(error) => {
            let known = [ErrorKind::Corrupt, ErrorKind::Unsupported, ErrorKind::LimitExceeded];
            assert!(known.contains(&error.kind()) && !error.to_string().is_empty(), "{error:?}");
            return;
        }
    };
    assert!(!model.signature().inputs.is_empty() || model.outputs() > 0);
    let Some(forest) = model.forest() else { return };
    if forest.features() == 0 || forest.features() > 1000 {
        return;
    }
    let row: Vec<f64> = (0..forest.features()).map(|_| input.f64()).collect();
    let alone = forest.predict_row(&row).unwrap();
    let many = forest.predict_rows(&row.repeat(20), Threads::ONE).unwrap();
    let bits =
        |values: &[f64]| values.iter().map(|v| if v.is_nan() { 0 } else { v.to_bits() }).collect::<Vec<_>>();
    assert_eq!(bits(&many), bits(&alone.repeat(20)));
}

const WORDS: &[&str] = &[
    "nan",
    "inf",
    "-1",
    "0",
    "1e999",
    "18446744073709551616",
    " ",
    "\n",
    "=",
    "Tree=0\n",
    "end of trees\n",
    "num_leaves=",
    "\u{202e}",
    "-99",
    "2147483648",
    "1 2 3",
];

fn model_lightgbm(input: &mut Input<'_>) {
    let files = kept!(LIGHTGBM, "text");
    let file = &files[input.below(files.len())];
    let bytes = spoilt(input, file, WORDS);
    drop(detect_format("", &bytes));
    ask(input, ImportedModel::from_lightgbm(&bytes));
}

fn document(input: &mut Input<'_>, file: &[u8]) -> Vec<u8> {
    if input.byte().is_multiple_of(4) {
        return spoilt(input, file, &["[", "{", "null", "-1", "1e999", ",", "\"", "99999999999"]);
    }
    let document: Value = serde_json::from_slice(file).unwrap();
    input.json(&document).to_string().into_bytes()
}

fn model_xgboost(input: &mut Input<'_>) {
    let files = kept!(XGBOOST, "json");
    let file = &files[input.below(files.len())];
    let bytes = document(input, file);
    ask(input, ImportedModel::from_xgboost_json(&bytes));
}

fn model_sklearn(input: &mut Input<'_>) {
    let files = kept!(SKLEARN, "json");
    let file = &files[input.below(files.len())];
    let bytes = document(input, file);
    ask(input, ImportedModel::from_sklearn_json(&bytes));
}

fn model_ubj(input: &mut Input<'_>) {
    let files = kept!(XGBOOST, "ubj");
    let file = base64(&files[input.below(files.len())]);
    let bytes = spoilt(input, &file, &["[$l#l\x7f", "{", "[", "Z", "N", "#U", "\0\0\0", "$"]);
    ask(input, ImportedModel::from_xgboost_ubj(&bytes));
}

fn model_onnx(input: &mut Input<'_>) {
    let files = if input.byte().is_multiple_of(2) { kept!(ONNX, "onnx") } else { kept!(TREES, "onnx") };
    let file = base64(&files[input.below(files.len())]);
    let bytes = spoilt(input, &file, &["\x7f\x7f", "\0", "\x08\x01", "LEAF", "BRANCH_EQ", "SUM", "\x0a\x7f"]);
    drop(detect_format("model.onnx", &bytes));
    ask(input, ImportedModel::from_onnx(&bytes));
}
