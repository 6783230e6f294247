//! A run of ours as a run of MLflow, and back.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, TimeDelta};
use mlops_core::experiment::{
    ArtifactLink, Capsule, DataInput, MetricPoint, MetricSummary, Run, RunSpec, RunStatus, WriteReceipt,
};
use mlops_core::hash::{Digest, Hasher, digest_json};
use mlops_core::time::Timestamp;
use mlops_core::{
    ActorId, Error, ErrorKind, ExperimentName, IdempotencyKey, MetricKey, ParamKey, Result, RunId, TagKey,
};
use serde::{Deserialize, Serialize};

use super::cell::{self, Table};
use super::names;
use super::slot::Slots;
use crate::mlflow::wire::{KeyValue, RunBody};

/// What a run was started with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Spec {
    pub(super) name: String,
    pub(super) actor: ActorId,
    pub(super) parent: Option<RunId>,
    started_us: i64,
    capsule: Capsule,
}

/// A run with what the tracker needs to write to it.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    /// MLflow's id.
    pub(super) uuid: String,
    /// The run, as it is without looking at the clock.
    pub(super) run: Run,
    /// What it was started with.
    pub(super) spec: Spec,
    /// Slots that are written down.
    pub(super) slots: Slots,
    /// Inputs and their places in the order of logging.
    pub(super) inputs: Vec<(u64, DataInput)>,
    /// What was written under a key, and what was answered.
    pub(super) receipts: HashMap<String, Receipt>,
    /// Whether MLflow itself says that the run has ended.
    pub(super) closed: bool,
    /// Whether it is the one run of its key; runs of other clients always are.
    pub(super) is_live: bool,
    /// Whether another client started it.
    pub(super) is_foreign: bool,
    /// Whether it has an id of ours written in it.
    pub(super) has_key: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Receipt {
    pub(super) content: Digest,
    pub(super) receipt: WriteReceipt,
}

#[derive(Serialize, Deserialize)]
struct Input {
    n: u64,
    input: DataInput,
}

#[derive(Serialize, Deserialize)]
struct Long {
    key: String,
    text: String,
}

/// Our id of a run that another client started: the server's, where it can be one, else one that follows from it. Azure Machine
/// Learning calls its runs by names.
pub(super) fn own_id(uuid: &str) -> Result<RunId> {
    let derived = || {
        let digest = Hasher::new("mlops.mlflow.run/v1").field(uuid).finish();
        RunId::new(digest.hex().get(..32).unwrap_or_default())
    };
    Ok(RunId::new(uuid).or_else(|_| derived())?)
}

/// Milliseconds since 1970 as a time, as far as there is one.
pub(super) fn from_ms(ms: i64) -> Timestamp {
    DateTime::from_timestamp_millis(ms).unwrap_or(if ms < 0 {
        Timestamp::MIN_UTC
    } else {
        Timestamp::MAX_UTC
    })
}

fn from_us(us: i64) -> Timestamp {
    DateTime::from_timestamp_micros(us).unwrap_or(if us < 0 {
        Timestamp::MIN_UTC
    } else {
        Timestamp::MAX_UTC
    })
}

/// The tags with which a run is created, without those of the user.
pub(super) fn first_tags(
    operation: &'static str,
    spec: &RunSpec,
    started_at: Timestamp,
    parent_uuid: Option<&str>,
) -> Result<Vec<KeyValue>> {
    let record = Spec {
        name: spec.name.clone(),
        actor: spec.actor.clone(),
        parent: spec.parent.clone(),
        started_us: started_at.timestamp_micros(),
        capsule: spec.capsule.clone(),
    };
    let mut tags = vec![
        KeyValue::new(names::RUN_KEY, spec.id.as_str()),
        KeyValue::new(names::USER, spec.actor.as_str()),
    ];
    cell::write(names::SPEC, names::json(operation, &record)?, &mut tags);
    if let (Some(parent), Some(uuid)) = (&spec.parent, parent_uuid) {
        tags.push(KeyValue::new(names::PARENT, parent.as_str()));
        tags.push(KeyValue::new(names::PARENT_RUN, uuid));
    }
    let code = &spec.capsule.code;
    let dirty = code.dirty.map(|dirty| if dirty { "True" } else { "False" }.to_owned());
    let values = [code.commit.clone(), code.branch.clone(), code.repository.clone(), dirty];
    for (key, value) in names::GIT.into_iter().zip(values) {
        let fits = value.filter(|value| !cell::is_longer(value, cell::MAX_TAG));
        tags.extend(fits.map(|value| KeyValue::new(key, value)));
    }
    Ok(tags)
}

