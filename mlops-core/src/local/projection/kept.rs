//! Values that a person may edit in MLflow: written only where the truth changed, so that an edit waits for its import.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{Connection, params};

/// A table of MLflow's with keys and values that belong to something.
///
/// The statements take the owner's parts as `?1` and `?2`; the second is 0 where the owner has one part only.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kept {
    /// What it is called among what was written.
    pub(super) kind: &'static str,
    select: &'static str,
    upsert: &'static str,
    delete: &'static str,
}

/// Whom values belong to, in the two ways in which MLflow's tables say it.
#[derive(Clone, Debug)]
pub(super) struct Owner {
    pub(super) name: String,
    pub(super) version: i64,
}

impl Owner {
    pub(super) fn of(name: impl ToString) -> Self {
        Self { name: name.to_string(), version: 0 }
    }

    pub(super) fn version(name: impl ToString, version: i64) -> Self {
        Self { name: name.to_string(), version }
    }

    /// The owner as one text: names have no slash in them.
    pub(super) fn text(&self) -> String {
        if self.version == 0 { self.name.clone() } else { format!("{}/{}", self.name, self.version) }
    }
}

pub(super) const RUN_TAGS: Kept = Kept {
    kind: "run tag",
    select: "SELECT key, coalesce(value, '') FROM tags WHERE run_uuid = ?1 AND ?2 = 0",
    upsert: "INSERT OR REPLACE INTO tags (run_uuid, key, value) SELECT ?1, ?3, ?4 WHERE ?2 = 0",
    delete: "DELETE FROM tags WHERE run_uuid = ?1 AND ?2 = 0 AND key = ?3",
};

pub(super) const EXPERIMENT_TAGS: Kept = Kept {
    kind: "experiment tag",
    select: "SELECT key, coalesce(value, '') FROM experiment_tags WHERE experiment_id = CAST(?1 AS INTEGER) AND ?2 = 0",
    upsert: "INSERT OR REPLACE INTO experiment_tags (experiment_id, key, value)
             SELECT CAST(?1 AS INTEGER), ?3, ?4 WHERE ?2 = 0",
    delete: "DELETE FROM experiment_tags WHERE experiment_id = CAST(?1 AS INTEGER) AND ?2 = 0 AND key = ?3",
};

pub(super) const VERSION_TAGS: Kept = Kept {
    kind: "version tag",
    select: "SELECT key, coalesce(value, '') FROM model_version_tags WHERE name = ?1 AND version = ?2",
    upsert: "INSERT OR REPLACE INTO model_version_tags (name, version, key, value) VALUES (?1, ?2, ?3, ?4)",
    delete: "DELETE FROM model_version_tags WHERE name = ?1 AND version = ?2 AND key = ?3",
};

pub(super) const ALIASES: Kept = Kept {
    kind: "alias",
    select: "SELECT alias, CAST(version AS TEXT) FROM registered_model_aliases WHERE name = ?1 AND ?2 = 0",
    upsert: "INSERT OR REPLACE INTO registered_model_aliases (name, alias, version)
             SELECT ?1, ?3, CAST(?4 AS INTEGER) WHERE ?2 = 0",
    delete: "DELETE FROM registered_model_aliases WHERE name = ?1 AND ?2 = 0 AND alias = ?3",
};

/// One value under the empty key.
pub(super) const VERSION_DESCRIPTION: Kept = Kept {
    kind: "version description",
    select: "SELECT '', coalesce(description, '') FROM model_versions WHERE name = ?1 AND version = ?2",
    upsert: "UPDATE model_versions SET description = ?4 WHERE name = ?1 AND version = ?2 AND ?3 = ''",
    delete: "UPDATE model_versions SET description = '' WHERE name = ?1 AND version = ?2 AND ?3 = ''",
};

/// One value under the empty key; the library keeps none, so whatever is there is an edit.
pub(super) const MODEL_DESCRIPTION: Kept = Kept {
    kind: "model description",
    select: "SELECT '', description FROM registered_models WHERE name = ?1 AND ?2 = 0 AND coalesce(description, '') <> ''",
    upsert: "UPDATE registered_models SET description = ?4 WHERE name = ?1 AND ?2 = 0 AND ?3 = ''",
    delete: "UPDATE registered_models SET description = '' WHERE name = ?1 AND ?2 = 0 AND ?3 = ''",
};

pub(super) const MODEL_TAGS: Kept = Kept {
    kind: "model tag",
    select: "SELECT key, coalesce(value, '') FROM registered_model_tags WHERE name = ?1 AND ?2 = 0",
    upsert: "INSERT OR REPLACE INTO registered_model_tags (name, key, value) SELECT ?1, ?3, ?4 WHERE ?2 = 0",
    delete: "DELETE FROM registered_model_tags WHERE name = ?1 AND ?2 = 0 AND key = ?3",
};

