//! The evidence of an assessment of maturity, as far as the stores have it.

use std::collections::{BTreeMap, BTreeSet};

use super::Stores;
use crate::deploy::Deployer as _;
use crate::error::{ErrorKind, Result};
use crate::experiment::{Run, RunStatus};
use crate::governance::maturity::{Count, MaturityEvidence, Measure};
use crate::governance::{AuditLog as _, AuditRecord, AuditVerification, Checkpoint};
use crate::id::{ActorId, Alias, EndpointName, MonitorName, RunId};
use crate::monitor::Monitor;
use crate::page::PageRequest;
use crate::registry::{
    AliasRecord, Direction, ModelRegistry as _, ModelVersion, Node, RegistryEvent, RegistryEventKind,
};
use crate::time::Timestamp;

/// How deep lineage is followed from a deployment to data.
const DEPTH: u32 = 64;

/// What a probe has to be told.
#[non_exhaustive]
#[derive(Clone, Debug)]
pub struct ProbeOptions {
    /// Only what began at this moment or later is counted: how it is now, not how it was.
    pub since: Timestamp,
    /// The actors that are no people: pipelines, loops, jobs.
    pub automation: BTreeSet<ActorId>,
    /// The alias whose moves are releases.
    pub release: Alias,
    /// Which monitor watches which endpoint; one that has not looked since `since` watches nothing.
    pub monitors: BTreeMap<MonitorName, EndpointName>,
    /// A checkpoint of the audit log that was kept elsewhere: with it, a log whose end was cut off is not intact.
    pub checkpoint: Option<Checkpoint>,
}

impl ProbeOptions {
    /// Counts what began at `since` or later; `release` is the alias whose moves are releases.
    pub fn new(since: Timestamp, release: Alias) -> Self {
        let (automation, monitors) = (BTreeSet::new(), BTreeMap::new());
        Self { since, automation, release, monitors, checkpoint: None }
    }

    /// Names an actor that is no person.
    #[must_use]
    pub fn with_automation(mut self, actor: ActorId) -> Self {
        self.automation.insert(actor);
        self
    }

    /// Names a monitor and the endpoint it watches.
    #[must_use]
    pub fn with_monitor(mut self, monitor: MonitorName, endpoint: EndpointName) -> Self {
        self.monitors.insert(monitor, endpoint);
        self
    }

    /// Gives a checkpoint of the audit log.
    #[must_use]
    pub fn with_checkpoint(mut self, checkpoint: Checkpoint) -> Self {
        self.checkpoint = Some(checkpoint);
        self
    }
}

impl Stores {
    /// Counts what the stores show, for [`assess`](crate::governance::maturity::assess); add what people attest.
    ///
    /// Every measure of which the stores can say something is there; `monitor` adds that about monitors. An audit log that is not
    /// intact counts as none: what it says is not counted for any measure.
    ///
    /// Cost: every list once, and a question about lineage for every deployment.
    ///
    /// # Errors
    /// As the stores; [`ErrorKind::LimitExceeded`] for more than a million items of a kind.
    pub async fn evidence(
        &self,
        monitor: Option<&dyn Monitor>,
        options: &ProbeOptions,
    ) -> Result<MaturityEvidence> {
        let mut evidence = MaturityEvidence::new();
        let runs = self.all_runs().await?;
        let versions = self.all_versions().await?;
        evidence.counts.extend(of_runs(&runs, options));
        evidence.counts.extend(of_versions(&versions, &runs, options));
        if self.registry.capabilities().events {
            evidence.counts.extend(of_releases(&self.all_events().await?, options));
        }
        let verified = self.audit.verify(options.checkpoint.as_ref()).await?;
        let intact = matches!(verified, AuditVerification::Intact(_));
        evidence.counts.insert(Measure::IntactAuditLogs, Count { good: u64::from(intact), of: 1 });
        let records = if intact { self.all_records().await? } else { Vec::new() };
        evidence.counts.extend(of_records(&records, options));
        evidence.counts.extend(self.of_deployments().await?);
        if let Some(monitor) = monitor {
            let count = self.monitored(monitor, options).await?;
            evidence.counts.insert(Measure::MonitoredEndpoints, count);
        }
        Ok(evidence)
    }

