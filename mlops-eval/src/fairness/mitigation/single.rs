//! Rules without lots: one cutoff for each group, with rates that differ by no more than a tolerance.

use std::collections::VecDeque;

use super::operating::Point;
use super::randomized::{GroupRule, ThresholdRules};
use super::threshold::{ThresholdObjective, ThresholdOptions, plane, shares};
use crate::classification::ScoreState;

/// A point of one group, with what the group adds to the objective there.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    group: usize,
    x: f64,
    height: f64,
    point: Point,
}

/// For one rate: a window as wide as the tolerance moves over the points of all groups, sorted by the rate. Each group keeps
/// the points in it that are higher than all later ones, so that its best is at hand: O(points log points).
pub(super) fn parity(groups: &[ScoreState], options: &ThresholdOptions) -> ThresholdRules {
    let shares = shares(groups);
    let candidates = groups.iter().enumerate().flat_map(|(group, state)| {
        let share = shares[group];
        plane(state, options).into_iter().map(move |point| Candidate {
            group,
            x: point.x,
            height: share * point.y,
            point,
        })
    });
    let tolerance = options.tolerance.unwrap_or(0.0);
    let found = best_in_window(candidates.collect(), groups.len(), tolerance);
    rules(groups, options, &found)
}

/// For both rates: the points that a grid of false positive rates leaves (the nearest to each step, and the best at the ends), a
/// window over their false positive rates, and within it one over their true positive rates.
pub(super) fn equalized_odds(groups: &[ScoreState], options: &ThresholdOptions) -> ThresholdRules {
    let tolerance = options.tolerance.unwrap_or(0.0);
    let positives: f64 = groups.iter().map(ScoreState::positives).sum();
    let negatives: f64 = groups.iter().map(ScoreState::negatives).sum();
    let mut all = Vec::new();
    for (group, state) in groups.iter().enumerate() {
        let height = |point: &Point| match options.objective {
            ThresholdObjective::BalancedAccuracy => {
                let (t, f) = (state.positives() / positives, state.negatives() / negatives);
                0.5 * (t * point.y) + 0.5 * (f * (1.0 - point.x))
            }
            _ => {
                (state.positives() * point.y + state.negatives() * (1.0 - point.x)) / (positives + negatives)
            }
        };
        let points = thinned(plane(state, options), options.grid);
        all.extend(points.into_iter().map(|point| Candidate {
            group,
            x: point.x,
            height: height(&point),
            point,
        }));
    }
    all.sort_by(|a, b| a.x.total_cmp(&b.x));
    let mut best: Option<Found> = None;
    let mut end = 0;
    for start in 0..all.len() {
        while end < all.len() && all[end].x - all[start].x <= tolerance {
            end += 1;
        }
        // A window that another one holds altogether finds nothing new.
        if start > 0 && all[start - 1].x == all[start].x {
            continue;
        }
        let inside = all[start..end].iter().map(|candidate| Candidate { x: candidate.point.y, ..*candidate });
        if let Some(found) = best_in_window(inside.collect(), groups.len(), tolerance)
            && best.as_ref().is_none_or(|best| found.sum > best.sum)
        {
            best = Some(found);
        }
    }
    rules(groups, options, &best)
}

/// The best choice of one point per group.
struct Found {
    sum: f64,
    points: Vec<Point>,
}

fn rules(groups: &[ScoreState], options: &ThresholdOptions, found: &Option<Found>) -> ThresholdRules {
    // Selecting nobody is a point of every group, and all of these have the same rates: there is always a choice.
    let (sum, points) = found.as_ref().map_or((0.0, &[][..]), |found| (found.sum, &found.points[..]));
    debug_assert_eq!(points.len(), groups.len());
    let single = points.iter().map(|point| GroupRule::single(point.operation)).collect();
    ThresholdRules::new(options, single, points.iter().map(|point| point.x).collect(), sum)
}

/// One candidate of each group, no two further apart in x than the tolerance, whose heights add up to most. Of equal sums the
/// first found. `None` if no window holds a point of every group.
fn best_in_window(mut candidates: Vec<Candidate>, groups: usize, tolerance: f64) -> Option<Found> {
    candidates.sort_by(|a, b| a.x.total_cmp(&b.x));
    let mut queues = vec![VecDeque::<Candidate>::new(); groups];
    let mut best: Option<Found> = None;
    for (index, &candidate) in candidates.iter().enumerate() {
        let queue = &mut queues[candidate.group];
        while queue.back().is_some_and(|last| last.height <= candidate.height) {
            queue.pop_back();
        }
        queue.push_back(candidate);
        // Points of one rate enter together.
        if candidates.get(index + 1).is_some_and(|next| next.x == candidate.x) {
            continue;
        }
        for queue in &mut queues {
            while queue.front().is_some_and(|first| candidate.x - first.x > tolerance) {
                queue.pop_front();
            }
        }
        let fronts: Option<Vec<&Candidate>> = queues.iter().map(VecDeque::front).collect();
        let Some(fronts) = fronts else { continue };
        let sum = fronts.iter().map(|front| front.height).sum::<f64>();
        if best.as_ref().is_none_or(|best| sum > best.sum) {
            best = Some(Found { sum, points: fronts.iter().map(|front| front.point).collect() });
        }
    }
    best
}

