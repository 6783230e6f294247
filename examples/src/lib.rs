//! What the examples share: telling what happens, preparing a data set, training two models, a workspace of
//! Azure, and the platform of the closed loop.

pub mod azure;
pub mod narrate;
pub mod platform;
pub mod prepare;
pub mod rows;
pub mod train;

/// The README's own example is a test.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
