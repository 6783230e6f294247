//! What is there at first.

use serde_json::{Value, json};

use super::azure::{FakeAzure, REGION};
use super::key_vault::FakeKeyVault;
use super::state::guid;

/// A subscription, a resource group and a workspace with what belongs to it.
pub(super) fn furnish(azure: &FakeAzure) {
    let workspace = azure.workspace();
    let subscription = format!("/subscriptions/{}", workspace.subscription());
    let group = format!("{subscription}/resourceGroups/{}", workspace.resource_group());
    let provider = |name: &str| format!("{group}/providers/{name}");
    let (storage, vault, insights) = (
        provider("Microsoft.Storage/storageAccounts/stfake"),
        provider("Microsoft.KeyVault/vaults/kv-fake"),
        provider("Microsoft.Insights/components/appi-fake"),
    );
    let here = |properties: Value| json!({ "location": REGION, "tags": {}, "properties": properties });
    azure.set_resource(
        &subscription,
        json!({ "subscriptionId": workspace.subscription(), "state": "Enabled", "tenantId": super::token::TENANT }),
    );
    azure.set_resource(&group, here(json!({ "provisioningState": "Succeeded" })));
    azure.set_resource(&storage, storage_account());
    // The token is that of no service: the vault asks the fake which ones are good.
    azure.plug(FakeKeyVault::new("kv-fake", guid(0x0b, 1)));
    azure.set_resource(&vault, here(json!({ "vaultUri": "https://kv-fake.vault.azure.net/" })));
    azure.set_resource(&insights, insights_component());
    azure.set_resource(
        &workspace.id(),
        json!({
            "location": REGION, "tags": {}, "kind": "Default",
            "identity": { "type": "SystemAssigned" },
            "sku": { "name": "Basic", "tier": "Basic" },
            "properties": {
                "workspaceId": guid(0x51, 1), "friendlyName": workspace.name(), "description": "",
                "storageAccount": storage, "keyVault": vault, "applicationInsights": insights,
                "discoveryUrl": format!("https://{REGION}.api.azureml.ms/discovery"),
                "mlFlowTrackingUri": format!("azureml://{REGION}.api.azureml.ms/mlflow/v1.0{}", workspace.id()),
                "provisioningState": "Succeeded", "publicNetworkAccess": "Enabled",
            },
        }),
    );
    let datastore = format!("{}/datastores/workspaceblobstore", workspace.id());
    azure.set_resource(&datastore, default_datastore());
}

fn storage_account() -> Value {
    json!({
        "location": REGION, "tags": {}, "kind": "StorageV2", "sku": { "name": "Standard_LRS", "tier": "Standard" },
        "properties": {
            "provisioningState": "Succeeded", "isHnsEnabled": false,
            "primaryEndpoints": {
                "blob": "https://stfake.blob.core.windows.net/", "dfs": "https://stfake.dfs.core.windows.net/",
            },
        },
    })
}

fn insights_component() -> Value {
    let key = guid(0x1a, 1);
    let endpoint = format!("https://{REGION}-0.in.applicationinsights.azure.com/");
    json!({
        "location": REGION, "tags": {}, "kind": "web",
        "properties": {
            "Application_Type": "web", "AppId": guid(0x1a, 2), "InstrumentationKey": key,
            "ConnectionString": format!("InstrumentationKey={key};IngestionEndpoint={endpoint}"),
        },
    })
}

/// The datastore that every workspace has; its container is in the account of the workspace.
fn default_datastore() -> Value {
    json!({
        "properties": {
            "datastoreType": "AzureBlob", "accountName": "stfake",
            "containerName": format!("azureml-blobstore-{}", guid(0x51, 1)),
            "endpoint": "core.windows.net", "protocol": "https",
            "credentials": { "credentialsType": "AccountKey" },
            "isDefault": true, "tags": {}, "properties": {},
        },
    })
}

/// A registry in one region.
pub(super) fn registry() -> Value {
    json!({
        "location": REGION, "tags": {}, "identity": { "type": "SystemAssigned" },
        "properties": {
            "regionDetails": [{ "location": REGION }],
            "discoveryUrl": format!("https://{REGION}.api.azureml.ms/registrymanagement/v1.0/registries/discovery"),
            "publicNetworkAccess": "Enabled",
        },
    })
}
