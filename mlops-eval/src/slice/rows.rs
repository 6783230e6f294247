//! Which rows a cohort has: its filters asked of a table, and of truth and predictions beside it.

use std::borrow::Cow;

use mlops_core::data::{Column, Table, Values};
use mlops_core::error::quote;
use mlops_core::{Error, ErrorKind, Result};

use super::cohort::{Cohort, Filter, FilterMethod, FilterOperation, FilterValue, Node};
use super::declared::Slice;

const OP: &str = "Cohort::slice";

/// Columns that are no features, by the names the Responsible AI Toolbox gives them. They come before columns of the table.
const INDEX: &str = "Index";
const TRUE_Y: &str = "True Y";
const PREDICTED_Y: &str = "Predicted Y";
const ERROR: &str = "Error";
const OUTCOME: &str = "Classification outcome";
const BUILT_IN: [&str; 5] = [INDEX, TRUE_Y, PREDICTED_Y, ERROR, OUTCOME];

/// The outcomes of a binary classification by 2·truth + prediction: the codes and the names the toolbox gives them.
const OUTCOMES: [&str; 4] = ["True negative", "False positive", "False negative", "True positive"];

/// What filters look at: a table, and where they are known the truth and the predictions.
///
/// Beside the table's columns there are `Index` (the row, from 0), `True Y`, `Predicted Y`, `Error` (|true − predicted|, numeric
/// targets) and `Classification outcome` (`True positive`, `False positive`, `True negative`, `False negative`, for boolean
/// columns or numbers that are 0 or 1).
///
/// ```
/// use mlops_core::data::{Column, Table};
/// use mlops_eval::slice::{Cohort, CohortRows, Filter};
///
/// let table = Table::new(vec![Column::f64("age", vec![70.0, 61.0, 30.0])?])?;
/// let truth = Column::bool("ill", vec![true, false, true])?;
/// let predicted = Column::bool("predicted", vec![true, true, false])?;
/// let rows = CohortRows::new(&table).with_truth(&truth).with_predictions(&predicted);
/// let wrong = Filter::includes("Classification outcome", ["False positive", "False negative"])?;
/// assert_eq!(Cohort::new("wrong", [wrong])?.slice(&rows)?.mask(), [false, true, true]);
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct CohortRows<'a> {
    table: &'a Table<'a>,
    truth: Option<&'a Column<'a>>,
    predicted: Option<&'a Column<'a>>,
}

impl<'a> CohortRows<'a> {
    /// The rows of a table.
    pub fn new(table: &'a Table<'a>) -> Self {
        Self { table, truth: None, predicted: None }
    }

    /// Adds the truth.
    #[must_use]
    pub fn with_truth(mut self, truth: &'a Column<'a>) -> Self {
        self.truth = Some(truth);
        self
    }

    /// Adds the predictions.
    #[must_use]
    pub fn with_predictions(mut self, predicted: &'a Column<'a>) -> Self {
        self.predicted = Some(predicted);
        self
    }

    /// The number of rows.
    fn rows(&self) -> usize {
        match (self.truth, self.predicted) {
            (Some(column), _) | (None, Some(column)) if self.table.columns().is_empty() => column.len(),
            _ => self.table.rows(),
        }
    }

    fn check(&self) -> Result<()> {
        let rows = self.rows();
        for (name, column) in [(TRUE_Y, self.truth), (PREDICTED_Y, self.predicted)] {
            if let Some(column) = column.filter(|column| column.len() != rows) {
                let message = format!("has {} rows but there are {rows}", column.len());
                return Err(Error::invalid(OP, "rows", message).with("column", name));
            }
        }
        Ok(())
    }

    fn target(&self, name: &'static str) -> Result<&'a Column<'a>> {
        let (column, what) = match name {
            TRUE_Y => (self.truth, "the truth"),
            _ => (self.predicted, "the predictions"),
        };
        column.ok_or_else(|| {
            Error::new(ErrorKind::NotFound, OP, format!("the filter needs {what}, which were not given"))
                .with("column", name)
        })
    }

