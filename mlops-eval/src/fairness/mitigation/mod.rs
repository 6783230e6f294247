//! What one can do about a disparity without training again: thresholds per group ([`ThresholdOptimizer`]) after training,
//! weights ([`Reweighing`]) before it.
//!
//! Both are fitted on counts or on the mergeable [`ScoreState`](crate::classification::ScoreState) of each group, and both need
//! to know somebody's group to act: whether that is allowed is not for a library to say.

mod curve;
mod operating;
mod randomized;
mod reweighing;
mod single;
mod threshold;

pub use operating::{Cutoff, Operation};
pub use randomized::{GroupRule, ThresholdRules};
pub use reweighing::Reweighing;
pub use threshold::{ParityConstraint, ThresholdObjective, ThresholdOptimizer, ThresholdOptions};
