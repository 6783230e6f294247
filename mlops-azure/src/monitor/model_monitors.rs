//! Model monitors as resources.

use futures_util::{StreamExt as _, TryStreamExt as _};
use mlops_core::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::http::{Operation, Service};
use crate::wire::monitor::{ModelMonitor, ProductionData, Signal, SignalType};
use crate::wire::text::without_nulls;
use crate::wire::{At, Nothing, Place, Properties, Resource};

/// The model monitors of a workspace.
///
/// Writes are sent without a look before: to make a monitor that is there changes it. There is no compare-and-set: of two who
/// [`disable`](Self::disable) and change at once, the last one wins.
///
/// See [the module](super) for versions, permissions and what differs from local monitors.
#[derive(Clone, Debug)]
pub struct ModelMonitors {
    service: Service,
    place: Place,
}

impl ModelMonitors {
    /// The monitors of a workspace, over a client of Resource Manager.
    pub fn new(service: Service, place: Place) -> Self {
        Self { service, place }
    }

    /// Makes a monitor or writes the whole of one, and waits until Azure has it.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for what Azure would refuse and for what it would take and never compute, as by [`check`]; those of
    /// [`Service::call`] and of the operation.
    pub async fn create(&self, name: &str, monitor: &ModelMonitor) -> Result<Resource<ModelMonitor>> {
        self.begin_create(name, monitor).await?.wait().await
    }

    /// Begins to make a monitor or to write the whole of one.
    ///
    /// # Errors
    /// As of [`create`](Self::create).
    pub async fn begin_create(
        &self,
        name: &str,
        monitor: &ModelMonitor,
    ) -> Result<Operation<Resource<ModelMonitor>>> {
        const OP: &str = "ModelMonitors::create";
        check(OP, monitor)?;
        self.service.begin(self.at(name)?.put(OP, &Resource::new(monitor.clone()))?).await
    }

    /// Reads a monitor.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] for none, [`ErrorKind::Conflict`] for a schedule that is no monitor.
    pub async fn get(&self, name: &str) -> Result<Resource<ModelMonitor>> {
        const OP: &str = "ModelMonitors::get";
        let read = self.service.call(self.schedule(name)?.get(OP)).await?;
        match monitor(OP, read)? {
            Some(monitor) => Ok(monitor),
            None => Err(Error::new(ErrorKind::Conflict, OP, "the schedule is no monitor").with("name", name)),
        }
    }

    /// All monitors, also those that are [disabled](Self::disable); schedules that are none are passed over. So are monitors that are not
    /// of the stable shape, which other clients can make: the log warns of each by its name, and [`get`](Self::get) says what is odd.
    ///
    /// # Errors
    /// Those of [`Service::call`].
    pub async fn list(&self) -> Result<Vec<Resource<ModelMonitor>>> {
        const OP: &str = "ModelMonitors::list";
        // If nothing is said, the service may list those alone that are on.
        let call = self.schedule("all")?.list(OP)?.query("listViewType", "All");
        let items = self.service.items(call).map(|item| item.map(|item| read_listed(OP, item)));
        items.try_filter_map(|monitor| std::future::ready(Ok(monitor))).try_collect().await
    }

    /// Stops a monitor without removing it: reads it and writes it back.
    ///
    /// # Errors
    /// As of [`get`](Self::get) and [`create`](Self::create).
    pub async fn disable(&self, name: &str) -> Result<Resource<ModelMonitor>> {
        self.switch("ModelMonitors::disable", name, false).await
    }

    /// Lets a monitor look again.
    ///
    /// # Errors
    /// As of [`disable`](Self::disable).
    pub async fn enable(&self, name: &str) -> Result<Resource<ModelMonitor>> {
        self.switch("ModelMonitors::enable", name, true).await
    }

