//! Which format a model's file has.

use crate::error::{Error, Result};
use crate::model::ModelFormat;

/// How far into a file is looked.
const HEAD: usize = 4096;

/// The format of a model's file, by its content and, for ONNX, which has no mark of its own, by its name.
///
/// The name is that of the file, as `model.txt`; it may be empty. What is told here is what the file begins with; whether it is sound is found
/// when it is loaded.
///
/// # Errors
/// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) for a file of no known format.
///
/// ```
/// use mlops_core::serve::detect_format;
/// assert_eq!(detect_format("model.txt", b"tree\nversion=v4\n")?.as_str(), "lightgbm.text/v1");
/// assert_eq!(detect_format("model.json", br#"{"learner":{"attributes":{}}}"#)?.as_str(), "xgboost.json/v1");
/// assert_eq!(detect_format("model.ubj", b"{L\0\0\0\0\0\0\0\x07learner{")?.as_str(), "xgboost.ubj/v1");
/// assert_eq!(detect_format("model.onnx", b"\x08\x08\x12\x07skl2onnx")?.as_str(), "onnx.ml/v1");
/// assert!(detect_format("model.pkl", b"\x80\x04\x95").is_err());
/// # Ok::<(), mlops_core::Error>(())
/// ```
pub fn detect_format(name: &str, bytes: &[u8]) -> Result<ModelFormat> {
    let head = bytes.get(..HEAD).unwrap_or(bytes);
    let text = String::from_utf8_lossy(head);
    let packed: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    let says = |part: &str| packed.contains(part);
    let onnx = name.to_ascii_lowercase().ends_with(".onnx") && head.first() == Some(&0x08);
    let format = if text.starts_with("tree\n") || text.starts_with("tree\r\n") {
        "lightgbm.text/v1"
    } else if head.starts_with(b"{L")
        || head.starts_with(b"{i\x07learner")
        || head.starts_with(b"{U\x07learner")
    {
        "xgboost.ubj/v1"
    } else if onnx {
        "onnx.ml/v1"
    } else if packed.starts_with("{\"learner\":")
        || packed.starts_with("{\"version\":[") && says("\"learner\":")
    {
        "xgboost.json/v1"
    } else if packed.starts_with('{') && says("\"format\":\"mlops.sklearn/v1\"") {
        "sklearn.json/v1"
    } else if packed.starts_with("{\"model\":{") {
        // The keys of the crate's own formats are in the order of the alphabet.
        match () {
            () if packed.starts_with("{\"model\":{\"base\":") => "mlops.forest/v1",
            () if packed.starts_with("{\"model\":{\"encoder\":") => "mlops.linear/v1",
            () => "mlops.constant/v1",
        }
    } else {
        return Err(Error::unsupported("detect_format", "model format").with("name", name));
    };
    ModelFormat::new(format)
}