/// A parameter or tag as MLflow gets it, with its whole text beside when it is too long. Whether it was too long.
pub(super) fn put_text(
    operation: &'static str,
    prefix: &str,
    limit: usize,
    key: &str,
    value: &str,
    beside: &mut Vec<KeyValue>,
) -> Result<(KeyValue, bool)> {
    if !cell::is_longer(value, limit) {
        return Ok((KeyValue::new(key, value), false));
    }
    let long = Long { key: key.to_owned(), text: value.to_owned() };
    let name = names::numbered(prefix, &Digest::of(key.as_bytes()));
    cell::write(&name, names::json(operation, &long)?, beside);
    Ok((KeyValue::new(key, cell::preview(value, limit)), true))
}

/// The tag of an input.
pub(super) fn put_input(
    operation: &'static str,
    n: u64,
    input: &DataInput,
    out: &mut Vec<KeyValue>,
) -> Result<()> {
    let name = names::numbered(names::INPUT, &digest_json(input)?);
    let text = names::json(operation, &Input { n, input: input.clone() })?;
    cell::write(&name, text, out);
    Ok(())
}

/// The tag of an artifact.
pub(super) fn put_artifact(
    operation: &'static str,
    link: &ArtifactLink,
    out: &mut Vec<KeyValue>,
) -> Result<()> {
    let name = names::numbered(names::ARTIFACT, &Digest::of(link.path.as_str().as_bytes()));
    cell::write(&name, names::json(operation, link)?, out);
    Ok(())
}

/// The name of a receipt.
pub(super) fn receipt_name(key: &IdempotencyKey) -> String {
    names::numbered(names::RECEIPT, &Hasher::new("mlops.mlflow.receipt/v1").field(key.as_str()).finish())
}

/// The value of the parameter that says how a run ended.
pub(super) fn end_text(status: RunStatus, at: Timestamp) -> String {
    format!("{}@{}", status_text(status), at.timestamp_micros())
}

fn read_end(text: &str) -> Option<(RunStatus, Timestamp)> {
    let (status, us) = text.split_once('@')?;
    let status = read_status(status).filter(|status| status.is_final())?;
    Some((status, from_us(us.parse().ok()?)))
}

/// A status as MLflow writes it.
pub(super) const fn status_text(status: RunStatus) -> &'static str {
    match status {
        RunStatus::Scheduled => "SCHEDULED",
        RunStatus::Running => "RUNNING",
        RunStatus::Finished => "FINISHED",
        RunStatus::Failed => "FAILED",
        RunStatus::Killed => "KILLED",
    }
}

fn read_status(text: &str) -> Option<RunStatus> {
    [RunStatus::Scheduled, RunStatus::Running, RunStatus::Finished, RunStatus::Failed, RunStatus::Killed]
        .into_iter()
        .find(|status| status_text(*status) == text)
}

