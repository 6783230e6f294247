//! Who must approve a plan.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::id::ActorId;

/// A role that must approve: `count` of its `members`. Members are part of the plan, so that its digest says who may approve it.
///
/// Whoever has several roles counts for each of them; demand more people with
/// [`RolloutOptions::approvals`](super::RolloutOptions::approvals). Who made the plan counts for none.
///
/// ```
/// use mlops_core::deploy::rollout::ApproverRole;
/// let role = ApproverRole::new("risk", 2, ["ann".parse()?, "ben".parse()?, "eve".parse()?]);
/// assert!(role.is_met(&["ann".parse()?, "eve".parse()?]));
/// assert!(!role.is_met(&["ann".parse()?, "ann".parse()?, "tom".parse()?]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApproverRole {
    /// The role's name, unique in a plan.
    pub role: String,
    /// How many of the members must approve, at least 1. Default 1.
    #[serde(default = "one")]
    pub count: u32,
    /// Who has the role.
    pub members: BTreeSet<ActorId>,
}

fn one() -> u32 {
    1
}

impl ApproverRole {
    /// So many of these people.
    pub fn new(role: impl Into<String>, count: u32, members: impl IntoIterator<Item = ActorId>) -> Self {
        Self { role: role.into(), count, members: members.into_iter().collect() }
    }

    /// Whether enough of its members are among `approvers`; one of them several times is one of them.
    pub fn is_met(&self, approvers: &[ActorId]) -> bool {
        let met = self.members.iter().filter(|member| approvers.contains(member)).count();
        met as u64 >= u64::from(self.count)
    }

    /// Checks that it can be met; by others than `requester`, where there is one.
    pub(super) fn check(&self, requester: Option<&ActorId>) -> Result<()> {
        let bad = |message: String| Err(Error::invalid("RolloutOptions::check", "approver_roles", message));
        if self.role.trim().is_empty() {
            return bad("a role has no name".into());
        }
        let able = self.members.iter().filter(|member| requester != Some(*member)).count();
        if self.count == 0 || u64::from(self.count) > able as u64 {
            return bad(format!("{} needs {} of {able} who may approve", self.role, self.count));
        }
        Ok(())
    }
}
