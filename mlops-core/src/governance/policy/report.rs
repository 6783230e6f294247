//! What a policy says about a plan.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::exemption::Exemption;
use super::kind::ResourceKind;
use super::rule::{Check, PolicyMode};
use crate::error::{Error, ErrorKind, Result, quote};
use crate::hash::Digest;
use crate::time::Timestamp;

/// What became of one rule on one resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PolicyOutcome {
    /// Satisfied.
    Pass,
    /// Not satisfied, but exempt.
    Exempt,
    /// Not satisfied.
    Fail,
}

/// One rule held against one resource.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyVerdict {
    /// The id of the rule.
    pub rule: String,
    /// What it checks.
    pub check: Check,
    /// What a violation leads to.
    pub mode: PolicyMode,
    /// The name of the resource.
    pub resource: String,
    /// What the resource is.
    pub kind: ResourceKind,
    /// What became of it.
    pub outcome: PolicyOutcome,
    /// What the plan says.
    pub observed: String,
    /// What would satisfy the rule.
    pub needed: String,
    /// The exemption that counted, where one did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exemption: Option<Exemption>,
}

impl fmt::Display for PolicyVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (rule, kind, resource) = (&self.rule, self.kind, quote(&self.resource));
        match (self.outcome, &self.exemption) {
            (PolicyOutcome::Pass, _) => write!(f, "pass {rule}: {kind} {resource}: {}", self.observed),
            (PolicyOutcome::Exempt, Some(exemption)) => write!(
                f,
                "exempt {rule}: {kind} {resource}: {}, until {}: {}",
                self.observed,
                exemption.expires_at.format("%Y-%m-%d"),
                quote(&exemption.reason)
            ),
            _ => write!(
                f,
                "{} {rule}: {kind} {resource}: {}; needed: {}",
                self.mode, self.observed, self.needed
            ),
        }
    }
}

/// What a policy says about a plan as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PolicyResult {
    /// Nothing is violated.
    Compliant,
    /// Only rules that audit are.
    Noted,
    /// A rule that warns is, none that denies.
    Warned,
    /// A rule that denies is.
    Denied,
}

/// What a policy says about a plan.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyReport {
    /// The name of the policy.
    pub policy: String,
    /// The digest of the policy.
    pub policy_digest: Digest,
    /// The digest of the plan.
    pub plan_digest: Digest,
    /// When it was judged; exemptions and approvals are read as of then.
    pub at: Timestamp,
    /// Every rule held against every resource it applies to, in the order of plan and policy.
    pub verdicts: Vec<PolicyVerdict>,
    /// Exemptions that have expired, and so did not count.
    pub expired: Vec<Exemption>,
    /// Rules that found no resource to be held against.
    pub idle_rules: Vec<String>,
}

impl PolicyReport {
    /// What was violated and is not exempt.
    pub fn violations(&self) -> impl Iterator<Item = &PolicyVerdict> {
        self.verdicts.iter().filter(|v| v.outcome == PolicyOutcome::Fail)
    }

    /// The worst of it.
    pub fn result(&self) -> PolicyResult {
        match self.violations().map(|v| v.mode).max() {
            None => PolicyResult::Compliant,
            Some(PolicyMode::Audit) => PolicyResult::Noted,
            Some(PolicyMode::Warn) => PolicyResult::Warned,
            Some(PolicyMode::Deny) => PolicyResult::Denied,
        }
    }

    /// Nothing, unless a rule denies.
    ///
    /// # Errors
    /// [`ErrorKind::Rejected`] with the first rule and resource, what was observed and what is needed, and how many there are.
    pub fn require(&self) -> Result<()> {
        let mut denied = self.violations().filter(|v| v.mode == PolicyMode::Deny);
        let Some(first) = denied.next() else { return Ok(()) };
        Err(Error::new(ErrorKind::Rejected, "PolicyReport::require", "the policy denies the plan")
            .with("rule", &first.rule)
            .with("resource", &first.resource)
            .with("observed", &first.observed)
            .with("needed", &first.needed)
            .with("violations", 1 + denied.count()))
    }
}

impl fmt::Display for PolicyReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |outcome| self.verdicts.iter().filter(|v| v.outcome == outcome).count();
        let (pass, exempt) = (count(PolicyOutcome::Pass), count(PolicyOutcome::Exempt));
        let fail = count(PolicyOutcome::Fail);
        writeln!(f, "{}: {pass} passed, {fail} violated, {exempt} exempt", quote(&self.policy))?;
        let shown = self.verdicts.iter().filter(|v| v.outcome != PolicyOutcome::Pass);
        shown.into_iter().try_for_each(|verdict| writeln!(f, "  {verdict}"))
    }
}
