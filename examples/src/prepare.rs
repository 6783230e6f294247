//! From a file to rows that a model can learn from: read, check, label, split, and look for leaks.

use std::path::{Path, PathBuf};

use mlops_core::data::{
    Column, CsvOptions, DataType, Expectation, Expectations, Fractions, LeakageInput, Part, Partition,
    Schema, Split, Table, distinct_rows, frame, require_numeric,
};
use mlops_core::num::{NanPolicy, quantile};
use mlops_core::{Error, ErrorKind, Result};

/// The label column that [`prepare`] makes: whether a row is positive.
pub const LABEL: &str = "label";

/// The row number in the source file, counted from 1, which identifies a row through all splits.
pub const ROW: &str = "row";

/// What to prepare.
#[derive(Clone, Debug)]
pub struct Source {
    /// A CSV or Parquet file.
    pub file: PathBuf,
    /// The names of all columns, for a CSV file without a header row.
    pub columns: Option<Vec<String>>,
    /// The column to predict.
    pub target: String,
    /// The value that counts as positive; `None`: above the median.
    pub positive: Option<String>,
    /// The column between whose groups fairness is judged.
    pub sensitive: String,
    /// The column of times, for a split by time.
    pub time: Option<String>,
    /// The column that identifies a row.
    pub id: Option<String>,
    /// The column by which slices are made; `None`: `age` if there is one, else the first numeric feature.
    pub slice: Option<String>,
    /// The seed of everything random.
    pub seed: u64,
}

impl Source {
    /// The bundled data set: 442 diabetes patients, progression above the median, fairness between the sexes, slices by age.
    pub fn diabetes() -> Self {
        Self {
            file: Path::new(env!("CARGO_MANIFEST_DIR")).join("data/diabetes.csv"),
            columns: None,
            target: "target".into(),
            positive: None,
            sensitive: "sex".into(),
            time: None,
            id: None,
            slice: Some("age".into()),
            seed: 2004,
        }
    }
}

/// A data set that passed its checks.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// Every row: features, label and row number.
    pub table: Table<'static>,
    /// The inputs of the models.
    pub features: Vec<String>,
    /// The column between whose groups fairness is judged.
    pub sensitive: String,
    /// The numeric column by which slices are made.
    pub slice: String,
    /// Where it is cut.
    pub bands: Vec<f64>,
    /// What positive means, in words.
    pub positive: String,
    /// Exact duplicates of other rows that were left out.
    pub duplicates: usize,
    /// The schema of the file.
    pub schema: Schema,
    /// How rows are split: for training, for evaluation, and the rest stands in for production.
    pub partition: Partition,
}

impl Prepared {
    /// The rows of one part.
    ///
    /// # Errors
    /// As [`Partition::table`].
    pub fn part(&self, part: Part) -> Result<Table<'static>> {
        self.partition.table(&self.table, part)
    }
}

/// Reads a file, checks it, labels it and splits it without leaks.
///
/// # Errors
/// Everything that can be wrong with a file, each naming file, column and row: missing, empty, ragged, an unknown column, a target
/// that is no number, one class only, values that are not finite, constant columns, identifiers that come twice.
pub fn prepare(source: &Source) -> Result<Prepared> {
    let name = source.file.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    prepare_file(source).map_err(|e| if e.context("file").is_some() { e } else { e.with("file", name) })
}

fn prepare_file(source: &Source) -> Result<Prepared> {
    let file = read(source)?;
    let schema = Schema::infer(&file)?;
    let numbers: Vec<i64> = (1..).take(file.rows()).collect();
    prepare_rows(source, &file, &numbers, schema)
}

/// Checks rows, labels them and splits them without leaks; `numbers` says which row of the source each is.
///
/// # Errors
/// As [`prepare`], without those of files.
pub fn prepare_rows(
    source: &Source,
    file: &Table<'static>,
    numbers: &[i64],
    schema: Schema,
) -> Result<Prepared> {
    for column in [Some(&source.target), Some(&source.sensitive), source.time.as_ref(), source.id.as_ref()] {
        column.map_or(Ok(()), |name| file.column(name).map(drop))?;
    }
    let features = feature_names(source, file);
    check(source, file, &features)?;

    // A row that is there twice could be learned from and tested on at once.
    let distinct = distinct_rows(file, &file.names().collect::<Vec<_>>())?;
    let duplicates = file.rows() - distinct.len();
    let file = file.take(&distinct)?;

    let (label, positive) = label(source, &file)?;
    let rows: Vec<i64> = distinct.iter().filter_map(|&row| numbers.get(row)).copied().collect();
    let table = file.without(&[&source.target]).with_column(label)?.with_column(Column::i64(ROW, rows)?)?;

    let partition = split(source, &table)?;
    leaks(source, &table, &partition)?;
    let (slice, bands) = bands(source, &table, &features)?;
    let sensitive = source.sensitive.clone();
    Ok(Prepared { table, features, sensitive, slice, bands, positive, duplicates, schema, partition })
}

