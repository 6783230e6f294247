//! Versions of assets: rules, and random calls against a model of a few lines.

use std::collections::BTreeMap;
use std::num::NonZeroU64;

use futures_util::TryStreamExt as _;
use mlops_azure::http::{Call, Method, Page, Service};
use mlops_core::ErrorKind;
use mlops_core::num::Random;
use serde_json::{Value, json};

use super::{OP, VERSION, call, fresh, put};

fn body(uri: &str, description: &str) -> Value {
    json!({ "properties": { "modelUri": uri, "description": description, "tags": { "a": "b" } } })
}

#[tokio::test]
async fn a_version_keeps_its_content_and_changes_its_words() {
    let azure = fresh();
    let arm = azure.arm();
    let at = "/models/churn/versions/1";
    arm.call(put(&azure, at, &body("azureml://a", "old"))).await.unwrap();
    let error = arm.call(put(&azure, at, &body("azureml://b", "new"))).await.unwrap_err();
    assert_eq!((error.kind(), error.context("status")), (ErrorKind::AlreadyExists, Some("409")));
    let added = json!({ "properties": { "modelUri": "azureml://a", "jobName": "j" } });
    assert_eq!(arm.call(put(&azure, at, &added)).await.unwrap_err().kind(), ErrorKind::AlreadyExists);
    let read = arm.call(call(&azure, Method::GET, at)).await.unwrap();
    assert_eq!(read["properties"]["modelUri"], "azureml://a");
    assert_eq!(read["properties"]["description"], "old");
    let made = read["systemData"]["createdAt"].clone();
    let archived = json!({ "properties": { "modelUri": "azureml://a", "isArchived": true } });
    let written = arm.call(put(&azure, at, &archived)).await.unwrap();
    assert_eq!(written["systemData"]["createdAt"], made);
    assert_eq!(
        (&written["properties"]["tags"], &written["properties"]["description"]),
        (&json!({}), &Value::Null)
    );
    for (view, count) in [("", 0), ("ActiveOnly", 0), ("ArchivedOnly", 1), ("All", 1)] {
        let list = call(&azure, Method::GET, "/models/churn/versions").query("listViewType", view);
        assert_eq!(arm.call(list).await.unwrap()["value"].as_array().unwrap().len(), count, "{view}");
    }
}

#[tokio::test]
async fn names_types_and_orders_are_the_services() {
    let azure = fresh();
    let arm = azure.arm();
    for name in ["-a", "_a", ".a"] {
        let call = put(&azure, &format!("/models/{name}/versions/1"), &body("azureml://a", ""));
        assert_eq!(arm.call(call).await.unwrap_err().kind(), ErrorKind::InvalidInput, "{name}");
    }
    let data = |kind: &str| json!({ "properties": { "dataType": kind, "dataUri": "azureml://a" } });
    arm.call(put(&azure, "/data/d/versions/7", &data("uri_file"))).await.unwrap();
    let other = put(&azure, "/data/d/versions/8", &data("mltable"));
    assert_eq!(arm.call(other).await.unwrap_err().kind(), ErrorKind::InvalidInput);
    arm.call(put(&azure, "/data/d/versions/beta", &data("uri_file"))).await.unwrap();
    let container = arm.call(call(&azure, Method::GET, "/data/d")).await.unwrap();
    assert_eq!(
        ["dataType", "latestVersion", "nextVersion"].map(|name| container["properties"][name].clone()),
        [json!("uri_file"), json!("beta"), json!("8")]
    );
    let names = async |order: &'static str| {
        let list = call(&azure, Method::GET, "/data/d/versions").query("$orderBy", order);
        let page = arm.call(list).await?;
        Ok::<_, mlops_core::Error>(
            page["value"].as_array().unwrap().iter().map(|v| v["name"].clone()).collect::<Vec<_>>(),
        )
    };
    assert_eq!(names("createdtime asc").await.unwrap(), ["7", "beta"]);
    assert_eq!(names("createdtime desc").await.unwrap(), ["beta", "7"]);
    assert_eq!(names("colour").await.unwrap_err().kind(), ErrorKind::InvalidInput);
    // The versions of what is not there are none; what is not there is not found.
    let empty = arm.call(call(&azure, Method::GET, "/data/none/versions")).await.unwrap();
    assert_eq!(empty, json!({ "value": [] }));
    assert_eq!(
        arm.call(call(&azure, Method::GET, "/data/none")).await.unwrap_err().kind(),
        ErrorKind::NotFound
    );
}

