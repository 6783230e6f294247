//! From numbers to notices: rules with a time to wait and a level to recover at, groups, repeats, and an alarm when data stops.
//!
//! [`AlertRules`] say what is wrong and who hears of it; [`AlertRules::step`] is a pure function from a state, an input and a
//! time to the next state and the notices to send; [`dispatch`] hands notices to [`AlertSink`](super::AlertSink)s and keeps those
//! that did not arrive. Keep the [`AlertState`] after every call: notices live in it until every sink has them, under keys that
//! follow from the state alone, so that a restart loses none and a sink that knows keys shows none twice.
//!
//! ```
//! use std::collections::BTreeMap;
//! use std::sync::Arc;
//! use std::time::Duration;
//! use mlops_core::memory::MemoryAlertSink;
//! use mlops_core::monitor::alerting::{AlertFormat, AlertInput, AlertRules, AlertState, dispatch};
//! use mlops_core::monitor::{AlertSink, AlertStatus};
//!
//! let rules = AlertRules::parse(
//!     r#"
//!     name = "diabetes"
//!
//!     [[rules]]
//!     id = "errors"
//!     signal = "error_rate"
//!     above = 0.05
//!     recovery = 0.02
//!     for = "5m"
//!     no_data = "15m"
//!     severity = "critical"
//!
//!     [[routes]]
//!     id = "everything"
//!     sinks = ["inbox"]
//!     "#,
//!     AlertFormat::Toml,
//! )?;
//! let inbox = Arc::new(MemoryAlertSink::default());
//! let sinks: BTreeMap<String, Arc<dyn AlertSink>> = [("inbox".to_owned(), inbox.clone() as _)].into();
//!
//! # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
//! let mut state = AlertState::default();
//! let start: mlops_core::time::Timestamp = "2026-01-01T00:00:00Z".parse()?;
//! // Bad for five minutes, then between both levels, then well again.
//! for (minute, rate) in [(0, 0.08), (5, 0.09), (6, 0.03), (7, 0.01)] {
//!     let now = start + Duration::from_secs(60 * minute);
//!     (state, _) = rules.step(&state, &AlertInput::value("error_rate", rate), now)?;
//!     (state, _) = dispatch(&state, &sinks).await;
//! }
//! let told: Vec<AlertStatus> = inbox.alerts().iter().map(|alert| alert.status).collect();
//! assert_eq!(told, [AlertStatus::Firing, AlertStatus::Resolved]);
//! # Ok::<(), Box<dyn std::error::Error>>(()) })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod dispatch;
mod file;
mod names;
mod notice;
mod rules;
mod state;
mod step;

pub use crate::config::Format as AlertFormat;
pub use dispatch::{NoticeDelivery, dispatch};
pub use notice::{AlertCondition, Notice, NoticeAlert};
pub use rules::{AlertRoute, AlertRule, AlertRules};
pub use state::{AlertGroup, AlertInput, AlertPhase, AlertSeries, AlertState, UndeliveredNotice};
