//! The file that is scored.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::{OP, name, storage};
use crate::data::{CsvOptions, DataType, JsonLinesBatches, JsonLinesOptions, ReadBatch, TolerantCsvBatches};
use crate::error::{Error, ErrorKind, Result};
use crate::hash::{Digest, StreamHasher};
use crate::model::Signature;
use crate::pipeline::Cancel;

#[cfg(feature = "polars-io")]
use crate::data::frame::{ParquetBatches, ParquetOptions};

/// A file of rows, and how it is read.
///
/// Columns that the model takes are read in the types that it asks for; carried ones of CSV as the text that stands there. Others are not
/// kept.
///
/// ```
/// use mlops_core::data::CsvOptions;
/// use mlops_core::serve::batch::BatchInput;
///
/// let input = BatchInput::csv("patients.csv", CsvOptions::default().with_separator(';'));
/// assert_eq!(BatchInput::of_name("patients.tsv")?, BatchInput::csv("patients.tsv", CsvOptions::default().with_separator('\t')));
/// assert!(BatchInput::of_name("patients.xlsx").is_err());
/// # let _ = input;
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BatchInput {
    /// CSV; of the options, `select` is set to what is needed.
    Csv {
        /// The file.
        path: PathBuf,
        /// How it is read.
        options: CsvOptions,
    },
    /// One JSON object a line.
    JsonLines {
        /// The file.
        path: PathBuf,
    },
    /// Parquet.
    #[cfg(feature = "polars-io")]
    Parquet {
        /// The file.
        path: PathBuf,
    },
}

/// What tells that a file was changed.
type Stamp = (u64, Option<SystemTime>);

impl BatchInput {
    /// A CSV file.
    pub fn csv(path: impl Into<PathBuf>, options: CsvOptions) -> Self {
        Self::Csv { path: path.into(), options }
    }

    /// A file of one JSON object a line.
    pub fn json_lines(path: impl Into<PathBuf>) -> Self {
        Self::JsonLines { path: path.into() }
    }

    /// A Parquet file.
    #[cfg(feature = "polars-io")]
    pub fn parquet(path: impl Into<PathBuf>) -> Self {
        Self::Parquet { path: path.into() }
    }

    /// By the ending of the file's name, in any case: `.csv`, `.tsv`, `.jsonl`, `.ndjson`, and with the feature `polars-io` `.parquet` and
    /// `.pq`.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for another ending.
    pub fn of_name(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        let ending = path.extension().and_then(|e| e.to_str()).map(str::to_ascii_lowercase);
        match ending.as_deref() {
            Some("csv") => Ok(Self::csv(path, CsvOptions::default())),
            Some("tsv") => Ok(Self::csv(path, CsvOptions::default().with_separator('\t'))),
            Some("jsonl" | "ndjson") => Ok(Self::json_lines(path)),
            #[cfg(feature = "polars-io")]
            Some("parquet" | "pq") => Ok(Self::parquet(path)),
            _ => {
                let message = "its ending is not one of those that are read";
                Err(Error::invalid("BatchInput::of_name", "path", message).with("file", name(&path)))
            }
        }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        match self {
            Self::Csv { path, .. } | Self::JsonLines { path } => path,
            #[cfg(feature = "polars-io")]
            Self::Parquet { path } => path,
        }
    }

    /// What identifies the way of reading.
    pub(super) fn kind(&self) -> Result<Digest> {
        match self {
            Self::Csv { options, .. } => crate::hash::digest_json(&("csv", options)),
            Self::JsonLines { .. } => crate::hash::digest_json("json_lines"),
            #[cfg(feature = "polars-io")]
            Self::Parquet { .. } => crate::hash::digest_json("parquet"),
        }
    }

