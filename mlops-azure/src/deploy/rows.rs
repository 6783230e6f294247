//! Rows as online endpoints take them, and predictions as they answer them.

use mlops_core::data::{Column, Table, Values};
use mlops_core::model::Predictions;
use mlops_core::problem::Task;
use mlops_core::{Error, ErrorKind, Result};
use serde_json::{Map, Value, json};

const OP: &str = "Deployer::invoke";

/// Rows in the format of MLflow models on Azure: `{"input_data": {"columns": […], "index": […], "data": [[…], …]}}`.
///
/// A missing value and a NaN are `null`; a category is its text; a time is a text of RFC 3339.
pub(super) fn body(rows: &Table<'_>) -> Result<Value> {
    let names: Vec<&str> = rows.names().collect();
    let mut data = Vec::with_capacity(rows.rows());
    for row in 0..rows.rows() {
        let cells = rows.columns().iter().map(|column| cell(column, row));
        data.push(Value::Array(cells.collect::<Result<_>>()?));
    }
    let index: Vec<usize> = (0..rows.rows()).collect();
    Ok(json!({ "input_data": { "columns": names, "index": index, "data": data } }))
}

fn cell(column: &Column<'_>, row: usize) -> Result<Value> {
    if !column.is_valid(row) {
        return Ok(Value::Null);
    }
    let number = |value: Option<f64>| match value {
        Some(x) if x.is_infinite() => {
            let message = format!("is infinite in row {row}, which JSON cannot say");
            Err(Error::invalid(OP, "rows", message).with("column", column.name()))
        }
        // `null` for NaN.
        Some(x) => Ok(Value::from(x)),
        None => Ok(Value::Null),
    };
    match column.values() {
        Values::F64(values) => number(values.get(row).copied()),
        Values::F32(values) => number(values.get(row).map(|x| f64::from(*x))),
        Values::I64(values) => Ok(values.get(row).copied().map_or(Value::Null, Value::from)),
        Values::Bool(values) => Ok(values.get(row).copied().map_or(Value::Null, Value::from)),
        _ => Ok(column.label(row).map_or(Value::Null, |text| Value::from(text.into_owned()))),
    }
}

/// What a model answered: as many predictions as there were rows.
///
/// Read are `[0.1, …]`, the same under `predictions`, `outputs` or `result`, and the text of one of these, which scoring scripts that
/// dump JSON themselves answer. A row may be a list: of one number, of the probabilities of both classes (the second is that of the
/// positive one), or of several classes, which are then called `0`, `1`, …; or an object from class to probability.
pub(super) fn predictions(answer: &[u8], task: Option<Task>, rows: usize) -> Result<Predictions> {
    let value: Value = serde_json::from_slice(answer).map_err(|_| bad("the model's answer is not JSON"))?;
    let value = match value {
        Value::String(text) => {
            serde_json::from_str(&text).map_err(|_| bad("the model's answer is a text, and no JSON in it"))?
        }
        value => value,
    };
    let list = match value {
        Value::Array(list) => list,
        Value::Object(mut members) => {
            let found =
                ["predictions", "outputs", "result"].into_iter().find_map(|name| members.remove(name));
            match found {
                Some(Value::Array(list)) => list,
                _ => return Err(bad("the model's answer is an object without a list of predictions")),
            }
        }
        _ => return Err(bad("the model's answer is no list of predictions")),
    };
    if list.len() != rows {
        let error = bad("the model did not answer every row");
        return Err(error.with("rows", rows).with("predictions", list.len()));
    }
    let several = matches!(list.first(), Some(Value::Object(_)))
        || matches!(list.first(), Some(Value::Array(row)) if row.len() > 1)
            && task != Some(Task::BinaryClassification);
    let read = if several { classes(&list) } else { numbers(&list, task) };
    read.map_err(|e| bad("the model's answer is no prediction").with_source(e))
}

/// An error that shows nothing of the answer: what a model says of somebody is as private as the rows.
fn bad(message: &'static str) -> Error {
    Error::new(ErrorKind::Internal, OP, message)
}

fn numbers(list: &[Value], task: Option<Task>) -> Result<Predictions> {
    let mut values = Vec::with_capacity(list.len());
    for (row, value) in list.iter().enumerate() {
        let number = match value {
            Value::Number(number) => number.as_f64(),
            Value::Bool(yes) => Some(f64::from(u8::from(*yes))),
            Value::Array(cells) if matches!(cells.len(), 1 | 2) => cells.last().and_then(Value::as_f64),
            _ => None,
        };
        values.push(number.ok_or_else(|| bad("a prediction is no number").with("row", row))?);
    }
    match task {
        Some(Task::BinaryClassification) => Predictions::probability(values),
        _ => Predictions::value(values),
    }
}

