//! Operations that take longer than a request.

use std::time::Duration;

use mlops_azure::config::cloud::Audience;
use mlops_azure::error::ServiceError;
use mlops_azure::fake::FakeAzure;
use mlops_azure::http::{Call, Method, Operation, PollPolicy, Reply, RetryPolicy, Service};
use mlops_core::{ErrorKind, Result};
use serde_json::{Value, json};

use super::{OP, VERSION, call, fresh, put};

const ENDPOINT: &str = "/onlineEndpoints/churn";
const BLUE: &str = "/onlineEndpoints/churn/deployments/blue";
const GREEN: &str = "/onlineEndpoints/churn/deployments/green";

fn endpoint() -> Value {
    json!({ "location": "eastus", "properties": { "authMode": "Key" } })
}

/// Resource Manager without a second try.
fn once(azure: &FakeAzure) -> Service {
    let base = "https://management.azure.com".parse().unwrap();
    azure.builder(base, Audience::ResourceManager).retry(RetryPolicy::NONE).build().unwrap()
}

async fn run(azure: &FakeAzure, call: Call<Value>) -> Result<Value> {
    azure.arm().begin(call).await?.wait().await
}

fn state(azure: &FakeAzure, below: &str) -> Option<String> {
    let resource = azure.resource(&format!("{}{below}", azure.workspace().id()))?;
    resource["properties"]["provisioningState"].as_str().map(str::to_owned)
}

/// How an answer says that it goes on.
fn way(reply: &Reply) -> (u16, &'static str) {
    let way = match (reply.header("azure-asyncoperation"), reply.header("location")) {
        (None, None) => "at once",
        (Some(_), None) => "status",
        (None, Some(_)) => "location",
        (Some(_), Some(_)) => "both",
    };
    (reply.status, way)
}

#[tokio::test]
async fn every_kind_of_resource_goes_on_in_its_own_way() {
    let azure = fresh();
    let registry = azure.registry("contoso-ml");
    let workspace = azure.workspace().id();
    for (id, made, changed, removed) in [
        (format!("{workspace}{ENDPOINT}"), (201, "status"), (200, "status"), (202, "location")),
        (format!("{workspace}/batchEndpoints/churn"), (201, "status"), (200, "status"), (202, "location")),
        (format!("{workspace}/computes/cpu"), (201, "status"), (200, "status"), (202, "status")),
        (format!("{workspace}/schedules/nightly"), (201, "status"), (200, "status"), (202, "location")),
        (format!("{workspace}/jobs/train-1"), (201, "at once"), (200, "at once"), (202, "location")),
        (
            format!("{workspace}/models/churn/versions/1"),
            (201, "at once"),
            (200, "at once"),
            (200, "at once"),
        ),
        (format!("{workspace}/datastores/extra"), (201, "at once"), (200, "at once"), (200, "at once")),
        (
            format!("{}/models/churn/versions/1", registry.id()),
            (201, "status"),
            (200, "status"),
            (202, "location"),
        ),
    ] {
        let at = |method| Call::<Value>::new(OP, method, id.clone()).query("api-version", VERSION);
        for expected in [made, changed] {
            let call = at(Method::PUT).json(&json!({ "properties": {} })).unwrap();
            assert_eq!(way(&azure.arm().reply(call).await.unwrap()), expected, "{id}");
            azure.finish(&id);
        }
        let call = at(Method::DELETE).query("underlyingResourceAction", "Delete");
        assert_eq!(way(&azure.arm().reply(call).await.unwrap()), removed, "{id}");
        azure.finish(&id);
        assert!(azure.resource(&id).is_none(), "{id}");
        let again = at(Method::DELETE).query("underlyingResourceAction", "Delete");
        assert_eq!(way(&azure.arm().reply(again).await.unwrap()), (204, "at once"), "{id}");
    }
    // The workspace itself: 202 and `Location`; the result is the workspace.
    let patch = || call(&azure, Method::PATCH, "").json(&json!({ "tags": { "team": "a" } })).unwrap();
    assert_eq!(way(&azure.arm().reply(patch()).await.unwrap()), (202, "location"));
    azure.finish(&workspace);
    assert_eq!(run(&azure, patch()).await.unwrap()["tags"]["team"], "a");
    let compute = put(&azure, "/computes/cpu", &json!({ "properties": {} }));
    run(&azure, compute).await.unwrap();
    let error = azure.arm().call(call(&azure, Method::DELETE, "/computes/cpu")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "what becomes of the machines must be said");
}

