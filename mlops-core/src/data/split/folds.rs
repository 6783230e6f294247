//! Folds, with what identifies them.

use serde::{Deserialize, Serialize};

use super::cross_validation::{CrossValidation, FoldMethod, Made};
use super::partition::Partition;
use super::summary::{PartSummary, Summariser};
use crate::data::Table;
use crate::error::{Error, ErrorKind, Result};
use crate::hash::{Digest, Hasher};

/// One set of rows to learn from and one to test on, both in ascending order, with no row in common.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fold {
    pub(super) train: Vec<usize>,
    pub(super) test: Vec<usize>,
    #[serde(default)]
    pub(super) purged: usize,
    #[serde(default)]
    pub(super) embargoed: usize,
}

impl Fold {
    /// The rows to learn from.
    pub fn train(&self) -> &[usize] {
        &self.train
    }

    /// The rows to test on.
    pub fn test(&self) -> &[usize] {
        &self.test
    }

    /// How many rows were left out of training because their labels meet those of the test.
    pub fn purged(&self) -> usize {
        self.purged
    }

    /// How many rows were left out of training because they follow the test too soon.
    pub fn embargoed(&self) -> usize {
        self.embargoed
    }

    /// The first part, test before train, that has no rows.
    pub(super) fn empty_part(&self) -> Option<&'static str> {
        let mut parts = [("test", &self.test), ("train", &self.train)].into_iter();
        parts.find(|(_, rows)| rows.is_empty()).map(|(part, _)| part)
    }
}

/// What one fold is like.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FoldSummary {
    /// The rows to learn from.
    pub train: PartSummary,
    /// The rows to test on.
    pub test: PartSummary,
    /// Rows left out because their labels meet those of the test.
    #[serde(default)]
    pub purged: usize,
    /// Rows left out because they follow the test too soon.
    #[serde(default)]
    pub embargoed: usize,
}

/// What identifies folds: enough to make them again, and to tell whether they are the same.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FoldsManifest {
    /// The version of this manifest's shape: 1.
    pub schema_version: u32,
    /// How they were made.
    pub method: CrossValidation,
    /// The number of rows of the table.
    pub rows: usize,
    /// What each fold is like: rows, classes, times.
    pub folds: Vec<FoldSummary>,
    /// The digest of the rows of every fold.
    pub digest: Digest,
}

impl FoldsManifest {
    /// Makes the folds again from the table and compares: that data, settings and rows are still those that belonged
    /// together.
    ///
    /// # Errors
    /// [`ErrorKind::Integrity`] when other rows come out, or rows that are not like those described; else as
    /// [`CrossValidation::apply`].
    ///
    /// ```
    /// use mlops_core::data::{Column, CrossValidation, Table};
    /// let table = Table::new(vec![Column::text("sex", ["f", "m", "f", "m"])?])?;
    /// let manifest = CrossValidation::stratified("sex", 2).apply(&table)?.manifest().clone();
    /// assert_eq!(manifest.verify(&table)?.folds().len(), 2);
    /// let other = Table::new(vec![Column::text("sex", ["f", "f", "m", "m"])?])?;
    /// assert!(manifest.verify(&other).is_err());
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn verify(&self, table: &Table<'_>) -> Result<Folds> {
        let again = self.method.apply(table)?;
        same("FoldsManifest::verify", self, &again.manifest)?;
        Ok(again)
    }
}

fn same(operation: &'static str, stated: &FoldsManifest, found: &FoldsManifest) -> Result<()> {
    if stated == found {
        return Ok(());
    }
    let what = match () {
        () if stated.rows != found.rows => "the table has another number of rows",
        () if stated.digest != found.digest => "other rows come out",
        () => "the rows are not like those described",
    };
    let error = Error::new(ErrorKind::Integrity, operation, what);
    Err(error.with("expected", stated.digest).with("found", found.digest))
}

