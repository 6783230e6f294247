//! Core's sweeps as jobs, and their trials.

use std::collections::HashSet;

use mlops_core::experiment::sampler::{Goal, SamplerSpec};
use mlops_core::experiment::space::{Assignment, ChoiceOption, Distribution, SearchSpace, Value};
use mlops_core::experiment::stopping::StoppingSpec;
use mlops_core::experiment::sweep::{AzureSweep, SweepSpec};
use mlops_core::{Error, ErrorKind, Result};
use serde::Deserialize;

use super::client::Jobs;
use crate::wire::history::LoggedRun;
use crate::wire::job::sweep::{self as wire, RandomRule, SamplingAlgorithm, SamplingType, SweepJob, Trial};
use crate::wire::job::{Job, JobStatus};

/// A sweep of core as a job of Azure's: space, sampler, seed, objective, limits and early termination. Cluster, inputs and tags are
/// added to what it returns.
///
/// The trial's command gets the values by `${{search_space.NAME}}`, and logs the metric by MLflow.
///
/// # Errors
/// [`ErrorKind::Unsupported`] that names what Azure has no word for: other samplers than random, Sobol, grid and Bayesian, other policies
/// than its three, early termination beside Bayesian sampling, limits of cost or failures, leases, values that Azure cannot draw;
/// [`ErrorKind::InvalidInput`] for a spec that does not fit itself, and a seed beyond 2³¹ − 1.
///
/// ```
/// use mlops_azure::job::sweep_job;
/// use mlops_azure::wire::job::sweep::Trial;
/// use mlops_core::experiment::sampler::{Goal, SamplerSpec, SobolOptions};
/// use mlops_core::experiment::space::{Distribution, SearchSpace};
/// use mlops_core::experiment::stopping::{Bandit, Slack};
/// use mlops_core::experiment::sweep::{Budget, SweepSpec};
/// use mlops_core::{ActorId, ExperimentName, MetricKey};
///
/// let space = SearchSpace::new([("lr", Distribution::log_float(1e-4, 1e-1)), ("depth", Distribution::int(2, 8))])?;
/// let sampler = SamplerSpec::Sobol(SobolOptions::default());
/// let spec = SweepSpec::new(ExperimentName::new("churn")?, "first", ActorId::new("ann")?, MetricKey::new("auc")?, Goal::Maximize, space, sampler)
///     .with_seed(7)
///     .with_stopping(Bandit::new(Slack::Factor(0.1))?)
///     .with_budget(Budget::trials(20).with_concurrent(4));
/// let trial = Trial::new("python t.py --lr ${{search_space.lr}} --depth ${{search_space.depth}}", "azureml:train:3");
/// let job = sweep_job(trial, &spec)?.on("/subscriptions/…/computes/cpu");
/// assert_eq!(job.search_space["depth"].0.to_string(), r#"["choice",[[2,3,4,5,6,7,8]]]"#);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn sweep_job(trial: Trial, spec: &SweepSpec) -> Result<SweepJob> {
    const OP: &str = "sweep_job";
    spec.check()?;
    if let Some(StoppingSpec::TruncationSelection(policy)) = &spec.stopping
        && policy.exclude_finished_jobs
    {
        return Err(Error::unsupported(OP, "truncation selection that leaves out trials which have ended"));
    }
    let sampling = sampling(OP, &spec.sampler, spec.seed)?;
    if sampling.sampling_algorithm_type == SamplingType::Bayesian && spec.stopping.is_some() {
        return Err(Error::unsupported(OP, "early termination beside Bayesian sampling"));
    }
    let blocks = AzureSweep::of(spec)?.to_wire()?;
    let bad = |e: serde_json::Error| {
        Error::new(ErrorKind::Internal, OP, "a block of the sweep cannot be written").with_source(e)
    };
    let block = |name: &str| blocks.get(name).filter(|block| !block.is_null());
    let (metric, goal) = (spec.metric.as_str(), goal_of(spec.goal));
    let mut job = SweepJob::new(trial, metric, goal, sampling);
    job.limits = block("limits").map(wire::SweepLimits::deserialize).transpose().map_err(bad)?;
    job.early_termination =
        block("earlyTermination").map(wire::EarlyTermination::deserialize).transpose().map_err(bad)?;
    let space = spec.space.to_azure_json().map_err(|e| {
        Error::new(ErrorKind::Unsupported, OP, "Azure has no word for what a parameter is drawn from")
            .with_source(e)
    })?;
    job.search_space = Deserialize::deserialize(space).map_err(bad)?;
    job.experiment_name = Some(spec.experiment.as_str().to_owned());
    job.display_name = Some(spec.name.clone());
    Ok(job)
}

