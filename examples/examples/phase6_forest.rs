//! Phase 6: a model that another library trained, read from its own file and asked.
//!
//! `cargo run -p mlops-examples --example phase6_forest`

use std::error::Error;

use mlops_core::data::{Column, Table};
use mlops_core::model::{ModelLoader as _, Predictor as _};
use mlops_core::serve::{BuiltinLoader, ImportedModel, detect_format};
use mlops_examples::narrate::{say, step};

/// Twelve trees of LightGBM on the diabetes data: is the progression above the median? `data/make_forest.py` trained them.
const FOREST: &str = include_str!("../data/forest.txt");

/// What LightGBM 4.7.0 answers to the rows below.
const THEIRS: [f64; 4] = [0.8550656369325691, 0.12664216282689428, 0.7985945337232304, 0.5509791149981909];

fn main() -> Result<(), Box<dyn Error>> {
    // The content says what it is; no code in it can run.
    step(1, "A file of LightGBM");
    let format = detect_format("model.txt", FOREST.as_bytes())?;
    let model = ImportedModel::from_lightgbm(FOREST.as_bytes())?;
    let names: Vec<&str> = model.signature().inputs.iter().map(|input| input.name.as_str()).collect();
    say(format!("format     {format}"));
    say(format!("features   {}", names.join(", ")));
    if let Some(forest) = model.forest() {
        say(format!("forest     {} trees, {} nodes", forest.trees(), forest.nodes()));
    }

    // Rows by name, in any order; what is missing takes the way that training found.
    step(2, "Three patients, and one whose blood pressure nobody took");
    let rows = Table::new(vec![
        Column::f64("bmi", vec![32.1, 21.6, 30.5, 32.1])?,
        Column::f64("bp", vec![101.0, 87.0, 93.0, f64::NAN])?,
        Column::f64("age", vec![59.0, 48.0, 72.0, 59.0])?,
        Column::f64("s5", vec![4.8598, 3.8918, 4.6728, 4.8598])?,
    ])?;
    // The same bytes as a deployer loads them, by the format they were registered with.
    let served = BuiltinLoader.load(&format, FOREST.as_bytes())?;
    let answers = served.predict(&rows)?;
    for (row, probability) in answers.as_slice().iter().enumerate() {
        say(format!("patient {row}  {probability:.4}"));
    }
    // LightGBM 4.7.0 says the same, to the last digit of its own sums.
    let agree = answers.as_slice().iter().zip(THEIRS).all(|(ours, theirs)| (ours - theirs).abs() < 1e-14);
    say(format!("LightGBM   {}", if agree { "agrees" } else { "disagrees" }));

    step(3, "What is refused");
    if let Err(error) = model.predict(&rows.without(&["bmi"])) {
        say(format!("rows       {}", error.message()));
    }
    let circle = FOREST.replacen("left_child=1", "left_child=0", 1);
    if let Err(error) = ImportedModel::from_lightgbm(circle.as_bytes()) {
        say(format!("file       {}", error.message()));
    }
    Ok(())
}
