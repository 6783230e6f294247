//! How to make folds.

use serde::{Deserialize, Serialize};

use super::combinatorial::CombinatorialPurged;
use super::folds::{Fold, Folds};
use super::kfold;
use super::summary::described_by;
use super::windows::TimeWindows;
use crate::data::Table;
use crate::error::{Error, Result};
use crate::num::Random;

pub(super) const OP: &str = "CrossValidation::apply";

/// The most folds.
pub(super) const MAX_FOLDS: usize = 10_000;

/// The most row numbers that all folds together may hold: 2 GiB of them.
const MAX_INDICES: usize = 1 << 28;

/// How rows are chosen; see the [functions of `CrossValidation`](CrossValidation).
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FoldMethod {
    /// Consecutive rows, or rows at random.
    KFold {
        /// How many folds.
        folds: usize,
    },
    /// Each class spread evenly.
    Stratified {
        /// The column of classes.
        column: String,
        /// How many folds.
        folds: usize,
    },
    /// Whole groups.
    Group {
        /// The column of groups.
        column: String,
        /// How many folds.
        folds: usize,
    },
    /// Whole groups, classes as even as they allow.
    StratifiedGroup {
        /// The column of classes.
        column: String,
        /// The column of groups.
        group: String,
        /// How many folds.
        folds: usize,
    },
    /// Windows of time.
    Time {
        /// The column of times.
        column: String,
        /// The windows.
        windows: TimeWindows,
    },
    /// Every choice of k of N stretches of time.
    CombinatorialPurged {
        /// The column of times.
        column: String,
        /// The stretches.
        purged: CombinatorialPurged,
    },
    /// As a column says.
    Predefined {
        /// The column of folds.
        column: String,
    },
    /// By a hash of a key.
    Hash {
        /// The column of keys.
        column: String,
        /// What sets these folds apart from others of the same keys.
        salt: String,
        /// How many folds.
        folds: usize,
    },
}

