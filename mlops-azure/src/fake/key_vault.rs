//! A Key Vault in memory, for tests.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use mlops_core::governance::Secret;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use reqwest::{Method, Url};
use serde_json::{Value, json};

use super::azure::FakeAzure;
use super::body::Bodies;
use super::exchange::{FakeAnswer, FakePart, FakeRequest};
use crate::config::cloud::Audience;
use crate::http::{HttpBody, HttpFault, HttpRequest, HttpResponse, HttpTransport};
use crate::wire::secret::VERSION;

/// A transport behind which one vault with soft delete answers, and nothing else.
///
/// It refuses a request without the token that it was made with, as the service does: with the challenge that says which token it
/// wants, also when the request has a body. Deleting and recovering take a while, in which the name is taken; lists come in pages of
/// two; names are one without case. Requests that the service would not know are answered with 400.
///
/// ```
/// use std::sync::Arc;
/// use mlops_azure::auth::{AccessToken, FixedToken};
/// use mlops_azure::config::Cloud;
/// use mlops_azure::fake::FakeKeyVault;
/// use mlops_azure::governance::KeyVault;
/// use mlops_core::SecretName;
/// use mlops_core::governance::{Secret, SecretStore as _};
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
/// let fake = Arc::new(FakeKeyVault::new("kv-churn", "the token"));
/// let tokens = Arc::new(FixedToken::new(AccessToken::new("the token", "2100-01-01T00:00:00Z".parse().unwrap())));
/// let vault = KeyVault::named("kv-churn", Cloud::Public, tokens)?.transport(fake.clone()).build()?;
/// vault.set(&SecretName::new("token")?, &Secret::new("hunter2")).await?;
/// assert_eq!(vault.get(&SecretName::new("token")?).await?.expose(), "hunter2");
/// assert_eq!(fake.requests().len(), 3, "the challenge, the write, the read");
/// # Ok::<(), mlops_core::Error>(()) })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct FakeKeyVault {
    host: String,
    token: Secret,
    resource: String,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    secrets: BTreeMap<String, Entry>,
    requests: Vec<String>,
    slowness: u32,
    busy: u32,
}

struct Entry {
    versions: Vec<Secret>,
    place: Place,
}

/// Where a secret is; the numbers are the looks that it still takes.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    Here,
    BeingDeleted(u32),
    Deleted,
    BeingRecovered(u32),
}

impl Entry {
    /// One look later.
    fn look(&mut self) -> Place {
        self.place = match self.place {
            Place::BeingDeleted(0) => Place::Deleted,
            Place::BeingDeleted(n) => Place::BeingDeleted(n - 1),
            Place::BeingRecovered(0) => Place::Here,
            Place::BeingRecovered(n) => Place::BeingRecovered(n - 1),
            place => place,
        };
        self.place
    }
}

impl FakeKeyVault {
    /// A vault of this name in the public cloud, which takes this token.
    pub fn new(name: &str, token: impl Into<String>) -> Self {
        Self {
            host: format!("{name}.vault.azure.net"),
            token: Secret::new(token),
            resource: "https://vault.azure.net".to_owned(),
            state: Mutex::default(),
        }
    }

    /// The same, but its challenge asks for a token for this resource.
    #[must_use]
    pub fn asking_for(mut self, resource: impl Into<String>) -> Self {
        self.resource = resource.into();
        self
    }

    /// The same, but a deletion and a recovery are done only after so many requests about the name.
    #[must_use]
    pub fn slow(self, looks: u32) -> Self {
        self.state().slowness = looks;
        self
    }

    /// The same, but the next so many requests with the right token are answered with 429.
    #[must_use]
    pub fn busy(self, requests: u32) -> Self {
        self.state().busy = requests;
        self
    }

    /// Every request so far: method, path, and what was wrong with a request that should not have been sent.
    pub fn requests(&self) -> Vec<String> {
        self.state().requests.clone()
    }

