//! Writes what the library knows into MLflow's tables.
//!
//! The file may have been migrated by a newer MLflow since it was made. Every statement therefore names its columns, none
//! names the columns of a key (keys grew by a workspace), and rows that others refer to are updated, never replaced.

use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::{Connection, params};
use serde_json::json;

use super::kept::{
    ALIASES, EXPERIMENT_TAGS, Kept, Owner, RUN_STAGE, RUN_TAGS, VERSION_DESCRIPTION, VERSION_TAGS,
};
use crate::experiment::{DataInput, Experiment, MetricPoint, Run, RunStatus};
use crate::hash::{Digest, Hasher};
use crate::id::{Alias, ModelName, RunId, Version};
use crate::registry::ModelVersion;
use crate::time::Timestamp;

/// MLflow's tag for a description.
pub(super) const NOTE: &str = "mlflow.note.content";

/// The id of the experiment that MLflow expects to be there, and its name.
pub(super) const DEFAULT: (i64, &str) = (0, "Default");

/// Where the files of runs and models lie, for MLflow: folders of plain files.
pub(super) struct Places<'a> {
    pub(super) artifacts: &'a Path,
}

impl Places<'_> {
    /// The folder of a run's files.
    pub(super) fn run(&self, run: &RunId) -> std::path::PathBuf {
        self.artifacts.join("runs").join(run.as_str()).join("artifacts")
    }

    /// The folder of a model version's files.
    pub(super) fn model(&self, model: &ModelName, version: Version) -> std::path::PathBuf {
        self.artifacts.join("models").join(model.as_str()).join(version.to_string())
    }
}

/// A `file://` URI; what has a meaning in a URI is written as `%` and two digits.
pub(super) fn uri(path: &Path) -> String {
    use std::fmt::Write as _;
    use std::os::unix::ffi::OsStrExt as _;
    let mut text = "file://".to_owned();
    for &byte in path.as_os_str().as_bytes() {
        if byte.is_ascii_alphanumeric() || b"/._-~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

fn millis(at: Timestamp) -> i64 {
    at.timestamp_millis()
}

pub(super) fn experiment(
    tx: &Connection,
    places: &Places<'_>,
    id: i64,
    made: &Experiment,
) -> rusqlite::Result<()> {
    let name = made.name.as_str();
    let location = uri(&places.artifacts.join("runs"));
    let at = millis(made.created_at);
    let sql = "INSERT INTO experiments
               (experiment_id, name, artifact_location, lifecycle_stage, creation_time, last_update_time)
               VALUES (?1, ?2, ?3, 'active', ?4, ?4) ON CONFLICT DO NOTHING";
    tx.prepare_cached(sql)?.execute(params![id, name, location, at])?;
    let tags = made.tags.iter().map(|(k, v)| (k.to_string(), v.clone())).collect();
    EXPERIMENT_TAGS.put(tx, &Owner::of(id), &tags)
}

const fn status(status: RunStatus) -> &'static str {
    match status {
        RunStatus::Scheduled => "SCHEDULED",
        RunStatus::Running => "RUNNING",
        RunStatus::Finished => "FINISHED",
        RunStatus::Failed => "FAILED",
        RunStatus::Killed => "KILLED",
    }
}

const fn stage(deleted: bool) -> &'static str {
    if deleted { "deleted" } else { "active" }
}

