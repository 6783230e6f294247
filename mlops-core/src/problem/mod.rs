//! Phase 1: define the problem.

mod task;

pub use task::{Direction, Task};
