//! Endpoints and deployments as the service describes them, read as core describes them.

use std::collections::BTreeMap;

use mlops_core::deploy::{
    Deployment, DeploymentSpec, DeploymentState, Endpoint, EndpointSpec, Mirror, TrafficSplit,
};
use mlops_core::hash::Digest;
use mlops_core::id::{ActorId, DeploymentName, EndpointName, ModelName, Version};
use mlops_core::problem::Task;
use mlops_core::registry::ModelVersion;
use mlops_core::time::Timestamp;
use mlops_core::{Error, ErrorKind, Percent, Result};

use super::ledger::Ledger;
use super::tags;
use crate::wire::open::ProvisioningState;
use crate::wire::{OnlineDeployment, OnlineEndpoint, Resource, TextMap, Traffic};

/// When it was made, by the clock of who made it.
const MADE: &str = "mlops.made";
const MODEL: &str = "mlops.model";
const VERSION: &str = "mlops.version";
const ARTIFACT: &str = "mlops.artifact";
const ACTOR: &str = "mlops.actor";
const TASK: &str = "mlops.task";

/// An endpoint that was read.
pub(super) struct Seen {
    pub(super) resource: Resource<OnlineEndpoint>,
    pub(super) endpoint: Endpoint,
    pub(super) ledger: Ledger,
}

impl Seen {
    pub(super) fn read(
        operation: &'static str,
        name: &EndpointName,
        resource: Resource<OnlineEndpoint>,
    ) -> Result<Self> {
        let properties = &resource.properties;
        let own = properties.properties.as_ref();
        let mut spec = EndpointSpec::new(name.clone(), nobody()?);
        spec.tags = tags::gather(operation, resource.tags.as_ref(), own)?;
        let mut endpoint = Endpoint::new(spec, made(own, &resource));
        endpoint.traffic = split(operation, properties.traffic.as_ref())?;
        endpoint.mirror = mirror(operation, properties.mirror_traffic.as_ref())?;
        let mut ledger = Ledger::read(operation, resource.tags.as_ref())?;
        if properties.provisioning_state == Some(ProvisioningState::Failed) {
            ledger.forget_failed(&endpoint.traffic, endpoint.mirror.as_ref());
        }
        endpoint.revision = ledger.revision(&endpoint.traffic, endpoint.mirror.as_ref());
        Ok(Self { resource, endpoint, ledger })
    }

    /// The whole resource with other traffic.
    pub(super) fn resource_with(
        &self,
        operation: &'static str,
        endpoint: &Endpoint,
        ledger: &Ledger,
    ) -> Result<Resource<OnlineEndpoint>> {
        let bad = |e| Error::invalid(operation, "split", "is none that Azure takes").with_source(e);
        let shares = endpoint.traffic.shares().map(|(name, share)| (name.as_str(), u32::from(share.get())));
        let live = Traffic::new(shares).map_err(bad)?;
        let copies = match &endpoint.mirror {
            None => Traffic::default(),
            Some(mirror) => {
                let share = u32::from(mirror.share.get());
                Traffic::mirror(mirror.deployment.as_str(), share).map_err(bad)?
            }
        };
        let mut resource = self.resource.clone();
        resource.properties.share(live, copies).map_err(bad)?;
        ledger.write(operation, resource.tags.get_or_insert_default())?;
        Ok(resource)
    }
}

/// The resource of an endpoint that is to be made: its tags and its properties.
pub(super) fn notes_of_endpoint(
    operation: &'static str,
    spec: &EndpointSpec,
    now: Timestamp,
) -> Result<(TextMap, TextMap)> {
    let (shown, rest) = tags::spread(operation, &spec.tags)?;
    let mut properties = TextMap::default();
    properties.insert(MADE, now.to_rfc3339());
    if let Some(rest) = rest {
        properties.insert(tags::REST, rest);
    }
    Ok((shown, properties))
}

