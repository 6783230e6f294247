//! The tree-structured Parzen estimator.

use serde::{Deserialize, Serialize};

use super::axis::Axis;
use super::error::SamplerError;
use super::history::{Known, known};
use super::parzen::{Parzen, Place};
use super::random::{draw, value_at};
use super::request::{Sampler, SuggestRequest, Suggestion};
use crate::experiment::space::{Assignment, ChoiceOption, SearchSpace, Value, option_of};
use crate::num::Random;

/// The least width of a kernel.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WidthFloor {
    /// A share of the range, in (0, 1].
    Share(f64),
    /// The range over the number of kernels plus one, or over 100: Optuna's rule. The few better trials have wide kernels
    /// then, and a sweep of a hundred trials ends before they narrow.
    Kernels,
}

/// Options of [`TpeSampler`]. The defaults are Optuna 5.0's, but for the least width of kernels.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TpeOptions {
    /// How many trials must have finished before the model is used; until then values are drawn at random. 10.
    pub startup_trials: u64,
    /// How many candidates are drawn from the better trials' density; at least 1, at most 10 000. 24.
    pub candidates: u32,
    /// The weight of the prior, beside 1 for a trial; positive. 1.
    pub prior_weight: f64,
    /// How narrow kernels may become. A share of 0.05.
    pub width_floor: WidthFloor,
    /// Whether trials that still run count among the worse ones, so that workers in parallel keep apart. True.
    pub constant_liar: bool,
}

impl Default for TpeOptions {
    fn default() -> Self {
        Self {
            startup_trials: 10,
            candidates: 24,
            prior_weight: 1.0,
            width_floor: WidthFloor::Share(0.05),
            constant_liar: true,
        }
    }
}

impl TpeOptions {
    /// Sets how many trials must have finished before the model is used.
    #[must_use]
    pub fn with_startup_trials(mut self, trials: u64) -> Self {
        self.startup_trials = trials;
        self
    }

    /// Sets how many candidates are drawn.
    #[must_use]
    pub fn with_candidates(mut self, candidates: u32) -> Self {
        self.candidates = candidates;
        self
    }

    /// Sets the weight of the prior.
    #[must_use]
    pub fn with_prior_weight(mut self, weight: f64) -> Self {
        self.prior_weight = weight;
        self
    }

    /// Sets how narrow kernels may become.
    #[must_use]
    pub fn with_width_floor(mut self, floor: WidthFloor) -> Self {
        self.width_floor = floor;
        self
    }

    /// Says whether running trials count among the worse ones.
    #[must_use]
    pub fn with_constant_liar(mut self, liar: bool) -> Self {
        self.constant_liar = liar;
        self
    }

    fn check(&self) -> Result<(), SamplerError> {
        let fault = |option, value, reason| Err(SamplerError::Option { option, value, reason });
        if !(1..=10_000).contains(&self.candidates) {
            return fault("candidates", self.candidates.into(), "must lie in 1 … 10000");
        }
        if !(self.prior_weight > 0.0 && self.prior_weight.is_finite()) {
            return fault("prior_weight", self.prior_weight, "must be positive and finite");
        }
        match self.width_floor {
            WidthFloor::Share(share) if !(share > 0.0 && share <= 1.0) => {
                fault("width_floor", share, "must lie in (0, 1]")
            }
            _ => Ok(()),
        }
    }
}

