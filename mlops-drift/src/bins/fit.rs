//! Where the cells of a reference begin. Everything here takes finite values in ascending order and gives strictly ascending
//! lower edges, the first of them the smallest value; the last cell ends at the largest value.

use mlops_core::num::StatsError;
use mlops_core::num::quantile::quantile_sorted;
use mlops_core::num::sum::Sum;

use super::Bins;

/// How many cells a rule asks for, when that is a number of cells one can have.
#[expect(clippy::cast_sign_loss, reason = "checked to lie between 1 and 65536")]
pub(super) fn check_cells(cells: f64) -> Result<usize, StatsError> {
    if (1.0..=Bins::MAX_BINS as f64).contains(&cells) {
        return Ok(cells as usize);
    }
    let reason = "must lie between 1 and 65536";
    Err(StatsError::Parameter { parameter: "bins", value: cells, reason })
}

/// Sturges' number of cells, by way of a width as NumPy computes it, with the same rounding.
pub(super) fn sturges(n: usize, low: f64, high: f64) -> Result<usize, StatsError> {
    let (span, wanted) = (high - low, (n as f64).log2() + 1.0);
    let width = span / wanted;
    if !span.is_finite() || width == 0.0 {
        return check_cells(if span > 0.0 { wanted.ceil() } else { 1.0 });
    }
    check_cells((span / width).ceil())
}

/// Doane's number of cells.
pub(super) fn doane(values: &[f64], low: f64, high: f64) -> Result<usize, StatsError> {
    let n = values.len() as f64;
    let unit = unit_interval(low, high);
    let moment = |centre: f64, power: i32| {
        values.iter().map(|&value| (unit(value) - centre).powi(power)).collect::<Sum>().value() / n
    };
    let mean = moment(0.0, 1);
    let deviation = moment(mean, 2).sqrt();
    if n <= 2.0 || deviation.is_nan() || deviation == 0.0 {
        return Ok(1);
    }
    let skewness = (moment(mean, 3) / deviation.powi(3)).abs();
    let error = (6.0 * (n - 2.0) / ((n + 1.0) * (n + 3.0))).sqrt();
    check_cells((1.0 + n.log2() + (1.0 + skewness / error).log2()).ceil())
}

/// Freedman and Diaconis' number of cells.
pub(super) fn freedman_diaconis(sorted: &[f64], low: f64, high: f64) -> Result<usize, StatsError> {
    let unit = unit_interval(low, high);
    let spread = unit(quantile_sorted(sorted, 0.75)?) - unit(quantile_sorted(sorted, 0.25)?);
    if spread.is_nan() || spread <= 0.0 {
        return sturges(sorted.len(), low, high);
    }
    check_cells(((sorted.len() as f64).cbrt() / (2.0 * spread)).ceil())
}

/// Where a value lies between the smallest, 0, and the largest, 1; NaN when they are the same.
fn unit_interval(low: f64, high: f64) -> impl Fn(f64) -> f64 {
    // Halves, so that the range of the largest doubles is finite too.
    let half = if (high - low).is_finite() { 1.0 } else { 0.5 };
    move |value| (value * half - low * half) / (high * half - low * half)
}

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
    fn rules_without_a_width_have_a_way_out() {
        // Constant, two values, an IQR of 0, the largest doubles.
        let mostly = [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 5.0];
        assert_eq!(sturges(8, 3.5, 3.5), Ok(1));
        assert_eq!(doane(&[3.5; 8], 3.5, 3.5), Ok(1));
        assert_eq!(doane(&[0.0, 1.0], 0.0, 1.0), Ok(1));
        assert_eq!(freedman_diaconis(&mostly, 0.0, 5.0), Ok(4));
        assert_eq!(sturges(4, f64::MIN, f64::MAX), Ok(3));
        assert!(doane(&[f64::MIN, 0.0, 1.0, f64::MAX], f64::MIN, f64::MAX).is_ok());
    }

    #[test]
    fn a_rule_that_asks_for_too_many_cells_is_refused() {
        let mut values: Vec<f64> = (0..1000).map(f64::from).collect();
        values.push(1e300);
        let refused = freedman_diaconis(&values, 0.0, 1e300);
        assert!(matches!(refused, Err(StatsError::Parameter { parameter: "bins", .. })), "{refused:?}");
    }

    #[test]
    fn equal_widths_survive_extreme_spans() {
        assert_eq!(equal_width(-1e308, 1e308, 4), [-1e308, -5e307, 0.0, 5e307]);
        assert_eq!(equal_width(0.0, 1e-323, 100), [0.0, 5e-324]);
        assert_eq!(equal_width(1e15, 1e15 + 2.0, 1000).len(), 16);
        assert_eq!(equal_width(3.5, 3.5, 10), [3.5]);
    }
}
