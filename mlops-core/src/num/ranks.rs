//! Order and ranks of f64 values, with ties treated as ties.
//!
//! `-0.0` and `0.0` are equal here, as they are under `==`. Infinities have their place at the ends; NaN has none and
//! is an error. Long inputs are sorted by their bits (least significant digit first, 11 bits a time), so that a
//! million values take six linear passes and no comparison depends on the order they come in.

use super::StatsError;

/// From here on the fixed cost of the counting passes is repaid.
const RADIX_MIN_LEN: usize = 2_048;
const DIGIT_BITS: u32 = 11;
const DIGITS: usize = 6;
const BUCKETS: usize = 1 << DIGIT_BITS;

/// The bits of `value`, rearranged so that unsigned order is numeric order and both zeros are one key.
fn order_key(value: f64) -> u64 {
    // Adding +0.0 turns -0.0 into +0.0 and leaves every other value alone.
    let bits = (value + 0.0).to_bits();
    if bits >> 63 == 0 { bits | (1 << 63) } else { !bits }
}

fn digit(key: u64, pass: usize) -> usize {
    let shift = DIGIT_BITS * pass as u32;
    // Masked to 11 bits, so it fits every usize.
    ((key >> shift) & (BUCKETS as u64 - 1)) as usize
}

/// Sorts pairs by their first part, ascending and stable, carrying the second part along.
///
/// `-0.0` and `0.0` count as equal and keep their order. NaNs are not looked for: those without a sign bit come last,
/// those with one first; callers that must refuse them check before. O(n) passes over memory from 2 048 pairs on,
/// with as much scratch memory as the input; O(n log n) below.
///
/// ```
/// use mlops_core::num::ranks::sort_pairs;
///
/// let mut pairs = vec![(2.0, 'a'), (-1.0, 'b'), (2.0, 'c')];
/// sort_pairs(&mut pairs);
/// assert_eq!(pairs, [(-1.0, 'b'), (2.0, 'a'), (2.0, 'c')]);
/// ```
pub fn sort_pairs<P: Copy>(pairs: &mut Vec<(f64, P)>) {
    if pairs.len() < RADIX_MIN_LEN {
        pairs.sort_by_key(|pair| order_key(pair.0));
        return;
    }
    let counts = count_digits(pairs);
    let mut scratch = pairs.clone();
    for (pass, counts) in counts.iter().enumerate() {
        // One bucket holds everything: this digit orders nothing.
        if counts.contains(&pairs.len()) {
            continue;
        }
        let mut next = bucket_starts(counts);
        for &pair in pairs.iter() {
            let place = &mut next[digit(order_key(pair.0), pass)];
            scratch[*place] = pair;
            *place += 1;
        }
        std::mem::swap(pairs, &mut scratch);
    }
}

fn count_digits<P>(pairs: &[(f64, P)]) -> Vec<[usize; BUCKETS]> {
    let mut counts = vec![[0_usize; BUCKETS]; DIGITS];
    for (value, _) in pairs {
        let key = order_key(*value);
        for (pass, counts) in counts.iter_mut().enumerate() {
            counts[digit(key, pass)] += 1;
        }
    }
    counts
}

fn bucket_starts(counts: &[usize; BUCKETS]) -> [usize; BUCKETS] {
    let mut starts = [0; BUCKETS];
    let mut sum = 0;
    for (start, count) in starts.iter_mut().zip(counts) {
        *start = sum;
        sum += count;
    }
    starts
}

/// The indices that would sort `values` ascending; equal values keep their order.
///
/// `argument` is the name to put into errors. O(n) from 2 048 values on.
///
/// ```
/// use mlops_core::num::ranks::argsort;
/// assert_eq!(argsort("x", &[3.0, 1.0, 2.0, 1.0])?, [1, 3, 2, 0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`StatsError::Nan`].
pub fn argsort(argument: &'static str, values: &[f64]) -> Result<Vec<usize>, StatsError> {
    Ok(sorted_with_index(argument, values)?.into_iter().map(|(_, index)| index).collect())
}

/// Midranks: ranks from 1, equal values share the mean of the ranks they occupy.
///
/// The ranks add up to n(n+1)/2 whatever the ties. Agrees with `scipy.stats.rankdata(method="average")`.
///
/// ```
/// use mlops_core::num::ranks::midranks;
/// assert_eq!(midranks("x", &[10.0, 20.0, 10.0, 30.0])?, [1.5, 3.0, 1.5, 4.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`StatsError::Nan`].
pub fn midranks(argument: &'static str, values: &[f64]) -> Result<Vec<f64>, StatsError> {
    let sorted = sorted_with_index(argument, values)?;
    let mut ranks = vec![0.0; values.len()];
    let mut before = 0;
    for tied in sorted.chunk_by(|a, b| a.0 == b.0) {
        // The mean of before+1 ..= before+len.
        let rank = before as f64 + (tied.len() as f64 + 1.0) / 2.0;
        for &(_, index) in tied {
            ranks[index] = rank;
        }
        before += tied.len();
    }
    Ok(ranks)
}

