//! Reading and writing the formats that come with the crate.

use std::sync::Arc;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{ConstantPredictor, ForestPredictor, ImportedModel, LinearPredictor, constant, forest, linear};
use crate::error::{Error, ErrorKind, Result};
use crate::hash::canonical_json;
use crate::model::{ModelFormat, ModelLoader, Predictor};

/// The largest model that is read: 256 MiB.
const MAX_BYTES: usize = 256 * 1024 * 1024;

/// What every model is wrapped in.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Document<T> {
    model: T,
}

impl<T: Serialize> Document<&T> {
    /// The model as canonical JSON, so that one model has one digest.
    pub(super) fn write(model: &T) -> Result<Vec<u8>> {
        canonical_json(&Document { model })
    }
}

/// Loads the formats of this module; its table lists them. [`detect_format`](super::detect_format) finds out which one a file has.
///
/// ```
/// use mlops_core::ErrorKind;
/// use mlops_core::model::{ModelFormat, ModelLoader as _};
/// use mlops_core::problem::Task;
/// use mlops_core::serve::{BuiltinLoader, ConstantPredictor};
///
/// let bytes = ConstantPredictor::new(Task::Regression, 4.5)?.to_bytes()?;
/// let model = BuiltinLoader.load(&ModelFormat::new("mlops.constant/v1")?, &bytes)?;
/// assert!(model.signature().inputs.is_empty());
///
/// let error = BuiltinLoader.load(&ModelFormat::new("mlops.linear/v1")?, &bytes).unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::Corrupt);
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct BuiltinLoader;

impl ModelLoader for BuiltinLoader {
    fn load(&self, format: &ModelFormat, bytes: &[u8]) -> Result<Arc<dyn Predictor>> {
        match format.as_str() {
            "mlops.constant/v1" => read(bytes, constant::Stored::into_predictor),
            "mlops.linear/v1" => read(bytes, linear::Stored::into_predictor),
            "mlops.forest/v1" => read(bytes, forest::Stored::into_predictor),
            "lightgbm.text/v1" => imported(ImportedModel::from_lightgbm(bytes)),
            "xgboost.json/v1" => imported(ImportedModel::from_xgboost_json(bytes)),
            "xgboost.ubj/v1" => imported(ImportedModel::from_xgboost_ubj(bytes)),
            "onnx.ml/v1" => imported(ImportedModel::from_onnx(bytes)),
            "sklearn.json/v1" => imported(ImportedModel::from_sklearn_json(bytes)),
            _ => Err(Error::unsupported("ModelLoader::load", "model format").with("format", format)),
        }
    }
}

fn imported(model: Result<ImportedModel>) -> Result<Arc<dyn Predictor>> {
    model.map(|model| Arc::new(model) as Arc<dyn Predictor>)
}

fn read<T: DeserializeOwned>(
    bytes: &[u8],
    build: impl Fn(T) -> Result<Arc<dyn Predictor>>,
) -> Result<Arc<dyn Predictor>> {
    const OP: &str = "ModelLoader::load";
    if bytes.len() > MAX_BYTES {
        return Err(Error::limit(OP, "the model", MAX_BYTES, bytes.len()));
    }
    let corrupt = || Error::new(ErrorKind::Corrupt, OP, "the bytes are not a model of this format");
    let document: Document<T> = serde_json::from_slice(bytes).map_err(|e| corrupt().with_source(e))?;
    build(document.model).map_err(|e| corrupt().with_source(e))
}

impl constant::Stored {
    fn into_predictor(self) -> Result<Arc<dyn Predictor>> {
        Ok(Arc::new(ConstantPredictor::from_stored(self)?))
    }
}

impl linear::Stored {
    fn into_predictor(self) -> Result<Arc<dyn Predictor>> {
        Ok(Arc::new(LinearPredictor::from_stored(self)?))
    }
}

impl forest::Stored {
    fn into_predictor(self) -> Result<Arc<dyn Predictor>> {
        Ok(Arc::new(ForestPredictor::from_stored(self)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Column, Table};
    use crate::problem::Task;
    use crate::serve::{EncoderOptions, FeatureEncoder, Node, Tree};

    fn forest() -> (ForestPredictor, Table<'static>) {
        let rows = vec![Column::f64("x", vec![0.25, 0.75]).unwrap(), Column::text("p", ["a", "b"]).unwrap()];
        let rows = Table::new(rows).unwrap();
        let encoder = FeatureEncoder::fit(&rows, &["x", "p"], &EncoderOptions::raw()).unwrap();
        let split = Node::Split { column: 0, below: 0.5, left: 1, right: 2, missing: 2 };
        let tree = Tree(vec![split, Node::Leaf(-0.1), Node::Leaf(0.30000000000000004)]);
        (ForestPredictor::new(Task::BinaryClassification, encoder, 0.1, vec![tree]).unwrap(), rows)
    }

    #[test]
    fn a_model_answers_the_same_bits_after_it_was_stored() {
        let (model, rows) = forest();
        let loaded =
            BuiltinLoader.load(&ModelFormat::new("mlops.forest/v1").unwrap(), &model.to_bytes().unwrap());
        assert_eq!(loaded.unwrap().predict(&rows).unwrap(), model.predict(&rows).unwrap());
    }

    #[test]
    fn damaged_models_are_corrupt_and_never_a_panic() {
        let format = ModelFormat::new("mlops.forest/v1").unwrap();
        let bytes = forest().0.to_bytes().unwrap();
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << (at % 7);
            // A flip inside a number or a name may make another valid model; its digest tells them apart.
            if let Err(e) = BuiltinLoader.load(&format, &damaged) {
                assert_eq!(e.kind(), ErrorKind::Corrupt);
            }
            assert!(BuiltinLoader.load(&format, &bytes[..at]).is_err());
        }
        let error = BuiltinLoader.load(&ModelFormat::new("other/v1").unwrap(), &bytes).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
    }
}
