//! Budgets: an amount for a period, and thresholds at which somebody is told.
//!
//! They are built in code with [`Budget::new`], or written in a file, `[[budgets]]` with the same keys; a guard before one lets work
//! begin as long as it lasts: [`BudgetGuard`](super::BudgetGuard).

use std::collections::BTreeSet;
use std::path::Path;

use chrono::{Datelike as _, Months, NaiveDate};
use serde::{Deserialize, Serialize};

use super::forecast::{Forecast, check, forecast};
use crate::config::{Document, Format};
use crate::error::{Error, Result};
use crate::num::sum::sum;

/// What one day cost, in the currency of the budget.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DailyCost {
    /// The day.
    pub day: NaiveDate,
    /// What it cost; finite, not negative.
    pub amount: f64,
}

impl DailyCost {
    /// What a day cost.
    pub const fn new(day: NaiveDate, amount: f64) -> Self {
        Self { day, amount }
    }
}

/// How long a budget lasts before it starts again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimeGrain {
    /// A month; the default.
    #[default]
    Monthly,
    /// Three months.
    Quarterly,
    /// Twelve months.
    Annually,
}

impl TimeGrain {
    const fn months(self) -> u32 {
        match self {
            Self::Monthly => 1,
            Self::Quarterly => 3,
            Self::Annually => 12,
        }
    }
}

/// Against what a threshold is held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ThresholdBasis {
    /// What is spent; the default.
    #[default]
    Actual,
    /// What will be spent when the period ends.
    Forecast,
}

/// A share of the budget at which somebody is told.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Threshold {
    /// The share in percent, from 0 to 1000 as Azure takes it.
    pub percent: f64,
    /// Of what.
    #[serde(default)]
    pub basis: ThresholdBasis,
}

impl Threshold {
    /// A share in percent, of what [`ThresholdBasis`] says by default.
    pub fn new(percent: f64) -> Self {
        Self { percent, basis: ThresholdBasis::default() }
    }

    /// Of this.
    #[must_use]
    pub fn with_basis(mut self, basis: ThresholdBasis) -> Self {
        self.basis = basis;
        self
    }
}

