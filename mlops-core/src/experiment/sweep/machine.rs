//! What may happen to a sweep, and what is to be done next: no I/O, no clock, no randomness of its own.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{
    Budget, Decision, EndReason, FailureClass, RoundEnd, SweepEntry, SweepEvent, SweepRound, SweepState,
    Trial, TrialOutcome, TrialPhase,
};
use crate::error::{Error, ErrorKind, Result};
use crate::experiment::sampler::{Observation, Outcome, Sampler, SuggestRequest, Suggestion};
use crate::experiment::stopping::{Evidence, Reports, StoppingPolicy, TrialReports};
#[cfg(feature = "runtime")]
use crate::experiment::stopping::{Verdict, bits};
use crate::id::check_text;
use crate::time::Timestamp;

const APPLY: &str = "SweepState::apply";

/// What is to be done next.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Begin an attempt of a queued trial.
    Start(u64),
    /// Queue a trial again that waits at a rung.
    Promote(u64),
    /// Ask the sampler for the trial of this number.
    Ask(u64),
    /// End a trial from outside, stopping its task.
    Cancel(u64),
    /// End a trial that waits at a rung, as nobody will promote it any more.
    Settle(u64),
    /// End the sweep.
    End(EndReason),
    /// Nothing, until something happens.
    Wait,
}

impl SweepState {
    /// The state that entries of a journal make; `None` for no entries. O(entries), but for what reports replace.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] that names the entry: a first one that is not [`SweepEvent::Created`], a gap in the numbers, an
    /// event that could not happen.
    pub fn replay(entries: &[SweepEntry]) -> Result<Option<Self>> {
        let Some((first, rest)) = entries.split_first() else { return Ok(None) };
        let mut state = Self::begin(first)?;
        for entry in rest {
            state.apply(entry)?;
        }
        Ok(Some(state))
    }

    /// The state after the first entry.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`], as [`Self::replay`].
    pub fn begin(first: &SweepEntry) -> Result<Self> {
        let SweepEvent::Created { spec, sampler } = &first.event else {
            return Err(impossible(first, "a sweep begins by being created"));
        };
        if first.sequence != 1 {
            return Err(impossible(first, "the first entry is number 1"));
        }
        let budget = spec.budget.check();
        budget.map_err(|why| impossible(first, "the budget cannot be followed").with_source(why))?;
        Ok(Self {
            id: spec.id(),
            spec: (**spec).clone(),
            sampler: sampler.clone(),
            entries: 1,
            trials: Vec::new(),
            reports: Vec::new(),
            history: Vec::new(),
            queue: BTreeSet::new(),
            running: BTreeSet::new(),
            waiting: BTreeSet::new(),
            failed: 0,
            failed_before: 0,
            exhausted: false,
            paused: false,
            refused: None,
            ended: None,
            rounds: vec![SweepRound { began_at: first.at, end: None }],
            cost: 0.0,
            worked: Duration::ZERO,
            last_at: first.at,
            created_at: first.at,
            best: None,
        })
    }

    /// Takes in the next entry. An error leaves the state as it was.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] for an entry that cannot follow.
    pub fn apply(&mut self, entry: &SweepEntry) -> Result<()> {
        if entry.sequence != self.entries.saturating_add(1) {
            let error = impossible(entry, "the entries have a gap");
            return Err(error.with("expected", self.entries.saturating_add(1)));
        }
        self.check(&entry.event).map_err(|why| impossible(entry, why))?;
        let opened = matches!(entry.event, SweepEvent::Opened { .. });
        let passed = (entry.at - self.last_at).to_std().unwrap_or_default();
        if !opened && self.ended.is_none() {
            self.worked = self.worked.saturating_add(passed);
        }
        (self.entries, self.last_at) = (entry.sequence, entry.at);
        self.take(&entry.event, entry.at);
        Ok(())
    }

