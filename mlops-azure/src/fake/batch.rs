//! Batch endpoints: their rules, and jobs that finish.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use reqwest::Method;
use serde_json::{Map, Value, json};

use super::azure::{FakeAzure, REGION};
use super::exchange::{FakeAnswer, FakePart, FakeRequest};
use super::path::ArmPath;
use crate::config::cloud::Audience;

/// The part of a [`FakeAzure`] behind batch endpoints. Clones are the same part.
///
/// A call makes a job, once for each repeatability id; the job is found running by its first looks and then over, with an output
/// `score`. Inputs are checked as Azure does: their types are spelt `UriFile` and `UriFolder` here. Nothing is computed.
#[derive(Clone, Default)]
pub struct FakeBatch(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// Jobs by their repeatability ids.
    calls: BTreeMap<String, String>,
    /// How many more looks find a job running, and how it ends.
    jobs: BTreeMap<String, (u32, &'static str)>,
    made: u32,
    failing: u32,
}

/// How many looks find a job running.
const LOOKS: u32 = 2;

impl FakeBatch {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next so many jobs fail.
    pub fn fail_jobs(&self, jobs: u32) {
        self.state().failing = jobs;
    }

    /// How many jobs were made.
    pub fn jobs(&self) -> u32 {
        self.state().made
    }

    fn invoke(&self, request: &FakeRequest, azure: &FakeAzure, endpoint: &str) -> Option<FakeAnswer> {
        let id = format!("{}/batchEndpoints/{endpoint}", azure.workspace().id());
        let resource = azure.resource(&id)?;
        if let Some(refused) = azure.refuse_token(request, Audience::MachineLearning) {
            return Some(refused);
        }
        let segments = request.segments();
        match (&request.method, segments.as_slice()) {
            (&Method::POST, ["jobs"]) => {}
            (&Method::GET, ["jobs", name]) => {
                let job = format!("{}/jobs/{name}", azure.workspace().id());
                self.look(azure, &job);
                return azure.resource(&job).map(FakeAnswer::ok);
            }
            _ => return None,
        }
        if let Some(refused) = azure.refuse_body(request).filter(|_| request.method == Method::POST) {
            return Some(refused);
        }
        let named = request.header("azureml-model-deployment").map(str::to_owned);
        let default = resource.pointer("/properties/defaults/deploymentName").and_then(Value::as_str);
        let deployment = named.or(default.map(str::to_owned));
        let there = |name: &String| azure.resource(&format!("{id}/deployments/{name}")).is_some();
        let Some(deployment) = deployment.filter(there) else {
            let message = "The endpoint has no such deployment, and no default.";
            return Some(FakeAnswer::error(404, "DeploymentNotFound", message));
        };
        Some(self.call(request, azure, &deployment).unwrap_or_else(|refused| refused))
    }

    fn call(
        &self,
        request: &FakeRequest,
        azure: &FakeAzure,
        deployment: &str,
    ) -> Result<FakeAnswer, FakeAnswer> {
        let refused = |message: &str| FakeAnswer::user_error(400, "UserError", message, &["BadArgument"]);
        let body = request.json();
        let none = Map::new();
        let inputs = body.pointer("/properties/inputData").and_then(Value::as_object).unwrap_or(&none);
        if inputs.is_empty() {
            return Err(refused("The input data are missing."));
        }
        let outputs = body.pointer("/properties/outputData").and_then(Value::as_object).unwrap_or(&none);
        let outputs = as_of_job(outputs, "jobOutputType");
        let key = request.header("repeatability_request-id").map(str::to_owned);
        let mut state = self.state();
        let known = key.as_ref().and_then(|key| state.calls.get(key)).cloned();
        let name = match known {
            Some(name) => name,
            None => {
                state.made += 1;
                let name = format!("batchjob-{}", state.made);
                let end = if state.failing > 0 { "Failed" } else { "Completed" };
                state.failing = state.failing.saturating_sub(1);
                state.jobs.insert(name.clone(), (LOOKS, end));
                if let Some(key) = key {
                    state.calls.insert(key, name.clone());
                }
                name
            }
        };
        drop(state);
        let id = format!("{}/jobs/{name}", azure.workspace().id());
        if azure.resource(&id).is_none() {
            let properties = json!({
                "jobType": "Pipeline", "status": "Running", "displayName": deployment,
                "inputs": as_of_job(inputs, "jobInputType"), "outputs": outputs,
                "properties": { "azureml.deploymentname": deployment },
            });
            azure.set_resource(&id, json!({ "properties": properties }));
        }
        let job = azure.resource(&id).unwrap_or_default();
        Ok(FakeAnswer::json(201, job))
    }

    /// A look at a job, which may be its last one running.
    fn look(&self, azure: &FakeAzure, id: &str) {
        let Some(name) = id.rsplit('/').next() else { return };
        let mut state = self.state();
        let end = match state.jobs.get_mut(name) {
            Some((0, end)) => *end,
            Some((left, _)) => {
                *left -= 1;
                return;
            }
            None => return,
        };
        state.jobs.remove(name);
        drop(state);
        let Some(mut job) = azure.resource(id) else { return };
        let uri = format!("azureml://datastores/workspaceblobstore/paths/azureml/{name}/score/");
        job["properties"]["status"] = json!(end);
        let outputs = job["properties"]["outputs"].as_object_mut().filter(|outputs| !outputs.is_empty());
        match outputs {
            _ if end != "Completed" => {}
            // What nobody chose a place for is where the service puts it.
            Some(outputs) => outputs.values_mut().for_each(|output| {
                if output.get("uri").is_none_or(Value::is_null) {
                    output["uri"] = json!(uri);
                }
            }),
            None => {
                job["properties"]["outputs"] =
                    json!({ "score": { "jobOutputType": "uri_folder", "uri": uri } })
            }
        }
        azure.set_resource(id, job);
    }
}

/// Inputs or outputs of a call as its job has them: their types are spelt otherwise there.
fn as_of_job(values: &Map<String, Value>, kind: &str) -> Map<String, Value> {
    let spelt = |text: &str| {
        Some(match text {
            "Literal" => "literal",
            "UriFile" => "uri_file",
            "UriFolder" => "uri_folder",
            "MLTable" => "mltable",
            "CustomModel" => "custom_model",
            "MLFlowModel" => "mlflow_model",
            "TritonModel" => "triton_model",
            _ => return None,
        })
    };
    let mut values = values.clone();
    for value in values.values_mut() {
        if let Some(text) = value.get(kind).and_then(Value::as_str).and_then(spelt) {
            value[kind] = json!(text);
        }
    }
    values
}

impl FakePart for FakeBatch {
    fn answer(&self, request: &FakeRequest, azure: &FakeAzure) -> Option<FakeAnswer> {
        let suffix = format!(".{REGION}.inference.ml.azure.com");
        if let Some(endpoint) = request.host().strip_suffix(&suffix) {
            return self.invoke(request, azure, endpoint);
        }
        let path = ArmPath::parse(request.path())?;
        let kind = path.is_machine_learning().then(|| path.kind())?;
        if request.method == Method::GET && path.is_resource() && kind == "workspaces/jobs" {
            self.look(azure, &path.path);
        }
        if request.method != Method::PUT || kind != "workspaces/batchendpoints" {
            return None;
        }
        let body = request.json();
        let default = body.pointer("/properties/defaults/deploymentName").and_then(Value::as_str)?;
        match azure.resource(&format!("{}/deployments/{default}", path.path)) {
            Some(_) => None,
            None => {
                let message = format!("The default deployment '{default}' is not there.");
                Some(FakeAnswer::user_error(400, "UserError", message, &["BadArgument"]))
            }
        }
    }

    fn complete(&self, resource: &mut Value, _: &FakeAzure) {
        let Some(path) = resource["id"].as_str().and_then(ArmPath::parse) else { return };
        if !path.is_machine_learning() || path.kind() != "workspaces/batchendpoints" {
            return;
        }
        if let Some(properties) = resource.get_mut("properties").and_then(Value::as_object_mut) {
            let host =
                format!("https://{}.{REGION}.inference.ml.azure.com", path.name().to_ascii_lowercase());
            properties.entry("scoringUri").or_insert_with(|| json!(format!("{host}/jobs")));
        }
    }
}

impl fmt::Debug for FakeBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FakeBatch { .. }")
    }
}
