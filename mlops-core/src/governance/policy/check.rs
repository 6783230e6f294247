//! Holds one rule against one resource.

use std::collections::BTreeSet;
use std::fmt::Display;

use super::kind::ResourceKind;
use super::naming::Convention;
use super::plan::PlannedResource;
use super::rule::{Check, PolicyRule};
use super::tags;
use crate::error::quote;
use crate::governance::Approval;
use crate::time::{Timestamp, duration_text};

/// What was found: whether the rule is satisfied, what was observed, and what would satisfy it.
pub(super) struct Finding {
    pub(super) satisfied: bool,
    pub(super) observed: String,
    pub(super) needed: String,
}

const NOT_STATED: &str = "not stated";

fn finding(satisfied: bool, observed: impl Into<String>, needed: impl Into<String>) -> Finding {
    Finding { satisfied, observed: observed.into(), needed: needed.into() }
}

/// A finding about a value that may not be stated.
fn about<T>(
    value: Option<&T>,
    show: impl Fn(&T) -> String,
    good: impl Fn(&T) -> bool,
    needed: String,
) -> Finding {
    finding(value.is_some_and(good), value.map_or_else(|| NOT_STATED.to_owned(), show), needed)
}

fn flag(value: Option<bool>, name: &str, wanted: bool) -> Finding {
    about(value.as_ref(), |v| format!("{name} = {v}"), |v| *v == wanted, format!("{name} = {wanted}"))
}

fn faulty<E: Display>(result: Result<(), E>, good: impl Into<String>, needed: String) -> Finding {
    match result {
        Ok(()) => finding(true, good, needed),
        Err(fault) => finding(false, fault.to_string(), needed),
    }
}

pub(super) fn check(rule: &PolicyRule, resource: &PlannedResource, now: Timestamp) -> Finding {
    match rule.check {
        Check::RequiredTags => {
            let faults = tags::check_required(&resource.tags, &rule.names, &rule.values);
            let observed = faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
            let observed = if faults.is_empty() { "all there".to_owned() } else { observed };
            finding(faults.is_empty(), observed, needed_tags(rule))
        }
        Check::ValidTags => {
            let longest = if resource.kind == ResourceKind::StorageAccount { 128 } else { 512 };
            let needed = format!(
                "at most {} tags, distinct without regard to case, names of at most {longest} characters without `<>%&\\?/`, values \
                 of at most {}",
                tags::MAX_TAGS,
                tags::MAX_VALUE
            );
            faulty(
                tags::check_azure(&resource.tags, longest),
                format!("{} tags", resource.tags.len()),
                needed,
            )
        }
        Check::Naming => {
            let convention = Convention { environments: &rule.environments, regions: &rule.regions };
            named(
                resource,
                convention.check(resource.kind, &resource.name),
                convention.describe(resource.kind),
            )
        }
        Check::ValidName => {
            let name = resource.kind.name_rule();
            named(resource, name.check(&resource.name), name.describe())
        }
        Check::AllowedRegions => {
            let good = |region: &String| rule.regions.iter().any(|r| same_region(r, region));
            about(resource.region.as_ref(), |r| quote(r), good, one_of(&rule.regions))
        }
        Check::AllowedSkus => {
            let good = |sku: &String| rule.skus.iter().any(|pattern| same_sku(pattern, sku));
            about(resource.sku.as_ref(), |s| quote(s), good, one_of(&rule.skus))
        }
        Check::Encryption => {
            let needed = rule.at_least.map_or_else(String::new, |e| format!("{} or stronger", word(&e)));
            let good = |e: &_| rule.at_least.is_some_and(|least| *e >= least);
            about(resource.encryption.as_ref(), word, good, needed)
        }
        Check::NoPublicAccess => flag(resource.public_access, "public_access", false),
        Check::NoLocalAuth => flag(resource.local_auth, "local_auth", false),
        Check::PrivateLink => flag(resource.private_link, "private_link", true),
        Check::VirtualNetwork => flag(resource.virtual_network, "virtual_network", true),
        Check::ScaleToZero => {
            let show = |n: &u32| format!("min_nodes = {n}");
            about(resource.min_nodes.as_ref(), show, |n| *n == 0, "min_nodes = 0".to_owned())
        }
        Check::IdleShutdown => {
            let max = rule.max.unwrap_or_default();
            let needed = format!("idle_shutdown of at most {}", duration_text::format(max));
            let good = |idle: &std::time::Duration| *idle <= max && !idle.is_zero();
            about(resource.idle_shutdown.as_ref(), |idle| duration_text::format(*idle), good, needed)
        }
        Check::Identity => {
            let needed = rule.identity.map_or_else(String::new, |i| format!("{} or stricter", word(&i)));
            let good = |i: &_| rule.identity.is_some_and(|least| *i >= least);
            about(resource.identity.as_ref(), word, good, needed)
        }
        Check::ModelRegistry => {
            let registry = resource.model.as_ref().and_then(|model| model.registry.as_ref());
            about(registry, |r| quote(r), |r| rule.registries.contains(r), one_of(&rule.registries))
        }
        Check::ModelProvenance => provenance(rule, resource),
        Check::Approvals => approvals(rule, resource, now),
    }
}

