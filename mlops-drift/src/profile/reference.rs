//! What is kept of a reference.

use mlops_core::data::{Column, DataType, Table};
use mlops_core::hash::{Digest, Hasher};
use mlops_core::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};

use super::moments::{MomentSummary, Unit};
use super::profile::{ColumnProfile, Profile, Profiler, for_each_chunk, levels};
use super::{CategoryProfile, Grid, NumericProfile, ProfileOptions};
use crate::bins::{Bins, CategoryBins};

/// A reference fitted once: cells for every column and what the reference itself counts on them.
///
/// For a column of numbers there is a fine [`Grid`] and on top of it [`Bins`] of about equal mass, each a union of cells of the grid, so that PSI, JS and
/// chi-square computed from grid counts are exact for these bins. A value that makes up 1/k of the reference or more is alone in
/// its cell, and that cell alone in its bin. For text there are [`CategoryBins`]. Raw values are kept only where
/// [`ProfileOptions::keep_values`] asks for them.
///
/// Serialises with a version, and refuses to be read with other versions, unknown fields or content that contradicts itself.
///
/// # Example: fit, store, compare a week
/// ```
/// use mlops_core::data::{Column, Table};
/// use mlops_drift::profile::Reference;
/// use mlops_drift::{Smoothing, psi_from_counts};
///
/// let table = |shift: f64, plans: [&'static str; 3]| {
///     let ages: Vec<f64> = (0..300).map(|i| 20.0 + f64::from(i % 60) + shift).collect();
///     let plans = (0..300).map(|i| plans[i % 3]);
///     Table::new(vec![Column::f64("age", ages)?, Column::text("plan", plans)?])
/// };
/// let reference = Reference::fit(&table(0.0, ["basic", "basic", "plus"])?)?;
/// let stored = serde_json::to_string(&reference)?;
///
/// let reference: Reference = serde_json::from_str(&stored)?;
/// let week = reference.profile(&table(15.0, ["basic", "new", "new"])?)?;
/// for column in ["age", "plan"] {
///     let (before, after) = (reference.bin_counts(reference.baseline(), column)?, reference.bin_counts(&week, column)?);
///     assert!(psi_from_counts(&before, &after, Smoothing::default())?.score > 0.25);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub struct Reference {
    options: ProfileOptions,
    columns: Vec<ReferenceColumn>,
    digest: Digest,
    baseline: Profile,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    version: u32,
    options: ProfileOptions,
    columns: Vec<StoredColumn>,
    baseline: Profile,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredColumn {
    name: String,
    data_type: DataType,
    cells: StoredCells,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    values: Option<Vec<f64>>,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum StoredCells {
    Numeric { grid: Grid, cuts: Vec<usize> },
    Category(CategoryBins),
}

/// One column of a [`Reference`].
#[derive(Clone, Debug, PartialEq)]
pub struct ReferenceColumn {
    name: String,
    data_type: DataType,
    kind: ColumnCells,
    /// Finite values, ascending.
    values: Option<Vec<f64>>,
}

/// The cells of a column.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq)]
pub enum ColumnCells {
    /// Numbers and booleans.
    Numeric {
        /// The fine cells.
        grid: Grid,
        /// Unions of them.
        bins: Bins,
        /// For each fitted bin, the index of its first cell.
        cuts: Vec<usize>,
    },
    /// Text.
    Category {
        /// The categories of the reference.
        bins: CategoryBins,
    },
}

impl ReferenceColumn {
    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The type it has in the reference.
    pub fn data_type(&self) -> DataType {
        self.data_type
    }

    /// The cells.
    pub fn cells(&self) -> &ColumnCells {
        &self.kind
    }

    /// The reference's finite values in ascending order, where they are kept.
    pub fn values(&self) -> Option<&[f64]> {
        self.values.as_deref()
    }

    /// The grid of a column of numbers.
    pub fn grid(&self) -> Option<&Grid> {
        match &self.kind {
            ColumnCells::Numeric { grid, .. } => Some(grid),
            ColumnCells::Category { .. } => None,
        }
    }
}

const OP: &str = "Reference::fit";

/// Where moments of a column on this grid have their origin and what they are counted in.
pub(super) fn unit(grid: &Grid) -> Unit {
    let middle = (grid.cells() / 2) as f64;
    Unit { origin: grid.low() + middle * grid.width(), length: grid.width() }
}

impl Reference {
    /// The version of the serialised form.
    pub const VERSION: u32 = 1;

    /// Fits every column of a table with the default [`ProfileOptions`]. O(n log n) a column.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) for a table without columns, for a column without a finite value or without a category, and
    /// for a column of times; all name the column. See [`Self::fit_each`] for going on without such columns.
    ///
    /// ```
    /// use mlops_core::data::{Column, Table};
    /// use mlops_drift::profile::Reference;
    /// let table = Table::new(vec![Column::f64("x", vec![f64::NAN])?])?;
    /// assert_eq!(Reference::fit(&table).err().and_then(|e| e.context("column").map(str::to_owned)).as_deref(), Some("x"));
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn fit(table: &Table<'_>) -> Result<Self> {
        Self::fit_with(table, &ProfileOptions::default())
    }

    /// Fits every column of a table.
    ///
    /// # Errors
    /// As [`Self::fit`], and for options out of range.
    ///
    /// ```
    /// use mlops_core::data::{Column, Table};
    /// use mlops_drift::profile::{ProfileOptions, Reference};
    ///
    /// let table = Table::new(vec![Column::f64("x", vec![2.0, 1.0])?])?;
    /// let reference = Reference::fit_with(&table, &ProfileOptions::default().with_keep_values(true))?;
    /// assert_eq!(reference.columns()[0].values(), Some(&[1.0, 2.0][..]));
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn fit_with(table: &Table<'_>, options: &ProfileOptions) -> Result<Self> {
        let (reference, failed) = Self::fit_each(table, options)?;
        match failed.into_iter().next() {
            Some((_, error)) => Err(error),
            None => Ok(reference),
        }
    }

    /// Fits what can be fitted: columns that cannot are left out and returned with the reason.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) for options out of range, and when no column is left: then the error is that of the first.
    ///
    /// ```
    /// use mlops_core::data::{Column, Table};
    /// use mlops_drift::profile::{ProfileOptions, Reference};
    ///
    /// let table = Table::new(vec![Column::f64("x", vec![1.0])?, Column::f64("empty", vec![f64::NAN])?])?;
    /// let (reference, failed) = Reference::fit_each(&table, &ProfileOptions::default())?;
    /// assert_eq!((reference.columns().len(), failed[0].0.as_str()), (1, "empty"));
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn fit_each(table: &Table<'_>, options: &ProfileOptions) -> Result<(Self, Vec<(String, Error)>)> {
        options.check()?;
        let (mut columns, mut failed) = (Vec::new(), Vec::new());
        for column in table.columns() {
            match fit_column(column, options) {
                Ok(fitted) => columns.push(fitted),
                Err(error) => {
                    failed.push((column.name().to_owned(), error.with("column", column.name())));
                }
            }
        }
        if columns.is_empty() {
            let none = || Error::invalid(OP, "table", "has no column to fit on");
            return Err(failed.into_iter().next().map_or_else(none, |(_, error)| error));
        }
        let digest = digest(&columns, options);
        let baseline = Profile { reference: digest, rows: 0, columns: Vec::new() };
        let mut reference = Self { options: options.clone(), columns, digest, baseline };
        reference.baseline = reference.profile(table)?;
        Ok((reference, failed))
    }

    /// The options it was fitted with.
    pub fn options(&self) -> &ProfileOptions {
        &self.options
    }

    /// The columns.
    pub fn columns(&self) -> &[ReferenceColumn] {
        &self.columns
    }

    /// What identifies the cells: profiles of references with equal digests merge. The counts are no part of it.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The reference's own profile.
    pub fn baseline(&self) -> &Profile {
        &self.baseline
    }

    /// The same cells with another baseline: cells fitted on a sample, and the whole counted where it lies, for instance by a
    /// [statement](crate::sql). Kept values are dropped, because they are the sample's.
    ///
    /// # Errors
    /// As [`Self::check`].
    pub fn with_baseline(mut self, baseline: Profile) -> Result<Self> {
        self.check(&baseline)?;
        self.columns.iter_mut().for_each(|column| column.values = None);
        self.baseline = baseline;
        Ok(self)
    }

    /// Counts a table.
    ///
    /// # Errors
    /// As [`Profiler::push`].
    pub fn profile(&self, table: &Table<'_>) -> Result<Profile> {
        let mut profiler = self.profiler()?;
        profiler.push(table)?;
        Ok(profiler.finish())
    }

    /// Starts counting tables.
    ///
    /// # Errors
    /// None for a reference that was fitted or read: its options are checked.
    pub fn profiler(&self) -> Result<Profiler<'_>> {
        Profiler::new(self)
    }

    /// Goes on counting into a profile.
    ///
    /// # Errors
    /// As [`Self::check`].
    pub fn resume(&self, profile: Profile) -> Result<Profiler<'_>> {
        Profiler::resume(self, profile)
    }

    pub(crate) fn empty_profile(&self) -> Result<Profile> {
        let empty = |column: &ReferenceColumn| match &column.kind {
            ColumnCells::Numeric { grid, .. } => {
                NumericProfile::empty(grid, &self.options).map(ColumnProfile::Numeric)
            }
            ColumnCells::Category { bins } => {
                CategoryProfile::empty(bins, &self.options).map(ColumnProfile::Category)
            }
        };
        let columns = self.columns.iter().map(empty).collect::<Result<Vec<_>>>()?;
        Ok(Profile { reference: self.digest, rows: 0, columns })
    }

    /// A profile of which a database counted nothing but the cells of numbers.
    pub(crate) fn counted(&self, rows: u64, mut columns: Vec<ColumnProfile>) -> Profile {
        for column in &mut columns {
            if let (ColumnProfile::Numeric(profile), true) = (column, rows > 0) {
                profile.detail = None;
            }
        }
        Profile { reference: self.digest, rows, columns }
    }

    /// Checks that a profile was counted against this reference and does not contradict itself.
    ///
    /// # Errors
    /// [`Conflict`](ErrorKind::Conflict) for another reference, [`InvalidInput`](ErrorKind::InvalidInput) with the column for
    /// contradictions.
    pub fn check(&self, profile: &Profile) -> Result<()> {
        const OP: &str = "Reference::check";
        if profile.reference != self.digest {
            return Err(Error::new(ErrorKind::Conflict, OP, "the profile has another reference")
                .with("reference", self.digest)
                .with("profile", profile.reference));
        }
        if profile.columns.len() != self.columns.len() {
            let message =
                format!("has {} columns, the reference {}", profile.columns.len(), self.columns.len());
            return Err(Error::invalid(OP, "profile", message));
        }
        for (column, counted) in self.columns.iter().zip(&profile.columns) {
            let wrong = match (&column.kind, counted) {
                (ColumnCells::Numeric { grid, .. }, ColumnProfile::Numeric(counted)) => {
                    counted.check(grid, profile.rows)
                }
                (ColumnCells::Category { bins }, ColumnProfile::Category(counted)) => {
                    counted.check(bins, profile.rows)
                }
                _ => Some("is of another type"),
            };
            if let Some(wrong) = wrong {
                return Err(Error::invalid(OP, "profile", wrong).with("column", &column.name));
            }
        }
        Ok(())
    }

    /// The index of a column.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound).
    pub fn index_of(&self, column: &str) -> Result<usize> {
        let found = self.columns.iter().position(|c| c.name == column);
        found.ok_or_else(|| Error::not_found("Reference::index_of", "column", column))
    }

    /// The counts of a column of a checked profile.
    pub(crate) fn counted_column<'p>(
        &self,
        profile: &'p Profile,
        column: &str,
    ) -> Result<(&ReferenceColumn, &'p ColumnProfile)> {
        self.check(profile)?;
        let index = self.index_of(column)?;
        let missing = || Error::not_found("Reference::column", "column", column);
        Ok((self.columns.get(index).ok_or_else(missing)?, profile.columns.get(index).ok_or_else(missing)?))
    }

    /// The counts of a column of a profile on its [`Bins`] or [`CategoryBins`], what is missing last: for the
    /// `…_from_counts` functions. They are exactly what the bins would count on the values.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) for an unknown column; as [`Self::check`].
    ///
    /// ```
    /// use mlops_core::data::{Column, Table};
    /// use mlops_drift::profile::Reference;
    ///
    /// let table = Table::new(vec![Column::bool("b", vec![true, false, true])?])?;
    /// let reference = Reference::fit(&table)?;
    /// // underflow, false, between, true, overflow, missing
    /// assert_eq!(reference.bin_counts(reference.baseline(), "b")?, [0, 1, 0, 2, 0, 0]);
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn bin_counts(&self, profile: &Profile, column: &str) -> Result<Vec<u64>> {
        let (fitted, counted) = self.counted_column(profile, column)?;
        let cells = counted.cells();
        let ColumnCells::Numeric { grid, cuts, .. } = &fitted.kind else { return Ok(cells.to_vec()) };
        let starts = [0].into_iter().chain(cuts.iter().copied()).chain([grid.overflow(), grid.nan()]);
        let ends = cuts.iter().copied().chain([grid.overflow(), grid.nan(), grid.len()]);
        Ok(starts.zip(ends).map(|(from, to)| cells.get(from..to).unwrap_or_default().iter().sum()).collect())
    }

    /// The moments of a column of numbers of a profile; `None` for text and where only cells were counted.
    ///
    /// # Errors
    /// As [`Self::bin_counts`].
    ///
    /// ```
    /// use mlops_core::data::{Column, Table};
    /// use mlops_drift::profile::Reference;
    ///
    /// let reference = Reference::fit(&Table::new(vec![Column::f64("x", vec![1.0, 2.0, 6.0])?])?)?;
    /// let moments = reference.moments(reference.baseline(), "x")?;
    /// assert_eq!(moments.and_then(|m| m.mean.value()), Some(3.0));
    /// assert_eq!(moments.and_then(|m| m.variance.value()), Some(7.0));
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn moments(&self, profile: &Profile, column: &str) -> Result<Option<MomentSummary>> {
        let (fitted, counted) = self.counted_column(profile, column)?;
        Ok(match (&fitted.kind, counted) {
            (ColumnCells::Numeric { grid, .. }, ColumnProfile::Numeric(counted)) => {
                counted.detail.as_ref().map(|detail| detail.moments.summary(unit(grid)))
            }
            _ => None,
        })
    }

    /// The most frequent categories of a column of text with bounds on their counts: known ones, whose counts are exact, and
    /// unseen ones from the sketch. The most frequent first, then in the order of their bytes. Empty for numbers.
    ///
    /// # Errors
    /// As [`Self::bin_counts`].
    ///
    /// ```
    /// use mlops_core::data::{Column, Table};
    /// use mlops_drift::profile::Reference;
    ///
    /// let plans = |plans: &[&'static str]| Table::new(vec![Column::text("plan", plans.iter())?]);
    /// let reference = Reference::fit(&plans(&["basic", "plus"])?)?;
    /// let week = reference.profile(&plans(&["new", "new", "basic"])?)?;
    /// assert_eq!(reference.top_categories(&week, "plan", 2)?, [("new".to_owned(), 2, 2), ("basic".to_owned(), 1, 1)]);
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn top_categories(
        &self,
        profile: &Profile,
        column: &str,
        limit: usize,
    ) -> Result<Vec<(String, u64, u64)>> {
        let (fitted, counted) = self.counted_column(profile, column)?;
        let (ColumnCells::Category { bins }, ColumnProfile::Category(counted)) = (&fitted.kind, counted)
        else {
            return Ok(Vec::new());
        };
        let mut top = counted.unseen.top(limit);
        for (cell, &count) in bins.cells().zip(&counted.cells) {
            if let (crate::CategoryCell::Known(label), true) = (cell, count > 0) {
                top.push((label.to_owned(), count, count));
            }
        }
        top.sort_unstable_by(|a, b| b.2.cmp(&a.2).then_with(|| a.0.cmp(&b.0)));
        top.truncate(limit);
        Ok(top)
    }
}

