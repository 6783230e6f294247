//! Validation of a stream of batches.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::data::column::Runs;
use crate::data::unreadable::{Marks, ReadBatch};
use crate::data::{DataType, Table};
use crate::error::{Error, Result};

use super::checks::{Check, Reading, list, named, prepare};
use super::expectation::{Expectation, Severity};
use super::expectations::Expectations;
use super::options::ValidateOptions;
use super::reference::Reference;
use super::report::{RuleVerdict, ValidationReport};
use super::rows::RowSplit;
use super::rule::Rule;
use super::state::{Shape, State, Tally};

/// Words of 64 rows that are looked at together: 4096 rows, so that a block of every column stays in the cache while all rules look
/// at it.
const WORDS: usize = 64;
const BLOCK: usize = WORDS * 64;

/// The most combinations of broken rules that are counted apart.
pub(super) const MAX_COMBINATIONS: usize = 1_000;

/// Checks expectations batch by batch, in one scan, with memory that does not grow with the rows (but for keys, see
/// [`ValidateOptions::max_keys`]).
///
/// Rules about the table (types, columns, order) are settled with the first batch, before a row is looked at;
/// [`Validator::shape_failures`] tells about them. Every later batch must have the same columns.
///
/// # Merging
/// Parts of a table may be validated apart, each by a validator of the same expectations and options, and be
/// [merged](Validator::merge) in order: counts, samples and verdicts are then those of the whole. One thing cannot be: a row that
/// repeats a key of *another* part is counted as a failure of its rule, but as no part knew of it, not among the bad rows;
/// [`ValidationReport::unplaced`] says how many there are.
///
/// ```
/// use mlops_core::data::{Column, Expectation, Expectations, Table, ValidateOptions, Validator};
///
/// let expected = Expectations::new(vec![Expectation::unique(["id"]), Expectation::rows(3, None)])?;
/// let mut validator = Validator::new(&expected, ValidateOptions::default());
/// for ids in [vec![1, 2], vec![2, 3]] {
///     let split = validator.push(&Table::new(vec![Column::i64("id", ids)?])?)?;
///     println!("{} good, {} bad", split.good().len(), split.bad().len());
/// }
/// let report = validator.report();
/// assert_eq!((report.rows, report.bad_rows), (4, 1));
/// assert_eq!(report.result("unique(id)").map(|r| r.rows()), Some(vec![2]));
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Validator {
    pub(super) expectations: Arc<[Expectation]>,
    pub(super) names: Arc<[String]>,
    pub(super) options: ValidateOptions,
    pub(super) references: HashMap<String, Reference>,
    pub(super) state: State,
}

impl Validator {
    /// A validator that has seen nothing.
    pub fn new(expectations: &Expectations, options: ValidateOptions) -> Self {
        let expectations: Arc<[Expectation]> = expectations.as_slice().into();
        let names = unique_names(&expectations).into();
        let state = State::new(expectations.len());
        Self { expectations, names, options, references: HashMap::new(), state }
    }

    /// Makes another table known, or more rows of it, for rules across tables. To be called before the first batch.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) for a column that a foreign key refers to and the table does not have;
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for rows of other types than the earlier ones;
    /// [`ErrorKind::LimitExceeded`](crate::ErrorKind::LimitExceeded) for more keys than [`ValidateOptions::max_keys`].
    ///
    /// ```
    /// use mlops_core::data::{Column, Expectation, Expectations, Table, ValidateOptions, Validator};
    ///
    /// let patients = Table::new(vec![Column::i64("patient", vec![1, 2])?])?;
    /// let visits = Table::new(vec![Column::i64("patient", vec![2, 2, 7])?])?;
    /// let expected = Expectations::new(vec![Expectation::foreign_key(["patient"], "patients")])?;
    /// let mut validator = Validator::new(&expected, ValidateOptions::default());
    /// validator.add_reference("patients", &patients)?;
    /// assert_eq!(validator.push(&visits)?.bad(), [2]);
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn add_reference(&mut self, name: &str, table: &Table<'_>) -> Result<()> {
        let reference = self.references.entry(name.to_owned()).or_default();
        reference.add(name, table, &self.expectations, self.options.max_keys)
    }

