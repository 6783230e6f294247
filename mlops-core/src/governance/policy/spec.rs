//! A policy: rules and exemptions, checked, and how it judges.

use std::collections::BTreeSet;
use std::path::Path;

use serde::Deserialize;

use super::check::check;
use super::exemption::Exemption;
use super::plan::{PlannedResource, ResourcePlan};
use super::report::{PolicyOutcome, PolicyReport, PolicyVerdict};
use super::rule::PolicyRule;
use crate::config::{Document, Format as PolicyFormat};
use crate::error::{Error, Result};
use crate::hash::{Digest, digest_json};
use crate::time::Timestamp;

/// The most rules of a policy.
const MAX_RULES: usize = 200;

/// A policy's file, or the same built in code: a name, rules and exemptions, checked.
///
/// # Example: a policy in a file
///
/// ```
/// use mlops_core::governance::policy::{PolicyFormat, PolicyResult, PolicySpec, ResourcePlan};
///
/// let policy = PolicySpec::parse(
///     r#"
///     name = "platform"
///
///     [[rules]]
///     id = "cost-tags"
///     check = "required_tags"
///     names = ["owner", "cost-center"]
///     values.environment = ["dev", "test", "prod"]
///
///     [[rules]]
///     id = "private"
///     check = "no_public_access"
///     mode = "warn"
///
///     [[exemptions]]
///     rule = "cost-tags"
///     resource = "kv-legacy"
///     reason = "moves to the new subscription in April"
///     granted_by = "platform-owner"
///     expires_at = "2026-05-01T00:00:00Z"
///     "#,
///     PolicyFormat::Toml,
/// )?;
/// let plan = ResourcePlan::parse(
///     r#"
///     [[resources]]
///     name = "kv-churn"
///     kind = "key_vault"
///     public_access = false
///     tags = { Owner = "team-churn", cost-center = "42", environment = "Prod" }
///     "#,
///     PolicyFormat::Toml,
/// )?;
/// let report = policy.judge(&plan, "2026-03-01T00:00:00Z".parse()?)?;
/// assert_eq!(report.result(), PolicyResult::Denied);
/// let verdict = report.violations().next().ok_or("one")?;
/// assert_eq!(verdict.observed, "`environment` is `Prod`");
/// assert_eq!(verdict.needed, "tags owner, cost-center, environment (one of dev, test, prod)");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicySpec {
    name: String,
    rules: Vec<PolicyRule>,
    exemptions: Vec<Exemption>,
    digest: Digest,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PolicyFile {
    name: String,
    #[serde(default)]
    rules: Vec<PolicyRule>,
    #[serde(default)]
    exemptions: Vec<Exemption>,
}

/// What is wrong with a policy: in which list, at which place of it, at which key, and what.
struct Fault {
    list: &'static str,
    index: Option<usize>,
    key: &'static str,
    message: String,
}

impl PolicySpec {
    /// A policy built in code; its digest is that of its canonical JSON.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) with the context `field` and `id`: no rules, an id that is blank
    /// or comes twice, a key that the check does not take or misses, a kind that the check says nothing about, an exemption
    /// without a reason or from a rule that is not there. [`ErrorKind::LimitExceeded`](crate::ErrorKind::LimitExceeded) for
    /// more than 200 rules.
    ///
    /// ```
    /// use mlops_core::governance::policy::{Check, PolicyRule, PolicySpec};
    /// let mut rule = PolicyRule::new("idle", Check::IdleShutdown);
    /// assert!(PolicySpec::new("platform", vec![rule.clone()], vec![]).is_err());
    /// rule.max = Some(std::time::Duration::from_secs(1800));
    /// assert!(PolicySpec::new("platform", vec![rule], vec![]).is_ok());
    /// ```
    pub fn new(name: impl Into<String>, rules: Vec<PolicyRule>, exemptions: Vec<Exemption>) -> Result<Self> {
        const OP: &str = "PolicySpec::new";
        let name = name.into();
        check_size(OP, &rules)?;
        if let Some(Fault { list, index, key, message }) = fault(&name, &rules, &exemptions) {
            let error = Error::invalid(OP, key, message);
            return Err(match (list, index) {
                ("rules", Some(i)) => error.with("id", rules.get(i).map_or("", |r| r.id.as_str())),
                (_, Some(i)) => error.with("index", i),
                _ => error,
            });
        }
        let digest = digest_json(&(&name, &rules, &exemptions))?;
        Ok(Self { name, rules, exemptions, digest })
    }

    /// Reads a policy from a text; its digest is that of the text's bytes.
    ///
    /// # Errors
    /// As [`PolicySpec::new`], and for an unknown key or word (with the nearest known one), a key that comes twice, a value of
    /// another type: with `line` and `column`. [`ErrorKind::LimitExceeded`](crate::ErrorKind::LimitExceeded) for more than 1 MiB.
    pub fn parse(text: &str, format: PolicyFormat) -> Result<Self> {
        Self::load("PolicySpec::parse", "(text)", text, format)
    }

