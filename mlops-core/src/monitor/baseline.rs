//! What a model knew when it went live: what its deployment is monitored against.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::QualityRule;
use super::compute::PREDICTION;
use crate::artifact::{ArtifactStore, ArtifactStoreExt as _, Entry, Manifest};
use crate::data::{AssetKind, Column, DataAsset, DataAssetStore, NewDataAsset, Profile, Table};
use crate::deploy::Deployment;
use crate::error::{Error, ErrorKind, Result};
use crate::hash::{Digest, Hasher, canonical_json};
use crate::id::{AssetName, DeploymentName, EndpointName, IdempotencyKey, ModelName, RelPath, Version};
use crate::model::Predictions;
use crate::registry::{Direction, Edge, ModelRegistry, Node, Relation};
use crate::time::Timestamp;

const CAPTURE: &str = "DeploymentBaseline::capture";
const OF: &str = "BaselineStores::of";
/// The file in the artifact.
const FILE: &str = "baseline.json";
/// The largest baseline that is read, in bytes.
const LIMIT: usize = 64 * 1024 * 1024;

/// What a deployment's inputs and predictions were like when it went live: of the rows it was validated on, or learned from.
///
/// ```
/// use mlops_core::data::{Column, Table};
/// use mlops_core::deploy::{Deployment, DeploymentSpec};
/// use mlops_core::hash::Digest;
/// use mlops_core::model::Predictions;
/// use mlops_core::monitor::DeploymentBaseline;
/// use mlops_core::{ActorId, DeploymentName, EndpointName, ModelName, Version};
///
/// let (endpoint, blue) = (EndpointName::new("diabetes")?, DeploymentName::new("blue")?);
/// let spec = DeploymentSpec::new(endpoint, blue, ModelName::new("diabetes")?, Version::FIRST, ActorId::new("release")?);
/// let now = "2026-01-01T00:00:00Z".parse()?;
/// let deployment = Deployment::ready(spec, Digest::of(b"weights"), now);
///
/// let rows = Table::new(vec![Column::f64("age", vec![20.0, 60.0])?])?;
/// let baseline = DeploymentBaseline::capture(&deployment, &rows, &Predictions::probability(vec![0.1, 0.9])?, now)?;
/// assert_eq!(baseline.predictions.columns[0].numeric.as_ref().and_then(|n| n.mean), Some(0.5));
/// assert_eq!(baseline.quality().features[0].max, Some(60.0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeploymentBaseline {
    /// The version of this shape: 1.
    pub schema: u32,
    /// The endpoint.
    pub endpoint: EndpointName,
    /// The deployment.
    pub deployment: DeploymentName,
    /// The model that answers.
    pub model: ModelName,
    /// Its version.
    pub version: Version,
    /// The digest of its content.
    pub artifact: Digest,
    /// When it was captured.
    pub at: Timestamp,
    /// What the inputs are like.
    pub inputs: Profile,
    /// What the predictions are like: a profile of one column, `prediction`.
    pub predictions: Profile,
}

impl DeploymentBaseline {
    /// Captures what a deployment is to be held against: rows, and what its model says of them.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for no rows, or predictions of another number; as [`Profile::of`].
    pub fn capture(
        deployment: &Deployment,
        inputs: &Table<'_>,
        predictions: &Predictions,
        at: Timestamp,
    ) -> Result<Self> {
        if inputs.rows() == 0 {
            return Err(Error::invalid(CAPTURE, "inputs", "a baseline needs one row at least"));
        }
        if predictions.len() != inputs.rows() {
            let message = format!("has {} rows but there are {} of inputs", predictions.len(), inputs.rows());
            return Err(Error::invalid(CAPTURE, "predictions", message));
        }
        let said = Table::new(vec![Column::f64(PREDICTION, predictions.as_slice())?])?;
        let spec = &deployment.spec;
        Ok(Self {
            schema: 1,
            endpoint: spec.endpoint.clone(),
            deployment: spec.name.clone(),
            model: spec.model.clone(),
            version: spec.version,
            artifact: deployment.artifact,
            at,
            inputs: Profile::of(inputs)?,
            predictions: Profile::of(&said)?,
        })
    }

    /// A rule about the quality of what the model is asked, with the types and bounds of the inputs and the default limits.
    pub fn quality(&self) -> QualityRule {
        QualityRule::of_profile(&self.inputs)
    }

    /// Nothing, if this is of exactly what the deployment serves.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] when it was captured for another deployment, or for other content under its name.
    pub fn require_of(&self, deployment: &Deployment) -> Result<()> {
        const OP: &str = "DeploymentBaseline::require_of";
        let (known, spec) = ((&self.endpoint, &self.deployment), &deployment.spec);
        if known != (&spec.endpoint, &spec.name) {
            let message = "the baseline is of another deployment";
            let found = format!("{}/{}", self.endpoint, self.deployment);
            return Err(Error::conflict(OP, message, format!("{}/{}", spec.endpoint, spec.name), found));
        }
        if self.artifact != deployment.artifact {
            let message = "the baseline is of other content";
            return Err(Error::conflict(OP, message, deployment.artifact, self.artifact));
        }
        Ok(())
    }

