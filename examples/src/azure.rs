//! A workspace of Azure Machine Learning for the examples: one in memory, or, with the flag `--azure`, the one that the environment
//! names.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use mlops_azure::artifact::BlobArtifacts;
use mlops_azure::auth::identity::Identity;
use mlops_azure::auth::{TokenCache, TokenSource};
use mlops_azure::config::{Endpoints, Registry, Workspace};
use mlops_azure::data::AzureDataAssets;
use mlops_azure::deploy::{AzureDeployer, DeploymentTemplate};
use mlops_azure::environment::{Codes, Environments};
use mlops_azure::fake::FakeAzure;
use mlops_azure::http::{HttpTransport, ReqwestConfig, ReqwestTransport, Service};
use mlops_azure::mlflow::{AzureMlflow, MlflowTracker, TrackingUri};
use mlops_azure::registry::AzureModelRegistry;
use mlops_azure::storage::{DatastoreFiles, Datastores, LocalCode, Uploads};
use mlops_azure::wire::{EnvironmentVersion, Place};
use mlops_core::artifact::ArtifactStore;
use mlops_core::model::Predictor;
use mlops_core::registry::ModelRegistry;
use mlops_core::time::{Clock, SystemClock};
use mlops_core::{Error, Result};

/// The datastore that every workspace has.
const DATASTORE: &str = "workspaceblobstore";
const INSTANCE: &str = "Standard_DS3_v2";
/// The image that the packages of the script are put on.
const IMAGE: &str = "mcr.microsoft.com/azureml/openmpi4.1.0-ubuntu22.04";
/// The packages of the script.
const PACKAGES: &str = include_str!("../config/serving.conda.yml");

/// A workspace, and what it takes to talk to it.
pub struct Azure {
    /// Which one.
    pub workspace: Workspace,
    /// Resource Manager.
    pub arm: Service,
    /// Where tokens come from.
    pub tokens: Arc<dyn TokenSource>,
    /// How everything else is reached.
    pub transport: Arc<dyn HttpTransport>,
    fake: Option<Fake>,
}

/// Azure in memory, and the models that its endpoints answer with, by their ids.
struct Fake {
    azure: FakeAzure,
    models: Arc<Mutex<BTreeMap<String, Arc<dyn Predictor>>>>,
}

impl Azure {
    /// The workspace in memory; with the argument `--azure` that of [`from_env`](Self::from_env).
    ///
    /// # Errors
    /// Those of [`from_env`](Self::from_env).
    pub fn from_args() -> Result<Self> {
        match std::env::args().any(|argument| argument == "--azure") {
            true => Self::from_env(),
            false => Ok(Self::fake()),
        }
    }

    /// A workspace in memory: nothing leaves this process.
    pub fn fake() -> Self {
        let azure = FakeAzure::new();
        let models: Arc<Mutex<BTreeMap<String, Arc<dyn Predictor>>>> = Arc::default();
        let known = Arc::clone(&models);
        azure.predict_with(move |model| {
            known.lock().unwrap_or_else(PoisonError::into_inner).get(&model.to_ascii_lowercase()).cloned()
        });
        Self {
            workspace: azure.workspace(),
            arm: azure.arm(),
            tokens: azure.tokens(),
            transport: azure.transport(),
            fake: Some(Fake { azure, models }),
        }
    }

    /// The workspace that the environment or a `config.json` above this folder names, with the credentials that are there: a service
    /// principal in the environment, an identity of the machine, or what `az login` left.
    ///
    /// # Errors
    /// Where no workspace is named, or its cloud is unknown.
    pub fn from_env() -> Result<Self> {
        let workspace = Workspace::discover()?;
        let transport: Arc<dyn HttpTransport> = Arc::new(ReqwestTransport::new(&ReqwestConfig::default())?);
        let chain = Arc::new(Identity::chain(Arc::clone(&transport))?);
        let tokens: Arc<dyn TokenSource> = Arc::new(TokenCache::new(chain, Arc::new(SystemClock::new())));
        let endpoints = Endpoints::of(workspace.cloud())?;
        let arm = Service::resource_manager(&endpoints, Arc::clone(&tokens));
        let arm = arm.transport(Arc::clone(&transport)).build()?;
        Ok(Self { workspace, arm, tokens, transport, fake: None })
    }

    /// What the workspace's resources are below.
    pub fn place(&self) -> Place {
        Place::from(&self.workspace)
    }

    /// The workspace in memory, where it is one: for what an example sets up that is there in Azure.
    pub fn in_memory(&self) -> Option<&FakeAzure> {
        self.fake.as_ref().map(|fake| &fake.azure)
    }

    /// A registry that all workspaces share: in memory `contoso-ml`; else the one that `MLOPS_AZURE_REGISTRY` names as
    /// `SUBSCRIPTION/RESOURCE_GROUP/NAME`, if it names one.
    ///
    /// # Errors
    /// For a text that names none.
    pub fn shared_registry(&self) -> Result<Option<Registry>> {
        if let Some(fake) = self.in_memory() {
            return Ok(Some(fake.registry("contoso-ml")));
        }
        let Ok(named) = std::env::var("MLOPS_AZURE_REGISTRY") else { return Ok(None) };
        match *named.split('/').collect::<Vec<_>>() {
            [subscription, group, name] => {
                Ok(Some(Registry::new(subscription, group, name)?.in_cloud(self.workspace.cloud())))
            }
            _ => {
                let reason = "must be SUBSCRIPTION/RESOURCE_GROUP/NAME";
                Err(Error::invalid("Azure::shared_registry", "MLOPS_AZURE_REGISTRY", reason))
            }
        }
    }

