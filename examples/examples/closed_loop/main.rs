//! The closed loop: one data set through the whole life of a model, from the charter to a retrained champion.
//!
//! ```sh
//! cargo run --example closed_loop
//! cargo run --release -p mlops-examples --example closed_loop -- \
//!     --data FILE --target COL [--positive VALUE] --sensitive COL [--time COL] [--columns a,b,c] [--schema FILE] [--store FOLDER]
//! cargo run --example closed_loop -- --backend azure-fake    # the same on Azure Machine Learning, in memory
//! ```
//!
//! `--backend azure` takes the workspace that the environment names (`AZURE_SUBSCRIPTION_ID`, `AZURE_RESOURCE_GROUP`,
//! `AZUREML_WORKSPACE_NAME`, or a `config.json`) and the credentials that are there, which need the role `AzureML Data Scientist` on the
//! workspace and `Storage Blob Data Contributor` on its storage. It registers what its deployments need: `serving/score.py` as code, and
//! `config/serving.conda.yml` as an environment, which Azure builds when it is first used (minutes). `MLOPS_AZURE_INSTANCE` is
//! another type of machine than `Standard_DS3_v2`; `MLOPS_AZURE_ENVIRONMENT` is the id of an environment to use instead. The endpoint
//! is called `progression`, must not exist in the region under another owner, and costs money as long as it is there.
//!
//! | step | where |
//! |---|---|
//! | 1 | `setup.rs` |
//! | 2 | `validate.rs`, `build.rs` |
//! | 3 | `training.rs`, with its pipeline in `config/training.pipeline.toml` |
//! | 4 to 6 | `build.rs` |
//! | 7 | `cycle.rs`, which is the loop; `serve.rs` and `client.rs`, which are the two ends of HTTP; `front.rs`, which asks Azure instead |
//! | 8 to 11 | `operate.rs` |
//!
//! Everything is kept in one folder; the model is served on a port of this machine, and nothing else is asked for. The program ends by
//! saying how MLflow shows it. On Azure, data, runs, models and endpoints are in the workspace. The exit code is 0 when the loop closes; else the program says why it did not.

mod build;
mod client;
mod cycle;
mod front;
mod operate;
mod serve;
mod setup;
mod training;
mod validate;

use std::error::Error as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use mlops_core::time::{Clock as _, SystemClock};
use mlops_core::{Error, ErrorKind, Result};
use mlops_examples::azure::Azure;
use mlops_examples::narrate::{say, step};
use mlops_examples::platform::Platform;
use mlops_examples::prepare::Source;

use self::setup::Setup;

/// Where everything is.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Backend {
    /// In one folder.
    Local,
    /// In a workspace of Azure Machine Learning in memory.
    AzureFake,
    /// In the workspace that the environment names.
    Azure,
}

/// Takes a data set through the whole life of a model.
#[derive(Debug, Parser)]
struct Args {
    /// A CSV or Parquet file; without it, the bundled diabetes data.
    #[arg(long, requires = "target", requires = "sensitive")]
    data: Option<PathBuf>,
    /// The column to predict: numbers are cut at their median, other values need --positive.
    #[arg(long)]
    target: Option<String>,
    /// The value of the target that counts as positive.
    #[arg(long)]
    positive: Option<String>,
    /// The column between whose groups fairness is judged.
    #[arg(long)]
    sensitive: Option<String>,
    /// A column of times: the split follows them.
    #[arg(long)]
    time: Option<String>,
    /// A column that identifies a row; it is not used to learn.
    #[arg(long)]
    id: Option<String>,
    /// The numeric column by which slices are made and whose upper third takes over later; `age` if there is one.
    #[arg(long)]
    slice: Option<String>,
    /// The names of all columns of a CSV file without a header row.
    #[arg(long, value_delimiter = ',')]
    columns: Option<Vec<String>>,
    /// What the data is held to, as a TOML file: rows that break it are set aside.
    #[arg(long)]
    schema: Option<PathBuf>,
    /// The gate, as a TOML file.
    #[arg(long)]
    gate: Option<PathBuf>,
    /// The folder of the store that everything is kept in; without it, a new one under `.mlops`.
    #[arg(long)]
    store: Option<PathBuf>,
    /// Where everything is.
    #[arg(long, value_enum, default_value = "local")]
    backend: Backend,
    /// The seed of everything random.
    #[arg(long, default_value_t = 2004)]
    seed: u64,
}

impl Args {
    /// A store is for ever: every run of the program gets its own, unless it is told otherwise.
    fn store(&self) -> PathBuf {
        let fresh = || {
            let now = SystemClock::new().now().format("%Y%m%d-%H%M%S%.6f");
            Path::new(".mlops").join(format!("closed-loop-{now}"))
        };
        self.store.clone().unwrap_or_else(fresh)
    }

