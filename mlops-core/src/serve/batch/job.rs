//! Scoring a file from its first row to its last.

use std::path::PathBuf;
use std::sync::Arc;

use super::input::{BatchInput, Source};
use super::journal::Checkpoint;
use super::rows::RowWriter;
use super::score::{Refused, Scored, score};
use super::work::{Opened, Places, Work};
use super::{BatchCounts, BatchOptions, BatchProgress, BatchReport, DeployedModel, OP};
use crate::data::ReadBatch;
use crate::error::{Error, ErrorKind, Result};
use crate::hash::{Digest, Hasher, digest_json};
use crate::model::Predictor;
use crate::pipeline::Cancel;

/// Scores the rows of a file and writes what the model answers to another one.
///
/// One line of results for each row that could be scored, in the order of the input: what is
/// [carried](BatchOptions::carried), and the prediction: `probability`, `value`, or of several
/// classes the likeliest, `class`, and `probability_LABEL` of each. The results appear at once
/// under their name when all of them are there and on the disk; rows that were set aside beside them, in `NAME.refused.jsonl`, one JSON object a line with
/// `row` (counted from 1), `line`, `column`, `reason` and `carried`.
///
/// Work that was interrupted, by a kill or by [`Cancel`], is taken up by the same call, and the results are byte for byte those
/// of work that was not. The input is known again by the digest of its bytes, which is read once more for that; the model by
/// [`with_model`](Self::with_model), its signature, and that it gives the results between the last two checkpoints again.
///
/// It blocks the calling thread; in asynchronous code it belongs on one that may be blocked.
///
/// ```
/// use mlops_core::data::CsvOptions;
/// use mlops_core::problem::Task;
/// use mlops_core::serve::ConstantPredictor;
/// use mlops_core::serve::batch::{BatchInput, BatchOptions, BatchScoring};
///
/// let folder = tempfile::tempdir()?;
/// let (input, output) = (folder.path().join("rows.csv"), folder.path().join("scores.csv"));
/// std::fs::write(&input, "patient,bmi\n007,32.1\n008,21.6\n")?;
///
/// let model = ConstantPredictor::new(Task::BinaryClassification, 0.25)?;
/// let scoring = BatchScoring::new(BatchInput::csv(&input, CsvOptions::default()), &output)
///     .with_options(BatchOptions::default().with_carried(["patient"]));
/// let report = scoring.score(&model)?;
/// assert_eq!(report.counts.scored, 2);
/// assert_eq!(std::fs::read_to_string(&output)?, "patient,probability\n007,0.25\n008,0.25\n");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct BatchScoring {
    input: BatchInput,
    output: PathBuf,
    options: BatchOptions,
    model: Option<String>,
    progress: Option<Arc<dyn BatchProgress>>,
    cancel: Cancel,
}

pub(super) fn cancelled() -> Error {
    Error::new(ErrorKind::Cancelled, OP, "the work was cancelled; the same call takes it up again")
}

impl BatchScoring {
    /// Scores `input` into `output`.
    pub fn new(input: BatchInput, output: impl Into<PathBuf>) -> Self {
        let (options, cancel) = (BatchOptions::default(), Cancel::new());
        Self { input, output: output.into(), options, model: None, progress: None, cancel }
    }

    /// Sets the options.
    #[must_use]
    pub fn with_options(mut self, options: BatchOptions) -> Self {
        self.options = options;
        self
    }

    /// Says which model it is, as a version or a digest: interrupted work is taken up with the same one only.
    #[must_use]
    pub fn with_model(mut self, model: impl Into<String>) -> Self {
        self.model = Some(model.into());
        self
    }

    /// Tells somebody how far the work is.
    #[must_use]
    pub fn with_progress(mut self, progress: Arc<dyn BatchProgress>) -> Self {
        self.progress = Some(progress);
        self
    }

    /// Stops when this is turned: after the batch that is being scored, with [`ErrorKind::Cancelled`]. What is done stays done.
    #[must_use]
    pub fn with_cancel(mut self, cancel: Cancel) -> Self {
        self.cancel = cancel;
        self
    }

