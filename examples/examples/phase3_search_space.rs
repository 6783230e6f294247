//! Phase 3: what to try next, from a search space and what earlier trials showed.
//!
//! `cargo run -p mlops-examples --example phase3_search_space`

use std::error::Error;

use mlops_core::experiment::sampler::{
    AzureSampling, Goal, GridSampler, Observation, Outcome, Sampler, SamplerSpec, SuggestRequest,
};
use mlops_core::experiment::space::{Assignment, SearchSpace};
use mlops_examples::narrate::{say, step};

/// Which model, and its parameters: those of one that is not chosen do not exist.
const SPACE: &str = r#"
l2 = { type = "float", low = 1e-6, high = 1.0, log = true }

[model]
type = "choice"
values = [
    { kind = "linear" },
    { kind = "trees", depth = { type = "int", low = 1, high = 12 }, rate = { type = "float", low = 0.01, high = 0.5, log = true } },
]
"#;

/// A sweep job's space and sampling as Azure ML has them.
const AZURE: &str = "
lr: {type: loguniform, min_value: -3, max_value: -1}
batch: {type: choice, values: [16, 32, 64]}
";

fn main() -> Result<(), Box<dyn Error>> {
    // A file is checked as it is read; what is wrong has its line.
    step(1, "A search space in a file");
    let space = SearchSpace::from_toml(SPACE)?;
    say(format!("parameters {}", space.paths().join(", ")));
    let wrong = SPACE.replace("high = 12", "hihg = 12");
    if let Err(error) = SearchSpace::from_toml(&wrong) {
        say(format!("a slip     {}", error.message()));
    }

    // A suggestion depends on the seed, the number of the trial and the trials before, and on nothing else: a sweep that was
    // killed goes on as if it had not been.
    step(2, "Three samplers, 60 trials each");
    let mut best = Vec::new();
    for text in [r#"{"type": "random"}"#, r#"{"type": "sobol"}"#, r#"{"type": "tpe"}"#] {
        let sampler = serde_json::from_str::<SamplerSpec>(text)?.build()?;
        let history = sweep(sampler.as_ref(), &space, 60)?;
        let found = history.iter().filter_map(|trial| Some((value(trial)?, &trial.assignment)));
        let (loss, assignment) = found.min_by(|a, b| a.0.total_cmp(&b.0)).ok_or("no trial ended")?;
        say(format!("{:7} {loss:.4} with {assignment}", sampler.name()));
        best.push(loss);
    }
    let [random, _, tpe] = best.as_slice() else { return Err("three samplers".into()) };
    if tpe > random {
        return Err("a model of the trials should do better than chance".into());
    }

    // The same on this machine as in the cloud. Azure's bounds are logarithms, here to base 10.
    step(3, "Azure ML's notations");
    let sampling: AzureSampling =
        serde_json::from_str(r#"{"type": "random", "rule": "sobol", "seed": 7, "logbase": 10}"#)?;
    let azure = SearchSpace::from_azure_yaml(AZURE)?;
    say(format!("wire form {}", azure.to_azure_json()?));
    let here = azure.with_log_base(sampling.log_base().unwrap_or(std::f64::consts::E))?;
    let sampler = sampling.spec().build()?;
    for number in 0..3 {
        let request =
            SuggestRequest::new(&here, Goal::Maximize, sampling.seed().unwrap_or(0)).with_number(number);
        let trial = sampler.suggest(&request)?.into_assignment().ok_or("never exhausted")?;
        say(format!("trial {number}   {trial}"));
    }

    // A grid knows how many trials it is before the first one runs, and takes what has no end for a mistake.
    step(4, "A grid");
    let grid = GridSampler::default();
    let choices = SearchSpace::from_json(
        r#"{"depth": {"type": "choice", "values": [3, 5, 7]}, "kind": {"type": "choice", "values": ["gbdt", "dart"]}}"#,
    )?;
    say(format!("{} combinations", grid.count(&choices)?));
    if let Err(error) = grid.check(&here) {
        say(error.to_string());
    }
    Ok(())
}

/// Asks, tries, tells.
fn sweep(
    sampler: &dyn Sampler,
    space: &SearchSpace,
    trials: u64,
) -> Result<Vec<Observation>, Box<dyn Error>> {
    let mut history = Vec::new();
    for number in 0..trials {
        let request =
            SuggestRequest::new(space, Goal::Minimize, 7).with_number(number).with_history(&history);
        let Some(trial) = sampler.suggest(&request)?.into_assignment() else { break };
        let value = loss(&trial)?;
        history.push(Observation::new(number, trial, Outcome::Completed { value }));
    }
    Ok(history)
}

/// In place of training: trees of depth 6 learnt at a rate of 0.1 are best, whatever the penalty is near 0.001.
fn loss(trial: &Assignment) -> Result<f64, Box<dyn Error>> {
    let penalty = 0.01 * (trial.float("l2")?.log10() + 3.0).powi(2);
    Ok(penalty
        + match trial.text("model.kind")? {
            "linear" => 0.3,
            _ => {
                let (depth, rate) = (trial.float("model.depth")?, trial.float("model.rate")?);
                0.1 + 0.01 * (depth - 6.0).powi(2) + 0.1 * (rate.log10() + 1.0).powi(2)
            }
        })
}

fn value(trial: &Observation) -> Option<f64> {
    if let Outcome::Completed { value } = trial.outcome { Some(value) } else { None }
}
