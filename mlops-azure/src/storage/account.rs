//! Where a storage account is.
//!
//! An address alone, from which nothing is asked: no version, no permission, nothing that could be late. A name that was given up can be
//! somebody else's account a moment later. The local backend has a folder in its place.

use mlops_core::{Error, Result};
use reqwest::Url;

use crate::config::Cloud;
use crate::config::name::check;
use crate::http::guard;

/// A storage account: its name, and the address of its blobs.
///
/// ```
/// use mlops_azure::config::Cloud;
/// use mlops_azure::storage::StorageAccount;
///
/// let account = StorageAccount::named("stchurn", Cloud::Public)?;
/// assert_eq!(account.blobs().as_str(), "https://stchurn.blob.core.windows.net/");
/// assert_eq!(account.data_lake()?.as_str(), "https://stchurn.dfs.core.windows.net/");
/// let emulator = StorageAccount::at("devstoreaccount1", "http://127.0.0.1:10000/devstoreaccount1")?;
/// assert!(emulator.data_lake().is_err(), "what is at an address of its own has no Data Lake beside it");
/// assert!(StorageAccount::at("stchurn", "http://stchurn.blob.core.windows.net").is_err(), "in clear text");
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageAccount {
    name: String,
    blobs: Url,
}

const OP: &str = "StorageAccount";

impl StorageAccount {
    /// The account of this name.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](mlops_core::ErrorKind::InvalidInput) for a name that no account has: 3 to 24 lower-case
    /// letters and digits.
    pub fn named(name: &str, cloud: Cloud) -> Result<Self> {
        Self::with_suffix(name, cloud.storage_suffix())
    }

    /// The account of this name in the cloud of this suffix, such as `core.windows.net`: as datastores say it.
    ///
    /// # Errors
    /// As of [`named`](Self::named), and for a suffix that is no host's.
    pub fn with_suffix(name: &str, suffix: &str) -> Result<Self> {
        check_name(name)?;
        let host = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-');
        let fits = suffix.contains('.') && suffix.bytes().all(host) && !suffix.starts_with(['.', '-']);
        check(OP, "suffix", suffix, fits, "must be the end of a host's name, such as core.windows.net")?;
        Self::at(name, &format!("https://{name}.blob.{suffix}/"))
    }

    /// An account at an address of its own: an emulator's, or a custom domain's.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](mlops_core::ErrorKind::InvalidInput) for a name that no account has, and for an address to
    /// which no secret may be sent, or that has a query or a fragment.
    pub fn at(name: &str, blobs: &str) -> Result<Self> {
        check_name(name)?;
        let bad = |reason| Error::invalid(OP, "blobs", reason);
        let blobs = Url::parse(blobs).map_err(|_| bad("is not a URL"))?;
        guard::may_carry_secrets(OP, "blobs", &blobs)?;
        match blobs.query().is_none() && blobs.fragment().is_none() {
            true => Ok(Self { name: name.to_owned(), blobs }),
            false => Err(bad("must have neither a query nor a fragment")),
        }
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The address of the blobs.
    pub fn blobs(&self) -> &Url {
        &self.blobs
    }

    /// The address of the same account's Data Lake.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`](mlops_core::ErrorKind::Unsupported) for an account whose blobs are not at `….blob.…`.
    pub fn data_lake(&self) -> Result<Url> {
        let missing = || Error::unsupported(OP, "data_lake");
        let host = self.blobs.host_str().unwrap_or_default();
        let rest = host.strip_prefix(&format!("{}.blob.", self.name)).ok_or_else(missing)?;
        format!("https://{}.dfs.{rest}/", self.name).parse().map_err(|_| missing())
    }
}

fn check_name(name: &str) -> Result<()> {
    let fits =
        (3..=24).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    check(OP, "account", name, fits, "must have 3 to 24 lower-case letters and digits")
}

/// Checks the name of a container.
pub(crate) fn check_container(operation: &'static str, name: &str) -> Result<()> {
    let word = name.strip_prefix('$').unwrap_or(name);
    let end = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let fits = (3..=63).contains(&name.len())
        && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && word.starts_with(end)
        && word.ends_with(end)
        && !word.contains("--");
    let rule = "must have 3 to 63 lower-case letters, digits and single hyphens, no hyphen first or last";
    check(operation, "container", name, fits, rule)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_storage_would_refuse_are_refused_here() {
        for bad in ["", "ab", "St", "st-churn", "st_churn", "st.churn", "stchurnstchurnstchurnstch", "é12"] {
            assert_eq!(
                StorageAccount::named(bad, Cloud::Public).unwrap_err().context("field"),
                Some("account")
            );
        }
        for bad in ["", "ab", "A-b", "-ab", "ab-", "a--b", "a/b", "a_b", "..", "$", "a".repeat(64).as_str()] {
            assert_eq!(check_container("op", bad).unwrap_err().context("field"), Some("container"), "{bad}");
        }
        for good in ["abc", "a-b-1", "$web", "azureml-blobstore-44444444-4444-4444-4444-444444444444"] {
            assert!(check_container("op", good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "windows",
            "core.windows.net/x",
            "core.windows.net:1",
            "-a.b",
            "evil.example@core.windows.net",
        ] {
            assert_eq!(
                StorageAccount::with_suffix("abc", bad).unwrap_err().context("field"),
                Some("suffix"),
                "{bad}"
            );
        }
    }

    #[test]
    fn every_cloud_has_its_own_hosts() {
        let china = StorageAccount::named("stchurn", Cloud::China).unwrap();
        assert_eq!(china.blobs().as_str(), "https://stchurn.blob.core.chinacloudapi.cn/");
        assert_eq!(china.data_lake().unwrap().as_str(), "https://stchurn.dfs.core.chinacloudapi.cn/");
    }
}
