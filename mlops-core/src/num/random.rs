//! Randomness from an explicit seed, by counter: Philox 4×32-10.
//!
//! A counter-based generator has no state that evolves: block number `i` of a stream is a pure function of (key, stream,
//! `i`). So a stream may be split into as many independent ones as there are trials, classes or workers, and what trial
//! `n` draws does not depend on what the others did or in which order they ran. The same seed gives the same values on
//! every platform and in every version of this crate; that is part of the interface.
//!
//! Not for secrets: the output is predictable to anybody who knows the seed.
//!
//! Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3" (SC 2011), doi 10.1145/2063384.2063405.

use std::num::NonZeroU64;

use crate::hash::Hasher;

/// A seeded stream of random numbers that can be split by name or number.
///
/// ```
/// use mlops_core::num::Random;
///
/// let root = Random::new(7);
/// let mut shuffled = vec![1, 2, 3, 4, 5];
/// root.stream("split").shuffle(&mut shuffled);
/// let mut again = vec![1, 2, 3, 4, 5];
/// root.stream("split").shuffle(&mut again);
/// assert_eq!(shuffled, again);
/// assert_ne!(root.stream("a").next_u64(), root.stream("b").next_u64());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Random {
    key: u64,
    stream: u64,
    /// The number of 64-bit values drawn so far; value `i` is half `i % 2` of block `i / 2`.
    drawn: u64,
}

impl Random {
    /// The root stream of a seed. Every seed is as good as any other, 0 and `u64::MAX` included.
    pub const fn new(seed: u64) -> Self {
        Self { key: seed, stream: 0, drawn: 0 }
    }

    /// The child stream called `name`, from its start. It depends on the seed and the names on the way to it, not on what
    /// was drawn; key and stream number are the first 128 bits of a SHA-256 of that path.
    ///
    /// ```
    /// use mlops_core::num::Random;
    /// let mut drawn = Random::new(1);
    /// drawn.next_u64();
    /// assert_eq!(drawn.stream("trial"), Random::new(1).stream("trial"));
    /// ```
    #[must_use]
    pub fn stream(&self, name: &str) -> Self {
        self.child(b"name", name.as_bytes())
    }

    /// The child stream of number `index`, from its start; never the same as one with a name.
    ///
    /// ```
    /// use mlops_core::num::Random;
    /// assert_ne!(Random::new(1).nth(0), Random::new(1).nth(1));
    /// ```
    #[must_use]
    pub fn nth(&self, index: u64) -> Self {
        self.child(b"index", &index.to_le_bytes())
    }

    fn child(&self, sort: &[u8], path: &[u8]) -> Self {
        let digest = Hasher::new("mlops.random/v1")
            .field(self.key.to_le_bytes())
            .field(self.stream.to_le_bytes())
            .field(sort)
            .field(path)
            .finish();
        let [key, stream] = [0, 8].map(|from| {
            digest.as_bytes()[from..from + 8].iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte))
        });
        Self { key, stream, drawn: 0 }
    }

    /// The next 64 random bits.
    ///
    /// ```
    /// use mlops_core::num::Random;
    /// assert_eq!(Random::new(0).next_u64(), 0xe169_c58d_6627_e8d5);
    /// ```
    pub fn next_u64(&mut self) -> u64 {
        let block = philox(join_counter(self.drawn / 2, self.stream), halves(self.key));
        let half = if self.drawn.is_multiple_of(2) { [block[0], block[1]] } else { [block[2], block[3]] };
        self.drawn = self.drawn.wrapping_add(1);
        u64::from(half[1]) << 32 | u64::from(half[0])
    }

    /// Fills `out` with what [`next_u64`](Self::next_u64) would return one after the other, several blocks at a time.
    ///
    /// ```
    /// use mlops_core::num::Random;
    /// let (mut one, mut many) = (Random::new(4), Random::new(4));
    /// let mut filled = [0; 37];
    /// many.fill(&mut filled);
    /// assert!(filled.iter().all(|&word| word == one.next_u64()));
    /// assert_eq!(one, many);
    /// ```
    pub fn fill(&mut self, out: &mut [u64]) {
        // An odd number of values so far leaves half a block to begin with.
        let start = usize::from(!self.drawn.is_multiple_of(2)).min(out.len());
        let (head, body) = out.split_at_mut(start);
        head.fill_with(|| self.next_u64());
        let mut chunks = body.chunks_exact_mut(2 * LANES);
        for chunk in &mut chunks {
            let words = philox_lanes(self.drawn / 2, self.stream, halves(self.key));
            for (pair, word) in chunk.chunks_exact_mut(2).zip(&words) {
                pair.copy_from_slice(word);
            }
            self.drawn = self.drawn.wrapping_add(2 * LANES as u64);
        }
        chunks.into_remainder().fill_with(|| self.next_u64());
    }

    /// A number in \[0, 1): a multiple of 2⁻⁵³, each equally likely.
    ///
    /// ```
    /// use mlops_core::num::Random;
    /// let x = Random::new(3).next_f64();
    /// assert!((0.0..1.0).contains(&x));
    /// ```
    pub fn next_f64(&mut self) -> f64 {
        const STEP: f64 = 1.0 / (1_u64 << 53) as f64;
        (self.next_u64() >> 11) as f64 * STEP
    }

    /// A whole number in `0..bound`, each exactly equally likely. Source: Lemire, "Fast random integer generation in an
    /// interval" (ACM TOMACS 29, 2019); draws once, and again with a probability below `bound`/2⁶⁴.
    ///
    /// ```
    /// use mlops_core::num::Random;
    /// use std::num::NonZeroU64;
    ///
    /// let six = NonZeroU64::new(6).ok_or("six is not zero")?;
    /// assert!(Random::new(1).below(six) < 6);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn below(&mut self, bound: NonZeroU64) -> u64 {
        let bound = bound.get();
        // Of the 2^64 inputs, 2^64 mod bound are one too many for an even spread; they are the ones drawn again.
        let excess = bound.wrapping_neg() % bound;
        loop {
            let [low, high] = wide_product(self.next_u64(), bound);
            if low >= excess {
                return high;
            }
        }
    }

    /// Puts `items` in an order drawn from all orders with equal probability (Fisher–Yates, Durstenfeld's form). O(n).
    ///
    /// ```
    /// use mlops_core::num::Random;
    /// let mut items = [1, 2, 3];
    /// Random::new(1).shuffle(&mut items);
    /// items.sort();
    /// assert_eq!(items, [1, 2, 3]);
    /// ```
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let Some(bound) = NonZeroU64::new(last as u64 + 1) else { continue };
            // What lies below a usize is a usize.
            let other = usize::try_from(self.below(bound)).unwrap_or(last);
            items.swap(last, other);
        }
    }
}