/// How to make folds: each is a set of rows to learn from and one to test on.
///
/// | method | the same as scikit-learn 1.9.1's | keeps |
/// |---|---|---|
/// | [`kfold`](Self::kfold) | `KFold` | nothing but the sizes |
/// | [`stratified`](Self::stratified) | `StratifiedKFold` | the classes |
/// | [`group`](Self::group) | `GroupKFold` | groups whole |
/// | [`stratified_group`](Self::stratified_group) | `StratifiedGroupKFold` | groups whole, the classes as far as they allow |
/// | [`time`](Self::time) | `TimeSeriesSplit`, but by the values of a column | the order of time |
/// | [`combinatorial_purged`](Self::combinatorial_purged) | – | labels apart in time |
/// | [`predefined`](Self::predefined) | `PredefinedSplit` | what a column says |
/// | [`hash`](Self::hash) | – | the fold of each row, whatever other rows come later |
///
/// "The same" holds without a seed, row by row; what a seed draws is this crate's own. Under a seed the first four can be
/// repeated.
///
/// ```
/// use mlops_core::data::{Column, CrossValidation, Table};
///
/// let table = Table::new(vec![Column::text("sex", ["f", "f", "m", "m", "m", "m"])?])?;
/// let folds = CrossValidation::stratified("sex", 2).with_shuffle(7).with_repeats(3).apply(&table)?;
/// assert_eq!(folds.folds().len(), 6);
/// assert!(folds.folds().iter().all(|fold| fold.test().iter().filter(|&&row| row < 2).count() == 1));
/// folds.manifest().verify(&table)?;
/// # Ok::<(), mlops_core::Error>(())
/// ```
///
/// As configuration it is `method` and what that method has: `folds`, `column`, `group`, `salt`, `windows`, `purged`; then
/// `seed` where rows are to be shuffled, `repeats`, and `classes` and `times` to describe the folds by.
///
/// ```
/// use std::time::Duration;
/// use mlops_core::data::{CrossValidation, TimeWindows};
/// let text = r#"{"method": "time", "column": "at", "windows": {"folds": 4, "test": "7d", "gap": "1d"}}"#;
/// let day = Duration::from_secs(86_400);
/// let windows = TimeWindows::new(4, 7 * day).with_gap(day);
/// assert_eq!(serde_json::from_str::<CrossValidation>(text)?, CrossValidation::time("at", windows));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "CrossValidationWire", into = "CrossValidationWire")]
pub struct CrossValidation {
    method: FoldMethod,
    seed: Option<u64>,
    repeats: usize,
    classes: Option<String>,
    times: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CrossValidationWire {
    method: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    folds: Option<usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    column: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    group: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    salt: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    windows: Option<TimeWindows>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    purged: Option<CombinatorialPurged>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    seed: Option<u64>,
    #[serde(default = "once", skip_serializing_if = "is_once")]
    repeats: usize,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    classes: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    times: Option<String>,
}

const fn once() -> usize {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
const fn is_once(repeats: &usize) -> bool {
    *repeats == 1
}

impl CrossValidationWire {
    fn of(method: &str, settings: CrossValidation) -> Self {
        Self {
            method: method.to_owned(),
            folds: None,
            column: None,
            group: None,
            salt: None,
            windows: None,
            purged: None,
            seed: settings.seed,
            repeats: settings.repeats,
            classes: settings.classes,
            times: settings.times,
        }
    }
}

impl From<CrossValidation> for CrossValidationWire {
    fn from(settings: CrossValidation) -> Self {
        let method = settings.method.clone();
        let wire = |name| Self::of(name, settings);
        match method {
            FoldMethod::KFold { folds } => Self { folds: Some(folds), ..wire("k_fold") },
            FoldMethod::Stratified { column, folds } => {
                Self { column: Some(column), folds: Some(folds), ..wire("stratified") }
            }
            FoldMethod::Group { column, folds } => {
                Self { column: Some(column), folds: Some(folds), ..wire("group") }
            }
            FoldMethod::StratifiedGroup { column, group, folds } => Self {
                column: Some(column),
                group: Some(group),
                folds: Some(folds),
                ..wire("stratified_group")
            },
            FoldMethod::Time { column, windows } => {
                Self { column: Some(column), windows: Some(windows), ..wire("time") }
            }
            FoldMethod::CombinatorialPurged { column, purged } => {
                Self { column: Some(column), purged: Some(purged), ..wire("combinatorial_purged") }
            }
            FoldMethod::Predefined { column } => Self { column: Some(column), ..wire("predefined") },
            FoldMethod::Hash { column, salt, folds } => {
                Self { column: Some(column), salt: Some(salt), folds: Some(folds), ..wire("hash") }
            }
        }
    }
}

impl TryFrom<CrossValidationWire> for CrossValidation {
    type Error = Error;

    fn try_from(wire: CrossValidationWire) -> Result<Self> {
        let CrossValidationWire { folds, column, group, salt, windows, purged, .. } = wire;
        let method = match (wire.method.as_str(), folds, column, group, salt, windows, purged) {
            ("k_fold", Some(folds), None, None, None, None, None) => FoldMethod::KFold { folds },
            ("stratified", Some(folds), Some(column), None, None, None, None) => {
                FoldMethod::Stratified { column, folds }
            }
            ("group", Some(folds), Some(column), None, None, None, None) => {
                FoldMethod::Group { column, folds }
            }
            ("stratified_group", Some(folds), Some(column), Some(group), None, None, None) => {
                FoldMethod::StratifiedGroup { column, group, folds }
            }
            ("time", None, Some(column), None, None, Some(windows), None) => {
                FoldMethod::Time { column, windows }
            }
            ("combinatorial_purged", None, Some(column), None, None, None, Some(purged)) => {
                FoldMethod::CombinatorialPurged { column, purged }
            }
            ("predefined", None, Some(column), None, None, None, None) => FoldMethod::Predefined { column },
            ("hash", Some(folds), Some(column), None, Some(salt), None, None) => {
                FoldMethod::Hash { column, salt, folds }
            }
            _ => {
                let message = "must be k_fold with folds; stratified or group with column and folds; stratified_group with \
                               column, group and folds; time with column and windows; combinatorial_purged with column and \
                               purged; predefined with column; or hash with column, salt and folds";
                return Err(Error::invalid("CrossValidation", "method", message).with("method", wire.method));
            }
        };
        let settings =
            Self { method, seed: wire.seed, repeats: wire.repeats, classes: wire.classes, times: wire.times };
        settings.check("CrossValidation")?;
        Ok(settings)
    }
}

/// Refuses more row numbers than all folds together may hold.
fn check_indices(rows: usize, folds: usize) -> Result<()> {
    match rows.saturating_mul(folds) {
        indices if indices > MAX_INDICES => Err(Error::limit(OP, "rows × folds", MAX_INDICES, indices)),
        _ => Ok(()),
    }
}

/// What a method makes.
pub(super) struct Made {
    pub(super) folds: Vec<Fold>,
    /// Of combinatorial folds: the rows of each group.
    pub(super) groups: Vec<Vec<usize>>,
    /// Of combinatorial folds: for each path, the fold that tests each group.
    pub(super) paths: Vec<Vec<usize>>,
}

impl CrossValidation {
    fn new(method: FoldMethod) -> Self {
        Self { method, seed: None, repeats: 1, classes: None, times: None }
    }

    /// Consecutive rows: each fold tests one stretch, the first `rows mod folds` one row longer. With a
    /// [seed](Self::with_shuffle), rows in random order.
    pub fn kfold(folds: usize) -> Self {
        Self::new(FoldMethod::KFold { folds })
    }

    /// Each class of `column` spread over the folds as evenly as can be. With a seed, the rows of a class at random.
    pub fn stratified(column: impl Into<String>, folds: usize) -> Self {
        Self::new(FoldMethod::Stratified { column: column.into(), folds })
    }

    /// Whole groups, the largest first, each to the fold that has the fewest rows. With a seed, in random order.
    pub fn group(column: impl Into<String>, folds: usize) -> Self {
        Self::new(FoldMethod::Group { column: column.into(), folds })
    }

    /// Whole groups of `group`, those of most uneven classes first, each to the fold that makes the classes of `column` most
    /// even. A fold may stay empty when there are few groups; that is an error. With a seed, groups as uneven as each other
    /// come in random order. At most 2·10⁹ for groups × folds × classes.
    pub fn stratified_group(column: impl Into<String>, group: impl Into<String>, folds: usize) -> Self {
        Self::new(FoldMethod::StratifiedGroup { column: column.into(), group: group.into(), folds })
    }

    /// Windows of time by the values of `column`.
    pub fn time(column: impl Into<String>, windows: TimeWindows) -> Self {
        Self::new(FoldMethod::Time { column: column.into(), windows })
    }

    /// Every choice of k of N stretches of time, with purge and embargo.
    pub fn combinatorial_purged(column: impl Into<String>, purged: CombinatorialPurged) -> Self {
        Self::new(FoldMethod::CombinatorialPurged { column: column.into(), purged })
    }

    /// As a column of whole numbers says: one fold a number, in ascending order; rows of −1 are in no test, and in all
    /// training.
    ///
    /// ```
    /// use mlops_core::data::{Column, CrossValidation, Table};
    /// let table = Table::new(vec![Column::i64("fold", vec![0, 1, -1, 1])?])?;
    /// let folds = CrossValidation::predefined("fold").apply(&table)?;
    /// assert_eq!((folds.folds()[1].test(), folds.folds()[1].train()), (&[1, 3][..], &[0, 2][..]));
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn predefined(column: impl Into<String>) -> Self {
        Self::new(FoldMethod::Predefined { column: column.into() })
    }

    /// By a hash of the key, as [`Split::hash`](super::Split::hash): bucket b of a million is in the test of fold
    /// ⌊b·folds/10⁶⌋.
    pub fn hash(column: impl Into<String>, salt: impl Into<String>, folds: usize) -> Self {
        Self::new(FoldMethod::Hash { column: column.into(), salt: salt.into(), folds })
    }

    /// Draws at random from this seed, where the method has something to draw.
    #[must_use]
    pub fn with_shuffle(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Makes all folds so many times, each time with other draws.
    #[must_use]
    pub fn with_repeats(mut self, repeats: usize) -> Self {
        self.repeats = repeats;
        self
    }

    /// Describes the folds in the manifest by the classes of this column; that of the method, where it has one, when not
    /// said.
    #[must_use]
    pub fn with_classes(mut self, column: impl Into<String>) -> Self {
        self.classes = Some(column.into());
        self
    }

    /// Describes the folds in the manifest by the first and last time of this column; that of the method, where it has one,
    /// when not said.
    #[must_use]
    pub fn with_times(mut self, column: impl Into<String>) -> Self {
        self.times = Some(column.into());
        self
    }

    /// How rows are chosen.
    pub fn method(&self) -> &FoldMethod {
        &self.method
    }

    /// The seed, if rows are shuffled.
    pub fn seed(&self) -> Option<u64> {
        self.seed
    }

    /// How many times all folds are made.
    pub fn repeats(&self) -> usize {
        self.repeats
    }

    /// The columns by which the manifest describes the folds.
    pub(super) fn described_by(&self) -> (Option<&str>, Option<&str>) {
        let of_method = match &self.method {
            FoldMethod::Stratified { column, .. } | FoldMethod::StratifiedGroup { column, .. } => {
                (Some(column), None)
            }
            FoldMethod::Time { column, .. } | FoldMethod::CombinatorialPurged { column, .. } => {
                (None, Some(column))
            }
            _ => (None, None),
        };
        described_by((&self.classes, &self.times), of_method)
    }

    /// The number of folds of one repeat, where it does not depend on the data.
    fn folds(&self) -> Result<Option<usize>> {
        match &self.method {
            FoldMethod::KFold { folds }
            | FoldMethod::Stratified { folds, .. }
            | FoldMethod::Group { folds, .. }
            | FoldMethod::StratifiedGroup { folds, .. }
            | FoldMethod::Hash { folds, .. } => Ok(Some(*folds)),
            FoldMethod::Time { windows, .. } => Ok(Some(windows.folds)),
            FoldMethod::CombinatorialPurged { purged, .. } => purged.folds().map(Some),
            FoldMethod::Predefined { .. } => Ok(None),
        }
    }

    /// Checks what does not depend on the data.
    fn check(&self, operation: &'static str) -> Result<()> {
        let least = if matches!(self.method, FoldMethod::Time { .. }) { 1 } else { 2 };
        let folds = self.folds()?.unwrap_or(least);
        if folds < least {
            return Err(Error::invalid(operation, "folds", format!("must be {least} at least, got {folds}")));
        }
        let random = matches!(
            self.method,
            FoldMethod::KFold { .. }
                | FoldMethod::Stratified { .. }
                | FoldMethod::Group { .. }
                | FoldMethod::StratifiedGroup { .. }
        );
        if self.seed.is_some() && !random {
            return Err(Error::invalid(operation, "seed", "is given, but this method draws nothing"));
        }
        if self.repeats != 1 && (self.repeats == 0 || self.seed.is_none()) {
            let message =
                format!("is {}: without a seed every repeat is the same, so it must be 1", self.repeats);
            return Err(Error::invalid(operation, "repeats", message));
        }
        match folds.checked_mul(self.repeats) {
            Some(all) if all <= MAX_FOLDS => Ok(()),
            _ => {
                Err(Error::limit(operation, "folds × repeats", MAX_FOLDS, folds.saturating_mul(self.repeats)))
            }
        }
    }

    /// Makes the folds of a table. O(folds × rows), and a sort where time or groups matter.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) for an unknown column;
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for a fold without rows to test on or to learn from, for
    /// settings out of their range, and for a missing value or NaN in a column that decides;
    /// [`ErrorKind::LimitExceeded`](crate::ErrorKind::LimitExceeded) for more than 10 000 folds or 2²⁸ row numbers in all.
    pub fn apply(&self, table: &Table<'_>) -> Result<Folds> {
        self.check(OP)?;
        check_indices(table.rows(), self.folds()?.unwrap_or(2).saturating_mul(self.repeats))?;
        let made = match &self.method {
            FoldMethod::Time { column, windows } => {
                let folds = windows.apply(table, table.column(column)?)?;
                Made { folds, groups: Vec::new(), paths: Vec::new() }
            }
            FoldMethod::CombinatorialPurged { column, purged } => {
                purged.apply(table, table.column(column)?)?
            }
            _ => Made { folds: self.shared_out(table)?, groups: Vec::new(), paths: Vec::new() },
        };
        Folds::build(OP, self.clone(), table, made)
    }

    /// The folds of methods by which each row is in one test.
    fn shared_out(&self, table: &Table<'_>) -> Result<Vec<Fold>> {
        let mut all = Vec::new();
        for repeat in 0..self.repeats {
            let random = self.seed.map(|seed| kfold::of_repeat(seed, repeat));
            let fold_of = self.fold_of(table, random.as_ref())?;
            let folds = fold_of.iter().flatten().max().map_or(0, |last| last + 1);
            let folds = self.folds()?.unwrap_or(folds);
            if folds == 0 {
                return Err(Error::invalid(OP, "column", "puts no row into a test"));
            }
            if folds > MAX_FOLDS {
                return Err(Error::limit(OP, "the number of folds", MAX_FOLDS, folds));
            }
            check_indices(table.rows(), folds)?;
            for fold in 0..folds {
                let (test, train): (Vec<usize>, Vec<usize>) =
                    (0..table.rows()).partition(|&row| fold_of[row] == Some(fold));
                let made = Fold { train, test, purged: 0, embargoed: 0 };
                if let Some(part) = made.empty_part() {
                    let message = format!("{} rows leave no {part} rows to fold {fold}", table.rows());
                    return Err(Error::invalid(OP, "folds", message));
                }
                all.push(made);
            }
        }
        Ok(all)
    }

    fn fold_of(&self, table: &Table<'_>, random: Option<&Random>) -> Result<Vec<Option<usize>>> {
        let fold_of = match &self.method {
            FoldMethod::KFold { folds } => kfold::plain(table.rows(), *folds, random),
            FoldMethod::Stratified { column, folds } => {
                kfold::stratified(table.column(column)?, *folds, random)?
            }
            FoldMethod::Group { column, folds } => kfold::grouped(table.column(column)?, *folds, random)?,
            FoldMethod::StratifiedGroup { column, group, folds } => {
                kfold::stratified_group(table.column(column)?, table.column(group)?, *folds, random)?
            }
            FoldMethod::Hash { column, salt, folds } => kfold::hashed(table.column(column)?, salt, *folds)?,
            FoldMethod::Predefined { column } => return kfold::predefined(table, column),
            FoldMethod::Time { .. } | FoldMethod::CombinatorialPurged { .. } => Vec::new(),
        };
        Ok(fold_of.into_iter().map(Some).collect())
    }
}
