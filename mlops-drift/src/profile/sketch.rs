//! Sketches of [Apache DataSketches](https://datasketches.apache.org), byte-compatible with its C++, Java and Python libraries.
//!
//! | sketch | answers | error |
//! |---|---|---|
//! | [`QuantileSketch`] (KLL) | ranks and quantiles without fitted cells | rank error ε at 99 %: .0133 for k = 200, .0027 for 1024, .0007 for 4096 |
//! | [`DistinctSketch`] (HyperLogLog) | how many different values | 1.04/√2^`lg_k`, 1.6 % for 12; exact to about 2^`lg_k`/8 |
//! | [`FrequentSketch`] (frequent items) | which texts are common | counts within 3.5·n/size, both bounds known |
//!
//! Where a reference exists the [grid](super::Grid) is the better state: it is exact at its edges, and the same input always gives
//! the same bits. A KLL sketch flips coins when it compacts, and the library draws them from the process, not from a seed:
//! beyond its first k values **two runs over the same data differ** within the stated error. HyperLogLog and frequent items flip no
//! coins; the former does not depend on any order either.
//!
//! Serialised as the library's bytes in hexadecimal digits.

use std::fmt::{self, Write as _};

use datasketches::common::{NumStdDev, SearchCriteria};
use datasketches::frequencies::{ErrorType, FrequentItemsSketch};
use datasketches::hash::value::{canonical_float, raw_bytes};
use datasketches::hll::{HllSketch, HllType, HllUnion};
use datasketches::kll::{KllFloat, KllSketch};
use mlops_core::{Error, Result};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Quantiles of numbers from a bounded number of them: a KLL sketch of doubles (Karnin, Lang and Liberty, *Optimal quantile
/// approximation in streams*, FOCS 2016).
///
/// ```
/// use mlops_drift::profile::QuantileSketch;
///
/// let mut sketch = QuantileSketch::new(200)?;
/// (0..100).for_each(|i| sketch.push(f64::from(i)));
/// assert_eq!((sketch.count(), sketch.rank_error()), (100, 0.0)); // nothing had to be thrown away yet
/// assert_eq!(sketch.rank(49.0), Some(0.5));
/// let same = QuantileSketch::from_bytes(&sketch.to_bytes())?;
/// assert_eq!(same.quantile(0.25)?, Some(24.0));
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Clone, PartialEq)]
pub struct QuantileSketch(KllSketch<KllFloat<f64>>);

impl QuantileSketch {
    /// An empty sketch; k from 8 to 65535 sets its size and error.
    ///
    /// # Errors
    /// [`InvalidInput`](mlops_core::ErrorKind::InvalidInput) for k below 8.
    ///
    /// ```
    /// assert!(mlops_drift::profile::QuantileSketch::new(7).is_err());
    /// ```
    pub fn new(k: u16) -> Result<Self> {
        KllSketch::new(k).map(Self).map_err(|e| refused("QuantileSketch::new", "k", e))
    }

    /// Adds a value; NaN is ignored, infinities are values.
    pub fn push(&mut self, value: f64) {
        // The library panics at 2⁶⁴ values.
        if self.0.n() < u64::MAX
            && let Ok(value) = KllFloat::<f64>::new(value)
        {
            self.0.update(value);
        }
    }

    /// Adds another sketch.
    ///
    /// # Errors
    /// [`InvalidInput`](mlops_core::ErrorKind::InvalidInput) beyond 2⁶⁴ − 1 values.
    ///
    /// ```
    /// use mlops_drift::profile::QuantileSketch;
    /// let (mut a, mut b) = (QuantileSketch::new(8)?, QuantileSketch::new(8)?);
    /// (a.push(1.0), b.push(2.0));
    /// a.merge(&b)?;
    /// assert_eq!(a.count(), 2);
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn merge(&mut self, other: &Self) -> Result<()> {
        self.0.merge(&other.0).map_err(|e| refused("QuantileSketch::merge", "other", e))
    }

    /// How many values were pushed.
    pub fn count(&self) -> u64 {
        self.0.n()
    }

    /// k.
    pub fn k(&self) -> u16 {
        self.0.k()
    }

    /// How far a rank may be off, with a confidence of 99 %; 0 as long as every value is kept.
    pub fn rank_error(&self) -> f64 {
        if self.0.is_estimation_mode() { self.0.normalized_rank_error() } else { 0.0 }
    }

    /// The share of values that are at most `value`; `None` without values or for NaN.
    pub fn rank(&self, value: f64) -> Option<f64> {
        self.0.rank(&KllFloat::<f64>::new(value).ok()?, SearchCriteria::Inclusive)
    }

