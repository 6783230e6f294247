//! Alerts as lines of a file.

use std::collections::HashSet;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use async_trait::async_trait;

use crate::error::{Error, ErrorKind, Result};
use crate::id::{IdempotencyKey, check_text};
use crate::monitor::{Alert, AlertReceipt, AlertSink};
use crate::time::lock;

const OPEN: &str = "FileAlertSink::open";
const DELIVER: &str = "AlertSink::deliver";
/// The longest line that is read back: text in an alert is bounded, and this is far beyond.
const MAX_LINE: u64 = 16 << 20;

/// Appends alerts to a file, one JSON object a line.
///
/// * A line is on the disk (`fdatasync`) before `deliver` returns.
/// * Every key in the file is known: after a restart, an alert that is there is not written again. Keys are held in memory.
/// * A crash can leave half a line at the end. It was never confirmed; opening the file cuts it off. A line elsewhere that is no
///   alert is [`ErrorKind::Corrupt`], with its number.
/// * One process writes to a file at a time.
///
/// Writing blocks the calling thread for the time of one write and one sync.
///
/// ```
/// use mlops_core::monitor::sink::FileAlertSink;
/// use mlops_core::monitor::{Alert, AlertSink as _, Severity};
/// use mlops_core::IdempotencyKey;
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("alerts.jsonl");
/// let at = "2026-01-01T00:00:00Z".parse()?;
/// let alert = Alert::new(IdempotencyKey::generate(), "diabetes".parse()?, "inputs", Severity::Warning, "age drifted", at);
/// assert!(!FileAlertSink::open(&path)?.deliver(&alert).await?.duplicate);
/// // Another process, later.
/// assert!(FileAlertSink::open(&path)?.deliver(&alert).await?.duplicate);
/// # Ok::<(), Box<dyn std::error::Error>>(()) })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct FileAlertSink {
    path: PathBuf,
    to: Mutex<To>,
}

struct To {
    file: File,
    /// The length up to which lines are whole.
    length: u64,
    keys: HashSet<IdempotencyKey>,
}

impl FileAlertSink {
    /// Opens a file, or makes it; its folder has to be there.
    ///
    /// # Errors
    /// [`ErrorKind::Storage`] for what the file system refuses; [`ErrorKind::Corrupt`] for a line that is no alert.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref().to_owned();
        let fault = |source: std::io::Error| fault(OPEN, &path, source);
        let file = OpenOptions::new().read(true).append(true).create(true).open(&path).map_err(fault)?;
        let (length, keys) = read(&file, &path)?;
        file.set_len(length).map_err(fault)?;
        Ok(Self { to: Mutex::new(To { file, length, keys }), path })
    }
}

fn fault(operation: &'static str, path: &Path, source: std::io::Error) -> Error {
    let error =
        Error::new(ErrorKind::Storage, operation, "the file system refused").with("file", path.display());
    error.with_source(source)
}

/// The length of all whole lines, and the keys in them.
fn read(file: &File, path: &Path) -> Result<(u64, HashSet<IdempotencyKey>)> {
    #[derive(serde::Deserialize)]
    struct Keyed {
        key: IdempotencyKey,
    }
    let (mut reader, mut keys, mut length, mut line) = (BufReader::new(file), HashSet::new(), 0, Vec::new());
    for number in 1_u64.. {
        line.clear();
        let read = std::io::Read::take(&mut reader, MAX_LINE).read_until(b'\n', &mut line);
        let read = read.map_err(|source| fault(OPEN, path, source))? as u64;
        let corrupt = |message: &str| {
            let error = Error::new(ErrorKind::Corrupt, OPEN, message.to_owned());
            error.with("file", path.display()).with("line", number)
        };
        if read == MAX_LINE {
            return Err(corrupt("the line is too long for an alert"));
        }
        if line.last() != Some(&b'\n') {
            break;
        }
        let keyed: Keyed = serde_json::from_slice(&line)
            .map_err(|source| corrupt("the line is no alert").with_source(source))?;
        keys.insert(keyed.key);
        length += read;
    }
    Ok((length, keys))
}

impl fmt::Debug for FileAlertSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileAlertSink").field("path", &self.path).finish_non_exhaustive()
    }
}

impl To {
    /// Appends a line; what a failed write has left is cut off before the next one.
    fn append(&mut self, line: &[u8]) -> std::io::Result<()> {
        if self.file.seek(SeekFrom::End(0))? != self.length {
            self.file.set_len(self.length)?;
        }
        self.file.write_all(line)?;
        self.file.sync_data()?;
        self.length += line.len() as u64;
        Ok(())
    }
}

#[async_trait]
impl AlertSink for FileAlertSink {
    async fn deliver(&self, alert: &Alert) -> Result<AlertReceipt> {
        check_text(DELIVER, "the signal's name", &alert.signal)?;
        check_text(DELIVER, "the message", &alert.message)?;
        let receipt = |duplicate| AlertReceipt::new(duplicate, self.path.display().to_string());
        let mut to = lock(&self.to);
        if to.keys.contains(&alert.key) {
            return Ok(receipt(true));
        }
        let mut line = serde_json::to_vec(alert).map_err(|source| {
            Error::new(ErrorKind::Internal, DELIVER, "cannot write the alert down").with_source(source)
        })?;
        line.push(b'\n');
        to.append(&line).map_err(|source| fault(DELIVER, &self.path, source))?;
        to.keys.insert(alert.key.clone());
        Ok(receipt(false))
    }
}