    /// How many rows were pushed.
    pub fn rows(&self) -> u64 {
        self.state.rows
    }

    /// Settles what the columns alone say, without a row: what a schema has against a table can be known before it is read.
    ///
    /// ```
    /// use mlops_core::data::{Expectation, Expectations, DataType, ValidateOptions, Validator};
    ///
    /// let expected = Expectations::new(vec![Expectation::exists("age"), Expectation::finite("bmi")])?;
    /// let mut validator = Validator::new(&expected, ValidateOptions::default());
    /// validator.see_columns(&[("bmi", DataType::Category)])?;
    /// assert_eq!(validator.shape_failures(), [
    ///     "column `age`: there is no such column",
    ///     "column `bmi`: is category and holds no numbers",
    /// ]);
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for other columns than before.
    pub fn see_columns(&mut self, columns: &[(&str, DataType)]) -> Result<()> {
        let empty = columns.iter().map(|(name, ty)| super::empty_column(name, *ty)).collect::<Result<_>>()?;
        self.settle(&Table::new(empty)?)
    }

    /// What is known to be wrong from the columns alone, in the order of the expectations; empty before the first batch.
    pub fn shape_failures(&self) -> Vec<&str> {
        self.state.tallies.iter().filter_map(|t| t.shape.as_ref()?.message()).collect()
    }

    /// Looks at a batch, and says which of its rows are good and which are bad.
    ///
    /// O(rows) for each rule. A batch without rows is seen as well: its columns count.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for other columns, types or another order than in earlier
    /// batches; then nothing has changed.
    pub fn push(&mut self, batch: &Table<'_>) -> Result<RowSplit> {
        self.look(batch, None)
    }

    /// Looks at a batch of a file, of which some may not have been readable: that is for [`Rule::Readable`] to judge, with its
    /// severity and tolerance. Where no such rule says anything about it, it is an error of a rule `readable` that joins the
    /// expectations then. A row that could not be read as a whole is always bad, and no other rule looks at it.
    ///
    /// ```
    /// use mlops_core::data::{
    ///     CsvOptions, DataType, Expectation, Expectations, TolerantCsvBatches, ValidateOptions, Validator,
    /// };
    /// # use std::io::Write as _;
    /// # let mut file = tempfile::NamedTempFile::new()?;
    /// # file.write_all(b"age\n61\nold\n48\n")?;
    ///
    /// let readable = Expectation::readable(["age"]).with_max_fraction(0.5);
    /// let mut validator = Validator::new(&Expectations::new(vec![readable])?, ValidateOptions::default());
    /// let options = CsvOptions::default().with_type("age", DataType::I64);
    /// for batch in TolerantCsvBatches::open(file.path(), &options, 1_000)? {
    ///     assert_eq!(validator.push_read(&batch?)?.bad(), [1]);
    /// }
    /// assert!(validator.report().passed());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`Validator::push`].
    pub fn push_read(&mut self, batch: &ReadBatch) -> Result<RowSplit> {
        self.look(batch.table(), Some(batch.marks()).filter(|marks| !marks.is_empty()))
    }

    /// Whether a rule says what it means that something of this could not be read.
    fn is_judged(&self, marks: &Marks) -> bool {
        let named = named_columns(&self.expectations);
        let is_rest = |e: &Expectation| e.rule == Rule::Readable { columns: Vec::new() };
        self.expectations.iter().any(is_rest)
            || marks.rows().is_empty() && marks.columns().all(|column| named.contains(&column))
    }

    /// Adds the rule about all that could not be read.
    fn judge_the_rest(&mut self) {
        let mut all = self.expectations.to_vec();
        all.push(the_rest());
        self.names = unique_names(&all).into();
        self.expectations = all.into();
        // All rows so far could be read.
        self.state.tallies.push(Tally { evaluated: self.state.rows, ..Tally::default() });
    }

