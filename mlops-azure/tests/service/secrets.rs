//! No secret in any `Debug`, `Display` or log line.

use std::fmt::{self, Write as _};
use std::sync::Arc;
use std::time::Duration;

use futures_util::TryStreamExt as _;
use mlops_azure::auth::{AccessToken, FixedToken, JobIdentity, MlflowTokens, TokenCache, TokenChain};
use mlops_azure::config::{Cloud, Endpoints};
use mlops_azure::http::{Call, HttpBody, HttpRequest, Page, ProxySetting, ReqwestConfig, Service};
use mlops_azure::wire::{Credentials, Datastore, DatastoreSecrets, EndpointKeys, EndpointToken};
use mlops_core::governance::Secret;
use mlops_core::time::SystemClock;
use serde_json::{Value, json as value};

use crate::log::Log;
use crate::memory::*;

#[tokio::test(start_paused = true)]
async fn no_log_line_and_no_error_holds_a_secret() {
    let log = Log::default();
    let guard = tracing::subscriber::set_default(log.clone());
    let mut errors = String::new();
    let tokens = Arc::new(FixedToken::new(AccessToken::new(CANARY, "2100-01-01T00:00:00Z".parse().unwrap())));
    let echo =
        format!(r#"{{"error":{{"code":"X","message":"token {CANARY}, key {CANARY}, ?sig={CANARY}"}}}}"#);
    let evil = format!("https://evil.example/?sig={CANARY}");
    let link = format!("/s?sig={CANARY}");
    let failed = format!(r#"{{"status":"Failed","error":{{"code":"X","message":"?sig={CANARY}"}}}}"#);
    for steps in [
        vec![json(401, &echo)],
        vec![json(400, &echo)],
        vec![json(503, &echo)],
        vec![Step::Lost],
        vec![Step::Unreachable],
        vec![Step::Silence],
        vec![json(200, &format!("{{\"value\": [\"{CANARY}"))],
        vec![with(302, &[("location", &evil)], &echo)],
        vec![with(202, &[("azure-asyncoperation", &evil)], "")],
        vec![with(202, &[("azure-asyncoperation", &link)], ""), json(200, &failed)],
        vec![with(202, &[("location", &link)], ""), json(500, &echo)],
        vec![json(200, &format!(r#"{{"value":[],"nextLink":"{evil}"}}"#))],
        vec![json(200, &format!(r#"{{"value":[],"nextLink":"{link}"}}"#)), json(404, &echo)],
    ] {
        let service = Service::resource_manager(&Endpoints::of(Cloud::Public).unwrap(), tokens.clone());
        let service = service.transport(Memory::steps(steps)).retry(quick()).build().unwrap();
        let body = value!({ "clientSecret": CANARY });
        let call = || {
            let call = Call::<Value>::put("test", "/x", &body).unwrap().query("sig", CANARY);
            call.header("x-azureml-token".parse().unwrap(), CANARY).unwrap()
        };
        let _ = write!(errors, "{:?}", call());
        if let Err(error) = service.call(call()).await {
            errors.push_str(&shown(&error));
        }
        match service.begin(call()).await {
            Ok(operation) => {
                let _ = write!(errors, "{operation:?}");
                if let Err(error) = operation.wait().await {
                    errors.push_str(&shown(&error));
                }
            }
            Err(error) => errors.push_str(&shown(&error)),
        }
        let list = service.items(Call::<Page<Value>>::get("test", "/x").query("sig", CANARY));
        if let Err(error) = list.try_collect::<Vec<_>>().await {
            errors.push_str(&shown(&error));
        }
        let _ = write!(errors, "{service:?}");
    }
    drop(guard);
    let log = log.text();
    assert!(
        log.contains("client_request_id=") && log.contains("trying again"),
        "the log is not empty: {log}"
    );
    assert!(errors.len() > 5000, "there were errors");
    for (what, text) in [("log", &log), ("errors", &errors)] {
        let line = text.lines().find(|line| line.contains(CANARY));
        assert!(line.is_none(), "{what}: {}", line.unwrap_or_default());
    }
}

#[cfg(feature = "identity")]
#[tokio::test]
async fn the_sdk_below_logs_no_secret_either() {
    use mlops_azure::auth::{Identity, Scope, TokenSource as _};

    let log = Log::default();
    let guard = tracing::subscriber::set_default(log.clone());
    let answer = format!(r#"{{"token_type":"Bearer","expires_in":3599,"access_token":"{CANARY}"}}"#);
    let refused = format!(r#"{{"error_codes":[7],"error_description":"secret {CANARY}"}}"#);
    for step in [json(200, &answer), json(401, &refused), Step::Lost] {
        let secret = Secret::new(CANARY);
        let memory = Memory::steps(vec![step]);
        let endpoints = Endpoints::of(Cloud::Public).unwrap();
        let source = Identity::client_secret(&endpoints, memory, "contoso.com", "client", &secret).unwrap();
        let _ = source.token(&Scope::new("https://ml.azure.com/.default").unwrap()).await;
    }
    drop(guard);
    let log = log.text();
    assert!(log.contains("login.microsoftonline.com") && !log.contains(CANARY), "{log}");
}

#[test]
fn no_debug_shows_a_secret() {
    let token = AccessToken::new(CANARY, "2100-01-01T00:00:00Z".parse().unwrap());
    let fixed = Arc::new(FixedToken::new(token.clone()));
    let clock = Arc::new(SystemClock::new());
    let memory = Memory::steps(vec![json(200, "")]);
    let variables = [("MSI_ENDPOINT", "http://127.0.0.1:1/"), ("MSI_SECRET", CANARY)];
    let job = JobIdentity::from_variables(&variables[..], memory).unwrap();
    let mut request = HttpRequest::new(
        mlops_azure::http::Method::PUT,
        format!("https://sa.blob.core.windows.net/c?sig={CANARY}").parse().unwrap(),
    );
    request.headers.insert("x-ms-copy-source", CANARY.parse().unwrap());
    request.body = HttpBody::from(CANARY);
    let call = Call::<Value>::post("test", "/x").json(&CANARY).unwrap().query("code", CANARY);
    let principal = Credentials::ServicePrincipal {
        client_id: "c".to_owned(),
        tenant_id: "t".to_owned(),
        secret: Some(Secret::new(CANARY)),
        other: serde_json::Map::new(),
    };
    let store =
        Datastore::blob("sa", "c").with_credentials(Credentials::AccountKey(Some(Secret::new(CANARY))));
    let read = |text: String| serde_json::from_str::<Datastore>(&text).unwrap();
    let unknown = read(format!(
        r#"{{"datastoreType":"New","credentials":{{"credentialsType":"New","secrets":{{"k":"{CANARY}"}}}}}}"#
    ));
    let sas: DatastoreSecrets =
        serde_json::from_value(value!({ "secretsType": "Sas", "sasToken": CANARY })).unwrap();
    let keys: EndpointKeys =
        serde_json::from_value(value!({ "primaryKey": CANARY, "secondaryKey": CANARY })).unwrap();
    let aml: EndpointToken = serde_json::from_value(
        value!({ "accessToken": CANARY, "expiryTimeUtc": 1, "refreshAfterTimeUtc": 1, "tokenType": "Bearer" }),
    )
    .unwrap();
    let proxy = ProxySetting::Url { url: Secret::new(CANARY), except: String::new() };
    let service = Service::resource_manager(&Endpoints::of(Cloud::Public).unwrap(), fixed.clone());
    let debugs: Vec<Box<dyn fmt::Debug>> = vec![
        Box::new(token),
        Box::new(TokenCache::new(fixed.clone(), clock)),
        Box::new(TokenChain::new().or_within("fixed", Duration::from_secs(1), fixed.clone())),
        Box::new(MlflowTokens::new(fixed.clone(), Cloud::Public)),
        Box::new(fixed),
        Box::new(job),
        Box::new(request),
        Box::new(call),
        Box::new(principal),
        Box::new(store),
        Box::new(unknown),
        Box::new(sas),
        Box::new(keys),
        Box::new(aml),
        Box::new(ReqwestConfig { proxy, ..ReqwestConfig::default() }),
        Box::new(service),
    ];
    for debug in debugs {
        let shown = format!("{debug:?} {debug:#?}");
        assert!(!shown.contains(CANARY), "{shown}");
    }
}
