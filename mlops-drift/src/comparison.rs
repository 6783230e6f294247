//! Two tallies over the same cells, checked once: what every distance on cells starts from.

use mlops_core::num::StatsError;
use mlops_core::num::sum::Sum;

use crate::pair::Pair;
use crate::sample::Side;
use crate::smoothing::{Shares, Smoothing};
use crate::tally::{Outer, Row, Tally};

/// A checked reference and current tally over the same cells, some of which may be folded into their neighbours.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Comparison<'a> {
    reference: Tally<'a>,
    current: Tally<'a>,
    /// The totals where both sides are counts, which keeps differences of shares exact.
    exact: Option<(u64, u64)>,
    totals: (f64, f64),
    /// The number of values, effective where they have weights.
    pub(crate) sizes: (f64, f64),
    /// Cells that are counted with the neighbour towards the middle.
    low: Option<usize>,
    high: Option<usize>,
    /// How many cells are occupied on some side.
    pub(crate) cells: u64,
}

impl<'a> Comparison<'a> {
    pub(crate) fn new(reference: Tally<'a>, current: Tally<'a>) -> Result<Self, StatsError> {
        let (exact, totals, sizes) = match (reference.counts(), current.counts()) {
            (Some(a), Some(b)) => {
                let pair = Pair::new(a, b)?;
                let sizes = (pair.n as f64, pair.m as f64);
                (Some((pair.n, pair.m)), sizes, sizes)
            }
            _ => {
                same_length(reference.len(), current.len())?;
                let (a, b) = (total("reference", &reference)?, total("current", &current)?);
                (None, (a.0, b.0), (a.1, b.1))
            }
        };
        let mut new = Self { reference, current, exact, totals, sizes, low: None, high: None, cells: 0 };
        new.cells = new.occupied().count() as u64;
        Ok(new)
    }

    /// 1/n + 1/m: the variance scale of a difference of two shares.
    pub(crate) fn inverse_size(&self) -> f64 {
        1.0 / self.sizes.0 + 1.0 / self.sizes.1
    }

    /// What became of the values; of a bare row it is known that they are there.
    pub(crate) fn sides(&self) -> (Side, Side) {
        let unseen =
            (0..self.current.len()).filter(|&i| self.reference.mass(i) == 0.0).map(|i| self.current.count(i));
        (side(&self.reference), Side { unseen: unseen.sum(), ..side(&self.current) })
    }

    /// The cells that are occupied on some side, by index; never one that is folded away.
    pub(crate) fn occupied(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.reference.len()).filter(|&cell| {
            let (a, b) = self.masses(cell);
            a > 0.0 || b > 0.0
        })
    }

    /// The shares of the occupied cells, in order.
    pub(crate) fn shares(
        &self,
        smoothing: Smoothing,
    ) -> Result<impl Iterator<Item = Shares> + '_, StatsError> {
        smoothing.check()?;
        let k = self.cells;
        Ok(self.occupied().map(move |cell| smoothing.share(k, &|halves| self.with_prior(cell, halves))))
    }

    /// The shares of one cell, smoothed; zeros where neither side has a value.
    pub(crate) fn share(&self, cell: usize, smoothing: Smoothing) -> Shares {
        match self.masses(cell) {
            (0.0, 0.0) => Shares { reference: 0.0, current: 0.0, difference: 0.0 },
            _ => smoothing.share(self.cells, &|halves| self.with_prior(cell, halves)),
        }
    }

    /// The share of a cell in both samples thrown together.
    pub(crate) fn pooled(&self, shares: Shares) -> f64 {
        let (n, m) = self.sizes;
        (shares.reference * n + shares.current * m) / (n + m)
    }

    /// The sum of a term over the occupied cells.
    pub(crate) fn sum(&self, smoothing: Smoothing, term: impl Fn(Shares) -> f64) -> Result<f64, StatsError> {
        Ok(self.shares(smoothing)?.map(term).collect::<Sum>().value())
    }

    fn with_prior(&self, cell: usize, halves: u64) -> Shares {
        let Some(totals) = self.exact else {
            return self.weighted_prior(cell, halves);
        };
        let count = |tally: &Tally<'_>| self.members(cell).map(|cell| tally.count(cell)).sum::<u64>();
        Shares::with_prior(halves, totals, self.cells, (count(&self.reference), count(&self.current)))
    }

    fn weighted_prior(&self, cell: usize, halves: u64) -> Shares {
        let (a, b) = self.masses(cell);
        let scaled = (a / self.totals.0 * self.sizes.0, b / self.totals.1 * self.sizes.1);
        Shares::of_sizes(halves, self.sizes, self.cells, scaled)
    }

    fn masses(&self, cell: usize) -> (f64, f64) {
        let mass = |tally: &Tally<'_>| self.members(cell).map(|cell| tally.mass(cell)).sum::<f64>();
        (mass(&self.reference), mass(&self.current))
    }

    /// The cells counted under this index: none for one that is folded away.
    fn members(&self, cell: usize) -> impl Iterator<Item = usize> {
        let (low, high) = (self.low, self.high);
        let folded = low == Some(cell) || high == Some(cell);
        let below = low.filter(|&low| low + 1 == cell);
        let above = high.filter(|&high| cell + 1 == high);
        [Some(cell), below, above].into_iter().flatten().filter(move |_| !folded)
    }

    /// With the cells outside the reference, where it has no value there, counted with their neighbours.
    pub(crate) fn folded(&self) -> Self {
        let empty = |cell: usize| Some(cell).filter(|&cell| self.reference.mass(cell) == 0.0);
        let Some(Outer { low, high }) = self.reference.outer.filter(|outer| outer.high >= outer.low + 2)
        else {
            return *self;
        };
        let mut folded = Self { low: empty(low), high: empty(high), ..*self };
        folded.cells = folded.occupied().count() as u64;
        folded
    }

    /// The counts of the occupied cells, where nothing is weighted.
    pub(crate) fn counts(&self) -> Option<(Vec<u64>, Vec<u64>)> {
        self.exact?;
        let count = |tally: &Tally<'_>, cell| self.members(cell).map(|cell| tally.count(cell)).sum::<u64>();
        Some(self.occupied().map(|cell| (count(&self.reference, cell), count(&self.current, cell))).unzip())
    }

    /// How many sides of a folded comparison are folded, and how many current values lie there.
    pub(crate) fn outside(&self) -> (usize, f64) {
        let scale = self.sizes.1 / self.totals.1;
        let folded = self.low.iter().chain(self.high.iter());
        let (ends, mass) =
            folded.fold((0, 0.0), |(ends, mass), &cell| (ends + 1, mass + self.current.mass(cell)));
        (ends, (mass * scale).floor())
    }
}

