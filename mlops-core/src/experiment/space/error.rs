//! What can be wrong with a search space, or with values for it.

use crate::error::{Error, ErrorKind, quote};

/// Why a search space, or values for one, are refused. Names the parameter by its path, and the value.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SpaceError {
    /// A name of another form than names have.
    #[error(
        "`{}` is no name of a parameter: a letter or `_`, then letters, digits, `_` and `-`, at most 128",
        quote(name)
    )]
    Name {
        /// The name.
        name: String,
    },
    /// Two parameters of one name, or two options of one value.
    #[error("`{}` comes twice", quote(parameter))]
    Duplicate {
        /// The parameter, or the option.
        parameter: String,
    },
    /// Nothing to choose from: a space without parameters, a choice without options.
    #[error("`{}` is empty", quote(parameter))]
    Empty {
        /// What is empty.
        parameter: String,
    },
    /// A number outside its documented range.
    #[error("`{}`: `{key}` is {value:?}, which {reason}", quote(parameter))]
    Number {
        /// The parameter.
        parameter: String,
        /// Which number of it.
        key: &'static str,
        /// Its value.
        value: f64,
        /// What is wrong with it, as a clause.
        reason: &'static str,
    },
    /// Bounds in the wrong order.
    #[error("`{}`: `{low_key}` is {low:?}, which must be below `{high_key}`, {high:?}", quote(parameter))]
    Order {
        /// The parameter.
        parameter: String,
        /// What the lower bound is called.
        low_key: &'static str,
        /// The lower bound.
        low: f64,
        /// What the upper bound is called.
        high_key: &'static str,
        /// The upper bound.
        high: f64,
    },
    /// Choices within choices beyond the limit.
    #[error("`{}` lies more than {limit} choices deep", quote(parameter))]
    Depth {
        /// The parameter.
        parameter: String,
        /// The limit.
        limit: usize,
    },
    /// More of something than is allowed.
    #[error("`{}` has {got} {what}, at most {limit} are allowed", quote(parameter))]
    TooMany {
        /// The parameter, or `space`.
        parameter: String,
        /// What there is too much of.
        what: &'static str,
        /// The limit.
        limit: usize,
        /// How many there are.
        got: usize,
    },
    /// A parameter without a value.
    #[error("`{}` has no value", quote(parameter))]
    Missing {
        /// The parameter.
        parameter: String,
    },
    /// A value for a parameter that the space does not have.
    #[error("`{}` is no parameter of the space", quote(parameter))]
    Unknown {
        /// The parameter.
        parameter: String,
    },
    /// A value of another kind.
    #[error("`{}` is {found}, expected {expected}", quote(parameter))]
    Kind {
        /// The parameter.
        parameter: String,
        /// What was expected.
        expected: &'static str,
        /// What there is.
        found: &'static str,
    },
    /// A value that the parameter cannot take.
    #[error("`{}` cannot be {}", quote(parameter), quote(value))]
    Outside {
        /// The parameter.
        parameter: String,
        /// The value.
        value: String,
    },
    /// Something that a notation has no words for.
    #[error("`{}` cannot be written: {reason}", quote(parameter))]
    Unwritable {
        /// The parameter.
        parameter: String,
        /// Why.
        reason: &'static str,
    },
}

impl SpaceError {
    /// The parameter that the error is about, by its path.
    pub fn parameter(&self) -> &str {
        match self {
            Self::Name { name } => name,
            Self::Duplicate { parameter }
            | Self::Empty { parameter }
            | Self::Number { parameter, .. }
            | Self::Order { parameter, .. }
            | Self::Depth { parameter, .. }
            | Self::TooMany { parameter, .. }
            | Self::Missing { parameter }
            | Self::Unknown { parameter }
            | Self::Kind { parameter, .. }
            | Self::Outside { parameter, .. }
            | Self::Unwritable { parameter, .. } => parameter,
        }
    }
}

impl From<SpaceError> for Error {
    fn from(error: SpaceError) -> Self {
        let kind = match error {
            SpaceError::TooMany { .. } | SpaceError::Depth { .. } => ErrorKind::LimitExceeded,
            _ => ErrorKind::InvalidInput,
        };
        let parameter = error.parameter().to_owned();
        Self::new(kind, "search space", error.to_string()).with("field", parameter).with_source(error)
    }
}
