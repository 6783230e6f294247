//! A digest of a multiset in constant memory: MuHash, a product in a group.
//!
//! # Why a product
//! Each element is hashed to a number below the prime p = 2³⁰⁷² − 1 103 717, and the numbers are multiplied modulo p. A product
//! knows no order, two products multiply to that of both, and an element that comes twice is a square. To find two multisets
//! with one product is to find a relation between discrete logarithms modulo p, which takes about 2¹²⁸ steps for a prime of
//! this size.
//!
//! What looks simpler does not hold. A sum modulo 2²⁵⁶ falls to a generalised birthday search in about 2³² steps. Sums in 1024
//! lanes of 16 bits (LtHash) are sound for sets, but 65 536 equal elements add up to nothing: a table of that many rows "yes" would
//! have the digest of one of as many rows "no". Sorting all hashes is sound and ten times as fast, but the state then grows with
//! the data, 32 bytes a row, where this one has 384 bytes whatever it has seen.
//!
//! Sources: Bellare, Micciancio, "A new paradigm for collision-free hashing: incrementality at reduced cost" (EUROCRYPT 1997);
//! Clarke, Devadas, van Dijk, Gassend, Suh, "Incremental multiset hash functions and their application to memory integrity
//! checking" (ASIACRYPT 2003); Wagner, "A generalized birthday problem" (CRYPTO 2002). The prime is the one that Bitcoin Core uses
//! for the same purpose; (p − 1) / 2 is a prime too, so there are no small subgroups.

use std::fmt;

use crate::hash::Digest;

/// 64-bit limbs of a number, the least significant first.
const LIMBS: usize = 48;

/// p = 2³⁰⁷² − `GAP`.
const GAP: u64 = 1_103_717;

/// A product of hashed elements modulo p, always in its one canonical form: at least 1 and below p.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Product([u64; LIMBS]);

impl Product {
    /// The product of nothing.
    pub(super) const ONE: Self = {
        let mut limbs = [0; LIMBS];
        limbs[0] = 1;
        Self(limbs)
    };

    /// The bytes of a number: 384.
    pub(super) const BYTES: usize = LIMBS * 8;

    /// The number that stands for one element: the little-endian number of the twelve digests SHA-256(element ‖ i), i = 0 … 11,
    /// one byte each.
    pub(super) fn of(element: &Digest) -> Self {
        let mut message = [0; 33];
        message[..32].copy_from_slice(element.as_bytes());
        let mut bytes = [0; Self::BYTES];
        for (i, block) in (0..).zip(bytes.chunks_exact_mut(32)) {
            message[32] = i;
            block.copy_from_slice(Digest::of(&message).as_bytes());
        }
        let number = Self(limbs(&bytes)).reduced();
        // A multiple of p would swallow every other element. Nobody will ever see one.
        if number.0 == [0; LIMBS] { Self::ONE } else { number }
    }

    /// The number with these bytes, the least significant first; `None` for 0, for p and what is above, and for another length.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let number = Self(limbs(bytes.try_into().ok()?));
        (number.0 != [0; LIMBS] && number == number.clone().reduced()).then_some(number)
    }

    /// The bytes, the least significant first.
    pub(super) fn to_bytes(&self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        for (limb, chunk) in self.0.iter().zip(bytes.chunks_exact_mut(8)) {
            chunk.copy_from_slice(&limb.to_le_bytes());
        }
        bytes
    }

    /// Multiplies by `other`.
    pub(super) fn multiply(&mut self, other: &Self) {
        let wide = product(&self.0, &other.0);
        let (low, high) = wide.split_at(LIMBS);
        // 2³⁰⁷² is GAP modulo p: what lies above comes back multiplied by GAP.
        let mut carry = 0;
        for ((limb, low), high) in self.0.iter_mut().zip(low).zip(high) {
            let sum = u128::from(*high) * u128::from(GAP) + u128::from(*low) + u128::from(carry);
            (*limb, carry) = halves(sum);
        }
        // What is carried out is below 2²¹, so adding it can be carried out once more at the most.
        let mut surplus = u128::from(carry) * u128::from(GAP);
        while surplus > 0 {
            surplus = u128::from(self.add(surplus)) * u128::from(GAP);
        }
        *self = Self(self.0).reduced();
    }

    /// Adds a small number; what is carried out at the top.
    fn add(&mut self, small: u128) -> u64 {
        let mut carry = small;
        for limb in &mut self.0 {
            let sum = carry + u128::from(*limb);
            (*limb, carry) = (low_half(sum), sum >> 64);
        }
        low_half(carry)
    }

    /// The same number below p. A number of 3072 bits is at or above p exactly if adding `GAP` overflows.
    fn reduced(self) -> Self {
        let mut shifted = Self(self.0);
        if shifted.add(u128::from(GAP)) > 0 { shifted } else { self }
    }
}

impl fmt::Debug for Product {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Product { .. }")
    }
}

fn limbs(bytes: &[u8; Product::BYTES]) -> [u64; LIMBS] {
    let mut limbs = [0; LIMBS];
    for (limb, chunk) in limbs.iter_mut().zip(bytes.chunks_exact(8)) {
        *limb = chunk.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
    }
    limbs
}

