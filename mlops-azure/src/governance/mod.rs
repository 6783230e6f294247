//! What governance needs of Azure.
//!
//! | module | what it holds |
//! |---|---|
//! | [`key_vault`] | [`KeyVault`]: secrets |
//! | [`roles`] | [`Roles`]: who may do what |
//! | [`tags`] | [`ResourceTags`]: tags of any resource |
//! | [`workspaces`] | [`Workspaces`]: a workspace as it is, and what is wrong with it |

pub mod key_vault;
pub mod roles;
pub mod tags;
pub mod workspaces;

pub use key_vault::{KeyVault, KeyVaultBuilder};
pub use roles::{Granted, Roles};
pub use tags::ResourceTags;
pub use workspaces::Workspaces;
