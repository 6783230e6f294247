//! Readers of other libraries' files. None runs anything, and none trusts a number.

pub(super) mod lightgbm;
pub(super) mod onnx;
pub(super) mod sklearn;
mod ubjson;
pub(super) mod xgboost;

use crate::error::{Error, ErrorKind, Result};

/// The largest file that is read: 256 MiB.
const MAX_BYTES: usize = 256 * 1024 * 1024;

/// The most features, classes and the like.
const MAX_WIDTH: usize = 1 << 20;

/// Refuses a file beyond the limit.
fn check_size(operation: &'static str, bytes: &[u8]) -> Result<()> {
    if bytes.len() > MAX_BYTES {
        return Err(Error::limit(operation, "the model", MAX_BYTES, bytes.len()));
    }
    Ok(())
}

fn corrupt(operation: &'static str, message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Corrupt, operation, message)
}

/// The number of iterations that are taken of so many.
fn iterations(operation: &'static str, asked: Option<usize>, there: usize) -> Result<usize> {
    match asked {
        Some(asked) if asked == 0 || asked > there => {
            let message = format!("asks for {asked} iterations, the model has {there}");
            Err(Error::invalid(operation, "iterations", message))
        }
        Some(asked) => Ok(asked),
        None => Ok(there),
    }
}
