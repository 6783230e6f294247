//! Who may ask: keys, compared without telling how much of them was right.

use std::fmt;

use crate::error::{Error, Result};
use crate::governance::Secret;
use crate::hash::mac::same_secret;
use crate::hash::{Digest, Hasher};

/// Who may ask an endpoint.
///
/// A key is sent as `Authorization: Bearer KEY`. The server keeps no key, only digests, and compares a digest with a digest,
/// all bytes of all keys every time: how long that takes says nothing about the keys.
///
/// ```
/// use mlops_core::governance::Secret;
/// use mlops_core::serve::http::Access;
///
/// let access = Access::keys(&Secret::new("5f0c7d88-c7de-45b8"), Some(&Secret::new("ac49-db49e72eaa78-b")))?;
/// assert!(access.admits(Some("Bearer 5f0c7d88-c7de-45b8")) && access.admits(Some("bearer ac49-db49e72eaa78-b")));
/// assert!(!access.admits(Some("Bearer 5f0c7d88-c7de-45b9")) && !access.admits(None));
/// assert_eq!(format!("{access:?}"), "Access::Keys(2)");
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Clone)]
pub struct Access(Option<Vec<Digest>>);

impl Access {
    /// The fewest characters of a key.
    pub const MIN_KEY: usize = 16;

    /// Whoever reaches the address. On a loopback address, only requests that name a loopback host are answered then, so that
    /// no page in a browser can reach the server by a name that it had resolved to this machine.
    pub const fn open() -> Self {
        Self(None)
    }

    /// Whoever has one of two keys. Two, so that one can be replaced while the other is in use.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput), without the key, for one that is shorter than
    /// [`Access::MIN_KEY`], longer than 1024, or has other characters than visible ASCII.
    pub fn keys(primary: &Secret, secondary: Option<&Secret>) -> Result<Self> {
        let named = [("primary", Some(primary)), ("secondary", secondary)];
        let given = named.into_iter().filter_map(|(name, key)| Some((name, key?)));
        let check = |(name, key): (&str, &Secret)| {
            let text = key.expose();
            let sound =
                (Self::MIN_KEY..=1024).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
            let message = "a key has 16 to 1024 visible ASCII characters";
            if sound { Ok(digest(text)) } else { Err(Error::invalid("Access::keys", name, message)) }
        };
        given.map(check).collect::<Result<_>>().map(|keys| Self(Some(keys)))
    }

    /// Whether no key is asked for.
    pub fn is_open(&self) -> bool {
        self.0.is_none()
    }

    /// Whether a request with this `Authorization` may ask.
    pub fn admits(&self, authorization: Option<&str>) -> bool {
        let Some(keys) = &self.0 else { return true };
        let Some((scheme, key)) = authorization.and_then(|value| value.split_once(' ')) else { return false };
        let given = digest(key.trim());
        let any = keys.iter().fold(false, |any, key| any | same_secret(key.as_bytes(), given.as_bytes()));
        scheme.eq_ignore_ascii_case("bearer") & any
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            None => f.write_str("Access::Open"),
            Some(keys) => write!(f, "Access::Keys({})", keys.len()),
        }
    }
}

fn digest(key: &str) -> Digest {
    Hasher::new("mlops.serve.key/v1").field(key).finish()
}