fn fit_column(column: &Column<'_>, options: &ProfileOptions) -> Result<ReferenceColumn> {
    let (kind, values) = match column.data_type() {
        DataType::Time => {
            return Err(Error::invalid(OP, "column", "times have no cells; derive a number from them"));
        }
        DataType::Category => {
            let labels = levels(column).into_iter().map(|(label, _)| label);
            let bins = CategoryBins::fit(labels)
                .map_err(|e| Error::invalid(OP, "column", "has no category to fit on").with_source(e))?;
            (ColumnCells::Category { bins }, None)
        }
        _ => fit_numbers(column, options)?,
    };
    Ok(ReferenceColumn { name: column.name().to_owned(), data_type: column.data_type(), kind, values })
}

fn fit_numbers(column: &Column<'_>, options: &ProfileOptions) -> Result<(ColumnCells, Option<Vec<f64>>)> {
    let mut finite = Vec::with_capacity(column.len());
    for_each_chunk(column, |values| {
        finite.extend(values.iter().filter(|value| value.is_finite()).map(|v| v + 0.0))
    });
    finite.sort_unstable_by(f64::total_cmp);
    let grid = Grid::fit(&finite, options.cells)?;
    let mut cells = vec![0; grid.len()];
    grid.count(&mut cells, &finite);
    let cuts = cut(&cells[1..=grid.cells()], options.bins);
    let bins = bins_of(&grid, &cuts)?;
    Ok((ColumnCells::Numeric { grid, bins, cuts }, options.keep_values.then_some(finite)))
}

