//! What is known here of runs and experiments, to answer from while the tracker cannot be asked.

use std::collections::HashMap;

use crate::error::Result;
use crate::experiment::{Experiment, LogBatch, MetricSummary, Run, RunSpec};
use crate::id::{ExperimentName, RunId};
use crate::time::Timestamp;

use super::call::SpooledCall;

/// Runs and experiments as they are when everything that waits has been sent.
#[derive(Debug, Default)]
pub(super) struct Views {
    pub(super) experiments: HashMap<ExperimentName, Experiment>,
    pub(super) runs: HashMap<RunId, Run>,
}

impl Views {
    /// Takes in a call that waits.
    pub(super) fn absorb(&mut self, call: &SpooledCall, now: Timestamp) {
        match call {
            SpooledCall::EnsureExperiment(spec) => {
                let make = || Experiment::new(spec.clone(), now);
                self.experiments.entry(spec.name.clone()).or_insert_with(make);
            }
            SpooledCall::StartRun(spec) => {
                self.runs.entry(spec.id.clone()).or_insert_with(|| Run::start((**spec).clone(), now));
            }
            SpooledCall::Write { run, batch } => self.write(run, batch),
            SpooledCall::FinishRun { run, end } => {
                if let Some(run) = self.runs.get_mut(run).filter(|run| !run.status.is_final()) {
                    run.status = end.status;
                    run.ended_at = Some(end.at.unwrap_or(now));
                    run.lease_until = None;
                }
            }
            SpooledCall::SetDeleted { run, deleted } => {
                if let Some(run) = self.runs.get_mut(run) {
                    run.deleted = *deleted;
                }
            }
        }
    }

    /// Takes in a run that the tracker has started, or had.
    pub(super) fn started(&mut self, run: &Run) {
        if !run.status.is_final() {
            self.runs.insert(run.id.clone(), run.clone());
        }
    }

    /// Takes in whether the tracker has hidden a run.
    pub(super) fn changed(&mut self, run: &Run) {
        if let Some(known) = self.runs.get_mut(&run.id) {
            known.deleted = run.deleted;
        }
    }

    /// Takes in a batch. Points are counted as they come: which of them the tracker had already is not known here.
    pub(super) fn write(&mut self, run: &RunId, batch: &LogBatch) {
        let Some(run) = self.runs.get_mut(run) else { return };
        for point in &batch.metrics {
            match run.metrics.get_mut(&point.key) {
                Some(summary) => summary.add(point.clone()),
                None => drop(run.metrics.insert(point.key.clone(), MetricSummary::of(point.clone()))),
            }
        }
        run.params.extend(batch.params.clone());
        run.tags.extend(batch.tags.clone());
        for input in &batch.inputs {
            if !run.inputs.contains(input) {
                run.inputs.push(input.clone());
            }
        }
        if !batch.artifacts.is_empty() {
            run.artifacts.extend(batch.artifacts.iter().cloned());
            run.artifacts.sort();
            run.artifacts.dedup();
        }
    }

    /// Forgets what a call that was refused has made.
    pub(super) fn forget(&mut self, call: &SpooledCall) {
        match call {
            SpooledCall::EnsureExperiment(spec) => drop(self.experiments.remove(&spec.name)),
            SpooledCall::StartRun(spec) => drop(self.runs.remove(&spec.id)),
            _ => {}
        }
    }

    /// Forgets the runs that have ended: nothing of them waits.
    pub(super) fn settle(&mut self) {
        self.runs.retain(|_, run| !run.status.is_final());
    }

    /// The run that is here already under the id of one that is to be started.
    pub(super) fn same(&self, spec: &RunSpec) -> Result<Option<Run>> {
        let Some(run) = self.runs.get(&spec.id) else { return Ok(None) };
        run.check_same(spec)?;
        Ok(Some(run.clone()))
    }

    /// Refuses what a run that is known here does not take any more.
    pub(super) fn check_open(&self, operation: &'static str, run: &RunId) -> Result<()> {
        self.runs.get(run).map_or(Ok(()), |run| run.check_open(operation))
    }
}
