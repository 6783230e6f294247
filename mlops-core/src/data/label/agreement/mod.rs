//! Agreement between annotators, beyond what chance gives.

mod cohen;
mod fleiss;
mod krippendorff;
mod ratings;

pub use cohen::{KappaWeights, cohen_kappa};
pub use fleiss::fleiss_kappa;
pub use krippendorff::{AlphaInterval, Level, alpha_interval, krippendorff_alpha};
pub use ratings::{Ratings, percent_agreement};
