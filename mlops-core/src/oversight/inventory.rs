//! The inventory that a sweep looks at.

use std::collections::{BTreeMap, BTreeSet};

use super::Stores;
use crate::error::Result;
use crate::governance::Approval;
use crate::governance::hygiene::{Inventory, Item, ItemId, ItemKind};
use crate::hash::Digest;
use crate::id::{ModelName, RunId, Version};
use crate::registry::{Direction, ModelVersion, Node, RegistryEvent, RegistryEventKind};
use crate::time::Timestamp;

impl Stores {
    /// Everything there is, and what was made from what: for [`sweep`](crate::governance::hygiene::sweep).
    ///
    /// Edges are those that versions, runs and deployments state themselves, and those of the registry's lineage. Approvals are
    /// those by which aliases moved, and `pending`: such as nothing has come of yet, which no store knows. When a deployment lost
    /// its traffic is told by the audit log; one whose endpoint's traffic was changed past the log counts as if its traffic were
    /// not known, and is not offered. What a registry without lineage or events cannot tell is a gap, with which nothing is
    /// offered.
    ///
    /// Cost: every list once, and a question about lineage for every item.
    ///
    /// # Errors
    /// As the stores; [`ErrorKind::LimitExceeded`](crate::ErrorKind::LimitExceeded) for more than a million items of a kind.
    pub async fn inventory(&self, pending: &[Approval]) -> Result<Inventory> {
        let runs = self.all_runs().await?;
        let versions = self.all_versions().await?;
        let deployments = self.all_deployments().await?;
        let events = self.all_events().await?;
        let groups: BTreeMap<RunId, String> =
            runs.iter().map(|run| (run.id.clone(), run.experiment.to_string())).collect();
        let ids = Ids { groups: &groups };
        let (mut items, mut edges) = (Vec::new(), BTreeSet::new());
        let mut nodes = Vec::new();

        for asset in self.all_data().await? {
            let id = ItemId::new(ItemKind::Data, asset.spec.name.as_str(), asset.version.to_string());
            let mut item = Item::new(id, asset.created_at);
            item.digests.insert(asset.spec.digest);
            items.push(item);
        }
        for run in &runs {
            let id = ids.of_run(&run.id);
            for input in &run.inputs {
                let from = ItemId::new(ItemKind::Data, input.asset.as_str(), input.version.to_string());
                edges.insert((from, id.clone()));
            }
            let mut item = Item::new(id, run.started_at);
            item.last_used_at = run.ended_at.max(run.lease_until);
            item.bytes = Some(run.artifacts.iter().fold(0_u64, |sum, file| sum.saturating_add(file.size)));
            items.push(item);
            nodes.push(Node::Run(run.id.clone()));
        }
        let decided = decisions(&events);
        for version in &versions {
            let id = of_model(&version.spec.model, version.version);
            edges.extend(ids.origins(version).map(|from| (from, id.clone())));
            let mut item = Item::new(id, version.created_at);
            item.digests.insert(version.spec.artifact);
            let gates = decided.get(&(version.spec.model.clone(), version.version));
            item.digests.extend(gates.into_iter().flatten().copied());
            items.push(item);
            nodes.push(Node::Model { name: version.spec.model.clone(), version: version.version });
        }
        self.mark_aliases(&versions, &mut items).await?;
        let changes = self.traffic_changes().await?;
        for (endpoint, of_endpoint) in &deployments {
            let changed = changes.get(endpoint.name.as_str()).copied();
            for deployment in of_endpoint {
                let spec = &deployment.spec;
                let id = ItemId::new(ItemKind::Deployment, spec.endpoint.as_str(), spec.name.as_str());
                edges.insert((of_model(&spec.model, spec.version), id.clone()));
                let mut item = Item::new(id, deployment.created_at);
                item.last_used_at = changed;
                let told = endpoint.revision == 0 || changed.is_some();
                // A shadow has no traffic, and is in use all the same.
                let mirror = endpoint.mirror.as_ref().filter(|mirror| mirror.deployment == spec.name);
                let share = mirror.map_or(endpoint.traffic.share(&spec.name), |mirror| mirror.share);
                item.traffic = told.then(|| share.get());
                items.push(item);
                let (endpoint, deployment) = (spec.endpoint.clone(), spec.name.clone());
                nodes.push(Node::Deployment { endpoint, deployment });
            }
        }
        let capabilities = self.registry.capabilities();
        let mut gaps = Vec::new();
        if capabilities.lineage {
            for node in &nodes {
                let graph = self.registry.lineage(node, Direction::Upstream, 1).await?;
                edges.extend(graph.edges.iter().map(|edge| (ids.of(&edge.from), ids.of(&edge.to))));
            }
        } else {
            gaps.push("the registry keeps no lineage".to_owned());
        }
        if !capabilities.events {
            gaps.push("the registry keeps no events: which approvals are in force is not known".to_owned());
        }
        let mut inventory =
            Inventory::new(items, edges.into_iter().collect()).with_approvals(pending.iter().cloned());
        inventory.approvals.extend(events.iter().filter_map(approval).cloned());
        inventory.gaps = gaps;
        Ok(inventory)
    }

