//! Workspaces, and what is wrong with them.
//!
//! Source: Azure's type definitions of `Microsoft.MachineLearningServices`, version [`API_VERSION`](crate::config::API_VERSION).

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::open::ProvisioningState;
use super::quiet::{Members, Text};
use super::resource::Properties;

/// A workspace.
///
/// ```
/// use mlops_azure::wire::Resource;
/// use mlops_azure::wire::workspace::WorkspaceProperties;
/// let read = r#"{"location":"eastus","properties":{"keyVault":"/subscriptions/s","provisioningState":"Succeeded"}}"#;
/// let workspace: Resource<WorkspaceProperties> = serde_json::from_str(read)?;
/// assert_eq!(workspace.properties.key_vault.as_deref(), Some("/subscriptions/s"));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct WorkspaceProperties {
    /// A name for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub friendly_name: Option<String>,
    /// What it is, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<Text>,
    /// The Resource Manager id of its storage account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage_account: Option<String>,
    /// The Resource Manager id of its Key Vault.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_vault: Option<String>,
    /// The Resource Manager id of its Application Insights.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub application_insights: Option<String>,
    /// The Resource Manager id of its container registry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container_registry: Option<String>,
    /// `Enabled` or `Disabled`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_network_access: Option<String>,
    /// Where its MLflow is; read only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ml_flow_tracking_uri: Option<Text>,
    /// Where its services are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub discovery_url: Option<Text>,
    /// Its own id; read only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workspace_id: Option<String>,
    /// How far it is; read only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provisioning_state: Option<ProvisioningState>,
    /// Members that this crate does not know.
    #[serde(flatten)]
    pub other: Members,
}

impl Properties for WorkspaceProperties {
    const READ_ONLY: &'static [&'static str] = &[
        "agentsEndpointUri",
        "mlFlowTrackingUri",
        "notebookInfo",
        "privateEndpointConnections",
        "privateLinkCount",
        "provisioningState",
        "serviceProvisionedResourceGroup",
        "storageHnsEnabled",
        "tenantId",
        "workspaceId",
    ];
}

/// What `diagnose` is asked: to look at everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Diagnose {
    value: Map<String, Value>,
}

open_enum! {
    /// How bad something is.
    pub enum DiagnosisLevel {
        /// It does not work.
        Error = "Error",
        /// It works, perhaps not for long.
        Warning = "Warning",
        /// It works.
        Information = "Information",
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Diagnosis {
    /// Which, by the service's code.
    #[serde(default)]
    pub code: String,
    /// How bad it is.
    pub level: DiagnosisLevel,
    /// What it is, for people.
    #[serde(default)]
    pub message: Text,
}

/// What was found, by the thing that was looked at: `storageAccountResults`, `keyVaultResults`, ….
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct DiagnoseReport {
    /// Each; `null` in a list's place reads as an empty one.
    #[serde(default)]
    pub value: std::collections::BTreeMap<String, Option<Vec<Diagnosis>>>,
}

impl DiagnoseReport {
    /// Everything that was found, with what it is about: `storageAccount`, `keyVault`, ….
    ///
    /// ```
    /// use mlops_azure::wire::workspace::DiagnoseReport;
    /// let read = r#"{"value":{"keyVaultResults":[{"code":"Denied","level":"error","message":"no access"}],"otherResults":null}}"#;
    /// let report: DiagnoseReport = serde_json::from_str(read)?;
    /// let found: Vec<_> = report.findings().map(|(what, finding)| (what, finding.code.as_str())).collect();
    /// assert_eq!(found, [("keyVault", "Denied")]);
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    pub fn findings(&self) -> impl Iterator<Item = (&str, &Diagnosis)> {
        self.value.iter().flat_map(|(name, results)| {
            let what = name.strip_suffix("Results").unwrap_or(name);
            results.iter().flatten().map(move |finding| (what, finding))
        })
    }

    /// Whether something does not work.
    pub fn has_errors(&self) -> bool {
        self.findings().any(|(_, finding)| finding.level == DiagnosisLevel::Error)
    }
}