/// Where bins of about equal mass begin; cells of mass 1/`bins` and more stand alone.
fn cut(cells: &[u64], bins: usize) -> Vec<usize> {
    let n: u64 = cells.iter().sum();
    let heavy = |count: u64| count >= 2 && u128::from(count) * bins as u128 >= u128::from(n);
    let mut starts = vec![1];
    let mut push = |start: usize| {
        if start <= cells.len() && starts.last().is_none_or(|&last| start > last) {
            starts.push(start);
        }
    };
    let mut from = 0;
    for to in 0..=cells.len() {
        if cells.get(to).is_some_and(|&count| !heavy(count)) {
            continue;
        }
        cut_segment(&cells[from..to], from + 1, n, bins, &mut push);
        push(to + 1);
        push(to + 2);
        from = to + 1;
    }
    starts
}

/// Cuts the cells between two heavy ones, of which the first has index `first`, into their share of the bins.
fn cut_segment(cells: &[u64], first: usize, n: u64, bins: usize, push: &mut impl FnMut(usize)) {
    let mass: u64 = cells.iter().sum();
    if mass == 0 {
        return;
    }
    let (mass, n, bins) = (u128::from(mass), u128::from(n), bins as u128);
    let share = ((2 * bins * mass + n) / (2 * n)).max(1);
    let (mut before, mut next) = (0_u128, 1);
    for (i, &count) in cells.iter().enumerate() {
        before += u128::from(count);
        if next < share && before * share >= next * mass {
            push(first + i + 1);
            next = before * share / mass + 1;
        }
    }
}

