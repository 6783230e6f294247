//! Azure: a sweep made of core's search space, sampler and stopping policy, run by Azure Machine Learning, and its best trial read back
//! as values.
//!
//! Offline, against a stand-in for Azure in this process: `cargo run -p mlops-examples --example azure_sweep`. With `-- --azure` the same
//! runs on the workspace that the environment or a `config.json` names, as whoever the environment says, on the cluster `cpu` in the
//! environment `train:1`, with a script `train.py` that is in the image: that takes minutes and costs money.

use std::error::Error;
use std::time::Duration;

use mlops_azure::job::{Jobs, sweep_job};
use mlops_azure::wire::job::JobStatus;
use mlops_azure::wire::job::sweep::Trial;
use mlops_core::experiment::sampler::{Goal, SamplerSpec, SobolOptions};
use mlops_core::experiment::space::{Assignment, Distribution, SearchSpace};
use mlops_core::experiment::stopping::{Bandit, EvaluationSchedule, Slack};
use mlops_core::experiment::sweep::{Budget, SweepSpec};
use mlops_core::{ActorId, ExperimentName, MetricKey};
use mlops_examples::azure::Azure;
use mlops_examples::narrate::{say, step};

/// What stands in for `train.py`: the loss after each of eight epochs, which ends lowest at a rate of 0.03 and five levels.
fn losses(values: &Assignment) -> Vec<f64> {
    let rate = values.float("rate").unwrap_or(1.0);
    let depth = values.int("depth").unwrap_or(0);
    let end = 0.2 + (rate / 0.03).log10().powi(2) / 4.0 + (depth - 5).abs() as f64 / 20.0;
    (1..=8).map(|epoch| end + 0.5 / f64::from(epoch)).collect()
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let azure = Azure::from_args()?;
    if let Some(fake) = azure.in_memory() {
        fake.jobs().trials(losses);
    }

    step(1, "A sweep, in core's words");
    let space =
        SearchSpace::new([("rate", Distribution::log_float(1e-4, 1.0)), ("depth", Distribution::int(2, 8))])?;
    // From the third epoch on, whoever is half as bad again as the best stops.
    let policy = Bandit::new(Slack::Factor(0.5))?
        .with_schedule(EvaluationSchedule::default().with_evaluation_interval(1).with_delay_evaluation(3));
    let spec = SweepSpec::new(
        ExperimentName::new("digits")?,
        "rate and depth",
        ActorId::new("trainer")?,
        MetricKey::new("loss")?,
        Goal::Minimize,
        space.clone(),
        SamplerSpec::Sobol(SobolOptions::default()),
    )
    .with_seed(2026)
    .with_stopping(policy)
    .with_budget(Budget::trials(24).with_concurrent(4).with_time(Duration::from_secs(3600)));

    step(2, "The same as a job of Azure's");
    let trial = Trial::new(
        "python train.py --rate ${{search_space.rate}} --depth ${{search_space.depth}}",
        "azureml:train:1",
    );
    let job = sweep_job(trial, &spec)?.on(azure.workspace.resource_id(&["computes", "cpu"])?);
    say(serde_json::to_string(&job.search_space)?);
    // What Azure has no word for is refused here, by name, before anything is sent.
    let mut anything = spec.clone();
    anything.sampler = SamplerSpec::Tpe(Default::default());
    if let Err(error) = sweep_job(Trial::new("python train.py", "azureml:train:1"), &anything) {
        say(error);
    }

    step(3, "Submitted and followed");
    let jobs = Jobs::new(azure.arm.clone(), &azure.workspace);
    let name = Jobs::new_name("digits");
    jobs.submit(&name, job).await?;
    jobs.wait_with(&name, |state| say(state)).await?;

    step(4, "Its trials");
    let trials = jobs.trials(&name).await?;
    let ended_early = trials.iter().filter(|trial| trial.status == JobStatus::Canceled).count();
    say(format_args!("{} trials, {ended_early} of them ended early", trials.len()));
    let best = jobs.best_trial(&name).await?.ok_or("a sweep that completed has a best trial")?;
    say(format_args!("the best ended with {:.4}: {}", best.score.unwrap_or(f64::NAN), best.values));
    say(format_args!("these are values of the space: {}", space.contains(&best.values)));
    Ok(())
}
