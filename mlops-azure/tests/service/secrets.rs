//! No secret in any `Debug`, `Display` or log line.

use std::fmt::{self, Write as _};
use std::sync::Arc;
use std::time::Duration;

use futures_util::TryStreamExt as _;
use mlops_azure::auth::{AccessToken, FixedToken, JobIdentity, MlflowTokens, TokenCache, TokenChain};
use mlops_azure::config::{Cloud, Endpoints};
use mlops_azure::environment::PendingUpload;
use mlops_azure::event::EventReceiver;
use mlops_azure::governance::KeyVault;
use mlops_azure::http::{
    Call, HeaderMap, HttpBody, HttpRequest, HttpResponse, Page, ProxySetting, Reply, ReqwestConfig, Service,
};
use mlops_azure::mlflow::{AzureMlflow, JobRun, MlflowAuth, MlflowClient, RawCall};
use mlops_azure::telemetry::{AppInsights, ConnectionString, OtlpExporter};
use mlops_azure::wire::autoscale::AutoscaleSetting;
use mlops_azure::wire::event::{DeliveryValue, Destination};
use mlops_azure::wire::history::{RunDetails, SignedUrl};
use mlops_azure::wire::pending_upload::BlobReference;
use mlops_azure::wire::quiet::Hidden;
use mlops_azure::wire::secret::SecretBundle;
use mlops_azure::wire::{ContentInfo, Credentials, Datastore, DatastoreSecrets, EndpointKeys, EndpointToken};
use mlops_core::governance::Secret;
use mlops_core::time::SystemClock;
use serde_json::{Value, json as value};

use crate::log::Log;
use crate::memory::*;

/// Values that hold the canary, by the names of their types.
macro_rules! holding {
    ($($name:ident => $value:expr),+ $(,)?) => {
        vec![$((stringify!($name), Box::new($value) as Box<dyn fmt::Debug>)),+]
    };
}
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
    for step in [json(200, &answer), json(401, &refused), json(503, &refused), Step::Lost] {
        let secret = Secret::new(CANARY);
        let memory = Memory::steps(vec![step]);
        let endpoints = Endpoints::of(Cloud::Public).unwrap();
        let source = Identity::client_secret(&endpoints, memory, "contoso.com", "client", &secret).unwrap();
        assert!(!format!("{source:?} {source:#?}").contains(CANARY));
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
        other: Default::default(),
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
    let details = format!(
        r#"{{"runId":"j","logFiles":{{"a":"https://sa/c?sig={CANARY}"}},"error":{{"code":"{CANARY}"}}}}"#
    );
    let details: RunDetails = serde_json::from_str(&details).unwrap();
    let text = value!(format!("https://sa.blob.core.windows.net/c?sig={CANARY}"));
    let signed: SignedUrl = serde_json::from_value(text.clone()).unwrap();
    let pending = PendingUpload::new("https://sa/c", signed.clone());
    let reference: BlobReference =
        serde_json::from_value(value!({ "blobUri": "https://sa/c", "credential": { "sasUri": text } }))
            .unwrap();
    let content: ContentInfo = serde_json::from_value(value!({ "contentUri": text })).unwrap();
    let bundle: SecretBundle =
        serde_json::from_value(value!({ "value": CANARY, "id": "https://v.vault.azure.net/secrets/s/1" }))
            .unwrap();
    let destination = Destination::webhook(&Secret::new(CANARY)).with_key("x-key", &Secret::new(CANARY));
    let value_of_header = DeliveryValue::Secret(Hidden(Secret::new(CANARY)));
    let autoscale: AutoscaleSetting = serde_json::from_value(value!({
        "profiles": [], "notifications": [{ "webhooks": [{ "serviceUri": format!("https://h?code={CANARY}") }] }],
    }))
    .unwrap();
    let mut headers = HeaderMap::new();
    headers.insert("x-ms-copy-source", CANARY.parse().unwrap());
    let reply = Reply::new(200, headers.clone(), CANARY.into());
    let response = HttpResponse::new(200, headers.clone(), CANARY.to_owned().into());
    let mut raw = RawCall::new(mlops_azure::http::Method::PUT, "x").query("sig", CANARY).body(CANARY);
    raw.headers = headers;
    let secrets = [Secret::new(CANARY)];
    let answer = mlops_azure::error::Answer::new(400, b"").with_secrets(&secrets);
    let receiver = EventReceiver::new().unwrap().with_key("x-key", Secret::new(CANARY)).unwrap();
    let tracking = "azureml://eastus.api.azureml.ms/mlflow/v1.0/subscriptions/01234567-89ab-cdef-0123-456789abcdef/resourceGroups/rg/providers/Microsoft.MachineLearningServices/workspaces/wsp";
    let run = [("MLFLOW_TRACKING_URI", tracking), ("MLFLOW_RUN_ID", "r"), ("MLFLOW_TRACKING_TOKEN", CANARY)];
    let run = JobRun::from_variables(&run[..]).unwrap().unwrap();
    let azure = || AzureMlflow::builder(tracking.parse().unwrap(), fixed.clone());
    let auth = MlflowAuth::Basic { user: "ann".to_owned(), password: Secret::new(CANARY) };
    let mlflow = MlflowClient::builder("https://h").auth(auth.clone());
    let vault = || KeyVault::named("vault-one", Cloud::Public, fixed.clone()).unwrap();
    // A key of Application Insights is a GUID.
    let key = "ca9a12ca-9a12-ca9a-12ca-9a12ca9a12ca";
    let connection: ConnectionString = format!("InstrumentationKey={key}").parse().unwrap();
    let insights = || AppInsights::builder(connection.clone());
    let otlp = OtlpExporter::new("https://h".parse().unwrap(), Memory::steps(vec![json(200, "")])).unwrap();
    let otlp = otlp.with_header("x-api-key", Secret::new(CANARY)).unwrap();
    let named = holding! {
        AccessToken => token,
        Answer => answer,
        AppInsights => insights().build().unwrap(),
        AppInsightsBuilder => insights(),
        AutoscaleSetting => autoscale,
        AzureMlflow => azure().build().unwrap(),
        AzureMlflowBuilder => azure(),
        BlobReference => reference,
        Call => call,
        ConnectionString => connection,
        ContentInfo => content,
        Credentials => principal,
        Datastore => store,
        Datastore => unknown,
        DatastoreSecrets => sas,
        DeliveryValue => value_of_header,
        Destination => destination.clone(),
        DestinationProperties => destination.properties,
        EndpointKeys => keys,
        EndpointToken => aml,
        EventReceiver => receiver,
        FixedToken => fixed.clone(),
        Hidden => Hidden(Secret::new(CANARY)),
        HttpRequest => request,
        HttpResponse => response,
        JobIdentity => job,
        JobRun => run,
        KeyVault => vault().build().unwrap(),
        KeyVaultBuilder => vault(),
        MlflowAuth => auth,
        MlflowAuth => MlflowAuth::Bearer(Secret::new(CANARY)),
        MlflowBuilder => mlflow.clone(),
        MlflowClient => mlflow.build().unwrap(),
        MlflowTokens => MlflowTokens::new(fixed.clone(), Cloud::Public),
        OtlpExporter => otlp,
        PendingUpload => pending,
        ProxySetting => proxy.clone(),
        RawCall => raw,
        Reply => reply,
        ReqwestConfig => ReqwestConfig::default().with_proxy(proxy),
        RunDetails => details,
        SecretBundle => bundle,
        Service => service.build().unwrap(),
        ServiceBuilder => Service::resource_manager(&Endpoints::of(Cloud::Public).unwrap(), fixed.clone()),
        SignedUrl => signed,
        TokenCache => TokenCache::new(fixed.clone(), clock),
        TokenChain => TokenChain::new().or_within("fixed", Duration::from_secs(1), fixed.clone()),
    };
    for (name, debug) in &named {
        let shown = format!("{debug:?} {debug:#?}");
        assert!(!shown.contains(CANARY) && !shown.contains(key), "{name}: {shown}");
    }
    let named: Vec<&str> = named.iter().map(|(name, _)| *name).chain(ELSEWHERE).collect();
    let missing: Vec<String> = holders().into_iter().filter(|name| !named.contains(&name.as_str())).collect();
    assert!(missing.is_empty(), "these hold a secret and are not tried here: {missing:?}");
}

