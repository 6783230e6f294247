//! The question to a sampler, and its answer.

use std::fmt::Debug;

use super::error::SamplerError;
use super::observation::{Goal, Observation};
use crate::experiment::space::{Assignment, SearchSpace};
use crate::num::Random;

/// Everything that a suggestion depends on.
#[non_exhaustive]
#[derive(Clone, Copy, Debug)]
pub struct SuggestRequest<'a> {
    /// What can be tried.
    pub space: &'a SearchSpace,
    /// Which way the objective is better.
    pub goal: Goal,
    /// The sweep's seed.
    pub seed: u64,
    /// The number of the trial to suggest values for.
    pub number: u64,
    /// What earlier trials showed; their order does not count, their numbers do.
    pub history: &'a [Observation],
}

impl<'a> SuggestRequest<'a> {
    /// The first question of a sweep: trial 0, nothing known.
    pub fn new(space: &'a SearchSpace, goal: Goal, seed: u64) -> Self {
        Self { space, goal, seed, number: 0, history: &[] }
    }

    /// Asks for the trial of a number.
    #[must_use]
    pub fn with_number(mut self, number: u64) -> Self {
        self.number = number;
        self
    }

    /// Says what is known.
    #[must_use]
    pub fn with_history(mut self, history: &'a [Observation]) -> Self {
        self.history = history;
        self
    }

    /// The randomness of this trial: of the seed and its number alone, so that it does not depend on the trials before.
    pub fn random(&self) -> Random {
        Random::new(self.seed).stream("sampler").nth(self.number)
    }
}

/// What to try.
#[derive(Clone, Debug, PartialEq)]
pub enum Suggestion {
    /// These values.
    Next(Assignment),
    /// Nothing is left: the sampler has been through the whole space.
    Exhausted,
}

impl Suggestion {
    /// The values, if there are any.
    pub fn into_assignment(self) -> Option<Assignment> {
        match self {
            Self::Next(assignment) => Some(assignment),
            Self::Exhausted => None,
        }
    }
}

/// Suggests what to try next.
///
/// # Contract
/// - Pure: the same request gives the same suggestion, bit for bit, whatever was asked before, on every machine and thread.
/// - What is suggested is of the space: [`SearchSpace::contains`] holds.
/// - Observations outside the space are left out, failed ones and NaN count as failed; none of them is an error.
/// - [`suggest`](Self::suggest) does not fail where [`check`](Self::check) does not.
pub trait Sampler: Debug + Send + Sync + 'static {
    /// The sampler's name, as in [`SamplerSpec`](super::SamplerSpec).
    fn name(&self) -> &'static str;

    /// The options by name, for a journal or a manifest.
    fn parameters(&self) -> serde_json::Value;

    /// Whether the sampler can sample a space.
    ///
    /// # Errors
    /// [`SamplerError::Unsupported`], naming the parameter.
    fn check(&self, space: &SearchSpace) -> Result<(), SamplerError>;

    /// Suggests values for a trial.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    fn suggest(&self, request: &SuggestRequest<'_>) -> Result<Suggestion, SamplerError>;
}

const _: Option<&dyn Sampler> = None;
