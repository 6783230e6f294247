//! Keeps the tracker's runs in step with the journal.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Sweep, SweepEntry, SweepEvent, SweepState, TrialPhase};
use crate::error::Result;
use crate::experiment::{
    Capsule, ExperimentSpec, ExperimentTracker, LogBatch, MetricPoint, RunEnd, RunSpec, RunStatus,
};
use crate::id::{MetricKey, ParamKey, RunId, TagKey};
use crate::time::Timestamp;

/// How many points are kept back before they are written.
const BATCH: usize = 500;

/// What is told to a tracker.
///
/// The journal is the truth. Everything that is written here may be written again: ids follow from the sweep's and the trial's
/// number, and a point has the time of its entry. What fails is remembered and tried again at the end.
pub(super) struct Projection {
    tracker: Option<Arc<dyn ExperimentTracker>>,
    metric: MetricKey,
    capsule: Capsule,
    /// Reports by trial that were not written yet.
    pending: BTreeMap<u64, Vec<MetricPoint>>,
    /// Trials whose runs may not be in step: all of them when a sweep is opened.
    stale: BTreeSet<u64>,
    /// Trials whose runs have begun.
    begun: BTreeSet<u64>,
    /// How many rounds' runs have begun.
    rounds: usize,
    problem: Option<String>,
    /// Whether what was there before was told.
    opened: bool,
}

impl Projection {
    pub(super) fn new(sweep: &Sweep, state: &SweepState, entries: &[SweepEntry]) -> Self {
        let mut projection = Self {
            tracker: sweep.tracker.clone(),
            metric: state.spec().metric.clone(),
            capsule: sweep.capsule.clone(),
            pending: BTreeMap::new(),
            stale: BTreeSet::new(),
            begun: BTreeSet::new(),
            rounds: 0,
            problem: None,
            opened: false,
        };
        if projection.tracker.is_some() {
            entries.iter().for_each(|entry| projection.keep_point(entry));
            projection.stale.extend(state.trials().iter().map(|trial| trial.number));
        }
        projection
    }

    fn keep_point(&mut self, entry: &SweepEntry) {
        let SweepEvent::Reported { trial, step, value, .. } = entry.event else { return };
        // Steps are at most those of a tracker.
        let step = i64::try_from(step).unwrap_or(i64::MAX);
        let point = MetricPoint::new(self.metric.clone(), value, entry.at).with_step(step);
        self.pending.entry(trial).or_default().push(point);
    }

    /// Takes an entry in that was written down.
    pub(super) async fn heard(&mut self, state: &SweepState, entry: &SweepEntry) {
        let Some(tracker) = self.tracker.clone() else { return };
        self.keep_point(entry);
        if !self.opened {
            self.opened = true;
            let told = self.open(&*tracker, state).await;
            self.note(told);
        }
        let Some(trial) = entry.event.trial() else { return };
        let ended = state.trial(trial).is_some_and(|trial| trial.phase.is_final());
        let many = self.pending.get(&trial).is_some_and(|points| points.len() >= BATCH);
        let begins = matches!(entry.event, SweepEvent::Started { .. }) && !self.begun.contains(&trial);
        if ended || many || begins {
            let told = self.tell(&*tracker, state, trial).await;
            if told.is_err() {
                self.stale.insert(trial);
            }
            self.note(told);
        }
    }

    fn note(&mut self, told: Result<()>) {
        if let Err(error) = told {
            self.problem = Some(error.to_string());
        }
    }

    /// The run of the sweep, and those of trials that were there before.
    async fn open(&mut self, tracker: &dyn ExperimentTracker, state: &SweepState) -> Result<()> {
        self.begin_rounds(tracker, state).await?;
        for trial in std::mem::take(&mut self.stale) {
            if let Err(error) = self.tell(tracker, state, trial).await {
                self.stale.insert(trial);
                self.note(Err(error));
            }
        }
        Ok(())
    }