/// Everything of a run but the histories of its metrics.
pub(super) fn run(
    tx: &Connection,
    places: &Places<'_>,
    experiment_id: i64,
    run: &Run,
) -> rusqlite::Result<()> {
    let id = run.id.as_str();
    let (start, end) = (millis(run.started_at), run.ended_at.map(millis));
    let update = "UPDATE runs SET status = ?2, start_time = ?3, end_time = ?4 WHERE run_uuid = ?1";
    let changed = tx.prepare_cached(update)?.execute(params![id, status(run.status), start, end])?;
    if changed == 0 {
        let insert = "INSERT INTO runs (run_uuid, name, source_type, source_name, entry_point_name, user_id,
                      status, start_time, end_time, source_version, lifecycle_stage, artifact_uri, experiment_id)
                      VALUES (?1, ?2, 'LOCAL', '', '', ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
        tx.prepare_cached(insert)?.execute(params![
            id,
            run.name,
            run.actor.as_str(),
            status(run.status),
            start,
            end,
            run.capsule.code.commit.as_deref().unwrap_or(""),
            stage(run.deleted),
            uri(&places.run(&run.id)),
            experiment_id,
        ])?;
    }
    let owner = Owner::of(id);
    one(tx, RUN_STAGE, &owner, stage(run.deleted))?;
    RUN_TAGS.put(tx, &owner, &run_tags(run))?;
    for (key, value) in &run.params {
        let sql = "INSERT OR REPLACE INTO params (run_uuid, key, value) VALUES (?1, ?2, ?3)";
        tx.prepare_cached(sql)?.execute(params![id, key.as_str(), value])?;
    }
    for summary in run.metrics.values() {
        let (value, is_nan) = number(summary.last.value);
        let sql = "INSERT OR REPLACE INTO latest_metrics (key, value, timestamp, step, is_nan, run_uuid)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        let last = &summary.last;
        tx.prepare_cached(sql)?.execute(params![
            last.key.as_str(),
            value,
            millis(last.at),
            last.step,
            is_nan,
            id
        ])?;
    }
    run.inputs.iter().try_for_each(|input| dataset(tx, experiment_id, id, input))
}

fn one(tx: &Connection, kept: Kept, owner: &Owner, value: &str) -> rusqlite::Result<()> {
    kept.put(tx, owner, &BTreeMap::from([(String::new(), value.to_owned())]))
}

/// A value as MLflow keeps it: NaN beside a flag, infinities as the greatest finite number.
fn number(value: f64) -> (f64, bool) {
    if value.is_nan() { (0.0, true) } else { (value.clamp(f64::MIN, f64::MAX), false) }
}

/// The run's tags, and what MLflow expects to find as tags. A tag of the run's own wins.
fn run_tags(run: &Run) -> BTreeMap<String, String> {
    let code = &run.capsule.code;
    let mut tags = BTreeMap::from([
        ("mlflow.runName".to_owned(), run.name.clone()),
        ("mlflow.user".to_owned(), run.actor.to_string()),
        ("mlflow.source.type".to_owned(), "LOCAL".to_owned()),
    ]);
    let mut add = |key: &str, value: Option<String>| {
        if let Some(value) = value {
            tags.insert(key.to_owned(), value);
        }
    };
    add("mlflow.parentRunId", run.parent.as_ref().map(ToString::to_string));
    add("mlflow.source.git.commit", code.commit.clone());
    add("mlflow.source.git.branch", code.branch.clone());
    add("mlflow.source.git.repoURL", code.repository.clone());
    add("mlflow.source.git.dirty", code.dirty.map(|dirty| dirty.to_string()));
    add("mlops.capsule", serde_json::to_string(&run.capsule).ok());
    for (key, summary) in &run.metrics {
        let value = summary.last.value;
        if value.is_infinite() {
            let text = if value > 0.0 { "Infinity" } else { "-Infinity" };
            add(&format!("mlops.infinite.{key}"), Some(text.to_owned()));
        }
    }
    tags.extend(run.tags.iter().map(|(k, v)| (k.to_string(), v.clone())));
    tags
}

/// A data asset as MLflow's dataset, and that it went into a run.
fn dataset(tx: &Connection, experiment_id: i64, run: &str, input: &DataInput) -> rusqlite::Result<()> {
    // MLflow keeps 36 characters of a digest; the whole of it is in the source.
    let digest: String = input.digest.hex().chars().take(32).collect();
    let name = input.asset.as_str();
    let of_data = named("dataset", &[&experiment_id.to_string(), name, &digest]);
    let source = json!({
        "uri": format!("mlops:data/{name}:{}", input.version),
        "asset": name, "version": input.version, "digest": input.digest,
    });
    let sql = "INSERT INTO datasets (dataset_uuid, experiment_id, name, digest, dataset_source_type,
               dataset_source, dataset_schema, dataset_profile) VALUES (?1, ?2, ?3, ?4, 'mlops', ?5, '', '')
               ON CONFLICT DO NOTHING";
    tx.prepare_cached(sql)?.execute(params![of_data, experiment_id, name, digest, source.to_string()])?;
    let of_input = named("input", &[&of_data, run]);
    let sql = "INSERT INTO inputs (input_uuid, source_type, source_id, destination_type, destination_id)
               VALUES (?1, 'DATASET', ?2, 'RUN', ?3) ON CONFLICT DO NOTHING";
    tx.prepare_cached(sql)?.execute(params![of_input, of_data, run])?;
    let sql =
        "INSERT OR REPLACE INTO input_tags (input_uuid, name, value) VALUES (?1, 'mlflow.data.context', ?2)";
    tx.prepare_cached(sql)?.execute(params![of_input, input.role]).map(drop)
}

