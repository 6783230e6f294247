//! Core's artifact store on Azure.
//!
//! | module | what it holds |
//! |---|---|
//! | `blob` | `BlobArtifacts`: content by digest in a container of blobs (feature `storage`) |
//!
//! # Version, permission, and what is eventually consistent
//! Blob service, version 2023-11-03. The role `Storage Blob Data Contributor` on the container, or a signature with `racwdl`; a role that
//! was just assigned is refused for some minutes. Blobs are consistent: there is nothing to wait for.
//!
//! # What differs from the local backend
//! Any number of machines share the content, and the service's clock tells its age, to the second. Whoever may write to the container may
//! overwrite content, which is noticed when it is read. Reading costs a transfer; soft delete may keep what was collected.

#[cfg(feature = "storage")]
pub mod blob;
pub(crate) mod spool;

#[cfg(feature = "storage")]
pub use blob::BlobArtifacts;
