//! Between a reason to retrain and a request to do so: what is known already, what belongs together, what must wait, what it may
//! cost, and when nobody wants it.
//!
//! [`RetrainGates::step`] is a pure function. Keep the [`GatesState`] after every call. Every reason ends in a [`GateRecord`]: also
//! one that was held back, with the gate that did and why.
//!
//! ```
//! use std::time::Duration;
//! use mlops_core::retrain::gates::{CauseKind, GateInput, GatesState, RetrainCause, RetrainGates};
//!
//! let gates = RetrainGates::new("diabetes".parse()?).with_cooldown(Duration::from_secs(86_400));
//! let noon: mlops_core::time::Timestamp = "2026-01-01T12:00:00Z".parse()?;
//! let cause = |id: &str| GateInput::Cause(RetrainCause::new(CauseKind::Drift, "diabetes", id, "age drifted"));
//!
//! let first = gates.step(&GatesState::default(), &cause("monday"), 0, noon)?;
//! let request = first.requested().ok_or("nothing was requested")?;
//! assert_eq!(request.causes[0].reason, "age drifted");
//!
//! let second = gates.step(&first.state, &cause("tuesday"), 0, noon + Duration::from_secs(3_600))?;
//! assert!(second.requested().is_none());
//! assert_eq!(second.records[0].to_string(), "held back by the cooldown: until 2026-01-02T12:00:00Z: age drifted");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod cause;
mod record;
mod rules;
mod step;

pub use cause::{CauseKind, CauseLevel, GateInput, RetrainCause};
pub use record::{Gate, GateOutcome, GateRecord, GatesDecision, GatesState, RetrainRequest};
pub use rules::{Cooldown, GateBlackout, RetrainBudget, RetrainGates, WeekDayName};