    /// Scores with the model of a deployment; its version and digest are what the work is known by.
    ///
    /// # Errors
    /// As [`BatchScoring::score`].
    pub fn score_deployed(&self, model: &DeployedModel) -> Result<BatchReport> {
        self.clone().with_model(model.identity()).score(&model.predictor)
    }

    /// Scores the file.
    ///
    /// Cost: the input is read twice, once for its digest; the results are read once more when they are whole.
    ///
    /// # Errors
    /// - [`ErrorKind::InvalidInput`]: options that make no sense; a file that is not what [`BatchInput`] says; a column of another type than the model
    ///   takes; a bad row under [`BadRows::Refuse`](super::BadRows::Refuse), with row, line, column and reason.
    /// - [`ErrorKind::NotFound`]: no such file, no such column.
    /// - [`ErrorKind::AlreadyExists`]: the results are there, and may not be replaced.
    /// - [`ErrorKind::Rejected`]: more bad rows than may be. They are in the folder of the work.
    /// - [`ErrorKind::Conflict`]: unfinished work on another input, with another model or other options; other answers than before the
    ///   interruption; an input that was changed while it was read.
    /// - [`ErrorKind::Integrity`], [`ErrorKind::Corrupt`]: unfinished work that was damaged.
    /// - [`ErrorKind::Busy`]: somebody else is at it.
    /// - [`ErrorKind::Cancelled`]; [`ErrorKind::Storage`]; and what the model answers, [`ErrorKind::Internal`] for one that panics.
    pub fn score(&self, predictor: &dyn Predictor) -> Result<BatchReport> {
        self.options.check()?;
        let (input, stamp) = self.input.identify(&self.cancel)?;
        let job = self.job(&input, predictor)?;
        // Before anything is made on the disk, the file has to be one that can be read.
        let source =
            self.input.open(predictor.signature(), &self.options.carried, self.options.batch_rows)?;
        let (last, resumed_rows) = match Work::open(Places::of(&self.output)?, &job, &self.options)? {
            Opened::Done(last) => {
                let rows = last.counts.rows;
                (last, rows)
            }
            Opened::Work(mut work) => {
                let resumed = work.from.as_ref().map_or(0, |from| from.counts.rows);
                let last = self.run(&mut work, source, predictor)?;
                self.input.check_unchanged(&stamp)?;
                let last = Run::finish(&mut work, last)?;
                work.publish(&last, self.options.overwrite)?;
                (last, resumed)
            }
        };
        Ok(BatchReport {
            counts: last.counts,
            resumed_rows,
            input,
            output: last.results.digest,
            refused: (last.counts.bad > 0).then_some(last.refused.digest),
            model: self.model.clone(),
        })
    }

    /// What the work is known by.
    fn job(&self, input: &Digest, predictor: &dyn Predictor) -> Result<Digest> {
        let options = &self.options;
        let how = (&options.carried, options.format, options.batch_rows, options.checkpoint_batches);
        let model = digest_json(&(&self.model, predictor.signature()))?;
        let parts = [*input, self.input.kind()?, digest_json(&how)?, model];
        Ok(parts.iter().fold(Hasher::new("mlops.batch.job/v1"), |h, part| h.field(part.as_bytes())).finish())
    }

    /// Scores all batches that are left.
    fn run(&self, work: &mut Work, mut source: Source, predictor: &dyn Predictor) -> Result<Run> {
        let mut run = Run::from(work.from.as_ref(), &self.options);
        skip(&mut source, work.from.as_ref(), &self.cancel)?;
        for batch in source {
            if self.cancel.is_cancelled() {
                if work.reached().is_none() {
                    run.checkpoint(work, false)?;
                }
                return Err(cancelled());
            }
            run.batch(work, &batch?, predictor, &self.options)?;
            if let Some(progress) = &self.progress {
                progress.heard(&run.counts);
            }
        }
        run.judge(work, &self.options, true)?;
        Ok(run)
    }
}

/// Reads over what was done before.
fn skip(source: &mut Source, from: Option<&Checkpoint>, cancel: &Cancel) -> Result<()> {
    let Some(from) = from else { return Ok(()) };
    let mut rows = 0;
    for _ in 0..from.batches {
        if cancel.is_cancelled() {
            return Err(cancelled());
        }
        let Some(batch) = source.next() else { break };
        rows += batch?.table().rows() as u64;
    }
    if rows == from.counts.rows {
        return Ok(());
    }
    Err(Error::conflict(OP, "the input has other batches than before", from.counts.rows, rows))
}

