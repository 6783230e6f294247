//! Logging batches.
//!
//! A request takes MLflow milliseconds, however little is in it. So batches for one run that wait for each other go together:
//! the first caller in line takes what has gathered behind it and sends it as one. Every batch is still checked, counted and
//! answered by itself, in the order of the calls. When the server refuses what was sent together, each goes alone.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use mlops_core::experiment::{DataInput, Degradation, LogBatch, MetricPoint, WriteReceipt};
use mlops_core::hash::Digest;
use mlops_core::id::MAX_ENTRIES;
use mlops_core::{Error, ErrorKind, IdempotencyKey, Result, RunId};
use serde_json::{Value, json};

use super::plan::Plan;
use super::record::{self, Kept, Receipt};
use super::session::{Session, Ticket};
use super::slot::{Added, Ledger, MAX_SLOT, Place};
use super::{MlflowTracker, cell, names};
use crate::mlflow::wire::{KeyValue, Metric};

const OP: &str = "ExperimentTracker::write";

impl MlflowTracker {
    pub(super) async fn log(&self, id: &RunId, batch: &LogBatch) -> Result<WriteReceipt> {
        batch.check()?;
        names::check_batch(OP, batch)?;
        let session = self.session(id);
        let mut answer = session.line_up(batch);
        let mut state = session.state.lock().await;
        loop {
            match answer.try_recv() {
                Ok(result) => return result,
                // Whoever took this batch along was cancelled: whether it was sent is not known, and it can be sent again.
                Err(tokio::sync::oneshot::error::TryRecvError::Closed) => answer = session.line_up(batch),
                Err(tokio::sync::oneshot::error::TryRecvError::Empty) => {}
            }
            self.lead(id, session.take(), &mut state).await;
        }
    }

    /// Sends batches together, and answers each.
    async fn lead(&self, id: &RunId, tickets: Vec<Ticket>, session: &mut Session) {
        let batches: Vec<&LogBatch> = tickets.iter().map(|ticket| &ticket.batch).collect();
        match self.commit(id, &batches, session).await {
            Ok(results) => {
                for (ticket, result) in tickets.into_iter().zip(results) {
                    ticket.answer(result);
                }
            }
            Err(error) if tickets.len() == 1 || error.is_retryable() => {
                for ticket in tickets {
                    ticket.answer(Err(again(&error)));
                }
            }
            // One of them is at fault: each for itself.
            Err(_) => {
                for ticket in tickets {
                    let result = self.commit(id, &[&ticket.batch], session).await;
                    ticket.answer(
                        result.and_then(|mut results| results.pop().unwrap_or_else(|| Err(unanswered()))),
                    );
                }
            }
        }
    }

    /// Sends batches together. The outer error is that of all of them.
    async fn commit(
        &self,
        id: &RunId,
        batches: &[&LogBatch],
        session: &mut Session,
    ) -> Result<Vec<Result<WriteReceipt>>> {
        session.begin();
        let result = self.try_commit(id, batches, session).await;
        let conflict = matches!(&result, Err(error) if error.kind() == ErrorKind::Conflict);
        if result.is_ok() {
            session.end();
            return result;
        }
        // Half of it may be there.
        session.forget();
        match (result, batches) {
            (Err(error), [batch]) if conflict => Err(self.explain(id, batch, session, error).await),
            (result, _) => result,
        }
    }

    async fn try_commit(
        &self,
        id: &RunId,
        batches: &[&LogBatch],
        session: &mut Session,
    ) -> Result<Vec<Result<WriteReceipt>>> {
        self.open_ledgers(id, batches, session).await?;
        let mut ledgers = std::mem::take(&mut session.ledgers);
        let kept = self.load(OP, id, session).await?;
        let mut group = Group { max_tag: self.max_tag(), ..Group::default() };
        for batch in batches {
            let outcome = group.add(kept, batch, &mut ledgers);
            group.outcomes.push(outcome);
        }
        let uuid = kept.uuid.clone();
        if !group.inputs.is_empty() && !self.show_inputs(&uuid, &group.inputs).await? {
            group.spoil_inputs();
        }
        let receipts = group.seal(&ledgers)?;
        self.send(OP, std::mem::take(&mut group.plan), &uuid).await?;
        if let Some(kept) = session.known() {
            kept.receipts.extend(receipts);
        }
        session.ledgers = ledgers;
        Ok(group.results())
    }

