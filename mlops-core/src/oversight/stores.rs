//! The stores that are looked at, and everything in them, page by page.

use std::sync::Arc;

use crate::data::{DataAsset, DataAssetStore};
use crate::deploy::{Deployer, Deployment, Endpoint};
use crate::error::{Error, Result};
use crate::experiment::{ExperimentTracker, Run, RunQuery, View};
use crate::governance::{AuditLog, AuditRecord};
use crate::page::{Page, PageRequest};
use crate::registry::{ModelRegistry, ModelVersion, RegistryEvent};

/// The most items of a kind that are read: beyond that, an answer would be a sample that looks like the whole.
const MAX_ITEMS: usize = 1_000_000;

/// How many items are asked for at once.
const PAGE: usize = 1_000;

/// The stores that are looked at.
///
/// ```
/// use std::sync::Arc;
/// use mlops_core::governance::hygiene::{HygieneRules, sweep};
/// use mlops_core::governance::maturity::{Measure, assess, criteria};
/// use mlops_core::memory::{
///     MemoryArtifactStore, MemoryAuditLog, MemoryDataAssetStore, MemoryDeployer, MemoryModelRegistry, MemoryTracker,
/// };
/// use mlops_core::oversight::{ProbeOptions, Stores};
/// use mlops_core::serve::BuiltinLoader;
/// use mlops_core::time::ManualClock;
///
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let now = "2026-03-01T00:00:00Z".parse()?;
/// let clock = Arc::new(ManualClock::at(now));
/// let artifacts = Arc::new(MemoryArtifactStore::new(clock.clone()));
/// let registry = Arc::new(MemoryModelRegistry::new(artifacts.clone(), clock.clone()));
/// let loader = Arc::new(BuiltinLoader);
/// let stores = Stores::new(
///     Arc::new(MemoryDataAssetStore::new(artifacts.clone(), clock.clone())),
///     Arc::new(MemoryTracker::new(clock.clone())),
///     registry.clone(),
///     Arc::new(MemoryDeployer::new(registry, artifacts, loader, clock.clone())),
///     Arc::new(MemoryAuditLog::new(clock)),
/// );
/// let found = sweep(&stores.inventory(&[]).await?, &HygieneRules::default(), now)?;
/// assert!(found.proposals.is_empty());
///
/// let evidence = stores.evidence(None, &ProbeOptions::new(now, "champion".parse()?)).await?;
/// assert_eq!(evidence.counts[&Measure::IntactAuditLogs].good, 1);
/// assert_eq!(assess(&criteria(), &evidence, now)?.level.number(), 0);
/// # Ok::<(), Box<dyn std::error::Error>>(()) })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Debug)]
pub struct Stores {
    /// Data assets.
    pub data: Arc<dyn DataAssetStore>,
    /// Runs.
    pub tracker: Arc<dyn ExperimentTracker>,
    /// Models, aliases, lineage.
    pub registry: Arc<dyn ModelRegistry>,
    /// Endpoints and deployments.
    pub deployer: Arc<dyn Deployer>,
    /// What was done.
    pub audit: Arc<dyn AuditLog>,
}

/// Reads all pages of a list.
macro_rules! all_pages {
    ($request:ident => $call:expr) => {{
        let mut $request = PageRequest::first(PAGE);
        let mut all = Vec::new();
        loop {
            let page: Page<_> = $call.await?;
            let next = $request.after(&page);
            all.extend(page.items);
            bounded(all.len())?;
            match next {
                Some(next) => $request = next,
                None => break all,
            }
        }
    }};
}

fn bounded(got: usize) -> Result<()> {
    match got {
        got if got > MAX_ITEMS => {
            Err(Error::limit("Stores", "the number of items of a kind", MAX_ITEMS, got))
        }
        _ => Ok(()),
    }
}

impl Stores {
    /// These stores.
    pub fn new(
        data: Arc<dyn DataAssetStore>,
        tracker: Arc<dyn ExperimentTracker>,
        registry: Arc<dyn ModelRegistry>,
        deployer: Arc<dyn Deployer>,
        audit: Arc<dyn AuditLog>,
    ) -> Self {
        Self { data, tracker, registry, deployer, audit }
    }

    pub(super) async fn all_data(&self) -> Result<Vec<DataAsset>> {
        let names = all_pages!(page => self.data.names(&page));
        let mut all = Vec::new();
        for name in names {
            all.extend(all_pages!(page => self.data.versions(&name, &page)));
            bounded(all.len())?;
        }
        Ok(all)
    }

    pub(super) async fn all_versions(&self) -> Result<Vec<ModelVersion>> {
        let models = all_pages!(page => self.registry.models(&page));
        let mut all = Vec::new();
        for model in models {
            all.extend(all_pages!(page => self.registry.versions(&model, &page)));
            bounded(all.len())?;
        }
        Ok(all)
    }

    pub(super) async fn all_runs(&self) -> Result<Vec<Run>> {
        let mut query = RunQuery::everywhere();
        query.view = View::All;
        Ok(all_pages!(page => {
            query.page = page.clone();
            self.tracker.search_runs(&query)
        }))
    }

    pub(super) async fn all_deployments(&self) -> Result<Vec<(Endpoint, Vec<Deployment>)>> {
        let endpoints = all_pages!(page => self.deployer.endpoints(&page));
        let mut all = Vec::new();
        for endpoint in endpoints {
            let deployments = self.deployer.deployments(&endpoint.name).await?;
            all.push((endpoint, deployments.into_values().collect()));
        }
        Ok(all)
    }

    pub(super) async fn all_events(&self) -> Result<Vec<RegistryEvent>> {
        let mut all: Vec<RegistryEvent> = Vec::new();
        if !self.registry.capabilities().events {
            return Ok(all);
        }
        loop {
            let after = all.last().map_or(0, |event| event.sequence);
            let events = self.registry.events(after, PAGE).await?;
            if events.is_empty() {
                return Ok(all);
            }
            all.extend(events);
            bounded(all.len())?;
        }
    }

    pub(super) async fn all_records(&self) -> Result<Vec<AuditRecord>> {
        let mut all: Vec<AuditRecord> = Vec::new();
        loop {
            let after = all.last().map_or(0, |record| record.sequence);
            let records = self.audit.read(after, PAGE).await?;
            if records.is_empty() {
                return Ok(all);
            }
            all.extend(records);
            bounded(all.len())?;
        }
    }
}
