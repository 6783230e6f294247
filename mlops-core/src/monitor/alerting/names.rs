//! The names in rules and routes, held against what there is.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{AlertInput, AlertRule, AlertRules};
use crate::config::hint;
use crate::error::{Error, Result, quote};
use crate::monitor::{AlertSink, MonitorSpec};

impl AlertRules {
    /// Checks that every rule looks at a signal that comes: one of `signals`, or `monitor_signal`, which is what
    /// [`AlertInput::of_monitor`] makes of the reports of these monitors. The labels `monitor` and `signal` of such a rule must be
    /// those of a monitor and of a signal it has.
    ///
    /// [`step`](Self::step) is shown one number after the other and cannot know which ones come: a rule with a misspelt signal
    /// would wait for ever, and only one with [`no_data`](AlertRule::no_data) would say so in the end. Call this where rules and
    /// what they watch are put together. Other labels are not checked: series come and go with their values.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) with the contexts `field` and `id` of the rule, and the name that is near.
    ///
    /// ```
    /// use mlops_core::monitor::alerting::{AlertRoute, AlertRule, AlertRules};
    /// use mlops_core::monitor::OperationReport;
    ///
    /// let rule = |signal| AlertRule::new("errors", signal).with_above(0.05, 0.02);
    /// let rules = |signal| AlertRules::new("diabetes".parse()?, vec![rule(signal)], vec![AlertRoute::new("all", ["inbox"])]);
    /// assert!(rules("error_rate")?.check_signals(OperationReport::SIGNALS, &[]).is_ok());
    /// let error = rules("error_rates")?.check_signals(OperationReport::SIGNALS, &[]).unwrap_err();
    /// assert_eq!(error.message(), "no signal is called `error_rates`; did you mean `error_rate`?");
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn check_signals<'a>(
        &self,
        signals: impl IntoIterator<Item = &'a str>,
        monitors: &[MonitorSpec],
    ) -> Result<()> {
        const OP: &str = "AlertRules::check_signals";
        let mut known: Vec<&str> = signals.into_iter().collect();
        if !monitors.is_empty() {
            known.push(AlertInput::MONITOR_SIGNAL);
        }
        self.rules().iter().try_for_each(|rule| {
            let checked = match known.contains(&rule.signal.as_str()) {
                false => Err(("signal", unknown("no signal is called", &rule.signal, &known))),
                true if rule.signal == AlertInput::MONITOR_SIGNAL => check_monitor(rule, monitors),
                true => Ok(()),
            };
            checked.map_err(|(field, message)| Error::invalid(OP, field, message).with("id", &rule.id))
        })
    }

    /// Checks that every sink of a route is there. [`dispatch`](super::dispatch) finds out only when there is something to tell.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) with the contexts `field` and `id` of the route, and the name that is near.
    ///
    /// ```
    /// use std::collections::BTreeMap;
    /// use std::sync::Arc;
    /// use mlops_core::memory::MemoryAlertSink;
    /// use mlops_core::monitor::AlertSink;
    /// use mlops_core::monitor::alerting::{AlertRoute, AlertRule, AlertRules};
    ///
    /// let inbox: Arc<dyn AlertSink> = Arc::new(MemoryAlertSink::default());
    /// let sinks = BTreeMap::from([("inbox".to_owned(), inbox)]);
    /// let rule = AlertRule::new("errors", "error_rate").with_above(0.05, 0.02);
    /// let rules = AlertRules::new("diabetes".parse()?, vec![rule], vec![AlertRoute::new("all", ["inbx"])])?;
    /// let error = rules.check_sinks(&sinks).unwrap_err();
    /// assert_eq!(error.message(), "no sink is called `inbx`; did you mean `inbox`?");
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn check_sinks(&self, sinks: &BTreeMap<String, Arc<dyn AlertSink>>) -> Result<()> {
        let known: Vec<&str> = sinks.keys().map(String::as_str).collect();
        for route in self.routes() {
            if let Some(sink) = route.sinks.iter().find(|sink| !sinks.contains_key(*sink)) {
                let message = unknown("no sink is called", sink, &known);
                return Err(Error::invalid("AlertRules::check_sinks", "sinks", message).with("id", &route.id));
            }
        }
        Ok(())
    }
}

