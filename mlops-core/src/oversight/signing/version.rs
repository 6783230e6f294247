//! Versions in a registry.

use super::bundle::SignatureBundle;
use super::files::ModelFiles;
use super::statement::SignedModel;
use super::{SigningKey, VerifyingKey};
use crate::artifact::ArtifactStore;
use crate::error::{ErrorKind, Result};
use crate::registry::{ModelRef, ModelRegistry, ModelVersion};

/// Signs a registered version: the files of its artifact, by the digests under which they are stored. Nothing but the list of files is
/// read; a folder to which the artifact is written verifies with the bundle.
///
/// # Errors
/// As registry and store; [`ErrorKind::InvalidInput`] for an artifact of nothing but what belongs to Git.
///
/// ```
/// use std::sync::Arc;
/// use mlops_core::artifact::ArtifactStoreExt as _;
/// use mlops_core::memory::{MemoryArtifactStore, MemoryModelRegistry};
/// use mlops_core::model::{ModelFormat, Predictor as _};
/// use mlops_core::oversight::signing::{SigningKey, sign_version, verify_version};
/// use mlops_core::problem::Task;
/// use mlops_core::registry::{ModelRegistry as _, NewModelVersion};
/// use mlops_core::serve::ConstantPredictor;
/// use mlops_core::time::SystemClock;
/// use mlops_core::{ActorId, ModelName};
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let clock = Arc::new(SystemClock::new());
/// let artifacts = Arc::new(MemoryArtifactStore::new(clock.clone()));
/// let registry = MemoryModelRegistry::new(artifacts.clone(), clock);
/// let model = ConstantPredictor::new(Task::BinaryClassification, 0.25)?;
/// let (tree, _) = artifacts.put_files(&[("model.json".parse()?, model.to_bytes()?.into())]).await?;
/// let (name, format) = (ModelName::new("churn")?, ModelFormat::new("mlops.constant/v1")?);
/// let new = NewModelVersion::new(name, tree.digest, format, model.signature().clone(), ActorId::new("trainer")?);
/// let version = registry.register(&new).await?;
///
/// let key = SigningKey::generate()?;
/// let bundle = sign_version(&registry, &*artifacts, &version.reference(), &key).await?;
/// let signed = verify_version(&registry, &*artifacts, &version.reference(), &bundle, &key.verifying_key()).await?;
/// assert_eq!((signed.name(), signed.files().count()), ("churn", 1));
/// # Ok::<(), Box<dyn std::error::Error>>(()) })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub async fn sign_version(
    registry: &dyn ModelRegistry,
    artifacts: &dyn ArtifactStore,
    reference: &ModelRef,
    key: &SigningKey,
) -> Result<SignatureBundle> {
    let version = registry.get(reference).await?;
    SignatureBundle::sign(&files_of(artifacts, &version).await?, key)
}

/// Verifies a registered version: that the key signed the bundle, that it lists the files of the artifact, and that each of them is
/// stored as it was signed, for which all of them are read.
///
/// # Errors
/// As registry and store, [`SignatureBundle::verify`] and [`SignedModel::require`]; [`ErrorKind::Integrity`] for content that is not
/// what it was.
pub async fn verify_version(
    registry: &dyn ModelRegistry,
    artifacts: &dyn ArtifactStore,
    reference: &ModelRef,
    bundle: &SignatureBundle,
    key: &VerifyingKey,
) -> Result<SignedModel> {
    use futures_util::StreamExt as _;
    let signed = bundle.verify(key)?;
    let version = registry.get(reference).await?;
    signed.require(&files_of(artifacts, &version).await?)?;
    for (name, digest) in signed.files() {
        let mut stream = artifacts.get(digest, None).await.map_err(|e| e.with("file", name))?;
        while let Some(piece) = stream.next().await {
            piece.map_err(|e| e.with("file", name))?;
        }
    }
    Ok(signed)
}

/// The files of an artifact: those of a tree, or one.
async fn files_of(artifacts: &dyn ArtifactStore, version: &ModelVersion) -> Result<ModelFiles> {
    let (name, artifact) = (version.spec.model.as_str(), version.spec.artifact);
    match artifacts.tree(&artifact).await {
        Ok(manifest) => ModelFiles::of_manifest(name, &manifest),
        // Content that is no tree is a model of one file.
        Err(error) if error.kind() == ErrorKind::Corrupt => ModelFiles::single(name, artifact),
        Err(error) => Err(error),
    }
}
