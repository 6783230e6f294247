//! The version of the API that is spoken.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use mlops_core::{Error, Result};
use serde::{Deserialize, Serialize};

use super::name::{check, is_api_version};
use super::{API_VERSION, Variables};

/// A version of Azure Machine Learning's Resource Manager API.
///
/// [`API_VERSION`] is what this crate was written against, and what is spoken where nothing else is said. A cloud may get versions later
/// than the public one does, and answers one that it does not know with 400 `NoRegisteredProviderFound` or `InvalidApiVersionParameter`:
/// there an older one can be named. 2025-12-01, 2026-03-01 and 2026-05-01 have the same types; with a version before 2025-12-01 some
/// members that are sent may not be known.
///
/// ```
/// use mlops_azure::config::{ApiVersion, Workspace};
/// let workspace = Workspace::new("00000000-0000-0000-0000-000000000000", "rg", "mlw-churn")?;
/// assert_eq!(workspace.api_version().as_str(), "2026-05-01");
/// let workspace = workspace.with_api_version("2025-12-01".parse()?);
/// assert_eq!(workspace.api_version().as_str(), "2025-12-01");
/// assert!("latest".parse::<ApiVersion>().is_err());
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ApiVersion(Cow<'static, str>);

impl ApiVersion {
    /// The variable that names a version, and the member of `config.json` that does.
    const VARIABLE: &str = "MLOPS_AZURE_API_VERSION";

    /// The version as it is sent.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is [`API_VERSION`].
    pub fn is_default(&self) -> bool {
        self.0 == API_VERSION
    }

    /// The version that `MLOPS_AZURE_API_VERSION` names; `None` where it is not set.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](mlops_core::ErrorKind::InvalidInput) for a text that is no version.
    pub fn from_variables(variables: &(impl Variables + ?Sized)) -> Result<Option<Self>> {
        variables.read(Self::VARIABLE).map(|text| text.parse()).transpose()
    }
}

impl Default for ApiVersion {
    fn default() -> Self {
        Self(Cow::Borrowed(API_VERSION))
    }
}

impl FromStr for ApiVersion {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let date = "must be a date, with or without -preview";
        check("ApiVersion", "api_version", text, is_api_version(text), date)?;
        Ok(Self(Cow::Owned(text.to_owned())))
    }
}

impl TryFrom<String> for ApiVersion {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<ApiVersion> for String {
    fn from(version: ApiVersion) -> Self {
        version.0.into_owned()
    }
}

impl fmt::Display for ApiVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_a_date_however_it_comes() {
        for bad in ["", "2025", "latest", "2025-12-01&x=y", "2025-12-01-preview2"] {
            assert!(bad.parse::<ApiVersion>().is_err(), "{bad}");
            assert!(serde_json::from_value::<ApiVersion>(bad.into()).is_err(), "{bad}");
        }
        let named = [("MLOPS_AZURE_API_VERSION", "2025-12-01")];
        assert_eq!(ApiVersion::from_variables(&named[..]).unwrap().unwrap().to_string(), "2025-12-01");
        assert_eq!(ApiVersion::from_variables(&named[..0]).unwrap(), None);
        assert!(ApiVersion::from_variables(&[("MLOPS_AZURE_API_VERSION", "new")][..]).is_err());
        assert!(
            ApiVersion::default().is_default() && !"2025-12-01".parse::<ApiVersion>().unwrap().is_default()
        );
    }
}
