//! The rows of each part, with what identifies them.

use std::collections::{BTreeMap, HashSet};

use serde::{Deserialize, Serialize};

use super::summary::{PartSummary, Summariser};
use super::{Fractions, Method, Part, Split};
use crate::data::Table;
use crate::error::{Error, ErrorKind, Result};
use crate::hash::{Digest, Hasher};

/// How many rows each part has.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sizes {
    /// For training.
    pub train: usize,
    /// For validation; `None` when there is no such part.
    pub validation: Option<usize>,
    /// For the test.
    pub test: usize,
    /// In no part: left out by a gap, or not chosen.
    pub dropped: usize,
}

/// What identifies a split: enough to make it again, and to tell whether it is the same.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SplitManifest {
    /// The version of this manifest's shape: 1.
    pub schema_version: u32,
    /// Method and seed. For a predefined split, fractions are those that came out.
    pub split: Split,
    /// The number of rows of the table that was split.
    pub rows: usize,
    /// How many rows each part has.
    pub sizes: Sizes,
    /// The digest of the rows of each part.
    pub digest: Digest,
    /// What the rows of each part are like: how many, which classes, from when until when.
    #[serde(default)]
    pub parts: BTreeMap<Part, PartSummary>,
}

impl SplitManifest {
    /// Makes the split again from the table and compares: that the data, the settings and the rows are still those that
    /// belonged together.
    ///
    /// # Errors
    /// [`ErrorKind::Integrity`] when other rows come out, or rows that are not like those described; else as
    /// [`Split::apply`], which cannot make a predefined split: hold that one with [`Partition::verify`].
    ///
    /// ```
    /// use mlops_core::data::{Column, Fractions, Split, Table};
    /// let table = Table::new(vec![Column::text("sex", ["f", "m", "f", "m"])?])?;
    /// let manifest = Split::stratified("sex", Fractions::test(0.5)?, 7).apply(&table)?.manifest().clone();
    /// assert_eq!(manifest.verify(&table)?.test().len(), 2);
    /// let other = Table::new(vec![Column::text("sex", ["f", "m", "m", "m"])?])?;
    /// assert!(manifest.verify(&other).is_err());
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn verify(&self, table: &Table<'_>) -> Result<Partition> {
        let again = self.split.apply(table)?;
        same(self, &again.manifest)?;
        Ok(again)
    }
}

/// That what was found is what was stated.
fn same(stated: &SplitManifest, found: &SplitManifest) -> Result<()> {
    if stated == found {
        return Ok(());
    }
    let what = match () {
        () if stated.rows != found.rows => "the table has another number of rows",
        () if stated.digest != found.digest => "other rows come out",
        () if stated.parts != found.parts => "the rows are not like those described",
        () => "the manifest does not describe the rows",
    };
    Err(Error::new(ErrorKind::Integrity, "SplitManifest::verify", what)
        .with("expected", stated.digest)
        .with("found", found.digest))
}

/// The rows of each part, in ascending order; no row is in two parts and none of the parts is empty.
///
/// Serialises with its manifest, and is checked against it when read.
///
/// ```
/// use mlops_core::data::{Column, Fractions, Partition, Split, Table};
///
/// let table = Table::new(vec![Column::f64("x", vec![0.0; 10])?])?;
/// let split = Split::holdout(Fractions::validation_test(0.1, 0.2)?, 42);
/// let parts = split.apply(&table)?;
/// assert_eq!((parts.train().len(), parts.validation().map(<[_]>::len), parts.test().len()), (7, Some(1), 2));
/// assert_eq!(split.apply(&table)?.manifest().digest, parts.manifest().digest);
///
/// let stored = serde_json::to_string(&parts)?;
/// assert_eq!(serde_json::from_str::<Partition>(&stored)?, parts);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "PartitionWire", into = "PartitionWire")]
pub struct Partition {
    manifest: SplitManifest,
    train: Vec<usize>,
    validation: Option<Vec<usize>>,
    test: Vec<usize>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PartitionWire {
    manifest: SplitManifest,
    train: Vec<usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    validation: Option<Vec<usize>>,
    test: Vec<usize>,
}

impl From<Partition> for PartitionWire {
    fn from(p: Partition) -> Self {
        Self { manifest: p.manifest, train: p.train, validation: p.validation, test: p.test }
    }
}

impl TryFrom<PartitionWire> for Partition {
    type Error = Error;

