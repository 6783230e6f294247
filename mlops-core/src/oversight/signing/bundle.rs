//! The envelope: a Sigstore bundle around a DSSE envelope.

use std::fmt;
use std::path::Path;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::json;

use super::files::ModelFiles;
use super::statement::{self, SignedModel};
use super::{SigningKey, VerifyingKey};
use crate::error::{Error, ErrorKind, Result};
use crate::hash::base64;

const MEDIA_TYPE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";
const PARSE: &str = "SignatureBundle::parse";

/// The longest bundle that is read: a hundred thousand files take some thirty megabytes.
const MAX_BYTES: usize = 64 << 20;

/// A signature as it is kept beside a model. That one was read says nothing: only [`verify`](Self::verify) does.
#[derive(Clone, PartialEq, Eq)]
pub struct SignatureBundle {
    payload: Vec<u8>,
    signature: Vec<u8>,
    /// By what it names the key; none in bundles of `model-signing` before 1.1.
    hint: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Wire {
    media_type: String,
    verification_material: Material,
    dsse_envelope: Option<Envelope>,
    message_signature: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Material {
    public_key: Option<PublicKey>,
    certificate: Option<IgnoredAny>,
    x509_certificate_chain: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct PublicKey {
    hint: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope {
    payload: String,
    payload_type: String,
    signatures: Vec<Signature>,
}

#[derive(Deserialize)]
struct Signature {
    sig: String,
}

impl SignatureBundle {
    /// Signs the files of a model; the same files and key give the same bundle.
    ///
    /// # Errors
    /// [`ErrorKind::LimitExceeded`] for names of files so long that the bundle could not be read again.
    pub fn sign(model: &ModelFiles, key: &SigningKey) -> Result<Self> {
        let payload = statement::write(model)?;
        if payload.len() > MAX_BYTES / 2 {
            return Err(Error::limit(
                "SignatureBundle::sign",
                "the statement's size",
                MAX_BYTES / 2,
                payload.len(),
            ));
        }
        let signature = key.sign(&encoded(&payload))?;
        Ok(Self { signature, payload, hint: Some(key.verifying_key().hint()?.hex()) })
    }

    /// Reads a bundle, and no more of what it holds than what has to be known to verify it.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] for what is no such bundle, [`ErrorKind::Unsupported`] for one of certificates or of another kind,
    /// [`ErrorKind::LimitExceeded`] for more than 64 MiB.
    pub fn parse(text: &str) -> Result<Self> {
        check_size(text.len() as u64)?;
        let wire: Wire = serde_json::from_str(text).map_err(|e| corrupt("is no bundle").with_source(e))?;
        if wire.media_type != MEDIA_TYPE {
            let error = Error::new(ErrorKind::Unsupported, PARSE, "is a bundle of another kind");
            return Err(error.with("media_type", wire.media_type));
        }
        let material = wire.verification_material;
        if material.certificate.is_some() || material.x509_certificate_chain.is_some() {
            return Err(Error::unsupported(PARSE, "signatures with certificates"));
        }
        let key = material.public_key.ok_or_else(|| corrupt("does not say which kind of key it is of"))?;
        let envelope = match (wire.dsse_envelope, wire.message_signature) {
            (Some(envelope), None) => envelope,
            _ => return Err(corrupt("has not one envelope")),
        };
        if envelope.payload_type != PAYLOAD_TYPE {
            let error = Error::new(ErrorKind::Unsupported, PARSE, "has a payload of another kind");
            return Err(error.with("payload_type", envelope.payload_type));
        }
        let [Signature { sig }] = &envelope.signatures[..] else {
            return Err(corrupt("has not one signature").with("signatures", envelope.signatures.len()));
        };
        let decode = |text: &str, what| {
            base64::decode(text).ok_or_else(|| corrupt("is not Base64").with("field", what))
        };
        Ok(Self {
            payload: decode(&envelope.payload, "payload")?,
            signature: decode(sig, "sig")?,
            hint: key.hint.filter(|hint| !hint.is_empty()),
        })
    }

    /// Reads a bundle from a file.
    ///
    /// # Errors
    /// As [`Self::parse`]; [`ErrorKind::NotFound`], [`ErrorKind::InvalidInput`] for what is no regular file or not UTF-8, and
    /// [`ErrorKind::Storage`].
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let fault = |source: std::io::Error| {
            let kind = match source.kind() {
                std::io::ErrorKind::NotFound => ErrorKind::NotFound,
                std::io::ErrorKind::InvalidData => ErrorKind::InvalidInput,
                _ => ErrorKind::Storage,
            };
            let error = Error::new(kind, "SignatureBundle::read", "the file cannot be read");
            error.with("file", path.display()).with_source(source)
        };
        let about = std::fs::metadata(path).map_err(fault)?;
        if !about.is_file() {
            let error = Error::invalid("SignatureBundle::read", "path", "is not a file");
            return Err(error.with("file", path.display()));
        }
        check_size(about.len())?;
        let text = std::fs::read_to_string(path).map_err(fault)?;
        Self::parse(&text).map_err(|error| error.with("file", path.display()))
    }

    /// The bundle as JSON, ready to be written beside the model.
    pub fn to_json(&self) -> String {
        let public_key = self.hint.as_ref().map_or_else(|| json!({}), |hint| json!({ "hint": hint }));
        json!({
            "mediaType": MEDIA_TYPE,
            "verificationMaterial": { "publicKey": public_key, "tlogEntries": [] },
            "dsseEnvelope": {
                "payload": base64::encode(&self.payload),
                "payloadType": PAYLOAD_TYPE,
                "signatures": [{ "sig": base64::encode(&self.signature), "keyid": "" }],
            },
        })
        .to_string()
    }

    /// By what the bundle says which key signed it: the SHA-256 of its PEM, as hexadecimal digits; see [`VerifyingKey::hint`]. A
    /// hint, not a proof.
    pub fn key_hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// What was signed, if this key signed it. Whether the files are those is what [`SignedModel::require`] says.
    ///
    /// # Errors
    /// [`ErrorKind::Integrity`] when this key did not sign it, or what it signed was changed; [`ErrorKind::Corrupt`] and
    /// [`ErrorKind::Unsupported`] for a statement that is none about the files of a model, lists a name that leads out of the folder or
    /// one twice, or has a digest that is not that of its files.
    ///
    /// ```
    /// use mlops_core::ErrorKind;
    /// use mlops_core::hash::Digest;
    /// use mlops_core::oversight::signing::{ModelFiles, SignatureBundle, SigningKey};
    /// let bundle = SignatureBundle::sign(&ModelFiles::single("model.json", Digest::of(b"{}"))?, &SigningKey::generate()?)?;
    /// let error = bundle.verify(&SigningKey::generate()?.verifying_key()).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::Integrity);
    /// assert_eq!(error.message(), "another key signed it");
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn verify(&self, key: &VerifyingKey) -> Result<SignedModel> {
        let wrong = |message: &str| Error::new(ErrorKind::Integrity, "SignatureBundle::verify", message);
        let own = key.hint()?.hex();
        if let Some(hint) = self.hint.as_ref().filter(|hint| **hint != own) {
            return Err(wrong("another key signed it").with("expected", own).with("found", hint));
        }
        if !key.is_signed(&encoded(&self.payload), &self.signature) {
            return Err(wrong("this key did not sign it, or what it signed was changed"));
        }
        statement::read(&self.payload)
    }
}

impl fmt::Debug for SignatureBundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("SignatureBundle");
        out.field("hint", &self.hint).field("payload_bytes", &self.payload.len()).finish_non_exhaustive()
    }
}

/// What is signed: DSSE's encoding of type and payload, each behind its length.
fn encoded(payload: &[u8]) -> Vec<u8> {
    let head = format!("DSSEv1 {} {PAYLOAD_TYPE} {} ", PAYLOAD_TYPE.len(), payload.len());
    [head.as_bytes(), payload].concat()
}

fn check_size(bytes: u64) -> Result<()> {
    match bytes {
        got if got > MAX_BYTES as u64 => Err(Error::limit(PARSE, "the bundle's size", MAX_BYTES, got)),
        _ => Ok(()),
    }
}

fn corrupt(message: &str) -> Error {
    Error::new(ErrorKind::Corrupt, PARSE, message)
}
