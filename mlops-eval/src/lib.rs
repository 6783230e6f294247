//! Metrics, slices and group fairness as pure functions.
#![cfg_attr(not(test), warn(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod catalog;
pub mod classification;
mod input;
pub mod interval;
pub mod regression;
mod sum;
