//! A sum of doubles without any rounding: the same whatever the order, the sharding and the machine.
//!
//! Every finite double is an integer multiple of 2⁻¹⁰⁷⁴, so a fixed-point number of 2176 bits holds the sum of up to 2⁶² of
//! them exactly (Kulisch and Miranker, *The arithmetic of the digital computer: a new approach*, SIAM Review 28, 1986). It is kept
//! as digits of 32 bits in 64-bit slots, so that carries have to be passed on only once in 2³⁰ additions (Neal, *Fast exact
//! summation using small and large superaccumulators*, arXiv 1505.05571, 2015).

use serde::{Deserialize, Serialize};

const DIGITS: usize = 68;
const ROOM: u32 = 1 << 30;

/// An exact sum of finite doubles.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub(super) struct ExactSum {
    digits: [i64; DIGITS],
    pushed: u32,
}

/// Sign and magnitude: digits of 32 bits from the lowest that is not 0, whose place is `from`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    negative: bool,
    from: usize,
    digits: Vec<u32>,
}

impl Default for ExactSum {
    fn default() -> Self {
        Self { digits: [0; DIGITS], pushed: 0 }
    }
}

impl PartialEq for ExactSum {
    fn eq(&self, other: &Self) -> bool {
        self.canonical() == other.canonical()
    }
}

impl ExactSum {
    /// Adds a finite number; anything else is ignored.
    #[inline]
    pub(super) fn push(&mut self, value: f64) {
        let bits = value.to_bits();
        let exponent = (bits >> 52) & 0x7ff;
        if exponent == 0x7ff {
            return;
        }
        let fraction = bits & ((1 << 52) - 1);
        let significand = if exponent == 0 { fraction } else { fraction | 1 << 52 };
        let place = exponent.max(1) - 1;
        let (slot, shift) = ((place >> 5) as usize, place & 31);
        let wide = u128::from(significand) << shift;
        let sign = if value.is_sign_negative() { -1 } else { 1 };
        for (i, digit) in self.digits.iter_mut().skip(slot).take(3).enumerate() {
            *digit += sign * low_digit(wide >> (32 * i));
        }
        self.pushed += 1;
        if self.pushed == ROOM {
            self.digits = self.canonical();
            self.pushed = 1;
        }
    }

    /// Adds another sum, exactly.
    pub(super) fn merge(&mut self, other: &Self) {
        self.digits = self.canonical();
        for (digit, more) in self.digits.iter_mut().zip(other.canonical()) {
            *digit += more;
        }
        self.digits = self.canonical();
        self.pushed = 1;
    }

    /// All digits but the last in 0 … 2³² − 1: one form for every value.
    fn canonical(&self) -> [i64; DIGITS] {
        let mut digits = self.digits;
        let mut carry = 0;
        for digit in digits.iter_mut().take(DIGITS - 1) {
            let with = *digit + carry;
            carry = with >> 32;
            *digit = with & 0xffff_ffff;
        }
        digits[DIGITS - 1] += carry;
        digits
    }

    fn magnitude(&self) -> (bool, [i64; DIGITS]) {
        let digits = self.canonical();
        if digits[DIGITS - 1] >= 0 {
            return (false, digits);
        }
        let negated = Self { digits: digits.map(|digit| -digit), pushed: 0 };
        (true, negated.canonical())
    }

    /// The nearest double, ties to even; within one more rounding among subnormal numbers.
    pub(super) fn value(&self) -> f64 {
        let (negative, digits) = self.magnitude();
        let Some(top) = digits.iter().rposition(|&digit| digit != 0) else { return 0.0 };
        // Three digits hold at least 65 significant bits; one more bit says whether anything was cut off.
        let digit = |back: usize| top.checked_sub(back).map_or(0, |i| u128::from(digits[i].unsigned_abs()));
        let sticky = digits.iter().take(top.saturating_sub(2)).any(|&digit| digit != 0);
        let wide = (digit(0) << 64) | (digit(1) << 32) | digit(2) | u128::from(sticky);
        let places = i32::try_from(top).unwrap_or(i32::MAX) * 32 - 64 - 1074;
        let value = scaled(wide as f64, places);
        if negative { -value } else { value }
    }

    /// The nearest double and what it lacks, rounded.
    pub(super) fn parts(&self) -> (f64, f64) {
        let high = self.value();
        let mut rest = self.clone();
        rest.push(-high);
        (high, rest.value())
    }
}

/// The lowest 32 bits.
#[inline]
fn low_digit(wide: u128) -> i64 {
    #[expect(clippy::cast_possible_truncation, reason = "the lowest 32 bits are what is asked for")]
    let digit = wide as u32;
    i64::from(digit)
}

