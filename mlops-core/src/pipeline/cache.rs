//! What steps made, by key, so that it need not be made again.

use std::collections::BTreeMap;
use std::fmt::{self, Debug};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt as _;
use serde::{Deserialize, Serialize};

use super::{Content, KeyParts, StepKey};
use crate::artifact::{ArtifactStore, ArtifactStoreExt as _, Blob};
use crate::error::{Error, ErrorKind, Result};
use crate::id::{ComponentName, MetricKey, PortName, RunId, StepName};
use crate::time::{Timestamp, duration_text};

/// A measured value.
#[non_exhaustive]
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StepMetric {
    /// What was measured.
    pub key: MetricKey,
    /// The value; NaN and infinities too.
    #[serde(with = "crate::num::json_float")]
    pub value: f64,
}

impl StepMetric {
    /// A value of a metric.
    pub const fn new(key: MetricKey, value: f64) -> Self {
        Self { key, value }
    }
}

/// Equal bit for bit, so that NaN is NaN.
impl PartialEq for StepMetric {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key && self.value.to_bits() == other.value.to_bits()
    }
}

/// What a step made under a key, and how.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StepRecord {
    /// The key.
    pub key: StepKey,
    /// What the key is the digest of.
    pub parts: KeyParts,
    /// What was made.
    pub outputs: BTreeMap<PortName, Content>,
    /// What was measured.
    pub metrics: Vec<StepMetric>,
    /// What was logged.
    pub log: Option<Blob>,
    /// When it was made.
    pub made_at: Timestamp,
    /// How long the attempt took.
    #[serde(with = "duration_text")]
    pub took: Duration,
    /// The run of a pipeline that made it.
    pub run: RunId,
    /// As which of its steps.
    pub step: StepName,
    /// From when on it is not used any more.
    pub expires_at: Option<Timestamp>,
}

impl StepRecord {
    /// A record of a step that made these outputs.
    ///
    /// # Errors
    /// As [`KeyParts::key`].
    pub fn new(
        parts: KeyParts,
        outputs: BTreeMap<PortName, Content>,
        run: RunId,
        step: StepName,
        made_at: Timestamp,
    ) -> Result<Self> {
        Ok(Self {
            key: parts.key()?,
            parts,
            outputs,
            metrics: Vec::new(),
            log: None,
            made_at,
            took: Duration::ZERO,
            run,
            step,
            expires_at: None,
        })
    }

    /// Says until when it is used.
    ///
    /// ```
    /// # use std::collections::BTreeMap;
    /// # use mlops_core::hash::Digest;
    /// # use mlops_core::id::{ComponentName, ComponentVersion, RunId, StepName};
    /// # use mlops_core::pipeline::{KeyParts, StepRecord};
    /// # use mlops_core::time::Timestamp;
    /// # let parts = KeyParts::new(ComponentName::new("fit")?, ComponentVersion::new("1")?, Digest::of(b"code"));
    /// let (noon, one): (Timestamp, Timestamp) = ("2026-01-01T12:00:00Z".parse()?, "2026-01-01T13:00:00Z".parse()?);
    /// let record = StepRecord::new(parts, BTreeMap::new(), RunId::generate(), StepName::new("fit")?, noon)?;
    /// assert!(!record.is_expired(one));
    /// assert!(record.with_expiry(Some(one)).is_expired(one));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn with_expiry(mut self, expires_at: Option<Timestamp>) -> Self {
        self.expires_at = expires_at;
        self
    }

    /// Whether it is not used any more at `now`.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|end| end <= now)
    }

    /// The content that must be there for the record to be of use.
    pub fn contents(&self) -> impl Iterator<Item = (&PortName, &Content)> {
        self.outputs.iter()
    }
}

/// How a record is looked at before its outputs are used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VerifyPolicy {
    /// All outputs are read and hashed at every hit.
    Always,
    /// All outputs must be there with the size stated; whoever reads one has it hashed, for the artifact store hands out nothing
    /// else. The default.
    #[default]
    OnRestore,
    /// The record is believed. For stores from which nothing is ever removed.
    Never,
}

/// The right to make what belongs to a key, for a while.
///
/// `token` fences: it grows with every claim to the key, so that who was given up for dead cannot put its record over that of the
/// one who took over.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claim {
    /// The key.
    pub key: StepKey,
    /// Who has it.
    pub holder: String,
    /// The fencing token.
    pub token: u64,
    /// When it ends, unless it is renewed.
    pub until: Timestamp,
}