fn goal_of(goal: Goal) -> wire::Goal {
    match goal {
        Goal::Minimize => wire::Goal::Minimize,
        Goal::Maximize => wire::Goal::Maximize,
    }
}

fn sampling(operation: &'static str, sampler: &SamplerSpec, seed: u64) -> Result<SamplingAlgorithm> {
    let of = SamplingAlgorithm::new;
    let seeded = |rule| {
        let seed = u32::try_from(seed).ok().filter(|seed| i32::try_from(*seed).is_ok());
        let bad = || Error::invalid(operation, "seed", "must be at most 2147483647, which is Azure's");
        Ok(SamplingAlgorithm {
            rule: Some(rule),
            seed: Some(seed.ok_or_else(bad)?),
            ..of(SamplingType::Random)
        })
    };
    match sampler {
        SamplerSpec::Random(_) => seeded(RandomRule::Random),
        SamplerSpec::Sobol(_) => seeded(RandomRule::Sobol),
        SamplerSpec::Grid(_) => Ok(of(SamplingType::Grid)),
        SamplerSpec::Bayesian(_) => Ok(of(SamplingType::Bayesian)),
        _ => Err(Error::unsupported(operation, "samplers other than random, Sobol, grid and Bayesian")),
    }
}

/// A trial of a sweep.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq)]
pub struct SweepTrial {
    /// The job that it is.
    pub job: String,
    /// How far it is.
    pub status: JobStatus,
    /// What it ran with.
    pub values: Assignment,
    /// The last value of the metric; `None` where it logged none.
    pub score: Option<f64>,
}

impl SweepTrial {
    fn of(run: &LoggedRun, space: &SearchSpace, metric: &str) -> Self {
        let status = match run.info.status.as_str() {
            "FINISHED" => JobStatus::Completed,
            "FAILED" => JobStatus::Failed,
            "KILLED" => JobStatus::Canceled,
            "RUNNING" => JobStatus::Running,
            "SCHEDULED" => JobStatus::NotStarted,
            other => JobStatus::Other(other.to_owned()),
        };
        let score = run.metric(metric);
        Self { job: run.info.run_id.clone(), status, values: values_of(run, space), score }
    }
}

/// The values of the parameters of a space that a run logged. What it logged besides is left out, and so is a value that no
/// parameter has.
fn values_of(run: &LoggedRun, space: &SearchSpace) -> Assignment {
    let mut values = Assignment::new();
    for (name, distribution) in space.iter() {
        let value = run.parameter(name).and_then(|text| value_of(text, distribution));
        if let Some(value) = value {
            // A name of a space is a name of an assignment; a number that is not finite is none.
            _ = values.set(name, value);
        }
    }
    values
}

/// Reads a value that was logged as text.
fn value_of(text: &str, distribution: &Distribution) -> Option<Value> {
    let parsed = serde_json::from_str::<Value>(text).ok();
    match distribution {
        Distribution::Choice { values } => {
            let plain = values.iter().filter_map(|option| match option {
                ChoiceOption::Value(value) => Some(value),
                _ => None,
            });
            let number = parsed.as_ref().and_then(Value::as_f64);
            let is = |value: &Value| {
                value.as_str() == Some(text)
                    || value.as_bool().is_some_and(|value| text.eq_ignore_ascii_case(&value.to_string()))
                    || (number.is_some() && value.as_f64() == number)
            };
            let option = plain.clone().find(|value| is(value)).cloned();
            option.or(parsed.filter(|value| value.as_table().is_some()))
        }
        Distribution::RandInt { .. } | Distribution::Int { .. } => match parsed? {
            Value::Int(value) => Some(Value::Int(value)),
            // Python may log a whole number as `3.0`.
            Value::Float(value) if value.fract() == 0.0 && value.abs() <= 2_f64.powi(53) => {
                Some(Value::Int(value as i64))
            }
            _ => None,
        },
        _ => parsed?.as_f64().map(Value::Float),
    }
}

