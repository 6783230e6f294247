//! As much complex arithmetic as a contour integral needs.

use std::ops::{Add, Div, Mul, Sub};

/// A complex number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Complex {
    pub(crate) re: f64,
    pub(crate) im: f64,
}

impl Complex {
    pub(crate) const ONE: Self = Self { re: 1.0, im: 0.0 };

    pub(crate) const fn new(re: f64, im: f64) -> Self {
        Self { re, im }
    }

    pub(crate) fn scale(self, by: f64) -> Self {
        Self::new(self.re * by, self.im * by)
    }

    /// The principal logarithm.
    pub(crate) fn ln(self) -> Self {
        Self::new(self.re.hypot(self.im).ln(), self.im.atan2(self.re))
    }

    /// The principal root.
    pub(crate) fn sqrt(self) -> Self {
        let size = self.re.hypot(self.im);
        if self.re >= 0.0 {
            let re = (0.5 * (size + self.re)).sqrt();
            let im = if re == 0.0 { 0.0 } else { 0.5 * self.im / re };
            Self::new(re, im)
        } else {
            let im = (0.5 * (size - self.re)).sqrt().copysign(self.im);
            Self::new(0.5 * self.im / im, im)
        }
    }

    pub(crate) fn exp(self) -> Self {
        let size = self.re.exp();
        Self::new(size * self.im.cos(), size * self.im.sin())
    }
}

impl Add for Complex {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self::new(self.re + other.re, self.im + other.im)
    }
}

impl Sub for Complex {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self::new(self.re - other.re, self.im - other.im)
    }
}

impl Mul for Complex {
    type Output = Self;

    fn mul(self, other: Self) -> Self {
        Self::new(self.re * other.re - self.im * other.im, self.re * other.im + self.im * other.re)
    }
}

impl Div for Complex {
    type Output = Self;

    fn div(self, other: Self) -> Self {
        // Smith's way, which neither overflows nor underflows on the way.
        if other.re.abs() >= other.im.abs() {
            let ratio = other.im / other.re;
            let bottom = other.re + other.im * ratio;
            Self::new((self.re + self.im * ratio) / bottom, (self.im - self.re * ratio) / bottom)
        } else {
            let ratio = other.re / other.im;
            let bottom = other.re * ratio + other.im;
            Self::new((self.re * ratio + self.im) / bottom, (self.im * ratio - self.re) / bottom)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn division_undoes_multiplication_and_roots_square_back() {
        for z in [(3.0, 4.0), (-3.0, 4.0), (-3.0, -1e-9), (1e-200, 2.0), (0.0, -5.0), (-2.0, 0.0)] {
            let z = Complex::new(z.0, z.1);
            for w in [Complex::new(0.5, -2.0), Complex::new(-7.0, 0.25)] {
                let back = z * w / w;
                assert!((back - z).re.hypot((back - z).im) < 1e-15 * z.re.hypot(z.im));
            }
            let root = z.sqrt();
            let square = root * root;
            assert!(root.re >= 0.0 && (square - z).re.hypot((square - z).im) < 1e-15 * z.re.hypot(z.im));
            let same = z.ln().exp();
            assert!((same - z).re.hypot((same - z).im) < 1e-14 * z.re.hypot(z.im));
        }
    }
}
