//! Reading: every byte is verified before it is handed out.

use std::fs::File;
use std::io::{self, Read as _};
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::try_unfold;

use super::cas::Cas;
use crate::artifact::ByteStream;
use crate::disk::blocking;
use crate::disk::storage;
use crate::error::{Error, ErrorKind, Result};
use crate::hash::{Digest, StreamHasher};

/// How much is read, verified and handed out at a time.
pub(super) const PIECE: usize = 1 << 20;

const GET: &str = "ArtifactStore::get";

/// Content that hashed to its digest.
#[derive(Debug)]
pub(super) enum Content {
    /// All of it.
    Small(Bytes),
    /// A file that is too long to be held.
    Large(Arc<Large>),
}

/// A file that hashed to its digest when it was read through, and the states of the hash on the way.
///
/// Content that is read again may have been changed since. So each piece is hashed again, from the state before it, and
/// handed out only when that leads to the state after it: a piece that changed is never handed out, and a range costs no
/// more than its own pieces. A state is about a hundred bytes, for each piece of a mebibyte.
#[derive(Debug)]
pub(super) struct Large {
    file: File,
    digest: Digest,
    size: u64,
    before: Vec<StreamHasher>,
}

impl Cas {
    /// The content of `digest`, verified.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`]; [`ErrorKind::Integrity`] for content that does not hash to its digest.
    pub(super) fn verified(&self, operation: &'static str, digest: &Digest) -> Result<Content> {
        self.file(operation, digest).and_then(|file| verify(operation, file, digest))
    }
}

/// Reads a file through once; what it holds if that hashes to `digest`.
pub(super) fn verify(operation: &'static str, mut file: File, digest: &Digest) -> Result<Content> {
    let fault = |error| storage(operation, format_args!("cas/sha256/{}", digest.hex()), error);
    let length = file.metadata().map_err(fault)?.len();
    let mut piece = Vec::with_capacity(usize::try_from(length).unwrap_or(PIECE).min(PIECE));
    let (mut hasher, mut before, mut size) = (StreamHasher::new(), Vec::new(), 0);
    loop {
        piece.clear();
        let read = file.by_ref().take(PIECE as u64).read_to_end(&mut piece).map_err(fault)?;
        // A small file is kept, not read again.
        if read < PIECE && before.is_empty() {
            hasher.update(&piece);
            return matches(operation, digest, hasher).map(|()| Content::Small(piece.into()));
        }
        if read == 0 {
            break;
        }
        before.push(hasher.clone());
        hasher.update(&piece);
        size += read as u64;
    }
    matches(operation, digest, hasher)?;
    Ok(Content::Large(Arc::new(Large { file, digest: *digest, size, before })))
}

fn matches(operation: &'static str, digest: &Digest, hasher: StreamHasher) -> Result<()> {
    let found = hasher.finish();
    if found == *digest {
        return Ok(());
    }
    let error = Error::new(ErrorKind::Integrity, operation, "the content does not hash to its digest");
    Err(error.with("expected", digest).with("found", found))
}

fn changed(operation: &'static str, digest: &Digest) -> Error {
    Error::new(ErrorKind::Integrity, operation, "the content changed while it was read")
        .with("expected", digest)
}

impl Content {
    /// The length in bytes.
    pub(super) fn size(&self) -> u64 {
        match self {
            Self::Small(bytes) => bytes.len() as u64,
            Self::Large(large) => large.size,
        }
    }

    /// The bytes of `range`, or all.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for a range that does not lie within the content.
    pub(super) fn stream(self, range: Option<Range<u64>>) -> Result<ByteStream> {
        let size = self.size();
        let range = range.unwrap_or(0..size);
        if range.start > range.end || range.end > size {
            return Err(Error::invalid(GET, "range", "does not lie within the content")
                .with("range", format!("{}..{}", range.start, range.end))
                .with("size", size));
        }
        match self {
            Self::Small(bytes) => {
                // Within `bytes`, whose length is a `usize`.
                let at = |at: u64| usize::try_from(at).unwrap_or(bytes.len());
                Ok(bytes.slice(at(range.start)..at(range.end)).into())
            }
            Self::Large(large) => Ok(large.stream(range)),
        }
    }

    /// The first bytes, at most `count`.
    pub(super) fn head(&self, count: usize) -> Result<Bytes> {
        let first = match self {
            Self::Small(bytes) => bytes.clone(),
            Self::Large(large) => large.piece(0)?,
        };
        Ok(first.slice(..count.min(first.len())))
    }

    /// All of it in memory.
    pub(super) fn bytes(&self) -> Result<Bytes> {
        let large = match self {
            Self::Small(bytes) => return Ok(bytes.clone()),
            Self::Large(large) => large,
        };
        let mut all = Vec::new();
        for index in 0..large.before.len() {
            all.extend_from_slice(&large.piece(index)?);
        }
        Ok(all.into())
    }

    /// Hands out all of it, piece by piece.
    pub(super) fn for_each(&self, mut with: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        match self {
            Self::Small(bytes) => with(bytes),
            Self::Large(large) => (0..large.before.len()).try_for_each(|index| with(&large.piece(index)?)),
        }
    }
}

impl Large {
    /// The piece at `index`, hashed again.
    fn piece(&self, index: usize) -> Result<Bytes> {
        let changed = || changed(GET, &self.digest);
        let start = index as u64 * PIECE as u64;
        let length = usize::try_from(self.size.saturating_sub(start)).unwrap_or(PIECE).min(PIECE);
        let mut bytes = vec![0; length];
        self.file.read_exact_at(&mut bytes, start).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => changed(),
            _ => storage(GET, format_args!("cas/sha256/{}", self.digest.hex()), error),
        })?;
        let mut hasher = self.before.get(index).ok_or_else(changed)?.clone();
        hasher.update(&bytes);
        let after = self.before.get(index + 1).map_or(self.digest, |state| state.clone().finish());
        if hasher.finish() == after { Ok(bytes.into()) } else { Err(changed()) }
    }

    fn stream(self: Arc<Self>, range: Range<u64>) -> ByteStream {
        let pieces = try_unfold(range, move |range| {
            let large = self.clone();
            async move {
                if range.is_empty() {
                    return Ok(None);
                }
                let piece = blocking(GET, {
                    let range = range.clone();
                    move || large.part(&range)
                })
                .await?;
                let rest = range.start + piece.len() as u64..range.end;
                Ok(Some((piece, rest)))
            }
        });
        ByteStream::new(pieces)
    }

    /// The bytes of `range` up to the end of the piece in which it begins.
    fn part(&self, range: &Range<u64>) -> Result<Bytes> {
        let changed = || changed(GET, &self.digest);
        let index = usize::try_from(range.start / PIECE as u64).map_err(|_| changed())?;
        let piece = self.piece(index)?;
        let within = |at: u64| {
            usize::try_from(at - index as u64 * PIECE as u64).unwrap_or(piece.len()).min(piece.len())
        };
        let (start, end) = (within(range.start), within(range.end));
        if start < end { Ok(piece.slice(start..end)) } else { Err(changed()) }
    }
}
