//! Splitting rows into training, validation and test parts, and into folds, reproducibly and without sharing what must not be
//! shared.
//!
//! One split, by [`Split`]:
//!
//! | method | keeps |
//! |---|---|
//! | [`Split::holdout`] | nothing but the sizes |
//! | [`Split::stratified`] | the share of each class in each part, within one row |
//! | [`Split::group`] | each group (a patient, a household) in one part |
//! | [`Split::stratified_group`] | each group in one part, and the share of each class as far as whole groups allow |
//! | [`Split::time`] | the order of time: every training row is strictly earlier than every test row |
//! | [`Split::hash`] | the part of each row, whatever other rows come later |
//! | [`Partition::predefined`] | what somebody else chose |
//!
//! Many splits, by [`CrossValidation`]: k-fold plain, stratified, by group and both; windows of time; combinatorial purged;
//! by hash; predefined.
//!
//! Sizes of one split are those of the largest remainder: every part gets the whole part of `rows × fraction`, and the rows
//! left over go to the parts with the largest fractional remainder, ties to training before validation before test. They
//! always sum to the number of rows. A part that would be empty is an error. The same data, settings and seed give the same
//! rows on every platform; rows are listed in ascending order. What a split is made of is written down in its manifest, by
//! which it can be made again and compared.

mod combinatorial;
mod cross_validation;
mod folds;
mod fractions;
mod group;
mod hash;
mod holdout;
mod kfold;
mod partition;
mod stratified;
mod stratified_group;
mod summary;
#[cfg(test)]
mod tests;
mod time;
mod windows;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use combinatorial::CombinatorialPurged;
pub use cross_validation::{CrossValidation, FoldMethod};
pub use folds::{Fold, FoldSummary, Folds, FoldsManifest};
pub use fractions::Fractions;
pub use partition::{Partition, Sizes, SplitManifest};
pub use summary::{ClassCounts, PartSummary, TimeRange};
pub use windows::{History, LabelSpan, TimeWindows};
pub(in crate::data) use windows::{Labelled, labelled};

use crate::data::{Span, Table};
use crate::error::{Error, Result};
use crate::num::Random;

const OP: &str = "Split::apply";

/// What a row is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// To fit the model.
    Train,
    /// To choose between models.
    Validation,
    /// To judge the chosen one, once.
    Test,
}

