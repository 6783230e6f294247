//! Roles: which actions whoever has one may do, as data.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// What is done, as `noun.verb`: the actions that the audit log knows.
///
/// ```
/// use mlops_core::governance::Action;
/// assert_eq!(Action::ModelRegister.to_string(), "model.register");
/// assert_eq!("endpoint.traffic".parse::<Action>()?, Action::EndpointTraffic);
/// assert!("model.destroy".parse::<Action>().is_err());
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Stores content.
    ArtifactPut,
    /// Removes content that nothing refers to.
    ArtifactCollect,
    /// Registers a version of a data asset.
    DataRegister,
    /// Hides a data asset or shows it again.
    DataArchive,
    /// Makes an experiment.
    ExperimentEnsure,
    /// Starts a run.
    RunStart,
    /// Logs to a run, keeps it alive, or ends it.
    RunWrite,
    /// Deletes a run or restores it.
    RunDelete,
    /// Registers a version of a model.
    ModelRegister,
    /// Sets, moves or removes an alias.
    ModelAlias,
    /// Moves an alias on the evidence of a gate.
    ModelPromote,
    /// Replaces the tags of a model version.
    ModelTag,
    /// Hides a model version or shows it again.
    ModelArchive,
    /// Says that something was made from something.
    LineageLink,
    /// Says yes or no to a request.
    ApprovalDecide,
    /// Makes an endpoint.
    EndpointEnsure,
    /// Puts a model version behind an endpoint.
    EndpointDeploy,
    /// Changes the split of an endpoint's traffic.
    EndpointTraffic,
    /// Removes a deployment.
    EndpointUndeploy,
    /// Asks an endpoint for predictions.
    EndpointInvoke,
    /// Writes to the journal of a rollout or of a loop.
    JournalWrite,
    /// Reads the value of a secret.
    SecretRead,
    /// Sets or removes a secret.
    SecretWrite,
    /// Makes a compute cluster or instance.
    ComputeCreate,
    /// Reads anything but secrets.
    Read,
}

const WORKSPACE: &str = "Microsoft.MachineLearningServices/workspaces";

