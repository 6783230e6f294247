//! What a table is like: counts, moments, quantiles, different values, texts, times, how columns hang together, and what is worth
//! a look; for tables of any size, and as a page.

mod alerts;
mod associations;
mod column;
mod distinct;
mod hash;
mod html;
mod moments;
mod options;
mod profiler;
mod propose;
mod sample;
mod state;
mod summary;

pub(in crate::data) use hash::mix;
pub use options::ProfileOptions;
pub use profiler::Profiler;
pub use state::ProfilerState;
pub use summary::{
    Alert, AlertKind, Association, ColumnProfile, Correlation, Distinct, Histogram, NumericProfile, Profile,
    TextProfile, TimeProfile, TopValue,
};
