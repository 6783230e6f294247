//! Moving an alias: by compare-and-set, and for protected ones only with evidence.

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};
use crate::evaluation::GateDecision;
use crate::governance::{Approval, ApproverKeys};
use crate::hash::Digest;
use crate::id::{ActorId, Alias, IdempotencyKey, ModelName, Version, check_text};
use crate::time::Timestamp;

/// A change of an alias that needs no evidence.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AliasChange {
    /// Makes a repeated change the same change.
    pub key: IdempotencyKey,
    /// The model.
    pub model: ModelName,
    /// The alias.
    pub alias: Alias,
    /// The version it shall point to; `None` removes it.
    pub to: Option<Version>,
    /// The version it must point to now; `None`: it must not be set.
    pub expected: Option<Version>,
    /// Why, for the history.
    pub reason: String,
    /// Who.
    pub actor: ActorId,
}

impl AliasChange {
    /// With this key, that of an earlier try.
    #[must_use]
    pub fn with_key(mut self, key: IdempotencyKey) -> Self {
        self.key = key;
        self
    }

    /// To this version; `None` takes the alias away.
    #[must_use]
    pub fn with_to(mut self, to: impl Into<Option<Version>>) -> Self {
        self.to = to.into();
        self
    }

    /// Points an alias that is not set to a version.
    pub fn new(model: ModelName, alias: Alias, to: Version, actor: ActorId) -> Self {
        Self {
            key: IdempotencyKey::generate(),
            model,
            alias,
            to: Some(to),
            expected: None,
            reason: String::new(),
            actor,
        }
    }

    /// States what it must point to now.
    #[must_use]
    pub fn expecting(mut self, expected: impl Into<Option<Version>>) -> Self {
        self.expected = expected.into();
        self
    }

    /// States why.
    #[must_use]
    pub fn because(mut self, reason: impl Into<String>) -> Self {
        self.reason = reason.into();
        self
    }
}

/// What it takes to move a protected alias forward. Every protected alias moves by [`Promotion`] only; moving it back to
/// a version that held it before, or removing it, takes nothing. Ordered from weak to strong.
///
/// ```
/// use mlops_core::registry::Protection;
/// assert!(Protection::Gate < Protection::GateAndApproval);
/// ```
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protection {
    /// A gate that passed.
    Gate,
    /// A gate that passed, and an approval of its decision.
    GateAndApproval,
}

/// A change of an alias on the evidence of a gate.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Promotion {
    /// Makes a repeated promotion the same promotion.
    pub key: IdempotencyKey,
    /// The model.
    pub model: ModelName,
    /// The version to promote.
    pub version: Version,
    /// The alias it shall have.
    pub alias: Alias,
    /// The version the alias must point to now; `None`: it must not be set.
    pub expected: Option<Version>,
    /// The decision of the gate about exactly this version's content.
    pub gate: GateDecision,
    /// The approval, where one is needed, bound to exactly this decision.
    pub approval: Option<Approval>,
    /// Who promotes.
    pub actor: ActorId,
}

impl Promotion {
    /// A version for an alias that is not set, under a new key and without an approval.
    pub fn new(model: ModelName, version: Version, alias: Alias, gate: GateDecision, actor: ActorId) -> Self {
        let key = IdempotencyKey::generate();
        Self { key, model, version, alias, expected: None, gate, approval: None, actor }
    }

    /// With this key, that of an earlier try.
    #[must_use]
    pub fn with_key(mut self, key: IdempotencyKey) -> Self {
        self.key = key;
        self
    }

    /// Only if the alias points to this version; `None`: only if it is not set.
    #[must_use]
    pub fn expecting(mut self, expected: impl Into<Option<Version>>) -> Self {
        self.expected = expected.into();
        self
    }

    /// With this approval, bound to exactly the gate's decision.
    #[must_use]
    pub fn with_approval(mut self, approval: impl Into<Option<Approval>>) -> Self {
        self.approval = approval.into();
        self
    }

    /// Checks the evidence against the content to be promoted; registries call this, and refuse what it refuses.
    ///
    /// # Errors
    /// [`ErrorKind::Rejected`] when the gate did not pass, or the approval is not one or has expired, or the gate itself asks
    /// for one and there is none;
    /// [`ErrorKind::Conflict`] when the evidence is about something else.
    pub fn check_evidence(&self, artifact: &Digest, now: Timestamp) -> Result<()> {
        self.gate.require_pass(artifact)?;
        match &self.approval {
            Some(approval) => approval.require(&self.gate.digest()?, now),
            None if self.gate.requires_approval => self.require_approval(),
            None => Ok(()),
        }
    }