    /// How many versions a secret has, deleted or not.
    pub fn versions(&self, name: &str) -> usize {
        self.state().secrets.get(&name.to_lowercase()).map_or(0, |entry| entry.versions.len())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer(&self, asked: &Asked<'_>) -> Answer {
        let mut state = self.state();
        let path = asked.url.path().to_owned();
        let mut line = format!("{} {path}", asked.method);
        if !asked.authorized {
            if asked.has_body {
                line.push_str(" (a body without a token)");
            }
            state.requests.push(line);
            let challenge = format!(
                r#"Bearer authorization="https://login.microsoftonline.com/00000000-0000-0000-0000-000000000001", resource="{}""#,
                self.resource
            );
            return Answer::error(401, "Unauthorized", None).with(WWW_AUTHENTICATE.as_str(), &challenge);
        }
        state.requests.push(line);
        if state.busy > 0 {
            state.busy -= 1;
            return Answer::error(429, "Throttled", None).with(RETRY_AFTER.as_str(), "0");
        }
        if asked.url.host_str() != Some(&self.host)
            || query(asked.url, "api-version").as_deref() != Some(VERSION)
        {
            return Answer::error(400, "BadParameter", None);
        }
        let segments: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        match (asked.method, segments.as_slice()) {
            (&Method::GET, ["secrets"]) => self.list(&state, asked.url),
            (&Method::GET, ["secrets", name]) => self.get(&mut state, name),
            (&Method::PUT, ["secrets", name]) => self.set(&mut state, name, asked.body),
            (&Method::DELETE, ["secrets", name]) => self.delete(&mut state, name),
            (&Method::POST, ["deletedsecrets", name, "recover"]) => self.recover(&mut state, name),
            _ => Answer::error(400, "BadParameter", None),
        }
    }

    fn id(&self, name: &str) -> String {
        format!("https://{}/secrets/{name}", self.host)
    }

    fn list(&self, state: &State, url: &Url) -> Answer {
        const PAGE: usize = 2;
        let skip = query(url, "$skiptoken").and_then(|text| text.parse().ok()).unwrap_or(0);
        let names: Vec<&String> = state
            .secrets
            .iter()
            .filter(|(_, entry)| entry.place == Place::Here)
            .map(|(name, _)| name)
            .collect();
        let value: Vec<Value> = names
            .iter()
            .skip(skip)
            .take(PAGE)
            .map(|name| json!({"id": self.id(name), "attributes": {"enabled": true}}))
            .collect();
        let next = (skip + PAGE < names.len()).then(|| {
            format!("https://{}/secrets?api-version={VERSION}&$skiptoken={}", self.host, skip + PAGE)
        });
        Answer::ok(json!({"value": value, "nextLink": next}))
    }

    fn get(&self, state: &mut State, name: &str) -> Answer {
        let missing = || Answer::error(404, "SecretNotFound", None);
        let Some(entry) = state.secrets.get_mut(&name.to_lowercase()) else { return missing() };
        match (entry.look(), entry.versions.last()) {
            (Place::Here, Some(value)) => {
                let id = format!("{}/{:032x}", self.id(name), entry.versions.len());
                Answer::ok(json!({"value": value.expose(), "id": id, "attributes": {"enabled": true}}))
            }
            _ => missing(),
        }
    }

    fn set(&self, state: &mut State, name: &str, body: Option<&[u8]>) -> Answer {
        let Some(bytes) = body else { return Answer::error(400, "BadParameter", None) };
        let report =
            Bodies::official().findings(&Method::PUT, &self.host, &format!("/secrets/{name}"), bytes);
        if report.is_some_and(|report| !report.errors.is_empty()) {
            return Answer::error(400, "BadParameter", None);
        }
        let body: Value = serde_json::from_slice(bytes).unwrap_or_default();
        let Some(value) = body["value"].as_str().filter(|value| (1..=25_600).contains(&value.len())) else {
            return Answer::error(400, "BadParameter", None);
        };
        let fresh = Entry { versions: Vec::new(), place: Place::Here };
        let entry = state.secrets.entry(name.to_lowercase()).or_insert(fresh);
        match entry.look() {
            Place::Here => {
                entry.versions.push(Secret::new(value));
                let id = format!("{}/{:032x}", self.id(name), entry.versions.len());
                Answer::ok(json!({"value": value, "id": id, "attributes": {"enabled": true}}))
            }
            Place::Deleted => Answer::error(409, "Conflict", Some("ObjectIsDeletedButRecoverable")),
            Place::BeingDeleted(_) => Answer::error(409, "Conflict", Some("ObjectIsBeingDeleted")),
            Place::BeingRecovered(_) => Answer::error(409, "Conflict", Some("ObjectIsBeingRecovered")),
        }
    }

    fn delete(&self, state: &mut State, name: &str) -> Answer {
        let slowness = state.slowness;
        let Some(entry) = state.secrets.get_mut(&name.to_lowercase()) else {
            return Answer::error(404, "SecretNotFound", None);
        };
        match entry.look() {
            Place::Here => {
                entry.place = Place::BeingDeleted(slowness);
                Answer::ok(
                    json!({"id": self.id(name), "recoveryId": format!("https://{}/deletedsecrets/{name}", self.host)}),
                )
            }
            Place::Deleted => Answer::error(404, "SecretNotFound", None),
            Place::BeingDeleted(_) => Answer::error(409, "Conflict", Some("ObjectIsBeingDeleted")),
            Place::BeingRecovered(_) => Answer::error(409, "Conflict", Some("ObjectIsBeingRecovered")),
        }
    }

    fn recover(&self, state: &mut State, name: &str) -> Answer {
        let slowness = state.slowness;
        let missing = || Answer::error(404, "SecretNotFound", None);
        let Some(entry) = state.secrets.get_mut(&name.to_lowercase()) else { return missing() };
        match entry.look() {
            Place::Deleted => {
                entry.place = Place::BeingRecovered(slowness);
                Answer::ok(json!({"id": self.id(name)}))
            }
            Place::Here => missing(),
            Place::BeingDeleted(_) => Answer::error(409, "Conflict", Some("ObjectIsBeingDeleted")),
            Place::BeingRecovered(_) => Answer::error(409, "Conflict", Some("ObjectIsBeingRecovered")),
        }
    }
}

fn query(url: &Url, name: &str) -> Option<String> {
    url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

/// What is answered.
struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Value,
}

impl Answer {
    fn ok(body: Value) -> Self {
        Self { status: 200, headers: HeaderMap::new(), body }
    }

