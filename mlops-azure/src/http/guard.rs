//! Where what is secret may go.
//!
//! Three rules, checked before a request leaves: over `https`, or in clear text to this machine alone; to the host that the
//! client was set up for, whatever an answer says; and to an address that holds no credentials of its own.

use std::net::{IpAddr, Ipv4Addr};

use mlops_core::{Error, ErrorKind, Result};
use reqwest::Url;

/// Whether a URL names this machine: `localhost`, 127.0.0.0/8 or `::1`.
///
/// ```
/// use mlops_azure::http::guard::is_loopback;
/// assert!(is_loopback(&"http://127.0.0.1:8080/x".parse().unwrap()));
/// assert!(!is_loopback(&"http://127.0.0.1.example.com/".parse().unwrap()));
/// ```
pub fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost") || address.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Whether a URL names a host of the link in clear text: an address of 169.254.0.0/16, which no router passes on (RFC 3927, section
/// 7). There the platform answers who a process is: at 169.254.169.254 on a virtual machine, at another such address in App Service
/// and Functions on Linux. None of them has a certificate.
///
/// Only what the platform itself gave out for it may go there: see [`Identity::managed`](crate::auth::Identity::managed).
pub(crate) fn is_link_local(url: &Url) -> bool {
    let address = url.host_str().unwrap_or_default().parse::<Ipv4Addr>();
    let plain = url.username().is_empty() && url.password().is_none();
    url.scheme() == "http" && plain && address.is_ok_and(|ip| ip.is_link_local())
}

/// Checks that a token or a key may be sent to a URL.
///
/// # Errors
/// [`ErrorKind::InvalidInput`] that names the argument: the URL has no host, is neither `https` nor on this machine, or holds a
/// user or a password. The error shows the host, and nothing else of the URL.
///
/// ```
/// use mlops_azure::http::guard::may_carry_secrets;
/// assert!(may_carry_secrets("op", "url", &"https://management.azure.com/".parse().unwrap()).is_ok());
/// assert!(may_carry_secrets("op", "url", &"http://management.azure.com/".parse().unwrap()).is_err());
/// ```
pub fn may_carry_secrets(operation: &'static str, field: &str, url: &Url) -> Result<()> {
    let bad =
        |reason| Error::invalid(operation, field, reason).with("host", url.host_str().unwrap_or_default());
    match url.scheme() {
        _ if url.host_str().is_none_or(str::is_empty) => Err(bad("has no host")),
        _ if !url.username().is_empty() || url.password().is_some() => Err(bad("holds credentials")),
        "https" => Ok(()),
        "http" if is_loopback(url) => Ok(()),
        _ => Err(bad("must begin with https://; in clear text a token is everybody's")),
    }
}

/// Reads a link that an answer holds, and checks that it leads to the host it came from.
///
/// # Errors
/// [`ErrorKind::Protocol`] that names both hosts: scheme, host and port must be those of `base`.
///
/// ```
/// use mlops_azure::http::guard::same_origin;
/// let base = "https://management.azure.com/subscriptions".parse().unwrap();
/// assert!(same_origin("op", &base, "https://management.azure.com/next?$skip=2").is_ok());
/// assert_eq!(same_origin("op", &base, "/next").unwrap().as_str(), "https://management.azure.com/next");
/// for elsewhere in ["https://evil.example/next", "http://management.azure.com/next", "//evil.example/next", "file:///x"] {
///     assert!(same_origin("op", &base, elsewhere).is_err());
/// }
/// ```
pub fn same_origin(operation: &'static str, base: &Url, link: &str) -> Result<Url> {
    let bad = |message: &str| Error::new(ErrorKind::Protocol, operation, message);
    let url = base.join(link).map_err(|_| bad("the answer's link is not a URL"))?;
    let same = url.origin() == base.origin() && url.username().is_empty() && url.password().is_none();
    match same {
        true => Ok(url),
        false => Err(bad("the answer links to another host, which gets no token")
            .with("host", url.host_str().unwrap_or_default())
            .with("expected", base.host_str().unwrap_or_default())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_known_and_what_looks_like_it_is_not() {
        for (url, expected) in [
            ("http://localhost/", true),
            ("http://LOCALHOST:1/", true),
            ("http://127.9.9.9/", true),
            ("http://[::1]:1/", true),
            ("http://2130706433/", true),
            ("http://0.0.0.0/", false),
            ("http://localhost.evil.example/", false),
            ("http://127.0.0.1.nip.io/", false),
            ("http://[::ffff:10.0.0.1]/", false),
            ("http://169.254.169.254/", false),
        ] {
            assert_eq!(is_loopback(&url.parse().unwrap()), expected, "{url}");
        }
    }

    #[test]
    fn a_host_of_the_link_is_known_by_its_address_alone() {
        for (url, expected) in [
            ("http://169.254.169.254/metadata", true),
            ("http://169.254.129.3:8081/msi/token", true),
            ("http://0xa9fe8103:8081/", true),
            ("https://169.254.129.3/", false),
            ("http://user@169.254.129.3/", false),
            ("http://169.255.0.1/", false),
            ("http://169.254.129.3.evil.example/", false),
            ("http://10.0.0.1/", false),
            ("http://[::ffff:169.254.1.1]/", false),
        ] {
            assert_eq!(is_link_local(&url.parse().unwrap()), expected, "{url}");
        }
    }

    #[test]
    fn a_link_cannot_lead_away_and_shows_no_secret() {
        let base: Url = "https://management.azure.com:443/a/b?x=1".parse().unwrap();
        assert!(same_origin("op", &base, "https://MANAGEMENT.azure.com/c").is_ok());
        for link in [
            "https://management.azure.com.evil.example/?sig=hunter2",
            "https://management.azure.com:444/",
            "https://management.azure.com@evil.example/",
            "https://user:hunter2@management.azure.com/",
            "\\\\evil.example/x",
            "data:,x",
            "https://",
        ] {
            let error = same_origin("op", &base, link).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Protocol, "{link}");
            assert!(!format!("{error:?}").contains("hunter2"), "{error}");
        }
    }
}
