//! Bayesian optimisation with a Gaussian process and expected improvement.

mod cholesky;
mod regression;

use serde::{Deserialize, Serialize};

use self::regression::{Points, Regression};
use super::axis::Axis;
use super::error::SamplerError;
use super::history::{Known, Standing, known};
use super::random::{inner, value_at};
use super::request::{Sampler, SuggestRequest, Suggestion};
use super::sobol::sobol;
use crate::experiment::space::normal::{cdf, ln_density};
use crate::experiment::space::{Assignment, ChoiceOption, Distribution, SearchSpace, Value};
use crate::num::Random;

/// The most parameters that vary.
pub const MAX_AXES: usize = 20;

/// Options of [`GpSampler`].
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GpOptions {
    /// How many trials must have completed before the model is used; until then the points of a scrambled Sobol sequence are
    /// tried. At least 2; 10.
    pub startup_trials: u64,
    /// From how many trials the model learns, half of them the best, half the newest; 8 … 1000, 200. The cost grows with the
    /// cube.
    pub max_trials: usize,
}

impl Default for GpOptions {
    fn default() -> Self {
        Self { startup_trials: 10, max_trials: 200 }
    }
}

impl GpOptions {
    /// Sets how many trials must have completed before the model is used.
    #[must_use]
    pub fn with_startup_trials(mut self, trials: u64) -> Self {
        self.startup_trials = trials;
        self
    }

    /// Sets from how many trials the model learns.
    #[must_use]
    pub fn with_max_trials(mut self, trials: usize) -> Self {
        self.max_trials = trials;
        self
    }

    fn check(&self) -> Result<(), SamplerError> {
        let fault = |option, value, reason| Err(SamplerError::Option { option, value, reason });
        if self.startup_trials < 2 {
            return fault("startup_trials", self.startup_trials as f64, "must be at least 2");
        }
        if !(8..=1000).contains(&self.max_trials) {
            return fault("max_trials", self.max_trials as f64, "must lie in 8 … 1000");
        }
        Ok(())
    }
}

/// Models the objective by a Gaussian process, and tries where the expected improvement over the best trial is greatest.
///
/// For few parameters (at most [`MAX_AXES`]) and objectives that are dear: O(min(n, max_trials)³) for a suggestion. The kernel is
/// a Matérn ν = 5/2 with a length for every parameter, fitted to the marginal likelihood with a prior. Completed trials count;
/// a value beyond the others is drawn in by a logarithm where that fits better. Trials that run are taken to end as predicted.
/// The order of the history does not count. Conditional choices are not supported: [`TpeSampler`](super::TpeSampler) has them.
///
/// ```
/// use mlops_core::experiment::sampler::{Goal, GpOptions, GpSampler, Observation, Outcome, Sampler, SuggestRequest};
/// use mlops_core::experiment::space::{Distribution, SearchSpace};
///
/// let space = SearchSpace::new([("x", Distribution::float(-10.0, 10.0))])?;
/// let sampler = GpSampler::new(GpOptions::default().with_startup_trials(5))?;
/// let mut history = Vec::new();
/// for number in 0..15 {
///     let request = SuggestRequest::new(&space, Goal::Minimize, 1).with_number(number).with_history(&history);
///     let trial = sampler.suggest(&request)?.into_assignment().ok_or("never exhausted")?;
///     let value = (trial.float("x")? - 3.0).powi(2);
///     history.push(Observation::new(number, trial, Outcome::Completed { value }));
/// }
/// let nearest = history.iter().filter_map(|o| o.assignment.float("x").ok()).map(|x| (x - 3.0).abs()).fold(20.0, f64::min);
/// assert!(nearest < 0.1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Source: Jones, Schonlau, Welch, "Efficient global optimization of expensive black-box functions" (Journal of Global
/// Optimization 13, 1998).
#[derive(Clone, Debug, Default)]
pub struct GpSampler {
    options: GpOptions,
}

