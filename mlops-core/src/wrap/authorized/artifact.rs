//! Content, and who may store and collect it.

use std::collections::BTreeSet;
use std::ops::Range;

use async_trait::async_trait;

use super::Authorized;
use crate::artifact::{ArtifactStore, Blob, ByteStream, GcOptions, GcReport, Manifest};
use crate::error::Result;
use crate::governance::Action;
use crate::hash::Digest;

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<T: ArtifactStore> ArtifactStore for Authorized<T> {
    async fn put(&self, body: ByteStream, expect: Option<Digest>) -> Result<Blob> {
        let resource =
            expect.map_or_else(|| "artifact/new".to_owned(), |digest| format!("artifact/{digest}"));
        self.ask(&self.actor, Action::ArtifactPut, &resource, &[]).await?;
        self.inner.put(body, expect).await
    }

    async fn get(&self, digest: &Digest, range: Option<Range<u64>>) -> Result<ByteStream> {
        self.inner.get(digest, range).await
    }

    async fn head(&self, digest: &Digest) -> Result<Option<Blob>> {
        self.inner.head(digest).await
    }

    async fn put_tree(&self, manifest: &Manifest) -> Result<Blob> {
        self.ask(&self.actor, Action::ArtifactPut, "artifact/tree", &[]).await?;
        self.inner.put_tree(manifest).await
    }

    async fn tree(&self, digest: &Digest) -> Result<Manifest> {
        self.inner.tree(digest).await
    }

    // What is only looked for removes nothing.
    async fn collect_garbage(&self, roots: &BTreeSet<Digest>, options: &GcOptions) -> Result<GcReport> {
        if !options.dry_run {
            let resource = format!("artifact/all but {} roots", roots.len());
            self.ask(&self.actor, Action::ArtifactCollect, &resource, &[]).await?;
        }
        self.inner.collect_garbage(roots, options).await
    }
}
