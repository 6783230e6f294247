//! Tokens of Microsoft Entra ID: who asks, for what, how long they hold, and where they may go.
//!
//! | module | what it holds |
//! |---|---|
//! | [`token`] | [`TokenSource`]: a [`Scope`] in, an [`AccessToken`] with its expiry out; [`FixedToken`] |
//! | [`cache`] | [`TokenCache`]: one request however many ask, renewed before it expires |
//! | [`chain`] | [`TokenChain`]: the first of several sources that has a token, with the reason of every other |
//! | [`job`] | [`JobIdentity`]: the managed identity of Azure Machine Learning's own compute |
//! | `identity` | the sources of `azure_identity`, and the usual chain of them (feature `identity`) |
//! | [`mlflow`] | the same tokens for [`MlflowClient`](crate::mlflow::MlflowClient) |
//!
//! # Where a token goes
//! A token is sent over `https` alone, and in clear text to this machine itself at most; never to a host other than the one that
//! the client was set up for, whatever a redirect, a link to the next page or the address of an operation says: see
//! [`guard`](crate::http::guard). It appears in no `Debug`, no error and no log line.
//!
//! # Which permissions
//! None of these calls needs a role; what a token lets its holder do is decided where it is used.

pub mod cache;
pub mod chain;
#[cfg(feature = "identity")]
pub mod identity;
pub mod job;
pub mod mlflow;
pub mod token;

pub use cache::{CachePolicy, TokenCache};
pub use chain::{LinkFailure, NoToken, TokenChain};
#[cfg(feature = "identity")]
pub use identity::Identity;
pub use job::JobIdentity;
pub use mlflow::MlflowTokens;
pub use token::{AccessToken, FixedToken, Scope, TokenSource};
