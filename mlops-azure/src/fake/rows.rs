//! Rows as a scoring address takes them, for predictors.

use mlops_core::data::{Column, DataType, Table, Validity, Values};
use mlops_core::model::{Feature, Predictions, Predictor};
use mlops_core::{Error, ErrorKind, Result};
use serde_json::{Value, json};

const OP: &str = "FakeOnline";

fn bad(message: &str) -> Error {
    Error::invalid(OP, "input_data", message)
}

/// What a predictor says to `{"input_data": {"columns": […], "data": [[…], …]}}`.
pub(super) fn predict(predictor: &dyn Predictor, body: &Value) -> Result<Value> {
    let input = body.get("input_data").ok_or_else(|| bad("is not there"))?;
    let names = input["columns"].as_array().ok_or_else(|| bad("has no columns"))?;
    let data = input["data"].as_array().ok_or_else(|| bad("has no data"))?;
    let mut columns = Vec::new();
    for feature in &predictor.signature().inputs {
        let at = names.iter().position(|name| name.as_str() == Some(&feature.name));
        let at = at.ok_or_else(|| bad("lacks a column").with("column", &feature.name))?;
        let cells: Vec<&Value> = data.iter().map(|row| row.get(at).unwrap_or(&Value::Null)).collect();
        columns.push(column(feature, &cells)?);
    }
    for (at, name) in names.iter().enumerate() {
        let Some(name) = name.as_str().filter(|name| columns.iter().all(|c: &Column<'_>| c.name() != *name))
        else {
            continue;
        };
        let cells: Vec<&Value> = data.iter().map(|row| row.get(at).unwrap_or(&Value::Null)).collect();
        // A model passes over what it does not know; one that knows nothing still counts the rows.
        let numeric = cells.iter().all(|cell| cell.is_number() || cell.is_null());
        let data_type = if numeric { DataType::F64 } else { DataType::Category };
        if let Ok(extra) = column(&Feature::required(name, data_type), &cells) {
            columns.push(extra);
        }
    }
    let table = Table::new(columns)?;
    predictor.signature().check(&table)?;
    let predictions = predictor.predict(&table)?;
    let failed = |e| Error::new(ErrorKind::Internal, OP, "the answer is no prediction").with_source(e);
    Ok(match predictions.checked().map_err(failed)? {
        Predictions::Classes(classes) => (0..classes.rows()).map(|row| json!(classes.row(row))).collect(),
        other => json!(other.as_slice()),
    })
}

fn column(feature: &Feature, cells: &[&Value]) -> Result<Column<'static>> {
    let wrong =
        |row: usize| bad("has a value of another type").with("column", &feature.name).with("row", row);
    let name = feature.name.clone();
    let valid: Vec<bool> = cells.iter().map(|cell| !cell.is_null()).collect();
    let numbers = || -> Result<Vec<f64>> {
        let number = |(row, cell): (usize, &&Value)| match cell {
            Value::Null => Ok(f64::NAN),
            Value::Bool(yes) => Ok(f64::from(u8::from(*yes))),
            cell => cell.as_f64().ok_or_else(|| wrong(row)),
        };
        cells.iter().enumerate().map(number).collect()
    };
    match feature.data_type {
        DataType::F64 | DataType::F32 => {
            // To a model of floating point, `null` is NaN.
            let validity = feature.nullable.then(|| Validity::from_bools(&valid));
            Column::new(name, Values::F64(numbers()?.into()), validity)
        }
        DataType::I64 | DataType::Bool => {
            let whole = |(row, x): (usize, f64)| match x.fract() == 0.0 || x.is_nan() {
                true => Ok(x as i64),
                false => Err(wrong(row)),
            };
            let values = numbers()?.into_iter().enumerate().map(whole).collect::<Result<Vec<_>>>()?;
            Column::new(name, Values::I64(values.into()), Some(Validity::from_bools(&valid)))
        }
        _ => {
            let mut texts = Vec::with_capacity(cells.len());
            for (row, cell) in cells.iter().enumerate() {
                texts.push(match cell {
                    Value::Null => None,
                    cell => Some(cell.as_str().ok_or_else(|| wrong(row))?),
                });
            }
            Column::optional_text(name, texts)
        }
    }
}
