//! (projection)