impl GpSampler {
    /// A sampler with options.
    ///
    /// # Errors
    /// [`SamplerError::Option`].
    pub fn new(options: GpOptions) -> Result<Self, SamplerError> {
        options.check()?;
        Ok(Self { options })
    }

    /// The trials that the model learns from: the best and the newest, by number.
    fn chosen<'k, 'h>(&self, completed: &'k [(Known<'h>, f64)]) -> Vec<&'k (Known<'h>, f64)> {
        let mut chosen: Vec<&(Known<'_>, f64)> = completed.iter().collect();
        if chosen.len() > self.options.max_trials {
            chosen.sort_by(|a, b| a.1.total_cmp(&b.1));
            let mut rest = chosen.split_off(self.options.max_trials / 2);
            rest.sort_by_key(|(trial, _)| std::cmp::Reverse(trial.number));
            chosen.extend(rest.into_iter().take(self.options.max_trials - self.options.max_trials / 2));
            chosen.sort_by_key(|(trial, _)| trial.number);
        }
        chosen
    }
}

/// The parameters that vary, and their axes.
struct Cube<'a> {
    names: Vec<&'a str>,
    axes: Vec<Axis<'a>>,
}

impl<'a> Cube<'a> {
    fn new(space: &'a SearchSpace) -> Self {
        let parameters = space.iter().filter_map(|(name, law)| Some((name, Axis::new(law)?)));
        let (names, axes) = parameters.unzip();
        Self { names, axes }
    }

    fn is_option(&self) -> Vec<bool> {
        self.axes.iter().map(|axis| matches!(axis, Axis::Options(_))).collect()
    }

    /// A trial as a point: numbers in [0, 1], options by their number.
    fn point(&self, values: &Assignment) -> Option<Vec<f64>> {
        let along = |(name, axis): (&&str, &Axis<'_>)| {
            let place = axis.encode(values.value(name)?)?;
            Some(match axis {
                Axis::Number(number) => number.share(place),
                Axis::Options(_) => place,
            })
        };
        self.names.iter().zip(&self.axes).map(along).collect()
    }

    /// The values of a point.
    fn values(&self, space: &SearchSpace, point: &[f64]) -> Result<Assignment, SamplerError> {
        let mut assignment = Assignment::new();
        for (name, law) in space.iter() {
            let at = self.names.binary_search(&name).ok();
            let value = match at.and_then(|at| self.axes.get(at).zip(point.get(at))) {
                Some((Axis::Number(number), share)) => number.decode(number.place(*share)),
                Some((Axis::Options(options), index)) => option(options, *index),
                None => value_at(law, 0.5, |_| Ok(Assignment::new()))?,
            };
            assignment.set(name, value)?;
        }
        Ok(assignment)
    }

    /// The point that a trial at this place would really be at: values on a grid are where the grid is.
    fn snap(&self, point: &mut [f64]) {
        for (x, axis) in point.iter_mut().zip(&self.axes) {
            if let Axis::Number(number) = axis
                && number.is_discrete
                && let Some(place) = axis.encode(&number.decode(number.place(*x)))
            {
                *x = number.share(place);
            }
        }
    }

    fn draw(&self, random: &mut Random) -> Vec<f64> {
        let along = |axis: &Axis<'_>| match axis {
            Axis::Number(_) => random.next_f64(),
            Axis::Options(options) => even(random, options.len()),
        };
        let mut point: Vec<f64> = self.axes.iter().map(along).collect();
        self.snap(&mut point);
        point
    }

    /// A point near another: each parameter moves with a probability, by about `reach` times its length.
    fn near(&self, point: &[f64], lengths: &[f64], reach: f64, random: &mut Random) -> Vec<f64> {
        let share = (3.0 / self.axes.len().max(1) as f64).clamp(0.3, 1.0);
        let mut next: Vec<f64> = point.to_vec();
        for ((x, axis), length) in next.iter_mut().zip(&self.axes).zip(lengths) {
            if random.next_f64() >= share {
                continue;
            }
            *x = match axis {
                Axis::Number(_) => {
                    let z = crate::experiment::space::normal::quantile(inner(random.next_u64()));
                    (*x + reach * length.min(1.0) * z).clamp(0.0, 1.0)
                }
                Axis::Options(options) => even(random, options.len()),
            };
        }
        self.snap(&mut next);
        next
    }
}