    fn look(&mut self, batch: &Table<'_>, marks: Option<&Marks>) -> Result<RowSplit> {
        self.settle(batch)?;
        if marks.is_some_and(|marks| !self.is_judged(marks)) {
            self.judge_the_rest();
        }
        let expectations = Arc::clone(&self.expectations);
        let open: Vec<bool> = self.state.tallies.iter().map(|tally| tally.shape.is_none()).collect();
        let checks = checks(&expectations, &open, &self.references, batch, marks);
        let mut split = RowSplit {
            first_row: self.state.rows,
            good: Runs::default(),
            bad: Vec::new(),
            reasons: Vec::new(),
            combinations: Vec::new(),
            details: BTreeMap::new(),
            names: self.names.to_vec(),
        };
        let mut scan = Scan::new(&expectations, &checks, batch.rows(), &self.options);
        scan.ragged = marks.map_or(&[], Marks::rows);
        for start in (0..batch.rows()).step_by(BLOCK) {
            let rows = start..batch.rows().min(start + BLOCK);
            scan.block(rows, &mut self.state, &mut split);
        }
        for (rows, rules) in scan.counts.iter().zip(&split.combinations) {
            self.state.count_combination(rules, *rows);
        }
        if let Some(marks) = marks {
            for place in marks.described() {
                let detail = split.details.entry(place.row).or_default();
                if !detail.is_empty() {
                    detail.push_str("; ");
                }
                detail.push_str(&place.describe(self.options.values));
            }
        }
        super::state::see_columns(&mut self.state, &expectations, &self.options, batch);
        self.state.bad_rows += split.bad.len() as u64;
        self.state.rows += batch.rows() as u64;
        Ok(split)
    }

    /// Settles the rules about columns with the first batch; refuses a later one of another shape.
    fn settle(&mut self, batch: &Table<'_>) -> Result<()> {
        let columns: Vec<(String, DataType)> =
            batch.columns().iter().map(|c| (c.name().to_owned(), c.data_type())).collect();
        if let Some(known) = &self.state.columns {
            return if *known == columns { Ok(()) } else { Err(other_columns(known, &columns)) };
        }
        let expectations = Arc::clone(&self.expectations);
        for (at, expectation) in expectations.iter().enumerate() {
            let shape = self.shape(at, expectation, batch);
            if let Some(tally) = self.state.tallies.get_mut(at) {
                tally.shape = shape;
            }
        }
        self.state.columns = Some(columns);
        Ok(())
    }

    /// What the columns alone say about a rule.
    fn shape(&self, at: usize, expectation: &Expectation, batch: &Table<'_>) -> Option<Shape> {
        let rule = &expectation.rule;
        if let Some(name) = rule.needs().into_iter().find(|name| batch.get(name).is_none()) {
            if expectation.if_present {
                return Some(Shape::Skipped);
            }
            let message = format!("column `{}`: there is no such column", crate::error::quote(name));
            let certain = matches!(rule, Rule::Exists { .. } | Rule::Type { .. });
            return Some(if certain { Shape::Fail(message) } else { Shape::Unknown(message) });
        }
        match rule {
            Rule::Type { column, data_type } => {
                let column = batch.get(column)?;
                let found = column.data_type();
                let names = [found, *data_type].map(crate::data::schema::type_name);
                let message = || format!("{}: is {}, expected {}", named(column), names[0], names[1]);
                (found != *data_type).then(|| Shape::Fail(message()))
            }
            Rule::NoOtherColumns { columns } => {
                let known: std::collections::HashSet<&str> = columns.iter().map(String::as_str).collect();
                let others: Vec<String> =
                    batch.names().filter(|name| !known.contains(name)).map(str::to_owned).collect();
                (!others.is_empty()).then(|| Shape::Fail(format!("{}: not expected", list(&others))))
            }
            Rule::ColumnOrder { columns } => out_of_order(columns, batch).map(Shape::Fail),
            Rule::Fresh { column, .. } => {
                let column = batch.get(column)?;
                let message = match (column.data_type(), self.options.now) {
                    (DataType::Time, Some(_)) => return None,
                    (DataType::Time, None) => {
                        format!("{}: its age is not known without `now`", named(column))
                    }
                    (other, _) => {
                        format!(
                            "{}: is {} and holds no times",
                            named(column),
                            crate::data::schema::type_name(other)
                        )
                    }
                };
                Some(Shape::Unknown(message))
            }
            Rule::RowsRatio { table, .. } if !self.references.contains_key(table) => {
                let message = format!("the table `{}` was not given", crate::error::quote(table));
                Some(Shape::Unknown(message))
            }
            _ => prepare(rule, batch, &self.references, at).err().map(Shape::Unknown),
        }
    }