fn side(tally: &Tally<'_>) -> Side {
    let rows = (0..tally.len()).map(|cell| tally.count(cell)).sum();
    tally.side.unwrap_or(Side { rows, used: rows, ..Side::default() })
}

fn same_length(left_len: usize, right_len: usize) -> Result<(), StatsError> {
    if left_len == right_len {
        return Ok(());
    }
    Err(StatsError::LengthMismatch { left: "reference", left_len, right: "current", right_len })
}

/// The total mass and the (effective) number of values.
fn total(argument: &'static str, tally: &Tally<'_>) -> Result<(f64, f64), StatsError> {
    if tally.is_empty() {
        return Err(StatsError::Empty { argument });
    }
    let total = (0..tally.len()).map(|cell| tally.mass(cell)).collect::<Sum>().value();
    if total == 0.0 {
        return Err(StatsError::ZeroTotal { argument });
    }
    if !total.is_finite() {
        return Err(StatsError::Overflow { what: "the sum of the masses" });
    }
    let size = match tally.row {
        Row::Counts(_) => total,
        Row::Masses { size, .. } => size,
    };
    Ok((total, size))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended<'a>(counts: &'a [u64]) -> Tally<'a> {
        Tally { outer: Some(Outer { low: 0, high: counts.len() - 1 }), ..Tally::new(counts) }
    }

    #[test]
    fn what_lies_outside_is_counted_with_its_neighbour() {
        let (a, b) = ([0, 4, 5, 0], [2, 4, 1, 3]);
        let plain = Comparison::new(ended(&a), ended(&b)).unwrap();
        let folded = plain.folded();
        assert_eq!((plain.cells, folded.cells), (4, 2));
        assert_eq!(folded.outside(), (2, 5.0));
        let shares: Vec<f64> = folded.shares(Smoothing::None).unwrap().map(|s| s.current).collect();
        assert_eq!(shares, [0.6, 0.4]);
    }

    #[test]
    fn a_single_fitted_cell_takes_both_neighbours() {
        let folded = Comparison::new(ended(&[0, 9, 0]), ended(&[1, 2, 3])).unwrap().folded();
        assert_eq!((folded.cells, folded.outside()), (1, (2, 4.0)));
    }

    #[test]
    fn an_end_that_the_reference_occupies_stays() {
        let folded = Comparison::new(ended(&[1, 9, 0]), ended(&[1, 2, 3])).unwrap().folded();
        assert_eq!((folded.cells, folded.outside()), (2, (1, 3.0)));
    }

    #[test]
    fn weights_of_one_are_counts() {
        let masses = [3.0, 0.0, 7.0];
        let weighted =
            Comparison::new(Tally::new(&[5, 5, 5]), Tally::from_masses(&masses, 10.0).unwrap()).unwrap();
        let counted = Comparison::new(Tally::new(&[5, 5, 5]), Tally::new(&[3, 0, 7])).unwrap();
        for smoothing in [Smoothing::None, Smoothing::Jeffreys, Smoothing::Laplace, Smoothing::Floor(0.01)] {
            let both = weighted.shares(smoothing).unwrap().zip(counted.shares(smoothing).unwrap());
            both.for_each(|(w, c)| assert!((w.current - c.current).abs() < 1e-15, "{smoothing:?}"));
        }
    }
}
