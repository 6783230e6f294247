//! Features that tell the label by themselves.

use std::borrow::Cow;
use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::OP;
use super::report::{Leak, LeakKind, LeakSeverity};
use super::shared::Rows;
use crate::data::cell::{Cell, cell};
use crate::data::{Column, DataType, Part, Table};
use crate::error::{Error, Result, quote};
use crate::num::ranks::midranks;

/// The fewest labelled rows to learn from, and the fewest of each class and of later parts.
const MIN_ROWS: usize = 20;
const MIN_OF_CLASS: usize = 5;

/// Whole numbers of so many different values are classes.
const MAX_NUMBERED: usize = 20;

/// Cells that numbers are cut into before they tell one of several classes.
const CELLS: usize = 32;

/// From when on a feature tells too much of the label.
///
/// Each feature alone gets a score from 0 (tells nothing) to 1 (tells all):
///
/// | label | feature | score | on |
/// |---|---|---|---|
/// | two classes | numbers, times, booleans | \|2·AUC − 1\|, exact, ties by half | training rows |
/// | classes | categories; numbers in 32 cells of equally many rows | (accuracy − base) ÷ (1 − base) of guessing the most frequent class of the value, where base is that of the most frequent class of all | later parts |
/// | numbers | numbers, times, booleans | \|Spearman's ρ\| | training rows |
/// | numbers | categories | 1 − squared error of the mean of the value ÷ that of the mean of all | later parts |
/// | any | whether the value is missing | as a category | later parts |
///
/// What is learnt by value is judged on later parts, so that an id, which is different in every row, tells nothing. Text, and
/// whole numbers of at most 20 different values, are classes as labels; so is anything of two different values. Rows without
/// label are left out. With fewer than 20 labelled rows to learn from, 5 of each of two classes or 5 in later parts, nothing
/// can be said, and the report says that.
///
/// ```
/// use mlops_core::data::{Column, LeakKind, LeakageInput, Partition, Table};
///
/// let ill = |i: i32| i % 3 == 0;
/// let table = Table::new(vec![
///     Column::f64("age", (0..60).map(|i| f64::from(i * 37 % 60)).collect::<Vec<_>>())?,
///     Column::f64("dose_after_diagnosis", (0..60).map(|i| f64::from(u8::from(ill(i)))).collect::<Vec<_>>())?,
///     Column::bool("ill", (0..60).map(ill).collect::<Vec<_>>())?,
/// ])?;
/// let split = Partition::predefined(60, (0..40).collect(), None, (40..60).collect())?;
/// let report = LeakageInput::new(&table, &split).with_label("ill").check()?;
/// let leak = report.leaks.iter().find(|leak| leak.kind == LeakKind::Target).ok_or("none")?;
/// assert_eq!((leak.column.as_deref(), leak.score), (Some("dose_after_diagnosis"), Some(1.0)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "TargetLeakWire", into = "TargetLeakWire")]
pub struct TargetLeak {
    warning: f64,
    critical: f64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TargetLeakWire {
    warning: f64,
    critical: f64,
}

impl From<TargetLeak> for TargetLeakWire {
    fn from(target: TargetLeak) -> Self {
        Self { warning: target.warning, critical: target.critical }
    }
}

impl TryFrom<TargetLeakWire> for TargetLeak {
    type Error = Error;

