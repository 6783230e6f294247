//! The fake's answers against what Azure's own clients expect: statuses and headers of every operation, and minimal bodies.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use mlops_azure::config::cloud::Audience;
use mlops_azure::fake::{FakeAzure, Schemas};
use mlops_azure::http::{Call, Method, Reply, Service};
use serde_json::{Value, json};

use super::{OP, fresh};

fn read(path: PathBuf) -> Value {
    serde_json::from_slice(&fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))).unwrap()
}

/// A text with every `{name}` in it replaced.
fn filled(azure: &FakeAzure, text: &str) -> String {
    let workspace = azure.workspace();
    let mut out = text.replace("/{scope}", &workspace.id()).replace("/{resourceId}", &workspace.id());
    while let (Some(from), Some(to)) = (out.find('{'), out.find('}')) {
        let value = match &out[from + 1..to] {
            "subscriptionId" | "sub" => workspace.subscription(),
            "resourceGroupName" | "rg" => workspace.resource_group(),
            "workspaceName" | "ws" => workspace.name(),
            "registryName" | "reg" => "contoso-ml",
            "version" | "v" | "featuresetVersion" => "1",
            "guid" => "01234567-89ab-cdef-0123-456789abcdef",
            "location" => "eastus",
            _ => "churn",
        };
        out = format!("{}{value}{}", &out[..from], &out[to + 1..]);
    }
    out
}

/// Makes everything that a resource is below.
fn make_above(azure: &FakeAzure, path: &str) {
    let segments: Vec<&str> = path.split('/').collect();
    for length in (9..segments.len() - 1).step_by(2).filter(|length| length % 2 == 1) {
        let above = segments[..length].join("/");
        if azure.resource(&above).is_none() {
            azure.set_resource(&above, json!({ "properties": {} }));
        }
    }
}

/// The headers of an answer that say that it goes on.
fn goes_on(reply: &Reply) -> Vec<&'static str> {
    ["Azure-AsyncOperation", "Location"].into_iter().filter(|name| reply.header(name).is_some()).collect()
}

fn arm(azure: &FakeAzure) -> Service {
    azure.service("https://management.azure.com".parse().unwrap(), Audience::ResourceManager)
}

/// Source: the operations of azure-mgmt-machinelearningservices, with the statuses that they take and the headers that they read.
#[tokio::test]
async fn every_operation_of_the_management_client_gets_a_status_and_headers_that_it_knows() {
    let Some(types) = crate::types() else { return };
    let ops = read(types.parent().unwrap().join("ops/ops_ml.json"));
    let mut checked = 0;
    for op in ops.as_array().unwrap() {
        let (method, url) = (op["method"].as_str().unwrap(), op["url"].as_str().unwrap());
        let is_resource =
            url.ends_with('}') && (url.contains("/workspaces/{") || url.contains("/registries/{"));
        if !is_resource || method == "POST" {
            continue;
        }
        let azure = fresh();
        azure.registry("contoso-ml");
        let path = filled(&azure, url);
        make_above(&azure, &path);
        let made = azure.resource(&path).is_some();
        let statuses = op["status"].as_array().unwrap().iter().filter_map(Value::as_str);
        let statuses: Vec<&str> = statuses.flat_map(|several| several.split(", ")).collect();
        let allowed: Vec<&str> =
            op["resp_headers"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        let allowed: Vec<&str> =
            allowed.into_iter().filter(|h| ["Azure-AsyncOperation", "Location"].contains(h)).collect();
        // A write twice, where the resource is new and where it is not; all others once, where it is there.
        let times = if method == "PUT" && !made { 2 } else { 1 };
        if method != "PUT" && !made {
            azure.set_resource(&path, json!({ "properties": {} }));
        }
        for _ in 0..times {
            let call = Call::<Value>::new(OP, method.parse::<Method>().unwrap(), path.clone());
            let call = call.query("api-version", "2026-05-01").query("underlyingResourceAction", "Delete");
            let call = match method {
                "GET" | "DELETE" => call,
                // Which members can be changed is another question for each.
                "PATCH" => call.json(&json!({})).unwrap(),
                _ => call.json(&json!({ "properties": {} })).unwrap(),
            };
            let reply = arm(&azure).reply(call).await.unwrap_or_else(|e| panic!("{method} {path}: {e}"));
            let (status, headers) = (reply.status.to_string(), goes_on(&reply));
            assert!(statuses.contains(&status.as_str()), "{method} {url}: {status}, not {statuses:?}");
            assert!(
                headers.iter().all(|h| allowed.contains(h)),
                "{method} {url}: {headers:?}, not {allowed:?}"
            );
            let must_go_on = !allowed.is_empty() && reply.status != 204;
            assert_eq!(!headers.is_empty(), must_go_on, "{method} {url}: {headers:?} of {allowed:?}");
            azure.finish(&path);
            checked += 1;
        }
    }
    println!("{checked} answers are as the management client knows them");
    assert!(checked > 150, "{checked}");
}

/// Source: the minimal bodies, with the statuses and the way of each.
#[tokio::test]
async fn minimal_bodies_are_taken_and_go_on_as_they_say() {
    let Some(types) = crate::types() else { return };
    let schemas = Arc::new(Schemas::open(&types).unwrap());
    let folder = types.parent().unwrap().join("minimal");
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut taken = 0;
    for file in files {
        let name = file.file_stem().unwrap().to_string_lossy().into_owned();
        let item = read(file);
        let (method, url) = (item["method"].as_str().unwrap(), item["url"].as_str().unwrap());
        if method != "PUT" || url.starts_with("https://") || !item["resourceType"].is_string() {
            continue;
        }
        let azure = fresh().judging(schemas.clone());
        azure.registry("contoso-ml");
        let path = filled(&azure, url.split('?').next().unwrap());
        make_above(&azure, &path);
        let call = Call::<Value>::new(OP, Method::PUT, path.clone()).json(&item["body"]).unwrap();
        let call = call.query("api-version", item["apiVersion"].as_str().unwrap());
        let reply =
            arm(&azure).reply(call).await.unwrap_or_else(|e| panic!("{name}: {e} {:?}", azure.refused()));
        let statuses: Vec<u64> =
            item["success"].as_array().unwrap().iter().filter_map(Value::as_u64).collect();
        assert!(statuses.contains(&u64::from(reply.status)), "{name}: {}, not {statuses:?}", reply.status);
        let way: Vec<&str> = item["lro"].as_str().into_iter().collect();
        assert_eq!(goes_on(&reply), way, "{name}");
        azure.finish(&path);
        // What was made is what is read.
        let version = item["apiVersion"].as_str().unwrap();
        let made =
            arm(&azure).call(Call::<Value>::get(OP, path).query("api-version", version)).await.unwrap();
        let kind = format!("{}@{version}", made["type"].as_str().unwrap());
        let report = schemas.judge_answer(&kind, &made).unwrap();
        assert!(report.errors.is_empty(), "{name}: {:?}", report.errors);
        taken += 1;
    }
    println!("{taken} minimal bodies were taken");
    assert!(taken > 40, "{taken}");
}
