//! Where a rollout stands.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::judge::Evidence;
use super::{GuardVerdict, RolloutPlan};
use crate::deploy::{OperationStats, TrafficSplit};
use crate::error::{Error, ErrorKind, Result};
use crate::id::{ActorId, Percent};
use crate::time::Timestamp;

/// Why a rollout went back to the stable version.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The candidate failed the smoke test.
    SmokeTest(String),
    /// A guard failed.
    Guard(String),
    /// There was too little data, and the plan says to go back.
    Inconclusive,
    /// There was no data, and the plan says to go back.
    NoData,
    /// The approval was refused.
    Refused(String),
    /// Somebody aborted.
    Aborted(String),
    /// It took longer than the plan allows.
    Deadline,
    /// Something that had to be done kept failing.
    Effect(String),
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SmokeTest(reason) => write!(f, "the smoke test failed: {reason}"),
            Self::Guard(reason) => write!(f, "a guard failed: {reason}"),
            Self::Inconclusive => f.write_str("there was too little data to judge"),
            Self::NoData => f.write_str("there was no data to judge"),
            Self::Refused(reason) => write!(f, "the approval was refused: {reason}"),
            Self::Aborted(reason) => write!(f, "aborted: {reason}"),
            Self::Deadline => f.write_str("the deadline passed"),
            Self::Effect(reason) => write!(f, "it could not go on: {reason}"),
        }
    }
}

/// Why a rollout holds.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PauseReason {
    /// Somebody asked for it.
    Requested(String),
    /// There was too little data.
    Inconclusive,
    /// There was no data.
    NoData,
    /// Somebody else changed the endpoint's traffic to this.
    TrafficChanged(TrafficSplit),
    /// A guard failed whose failure pauses.
    Guard(String),
}

impl fmt::Display for PauseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Requested(reason) => f.write_str(reason),
            Self::Inconclusive => f.write_str("too little data to judge"),
            Self::NoData => f.write_str("no data to judge"),
            Self::TrafficChanged(split) => write!(f, "somebody else changed the traffic to {split}"),
            Self::Guard(reason) => write!(f, "a guard failed: {reason}"),
        }
    }
}

/// Where a paused rollout goes on. Steps count from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PausedAt {
    /// At the smoke test.
    SmokeTest,
    /// At this step, which bakes anew.
    Step(usize),
    /// At the approval that opens this step.
    Approval(usize),
}

/// The phase of a rollout. Steps count from 0.
///
/// ```text
/// Draft → SmokeTest → Shifting(0) → Baking(0) → Shifting(1) → … → [AwaitingApproval] → Shifting(n) → Baking(n)
///       → [Draining] → Promoted
///             any of these ⇄ Paused, Frozen;  any of these → RollingBack → RolledBack | Failed
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Not started.
    Draft,
    /// The candidate is tested without traffic.
    SmokeTest,
    /// Traffic is being moved to the split of a step.
    Shifting {
        /// The step.
        step: usize,
    },
    /// The split of a step is in force; the candidate is judged.
    Baking {
        /// The step.
        step: usize,
        /// Since when.
        since: Timestamp,
    },
    /// The traffic stays as it is until somebody approves this step; guards go on judging.
    AwaitingApproval {
        /// The step.
        step: usize,
    },
    /// The traffic stays as it is; guards go on judging.
    Paused {
        /// Where it goes on.
        at: PausedAt,
        /// Why.
        reason: PauseReason,
    },
    /// All traffic is with the candidate; the stable version is kept ready, guards go on judging.
    Draining {
        /// Since when.
        since: Timestamp,
    },
    /// The traffic stays as it is, whatever guards say and however late it gets, until somebody resumes or aborts.
    Frozen {
        /// Where it goes on.
        at: PausedAt,
        /// Why.
        reason: String,
    },
    /// All traffic is being moved back to the stable version.
    RollingBack {
        /// Why.
        cause: Cause,
    },
    /// The end: all traffic is back with the stable version.
    RolledBack {
        /// Why.
        cause: Cause,
    },
    /// The end: all traffic is with the candidate.
    Promoted,
    /// The end: the rollback itself failed, and a person must look.
    Failed {
        /// Why.
        reason: String,
    },
}

impl Phase {
    /// Whether nothing will happen any more.
    ///
    /// ```
    /// use mlops_core::deploy::rollout::Phase;
    /// assert!(Phase::Promoted.is_terminal());
    /// assert!(!Phase::Draft.is_terminal());
    /// ```
    pub fn is_terminal(&self) -> bool {
        matches!(self, Self::RolledBack { .. } | Self::Promoted | Self::Failed { .. })
    }

    /// The step that this phase is about, where it is about one.
    pub(super) fn step(&self) -> Option<usize> {
        match self {
            Self::Shifting { step } | Self::Baking { step, .. } | Self::AwaitingApproval { step } => {
                Some(*step)
            }
            _ => match self.held_at() {
                Some(PausedAt::Step(step) | PausedAt::Approval(step)) => Some(step),
                _ => None,
            },
        }
    }

