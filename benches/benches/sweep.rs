//! How well the samplers do on eight functions, and what a trial costs. `peers/sweep.py` puts Optuna beside it.
//!
//! Lines are a name, a tab and a figure: quartiles of the best value over the seeds, and CPU milliseconds per trial, of the
//! suggestion alone and of the whole engine with a journal in memory and on disk. `MLOPS_BENCH_SEEDS` says how many seeds (30),
//! `MLOPS_BENCH_TRIALS` how many trials (80), `MLOPS_BENCH_SAMPLERS` which samplers, as JSON: `[["tpe", {"type": "tpe"}]]`.

use std::f64::consts::{E, PI};
use std::sync::Arc;
use std::time::Duration;

use mlops_benches::{timed, timed_process};
use mlops_core::experiment::sampler::{
    Goal, Observation, Outcome, Sampler, SamplerSpec, SuggestRequest, TpeOptions,
};
use mlops_core::experiment::space::{Assignment, ChoiceOption, Distribution, SearchSpace};
use mlops_core::experiment::sweep::{Budget, Sweep, SweepJournal, SweepSpec, TrialError};
use mlops_core::local::LocalStore;
use mlops_core::memory::MemorySweepJournal;
use mlops_core::num::quantile::quantile;
use mlops_core::{ActorId, ExperimentName, MetricKey};

/// Seeds of the engine's sweeps: what they cost hardly varies.
const ENGINE_SEEDS: u64 = 5;

type Outcomes<T> = Result<T, TrialError>;
type Function = fn(&Assignment) -> Outcomes<f64>;

fn branin(trial: &Assignment) -> Outcomes<f64> {
    let (x, y) = (trial.float("x")?, trial.float("y")?);
    let bend = y - 5.1 / (4.0 * PI * PI) * x * x + 5.0 / PI * x - 6.0;
    Ok(bend * bend + 10.0 * (1.0 - 1.0 / (8.0 * PI)) * x.cos() + 10.0 - 0.397_887_357_729_738_16)
}

type Bump = (f64, [f64; 6], [f64; 6]);

const HARTMANN: [Bump; 4] = [
    (1.0, [10.0, 3.0, 17.0, 3.5, 1.7, 8.0], [0.1312, 0.1696, 0.5569, 0.0124, 0.8283, 0.5886]),
    (1.2, [0.05, 10.0, 17.0, 0.1, 8.0, 14.0], [0.2329, 0.4135, 0.8307, 0.3736, 0.1004, 0.9991]),
    (3.0, [3.0, 3.5, 1.7, 10.0, 17.0, 8.0], [0.2348, 0.1451, 0.3522, 0.2883, 0.3047, 0.6650]),
    (3.2, [17.0, 8.0, 0.05, 10.0, 0.1, 14.0], [0.4047, 0.8828, 0.8732, 0.5743, 0.1091, 0.0381]),
];

fn coordinates(trial: &Assignment, count: usize) -> Outcomes<Vec<f64>> {
    (0..count).map(|i| Ok(trial.float(&format!("x{i}"))?)).collect()
}

fn hartmann6(trial: &Assignment) -> Outcomes<f64> {
    let x = coordinates(trial, 6)?;
    let bump = |(height, steep, at): &Bump| {
        let far: f64 = x.iter().zip(steep.iter().zip(at)).map(|(x, (c, p))| c * (x - p) * (x - p)).sum();
        height * (-far).exp()
    };
    Ok(3.322_368_011_415_515 - HARTMANN.iter().map(bump).sum::<f64>())
}

fn rosenbrock5(trial: &Assignment) -> Outcomes<f64> {
    let x = coordinates(trial, 5)?;
    let step = |pair: &[f64]| 100.0 * (pair[1] - pair[0] * pair[0]).powi(2) + (1.0 - pair[0]).powi(2);
    Ok(x.windows(2).map(step).sum())
}

fn mixed(trial: &Assignment) -> Outcomes<f64> {
    let cost = match trial.text("kind")? {
        "a" => 0.1,
        "b" => 0.0,
        "c" => 0.05,
        _ => 0.3,
    };
    let (rate, layers, dropout) = (trial.float("rate")?, trial.float("layers")?, trial.float("dropout")?);
    let bowl = 0.1 * (rate.log10() + 2.5).powi(2) + 0.02 * (layers - 5.0).powi(2) + (dropout - 0.3).powi(2);
    Ok(bowl + cost)
}