impl Action {
    /// All actions.
    pub const ALL: [Self; 25] = [
        Self::ArtifactPut,
        Self::ArtifactCollect,
        Self::DataRegister,
        Self::DataArchive,
        Self::ExperimentEnsure,
        Self::RunStart,
        Self::RunWrite,
        Self::RunDelete,
        Self::ModelRegister,
        Self::ModelAlias,
        Self::ModelPromote,
        Self::ModelTag,
        Self::ModelArchive,
        Self::LineageLink,
        Self::ApprovalDecide,
        Self::EndpointEnsure,
        Self::EndpointDeploy,
        Self::EndpointTraffic,
        Self::EndpointUndeploy,
        Self::EndpointInvoke,
        Self::JournalWrite,
        Self::SecretRead,
        Self::SecretWrite,
        Self::ComputeCreate,
        Self::Read,
    ];

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ArtifactPut => "artifact.put",
            Self::ArtifactCollect => "artifact.collect",
            Self::DataRegister => "data.register",
            Self::DataArchive => "data.archive",
            Self::ExperimentEnsure => "experiment.ensure",
            Self::RunStart => "run.start",
            Self::RunWrite => "run.write",
            Self::RunDelete => "run.delete",
            Self::ModelRegister => "model.register",
            Self::ModelAlias => "model.alias",
            Self::ModelPromote => "model.promote",
            Self::ModelTag => "model.tag",
            Self::ModelArchive => "model.archive",
            Self::LineageLink => "lineage.link",
            Self::ApprovalDecide => "approval.decide",
            Self::EndpointEnsure => "endpoint.ensure",
            Self::EndpointDeploy => "endpoint.deploy",
            Self::EndpointTraffic => "endpoint.traffic",
            Self::EndpointUndeploy => "endpoint.undeploy",
            Self::EndpointInvoke => "endpoint.invoke",
            Self::JournalWrite => "journal.write",
            Self::SecretRead => "secret.read",
            Self::SecretWrite => "secret.write",
            Self::ComputeCreate => "compute.create",
            Self::Read => "any.read",
        }
    }

    /// The operation of Azure Machine Learning that does it; `None` where it has none: it knows neither approvals nor journals, and
    /// content and secrets are of other services, whose data no role over resources opens.
    ///
    /// ```
    /// use mlops_core::governance::Action;
    /// let operation = Action::EndpointDeploy.azure_operation();
    /// assert_eq!(
    ///     operation.as_deref(),
    ///     Some("Microsoft.MachineLearningServices/workspaces/onlineEndpoints/deployments/write")
    /// );
    /// assert_eq!(Action::ApprovalDecide.azure_operation(), None);
    /// ```
    pub fn azure_operation(self) -> Option<String> {
        let tail = match self {
            Self::DataRegister | Self::DataArchive => "data/versions/write",
            Self::ExperimentEnsure => "experiments/write",
            // Lineage is not written there: it follows from jobs.
            Self::RunStart | Self::LineageLink => "jobs/write",
            Self::RunWrite => "experiments/runs/write",
            Self::RunDelete => "jobs/delete",
            Self::ModelRegister
            | Self::ModelAlias
            | Self::ModelPromote
            | Self::ModelTag
            | Self::ModelArchive => "models/versions/write",
            Self::ApprovalDecide
            | Self::ArtifactPut
            | Self::ArtifactCollect
            | Self::JournalWrite
            | Self::SecretRead
            | Self::SecretWrite => return None,
            Self::EndpointEnsure | Self::EndpointTraffic => "onlineEndpoints/write",
            Self::EndpointDeploy => "onlineEndpoints/deployments/write",
            Self::EndpointUndeploy => "onlineEndpoints/deployments/delete",
            Self::EndpointInvoke => "onlineEndpoints/score/action",
            // The name of the compute stands between: what a role says of `computes/*/write` is about it.
            Self::ComputeCreate => "computes/compute/write",
            Self::Read => "models/read",
        };
        Some(format!("{WORKSPACE}/{tail}"))
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for Action {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|action| action.as_str() == text);
        found.ok_or_else(|| {
            Error::invalid("Action::from_str", "action", "is not a known action").with("value", text)
        })
    }
}

/// What a role allows: patterns of actions, less patterns of what it does not. A `*` stands for any text; case does not count.
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Role {
    /// What it allows: `model.*`, or an operation of Azure's.
    pub actions: Vec<String>,
    /// What it does not allow of that. Another role of the same actor may.
    #[serde(default)]
    pub not_actions: Vec<String>,
}

impl Role {
    /// A role that allows what these patterns match.
    pub fn new<S: Into<String>>(actions: impl IntoIterator<Item = S>) -> Self {
        Self { actions: actions.into_iter().map(Into::into).collect(), not_actions: Vec::new() }
    }

    /// Takes out what these patterns match.
    #[must_use]
    pub fn without<S: Into<String>>(mut self, not_actions: impl IntoIterator<Item = S>) -> Self {
        self.not_actions = not_actions.into_iter().map(Into::into).collect();
        self
    }

    /// Whether it allows an action, by the action's own word or by Azure's operation.
    ///
    /// ```
    /// use mlops_core::governance::{Action, Role};
    /// let role = Role::new(["model.*"]).without(["model.promote"]);
    /// assert!(role.allows(Action::ModelRegister));
    /// assert!(!role.allows(Action::ModelPromote) && !role.allows(Action::EndpointDeploy));
    /// ```
    pub fn allows(&self, action: Action) -> bool {
        let operation = action.azure_operation();
        let names = [Some(action.as_str()), operation.as_deref()];
        let matched = |patterns: &[String]| {
            patterns.iter().any(|p| names.iter().flatten().any(|name| matches(p, name)))
        };
        matched(&self.actions) && !matched(&self.not_actions)
    }
}