impl Part {
    /// The part's name.
    ///
    /// ```
    /// assert_eq!(mlops_core::data::Part::Test.as_str(), "test");
    /// ```
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Validation => "validation",
            Self::Test => "test",
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How rows are chosen; see the [functions of `Split`](Split).
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Method {
    /// At random.
    Holdout,
    /// At random within each class of a column.
    Stratified {
        /// The column of classes.
        column: String,
    },
    /// Whole groups at random.
    Group {
        /// The column of groups.
        column: String,
    },
    /// By time.
    Time {
        /// The column of times, or of anything else that has an order: numbers.
        column: String,
        /// The smallest distance between the parts, beyond strictly later.
        gap: Span,
        /// How long labels take to be made.
        labels: LabelSpan,
    },
    /// Whole groups, with the classes as even as whole groups allow.
    StratifiedGroup {
        /// The column of classes.
        column: String,
        /// The column of groups.
        group: String,
    },
    /// By a hash of a key.
    Hash {
        /// The column of keys.
        column: String,
        /// What sets this split apart from others of the same keys.
        salt: String,
    },
    /// The rows were chosen elsewhere.
    Predefined,
}

/// How to split: method, fractions and seed.
///
/// ```
/// use mlops_core::data::{Column, Fractions, Part, Split, Table};
///
/// let table = Table::new(vec![Column::text("sex", ["f", "m", "f", "m", "f", "m", "f", "m", "f", "m"])?])?;
/// let parts = Split::stratified("sex", Fractions::test(0.4)?, 7).apply(&table)?;
/// assert_eq!((parts.train().len(), parts.test().len()), (6, 4));
/// let test = parts.table(&table, Part::Test)?;
/// assert_eq!((0..4).filter(|&row| test.columns()[0].label(row).as_deref() == Some("f")).count(), 2);
/// # Ok::<(), mlops_core::Error>(())
/// ```
///
/// As configuration it is flat: `method` (`holdout`, `stratified`, `group`, `stratified_group`, `time`, `hash`, `predefined`),
/// `column`, `group`, `gap`, `labels` and `salt` where the method has them, `fractions`, `seed` (0 when left out), `classes` and `times`
/// where the manifest is to describe columns that the method does not name.
///
/// ```
/// use mlops_core::data::{Fractions, Split};
/// let text = r#"{"method": "group", "column": "patient", "fractions": {"test": 0.2}, "seed": 7}"#;
/// assert_eq!(serde_json::from_str::<Split>(text)?, Split::group("patient", Fractions::test(0.2)?, 7));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "SplitWire", into = "SplitWire")]
pub struct Split {
    method: Method,
    fractions: Fractions,
    seed: u64,
    classes: Option<String>,
    times: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SplitWire {
    method: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    column: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    group: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    gap: Option<Span>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    labels: Option<LabelSpan>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    salt: Option<String>,
    #[serde(default)]
    seed: u64,
    fractions: Fractions,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    classes: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    times: Option<String>,
}

impl From<Split> for SplitWire {
    fn from(split: Split) -> Self {
        let labels = match &split.method {
            Method::Time { labels, .. } if *labels != LabelSpan::Instant => Some(labels.clone()),
            _ => None,
        };
        let (method, column, group, gap, salt) = match split.method {
            Method::Holdout => ("holdout", None, None, None, None),
            Method::Stratified { column } => ("stratified", Some(column), None, None, None),
            Method::Group { column } => ("group", Some(column), None, None, None),
            Method::Time { column, gap, .. } => ("time", Some(column), None, Some(gap), None),
            Method::StratifiedGroup { column, group } => {
                ("stratified_group", Some(column), Some(group), None, None)
            }
            Method::Hash { column, salt } => ("hash", Some(column), None, None, Some(salt)),
            Method::Predefined => ("predefined", None, None, None, None),
        };
        Self {
            method: method.to_owned(),
            column,
            group,
            gap,
            labels,
            salt,
            seed: split.seed,
            fractions: split.fractions,
            classes: split.classes,
            times: split.times,
        }
    }
}

impl TryFrom<SplitWire> for Split {
    type Error = Error;

    fn try_from(wire: SplitWire) -> Result<Self> {
        let method = match (wire.method.as_str(), wire.column, wire.group, wire.gap, wire.salt) {
            ("holdout", None, None, None, None) => Method::Holdout,
            ("stratified", Some(column), None, None, None) => Method::Stratified { column },
            ("group", Some(column), None, None, None) => Method::Group { column },
            ("time", Some(column), None, gap, None) => {
                let (gap, labels) = (gap.unwrap_or_default(), wire.labels.clone().unwrap_or_default());
                Method::Time { column, gap, labels }
            }
            ("stratified_group", Some(column), Some(group), None, None) => {
                Method::StratifiedGroup { column, group }
            }
            ("hash", Some(column), None, None, Some(salt)) => Method::Hash { column, salt },
            ("predefined", None, None, None, None) => Method::Predefined,
            _ => {
                let message = "must be holdout, or stratified, group, stratified_group, time or hash with a column; \
                               stratified_group has a group, only time has a gap, hash has a salt";
                return Err(Error::invalid("Split", "method", message).with("method", wire.method));
            }
        };
        if wire.labels.is_some() && !matches!(method, Method::Time { .. }) {
            return Err(Error::invalid("Split", "labels", "only a split by time has labels"));
        }
        let (classes, times) = (wire.classes, wire.times);
        Ok(Self { method, fractions: wire.fractions, seed: wire.seed, classes, times })
    }
}

impl Split {
    fn new(method: Method, fractions: Fractions, seed: u64) -> Self {
        Self { method, fractions, seed, classes: None, times: None }
    }

    /// Rows at random.
    pub fn holdout(fractions: Fractions, seed: u64) -> Self {
        Self::new(Method::Holdout, fractions, seed)
    }

