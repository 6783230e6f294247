//! The audit log: who did what to what, when and why, in a chain of hashes.
//!
//! Every record holds the hash of the one before, so that an edit, a removal or a change of order breaks the chain at that
//! place. What a chain alone cannot show is that its end was cut off: keep a [`Checkpoint`] elsewhere and verify against it.

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::hash::{Digest, Hasher, canonical_json};
use crate::id::{ActorId, IdempotencyKey, check_text};
use crate::time::Timestamp;

/// Something to record.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// Makes a repeated append the same append.
    pub key: IdempotencyKey,
    /// Who.
    pub actor: ActorId,
    /// What was done, as `noun.verb`: `model.promote`.
    pub action: String,
    /// To what: `model/churn:4`.
    pub subject: String,
    /// The digest of what it is about, where there is one.
    pub digest: Option<Digest>,
    /// Why, or with what outcome.
    pub detail: String,
}

impl AuditEntry {
    /// An entry.
    pub fn new(actor: ActorId, action: impl Into<String>, subject: impl Into<String>) -> Self {
        Self {
            key: IdempotencyKey::generate(),
            actor,
            action: action.into(),
            subject: subject.into(),
            digest: None,
            detail: String::new(),
        }
    }

    /// Binds it to content.
    #[must_use]
    pub fn with_digest(mut self, digest: Digest) -> Self {
        self.digest = Some(digest);
        self
    }

    /// Says why, or with what outcome. Never put a secret here.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = detail.into();
        self
    }

    /// Sets the key that makes a repeated append the same append.
    #[must_use]
    pub fn with_key(mut self, key: IdempotencyKey) -> Self {
        self.key = key;
        self
    }

    /// Checks the text; backends call this first.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for no action or subject,
    /// [`ErrorKind::LimitExceeded`](crate::ErrorKind::LimitExceeded) for text that is too long.
    pub fn check(&self) -> Result<()> {
        const OP: &str = "AuditLog::append";
        for (field, text) in [("action", &self.action), ("subject", &self.subject)] {
            if text.trim().is_empty() {
                return Err(Error::invalid(OP, field, "must not be empty"));
            }
            check_text(OP, "the action or subject", text)?;
        }
        check_text(OP, "the detail", &self.detail)
    }
}

/// A recorded entry and its place in the chain.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditRecord {
    /// Its place: 1, 2, 3, …
    pub sequence: u64,
    /// When, by the log's clock. Order comes from the sequence: the clock may go back.
    pub at: Timestamp,
    /// What was recorded.
    pub entry: AuditEntry,
    /// The hash of the record before; of nothing for the first.
    pub previous: Digest,
    /// The hash of this record: over all of the above.
    pub hash: Digest,
}

impl AuditRecord {
    /// A record as a log kept it, field by field; [`verify_chain`] says whether it is what it claims to be.
    pub const fn from_parts(
        sequence: u64,
        at: Timestamp,
        entry: AuditEntry,
        previous: Digest,
        hash: Digest,
    ) -> Self {
        Self { sequence, at, entry, previous, hash }
    }

    /// The hash that the first record has as `previous`.
    pub fn genesis() -> Digest {
        Hasher::new("mlops.audit/v1").field("genesis").finish()
    }

    /// Chains an entry after `previous` (sequence and hash), or makes the first record.
    ///
    /// # Errors
    /// As [`canonical_json`]: a sequence beyond 2⁵³ − 1.
    ///
    /// ```
    /// use mlops_core::ActorId;
    /// use mlops_core::governance::{AuditEntry, AuditRecord, verify_chain};
    ///
    /// let now = "2026-01-01T00:00:00Z".parse()?;
    /// let entry = |action: &str| AuditEntry::new(ActorId::new("trainer").unwrap(), action, "model/churn:1");
    /// let first = AuditRecord::chain(None, entry("model.register"), now)?;
    /// let second = AuditRecord::chain(Some(&first), entry("model.promote"), now)?;
    /// assert!(verify_chain(&[first.clone(), second.clone()], None).is_intact());
    /// assert!(!verify_chain(&[second, first], None).is_intact());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn chain(previous: Option<&Self>, entry: AuditEntry, at: Timestamp) -> Result<Self> {
        let (sequence, previous) = previous.map_or((1, Self::genesis()), |p| (p.sequence + 1, p.hash));
        let mut record = Self { sequence, at, entry, previous, hash: previous };
        record.hash = record.compute_hash()?;
        Ok(record)
    }

    /// The hash this record must have.
    ///
    /// # Errors
    /// As [`canonical_json`].
    pub fn compute_hash(&self) -> Result<Digest> {
        let at = self.at.to_rfc3339_opts(chrono::SecondsFormat::Micros, true);
        Ok(Hasher::new("mlops.audit/v1")
            .field(self.sequence.to_le_bytes())
            .field(at)
            .field(canonical_json(&self.entry)?)
            .field(self.previous.as_bytes())
            .finish())
    }
}

