//! Looking at everything: what is damaged, what is missing, how much there is.

use std::collections::BTreeSet;

use rustix::fs::FileType;
use serde::{Deserialize, Serialize};

use super::cas::Cas;
use super::parallel::parallel;
use crate::error::{ErrorKind, Result};
use crate::hash::Digest;

const VERIFY: &str = "LocalArtifactStore::verify_all";
const STATS: &str = "LocalArtifactStore::stats";

/// What reading every blob of a store found.
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContentReport {
    /// How many blobs hash to their digest.
    pub good: usize,
    /// The bytes in them.
    pub bytes: u64,
    /// Blobs that do not, by digest.
    pub damaged: Vec<DamagedContent>,
    /// Roots, and files of their trees, that are not there.
    pub missing: Vec<Digest>,
    /// Paths in the store that are not a blob's, which nothing reads or removes.
    pub foreign: Vec<String>,
}

impl ContentReport {
    /// Whether nothing is damaged or missing.
    ///
    /// ```
    /// use mlops_core::hash::Digest;
    /// use mlops_core::local::ContentReport;
    /// let mut report = ContentReport::default();
    /// assert!(report.is_sound());
    /// report.missing.push(Digest::of(b"lost"));
    /// assert!(!report.is_sound());
    /// ```
    pub fn is_sound(&self) -> bool {
        self.damaged.is_empty() && self.missing.is_empty()
    }
}

/// A blob that cannot be handed out.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DamagedContent {
    /// The digest under which it lies.
    pub digest: Digest,
    /// What reading it ends with: [`ErrorKind::Integrity`] for other content or something that is no file,
    /// [`ErrorKind::Storage`] for what cannot be read.
    pub kind: ErrorKind,
    /// The whole error in words.
    pub error: String,
}

/// How much is in a store.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContentStats {
    /// How many blobs there are.
    pub blobs: usize,
    /// The bytes in them.
    pub bytes: u64,
    /// Files being written, or left by a process that died since the store was opened.
    pub temporary: usize,
}

impl Cas {
    pub(super) fn verify_all(&self, roots: &BTreeSet<Digest>) -> Result<ContentReport> {
        let (stored, foreign) = self.list(VERIFY)?;
        let mut report = ContentReport { foreign, ..ContentReport::default() };
        let digests: Vec<_> = stored.into_keys().collect();
        let found = parallel(VERIFY, &digests, |digest| {
            Ok((*digest, self.verified(VERIFY, digest).map(|content| content.size())))
        })?;
        for (digest, size) in found {
            match size {
                Ok(size) => {
                    report.good += 1;
                    report.bytes = report.bytes.saturating_add(size);
                }
                Err(error) if error.kind() == ErrorKind::NotFound => {} // collected since
                Err(error) => {
                    let error = DamagedContent { digest, kind: error.kind(), error: error.to_string() };
                    report.damaged.push(error);
                }
            }
        }
        report.missing = self.missing(roots)?;
        Ok(report)
    }

    /// The roots and files of their trees that are not there; a damaged root is reported as damaged, and its files are not
    /// known.
    fn missing(&self, roots: &BTreeSet<Digest>) -> Result<Vec<Digest>> {
        let mut needed = BTreeSet::new();
        for root in roots {
            match self.needed(&BTreeSet::from([*root])) {
                Ok(files) => needed.extend(files),
                Err(error) if matches!(error.kind(), ErrorKind::Integrity | ErrorKind::Storage) => {}
                Err(error) => return Err(error),
            }
        }
        let mut missing = Vec::new();
        for digest in needed {
            if self.stored(VERIFY, &digest)?.is_none() {
                missing.push(digest);
            }
        }
        Ok(missing)
    }

    pub(super) fn stats(&self) -> Result<ContentStats> {
        let (stored, _) = self.list(STATS)?;
        let mut stats = ContentStats { temporary: self.temporary_files(STATS)?, ..ContentStats::default() };
        for found in stored.values().filter(|found| found.kind == FileType::RegularFile) {
            stats.blobs += 1;
            stats.bytes = stats.bytes.saturating_add(found.size);
        }
        Ok(stats)
    }
}