    /// Rows at random within each class of `column`: each part has each class's share of rows within one row, and exactly
    /// the size of the largest remainder (a controlled rounding of the table class × part; Cox, "A constructive procedure
    /// for unbiased controlled rounding", JASA 82, 1987). Values are classes as they are, floats too: bin what is
    /// continuous first. A class of few rows may be absent from a small part.
    pub fn stratified(column: impl Into<String>, fractions: Fractions, seed: u64) -> Self {
        Self::new(Method::Stratified { column: column.into() }, fractions, seed)
    }

    /// Whole groups in random order, each to the part that lacks the most rows. No part gets as many rows beyond its size
    /// as the largest group has, unless it would else stay empty; every part gets a group.
    pub fn group(column: impl Into<String>, fractions: Fractions, seed: u64) -> Self {
        Self::new(Method::Group { column: column.into() }, fractions, seed)
    }

    /// The earliest rows for training, the latest for the test; every row of a later part is strictly later than every row
    /// of an earlier one. Rows of one time stay together, so the sizes are the
    /// nearest possible (of two equally near, the one with the smaller earlier part). Nothing is random.
    pub fn time(column: impl Into<String>, fractions: Fractions) -> Self {
        let (column, gap, labels) = (column.into(), Span::default(), LabelSpan::Instant);
        Self::new(Method::Time { column, gap, labels }, fractions, 0)
    }

    /// Whole groups, each to the part where the classes come out most even: scikit-learn's rule for stratified groups
    /// ([`CrossValidation::stratified_group`]) with the share of each part in the place of one fold's. Groups of equal spread
    /// come in random order; every part gets a group.
    ///
    /// ```
    /// use mlops_core::data::{Column, Fractions, Split, Table};
    /// let table = Table::new(vec![
    ///     Column::i64("patient", vec![1, 1, 2, 2, 3, 3, 4, 4])?,
    ///     Column::bool("ill", vec![true, false, true, false, true, false, true, false])?,
    /// ])?;
    /// let parts = Split::stratified_group("ill", "patient", Fractions::test(0.25)?, 7).apply(&table)?;
    /// assert_eq!((parts.train().len(), parts.test().len()), (6, 2));
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn stratified_group(
        column: impl Into<String>,
        group: impl Into<String>,
        fractions: Fractions,
        seed: u64,
    ) -> Self {
        Self::new(Method::StratifiedGroup { column: column.into(), group: group.into() }, fractions, seed)
    }

    /// By `sha256(salt ‖ key) mod 10⁶`, where the key is the value as text and the digest is read as one big-endian number:
    /// the first millionths are the test, the next validation, the rest training.
    ///
    /// Where a row goes depends on its key and the salt alone: no row moves when others come or go, and rows of one key stay
    /// together, so a column of groups keeps them whole. Sizes are as random as a hash is: of n keys a part gets its share
    /// within about ±2·√(n·share·(1 − share)). Other salts give independent splits. Keys are integers, texts, booleans or
    /// times.
    ///
    /// ```
    /// use mlops_core::data::{Column, Fractions, Split, Table};
    /// let table = |n: i64| Table::new(vec![Column::i64("patient", (0..n).collect::<Vec<_>>())?]);
    /// let split = Split::hash("patient", "2026", Fractions::test(0.2)?);
    /// let (before, after) = (split.apply(&table(500)?)?, split.apply(&table(600)?)?);
    /// assert!(before.test().iter().all(|row| after.test().contains(row)));
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn hash(column: impl Into<String>, salt: impl Into<String>, fractions: Fractions) -> Self {
        Self::new(Method::Hash { column: column.into(), salt: salt.into() }, fractions, 0)
    }

    /// Leaves out rows at the end of each earlier part so that every later part starts more than `gap` after it: for labels
    /// that take time to become known. A duration for a column of times, a number for one of numbers. Only for
    /// [`Split::time`]; else without effect.
    ///
    /// ```
    /// use mlops_core::data::{Column, Fractions, Split, Table};
    /// let table = Table::new(vec![Column::i64("day", (0..10).collect::<Vec<_>>())?])?;
    /// let parts = Split::time("day", Fractions::test(0.3)?).with_gap(2).apply(&table)?;
    /// assert_eq!((parts.train(), parts.test()), (&[0, 1, 2, 3, 4][..], &[7, 8, 9][..]));
    /// assert_eq!(parts.manifest().sizes.dropped, 2);
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    #[must_use]
    pub fn with_gap(mut self, length: impl Into<Span>) -> Self {
        if let Method::Time { gap, .. } = &mut self.method {
            *gap = length.into();
        }
        self
    }

