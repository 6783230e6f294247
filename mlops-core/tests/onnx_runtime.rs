//! Models in ONNX Runtime, held against what onnxruntime's own Python answers, and everything that can be wrong with library and model.
//!
//! References: `tests/reference/make_onnx_runtime.py` (onnxruntime 1.32.0). The library is the one that `MLOPS_TEST_ONNXRUNTIME` names, as the Python package
//! onnxruntime brings it; without it the tests that need one say that they are skipped.

use std::sync::Arc;

use mlops_core::conformance::predictor::PredictorUnderTest;
use mlops_core::data::{Column, DataType, Table};
use mlops_core::model::{ModelFormat, ModelLoader, Predictor as _};
use mlops_core::problem::Task;
use mlops_core::serve::onnx_runtime::{OnnxModel, OnnxOptions, OnnxRuntime, OnnxRuntimeLoader};
use mlops_core::serve::{BuiltinLoader, ImportedModel};
use mlops_core::{Error, ErrorKind};
use serde_json::Value;

const CASES: &str = include_str!("reference/onnx_runtime.json");
const CLASSICAL: &str = include_str!("reference/predictors_onnx.json");
const VARIABLE: &str = "MLOPS_TEST_ONNXRUNTIME";

/// The library, if there is one to test with.
fn runtime() -> Option<OnnxRuntime> {
    match std::env::var_os(VARIABLE) {
        Some(path) => Some(OnnxRuntime::load(path).unwrap()),
        None => {
            println!("skipped: {VARIABLE} names no library of ONNX Runtime");
            None
        }
    }
}

fn cases(text: &str) -> Vec<Value> {
    let file: Value = serde_json::from_str(text).unwrap();
    file["cases"].as_array().unwrap().clone()
}

fn case(name: &str) -> Value {
    cases(CASES).into_iter().find(|case| case["name"] == name).unwrap()
}

fn bytes(case: &Value) -> Vec<u8> {
    decode(case["onnx"].as_str().unwrap())
}

/// Base 64.
fn decode(text: &str) -> Vec<u8> {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut out, mut word, mut bits) = (Vec::new(), 0_u32, 0);
    for byte in text.bytes().filter(|byte| *byte != b'=') {
        word = word << 6 | u32::try_from(ALPHABET.iter().position(|known| *known == byte).unwrap()).unwrap();
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            out.push((word >> bits & 0xff) as u8);
        }
    }
    out
}

fn options(case: &Value) -> OnnxOptions {
    serde_json::from_value(case["options"].clone()).unwrap()
}

fn load(runtime: &OnnxRuntime, case: &Value) -> OnnxModel {
    runtime.model(&bytes(case), &options(case)).unwrap()
}

/// The rows of a case, in the types that the model wants.
fn table(model: &OnnxModel, case: &Value) -> Table<'static> {
    let features = case["features"].as_array().unwrap();
    let inputs = &model.signature().inputs;
    let column = |input: &mlops_core::model::Feature| {
        let feature = features.iter().find(|feature| feature["name"] == input.name.as_str()).unwrap();
        let values = feature["values"].as_array().unwrap().iter();
        let name = input.name.clone();
        match input.data_type {
            DataType::Category => Column::text(name, values.map(|v| v.as_str().unwrap())),
            DataType::Bool => Column::bool(name, values.map(|v| v.as_bool().unwrap()).collect::<Vec<_>>()),
            DataType::I64 => Column::i64(name, values.map(|v| v.as_i64().unwrap()).collect::<Vec<_>>()),
            _ => Column::f64(name, values.map(|v| v.as_f64().unwrap()).collect::<Vec<_>>()),
        }
        .unwrap()
    };
    Table::new(inputs.iter().map(column).collect()).unwrap()
}

/// The answers, row by row: one number each, or one a class.
fn answers(case: &Value) -> Vec<f64> {
    let one = |answer: &Value| match answer {
        Value::Array(classes) => classes.iter().map(|p| p.as_f64().unwrap()).collect(),
        number => vec![number.as_f64().unwrap()],
    };
    case["answers"].as_array().unwrap().iter().flat_map(one).collect()
}

