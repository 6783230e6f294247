//! What online endpoints do beyond core's trait.
//!
//! Resource Manager, version [`API_VERSION`](crate::config::API_VERSION). Keys take
//! `Microsoft.MachineLearningServices/workspaces/onlineEndpoints/listKeys/action` and `…/regenerateKeys/action`, tokens `…/token/action`, logs
//! `…/deployments/getLogs/action`, sizes `…/deployments/write`; the role `AzureML Data Scientist` has them. A key that was replaced may
//! be taken for some minutes more; another number of instances is a long-running operation. The local deployers have none of it.

use mlops_core::Result;
use serde_json::json;

use crate::http::{Operation, Service};
use crate::wire::deployment::{ContainerType, GetLogs, Logs};
use crate::wire::endpoint::{KeyType, RegenerateKeys};
use crate::wire::{EndpointKeys, EndpointToken, Nothing, OnlineDeployment, Place, Resource, Sku};

/// The keys, tokens, logs and sizes of a workspace's online endpoints. Cheap to clone.
///
/// # Permissions
/// Below `Microsoft.MachineLearningServices/workspaces/onlineEndpoints`: `listKeys/action`, `regenerateKeys/action`, `token/action`,
/// `deployments/getLogs/action`, `deployments/write`, `delete`. The role `AzureML Data Scientist` has them.
///
/// ```no_run
/// use mlops_azure::deploy::OnlineEndpoints;
/// use mlops_azure::wire::deployment::ContainerType;
/// async fn last_words(online: &OnlineEndpoints) -> mlops_core::Result<String> {
///     online.logs("churn", "blue", ContainerType::InferenceServer, 100).await
/// }
/// ```
#[derive(Clone, Debug)]
pub struct OnlineEndpoints {
    arm: Service,
    place: Place,
}

impl OnlineEndpoints {
    /// The endpoints of a workspace, by a client of Resource Manager.
    pub fn new(arm: Service, place: Place) -> Self {
        Self { arm, place }
    }

    /// Both keys of an endpoint that is opened by keys.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](mlops_core::ErrorKind::NotFound) for an endpoint that is not there, and those of the service.
    pub async fn keys(&self, endpoint: &str) -> Result<EndpointKeys> {
        const OP: &str = "OnlineEndpoints::keys";
        self.arm.call(self.place.online_endpoint(endpoint)?.ask(OP, "listKeys")?).await
    }

    /// Begins to draw one of the keys anew. Who has the old one is refused from then on.
    ///
    /// # Errors
    /// As of [`keys`](Self::keys).
    pub async fn regenerate(&self, endpoint: &str, key: KeyType) -> Result<Operation<Nothing>> {
        const OP: &str = "OnlineEndpoints::regenerate";
        let call = self.place.online_endpoint(endpoint)?.act(OP, "regenerateKeys")?;
        self.arm.begin(call.json(&RegenerateKeys { key_type: key })?).await
    }

    /// A token of an endpoint that is opened by the workspace's tokens.
    ///
    /// # Errors
    /// As of [`keys`](Self::keys).
    pub async fn token(&self, endpoint: &str) -> Result<EndpointToken> {
        const OP: &str = "OnlineEndpoints::token";
        self.arm.call(self.place.online_endpoint(endpoint)?.ask(OP, "token")?).await
    }

    /// The last lines of a deployment's log. They are as the container wrote them: what it wrote of rows is in them.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](mlops_core::ErrorKind::NotFound) for a deployment that is not there, and those of the service.
    pub async fn logs(
        &self,
        endpoint: &str,
        deployment: &str,
        container: ContainerType,
        lines: u32,
    ) -> Result<String> {
        const OP: &str = "OnlineEndpoints::logs";
        let call = self.place.online_deployment(endpoint, deployment)?.ask::<Logs>(OP, "getLogs")?;
        let logs = self.arm.call(call.json(&GetLogs { container_type: container, tail: lines })?).await?;
        Ok(logs.content.into_string())
    }

    /// Begins to change the number of a deployment's instances, and nothing else of it. Where an
    /// [autoscale setting](super::autoscale) is on the deployment, that one has the last word.
    ///
    /// # Errors
    /// As of [`logs`](Self::logs).
    pub async fn scale(
        &self,
        endpoint: &str,
        deployment: &str,
        instances: u32,
    ) -> Result<Operation<Resource<OnlineDeployment>>> {
        const OP: &str = "OnlineEndpoints::scale";
        let at = self.place.online_deployment(endpoint, deployment)?;
        self.arm.begin(at.patch(OP, &json!({ "sku": Sku::instances(instances) }))?).await
    }

    /// Begins to remove an endpoint with all its deployments, whatever traffic they have. Core's `Deployer` has no such thing on purpose.
    ///
    /// # Errors
    /// Those of the service.
    pub async fn delete(&self, endpoint: &str) -> Result<Operation<Nothing>> {
        const OP: &str = "OnlineEndpoints::delete";
        self.arm.begin(self.place.online_endpoint(endpoint)?.delete(OP)).await
    }
}
