//! Labels made by people: a queue of tasks, what models suggested kept apart, agreement measured, the result a data asset.
//!
//! A [`LabelQueue`] hands out each task to as many annotators as its [`LabelProject`] says, each under a lease; what they
//! submit is compared, and where they disagree an adjudicator decides. Everything that happens is a record; the queue is what
//! replaying its records makes, so a queue read from a file cannot be in a state that no sequence of calls leads to.
//!
//! Agreement beyond chance: [`cohen_kappa`] for two annotators, [`fleiss_kappa`] for a fixed number, [`krippendorff_alpha`]
//! for any number with ratings missing, on four levels of measurement.

mod agreement;
mod export;
mod project;
mod queue;
mod report;

pub use agreement::{
    AlphaInterval, KappaWeights, Level, Ratings, alpha_interval, cohen_kappa, fleiss_kappa,
    krippendorff_alpha, percent_agreement,
};
pub use project::{LabelProject, LabelScheme, LabelTask, LabelValue, Prelabel};
pub use queue::{Assignment, LabelEvent, LabelProgress, LabelQueue, LabelRecord, LabelStatus, Vote};
pub use report::{AgreementReport, ModelAgreement, PairAgreement};
