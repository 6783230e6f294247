//! Content-addressed artifacts: what a run produced, a model version consists of or a data asset holds.
//!
//! Content is named by its SHA-256 digest, so it is stored once, can be checked whenever it is read, and never changes
//! under a name. Several files are held together by a [`Manifest`], itself content: its digest names the whole tree.

mod manifest;
mod store;
mod stream;

pub use manifest::{Entry, Manifest};
pub use store::{ArtifactStore, ArtifactStoreExt, Blob, GcOptions, GcReport};
pub use stream::ByteStream;
