//! What stands in for Azure in tests (feature `fake`).
//!
//! | module | what it holds |
//! |---|---|
//! | [`key_vault`] | [`FakeKeyVault`]: a vault of secrets |

pub mod key_vault;

pub use key_vault::FakeKeyVault;
