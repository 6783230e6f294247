//! What governance needs of Azure: secrets in Key Vault.

pub mod key_vault;

pub use key_vault::{KeyVault, KeyVaultBuilder};
