//! Steps' records and pipelines' journals in memory.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;

use crate::artifact::ArtifactStore;
use crate::error::{Error, Result};
use crate::id::{ComponentName, RunId};
use crate::pipeline::{
    Claim, Claimed, PipelineEntry, PipelineJournal, StepCache, StepKey, StepRecord, check_put, lease_end,
};
use crate::time::{Clock, Timestamp, lock};

/// Steps' records in memory: single flight within the process.
///
/// ```
/// use std::sync::Arc;
/// use mlops_core::hash::Digest;
/// use mlops_core::memory::{MemoryArtifactStore, MemoryStepCache};
/// use mlops_core::pipeline::{StepCache as _, StepKey};
/// use mlops_core::time::SystemClock;
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let clock = Arc::new(SystemClock::new());
/// let cache = MemoryStepCache::new(Arc::new(MemoryArtifactStore::new(clock.clone())), clock);
/// assert!(cache.get(&StepKey::new(Digest::of(b"a key"))).await?.is_none());
/// # Ok::<(), mlops_core::Error>(()) })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct MemoryStepCache {
    artifacts: Arc<dyn ArtifactStore>,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// With a number that grows with every put.
    records: BTreeMap<StepKey, (u64, StepRecord)>,
    puts: u64,
    claims: BTreeMap<StepKey, Slot>,
}

/// The last claim to a key; its token stays when it is given back.
struct Slot {
    token: u64,
    held: Option<(String, Timestamp)>,
}

impl MemoryStepCache {
    /// Nothing yet; records must refer to content of `artifacts`.
    pub fn new(artifacts: Arc<dyn ArtifactStore>, clock: Arc<dyn Clock>) -> Self {
        Self { artifacts, clock, state: Mutex::default() }
    }
}

impl fmt::Debug for MemoryStepCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStepCache")
            .field("records", &lock(&self.state).records.len())
            .finish_non_exhaustive()
    }
}

fn lost(operation: &'static str, claim: &Claim, found: u64) -> Error {
    Error::conflict(operation, "the claim was lost", claim.token, found).with("key", claim.key)
}

/// Refuses a claim that somebody else has been granted, or that was given back. One that has ended and that nobody took is
/// still its holder's.
fn held(operation: &'static str, state: &State, claim: &Claim) -> Result<()> {
    match state.claims.get(&claim.key) {
        Some(slot)
            if slot.token == claim.token
                && slot.held.as_ref().is_some_and(|(who, _)| *who == claim.holder) =>
        {
            Ok(())
        }
        slot => Err(lost(operation, claim, slot.map_or(0, |slot| slot.token))),
    }
}

#[async_trait]
impl StepCache for MemoryStepCache {
    async fn get(&self, key: &StepKey) -> Result<Option<StepRecord>> {
        Ok(lock(&self.state).records.get(key).map(|(_, record)| record.clone()))
    }

    async fn put(&self, record: &StepRecord, claim: &Claim) -> Result<()> {
        check_put(record, claim, &*self.artifacts).await?;
        let mut state = lock(&self.state);
        held("StepCache::put", &state, claim)?;
        state.puts += 1;
        let number = state.puts;
        state.records.insert(record.key, (number, record.clone()));
        Ok(())
    }

    async fn claim(&self, key: &StepKey, holder: &str, lease: Duration) -> Result<Claimed> {
        let now = self.clock.now();
        let until = lease_end("StepCache::claim", now, lease)?;
        let mut state = lock(&self.state);
        let slot = state.claims.entry(*key).or_insert(Slot { token: 0, held: None });
        match &slot.held {
            Some((who, end)) if *end > now && who != holder => Ok(Claimed::Held { until: *end }),
            _ => {
                slot.token += 1;
                slot.held = Some((holder.to_owned(), until));
                Ok(Claimed::Granted(Claim { key: *key, holder: holder.to_owned(), token: slot.token, until }))
            }
        }
    }

    async fn renew(&self, claim: &Claim, lease: Duration) -> Result<Claim> {
        const OP: &str = "StepCache::renew";
        let until = lease_end(OP, self.clock.now(), lease)?;
        let mut state = lock(&self.state);
        held(OP, &state, claim)?;
        if let Some(slot) = state.claims.get_mut(&claim.key) {
            slot.held = Some((claim.holder.clone(), until));
        }
        Ok(Claim { until, ..claim.clone() })
    }

    async fn release(&self, claim: &Claim) -> Result<()> {
        let mut state = lock(&self.state);
        if held("StepCache::release", &state, claim).is_ok()
            && let Some(slot) = state.claims.get_mut(&claim.key)
        {
            slot.held = None;
        }
        Ok(())
    }

    async fn recent(&self, component: &ComponentName, limit: usize) -> Result<Vec<StepRecord>> {
        let state = lock(&self.state);
        let mut found: Vec<_> =
            state.records.values().filter(|(_, record)| record.parts.component == *component).collect();
        found.sort_by_key(|(number, _)| std::cmp::Reverse(*number));
        Ok(found.into_iter().take(limit).map(|(_, record)| record.clone()).collect())
    }

    async fn remove(&self, key: &StepKey) -> Result<bool> {
        Ok(lock(&self.state).records.remove(key).is_some())
    }
}

/// Pipelines' journals in memory: they outlive an executor, not the process.
///
/// ```
/// use mlops_core::RunId;
/// use mlops_core::memory::MemoryPipelineJournal;
/// use mlops_core::pipeline::PipelineJournal as _;
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// assert!(MemoryPipelineJournal::default().entries(&RunId::generate()).await?.is_empty());
/// # Ok::<(), mlops_core::Error>(()) })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Default)]
pub struct MemoryPipelineJournal(Mutex<BTreeMap<RunId, Vec<PipelineEntry>>>);

impl fmt::Debug for MemoryPipelineJournal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryPipelineJournal").field("runs", &lock(&self.0).len()).finish_non_exhaustive()
    }
}

#[async_trait]
impl PipelineJournal for MemoryPipelineJournal {
    async fn append(&self, run: &RunId, entry: &PipelineEntry) -> Result<()> {
        let mut runs = lock(&self.0);
        let entries = runs.entry(run.clone()).or_default();
        if entries.last() == Some(entry) {
            return Ok(());
        }
        let expected = entries.len() as u64 + 1;
        if entry.sequence != expected {
            let message = "the journal is at another entry: is the run driven twice?";
            return Err(Error::conflict("PipelineJournal::append", message, expected, entry.sequence));
        }
        entries.push(entry.clone());
        Ok(())
    }

    async fn entries(&self, run: &RunId) -> Result<Vec<PipelineEntry>> {
        Ok(lock(&self.0).get(run).cloned().unwrap_or_default())
    }
}