    /// The smallest kept value whose rank is at least `rank` in [0, 1]; `None` without values.
    ///
    /// # Errors
    /// [`InvalidInput`](mlops_core::ErrorKind::InvalidInput) for a rank outside [0, 1].
    pub fn quantile(&self, rank: f64) -> Result<Option<f64>> {
        let found = self.0.quantile(rank, SearchCriteria::Inclusive);
        let found = found.map_err(|e| refused("QuantileSketch::quantile", "rank", e))?;
        Ok(found.map(KllFloat::into_inner))
    }

    /// The kept values in ascending order, each once, with how many values are estimated to be at most it.
    pub(super) fn steps(&self) -> Vec<(f64, f64)> {
        let view = self.0.sorted_view();
        let total = view.total_weight() as f64;
        let mut steps: Vec<(f64, f64)> = Vec::with_capacity(view.len());
        let mut rank = 0.0;
        // The view gives no access to its entries; its quantiles at the ranks between them do.
        while rank < 1.0 && total > 0.0 {
            let next = (rank * total).round() + 0.5;
            let Ok(Some(value)) = view.quantile((next / total).min(1.0), SearchCriteria::Inclusive) else {
                break;
            };
            let Some(reached) = view.rank(&value, SearchCriteria::Inclusive) else { break };
            if reached <= rank {
                break;
            }
            steps.push((value.into_inner(), reached));
            rank = reached;
        }
        steps
    }

    /// The bytes every DataSketches library reads as a KLL sketch of doubles.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.serialize()
    }

    /// Reads the bytes of a KLL sketch of doubles.
    ///
    /// # Errors
    /// [`InvalidInput`](mlops_core::ErrorKind::InvalidInput) for anything else.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let sketch = guarded("QuantileSketch::from_bytes", bytes, KllSketch::deserialize)?;
        Ok(Self(sketch))
    }
}

/// The number of different values: a HyperLogLog sketch (Flajolet et al., *HyperLogLog*, AofA 2007), merged by maxima, so that
/// the estimate depends neither on order nor on sharding.
///
/// Numbers are hashed as doubles (−0.0 as 0.0), text as UTF-8, as the C++ and Python libraries hash them. The estimate and its
/// bounds are those of the registers alone. The libraries' own estimate of a sketch filled in one pass (HIP) errs less by a fifth,
/// but belongs to the order of the values and is lost by a merge; it is neither used here nor written.
///
/// ```
/// use mlops_drift::profile::DistinctSketch;
///
/// let mut sketch = DistinctSketch::new(12)?;
/// ["a", "b", "a"].iter().for_each(|text| sketch.push_text(text));
/// assert_eq!(sketch.estimate().round(), 2.0);
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Clone)]
pub struct DistinctSketch(HllSketch);

impl DistinctSketch {
    /// An empty sketch of 2^`lg_k` registers, `lg_k` from 4 to 21.
    ///
    /// # Errors
    /// [`InvalidInput`](mlops_core::ErrorKind::InvalidInput) for another size.
    ///
    /// ```
    /// assert!(mlops_drift::profile::DistinctSketch::new(22).is_err());
    /// ```
    pub fn new(lg_k: u8) -> Result<Self> {
        HllSketch::new(lg_k, HllType::Hll8).map(Self).map_err(|e| refused("DistinctSketch::new", "lg_k", e))
    }

    /// Adds a number; NaN is ignored.
    pub fn push(&mut self, value: f64) {
        if !value.is_nan() {
            self.0.update(canonical_float::from_f64(value));
        }
    }

    /// Adds a text. The empty text is not counted by the other libraries, and not here.
    pub fn push_text(&mut self, text: &str) {
        if !text.is_empty() {
            self.0.update(raw_bytes::from_str(text));
        }
    }

    /// Adds another sketch; the result has the smaller of the two sizes.
    ///
    /// # Errors
    /// None today; a union that the library refuses would be [`InvalidInput`](mlops_core::ErrorKind::InvalidInput).
    pub fn merge(&mut self, other: &Self) -> Result<()> {
        self.0 = self.united(other).map_err(|e| refused("DistinctSketch::merge", "other", e))?;
        Ok(())
    }

    fn united(&self, other: &Self) -> std::result::Result<HllSketch, datasketches::error::Error> {
        let mut union = HllUnion::new(self.lg_k().min(other.lg_k()))?;
        union.update(&self.0);
        union.update(&other.0);
        Ok(union.to_sketch(HllType::Hll8))
    }