    /// Checks that the approval, where there is one, is signed with one of these keys; registries that have keys call this too.
    ///
    /// # Errors
    /// As [`ApproverKeys::verify`].
    pub fn check_signature(&self, keys: &ApproverKeys) -> Result<()> {
        self.approval.as_ref().map_or(Ok(()), |approval| keys.verify(approval))
    }

    /// Checks that the alias would move; backends call this first. The reason is the one of [`AliasChange::check`].
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] when the version is the one expected already.
    pub fn check(&self) -> Result<()> {
        check_moves("ModelRegistry::promote", "version", Some(self.version), self.expected, &self.alias)
    }

    /// Refuses a promotion that needs an approval and has none.
    ///
    /// # Errors
    /// [`ErrorKind::Rejected`].
    pub fn require_approval(&self) -> Result<()> {
        if self.approval.is_some() {
            return Ok(());
        }
        let error = Error::new(ErrorKind::Rejected, "ModelRegistry::promote", "an approval is needed");
        Err(error.with("model", &self.model).with("version", self.version).with("alias", &self.alias))
    }
}

/// One entry in the history of an alias.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AliasRecord {
    /// Counts the changes of this alias: 1, 2, 3, …
    pub sequence: u64,
    /// The model.
    pub model: ModelName,
    /// The alias.
    pub alias: Alias,
    /// What it pointed to before.
    pub from: Option<Version>,
    /// What it points to since.
    pub to: Option<Version>,
    /// When; never before the entry that precedes it.
    pub at: Timestamp,
    /// Who.
    pub actor: ActorId,
    /// Why.
    pub reason: String,
    /// The digest of the gate's decision, for a promotion.
    pub gate: Option<Digest>,
    /// The approval, for a promotion that had one.
    pub approval: Option<Approval>,
}

impl AliasRecord {
    /// The entry for a change; for backends.
    pub fn of_change(change: &AliasChange, sequence: u64, at: Timestamp) -> Self {
        Self {
            sequence,
            model: change.model.clone(),
            alias: change.alias.clone(),
            from: change.expected,
            to: change.to,
            at,
            actor: change.actor.clone(),
            reason: change.reason.clone(),
            gate: None,
            approval: None,
        }
    }

    /// The entry for a promotion; for backends.
    ///
    /// # Errors
    /// As [`GateDecision::digest`].
    pub fn of_promotion(promotion: &Promotion, sequence: u64, at: Timestamp) -> Result<Self> {
        Ok(Self {
            sequence,
            model: promotion.model.clone(),
            alias: promotion.alias.clone(),
            from: promotion.expected,
            to: Some(promotion.version),
            at,
            actor: promotion.actor.clone(),
            reason: format!("passed the gate {}", promotion.gate.gate),
            gate: Some(promotion.gate.digest()?),
            approval: promotion.approval.clone(),
        })
    }
}

impl AliasChange {
    /// Checks the text, and that something is changed; backends call this first.
    ///
    /// A change from a version to the same version is refused: it would win and leave the alias as every other writer
    /// expects it, so that of many that expect the same more than one could win.
    ///
    /// # Errors
    /// [`ErrorKind::LimitExceeded`], [`ErrorKind::InvalidInput`] when `to` is what is expected already.
    ///
    /// ```
    /// use mlops_core::registry::AliasChange;
    /// use mlops_core::{ActorId, Alias, ModelName, Version};
    /// let one = Version::FIRST;
    /// let change = AliasChange::new(ModelName::new("churn")?, Alias::new("candidate")?, one, ActorId::new("me")?);
    /// assert!(change.check().is_ok());
    /// assert!(change.expecting(Some(one)).check().is_err());
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn check(&self) -> Result<()> {
        const OP: &str = "ModelRegistry::set_alias";
        check_text(OP, "the reason", &self.reason)?;
        check_moves(OP, "to", self.to, self.expected, &self.alias)
    }
}

fn check_moves(
    operation: &'static str,
    field: &'static str,
    to: Option<Version>,
    expected: Option<Version>,
    alias: &Alias,
) -> Result<()> {
    if to != expected {
        return Ok(());
    }
    let message = "is where the alias is expected to be already";
    Err(Error::invalid(operation, field, message).with("alias", alias))
}
