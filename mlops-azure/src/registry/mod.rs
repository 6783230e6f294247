//! Models of Azure Machine Learning, in workspaces and in the registries that workspaces share.
//!
//! | module | what it holds |
//! |---|---|
//! | [`models`] | [`AzureModelRegistry`]: core's model registry on the models of a workspace or a registry |
//! | [`shared`] | [`SharedModels`]: what lies in a registry, as Azure has it, and publishing into it |
//!
//! # Version, permissions, and what is eventually consistent
//! Resource Manager, version [`API_VERSION`](crate::config::API_VERSION). In a workspace the role `AzureML Data Scientist` is
//! enough: it has `…/workspaces/models/*` and, for the ledger, `…/workspaces/data/*`. In a registry it is
//! `AzureML Registry User` (`…/registries/assets/*`). Writes in a workspace are answered when they are done, those in a registry
//! are long-running. A version that was just written may be answered with 404 for a moment: what a call here wrote it waits
//! for.
//!
//! # What Azure cannot do that the local registry can
//! Aliases, compare-and-set, history, events, lineage and protection are unknown to Resource Manager. The ledger has them: see
//! [`AzureModelRegistry`]. Nobody who does not use this library is bound by it.
//!
//! # What the local registry cannot do
//! Models here are deployed by endpoints, seen in the studio and shared between workspaces.
pub mod models;
pub mod shared;

pub use models::AzureModelRegistry;
pub use shared::{Published, SharedModels};
