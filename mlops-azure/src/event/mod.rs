//! Event Grid: from a monitor's breach to core's triggers, and from core's alerts to whoever subscribes.
//!
//! | module | what it holds |
//! |---|---|
//! | [`publish`] | [`EventPublisher`]: sends events to a topic; [`EventAlertSink`]: sends core's alerts so |
//! | [`receive`] | [`EventReceiver`]: reads what Event Grid delivers, in both schemas, handshakes included |
//! | [`topics`] | [`EventTopics`]: system topics of workspaces, and subscriptions to them |
//!
//! # Versions, permissions, and what is eventually consistent
//! Resource Manager, version [`VERSION`](crate::wire::event::VERSION); publishing to a topic, version
//! [`PUBLISH_VERSION`](crate::wire::event::PUBLISH_VERSION). To make topics and subscriptions takes
//! `Microsoft.EventGrid/systemTopics/write` and `Microsoft.EventGrid/eventSubscriptions/write` (role `EventGrid Contributor`); to publish
//! with a token, the role `EventGrid Data Sender`. A subscription is there only after its webhook answered the handshake; events of the
//! first minute may be missed.
//!
//! # What is promised, and what is not
//! Delivery is at least once and in no order. An event is known by source and id: core's
//! [`EventTrigger`](mlops_core::retrain::EventTrigger) takes each once. Event Grid signs nothing: give the subscription a
//! [key](crate::wire::event::Destination::with_key) that the [`EventReceiver`] asks for. Without a place for dead letters, events that
//! could not be delivered within their time are lost. Failed runs of a monitor raise no event: a schedule beside the trigger finds what
//! never came.
//!
//! # An event becomes a reason to retrain
//! ```
//! use std::time::Duration;
//! use mlops_azure::event::EventReceiver;
//! use mlops_core::retrain::{EventTrigger, Trigger as _, TriggerState};
//!
//! let receiver = EventReceiver::new()?;
//! let body = br#"[{"topic": "/subscriptions/s", "id": "1", "eventType": "Microsoft.MachineLearningServices.RunStatusChanged",
//!   "data": {"runTags": {"azureml_modelmonitor_threshold_breached":
//!     "churn_inputs has failed due to one or more features violating metric thresholds"}}}]"#;
//! let received = receiver.receive("POST", &[("Content-Type".into(), "application/json".into())], body)?;
//!
//! let trigger = EventTrigger::new("Microsoft.MachineLearningServices.RunStatusChanged", Duration::from_secs(3600))?;
//! let mut state = TriggerState::default();
//! for breach in EventReceiver::breaches(&received) {
//!     let decision = trigger.evaluate(&state, &breach.signal, "2026-01-01T00:00:00Z".parse()?)?;
//!     assert!(decision.fires() && breach.is_of("churn", "inputs"));
//!     state = decision.state;
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod publish;
pub mod receive;
pub mod topics;

pub use publish::{EventAlertSink, EventPublisher, Published};
pub use receive::EventReceiver;
pub use topics::EventTopics;
