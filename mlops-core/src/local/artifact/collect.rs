//! Garbage collection.

use std::collections::BTreeSet;
use std::os::unix::fs::FileExt as _;

use rustix::fs::FileType;

use super::cas::{Cas, Removal};
use crate::artifact::{Blob, GcOptions, GcReport, Manifest};
use crate::disk::storage;
use crate::error::{Error, ErrorKind, Result};
use crate::hash::Digest;

const OP: &str = "ArtifactStore::collect_garbage";

/// How a manifest begins.
const MANIFEST: &[u8] = b"{\"entries\":[";

/// A root up to this length is read through, whatever it looks like: a damaged manifest must not cost its files. A longer
/// one is if it begins as manifests do.
const ALWAYS_READ: u64 = 64 << 20;

/// A manifest may have at most this many bytes, which is millions of files.
pub(super) const MAX_MANIFEST: u64 = 1 << 30;

impl Cas {
    /// Removes what is neither a root, nor in the tree of a root, nor young.
    ///
    /// A root that cannot be read ends it before anything is removed: nobody knows which files it needs.
    pub(super) fn collect_garbage(&self, roots: &BTreeSet<Digest>, options: &GcOptions) -> Result<GcReport> {
        if !options.dry_run {
            self.check_writable(OP)?;
        }
        self.remove_stale();
        let needed = self.needed(roots)?;
        let (stored, _) = self.list(OP)?;
        let reachable = needed.iter().filter(|digest| stored.contains_key(*digest)).count();
        let now = self.clock.now();
        let (mut removed, mut in_grace) = (Vec::new(), 0);
        for (digest, found) in stored {
            // What is no file was not put here by us.
            if needed.contains(&digest) || found.kind != FileType::RegularFile {
                continue;
            }
            if found.age(now) < options.grace {
                in_grace += 1;
            } else if options.dry_run {
                removed.push(Blob { digest, size: found.size });
            } else {
                match self.remove_if_old(OP, &digest, options.grace)? {
                    Removal::WasGone => {}
                    Removal::IsYoung => in_grace += 1,
                    Removal::Removed => removed.push(Blob { digest, size: found.size }),
                }
            }
        }
        Ok(GcReport::new(removed, reachable, in_grace))
    }

    /// The roots and the files of those that are trees. A root that is not there needs nothing.
    pub(super) fn needed(&self, roots: &BTreeSet<Digest>) -> Result<BTreeSet<Digest>> {
        let mut needed = roots.clone();
        for root in roots {
            if let Some(manifest) = self.manifest_of_root(root).map_err(|error| error.with("root", root))? {
                needed.extend(manifest.entries().iter().map(|entry| entry.digest));
            }
        }
        Ok(needed)
    }

    /// The tree of `root`, if it is one.
    fn manifest_of_root(&self, root: &Digest) -> Result<Option<Manifest>> {
        match self.head(OP, root)? {
            Some(blob) if blob.size <= ALWAYS_READ || self.begins_as_manifest(OP, &blob)? => {
                self.manifest_of(OP, &blob)
            }
            _ => Ok(None),
        }
    }

    /// The manifest that content is, if it is one; read through and verified.
    pub(super) fn manifest_of(&self, operation: &'static str, blob: &Blob) -> Result<Option<Manifest>> {
        let content = match self.verified(operation, &blob.digest) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None), // collected by another process
            content => content?,
        };
        if content.head(MANIFEST.len())? != MANIFEST {
            return Ok(None);
        }
        if content.size() > MAX_MANIFEST {
            return Err(Error::limit(operation, "the manifest", MAX_MANIFEST, content.size()));
        }
        Ok(Manifest::from_bytes(&content.bytes()?).ok())
    }

    /// Whether content begins as manifests do.
    pub(super) fn begins_as_manifest(&self, operation: &'static str, blob: &Blob) -> Result<bool> {
        let mut head = [0; MANIFEST.len()];
        if blob.size < head.len() as u64 {
            return Ok(false);
        }
        let file = self.file(operation, &blob.digest)?;
        file.read_exact_at(&mut head, 0)
            .map_err(|error| storage(operation, format_args!("cas/sha256/{}", blob.digest.hex()), error))?;
        Ok(head == MANIFEST)
    }
}
