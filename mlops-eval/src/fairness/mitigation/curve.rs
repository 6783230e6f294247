//! The best that mixing two rules of a group can reach, as a function of the rate that is to be equal.

use super::operating::{Operation, Point};

/// Two rules drawn with these chances.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mixture {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) share: f64,
    pub(super) first: Operation,
    pub(super) second: Operation,
}

/// The upper convex hull of the points, by Andrew's monotone chain; of points in one place the last remains.
fn hull(mut points: Vec<Point>) -> Vec<Point> {
    // Rates of non-empty groups: no NaN among them.
    points.sort_by(|a, b| a.x.total_cmp(&b.x).then(a.y.total_cmp(&b.y)));
    let mut chain: Vec<Point> = Vec::with_capacity(points.len());
    for point in points {
        while let [.., a, b] = chain[..] {
            if (b.y - a.y) * (point.x - a.x) > (point.y - a.y) * (b.x - a.x) {
                break;
            }
            chain.pop();
        }
        chain.push(point);
    }
    chain
}

/// The k-th of `grid` + 1 even steps from 0 to 1.
fn step(k: usize, grid: usize) -> f64 {
    if k == grid { 1.0 } else { k as f64 * (1.0 / grid as f64) }
}

/// The hull's height over an even grid from 0 to 1, and the mixtures that reach it. The points reach from x = 0 to x = 1:
/// selecting nobody and selecting everybody are among them.
pub(super) fn tradeoff(points: Vec<Point>, grid: usize) -> Vec<Mixture> {
    let hull = hull(points);
    let mut left = 0;
    let mixture = |k: usize| {
        let x = step(k, grid);
        // The last point at or left of x; for x > 0 the one strictly left of it, so that the second rule lies at x.
        while left + 1 < hull.len() && (hull[left + 1].x < x || (k == 0 && hull[left + 1].x <= x)) {
            left += 1;
        }
        let first = hull[left];
        let second = hull.get(left + 1).copied().unwrap_or(first);
        let width = second.x - first.x;
        let share = if width > 0.0 { (second.x - x) / width } else { 1.0 };
        let y = share * first.y + (1.0 - share) * second.y;
        Mixture { x, y, share, first: first.operation, second: second.operation }
    };
    (0..=grid).map(mixture).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fairness::mitigation::operating::Cutoff;

    fn point(x: f64, y: f64) -> Point {
        Point { x, y, operation: Operation::Above(Cutoff::At(x)) }
    }

    #[test]
    fn the_curve_lies_on_the_hull() {
        let points = [(0.0, 0.0), (0.25, 0.75), (0.5, 0.5), (0.5, 0.8), (1.0, 1.0)].map(|(x, y)| point(x, y));
        let curve = tradeoff(points.to_vec(), 8);
        assert_eq!(curve.len(), 9);
        let heights: Vec<f64> = curve.iter().map(|mixture| mixture.y).collect();
        let expected = [0.0, 0.375, 0.75, 0.75 + 0.25 / 6.0, 0.75 + 0.25 / 3.0, 0.875];
        assert!(heights.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-15), "{heights:?}");
        assert!(heights.windows(2).all(|pair| pair[0] <= pair[1]));
        assert!(curve.iter().all(|mixture| (0.0..=1.0).contains(&mixture.share)));
        assert_eq!(curve[2].second, Operation::Above(Cutoff::At(0.25)));
    }

    #[test]
    fn at_the_left_end_the_highest_point_counts() {
        let points = [(0.0, 0.0), (0.0, 0.4), (1.0, 1.0)].map(|(x, y)| point(x, y));
        assert_eq!(tradeoff(points.to_vec(), 2)[0].y, 0.4);
    }
}
