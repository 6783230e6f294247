//! Cutting rows into chunks.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use mlops_core::num::StatsError;
use mlops_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF as _, Normal};

use super::period::instant;
use super::{Period, Rows};

/// Where to cut.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cut {
    /// Every so many rows.
    Size(usize),
    /// Into so many chunks, whose sizes differ by at most one row; there is no partial chunk. With fewer rows than chunks
    /// every row is a chunk.
    Count(usize),
    /// At the borders of calendar periods, in UTC. Periods without rows have no chunk.
    Period(Period),
    /// At `origin` plus and minus whole multiples of a length of at least a microsecond. Stretches without rows have no chunk.
    Every {
        /// The length.
        length: Duration,
        /// A border.
        origin: Timestamp,
    },
    /// Windows of `size` rows, each `stride` rows after the one before, until one holds the last row.
    SlidingSize {
        /// The rows of a window.
        size: usize,
        /// From the start of one window to the next, at most `size`: no row is left out.
        stride: usize,
    },
    /// Windows of a length in time, each `stride` after the one before, until one holds the last row. The first begins at the
    /// last multiple of `stride` from `origin` that is not after the first row. Windows without rows are left out.
    Sliding {
        /// The length of a window.
        length: Duration,
        /// From the start of one window to the next, at most `length`.
        stride: Duration,
        /// A place where a window may begin.
        origin: Timestamp,
    },
}

/// What becomes of a last chunk that is not full: one of fewer rows than a cut by size asks for, or one whose time is not over
/// yet (see [`Chunker::until`]).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Last {
    /// It is a chunk like others, marked as partial. The default.
    #[default]
    Keep,
    /// It is left out.
    Drop,
    /// Its rows are added to the chunk before; a chunk with none before it is kept.
    Append,
}

/// A piece of the rows.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Its name, unique among the chunks of one cut: the period (`2026-01`), the start in time, or the positions (`0..500`).
    pub key: String,
    /// Its rows; of unsorted data cut with times, in time order, equal times in the order of the data.
    pub rows: Rows,
    /// Where it begins: the border in time, or the first time of a cut by rows; `None` without times.
    pub start: Option<Timestamp>,
    /// Where it ends: the border in time, not included, or the last time of a cut by rows; `None` without times.
    pub end: Option<Timestamp>,
    /// Whether it is a last one that is not full.
    pub partial: bool,
    /// Whether it has the rows that a verdict needs.
    pub enough: bool,
}

/// Cuts rows into chunks.
///
/// ```
/// use mlops_drift::chunk::{Chunker, Cut, Last};
///
/// let windows = Chunker::new(Cut::SlidingSize { size: 4, stride: 2 }).last(Last::Append).cut(9)?;
/// let rows: Vec<_> = windows.iter().map(|w| w.rows.as_range()).collect();
/// assert_eq!(rows, [Some(0..4), Some(2..6), Some(4..9)]);
/// # Ok::<(), mlops_core::num::StatsError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Chunker {
    cut: Cut,
    last: Last,
    min_rows: usize,
    until: Option<Timestamp>,
}

impl Chunker {
    /// The most chunks that a cut may give.
    pub const MAX_CHUNKS: usize = 1_000_000;

    /// Cuts like this, keeping what is partial and demanding one row.
    pub const fn new(cut: Cut) -> Self {
        Self { cut, last: Last::Keep, min_rows: 1, until: None }
    }

    /// What becomes of a last chunk that is not full.
    #[must_use]
    pub const fn last(mut self, last: Last) -> Self {
        self.last = last;
        self
    }

    /// The fewest rows a verdict needs; a chunk with fewer says so in [`Chunk::enough`]. [`rows_needed`] computes it from the
    /// change that must not be missed.
    #[must_use]
    pub const fn min_rows(mut self, min_rows: usize) -> Self {
        self.min_rows = min_rows;
        self
    }

