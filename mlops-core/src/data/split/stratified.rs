//! Each class by its share: a controlled rounding of the table class × part.

use super::Part;
use super::holdout::{deal, quotas, sizes};
use crate::data::Column;
use crate::data::cell::classes;
use crate::error::Result;
use crate::num::Random;

use super::OP;

pub(super) fn stratified(
    column: &Column<'_>,
    parts: &[(Part, f64)],
    random: &Random,
) -> Result<Vec<Option<usize>>> {
    let (count, class_of) = classes(OP, column)?;
    let sizes = sizes(class_of.len(), parts)?;
    let mut members = vec![Vec::new(); count];
    for (row, &class) in class_of.iter().enumerate() {
        members[class].push(row);
    }
    let counts =
        controlled_rounding(&members.iter().map(Vec::len).collect::<Vec<_>>(), parts, &sizes, random);
    let mut chosen = vec![None; class_of.len()];
    for (class, rows) in members.iter_mut().enumerate() {
        random.stream("class").nth(class as u64).shuffle(rows);
        deal(&mut chosen, rows, &counts[class]);
    }
    Ok(chosen)
}

/// How many rows of each class each part gets: the whole part of its quota or one more, with the sizes of classes and of
/// parts both met exactly.
///
/// After the whole parts, class `c` has `d ∈ {0, 1, 2}` rows left for as many different parts, and part `p` lacks a number
/// of rows. Each class takes the parts where its own remainders are largest, as long as the rest can still be completed.
/// With at most three parts that is so exactly while no part lacks more rows than there are classes left to give (Gale
/// and Ryser's condition), and at the start it holds because the remainders themselves are a fractional solution.
fn controlled_rounding(
    class_sizes: &[usize],
    parts: &[(Part, f64)],
    sizes: &[usize],
    random: &Random,
) -> Vec<Vec<usize>> {
    let (mut counts, remainders): (Vec<Vec<usize>>, Vec<Vec<f64>>) =
        class_sizes.iter().map(|&size| quotas(size, parts)).unzip();
    let mut lacks: Vec<usize> = (0..parts.len())
        .map(|part| sizes[part].saturating_sub(counts.iter().map(|c| c[part]).sum()))
        .collect();
    let left = |class: usize, counts: &[Vec<usize>]| {
        class_sizes[class].saturating_sub(counts[class].iter().sum::<usize>())
    };
    let mut open: Vec<usize> = (0..class_sizes.len()).filter(|&class| left(class, &counts) > 0).collect();
    random.stream("remainders").shuffle(&mut open);
    let largest = |class: &usize| remainders[*class].iter().copied().fold(0.0, f64::max);
    open.sort_by(|a, b| largest(b).total_cmp(&largest(a)));
    for (done, &class) in open.iter().enumerate() {
        let still_open = open.len() - done - 1;
        for part in best_parts(left(class, &counts), &remainders[class], &lacks, still_open) {
            counts[class][part] += 1;
            lacks[part] = lacks[part].saturating_sub(1);
        }
    }
    counts
}

/// Which `take` different parts a class gives its left-over rows to: of those choices after which the remaining
/// `still_open` classes can fill what is lacking, the one with the largest remainders.
fn best_parts(take: usize, remainders: &[f64], lacks: &[usize], still_open: usize) -> Vec<usize> {
    let parts = lacks.len();
    let choices = (0_u32..1 << parts).filter(|set| set.count_ones() as usize == take);
    let members = |set: u32| (0..parts).filter(move |part| set >> part & 1 == 1);
    let completes = |set: &u32| {
        members(*set).all(|part| lacks[part] > 0)
            && (0..parts).all(|part| lacks[part] - usize::from(set >> part & 1 == 1) <= still_open)
    };
    let weight = |set: u32| members(set).map(|part| remainders[part]).sum::<f64>();
    let best = choices.filter(completes).max_by(|&a, &b| weight(a).total_cmp(&weight(b)).then(b.cmp(&a)));
    // By the argument above there is always one; without it a row must not get lost.
    members(best.unwrap_or((1 << take.min(parts)) - 1)).collect()
}
