//! What steps are expected to cost.

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::id::StepName;

/// What an attempt of each step is expected to cost, in the currency of a budget.
///
/// ```
/// use mlops_core::id::StepName;
/// use mlops_core::pipeline::StepCosts;
/// let costs = StepCosts::new(0.5)?.with(StepName::new("train")?, 40.0)?;
/// assert_eq!((costs.of(&StepName::new("train")?), costs.of(&StepName::new("load")?)), (40.0, 0.5));
/// assert!(StepCosts::new(f64::NAN).is_err());
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct StepCosts {
    other: f64,
    steps: BTreeMap<StepName, f64>,
}

impl StepCosts {
    /// What a step costs that is not named.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for a cost that is negative or not finite.
    pub fn new(other: f64) -> Result<Self> {
        Ok(Self { other: check(other)?, steps: BTreeMap::new() })
    }

    /// What a step costs.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with(mut self, step: StepName, cost: f64) -> Result<Self> {
        self.steps.insert(step, check(cost)?);
        Ok(self)
    }

    /// What an attempt of a step is expected to cost.
    pub fn of(&self, step: &StepName) -> f64 {
        self.steps.get(step).copied().unwrap_or(self.other)
    }
}

fn check(cost: f64) -> Result<f64> {
    if cost.is_finite() && cost >= 0.0 {
        return Ok(cost);
    }
    Err(Error::invalid("StepCosts", "cost", format!("must be finite and not negative, got {cost}")))
}
