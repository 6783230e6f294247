//! One batch: which of its rows are good, and what the model answers to them.

use super::OP;
use crate::data::{ReadBatch, Table, Unreadable};
use crate::deploy::serving;
use crate::error::{ErrorKind, Result};
use crate::model::{Predictions, Predictor, Signature};

/// A row that is set aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refused {
    /// Its place in the batch, counted from 0.
    pub(super) at: usize,
    pub(super) column: Option<String>,
    pub(super) reason: String,
}

/// What came of a batch.
#[derive(Debug, Default)]
pub(super) struct Scored {
    /// The rows that were scored, ascending.
    pub(super) rows: Vec<usize>,
    /// The answers to them, in order.
    pub(super) predictions: Vec<Predictions>,
    /// The rows that were not, ascending.
    pub(super) refused: Vec<Refused>,
}

/// Scores the rows of a batch. `first_only`: one that is bad is enough.
pub(super) fn score(predictor: &dyn Predictor, batch: &ReadBatch, first_only: bool) -> Result<Scored> {
    let (table, signature) = (batch.table(), predictor.signature());
    check_types(signature, table)?;
    let mut scored = Scored { refused: unfit(signature, batch), ..Scored::default() };
    if first_only && !scored.refused.is_empty() {
        return Ok(scored);
    }
    let mut bad = scored.refused.iter().map(|refused| refused.at).peekable();
    let good: Vec<usize> = (0..table.rows()).filter(|row| bad.next_if_eq(row).is_none()).collect();
    let mut asking = Asking { predictor, table, first_only, scored: &mut scored };
    asking.ask(&good)?;
    scored.refused.sort_by_key(|refused| refused.at);
    Ok(scored)
}

/// A column that is not there or of another type is no matter of a row.
fn check_types(signature: &Signature, table: &Table<'_>) -> Result<()> {
    let mut inputs = signature.inputs.clone();
    inputs.iter_mut().for_each(|input| input.nullable = true);
    Signature::new(signature.task, inputs).check(table)
}

/// The rows that need not be shown to the model.
fn unfit(signature: &Signature, batch: &ReadBatch) -> Vec<Refused> {
    let table = batch.table();
    let mut refused: Vec<Refused> = Vec::new();
    let mut places = batch.unreadable().iter().peekable();
    for at in batch.unreadable_rows() {
        while places.next_if(|place| place.row < at).is_some() {}
        let place = places.peek().filter(|place| place.row == at);
        let column = place.and_then(|place| place.column.clone());
        let reason = place.map_or_else(|| "cannot be read".to_owned(), |place| words(place));
        refused.push(Refused { at, column, reason });
    }
    for feature in signature.inputs.iter().filter(|feature| !feature.nullable) {
        let Some(column) = table.get(&feature.name).filter(|column| column.missing() > 0) else { continue };
        for at in (0..column.len()).filter(|at| !column.is_valid(*at)) {
            let reason = "has no value, but the model needs one".to_owned();
            refused.push(Refused { at, column: Some(feature.name.clone()), reason });
        }
    }
    // The first reason of a row is enough; the sort keeps the order of those of one row.
    refused.sort_by_key(|refused| refused.at);
    refused.dedup_by_key(|refused| refused.at);
    refused
}

fn words(place: &Unreadable) -> String {
    format!("\"{}\" {}", place.text, place.problem)
}

struct Asking<'a, 't> {
    predictor: &'a dyn Predictor,
    table: &'a Table<'t>,
    first_only: bool,
    scored: &'a mut Scored,
}

impl Asking<'_, '_> {
    /// Asks for these rows. Where the model refuses them, halves are asked for, until the rows that are to blame stand alone: for each of
    /// them as many questions as the batch can be halved, 16 at most.
    fn ask(&mut self, rows: &[usize]) -> Result<()> {
        if rows.is_empty() || self.first_only && !self.scored.refused.is_empty() {
            return Ok(());
        }
        let picked;
        let table = if rows.len() == self.table.rows() {
            self.table
        } else {
            picked = self.table.take(rows)?;
            &picked
        };
        match serving::predict(OP, self.predictor, table) {
            Ok(predictions) => {
                self.scored.rows.extend_from_slice(rows);
                self.scored.predictions.push(predictions);
                Ok(())
            }
            Err(e) if e.kind() == ErrorKind::InvalidInput => match rows {
                [at] => {
                    let column = e.context("column").map(str::to_owned);
                    let reason = e.message().to_owned();
                    self.scored.refused.push(Refused { at: *at, column, reason });
                    Ok(())
                }
                _ => {
                    let (left, right) = rows.split_at(rows.len() / 2);
                    self.ask(left)?;
                    self.ask(right)
                }
            },
            Err(e) => Err(e),
        }
    }
}
