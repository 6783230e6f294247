//! What changed between two versions of data: columns, rows and files.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use super::cell::{Cell, RowHasher, cell, shown};
use super::{Column, DataAsset, DataRef, Location, Schema, SchemaDiff, Table};
use crate::artifact::{ArtifactStore, Entry, Manifest};
use crate::error::{Error, Result};
use crate::hash::Digest;
use crate::id::RelPath;

const OP: &str = "diff_tables";

/// How tables are compared.
///
/// ```
/// use mlops_core::data::DiffOptions;
/// let by_id = DiffOptions::default().with_keys(["patient"]).with_samples(3);
/// assert_eq!((by_id.keys.len(), by_id.samples), (1, 3));
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DiffOptions {
    /// The columns by which a row of one table is found in the other. Empty, the default: rows are compared as wholes.
    pub keys: Vec<String>,
    /// The most row numbers listed of each sort of difference; 0 to 1000, default 10. Counts are always complete.
    pub samples: usize,
}

impl Default for DiffOptions {
    fn default() -> Self {
        Self { keys: Vec::new(), samples: 10 }
    }
}

impl DiffOptions {
    /// The greatest [`DiffOptions::samples`].
    pub const MAX_SAMPLES: usize = 1_000;

    /// Finds rows by these columns.
    #[must_use]
    pub fn with_keys<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.keys = names.into_iter().map(Into::into).collect();
        self
    }

    /// Lists at most this many rows of each sort.
    #[must_use]
    pub fn with_samples(mut self, samples: usize) -> Self {
        self.samples = samples;
        self
    }
}

/// The difference of two tables; what [`diff_tables`] returns.
///
/// It names rows by number, counted from 0 as [`Table::take`] takes them, and holds none of their values: a report may be read
/// by people who must not see the data.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TableDiff {
    /// What happened to the columns.
    pub schema: SchemaDiff,
    /// The columns by which rows were compared: those of both tables, in the order of the old one.
    pub compared: Vec<String>,
    /// Rows that are the same in both, key and all.
    pub unchanged: u64,
    /// Rows of the new table that the old one does not have, or not as often.
    pub added: u64,
    /// Rows of the old table that the new one does not have, or not as often.
    pub removed: u64,
    /// Rows of one key and other values; 0 without keys, where a changed row is one removed and one added.
    pub changed: u64,
    /// In how many of the changed rows each column changed; columns that did not are left out.
    pub changed_columns: BTreeMap<String, u64>,
    /// The first added rows, by their number in the new table.
    pub added_rows: Vec<usize>,
    /// The first removed rows, by their number in the old table.
    pub removed_rows: Vec<usize>,
    /// The first changed rows.
    pub changed_rows: Vec<ChangedRow>,
}

/// A row that has other values under the same key.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangedRow {
    /// Its number in the old table.
    pub old: usize,
    /// Its number in the new table.
    pub new: usize,
    /// The columns whose values differ.
    pub columns: Vec<String>,
}

impl TableDiff {
    fn new(old: &Table<'_>, new: &Table<'_>) -> Result<Self> {
        let compared = old.names().filter(|name| new.get(name).is_some()).map(str::to_owned).collect();
        Ok(Self {
            schema: Schema::infer(old)?.diff(&Schema::infer(new)?),
            compared,
            unchanged: 0,
            added: 0,
            removed: 0,
            changed: 0,
            changed_columns: BTreeMap::new(),
            added_rows: Vec::new(),
            removed_rows: Vec::new(),
            changed_rows: Vec::new(),
        })
    }

    /// Whether there is no difference: the same columns and the same rows, in whatever order the rows stand.
    pub fn is_empty(&self) -> bool {
        self.schema.is_empty() && self.added == 0 && self.removed == 0 && self.changed == 0
    }
}

impl fmt::Display for TableDiff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { added, removed, changed, unchanged, .. } = self;
        write!(f, "columns: {}; ", self.schema)?;
        write!(f, "rows: {added} added, {removed} removed, {changed} changed, {unchanged} unchanged")
    }
}

