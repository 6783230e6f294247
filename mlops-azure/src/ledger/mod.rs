//! What a registry without compare-and-set, history and order gets them from: entries in one order for all clients, and what
//! follows from them.
//!
//! | module | what it holds |
//! |---|---|
//! | [`rules`] | what an entry asks for, whether it counts, and the state that follows |
//! | [`text`] | how text travels through maps of short texts, so that every character arrives |

pub(crate) mod rules;
pub(crate) mod text;
