//! Model monitors that find what a test tells them to.

use mlops_core::{Error, Result};
use serde_json::{Value, json};

use super::azure::FakeAzure;
use super::event_grid::FakeEventGrid;
use crate::wire::event::{BREACH_TEXT, Event, RUN_STATUS_CHANGED};

/// Has a model monitor of a fake find that a signal is over its threshold: an event is put in line for the subscriptions that take it, as
/// the service does when a monitor's run ends. Says the event's id.
///
/// A monitor that is disabled, is still being made, or does not notify of this signal raises none: then it is `None`.
///
/// # Errors
/// [`ErrorKind::NotFound`](mlops_core::ErrorKind::NotFound) for a monitor that is not there, or has no such signal.
pub fn breach(
    azure: &FakeAzure,
    grid: &FakeEventGrid,
    monitor: &str,
    signal: &str,
) -> Result<Option<String>> {
    const OP: &str = "fake::breach";
    let workspace = azure.workspace().id();
    let resource = azure.resource(&format!("{workspace}/schedules/{monitor}"));
    let resource = resource.ok_or_else(|| Error::not_found(OP, "monitor", monitor))?;
    let found =
        resource.pointer("/properties/action/monitorDefinition/signals").and_then(|all| all.get(signal));
    let found = found.ok_or_else(|| Error::not_found(OP, "signal", signal))?;
    let notifies = found.get("notificationTypes").and_then(Value::as_array);
    let notifies = notifies.into_iter().flatten().any(|kind| kind == "AmlNotification");
    let enabled = resource.pointer("/properties/isEnabled") != Some(&json!(false));
    let made = resource.pointer("/properties/provisioningState") == Some(&json!("Succeeded"));
    if !(notifies && enabled && made) {
        return Ok(None);
    }
    let id = uuid::Uuid::new_v4().to_string();
    let run = format!("{monitor}-{id}");
    let event = Event::new(&id, workspace, RUN_STATUS_CHANGED, azure.now())
        .about(format!("experiments/0fa9dfaa/runs/{run}"))
        .with_data(json!({
            "experimentId": "0fa9dfaa", "experimentName": monitor, "runId": run, "runType": "azureml.PipelineRun",
            "runTags": { "azureml_modelmonitor_threshold_breached": format!("{monitor}_{signal} {BREACH_TEXT}") },
            "runProperties": {}, "runStatus": "failed",
        }));
    grid.emit(azure, &event);
    Ok(Some(id))
}
