//! Signatures of approvals: who approved is shown by a key, not by a name.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Approval, ApprovalDecision};
use crate::error::{Error, ErrorKind, Result};
use crate::hash::{Digest, Hasher, digest_json};
use crate::id::ActorId;
use crate::time::Timestamp;

/// A signature of an approval: ECDSA on P-256 with SHA-256 of the approval's [digest](Approval::digest), deterministic (RFC 6979).
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApprovalSignature {
    /// Which key: the SHA-256 of the PEM of the public key.
    pub key: Digest,
    /// The signature in ASN.1 DER, as Base64.
    pub value: String,
}

impl ApprovalSignature {
    /// A signature made elsewhere, by the key with this digest.
    pub fn new(key: Digest, value: impl Into<String>) -> Self {
        Self { key, value: value.into() }
    }
}

impl Approval {
    /// The digest of everything in the approval but its signature: what is signed. SHA-256 over its canonical JSON (RFC 8785), in a
    /// domain of its own.
    ///
    /// # Errors
    /// As [`digest_json`]; an approval has no number that JSON cannot hold.
    pub fn digest(&self) -> Result<Digest> {
        #[derive(Serialize)]
        struct Signed<'a> {
            subject: &'a Digest,
            decision: ApprovalDecision,
            requester: &'a ActorId,
            approver: &'a ActorId,
            at: &'a Timestamp,
            expires_at: &'a Timestamp,
            comment: &'a str,
        }
        // Whatever is added to an approval is to be added here.
        let Self { subject, decision, requester, approver, at, expires_at, comment, signature: _ } = self;
        let signed = Signed { subject, decision: *decision, requester, approver, at, expires_at, comment };
        Ok(Hasher::new("mlops.approval/v1").field(digest_json(&signed)?.as_bytes()).finish())
    }

    /// The approval with a signature by the approver's key; the same for the same approval and key.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`], never for a key that was read or generated.
    ///
    /// ```
    /// use mlops_core::governance::{Approval, ApprovalDecision, ApprovalRequest, ApproverKeys};
    /// use mlops_core::hash::Digest;
    /// use mlops_core::oversight::signing::SigningKey;
    ///
    /// let now = "2026-01-01T00:00:00Z".parse()?;
    /// let request = ApprovalRequest::new(
    ///     Digest::of(b"decision"),
    ///     "Promote churn:4 to champion?",
    ///     "trainer".parse()?,
    ///     "2026-01-02T00:00:00Z".parse()?,
    /// );
    /// let key = SigningKey::generate()?;
    /// let yes = Approval::answer(&request, ApprovalDecision::Approved, "ann".parse()?, "seen", now).signed(&key)?;
    ///
    /// // Elsewhere, with the public keys alone:
    /// let keys = ApproverKeys::new().with_key("ann".parse()?, key.verifying_key().to_pem()?)?;
    /// keys.verify(&yes)?;
    /// let mut forged = yes;
    /// forged.comment = "seen twice".to_owned();
    /// assert!(keys.verify(&forged).is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[cfg(feature = "signing")]
    pub fn signed(mut self, key: &super::signing_key::SigningKey) -> Result<Self> {
        let value = crate::hash::base64::encode(&key.sign(self.digest()?.as_bytes())?);
        self.signature = Some(ApprovalSignature { key: key.verifying_key().hint()?, value });
        Ok(self)
    }
}

/// The public keys of those who may approve: where there are any, an approval counts only if it is signed with a key of its approver.
///
/// It is data, a table from actors to lists of PEM texts (`PUBLIC KEY`, of the curve P-256, as `openssl ec -pubout` writes them):
/// part of a plan or of the rules of a loop, so that their digests say by whose keys they may be approved. To replace a key give
/// both for a while; an approval that is waiting counts by either.
///
/// Verifying needs the feature `signing`; without it nothing that demands a signature is approved.
///
/// ```
/// use mlops_core::governance::ApproverKeys;
/// let keys: ApproverKeys = toml::from_str(r#"
///     ann = ["""-----BEGIN PUBLIC KEY-----
/// MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEX5P24ci/gp0lAeV+4VY3mDv1P2R9
/// pcJC87F+ntr9e/5COfhoSmVO6bmArdag2ipEhA0F03HY2NkMT/oLng4k1Q==
/// -----END PUBLIC KEY-----"""]
/// "#)?;
/// assert!(keys.has_key_of(&"ann".parse()?) && !keys.has_key_of(&"ben".parse()?));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "BTreeMap<ActorId, Vec<String>>", into = "BTreeMap<ActorId, Vec<String>>")]
pub struct ApproverKeys(BTreeMap<ActorId, Vec<String>>);

