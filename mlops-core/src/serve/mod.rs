//! Phase 6: predictors that come with the crate.
//!
//! Train with any library; serve with these. A model is data, checked when it is loaded: every index in range, every
//! number finite, so that predicting cannot fail in ways that loading could have seen. Nothing that is loaded can run.
//!
//! | format | predictor | what it is |
//! |---|---|---|
//! | `mlops.constant/v1` | [`ConstantPredictor`] | a baseline: one number for everybody |
//! | `mlops.linear/v1` | [`LinearPredictor`] | linear or logistic regression |
//! | `mlops.forest/v1` | [`ForestPredictor`] | a sum of decision trees, as gradient boosting makes them |
//! | `lightgbm.text/v1` | [`ImportedModel`] | a model of LightGBM, as its text |
//! | `xgboost.json/v1`, `xgboost.ubj/v1` | [`ImportedModel`] | a model of XGBoost, as its JSON or UBJSON |
//! | `sklearn.json/v1` | [`ImportedModel`] | a model of scikit-learn, exported to JSON |
//! | `onnx.ml/v1` | [`ImportedModel`] | a graph of ONNX with trees, linear models and scalers |
//!
//! Any other model of ONNX is answered by ONNX Runtime itself (module `onnx_runtime`, feature `onnx-runtime`). Files of rows are scored with
//! [`batch`]; the feature `serve` brings models over HTTP.
//!
//! The [`FeatureEncoder`] that turned columns into numbers for training travels inside the model, so that training and serving
//! cannot disagree about it.

mod after;
pub mod batch;
mod builtin;
mod columns;
mod constant;
mod detect;
mod encoder;
mod ensemble;
mod forest;
#[cfg(feature = "serve")]
pub mod http;
mod import;
mod imported;
mod linear;
#[cfg(feature = "onnx-runtime")]
pub mod onnx_runtime;

pub use builtin::BuiltinLoader;
pub use constant::ConstantPredictor;
pub use detect::detect_format;
pub use encoder::{EncoderOptions, FeatureEncoder, Matrix};
pub use ensemble::Forest;
pub use forest::{ForestPredictor, Node, Tree};
pub use imported::{ImportOptions, ImportedModel};
pub use linear::LinearPredictor;