/// Roles by name.
///
/// ```
/// use mlops_core::governance::{Action, Roles};
/// let roles = Roles::azure_ml();
/// assert!(roles.get("AzureML Data Scientist").is_some_and(|role| role.allows(Action::ModelRegister)));
/// assert!(roles.get("AzureML Data Scientist").is_some_and(|role| !role.allows(Action::ComputeCreate)));
/// assert!(roles.get("Reader").is_some_and(|role| !role.allows(Action::EndpointDeploy)));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Roles(BTreeMap<String, Role>);

impl Roles {
    /// No roles: nobody may do anything.
    pub fn new() -> Self {
        Self::default()
    }

    /// Three roles for three duties, and one that reads: `trainer`, `approver`, `deployer`, `reader`.
    pub fn duties() -> Self {
        Self::new()
            .with("reader", Role::new(["any.read"]))
            .with(
                "trainer",
                Role::new([
                    "any.read",
                    "artifact.put",
                    "data.*",
                    "experiment.*",
                    "run.*",
                    "model.register",
                    "model.tag",
                    "lineage.link",
                    "endpoint.invoke",
                ]),
            )
            .with("approver", Role::new(["any.read", "approval.decide"]))
            .with(
                "deployer",
                Role::new(["any.read", "model.promote", "model.alias", "endpoint.*", "journal.write"]),
            )
    }

    /// Azure's built-in roles as far as they are about machine learning, by their names. What has no
    /// [operation](Action::azure_operation) there is in none of them: approvals, journals, content, secrets.
    ///
    /// Source: Azure's list of built-in roles, definitions `f6c7c914-…` (data scientist), `e503ece1-…` (compute operator),
    /// `acdd72a7-…` (reader), `b24988ac-…` (contributor) and `8e3af657-…` (owner).
    pub fn azure_ml() -> Self {
        let ml = |tails: &[&str]| -> Vec<String> {
            tails.iter().map(|tail| format!("{WORKSPACE}/{tail}")).collect()
        };
        let scientist = Role::new(ml(&["*/read", "*/action", "*/delete", "*/write"])).without(ml(&[
            "delete",
            "write",
            "computes/*/write",
            "computes/*/delete",
            "computes/listKeys/action",
            "listKeys/action",
            "hubs/write",
            "hubs/delete",
            "featurestores/write",
            "featurestores/delete",
        ]));
        Self::new()
            .with("AzureML Data Scientist", scientist)
            .with("AzureML Compute Operator", Role::new(ml(&["computes/*", "notebooks/vm/*"])))
            .with("Reader", Role::new(["*/read"]))
            .with(
                "Contributor",
                Role::new(["Microsoft.*"]).without([
                    "Microsoft.Authorization/*/Delete",
                    "Microsoft.Authorization/*/Write",
                    "Microsoft.Authorization/elevateAccess/Action",
                ]),
            )
            .with("Owner", Role::new(["Microsoft.*"]))
    }

    /// Adds a role, or replaces the one of this name.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, role: Role) -> Self {
        self.0.insert(name.into(), role);
        self
    }

    /// The role of a name.
    pub fn get(&self, name: &str) -> Option<&Role> {
        self.0.get(name)
    }
}

/// Whether a pattern with `*` matches all of a text, without regard to ASCII case. O(pattern × text), no recursion.
pub(super) fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        let same = match (pattern.get(p), text.get(t)) {
            (Some(a), Some(b)) => a.eq_ignore_ascii_case(b),
            _ => false,
        };
        if pattern.get(p) == Some(&b'*') {
            star = Some((p, t));
            p += 1;
        } else if same {
            (p, t) = (p + 1, t + 1);
        } else if let Some((at, from)) = star {
            // The star takes one character more.
            star = Some((at, from + 1));
            (p, t) = (at + 1, from + 1);
        } else {
            return false;
        }
    }
    pattern.iter().skip(p).all(|byte| *byte == b'*')
}