/// x · 2^places.
fn scaled(mut x: f64, mut places: i32) -> f64 {
    while places != 0 && x != 0.0 && x.is_finite() {
        let step = places.clamp(-1000, 1000);
        x *= 2f64.powi(step);
        places -= step;
    }
    x
}

impl From<ExactSum> for Stored {
    fn from(sum: ExactSum) -> Self {
        let (negative, digits) = sum.magnitude();
        let from = digits.iter().position(|&digit| digit != 0).unwrap_or(0);
        let to = digits.iter().rposition(|&digit| digit != 0).map_or(from, |top| top + 1);
        let digits = digits[from..to].iter().map(|&digit| u32::try_from(digit).unwrap_or(u32::MAX)).collect();
        Self { negative, from, digits }
    }
}

impl TryFrom<Stored> for ExactSum {
    type Error = String;

    fn try_from(stored: Stored) -> Result<Self, String> {
        let Stored { negative, from, digits } = &stored;
        // The last digit carries the sign and the room for carries.
        if from.checked_add(digits.len()).is_none_or(|end| end >= DIGITS) {
            return Err("an exact sum has digits out of range".to_owned());
        }
        let mut sum = Self::default();
        for (slot, &digit) in sum.digits.iter_mut().skip(*from).zip(digits) {
            *slot = if *negative { -i64::from(digit) } else { i64::from(digit) };
        }
        sum.digits = sum.canonical();
        if Stored::from(sum.clone()) != stored {
            return Err("an exact sum is not in its one form".to_owned());
        }
        Ok(sum)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sum(values: &[f64]) -> ExactSum {
        let mut sum = ExactSum::default();
        values.iter().for_each(|&value| sum.push(value));
        sum
    }

    #[test]
    fn sums_are_correctly_rounded() {
        // Exact values by `math.fsum` of CPython 3.11.
        let tenths: Vec<f64> = (1..=1000).map(|i| f64::from(i) / 10.0).collect();
        let harmonic: Vec<f64> = (1..=100_000).map(|i| 1.0 / f64::from(i)).collect();
        for (values, exact) in [
            (tenths, 50050.0),
            (harmonic, 12.090146129863427),
            (vec![1e308, 1e292, -1e308], 1e292),
            (vec![1e308, 1e308, -1e308], 1e308),
            (vec![1.0, 2f64.powi(-53), 2f64.powi(-106)], 1.0000000000000002),
            (vec![1.0, 2f64.powi(-53)], 1.0),
            (vec![1.0, 1e100, 1.0, -1e100], 2.0),
            (vec![5e-324; 3], 1.5e-323),
            (vec![-5e-324, -1e-310], -1.00000000000005e-310),
            (vec![-0.0], 0.0),
            (vec![], 0.0),
            (vec![f64::MAX, f64::MAX], f64::INFINITY),
        ] {
            assert_eq!(sum(&values).value(), exact, "{:?}", &values[..values.len().min(5)]);
        }
    }

    #[test]
    fn what_rounding_cuts_off_is_the_second_part() {
        assert_eq!(sum(&[1e16, 0.5, 0.25]).parts(), (1e16, 0.75));
        assert_eq!(sum(&[1e16, 1.0, 0.25]).parts(), (1e16 + 2.0, -0.75));
        assert_eq!(sum(&[-1.0, -1e-30]).parts(), (-1.0, -1e-30));
    }

    proptest! {
        #[test]
        fn order_and_shards_do_not_matter(
            values in prop::collection::vec(any::<f64>().prop_filter("finite", |v| v.is_finite()), 0..30),
            cut in 0usize..30,
        ) {
            let whole = sum(&values);
            let (left, right) = values.split_at(cut.min(values.len()));
            let mut merged = sum(right);
            merged.merge(&sum(left));
            prop_assert_eq!(&merged, &whole);
            prop_assert_eq!(merged.value().to_bits(), whole.value().to_bits());
            let text = serde_json::to_string(&whole).unwrap();
            let read: ExactSum = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(serde_json::to_string(&read).unwrap(), text);
            prop_assert_eq!(read, whole);
        }
    }

    #[test]
    fn sums_read_from_outside_are_checked() {
        for text in [
            r#"{"negative":false,"from":60,"digits":[1,1,1,1,1,1,1,1]}"#,
            r#"{"negative":true,"from":0,"digits":[]}"#,
            r#"{"negative":false,"from":3,"digits":[0,1]}"#,
            r#"{"negative":false,"from":3,"digits":[]}"#,
            r#"{"negative":false,"from":0,"digits":[1],"x":1}"#,
        ] {
            assert!(serde_json::from_str::<ExactSum>(text).is_err(), "{text}");
        }
    }
}