/// Whether a run is `active` or `deleted`, under the empty key.
pub(super) const RUN_STAGE: Kept = Kept {
    kind: "run stage",
    select: "SELECT '', coalesce(lifecycle_stage, 'active') FROM runs WHERE run_uuid = ?1 AND ?2 = 0",
    upsert: "UPDATE runs SET lifecycle_stage = ?4 WHERE run_uuid = ?1 AND ?2 = 0 AND ?3 = ''",
    delete: "UPDATE runs SET lifecycle_stage = 'active' WHERE run_uuid = ?1 AND ?2 = 0 AND ?3 = ''",
};

pub(super) const ALL: [Kept; 8] = [
    RUN_TAGS,
    RUN_STAGE,
    EXPERIMENT_TAGS,
    VERSION_TAGS,
    VERSION_DESCRIPTION,
    ALIASES,
    MODEL_DESCRIPTION,
    MODEL_TAGS,
];

/// A value that MLflow has and the projection did not write, or the other way round.
#[derive(Clone, Debug)]
pub(super) struct Difference {
    pub(super) kept: Kept,
    pub(super) owner: Owner,
    pub(super) key: String,
    /// What the projection wrote.
    pub(super) written: Option<String>,
    /// What is there.
    pub(super) found: Option<String>,
}

impl Kept {
    /// Makes the values of an owner those of the truth. What a person edited since it was written is left as it is, and still
    /// counts as an edit: now of the new value.
    pub(super) fn put(
        self,
        tx: &Connection,
        owner: &Owner,
        wanted: &BTreeMap<String, String>,
    ) -> rusqlite::Result<()> {
        let written = self.written(tx, owner)?;
        if written == *wanted {
            return Ok(());
        }
        let found = self.found(tx, owner)?;
        let keys: BTreeSet<&String> = written.keys().chain(wanted.keys()).collect();
        for key in keys {
            let (before, after) = (written.get(key), wanted.get(key));
            if before == after {
                continue;
            }
            let untouched = found.get(key) == before;
            match after {
                Some(value) => {
                    // A description that was never set reads as the empty text.
                    let fresh = before.is_none() && found.get(key).is_some_and(String::is_empty);
                    if untouched || fresh {
                        self.set(tx, owner, key, value)?;
                    }
                    self.remember(tx, owner, key, Some(value))?;
                }
                None => {
                    if untouched {
                        self.clear(tx, owner, key)?;
                    }
                    self.remember(tx, owner, key, None)?;
                }
            }
        }
        Ok(())
    }

    fn set(self, tx: &Connection, owner: &Owner, key: &str, value: &str) -> rusqlite::Result<()> {
        tx.prepare_cached(self.upsert)?.execute(params![owner.name, owner.version, key, value]).map(drop)
    }

    fn clear(self, tx: &Connection, owner: &Owner, key: &str) -> rusqlite::Result<()> {
        tx.prepare_cached(self.delete)?.execute(params![owner.name, owner.version, key]).map(drop)
    }

    /// Says that the truth is this now.
    pub(super) fn remember(
        self,
        tx: &Connection,
        owner: &Owner,
        key: &str,
        value: Option<&str>,
    ) -> rusqlite::Result<()> {
        let owner = owner.text();
        match value {
            Some(value) => {
                let sql =
                    "INSERT OR REPLACE INTO mlops_written (kind, owner, key, value) VALUES (?1, ?2, ?3, ?4)";
                tx.prepare_cached(sql)?.execute(params![self.kind, owner, key, value])?;
            }
            None => {
                let sql = "DELETE FROM mlops_written WHERE kind = ?1 AND owner = ?2 AND key = ?3";
                tx.prepare_cached(sql)?.execute(params![self.kind, owner, key])?;
            }
        }
        Ok(())
    }

    fn written(self, tx: &Connection, owner: &Owner) -> rusqlite::Result<BTreeMap<String, String>> {
        let sql = "SELECT key, value FROM mlops_written WHERE kind = ?1 AND owner = ?2";
        let mut statement = tx.prepare_cached(sql)?;
        let rows =
            statement.query_map(params![self.kind, owner.text()], |row| Ok((row.get(0)?, row.get(1)?)))?;
        rows.collect()
    }

    fn found(self, tx: &Connection, owner: &Owner) -> rusqlite::Result<BTreeMap<String, String>> {
        let mut statement = tx.prepare_cached(self.select)?;
        let rows =
            statement.query_map(params![owner.name, owner.version], |row| Ok((row.get(0)?, row.get(1)?)))?;
        rows.collect()
    }

    /// What differs from what was written, of one owner.
    pub(super) fn differences(self, tx: &Connection, owner: &Owner) -> rusqlite::Result<Vec<Difference>> {
        let (written, found) = (self.written(tx, owner)?, self.found(tx, owner)?);
        let keys: BTreeSet<&String> = written.keys().chain(found.keys()).collect();
        let differing = keys.into_iter().filter(|key| {
            let (before, now) = (written.get(*key), found.get(*key));
            before != now && !(before.is_none() && now.is_some_and(String::is_empty))
        });
        let make = |key: &String| Difference {
            kept: self,
            owner: owner.clone(),
            key: key.clone(),
            written: written.get(key).cloned(),
            found: found.get(key).cloned(),
        };
        Ok(differing.map(make).collect())
    }
}