/// The bins that begin at these cells, on the doubles: every value is in the bin of its cell.
fn bins_of(grid: &Grid, cuts: &[usize]) -> Result<Bins> {
    let last = grid.threshold(grid.overflow()).next_down();
    let mut edges: Vec<f64> = cuts.iter().map(|&cut| grid.threshold(cut)).collect();
    if edges.last().is_some_and(|&edge| edge < last) {
        edges.push(last);
        return Bins::from_edges(&edges)
            .map_err(|e| Error::invalid(OP, "cuts", "give no bins").with_source(e));
    }
    Err(Error::invalid(OP, "cuts", "leave no room for the last bin"))
}

fn digest(columns: &[ReferenceColumn], options: &ProfileOptions) -> Digest {
    let mut hasher = Hasher::new("mlops-drift.reference/v1");
    let size = |size: Option<u64>| size.map_or(u64::MAX, |size| size).to_le_bytes();
    hasher.push(&size(options.distinct.map(u64::from)));
    hasher.push(&size(options.quantiles.map(u64::from)));
    hasher.push(&[options.frequent]);
    for column in columns {
        hasher.push(column.name.as_bytes());
        match &column.kind {
            ColumnCells::Numeric { grid, bins, .. } => {
                hasher.push(b"numeric");
                hasher.push(&grid.low().to_bits().to_le_bytes());
                hasher.push(&grid.width().to_bits().to_le_bytes());
                hasher.push(&(grid.cells() as u64).to_le_bytes());
                hasher.push(bins.digest().as_bytes());
            }
            ColumnCells::Category { bins } => {
                hasher.push(b"category");
                hasher.push(bins.digest().as_bytes());
            }
        }
    }
    hasher.finish()
}