/// How far a log had come at some moment: keep it elsewhere, to notice when the end is cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The number of records.
    pub size: u64,
    /// The hash of the last one.
    pub head: Digest,
}

/// What a verification found.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuditVerification {
    /// Every record is what it was, none is missing.
    Intact(Checkpoint),
    /// The chain breaks at this place.
    Broken {
        /// The place: the sequence number that should be there.
        sequence: u64,
        /// What is wrong, as a clause.
        reason: String,
    },
}

impl AuditVerification {
    /// Whether nothing is wrong.
    pub fn is_intact(&self) -> bool {
        matches!(self, Self::Intact(_))
    }
}

/// Verifies a chain record by record, without having all of them in memory.
///
/// ```
/// use mlops_core::ActorId;
/// use mlops_core::governance::{AuditEntry, AuditRecord, AuditVerification, ChainVerifier};
///
/// let now = "2026-01-01T00:00:00Z".parse()?;
/// let entry = AuditEntry::new(ActorId::new("trainer")?, "model.register", "model/churn:1");
/// let record = AuditRecord::chain(None, entry, now)?;
/// let mut verifier = ChainVerifier::new();
/// assert!(verifier.push(&record));
/// assert!(!verifier.push(&record), "the same again is out of order");
/// assert!(matches!(verifier.finish(), AuditVerification::Broken { sequence: 2, .. }));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct ChainVerifier {
    size: u64,
    head: Digest,
    expected: Vec<Checkpoint>,
    broken: Option<(u64, String)>,
}

impl ChainVerifier {
    /// A verifier at the beginning of a log.
    pub fn new() -> Self {
        Self { size: 0, head: AuditRecord::genesis(), expected: Vec::new(), broken: None }
    }

    /// The number of records that were in order.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Takes a checkpoint, which the log must meet when it comes to that size; it cannot be of records before the last one
    /// pushed, which are not known any more.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for such a one.
    pub fn expect(&mut self, checkpoint: &Checkpoint) -> Result<()> {
        if checkpoint.size < self.size {
            let message = "lies before the records that were verified already";
            let error = Error::invalid("ChainVerifier::expect", "checkpoint", message);
            return Err(error.with("size", checkpoint.size).with("verified", self.size));
        }
        self.expected.push(*checkpoint);
        self.meet();
        Ok(())
    }

    /// Verifies the next record; false once the chain is broken, and ever after.
    pub fn push(&mut self, record: &AuditRecord) -> bool {
        let place = self.size + 1;
        if record.sequence != place {
            self.fail(place, "a record is missing, inserted or out of order");
        } else if record.previous != self.head {
            self.fail(place, "the record does not follow the one before it");
        } else if record.compute_hash().ok() != Some(record.hash) {
            self.fail(place, "the record was changed");
        }
        if self.broken.is_none() {
            (self.size, self.head) = (place, record.hash);
            self.meet();
        }
        self.broken.is_none()
    }

    /// Says that the record at this place cannot be what it was; the first that is said counts.
    pub fn fail(&mut self, sequence: u64, reason: &str) {
        self.broken.get_or_insert_with(|| (sequence, reason.to_owned()));
    }

    /// What was found, after the last record.
    pub fn finish(mut self) -> AuditVerification {
        if !self.expected.is_empty() {
            self.fail(self.size + 1, "records of the checkpoint are missing at the end");
        }
        match self.broken {
            Some((sequence, reason)) => AuditVerification::Broken { sequence, reason },
            None => AuditVerification::Intact(Checkpoint { size: self.size, head: self.head }),
        }
    }

    /// Compares with the checkpoints of this size.
    fn meet(&mut self) {
        let (size, head) = (self.size, self.head);
        let (here, later): (Vec<_>, Vec<_>) = self.expected.drain(..).partition(|c| c.size == size);
        self.expected = later;
        if here.iter().any(|c| c.head != head) {
            let reason = match size {
                0 => "the checkpoint is not one of this log",
                _ => "the records differ from those of the checkpoint",
            };
            self.fail(size.max(1), reason);
        }
    }
}

impl Default for ChainVerifier {
    fn default() -> Self {
        Self::new()
    }
}

/// Verifies records from the first on, and against a checkpoint taken earlier where one is given.
///
/// Finds edits, removals, insertions and changes of order anywhere; with a checkpoint also that records it had seen were cut
/// off or rewritten. Cost: one SHA-256 a record. Where they are too many for memory, use a [`ChainVerifier`].
pub fn verify_chain(records: &[AuditRecord], checkpoint: Option<&Checkpoint>) -> AuditVerification {
    let mut verifier = ChainVerifier::new();
    let expected = checkpoint.map_or(Ok(()), |checkpoint| verifier.expect(checkpoint));
    debug_assert!(expected.is_ok(), "nothing lies before the beginning");
    let _ = records.iter().all(|record| verifier.push(record));
    verifier.finish()
}