    /// Reads a policy from a file of at most one mebibyte, in the format of its extension.
    ///
    /// # Errors
    /// As [`PolicySpec::parse`], and what the file system refuses.
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        const OP: &str = "PolicySpec::read";
        let path = path.as_ref();
        let text = crate::config::read(OP, path)?;
        Self::load(OP, &path.display().to_string(), &text, PolicyFormat::of(path))
    }

    fn load(operation: &'static str, file: &str, text: &str, format: PolicyFormat) -> Result<Self> {
        let document = Document::new(operation, file, text, format)?;
        let PolicyFile { name, rules, exemptions } = document.parse(Some("rules"))?;
        check_size(operation, &rules)?;
        if let Some(Fault { list, index, key, message }) = fault(&name, &rules, &exemptions) {
            let at = match index {
                Some(index) => document.offset_in(list, index, key),
                None => document.offset(&[key]),
            };
            let error = document.error(key, at, message);
            let id = index.filter(|_| list == "rules").and_then(|i| rules.get(i));
            return Err(match id {
                Some(rule) => error.with("id", &rule.id),
                None => error,
            });
        }
        Ok(Self { name, rules, exemptions, digest: Digest::of(text.as_bytes()) })
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The rules, in the order of the file.
    pub fn rules(&self) -> &[PolicyRule] {
        &self.rules
    }

    /// The exemptions, in the order of the file.
    pub fn exemptions(&self) -> &[Exemption] {
        &self.exemptions
    }

    /// The digest of the file's bytes; every report carries it.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Holds every rule against every resource it applies to. A pure function; O(rules × resources).
    ///
    /// # Errors
    /// [`ErrorKind::LimitExceeded`](crate::ErrorKind::LimitExceeded) for a number in the plan that JSON cannot hold.
    pub fn judge(&self, plan: &ResourcePlan, now: Timestamp) -> Result<PolicyReport> {
        let pairs = plan.resources().iter().flat_map(|resource| {
            let applying = self.rules.iter().filter(|rule| rule.applies_to(resource.kind));
            applying.map(move |rule| (rule, resource))
        });
        let verdicts: Vec<PolicyVerdict> =
            pairs.map(|(rule, resource)| self.verdict(rule, resource, now)).collect();
        let held: BTreeSet<&str> = verdicts.iter().map(|v| v.rule.as_str()).collect();
        let idle = self.rules.iter().map(|r| &r.id).filter(|id| !held.contains(id.as_str()));
        let idle_rules = idle.cloned().collect();
        let expired = self.exemptions.iter().filter(|e| now >= e.expires_at).cloned().collect();
        Ok(PolicyReport {
            policy: self.name.clone(),
            policy_digest: self.digest,
            plan_digest: plan.digest()?,
            at: now,
            verdicts,
            expired,
            idle_rules,
        })
    }

    fn verdict(&self, rule: &PolicyRule, resource: &PlannedResource, now: Timestamp) -> PolicyVerdict {
        let found = check(rule, resource, now);
        let covers = |e: &&Exemption| e.covers(&rule.id, &resource.name, now);
        let exemption = self.exemptions.iter().find(covers).filter(|_| !found.satisfied).cloned();
        let outcome = match (found.satisfied, &exemption) {
            (true, _) => PolicyOutcome::Pass,
            (false, Some(_)) => PolicyOutcome::Exempt,
            (false, None) => PolicyOutcome::Fail,
        };
        PolicyVerdict {
            rule: rule.id.clone(),
            check: rule.check,
            mode: rule.mode,
            resource: resource.name.clone(),
            kind: resource.kind,
            outcome,
            observed: found.observed,
            needed: found.needed,
            exemption,
        }
    }
}

fn check_size(operation: &'static str, rules: &[PolicyRule]) -> Result<()> {
    match rules.len() {
        got if got > MAX_RULES => Err(Error::limit(operation, "the number of rules", MAX_RULES, got)),
        _ => Ok(()),
    }
}

fn fault(name: &str, rules: &[PolicyRule], exemptions: &[Exemption]) -> Option<Fault> {
    let whole = |key, message: &str| Fault { list: "", index: None, key, message: message.to_owned() };
    if name.trim().is_empty() {
        return Some(whole("name", "must not be empty"));
    }
    if rules.is_empty() {
        return Some(whole("rules", "a policy without rules would let everything through"));
    }
    let mut ids = BTreeSet::new();
    for (index, rule) in rules.iter().enumerate() {
        let at = |key, message| Some(Fault { list: "rules", index: Some(index), key, message });
        if rule.id.trim().is_empty() {
            return at("id", "must not be empty".to_owned());
        }
        if !ids.insert(rule.id.as_str()) {
            return at("id", "another rule has this id".to_owned());
        }
        if let Some((key, message)) = rule.fault() {
            return at(key, message);
        }
    }
    exemptions.iter().enumerate().find_map(|(index, exemption)| {
        let at = |key, message: &str| {
            Some(Fault { list: "exemptions", index: Some(index), key, message: message.to_owned() })
        };
        match exemption {
            e if !ids.contains(e.rule.as_str()) => at("rule", "no rule has this id"),
            e if e.resource.trim().is_empty() => at("resource", "must not be empty"),
            e if e.reason.trim().is_empty() => at("reason", "an exemption needs a reason"),
            _ => None,
        }
    })
}
