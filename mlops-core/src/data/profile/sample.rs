//! Rows drawn at random, the same ones however the stream is cut.
//!
//! Every row has a number that is a mix of the seed and its place; the sample is the rows with the smallest numbers (bottom-k: Cohen
//! and Kaplan, "Summarizing data using bottom-k sketches", PODC 2007). So a row is in the sample with the same probability as any
//! other, samples of parts merge to that of the whole, and up to k rows the sample *is* the data.
//!
//! A share measured on k of the rows is off by at most √(ln(2/δ)/2k) with probability 1 − δ, for all shares of one column at once
//! (Dvoretzky, Kiefer, Wolfowitz; Massart 1990): 0.0064 for k = 65 536 and δ = 1 %.

use crate::data::{Column, Table, Values};
use crate::error::Result;

use super::hash::mix;

/// The longest text kept, in bytes: a longer one is its beginning, its length and a hash of it.
const MAX_TEXT: usize = 256;

/// A text as it is kept.
pub(super) fn kept(text: &str) -> std::borrow::Cow<'_, str> {
    if text.len() <= MAX_TEXT {
        return text.into();
    }
    let start: String = text.chars().take(48).collect();
    format!("{start}… ({} bytes, {:016x})", text.len(), super::hash::text(text)).into()
}

/// The sample.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    size: usize,
    seed: u64,
    /// The numbers of the rows kept, and those rows, in the order in which they came.
    pub(super) numbers: Vec<u64>,
    pub(super) rows: Option<Table<'static>>,
    /// Rows with a number above it are not looked at.
    pub(super) bound: u64,
}

impl Sample {
    pub(super) fn new(size: usize, seed: u64) -> Self {
        Self { size, seed, numbers: Vec::new(), rows: None, bound: u64::MAX }
    }

    /// Whether it can be a sample of so many rows.
    pub(super) fn is_of(&self, rows: u64) -> bool {
        let drawn = self.rows.as_ref().map_or(0, Table::rows);
        drawn == self.numbers.len()
            && drawn < self.size * 2
            && drawn as u64 <= rows
            && self.numbers.iter().all(|number| *number <= self.bound)
    }

    /// Looks at a batch whose first row has this place.
    pub(super) fn push(&mut self, batch: &Table<'_>, first: u64) -> Result<()> {
        let key = mix(self.seed ^ 0x1f83_d9ab_fb41_bd6b);
        let number = |row: usize| mix(key.wrapping_add(first).wrapping_add(row as u64));
        let drawn: Vec<usize> = (0..batch.rows()).filter(|row| number(*row) <= self.bound).collect();
        self.numbers.extend(drawn.iter().map(|row| number(*row)));
        let taken = compact(&batch.take(&drawn)?)?;
        self.add(taken)
    }

    pub(super) fn merge(&mut self, other: &Self) -> Result<()> {
        self.numbers.extend_from_slice(&other.numbers);
        self.bound = self.bound.min(other.bound);
        other.rows.clone().map_or(Ok(()), |rows| self.add(rows))?;
        // What lies above the other's bound is in no sample of both: the other alone has enough rows below it.
        let keep: Vec<usize> =
            (0..self.numbers.len()).filter(|at| self.numbers.get(*at) <= Some(&self.bound)).collect();
        if keep.len() < self.numbers.len() { self.keep(&keep) } else { Ok(()) }
    }

    fn add(&mut self, taken: Table<'static>) -> Result<()> {
        self.rows = Some(match self.rows.take() {
            Some(rows) if taken.rows() > 0 => Table::concat(&[rows, taken])?,
            Some(rows) => rows,
            None => taken,
        });
        // Room for as many again, so that it is cut rarely.
        if self.numbers.len() >= self.size * 2 { self.cut() } else { Ok(()) }
    }

