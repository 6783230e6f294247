//! The bytes of built-in models: JSON with the format's name in it, bounded in size.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, ErrorKind, Result};

/// The largest built-in model, in bytes: 8 MiB.
pub const MAX_MODEL_BYTES: usize = 8 << 20;

/// A model, or a hint that what was parsed is not one; `T` checks itself as it is read.
pub(super) fn from_bytes<T: DeserializeOwned>(operation: &'static str, bytes: &[u8]) -> Result<T> {
    if bytes.len() > MAX_MODEL_BYTES {
        return Err(Error::limit(operation, "the model's size", MAX_MODEL_BYTES, bytes.len()));
    }
    serde_json::from_slice(bytes).map_err(|source| {
        let place = format!("line {}, column {}", source.line(), source.column());
        Error::new(ErrorKind::Corrupt, operation, "the bytes are not a model of this format")
            .with("place", place)
            .with("reason", &source)
            .with_source(source)
    })
}

/// The bytes of a model: the same model, the same bytes.
pub(super) fn to_bytes<T: Serialize>(operation: &'static str, model: &T) -> Result<Vec<u8>> {
    let bytes = serde_json::to_vec(model).map_err(|source| {
        Error::new(ErrorKind::Internal, operation, "the model cannot be written as JSON").with_source(source)
    })?;
    if bytes.len() > MAX_MODEL_BYTES {
        return Err(Error::limit(operation, "the model's size", MAX_MODEL_BYTES, bytes.len()));
    }
    Ok(bytes)
}
