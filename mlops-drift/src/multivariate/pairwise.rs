//! A symmetric matrix over all pairs of rows, and its sums over groups of rows.

use super::joint::Pool;

/// The values of all pairs of different rows: row `i` holds those with rows `0..i`. N(N − 1)/2 doubles.
#[derive(Debug)]
pub(crate) struct Triangle {
    values: Vec<f64>,
    /// For every row, the sum over all other rows.
    sums: Vec<f64>,
    total: f64,
}

/// Sums over unordered pairs: both in the chosen group, both in the other, one in each.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct GroupSums {
    pub(crate) chosen: f64,
    pub(crate) others: f64,
    pub(crate) across: f64,
}

impl Triangle {
    /// Over the squared Euclidean distances of all pairs, each put through `map`. O(N² · columns).
    pub(crate) fn of_squared_distances(pool: &Pool, map: impl Fn(f64) -> f64) -> Self {
        let rows = pool.rows();
        let mut values = Vec::with_capacity(rows * rows.saturating_sub(1) / 2);
        for i in 0..rows {
            values.extend((0..i).map(|j| map(squared_distance(pool.row(i), pool.row(j)))));
        }
        Self::new(values, rows)
    }

    fn new(values: Vec<f64>, rows: usize) -> Self {
        let mut sums = vec![0.0; rows];
        for i in 0..rows {
            let row = &values[start(i)..start(i + 1)];
            sums[i] += row.iter().sum::<f64>();
            sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
        }
        let total = sums.iter().sum::<f64>() / 2.0;
        Self { values, sums, total }
    }

    /// The sum over all pairs.
    pub(crate) fn total(&self) -> f64 {
        self.total
    }

    /// The sums when `chosen` rows (ascending) are one group and the rest the other. O(k²/2) for k chosen rows.
    pub(crate) fn split(&self, chosen: &[usize]) -> GroupSums {
        let mut within = 0.0;
        let mut touching = 0.0;
        for (position, &i) in chosen.iter().enumerate() {
            let row = &self.values[start(i)..start(i + 1)];
            within += chosen[..position].iter().map(|&j| row[j]).sum::<f64>();
            touching += self.sums[i];
        }
        // Row sums of the group meet every pair inside it twice.
        let across = touching - 2.0 * within;
        GroupSums { chosen: within, others: self.total - within - across, across }
    }
}

/// Where row `i` of the triangle starts.
const fn start(i: usize) -> usize {
    i * i.saturating_sub(1) / 2
}

/// Four running sums, so that additions need not wait for each other.
pub(crate) fn squared_distance(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.0; 4];
    let (a_blocks, b_blocks) = (a.chunks_exact(4), b.chunks_exact(4));
    let rest = a_blocks.remainder().iter().zip(b_blocks.remainder());
    let tail: f64 = rest.map(|(x, y)| (x - y) * (x - y)).sum();
    for (x, y) in a_blocks.zip(b_blocks) {
        for k in 0..4 {
            let difference = x[k] - y[k];
            sums[k] += difference * difference;
        }
    }
    (sums[0] + sums[1]) + (sums[2] + sums[3]) + tail
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn group_sums_are_what_two_loops_find() {
        let values: Vec<f64> = (0..36).map(|i| f64::from(i * i % 17) - 4.0).collect();
        let pool = Pool { values, columns: 3, n: 5, m: 7 };
        let triangle = Triangle::of_squared_distances(&pool, f64::sqrt);
        let chosen = [0, 3, 4, 9, 11];
        let mut expected = GroupSums { chosen: 0.0, others: 0.0, across: 0.0 };
        for i in 0..12 {
            for j in 0..i {
                let d = pool.row(i).iter().zip(pool.row(j)).map(|(x, y)| (x - y).powi(2)).sum::<f64>().sqrt();
                match (chosen.contains(&i), chosen.contains(&j)) {
                    (true, true) => expected.chosen += d,
                    (false, false) => expected.others += d,
                    _ => expected.across += d,
                }
            }
        }
        let got = triangle.split(&chosen);
        assert!((got.chosen - expected.chosen).abs() < 1e-12 * expected.chosen);
        assert!((got.others - expected.others).abs() < 1e-12 * expected.others);
        assert!((got.across - expected.across).abs() < 1e-12 * expected.across);
    }

    #[test]
    fn distances_of_any_width_are_whole() {
        for columns in 1..10 {
            let a: Vec<f64> = (0..columns).map(f64::from).collect();
            let b = vec![0.0; a.len()];
            assert_eq!(squared_distance(&a, &b), a.iter().map(|x| x * x).sum::<f64>());
        }
    }
}