    /// Until when the rows are complete. A last chunk in time that ends later is partial; without this none is.
    #[must_use]
    pub const fn until(mut self, until: Timestamp) -> Self {
        self.until = Some(until);
        self
    }

    /// Cuts `rows` rows in their order. O(chunks).
    ///
    /// # Errors
    /// [`StatsError::Empty`] without rows; [`StatsError::Parameter`] for a size, count, length or stride out of range;
    /// [`StatsError::Unsupported`] for a cut in time; [`StatsError::Overflow`] beyond [`Chunker::MAX_CHUNKS`].
    pub fn cut(&self, rows: usize) -> Result<Vec<Chunk>, StatsError> {
        let pieces = self.by_rows(rows)?.ok_or(StatsError::Unsupported {
            what: "a cut in time",
            reason: "it needs the time of each row",
        })?;
        let chunk = |piece: &Piece| Chunk {
            key: format!("{}..{}", piece.positions.start, piece.positions.end),
            rows: Rows::range(piece.positions.clone()),
            start: None,
            end: None,
            partial: piece.partial,
            enough: piece.positions.len() >= self.min_rows,
        };
        Ok(pieces.iter().map(chunk).collect())
    }

    /// Cuts rows that happened at `times`, in time order; the data may be in any order. O(n) for sorted times, O(n log n)
    /// else.
    ///
    /// # Errors
    /// As [`cut`](Self::cut); no cut is unsupported.
    pub fn cut_at(&self, times: &[Timestamp]) -> Result<Vec<Chunk>, StatsError> {
        let ordered = Ordered::new(times);
        match self.by_rows(times.len())? {
            Some(pieces) => Ok(pieces.iter().map(|piece| self.chunk_of_rows(&ordered, piece)).collect()),
            None => self.by_time(&ordered),
        }
    }

    fn chunk_of_rows(&self, ordered: &Ordered<'_>, piece: &Piece) -> Chunk {
        let Range { start, end } = piece.positions;
        Chunk {
            key: format!("{start}..{end}"),
            rows: Rows::shared(ordered.order.as_ref(), start..end),
            start: Some(ordered.time(start)),
            end: Some(ordered.time(end.saturating_sub(1))),
            partial: piece.partial,
            enough: piece.positions.len() >= self.min_rows,
        }
    }

    /// The pieces of a cut by rows; `None` for a cut in time.
    fn by_rows(&self, rows: usize) -> Result<Option<Vec<Piece>>, StatsError> {
        if rows == 0 {
            return Err(StatsError::Empty { argument: "rows" });
        }
        let pieces = match self.cut {
            Cut::Size(size) => windows(rows, positive("size", size)?, size)?,
            Cut::SlidingSize { size, stride } => {
                positive("size", size)?;
                windows(rows, size, stride_of(positive("stride", stride)? as f64, size as f64, stride)?)?
            }
            Cut::Count(count) => evenly(rows, positive("count", count)?)?,
            Cut::Period(_) | Cut::Every { .. } | Cut::Sliding { .. } => return Ok(None),
        };
        Ok(Some(self.finish(pieces)))
    }

    /// Deals with a last piece that is partial.
    fn finish(&self, mut pieces: Vec<Piece>) -> Vec<Piece> {
        if self.last == Last::Keep || !pieces.last().is_some_and(|piece| piece.partial) {
            return pieces;
        }
        if self.last == Last::Append && pieces.len() == 1 {
            return pieces;
        }
        let partial = pieces.pop();
        if let (Last::Append, Some(partial), Some(before)) = (self.last, partial, pieces.last_mut()) {
            before.positions.end = partial.positions.end;
        }
        pieces
    }

