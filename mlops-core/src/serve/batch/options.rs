//! How files are scored.

use serde::{Deserialize, Serialize};

use super::OP;
use crate::error::{Error, Result};

/// How results are written.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BatchFormat {
    /// CSV (RFC 4180) with a header, lines ending in LF; nothing where a value is missing.
    #[default]
    Csv,
    /// One JSON object a line; null where a value is missing.
    JsonLines,
}

/// What becomes of rows that cannot be read or scored.
///
/// A row is bad when a value that the model takes is not of its type, when the row has other fields than there are columns, when a value is
/// missing that must be there, and when the model says that it cannot score the row
/// ([`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput)). Anything else that is wrong ends the work.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum BadRows {
    /// The first one ends the work.
    #[default]
    Refuse,
    /// They are left out of the results and written to a file of their own.
    SetAside {
        /// The most that may be bad of all rows, in [0, 1]: with more the work ends. Looked at after each batch from row 10 000 on, and at
        /// the end.
        max_share: f64,
    },
}

/// From how many rows on a share of bad rows is judged before the end.
const JUDGED_FROM: u64 = 10_000;

impl BadRows {
    /// Whether so many bad rows of so many end the work.
    pub(super) fn exceeded(self, bad: u64, rows: u64, ended: bool) -> bool {
        match self {
            Self::Refuse => bad > 0,
            Self::SetAside { max_share } => {
                (ended || rows >= JUDGED_FROM) && bad as f64 > max_share * rows as f64
            }
        }
    }
}

/// The most rows of a batch.
const MAX_ROWS: usize = 65_536;

/// How files are scored.
///
/// ```
/// use mlops_core::serve::batch::{BadRows, BatchFormat, BatchOptions};
///
/// let options = BatchOptions::default()
///     .with_carried(["patient"])
///     .with_format(BatchFormat::JsonLines)
///     .with_bad_rows(BadRows::SetAside { max_share: 0.01 });
/// assert_eq!(options.batch_rows, 8192);
/// assert!(serde_json::from_str::<BatchOptions>(r#"{"batch_rows": 0}"#).is_err());
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Wire")]
pub struct BatchOptions {
    /// Columns of the input that are written beside the prediction, by which its rows are known again: an id. Without any, the number of the row
    /// is written (`row`, counted from 1).
    pub carried: Vec<String>,
    /// How results are written.
    pub format: BatchFormat,
    /// The most rows of a batch: 1 to 65 536, by default 8192.
    pub batch_rows: usize,
    /// After how many batches a checkpoint is written, by default 8: what was done since then is done again when the work is killed.
    pub checkpoint_batches: usize,
    /// What becomes of bad rows.
    pub bad_rows: BadRows,
    /// Whether results that are there may be replaced.
    pub overwrite: bool,
    /// Whether unfinished work is thrown away rather than resumed.
    pub restart: bool,
}

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Wire {
    carried: Vec<String>,
    format: BatchFormat,
    batch_rows: usize,
    checkpoint_batches: usize,
    bad_rows: BadRows,
    overwrite: bool,
    restart: bool,
}

impl Default for Wire {
    fn default() -> Self {
        let BatchOptions { carried, format, batch_rows, checkpoint_batches, bad_rows, overwrite, restart } =
            BatchOptions::default();
        Self { carried, format, batch_rows, checkpoint_batches, bad_rows, overwrite, restart }
    }
}

impl TryFrom<Wire> for BatchOptions {
    type Error = Error;

    fn try_from(wire: Wire) -> Result<Self> {
        let Wire { carried, format, batch_rows, checkpoint_batches, bad_rows, overwrite, restart } = wire;
        let options = Self { carried, format, batch_rows, checkpoint_batches, bad_rows, overwrite, restart };
        options.check().map(|()| options)
    }
}

impl Default for BatchOptions {
    fn default() -> Self {
        Self {
            carried: Vec::new(),
            format: BatchFormat::default(),
            batch_rows: 8_192,
            checkpoint_batches: 8,
            bad_rows: BadRows::default(),
            overwrite: false,
            restart: false,
        }
    }
}

