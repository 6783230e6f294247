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
//!
//! ```
//! use std::sync::Arc;
//! use mlops_azure::data::AzureDataAssets;
//! use mlops_azure::fake::FakeAzure;
//! use mlops_core::artifact::ArtifactStoreExt as _;
//! use mlops_core::data::{AssetKind, DataAssetStore as _, DataRef, DataVerification, NewDataAsset};
//! use mlops_core::memory::MemoryArtifactStore;
//! use mlops_core::time::SystemClock;
//! use mlops_core::{ActorId, AssetName, RelPath};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
//! let azure = FakeAzure::new();
//! let content = Arc::new(MemoryArtifactStore::default());
//! let clock = Arc::new(SystemClock::new());
//! let assets = AzureDataAssets::new(azure.arm(), &azure.workspace(), content.clone(), clock);
//!
//! let rows = (RelPath::new("rows.csv")?, b"x,y\n1,2\n".to_vec().into());
//! let (tree, _) = content.put_files(&[rows]).await?;
//! let (name, actor) = (AssetName::new("patients")?, ActorId::new("ingest")?);
//! let asset = NewDataAsset::stored(name.clone(), AssetKind::Folder, tree.digest, actor);
//! let made = assets.register(&asset).await?;
//! assert_eq!(assets.register(&asset).await?, made, "the same call is the same registration");
//! assert_eq!(assets.verify(&DataRef::latest(name)).await?, DataVerification::Intact { bytes: 8 });
//!
//! // As the studio and other clients see it.
//! let seen = assets.azure("patients", "1").await?.properties;
//! assert_eq!(seen.data_type.as_str(), "uri_folder");
//! # Ok::<(), mlops_core::Error>(()) })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod assets;
pub(crate) mod case;
pub(crate) mod once;

pub use assets::AzureDataAssets;
