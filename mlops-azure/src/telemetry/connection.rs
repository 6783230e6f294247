//! Where Application Insights is.

use std::fmt;
use std::str::FromStr;

use mlops_core::governance::Secret;
use mlops_core::{Error, ErrorKind, Result};
use reqwest::Url;

use crate::auth::Scope;
use crate::config::Cloud;
use crate::config::cloud::Audience;
use crate::config::name::is_guid;
use crate::http::guard;

const OP: &str = "ConnectionString::from_str";

/// Where a resource of Application Insights takes telemetry, and the instrumentation key by which it knows whose it is. The key is in
/// neither `Debug` nor errors.
///
/// ```
/// use mlops_azure::telemetry::ConnectionString;
/// let text = "InstrumentationKey=00000000-0000-0000-0000-00000000abcd;IngestionEndpoint=https://eastus-1.in.applicationinsights.azure.com/";
/// let connection: ConnectionString = text.parse()?;
/// assert_eq!(connection.track_url().as_str(), "https://eastus-1.in.applicationinsights.azure.com/v2.1/track");
/// assert!(!format!("{connection:?}").contains("abcd"));
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Clone)]
pub struct ConnectionString {
    key: Secret,
    ingestion: Url,
    scope: Scope,
}

impl ConnectionString {
    /// The variable of the environment that Azure's own exporters read.
    pub const VARIABLE: &str = "APPLICATIONINSIGHTS_CONNECTION_STRING";

    /// Reads the variable [`VARIABLE`](Self::VARIABLE).
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] without it; as of `from_str`.
    pub fn from_env() -> Result<Self> {
        match std::env::var(Self::VARIABLE) {
            Ok(text) => text.parse(),
            Err(_) => Err(Error::not_found("ConnectionString::from_env", "variable", Self::VARIABLE)),
        }
    }

    /// The instrumentation key.
    pub fn key(&self) -> &Secret {
        &self.key
    }

    /// Where telemetry is posted.
    pub fn track_url(&self) -> Url {
        let mut url = self.ingestion.clone();
        let path = format!("{}/v2.1/track", self.ingestion.path().trim_end_matches('/'));
        url.set_path(&path);
        url
    }

    /// What a token has to be for, where local authentication is off.
    pub fn scope(&self) -> &Scope {
        &self.scope
    }
}

impl FromStr for ConnectionString {
    type Err = Error;

    /// Reads `Name=Value` pairs with `;` between, names in any case. Without `IngestionEndpoint`, `EndpointSuffix` and `Location` say
    /// where it is, and without those it is Azure's oldest, global one. Names that are not known are passed over.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] that names the part and never shows the text: no `InstrumentationKey` or one that is no GUID; an
    /// endpoint that is not `https` (in clear text this machine alone), has credentials or a query; a part that stands twice.
    fn from_str(text: &str) -> Result<Self> {
        let bad =
            |field: &str, reason: &str| Error::new(ErrorKind::InvalidInput, OP, reason).with("field", field);
        if text.len() > 4_096 {
            return Err(bad("connection_string", "is too long"));
        }
        const NAMES: [&str; 5] =
            ["instrumentationkey", "ingestionendpoint", "endpointsuffix", "location", "aadaudience"];
        let mut values: [Option<&str>; 5] = [None; 5];
        for part in text.split(';').map(str::trim).filter(|part| !part.is_empty()) {
            let (name, value) =
                part.split_once('=').ok_or_else(|| bad("connection_string", "has a part without `=`"))?;
            let known =
                NAMES.iter().zip(&mut values).find(|(known, _)| name.trim().eq_ignore_ascii_case(known));
            if let Some((known, slot)) = known
                && slot.replace(value.trim()).is_some()
            {
                return Err(bad(known, "stands twice"));
            }
        }
        let [key, ingestion, suffix, location, audience] = values;
        let key = key.ok_or_else(|| bad("InstrumentationKey", "is missing"))?;
        if !is_guid(key) {
            return Err(bad("InstrumentationKey", "is no GUID"));
        }
        let ingestion = match (ingestion, suffix) {
            (Some(url), _) => url.to_owned(),
            (None, Some(suffix)) => {
                let location = location.map(|location| format!("{location}.")).unwrap_or_default();
                format!("https://{location}dc.{suffix}")
            }
            (None, None) => "https://dc.services.visualstudio.com".to_owned(),
        };
        let url: Url = ingestion.parse().map_err(|_| bad("IngestionEndpoint", "is not a URL"))?;
        guard::may_carry_secrets(OP, "IngestionEndpoint", &url)?;
        if url.query().is_some() || url.fragment().is_some() {
            return Err(bad("IngestionEndpoint", "has a query or a fragment"));
        }
        let scope = match audience {
            Some(audience) => Scope::new(&format!("{}/.default", audience.trim_end_matches('/')))
                .map_err(|_| bad("AADAudience", "is no audience"))?,
            None => Cloud::Public.scope(Audience::Monitor),
        };
        Ok(Self { key: Secret::new(key), ingestion: url, scope })
    }
}

impl fmt::Debug for ConnectionString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionString")
            .field("host", &self.ingestion.host_str())
            .field("scope", &self.scope)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "InstrumentationKey=00000000-0000-0000-0000-0000000hunt2";

    #[test]
    fn what_is_wrong_is_named_and_the_key_is_not_shown() {
        let good = "InstrumentationKey=00000000-0000-0000-0000-00000000abcd";
        for (text, field) in [
            ("", "InstrumentationKey"),
            (KEY, "InstrumentationKey"),
            ("00000000-0000-0000-0000-00000000abcd", "connection_string"),
            (&format!("{good};instrumentationkey=x"), "instrumentationkey"),
            (&format!("{good};IngestionEndpoint=http://example.com"), "IngestionEndpoint"),
            (&format!("{good};IngestionEndpoint=https://u:p@example.com"), "IngestionEndpoint"),
            (&format!("{good};IngestionEndpoint=https://example.com/?a"), "IngestionEndpoint"),
            (&format!("{good};AADAudience=a b"), "AADAudience"),
            (&format!("{good};{}", "x".repeat(5_000)), "connection_string"),
        ] {
            let error = text.parse::<ConnectionString>().unwrap_err();
            assert_eq!(error.context("field"), Some(field), "{text}");
            let shown = format!("{error} {error:?}");
            assert!(!shown.contains("hunt2") && !shown.contains("abcd"), "{shown}");
        }
    }

    #[test]
    fn the_place_follows_from_suffix_and_location() {
        let url = |rest: &str| {
            let text = format!("InstrumentationKey=00000000-0000-0000-0000-00000000abcd{rest}");
            text.parse::<ConnectionString>().unwrap().track_url().to_string()
        };
        assert_eq!(url(""), "https://dc.services.visualstudio.com/v2.1/track");
        assert_eq!(
            url(";EndpointSuffix=ai.contoso.com;Location=westus2"),
            "https://westus2.dc.ai.contoso.com/v2.1/track"
        );
        assert_eq!(url("; ingestionendpoint = https://h/base/ ;Unknown=1"), "https://h/base/v2.1/track");
        assert_eq!(url(";IngestionEndpoint=http://127.0.0.1:9/"), "http://127.0.0.1:9/v2.1/track");
    }
}