/// An append-only log whose records form a chain.
///
/// # Contract
/// * `append` gives out sequence numbers 1, 2, 3, … without gaps, also when many append at once, and returns only after the
///   record is kept. (`records_are_contiguous`, `concurrent_appends_form_one_chain`)
/// * The same key with the same content is the same record; with other content it is
///   [`ErrorKind::Conflict`](crate::ErrorKind::Conflict). (`append_is_idempotent`, `key_reuse_is_a_conflict`)
/// * No record is ever changed or removed; `read` returns them in order. (`records_are_read_in_order`)
/// * `verify` reads everything and agrees with [`verify_chain`]. (`an_honest_log_verifies`,
///   `a_checkpoint_of_another_log_does_not_verify`)
#[async_trait]
pub trait AuditLog: Debug + Send + Sync + 'static {
    /// Records an entry.
    async fn append(&self, entry: &AuditEntry) -> Result<AuditRecord>;

    /// At most `limit` records after the one with sequence `after` (0 for all).
    async fn read(&self, after: u64, limit: usize) -> Result<Vec<AuditRecord>>;

    /// How far the log has come.
    async fn checkpoint(&self) -> Result<Checkpoint>;

    /// Reads and checks everything, and compares with a checkpoint taken earlier.
    async fn verify(&self, checkpoint: Option<&Checkpoint>) -> Result<AuditVerification>;
}

/// Conveniences on top of every [`AuditLog`].
#[async_trait]
pub trait AuditLogExt: AuditLog {
    /// Records that `actor` did `action` to `subject`.
    async fn record(
        &self,
        actor: &ActorId,
        action: &str,
        subject: &str,
        detail: &str,
    ) -> Result<AuditRecord> {
        self.append(&AuditEntry::new(actor.clone(), action, subject).with_detail(detail)).await
    }
}

impl<T: AuditLog + ?Sized> AuditLogExt for T {}

macro_rules! forward {
    ($pointer:ident) => {
        #[async_trait]
        #[deny(clippy::missing_trait_methods)]
        impl<T: AuditLog + ?Sized> AuditLog for $pointer<T> {
            async fn append(&self, entry: &AuditEntry) -> Result<AuditRecord> {
                (**self).append(entry).await
            }

            async fn read(&self, after: u64, limit: usize) -> Result<Vec<AuditRecord>> {
                (**self).read(after, limit).await
            }

            async fn checkpoint(&self) -> Result<Checkpoint> {
                (**self).checkpoint().await
            }

            async fn verify(&self, checkpoint: Option<&Checkpoint>) -> Result<AuditVerification> {
                (**self).verify(checkpoint).await
            }
        }
    };
}
forward!(Arc);
forward!(Box);

/// Never called: that it compiles says that the trait can be an object.
#[allow(dead_code)]
fn is_object_safe(_: &dyn AuditLog) {}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(n: u64) -> Vec<AuditRecord> {
        let mut records: Vec<AuditRecord> = Vec::new();
        for i in 0..n {
            let actor = ActorId::new("a").unwrap();
            let key = IdempotencyKey::new(format!("key-{i}")).unwrap();
            let entry = AuditEntry::new(actor, "model.register", format!("model/m:{i}")).with_key(key);
            let next = AuditRecord::chain(records.last(), entry, chrono::DateTime::UNIX_EPOCH).unwrap();
            records.push(next);
        }
        records
    }

    #[test]
    fn every_kind_of_tampering_is_found_at_its_place() {
        let honest = chain(5);
        let AuditVerification::Intact(checkpoint) = verify_chain(&honest, None) else { panic!("honest") };
        type Tamper = fn(&mut Vec<AuditRecord>);
        let cases: [(&str, u64, Tamper); 7] = [
            ("edit a field", 2, |r| r[1].entry.detail = "forged".into()),
            ("edit the time", 4, |r| r[3].at = chrono::DateTime::UNIX_EPOCH + chrono::TimeDelta::seconds(1)),
            ("remove one", 3, |r| drop(r.remove(2))),
            ("swap two", 2, |r| r.swap(1, 2)),
            ("insert a copy", 3, |r| r.insert(2, r[1].clone())),
            ("cut the end", 4, |r| r.truncate(3)),
            ("rewrite the end", 5, |r| {
                let entry = AuditEntry::new(ActorId::new("b").unwrap(), "x", "y");
                r.pop();
                let forged = AuditRecord::chain(r.last(), entry, chrono::DateTime::UNIX_EPOCH).unwrap();
                r.push(forged);
            }),
        ];
        for (name, place, tamper) in cases {
            let mut records = honest.clone();
            tamper(&mut records);
            match verify_chain(&records, Some(&checkpoint)) {
                AuditVerification::Broken { sequence, .. } => assert_eq!(sequence, place, "{name}"),
                AuditVerification::Intact(_) => panic!("{name} went unnoticed"),
            }
        }
        assert!(verify_chain(&honest, Some(&checkpoint)).is_intact());
        assert!(verify_chain(&chain(6), Some(&checkpoint)).is_intact(), "a log that grew is intact");
    }
}
