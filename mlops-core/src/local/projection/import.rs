//! Takes over what a person edited in MLflow: tags, aliases, descriptions, deleted runs.

use std::fmt;

use rusqlite::{Connection, params};
use serde::{Deserialize, Serialize};

use super::kept::{self, Difference, Owner};
use super::write::{DEFAULT, NOTE};
use super::{MlflowProjection, SYNC, connect, refused, transact};
use crate::disk::blocking;
use crate::error::{Error, ErrorKind, Result};
use crate::id::{ActorId, Alias, IdempotencyKey, ModelName, RunId, TagKey, Version, check_text};
use crate::registry::{AliasChange, ModelRef, ModelRegistry as _};

const IMPORT: &str = "MlflowProjection::import";

/// What kind of thing was edited in MLflow.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EditKind {
    /// A tag of a run; its description is one too.
    RunTag,
    /// A run was deleted or restored.
    RunStage,
    /// A tag of an experiment; its description is one too.
    ExperimentTag,
    /// A tag of a model version.
    VersionTag,
    /// The description of a model version.
    VersionDescription,
    /// An alias of a model.
    Alias,
    /// The description of a model.
    ModelDescription,
    /// A tag of a model.
    ModelTag,
}

/// One value that somebody edited in MLflow.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edit {
    /// What kind of thing.
    pub kind: EditKind,
    /// Whose: a run's id, an experiment's number, a model's name, `NAME/VERSION` of a model version.
    pub owner: String,
    /// The tag's key or the alias; empty for what there is one of.
    pub key: String,
    /// What the store has; `None` where it has nothing.
    pub before: Option<String>,
    /// What MLflow has; `None` where it was removed.
    pub after: Option<String>,
}

impl fmt::Display for Edit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |value: &Option<String>| {
            value.as_deref().map_or_else(
                || "nothing".to_owned(),
                |v| format!("\u{201c}{}\u{201d}", crate::error::quote(v)),
            )
        };
        write!(f, "{:?} {} of {}: ", self.kind, self.key, self.owner)?;
        write!(f, "{} instead of {}", shown(&self.after), shown(&self.before))
    }
}

/// An edit that was not taken over; it stays in MLflow.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedEdit {
    /// The edit.
    pub edit: Edit,
    /// Why, as a sentence.
    pub reason: String,
}

/// What an import did.
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportReport {
    /// What was taken over.
    pub applied: Vec<Edit>,
    /// What was not.
    pub refused: Vec<RefusedEdit>,
}

impl Difference {
    fn edit(&self) -> Edit {
        let kind = match self.kept.kind {
            "run tag" => EditKind::RunTag,
            "run stage" => EditKind::RunStage,
            "experiment tag" => EditKind::ExperimentTag,
            "version tag" => EditKind::VersionTag,
            "version description" => EditKind::VersionDescription,
            "alias" => EditKind::Alias,
            "model description" => EditKind::ModelDescription,
            _ => EditKind::ModelTag,
        };
        Edit {
            kind,
            owner: self.owner.text(),
            key: self.key.clone(),
            before: self.written.clone(),
            after: self.found.clone(),
        }
    }
}

impl MlflowProjection {
    /// What was edited in MLflow since the projection wrote it; changes nothing.
    ///
    /// # Errors
    /// As [`sync`](Self::sync), which comes first.
    pub async fn edits(&self) -> Result<Vec<Edit>> {
        Ok(self.differences().await?.iter().map(Difference::edit).collect())
    }

    /// Takes over what was edited in MLflow, in the name of `actor`: tags of runs, experiments and model versions, descriptions
    /// of runs, experiments and model versions (kept as the tag `mlflow.note.content`), aliases (by compare-and-set; a protected
    /// alias moves by promotion only), deleted and restored runs. What cannot be taken over is reported with its reason and
    /// stays as it is.
    ///
    /// # Errors
    /// As [`sync`](Self::sync), which comes first and last.
    pub async fn import(&self, actor: &ActorId) -> Result<ImportReport> {
        let mut report = ImportReport::default();
        for difference in self.differences().await? {
            let edit = difference.edit();
            match self.apply(&difference, actor).await {
                Ok(()) => {
                    let inner = self.inner.clone();
                    blocking(IMPORT, move || {
                        let Difference { kept, owner, key, found, .. } = difference;
                        transact(&mut connect(&inner)?, |tx| {
                            kept.remember(tx, &owner, &key, found.as_deref())
                        })
                    })
                    .await?;
                    report.applied.push(edit);
                }
                Err(e) if is_a_refusal(e.kind()) => {
                    let reason = e.message().to_owned();
                    report.refused.push(RefusedEdit { edit, reason });
                }
                Err(e) => return Err(e),
            }
        }
        self.sync().await?;
        Ok(report)
    }

    async fn differences(&self) -> Result<Vec<Difference>> {
        self.sync().await?;
        let inner = self.inner.clone();
        blocking(SYNC, move || differences(&connect(&inner)?).map_err(refused)).await
    }

    async fn apply(&self, difference: &Difference, actor: &ActorId) -> Result<()> {
        let edit = difference.edit();
        match edit.kind {
            EditKind::RunTag => self.tag_run(difference).await,
            EditKind::RunStage => self.move_run(difference).await,
            EditKind::ExperimentTag => self.tag_experiment(difference).await,
            EditKind::VersionTag | EditKind::VersionDescription => self.tag_version(difference, actor).await,
            EditKind::Alias => self.move_alias(difference, actor).await,
            EditKind::ModelDescription => Err(no("a model has no description of its own, its versions have")),
            EditKind::ModelTag => Err(no("a model has no tags of its own, its versions have")),
        }
    }

