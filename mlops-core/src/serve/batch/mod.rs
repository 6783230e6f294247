//! Files of rows scored as a whole: in batches, in order, atomically, and where it was interrupted.
//!
//! [`BatchScoring`] reads a CSV, JSON Lines or Parquet file batch by batch, asks a [`Predictor`](crate::model::Predictor), and writes one line for
//! each row that could be scored, in the order of the file. Rows that cannot be read or scored are [set aside](BadRows) with their
//! line and the reason.
//!
//! # What is on the disk
//! The results appear under their name at once, when all of them are there. Until then they lie in a folder beside it, which is called like the
//! file with `.batch` behind it:
//!
//! | file | what |
//! |---|---|
//! | `journal` | how far the work has come: one line a checkpoint, each with the digest of the line before it |
//! | `results` | the results so far; only ever appended to |
//! | `refused` | the rows that were set aside so far; only ever appended to |
//!
//! A checkpoint is written after what it speaks of is on the disk (`fdatasync`). Work that was killed goes on from there: the journal is held
//! against what is in the files, what is behind the last checkpoint but one is cut off and made again, and at the last one the bytes must be
//! those that were there before. So the results are byte for byte those of work that was never interrupted, or there is an error.
//!
//! # Memory
//! One batch of rows, its results as text, and what the reader needs ([`CsvBatches`](crate::data::CsvBatches)); nothing grows with the file.

mod deployed;
mod input;
mod job;
mod journal;
mod options;
mod part;
mod progress;
mod rows;
mod score;
mod work;

pub use deployed::DeployedModel;
pub use input::BatchInput;
pub use job::BatchScoring;
pub use options::{BadRows, BatchFormat, BatchOptions};
pub use progress::{BatchCounts, BatchProgress, BatchReport};

use std::path::Path;

use crate::disk;
use crate::error::Error;

const OP: &str = "BatchScoring::score";

/// A path for a message: its last part.
fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// What the file system said.
fn storage(path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let file = name(path);
    move |source| disk::storage(OP, file, source)
}
