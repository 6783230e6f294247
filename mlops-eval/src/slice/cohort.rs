//! Cohorts: parts of the data that somebody declared in words a file can hold.

use std::fmt;

use mlops_core::error::quote;
use mlops_core::{Error, Result};
use serde::{Deserialize, Serialize};

/// The most filters a cohort may hold, composite ones included.
pub const MAX_FILTERS: usize = 1_000;
/// The most composite filters that may lie in each other.
pub const MAX_DEPTH: usize = 32;
/// The most values one filter may list.
pub const MAX_VALUES: usize = 100_000;

const OP: &str = "Cohort";

/// A value that a filter compares with.
///
/// Numbers are compared as numbers, with integers of a column exactly; against categories every value is compared by its text.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum FilterValue {
    /// True or false; 1 or 0 beside numbers.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// Any other finite number.
    Number(f64),
    /// Text: a category, or the name of an outcome.
    Text(String),
}

impl FilterValue {
    /// As a number; `None` for text.
    pub(super) fn number(&self) -> Option<f64> {
        match self {
            Self::Bool(value) => Some(f64::from(u8::from(*value))),
            Self::Integer(value) => Some(*value as f64),
            Self::Number(value) => Some(*value),
            Self::Text(_) => None,
        }
    }
}

impl fmt::Display for FilterValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(value) => value.fmt(f),
            Self::Integer(value) => value.fmt(f),
            Self::Number(value) => value.fmt(f),
            Self::Text(text) => f.write_str(&quote(text)),
        }
    }
}

impl From<f64> for FilterValue {
    fn from(value: f64) -> Self {
        Self::Number(value)
    }
}

impl From<i64> for FilterValue {
    fn from(value: i64) -> Self {
        Self::Integer(value)
    }
}

impl From<bool> for FilterValue {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<&str> for FilterValue {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

/// How a filter compares. Serialises as the word of the Responsible AI Toolbox.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum FilterMethod {
    /// More than a number.
    #[serde(rename = "greater")]
    Greater,
    /// A number or more.
    #[serde(rename = "greater and equal")]
    GreaterAndEqual,
    /// Less than a number.
    #[serde(rename = "less")]
    Less,
    /// A number or less.
    #[serde(rename = "less and equal")]
    LessAndEqual,
    /// One value.
    #[serde(rename = "equal")]
    Equal,
    /// One of several values.
    #[serde(rename = "includes")]
    Includes,
    /// None of several values. A missing value is none of them.
    #[serde(rename = "excludes")]
    Excludes,
    /// Between two numbers, both included.
    #[serde(rename = "in the range of")]
    InTheRangeOf,
}

/// How filters are put together.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FilterOperation {
    /// Every one holds.
    And,
    /// At least one holds.
    Or,
    /// The only one does not hold. Not among the words of the Responsible AI Toolbox.
    Not,
}

/// Which rows: a comparison of one column, or filters put together.
///
/// Serialises as the Responsible AI Toolbox writes filters (`method`, `arg`, `column`; composite ones of error analysis:
/// `compositeFilters`, `operation`), so that its files are read and written as they are. What is read is checked.
///
/// # Missing values
/// A value that is missing or NaN satisfies no comparison; `excludes` holds for it, as it does in pandas. Every filter is
/// either true or false of a row, so a row is in a cohort or in its negation.
///
/// ```
/// use mlops_eval::slice::Filter;
///
/// let filter = Filter::at_least("age", 60.0)?.and(Filter::includes("sex", ["f"])?)?;
/// assert_eq!(filter.to_string(), "age >= 60 & sex in {f}");
/// let text = serde_json::to_string(&filter)?;
/// assert!(text.contains(r#"{"method":"greater and equal","arg":[60.0],"column":"age"}"#));
/// assert_eq!(serde_json::from_str::<Filter>(&text)?, filter);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub struct Filter(Node);

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Node {
    Compare { column: String, method: FilterMethod, values: Vec<FilterValue> },
    Composite { operation: FilterOperation, filters: Vec<Filter> },
}

