//! The paired bootstrap of the difference of two areas under ROC curves: one sort, then one pass over the rows a resample.

use mlops_core::num::parallel::Threads;
use mlops_core::num::sample::Draws;
use mlops_core::num::{Measured, StatsError};

use super::bootstrap::{Bootstrap, BootstrapOptions, acceleration, resample};
use super::delong::{Delong, HalfWins};
use super::order::{Order, Part, sorted};

/// The paired bootstrap of the area of `second` minus that of `first`.
///
/// Scores are sorted once. A resample draws how often each row counts and walks both orders, adding up pairs in integers; ties
/// count one half. The acceleration is the jackknife, from DeLong's components. Resamples that lack a class are counted and left
/// out. O(n) a resample; [`Delong`] answers the same question without resampling and is the default of
/// [`paired`](super::paired()).
///
/// ```
/// use mlops_eval::compare::{BootstrapOptions, bootstrap_auc};
///
/// let y_true = [true, true, true, false, false, false, true, false];
/// let first = [0.9, 0.4, 0.6, 0.5, 0.2, 0.3, 0.7, 0.8];
/// let second = [0.8, 0.7, 0.3, 0.6, 0.4, 0.1, 0.9, 0.2];
/// let bootstrap = bootstrap_auc(&y_true, &first, &second, &BootstrapOptions::default())?;
/// assert_eq!(bootstrap.difference().value(), Some(14.0 / 16.0 - 12.0 / 16.0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Those of [`Delong::of`], and [`StatsError::Parameter`] for resamples outside 1 to 10⁷.
pub fn bootstrap_auc(
    y_true: &[bool],
    first: &[f64],
    second: &[f64],
    options: &BootstrapOptions,
) -> Result<Bootstrap, StatsError> {
    options.check()?;
    let areas = Delong::of_with(y_true, &[first, second], options.threads)?;
    let orders = [first, second].map(|scores| sorted(y_true, scores, options.threads));
    let influences = influences(y_true, &areas, &orders, options.threads);
    let [one, two] = walks(y_true.len(), orders);
    let root = options.root();
    let rows = y_true.len();
    let drawn = resample(options, |i| {
        let mut counts = vec![0_u8; rows];
        options.resampling.count_rows(&mut Draws::new(root.nth(i)), &mut counts);
        let (a, classes) = one.area(&counts);
        let (b, _) = two.area(&counts);
        let pairs = classes[0] as f64 * classes[1] as f64;
        (pairs > 0.0).then(|| (b as f64 - a as f64) / (2.0 * pairs))
    });
    let sides = [areas.auc(0)?, areas.auc(1)?];
    Ok(Bootstrap::new(sides, drawn, influences, options.interval, rows as u64))
}

/// The jackknife's acceleration: leaving out positive i changes the difference by (V10ᵢ − D)/(m − 1).
fn influences(y_true: &[bool], areas: &Delong, orders: &[Order; 2], threads: Threads) -> Option<f64> {
    let (Ok(Measured::Value(a)), Ok(Measured::Value(b))) = (areas.auc(0), areas.auc(1)) else { return None };
    let [first, second] = [0, 1].map(|model| HalfWins::of(&orders[model], threads));
    let sizes = [areas.negatives() as f64, areas.positives() as f64];
    let rows = y_true.iter().zip(first.iter()).zip(second.iter()).map(|((&label, a_wins), b_wins)| {
        let (own, other) = (sizes[usize::from(label)], sizes[usize::from(!label)]);
        let component = (f64::from(b_wins) - f64::from(a_wins)) / (2.0 * other);
        ((component - (b - a)) / (own - 1.0), 1.0)
    });
    acceleration(rows)
}

/// A walk over the rows in the order of one model's scores, negatives first among equals.
struct Walk {
    /// Where in the counts each row is; `None` when the walk follows the counts themselves.
    places: Option<Vec<u32>>,
    /// 255 for positives, 0 for negatives.
    positive: Vec<u8>,
    /// Groups of equal scores with both classes: begin, first positive, end.
    mixed: Vec<(u32, u32, u32)>,
}

/// Walks for both models. Counts are laid out in the order of the first, so that its walk reads them one after the other.
fn walks(rows: usize, [first, second]: [Order; 2]) -> [Walk; 2] {
    let [(first, first_mixed), (second, second_mixed)] = [first, second].map(negatives_first);
    let mut place = vec![0_u32; rows];
    for (position, entry) in (0..).zip(&first) {
        place[(entry >> 1) as usize] = position;
    }
    let labels = |entries: &[u64]| entries.iter().map(|entry| if entry & 1 == 1 { 255 } else { 0 }).collect();
    [
        Walk { places: None, positive: labels(&first), mixed: first_mixed },
        Walk {
            positive: labels(&second),
            places: Some(second.iter().map(|entry| place[(entry >> 1) as usize]).collect()),
            mixed: second_mixed,
        },
    ]
}

