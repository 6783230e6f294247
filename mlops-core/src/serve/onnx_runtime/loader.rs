//! Loading models as deployers do.

use std::sync::Arc;

use super::{OnnxOptions, OnnxRuntime};
use crate::error::{Error, Result};
use crate::model::{ModelFormat, ModelLoader, Predictor};

/// Loads the format `onnx.ml/v1` with ONNX Runtime.
///
/// Behind [`BuiltinLoader`](crate::serve::BuiltinLoader) in a list of loaders it is asked for the models that the built-in reader does not know; alone
/// for all of them.
#[derive(Clone, Debug)]
pub struct OnnxRuntimeLoader {
    runtime: OnnxRuntime,
    options: OnnxOptions,
}

impl OnnxRuntimeLoader {
    /// A loader that asks models as their graphs say.
    pub fn new(runtime: OnnxRuntime) -> Self {
        Self { runtime, options: OnnxOptions::default() }
    }

    /// The same, but models are asked so.
    #[must_use]
    pub fn with_options(mut self, options: OnnxOptions) -> Self {
        self.options = options;
        self
    }
}

impl ModelLoader for OnnxRuntimeLoader {
    fn load(&self, format: &ModelFormat, bytes: &[u8]) -> Result<Arc<dyn Predictor>> {
        match format.as_str() {
            "onnx.ml/v1" => Ok(Arc::new(self.runtime.model(bytes, &self.options)?)),
            _ => Err(Error::unsupported("ModelLoader::load", "model format").with("format", format)),
        }
    }
}
