//! Phase 6: models over HTTP.
//!
//! A [`Server`] answers for the endpoints of a deployer that lends its models to it, a [`ModelHost`]. Traffic is changed at the
//! deployer, as ever; the server sees it within [`Limits::refresh`], loads what is new, and serves it from one moment to the next:
//! no restart, and no request that is lost. A deployment that cannot be loaded is told by `/health/ready` and never served; the
//! traffic before it stays until it can be.
//!
//! | address | what it takes | what it answers |
//! |---|---|---|
//! | `POST /score` | rows, as an online endpoint of Azure Machine Learning takes them | `[0.1, 0.9]` |
//! | `POST /invocations` | rows, as a scoring server of MLflow takes them | `{"predictions": [0.1, 0.9]}` |
//! | `POST /endpoints/NAME/score`, `…/invocations` | the same, where there are several endpoints | the same |
//! | `POST /v2/models/NAME[/versions/V]/infer` | tensors, as the Open Inference Protocol has them | a tensor `predict` |
//! | `GET /v2`, `/v2/models/NAME[/versions/V][/ready]` | – | metadata of that protocol |
//! | `GET /health/live`, `/health/ready`, `/v2/health/…`, `/ping` | no key | 200, or why not |
//! | `GET /metrics` | – | counts in the text format of Prometheus, version 0.0.4 |
//!
//! # Rows
//! Both `/score` and `/invocations` take all of these, whoever comes from where:
//! * `{"input_data": {"columns": [NAME, …], "index": […], "data": [[…], …]}}`, and `dataframe_split` in its place;
//! * `{"input_data": {NAME: [VALUE, …], …}}`, and `inputs` in its place: values by column;
//! * `{"data": [[…], …]}` by the order of the model's inputs, or `{"data": [{NAME: VALUE, …}, …]}`; `input_data`,
//!   `dataframe_records`, `instances` and `inputs` in its place.
//!
//! Columns that the model does not know are passed over; one that it needs and a value of another type than it wants are refused,
//! with row and column. A number that is whole is a whole number, also as `3.0`; a time is a text of RFC 3339; `null` is a missing
//! value where the model understands them. The types of tensors are checked by range and then taken in the same way.
//!
//! # Headers
//! * `authorization: Bearer KEY`: see [`Access`].
//! * `azureml-model-deployment: NAME` asks one deployment past the split, and past the shadow; every answer names in it who
//!   answered.
//! * `x-request-id` is the request's id, if it is sane; else it gets one. It is answered in `x-request-id` and `x-ms-request-id`, and
//!   is the id of captured rows. `x-ms-client-request-id` is answered as it came.
//!
//! # What is recorded
//! * `/metrics` shows what this instance counted since it was started, by deployment where one was reached.
//! * Whoever observes the server ([`Server::with_observer`]) is told how every request for a prediction ended: answered, failed,
//!   refused, or abandoned by its caller. No place, no traffic, a model that fails and an answer that is not there in time are
//!   failures; what is wrong with a request, or with its key, is refused.
//!   [`OperationRecorder`](crate::monitor::OperationRecorder) makes series of it that add up over instances, for alert rules and
//!   for guards of rollouts.
//! * A share of requests and answers goes to whoever watches their contents: [`Capture`].
//!
//! # Errors
//! Every error of an address here is JSON: `{"error": {"code", "message", "details"}}`. Beside that, `/invocations` has `error_code`
//! and `message` where MLflow's clients look; under `/v2` the protocol wants `{"error": MESSAGE}`, and has `code` and `details` beside
//! it. Codes do not change; messages may. What is no HTTP at all gets a bare 400, 414 or 431.
//!
//! | status | codes |
//! |---|---|
//! | 400 | `malformed_json`, `invalid_input`, `incomplete_body` |
//! | 401, 404, 405 | `unauthorized`; `not_found`, `unknown_endpoint`, `unknown_deployment`, `no_traffic`; `method_not_allowed` |
//! | 408, 413, 415, 421 | `request_timeout`; `body_too_large`; `unsupported_media_type`; `wrong_host` |
//! | 429, 503, with `retry-after` | `too_many_requests`; `not_ready`, `overloaded` |
//! | 500, 504 | `model_failed`, `internal`; `answer_timeout` |
//!
//! # What it is not
//! It speaks HTTP/1.1 and no TLS: put it behind what ends TLS. It has one address for all; networks and identities are the
//! platform's.

mod access;
mod app;
mod capture;
mod cells;
mod connection;
mod endpoint;
mod failure;
mod gate;
mod host;
mod limits;
mod metrics;
mod mirror;
mod redaction;
mod request_id;
mod routes;
mod rows;
mod server;
mod tensor;

pub use access::Access;
pub use capture::{Capture, CaptureSink, CapturedRows};
pub use endpoint::{RoutingKey, ServedEndpoint, ServedMirror};
pub use host::ModelHost;
pub use limits::Limits;
pub use redaction::Redaction;
pub use server::{Drained, Running, Server};

pub use crate::deploy::Mirror;