/// The folds of a table.
///
/// Serialises with its manifest, and is checked against it when read: rows, counts and digest; classes and times are held
/// against the table by [`FoldsManifest::verify`].
///
/// ```
/// use mlops_core::data::{Column, CrossValidation, Folds, Table};
///
/// let table = Table::new(vec![Column::f64("x", vec![0.0; 7])?])?;
/// let folds = CrossValidation::kfold(3).apply(&table)?;
/// let tests: Vec<&[usize]> = folds.folds().iter().map(|fold| fold.test()).collect();
/// assert_eq!(tests, [&[0, 1, 2][..], &[3, 4], &[5, 6]]);
///
/// let stored = serde_json::to_string(&folds)?;
/// assert_eq!(serde_json::from_str::<Folds>(&stored)?, folds);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "FoldsWire", into = "FoldsWire")]
pub struct Folds {
    manifest: FoldsManifest,
    folds: Vec<Fold>,
    groups: Vec<Vec<usize>>,
    paths: Vec<Vec<usize>>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FoldsWire {
    manifest: FoldsManifest,
    folds: Vec<Fold>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    groups: Vec<Vec<usize>>,
}

impl From<Folds> for FoldsWire {
    fn from(folds: Folds) -> Self {
        Self { manifest: folds.manifest, folds: folds.folds, groups: folds.groups }
    }
}

impl TryFrom<FoldsWire> for Folds {
    type Error = Error;

    fn try_from(wire: FoldsWire) -> Result<Self> {
        const OP: &str = "Folds::read";
        let FoldsWire { manifest, folds, groups } = wire;
        for (number, fold) in folds.iter().enumerate() {
            check_rows(OP, manifest.rows, number, fold)?;
        }
        let counts = |(stated, fold): (&FoldSummary, &Fold)| {
            stated.train.rows == fold.train.len()
                && stated.test.rows == fold.test.len()
                && stated.purged == fold.purged
                && stated.embargoed == fold.embargoed
        };
        let found = digest(manifest.rows, &folds);
        let fits = manifest.folds.len() == folds.len() && manifest.folds.iter().zip(&folds).all(counts);
        if found != manifest.digest || !fits {
            let error = Error::new(ErrorKind::Integrity, OP, "the manifest does not describe the rows");
            return Err(error.with("expected", manifest.digest).with("found", found));
        }
        let paths = paths_of(OP, &manifest, &folds, &groups)?;
        Ok(Self { manifest, folds, groups, paths })
    }
}

/// That the rows of a fold are ascending, apart and within the table.
fn check_rows(operation: &'static str, rows: usize, number: usize, fold: &Fold) -> Result<()> {
    let refuse = |field, message: &str| Err(Error::invalid(operation, field, message).with("fold", number));
    for (field, list) in [("train", &fold.train), ("test", &fold.test)] {
        match list.last() {
            None => return refuse(field, "must not be empty"),
            Some(last) if *last >= rows => return refuse(field, "has a row beyond the end of the table"),
            Some(_) if list.windows(2).any(|pair| pair[0] >= pair[1]) => {
                return refuse(field, "must be in ascending order, each row once");
            }
            Some(_) => {}
        }
    }
    match fold.test.iter().any(|row| fold.train.binary_search(row).is_ok()) {
        true => refuse("test", "has rows that are learnt from"),
        false => Ok(()),
    }
}

/// The paths of combinatorial folds whose groups were read, once they fit: each fold tests the rows of its groups.
fn paths_of(
    operation: &'static str,
    manifest: &FoldsManifest,
    folds: &[Fold],
    groups: &[Vec<usize>],
) -> Result<Vec<Vec<usize>>> {
    let refuse = || Err(Error::invalid(operation, "groups", "do not make up what the folds test"));
    let FoldMethod::CombinatorialPurged { purged, .. } = manifest.method.method() else {
        return if groups.is_empty() { Ok(Vec::new()) } else { refuse() };
    };
    let choices = purged.choices()?;
    if choices.len() != folds.len() || groups.len() != purged.groups {
        return refuse();
    }
    for (fold, choice) in folds.iter().zip(&choices) {
        let mut rows: Vec<usize> = choice.iter().flat_map(|&group| groups[group].iter().copied()).collect();
        rows.sort_unstable();
        if rows != fold.test {
            return refuse();
        }
    }
    purged.paths()
}

/// The identity of folds: the number of rows, then for each fold the rows of training and of the test in ascending order.
fn digest(rows: usize, folds: &[Fold]) -> Digest {
    let mut hasher = Hasher::new("mlops.folds/v1").field((rows as u64).to_le_bytes());
    let mut bytes = Vec::new();
    for list in folds.iter().flat_map(|fold| [&fold.train, &fold.test]) {
        bytes.clear();
        list.iter().for_each(|&row| bytes.extend_from_slice(&(row as u64).to_le_bytes()));
        hasher.push(&bytes);
    }
    hasher.finish()
}

impl Folds {
    pub(super) fn build(
        operation: &'static str,
        method: CrossValidation,
        table: &Table<'_>,
        made: Made,
    ) -> Result<Self> {
        let Made { folds, groups, paths } = made;
        let view = Table::from(table);
        let (classes, times) = method.described_by();
        let summariser = Summariser::new(operation, &view, classes, times)?;
        let summary = |fold: &Fold| FoldSummary {
            train: summariser.of(&fold.train),
            test: summariser.of(&fold.test),
            purged: fold.purged,
            embargoed: fold.embargoed,
        };
        let manifest = FoldsManifest {
            schema_version: 1,
            folds: folds.iter().map(summary).collect(),
            rows: table.rows(),
            digest: digest(table.rows(), &folds),
            method,
        };
        Ok(Self { manifest, folds, groups, paths })
    }

