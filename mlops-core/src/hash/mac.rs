//! Keyed digests, and comparing what is secret.

use sha2::Digest as _;

use super::Digest;

/// HMAC-SHA256 (RFC 2104) of parts that follow one another.
pub(crate) fn hmac_sha256(key: &[u8], parts: &[&[u8]]) -> Digest {
    const BLOCK: usize = 64;
    let mut block = [0; BLOCK];
    let hashed = Digest::of(key);
    let key = if key.len() > BLOCK { hashed.as_bytes().as_slice() } else { key };
    block.iter_mut().zip(key).for_each(|(to, from)| *to = *from);
    let keyed = |pad: u8| sha2::Sha256::new_with_prefix(block.map(|byte| byte ^ pad));
    let inner = parts.iter().fold(keyed(0x36), |hash, part| hash.chain_update(part)).finalize();
    Digest::from_bytes(keyed(0x5c).chain_update(inner).finalize().into())
}

/// Whether two texts are the same, in time that depends on their lengths alone.
pub(crate) fn same_secret(a: &[u8], b: &[u8]) -> bool {
    // Every byte is looked at; the barrier keeps a compiler from stopping early.
    let differ = a.iter().zip(b).fold(0, |differ, (a, b)| std::hint::black_box(differ | (a ^ b)));
    a.len() == b.len() && differ == 0
}