    /// Content, in the workspace's own datastore.
    ///
    /// # Errors
    /// Those of the service.
    pub async fn artifacts(&self) -> Result<BlobArtifacts> {
        Ok(BlobArtifacts::new(self.datastores().container(DATASTORE).await?))
    }

    fn datastores(&self) -> Datastores {
        Datastores::new(self.arm.clone(), self.place())
            .in_cloud(self.workspace.cloud())
            .tokens(Arc::clone(&self.tokens))
            .transport(Arc::clone(&self.transport))
    }

    /// Data assets whose content is in `artifacts`.
    pub fn data(&self, artifacts: Arc<dyn ArtifactStore>, clock: Arc<dyn Clock>) -> AzureDataAssets {
        AzureDataAssets::new(self.arm.clone(), &self.workspace, artifacts, clock)
    }

    /// Model versions whose content is in `artifacts`, and lies where endpoints read it.
    pub fn registry(&self, artifacts: &BlobArtifacts, clock: Arc<dyn Clock>) -> AzureModelRegistry {
        let files = DatastoreFiles::new(Uploads::new(self.datastores()), DATASTORE).with_content(artifacts);
        let content: Arc<dyn ArtifactStore> = Arc::new(artifacts.clone());
        AzureModelRegistry::new(self.arm.clone(), &self.workspace, content, clock).with_files(Arc::new(files))
    }

    /// What all deployments of the closed loop have in common: the machine, and what loads a model of `mlops-core` there, which is no
    /// model of MLflow. Registers both by their content, so that the second time nothing is made: the environment, which Azure builds
    /// when it is first used, and `score.py`.
    ///
    /// `MLOPS_AZURE_INSTANCE` names another type of machine, `MLOPS_AZURE_ENVIRONMENT` an environment that is there, by its id.
    ///
    /// # Errors
    /// Those of the service.
    pub async fn serving(&self) -> Result<DeploymentTemplate> {
        let named = |name| std::env::var(name).ok().filter(|text| !text.is_empty());
        let environment = match named("MLOPS_AZURE_ENVIRONMENT") {
            Some(id) => id,
            None => {
                let environments = Environments::new(self.arm.clone(), &self.workspace);
                environments.anonymous(&EnvironmentVersion::conda(IMAGE, PACKAGES)).await?
            }
        };
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("serving");
        let code = LocalCode::read(&folder).await?.transport(Arc::clone(&self.transport));
        let code = Codes::new(self.arm.clone(), &self.workspace).register(&code).await?;
        let instance = named("MLOPS_AZURE_INSTANCE").unwrap_or_else(|| INSTANCE.to_owned());
        Ok(DeploymentTemplate::new(instance).with_code(environment, code, "score.py"))
    }

    /// Runs, in the workspace's MLflow.
    ///
    /// # Errors
    /// Those of the service.
    pub async fn tracker(&self) -> Result<MlflowTracker> {
        let uri = TrackingUri::read(&self.arm, &self.workspace).await?;
        let mlflow = AzureMlflow::builder(uri, Arc::clone(&self.tokens));
        Ok(mlflow.transport(Arc::clone(&self.transport)).build()?.tracker())
    }

    /// Endpoints whose traffic nobody else changes; callers keep to their deployment.
    ///
    /// # Errors
    /// For a template that is none.
    pub fn deployer(
        &self,
        registry: Arc<dyn ModelRegistry>,
        template: DeploymentTemplate,
        clock: Arc<dyn Clock>,
    ) -> Result<AzureDeployer> {
        AzureDeployer::builder(self.arm.clone(), &self.workspace, registry, template)
            .tokens(Arc::clone(&self.tokens))
            .transport(Arc::clone(&self.transport))
            .clock(clock)
            .sole_writer()
            .sticky_routing()
            .build()
    }

    /// Lets the workspace in memory answer with this predictor where a version of a model is asked; Azure itself loads what was
    /// registered.
    ///
    /// # Errors
    /// For a name that no model has.
    pub fn lend(&self, model: &str, version: &str, predictor: Arc<dyn Predictor>) -> Result<()> {
        if let Some(Fake { models, .. }) = &self.fake {
            let id = self.place().model(model, version)?.id().to_ascii_lowercase();
            models.lock().unwrap_or_else(PoisonError::into_inner).insert(id, predictor);
        }
        Ok(())
    }

    /// How many requests the workspace in memory has answered; Azure itself is not asked.
    pub fn requests(&self) -> Option<usize> {
        self.fake.as_ref().map(|fake| fake.azure.count())
    }
}

impl fmt::Debug for Azure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Azure").field("workspace", &self.workspace.name()).finish_non_exhaustive()
    }
}