    async fn tag_run(&self, difference: &Difference) -> Result<()> {
        let (key, value) = tag(difference)?;
        let value = value.ok_or_else(|| no("a tag of a run is replaced, never removed"))?;
        let run = RunId::new(&difference.owner.name)?;
        self.tracker.set_tag(IMPORT, &run, (key, value)).await
    }

    async fn move_run(&self, difference: &Difference) -> Result<()> {
        use crate::experiment::ExperimentTracker as _;
        let run = RunId::new(&difference.owner.name)?;
        let deleted = difference.found.as_deref() == Some("deleted");
        self.tracker.set_deleted(&run, deleted).await.map(drop)
    }

    async fn tag_experiment(&self, difference: &Difference) -> Result<()> {
        let (key, value) = tag(difference)?;
        let id: i64 =
            difference.owner.name.parse().map_err(|_| no("the experiment is not one of the store's"))?;
        if id == DEFAULT.0 {
            return Err(no("MLflow's default experiment is not one of the store's"));
        }
        self.tracker.set_experiment_tag(IMPORT, id, (key, value)).await
    }

    async fn tag_version(&self, difference: &Difference, actor: &ActorId) -> Result<()> {
        let (model, version) = model_version(&difference.owner)?;
        let (key, value) = if difference.edit().kind == EditKind::VersionDescription {
            let text = difference.found.clone().filter(|text| !text.is_empty());
            (TagKey::new(NOTE)?, text)
        } else {
            tag(difference)?
        };
        let made = self.registry.get(&ModelRef::new(model.clone(), version)).await?;
        let mut tags = made.spec.tags;
        match value {
            Some(value) => tags.insert(key, value),
            None => tags.remove(&key),
        };
        self.registry.set_tags(&model, version, &tags, actor).await.map(drop)
    }

    async fn move_alias(&self, difference: &Difference, actor: &ActorId) -> Result<()> {
        let model = ModelName::new(&difference.owner.name)?;
        let alias = Alias::new(&difference.key)?;
        let (to, expected) = (number(difference.found.as_deref())?, number(difference.written.as_deref())?);
        let change = AliasChange {
            key: IdempotencyKey::generate(),
            model,
            alias,
            to,
            expected,
            reason: "edited in MLflow".to_owned(),
            actor: actor.clone(),
        };
        self.registry.set_alias(&change).await.map(drop)
    }
}

fn no(reason: &str) -> Error {
    Error::new(ErrorKind::Unsupported, IMPORT, reason)
}

/// Whether an edit was refused for what it is, rather than for what the machine is.
fn is_a_refusal(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::Unsupported
            | ErrorKind::InvalidInput
            | ErrorKind::LimitExceeded
            | ErrorKind::NotFound
            | ErrorKind::Conflict
            | ErrorKind::Rejected
    )
}

/// A tag that a person may edit.
fn tag(difference: &Difference) -> Result<(TagKey, Option<String>)> {
    let key = difference.key.as_str();
    if (key.starts_with("mlflow.") && key != NOTE) || key.starts_with("mlops.") {
        return Err(no("the tag says what the library knows; it is not edited"));
    }
    if let Some(text) = &difference.found {
        check_text(IMPORT, "a tag", text)?;
    }
    Ok((TagKey::new(key)?, difference.found.clone()))
}

fn model_version(owner: &Owner) -> Result<(ModelName, Version)> {
    let version = u64::try_from(owner.version).ok().and_then(Version::new);
    let version = version.ok_or_else(|| no("the version is not one of the store's"))?;
    Ok((ModelName::new(&owner.name)?, version))
}

fn number(text: Option<&str>) -> Result<Option<Version>> {
    let parse = |text: &str| text.parse().ok().and_then(Version::new);
    text.map(|text| parse(text).ok_or_else(|| no("an alias points to a version by its number"))).transpose()
}

/// Everything that is not as it was written, of everything that the projection wrote.
fn differences(connection: &Connection) -> rusqlite::Result<Vec<Difference>> {
    let mut all = Vec::new();
    for kept in kept::ALL {
        for owner in owners(connection, kept.kind)? {
            all.extend(kept.differences(connection, &owner)?);
        }
    }
    Ok(all)
}

/// Whoever may have values of a kind; things that were made in MLflow itself are not the store's.
fn owners(connection: &Connection, kind: &str) -> rusqlite::Result<Vec<Owner>> {
    let sql = match kind {
        "run tag" | "run stage" => {
            "SELECT run_uuid, 0 FROM runs WHERE run_uuid IN
             (SELECT owner FROM mlops_written WHERE kind = 'run stage')"
        }
        "experiment tag" => "SELECT CAST(experiment_id AS TEXT), 0 FROM experiments WHERE experiment_id <> 0",
        "version tag" | "version description" => {
            "SELECT name, version FROM model_versions WHERE name || '/' || version IN
             (SELECT owner FROM mlops_written WHERE kind = 'version description')"
        }
        _ => "SELECT name, 0 FROM registered_models",
    };
    let mut statement = connection.prepare(sql)?;
    let rows = statement.query_map(params![], |row| {
        let (name, version): (String, i64) = (row.get(0)?, row.get(1)?);
        Ok(Owner { name, version })
    })?;
    rows.collect()
}
