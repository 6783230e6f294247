//! Why there is no suggestion.

use crate::error::{Error, ErrorKind, quote};
use crate::experiment::space::SpaceError;

/// Why a sampler has no suggestion, or cannot be built.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SamplerError {
    /// A distribution, or a space, that the sampler is not defined for.
    #[error("`{}` cannot be sampled by `{sampler}`: {reason}", quote(parameter))]
    Unsupported {
        /// The sampler's name.
        sampler: &'static str,
        /// The parameter, or `space`.
        parameter: String,
        /// Why, as a clause.
        reason: &'static str,
    },
    /// An option outside its documented range.
    #[error("`{option}` is {value}, which {reason}")]
    Option {
        /// The option's name.
        option: &'static str,
        /// Its value.
        value: f64,
        /// What is wrong with it, as a clause.
        reason: &'static str,
    },
    /// What a sampler would suggest is no value of the space.
    #[error(transparent)]
    Space(#[from] SpaceError),
}

impl From<SamplerError> for Error {
    fn from(error: SamplerError) -> Self {
        let message = error.to_string();
        let field = match &error {
            SamplerError::Unsupported { parameter, .. } => parameter.clone(),
            SamplerError::Option { option, .. } => (*option).to_owned(),
            SamplerError::Space(space) => space.parameter().to_owned(),
        };
        Self::new(ErrorKind::InvalidInput, "sampler", message).with("field", field).with_source(error)
    }
}
