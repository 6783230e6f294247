//! The quadratic form of a covariance matrix, singular or not.

/// vᵀ C⁻ v for a symmetric positive semidefinite C (row-major), with the rank of C: Gaussian elimination with the largest
/// diagonal element first. A row whose remaining variance is less than 1e-10 of the largest is taken to follow from the others;
/// `None` where its element of v does not: the form is then infinite. O(k³).
pub(super) fn quadratic_form(matrix: &[f64], vector: &[f64]) -> Option<(f64, usize)> {
    let k = vector.len();
    let (mut c, mut v) = (matrix.to_vec(), vector.to_vec());
    let mut open: Vec<usize> = (0..k).collect();
    let largest = (0..k).map(|i| c[i * k + i]).fold(0.0, f64::max);
    let size = vector.iter().fold(0.0_f64, |max, x| max.max(x.abs()));
    let (mut form, mut rank) = (0.0, 0);
    while !open.is_empty() {
        let (at, pivot) = largest_diagonal(&open, &c, k);
        let row = open[at];
        if pivot <= 1e-10 * largest {
            // Rounding leaves about 1e-13 of the sizes that cancelled.
            return open.iter().all(|&i| v[i].abs() <= 1e-9 * size).then_some((form, rank));
        }
        open.swap_remove(at);
        form += v[row] * v[row] / pivot;
        rank += 1;
        for &i in &open {
            let factor = c[i * k + row] / pivot;
            v[i] -= factor * v[row];
            for &j in &open {
                c[i * k + j] -= factor * c[row * k + j];
            }
        }
    }
    Some((form, rank))
}

fn largest_diagonal(open: &[usize], c: &[f64], k: usize) -> (usize, f64) {
    let mut best = (0, f64::NEG_INFINITY);
    for (at, &i) in open.iter().enumerate() {
        if c[i * k + i] > best.1 {
            best = (at, c[i * k + i]);
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_regular_matrix_is_inverted() {
        // [4 1; 1 3]⁻¹ = [3 −1; −1 4]/11.
        let (form, rank) = quadratic_form(&[4.0, 1.0, 1.0, 3.0], &[1.0, 2.0]).unwrap();
        assert!((form - 15.0 / 11.0).abs() < 1e-15 && rank == 2);
    }

    #[test]
    fn what_follows_from_other_rows_adds_nothing_and_what_contradicts_them_is_told() {
        let singular = [1.0, 2.0, 2.0, 4.0];
        assert_eq!(quadratic_form(&singular, &[1.0, 2.0]), Some((1.0, 1)));
        assert_eq!(quadratic_form(&singular, &[1.0, 1.0]), None);
        assert_eq!(quadratic_form(&[0.0; 4], &[0.0; 2]), Some((0.0, 0)));
        assert_eq!(quadratic_form(&[0.0; 4], &[0.0, 1.0]), None);
    }
}
