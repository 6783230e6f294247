//! Where a closed loop stands.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use super::LoopConfig;
use crate::deploy::rollout::RolloutPlan;
use crate::error::{Error, ErrorKind, Result};
use crate::evaluation::{ChampionDecision, GateDecision};
use crate::governance::{Approval, ApprovalRequest};
use crate::hash::Digest;
use crate::id::{DeploymentName, IdempotencyKey, RunId, Version};
use crate::retrain::TriggerState;
use crate::retrain::gates::{GatesState, RetrainRequest};
use crate::time::Timestamp;

/// A version that serves.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Serving {
    /// The version.
    pub version: Version,
    /// The digest of its content.
    pub artifact: Digest,
    /// The deployment that answers with it.
    pub deployment: DeploymentName,
}

impl Serving {
    /// A version and the deployment that answers with it.
    pub fn new(version: Version, artifact: Digest, deployment: DeploymentName) -> Self {
        Self { version, artifact, deployment }
    }
}

/// A version that passed the gate.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Challenger {
    /// The version.
    pub version: Version,
    /// The digest of its content.
    pub artifact: Digest,
    /// The decision that let it pass.
    pub gate: GateDecision,
    /// The approval of that decision, once there is one.
    pub approval: Option<Approval>,
}

/// How a challenger compares with the champion, and which of both it is about.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Comparison {
    /// The digest of the champion's content.
    pub champion: Digest,
    /// The digest of the challenger's content.
    pub challenger: Digest,
    /// What came of it.
    pub decision: ChampionDecision,
}

/// The phase of a closed loop.
///
/// ```text
/// Idle → Requested → Training → Evaluating → GateFailed
///                                          → [AwaitingApproval → Declined | Expired | Superseded]
///                                          → ChallengerReady → RollingOut → RolledBack | Failed
///                                                            → Promoting → Promoted → [Reverting → RolledBack]
/// ```
///
/// `GateFailed`, `Declined`, `Expired`, `Superseded`, `RolledBack`, `Promoted` and `Failed` are ends of a cycle; the next one may
/// begin there as from `Idle`, but not from `Failed`, where a person must look.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LoopPhase {
    /// Nothing to do.
    Idle,
    /// Somebody shall train.
    Requested {
        /// Why.
        reason: String,
    },
    /// A run trains.
    Training {
        /// The run.
        run: RunId,
    },
    /// What the run made is evaluated.
    Evaluating {
        /// The run.
        run: RunId,
    },
    /// End: nothing came of it that may serve.
    GateFailed {
        /// Why.
        reason: String,
    },
    /// Somebody must approve the gate's decision.
    AwaitingApproval {
        /// The challenger.
        challenger: Box<Challenger>,
        /// What is asked.
        request: ApprovalRequest,
        /// Until when an answer is waited for.
        until: Timestamp,
    },
    /// End: it is not better than the champion, was not approved, or could not be deployed.
    Declined {
        /// The version.
        version: Version,
        /// Why.
        reason: String,
    },
    /// End: nobody answered in time. What was not asked again is not approved.
    Expired {
        /// The version.
        version: Version,
        /// Until when an answer was waited for.
        until: Timestamp,
    },
    /// End: while it awaited approval something newer came, and takes its place.
    Superseded {
        /// The version.
        version: Version,
        /// By what.
        reason: String,
    },
    /// The challenger may serve; it is being deployed without traffic.
    ChallengerReady {
        /// The challenger.
        challenger: Box<Challenger>,
    },
    /// Traffic moves to the challenger.
    RollingOut {
        /// The challenger.
        challenger: Box<Challenger>,
        /// The plan.
        plan: Box<RolloutPlan>,
    },
    /// The challenger has all traffic; the alias follows.
    Promoting {
        /// The challenger.
        challenger: Box<Challenger>,
        /// The deployment that answers with it.
        deployment: DeploymentName,
    },
    /// End: the challenger serves and has the alias.
    Promoted {
        /// The version.
        version: Version,
    },
    /// Traffic and alias go back to the version before.
    Reverting {
        /// What has the traffic.
        from: Serving,
        /// What shall have it; `None` where nothing served before.
        to: Option<Serving>,
        /// Why.
        reason: String,
        /// Whether the content is to be blamed.
        quarantine: bool,
    },
    /// End: the version before serves and has the alias.
    RolledBack {
        /// The version that was rolled back.
        version: Version,
        /// Why.
        reason: String,
    },
    /// End, until somebody resets it: the rollout could not be rolled back.
    Failed {
        /// Why.
        reason: String,
    },
}

impl LoopPhase {
    /// Whether a new cycle may begin here.
    ///
    /// ```
    /// use mlops_core::retrain::closed_loop::LoopPhase;
    /// assert!(LoopPhase::Idle.is_at_rest());
    /// assert!(!LoopPhase::Requested { reason: "drift".into() }.is_at_rest());
    /// ```
    pub fn is_at_rest(&self) -> bool {
        matches!(
            self,
            Self::Idle
                | Self::GateFailed { .. }
                | Self::Declined { .. }
                | Self::Expired { .. }
                | Self::Superseded { .. }
                | Self::Promoted { .. }
                | Self::RolledBack { .. }
        )
    }

