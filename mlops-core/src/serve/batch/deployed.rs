//! The model behind a deployment.

use std::sync::Arc;

use super::OP;
use crate::artifact::ArtifactStore;
use crate::deploy::serving::{Models, no_deployment};
use crate::deploy::{Deployer, Deployment, DeploymentState};
use crate::error::{Error, ErrorKind, Result};
use crate::hash::Digest;
use crate::id::{DeploymentName, EndpointName, ModelName, Version};
use crate::model::{ModelLoader, Predictor};
use crate::registry::ModelRegistry;

/// The model version that a deployment answers with, loaded here: for work on files, which should not go through an endpoint that people wait for.
///
/// ```
/// use std::sync::Arc;
/// use mlops_core::artifact::ArtifactStoreExt as _;
/// use mlops_core::deploy::{Deployer as _, DeploymentSpec, EndpointSpec};
/// use mlops_core::memory::{MemoryArtifactStore, MemoryDeployer, MemoryModelRegistry};
/// use mlops_core::model::{ModelFormat, Predictor as _};
/// use mlops_core::problem::Task;
/// use mlops_core::registry::{ModelRegistry as _, NewModelVersion};
/// use mlops_core::serve::batch::DeployedModel;
/// use mlops_core::serve::{BuiltinLoader, ConstantPredictor};
/// use mlops_core::time::SystemClock;
/// use mlops_core::{ActorId, DeploymentName, EndpointName, ModelName};
///
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let clock = Arc::new(SystemClock::new());
/// let artifacts = Arc::new(MemoryArtifactStore::new(clock.clone()));
/// let registry = Arc::new(MemoryModelRegistry::new(artifacts.clone(), clock.clone()));
/// let deployer = MemoryDeployer::new(registry.clone(), artifacts.clone(), Arc::new(BuiltinLoader), clock);
/// let (me, name) = (ActorId::new("release")?, ModelName::new("prior")?);
/// let prior = ConstantPredictor::new(Task::BinaryClassification, 0.25)?;
/// let blob = artifacts.put_bytes(prior.to_bytes()?).await?;
/// let format = ModelFormat::new("mlops.constant/v1")?;
/// let new = NewModelVersion::new(name.clone(), blob.digest, format, prior.signature().clone(), me.clone());
/// let version = registry.register(&new).await?.version;
/// let (endpoint, blue) = (EndpointName::new("diabetes")?, DeploymentName::new("blue")?);
/// deployer.ensure_endpoint(&EndpointSpec::new(endpoint.clone(), me.clone())).await?;
/// deployer.deploy(&DeploymentSpec::new(endpoint.clone(), blue.clone(), name, version, me)).await?;
///
/// let model = DeployedModel::find(&deployer, registry, artifacts, Arc::new(BuiltinLoader), &endpoint, Some(&blue)).await?;
/// assert_eq!((model.version, model.artifact), (version, blob.digest));
/// # Ok::<(), mlops_core::Error>(()) })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Debug)]
pub struct DeployedModel {
    /// The endpoint.
    pub endpoint: EndpointName,
    /// The deployment.
    pub deployment: DeploymentName,
    /// The model.
    pub model: ModelName,
    /// The version.
    pub version: Version,
    /// The digest of its content.
    pub artifact: Digest,
    /// What answers.
    pub predictor: Arc<dyn Predictor>,
}

impl DeployedModel {
    /// Finds the model of a deployment, or of the one that has all of the endpoint's traffic, and loads it.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] for no such endpoint, deployment or version; [`ErrorKind::Conflict`] for traffic that is split, or goes nowhere, where
    /// no deployment is named, and for a deployment that is not ready; [`ErrorKind::Integrity`] where the registry's version is not what was
    /// deployed; and those of the stores and the loader.
    pub async fn find(
        deployer: &dyn Deployer,
        registry: Arc<dyn ModelRegistry>,
        artifacts: Arc<dyn ArtifactStore>,
        loader: Arc<dyn ModelLoader>,
        endpoint: &EndpointName,
        deployment: Option<&DeploymentName>,
    ) -> Result<Self> {
        let name = match deployment {
            Some(name) => name.clone(),
            None => only(deployer, endpoint).await?,
        };
        let mut deployments = deployer.deployments(endpoint).await?;
        let deployed = deployments.remove(&name).ok_or_else(|| no_deployment(OP, endpoint, &name))?;
        if deployed.state != DeploymentState::Ready {
            let error = Error::new(ErrorKind::Conflict, OP, "the deployment is not ready");
            return Err(error.with("endpoint", endpoint).with("deployment", name));
        }
        let models = Models { registry, artifacts, loader };
        let version = models.deployed(OP, &deployed).await?;
        let predictor = models.load(OP, &version).await?;
        let Deployment { spec, artifact, .. } = deployed;
        let (endpoint, deployment) = (spec.endpoint, spec.name);
        Ok(Self { endpoint, deployment, model: spec.model, version: spec.version, artifact, predictor })
    }

    /// Which version it is, in words: `churn:3 sha256:…`.
    pub fn identity(&self) -> String {
        format!("{}:{} {}", self.model, self.version, self.artifact)
    }
}

/// The deployment with all of the traffic.
async fn only(deployer: &dyn Deployer, endpoint: &EndpointName) -> Result<DeploymentName> {
    let found = deployer.endpoint(endpoint).await?;
    let mut shares = found.traffic.shares();
    match (shares.next(), shares.next()) {
        (Some((name, _)), None) => Ok(name.clone()),
        (None, _) => {
            let error = Error::new(ErrorKind::Conflict, OP, "the endpoint has no traffic; name a deployment");
            Err(error.with("endpoint", endpoint))
        }
        _ => {
            let error = Error::new(ErrorKind::Conflict, OP, "the traffic is split; name a deployment");
            Err(error.with("endpoint", endpoint).with("traffic", &found.traffic))
        }
    }
}
