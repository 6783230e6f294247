//! Folds that share the rows among them: each row is in one test.

use std::num::NonZeroU64;

use super::cross_validation::OP;
use super::hash::{BUCKETS, buckets};
use super::stratified_group::{GroupedClasses, ordered_classes};
use crate::data::cell::classes;
use crate::data::{Column, Table, Values};
use crate::error::{Error, Result, quote};
use crate::num::Random;

/// The fold of each row: consecutive rows, the first folds one row larger; with a seed, of rows in random order.
pub(super) fn plain(rows: usize, folds: usize, random: Option<&Random>) -> Vec<usize> {
    let mut order: Vec<usize> = (0..rows).collect();
    if let Some(random) = random {
        random.stream("rows").shuffle(&mut order);
    }
    let of_place = (0..folds).flat_map(|fold| {
        let size = rows / folds + usize::from(fold < rows % folds);
        std::iter::repeat_n(fold, size)
    });
    let mut fold_of = vec![0; rows];
    order.into_iter().zip(of_place).for_each(|(row, fold)| fold_of[row] = fold);
    fold_of
}

/// The fold of each row, with each class spread evenly: scikit-learn's `StratifiedKFold`. Rows sorted by class are dealt to the
/// folds in turn, which says how many rows of each class a fold has; those rows are then taken from the class in order.
pub(super) fn stratified(column: &Column<'_>, folds: usize, random: Option<&Random>) -> Result<Vec<usize>> {
    let (count, class_of) = classes(OP, column)?;
    check_classes(column, count, &class_of, folds)?;
    let mut sizes = vec![0_usize; count];
    class_of.iter().for_each(|&class| sizes[class] += 1);
    let mut of_class: Vec<Vec<usize>> = Vec::with_capacity(count);
    let mut start = 0;
    for (class, size) in sizes.into_iter().enumerate() {
        let mut allocation = vec![0_usize; folds];
        (start..start + size).for_each(|place| allocation[place % folds] += 1);
        start += size;
        let mut list: Vec<usize> =
            allocation.iter().enumerate().flat_map(|(fold, &n)| std::iter::repeat_n(fold, n)).collect();
        if let Some(random) = random {
            random.stream("class").nth(class as u64).shuffle(&mut list);
        }
        list.reverse();
        of_class.push(list);
    }
    Ok(class_of.into_iter().map(|class| of_class[class].pop().unwrap_or(0)).collect())
}

/// That some class has a row for every fold, as scikit-learn demands.
fn check_classes(column: &Column<'_>, count: usize, class_of: &[usize], folds: usize) -> Result<()> {
    let mut sizes = vec![0_usize; count];
    class_of.iter().for_each(|&class| sizes[class] += 1);
    match sizes.iter().max() {
        Some(&largest) if largest >= folds => Ok(()),
        largest => {
            let message =
                format!("is {folds}, but no class has more than {} rows", largest.copied().unwrap_or(0));
            Err(Error::invalid(OP, "folds", message).with("column", column.name()))
        }
    }
}

/// The fold of each row with whole groups: scikit-learn's `GroupKFold`. The largest group first (of equals the one with the
/// largest value), each to the fold with the fewest rows; with a seed, groups in random order instead.
pub(super) fn grouped(column: &Column<'_>, folds: usize, random: Option<&Random>) -> Result<Vec<usize>> {
    let (count, group_of) = ordered_classes(OP, column)?;
    if count < folds {
        let message = format!("is {folds}, but there are {count} groups; a group is never split");
        return Err(Error::invalid(OP, "folds", message).with("column", column.name()));
    }
    let mut sizes = vec![0_usize; count];
    group_of.iter().for_each(|&group| sizes[group] += 1);
    let mut order: Vec<usize> = (0..count).collect();
    match random {
        Some(random) => random.stream("groups").shuffle(&mut order),
        None => {
            order.sort_by_key(|&group| sizes[group]);
            order.reverse();
        }
    }
    let mut lightest: std::collections::BTreeSet<(usize, usize)> = (0..folds).map(|fold| (0, fold)).collect();
    let mut fold_of = vec![0; count];
    for group in order {
        let Some((rows, fold)) = lightest.pop_first() else { continue };
        fold_of[group] = fold;
        lightest.insert((rows + sizes[group], fold));
    }
    Ok(group_of.into_iter().map(|group| fold_of[group]).collect())
}

/// The fold of each row with whole groups and classes as even as they allow: scikit-learn's `StratifiedGroupKFold`.
pub(super) fn stratified_group(
    class: &Column<'_>,
    group: &Column<'_>,
    folds: usize,
    random: Option<&Random>,
) -> Result<Vec<usize>> {
    let grouped = GroupedClasses::new(OP, class, group, folds)?;
    if grouped.largest_class() < folds as f64 {
        let message = format!("is {folds}, but no class has more than {} rows", grouped.largest_class());
        return Err(Error::invalid(OP, "folds", message).with("column", class.name()));
    }
    let count = grouped.group_of.iter().max().map_or(0, |last| last + 1);
    let mut order: Vec<usize> = (0..count).collect();
    if let Some(random) = random {
        random.stream("groups").shuffle(&mut order);
    }
    let fold_of = grouped.assign(&vec![1.0; folds], order, false);
    Ok(grouped.group_of.iter().map(|&group| fold_of[group]).collect())
}

/// The fold of each row by the hash of its key.
pub(super) fn hashed(column: &Column<'_>, salt: &str, folds: usize) -> Result<Vec<usize>> {
    let fold_of = |bucket: u32| u64::from(bucket) * folds as u64 / u64::from(BUCKETS);
    let buckets = buckets(OP, column, salt)?;
    Ok(buckets.into_iter().map(|bucket| usize::try_from(fold_of(bucket)).unwrap_or(0)).collect())
}

/// The fold of each row as a column of whole numbers says it, in ascending order of the numbers; −1 is in no test.
pub(super) fn predefined(table: &Table<'_>, name: &str) -> Result<Vec<Option<usize>>> {
    let column = table.column(name)?;
    let Values::I64(values) = column.values() else {
        let message = "must hold whole numbers: the fold of each row, or -1 for a row in no test";
        return Err(Error::invalid(OP, "column", message).with("column", name));
    };
    if let Some(row) = (0..column.len()).find(|&row| !column.is_valid(row) || values[row] < -1) {
        let message = format!("column `{}`, row {}: must be a fold from 0 on, or -1", quote(name), row + 1);
        return Err(Error::invalid(OP, "column", message).with("column", name).with("row", row + 1));
    }
    let mut numbers: Vec<i64> = values.iter().copied().filter(|fold| *fold >= 0).collect();
    numbers.sort_unstable();
    numbers.dedup();
    Ok(values.iter().map(|fold| numbers.binary_search(fold).ok()).collect())
}

/// A seed of its own for each repeat.
pub(super) fn of_repeat(seed: u64, repeat: usize) -> Random {
    let root = Random::new(seed);
    match NonZeroU64::new(repeat as u64) {
        None => root,
        Some(repeat) => root.stream("repeat").nth(repeat.get()),
    }
}
