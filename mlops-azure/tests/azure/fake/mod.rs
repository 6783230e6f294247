//! The fake itself: it answers as Azure does, the faults that it is told to make included.

mod assets;
mod bodies;
mod contract;
mod faults;
mod listener;
mod operations;

use std::time::Duration;

use futures_util::TryStreamExt as _;
use mlops_azure::config::Cloud;
use mlops_azure::config::cloud::Audience;
use mlops_azure::fake::{FakeAnswer, FakeAzure, FakePart, FakeRequest};
use mlops_azure::governance::KeyVault;
use mlops_azure::http::{Call, Method, Url};
use mlops_azure::wire::model::ModelType;
use mlops_azure::wire::{DataType, DataVersion, ModelVersion, Resource};
use mlops_core::governance::{Secret, SecretStore as _};
use mlops_core::{ErrorKind, SecretName};
use serde_json::{Value, json};

const OP: &str = "test";
const VERSION: &str = "2026-05-01";

/// A fake without parts: its own rules alone.
fn fresh() -> FakeAzure {
    FakeAzure::new().without_parts()
}

/// A call to something below the workspace.
fn call(azure: &FakeAzure, method: Method, below: &str) -> Call<Value> {
    Call::new(OP, method, format!("{}{below}", azure.workspace().id())).query("api-version", VERSION)
}

fn put(azure: &FakeAzure, below: &str, body: &Value) -> Call<Value> {
    call(azure, Method::PUT, below).json(body).unwrap()
}

async fn kind_of(azure: &FakeAzure, call: Call<Value>) -> ErrorKind {
    azure.arm().call(call).await.unwrap_err().kind()
}

fn model(path: &str) -> Resource<ModelVersion> {
    Resource::new(ModelVersion::new(
        ModelType::Custom,
        format!("azureml://datastores/workspaceblobstore/paths/{path}"),
    ))
}

