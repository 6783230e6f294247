//! Resource providers that a subscription is not registered to use.

use serde_json::json;

use super::exchange::{FakeAnswer, FakeRequest};
use super::path::ArmPath;
use super::state::State;

impl State {
    /// Takes back the registration of a provider; a new one takes so many looks.
    pub(super) fn unregister(&mut self, namespace: &str, looks: u32) {
        self.unregistered.insert(namespace.to_ascii_lowercase(), Registration { begun: false, left: looks });
    }

    /// Refuses a request to a provider that is not registered, and every later one under the same id.
    pub(super) fn refuse_unregistered(
        &mut self,
        request: &FakeRequest,
        path: &ArmPath,
    ) -> Result<(), FakeAnswer> {
        let about_provider =
            path.words.is_empty() || path.words.iter().any(|w| w.eq_ignore_ascii_case("register"));
        let id = request.header("x-ms-client-request-id").unwrap_or_default().to_owned();
        let refused = self.unregistered.contains_key(&path.namespace.to_ascii_lowercase());
        if about_provider || !(refused || self.remembered.contains(&id)) {
            return Ok(());
        }
        if !id.is_empty() {
            self.remembered.insert(id);
        }
        let message = format!("The subscription is not registered to use namespace '{}'.", path.namespace);
        Err(FakeAnswer::error(409, "MissingSubscriptionRegistration", message))
    }

    /// Begins to register a provider.
    pub(super) fn register(&mut self, path: &ArmPath) -> FakeAnswer {
        if let Some(registration) = self.unregistered.get_mut(&path.namespace.to_ascii_lowercase()) {
            registration.begun = true;
        }
        self.provider(path)
    }

    /// A provider as it is, which is a look at its registration.
    pub(super) fn provider(&mut self, path: &ArmPath) -> FakeAnswer {
        let key = path.namespace.to_ascii_lowercase();
        let state = match self.unregistered.get_mut(&key) {
            None => "Registered",
            Some(registration) if !registration.begun => "NotRegistered",
            Some(registration) if registration.left > 0 => {
                registration.left -= 1;
                "Registering"
            }
            Some(_) => {
                self.unregistered.remove(&key);
                "Registered"
            }
        };
        FakeAnswer::ok(json!({ "namespace": path.namespace, "registrationState": state }))
    }
}

/// A registration that is not there, or under way.
#[derive(Debug)]
pub(super) struct Registration {
    begun: bool,
    /// How many more looks it takes.
    left: u32,
}