    fn name(&self) -> Result<AssetName> {
        Ok(AssetName::new(format!("baseline-{}-{}", self.endpoint, self.deployment))?)
    }

    fn node(&self) -> Node {
        Node::Deployment { endpoint: self.endpoint.clone(), deployment: self.deployment.clone() }
    }
}

/// Where baselines are kept: as a data asset, which lineage ties to its deployment.
#[non_exhaustive]
#[derive(Clone, Debug)]
pub struct BaselineStores {
    /// Where the content lies.
    pub artifacts: Arc<dyn ArtifactStore>,
    /// Where it is registered.
    pub data: Arc<dyn DataAssetStore>,
    /// Where the lineage is.
    pub registry: Arc<dyn ModelRegistry>,
}

impl BaselineStores {
    /// These stores.
    pub fn new(
        artifacts: Arc<dyn ArtifactStore>,
        data: Arc<dyn DataAssetStore>,
        registry: Arc<dyn ModelRegistry>,
    ) -> Self {
        Self { artifacts, data, registry }
    }

    /// Keeps a baseline, and ties it to its deployment. The same one again changes nothing; another one for the same deployment takes
    /// its place, and the one before is kept.
    ///
    /// # Errors
    /// Those of the stores; after one the same call may be made again.
    pub async fn keep(&self, baseline: &DeploymentBaseline, deployment: &Deployment) -> Result<DataAsset> {
        baseline.require_of(deployment)?;
        let bytes = canonical_json(baseline)?;
        let blob = self.artifacts.put_bytes(bytes).await?;
        let entry = Entry { path: RelPath::new(FILE)?, digest: blob.digest, size: blob.size };
        let tree = self.artifacts.put_tree(&Manifest::new(vec![entry])?).await?;
        let actor = deployment.spec.actor.clone();
        let hasher = Hasher::new("mlops.baseline/v1").field(baseline.endpoint.as_str());
        let hasher = hasher.field(baseline.deployment.as_str()).field(tree.digest.as_bytes());
        let asset = NewDataAsset::stored(baseline.name()?, AssetKind::File, tree.digest, actor)
            .with_key(IdempotencyKey::from_digest(&hasher.finish()))
            .with_description(format!("what {}:{} knew when it went live", baseline.model, baseline.version));
        let asset = self.data.register(&asset).await?;
        let (name, version) = (asset.spec.name.clone(), asset.version);
        let from = Node::Data { name, version, digest: asset.spec.digest };
        let edge = Edge { from, to: baseline.node(), relation: Relation::BaselineOf };
        self.registry.link(&edge).await?;
        Ok(asset)
    }

    /// The baseline of a deployment, the latest if there are several; `None` where none was captured.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] for one that cannot be read; [`ErrorKind::Conflict`] for one of other content than what the deployment
    /// serves; those of the stores.
    pub async fn of(&self, deployment: &Deployment) -> Result<Option<DeploymentBaseline>> {
        let spec = &deployment.spec;
        let node = Node::Deployment { endpoint: spec.endpoint.clone(), deployment: spec.name.clone() };
        let lineage = self.registry.lineage(&node, Direction::Upstream, 1).await?;
        let tied =
            lineage.edges.iter().filter(|edge| edge.to == node && edge.relation == Relation::BaselineOf);
        let versions = tied.filter_map(|edge| match &edge.from {
            Node::Data { version, digest, .. } => Some((*version, *digest)),
            _ => None,
        });
        let Some((_, digest)) = versions.max_by_key(|(version, _)| *version) else { return Ok(None) };
        let baseline = self.read(&digest).await?;
        baseline.require_of(deployment)?;
        Ok(Some(baseline))
    }

    async fn read(&self, digest: &Digest) -> Result<DeploymentBaseline> {
        let corrupt = |message: &str| Error::new(ErrorKind::Corrupt, OF, message).with("digest", digest);
        let manifest = self.artifacts.tree(digest).await?;
        let file = manifest.entries().iter().find(|entry| entry.path.as_str() == FILE);
        let file = file.ok_or_else(|| corrupt("the artifact holds no baseline"))?;
        let bytes = self.artifacts.get_bytes(&file.digest, LIMIT).await?;
        let baseline: DeploymentBaseline = serde_json::from_slice(&bytes)
            .map_err(|e| corrupt("the baseline cannot be read").with_source(e))?;
        if baseline.schema != 1 {
            let error = Error::new(ErrorKind::Unsupported, OF, "the baseline has a schema that is not known");
            return Err(error.with("schema", baseline.schema));
        }
        Ok(baseline)
    }
}
