//! What the journal's frames hold: points of metrics, and what the numbers in them stand for.

use crate::id::{MetricKey, RunId};

/// A point. See [`Record`].
pub(crate) const POINT: u8 = 1;
/// Which run a number stands for.
pub(crate) const RUN: u8 = 2;
/// Which metric a number stands for.
pub(crate) const KEY: u8 = 3;

/// One value of one metric of one run, by their numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Record {
    pub(crate) run: u32,
    pub(crate) key: u32,
    pub(crate) step: i64,
    /// Microseconds since 1970.
    pub(crate) at: i64,
    pub(crate) value: f64,
}

impl Record {
    pub(crate) const LEN: usize = 32;

    pub(crate) fn encode(&self) -> [u8; Self::LEN] {
        let mut out = [0; Self::LEN];
        let (ids, rest) = out.split_at_mut(8);
        let (run, key) = ids.split_at_mut(4);
        run.copy_from_slice(&self.run.to_le_bytes());
        key.copy_from_slice(&self.key.to_le_bytes());
        let (step, rest) = rest.split_at_mut(8);
        let (at, value) = rest.split_at_mut(8);
        step.copy_from_slice(&self.step.to_le_bytes());
        at.copy_from_slice(&self.at.to_le_bytes());
        value.copy_from_slice(&self.value.to_bits().to_le_bytes());
        out
    }

    pub(crate) fn decode(payload: &[u8]) -> Option<Self> {
        let payload: &[u8; Self::LEN] = payload.try_into().ok()?;
        let (run, rest) = payload.split_first_chunk()?;
        let (key, rest) = rest.split_first_chunk()?;
        let (step, rest) = rest.split_first_chunk()?;
        let (at, rest) = rest.split_first_chunk()?;
        Some(Self {
            run: u32::from_le_bytes(*run),
            key: u32::from_le_bytes(*key),
            step: i64::from_le_bytes(*step),
            at: i64::from_le_bytes(*at),
            value: f64::from_bits(u64::from_le_bytes(*rest.first_chunk()?)),
        })
    }
}

/// The payload that says what a number stands for.
pub(crate) fn definition(number: u32, name: &str) -> Vec<u8> {
    [&number.to_le_bytes(), name.as_bytes()].concat()
}

/// Reads a [`definition`] of a run.
pub(crate) fn run(payload: &[u8]) -> Option<(u32, RunId)> {
    let (number, name) = defined(payload)?;
    Some((number, RunId::new(name).ok()?))
}

/// Reads a [`definition`] of a metric.
pub(crate) fn key(payload: &[u8]) -> Option<(u32, MetricKey)> {
    let (number, name) = defined(payload)?;
    Some((number, MetricKey::new(name).ok()?))
}

fn defined(payload: &[u8]) -> Option<(u32, &str)> {
    let (number, name) = payload.split_first_chunk()?;
    Some((u32::from_le_bytes(*number), std::str::from_utf8(name).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_back_as_they_went() {
        let record = Record { run: 1, key: u32::MAX, step: i64::MIN, at: -5, value: -0.0 };
        let back = Record::decode(&record.encode()).unwrap();
        assert_eq!((back, back.value.to_bits()), (record, record.value.to_bits()));
        assert_eq!(Record::decode(&[0; 31]), None);
        let loss = MetricKey::new("Güte").unwrap();
        assert_eq!(key(&definition(7, loss.as_str())), Some((7, loss)));
        assert_eq!(run(&definition(7, "no run id")), None);
    }
}