    async fn platform(&self) -> Result<Platform> {
        let (folder, now) = (self.store(), SystemClock::new().now());
        match self.backend {
            Backend::Local => Platform::local(&folder, now),
            Backend::AzureFake => Platform::azure(Azure::fake(), &folder, now).await,
            Backend::Azure => Platform::azure(Azure::from_env()?, &folder, now).await,
        }
    }

    fn source(&self) -> Source {
        let bundled = Source { seed: self.seed, ..Source::diabetes() };
        let (Some(file), Some(target), Some(sensitive)) = (&self.data, &self.target, &self.sensitive) else {
            return bundled;
        };
        Source {
            file: file.clone(),
            columns: self.columns.clone(),
            target: target.clone(),
            positive: self.positive.clone(),
            sensitive: sensitive.clone(),
            time: self.time.clone(),
            id: self.id.clone(),
            slice: self.slice.clone(),
            seed: self.seed,
        }
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nthe loop did not close: {}", error.message());
            explain(&error);
            ExitCode::FAILURE
        }
    }
}

/// Everything else there is to know about an error.
fn explain(error: &Error) {
    eprintln!("  {error}");
    let mut source = error.source();
    while let Some(cause) = source {
        eprintln!("  because {cause}");
        source = cause.source();
    }
}

fn not_as_it_should(what: &str) -> Error {
    Error::new(ErrorKind::Rejected, "closed loop", what)
}

async fn run(args: &Args) -> Result<()> {
    step(1, "Define the problem");
    let own_data = args.data.is_some();
    let setup = Setup::read(args.source(), args.schema.as_deref(), args.gate.as_deref(), own_data)?;
    setup.tell();

    step(2, "Hold the delivery to its schema, set bad rows aside, register and split the rest");
    let world = build::World::prepare(setup, args.platform().await?).await?;

    step(3, "Train: a pipeline with a sweep in it; a second run finds everything made");
    let training = training::Training::open(&world).await?;
    let trained = training.run(&world, &world.first).await?;
    training::tell(&trained);
    training.tell_sweep(&world, &trained).await?;
    training.run_again(&world, &world.first, &trained).await?;
    let prior = training.model(&world, &trained, "baseline", &world.first).await?;
    let candidate = training.model(&world, &trained, "fit", &world.first).await?;

    step(4, "Evaluate on rows that no candidate has seen");
    let report = build::evaluate(&world, &candidate, &world.first)?;
    build::tell_report(&world, &report);

    step(5, "Decide by the gate");
    let decision = world.gate().decide(&report, None, world.now())?;
    say(&decision);
    decision.require_pass(&report.model)?;

    step(6, "Register what was trained");
    build::register(&world, &prior).await?;
    let first = build::register(&world, &candidate).await?;

    step(7, "Serve: the loop's first cycle, from a reason to the champion");
    let mut service = serve::Service::open(&world).await?;
    let mut one = cycle::open(&world).await?;
    if !cycle::ask(&mut one, "first", "there is no model yet").await? {
        return Err(not_as_it_should(&format!("the first cycle did not begin: {}", one.state().phase)));
    }
    let challenger = cycle::Challenger {
        version: &first,
        trained: &candidate,
        report: &report,
        gate: &decision,
        champion: None,
    };
    let phase = cycle::run(&world, &mut service, &mut one, &challenger).await?;
    say(format_args!("The cycle ends: {phase}."));
    cycle::require_champion(&world, &one, first.version).await?;
    let baseline = operate::capture_baseline(&world, &one, &candidate).await?;

    step(8, "Watch production: first as usual, then an older cohort takes over");
    let watch = operate::Watch::new(&world, &candidate, &report, &baseline, &one).await?;
    let quiet = operate::usual_day(&world, &mut service, &watch).await?;
    operate::no_alarm(&quiet)?;
    let alarmed = operate::shifted_day(&world, &mut service, &watch).await?;

    step(9, "Trigger, retrain, and let the challenger meet the champion");
    operate::triggered(&world, &mut one, &quiet, &alarmed).await?;
    let grown = world.grow().await?;
    let retrained = training.run(&world, &grown).await?;
    training::tell(&retrained);
    training::only_new_rows_ran(&retrained)?;
    let challenger = training.model(&world, &retrained, "fit", &grown).await?;
    operate::challenge(&world, &mut service, &mut one, &grown, (&candidate, &challenger)).await?;
    let serves = one.state().serving.as_ref().map(|serving| serving.artifact);
    let champion = if serves == Some(challenger.artifact) { &challenger } else { &candidate };

    step(10, "A bad candidate slips past a gate: the guard takes it back");
    operate::bad_candidate(&world, &mut service, &mut one, &grown, champion).await?;
    service.close().await?;

    step(11, "Prove it: the audit log and the lineage");
    operate::prove(&world, &one).await?;
    operate::show(&world).await?;
    say("The loop is closed.");
    Ok(())
}
