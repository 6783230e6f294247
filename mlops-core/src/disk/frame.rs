//! Frames: records in a file that is only ever appended to, each with a checksum, so that what a crash or a bad disk did to the
//! file is seen, and takes no more than the records it hit.
//!
//! | bytes | what |
//! |---|---|
//! | 2 | a mark, to find the next frame by after a damaged one |
//! | 4 | the payload's length |
//! | 1 | the kind |
//! | 4 | CRC-32 of length, kind and payload, begun with the file's salt and the frame's place in the file |
//! | n | the payload |
//!
//! Salt and place keep bytes that were left over from elsewhere, or that somebody logged, from being taken for a frame. Numbers
//! are little endian. A file begins with its header twice: it says what the file is and whose, and a damaged bit in one of them
//! costs nothing.

use uuid::Uuid;

/// The bytes of a frame before its payload.
pub(crate) const HEAD: usize = 11;
/// The longest payload.
pub(crate) const MAX_PAYLOAD: usize = 64 << 20;
const MARK: [u8; 2] = [0xc5, 0x6d];

/// The head of a frame for this payload, at this place of the file.
pub(crate) fn head(salt: u32, place: u64, kind: u8, payload: &[u8]) -> [u8; HEAD] {
    let [m0, m1] = MARK;
    let [l0, l1, l2, l3] = u32::try_from(payload.len()).unwrap_or(u32::MAX).to_le_bytes();
    let [c0, c1, c2, c3] = checksum(salt, place, &[l0, l1, l2, l3, kind], payload).to_le_bytes();
    [m0, m1, l0, l1, l2, l3, kind, c0, c1, c2, c3]
}

/// Appends a frame to `out`, which will lie at `place` of the file.
pub(crate) fn put(out: &mut Vec<u8>, salt: u32, place: u64, kind: u8, payload: &[u8]) {
    let place = place + out.len() as u64;
    out.extend_from_slice(&head(salt, place, kind, payload));
    out.extend_from_slice(payload);
}

fn checksum(salt: u32, place: u64, begin: &[u8; 5], payload: &[u8]) -> u32 {
    let [low, high] = [place as u32, (place >> 32) as u32];
    let seed = salt ^ low.wrapping_mul(0x9e37_79b1) ^ high.rotate_left(16);
    let mut hasher = crc32fast::Hasher::new_with_initial(seed);
    hasher.update(begin);
    hasher.update(payload);
    hasher.finalize()
}

/// What stands at a place of the file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found<'b> {
    /// A frame that is whole.
    Frame {
        /// What the writer says it is.
        kind: u8,
        /// What is in it.
        payload: &'b [u8],
        /// Where it begins.
        start: u64,
        /// Where it ends.
        end: u64,
    },
    /// Bytes that are no frame, before a frame that is whole.
    Damaged {
        /// Where they begin.
        start: u64,
        /// Where the next frame begins.
        end: u64,
    },
    /// Bytes that are no frame, up to the end: a write that was cut off, or damage.
    Tail {
        /// Where they begin.
        start: u64,
    },
}

/// Reads the frames of a file, or of a part of it that begins with a frame.
pub(crate) struct Frames<'b> {
    bytes: &'b [u8],
    base: u64,
    at: usize,
    salt: u32,
}

impl<'b> Frames<'b> {
    /// The frames in `bytes`, which lie at `base` of the file.
    pub(crate) fn new(bytes: &'b [u8], base: u64, salt: u32) -> Self {
        Self { bytes, base, at: 0, salt }
    }

    fn place(&self, at: usize) -> u64 {
        self.base + at as u64
    }

    /// Kind, payload and end of the frame here, if it is whole.
    fn parse(&self, at: usize) -> Option<(u8, &'b [u8], usize)> {
        let (head, rest) = self.bytes.get(at..)?.split_first_chunk::<HEAD>()?;
        let [m0, m1, l0, l1, l2, l3, kind, c0, c1, c2, c3] = *head;
        let length = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
        if [m0, m1] != MARK || length > MAX_PAYLOAD {
            return None;
        }
        let payload = rest.get(..length)?;
        let crc = checksum(self.salt, self.place(at), &[l0, l1, l2, l3, kind], payload);
        (crc == u32::from_le_bytes([c0, c1, c2, c3])).then_some((kind, payload, at + HEAD + length))
    }
}

impl<'b> Iterator for Frames<'b> {
    type Item = Found<'b>;

    fn next(&mut self) -> Option<Found<'b>> {
        let at = self.at;
        if at >= self.bytes.len() {
            return None;
        }
        if let Some((kind, payload, end)) = self.parse(at) {
            self.at = end;
            return Some(Found::Frame { kind, payload, start: self.place(at), end: self.place(end) });
        }
        let start = self.place(at);
        let next = (at + 1..self.bytes.len()).find(|next| self.parse(*next).is_some());
        self.at = next.unwrap_or(self.bytes.len());
        Some(match next {
            Some(next) => Found::Damaged { start, end: self.place(next) },
            None => Found::Tail { start },
        })
    }
}

/// What a file says it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// The kind of file.
    pub(crate) magic: [u8; 8],
    /// The version of what its frames mean.
    pub(crate) version: u32,
    /// Makes the frames of this file its own.
    pub(crate) salt: u32,
    /// Whose it is.
    pub(crate) owner: Uuid,
}

