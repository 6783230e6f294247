//! What a model is to everything around it: what it takes, what it answers, in which format its bytes are.
//!
//! Evaluation, registry, deployment and serving all speak of models, so this stands before them.

mod classes;
mod content;
mod predictor;

pub use classes::ClassProbabilities;
pub use content::{MODEL_FILES, read_model};
pub use predictor::{Feature, ModelFormat, ModelLoader, Predictions, Predictor, Signature};
