//! Draws that are the same on every machine, by number and not by order.

/// The i-th number of stream `seed`, uniform in [0, 1): SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
pub fn uniform(seed: u64, i: u64) -> f64 {
    let mut z = seed.wrapping_mul(0xd134_2543_de82_ef95).wrapping_add(i.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
}
