//! Loading built-in predictors by the name of their format.

use std::sync::Arc;

use super::{ConstantPredictor, LinearPredictor};
use crate::error::{Error, Result};
use crate::model::{ModelFormat, ModelLoader, Predictor};

/// Loads `mlops.constant/v1` and `mlops.linear/v1`.
///
/// ```
/// use mlops_core::ErrorKind;
/// use mlops_core::model::{ModelFormat, ModelLoader, Predictor};
/// use mlops_core::problem::Task;
/// use mlops_core::serve::{BuiltinLoader, ConstantPredictor};
///
/// let bytes = ConstantPredictor::new(Task::Regression, 152.1)?.to_bytes()?;
/// let predictor = BuiltinLoader.load(&ConstantPredictor::format()?, &bytes)?;
/// assert_eq!(predictor.signature().task, Task::Regression);
///
/// let error = BuiltinLoader.load(&ModelFormat::new("onnx/v1")?, &bytes).unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::Unsupported);
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BuiltinLoader;

impl ModelLoader for BuiltinLoader {
    fn load(&self, format: &ModelFormat, bytes: &[u8]) -> Result<Arc<dyn Predictor>> {
        match format.as_str() {
            ConstantPredictor::FORMAT => Ok(Arc::new(ConstantPredictor::from_bytes(bytes)?)),
            LinearPredictor::FORMAT => Ok(Arc::new(LinearPredictor::from_bytes(bytes)?)),
            _ => Err(Error::unsupported("BuiltinLoader::load", "model format").with("format", format)),
        }
    }
}
