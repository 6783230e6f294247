//! The Cholesky factor of a covariance matrix, row by row.

/// L with L Lᵀ = A, of a symmetric matrix; the lower triangle, its rows one after the other.
#[derive(Clone, Debug)]
pub(super) struct Cholesky {
    n: usize,
    rows: Vec<f64>,
}

/// The place of row `i` in a triangle.
fn start(i: usize) -> usize {
    i * (i + 1) / 2
}

impl Cholesky {
    /// The factor of a matrix given by its lower triangle. `None` if the matrix is not positive definite to the last digit. O(n³).
    pub(super) fn new(n: usize, mut a: Vec<f64>) -> Option<Self> {
        for i in 0..n {
            for j in 0..=i {
                let (head, tail) = a.split_at_mut(start(i));
                let row_i = tail.get_mut(..=i)?;
                let sum = if i == j {
                    dot(row_i.get(..j)?, row_i.get(..j)?)
                } else {
                    dot(row_i.get(..j)?, head.get(start(j)..start(j) + j)?)
                };
                let rest = row_i.get(j)? - sum;
                *row_i.get_mut(j)? = if i == j {
                    if !(rest > 0.0 && rest.is_finite()) {
                        return None;
                    }
                    rest.sqrt()
                } else {
                    rest / head.get(start(j) + j)?
                };
            }
        }
        Some(Self { n, rows: a })
    }

    fn row(&self, i: usize) -> &[f64] {
        self.rows.get(start(i)..=start(i) + i).unwrap_or_default()
    }

    /// Σ ln of the diagonal: half the logarithm of the determinant.
    pub(super) fn half_ln_determinant(&self) -> f64 {
        (0..self.n).filter_map(|i| self.row(i).last()).map(|d| d.ln()).sum()
    }

    /// L⁻¹ b, in place. O(n²).
    pub(super) fn forward(&self, b: &mut [f64]) {
        for i in 0..self.n.min(b.len()) {
            let (done, rest) = b.split_at_mut(i);
            if let (Some(x), Some((diagonal, row))) = (rest.first_mut(), self.row(i).split_last()) {
                *x = (*x - dot(row, done)) / diagonal;
            }
        }
    }

    /// L⁻ᵀ b, in place. O(n²).
    pub(super) fn backward(&self, b: &mut [f64]) {
        for i in (0..self.n.min(b.len())).rev() {
            let (before, rest) = b.split_at_mut(i);
            if let (Some(x), Some((diagonal, row))) = (rest.first_mut(), self.row(i).split_last()) {
                *x /= diagonal;
                for (b, l) in before.iter_mut().zip(row) {
                    *b -= *x * l;
                }
            }
        }
    }

    /// A⁻¹, whole, row by row. O(n³).
    pub(super) fn inverse(&self) -> Vec<f64> {
        let mut out = Vec::with_capacity(self.n * self.n);
        for i in 0..self.n {
            let mut column = vec![0.0; self.n];
            if let Some(one) = column.get_mut(i) {
                *one = 1.0;
            }
            self.forward(&mut column);
            self.backward(&mut column);
            out.append(&mut column);
        }
        out
    }
}

/// Four sums side by side, which the compiler turns into vectors; the order is fixed, and so are the bits.
pub(super) fn dot(a: &[f64], b: &[f64]) -> f64 {
    let n = a.len().min(b.len());
    let (a, b) = (a.get(..n).unwrap_or_default(), b.get(..n).unwrap_or_default());
    let (mut left, mut right) = (a.chunks_exact(4), b.chunks_exact(4));
    let mut sums = [0.0; 4];
    for (x, y) in left.by_ref().zip(right.by_ref()) {
        for ((sum, x), y) in sums.iter_mut().zip(x).zip(y) {
            *sum += x * y;
        }
    }
    let rest: f64 = left.remainder().iter().zip(right.remainder()).map(|(x, y)| x * y).sum();
    (sums[0] + sums[1]) + (sums[2] + sums[3]) + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A = L Lᵀ with L = (2; 6, 1; −8, 5, 3).
    const A: [f64; 6] = [4.0, 12.0, 37.0, -16.0, -43.0, 98.0];

    #[test]
    fn the_factor_of_a_product_is_the_factor() {
        let factor = Cholesky::new(3, A.to_vec()).unwrap();
        assert_eq!(factor.rows, [2.0, 6.0, 1.0, -8.0, 5.0, 3.0]);
        assert!((factor.half_ln_determinant() - 6.0_f64.ln()).abs() < 1e-15);
        let mut b = vec![1.0, 2.0, 3.0];
        factor.forward(&mut b);
        factor.backward(&mut b);
        let whole = [[4.0, 12.0, -16.0], [12.0, 37.0, -43.0], [-16.0, -43.0, 98.0]];
        for (row, wanted) in whole.iter().zip([1.0, 2.0, 3.0]) {
            assert!((dot(row, &b) - wanted).abs() < 1e-10);
        }
        let inverse = factor.inverse();
        for (i, row) in whole.iter().enumerate() {
            for j in 0..3 {
                let product = dot(row, &inverse[3 * j..3 * j + 3]);
                assert!((product - f64::from(u8::from(i == j))).abs() < 1e-10);
            }
        }
    }

    #[test]
    fn a_matrix_that_is_not_positive_definite_has_none() {
        for a in [vec![0.0], vec![-1.0], vec![f64::NAN], vec![1.0, 2.0, 1.0], vec![1.0, 1.0, 1.0]] {
            let n = if a.len() == 1 { 1 } else { 2 };
            assert!(Cholesky::new(n, a).is_none());
        }
    }
}