/// As it is written down.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Stored {
    Compare(StoredCompare),
    Composite(StoredComposite),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredCompare {
    method: FilterMethod,
    arg: Vec<FilterValue>,
    column: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredComposite {
    #[serde(rename = "compositeFilters")]
    filters: Vec<Filter>,
    operation: FilterOperation,
}

impl Filter {
    /// A comparison of one column.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](mlops_core::ErrorKind::InvalidInput) that names the column: for an empty name; no value or
    /// too many of them for the method; values that are not numbers where the method orders; NaN or infinity; a range whose
    /// ends are the wrong way round. [`ErrorKind::LimitExceeded`](mlops_core::ErrorKind::LimitExceeded) for more than
    /// [`MAX_VALUES`] values.
    pub fn new<V: Into<FilterValue>>(
        column: impl Into<String>,
        method: FilterMethod,
        values: impl IntoIterator<Item = V>,
    ) -> Result<Self> {
        let (column, values) = (column.into(), values.into_iter().map(Into::into).collect());
        Self(Node::Compare { column, method, values }).checked()
    }

    /// More than `bound`.
    ///
    /// # Errors
    /// Those of [`new`](Self::new).
    pub fn greater(column: impl Into<String>, bound: f64) -> Result<Self> {
        Self::new(column, FilterMethod::Greater, [bound])
    }

    /// `bound` or more.
    ///
    /// # Errors
    /// Those of [`new`](Self::new).
    pub fn at_least(column: impl Into<String>, bound: f64) -> Result<Self> {
        Self::new(column, FilterMethod::GreaterAndEqual, [bound])
    }

    /// Less than `bound`.
    ///
    /// # Errors
    /// Those of [`new`](Self::new).
    pub fn less(column: impl Into<String>, bound: f64) -> Result<Self> {
        Self::new(column, FilterMethod::Less, [bound])
    }

    /// `bound` or less.
    ///
    /// # Errors
    /// Those of [`new`](Self::new).
    pub fn at_most(column: impl Into<String>, bound: f64) -> Result<Self> {
        Self::new(column, FilterMethod::LessAndEqual, [bound])
    }

    /// Exactly this value.
    ///
    /// # Errors
    /// Those of [`new`](Self::new).
    pub fn equal(column: impl Into<String>, value: impl Into<FilterValue>) -> Result<Self> {
        Self::new(column, FilterMethod::Equal, [value])
    }

    /// One of these values.
    ///
    /// # Errors
    /// Those of [`new`](Self::new).
    pub fn includes<V: Into<FilterValue>>(
        column: impl Into<String>,
        values: impl IntoIterator<Item = V>,
    ) -> Result<Self> {
        Self::new(column, FilterMethod::Includes, values)
    }

    /// None of these values.
    ///
    /// # Errors
    /// Those of [`new`](Self::new).
    pub fn excludes<V: Into<FilterValue>>(
        column: impl Into<String>,
        values: impl IntoIterator<Item = V>,
    ) -> Result<Self> {
        Self::new(column, FilterMethod::Excludes, values)
    }

    /// From `low` to `high`, both included.
    ///
    /// # Errors
    /// Those of [`new`](Self::new).
    pub fn in_the_range_of(column: impl Into<String>, low: f64, high: f64) -> Result<Self> {
        Self::new(column, FilterMethod::InTheRangeOf, [low, high])
    }

    /// The rows for which every filter holds.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](mlops_core::ErrorKind::InvalidInput) without filters;
    /// [`ErrorKind::LimitExceeded`](mlops_core::ErrorKind::LimitExceeded) for more than [`MAX_FILTERS`], or more than
    /// [`MAX_DEPTH`] in each other.
    pub fn all(filters: impl IntoIterator<Item = Self>) -> Result<Self> {
        Self::composite(FilterOperation::And, filters)
    }

    /// The rows for which at least one filter holds.
    ///
    /// # Errors
    /// Those of [`all`](Self::all).
    pub fn any(filters: impl IntoIterator<Item = Self>) -> Result<Self> {
        Self::composite(FilterOperation::Or, filters)
    }

    /// The rows for which both hold.
    ///
    /// # Errors
    /// Those of [`all`](Self::all).
    pub fn and(self, other: Self) -> Result<Self> {
        Self::all([self, other])
    }

    /// The rows for which at least one of the two holds.
    ///
    /// # Errors
    /// Those of [`all`](Self::all).
    pub fn or(self, other: Self) -> Result<Self> {
        Self::any([self, other])
    }

    /// The rows for which it does not hold, those with missing values among them.
    ///
    /// # Errors
    /// Those of [`all`](Self::all).
    pub fn negated(self) -> Result<Self> {
        Self::composite(FilterOperation::Not, [self])
    }

    fn composite(operation: FilterOperation, filters: impl IntoIterator<Item = Self>) -> Result<Self> {
        let filters = filters.into_iter().collect();
        Self(Node::Composite { operation, filters }).checked()
    }

    pub(super) fn node(&self) -> &Node {
        &self.0
    }

    /// Whether the Responsible AI Toolbox has words for it: it has none for "not".
    ///
    /// ```
    /// use mlops_eval::slice::Filter;
    /// let young = Filter::less("age", 30.0)?;
    /// assert!(young.is_rai() && !young.negated()?.is_rai());
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn is_rai(&self) -> bool {
        match &self.0 {
            Node::Compare { .. } => true,
            Node::Composite { operation: FilterOperation::Not, .. } => false,
            Node::Composite { filters, .. } => filters.iter().all(Self::is_rai),
        }
    }

    fn checked(self) -> Result<Self> {
        match &self.0 {
            Node::Compare { column, method, values } => check_compare(column, *method, values)?,
            Node::Composite { operation, filters } => {
                let wanted = if *operation == FilterOperation::Not { 1..=1 } else { 1..=MAX_FILTERS };
                if !wanted.contains(&filters.len()) && filters.len() <= MAX_FILTERS {
                    let message = format!("`{}` does not take {} filters", word(*operation), filters.len());
                    return Err(Error::invalid(OP, "compositeFilters", message));
                }
            }
        }
        let (filters, depth) = self.size();
        if filters > MAX_FILTERS {
            return Err(Error::limit(OP, "the number of filters", MAX_FILTERS, filters));
        }
        if depth > MAX_DEPTH {
            return Err(Error::limit(OP, "the depth of composite filters", MAX_DEPTH, depth));
        }
        Ok(self)
    }

    /// The number of filters, and how many composite ones lie in each other. Parts have been checked, so this ends soon.
    fn size(&self) -> (usize, usize) {
        match &self.0 {
            Node::Compare { .. } => (1, 0),
            Node::Composite { filters, .. } => {
                let sizes = filters.iter().map(Self::size);
                let (filters, depth) =
                    sizes.fold((0, 0), |(n, d), (m, e)| (usize::saturating_add(n, m), d.max(e)));
                (filters.saturating_add(1), depth + 1)
            }
        }
    }
}

fn word(operation: FilterOperation) -> &'static str {
    match operation {
        FilterOperation::And => "and",
        FilterOperation::Or => "or",
        FilterOperation::Not => "not",
    }
}

