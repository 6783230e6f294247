//! What performance refuses to look at.

use mlops_core::num::StatsError;

use crate::chunk::Chunk;

pub(super) fn same_length(
    left: &'static str,
    left_len: usize,
    right: &'static str,
    right_len: usize,
) -> Result<(), StatsError> {
    if left_len == 0 {
        return Err(StatsError::Empty { argument: left });
    }
    if left_len != right_len {
        return Err(StatsError::LengthMismatch { left, left_len, right, right_len });
    }
    Ok(())
}

pub(super) fn finite(argument: &'static str, values: &[f64]) -> Result<(), StatsError> {
    match values.iter().enumerate().find(|(_, value)| !value.is_finite()) {
        Some((index, value)) if value.is_nan() => Err(StatsError::Nan { argument, index }),
        Some((index, &value)) => Err(StatsError::NotFinite { argument, index, value }),
        None => Ok(()),
    }
}

/// Probabilities: numbers in [0, 1].
pub(super) fn probabilities(argument: &'static str, values: &[f64]) -> Result<(), StatsError> {
    match values.iter().enumerate().find(|(_, value)| !(0.0..=1.0).contains(*value)) {
        Some((index, value)) if value.is_nan() => Err(StatsError::Nan { argument, index }),
        Some((index, &value)) => Err(StatsError::OutOfRange { argument, index, value, low: 0.0, high: 1.0 }),
        None => Ok(()),
    }
}

/// Codes of classes: 0 to `classes` − 1.
pub(super) fn codes(argument: &'static str, values: &[u32], classes: usize) -> Result<(), StatsError> {
    match values.iter().enumerate().find(|(_, code)| u64::from(**code) >= classes as u64) {
        Some((index, &code)) => {
            Err(StatsError::UnknownCode { argument, index, code: u64::from(code), known: classes as u64 })
        }
        None => Ok(()),
    }
}

/// Reference chunks: each has rows, and only rows there are.
pub(super) fn chunks(chunks: &[Chunk], rows: usize) -> Result<(), StatsError> {
    for chunk in chunks {
        match chunk.rows.max() {
            None => return Err(StatsError::Empty { argument: "chunks" }),
            Some(last) if last >= rows => {
                return Err(StatsError::LengthMismatch {
                    left: "chunks",
                    left_len: last.saturating_add(1),
                    right: "truth",
                    right_len: rows,
                });
            }
            Some(_) => {}
        }
    }
    Ok(())
}

/// The elements at a chunk's rows, which [`chunks`] has checked.
pub(super) fn pick<T: Clone>(
    chunk: &Chunk,
    argument: &'static str,
    values: &[T],
) -> Result<Vec<T>, StatsError> {
    let beyond = || StatsError::LengthMismatch {
        left: "chunks",
        left_len: chunk.rows.max().map_or(0, |last| last.saturating_add(1)),
        right: argument,
        right_len: values.len(),
    };
    chunk.rows.of(values).ok_or_else(beyond)
}