    fn by_time(&self, ordered: &Ordered<'_>) -> Result<Vec<Chunk>, StatsError> {
        let spans = match self.cut {
            Cut::Every { length, origin } => {
                let length = micros("length", length)?;
                Spans::Grid { origin: origin.timestamp_micros(), stride: length, length }
            }
            Cut::Sliding { length, stride, origin } => {
                let (length, stride) = (micros("length", length)?, micros("stride", stride)?);
                let stride = stride_of(stride as f64, length as f64, stride)?;
                Spans::Grid { origin: origin.timestamp_micros(), stride, length }
            }
            Cut::Period(period) => Spans::Period(period),
            Cut::Size(_) | Cut::Count(_) | Cut::SlidingSize { .. } => return Ok(Vec::new()),
        };
        let mut chunks: Vec<Chunk> = Vec::new();
        let mut next = spans.first(ordered.time(0));
        while let Some(span) = next {
            let from = ordered.first_not_before(span.start);
            // Nothing comes after the end of representable time, so a stretch that ends there holds it.
            let to = if span.end == Timestamp::MAX_UTC {
                ordered.len()
            } else {
                ordered.first_not_before(span.end)
            };
            if from < to {
                if chunks.len() == Self::MAX_CHUNKS {
                    return Err(StatsError::Overflow { what: "the number of chunks (at most 1000000)" });
                }
                chunks.push(self.chunk_of_span(ordered, from..to, &span, &spans));
            }
            next = if to >= ordered.len() {
                None
            } else {
                spans.after(&span, ordered.time(to.saturating_sub(1)), ordered.time(to))
            };
        }
        Ok(self.finish_in_time(chunks, ordered.len()))
    }

    fn chunk_of_span(&self, ordered: &Ordered<'_>, rows: Range<usize>, span: &Span, spans: &Spans) -> Chunk {
        Chunk {
            key: spans.key(span),
            enough: rows.len() >= self.min_rows,
            rows: Rows::shared(ordered.order.as_ref(), rows),
            start: Some(span.start),
            end: Some(span.end),
            partial: false,
        }
    }

    fn finish_in_time(&self, mut chunks: Vec<Chunk>, rows: usize) -> Vec<Chunk> {
        let single = chunks.len() == 1;
        let Some(last) = chunks.last_mut() else { return chunks };
        last.partial = self.until.is_some_and(|until| last.end.is_some_and(|end| end > until));
        if !last.partial || self.last == Last::Keep || (self.last == Last::Append && single) {
            return chunks;
        }
        let partial = chunks.pop();
        if let (Last::Append, Some(partial), Some(before)) = (self.last, partial, chunks.last_mut()) {
            before.rows = before.rows.extended_to(rows);
            before.end = partial.end;
            before.enough = before.rows.len() >= self.min_rows;
        }
        chunks
    }
}

/// A run of positions.
struct Piece {
    positions: Range<usize>,
    partial: bool,
}

/// Windows from the first row until one holds the last.
fn windows(rows: usize, size: usize, stride: usize) -> Result<Vec<Piece>, StatsError> {
    check_count(rows.saturating_sub(size).div_ceil(stride).saturating_add(1))?;
    let mut pieces = Vec::new();
    let mut start = 0_usize;
    loop {
        let end = start.saturating_add(size);
        pieces.push(Piece { positions: start..end.min(rows), partial: end > rows });
        if end >= rows {
            return Ok(pieces);
        }
        start += stride;
    }
}

fn evenly(rows: usize, count: usize) -> Result<Vec<Piece>, StatsError> {
    let count = count.min(rows);
    check_count(count)?;
    let (size, longer) = (rows / count, rows % count);
    let border = |chunk: usize| chunk * size + chunk.min(longer);
    let piece = |chunk| Piece { positions: border(chunk)..border(chunk + 1), partial: false };
    Ok((0..count).map(piece).collect())
}

fn check_count(count: usize) -> Result<(), StatsError> {
    if count > Chunker::MAX_CHUNKS {
        return Err(StatsError::Overflow { what: "the number of chunks (at most 1000000)" });
    }
    Ok(())
}

fn positive(parameter: &'static str, value: usize) -> Result<usize, StatsError> {
    if value == 0 {
        return Err(StatsError::Parameter { parameter, value: 0.0, reason: "must be at least 1" });
    }
    Ok(value)
}

