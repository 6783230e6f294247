//! From a reason to a request, or to a record of why not.

use super::{
    Gate, GateInput, GateOutcome, GateRecord, GatesDecision, GatesState, RetrainCause, RetrainGates,
    RetrainRequest,
};
use crate::error::{Error, Result};
use crate::hash::Hasher;
use crate::id::IdempotencyKey;
use crate::retrain::cooldown::{later, shown};
use crate::time::{Timestamp, duration_text};

const STEP: &str = "RetrainGates::step";
/// How many causes are remembered.
const SEEN: usize = 1_000;
/// The most causes that wait, and the most signals that are not well.
const MOST: usize = 1_000;

impl RetrainGates {
    /// Looks at one input at the time `now`, while `running` retrainings are at work.
    ///
    /// Pure: the same state, input and time give the same decision, ids included.
    ///
    /// # Errors
    /// As [`check`](Self::check); [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for a state of another schema, a
    /// cause without source or id, a number that is not finite; [`ErrorKind::LimitExceeded`](crate::ErrorKind::LimitExceeded) when
    /// 1 000 causes wait. The state stays what it was.
    pub fn step(
        &self,
        state: &GatesState,
        input: &GateInput,
        running: u32,
        now: Timestamp,
    ) -> Result<GatesDecision> {
        self.check()?;
        if state.schema != 1 {
            return Err(Error::invalid(STEP, "schema", "is not known here").with("value", state.schema));
        }
        let mut run = Run { gates: self, state: state.clone(), running, now, records: Vec::new() };
        run.clamp();
        match input {
            GateInput::Cause(cause) => {
                cause.check()?;
                run.arrive(cause)?;
            }
            GateInput::Measured(level) => {
                level.check()?;
                if level.is_recovered() {
                    run.state.disarmed.remove(&level.signal);
                }
            }
            GateInput::Tick => {}
        }
        run.decide()?;
        Ok(GatesDecision { state: run.state, records: run.records })
    }
}

/// One call.
struct Run<'a> {
    gates: &'a RetrainGates,
    state: GatesState,
    running: u32,
    now: Timestamp,
    records: Vec<GateRecord>,
}

