//! Whole groups.

use super::holdout::sizes;
use super::{OP, Part};
use crate::data::Column;
use crate::data::cell::classes;
use crate::error::{Error, Result};
use crate::num::Random;

pub(super) fn grouped(
    column: &Column<'_>,
    parts: &[(Part, f64)],
    random: &Random,
) -> Result<Vec<Option<usize>>> {
    let (count, group_of) = classes(OP, column)?;
    if count < parts.len() {
        let message = format!("has {count} groups for {} parts; a group is never split", parts.len());
        return Err(Error::invalid(OP, "column", message).with("column", column.name()));
    }
    let sizes = sizes(group_of.len(), parts)?;
    let mut group_sizes = vec![0; count];
    group_of.iter().for_each(|&group| group_sizes[group] += 1);
    let part_of = deal_groups(&group_sizes, &sizes, random);
    Ok(group_of.iter().map(|&group| Some(part_of[group])).collect())
}

/// The part of each group: groups in random order, each to the part that lacks the most rows, but the last groups to parts
/// that have none yet.
pub(super) fn deal_groups(group_sizes: &[usize], sizes: &[usize], random: &Random) -> Vec<usize> {
    let mut order: Vec<usize> = (0..group_sizes.len()).collect();
    random.stream("groups").shuffle(&mut order);
    let mut part_of = vec![0; group_sizes.len()];
    let (mut filled, mut groups) = (vec![0; sizes.len()], vec![0_usize; sizes.len()]);
    for (done, &group) in order.iter().enumerate() {
        let empty = groups.iter().filter(|&&n| n == 0).count();
        let reserved = order.len() - done <= empty;
        let lacking = |part: &usize| (sizes[*part] as f64) - (filled[*part] as f64);
        let open = (0..sizes.len()).filter(|&part| !reserved || groups[part] == 0);
        // The earlier part wins a tie: `max_by` keeps the last of equals.
        let part = open.rev().max_by(|a, b| lacking(a).total_cmp(&lacking(b))).unwrap_or(0);
        part_of[group] = part;
        filled[part] += group_sizes[group];
        groups[part] += 1;
    }
    part_of
}