/// Compares two tables: column by column, and row by row in the columns that both have.
///
/// Values are equal as in [`row_digests`](super::row_digests). A column whose type changed differs in every row that has a
/// value; a column that is new or gone is a difference of the schema alone. Tables without a common column have no row in common.
///
/// Without keys, rows are multisets: a row that came three times and now comes once was removed twice; which of the three is
/// listed is the later ones. With keys, rows of one key are the same row, and what changed in them is counted by column. The
/// order of rows is no difference. O(rows × columns) time, about 100 bytes a row.
///
/// # Errors
/// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) for a key column that one of the tables does not have;
/// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for a key that is missing, NaN or in two rows of one table, and for a
/// table without columns; [`ErrorKind::LimitExceeded`](crate::ErrorKind::LimitExceeded) for more than 1000 samples.
///
/// ```
/// use mlops_core::data::{DiffOptions, diff_tables, parse_csv};
///
/// let old = parse_csv(b"id,bmi\n1,20.5\n2,31.0\n3,25.0\n", &Default::default())?;
/// let new = parse_csv(b"id,bmi,sex\n3,25.0,f\n1,21.5,m\n4,30.0,m\n", &Default::default())?;
/// let diff = diff_tables(&old, &new, &DiffOptions::default().with_keys(["id"]))?;
/// assert_eq!((diff.added_rows[0], diff.removed_rows[0], diff.changed_columns["bmi"]), (2, 1, 1));
/// assert_eq!(
///     diff.to_string(),
///     "columns: added `sex` (category); rows: 1 added, 1 removed, 1 changed, 1 unchanged"
/// );
/// # Ok::<(), mlops_core::Error>(())
/// ```
pub fn diff_tables(old: &Table<'_>, new: &Table<'_>, options: &DiffOptions) -> Result<TableDiff> {
    let (limit, got) = (DiffOptions::MAX_SAMPLES, options.samples);
    if got > limit {
        return Err(Error::limit(OP, "the number of samples", limit, got));
    }
    let mut diff = TableDiff::new(old, new)?;
    if !options.keys.is_empty() {
        by_key(old, new, options, &mut diff)?;
    } else if diff.compared.is_empty() {
        (diff.removed, diff.added) = (old.rows() as u64, new.rows() as u64);
        (diff.removed_rows, diff.added_rows) = (first(0..old.rows(), got), first(0..new.rows(), got));
    } else {
        as_wholes(&old.select(&diff.compared)?, &new.select(&diff.compared)?, got, &mut diff);
    }
    Ok(diff)
}

fn first(rows: impl IntoIterator<Item = usize>, samples: usize) -> Vec<usize> {
    rows.into_iter().take(samples).collect()
}

/// The rows of `these` that `those` has not, or not as often.
fn surplus(these: &[Digest], those: &[Digest]) -> Vec<usize> {
    let mut left: HashMap<&Digest, usize> = HashMap::new();
    those.iter().for_each(|row| *left.entry(row).or_default() += 1);
    let mut found = |row: &Digest| match left.get_mut(row) {
        Some(count) if *count > 0 => {
            *count -= 1;
            true
        }
        _ => false,
    };
    these.iter().enumerate().filter(|(_, row)| !found(row)).map(|(at, _)| at).collect()
}

fn as_wholes(old: &Table<'_>, new: &Table<'_>, samples: usize, diff: &mut TableDiff) {
    let (old, new) = (super::row_digests(old), super::row_digests(new));
    let (removed, added) = (surplus(&old, &new), surplus(&new, &old));
    diff.unchanged = (old.len() - removed.len()) as u64;
    (diff.removed, diff.added) = (removed.len() as u64, added.len() as u64);
    (diff.removed_rows, diff.added_rows) = (first(removed, samples), first(added, samples));
}