/// The low and the high 64 bits of a product.
fn wide_product(a: u64, b: u64) -> [u64; 2] {
    let product = u128::from(a) * u128::from(b);
    [product as u64, (product >> 64) as u64]
}

/// The low and the high 32 bits.
const fn halves(word: u64) -> [u32; 2] {
    [word as u32, (word >> 32) as u32]
}

const fn join_counter(block: u64, stream: u64) -> [u32; 4] {
    let ([a, b], [c, d]) = (halves(block), halves(stream));
    [a, b, c, d]
}

// Section 4.3 of the paper.
const MULTIPLIERS: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];
const ROUNDS: usize = 10;

/// Ten rounds of Philox 4×32.
fn philox(mut counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    for _ in 0..ROUNDS {
        let [low0, high0] = halves(u64::from(MULTIPLIERS[0]) * u64::from(counter[0]));
        let [low1, high1] = halves(u64::from(MULTIPLIERS[1]) * u64::from(counter[2]));
        counter = [high1 ^ counter[1] ^ key[0], low1, high0 ^ counter[3] ^ key[1], low0];
        key = [key[0].wrapping_add(WEYL[0]), key[1].wrapping_add(WEYL[1])];
    }
    counter
}

/// How many blocks [`philox_lanes`] makes at once: enough for vectors of four 64-bit lanes, twice.
const LANES: usize = 8;

