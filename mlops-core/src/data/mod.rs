//! Phase 2: version, validate and split data.

mod column;

pub use column::{Column, DataType, Table, Validity, Values};
