//! Splitting rows into training, validation and test parts, reproducibly and without sharing what must not be shared.
//!
//! | method | keeps |
//! |---|---|
//! | [`Split::holdout`] | nothing but the sizes |
//! | [`Split::stratified`] | the share of each class in each part, within one row |
//! | [`Split::group`] | each group (a patient, a household) in one part |
//! | [`Split::time`] | the order of time: every training row is strictly earlier than every test row |
//!
//! Sizes are those of the largest remainder: every part gets the whole part of `rows × fraction`, and the rows left over go
//! to the parts with the largest fractional remainder, ties to training before validation before test. They always sum to
//! the number of rows. A part that would be empty is an error. The same data, settings and seed give the same rows on every
//! platform; rows are listed in ascending order.

use std::cmp::Ordering;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::data::cell::classes;
use crate::data::{Column, Table, Values};
use crate::error::{Error, Result};
use crate::hash::{Digest, Hasher};
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

/// The shares of the rows that go to validation (where there is one) and test; training gets the rest.
///
/// ```
/// use mlops_core::data::Fractions;
///
/// assert_eq!(Fractions::test(0.2)?.train(), 0.8);
/// assert!(Fractions::test(1.0).is_err());
/// assert!(Fractions::validation_test(0.5, 0.5).is_err());
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "FractionsWire", into = "FractionsWire")]
pub struct Fractions {
    validation: Option<f64>,
    test: f64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FractionsWire {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    validation: Option<f64>,
    test: f64,
}

impl From<Fractions> for FractionsWire {
    fn from(fractions: Fractions) -> Self {
        Self { validation: fractions.validation, test: fractions.test }
    }
}

impl TryFrom<FractionsWire> for Fractions {
    type Error = Error;

    fn try_from(wire: FractionsWire) -> Result<Self> {
        Self::checked(wire.validation, wire.test)
    }
}

impl Fractions {
    /// Two parts: `test` of the rows for the test, the rest for training.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) unless `0 < test < 1`.
    pub fn test(test: f64) -> Result<Self> {
        Self::checked(None, test)
    }

    /// Three parts.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) unless both lie in (0, 1) and something is left for
    /// training.
    pub fn validation_test(validation: f64, test: f64) -> Result<Self> {
        Self::checked(Some(validation), test)
    }

    fn checked(validation: Option<f64>, test: f64) -> Result<Self> {
        for (field, share) in [("validation", validation), ("test", Some(test))] {
            if let Some(share) = share.filter(|share| !(*share > 0.0 && *share < 1.0)) {
                return Err(Error::invalid("Fractions", field, format!("must lie in (0, 1), got {share}")));
            }
        }
        let fractions = Self { validation, test };
        if fractions.train() <= 0.0 {
            let message = format!("nothing is left for training: {} + {test}", validation.unwrap_or(0.0));
            return Err(Error::invalid("Fractions", "test", message));
        }
        Ok(fractions)
    }

    /// The share for training: what the others leave.
    pub fn train(&self) -> f64 {
        1.0 - self.validation.unwrap_or(0.0) - self.test
    }

