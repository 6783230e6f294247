//! Where a rollout stands.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::judge::Evidence;
use super::{GuardVerdict, RolloutPlan};
use crate::deploy::{Mirror, OperationStats, TrafficSplit};
use crate::error::{Error, ErrorKind, Result};
use crate::id::{ActorId, Percent};
use crate::time::Timestamp;

/// Why a rollout went back to the stable version.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// A check at the beginning failed.
    Precheck(String),
    /// The candidate did not become ready, or is not what the plan says.
    Candidate(String),
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
    /// Not enough people approved in time.
    ApprovalExpired,
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
            Self::Precheck(reason) => write!(f, "a check at the beginning failed: {reason}"),
            Self::Candidate(reason) => write!(f, "the candidate cannot be used: {reason}"),
            Self::SmokeTest(reason) => write!(f, "the smoke test failed: {reason}"),
            Self::Guard(reason) => write!(f, "a guard failed: {reason}"),
            Self::Inconclusive => f.write_str("there was too little data to judge"),
            Self::NoData => f.write_str("there was no data to judge"),
            Self::Refused(reason) => write!(f, "the approval was refused: {reason}"),
            Self::ApprovalExpired => f.write_str("it was not approved in time"),
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
    /// Somebody else changed the endpoint's mirror to this, or took it away.
    MirrorChanged(Option<Mirror>),
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
            Self::MirrorChanged(Some(mirror)) => write!(f, "somebody else changed the mirror to {mirror}"),
            Self::MirrorChanged(None) => f.write_str("somebody else took the mirror away"),
            Self::Guard(reason) => write!(f, "a guard failed: {reason}"),
        }
    }
}

/// Where a paused rollout goes on. Steps count from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PausedAt {
    /// At the checks at the beginning.
    Prechecks,
    /// At the wait for the candidate.
    Deploying,
    /// At the smoke test.
    SmokeTest,
    /// As a shadow, which bakes anew.
    Shadow,
    /// At this step, which bakes anew.
    Step(usize),
    /// At the approval that opens this step.
    Approval(usize),
}

/// The phase of a rollout. Steps count from 0.
///
/// ```text
/// Draft → Prechecks → Deploying → SmokeTest → [Mirroring → Shadowing → Unmirroring → [Shadowed]]
///       → Shifting(0) → Baking(0) → Shifting(1) → … → [AwaitingApproval] → Shifting(n) → Baking(n) → [Draining] → Promoted
///             any of these ⇄ Paused, Frozen;  any of these → RollingBack → RolledBack | Failed
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Not started.
    Draft,
    /// It is looked at whether everything is there that the plan needs; nothing is done yet.
    Prechecks {
        /// Since when.
        since: Timestamp,
    },
    /// The candidate is made where it is not there, and waited for until it is ready, without traffic.
    Deploying {
        /// Since when.
        since: Timestamp,
    },
    /// The candidate is tested without traffic.
    SmokeTest,
    /// The candidate is being made the shadow. No phase of the shadow moves any traffic.
    Mirroring,
    /// The candidate is the shadow, and is judged.
    Shadowing {
        /// Since when.
        since: Timestamp,
    },
    /// The candidate was good, and is the shadow until that is taken away.
    Unmirroring,
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
    /// The end: all traffic is back with the stable version, as it was last seen. Of a rollout that was aborted before it started nothing
    /// was seen, and nothing done.
    RolledBack {
        /// Why.
        cause: Cause,
    },
    /// The end: all traffic is with the candidate.
    Promoted,
    /// The end: the candidate was good as a shadow, and the plan asked for no more. The traffic is as it was.
    Shadowed,
    /// The end: the rollback itself failed, or somebody else had moved the traffic elsewhere, and a person must look.
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
        matches!(self, Self::RolledBack { .. } | Self::Promoted | Self::Shadowed | Self::Failed { .. })
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
            Self::Prechecks { .. } => f.write_str("checks at the beginning"),
            Self::Deploying { .. } => f.write_str("waiting for the candidate"),
            Self::SmokeTest => f.write_str("smoke test"),
            Self::Mirroring => f.write_str("shadow: setting the mirror"),
            Self::Shadowing { .. } => f.write_str("shadow: baking"),
            Self::Unmirroring => f.write_str("shadow: taking the mirror away"),
            Self::Shifting { step } => write!(f, "step {}: shifting traffic", step + 1),
            Self::Baking { step, .. } => write!(f, "step {}: baking", step + 1),
            Self::AwaitingApproval { step } => write!(f, "step {}: awaiting approval", step + 1),
            Self::Paused { reason, .. } => write!(f, "paused: {reason}"),
            Self::Draining { .. } => f.write_str("draining the stable version"),
            Self::Frozen { reason, .. } => write!(f, "frozen: {reason}"),
            Self::RollingBack { cause } => write!(f, "rolling back: {cause}"),
            Self::RolledBack { cause } => write!(f, "rolled back: {cause}"),
            Self::Promoted => f.write_str("promoted"),
            Self::Shadowed => f.write_str("good as a shadow"),
            Self::Failed { reason } => write!(f, "failed: {reason}"),
        }
    }
}