#[tokio::test]
async fn a_version_is_published_to_a_registry_under_another_name() {
    let azure = fresh();
    let registry = azure.registry("contoso-ml").id();
    let arm = azure.arm();
    arm.call(put(&azure, "/models/churn/versions/1", &body("azureml://a", "good"))).await.unwrap();
    let publish = async |source: &str, to: Value| {
        let call = call(&azure, Method::POST, &format!("/models/{source}/publish")).json(&to)?;
        arm.begin(call).await?.wait().await
    };
    let to = |registry: &str, name: &str| json!({ "registryName": registry, "destinationName": name, "destinationVersion": "7" });
    for (source, to, kind) in [
        ("none/versions/1", to("contoso-ml", "shared"), ErrorKind::NotFound),
        ("churn/versions/1", to("nobodys", "shared"), ErrorKind::NotFound),
        ("churn/versions/1", to("contoso-ml", ""), ErrorKind::InvalidInput),
        ("churn/versions/1", to("contoso-ml", "a.b"), ErrorKind::InvalidInput),
    ] {
        assert_eq!(publish(source, to).await.unwrap_err().kind(), kind, "{source}");
    }
    azure.faults().slow_operations(1);
    publish("churn/versions/1", to("contoso-ml", "shared")).await.unwrap();
    let there = azure.resource(&format!("{registry}/models/shared/versions/7")).unwrap();
    assert_eq!(
        (&there["properties"]["modelUri"], &there["properties"]["provisioningState"]),
        (&json!("azureml://a"), &json!("Succeeded"))
    );
    // The same once more changes nothing; another content under the same version is refused.
    publish("churn/versions/1", to("contoso-ml", "shared")).await.unwrap();
    arm.call(put(&azure, "/models/churn/versions/2", &body("azureml://b", ""))).await.unwrap();
    let error = publish("churn/versions/2", to("contoso-ml", "shared")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
}

const TWO: NonZeroU64 = NonZeroU64::new(2).unwrap();
const NINE: NonZeroU64 = NonZeroU64::new(9).unwrap();
const HUNDRED: NonZeroU64 = NonZeroU64::new(100).unwrap();

/// What the store is to be: by version, the address and the description, and when it was made.
#[derive(Default)]
struct Model {
    versions: BTreeMap<u64, (String, String, usize)>,
    has_container: bool,
    made: usize,
}

async fn versions(arm: &Service, root: &str) -> Vec<String> {
    let list: Call<Page<Value>> =
        Call::get(OP, format!("{root}/models/m/versions")).query("api-version", VERSION);
    let items: Vec<Value> = arm.items(list).try_collect().await.unwrap();
    items.iter().map(|item| item["name"].as_str().unwrap().to_owned()).collect()
}

/// In the workspace, where versions are written at once, and in a registry, where that takes an operation.
#[tokio::test(start_paused = true)]
async fn random_calls_leave_what_a_model_of_it_has() {
    let (mut calls, mut refused, mut removed) = (0_u32, 0_u32, 0_u32);
    for seed in 0..60_u64 {
        let azure = fresh().paging(1 + (seed % 7) as usize);
        let root = if seed % 2 == 0 { azure.workspace().id() } else { azure.registry("contoso-ml").id() };
        azure.faults().slow_operations((seed % 3) as u32);
        let (arm, mut random, mut model) = (azure.arm(), Random::new(seed).stream("calls"), Model::default());
        for _ in 0..40 {
            calls += 1;
            let version = 1 + random.below(NINE);
            let path = format!("{root}/models/m/versions/{version}");
            let at = |method| Call::<Value>::new(OP, method, path.clone()).query("api-version", VERSION);
            let action = random.next_f64();
            if action < 0.5 {
                let uri = format!("azureml://{}", random.below(TWO));
                let words = format!("words {}", random.below(HUNDRED));
                let write = at(Method::PUT).json(&body(&uri, &words)).unwrap();
                let written = match arm.begin(write).await {
                    Ok(operation) => operation.wait().await,
                    Err(error) => Err(error),
                };
                match model.versions.get_mut(&version) {
                    Some((old, _, _)) if *old != uri => {
                        assert_eq!(written.unwrap_err().kind(), ErrorKind::AlreadyExists);
                        refused += 1;
                    }
                    Some((_, old, _)) => {
                        assert_eq!(written.unwrap()["properties"]["description"], words);
                        *old = words;
                    }
                    None => {
                        assert_eq!(written.unwrap()["name"], version.to_string());
                        model.made += 1;
                        model.has_container = true;
                        model.versions.insert(version, (uri, words, model.made));
                    }
                }
            } else if action < 0.7 {
                match model.versions.get(&version) {
                    Some((uri, words, _)) => {
                        let read = arm.call(at(Method::GET)).await.unwrap();
                        assert_eq!(read["properties"]["modelUri"], *uri);
                        assert_eq!(read["properties"]["description"], *words);
                    }
                    None => {
                        assert_eq!(arm.call(at(Method::GET)).await.unwrap_err().kind(), ErrorKind::NotFound)
                    }
                }
            } else if action < 0.85 {
                arm.begin(at(Method::DELETE)).await.unwrap().wait().await.unwrap();
                removed += u32::from(model.versions.remove(&version).is_some());
            } else {
                let mut expected: Vec<_> =
                    model.versions.iter().map(|(v, (_, _, made))| (*made, v.to_string())).collect();
                expected.sort_by_key(|(made, _)| std::cmp::Reverse(*made));
                let expected: Vec<String> = expected.into_iter().map(|(_, version)| version).collect();
                assert_eq!(versions(&arm, &root).await, expected);
                let container = azure.resource(&format!("{root}/models/m"));
                assert_eq!(container.is_some(), model.has_container);
                let next = model.versions.keys().max().map_or(1, |highest| highest + 1).to_string();
                if let Some(container) = container {
                    assert_eq!(container["properties"]["nextVersion"], next);
                    assert_eq!(
                        container["properties"]["latestVersion"].as_str(),
                        expected.first().map(String::as_str)
                    );
                }
            }
        }
    }
    println!("{calls} calls in 60 sequences: {refused} writes refused, {removed} versions removed");
    assert!(refused > 50 && removed > 50);
}
