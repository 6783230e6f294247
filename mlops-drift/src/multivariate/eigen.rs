//! Eigenvalues and eigenvectors of a symmetric matrix.

use mlops_core::num::StatsError;

/// Eigenvalues in descending order, and the unit vector of each, one a row.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Eigen {
    pub(crate) values: Vec<f64>,
    pub(crate) vectors: Vec<f64>,
}

/// Jacobi's method, cyclic by rows: rotate every pair of coordinates until nothing is left beside the diagonal.
///
/// Eigenvalues are accurate to about ε·‖A‖. O(d³) a sweep, six to ten sweeps. `matrix` holds d² finite values. Source: Golub and
/// Van Loan, *Matrix Computations*, 4th edition, 8.5.
pub(crate) fn symmetric(mut matrix: Vec<f64>, d: usize) -> Result<Eigen, StatsError> {
    const SWEEPS: usize = 60;
    let mut vectors = vec![0.0; d * d];
    (0..d).for_each(|i| vectors[i * d + i] = 1.0);
    let norm: f64 = matrix.iter().map(|x| x * x).sum::<f64>().sqrt();
    for _ in 0..SWEEPS {
        if beside_diagonal(&matrix, d) <= f64::EPSILON * 1e-3 * norm {
            return Ok(sorted(&matrix, &vectors, d));
        }
        for p in 0..d {
            for q in p + 1..d {
                rotate(&mut matrix, &mut vectors, d, (p, q));
            }
        }
    }
    Err(StatsError::Unsupported {
        what: "the principal components",
        reason: "the rotations did not converge",
    })
}

fn beside_diagonal(matrix: &[f64], d: usize) -> f64 {
    let upper = (0..d).flat_map(|i| matrix[i * d + i + 1..(i + 1) * d].iter());
    upper.map(|x| 2.0 * x * x).sum::<f64>().sqrt()
}

/// Makes element (p, q) zero. Rows of `vectors` turn with the coordinates, so that they end as eigenvectors.
fn rotate(matrix: &mut [f64], vectors: &mut [f64], d: usize, (p, q): (usize, usize)) {
    let off = matrix[p * d + q];
    let (alpha, beta) = (matrix[p * d + p], matrix[q * d + q]);
    // What is lost in the rounding of the diagonal is nothing.
    if off.abs() <= f64::EPSILON * 1e-4 * (alpha.abs() * beta.abs()).sqrt() {
        matrix[p * d + q] = 0.0;
        matrix[q * d + p] = 0.0;
        return;
    }
    let tau = (beta - alpha) / (2.0 * off);
    let t = if tau >= 0.0 { 1.0 / (tau + tau.hypot(1.0)) } else { -1.0 / (-tau + tau.hypot(1.0)) };
    let c = 1.0 / t.hypot(1.0);
    let s = t * c;
    turn(matrix, d, (p, q), (c, s));
    // The matrix is symmetric: its columns p and q are the turned rows, but for the two by two block.
    for k in (0..d).filter(|&k| k != p && k != q) {
        matrix[k * d + p] = matrix[p * d + k];
        matrix[k * d + q] = matrix[q * d + k];
    }
    matrix[p * d + p] = alpha - t * off;
    matrix[q * d + q] = beta + t * off;
    matrix[p * d + q] = 0.0;
    matrix[q * d + p] = 0.0;
    turn(vectors, d, (p, q), (c, s));
}

/// Rows p < q become c·p − s·q and s·p + c·q.
fn turn(values: &mut [f64], d: usize, (p, q): (usize, usize), (c, s): (f64, f64)) {
    let (head, tail) = values.split_at_mut(q * d);
    let (row_p, row_q) = (&mut head[p * d..(p + 1) * d], &mut tail[..d]);
    for (x, y) in row_p.iter_mut().zip(row_q) {
        (*x, *y) = (c * *x - s * *y, s * *x + c * *y);
    }
}

fn sorted(matrix: &[f64], vectors: &[f64], d: usize) -> Eigen {
    let mut order: Vec<usize> = (0..d).collect();
    order.sort_by(|&i, &j| matrix[j * d + j].total_cmp(&matrix[i * d + i]));
    let values = order.iter().map(|&i| matrix[i * d + i]).collect();
    let vectors = order.iter().flat_map(|&i| vectors[i * d..(i + 1) * d].iter().copied()).collect();
    Eigen { values, vectors }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The matrix with elements min(i, j): its eigenvalues are 1/(2 − 2 cos((2k − 1)π/(2d + 1))).
    #[test]
    fn eigenvalues_of_a_known_matrix_are_found() {
        for d in [1, 2, 5, 40] {
            let matrix: Vec<f64> = (0..d * d).map(|i| (i / d).min(i % d) as f64 + 1.0).collect();
            let eigen = symmetric(matrix.clone(), d).unwrap();
            for (k, value) in eigen.values.iter().enumerate() {
                let angle = (2 * k + 1) as f64 * std::f64::consts::PI / (2 * d + 1) as f64;
                let expected = 1.0 / (2.0 - 2.0 * angle.cos());
                assert!(
                    (value - expected).abs() <= 1e-13 * expected.max(eigen.values[0] * 0.01),
                    "{value} {expected}"
                );
            }
            for (value, vector) in eigen.values.iter().zip(eigen.vectors.chunks_exact(d)) {
                for (row, x) in matrix.chunks_exact(d).zip(vector) {
                    let product: f64 = row.iter().zip(vector).map(|(a, v)| a * v).sum();
                    assert!((product - value * x).abs() < 1e-12 * eigen.values[0]);
                }
            }
        }
    }

    #[test]
    fn equal_and_zero_eigenvalues_are_no_trouble() {
        let zeros = symmetric(vec![0.0; 9], 3).unwrap();
        assert_eq!(zeros.values, [0.0; 3]);
        let ones = symmetric(vec![1.0; 16], 4).unwrap();
        assert!((ones.values[0] - 4.0).abs() < 1e-14 && ones.values[1..].iter().all(|v| v.abs() < 1e-14));
        let identity = symmetric(vec![1.0, 0.0, 0.0, 1.0], 2).unwrap();
        assert_eq!(identity.vectors, [1.0, 0.0, 0.0, 1.0]);
    }
}
