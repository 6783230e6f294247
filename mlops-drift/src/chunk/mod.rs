//! Rows cut into chunks: the pieces of time or data for which a monitor gives one answer each.
//!
//! A [`Chunker`] cuts by calendar period or fixed duration (UTC), by size, by count, or into sliding windows; what is left at
//! the end and fills no chunk is kept, dropped or appended ([`Last`]). A [`Chunk`] is a set of row indices with a key and its
//! bounds in time; it holds no data. Labels that come late are joined to their predictions by id in a [`LabelJoin`], so that
//! the performance of a chunk is known better each time one looks.
//!
//! ```
//! use mlops_drift::chunk::{Chunker, Cut, Period};
//! use mlops_core::time::Timestamp;
//!
//! let times: Vec<Timestamp> = ["2026-01-30T08:00:00Z", "2026-01-31T23:59:59Z", "2026-02-01T00:00:00Z"]
//!     .iter()
//!     .map(|text| text.parse())
//!     .collect::<Result<_, _>>()?;
//! let months = Chunker::new(Cut::Period(Period::Month)).cut_at(&times)?;
//! let keys: Vec<&str> = months.iter().map(|chunk| chunk.key.as_str()).collect();
//! assert_eq!(keys, ["2026-01", "2026-02"]);
//! assert_eq!(months[0].rows.iter().collect::<Vec<_>>(), [0, 1]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod chunker;
mod join;
mod period;
mod rows;

pub use chunker::{Chunk, Chunker, Cut, Last, rows_needed};
pub use join::{ByChunk, JoinCounts, Joined, LabelJoin, Receipt};
pub use period::Period;
pub use rows::Rows;
