//! Samplers: what every one promises, the laws they draw from, and what they learn.

use std::collections::HashSet;
use std::sync::Arc;

use mlops_core::experiment::sampler::{
    AzureSampling, Goal, GpOptions, GridOptions, GridSampler, Observation, Outcome, Sampler, SamplerError,
    SamplerSpec, SuggestRequest, Suggestion, TpeOptions, TpeSampler, WidthFloor,
};
use mlops_core::experiment::space::{Assignment, ChoiceOption, Distribution, SearchSpace, Value};
use mlops_core::num::Random;

fn sampler(text: &str) -> Arc<dyn Sampler> {
    serde_json::from_str::<SamplerSpec>(text).unwrap().build().unwrap()
}

fn suggest(sampler: &dyn Sampler, request: &SuggestRequest<'_>) -> Assignment {
    sampler.suggest(request).unwrap().into_assignment().unwrap()
}

fn space(law: Distribution) -> SearchSpace {
    SearchSpace::new([("p", law)]).unwrap()
}

/// One distribution of every kind.
fn every_law() -> Vec<(&'static str, Distribution)> {
    vec![
        ("choice", Distribution::choice(["a", "b", "c"])),
        ("fixed", Distribution::fixed(3)),
        ("float", Distribution::float(-2.0, 5.0)),
        ("float_log", Distribution::log_float(1e-4, 10.0)),
        ("float_same", Distribution::float(2.5, 2.5)),
        ("float_step", Distribution::Float { low: 0.1, high: 0.75, step: Some(0.2), log: false }),
        ("int", Distribution::int(-3, 4)),
        ("int_log", Distribution::log_int(1, 300)),
        ("int_same", Distribution::int(7, 7)),
        ("int_step", Distribution::Int { low: 0, high: 11, step: 3, log: false }),
        ("lognormal", Distribution::LogNormal { mu: 0.0, sigma: 0.5 }),
        ("loguniform", Distribution::LogUniform { min: -6.0, max: -1.0 }),
        ("normal", Distribution::Normal { mu: 3.0, sigma: 2.0 }),
        ("qlognormal", Distribution::QLogNormal { mu: 1.0, sigma: 0.5, q: 0.5 }),
        ("qloguniform", Distribution::QLogUniform { min: -1.0, max: 3.0, q: 2.0 }),
        ("qnormal", Distribution::QNormal { mu: 0.0, sigma: 2.0, q: 0.5 }),
        ("quniform", Distribution::QUniform { min: 0.3, max: 4.6, q: 0.5 }),
        ("randint", Distribution::RandInt { upper: 6 }),
        ("single", Distribution::choice(["only"])),
        ("uniform", Distribution::Uniform { min: 0.0, max: 1.0 }),
    ]
}

fn models() -> SearchSpace {
    let svm =
        SearchSpace::new([("kind", Distribution::fixed("svm")), ("c", Distribution::log_float(1e-3, 1e3))]);
    let tree = SearchSpace::new([("kind", Distribution::fixed("tree")), ("depth", Distribution::int(1, 9))]);
    let options: [ChoiceOption; 3] = [svm.unwrap().into(), tree.unwrap().into(), "mean".into()];
    SearchSpace::new([("model", Distribution::choice(options)), ("x", Distribution::float(0.0, 1.0))])
        .unwrap()
}

/// A history with everything in it that can come: values that are none, other spaces, numbers twice.
fn hostile(space: &SearchSpace, random: &dyn Sampler) -> Vec<Observation> {
    let draw =
        |number: u64| suggest(random, &SuggestRequest::new(space, Goal::Minimize, 99).with_number(number));
    let mut history = Vec::new();
    for number in 0..40 {
        let value = (number as f64 * 0.7).sin();
        let outcome = match number % 8 {
            0 => Outcome::Failed,
            1 => Outcome::Completed { value: f64::NAN },
            2 => Outcome::Completed { value: f64::INFINITY },
            3 => Outcome::Completed { value: f64::NEG_INFINITY },
            4 => Outcome::Pruned { value: Some(value), step: number },
            5 => Outcome::Pruned { value: None, step: 0 },
            6 => Outcome::Running,
            _ => Outcome::Completed { value: f64::MAX * value },
        };
        history.push(Observation::new(number, draw(number), outcome));
    }
    for number in 40..60 {
        history.push(Observation::new(number, draw(number), Outcome::Completed { value: number as f64 }));
    }
    let foreign = Assignment::new().with("elsewhere", 1).unwrap();
    history.push(Observation::new(60, foreign, Outcome::Completed { value: -1e9 }));
    history.push(Observation::new(61, Assignment::new(), Outcome::Completed { value: -1e9 }));
    history.push(Observation::new(5, draw(5), Outcome::Completed { value: 1.0 }));
    history
}

