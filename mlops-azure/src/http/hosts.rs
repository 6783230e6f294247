//! To which hosts content goes at addresses that an answer holds.

use mlops_core::{Error, ErrorKind, Result};
use reqwest::Url;

use super::guard;
use crate::config::Cloud;

/// The hosts of storage to which a client goes because an answer says so: for logs, artifacts, and places for uploads.
///
/// Such an address is signed, and whoever answers could name any: the content would go there, or what is behind this machine's firewall
/// would be asked. So it must be one of a storage of Azure's clouds, or of a host that the caller has named; over `https`; and by a name,
/// because addresses such as 10.0.0.1 or 169.254.169.254 are in nobody's hands but this network's. To this machine itself everything
/// may go, for stand-ins such as Azurite.
///
/// Names are checked, not to what they resolve: a storage behind a private endpoint has its public name and a private address.
///
/// ```
/// use mlops_azure::http::StorageHosts;
///
/// let hosts = StorageHosts::azure();
/// assert!(hosts.check("op", &"https://sa.blob.core.windows.net/c?sig=x".parse()?).is_ok());
/// assert!(hosts.check("op", &"https://storage.contoso.internal/c".parse()?).is_err());
/// assert!(hosts.check("op", &"https://10.0.0.1/c".parse()?).is_err());
/// let hosts = hosts.with("contoso.internal")?;
/// assert!(hosts.check("op", &"https://storage.contoso.internal/c".parse()?).is_ok());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageHosts {
    secure: Vec<String>,
    /// Those that are reached in clear text too.
    clear: Vec<String>,
}

impl Default for StorageHosts {
    fn default() -> Self {
        Self::azure()
    }
}

impl StorageHosts {
    /// The storages of Azure's clouds.
    pub fn azure() -> Self {
        let clouds = Cloud::ALL.iter().map(|cloud| cloud.storage_suffix().to_owned());
        // Accounts in a DNS zone of their own.
        let zones = ["storage.azure.net".to_owned()];
        Self { secure: clouds.chain(zones).collect(), clear: Vec::new() }
    }

    /// The storages of Azure, Amazon S3 and Google Cloud: where servers of MLflow keep artifacts.
    pub fn object_stores() -> Self {
        let mut hosts = Self::azure();
        hosts
            .secure
            .extend(["amazonaws.com", "amazonaws.com.cn", "storage.googleapis.com"].map(str::to_owned));
        hosts
    }

    /// The same with a host, and all below it.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for what is no name of a host: an address in numbers is none, nor is a URL.
    pub fn with(mut self, host: &str) -> Result<Self> {
        self.secure.push(name(host)?);
        Ok(self)
    }

    /// The same with a host, and all below it, that may be reached without TLS: a storage in a private network. Whoever is on the way
    /// there can read the content, and the signature with which more of it can be had.
    ///
    /// # Errors
    /// As of [`with`](Self::with).
    pub fn with_clear_text(mut self, host: &str) -> Result<Self> {
        self.clear.push(name(host)?);
        Ok(self)
    }

    /// Checks that an address of an answer is one of these.
    ///
    /// # Errors
    /// [`ErrorKind::Protocol`] that names the host, and nothing else of the address.
    pub fn check(&self, operation: &'static str, url: &Url) -> Result<()> {
        let host = url.host_str().unwrap_or_default();
        let bad = |message: &str| Err(Error::new(ErrorKind::Protocol, operation, message).with("host", host));
        let below = |names: &[String]| {
            let host = host.to_ascii_lowercase();
            names.iter().any(|name| {
                host.strip_suffix(name.as_str()).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
            })
        };
        match url.scheme() {
            _ if !url.username().is_empty() || url.password().is_some() => {
                bad("the answer's address for content holds credentials")
            }
            "http" | "https" if guard::is_loopback(url) => Ok(()),
            // A name never looks like an address: `name` has seen to it.
            "http" | "https" if below(&self.clear) => Ok(()),
            "https" if below(&self.secure) => Ok(()),
            "http" if below(&self.secure) => bad("the answer's address for content is not over https"),
            _ => bad(
                "the answer's address for content is at no storage of Azure's, and at no host that was named",
            ),
        }
    }
}

