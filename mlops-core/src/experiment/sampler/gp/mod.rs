//! Bayesian optimisation with a Gaussian process and expected improvement.

mod acquisition;
mod cholesky;
mod outlook;
mod regression;

use serde::{Deserialize, Serialize};

use self::acquisition::search;
use self::outlook::standardised;
use self::regression::{Points, Regression};
use super::axis::Axis;
use super::error::SamplerError;
use super::history::{Standing, known};
use super::random::{inner, value_at};
use super::request::{Sampler, SuggestRequest, Suggestion};
use super::sobol::sobol;
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
    /// From how many trials the model learns; 8 … 1000, 200. Of more, a third are the best, a third the newest, and the others lie as
    /// far from these and one another as can be, so that no part of the space is forgotten. The cost grows with the cube.
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
/// values worse than the median are drawn in by a logarithm. Trials that run are taken to end as predicted. What the model knows
/// of is not suggested again, unless nothing else is left. The order of the history does not count. Conditional choices are not
/// supported: [`TpeSampler`](super::TpeSampler) has them.
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

    /// Which trials the model learns from, of losses and points in the order of the trials' numbers.
    /// O(trials · max_trials · axes).
    fn chosen(&self, losses: &[f64], points: &Points) -> Vec<usize> {
        let mut rest: Vec<usize> = (0..losses.len()).collect();
        if rest.len() <= self.options.max_trials {
            return rest;
        }
        let third = self.options.max_trials / 3;
        let loss = |index: &usize| losses.get(*index).copied().unwrap_or(f64::INFINITY);
        rest.sort_by(|a, b| loss(a).total_cmp(&loss(b)));
        let mut newer = rest.split_off(third);
        newer.sort_unstable_by(|a, b| b.cmp(a));
        let others = newer.split_off(third);
        let mut chosen = [rest, newer].concat();
        let row = |index: usize| points.rows.get(index).map(Vec::as_slice).unwrap_or_default();
        let nearest = |index: usize| {
            let far = chosen.iter().map(|known| points.square(row(index), row(*known)));
            (index, far.fold(f64::INFINITY, f64::min))
        };
        let mut others: Vec<(usize, f64)> = others.into_iter().map(nearest).collect();
        // By number, so that of equally far ones the oldest is taken.
        others.sort_unstable_by_key(|(index, _)| *index);
        while chosen.len() < self.options.max_trials {
            let farthest = (0..others.len()).reduce(|a, b| match (others.get(a), others.get(b)) {
                (Some(one), Some(other)) if other.1 > one.1 => b,
                _ => a,
            });
            let Some(farthest) = farthest else { break };
            let (taken, _) = others.remove(farthest);
            for (index, far) in &mut others {
                *far = far.min(points.square(row(*index), row(taken)));
            }
            chosen.push(taken);
        }
        chosen.sort_unstable();
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

    /// Which axes have a slope: numbers that are on no grid.
    fn is_smooth(&self) -> Vec<bool> {
        self.axes.iter().map(|axis| matches!(axis, Axis::Number(number) if !number.is_discrete)).collect()
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
            return fault(name, "has options with parameters of their own, which `tpe` can sample");
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
                Standing::Completed(loss) => completed.push((loss, point)),
                Standing::Running => running.push(point),
                Standing::Pruned(..) => {}
            }
        }
        if (completed.len() as u64) < self.options.startup_trials || cube.axes.is_empty() {
            return sobol(request).map(Suggestion::Next);
        }
        let (losses, rows): (Vec<f64>, Vec<Vec<f64>>) = completed.into_iter().unzip();
        let mut points = Points { is_option: cube.is_option(), rows };
        let chosen = self.chosen(&losses, &points);
        let losses: Vec<f64> = chosen.iter().filter_map(|index| losses.get(*index).copied()).collect();
        points.rows = chosen.iter().filter_map(|index| points.rows.get(*index).cloned()).collect();
        let values = standardised(&losses);
        let Some(process) = Regression::fit(points, &values) else {
            return sobol(request).map(Suggestion::Next);
        };
        let process = process.with_running(&running, &values).unwrap_or(process);
        let mut random = request.random().stream("gp");
        let point = search(&cube, &process, &losses, &mut random);
        cube.values(request.space, &point).map(Suggestion::Next)
    }
}