impl TryFrom<Stored> for Reference {
    type Error = String;

    fn try_from(stored: Stored) -> std::result::Result<Self, String> {
        if stored.version != Self::VERSION {
            return Err(format!(
                "references of version {} are not known, only {}",
                stored.version,
                Self::VERSION
            ));
        }
        stored.options.check().map_err(|e| e.to_string())?;
        if stored.columns.is_empty() {
            return Err("a reference needs columns".to_owned());
        }
        let mut names: Vec<&str> = stored.columns.iter().map(|column| column.name.as_str()).collect();
        names.sort_unstable();
        if names.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err("a reference has two columns of one name".to_owned());
        }
        let columns = stored.columns.into_iter().map(restore).collect::<std::result::Result<Vec<_>, _>>()?;
        let digest = digest(&columns, &stored.options);
        let reference = Self { options: stored.options, columns, digest, baseline: stored.baseline };
        reference.check(&reference.baseline).map_err(|e| e.to_string())?;
        reference.check_values()?;
        Ok(reference)
    }
}

impl Reference {
    /// Kept values are those that were counted.
    fn check_values(&self) -> std::result::Result<(), String> {
        for (column, counted) in self.columns.iter().zip(&self.baseline.columns) {
            let (Some(values), ColumnCells::Numeric { grid, .. }) = (&column.values, &column.kind) else {
                continue;
            };
            let mut cells = vec![0; grid.len()];
            grid.count(&mut cells, values);
            let finite = counted.cells().len() == cells.len() && {
                let ColumnProfile::Numeric(numeric) = counted else {
                    return Err("values of text".to_owned());
                };
                numeric.detail.as_ref().is_some_and(|detail| detail.moments.count() == values.len() as u64)
                    && (1..=grid.cells()).all(|i| cells[i] == counted.cells()[i])
            };
            if !finite
                || values.iter().any(|v| !v.is_finite())
                || values.windows(2).any(|pair| pair[0] > pair[1])
            {
                return Err(format!(
                    "the values of {} are not those that were counted",
                    mlops_core::error::quote(&column.name)
                ));
            }
        }
        Ok(())
    }
}