    /// Leaves rows out whose label is made while those of the next part are (purge): whose label is not made before that
    /// part's first row. Only for [`Split::time`]; else without effect.
    ///
    /// ```
    /// use mlops_core::data::{Column, Fractions, LabelSpan, Split, Table};
    /// let table = Table::new(vec![Column::i64("day", (0..10).collect::<Vec<_>>())?])?;
    /// let split = Split::time("day", Fractions::test(0.3)?).with_labels(LabelSpan::For(2.into()));
    /// assert_eq!(split.apply(&table)?.train(), [0, 1, 2, 3, 4]); // the label of day 5 is made on day 7, the first of the test
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    #[must_use]
    pub fn with_labels(mut self, span: LabelSpan) -> Self {
        if let Method::Time { labels, .. } = &mut self.method {
            *labels = span;
        }
        self
    }

    /// Describes each part in the manifest by the classes of this column; that of the method, where it has one, when not
    /// said.
    #[must_use]
    pub fn with_classes(mut self, column: impl Into<String>) -> Self {
        self.classes = Some(column.into());
        self
    }

    /// Describes each part in the manifest by the first and last time of this column; that of the method, where it has one,
    /// when not said.
    #[must_use]
    pub fn with_times(mut self, column: impl Into<String>) -> Self {
        self.times = Some(column.into());
        self
    }

    /// How rows are chosen.
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// The fractions.
    pub fn fractions(&self) -> Fractions {
        self.fractions
    }

    /// The seed.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Splits the rows of a table. O(rows log rows).
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) for an unknown column;
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) when a part would be empty, for a missing value or NaN
    /// in the column that decides (it belongs to no class, group or time), for times that are text, booleans or not finite, and
    /// for [`Method::Predefined`], which only [`Partition::predefined`] makes.
    pub fn apply(&self, table: &Table<'_>) -> Result<Partition> {
        let rows = table.rows();
        let random = Random::new(self.seed);
        let parts = self.fractions.parts();
        let chosen = match &self.method {
            Method::Holdout => holdout::holdout(rows, &parts, &random)?,
            Method::Stratified { column } => stratified::stratified(table.column(column)?, &parts, &random)?,
            Method::Group { column } => group::grouped(table.column(column)?, &parts, &random)?,
            Method::Time { column, gap, labels } => {
                time::by_time(table, table.column(column)?, &parts, *gap, labels)?
            }
            Method::StratifiedGroup { column, group } => {
                let (class, group) = (table.column(column)?, table.column(group)?);
                stratified_group::stratified_group(class, group, &parts, &random)?
            }
            Method::Hash { column, salt } => hash::by_hash(table.column(column)?, salt, &parts)?,
            Method::Predefined => {
                let message = "rows chosen elsewhere are given to Partition::predefined";
                return Err(Error::invalid(OP, "method", message));
            }
        };
        self.collect(rows, &parts, &chosen)?.describe(OP, table)
    }

    /// The columns by which the manifest describes the parts.
    fn described_by(&self) -> (Option<&str>, Option<&str>) {
        let of_method = match &self.method {
            Method::Stratified { column } | Method::StratifiedGroup { column, .. } => (Some(column), None),
            Method::Time { column, .. } => (None, Some(column)),
            _ => (None, None),
        };
        summary::described_by((&self.classes, &self.times), of_method)
    }

    /// Lists the rows of each part; `chosen` has the part's position for each row, or `None` for a row left out.
    fn collect(&self, rows: usize, parts: &[(Part, f64)], chosen: &[Option<usize>]) -> Result<Partition> {
        let list = |part: Part| {
            let position = parts.iter().position(|(p, _)| *p == part)?;
            Some((0..rows).filter(|&row| chosen[row] == Some(position)).collect::<Vec<usize>>())
        };
        let (train, validation, test) = (list(Part::Train), list(Part::Validation), list(Part::Test));
        Partition::build(rows, self.clone(), train.unwrap_or_default(), validation, test.unwrap_or_default())
    }
}
