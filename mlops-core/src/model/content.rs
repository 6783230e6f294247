//! Where in an artifact the bytes of a model lie.

use bytes::Bytes;

use crate::artifact::{ArtifactStore, ArtifactStoreExt as _, Manifest};
use crate::error::{Error, ErrorKind, Result};
use crate::hash::Digest;
use crate::id::RelPath;

/// The names that a model's file has in a tree. A tree has exactly one of them.
pub const MODEL_FILES: [&str; 5] = ["model", "model.json", "model.onnx", "model.txt", "model.ubj"];

/// The bytes of the model in an artifact, verified: what a deployer hands to a [`ModelLoader`](crate::model::ModelLoader).
///
/// An artifact that is not a manifest is the model itself. In a tree, the model is the one file at its top that has one of the names
/// [`MODEL_FILES`]; whatever else is there (a signature, a licence, the training report) belongs to the artifact but is not read
/// by predictors. All of it is verified all the same: a model version is intact as a whole or not at all.
///
/// Cost: every byte of the artifact is read and hashed once, those of the model twice.
///
/// # Errors
/// [`ErrorKind::NotFound`] for an artifact or a file of it that is not in the store, [`ErrorKind::Integrity`] for content
/// that does not hash to its digest, [`ErrorKind::Corrupt`] for a tree with no model or two, and
/// [`ErrorKind::LimitExceeded`] for a model of more than `limit` bytes.
///
/// ```
/// use mlops_core::RelPath;
/// use mlops_core::artifact::ArtifactStoreExt as _;
/// use mlops_core::memory::MemoryArtifactStore;
/// use mlops_core::model::read_model;
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let store = MemoryArtifactStore::default();
/// let plain = store.put_bytes("{}").await?;
/// let files = [(RelPath::new("model.json")?, "{}".into()), (RelPath::new("LICENSE")?, "MIT".into())];
/// let (tree, _) = store.put_files(&files).await?;
/// assert_eq!(read_model(&store, &plain.digest, 1024).await?, "{}");
/// assert_eq!(read_model(&store, &tree.digest, 1024).await?, "{}");
/// # Ok::<(), mlops_core::Error>(()) })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub async fn read_model(store: &dyn ArtifactStore, artifact: &Digest, limit: usize) -> Result<Bytes> {
    let bytes = store.get_bytes(artifact, limit).await?;
    let Ok(manifest) = Manifest::from_bytes(&bytes) else { return Ok(bytes) };
    let file = model_file(&manifest).map_err(|e| e.with("artifact", artifact))?;
    store.verify_tree(artifact).await?;
    store.get_bytes(&file, limit).await
}

/// The digest of the one file of a tree that is the model.
fn model_file(manifest: &Manifest) -> Result<Digest> {
    let files = MODEL_FILES.iter().filter_map(|name| manifest.get(&RelPath::new(name).ok()?));
    match files.collect::<Vec<_>>()[..] {
        [file] => Ok(file.digest),
        [] => {
            let message =
                format!("the tree has no file {}", MODEL_FILES.map(|name| format!("`{name}`")).join(", "));
            Err(Error::new(ErrorKind::Corrupt, "read_model", message))
        }
        _ => Err(Error::new(ErrorKind::Corrupt, "read_model", "the tree has two models")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::MemoryArtifactStore;

    async fn tree(store: &MemoryArtifactStore, files: &[(&str, &'static str)]) -> (Digest, Manifest) {
        let files: Vec<_> =
            files.iter().map(|(path, bytes)| (RelPath::new(path).unwrap(), Bytes::from(*bytes))).collect();
        let (blob, manifest) = store.put_files(&files).await.unwrap();
        (blob.digest, manifest)
    }

    #[tokio::test]
    async fn the_model_is_the_one_file_that_is_called_so() {
        let store = MemoryArtifactStore::default();
        for files in
            [&[("model", "m")][..], &[("model.json", "m"), ("x", "y")], &[("a/model", "x"), ("model", "m")]]
        {
            let (digest, _) = tree(&store, files).await;
            assert_eq!(read_model(&store, &digest, 1 << 20).await.unwrap(), "m", "{files:?}");
        }
        for files in [&[("weights", "m")][..], &[("a/model", "m")], &[("model", "m"), ("model.json", "m")]] {
            let (digest, _) = tree(&store, files).await;
            let error = read_model(&store, &digest, 1 << 20).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{files:?}");
            assert!(error.context("artifact").is_some_and(|shown| shown.starts_with("sha256:")), "{error}");
        }
    }

    #[tokio::test]
    async fn damage_anywhere_in_the_tree_is_found() {
        for file in ["model", "notes"] {
            let store = MemoryArtifactStore::default();
            let (digest, manifest) = tree(&store, &[("model", "m"), ("notes", "n")]).await;
            store.damage(&manifest.get(&RelPath::new(file).unwrap()).unwrap().digest);
            let error = read_model(&store, &digest, 1 << 20).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Integrity, "{file}");
        }
    }

    #[tokio::test]
    async fn a_model_over_the_limit_is_refused() {
        let store = MemoryArtifactStore::default();
        let blob = store.put_bytes(vec![0; 9]).await.unwrap();
        assert_eq!(read_model(&store, &blob.digest, 8).await.unwrap_err().kind(), ErrorKind::LimitExceeded);
        assert_eq!(read_model(&store, &blob.digest, 9).await.unwrap().len(), 9);
    }
}