impl ApproverKeys {
    /// The most approvers.
    pub const MAX_APPROVERS: usize = 1_000;
    /// The most keys of one approver.
    pub const MAX_KEYS: usize = 16;

    /// No keys: signatures are not asked for.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a public key of somebody; the same again changes nothing.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for a text that is no PEM of a public key (with the feature `signing`: of the curve P-256);
    /// [`ErrorKind::LimitExceeded`] for more than 16 keys of one and for more than 1 000 people.
    pub fn with_key(mut self, approver: ActorId, pem: impl Into<String>) -> Result<Self> {
        const OP: &str = "ApproverKeys::with_key";
        let pem = pem.into();
        check_pem(&pem).map_err(|error| error.with("approver", &approver))?;
        let keys = self.0.entry(approver).or_default();
        if !keys.contains(&pem) {
            keys.push(pem);
        }
        if keys.len() > Self::MAX_KEYS {
            return Err(Error::limit(OP, "the number of keys of one approver", Self::MAX_KEYS, keys.len()));
        }
        if self.0.len() > Self::MAX_APPROVERS {
            return Err(Error::limit(OP, "the number of approvers", Self::MAX_APPROVERS, self.0.len()));
        }
        Ok(self)
    }

    /// Whether there are none, and signatures are not asked for.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether somebody has a key.
    pub fn has_key_of(&self, approver: &ActorId) -> bool {
        self.0.contains_key(approver)
    }

    /// Who has a key, alphabetically.
    pub fn approvers(&self) -> impl Iterator<Item = &ActorId> {
        self.0.keys()
    }

    /// Nothing, if an approval is signed with a key of its approver, or if there are no keys.
    ///
    /// It says who answered and that not a word was changed since; whether the answer counts, [`Approval::require`] says.
    ///
    /// # Errors
    /// * [`ErrorKind::Rejected`] for an approval that is not signed, whose approver has no key here, or that is signed with a key of
    ///   somebody else.
    /// * [`ErrorKind::Integrity`] for one that is not what its approver signed.
    /// * [`ErrorKind::Unsupported`] without the feature `signing`.
    pub fn verify(&self, approval: &Approval) -> Result<()> {
        const OP: &str = "ApproverKeys::verify";
        if self.is_empty() {
            return Ok(());
        }
        let approver = &approval.approver;
        let refused = |reason| Err(Error::new(ErrorKind::Rejected, OP, reason).with("approver", approver));
        let Some(keys) = self.0.get(approver) else {
            return refused("the approver has no key that is known");
        };
        let Some(signature) = &approval.signature else {
            return refused("the approval is not signed");
        };
        verify(OP, keys, approval, signature).map_err(|error| error.with("approver", approver))
    }
}

#[cfg(feature = "signing")]
fn verify(
    operation: &'static str,
    keys: &[String],
    approval: &Approval,
    signature: &ApprovalSignature,
) -> Result<()> {
    use super::signing_key::VerifyingKey;
    let digest = approval.digest()?;
    for pem in keys {
        let key = VerifyingKey::from_pem(pem)?;
        if key.hint()? != signature.key {
            continue;
        }
        let value = crate::hash::base64::decode(&signature.value);
        if value.is_some_and(|value| key.is_signed(digest.as_bytes(), &value)) {
            return Ok(());
        }
        let message = "the approval is not what its approver signed";
        return Err(Error::new(ErrorKind::Integrity, operation, message));
    }
    let message = "the approval is signed with a key that is not its approver's";
    Err(Error::new(ErrorKind::Rejected, operation, message).with("key", signature.key))
}

#[cfg(not(feature = "signing"))]
fn verify(operation: &'static str, _: &[String], _: &Approval, _: &ApprovalSignature) -> Result<()> {
    Err(Error::unsupported(operation, "signatures of approvals without the feature `signing`"))
}