/// An endpoint's traffic as it was seen.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObservedTraffic {
    /// The split.
    pub split: TrafficSplit,
    /// The endpoint's revision.
    pub revision: u64,
    /// The shadow, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mirror: Option<Mirror>,
}

impl ObservedTraffic {
    /// With this shadow, or none.
    #[must_use]
    pub fn with_mirror(mut self, mirror: impl Into<Option<Mirror>>) -> Self {
        self.mirror = mirror.into();
        self
    }

    /// A split at a revision, without a shadow.
    pub fn new(split: TrafficSplit, revision: u64) -> Self {
        Self { split, revision, mirror: None }
    }
}

/// What a change of the mirror is to make of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MirrorTarget {
    /// No shadow.
    Off,
    /// This shadow.
    On(Mirror),
}

impl MirrorTarget {
    /// The shadow that there is to be.
    pub fn mirror(&self) -> Option<&Mirror> {
        match self {
            Self::Off => None,
            Self::On(mirror) => Some(mirror),
        }
    }
}

/// A change of traffic, or of the mirror, that was decided and not yet seen to have happened.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrafficIntent {
    /// The split; of a change of the mirror the one that stays.
    pub split: TrafficSplit,
    /// The revision the endpoint must have when it is made.
    pub expected: u64,
    /// The epoch it was decided in, from which its key follows.
    pub epoch: u64,
    /// What the mirror is to be, where it is a change of the mirror.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mirror: Option<MirrorTarget>,
}

impl TrafficIntent {
    /// Whether this is what it asks for.
    pub(super) fn is_met_by(&self, traffic: &ObservedTraffic) -> bool {
        match &self.mirror {
            None => traffic.split == self.split,
            Some(target) => traffic.mirror.as_ref() == target.mirror(),
        }
    }
}

/// The counters when a step began; `None` where the deployer does not tell.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Baseline {
    /// When they were read.
    pub at: Timestamp,
    /// The candidate's.
    pub candidate: Option<OperationStats>,
    /// The stable version's.
    pub stable: Option<OperationStats>,
}

impl Baseline {
    /// The counters at that moment; `None` where there are none.
    pub const fn new(
        at: Timestamp,
        candidate: Option<OperationStats>,
        stable: Option<OperationStats>,
    ) -> Self {
        Self { at, candidate, stable }
    }
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
    /// Counts the changes of traffic and mirror and the bakes: what belongs to an earlier one is told by it.
    pub epoch: u64,
    /// The traffic seen last.
    pub observed: Option<ObservedTraffic>,
    /// The split that this rollout last saw in force as its own.
    pub settled: TrafficSplit,
    /// The change of traffic under way.
    pub intent: Option<TrafficIntent>,
    /// Whether this rollout ever decided a change of traffic. What somebody else gave the candidate is in `observed`.
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
    /// Whether the candidate may be the shadow: from the decision that it shall be one until it is seen to be none any more.
    #[serde(default, skip_serializing_if = "is_false")]
    pub mirrored: bool,
    /// When approvals were first asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked_at: Option<Timestamp>,
    /// Until when the approvals given so far count.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub approved_until: BTreeMap<ActorId, Timestamp>,
}

fn is_false(flag: &bool) -> bool {
    !flag
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
            mirrored: false,
            asked_at: None,
            approved_until: BTreeMap::new(),
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
        let of_mirror = matches!(self.phase, Phase::Mirroring | Phase::Unmirroring);
        let in_flight = matches!(self.phase, Phase::Shifting { .. } | Phase::RollingBack { .. });
        if (in_flight || of_mirror) && self.intent.is_none() {
            return corrupt("the state moves traffic but does not say where to");
        }
        if of_mirror && self.intent.as_ref().is_some_and(|intent| intent.mirror.is_none()) {
            return corrupt("the state changes the mirror but does not say to what");
        }
        let shadow = of_mirror
            || matches!(self.phase, Phase::Shadowing { .. })
            || self.phase.held_at() == Some(PausedAt::Shadow);
        if shadow && self.plan.shadow().is_none() {
            return corrupt("the state has a shadow, the plan has none");
        }
        if self.phase != Phase::Draft && !self.phase.is_terminal() && self.observed.is_none() {
            return corrupt("the state has started but has seen no traffic");
        }
        Ok(())
    }
}
