//! Files: what everything that writes them shares.
//!
//! A kill at any moment leaves what was acknowledged, and a power cut too where that is promised. What that takes is here once: locks
//! that end with their process, names that are durable, lines and frames of which a torn one is known, files that appear when they
//! are whole, and one way to say what the file system refused.

#[cfg(feature = "local")]
mod blocking;
mod durable;
mod fault;
#[cfg(feature = "local")]
pub(crate) mod folder;
#[cfg(feature = "local")]
pub(crate) mod frame;
mod line;
#[cfg_attr(
    not(any(test, feature = "local")),
    expect(dead_code, reason = "only the embedded backend waits for others")
)]
pub(crate) mod lock;
#[cfg(feature = "local")]
pub(crate) mod temp;

#[cfg(feature = "local")]
pub(crate) use blocking::blocking;
#[cfg(feature = "local")]
pub(crate) use durable::make_folders;
pub(crate) use durable::sync_folder_of;
#[cfg(feature = "local")]
pub(crate) use fault::read_only;
pub(crate) use fault::storage;
pub(crate) use line::LineFile;
