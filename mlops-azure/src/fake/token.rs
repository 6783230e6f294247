//! Tokens that the fake gives out and knows again.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use chrono::DateTime;
use mlops_core::Result;
use reqwest::{Method, Url};
use serde_json::json;

use super::exchange::{FakeAnswer, FakeRequest};
use crate::auth::{AccessToken, Scope, TokenSource};

/// The tenant that the challenge names.
pub(super) const TENANT: &str = "00000000-0000-0000-0000-00000000007e";

/// When tokens end, in seconds of Unix: in 2100.
const FAR: i64 = 4_102_444_800;

/// A source of tokens, one for each scope, and the service that checks them.
///
/// As a cache does, it gives the same token until a service refused it.
#[derive(Default)]
pub(super) struct FakeTokens(Mutex<State>);

#[derive(Default)]
struct State {
    given: BTreeMap<Scope, AccessToken>,
    /// By token, the audience.
    good: HashMap<String, String>,
    expired: u64,
    issued: u64,
}

impl FakeTokens {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many tokens were given out.
    pub(super) fn issued(&self) -> u64 {
        self.state().issued
    }

    /// No service takes any longer what was given out so far.
    pub(super) fn expire(&self) {
        let mut state = self.state();
        state.good.clear();
        state.expired += 1;
    }

    /// The token of a scope: the one that was given before, if no service refused it.
    fn give(&self, scope: &Scope) -> AccessToken {
        let mut state = self.state();
        if let Some(token) = state.given.get(scope) {
            return token.clone();
        }
        state.issued += 1;
        // Looks like no other text of a test, so that one that leaks is found.
        let text = format!("fake-token-canary-{}", state.issued);
        let token = AccessToken::new(text.clone(), DateTime::from_timestamp(FAR, 0).unwrap_or_default());
        state.good.insert(text, scope.audience().to_owned());
        state.given.insert(scope.clone(), token.clone());
        token
    }

    /// Answers as the issuer of tokens does: whoever says who they are gets a token for the scope that they name.
    pub(super) fn issuer(&self, request: &FakeRequest) -> FakeAnswer {
        let bad = |code: &str, text: &str| {
            FakeAnswer::json(400, json!({ "error": code, "error_description": text }))
        };
        if request.method != Method::POST || !request.path().ends_with("/oauth2/v2.0/token") {
            return FakeAnswer::error(404, "NotFound", "there are tokens alone");
        }
        let form = String::from_utf8_lossy(&request.body);
        let form = Url::parse(&format!("http://form/?{form}")).ok();
        let said = |name: &str| {
            let pair = form.as_ref()?.query_pairs().find(|(key, _)| key == name)?;
            Some(pair.1.into_owned()).filter(|value| !value.is_empty())
        };
        if said("grant_type").is_none() || said("client_id").is_none() {
            return bad(
                "invalid_request",
                "AADSTS900144: The request body must contain 'grant_type' and 'client_id'.",
            );
        }
        // OpenID's own scopes may stand beside it.
        let scope = said("scope").and_then(|s| s.split(' ').find_map(|one| Scope::new(one).ok()));
        match scope {
            None => bad("invalid_scope", "AADSTS70011: The provided value for 'scope' is not valid."),
            Some(scope) => FakeAnswer::ok(json!({
                "token_type": "Bearer", "expires_in": 3599, "ext_expires_in": 3599,
                "access_token": self.give(&scope).secret.expose(),
            })),
        }
    }

    /// What is answered to a request without a token for this audience; `None` for one that has it.
    pub(super) fn objection(&self, request: &FakeRequest, audience: &str) -> Option<FakeAnswer> {
        let trim = |text: &str| text.trim_end_matches('/').to_ascii_lowercase();
        let state = self.state();
        let (code, message) = match request.bearer().map(|token| state.good.get(token)) {
            Some(Some(given)) if trim(given) == trim(audience) => return None,
            Some(Some(_)) => {
                ("InvalidAuthenticationTokenAudience", "The access token is for another audience.")
            }
            Some(None) if state.expired > 0 => {
                ("ExpiredAuthenticationToken", "The access token expiry is in the past.")
            }
            Some(None) => ("InvalidAuthenticationToken", "The access token is invalid."),
            None => ("AuthenticationFailed", "Authentication failed. The 'Authorization' header is missing."),
        };
        let challenge = format!(
            r#"Bearer authorization="https://login.microsoftonline.com/{TENANT}", resource="{audience}", error="invalid_token""#
        );
        Some(FakeAnswer::error(401, code, message).with("www-authenticate", challenge))
    }
}

#[async_trait]
impl TokenSource for FakeTokens {
    async fn token(&self, scope: &Scope) -> Result<AccessToken> {
        Ok(self.give(scope))
    }

    async fn refuse(&self, scope: &Scope, token: &AccessToken) {
        let mut state = self.state();
        if state.given.get(scope).is_some_and(|given| given.secret.expose() == token.secret.expose()) {
            state.given.remove(scope);
        }
    }
}

impl fmt::Debug for FakeTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FakeTokens").field("issued", &self.issued()).finish_non_exhaustive()
    }
}
