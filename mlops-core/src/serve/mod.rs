//! Phase 6: predictors that come with the crate.
//!
//! Train with any library; serve with these. A model is data in JSON, checked when it is loaded: every index in range, every
//! number finite, so that predicting cannot fail in ways that loading could have seen. Nothing that is loaded can run.
//!
//! | format | predictor | what it is |
//! |---|---|---|
//! | `mlops.constant/v1` | [`ConstantPredictor`] | a baseline: one number for everybody |
//! | `mlops.linear/v1` | [`LinearPredictor`] | linear or logistic regression |
//! | `mlops.forest/v1` | [`ForestPredictor`] | a sum of decision trees, as gradient boosting makes them |
//!
//! The [`FeatureEncoder`] that turned columns into numbers for training travels inside the model, so that training and serving
//! cannot disagree about it.

mod builtin;
mod constant;
mod encoder;
mod forest;
#[cfg(feature = "serve")]
pub mod http;
mod linear;

pub use builtin::BuiltinLoader;
pub use constant::ConstantPredictor;
pub use encoder::{EncoderOptions, FeatureEncoder, Matrix};
pub use forest::{ForestPredictor, Node, Tree};
pub use linear::LinearPredictor;
