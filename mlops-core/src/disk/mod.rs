//! Files: what everything that writes them shares.
//!
//! A kill at any moment leaves what was acknowledged, and a power cut too where that is promised. What that takes is here once.

mod durable;
mod fault;
mod line;
pub(crate) mod lock;

#[cfg(feature = "local")]
pub(crate) use durable::make_folders;
pub(crate) use durable::sync_folder_of;
#[cfg(feature = "local")]
pub(crate) use fault::read_only;
pub(crate) use fault::storage;
pub(crate) use line::LineFile;