    /// Whether an event may happen now; else why not.
    pub(super) fn check(&self, event: &SweepEvent) -> Result<(), String> {
        let say = |fits: bool, why: &str| if fits { Ok(()) } else { Err(why.to_owned()) };
        if !matches!(event, SweepEvent::Opened { .. }) {
            say(self.ended.is_none(), "the sweep is over")?;
        }
        match event {
            SweepEvent::Created { .. } => say(false, "the sweep was created before"),
            SweepEvent::Opened { budget } => budget.check().map_err(|e| e.to_string()),
            SweepEvent::Asked { trial, assignment, prefix } => {
                say(*trial == self.trials.len() as u64, "trials are numbered without gaps")?;
                say(*trial < self.spec.budget.max_trials, "the budget has no more trials")?;
                say(!self.exhausted, "the sampler has nothing left to suggest")?;
                say(*prefix == self.entries, "a suggestion knows of all entries before it")?;
                self.spec.space.check(assignment).map_err(|e| e.to_string())
            }
            SweepEvent::Exhausted => say(!self.exhausted, "the sampler was exhausted before"),
            SweepEvent::Promoted { trial } => {
                let waits = matches!(self.known(*trial)?.phase, TrialPhase::Paused(_));
                say(waits, "the trial waits at no rung")
            }
            SweepEvent::Started { trial, attempt } => {
                let trial = self.known(*trial)?;
                say(trial.phase == TrialPhase::Queued, "the trial is not queued")?;
                say(Some(*attempt) == trial.attempts.checked_add(1), "attempts are numbered without gaps")
            }
            SweepEvent::Reported { trial, attempt, step, cost, .. } => {
                let cursor = self.at_work(*trial, *attempt)?.cursor;
                say(cursor.is_none_or(|cursor| *step > cursor), "the steps of an attempt grow")?;
                say(*step <= Reports::MAX_STEP, "the step is beyond the greatest")?;
                say(self.room(*trial, *step), "the trial has reported too often")?;
                say(is_cost(*cost), "a cost is finite and not negative")
            }
            SweepEvent::Checkpointed { trial, attempt, checkpoint } => {
                self.at_work(*trial, *attempt)?;
                check_text(APPLY, "the checkpoint", checkpoint).map_err(|e| e.to_string())
            }
            SweepEvent::Finished { trial, attempt, outcome, cost } => {
                say(is_cost(*cost), "a cost is finite and not negative")?;
                self.check_finish(*trial, *attempt, outcome)
            }
            SweepEvent::LeaseExpired { trial, attempt } => self.at_work(*trial, *attempt).map(drop),
            SweepEvent::Paused => Ok(()),
            SweepEvent::Refused { reason } => {
                say(self.refused.is_none(), "the sweep was refused before")?;
                check_text(APPLY, "the reason", reason).map_err(|e| e.to_string())
            }
            SweepEvent::Ended { .. } => {
                let open = self.queue.len() + self.running.len() + self.waiting.len();
                say(open == 0, "a trial has not ended")
            }
        }
    }

    fn check_finish(&self, number: u64, attempt: u32, outcome: &TrialOutcome) -> Result<(), String> {
        let say = |fits: bool, why: &str| if fits { Ok(()) } else { Err(why.to_owned()) };
        let trial = self.known(number)?;
        say(trial.attempts == attempt, "the trial is at another attempt")?;
        match outcome {
            TrialOutcome::Completed { value } => {
                say(trial.phase == TrialPhase::Running, "the trial is not at work")?;
                say(value.is_finite(), "the value is not finite")
            }
            TrialOutcome::Failed { message, .. } => {
                say(trial.phase == TrialPhase::Running, "the trial is not at work")?;
                check_text(APPLY, "the message", message).map_err(|e| e.to_string())
            }
            TrialOutcome::Pruned => {
                say(matches!(trial.phase, TrialPhase::Paused(_)), "the trial waits at no rung")
            }
            TrialOutcome::Cancelled => say(!trial.phase.is_final(), "the trial has ended"),
        }
    }

    fn known(&self, trial: u64) -> Result<&Trial, String> {
        self.trial(trial).ok_or_else(|| format!("there is no trial {trial}"))
    }

    fn at_work(&self, trial: u64, attempt: u32) -> Result<&Trial, String> {
        let trial = self.known(trial)?;
        if trial.phase != TrialPhase::Running {
            return Err(format!("the trial is {}, not at work", trial.phase.as_str()));
        }
        match trial.attempts == attempt {
            true => Ok(trial),
            false => Err(format!("the trial is at attempt {}", trial.attempts)),
        }
    }

    /// Whether a trial may have one more report, at this step.
    fn room(&self, trial: u64, step: u64) -> bool {
        let reports = usize::try_from(trial).ok().and_then(|at| self.reports.get(at));
        reports.is_some_and(|trial| {
            let full = trial.reports.interval() >= Reports::MAX_LEN as u64;
            !full || trial.reports.last().is_some_and(|last| step <= last.step)
        })
    }