    fn try_from(wire: PartitionWire) -> Result<Self> {
        let stated = wire.manifest;
        let mut built =
            Self::build(stated.rows, stated.split.clone(), wire.train, wire.validation, wire.test)?;
        // Classes and times can be held against the table only; the counts must fit already.
        let fits = stated.parts.is_empty()
            || built
                .parts()
                .all(|(part, rows)| stated.parts.get(&part).is_some_and(|s| s.rows == rows.len()));
        if fits {
            built.manifest.parts.clone_from(&stated.parts);
        }
        if built.manifest != stated {
            let message = "the manifest does not describe the rows";
            return Err(Error::new(ErrorKind::Integrity, "Partition::read", message)
                .with("expected", stated.digest)
                .with("found", built.manifest.digest));
        }
        Ok(built)
    }
}

impl Partition {
    /// Rows chosen elsewhere, of a table with `rows` rows; in any order.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for an empty part, a row beyond the end and a row that
    /// comes twice, in one part or in two.
    ///
    /// ```
    /// use mlops_core::data::Partition;
    /// assert_eq!(Partition::predefined(5, vec![3, 0], None, vec![4])?.train(), [0, 3]);
    /// assert!(Partition::predefined(5, vec![0, 1], None, vec![1]).is_err());
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn predefined(
        rows: usize,
        train: Vec<usize>,
        validation: Option<Vec<usize>>,
        test: Vec<usize>,
    ) -> Result<Self> {
        let used = train.len() + validation.as_ref().map_or(0, Vec::len) + test.len();
        let share = |part: usize| part as f64 / used.max(1) as f64;
        // An empty part has no fraction; that it is empty is reported as such.
        check_parts(rows, &train, validation.as_deref(), &test)?;
        let fractions = Fractions::checked(validation.as_ref().map(|v| share(v.len())), share(test.len()))?;
        let split = Split { method: Method::Predefined, fractions, seed: 0, classes: None, times: None };
        Self::build(rows, split, train, validation, test)
    }

    /// Describes the rows of each part in the manifest: the classes of one column, the times of another.
    ///
    /// [`Split::apply`] does so by itself; this is for rows chosen elsewhere.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] for an unknown column; [`ErrorKind::InvalidInput`] when the table has another number of rows,
    /// and for times that are missing or not finite, or no times.
    ///
    /// ```
    /// use mlops_core::data::{Column, Part, Partition, Table};
    /// let table = Table::new(vec![Column::i64("day", vec![3, 1, 2])?])?;
    /// let parts = Partition::predefined(3, vec![1, 2], None, vec![0])?.described(&table, None, Some("day"))?;
    /// let times = parts.manifest().parts[&Part::Train].times.clone().ok_or("no times")?;
    /// assert_eq!((times.first.as_str(), times.last.as_str()), ("1", "2"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn described(
        mut self,
        table: &Table<'_>,
        classes: Option<&str>,
        times: Option<&str>,
    ) -> Result<Self> {
        self.manifest.split.classes = classes.map(str::to_owned);
        self.manifest.split.times = times.map(str::to_owned);
        self.describe("Partition::described", table)
    }

    pub(super) fn describe(mut self, operation: &'static str, table: &Table<'_>) -> Result<Self> {
        self.check_rows(operation, table)?;
        let view = Table::from(table);
        let (classes, times) = self.manifest.split.described_by();
        let summariser = Summariser::new(operation, &view, classes, times)?;
        let parts = self.parts().map(|(part, rows)| (part, summariser.of(rows))).collect();
        self.manifest.parts = parts;
        Ok(self)
    }

    /// Holds the manifest against the table: the number of rows, and classes and times of each part where it states them.
    /// Whether the method would choose these rows again is [`SplitManifest::verify`]'s question.
    ///
    /// # Errors
    /// [`ErrorKind::Integrity`] when the table is another one; else as [`Partition::described`].
    pub fn verify(&self, table: &Table<'_>) -> Result<()> {
        self.check_rows("Partition::verify", table)?;
        let mut found = self.clone().describe("Partition::verify", table)?;
        if self.manifest.parts.is_empty() {
            found.manifest.parts.clear();
        }
        same(&self.manifest, &found.manifest)
    }