    /// Begins the runs of the rounds: the first is the sweep's, the others are within it.
    async fn begin_rounds(&mut self, tracker: &dyn ExperimentTracker, state: &SweepState) -> Result<()> {
        let spec = state.spec();
        if self.rounds == 0 {
            tracker.ensure_experiment(&ExperimentSpec::new(spec.experiment.clone())).await?;
        }
        while let Some(round) = state.rounds().get(self.rounds) {
            let mut run = RunSpec::new(spec.experiment.clone(), spec.name.clone(), spec.actor.clone());
            run.id = super::spec::round_run(state.id(), self.rounds);
            (run.started_at, run.tags) = (Some(round.began_at), spec.tags.clone());
            run.capsule = self.capsule.clone();
            if self.rounds > 0 {
                run.name = format!("{} round {}", spec.name, self.rounds);
                run = run.with_parent(state.id().clone());
                run = run.with_tag(TagKey::new("mlops.sweep.round")?, self.rounds.to_string());
            }
            let run = tracker.start_run(&run).await?;
            if !run.status.is_final() {
                let goal = format!("{:?}", spec.goal).to_lowercase();
                let batch = LogBatch::new()
                    .param(ParamKey::new("sweep.metric")?, &spec.metric)
                    .param(ParamKey::new("sweep.goal")?, goal)
                    .param(ParamKey::new("sweep.sampler")?, &state.sampler().name)
                    .param(ParamKey::new("sweep.seed")?, spec.seed);
                tracker.write(&run.id, &batch).await?;
            }
            self.rounds += 1;
        }
        Ok(())
    }

    /// Makes a trial's run what the journal says.
    async fn tell(&mut self, tracker: &dyn ExperimentTracker, state: &SweepState, number: u64) -> Result<()> {
        let Some(trial) = state.trial(number) else { return Ok(()) };
        // A trial that was cancelled in the queue has no run.
        let Some(started_at) = trial.started_at else { return Ok(()) };
        self.begin_rounds(tracker, state).await?;
        let id = super::spec::trial_run(state.id(), number);
        let first = !self.begun.contains(&number);
        if first {
            let run = tracker.start_run(&self.trial_spec(state, number, &id, started_at)).await?;
            self.begun.insert(number);
            if run.status.is_final() {
                self.pending.remove(&number);
                return Ok(());
            }
        }
        let mut batch = LogBatch::new();
        if first {
            for (path, value) in state.assignment(number).map(|a| a.flat()).unwrap_or_default() {
                batch = batch.param(ParamKey::new(path)?, value);
            }
        }
        batch.metrics = self.pending.get(&number).cloned().unwrap_or_default();
        if let Some((point, tags)) = self.ending(state, number)? {
            batch.metrics.extend(point);
            for (key, value) in tags {
                batch = batch.tag(TagKey::new(key)?, value);
            }
        }
        if !batch.is_empty() {
            tracker.write(&id, &batch).await?;
        }
        self.pending.remove(&number);
        if let Some(status) = status(&trial.phase) {
            tracker.finish_run(&id, &RunEnd { status, at: trial.ended_at }).await?;
        }
        Ok(())
    }

    fn trial_spec(&self, state: &SweepState, number: u64, id: &RunId, started_at: Timestamp) -> RunSpec {
        let spec = state.spec();
        let name = format!("{} trial {number}", spec.name);
        let mut run = RunSpec::new(spec.experiment.clone(), name, spec.actor.clone());
        (run.id, run.started_at) = (id.clone(), Some(started_at));
        (run.parent, run.capsule) = (Some(state.id().clone()), self.capsule.clone());
        run
    }