    async fn mark_aliases(&self, versions: &[ModelVersion], items: &mut [Item]) -> Result<()> {
        let models: BTreeSet<&ModelName> = versions.iter().map(|version| &version.spec.model).collect();
        let mut aliases: BTreeMap<ItemId, BTreeSet<String>> = BTreeMap::new();
        for model in models {
            for (alias, version) in self.registry.aliases(model).await? {
                aliases.entry(of_model(model, version)).or_default().insert(alias.to_string());
            }
        }
        for item in items.iter_mut() {
            if let Some(aliases) = aliases.remove(&item.id) {
                item.aliases = aliases;
            }
        }
        Ok(())
    }

    /// When the audit log last saw an endpoint's traffic or mirror change.
    async fn traffic_changes(&self) -> Result<BTreeMap<String, Timestamp>> {
        let mut changes: BTreeMap<String, Timestamp> = BTreeMap::new();
        for record in self.all_records().await? {
            let action = &record.entry.action;
            let of_traffic = action.starts_with("endpoint.traffic") || action.starts_with("endpoint.mirror");
            if let Some(name) = record.entry.subject.strip_prefix("endpoint/").filter(|_| of_traffic) {
                let at = changes.entry(name.to_owned()).or_insert(record.at);
                *at = (*at).max(record.at);
            }
        }
        Ok(changes)
    }
}

/// Items by what the stores call them.
struct Ids<'a> {
    groups: &'a BTreeMap<RunId, String>,
}

impl Ids<'_> {
    fn of_run(&self, run: &RunId) -> ItemId {
        let group = self.groups.get(run).cloned().unwrap_or_default();
        ItemId::new(ItemKind::Run, group, run.as_str())
    }

    fn of(&self, node: &Node) -> ItemId {
        match node {
            Node::Data { name, version, .. } => {
                ItemId::new(ItemKind::Data, name.as_str(), version.to_string())
            }
            Node::Run(run) => self.of_run(run),
            Node::Model { name, version } => of_model(name, *version),
            Node::Deployment { endpoint, deployment } => {
                ItemId::new(ItemKind::Deployment, endpoint.as_str(), deployment.as_str())
            }
        }
    }

    /// What a version says that it was made from.
    fn origins(&self, version: &ModelVersion) -> impl Iterator<Item = ItemId> {
        let data = version
            .spec
            .data
            .iter()
            .map(|input| ItemId::new(ItemKind::Data, input.asset.as_str(), input.version.to_string()));
        data.chain(version.spec.run.as_ref().map(|run| self.of_run(run)))
    }
}

fn of_model(model: &ModelName, version: Version) -> ItemId {
    ItemId::new(ItemKind::Model, model.as_str(), version.to_string())
}

/// The digests of the gates' decisions by which aliases moved to a version.
fn decisions(events: &[RegistryEvent]) -> BTreeMap<(ModelName, Version), BTreeSet<Digest>> {
    let mut decisions: BTreeMap<(ModelName, Version), BTreeSet<Digest>> = BTreeMap::new();
    for event in events {
        if let RegistryEventKind::AliasMoved(record) = &event.kind
            && let (Some(to), Some(gate)) = (record.to, record.gate)
        {
            decisions.entry((record.model.clone(), to)).or_default().insert(gate);
        }
    }
    decisions
}

fn approval(event: &RegistryEvent) -> Option<&Approval> {
    match &event.kind {
        RegistryEventKind::AliasMoved(record) => record.approval.as_ref(),
        _ => None,
    }
}