/// Why a file has no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoHeader {
    /// Nothing says that it is a file of this kind.
    Foreign,
    /// It is of this kind, but both headers are damaged.
    Damaged,
}

impl Header {
    /// Where the first frame begins.
    pub(crate) const LEN: usize = 2 * Self::COPY;
    const COPY: usize = 64;

    pub(crate) fn encode(&self) -> [u8; Self::LEN] {
        let mut copy = [0; Self::COPY];
        let parts =
            [&self.magic[..], &self.version.to_le_bytes(), &self.salt.to_le_bytes(), self.owner.as_bytes()];
        let body = parts.into_iter().flatten();
        copy.iter_mut().zip(body).for_each(|(to, from)| *to = *from);
        if let Some((body, crc)) = copy.split_last_chunk_mut::<4>() {
            *crc = crc32fast::hash(body).to_le_bytes();
        }
        let mut out = [0; Self::LEN];
        out.iter_mut().zip(copy.into_iter().chain(copy)).for_each(|(to, from)| *to = from);
        out
    }

    pub(crate) fn decode(bytes: &[u8], magic: [u8; 8]) -> Result<Self, NoHeader> {
        let copies = || bytes.chunks(Self::COPY).take(2);
        if let Some(header) = copies().find_map(Self::decode_copy).filter(|h| h.magic == magic) {
            return Ok(header);
        }
        let ours = copies().any(|copy| copy.starts_with(&magic));
        Err(if ours { NoHeader::Damaged } else { NoHeader::Foreign })
    }

    fn decode_copy(bytes: &[u8]) -> Option<Self> {
        let (body, crc) = bytes.first_chunk::<{ Self::COPY }>()?.split_last_chunk::<4>()?;
        if crc32fast::hash(body) != u32::from_le_bytes(*crc) {
            return None;
        }
        let (magic, rest) = body.split_first_chunk()?;
        let (version, rest) = rest.split_first_chunk()?;
        let (salt, rest) = rest.split_first_chunk()?;
        let owner = Uuid::from_bytes(*rest.first_chunk()?);
        let (version, salt) = (u32::from_le_bytes(*version), u32::from_le_bytes(*salt));
        Some(Self { magic: *magic, version, salt, owner })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SALT: u32 = 7;
    const BASE: u64 = 1000;

    fn file() -> (Vec<u8>, Vec<usize>) {
        let (mut bytes, mut ends) = (Vec::new(), Vec::new());
        for payload in [&b"one"[..], b"", b"\xc5\x6d\x00 three", b"four"] {
            put(&mut bytes, SALT, BASE, 9, payload);
            ends.push(bytes.len());
        }
        (bytes, ends)
    }

    fn whole(bytes: &[u8]) -> Vec<(&[u8], u64)> {
        let frames = Frames::new(bytes, BASE, SALT);
        frames
            .filter_map(|found| match found {
                Found::Frame { payload, start, .. } => Some((payload, start)),
                _ => None,
            })
            .collect()
    }

    #[test]
    fn a_file_that_was_cut_has_the_frames_before_the_cut() {
        let (bytes, ends) = file();
        for length in 0..bytes.len() {
            let found = whole(&bytes[..length]);
            assert_eq!(found.len(), ends.iter().filter(|end| **end <= length).count());
            let clean = length == 0 || ends.contains(&length);
            let tail = Frames::new(&bytes[..length], BASE, SALT).any(|f| matches!(f, Found::Tail { .. }));
            assert_eq!(tail, !clean, "{length}");
        }
    }

    #[test]
    fn a_turned_bit_takes_one_frame_and_no_more() {
        let (bytes, _) = file();
        let expected = whole(&bytes);
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            let found = whole(&bad);
            assert_eq!(found.len(), expected.len() - 1, "bit {bit}");
            assert!(found.iter().all(|frame| expected.contains(frame)), "bit {bit}");
        }
    }

    #[test]
    fn a_frame_counts_at_its_own_place_of_its_own_file_alone() {
        let (bytes, _) = file();
        assert!(Frames::new(&bytes, BASE + 1, SALT).all(|f| matches!(f, Found::Tail { .. })));
        assert!(Frames::new(&bytes, BASE, SALT + 1).all(|f| matches!(f, Found::Tail { .. })));
    }

    #[test]
    fn a_header_survives_a_turned_bit() {
        let magic = *b"MAGICMAG";
        let header = Header { magic, version: 3, salt: SALT, owner: Uuid::from_u128(5) };
        let bytes = header.encode();
        assert_eq!(Header::decode(&bytes, magic), Ok(header));
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Header::decode(&bad, magic), Ok(header), "bit {bit}");
        }
        let mut bad = bytes;
        (bad[20], bad[84]) = (bad[20] ^ 1, bad[84] ^ 1);
        assert_eq!(Header::decode(&bad, magic), Err(NoHeader::Damaged));
        assert_eq!(Header::decode(&bytes, *b"GAMEGAME"), Err(NoHeader::Foreign));
        assert_eq!(Header::decode(&[], magic), Err(NoHeader::Foreign));
    }
}
