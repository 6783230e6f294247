//! Triggers as a configuration file has them.

use serde::{Deserialize, Serialize};

use super::{AnyTrigger, Cooldown, DriftTrigger, EventTrigger, PerformanceTrigger, ScheduleTrigger, memory};
use crate::error::Result;
use crate::retrain::{Signal, Trigger, TriggerDecision, TriggerState};
use crate::time::Timestamp;

/// One of the triggers of this module, by its `type`; a trigger itself.
///
/// ```
/// use mlops_core::retrain::TriggerConfig;
///
/// let config: TriggerConfig = toml::from_str(
///     r#"
///     type = "cooldown"
///     cooldown = "1d"
///
///     [trigger]
///     type = "any"
///
///     [[trigger.of]]
///     type = "drift"
///     monitor = "diabetes"
///     signal = "data_drift"
///     windows = 3
///
///     [[trigger.of]]
///     type = "schedule"
///     start = "2026-01-05T03:00:00Z"
///     every = "7d"
///     misfire = "skip"
///     "#,
/// )?;
/// config.check()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum TriggerConfig {
    /// When a monitor sees drift.
    Drift(DriftTrigger),
    /// When performance has fallen.
    Performance(PerformanceTrigger),
    /// At fixed intervals.
    Schedule(ScheduleTrigger),
    /// When something happened outside.
    Event(EventTrigger),
    /// For whichever reason comes first.
    Any(AnyTrigger<TriggerConfig>),
    /// Not again so soon.
    Cooldown(Box<Cooldown<TriggerConfig>>),
}

impl TriggerConfig {
    /// Checks the options, of those inside too.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) that names the option.
    ///
    /// ```
    /// use mlops_core::retrain::{EventTrigger, TriggerConfig};
    /// assert!(TriggerConfig::Event(EventTrigger::new("")).check().is_err());
    /// ```
    pub fn check(&self) -> Result<()> {
        match self {
            Self::Drift(trigger) => trigger.check(),
            Self::Performance(trigger) => trigger.check(),
            Self::Schedule(trigger) => trigger.check(),
            Self::Event(trigger) => trigger.check(),
            Self::Any(any) => any.of.iter().try_for_each(Self::check),
            Self::Cooldown(held) => {
                let zero = std::time::Duration::ZERO;
                memory::check_duration("Cooldown::evaluate", "cooldown", held.cooldown, zero)?;
                held.trigger.check()
            }
        }
    }
}

impl Trigger for TriggerConfig {
    fn evaluate(&self, state: &TriggerState, signal: &Signal, now: Timestamp) -> Result<TriggerDecision> {
        match self {
            Self::Drift(trigger) => trigger.evaluate(state, signal, now),
            Self::Performance(trigger) => trigger.evaluate(state, signal, now),
            Self::Schedule(trigger) => trigger.evaluate(state, signal, now),
            Self::Event(trigger) => trigger.evaluate(state, signal, now),
            Self::Any(trigger) => trigger.evaluate(state, signal, now),
            Self::Cooldown(trigger) => trigger.evaluate(state, signal, now),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::support::*;
    use super::*;
    use crate::evaluation::Verdict::Fail;

    fn parse(text: &str) -> Result<TriggerConfig, toml::de::Error> {
        toml::from_str(text)
    }

    #[test]
    fn every_type_is_read_and_written() {
        for text in [
            "type = \"drift\"\nmonitor = \"diabetes\"\nsignal = \"drift\"",
            "type = \"performance\"\nmonitor = \"diabetes\"\nsignal = \"accuracy\"\nmin_labelled = 5\ncooldown = \"6h\"",
            "type = \"schedule\"\nstart = \"2026-01-01T00:00:00Z\"\nevery = \"90s\"",
            "type = \"event\"\nkind = \"data.*\"\nsource = \"lake\"",
            "type = \"any\"\nof = [{ type = \"event\", kind = \"*\" }]",
            "type = \"cooldown\"\ncooldown = \"1d\"\n[trigger]\ntype = \"event\"\nkind = \"*\"",
        ] {
            let config = parse(text).unwrap();
            config.check().unwrap();
            let json = serde_json::to_string(&config).unwrap();
            assert_eq!(serde_json::from_str::<TriggerConfig>(&json).unwrap(), config);
        }
    }

    #[test]
    fn what_is_unknown_or_misspelt_is_refused() {
        for text in [
            "type = \"cron\"",
            "kind = \"*\"",
            "type = \"event\"\nkind = \"*\"\ncooldwn = \"1d\"",
            "type = \"event\"\nkind = \"*\"\ncooldown = 5",
            "type = \"drift\"\nmonitor = \"../x\"\nsignal = \"drift\"",
            "type = \"any\"\nof = [{ type = \"event\", kind = \"*\", x = 1 }]",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert!(
            parse("type = \"schedule\"\nstart = \"2026-01-01T00:00:00Z\"\nevery = \"1ms\"")
                .unwrap()
                .check()
                .is_err()
        );
        assert!(parse("type = \"any\"\nof = [{ type = \"event\", kind = \"\" }]").unwrap().check().is_err());
    }

    #[test]
    fn decisions_are_deterministic() {
        let config =
            parse("type = \"any\"\nof = [{ type = \"drift\", monitor = \"diabetes\", signal = \"drift\" }]")
                .unwrap();
        let signal = drift_report(0, Fail);
        let one = config.evaluate(&TriggerState::default(), &signal, at(0)).unwrap();
        assert_eq!(one, config.evaluate(&TriggerState::default(), &signal, at(0)).unwrap());
        assert!(one.fires());
    }
}