    /// Adds what another validator saw, whose rows come after these.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for other expectations, options or columns; then nothing has
    /// changed.
    ///
    /// ```
    /// use mlops_core::data::{Column, Expectation, Expectations, Table, ValidateOptions, Validator};
    ///
    /// let expected = Expectations::new(vec![Expectation::unique(["id"])])?;
    /// let mut parts = Vec::new();
    /// for ids in [vec![1, 2], vec![2, 3]] {
    ///     let mut part = Validator::new(&expected, ValidateOptions::default());
    ///     part.push(&Table::new(vec![Column::i64("id", ids)?])?)?;
    ///     parts.push(part);
    /// }
    /// let [mut whole, rest] = <[Validator; 2]>::try_from(parts).map_err(|_| "two parts")?;
    /// whole.merge(&rest)?;
    /// let report = whole.report();
    /// assert_eq!((report.rows, report.results[0].failed, report.unplaced), (4, 1, 1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn merge(&mut self, other: &Self) -> Result<()> {
        const OP: &str = "Validator::merge";
        // One of them may have had to add a rule about what could not be read.
        let same = match (&*self.expectations, &*other.expectations) {
            (mine, [theirs @ .., last]) if mine == theirs && *last == the_rest() => true,
            ([mine @ .., last], theirs) if mine == theirs && *last == the_rest() => true,
            (mine, theirs) => mine == theirs,
        };
        if !same || self.options != other.options {
            return Err(Error::invalid(OP, "other", "has other expectations or options"));
        }
        if let (Some(known), Some(columns)) = (&self.state.columns, &other.state.columns)
            && known != columns
        {
            return Err(other_columns(known, columns));
        }
        if other.expectations.len() > self.expectations.len() {
            self.judge_the_rest();
        }
        match (&self.state.columns, &other.state.columns) {
            (_, None) => return Ok(()),
            (None, Some(_)) => {
                self.state = other.state.clone();
                let whole = Tally { evaluated: self.state.rows, ..Tally::default() };
                self.state.tallies.resize(self.expectations.len(), whole);
                return Ok(());
            }
            _ => {}
        }
        if other.expectations.len() < self.expectations.len()
            && let Some(rest) = self.state.tallies.last_mut()
        {
            rest.evaluated += other.state.rows;
        }
        self.state.merge(&other.state, &self.options);
        Ok(())
    }

    /// What has come of it so far. Before the first batch, no rule could be checked.
    pub fn report(&self) -> ValidationReport {
        let results: Vec<_> = (0..self.expectations.len()).filter_map(|at| self.result(at)).collect();
        let mut combinations = self.state.combinations(&self.names);
        combinations.sort_by(|a, b| b.rows.cmp(&a.rows).then_with(|| a.rules.cmp(&b.rules)));
        let skipped = results.iter().filter(|r| r.verdict == RuleVerdict::Skipped).count();
        ValidationReport {
            schema_version: 2,
            rows: self.state.rows,
            bad_rows: self.state.bad_rows,
            checked: results.len() - skipped,
            results,
            combinations,
            other_combinations: self.state.other_combinations,
            unplaced: self.state.unplaced,
        }
    }
}

/// The checks of a batch: nothing for a rule that the columns have decided already.
fn checks<'t>(
    expectations: &'t [Expectation],
    open: &[bool],
    references: &'t HashMap<String, Reference>,
    batch: &'t Table<'t>,
    marks: Option<&'t Marks>,
) -> Vec<Check<'t>> {
    let named = named_columns(expectations);
    let check = |(at, e): (usize, &'t Expectation)| match open.get(at) {
        Some(true) if let Rule::Readable { columns } = &e.rule => {
            Check::Readable(Reading::new(columns, &named, batch, marks))
        }
        Some(true) => prepare(&e.rule, batch, references, at).unwrap_or(Check::Nothing),
        _ => Check::Nothing,
    };
    expectations.iter().enumerate().map(check).collect()
}

/// The columns that rules about reading name.
fn named_columns(expectations: &[Expectation]) -> Vec<&str> {
    let readings = expectations.iter().filter(|e| matches!(e.rule, Rule::Readable { .. }));
    readings.flat_map(|e| e.rule.columns()).map(String::as_str).collect()
}

