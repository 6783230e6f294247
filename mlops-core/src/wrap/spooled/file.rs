//! A spool's file: held by its lock, appended to, replaced as a whole when most of it is of no use any more.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use uuid::Uuid;

use crate::disk::frame::{self, Found, Frames, HEAD, Header, NoHeader};

const MAGIC: [u8; 8] = *b"MLOPSSPL";
/// The version of what the frames mean.
const VERSION: u32 = 1;
const EXTENSION: &str = "spool";
const UNFINISHED: &str = "part";
const ASIDE: &str = "damaged";

/// Where a frame lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) start: u64,
    pub(super) end: u64,
}

impl Place {
    pub(super) fn len(self) -> u64 {
        self.end - self.start
    }
}

/// A file that is open and locked: nobody else writes to it, and nobody else sends what is in it.
#[derive(Debug)]
pub(super) struct SpoolFile {
    pub(super) id: Uuid,
    path: PathBuf,
    file: File,
    salt: u32,
    pub(super) end: u64,
    /// The bytes of the entries that are still of use, and how many there are.
    pub(super) live_bytes: u64,
    pub(super) live: u64,
    /// The disk did not take what was written: what is in the file is uncertain until it is replaced.
    pub(super) broken: bool,
}

/// What became of a file that was to be taken over.
pub(super) enum TakeOver {
    /// It is ours now; with its content.
    Ours(SpoolFile, Vec<u8>),
    /// Somebody else has it, or has finished it.
    Theirs,
    /// It cannot be read; why.
    Unreadable(&'static str),
}

impl SpoolFile {
    /// The bytes of a file with nothing in it.
    pub(super) const EMPTY: u64 = Header::LEN as u64;

    /// Makes a new file.
    pub(super) fn create(folder: &Path, id: Uuid) -> io::Result<Self> {
        let path = folder.join(format!("{id}.{EXTENSION}"));
        Self::write(id, path, &[]).map(|(file, _)| file)
    }

    /// Writes a file with these frames under a name that nobody looks at, locks it, and puts it into its place: a file of
    /// that name that can be locked has lost its process.
    fn write(id: Uuid, path: PathBuf, frames: &[(u8, Vec<u8>)]) -> io::Result<(Self, Vec<Place>)> {
        let folder = path.parent().unwrap_or(Path::new("."));
        let mut last = io::Error::other("no name is free");
        for _ in 0..8 {
            let unique = Uuid::new_v4();
            let part = folder.join(format!("{unique}.{UNFINISHED}"));
            let [s0, s1, s2, s3, ..] = *unique.as_bytes();
            let salt = u32::from_le_bytes([s0, s1, s2, s3]);
            match finish(&part, &path, id, salt, frames) {
                Ok((file, places)) => {
                    let end = places.last().map_or(Self::EMPTY, |place| place.end);
                    let (live, live_bytes, broken) = (0, 0, false);
                    return Ok((Self { id, path, file, salt, end, live_bytes, live, broken }, places));
                }
                Err(e) => {
                    // What is half made is of no use; who opens the folder next removes what stays.
                    drop(fs::remove_file(&part));
                    let taken = matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::NotFound);
                    last = e;
                    if !taken {
                        break;
                    }
                }
            }
        }
        Err(last)
    }

    /// Takes over the file of a process that is gone.
    pub(super) fn take_over(path: &Path) -> io::Result<TakeOver> {
        let Some(mut file) = lock_dead(path)? else { return Ok(TakeOver::Theirs) };
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let header = match Header::decode(&bytes, MAGIC) {
            Ok(header) => header,
            Err(NoHeader::Foreign) => return Ok(TakeOver::Unreadable("it is not a spool")),
            Err(NoHeader::Damaged) => return Ok(TakeOver::Unreadable("both headers are damaged")),
        };
        if header.version != VERSION {
            return Ok(TakeOver::Unreadable("it is of another version"));
        }
        let (id, salt, path) = (header.owner, header.salt, path.to_owned());
        let end = bytes.len() as u64;
        let spool = Self { id, path, file, salt, end, live_bytes: 0, live: 0, broken: false };
        Ok(TakeOver::Ours(spool, bytes))
    }

    pub(super) fn name(&self) -> String {
        name(&self.path)
    }