    /// Sends what is planned.
    pub(super) async fn send(&self, op: &'static str, mut plan: Plan, uuid: &str) -> Result<()> {
        let limit = self.max_tag();
        for tags in [&mut plan.before, &mut plan.tags, &mut plan.after] {
            *tags = cell::fit(limit, std::mem::take(tags));
        }
        for body in plan.requests(uuid) {
            self.post(op, "mlflow/runs/log-batch", &body).await?;
        }
        Ok(())
    }

    /// Reads the points of the metrics that are written to for the first time.
    async fn open_ledgers(&self, id: &RunId, batches: &[&LogBatch], session: &mut Session) -> Result<()> {
        let points = batches.iter().flat_map(|batch| &batch.metrics);
        let keys: BTreeSet<&str> = points.map(|point| point.key.as_str()).collect();
        for key in keys {
            if session.ledgers.contains_key(key) {
                continue;
            }
            let kept = self.load(OP, id, session).await?;
            let mut ledger = Ledger::default();
            if kept.run.metrics.contains_key(key) {
                let (uuid, slots) = (kept.uuid.clone(), kept.slots.clone());
                let rows = self.rows(OP, &uuid, key).await?;
                ledger = Ledger::of(slots.points(key, &rows));
            }
            session.ledgers.insert(key.to_owned(), ledger);
        }
        Ok(())
    }