#[test]
fn answers_are_those_of_onnxruntime() {
    let Some(runtime) = runtime() else { return };
    let mut rows = 0;
    for case in cases(CASES) {
        let name = case["name"].as_str().unwrap();
        // None of them is for the built-in reader.
        let error = ImportedModel::from_onnx(&bytes(&case)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{name}: {error}");
        let model = load(&runtime, &case);
        let table = table(&model, &case);
        let (predicted, expected) = (model.predict(&table).unwrap(), answers(&case));
        assert_eq!(predicted.as_slice().len(), expected.len(), "{name}");
        for (row, (ours, theirs)) in predicted.as_slice().iter().zip(&expected).enumerate() {
            // The same library, asked for one row as we ask: the same bits.
            assert_eq!(ours.to_bits(), theirs.to_bits(), "{name}, row {row}: {ours} {theirs}");
        }
        rows += expected.len();
        // All rows together: the same to single precision.
        if name.starts_with("one ") {
            continue;
        }
        let together = runtime.model(&bytes(&case), &options(&case).with_together(true)).unwrap();
        for (ours, theirs) in together.predict(&table).unwrap().as_slice().iter().zip(&expected) {
            assert!((ours - theirs).abs() <= 1e-6 * theirs.abs().max(1.0), "{name}: {ours} {theirs}");
        }
    }
    println!("{rows} rows of {} models have the bits of onnxruntime", cases(CASES).len());
}

#[test]
fn classical_models_agree_with_the_built_in_reader() {
    let Some(runtime) = runtime() else { return };
    let mut compared = 0;
    for case in cases(CLASSICAL) {
        let bytes = decode(case["onnx"].as_str().unwrap());
        let (Ok(ours), Ok(theirs)) =
            (ImportedModel::from_onnx(&bytes), runtime.model(&bytes, &OnnxOptions::default()))
        else {
            continue;
        };
        // The same names; a number may be whole there and none here.
        let names =
            |s: &mlops_core::model::Signature| s.inputs.iter().map(|i| i.name.clone()).collect::<Vec<_>>();
        assert_eq!(names(ours.signature()), names(theirs.signature()), "{}", case["name"]);
        if ours.signature().task != theirs.signature().task
            || theirs.signature().inputs.iter().any(|input| input.data_type != DataType::F64)
        {
            continue;
        }
        let rows = case["rows"].as_array().unwrap();
        let good: Vec<&Value> =
            rows.iter().filter(|row| row.as_array().unwrap().iter().all(Value::is_number)).collect();
        let columns = names(ours.signature()).into_iter().enumerate().map(|(i, name)| {
            Column::f64(name, good.iter().map(|row| row[i].as_f64().unwrap()).collect::<Vec<_>>()).unwrap()
        });
        let table = Table::new(columns.collect()).unwrap();
        let (ours, theirs) = (ours.predict(&table), theirs.predict(&table));
        let (Ok(ours), Ok(theirs)) = (ours, theirs) else { continue };
        for (a, b) in ours.as_slice().iter().zip(theirs.as_slice()) {
            assert!((a - b).abs() <= 1e-5 * b.abs().max(1.0), "{}: {a} {b}", case["name"]);
        }
        compared += 1;
    }
    assert!(compared >= 8, "{compared} models were compared");
}

#[test]
fn the_signature_is_what_the_graph_says() {
    let Some(runtime) = runtime() else { return };
    let of = |name: &str| load(&runtime, &case(name)).signature().clone();
    let names = |name: &str| of(name).inputs.into_iter().map(|input| input.name).collect::<Vec<_>>();
    assert_eq!(names("mlp of numbers"), ["X_0", "X_1", "X_2", "X_3"]);
    assert_eq!(names("mlp of classes with names"), ["a", "b", "c", "d"]);
    assert_eq!(of("mlp of numbers").task, Task::Regression);
    assert_eq!(of("mlp of classes, as maps").task, Task::BinaryClassification);
    assert_eq!(of("mlp of classes, as numbers").task, Task::BinaryClassification);
    assert_eq!(of("mlp of three classes").task, Task::MulticlassClassification);
    let every = of("every type");
    let types: Vec<_> = every.inputs.iter().map(|input| (input.name.as_str(), input.data_type)).collect();
    let expected = [
        ("x_0", DataType::F64),
        ("x_1", DataType::F64),
        ("plan", DataType::Category),
        ("visits", DataType::I64),
        ("new", DataType::Bool),
    ];
    assert_eq!(types, expected);
    assert!(every.inputs.iter().all(|input| !input.nullable));
    let missing =
        runtime.model(&bytes(&case("every type")), &options(&case("every type")).with_missing(true));
    let nullable: Vec<_> = missing.unwrap().signature().inputs.iter().map(|input| input.nullable).collect();
    assert_eq!(nullable, [true, true, false, false, false]);
}

#[test]
fn models_of_the_runtime_keep_the_contract_of_predictors() {
    use mlops_core::conformance::predictor as suite;
    let Some(runtime) = runtime() else { return };
    let rules: [fn(&PredictorUnderTest); 11] = [
        suite::one_prediction_a_row,
        suite::the_same_rows_give_the_same_bits,
        suite::rows_do_not_influence_each_other,
        suite::bad_rows_are_refused,
        suite::extra_columns_are_ignored,
        suite::order_of_columns_changes_nothing,
        suite::numbers_of_any_type_are_the_same_numbers,
        suite::categories_are_known_by_their_text,
        suite::predictions_are_finite,
        suite::missing_values_are_understood_where_allowed,
        suite::many_threads_get_the_same_answers,
    ];
    let names = [
        "mlp of classes, as maps",
        "mlp of numbers",
        "every type",
        "nearest neighbours",
        "mlp of three classes",
    ];
    for name in names {
        let case = case(name);
        let model = load(&runtime, &case);
        let rows = table(&model, &case);
        let under = PredictorUnderTest::new(Arc::new(model), rows);
        rules.iter().for_each(|rule| rule(&under));
    }
}

#[test]
fn of_several_classes_all_probabilities_are_answered() {
    let Some(runtime) = runtime() else { return };
    let (numbers, maps) = (case("mlp of three classes"), case("mlp of three classes, as maps"));
    let said = |case: &Value, options: &OnnxOptions| {
        let model = runtime.model(&bytes(case), options).unwrap();
        model.predict(&table(&model, case))
    };
    let plain = said(&numbers, &OnnxOptions::default()).unwrap();
    let plain = plain.as_classes().unwrap();
    assert_eq!((plain.labels(), plain.rows()), (&["0", "1", "2"].map(str::to_owned)[..], 25));
    let named = OnnxOptions::default().with_classes(["low", "mid", "high"]);
    let named = said(&numbers, &named).unwrap();
    assert_eq!(named.as_classes().unwrap().labels(), ["low", "mid", "high"]);
    assert_eq!(named.as_slice(), plain.as_slice());
    // Maps say what their classes are called, and are held to what the caller was told.
    let of_maps = said(&maps, &options(&maps)).unwrap();
    assert_eq!(of_maps.as_classes().unwrap().labels(), ["high", "low", "mid"]);
    let other = options(&maps).with_classes(["a", "b", "c"]);
    assert_eq!(said(&maps, &other).unwrap_err().kind(), ErrorKind::Unsupported);
    // What the graph does not say has to be said.
    let refused = |case: &Value, options: &OnnxOptions| runtime.model(&bytes(case), options).unwrap_err();
    let unnamed = OnnxOptions::default().with_task(Task::MulticlassClassification);
    assert_eq!(refused(&maps, &unnamed).context("field"), Some("classes"));
    let two = OnnxOptions::default().with_classes(["a", "b"]);
    assert_eq!(refused(&numbers, &two).context("field"), Some("classes"));
    let twice = OnnxOptions::default().with_classes(["a", "b", "a"]);
    assert_eq!(refused(&numbers, &twice).context("field"), Some("labels"));
    // Asked as if there were two classes, it says that there are more.
    let error = said(&maps, &OnnxOptions::default()).unwrap_err();
    assert_eq!((error.kind(), error.context("numbers")), (ErrorKind::Unsupported, Some("3")));
}

#[test]
fn options_that_do_not_fit_are_refused_by_name() {
    let Some(runtime) = runtime() else { return };
    let default = OnnxOptions::default;
    let refused =
        |name: &str, options: OnnxOptions| runtime.model(&bytes(&case(name)), &options).unwrap_err();
    for (error, field) in [
        (refused("mlp of numbers", default().with_output("y")), "output"),
        (refused("mlp of numbers", default().with_features("X", ["a", "b"])), "features"),
        (refused("mlp of numbers", default().with_features("X", ["a", "b", "c", "a"])), "features"),
        (refused("mlp of numbers", default().with_features("Z", ["a"])), "features"),
        (refused("one row at a time", default()), "output"),
        (refused("one row at a time", default().with_output("total").with_together(true)), "together"),
    ] {
        assert_eq!((error.kind(), error.context("field")), (ErrorKind::InvalidInput, Some(field)), "{error}");
    }
    // What is only seen when it answers.
    let three = case("one of three numbers");
    let ask = |options: OnnxOptions| {
        let model = runtime.model(&bytes(&three), &options).unwrap();
        model.predict(&table(&model, &three)).unwrap_err()
    };
    assert_eq!(ask(default().with_output("r")).context("numbers"), Some("3"));
    assert_eq!(ask(default().with_output("r").with_column(3)).kind(), ErrorKind::Unsupported);
}

#[test]
fn rows_that_the_model_cannot_take_are_named() {
    let Some(runtime) = runtime() else { return };
    let case = case("every type");
    let model = load(&runtime, &case);
    let good = table(&model, &case).take(&[0, 1]).unwrap();
    let with = |column: Column<'static>| {
        let name = column.name().to_owned();
        good.without(&[name]).with_column(column).unwrap()
    };
    for (rows, column) in [
        (with(Column::f64("visits", vec![1.0, 1.5]).unwrap()), "visits"),
        (with(Column::f64("visits", vec![1.0, 1e300]).unwrap()), "visits"),
        (with(Column::f64("visits", vec![1.0, f64::NAN]).unwrap()), "visits"),
        (with(Column::f64("new", vec![1.0, 2.0]).unwrap()), "new"),
        (with(Column::text("plan", ["pro", "a\0b"]).unwrap()), "plan"),
        (with(Column::optional_text("plan", [Some("pro"), None]).unwrap()), "plan"),
        (with(Column::text("x_0", ["a", "b"]).unwrap()), "x_0"),
    ] {
        let error = model.predict(&rows).unwrap_err();
        assert_eq!(
            (error.kind(), error.context("column")),
            (ErrorKind::InvalidInput, Some(column)),
            "{error}"
        );
    }
    // Not a number in, not a number out: that is no prediction.
    let error = model.predict(&with(Column::f64("x_0", vec![1.0, f64::NAN]).unwrap())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(model.predict(&good.take(&[]).unwrap()).unwrap().is_empty());
}

#[test]
fn hostile_models_are_refused_and_nothing_panics() {
    let Some(runtime) = runtime() else { return };
    let good = bytes(&case("mlp of numbers"));
    let load = |bytes: &[u8]| runtime.model(bytes, &OnnxOptions::default());
    for (bytes, kinds) in [
        (&b""[..], &[ErrorKind::Unsupported, ErrorKind::Corrupt][..]),
        (b"somebody's diary", &[ErrorKind::Corrupt]),
        (&[0x3a, 0xff, 0xff, 0xff, 0xff, 0x0f], &[ErrorKind::Corrupt]),
        // The runtime's own format, which it would not check.
        (b"\x10\0\0\0ORTM\0\0\0\0\0\0\0\0", &[ErrorKind::Unsupported, ErrorKind::Corrupt]),
    ] {
        let error = load(bytes).unwrap_err();
        assert!(kinds.contains(&error.kind()), "{error}");
    }
    for cut in (1..good.len()).step_by(good.len() / 40) {
        let error = load(&good[..cut]).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Unsupported), "{error}");
    }
    for at in (0..good.len()).step_by(13) {
        let mut bad = good.clone();
        bad[at] ^= 1 << (at % 8);
        // A changed weight is another model; what must not happen is a panic.
        if let Ok(model) = load(&bad) {
            let inputs = &model.signature().inputs;
            let columns =
                inputs.iter().map(|input| Column::f64(input.name.clone(), vec![0.5, -1.0]).unwrap());
            if let Ok(rows) = Table::new(columns.collect()) {
                let _ = model.predict(&rows);
            }
        }
    }
    // Graph 7, initializer 5: a tensor that lies in another file (external_data 13, data_location 14).
    let tensor = [&[0x6a, 0x00][..], &[0x70, 0x01]];
    for tensor in tensor {
        let initializer = [&[0x2a, u8::try_from(tensor.len()).unwrap()][..], tensor].concat();
        let graph = [&[0x3a, u8::try_from(initializer.len()).unwrap()][..], &initializer].concat();
        let error = load(&[&good[..], &graph].concat()).unwrap_err();
        assert!(error.message().contains("other files"), "{error}");
    }
}

