//! The fake over real sockets, as another process meets it.

use std::sync::Arc;
use std::time::Duration;

use futures_util::TryStreamExt as _;
use mlops_azure::auth::{AccessToken, FixedToken, Scope};
use mlops_azure::config::{Cloud, Endpoints};
use mlops_azure::http::{
    Call, HttpBody, HttpRequest, HttpTransport as _, Method, Page, PollPolicy, ReqwestConfig,
    ReqwestTransport, RetryPolicy, Service,
};
use mlops_core::ErrorKind;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{OP, VERSION, call, fresh, put};

/// A token of the issuer, as somebody gets it who has nothing but the address.
async fn token(url: &str, form: &'static str) -> (u16, Value) {
    let transport = ReqwestTransport::new(&ReqwestConfig::default()).unwrap();
    let url = format!("{url}/00000000-0000-0000-0000-00000000007e/oauth2/v2.0/token").parse().unwrap();
    let mut request = HttpRequest::new(Method::POST, url);
    request.body = HttpBody::from(form);
    let answer = transport.send(request).await.unwrap();
    (answer.status, serde_json::from_slice(&answer.body.collect(65_536).await.unwrap()).unwrap())
}

fn service(url: &str, token: &str) -> Service {
    let tokens = FixedToken::new(AccessToken::new(token, "2100-01-01T00:00:00Z".parse().unwrap()));
    let endpoints = Endpoints::of(Cloud::Public).unwrap().with_resource_manager(url).unwrap();
    let retry = RetryPolicy::default().with_initial(Duration::ZERO);
    let poll = PollPolicy::default().with_initial(Duration::ZERO).with_longest(Duration::from_millis(1));
    Service::resource_manager(&endpoints, Arc::new(tokens)).retry(retry).poll(poll).build().unwrap()
}

#[tokio::test]
async fn another_process_gets_a_token_and_does_what_this_one_can() {
    let azure = fresh();
    let listener = azure.listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let url = listener.url();
    let form = "grant_type=client_credentials&client_id=me&client_secret=x&scope=https%3A%2F%2Fmanagement.azure.com%2F.default";
    let (status, said) = token(&url, form).await;
    assert_eq!((status, said["token_type"].as_str()), (200, Some("Bearer")));
    let arm = service(&url, said["access_token"].as_str().unwrap());
    // An operation: its status is asked for here, and not at the real Azure.
    azure.faults().slow_operations(1).lose_answers(1);
    let endpoint = json!({ "location": "eastus", "properties": { "authMode": "Key" } });
    let made: Value =
        arm.begin(put(&azure, "/onlineEndpoints/churn", &endpoint)).await.unwrap().wait().await.unwrap();
    assert_eq!(made["properties"]["provisioningState"], "Succeeded");
    arm.begin(call(&azure, Method::DELETE, "/onlineEndpoints/churn")).await.unwrap().wait().await.unwrap();
    assert!(azure.resource(&format!("{}/onlineEndpoints/churn", azure.workspace().id())).is_none());
    // A list whose pages lead back here too.
    for n in 0..12 {
        arm.call(put(&azure, &format!("/jobs/train-{n}"), &json!({ "properties": {} }))).await.unwrap();
    }
    let list: Call<Page<Value>> =
        Call::get(OP, format!("{}/jobs", azure.workspace().id())).query("api-version", VERSION);
    let items: Vec<Value> = arm.items(list).try_collect().await.unwrap();
    assert_eq!(items.len(), 12);
    assert!(azure.requests().iter().all(|line| line.contains(" https://")), "{:?}", azure.requests());
    drop(listener);
    let gone = arm.call(call(&azure, Method::GET, "")).await.unwrap_err();
    assert_eq!(gone.kind(), ErrorKind::Transport);
}

#[tokio::test]
async fn the_issuer_and_resource_manager_refuse_what_is_wrong() {
    let azure = fresh();
    let listener = azure.listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
    for (form, code) in [
        ("", "invalid_request"),
        ("grant_type=client_credentials&scope=https://management.azure.com/.default", "invalid_request"),
        ("grant_type=client_credentials&client_id=me", "invalid_scope"),
        ("grant_type=client_credentials&client_id=me&scope=openid", "invalid_scope"),
    ] {
        let (status, said) = token(&listener.url(), form).await;
        assert_eq!((status, said["error"].as_str()), (400, Some(code)), "{form}");
    }
    let storage =
        "grant_type=client_credentials&client_id=me&scope=openid%20https://storage.azure.com/.default";
    let (_, said) = token(&listener.url(), storage).await;
    let arm = service(&listener.url(), said["access_token"].as_str().unwrap());
    assert_eq!(arm.call(call(&azure, Method::GET, "")).await.unwrap_err().kind(), ErrorKind::Auth);
    let scope = Scope::new("https://storage.azure.com/.default").unwrap();
    assert_eq!(
        azure.tokens().token(&scope).await.unwrap().secret.expose(),
        said["access_token"].as_str().unwrap()
    );
}

/// What is sent byte for byte, and what comes back until the other end closes.
async fn raw(url: &str, text: &str) -> String {
    let mut stream = tokio::net::TcpStream::connect(url.strip_prefix("http://").unwrap()).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer).await;
    answer
}

#[tokio::test]
async fn bytes_that_are_no_request_get_no_answer_and_harm_nobody() {
    let azure = fresh();
    let listener = azure.listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let url = listener.url();
    for text in [
        "",
        "SSH-2.0-x\r\n\r\n",
        "GET\r\n\r\n",
        "GET http://evil.example/ HTTP/1.1\r\nhost: localhost\r\n\r\n",
        "PUT / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 99999999999999999999\r\n\r\n",
        "PUT / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\n\r\nab",
        "PUT / HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffff\r\nx",
        "PUT / HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nx",
    ] {
        assert_eq!(raw(&url, text).await, "", "{text:?}");
    }
    assert_eq!(azure.count(), 0);
    // Two requests on one connection, the first in chunks.
    let form = "grant_type=client_credentials&client_id=me&scope=https://ml.azure.com/.default";
    let chunked = format!(
        "POST /t/oauth2/v2.0/token HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{form}\r\n0\r\n\r\n\
         GET /subscriptions HTTP/1.1\r\nhost: localhost\r\n\r\n",
        form.len()
    );
    let answers = raw(&url, &chunked).await;
    assert!(
        answers.starts_with("HTTP/1.1 200 Fake\r\n") && answers.contains("HTTP/1.1 401 Fake\r\n"),
        "{answers}"
    );
    assert!(answers.contains("www-authenticate: Bearer authorization="), "{answers}");
}
