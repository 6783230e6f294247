//! Hashes of values that are the same on every machine and in every run: for estimates and for repetitions, not against people
//! who choose their values to collide.

use std::collections::HashMap;

use crate::data::{Column, Values};

/// Multiplies to 128 bits and folds them.
pub(super) fn fold(a: u64, b: u64) -> u64 {
    let wide = u128::from(a) * u128::from(b);
    (wide >> 64) as u64 ^ (wide & u128::from(u64::MAX)) as u64
}

/// A bijection of 64 bits in which every bit of the input moves half of the output's (the finalizer of SplitMix64: Steele, Lea,
/// Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014).
pub(in crate::data) fn mix(mut x: u64) -> u64 {
    x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ x >> 31
}

/// The hash of a text.
pub(super) fn text(text: &str) -> u64 {
    const K: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut hash = K ^ text.len() as u64;
    for chunk in text.as_bytes().chunks(8) {
        let word = chunk.iter().fold(0, |word, byte| word << 8 | u64::from(*byte));
        hash = fold(hash ^ mix(word), K);
    }
    mix(hash)
}

/// The 64 bits of a value that is no text: −0.0 is 0.0, every NaN is the same.
pub(super) fn float_bits(value: f64) -> u64 {
    match value {
        x if x.is_nan() => f64::NAN.to_bits(),
        0.0 => 0,
        x => x.to_bits(),
    }
}

/// The hash of a missing value.
const MISSING: u64 = 0x6a09_e667_f3bc_c908;

/// Adds the hash of each row's value to the row's: 128 bits, the upper and the lower half by different constants.
pub(super) fn add_column(column: &Column<'_>, hashes: &mut [[u64; 2]]) {
    let mut add = |row: usize, hash: u64| {
        let hash = if column.is_valid(row) { hash } else { MISSING };
        if let Some([high, low]) = hashes.get_mut(row) {
            *high = fold(*high ^ hash, 0xa076_1d64_78bd_642f).wrapping_add(*low);
            *low = fold(*low ^ hash.rotate_left(32), 0xe703_7ed1_a0b4_28db) ^ hash;
        }
    };
    match column.values() {
        Values::F64(v) => v.iter().enumerate().for_each(|(row, x)| add(row, mix(float_bits(*x) ^ 1))),
        Values::F32(v) => {
            v.iter().enumerate().for_each(|(row, x)| add(row, mix(float_bits(f64::from(*x)) ^ 1)))
        }
        Values::I64(v) | Values::Time(v) => {
            v.iter().enumerate().for_each(|(row, x)| add(row, mix(x.cast_unsigned() ^ 2)));
        }
        Values::Bool(v) => v.iter().enumerate().for_each(|(row, x)| add(row, mix(u64::from(*x) ^ 4))),
        Values::Category { codes, levels } => {
            let mut known: HashMap<u32, u64> = HashMap::new();
            for (row, code) in codes.iter().enumerate() {
                let level = || usize::try_from(*code).ok().and_then(|code| levels.get(code));
                let hash = *known.entry(*code).or_insert_with(|| level().map_or(0, |level| text(level)));
                add(row, hash);
            }
        }
    }
}