    fn column(&self, name: &str) -> Result<Looked<'a>> {
        match name {
            INDEX => Ok(Looked::Numbers((0..self.rows()).map(|row| row as f64).collect())),
            TRUE_Y => Ok(Looked::Column(self.target(TRUE_Y)?)),
            PREDICTED_Y => Ok(Looked::Column(self.target(PREDICTED_Y)?)),
            ERROR => self.errors().map(Looked::Numbers),
            OUTCOME => self.outcomes().map(Looked::Outcomes),
            _ => self.table.get(name).map(Looked::Column).ok_or_else(|| self.unknown(name)),
        }
    }

    fn errors(&self) -> Result<Vec<f64>> {
        let number = |name| {
            let column = self.target(name)?;
            column.to_f64().map_err(|_| {
                Error::invalid(OP, "rows", "an error needs numbers, the column has categories")
                    .with("column", name)
            })
        };
        let (truth, predicted) = (number(TRUE_Y)?, number(PREDICTED_Y)?);
        Ok(truth.iter().zip(predicted.iter()).map(|(truth, predicted)| (truth - predicted).abs()).collect())
    }

    fn outcomes(&self) -> Result<Vec<Option<u8>>> {
        let binary = |name| {
            let column = self.target(name)?;
            let other = || {
                let message = "an outcome needs a column that is true or false, or 0 or 1";
                Error::invalid(OP, "rows", message).with("column", name)
            };
            let values = column.to_f64().map_err(|_| other())?;
            if values.iter().any(|value| !(value.is_nan() || *value == 0.0 || *value == 1.0)) {
                return Err(other());
            }
            Ok::<Cow<'_, [f64]>, Error>(values)
        };
        let (truth, predicted) = (binary(TRUE_Y)?, binary(PREDICTED_Y)?);
        let outcome = |(truth, predicted): (&f64, &f64)| {
            let known = !truth.is_nan() && !predicted.is_nan();
            known.then(|| u8::from(*truth == 1.0) << 1 | u8::from(*predicted == 1.0))
        };
        Ok(truth.iter().zip(predicted.iter()).map(outcome).collect())
    }

    fn unknown(&self, name: &str) -> Error {
        let known: Vec<&str> = self.table.names().chain(BUILT_IN).collect();
        let message = match nearest(name, &known) {
            Some(near) => format!("no such column; did you mean `{}`?", quote(near)),
            None => "no such column".to_owned(),
        };
        Error::new(ErrorKind::NotFound, OP, message).with("column", name)
    }
}

/// What a filter looks at.
enum Looked<'a> {
    Column(&'a Column<'a>),
    Numbers(Vec<f64>),
    Outcomes(Vec<Option<u8>>),
}

impl Cohort {
    /// The rows of the cohort. O(filters · n).
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] for a column that is not there, with the nearest name that is, and for truth or predictions that
    /// a filter needs; [`ErrorKind::InvalidInput`] that names the column, for an order among categories, text beside numbers,
    /// an outcome that is none, or columns that differ in length.
    pub fn slice(&self, rows: &CohortRows<'_>) -> Result<Slice> {
        rows.check()?;
        let mut mask = vec![true; rows.rows()];
        for filter in self.filters() {
            let inside = marks(filter, rows)?;
            mask.iter_mut().zip(inside).for_each(|(all, inside)| *all &= inside);
        }
        Ok(Slice::new(self.name(), mask))
    }
}

fn marks(filter: &Filter, rows: &CohortRows<'_>) -> Result<Vec<bool>> {
    match filter.node() {
        Node::Compare { column, method, values } => match rows.column(column)? {
            Looked::Numbers(numbers) => Compare { column, method: *method, values }.numbers(&numbers),
            Looked::Outcomes(outcomes) => Compare { column, method: *method, values }.outcomes(&outcomes),
            Looked::Column(looked) => Compare { column, method: *method, values }.column(looked),
        },
        Node::Composite { operation, filters } => {
            let start = *operation == FilterOperation::And;
            let mut mask = vec![start; rows.rows()];
            for filter in filters {
                let inside = marks(filter, rows)?;
                let both = mask.iter_mut().zip(inside);
                match operation {
                    FilterOperation::And => both.for_each(|(all, inside)| *all &= inside),
                    FilterOperation::Or => both.for_each(|(any, inside)| *any |= inside),
                    FilterOperation::Not => both.for_each(|(outside, inside)| *outside = !inside),
                }
            }
            Ok(mask)
        }
    }
}

/// A comparison of one column.
struct Compare<'a> {
    column: &'a str,
    method: FilterMethod,
    values: &'a [FilterValue],
}

