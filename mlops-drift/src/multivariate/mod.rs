//! Joint drift: have the rows changed as wholes, even where every column alone looks as before?
//!
//! | statistic | finds | score | p | rows |
//! |---|---|---|---|---|
//! | [`domain_classifier()`] | whatever a learner can tell; names columns | AUC, ½ … 1 | chained folds, any depth | all, or a sample |
//! | [`pca_reconstruction`] | changed dependence between columns | standard deviations | permutation | all |
//! | [`mmd()`] | any difference, at the scale of the kernel | 0 … 2 | permutation | all; Fourier features beyond a limit |
//! | [`energy()`] | any difference | unit of the columns | permutation | up to a limit, or a sample |
//! | [`sliced_wasserstein()`] | how far mass has moved along lines | unit of the columns | permutation | all, or a sample |
//! | [`centroid_cosine()`] | a mean embedding that turns | 0 … 2 | permutation | all, or a sample |
//!
//! All take two [`Matrix`] of `f32` or `f64`, such as embeddings, or columns of a table put on one scale by a [`Scaler`]; all draw from
//! an explicit seed, and the same rows and seed give the same bits. Permutation p-values are (1 + #{as far out}) / (1 + B): valid at
//! any number of rows, and never 0. In 4 000 simulations without drift (40 against 30 rows, two correlated columns, 39 permutations) a
//! 5 % level alarmed in 5.1 % (energy), 5.2 % (MMD), 5.0 % (sliced Wasserstein) and 5.2 % (PCA). [`MultivariateDetector`] makes a [`DriftDetector`](mlops_core::monitor::DriftDetector) of each.
//!
//! # Values that are not numbers, not finite, or not there
//! A row with a NaN is an error, or left out as a whole and counted, or makes p undefined
//! ([`NanPolicy`](mlops_core::num::NanPolicy)); leaving rows out hides a changed share of missing values. An infinity is an error, for it
//! has no distance. The domain classifier under [`Missing::Cell`](crate::Missing::Cell) takes both for values like others.

mod auc;
mod boosting;
mod centroid;
mod detector;
mod domain_classifier;
mod eigen;
mod energy;
mod joint;
mod matrix;
mod mmd;
mod pairwise;
mod pca;
mod scaler;
mod sliced_wasserstein;

pub use auc::{Auc, auc};
pub use boosting::Boosting;
pub use centroid::{CentroidOptions, centroid_cosine, centroid_cosine_with};
pub use detector::{MultivariateDetector, MultivariateMethod, MultivariateOptions};
pub use domain_classifier::{
    DomainClassification, DomainClassifierOptions, Learner, Scorer, domain_classifier, domain_classifier_with,
};
pub use energy::{EnergyOptions, energy, energy_with};
pub use joint::{Beyond, JointDefinition, JointDistance};
pub use matrix::{IntoValues, Matrix, Real};
pub use mmd::{Bandwidth, Mmd, MmdOptions, mmd, mmd_with};
pub use pca::{MeanError, Pca, PcaOptions, PcaReconstruction, pca_reconstruction, pca_reconstruction_with};
pub use scaler::Scaler;
pub use sliced_wasserstein::{
    SlicedWassersteinOptions, sliced_wasserstein, sliced_wasserstein_along, sliced_wasserstein_with,
};