fn negatives_first(order: Order) -> (Vec<u64>, Vec<(u32, u32, u32)>) {
    let Part { mut entries, ties } = order.into_whole();
    let mut mixed = Vec::new();
    for (start, end) in ties {
        let group = &mut entries[start as usize..end as usize];
        group.sort_by_key(|entry| entry & 1);
        let negatives = group.partition_point(|entry| entry & 1 == 0) as u32;
        if negatives > 0 && start + negatives < end {
            mixed.push((start, start + negatives, end));
        }
    }
    (entries, mixed)
}

impl Walk {
    /// Twice the pairs that positives win, and how many negatives and positives were drawn.
    fn area(&self, counts: &[u8]) -> (u64, [u64; 2]) {
        let (won, negatives, positives) = match &self.places {
            None => walk(counts.iter().copied(), &self.positive),
            Some(places) => walk(places.iter().map(|place| counts[*place as usize]), &self.positive),
        };
        let at = |i: u32| match &self.places {
            None => u64::from(counts[i as usize]),
            Some(places) => u64::from(counts[places[i as usize] as usize]),
        };
        let tied: u64 = self
            .mixed
            .iter()
            .map(|&(start, split, end)| {
                (start..split).map(at).sum::<u64>() * (split..end).map(at).sum::<u64>()
            })
            .sum();
        (2 * won - tied, [negatives, positives])
    }
}

/// Pairs won with ties as wins, negatives and positives. Without a branch: a mask tells the classes apart.
fn walk(counts: impl Iterator<Item = u8>, positive: &[u8]) -> (u64, u64, u64) {
    let (mut won, mut below, mut total) = (0_u64, 0_u64, 0_u64);
    for (count, mask) in counts.zip(positive) {
        let of_positive = u64::from(count & mask);
        below += u64::from(count & !mask);
        won += of_positive * below;
        total += of_positive;
    }
    (won, below, total)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classification::roc_auc_weighted;
    use crate::compare::Resampling;
    use mlops_core::num::Random;

    fn rows(n: u64, levels: f64) -> (Vec<bool>, Vec<f64>, Vec<f64>) {
        let mut random = Random::new(99);
        let noise: Vec<f64> = (0..3 * n).map(|_| random.next_f64()).collect();
        let noise = |i: u64| noise[i as usize];
        let truth: Vec<bool> = (0..n).map(|i| noise(3 * i) < 0.3).collect();
        let score = |i: u64, s: u64| {
            ((noise(3 * i + s) + 0.4 * f64::from(u8::from(truth[i as usize]))) * levels).floor()
        };
        let (a, b) = ((0..n).map(|i| score(i, 1)).collect(), (0..n).map(|i| score(i, 2)).collect());
        (truth, a, b)
    }

    #[test]
    fn a_walk_with_counts_is_the_weighted_area() {
        for levels in [5.0, 1e9] {
            let (y, a, b) = rows(700, levels);
            let [one, two] = walks(700, [sorted(&y, &a, Threads::ONE), sorted(&y, &b, Threads::ONE)]);
            let mut counts = vec![0_u8; 700];
            Draws::new(Random::new(4)).poisson_ones(&mut counts);
            let order = negatives_first(sorted(&y, &a, Threads::ONE)).0;
            let mut weights = vec![0.0; 700];
            order
                .iter()
                .zip(&counts)
                .for_each(|(entry, count)| weights[(entry >> 1) as usize] = f64::from(*count));
            for (walk, scores) in [(&one, &a), (&two, &b)] {
                let (won, [negatives, positives]) = walk.area(&counts);
                let area = won as f64 / (2 * negatives * positives) as f64;
                let expected = roc_auc_weighted(&y, scores, &weights).unwrap().value().unwrap();
                assert!((area - expected).abs() < 1e-12, "{levels}: {area} {expected}");
            }
        }
    }

    #[test]
    fn resamples_scatter_as_delong_says_and_do_not_depend_on_threads() {
        let (y, a, b) = rows(2000, 40.0);
        let delong =
            Delong::of(&y, &[&a, &b]).unwrap().difference_variance(0, 1).unwrap().value().unwrap().sqrt();
        for resampling in [Resampling::Poisson, Resampling::Multinomial] {
            let options = BootstrapOptions::default().with_resamples(1000).with_resampling(resampling);
            let bootstrap = bootstrap_auc(&y, &a, &b, &options).unwrap();
            assert_eq!(bootstrap, bootstrap_auc(&y, &a, &b, &options.with_threads(Threads::new(2))).unwrap());
            let error = bootstrap.standard_error().value().unwrap();
            // The standard deviation of 1 000 draws is known to 2.2 %.
            assert!((error / delong - 1.0).abs() < 0.1, "{error} {delong}");
        }
    }
}