#[test]
fn a_list_of_loaders_asks_the_runtime_for_what_the_reader_does_not_know() {
    let Some(runtime) = runtime() else { return };
    let loader: Vec<Arc<dyn ModelLoader>> =
        vec![Arc::new(BuiltinLoader), Arc::new(OnnxRuntimeLoader::new(runtime.clone()))];
    let format = ModelFormat::new("onnx.ml/v1").unwrap();
    let network = case("mlp of numbers");
    let model = loader.load(&format, &bytes(&network)).unwrap();
    assert!(format!("{model:?}").starts_with("OnnxModel"), "{model:?}");
    let forest = decode(cases(CLASSICAL)[0]["onnx"].as_str().unwrap());
    assert!(format!("{:?}", loader.load(&format, &forest).unwrap()).starts_with("ImportedModel"));
    let other = ModelFormat::new("pickle/v1").unwrap();
    assert_eq!(loader.load(&other, &forest).unwrap_err().kind(), ErrorKind::Unsupported);
}

#[test]
fn a_library_that_is_not_there_or_is_none_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let kind = |path: &std::path::Path| OnnxRuntime::load(path).map_err(|e: Error| e.kind());
    assert_eq!(kind(&folder.path().join("libonnxruntime.so")).unwrap_err(), ErrorKind::NotFound);
    assert_eq!(kind(folder.path()).unwrap_err(), ErrorKind::InvalidInput);
    assert_eq!(kind(std::path::Path::new("")).unwrap_err(), ErrorKind::InvalidInput);
    let text = folder.path().join("libonnxruntime.so");
    std::fs::write(&text, "somebody's diary").unwrap();
    let Some(runtime) = runtime() else {
        assert_eq!(kind(&text).unwrap_err(), ErrorKind::Corrupt);
        assert_eq!(kind(std::path::Path::new("libno-such-onnxruntime.so")).unwrap_err(), ErrorKind::NotFound);
        return;
    };
    // A process has one library: the same again is the same, another one is refused.
    assert_eq!(kind(&text).unwrap_err(), ErrorKind::Conflict);
    assert_eq!(OnnxRuntime::load(runtime.path()).unwrap().path(), runtime.path());
}

#[test]
fn many_threads_may_ask_one_model() {
    let Some(runtime) = runtime() else { return };
    let case = case("mlp of classes, as numbers");
    let (model, expected) = (load(&runtime, &case), answers(&case));
    let rows = table(&model, &case);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..5 {
                    assert_eq!(model.predict(&rows).unwrap().as_slice(), expected);
                }
            });
        }
    });
}
