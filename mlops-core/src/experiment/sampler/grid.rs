//! Grid search: every combination once.

use serde::{Deserialize, Serialize};

use super::error::SamplerError;
use super::request::{Sampler, SuggestRequest, Suggestion};
use crate::experiment::space::law::{nth_float, nth_int, rounded, steps};
use crate::experiment::space::{Assignment, ChoiceOption, Distribution, SearchSpace, Value};

/// Options of [`GridSampler`].
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GridOptions {
    /// Whether whole numbers, steps and quantised ranges are gone through value by value too. Azure's grid takes choices alone,
    /// and so does this one by default.
    pub quantised: bool,
}

impl GridOptions {
    /// Says whether quantised ranges are gone through too.
    #[must_use]
    pub fn with_quantised(mut self, quantised: bool) -> Self {
        self.quantised = quantised;
        self
    }
}

/// Goes through every combination of values in order: trial n is combination n, the last parameter changing fastest. Nothing is
/// laid out; O(parameters + options). After the last there is [`Suggestion::Exhausted`].
///
/// ```
/// use mlops_core::experiment::sampler::{Goal, GridSampler, Sampler, SuggestRequest, Suggestion};
/// use mlops_core::experiment::space::{Distribution, SearchSpace};
///
/// let space = SearchSpace::new([
///     ("depth", Distribution::choice([3, 5])),
///     ("kind", Distribution::choice(["gbdt", "dart", "rf"])),
/// ])?;
/// let grid = GridSampler::default();
/// assert_eq!(grid.count(&space)?, 6);
/// let request = SuggestRequest::new(&space, Goal::Minimize, 0);
/// let trial = grid.suggest(&request.with_number(4))?.into_assignment().ok_or("there is a fifth")?;
/// assert_eq!(trial.to_string(), "depth=5 kind=dart");
/// assert_eq!(grid.suggest(&request.with_number(6))?, Suggestion::Exhausted);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct GridSampler {
    options: GridOptions,
}

impl GridSampler {
    /// A sampler with options.
    pub fn new(options: GridOptions) -> Self {
        Self { options }
    }

    /// How many combinations there are; `u128::MAX` for as many or more.
    ///
    /// # Errors
    /// As [`Sampler::check`].
    pub fn count(&self, space: &SearchSpace) -> Result<u128, SamplerError> {
        space.iter().try_fold(1_u128, |count, (name, law)| Ok(count.saturating_mul(self.radix(name, law)?)))
    }

    /// How many values a parameter takes, those of its options' parameters counted.
    fn radix(&self, name: &str, law: &Distribution) -> Result<u128, SamplerError> {
        match law {
            Distribution::Fixed { .. } => Ok(1),
            Distribution::Choice { values } => {
                values.iter().try_fold(0_u128, |count, option| Ok(count.saturating_add(self.option(option)?)))
            }
            law if self.options.quantised => match Ladder::new(law) {
                Some(ladder) => Ok(u128::from(ladder.count)),
                None => Err(unsupported(name, "has no steps to go through")),
            },
            _ => {
                Err(unsupported(name, "is no choice; only those are gone through, unless `quantised` is set"))
            }
        }
    }

    fn option(&self, option: &ChoiceOption) -> Result<u128, SamplerError> {
        match option {
            ChoiceOption::Value(_) => Ok(1),
            ChoiceOption::Space(space) => self.count(space),
        }
    }

    /// The combination of a number below [`count`](Self::count).
    fn decode(&self, space: &SearchSpace, mut number: u128) -> Result<Assignment, SamplerError> {
        let mut digits = Vec::with_capacity(space.len());
        for (name, law) in space.iter().rev() {
            let radix = self.radix(name, law)?.max(1);
            digits.push((name, law, number % radix));
            number /= radix;
        }
        let mut assignment = Assignment::new();
        for (name, law, digit) in digits.into_iter().rev() {
            assignment.set(name, self.value(law, digit)?)?;
        }
        Ok(assignment)
    }

    fn value(&self, law: &Distribution, mut digit: u128) -> Result<Value, SamplerError> {
        match law {
            Distribution::Fixed { value } => Ok(value.clone()),
            Distribution::Choice { values } => {
                for option in values {
                    let count = self.option(option)?;
                    if digit < count {
                        return match option {
                            ChoiceOption::Value(value) => Ok(value.clone()),
                            ChoiceOption::Space(space) => self.decode(space, digit).map(Value::Table),
                        };
                    }
                    digit -= count;
                }
                Err(unsupported("space", "has no such combination"))
            }
            law => {
                let n = u64::try_from(digit).unwrap_or(u64::MAX);
                let ladder =
                    Ladder::new(law).ok_or_else(|| unsupported("space", "has no such combination"))?;
                Ok(ladder.value(law, n))
            }
        }
    }
}

fn unsupported(parameter: &str, reason: &'static str) -> SamplerError {
    SamplerError::Unsupported { sampler: "grid", parameter: parameter.to_owned(), reason }
}

/// The values of a quantised range, one after the other.
struct Ladder {
    count: u64,
    /// The number of the first multiple of `q`.
    first: f64,
}

impl Ladder {
    fn new(law: &Distribution) -> Option<Self> {
        let multiples = |low: f64, high: f64, q: f64| {
            let (first, last) = ((low / q).round_ties_even(), (high / q).round_ties_even());
            #[expect(clippy::cast_sign_loss, reason = "the last is not before the first")]
            let count = (last - first) as u64 + 1;
            Self { count, first }
        };
        match *law {
            Distribution::RandInt { upper } => Some(Self { count: upper, first: 0.0 }),
            Distribution::Int { low, high, step, .. } => {
                Some(Self { count: high.abs_diff(low) / step + 1, first: 0.0 })
            }
            Distribution::Float { low, high, step: Some(step), .. } => {
                Some(Self { count: steps(low, high, step) + 1, first: 0.0 })
            }
            Distribution::QUniform { min, max, q } => Some(multiples(min, max, q)),
            Distribution::QLogUniform { min, max, q } => Some(multiples(min.exp(), max.exp(), q)),
            _ => None,
        }
    }

    fn value(&self, law: &Distribution, n: u64) -> Value {
        match *law {
            Distribution::Int { low, step, .. } => Value::Int(nth_int(low, step, n)),
            Distribution::Float { low, high, step: Some(step), .. } => {
                Value::Float(nth_float(low, high, step, n))
            }
            Distribution::QUniform { q, .. } | Distribution::QLogUniform { q, .. } => {
                Value::Float(rounded((self.first + n as f64) * q, q))
            }
            _ => Value::Int(i64::try_from(n).unwrap_or(i64::MAX)),
        }
    }
}

impl Sampler for GridSampler {
    fn name(&self) -> &'static str {
        "grid"
    }

    fn parameters(&self) -> serde_json::Value {
        serde_json::json!(self.options)
    }

    fn check(&self, space: &SearchSpace) -> Result<(), SamplerError> {
        self.count(space).map(|_| ())
    }

    fn suggest(&self, request: &SuggestRequest<'_>) -> Result<Suggestion, SamplerError> {
        let number = u128::from(request.number);
        match number < self.count(request.space)? {
            true => self.decode(request.space, number).map(Suggestion::Next),
            false => Ok(Suggestion::Exhausted),
        }
    }
}
