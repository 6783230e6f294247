//! What stands in for Azure in tests (feature `fake`).
//!
//! | module | what it holds |
//! |---|---|
//! | [`azure`] | [`FakeAzure`]: Resource Manager in memory, with parts for what is behind other hosts |
//! | [`batch`] | [`FakeBatch`]: batch endpoints and their jobs |
//! | [`body`] | [`Bodies`]: the bodies of PATCH and POST, as Azure's own clients define them |
//! | [`event_grid`] | [`FakeEventGrid`]: subscriptions, deliveries, topics |
//! | [`exchange`] | [`FakePart`], [`FakeRequest`] and [`FakeAnswer`]: what parts are made of |
//! | [`faults`] | [`Faults`]: what is to go wrong |
//! | [`faulty`] | [`FaultyTransport`]: any transport with faults by rules |
//! | [`governance`] | [`FakeGovernance`]: role assignments, tags, diagnoses |
//! | [`insights`] | [`FakeInsights`]: the ingestion of Application Insights |
//! | [`job`] | [`FakeJobs`] and [`JobScript`]: jobs, run history, logs and trials |
//! | [`key_vault`] | [`FakeKeyVault`]: a vault of secrets |
//! | [`listen`] | [`FakeListener`]: the same fake over HTTP, for other processes |
//! | [`metrics`] | [`FakeMetrics`]: Azure Monitor's metrics of online endpoints |
//! | [`mlflow`] | [`FakeMlflow`]: MLflow of every workspace and registry |
//! | [`monitor`] | [`breach`]: a model monitor finds that a signal is over its threshold |
//! | [`online`] | [`FakeOnline`]: online endpoints, their keys and their scoring addresses |
//! | [`run_artifact`] | [`FakeRunArtifacts`]: the artifacts of runs, and their blobs |
//! | [`schema`] | [`Schemas`]: Azure's type definitions, which judge the bodies that are sent |
//! | `storage` | `FakeStorage`: blobs, access lists, secrets of datastores (feature `storage`) |
//!
//! # A test against the fake
//! ```
//! use mlops_azure::fake::FakeAzure;
//! use mlops_azure::http::Call;
//! use serde_json::{Value, json};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
//! let azure = FakeAzure::new();
//! azure.faults().slow_operations(2).busy(1);
//! let endpoint = azure.place().at::<Value>(&["onlineEndpoints", "churn"])?;
//! let identity = json!({ "type": "SystemAssigned" });
//! let body = json!({ "location": "eastus", "identity": identity, "properties": { "authMode": "Key" } });
//! let put: Call<Value> = Call::put("example", endpoint.id(), &body)?.query("api-version", "2026-05-01");
//! let made = azure.arm().begin(put).await?.wait().await?;
//! assert_eq!(made["properties"]["provisioningState"], "Succeeded");
//! // Told to come back; taken; twice under way, once over; the result.
//! assert_eq!(azure.count(), 6, "{:?}", azure.requests());
//! # Ok::<(), mlops_core::Error>(()) })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What it does as Azure does
//! * A token is good for its audience alone; without a good one the answer is 401 with a challenge.
//! * `api-version` is demanded, and one that the service does not speak is refused. Ids have no case. Subscription, resource group
//!   and what a resource is below must be there.
//! * PUT makes (201) or replaces (200), PATCH changes what a kind lets it change and nothing else, DELETE removes a resource with
//!   all below it, and finds nothing the second time (204).
//! * Lists come in pages with a `nextLink` that has a `$skip`; what is asked for by `$top` is at most a page. Archived items are in a
//!   list only where `listViewType` says so.
//! * Endpoints, deployments, computes, schedules and what is in registries take an operation: 201 with `Azure-AsyncOperation`, or
//!   202 with `Location` for removals and for the workspace itself. The resource says how it is by `provisioningState`. An operation
//!   that failed is told with HTTP 200, and leaves the resource `Failed`.
//! * Only one operation at a time works on a resource, and on an endpoint with all its deployments: the others get 409, with another
//!   body every time, for what the service says of it is written nowhere.
//! * Versions of assets are immutable but for their words; their containers count them; nothing has an `ETag`, and the last write
//!   wins. A version can be published to a registry.
//! * What is left of the subscription's limits is told in the headers of every answer.
//! * Bodies of PUT are judged by Azure's own types, if a folder of them is given: [`FakeAzure::judging`]. Those of PATCH and POST, and of services
//!   behind other hosts, are judged always, by [what the official clients say](body). What is unknown, of another type or missing is
//!   refused as each service refuses it. A body that goes to Azure and that nobody judges is answered with 501 and kept in
//!   [`refused`](FakeAzure::refused): a fake that took it would say nothing about Azure.
//!
//! # What it does not do
//! * It runs nothing: a job does not train and an endpoint does not score, unless a part says how.
//! * It has no roles: whoever has a token may do everything. Roles that were just assigned are known at once.
//! * Time has no part in it but for metrics: operations take looks, limits never refill, tokens do not expire by themselves.
//! * It takes no member of a body that the official clients do not have, so that a misspelt one is found; servers of MLflow pass over such
//!   members.
//! * That a version cannot be changed is answered with 409 and `Immutable`: that is what the service says of jobs; what it says of
//!   versions is written nowhere.
#![allow(clippy::result_large_err, reason = "an answer that refuses a request is an answer like any other")]

pub mod azure;
pub mod batch;
pub mod body;
pub mod event_grid;
pub mod exchange;
pub mod faults;
pub mod faulty;
pub mod governance;
pub mod insights;
pub mod job;
pub mod key_vault;
pub mod listen;
pub mod metrics;
pub mod mlflow;
pub mod monitor;
pub mod online;
pub mod run_artifact;
pub mod schema;
#[cfg(feature = "storage")]
pub mod storage;

mod arm;
mod asset;
mod compute;
mod kind;
mod list;
mod operation;
mod path;
mod provider;
mod publish;
mod rows;
mod schedule;
mod state;
mod store;
mod token;
mod world;

pub use azure::FakeAzure;
pub use batch::FakeBatch;
pub use body::{Bodies, BodyOf};
pub use event_grid::FakeEventGrid;
pub use exchange::{FakeAnswer, FakePart, FakeRequest};
pub use faults::Faults;
pub use faulty::{Fault, FaultRule, FaultyTransport};
pub use governance::FakeGovernance;
pub use insights::{FakeInsights, Ingestion};
pub use job::{FakeJobs, JobScript};
pub use key_vault::FakeKeyVault;
pub use listen::FakeListener;
pub use metrics::FakeMetrics;
pub use mlflow::FakeMlflow;
pub use monitor::breach;
pub use online::{FakeCounts, FakeOnline};
pub use run_artifact::FakeRunArtifacts;
pub use schema::{Finding, Mutant, Report, Rule, Schemas};
#[cfg(feature = "storage")]
pub use storage::FakeStorage;