fn classes(list: &[Value]) -> Result<Predictions> {
    let labels: Vec<String> = match list.first() {
        Some(Value::Object(members)) => members.keys().cloned().collect(),
        Some(Value::Array(cells)) => (0..cells.len()).map(|i| i.to_string()).collect(),
        _ => Vec::new(),
    };
    let mut values = Vec::new();
    for (row, value) in list.iter().enumerate() {
        let cells: Vec<Option<f64>> = match value {
            Value::Object(members) if members.len() == labels.len() => of_labels(members, &labels),
            Value::Array(cells) if cells.len() == labels.len() => cells.iter().map(Value::as_f64).collect(),
            _ => return Err(bad("a prediction has other classes than the first").with("row", row)),
        };
        for cell in cells {
            values.push(cell.ok_or_else(|| bad("a probability is no number").with("row", row))?);
        }
    }
    Predictions::classes(labels, values)
}

fn of_labels(members: &Map<String, Value>, labels: &[String]) -> Vec<Option<f64>> {
    labels.iter().map(|label| members.get(label).and_then(Value::as_f64)).collect()
}

#[cfg(test)]
mod tests {
    use mlops_core::data::Validity;

    use super::*;

    #[test]
    fn rows_are_sent_as_mlflow_models_want_them() {
        let some = Validity::from_bools(&[true, false]);
        let rows = Table::new(vec![
            Column::f64("age", vec![59.0, f64::NAN]).unwrap(),
            Column::new("n", Values::I64(vec![1, 2].into()), Some(some)).unwrap(),
            Column::text("sex", ["f", "m"]).unwrap(),
            Column::bool("b", vec![true, false]).unwrap(),
            Column::new("at", Values::Time(vec![0, 1].into()), None).unwrap(),
        ])
        .unwrap();
        let expected = json!({"input_data": {
            "columns": ["age", "n", "sex", "b", "at"],
            "index": [0, 1],
            "data": [[59.0, 1, "f", true, "1970-01-01T00:00:00+00:00"],
                     [null, null, "m", false, "1970-01-01T00:00:00.000001+00:00"]],
        }});
        assert_eq!(body(&rows).unwrap(), expected);
        let infinite = Table::new(vec![Column::f64("age", vec![1.0, f64::INFINITY]).unwrap()]).unwrap();
        let error = body(&infinite).unwrap_err();
        assert_eq!((error.kind(), error.context("column")), (ErrorKind::InvalidInput, Some("age")));
    }

    #[test]
    fn answers_of_every_form_are_read() {
        let binary = Some(Task::BinaryClassification);
        let read = |text: &str, task, rows| predictions(text.as_bytes(), task, rows);
        let half = Predictions::probability(vec![0.25, 0.5]).unwrap();
        for text in [
            "[0.25, 0.5]",
            r#"{"predictions": [0.25, 0.5]}"#,
            r#"{"result": [[0.25], [0.5]]}"#,
            r#""[0.25, 0.5]""#,
            "[[0.75, 0.25], [0.5, 0.5]]",
        ] {
            assert_eq!(read(text, binary, 2).unwrap(), half, "{text}");
        }
        assert_eq!(read("[7, 8]", None, 2).unwrap(), Predictions::value(vec![7.0, 8.0]).unwrap());
        let several = Some(Task::MulticlassClassification);
        let labelled = read(r#"[{"low": 0.2, "high": 0.8}]"#, several, 1).unwrap();
        assert_eq!(labelled, Predictions::classes(["high", "low"], vec![0.8, 0.2]).unwrap());
        let numbered = read("[[0.2, 0.3, 0.5]]", several, 1).unwrap();
        assert_eq!(numbered, Predictions::classes(["0", "1", "2"], vec![0.2, 0.3, 0.5]).unwrap());
        assert_eq!(read("[]", binary, 0).unwrap().len(), 0);
    }

    #[test]
    fn answers_that_are_no_predictions_are_the_models_fault_and_not_shown() {
        for text in [
            "",
            "<html>hunter2",
            "null",
            "\"hunter2\"",
            "{}",
            r#"{"predictions": 7}"#,
            "[0.1]",
            "[0.1, null]",
            "[0.1, \"hunter2\"]",
            "[0.1, 1.5]",
            "[[0.1,0.2,0.7],[0.1]]",
            r#"[{"a":0.1,"b":0.9},{"a":0.1,"c":0.9}]"#,
            r#"[{"a":0.1,"b":0.9},7]"#,
        ] {
            let error = predictions(text.as_bytes(), Some(Task::BinaryClassification), 2).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Internal, "{text}");
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
        }
    }
}