/// How far this run is.
#[derive(Debug)]
struct Run {
    writer: RowWriter,
    batches: u64,
    counts: BatchCounts,
    /// The bytes of a batch, kept for the next one.
    results: Vec<u8>,
    refused: Vec<u8>,
    /// The first row that was set aside by this run, for messages.
    first: Option<Error>,
}

impl Run {
    fn from(from: Option<&Checkpoint>, options: &BatchOptions) -> Self {
        let answers = from.and_then(|from| from.answers.clone());
        Self {
            writer: RowWriter::new(options.format, &options.carried, answers),
            batches: from.map_or(0, |from| from.batches),
            counts: from.map_or_else(BatchCounts::default, |from| from.counts),
            results: Vec::new(),
            refused: Vec::new(),
            first: None,
        }
    }

    fn batch(
        &mut self,
        work: &mut Work,
        batch: &ReadBatch,
        predictor: &dyn Predictor,
        options: &BatchOptions,
    ) -> Result<()> {
        let first_only = options.bad_rows == super::BadRows::Refuse;
        let Scored { rows, predictions, refused } = score(predictor, batch, first_only)?;
        let before = self.counts.rows;
        if let (None, Some(one)) = (&self.first, refused.first()) {
            self.first = Some(describe(batch, one, before));
        }
        if first_only && let Some(bad) = self.first.take() {
            return Err(bad);
        }
        self.results.clear();
        self.refused.clear();
        self.writer.write(&mut self.results, batch.table(), &rows, &predictions, before)?;
        self.writer.refuse(&mut self.refused, batch, &refused, before)?;
        work.results.append(&self.results)?;
        work.refused.append(&self.refused)?;
        self.batches += 1;
        self.counts.rows += batch.table().rows() as u64;
        self.counts.scored += rows.len() as u64;
        self.counts.bad += refused.len() as u64;
        self.judge(work, options, false)?;
        let due = match work.reached() {
            Some(reached) => self.batches == reached,
            None => self.batches.is_multiple_of(options.checkpoint_batches as u64),
        };
        if due {
            self.checkpoint(work, false)?;
        }
        Ok(())
    }

    fn checkpoint(&self, work: &mut Work, done: bool) -> Result<Checkpoint> {
        work.checkpoint(self.batches, self.counts, self.writer.answers(), done)
    }

    /// Ends the work where too many rows are bad.
    fn judge(&mut self, work: &mut Work, options: &BatchOptions, ended: bool) -> Result<()> {
        let BatchCounts { rows, bad, .. } = self.counts;
        if !options.bad_rows.exceeded(bad, rows, ended) {
            return Ok(());
        }
        // Whoever looks into them should find all of them.
        work.refused.sync()?;
        let mut error = Error::new(ErrorKind::Rejected, OP, "too many rows are bad")
            .with("bad", bad)
            .with("rows", rows)
            .with("refused", work.aside());
        if let Some(first) = self.first.take() {
            error = error.with("first", first.message()).with_source(first);
        }
        Err(error)
    }

    /// Writes down that all is done.
    fn finish(work: &mut Work, mut run: Self) -> Result<Checkpoint> {
        if run.writer.answers().is_none() {
            // No row was scored: results without a line all the same say what they would be.
            run.results.clear();
            run.writer.empty(&mut run.results);
            work.results.append(&run.results)?;
        }
        run.checkpoint(work, true)
    }
}

/// A bad row as an error.
fn describe(batch: &ReadBatch, refused: &Refused, before: u64) -> Error {
    let row = before + refused.at as u64 + 1;
    let line = batch.line(refused.at);
    let column = refused.column.as_deref().map(|name| format!("column `{}`, ", crate::error::quote(name)));
    let place = line.map_or_else(|| format!("row {row}"), |line| format!("row {row} (line {line})"));
    let message = format!("{}{place}: {}", column.unwrap_or_default(), refused.reason);
    let mut error = Error::invalid(OP, "input", message).with("row", row);
    if let Some(line) = line {
        error = error.with("line", line);
    }
    match &refused.column {
        Some(column) => error.with("column", column),
        None => error,
    }
}