    pub(super) fn build(
        rows: usize,
        split: Split,
        mut train: Vec<usize>,
        mut validation: Option<Vec<usize>>,
        mut test: Vec<usize>,
    ) -> Result<Self> {
        check_parts(rows, &train, validation.as_deref(), &test)?;
        train.sort_unstable();
        validation.iter_mut().for_each(|v| v.sort_unstable());
        test.sort_unstable();
        let used = train.len() + validation.as_ref().map_or(0, Vec::len) + test.len();
        let sizes = Sizes {
            train: train.len(),
            validation: validation.as_ref().map(Vec::len),
            test: test.len(),
            dropped: rows - used,
        };
        let digest = digest(rows, &train, validation.as_deref(), &test);
        let manifest =
            SplitManifest { schema_version: 1, split, rows, sizes, digest, parts: BTreeMap::new() };
        Ok(Self { manifest, train, validation, test })
    }

    /// The rows for training.
    pub fn train(&self) -> &[usize] {
        &self.train
    }

    /// The rows for validation, if there is such a part.
    pub fn validation(&self) -> Option<&[usize]> {
        self.validation.as_deref()
    }

    /// The rows for the test.
    pub fn test(&self) -> &[usize] {
        &self.test
    }

    /// The parts there are and their rows, in the order train, validation, test.
    pub fn parts(&self) -> impl Iterator<Item = (Part, &[usize])> {
        let validation = self.validation.as_deref().map(|rows| (Part::Validation, rows));
        let all = [Some((Part::Train, self.train.as_slice())), validation, Some((Part::Test, &self.test))];
        all.into_iter().flatten()
    }

    /// What identifies the split.
    pub fn manifest(&self) -> &SplitManifest {
        &self.manifest
    }

    /// The rows of one part.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) when the table has another number of rows than the one
    /// that was split; [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) for a validation part that is not there.
    pub fn table(&self, table: &Table<'_>, part: Part) -> Result<Table<'static>> {
        self.check_rows("Partition::table", table)?;
        let rows = self.parts().find(|(p, _)| *p == part).map(|(_, rows)| rows);
        table.take(rows.ok_or_else(|| Error::not_found("Partition::table", "part", part))?)
    }

    pub(in crate::data) fn check_rows(&self, operation: &'static str, table: &Table<'_>) -> Result<()> {
        if table.rows() == self.manifest.rows {
            return Ok(());
        }
        let message =
            format!("has {} rows, but the table that was split has {}", table.rows(), self.manifest.rows);
        Err(Error::invalid(operation, "table", message))
    }
}

fn check_parts(rows: usize, train: &[usize], validation: Option<&[usize]>, test: &[usize]) -> Result<()> {
    const OP: &str = "Partition::predefined";
    let mut used = HashSet::new();
    let validation = validation.map(|rows| (Part::Validation, rows));
    for (part, list) in
        [Some((Part::Train, train)), validation, Some((Part::Test, test))].into_iter().flatten()
    {
        if list.is_empty() {
            return Err(Error::invalid(OP, part.as_str(), "must not be empty"));
        }
        for &row in list {
            if row >= rows {
                let message = format!("has row {row}, but there are {rows} rows");
                return Err(Error::invalid(OP, part.as_str(), message));
            }
            if !used.insert(row) {
                let message = format!("has row {row}, which was taken already");
                return Err(Error::invalid(OP, part.as_str(), message));
            }
        }
    }
    Ok(())
}

/// The identity of a partition: the number of rows, then for each part its name and its rows in ascending order.
fn digest(rows: usize, train: &[usize], validation: Option<&[usize]>, test: &[usize]) -> Digest {
    let mut hasher = Hasher::new("mlops.split/v1").field((rows as u64).to_le_bytes());
    for (part, list) in [(Part::Train, Some(train)), (Part::Validation, validation), (Part::Test, Some(test))]
    {
        let Some(list) = list else { continue };
        let bytes: Vec<u8> = list.iter().flat_map(|&row| (row as u64).to_le_bytes()).collect();
        hasher.push(part.as_str().as_bytes());
        hasher.push(&bytes);
    }
    hasher.finish()
}
