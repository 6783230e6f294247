//! Online endpoints, their keys and tokens.

use mlops_core::governance::Secret;
use mlops_core::time::Timestamp;
use serde::{Deserialize, Deserializer, Serialize};

use super::open::{ProvisioningState, Switch};
use super::quiet::{Members, Text};
use super::resource::Properties;
use super::text::TextMap;
use super::traffic::{Traffic, TrafficError};

open_enum! {
    /// How callers say who they are.
    pub enum AuthMode {
        /// By one of two keys.
        Key = "Key",
        /// By a token that the workspace gives out.
        AmlToken = "AMLToken",
        /// By a token of Entra ID.
        AadToken = "AADToken",
    }
}

/// An online endpoint. It is written whole: a write that leaves out `mirrorTraffic` removes it, and PATCH changes tags and
/// identity alone.
///
/// ```
/// use mlops_azure::wire::endpoint::{AuthMode, OnlineEndpoint};
/// use mlops_azure::wire::{Identity, Resource};
/// let endpoint = Resource::new(OnlineEndpoint::new(AuthMode::AadToken)).with_location("eastus").with_identity(Identity::system());
/// assert_eq!(endpoint.body()?["properties"]["authMode"], "AADToken");
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OnlineEndpoint {
    /// How callers say who they are.
    pub auth_mode: AuthMode,
    /// What it is, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<Text>,
    /// The cluster of an endpoint on Kubernetes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compute: Option<String>,
    /// How requests are shared out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traffic: Option<Traffic>,
    /// Which deployment gets copies of requests, whose answers nobody gets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mirror_traffic: Option<Traffic>,
    /// Whether it can be reached from public networks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_network_access: Option<Switch>,
    /// Properties, which can be added and not changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub properties: Option<TextMap>,
    /// How far it is; read only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provisioning_state: Option<ProvisioningState>,
    /// Where requests go; read only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scoring_uri: Option<Text>,
    /// Where its description as of OpenAPI is; read only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub swagger_uri: Option<Text>,
    /// Members that this crate does not know.
    #[serde(flatten)]
    pub other: Members,
}

impl OnlineEndpoint {
    /// An endpoint without traffic.
    pub fn new(auth_mode: AuthMode) -> Self {
        Self {
            auth_mode,
            description: None,
            compute: None,
            traffic: None,
            mirror_traffic: None,
            public_network_access: None,
            properties: None,
            provisioning_state: None,
            scoring_uri: None,
            swagger_uri: None,
            other: Members::new(),
        }
    }

    /// Changes how requests and copies of them are shared out; everything else stays.
    ///
    /// # Errors
    /// As of [`Traffic::check_mirror`]; the endpoint is then as it was.
    ///
    /// ```
    /// use mlops_azure::wire::endpoint::{AuthMode, OnlineEndpoint};
    /// use mlops_azure::wire::Traffic;
    /// let mut endpoint = OnlineEndpoint::new(AuthMode::Key);
    /// endpoint.share(Traffic::new([("blue", 100)])?, Traffic::mirror("green", 10)?)?;
    /// assert!(endpoint.share(Traffic::new([("green", 100)])?, Traffic::mirror("green", 10)?).is_err());
    /// # Ok::<(), mlops_azure::wire::traffic::TrafficError>(())
    /// ```
    pub fn share(&mut self, live: Traffic, mirror: Traffic) -> Result<(), TrafficError> {
        live.check_mirror(&mirror)?;
        self.traffic = Some(live);
        self.mirror_traffic = Some(mirror);
        Ok(())
    }
}

impl Properties for OnlineEndpoint {
    const READ_ONLY: &'static [&'static str] = &["provisioningState", "scoringUri", "swaggerUri", "keys"];
}

/// The answer to POST `…/listKeys`. Its `Debug` shows nothing.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EndpointKeys {
    /// The first key.
    #[serde(deserialize_with = "secret")]
    pub primary_key: Secret,
    /// The second key, where there is one.
    #[serde(default, deserialize_with = "maybe_secret")]
    pub secondary_key: Option<Secret>,
}

/// The answer to POST `…/token`. Its `Debug` does not show the token.
///
/// ```
/// use mlops_azure::wire::EndpointToken;
/// let answer = r#"{"accessToken":"hunter2","expiryTimeUtc":1798761600,"refreshAfterTimeUtc":1798758000,"tokenType":"Bearer"}"#;
/// let token: EndpointToken = serde_json::from_str(answer)?;
/// assert!(!format!("{token:?}").contains("hunter2") && token.refresh_after < token.expires);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, Deserialize)]
pub struct EndpointToken {
    /// The token.
    #[serde(rename = "accessToken", deserialize_with = "secret")]
    pub token: Secret,
    /// When it ends.
    #[serde(rename = "expiryTimeUtc", deserialize_with = "seconds")]
    pub expires: Timestamp,
    /// When another should be asked for.
    #[serde(rename = "refreshAfterTimeUtc", deserialize_with = "seconds")]
    pub refresh_after: Timestamp,
}

pub(super) fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Secret, D::Error> {
    String::deserialize(deserializer).map(Secret::new)
}

fn maybe_secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Secret>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.map(Secret::new))
}

/// Seconds since 1970.
fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
    let seconds = i64::deserialize(deserializer)?;
    Timestamp::from_timestamp(seconds, 0).ok_or_else(|| serde::de::Error::custom("is not a time"))
}

open_enum! {
    /// Which of an endpoint's keys.
    pub enum KeyType {
        /// The first.
        Primary = "Primary",
        /// The second.
        Secondary = "Secondary",
    }
}

/// What makes another key: POST `…/regenerateKeys`.
///
/// ```
/// use mlops_azure::wire::endpoint::{KeyType, RegenerateKeys};
/// let body = serde_json::to_value(RegenerateKeys { key_type: KeyType::Primary })?;
/// assert_eq!(body["keyType"], "Primary");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RegenerateKeys {
    /// Which; the service draws the new one.
    pub key_type: KeyType,
}