#[tokio::test]
async fn the_status_of_an_operation_is_where_the_answer_says() {
    let azure = fresh();
    let reply = azure.arm().reply(put(&azure, ENDPOINT, &endpoint())).await.unwrap();
    let status = reply.header("azure-asyncoperation").unwrap().to_owned();
    let place = "/providers/Microsoft.MachineLearningServices/locations/eastus/mfeOperationsStatus/oeidp:";
    assert!(status.contains(place) && status.ends_with("?api-version=2026-05-01"), "{status}");
    assert_eq!(reply.header("x-ms-async-operation-timeout"), Some("PT1H"));
    let body: Value = reply.json(OP).unwrap();
    assert_eq!(body["properties"]["provisioningState"], "Creating");
    assert_eq!(body["properties"]["properties"]["AzureAsyncOperationUri"], status);
    let path = status.strip_prefix("https://management.azure.com").unwrap().split('?').next().unwrap();
    let said = azure.arm().call(Call::<Value>::get(OP, path).query("api-version", VERSION)).await.unwrap();
    assert_eq!(said["status"], "Succeeded");
    assert!(said["startTime"].is_string() && said["endTime"].is_string());
    let none = Call::<Value>::get(OP, path.replace("oeidp", "odidp")).query("api-version", VERSION);
    assert_eq!(azure.arm().call(none).await.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn one_operation_at_a_time_works_on_an_endpoint() {
    let azure = fresh();
    run(&azure, put(&azure, ENDPOINT, &endpoint())).await.unwrap();
    azure.faults().endless_operations();
    let blue = azure.arm().begin(put(&azure, BLUE, &endpoint())).await.unwrap();
    assert!(azure.is_busy(&format!("{}{ENDPOINT}", azure.workspace().id())));
    for call in [
        put(&azure, ENDPOINT, &endpoint()),
        put(&azure, BLUE, &endpoint()),
        put(&azure, GREEN, &endpoint()),
        call(&azure, Method::DELETE, ENDPOINT),
        call(&azure, Method::PATCH, BLUE).json(&json!({ "sku": { "capacity": 2 } })).unwrap(),
    ] {
        let shown = format!("{call:?}");
        assert_eq!(once(&azure).call(call).await.unwrap_err().kind(), ErrorKind::Busy, "{shown}");
    }
    assert_eq!(state(&azure, BLUE).as_deref(), Some("Creating"));
    assert!(azure.finish(&format!("{}{BLUE}", azure.workspace().id())));
    blue.wait().await.unwrap();
    assert_eq!(state(&azure, BLUE).as_deref(), Some("Succeeded"));
    azure.faults().slow_operations(2);
    azure.forget_requests();
    run(&azure, put(&azure, BLUE, &endpoint())).await.unwrap();
    // The write, two looks under way, one that finds it over, and one for the result.
    assert_eq!(azure.count(), 5, "{:?}", azure.requests());
    // Whoever waits for the other operation gets its turn, also if nobody else looks at it.
    let call = call(&azure, Method::PATCH, BLUE).json(&json!({ "sku": { "capacity": 2 } })).unwrap();
    let left = azure.arm().begin(call).await.unwrap();
    run(&azure, put(&azure, GREEN, &endpoint())).await.unwrap();
    drop(left);
    azure.faults().slow_operations(0);
    let first = azure.arm().begin(put(&azure, GREEN, &endpoint())).await.unwrap();
    let (first, second) = tokio::join!(first.wait(), run(&azure, super::call(&azure, Method::DELETE, BLUE)));
    assert!(first.is_ok() && second.is_ok());
    assert_eq!((state(&azure, BLUE), state(&azure, GREEN).as_deref()), (None, Some("Succeeded")));
}

#[tokio::test]
async fn an_operation_that_fails_is_told_with_200_and_leaves_the_resource_failed() {
    let azure = fresh();
    azure.faults().fail_operation("/ONLINEENDPOINTS/churn", "OutOfQuota", "not enough cores");
    let error = run(&azure, put(&azure, ENDPOINT, &endpoint())).await.unwrap_err();
    assert_eq!((error.kind(), error.context("state")), (ErrorKind::LimitExceeded, Some("Failed")));
    assert_eq!(ServiceError::of(&error).unwrap().message.as_deref(), Some("not enough cores"));
    assert!(azure.requests()[1].starts_with("GET https://management.azure.com/subscriptions/"));
    assert_eq!(state(&azure, ENDPOINT).as_deref(), Some("Failed"));
    // Written once more it is there; the failure was planned once.
    run(&azure, put(&azure, ENDPOINT, &endpoint())).await.unwrap();
    assert_eq!(state(&azure, ENDPOINT).as_deref(), Some("Succeeded"));
    // A removal that fails removes nothing.
    azure.faults().fail_operation("churn", "InternalServerError", "no");
    assert!(run(&azure, call(&azure, Method::DELETE, ENDPOINT)).await.is_err());
    assert_eq!(state(&azure, ENDPOINT).as_deref(), Some("Failed"));
    run(&azure, call(&azure, Method::DELETE, ENDPOINT)).await.unwrap();
    assert_eq!(state(&azure, ENDPOINT), None);
}

#[tokio::test(start_paused = true)]
async fn an_operation_without_end_is_left_at_the_deadline_and_can_be_cancelled() {
    let azure = fresh();
    azure.faults().endless_operations();
    let base = "https://management.azure.com".parse().unwrap();
    let poll = PollPolicy::default().with_deadline(Duration::from_secs(1800));
    let arm = azure.builder(base, Audience::ResourceManager).poll(poll).build().unwrap();
    let started = tokio::time::Instant::now();
    let operation = arm.begin(put(&azure, ENDPOINT, &endpoint())).await.unwrap();
    let saved = operation.save();
    let error = operation.wait().await.unwrap_err();
    assert_eq!((error.kind(), error.context("state")), (ErrorKind::Timeout, Some("InProgress")));
    assert!(started.elapsed().abs_diff(Duration::from_secs(1800)) <= Duration::from_secs(2));
    assert_eq!(state(&azure, ENDPOINT).as_deref(), Some("Creating"), "it goes on in Azure");
    assert!(azure.cancel(&format!("{}{ENDPOINT}", azure.workspace().id())));
    let again: Operation<Value> = arm.resume(OP, saved).unwrap();
    assert_eq!(again.wait().await.unwrap_err().kind(), ErrorKind::Cancelled);
    assert_eq!(state(&azure, ENDPOINT).as_deref(), Some("Canceled"));
    azure.faults().slow_operations(0);
    run(&azure, call(&azure, Method::DELETE, ENDPOINT)).await.unwrap();
}

#[tokio::test]
async fn a_wait_that_is_dropped_leaves_the_operation_to_whoever_takes_it_up() {
    let azure = fresh();
    azure.faults().slow_operations(3);
    let operation = azure.arm().begin(put(&azure, ENDPOINT, &endpoint())).await.unwrap();
    let saved = operation.save();
    let sent = azure.count();
    drop(operation.wait());
    assert_eq!((azure.count(), state(&azure, ENDPOINT).as_deref()), (sent, Some("Creating")));
    let again: Operation<Value> = azure.arm().resume(OP, saved).unwrap();
    assert_eq!(again.wait().await.unwrap()["name"], "churn");
}

#[tokio::test]
async fn what_was_just_made_is_not_yet_known_everywhere() {
    let azure = fresh();
    azure.faults().hidden(2);
    let job = json!({ "properties": { "jobType": "Command" } });
    azure.arm().call(put(&azure, "/jobs/train-1", &job)).await.unwrap();
    let list = || call(&azure, Method::GET, "/jobs");
    assert_eq!(azure.arm().call(list()).await.unwrap()["value"], json!([]));
    let get = || call(&azure, Method::GET, "/jobs/train-1");
    assert_eq!(azure.arm().call(get()).await.unwrap_err().kind(), ErrorKind::NotFound);
    azure.arm().call(get().settling(Duration::from_secs(10))).await.unwrap();
    assert_eq!(azure.arm().call(list()).await.unwrap()["value"].as_array().unwrap().len(), 1);
    // The result of an operation may be as new as that.
    assert_eq!(run(&azure, put(&azure, ENDPOINT, &endpoint())).await.unwrap()["name"], "churn");
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_is_missing_is_registered_and_the_call_sent_under_a_new_id() {
    let azure = fresh();
    azure.unregister("Microsoft.MachineLearningServices", 2);
    let error = async |arm: Service| arm.call(call(&azure, Method::GET, "")).await.unwrap_err().kind();
    let base = "https://management.azure.com".parse().unwrap();
    let builder = azure.builder(base, Audience::ResourceManager).register_providers(false);
    assert_eq!(error(builder.build().unwrap()).await, ErrorKind::Unsupported);
    azure.forget_requests();
    azure.arm().call(call(&azure, Method::GET, "")).await.unwrap();
    let lines = azure.requests();
    assert_eq!(lines.len(), 5, "{lines:?}");
    assert!(lines[1].starts_with("POST") && lines[1].contains("/register?"), "{lines:?}");
}

#[tokio::test]
async fn what_is_left_of_the_limits_is_told() {
    let azure = fresh();
    let arm = azure.arm();
    for _ in 0..3 {
        arm.call(call(&azure, Method::GET, "")).await.unwrap();
    }
    arm.call(put(&azure, "/jobs/a", &json!({ "properties": {} }))).await.unwrap();
    let limits = arm.rate_limits();
    assert_eq!((limits.subscription_reads, limits.subscription_writes), (Some(11_997), Some(1199)));
    let reply = arm.reply(call(&azure, Method::GET, "")).await.unwrap();
    assert!(
        reply.header("x-ms-request-id").is_some() && reply.header("x-ms-correlation-request-id").is_some()
    );
    assert!(reply.header("etag").is_none(), "Azure Machine Learning has no ETags");
}