impl Kept {
    /// Reads a run of MLflow's.
    ///
    /// Runs that other clients made are read too, as far as they can be: MLflow's id is their id, and what has no place in
    /// [`Run`] is left out. Where the tracker's own record cannot be read, what MLflow's user interface shows counts.
    pub(super) fn read(operation: &'static str, experiment: ExperimentName, body: RunBody) -> Result<Self> {
        let corrupt = |what: &str| {
            Error::new(ErrorKind::Corrupt, operation, "a run of the server cannot be read")
                .with("missing", what)
        };
        let RunBody { info, data } = body;
        let tags: Table = data.tags.into_iter().map(|tag| (tag.key, tag.value)).collect();
        let params: Table = data.params.into_iter().map(|param| (param.key, param.value)).collect();
        let id = match tags.get(names::RUN_KEY) {
            Some(key) => RunId::new(key).map_err(|_| corrupt("id"))?,
            None => own_id(&info.run_id)?,
        };
        let status = read_status(&info.status).ok_or_else(|| corrupt("status"))?;
        let spec = match read_spec(operation, &tags) {
            Some(spec) => spec,
            None => foreign_spec(&info.user_id, &info.run_name, info.start_time, &tags)?,
        };
        let slots = Slots::read(operation, &tags)?;
        let metrics = data.metrics.iter().filter_map(|latest| {
            let key = MetricKey::new(&latest.key).ok()?;
            let point = MetricPoint::new(key.clone(), slots.last(latest), from_ms(latest.timestamp))
                .with_step(latest.step);
            Some((key, MetricSummary::of(point)))
        });
        let metrics = metrics.collect();
        let inputs = read_inputs(operation, &tags)?;
        // A name that was changed in MLflow's user interface is the name.
        let name = match info.run_name == names::shown(&spec.name) {
            true => spec.name.clone(),
            false => info.run_name,
        };
        let mut started = RunSpec::new(experiment, name, spec.actor.clone()).with_id(id);
        started.parent = spec.parent.clone();
        started.capsule = spec.capsule.clone();
        let mut run = Run::start(started, from_us(spec.started_us));
        run.metrics = metrics;
        run.params = read_texts(operation, &params, &tags, names::LONG_PARAM, |key| ParamKey::new(key).ok())?;
        run.params.retain(|key, _| !names::is_own_param(key.as_str()));
        run.tags = read_texts(operation, &tags, &tags, names::LONG_TAG, |key| TagKey::new(key).ok())?;
        run.tags.retain(|key, _| !names::is_own_tag(key.as_str()));
        run.inputs = inputs.iter().map(|(_, input)| input.clone()).collect();
        run.artifacts = read_cells(operation, &tags, names::ARTIFACT)?;
        run.artifacts.sort();
        run.deleted = info.lifecycle_stage == "deleted";
        run.status = status;
        run.ended_at = info.end_time.filter(|_| status.is_final()).map(from_ms);
        // The end is written down before MLflow's status is set; a status that somebody set since counts.
        let end = params.get(names::END).and_then(|text| read_end(text));
        if let Some((ended, at)) = end.filter(|(ended, _)| !status.is_final() || *ended == status) {
            (run.status, run.ended_at) = (ended, Some(at));
        }
        let lease = tags.get(names::LEASE).and_then(|us| us.parse().ok()).map(from_us);
        run.lease_until = lease.filter(|until| match run.status {
            RunStatus::Killed => run.ended_at == Some(*until),
            status => !status.is_final(),
        });
        Ok(Self {
            uuid: info.run_id,
            spec,
            slots,
            inputs,
            receipts: read_receipts(operation, &tags)?,
            closed: status.is_final(),
            is_foreign: !tags.contains_key(names::SPEC),
            has_key: tags.contains_key(names::RUN_KEY),
            is_live: !tags.contains_key(names::RUN_KEY)
                || params.get(names::CLAIM).is_some_and(|c| c == "live"),
            run,
        })
    }

    /// The run at `now`: killed, if its lease ran out.
    pub(super) fn at(mut self, now: Timestamp) -> Self {
        self.expire(now);
        self
    }

    /// Takes note of a lease that ran out.
    pub(super) fn expire(&mut self, now: Timestamp) {
        if let Some(until) = self.run.lease_until
            && !self.run.status.is_final()
            && until <= now
        {
            (self.run.status, self.run.ended_at) = (RunStatus::Killed, Some(until));
        }
    }