fn even(random: &mut Random, count: usize) -> f64 {
    crate::experiment::space::law::index(random.next_f64(), count as u64) as f64
}

fn option(options: &[ChoiceOption], index: f64) -> Value {
    #[expect(clippy::cast_sign_loss, reason = "the number of an option, as it was drawn")]
    match options.get(index as usize) {
        Some(ChoiceOption::Value(value)) => value.clone(),
        _ => Value::Bool(false),
    }
}

/// Losses with mean 0 and variance 1, drawn in by a logarithm if they lie far more on the bad side than on the good one.
fn standardised(losses: &[f64]) -> Vec<f64> {
    let finite = |pick: fn(f64, f64) -> f64, from: f64| {
        losses.iter().copied().filter(|l| l.is_finite()).fold(from, pick)
    };
    let (low, high) = (finite(f64::min, f64::INFINITY), finite(f64::max, f64::NEG_INFINITY));
    if !(low.is_finite() && high > low) {
        return vec![0.0; losses.len()];
    }
    let span = high - low;
    if !span.is_finite() {
        return scaled(&losses.iter().map(|l| l.clamp(low, high) / f64::MAX * 0.5).collect::<Vec<_>>());
    }
    let shares: Vec<f64> = losses.iter().map(|l| (l.clamp(low, high) - low) / span).collect();
    let mut sorted = shares.clone();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.get(sorted.len() / 2).copied().unwrap_or(0.5);
    // The middle of values that lie evenly is a half; far below it the worst ones would hide what is near the best.
    if middle >= 0.2 {
        return scaled(&shares);
    }
    let unit = sorted.get(sorted.len() / 10).copied().unwrap_or(0.0).max(middle * 0.1).max(1e-9);
    scaled(&shares.iter().map(|share| (share / unit).ln_1p()).collect::<Vec<_>>())
}

fn scaled(values: &[f64]) -> Vec<f64> {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / n;
    let deviation = variance.sqrt().max(1e-12);
    values.iter().map(|v| (v - mean) / deviation).collect()
}

/// ln E max(best − Y, 0) of a normal Y.
fn ln_improvement(best: f64, mean: f64, deviation: f64) -> f64 {
    let z = (best - mean) / deviation;
    if z > -30.0 {
        let density = ln_density(z).exp();
        return deviation.ln() + (density + z * cdf(z)).max(f64::MIN_POSITIVE).ln();
    }
    // φ(z) + z Φ(z) = φ(z) (1/z² − 3/z⁴ + …).
    let square = (z * z).recip();
    deviation.ln() + ln_density(z) + square.ln() + (-3.0 * square).ln_1p()
}

