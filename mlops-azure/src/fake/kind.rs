//! Kinds of resources: how their writes are carried out, and what their names are.

use super::path::ArmPath;
use crate::config::name::{is_asset, is_datastore, is_endpoint, is_segment, is_workspace};

/// How a call is carried out, and what its answer says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// At once.
    AtOnce,
    /// Later: the answer names a status (`Azure-AsyncOperation`).
    Status,
    /// Later: the answer is 202 and names the place of a result (`Location`).
    Location,
}

/// What a PATCH changes; whatever else is in its body changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Patch {
    /// There is no PATCH.
    None,
    /// These members, by their JSON pointers.
    Members(Way, &'static [&'static str]),
    /// All of it is merged.
    Merge(Way),
}

/// A kind of resources.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kind {
    pub(super) put: Way,
    pub(super) delete: Way,
    pub(super) patch: Patch,
}

impl Kind {
    const fn new(put: Way, delete: Way, patch: Patch) -> Self {
        Self { put, delete, patch }
    }

    /// The kind of a resource.
    ///
    /// Source for Azure Machine Learning: success codes and headers of the operations of `azure-mgmt-machinelearningservices`.
    pub(super) fn of(path: &ArmPath) -> Self {
        match path.is_machine_learning() {
            true => Self::machine_learning(&path.kind()),
            false => Self::other(&path.namespace.to_ascii_lowercase(), &path.kind()),
        }
    }

    fn machine_learning(kind: &str) -> Self {
        use Patch::Members;
        use Way::{AtOnce, Location, Status};
        match kind {
            "workspaces" => {
                let parts = &["/tags", "/sku", "/identity", "/properties"];
                Self::new(Location, Location, Members(Location, parts))
            }
            "registries" => Self::new(Status, Location, Members(AtOnce, &["/tags", "/identity", "/sku"])),
            "workspaces/onlineendpoints" | "workspaces/batchendpoints" | "workspaces/serverlessendpoints" => {
                Self::new(Status, Location, Members(Location, &["/tags", "/identity"]))
            }
            "workspaces/onlineendpoints/deployments" => {
                Self::new(Status, Location, Members(Location, &["/tags", "/sku"]))
            }
            "workspaces/batchendpoints/deployments" => {
                Self::new(Status, Location, Members(Location, &["/tags", "/properties/description"]))
            }
            "workspaces/computes" => {
                let scale = &["/properties/properties/scaleSettings"];
                Self::new(Status, Status, Members(Status, scale))
            }
            "workspaces/outboundrules" => Self::new(Location, Location, Patch::None),
            "workspaces/connections" => Self::new(AtOnce, AtOnce, Patch::Merge(AtOnce)),
            "workspaces/jobs" => Self::new(AtOnce, Location, Patch::None),
            _ if [
                "schedules",
                "featuresets",
                "featurestoreentities",
                "capabilityhosts",
                "marketplacesubscriptions",
            ]
            .iter()
            .any(|word| kind.split('/').nth(1) == Some(word)) =>
            {
                Self::new(Status, Location, Patch::None)
            }
            _ if kind.starts_with("registries/") => Self::new(Status, Location, Patch::None),
            _ => Self::new(AtOnce, AtOnce, Patch::None),
        }
    }

    fn other(namespace: &str, kind: &str) -> Self {
        use Way::{AtOnce, Location, Status};
        match (namespace, kind) {
            ("microsoft.network", "privateendpoints") => Self::new(Status, Location, Patch::None),
            ("microsoft.eventgrid", _) => Self::new(Status, Location, Patch::Merge(Status)),
            ("microsoft.storage", "storageaccounts") => Self::new(Location, AtOnce, Patch::Merge(AtOnce)),
            ("microsoft.resources", "resourcegroups") => Self::new(AtOnce, Location, Patch::Merge(AtOnce)),
            ("microsoft.authorization", _) => Self::new(AtOnce, AtOnce, Patch::None),
            _ => Self::new(AtOnce, AtOnce, Patch::Merge(AtOnce)),
        }
    }
}

/// The status of a write that makes a resource, and of one that finds it there.
pub(super) fn statuses(path: &ArmPath) -> (u16, u16) {
    let (namespace, kind) = (path.namespace.to_ascii_lowercase(), path.kind());
    match (namespace.as_str(), kind.as_str()) {
        _ if Kind::of(path).put == Way::Location => (202, 202),
        (
            "microsoft.machinelearningservices",
            "workspaces/connections" | "workspaces/privateendpointconnections",
        )
        | ("microsoft.insights", "metricalerts" | "diagnosticsettings")
        | ("microsoft.storage", "storageaccounts/blobservices") => (200, 200),
        ("microsoft.eventgrid", _) | ("microsoft.authorization", "policyassignments") => (201, 201),
        _ => (201, 200),
    }
}

/// Whether a resource of this kind can have its name.
pub(super) fn is_name(path: &ArmPath) -> bool {
    let (kind, name) = (path.kind(), path.name());
    if !path.is_machine_learning() {
        return true;
    }
    match kind.as_str() {
        "workspaces" | "registries" => is_workspace(name),
        "workspaces/onlineendpoints" | "workspaces/batchendpoints" => is_endpoint(name),
        "workspaces/onlineendpoints/deployments" | "workspaces/batchendpoints/deployments" => {
            is_endpoint(name)
        }
        "workspaces/datastores" => is_datastore(name),
        // "Argument 'version' exceeded maximum length of 30 for DatasetId": https://github.com/Azure/azureml-assets/issues/295
        "workspaces/data/versions" if name.len() > 30 => false,
        _ if super::asset::container(path).is_some() => is_asset(name) && is_container(path),
        _ => is_segment(name),
    }
}

/// Whether the container of an asset can have its name; those of registries have no dots.
fn is_container(path: &ArmPath) -> bool {
    let in_registry = path.key.contains("/registries/");
    path.names.get(1).is_none_or(|name| is_asset(name) && !(in_registry && name.contains('.')))
}

/// What only one operation at a time works on: of a resource below an endpoint the endpoint, else the resource itself.
pub(super) fn family(path: &ArmPath) -> &str {
    let kind = path.kind();
    let is_below_endpoint = path.is_machine_learning() && kind.ends_with("endpoints/deployments");
    match path.key.rsplitn(3, '/').last() {
        Some(endpoint) if is_below_endpoint => endpoint,
        _ => &path.key,
    }
}

/// Whether a resource is an endpoint or a deployment.
pub(super) fn is_endpoint_kind(path: &ArmPath) -> bool {
    let kind = path.kind();
    path.is_machine_learning() && (kind.ends_with("endpoints") || kind.ends_with("endpoints/deployments"))
}