fn check_compare(column: &str, method: FilterMethod, values: &[FilterValue]) -> Result<()> {
    let bad = |message: &str| Err(Error::invalid(OP, "arg", message).with("column", column));
    if column.is_empty() {
        return Err(Error::invalid(OP, "column", "must not be empty"));
    }
    if values.len() > MAX_VALUES {
        return Err(Error::limit(OP, "the number of values", MAX_VALUES, values.len()).with("column", column));
    }
    if values.iter().any(|value| matches!(value, FilterValue::Number(number) if !number.is_finite())) {
        return bad("must be finite");
    }
    let numbers: Option<Vec<f64>> = values.iter().map(FilterValue::number).collect();
    match (method, values.len()) {
        (_, 0) => bad("must not be empty"),
        (FilterMethod::Includes | FilterMethod::Excludes, _) | (FilterMethod::Equal, 1) => Ok(()),
        (FilterMethod::InTheRangeOf, 2) => match numbers.as_deref() {
            Some([low, high]) if low <= high => Ok(()),
            Some(_) => bad("must have its lower end first"),
            None => bad("must be two numbers"),
        },
        (FilterMethod::InTheRangeOf, _) => bad("must be two numbers"),
        (FilterMethod::Equal, _) => bad("must be one value"),
        (_, 1) if numbers.is_some() => Ok(()),
        _ => bad("must be one number"),
    }
}