    /// How many different values there are, about.
    pub fn estimate(&self) -> f64 {
        self.0.composite_estimate()
    }

    /// Bounds of three standard deviations around [`estimate`](Self::estimate), as depending on no order as it is. O(registers).
    ///
    /// ```
    /// use mlops_drift::profile::DistinctSketch;
    ///
    /// let mut sketch = DistinctSketch::new(12)?;
    /// (0..50_000).for_each(|i| sketch.push(f64::from(i)));
    /// let (low, high) = sketch.bounds();
    /// assert!(low <= sketch.estimate() && sketch.estimate() <= high);
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn bounds(&self) -> (f64, f64) {
        // The union of registers with themselves is the same registers without an order, whose bounds are around `estimate`. Sizes
        // that a sketch has are not refused.
        let unordered = self.united(self);
        let sketch = unordered.as_ref().unwrap_or(&self.0);
        (sketch.lower_bound(NumStdDev::Three), sketch.upper_bound(NumStdDev::Three))
    }

    /// log₂ of the number of registers.
    pub fn lg_k(&self) -> u8 {
        self.0.lg_config_k()
    }

    /// The bytes every DataSketches library reads as a HyperLogLog sketch. Equal sets of values give equal bytes, in whatever order
    /// and from however many parts.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.0.serialize();
        forget_order(&mut bytes);
        bytes
    }

    /// Reads the bytes of a HyperLogLog sketch.
    ///
    /// # Errors
    /// [`InvalidInput`](mlops_core::ErrorKind::InvalidInput) for anything else.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        const OP: &str = "DistinctSketch::from_bytes";
        if !registers_in_range(bytes) {
            return Err(Error::invalid(OP, "bytes", "have a register above 63"));
        }
        let sketch = guarded(OP, bytes, HllSketch::deserialize)?;
        if sketch.target_type() == HllType::Hll8 {
            return Ok(Self(sketch));
        }
        let mut union = HllUnion::new(sketch.lg_config_k()).map_err(|e| refused(OP, "bytes", e))?;
        union.update(&sketch);
        Ok(Self(union.to_sketch(HllType::Hll8)))
    }
}

/// Takes what depends on the order of values from a HyperLogLog image: hashes come in ascending order; registers are marked as out of
/// order, with 0 for the sum of the estimator that needs one, as merged ones are.
fn forget_order(image: &mut [u8]) {
    const KIND: u8 = 3;
    const LIST: u8 = 0;
    const SET: u8 = 1;
    const OUT_OF_ORDER: u8 = 16;
    match image.get(7).map(|mode| mode & KIND) {
        Some(LIST) => sort_hashes(image, 8),
        Some(SET) => sort_hashes(image, 12),
        _ => {
            image.get_mut(5).into_iter().for_each(|flags| *flags |= OUT_OF_ORDER);
            image.get_mut(8..16).into_iter().for_each(|sum| sum.fill(0));
        }
    }
}

/// Sorts the four-byte hashes from a place on.
fn sort_hashes(image: &mut [u8], from: usize) {
    let (hashes, _) = image.get_mut(from..).unwrap_or_default().as_chunks_mut::<4>();
    hashes.sort_unstable_by_key(|hash| u32::from_le_bytes(*hash));
}

/// Whether the registers of a HyperLogLog image are leading zeros of 64 bits. The library takes them as they are, and shifts by
/// them. Byte 7 holds the kind of storage and the width of registers, byte 6 an offset of four-bit registers.
fn registers_in_range(bytes: &[u8]) -> bool {
    const ARRAY: u8 = 2;
    const WIDTH_8: u8 = 2;
    const HEADER: usize = 40;
    const MOST: u8 = 63;
    match bytes.get(6..8) {
        Some(&[offset, mode]) if mode & 3 == ARRAY => {
            let wide = mode >> 2 & 3 == WIDTH_8;
            let registers = bytes.get(HEADER..).unwrap_or_default();
            offset <= MOST - 15 && (!wide || registers.iter().all(|&register| register <= MOST))
        }
        _ => true,
    }
}

/// The most frequent texts of a stream in bounded memory: a frequent-items sketch (Anderson et al., *A high-performance
/// algorithm for identifying frequent items in data streams*, IMC 2017).
///
/// ```
/// use mlops_drift::profile::FrequentSketch;
///
/// let mut sketch = FrequentSketch::new(8)?;
/// sketch.push("new plan", 40);
/// sketch.push("typo", 1);
/// assert_eq!(sketch.top(1), [("new plan".to_owned(), 40, 40)]);
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Clone)]
pub struct FrequentSketch(FrequentItemsSketch<String>);