/// The rule about what could not be read and no other rule is about.
fn the_rest() -> Expectation {
    Expectation::readable(Vec::<String>::new())
}

/// A name for each expectation; those that would have one name get a number.
fn unique_names(expectations: &[Expectation]) -> Vec<String> {
    let mut seen: HashMap<String, usize> = HashMap::new();
    let mut name = |expectation: &Expectation| {
        let name = expectation.name();
        let times = seen.entry(name.clone()).or_default();
        *times += 1;
        if *times == 1 { name } else { format!("{name} #{times}") }
    };
    expectations.iter().map(&mut name).collect()
}

fn other_columns(known: &[(String, DataType)], found: &[(String, DataType)]) -> Error {
    const OP: &str = "Validator::push";
    let differs = (0..known.len().max(found.len())).find(|&at| known.get(at) != found.get(at)).unwrap_or(0);
    let shown = |columns: &[(String, DataType)]| {
        columns.get(differs).map_or_else(
            || "nothing".to_owned(),
            |(name, ty)| format!("`{}` ({})", crate::error::quote(name), crate::data::schema::type_name(*ty)),
        )
    };
    let message =
        format!("column {} is {}, in earlier batches it was {}", differs + 1, shown(found), shown(known));
    Error::invalid(OP, "batch", message)
}

/// The first pair of columns that stand the wrong way round.
fn out_of_order(columns: &[String], batch: &Table<'_>) -> Option<String> {
    let places: HashMap<&str, usize> = batch.names().enumerate().map(|(at, name)| (name, at)).collect();
    let there: Vec<(&String, usize)> =
        columns.iter().filter_map(|name| Some((name, *places.get(name.as_str())?))).collect();
    there.windows(2).find_map(|pair| match pair {
        [(before, first), (after, second)] if first > second => {
            let [before, after] = [before, after].map(|name| crate::error::quote(name));
            Some(format!("column `{after}`: stands before `{before}`, expected after it"))
        }
        _ => None,
    })
}

/// The scan of one batch.
struct Scan<'s, 't> {
    expectations: &'s [Expectation],
    checks: &'s [Check<'t>],
    options: &'s ValidateOptions,
    /// The rows of the batch that no rule but one about reading looks at: one bit each.
    ragged: &'s [u64],
    /// For each rule, the rows of the block that break it.
    masks: Vec<[u64; WORDS]>,
    buffer: Vec<u8>,
    known: HashMap<Vec<usize>, usize>,
    /// How many rows have each combination.
    counts: Vec<u64>,
}