    async fn of_deployments(&self) -> Result<BTreeMap<Measure, Count>> {
        let (mut traced, mut measured) = (Count::default(), Count::default());
        let lineage = self.registry.capabilities().lineage;
        let stats = self.deployer.capabilities().operation_stats;
        for (endpoint, deployments) in self.all_deployments().await? {
            for deployment in deployments {
                let (endpoint_name, name) = (deployment.spec.endpoint, deployment.spec.name);
                if endpoint.traffic.share(&name).get() > 0 {
                    let asked = match stats {
                        true => self.deployer.stats(&endpoint_name, &name).await?.requests > 0,
                        false => false,
                    };
                    measured = Count { good: measured.good + u64::from(asked), of: measured.of + 1 };
                }
                let node = Node::Deployment { endpoint: endpoint_name, deployment: name };
                let reaches = match lineage {
                    true => {
                        let graph = self.registry.lineage(&node, Direction::Upstream, DEPTH).await?;
                        graph.nodes.iter().any(|node| matches!(node, Node::Data { .. }))
                    }
                    false => false,
                };
                traced = Count { good: traced.good + u64::from(reaches), of: traced.of + 1 };
            }
        }
        let measures = [(Measure::TracedDeployments, traced), (Measure::MeasuredDeployments, measured)];
        Ok(measures.into())
    }

    async fn monitored(&self, monitor: &dyn Monitor, options: &ProbeOptions) -> Result<Count> {
        let mut watched = BTreeSet::new();
        for (name, endpoint) in &options.monitors {
            let mut page = PageRequest::default();
            loop {
                let reports = match monitor.reports(name, &page).await {
                    Ok(reports) => reports,
                    // A monitor that nobody defined watches nothing.
                    Err(error) if error.kind() == ErrorKind::NotFound => break,
                    Err(error) => return Err(error),
                };
                if reports.items.iter().any(|report| report.at >= options.since && report.rows > 0) {
                    watched.insert(endpoint.clone());
                    break;
                }
                match page.after(&reports) {
                    Some(next) => page = next,
                    None => break,
                }
            }
        }
        let endpoints = self.all_deployments().await?;
        let with_traffic = endpoints.into_iter().filter(|(endpoint, _)| !endpoint.traffic.is_none());
        Ok(Count::over(with_traffic, |(endpoint, _)| watched.contains(&endpoint.name)))
    }
}

fn of_runs(runs: &[Run], options: &ProbeOptions) -> BTreeMap<Measure, Count> {
    let recent = || runs.iter().filter(|run| !run.deleted && run.started_at >= options.since);
    let finished = recent().filter(|run| run.status == RunStatus::Finished);
    [
        (Measure::RunsWithCode, Count::over(recent(), |run| run.capsule.code.commit.is_some())),
        (Measure::RunsWithResults, Count::over(finished, |run| !run.metrics.is_empty())),
        (Measure::RunsWithData, Count::over(recent(), |run| !run.inputs.is_empty())),
    ]
    .into()
}

fn of_versions(versions: &[ModelVersion], runs: &[Run], options: &ProbeOptions) -> BTreeMap<Measure, Count> {
    let recent = || versions.iter().filter(|version| version.created_at >= options.since);
    let by: BTreeMap<&RunId, &ActorId> = runs.iter().map(|run| (&run.id, &run.actor)).collect();
    let actor = |version: &ModelVersion| version.spec.run.as_ref().and_then(|run| by.get(run).copied());
    let automated = |v: &&ModelVersion| actor(v).is_some_and(|actor| options.automation.contains(actor));
    [
        (Measure::VersionsFromRuns, Count::over(recent(), |version| actor(version).is_some())),
        (Measure::AutomatedTraining, Count::over(recent(), automated)),
    ]
    .into()
}

fn of_releases(events: &[RegistryEvent], options: &ProbeOptions) -> BTreeMap<Measure, Count> {
    let mut held = BTreeSet::new();
    let mut releases: Vec<&AliasRecord> = Vec::new();
    for event in events {
        let RegistryEventKind::AliasMoved(record) = &event.kind else { continue };
        let Some(to) = record.to.filter(|_| record.alias == options.release) else { continue };
        // A move back to what held the alias before is no release.
        if held.insert((record.model.clone(), to)) && record.at >= options.since {
            releases.push(record);
        }
    }
    [
        (Measure::GatedReleases, Count::over(releases.iter(), |record| record.gate.is_some())),
        (
            Measure::AutomatedReleases,
            Count::over(releases.iter(), |record| options.automation.contains(&record.actor)),
        ),
    ]
    .into()
}

fn of_records(records: &[AuditRecord], options: &ProbeOptions) -> BTreeMap<Measure, Count> {
    let recent = || records.iter().filter(|record| record.at >= options.since);
    let moved = |record: &&AuditRecord| {
        let entry = &record.entry;
        entry.action == "endpoint.traffic"
            || (entry.action == "endpoint.traffic.end" && entry.detail == "done")
    };
    let automated = |record: &&AuditRecord| options.automation.contains(&record.entry.actor);
    let trained = |record: &&AuditRecord| record.entry.action == "retrain.train";
    [
        (Measure::AutomatedDeployments, Count::over(recent().filter(moved), automated)),
        (Measure::TriggeredTrainings, Count::over(recent().filter(trained), |_| true)),
    ]
    .into()
}