/// What a deployment that is to be made says of itself: its tags and its properties.
pub(super) fn notes_of_deployment(
    operation: &'static str,
    spec: &DeploymentSpec,
    version: &ModelVersion,
    now: Timestamp,
) -> Result<(TextMap, TextMap)> {
    let (shown, rest) = tags::spread(operation, &spec.tags)?;
    let task = serde_json::to_value(version.spec.signature.task).ok();
    let task = task.as_ref().and_then(serde_json::Value::as_str).unwrap_or_default();
    let mut properties: TextMap = [
        (MADE, now.to_rfc3339()),
        (MODEL, spec.model.to_string()),
        (VERSION, spec.version.to_string()),
        (ARTIFACT, version.spec.artifact.to_string()),
        (ACTOR, spec.actor.to_string()),
        (TASK, task.to_owned()),
    ]
    .into_iter()
    .collect();
    if let Some(rest) = rest {
        properties.insert(tags::REST, rest);
    }
    Ok((shown, properties))
}

/// A deployment, and what its model answers.
#[derive(Clone, Debug)]
pub(super) struct Deployed {
    pub(super) deployment: Deployment,
    pub(super) task: Option<Task>,
}

/// All deployments of an endpoint that are of registered models.
pub(super) type AllDeployed = BTreeMap<DeploymentName, Deployed>;

/// A deployment as its notes say; `None` for one that has none, or some that somebody has written.
pub(super) fn deployed(
    operation: &'static str,
    endpoint: &EndpointName,
    name: &DeploymentName,
    resource: &Resource<OnlineDeployment>,
) -> Result<Option<Deployed>> {
    let own = resource.properties.properties.as_ref();
    let note = |name: &str| own.and_then(|map| map.get(name));
    let read = || {
        let model = ModelName::new(note(MODEL)?).ok()?;
        let version: Version = note(VERSION)?.parse().ok()?;
        let artifact: Digest = note(ARTIFACT)?.parse().ok()?;
        let actor = ActorId::new(note(ACTOR)?).ok()?;
        Some((DeploymentSpec::new(endpoint.clone(), name.clone(), model, version, actor), artifact))
    };
    let Some((mut spec, artifact)) = read() else { return Ok(None) };
    let tags = tags::gather(operation, resource.tags.as_ref(), own)?;
    let task = note(TASK).and_then(|text| serde_json::from_value(text.into()).ok());
    spec.tags = tags;
    Ok(Some(described(spec, artifact, task, resource)))
}

/// A deployment that somebody else made, of a model version that is registered.
pub(super) fn adopted(
    endpoint: &EndpointName,
    name: &DeploymentName,
    version: &ModelVersion,
    resource: &Resource<OnlineDeployment>,
) -> Result<Deployed> {
    let (model, number) = (version.spec.model.clone(), version.version);
    let mut spec = DeploymentSpec::new(endpoint.clone(), name.clone(), model, number, nobody()?);
    spec.tags = tags::gather("Deployer::deployments", resource.tags.as_ref(), None)?;
    Ok(described(spec, version.spec.artifact, Some(version.spec.signature.task), resource))
}

/// The model and version that an id names.
pub(super) fn model_of(resource: &Resource<OnlineDeployment>) -> Option<(ModelName, Version)> {
    let id = resource.properties.model.as_deref()?;
    let (rest, version) = id.rsplit_once("/versions/")?;
    let (_, model) = rest.rsplit_once("/models/")?;
    Some((ModelName::new(model).ok()?, version.parse().ok()?))
}

/// The last segment of a resource's id, as a deployment's name; `None` for one that core does not allow.
pub(super) fn name_of(resource: &Resource<OnlineDeployment>) -> Option<DeploymentName> {
    let name = resource.name.as_deref()?;
    DeploymentName::new(name.rsplit('/').next().unwrap_or(name)).ok()
}

fn described(
    spec: DeploymentSpec,
    artifact: Digest,
    task: Option<Task>,
    resource: &Resource<OnlineDeployment>,
) -> Deployed {
    let own = resource.properties.properties.as_ref();
    let mut deployment = Deployment::ready(spec, artifact, made(own, resource));
    deployment.state = match &resource.properties.provisioning_state {
        Some(ProvisioningState::Failed | ProvisioningState::Canceled | ProvisioningState::Deleting) => {
            DeploymentState::Failed
        }
        Some(ProvisioningState::Creating) => DeploymentState::Creating,
        // One that is being changed or scaled answers meanwhile.
        _ => DeploymentState::Ready,
    };
    Deployed { deployment, task }
}

