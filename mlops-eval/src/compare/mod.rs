//! Champion and challenger on the same rows.
mod auc_bootstrap;
mod bootstrap;
mod counts;
mod cross_validation;
mod delong;
mod differences;
mod draws;
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

pub use auc_bootstrap::bootstrap_auc;
pub use bootstrap::{
    Bootstrap, BootstrapInterval, BootstrapOptions, Resampling, bootstrap_cells, bootstrap_cells_of, bootstrap_rows,
};
pub use counts::{PairedCells, PairedCounts};
pub use cross_validation::{corrected_resampled, five_by_two_f, five_by_two_t};
pub use delong::Delong;
pub use differences::{
    DrawOptions, SignFlips, differences, mean_difference, paired_t, sign_flip, sign_test,
};
pub use equivalence::{
    Difference, Judgement, Verdict, Wald, equivalence, intersection_union, non_inferiority, superiority,
};
pub use mcnemar::{McnemarKind, mcnemar, mcnemar_with, newcombe_paired, tango};
pub use paired::{LossTest, PairedComparison, PairedOptions, paired};
pub use permutation::{permutation, permutation_cells, permutation_cells_of};
pub use result::{Alternative, Method, TestResult};
pub use sample_size::{
    auc_difference_rows, auc_rows, hanley_mcneil_variance, paired_proportion_power, paired_proportion_rows, paired_t_power,
    paired_t_rows, proportion_power, proportion_rows, rows_for_difference, two_proportion_rows,
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
