//! Kinds of resources, with Azure's abbreviations and rules for names.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::naming::NameRule;

/// What a resource is.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResourceKind {
    /// A resource group.
    ResourceGroup,
    /// A machine-learning workspace.
    Workspace,
    /// A hub workspace.
    Hub,
    /// A project workspace of a hub.
    Project,
    /// A storage account.
    StorageAccount,
    /// A key vault.
    KeyVault,
    /// Application Insights.
    ApplicationInsights,
    /// A Log Analytics workspace.
    LogAnalytics,
    /// A container registry.
    ContainerRegistry,
    /// A user-assigned managed identity.
    ManagedIdentity,
    /// A private endpoint.
    PrivateEndpoint,
    /// A virtual network.
    VirtualNetwork,
    /// A subnet.
    Subnet,
    /// A network security group.
    NetworkSecurityGroup,
    /// An Event Grid system topic.
    EventGridTopic,
    /// An Event Grid subscription.
    EventGridSubscription,
    /// An action group of Azure Monitor.
    ActionGroup,
    /// A Kubernetes cluster.
    KubernetesCluster,
    /// A function app.
    FunctionApp,
    /// A logic app.
    LogicApp,
    /// A compute cluster of a workspace.
    ComputeCluster,
    /// A compute instance of a workspace.
    ComputeInstance,
    /// An online endpoint.
    OnlineEndpoint,
    /// A deployment of an online endpoint.
    OnlineDeployment,
    /// A batch endpoint.
    BatchEndpoint,
}

impl ResourceKind {
    /// All kinds.
    pub const ALL: [Self; 25] = [
        Self::ResourceGroup,
        Self::Workspace,
        Self::Hub,
        Self::Project,
        Self::StorageAccount,
        Self::KeyVault,
        Self::ApplicationInsights,
        Self::LogAnalytics,
        Self::ContainerRegistry,
        Self::ManagedIdentity,
        Self::PrivateEndpoint,
        Self::VirtualNetwork,
        Self::Subnet,
        Self::NetworkSecurityGroup,
        Self::EventGridTopic,
        Self::EventGridSubscription,
        Self::ActionGroup,
        Self::KubernetesCluster,
        Self::FunctionApp,
        Self::LogicApp,
        Self::ComputeCluster,
        Self::ComputeInstance,
        Self::OnlineEndpoint,
        Self::OnlineDeployment,
        Self::BatchEndpoint,
    ];

    /// The word for it in files.
    ///
    /// ```
    /// use mlops_core::governance::policy::ResourceKind;
    /// assert_eq!(ResourceKind::KeyVault.as_str(), "key_vault");
    /// ```
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ResourceGroup => "resource_group",
            Self::Workspace => "workspace",
            Self::Hub => "hub",
            Self::Project => "project",
            Self::StorageAccount => "storage_account",
            Self::KeyVault => "key_vault",
            Self::ApplicationInsights => "application_insights",
            Self::LogAnalytics => "log_analytics",
            Self::ContainerRegistry => "container_registry",
            Self::ManagedIdentity => "managed_identity",
            Self::PrivateEndpoint => "private_endpoint",
            Self::VirtualNetwork => "virtual_network",
            Self::Subnet => "subnet",
            Self::NetworkSecurityGroup => "network_security_group",
            Self::EventGridTopic => "event_grid_topic",
            Self::EventGridSubscription => "event_grid_subscription",
            Self::ActionGroup => "action_group",
            Self::KubernetesCluster => "kubernetes_cluster",
            Self::FunctionApp => "function_app",
            Self::LogicApp => "logic_app",
            Self::ComputeCluster => "compute_cluster",
            Self::ComputeInstance => "compute_instance",
            Self::OnlineEndpoint => "online_endpoint",
            Self::OnlineDeployment => "online_deployment",
            Self::BatchEndpoint => "batch_endpoint",
        }
    }

    /// The abbreviation of the Cloud Adoption Framework with which its name begins; `None` for what lives inside a workspace,
    /// for which the framework has none.
    ///
    /// ```
    /// use mlops_core::governance::policy::ResourceKind;
    /// assert_eq!(ResourceKind::Workspace.abbreviation(), Some("mlw"));
    /// assert_eq!(ResourceKind::OnlineEndpoint.abbreviation(), None);
    /// ```
    pub const fn abbreviation(self) -> Option<&'static str> {
        Some(match self {
            Self::ResourceGroup => "rg",
            Self::Workspace => "mlw",
            Self::Hub => "hub",
            Self::Project => "proj",
            Self::StorageAccount => "st",
            Self::KeyVault => "kv",
            Self::ApplicationInsights => "appi",
            Self::LogAnalytics => "log",
            Self::ContainerRegistry => "cr",
            Self::ManagedIdentity => "id",
            Self::PrivateEndpoint => "pep",
            Self::VirtualNetwork => "vnet",
            Self::Subnet => "snet",
            Self::NetworkSecurityGroup => "nsg",
            Self::EventGridTopic => "egst",
            Self::EventGridSubscription => "evgs",
            Self::ActionGroup => "ag",
            Self::KubernetesCluster => "aks",
            Self::FunctionApp => "func",
            Self::LogicApp => "logic",
            _ => return None,
        })
    }

    /// Azure's rule for its name.
    pub const fn name_rule(self) -> NameRule {
        NameRule::of(self)
    }
}

impl fmt::Display for ResourceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