#[tokio::test]
async fn a_resource_is_made_read_changed_listed_and_removed() {
    let azure = fresh();
    let (arm, workspace) = (azure.arm(), azure.workspace().id());
    let one = azure.place().model("churn", "1").unwrap();
    assert_eq!(arm.reply(one.put(OP, &model("a")).unwrap()).await.unwrap().status, 201);
    let mut read = arm.call(one.get(OP)).await.unwrap();
    assert_eq!((read.id.as_deref(), read.name.as_deref()), (Some(one.id()), Some("1")));
    assert!(read.system_data.is_some());
    read.properties.description = Some("the first".into());
    assert_eq!(arm.reply(one.put(OP, &read).unwrap()).await.unwrap().status, 200);
    // Ids have no case.
    let loud = Call::<Value>::get(OP, one.id().to_uppercase().replace("/SUBSCRIPTIONS", "/subscriptions"));
    let loud = arm.call(loud.query("api-version", VERSION)).await.unwrap();
    assert_eq!(
        (loud["id"].as_str(), loud["properties"]["description"].as_str()),
        (Some(one.id()), Some("the first"))
    );
    for version in 2..=12 {
        let at = azure.place().model("churn", &version.to_string()).unwrap();
        arm.call(at.put(OP, &model("a")).unwrap()).await.unwrap();
    }
    azure.forget_requests();
    let list: Vec<_> = arm.items(one.list(OP).unwrap()).try_collect().await.unwrap();
    let names: Vec<_> = list.iter().filter_map(|m| m.name.clone()).collect();
    assert_eq!(names, (1..=12).rev().map(|n| n.to_string()).collect::<Vec<_>>());
    assert_eq!(azure.count(), 3, "{:?}", azure.requests());
    assert!(azure.requests()[2].ends_with("&$skip=10"), "{:?}", azure.requests());
    assert_eq!(arm.reply(one.delete(OP)).await.unwrap().status, 200);
    assert_eq!(arm.reply(one.delete(OP)).await.unwrap().status, 204);
    assert_eq!(arm.call(one.get(OP)).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(azure.list_resources(&format!("{workspace}/models/churn/versions")).len(), 11);
}

#[tokio::test]
async fn what_resource_manager_does_not_take_is_refused() {
    let azure = fresh();
    let get = |path: &str| Call::<Value>::get(OP, path.to_owned());
    let workspace = azure.workspace().id();
    for version in ["2020-01-01", "latest", ""] {
        let call = get(&workspace).query("api-version", version);
        assert_eq!(kind_of(&azure, call).await, ErrorKind::InvalidInput, "{version}");
    }
    assert_eq!(kind_of(&azure, get(&workspace)).await, ErrorKind::InvalidInput);
    for (from, to) in
        [("0000-000000000000", "0000-000000000001"), ("rg-fake", "rg-none"), ("mlw-fake", "mlw-none")]
    {
        let call = get(&format!("{}/models", workspace.replace(from, to))).query("api-version", VERSION);
        assert_eq!(kind_of(&azure, call).await, ErrorKind::NotFound, "{to}");
    }
    assert_eq!(
        kind_of(&azure, put(&azure, "/models/m/versions/1", &json!([]))).await,
        ErrorKind::InvalidInput
    );
    assert_eq!(
        kind_of(&azure, put(&azure, "/onlineEndpoints/-x", &json!({}))).await,
        ErrorKind::InvalidInput
    );
    let orphan = put(&azure, "/onlineEndpoints/churn/deployments/blue", &json!({}));
    assert_eq!(kind_of(&azure, orphan).await, ErrorKind::NotFound);
    let patch = call(&azure, Method::PATCH, "/models/m/versions/1").json(&json!({})).unwrap();
    assert_eq!(kind_of(&azure, patch).await, ErrorKind::Rejected);
    assert_eq!(kind_of(&azure, call(&azure, Method::POST, "/explode")).await, ErrorKind::NotFound);
}

#[tokio::test]
async fn a_token_is_good_for_its_audience_alone_and_until_it_is_not() {
    let azure = fresh();
    let get = || call(&azure, Method::GET, "");
    let base: Url = "https://management.azure.com".parse().unwrap();
    let wrong = azure.service(base, Audience::Storage);
    let error = wrong.call(get()).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.context("code")),
        (ErrorKind::Auth, Some("InvalidAuthenticationTokenAudience"))
    );
    assert_eq!(azure.count(), 2, "a token that is refused is replaced once");
    let arm = azure.arm();
    arm.call(get()).await.unwrap();
    azure.forget_requests();
    azure.faults().expire_tokens();
    arm.call(get()).await.unwrap();
    assert_eq!(azure.count(), 2);
    assert!(azure.requests().iter().all(|line| !line.contains("canary")));
}

struct Elsewhere;

impl FakePart for Elsewhere {
    fn answer(&self, request: &FakeRequest, azure: &FakeAzure) -> Option<FakeAnswer> {
        if request.host() == "elsewhere.example" {
            let refused = azure.refuse_token(request, Audience::MachineLearning);
            return Some(refused.unwrap_or_else(|| {
                FakeAnswer::ok(json!({ "said": request.json(), "at": request.segments() }))
            }));
        }
        let is_shout = request.method == Method::POST && request.segments().last() == Some(&"shout");
        is_shout.then(|| FakeAnswer::error(418, "Teapot", "no"))
    }

    fn complete(&self, resource: &mut Value, _: &FakeAzure) {
        if resource["type"].as_str().is_some_and(|kind| kind.ends_with("/onlineEndpoints")) {
            resource["properties"]["scoringUri"] = json!("https://elsewhere.example/score");
        }
    }
}