    /// Removes a monitor; what is not there is removed.
    ///
    /// # Errors
    /// Those of [`Service::call`] and of the operation.
    pub async fn delete(&self, name: &str) -> Result<()> {
        const OP: &str = "ModelMonitors::delete";
        let begun = self.service.begin(self.at(name)?.delete(OP)).await;
        match begun {
            Ok(operation) => {
                let _: Nothing = operation.wait().await?;
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn switch(&self, operation: &'static str, name: &str, on: bool) -> Result<Resource<ModelMonitor>> {
        let mut monitor = self.get(name).await?;
        if monitor.properties.is_enabled.unwrap_or(true) == on {
            return Ok(monitor);
        }
        monitor.properties.is_enabled = Some(on);
        self.service.begin(self.at(name)?.put(operation, &monitor)?).await?.wait().await
    }

    fn at(&self, name: &str) -> Result<At<Resource<ModelMonitor>>> {
        self.place.at(&["schedules", name])
    }

    fn schedule(&self, name: &str) -> Result<At<Resource<AnySchedule>>> {
        self.place.at(&["schedules", name])
    }
}

/// A schedule of any action.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct AnySchedule(Map<String, Value>);

impl Properties for AnySchedule {
    const READ_ONLY: &'static [&'static str] = ModelMonitor::READ_ONLY;
}

/// A schedule of a list as a monitor, if it is one that can be read.
fn read_listed(operation: &'static str, read: Resource<AnySchedule>) -> Option<Resource<ModelMonitor>> {
    let name = read.name.clone().unwrap_or_default();
    monitor(operation, read).unwrap_or_else(|error| {
        tracing::warn!(operation, name, %error, "a monitor is left out of the list: it cannot be read");
        None
    })
}

/// A schedule as a monitor, if it is one.
fn monitor(operation: &'static str, read: Resource<AnySchedule>) -> Result<Option<Resource<ModelMonitor>>> {
    let kind = read.properties.0.get("action").and_then(|action| action.get("actionType"));
    if !kind.and_then(Value::as_str).is_some_and(|kind| kind.eq_ignore_ascii_case("CreateMonitor")) {
        return Ok(None);
    }
    let bad = |e: serde_json::Error| {
        Error::new(ErrorKind::Protocol, operation, "the monitor is not of the stable shape").with_source(e)
    };
    let value = serde_json::to_value(read).map_err(bad)?;
    let parsed =
        serde_json::from_value(value.clone()).or_else(|_| serde_json::from_value(without_nulls(&value)));
    parsed.map(Some).map_err(bad)
}

/// Checks what Azure would refuse with a message that says little, or take and never compute.
///
/// # Errors
/// [`ErrorKind::InvalidInput`] that names the signal: no signals; a metric that does not fit the signal or the kind of feature; a
/// threshold that is not finite; attribution drift without a target column or with other than two data sets; an asset without an
/// address; [`ErrorKind::Unsupported`] for model performance.
///
/// ```
/// use mlops_azure::monitor::model_monitors::check;
/// use mlops_azure::wire::job::input::ValueType;
/// use mlops_azure::wire::monitor::*;
/// use mlops_azure::wire::schedule_trigger::{Frequency, ScheduleTrigger};
///
/// let table = InputData::fixed(ValueType::MlTable, "azureml:train:1");
/// let chi2 = [MetricThreshold::numerical(MonitorMetric::PearsonsChiSquaredTest, 0.05)];
/// let definition = MonitorDefinition::new(MonitorCompute::spark("standard_e4s_v3", "3.4"))
///     .with_signal("inputs", Signal::data_drift(table.clone(), table, chi2));
/// let monitor = ModelMonitor::new(ScheduleTrigger::every(1, Frequency::Day)?, definition);
/// assert_eq!(check("op", &monitor).unwrap_err().context("metric"), Some("PearsonsChiSquaredTest"));
/// # Ok::<(), mlops_core::Error>(())
/// ```
pub fn check(operation: &'static str, monitor: &ModelMonitor) -> Result<()> {
    let definition = monitor.definition();
    if definition.signals.is_empty() {
        return Err(Error::invalid(operation, "signals", "a monitor needs at least one signal"));
    }
    for (name, signal) in &definition.signals {
        check_signal(operation, signal).map_err(|error| error.with("signal", name))?;
    }
    Ok(())
}

fn check_signal(operation: &'static str, signal: &Signal) -> Result<()> {
    let bad = |field: &'static str, reason: &str| Err(Error::invalid(operation, field, reason.to_owned()));
    if let SignalType::Other(name) = &signal.signal_type
        && name.eq_ignore_ascii_case("ModelPerformance")
    {
        let missing = "a signal of model performance: the stable version of the service has none";
        return Err(Error::unsupported(operation, missing));
    }
    let thresholds = signal.metric_thresholds.iter().flatten().chain(&signal.metric_threshold);
    let mut count = 0_usize;
    for threshold in thresholds {
        count += 1;
        if !threshold.metric.fits(&signal.signal_type, threshold.data_type.as_ref()) {
            let error =
                Error::invalid(operation, "metric", "does not fit the signal and the kind of feature");
            let kind = threshold.data_type.as_ref().map_or("none", |kind| kind.as_str());
            return Err(error.with("metric", &threshold.metric).with("kind", kind));
        }
        if threshold.value().is_some_and(|value| !value.is_finite()) {
            return bad("threshold", "must be finite");
        }
    }
    if count == 0 {
        return bad("metric_thresholds", "a signal needs at least one");
    }
    let production = match &signal.production_data {
        None => &[][..],
        Some(ProductionData::One(data)) => std::slice::from_ref(&**data),
        Some(ProductionData::Several(data)) => data,
    };
    let assets = signal.input_assets.iter().flat_map(|assets| assets.values());
    if production.iter().chain(&signal.reference_data).chain(assets).any(|data| data.uri.trim().is_empty()) {
        return bad("uri", "an asset has an address");
    }
    match signal.signal_type {
        SignalType::Custom if signal.component_id.as_deref().unwrap_or_default().trim().is_empty() => {
            bad("component_id", "a custom signal has a component")
        }
        SignalType::Custom => Ok(()),
        _ if production.is_empty() || signal.reference_data.is_none() => {
            bad("production_data", "a signal compares production data with reference data")
        }
        SignalType::FeatureAttributionDrift => {
            let settings = signal.feature_importance_settings.as_ref();
            match settings.and_then(|settings| settings.target_column.as_deref()) {
                None | Some("") => bad("target_column", "attribution drift needs to know what is predicted"),
                Some(_) if production.len() != 2 => {
                    bad("production_data", "attribution drift takes two data sets: inputs and outputs")
                }
                Some(_) => Ok(()),
            }
        }
        _ if production.len() != 1 => bad("production_data", "takes one data set"),
        _ => Ok(()),
    }
}