impl Run<'_> {
    /// Nothing lies ahead of the clock.
    fn clamp(&mut self) {
        let now = self.now;
        self.state.last_request = self.state.last_request.map(|at| at.min(now));
        self.state.waiting_since = self.state.waiting_since.map(|at| at.min(now));
        self.state.spent.iter_mut().for_each(|(at, _)| *at = (*at).min(now));
    }

    fn record(&mut self, causes: Vec<RetrainCause>, outcome: GateOutcome) {
        self.records.push(GateRecord { at: self.now, causes, outcome });
    }

    fn suppress(&mut self, causes: Vec<RetrainCause>, gate: Gate, reason: impl Into<String>) {
        self.record(causes, GateOutcome::Suppressed { gate, reason: reason.into() });
    }

    /// Says once that the waiting causes are kept, and not at every look.
    fn defer(&mut self, gate: Gate, reason: impl Into<String>) {
        if self.state.deferred_by != Some(gate) {
            self.state.deferred_by = Some(gate);
            self.record(self.state.waiting.clone(), GateOutcome::Deferred { gate, reason: reason.into() });
        }
    }

    fn arrive(&mut self, cause: &RetrainCause) -> Result<()> {
        let name = (cause.source.clone(), cause.id.clone());
        if let Some(place) = self.state.seen.iter().position(|seen| *seen == name) {
            // What keeps coming is not forgotten.
            let name = self.state.seen.remove(place);
            self.state.seen.push(name);
            self.suppress(vec![cause.clone()], Gate::Dedupe, "it was seen already");
            return Ok(());
        }
        if self.state.waiting.len() >= MOST {
            return Err(Error::limit(STEP, "the number of waiting causes", MOST, MOST + 1));
        }
        self.state.seen.push(name);
        let over = self.state.seen.len().saturating_sub(SEEN);
        self.state.seen.drain(..over);
        self.state.waiting.push(cause.clone());
        self.state.waiting_since.get_or_insert(self.now);
        Ok(())
    }

    /// Leads the waiting causes through the gates.
    fn decide(&mut self) -> Result<()> {
        let Some(since) = self.state.waiting_since else { return Ok(()) };
        let until = later(since, self.gates.debounce);
        if self.now < until {
            self.defer(Gate::Debounce, format!("until {}", shown(until)));
            return Ok(());
        }
        self.hysteresis();
        if self.state.waiting.is_empty() {
            self.clear();
            return Ok(());
        }
        if let Some((gate, reason)) = self.cooldown().or_else(|| self.budget()) {
            let causes = self.clear();
            self.suppress(causes, gate, reason);
            return Ok(());
        }
        if let Some((gate, reason)) = self.blackout().or_else(|| self.concurrency()) {
            self.defer(gate, reason);
            return Ok(());
        }
        self.request()
    }

    fn clear(&mut self) -> Vec<RetrainCause> {
        (self.state.waiting_since, self.state.deferred_by) = (None, None);
        std::mem::take(&mut self.state.waiting)
    }

    fn hysteresis(&mut self) {
        let disarmed = &self.state.disarmed;
        let is_held =
            |cause: &RetrainCause| cause.level.as_ref().is_some_and(|level| disarmed.contains(&level.signal));
        let (held, waiting): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.state.waiting).into_iter().partition(is_held);
        self.state.waiting = waiting;
        if !held.is_empty() {
            self.suppress(held, Gate::Hysteresis, "the signal has not been well since the last request");
        }
    }

    fn cooldown(&self) -> Option<(Gate, String)> {
        let last = self.state.last_request?;
        let of = |cause: &RetrainCause| match self.gates.cooldown_by_cause.get(&cause.kind) {
            Some(length) => length.0,
            None => self.gates.cooldown,
        };
        let until = later(last, self.state.waiting.iter().map(of).min()?);
        (self.now < until).then(|| (Gate::Cooldown, format!("until {}", shown(until))))
    }

    /// The most that a cause says it costs; `None` where none says so.
    fn cost(&self) -> Option<f64> {
        self.state.waiting.iter().filter_map(|cause| cause.cost).reduce(f64::max)
    }

    fn budget(&mut self) -> Option<(Gate, String)> {
        let budget = self.gates.budget?;
        let now = self.now;
        self.state.spent.retain(|(at, _)| now < later(*at, budget.period));
        let period = duration_text::format(budget.period);
        let requests = self.state.spent.len();
        if let Some(most) = budget.requests
            && requests >= most as usize
        {
            return Some((
                Gate::Budget,
                format!("{requests} requests in {period}, at most {most} are allowed"),
            ));
        }
        let most = budget.cost?;
        let spent: f64 = self.state.spent.iter().map(|(_, cost)| cost).sum();
        match self.cost() {
            None => Some((Gate::Budget, "what it costs is not known, and there is a limit".to_owned())),
            // Written so that no comparison with NaN lets it pass.
            Some(cost) if spent + cost <= most => None,
            Some(cost) => Some((
                Gate::Budget,
                format!("it costs {cost}, {spent} is spent in {period}, at most {most} is allowed"),
            )),
        }
    }

    fn blackout(&self) -> Option<(Gate, String)> {
        let until = self.gates.blackouts.iter().filter_map(|blackout| blackout.until(self.now)).max()?;
        Some((Gate::Blackout, format!("until {}", shown(until))))
    }

    fn concurrency(&self) -> Option<(Gate, String)> {
        let most = self.gates.max_running;
        let reason = || format!("{} at work, at most {most} at a time", self.running);
        (self.running >= most).then(|| (Gate::Concurrency, reason()))
    }

    fn request(&mut self) -> Result<()> {
        let signals =
            self.state.waiting.iter().filter_map(|cause| cause.level.as_ref()).map(|level| &level.signal);
        let disarmed: Vec<String> = signals.cloned().collect();
        self.state.disarmed.extend(disarmed);
        if self.state.disarmed.len() > MOST {
            return Err(Error::limit(
                STEP,
                "the number of signals that are not well",
                MOST,
                self.state.disarmed.len(),
            ));
        }
        if self.gates.budget.is_some() {
            self.state.spent.push((self.now, self.cost().unwrap_or_default()));
        }
        self.state.last_request = Some(self.now);
        let causes = self.clear();
        let hasher = Hasher::new("mlops.retrain-request/v1").field(self.gates.model.as_str());
        let hasher = causes.iter().fold(hasher, |hasher, cause| hasher.field(&cause.source).field(&cause.id));
        let id = IdempotencyKey::from_digest(&hasher.finish());
        let request =
            RetrainRequest { id, model: self.gates.model.clone(), causes: causes.clone(), at: self.now };
        self.record(causes, GateOutcome::Requested(request));
        Ok(())
    }
}