/// A host's name, in lower case.
fn name(host: &str) -> Result<String> {
    let host = host.trim_matches('.').to_ascii_lowercase();
    let is_label = |label: &str| {
        !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    // The last label of an address in numbers is a number, in whatever base.
    let last = host.rsplit('.').next().unwrap_or_default();
    let is_number = last.bytes().all(|b| b.is_ascii_digit()) || last.starts_with("0x");
    match host.split('.').all(is_label) && !is_number {
        true => Ok(host),
        false => {
            Err(Error::invalid("StorageHosts::with", "host", "is not the name of a host").with("value", host))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(hosts: &StorageHosts, url: &str) -> bool {
        match hosts.check("op", &url.parse().unwrap()) {
            Ok(()) => true,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Protocol);
                assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
                false
            }
        }
    }

    #[test]
    fn content_goes_to_storage_alone() {
        let azure = StorageHosts::azure();
        for (url, expected) in [
            ("https://sa.blob.core.windows.net/c?sig=hunter2", true),
            ("https://SA.dfs.core.chinacloudapi.cn/c", true),
            ("https://sa.blob.core.usgovcloudapi.net/c", true),
            ("https://sa.z01.blob.storage.azure.net/c", true),
            ("http://sa.blob.core.windows.net/c?sig=hunter2", false),
            ("https://user:hunter2@sa.blob.core.windows.net/c", false),
            ("https://sa.blob.core.windows.net.evil.example/c?sig=hunter2", false),
            ("https://evilcore.windows.net/c", false),
            ("https://evil.example/sa.blob.core.windows.net", false),
            ("ftp://sa.blob.core.windows.net/c", false),
            ("https://s3.eu-west-1.amazonaws.com/b", false),
        ] {
            assert_eq!(fits(&azure, url), expected, "{url}");
        }
        assert!(fits(
            &StorageHosts::object_stores(),
            "https://b.s3.eu-west-1.amazonaws.com/k?X-Amz-Signature=hunter2"
        ));
    }

    #[test]
    fn no_address_in_numbers_is_gone_to_but_this_machine_s() {
        let all = StorageHosts::object_stores().with("internal").unwrap().with_clear_text("lan").unwrap();
        for url in [
            "https://10.0.0.1/",
            "https://172.16.0.1/",
            "https://192.168.1.1/",
            "https://100.64.0.1/",
            "http://169.254.169.254/metadata",
            "https://169.254.1.1/",
            "https://0.0.0.0/",
            "https://[::]/",
            "https://[fd00::1]/",
            "https://[fe80::1]/",
            "https://[::ffff:10.0.0.1]/",
            "https://0x0a000001/",
            "https://167772161/",
            "https://8.8.8.8/",
        ] {
            assert!(!fits(&all, url), "{url}");
        }
        for url in ["http://127.0.0.1:10000/devstoreaccount1/c", "http://localhost:1/", "https://[::1]/"] {
            assert!(fits(&all, url), "{url}");
        }
    }

    #[test]
    fn a_host_is_named_with_all_below_it() {
        let hosts =
            StorageHosts::azure().with(".Minio.Contoso.internal").unwrap().with_clear_text("lab").unwrap();
        for (url, expected) in [
            ("https://minio.contoso.internal/b", true),
            ("https://b.minio.contoso.internal:9000/k", true),
            ("http://minio.contoso.internal/b", false),
            ("https://otherminio.contoso.internal/b", false),
            ("https://contoso.internal/b", false),
            ("http://s3.lab:9000/b", true),
            ("https://lab/b", true),
        ] {
            assert_eq!(fits(&hosts, url), expected, "{url}");
        }
        for bad in [
            "",
            ".",
            "10.0.0.1",
            "169.254.169.254",
            "0x7f.1",
            "1.0x7f",
            "fd00::1",
            "[::1]",
            "https://h",
            "h/p",
            "h:1",
            "a b",
            "a..b",
        ] {
            assert!(StorageHosts::azure().with(bad).is_err(), "{bad}");
        }
    }
}