fn made<P>(own: Option<&TextMap>, resource: &Resource<P>) -> Timestamp {
    let noted = own.and_then(|map| map.get(MADE)).and_then(|text| text.parse().ok());
    let system = || resource.system_data.as_ref().and_then(|data| data.created_at);
    noted.or_else(system).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// Who made what does not say who made it.
fn nobody() -> Result<ActorId> {
    Ok(ActorId::new("azure")?)
}

fn split(operation: &'static str, traffic: Option<&Traffic>) -> Result<TrafficSplit> {
    let Some(traffic) = traffic.filter(|traffic| traffic.total() > 0) else {
        return Ok(TrafficSplit::none());
    };
    let shares = traffic.iter().filter(|(_, share)| *share > 0).map(share_of);
    let split = shares.collect::<Option<Vec<_>>>().and_then(|shares| TrafficSplit::new(shares).ok());
    split.ok_or_else(|| {
        let message = "the endpoint's traffic is none that core has: whole per cent that sum to 100";
        Error::new(ErrorKind::Protocol, operation, message).with("traffic", traffic)
    })
}

fn mirror(operation: &'static str, traffic: Option<&Traffic>) -> Result<Option<Mirror>> {
    let Some(traffic) = traffic else { return Ok(None) };
    let shadows: Vec<_> = traffic.iter().filter(|(_, share)| *share > 0).collect();
    match shadows.as_slice() {
        [] => Ok(None),
        [one] => share_of(*one).map(|(name, share)| Some(Mirror::new(name, share))).ok_or_else(|| {
            let message = "the endpoint's mirrored traffic is none that core has";
            Error::new(ErrorKind::Protocol, operation, message).with("mirror", traffic)
        }),
        _ => {
            let message = "the endpoint mirrors requests to several deployments";
            Err(Error::new(ErrorKind::Protocol, operation, message).with("mirror", traffic))
        }
    }
}

fn share_of((name, share): (&str, u32)) -> Option<(DeploymentName, Percent)> {
    Some((DeploymentName::new(name).ok()?, Percent::new(u8::try_from(share).ok()?)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traffic_that_core_has_not_is_told() {
        let read = |text: &str| split("op", Some(&serde_json::from_str(text).unwrap()));
        assert_eq!(read(r#"{"blue":90,"green":10,"red":0}"#).unwrap().to_string(), "blue 90 %, green 10 %");
        assert!(read(r#"{"blue":0}"#).unwrap().is_none());
        for bad in [r#"{"blue":90}"#, r#"{"blue":200}"#, r#"{"x":100}"#] {
            assert_eq!(read(bad).unwrap_err().kind(), ErrorKind::Protocol, "{bad}");
        }
        let shadow = |text: &str| mirror("op", Some(&serde_json::from_str(text).unwrap()));
        assert_eq!(shadow(r#"{"red":0}"#).unwrap(), None);
        assert_eq!(shadow(r#"{"red":20}"#).unwrap().unwrap().to_string(), "20 % to red");
        assert!(shadow(r#"{"red":20,"blue":1}"#).is_err());
    }

    #[test]
    fn a_model_is_known_by_its_id() {
        let of = |id: &str| {
            let found = model_of(&Resource::new(OnlineDeployment::managed(id, "x")));
            found.map(|(model, version)| format!("{model}:{version}"))
        };
        assert_eq!(of("/subscriptions/s/workspaces/w/models/churn/versions/3").as_deref(), Some("churn:3"));
        assert_eq!(of("azureml://registries/r/models/churn/versions/12").as_deref(), Some("churn:12"));
        for bad in ["", "azureml:churn:3", "/models/churn/versions/x", "/models/../versions/1"] {
            assert_eq!(of(bad), None, "{bad}");
        }
    }
}
