//! The limit law of a statistic of the pooled distribution function, given which values are tied.

use crate::special::Bridge;

/// How the square of the difference is weighted at a share t of the pooled sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Weight {
    /// 1: Cramér–von Mises.
    Flat,
    /// 1/(t(1 − t)): Anderson–Darling.
    Tails,
}

/// More cells than this are not told apart: values that are neither tied nor many are merged, and their weight shared between
/// the ends of what was merged. Without ties ln p at a million values is then within 1e-5 of the continuous law's
/// (flat weight) and within 0.2 % (tails).
const CELLS: u64 = 4096;

/// Σ (tⱼ/N)·w·|B|² over the ends of the groups of tⱼ tied values, B a Brownian bridge in some dimensions: the large-sample law given
/// the ties. `None` when all values are tied.
pub(crate) fn law(
    sizes: impl Iterator<Item = u64>,
    total: u64,
    weight: Weight,
    dimensions: f64,
) -> Option<Bridge> {
    let mut grid = Grid { points: Vec::new(), total, weight };
    let limit = total / CELLS;
    // Where the last group ended, and what has been merged since.
    let (mut before, mut merged) = (0, 0);
    for size in sizes {
        if merged + size > limit {
            grid.spread(before, before + merged);
            before += merged;
            merged = 0;
        }
        if size > limit {
            grid.add(before + size, size as f64);
            before += size;
        } else {
            merged += size;
        }
    }
    grid.spread(before, before + merged);
    Bridge::new(&grid.points, dimensions)
}

struct Grid {
    points: Vec<(f64, f64)>,
    total: u64,
    weight: Weight,
}

impl Grid {
    /// Puts the weight of `size` values at the point below which `end` values are.
    fn add(&mut self, end: u64, size: f64) {
        if end == 0 || end >= self.total {
            return;
        }
        let at = end as f64 / self.total as f64;
        let share = size / self.total as f64;
        let weight = match self.weight {
            Weight::Flat => share,
            Weight::Tails => share / (at * ((self.total - end) as f64 / self.total as f64)),
        };
        match self.points.last_mut() {
            Some((last, sum)) if *last >= at => *sum += weight,
            _ => self.points.push((at, weight)),
        }
    }

    /// Shares the weight of merged values between both of their ends.
    fn spread(&mut self, from: u64, to: u64) {
        let size = (to - from) as f64;
        let inside = |end| end > 0 && end < self.total;
        match (inside(from), inside(to)) {
            (true, true) => {
                self.add(from, size / 2.0);
                self.add(to, size / 2.0);
            }
            // At 0 and 1 the weight of the tails has no value, and the flat one counts nothing.
            (true, false) if self.weight == Weight::Tails => self.add(from, size),
            (false, true) if self.weight == Weight::Tails => self.add(to, size),
            (true, false) => self.add(from, size / 2.0),
            (false, true) => self.add(to, size / 2.0),
            (false, false) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::special::{AndersonDarlingLaw, CramerVonMisesLaw, ln_sf};

    #[test]
    fn many_values_without_ties_come_near_the_continuous_law() {
        let flat = law((0..1_000_000).map(|_| 1), 1_000_000, Weight::Flat, 1.0).unwrap();
        for x in [0.05, 0.5, 3.0] {
            let (got, limit) = (ln_sf(&flat, x), ln_sf(&CramerVonMisesLaw, x));
            assert!((got - limit).abs() < 1e-5, "{x}: {got} {limit}");
        }
        let steep = law((0..1_000_000).map(|_| 1), 1_000_000, Weight::Tails, 1.0).unwrap();
        for x in [0.5, 2.5, 10.0] {
            let (got, limit) = (ln_sf(&steep, x), ln_sf(&AndersonDarlingLaw { dimensions: 1.0 }, x));
            assert!((got - limit).abs() < 2e-3 * x.max(1.0), "{x}: {got} {limit}");
        }
    }

    #[test]
    fn an_atom_beside_fine_values_keeps_its_place() {
        // Half of a million values are zero, the others differ: merged and unmerged grids give one law.
        let fine =
            law([500_000].into_iter().chain((0..500_000).map(|_| 1)), 1_000_000, Weight::Flat, 1.0).unwrap();
        let coarse = law([2000].into_iter().chain((0..2000).map(|_| 1)), 4000, Weight::Flat, 1.0).unwrap();
        for x in [0.05, 0.3, 2.0] {
            assert!((ln_sf(&fine, x) - ln_sf(&coarse, x)).abs() < 2e-3 * (1.0 + x), "{x}");
        }
    }

    #[test]
    fn one_group_has_no_law() {
        assert!(law([7].into_iter(), 7, Weight::Flat, 1.0).is_none());
    }
}
