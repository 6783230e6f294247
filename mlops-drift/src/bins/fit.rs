//! Where the cells of a reference begin. Everything here takes finite values in ascending order and gives strictly ascending
//! lower edges, the first of them the smallest value; the last cell ends at the largest value.

use mlops_core::num::StatsError;
use mlops_core::num::quantile::quantile_sorted;

/// Cells of about equal mass, with every value of mass 1/`bins` or more (and seen at least twice) alone in its cell.
pub(super) fn quantile(sorted: &[f64], bins: usize) -> Result<Vec<f64>, StatsError> {
    let mut lows = Lows::default();
    let mut rest = sorted;
    let mut from = 0;
    for run in sorted.chunk_by(|a, b| a == b) {
        let to = from + run.len();
        if run.len() >= 2 && run.len().saturating_mul(bins) >= sorted.len() {
            let between = rest.len() - (sorted.len() - from);
            cut_segment(&rest[..between], sorted.len(), bins, &mut lows)?;
            lows.push(run[0]);
            rest = &sorted[to..];
            if !rest.is_empty() {
                lows.push(run[0].next_up());
            }
        }
        from = to;
    }
    cut_segment(rest, sorted.len(), bins, &mut lows)?;
    Ok(lows.0)
}

/// Cuts the values between two atoms into their share of the cells.
fn cut_segment(segment: &[f64], n: usize, bins: usize, lows: &mut Lows) -> Result<(), StatsError> {
    let Some(&first) = segment.first() else {
        return Ok(());
    };
    if lows.0.is_empty() {
        lows.push(first);
    }
    // Rounded to nearest, in integers: bins·len/n.
    let (len, n, wanted) = (segment.len() as u128, n as u128, bins as u128);
    let share = (2 * wanted * len + n) / (2 * n);
    let share = usize::try_from(share).unwrap_or(bins).clamp(1, segment.len());
    for i in 1..share {
        let cut = quantile_sorted(segment, i as f64 / share as f64)?;
        if cut > first {
            lows.push(cut);
        }
    }
    Ok(())
}

/// `bins` cells of equal width; fewer where neighbouring edges are the same double.
pub(super) fn equal_width(low: f64, high: f64, bins: usize) -> Vec<f64> {
    let mut lows = Lows::default();
    lows.push(low);
    let span = high - low;
    for i in 1..bins {
        let t = i as f64 / bins as f64;
        let edge = if span.is_finite() { low + span * t } else { low * (1.0 - t) + high * t };
        if edge < high {
            lows.push(edge);
        }
    }
    lows.0
}

/// Strictly ascending edges, without negative zero.
#[derive(Default)]
struct Lows(Vec<f64>);

impl Lows {
    fn push(&mut self, edge: f64) {
        let edge = edge + 0.0; // −0.0 becomes 0.0
        if self.0.last().is_none_or(|&last| edge > last) {
            self.0.push(edge);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_ties_the_cells_hold_equal_mass() {
        let values: Vec<f64> = (0..1000).map(|i| f64::from(i).powi(2)).collect();
        let lows = quantile(&values, 10).unwrap();
        assert_eq!(lows.len(), 10);
        for (i, pair) in lows.windows(2).enumerate() {
            let inside = values.iter().filter(|v| (pair[0]..pair[1]).contains(*v)).count();
            assert_eq!(inside, 100, "cell {i}");
        }
    }

    #[test]
    fn atoms_stand_alone() {
        for (values, bins, expected) in [
            // An atom inside: below, itself, above.
            (vec![1.0, 2.0, 5.0, 5.0, 5.0, 8.0, 9.0], 3, vec![1.0, 5.0, 5f64.next_up()]),
            // At both ends.
            (vec![0.0, 0.0, 0.0, 1.0, 2.0, 3.0, 3.0, 3.0], 3, vec![0.0, 0f64.next_up(), 3.0]),
            // Nothing but atoms: the gap between them is a cell.
            (vec![1.0, 1.0, 2.0, 2.0], 2, vec![1.0, 1f64.next_up(), 2.0]),
            // A constant.
            (vec![7.0; 5], 10, vec![7.0]),
            // A single value, and fewer values than bins: values seen once are no atoms.
            (vec![7.0], 10, vec![7.0]),
            (vec![1.0, 3.0], 10, vec![1.0, 2.0]),
            // Neighbouring doubles: no room for a gap.
            (vec![1.0, 1.0, 1f64.next_up(), 1f64.next_up()], 2, vec![1.0, 1f64.next_up()]),
            // The two zeros are one value.
            (vec![-0.0, 0.0, 0.0, 4.0], 2, vec![0.0, 0f64.next_up()]),
        ] {
            let lows = quantile(&values, bins).unwrap();
            assert_eq!(lows, expected, "{values:?} in {bins}");
            assert!(lows.iter().all(|low| low.to_bits() != (-0.0f64).to_bits()));
        }
    }

    #[test]
    fn equal_widths_survive_extreme_spans() {
        assert_eq!(equal_width(-1e308, 1e308, 4), [-1e308, -5e307, 0.0, 5e307]);
        assert_eq!(equal_width(0.0, 1e-323, 100), [0.0, 5e-324]);
        assert_eq!(equal_width(1e15, 1e15 + 2.0, 1000).len(), 16);
        assert_eq!(equal_width(3.5, 3.5, 10), [3.5]);
    }
}
