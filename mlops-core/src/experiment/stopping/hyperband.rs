//! Hyperband: successive halving in brackets.

use serde::{Deserialize, Serialize};

use super::asha::at_least;
use super::{Asha, Evidence, PolicyKind, StoppingError, StoppingPolicy, TrialReports, Verdict};
use crate::experiment::sampler::Goal;

/// Successive halving in several brackets, which differ in where their first rung lies, so that slow starters have a chance.
///
/// There are n = ⌊log_η(R/r)⌋ + 1 brackets, r being `min_resource`, R `max_resource` and η the `reduction_factor`. Bracket b is
/// an [`Asha`] without its first b rungs, among its own trials alone. It gets a share of the trials in proportion to
/// ⌈n·η^(n−1−b)/(n−b)⌉. Which bracket a trial belongs to follows from the CRC-32 of `name`, an underscore and its number, as
/// in Optuna 5, whose `HyperbandPruner` decides the same in a study of that name. n is counted in whole numbers; Optuna's
/// floating logarithm loses a bracket where R/r is a power of η and the logarithm is rounded down, as for 243 and 3.
///
/// Source: Li et al., "Hyperband: A Novel Bandit-Based Approach to Hyperparameter Optimization" (JMLR 18, 2018).
///
/// ```
/// use mlops_core::experiment::stopping::Hyperband;
/// let policy = Hyperband::new("study", 1, 9, 3)?;
/// assert_eq!(policy.brackets(), 3);
/// assert!((0..100).all(|trial| policy.bracket(trial) < 3));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Wire", into = "Wire")]
pub struct Hyperband {
    name: String,
    min_resource: u64,
    max_resource: u64,
    reduction_factor: u64,
    bootstrap_count: u64,
}

impl Hyperband {
    /// Brackets between a least and a greatest resource, in steps. `name` draws the brackets of the trials.
    ///
    /// # Errors
    /// [`StoppingError::Setting`] for a least resource of 0, a greatest below it, and a factor below 2.
    pub fn new(
        name: impl Into<String>,
        min_resource: u64,
        max_resource: u64,
        reduction_factor: u64,
    ) -> Result<Self, StoppingError> {
        at_least("min_resource", "at least 1", 1, min_resource)?;
        at_least("max_resource", "at least `min_resource`", min_resource, max_resource)?;
        at_least("reduction_factor", "at least 2", 2, reduction_factor)?;
        Ok(Self { name: name.into(), min_resource, max_resource, reduction_factor, bootstrap_count: 0 })
    }

    /// Stops every trial at a rung until more than this many of its bracket have reached it.
    #[must_use]
    pub fn with_bootstrap_count(mut self, count: u64) -> Self {
        self.bootstrap_count = count;
        self
    }

    /// How many brackets there are; at most 64.
    pub fn brackets(&self) -> u32 {
        let steps = (0..64)
            .map_while(|power| self.reduction_factor.checked_pow(power)?.checked_mul(self.min_resource));
        let count = steps.take_while(|step| *step <= self.max_resource).count();
        u32::try_from(count).unwrap_or(64)
    }

    /// How many of all [`shares`](Self::shares) a bracket gets: ⌈n·η^s/(s+1)⌉ with s = n − 1 − b.
    fn share(&self, bracket: u32) -> u128 {
        let n = self.brackets();
        let s = n.saturating_sub(1).saturating_sub(bracket);
        // η^s is at most the greatest resource.
        let trials = u128::from(n) * u128::from(self.reduction_factor.saturating_pow(s));
        trials.div_ceil(u128::from(s) + 1)
    }

    /// The shares of the brackets, in trials.
    ///
    /// ```
    /// use mlops_core::experiment::stopping::Hyperband;
    /// assert_eq!(Hyperband::new("", 1, 81, 3)?.shares(), [81, 34, 15, 8, 5]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn shares(&self) -> Vec<u128> {
        (0..self.brackets()).map(|bracket| self.share(bracket)).collect()
    }

    /// The bracket of a trial.
    pub fn bracket(&self, trial: u64) -> u32 {
        let shares = self.shares();
        let total: u128 = shares.iter().sum();
        let mut place = u128::from(crc32(format!("{}_{trial}", self.name).as_bytes())) % total.max(1);
        for (bracket, share) in (0..).zip(&shares) {
            if place < *share {
                return bracket;
            }
            place -= share;
        }
        0
    }
}

/// CRC-32 as of zlib (reflected polynomial 0xEDB88320).
fn crc32(bytes: &[u8]) -> u32 {
    let bit = |crc: u32, _| crc >> 1 ^ if crc & 1 == 1 { 0xedb8_8320 } else { 0 };
    !bytes.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), bit))
}

impl StoppingPolicy for Hyperband {
    fn decide(&self, trial: &TrialReports, all: &[TrialReports], goal: Goal) -> Verdict {
        let bracket = self.bracket(trial.number);
        // The settings were checked when this was made.
        let Ok(halving) = Asha::new(self.min_resource, self.reduction_factor) else {
            return Verdict::Continue;
        };
        let halving = halving.with_early_stopping_rate(bracket).with_bootstrap_count(self.bootstrap_count);
        match halving.decide_within(trial, all, goal, &|number| self.bracket(number) == bracket) {
            Verdict::Stop(evidence) => Verdict::Stop(Evidence { policy: PolicyKind::Hyperband, ..evidence }),
            verdict => verdict,
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    #[serde(default)]
    name: String,
    #[serde(default = "one")]
    min_resource: u64,
    max_resource: u64,
    #[serde(default = "three")]
    reduction_factor: u64,
    #[serde(default)]
    bootstrap_count: u64,
}

fn one() -> u64 {
    1
}

fn three() -> u64 {
    3
}

impl TryFrom<Wire> for Hyperband {
    type Error = StoppingError;

    fn try_from(wire: Wire) -> Result<Self, StoppingError> {
        let policy = Self::new(wire.name, wire.min_resource, wire.max_resource, wire.reduction_factor)?;
        Ok(policy.with_bootstrap_count(wire.bootstrap_count))
    }
}

impl From<Hyperband> for Wire {
    fn from(policy: Hyperband) -> Self {
        let Hyperband { name, min_resource, max_resource, reduction_factor, bootstrap_count } = policy;
        Self { name, min_resource, max_resource, reduction_factor, bootstrap_count }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// zlib 1.3's `crc32`, through Python 3.13's `zlib.crc32`.
    #[test]
    fn crc32_meets_published_values() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        assert_eq!(crc32(b""), 0);
    }

    #[test]
    fn brackets_are_counted_in_whole_numbers() {
        for (min, max, factor, expected) in
            [(1, 243, 3, 6), (1, 1, 2, 1), (1, 8, 2, 4), (1, 7, 2, 3), (3, 80, 3, 3), (1, u64::MAX, 2, 64)]
        {
            assert_eq!(Hyperband::new("", min, max, factor).unwrap().brackets(), expected, "{max} {factor}");
        }
    }
}
