//! Sending content so that what was sent before a crash is not sent again.
//!
//! Content of up to 8 MiB goes in one request, with its MD5, and is there whole or not at all. Longer content goes in blocks
//! whose ids say what is in them: their place, and the SHA-256 of their bytes. Whoever sends the same content again asks which
//! blocks are there, and sends the others; the service keeps blocks that no blob has for a week. Two that send the same content
//! at once send the same blocks, and it does not matter whose are used.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _};
use md5::{Digest as _, Md5};
use mlops_core::hash::{Digest, StreamHasher};
use mlops_core::{Error, ErrorKind, Result};

use super::container::{Condition, Container, PIECE, PIECES_AT_ONCE, Written};
use crate::artifact::spool::Spool;

/// The most blocks that a blob can have.
const MAX_BLOCKS: u64 = 50_000;

/// The longest block that storage takes: 4000 MiB.
const MAX_BLOCK: u64 = 4000 << 20;

/// Bytes that can be read again, from the start.
pub(crate) enum Source<'a> {
    Spool(&'a Spool),
    /// A file, open.
    File(Arc<File>),
}

impl Source<'_> {
    async fn read(&self, operation: &'static str, start: u64, length: u64) -> Result<Bytes> {
        match self {
            Self::Spool(spool) => {
                let limit = usize::try_from(length).unwrap_or(usize::MAX);
                spool.stream(operation, start..start.saturating_add(length)).await?.collect(limit).await
            }
            Self::File(file) => {
                let file = file.clone();
                let read = move || read_at(&file, start, length);
                let joined = tokio::task::spawn_blocking(read).await;
                let ended = |_| Error::new(ErrorKind::Internal, operation, "a reading task ended");
                joined.map_err(ended)?.map_err(|e| unreadable(operation, e))
            }
        }
    }
}

fn read_at(mut file: &File, start: u64, length: u64) -> std::io::Result<Bytes> {
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    file.take(length).read_to_end(&mut bytes)?;
    Ok(bytes.into())
}

pub(super) fn unreadable(operation: &'static str, error: std::io::Error) -> Error {
    let kind = match error.kind() {
        std::io::ErrorKind::NotFound => ErrorKind::NotFound,
        _ => ErrorKind::Storage,
    };
    Error::new(kind, operation, "a file cannot be read").with_source(error)
}

/// What is to be stored where.
pub(crate) struct Sending<'a> {
    pub operation: &'static str,
    pub key: &'a str,
    pub source: Source<'a>,
    pub size: u64,
    /// What the content must still be when it has been read.
    pub digest: Digest,
    pub condition: Condition,
    pub metadata: &'a [(&'static str, String)],
}

/// What it took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Took {
    /// Bytes that were sent.
    pub sent: u64,
    /// Bytes that were there from an earlier attempt.
    pub kept: u64,
    /// Whether a blob was written.
    pub wrote: bool,
}

impl Sending<'_> {
    /// Sends the content; `None` where the condition does not hold.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] when the content is not what it was when its digest was taken: nothing is stored then.
    pub async fn send(&self, container: &Container) -> Result<Option<Took>> {
        match self.size <= PIECE {
            true => self.at_once(container).await,
            false => self.in_blocks(container).await,
        }
    }

    async fn at_once(&self, container: &Container) -> Result<Option<Took>> {
        let body = self.source.read(self.operation, 0, self.size).await?;
        if body.len() as u64 != self.size || Digest::of(&body) != self.digest {
            return Err(self.changed());
        }
        let written = container.put(self.operation, self.key, body, &self.condition, self.metadata).await?;
        Ok((written == Written::Yes).then_some(Took { sent: self.size, kept: 0, wrote: true }))
    }

    async fn in_blocks(&self, container: &Container) -> Result<Option<Took>> {
        let (operation, key) = (self.operation, self.key);
        let length = block_length(operation, self.size)?;
        let there = container.blocks(operation, key).await?;
        let mut reading = Reading::default();
        let (mut ids, mut took) = (Vec::new(), Took { wrote: true, ..Took::default() });
        let mut sending = futures_util::stream::FuturesUnordered::new();
        let mut start = 0;
        while start < self.size {
            let wanted = length.min(self.size - start);
            let body = self.source.read(operation, start, wanted).await?;
            if body.len() as u64 != wanted {
                return Err(self.changed());
            }
            let id = reading.take(&body);
            if there.get(&id) == Some(&wanted) {
                took.kept += wanted;
            } else {
                took.sent += wanted;
                if sending.len() >= PIECES_AT_ONCE {
                    sending.try_next().await?;
                }
                let id = id.clone();
                sending.push(async move { container.put_block(operation, key, &id, body).await });
            }
            ids.push(id);
            start += wanted;
        }
        while sending.next().await.transpose()?.is_some() {}
        let (digest, md5) = reading.finish();
        if digest != self.digest {
            return Err(self.changed());
        }
        let written =
            container.put_block_list(operation, key, &ids, &md5, &self.condition, self.metadata).await?;
        Ok((written == Written::Yes).then_some(took))
    }

    fn changed(&self) -> Error {
        let message = "the content changed while it was sent";
        Error::new(ErrorKind::Conflict, self.operation, message).with("key", self.key)
    }
}

