//! The platform of the closed loop: one of each trait, here all in memory. Another backend is another line.

use std::fmt;
use std::sync::Arc;

use mlops_core::artifact::ArtifactStore;
use mlops_core::data::DataAssetStore;
use mlops_core::deploy::Deployer;
use mlops_core::experiment::ExperimentTracker;
use mlops_core::governance::{AuditLog, AuditLogExt as _};
use mlops_core::memory::{
    MemoryArtifactStore, MemoryAuditLog, MemoryDataAssetStore, MemoryDeployer, MemoryModelRegistry,
    MemoryTracker,
};
use mlops_core::registry::{ModelRegistry, Protection};
use mlops_core::serve::BuiltinLoader;
use mlops_core::time::{Clock as _, ManualClock, Timestamp};
use mlops_core::{ActorId, Alias, Result};

/// Everything the loop talks to, as traits.
pub struct Platform {
    /// The clock, which the example moves: its days pass in milliseconds.
    pub clock: Arc<ManualClock>,
    /// Who acts.
    pub actor: ActorId,
    /// Content.
    pub artifacts: Arc<dyn ArtifactStore>,
    /// Data assets.
    pub data: Arc<dyn DataAssetStore>,
    /// Runs.
    pub tracker: Arc<dyn ExperimentTracker>,
    /// Model versions.
    pub registry: Arc<dyn ModelRegistry>,
    /// Endpoints.
    pub deployer: Arc<dyn Deployer>,
    /// What happened.
    pub audit: Arc<dyn AuditLog>,
}

impl Platform {
    /// A platform in memory, with `champion` protected: it moves on the evidence of a gate and with an approval.
    ///
    /// # Errors
    /// None in practice: the names are valid.
    pub fn in_memory(now: Timestamp) -> Result<Self> {
        let clock = Arc::new(ManualClock::at(now));
        let artifacts: Arc<dyn ArtifactStore> = Arc::new(MemoryArtifactStore::new(clock.clone()));
        let registry = MemoryModelRegistry::new(Arc::clone(&artifacts), clock.clone());
        let registry = registry.with_protected(Alias::new("champion")?, Protection::GateAndApproval);
        let registry: Arc<dyn ModelRegistry> = Arc::new(registry);
        let loader = Arc::new(BuiltinLoader);
        let deployer =
            MemoryDeployer::new(Arc::clone(&registry), Arc::clone(&artifacts), loader, clock.clone());
        Ok(Self {
            actor: ActorId::new("training-pipeline")?,
            data: Arc::new(MemoryDataAssetStore::new(Arc::clone(&artifacts), clock.clone())),
            tracker: Arc::new(MemoryTracker::new(clock.clone())),
            deployer: Arc::new(deployer),
            audit: Arc::new(MemoryAuditLog::new(clock.clone())),
            clock,
            artifacts,
            registry,
        })
    }

    /// The time.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Records that the platform's actor did something.
    ///
    /// # Errors
    /// Those of the audit log.
    pub async fn record(&self, action: &str, subject: &str, detail: &str) -> Result<()> {
        self.audit.record(&self.actor, action, subject, detail).await.map(drop)
    }
}

impl fmt::Debug for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Platform").field("actor", &self.actor).finish_non_exhaustive()
    }
}
