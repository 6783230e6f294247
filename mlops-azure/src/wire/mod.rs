//! What Azure's services are told and what they answer, as types; no I/O.
//!
//! | module | what it holds |
//! |---|---|
//! | [`place`] | [`Place`] and [`At`]: the calls of Azure Machine Learning's Resource Manager API, by the resource they are about |
//! | [`resource`] | [`Resource`]: the envelope of every resource |
//! | [`open`] | enumerations that keep values nobody here knows |
//! | [`text`] | maps from text to text, and durations |
//! | [`asset`] | the containers of versions, and code |
//! | [`batch`] | batch endpoints, their deployments and calls |
//! | [`blob_service`] | soft delete and versions of a storage account |
//! | [`compute`] | clusters and instances |
//! | [`data`] | data assets |
//! | [`datastore`] | datastores and their secrets |
//! | [`deployment`] | online deployments |
//! | [`endpoint`] | online endpoints, their keys and tokens |
//! | [`environment`] | environments |
//! | [`job`] | jobs |
//! | [`model`] | registered models |
//! | [`pending_upload`] | where code may be put |
//! | [`secret`] | secrets in Key Vault |
//! | [`traffic`] | how an endpoint's requests are shared out |
//!
//! # Read, change, write
//! Azure Machine Learning has no compare-and-set, and most changes are writes of a whole resource: what is read is written back.
//! So every type keeps members that it does not know under `other`, and every enumeration values that it does not know; what
//! the service alone may write is left out by [`Resource::body`].
//!
//! # Spelling
//! Discriminators and enumerations are written as the schema spells them and read in any case, because the service answers in
//! several. Numbers in maps of properties are texts.
//!
//! Source: Azure's type definitions of `Microsoft.MachineLearningServices`, version [`API_VERSION`](crate::config::API_VERSION);
//! the tests hold every body built here against them.

#[macro_use]
pub mod open;
pub mod asset;
pub mod batch;
pub mod blob_service;
pub mod compute;
pub mod data;
pub mod datastore;
pub mod deployment;
pub mod endpoint;
pub mod environment;
pub mod job;
pub mod model;
pub mod pending_upload;
pub mod place;
pub mod resource;
pub mod secret;
pub mod text;
pub mod traffic;

pub use asset::{CodeVersion, Container};
pub use batch::{BatchDeployment, BatchEndpoint};
pub use compute::Compute;
pub use data::{DataType, DataVersion};
pub use datastore::{Credentials, Datastore, DatastoreSecrets};
pub use deployment::OnlineDeployment;
pub use endpoint::{EndpointKeys, EndpointToken, OnlineEndpoint};
pub use environment::EnvironmentVersion;
pub use job::{CommandJob, Job, SweepJob};
pub use model::ModelVersion;
pub use place::{At, Nothing, Place};
pub use resource::{Identity, Properties, Resource, Sku};
pub use text::{IsoDuration, TextMap};
pub use traffic::Traffic;
