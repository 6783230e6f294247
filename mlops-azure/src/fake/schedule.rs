//! Schedules: which are listed.

use reqwest::Method;
use serde_json::{Value, json};

use super::azure::FakeAzure;
use super::exchange::{FakeAnswer, FakePart, FakeRequest};
use crate::config::Cloud;

/// The part of [`FakeAzure`] for schedules; it is plugged in already. It fires nothing.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct FakeSchedules;

/// Whether a schedule is on; one that says nothing is.
fn is_on(schedule: &Value) -> bool {
    schedule.pointer("/properties/isEnabled").and_then(Value::as_bool).unwrap_or(true)
}

impl FakePart for FakeSchedules {
    fn answer(&self, request: &FakeRequest, azure: &FakeAzure) -> Option<FakeAnswer> {
        if request.host() != Cloud::Public.resource_manager() {
            return None;
        }
        let root = format!("{}/schedules", azure.workspace().id()).to_ascii_lowercase();
        let path = request.path().to_ascii_lowercase();
        let below = path.strip_prefix(&root)?.trim_matches('/').to_owned();
        match (&request.method, below.as_str()) {
            (&Method::GET, "") => {
                let view = request.query("listViewType").unwrap_or_default().to_ascii_lowercase();
                // All of them are a list as any other. If nothing is said, they are those that are on.
                let wanted = match view.as_str() {
                    "" | "enabledonly" => true,
                    "disabledonly" => false,
                    _ => return None,
                };
                let all = azure.list_resources(&root).into_iter();
                let value: Vec<Value> = all.filter(|schedule| is_on(schedule) == wanted).collect();
                Some(FakeAnswer::ok(json!({ "value": value })))
            }
            _ => None,
        }
    }

    fn complete(&self, resource: &mut Value, _: &FakeAzure) {
        let kind = resource["type"].as_str().unwrap_or_default();
        let is_ours = kind.eq_ignore_ascii_case("Microsoft.MachineLearningServices/workspaces/schedules");
        if let Some(properties) = resource["properties"].as_object_mut().filter(|_| is_ours) {
            properties.entry("isEnabled").or_insert_with(|| json!(true));
        }
    }
}