fn named<E: Display>(resource: &PlannedResource, result: Result<(), E>, needed: String) -> Finding {
    let observed = quote(&resource.name);
    match result {
        Ok(()) => finding(true, observed, needed),
        Err(fault) => finding(false, format!("{observed}: {fault}"), needed),
    }
}

fn needed_tags(rule: &PolicyRule) -> String {
    let open = rule.names.iter().filter(|name| !rule.values.contains_key(*name)).map(|name| quote(name));
    let closed = rule.values.iter().map(|(name, allowed)| format!("{} ({})", quote(name), one_of(allowed)));
    format!("tags {}", open.chain(closed).collect::<Vec<_>>().join(", "))
}

fn one_of(words: &[String]) -> String {
    const SHOWN: usize = 10;
    let shown: Vec<String> = words.iter().take(SHOWN).map(|w| quote(w)).collect();
    let more = if words.len() > SHOWN { format!(", … {} in all", words.len()) } else { String::new() };
    format!("one of {}{more}", shown.join(", "))
}

/// The word for a value in files.
fn word<T: serde::Serialize>(value: &T) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::new(),
    }
}

/// Azure compares display names and names of regions without regard to case and spaces.
fn same_region(a: &str, b: &str) -> bool {
    let bare =
        |text: &str| -> String { text.chars().filter(|c| *c != ' ').flat_map(char::to_lowercase).collect() };
    bare(a) == bare(b)
}

fn same_sku(pattern: &str, sku: &str) -> bool {
    let (pattern, sku) = (pattern.to_ascii_lowercase(), sku.to_ascii_lowercase());
    match pattern.strip_suffix('*') {
        Some(start) => sku.starts_with(start),
        None => sku == pattern,
    }
}

fn provenance(rule: &PolicyRule, resource: &PlannedResource) -> Finding {
    let by = if rule.builders.is_empty() { String::new() } else { format!(" by {}", one_of(&rule.builders)) };
    let needed = format!("a statement of provenance about exactly this model{by}");
    let Some(model) = &resource.model else { return finding(false, "no model is stated", needed) };
    let Some(provenance) = &model.provenance else {
        return finding(false, format!("{}:{} has none", model.name, model.version), needed);
    };
    if provenance.subject != model.artifact {
        let observed =
            format!("it is about {}, the model is {}", provenance.subject.short(), model.artifact.short());
        return finding(false, observed, needed);
    }
    let known = rule.builders.is_empty() || rule.builders.contains(&provenance.builder);
    finding(known, format!("{} by {}", provenance.statement.short(), quote(&provenance.builder)), needed)
}

fn approvals(rule: &PolicyRule, resource: &PlannedResource, now: Timestamp) -> Finding {
    let count = rule.count.unwrap_or(1) as usize;
    let Ok(subject) = resource.digest() else {
        return finding(false, "the resource has no digest", "numbers that JSON can hold");
    };
    let needed = format!("approvals of {} by {count} other than who asked, not expired", subject.short());
    let counts = |a: &&Approval| a.at <= now && a.require(&subject, now).is_ok();
    let approvers: BTreeSet<&str> =
        resource.approvals.iter().filter(counts).map(|a| a.approver.as_str()).collect();
    // Who asked through one request must not be the second pair of eyes through another.
    let requesters: BTreeSet<&str> =
        resource.approvals.iter().filter(counts).map(|a| a.requester.as_str()).collect();
    let valid = approvers.difference(&requesters).count();
    let observed = format!("{valid} of {} count", resource.approvals.len());
    finding(valid >= count, observed, needed)
}
