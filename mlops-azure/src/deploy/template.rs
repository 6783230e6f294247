//! What all deployments of a deployer have in common.

use mlops_core::id::{ModelName, Version};
use mlops_core::{Error, Result};

use crate::config::Registry;
use crate::wire::deployment::{DataCollector, RequestSettings};
use crate::wire::{OnlineDeployment, Place, Sku, TextMap};

/// Where the models are that are deployed: under the name and the version that core's registry gave them.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModelSource {
    /// In the workspace.
    Workspace,
    /// In a registry, which several workspaces share.
    Registry(Registry),
}

/// What is said of a deployment besides its model: machines, environment, code, and how it treats requests.
///
/// Models of MLflow bring their environment and their code; others need both.
///
/// ```
/// use mlops_azure::deploy::DeploymentTemplate;
/// let mlflow = DeploymentTemplate::new("Standard_DS3_v2").with_instances(2);
/// let own = DeploymentTemplate::new("Standard_DS3_v2").with_code("/subscriptions/…", "/subscriptions/…", "score.py");
/// assert!(mlflow.check().is_ok() && own.check().is_ok());
/// assert!(DeploymentTemplate::new("").check().is_err() && own.with_instances(0).check().is_err());
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq)]
pub struct DeploymentTemplate {
    /// Everything of a deployment but its model and what the deployer itself notes in its properties.
    pub deployment: OnlineDeployment,
    /// How many instances.
    pub instances: u32,
    /// Where the models are.
    pub models: ModelSource,
}

impl DeploymentTemplate {
    /// One instance of this type, with a model of the workspace that needs no code.
    pub fn new(instance_type: impl Into<String>) -> Self {
        let deployment = OnlineDeployment { model: None, ..OnlineDeployment::managed("", instance_type) };
        Self { deployment, instances: 1, models: ModelSource::Workspace }
    }

    /// The same with another number of instances.
    #[must_use]
    pub fn with_instances(mut self, instances: u32) -> Self {
        self.instances = instances;
        self
    }

    /// The same with models of a registry.
    #[must_use]
    pub fn with_models_of(mut self, registry: Registry) -> Self {
        self.models = ModelSource::Registry(registry);
        self
    }

    /// The same in an environment, with code for requests; both by their ids.
    #[must_use]
    pub fn with_code(
        mut self,
        environment_id: impl Into<String>,
        code_id: impl Into<String>,
        scoring_script: impl Into<String>,
    ) -> Self {
        self.deployment = self.deployment.with_code(environment_id, code_id, scoring_script);
        self
    }

    /// The same with what is done with requests that wait.
    #[must_use]
    pub fn with_requests(mut self, settings: RequestSettings) -> Self {
        self.deployment = self.deployment.with_requests(settings);
        self
    }

    /// The same with what of requests and answers is kept, for monitors.
    #[must_use]
    pub fn with_collector(mut self, collector: DataCollector) -> Self {
        self.deployment = self.deployment.with_collector(collector);
        self
    }

    /// The same with environment variables.
    #[must_use]
    pub fn with_variables(mut self, variables: TextMap) -> Self {
        self.deployment.environment_variables = Some(variables);
        self
    }

    /// Checks it.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](mlops_core::ErrorKind::InvalidInput) for no type of machine, for no instance, and for code without
    /// an environment.
    pub fn check(&self) -> Result<()> {
        const OP: &str = "DeploymentTemplate";
        let bad = |field, reason| Err(Error::invalid(OP, field, reason));
        if self.deployment.instance_type.as_deref().is_none_or(|name| name.trim().is_empty()) {
            return bad("instance_type", "must name a type of machine");
        }
        if self.instances == 0 {
            return bad("instances", "must be 1 or more");
        }
        match (&self.deployment.code_configuration, &self.deployment.environment_id) {
            (Some(_), None) => bad("environment_id", "must be there where there is code"),
            _ => Ok(()),
        }
    }

    /// The id of a model.
    pub(super) fn model_id(&self, place: &Place, model: &ModelName, version: Version) -> Result<String> {
        let version = version.to_string();
        match &self.models {
            ModelSource::Workspace => Ok(place.model(model.as_str(), &version)?.id().to_owned()),
            ModelSource::Registry(registry) => registry.asset_uri("models", model.as_str(), &version),
        }
    }

    /// A deployment of a model, without the notes of the deployer.
    pub(super) fn of(&self, model_id: String) -> OnlineDeployment {
        OnlineDeployment { model: Some(model_id), ..self.deployment.clone() }
    }

    /// Its size.
    pub(super) fn sku(&self) -> Sku {
        Sku::instances(self.instances)
    }
}
