//! Any ONNX model, answered by ONNX Runtime itself.
//!
//! The built-in reader ([`ImportedModel::from_onnx`](super::ImportedModel::from_onnx)) knows classical models and needs no library. Everything else,
//! neural networks above all, runs here: in the dynamic library of ONNX Runtime (1.17 or later), which is loaded when it is asked for. Nothing is
//! linked, nothing is downloaded.
//!
//! ```no_run
//! use mlops_core::model::{ModelFormat, ModelLoader, Predictor as _};
//! use mlops_core::serve::BuiltinLoader;
//! use mlops_core::serve::onnx_runtime::{OnnxRuntime, OnnxRuntimeLoader};
//!
//! // The library's path from `ORT_DYLIB_PATH`, or where the system finds it.
//! let runtime = OnnxRuntime::from_env()?;
//! // What the built-in reader does not know goes to the runtime.
//! let loader: Vec<std::sync::Arc<dyn ModelLoader>> =
//!     vec![std::sync::Arc::new(BuiltinLoader), std::sync::Arc::new(OnnxRuntimeLoader::new(runtime))];
//! let model = loader.load(&ModelFormat::new("onnx.ml/v1")?, &std::fs::read("mlp.onnx")?)?;
//! println!("{:?}", model.signature().inputs);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Trust
//! The library is code and runs in this process: load it from where you would load code from. The model is handed to it after this crate has checked
//! that its bytes are a whole message and that it names no other files; how much memory its graph asks for is up to the graph.

mod library;
mod loader;
mod options;
mod predictor;
mod shape;

pub use library::OnnxRuntime;
pub use loader::OnnxRuntimeLoader;
pub use options::OnnxOptions;
pub use predictor::OnnxModel;

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::error::{Error, ErrorKind, Result};

/// Calls the bindings, which have places where they panic over what a library does. That must not take the caller down.
fn guarded<T>(operation: &'static str, call: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|_| {
        Err(Error::new(ErrorKind::Internal, operation, "the library of ONNX Runtime does not behave as one"))
    })
}

/// What the library said.
fn said<R>(
    kind: ErrorKind,
    operation: &'static str,
    message: &'static str,
) -> impl FnOnce(ort::Error<R>) -> Error {
    move |e| Error::new(kind, operation, message).with("said", e.message())
}
