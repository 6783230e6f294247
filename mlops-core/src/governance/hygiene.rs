//! Hygiene: what nobody needs any more, proposed for deletion and never deleted here.
//!
//! Mark and sweep over lineage: everything that a deployment, a protected alias or an approval in force reaches by following
//! lineage towards origins is marked and never offered, whatever its age. Of the rest, what is old and unused is proposed,
//! each with the reason and what it takes up.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Approval;
use crate::error::{Error, Result, quote};
use crate::hash::Digest;
use crate::time::Timestamp;

/// What an item is.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ItemKind {
    /// A version of a data asset.
    Data,
    /// A run with its logs.
    Run,
    /// A version of a model.
    Model,
    /// A deployment of an endpoint.
    Deployment,
}

/// Which item: `model churn:3`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ItemId {
    /// What it is.
    pub kind: ItemKind,
    /// Of what it is one of several: the model, the data asset, the experiment, the endpoint.
    pub group: String,
    /// Which of them: the version, the run's id, the deployment.
    pub name: String,
}

impl ItemId {
    /// An id.
    pub fn new(kind: ItemKind, group: impl Into<String>, name: impl Into<String>) -> Self {
        Self { kind, group: group.into(), name: name.into() }
    }
}

impl fmt::Display for ItemId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            ItemKind::Data => "data",
            ItemKind::Run => "run",
            ItemKind::Model => "model",
            ItemKind::Deployment => "deployment",
        };
        write!(f, "{kind} {}:{}", quote(&self.group), quote(&self.name))
    }
}

/// One item of an inventory.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Item {
    /// Which.
    pub id: ItemId,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last used, where that is known: the last request of a deployment, the last reading of data.
    #[serde(default)]
    pub last_used_at: Option<Timestamp>,
    /// The bytes it takes up, where that is known.
    #[serde(default)]
    pub bytes: Option<u64>,
    /// The digests by which approvals may speak of it: of its content, of the gate's decision about it.
    #[serde(default)]
    pub digests: BTreeSet<Digest>,
    /// The aliases that point to it.
    #[serde(default)]
    pub aliases: BTreeSet<String>,
    /// Of a deployment, its share of the traffic in percent; of a shadow, of what is mirrored.
    #[serde(default)]
    pub traffic: Option<u8>,
    /// Not to be offered, and why: a legal hold, a retention rule.
    #[serde(default)]
    pub hold: Option<String>,
}

impl Item {
    /// An item that was made at some time; of the rest nothing is known.
    pub fn new(id: ItemId, created_at: Timestamp) -> Self {
        Self {
            id,
            created_at,
            last_used_at: None,
            bytes: None,
            digests: BTreeSet::new(),
            aliases: BTreeSet::new(),
            traffic: None,
            hold: None,
        }
    }

    /// The last time that anything is known to have happened to it.
    fn touched_at(&self) -> Timestamp {
        self.last_used_at.map_or(self.created_at, |used| used.max(self.created_at))
    }
}

/// Everything there is at one moment, and what was made from what.
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inventory {
    /// The items.
    pub items: Vec<Item>,
    /// Lineage, from origin to use.
    pub edges: Vec<(ItemId, ItemId)>,
    /// Approvals; those in force keep what they are about.
    #[serde(default)]
    pub approvals: Vec<Approval>,
    /// What could not be read. While there is any, nothing is offered: what was not seen may hold on to anything.
    #[serde(default)]
    pub gaps: Vec<String>,
}

impl Inventory {
    /// An inventory.
    pub fn new(items: Vec<Item>, edges: Vec<(ItemId, ItemId)>) -> Self {
        Self { items, edges, ..Self::default() }
    }

    /// Adds approvals.
    #[must_use]
    pub fn with_approvals(mut self, approvals: impl IntoIterator<Item = Approval>) -> Self {
        self.approvals.extend(approvals);
        self
    }

    /// Says what could not be read.
    #[must_use]
    pub fn with_gap(mut self, gap: impl Into<String>) -> Self {
        self.gaps.push(gap.into());
        self
    }
}

/// What counts as unused.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HygieneRules {
    /// A model version untouched for longer is unused; 90 days.
    #[serde(with = "crate::time::duration_text")]
    pub model_age: Duration,
    /// Data untouched for longer is stale; 180 days.
    #[serde(with = "crate::time::duration_text")]
    pub data_age: Duration,
    /// Logs of a run untouched for longer are old; 180 days.
    #[serde(with = "crate::time::duration_text")]
    pub run_age: Duration,
    /// A deployment without traffic and untouched for longer is idle; 7 days.
    #[serde(with = "crate::time::duration_text")]
    pub deployment_age: Duration,
    /// How many of the newest of every group of models, data and runs are kept in any case; 3.
    pub keep_last: usize,
    /// The aliases that protect what they point to; `champion`. An empty set lets every alias protect.
    pub aliases: BTreeSet<String>,
}