impl TryFrom<Stored> for Filter {
    type Error = Error;

    fn try_from(stored: Stored) -> Result<Self> {
        let node = match stored {
            Stored::Compare(StoredCompare { method, arg: values, column }) => {
                Node::Compare { column, method, values }
            }
            Stored::Composite(StoredComposite { filters, operation }) => {
                Node::Composite { operation, filters }
            }
        };
        Self(node).checked()
    }
}

impl From<Filter> for Stored {
    fn from(filter: Filter) -> Self {
        match filter.0 {
            Node::Compare { column, method, values } => {
                Self::Compare(StoredCompare { method, arg: values, column })
            }
            Node::Composite { operation, filters } => Self::Composite(StoredComposite { filters, operation }),
        }
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Node::Compare { column, method, values } => compare_text(f, &quote(column), *method, values),
            Node::Composite { operation: FilterOperation::Not, filters } => match filters.first() {
                Some(filter) => write!(f, "not ({filter})"),
                None => Ok(()),
            },
            Node::Composite { operation, filters } => {
                let sign = if *operation == FilterOperation::And { " & " } else { " | " };
                for (position, filter) in filters.iter().enumerate() {
                    f.write_str(if position == 0 { "" } else { sign })?;
                    let plain = match &filter.0 {
                        Node::Compare { .. } => true,
                        Node::Composite { operation: inner, .. } => *inner == FilterOperation::Not,
                    };
                    if plain { write!(f, "{filter}")? } else { write!(f, "({filter})")? }
                }
                Ok(())
            }
        }
    }
}

/// The most values a name spells out.
const SHOWN: usize = 8;

fn compare_text(
    f: &mut fmt::Formatter<'_>,
    column: &str,
    method: FilterMethod,
    values: &[FilterValue],
) -> fmt::Result {
    let sign = match (method, values) {
        (FilterMethod::InTheRangeOf, [low, high]) => return write!(f, "{low} <= {column} <= {high}"),
        (FilterMethod::Greater, _) => ">",
        (FilterMethod::GreaterAndEqual, _) => ">=",
        (FilterMethod::Less, _) => "<",
        (FilterMethod::LessAndEqual, _) => "<=",
        (FilterMethod::Equal, _) => "=",
        (FilterMethod::Excludes, _) => "not in",
        (FilterMethod::Includes | FilterMethod::InTheRangeOf, _) => "in",
    };
    let shown: Vec<String> = values.iter().take(SHOWN).map(ToString::to_string).collect();
    let more = if values.len() > SHOWN { ", …" } else { "" };
    match method {
        FilterMethod::Includes | FilterMethod::Excludes => {
            write!(f, "{column} {sign} {{{}{more}}}", shown.join(", "))
        }
        _ => write!(f, "{column} {sign} {}", shown.join(", ")),
    }
}