/// A name of 32 hexadecimal digits for what these parts say, the same on every machine.
fn named(domain: &str, parts: &[&str]) -> String {
    let hasher = parts.iter().fold(Hasher::new("mlops.mlflow/v1").field(domain), |h, part| h.field(part));
    let digest: Digest = hasher.finish();
    digest.hex().chars().take(32).collect()
}

/// Points of a run's metrics. A point that differs from another below the millisecond only is the same one to MLflow.
pub(super) fn points(tx: &Connection, run: &RunId, points: &[MetricPoint]) -> rusqlite::Result<()> {
    let sql = "INSERT OR IGNORE INTO metrics (key, value, timestamp, run_uuid, step, is_nan)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    let mut statement = tx.prepare_cached(sql)?;
    for point in points {
        let (value, is_nan) = number(point.value);
        statement.execute(params![
            point.key.as_str(),
            value,
            millis(point.at),
            run.as_str(),
            point.step,
            is_nan
        ])?;
    }
    Ok(())
}

/// A model; its versions and aliases come after it.
pub(super) fn model(tx: &Connection, name: &ModelName, created: Timestamp) -> rusqlite::Result<()> {
    let sql = "INSERT INTO registered_models (name, creation_time, last_updated_time, description)
               VALUES (?1, ?2, ?2, '') ON CONFLICT DO NOTHING";
    tx.prepare_cached(sql)?.execute(params![name.as_str(), millis(created)]).map(drop)
}

pub(super) fn version(tx: &Connection, places: &Places<'_>, made: &ModelVersion) -> rusqlite::Result<()> {
    let spec = &made.spec;
    let number = i64::try_from(made.version.get()).unwrap_or(i64::MAX);
    let sql =
        "INSERT INTO model_versions (name, version, creation_time, last_updated_time, description, user_id,
               current_stage, source, run_id, status, status_message, run_link, storage_location)
               VALUES (?1, ?2, ?3, ?3, '', ?4, 'None', ?5, ?6, 'READY', '', '', ?5) ON CONFLICT DO NOTHING";
    tx.prepare_cached(sql)?.execute(params![
        spec.model.as_str(),
        number,
        millis(made.created_at),
        spec.actor.as_str(),
        uri(&places.model(&spec.model, made.version)),
        spec.run.as_ref().map(RunId::as_str),
    ])?;
    let owner = Owner::version(&spec.model, number);
    let note = spec.tags.iter().find(|(key, _)| key.as_str() == NOTE).map(|(_, text)| text);
    one(tx, VERSION_DESCRIPTION, &owner, note.unwrap_or(&spec.description))?;
    VERSION_TAGS.put(tx, &owner, &version_tags(made))
}

fn version_tags(made: &ModelVersion) -> BTreeMap<String, String> {
    let spec = &made.spec;
    let mut tags = BTreeMap::from([
        ("mlops.artifact".to_owned(), spec.artifact.to_string()),
        ("mlops.format".to_owned(), spec.format.to_string()),
    ]);
    if let Ok(signature) = serde_json::to_string(&spec.signature) {
        tags.insert("mlops.signature".to_owned(), signature);
    }
    for input in &spec.data {
        let key = format!("mlops.data.{}", input.asset);
        tags.insert(key, format!("{}:{} {}", input.asset, input.version, input.digest));
    }
    tags.extend(spec.metrics.iter().map(|(key, value)| (format!("mlops.metric.{key}"), value.to_string())));
    if made.archived {
        tags.insert("mlops.archived".to_owned(), "true".to_owned());
    }
    let own = spec.tags.iter().filter(|(key, _)| key.as_str() != NOTE);
    tags.extend(own.map(|(k, v)| (k.to_string(), v.clone())));
    tags
}

pub(super) fn aliases(
    tx: &Connection,
    name: &ModelName,
    aliases: &BTreeMap<Alias, Version>,
) -> rusqlite::Result<()> {
    let wanted = aliases.iter().map(|(alias, version)| (alias.to_string(), version.to_string())).collect();
    ALIASES.put(tx, &Owner::of(name), &wanted)
}
