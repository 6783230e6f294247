//! Isotonic regression: the non-decreasing function nearest to the data.

use mlops_core::num::{StatsError, ranks};
use serde::{Deserialize, Serialize};

/// A non-decreasing function fitted by least squares: pool adjacent violators, straight lines between the pools, constant
/// beyond the data.
///
/// Rows of equal x are one point with their mean. Agrees with scikit-learn's `IsotonicRegression(out_of_bounds="clip")` to 1e-12.
/// Fit O(n log n), apply O(log n). Source: Ayer, Brunk, Ewing, Reid, Silverman, "An empirical distribution function for sampling
/// with incomplete information" (Annals of Mathematical Statistics 26, 1955).
///
/// ```
/// use mlops_drift::performance::Isotonic;
///
/// let curve = Isotonic::fit(&[0.1, 0.2, 0.3, 0.4], &[0.0, 1.0, 0.0, 1.0])?;
/// assert_eq!(curve.apply(0.25)?, 0.5); // the two in the middle were pooled
/// assert_eq!(curve.apply(0.9)?, 1.0);
/// # Ok::<(), mlops_core::num::StatsError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Points", into = "Points")]
pub struct Isotonic {
    points: Points,
}

/// The corners of the function.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Points {
    /// Strictly ascending, finite.
    x: Vec<f64>,
    /// Not descending, finite.
    y: Vec<f64>,
}

/// Neighbouring points with their common mean.
struct Pool {
    from: f64,
    to: f64,
    sum: f64,
    weight: f64,
}

impl Pool {
    fn mean(&self) -> f64 {
        self.sum / self.weight
    }
}

impl Isotonic {
    /// Fits it to points in any order.
    ///
    /// # Errors
    /// [`StatsError::Empty`], [`StatsError::LengthMismatch`], [`StatsError::Nan`], [`StatsError::NotFinite`]; [`StatsError::Overflow`] when
    /// values of `y` add up to no finite number.
    pub fn fit(x: &[f64], y: &[f64]) -> Result<Self, StatsError> {
        super::check::same_length("x", x.len(), "y", y.len())?;
        super::check::finite("x", x)?;
        super::check::finite("y", y)?;
        let mut pairs: Vec<(f64, f64)> = x.iter().copied().zip(y.iter().copied()).collect();
        ranks::sort_pairs(&mut pairs);
        let points = corners(&pool(&pairs));
        if points.y.iter().any(|y| !y.is_finite()) {
            return Err(StatsError::Overflow { what: "the sum of `y`" });
        }
        Ok(Self { points })
    }

    /// Its value at `x`.
    ///
    /// # Errors
    /// [`StatsError::Nan`].
    pub fn apply(&self, x: f64) -> Result<f64, StatsError> {
        if x.is_nan() {
            return Err(StatsError::Nan { argument: "x", index: 0 });
        }
        Ok(self.at(x))
    }

    /// Its value at a number.
    pub(super) fn at(&self, x: f64) -> f64 {
        let Points { x: xs, y: ys } = &self.points;
        let above = xs.partition_point(|&corner| corner <= x);
        let y = |index: usize| ys.get(index).copied().unwrap_or(0.0);
        let (Some(below), Some(&right)) = (above.checked_sub(1), xs.get(above)) else {
            return y(above.min(ys.len()).saturating_sub(usize::from(above > 0)));
        };
        let left = xs.get(below).copied().unwrap_or(right);
        let (low, high) = (y(below), y(above));
        // Between corners, and never outside them by rounding.
        let t = if (right - left).is_finite() {
            (x - left) / (right - left)
        } else {
            (x / 2.0 - left / 2.0) / (right / 2.0 - left / 2.0)
        };
        (low * (1.0 - t) + high * t).clamp(low, high)
    }
}