/// Types that are tried with the features or the services that they need.
const ELSEWHERE: [&str; 3] = [
    // Below, with the feature `identity`.
    "Identity",
    // tests/azure/deploy.rs
    "AzureDeployerBuilder",
    // tests/azure/storage.rs
    "ContainerBuilder",
];

/// The names of all public types of this crate with a member that holds a secret, as its source says.
fn holders() -> Vec<String> {
    const KINDS: [&str; 14] = [
        "Secret",
        "Hidden",
        "SignedUrl",
        "AccessToken",
        "TokenSource",
        "TokenProvider",
        "TokenCredential",
        "StorageCredential",
        "Credentials",
        "AzureCredential",
        "HttpBody",
        "HeaderMap",
        "ProxySetting",
        "MlflowAuth",
    ];
    let source = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut names = Vec::new();
    for file in files(&source) {
        let text = std::fs::read_to_string(&file).unwrap();
        // Tests come last.
        let text = text.split("#[cfg(test)]\nmod tests").next().unwrap();
        for start in
            text.match_indices("\npub struct ").chain(text.match_indices("\npub enum ")).map(|(at, _)| at)
        {
            let rest = &text[start + 1..];
            // A type ends with a bracket at the beginning of a line, or on its first line.
            let first = rest.lines().next().unwrap();
            let end = if first.ends_with('{') { rest.find("\n}").unwrap() } else { first.len() };
            let words = |text: &str| -> Vec<String> {
                text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').map(str::to_owned).collect()
            };
            let body: Vec<String> = rest[..end]
                .lines()
                .filter(|line| !line.trim_start().starts_with("//"))
                .flat_map(words)
                .collect();
            let name = body[2].clone();
            if body[3..].iter().any(|word| KINDS.contains(&word.as_str())) {
                names.push(name);
            }
        }
    }
    assert!(names.len() >= 30, "{names:?}");
    names
}

fn files(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            // What stands for services in tests has no secrets of anybody.
            true if path.ends_with("fake") => {}
            true => found.extend(files(&path)),
            false => found.push(path),
        }
    }
    found
}
