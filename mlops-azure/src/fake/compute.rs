//! Computes: what is done with them, their machines, and what there may be in a region.

use reqwest::Method;
use serde_json::{Value, json};

use super::azure::{FakeAzure, REGION};
use super::exchange::{FakeAnswer, FakePart, FakeRequest};
use crate::config::Cloud;

/// The part of [`FakeAzure`] for computes; it is plugged in already.
///
/// A cluster has as many machines as it must have; an instance runs until it is stopped. Clusters are not started and stopped.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct FakeComputes;

impl FakeComputes {
    fn act(request: &FakeRequest, azure: &FakeAzure, name: &str, action: &str) -> Option<FakeAnswer> {
        let id = format!("{}/computes/{name}", azure.workspace().id());
        let mut compute = azure.resource(&id)?;
        let id = compute["id"].as_str().unwrap_or(&id).to_owned();
        let is_cluster = compute["properties"]["computeType"] == "AmlCompute";
        let state = match action {
            "start" | "restart" => "Running",
            "stop" => "Stopped",
            "listnodes" => return Some(nodes(request, &compute)),
            _ => return None,
        };
        if is_cluster {
            let message = format!("The compute '{name}' is a cluster and cannot be told to {action}.");
            return Some(FakeAnswer::user_error(
                400,
                "UserError",
                message,
                &["BadArgument", "ArgumentInvalid"],
            ));
        }
        if azure.is_busy(&id) {
            // Time passes while whoever is refused waits.
            azure.finish(&id);
            return Some(azure.state().turn_away());
        }
        if let Some(own) = compute.pointer_mut("/properties/properties").and_then(Value::as_object_mut) {
            own.insert("state".to_owned(), json!(state));
        }
        azure.set_resource(&id, compute);
        Some(azure.begin(request, &id, Value::Null))
    }
}

/// A page of a cluster's machines.
fn nodes(request: &FakeRequest, compute: &Value) -> FakeAnswer {
    const PAGE: u64 = 2;
    let all = compute.pointer("/properties/properties/currentNodeCount").and_then(Value::as_u64).unwrap_or(0);
    let skip = request.query("$skip").and_then(|skip| skip.parse::<u64>().ok()).unwrap_or(0);
    let node = |number: u64| json!({ "nodeId": format!("tvm-{number}"), "nodeState": "idle", "port": 50_000 + number });
    let page: Vec<Value> = (skip..all.min(skip.saturating_add(PAGE))).map(node).collect();
    let next = skip.saturating_add(PAGE);
    let version = request.query("api-version").unwrap_or_default();
    let origin = request.url.origin().ascii_serialization();
    let link = (next < all).then(|| format!("{origin}{}?api-version={version}&$skip={next}", request.path()));
    FakeAnswer::ok(json!({ "nodes": page, "nextLink": link }))
}

/// What there may be of machines in the region.
fn region(azure: &FakeAzure, what: &str) -> Option<FakeAnswer> {
    let family = |name: &str| json!({ "value": name, "localizedValue": name });
    let value = match what {
        "usages" => {
            let below = format!("{}/computes", azure.workspace().id());
            let count =
                |compute: &Value| compute.pointer("/properties/properties/currentNodeCount")?.as_u64();
            let machines: u64 = azure.list_resources(&below).iter().filter_map(count).sum();
            json!([{
                "name": family("standardDSv2Family"), "unit": "Count", "limit": 100, "currentValue": machines * 4,
                "amlWorkspaceLocation": REGION, "type": "Microsoft.MachineLearningServices/usages",
            }])
        }
        "quotas" => json!([{ "name": family("standardDSv2Family"), "unit": "Count", "limit": 100 }]),
        "vmsizes" => json!([
            {
                "name": "STANDARD_DS3_V2", "family": "standardDSv2Family", "vCPUs": 4, "gpus": 0, "memoryGB": 14,
                "lowPriorityCapable": true, "premiumIO": true, "supportedComputeTypes": ["AmlCompute", "ComputeInstance"],
            },
            {
                "name": "STANDARD_NC6S_V3", "family": "standardNCSv3Family", "vCPUs": 6, "gpus": 1, "memoryGB": 112,
                "lowPriorityCapable": true, "premiumIO": true, "supportedComputeTypes": ["AmlCompute"],
            },
        ]),
        _ => return None,
    };
    Some(FakeAnswer::ok(json!({ "value": value })))
}

impl FakePart for FakeComputes {
    fn answer(&self, request: &FakeRequest, azure: &FakeAzure) -> Option<FakeAnswer> {
        if request.host() != Cloud::Public.resource_manager() {
            return None;
        }
        let path = request.path().to_ascii_lowercase();
        let parts: Vec<&str> = path.split('/').collect();
        match (&request.method, parts.as_slice()) {
            (&Method::POST, [.., "computes", name, action]) => Self::act(request, azure, name, action),
            (&Method::GET, [.., "locations", _, what]) => region(azure, what),
            _ => None,
        }
    }

    fn complete(&self, resource: &mut Value, _: &FakeAzure) {
        let kind = resource["type"].as_str().unwrap_or_default();
        if !kind.eq_ignore_ascii_case("Microsoft.MachineLearningServices/workspaces/computes") {
            return;
        }
        let kind = resource["properties"]["computeType"].clone();
        let Some(own) = resource.pointer_mut("/properties/properties").and_then(Value::as_object_mut) else {
            return;
        };
        if kind == "AmlCompute" {
            let least = own.get("scaleSettings").and_then(|scale| scale.get("minNodeCount")).cloned();
            let least = least.unwrap_or_else(|| json!(0));
            own.insert("currentNodeCount".to_owned(), least.clone());
            own.insert("targetNodeCount".to_owned(), least);
            own.insert("allocationState".to_owned(), json!("Steady"));
        } else if kind == "ComputeInstance" {
            own.entry("state").or_insert_with(|| json!("Running"));
        }
    }
}
