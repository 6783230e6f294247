//! Which compiler made the running program.
//!
//! A program knows that only through a build script, and the `rustc` on the path need not be the one that compiled it. But the
//! compiler writes its version into the `.comment` section of the object files, the linker keeps it, and `strip` does too: so
//! it is read from the running executable, a few kilobytes of it. Linux only.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};

pub(super) fn rustc() -> Option<String> {
    if !cfg!(target_os = "linux") {
        return None;
    }
    // The link leads to the file that runs, also when it was replaced or removed since.
    let file = File::open("/proc/self/exe").ok()?;
    let read = |buffer: &mut [u8], at: u64| {
        let mut file = &file;
        file.seek(SeekFrom::Start(at)).ok()?;
        file.read_exact(buffer).ok()
    };
    comment(&read).and_then(|comment| version(&comment))
}

/// The most that is read of section headers, of their names and of the comment.
const MAX: u64 = 1 << 20;

/// Reads exactly one buffer from an offset.
type ReadAt<'a> = &'a dyn Fn(&mut [u8], u64) -> Option<()>;

/// The `.comment` section of a 64-bit little-endian ELF file.
fn comment(read: ReadAt<'_>) -> Option<Vec<u8>> {
    let part = |at: u64, size: u64| {
        let mut buffer = vec![0; usize::try_from(size).ok().filter(|_| size <= MAX)?];
        read(&mut buffer, at).map(|()| buffer)
    };
    let header = part(0, 64)?;
    if !header.starts_with(&[0x7f, b'E', b'L', b'F', 2, 1]) || number(&header, 0x3a, 2)? != 64 {
        return None;
    }
    let (count, names) = (number(&header, 0x3c, 2)?, number(&header, 0x3e, 2)?);
    let sections = part(number(&header, 0x28, 8)?, count * 64)?;
    let section = |index: u64| sections.chunks_exact(64).nth(usize::try_from(index).ok()?);
    let content = |section: &[u8]| part(number(section, 0x18, 8)?, number(section, 0x20, 8)?);
    let names = content(section(names)?)?;
    let is_comment = |section: &&[u8]| {
        let at = number(section, 0, 4).and_then(|at| usize::try_from(at).ok());
        at.and_then(|at| names.get(at..)).is_some_and(|name| name.starts_with(b".comment\0"))
    };
    content(sections.chunks_exact(64).find(is_comment)?)
}

fn number(bytes: &[u8], at: usize, length: usize) -> Option<u64> {
    let bytes = bytes.get(at..at + length)?;
    Some(bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

/// The version in `rustc version 1.95.0 (59807616e 2026-04-14)`, one of several texts that end in NUL.
fn version(comment: &[u8]) -> Option<String> {
    let mut texts = comment.split(|byte| *byte == 0).filter_map(|text| std::str::from_utf8(text).ok());
    let version = texts.find_map(|text| text.strip_prefix("rustc version "))?;
    (version.len() <= 100 && !version.chars().any(char::is_control)).then(|| version.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(bytes: &[u8]) -> Option<String> {
        let read = |buffer: &mut [u8], at: u64| {
            let at = usize::try_from(at).ok()?;
            buffer.copy_from_slice(bytes.get(at..at.checked_add(buffer.len())?)?);
            Some(())
        };
        comment(&read).and_then(|comment| version(&comment))
    }

    /// A file of a header, two sections, their names and a comment.
    fn elf(comment: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; 64 + 3 * 64];
        bytes[..6].copy_from_slice(&[0x7f, b'E', b'L', b'F', 2, 1]);
        let mut put = |at: usize, value: u64, length: usize| {
            bytes[at..at + length].copy_from_slice(&value.to_le_bytes()[..length]);
        };
        for (at, value, length) in [(0x28, 64, 8), (0x3a, 64, 2), (0x3c, 3, 2), (0x3e, 1, 2)] {
            put(at, value, length);
        }
        let names = b"\0.shstrtab\0.comment\0";
        let (names_at, comment_at) = (256, 256 + names.len() as u64);
        for (section, name, at, size) in
            [(1, 1, names_at, names.len() as u64), (2, 11, comment_at, comment.len() as u64)]
        {
            let base = 64 + section * 64;
            put(base, name, 4);
            put(base + 0x18, at, 8);
            put(base + 0x20, size, 8);
        }
        bytes.extend_from_slice(names);
        bytes.extend_from_slice(comment);
        bytes
    }

    #[test]
    fn the_version_is_found_among_other_comments() {
        let comment = b"GCC: (Debian) 12.2.0\0rustc version 1.95.0 (59807616e 2026-04-14)\0";
        assert_eq!(of(&elf(comment)).as_deref(), Some("1.95.0 (59807616e 2026-04-14)"));
        assert_eq!(of(&elf(b"GCC: (Debian) 12.2.0\0")), None);
        assert_eq!(of(&elf(b"rustc version \x1b[2J\0")), None);
    }

    #[test]
    fn a_damaged_file_is_no_version_and_no_panic() {
        let good = elf(b"rustc version 1.95.0\0");
        for cut in 0..good.len() {
            assert_eq!(of(&good[..cut]), None);
        }
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0xff;
            let _ = of(&bad);
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_program_knows_its_compiler() {
        let version = rustc().unwrap();
        assert!(version.starts_with("1.") && version.split('.').count() >= 3, "{version}");
    }
}
