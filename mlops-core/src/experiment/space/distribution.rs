//! How a parameter is distributed.

use serde::{Deserialize, Serialize};

use super::search_space::SearchSpace;
use super::value::Value;

/// How a parameter is distributed. Unchecked by itself; a [`SearchSpace`] holds checked ones alone.
///
/// The names, keys and formulas of the first eleven are Azure ML's sweep jobs'. Mind that the bounds of
/// [`LogUniform`](Self::LogUniform) are *logarithms*, as Azure defines them; [`Float`](Self::Float) with `log` takes the
/// bounds themselves. Rounding is to the nearest multiple of `q`, halves to the even one, as Python's `round`; the multiple
/// may lie up to q/2 beyond a bound.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
pub enum Distribution {
    /// One of several options, each equally likely.
    Choice {
        /// The options; at least one, no two the same.
        values: Vec<ChoiceOption>,
    },
    /// A whole number in 0 … upper − 1.
    RandInt {
        /// One more than the greatest; at least 1.
        upper: u64,
    },
    /// U(min, max).
    Uniform {
        /// The lower bound.
        min: f64,
        /// The upper bound.
        max: f64,
    },
    /// round(U(min, max) / q) · q.
    QUniform {
        /// The lower bound.
        min: f64,
        /// The upper bound.
        max: f64,
        /// The distance between values; positive.
        q: f64,
    },
    /// exp(U(min, max)).
    LogUniform {
        /// The logarithm of the lower bound.
        min: f64,
        /// The logarithm of the upper bound.
        max: f64,
    },
    /// round(exp(U(min, max)) / q) · q.
    QLogUniform {
        /// The logarithm of the lower bound.
        min: f64,
        /// The logarithm of the upper bound.
        max: f64,
        /// The distance between values; positive.
        q: f64,
    },
    /// N(mu, sigma).
    Normal {
        /// The mean.
        mu: f64,
        /// The standard deviation; positive.
        sigma: f64,
    },
    /// round(N(mu, sigma) / q) · q.
    QNormal {
        /// The mean.
        mu: f64,
        /// The standard deviation; positive.
        sigma: f64,
        /// The distance between values; positive.
        q: f64,
    },
    /// exp(N(mu, sigma)).
    LogNormal {
        /// The mean of the logarithm.
        mu: f64,
        /// The standard deviation of the logarithm; positive.
        sigma: f64,
    },
    /// round(exp(N(mu, sigma)) / q) · q.
    QLogNormal {
        /// The mean of the logarithm.
        mu: f64,
        /// The standard deviation of the logarithm; positive.
        sigma: f64,
        /// The distance between values; positive.
        q: f64,
    },
    /// A value that does not vary, beside those of a conditional option that do.
    Fixed {
        /// The value.
        value: Value,
    },
    /// A whole number in low, low + step, … ≤ high.
    Int {
        /// The least.
        low: i64,
        /// The greatest.
        high: i64,
        /// The distance between values; at least 1, and 1 with `log`.
        #[serde(default = "one")]
        step: u64,
        /// Whether the logarithm is what is uniform; `low` is then at least 1.
        #[serde(default)]
        log: bool,
    },
    /// A number in \[low, high\].
    Float {
        /// The least.
        low: f64,
        /// The greatest.
        high: f64,
        /// The distance between values, from `low` on; positive, and not with `log`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        step: Option<f64>,
        /// Whether the logarithm is what is uniform; `low` is then positive.
        #[serde(default)]
        log: bool,
    },
}

fn one() -> u64 {
    1
}

/// One option of a [`Distribution::Choice`].
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum ChoiceOption {
    /// A plain value.
    Value(Value),
    /// Parameters of its own, that exist only when the option is chosen.
    Space(SearchSpace),
}

impl<T: Into<Value>> From<T> for ChoiceOption {
    fn from(value: T) -> Self {
        Self::Value(value.into())
    }
}

impl From<SearchSpace> for ChoiceOption {
    fn from(space: SearchSpace) -> Self {
        Self::Space(space)
    }
}

impl Distribution {
    /// One of several options.
    ///
    /// ```
    /// use mlops_core::experiment::space::{Distribution, SearchSpace};
    /// let space = SearchSpace::new([("kind", Distribution::choice(["svm", "tree"]))])?;
    /// assert_eq!(space.len(), 1);
    /// # Ok::<(), mlops_core::experiment::space::SpaceError>(())
    /// ```
    pub fn choice(options: impl IntoIterator<Item = impl Into<ChoiceOption>>) -> Self {
        Self::Choice { values: options.into_iter().map(Into::into).collect() }
    }

    /// A whole number from `low` to `high`.
    pub fn int(low: i64, high: i64) -> Self {
        Self::Int { low, high, step: 1, log: false }
    }

    /// A whole number from `low` to `high`, uniform in its logarithm.
    pub fn log_int(low: i64, high: i64) -> Self {
        Self::Int { low, high, step: 1, log: true }
    }

    /// A number from `low` to `high`.
    pub fn float(low: f64, high: f64) -> Self {
        Self::Float { low, high, step: None, log: false }
    }

    /// A number from `low` to `high`, uniform in its logarithm; the bounds are numbers, not logarithms.
    pub fn log_float(low: f64, high: f64) -> Self {
        Self::Float { low, high, step: None, log: true }
    }

    /// A value that does not vary.
    pub fn fixed(value: impl Into<Value>) -> Self {
        Self::Fixed { value: value.into() }
    }

    /// What the distribution is called in files.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Choice { .. } => "choice",
            Self::RandInt { .. } => "randint",
            Self::Uniform { .. } => "uniform",
            Self::QUniform { .. } => "quniform",
            Self::LogUniform { .. } => "loguniform",
            Self::QLogUniform { .. } => "qloguniform",
            Self::Normal { .. } => "normal",
            Self::QNormal { .. } => "qnormal",
            Self::LogNormal { .. } => "lognormal",
            Self::QLogNormal { .. } => "qlognormal",
            Self::Fixed { .. } => "fixed",
            Self::Int { .. } => "int",
            Self::Float { .. } => "float",
        }
    }
}
