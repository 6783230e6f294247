//! Beyond one machine: a database counts, this crate judges.
//!
//! Drift needs counts on the cells of a [`Reference`](crate::profile::Reference) and nothing else, and counting by a computed cell
//! is plain SQL that every engine runs where the data lies:
//!
//! 1. [`count_statement`] writes one statement for all columns, in the language of the engine ([`Dialect`]).
//! 2. [`read_counts`] turns its result rows into the same mergeable [`Profile`](crate::profile::Profile) that counting here would have
//!    given. PSI, JS and chi-square are then exact; quantiles, the Wasserstein distance and Kolmogorov–Smirnov have certain
//!    [bounds](crate::profile::KsBounds).
//! 3. Where the bounds do not decide, [`value_statement`] fetches counts per distinct value, only in the cells that can
//!    still hold the maximum ([`Candidates`]), and [`exact_ks`] has the statistic exactly.
//!
//! Nothing here opens a connection: statements are text, results are rows. Column names become quoted identifiers, texts of
//! the data are never part of a statement, and the only code that is passed through is what the caller marks as
//! [trusted](Source::trusted).
//!
//! # What engines do
//! Counts of DuckDB 2.0.1 and DataFusion 55.0.0 equal NumPy's and this crate's on 5 million rows of ten columns of Parquet, NaN, ±∞ and
//! −0.0 among them: `tests/engines.rs` runs them. Statements for T-SQL and BigQuery follow the documented grammar.
//! Decimal columns are cast to doubles by the engine; whole numbers beyond 2⁵³ round to even, as here.

mod dialect;
mod exact;
mod reader;
mod statement;

pub use dialect::Dialect;
pub use exact::{Candidates, ExactKs, ValueCounts, ValueRow, exact_ks, read_values};
pub use reader::{CountRow, read_counts};
pub use statement::{Layout, Source, count_statement, value_statement};
