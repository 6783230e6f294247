//! What models consist of, brought to a datastore.
//!
//! # Version, permission, and what differs
//! The datastore is asked for in Resource Manager, Azure Machine Learning [`API_VERSION`](crate::config::API_VERSION), blobs are written in
//! version 2023-11-03. It takes what [`datastore`](super::datastore) and [`upload`](super::upload) take: the role `AzureML Data
//! Scientist`, and for a datastore without credentials `Storage Blob Data Contributor`. Blobs are there at once. Local endpoints read the
//! artifact store itself and need no copy.

use async_trait::async_trait;
use mlops_core::{Error, RelPath, Result};

use super::container::Container;
use super::upload::Uploads;
use crate::artifact::BlobArtifacts;
use crate::registry::{ModelContent, ModelFiles};
use crate::wire::Place;

/// Below which path models lie, unless something else is set.
const ROOT: &str = "mlops/models/sha256";

/// Lets models lie in a datastore of a workspace, so that endpoints can be given them. Cheap to clone.
///
/// A tree lies there as the folder of its files: `mlops/models/sha256/{digest}/model/…`, uploaded by [`Uploads::stored`], which sends
/// what is not there and marks the folder when it is complete. So registering again costs a list and a look, and an upload that was
/// cut off is resumed. The place has the digest of the manifest in it: versions of one content share one folder, and none is ever
/// changed.
///
/// Other content lies where the artifact store has it, if the store is the [`BlobArtifacts`] of
/// [`with_content`](Self::with_content) and they are in the datastore's own container. From everywhere else (another container, the
/// local store, memory) it is uploaded to `mlops/models/sha256/{digest}/model` as a file.
///
/// Files of trees are read from the artifact store and sent, also where both are in one container: the service copies nothing.
/// Nothing here removes them; the artifact store's garbage collection does not see them.
///
/// It is for the models of a workspace. A registry does not read a workspace's datastore: models get there by
/// [`AzureModelRegistry::publish`](crate::registry::AzureModelRegistry::publish).
///
/// ```no_run
/// use std::sync::Arc;
/// use mlops_azure::artifact::BlobArtifacts;
/// use mlops_azure::registry::AzureModelRegistry;
/// use mlops_azure::storage::{DatastoreFiles, Datastores, Uploads};
/// # use mlops_azure::{config::Workspace, http::Service};
/// # use mlops_core::time::SystemClock;
/// # async fn f(arm: Service, workspace: Workspace, datastores: Datastores) -> mlops_core::Result<()> {
/// let content = BlobArtifacts::new(datastores.container("workspaceblobstore").await?);
/// let files = DatastoreFiles::new(Uploads::new(datastores), "workspaceblobstore").with_content(&content);
/// let models = AzureModelRegistry::new(arm, &workspace, Arc::new(content), Arc::new(SystemClock::new()))
///     .with_files(Arc::new(files));
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct DatastoreFiles {
    uploads: Uploads,
    datastore: String,
    root: String,
    content: Option<BlobArtifacts>,
}

impl DatastoreFiles {
    /// In this datastore of the workspace that the uploads go to. Nothing is sent yet.
    pub fn new(uploads: Uploads, datastore: impl Into<String>) -> Self {
        Self { uploads, datastore: datastore.into(), root: ROOT.to_owned(), content: None }
    }

    /// Says where the artifact store is, so that content that is in the datastore's container already is not uploaded a second time.
    #[must_use]
    pub fn with_content(mut self, content: &BlobArtifacts) -> Self {
        self.content = Some(content.clone());
        self
    }

    /// Below this path of the datastore instead. Nothing else may lie there.
    #[must_use]
    pub fn with_root(mut self, root: &RelPath) -> Self {
        self.root = root.to_string();
        self
    }

    fn uri(&self, path: &str) -> Result<String> {
        datastore_uri(self.uploads.datastores().place(), &self.datastore, path)
    }

    /// Where the artifact store has content in the datastore's container.
    async fn in_place(&self, content: &ModelContent<'_>) -> Result<Option<String>> {
        let Some(blobs) = self.content.as_ref().filter(|_| content.tree.is_none()) else { return Ok(None) };
        let there = self.uploads.datastores().container(&self.datastore).await?;
        match is_same(&there, blobs.container()) {
            true => self.uri(&blobs.key(&content.blob.digest)).map(Some),
            false => Ok(None),
        }
    }
}

fn is_same(one: &Container, two: &Container) -> bool {
    one.account() == two.account() && one.name() == two.name()
}

/// How models name a path of a datastore: with the workspace in it.
fn datastore_uri(place: &Place, datastore: &str, path: &str) -> Result<String> {
    let bad = || Error::invalid("DatastoreFiles", "place", "is no workspace").with("value", place.id());
    super::upload::long_uri(place, datastore, path).ok_or_else(bad)
}

#[async_trait]
impl ModelFiles for DatastoreFiles {
    async fn place(&self, content: &ModelContent<'_>) -> Result<String> {
        if let Some(there) = self.in_place(content).await? {
            return Ok(there);
        }
        let path = RelPath::new(format!("{}/{}/model", self.root, content.blob.digest.hex()))?;
        let (store, tree) = (content.store, content.tree.as_ref());
        self.uploads.stored(&self.datastore, &path, store, &content.blob, tree).await?;
        self.uri(path.as_str())
    }
}
