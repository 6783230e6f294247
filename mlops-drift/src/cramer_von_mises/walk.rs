//! The exact law of T given the ties.
//!
//! A walk takes the groups of tied values in ascending order and says of each how many of its values are on the first side.
//! After a group with i and j values of the sides so far it adds size·((i·m − j·n)/g)², g the greatest common divisor of n and
//! m, to an integer that ends as S = T·N²·nm/g². States are kept per i, as ascending lists of (sum so far, number of ways).

/// Beyond this many pairs of values the sums would not be integers of 53 bits, and lists would be long.
pub(super) const MAX_PAIRS: u64 = 10_000;
/// Beyond this many values there are more assignments than a double can count.
pub(super) const MAX_TOTAL: u64 = 1_000;

/// Sums so far and how many ways lead to each, ascending.
type List = Vec<(u64, f64)>;

/// A walk about to start.
pub(super) struct Walk<'a> {
    sizes: &'a [usize],
    n: usize,
    m: usize,
    /// The smallest S that counts.
    threshold: u64,
}

/// The walk that computes P(T ≥ `statistic`) for groups of these sizes; n·m and n + m are within the bounds above.
#[expect(clippy::cast_sign_loss, reason = "a sum of squares, and the cast saturates")]
pub(super) fn ln_p(sizes: &[usize], n: usize, m: usize, statistic: f64) -> Walk<'_> {
    // T has a relative error of a few ε and S is an integer.
    Walk { sizes, n, m, threshold: (statistic * unit(n, m)).round() as u64 }
}

/// S/T.
pub(super) fn unit(n: usize, m: usize) -> f64 {
    let g = divisor(n, m) as f64;
    let total = (n + m) as f64;
    total * total * (n as f64 / g) * (m as f64 / g)
}

fn divisor(a: usize, b: usize) -> usize {
    if b == 0 { a } else { divisor(b, a % b) }
}

impl Walk<'_> {
    /// ln p, unless more than `budget` list entries were written.
    pub(super) fn within(self, budget: usize) -> Option<f64> {
        let ends = self.ends();
        let bounds = self.bounds(&ends);
        let ways = Choose::new(self.n + self.m);
        let mut lists: Vec<List> = vec![List::new(); self.n + 1];
        if let Some(first) = lists.first_mut() {
            first.push((0, 1.0));
        }
        // Every assignment whose sum is certain to reach the threshold.
        let mut reached = 0.0;
        let mut written = 0;
        for (k, &size) in self.sizes.iter().enumerate() {
            let before = ends[k] - size;
            let mut next = vec![List::new(); self.n + 1];
            for i in self.first_side(ends[k]) {
                let mut list = List::new();
                for now in 0..=size.min(i) {
                    let earlier = i - now;
                    if earlier <= before && before - earlier <= self.m {
                        list = merge(&list, &lists[earlier], ways.of(size, now));
                    }
                }
                let added = self.gap(size, i, ends[k] - i);
                let (least, most) = bounds[k + 1][i];
                let completions = ways.of(self.n + self.m - ends[k], self.n - i);
                list.iter_mut().for_each(|(sum, _)| *sum += added);
                list.retain(|&(sum, count)| {
                    if sum + least >= self.threshold {
                        reached += count * completions;
                        return false;
                    }
                    sum + most >= self.threshold
                });
                written += list.len() + 1;
                next[i] = list;
            }
            if written > budget {
                return None;
            }
            lists = next;
        }
        Some((reached / ways.of(self.n + self.m, self.n)).ln().min(0.0))
    }

    /// How many values there are up to the end of each group.
    fn ends(&self) -> Vec<usize> {
        let running = self.sizes.iter().scan(0, |total, size| {
            *total += size;
            Some(*total)
        });
        running.collect()
    }

    /// How many of the first `end` values can be on the first side.
    fn first_side(&self, end: usize) -> std::ops::RangeInclusive<usize> {
        end.saturating_sub(self.m)..=self.n.min(end)
    }

    /// What a group adds.
    fn gap(&self, size: usize, i: usize, j: usize) -> u64 {
        let g = divisor(self.n, self.m);
        let gap = (i * (self.m / g)).abs_diff(j * (self.n / g)) as u64;
        size as u64 * gap * gap
    }

    /// The least and the most that is still to come, after k groups and with i values on the first side.
    fn bounds(&self, ends: &[usize]) -> Vec<Vec<(u64, u64)>> {
        let groups = self.sizes.len();
        let mut bounds = vec![vec![(0, 0); self.n + 1]; groups + 1];
        for k in (0..groups).rev() {
            let before = ends[k] - self.sizes[k];
            for i in self.first_side(before) {
                let (mut least, mut most) = (u64::MAX, 0);
                for now in 0..=self.sizes[k] {
                    let after = i + now;
                    if self.first_side(ends[k]).contains(&after) {
                        let added = self.gap(self.sizes[k], after, ends[k] - after);
                        let (low, high) = bounds[k + 1][after];
                        (least, most) = (least.min(added + low), most.max(added + high));
                    }
                }
                bounds[k][i] = (least, most);
            }
        }
        bounds
    }
}