    /// Does what an event that may happen says.
    fn take(&mut self, event: &SweepEvent, at: Timestamp) {
        match event {
            SweepEvent::Created { .. } => {}
            SweepEvent::Opened { budget } => {
                if self.ended.is_some() {
                    self.rounds.push(SweepRound { began_at: at, end: None });
                    self.failed_before = self.failed;
                }
                self.spec.budget = budget.clone();
                (self.paused, self.refused, self.ended) = (false, None, None);
            }
            SweepEvent::Asked { trial, assignment, prefix } => {
                self.trials.push(Trial {
                    number: *trial,
                    prefix: *prefix,
                    phase: TrialPhase::Queued,
                    attempts: 0,
                    losses: 0,
                    checkpoint: None,
                    cost: 0.0,
                    started_at: None,
                    ended_at: None,
                    cursor: None,
                });
                self.reports.push(TrialReports::new(*trial));
                self.history.push(Observation::new(*trial, assignment.clone(), Outcome::Running));
                self.align(*trial);
            }
            SweepEvent::Exhausted => self.exhausted = true,
            SweepEvent::Promoted { trial } => self.to(*trial, TrialPhase::Queued, at),
            SweepEvent::Started { trial, attempt } => {
                if let Some(known) = self.trial_mut(*trial) {
                    (known.attempts, known.cursor) = (*attempt, None);
                    known.started_at.get_or_insert(at);
                }
                self.to(*trial, TrialPhase::Running, at);
            }
            SweepEvent::Reported { trial, step, value, cost, decision, .. } => {
                self.spend(*trial, *cost);
                if let Some(known) = self.trial_mut(*trial) {
                    known.cursor = Some(*step);
                }
                self.push_report(*trial, *step, *value);
                match decision {
                    Some(Decision::Stop(evidence)) => {
                        self.to(*trial, TrialPhase::Pruned(evidence.clone()), at)
                    }
                    Some(Decision::Pause(evidence)) => {
                        self.to(*trial, TrialPhase::Paused(evidence.clone()), at)
                    }
                    None => {}
                }
            }
            SweepEvent::Checkpointed { trial, checkpoint, .. } => {
                if let Some(known) = self.trial_mut(*trial) {
                    known.checkpoint = Some(checkpoint.clone());
                }
            }
            SweepEvent::Finished { trial, outcome, cost, .. } => {
                self.spend(*trial, *cost);
                self.finish(*trial, outcome, at);
            }
            SweepEvent::LeaseExpired { trial, .. } => {
                self.lose(*trial, FailureClass::Lost, "nothing was heard of it any more", at);
            }
            SweepEvent::Paused => self.paused = true,
            SweepEvent::Refused { reason } => self.refused = Some(reason.clone()),
            SweepEvent::Ended { reason } => {
                self.ended = Some(*reason);
                if let Some(round) = self.rounds.last_mut() {
                    round.end = Some(RoundEnd { reason: *reason, at, best: self.best });
                }
            }
        }
    }

    fn trial_mut(&mut self, number: u64) -> Option<&mut Trial> {
        self.trials.get_mut(usize::try_from(number).ok()?)
    }

    fn to(&mut self, number: u64, phase: TrialPhase, at: Timestamp) {
        if let Some(trial) = self.trial_mut(number) {
            if phase.is_final() {
                trial.ended_at = Some(at);
            }
            trial.phase = phase;
        }
        self.align(number);
    }

    fn spend(&mut self, number: u64, cost: f64) {
        self.cost += cost;
        if let Some(trial) = self.trial_mut(number) {
            trial.cost += cost;
        }
    }

    /// Adds a report, in place of those from its step on.
    fn push_report(&mut self, number: u64, step: u64, value: f64) {
        let Some(trial) = usize::try_from(number).ok().and_then(|at| self.reports.get_mut(at)) else {
            return;
        };
        trial.reports.truncate_from(step);
        // That it fits was checked.
        let _ = trial.reports.push(step, value);
    }

