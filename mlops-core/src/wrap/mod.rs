//! Wrappers: what cuts across backends, as a backend around a backend.
//!
//! | wrapper | what it adds | for |
//! |---|---|---|
//! | [`Retrying`] | tries again what may succeed later, and is one call all the same | trackers, registries, data assets, artifacts, deployers, audit logs, alerts, secrets, journals of sweeps and pipelines, caches of steps |
//! | [`Authorized`] | asks whether somebody may, refuses who may not, and writes down what was decided | registries, data assets, deployers, trackers, artifacts, secrets, journals, caches of steps |
//! | [`Audited`] | writes down who did what, before it is done and after | registries, data assets, deployers, trackers, journals of sweeps and pipelines, caches of steps |
//! | [`Tee`] | keeps everything twice | trackers, artifacts, alerts |
#![cfg_attr(
    feature = "local",
    doc = "| [`Spooled`] | keeps logging while the tracker cannot be reached | trackers |"
)]
//!
//! Each passes the suite of the trait it wraps; they can be put around each other.

mod audited;
mod authorized;
mod retrying;
#[cfg(feature = "local")]
mod spooled;
mod tee;

pub use audited::Audited;
pub use authorized::Authorized;
pub use retrying::{RetryPolicy, Retrying};
#[cfg(feature = "local")]
pub use spooled::{DamagedSpool, RejectedCall, SpoolId, SpoolRecovery, SpoolReport, Spooled, SpooledCall};
pub use tee::{Tee, TeeFailure, TeePolicy};

#[cfg(feature = "local")]
pub use crate::time::TokioPause;
pub use crate::time::{NoPause, Pause};
