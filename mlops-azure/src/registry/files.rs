//! Where Azure finds what models consist of.

use std::fmt;

use async_trait::async_trait;
use mlops_core::artifact::{ArtifactStore, Blob, Manifest};
use mlops_core::hash::Digest;
use mlops_core::{Error, ErrorKind, Result};

use crate::artifact::spool::MAX_MANIFEST;
use crate::wire::model::ModelType;

/// What a model consists of: one content of an artifact store, or a tree of them.
#[non_exhaustive]
#[derive(Clone, Debug)]
pub struct ModelContent<'a> {
    /// The content, or the manifest of the tree.
    pub blob: Blob,
    /// The files of a tree.
    pub tree: Option<Manifest>,
    /// Where it is read from.
    pub store: &'a dyn ArtifactStore,
}

impl<'a> ModelContent<'a> {
    /// Looks what a digest names; `None` where the store does not have it. Takes a look and, for content of up to 64 MiB, which could be
    /// a manifest, reading it.
    ///
    /// # Errors
    /// Those of the store.
    ///
    /// ```
    /// use mlops_azure::registry::ModelContent;
    /// use mlops_azure::wire::model::ModelType;
    /// use mlops_core::RelPath;
    /// use mlops_core::artifact::{ArtifactStore as _, ArtifactStoreExt as _, Entry, Manifest};
    /// use mlops_core::memory::MemoryArtifactStore;
    ///
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
    /// let store = MemoryArtifactStore::default();
    /// let file = store.put_bytes(b"flavors: {}".to_vec()).await?;
    /// let one = ModelContent::read(&store, &file.digest).await?.ok_or("it is there")?;
    /// assert_eq!(one.model_type(), ModelType::Custom);
    ///
    /// let entry = Entry { path: RelPath::new("MLmodel")?, digest: file.digest, size: file.size };
    /// let tree = store.put_tree(&Manifest::new(vec![entry])?).await?;
    /// let folder = ModelContent::read(&store, &tree.digest).await?.ok_or("it is there")?;
    /// assert_eq!(folder.model_type(), ModelType::MlFlow);
    /// # Ok::<(), Box<dyn std::error::Error>>(()) })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn read(store: &'a dyn ArtifactStore, digest: &Digest) -> Result<Option<Self>> {
        let Some(blob) = store.head(digest).await? else { return Ok(None) };
        let tree = match blob.size <= MAX_MANIFEST as u64 {
            false => None,
            true => match store.tree(digest).await {
                Ok(tree) => Some(tree),
                Err(error) if error.kind() == ErrorKind::Corrupt => None,
                Err(error) => return Err(error),
            },
        };
        Ok(Some(Self { blob, tree, store }))
    }

    /// What Azure is told it is: a model of MLflow, which endpoints serve without code, if it is a tree with the file `MLmodel` at its
    /// root; else one that needs code.
    pub fn model_type(&self) -> ModelType {
        let is_mlflow = |tree: &Manifest| tree.entries().iter().any(|entry| entry.path.as_str() == "MLmodel");
        match self.tree.as_ref().is_some_and(is_mlflow) {
            true => ModelType::MlFlow,
            false => ModelType::Custom,
        }
    }
}

/// Lets content lie where Azure reads it. With the feature `storage`, `storage::DatastoreFiles` does so in a datastore of a workspace.
///
/// # Contract
/// * [`place`](Self::place) returns when everything is there: of a tree, each file under its own path below the place; of other content,
///   a file.
/// * Called again for the same content it answers the same place, and sends what is missing. Different content has different places.
#[async_trait]
pub trait ModelFiles: fmt::Debug + Send + Sync + 'static {
    /// Lets content lie where Azure reads it, and says where: as models name it, `azureml://…` or `https://…`, without a slash at
    /// the end.
    async fn place(&self, content: &ModelContent<'_>) -> Result<String>;
}

/// Never called: that it compiles says that the trait can be an object.
#[allow(dead_code)]
fn is_object_safe(_: &dyn ModelFiles) {}

/// Content that Azure can read where the artifact store has it: below a URI.
#[derive(Clone, Debug)]
pub(super) struct Sources(pub String);

#[async_trait]
impl ModelFiles for Sources {
    async fn place(&self, content: &ModelContent<'_>) -> Result<String> {
        if content.tree.is_some() {
            let what = "models that are folders, where `AzureModelRegistry::with_files` does not say how they get to Azure";
            let error = Error::unsupported("ModelRegistry::register", what);
            return Err(error.with("artifact", content.blob.digest));
        }
        let hex = content.blob.digest.hex();
        Ok(format!("{}/{}/{hex}", self.0, hex.get(..2).unwrap_or_default()))
    }
}