    /// Shows inputs in MLflow's user interface, as data sets. What counts is in the run's tags, so a server that does not
    /// take them costs the display only. Whether they are shown.
    async fn show_inputs(&self, uuid: &str, inputs: &[(u64, DataInput)]) -> Result<bool> {
        let datasets: Vec<Value> = inputs.iter().map(|(_, input)| dataset(input)).collect();
        let body = json!({ "run_id": uuid, "datasets": datasets });
        match self.post(OP, "mlflow/runs/log-inputs", &body).await {
            Ok(_) => Ok(true),
            Err(error) if matches!(error.kind(), ErrorKind::Unsupported | ErrorKind::InvalidInput) => {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// A conflict that the server found, in our words: what was asked for, and what is there.
    async fn explain(&self, id: &RunId, batch: &LogBatch, session: &mut Session, error: Error) -> Error {
        match self.load(OP, id, session).await {
            Ok(kept) => kept.check_open(OP).and_then(|()| check(kept, batch)).err().unwrap_or(error),
            Err(_) => error,
        }
    }
}

/// The same error for another caller.
fn again(error: &Error) -> Error {
    let mut same = Error::new(error.kind(), OP, error.message());
    for key in ["status", "code", "parameter", "attempts", "run", "expected", "found"] {
        if let Some(value) = error.context(key) {
            same = same.with(key, value);
        }
    }
    same.with_retryable(error.is_retryable())
}

fn unanswered() -> Error {
    Error::new(ErrorKind::Internal, OP, "a batch was not answered")
}

/// What became of a batch.
enum Outcome {
    /// It is sent, and this is its receipt.
    Sent(WriteReceipt, Option<(String, Digest)>),
    /// It was sent before.
    Before(WriteReceipt),
    /// It is the same call as an earlier one in the group.
    Same(usize),
    /// It is refused.
    Refused(Error),
}

/// Batches that are sent together.
#[derive(Default)]
struct Group {
    /// How long a tag may be.
    max_tag: usize,
    plan: Plan,
    outcomes: Vec<Outcome>,
    /// Inputs that are new.
    inputs: Vec<(u64, DataInput)>,
    /// Slots to write down, and whether before their points.
    slots: BTreeMap<(String, Place), bool>,
}

impl Group {
    /// Adds a batch to what is sent, and to what is known of the run.
    fn add(&mut self, kept: &mut Kept, batch: &LogBatch, ledgers: &mut HashMap<String, Ledger>) -> Outcome {
        self.try_add(kept, batch, ledgers).unwrap_or_else(Outcome::Refused)
    }

    fn try_add(
        &mut self,
        kept: &mut Kept,
        batch: &LogBatch,
        ledgers: &mut HashMap<String, Ledger>,
    ) -> Result<Outcome> {
        // First of all: a call that came through before the run ended may be repeated after.
        let mut keyed = None;
        if let Some(key) = &batch.key {
            let (name, digest) = (record::receipt_name(key), content(batch)?);
            if let Some(earlier) = self.replay(kept, key, &name, digest)? {
                return Ok(earlier);
            }
            keyed = Some((name, digest));
        }
        kept.check_open(OP)?;
        check(kept, batch)?;
        let mut receipt = WriteReceipt::new(0);
        self.add_texts(kept, batch, &mut receipt)?;
        self.add_points(&batch.metrics, ledgers, &mut receipt);
        let inputs = new_inputs(kept, batch);
        for (n, input) in &inputs {
            record::put_input(OP, *n, input, &mut self.plan.tags)?;
        }
        let known: HashSet<_> = kept.run.artifacts.iter().map(|link| &link.path).collect();
        for link in batch.artifacts.iter().filter(|link| !known.contains(&link.path)) {
            record::put_artifact(OP, link, &mut self.plan.tags)?;
        }
        learn(kept, batch, &inputs);
        self.inputs.extend(inputs);
        Ok(Outcome::Sent(receipt, keyed))
    }

    /// What was answered to this batch, if it was written under its key before.
    fn replay(
        &self,
        kept: &Kept,
        key: &IdempotencyKey,
        name: &str,
        content: Digest,
    ) -> Result<Option<Outcome>> {
        let in_group = self.outcomes.iter().enumerate().find_map(|(i, outcome)| match outcome {
            Outcome::Sent(_, Some((there, digest))) if there == name => Some((i, *digest)),
            _ => None,
        });
        let found = match (kept.receipts.get(name), in_group) {
            (Some(receipt), _) => (receipt.content, Outcome::Before(receipt.receipt.clone())),
            (None, Some((i, digest))) => (digest, Outcome::Same(i)),
            (None, None) => return Ok(None),
        };
        if found.0 != content {
            let error = Error::new(ErrorKind::Conflict, OP, "the key was used to log something else");
            return Err(error.with("key", key).with("run", &kept.run.id));
        }
        Ok(Some(found.1))
    }

    fn add_texts(&mut self, kept: &Kept, batch: &LogBatch, receipt: &mut WriteReceipt) -> Result<()> {
        let plan = &mut self.plan;
        for (key, value) in batch.params.iter().filter(|(key, _)| !kept.run.params.contains_key(*key)) {
            let (limit, key) = (cell::MAX_PARAM, key.as_str());
            let (pair, long) = record::put_text(OP, names::LONG_PARAM, limit, key, value, &mut plan.before)?;
            plan.params.push(pair);
            receipt.degraded.extend(long.then(|| cut(key, value)));
        }
        for (key, value) in &batch.tags {
            let (limit, key) = (self.max_tag, key.as_str());
            let (pair, long) = record::put_text(OP, names::LONG_TAG, limit, key, value, &mut plan.tags)?;
            plan.tags.push(pair);
            receipt.degraded.extend(long.then(|| cut(key, value)));
        }
        Ok(())
    }

    /// The points that are new.
    fn add_points(
        &mut self,
        metrics: &[MetricPoint],
        ledgers: &mut HashMap<String, Ledger>,
        receipt: &mut WriteReceipt,
    ) {
        let mut spoilt: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for point in metrics {
            let key = point.key.as_str();
            let place = (point.step, point.at.timestamp_millis());
            let ledger = ledgers.entry(key.to_owned()).or_default();
            let added = ledger.add(place, point.value);
            if added == Added::Known {
                continue;
            }
            if let Added::Written { before } = added {
                *self.slots.entry((key.to_owned(), place)).or_default() |= before;
            }
            let reasons = [
                (added == Added::Crowded, CROWDED),
                (point.at.timestamp_subsec_nanos() % 1_000_000 != 0, CUT),
                (added == Added::Forgotten, FORGOTTEN),
            ];
            for (_, reason) in reasons.into_iter().filter(|(holds, _)| *holds) {
                spoilt.entry(key).or_default().insert(reason);
            }
            let value = point.value;
            self.plan.metrics.push(Metric { key: key.to_owned(), value, timestamp: place.1, step: place.0 });
            receipt.new_points += 1;
        }
        let reasons =
            spoilt.into_iter().flat_map(|(key, reasons)| reasons.into_iter().map(move |r| (key, r)));
        receipt.degraded.extend(reasons.map(|(key, reason)| Degradation::new(key, reason)));
    }

    /// Notes in the receipts that MLflow does not show the inputs.
    fn spoil_inputs(&mut self) {
        let reason = "kept in full; MLflow does not show it among the data sets";
        if let Some(Outcome::Sent(receipt, _)) =
            self.outcomes.iter_mut().find(|o| matches!(o, Outcome::Sent(..)))
        {
            let names = self.inputs.iter().map(|(_, input)| input.asset.as_str());
            receipt.degraded.extend(names.map(|name| Degradation::new(name, reason)));
        }
    }

    /// Completes what is sent: slots, and receipts, which are returned.
    fn seal(&mut self, ledgers: &HashMap<String, Ledger>) -> Result<Vec<(String, Receipt)>> {
        for ((key, place), before) in &self.slots {
            let out = if *before { &mut self.plan.before } else { &mut self.plan.tags };
            if let Some(ledger) = ledgers.get(key) {
                ledger.write(OP, key, *place, out)?;
            }
        }
        let mut receipts = Vec::new();
        for outcome in &self.outcomes {
            let Outcome::Sent(receipt, Some((name, digest))) = outcome else { continue };
            let record = Receipt { content: *digest, receipt: receipt.clone() };
            cell::write(name, names::json(OP, &record)?, &mut self.plan.after);
            receipts.push((name.clone(), record));
        }
        for tags in [&mut self.plan.before, &mut self.plan.tags, &mut self.plan.after] {
            *tags = last_of_each(std::mem::take(tags));
        }
        Ok(receipts)
    }

    fn results(self) -> Vec<Result<WriteReceipt>> {
        let sent: Vec<Option<WriteReceipt>> = self
            .outcomes
            .iter()
            .map(|outcome| match outcome {
                Outcome::Sent(receipt, _) => Some(receipt.clone()),
                _ => None,
            })
            .collect();
        let result = |outcome| match outcome {
            Outcome::Sent(receipt, _) | Outcome::Before(receipt) => Ok(receipt),
            Outcome::Same(i) => sent.get(i).cloned().flatten().ok_or_else(unanswered),
            Outcome::Refused(error) => Err(error),
        };
        self.outcomes.into_iter().map(result).collect()
    }
}

fn content(batch: &LogBatch) -> Result<Digest> {
    Ok(Digest::of(names::json(OP, batch)?.as_bytes()))
}

/// Finds everything that is wrong with a batch, before any of it is sent.
fn check(kept: &Kept, batch: &LogBatch) -> Result<()> {
    for (key, value) in &batch.params {
        if let Some(there) = kept.run.params.get(key).filter(|there| *there != value) {
            let error = Error::conflict(OP, "a parameter has another value already", value, there);
            return Err(error.with("parameter", key));
        }
    }
    if let Some(point) = batch.metrics.iter().find(|point| point.at.timestamp_millis() < 0) {
        return Err(Error::unsupported(OP, "times before 1970")
            .with("metric", &point.key)
            .with("at", point.at));
    }
    check_artifacts(kept, batch)?;
    let new_params = batch.params.keys().filter(|k| !kept.run.params.contains_key(*k)).count();
    let new_tags = batch.tags.keys().filter(|k| !kept.run.tags.contains_key(*k)).count();
    for (what, count) in [
        ("the number of parameters", kept.run.params.len() + new_params),
        ("the number of tags", kept.run.tags.len() + new_tags),
    ] {
        if count > MAX_ENTRIES {
            return Err(Error::limit(OP, what, MAX_ENTRIES, count));
        }
    }
    Ok(())
}

fn check_artifacts(kept: &Kept, batch: &LogBatch) -> Result<()> {
    if batch.artifacts.is_empty() {
        return Ok(());
    }
    let mut known: HashMap<_, _> = kept.run.artifacts.iter().map(|link| (&link.path, link)).collect();
    for link in &batch.artifacts {
        let there = known.insert(&link.path, link);
        if let Some(there) = there.filter(|there| *there != link) {
            let message = "an artifact's path has other content already";
            return Err(Error::conflict(OP, message, link.digest, there.digest).with("path", &link.path));
        }
    }
    Ok(())
}

fn cut(key: &str, value: &str) -> Degradation {
    let length = value.chars().count();
    let reason = format!("kept in full; MLflow shows the beginning of its {length} characters");
    Degradation::new(key, reason)
}

const CUT: &str = "times are kept to the millisecond";
const CROWDED: &str =
    "more than 256 values at one step and time: their order, infinities and −0.0 are not kept";
const FORGOTTEN: &str = "too far behind to be compared: may have been there already, and of several values at one step \
     and time neither order nor infinities and −0.0 are kept";
const _: () = assert!(MAX_SLOT == 256, "as the reason says");

fn new_inputs(kept: &Kept, batch: &LogBatch) -> Vec<(u64, DataInput)> {
    let mut next = kept.inputs.iter().map(|(n, _)| n + 1).max().unwrap_or_default();
    let mut new: Vec<(u64, DataInput)> = Vec::new();
    for input in &batch.inputs {
        if !kept.run.inputs.contains(input) && !new.iter().any(|(_, there)| there == input) {
            new.push((next, input.clone()));
            next += 1;
        }
    }
    new
}

/// The last tag of each key; MLflow has no order among tags of one request.
fn last_of_each(tags: Vec<KeyValue>) -> Vec<KeyValue> {
    let mut seen = HashSet::new();
    let mut kept: Vec<_> = tags.into_iter().rev().filter(|tag| seen.insert(tag.key.clone())).collect();
    kept.reverse();
    kept
}

/// Takes note of what is sent.
fn learn(kept: &mut Kept, batch: &LogBatch, inputs: &[(u64, DataInput)]) {
    kept.run.params.extend(batch.params.clone());
    kept.run.tags.extend(batch.tags.clone());
    kept.run.inputs.extend(inputs.iter().map(|(_, input)| input.clone()));
    kept.inputs.extend(inputs.iter().cloned());
    if !batch.artifacts.is_empty() {
        kept.run.artifacts.extend(batch.artifacts.iter().cloned());
        kept.run.artifacts.sort();
        kept.run.artifacts.dedup();
    }
}

/// An input as a data set of MLflow's. Its digest there has at most 36 characters; the whole one is in `source`.
fn dataset(input: &DataInput) -> Value {
    let hex = input.digest.hex();
    let source = json!({ "asset": input.asset, "version": input.version, "digest": input.digest });
    let context: String = names::shown(&input.role).chars().take(200).collect();
    json!({
        "tags": [{ "key": "mlflow.data.context", "value": context }],
        "dataset": {
            "name": input.asset,
            "digest": hex.get(..32).unwrap_or_default(),
            "source_type": "mlops",
            "source": source.to_string(),
        },
    })
}