impl Claim {
    /// A claim by this holder, that ends then unless it is renewed.
    pub fn new(key: StepKey, holder: impl Into<String>, token: u64, until: Timestamp) -> Self {
        Self { key, holder: holder.into(), token, until }
    }
}

/// The answer to a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claimed {
    /// It is yours.
    Granted(Claim),
    /// Somebody else has it, until then at least unless it is released.
    Held {
        /// When it ends.
        until: Timestamp,
    },
}

/// Keeps what steps made, by key.
///
/// # Contract
/// * `put` returns only after the record is kept, as a whole; `get` returns the record that was put last, exactly; a key that nobody
///   put is none, and no error. (`records_come_back_as_they_were`, `an_unknown_key_has_no_record`, `the_last_record_counts`)
/// * `put` needs every output and the log in the artifact store, with the size stated: else
///   [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) and nothing is kept. So a process that is killed leaves content that nobody
///   refers to, never a record without content. (`a_record_needs_its_content`)
/// * `put` needs the claim to the key as it was granted or renewed last: after somebody else was granted it, or it was released, it is
///   [`ErrorKind::Conflict`](crate::ErrorKind::Conflict). A record whose key is not that of its parts or of the claim is
///   [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput). (`a_lost_claim_cannot_put`, `a_released_claim_cannot_put`,
///   `a_record_belongs_to_its_key`)
/// * Of many that claim a key at once one is granted it; the others are told until when. A claim that ended or was released is free.
///   Tokens of a key grow. To the same holder it is granted anew, for it died and came back: what it was granted before is lost.
///   (`of_many_claims_one_wins`, `a_claim_that_ended_is_free`, `a_released_claim_is_free`, `tokens_grow`,
///   `a_holder_that_comes_back_is_granted_anew`)
/// * `renew` moves the end of a claim; of one that was lost it is a conflict. A renewed claim has the same token. A lease of no time, or
///   longer than a day, is [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput). (`a_renewed_claim_lasts`,
///   `a_lost_claim_cannot_be_renewed`, `leases_have_bounds`)
/// * `recent` lists the records of a component, newest first; at most `limit`. (`recent_records_come_newest_first`)
/// * `remove` takes a record away; whether there was one. (`removed_records_are_gone`)
#[async_trait]
pub trait StepCache: Debug + Send + Sync + 'static {
    /// The record under a key.
    async fn get(&self, key: &StepKey) -> Result<Option<StepRecord>>;

    /// Keeps a record, under a claim to its key.
    async fn put(&self, record: &StepRecord, claim: &Claim) -> Result<()>;

    /// Asks for the right to make what belongs to a key.
    async fn claim(&self, key: &StepKey, holder: &str, lease: Duration) -> Result<Claimed>;

    /// Keeps a claim for `lease` from now on.
    async fn renew(&self, claim: &Claim, lease: Duration) -> Result<Claim>;

    /// Gives a claim back; one that is lost already is given back.
    async fn release(&self, claim: &Claim) -> Result<()>;

    /// What was made with a component, newest first.
    async fn recent(&self, component: &ComponentName, limit: usize) -> Result<Vec<StepRecord>>;

    /// Takes a record away.
    async fn remove(&self, key: &StepKey) -> Result<bool>;
}

/// The longest lease: a day.
pub(crate) const MAX_LEASE: Duration = Duration::from_secs(86_400);

/// Checks a lease and computes its end; backends call this first.
pub(crate) fn lease_end(operation: &'static str, now: Timestamp, lease: Duration) -> Result<Timestamp> {
    if lease.is_zero() || lease > MAX_LEASE {
        return Err(Error::invalid(operation, "lease", "must be longer than nothing and at most a day"));
    }
    let lease = chrono::TimeDelta::from_std(lease).unwrap_or(chrono::TimeDelta::MAX);
    Ok(crate::time::truncate(now.checked_add_signed(lease).unwrap_or(Timestamp::MAX_UTC)))
}

