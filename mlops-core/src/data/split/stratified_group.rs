//! Whole groups, with the classes spread as evenly as whole groups allow.

use std::cmp::Ordering;

use super::holdout::sizes;
use super::{OP, Part};
use crate::data::cell::{Cell, cell, classes};
use crate::data::{Column, Values};
use crate::error::{Error, Result};
use crate::num::Random;

/// The most elementary steps: groups × parts × classes.
const MAX_WORK: u128 = 2_000_000_000;

/// Classes and groups of rows, as counts.
pub(super) struct GroupedClasses {
    /// The group of each row; groups are numbered in ascending order of their values.
    pub(super) group_of: Vec<usize>,
    /// For each group, its classes with their rows.
    counts: Vec<Vec<(usize, f64)>>,
    /// The rows of each class.
    totals: Vec<f64>,
}

impl GroupedClasses {
    pub(super) fn new(
        operation: &'static str,
        class: &Column<'_>,
        group: &Column<'_>,
        parts: usize,
    ) -> Result<Self> {
        let (class_count, class_of) = ordered_classes(operation, class)?;
        let (group_count, group_of) = ordered_classes(operation, group)?;
        if group_count < parts {
            let message = format!("has {group_count} groups for {parts} parts; a group is never split");
            return Err(Error::invalid(operation, "group", message).with("column", group.name()));
        }
        let work = [group_count, parts, class_count].iter().map(|&n| n as u128).product::<u128>();
        if work > MAX_WORK {
            return Err(Error::limit(operation, "groups × parts × classes", MAX_WORK, work));
        }
        let mut pairs: Vec<(usize, usize)> = group_of.iter().copied().zip(class_of.iter().copied()).collect();
        pairs.sort_unstable();
        let mut counts = vec![Vec::new(); group_count];
        for same in pairs.chunk_by(|a, b| a == b) {
            if let Some(&(group, class)) = same.first() {
                counts[group].push((class, same.len() as f64));
            }
        }
        let mut totals = vec![0.0; class_count];
        class_of.iter().for_each(|&class| totals[class] += 1.0);
        Ok(Self { group_of, counts, totals })
    }

    pub(super) fn largest_class(&self) -> f64 {
        self.totals.iter().copied().fold(0.0, f64::max)
    }

    /// The part of each group: groups in descending order of the standard deviation of their class counts (`order` breaks
    /// ties), each to the part where the mean over the classes of the standard deviation over the parts of
    /// rows ÷ (rows of the class × share) comes out smallest; of equals, to the part with the fewest rows. With `whole`, no
    /// part stays empty.
    pub(super) fn assign(&self, shares: &[f64], mut order: Vec<usize>, whole: bool) -> Vec<usize> {
        let classes = self.totals.len();
        let spread: Vec<f64> = self.counts.iter().map(|counts| spread_of(counts, classes)).collect();
        order.sort_by(|&a, &b| spread[b].total_cmp(&spread[a]));
        let mut part_of = vec![0; self.counts.len()];
        let mut filled = vec![vec![0.0; shares.len()]; classes];
        let mut uneven = vec![0.0; classes];
        let (mut rows, mut groups) = (vec![0.0; shares.len()], vec![0_usize; shares.len()]);
        for (done, &group) in order.iter().enumerate() {
            let empty = groups.iter().filter(|&&n| n == 0).count();
            let reserved = whole && order.len() - done <= empty;
            let (mut best, mut least, mut fewest) = (0, f64::INFINITY, f64::INFINITY);
            for part in (0..shares.len()).filter(|&part| !reserved || groups[part] == 0) {
                let value = self.unevenness(&mut filled, &uneven, part, group, shares);
                let better = value < least || (is_close(value, least) && rows[part] < fewest);
                if better {
                    (best, least, fewest) = (part, value, rows[part]);
                }
            }
            for &(class, count) in &self.counts[group] {
                filled[class][best] += count;
                rows[best] += count;
                uneven[class] = self.spread_over_parts(&filled[class], class, shares);
            }
            groups[best] += 1;
            part_of[group] = best;
        }
        part_of
    }

