//! Many points of one metric in few bytes.
//!
//! Points come sorted by step, time and number. Each is written as what it adds to the one before: step, time and number as
//! variable-length integers (seven bits a byte, sign in the lowest bit), then the value as eight bytes. A point of a series that
//! counts steps costs 12 to 14 bytes.

use super::points::Point;

/// The most points in one chunk: one that is asked for costs at most the reading of so many.
pub(crate) const MAX: usize = 4096;

/// Packs points, sorted by place.
pub(crate) fn encode(points: &[Point]) -> Vec<u8> {
    let mut out = Vec::with_capacity(points.len() * 16);
    let mut before = Point { step: 0, at: 0, number: -1, value: 0 };
    for point in points {
        put(&mut out, point.step.wrapping_sub(before.step));
        put(&mut out, point.at.wrapping_sub(before.at));
        put(&mut out, point.number.wrapping_sub(before.number).wrapping_sub(1));
        out.extend_from_slice(&point.value.to_le_bytes());
        before = *point;
    }
    out
}

/// Unpacks `count` points; `None` if that is not what these bytes hold.
pub(crate) fn decode(mut bytes: &[u8], count: usize) -> Option<Vec<Point>> {
    let mut out = Vec::with_capacity(count.min(MAX));
    let mut before = Point { step: 0, at: 0, number: -1, value: 0 };
    for _ in 0..count {
        let step = before.step.wrapping_add(take(&mut bytes)?);
        let at = before.at.wrapping_add(take(&mut bytes)?);
        let number = before.number.wrapping_add(take(&mut bytes)?).wrapping_add(1);
        let (value, rest) = bytes.split_first_chunk::<8>()?;
        bytes = rest;
        before = Point { step, at, number, value: i64::from_le_bytes(*value) };
        out.push(before);
    }
    bytes.is_empty().then_some(out)
}

fn put(out: &mut Vec<u8>, number: i64) {
    let mut rest = ((number << 1) ^ (number >> 63)).cast_unsigned();
    loop {
        let [low, ..] = rest.to_le_bytes();
        rest >>= 7;
        if rest == 0 {
            return out.push(low & 0x7f);
        }
        out.push(low | 0x80);
    }
}

fn take(bytes: &mut &[u8]) -> Option<i64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some((number >> 1).cast_signed() ^ -(number & 1).cast_signed());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_come_back_as_they_went() {
        let extreme = [i64::MIN, -1, 0, 1, 63, 64, i64::MAX];
        let mut points = Vec::new();
        for step in extreme {
            for at in extreme {
                points.push(Point { step, at, number: at, value: step ^ at });
            }
        }
        let bytes = encode(&points);
        assert_eq!(decode(&bytes, points.len()).unwrap(), points);
        assert_eq!(decode(&bytes, points.len() - 1), None);
        assert_eq!(decode(&bytes, points.len() + 1), None);
        assert_eq!(decode(&[0x80; 40], 1), None);
        assert_eq!(decode(&[], 0).unwrap(), []);
    }

    #[test]
    fn counting_costs_little() {
        let second = 1_000_000;
        let points: Vec<_> =
            (0..1000).map(|i| Point { step: i, at: i * second, number: i, value: i << 40 }).collect();
        assert!(encode(&points).len() < 14_000, "{}", encode(&points).len());
    }
}