#[test]
fn every_sampler_suggests_what_is_in_the_space_whatever_the_history_says() {
    let all = SearchSpace::new(every_law()).unwrap();
    let few = SearchSpace::new(every_law().into_iter().filter(|(name, _)| !name.starts_with('q'))).unwrap();
    let plain = SearchSpace::new([
        ("c", Distribution::choice(["a", "b"])),
        ("q", Distribution::QUniform { min: 0.3, max: 4.6, q: 0.5 }),
        ("u", Distribution::Uniform { min: 0.0, max: 1.0 }),
    ])
    .unwrap();
    let random = sampler(r#"{"type": "random"}"#);
    for (text, spaces) in [
        (r#"{"type": "random"}"#, vec![&all, &plain]),
        (r#"{"type": "sobol"}"#, vec![&all, &plain]),
        (r#"{"type": "tpe"}"#, vec![&all, &plain]),
        (r#"{"type": "tpe", "width_floor": "kernels", "constant_liar": false}"#, vec![&all]),
        (r#"{"type": "gp"}"#, vec![&few, &plain]),
        (r#"{"type": "bayesian"}"#, vec![&plain]),
    ] {
        let sampler = sampler(text);
        for space in spaces {
            sampler.check(space).unwrap();
            let history = hostile(space, random.as_ref());
            for goal in [Goal::Minimize, Goal::Maximize] {
                // A Gaussian process costs more than the others together.
                let dear = text.contains("gp") || text.contains("bayesian");
                for number in if dear { vec![u64::MAX] } else { vec![0, 62, 63, u64::MAX] } {
                    let request =
                        SuggestRequest::new(space, goal, 5).with_number(number).with_history(&history);
                    let first = suggest(sampler.as_ref(), &request);
                    assert_eq!(space.check(&first), Ok(()), "{text}: {first}");
                    assert_eq!(first.digest(), suggest(sampler.as_ref(), &request).digest(), "{text}");
                }
            }
        }
    }
}

#[test]
fn conditional_parameters_come_with_their_option_and_only_with_it() {
    let space = models();
    let random = sampler(r#"{"type": "random"}"#);
    for text in [r#"{"type": "random"}"#, r#"{"type": "sobol"}"#, r#"{"type": "tpe"}"#] {
        let sampler = sampler(text);
        let mut seen = HashSet::new();
        let history = hostile(&space, random.as_ref());
        for number in 0..60 {
            let none = SuggestRequest::new(&space, Goal::Minimize, 1).with_number(number);
            for request in [none, none.with_number(100 + number).with_history(&history)] {
                let trial = suggest(sampler.as_ref(), &request);
                assert_eq!(space.check(&trial), Ok(()), "{text}: {trial}");
                seen.insert(trial.text("model.kind").unwrap_or("mean").to_owned());
            }
        }
        assert_eq!(seen.len(), 3, "{text}");
    }
}

#[test]
fn the_order_of_the_history_does_not_count() {
    let space = SearchSpace::new([
        ("c", Distribution::choice(["a", "b"])),
        ("n", Distribution::int(1, 20)),
        ("x", Distribution::float(0.0, 1.0)),
    ])
    .unwrap();
    let random = sampler(r#"{"type": "random"}"#);
    let mut history = hostile(&space, random.as_ref());
    history.pop();
    for text in [r#"{"type": "tpe"}"#, r#"{"type": "gp"}"#, r#"{"type": "gp", "max_trials": 10}"#] {
        let sampler = sampler(text);
        let ask = |history: &[Observation]| {
            suggest(
                sampler.as_ref(),
                &SuggestRequest::new(&space, Goal::Minimize, 3).with_number(90).with_history(history),
            )
        };
        let expected = ask(&history);
        for seed in 0..2 {
            let mut shuffled = history.clone();
            Random::new(seed).shuffle(&mut shuffled);
            assert_eq!(ask(&shuffled), expected, "{text}");
        }
        // The trial asked for says nothing about itself.
        let mut own = history.clone();
        own.push(Observation::new(90, expected.clone(), Outcome::Completed { value: -1e12 }));
        assert_eq!(ask(&own), expected, "{text}");
    }
}

#[test]
fn another_seed_or_number_is_another_draw() {
    let space = space(Distribution::float(0.0, 1.0));
    for text in [r#"{"type": "random"}"#, r#"{"type": "sobol"}"#, r#"{"type": "tpe"}"#, r#"{"type": "gp"}"#] {
        let sampler = sampler(text);
        let mut seen = HashSet::new();
        for seed in 0..20 {
            for number in 0..9 {
                let request = SuggestRequest::new(&space, Goal::Minimize, seed).with_number(number);
                assert!(seen.insert(suggest(sampler.as_ref(), &request).digest()), "{text} {seed} {number}");
            }
        }
    }
}

/// The values of a single parameter over many trials.
fn draws(text: &str, law: &Distribution, count: u64) -> Vec<Value> {
    let (sampler, space) = (sampler(text), space(law.clone()));
    let draw = |number| {
        let request = SuggestRequest::new(&space, Goal::Minimize, 2026).with_number(number);
        suggest(sampler.as_ref(), &request).get("p").unwrap().clone()
    };
    (0..count).map(draw).collect()
}

/// The greatest distance between the empirical and the given distribution function.
fn kolmogorov(mut values: Vec<f64>, cdf: impl Fn(f64) -> f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let n = values.len() as f64;
    let distance = |(i, x): (usize, &f64)| {
        let p = cdf(*x);
        (p - i as f64 / n).abs().max(((i + 1) as f64 / n - p).abs())
    };
    values.iter().enumerate().map(distance).fold(0.0, f64::max)
}

fn normal_cdf(z: f64) -> f64 {
    mlops_core::num::special::ln_normal_sf(-z).exp()
}

/// 4 000 draws of each law. For random draws the distance stays below 1.95/√n with a probability of 0.999; Sobol's points are far
/// more even than chance: below 0.002 here.
#[test]
fn continuous_laws_are_what_they_are_called() {
    type Cdf = fn(f64) -> f64;
    let cases: [(Distribution, Cdf); 6] = [
        (Distribution::Uniform { min: -1.0, max: 3.0 }, |x| (x + 1.0) / 4.0),
        (Distribution::LogUniform { min: -2.0, max: 1.0 }, |x| (x.ln() + 2.0) / 3.0),
        (Distribution::Normal { mu: 3.0, sigma: 2.0 }, |x| normal_cdf((x - 3.0) / 2.0)),
        (Distribution::LogNormal { mu: 1.0, sigma: 0.5 }, |x| normal_cdf((x.ln() - 1.0) / 0.5)),
        (Distribution::float(2.0, 6.0), |x| (x - 2.0) / 4.0),
        (Distribution::log_float(1e-4, 1.0), |x| 1.0 + x.log10() / 4.0),
    ];
    for (law, cdf) in cases {
        for (text, most) in
            [(r#"{"type": "random"}"#, 1.95 / 4000_f64.sqrt()), (r#"{"type": "sobol"}"#, 0.002)]
        {
            let values = draws(text, &law, 4_000).iter().map(|v| v.as_f64().unwrap()).collect();
            let distance = kolmogorov(values, cdf);
            assert!(distance < most, "{law:?} {text}: {distance}");
        }
    }
}

/// Pearson's χ² of 6 000 draws against the exact masses; the bound is the 0.999 quantile of the law with 11 degrees of freedom, more
/// than any of these has.
#[test]
fn laws_on_a_grid_have_the_masses_of_what_rounds_to_them() {
    let normal = |from: f64, to: f64| normal_cdf(to) - normal_cdf(from);
    let log_int = |n: f64| ((n + 0.5) / (n - 0.5)).ln() / (5.5_f64 / 0.5).ln();
    let cases: Vec<(Distribution, Vec<(f64, f64)>)> = vec![
        (Distribution::RandInt { upper: 4 }, (0..4).map(|n| (f64::from(n), 0.25)).collect()),
        // The ends have what lies within the bounds: [0.3, 0.75) rounds to 0.5.
        (
            Distribution::QUniform { min: 0.3, max: 2.0, q: 0.5 },
            vec![(0.5, 0.45 / 1.7), (1.0, 0.5 / 1.7), (1.5, 0.5 / 1.7), (2.0, 0.25 / 1.7)],
        ),
        (
            Distribution::QLogUniform { min: 0.0, max: 4_f64.ln(), q: 2.0 },
            vec![(2.0, 3_f64.ln() / 4_f64.ln()), (4.0, 1.0 - 3_f64.ln() / 4_f64.ln())],
        ),
        (
            Distribution::QNormal { mu: 0.0, sigma: 0.4, q: 1.0 },
            vec![(-1.0, normal(-3.75, -1.25)), (0.0, normal(-1.25, 1.25)), (1.0, normal(1.25, 3.75))],
        ),
        (
            Distribution::Int { low: 1, high: 8, step: 3, log: false },
            vec![(1.0, 1.0 / 3.0), (4.0, 1.0 / 3.0), (7.0, 1.0 / 3.0)],
        ),
        (Distribution::log_int(1, 5), (1..=5).map(|n| (f64::from(n), log_int(f64::from(n)))).collect()),
        (
            Distribution::Float { low: 0.0, high: 0.3, step: Some(0.1), log: false },
            vec![(0.0, 0.25), (0.1, 0.25), (0.2, 0.25), (0.3, 0.25)],
        ),
    ];
    for (law, masses) in cases {
        for text in [r#"{"type": "random"}"#, r#"{"type": "sobol"}"#] {
            let values: Vec<f64> = draws(text, &law, 6_000).iter().map(|v| v.as_f64().unwrap()).collect();
            let near = |a: f64, b: f64| (a - b).abs() < 1e-9;
            assert!(
                values.iter().all(|v| masses.iter().any(|(m, _)| near(*v, *m))
                    || matches!(law, Distribution::QNormal { .. }))
            );
            let chi2: f64 = masses
                .iter()
                .map(|(value, mass)| {
                    let count = values.iter().filter(|v| near(**v, *value)).count() as f64;
                    (count - 6_000.0 * mass).powi(2) / (6_000.0 * mass)
                })
                .sum();
            assert!(chi2 < 31.3, "{law:?} {text}: {chi2}");
        }
    }
    let words = draws(r#"{"type": "random"}"#, &Distribution::choice(["a", "b", "c", "d"]), 6_000);
    for word in ["a", "b", "c", "d"] {
        let count = words.iter().filter(|v| v.as_str() == Some(word)).count();
        // 1500 ± 4 standard deviations of 33.5.
        assert!(count.abs_diff(1_500) < 134, "{word}: {count}");
    }
}

#[test]
fn a_parameter_draws_the_same_whatever_stands_beside_it() {
    let law = Distribution::float(0.0, 1.0);
    let alone = SearchSpace::new([("p", law.clone())]).unwrap();
    let beside =
        SearchSpace::new([("a", Distribution::int(0, 9)), ("p", law), ("z", Distribution::int(0, 9))])
            .unwrap();
    let random = sampler(r#"{"type": "random"}"#);
    let p =
        |space| suggest(random.as_ref(), &SuggestRequest::new(space, Goal::Minimize, 4)).float("p").unwrap();
    assert_eq!(p(&alone), p(&beside));
}

#[test]
fn sobol_takes_every_part_of_every_range_once_and_goes_on_after_its_end() {
    let laws: Vec<(String, Distribution)> =
        (0..300).map(|i| (format!("p{i:03}"), Distribution::float(0.0, 64.0))).collect();
    let space = SearchSpace::new(laws).unwrap();
    let sobol = sampler(r#"{"type": "sobol"}"#);
    for first in [0, 128, 1 << 16] {
        let mut parts: Vec<HashSet<String>> = vec![HashSet::new(); space.len()];
        for number in first..first + 64 {
            let trial =
                suggest(sobol.as_ref(), &SuggestRequest::new(&space, Goal::Minimize, 8).with_number(number));
            for (set, (_, value)) in parts.iter_mut().zip(trial.iter()) {
                set.insert(value.as_f64().unwrap().floor().to_string());
            }
        }
        assert!(parts.iter().all(|set| set.len() == 64), "from {first}");
    }
}

#[test]
fn a_grid_has_every_combination_once() {
    let space = models();
    let grid = GridSampler::new(GridOptions::default().with_quantised(true));
    assert!(
        matches!(grid.count(&space), Err(SamplerError::Unsupported { parameter, .. }) if parameter == "c")
    );
    let tree = SearchSpace::new([("kind", Distribution::fixed("tree")), ("depth", Distribution::int(1, 9))])
        .unwrap();
    let options: [ChoiceOption; 3] = [tree.into(), "mean".into(), "none".into()];
    let space = SearchSpace::new([
        ("a", Distribution::choice([true, false])),
        ("model", Distribution::choice(options)),
        ("q", Distribution::QUniform { min: 0.0, max: 1.0, q: 0.25 }),
        ("step", Distribution::Float { low: 0.1, high: 0.3, step: Some(0.1), log: false }),
    ])
    .unwrap();
    assert_eq!(grid.count(&space).unwrap(), 2 * (9 + 1 + 1) * 5 * 3);
    let request = SuggestRequest::new(&space, Goal::Minimize, 0);
    let mut seen = HashSet::new();
    for number in 0..330 {
        let trial = suggest(&grid, &request.with_number(number));
        assert_eq!(space.check(&trial), Ok(()), "{trial}");
        assert!(seen.insert(trial.digest()), "{trial}");
    }
    assert_eq!(grid.suggest(&request.with_number(330)).unwrap(), Suggestion::Exhausted);
    assert_eq!(grid.suggest(&request.with_number(u64::MAX)).unwrap(), Suggestion::Exhausted);
    let error = GridSampler::default().check(&space).unwrap_err();
    assert!(error.to_string().contains("`depth` cannot be sampled by `grid`"), "{error}");
}

#[test]
fn a_grid_beyond_all_numbers_is_counted_and_not_laid_out() {
    let digits = || Distribution::choice(0..10);
    let many = SearchSpace::new((0..60).map(|i| (format!("p{i:02}"), digits()))).unwrap();
    let grid = GridSampler::default();
    assert_eq!(grid.count(&many).unwrap(), u128::MAX);
    let trial = suggest(&grid, &SuggestRequest::new(&many, Goal::Minimize, 0).with_number(9_876_543_210));
    assert_eq!((trial.int("p59"), trial.int("p50"), trial.int("p49")), (Ok(0), Ok(9), Ok(0)));
}

/// A sweep of a sampler over a function.
fn sweep(
    sampler: &dyn Sampler,
    space: &SearchSpace,
    seed: u64,
    trials: u64,
    f: impl Fn(&Assignment) -> f64,
) -> Vec<Observation> {
    let mut history: Vec<Observation> = Vec::new();
    for number in 0..trials {
        let request =
            SuggestRequest::new(space, Goal::Minimize, seed).with_number(number).with_history(&history);
        let trial = suggest(sampler, &request);
        let value = f(&trial);
        history.push(Observation::new(number, trial, Outcome::Completed { value }));
    }
    history
}

fn best(history: &[Observation]) -> f64 {
    let value =
        |o: &Observation| if let Outcome::Completed { value } = o.outcome { value } else { f64::INFINITY };
    history.iter().map(value).fold(f64::INFINITY, f64::min)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Medians over 5 seeds: chance finds about 0.07 here.
#[test]
fn models_find_better_values_than_chance_in_a_mixed_space() {
    let space = SearchSpace::new([
        ("dropout", Distribution::float(0.0, 0.9)),
        ("kind", Distribution::choice(["a", "b", "c", "d"])),
        ("layers", Distribution::int(1, 12)),
        ("rate", Distribution::log_float(1e-5, 1.0)),
    ])
    .unwrap();
    let f = |t: &Assignment| {
        let cost = if t.text("kind") == Ok("b") { 0.0 } else { 0.1 };
        let (layers, rate) = (t.float("layers").unwrap(), t.float("rate").unwrap().log10());
        0.1 * (rate + 2.5).powi(2)
            + 0.02 * (layers - 5.0).powi(2)
            + (t.float("dropout").unwrap() - 0.3).powi(2)
            + cost
    };
    let found = |text: &str, trials: u64| {
        let sampler = sampler(text);
        median((0..5).map(|seed| best(&sweep(sampler.as_ref(), &space, seed, trials, f))).collect())
    };
    let chance = found(r#"{"type": "random"}"#, 60);
    let tpe = found(r#"{"type": "tpe"}"#, 60);
    let gp = found(r#"{"type": "gp"}"#, 20);
    assert!(tpe < 0.3 * chance, "{tpe} against {chance}");
    assert!(gp < 0.3 * chance, "{gp} against {chance}");
}

#[test]
fn parameters_under_a_condition_are_learnt_by_the_trials_that_had_them() {
    let space = models();
    let f = |t: &Assignment| match t.text("model.kind") {
        Ok("svm") => 0.2 + (t.float("model.c").unwrap().log10() - 1.0).powi(2),
        Ok(_) => 0.1 * (t.float("model.depth").unwrap() - 6.0).powi(2),
        Err(_) => 1.0,
    };
    let history = sweep(&TpeSampler::default(), &space, 11, 80, f);
    let late = || history.iter().skip(50);
    let trees = late().filter(|o| o.assignment.text("model.kind") == Ok("tree")).count();
    let six = late().filter(|o| o.assignment.int("model.depth").is_ok_and(|d| (5..=7).contains(&d))).count();
    assert!(trees >= 18 && six >= 15, "{trees} trees, {six} of them about six deep");
}

#[test]
fn the_goal_turns_the_search_round() {
    let space = space(Distribution::float(0.0, 1.0));
    for (goal, wanted) in [(Goal::Minimize, 0.0), (Goal::Maximize, 1.0)] {
        let mut history: Vec<Observation> = Vec::new();
        for number in 0..40 {
            let request = SuggestRequest::new(&space, goal, 2).with_number(number).with_history(&history);
            let trial = suggest(&TpeSampler::default(), &request);
            let value = trial.float("p").unwrap();
            history.push(Observation::new(number, trial, Outcome::Completed { value }));
        }
        let near = history
            .iter()
            .skip(20)
            .filter(|o| (o.assignment.float("p").unwrap() - wanted).abs() < 0.3)
            .count();
        assert!(near >= 15, "{goal:?}: {near}");
    }
}

/// Trials that run push the next suggestions away from themselves.
#[test]
fn workers_in_parallel_keep_apart() {
    let space =
        SearchSpace::new([("x", Distribution::float(0.0, 1.0)), ("y", Distribution::float(0.0, 1.0))])
            .unwrap();
    let f = |t: &Assignment| (t.float("x").unwrap() - 0.5).powi(2) + (t.float("y").unwrap() - 0.5).powi(2);
    let spread = |liar: bool| {
        let sampler = TpeSampler::new(TpeOptions::default().with_constant_liar(liar)).unwrap();
        let mut total = 0.0;
        for seed in 0..6 {
            let mut history = sweep(&sampler, &space, seed, 40, f);
            for number in 40..48 {
                let request = SuggestRequest::new(&space, Goal::Minimize, seed)
                    .with_number(number)
                    .with_history(&history);
                let trial = suggest(&sampler, &request);
                history.push(Observation::new(number, trial, Outcome::Running));
            }
            let points: Vec<(f64, f64)> = history
                .iter()
                .skip(40)
                .map(|o| (o.assignment.float("x").unwrap(), o.assignment.float("y").unwrap()))
                .collect();
            for (i, a) in points.iter().enumerate() {
                let distances = points.iter().take(i).map(|b| (a.0 - b.0).hypot(a.1 - b.1));
                total += distances.fold(f64::INFINITY, f64::min).min(1.0);
            }
        }
        total
    };
    let (apart, alone) = (spread(true), spread(false));
    assert!(apart > 1.05 * alone, "{apart} is not more than {alone}");
}

#[test]
fn pruned_trials_count_by_how_far_they_came() {
    let space = space(Distribution::float(0.0, 1.0));
    // All were pruned; those near 0.8 came farthest.
    let history: Vec<Observation> = (0..40)
        .map(|number| {
            let x = number as f64 / 40.0;
            let trial = Assignment::new().with("p", x).unwrap();
            let step = if (x - 0.8).abs() < 0.06 { 50 } else { 5 };
            Observation::new(number, trial, Outcome::Pruned { value: Some(1.0), step })
        })
        .collect();
    let near = (40..80)
        .filter(|number| {
            let request =
                SuggestRequest::new(&space, Goal::Minimize, 6).with_number(*number).with_history(&history);
            (suggest(&TpeSampler::default(), &request).float("p").unwrap() - 0.8).abs() < 0.15
        })
        .count();
    assert!(near >= 30, "{near}");
}

#[test]
fn a_long_history_is_no_trouble() {
    let space = SearchSpace::new([
        ("c", Distribution::choice(["a", "b"])),
        ("n", Distribution::int(1, 100)),
        ("x", Distribution::float(0.0, 1.0)),
    ])
    .unwrap();
    let random = sampler(r#"{"type": "random"}"#);
    let history: Vec<Observation> = (0..1_000)
        .map(|number| {
            let trial =
                suggest(random.as_ref(), &SuggestRequest::new(&space, Goal::Minimize, 1).with_number(number));
            let value = (trial.float("x").unwrap() - 0.25).abs();
            Observation::new(number, trial, Outcome::Completed { value })
        })
        .collect();
    let ask = |text: &str, number| {
        let request =
            SuggestRequest::new(&space, Goal::Minimize, 1).with_number(number).with_history(&history);
        suggest(sampler(text).as_ref(), &request)
    };
    let tpe: Vec<f64> = (1_000..1_005).map(|n| ask(r#"{"type": "tpe"}"#, n).float("x").unwrap()).collect();
    assert!(tpe.iter().all(|x| (x - 0.25).abs() < 0.2), "{tpe:?}");
}

/// The model keeps 40 trials of more than a thousand; what it forgets it must not explore again.
#[test]
fn a_process_that_forgets_trials_goes_on_near_the_best_and_repeats_nothing() {
    let space =
        SearchSpace::new([("n", Distribution::int(1, 100)), ("x", Distribution::float(0.0, 1.0))]).unwrap();
    let (random, gp) = (sampler(r#"{"type": "random"}"#), sampler(r#"{"type": "gp", "max_trials": 40}"#));
    let f = |t: &Assignment| (t.float("x").unwrap() - 0.25).abs();
    let mut history = sweep(random.as_ref(), &space, 1, 1_000, f);
    let before = best(&history);
    let mut seen: HashSet<_> = history.iter().map(|o| o.assignment.digest()).collect();
    let (mut near, mut corners) = (0, 0);
    for number in 1_000..1_020 {
        let request =
            SuggestRequest::new(&space, Goal::Minimize, 1).with_number(number).with_history(&history);
        let trial = suggest(gp.as_ref(), &request);
        assert!(seen.insert(trial.digest()), "{trial} was tried");
        let (x, value) = (trial.float("x").unwrap(), f(&trial));
        near += usize::from((x - 0.25).abs() < 0.05);
        corners += usize::from(!(0.01..=0.99).contains(&x));
        history.push(Observation::new(number, trial, Outcome::Completed { value }));
    }
    assert!(near >= 12 && corners <= 3, "{near} near the best, {corners} at the ends");
    assert!(best(&history) <= before);
}

fn branin(t: &Assignment) -> f64 {
    use std::f64::consts::PI;
    let (x, y) = (t.float("x").unwrap(), t.float("y").unwrap());
    let bend = y - 5.1 / (4.0 * PI * PI) * x * x + 5.0 / PI * x - 6.0;
    bend * bend + 10.0 * (1.0 - 1.0 / (8.0 * PI)) * x.cos() + 10.0 - 0.397_887_357_729_738_16
}

fn ackley(t: &Assignment) -> f64 {
    let x: Vec<f64> = t.iter().map(|(_, value)| value.as_f64().unwrap()).collect();
    let mean = |f: fn(&f64) -> f64| x.iter().map(f).sum::<f64>() / x.len() as f64;
    let wave = mean(|x| (2.0 * std::f64::consts::PI * x).cos());
    20.0 - 20.0 * (-0.2 * mean(|x| x * x).sqrt()).exp() + std::f64::consts::E - wave.exp()
}

/// Medians after 30 trials; Optuna 5.0.0's `GPSampler` over 10 seeds finds @BG@ and @AG@, its `RandomSampler` @BR@ and @AR@.
#[test]
fn a_process_finds_what_chance_does_not() {
    let plane =
        SearchSpace::new([("x", Distribution::float(-5.0, 10.0)), ("y", Distribution::float(0.0, 15.0))]);
    let cube = SearchSpace::new((0..5).map(|i| (format!("x{i}"), Distribution::float(-15.0, 30.0))));
    type Function = fn(&Assignment) -> f64;
    let cases: [(SearchSpace, Function, f64, f64); 2] =
        [(plane.unwrap(), branin, 0.05, 0.1), (cube.unwrap(), ackley, 9.0, 0.6)];
    for (space, f, most, share) in cases {
        let found = |text: &str| {
            let sampler = sampler(text);
            median((0..3).map(|seed| best(&sweep(sampler.as_ref(), &space, seed, 30, f))).collect())
        };
        let (gp, chance) = (found(r#"{"type": "gp"}"#), found(r#"{"type": "random"}"#));
        assert!(gp < most && gp < share * chance, "{gp}, and {chance} by chance");
    }
}

#[test]
fn a_process_goes_through_a_small_space_before_it_repeats_itself() {
    let space =
        SearchSpace::new([("c", Distribution::choice(["a", "b"])), ("n", Distribution::int(0, 5))]).unwrap();
    let gp = sampler(r#"{"type": "gp", "startup_trials": 2}"#);
    let history = sweep(gp.as_ref(), &space, 4, 14, |t| (t.float("n").unwrap() - 2.0).powi(2));
    let different: HashSet<_> = history.iter().take(12).map(|o| o.assignment.digest()).collect();
    assert_eq!(different.len(), 12);
    // Then nothing else is left.
    assert!(history.iter().all(|o| space.contains(&o.assignment)));
}

#[test]
fn samplers_refuse_spaces_they_are_not_made_for() {
    let wide =
        SearchSpace::new((0..21).map(|i| (format!("p{i}"), Distribution::Uniform { min: 0.0, max: 1.0 })))
            .unwrap();
    let gp = sampler(r#"{"type": "gp"}"#);
    assert!(matches!(gp.check(&wide), Err(SamplerError::Unsupported { sampler: "gp", .. })));
    assert!(
        matches!(gp.check(&models()), Err(SamplerError::Unsupported { parameter, .. }) if parameter == "model")
    );
    let message = gp.check(&models()).unwrap_err().to_string();
    assert!(
        message.ends_with("has options with parameters of their own, which `tpe` can sample"),
        "{message}"
    );
    // Azure's name takes as many as there are.
    let bayesian = sampler(r#"{"type": "bayesian"}"#);
    assert_eq!(bayesian.check(&wide), Ok(()));
    assert!(suggest(bayesian.as_ref(), &SuggestRequest::new(&wide, Goal::Minimize, 0)).len() == 21);
    for law in [
        Distribution::RandInt { upper: 3 },
        Distribution::LogUniform { min: 0.0, max: 1.0 },
        Distribution::int(0, 1),
    ] {
        assert!(bayesian.check(&space(law.clone())).is_err(), "{law:?}");
        assert!(sampler(r#"{"type": "grid"}"#).check(&space(law)).is_err());
    }
}

#[test]
fn specifications_read_back_and_bad_options_are_refused_by_name() {
    for text in [
        r#"{"type":"random"}"#,
        r#"{"type":"sobol"}"#,
        r#"{"type":"bayesian"}"#,
        r#"{"type":"grid","quantised":true}"#,
        r#"{"type":"gp","startup_trials":5,"max_trials":100}"#,
        r#"{"type":"tpe","startup_trials":10,"candidates":24,"prior_weight":1.0,"width_floor":{"share":0.05},"constant_liar":true}"#,
        r#"{"type":"tpe","startup_trials":10,"candidates":24,"prior_weight":1.0,"width_floor":"kernels","constant_liar":true}"#,
    ] {
        let spec: SamplerSpec = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&spec).unwrap(), text);
        let name = serde_json::from_str::<serde_json::Value>(text).unwrap()["type"].clone();
        let sampler = spec.build().unwrap();
        assert_eq!(sampler.name(), name);
        assert!(sampler.parameters().is_object());
    }
    assert_eq!(
        serde_json::from_str::<SamplerSpec>(r#"{"type":"tpe"}"#).unwrap(),
        SamplerSpec::Tpe(TpeOptions::default())
    );
    for text in [
        r#"{"type":"tpr"}"#,
        r#"{"type":"tpe","candidate":3}"#,
        r#"{"type":"random","seed":3}"#,
        r#"{}"#,
        r#""tpe""#,
    ] {
        assert!(serde_json::from_str::<SamplerSpec>(text).is_err(), "{text}");
    }
    for (option, spec) in [
        ("candidates", SamplerSpec::Tpe(TpeOptions::default().with_candidates(0))),
        ("candidates", SamplerSpec::Tpe(TpeOptions::default().with_candidates(10_001))),
        ("prior_weight", SamplerSpec::Tpe(TpeOptions::default().with_prior_weight(f64::NAN))),
        ("prior_weight", SamplerSpec::Tpe(TpeOptions::default().with_prior_weight(0.0))),
        ("width_floor", SamplerSpec::Tpe(TpeOptions::default().with_width_floor(WidthFloor::Share(0.0)))),
        (
            "width_floor",
            SamplerSpec::Tpe(TpeOptions::default().with_width_floor(WidthFloor::Share(f64::NAN))),
        ),
        ("startup_trials", SamplerSpec::Gp(GpOptions::default().with_startup_trials(1))),
        ("max_trials", SamplerSpec::Gp(GpOptions::default().with_max_trials(1_001))),
    ] {
        match spec.build() {
            Err(SamplerError::Option { option: found, .. }) => assert_eq!(found, option),
            other => panic!("{spec:?}: {other:?}"),
        }
    }
}

#[test]
fn azures_words_for_sampling_are_read_in_both_notations() {
    let read = |text: &str| serde_json::from_str::<AzureSampling>(text);
    for (yaml, wire) in [
        (
            r#"{"type": "random", "rule": "sobol", "seed": 1}"#,
            r#"{"samplingAlgorithmType": "Random", "rule": "Sobol", "seed": 1}"#,
        ),
        (r#"{"type": "random", "logbase": "e"}"#, r#"{"samplingAlgorithmType": "Random", "rule": "Random"}"#),
        (r#""random""#, r#"{"samplingAlgorithmType": "Random"}"#),
        (r#""grid""#, r#"{"samplingAlgorithmType": "Grid"}"#),
        (r#""bayesian""#, r#"{"samplingAlgorithmType": "Bayesian"}"#),
    ] {
        let sampling = read(yaml).unwrap();
        assert_eq!(sampling, read(wire).unwrap());
        assert_eq!(read(&serde_json::to_string(&sampling).unwrap()).unwrap(), sampling);
    }
    for bad in [
        r#""sobol""#,
        r#"{"type": "grid", "seed": 1}"#,
        r#"{"type": "random", "logbase": 1}"#,
        r#"{"type": "random", "logbase": "pi"}"#,
        r#"{"type": "random", "base": 2}"#,
        r#"{"type": "random", "seed": -1}"#,
        "{}",
    ] {
        assert!(read(bad).is_err(), "{bad}");
    }
}