#[cfg(feature = "signing")]
fn check_pem(pem: &str) -> Result<()> {
    super::signing_key::VerifyingKey::from_pem(pem).map(drop)
}

#[cfg(not(feature = "signing"))]
fn check_pem(pem: &str) -> Result<()> {
    const OP: &str = "ApproverKeys::with_key";
    const MOST: usize = 64 << 10;
    if pem.len() > MOST {
        return Err(Error::limit(OP, "the text's size", MOST, pem.len()));
    }
    if !(pem.contains("-----BEGIN PUBLIC KEY-----") && pem.contains("-----END PUBLIC KEY-----")) {
        return Err(Error::invalid(OP, "pem", "holds no public key"));
    }
    Ok(())
}

impl From<ApproverKeys> for BTreeMap<ActorId, Vec<String>> {
    fn from(keys: ApproverKeys) -> Self {
        keys.0
    }
}

impl TryFrom<BTreeMap<ActorId, Vec<String>>> for ApproverKeys {
    type Error = Error;

    fn try_from(table: BTreeMap<ActorId, Vec<String>>) -> Result<Self> {
        let mut keys = Self::new();
        for (approver, texts) in table {
            if texts.is_empty() {
                let error = Error::invalid("ApproverKeys", "keys", "an approver is named without a key");
                return Err(error.with("approver", approver));
            }
            for text in texts {
                keys = keys.with_key(approver.clone(), text)?;
            }
        }
        Ok(keys)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::governance::ApprovalRequest;

    fn answer(by: &str) -> Approval {
        let now = chrono::DateTime::UNIX_EPOCH;
        let request = ApprovalRequest {
            subject: Digest::of(b"decision"),
            question: "Promote?".to_owned(),
            requester: ActorId::new("trainer").unwrap(),
            expires_at: now + chrono::TimeDelta::hours(1),
        };
        Approval::answer(&request, ApprovalDecision::Approved, ActorId::new(by).unwrap(), "seen", now)
    }

    #[test]
    fn the_digest_changes_with_every_part_and_not_with_the_signature() {
        let approval = answer("ann");
        let digest = approval.digest().unwrap();
        let signature = Some(ApprovalSignature { key: Digest::of(b"key"), value: String::new() });
        assert_eq!(Approval { signature, ..approval.clone() }.digest().unwrap(), digest);
        let later = approval.at + chrono::TimeDelta::nanoseconds(1);
        let other = ActorId::new("ben").unwrap();
        for changed in [
            Approval { subject: Digest::of(b"other"), ..approval.clone() },
            Approval { decision: ApprovalDecision::Rejected, ..approval.clone() },
            Approval { requester: other.clone(), ..approval.clone() },
            Approval { approver: other, ..approval.clone() },
            Approval { at: later, ..approval.clone() },
            Approval { expires_at: later, ..approval.clone() },
            Approval { comment: String::new(), ..approval.clone() },
        ] {
            assert_ne!(changed.digest().unwrap(), digest, "{changed:?}");
        }
        // What was written before there were signatures reads as it was, and is written as it was.
        let text = serde_json::to_string(&approval).unwrap();
        assert!(!text.contains("signature"), "{text}");
        assert_eq!(serde_json::from_str::<Approval>(&text).unwrap(), approval);
    }

    #[test]
    fn without_keys_nothing_has_to_be_signed_and_with_keys_everything() {
        assert!(ApproverKeys::new().verify(&answer("ann")).is_ok());
        for text in [r#"{"ann":[]}"#, r#"{"ann":["no key"]}"#, r#"{"ann":"no list"}"#, r#"{"":[]}"#] {
            assert!(serde_json::from_str::<ApproverKeys>(text).is_err(), "{text}");
        }
        assert!(serde_json::from_str::<ApproverKeys>("{}").unwrap().is_empty());
    }

    #[cfg(not(feature = "signing"))]
    #[test]
    fn without_the_feature_nothing_that_demands_a_signature_is_approved() {
        let pem = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n";
        let keys = ApproverKeys::new().with_key(ActorId::new("ann").unwrap(), pem).unwrap();
        assert_eq!(keys.verify(&answer("ann")).unwrap_err().kind(), ErrorKind::Rejected);
        let signature = Some(ApprovalSignature { key: Digest::of(b"key"), value: String::new() });
        let signed = Approval { signature, ..answer("ann") };
        assert_eq!(keys.verify(&signed).unwrap_err().kind(), ErrorKind::Unsupported);
    }

    #[cfg(feature = "signing")]
    mod signed {
        use super::*;
        use crate::governance::signing_key::SigningKey;

        fn pem(key: &SigningKey) -> String {
            key.verifying_key().to_pem().unwrap()
        }

        #[test]
        fn tampered_foreign_and_unsigned_approvals_are_refused() {
            let (ann, ben, eve) = (
                SigningKey::generate().unwrap(),
                SigningKey::generate().unwrap(),
                SigningKey::generate().unwrap(),
            );
            let keys = ApproverKeys::new()
                .with_key(ActorId::new("ann").unwrap(), pem(&ann))
                .and_then(|keys| keys.with_key(ActorId::new("ben").unwrap(), pem(&ben)))
                .unwrap();
            let good = answer("ann").signed(&ann).unwrap();
            keys.verify(&good).unwrap();
            assert_eq!(answer("ann").signed(&ann).unwrap(), good, "the same again");
            let signature = good.signature.clone().unwrap();
            let with = |signature: ApprovalSignature| Approval { signature: Some(signature), ..good.clone() };
            let mut flipped = crate::hash::base64::decode(&signature.value).unwrap();
            *flipped.last_mut().unwrap() ^= 1;
            let flipped = crate::hash::base64::encode(&flipped);
            let later = good.expires_at + chrono::TimeDelta::days(1);
            for (what, bad, expected) in [
                ("not signed", answer("ann"), ErrorKind::Rejected),
                ("of somebody unknown", answer("eve").signed(&eve).unwrap(), ErrorKind::Rejected),
                ("signed by a stranger", answer("ann").signed(&eve).unwrap(), ErrorKind::Rejected),
                ("signed by a colleague", answer("ann").signed(&ben).unwrap(), ErrorKind::Rejected),
                ("extended", Approval { expires_at: later, ..good.clone() }, ErrorKind::Integrity),
                (
                    "about something else",
                    Approval { subject: Digest::of(b"other"), ..good.clone() },
                    ErrorKind::Integrity,
                ),
                (
                    "flipped",
                    with(ApprovalSignature { value: flipped, ..signature.clone() }),
                    ErrorKind::Integrity,
                ),
                (
                    "cut off",
                    with(ApprovalSignature { value: "MEQ=".into(), ..signature.clone() }),
                    ErrorKind::Integrity,
                ),
                (
                    "no Base64",
                    with(ApprovalSignature { value: "!".into(), ..signature.clone() }),
                    ErrorKind::Integrity,
                ),
                // Ben's name over Ann's words, and the other way round.
                (
                    "taken over",
                    Approval { approver: ActorId::new("ben").unwrap(), ..good.clone() },
                    ErrorKind::Rejected,
                ),
            ] {
                let error = keys.verify(&bad).unwrap_err();
                assert_eq!(error.kind(), expected, "an approval that is {what}: {error}");
                assert!(error.context("approver").is_some());
            }
        }

        #[test]
        fn either_key_of_an_approver_counts_and_keys_survive_being_written() {
            let (old, new) = (SigningKey::generate().unwrap(), SigningKey::generate().unwrap());
            let ann = ActorId::new("ann").unwrap();
            let keys = ApproverKeys::new()
                .with_key(ann.clone(), pem(&old))
                .and_then(|keys| keys.with_key(ann.clone(), pem(&new)))
                .and_then(|keys| keys.with_key(ann.clone(), pem(&new)))
                .unwrap();
            let text = serde_json::to_string(&keys).unwrap();
            let read: ApproverKeys = serde_json::from_str(&text).unwrap();
            assert_eq!(read, keys);
            for key in [&old, &new] {
                read.verify(&answer("ann").signed(key).unwrap()).unwrap();
            }
            let mut many = keys;
            for _ in 2..ApproverKeys::MAX_KEYS {
                many = many.with_key(ann.clone(), pem(&SigningKey::generate().unwrap())).unwrap();
            }
            let error = many.with_key(ann, pem(&SigningKey::generate().unwrap())).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::LimitExceeded);
        }
    }
}
