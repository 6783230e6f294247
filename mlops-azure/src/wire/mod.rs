//! What Azure's services are told and what they answer, as types; no I/O.
//!
//! | module | what it holds |
//! |---|---|
//! | [`arm_scope`] | any resource by its id, and calls of other providers |
//! | [`asset`] | the containers of versions, and code |
//! | [`autoscale`] | autoscale settings of deployments |
//! | [`batch`] | batch endpoints, their deployments and calls |
//! | [`blob_service`] | soft delete and versions of a storage account |
//! | [`component`] | steps of pipelines that are described once |
//! | [`compute`] | clusters and instances, and what there may be of machines |
//! | [`data`] | data assets |
//! | [`datastore`] | datastores and their secrets |
//! | [`deployment`] | online deployments |
//! | [`endpoint`] | online endpoints, their keys and tokens |
//! | [`environment`] | environments |
//! | [`event`] | Event Grid: topics, subscriptions, events |
//! | [`history`] | run history: how a job went, its logs, its tags |
//! | [`job`] | jobs |
//! | [`metrics`] | values of Azure Monitor's metrics, and what there is to ask for |
//! | [`model`] | registered models |
//! | [`monitor`] | model monitors |
//! | [`open`] | enumerations that keep values nobody here knows |
//! | [`otlp`] | what a collector of OpenTelemetry is told |
//! | [`pending_upload`] | where code may be put |
//! | [`place`] | [`Place`] and [`At`]: the calls of Azure Machine Learning's Resource Manager API, by the resource they are about |
//! | [`quiet`] | what may hold a secret, and prints none: unknown members, untyped values, texts |
//! | [`resource`] | [`Resource`]: the envelope of every resource |
//! | [`role`] | role assignments |
//! | [`schedule`] | what the service does at times |
//! | [`schedule_trigger`] | when schedules run |
//! | [`secret`] | secrets in Key Vault |
//! | [`tags`] | tags of any resource |
//! | [`telemetry`] | what Application Insights is told |
//! | [`text`] | maps from text to text, and durations |
//! | [`traffic`] | how an endpoint's requests are shared out |
//! | [`workspace`] | workspaces, and what is wrong with them |
//!
//! # Read, change, write
//! Azure Machine Learning has no compare-and-set, and most changes are writes of a whole resource: what is read is written back.
//! So every type keeps members that it does not know under `other`, and every enumeration values that it does not know; what
//! the service alone may write is left out by [`Resource::body`].
//!
//! # Secrets
//! `Debug` of these types shows what a thing is called, how large it is and how far: names, ids, numbers, enumerations. It shows no value
//! that anybody may fill with a secret: members that are not known, values without a form, tags, properties, environment variables
//! and headers show their names ([`Members`], [`Untyped`], [`TextMap`]); addresses, command lines, literals, descriptions and messages show
//! no query and nothing that looks like a secret ([`Text`]); keys, tokens and signed addresses show nothing. Written as JSON, all
//! of it is there: it is the service's own form.
//!
//! # Spelling
//! Discriminators and enumerations are written as the schema spells them and read in any case, because the service answers in
//! several. Numbers in maps of properties are texts.
//!
//! Source: Azure's type definitions of `Microsoft.MachineLearningServices`, version [`API_VERSION`](crate::config::API_VERSION);
//! the tests hold every body built here against them, where there is a folder of them.

#[macro_use]
pub mod open;
pub mod arm_scope;
pub mod asset;
pub mod autoscale;
pub mod batch;
pub mod blob_service;
pub mod component;
pub mod compute;
pub mod data;
pub mod datastore;
pub mod deployment;
pub mod endpoint;
pub mod environment;
pub mod event;
pub mod history;
pub mod job;
pub mod metrics;
pub mod model;
pub mod monitor;
pub mod otlp;
pub mod pending_upload;
pub mod place;
pub mod quiet;
pub mod resource;
pub mod role;
pub mod run_artifact;
pub mod schedule;
pub mod schedule_trigger;
pub mod secret;
pub mod tags;
pub mod telemetry;
pub mod text;
pub mod traffic;
pub mod workspace;

pub use arm_scope::{ArmAt, ArmScope};
pub use asset::{CodeVersion, Container};
pub use batch::{BatchDeployment, BatchEndpoint};
pub use component::{CommandComponent, ComponentVersion};
pub use compute::Compute;
pub use data::{DataType, DataVersion};
pub use datastore::{Credentials, Datastore, DatastoreSecrets};
pub use deployment::OnlineDeployment;
pub use endpoint::{EndpointKeys, EndpointToken, OnlineEndpoint};
pub use environment::EnvironmentVersion;
pub use job::{AutoMlJob, CommandJob, Job, PipelineJob, SweepJob};
pub use model::ModelVersion;
pub use monitor::ModelMonitor;
pub use place::{At, Nothing, Place};
pub use quiet::{Members, Text, Untyped};
pub use resource::{Identity, Properties, Resource, Sku};
pub use run_artifact::{ContentInfo, RunArtifact, RunHistory};
pub use schedule::Schedule;
pub use schedule_trigger::ScheduleTrigger;
pub use text::{IsoDuration, TextMap};
pub use traffic::Traffic;