/// A named part of the data, declared: the rows for which every filter holds.
///
/// Reads and writes the Responsible AI Toolbox's cohort files (`raiutils`: `name` and `cohort_filter_list`), and reads what error
/// analysis sends (`filters` and `compositeFilters`). A cohort without filters is all rows.
///
/// ```
/// use mlops_core::data::{Column, Table};
/// use mlops_eval::slice::{Cohort, CohortRows};
///
/// let text = r#"{"name": "older women", "cohort_filter_list": [
///     {"method": "greater", "arg": [60], "column": "age"},
///     {"method": "includes", "arg": ["f"], "column": "sex"}]}"#;
/// let cohort: Cohort = serde_json::from_str(text)?;
/// let table = Table::new(vec![Column::f64("age", vec![70.0, 61.0, 30.0])?, Column::text("sex", ["f", "m", "f"])?])?;
/// let slice = cohort.slice(&CohortRows::new(&table))?;
/// assert_eq!((slice.name(), slice.mask()), ("older women", &[true, false, false][..]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "StoredCohort", into = "StoredCohort")]
pub struct Cohort {
    name: String,
    filters: Vec<Filter>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredCohort {
    name: String,
    #[serde(default, alias = "filters")]
    cohort_filter_list: Option<Vec<Filter>>,
    #[serde(
        default,
        rename = "compositeFilters",
        alias = "composite_filters",
        skip_serializing_if = "Vec::is_empty"
    )]
    composite: Vec<Filter>,
}

impl Cohort {
    /// The rows for which all of these hold.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](mlops_core::ErrorKind::InvalidInput) for an empty name;
    /// [`ErrorKind::LimitExceeded`](mlops_core::ErrorKind::LimitExceeded) for more than [`MAX_FILTERS`].
    pub fn new(name: impl Into<String>, filters: impl IntoIterator<Item = Filter>) -> Result<Self> {
        let (name, filters) = (name.into(), filters.into_iter().collect::<Vec<_>>());
        if name.is_empty() {
            return Err(Error::invalid(OP, "name", "must not be empty"));
        }
        let count = filters.iter().map(|filter| filter.size().0).fold(0, usize::saturating_add);
        if count > MAX_FILTERS {
            return Err(Error::limit(OP, "the number of filters", MAX_FILTERS, count));
        }
        Ok(Self { name, filters })
    }

    /// The rows of one filter, named by what it says.
    ///
    /// ```
    /// use mlops_eval::slice::{Cohort, Filter};
    /// let cohort = Cohort::of(Filter::in_the_range_of("age", 18.0, 65.0)?)?;
    /// assert_eq!(cohort.name(), "18 <= age <= 65");
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`new`](Self::new).
    pub fn of(filter: Filter) -> Result<Self> {
        Self::new(filter.to_string(), [filter])
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The filters, all of which hold.
    pub fn filters(&self) -> &[Filter] {
        &self.filters
    }

    /// What it says: the filters as one line.
    ///
    /// ```
    /// use mlops_eval::slice::{Cohort, Filter};
    /// let cohort = Cohort::new("young", [Filter::less("age", 30.0)?, Filter::equal("sex", "f")?])?;
    /// assert_eq!(cohort.definition(), "age < 30 & sex = f");
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn definition(&self) -> String {
        match &self.filters[..] {
            [] => "all rows".to_owned(),
            [filter] => filter.to_string(),
            filters => Filter(Node::Composite { operation: FilterOperation::And, filters: filters.to_vec() })
                .to_string(),
        }
    }

    /// Whether the Responsible AI Toolbox has words for all of it.
    pub fn is_rai(&self) -> bool {
        self.filters.iter().all(Filter::is_rai)
    }
}

impl TryFrom<StoredCohort> for Cohort {
    type Error = Error;

    fn try_from(stored: StoredCohort) -> Result<Self> {
        let filters = stored.cohort_filter_list.unwrap_or_default().into_iter();
        Self::new(stored.name, filters.chain(stored.composite))
    }
}

impl From<Cohort> for StoredCohort {
    fn from(cohort: Cohort) -> Self {
        Self { name: cohort.name, cohort_filter_list: Some(cohort.filters), composite: Vec::new() }
    }
}