/// A budget, checked.
///
/// ```
/// use mlops_core::governance::budget::{Budget, Threshold, ThresholdBasis, TimeGrain};
/// let day = |y, m, d| chrono::NaiveDate::from_ymd_opt(y, m, d).ok_or("no such day");
/// let thresholds = vec![Threshold::new(80.0).with_basis(ThresholdBasis::Actual)];
/// assert!(Budget::new("churn", 1000.0, TimeGrain::Monthly, day(2026, 1, 1)?, thresholds.clone()).is_ok());
/// let error = Budget::new("churn", 1000.0, TimeGrain::Monthly, day(2026, 1, 2)?, thresholds).unwrap_err();
/// assert_eq!(error.message(), "must be the first of a month, got 2026-01-02");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "BudgetFile", into = "BudgetFile")]
pub struct Budget {
    file: BudgetFile,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct BudgetFile {
    name: String,
    amount: f64,
    #[serde(default)]
    grain: TimeGrain,
    start: NaiveDate,
    thresholds: Vec<Threshold>,
}

/// What is wrong with a budget: at which key, what, and with which of several.
type Fault = (&'static str, String, Option<usize>);

impl BudgetFile {
    fn fault(&self) -> Option<Fault> {
        let wrong = |field, message: String| Some((field, message, None));
        if self.name.trim().is_empty() {
            return wrong("name", "must not be empty".to_owned());
        }
        if !(self.amount.is_finite() && self.amount > 0.0) {
            return wrong("amount", format!("must be finite and positive, got {}", self.amount));
        }
        if self.start.day() != 1 {
            return wrong("start", format!("must be the first of a month, got {}", self.start));
        }
        // Azure takes at most five notifications; a list without any tells nobody.
        if self.thresholds.is_empty() || self.thresholds.len() > 100 {
            return wrong("thresholds", format!("must be 1 to 100, got {}", self.thresholds.len()));
        }
        let bad = |t: &Threshold| !(0.0..=1000.0).contains(&t.percent);
        let (i, threshold) = self.thresholds.iter().enumerate().find(|(_, t)| bad(t))?;
        Some(("thresholds", format!("must be 0 to 1000 percent, got {}", threshold.percent), Some(i)))
    }
}

impl TryFrom<BudgetFile> for Budget {
    type Error = Error;

    fn try_from(file: BudgetFile) -> Result<Self> {
        match file.fault() {
            None => Ok(Self { file }),
            Some((field, message, index)) => {
                let error = Error::invalid("Budget::new", field, message);
                Err(match index {
                    Some(index) => error.with("index", index),
                    None => error,
                })
            }
        }
    }
}

/// The most budgets of a file.
const MAX_BUDGETS: usize = 1_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BudgetsFile {
    budgets: Vec<BudgetFile>,
}

/// Reads budgets from a text.
///
/// # Errors
/// As [`Budget::new`], for no budgets and for a name that comes twice, an unknown key or word (with the nearest known one), a key that
/// comes twice, a value of another type: with `file`, `line` and `column`. [`ErrorKind::LimitExceeded`](crate::ErrorKind::LimitExceeded)
/// for more than 1 MiB or 1000 budgets; [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) for YAML without the feature `yaml`.
///
/// ```
/// use mlops_core::config::Format;
/// use mlops_core::governance::budget::parse_budgets;
/// let budgets = parse_budgets(
///     r#"
///     [[budgets]]
///     name = "churn"
///     amount = 1000
///     grain = "quarterly"
///     start = "2026-01-01"
///     thresholds = [{ percent = 80 }, { percent = 100, basis = "forecast" }]
///     "#,
///     Format::Toml,
/// )?;
/// assert_eq!((budgets[0].name(), budgets[0].amount()), ("churn", 1000.0));
/// let error = parse_budgets("[[budgets]]\nname = 'a'\namount = -1.0\nstart = '2026-01-01'\nthresholds = []", Format::Toml).unwrap_err();
/// assert_eq!((error.context("field"), error.context("line"), error.context("column")), (Some("amount"), Some("3"), Some("10")));
/// # Ok::<(), mlops_core::Error>(())
/// ```
pub fn parse_budgets(text: &str, format: Format) -> Result<Vec<Budget>> {
    load("parse_budgets", "(text)", text, format)
}

/// Reads budgets from a file, in the format of its extension.
///
/// # Errors
/// As [`parse_budgets`], and what the file system refuses.
pub fn read_budgets(path: impl AsRef<Path>) -> Result<Vec<Budget>> {
    const OP: &str = "read_budgets";
    let path = path.as_ref();
    let text = crate::config::read(OP, path)?;
    load(OP, &path.display().to_string(), &text, Format::of(path))
}

fn load(operation: &'static str, file: &str, text: &str, format: Format) -> Result<Vec<Budget>> {
    const LIST: &str = "budgets";
    let document = Document::new(operation, file, text, format)?;
    let BudgetsFile { budgets } = document.parse(Some(LIST))?;
    if budgets.is_empty() {
        return Err(document.error(LIST, document.offset(&[LIST]), "there are none"));
    }
    if budgets.len() > MAX_BUDGETS {
        return Err(
            Error::limit(operation, "the number of budgets", MAX_BUDGETS, budgets.len()).with("file", file)
        );
    }
    let mut names = BTreeSet::new();
    for (index, budget) in budgets.iter().enumerate() {
        let twice = || ("name", "another budget has this name".to_owned(), None);
        let fault = budget.fault().or_else(|| (!names.insert(budget.name.as_str())).then(twice));
        if let Some((key, message, which)) = fault {
            let error = document.error(key, document.offset_in(LIST, index, key), message);
            let error = error.with("budget", &budget.name);
            return Err(match which {
                Some(which) => error.with("index", which),
                None => error,
            });
        }
    }
    Ok(budgets.into_iter().map(|file| Budget { file }).collect())
}

impl From<Budget> for BudgetFile {
    fn from(budget: Budget) -> Self {
        budget.file
    }
}

/// A threshold that was reached.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Crossed {
    /// Which.
    pub threshold: Threshold,
    /// What it comes to, in the budget's currency.
    pub limit: f64,
    /// What was held against it.
    pub amount: f64,
}

/// How a budget stands.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BudgetStatus {
    /// The budget's name.
    pub budget: String,
    /// The first day of the period.
    pub from: NaiveDate,
    /// The first day after the period.
    pub until: NaiveDate,
    /// What is spent in the period.
    pub actual: f64,
    /// What will be spent when it ends.
    pub forecast: Forecast,
    /// The thresholds that were reached, in the budget's order.
    pub crossed: Vec<Crossed>,
    /// The thresholds on a forecast that could not be judged, for lack of days.
    pub undecided: Vec<Threshold>,
}

impl Budget {
    /// A budget.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) that names the field: no name, an amount that is not positive,
    /// a start that is not the first of a month (as Azure asks for), no thresholds or one outside 0 to 1000 percent.
    pub fn new(
        name: impl Into<String>,
        amount: f64,
        grain: TimeGrain,
        start: NaiveDate,
        thresholds: Vec<Threshold>,
    ) -> Result<Self> {
        BudgetFile { name: name.into(), amount, grain, start, thresholds }.try_into()
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.file.name
    }

    /// The thresholds.
    pub fn thresholds(&self) -> &[Threshold] {
        &self.file.thresholds
    }

    /// The amount for a period.
    pub fn amount(&self) -> f64 {
        self.file.amount
    }