    fn error(status: u16, code: &str, inner: Option<&str>) -> Self {
        let message = "as the service would say";
        let mut error = json!({"code": code, "message": message});
        if let Some(inner) = inner {
            error["innererror"] = json!({"code": inner});
        }
        Self { status, headers: HeaderMap::new(), body: json!({"error": error}) }
    }

    fn with(mut self, name: &'static str, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(name, value);
        }
        self
    }
}

impl fmt::Debug for FakeKeyVault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FakeKeyVault").field("host", &self.host).finish_non_exhaustive()
    }
}

#[async_trait]
impl HttpTransport for FakeKeyVault {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, HttpFault> {
        let said = request.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let authorized = said == Some(&format!("Bearer {}", self.token.expose()));
        let body = match &request.body {
            HttpBody::Bytes(bytes) => Some(bytes.as_ref()),
            _ => None,
        };
        let has_body = !matches!(request.body, HttpBody::Empty);
        let asked = Asked { method: &request.method, url: &request.url, authorized, has_body, body };
        let Answer { status, headers, body } = self.answer(&asked);
        Ok(HttpResponse { status, headers, body: body.to_string().into() })
    }
}

/// As a part of [`FakeAzure`] it takes the tokens of that one for Key Vault.
impl FakePart for FakeKeyVault {
    fn answer(&self, request: &FakeRequest, azure: &FakeAzure) -> Option<FakeAnswer> {
        if request.host() != self.host {
            return None;
        }
        let authorized = azure.refuse_token(request, Audience::KeyVault).is_none();
        let has_body = !request.body.is_empty();
        let body = has_body.then_some(request.body.as_ref());
        let asked = Asked { method: &request.method, url: &request.url, authorized, has_body, body };
        let Answer { status, headers, body } = self.answer(&asked);
        let mut answer = FakeAnswer::json(status, body);
        answer.headers.extend(headers);
        Some(answer)
    }
}

/// A request, by whichever way it came.
struct Asked<'a> {
    method: &'a Method,
    url: &'a Url,
    authorized: bool,
    has_body: bool,
    body: Option<&'a [u8]>,
}