    /// Leaves as many rows as were asked for.
    fn cut(&mut self) -> Result<()> {
        if self.numbers.len() <= self.size {
            return Ok(());
        }
        let mut sorted = self.numbers.clone();
        let (_, bound, _) = sorted.select_nth_unstable(self.size - 1);
        self.bound = *bound;
        let keep: Vec<usize> =
            (0..self.numbers.len()).filter(|at| self.numbers.get(*at) <= Some(bound)).collect();
        // Two rows of one number are possible where parts have the same places; the later one has to go.
        let keep = keep.get(..self.size.min(keep.len())).unwrap_or_default().to_vec();
        self.keep(&keep)
    }

    /// Leaves the rows at these places, in this order.
    fn keep(&mut self, places: &[usize]) -> Result<()> {
        self.numbers = places.iter().filter_map(|at| self.numbers.get(*at).copied()).collect();
        if let Some(rows) = self.rows.take() {
            self.rows = Some(compact(&rows.take(places)?)?);
        }
        Ok(())
    }

    /// The rows of the sample.
    pub(super) fn table(&self) -> Result<Table<'static>> {
        let mut sample = self.clone();
        sample.cut()?;
        Ok(sample.rows.unwrap_or_default())
    }
}

/// The same rows, with the levels that they have and no others.
fn compact(table: &Table<'_>) -> Result<Table<'static>> {
    let column = |column: &Column<'_>| match column.values() {
        Values::Category { .. } => {
            let label = |row| column.label(row).map(|text| kept(&text).into_owned());
            Column::optional_text(column.name().to_owned(), (0..column.len()).map(label))
        }
        _ => Ok(column.clone().into_owned()),
    };
    Table::new(table.columns().iter().map(column).collect::<Result<Vec<_>>>()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(range: std::ops::Range<i64>) -> Table<'static> {
        Table::new(vec![Column::i64("n", range.collect::<Vec<_>>()).unwrap()]).unwrap()
    }

    fn drawn(sample: &Sample) -> Vec<i64> {
        match sample.table().unwrap().columns()[0].values() {
            Values::I64(values) => values.to_vec(),
            _ => panic!("of another type"),
        }
    }

    #[test]
    fn the_sample_does_not_depend_on_how_the_stream_is_cut() {
        let mut whole = Sample::new(100, 7);
        whole.push(&rows(0..10_000), 0).unwrap();
        let expected = drawn(&whole);
        assert_eq!(expected.len(), 100);
        for size in [1_u32, 33, 999] {
            let mut cut = Sample::new(100, 7);
            for first in (0..10_000_u32).step_by(size as usize) {
                let last = (first + size).min(10_000);
                cut.push(&rows(first.into()..last.into()), first.into()).unwrap();
            }
            assert_eq!(drawn(&cut), expected);
        }
        let (mut a, mut b) = (Sample::new(100, 7), Sample::new(100, 7));
        a.push(&rows(0..4_000), 0).unwrap();
        b.push(&rows(4_000..10_000), 4_000).unwrap();
        a.merge(&b).unwrap();
        assert_eq!(drawn(&a), expected);
    }

    #[test]
    fn a_sample_of_parts_that_were_cut_holds_nothing_above_its_bound() {
        let (mut a, mut b) = (Sample::new(100, 7), Sample::new(100, 7));
        a.push(&rows(0..150), 0).unwrap();
        b.push(&rows(150..10_000), 150).unwrap();
        assert!(a.bound > b.bound);
        a.merge(&b).unwrap();
        assert!(a.is_of(10_000));
        assert!(a.numbers.len() >= 100);
    }

    #[test]
    fn every_row_has_the_same_chance() {
        let mut sums = [0_usize; 10];
        for seed in 0..50 {
            let mut sample = Sample::new(100, seed);
            sample.push(&rows(0..1_000), 0).unwrap();
            drawn(&sample).iter().for_each(|n| sums[usize::try_from(n / 100).unwrap()] += 1);
        }
        // 5000 draws in ten cells: 500 each, a standard deviation of 20.
        assert!(sums.iter().all(|sum| (420..=580).contains(sum)), "{sums:?}");
    }
}
