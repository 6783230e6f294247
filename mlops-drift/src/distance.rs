//! What every distance answers: a score, and everything needed to judge it.
//!
//! A bare score cannot be held against a threshold: its size under no drift depends on how many values there are and how many
//! cells they fall into. So every distance of this crate is a [`Distance`]: the score, what it would be on average without any
//! drift, the score with that taken off, the probability of a score as large by chance, an interval for the true distance, what
//! became of every value, and the name of the definition that was used.

use std::fmt;

use mlops_core::num::Measured;
use serde::{Deserialize, Serialize};

use crate::js::LogBase;
use crate::sample::Side;
use crate::smoothing::Smoothing;

/// A distance between a reference and a current sample, with what is needed to judge it.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Distance {
    /// What exactly was computed.
    pub definition: Definition,
    /// The distance, at least 0; its unit and range are the definition's.
    pub score: f64,
    /// What the score is on average when nothing drifts, in the unit of the score.
    pub noise_floor: f64,
    /// The score with the noise taken off, at least 0: an estimate of the distance of the distributions behind the samples.
    pub corrected: f64,
    /// P(this much or more | no drift); undefined when nothing can vary.
    pub p: Measured,
    /// The natural logarithm of `p`, finite where `p` is too small for a double.
    pub ln_p: Measured,
    /// Where the distance of the distributions behind the samples lies; `None` where no interval is known.
    pub interval: Option<Interval>,
    /// What became of the reference values.
    pub reference: Side,
    /// What became of the current values.
    pub current: Side,
    /// How many cells are occupied on some side; 0 for a distance without cells.
    pub cells: u64,
}

/// A two-sided confidence interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Interval {
    /// The share of samples whose interval holds the true value, in (0, 1).
    pub level: f64,
    /// The lower end.
    pub low: f64,
    /// The upper end, at least `low`.
    pub high: f64,
}

impl Interval {
    /// Whether a value lies inside, ends included.
    ///
    /// ```
    /// use mlops_drift::Interval;
    /// assert!(Interval { level: 0.95, low: 0.1, high: 0.2 }.contains(0.2));
    /// ```
    pub fn contains(&self, value: f64) -> bool {
        (self.low..=self.high).contains(&value)
    }
}

/// What exactly a distance computes. Shown as its id, such as `js.distance.base2/v1`: two scores may be compared when their ids
/// are equal, and a definition that changes gets a new version.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Definition {
    /// [Population stability index](mod@crate::psi), in nats.
    Psi(Smoothing),
    /// [Jensen–Shannon](mod@crate::js) distance: the root of the divergence.
    JsDistance(LogBase, Smoothing),
    /// Jensen–Shannon divergence.
    JsDivergence(LogBase, Smoothing),
}

impl fmt::Display for Definition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Psi(smoothing) => write!(f, "psi{}/v1", Suffix(smoothing)),
            Self::JsDistance(base, smoothing) => {
                write!(f, "js.distance.{}{}/v1", name(base), Suffix(smoothing))
            }
            Self::JsDivergence(base, smoothing) => {
                write!(f, "js.divergence.{}{}/v1", name(base), Suffix(smoothing))
            }
        }
    }
}

const fn name(base: LogBase) -> &'static str {
    match base {
        LogBase::Two => "base2",
        LogBase::E => "nats",
    }
}

/// Smoothing as the end of an id; none is not mentioned.
struct Suffix(Smoothing);

impl fmt::Display for Suffix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Smoothing::None => Ok(()),
            Smoothing::Jeffreys => f.write_str(".jeffreys"),
            Smoothing::Laplace => f.write_str(".laplace"),
            Smoothing::Replace(epsilon) => write!(f, ".replace({epsilon:e})"),
            Smoothing::AddRenormalise(epsilon) => write!(f, ".add({epsilon:e})"),
            Smoothing::Floor(epsilon) => write!(f, ".floor({epsilon:e})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_tell_definitions_apart() {
        let ids = [
            (Definition::Psi(Smoothing::Jeffreys), "psi.jeffreys/v1"),
            (Definition::Psi(Smoothing::Floor(0.01)), "psi.floor(1e-2)/v1"),
            (Definition::JsDistance(LogBase::Two, Smoothing::None), "js.distance.base2/v1"),
            (Definition::JsDivergence(LogBase::E, Smoothing::Laplace), "js.divergence.nats.laplace/v1"),
        ];
        for (definition, id) in ids {
            assert_eq!(definition.to_string(), id);
        }
    }
}
