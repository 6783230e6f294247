//! Rows in the order of their scores, sorted once as packed integers: the work behind DeLong's ranks and the bootstrap of areas.

/// Digits of the counting sort.
const DIGIT_BITS: u32 = 11;
const BUCKETS: usize = 1 << DIGIT_BITS;

/// Rows by ascending score. Each entry is `row << 1 | label`; ties keep the order of rows.
pub(super) struct Order {
    pub(super) entries: Vec<u64>,
    /// Where each group of equal scores that has more than one row begins and ends.
    pub(super) ties: Vec<(u32, u32)>,
}

/// Sorts at most 2³¹ rows of finite scores. O(n) passes: a row's number and label travel in the low bits of its score's key,
/// so that a pass moves eight bytes a row; rows whose keys agree in the bits that are left are told apart by their scores.
pub(super) fn sorted(y_true: &[bool], scores: &[f64]) -> Order {
    let row_bits = 64 - (scores.len() as u64).leading_zeros();
    let low_bits = row_bits + 1;
    let low_mask = (1_u64 << low_bits) - 1;
    let pack = |(row, (&label, &score)): (usize, (&bool, &f64))| {
        key(score) & !low_mask | (row as u64) << 1 | u64::from(label)
    };
    let mut packed: Vec<u64> = y_true.iter().zip(scores).enumerate().map(pack).collect();
    sort_packed(&mut packed, low_bits);
    settle(&mut packed, scores, low_mask);
    let ties = ties(&packed, scores, low_mask);
    packed.iter_mut().for_each(|entry| *entry &= low_mask);
    Order { entries: packed, ties }
}

/// The bits of a score, rearranged so that unsigned order is numeric order and both zeros are one key.
fn key(score: f64) -> u64 {
    let bits = (score + 0.0).to_bits();
    if bits >> 63 == 0 { bits | 1 << 63 } else { !bits }
}

fn score_of(entry: u64, scores: &[f64], low_mask: u64) -> f64 {
    scores.get(((entry & low_mask) >> 1) as usize).copied().unwrap_or(0.0)
}

/// Stable by the bits from `low_bits` up.
fn sort_packed(packed: &mut Vec<u64>, low_bits: u32) {
    if packed.len() < BUCKETS {
        packed.sort_unstable();
        return;
    }
    let passes = (64 - low_bits).div_ceil(DIGIT_BITS);
    let digit = |entry: u64, pass: u32| (entry >> (low_bits + pass * DIGIT_BITS)) as usize & (BUCKETS - 1);
    let mut counts = vec![[0_usize; BUCKETS]; passes as usize];
    for &entry in packed.iter() {
        for (pass, counts) in (0..).zip(&mut counts) {
            counts[digit(entry, pass)] += 1;
        }
    }
    let mut scratch = vec![0_u64; packed.len()];
    for (pass, counts) in (0..).zip(&mut counts) {
        if counts.contains(&packed.len()) {
            continue;
        }
        let mut start = 0;
        for count in counts.iter_mut() {
            (start, *count) = (start + *count, start);
        }
        for &entry in packed.iter() {
            let place = &mut counts[digit(entry, pass)];
            scratch[*place] = entry;
            *place += 1;
        }
        std::mem::swap(packed, &mut scratch);
    }
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
            let order = sorted(&labels, &scores);
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
