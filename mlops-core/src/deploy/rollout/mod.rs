//! Rollouts: traffic moves to a candidate step by step, is judged at each, and comes back at the first sign of trouble. A candidate may
//! be a shadow first, which is asked what others answer and answers nobody.
//!
//! The rules are a pure function, [`step`]: state, event and time in, next state and effects out. [`RolloutDriver`] carries the
//! effects out against any [`Deployer`](crate::deploy::Deployer) and writes every state into a [`RolloutJournal`] first. Whoever
//! has a loop of their own uses the rules alone.
//!
//! # Questions and answers
//! **Why does every change of traffic name a revision?** Of two controllers, or of a change that was delayed on its way and one
//! that was made since, one must lose. A rollback names one as well: it meets the revision it was decided on, or looks again.
//!
//! **Why is a rollback to traffic that is back already a change all the same?** The change to undo may still be on its way; only
//! a newer revision keeps it out.
//!
//! **Why are the plan's limits part of the plan, and other guards only named in it?** An approval is bound to the plan's digest:
//! what was approved includes the limits, and that no guard is forgotten.
//!
//! **Why does the rollout take the mirror away before it moves traffic?** Who is live is no shadow: its counts are those of callers who
//! depend on it, and no backend has to tell the two apart.
//!
//! **Why are the members of a role part of the plan?** Who may approve is decided before anybody is asked, and by what the approval
//! itself is bound to; a directory may change under it.
//!
//! **Why are their public keys part of it too?** A name in an approval is what somebody wrote; a signature with a key that the approved
//! plan names is what they did. Without keys an approver is believed.
//!
//! **Why does the plan say what keeps a caller at its variant?** A step is judged by who meets the candidate in it. Who is moved back by
//! a server that was set up otherwise has met both, and counts for neither.
//!
//! **Why does the last step bake too?** Full load shows what half did not. Until it has baked, going back is one change away.

mod approvers;
mod driver;
mod guard;
mod journal;
pub mod judge;
mod machine;
mod metric;
mod plan;
mod prechecks;
mod release;
mod score_guard;
mod state;
#[cfg(test)]
pub(crate) mod support;
#[cfg(test)]
mod tests;

pub use approvers::ApproverRole;
pub use driver::{RolloutDriver, RolloutStatus};
pub use guard::{
    FnGuard, Guard, GuardEvidence, GuardVerdict, Judgement, LabelledPerformance, OperationGuard,
    PerformanceGuard,
};
pub use journal::{JournalEntry, RolloutJournal, VecJournal};
pub use machine::{Effect, EffectKind, Event, step};
pub use metric::{GuardFinding, MetricGuard, MetricProvider, MetricQuery, MetricRequest, MetricSource};
pub use plan::{Rollback, RolloutOptions, RolloutPlan, Strategy, ThinData};
pub use release::{PrecheckReport, Release};
pub use score_guard::{ScoreGuard, ScoredMetric};
pub use state::{
    Baseline, Cause, MirrorTarget, ObservedTraffic, PauseReason, PausedAt, Phase, RolloutState, TrafficIntent,
};