    fn finish(&mut self, number: u64, outcome: &TrialOutcome, at: Timestamp) {
        let phase = match outcome {
            TrialOutcome::Completed { value } => {
                let best = self.best().map(|best| best.phase.clone());
                let beaten = match best {
                    Some(TrialPhase::Completed { value: best }) => self.spec.goal.is_better(*value, best),
                    _ => true,
                };
                if beaten {
                    self.best = Some(number);
                }
                TrialPhase::Completed { value: *value }
            }
            TrialOutcome::Failed { class, message } => return self.lose(number, *class, message, at),
            TrialOutcome::Cancelled => TrialPhase::Cancelled,
            TrialOutcome::Pruned => match self.trial(number).map(|trial| &trial.phase) {
                Some(TrialPhase::Paused(evidence)) => TrialPhase::Pruned(evidence.clone()),
                _ => return,
            },
        };
        self.to(number, phase, at);
    }

    /// An attempt came to nothing: the trial is queued again, or failed.
    fn lose(&mut self, number: u64, class: FailureClass, message: &str, at: Timestamp) {
        let most = self.spec.budget.max_attempts;
        let Some(trial) = self.trial_mut(number) else { return };
        if class.is_retryable() {
            trial.losses = trial.losses.saturating_add(1);
            if trial.losses < most {
                return self.to(number, TrialPhase::Queued, at);
            }
        }
        self.failed += 1;
        self.to(number, TrialPhase::Failed { class, message: message.to_owned() }, at);
    }

    /// What is to be done next, with tasks of the trials in `busy` still alive.
    ///
    /// Trials that were begun go before new ones, those that may be promoted before those that are unknown. Nothing is to be
    /// done beyond the budget.
    pub fn next(&self, busy: &BTreeSet<u64>, policy: Option<&dyn StoppingPolicy>, now: Timestamp) -> Action {
        if self.ended.is_some() {
            return Action::Wait;
        }
        if let Some(reason) = self.must_end(now) {
            return self.wind_up(reason);
        }
        if self.refused.is_some() {
            return self.wind_up(EndReason::Budget);
        }
        let budget = &self.spec.budget;
        if self.paused || busy.len() >= budget.max_concurrent {
            return Action::Wait;
        }
        if let Some(number) = self.queue.iter().find(|number| !busy.contains(number)) {
            return Action::Start(*number);
        }
        let spent = budget.max_cost.is_some_and(|most| self.cost >= most);
        if !spent {
            let promoted = policy.filter(|_| !self.waiting.is_empty());
            let promoted = promoted.and_then(|policy| policy.promote(&self.reports, self.spec.goal));
            if let Some(number) = promoted.filter(|number| self.waiting.contains(number)) {
                return Action::Promote(number);
            }
            if !self.exhausted && (self.trials.len() as u64) < budget.max_trials {
                return Action::Ask(self.trials.len() as u64);
            }
        }
        if !(self.queue.is_empty() && self.running.is_empty() && busy.is_empty()) {
            return Action::Wait;
        }
        match self.waiting.first() {
            Some(number) => Action::Settle(*number),
            None => Action::End(self.reason(spent)),
        }
    }

    fn reason(&self, spent: bool) -> EndReason {
        let all = self.trials.len() as u64 >= self.spec.budget.max_trials;
        match (all, self.exhausted) {
            (true, _) => EndReason::Trials,
            (_, true) => EndReason::Exhausted,
            _ if spent => EndReason::Cost,
            _ => EndReason::Trials,
        }
    }

    /// Why everything must end at once, if it must.
    fn must_end(&self, now: Timestamp) -> Option<EndReason> {
        let Budget { max_time, max_failures, max_first_failures, .. } = &self.spec.budget;
        if max_time.is_some_and(|most| self.worked_until(now) >= most) {
            return Some(EndReason::Time);
        }
        if max_failures.is_some_and(|most| self.failed > most) {
            return Some(EndReason::Failures);
        }
        let hopeless = *max_first_failures > 0 && self.failed - self.failed_before >= *max_first_failures;
        (hopeless && self.is_barren()).then_some(EndReason::FirstFailures)
    }

    /// Whether nothing has come of any trial yet. Looks at no more trials than have failed, cancelled or open ones aside.
    fn is_barren(&self) -> bool {
        let worked = |trial: &Trial| {
            matches!(
                trial.phase,
                TrialPhase::Completed { .. } | TrialPhase::Pruned(_) | TrialPhase::Paused(_)
            )
        };
        self.best.is_none() && !self.trials.iter().any(worked)
    }

    /// The next step on the way to an end: every trial that has not ended is cancelled first.
    pub(super) fn wind_up(&self, reason: EndReason) -> Action {
        let mut open = self.running.iter().chain(&self.queue).chain(&self.waiting);
        open.next().map_or(Action::End(reason), |number| Action::Cancel(*number))
    }

