//! Phase 5: evaluate, and decide by rules.

mod decision;
mod evaluator;
pub mod gate;
mod report;
mod subject;
mod table;

pub use decision::{CriterionResult, GateDecision, Verdict};
pub use evaluator::{EvaluationInput, Evaluator};
pub use gate::{Criterion, GateSpec, IntervalEnd, NoChampion};
pub use report::{Disparity, Estimate, EvaluationReport, FairnessReport, GroupReport, SliceReport};