impl FrequentSketch {
    /// An empty sketch of at most 2^`lg_size` slots, `lg_size` from 3 to 26.
    ///
    /// # Errors
    /// [`InvalidInput`](mlops_core::ErrorKind::InvalidInput) for another size.
    pub fn new(lg_size: u8) -> Result<Self> {
        const OP: &str = "FrequentSketch::new";
        if !(3..=26).contains(&lg_size) {
            return Err(Error::invalid(OP, "lg_size", format!("must lie between 3 and 26, not {lg_size}")));
        }
        FrequentItemsSketch::new(1 << lg_size).map(Self).map_err(|e| refused(OP, "lg_size", e))
    }

    /// Adds a text that occurs `count` times. Beyond 2⁶³ occurrences in all, further ones are ignored.
    pub fn push(&mut self, text: &str, count: u64) {
        // The library panics where weights overflow.
        if self.total().saturating_add(count) <= i64::MAX.unsigned_abs() && count > 0 {
            self.0.update_with_count(text.to_owned(), count);
        }
    }

    /// Adds another sketch. What is frequent in both stays so; which rare texts are kept depends on the order of merges.
    ///
    /// # Errors
    /// [`LimitExceeded`](mlops_core::ErrorKind::LimitExceeded) beyond 2⁶³ occurrences.
    pub fn merge(&mut self, other: &Self) -> Result<()> {
        let total = self.total().saturating_add(other.total());
        if total > i64::MAX.unsigned_abs() {
            return Err(Error::limit("FrequentSketch::merge", "the number of occurrences", i64::MAX, total));
        }
        self.0.merge(&other.0);
        Ok(())
    }

    /// How many texts were pushed, repeated ones included.
    pub fn total(&self) -> u64 {
        self.0.total_weight()
    }

    /// At most `limit` texts with bounds on their counts, the most frequent first, then in the order of their bytes.
    pub fn top(&self, limit: usize) -> Vec<(String, u64, u64)> {
        let rows = self.0.frequent_items(ErrorType::NoFalseNegatives);
        let mut top: Vec<(String, u64, u64)> =
            rows.into_iter().map(|row| (row.item().clone(), row.lower_bound(), row.upper_bound())).collect();
        top.sort_unstable_by(|a, b| b.2.cmp(&a.2).then_with(|| a.0.cmp(&b.0)));
        top.truncate(limit);
        top
    }

    /// The bytes every DataSketches library reads as a frequent-items sketch of strings.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.serialize()
    }

    /// Reads the bytes of a frequent-items sketch of strings.
    ///
    /// # Errors
    /// [`InvalidInput`](mlops_core::ErrorKind::InvalidInput) for anything else.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        guarded("FrequentSketch::from_bytes", bytes, FrequentItemsSketch::deserialize).map(Self)
    }
}

fn refused(operation: &'static str, field: &'static str, error: datasketches::error::Error) -> Error {
    Error::invalid(operation, field, error.message().to_owned()).with_source(error)
}

/// The most bytes a sketch is read from.
const MAX_BYTES: usize = 1 << 26;

fn guarded<T>(
    operation: &'static str,
    bytes: &[u8],
    read: impl FnOnce(&[u8]) -> std::result::Result<T, datasketches::error::Error>,
) -> Result<T> {
    if bytes.len() > MAX_BYTES {
        return Err(Error::limit(operation, "the bytes of a sketch", MAX_BYTES, bytes.len()));
    }
    read(bytes).map_err(|e| refused(operation, "bytes", e))
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut hex, byte| {
        // Writing to a string cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

fn from_hex(hex: &str) -> Option<Vec<u8>> {
    let nibble = |c: u8| match c {
        b'0'..=b'9' => Some(c - b'0'),
        b'a'..=b'f' => Some(c - b'a' + 10),
        _ => None,
    };
    let pairs = hex.as_bytes().chunks(2);
    pairs.map(|pair| Some(nibble(*pair.first()?)? << 4 | nibble(*pair.get(1)?)?)).collect()
}

macro_rules! as_bytes {
    ($($type:ident: $what:literal),*) => {$(
        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($type), "({} bytes)"), self.to_bytes().len())
            }
        }

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
                serializer.serialize_str(&to_hex(&self.to_bytes()))
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
                let hex = String::deserialize(deserializer)?;
                let bytes = from_hex(&hex).ok_or_else(|| serde::de::Error::custom(concat!($what, " is not in hexadecimal digits")))?;
                Self::from_bytes(&bytes).map_err(serde::de::Error::custom)
            }
        }
    )*};
}