    /// Refuses a spec that is not that of this run.
    pub(super) fn check_same(&self, spec: &RunSpec) -> Result<()> {
        let shown = |parent: &Option<RunId>| parent.as_ref().map_or_else(String::new, ToString::to_string);
        let there = &self.spec;
        let fields = [
            ("experiment", spec.experiment.to_string(), self.run.experiment.to_string()),
            ("name", spec.name.clone(), there.name.clone()),
            ("parent", shown(&spec.parent), shown(&there.parent)),
            ("actor", spec.actor.to_string(), there.actor.to_string()),
        ];
        match fields.into_iter().find(|(_, asked, there)| asked != there) {
            Some((field, asked, there)) => {
                let message = "the run id is taken by a run that differs";
                let error = Error::conflict("ExperimentTracker::start_run", message, asked, there);
                Err(error.with("field", field).with("run", &self.run.id))
            }
            None => Ok(()),
        }
    }

    /// Refuses a run that takes no more writes.
    pub(super) fn check_open(&self, operation: &'static str) -> Result<()> {
        let found = match (self.run.deleted, self.run.status.is_final()) {
            (true, _) => "deleted".to_owned(),
            (_, true) => format!("{:?}", self.run.status).to_lowercase(),
            _ => return Ok(()),
        };
        let error = Error::conflict(operation, "the run takes no more writes", "an open run", found);
        Err(error.with("run", &self.run.id))
    }
}

fn read_spec(operation: &'static str, tags: &Table) -> Option<Spec> {
    let text = cell::read(operation, names::SPEC, tags).ok().flatten()?;
    serde_json::from_str(&text).ok()
}

/// What MLflow knows of a run that another client started.
fn foreign_spec(user: &str, name: &str, start: Option<i64>, tags: &Table) -> Result<Spec> {
    let user = tags.get(names::USER).map_or(user, String::as_str);
    let actor = ActorId::new(user).or_else(|_| ActorId::new("unknown"))?;
    let parent = tags.get(names::PARENT_RUN).and_then(|parent| own_id(parent).ok());
    Ok(Spec {
        name: name.to_owned(),
        actor,
        parent,
        started_us: start.unwrap_or_default().saturating_mul(1000),
        capsule: Capsule::default(),
    })
}

/// Parameters or tags, with long texts in full. A long text whose beginning was changed from outside does not count.
fn read_texts<K: Ord>(
    operation: &'static str,
    texts: &Table,
    tags: &Table,
    prefix: &str,
    key: impl Fn(&str) -> Option<K>,
) -> Result<BTreeMap<K, String>> {
    let mut whole = HashMap::new();
    for long in read_cells::<Long>(operation, tags, prefix)? {
        whole.insert(long.key, long.text);
    }
    let read = |(name, text): (&String, &String)| {
        let shows = |long: &&String| {
            [cell::MAX_TAG, cell::MAX_AZURE_TAG].iter().any(|limit| cell::preview(long, *limit) == *text)
        };
        let long = whole.get(name).filter(shows);
        Some((key(name)?, long.unwrap_or(text).clone()))
    };
    Ok(texts.iter().filter_map(read).collect())
}

/// All cells under a prefix.
fn read_cells<T: for<'de> Deserialize<'de>>(
    operation: &'static str,
    tags: &Table,
    prefix: &str,
) -> Result<Vec<T>> {
    let mut all = Vec::new();
    for name in tags.keys().filter(|key| names::is_head(key, prefix)) {
        all.extend(read_cell(operation, tags, name)?);
    }
    Ok(all)
}

fn read_cell<T: for<'de> Deserialize<'de>>(
    operation: &'static str,
    tags: &Table,
    name: &str,
) -> Result<Option<T>> {
    let Some(text) = cell::read(operation, name, tags)? else { return Ok(None) };
    serde_json::from_str(&text).map(Some).map_err(|e| {
        Error::new(ErrorKind::Corrupt, operation, "a tag of the tracker cannot be read")
            .with("tag", name)
            .with_source(e)
    })
}

fn read_inputs(operation: &'static str, tags: &Table) -> Result<Vec<(u64, DataInput)>> {
    let cells: Vec<Input> = read_cells(operation, tags, names::INPUT)?;
    let mut inputs: Vec<_> = cells.into_iter().map(|cell| (cell.n, cell.input)).collect();
    inputs.sort();
    Ok(inputs)
}

