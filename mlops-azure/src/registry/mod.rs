//! Models of Azure Machine Learning, in workspaces and in the registries that workspaces share.
//!
//! | module | what it holds |
//! |---|---|
//! | [`files`] | [`ModelFiles`]: where Azure finds what models consist of |
//! | [`models`] | [`AzureModelRegistry`]: core's model registry on the models of a workspace or a registry |
//! | [`shared`] | [`SharedModels`]: what lies in a registry, as Azure has it, and publishing into it |
//!
//! # Version, permissions, and what is eventually consistent
//! Resource Manager, version [`API_VERSION`](crate::config::API_VERSION). In a workspace the role `AzureML Data Scientist` is
//! enough: it has `…/workspaces/models/*` and, for the ledger, `…/workspaces/data/*`. In a registry it is
//! `AzureML Registry User` (`…/registries/assets/*`). Writes in a workspace are answered when they are done, those in a registry
//! are long-running. A version that was just written may be answered with 404 for a moment: what a call here wrote it waits
//! for.
//!
//! # What Azure cannot do that the local registry can
//! Aliases, compare-and-set, history, events, lineage and protection are unknown to Resource Manager. The ledger has them: see
//! [`AzureModelRegistry`]. Nobody who does not use this library is bound by it.
//!
//! # What the local registry cannot do
//! Models here are deployed by endpoints, seen in the studio and shared between workspaces. For that their files must lie where Azure
//! reads them: [`AzureModelRegistry::with_files`] says how they get there. A folder with a file `MLmodel` is registered as a model of
//! MLflow, which endpoints serve without code; everything else needs an environment and code.
//!
//! ```
//! use std::sync::Arc;
//! use mlops_azure::fake::FakeAzure;
//! use mlops_azure::registry::{AzureModelRegistry, SharedModels};
//! use mlops_azure::wire::TextMap;
//! use mlops_core::artifact::ArtifactStoreExt as _;
//! use mlops_core::memory::MemoryArtifactStore;
//! use mlops_core::model::{ModelFormat, Signature};
//! use mlops_core::problem::Task;
//! use mlops_core::registry::{AliasChange, ModelRegistry as _, NewModelVersion};
//! use mlops_core::time::{Clock as _, SystemClock};
//! use mlops_core::{ActorId, Alias, ModelName};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
//! let azure = FakeAzure::new();
//! let (content, clock) = (Arc::new(MemoryArtifactStore::default()), Arc::new(SystemClock::new()));
//! let models = AzureModelRegistry::new(azure.arm(), &azure.workspace(), content.clone(), clock.clone());
//!
//! let artifact = content.put_bytes(b"weights".to_vec()).await?.digest;
//! let (churn, me) = (ModelName::new("churn")?, ActorId::new("trainer")?);
//! let (format, signature) = (ModelFormat::new("mlops.linear/v1")?, Signature::new(Task::Regression, Vec::new()));
//! let new = NewModelVersion::new(churn.clone(), artifact, format, signature, me.clone());
//! let made = models.register(&new).await?;
//! let champion = AliasChange::new(churn.clone(), Alias::new("champion")?, made.version, me.clone());
//! models.set_alias(&champion).await?;
//! assert_eq!(models.get(&"churn:@champion".parse()?).await?, made);
//!
//! // For every workspace of the organisation.
//! let shared = azure.registry("contoso-ml");
//! let published = models.publish(&made.reference(), &shared, &me, clock.now()).await?;
//! assert_eq!(published.uri, "azureml://registries/contoso-ml/models/churn/versions/1");
//! let there = SharedModels::new(azure.arm(), &shared);
//! there.set_tags(&churn, "1", &TextMap::from_iter([("team", "risk")])).await?;
//! assert_eq!((there.names().await?, there.versions(&churn).await?.len()), (vec!["churn".to_owned()], 1));
//! there.set_archived(&churn, "1", true).await?;
//! assert_eq!(there.get(&churn, "1").await?.properties.is_archived, Some(true));
//!
//! // What somebody changed in Azure is set right.
//! assert!(azure.remove_resource(&format!("{}/models/churn/versions/1", azure.workspace().id())));
//! models.restore(&churn).await?;
//! assert!(models.azure("churn", "1").await.is_ok());
//! # Ok::<(), mlops_core::Error>(()) })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
pub mod files;
pub mod models;
pub mod shared;

pub use files::{ModelContent, ModelFiles};
pub use models::AzureModelRegistry;
pub use shared::{Published, SharedModels};
