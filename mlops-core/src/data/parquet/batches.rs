//! A Parquet file in batches, for files that are larger than memory.

use std::fs::File;
use std::path::{Path, PathBuf};

use polars::prelude::{DataFrame, ParquetReader, SerReader};

use crate::data::csv::{check_file, file_name, unreadable};
use crate::data::{Table, frame};
use crate::error::{Error, Result};

use super::{OP, ParquetOptions, corrupt, decode, guarded};

/// Reads a Parquet file batch by batch: one row group at a time is decoded, and handed out in batches.
///
/// Memory: one row group, decoded, and one batch. The file is mapped; the pages of it that are looked at belong to the system and
/// are given back when memory is short. What is said about damaged files at [`read_parquet`](super::read_parquet) holds here too.
///
/// ```no_run
/// use mlops_core::data::frame::{ParquetBatches, ParquetOptions};
/// use mlops_core::data::{ProfileOptions, Profiler};
///
/// let mut profiler = Profiler::new(ProfileOptions::default())?;
/// for batch in ParquetBatches::open("patients.parquet", &ParquetOptions::default(), 65_536)? {
///     profiler.push(&batch?)?;
/// }
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Debug)]
pub struct ParquetBatches {
    path: PathBuf,
    file: File,
    options: ParquetOptions,
    rows: usize,
    /// The rows of each group.
    groups: Vec<usize>,
    /// The group to read next, and how many rows lie before it.
    group: usize,
    before: usize,
    /// The group that was read, and how many of its rows were handed out.
    current: Option<(DataFrame, usize)>,
    done: bool,
}

impl ParquetBatches {
    /// Opens a file and reads its footer; `rows` is the most rows of a batch, at least 1.
    ///
    /// # Errors
    /// As [`read_parquet`](super::read_parquet), and [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for no rows a batch.
    /// Columns are checked with the first batch.
    pub fn open(path: impl AsRef<Path>, options: &ParquetOptions, rows: usize) -> Result<Self> {
        let path = path.as_ref();
        let fail = |field, message| Err(Error::invalid(OP, field, message).with("file", file_name(path)));
        if rows == 0 {
            return fail("rows", "must be at least 1");
        }
        check_file(OP, path)?;
        let io = |e| unreadable(OP, path, e);
        let file = File::open(path).map_err(io)?;
        let bytes = file.metadata().map_err(io)?.len();
        if bytes == 0 {
            return fail("content", "is empty");
        }
        if !has_magic(&file, bytes).map_err(io)? {
            return fail("content", "is not a Parquet file");
        }
        let read = || {
            let mut reader = ParquetReader::new(file.try_clone().map_err(io)?);
            let metadata = reader.get_metadata().map_err(corrupt)?;
            Ok(metadata.row_groups.iter().map(|group| group.num_rows()).collect::<Vec<usize>>())
        };
        let groups = guarded(read).map_err(|e| e.with("file", file_name(path)))?;
        if groups.iter().all(|rows| *rows == 0) {
            return fail("content", "has no rows");
        }
        let (path, options) = (path.to_owned(), options.clone());
        Ok(Self { path, file, options, rows, groups, group: 0, before: 0, current: None, done: false })
    }

    /// How many rows the file has, by its footer.
    pub fn rows_total(&self) -> usize {
        self.groups.iter().fold(0, |sum, rows| sum.saturating_add(*rows))
    }

    fn read(&mut self) -> Result<Option<Table<'static>>> {
        loop {
            if let Some((frame, from)) = &mut self.current {
                if *from < frame.height() {
                    let rows = self.rows.min(frame.height() - *from);
                    let part = frame.slice(i64::try_from(*from).unwrap_or(i64::MAX), rows);
                    *from += rows;
                    return frame::table(&part).map(|table| Some(table.into_owned()));
                }
                self.current = None;
            }
            let Some(rows) = self.groups.get(self.group).copied() else { return Ok(None) };
            let file = self.file.try_clone().map_err(|e| unreadable(OP, &self.path, e))?;
            let reader = ParquetReader::new(file).with_slice(Some((self.before, rows)));
            self.current = Some((guarded(|| decode(reader, &self.options))?, 0));
            self.group += 1;
            self.before = self.before.saturating_add(rows);
        }
    }
}