/// Σ(t³ − t) over the groups of t equal values: what rank tests subtract for ties. 0 when all values differ.
///
/// ```
/// use mlops_core::num::ranks::tie_sum;
/// assert_eq!(tie_sum("x", &[1.0, 1.0, 2.0, 2.0, 2.0, 3.0])?, 6.0 + 24.0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`StatsError::Nan`].
pub fn tie_sum(argument: &'static str, values: &[f64]) -> Result<f64, StatsError> {
    let sorted = sorted_with_index(argument, values)?;
    let cubes = sorted.chunk_by(|a, b| a.0 == b.0).map(|tied| {
        let t = tied.len() as f64;
        t * (t * t - 1.0)
    });
    Ok(cubes.sum())
}

fn sorted_with_index(argument: &'static str, values: &[f64]) -> Result<Vec<(f64, usize)>, StatsError> {
    if let Some(index) = values.iter().position(|value| value.is_nan()) {
        return Err(StatsError::Nan { argument, index });
    }
    let mut pairs: Vec<(f64, usize)> = values.iter().copied().zip(0..).collect();
    sort_pairs(&mut pairs);
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A cheap sequence of bit patterns without NaN, long enough for the counting passes.
    fn scattered(len: u64) -> Vec<f64> {
        let mix = |i: u64| (i ^ (i << 7)).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(17);
        (0..len).map(|i| f64::from_bits(mix(i))).map(|x| if x.is_nan() { 0.5 } else { x }).collect()
    }

    #[test]
    fn long_inputs_are_sorted_like_short_ones() {
        let values = scattered(10_000);
        let mut by_radix: Vec<(f64, usize)> = values.iter().copied().zip(0..).collect();
        let mut by_comparison = by_radix.clone();
        sort_pairs(&mut by_radix);
        by_comparison.sort_by(|a, b| a.0.partial_cmp(&b.0).unwrap());
        assert!(by_radix == by_comparison);
    }

    #[test]
    fn values_that_share_digits_are_still_sorted() {
        let mut pairs: Vec<(f64, usize)> = (0..5_000).map(|i| (((i * 37) % 11) as f64, i)).collect();
        sort_pairs(&mut pairs);
        assert!(pairs.windows(2).all(|w| w[0].0 < w[1].0 || (w[0].0 == w[1].0 && w[0].1 < w[1].1)));
    }

    #[test]
    fn both_zeros_tie_and_infinities_stand_at_the_ends() {
        let values = [0.0, f64::INFINITY, -0.0, f64::NEG_INFINITY];
        assert_eq!(midranks("x", &values).unwrap(), [2.5, 4.0, 2.5, 1.0]);
        let many: Vec<f64> = values.iter().copied().cycle().take(4 * RADIX_MIN_LEN).collect();
        let n = RADIX_MIN_LEN as f64;
        let ranks = midranks("x", &many).unwrap();
        assert_eq!(&ranks[..4], [2.0 * n + 0.5, 3.5 * n + 0.5, 2.0 * n + 0.5, 0.5 * n + 0.5]);
    }

    #[test]
    fn a_nan_is_named() {
        let expected = StatsError::Nan { argument: "x", index: 1 };
        assert_eq!(argsort("x", &[0.0, f64::NAN]), Err(expected));
        assert_eq!(midranks("x", &[0.0, f64::NAN]), Err(expected));
        assert_eq!(tie_sum("x", &[0.0, f64::NAN]), Err(expected));
    }

    #[test]
    fn no_values_have_no_ranks() {
        assert_eq!(midranks("x", &[]), Ok(vec![]));
        assert_eq!(argsort("x", &[]), Ok(vec![]));
        assert_eq!(tie_sum("x", &[]), Ok(0.0));
    }

    proptest! {
        #[test]
        fn ranks_add_up_and_follow_the_order(values in prop::collection::vec(-3.0..3.0_f64, 0..60)) {
            let rounded: Vec<f64> = values.iter().map(|x| x.round()).collect();
            let n = rounded.len() as f64;
            let ranks = midranks("x", &rounded).unwrap();
            prop_assert_eq!(ranks.iter().sum::<f64>(), n * (n + 1.0) / 2.0);
            for i in 0..rounded.len() {
                for j in 0..rounded.len() {
                    prop_assert_eq!(rounded[i] < rounded[j], ranks[i] < ranks[j]);
                }
            }
        }
    }
}
