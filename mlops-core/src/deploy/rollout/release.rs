//! What a candidate is, and what is looked at before anything is done with it.

use serde::{Deserialize, Serialize};

use crate::deploy::{Deployment, DeploymentSpec, SmokeCheck};
use crate::evaluation::GateDecision;
use crate::hash::Digest;
use crate::id::{ActorId, DeploymentName, EndpointName, ModelName, Version};

/// The model version that a candidate is of: part of a plan, so that an approval of the plan covers the content.
///
/// The rollout makes the deployment where it is not there yet.
///
/// ```
/// use mlops_core::Version;
/// use mlops_core::deploy::rollout::Release;
/// use mlops_core::hash::Digest;
/// let release = Release::new("risk".parse()?, Version::FIRST, Digest::of(b"the model"));
/// assert_eq!(release.gate, None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Release {
    /// The model.
    pub model: ModelName,
    /// The version.
    pub version: Version,
    /// The digest of its content.
    pub artifact: Digest,
    /// The digest of the gate's decision that let it through; the decision is handed to the driver. Default no gate is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<Digest>,
}

impl Release {
    /// A version with this content.
    pub fn new(model: ModelName, version: Version, artifact: Digest) -> Self {
        Self { model, version, artifact, gate: None }
    }

    /// Demands that the decision with this digest let it through.
    #[must_use]
    pub fn with_gate(mut self, decision: Digest) -> Self {
        self.gate = Some(decision);
        self
    }

    /// The deployment that it becomes.
    pub(super) fn deployment(
        &self,
        endpoint: &EndpointName,
        name: &DeploymentName,
        actor: &ActorId,
    ) -> DeploymentSpec {
        let (model, version) = (self.model.clone(), self.version);
        DeploymentSpec::new(endpoint.clone(), name.clone(), model, version, actor.clone())
    }

    /// How a deployment differs from it, as a sentence.
    pub(super) fn difference(&self, deployment: &Deployment) -> Option<String> {
        let spec = &deployment.spec;
        if (&spec.model, spec.version) != (&self.model, self.version) {
            let (model, version) = (&spec.model, spec.version);
            return Some(format!(
                "it is of {model}:{version}, the plan says {}:{}",
                self.model, self.version
            ));
        }
        (deployment.artifact != self.artifact)
            .then(|| format!("its content is {}, the plan says {}", deployment.artifact, self.artifact))
    }

    /// Whether a decision lets it through.
    pub(super) fn check_gate(&self, decision: Option<&GateDecision>) -> Option<SmokeCheck> {
        let wanted = self.gate?;
        let (passed, reason) = match decision {
            None => (false, "the plan demands the decision of a gate, it is not there".to_owned()),
            Some(decision) => match decision.digest() {
                Ok(digest) if digest == wanted => match decision.require_pass(&self.artifact) {
                    Ok(()) => (true, format!("the gate let {}:{} through", self.model, self.version)),
                    Err(error) => (false, error.to_string()),
                },
                Ok(digest) => (false, format!("the decision is {digest}, the plan says {wanted}")),
                Err(error) => (false, error.to_string()),
            },
        };
        Some(SmokeCheck::new("gate", passed, reason))
    }
}

/// What was looked at before anything was done.
///
/// ```
/// use mlops_core::deploy::SmokeCheck;
/// use mlops_core::deploy::rollout::PrecheckReport;
/// let report = PrecheckReport::default().with_check(SmokeCheck::new("endpoint", true, "it is there"));
/// assert!(report.passed() && !PrecheckReport::default().passed());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PrecheckReport {
    /// Each check, by its name: `traffic`, `mirror`, `stable`, `candidate`, `quota`, `sticky`, `version`, `gate`.
    pub checks: Vec<SmokeCheck>,
}

impl PrecheckReport {
    /// Adds a check.
    #[must_use]
    pub fn with_check(mut self, check: SmokeCheck) -> Self {
        self.checks.push(check);
        self
    }

    pub(super) fn push(&mut self, name: &str, passed: bool, reason: impl Into<String>) {
        self.checks.push(SmokeCheck::new(name, passed, reason));
    }

    /// Whether there were checks and every one passed.
    pub fn passed(&self) -> bool {
        !self.checks.is_empty() && self.checks.iter().all(|check| check.passed)
    }

    /// Why it did not pass, or that it did, as a sentence: everything that is wrong.
    pub fn reason(&self) -> String {
        let wrong = self.checks.iter().filter(|check| !check.passed);
        let wrong: Vec<_> = wrong.map(|check| format!("{}: {}", check.name, check.reason)).collect();
        match (wrong.is_empty(), self.checks.len()) {
            (false, _) => wrong.join("; "),
            (true, 0) => "nothing was checked".to_owned(),
            (true, checks) => format!("{checks} checks passed"),
        }
    }
}
