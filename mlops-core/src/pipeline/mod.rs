//! Pipelines of typed steps that remember what they made.
//!
//! A [`Component`] says what goes in and out and how it is set; a [`Pipeline`] wires components by type; a [`PipelineExecutor`]
//! runs the steps whose outputs are not there yet, and goes on where it was after the process was killed.
//!
//! | question | answered by |
//! |---|---|
//! | does it fit together? | [`Pipeline::new`], [`Pipeline::parse`] with places |
//! | need this step run? | [`KeyParts::key`], [`StepCache`], [`VerifyPolicy`] |
//! | why did it run? | [`RunReason`], [`KeyParts::differences`] |
//! | what may happen next? | [`PipelineState`], a pure state machine |
//! | what did happen? | [`PipelineJournal`] |
//! | may it be tried again? | [`StepRetry`], [`ErrorClass`] |
//!
//! Caches and journals are held as traits; [`memory`](crate::memory) and `local` have both.

mod body;
mod cache;
mod cancel;
mod component;
pub mod compute;
mod executor;
mod file;
mod graph;
mod journal;
mod key;
mod param;
mod port;
mod publish;
mod retry;
#[cfg(feature = "schedule")]
pub mod schedule;
mod spec;
mod spending;
mod state;
mod step_costs;
mod text;

pub use crate::config::Format as PipelineFormat;
pub use body::{AssetVersion, BlockingOutputs, Components, Content, StepBody, StepContext};
pub use cache::{Claim, Claimed, Damage, StepCache, StepMetric, StepRecord, VerifyPolicy, verify};
pub(crate) use cache::{check_put, lease_end};
pub use cancel::Cancel;
pub use component::{Component, ComponentRef, InputSpec, source_digest};
pub use executor::{Backends, ExecutorOptions, PipelineExecutor, PipelineReport, RunOptions, StepReport};
pub use graph::{GraphError, GraphFault, Part, Pipeline};
pub use journal::{PipelineEntry, PipelineJournal};
pub use key::{Difference, KEY_DOMAIN, KeyInput, KeyParts, StepKey, secret_fingerprint};
pub use param::{ParamFault, ParamSpec, ParamType, ParamValue};
pub use port::PortType;
pub use publish::Publishing;
pub use retry::{ErrorClass, StepError, StepRetry};
pub use spec::{Argument, PipelineSpec, RunIf, RunWhen, Source, StepSpec};
pub use state::{
    Force, PipelineEvent, PipelineState, PipelineStatus, PlannedStep, RunPlan, RunReason, SkipReason,
    StepState, StepStatus,
};
pub use step_costs::StepCosts;

/// What files leave out where it is as it usually is.
fn yes() -> bool {
    true
}