/// Whether a file begins and ends as a Parquet file does.
fn has_magic(mut file: &File, bytes: u64) -> std::io::Result<bool> {
    use std::io::{Read, Seek, SeekFrom};
    if bytes < 12 {
        return Ok(false);
    }
    let (mut first, mut last) = ([0; 4], [0; 4]);
    file.read_exact(&mut first)?;
    file.seek(SeekFrom::End(-4))?;
    file.read_exact(&mut last)?;
    file.seek(SeekFrom::Start(0))?;
    Ok(&first == b"PAR1" && &last == b"PAR1")
}

/// After an error there is nothing more.
impl Iterator for ParquetBatches {
    type Item = Result<Table<'static>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let batch = self.read();
        self.done = !matches!(batch, Ok(Some(_)));
        let name = || file_name(&self.path);
        batch.map_err(|e| if e.context("file").is_some() { e } else { e.with("file", name()) }).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;
    use crate::data::frame::read_parquet;
    use crate::data::row_digests;
    use polars::prelude::{Column, ParquetWriter};

    fn file(groups: usize) -> tempfile::NamedTempFile {
        let n: Vec<i64> = (0..1_000).collect();
        let columns = vec![
            Column::new("n".into(), n.clone()),
            Column::new(
                "s".into(),
                n.iter().map(|n| (n % 7 > 0).then(|| format!("t{}", n % 5))).collect::<Vec<_>>(),
            ),
            Column::new("x".into(), n.iter().map(|n| *n as f64 / 3.0).collect::<Vec<_>>()),
        ];
        let mut frame = DataFrame::new(1_000, columns).unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        ParquetWriter::new(file.reopen().unwrap())
            .with_row_group_size(Some(groups))
            .finish(&mut frame)
            .unwrap();
        file
    }

    #[test]
    fn batches_below_each_other_are_the_file() {
        let options = ParquetOptions::default().with_select(["s", "n"]);
        for group in [64, 250, 10_000] {
            let file = file(group);
            let whole = read_parquet(file.path(), &options).unwrap();
            for rows in [1, 100, 999, 5_000] {
                let batches = ParquetBatches::open(file.path(), &options, rows).unwrap();
                assert_eq!(batches.rows_total(), 1_000);
                let parts = batches.collect::<Result<Vec<_>>>().unwrap();
                assert!(parts.iter().all(|part| part.rows() <= rows));
                assert_eq!(
                    row_digests(&Table::concat(&parts).unwrap()),
                    row_digests(&whole),
                    "{group}, {rows}"
                );
            }
        }
    }

    #[test]
    fn bad_files_are_refused_by_name() {
        let options = ParquetOptions::default();
        let file = file(100);
        assert_eq!(
            ParquetBatches::open(file.path(), &options, 0).unwrap_err().context("field"),
            Some("rows")
        );
        assert_eq!(
            ParquetBatches::open("no-such.parquet", &options, 1).unwrap_err().kind(),
            ErrorKind::NotFound
        );
        let good = std::fs::read(file.path()).unwrap();
        for (content, kind) in [
            (&b""[..], ErrorKind::InvalidInput),
            (b"a,b\n1,2\n3,4\n", ErrorKind::InvalidInput),
            (b"PAR1\xff\xff\xff\xffPAR1", ErrorKind::Corrupt),
            (&good[..good.len() / 2], ErrorKind::InvalidInput),
        ] {
            let bad = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(bad.path(), content).unwrap();
            let error = ParquetBatches::open(bad.path(), &options, 1).unwrap_err();
            assert_eq!(error.kind(), kind, "{error}");
            assert!(error.context("file").is_some());
        }
        let unknown = ParquetOptions::default().with_select(["y"]);
        let mut batches = ParquetBatches::open(file.path(), &unknown, 10).unwrap();
        assert_eq!(batches.next().unwrap().unwrap_err().kind(), ErrorKind::NotFound);
        assert!(batches.next().is_none());
    }
}
