//! A trial that has stopped improving.

use serde::{Deserialize, Serialize};

use super::{
    Abstention, Evidence, PolicyKind, StoppingError, StoppingPolicy, StoppingSpec, TrialReports, Verdict,
    best_of, better,
};
use crate::experiment::sampler::Goal;

/// Stops a trial whose last `patience` + 1 reports hold nothing as good as its best before them, give or take `min_delta`; or
/// lets another policy decide then.
///
/// With b the best value before and a the best of the last `patience` + 1: stops when b + `min_delta` < a for a goal to
/// minimise, b − `min_delta` > a for one to maximise. Decides as Optuna 5's `PatientPruner` does but for NaN: a window of
/// nothing but NaN is no improvement and stops the trial, where Optuna lets it go on.
///
/// ```
/// use mlops_core::experiment::sampler::Goal;
/// use mlops_core::experiment::stopping::{Patience, StoppingPolicy as _, TrialReports};
/// let policy = Patience::new(1, 0.0)?;
/// let goes_on = |values: &[f64]| {
///     TrialReports::new(0).with_values(values.iter().copied()).map(|t| policy.decide(&t, &[], Goal::Minimize).goes_on())
/// };
/// assert!(goes_on(&[3.0, 2.0, 2.5])?);
/// assert!(!goes_on(&[3.0, 2.0, 2.5, 2.1])?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Wire", into = "Wire")]
pub struct Patience {
    patience: u64,
    min_delta: f64,
    inner: Option<Box<StoppingSpec>>,
}

impl Patience {
    /// How many reports after the best one are waited for, and by how much they may be worse.
    ///
    /// # Errors
    /// [`StoppingError::Setting`] for a `min_delta` that is negative or not finite.
    pub fn new(patience: u64, min_delta: f64) -> Result<Self, StoppingError> {
        if !(min_delta.is_finite() && min_delta >= 0.0) {
            let (argument, expected) = ("min_delta", "at least 0 and finite");
            return Err(StoppingError::Setting { argument, expected, value: min_delta });
        }
        Ok(Self { patience, min_delta, inner: None })
    }

    /// Lets another policy decide when patience is at its end.
    ///
    /// # Errors
    /// [`StoppingError::Nested`] for a policy that holds one itself.
    pub fn with_inner(mut self, inner: StoppingSpec) -> Result<Self, StoppingError> {
        if matches!(&inner, StoppingSpec::Patience(patience) if patience.inner.is_some()) {
            return Err(StoppingError::Nested);
        }
        self.inner = Some(Box::new(inner));
        Ok(self)
    }

    /// Best before, and best of the last reports; `None` while there are too few.
    fn halves(&self, trial: &TrialReports, goal: Goal) -> Option<(f64, f64)> {
        let window = usize::try_from(self.patience).ok()?.checked_add(1)?;
        let before = usize::try_from(trial.reports.interval()).ok()?.checked_sub(window)?;
        if before == 0 {
            return None;
        }
        let after = trial.reports.iter().skip(before).map(|report| report.value);
        let after = best_of(goal, after).unwrap_or(f64::NAN);
        let before = trial.reports.best_until(before as u64, goal).unwrap_or(f64::NAN);
        Some((before, after))
    }
}

impl StoppingPolicy for Patience {
    fn decide(&self, trial: &TrialReports, all: &[TrialReports], goal: Goal) -> Verdict {
        let Some((before, after)) = self.halves(trial, goal) else {
            let found = usize::try_from(trial.reports.interval()).unwrap_or(usize::MAX);
            let needed = usize::try_from(self.patience).unwrap_or(usize::MAX).saturating_add(2);
            return Verdict::Abstain(Abstention::TooFew { found, needed });
        };
        let bound = match goal {
            Goal::Maximize => before - self.min_delta,
            Goal::Minimize => before + self.min_delta,
        };
        if !(after.is_nan() || better(goal, bound, after) && !bound.is_nan()) {
            return Verdict::Continue;
        }
        match &self.inner {
            Some(inner) => inner.decide(trial, all, goal),
            None => Verdict::Stop(Evidence::new(PolicyKind::Patience, &trial.reports, after, bound, 0)),
        }
    }

    fn promote(&self, all: &[TrialReports], goal: Goal) -> Option<u64> {
        self.inner.as_ref()?.promote(all, goal)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    patience: u64,
    #[serde(default)]
    min_delta: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    inner: Option<Box<StoppingSpec>>,
}

impl TryFrom<Wire> for Patience {
    type Error = StoppingError;

    fn try_from(wire: Wire) -> Result<Self, StoppingError> {
        let policy = Self::new(wire.patience, wire.min_delta)?;
        match wire.inner {
            Some(inner) => policy.with_inner(*inner),
            None => Ok(policy),
        }
    }
}

impl From<Patience> for Wire {
    fn from(policy: Patience) -> Self {
        Self { patience: policy.patience, min_delta: policy.min_delta, inner: policy.inner }
    }
}
