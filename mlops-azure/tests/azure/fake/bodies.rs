//! What the fake says to bodies of changes and actions: each service's own refusal of what it does not know, without Azure's type
//! definitions; and nothing good of a body that nobody judges.

use mlops_azure::config::cloud::Audience;
use mlops_azure::fake::{
    Bodies, FakeAnswer, FakeAzure, FakeBatch, FakeEventGrid, FakeInsights, FakePart, FakeRequest,
};
use mlops_azure::http::{Call, Method};
use mlops_core::{Error, ErrorKind};
use serde_json::{Value, json};

use super::{OP, VERSION, call, fresh};

const HISTORY: &str = "https://eastus.api.azureml.ms";

async fn refusal(azure: &FakeAzure, base: &str, audience: Audience, call: Call<Value>) -> Error {
    azure.service(base.parse().unwrap(), audience).call(call).await.unwrap_err()
}

#[tokio::test]
async fn changes_and_actions_with_a_wrong_body_are_refused_as_azure_machine_learning_does() {
    let azure = fresh();
    let deployment = "/onlineEndpoints/churn/deployments/blue";
    for (method, below, body, missing) in [
        (Method::PATCH, "/onlineEndpoints/churn", json!({ "tag": { "a": "b" } }), false),
        (Method::PATCH, "/onlineEndpoints/churn", json!({ "properties": { "traffic": {} } }), false),
        (Method::PATCH, "/onlineEndpoints/churn", json!({ "tags": { "a": 1 } }), false),
        (Method::PATCH, "/batchEndpoints/nightly", json!([]), false),
        (Method::PATCH, deployment, json!({ "sku": { "capacity": "3" } }), false),
        (Method::PATCH, "/batchEndpoints/nightly/deployments/b", json!({ "sku": {} }), false),
        (Method::PATCH, "/computes/cpu", json!({ "properties": { "scaleSettings": {} } }), false),
        (
            Method::PATCH,
            "/computes/cpu",
            json!({ "properties": { "properties": { "scaleSettings": { "minNodeCount": 0 } } } }),
            true,
        ),
        (Method::POST, "/onlineEndpoints/churn/regenerateKeys", json!({ "keyValue": "k" }), true),
        (Method::POST, &format!("{deployment}/getLogs"), json!({ "tail": "100" }), false),
        (Method::POST, "/models/m/versions/1/publish", json!({ "registry": "r" }), false),
        (Method::POST, "/codes/c/versions/1/startPendingUpload", json!({ "type": "SAS" }), false),
        (Method::POST, "/datastores/d/listSecrets", json!({ "expirableSecret": "yes" }), false),
        (Method::POST, "/diagnose", json!({ "values": {} }), false),
    ] {
        azure.forget_requests();
        let sent = call(&azure, method.clone(), below).json(&body).unwrap();
        let error = azure.arm().call(sent).await.unwrap_err();
        let inner = if missing {
            "BadArgument > ArgumentInvalid > MissingArgument"
        } else {
            "BadArgument > ArgumentInvalid"
        };
        assert_eq!(
            (error.kind(), error.context("inner")),
            (ErrorKind::InvalidInput, Some(inner)),
            "{method} {below} {body}"
        );
        assert_eq!(azure.refused().len(), 1, "{method} {below}");
    }
    // What must be there and is not is missing too where all of it is.
    let nothing = call(&azure, Method::POST, "/onlineEndpoints/churn/regenerateKeys");
    assert_eq!(azure.arm().call(nothing).await.unwrap_err().kind(), ErrorKind::InvalidInput);
    let tags = format!("{}/providers/Microsoft.Resources/tags/default", azure.workspace().id());
    let tags = Call::<Value>::new(OP, Method::PATCH, tags).query("api-version", "2025-04-01");
    let error =
        azure.arm().call(tags.json(&json!({ "operation": "Merge", "tags": {} })).unwrap()).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.context("code")),
        (ErrorKind::InvalidInput, Some("InvalidRequestContent"))
    );
}

