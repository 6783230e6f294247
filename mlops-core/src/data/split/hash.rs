//! By a hash of a key: where a row goes depends on its key alone.

use sha2::{Digest as _, Sha256};

use super::{OP, Part};
use crate::data::{Column, DataType};
use crate::error::{Error, Result, quote};

/// Buckets: a millionth of the keys each.
pub(super) const BUCKETS: u32 = 1_000_000;

/// `sha256(salt ‖ key) mod 10⁶`, the digest read as one big-endian number.
pub(super) fn bucket(salt: &str, key: &str) -> u32 {
    let digest = Sha256::new().chain_update(salt).chain_update(key).finalize();
    digest.iter().fold(0, |rest, byte| ((rest << 8) + u32::from(*byte)) % BUCKETS)
}

/// The bucket of each row.
pub(super) fn buckets(operation: &'static str, column: &Column<'_>, salt: &str) -> Result<Vec<u32>> {
    if matches!(column.data_type(), DataType::F64 | DataType::F32) {
        let message = "holds floats, which are no keys: one value has several texts";
        return Err(Error::invalid(operation, "column", message).with("column", column.name()));
    }
    let of_row = |row| {
        let Some(key) =
            column.label(row).filter(|key| !key.is_empty() || column.data_type() == DataType::Category)
        else {
            let message = format!("column `{}`, row {}: the key is missing", quote(column.name()), row + 1);
            let error = Error::invalid(operation, "column", message);
            return Err(error.with("column", column.name()).with("row", row + 1));
        };
        Ok(bucket(salt, &key))
    };
    (0..column.len()).map(of_row).collect()
}

/// The parts by share of the buckets: the test first, then validation, the rest for training. So a smaller training share
/// moves rows out of training only.
pub(super) fn by_hash(column: &Column<'_>, salt: &str, parts: &[(Part, f64)]) -> Result<Vec<Option<usize>>> {
    let mut cuts = Vec::with_capacity(parts.len());
    let mut until = 0.0;
    for (position, (_, share)) in parts.iter().enumerate().skip(1).rev() {
        until += share;
        cuts.push(((until * f64::from(BUCKETS)).round(), position));
    }
    let part_of = |bucket: u32| {
        cuts.iter().find(|(cut, _)| f64::from(bucket) < *cut).map_or(0, |(_, position)| *position)
    };
    let chosen: Vec<usize> = buckets(OP, column, salt)?.into_iter().map(part_of).collect();
    match (0..parts.len()).find(|position| !chosen.contains(position)) {
        Some(empty) => {
            let message = format!("{} rows leave none for {}", chosen.len(), parts[empty].0);
            Err(Error::invalid(OP, "fractions", message).with("share", parts[empty].1))
        }
        None => Ok(chosen.into_iter().map(Some).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Python 3.11: `int(hashlib.sha256((salt + key).encode()).hexdigest(), 16) % 10**6`.
    #[test]
    fn a_bucket_is_what_python_computes() {
        for (salt, key, expected) in PINNED {
            assert_eq!(bucket(salt, key), expected, "{salt} {key}");
        }
    }

    const PINNED: [(&str, &str, u32); 4] =
        [("", "", 86_549), ("2026", "patient-1", 87_539), ("2026", "42", 681_442), ("sälz", "Ünal", 585_166)];
}
