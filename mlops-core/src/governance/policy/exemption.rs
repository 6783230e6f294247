//! Exemptions: a resource that a rule is not held against, for a reason and until a day.

use serde::{Deserialize, Serialize};

use crate::id::ActorId;
use crate::time::Timestamp;

/// One resource, exempt from one rule for a limited time.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exemption {
    /// The id of the rule.
    pub rule: String,
    /// The name of the resource, exactly.
    pub resource: String,
    /// Why.
    pub reason: String,
    /// Who granted it.
    pub granted_by: ActorId,
    /// Until when, not including that moment.
    pub expires_at: Timestamp,
}

impl Exemption {
    /// A resource that need not keep a rule, until that expires.
    pub fn new(
        rule: impl Into<String>,
        resource: impl Into<String>,
        reason: impl Into<String>,
        granted_by: ActorId,
        expires_at: Timestamp,
    ) -> Self {
        Self { rule: rule.into(), resource: resource.into(), reason: reason.into(), granted_by, expires_at }
    }

    /// Whether it is about this rule and resource, and still counts.
    pub(super) fn covers(&self, rule: &str, resource: &str, now: Timestamp) -> bool {
        self.rule == rule && self.resource == resource && now < self.expires_at
    }
}