/// Models where the better trials lie and where the others do, and tries what is most likely among the better ones
/// compared with the others.
///
/// Of n finished trials the best min(⌈0.1 n⌉, 25) are the better ones: completed ones by their value, then pruned ones by
/// how far they came. Both densities are multivariate: one product of kernels per trial over all parameters of a level. Of the
/// candidates drawn from the better density l, the one with the greatest ln l − ln g is suggested. Parameters of a conditional
/// option are modelled by the trials that chose the option, split among themselves.
///
/// O(candidates · n · parameters). The order of the history does not count.
///
/// ```
/// use mlops_core::experiment::sampler::{Goal, Observation, Outcome, Sampler, SuggestRequest, TpeOptions, TpeSampler};
/// use mlops_core::experiment::space::{Distribution, SearchSpace};
///
/// let space = SearchSpace::new([("x", Distribution::float(-10.0, 10.0))])?;
/// let sampler = TpeSampler::new(TpeOptions::default())?;
/// let mut history = Vec::new();
/// for number in 0..60 {
///     let request = SuggestRequest::new(&space, Goal::Minimize, 1).with_number(number).with_history(&history);
///     let trial = sampler.suggest(&request)?.into_assignment().ok_or("never exhausted")?;
///     let value = (trial.float("x")? - 3.0).powi(2);
///     history.push(Observation::new(number, trial, Outcome::Completed { value }));
/// }
/// let late = history.iter().skip(40).filter_map(|o| o.assignment.float("x").ok());
/// assert!(late.filter(|x| (x - 3.0).abs() < 2.0).count() > 10);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Source: Bergstra, Bardenet, Bengio, Kégl, "Algorithms for hyper-parameter optimization" (NIPS 2011).
#[derive(Clone, Debug, Default)]
pub struct TpeSampler {
    options: TpeOptions,
}

impl TpeSampler {
    /// A sampler with options.
    ///
    /// # Errors
    /// [`SamplerError::Option`].
    pub fn new(options: TpeOptions) -> Result<Self, SamplerError> {
        options.check()?;
        Ok(Self { options })
    }

