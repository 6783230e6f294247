//! How a number is read before it is compared.

/// 1e-35 in single precision, widened: what LightGBM takes for zero lies within this of it.
pub(super) const ZERO: f64 = 1e-35_f32 as f64;

/// The code of a missing category.
pub(super) const MISSING: u32 = u32::MAX;

/// The code of what is no category: no set is so large that it has it.
const NONE: u32 = u32::MAX - 1;

/// The code of a category: a number towards zero; what is not above −1, or too large, is none.
#[inline(always)]
pub(super) fn category(x: f64) -> u32 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "towards zero, in range")]
    match x {
        _ if x.is_nan() => MISSING,
        _ if x <= -1.0 || x >= f64::from(NONE) => NONE,
        _ => x as u32,
    }
}

/// How a question reads its number. After that, every question about numbers is the same: is it at most the threshold? NaN is not.
///
/// | reading | missing (NaN) | zero (|x| ≤ 1e-35) | else |
/// |---|---|---|---|
/// | `Plain` | NaN: right | x | x |
/// | `MissingLeft` | −∞: left | x | x |
/// | `MissingZero` | 0 | x | x |
/// | `ZeroLeft` | −∞: left | −∞: left | x |
/// | `ZeroRight` | NaN: right | NaN: right | x |
/// | `OnlyMissing` | −∞: left | NaN: right | NaN: right |
/// | `Category` | a code of its own | 0 | the code of the [category] |
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::serve) enum Reading {
    Plain,
    MissingLeft,
    MissingZero,
    ZeroLeft,
    ZeroRight,
    OnlyMissing,
    Category,
}

impl Reading {
    /// The reading of LightGBM's and others' questions where missing values take a side of their own.
    pub(in crate::serve) fn missing(left: bool) -> Self {
        if left { Self::MissingLeft } else { Self::Plain }
    }

    #[inline(always)]
    pub(super) fn of(self, x: f64) -> f64 {
        let near_zero = x.abs() <= ZERO;
        match self {
            Self::Plain => x,
            Self::MissingLeft if x.is_nan() => f64::NEG_INFINITY,
            Self::MissingZero if x.is_nan() => 0.0,
            Self::ZeroLeft if x.is_nan() || near_zero => f64::NEG_INFINITY,
            Self::ZeroRight if near_zero => f64::NAN,
            Self::OnlyMissing if x.is_nan() => f64::NEG_INFINITY,
            Self::OnlyMissing => f64::NAN,
            _ => x,
        }
    }
}

/// The largest number of single precision that is not above `x`: for a narrow number n, n ≤ x exactly if n ≤ this. NaN stays.
pub(in crate::serve) fn narrow_down(x: f64) -> f32 {
    #[expect(clippy::cast_possible_truncation, reason = "rounding is what it is for")]
    let near = x as f32;
    if f64::from(near) > x { near.next_down() } else { near }
}

/// The number in single precision, rounded to nearest, as models of single precision see it.
#[inline(always)]
pub(in crate::serve) fn narrow(x: f64) -> f64 {
    #[expect(clippy::cast_possible_truncation, reason = "rounding is what it is for")]
    f64::from(x as f32)
}
