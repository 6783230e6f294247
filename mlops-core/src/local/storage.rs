//! See [`disk`](crate::disk).

pub(crate) use crate::disk::{read_only, storage};
