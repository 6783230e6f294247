//! Metric values as integers that order as the values do.

/// The one NaN that is kept: by identity, all NaNs are one.
const NAN: u64 = 0x7ff8_0000_0000_0000;

/// The integer of a value: ordered as by [`f64::total_cmp`], so −∞ < … < −0.0 < 0.0 < … < ∞ < NaN.
pub(crate) fn key(value: f64) -> i64 {
    flip(if value.is_nan() { NAN } else { value.to_bits() }.cast_signed())
}

/// The value of an integer that [`key`] made.
pub(crate) fn value(key: i64) -> f64 {
    f64::from_bits(flip(key).cast_unsigned())
}

/// Negative numbers are written as sign and magnitude; turning the magnitude's bits makes greater what is nearer to zero.
fn flip(bits: i64) -> i64 {
    bits ^ ((bits >> 63).cast_unsigned() >> 1).cast_signed()
}

/// The keys of the values equal to `value`, which is no NaN: both zeros are equal.
pub(crate) fn equal(value: f64) -> (i64, i64) {
    if value == 0.0 { (key(-0.0), key(0.0)) } else { (key(value), key(value)) }
}

/// The key of the greatest value that is a number.
pub(crate) fn greatest() -> i64 {
    key(f64::INFINITY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_order_as_values_do_and_give_them_back() {
        let ordered = [
            f64::NEG_INFINITY,
            f64::MIN,
            -1.5,
            -5e-324,
            -0.0,
            0.0,
            5e-324,
            f64::MIN_POSITIVE,
            1.0,
            f64::MAX,
            f64::INFINITY,
        ];
        assert!(ordered.windows(2).all(|pair| key(pair[0]) < key(pair[1])));
        assert!(ordered.iter().all(|v| value(key(*v)).to_bits() == v.to_bits()));
        for nan in [f64::NAN, -f64::NAN, f64::from_bits(0xfff0_0000_0000_0001)] {
            assert_eq!(key(nan), key(f64::NAN));
            assert!(value(key(nan)).is_nan() && key(nan) > greatest());
        }
        assert_eq!(equal(-0.0), (-1, 0));
    }
}