fn restore(stored: StoredColumn) -> std::result::Result<ReferenceColumn, String> {
    let StoredColumn { name, data_type, cells, values } = stored;
    if name.is_empty() {
        return Err("a column needs a name".to_owned());
    }
    let kind = match cells {
        StoredCells::Category(bins) if data_type == DataType::Category && values.is_none() => {
            ColumnCells::Category { bins }
        }
        StoredCells::Numeric { grid, cuts } if !matches!(data_type, DataType::Category | DataType::Time) => {
            let ascending = cuts.windows(2).all(|pair| pair[0] < pair[1]);
            if cuts.first() != Some(&1) || cuts.last().is_none_or(|&last| last > grid.cells()) || !ascending {
                return Err("bins need distinct cells in ascending order, the first of them 1".to_owned());
            }
            let bins = bins_of(&grid, &cuts).map_err(|e| e.to_string())?;
            ColumnCells::Numeric { grid, bins, cuts }
        }
        _ => return Err(format!("the cells of {} do not go with its type", mlops_core::error::quote(&name))),
    };
    Ok(ReferenceColumn { name, data_type, kind, values })
}

impl From<Reference> for Stored {
    fn from(reference: Reference) -> Self {
        let columns = reference.columns.into_iter().map(|column| StoredColumn {
            name: column.name,
            data_type: column.data_type,
            cells: match column.kind {
                ColumnCells::Numeric { grid, cuts, .. } => StoredCells::Numeric { grid, cuts },
                ColumnCells::Category { bins } => StoredCells::Category(bins),
            },
            values: column.values,
        });
        Self {
            version: Reference::VERSION,
            options: reference.options,
            columns: columns.collect(),
            baseline: reference.baseline,
        }
    }
}
