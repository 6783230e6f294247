//! Phase 6: serve. Predictors that need no library: their bytes are JSON, and whoever has this crate can load them.
//!
//! | predictor | format | what it is |
//! |---|---|---|
//! | [`ConstantPredictor`] | `mlops.constant/v1` | one answer for every row: a baseline |
//! | [`LinearPredictor`] | `mlops.linear/v1` | a linear or logistic regression over encoded columns |
//!
//! Nothing is trained here. [`FeatureEncoder`] learns from a table how to turn columns into numbers; train on those numbers with
//! any library and hand the weights to [`LinearPredictor`], which ships the very encoder that training used.

mod constant;
mod encoder;
mod json;
mod linear;
mod loader;

pub use constant::ConstantPredictor;
pub use encoder::{EncodedRows, EncoderOptions, Encoding, FeatureEncoder, InputEncoding};
pub use json::MAX_MODEL_BYTES;
pub use linear::{LinearPredictor, Link};
pub use loader::BuiltinLoader;
