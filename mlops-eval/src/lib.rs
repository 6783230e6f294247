//! Metrics, slices and group fairness as pure functions.
#![cfg_attr(not(test), warn(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod catalog;
pub mod classification;
pub mod fairness;
mod input;
pub mod interval;
pub mod regression;
pub mod slice;
mod sum;