/// What a job must be for its trials to be read.
struct Swept {
    space: SearchSpace,
    metric: String,
    goal: Goal,
    best: Option<String>,
}

impl Swept {
    fn of(operation: &'static str, name: &str, job: &Job) -> Result<Self> {
        let Job::Sweep(sweep) = job else {
            let message = "is no sweep, and has no trials";
            return Err(Error::invalid(operation, "name", message)
                .with("job", name)
                .with("type", job.job_type()));
        };
        let bad =
            |e| Error::new(ErrorKind::Protocol, operation, "the job's search space is none").with_source(e);
        let space = serde_json::to_string(&sweep.search_space).map_err(|e| bad(e.into()))?;
        let space = SearchSpace::from_azure_json(&space)
            .map_err(|e| bad(Box::<dyn std::error::Error + Send + Sync>::from(e)))?;
        let goal = match sweep.objective.goal {
            wire::Goal::Maximize => Goal::Maximize,
            _ => Goal::Minimize,
        };
        let best = job.properties().get("best_child_run_id").map(str::to_owned);
        Ok(Self { space, metric: sweep.objective.primary_metric.clone(), goal, best })
    }
}

impl Jobs {
    /// The trials of a sweep, in the order in which run history has them. Two calls, and one more for every 200 trials.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for a job that is no sweep; [`ErrorKind::NotFound`]; [`ErrorKind::Protocol`] for a list without an
    /// end.
    pub async fn trials(&self, name: &str) -> Result<Vec<SweepTrial>> {
        const OP: &str = "Jobs::trials";
        let job = self.arm.call(self.place.job(name)?.get(OP)).await?;
        let swept = Swept::of(OP, name, &job.properties)?;
        self.trials_of(OP, name, &swept).await
    }

    async fn trials_of(&self, operation: &'static str, name: &str, swept: &Swept) -> Result<Vec<SweepTrial>> {
        let history = self.history().await?;
        let run = history.call(self.calls.run(operation, name)?).await?;
        let bad = |message| Error::new(ErrorKind::Protocol, operation, message).with("job", name);
        let experiment =
            run.experiment_id.ok_or_else(|| bad("run history does not say of which experiment it is"))?;
        let (mut trials, mut token, mut seen) = (Vec::new(), None::<String>, HashSet::new());
        loop {
            let call = self.calls.children(operation, &experiment, name, token.as_deref())?;
            let page = history.call(call).await?;
            trials.extend(page.runs.iter().map(|run| SweepTrial::of(run, &swept.space, &swept.metric)));
            match page.next_page_token.filter(|token| !token.is_empty()) {
                None => return Ok(trials),
                Some(next) if seen.insert(next.clone()) => token = Some(next),
                Some(_) => return Err(bad("the list of trials has no end")),
            }
        }
    }

    /// The best trial of a sweep: the one that the service names, else the one with the best metric; `None` while no trial has one. Two
    /// calls where the service names it.
    ///
    /// # Errors
    /// As of [`trials`](Self::trials).
    pub async fn best_trial(&self, name: &str) -> Result<Option<SweepTrial>> {
        const OP: &str = "Jobs::best_trial";
        let job = self.arm.call(self.place.job(name)?.get(OP)).await?;
        let swept = Swept::of(OP, name, &job.properties)?;
        if let Some(best) = &swept.best {
            let run = self.history().await?.call(self.calls.logged(OP, best)?).await?.run;
            return Ok(Some(SweepTrial::of(&run, &swept.space, &swept.metric)));
        }
        let trials = self.trials_of(OP, name, &swept).await?;
        let best = trials.into_iter().fold(None::<SweepTrial>, |best, trial| {
            let score = |trial: &SweepTrial| trial.score.filter(|score| !score.is_nan());
            let better = match (score(&trial), best.as_ref().and_then(score)) {
                (Some(new), Some(old)) => swept.goal.is_better(new, old),
                (Some(_), None) => true,
                (None, _) => false,
            };
            if better { Some(trial) } else { best }
        });
        Ok(best)
    }
}