#[tokio::test]
async fn a_part_answers_what_is_its_own_and_completes_what_is_written() {
    let azure = fresh();
    let host: Url = "https://elsewhere.example".parse().unwrap();
    let post = || Call::<Value>::post(OP, "/a/b").json(&json!(1)).unwrap();
    let service = azure.service(host.clone(), Audience::MachineLearning);
    assert_eq!(
        service.call(post()).await.unwrap_err().kind(),
        ErrorKind::Transport,
        "there is no such host yet"
    );
    azure.plug(Elsewhere);
    assert_eq!(service.call(post()).await.unwrap(), json!({ "said": 1, "at": ["a", "b"] }));
    let other = azure.service(host, Audience::ResourceManager);
    assert_eq!(other.call(post()).await.unwrap_err().kind(), ErrorKind::Auth);
    assert_eq!(kind_of(&azure, call(&azure, Method::POST, "/jobs/j/shout")).await, ErrorKind::Rejected);
    let endpoint = json!({ "location": "eastus", "properties": { "authMode": "Key" } });
    let arm = azure.arm();
    let made: Value =
        arm.begin(put(&azure, "/onlineEndpoints/churn", &endpoint)).await.unwrap().wait().await.unwrap();
    assert_eq!(made["properties"]["scoringUri"], "https://elsewhere.example/score");
    assert_eq!(made["properties"]["provisioningState"], "Succeeded");
}

#[tokio::test]
async fn the_vault_of_the_workspace_keeps_secrets() {
    let azure = FakeAzure::new();
    let vault = KeyVault::named("kv-fake", Cloud::Public, azure.tokens()).unwrap();
    let vault = vault.transport(azure.transport()).interval(Duration::from_millis(1)).build().unwrap();
    let name = SecretName::new("storage-key").unwrap();
    azure.faults().busy(1).expire_tokens();
    vault.set(&name, &Secret::new("hunter2")).await.unwrap();
    azure.faults().expire_tokens();
    assert_eq!(vault.get(&name).await.unwrap().expose(), "hunter2");
    vault.remove(&name).await.unwrap();
    assert_eq!(vault.get(&name).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert!(!format!("{:?}", azure.requests()).contains("hunter2"));
}

#[tokio::test]
async fn nothing_that_is_shown_holds_a_token() {
    let azure = fresh();
    azure.plug(Elsewhere);
    let base: Url = "https://elsewhere.example/?sig=canary".parse().unwrap();
    let call = Call::<Value>::get(OP, "/p").query("sig", "canary").query("api-version", "1");
    azure.service(base.clone(), Audience::MachineLearning).call(call).await.unwrap();
    assert_eq!(azure.requests(), ["GET https://elsewhere.example/p?sig=…&api-version=1"]);
    let mut request = FakeRequest::new(Method::GET, base);
    request.headers.insert("authorization", "Bearer canary".parse().unwrap());
    request.body = "canary".into();
    let answer = FakeAnswer::ok(json!("canary")).with("location", "https://h/?sig=canary");
    assert_eq!(request.bearer(), Some("canary"));
    let shown = format!(
        "{azure:?} {:?} {:?} {:?} {request:?} {answer:?}",
        azure.transport(),
        azure.tokens(),
        azure.arm()
    );
    assert!(!shown.contains("canary"), "{shown}");
}

#[tokio::test]
async fn bodies_are_judged_and_what_was_refused_is_kept() {
    if crate::types().is_none() {
        return;
    }
    let azure = crate::judging(fresh());
    let arm = azure.arm();
    let data = azure.place().data("churn", "1").unwrap();
    let good = Resource::new(DataVersion::new(DataType::UriFile, "azureml://datastores/d/paths/churn.csv"));
    arm.call(data.put(OP, &good).unwrap()).await.unwrap();
    assert!(azure.refused().is_empty());
    let bad = put(
        &azure,
        "/data/churn/versions/2",
        &json!({ "properties": { "dataType": "uri_file", "dataUrl": "x" } }),
    );
    let error = arm.call(bad).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.context("inner")),
        (ErrorKind::InvalidInput, Some("BadArgument > ArgumentInvalid"))
    );
    assert_eq!(azure.refused().len(), 1);
    assert!(
        azure.refused()[0]
            .starts_with("Microsoft.MachineLearningServices/workspaces/data/versions@2026-05-01: ")
    );
}