impl Default for HygieneRules {
    fn default() -> Self {
        const DAY: u64 = 86_400;
        Self {
            model_age: Duration::from_secs(90 * DAY),
            data_age: Duration::from_secs(180 * DAY),
            run_age: Duration::from_secs(180 * DAY),
            deployment_age: Duration::from_secs(7 * DAY),
            keep_last: 3,
            aliases: BTreeSet::from(["champion".to_owned()]),
        }
    }
}

impl HygieneRules {
    fn age(&self, kind: ItemKind) -> Duration {
        match kind {
            ItemKind::Data => self.data_age,
            ItemKind::Run => self.run_age,
            ItemKind::Model => self.model_age,
            ItemKind::Deployment => self.deployment_age,
        }
    }
}

/// Something that may be deleted.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposal {
    /// What.
    pub item: ItemId,
    /// Since when nothing happened to it.
    pub unused_since: Timestamp,
    /// Why.
    pub reason: String,
    /// The bytes it takes up.
    pub bytes: Option<u64>,
}

/// Something old that is kept, and why.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptItem {
    /// What.
    pub item: ItemId,
    /// Why: `reached from deployment churn:blue`.
    pub reason: String,
}

/// What a sweep found.
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sweep {
    /// What may be deleted, in the order in which it may be: uses before their origins.
    pub proposals: Vec<Proposal>,
    /// What is old enough but kept.
    pub kept: Vec<KeptItem>,
    /// What could not be read; nothing is proposed then.
    pub gaps: Vec<String>,
}

impl Sweep {
    /// The bytes of all proposals whose size is known.
    pub fn bytes(&self) -> u64 {
        self.proposals.iter().filter_map(|p| p.bytes).fold(0, u64::saturating_add)
    }
}

/// Finds what nobody needs. A pure function; O((items + edges) log items).
///
/// Roots are: every deployment, with traffic or without; what a protected alias points to; what an approval in force is about;
/// what is on hold. Marked is every root, and all that roots are made from. An idle deployment is offered although what it serves
/// is marked: once it is gone, the next sweep looks again. It is not offered while an approval in force, an alias or a hold is
/// about it.
///
/// # Errors
/// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for an item that comes twice.
///
/// ```
/// use mlops_core::governance::hygiene::{HygieneRules, Inventory, Item, ItemId, ItemKind, sweep};
/// let (old, now) = ("2025-01-01T00:00:00Z".parse()?, "2026-03-01T00:00:00Z".parse()?);
/// let id = |kind, group, name| ItemId::new(kind, group, name);
/// let model = |version| id(ItemKind::Model, "churn", version);
/// let items = vec![
///     Item::new(model("1"), old),
///     Item::new(model("2"), old),
///     Item::new(id(ItemKind::Deployment, "churn", "blue"), now),
/// ];
/// let edges = vec![(model("2"), id(ItemKind::Deployment, "churn", "blue"))];
/// let mut rules = HygieneRules::default();
/// rules.keep_last = 0;
/// let found = sweep(&Inventory::new(items, edges), &rules, now)?;
/// assert_eq!(found.proposals.len(), 1);
/// assert_eq!(found.proposals[0].item, model("1"));
/// assert_eq!(found.kept[0].reason, "reached from deployment churn:blue");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn sweep(inventory: &Inventory, rules: &HygieneRules, now: Timestamp) -> Result<Sweep> {
    let mut items: BTreeMap<&ItemId, &Item> = BTreeMap::new();
    for item in &inventory.items {
        if items.insert(&item.id, item).is_some() {
            return Err(
                Error::invalid("hygiene::sweep", "items", "an item comes twice").with("item", &item.id)
            );
        }
    }
    if !inventory.gaps.is_empty() {
        return Ok(Sweep { gaps: inventory.gaps.clone(), ..Sweep::default() });
    }
    let protection = protections(inventory, rules, now);
    let marked = mark(inventory, &protection);
    let newest = newest(&items, rules.keep_last);
    let mut found = Sweep::default();
    for (id, item) in &items {
        let unused_since = item.touched_at();
        let age = (now - unused_since).to_std().unwrap_or_default();
        if age <= rules.age(id.kind) || (id.kind == ItemKind::Deployment && item.traffic != Some(0)) {
            continue;
        }
        let kept = match (id.kind, protection.get(id), marked.get(id)) {
            // That a deployment is a root does not keep the deployment itself.
            (ItemKind::Deployment, Some(Protection::Deployed), _) => None,
            (_, Some(protection), _) => Some(protection.to_string()),
            (_, None, Some(root)) => Some(format!("reached from {root}")),
            (_, None, None) if newest.contains(*id) => {
                Some(format!("one of the newest {} of its group", rules.keep_last))
            }
            (_, None, None) => None,
        };
        match kept {
            Some(reason) => found.kept.push(KeptItem { item: (*id).clone(), reason }),
            None => found.proposals.push(propose(item, unused_since, age)),
        }
    }
    // Uses before origins, so that whoever deletes in this order never leaves a use without its origin.
    found.proposals.sort_by(|a, b| b.item.kind.cmp(&a.item.kind).then_with(|| a.item.cmp(&b.item)));
    Ok(found)
}

