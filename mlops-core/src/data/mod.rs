//! Phase 2: version, validate and split data.

mod asset;
mod column;
mod store;

pub use asset::{AssetKind, DataAsset, DataRef, DataVerification, Location, NewDataAsset};
pub use column::{Column, DataType, Table, Validity, Values};
pub use store::DataAssetStore;