    /// The frames of its content.
    pub(super) fn frames<'b>(&self, bytes: &'b [u8]) -> Frames<'b> {
        Frames::new(bytes.get(Header::LEN..).unwrap_or_default(), Self::EMPTY, self.salt)
    }

    /// Appends a frame; when it is durable, the disk has it before this returns. What fails leaves nothing.
    pub(super) fn append(&mut self, kind: u8, payload: &[u8], durable: bool) -> io::Result<Place> {
        if self.broken {
            return Err(io::Error::other("the disk did not take what was written before"));
        }
        let mut bytes = Vec::with_capacity(HEAD + payload.len());
        frame::put(&mut bytes, self.salt, self.end, kind, payload);
        if let Err(e) = self.file.write_all_at(&bytes, self.end) {
            // Half a frame must not stay.
            self.broken = self.file.set_len(self.end).is_err();
            return Err(e);
        }
        if durable && let Err(e) = self.file.sync_data() {
            // A failed fsync must not be tried again into a success: what is of use goes into another file.
            drop(self.file.set_len(self.end));
            self.broken = true;
            return Err(e);
        }
        let place = Place { start: self.end, end: self.end + bytes.len() as u64 };
        self.end = place.end;
        Ok(place)
    }

    /// Reads a frame again; `None` if it is not what was written.
    pub(super) fn read(&self, place: Place) -> io::Result<Option<Vec<u8>>> {
        let mut bytes = vec![0; usize::try_from(place.len()).unwrap_or_default()];
        match self.file.read_exact_at(&mut bytes, place.start) {
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            answer => answer?,
        }
        let found = Frames::new(&bytes, place.start, self.salt).next();
        Ok(match found {
            Some(Found::Frame { payload, end, .. }) if end == place.end => Some(payload.to_vec()),
            _ => None,
        })
    }

    /// Replaces all of it by these frames, at once; where they lie now.
    pub(super) fn replace(&mut self, frames: &[(u8, Vec<u8>)]) -> io::Result<Vec<Place>> {
        let (new, places) = Self::write(self.id, self.path.clone(), frames)?;
        *self = new;
        Ok(places)
    }

    /// Throws away everything that is in it, none of which is of use.
    pub(super) fn cut(&mut self) -> io::Result<()> {
        self.file.set_len(Self::EMPTY)?;
        self.end = Self::EMPTY;
        Ok(())
    }

    /// Keeps it under another name as it is now, before it is replaced; the name.
    pub(super) fn keep_aside(&self) -> io::Result<String> {
        let ours = self.file.metadata()?.ino();
        for number in 0..1000 {
            let aside = match number {
                0 => self.path.with_extension(ASIDE),
                n => self.path.with_extension(format!("{n}.{ASIDE}")),
            };
            match fs::hard_link(&self.path, &aside) {
                Ok(()) => return Ok(name(&aside)),
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                    // Whoever kept it was killed before it was replaced.
                    if fs::symlink_metadata(&aside)?.ino() == ours {
                        return Ok(name(&aside));
                    }
                }
                // This file system has no links.
                Err(e)
                    if e.kind() == io::ErrorKind::Unsupported
                        || e.kind() == io::ErrorKind::PermissionDenied =>
                {
                    fs::copy(&self.path, &aside)?;
                    File::open(&aside)?.sync_all()?;
                    return Ok(name(&aside));
                }
                Err(e) => return Err(e),
            }
        }
        Err(io::Error::other("too many damaged files are kept"))
    }

    /// Removes it; nothing in it is of use.
    pub(super) fn remove(self) -> io::Result<()> {
        fs::remove_file(&self.path)
    }
}

impl Drop for SpoolFile {
    /// Lets go of it at once: a child of this process that has just been forked holds the same lock until it runs its program.
    fn drop(&mut self) {
        drop(self.file.unlock());
    }
}

fn finish(
    part: &Path,
    path: &Path,
    id: Uuid,
    salt: u32,
    frames: &[(u8, Vec<u8>)],
) -> io::Result<(File, Vec<Place>)> {
    let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(part)?;
    file.try_lock().map_err(io::Error::from)?;
    file.write_all_at(&Header { magic: MAGIC, version: VERSION, salt, owner: id }.encode(), 0)?;
    let mut places = Vec::with_capacity(frames.len());
    let mut start = SpoolFile::EMPTY;
    for (kind, payload) in frames {
        let mut bytes = Vec::with_capacity(HEAD + payload.len());
        frame::put(&mut bytes, salt, start, *kind, payload);
        file.write_all_at(&bytes, start)?;
        let end = start + bytes.len() as u64;
        places.push(Place { start, end });
        start = end;
    }
    file.sync_all()?;
    fs::rename(part, path)?;
    if let Some(folder) = path.parent() {
        File::open(folder)?.sync_all()?;
    }
    Ok((file, places))
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Opens a file that nobody holds; `None` if somebody does, or it is gone.
fn lock_dead(path: &Path) -> io::Result<Option<File>> {
    let file = match OpenOptions::new().read(true).write(true).open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e),
    };
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(None),
        Err(TryLockError::Error(e)) => return Err(e),
    }
    // Whoever had it removed or replaced it while we waited.
    let (here, there) = (file.metadata()?, fs::metadata(path));
    let same = there.is_ok_and(|there| (there.dev(), there.ino()) == (here.dev(), here.ino()));
    Ok(same.then_some(file))
}

/// The spools in a folder, by name. Left-overs of files that were never finished are removed.
pub(super) fn list(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        match path.extension().and_then(|e| e.to_str()) {
            Some(EXTENSION) if fs::symlink_metadata(&path).is_ok_and(|m| m.is_file()) => found.push(path),
            Some(UNFINISHED) => {
                // Whoever is making it right now holds its lock, or will find it gone and make another.
                if let Ok(Some(_left)) = lock_dead(&path) {
                    drop(fs::remove_file(&path));
                }
            }
            _ => {}
        }
    }
    found.sort();
    Ok(found)
}
