//! Garbage collection: what is referred to from anywhere in the database stays.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::Path;

use rusqlite::Connection;

use super::store::{Inner, LocalStore};
use super::{data, pipeline, registry, tracker};
use crate::artifact::{ArtifactStore as _, GcOptions, GcReport};
use crate::disk::blocking;
use crate::disk::lock::{self, Sharing};
use crate::error::Result;
use crate::hash::Digest;

const OP: &str = "LocalStore::collect_garbage";

impl LocalStore {
    /// Removes content that nothing in the store refers to and that is older than `options.grace`.
    ///
    /// What stays: the content of every registered model version and data asset, archived ones too, with all files where it
    /// is a tree, and the files of every run, deleted ones too. So what a deployment serves stays, for it refers to
    /// registered versions.
    ///
    /// What runs of [pipelines](crate::pipeline) need to go on stays until they have ended: what they work on, what their steps
    /// made, their checkpoints. Whoever gives a run up resumes it, cancelled. Content whose digest a trial of a
    /// [sweep](crate::experiment::sweep) keeps as its checkpoint stays until the trial has ended. What only the cache of steps
    /// knows of does not stay.
    ///
    /// Give a grace that is longer than anything takes between storing content, or finding it in the cache of steps, and
    /// registering it, logging it to a run or writing it down in a journal, a wait in a [spool](crate::wrap::Spooled) included:
    /// content that is younger stays in any case.
    ///
    /// Somebody who registers content at the same moment, in any process, either has it registered before the references are
    /// read, or looks for the content after the collection ended: what is registered is never removed.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt) when the references cannot be read in full, the journals of what has not
    /// ended included; nothing is removed then. [`ErrorKind::Busy`](crate::ErrorKind::Busy) when others register or collect all the
    /// time. Otherwise as
    /// [`ArtifactStore::collect_garbage`](crate::artifact::ArtifactStore::collect_garbage).
    ///
    /// ```
    /// use std::time::Duration;
    /// use mlops_core::artifact::{ArtifactStoreExt as _, GcOptions};
    /// use mlops_core::local::LocalStore;
    /// # let dir = tempfile::tempdir()?;
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
    /// let store = LocalStore::open(dir.path())?;
    /// store.artifacts().put_bytes(b"nobody registers this".to_vec()).await?;
    /// let day = GcOptions::default().with_grace(Duration::from_secs(86_400));
    /// assert!(store.collect_garbage(&day).await?.removed.is_empty());
    /// assert_eq!(store.collect_garbage(&GcOptions::default()).await?.removed.len(), 1);
    /// # Ok::<(), mlops_core::Error>(()) })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn collect_garbage(&self, options: &GcOptions) -> Result<GcReport> {
        let inner = self.inner();
        inner.db.check_writable(OP)?;
        let root = inner.root.clone();
        let _nobody_registers = blocking(OP, move || hold(OP, &root, Sharing::Alone)).await?;
        let mut roots = inner.db.read(OP, |connection| roots(OP, connection)).await?;
        for sweep in self.sweeps().unfinished().await? {
            roots.extend(sweep.contents());
        }
        inner.artifacts.collect_garbage(&roots, options).await
    }
}

/// Everything the database refers to.
pub(crate) fn roots(operation: &'static str, connection: &Connection) -> Result<BTreeSet<Digest>> {
    let mut roots = registry::roots(operation, connection)?;
    roots.extend(data::roots(operation, connection)?);
    roots.extend(tracker::feed::roots(operation, connection)?);
    roots.extend(pipeline::roots(operation, connection)?);
    Ok(roots)
}

/// Keeps content from being collected for as long as the answer lives: take it before looking whether content is there, and
/// keep it until what refers to the content is committed.
///
/// The lock is the kernel's: it ends with the process that holds it, however that ends.
pub(crate) async fn keep(inner: &Inner, operation: &'static str) -> Result<File> {
    inner.db.check_writable(operation)?;
    let root = inner.root.clone();
    blocking(operation, move || hold(operation, &root, Sharing::Shared)).await
}

fn hold(operation: &'static str, root: &Path, sharing: Sharing) -> Result<File> {
    let busy = "content is being collected, or others register all the time";
    lock::hold(operation, &root.join("roots.lock"), sharing, busy)
}
