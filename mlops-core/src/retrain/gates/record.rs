//! What the gates remember, and what they decided.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::RetrainCause;
use crate::error::Result;
use crate::hash::Hasher;
use crate::id::{IdempotencyKey, ModelName, RunId};
use crate::retrain::{TriggerDecision, TriggerOutcome, TriggerState};
use crate::time::Timestamp;

/// What held a cause back.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Gate {
    /// It was seen already.
    Dedupe,
    /// Others may come that belong to it.
    Debounce,
    /// Its signal has not been well since the last request.
    Hysteresis,
    /// The last request is not long ago.
    Cooldown,
    /// The budget is used up.
    Budget,
    /// Nothing is retrained now.
    Blackout,
    /// Others train.
    Concurrency,
    /// Too much went wrong, and somebody must look first: a [closed loop's](crate::retrain::closed_loop::ClosedLoop) circuit
    /// breaker.
    Breaker,
}

impl fmt::Display for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Dedupe => "dedupe",
            Self::Debounce => "debounce",
            Self::Hysteresis => "hysteresis",
            Self::Cooldown => "cooldown",
            Self::Budget => "budget",
            Self::Blackout => "blackout",
            Self::Concurrency => "concurrency",
            Self::Breaker => "circuit breaker",
        })
    }
}

/// That a model is to be retrained.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetrainRequest {
    /// Follows from the model and the causes: the same causes are the same request.
    pub id: IdempotencyKey,
    /// The model.
    pub model: ModelName,
    /// Why.
    pub causes: Vec<RetrainCause>,
    /// When it was made.
    pub at: Timestamp,
}

impl RetrainRequest {
    /// The run that answers the request: its id follows from the request's, so that a training that was cut off and begins again is the
    /// same run.
    ///
    /// ```
    /// use mlops_core::retrain::gates::{CauseKind, GateInput, GatesState, RetrainCause, RetrainGates};
    /// let gates = RetrainGates::new("diabetes".parse()?);
    /// let input = GateInput::Cause(RetrainCause::new(CauseKind::Manual, "ada", "1", "new rules"));
    /// let decided = gates.step(&GatesState::default(), &input, 0, "2026-01-01T00:00:00Z".parse()?)?;
    /// let request = decided.requested().ok_or("nothing was requested")?;
    /// assert_eq!(request.run()?, request.clone().run()?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// None that a request which the gates made can cause.
    pub fn run(&self) -> Result<RunId> {
        let digest = Hasher::new("mlops.retrain-run/v1").field(self.id.as_str()).finish().hex();
        Ok(RunId::new(digest.get(..32).unwrap_or_default())?)
    }
}

/// What became of causes.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GateOutcome {
    /// They became a request.
    Requested(RetrainRequest),
    /// They were dropped.
    Suppressed {
        /// What held them back.
        gate: Gate,
        /// Why.
        reason: String,
    },
    /// They are kept, and decided again later.
    Deferred {
        /// What holds them back.
        gate: Gate,
        /// Why.
        reason: String,
    },
}

/// One decision, for the log.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GateRecord {
    /// When.
    pub at: Timestamp,
    /// About what.
    pub causes: Vec<RetrainCause>,
    /// What became of them.
    pub outcome: GateOutcome,
}

impl GateRecord {
    /// The request that it is about, if the causes became one.
    pub fn request(&self) -> Option<&RetrainRequest> {
        match &self.outcome {
            GateOutcome::Requested(request) => Some(request),
            GateOutcome::Suppressed { .. } | GateOutcome::Deferred { .. } => None,
        }
    }

    /// As what a [closed loop](crate::retrain::closed_loop::ClosedLoop::trigger) takes: it begins a cycle with a request, and
    /// records what is held back.
    ///
    /// ```
    /// use mlops_core::retrain::gates::{CauseKind, GateInput, GatesState, RetrainCause, RetrainGates};
    /// let gates = RetrainGates::new("diabetes".parse()?);
    /// let input = GateInput::Cause(RetrainCause::new(CauseKind::Manual, "ada", "1", "new rules"));
    /// let decided = gates.step(&GatesState::default(), &input, 0, "2026-01-01T00:00:00Z".parse()?)?;
    /// assert!(decided.records[0].to_decision().fires());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn to_decision(&self) -> TriggerDecision {
        let outcome = match &self.outcome {
            GateOutcome::Requested(_) => TriggerOutcome::Fire(self.to_string()),
            GateOutcome::Suppressed { .. } | GateOutcome::Deferred { .. } => {
                TriggerOutcome::Suppressed(self.to_string())
            }
        };
        TriggerDecision { outcome, state: TriggerState::default() }
    }
}

impl fmt::Display for GateRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.outcome {
            GateOutcome::Requested(_) => {}
            GateOutcome::Suppressed { gate, reason } => write!(f, "held back by the {gate}: {reason}: ")?,
            GateOutcome::Deferred { gate, reason } => write!(f, "deferred by the {gate}: {reason}: ")?,
        }
        for (place, cause) in self.causes.iter().enumerate() {
            write!(f, "{}{}", if place == 0 { "" } else { "; " }, cause.reason)?;
        }
        Ok(())
    }
}

/// What the gates remember from one call to the next. Keep it after every call.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GatesState {
    /// The version of this shape: 1.
    pub schema: u32,
    /// Source and id of the causes seen lately, oldest first.
    pub seen: Vec<(String, String)>,
    /// The causes that are gathered or deferred.
    pub waiting: Vec<RetrainCause>,
    /// When the first of them came.
    pub waiting_since: Option<Timestamp>,
    /// What deferred them last.
    pub deferred_by: Option<Gate>,
    /// Signals that were a cause and have not been well since.
    pub disarmed: BTreeSet<String>,
    /// When the last request was.
    pub last_request: Option<Timestamp>,
    /// Time and cost of the requests in the budget's period, oldest first.
    pub spent: Vec<(Timestamp, f64)>,
}

impl Default for GatesState {
    fn default() -> Self {
        Self {
            schema: 1,
            seen: Vec::new(),
            waiting: Vec::new(),
            waiting_since: None,
            deferred_by: None,
            disarmed: BTreeSet::new(),
            last_request: None,
            spent: Vec::new(),
        }
    }
}

/// What was decided, and what to remember.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GatesDecision {
    /// What to hand to the next call.
    pub state: GatesState,
    /// What was decided about which causes; empty where nothing was.
    pub records: Vec<GateRecord>,
}

impl GatesDecision {
    /// The request that was made, if one was: at most one a call.
    pub fn requested(&self) -> Option<&RetrainRequest> {
        self.records.iter().find_map(GateRecord::request)
    }
}
