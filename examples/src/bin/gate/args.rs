//! The command line.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};
use mlops_core::hash::Digest;
use mlops_core::time::Timestamp;

/// Holds a model's predictions against a gate's criteria, for a build service: the exit code says whether the model may go on.
///
/// Exit codes: 0 the gate passed; 1 it failed; 2 the program was called wrongly or a file cannot be used; 3 it could not be
/// evaluated, or there is too little data to decide; 4 it passed, and somebody has to approve first.
#[derive(Debug, Parser)]
#[command(name = "gate")]
pub struct Args {
    /// The criteria: a TOML, JSON or YAML file.
    #[arg(long, value_name = "FILE")]
    pub criteria: PathBuf,
    /// In which words the criteria are written.
    #[arg(long, value_enum, default_value = "own")]
    pub dialect: Dialect,
    /// The predictions to judge, with the truth: a CSV or Parquet file.
    #[arg(long, value_name = "FILE")]
    pub predictions: PathBuf,
    /// What the champion predicted for the same rows.
    #[arg(long, value_name = "FILE")]
    pub champion: Option<PathBuf>,
    /// What another model predicted for the same rows, under the name by which criteria speak of it.
    #[arg(long = "baseline", value_name = "NAME=FILE", value_parser = named_file)]
    pub baselines: Vec<(String, PathBuf)>,
    /// What is predicted: one of two classes, as a probability, or a number.
    #[arg(long, value_enum, default_value = "binary")]
    pub task: TaskArg,
    /// The column of the truth.
    #[arg(long, value_name = "COLUMN", default_value = "truth")]
    pub truth: String,
    /// The value of the truth that counts as positive; not needed for true and false, or 1 and 0.
    #[arg(long, value_name = "VALUE")]
    pub positive: Option<String>,
    /// The column of the predictions.
    #[arg(long, value_name = "COLUMN", default_value = "prediction")]
    pub prediction: String,
    /// The column by which rows of two files are matched; without it, by their order.
    #[arg(long, value_name = "COLUMN")]
    pub id: Option<String>,
    /// The columns by which rows are sliced.
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',')]
    pub slices: Vec<String>,
    /// Where a numeric slice column is cut; at its quartiles if not said.
    #[arg(long, value_name = "COLUMN=EDGE,EDGE", value_parser = bands)]
    pub bands: Vec<(String, Edges)>,
    /// The columns between whose groups fairness is judged.
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',')]
    pub sensitive: Vec<String>,
    /// The probability from which on a row is predicted to be positive.
    #[arg(long, value_name = "P", default_value_t = 0.5)]
    pub threshold: f64,
    /// The fewest rows of a group that is compared.
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub min_group_rows: u64,
    /// The digest of the model, `sha256:…`; without it, that of its predictions stands for it.
    #[arg(long, value_name = "DIGEST")]
    pub model: Option<Digest>,
    /// The digest of the champion.
    #[arg(long, value_name = "DIGEST")]
    pub champion_model: Option<Digest>,
    /// How the decision is printed. With `github` it also goes into the step summary, if there is one.
    #[arg(long, value_enum, default_value = "text")]
    pub format: Format,
    /// Also writes the decision to a file; can be given several times.
    #[arg(long = "write", value_name = "FORMAT=FILE", value_parser = output)]
    pub outputs: Vec<(Format, PathBuf)>,
    /// Writes the whole evaluation report, as JSON.
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// The file in which uses of test sets are counted; needed by a gate with a budget for reuse.
    #[arg(long, value_name = "FILE")]
    pub ledger: Option<PathBuf>,
    /// An approval of this very decision, as JSON.
    #[arg(long, value_name = "FILE")]
    pub approval: Option<PathBuf>,
    /// The seed of everything random.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// The time that the decision carries, as in 2026-01-05T09:00:00Z; now if not given. An approval is about a decision with
    /// its time: to have one approved, decide again at the same time.
    #[arg(long, value_name = "TIME")]
    pub at: Option<Timestamp>,
}

/// In which words the criteria are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Dialect {
    /// A gate of this SDK.
    Own,
    /// MLflow's thresholds, as JSON.
    Mlflow,
    /// The configuration of the Responsible AI scorecard, as JSON.
    RaiScorecard,
}

/// What is predicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TaskArg {
    /// One of two classes.
    Binary,
    /// A number.
    Regression,
}

/// How a decision is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A table for a terminal.
    Text,
    /// JSON.
    Json,
    /// Markdown.
    Markdown,
    /// JUnit's XML.
    Junit,
    /// SARIF 2.1.0.
    Sarif,
    /// Workflow commands of GitHub Actions.
    Github,
    /// Logging commands of Azure Pipelines.
    AzureDevops,
    /// An in-toto statement, unsigned.
    InToto,
}

/// Where a column is cut.
#[derive(Clone, Debug)]
pub struct Edges(pub Vec<f64>);

fn split<'a>(text: &'a str, form: &str) -> Result<(&'a str, &'a str), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() && !value.is_empty() => Ok((name, value)),
        _ => Err(format!("expected {form}")),
    }
}

fn named_file(text: &str) -> Result<(String, PathBuf), String> {
    let (name, file) = split(text, "NAME=FILE")?;
    Ok((name.to_owned(), file.into()))
}

fn output(text: &str) -> Result<(Format, PathBuf), String> {
    let (format, file) = split(text, "FORMAT=FILE")?;
    Ok((Format::from_str(format, false)?, file.into()))
}

fn bands(text: &str) -> Result<(String, Edges), String> {
    let (column, edges) = split(text, "COLUMN=EDGE,EDGE")?;
    let edge = |edge: &str| edge.parse().map_err(|error| format!("`{}`: {error}", edge.escape_debug()));
    Ok((column.to_owned(), Edges(edges.split(',').map(edge).collect::<Result<_, String>>()?)))
}