impl Compare<'_> {
    fn bad(&self, message: &str) -> Error {
        Error::invalid(OP, "arg", message).with("column", self.column)
    }

    fn column(&self, column: &Column<'_>) -> Result<Vec<bool>> {
        match column.values() {
            Values::Category { codes, levels } => self.categories(column, codes, levels),
            // Beyond 2⁵³ neighbouring integers are one f64: they are compared as what they are.
            Values::I64(values) if self.is_whole() => self.integers(column, values),
            _ => self.numbers(&column.to_f64()?),
        }
    }

    fn is_whole(&self) -> bool {
        self.values.iter().all(|value| matches!(value, FilterValue::Integer(_) | FilterValue::Bool(_)))
    }

    fn integers(&self, column: &Column<'_>, numbers: &[i64]) -> Result<Vec<bool>> {
        let values = self.values.iter().map(|value| match value {
            FilterValue::Integer(value) => *value,
            other => i64::from(*other == FilterValue::Bool(true)),
        });
        let inside = ordered(self.method, values.collect())?;
        let missing = self.method == FilterMethod::Excludes;
        let mark = |(row, number): (usize, &i64)| if column.is_valid(row) { inside(number) } else { missing };
        Ok(numbers.iter().enumerate().map(mark).collect())
    }

    fn numbers(&self, numbers: &[f64]) -> Result<Vec<bool>> {
        let values: Option<Vec<f64>> = self.values.iter().map(FilterValue::number).collect();
        let inside =
            ordered(self.method, values.ok_or_else(|| self.bad("is text, the column has numbers"))?)?;
        let missing = self.method == FilterMethod::Excludes;
        Ok(numbers.iter().map(|number| if number.is_nan() { missing } else { inside(number) }).collect())
    }

    fn categories(&self, column: &Column<'_>, codes: &[u32], levels: &[String]) -> Result<Vec<bool>> {
        let excludes = match self.method {
            FilterMethod::Equal | FilterMethod::Includes => false,
            FilterMethod::Excludes => true,
            _ => return Err(self.bad("asks for an order, which categories do not have")),
        };
        let texts: std::collections::HashSet<Cow<'_, str>> = self.values.iter().map(plain).collect();
        let listed: Vec<bool> = levels.iter().map(|level| texts.contains(level.as_str())).collect();
        let mark = |(row, &code): (usize, &u32)| {
            let place = usize::try_from(code).unwrap_or(usize::MAX);
            let is_listed = column.is_valid(row) && listed.get(place).copied().unwrap_or(false);
            is_listed != excludes
        };
        Ok(codes.iter().enumerate().map(mark).collect())
    }

    fn outcomes(&self, outcomes: &[Option<u8>]) -> Result<Vec<bool>> {
        let excludes = match self.method {
            FilterMethod::Equal | FilterMethod::Includes => false,
            FilterMethod::Excludes => true,
            _ => return Err(self.bad("asks for an order, which outcomes do not have")),
        };
        let mut listed = [false; 4];
        for value in self.values {
            let place = match value {
                FilterValue::Integer(code) => usize::try_from(*code).ok(),
                value => OUTCOMES.iter().position(|name| plain(value) == *name),
            };
            match place.and_then(|place| listed.get_mut(place)) {
                Some(listed) => *listed = true,
                None => return Err(self.unknown_outcome(value)),
            }
        }
        let is_listed = |code: &Option<u8>| code.is_some_and(|code| listed[usize::from(code & 3)]);
        Ok(outcomes.iter().map(|code| is_listed(code) != excludes).collect())
    }

    fn unknown_outcome(&self, value: &FilterValue) -> Error {
        let near = nearest(&plain(value), &OUTCOMES);
        let near = near.map_or_else(|| OUTCOMES.join(", "), |near| format!("did you mean `{near}`?"));
        self.bad(&format!("`{value}` is no outcome; {near}"))
    }
}

/// The text of a value, as a category has it.
fn plain(value: &FilterValue) -> Cow<'_, str> {
    match value {
        FilterValue::Text(text) => Cow::Borrowed(text),
        other => Cow::Owned(other.to_string()),
    }
}

type Inside<T> = Box<dyn Fn(&T) -> bool>;

/// The comparison as a function; values have been checked when the filter was made.
fn ordered<T: PartialOrd + Copy + 'static>(method: FilterMethod, mut values: Vec<T>) -> Result<Inside<T>> {
    let &first = values.first().ok_or_else(|| Error::invalid(OP, "arg", "must not be empty"))?;
    let last = values.last().copied().unwrap_or(first);
    // Neither NaN nor another value without an order is among them.
    values.sort_unstable_by(|a, b| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal));
    let listed = move |x: &T| {
        values.binary_search_by(|value| value.partial_cmp(x).unwrap_or(std::cmp::Ordering::Less)).is_ok()
    };
    Ok(match method {
        FilterMethod::Greater => Box::new(move |x| *x > first),
        FilterMethod::GreaterAndEqual => Box::new(move |x| *x >= first),
        FilterMethod::Less => Box::new(move |x| *x < first),
        FilterMethod::LessAndEqual => Box::new(move |x| *x <= first),
        FilterMethod::Equal => Box::new(move |x| *x == first),
        FilterMethod::Includes => Box::new(listed),
        FilterMethod::Excludes => Box::new(move |x| !listed(x)),
        FilterMethod::InTheRangeOf => Box::new(move |x| *x >= first && *x <= last),
    })
}

/// The known name with the fewest edits (letters put in, left out or changed), if they are at most a third of the letters.
fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let letters: Vec<char> = name.to_lowercase().chars().take(65).collect();
    let near = |known: &&'a str| {
        let other: Vec<char> = known.to_lowercase().chars().take(65).collect();
        let edits = edits(&letters, &other);
        let limit = (letters.len().max(other.len()) / 3).max(1);
        (letters.len() <= 64 && edits <= limit).then_some((edits, *known))
    };
    known.iter().filter_map(near).min_by_key(|(edits, _)| *edits).map(|(_, known)| known)
}

fn edits(a: &[char], b: &[char]) -> usize {
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for (i, letter) in a.iter().enumerate() {
        let mut diagonal = above[0];
        above[0] = i + 1;
        for (j, other) in b.iter().enumerate() {
            let changed = diagonal + usize::from(letter != other);
            diagonal = above[j + 1];
            above[j + 1] = changed.min(above[j] + 1).min(diagonal + 1);
        }
    }
    above[b.len()]
}