fn propose(item: &Item, unused_since: Timestamp, age: Duration) -> Proposal {
    let days = age.as_secs() / 86_400;
    let what = match item.id.kind {
        ItemKind::Data => "stale data",
        ItemKind::Run => "old logs of a run",
        ItemKind::Model => "unused version",
        ItemKind::Deployment => "no traffic",
    };
    let reason = format!("{what}: nothing happened to it for {days} days");
    Proposal { item: item.id.clone(), unused_since, reason, bytes: item.bytes }
}

/// Why something is a root.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Protection {
    Deployed,
    Alias(String),
    Approved(String),
    Held(String),
}

impl fmt::Display for Protection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Deployed => f.write_str("is deployed"),
            Self::Alias(alias) => write!(f, "the alias {alias} points to it"),
            Self::Approved(until) => write!(f, "an approval about it is in force until {until}"),
            Self::Held(why) => write!(f, "on hold: {why}"),
        }
    }
}

/// The roots among the items, and of each the strongest reason.
fn protections<'a>(
    inventory: &'a Inventory,
    rules: &HygieneRules,
    now: Timestamp,
) -> BTreeMap<&'a ItemId, Protection> {
    let in_force = |a: &&Approval| a.require(&a.subject, now).is_ok();
    let approved: BTreeMap<Digest, Timestamp> =
        inventory.approvals.iter().filter(in_force).map(|a| (a.subject, a.expires_at)).collect();
    let protects = |alias: &&String| rules.aliases.is_empty() || rules.aliases.contains(*alias);
    let of = |item: &Item| {
        let held = item.hold.clone().map(Protection::Held);
        let alias = || item.aliases.iter().find(protects).cloned().map(Protection::Alias);
        let approval = || {
            let until = item.digests.iter().find_map(|digest| approved.get(digest));
            until.map(|until| Protection::Approved(until.format("%Y-%m-%d").to_string()))
        };
        let deployed = || (item.id.kind == ItemKind::Deployment).then_some(Protection::Deployed);
        held.or_else(alias).or_else(approval).or_else(deployed)
    };
    inventory.items.iter().filter_map(|item| Some((&item.id, of(item)?))).collect()
}

/// Everything that roots are made from, and of each one root that reaches it. A deployment that lineage knows and the list of
/// items does not is a root too.
fn mark<'a>(
    inventory: &'a Inventory,
    protection: &BTreeMap<&'a ItemId, Protection>,
) -> BTreeMap<&'a ItemId, &'a ItemId> {
    let mut origins: BTreeMap<&ItemId, Vec<&ItemId>> = BTreeMap::new();
    let mut roots: BTreeSet<&ItemId> = protection.keys().copied().collect();
    for (from, to) in &inventory.edges {
        origins.entry(to).or_default().push(from);
        roots.extend([from, to].into_iter().filter(|id| id.kind == ItemKind::Deployment));
    }
    let mut marked: BTreeMap<&ItemId, &ItemId> = roots.iter().map(|root| (*root, *root)).collect();
    let mut frontier: VecDeque<&ItemId> = roots.into_iter().collect();
    while let Some(id) = frontier.pop_front() {
        let Some(root) = marked.get(id).copied() else { continue };
        for origin in origins.get(id).into_iter().flatten() {
            if !marked.contains_key(origin) {
                marked.insert(origin, root);
                frontier.push_back(origin);
            }
        }
    }
    marked
}

/// The newest `keep` of every group but deployments; of two made at one moment the later by name.
fn newest<'a>(items: &BTreeMap<&'a ItemId, &'a Item>, keep: usize) -> BTreeSet<&'a ItemId> {
    let mut groups: BTreeMap<(ItemKind, &str), Vec<&'a Item>> = BTreeMap::new();
    for item in items.values().filter(|item| item.id.kind != ItemKind::Deployment) {
        groups.entry((item.id.kind, item.id.group.as_str())).or_default().push(item);
    }
    let mut kept = BTreeSet::new();
    for group in groups.values_mut() {
        group.sort_by(|a, b| (b.created_at, &b.id).cmp(&(a.created_at, &a.id)));
        kept.extend(group.iter().take(keep).map(|item| &item.id));
    }
    kept
}