    /// The parts and their shares, in order.
    fn parts(&self) -> Vec<(Part, f64)> {
        let validation = self.validation.map(|share| (Part::Validation, share));
        [Some((Part::Train, self.train())), validation, Some((Part::Test, self.test))]
            .into_iter()
            .flatten()
            .collect()
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
        /// The smallest distance between the parts, beyond strictly later, in the column's unit; microseconds for times.
        gap: u64,
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
/// As configuration it is flat: `method` (`holdout`, `stratified`, `group`, `time`, `predefined`), `column` and `gap` where
/// the method has them, `fractions`, `seed` (0 when left out).
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
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SplitWire {
    method: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    column: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    gap: Option<u64>,
    #[serde(default)]
    seed: u64,
    fractions: Fractions,
}

impl From<Split> for SplitWire {
    fn from(split: Split) -> Self {
        let (method, column, gap) = match split.method {
            Method::Holdout => ("holdout", None, None),
            Method::Stratified { column } => ("stratified", Some(column), None),
            Method::Group { column } => ("group", Some(column), None),
            Method::Time { column, gap } => ("time", Some(column), Some(gap)),
            Method::Predefined => ("predefined", None, None),
        };
        Self { method: method.to_owned(), column, gap, seed: split.seed, fractions: split.fractions }
    }
}

impl TryFrom<SplitWire> for Split {
    type Error = Error;

    fn try_from(wire: SplitWire) -> Result<Self> {
        let method = match (wire.method.as_str(), wire.column, wire.gap) {
            ("holdout", None, None) => Method::Holdout,
            ("stratified", Some(column), None) => Method::Stratified { column },
            ("group", Some(column), None) => Method::Group { column },
            ("time", Some(column), gap) => Method::Time { column, gap: gap.unwrap_or(0) },
            ("predefined", None, None) => Method::Predefined,
            _ => {
                let message =
                    "must be holdout, or stratified, group or time with a column; only time has a gap";
                return Err(Error::invalid("Split", "method", message).with("method", wire.method));
            }
        };
        Ok(Self { method, fractions: wire.fractions, seed: wire.seed })
    }
}

impl Split {
    /// Rows at random.
    pub fn holdout(fractions: Fractions, seed: u64) -> Self {
        Self { method: Method::Holdout, fractions, seed }
    }

    /// Rows at random within each class of `column`: each part has each class's share of rows within one row, and exactly
    /// the size of the largest remainder (a controlled rounding of the table class × part; Cox, "A constructive procedure
    /// for unbiased controlled rounding", JASA 82, 1987). Values are classes as they are, floats too: bin what is
    /// continuous first. A class of few rows may be absent from a small part.
    pub fn stratified(column: impl Into<String>, fractions: Fractions, seed: u64) -> Self {
        Self { method: Method::Stratified { column: column.into() }, fractions, seed }
    }

    /// Whole groups in random order, each to the part that lacks the most rows. No part gets as many rows beyond its size
    /// as the largest group has, unless it would else stay empty; every part gets a group.
    pub fn group(column: impl Into<String>, fractions: Fractions, seed: u64) -> Self {
        Self { method: Method::Group { column: column.into() }, fractions, seed }
    }

    /// The earliest rows for training, the latest for the test; every row of a later part is strictly later than every row
    /// of an earlier one. Rows of one time stay together, so the sizes are the
    /// nearest possible (of two equally near, the one with the smaller earlier part). Nothing is random.
    pub fn time(column: impl Into<String>, fractions: Fractions) -> Self {
        Self { method: Method::Time { column: column.into(), gap: 0 }, fractions, seed: 0 }
    }

    /// Leaves out rows at the end of each earlier part so that every later part starts more than `gap` after it: for labels
    /// that take time to become known. In the column's unit; microseconds for times. Only for [`Split::time`]; else without
    /// effect.
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
    pub fn with_gap(mut self, length: u64) -> Self {
        if let Method::Time { gap, .. } = &mut self.method {
            *gap = length;
        }
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
    /// in the column that decides (it belongs to no class, group or time), for times that are text or booleans, and for
    /// [`Method::Predefined`], which only [`Partition::predefined`] makes.
    pub fn apply(&self, table: &Table<'_>) -> Result<Partition> {
        let rows = table.rows();
        let random = Random::new(self.seed);
        let parts = self.fractions.parts();
        let chosen = match &self.method {
            Method::Holdout => holdout(rows, &parts, &random)?,
            Method::Stratified { column } => stratified(table.column(column)?, &parts, &random)?,
            Method::Group { column } => grouped(table.column(column)?, &parts, &random)?,
            Method::Time { column, gap } => by_time(table.column(column)?, &parts, *gap)?,
            Method::Predefined => {
                let message = "rows chosen elsewhere are given to Partition::predefined";
                return Err(Error::invalid(OP, "method", message));
            }
        };
        self.collect(rows, &parts, &chosen)
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

/// How many rows each part has.
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
        let built = Self::build(stated.rows, stated.split.clone(), wire.train, wire.validation, wire.test)?;
        if built.manifest != stated {
            let message = "the manifest does not describe the rows";
            return Err(Error::new(crate::ErrorKind::Integrity, "Partition::read", message)
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
        Self::build(rows, Split { method: Method::Predefined, fractions, seed: 0 }, train, validation, test)
    }

    fn build(
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
        let manifest = SplitManifest { schema_version: 1, split, rows, sizes, digest };
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

    pub(super) fn check_rows(&self, operation: &'static str, table: &Table<'_>) -> Result<()> {
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
    let mut used = vec![false; rows];
    let validation = validation.map(|rows| (Part::Validation, rows));
    for (part, list) in
        [Some((Part::Train, train)), validation, Some((Part::Test, test))].into_iter().flatten()
    {
        if list.is_empty() {
            return Err(Error::invalid(OP, part.as_str(), "must not be empty"));
        }
        for &row in list {
            let slot = used.get_mut(row).ok_or_else(|| {
                Error::invalid(OP, part.as_str(), format!("has row {row}, but there are {rows} rows"))
            })?;
            if std::mem::replace(slot, true) {
                return Err(Error::invalid(
                    OP,
                    part.as_str(),
                    format!("has row {row}, which was taken already"),
                ));
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

/// The whole part of a number that is not negative.
#[expect(clippy::cast_sign_loss, reason = "quotas are products of counts and fractions, never negative")]
fn whole(quota: f64) -> usize {
    quota.floor() as usize
}

/// Whole parts of `rows × share`, and what is left of each. A product that rounding put a hair beside a whole number is that
/// number: 10 rows × (1 − 0.2 − 0.1) are 7.
fn quotas(rows: usize, parts: &[(Part, f64)]) -> (Vec<usize>, Vec<f64>) {
    const HAIR: f64 = 1e-9;
    let snap = |quota: f64| if (quota - quota.round()).abs() < HAIR { quota.round() } else { quota };
    let exact = parts.iter().map(|(_, share)| snap(rows as f64 * share));
    exact.map(|quota| (whole(quota), quota - quota.floor())).unzip()
}

/// Sizes by the largest remainder (Hamilton's method); they sum to `rows`.
fn sizes(rows: usize, parts: &[(Part, f64)]) -> Result<Vec<usize>> {
    let (mut sizes, remainders) = quotas(rows, parts);
    let mut order: Vec<usize> = (0..parts.len()).collect();
    order.sort_by(|&a, &b| remainders[b].total_cmp(&remainders[a]));
    // Rounding never takes the whole parts above the sum.
    let left = rows.saturating_sub(sizes.iter().sum());
    for &part in order.iter().cycle().take(left) {
        sizes[part] += 1;
    }
    if let Some(empty) = sizes.iter().position(|&size| size == 0) {
        let message = format!("{rows} rows leave none for {}", parts[empty].0);
        return Err(Error::invalid(OP, "fractions", message).with("share", parts[empty].1));
    }
    Ok(sizes)
}

fn holdout(rows: usize, parts: &[(Part, f64)], random: &Random) -> Result<Vec<Option<usize>>> {
    let sizes = sizes(rows, parts)?;
    let mut order: Vec<usize> = (0..rows).collect();
    random.stream("rows").shuffle(&mut order);
    let mut chosen = vec![None; rows];
    deal(&mut chosen, &order, &sizes);
    Ok(chosen)
}

/// Gives the first rows of `order` to part 0, the next to part 1, and so on.
fn deal(chosen: &mut [Option<usize>], order: &[usize], counts: &[usize]) {
    let of_part = counts.iter().enumerate().flat_map(|(part, &count)| std::iter::repeat_n(part, count));
    for (&row, part) in order.iter().zip(of_part) {
        chosen[row] = Some(part);
    }
}

fn stratified(column: &Column<'_>, parts: &[(Part, f64)], random: &Random) -> Result<Vec<Option<usize>>> {
    let (count, class_of) = classes(OP, column)?;
    let sizes = sizes(class_of.len(), parts)?;
    let mut members = vec![Vec::new(); count];
    for (row, &class) in class_of.iter().enumerate() {
        members[class].push(row);
    }
    let counts =
        controlled_rounding(&members.iter().map(Vec::len).collect::<Vec<_>>(), parts, &sizes, random);
    let mut chosen = vec![None; class_of.len()];
    for (class, rows) in members.iter_mut().enumerate() {
        random.stream("class").nth(class as u64).shuffle(rows);
        deal(&mut chosen, rows, &counts[class]);
    }
    Ok(chosen)
}

/// How many rows of each class each part gets: the whole part of its quota or one more, with the sizes of classes and of
/// parts both met exactly.
///
/// After the whole parts, class `c` has `d ∈ {0, 1, 2}` rows left for as many different parts, and part `p` lacks a number
/// of rows. Each class takes the parts where its own remainders are largest, as long as the rest can still be completed.
/// With at most three parts that is so exactly while no part lacks more rows than there are classes left to give (Gale
/// and Ryser's condition), and at the start it holds because the remainders themselves are a fractional solution.
fn controlled_rounding(
    class_sizes: &[usize],
    parts: &[(Part, f64)],
    sizes: &[usize],
    random: &Random,
) -> Vec<Vec<usize>> {
    let (mut counts, remainders): (Vec<Vec<usize>>, Vec<Vec<f64>>) =
        class_sizes.iter().map(|&size| quotas(size, parts)).unzip();
    let mut lacks: Vec<usize> = (0..parts.len())
        .map(|part| sizes[part].saturating_sub(counts.iter().map(|c| c[part]).sum()))
        .collect();
    let left = |class: usize, counts: &[Vec<usize>]| {
        class_sizes[class].saturating_sub(counts[class].iter().sum::<usize>())
    };
    let mut open: Vec<usize> = (0..class_sizes.len()).filter(|&class| left(class, &counts) > 0).collect();
    random.stream("remainders").shuffle(&mut open);
    let largest = |class: &usize| remainders[*class].iter().copied().fold(0.0, f64::max);
    open.sort_by(|a, b| largest(b).total_cmp(&largest(a)));
    for (done, &class) in open.iter().enumerate() {
        let still_open = open.len() - done - 1;
        for part in best_parts(left(class, &counts), &remainders[class], &lacks, still_open) {
            counts[class][part] += 1;
            lacks[part] = lacks[part].saturating_sub(1);
        }
    }
    counts
}

/// Which `take` different parts a class gives its left-over rows to: of those choices after which the remaining
/// `still_open` classes can fill what is lacking, the one with the largest remainders.
fn best_parts(take: usize, remainders: &[f64], lacks: &[usize], still_open: usize) -> Vec<usize> {
    let parts = lacks.len();
    let choices = (0_u32..1 << parts).filter(|set| set.count_ones() as usize == take);
    let members = |set: u32| (0..parts).filter(move |part| set >> part & 1 == 1);
    let completes = |set: &u32| {
        members(*set).all(|part| lacks[part] > 0)
            && (0..parts).all(|part| lacks[part] - usize::from(set >> part & 1 == 1) <= still_open)
    };
    let weight = |set: u32| members(set).map(|part| remainders[part]).sum::<f64>();
    let best = choices.filter(completes).max_by(|&a, &b| weight(a).total_cmp(&weight(b)).then(b.cmp(&a)));
    // By the argument above there is always one; without it a row must not get lost.
    members(best.unwrap_or((1 << take.min(parts)) - 1)).collect()
}

fn grouped(column: &Column<'_>, parts: &[(Part, f64)], random: &Random) -> Result<Vec<Option<usize>>> {
    let (count, group_of) = classes(OP, column)?;
    if count < parts.len() {
        let message = format!("has {count} groups for {} parts; a group is never split", parts.len());
        return Err(Error::invalid(OP, "column", message).with("column", column.name()));
    }
    let sizes = sizes(group_of.len(), parts)?;
    let mut group_sizes = vec![0; count];
    group_of.iter().for_each(|&group| group_sizes[group] += 1);
    let part_of = deal_groups(&group_sizes, &sizes, random);
    Ok(group_of.iter().map(|&group| Some(part_of[group])).collect())
}

/// The part of each group: groups in random order, each to the part that lacks the most rows, but the last groups to parts
/// that have none yet.
fn deal_groups(group_sizes: &[usize], sizes: &[usize], random: &Random) -> Vec<usize> {
    let mut order: Vec<usize> = (0..group_sizes.len()).collect();
    random.stream("groups").shuffle(&mut order);
    let mut part_of = vec![0; group_sizes.len()];
    let (mut filled, mut groups) = (vec![0; sizes.len()], vec![0_usize; sizes.len()]);
    for (done, &group) in order.iter().enumerate() {
        let empty = groups.iter().filter(|&&n| n == 0).count();
        let reserved = order.len() - done <= empty;
        let lacking = |part: &usize| (sizes[*part] as f64) - (filled[*part] as f64);
        let open = (0..sizes.len()).filter(|&part| !reserved || groups[part] == 0);
        // The earlier part wins a tie: `max_by` keeps the last of equals.
        let part = open.rev().max_by(|a, b| lacking(a).total_cmp(&lacking(b))).unwrap_or(0);
        part_of[group] = part;
        filled[part] += group_sizes[group];
        groups[part] += 1;
    }
    part_of
}

fn by_time(column: &Column<'_>, parts: &[(Part, f64)], gap: u64) -> Result<Vec<Option<usize>>> {
    if let Some(row) = (0..column.len()).find(|&row| !column.is_valid(row)) {
        return Err(bad_time(column, row, "is missing"));
    }
    match column.values() {
        Values::I64(times) | Values::Time(times) => {
            let clear = |early: i64, late: i64| i128::from(early) + i128::from(gap) < i128::from(late);
            in_order(times, parts, i64::cmp, clear)
        }
        Values::F64(_) | Values::F32(_) => {
            let times = column.to_f64()?;
            if let Some(row) = times.iter().position(|time| time.is_nan()) {
                return Err(bad_time(column, row, "is NaN"));
            }
            // `total_cmp` would tell −0 from 0: one time, which may not straddle.
            let order = |a: &f64, b: &f64| a.partial_cmp(b).unwrap_or(Ordering::Equal);
            in_order(&times, parts, order, |early, late| early + (gap as f64) < late)
        }
        _ => {
            let message = "must hold numbers or times, to be in an order";
            Err(Error::invalid(OP, "column", message).with("column", column.name()))
        }
    }
}

fn bad_time(column: &Column<'_>, row: usize, what: &str) -> Error {
    let message = format!("column `{}`, row {}: the time {what}", column.name(), row + 1);
    Error::invalid(OP, "column", message).with("column", column.name()).with("row", row + 1)
}

/// Cuts rows in the order of their times; `clear` says whether one time is far enough before another.
fn in_order<T: Copy + PartialEq>(
    times: &[T],
    parts: &[(Part, f64)],
    order: impl Fn(&T, &T) -> Ordering,
    clear: impl Fn(T, T) -> bool,
) -> Result<Vec<Option<usize>>> {
    let sizes = sizes(times.len(), parts)?;
    let mut rows: Vec<usize> = (0..times.len()).collect();
    rows.sort_by(|&a, &b| order(&times[a], &times[b]));
    let changes: Vec<usize> = (1..rows.len()).filter(|&i| times[rows[i - 1]] != times[rows[i]]).collect();
    let starts = cuts(&changes, &sizes).ok_or_else(|| {
        let message = format!("has {} different times for {} parts", changes.len() + 1, parts.len());
        Error::invalid(OP, "column", message)
    })?;
    let mut chosen = vec![None; times.len()];
    for part in 0..parts.len() {
        let (from, until) = (starts[part], starts[part + 1]);
        let next = rows.get(until).map(|&row| times[row]);
        let kept = |row: &&usize| next.is_none_or(|next| clear(times[**row], next));
        rows[from..until].iter().filter(kept).for_each(|&row| chosen[row] = Some(part));
        if !rows[from..until].iter().any(|&row| chosen[row].is_some()) {
            return Err(Error::invalid(OP, "gap", format!("leaves no rows for {}", parts[part].0)));
        }
    }
    Ok(chosen)
}

/// Where each part starts, and the end: the change of time nearest to the wanted size, with at least one time for every
/// part. `None` when there are fewer times than parts.
fn cuts(changes: &[usize], sizes: &[usize]) -> Option<Vec<usize>> {
    let rows: usize = sizes.iter().sum();
    let (mut starts, mut wanted, mut first) = (vec![0], 0, 0);
    for part in 1..sizes.len() {
        wanted += sizes[part - 1];
        // Each part after this one needs a change of its own.
        let last = changes.len().checked_sub(sizes.len() - part)?;
        let nearest = (first..=last).min_by_key(|&i| changes[i].abs_diff(wanted))?;
        starts.push(changes[nearest]);
        first = nearest + 1;
    }
    starts.push(rows);
    Some(starts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Validity;
    use crate::error::ErrorKind;
    use proptest::prelude::*;
    use std::collections::{HashMap, HashSet};

    fn numbers(values: Vec<i64>) -> Table<'static> {
        Table::new(vec![Column::i64("c", values).unwrap()]).unwrap()
    }

    fn two() -> Fractions {
        Fractions::test(0.25).unwrap()
    }

    fn three() -> Fractions {
        Fractions::validation_test(0.15, 0.2).unwrap()
    }

    #[test]
    fn sizes_are_those_of_the_largest_remainder() {
        for (rows, fractions, expected) in [
            (10, Fractions::validation_test(0.1, 0.2).unwrap(), vec![7, 1, 2]),
            (442, Fractions::test(0.2).unwrap(), vec![354, 88]),
            (442, Fractions::validation_test(0.2, 0.2).unwrap(), vec![265, 89, 88]),
            (3, Fractions::validation_test(1.0 / 3.0, 1.0 / 3.0).unwrap(), vec![1, 1, 1]),
            (5, Fractions::test(0.5).unwrap(), vec![3, 2]),
            // 100 × 0.29 is 28.999999999999996 in binary.
            (100, Fractions::test(0.29).unwrap(), vec![71, 29]),
        ] {
            assert_eq!(sizes(rows, &fractions.parts()).unwrap(), expected, "{rows} {fractions:?}");
        }
    }

    #[test]
    fn fractions_outside_their_range_are_refused_also_when_read() {
        for bad in [0.0, 1.0, -0.1, 1.1, f64::NAN, f64::INFINITY] {
            assert_eq!(Fractions::test(bad).unwrap_err().context("field"), Some("test"));
            assert_eq!(
                Fractions::validation_test(bad, 0.5).unwrap_err().context("field"),
                Some("validation")
            );
        }
        assert!(Fractions::validation_test(0.6, 0.6).is_err());
        assert!(serde_json::from_str::<Fractions>(r#"{"test":1.5}"#).is_err());
        assert!(serde_json::from_str::<Fractions>(r#"{"test":0.5,"train":0.2}"#).is_err());
    }

    #[test]
    fn a_part_that_would_be_empty_is_an_error_that_names_it() {
        for rows in [0, 1, 2] {
            let error = Split::holdout(two(), 1).apply(&numbers(vec![0; rows])).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert!(error.message().contains("leave none for"), "{error}");
        }
        let one_group = Split::group("c", two(), 1).apply(&numbers(vec![1; 10])).unwrap_err();
        assert!(one_group.message().contains("1 groups for 2 parts"), "{one_group}");
        let one_time = Split::time("c", two()).apply(&numbers(vec![1; 10])).unwrap_err();
        assert!(one_time.message().contains("1 different times for 2 parts"), "{one_time}");
        let gap = Split::time("c", two()).with_gap(1_000).apply(&numbers((0..10).collect())).unwrap_err();
        assert!(gap.message().contains("no rows for train"), "{gap}");
    }

    #[test]
    fn a_row_without_class_group_or_time_is_an_error_that_names_it() {
        let column = |values, valid: &[bool]| {
            Table::new(vec![Column::new("c", values, Some(Validity::from_bools(valid))).unwrap()]).unwrap()
        };
        let all = vec![true; 8];
        let mut one_missing = all.clone();
        one_missing[2] = false;
        let nan = vec![0.0, 1.0, f64::NAN, 0.0, 1.0, 0.0, 1.0, 0.0];
        for table in [
            column(Values::I64(vec![1, 2, 3, 4, 5, 6, 7, 8].into()), &one_missing),
            column(Values::F64(nan.into()), &all),
        ] {
            for split in
                [Split::stratified("c", two(), 0), Split::group("c", two(), 0), Split::time("c", two())]
            {
                let error = split.apply(&table).unwrap_err();
                assert!(error.message().contains("`c`, row 3"), "{error}");
            }
        }
        let text = Table::new(vec![Column::text("c", ["2024-01-01", "b", "c", "d"]).unwrap()]).unwrap();
        assert!(Split::time("c", two()).apply(&text).is_err());
        for split in [Split::stratified("d", two(), 0), Split::group("d", two(), 0), Split::time("d", two())]
        {
            assert_eq!(split.apply(&text).unwrap_err().kind(), ErrorKind::NotFound);
        }
    }

    #[test]
    fn many_small_classes_still_fill_every_part() {
        // Rounding each class on its own would send all of these to training.
        let table = numbers((0..200).map(|i| i / 2).collect());
        let parts = Split::stratified("c", three(), 3).apply(&table).unwrap();
        assert_eq!(parts.manifest().sizes, Sizes { train: 130, validation: Some(30), test: 40, dropped: 0 });
    }

    #[test]
    fn one_seed_one_split_another_seed_another() {
        let table = numbers((0..100).collect());
        for split in
            [Split::holdout, |f, seed| Split::stratified("c", f, seed), |f, seed| Split::group("c", f, seed)]
        {
            let [a, b, c] = [0, 0, u64::MAX].map(|seed| split(three(), seed).apply(&table).unwrap());
            assert_eq!(a, b);
            assert_ne!(a.test(), c.test());
        }
    }

    #[test]
    fn the_split_of_a_seed_never_changes_between_releases() {
        let parts = Split::holdout(two(), 42).apply(&numbers((0..12).collect())).unwrap();
        assert_eq!(parts.test(), PINNED_TEST);
        assert_eq!(parts.manifest().digest.to_string(), PINNED_DIGEST);
    }

    /// Computed from the documented layout with a second implementation, in Python 3.
    const PINNED_TEST: [usize; 3] = [2, 4, 11];
    const PINNED_DIGEST: &str = "sha256:4c24ac49f311a7141946ed93809fd2c4a1c32286111c0a3d4acb70811de1f133";

    #[test]
    fn every_row_is_in_the_test_equally_often() {
        let table = numbers((0..8).collect());
        let mut counts = [0_u32; 8];
        for seed in 0..4_000 {
            Split::holdout(two(), seed)
                .apply(&table)
                .unwrap()
                .test()
                .iter()
                .for_each(|&row| counts[row] += 1);
        }
        // 2 of 8 rows each time: 1000 expected, standard deviation 27.
        assert!(counts.iter().all(|count| count.abs_diff(1_000) < 120), "{counts:?}");
    }

    #[test]
    fn equal_times_never_straddle_even_as_zeros_of_two_signs() {
        let table =
            Table::new(vec![Column::f64("t", vec![0.0, -0.0, 0.0, -1.0, 5.0, 0.0, -0.0, 2.0]).unwrap()]);
        let parts = Split::time("t", Fractions::test(0.5).unwrap()).apply(&table.unwrap()).unwrap();
        assert_eq!((parts.train(), parts.test()), (&[0, 1, 2, 3, 5, 6][..], &[4, 7][..]));
    }

    #[test]
    fn extreme_times_do_not_overflow() {
        let parts = Split::time("c", Fractions::test(0.5).unwrap())
            .with_gap(u64::MAX - 1)
            .apply(&numbers(vec![i64::MAX, i64::MIN]))
            .unwrap();
        assert_eq!((parts.train(), parts.test()), (&[1][..], &[0][..]));
    }

    #[test]
    fn a_partition_read_from_elsewhere_is_checked() {
        let parts = Split::holdout(two(), 1).apply(&numbers((0..8).collect())).unwrap();
        let text = serde_json::to_string(&parts).unwrap();
        let mut value: serde_json::Value = serde_json::from_str(&text).unwrap();
        value["test"] = value["train"].clone();
        assert!(serde_json::from_value::<Partition>(value.clone()).is_err());
        value["train"] = serde_json::json!([0]);
        value["test"] = serde_json::json!([1]);
        let error = serde_json::from_value::<Partition>(value).unwrap_err().to_string();
        assert!(error.contains("does not describe the rows"), "{error}");
        for (train, test) in [(vec![], vec![1]), (vec![1], vec![]), (vec![1, 1], vec![2]), (vec![1], vec![8])]
        {
            assert!(Partition::predefined(8, train, None, test).is_err());
        }
        assert!(parts.table(&numbers(vec![1]), Part::Train).is_err());
        let eight = numbers((0..8).collect());
        assert_eq!(parts.table(&eight, Part::Validation).unwrap_err().kind(), ErrorKind::NotFound);
    }

    #[test]
    fn settings_can_be_written_in_toml() {
        let split: Split =
            toml::from_str("method = \"time\"\ncolumn = \"day\"\ngap = 7\nfractions = { test = 0.2 }")
                .unwrap();
        assert_eq!(split, Split::time("day", Fractions::test(0.2).unwrap()).with_gap(7));
        for bad in [
            "method = \"holdout\"\nsed = 1",
            "method = \"holdout\"\ncolumn = \"day\"",
            "method = \"holdout\"\ngap = 1",
            "method = \"group\"",
            "method = \"group\"\ncolumn = \"day\"\ngap = 1",
            "method = \"random\"",
        ] {
            let text = format!("{bad}\nfractions = {{ test = 0.2 }}");
            assert!(toml::from_str::<Split>(&text).is_err(), "{text}");
        }
    }

    fn fractions() -> impl Strategy<Value = Fractions> {
        (prop::option::of(0.05..0.4), 0.05..0.4).prop_map(|(v, t)| Fractions::checked(v, t).unwrap())
    }

    /// All rows are in exactly one part, none is lost, and the manifest says so.
    fn check_cover(parts: &Partition, rows: usize) {
        let mut all: Vec<usize> = parts.parts().flat_map(|(_, rows)| rows.to_vec()).collect();
        assert!(parts.parts().all(|(_, rows)| !rows.is_empty() && rows.is_sorted()));
        all.sort_unstable();
        assert_eq!(all, (0..rows).collect::<Vec<_>>());
        assert_eq!(parts.manifest().sizes.dropped, 0);
    }

    proptest! {
        #[test]
        fn holdout_covers_all_rows(rows in 20_usize..200, fractions in fractions(), seed: u64) {
            let table = numbers(vec![0; rows]);
            let parts = Split::holdout(fractions, seed).apply(&table).unwrap();
            check_cover(&parts, rows);
            prop_assert_eq!(&parts, &Split::holdout(fractions, seed).apply(&table).unwrap());
        }

        #[test]
        fn stratified_keeps_each_class_within_one_row_and_sizes_exactly(
            class in prop::collection::vec(0_i64..12, 20..200), fractions in fractions(), seed: u64,
        ) {
            let parts = Split::stratified("c", fractions, seed).apply(&numbers(class.clone())).unwrap();
            check_cover(&parts, class.len());
            let wanted = sizes(class.len(), &fractions.parts()).unwrap();
            for ((part, share), size) in fractions.parts().into_iter().zip(wanted) {
                let rows = parts.parts().find(|(p, _)| *p == part).unwrap().1;
                prop_assert_eq!(rows.len(), size);
                for c in 0..12 {
                    let total = class.iter().filter(|&&x| x == c).count() as f64;
                    let got = rows.iter().filter(|&&row| class[row] == c).count() as f64;
                    prop_assert!((got - total * share).abs() < 1.0 + 1e-9, "{got} of {total} in {part}");
                }
            }
        }

        #[test]
        fn group_never_splits_a_group(
            group in prop::collection::vec(0_i64..15, 40..200), fractions in fractions(), seed: u64,
        ) {
            let distinct: HashSet<i64> = group.iter().copied().collect();
            prop_assume!(distinct.len() >= 3);
            let parts = Split::group("c", fractions, seed).apply(&numbers(group.clone())).unwrap();
            check_cover(&parts, group.len());
            let mut owner = HashMap::new();
            for (part, rows) in parts.parts() {
                for &row in rows {
                    prop_assert_eq!(*owner.entry(group[row]).or_insert(part), part);
                }
            }
        }

        #[test]
        fn group_sizes_overshoot_by_less_than_a_group(
            group in prop::collection::vec(0_i64..1_000, 200..400), fractions in fractions(), seed: u64,
        ) {
            let parts = Split::group("c", fractions, seed).apply(&numbers(group.clone())).unwrap();
            let mut counts = HashMap::new();
            group.iter().for_each(|g| *counts.entry(g).or_insert(0_usize) += 1);
            let largest = *counts.values().max().unwrap();
            let wanted = sizes(group.len(), &fractions.parts()).unwrap();
            for ((_, rows), size) in parts.parts().zip(wanted) {
                prop_assert!(rows.len() < size + largest);
            }
        }

        #[test]
        fn time_parts_are_strictly_apart(
            time in prop::collection::vec(-50_i64..50, 40..200), fractions in fractions(), gap in 0_u64..3,
        ) {
            let distinct: HashSet<i64> = time.iter().copied().collect();
            prop_assume!(distinct.len() > 20);
            let Ok(parts) = Split::time("c", fractions).with_gap(gap).apply(&numbers(time.clone())) else {
                // A gap may leave nothing of a small part; without one there is always a split.
                prop_assert!(gap > 0);
                return Ok(());
            };
            let bounds: Vec<(i64, i64)> = parts
                .parts()
                .map(|(_, rows)| {
                    let times = || rows.iter().map(|&row| time[row]);
                    (times().min().unwrap(), times().max().unwrap())
                })
                .collect();
            for pair in bounds.windows(2) {
                prop_assert!(pair[0].1 + i64::try_from(gap).unwrap() < pair[1].0);
            }
            let used: usize = parts.parts().map(|(_, rows)| rows.len()).sum();
            prop_assert_eq!(used + parts.manifest().sizes.dropped, time.len());
            prop_assert!(gap > 0 || parts.manifest().sizes.dropped == 0);
        }
    }
}