/// The product before it is reduced, column by column: no carry has to wait for the one before it.
fn product(a: &[u64; LIMBS], b: &[u64; LIMBS]) -> [u64; 2 * LIMBS] {
    let mut wide = [0; 2 * LIMBS];
    // The sum of a column has up to 134 bits: `sum` holds 128 of them, `over` counts what overflowed.
    let mut sum = 0_u128;
    for (k, limb) in wide.iter_mut().enumerate().take(2 * LIMBS - 1) {
        let (first, last) = (k.saturating_sub(LIMBS - 1), k.min(LIMBS - 1));
        let mut over = 0_u64;
        for (x, y) in a[first..=last].iter().zip(b[k - last..=k - first].iter().rev()) {
            let (next, overflowed) = sum.overflowing_add(u128::from(*x) * u128::from(*y));
            sum = next;
            over += u64::from(overflowed);
        }
        *limb = low_half(sum);
        sum = sum >> 64 | u128::from(over) << 64;
    }
    wide[2 * LIMBS - 1] = low_half(sum);
    wide
}

fn halves(wide: u128) -> (u64, u64) {
    (low_half(wide), low_half(wide >> 64))
}

/// The lower 64 bits; dropping the others is meant.
fn low_half(wide: u128) -> u64 {
    (wide & u128::from(u64::MAX)) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn element(text: &str) -> Product {
        Product::of(&Digest::of(text.as_bytes()))
    }

    fn times(a: &Product, b: &Product) -> Product {
        let mut out = a.clone();
        out.multiply(b);
        out
    }

    fn shown(number: &Product) -> String {
        Digest::of(&number.to_bytes()).hex()
    }

    /// Computed with Python 3.11.7, `hashlib` and its integers, from the documented layout.
    #[test]
    fn numbers_are_those_of_another_implementation() {
        let (a, b) = (element("a"), element("b"));
        assert_eq!(shown(&a), "1761314004e89a6db7f96993138c217264097eca526e2f59ee9f010af59a300f");
        assert_eq!(shown(&times(&a, &b)), "4716555402baf77a36ecaaac3689129b7e285552346572a1a306cb93231f1509");
        let mut power = b;
        (0..65_536).for_each(|_| power.multiply(&a));
        assert_eq!(shown(&power), "20dca6e7d53d129e6eb8d8e96cab5cfbf5b87573955690a43a419cf9e0a1549f");
    }

    fn number(change: impl Fn(&mut [u64; LIMBS])) -> Product {
        // p − 1, the greatest number there is.
        let mut limbs = [u64::MAX; LIMBS];
        limbs[0] = u64::MAX - GAP;
        change(&mut limbs);
        Product(limbs)
    }

    /// The same source as above: products of the greatest numbers, where every carry happens.
    #[test]
    fn carries_are_not_lost() {
        let top = number(|_| ());
        let below = number(|limbs| limbs[0] -= 1);
        let high = |low| {
            number(|limbs| {
                *limbs = [0; LIMBS];
                limbs[LIMBS - 1] = 1 << 63;
                limbs[0] = low;
            })
        };
        // (p − 1)² = 1 and (p − 1)(p − 2) = 2.
        assert_eq!(times(&top, &top), Product::ONE);
        assert_eq!(
            shown(&times(&top, &top)),
            "c85525462fdcf30a2c18d6f4b92923000974355c2477f59594d2c205a1d25add"
        );
        assert_eq!(
            shown(&times(&top, &below)),
            "b4d34a46a3bc8d7222d8874a619cbdbb5ac11d2ee153feeba0598d2c84427898"
        );
        assert_eq!(
            shown(&times(&high(0), &high(12_345))),
            "594ebd9f43d0da685138535fbb3e4eb11cabd4f0d83a4c95ef46bad4e657ef9b"
        );
    }

    #[test]
    fn only_the_canonical_form_of_a_number_is_read() {
        for good in [Product::ONE, element("a"), number(|_| ())] {
            assert_eq!(Product::from_bytes(&good.to_bytes()), Some(good));
        }
        let p = number(|limbs| limbs[0] += 1);
        let above = number(|limbs| limbs[0] = u64::MAX);
        let zero = Product([0; LIMBS]);
        for bad in [p, above, zero] {
            assert_eq!(Product::from_bytes(&bad.to_bytes()), None);
        }
        assert_eq!(Product::from_bytes(&[1; Product::BYTES - 1]), None);
    }

    proptest! {
        #[test]
        fn products_commute_and_associate(a in ".{0,3}", b in ".{0,3}", c in ".{0,3}") {
            let [a, b, c] = [a, b, c].map(|text| element(&text));
            prop_assert_eq!(times(&a, &b), times(&b, &a));
            prop_assert_eq!(times(&times(&a, &b), &c), times(&a, &times(&b, &c)));
            prop_assert_eq!(times(&a, &Product::ONE), a.clone());
            prop_assert_ne!(times(&a, &a), a);
        }
    }
}
