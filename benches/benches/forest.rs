//! Forests: a row alone and rows together, on one thread. `peers/forest.py` trains the models, and puts LightGBM and onnxruntime beside.
//!
//! Lines are a name, a tab and CPU milliseconds for a row. The folder with the models and the rows is in `MLOPS_BENCH_FOREST`; without, there
//! is nothing to do.

use std::error::Error;
use std::hint::black_box;
use std::path::Path;

use mlops_benches::fastest;
use mlops_core::data::{Column, Table};
use mlops_core::model::Predictor as _;
use mlops_core::num::parallel::Threads;
use mlops_core::serve::ImportedModel;

const REPEATS: usize = 7;

/// Rows that are asked for one by one.
const SINGLE: usize = 2000;

fn measure(name: &str, model: &ImportedModel, rows: &[f64]) -> Result<(), Box<dyn Error>> {
    let forest = model.forest().ok_or("the model is no forest")?;
    let width = forest.features();
    let count = rows.len() / width;
    let single = &rows[..SINGLE.min(count) * width];
    let alone = fastest(REPEATS, || {
        single.chunks(width).filter_map(|row| forest.predict_row(black_box(row)).ok()).flatten().sum::<f64>()
    });
    println!("{name}, a row alone\t{:.6}", alone / (single.len() / width) as f64);
    let together =
        fastest(REPEATS, || forest.predict_rows(black_box(rows), Threads::ONE).map(|all| all.len()));
    println!("{name}, a row of {count}\t{:.6}", together / count as f64);
    let columns = model.signature().inputs.iter().enumerate().map(|(i, feature)| {
        Column::f64(feature.name.clone(), rows.iter().skip(i).step_by(width).copied().collect::<Vec<f64>>())
    });
    let table = Table::new(columns.collect::<Result<_, _>>()?)?;
    let served = fastest(REPEATS, || model.predict(black_box(&table)).map(|all| all.len()));
    println!("{name}, a row of a table of {count}\t{:.6}", served / count as f64);
    let one = table.take(&[0])?;
    let served = fastest(REPEATS, || (0..SINGLE).filter(|_| model.predict(black_box(&one)).is_ok()).count());
    println!("{name}, a table of one row\t{:.6}", served / SINGLE as f64);
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let Ok(folder) = std::env::var("MLOPS_BENCH_FOREST") else {
        println!("# benches/peers/forest.py trains the models first");
        return Ok(());
    };
    let folder = Path::new(&folder);
    let bytes = std::fs::read(folder.join("rows.f64"))?;
    let (numbers, _) = bytes.as_chunks();
    let rows: Vec<f64> = numbers.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect();
    measure("LightGBM", &ImportedModel::from_lightgbm(&std::fs::read(folder.join("lightgbm.txt"))?)?, &rows)?;
    measure(
        "XGBoost",
        &ImportedModel::from_xgboost_json(&std::fs::read(folder.join("xgboost.json"))?)?,
        &rows,
    )?;
    measure("ONNX", &ImportedModel::from_onnx(&std::fs::read(folder.join("lightgbm.onnx"))?)?, &rows)?;
    Ok(())
}