    /// Opens it for reading what a model and a caller want.
    pub(super) fn open(&self, signature: &Signature, carried: &[String], rows: usize) -> Result<Source> {
        let inputs = signature.inputs.iter().map(|input| (input.name.clone(), Some(input.data_type)));
        let mut columns: Vec<(String, Option<DataType>)> = inputs.collect();
        for name in carried {
            if !columns.iter().any(|(known, _)| known == name) {
                columns.push((name.clone(), None));
            }
        }
        if columns.is_empty() {
            // A model that looks at nothing answers all rows the same; they have to be counted all the same.
            let message = "the model takes no columns; carry one, so that there are rows";
            return Err(Error::invalid(OP, "carried", message));
        }
        match self {
            Self::Csv { path, options } => {
                let mut options = options.clone();
                options.select = Some(columns.iter().map(|(name, _)| name.clone()).collect());
                for (name, data_type) in columns {
                    options.types.entry(name).or_insert(data_type.unwrap_or(DataType::Category));
                }
                TolerantCsvBatches::open(path, &options, rows).map(|batches| Source::Csv(Box::new(batches)))
            }
            Self::JsonLines { path } => {
                let options =
                    columns.into_iter().fold(JsonLinesOptions::default(), |options, column| match column {
                        (name, Some(data_type)) => options.with_column(name, data_type),
                        (name, None) => options.with_text(name),
                    });
                JsonLinesBatches::open(path, &options, rows).map(Source::JsonLines)
            }
            #[cfg(feature = "polars-io")]
            Self::Parquet { path } => {
                let names = columns.into_iter().map(|(name, _)| name);
                let options = ParquetOptions::default().with_select(names);
                ParquetBatches::open(path, &options, rows).map(|batches| Source::Parquet(Box::new(batches)))
            }
        }
    }

    /// The digest of its bytes, and what tells that they were changed since.
    pub(super) fn identify(&self, cancel: &Cancel) -> Result<(Digest, Stamp)> {
        let path = self.path();
        // A pipe could be read once, and a device for ever.
        let metadata = std::fs::metadata(path).map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => {
                Error::new(ErrorKind::NotFound, OP, "no such file").with("file", name(path)).with_source(e)
            }
            _ => storage(path)(e),
        })?;
        if !metadata.is_file() {
            let error = Error::invalid(OP, "input", "is not a regular file");
            return Err(error.with("file", name(path)));
        }
        let stamp = self.stamp()?;
        let mut file = File::open(path).map_err(storage(path))?;
        let (mut hasher, mut bytes) = (StreamHasher::new(), vec![0; 1 << 18]);
        loop {
            let read = file.read(&mut bytes).map_err(storage(path))?;
            if read == 0 {
                return Ok((hasher.finish(), stamp));
            }
            hasher.update(bytes.get(..read).unwrap_or_default());
            if cancel.is_cancelled() {
                return Err(super::job::cancelled());
            }
        }
    }

    fn stamp(&self) -> Result<Stamp> {
        let metadata = std::fs::metadata(self.path()).map_err(storage(self.path()))?;
        Ok((metadata.len(), metadata.modified().ok()))
    }

    /// Refuses results of a file that was changed while it was read.
    pub(super) fn check_unchanged(&self, before: &Stamp) -> Result<()> {
        if self.stamp()? == *before {
            return Ok(());
        }
        let message = "the input was changed while it was read";
        Err(Error::new(ErrorKind::Conflict, OP, message).with("file", name(self.path())))
    }
}

/// Batches of rows.
#[derive(Debug)]
pub(super) enum Source {
    Csv(Box<TolerantCsvBatches>),
    JsonLines(JsonLinesBatches),
    #[cfg(feature = "polars-io")]
    Parquet(Box<ParquetBatches>),
}

impl Iterator for Source {
    type Item = Result<ReadBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Csv(batches) => batches.next(),
            Self::JsonLines(batches) => batches.next(),
            #[cfg(feature = "polars-io")]
            Self::Parquet(batches) => batches.next().map(|batch| batch.map(ReadBatch::from)),
        }
    }
}
