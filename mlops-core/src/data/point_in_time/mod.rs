//! Point-in-time joins: for each row about something at some time, the features as they were known then.
//!
//! A feature row may be used when it **happened** and **was known** by the time of the entity row: event time and knowledge
//! time (when the row was written) both count. Leaving out the second is the classic leak of feature stores: a correction
//! written next week, for a day of last week, looks like last week's knowledge. So the cutoff on knowledge time is on unless
//! it is switched off, and every join comes with a proof that says how far ahead the furthest look was.
//!
//! | rule | of |
//! |---|---|
//! | event ≤ entity time (strictly: <) | Feast's |
//! | event ≥ entity time − ttl, both ends included; no ttl, no limit | Feast's |
//! | created ≤ entity time (strictly: <) | Feast's `filter_by_created_timestamp`, there off by default |
//! | of several rows the last event, then the last created, then the last in the table | Feast's |
//! | every entity row stays, with missing values where nothing fits | Feast's |

mod join;
mod proof;
mod view;

pub use join::{Joined, PointInTimeJoin};
pub use proof::FeatureProof;
pub use view::FeatureView;

/// The operation that errors name.
const OP: &str = "PointInTimeJoin::join";
