//! Where Azure is and what is meant there: clouds, their hosts and token scopes, workspaces and registries.
//!
//! | module | what it holds |
//! |---|---|
//! | [`cloud`] | [`Cloud`]: hosts and audiences of the public cloud, of China and of US Government |
//! | [`endpoints`] | [`Endpoints`]: the hosts that a client talks to; a cloud's, or a stand-in on this machine |
//! | [`workspace`] | [`Workspace`]: subscription, resource group and name, checked by Azure's naming rules |
//! | [`registry`] | [`Registry`]: the same for a registry that several workspaces share |
//! | [`discover`] | both from the environment and from a `config.json`, for workspaces the one that the portal hands out |
//! | [`version`] | [`ApiVersion`]: which version of the API is spoken, for clouds that do not have the latest one yet |
//! | [`name`] | the naming rules |

pub mod cloud;
pub mod discover;
pub mod endpoints;
pub mod name;
pub mod registry;
pub mod version;
pub mod workspace;

pub use cloud::Cloud;
pub use discover::{ConfigFile, Variables};
pub use endpoints::Endpoints;
pub use registry::Registry;
pub use version::ApiVersion;
pub use workspace::Workspace;

/// The version of Azure Machine Learning's Resource Manager API that this crate speaks where no [other one](ApiVersion) is named: the
/// latest stable one.
pub const API_VERSION: &str = "2026-05-01";
