//! The audit log in memory.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;

use crate::error::{Error, Result};
use crate::governance::{AuditEntry, AuditLog, AuditRecord, AuditVerification, Checkpoint, verify_chain};
use crate::id::IdempotencyKey;
use crate::time::{Clock, SystemClock, lock};

/// A chain of records in memory.
///
/// ```
/// use mlops_core::ActorId;
/// use mlops_core::governance::{AuditLog, AuditLogExt as _};
/// use mlops_core::memory::MemoryAuditLog;
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let log = MemoryAuditLog::default();
/// let trainer = ActorId::new("trainer")?;
/// log.record(&trainer, "model.register", "model/churn:1", "accuracy 0.81").await?;
/// let seen = log.checkpoint().await?;
/// log.record(&trainer, "model.promote", "model/churn:1", "gate passed").await?;
/// assert!(log.verify(Some(&seen)).await?.is_intact());
/// # Ok::<(), mlops_core::Error>(()) })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct MemoryAuditLog {
    clock: Arc<dyn Clock>,
    chain: Mutex<Chain>,
}

#[derive(Default)]
struct Chain {
    records: Vec<AuditRecord>,
    /// Where the record of a key lies.
    keys: HashMap<IdempotencyKey, usize>,
}

impl MemoryAuditLog {
    /// An empty log that takes the time from `clock`.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, chain: Mutex::default() }
    }
}

impl Default for MemoryAuditLog {
    fn default() -> Self {
        Self::new(Arc::new(SystemClock::new()))
    }
}

impl fmt::Debug for MemoryAuditLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let records = lock(&self.chain).records.len();
        f.debug_struct("MemoryAuditLog").field("records", &records).finish_non_exhaustive()
    }
}

#[async_trait]
impl AuditLog for MemoryAuditLog {
    async fn append(&self, entry: &AuditEntry) -> Result<AuditRecord> {
        entry.check()?;
        let mut chain = lock(&self.chain);
        if let Some(&at) = chain.keys.get(&entry.key) {
            let record = &chain.records[at];
            if record.entry == *entry {
                return Ok(record.clone());
            }
            let message = "the key was used for another entry";
            let error = Error::conflict("AuditLog::append", message, &entry.action, &record.entry.action);
            return Err(error.with("key", &entry.key).with("sequence", record.sequence));
        }
        let record = AuditRecord::chain(chain.records.last(), entry.clone(), self.clock.now())?;
        let at = chain.records.len();
        chain.keys.insert(entry.key.clone(), at);
        chain.records.push(record.clone());
        Ok(record)
    }

    async fn read(&self, after: u64, limit: usize) -> Result<Vec<AuditRecord>> {
        let chain = lock(&self.chain);
        // The record with sequence n lies at n − 1, so the one after it lies at n.
        let rest =
            usize::try_from(after).ok().and_then(|after| chain.records.get(after..)).unwrap_or_default();
        Ok(rest.iter().take(limit).cloned().collect())
    }

    async fn checkpoint(&self) -> Result<Checkpoint> {
        let chain = lock(&self.chain);
        let last = chain.records.last();
        Ok(last.map_or_else(
            || Checkpoint { size: 0, head: AuditRecord::genesis() },
            |last| Checkpoint { size: last.sequence, head: last.hash },
        ))
    }

    async fn verify(&self, checkpoint: Option<&Checkpoint>) -> Result<AuditVerification> {
        Ok(verify_chain(&lock(&self.chain).records, checkpoint))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::audit::AuditUnderTest;
    use crate::time::ManualClock;

    fn fresh(wrap: impl FnOnce(Arc<MemoryAuditLog>) -> Arc<dyn AuditLog>) -> AuditUnderTest {
        let clock = Arc::new(ManualClock::at(chrono::DateTime::UNIX_EPOCH));
        AuditUnderTest::new(wrap(Arc::new(MemoryAuditLog::new(clock.clone())))).with_clock(clock)
    }

    crate::audit_log_suite!(plain, fresh(|log| log));
    crate::audit_log_suite!(in_an_arc, fresh(|log| Arc::new(log as Arc<dyn AuditLog>)));
    crate::audit_log_suite!(in_a_box, fresh(|log| Arc::new(Box::new(log) as Box<dyn AuditLog>)));

    #[tokio::test]
    async fn debug_output_has_no_entries() {
        let log = MemoryAuditLog::default();
        let entry = AuditEntry::new(crate::ActorId::new("a").unwrap(), "model.register", "model/hidden:1");
        log.append(&entry).await.unwrap();
        let shown = format!("{log:?}");
        assert!(shown.contains("records: 1") && !shown.contains("hidden"), "{shown}");
    }
}