    /// The verb for the audit log.
    pub(super) fn action(&self) -> &'static str {
        match self {
            Self::Idle => "retrain.idle",
            Self::Requested { .. } => "retrain.request",
            Self::Training { .. } => "retrain.train",
            Self::Evaluating { .. } => "retrain.evaluate",
            Self::GateFailed { .. } => "retrain.gate_failed",
            Self::AwaitingApproval { .. } => "retrain.await_approval",
            Self::Declined { .. } => "retrain.decline",
            Self::Expired { .. } => "retrain.expire",
            Self::Superseded { .. } => "retrain.supersede",
            Self::ChallengerReady { .. } => "retrain.challenger_ready",
            Self::RollingOut { .. } => "retrain.roll_out",
            Self::Promoting { .. } => "retrain.move_alias",
            Self::Promoted { .. } => "retrain.promote",
            Self::Reverting { .. } => "retrain.revert",
            Self::RolledBack { .. } => "retrain.rolled_back",
            Self::Failed { .. } => "retrain.fail",
        }
    }
}

impl fmt::Display for LoopPhase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Idle => f.write_str("idle"),
            Self::Requested { reason } => write!(f, "retraining is requested: {reason}"),
            Self::Training { run } => write!(f, "run {run} trains"),
            Self::Evaluating { run } => write!(f, "run {run} is evaluated"),
            Self::GateFailed { reason } => write!(f, "nothing that may serve: {reason}"),
            Self::AwaitingApproval { challenger, .. } => {
                write!(f, "version {} awaits approval", challenger.version)
            }
            Self::Declined { version, reason } => write!(f, "version {version} is declined: {reason}"),
            Self::Expired { version, until } => {
                write!(f, "version {version} has expired: nobody answered until {}", until.to_rfc3339())
            }
            Self::Superseded { version, reason } => write!(f, "version {version} is superseded: {reason}"),
            Self::ChallengerReady { challenger } => write!(f, "version {} may serve", challenger.version),
            Self::RollingOut { challenger, .. } => write!(f, "version {} is rolled out", challenger.version),
            Self::Promoting { challenger, .. } => write!(f, "version {} has all traffic", challenger.version),
            Self::Promoted { version } => write!(f, "version {version} is promoted"),
            Self::Reverting { from, reason, .. } => {
                write!(f, "version {} is taken back: {reason}", from.version)
            }
            Self::RolledBack { version, reason } => write!(f, "version {version} was rolled back: {reason}"),
            Self::Failed { reason } => write!(f, "failed: {reason}"),
        }
    }
}

/// Everything there is to know about a closed loop; what [`step`](super::step) takes and gives.
///
/// Keep it after every call: whatever may or may not have happened since is done again under the same key.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LoopState {
    /// The version of this shape: 1.
    pub schema: u32,
    /// What tells this loop from others; keys of its calls follow from it.
    pub id: IdempotencyKey,
    /// The rules.
    pub config: LoopConfig,
    /// Counts the cycles.
    pub cycle: u64,
    /// The phase.
    pub phase: LoopPhase,
    /// What serves and has the alias.
    pub serving: Option<Serving>,
    /// What served before it, and is still deployed.
    pub previous: Option<Serving>,
    /// Challengers in a row that failed the gate.
    pub gate_failures: u32,
    /// Whether so many failed that somebody must look before the next cycle.
    pub breaker_open: bool,
    /// Contents that were rolled back: they do not get another chance.
    pub quarantine: BTreeSet<Digest>,
    /// The request that the cycle under way, or the last one, answers; `None` where it began past the gates.
    #[serde(default)]
    pub request: Option<RetrainRequest>,
    /// Why the cycle under way, or the last one, began, as a sentence; kept to its end, also where it answers no request. `None` before
    /// the first cycle and in states from before it was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What the gates remember.
    #[serde(default)]
    pub gates: GatesState,
    /// What the triggers remember, by name.
    #[serde(default)]
    pub triggers: BTreeMap<String, TriggerState>,
    /// The number of the last entry of the journal whose records are known to be in the audit log.
    #[serde(default)]
    pub audited: u64,
}

impl LoopState {
    /// A loop at rest, with what serves now, if something does.
    ///
    /// ```
    /// use mlops_core::retrain::closed_loop::{LoopConfig, LoopPhase, LoopState};
    /// use mlops_core::{ActorId, Alias, EndpointName, ModelName};
    /// let (model, alias) = (ModelName::new("diabetes")?, Alias::new("champion")?);
    /// let config = LoopConfig::new(model, alias, EndpointName::new("diabetes")?, ActorId::new("retraining")?);
    /// assert_eq!(LoopState::new(config, None).phase, LoopPhase::Idle);
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn new(config: LoopConfig, serving: Option<Serving>) -> Self {
        Self {
            schema: 1,
            id: IdempotencyKey::generate(),
            config,
            cycle: 0,
            phase: LoopPhase::Idle,
            serving,
            previous: None,
            gate_failures: 0,
            breaker_open: false,
            quarantine: BTreeSet::new(),
            request: None,
            reason: None,
            gates: GatesState::default(),
            triggers: BTreeMap::new(),
            audited: 0,
        }
    }

    /// Sets the id: by it a loop is found again in its journal, and keys of its calls follow from it.
    #[must_use]
    pub fn with_id(mut self, id: IdempotencyKey) -> Self {
        self.id = id;
        self
    }

    /// Why no cycle begins before somebody has looked, if that is so.
    pub(super) fn waits_for_somebody(&self) -> Option<String> {
        if self.breaker_open {
            let failures = self.gate_failures;
            return Some(format!(
                "{failures} challengers in a row failed the gate and nobody has looked yet"
            ));
        }
        match &self.phase {
            LoopPhase::Failed { reason } => Some(format!("{reason}, and nobody has looked yet")),
            _ => None,
        }
    }

    pub(super) fn check(&self) -> Result<()> {
        if self.schema != 1 {
            let message = "the state has a schema that is not known";
            let error = Error::new(ErrorKind::Unsupported, "closed_loop::step", message);
            return Err(error.with("schema", self.schema));
        }
        self.config.check()
    }
}
