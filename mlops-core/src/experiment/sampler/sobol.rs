//! Quasi-random search: trials that fill the space evenly.

use serde::{Deserialize, Serialize};

use super::error::SamplerError;
use super::random::value_at;
use super::request::{Sampler, SuggestRequest, Suggestion};
use crate::experiment::space::{Assignment, ChoiceOption, Distribution, SearchSpace};
use crate::num::Random;

/// Options of [`SobolSampler`]: none so far.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SobolOptions {}

/// Takes the points of an Owen-scrambled Sobol sequence through the inverse cumulative distribution functions: the first 2ᵏ
/// trials lie in 2ᵏ different equal parts of every parameter's range. O(parameters); the history is not looked at.
///
/// The scrambling comes from the seed. Every parameter of every option has a dimension of its own. The sequence starts anew,
/// scrambled otherwise, after 65 536 trials, and each 256 parameters are scrambled otherwise too.
///
/// ```
/// use mlops_core::experiment::sampler::{Goal, Sampler, SobolSampler, SuggestRequest};
/// use mlops_core::experiment::space::{Distribution, SearchSpace};
///
/// let space = SearchSpace::new([("x", Distribution::float(0.0, 8.0))])?;
/// let mut parts = Vec::new();
/// for number in 0..8 {
///     let request = SuggestRequest::new(&space, Goal::Minimize, 7).with_number(number);
///     let trial = SobolSampler::default().suggest(&request)?.into_assignment().ok_or("never exhausted")?;
///     parts.push(trial.float("x")?.floor());
/// }
/// parts.sort_by(f64::total_cmp);
/// assert_eq!(parts, [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Source: Burley, "Practical hash-based Owen scrambling" (Journal of Computer Graphics Techniques 9, 2020).
#[derive(Clone, Debug, Default)]
pub struct SobolSampler {
    options: SobolOptions,
}

impl SobolSampler {
    /// A sampler with options.
    pub fn new(options: SobolOptions) -> Self {
        Self { options }
    }
}

impl Sampler for SobolSampler {
    fn name(&self) -> &'static str {
        "sobol"
    }

    fn parameters(&self) -> serde_json::Value {
        serde_json::json!(self.options)
    }

    fn check(&self, _: &SearchSpace) -> Result<(), SamplerError> {
        Ok(())
    }

    fn suggest(&self, request: &SuggestRequest<'_>) -> Result<Suggestion, SamplerError> {
        sobol(request).map(Suggestion::Next)
    }
}

/// The values of one point of the sequence.
pub(super) fn sobol(request: &SuggestRequest<'_>) -> Result<Assignment, SamplerError> {
    let mut point = Point::new(request.seed, request.number);
    assign(request.space, &mut point)
}

fn assign(space: &SearchSpace, point: &mut Point) -> Result<Assignment, SamplerError> {
    let mut assignment = Assignment::new();
    for (name, law) in space.iter() {
        let p = point.next();
        let first = point.dimension;
        let value = value_at(law, p, |chosen| {
            point.dimension = first + before(law, chosen);
            assign(chosen, point)
        })?;
        // Whatever was chosen, what follows has the dimensions that it always has.
        point.dimension = first + inside(law);
        assignment.set(name, value)?;
    }
    Ok(assignment)
}

/// How many parameters the options of a choice have.
fn inside(law: &Distribution) -> u32 {
    spaces(law).map(size).sum()
}

/// How many of them stand before those of an option.
fn before(law: &Distribution, chosen: &SearchSpace) -> u32 {
    spaces(law).take_while(|space| !std::ptr::eq(*space, chosen)).map(size).sum()
}

fn spaces(law: &Distribution) -> impl Iterator<Item = &SearchSpace> {
    let options = if let Distribution::Choice { values } = law { values.as_slice() } else { &[] };
    options.iter().filter_map(|option| match option {
        ChoiceOption::Space(space) => Some(space),
        ChoiceOption::Value(_) => None,
    })
}

fn size(space: &SearchSpace) -> u32 {
    space.iter().map(|(_, law)| 1 + inside(law)).sum()
}

/// A point of the sequence, dimension by dimension.
struct Point {
    scrambling: Random,
    index: u32,
    fine: Random,
    dimension: u32,
}

impl Point {
    fn new(seed: u64, number: u64) -> Self {
        const LENGTH: u64 = 1 << 16;
        let root = Random::new(seed).stream("sobol");
        Self {
            scrambling: root.stream("scrambling").nth(number / LENGTH),
            // The remainder of a division by 2^16.
            index: (number % LENGTH) as u32,
            fine: root.stream("fine").nth(number),
            dimension: 0,
        }
    }

    /// A number strictly within (0, 1). The sequence gives its first 24 binary digits, chance the others.
    fn next(&mut self) -> f64 {
        const COARSE: f64 = 1.0 / (1_u32 << 24) as f64;
        let count = sobol_burley::NUM_DIMENSIONS;
        let scrambling = self.scrambling.nth(u64::from(self.dimension / count)).next_u64() >> 32;
        let coarse = sobol_burley::sample(self.index, self.dimension % count, scrambling as u32);
        let coarse = (f64::from(coarse) / COARSE).floor() * COARSE;
        self.dimension += 1;
        (coarse + self.fine.next_f64() * COARSE).clamp(f64::EPSILON / 4.0, 1.0 - f64::EPSILON)
    }
}
