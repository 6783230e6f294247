//! The state of a run and its journal, moved forward together.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::lock::Mutex;

use super::options::Backends;
use crate::artifact::Blob;
use crate::error::Result;
use crate::id::{RunId, StepName};
use crate::pipeline::body::CheckpointSink;
use crate::pipeline::{PipelineEntry, PipelineEvent, PipelineJournal, PipelineState};
use crate::time::{Clock, Timestamp};

/// Writes down what happens, one thing after the other.
#[derive(Debug)]
pub(super) struct Book {
    run: RunId,
    began: Timestamp,
    journal: Arc<dyn PipelineJournal>,
    clock: Arc<dyn Clock>,
    pages: Mutex<Pages>,
}

#[derive(Debug)]
struct Pages {
    state: PipelineState,
    written: u64,
    /// What is in the state and may not be in the journal: its writer was dropped, or failed. It is written first, again: the
    /// last entry again changes nothing.
    pending: Option<PipelineEntry>,
}

impl Book {
    /// Writes down that a run begins.
    pub(super) async fn begin(run: RunId, backends: &Backends, state: PipelineState) -> Result<Arc<Self>> {
        let began = backends.clock.now();
        let event = PipelineEvent::Begun(Box::new(state.plan().clone()));
        backends.journal.append(&run, &PipelineEntry::new(1, began, event)).await?;
        Ok(Arc::new(Self::new(run, backends, began, Pages { state, written: 1, pending: None })))
    }

    /// Writes down that a run goes on.
    pub(super) async fn resume(
        run: RunId,
        backends: &Backends,
        state: PipelineState,
        entries: &[PipelineEntry],
    ) -> Result<Arc<Self>> {
        let began = entries.first().map_or_else(|| backends.clock.now(), |entry| entry.at);
        let book =
            Self::new(run, backends, began, Pages { state, written: entries.len() as u64, pending: None });
        book.record(PipelineEvent::Resumed).await?;
        Ok(Arc::new(book))
    }

    fn new(run: RunId, backends: &Backends, began: Timestamp, pages: Pages) -> Self {
        let (journal, clock) = (backends.journal.clone(), backends.clock.clone());
        Self { run, began, journal, clock, pages: Mutex::new(pages) }
    }

    pub(super) fn run(&self) -> &RunId {
        &self.run
    }

    pub(super) fn began(&self) -> Timestamp {
        self.began
    }

    /// Takes an event in and writes it down.
    pub(super) async fn record(&self, event: PipelineEvent) -> Result<()> {
        let mut pages = self.pages.lock().await;
        self.write_pending(&mut pages).await?;
        pages.state.apply(&event)?;
        pages.pending = Some(PipelineEntry::new(pages.written + 1, self.clock.now(), event));
        self.write_pending(&mut pages).await
    }

    async fn write_pending(&self, pages: &mut Pages) -> Result<()> {
        let Some(entry) = &pages.pending else { return Ok(()) };
        self.journal.append(&self.run, entry).await?;
        pages.written += 1;
        pages.pending = None;
        Ok(())
    }

    /// Looks at the state.
    pub(super) async fn look<T>(&self, look: impl FnOnce(&PipelineState) -> T) -> T {
        look(&self.pages.lock().await.state)
    }

    pub(super) async fn state(&self) -> PipelineState {
        self.look(Clone::clone).await
    }
}

/// Keeps the checkpoints of one attempt.
#[derive(Debug)]
pub(super) struct Checkpoints {
    pub(super) book: Arc<Book>,
    pub(super) step: StepName,
    pub(super) attempt: u32,
}

#[async_trait]
impl CheckpointSink for Checkpoints {
    async fn keep(&self, blob: Blob) -> Result<()> {
        let (step, attempt) = (self.step.clone(), self.attempt);
        self.book.record(PipelineEvent::Checkpointed { step, attempt, blob }).await
    }
}
