//! What a run did.

use std::collections::BTreeMap;
use std::fmt;

use crate::id::{PortName, RunId, StepName};
use crate::pipeline::{Content, Pipeline, PipelineState, PipelineStatus, RunReason, StepState};
use crate::time::duration_text;

/// What a step did.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq)]
pub struct StepReport {
    /// Its name.
    pub name: StepName,
    /// How it ended.
    pub state: StepState,
    /// How many attempts began.
    pub attempts: u32,
    /// Why it ran.
    pub reason: Option<RunReason>,
    /// The last error, also of one that succeeded in the end.
    pub error: Option<String>,
    /// What its attempts cost together, in the currency of the budget: what they [said](crate::pipeline::StepContext::spend), or else
    /// were expected to. One that is reused cost nothing.
    pub spent: f64,
}

impl StepReport {
    /// Why it ran, was reused or did not run, in words.
    pub fn explain(&self) -> String {
        match (&self.state, &self.reason) {
            (StepState::Reused { from, .. }, _) => {
                format!("step `{}` was reused: nothing it depends on changed since run {from}", self.name)
            }
            (StepState::Skipped(reason), _) => format!("step `{}` was skipped: {reason}", self.name),
            (StepState::Cancelled(reason), _) => format!("step `{}` was cancelled: {reason}", self.name),
            (StepState::Failed { message, .. }, _) => format!("step `{}` failed: {message}", self.name),
            (_, Some(reason)) => format!("step `{}` ran: {reason}", self.name),
            (state, None) => format!("step `{}` is {}", self.name, state.word()),
        }
    }
}

/// What a run of a pipeline did.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq)]
pub struct PipelineReport {
    /// The run.
    pub run: RunId,
    /// How it ended.
    pub status: PipelineStatus,
    /// The steps, in an order in which they can run.
    pub steps: Vec<StepReport>,
}

impl PipelineReport {
    pub(super) fn new(run: RunId, pipeline: &Pipeline, state: &PipelineState) -> Self {
        let report = |name: &StepName| {
            let step = state.step(name)?;
            Some(StepReport {
                name: name.clone(),
                state: step.state.clone(),
                attempts: step.attempts,
                reason: step.reason.clone(),
                error: step.error.clone(),
                spent: step.spent,
            })
        };
        let steps = pipeline.steps().filter_map(|step| report(&step.id)).collect();
        Self { run, status: state.status(), steps }
    }

    /// Whether all steps succeeded, were reused or were skipped.
    pub fn is_success(&self) -> bool {
        self.status == PipelineStatus::Succeeded
    }

    /// A step.
    pub fn step(&self, name: &StepName) -> Option<&StepReport> {
        self.steps.iter().find(|step| step.name == *name)
    }

    /// What a step made, or what was made before and used.
    pub fn outputs(&self, step: &StepName) -> Option<&BTreeMap<PortName, Content>> {
        self.step(step)?.state.outputs()
    }

    /// What the steps cost together, in the currency of the budget.
    pub fn spent(&self) -> f64 {
        self.steps.iter().map(|step| step.spent).sum()
    }

    /// How many steps were reused.
    pub fn reused(&self) -> usize {
        self.steps.iter().filter(|step| matches!(step.state, StepState::Reused { .. })).count()
    }

    /// How many steps ran and succeeded.
    pub fn succeeded(&self) -> usize {
        self.steps.iter().filter(|step| matches!(step.state, StepState::Succeeded { .. })).count()
    }
}

/// One line for the run and one for each step.
impl fmt::Display for PipelineReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.status {
            PipelineStatus::Running => "running",
            PipelineStatus::Succeeded => "succeeded",
            PipelineStatus::Failed => "failed",
            PipelineStatus::Cancelled => "cancelled",
        };
        write!(f, "run {}: {word}, {} ran, {} reused", self.run, self.succeeded(), self.reused())?;
        for step in &self.steps {
            write!(f, "\n  {}", step.explain())?;
            if let StepState::Succeeded { took, .. } = &step.state {
                let rounded =
                    std::time::Duration::from_millis(u64::try_from(took.as_millis()).unwrap_or(u64::MAX));
                write!(f, " ({}, attempt {})", duration_text::format(rounded), step.attempts)?;
            }
            if step.spent > 0.0 {
                write!(f, ", {} spent", step.spent)?;
            }
        }
        Ok(())
    }
}
