//! Logging a batch.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use mlops_core::experiment::{DataInput, Degradation, LogBatch, MetricPoint, WriteReceipt};
use mlops_core::hash::Digest;
use mlops_core::id::MAX_ENTRIES;
use mlops_core::{Error, ErrorKind, IdempotencyKey, MetricKey, Result, RunId};
use serde_json::{Value, json};

use super::plan::Plan;
use super::record::{self, Kept, Receipt};
use super::session::Session;
use super::slot::{Added, Ledger, MAX_SLOT, Place};
use super::{MlflowTracker, cell, names};
use crate::mlflow::wire::{KeyValue, Metric};

const OP: &str = "ExperimentTracker::write";

/// The most points of one metric that are remembered to tell new ones from old ones.
const MAX_LEDGER: usize = 1 << 20;

/// What was made of a batch.
struct Prepared {
    plan: Plan,
    receipt: WriteReceipt,
    inputs: Vec<(u64, DataInput)>,
}

impl MlflowTracker {
    pub(super) async fn log(&self, id: &RunId, batch: &LogBatch) -> Result<WriteReceipt> {
        batch.check()?;
        names::check_batch(OP, batch)?;
        let keyed = batch.key.as_ref().map(|key| content(batch).map(|digest| (key, digest))).transpose()?;
        let session = self.session(id);
        let mut session = session.lock().await;
        let kept = self.load(OP, id, &mut session).await?;
        // First of all: a call that came through before the run ended may be repeated after.
        if let Some((key, digest)) = keyed
            && let Some(receipt) = replay(kept, key, digest)?
        {
            return Ok(receipt);
        }
        kept.check_open(OP)?;
        check(kept, batch)?;
        let result = self.apply(id, batch, keyed, &mut session).await;
        if result.is_err() {
            // Half of it may be there.
            session.forget();
        }
        match result {
            Err(error) if error.kind() == ErrorKind::Conflict => {
                Err(self.explain(id, batch, &mut session, error).await)
            }
            result => result,
        }
    }

    async fn apply(
        &self,
        id: &RunId,
        batch: &LogBatch,
        keyed: Option<(&IdempotencyKey, Digest)>,
        session: &mut Session,
    ) -> Result<WriteReceipt> {
        self.open_ledgers(id, batch, session).await?;
        let mut ledgers = std::mem::take(&mut session.ledgers);
        let kept = self.load(OP, id, session).await?;
        let Prepared { mut plan, mut receipt, inputs } = prepare(kept, batch, &mut ledgers)?;
        let uuid = kept.uuid.clone();
        if !inputs.is_empty() {
            receipt.degraded.extend(self.show_inputs(&uuid, &inputs).await?);
        }
        let mut written = None;
        if let Some((key, digest)) = keyed {
            let name = record::receipt_name(key);
            let record = Receipt { content: digest, receipt: receipt.clone() };
            cell::write(&name, names::json(OP, &record)?, &mut plan.after);
            written = Some((name, record));
        }
        self.send(OP, plan, &uuid).await?;
        let kept = self.load(OP, id, session).await?;
        learn(kept, batch, inputs);
        kept.receipts.extend(written);
        session.ledgers = ledgers;
        Ok(receipt)
    }

    /// Sends what is planned.
    pub(super) async fn send(&self, op: &'static str, plan: Plan, uuid: &str) -> Result<()> {
        for body in plan.requests(uuid) {
            self.post(op, "mlflow/runs/log-batch", &body).await?;
        }
        Ok(())
    }

    /// Reads the points of the metrics that are written to for the first time.
    async fn open_ledgers(&self, id: &RunId, batch: &LogBatch, session: &mut Session) -> Result<()> {
        let keys: BTreeSet<&MetricKey> = batch.metrics.iter().map(|point| &point.key).collect();
        for key in keys {
            if session.ledgers.get(key.as_str()).is_some_and(|ledger| ledger.len() <= MAX_LEDGER) {
                continue;
            }
            let kept = self.load(OP, id, session).await?;
            let mut ledger = Ledger::default();
            if kept.run.metrics.contains_key(key.as_str()) {
                let (uuid, slots) = (kept.uuid.clone(), kept.slots.clone());
                let rows = self.rows(OP, &uuid, key.as_str()).await?;
                ledger = Ledger::of(slots.points(key.as_str(), &rows));
            }
            session.ledgers.insert(key.as_str().to_owned(), ledger);
        }
        Ok(())
    }

