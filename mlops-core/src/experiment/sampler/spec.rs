//! A sampler as it stands in a file.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::bayesian::{BayesianOptions, BayesianSampler};
use super::error::SamplerError;
use super::gp::{GpOptions, GpSampler};
use super::grid::{GridOptions, GridSampler};
use super::random::{RandomOptions, RandomSampler};
use super::request::Sampler;
use super::sobol::{SobolOptions, SobolSampler};
use super::tpe::{TpeOptions, TpeSampler};

/// Which sampler, and its options.
///
/// ```
/// use mlops_core::experiment::sampler::{Sampler, SamplerSpec};
/// let spec: SamplerSpec = serde_json::from_str(r#"{"type": "random"}"#)?;
/// assert_eq!(spec.build()?.name(), "random");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum SamplerSpec {
    /// [`BayesianSampler`].
    Bayesian(BayesianOptions),
    /// [`GpSampler`].
    Gp(GpOptions),
    /// [`GridSampler`].
    Grid(GridOptions),
    /// [`RandomSampler`].
    Random(RandomOptions),
    /// [`SobolSampler`].
    Sobol(SobolOptions),
    /// [`TpeSampler`].
    Tpe(TpeOptions),
}

impl SamplerSpec {
    /// The sampler.
    ///
    /// # Errors
    /// [`SamplerError::Option`].
    pub fn build(&self) -> Result<Arc<dyn Sampler>, SamplerError> {
        Ok(match self {
            Self::Bayesian(options) => Arc::new(BayesianSampler::new(*options)?),
            Self::Gp(options) => Arc::new(GpSampler::new(*options)?),
            Self::Grid(options) => Arc::new(GridSampler::new(*options)),
            Self::Random(options) => Arc::new(RandomSampler::new(*options)),
            Self::Sobol(options) => Arc::new(SobolSampler::new(*options)),
            Self::Tpe(options) => Arc::new(TpeSampler::new(*options)?),
        })
    }
}
