//! Exemptions: a resource that a rule is not held against, for a reason and until a day.

use serde::{Deserialize, Serialize};

use crate::id::ActorId;
use crate::time::Timestamp;

/// One resource, exempt from one rule for a limited time.
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
    /// Whether it is about this rule and resource, and still counts.
    pub(super) fn covers(&self, rule: &str, resource: &str, now: Timestamp) -> bool {
        self.rule == rule && self.resource == resource && now < self.expires_at
    }
}