fn read_receipts(operation: &'static str, tags: &Table) -> Result<HashMap<String, Receipt>> {
    let mut receipts = HashMap::new();
    for name in tags.keys().filter(|key| names::is_head(key, names::RECEIPT)) {
        if let Some(receipt) = read_cell(operation, tags, name)? {
            receipts.insert(name.clone(), receipt);
        }
    }
    Ok(receipts)
}

/// When a lease that is given now ends.
pub(super) fn lease_end(now: Timestamp, lease: std::time::Duration) -> Timestamp {
    let span = TimeDelta::from_std(lease).unwrap_or(TimeDelta::MAX);
    now.checked_add_signed(span).unwrap_or(Timestamp::MAX_UTC)
}

#[cfg(test)]
mod tests {
    use mlops_core::{AssetName, RelPath, Version};
    use serde_json::json;

    use super::*;

    fn read(body: serde_json::Value) -> Result<Kept> {
        Kept::read("op", ExperimentName::new("e").unwrap(), serde_json::from_value(body).unwrap())
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    /// An answer of MLflow 3.17.2.
    #[test]
    fn a_run_of_another_client_is_read() {
        let kept = read(json!({
            "info": {
                "run_uuid": "c8b9e22393d24252852cd2060b7e2d8a", "experiment_id": "2", "run_name": "n1",
                "user_id": "u", "status": "FINISHED", "start_time": 1795417746511_i64,
                "end_time": 1795417746516_i64, "artifact_uri": "mlflow-artifacts:/2/c8/artifacts",
                "lifecycle_stage": "active", "run_id": "c8b9e22393d24252852cd2060b7e2d8a"
            },
            "data": {
                "metrics": [{"key": "x", "value": "NaN", "timestamp": 1795417746511_i64, "step": 0}],
                "params": [{"key": "lr", "value": "0.1"}, {"key": "empty"}],
                "tags": [{"key": "mlflow.source.git.commit", "value": "abc"}, {"key": "mlflow.runName", "value": "n1"},
                         {"key": "team", "value": "risk"}]
            },
            "inputs": {}
        }))
        .unwrap();
        let run = kept.run;
        assert!(kept.is_live && kept.closed);
        assert_eq!((run.id.as_str(), run.name.as_str(), run.actor.as_str()), (&*kept.uuid, "n1", "u"));
        assert_eq!((run.status, run.ended_at), (RunStatus::Finished, Some(from_ms(1795417746516))));
        assert!(run.metric("x").unwrap().is_nan());
        assert_eq!(run.params.values().map(String::as_str).collect::<Vec<_>>(), ["", "0.1"]);
        assert_eq!(run.tags.len(), 1);
    }

    /// A run as the server would give it back.
    fn stored(spec: &RunSpec, more: &[KeyValue], params: serde_json::Value) -> serde_json::Value {
        let started = spec.started_at.unwrap();
        let mut tags =
            first_tags("op", spec, started, spec.parent.as_ref().map(|_| "uuid-of-parent")).unwrap();
        tags.extend(more.iter().cloned());
        json!({
            "info": {
                "run_id": "0123", "experiment_id": "1", "run_name": names::shown(&spec.name), "status": "RUNNING",
                "start_time": started.timestamp_millis(), "lifecycle_stage": "active"
            },
            "data": { "tags": tags, "params": params }
        })
    }

    fn spec() -> RunSpec {
        let experiment = ExperimentName::new("e").unwrap();
        let mut spec =
            RunSpec::new(experiment, "a\0name", ActorId::new("ann").unwrap()).with_parent(RunId::generate());
        spec.started_at = Some(at("2026-01-01T00:00:00.000007Z"));
        spec.capsule = Capsule::default().with_seed("x".repeat(20_000), 7);
        spec.capsule.code.commit = Some("abc".to_owned());
        spec
    }

    #[test]
    fn what_is_written_is_read() {
        let spec = spec();
        let input =
            DataInput::new(AssetName::new("patients").unwrap(), Version::FIRST, Digest::of(b"x"), "training");
        let path = RelPath::new("model").unwrap();
        let link = ArtifactLink::new(path, Digest::of(b"m"), 1);
        let (mut more, long) = (Vec::new(), "家".repeat(7_000));
        put_input("op", 3, &input, &mut more).unwrap();
        put_artifact("op", &link, &mut more).unwrap();
        let (tag, cut) = put_text("op", names::LONG_TAG, cell::MAX_TAG, "long", &long, &mut more).unwrap();
        more.push(tag);
        let (param, _) =
            put_text("op", names::LONG_PARAM, cell::MAX_PARAM, "long", &long, &mut more).unwrap();
        let kept =
            read(stored(&spec, &more, json!([param, { "key": names::CLAIM, "value": "live" }]))).unwrap();
        assert!(cut && kept.is_live && !kept.closed);
        assert!(kept.check_same(&spec).is_ok());
        let run = &kept.run;
        assert_eq!((&run.id, &run.name, &run.parent), (&spec.id, &spec.name, &spec.parent));
        assert_eq!((&run.capsule, run.started_at), (&spec.capsule, spec.started_at.unwrap()));
        assert_eq!((&run.inputs, &run.artifacts), (&vec![input.clone()], &vec![link]));
        assert_eq!(kept.inputs, [(3, input)]);
        assert_eq!(run.tags.values().collect::<Vec<_>>(), [&long]);
        assert_eq!(run.params.values().collect::<Vec<_>>(), [&long]);
    }

    #[test]
    fn a_run_counts_when_it_is_claimed() {
        let spec = spec();
        for (claim, live) in [(json!([]), false), (json!([{"key": "mlops.claim", "value": "dead"}]), false)] {
            assert_eq!(read(stored(&spec, &[], claim)).unwrap().is_live, live);
        }
    }

    #[test]
    fn the_end_that_was_written_down_counts_until_mlflow_has_another() {
        let spec = spec();
        let end = at("2026-01-02T00:00:00.000001Z");
        let params = json!([{ "key": names::END, "value": end_text(RunStatus::Finished, end) }]);
        let mut body = stored(&spec, &[], params);
        let run = read(body.clone()).unwrap().run;
        assert_eq!((run.status, run.ended_at), (RunStatus::Finished, Some(end)));
        body["info"]["status"] = "FINISHED".into();
        body["info"]["end_time"] = end.timestamp_millis().into();
        assert_eq!(read(body.clone()).unwrap().run.ended_at, Some(end), "to the microsecond");
        body["info"]["status"] = "FAILED".into();
        assert_eq!(read(body).unwrap().run.status, RunStatus::Failed);
    }

    #[test]
    fn a_lease_that_ran_out_ends_the_run_when_it_did() {
        let until = at("2026-01-01T00:01:00Z");
        let lease = KeyValue::new(names::LEASE, until.timestamp_micros().to_string());
        let kept = read(stored(&spec(), &[lease], json!([]))).unwrap();
        assert_eq!(kept.clone().at(at("2026-01-01T00:00:59Z")).run.status, RunStatus::Running);
        let dead = kept.at(until).run;
        assert_eq!(
            (dead.status, dead.ended_at, dead.lease_until),
            (RunStatus::Killed, Some(until), Some(until))
        );
        assert_eq!(lease_end(until, std::time::Duration::MAX), Timestamp::MAX_UTC);
        assert_eq!(from_us(i64::MAX), Timestamp::MAX_UTC);
    }

    #[test]
    fn what_cannot_be_read_is_corrupt_or_does_without() {
        let spec = spec();
        let ruined = KeyValue::new(names::SPEC, "{");
        let run = read(stored(&spec, &[ruined], json!([]))).unwrap().run;
        assert_eq!((&run.id, run.name.as_str(), &run.actor), (&spec.id, "a name", &spec.actor));
        let name = names::numbered(names::ARTIFACT, &Digest::of(b"x"));
        let error = read(stored(&spec, &[KeyValue::new(name, "{")], json!([]))).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        let mut body = stored(&spec, &[], json!([]));
        body["info"]["status"] = "BOGUS".into();
        assert_eq!(read(body).unwrap_err().kind(), ErrorKind::Corrupt);
    }
}