#[tokio::test]
async fn run_history_and_other_services_refuse_a_wrong_body_too() {
    let azure = FakeAzure::new();
    let (ingestion, _grid) = (FakeInsights::of(&azure), FakeEventGrid::of(&azure));
    azure.plug(FakeBatch::default());
    let run = format!("/history/v1.0{}/experiments/ex/runs/r", azure.workspace().id());
    for (method, path, body) in [
        (Method::PATCH, run.clone(), json!({ "archived": true })),
        (Method::PATCH, run.clone(), json!({ "tags": ["a"] })),
        (Method::PATCH, format!("{run}/tags"), json!({ "removeTags": ["a"] })),
        (Method::PATCH, format!("{run}/tags"), json!({ "tagsToDelete": "a" })),
        (Method::POST, format!("{run}/artifacts/batch/metadata"), json!({ "paths": ["a"] })),
    ] {
        let sent = Call::<Value>::new(OP, method, path.clone()).json(&body).unwrap();
        let error = refusal(&azure, HISTORY, Audience::ResourceManager, sent).await;
        assert_eq!(
            (error.kind(), error.context("code")),
            (ErrorKind::InvalidInput, Some("UserError")),
            "{path} {body}"
        );
    }
    let mlflow = format!("/mlflow/v2.0{}/api/2.0/mlflow/runs/set-tag", azure.workspace().id());
    let sent = Call::<Value>::new(OP, Method::POST, mlflow).json(&json!({ "key": "a", "tag": "b" })).unwrap();
    let error = refusal(&azure, HISTORY, Audience::ResourceManager, sent).await;
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error:?}");

    let secret =
        |body: Value| Call::<Value>::put(OP, "/secrets/s", &body).unwrap().query("api-version", "2025-07-01");
    for body in [json!({ "value": "v", "name": "s" }), json!({ "Value": "v" }), json!({ "value": 1 })] {
        let error =
            refusal(&azure, "https://kv-fake.vault.azure.net", Audience::KeyVault, secret(body.clone()))
                .await;
        assert_eq!(
            (error.kind(), error.context("code")),
            (ErrorKind::InvalidInput, Some("BadParameter")),
            "{body}"
        );
    }
    let event = json!({ "id": "1", "source": "s", "specversion": "1.0", "time": "2026-01-01T00:00:00Z" });
    let publish = Call::<Value>::post(OP, "/api/events")
        .json(&json!([event]))
        .unwrap()
        .query("api-version", "2018-01-01");
    let error = refusal(&azure, "https://t.eastus-1.eventgrid.azure.net", Audience::EventGrid, publish).await;
    assert_eq!((error.kind(), error.context("code")), (ErrorKind::InvalidInput, Some("BadRequest")));

    let item = json!({
        "name": "Microsoft.ApplicationInsights.Event", "time": "2026-01-01T00:00:00Z", "iKey": "00000000-0000-0000-0000-00000000cafe",
        "data": { "baseType": "EventData", "baseData": { "ver": 2, "name": "e", "measurement": { "a": 1 } } },
    });
    let track = Call::<Value>::post(OP, "/v2.1/track").json(&json!([item])).unwrap();
    let service = azure
        .service("https://eastus-1.in.applicationinsights.azure.com".parse().unwrap(), Audience::Monitor);
    let answer = service.call(track).await.unwrap();
    assert_eq!((&answer["itemsAccepted"], &answer["errors"][0]["statusCode"]), (&json!(0), &json!(400)));
    assert!(ingestion.items().is_empty());
}

/// A fake that took such a body would say nothing about Azure; so no test of this crate can send one.
#[tokio::test]
async fn a_body_that_nobody_judges_is_not_taken() {
    let azure = fresh();
    let sent = |method: Method, path: &str| {
        Call::<Value>::new(OP, method, path.to_owned())
            .query("api-version", VERSION)
            .json(&json!({}))
            .unwrap()
    };
    let arm = "https://management.azure.com";
    let job = format!("{}/jobs/j/cancel", azure.workspace().id());
    for (base, audience, call) in [
        (arm, Audience::ResourceManager, sent(Method::POST, &job)),
        (HISTORY, Audience::ResourceManager, sent(Method::POST, "/history/v1.0/runs/r/events")),
        (
            "https://prod-1.eastus.logic.azure.com",
            Audience::ResourceManager,
            sent(Method::POST, "/workflows/w"),
        ),
    ] {
        azure.forget_requests();
        let error = refusal(&azure, base, audience, call).await;
        assert_eq!(
            (error.context("status"), error.context("code")),
            (Some("501"), Some("BodyNotJudged")),
            "{error:?}"
        );
        assert_eq!(azure.refused().len(), 1);
    }
    assert!(Bodies::official().all().iter().all(|body| !body.source.is_empty()));

    /// Somebody's own workflow, whose body is theirs to judge.
    struct Workflow;
    impl FakePart for Workflow {
        fn answer(&self, request: &FakeRequest, _: &FakeAzure) -> Option<FakeAnswer> {
            request.host().ends_with(".logic.azure.com").then(|| FakeAnswer::ok(request.json()))
        }

        fn judges(&self, request: &FakeRequest) -> bool {
            request.host().ends_with(".logic.azure.com")
        }
    }
    azure.plug(Workflow);
    let base = "https://prod-1.eastus.logic.azure.com".parse().unwrap();
    let workflow = azure.service(base, Audience::ResourceManager);
    assert_eq!(workflow.call(sent(Method::POST, "/workflows/w")).await.unwrap(), json!({}));
    let error = refusal(&azure, arm, Audience::ResourceManager, sent(Method::POST, &job)).await;
    assert_eq!(error.context("status"), Some("501"));
}
