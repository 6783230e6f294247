//! Core's artifact store on Azure.
//!
//! | module | what it holds |
//! |---|---|
//! | `blob` | `BlobArtifacts`: content by digest in a container of blobs (feature `storage`) |

#[cfg(feature = "storage")]
pub mod blob;
pub(crate) mod spool;

#[cfg(feature = "storage")]
pub use blob::BlobArtifacts;