fn ackley5(trial: &Assignment) -> Outcomes<f64> {
    let x = coordinates(trial, 5)?;
    let mean = |f: fn(&f64) -> f64| x.iter().map(f).sum::<f64>() / 5.0;
    let (far, wave) = (mean(|x| x * x).sqrt(), mean(|x| (2.0 * PI * x).cos()));
    Ok(20.0 - 20.0 * (-0.2 * far).exp() + E - wave.exp())
}

fn levy4(trial: &Assignment) -> Outcomes<f64> {
    let w: Vec<f64> = coordinates(trial, 4)?.iter().map(|x| 1.0 + (x - 1.0) / 4.0).collect();
    let hill = |w: &f64| (w - 1.0).powi(2) * (1.0 + 10.0 * (PI * w + 1.0).sin().powi(2));
    let last = (w[3] - 1.0).powi(2) * (1.0 + (2.0 * PI * w[3]).sin().powi(2));
    Ok((PI * w[0]).sin().powi(2) + w[..3].iter().map(hill).sum::<f64>() + last)
}

fn styblinski_tang4(trial: &Assignment) -> Outcomes<f64> {
    let well = |x: &f64| 0.5 * (x.powi(4) - 16.0 * x * x + 5.0 * x) + 39.166_165_703_771_42;
    Ok(coordinates(trial, 4)?.iter().map(well).sum())
}

/// Three kinds of model, each with parameters of its own.
fn conditional(trial: &Assignment) -> Outcomes<f64> {
    let log = |name: &str| Ok::<f64, TrialError>(trial.float(name)?.log10());
    let scale = 0.1 * (trial.float("scale")? - 0.25).powi(2);
    Ok(scale
        + match trial.text("model.kind")? {
            "svm" => {
                0.05 + 0.08 * (log("model.c")? - 1.0).powi(2) + 0.05 * (log("model.gamma")? + 2.0).powi(2)
            }
            "forest" => {
                let (depth, share) = (trial.float("model.depth")?, trial.float("model.share")?);
                0.005 * (depth - 8.0).powi(2) + (share - 0.6).powi(2)
            }
            _ => 0.2 + 0.02 * log("model.penalty")?.powi(2),
        })
}

fn models() -> Outcomes<Vec<ChoiceOption>> {
    let kind = |name: &str| ("kind", Distribution::fixed(name));
    let svm = [
        kind("svm"),
        ("c", Distribution::log_float(1e-3, 1e3)),
        ("gamma", Distribution::log_float(1e-4, 10.0)),
    ];
    let forest =
        [kind("forest"), ("depth", Distribution::int(1, 16)), ("share", Distribution::float(0.1, 1.0))];
    let linear = [kind("linear"), ("penalty", Distribution::log_float(1e-5, 1e2))];
    Ok(vec![
        SearchSpace::new(svm)?.into(),
        SearchSpace::new(forest)?.into(),
        SearchSpace::new(linear)?.into(),
    ])
}

fn cube(count: usize, low: f64, high: f64) -> Outcomes<SearchSpace> {
    Ok(SearchSpace::new((0..count).map(|i| (format!("x{i}"), Distribution::float(low, high))))?)
}

fn functions() -> Outcomes<Vec<(&'static str, SearchSpace, Function)>> {
    let plane = [("x", Distribution::float(-5.0, 10.0)), ("y", Distribution::float(0.0, 15.0))];
    let net = [
        ("rate", Distribution::log_float(1e-5, 1.0)),
        ("layers", Distribution::int(1, 12)),
        ("kind", Distribution::choice(["a", "b", "c", "d"])),
        ("dropout", Distribution::float(0.0, 0.9)),
    ];
    let conditionals = [("model", Distribution::choice(models()?)), ("scale", Distribution::float(0.0, 1.0))];
    Ok(vec![
        ("branin", SearchSpace::new(plane)?, branin as Function),
        ("hartmann6", cube(6, 0.0, 1.0)?, hartmann6),
        ("rosenbrock5", cube(5, -5.0, 10.0)?, rosenbrock5),
        ("mixed", SearchSpace::new(net)?, mixed),
        ("ackley5", cube(5, -15.0, 30.0)?, ackley5),
        ("levy4", cube(4, -10.0, 10.0)?, levy4),
        ("styblinski_tang4", cube(4, -5.0, 5.0)?, styblinski_tang4),
        ("conditional", SearchSpace::new(conditionals)?, conditional),
    ])
}

