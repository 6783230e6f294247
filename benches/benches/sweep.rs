//! How well the samplers do on four functions, and what a suggestion costs. `peers/sweep.py` puts Optuna beside it.
//!
//! Lines are a name, a tab and a figure: quartiles of the best value of 80 trials over the seeds, CPU milliseconds per trial.

use std::error::Error;
use std::f64::consts::PI;
use std::time::Duration;

use mlops_benches::timed;
use mlops_core::experiment::sampler::{Goal, Observation, Outcome, Sampler, SamplerSpec, SuggestRequest};
use mlops_core::experiment::space::{Assignment, Distribution, SearchSpace};
use mlops_core::num::quantile::quantile;

const TRIALS: u64 = 80;

type Outcomes<T> = Result<T, Box<dyn Error>>;
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
    Ok(vec![
        ("branin", SearchSpace::new(plane)?, branin as Function),
        ("hartmann6", cube(6, 0.0, 1.0)?, hartmann6),
        ("rosenbrock5", cube(5, -5.0, 10.0)?, rosenbrock5),
        ("mixed", SearchSpace::new(net)?, mixed),
    ])
}

/// The best value of a sweep, and what its suggestions cost.
fn sweep(
    sampler: &dyn Sampler,
    space: &SearchSpace,
    function: Function,
    seed: u64,
) -> Outcomes<(f64, Duration)> {
    let (mut history, mut best, mut spent) = (Vec::new(), f64::INFINITY, Duration::ZERO);
    for number in 0..TRIALS {
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

fn main() -> Outcomes<()> {
    let wanted = |name: &str, default: &str| std::env::var(name).unwrap_or_else(|_| default.to_owned());
    let seeds: u64 = wanted("MLOPS_BENCH_SEEDS", "30").parse()?;
    let samplers =
        wanted("MLOPS_BENCH_SAMPLERS", r#"[["random", {"type": "random"}], ["tpe", {"type": "tpe"}]]"#);
    let samplers: Vec<(String, SamplerSpec)> = serde_json::from_str(&samplers)?;
    for (label, spec) in &samplers {
        let sampler = spec.build()?;
        for (name, space, function) in functions()? {
            let mut best = Vec::new();
            let mut spent = Duration::ZERO;
            for seed in 0..seeds {
                let (value, cost) = sweep(sampler.as_ref(), &space, function, seed)?;
                best.push(value);
                spent += cost;
            }
            for (part, share) in [("low", 0.25), ("median", 0.5), ("high", 0.75)] {
                println!("{label} {name} {part}\t{:.6}", quantile(&best, share)?);
            }
            println!("{label} {name} ms\t{:.5}", spent.as_secs_f64() * 1e3 / (seeds * TRIALS) as f64);
        }
    }
    Ok(())
}