impl BatchOptions {
    /// Writes these columns of the input beside the prediction.
    #[must_use]
    pub fn with_carried<S: Into<String>>(mut self, columns: impl IntoIterator<Item = S>) -> Self {
        self.carried = columns.into_iter().map(Into::into).collect();
        self
    }

    /// Sets how results are written.
    #[must_use]
    pub fn with_format(mut self, format: BatchFormat) -> Self {
        self.format = format;
        self
    }

    /// Sets the most rows of a batch.
    #[must_use]
    pub fn with_batch_rows(mut self, rows: usize) -> Self {
        self.batch_rows = rows;
        self
    }

    /// Sets after how many batches a checkpoint is written.
    #[must_use]
    pub fn with_checkpoint_batches(mut self, batches: usize) -> Self {
        self.checkpoint_batches = batches;
        self
    }

    /// Sets what becomes of bad rows.
    #[must_use]
    pub fn with_bad_rows(mut self, bad_rows: BadRows) -> Self {
        self.bad_rows = bad_rows;
        self
    }

    /// Sets whether results that are there may be replaced.
    #[must_use]
    pub fn with_overwrite(mut self, overwrite: bool) -> Self {
        self.overwrite = overwrite;
        self
    }

    /// Sets whether unfinished work is thrown away rather than resumed.
    #[must_use]
    pub fn with_restart(mut self, restart: bool) -> Self {
        self.restart = restart;
        self
    }

    /// Whether they are what work can be done by.
    pub(super) fn check(&self) -> Result<()> {
        let bad = |field: &str, message: String| Err(Error::invalid(OP, field, message));
        if !(1..=MAX_ROWS).contains(&self.batch_rows) {
            return bad("batch_rows", format!("must lie in 1 to {MAX_ROWS}, got {}", self.batch_rows));
        }
        if self.checkpoint_batches == 0 {
            return bad("checkpoint_batches", "must be at least 1".to_owned());
        }
        if let BadRows::SetAside { max_share } = self.bad_rows
            && !(0.0..=1.0).contains(&max_share)
        {
            return bad("max_share", format!("must lie in [0, 1], got {max_share}"));
        }
        let mut seen = std::collections::HashSet::new();
        match self.carried.iter().find(|column| !seen.insert(column.as_str())) {
            Some(twice) => Err(Error::invalid(OP, "carried", "names a column twice").with("column", twice)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_that_make_no_sense_are_refused_by_name() {
        let bad = BatchOptions::default;
        for (options, field) in [
            (bad().with_batch_rows(0), "batch_rows"),
            (bad().with_batch_rows(65_537), "batch_rows"),
            (bad().with_checkpoint_batches(0), "checkpoint_batches"),
            (bad().with_bad_rows(BadRows::SetAside { max_share: f64::NAN }), "max_share"),
            (bad().with_bad_rows(BadRows::SetAside { max_share: 1.5 }), "max_share"),
            (bad().with_carried(["a", "b", "a"]), "carried"),
        ] {
            assert_eq!(options.check().unwrap_err().context("field"), Some(field));
        }
        let options = bad().with_carried(["a"]).with_bad_rows(BadRows::SetAside { max_share: 0.25 });
        let text = serde_json::to_string(&options).unwrap();
        assert_eq!(serde_json::from_str::<BatchOptions>(&text).unwrap(), options);
        assert_eq!(serde_json::from_str::<BatchOptions>("{}").unwrap(), bad());
        assert!(serde_json::from_str::<BatchOptions>(r#"{"rows": 1}"#).is_err());
    }

    #[test]
    fn a_share_is_judged_when_there_are_enough_rows_and_at_the_end() {
        let tenth = BadRows::SetAside { max_share: 0.1 };
        assert!(!tenth.exceeded(10, 10, false) && tenth.exceeded(10, 10, true));
        assert!(!tenth.exceeded(1_000, 10_000, false) && tenth.exceeded(1_001, 10_000, false));
        assert!(BadRows::Refuse.exceeded(1, 1_000_000, false) && !BadRows::Refuse.exceeded(0, 0, true));
        assert!(!BadRows::SetAside { max_share: 1.0 }.exceeded(5, 5, true));
    }
}