fn stride_of<T>(stride: f64, length: f64, exact: T) -> Result<T, StatsError> {
    if stride > length {
        let reason = "must not exceed the length of a window, which would leave rows out";
        return Err(StatsError::Parameter { parameter: "stride", value: stride, reason });
    }
    Ok(exact)
}

fn micros(parameter: &'static str, length: Duration) -> Result<i64, StatsError> {
    // Ten thousand years; twice that is far from overflowing 64 bits.
    const MAX: u128 = 10_000 * 366 * 86_400 * 1_000_000;
    match length.as_micros() {
        micros @ 1..=MAX => i64::try_from(micros).map_err(|_| StatsError::Overflow { what: "a length" }),
        _ => Err(StatsError::Parameter {
            parameter,
            value: length.as_secs_f64(),
            reason: "must be from a microsecond to ten thousand years (it is given in seconds here)",
        }),
    }
}

/// Times with the order that sorts them, if they are not sorted.
struct Ordered<'a> {
    times: &'a [Timestamp],
    order: Option<Arc<[usize]>>,
}

impl<'a> Ordered<'a> {
    fn new(times: &'a [Timestamp]) -> Self {
        let order = (!times.is_sorted()).then(|| {
            let mut order: Vec<usize> = (0..times.len()).collect();
            order.sort_by_key(|&row| times.get(row));
            order.into()
        });
        Self { times, order }
    }

    fn len(&self) -> usize {
        self.times.len()
    }

    /// The time at a position of the order; the end of time beyond the last.
    fn time(&self, position: usize) -> Timestamp {
        let row = match &self.order {
            Some(order) => order.get(position).copied().unwrap_or(usize::MAX),
            None => position,
        };
        self.times.get(row).copied().unwrap_or(Timestamp::MAX_UTC)
    }

    /// The first position whose time is not before `t`.
    fn first_not_before(&self, t: Timestamp) -> usize {
        match &self.order {
            None => self.times.partition_point(|&time| time < t),
            Some(order) => order.partition_point(|&row| self.times.get(row).is_some_and(|&time| time < t)),
        }
    }
}

/// A stretch of time, without its end.
struct Span {
    start: Timestamp,
    end: Timestamp,
}

/// How time is divided.
enum Spans {
    Period(Period),
    /// Stretches of `length` that begin at `origin` and every `stride` before and after, in microseconds.
    Grid {
        origin: i64,
        stride: i64,
        length: i64,
    },
}

impl Spans {
    /// The last stretch that begins no later than `t`.
    fn first(&self, t: Timestamp) -> Option<Span> {
        match *self {
            Self::Period(period) => Some(Span { start: period.start(t), end: period.end(t) }),
            Self::Grid { origin, stride, .. } => {
                let since = i128::from(t.timestamp_micros()) - i128::from(origin);
                self.nth(since.div_euclid(i128::from(stride)))
            }
        }
    }

    /// The next stretch, where it still holds the last row of this one, at `held`; else the first that holds the row after it,
    /// at `next`.
    fn after(&self, span: &Span, held: Timestamp, next: Timestamp) -> Option<Span> {
        match *self {
            Self::Period(_) => self.first(next),
            Self::Grid { origin, stride, length } => {
                let micros = |t: Timestamp| i128::from(t.timestamp_micros()) - i128::from(origin);
                let following = micros(span.start).div_euclid(i128::from(stride)) + 1;
                // The first whose end is after the row.
                let reaching = (micros(next) - i128::from(length)).div_euclid(i128::from(stride)) + 1;
                let holds = following * i128::from(stride) <= micros(held);
                self.nth(if holds { following } else { following.max(reaching) })
            }
        }
    }

    fn nth(&self, n: i128) -> Option<Span> {
        let Self::Grid { origin, stride, length } = *self else { return None };
        let start = i128::from(origin) + n * i128::from(stride);
        let at = |micros: i128| i64::try_from(micros).ok().and_then(Timestamp::from_timestamp_micros);
        if at(start).is_none() && start > 0 {
            return None;
        }
        Some(Span {
            start: at(start).unwrap_or(Timestamp::MIN_UTC),
            end: at(start + i128::from(length)).unwrap_or(Timestamp::MAX_UTC),
        })
    }