    /// Where a rollout that is paused or frozen goes on.
    pub(super) fn held_at(&self) -> Option<PausedAt> {
        match self {
            Self::Paused { at, .. } | Self::Frozen { at, .. } => Some(*at),
            _ => None,
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Draft => f.write_str("not started"),
            Self::SmokeTest => f.write_str("smoke test"),
            Self::Shifting { step } => write!(f, "step {}: shifting traffic", step + 1),
            Self::Baking { step, .. } => write!(f, "step {}: baking", step + 1),
            Self::AwaitingApproval { step } => write!(f, "step {}: awaiting approval", step + 1),
            Self::Paused { reason, .. } => write!(f, "paused: {reason}"),
            Self::Draining { .. } => f.write_str("draining the stable version"),
            Self::Frozen { reason, .. } => write!(f, "frozen: {reason}"),
            Self::RollingBack { cause } => write!(f, "rolling back: {cause}"),
            Self::RolledBack { cause } => write!(f, "rolled back: {cause}"),
            Self::Promoted => f.write_str("promoted"),
            Self::Failed { reason } => write!(f, "failed: {reason}"),
        }
    }
}

/// An endpoint's traffic as it was seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObservedTraffic {
    /// The split.
    pub split: TrafficSplit,
    /// The endpoint's revision.
    pub revision: u64,
}

/// A change of traffic that was decided and not yet seen to have happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrafficIntent {
    /// The split.
    pub split: TrafficSplit,
    /// The revision the endpoint must have when it is made.
    pub expected: u64,
    /// The epoch it was decided in, from which its key follows.
    pub epoch: u64,
}

/// The counters when a step began; `None` where the deployer does not tell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Baseline {
    /// When they were read.
    pub at: Timestamp,
    /// The candidate's.
    pub candidate: Option<OperationStats>,
    /// The stable version's.
    pub stable: Option<OperationStats>,
}

/// Everything there is to know about a rollout: what [`step`](super::step) takes and gives.
///
/// It holds its plan, so that a state read back after a restart is complete.
///
/// ```
/// use mlops_core::deploy::rollout::{Phase, RolloutOptions, RolloutPlan, RolloutState};
/// use mlops_core::{ActorId, DeploymentName, EndpointName};
///
/// let (endpoint, blue) = (EndpointName::new("diabetes")?, DeploymentName::new("blue")?);
/// let plan = RolloutPlan::first(endpoint, blue, ActorId::new("release-bot")?, RolloutOptions::default())?;
/// let state = RolloutState::new(plan);
/// assert_eq!(state.phase, Phase::Draft);
/// let text = serde_json::to_string(&state)?;
/// assert_eq!(serde_json::from_str::<RolloutState>(&text)?, state);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RolloutState {
    /// The version of this shape: 1.
    pub schema: u32,
    /// The plan.
    pub plan: RolloutPlan,
    /// The phase.
    pub phase: Phase,
    /// When it started.
    pub started_at: Option<Timestamp>,
    /// Counts the changes of traffic and the bakes: what belongs to an earlier one is told by it.
    pub epoch: u64,
    /// The traffic seen last.
    pub observed: Option<ObservedTraffic>,
    /// The split that this rollout last saw in force as its own.
    pub settled: TrafficSplit,
    /// The change of traffic under way.
    pub intent: Option<TrafficIntent>,
    /// Whether a change of traffic was ever decided.
    pub moved: bool,
    /// The counters when the step began.
    pub baseline: Option<Baseline>,
    /// What the guards last said in this step.
    pub verdict: Option<GuardVerdict>,
    /// Whether the plan was approved.
    pub approved: bool,
    /// Failures in a row of what the phase has to do.
    pub failures: u32,
    /// The last failure, until it is overcome.
    pub problem: Option<String>,
    /// Who approved so far.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approvers: Vec<ActorId>,
    /// What sequential guards found in the bakes before this one, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub earlier: BTreeMap<String, Evidence>,
    /// What they found in this bake.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub evidence: BTreeMap<String, Evidence>,
    /// Since when a stepped rollback holds the split it has reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_since: Option<Timestamp>,
}

impl RolloutState {
    /// A rollout that has not started.
    pub fn new(plan: RolloutPlan) -> Self {
        let settled = plan.initial_split();
        Self {
            schema: 1,
            plan,
            phase: Phase::Draft,
            started_at: None,
            epoch: 0,
            observed: None,
            settled,
            intent: None,
            moved: false,
            baseline: None,
            verdict: None,
            approved: false,
            failures: 0,
            problem: None,
            approvers: Vec::new(),
            earlier: BTreeMap::new(),
            evidence: BTreeMap::new(),
            held_since: None,
        }
    }

    /// The candidate's share of the traffic as it was seen last.
    pub fn share(&self) -> Percent {
        self.observed.as_ref().map_or(Percent::ZERO, |seen| seen.split.share(self.plan.candidate()))
    }

    /// Refuses a state that no rollout can be in: it was written by another version, or by hand.
    pub(super) fn check(&self) -> Result<()> {
        const OP: &str = "rollout::step";
        let corrupt = |message: &str| Err(Error::new(ErrorKind::Corrupt, OP, message));
        if self.schema != 1 {
            let message = "the state has a schema that is not known";
            return Err(Error::new(ErrorKind::Unsupported, OP, message).with("schema", self.schema));
        }
        if self.phase.step().is_some_and(|step| step >= self.plan.steps().len()) {
            return corrupt("the state is at a step that the plan does not have");
        }
        let in_flight = matches!(self.phase, Phase::Shifting { .. } | Phase::RollingBack { .. });
        if in_flight && self.intent.is_none() {
            return corrupt("the state moves traffic but does not say where to");
        }
        if self.phase != Phase::Draft && !self.phase.is_terminal() && self.observed.is_none() {
            return corrupt("the state has started but has seen no traffic");
        }
        Ok(())
    }
}
