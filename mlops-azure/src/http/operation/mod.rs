//! What takes longer than a request.
//!
//! | module | what it holds |
//! |---|---|
//! | [`state`] | [`OperationState`]: where it is and what came of it; decides, and sends nothing |
//! | [`handle`] | [`Operation`]: asks, waits and gives back what came of it |
//! | [`duration`] | durations as ISO 8601 writes them |
//!
//! # Which way
//! Azure has three ways to say how a long operation goes on, and one answer may show several. They are tried in this order:
//!
//! 1. `Azure-AsyncOperation`: an address that answers `{"status": …}` until that is `Succeeded`, `Failed` or `Canceled`. Then the
//!    result is at `resourceLocation` if the status says so, at the resource itself after PUT and PATCH, and at `Location` after
//!    POST.
//! 2. `Location`, with 201 or 202: an address that answers 202 until it answers with the result.
//! 3. Neither: the resource itself, whose `properties.provisioningState` says how it goes.
//!
//! After POST the answer at `Location` is the result, whatever state is in it, for the POST's own address cannot be read; after
//! DELETE there is none. A failure is an answer of status 200. Every address is checked: one at another host gets no token.

pub mod duration;
pub mod handle;
pub mod state;

pub use handle::{Operation, OperationProgress, PollPolicy};
pub use state::OperationState;
pub(super) use state::is_pending;