/// Whether a report of one of the monitors can carry what a rule wants.
fn check_monitor(rule: &AlertRule, monitors: &[MonitorSpec]) -> Result<(), (&'static str, String)> {
    let (monitor, signal) = (rule.labels.get("monitor"), rule.labels.get("signal"));
    let candidates: Vec<&MonitorSpec> =
        monitors.iter().filter(|spec| monitor.is_none_or(|name| spec.name.as_str() == name)).collect();
    if let (true, Some(name)) = (candidates.is_empty(), monitor) {
        let known: Vec<&str> = monitors.iter().map(|spec| spec.name.as_str()).collect();
        return Err(("labels", unknown("no monitor is called", name, &known)));
    }
    let known: Vec<&str> =
        candidates.iter().flat_map(|spec| &spec.signals).map(|signal| signal.name.as_str()).collect();
    match signal.filter(|name| !known.contains(&name.as_str())) {
        None => Ok(()),
        Some(name) => Err(("labels", unknown("no monitor has a signal", name, &known))),
    }
}

fn unknown(what: &str, name: &str, known: &[&str]) -> String {
    format!("{what} `{}`{}", quote(name), hint(name, known))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::alerting::AlertRoute;
    use crate::monitor::{SignalKind, SignalSpec};

    fn monitors() -> Vec<MonitorSpec> {
        [("one", "inputs"), ("two", "said")]
            .map(|(name, signal)| MonitorSpec {
                name: name.parse().unwrap(),
                endpoint: "diabetes".parse().unwrap(),
                signals: vec![SignalSpec::new(signal, SignalKind::DataDrift)],
            })
            .into()
    }

    fn checked(signal: &str, labels: &[(&str, &str)], monitors: &[MonitorSpec]) -> Option<(String, String)> {
        let rule = AlertRule::new("r", signal).with_above(0.5, 0.5);
        let rule = labels.iter().fold(rule, |rule, (name, value)| rule.with_label(*name, *value));
        let routes = vec![AlertRoute::new("all", ["inbox"])];
        let rules = AlertRules::new("diabetes".parse().unwrap(), vec![rule], routes).unwrap();
        let error = rules.check_signals(["error_rate", "rows"], monitors).err()?;
        assert_eq!(error.context("id"), Some("r"));
        Some((error.context("field").unwrap().to_owned(), error.message().to_owned()))
    }

    #[test]
    fn a_rule_on_what_never_comes_is_refused() {
        let wrong = |field: &str, message: &str| Some((field.to_owned(), message.to_owned()));
        assert_eq!(checked("rows", &[("deployment", "blue")], &[]), None);
        assert_eq!(
            checked("rosw", &[], &[]),
            wrong("signal", "no signal is called `rosw`; did you mean `rows`?")
        );
        assert_eq!(
            checked("monitor_signal", &[], &[]),
            wrong("signal", "no signal is called `monitor_signal`")
        );
        assert_eq!(checked("monitor_signal", &[], &monitors()), None);
        assert_eq!(checked("monitor_signal", &[("monitor", "two"), ("signal", "said")], &monitors()), None);
        assert_eq!(checked("monitor_signal", &[("signal", "inputs")], &monitors()), None);
        assert_eq!(
            checked("monitor_signal", &[("monitor", "tow")], &monitors()),
            wrong("labels", "no monitor is called `tow`; did you mean `two`?")
        );
        assert_eq!(
            checked("monitor_signal", &[("monitor", "two"), ("signal", "inputs")], &monitors()),
            wrong("labels", "no monitor has a signal `inputs`")
        );
    }

    #[test]
    fn what_reports_make_is_known_by_its_name() {
        use crate::evaluation::Verdict;
        use crate::monitor::{MonitorReport, SignalOutcome, SignalReport, Window};
        let (start, end) = ("2026-01-01T00:00:00Z".parse().unwrap(), "2026-01-02T00:00:00Z".parse().unwrap());
        let found = SignalReport::new(
            &SignalSpec::new("inputs", SignalKind::DataDrift),
            Verdict::Pass,
            "calm",
            SignalOutcome::Failed(String::new()),
        );
        let window = Window::new(start, end).unwrap();
        let report = MonitorReport::new("one".parse().unwrap(), window, end, 9, vec![found]);
        let [AlertInput::Observed { signal, labels, .. }] = &AlertInput::of_monitor(&report)[..] else {
            panic!("one signal is one number");
        };
        let labels: Vec<(&str, &str)> =
            labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(checked(signal, &labels, &monitors()), None);
    }
}
