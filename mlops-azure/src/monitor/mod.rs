//! Model monitors of Azure Machine Learning.
//!
//! | module | what it holds |
//! |---|---|
//! | [`breach`] | [`Breach`]: what a monitor's event says, as a reason to retrain |
//! | [`definition`] | [`MonitorPlan`]: monitors of core, as Azure can compute them, or why not |
//! | [`model_monitors`] | [`ModelMonitors`]: to make, change, stop and remove them |
//!
//! # Versions, permissions, and what is eventually consistent
//! Resource Manager, version [`API_VERSION`](crate::config::API_VERSION). To read takes
//! `Microsoft.MachineLearningServices/workspaces/schedules/read`, to write `…/schedules/write` and `…/delete`; the role
//! `AzureML Data Scientist` has them. Whoever makes a monitor, or the managed identity that it names, must be able to read its data.
//! A write is a long-running operation; until it is over, a second one is refused as busy and waited for.
//!
//! # What Azure does that the local monitor does not
//! It computes on its own schedule in Spark, writes e-mails, and raises an event. It measures drift of attributions.
//!
//! # What the local monitor does that Azure does not
//! * **Performance**: the stable version has no such signal; it was in previews up to 2024-04-01 alone. [`MonitorPlan`] refuses it.
//! * **Checks on demand**, with a report that says every number: Azure tells that a threshold is breached, and not by how much.
//! * **Confidence**: Azure's thresholds are held against scores with their noise; too little data is no verdict of its own, and a
//!   metric that could not be computed is left out in silence.
//! * **Limits for single features**, bounds of one's own, and a smallest number of rows.

pub mod breach;
pub mod definition;
pub mod model_monitors;

pub use breach::Breach;
pub use definition::{DriftLimit, MonitorPlan};
pub use model_monitors::ModelMonitors;
