//! How far the work is, and what came of it.

use std::fmt::Debug;

use serde::{Deserialize, Serialize};

use crate::hash::Digest;

/// How far the work is.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BatchCounts {
    /// Rows that were read.
    pub rows: u64,
    /// Rows that were scored.
    pub scored: u64,
    /// Rows that were set aside.
    pub bad: u64,
}

/// Is told how far the work is.
pub trait BatchProgress: Debug + Send + Sync {
    /// A batch is done; `counts` are of all rows up to its end, those of work that was resumed among them. Must not block.
    fn heard(&self, counts: &BatchCounts);
}

/// What came of scoring a file.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BatchReport {
    /// The rows.
    pub counts: BatchCounts,
    /// How many of them were done by work that was interrupted, and not again now.
    pub resumed_rows: u64,
    /// The digest of the input's bytes.
    pub input: Digest,
    /// The digest of the results' bytes.
    pub output: Digest,
    /// The digest of the rows that were set aside; none where there were none, and no file was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<Digest>,
    /// Which model answered, if the caller said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
}