fn by_key(old: &Table<'_>, new: &Table<'_>, options: &DiffOptions, diff: &mut TableDiff) -> Result<()> {
    let (old_keys, new_keys) = (keys(old, options, "old")?, keys(new, options, "new")?);
    let of_old: HashMap<Digest, usize> = old_keys.iter().enumerate().map(|(row, key)| (*key, row)).collect();
    let is_new: HashSet<&Digest> = new_keys.iter().collect();
    let removed: Vec<usize> = (0..old.rows()).filter(|row| !is_new.contains(&old_keys[*row])).collect();
    diff.removed = removed.len() as u64;
    diff.removed_rows = first(removed, options.samples);
    let pairs: Vec<(&Column<'_>, &Column<'_>)> =
        diff.compared.iter().filter_map(|name| old.get(name).zip(new.get(name))).collect();
    for (row, key) in new_keys.iter().enumerate() {
        let Some(&was) = of_old.get(key) else {
            diff.added += 1;
            if diff.added_rows.len() < options.samples {
                diff.added_rows.push(row);
            }
            continue;
        };
        let differs = |(a, b): &&(&Column<'_>, &Column<'_>)| cell(a, was) != cell(b, row);
        let columns: Vec<&str> = pairs.iter().filter(differs).map(|(a, _)| a.name()).collect();
        if columns.is_empty() {
            diff.unchanged += 1;
            continue;
        }
        diff.changed += 1;
        for name in &columns {
            *diff.changed_columns.entry((*name).to_owned()).or_default() += 1;
        }
        if diff.changed_rows.len() < options.samples {
            let columns = columns.into_iter().map(str::to_owned).collect();
            diff.changed_rows.push(ChangedRow { old: was, new: row, columns });
        }
    }
    Ok(())
}

/// The digest of each row's key; each of them comes once.
fn keys(table: &Table<'_>, options: &DiffOptions, which: &'static str) -> Result<Vec<Digest>> {
    let find = |name: &String| table.column(name).map_err(|e| e.with("table", which));
    let columns = options.keys.iter().map(find).collect::<Result<Vec<_>>>()?;
    let mut hasher = RowHasher::new(columns.clone());
    let mut seen: HashMap<Digest, usize> = HashMap::new();
    let key = |row: usize| {
        let none = |c: &&&Column<'_>| matches!(cell(c, row), Cell::Missing | Cell::Nan);
        if let Some(column) = columns.iter().find(none) {
            let message =
                format!("{which} table, column `{}`, row {row}: the key has no value", column.name());
            return Err(Error::invalid(OP, "keys", message).with("column", column.name()).with("row", row));
        }
        let digest = hasher.digest(row);
        if let Some(other) = seen.insert(digest, row) {
            let values: Vec<String> = columns.iter().map(|c| shown(c, row)).collect();
            let message = format!("{which} table, rows {other} and {row}: one key is in two rows");
            return Err(Error::invalid(OP, "keys", message).with("key", values.join(", ")).with("row", row));
        }
        Ok(digest)
    };
    (0..table.rows()).map(key).collect()
}

/// The difference of two trees of files.
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileDiff {
    /// Files that are new, sorted by path.
    pub added: Vec<Entry>,
    /// Files that are gone, sorted by path.
    pub removed: Vec<Entry>,
    /// Files with other content under the same path, sorted by path.
    pub changed: Vec<FileChange>,
    /// How many files are as they were.
    pub unchanged: u64,
}

/// A file with other content.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileChange {
    /// Its path.
    pub path: RelPath,
    /// The digest it had.
    pub from: Digest,
    /// The digest it has.
    pub to: Digest,
    /// The bytes it had.
    pub from_size: u64,
    /// The bytes it has.
    pub to_size: u64,
}

impl FileDiff {
    /// Whether the trees are the same.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.changed.is_empty()
    }
}

impl fmt::Display for FileDiff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [added, removed, changed] = [self.added.len(), self.removed.len(), self.changed.len()];
        write!(f, "files: {added} added, {removed} removed, {changed} changed, {} unchanged", self.unchanged)
    }
}