as_bytes!(QuantileSketch: "a quantile sketch", DistinctSketch: "a distinct-count sketch", FrequentSketch: "a frequent-items sketch");

impl PartialEq for DistinctSketch {
    /// Whether both have the same bytes, as sketches of one size of equal sets of values do. O(registers).
    fn eq(&self, other: &Self) -> bool {
        self.to_bytes() == other.to_bytes()
    }
}

impl PartialEq for FrequentSketch {
    /// Whether the same texts are kept with the same bounds.
    fn eq(&self, other: &Self) -> bool {
        self.total() == other.total() && self.top(usize::MAX) == other.top(usize::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(lg_k: u8, values: impl IntoIterator<Item = u32>) -> DistinctSketch {
        let mut sketch = DistinctSketch::new(lg_k).unwrap();
        values.into_iter().for_each(|value| sketch.push(f64::from(value)));
        sketch
    }

    #[test]
    fn a_set_has_one_sketch_in_any_order_and_from_any_parts() {
        for lg_k in [4, 7, 8, 12, 14] {
            for count in [0, 1, 5, 7, 8, 9, 100, 384, 385, 1000, 50_000] {
                let whole = of(lg_k, 0..count);
                let bytes = whole.to_bytes();
                let mut all = vec![of(lg_k, (0..count).rev()), DistinctSketch::from_bytes(&bytes).unwrap()];
                for parts in [2, 7] {
                    let mut merged = DistinctSketch::new(lg_k).unwrap();
                    // The first values are in every part.
                    for part in 0..parts {
                        let values = (0..count).filter(|value| *value < 20 || value % parts == part);
                        merged.merge(&of(lg_k, values)).unwrap();
                    }
                    all.push(merged);
                }
                for other in all {
                    assert_eq!(other.to_bytes(), bytes, "{lg_k} {count}");
                    assert_eq!(other, whole);
                    assert_eq!(other.estimate().to_bits(), whole.estimate().to_bits(), "{lg_k} {count}");
                    assert_eq!(other.bounds(), whole.bounds(), "{lg_k} {count}");
                }
                let (low, high) = whole.bounds();
                assert!(low <= whole.estimate() && whole.estimate() <= high, "{lg_k} {count}: {low} {high}");
                // Few registers may hold the same maxima for more values.
                assert!(lg_k < 8 || of(lg_k, 0..2 * count + 1) != whole, "{lg_k} {count}");
            }
        }
    }

    /// datasketches 5.2.0 for Python: `hll_union(12)` updated twice by an `hll_sketch(12, HLL_8)` of `float(i)` for i below the count,
    /// then `get_estimate()`, `get_lower_bound(3)`, `get_upper_bound(3)`.
    #[test]
    fn bounds_are_those_of_the_estimate() {
        for (count, estimate, low, high) in [
            (300, 300.000_222_772_549_9, 300.0, 300.045_163_619_200_37),
            (3000, 3_007.347_912_465_829_3, 2_865.020_727_794_945_7, 3_155.576_243_774_127_3),
            (12_000, 12_041.795_862_554_074, 11_471.900_076_172_129, 12_635.320_575_562_097),
            (50_000, 49_353.586_911_748_21, 47_017.855_468_957_016, 51_786.162_072_634_46),
            (1_000_000, 982_634.477_177_825_6, 936_129.848_259_586_1, 1_031_067.273_474_627_9),
        ] {
            let sketch = of(12, 0..count);
            let got = [sketch.estimate(), sketch.bounds().0, sketch.bounds().1];
            for (got, expected) in got.into_iter().zip([estimate, low, high]) {
                assert!((got / expected - 1.0).abs() < 1e-12, "{count}: {got} is not {expected}");
            }
        }
    }

    #[test]
    fn sketches_of_two_sizes_merge_to_the_smaller_one() {
        for (small, large) in [(3, 3), (3, 2000), (2000, 3), (2000, 3000), (0, 5), (5, 0)] {
            let (a, b) = (of(10, 0..small), of(12, 1000..1000 + large));
            let (mut one, mut other) = (a.clone(), b.clone());
            one.merge(&b).unwrap();
            other.merge(&a).unwrap();
            assert_eq!((one.lg_k(), other.lg_k()), (10, 10), "{small} {large}");
            assert_eq!(one.to_bytes(), other.to_bytes(), "{small} {large}");
            assert_eq!(one, of(10, (0..small).chain(1000..1000 + large)), "{small} {large}");
        }
    }
}