/// The point of the greatest expected improvement that a search finds: points of the whole cube and around the best trials,
/// then steps from the best of them, ever shorter.
fn search(
    cube: &Cube<'_>,
    process: &Regression,
    points: &[Vec<f64>],
    losses: &[f64],
    random: &mut Random,
) -> Vec<f64> {
    let best = points.iter().map(|point| process.mean(point)).fold(f64::INFINITY, f64::min);
    let gain = |point: &[f64]| {
        let (mean, deviation) = process.predict(point);
        ln_improvement(best, mean, deviation)
    };
    let lengths = process.lengths();
    let mut order: Vec<usize> = (0..losses.len().min(points.len())).collect();
    order.sort_by(|a, b| match (losses.get(*a), losses.get(*b)) {
        (Some(a), Some(b)) => a.total_cmp(b),
        _ => std::cmp::Ordering::Equal,
    });
    let mut candidates: Vec<Vec<f64>> = (0..400).map(|_| cube.draw(random)).collect();
    for index in order.iter().take(5) {
        let Some(point) = points.get(*index) else { continue };
        for reach in [0.3, 0.1, 0.03, 0.01] {
            candidates.extend((0..10).map(|_| cube.near(point, &lengths, reach, random)));
        }
    }
    let mut scored: Vec<(f64, Vec<f64>)> = candidates.into_iter().map(|c| (gain(&c), c)).collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0));
    scored.truncate(4);
    for (score, point) in &mut scored {
        let mut reach = 0.2;
        while reach > 1e-3 {
            let mut moved = false;
            for _ in 0..4 + 4 * cube.axes.len() {
                let next = cube.near(point, &lengths, reach, random);
                let value = gain(&next);
                if value > *score {
                    (*score, *point) = (value, next);
                    moved = true;
                }
            }
            if !moved {
                reach *= 0.3;
            }
        }
    }
    scored.sort_by(|a, b| b.0.total_cmp(&a.0));
    scored.into_iter().next().map(|(_, point)| point).unwrap_or_default()
}

/// Whether the space has parameters under a condition, and where.
fn conditional(space: &SearchSpace) -> Option<&str> {
    let is_space = |option: &ChoiceOption| matches!(option, ChoiceOption::Space(_));
    let found = space.iter().find(|(_, law)| match law {
        Distribution::Choice { values } => values.iter().any(is_space),
        _ => false,
    });
    found.map(|(name, _)| name)
}

impl Sampler for GpSampler {
    fn name(&self) -> &'static str {
        "gp"
    }

    fn parameters(&self) -> serde_json::Value {
        serde_json::json!(self.options)
    }

    fn check(&self, space: &SearchSpace) -> Result<(), SamplerError> {
        let fault = |parameter: &str, reason| {
            Err(SamplerError::Unsupported { sampler: "gp", parameter: parameter.to_owned(), reason })
        };
        if let Some(name) = conditional(space) {
            return fault(name, "has options with parameters of their own");
        }
        match Cube::new(space).axes.len() {
            0..=MAX_AXES => Ok(()),
            _ => fault("space", "has more than 20 parameters that vary"),
        }
    }

    fn suggest(&self, request: &SuggestRequest<'_>) -> Result<Suggestion, SamplerError> {
        self.check(request.space)?;
        let cube = Cube::new(request.space);
        let (mut completed, mut running) = (Vec::new(), Vec::new());
        for trial in known(request.history, request.goal, request.number) {
            let Some(point) = cube.point(trial.values) else { continue };
            match trial.standing {
                Standing::Completed(loss) => completed.push(((trial, loss), point)),
                Standing::Running => running.push(point),
                Standing::Pruned(..) => {}
            }
        }
        if (completed.len() as u64) < self.options.startup_trials || cube.axes.is_empty() {
            return sobol(request).map(Suggestion::Next);
        }
        let (trials, points): (Vec<(Known<'_>, f64)>, Vec<Vec<f64>>) = completed.into_iter().unzip();
        let numbers: Vec<u64> = self.chosen(&trials).iter().map(|(trial, _)| trial.number).collect();
        let (mut rows, mut losses) = (Vec::new(), Vec::new());
        for ((trial, loss), point) in trials.iter().zip(points) {
            if numbers.binary_search(&trial.number).is_ok() {
                rows.push(point);
                losses.push(*loss);
            }
        }
        let values = standardised(&losses);
        let points = Points { is_option: cube.is_option(), rows };
        let Some(process) = Regression::fit(points, &values) else {
            return sobol(request).map(Suggestion::Next);
        };
        let process = process.with_running(&running, &values).unwrap_or(process);
        let mut random = request.random().stream("gp");
        let point = search(&cube, &process, process.rows(), &losses, &mut random);
        cube.values(request.space, &point).map(Suggestion::Next)
    }
}