/// The best value of a sweep, and what its suggestions cost.
fn sweep(
    sampler: &dyn Sampler,
    space: &SearchSpace,
    function: Function,
    seed: u64,
    trials: u64,
) -> Outcomes<(f64, Duration)> {
    let (mut history, mut best, mut spent) = (Vec::new(), f64::INFINITY, Duration::ZERO);
    for number in 0..trials {
        let request =
            SuggestRequest::new(space, Goal::Minimize, seed).with_number(number).with_history(&history);
        let (suggestion, cost) = timed(|| sampler.suggest(&request));
        spent += cost;
        let Some(trial) = suggestion?.into_assignment() else { break };
        let value = function(&trial)?;
        best = best.min(value);
        history.push(Observation::new(number, trial, Outcome::Completed { value }));
    }
    Ok((best, spent))
}

/// What a sweep costs as a whole: suggestions, the state, the tasks, the journal.
fn engine(
    space: &SearchSpace,
    function: Function,
    trials: u64,
    journal: impl Fn(u64) -> Outcomes<Arc<dyn SweepJournal>>,
) -> Outcomes<Duration> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let mut spent = Duration::ZERO;
    for seed in 0..ENGINE_SEEDS {
        let spec = SweepSpec::new(
            ExperimentName::new("bench")?,
            format!("sweep {seed}"),
            ActorId::new("bench")?,
            MetricKey::new("value")?,
            Goal::Minimize,
            space.clone(),
            SamplerSpec::Tpe(TpeOptions::default()),
        );
        let spec = spec.with_seed(seed).with_budget(Budget::trials(trials));
        let sweep = Sweep::new(spec, journal(seed)?)?;
        let objective = move |trial: mlops_core::experiment::sweep::TrialContext| async move {
            function(trial.assignment())
        };
        let (summary, cost) = timed_process(|| runtime.block_on(sweep.run(objective)));
        assert_eq!(summary?.trials.completed, trials);
        spent += cost;
    }
    Ok(spent)
}

fn number(name: &str, default: u64) -> Outcomes<u64> {
    Ok(std::env::var(name).map_or(Ok(default), |text| text.parse())?)
}

fn main() -> Outcomes<()> {
    let (seeds, trials) = (number("MLOPS_BENCH_SEEDS", 30)?, number("MLOPS_BENCH_TRIALS", 80)?);
    let samplers = std::env::var("MLOPS_BENCH_SAMPLERS")
        .unwrap_or_else(|_| r#"[["random", {"type": "random"}], ["tpe", {"type": "tpe"}]]"#.to_owned());
    let samplers: Vec<(String, SamplerSpec)> = serde_json::from_str(&samplers)?;
    for (label, spec) in &samplers {
        let sampler = spec.build()?;
        for (name, space, function) in functions()? {
            if sampler.check(&space).is_err() {
                continue;
            }
            let mut best = Vec::new();
            let mut spent = Duration::ZERO;
            for seed in 0..seeds {
                let (value, cost) = sweep(sampler.as_ref(), &space, function, seed, trials)?;
                best.push(value);
                spent += cost;
            }
            for (part, share) in [("low", 0.25), ("median", 0.5), ("high", 0.75)] {
                println!("{label} {name} {part}\t{:.6}", quantile(&best, share)?);
            }
            println!("{label} {name} ms\t{:.5}", spent.as_secs_f64() * 1e3 / (seeds * trials) as f64);
        }
    }
    let folder = tempfile::tempdir()?;
    for (name, space, function) in functions()? {
        let memory = engine(&space, function, trials, |_| Ok(Arc::new(MemorySweepJournal::default())))?;
        // Each function has a folder of its own, for the names of sweeps are the same.
        let home = folder.path().join(name);
        std::fs::create_dir(&home)?;
        let local = LocalStore::open(home)?;
        let disk = engine(&space, function, trials, |_| Ok(Arc::new(local.sweeps())))?;
        for (journal, spent) in [("memory", memory), ("disk", disk)] {
            let each = spent.as_secs_f64() * 1e3 / (ENGINE_SEEDS * trials) as f64;
            println!("{journal} {name} ms\t{each:.5}");
        }
    }
    Ok(())
}
