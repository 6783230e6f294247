//! Samplers: which values a sweep tries next.
//!
//! A [`Sampler`] is a pure function of a [`SuggestRequest`]: space, goal, seed, number of the trial and what earlier trials
//! showed. A sweep that was killed asks again with the same history and gets the same answer.

mod axis;
mod azure;
mod bayesian;
mod error;
mod gp;
mod grid;
mod history;
mod observation;
mod parzen;
mod random;
mod request;
mod sobol;
mod spec;
mod tpe;

pub use azure::AzureSampling;
pub use bayesian::{BayesianOptions, BayesianSampler};
pub use error::SamplerError;
pub use gp::{GpOptions, GpSampler, MAX_AXES};
pub use grid::{GridOptions, GridSampler};
pub use observation::{Goal, Observation, Outcome};
pub use random::{RandomOptions, RandomSampler};
pub use request::{Sampler, SuggestRequest, Suggestion};
pub use sobol::{SobolOptions, SobolSampler};
pub use spec::SamplerSpec;
pub use tpe::{TpeOptions, TpeSampler, WidthFloor};
