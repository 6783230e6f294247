//! Labels as a table, as files, and as a data asset.

use std::fmt::Write as _;

use super::project::LabelValue;
use super::queue::{LabelQueue, State};
use crate::artifact::{ArtifactStore, ArtifactStoreExt as _};
use crate::data::{AssetKind, Column, DataAsset, DataAssetStore, NewDataAsset, Table, Validity, Values};
use crate::error::{Error, Result};
use crate::hash::Hasher;
use crate::id::{ActorId, AssetName, IdempotencyKey, RelPath};

const OP: &str = "LabelQueue::export";

/// One line of the export.
#[derive(serde::Serialize)]
struct Line<'q> {
    task: &'q str,
    item: crate::hash::Digest,
    status: &'static str,
    label: Option<&'q LabelValue>,
    votes: usize,
    assisted_votes: usize,
    agreement: Option<f64>,
    prelabel: Option<&'q LabelValue>,
    prelabel_model: Option<&'q str>,
}

impl<'q> Line<'q> {
    fn of(state: &'q State) -> Self {
        let prelabel = state.prelabels.first();
        let same = |label: &LabelValue| state.votes.iter().filter(|vote| vote.label == *label).count() as f64;
        let voted = !state.votes.is_empty();
        Self {
            task: &state.task.id,
            item: state.task.item,
            status: state.status.as_str(),
            label: state.label.as_ref(),
            votes: state.votes.len(),
            assisted_votes: state.votes.iter().filter(|vote| vote.assisted).count(),
            agreement: state
                .label
                .as_ref()
                .filter(|_| voted)
                .map(|label| same(label) / state.votes.len() as f64),
            prelabel: prelabel.map(|prelabel| &prelabel.label),
            prelabel_model: prelabel.map(|prelabel| prelabel.model.as_str()),
        }
    }
}

