//! An open folder: everything is named relative to it, and no symbolic link is followed.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt as _;
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RenameFlags, Stat};
use rustix::io::{Errno, retry_on_intr};

/// A folder held open by its descriptor, so that it stays the same one whatever is renamed around it.
///
/// Names are single components. What is opened is opened without following a symbolic link in its place and without
/// waiting for the other end of a FIFO.
#[derive(Debug)]
pub(crate) struct Folder(OwnedFd);

/// What was found in the place of a file.
#[derive(Debug)]
pub(crate) enum Found {
    /// A regular file, open for reading.
    File(File),
    /// Something else, which was not opened.
    Other(FileType),
}

const FOLDER: OFlags = OFlags::DIRECTORY.union(OFlags::RDONLY).union(OFlags::CLOEXEC);

impl Folder {
    /// Opens the folder at a path of the file system; links on the way there are followed.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self(retry_on_intr(|| rustix::fs::open(path, FOLDER, Mode::empty()))?))
    }

    /// Opens a folder in this one.
    pub(crate) fn folder(&self, name: impl AsRef<OsStr>) -> io::Result<Self> {
        let flags = FOLDER | OFlags::NOFOLLOW;
        Ok(Self(retry_on_intr(|| rustix::fs::openat(&self.0, name.as_ref(), flags, Mode::empty()))?))
    }

    /// Makes a folder in this one; whether it was not there before.
    pub(crate) fn make_folder(&self, name: impl AsRef<OsStr>, mode: u32) -> io::Result<bool> {
        match retry_on_intr(|| rustix::fs::mkdirat(&self.0, name.as_ref(), permissions(mode))) {
            Ok(()) => Ok(true),
            Err(Errno::EXIST) => Ok(false),
            // A read-only file system says so before it looks whether the folder is there.
            Err(error) => {
                if self.folder(name).is_ok() {
                    Ok(false)
                } else {
                    Err(error.into())
                }
            }
        }
    }

    /// Opens what is called `name` for reading, if it is a regular file.
    pub(crate) fn find(&self, name: impl AsRef<OsStr>) -> io::Result<Found> {
        let name = name.as_ref();
        let kind = file_type(&self.stat(name)?);
        if kind != FileType::RegularFile {
            return Ok(Found::Other(kind)); // opening a device can do something
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = match retry_on_intr(|| rustix::fs::openat(&self.0, name, flags, Mode::empty())) {
            Ok(file) => file,
            Err(Errno::LOOP) => return Ok(Found::Other(FileType::Symlink)),
            Err(error) => return Err(error.into()),
        };
        match file_type(&rustix::fs::fstat(&file)?) {
            FileType::RegularFile => Ok(Found::File(file.into())),
            other => Ok(Found::Other(other)),
        }
    }

    /// Makes a file that was not there, open for reading and writing.
    pub(crate) fn make_file(&self, name: impl AsRef<OsStr>, mode: u32) -> io::Result<File> {
        self.open_with(name.as_ref(), OFlags::RDWR | OFlags::CREATE | OFlags::EXCL, mode)
    }

    /// Opens a file for reading and writing, and makes it where it is not there.
    pub(crate) fn open_or_make_file(&self, name: impl AsRef<OsStr>, mode: u32) -> io::Result<File> {
        self.open_with(name.as_ref(), OFlags::RDWR | OFlags::CREATE | OFlags::NONBLOCK, mode)
    }

    fn open_with(&self, name: &OsStr, flags: OFlags, mode: u32) -> io::Result<File> {
        let flags = flags | OFlags::NOFOLLOW | OFlags::NOCTTY | OFlags::CLOEXEC;
        Ok(retry_on_intr(|| rustix::fs::openat(&self.0, name, flags, permissions(mode)))?.into())
    }

    /// What is called `name`: a link itself, not what it points to.
    pub(crate) fn stat(&self, name: impl AsRef<OsStr>) -> io::Result<Stat> {
        Ok(retry_on_intr(|| rustix::fs::statat(&self.0, name.as_ref(), AtFlags::SYMLINK_NOFOLLOW))?)
    }

    /// What this folder itself is like.
    pub(crate) fn stat_self(&self) -> io::Result<Stat> {
        Ok(rustix::fs::fstat(&self.0)?)
    }

    /// Moves a file to `to` in `folder`, replacing a file that is there.
    pub(crate) fn rename(
        &self,
        from: impl AsRef<OsStr>,
        folder: &Self,
        to: impl AsRef<OsStr>,
    ) -> io::Result<()> {
        Ok(rustix::fs::renameat(&self.0, from.as_ref(), &folder.0, to.as_ref())?)
    }

    /// Moves something to `to` in `folder`, where nothing may be.
    pub(crate) fn rename_new(
        &self,
        from: impl AsRef<OsStr>,
        folder: &Self,
        to: impl AsRef<OsStr>,
    ) -> io::Result<()> {
        let (from, to) = (from.as_ref(), to.as_ref());
        match rustix::fs::renameat_with(&self.0, from, &folder.0, to, RenameFlags::NOREPLACE) {
            // This file system cannot do both at once. Of what may appear in between, only an empty folder is replaced.
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => match folder.stat(to) {
                Ok(_) => Err(Errno::EXIST.into()),
                Err(error) if error.kind() == io::ErrorKind::NotFound => self.rename(from, folder, to),
                Err(error) => Err(error),
            },
            answer => Ok(answer?),
        }
    }

    /// Removes a file or a link.
    pub(crate) fn remove_file(&self, name: impl AsRef<OsStr>) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&self.0, name.as_ref(), AtFlags::empty())?)
    }

    /// Removes an empty folder.
    pub(crate) fn remove_folder(&self, name: impl AsRef<OsStr>) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&self.0, name.as_ref(), AtFlags::REMOVEDIR)?)
    }

    /// Makes the names in this folder durable.
    pub(crate) fn sync(&self) -> io::Result<()> {
        match rustix::fs::fsync(&self.0) {
            Err(Errno::INVAL | Errno::NOTSUP) => Ok(()), // a file system that has no such thing for folders
            answer => Ok(answer?),
        }
    }

    /// The names in this folder, in no order.
    pub(crate) fn names(&self) -> io::Result<impl Iterator<Item = io::Result<OsString>> + use<>> {
        let entries = rustix::fs::Dir::read_from(&self.0)?;
        Ok(entries.filter_map(|entry| match entry {
            Ok(entry) if matches!(entry.file_name().to_bytes(), b"." | b"..") => None,
            Ok(entry) => Some(Ok(OsString::from_vec(entry.file_name().to_bytes().to_vec()))),
            Err(error) => Some(Err(error.into())),
        }))
    }
}

/// What kind of thing it is.
pub(crate) fn file_type(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

/// The kind of thing in words.
pub(crate) fn word(kind: FileType) -> &'static str {
    match kind {
        FileType::RegularFile => "a file",
        FileType::Directory => "a folder",
        FileType::Symlink => "a symbolic link",
        FileType::Fifo => "a FIFO",
        FileType::Socket => "a socket",
        FileType::CharacterDevice | FileType::BlockDevice => "a device",
        _ => "something unknown",
    }
}

fn permissions(mode: u32) -> Mode {
    Mode::from_raw_mode(mode)
}