/// Compares two trees file by file; reads no content.
///
/// ```
/// use mlops_core::artifact::{Entry, Manifest};
/// use mlops_core::data::diff_manifests;
/// use mlops_core::{RelPath, hash::Digest};
///
/// let file = |path, content: &[u8]| -> Result<Entry, mlops_core::Error> {
///     Ok(Entry { path: RelPath::new(path)?, digest: Digest::of(content), size: content.len() as u64 })
/// };
/// let old = Manifest::new(vec![file("2025.csv", b"1")?, file("notes.md", b"a")?])?;
/// let new = Manifest::new(vec![file("2025.csv", b"1")?, file("2026.csv", b"2")?, file("notes.md", b"bc")?])?;
/// let diff = diff_manifests(&old, &new);
/// assert_eq!(diff.to_string(), "files: 1 added, 0 removed, 1 changed, 1 unchanged");
/// assert_eq!(diff.changed[0].path.as_str(), "notes.md");
/// # Ok::<(), mlops_core::Error>(())
/// ```
pub fn diff_manifests(old: &Manifest, new: &Manifest) -> FileDiff {
    let missing_in = |these: &Manifest, those: &Manifest| -> Vec<Entry> {
        these.entries().iter().filter(|entry| those.get(&entry.path).is_none()).cloned().collect()
    };
    let pairs = || old.entries().iter().filter_map(|from| new.get(&from.path).map(|to| (from, to)));
    let change = |(from, to): (&Entry, &Entry)| FileChange {
        path: from.path.clone(),
        from: from.digest,
        to: to.digest,
        from_size: from.size,
        to_size: to.size,
    };
    let differs = |(from, to): &(&Entry, &Entry)| (from.digest, from.size) != (to.digest, to.size);
    FileDiff {
        added: missing_in(new, old),
        removed: missing_in(old, new),
        changed: pairs().filter(differs).map(change).collect(),
        unchanged: pairs().filter(|pair| !differs(pair)).count() as u64,
    }
}

/// Whether two things are the same, as far as is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sameness {
    /// They are.
    Same,
    /// They are not.
    Different,
    /// One of them was not stated.
    Unknown,
}

impl Sameness {
    fn of<T: PartialEq>(old: Option<T>, new: Option<T>) -> Self {
        match old.zip(new) {
            None => Self::Unknown,
            Some((old, new)) if old == new => Self::Same,
            Some(_) => Self::Different,
        }
    }
}

impl fmt::Display for Sameness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Same => "same",
            Self::Different => "different",
            Self::Unknown => "unknown",
        })
    }
}

/// The difference of two versions of data: what [`diff_assets`] finds without reading rows, and the rows where somebody
/// compared them.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DataDiff {
    /// The old version.
    pub from: DataRef,
    /// The new version.
    pub to: DataRef,
    /// Whether every byte is the same.
    pub bytes: Sameness,
    /// Whether the columns are the same, by [`NewDataAsset::schema`](super::NewDataAsset::schema).
    pub schema: Sameness,
    /// Whether the rows are the same in any order, by [`NewDataAsset::content`](super::NewDataAsset::content).
    pub content: Sameness,
    /// The numbers of rows, old and new, where both are stated.
    pub rows: Option<(u64, u64)>,
    /// The files, where both versions lie in the artifact store.
    pub files: Option<FileDiff>,
    /// Columns and rows, where they were compared.
    pub table: Option<TableDiff>,
}

impl DataDiff {
    /// Compares what two versions state of themselves; reads nothing.
    pub fn of_assets(old: &DataAsset, new: &DataAsset) -> Self {
        let (from, to) = (&old.spec, &new.spec);
        Self {
            from: old.reference(),
            to: new.reference(),
            bytes: Sameness::of(Some(from.digest), Some(to.digest)),
            schema: Sameness::of(from.schema, to.schema),
            content: Sameness::of(from.content, to.content),
            rows: from.rows.zip(to.rows),
            files: None,
            table: None,
        }
    }

    /// Adds what happened to the files.
    #[must_use]
    pub fn with_files(mut self, files: FileDiff) -> Self {
        self.files = Some(files);
        self
    }

    /// Adds what happened to columns and rows.
    #[must_use]
    pub fn with_table(mut self, table: TableDiff) -> Self {
        self.table = Some(table);
        self
    }
}

impl fmt::Display for DataDiff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, to, bytes, schema, content, .. } = self;
        write!(f, "{from} → {to}: bytes {bytes}, schema {schema}, content {content}")?;
        if let Some((old, new)) = self.rows {
            write!(f, "; {old} → {new} rows")?;
        }
        if let Some(files) = &self.files {
            write!(f, "; {files}")?;
        }
        if let Some(table) = &self.table {
            write!(f, "; {table}")?;
        }
        Ok(())
    }
}

