//! Predictions from files, brought into one order.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::Path;

use mlops_core::data::{Column, DataType, Table, content_digest, frame};
use mlops_core::hash::Digest;
use mlops_core::model::Predictions;
use mlops_core::{Error, Result};

use crate::args::{Args, TaskArg};

const OP: &str = "gate";

/// The rows on which everything is judged.
pub struct Rows {
    pub data: Digest,
    pub truth: Column<'static>,
    pub slices: Table<'static>,
    pub sensitive: Table<'static>,
    ids: Option<Vec<String>>,
}

/// One model's predictions for these rows.
pub struct Model {
    pub digest: Digest,
    pub predictions: Predictions,
}

/// Reads the file to judge: the rows, and the model's predictions for them.
pub fn read(args: &Args) -> Result<(Rows, Model)> {
    let file = open(&args.predictions)?;
    let rows = rows(args, &file).map_err(|error| error.with("file", args.predictions.display()))?;
    let model = model(args, &file, None, args.model)
        .map_err(|error| error.with("file", args.predictions.display()))?;
    Ok((rows, model))
}

/// Reads another model's predictions for the same rows.
pub fn read_other(args: &Args, path: &Path, rows: &Rows, digest: Option<Digest>) -> Result<Model> {
    let other = || {
        let file = open(path)?;
        let order = order(args, &file, rows)?;
        same_truth(args, &file, &order, rows)?;
        model(args, &file, Some(&order), digest)
    };
    other().map_err(|error| error.with("file", path.display()))
}

fn open(path: &Path) -> Result<Table<'static>> {
    frame::read(path)
}

fn rows(args: &Args, file: &Table<'_>) -> Result<Rows> {
    let truth = truth(args, file)?;
    let ids = args.id.as_ref().map(|id| ids(file, id)).transpose()?;
    let slices = file.select(&args.slices)?.into_owned();
    let sensitive = file.select(&args.sensitive)?.into_owned();
    // What the rows are, whatever is predicted for them: files of two models on the same rows have the same digest.
    let mut names: Vec<&String> = args.id.iter().chain(&args.slices).chain(&args.sensitive).collect();
    names.sort();
    names.dedup();
    let data = file.select(&names)?.into_owned().without(&[truth.name()]).with_column(truth.clone())?;
    Ok(Rows { data: content_digest(&data), truth, slices, sensitive, ids })
}

/// The truth: for a binary task true and false, 1 and 0, or a value that counts as positive.
fn truth(args: &Args, file: &Table<'_>) -> Result<Column<'static>> {
    let column = file.column(&args.truth)?;
    if column.missing() > 0 {
        let message = format!("`{}` is the truth, and {} values are missing", args.truth, column.missing());
        return Err(Error::invalid(OP, "truth", message));
    }
    let owned = || column.clone().into_owned();
    match (args.task, &args.positive) {
        (TaskArg::Regression, None) => Ok(owned()),
        (TaskArg::Regression, Some(_)) => {
            Err(Error::invalid(OP, "positive", "a number has no positive value; it goes with --task binary"))
        }
        (TaskArg::Binary, None) if column.data_type() == DataType::Bool => Ok(owned()),
        (TaskArg::Binary, None) => Column::bool(args.truth.clone(), zeros_and_ones(column)?),
        (TaskArg::Binary, Some(positive)) => {
            let is = |row| column.label(row).as_deref() == Some(positive.as_str());
            let labels: Vec<bool> = (0..column.len()).map(is).collect();
            if !labels.contains(&true) {
                let message = format!("no row of `{}` has this value", args.truth);
                return Err(Error::invalid(OP, "positive", message).with("value", positive));
            }
            Column::bool(args.truth.clone(), labels)
        }
    }
}

fn zeros_and_ones(column: &Column<'_>) -> Result<Vec<bool>> {
    let wanted = "the truth of a binary task is true and false, or 1 and 0; say with --positive what counts as positive";
    if !column.data_type().is_numeric() {
        return Err(Error::invalid(OP, "truth", wanted).with("column", column.name()));
    }
    let label = |(row, value): (usize, &f64)| match *value {
        0.0 => Ok(false),
        1.0 => Ok(true),
        other => Err(Error::invalid(OP, "truth", wanted).with("row", row + 1).with("value", other)),
    };
    column.to_f64()?.iter().enumerate().map(label).collect()
}

fn ids(file: &Table<'_>, name: &str) -> Result<Vec<String>> {
    let column = file.column(name)?;
    let id = |row| {
        let missing = || Error::invalid(OP, "id", format!("`{name}` is missing in row {}", row + 1));
        column.label(row).map(Cow::into_owned).ok_or_else(missing)
    };
    let ids: Vec<String> = (0..column.len()).map(id).collect::<Result<_>>()?;
    let mut seen = HashMap::with_capacity(ids.len());
    for (row, id) in ids.iter().enumerate() {
        if let Some(before) = seen.insert(id, row) {
            let message = format!("rows {} and {} have the same `{name}`", before + 1, row + 1);
            return Err(Error::invalid(OP, "id", message).with("value", id));
        }
    }
    Ok(ids)
}

/// Which row of the file is the n-th of ours.
fn order(args: &Args, file: &Table<'_>, rows: &Rows) -> Result<Vec<usize>> {
    let wanted = rows.truth.len();
    if file.rows() != wanted {
        let message = format!("has {} rows where {wanted} are judged", file.rows());
        return Err(Error::invalid(OP, "rows", message));
    }
    let (Some(name), Some(ours)) = (&args.id, &rows.ids) else { return Ok((0..wanted).collect()) };
    let theirs = ids(file, name)?;
    let place: HashMap<&String, usize> = theirs.iter().enumerate().map(|(row, id)| (id, row)).collect();
    let find = |id: &String| {
        let missing = || Error::invalid(OP, "id", format!("has no row with this `{name}`")).with("value", id);
        place.get(id).copied().ok_or_else(missing)
    };
    ours.iter().map(find).collect()
}

/// A file that brings the truth along must have the same one: else its rows are others.
fn same_truth(args: &Args, file: &Table<'_>, order: &[usize], rows: &Rows) -> Result<()> {
    if file.get(&args.truth).is_none() {
        return Ok(());
    }
    let theirs = truth(args, file)?;
    let differs = |(row, &at): (usize, &usize)| theirs.label(at) != rows.truth.label(row);
    match order.iter().enumerate().find(|pair| differs(*pair)) {
        None => Ok(()),
        Some((row, _)) => {
            let message = "the two files are about different rows: their truth differs";
            Err(Error::invalid(OP, "truth", message).with("row", row + 1))
        }
    }
}

fn model(args: &Args, file: &Table<'_>, order: Option<&[usize]>, digest: Option<Digest>) -> Result<Model> {
    let column = file.column(&args.prediction)?;
    if column.missing() > 0 {
        let message = format!("`{}` has {} missing values", args.prediction, column.missing());
        return Err(Error::invalid(OP, "prediction", message));
    }
    let values = column.to_f64()?;
    let values: Vec<f64> = match order {
        None => values.to_vec(),
        Some(order) => order.iter().map(|&row| values[row]).collect(),
    };
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    let predictions = match args.task {
        TaskArg::Binary => Predictions::probability(values)?,
        TaskArg::Regression => Predictions::value(values)?,
    };
    Ok(Model { digest: digest.unwrap_or_else(|| Digest::of(&bytes)), predictions })
}
