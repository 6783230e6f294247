//! Journals, and the cache of steps. Journals of sweeps and pipelines are parts of their runs.

use std::time::Duration;

use async_trait::async_trait;

use super::Authorized;
use crate::deploy::rollout::{JournalEntry, RolloutJournal};
use crate::error::Result;
use crate::experiment::sweep::{SweepEntry, SweepJournal};
use crate::governance::Action;
use crate::hash::Digest;
use crate::id::{ComponentName, IdempotencyKey, RunId};
use crate::pipeline::{Claim, Claimed, PipelineEntry, PipelineJournal, StepCache, StepKey, StepRecord};
use crate::retrain::closed_loop::{LoopEntry, LoopJournal, LoopStanding, LoopState};

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<T: SweepJournal> SweepJournal for Authorized<T> {
    async fn append(&self, sweep: &RunId, entry: &SweepEntry) -> Result<()> {
        self.ask(&self.actor, Action::RunWrite, &format!("run/{sweep}"), &[]).await?;
        self.inner.append(sweep, entry).await
    }

    async fn entries(&self, sweep: &RunId, after: u64) -> Result<Vec<SweepEntry>> {
        self.inner.entries(sweep, after).await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<T: PipelineJournal> PipelineJournal for Authorized<T> {
    async fn append(&self, run: &RunId, entry: &PipelineEntry) -> Result<()> {
        self.ask(&self.actor, Action::RunWrite, &format!("run/{run}"), &[]).await?;
        self.inner.append(run, entry).await
    }

    async fn entries(&self, run: &RunId) -> Result<Vec<PipelineEntry>> {
        self.inner.entries(run).await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<T: RolloutJournal> RolloutJournal for Authorized<T> {
    async fn append(&self, rollout: &Digest, entry: &JournalEntry) -> Result<()> {
        self.ask(&self.actor, Action::JournalWrite, &format!("rollout/{rollout}"), &[]).await?;
        self.inner.append(rollout, entry).await
    }

    async fn entries(&self, rollout: &Digest) -> Result<Vec<JournalEntry>> {
        self.inner.entries(rollout).await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<T: LoopJournal> LoopJournal for Authorized<T> {
    async fn append(&self, entry: &LoopEntry, state: &LoopState) -> Result<()> {
        self.ask(&self.actor, Action::JournalWrite, &format!("loop/{}", state.id), &[]).await?;
        self.inner.append(entry, state).await
    }

    async fn standing(&self, id: &IdempotencyKey) -> Result<Option<LoopStanding>> {
        self.inner.standing(id).await
    }

    async fn entries(&self, id: &IdempotencyKey, after: u64, limit: usize) -> Result<Vec<LoopEntry>> {
        self.inner.entries(id, after, limit).await
    }
}

// Who may write to runs may keep what their steps made, and who may delete runs may forget it.
#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<T: StepCache> StepCache for Authorized<T> {
    async fn get(&self, key: &StepKey) -> Result<Option<StepRecord>> {
        self.inner.get(key).await
    }

    async fn put(&self, record: &StepRecord, claim: &Claim) -> Result<()> {
        self.ask(&self.actor, Action::RunWrite, &format!("step/{}", claim.key), &[]).await?;
        self.inner.put(record, claim).await
    }

    async fn claim(&self, key: &StepKey, holder: &str, lease: Duration) -> Result<Claimed> {
        self.ask(&self.actor, Action::RunWrite, &format!("step/{key}"), &[]).await?;
        self.inner.claim(key, holder, lease).await
    }

    async fn renew(&self, claim: &Claim, lease: Duration) -> Result<Claim> {
        self.ask(&self.actor, Action::RunWrite, &format!("step/{}", claim.key), &[]).await?;
        self.inner.renew(claim, lease).await
    }

    async fn release(&self, claim: &Claim) -> Result<()> {
        self.ask(&self.actor, Action::RunWrite, &format!("step/{}", claim.key), &[]).await?;
        self.inner.release(claim).await
    }

    async fn recent(&self, component: &ComponentName, limit: usize) -> Result<Vec<StepRecord>> {
        self.inner.recent(component, limit).await
    }

    async fn remove(&self, key: &StepKey) -> Result<bool> {
        self.ask(&self.actor, Action::RunDelete, &format!("step/{key}"), &[]).await?;
        self.inner.remove(key).await
    }
}
