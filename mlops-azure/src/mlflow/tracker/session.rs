//! What a tracker knows of the runs it writes to.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use mlops_core::experiment::{LogBatch, WriteReceipt};
use mlops_core::{Result, RunId};
use tokio::sync::oneshot;

use super::record::Kept;
use super::slot::Ledger;
use super::{MlflowTracker, lock};

/// One run that is written to: what is known of it, behind the lock that makes writers wait for each other, and the batches
/// that wait.
#[derive(Default)]
pub(super) struct Open {
    /// What is known.
    pub(super) state: tokio::sync::Mutex<Session>,
    waiting: Mutex<VecDeque<Ticket>>,
}

/// A batch that waits.
pub(super) struct Ticket {
    pub(super) batch: LogBatch,
    reply: oneshot::Sender<Result<WriteReceipt>>,
}

impl Ticket {
    /// Answers the caller; one that is gone needs no answer.
    pub(super) fn answer(self, result: Result<WriteReceipt>) {
        let _ = self.reply.send(result);
    }
}

impl Open {
    /// The most points, parameters and tags that are sent together.
    const MAX_TOGETHER: usize = 10_000;

    /// Puts a batch at the end of the line.
    pub(super) fn line_up(&self, batch: &LogBatch) -> oneshot::Receiver<Result<WriteReceipt>> {
        let (reply, answer) = oneshot::channel();
        lock(&self.waiting).push_back(Ticket { batch: batch.clone(), reply });
        answer
    }

    /// Takes the batches from the front of the line that are to be sent together: those whose callers still wait, one at
    /// least, if there is one.
    pub(super) fn take(&self) -> Vec<Ticket> {
        let mut waiting = lock(&self.waiting);
        let (mut taken, mut size) = (Vec::new(), 0_usize);
        while let Some(ticket) = waiting.pop_front() {
            if ticket.reply.is_closed() {
                continue;
            }
            let batch = &ticket.batch;
            size += batch.metrics.len()
                + batch.params.len()
                + batch.tags.len()
                + batch.inputs.len()
                + batch.artifacts.len();
            if size > Self::MAX_TOGETHER && !taken.is_empty() {
                waiting.push_front(ticket);
                break;
            }
            taken.push(ticket);
        }
        taken
    }
}

/// What is known of one run.
#[derive(Default)]
pub(super) struct Session {
    kept: Option<(Kept, Instant)>,
    /// The points of the metrics that were written to.
    pub(super) ledgers: HashMap<String, Ledger>,
    /// Something was begun and has not come to its end: its caller was cancelled.
    unsettled: bool,
}

impl Session {
    /// Something begins whose failure would leave what is known behind what is there.
    pub(super) fn begin(&mut self) {
        if self.unsettled {
            self.forget();
        }
        self.unsettled = true;
    }

    /// It came to its end.
    pub(super) fn end(&mut self) {
        self.unsettled = false;
    }

    /// Forgets everything: something failed half-way.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    /// What is known, however old.
    pub(super) fn known(&mut self) -> Option<&mut Kept> {
        self.kept.as_mut().map(|(kept, _)| kept)
    }

    /// Takes note of what was just read.
    pub(super) fn learn(&mut self, kept: Kept) -> &mut Kept {
        &mut self.kept.insert((kept, Instant::now())).0
    }
}

/// The sessions of the runs written to lately. One is forgotten when there are too many and nobody is in it; it is then read
/// again from the server.
#[derive(Default)]
pub(super) struct Sessions {
    clock: u64,
    open: HashMap<RunId, (u64, Arc<Open>)>,
}

impl Sessions {
    const MAX: usize = 256;

    fn get(&mut self, id: &RunId) -> Arc<Open> {
        self.clock += 1;
        let now = self.clock;
        if !self.open.contains_key(id) && self.open.len() >= Self::MAX {
            self.evict();
        }
        let entry = self.open.entry(id.clone()).or_default();
        entry.0 = now;
        entry.1.clone()
    }

    /// Forgets the older half of what nobody is in.
    fn evict(&mut self) {
        let mut idle: Vec<u64> =
            self.open.values().filter(|(_, s)| Arc::strong_count(s) == 1).map(|(used, _)| *used).collect();
        idle.sort_unstable();
        let Some(border) = idle.get(idle.len() / 2).copied() else { return };
        self.open.retain(|_, (used, session)| Arc::strong_count(session) > 1 || *used > border);
    }
}

/// MLflow's ids by the client's, for the runs met lately. They never change.
#[derive(Default)]
pub(super) struct Ids(HashMap<RunId, Arc<str>>);

impl Ids {
    const MAX: usize = 100_000;

    pub(super) fn get(&self, id: &RunId) -> Option<Arc<str>> {
        self.0.get(id).cloned()
    }

    pub(super) fn learn(&mut self, id: &RunId, uuid: &str) {
        if self.0.len() >= Self::MAX {
            self.0.clear();
        }
        self.0.insert(id.clone(), uuid.into());
    }

    pub(super) fn forget(&mut self, id: &RunId) {
        self.0.remove(id);
    }
}

impl MlflowTracker {
    pub(super) fn session(&self, id: &RunId) -> Arc<Open> {
        lock(&self.shared.sessions).get(id)
    }

    /// The run as it is now, by what is known if that is fresh enough, else by asking.
    pub(super) async fn load<'a>(
        &self,
        op: &'static str,
        id: &RunId,
        session: &'a mut Session,
    ) -> Result<&'a mut Kept> {
        let fresh = |(_, since): &(Kept, Instant)| since.elapsed() < self.freshness;
        if !session.kept.as_ref().is_some_and(fresh) {
            session.kept = None;
            let kept = self.must_find(op, id).await?;
            session.learn(kept);
        }
        match &mut session.kept {
            Some((kept, _)) => {
                kept.expire(self.clock.now());
                Ok(kept)
            }
            // Not reached: it was just put there.
            None => Err(mlops_core::Error::new(mlops_core::ErrorKind::Internal, op, "a run was not kept")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_sessions_are_forgotten_and_busy_ones_are_not() {
        let mut sessions = Sessions::default();
        let busy_id = RunId::generate();
        let busy = sessions.get(&busy_id);
        for _ in 0..3 * Sessions::MAX {
            sessions.get(&RunId::generate());
        }
        assert!(sessions.open.len() <= Sessions::MAX);
        assert!(Arc::ptr_eq(&busy, &sessions.get(&busy_id)));
    }
}