/// The 64-bit values of the blocks from number `first` on: [`philox`] on every lane, in loops that the compiler turns into
/// vector instructions. Words of 32 bits lie in lanes of 64, where their product needs no widening.
fn philox_lanes(first: u64, stream: u64, mut key: [u32; 2]) -> [[u64; 2]; LANES] {
    let [c, d] = halves(stream).map(u64::from);
    let (mut w0, mut w1, mut w2, mut w3) = ([0_u64; LANES], [0_u64; LANES], [c; LANES], [d; LANES]);
    for lane in 0..LANES {
        [w0[lane], w1[lane]] = halves(first.wrapping_add(lane as u64)).map(u64::from);
    }
    for _ in 0..ROUNDS {
        let [k0, k1] = key.map(u64::from);
        for lane in 0..LANES {
            let low = (w0[lane] & 0xffff_ffff) * u64::from(MULTIPLIERS[0]);
            let high = (w2[lane] & 0xffff_ffff) * u64::from(MULTIPLIERS[1]);
            w0[lane] = (high >> 32) ^ w1[lane] ^ k0;
            w1[lane] = high & 0xffff_ffff;
            w2[lane] = (low >> 32) ^ w3[lane] ^ k1;
            w3[lane] = low & 0xffff_ffff;
        }
        key = [key[0].wrapping_add(WEYL[0]), key[1].wrapping_add(WEYL[1])];
    }
    std::array::from_fn(|lane| [w1[lane] << 32 | w0[lane], w3[lane] << 32 | w2[lane]])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The known answers published with the authors' Random123 library (`philox4x32 10`); randomgen 2.5.1 gives the same,
    /// `Philox(key, counter, number=4, width=32).random_raw(4)`.
    #[test]
    fn philox_meets_its_published_vectors() {
        let all = 0xffff_ffff;
        for (counter, key, expected) in [
            ([0; 4], [0; 2], [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]),
            ([all; 4], [all; 2], [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]),
            (
                [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
                [0xa409_3822, 0x299f_31d0],
                [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1],
            ),
        ] {
            assert_eq!(philox(counter, key), expected);
        }
    }

    #[test]
    fn the_values_of_a_stream_never_change_between_releases() {
        let mut root = Random::new(42);
        let first: Vec<u64> = (0..3).map(|_| root.next_u64()).collect();
        let mut child = Random::new(42).stream("split").nth(3);
        assert_eq!((first, child.next_u64()), (PINNED_ROOT.to_vec(), PINNED_CHILD));
    }

    /// Computed from the documented layout with a second implementation, in Python 3.
    const PINNED_ROOT: [u64; 3] = [0x77f5_493b_9cea_f053, 0x5742_b3d7_12bf_50ad, 0x53ba_6cfd_fcdb_2127];
    const PINNED_CHILD: u64 = 0x3fb0_3277_4d7f_7ed1;

    #[test]
    fn streams_and_numbers_are_all_different() {
        let root = Random::new(0);
        let mut seen = std::collections::HashSet::new();
        for i in 0..1_000 {
            assert!(seen.insert(root.nth(i).next_u64()));
            assert!(seen.insert(root.stream(&i.to_string()).next_u64()));
        }
        // A number's bytes are not the name made of the same bytes.
        assert_ne!(root.nth(0), root.stream("\0\0\0\0\0\0\0\0"));
        assert_ne!(root.stream("a").stream("b"), root.stream("b").stream("a"));
    }

    /// Pearson's chi-square over 6 faces and 60 000 throws; 20.5 is the 0.999 quantile for 5 degrees of freedom.
    #[test]
    fn bounded_numbers_are_even() {
        let mut random = Random::new(11);
        let mut counts = [0_u32; 6];
        for _ in 0..60_000 {
            counts[usize::try_from(random.below(NonZeroU64::new(6).unwrap())).unwrap()] += 1;
        }
        let chi2: f64 = counts.iter().map(|&c| (f64::from(c) - 10_000.0).powi(2) / 10_000.0).sum();
        assert!(chi2 < 20.5, "{counts:?}");
    }

    /// All 24 orders of 4 items over 24 000 shuffles; 49.7 is the 0.999 quantile for 23 degrees of freedom.
    #[test]
    fn every_order_is_equally_likely() {
        let mut random = Random::new(5);
        let mut counts = std::collections::HashMap::new();
        for _ in 0..24_000 {
            let mut items = [0, 1, 2, 3];
            random.shuffle(&mut items);
            *counts.entry(items).or_insert(0_u32) += 1;
        }
        let chi2: f64 = counts.values().map(|&c| (f64::from(c) - 1_000.0).powi(2) / 1_000.0).sum();
        assert!(counts.len() == 24 && chi2 < 49.7, "{chi2}");
    }

    #[test]
    fn the_mean_of_uniform_numbers_is_a_half() {
        let mut random = Random::new(9);
        let mean = (0..100_000).map(|_| random.next_f64()).sum::<f64>() / 1e5;
        // Standard error 0.29/316 = 0.0009.
        assert!((mean - 0.5).abs() < 0.004, "{mean}");
    }

    #[test]
    fn empty_and_single_slices_shuffle_to_themselves() {
        let mut none: [u8; 0] = [];
        Random::new(1).shuffle(&mut none);
        let mut one = [7];
        Random::new(1).shuffle(&mut one);
        assert_eq!(one, [7]);
    }

    proptest! {
        #[test]
        fn filling_is_drawing_one_by_one(seed: u64, stream: u64, drawn: u64, len in 0..100_usize) {
            let mut one = Random { key: seed, stream, drawn };
            let mut many = one.clone();
            let mut filled = vec![0; len];
            many.fill(&mut filled);
            prop_assert!(filled.iter().all(|&word| word == one.next_u64()));
            prop_assert_eq!(one, many);
        }

        #[test]
        fn bounded_numbers_stay_below_any_bound(seed: u64, bound in 1_u64..) {
            let bound = NonZeroU64::new(bound).unwrap();
            prop_assert!(Random::new(seed).below(bound) < bound.get());
        }
    }
}