/// Compares two versions by what they state and by the files of their manifests; reads no file but the manifests, and these only
/// where both lie in the artifact store and are not the same.
///
/// Versions may be of different assets. The rows are compared by [`diff_tables`] and added by [`DataDiff::with_table`].
///
/// # Errors
/// What [`ArtifactStore::tree`] returns for a manifest that is gone or damaged, with the version.
///
/// ```
/// use std::sync::Arc;
/// use mlops_core::artifact::ArtifactStoreExt as _;
/// use mlops_core::data::{AssetKind, DataAssetStore as _, NewDataAsset, Sameness, diff_assets};
/// use mlops_core::memory::{MemoryArtifactStore, MemoryDataAssetStore};
/// use mlops_core::time::SystemClock;
/// use mlops_core::{ActorId, AssetName, RelPath};
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let artifacts = Arc::new(MemoryArtifactStore::default());
/// let store = MemoryDataAssetStore::new(artifacts.clone(), Arc::new(SystemClock::new()));
/// let (name, actor) = (AssetName::new("patients")?, ActorId::new("ingest")?);
/// let mut versions = Vec::new();
/// for rows in ["x\n1\n", "x\n1\n2\n"] {
///     let file = (RelPath::new("rows.csv")?, rows.as_bytes().to_vec().into());
///     let (tree, _) = artifacts.put_files(&[file]).await?;
///     let new = NewDataAsset::stored(name.clone(), AssetKind::Table, tree.digest, actor.clone());
///     versions.push(store.register(&new).await?);
/// }
/// let diff = diff_assets(&*artifacts, &versions[0], &versions[1]).await?;
/// assert_eq!(diff.bytes, Sameness::Different);
/// assert_eq!(diff.files.map(|files| files.changed.len()), Some(1));
/// # Ok::<(), mlops_core::Error>(()) })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub async fn diff_assets(
    artifacts: &dyn ArtifactStore,
    old: &DataAsset,
    new: &DataAsset,
) -> Result<DataDiff> {
    let diff = DataDiff::of_assets(old, new);
    let stored = |asset: &DataAsset| asset.spec.location == Location::Stored;
    if !stored(old) || !stored(new) {
        return Ok(diff);
    }
    let before = tree(artifacts, old).await?;
    let files = match diff.bytes {
        Sameness::Same => FileDiff { unchanged: before.entries().len() as u64, ..FileDiff::default() },
        _ => diff_manifests(&before, &tree(artifacts, new).await?),
    };
    Ok(diff.with_files(files))
}