    /// What is logged about a trial that has ended: its value, where its reports do not end with it, and how it ended.
    #[allow(clippy::type_complexity)]
    fn ending(
        &self,
        state: &SweepState,
        number: u64,
    ) -> Result<Option<(Option<MetricPoint>, Vec<(&'static str, String)>)>> {
        let Some(trial) = state.trial(number).filter(|trial| trial.phase.is_final()) else { return Ok(None) };
        let reports = usize::try_from(number).ok().and_then(|at| state.reports().get(at));
        let last = reports.and_then(|trial| trial.reports.last());
        let point = match trial.phase {
            TrialPhase::Completed { value }
                if last.is_none_or(|last| last.value.to_bits() != value.to_bits()) =>
            {
                let step = last.map_or(0, |last| last.step.saturating_add(1));
                let at = trial.ended_at.unwrap_or(state.created_at());
                let point = MetricPoint::new(self.metric.clone(), value, at);
                Some(point.with_step(i64::try_from(step).unwrap_or(i64::MAX)))
            }
            _ => None,
        };
        let mut tags = vec![
            ("mlops.trial.number", number.to_string()),
            ("mlops.trial.outcome", trial.phase.as_str().to_owned()),
            ("mlops.trial.attempts", trial.attempts.to_string()),
        ];
        match &trial.phase {
            TrialPhase::Pruned(evidence) => tags.push(("mlops.trial.evidence", evidence.to_string())),
            TrialPhase::Failed { class, message } => {
                tags.push(("mlops.trial.failure", format!("{class}: {message}")));
            }
            _ => {}
        }
        Ok(Some((point, tags)))
    }

    /// Tries again what failed, and ends the runs of the rounds that are over; what is still wrong.
    pub(super) async fn finish(&mut self, state: &SweepState) -> Option<String> {
        let tracker = self.tracker.clone()?;
        // A sweep that was over when it was opened has written no entry.
        let failed = !self.stale.is_empty() || self.problem.is_some() || !self.opened;
        if failed {
            (self.problem, self.opened) = (None, true);
            let told = self.open(&*tracker, state).await;
            self.note(told);
        }
        if self.problem.is_none() {
            let told = self.end_rounds(&*tracker, state).await;
            self.note(told);
        }
        self.problem.take()
    }

    /// Ends the runs of the rounds that have ended, each as it did.
    async fn end_rounds(&mut self, tracker: &dyn ExperimentTracker, state: &SweepState) -> Result<()> {
        for (number, round) in state.rounds().iter().enumerate() {
            let Some(end) = &round.end else { continue };
            self.begin_rounds(tracker, state).await?;
            let run = super::spec::round_run(state.id(), number);
            if tracker.run(&run).await?.status.is_final() {
                continue;
            }
            let mut batch = LogBatch::new().tag(TagKey::new("mlops.sweep.ended")?, end.reason.as_str());
            let best = end.best.and_then(|best| state.trial(best));
            if let Some((trial, value)) = best.and_then(|trial| Some((trial, trial.value()?))) {
                let best_run = super::spec::trial_run(state.id(), trial.number);
                let at = trial.ended_at.unwrap_or(state.created_at());
                batch = batch
                    .tag(TagKey::new("mlops.sweep.best_trial")?, trial.number.to_string())
                    .tag(TagKey::new("mlops.sweep.best_run")?, best_run.to_string())
                    .metric(MetricPoint::new(self.metric.clone(), value, at));
            }
            tracker.write(&run, &batch).await?;
            let status = match end.reason {
                super::EndReason::Cancelled => RunStatus::Killed,
                super::EndReason::Failures | super::EndReason::FirstFailures => RunStatus::Failed,
                _ => RunStatus::Finished,
            };
            tracker.finish_run(&run, &RunEnd { status, at: Some(end.at) }).await?;
        }
        Ok(())
    }
}

/// How the run of a trial ends.
fn status(phase: &TrialPhase) -> Option<RunStatus> {
    match phase {
        TrialPhase::Completed { .. } => Some(RunStatus::Finished),
        TrialPhase::Pruned(_) | TrialPhase::Cancelled => Some(RunStatus::Killed),
        TrialPhase::Failed { .. } => Some(RunStatus::Failed),
        TrialPhase::Queued | TrialPhase::Running | TrialPhase::Paused(_) => None,
    }
}
