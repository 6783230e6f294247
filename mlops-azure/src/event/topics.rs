//! System topics and subscriptions.

use futures_util::TryStreamExt as _;
use mlops_core::{ErrorKind, Result};

use crate::config::Workspace;
use crate::http::{Call, Service};
use crate::wire::event::{self, EventSubscription, SystemTopic};
use crate::wire::{ArmScope, Nothing, Resource};

/// Topics and subscriptions, over a client of Resource Manager. See [the module](super) for versions and permissions.
#[derive(Clone, Debug)]
pub struct EventTopics {
    service: Service,
    workspace: Workspace,
}

impl EventTopics {
    /// The topics of a workspace.
    pub fn new(service: Service, workspace: Workspace) -> Self {
        Self { service, workspace }
    }

    fn group(&self) -> ArmScope {
        ArmScope::of_group(&self.workspace)
    }

    /// Makes the system topic of the workspace, in the workspace's region, or writes it again. A resource has one system topic at most;
    /// [`subscribe`](Self::subscribe) needs none.
    ///
    /// # Errors
    /// Those of [`Service::call`] and of the operation.
    pub async fn create_topic(&self, name: &str, region: &str) -> Result<Resource<SystemTopic>> {
        const OP: &str = "EventTopics::create_topic";
        let topic = Resource::new(SystemTopic::of_workspace(&self.workspace)).with_location(region);
        let call = event::system_topic(&self.group(), name)?.put(OP, &topic)?;
        self.service.begin(call).await?.wait().await
    }

    /// Reads a system topic.
    ///
    /// # Errors
    /// Those of [`Service::call`].
    pub async fn topic(&self, name: &str) -> Result<Resource<SystemTopic>> {
        self.service.call(event::system_topic(&self.group(), name)?.get("EventTopics::topic")).await
    }

    /// Removes a system topic and its subscriptions; what is not there is removed.
    ///
    /// # Errors
    /// Those of [`Service::call`] and of the operation.
    pub async fn delete_topic(&self, name: &str) -> Result<()> {
        let call = event::system_topic(&self.group(), name)?.delete("EventTopics::delete_topic");
        self.remove(call).await
    }

    /// Subscribes to what the workspace tells, or writes the subscription again. Azure makes the system topic by itself. A webhook is
    /// asked whether it wants events before this returns.
    ///
    /// # Errors
    /// Those of [`Service::call`] and of the operation: a webhook that does not answer the handshake is one.
    pub async fn subscribe(
        &self,
        name: &str,
        subscription: &EventSubscription,
    ) -> Result<Resource<EventSubscription>> {
        const OP: &str = "EventTopics::subscribe";
        let at = event::subscription(&ArmScope::of_workspace(&self.workspace), name)?;
        self.service.begin(at.put(OP, &Resource::new(subscription.clone()))?).await?.wait().await
    }

    /// Subscribes to a system topic, or writes the subscription again.
    ///
    /// # Errors
    /// As of [`subscribe`](Self::subscribe).
    pub async fn subscribe_to(
        &self,
        topic: &str,
        name: &str,
        subscription: &EventSubscription,
    ) -> Result<Resource<EventSubscription>> {
        const OP: &str = "EventTopics::subscribe_to";
        let at = event::topic_subscription(&self.group(), topic, name)?;
        self.service.begin(at.put(OP, &Resource::new(subscription.clone()))?).await?.wait().await
    }

    /// Reads a subscription to what the workspace tells. Neither addresses nor keys are told by the service.
    ///
    /// # Errors
    /// Those of [`Service::call`].
    pub async fn subscription(&self, name: &str) -> Result<Resource<EventSubscription>> {
        let at = event::subscription(&ArmScope::of_workspace(&self.workspace), name)?;
        self.service.call(at.get("EventTopics::subscription")).await
    }

    /// The subscriptions to what the workspace tells.
    ///
    /// # Errors
    /// Those of [`Service::call`].
    pub async fn subscriptions(&self) -> Result<Vec<Resource<EventSubscription>>> {
        let at = event::subscription(&ArmScope::of_workspace(&self.workspace), "all")?;
        self.service.items(at.list("EventTopics::subscriptions")).try_collect().await
    }

    /// Ends a subscription to what the workspace tells; what is not there is ended.
    ///
    /// # Errors
    /// Those of [`Service::call`] and of the operation.
    pub async fn unsubscribe(&self, name: &str) -> Result<()> {
        let at = event::subscription(&ArmScope::of_workspace(&self.workspace), name)?;
        self.remove(at.delete("EventTopics::unsubscribe")).await
    }

    async fn remove(&self, call: Call<Nothing>) -> Result<()> {
        match self.service.begin(call).await {
            Ok(operation) => operation.wait().await.map(|_| ()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }
}
