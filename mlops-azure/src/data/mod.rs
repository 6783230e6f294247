//! Data assets of Azure Machine Learning.
//!
//! | module | what it holds |
//! |---|---|
//! | [`assets`] | [`AzureDataAssets`]: core's data asset store on the data assets of a workspace |
//!
//! # Version, permissions, and what is eventually consistent
//! Resource Manager, version [`API_VERSION`](crate::config::API_VERSION). The role `AzureML Data Scientist` is enough: it has
//! `Microsoft.MachineLearningServices/workspaces/data/read` and `…/write`. A version that was just written may be answered
//! with 404 for a moment, and may be missing in lists for longer: what a call here wrote it waits for, what others wrote a
//! moment ago it may not see yet.
//!
//! # What Azure cannot do, and how it is done here
//! Azure has no compare-and-set, gives out no numbers (`nextVersion` is what two writers read at the same moment), and a write
//! makes a version or changes it, whichever it finds. What it does refuse is to change the place that a version names; tags,
//! description and `isArchived` may change, nothing else. So a version of a data asset can be a name that is written once:
//! of two that write it with different places one is refused, and both learn which one counts. On this two containers are
//! built, both of them data assets whose name begins with `mlops--`: one says what was registered under an idempotency key,
//! one whose a number is. From their order follows everything else, so that a call that was interrupted anywhere is finished
//! by its repetition.

pub mod assets;
pub(crate) mod case;
pub(crate) mod once;

pub use assets::AzureDataAssets;
