//! (approval)