async fn tree(artifacts: &dyn ArtifactStore, asset: &DataAsset) -> Result<Manifest> {
    artifacts.tree(&asset.spec.digest).await.map_err(|e| e.with("asset", asset.reference()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;
    use crate::artifact::ArtifactStoreExt as _;
    use crate::data::{AssetKind, NewDataAsset, parse_csv};
    use crate::id::{ActorId, AssetName, Version};
    use crate::memory::MemoryArtifactStore;
    use proptest::prelude::*;

    fn csv(text: &str) -> Table<'static> {
        parse_csv(text.as_bytes(), &Default::default()).unwrap()
    }

    fn keyed(keys: &[&str]) -> DiffOptions {
        DiffOptions::default().with_keys(keys.iter().copied())
    }

    fn wholes(old: &str, new: &str) -> TableDiff {
        diff_tables(&csv(old), &csv(new), &DiffOptions::default()).unwrap()
    }

    #[test]
    fn rows_are_compared_as_a_multiset_in_any_order() {
        let diff = wholes("x,y\n1,a\n1,a\n1,a\n2,b\n,\n", "x,y\n,\n2,b\n3,c\n1,a\n2,b\n");
        assert_eq!((diff.unchanged, diff.removed, diff.added, diff.changed), (3, 2, 2, 0));
        assert_eq!((diff.removed_rows, diff.added_rows), (vec![1, 2], vec![2, 4]));
        let same = wholes("x,y\n1,a\n2,b\n", "y,x\nb,2\na,1\n");
        assert!(same.schema.reordered && same.added == 0 && same.removed == 0 && same.unchanged == 2);
        assert!(wholes("x,y\n1,a\n2,b\n", "x,y\n2,b\n1,a\n").is_empty());
    }

    #[test]
    fn a_new_column_does_not_change_every_row_but_another_type_does() {
        let more = wholes("x\n1\n2\n", "x,y\n1,a\n3,b\n");
        assert_eq!((more.unchanged, more.removed, more.added), (1, 1, 1));
        assert_eq!((more.compared, more.schema.added.len()), (vec!["x".to_owned()], 1));
        let floats = wholes("x\n1\n2\n", "x\n1.0\n2.0\n");
        assert_eq!((floats.unchanged, floats.removed, floats.added), (0, 2, 2));
        let nothing_common = wholes("x\n1\n2\n", "y\n1\n");
        assert_eq!((nothing_common.unchanged, nothing_common.removed, nothing_common.added), (0, 2, 1));
        assert_eq!((nothing_common.removed_rows, nothing_common.added_rows), (vec![0, 1], vec![0]));
    }

    #[test]
    fn rows_of_one_key_are_one_row_and_their_changes_are_counted_by_column() {
        let old = csv("id,site,a,b\n1,x,1.5,u\n2,x,nan,v\n1,y,,w\n3,x,0.5,z\n");
        let new = csv("b,id,a,site\nU,1,1.5,x\nv,2,nan,x\nW,1,2.5,y\nn,4,0.5,x\n");
        let diff = diff_tables(&old, &new, &keyed(&["id", "site"])).unwrap();
        assert_eq!((diff.unchanged, diff.changed, diff.removed, diff.added), (1, 2, 1, 1));
        assert_eq!(diff.changed_columns, BTreeMap::from([("a".to_owned(), 1), ("b".to_owned(), 2)]));
        assert_eq!((&diff.removed_rows[..], &diff.added_rows[..]), (&[3][..], &[3][..]));
        let changed = |old, new, columns: &[&str]| {
            let columns = columns.iter().map(|c| (*c).to_owned()).collect();
            ChangedRow { old, new, columns }
        };
        assert_eq!(diff.changed_rows, [changed(0, 0, &["b"]), changed(2, 2, &["a", "b"])]);
        let text = serde_json::to_string(&diff).unwrap();
        assert_eq!(serde_json::from_str::<TableDiff>(&text).unwrap(), diff);
    }

    #[test]
    fn samples_are_bounded_and_counts_are_not() {
        let column = |range: std::ops::Range<i64>| {
            Table::new(vec![Column::i64("x", range.collect::<Vec<_>>()).unwrap()]).unwrap()
        };
        for (samples, listed) in [(0, 0), (3, 3), (1_000, 500)] {
            for keys in [&[][..], &["x"]] {
                let options = keyed(keys).with_samples(samples);
                let diff = diff_tables(&column(0..1_000), &column(500..1_500), &options).unwrap();
                assert_eq!((diff.added, diff.removed, diff.unchanged), (500, 500, 500));
                assert_eq!((diff.added_rows.len(), diff.removed_rows.len()), (listed, listed));
            }
        }
        let error = diff_tables(&column(0..1), &column(0..1), &keyed(&[]).with_samples(1_001)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::LimitExceeded);
    }

    #[test]
    fn keys_that_name_no_row_or_two_are_refused() {
        let good = csv("id,x\n1,1.5\n2,2.5\n");
        for (bad, keys, kind, says) in [
            (csv("id,x\n1,1.5\n1,2.5\n"), vec!["id"], ErrorKind::InvalidInput, "rows 0 and 1"),
            (csv("id,x\n1,1.5\n,2.5\n"), vec!["id"], ErrorKind::InvalidInput, "row 1: the key has no value"),
            (csv("id,x\n1,1.5\n2,nan\n"), vec!["id", "x"], ErrorKind::InvalidInput, "column `x`"),
            (csv("id,x\n1,1.5\n"), vec!["nobody"], ErrorKind::NotFound, "no such column"),
            (csv("x\n1.5\n"), vec!["id"], ErrorKind::NotFound, "no such column"),
        ] {
            let old = diff_tables(&bad, &good, &keyed(&keys)).unwrap_err();
            let new = diff_tables(&good, &bad, &keyed(&keys)).unwrap_err();
            for error in [old, new] {
                assert_eq!(error.kind(), kind, "{error}");
                assert!(error.message().contains(says), "{error}");
            }
        }
        assert!(diff_tables(&Table::default(), &good, &keyed(&[])).is_err());
    }

    fn entry(path: &str, content: &str) -> Entry {
        Entry {
            path: RelPath::new(path).unwrap(),
            digest: Digest::of(content.as_bytes()),
            size: content.len() as u64,
        }
    }

    #[test]
    fn files_are_told_apart_by_path_and_content() {
        let manifest = |files: &[(&str, &str)]| {
            Manifest::new(files.iter().map(|(path, content)| entry(path, content)).collect()).unwrap()
        };
        let old = manifest(&[("a", "bc"), ("keep", "1"), ("x/y", "1")]);
        let new = manifest(&[("ab", "c"), ("keep", "1"), ("x/y", "2"), ("xy", "1")]);
        let diff = diff_manifests(&old, &new);
        assert_eq!(diff.added, [entry("ab", "c"), entry("xy", "1")]);
        assert_eq!((diff.removed.as_slice(), diff.unchanged), (&[entry("a", "bc")][..], 1));
        let [change] = &diff.changed[..] else { panic!("{diff:?}") };
        assert_eq!(
            (change.path.as_str(), change.from, change.to),
            ("x/y", Digest::of(b"1"), Digest::of(b"2"))
        );
        assert!(diff_manifests(&old, &old).is_empty());
    }

    #[tokio::test]
    async fn versions_are_compared_by_what_they_state_and_by_their_manifests() {
        let artifacts = MemoryArtifactStore::default();
        let version = async |text: &str, number: u64| {
            let files = [("rows.csv", text), ("notes.md", "same")];
            let files =
                files.map(|(path, text)| (RelPath::new(path).unwrap(), text.as_bytes().to_vec().into()));
            let (tree, _) = artifacts.put_files(&files).await.unwrap();
            let actor = ActorId::new("ingest").unwrap();
            let new = NewDataAsset::stored(
                AssetName::new("patients").unwrap(),
                AssetKind::Table,
                tree.digest,
                actor,
            );
            DataAsset::new(new, Version::new(number).unwrap(), chrono::DateTime::UNIX_EPOCH)
        };
        let (mut one, mut two) = (version("x\n1\n2\n", 1).await, version("x\n2\n1\n", 2).await);
        one.spec = one.spec.with_table(&csv("x\n1\n2\n")).unwrap();
        two.spec = two.spec.with_table(&csv("x\n2\n1\n")).unwrap();
        let diff = diff_assets(&artifacts, &one, &two).await.unwrap();
        assert_eq!(
            (diff.bytes, diff.schema, diff.content),
            (Sameness::Different, Sameness::Same, Sameness::Same)
        );
        assert_eq!(
            diff.to_string(),
            "patients:1 → patients:2: bytes different, schema same, content same; 2 → 2 rows; \
             files: 0 added, 0 removed, 1 changed, 1 unchanged"
        );
        let text = serde_json::to_string(&diff).unwrap();
        assert_eq!(serde_json::from_str::<DataDiff>(&text).unwrap(), diff);

        let same = diff_assets(&artifacts, &one, &one).await.unwrap();
        assert_eq!(same.files, Some(FileDiff { unchanged: 2, ..FileDiff::default() }));
        two.spec.content = None;
        assert_eq!(diff_assets(&artifacts, &one, &two).await.unwrap().content, Sameness::Unknown);
        artifacts.damage(&two.spec.digest);
        let error = diff_assets(&artifacts, &one, &two).await.unwrap_err();
        assert_eq!(error.context("asset"), Some("patients:2"));
        two.spec.location = Location::External("https://host/data".to_owned());
        assert_eq!(diff_assets(&artifacts, &one, &two).await.unwrap().files, None);
    }

    proptest! {
        /// Against a plain definition: multisets as sorted lists.
        #[test]
        fn counts_are_those_of_the_multisets(
            old in prop::collection::vec(0..5_i64, 1..20), new in prop::collection::vec(0..5_i64, 1..20),
        ) {
            let table = |values: &[i64]| Table::new(vec![Column::i64("x", values.to_vec()).unwrap()]).unwrap();
            let diff = diff_tables(&table(&old), &table(&new), &DiffOptions::default()).unwrap();
            let count = |values: &[i64], x: i64| values.iter().filter(|v| **v == x).count();
            let common: usize = (0..5).map(|x| count(&old, x).min(count(&new, x))).sum();
            prop_assert_eq!(diff.unchanged, common as u64);
            prop_assert_eq!(diff.removed, (old.len() - common) as u64);
            prop_assert_eq!(diff.added, (new.len() - common) as u64);
            let is_same = super::super::content_digest(&table(&old)) == super::super::content_digest(&table(&new));
            prop_assert_eq!(diff.is_empty(), is_same);
        }
    }
}
