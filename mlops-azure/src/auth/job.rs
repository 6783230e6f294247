//! The managed identity of Azure Machine Learning's own compute.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{NaiveDateTime, TimeZone as _, Utc};
use mlops_core::governance::Secret;
use mlops_core::time::Timestamp;
use mlops_core::{Error, ErrorKind, Result};
use reqwest::header::HeaderValue;
use reqwest::{Method, Url};
use serde::Deserialize;

use super::token::{AccessToken, Scope, TokenSource};
use crate::config::Variables;
use crate::config::name::is_guid;
use crate::http::{HttpRequest, HttpTransport, Repeat, RetryPolicy, guard, retry};

/// The identity of a job or an instance on Azure Machine Learning's compute.
///
/// There `MSI_ENDPOINT` is an address on the machine, `MSI_SECRET` what it wants to see, and `DEFAULT_IDENTITY_CLIENT_ID` which
/// of the compute's identities is meant. No other managed identity speaks this protocol (version 2017-09-01, the client's id
/// as `clientid`), and `azure_identity` does not.
///
/// ```
/// use std::sync::Arc;
/// use mlops_azure::auth::JobIdentity;
/// use mlops_azure::http::{ReqwestConfig, ReqwestTransport};
///
/// let transport = Arc::new(ReqwestTransport::new(&ReqwestConfig::default())?);
/// let variables = [("MSI_ENDPOINT", "http://127.0.0.1:46808/MSI/auth"), ("MSI_SECRET", "hunter2")];
/// let identity = JobIdentity::from_variables(&variables[..], transport)?;
/// assert!(!format!("{identity:?}").contains("hunter2"));
/// # Ok::<(), mlops_core::Error>(())
/// ```
pub struct JobIdentity {
    transport: Arc<dyn HttpTransport>,
    endpoint: Url,
    secret: Secret,
    client_id: Option<String>,
}

impl JobIdentity {
    const OP: &str = "JobIdentity::token";

    /// The identity that the environment names; of two client ids `AZURE_CLIENT_ID` is meant, else
    /// `DEFAULT_IDENTITY_CLIENT_ID`.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] where the environment is not that of such a compute; [`ErrorKind::InvalidInput`] for an endpoint
    /// that is no URL or neither on this machine nor on its link (169.254.0.0/16), and for a client id that is no GUID.
    pub fn from_variables(
        variables: &(impl Variables + ?Sized),
        transport: Arc<dyn HttpTransport>,
    ) -> Result<Self> {
        let read = |name: &'static str| {
            let missing = || Error::new(ErrorKind::NotFound, Self::OP, format!("{name} is not set"));
            variables.read(name).ok_or_else(missing)
        };
        let (endpoint, secret) = (read("MSI_ENDPOINT")?, Secret::new(read("MSI_SECRET")?));
        let named = ["AZURE_CLIENT_ID", "DEFAULT_IDENTITY_CLIENT_ID"];
        let client = named.iter().find_map(|name| variables.read(name).map(|id| (*name, id)));
        if let Some((name, id)) = client.as_ref().filter(|(_, id)| !is_guid(id)) {
            return Err(Error::invalid(Self::OP, name, "is not a GUID").with("value", id));
        }
        let client_id = client.map(|(_, id)| id);
        let endpoint = Url::parse(&endpoint)
            .map_err(|_| Error::invalid(Self::OP, "MSI_ENDPOINT", "MSI_ENDPOINT is not a URL"))?;
        // The secret is the endpoint's own.
        if !guard::is_link_local(&endpoint) {
            guard::may_carry_secrets(Self::OP, "MSI_ENDPOINT", &endpoint)?;
        }
        Ok(Self { transport, endpoint, secret, client_id })
    }

    fn request(&self, scope: &Scope) -> Result<HttpRequest> {
        let mut url = self.endpoint.clone();
        url.query_pairs_mut()
            .append_pair("api-version", "2017-09-01")
            .append_pair("resource", scope.audience());
        if let Some(id) = &self.client_id {
            url.query_pairs_mut().append_pair("clientid", id);
        }
        let mut request = HttpRequest::new(Method::GET, url);
        let mut secret = HeaderValue::from_str(self.secret.expose()).map_err(|_| {
            Error::invalid(Self::OP, "MSI_SECRET", "holds a character that no header can hold")
        })?;
        secret.set_sensitive(true);
        request.headers.insert("secret", secret);
        request.timeout = Duration::from_secs(10);
        Ok(request)
    }
}

impl fmt::Debug for JobIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobIdentity").field("client_id", &self.client_id).finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct Answer {
    access_token: String,
    expires_on: Number,
}

/// What is a number of seconds since 1970, as a number or a text, or a date.
#[derive(Deserialize)]
#[serde(untagged)]
enum Number {
    Number(i64),
    Text(String),
}

#[async_trait]
impl TokenSource for JobIdentity {
    async fn token(&self, scope: &Scope) -> Result<AccessToken> {
        const LIMIT: usize = 1 << 20;
        let policy = RetryPolicy { attempts: 4, ..RetryPolicy::default() };
        let request = self.request(scope)?;
        let answer =
            retry::send(&*self.transport, &policy, Self::OP, Repeat::Safe, Some(LIMIT), request).await?;
        let status = answer.status;
        if status != 200 {
            return Err(Error::new(
                ErrorKind::Auth,
                Self::OP,
                format!("the compute answered with status {status}"),
            )
            .with("status", status)
            .with_retryable(retry::is_transient(status)));
        }
        let body = answer.body.collect(LIMIT).await?;
        let bad = |what| Error::new(ErrorKind::Protocol, Self::OP, what);
        // The parser's error could quote the token.
        let answer: Answer =
            serde_json::from_slice(&body).map_err(|_| bad("the compute's answer is not a token"))?;
        let expires = expires_on(&answer.expires_on).ok_or_else(|| bad("the token's end is not a time"))?;
        Ok(AccessToken::new(answer.access_token, expires))
    }

    async fn refuse(&self, _: &Scope, _: &AccessToken) {}
}

fn expires_on(number: &Number) -> Option<Timestamp> {
    let text = match number {
        Number::Number(seconds) => return Utc.timestamp_opt(*seconds, 0).single(),
        Number::Text(text) => text.trim(),
    };
    if let Ok(seconds) = text.parse() {
        return Utc.timestamp_opt(seconds, 0).single();
    }
    let date = text.strip_suffix("+00:00").unwrap_or(text).trim();
    ["%m/%d/%Y %H:%M:%S", "%m/%d/%Y %I:%M:%S %p"]
        .iter()
        .find_map(|format| NaiveDateTime::parse_from_str(date, format).ok())
        .map(|time| time.and_utc())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_token_is_read_in_every_form() {
        for (text, expected) in [
            ("1586984735", Some("2020-04-15T21:05:35Z")),
            ("4/15/2020 21:05:35 +00:00", Some("2020-04-15T21:05:35Z")),
            ("04/15/2020 09:05:35 PM +00:00", Some("2020-04-15T21:05:35Z")),
            ("tomorrow", None),
            ("99999999999999999", None),
            ("", None),
        ] {
            let expected = expected.map(|t| t.parse::<Timestamp>().unwrap());
            assert_eq!(expires_on(&Number::Text(text.to_owned())), expected, "{text}");
        }
        assert_eq!(expires_on(&Number::Number(i64::MAX)), None);
    }
}
