//! A gate for a build service: predictions and criteria in, an exit code out.
//!
//! ```sh
//! cargo run -p mlops-examples --bin gate -- --criteria gate.toml --predictions p.parquet --champion c.parquet
//! ```
//!
//! Reads predictions with their truth, evaluates them over all rows, slices and groups, computes what the criteria's tests ask
//! for on the rows, decides, and prints the decision in a language that a build service understands. `--help` lists the options and
//! the exit codes.

mod args;
mod ledger;
mod rows;

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser as _;
use mlops_core::evaluation::{
    EvaluationInput, EvaluationReport, Evaluator as _, GateDecision, GateExit, GateInput, GateSpec, render,
};
use mlops_core::governance::Approval;
use mlops_core::problem::Task;
use mlops_core::time::{Clock as _, SystemClock, Timestamp};
use mlops_core::{Error, ErrorKind, Result};
use mlops_eval::evaluator::{EvaluatorOptions, StandardEvaluator};
use mlops_eval::evidence::{Other, Others};

use args::{Args, Dialect, Edges, Format, TaskArg};
use ledger::Ledger;
use rows::{Model, Rows};

const OP: &str = "gate";

fn main() -> ExitCode {
    // Wrong arguments end with 2 here already.
    let args = Args::parse();
    match run(&args) {
        Ok(exit) => exit.into(),
        Err(error) => {
            eprintln!("{}", in_full(&error));
            GateExit::of_error(&error).into()
        }
    }
}

fn in_full(error: &Error) -> String {
    let mut text = format!("gate: {error}");
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    text
}

fn run(args: &Args) -> Result<GateExit> {
    let at = args.at.unwrap_or_else(|| SystemClock::new().now());
    let gate = gate(args)?;
    let approval = args.approval.as_deref().map(approval).transpose()?;
    let (rows, model) = rows::read(args)?;
    let champion =
        args.champion.as_ref().map(|path| rows::read_other(args, path, &rows, args.champion_model));
    let champion = champion.transpose()?;
    let baseline =
        |(name, path): &(String, PathBuf)| Ok((name.clone(), rows::read_other(args, path, &rows, None)?));
    let baselines: Vec<(String, Model)> = args.baselines.iter().map(baseline).collect::<Result<_>>()?;
    let mut ledger = args.ledger.as_deref().map(Ledger::open).transpose()?;

    let decision = decide(args, &gate, &rows, &model, champion.as_ref(), &baselines, ledger.as_ref(), at)?;
    if let Some(ledger) = &mut ledger {
        ledger.append(rows.data, &decision)?;
    }
    print(args, &decision)?;
    Ok(GateExit::of(&decision, approval.as_ref(), SystemClock::new().now()))
}

#[expect(clippy::too_many_arguments, reason = "everything a decision rests on, once")]
fn decide(
    args: &Args,
    gate: &GateSpec,
    rows: &Rows,
    model: &Model,
    champion: Option<&Model>,
    baselines: &[(String, Model)],
    ledger: Option<&Ledger>,
    at: Timestamp,
) -> Result<GateDecision> {
    let evaluator = evaluator(args)?;
    let input =
        |model: &'_ Model| -> Result<EvaluationReport> { evaluator.evaluate(&input(args, rows, model, at)) };
    let report = input(model)?;
    if let Some(path) = &args.report {
        let text = serde_json::to_string_pretty(&report)
            .map_err(|error| Error::invalid(OP, "report", error.to_string()))?;
        write(path, &text)?;
    }
    let champion_report = champion.map(&input).transpose()?;
    let baseline_reports = baselines.iter().map(|(_, model)| input(model)).collect::<Result<Vec<_>>>()?;

    let mut others = Others::default();
    if let Some(champion) = champion {
        others = others.with_champion(Other::new(champion.digest, &champion.predictions));
    }
    for (name, model) in baselines {
        others = others.with_baseline(name, Other::new(model.digest, &model.predictions));
    }
    let evidence = evaluator.evidence(gate, &self::input(args, rows, model, at), &others)?;

    let mut given = GateInput::new(&report).with_champion(champion_report.as_ref()).with_evidence(&evidence);
    for ((name, _), report) in baselines.iter().zip(&baseline_reports) {
        given = given.with_baseline(name, report);
    }
    if let Some(ledger) = ledger {
        given = given.with_uses(ledger.uses(rows.data, gate, model.digest));
    }
    gate.decide_with(&given, at)
}