/// The MD5 of a content, read once more.
pub(crate) async fn md5_of(operation: &'static str, source: &Source<'_>, size: u64) -> Result<[u8; 16]> {
    let (mut md5, mut start) = (Md5::new(), 0);
    while start < size {
        let body = source.read(operation, start, PIECE.min(size - start)).await?;
        if body.is_empty() {
            break;
        }
        md5.update(&body);
        start += body.len() as u64;
    }
    Ok(md5.finalize().into())
}

/// What has been read so far.
#[derive(Default)]
struct Reading {
    sha256: StreamHasher,
    md5: Md5,
    blocks: u32,
}

impl Reading {
    /// The id of the next block: 32 bytes in Base64, the first four its place, the others the first of its SHA-256. Ids of one
    /// blob must all have one length.
    fn take(&mut self, block: &[u8]) -> String {
        self.sha256.update(block);
        self.md5.update(block);
        let mut id = [0_u8; 32];
        let (place, content) = id.split_at_mut(4);
        place.copy_from_slice(&self.blocks.to_be_bytes());
        for (to, from) in content.iter_mut().zip(Digest::of(block).as_bytes()) {
            *to = *from;
        }
        self.blocks += 1;
        BASE64_STANDARD.encode(id)
    }

    fn finish(self) -> (Digest, [u8; 16]) {
        (self.sha256.finish(), self.md5.finalize().into())
    }
}

/// The length of all blocks but the last: 8 MiB, or as many bytes more as it takes to have no more blocks than a blob can have.
/// It follows from the content's length alone: an upload that is resumed cuts as the first one did.
fn block_length(operation: &'static str, size: u64) -> Result<u64> {
    let length = size.div_ceil(MAX_BLOCKS).div_ceil(1 << 20).saturating_mul(1 << 20).max(PIECE);
    match length <= MAX_BLOCK {
        true => Ok(length),
        false => Err(Error::limit(operation, "the content", MAX_BLOCK * MAX_BLOCKS, size)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_content_has_more_blocks_than_a_blob_can_have() {
        for size in [PIECE + 1, MAX_BLOCKS * PIECE, MAX_BLOCKS * PIECE + 1, 1 << 40, MAX_BLOCK * MAX_BLOCKS] {
            let length = block_length("op", size).unwrap();
            assert!(size.div_ceil(length) <= MAX_BLOCKS && (PIECE..=MAX_BLOCK).contains(&length), "{size}");
        }
        assert_eq!(block_length("op", MAX_BLOCKS * PIECE).unwrap(), PIECE);
        for size in [MAX_BLOCK * MAX_BLOCKS + 1, u64::MAX] {
            assert_eq!(block_length("op", size).unwrap_err().kind(), ErrorKind::LimitExceeded);
        }
    }

    #[test]
    fn ids_say_place_and_content_and_have_one_length() {
        let ids = |blocks: &[&[u8]]| {
            let mut reading = Reading::default();
            blocks.iter().map(|block| reading.take(block)).collect::<Vec<_>>()
        };
        let one = ids(&[b"a", b"a", b"b"]);
        assert_eq!(one, ids(&[b"a", b"a", b"b"]));
        assert!(one[0] != one[1] && one[1] != one[2] && one.iter().all(|id| id.len() == 44));
        assert_ne!(one[2], ids(&[b"a", b"a", b"c"])[2]);
    }

    #[tokio::test]
    async fn a_file_is_read_in_parts() {
        let mut file = tempfile::tempfile().unwrap();
        std::io::Write::write_all(&mut file, b"0123456789").unwrap();
        let source = Source::File(Arc::new(file));
        assert_eq!(&source.read("op", 2, 3).await.unwrap()[..], b"234");
        assert_eq!(&source.read("op", 8, 5).await.unwrap()[..], b"89");
        let md5: [u8; 16] = Md5::digest(b"0123456789").into();
        assert_eq!(md5_of("op", &source, 10).await.unwrap(), md5);
    }
}