    /// Suggests values for the parameters of a level, from the trials that had this level.
    fn level(
        &self,
        space: &SearchSpace,
        trials: &[Known<'_>],
        random: &Random,
    ) -> Result<Assignment, SamplerError> {
        let finished = trials.iter().filter(|trial| trial.standing.is_finished()).count();
        if (finished as u64) < self.options.startup_trials {
            return draw(space, &random.stream("random"));
        }
        let parameters: Vec<(&str, Axis<'_>)> =
            space.iter().filter_map(|(name, law)| Some((name, Axis::new(law)?))).collect();
        let (names, axes): (Vec<&str>, Vec<Axis<'_>>) = parameters.into_iter().unzip();
        let places = self.places(&names, &axes, trials, random);
        let mut assignment = Assignment::new();
        for (name, law) in space.iter() {
            let at = names.binary_search(&name).ok();
            let value = match at.and_then(|at| axes.get(at).zip(places.get(at))) {
                Some((Axis::Number(number), place)) => number.decode(*place),
                Some((Axis::Options(options), place)) => {
                    self.option(name, options, *place, trials, random)?
                }
                // What has no axis has one value.
                None => value_at(law, 0.5, |inner| draw(inner, &random.stream(name)))?,
            };
            assignment.set(name, value)?;
        }
        Ok(assignment)
    }

    /// The option of a number; for one that is a space, values for it.
    fn option(
        &self,
        name: &str,
        options: &[ChoiceOption],
        place: f64,
        trials: &[Known<'_>],
        random: &Random,
    ) -> Result<Value, SamplerError> {
        #[expect(clippy::cast_sign_loss, reason = "the number of an option, as it was drawn")]
        let index = (place as usize).min(options.len().saturating_sub(1));
        match options.get(index) {
            Some(ChoiceOption::Value(value)) => Ok(value.clone()),
            Some(ChoiceOption::Space(inner)) => {
                let chosen: Vec<Known<'_>> = trials
                    .iter()
                    .filter_map(|trial| {
                        let value = trial.values.value(name)?;
                        let values = value.as_table().filter(|_| option_of(options, value) == Some(index))?;
                        Some(Known { values, ..*trial })
                    })
                    .collect();
                self.level(inner, &chosen, &random.stream(name)).map(Value::Table)
            }
            None => Ok(Value::Bool(false)),
        }
    }

    /// The best of the candidates, as places on the axes.
    fn places(&self, names: &[&str], axes: &[Axis<'_>], trials: &[Known<'_>], random: &Random) -> Vec<f64> {
        let rows: Vec<(&Known<'_>, Vec<f64>)> = trials
            .iter()
            .filter(|trial| trial.standing.is_finished() || self.options.constant_liar)
            .filter_map(|trial| Some((trial, row(names, axes, trial.values)?)))
            .collect();
        let (better, worse) = split(&rows);
        let l = Parzen::new(axes, &better, self.options.prior_weight, self.options.width_floor);
        let g = Parzen::new(axes, &worse, self.options.prior_weight, self.options.width_floor);
        let mut random = random.stream("tpe");
        let candidates: Vec<Vec<f64>> = (0..self.options.candidates).map(|_| l.draw(&mut random)).collect();
        let cells: Vec<Vec<Place>> = candidates.iter().map(|places| cells(axes, places)).collect();
        let gains = l.ln_densities(&cells).into_iter().zip(g.ln_densities(&cells)).map(|(l, g)| l - g);
        let mut best = (f64::NEG_INFINITY, 0);
        for (index, gain) in gains.enumerate() {
            // The first of equal ones; a NaN, of a cell without mass, is never more.
            if gain > best.0 {
                best = (gain, index);
            }
        }
        candidates.into_iter().nth(best.1).unwrap_or_default()
    }
}

/// The places of a trial; names and values are both in the order of names. `None` for one of another space.
fn row(names: &[&str], axes: &[Axis<'_>], values: &Assignment) -> Option<Vec<f64>> {
    let mut values = values.iter();
    let place = |(name, axis): (&&str, &Axis<'_>)| {
        let (_, value) = values.find(|(known, _)| known == name)?;
        axis.encode(value)
    };
    let mut row = Vec::with_capacity(axes.len());
    for place in names.iter().zip(axes).map(place) {
        row.push(place?);
    }
    Some(row)
}

/// The rows of the better trials and of the others, each in the order of the trials' numbers.
fn split<'r>(rows: &'r [(&Known<'_>, Vec<f64>)]) -> (Vec<&'r [f64]>, Vec<&'r [f64]>) {
    let finished = rows.iter().filter(|(trial, _)| trial.standing.is_finished()).count();
    let count = finished.div_ceil(10).min(25);
    let mut order: Vec<usize> = (0..rows.len()).collect();
    let standing = |i: &usize| rows.get(*i).map(|(trial, _)| trial.standing);
    // Stable: of equally good trials the older one is the better.
    order.sort_by(|a, b| match (standing(a), standing(b)) {
        (Some(a), Some(b)) => a.compare(&b),
        _ => std::cmp::Ordering::Equal,
    });
    let mut is_better = vec![false; rows.len()];
    for index in order.iter().take(count) {
        if let Some(flag) = is_better.get_mut(*index) {
            *flag = true;
        }
    }
    let of = |wanted: bool| {
        let chosen = rows.iter().zip(&is_better).filter(move |(_, better)| **better == wanted);
        chosen.map(|((_, row), _)| row.as_slice()).collect()
    };
    (of(true), of(false))
}

/// Places as the densities want them: values on a grid stand for their cells.
fn cells(axes: &[Axis<'_>], places: &[f64]) -> Vec<Place> {
    let cell = |(axis, place): (&Axis<'_>, &f64)| match axis {
        Axis::Number(number) if number.is_discrete => {
            let (from, to) = number.cell(&number.decode(*place));
            Place::Cell(from, to)
        }
        Axis::Number(_) => Place::Point(*place),
        #[expect(clippy::cast_sign_loss, reason = "the number of an option, as it was drawn")]
        Axis::Options(_) => Place::Option(*place as usize),
    };
    axes.iter().zip(places).map(cell).collect()
}

impl Sampler for TpeSampler {
    fn name(&self) -> &'static str {
        "tpe"
    }

    fn parameters(&self) -> serde_json::Value {
        serde_json::json!(self.options)
    }

    fn check(&self, _: &SearchSpace) -> Result<(), SamplerError> {
        Ok(())
    }

    fn suggest(&self, request: &SuggestRequest<'_>) -> Result<Suggestion, SamplerError> {
        let trials = known(request.history, request.goal, request.number);
        self.level(request.space, &trials, &request.random()).map(Suggestion::Next)
    }
}