fn gate(args: &Args) -> Result<GateSpec> {
    let name = || args.criteria.file_stem().map_or_else(|| "gate".into(), |name| name.to_string_lossy());
    let text = || {
        fs::read_to_string(&args.criteria).map_err(|error| {
            let kind = if error.kind() == std::io::ErrorKind::NotFound {
                ErrorKind::NotFound
            } else {
                ErrorKind::Storage
            };
            Error::new(kind, OP, "the criteria cannot be read")
                .with("file", args.criteria.display())
                .with_source(error)
        })
    };
    let imported = match args.dialect {
        Dialect::Own => return GateSpec::from_file(&args.criteria),
        Dialect::Mlflow => GateSpec::from_mlflow_thresholds(&name(), &text()?)?,
        Dialect::RaiScorecard => GateSpec::from_rai_scorecard(&name(), &text()?)?,
    };
    for note in &imported.notes {
        eprintln!("gate: {note}");
    }
    Ok(imported.gate)
}

fn evaluator(args: &Args) -> Result<StandardEvaluator> {
    let mut options = EvaluatorOptions::default()
        .with_threshold(args.threshold)
        .with_min_group_rows(args.min_group_rows)
        .with_seed(args.seed);
    for (column, Edges(edges)) in &args.bands {
        options = options.with_bands(column, edges.clone());
    }
    StandardEvaluator::new(options)
}

fn input<'a>(args: &Args, rows: &'a Rows, model: &'a Model, at: Timestamp) -> EvaluationInput<'a> {
    EvaluationInput::new(
        model.digest,
        rows.data,
        match args.task {
            TaskArg::Binary => Task::BinaryClassification,
            TaskArg::Regression => Task::Regression,
        },
        &model.predictions,
        &rows.truth,
        at,
    )
    .with_slices(&rows.slices)
    .with_sensitive(&rows.sensitive)
}

fn approval(path: &Path) -> Result<Approval> {
    let broken = |error: Error| error.with("file", path.display());
    let text = fs::read_to_string(path).map_err(|error| {
        broken(Error::new(ErrorKind::NotFound, OP, "the approval cannot be read").with_source(error))
    })?;
    serde_json::from_str(&text).map_err(|error| broken(Error::invalid(OP, "approval", error.to_string())))
}

fn print(args: &Args, decision: &GateDecision) -> Result<()> {
    for (format, path) in &args.outputs {
        write(path, &rendered(args, decision, *format)?)?;
    }
    if let (Format::Github, Some(summary)) = (args.format, std::env::var_os("GITHUB_STEP_SUMMARY")) {
        let append = || {
            let mut file = fs::OpenOptions::new().append(true).create(true).open(&summary)?;
            file.write_all(render::markdown(decision).as_bytes())
        };
        let broken = |error| {
            Error::new(ErrorKind::Storage, OP, "the step summary cannot be written").with_source(error)
        };
        append().map_err(broken)?;
    }
    println!("{}", rendered(args, decision, args.format)?.trim_end());
    Ok(())
}

fn rendered(args: &Args, decision: &GateDecision, format: Format) -> Result<String> {
    let file = args.criteria.to_string_lossy();
    Ok(match format {
        Format::Text => decision.to_string(),
        Format::Json => render::json(decision)?,
        Format::Markdown => render::markdown(decision),
        Format::Junit => render::junit(decision),
        Format::Sarif => render::sarif(decision, &file)?,
        Format::Github => render::github(decision, &file),
        Format::AzureDevops => render::azure_devops(decision, &file),
        Format::InToto => render::in_toto(decision)?,
    })
}

fn write(path: &Path, text: &str) -> Result<()> {
    let broken = |error| {
        Error::new(ErrorKind::Storage, OP, "a file cannot be written")
            .with("file", path.display())
            .with_source(error)
    };
    fs::write(path, text).map_err(broken)
}
