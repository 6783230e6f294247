//! Random search: every trial by itself.

use serde::{Deserialize, Serialize};

use super::error::SamplerError;
use super::request::{Sampler, SuggestRequest, Suggestion};
use crate::experiment::space::law::{index, quantile};
use crate::experiment::space::{Assignment, ChoiceOption, Distribution, SearchSpace, Value};
use crate::num::Random;

/// Options of [`RandomSampler`]: none so far.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RandomOptions {}

/// Draws every parameter from its distribution, by the inverse of its cumulative distribution function; each trial by itself.
/// O(parameters); the history is not looked at.
///
/// What a parameter draws depends on seed, trial and the parameter's path alone: another parameter in the space does not
/// change it.
///
/// ```
/// use mlops_core::experiment::sampler::{Goal, RandomSampler, Sampler, SuggestRequest};
/// use mlops_core::experiment::space::{Distribution, SearchSpace};
///
/// let space = SearchSpace::new([("rate", Distribution::log_float(1e-4, 1.0))])?;
/// let request = SuggestRequest::new(&space, Goal::Minimize, 7);
/// let first = RandomSampler::default().suggest(&request)?;
/// assert_eq!(first, RandomSampler::default().suggest(&request)?);
/// assert_ne!(first, RandomSampler::default().suggest(&request.with_number(1))?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct RandomSampler {
    options: RandomOptions,
}

impl RandomSampler {
    /// A sampler with options.
    pub fn new(options: RandomOptions) -> Self {
        Self { options }
    }
}

impl Sampler for RandomSampler {
    fn name(&self) -> &'static str {
        "random"
    }

    fn parameters(&self) -> serde_json::Value {
        serde_json::json!(self.options)
    }

    fn check(&self, _: &SearchSpace) -> Result<(), SamplerError> {
        Ok(())
    }

    fn suggest(&self, request: &SuggestRequest<'_>) -> Result<Suggestion, SamplerError> {
        let random = request.random().stream("random");
        draw(request.space, &random).map(Suggestion::Next)
    }
}

/// Draws a value for every active parameter.
pub(super) fn draw(space: &SearchSpace, random: &Random) -> Result<Assignment, SamplerError> {
    let mut assignment = Assignment::new();
    for (name, distribution) in space.iter() {
        let stream = random.stream(name);
        let p = inner(stream.clone().next_u64());
        assignment.set(name, value_at(distribution, p, |space| draw(space, &stream))?)?;
    }
    Ok(assignment)
}

/// The value of a distribution at a probability; `below` gives the values of a conditional option.
pub(super) fn value_at(
    distribution: &Distribution,
    p: f64,
    below: impl FnOnce(&SearchSpace) -> Result<Assignment, SamplerError>,
) -> Result<Value, SamplerError> {
    let Distribution::Choice { values } = distribution else {
        return Ok(match distribution {
            Distribution::Fixed { value } => value.clone(),
            other => quantile(other, p).unwrap_or(Value::Bool(false)),
        });
    };
    let at = usize::try_from(index(p, values.len() as u64)).unwrap_or_default();
    match values.get(at) {
        Some(ChoiceOption::Value(value)) => Ok(value.clone()),
        Some(ChoiceOption::Space(space)) => below(space).map(Value::Table),
        // Not so: a checked choice has options, and the index is one of them.
        None => Ok(Value::Bool(false)),
    }
}

/// A probability strictly within (0, 1): the middle of one of 2⁵³ equal parts, up to rounding.
pub(super) fn inner(word: u64) -> f64 {
    const STEP: f64 = 1.0 / (1_u64 << 53) as f64;
    (((word >> 11) as f64) + 0.5).min((1_u64 << 53) as f64 - 1.0) * STEP
}
