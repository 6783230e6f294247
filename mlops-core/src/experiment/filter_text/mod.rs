//! Filters and orders as text: MLflow's language, and more.

mod field;
mod number;
mod parse;
mod print;
mod scan;
mod split;

pub use split::{MlflowDialect, MlflowFilter};

use self::parse::Parser;
use self::scan::Source;
use super::{Filter, OrderBy};
use crate::error::{Error, Result};

impl Filter {
    /// The longest text that [`Filter::parse`] reads, in bytes.
    pub const MAX_LENGTH: usize = 1 << 20;

    /// Reads a filter from text: everything that MLflow understands in a search of runs, and more.
    ///
    /// ```
    /// use mlops_core::experiment::Filter;
    /// let filter = Filter::parse("metrics.auc >= 0.9 AND (tags.team = 'risk' OR NOT params.depth IN ('6', '8'))")?;
    /// let error = Filter::parse("metrics.auc >= '0.9'").unwrap_err();
    /// assert_eq!(error.context("position"), Some("15"));
    /// let error = Filter::parse("metric.auc > 0.9 AND parms.depth = '6'").unwrap_err();
    /// assert!(error.message().contains("did you mean `params`?"));
    /// # let _ = filter;
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    ///
    /// | field | compared with |
    /// |---|---|
    /// | `metrics.k` (its last value), `min(metrics.k)`, `max(metrics.k)`, `count(metrics.k)` | `=` `!=` `<` `<=` `>` `>=` and a number: `0.9`, `-1e-3`, `inf`, `nan` |
    /// | `params.k`, `tags.k`, `run_name`, `run_id`, `user_id` (the actor) | `=` `!=` `LIKE` `ILIKE` `CONTAINS` `STARTS WITH` and a text in quotes, `IN` and a list; `NOT` before any word of these |
    /// | `status` | the same; `SCHEDULED`, `RUNNING`, `FINISHED`, `FAILED`, `KILLED` |
    /// | `start_time` (also `created`), `end_time` | as a number: milliseconds since 1970, or a time in quotes as in `'2026-01-31T12:00:00Z'` |
    /// | `duration` | as a number: milliseconds, or a text such as `'90s'`, `'15m'`, `'2h'` |
    /// | `parent_run_id` | `=` `!=` `IN` `NOT IN` |
    /// | `dataset.name`, `dataset.digest`, `dataset.context` (the role) | as text: some input is like this; two of them may be met by two inputs |
    /// | `dataset(name = 'a' AND version = 3 AND context = 'training')` | one input is like all of this |
    /// | `dataset` | `= 'name'` |
    ///
    /// `IS NULL` and `IS NOT NULL` go with metrics, parameters, tags, `end_time` and `parent_run_id`. Comparisons are joined by
    /// `NOT`, `AND` and `OR`, which bind in this order, and by parentheses; `TRUE` and `FALSE` stand alone. `ALL(…)` and
    /// `ANY(…)` are an [`And`](Filter::And) and an [`Or`](Filter::Or) of one. Words are read in any case, fields are not. The
    /// empty text is everything.
    ///
    /// A key with characters other than letters, digits, `_ . - / :` stands in back-ticks or double quotes. Texts stand in
    /// single or double quotes; a quote within them is doubled, and a backslash is a backslash. MLflow's tags
    /// `mlflow.runName`, `mlflow.user` and `mlflow.parentRunId` are read as the fields that they are here; in single quotes
    /// such a key is the tag of that name.
    ///
    /// # What MLflow reads and this does not
    /// Two comparisons without `AND` between them, an `AND` at the beginning or the end, keys and statuses that no run can
    /// have, `artifact_uri`. All are refused, none is read as something else. A doubled quote within quotes is one quote here
    /// and two in MLflow.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) with the `position` in characters, counted from 0, and what
    /// was `found` there; [`ErrorKind::LimitExceeded`](crate::ErrorKind::LimitExceeded) beyond [`Filter::MAX_LENGTH`],
    /// [`Filter::MAX_DEPTH`], [`Filter::MAX_COMPARISONS`] or [`Filter::MAX_TEXTS`]. The time is linear in the length.
    pub fn parse(text: &str) -> Result<Self> {
        let source = Source { operation: "Filter::parse", argument: "filter" };
        check_length(source, text)?;
        let filter = Parser::new(text, source).filter()?;
        if filter.depth_is_at_most(Self::MAX_DEPTH) {
            return Ok(filter);
        }
        Err(Error::limit(source.operation, "the filter's depth", Self::MAX_DEPTH, "more"))
    }
}

impl OrderBy {
    /// Reads an order from text: a field as in [`Filter::parse`], and `ASC` (also if nothing follows) or `DESC`.
    ///
    /// ```
    /// use mlops_core::experiment::{Field, OrderBy};
    /// assert_eq!(OrderBy::parse("start_time DESC")?, OrderBy::descending(Field::Started));
    /// assert!(OrderBy::parse("metrics.loss; DROP TABLE runs").is_err());
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// As those of [`Filter::parse`].
    pub fn parse(text: &str) -> Result<Self> {
        let source = Source { operation: "OrderBy::parse", argument: "order" };
        check_length(source, text)?;
        Parser::new(text, source).order()
    }
}

fn check_length(source: Source, text: &str) -> Result<()> {
    if text.len() <= Filter::MAX_LENGTH {
        return Ok(());
    }
    Err(Error::limit(source.operation, "the text's length", Filter::MAX_LENGTH, text.len()))
}