    fn key(&self, span: &Span) -> String {
        match self {
            Self::Period(period) => period.key(span.start),
            Self::Grid { .. } => instant(span.start),
        }
    }
}

/// How many rows a chunk needs so that a share that moves from `reference` by `change` is noticed with probability `power` at
/// the two-sided level `alpha`: ⌈((z₁₋α⁄₂ √(p₀q₀) + z_power √(p₁q₁)) / change)²⌉, the normal approximation for one sample
/// against a known share.
///
/// # Errors
/// [`StatsError::Parameter`] for `reference` or `reference + change` outside [0, 1], a change of 0, or `alpha` or `power`
/// outside (0, 1); [`StatsError::Overflow`] beyond 2⁵³ rows.
///
/// ```
/// use mlops_drift::chunk::rows_needed;
/// assert_eq!(rows_needed(0.9, -0.05, 0.05, 0.8)?, 316);
/// # Ok::<(), mlops_core::num::StatsError>(())
/// ```
pub fn rows_needed(reference: f64, change: f64, alpha: f64, power: f64) -> Result<u64, StatsError> {
    let refuse = |parameter, value, reason| Err(StatsError::Parameter { parameter, value, reason });
    if !(0.0..=1.0).contains(&reference) {
        return refuse("reference", reference, "must lie in [0, 1]");
    }
    let moved = reference + change;
    if !(0.0..=1.0).contains(&moved) || change == 0.0 {
        return refuse("change", change, "must not be 0 and must lead to a share in [0, 1]");
    }
    for (parameter, value) in [("alpha", alpha), ("power", power)] {
        if !(value > 0.0 && value < 1.0) {
            return refuse(parameter, value, "must lie in (0, 1)");
        }
    }
    let normal = Normal::standard();
    let spread = |p: f64| (p * (1.0 - p)).sqrt();
    let distance =
        normal.inverse_cdf(1.0 - alpha / 2.0) * spread(reference) + normal.inverse_cdf(power) * spread(moved);
    let rows = (distance.max(0.0) / change).powi(2).ceil().max(1.0);
    if rows > 9_007_199_254_740_992.0 {
        return Err(StatsError::Overflow { what: "the number of rows needed" });
    }
    #[expect(clippy::cast_sign_loss, reason = "at least 1, at most 2^53")]
    Ok(rows as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_differ_by_one_row_at_most() {
        for (rows, count) in [(10, 3), (3, 10), (7, 7), (1, 1), (1000, 17)] {
            let chunks = Chunker::new(Cut::Count(count)).cut(rows).unwrap();
            let sizes: Vec<usize> = chunks.iter().map(|chunk| chunk.rows.len()).collect();
            assert_eq!(sizes.len(), count.min(rows));
            assert_eq!(sizes.iter().sum::<usize>(), rows);
            assert!(sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= 1, "{sizes:?}");
        }
    }

    #[test]
    fn a_grid_is_found_from_any_side_of_its_origin() {
        let spans = Spans::Grid { origin: 10, stride: 4, length: 6 };
        let at = |micros| Timestamp::from_timestamp_micros(micros).unwrap();
        for (t, start) in [(10, 10), (13, 10), (14, 14), (9, 6), (-1, -2), (-2, -2), (-3, -6)] {
            assert_eq!(spans.first(at(t)).unwrap().start, at(start), "{t}");
        }
        // From the window at 10, which ends at 16: the next, at 14, still holds a row at 15 but not one at 13; of the others the
        // first to hold a row at 100 begins at 98.
        let first = spans.first(at(10)).unwrap();
        assert_eq!(spans.after(&first, at(15), at(17)).unwrap().start, at(14));
        assert_eq!(spans.after(&first, at(13), at(100)).unwrap().start, at(98));
    }
}
