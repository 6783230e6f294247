//! The platform of the closed loop: one of each trait, all of them in one folder, or Azure's. Another backend is another line.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use mlops_core::artifact::ArtifactStore;
use mlops_core::data::DataAssetStore;
use mlops_core::deploy::Deployer;
use mlops_core::deploy::rollout::RolloutJournal;
use mlops_core::experiment::ExperimentTracker;
use mlops_core::governance::{AuditLog, AuditLogExt as _};
use mlops_core::local::LocalStore;
use mlops_core::registry::{ModelRegistry, Protection};
use mlops_core::retrain::closed_loop::LoopJournal;
use mlops_core::serve::BuiltinLoader;
use mlops_core::serve::http::ModelHost;
use mlops_core::time::{Clock as _, ManualClock, Timestamp};
use mlops_core::{ActorId, Alias, Result};

use crate::azure::Azure;

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
    /// The same, as what lends its models to a server of ours; Azure has servers of its own.
    pub host: Option<Arc<dyn ModelHost>>,
    /// What loops went through.
    pub loops: Arc<dyn LoopJournal>,
    /// What rollouts went through.
    pub rollouts: Arc<dyn RolloutJournal>,
    /// What happened.
    pub audit: Arc<dyn AuditLog>,
    /// Where all of it is kept; on Azure, the journals, what monitors saw and what was audited.
    pub store: LocalStore,
    /// The workspace, on Azure.
    pub azure: Option<Azure>,
}

impl Platform {
    /// A platform in this folder, with `champion` protected: it moves on the evidence of a gate and with an approval.
    ///
    /// # Errors
    /// Where the folder cannot be written.
    pub fn local(folder: &Path, now: Timestamp) -> Result<Self> {
        let clock = Arc::new(ManualClock::at(now));
        let store = LocalStore::options().with_clock(clock.clone()).open(folder)?;
        let registry = store.registry().with_protected(Alias::new("champion")?, Protection::GateAndApproval);
        let registry: Arc<dyn ModelRegistry> = Arc::new(registry);
        let deployer = Arc::new(store.deployer(Arc::clone(&registry), Arc::new(BuiltinLoader)));
        Ok(Self {
            clock,
            actor: ActorId::new("training-pipeline")?,
            artifacts: Arc::new(store.artifacts()),
            data: Arc::new(store.data_assets()),
            tracker: Arc::new(store.tracker()),
            host: Some(Arc::clone(&deployer) as Arc<dyn ModelHost>),
            deployer,
            loops: Arc::new(store.loops()),
            rollouts: Arc::new(store.rollouts()),
            audit: Arc::new(store.audit_log()),
            registry,
            store,
            azure: None,
        })
    }

    /// A platform on Azure: content, data assets, runs, models and endpoints are in the workspace, and so is what deployments need to
    /// load a model ([`Azure::serving`]). What a process writes down to go on
    /// after a crash is in this folder, and so is what its monitors saw.
    ///
    /// # Errors
    /// Those of the service; where the folder cannot be written.
    pub async fn azure(azure: Azure, folder: &Path, now: Timestamp) -> Result<Self> {
        let clock = Arc::new(ManualClock::at(now));
        let store = LocalStore::options().with_clock(clock.clone()).open(folder)?;
        let blobs = azure.artifacts().await?;
        let registry = azure
            .registry(&blobs, clock.clone())
            .with_protected(Alias::new("champion")?, Protection::GateAndApproval);
        let registry: Arc<dyn ModelRegistry> = Arc::new(registry);
        let artifacts: Arc<dyn ArtifactStore> = Arc::new(blobs);
        let template = azure.serving().await?;
        Ok(Self {
            actor: ActorId::new("training-pipeline")?,
            data: Arc::new(azure.data(Arc::clone(&artifacts), clock.clone())),
            tracker: Arc::new(azure.tracker().await?),
            deployer: Arc::new(azure.deployer(Arc::clone(&registry), template, clock.clone())?),
            host: None,
            loops: Arc::new(store.loops()),
            rollouts: Arc::new(store.rollouts()),
            audit: Arc::new(store.audit_log()),
            artifacts,
            registry,
            store,
            clock,
            azure: Some(azure),
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