impl<'s, 't> Scan<'s, 't> {
    fn new(
        expectations: &'s [Expectation],
        checks: &'s [Check<'t>],
        rows: usize,
        options: &'s ValidateOptions,
    ) -> Self {
        let masks = vec![[0; WORDS]; if rows == 0 { 0 } else { checks.len() }];
        Self {
            expectations,
            checks,
            options,
            ragged: &[],
            masks,
            buffer: Vec::new(),
            known: HashMap::new(),
            counts: Vec::new(),
        }
    }

    /// Looks at the rows of one block with every rule, then sorts them into good and bad.
    fn block(&mut self, rows: std::ops::Range<usize>, state: &mut State, split: &mut RowSplit) {
        let words = rows.len().div_ceil(64);
        let (mut any, mut bad) = ([0_u64; WORDS], [0_u64; WORDS]);
        // Blocks begin at whole words.
        let ragged = self.ragged.get(rows.start / 64..).unwrap_or_default();
        bad.iter_mut().zip(ragged).for_each(|(bad, ragged)| *bad |= ragged);
        for (at, check) in self.checks.iter().enumerate() {
            let (Some(mask), Some(tally), Some(expectation)) =
                (self.masks.get_mut(at), state.tallies.get_mut(at), self.expectations.get(at))
            else {
                continue;
            };
            let mask = mask.get_mut(..words).unwrap_or_default();
            if !look(check, &rows, ragged, mask, tally, self.options, &mut self.buffer) {
                continue;
            }
            tally.note(check, &rows, mask, split.first_row, self.options);
            if expectation.rule.is_about_rows() {
                let errs = expectation.severity >= Severity::Error;
                for ((word, any), bad) in mask.iter().zip(&mut any).zip(&mut bad) {
                    *any |= word;
                    *bad |= if errs { *word } else { 0 };
                }
            } else {
                mask.fill(0);
            }
        }
        self.sort(rows, &any, &bad, split);
    }

    fn sort(
        &mut self,
        rows: std::ops::Range<usize>,
        any: &[u64; WORDS],
        bad: &[u64; WORDS],
        split: &mut RowSplit,
    ) {
        for (word, start) in rows.clone().step_by(64).enumerate() {
            let end = rows.end.min(start + 64);
            match any.get(word) {
                None | Some(0) => split.good.push(start..end),
                Some(any) => {
                    let bad = bad.get(word).copied().unwrap_or(0);
                    self.sort_word(word, start..end, *any, bad, split);
                }
            }
        }
    }

    /// Sorts 64 rows, of which some break a rule.
    fn sort_word(
        &mut self,
        word: usize,
        rows: std::ops::Range<usize>,
        any: u64,
        bad: u64,
        split: &mut RowSplit,
    ) {
        for (bit, row) in rows.enumerate() {
            if any >> bit & 1 == 0 {
                split.good.push(row..row + 1);
                continue;
            }
            let broken = |mask: &[u64; WORDS]| mask.get(word).is_some_and(|w| w >> bit & 1 == 1);
            let rules: Vec<usize> = self
                .masks
                .iter()
                .enumerate()
                .filter(|(_, mask)| broken(mask))
                .map(|(rule, _)| rule)
                .collect();
            let next = split.combinations.len();
            let place = match self.known.get(&rules) {
                Some(place) => *place,
                None => {
                    self.known.insert(rules.clone(), next);
                    split.combinations.push(rules);
                    self.counts.push(0);
                    next
                }
            };
            if let Some(count) = self.counts.get_mut(place) {
                *count += 1;
            }
            if bad >> bit & 1 == 1 {
                split.bad.push(row);
                split.reasons.push(place);
            } else {
                split.good.push(row..row + 1);
            }
        }
    }
}

/// Sets the bits of rows that break a rule, and counts those that were looked at. False where the rule is not about rows.
fn look(
    check: &Check<'_>,
    rows: &std::ops::Range<usize>,
    ragged: &[u64],
    mask: &mut [u64],
    tally: &mut Tally,
    options: &ValidateOptions,
    buffer: &mut Vec<u8>,
) -> bool {
    let whole = |at: usize| ones(rows, at) & !ragged.get(at).copied().unwrap_or(0);
    let columns = match check {
        Check::Nothing => return false,
        Check::Missing(column) => {
            for (at, word) in mask.iter_mut().enumerate() {
                *word = !column.valid_word(rows.start + at * 64) & whole(at);
                tally.evaluated += u64::from(whole(at).count_ones());
            }
            return true;
        }
        Check::Readable(reading) => {
            for (at, word) in mask.iter_mut().enumerate() {
                let start = rows.start + at * 64;
                *word = reading.broken(start) & ones(rows, at);
                tally.evaluated += u64::from((reading.looked_at(start) & ones(rows, at)).count_ones());
            }
            return true;
        }
        Check::Mask { columns, kernel } => {
            kernel(rows.clone(), mask);
            columns.as_slice()
        }
        Check::Unique(reader) => {
            mask.fill(0);
            reader.columns()
        }
    };
    for (at, word) in mask.iter_mut().enumerate() {
        let start = rows.start + at * 64;
        let valid = columns.iter().fold(whole(at), |valid, column| valid & column.valid_word(start));
        tally.evaluated += u64::from(valid.count_ones());
        if let Check::Unique(reader) = check {
            *word = tally.repeats(reader, start, valid, options.max_keys, buffer);
        } else {
            *word &= valid;
        }
    }
    true
}

/// The bits of a word that stand for rows of the block.
fn ones(rows: &std::ops::Range<usize>, word: usize) -> u64 {
    match rows.len().saturating_sub(word * 64) {
        0 => 0,
        left if left >= 64 => u64::MAX,
        left => (1 << left) - 1,
    }
}