/// Pools of sorted points whose means ascend strictly.
fn pool(pairs: &[(f64, f64)]) -> Vec<Pool> {
    let mut points: Vec<Pool> = Vec::new();
    for &(x, y) in pairs {
        match points.last_mut() {
            Some(last) if last.to == x => {
                last.sum += y;
                last.weight += 1.0;
            }
            _ => points.push(Pool { from: x, to: x, sum: y, weight: 1.0 }),
        }
    }
    let mut pools: Vec<Pool> = Vec::new();
    for mut next in points {
        while let Some(last) = pools.pop_if(|last| last.mean() >= next.mean()) {
            next = Pool {
                from: last.from,
                to: next.to,
                sum: last.sum + next.sum,
                weight: last.weight + next.weight,
            };
        }
        pools.push(next);
    }
    pools
}

/// The first and the last point of every pool.
fn corners(pools: &[Pool]) -> Points {
    let mut points = Points { x: Vec::new(), y: Vec::new() };
    for pool in pools {
        points.x.push(pool.from);
        points.y.push(pool.mean());
        if pool.to > pool.from {
            points.x.push(pool.to);
            points.y.push(pool.mean());
        }
    }
    points
}

impl TryFrom<Points> for Isotonic {
    type Error = String;

    fn try_from(points: Points) -> Result<Self, String> {
        let finite = points.x.iter().chain(&points.y).all(|value| value.is_finite());
        if points.x.is_empty() || points.x.len() != points.y.len() || !finite {
            return Err("an isotonic function needs as many finite y as x, at least one".to_owned());
        }
        if !points.x.is_sorted_by(|a, b| a < b) || !points.y.is_sorted() {
            return Err("an isotonic function needs ascending x and y".to_owned());
        }
        Ok(Self { points })
    }
}

impl From<Isotonic> for Points {
    fn from(isotonic: Isotonic) -> Self {
        isotonic.points
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_value_is_constant_beyond_the_data_and_exact_at_its_corners() {
        let curve = Isotonic::fit(&[1.0, 2.0, 2.0, 4.0], &[0.0, 2.0, 4.0, 5.0]).unwrap();
        for (x, y) in
            [(-1e300, 0.0), (1.0, 0.0), (1.5, 1.5), (2.0, 3.0), (3.0, 4.0), (4.0, 5.0), (f64::INFINITY, 5.0)]
        {
            assert_eq!(curve.at(x), y, "{x}");
        }
        let wide = Isotonic::fit(&[-1e308, 1e308], &[-1e308, 1e308]).unwrap();
        assert_eq!([-1e308, 0.0, 1e308].map(|x| wide.at(x)), [-1e308, 0.0, 1e308]);
        let narrow = Isotonic::fit(&[0.0, 5e-324], &[0.0, 1.0]).unwrap();
        assert_eq!([0.0, 5e-324].map(|x| narrow.at(x)), [0.0, 1.0]);
        assert!(matches!(Isotonic::fit(&[1.0, 1.0], &[1e308, 1e308]), Err(StatsError::Overflow { .. })));
        let constant = Isotonic::fit(&[1.0, 2.0], &[1.0, 0.0]).unwrap();
        assert_eq!([0.0, 1.5, 9.0].map(|x| constant.at(x)), [0.5; 3]);
        let single = Isotonic::fit(&[1.0], &[0.25]).unwrap();
        assert_eq!([0.0, 1.0, 9.0].map(|x| single.at(x)), [0.25; 3]);
    }

    #[test]
    fn what_is_not_a_function_is_not_read() {
        for text in [
            r#"{"x":[],"y":[]}"#,
            r#"{"x":[1.0],"y":[1.0,2.0]}"#,
            r#"{"x":[1.0,1.0],"y":[1.0,2.0]}"#,
            r#"{"x":[1.0,2.0],"y":[2.0,1.0]}"#,
        ] {
            assert!(serde_json::from_str::<Isotonic>(text).is_err(), "{text}");
        }
    }
}