/// Reads the file, in its format.
///
/// # Errors
/// Those of [`frame::read`].
pub fn read(source: &Source) -> Result<Table<'static>> {
    match &source.columns {
        None => frame::read(&source.file),
        Some(names) => {
            let options =
                CsvOptions::default().with_columns(names.clone()).with_trim(true).with_null_values(["?"]);
            frame::read_csv(&source.file, &options)
        }
    }
}

fn feature_names(source: &Source, file: &Table<'_>) -> Vec<String> {
    let reserved = [Some(&source.target), source.id.as_ref(), source.time.as_ref()];
    let usable = |c: &&Column<'_>| {
        c.data_type() != DataType::Time && !reserved.iter().flatten().any(|name| name.as_str() == c.name())
    };
    file.columns().iter().filter(usable).map(|c| c.name().to_owned()).collect()
}

/// What the file must hold for anything that follows to make sense.
fn check(source: &Source, file: &Table<'_>, features: &[String]) -> Result<()> {
    let mut expectations = vec![
        Expectation::rows(100, None),
        Expectation::present(&source.target),
        Expectation::present(&source.sensitive),
    ];
    for name in features {
        expectations.push(Expectation::not_constant(name));
        if file.column(name)?.data_type().is_numeric() {
            expectations.push(Expectation::finite(name));
        }
    }
    expectations.extend(source.id.iter().map(|id| Expectation::unique([id.clone()])));
    expectations.extend(source.time.iter().map(|time| Expectation::present(time.clone())));
    Expectations::new(expectations)?.validate(file).require_passed()
}

/// The label: the positive value, or above the median. Of two numbers the greater is positive.
fn label(source: &Source, file: &Table<'_>) -> Result<(Column<'static>, String)> {
    let (labels, meaning): (Vec<bool>, String) = match &source.positive {
        Some(positive) => {
            let column = file.column(&source.target)?;
            let is = |row| column.label(row).is_some_and(|text| text == positive.as_str());
            ((0..file.rows()).map(is).collect(), format!("{} is {positive}", source.target))
        }
        None => {
            let column = require_numeric(file, &source.target)?;
            let values = column.to_f64()?;
            let median = median(&values)?;
            let low = values.iter().copied().fold(f64::INFINITY, f64::min);
            let cut = if values.iter().any(|v| *v > median) { median } else { low };
            (values.iter().map(|v| *v > cut).collect(), format!("{} above {cut}", source.target))
        }
    };
    let positives = labels.iter().filter(|l| **l).count();
    if positives == 0 || positives == labels.len() {
        let message =
            format!("has one class only: {positives} of {} rows are positive ({meaning})", labels.len());
        return Err(Error::invalid("prepare", "target", message).with("column", &source.target));
    }
    Ok((Column::bool(LABEL, labels)?, meaning))
}

fn median(values: &[f64]) -> Result<f64> {
    let median = quantile::quantiles_with(values, &[0.5], NanPolicy::Raise)?;
    let undefined = || Error::new(ErrorKind::Internal, "prepare", "the median of finite values is undefined");
    median.first().and_then(|m| m.value()).ok_or_else(undefined)
}

fn split(source: &Source, table: &Table<'_>) -> Result<Partition> {
    let fractions = Fractions::validation_test(0.25, 0.25)?;
    match &source.time {
        Some(time) => Split::time(time, fractions).apply(table),
        None => Split::stratified(LABEL, fractions, source.seed).apply(table),
    }
}

fn leaks(source: &Source, table: &Table<'_>, partition: &Partition) -> Result<()> {
    let mut input = LeakageInput::new(table, partition).with_id(ROW);
    if let Some(time) = &source.time {
        input = input.with_time(time);
    }
    input.check()?.require_clean()
}

fn bands(source: &Source, table: &Table<'_>, features: &[String]) -> Result<(String, Vec<f64>)> {
    let numeric = |name: &&String| table.column(name).is_ok_and(|c| c.data_type().is_numeric());
    let none = || Error::invalid("prepare", "slice", "there is no numeric feature to make slices of");
    let slice = match &source.slice {
        Some(name) => name.clone(),
        None if table.get("age").is_some_and(|c| c.data_type().is_numeric()) => "age".to_owned(),
        None => features.iter().find(numeric).ok_or_else(none)?.clone(),
    };
    let values = require_numeric(table, &slice)?;
    if slice == "age" {
        return Ok((slice, vec![40.0, 60.0]));
    }
    let present: Vec<f64> = values.to_f64()?.iter().copied().filter(|v| !v.is_nan()).collect();
    let thirds = quantile::quantiles_with(&present, &[1.0 / 3.0, 2.0 / 3.0], NanPolicy::Raise)?;
    let mut edges: Vec<f64> = thirds.into_iter().filter_map(|t| t.value()).collect();
    edges.dedup();
    Ok((slice, edges))
}
