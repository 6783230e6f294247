//! Champion and challenger on the same rows: is there a difference, how large may it be, and is it good enough?
//!
//! The first argument is the champion, the second the challenger, and a difference is always second minus first. What is
//! undefined is typed ([`Measured`]), p-values come with their logarithm, and everything that draws takes a seed and gives the same
//! bits on any number of threads.
//!
//! | to compare | function | law |
//! |---|---|---|
//! | any metric, against a margin, by the test that fits it | [`paired()`] | |
//! | areas under ROC curves, two or more | [`Delong`] | DeLong, normal and χ² |
//! | two shares of the same rows | [`mcnemar()`], [`tango`], [`newcombe_paired`] | exact, mid-p, χ², score |
//! | a metric of labels | [`permutation_cells`], [`bootstrap_cells`] | exact or drawn, from eight counts |
//! | two areas without DeLong's normal law | [`bootstrap_auc`] | resampling |
//! | any metric at all | [`permutation()`], [`bootstrap_rows`] | resampling |
//! | mean losses | [`paired_t`], [`sign_flip`], [`wilcoxon()`], [`sign_test`] | t, exact, signed ranks |
//! | splits of a cross-validation | [`corrected_resampled`], [`five_by_two_f`], [`five_by_two_t`] | corrected t and F |
//! | more than two models | [`cochran_q`], [`friedman`], [`Delong::all_equal`] | χ², F, post hoc |
//! | a difference with a margin | [`superiority`], [`non_inferiority`], [`equivalence()`] | of any [`Difference`] |
//! | a plan | [`rows_for_difference`], [`paired_proportion_rows`], [`auc_rows`], … | |
//!
//! Many metrics at once: all of them must pass, so that no correction is needed, is [`intersection_union`]; any of them may be
//! reported, so that one is, is [`mlops_core::num::multiple`].
//!
//! ```
//! use mlops_eval::compare::{Alternative, Delong, Verdict, non_inferiority, rows_for_difference};
//!
//! let y_true: Vec<bool> = (0..300).map(|i| i % 3 == 0).collect();
//! let score = |i: usize, noise: usize| f64::from(u8::from(y_true[i])) + ((i * noise) % 97) as f64 / 40.0;
//! let champion: Vec<f64> = (0..300).map(|i| score(i, 31)).collect();
//! let challenger: Vec<f64> = (0..300).map(|i| score(i, 57)).collect();
//!
//! let areas = Delong::of(&y_true, &[&champion, &challenger])?;
//! let test = areas.compare(0, 1, Alternative::TwoSided, 0.95)?;
//! println!("{} (p = {})", test.difference, test.p);
//!
//! // Not worse by 0.1 or more?
//! let difference = areas.difference(0, 1)?;
//! assert_eq!(non_inferiority(&difference, 0.1, 0.05)?.verdict, Verdict::Shown);
//!
//! // How many rows would tell a margin of 0.01, if the models are alike?
//! let error = difference.standard_error.value().ok_or("both classes have rows")?;
//! let rows = rows_for_difference(error * error * 300.0, 0.01, 0.05, 0.8, Alternative::Greater)?;
//! assert!(rows.is_some_and(|rows| rows > 1_000));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod auc_bootstrap;
mod bootstrap;
mod counts;
mod cross_validation;
mod delong;
mod differences;
mod equivalence;
mod linear;
mod mcnemar;
mod order;
mod paired;
mod permutation;
mod result;
mod sample_size;
mod several;
mod wilcoxon;

pub use crate::interval::BootstrapInterval;
pub use auc_bootstrap::bootstrap_auc;
pub use bootstrap::{
    Bootstrap, BootstrapOptions, Resampling, bootstrap_cells, bootstrap_cells_of, bootstrap_rows,
};
pub use counts::{PairedCells, PairedCounts};
pub use cross_validation::{corrected_resampled, five_by_two_f, five_by_two_t};
pub use delong::Delong;
pub use differences::{DrawOptions, SignFlips, differences, mean_difference, paired_t, sign_flip, sign_test};
pub use equivalence::{
    Difference, Judgement, Verdict, Wald, equivalence, intersection_union, non_inferiority, superiority,
};
pub use mcnemar::{McnemarKind, mcnemar, mcnemar_with, newcombe_paired, tango};
pub use paired::{LossTest, PairedComparison, PairedOptions, PairedTest, paired, paired_difference};
pub(crate) use paired::{row_losses, share_of_classes};
pub use permutation::{permutation, permutation_cells, permutation_cells_of};
pub(crate) use result::normal_at;
pub use result::{Alternative, Method, TestResult};
pub use sample_size::{
    auc_difference_rows, auc_rows, hanley_mcneil_variance, paired_proportion_power, paired_proportion_rows,
    paired_t_power, paired_t_rows, proportion_power, proportion_rows, rows_for_difference,
    two_proportion_rows,
};
pub use several::{Friedman, PairOfModels, cochran_q, friedman};
pub use wilcoxon::{WilcoxonLaw, WilcoxonOptions, ZeroMethod, wilcoxon, wilcoxon_with};

use mlops_core::num::Measured;

/// Second minus first, or the reason why one of them is undefined.
fn difference_of(first: Measured, second: Measured) -> Measured {
    match (first, second) {
        (Measured::Value(first), Measured::Value(second)) => Measured::Value(second - first),
        (none @ Measured::Undefined(_), _) | (_, none) => none,
    }
}
