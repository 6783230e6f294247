//! Tokens that the fake gives out and knows again.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use mlops_core::Result;
use mlops_core::time::Timestamp;

use super::exchange::{FakeAnswer, FakeRequest};
use crate::auth::{AccessToken, Scope, TokenSource};

/// The tenant that the challenge names.
pub(super) const TENANT: &str = "00000000-0000-0000-0000-00000000007e";

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
        let mut state = self.state();
        if let Some(token) = state.given.get(scope) {
            return Ok(token.clone());
        }
        state.issued += 1;
        // Looks like no other text of a test, so that one that leaks is found.
        let text = format!("fake-token-canary-{}", state.issued);
        let token = AccessToken::new(text.clone(), Timestamp::MAX_UTC);
        state.good.insert(text, scope.audience().to_owned());
        state.given.insert(scope.clone(), token.clone());
        Ok(token)
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