impl LabelQueue {
    fn lines(&self) -> impl Iterator<Item = Line<'_>> {
        self.tasks.iter().map(Line::of)
    }

    /// One JSON object a task and line: `task`, `item` (digest), `status`, `label`, `votes`, `assisted_votes`, `agreement` (the
    /// share of votes for the label), and what the first model suggested, `prelabel` and `prelabel_model`. The label is what
    /// people said; tasks without one have null.
    ///
    /// # Errors
    /// None that a caller can bring about.
    pub fn to_jsonl(&self) -> Result<String> {
        let mut out = String::new();
        for line in self.lines() {
            out.push_str(&json(&line)?);
            out.push('\n');
        }
        Ok(out)
    }

    /// One JSON object a vote and line: `task`, `annotator`, `label`, `assisted`, `at`.
    ///
    /// # Errors
    /// None that a caller can bring about.
    pub fn votes_to_jsonl(&self) -> Result<String> {
        #[derive(serde::Serialize)]
        struct Line<'q> {
            task: &'q str,
            #[serde(flatten)]
            vote: &'q super::queue::Vote,
        }
        let mut out = String::new();
        for state in &self.tasks {
            for vote in &state.votes {
                out.push_str(&json(&Line { task: &state.task.id, vote })?);
                out.push('\n');
            }
        }
        Ok(out)
    }

    /// The same as a table; [`Table`] in, [CSV](LabelQueue::to_csv) out. Missing where there is nothing.
    ///
    /// # Errors
    /// As [`Column::new`].
    pub fn to_table(&self) -> Result<Table<'static>> {
        let lines: Vec<Line<'_>> = self.lines().collect();
        let whole = |name, of: fn(&Line<'_>) -> usize| {
            let values: Vec<i64> =
                lines.iter().map(|line| i64::try_from(of(line)).unwrap_or(i64::MAX)).collect();
            Column::i64(name, values)
        };
        let real = |name, of: fn(&Line<'_>) -> Option<f64>| {
            let valid: Vec<bool> = lines.iter().map(|line| of(line).is_some()).collect();
            let values: Vec<f64> = lines.iter().map(|line| of(line).unwrap_or(0.0)).collect();
            Column::new(name, Values::F64(values.into()), Some(Validity::from_bools(&valid)))
        };
        let classes = self.project().scheme.classes().is_some();
        let label =
            |name, of: fn(&Line<'_>) -> Option<String>, value: fn(&Line<'_>) -> Option<f64>| match classes {
                true => Column::optional_text(name, lines.iter().map(of)),
                false => real(name, value),
            };
        Table::new(vec![
            Column::text("task", lines.iter().map(|line| line.task))?.into_owned(),
            Column::text("item", lines.iter().map(|line| line.item.to_string()))?,
            Column::text("status", lines.iter().map(|line| line.status))?,
            label("label", |line| line.label.map(LabelValue::to_string), |line| as_number(line.label))?,
            whole("votes", |line| line.votes)?,
            whole("assisted_votes", |line| line.assisted_votes)?,
            real("agreement", |line| line.agreement)?,
            label(
                "prelabel",
                |line| line.prelabel.map(LabelValue::to_string),
                |line| as_number(line.prelabel),
            )?,
            Column::optional_text("prelabel_model", lines.iter().map(|line| line.prelabel_model))?
                .into_owned(),
        ])
    }

    /// The same as CSV (RFC 4180) with a header; nothing where there is nothing. No cell begins like a formula: ids, classes
    /// and models that would were refused.
    ///
    /// # Errors
    /// As [`LabelQueue::to_table`].
    pub fn to_csv(&self) -> Result<String> {
        let table = self.to_table()?;
        let mut out = table.names().collect::<Vec<_>>().join(",");
        out.push('\n');
        for row in 0..table.rows() {
            for (at, column) in table.columns().iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                let cell = column.label(row).unwrap_or_default();
                if cell.contains([',', '"', '\n', '\r']) {
                    // Writing to text does not fail.
                    let _ = write!(out, "\"{}\"", cell.replace('"', "\"\""));
                } else {
                    out.push_str(&cell);
                }
            }
            out.push('\n');
        }
        Ok(out)
    }

    /// Stores the labels (`labels.csv`, `labels.jsonl`), the votes (`votes.jsonl`) and the queue (`queue.json`), and registers
    /// them as the next version of a data asset with schema, content and number of rows. The same queue under the same name is
    /// the same version.
    ///
    /// # Errors
    /// Those of the stores; [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for a queue without tasks.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use mlops_core::data::{LabelProject, LabelQueue, LabelScheme, LabelTask};
    /// use mlops_core::memory::{MemoryArtifactStore, MemoryDataAssetStore};
    /// use mlops_core::time::SystemClock;
    /// use mlops_core::{ActorId, AssetName};
    ///
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
    /// let artifacts = Arc::new(MemoryArtifactStore::default());
    /// let assets = MemoryDataAssetStore::new(artifacts.clone(), Arc::new(SystemClock::new()));
    /// let (name, actor) = (AssetName::new("triage")?, ActorId::new("labelling")?);
    /// let mut queue = LabelQueue::new(LabelProject::new(name.clone(), LabelScheme::nominal(["ill", "well"])?))?;
    /// queue.add(LabelTask::of("note-1", b"chest pain"), "2026-03-02T09:00:00Z".parse()?)?;
    /// let asset = queue.register(&*artifacts, &assets, name, actor).await?;
    /// assert_eq!((asset.version.get(), asset.spec.rows), (1, Some(1)));
    /// # Ok::<(), Box<dyn std::error::Error>>(()) })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn register(
        &self,
        artifacts: &dyn ArtifactStore,
        assets: &dyn DataAssetStore,
        name: AssetName,
        actor: ActorId,
    ) -> Result<DataAsset> {
        if self.tasks.is_empty() {
            return Err(Error::invalid(OP, "queue", "has no tasks"));
        }
        let table = self.to_table()?;
        let files = [
            ("labels.csv", self.to_csv()?),
            ("labels.jsonl", self.to_jsonl()?),
            ("queue.json", json(self)?),
            ("votes.jsonl", self.votes_to_jsonl()?),
        ];
        let mut stored = Vec::with_capacity(files.len());
        for (path, text) in files {
            stored.push((RelPath::new(path)?, text.into()));
        }
        let (tree, _) = artifacts.put_files(&stored).await?;
        let key = Hasher::new("mlops.labels/v1").field(name.as_str()).field(tree.digest.as_bytes()).finish();
        let asset = NewDataAsset::stored(name, AssetKind::Table, tree.digest, actor)
            .with_table(&table)?
            .with_key(IdempotencyKey::from_digest(&key));
        assets.register(&asset).await
    }
}

fn as_number(value: Option<&LabelValue>) -> Option<f64> {
    match value {
        Some(LabelValue::Number(number)) => Some(*number),
        _ => None,
    }
}

fn json<T: serde::Serialize>(value: &T) -> Result<String> {
    serde_json::to_string(value)
        .map_err(|e| Error::invalid(OP, "queue", "cannot be written as JSON").with_source(e))
}