    /// How unevenly the classes would lie if `part` had `group` too: the mean over the classes, of which most stay as they are.
    fn unevenness(
        &self,
        filled: &mut [Vec<f64>],
        uneven: &[f64],
        part: usize,
        group: usize,
        shares: &[f64],
    ) -> f64 {
        let mut changed = self.counts[group].iter().peekable();
        let mut sum = 0.0;
        for (class, as_it_is) in uneven.iter().enumerate() {
            sum += match changed.next_if(|(other, _)| *other == class) {
                Some((_, count)) => {
                    filled[class][part] += count;
                    let value = self.spread_over_parts(&filled[class], class, shares);
                    filled[class][part] -= count;
                    value
                }
                None => *as_it_is,
            };
        }
        sum / uneven.len() as f64
    }

    /// The standard deviation over the parts of the rows of a class in them, as shares of the class and of the part.
    fn spread_over_parts(&self, filled: &[f64], class: usize, shares: &[f64]) -> f64 {
        let share = |part: usize| filled[part] / self.totals[class] / shares[part];
        let mean = (0..shares.len()).map(share).sum::<f64>() / shares.len() as f64;
        let squares = (0..shares.len()).map(|part| (share(part) - mean).powi(2)).sum::<f64>();
        (squares / shares.len() as f64).sqrt()
    }
}

/// The standard deviation of class counts of which most are 0.
fn spread_of(counts: &[(usize, f64)], classes: usize) -> f64 {
    let n = classes as f64;
    let mean = counts.iter().map(|(_, count)| count).sum::<f64>() / n;
    let others = (classes - counts.len()) as f64 * mean * mean;
    let squares = counts.iter().map(|(_, count)| (count - mean).powi(2)).sum::<f64>();
    ((squares + others) / n).sqrt()
}

/// NumPy's `isclose` with its default tolerances.
fn is_close(a: f64, b: f64) -> bool {
    b.is_finite() && (a - b).abs() <= 1e-8 + 1e-5 * b.abs()
}

/// The classes of a column numbered in ascending order of their values, texts by their bytes.
pub(super) fn ordered_classes(operation: &'static str, column: &Column<'_>) -> Result<(usize, Vec<usize>)> {
    let (count, class_of) = classes(operation, column)?;
    let mut first = vec![usize::MAX; count];
    for (row, &class) in class_of.iter().enumerate().rev() {
        first[class] = row;
    }
    let mut order: Vec<usize> = (0..count).collect();
    order.sort_by(|&a, &b| compare(column, first[a], first[b]));
    let mut place = vec![0; count];
    order.iter().enumerate().for_each(|(at, &class)| place[class] = at);
    Ok((count, class_of.into_iter().map(|class| place[class]).collect()))
}

/// The order of two values that are neither missing nor NaN.
fn compare(column: &Column<'_>, a: usize, b: usize) -> Ordering {
    match (cell(column, a), cell(column, b), column.values()) {
        (Cell::Text(a), Cell::Text(b), _) => a.cmp(b),
        (_, _, Values::F64(v)) => v[a].total_cmp(&v[b]),
        (_, _, Values::F32(v)) => v[a].total_cmp(&v[b]),
        (_, _, Values::I64(v) | Values::Time(v)) => v[a].cmp(&v[b]),
        (_, _, Values::Bool(v)) => v[a].cmp(&v[b]),
        _ => Ordering::Equal,
    }
}

/// As [`GroupedClasses::assign`], with groups of equal spread in random order.
pub(super) fn stratified_group(
    class: &Column<'_>,
    group: &Column<'_>,
    parts: &[(Part, f64)],
    random: &Random,
) -> Result<Vec<Option<usize>>> {
    let grouped = GroupedClasses::new(OP, class, group, parts.len())?;
    sizes(grouped.group_of.len(), parts)?;
    let mut order: Vec<usize> = (0..grouped.counts.len()).collect();
    random.stream("groups").shuffle(&mut order);
    let shares: Vec<f64> = parts.iter().map(|(_, share)| *share).collect();
    let part_of = grouped.assign(&shares, order, true);
    Ok(grouped.group_of.iter().map(|&group| Some(part_of[group])).collect())
}