    fn try_from(wire: TargetLeakWire) -> Result<Self> {
        Self::new(wire.warning, wire.critical)
    }
}

impl Default for TargetLeak {
    /// A warning from 0.9 on (an AUC of 0.95), critical from 0.98 on (an AUC of 0.99): conventions.
    fn default() -> Self {
        Self { warning: 0.9, critical: 0.98 }
    }
}

impl TargetLeak {
    /// Scores from which on a feature is reported.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) unless 0 < warning ≤ critical ≤ 1.
    pub fn new(warning: f64, critical: f64) -> Result<Self> {
        if warning > 0.0 && warning <= critical && critical <= 1.0 {
            return Ok(Self { warning, critical });
        }
        let message = format!("must be 0 < warning ≤ critical ≤ 1, got {warning} and {critical}");
        Err(Error::invalid("TargetLeak", "warning", message))
    }
}

/// What the labels are.
enum Labels<'c> {
    /// The class of each row.
    Classes { of: Vec<Option<usize>>, count: usize },
    /// A number a row, NaN where there is none.
    Numbers(Cow<'c, [f64]>),
}

/// How a score came about, in words.
type Score = (f64, &'static str);

/// The leaks, or the reason why nothing can be said.
pub(super) fn leaks(
    settings: &TargetLeak,
    features: &Table<'_>,
    label: &Column<'_>,
    parts: &[Rows<'_>],
) -> Result<Result<Vec<Leak>, String>> {
    let labels = labels(label)?;
    let has_label = |row: &usize| match &labels {
        Labels::Classes { of, .. } => of[*row].is_some(),
        Labels::Numbers(values) => values[*row].is_finite(),
    };
    let rows_of = |wanted: bool| -> Vec<usize> {
        let chosen = parts.iter().filter(|(part, _)| (*part == Part::Train) == wanted);
        chosen.flat_map(|(_, rows)| rows.iter().copied()).filter(has_label).collect()
    };
    let (train, later) = (rows_of(true), rows_of(false));
    if let Some(reason) = too_few(&labels, &train, &later) {
        return Ok(Err(reason));
    }
    let mut found = Vec::new();
    for column in features.columns() {
        let Some((score, how)) = score(column, &labels, &train, &later)? else { continue };
        if score < settings.warning {
            continue;
        }
        let critical = score >= settings.critical;
        let message = format!(
            "column `{}` alone tells `{}`: score {score:.3} ({how}) on {} rows, reported from {} on",
            quote(column.name()),
            quote(label.name()),
            train.len(),
            settings.warning,
        );
        found.push(Leak {
            kind: LeakKind::Target,
            severity: if critical { LeakSeverity::Critical } else { LeakSeverity::Warning },
            column: Some(column.name().to_owned()),
            from: (Part::Train, train.len()),
            into: (parts.last().map_or(Part::Test, |(part, _)| *part), later.len()),
            share: 1.0,
            keys: 1,
            rows: Vec::new(),
            score: Some(score),
            message,
        });
    }
    Ok(Ok(found))
}

fn labels<'c>(column: &'c Column<'_>) -> Result<Labels<'c>> {
    let (mut seen, mut of) = (HashMap::new(), Vec::with_capacity(column.len()));
    for row in 0..column.len() {
        let key = cell(column, row);
        of.push(match key {
            Cell::Missing | Cell::Nan => None,
            key => {
                let next = seen.len();
                Some(*seen.entry(key).or_insert(next))
            }
        });
    }
    let count = seen.len();
    let classes = match column.data_type() {
        DataType::Category | DataType::Bool => true,
        DataType::I64 => count <= MAX_NUMBERED,
        _ => count <= 2,
    };
    Ok(if classes { Labels::Classes { of, count } } else { Labels::Numbers(column.to_f64()?) })
}

fn too_few(labels: &Labels<'_>, train: &[usize], later: &[usize]) -> Option<String> {
    if train.len() < MIN_ROWS {
        return Some(format!("{} labelled rows to learn from, {MIN_ROWS} are needed", train.len()));
    }
    if later.len() < MIN_OF_CLASS {
        return Some(format!("{} labelled rows in later parts, {MIN_OF_CLASS} are needed", later.len()));
    }
    let Labels::Classes { of, count } = labels else { return None };
    let mut sizes = vec![0; *count];
    train.iter().filter_map(|&row| of[row]).for_each(|class| sizes[class] += 1);
    let filled = sizes.iter().filter(|&&size| size >= MIN_OF_CLASS).count();
    (filled < 2).then(|| format!("{filled} classes of {MIN_OF_CLASS} rows to learn from, two are needed"))
}

/// The better of what the value tells and what its absence tells.
fn score(
    column: &Column<'_>,
    labels: &Labels<'_>,
    train: &[usize],
    later: &[usize],
) -> Result<Option<Score>> {
    let by_value = value_score(column, labels, train, later)?;
    let missing = |row: usize| matches!(cell(column, row), Cell::Missing | Cell::Nan);
    let some = train.iter().filter(|&&row| missing(row)).count();
    let by_absence = (some > 0 && some < train.len())
        .then(|| by_category(|row| usize::from(missing(row)), labels, train, later))
        .flatten()
        .map(|score| (score, "by whether it is missing"));
    let better = |a: Score, b: Score| if b.0 > a.0 { b } else { a };
    Ok(by_value.into_iter().chain(by_absence).reduce(better))
}

fn value_score(
    column: &Column<'_>,
    labels: &Labels<'_>,
    train: &[usize],
    later: &[usize],
) -> Result<Option<Score>> {
    if column.data_type() == DataType::Category {
        let mut codes = HashMap::new();
        let code = |row: usize| {
            let next = codes.len();
            *codes.entry(cell(column, row)).or_insert(next)
        };
        let codes: Vec<usize> = (0..column.len()).map(code).collect();
        let score = by_category(|row| codes[row], labels, train, later);
        return Ok(score.map(|score| (score, "by value, on later parts")));
    }
    let values = column.to_f64()?;
    let present: Vec<usize> = train.iter().copied().filter(|&row| !values[row].is_nan()).collect();
    let of: Vec<f64> = present.iter().map(|&row| values[row]).collect();
    match labels {
        Labels::Numbers(numbers) => {
            let labels: Vec<f64> = present.iter().map(|&row| numbers[row]).collect();
            Ok(correlation(&midranks(OP, &of)?, &midranks(OP, &labels)?).map(|r| (r.abs(), "Spearman's ρ")))
        }
        Labels::Classes { of: classes, count: 2 } => {
            let first: Vec<bool> = present.iter().map(|&row| classes[row] == Some(0)).collect();
            Ok(gini(&midranks(OP, &of)?, &first).map(|gini| (gini, "|2·AUC − 1|")))
        }
        Labels::Classes { .. } => {
            let edges = edges(of);
            let code = |row: usize| match values[row] {
                x if x.is_nan() => usize::MAX,
                x => edges.partition_point(|edge| *edge < x),
            };
            Ok(by_category(code, labels, train, later).map(|score| (score, "by 32 cells, on later parts")))
        }
    }
}

/// The inner edges of cells with equally many values, as far as ties allow.
fn edges(mut values: Vec<f64>) -> Vec<f64> {
    values.sort_by(f64::total_cmp);
    let mut edges: Vec<f64> =
        (1..CELLS).filter_map(|i| values.get(values.len() * i / CELLS).copied()).collect();
    edges.dedup();
    edges
}

/// |2·AUC − 1| from ranks; `None` when one class is absent.
fn gini(ranks: &[f64], first: &[bool]) -> Option<f64> {
    let n = first.iter().filter(|first| **first).count() as f64;
    let m = first.len() as f64 - n;
    if n == 0.0 || m == 0.0 {
        return None;
    }
    let sum: f64 = ranks.iter().zip(first).filter(|(_, first)| **first).map(|(rank, _)| rank).sum();
    let auc = (sum - n * (n + 1.0) / 2.0) / (n * m);
    Some((2.0 * auc - 1.0).abs())
}

/// Pearson's correlation; `None` when one side is constant.
fn correlation(a: &[f64], b: &[f64]) -> Option<f64> {
    let n = a.len() as f64;
    let (mean_a, mean_b) = (a.iter().sum::<f64>() / n, b.iter().sum::<f64>() / n);
    let (mut ab, mut aa, mut bb) = (0.0, 0.0, 0.0);
    for (x, y) in a.iter().zip(b) {
        let (x, y) = (x - mean_a, y - mean_b);
        (ab, aa, bb) = (ab + x * y, aa + x * x, bb + y * y);
    }
    (aa > 0.0 && bb > 0.0).then(|| ab / (aa * bb).sqrt())
}

/// What the value of a category tells on rows it was not learnt from; `None` where nothing is to be told.
fn by_category(
    code: impl Fn(usize) -> usize,
    labels: &Labels<'_>,
    train: &[usize],
    later: &[usize],
) -> Option<f64> {
    match labels {
        Labels::Classes { of, .. } => {
            let mut counts: HashMap<usize, HashMap<usize, usize>> = HashMap::new();
            let mut all: HashMap<usize, usize> = HashMap::new();
            for &row in train {
                let class = of[row]?;
                *counts.entry(code(row)).or_default().entry(class).or_default() += 1;
                *all.entry(class).or_default() += 1;
            }
            // Of equally frequent classes the one that came first.
            let most = |counts: &HashMap<usize, usize>| {
                counts
                    .iter()
                    .max_by_key(|(class, count)| (**count, std::cmp::Reverse(**class)))
                    .map(|(class, _)| *class)
            };
            let base = most(&all)?;
            let guess: HashMap<usize, usize> =
                counts.iter().filter_map(|(code, counts)| Some((*code, most(counts)?))).collect();
            let right = |guess: &dyn Fn(usize) -> usize| {
                later.iter().filter(|&&row| of[row] == Some(guess(row))).count() as f64 / later.len() as f64
            };
            let (by_value, by_base) =
                (right(&|row| *guess.get(&code(row)).unwrap_or(&base)), right(&|_| base));
            (by_base < 1.0).then(|| ((by_value - by_base) / (1.0 - by_base)).max(0.0))
        }
        Labels::Numbers(numbers) => {
            let mut sums: HashMap<usize, (f64, f64)> = HashMap::new();
            for &row in train {
                let sum = sums.entry(code(row)).or_default();
                *sum = (sum.0 + numbers[row], sum.1 + 1.0);
            }
            let mean = train.iter().map(|&row| numbers[row] / train.len() as f64).sum::<f64>();
            let guess = |row: usize| sums.get(&code(row)).map_or(mean, |(sum, n)| sum / n);
            let (mut by_value, mut by_mean) = (0.0, 0.0);
            for &row in later {
                by_value += (numbers[row] - guess(row)).powi(2);
                by_mean += (numbers[row] - mean).powi(2);
            }
            let score = 1.0 - by_value / by_mean;
            score.is_finite().then(|| score.max(0.0))
        }
    }
}