    /// The folds, in order; repeat after repeat.
    pub fn folds(&self) -> &[Fold] {
        &self.folds
    }

    /// What identifies them.
    pub fn manifest(&self) -> &FoldsManifest {
        &self.manifest
    }

    /// The backtest paths of combinatorial folds: for each path, for each group in order of time, the fold that tests it.
    /// Empty for other methods.
    ///
    /// ```
    /// use mlops_core::data::{Column, CombinatorialPurged, CrossValidation, Table};
    /// let table = Table::new(vec![Column::i64("day", (0..8).collect::<Vec<_>>())?])?;
    /// let purged = CombinatorialPurged::new(4, 2);
    /// let folds = CrossValidation::combinatorial_purged("day", purged).apply(&table)?;
    /// assert_eq!(folds.paths(), [[0, 0, 1, 2], [1, 3, 3, 4], [2, 4, 5, 5]]);
    /// assert_eq!(folds.groups()[1], [2, 3]);
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn paths(&self) -> &[Vec<usize>] {
        &self.paths
    }

    /// The groups of combinatorial folds: the rows of each, in ascending order. Empty for other methods.
    pub fn groups(&self) -> &[Vec<usize>] {
        &self.groups
    }

    /// One fold as a partition of training and test, to be looked at for leaks.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] for a fold that is not there.
    ///
    /// ```
    /// use mlops_core::data::{Column, CrossValidation, LeakageInput, Table};
    /// let table = Table::new(vec![Column::i64("x", vec![1, 2, 3, 1])?])?;
    /// let folds = CrossValidation::kfold(2).apply(&table)?;
    /// assert!(!LeakageInput::new(&table, &folds.partition(0)?).check()?.is_clean());
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn partition(&self, fold: usize) -> Result<Partition> {
        let found = self.folds.get(fold).ok_or_else(|| Error::not_found("Folds::partition", "fold", fold))?;
        Partition::predefined(self.manifest.rows, found.train.clone(), None, found.test.clone())
    }
}
