//! Azure ML's Bayesian sampling, run here.

use serde::{Deserialize, Serialize};

use super::error::SamplerError;
use super::gp::{GpOptions, GpSampler};
use super::request::{Sampler, SuggestRequest, Suggestion};
use super::tpe::{TpeOptions, TpeSampler};
use crate::experiment::space::{ChoiceOption, Distribution, SearchSpace};

/// Options of [`BayesianSampler`]: none, as in Azure.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BayesianOptions {}

/// What Azure ML calls Bayesian sampling, for the spaces that Azure allows: plain choices, `uniform` and `quniform`.
///
/// Azure does not say how it samples. Here it is [`GpSampler`], and [`TpeSampler`] for more parameters than a Gaussian process
/// is made for.
///
/// ```
/// use mlops_core::experiment::sampler::{BayesianSampler, Sampler};
/// use mlops_core::experiment::space::{Distribution, SearchSpace};
///
/// let space = SearchSpace::new([("rate", Distribution::LogUniform { min: -6.0, max: -1.0 })])?;
/// let error = BayesianSampler::default().check(&space).unwrap_err();
/// assert!(error.to_string().starts_with("`rate` cannot be sampled by `bayesian`"));
/// # Ok::<(), mlops_core::experiment::space::SpaceError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct BayesianSampler {
    options: BayesianOptions,
    few: GpSampler,
    many: TpeSampler,
}

impl BayesianSampler {
    /// A sampler with options.
    ///
    /// # Errors
    /// None with the options there are.
    pub fn new(options: BayesianOptions) -> Result<Self, SamplerError> {
        Ok(Self {
            options,
            few: GpSampler::new(GpOptions::default())?,
            many: TpeSampler::new(TpeOptions::default())?,
        })
    }
}

impl Sampler for BayesianSampler {
    fn name(&self) -> &'static str {
        "bayesian"
    }

    fn parameters(&self) -> serde_json::Value {
        serde_json::json!(self.options)
    }

    fn check(&self, space: &SearchSpace) -> Result<(), SamplerError> {
        let plain = |option: &ChoiceOption| matches!(option, ChoiceOption::Value(_));
        let allowed = |law: &Distribution| match law {
            Distribution::Choice { values } => values.iter().all(plain),
            law => matches!(
                law,
                Distribution::Uniform { .. } | Distribution::QUniform { .. } | Distribution::Fixed { .. }
            ),
        };
        match space.iter().find(|(_, law)| !allowed(law)) {
            None => Ok(()),
            Some((name, _)) => Err(SamplerError::Unsupported {
                sampler: "bayesian",
                parameter: name.to_owned(),
                reason: "takes plain choices, `uniform` and `quniform` alone",
            }),
        }
    }

    fn suggest(&self, request: &SuggestRequest<'_>) -> Result<Suggestion, SamplerError> {
        self.check(request.space)?;
        match self.few.check(request.space) {
            Ok(()) => self.few.suggest(request),
            Err(_) => self.many.suggest(request),
        }
    }
}
