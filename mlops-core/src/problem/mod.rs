//! Phase 1: define the problem.

mod charter;
mod sla;
mod task;

pub use charter::{Charter, Feasibility, Kpi, Risk};
pub use sla::{ErrorBudget, Sla};
pub use task::{Direction, Task};
