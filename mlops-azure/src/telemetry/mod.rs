//! What is told of a model in operation: to Application Insights, and by OpenTelemetry to any collector.
//!
//! | module | what it holds |
//! |---|---|
//! | [`connection`] | [`ConnectionString`]: where Application Insights is, and the key of whose telemetry it is |
//! | [`insights`] | [`AppInsights`]: keeps what is told, and sends it when it can |
//! | [`spool`] | [`Spool`]: what waits, in memory or on a disk, up to a limit |
//! | [`requests`] | [`RequestTelemetry`]: how every request ended |
//! | [`sink`] | core's operational metrics and alerts as telemetry |
//! | [`otlp`] | [`OtlpExporter`]: metrics, logs and spans by OTLP over HTTP, in JSON |
//!
//! # Versions, permissions, and what is eventually consistent
//! Application Insights' ingestion, `v2.1/track`. The key in the connection string is enough where local authentication is on; with
//! tokens, the role `Monitoring Metrics Publisher`. What was taken can be asked for after some minutes. OTLP 1.x needs whatever the
//! collector asks for, in a header.
//!
//! # What is promised, and what is not
//! What [`AppInsights`] was told is sent at least once, or counted as lost. It is lost when more waits than the spool may hold (the oldest goes first),
//! when the service refuses an item for what it is, and when a process without a spool on a disk ends. Its bodies
//! go out compressed from 1 KiB on. [`OtlpExporter`] keeps nothing and tries nothing again: an error says whether a retry may help.

pub mod connection;
pub mod insights;
pub mod otlp;
pub mod requests;
pub mod sink;
pub mod spool;

pub use connection::ConnectionString;
pub use insights::{AppInsights, AppInsightsBuilder, FlushReport, Losses};
pub use otlp::OtlpExporter;
pub use requests::RequestTelemetry;
pub use sink::InsightsAlertSink;
pub use spool::Spool;
