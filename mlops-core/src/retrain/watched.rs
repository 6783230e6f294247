//! The signals that triggers look at, held against the monitors that there are.

use super::Trigger;
use crate::config::hint;
use crate::error::{Error, Result, quote};
use crate::monitor::{MonitorSpec, SignalKind};

/// A signal of a monitor that a trigger looks at.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WatchedSignal {
    /// A signal of this name, of data or prediction drift.
    Drift(String),
    /// A signal of this name, of performance.
    Performance(String),
    /// A signal of this name, whatever it is of.
    Any(String),
}

impl WatchedSignal {
    /// The signal's name.
    pub fn name(&self) -> &str {
        match self {
            Self::Drift(name) | Self::Performance(name) | Self::Any(name) => name,
        }
    }

    /// Whether a signal of this kind, if it has the name, is looked at.
    ///
    /// ```
    /// use mlops_core::monitor::SignalKind;
    /// use mlops_core::retrain::WatchedSignal;
    /// assert!(WatchedSignal::Drift("inputs".into()).takes(&SignalKind::PredictionDrift));
    /// assert!(!WatchedSignal::Performance("inputs".into()).takes(&SignalKind::DataDrift));
    /// ```
    pub fn takes(&self, kind: &SignalKind) -> bool {
        match self {
            Self::Drift(_) => matches!(kind, SignalKind::DataDrift | SignalKind::PredictionDrift),
            Self::Performance(_) => matches!(kind, SignalKind::Performance(_)),
            Self::Any(_) => true,
        }
    }

    /// Refuses monitors of which none has it.
    pub(super) fn check(&self, operation: &'static str, monitors: &[MonitorSpec]) -> Result<()> {
        let signals = || monitors.iter().flat_map(|monitor| &monitor.signals);
        let mut named = signals().filter(|signal| signal.name == self.name());
        let shown = quote(self.name());
        let message = match named.next() {
            Some(first) if self.takes(&first.kind) || named.any(|other| self.takes(&other.kind)) => {
                return Ok(());
            }
            Some(_) => format!("no monitor has a signal `{shown}` of {}", self.kind()),
            None => {
                let known: Vec<&str> = signals().map(|signal| signal.name.as_str()).collect();
                format!("no monitor has a signal `{shown}`{}", hint(self.name(), &known))
            }
        };
        Err(Error::invalid(operation, "signal", message))
    }

    const fn kind(&self) -> &'static str {
        match self {
            Self::Drift(_) => "drift",
            Self::Performance(_) => "performance",
            Self::Any(_) => "any kind",
        }
    }
}

/// What every [`Trigger`] can do besides.
pub trait TriggerExt: Trigger {
    /// Checks that the signals that the trigger [looks at](Trigger::watches) are signals of these monitors, of a kind it looks at.
    ///
    /// A trigger sees reports one by one and cannot tell a name that is misspelt from a signal of another monitor: with such a name it
    /// would never fire, and never say so. Call this where triggers and monitors are put together, with all monitors whose reports
    /// the trigger is shown.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) that names the first signal that no monitor has, with the one that is
    /// near.
    ///
    /// ```
    /// use std::time::Duration;
    /// use mlops_core::monitor::{MonitorSpec, SignalKind, SignalSpec};
    /// use mlops_core::retrain::{DriftTrigger, TriggerExt as _};
    ///
    /// let signals = vec![SignalSpec::new("inputs", SignalKind::DataDrift)];
    /// let monitor = MonitorSpec::new("diabetes".parse()?, "diabetes".parse()?, signals);
    /// let monitors = [monitor];
    /// assert!(DriftTrigger::new("inputs", 2, Duration::ZERO)?.check_monitors(&monitors).is_ok());
    /// let error = DriftTrigger::new("input", 2, Duration::ZERO)?.check_monitors(&monitors).unwrap_err();
    /// assert_eq!(error.message(), "no monitor has a signal `input`; did you mean `inputs`?");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    fn check_monitors(&self, monitors: &[MonitorSpec]) -> Result<()> {
        self.watches().iter().try_for_each(|watched| watched.check("Trigger::check_monitors", monitors))
    }
}

impl<T: Trigger + ?Sized> TriggerExt for T {}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::monitor::{PerformanceRule, QualityRule, SignalSpec};
    use crate::retrain::{AnyTrigger, DriftTrigger, EventTrigger, PerformanceTrigger};

    fn monitor(name: &str, signals: Vec<SignalSpec>) -> MonitorSpec {
        MonitorSpec { name: name.parse().unwrap(), endpoint: "diabetes".parse().unwrap(), signals }
    }

    fn monitors() -> Vec<MonitorSpec> {
        let rule = PerformanceRule { metric: "auc".parse().unwrap(), limit: 0.8, min_labelled: 1 };
        let quality = SignalKind::DataQuality(Box::new(QualityRule::new(vec![])));
        vec![
            monitor(
                "one",
                vec![SignalSpec::new("inputs", SignalKind::DataDrift), SignalSpec::new("rows", quality)],
            ),
            monitor(
                "two",
                vec![
                    SignalSpec::new("said", SignalKind::PredictionDrift),
                    SignalSpec::new("auc", SignalKind::Performance(rule)),
                ],
            ),
        ]
    }

    #[test]
    fn names_and_kinds_are_held_against_all_monitors() {
        let drift = |signal: &str| {
            Arc::new(DriftTrigger::new(signal, 1, Duration::ZERO).unwrap()) as Arc<dyn Trigger>
        };
        let worse = |signal: &str| {
            Arc::new(PerformanceTrigger::new(signal, 1, Duration::ZERO).unwrap()) as Arc<dyn Trigger>
        };
        let events = Arc::new(EventTrigger::new("data.*", Duration::ZERO).unwrap()) as Arc<dyn Trigger>;
        for (trigger, expected) in [
            (drift("inputs"), None),
            (drift("said"), None),
            (worse("auc"), None),
            (events.clone(), None),
            (drift("input"), Some("no monitor has a signal `input`; did you mean `inputs`?")),
            (drift("elsewhere"), Some("no monitor has a signal `elsewhere`")),
            (drift("auc"), Some("no monitor has a signal `auc` of drift")),
            (drift("rows"), Some("no monitor has a signal `rows` of drift")),
            (worse("inputs"), Some("no monitor has a signal `inputs` of performance")),
        ] {
            let any = AnyTrigger::new(vec![events.clone(), drift("inputs"), trigger.clone()]).unwrap();
            let boxed: Box<dyn Trigger> = Box::new(any);
            for checked in [trigger.check_monitors(&monitors()), boxed.check_monitors(&monitors())] {
                let message = checked.map_err(|error| error.message().to_owned()).err();
                assert_eq!(message.as_deref(), expected);
            }
        }
        assert!(drift("inputs").check_monitors(&[]).is_err());
        assert!(events.check_monitors(&[]).is_ok());
    }
}
