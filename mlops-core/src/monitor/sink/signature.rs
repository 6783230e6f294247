//! Signatures of webhooks, as Standard Webhooks has them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::hash::{base64, mac};
use crate::time::Timestamp;

/// A key that sender and receiver of a webhook share. It does not print.
///
/// Written as `whsec_` and base64, of 24 to 64 bytes.
///
/// ```
/// use mlops_core::monitor::sink::WebhookSecret;
/// let secret = WebhookSecret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")?;
/// assert_eq!(format!("{secret:?}"), "WebhookSecret(..)");
/// assert!(WebhookSecret::parse("whsec_c2hvcnQ=").is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct WebhookSecret(Arc<secrecy::SecretSlice<u8>>);

impl WebhookSecret {
    /// Reads a key.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput), which does not repeat the text.
    pub fn parse(text: &str) -> Result<Self> {
        let bad = |message: &str| Error::invalid("WebhookSecret::parse", "secret", message);
        let text = text.strip_prefix("whsec_").ok_or_else(|| bad("begins with `whsec_`"))?;
        let bytes = base64::decode(text).ok_or_else(|| bad("is base64 after `whsec_`"))?;
        if !(24..=64).contains(&bytes.len()) {
            return Err(bad("has 24 to 64 bytes"));
        }
        Ok(Self(Arc::new(bytes.into())))
    }

    /// The signature `v1,…`: base64 of HMAC-SHA256 over `id.timestamp.body`; the timestamp in seconds since the Unix epoch.
    ///
    /// ```
    /// use mlops_core::monitor::sink::WebhookSecret;
    /// let secret = WebhookSecret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")?;
    /// let signature = secret.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
    /// assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn sign(&self, id: &str, timestamp: i64, body: &[u8]) -> String {
        use secrecy::ExposeSecret as _;
        let timestamp = timestamp.to_string();
        let parts: [&[u8]; 5] = [id.as_bytes(), b".", timestamp.as_bytes(), b".", body];
        let digest = mac::hmac_sha256(self.0.expose_secret(), &parts);
        format!("v1,{}", base64::encode(digest.as_bytes()))
    }
}

impl fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebhookSecret(..)")
    }
}

/// Why a webhook is not believed.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// A header is missing or stands twice.
    #[error("the header `{0}` must be there once")]
    Header(&'static str),
    /// The timestamp is no number of seconds.
    #[error("`{0}` is not a number of seconds since 1970")]
    Timestamp(&'static str),
    /// The timestamp is too far from the receiver's clock: a replay, or a clock that is wrong.
    #[error("the timestamp is {seconds} s away from the receiver's clock, at most {tolerance} s are allowed")]
    Tolerance {
        /// How far, in seconds.
        seconds: u64,
        /// How far it may be.
        tolerance: u64,
    },
    /// No signature is one of a key that is known.
    #[error("no signature is right")]
    Mismatch,
}

impl From<SignatureError> for Error {
    fn from(error: SignatureError) -> Self {
        Self::new(crate::error::ErrorKind::Auth, "webhook", error.to_string()).with_source(error)
    }
}

/// The value of a header that stands once, whatever the case of its name.
pub(crate) fn header_once<'a>(
    headers: &'a [(String, String)],
    name: &'static str,
) -> Result<&'a str, SignatureError> {
    let mut found =
        headers.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str());
    match (found.next(), found.next()) {
        (Some(value), None) => Ok(value.trim()),
        _ => Err(SignatureError::Header(name)),
    }
}

/// A timestamp in digits, close enough to `now`.
pub(crate) fn recent(
    name: &'static str,
    text: &str,
    now: Timestamp,
    tolerance: Duration,
) -> Result<i64, SignatureError> {
    let digits = (1..=12).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    let seconds: i64 = text.parse().ok().filter(|_| digits).ok_or(SignatureError::Timestamp(name))?;
    let away = now.timestamp().abs_diff(seconds);
    if away > tolerance.as_secs() {
        return Err(SignatureError::Tolerance { seconds: away, tolerance: tolerance.as_secs() });
    }
    Ok(seconds)
}

/// Whether one of the signatures is right; all are looked at.
pub(crate) fn signed_by_any(given: &str, expected: &[String]) -> bool {
    given.split(' ').fold(false, |found, one| {
        expected.iter().fold(found, |found, right| found | mac::same_secret(one.as_bytes(), right.as_bytes()))
    })
}

/// Checks that a webhook comes from whom it says (Standard Webhooks): the headers `webhook-id`, `webhook-timestamp` and
/// `webhook-signature`, of which one signature has to be of one of the secrets, so that keys can be changed on either side first.
///
/// Returns the id: a webhook that is sent again has the same one, and a receiver that remembers ids takes it once.
/// Compared in constant time. `tolerance` is usually five minutes.
///
/// # Errors
/// [`SignatureError`], which holds nothing of what was sent.
///
/// ```
/// use std::time::Duration;
/// use mlops_core::monitor::sink::{SignatureError, WebhookSecret, verify_webhook};
/// let secret = WebhookSecret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")?;
/// let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
/// let headers = [
///     header("webhook-id", "msg_1"),
///     header("webhook-timestamp", "1767225600"),
///     header("Webhook-Signature", &secret.sign("msg_1", 1_767_225_600, b"{}")),
/// ];
/// let (now, tolerance) = ("2026-01-01T00:01:00Z".parse()?, Duration::from_secs(300));
/// assert_eq!(verify_webhook(&[secret.clone()], &headers, b"{}", now, tolerance), Ok("msg_1"));
/// assert_eq!(verify_webhook(&[secret], &headers, b"[]", now, tolerance), Err(SignatureError::Mismatch));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn verify_webhook<'a>(
    secrets: &[WebhookSecret],
    headers: &'a [(String, String)],
    body: &[u8],
    now: Timestamp,
    tolerance: Duration,
) -> Result<&'a str, SignatureError> {
    let id = header_once(headers, "webhook-id")?;
    let at = recent("webhook-timestamp", header_once(headers, "webhook-timestamp")?, now, tolerance)?;
    let given = header_once(headers, "webhook-signature")?;
    let expected: Vec<String> = secrets.iter().map(|secret| secret.sign(id, at, body)).collect();
    if signed_by_any(given, &expected) { Ok(id) } else { Err(SignatureError::Mismatch) }
}