    /// The period in which a day lies: its first day, and the first day after it; `None` before the budget starts.
    pub fn period(&self, day: NaiveDate) -> Option<(NaiveDate, NaiveDate)> {
        let BudgetFile { start, grain, .. } = self.file;
        let months = |d: NaiveDate| i64::from(d.year()) * 12 + i64::from(d.month0());
        let passed = u32::try_from(months(day) - months(start)).ok()?;
        let from = start.checked_add_months(Months::new(passed - passed % grain.months()))?;
        Some((from, from.checked_add_months(Months::new(grain.months()))?))
    }

    /// How the budget stands after the last day of `costs`: complete days in order, without gaps, from as far back as is known.
    /// Days before the period feed the forecast only. O(days log days).
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput): no days, days with gaps or out of order, a cost that is negative
    /// or not finite, days of the period missing at its beginning, a last day before the budget starts.
    ///
    /// ```
    /// use mlops_core::governance::budget::{Budget, DailyCost, Threshold, ThresholdBasis, TimeGrain};
    /// let day = |m, d| chrono::NaiveDate::from_ymd_opt(2026, m, d).ok_or("no such day");
    /// let thresholds = vec![
    ///     Threshold::new(50.0).with_basis(ThresholdBasis::Actual),
    ///     Threshold::new(100.0).with_basis(ThresholdBasis::Forecast),
    /// ];
    /// let budget = Budget::new("churn", 290.0, TimeGrain::Monthly, day(1, 1)?, thresholds)?;
    /// let costs: Vec<DailyCost> =
    ///     day(2, 1)?.iter_days().take(43).map(|day| DailyCost::new(day, 10.0)).collect();
    /// let status = budget.status(&costs)?;
    /// assert_eq!((status.from, status.actual), (day(3, 1)?, 150.0));
    /// // 15 days at 10, and 16 to come: 310 of 290.
    /// assert_eq!(status.crossed.len(), 2);
    /// assert_eq!(status.crossed[1].amount, 310.0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn status(&self, costs: &[DailyCost]) -> Result<BudgetStatus> {
        const OP: &str = "Budget::status";
        check(OP, costs)?;
        let invalid = |message: &str| Error::invalid(OP, "costs", message);
        let (Some(first), Some(last)) = (costs.first(), costs.last()) else {
            return Err(invalid("there are no days"));
        };
        let (from, until) = self.period(last.day).ok_or_else(|| invalid("end before the budget starts"))?;
        if first.day > from {
            return Err(invalid("begin after the period does: what it cost until then is not known")
                .with("period", from)
                .with("first", first.day));
        }
        let within: Vec<f64> = costs.iter().filter(|c| c.day >= from).map(|c| c.amount).collect();
        let actual = sum(&within);
        let remaining = u32::try_from((until - last.day).num_days() - 1).unwrap_or_default();
        let forecast = forecast(costs, actual, remaining)?;
        let (mut crossed, mut undecided) = (Vec::new(), Vec::new());
        for threshold in &self.file.thresholds {
            let limit = self.file.amount * threshold.percent / 100.0;
            let amount = match (threshold.basis, forecast) {
                (ThresholdBasis::Actual, _) => Some(actual),
                (ThresholdBasis::Forecast, Forecast::Estimate { amount, .. }) => Some(amount),
                // What is spent already will be spent when the period ends.
                (ThresholdBasis::Forecast, Forecast::Insufficient { .. }) => {
                    Some(actual).filter(|a| *a >= limit)
                }
            };
            match amount {
                Some(amount) if amount >= limit => {
                    crossed.push(Crossed { threshold: *threshold, limit, amount });
                }
                Some(_) => {}
                None => undecided.push(*threshold),
            }
        }
        let budget = self.file.name.clone();
        Ok(BudgetStatus { budget, from, until, actual, forecast, crossed, undecided })
    }

    /// How much may still be spent: for a sweep or pipeline that stops before it overspends. What `committed` work will cost is
    /// taken off too; never negative.
    ///
    /// ```
    /// use mlops_core::governance::budget::{Budget, DailyCost, Threshold, ThresholdBasis, TimeGrain};
    /// let day = chrono::NaiveDate::from_ymd_opt(2026, 1, 1).ok_or("no such day")?;
    /// let thresholds = vec![Threshold::new(100.0).with_basis(ThresholdBasis::Actual)];
    /// let budget = Budget::new("churn", 100.0, TimeGrain::Monthly, day, thresholds)?;
    /// let status = budget.status(&[DailyCost::new(day, 60.0)])?;
    /// assert_eq!(budget.remaining(&status, 15.0), 25.0);
    /// assert_eq!(budget.remaining(&status, f64::NAN), 0.0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn remaining(&self, status: &BudgetStatus, committed: f64) -> f64 {
        let left = self.file.amount - status.actual - committed;
        // Also where `committed` is no number: what cannot be counted is not to be spent.
        if left > 0.0 { left } else { 0.0 }
    }
}