/// No more points than the grid has steps: the first, the last, and the highest in each cell of the grid of x.
fn thinned(mut points: Vec<Point>, grid: usize) -> Vec<Point> {
    points.sort_by(|a, b| a.x.total_cmp(&b.x).then(b.y.total_cmp(&a.y)));
    if points.len() <= grid {
        return points;
    }
    let cell = |point: &Point| (point.x * grid as f64).round();
    let mut kept: Vec<Point> = Vec::with_capacity(grid + 2);
    for part in points.chunk_by(|a, b| cell(a) == cell(b)) {
        // Sorted by x: the last of the highest needs the largest false positive rate, the first the smallest.
        kept.extend(part.iter().copied().reduce(|best, point| if point.y > best.y { point } else { best }));
    }
    kept.extend([points.first(), points.last()].into_iter().flatten().copied());
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fairness::{ParityConstraint, ThresholdOptimizer};

    fn groups() -> Vec<ScoreState> {
        let group = |n: u32, seed: u32| {
            let y: Vec<bool> = (0..n).map(|i| (i * 7 + seed) % 5 < 2 + seed % 2).collect();
            let score = |i: u32| f64::from((i * 13 + seed * 5) % 19) + if y[i as usize] { 6.0 } else { 0.0 };
            ScoreState::of(&y, &(0..n).map(score).collect::<Vec<_>>()).unwrap()
        };
        vec![group(40, 1), group(23, 2), group(31, 3)]
    }

    /// Tries every combination of points.
    fn brute_force(groups: &[ScoreState], options: &ThresholdOptions) -> f64 {
        let odds = options.constraint == ParityConstraint::EqualizedOdds;
        let planes: Vec<Vec<Point>> = groups.iter().map(|group| plane(group, options)).collect();
        let shares = shares(groups);
        let tolerance = options.tolerance.unwrap();
        let mut best = f64::NEG_INFINITY;
        for a in &planes[0] {
            for b in &planes[1] {
                for c in &planes[2] {
                    let points = [a, b, c];
                    let range = |value: fn(&Point) -> f64| {
                        let values = points.map(value);
                        values.iter().copied().fold(f64::MIN, f64::max)
                            - values.iter().copied().fold(f64::MAX, f64::min)
                    };
                    if range(|p| p.x) > tolerance || (odds && range(|p| p.y) > tolerance) {
                        continue;
                    }
                    let objective = |(group, p): (usize, &&Point)| {
                        let (t, f) = (groups[group].positives(), groups[group].negatives());
                        shares[group] * if odds { (t * p.y + f * (1.0 - p.x)) / (t + f) } else { p.y }
                    };
                    best = best.max(points.iter().enumerate().map(objective).sum());
                }
            }
        }
        best
    }

    #[test]
    fn nothing_that_keeps_the_tolerance_is_better() {
        let groups = groups();
        for constraint in [
            ParityConstraint::SelectionRate,
            ParityConstraint::FalsePositiveRate,
            ParityConstraint::FalseNegativeRate,
            ParityConstraint::EqualizedOdds,
        ] {
            for tolerance in [0.0, 0.03, 0.1, 1.0] {
                let options = ThresholdOptions::default()
                    .with_constraint(constraint)
                    .with_tolerance(tolerance)
                    .with_deterministic(true);
                let rules = ThresholdOptimizer::fit(&groups, &options).unwrap();
                let best = brute_force(&groups, &options);
                assert!(
                    (rules.objective() - best).abs() < 1e-12,
                    "{constraint:?} {tolerance}: {} {best}",
                    rules.objective()
                );
                let mut right = 0.0;
                for (index, group) in groups.iter().enumerate() {
                    let cells = rules.expected(index, group).unwrap();
                    right += cells.true_positives() + cells.true_negatives();
                }
                let total: f64 = groups.iter().map(|g| g.positives() + g.negatives()).sum();
                assert!((right / total - rules.objective()).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn a_coarse_grid_keeps_the_tolerance_too() {
        let groups = groups();
        let options = ThresholdOptions::default()
            .with_constraint(ParityConstraint::EqualizedOdds)
            .with_grid(5)
            .with_tolerance(0.2)
            .with_deterministic(true);
        let rules = ThresholdOptimizer::fit(&groups, &options).unwrap();
        let rates: Vec<(f64, f64)> = groups
            .iter()
            .enumerate()
            .map(|(index, group)| {
                let cells = rules.expected(index, group).unwrap();
                (cells.true_positives() / group.positives(), cells.false_positives() / group.negatives())
            })
            .collect();
        for a in &rates {
            for b in &rates {
                assert!((a.0 - b.0).abs() <= 0.2 + 1e-12 && (a.1 - b.1).abs() <= 0.2 + 1e-12, "{rates:?}");
            }
        }
    }
}