/// `list` plus `other` with its counts multiplied.
fn merge(list: &List, other: &List, factor: f64) -> List {
    let mut merged = List::with_capacity(list.len() + other.len());
    let (mut left, mut right) = (list.iter().peekable(), other.iter().peekable());
    loop {
        let entry = match (left.peek(), right.peek()) {
            (Some(&&(x, count)), Some(&&(y, ways))) if x == y => {
                left.next();
                right.next();
                (x, count + ways * factor)
            }
            (Some(&&(x, count)), Some(&&(y, _))) if x < y => {
                left.next();
                (x, count)
            }
            (_, Some(&&(y, ways))) => {
                right.next();
                (y, ways * factor)
            }
            (Some(&&entry), None) => {
                left.next();
                entry
            }
            (None, None) => return merged,
        };
        merged.push(entry);
    }
}

/// Binomial coefficients up to some n, from factorials as mantissa and exponent.
struct Choose {
    /// n! = mantissa·2^exponent.
    factorials: Vec<(f64, i32)>,
}

impl Choose {
    fn new(top: usize) -> Self {
        let (mut mantissa, mut exponent) = (1.0, 0);
        let mut factorials = vec![(1.0, 0)];
        for i in 1..=top {
            mantissa *= i as f64;
            while mantissa >= 2f64.powi(64) {
                mantissa *= 2f64.powi(-64);
                exponent += 64;
            }
            factorials.push((mantissa, exponent));
        }
        Self { factorials }
    }

    fn of(&self, n: usize, k: usize) -> f64 {
        let (a, b, c) = (self.factorials[n], self.factorials[k], self.factorials[n - k]);
        let exponent = a.1 - b.1 - c.1;
        // In two halves: the power alone can be too large.
        a.0 / b.0 * 2f64.powi(exponent / 2) / c.0 * 2f64.powi(exponent - exponent / 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_assignment_is_counted() {
        // The threshold 0 is reached by all of them.
        for (sizes, n, m) in [(&[1; 9][..], 4, 5), (&[3, 1, 5], 4, 5), (&[2; 50], 50, 50)] {
            let ln_p = ln_p(sizes, n, m, 0.0).within(1 << 20);
            assert!(ln_p.is_some_and(|ln_p| ln_p.abs() < 1e-13), "{ln_p:?}");
        }
    }

    #[test]
    fn binomial_coefficients_survive_large_factorials() {
        let choose = Choose::new(1000);
        assert!((choose.of(1000, 500) / 2.702882409454366e299 - 1.0).abs() < 1e-12);
        assert!((choose.of(60, 30) / 118_264_581_564_861_424.0 - 1.0).abs() < 1e-14);
        assert_eq!(choose.of(7, 0), 1.0);
    }
}
