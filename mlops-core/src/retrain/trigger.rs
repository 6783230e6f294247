//! The trait of triggers.

use std::fmt::Debug;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::WatchedSignal;
use crate::error::Result;
use crate::monitor::MonitorReport;
use crate::time::Timestamp;

/// Something that may be a reason to retrain.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Signal {
    /// A monitor looked.
    Monitored(Box<MonitorReport>),
    /// Something happened outside.
    Event {
        /// Unique within its source; the same event may arrive more than once.
        id: String,
        /// What it is, as a dotted type: `data.registered`.
        kind: String,
        /// Where it comes from.
        source: String,
    },
    /// Time passed.
    Tick,
}

/// What a trigger remembers from one call to the next; kept by the caller, serialisable.
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TriggerState {
    /// When it last fired.
    pub last_fired: Option<Timestamp>,
    /// How many windows in a row were bad.
    pub bad_windows: u32,
    /// When it last looked.
    pub last_seen: Option<Timestamp>,
    /// The ids of events seen lately, as `source` and `id`, oldest first.
    pub seen_events: Vec<(String, String)>,
    /// State of the triggers inside, for triggers made of others.
    pub inner: Vec<TriggerState>,
}

/// What a trigger decided.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TriggerOutcome {
    /// Retrain, for this reason.
    Fire(String),
    /// There was a reason, but something held it back: cooldown, too few bad windows, a duplicate.
    Suppressed(String),
    /// There was no reason.
    Quiet,
}

/// A decision and what to remember. Suppressed ones are worth recording too.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TriggerDecision {
    /// What was decided.
    pub outcome: TriggerOutcome,
    /// What to hand to the next call.
    pub state: TriggerState,
}

impl TriggerDecision {
    /// This outcome, and the state to keep.
    pub fn new(outcome: TriggerOutcome, state: TriggerState) -> Self {
        Self { outcome, state }
    }

    /// Whether to retrain.
    pub fn fires(&self) -> bool {
        matches!(self.outcome, TriggerOutcome::Fire(_))
    }
}

/// Decides when to retrain.
///
/// # Contract
/// * `evaluate` is a pure function: the same state, signal and time give the same decision. (`decisions_are_deterministic`)
/// * The same event again does not fire again. (`events_fire_once`)
/// * After it fired it is held back until its cooldown has passed; what is held back is reported as suppressed, with the
///   reason. (`cooldown_holds_back`)
/// * Insufficient data is never a reason. (`insufficient_data_is_no_reason`)
/// * A clock that goes back does no harm: it fires neither twice nor never again. (`clock_going_back_does_no_harm`)
/// * A bad window of a signal that `watches` names is not passed over: it fires, or is suppressed with a reason.
///   (`what_it_watches_is_heard`)
pub trait Trigger: Debug + Send + Sync + 'static {
    /// Looks at a signal.
    fn evaluate(&self, state: &TriggerState, signal: &Signal, now: Timestamp) -> Result<TriggerDecision>;

    /// The signals of monitors that it looks at; none where it looks at none, or does not say. With it names can be
    /// [held against the monitors](super::TriggerExt::check_monitors) that there are.
    fn watches(&self) -> Vec<WatchedSignal> {
        Vec::new()
    }
}

macro_rules! forward {
    ($pointer:ident) => {
        #[deny(clippy::missing_trait_methods)]
        impl<T: Trigger + ?Sized> Trigger for $pointer<T> {
            fn evaluate(
                &self,
                state: &TriggerState,
                signal: &Signal,
                now: Timestamp,
            ) -> Result<TriggerDecision> {
                (**self).evaluate(state, signal, now)
            }

            fn watches(&self) -> Vec<WatchedSignal> {
                (**self).watches()
            }
        }
    };
}
forward!(Arc);
forward!(Box);

/// Never called: that it compiles says that the trait can be an object.
#[allow(dead_code)]
fn is_object_safe(_: &dyn Trigger) {}
