//! The core of the mlops SDK: the domain types, the traits and the lifecycle logic of machine-learning operations, with a
//! complete in-memory backend and an embedded one that keeps everything in one folder.
//!
//! A module is named after what its user does, in the order in which a model's life goes:
//!
//! | phase | module | trait | Azure's counterpart | example |
//! |---|---|---|---|---|
//! | 1 define the problem | [`problem`] | – | – | `phase1_charter` |
//! | 2 version, validate, split data | [`data`] | [`DataAssetStore`](data::DataAssetStore) | data assets | `phase2_data` |
//! | 3 track experiments | [`experiment`] | [`ExperimentTracker`](experiment::ExperimentTracker) | MLflow tracking | `phase3_experiment` |
//! | 3 sweep | [`experiment::sweep`] | [`Sampler`](experiment::sampler::Sampler), [`StoppingPolicy`](experiment::stopping::StoppingPolicy), [`SweepJournal`](experiment::sweep::SweepJournal) | sweep jobs | `phase3_sweep` |
//! | 4 run pipelines | [`pipeline`] | [`StepCache`](pipeline::StepCache), [`PipelineJournal`](pipeline::PipelineJournal) | pipeline jobs, schedules | `phase4_pipeline` |
//! | 4 train | [`artifact`] | [`ArtifactStore`](artifact::ArtifactStore) | Blob Storage | `phase4_train` |
//! | 5 evaluate and decide | [`evaluation`] | [`Evaluator`](evaluation::Evaluator) | responsible-AI components | `phase5_evaluate` |
//! | 5 register | [`registry`] | [`ModelRegistry`](registry::ModelRegistry) | model registry | `phase5_evaluate` |
//! | 6 deploy | [`deploy`], [`serve`] | [`Deployer`](deploy::Deployer), [`Predictor`](model::Predictor) | online endpoints, batch endpoints | `phase6_deploy`, `phase6_forest`, `phase6_serve`, `phase6_batch` |
//! | 6 roll out | [`deploy::rollout`] | [`RolloutJournal`](deploy::rollout::RolloutJournal) | – | `phase6_rollout` |
//! | 7 monitor | [`monitor`] | [`Monitor`](monitor::Monitor), [`DriftDetector`](monitor::DriftDetector), [`AlertSink`](monitor::AlertSink) | model monitors | `phase7_monitor` |
//! | 7 alert | [`monitor::alerting`], [`monitor::sink`] | [`AlertSink`](monitor::AlertSink) | alert rules | `phase7_alerts` |
//! | 8 retrain | [`retrain`], with [`event_source`](retrain::event_source) and [`gates`](retrain::gates) | [`Trigger`](retrain::Trigger), [`LoopJournal`](retrain::closed_loop::LoopJournal) | Event Grid, schedules | `phase8_retrain` |
//! | across all | [`governance`], with [`policy`](governance::policy); [`oversight`] reads the other phases' stores | [`AuditLog`](governance::AuditLog), [`Approver`](governance::Approver), [`SecretStore`](governance::SecretStore) | Activity log, Key Vault, Policy | `cross_governance`, `cross_signing` |
//!
//! `mlops_azure` says which of Azure's counterparts it speaks to. Below the phases lies the ground: [`error`], [`num`], [`id`], [`page`], [`time`],
//! [`hash`], and [`config`], the formats of files; beside them [`model`], what a model is to its
//! surroundings. Above them stand the backends: [`memory`], the reference of every store (the journals of rollouts and loops are beside their traits); `local` (a feature, on by default), every
//! stateful trait on one folder without a server; and [`wrap`], what cuts across backends: retrying, auditing, asking who may, keeping
//! twice, logging while offline. `conformance` (a feature) holds the suites that every backend is held to.
//!
//! # A tour
//! ```
//! use std::sync::Arc;
//! use mlops_core::artifact::ArtifactStoreExt as _;
//! use mlops_core::memory::{MemoryArtifactStore, MemoryModelRegistry};
//! use mlops_core::model::ModelFormat;
//! use mlops_core::problem::Task;
//! use mlops_core::registry::{AliasChange, ModelRef, ModelRegistry as _, NewModelVersion};
//! use mlops_core::serve::ConstantPredictor;
//! use mlops_core::time::SystemClock;
//! use mlops_core::{ActorId, Alias, ModelName, model::Predictor as _};
//!
//! # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
//! // Backends are held as `Arc<dyn Trait>`: another backend is another line here.
//! let clock = Arc::new(SystemClock::new());
//! let artifacts = Arc::new(MemoryArtifactStore::new(clock.clone()));
//! let registry = MemoryModelRegistry::new(artifacts.clone(), clock);
//!
//! // A model is content: its digest is its identity.
//! let model = ConstantPredictor::new(Task::BinaryClassification, 0.25)?;
//! let blob = artifacts.put_bytes(model.to_bytes()?).await?;
//!
//! // Registering gives it the next version, which nobody can change.
//! let (name, actor) = (ModelName::new("churn")?, ActorId::new("trainer")?);
//! let format = ModelFormat::new("mlops.constant/v1")?;
//! let new = NewModelVersion::new(name.clone(), blob.digest, format, model.signature().clone(), actor.clone());
//! let version = registry.register(&new).await?;
//!
//! // An alias moves by compare-and-set: of two who expect the same, one wins.
//! let champion = Alias::new("champion")?;
//! registry.set_alias(&AliasChange::new(name.clone(), champion.clone(), version.version, actor)).await?;
//! let serving = registry.get(&ModelRef::new(name, champion)).await?;
//! assert_eq!(serving.spec.artifact, blob.digest);
//! # Ok::<(), mlops_core::Error>(()) })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What it is not
//! It trains nothing: use the library you like, and serve with [`serve`] or a [`Predictor`](model::Predictor) of your own. It is
//! no platform: no scheduler, no user interface, and no server but the endpoint of the feature `serve`. It holds no HTTP client.
//!
//! # Features
//! | feature | default | brings |
//! |---|---|---|
//! | `local` | yes | the embedded backend; brings SQLite, compiled in (needs a C compiler), and tokio's `spawn_blocking` |
//! | `polars` | no | polars data frames as tables, borrowed where possible |
//! | `polars-io` | no | an eager Parquet reader; CSV needs no feature |
//! | `serve` | no | models over HTTP: Azure's `/score`, MLflow's `/invocations`, the Open Inference Protocol; axum and hyper |
//! | `onnx-runtime` | no | any ONNX model, answered by ONNX Runtime's dynamic library, loaded at run time |
//! | `signing` | no | models signed and verified in the format of OpenSSF Model Signing; brings p256 |
//! | `conformance` | no | the suites for writers of backends; not covered by semantic versioning |
//! | `runtime` | with `local` | what runs tasks: sweeps with parallel trials; brings tokio |
//! | `schedule` | no | cron expressions and recurrences in time zones |
//! | `yaml` | no | every file that people write but the charter in YAML, read under budgets |
#![cfg_attr(not(test), warn(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

#[cfg(all(feature = "local", not(unix)))]
compile_error!("the feature `local` of mlops-core is for Unix: say `default-features = false` here");

pub mod artifact;
pub mod config;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
pub mod data;
pub mod deploy;
mod disk;
pub mod error;
pub mod evaluation;
pub mod experiment;
pub mod governance;
pub mod hash;
pub mod id;
#[cfg(feature = "local")]
pub mod local;
pub mod memory;
pub mod model;
pub mod monitor;
pub mod num;
pub mod oversight;
pub mod page;
pub mod pipeline;
pub mod problem;
pub mod registry;
pub mod retrain;
pub mod serve;
pub mod time;
pub mod wrap;

pub use error::{Error, ErrorKind, Result};
pub use id::{
    ActorId, Alias, AssetName, DeploymentName, EndpointName, ExperimentName, IdempotencyKey, MetricKey,
    ModelName, MonitorName, ParamKey, Percent, RelPath, RunId, SecretName, TagKey, Tags, Version,
    VersionSpec,
};
pub use page::{Page, PageRequest};