#[cfg(test)]
mod tests {
    use mlops_core::experiment::sampler::{BayesianOptions, GridOptions, RandomOptions, TpeOptions};
    use mlops_core::experiment::stopping::{Asha, MedianStopping};
    use mlops_core::experiment::sweep::Budget;
    use mlops_core::{ActorId, ExperimentName, MetricKey};
    use serde_json::json;

    use super::*;

    fn spec(sampler: SamplerSpec) -> SweepSpec {
        let space = SearchSpace::new([("n", Distribution::choice([16, 32]))]).unwrap();
        let (experiment, actor) = (ExperimentName::new("e").unwrap(), ActorId::new("a").unwrap());
        SweepSpec::new(experiment, "s", actor, MetricKey::new("auc").unwrap(), Goal::Minimize, space, sampler)
    }

    #[test]
    fn what_azure_has_no_word_for_is_refused() {
        let random = || spec(SamplerSpec::Random(RandomOptions::default()));
        let bayesian = || spec(SamplerSpec::Bayesian(BayesianOptions::default()));
        let kind = |spec: SweepSpec| sweep_job(Trial::new("x", "e"), &spec).unwrap_err().kind();
        for bad in [
            spec(SamplerSpec::Tpe(TpeOptions::default())),
            bayesian().with_stopping(MedianStopping::default()),
            random().with_stopping(Asha::new(1, 2).unwrap()),
            random().with_budget(Budget::trials(2).with_cost(1.0)),
        ] {
            assert_eq!(kind(bad), ErrorKind::Unsupported);
        }
        assert_eq!(kind(random().with_seed(1 << 31)), ErrorKind::InvalidInput);
        let grid = sweep_job(Trial::new("x", "e"), &spec(SamplerSpec::Grid(GridOptions::default()))).unwrap();
        assert_eq!(
            serde_json::to_value(&grid.sampling_algorithm).unwrap(),
            json!({ "samplingAlgorithmType": "Grid" })
        );
        assert_eq!(grid.objective.goal, wire::Goal::Minimize);
    }

    #[test]
    fn what_a_trial_logged_is_read_by_what_the_parameter_can_be() {
        let choice = |values: serde_json::Value| {
            let text = json!({ "x": ["choice", [values]] }).to_string();
            SearchSpace::from_azure_json(&text).unwrap().get("x").unwrap().clone()
        };
        let int = Distribution::int(0, 9);
        for (text, distribution, expected) in [
            ("0.1", Distribution::float(0.0, 1.0), Some(Value::Float(0.1))),
            ("1", Distribution::float(0.0, 1.0), Some(Value::Float(1.0))),
            ("nan", Distribution::float(0.0, 1.0), None),
            ("3", int.clone(), Some(Value::Int(3))),
            ("3.0", int.clone(), Some(Value::Int(3))),
            ("3.5", int.clone(), None),
            ("1e300", int, None),
            ("16", choice(json!([16, 32])), Some(Value::Int(16))),
            ("16.0", choice(json!([16, 32])), Some(Value::Int(16))),
            ("16", choice(json!(["16", "32"])), Some(Value::from("16"))),
            ("adam", choice(json!(["adam", "sgd"])), Some(Value::from("adam"))),
            ("True", choice(json!([true, false])), Some(Value::Bool(true))),
            ("48", choice(json!([16, 32])), None),
        ] {
            assert_eq!(value_of(text, &distribution), expected, "{text} of {distribution:?}");
        }
    }
}
