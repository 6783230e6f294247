//! Keys: ECDSA on the curve P-256 with SHA-256.

use std::fmt;

use p256::ecdsa::DerSignature;
use p256::ecdsa::signature::{Signer as _, Verifier as _};
use p256::elliptic_curve::Generate as _;
use p256::pkcs8::{DecodePublicKey as _, EncodePrivateKey as _, EncodePublicKey as _, LineEnding};

use super::Secret;
use crate::error::{Error, ErrorKind, Result};
use crate::hash::Digest;

/// The longest PEM that is looked at; a key takes some two hundred bytes.
const MAX_PEM: usize = 64 << 10;

/// A private key. It does not print, has no `Serialize`, and its memory is wiped when it is dropped.
///
/// ```
/// use mlops_core::oversight::signing::SigningKey;
/// let key = SigningKey::generate()?;
/// assert_eq!(format!("{key:?}"), "SigningKey(..)");
/// let again = SigningKey::from_pem(&key.to_pem()?)?;
/// assert_eq!(again.verifying_key(), key.verifying_key());
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Clone)]
pub struct SigningKey(p256::ecdsa::SigningKey);

impl SigningKey {
    /// A new key, from the randomness of the operating system.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`] where the system has none.
    pub fn generate() -> Result<Self> {
        p256::ecdsa::SigningKey::try_generate().map(Self).map_err(|_| {
            Error::new(ErrorKind::Internal, "SigningKey::generate", "the system gives no randomness")
        })
    }

    /// The key in a PEM, as PKCS#8 (`PRIVATE KEY`) or SEC1 (`EC PRIVATE KEY`, what `openssl ecparam -name prime256v1 -genkey` writes);
    /// what else is in the text is left alone.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for a text without such a key or with one of another curve, [`ErrorKind::Unsupported`] for a key under
    /// a password, [`ErrorKind::LimitExceeded`] for more than 64 KiB. No error repeats anything of the text.
    ///
    /// ```
    /// use mlops_core::ErrorKind;
    /// use mlops_core::governance::Secret;
    /// use mlops_core::oversight::signing::SigningKey;
    /// let error = SigningKey::from_pem(&Secret::new("hunter2")).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::InvalidInput);
    /// assert!(!format!("{error:?}").contains("hunter2"));
    /// ```
    pub fn from_pem(pem: &Secret) -> Result<Self> {
        const OP: &str = "SigningKey::from_pem";
        let text = pem.expose();
        check_size(OP, text)?;
        if block(text, "ENCRYPTED PRIVATE KEY").is_some() {
            return Err(Error::unsupported(OP, "a key under a password"));
        }
        // The cause of a failure would speak of what is in the key.
        let invalid = |message: &str| Error::invalid(OP, "pem", message);
        let key = block(text, "PRIVATE KEY").or_else(|| block(text, "EC PRIVATE KEY"));
        let key = key.ok_or_else(|| invalid("holds no private key in PKCS#8 or SEC1"))?;
        let key = p256::SecretKey::from_pem(key);
        key.map(|key| Self(key.into())).map_err(|_| invalid("holds no private key of the curve P-256"))
    }

    /// The key as the PEM of PKCS#8, to be kept where secrets are kept.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`], never for a key that was read or generated.
    pub fn to_pem(&self) -> Result<Secret> {
        let pem = self.0.to_pkcs8_pem(LineEnding::LF).map_err(|_| unwritable("SigningKey::to_pem"))?;
        Ok(Secret::new(pem.as_str()))
    }

    /// The public key that belongs to it.
    pub fn verifying_key(&self) -> VerifyingKey {
        VerifyingKey(*self.0.verifying_key())
    }

    /// The signature of a message, in ASN.1 DER; the same for the same message (RFC 6979).
    pub(crate) fn sign(&self, message: &[u8]) -> Result<Vec<u8>> {
        let signed: Result<DerSignature, _> = self.0.try_sign(message);
        signed
            .map(|signature| signature.as_bytes().to_vec())
            .map_err(|_| Error::new(ErrorKind::Internal, "SigningKey::sign", "the message cannot be signed"))
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(..)")
    }
}

/// A public key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct VerifyingKey(p256::ecdsa::VerifyingKey);

impl VerifyingKey {
    /// The key in a PEM (`PUBLIC KEY`), what `openssl ec -pubout` writes; what else is in the text is left alone.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for a text without such a key or with one of another curve, [`ErrorKind::LimitExceeded`] for more than
    /// 64 KiB.
    ///
    /// ```
    /// use mlops_core::oversight::signing::{SigningKey, VerifyingKey};
    /// let key = SigningKey::generate()?.verifying_key();
    /// assert_eq!(VerifyingKey::from_pem(&key.to_pem()?)?, key);
    /// assert!(VerifyingKey::from_pem("-----BEGIN PUBLIC KEY-----").is_err());
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn from_pem(pem: &str) -> Result<Self> {
        const OP: &str = "VerifyingKey::from_pem";
        check_size(OP, pem)?;
        let invalid = |message: &str| Error::invalid(OP, "pem", message);
        let key = block(pem, "PUBLIC KEY").ok_or_else(|| invalid("holds no public key"))?;
        let key = p256::PublicKey::from_public_key_pem(key);
        key.map(|key| Self(key.into())).map_err(|_| invalid("holds no public key of the curve P-256"))
    }

    /// The key as PEM.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`], never for a key that was read or generated.
    pub fn to_pem(&self) -> Result<String> {
        self.0.to_public_key_pem(LineEnding::LF).map_err(|_| unwritable("VerifyingKey::to_pem"))
    }

    /// By what a bundle names the key: the SHA-256 of its PEM.
    ///
    /// # Errors
    /// As [`Self::to_pem`].
    pub fn hint(&self) -> Result<Digest> {
        self.to_pem().map(|pem| Digest::of(pem.as_bytes()))
    }

    /// Whether a signature in ASN.1 DER is this key's, of this message.
    pub(crate) fn is_signed(&self, message: &[u8], signature: &[u8]) -> bool {
        DerSignature::try_from(signature).is_ok_and(|signature| self.0.verify(message, &signature).is_ok())
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hint = self.hint().map_or_else(|_| "?".to_owned(), |hint| hint.short());
        write!(f, "VerifyingKey({hint})")
    }
}

fn unwritable(operation: &'static str) -> Error {
    Error::new(ErrorKind::Internal, operation, "the key cannot be written")
}

fn check_size(operation: &'static str, text: &str) -> Result<()> {
    match text.len() {
        got if got > MAX_PEM => Err(Error::limit(operation, "the text's size", MAX_PEM, got)),
        _ => Ok(()),
    }
}

/// The first block of this label.
fn block<'a>(text: &'a str, label: &str) -> Option<&'a str> {
    let end = format!("-----END {label}-----");
    let rest = text.get(text.find(&format!("-----BEGIN {label}-----"))?..)?;
    rest.get(..rest.find(&end)? + end.len())
}