    /// What a report is: nothing new, when an earlier attempt said the same; else an event, with what the policy decides.
    ///
    /// The trial is at work; the report can be added. It is there while the policy looks, and not after: the event adds it.
    #[cfg(feature = "runtime")]
    pub(super) fn hear(
        &mut self,
        (number, attempt): (u64, u32),
        (step, value): (u64, f64),
        cost: f64,
        policy: Option<&dyn StoppingPolicy>,
    ) -> Option<SweepEvent> {
        let at = usize::try_from(number).ok()?;
        let before = self.reports.get(at)?.reports.at_step(step);
        if before.is_some_and(|before| bits(before.value) == bits(value)) {
            return None;
        }
        let decision = policy.and_then(|policy| self.decide(at, (step, value), policy));
        Some(SweepEvent::Reported { trial: number, attempt, step, value, cost, decision })
    }

    /// What the policy decides about a trial after one more report, with all trials as they are just after it.
    #[cfg(feature = "runtime")]
    fn decide(
        &mut self,
        at: usize,
        (step, value): (u64, f64),
        policy: &dyn StoppingPolicy,
    ) -> Option<Decision> {
        let replaced = self.reports.get_mut(at)?.reports.replace_from(step, value).ok()?;
        let verdict = self.reports.get(at).map(|trial| policy.decide(trial, &self.reports, self.spec.goal));
        if let Some(trial) = self.reports.get_mut(at) {
            trial.reports.restore(replaced);
        }
        match verdict? {
            Verdict::Stop(evidence) => Some(Decision::Stop(evidence)),
            Verdict::Pause(evidence) => Some(Decision::Pause(evidence)),
            Verdict::Continue | Verdict::Abstain(_) => None,
        }
    }

    /// Asks a sampler for the next trial.
    ///
    /// # Errors
    /// Those of the sampler.
    pub fn suggest(&self, sampler: &dyn Sampler) -> Result<SweepEvent> {
        let number = self.trials.len() as u64;
        let request = SuggestRequest {
            space: &self.spec.space,
            goal: self.spec.goal,
            seed: self.spec.seed,
            number,
            history: &self.history,
        };
        Ok(match sampler.suggest(&request)? {
            Suggestion::Next(assignment) => {
                SweepEvent::Asked { trial: number, assignment, prefix: self.entries }
            }
            Suggestion::Exhausted => SweepEvent::Exhausted,
        })
    }

    /// What the last evidence of a trial that stopped or waits is.
    pub fn evidence(&self, number: u64) -> Option<&Evidence> {
        match &self.trial(number)?.phase {
            TrialPhase::Pruned(evidence) | TrialPhase::Paused(evidence) => Some(evidence),
            _ => None,
        }
    }
}

fn is_cost(cost: f64) -> bool {
    cost.is_finite() && cost >= 0.0
}

fn impossible(entry: &SweepEntry, why: impl Into<String>) -> Error {
    Error::new(ErrorKind::Corrupt, APPLY, why).with("entry", entry.sequence)
}

/// Goes through a journal and asks the sampler again for every trial; how many there were.
///
/// # Errors
/// [`ErrorKind::Corrupt`] for a journal that cannot be, [`ErrorKind::Conflict`] for a trial for which the sampler suggests
/// something else, and those of the sampler.
pub fn verify_suggestions(entries: &[SweepEntry], sampler: &dyn Sampler) -> Result<u64> {
    const OP: &str = "verify_suggestions";
    let Some((first, rest)) = entries.split_first() else { return Ok(0) };
    let mut state = SweepState::begin(first)?;
    for entry in rest {
        if matches!(entry.event, SweepEvent::Asked { .. } | SweepEvent::Exhausted) {
            let suggested = state.suggest(sampler)?;
            if suggested != entry.event {
                let message = "the sampler suggests something else than what is written down";
                let error = Error::conflict(OP, message, said(&entry.event), said(&suggested));
                return Err(error.with("entry", entry.sequence));
            }
        }
        state.apply(entry)?;
    }
    Ok(state.trials.len() as u64)
}

fn said(event: &SweepEvent) -> String {
    match event {
        SweepEvent::Asked { assignment, .. } => assignment.to_string(),
        _ => "nothing left".to_owned(),
    }
}