/// Checks a record against the claim and the content it needs; backends call this first.
pub(crate) async fn check_put(
    record: &StepRecord,
    claim: &Claim,
    artifacts: &dyn ArtifactStore,
) -> Result<()> {
    const OP: &str = "StepCache::put";
    if record.parts.key()? != record.key || claim.key != record.key {
        let message = "is not the key of the record's parts and of the claim";
        return Err(Error::invalid(OP, "key", message).with("key", record.key));
    }
    let log = record.log.as_ref().map(|log| (log.digest, log.size));
    let outputs = record.outputs.values().map(|output| (output.digest, output.size));
    for (digest, size) in outputs.chain(log) {
        if artifacts.head(&digest).await? != Some(Blob { digest, size }) {
            return Err(Error::not_found(OP, "content", digest));
        }
    }
    Ok(())
}

macro_rules! forward {
    ($pointer:ident) => {
        #[async_trait]
        #[deny(clippy::missing_trait_methods)]
        impl<T: StepCache + ?Sized> StepCache for $pointer<T> {
            async fn get(&self, key: &StepKey) -> Result<Option<StepRecord>> {
                (**self).get(key).await
            }

            async fn put(&self, record: &StepRecord, claim: &Claim) -> Result<()> {
                (**self).put(record, claim).await
            }

            async fn claim(&self, key: &StepKey, holder: &str, lease: Duration) -> Result<Claimed> {
                (**self).claim(key, holder, lease).await
            }

            async fn renew(&self, claim: &Claim, lease: Duration) -> Result<Claim> {
                (**self).renew(claim, lease).await
            }

            async fn release(&self, claim: &Claim) -> Result<()> {
                (**self).release(claim).await
            }

            async fn recent(&self, component: &ComponentName, limit: usize) -> Result<Vec<StepRecord>> {
                (**self).recent(component, limit).await
            }

            async fn remove(&self, key: &StepKey) -> Result<bool> {
                (**self).remove(key).await
            }
        }
    };
}
forward!(Arc);
forward!(Box);

/// Never called: that it compiles says that the trait can be an object.
#[allow(dead_code)]
fn is_object_safe(_: &dyn StepCache) {}

/// Which output of a record is not what it should be, and why.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Damage {
    /// The output.
    pub output: PortName,
    /// What is wrong with it.
    pub reason: String,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "output `{}`: {}", self.output, self.reason)
    }
}

/// Looks at the outputs of a record as the policy says: none where they are good.
///
/// # Errors
/// Only where it could not look: content that is gone, damaged or of another size is an answer.
pub async fn verify(
    record: &StepRecord,
    policy: VerifyPolicy,
    artifacts: &dyn ArtifactStore,
) -> Result<Option<Damage>> {
    if policy == VerifyPolicy::Never {
        return Ok(None);
    }
    for (port, content) in record.contents() {
        let looked = match policy {
            VerifyPolicy::Always => read_all(content, artifacts).await,
            _ => is_there(content, artifacts).await,
        };
        match looked {
            Ok(()) => {}
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::Integrity | ErrorKind::Corrupt) => {
                return Ok(Some(Damage { output: port.clone(), reason: e.message().to_owned() }));
            }
            Err(e) => return Err(e),
        }
    }
    Ok(None)
}

async fn present(blob: Blob, artifacts: &dyn ArtifactStore) -> Result<()> {
    match artifacts.head(&blob.digest).await? {
        Some(found) if found == blob => Ok(()),
        Some(_) => Err(Error::new(ErrorKind::Integrity, "pipeline::verify", "the content has another size")),
        None => Err(Error::new(ErrorKind::NotFound, "pipeline::verify", "the content is gone")),
    }
}

async fn is_there(content: &Content, artifacts: &dyn ArtifactStore) -> Result<()> {
    present(Blob { digest: content.digest, size: content.size }, artifacts).await?;
    if content.r#type.is_tree() {
        for entry in artifacts.tree(&content.digest).await?.entries() {
            present(Blob { digest: entry.digest, size: entry.size }, artifacts).await?;
        }
    }
    Ok(())
}

async fn read_all(content: &Content, artifacts: &dyn ArtifactStore) -> Result<()> {
    is_there(content, artifacts).await?;
    if content.r#type.is_tree() {
        return artifacts.verify_tree(&content.digest).await.map(drop);
    }
    let mut stream = artifacts.get(&content.digest, None).await?;
    while let Some(piece) = stream.next().await {
        piece?;
    }
    Ok(())
}
