//! The journal of sweeps in memory.

use std::collections::BTreeMap;
use std::sync::Mutex;

use async_trait::async_trait;

use crate::error::{Error, Result};
use crate::experiment::sweep::{SweepEntry, SweepJournal};
use crate::id::RunId;
use crate::time::lock;

/// A journal of sweeps in memory: it outlives an engine, not the process.
///
/// ```
/// use mlops_core::RunId;
/// use mlops_core::experiment::sweep::SweepJournal as _;
/// use mlops_core::memory::MemorySweepJournal;
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let journal = MemorySweepJournal::default();
/// assert!(journal.entries(&RunId::generate(), 0).await?.is_empty());
/// # Ok::<(), mlops_core::Error>(()) })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Default)]
pub struct MemorySweepJournal(Mutex<BTreeMap<RunId, Vec<SweepEntry>>>);

#[async_trait]
impl SweepJournal for MemorySweepJournal {
    async fn append(&self, sweep: &RunId, entry: &SweepEntry) -> Result<()> {
        let mut sweeps = lock(&self.0);
        let entries = sweeps.entry(sweep.clone()).or_default();
        if entries.last().is_some_and(|last| last.is_same(entry)) {
            return Ok(());
        }
        let expected = entries.len() as u64 + 1;
        if entry.sequence != expected {
            let message = "the journal is at another entry: is the sweep driven twice?";
            return Err(Error::conflict("SweepJournal::append", message, expected, entry.sequence));
        }
        entries.push(entry.clone());
        Ok(())
    }

    async fn entries(&self, sweep: &RunId, after: u64) -> Result<Vec<SweepEntry>> {
        let sweeps = lock(&self.0);
        let entries = sweeps.get(sweep).map(Vec::as_slice).unwrap_or_default();
        let from = usize::try_from(after).unwrap_or(usize::MAX).min(entries.len());
        Ok(entries[from..].to_vec())
    }
}
