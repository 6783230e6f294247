//! Rows in the order of their scores, sorted once as packed integers: the work behind DeLong's ranks and the bootstrap of areas.

use mlops_core::num::labelled::map_keyed;
use mlops_core::num::parallel::Threads;

/// Rows by ascending score, in parts that follow each other. Rows of equal score are in one part and keep the order of rows.
pub(super) struct Order {
    pub(super) parts: Vec<Part>,
}

/// Rows next to each other.
pub(super) struct Part {
    /// `row << 1 | label`.
    pub(super) entries: Vec<u64>,
    /// Where each group of equal scores that has more than one row begins and ends.
    pub(super) ties: Vec<(u32, u32)>,
}

impl Order {
    /// The parts as one.
    pub(super) fn into_whole(self) -> Part {
        let rows = self.parts.iter().map(|part| part.entries.len()).sum();
        let mut whole = Part { entries: Vec::with_capacity(rows), ties: Vec::new() };
        for part in self.parts {
            let start = whole.entries.len() as u32;
            whole.ties.extend(part.ties.iter().map(|(begin, end)| (start + begin, start + end)));
            whole.entries.extend(part.entries);
        }
        whole
    }
}

/// Sorts at most 2³¹ rows of finite scores. O(n) passes: a row's number and label travel in the low bits of its score's key,
/// so that a pass moves eight bytes a row; rows whose keys agree in the bits that are left are told apart by their scores.
/// The same on any number of threads.
pub(super) fn sorted(y_true: &[bool], scores: &[f64], threads: Threads) -> Order {
    let row_bits = 64 - (scores.len() as u64).leading_zeros();
    let low_mask = (1_u64 << (row_bits + 1)) - 1;
    let pack = |row: usize| key(scores[row]) & !low_mask | (row as u64) << 1 | u64::from(y_true[row]);
    let parts = map_keyed(scores, pack, threads, |packed, _| {
        settle(packed, scores, low_mask);
        let ties = ties(packed, scores, low_mask);
        Part { entries: packed.iter().map(|entry| entry & low_mask).collect(), ties }
    });
    Order { parts }
}

/// The bits of a score, rearranged so that unsigned order is numeric order and both zeros are one key.
fn key(score: f64) -> u64 {
    let bits = (score + 0.0).to_bits();
    if bits >> 63 == 0 { bits | 1 << 63 } else { !bits }
}

fn score_of(entry: u64, scores: &[f64], low_mask: u64) -> f64 {
    scores.get(((entry & low_mask) >> 1) as usize).copied().unwrap_or(0.0)
}

/// Orders the rows whose packed keys agree although their scores differ.
fn settle(packed: &mut [u64], scores: &[f64], low_mask: u64) {
    let score = |entry: &u64| score_of(*entry, scores, low_mask);
    for run in packed.chunk_by_mut(|a, b| a & !low_mask == b & !low_mask).filter(|run| run.len() > 1) {
        let first = score(&run[0]);
        if run.iter().any(|entry| score(entry) != first) {
            run.sort_by(|a, b| score(a).total_cmp(&score(b)).then(a.cmp(b)));
        }
    }
}

fn ties(packed: &[u64], scores: &[f64], low_mask: u64) -> Vec<(u32, u32)> {
    let mut ties = Vec::new();
    let mut start = 0;
    let tied = |a: &u64, b: &u64| {
        a & !low_mask == b & !low_mask && score_of(*a, scores, low_mask) == score_of(*b, scores, low_mask)
    };
    for run in packed.chunk_by(tied) {
        let end = start + run.len();
        if run.len() > 1 {
            ties.push((start as u32, end as u32));
        }
        start = end;
    }
    ties
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_ordered_like_a_stable_sort_and_ties_are_found() {
        for rows in [0, 1, 5, 3000, 20_000] {
            let mix = |i: u64| (i ^ (i << 7)).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(17);
            // Coarse scores tie; tiny offsets differ only in bits that are packed away.
            let score = |i: u64| match i % 4 {
                0 => (mix(i) % 50) as f64 - 25.0,
                1 => 1.0 + (mix(i) % 7) as f64 * f64::EPSILON,
                2 => -((mix(i) >> 11) as f64) * 1e-300,
                _ => {
                    if mix(i).is_multiple_of(2) {
                        0.0
                    } else {
                        -0.0
                    }
                }
            };
            let scores: Vec<f64> = (0..rows).map(score).collect();
            let labels: Vec<bool> = (0..rows).map(|i| mix(i + 9).is_multiple_of(3)).collect();
            let order = sorted(&labels, &scores, Threads::ONE).into_whole();
            let again = sorted(&labels, &scores, Threads::new(3)).into_whole();
            assert_eq!((&order.entries, &order.ties), (&again.entries, &again.ties));
            let mut expected: Vec<u64> = (0..rows).collect();
            expected.sort_by(|&a, &b| scores[a as usize].partial_cmp(&scores[b as usize]).unwrap());
            let got: Vec<u64> = order.entries.iter().map(|entry| entry >> 1).collect();
            assert_eq!(got, expected);
            assert!(order.entries.iter().all(|e| (e & 1 == 1) == labels[(e >> 1) as usize]));
            for window in order.ties.windows(2) {
                assert!(window[0].1 <= window[1].0);
            }
            let tied: usize = order.ties.iter().map(|(start, end)| (end - start) as usize - 1).sum();
            let mut distinct: Vec<f64> = scores.iter().map(|s| s + 0.0).collect();
            distinct.sort_by(f64::total_cmp);
            distinct.dedup();
            assert_eq!(tied + distinct.len(), scores.len());
        }
    }
}
