//! A sampler as it stands in a file.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::error::SamplerError;
use super::random::{RandomOptions, RandomSampler};
use super::request::Sampler;
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
    /// [`RandomSampler`].
    Random(RandomOptions),
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
            Self::Random(options) => Arc::new(RandomSampler::new(*options)),
            Self::Tpe(options) => Arc::new(TpeSampler::new(*options)?),
        })
    }
}
