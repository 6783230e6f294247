//! Rows at random, and what every method of choosing by share needs: sizes by the largest remainder.

use super::{OP, Part};
use crate::error::{Error, Result};
use crate::num::Random;

/// The whole part of a number that is not negative.
#[expect(clippy::cast_sign_loss, reason = "quotas are products of counts and fractions, never negative")]
pub(super) fn whole(quota: f64) -> usize {
    quota.floor() as usize
}

/// Whole parts of `rows × share`, and what is left of each. A product that rounding put a hair beside a whole number is that
/// number: 10 rows × (1 − 0.2 − 0.1) are 7.
pub(super) fn quotas(rows: usize, parts: &[(Part, f64)]) -> (Vec<usize>, Vec<f64>) {
    const HAIR: f64 = 1e-9;
    let snap = |quota: f64| if (quota - quota.round()).abs() < HAIR { quota.round() } else { quota };
    let exact = parts.iter().map(|(_, share)| snap(rows as f64 * share));
    exact.map(|quota| (whole(quota), quota - quota.floor())).unzip()
}

/// Sizes by the largest remainder (Hamilton's method); they sum to `rows`.
pub(super) fn sizes(rows: usize, parts: &[(Part, f64)]) -> Result<Vec<usize>> {
    let (mut sizes, remainders) = quotas(rows, parts);
    let mut order: Vec<usize> = (0..parts.len()).collect();
    order.sort_by(|&a, &b| remainders[b].total_cmp(&remainders[a]));
    // Rounding never takes the whole parts above the sum.
    let left = rows.saturating_sub(sizes.iter().sum());
    for &part in order.iter().cycle().take(left) {
        sizes[part] += 1;
    }
    if let Some(empty) = sizes.iter().position(|&size| size == 0) {
        let message = format!("{rows} rows leave none for {}", parts[empty].0);
        return Err(Error::invalid(OP, "fractions", message).with("share", parts[empty].1));
    }
    Ok(sizes)
}

pub(super) fn holdout(rows: usize, parts: &[(Part, f64)], random: &Random) -> Result<Vec<Option<usize>>> {
    let sizes = sizes(rows, parts)?;
    let mut order: Vec<usize> = (0..rows).collect();
    random.stream("rows").shuffle(&mut order);
    let mut chosen = vec![None; rows];
    deal(&mut chosen, &order, &sizes);
    Ok(chosen)
}

/// Gives the first rows of `order` to part 0, the next to part 1, and so on.
pub(super) fn deal(chosen: &mut [Option<usize>], order: &[usize], counts: &[usize]) {
    let of_part = counts.iter().enumerate().flat_map(|(part, &count)| std::iter::repeat_n(part, count));
    for (&row, part) in order.iter().zip(of_part) {
        chosen[row] = Some(part);
    }
}