    /// Shows inputs in MLflow's user interface, as data sets. What counts is in the run's tags, so a server that does not
    /// take them costs the display only.
    async fn show_inputs(&self, uuid: &str, inputs: &[(u64, DataInput)]) -> Result<Vec<Degradation>> {
        let datasets: Vec<Value> = inputs.iter().map(|(_, input)| dataset(input)).collect();
        let body = json!({ "run_id": uuid, "datasets": datasets });
        match self.post(OP, "mlflow/runs/log-inputs", &body).await {
            Ok(_) => Ok(Vec::new()),
            Err(error) if matches!(error.kind(), ErrorKind::Unsupported | ErrorKind::InvalidInput) => {
                let reason = "kept in full; MLflow does not show it among the data sets";
                Ok(inputs.iter().map(|(_, input)| Degradation::new(input.asset.as_str(), reason)).collect())
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

fn content(batch: &LogBatch) -> Result<Digest> {
    Ok(Digest::of(names::json(OP, batch)?.as_bytes()))
}

/// The receipt of this batch, if it was written under its key before.
fn replay(kept: &Kept, key: &IdempotencyKey, content: Digest) -> Result<Option<WriteReceipt>> {
    match kept.receipts.get(&record::receipt_name(key)) {
        None => Ok(None),
        Some(receipt) if receipt.content == content => Ok(Some(receipt.receipt.clone())),
        Some(_) => {
            let error = Error::new(ErrorKind::Conflict, OP, "the key was used to log something else");
            Err(error.with("key", key).with("run", &kept.run.id))
        }
    }
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

/// What to send for a batch.
fn prepare(kept: &Kept, batch: &LogBatch, ledgers: &mut HashMap<String, Ledger>) -> Result<Prepared> {
    let (mut plan, mut receipt) = (Plan::default(), WriteReceipt::new(0));
    for (key, value) in batch.params.iter().filter(|(key, _)| !kept.run.params.contains_key(*key)) {
        let limit = cell::MAX_PARAM;
        let (pair, long) =
            record::put_text(OP, names::LONG_PARAM, limit, key.as_str(), value, &mut plan.before)?;
        plan.params.push(pair);
        receipt.degraded.extend(long.then(|| cut(key.as_str(), value)));
    }
    for (key, value) in &batch.tags {
        let (pair, long) =
            record::put_text(OP, names::LONG_TAG, cell::MAX_TAG, key.as_str(), value, &mut plan.tags)?;
        plan.tags.push(pair);
        receipt.degraded.extend(long.then(|| cut(key.as_str(), value)));
    }
    points(&batch.metrics, ledgers, &mut plan, &mut receipt)?;
    let inputs = new_inputs(kept, batch);
    for (n, input) in &inputs {
        record::put_input(OP, *n, input, &mut plan.tags)?;
    }
    let known: HashSet<_> = kept.run.artifacts.iter().map(|link| &link.path).collect();
    for link in batch.artifacts.iter().filter(|link| !known.contains(&link.path)) {
        record::put_artifact(OP, link, &mut plan.tags)?;
    }
    plan.tags = last_of_each(std::mem::take(&mut plan.tags));
    Ok(Prepared { plan, receipt, inputs })
}

fn cut(key: &str, value: &str) -> Degradation {
    let length = value.chars().count();
    let reason = format!("kept in full; MLflow shows the beginning of its {length} characters");
    Degradation::new(key, reason)
}

/// The points that are new, and the tags that their slots need.
fn points(
    metrics: &[MetricPoint],
    ledgers: &mut HashMap<String, Ledger>,
    plan: &mut Plan,
    receipt: &mut WriteReceipt,
) -> Result<()> {
    let mut spoilt: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let mut slots: BTreeMap<(&str, Place), bool> = BTreeMap::new();
    for point in metrics {
        let key = point.key.as_str();
        let place = (point.step, point.at.timestamp_millis());
        let ledger = ledgers.entry(key.to_owned()).or_default();
        match ledger.add(place, point.value) {
            Added::Known => continue,
            Added::Plain => {}
            Added::Written { before } => *slots.entry((key, place)).or_default() |= before,
            Added::Crowded => {
                spoilt.entry(key).or_default().insert(CROWDED);
            }
        }
        if point.at.timestamp_subsec_nanos() % 1_000_000 != 0 {
            spoilt.entry(key).or_default().insert(CUT);
        }
        if ledger.len() > MAX_LEDGER {
            spoilt.entry(key).or_default().insert(UNCOUNTED);
        }
        plan.metrics.push(Metric {
            key: key.to_owned(),
            value: point.value,
            timestamp: place.1,
            step: place.0,
        });
        receipt.new_points += 1;
    }
    for ((key, place), before) in slots {
        let out = if before { &mut plan.before } else { &mut plan.tags };
        if let Some(ledger) = ledgers.get(key) {
            ledger.write(OP, key, place, out)?;
        }
    }
    let reasons = spoilt.into_iter().flat_map(|(key, reasons)| reasons.into_iter().map(move |r| (key, r)));
    receipt.degraded.extend(reasons.map(|(key, reason)| Degradation::new(key, reason)));
    Ok(())
}

const CUT: &str = "times are kept to the millisecond";
const CROWDED: &str =
    "more than 256 values at one step and time: their order, infinities and −0.0 are not kept";
const UNCOUNTED: &str = "more than a million points: some that are there already may be counted as new";
const _: () = assert!(MAX_SLOT == 256 && MAX_LEDGER == 1 << 20, "as the reasons say");

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

/// MLflow refuses a request that sets a tag twice.
fn last_of_each(tags: Vec<KeyValue>) -> Vec<KeyValue> {
    let mut seen = HashSet::new();
    let mut kept: Vec<_> = tags.into_iter().rev().filter(|tag| seen.insert(tag.key.clone())).collect();
    kept.reverse();
    kept
}

/// Takes note of what was sent.
fn learn(kept: &mut Kept, batch: &LogBatch, inputs: Vec<(u64, DataInput)>) {
    kept.run.params.extend(batch.params.clone());
    kept.run.tags.extend(batch.tags.clone());
    kept.run.inputs.extend(inputs.iter().map(|(_, input)| input.clone()));
    kept.inputs.extend(inputs);
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
