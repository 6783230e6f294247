//! Data assets: named, versioned data with its identity.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Schema, Table, content_digest};
use crate::error::{Error, Result};
use crate::hash::Digest;
use crate::id::{
    ActorId, AssetName, IdempotencyKey, TagKey, Tags, Version, VersionSpec, check_tags, check_text, check_uri,
};
use crate::time::Timestamp;

/// What a data asset is made of; Azure ML's `uri_file`, `uri_folder` and `mltable`.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AssetKind {
    /// One file.
    File,
    /// A folder of files.
    Folder,
    /// Files that together are one table.
    Table,
}

/// Where the content lies.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Location {
    /// In the artifact store, as the tree whose manifest has the asset's digest.
    Stored,
    /// Somewhere else, by URI (`abfss://…`, `https://…`, `file:///…`); the asset's digest says what it was.
    External(String),
}

/// A data asset to register.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewDataAsset {
    /// Makes a repeated registration the same registration.
    pub key: IdempotencyKey,
    /// The name; every registration under it makes the next version.
    pub name: AssetName,
    /// What it is made of.
    pub kind: AssetKind,
    /// Where the content lies.
    pub location: Location,
    /// The digest of the content's manifest: its identity byte by byte.
    pub digest: Digest,
    /// The digest of names, types, nullability and order of its columns, where it is a table.
    pub schema: Option<Digest>,
    /// The digest of its rows, whatever their order and the format of its files, where it is a table; see
    /// [`content_digest`](super::content_digest).
    #[serde(default)]
    pub content: Option<Digest>,
    /// The number of rows, where it is a table.
    pub rows: Option<u64>,
    /// What it is, for people.
    pub description: String,
    /// Tags.
    pub tags: Tags,
    /// Who registers it.
    pub actor: ActorId,
}

impl NewDataAsset {
    /// With a tag.
    #[must_use]
    pub fn with_tag(mut self, key: TagKey, value: impl Into<String>) -> Self {
        self.tags.insert(key, value.into());
        self
    }

    /// Stored content with this manifest digest, and nothing else said.
    ///
    /// ```
    /// use mlops_core::data::{AssetKind, NewDataAsset};
    /// use mlops_core::{ActorId, AssetName, hash::Digest};
    ///
    /// let asset = NewDataAsset::stored(
    ///     AssetName::new("patients")?, AssetKind::Table, Digest::of(b"manifest"), ActorId::new("ingest")?,
    /// )
    /// .with_rows(442);
    /// assert_eq!(asset.rows, Some(442));
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn stored(name: AssetName, kind: AssetKind, digest: Digest, actor: ActorId) -> Self {
        Self {
            key: IdempotencyKey::generate(),
            name,
            kind,
            location: Location::Stored,
            digest,
            schema: None,
            content: None,
            rows: None,
            description: String::new(),
            tags: Tags::new(),
            actor,
        }
    }

    /// States the digest of the columns' schema.
    #[must_use]
    pub fn with_schema(mut self, schema: Digest) -> Self {
        self.schema = Some(schema);
        self
    }

    /// States the digest of the rows.
    #[must_use]
    pub fn with_content(mut self, content: Digest) -> Self {
        self.content = Some(content);
        self
    }

    /// States schema, content and number of rows of the table that the asset holds.
    ///
    /// ```
    /// use mlops_core::data::{AssetKind, Column, NewDataAsset, Table, content_digest};
    /// use mlops_core::{ActorId, AssetName, hash::Digest};
    ///
    /// let table = Table::new(vec![Column::i64("age", vec![59, 48])?])?;
    /// let asset = NewDataAsset::stored(
    ///     AssetName::new("patients")?, AssetKind::Table, Digest::of(b"manifest"), ActorId::new("ingest")?,
    /// )
    /// .with_table(&table)?;
    /// assert_eq!((asset.rows, asset.content), (Some(2), Some(content_digest(&table))));
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for a table without columns.
    pub fn with_table(self, table: &Table<'_>) -> Result<Self> {
        let schema = Schema::infer(table)?.digest();
        Ok(self.with_schema(schema).with_content(content_digest(table)).with_rows(table.rows() as u64))
    }

    /// States the number of rows.
    #[must_use]
    pub fn with_rows(mut self, rows: u64) -> Self {
        self.rows = Some(rows);
        self
    }

    /// Sets the description.
    #[must_use]
    pub fn with_description(mut self, description: impl Into<String>) -> Self {
        self.description = description.into();
        self
    }

    /// Sets the key that makes a repeated call the same call.
    #[must_use]
    pub fn with_key(mut self, key: IdempotencyKey) -> Self {
        self.key = key;
        self
    }

    /// Checks text, tags and URI; backends call this first.
    ///
    /// # Errors
    /// [`ErrorKind::LimitExceeded`](crate::ErrorKind::LimitExceeded) or
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) that names the field.
    pub fn check(&self) -> Result<()> {
        const OP: &str = "DataAssetStore::register";
        check_text(OP, "the description", &self.description)?;
        check_tags(OP, &self.tags)?;
        match &self.location {
            Location::External(uri) => check_uri(OP, uri),
            Location::Stored => Ok(()),
        }
    }
}

/// A registered version of a data asset; nothing in it changes but `archived`.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataAsset {
    /// What was registered.
    #[serde(flatten)]
    pub spec: NewDataAsset,
    /// The version it was given.
    pub version: Version,
    /// When, by the store's clock.
    pub created_at: Timestamp,
    /// Hidden from [`VersionSpec::Latest`]; still readable.
    pub archived: bool,
}

impl DataAsset {
    /// A version as the store keeps it; for backends.
    pub fn new(spec: NewDataAsset, version: Version, created_at: Timestamp) -> Self {
        Self { spec, version, created_at, archived: false }
    }

    /// The reference to exactly this version.
    pub fn reference(&self) -> DataRef {
        DataRef { name: self.spec.name.clone(), version: self.version.into() }
    }
}

/// A data asset by name and version, or by name and digest.
///
/// ```
/// use mlops_core::data::DataRef;
/// assert_eq!("patients:3".parse::<DataRef>()?.to_string(), "patients:3");
/// assert_eq!("patients:latest".parse::<DataRef>()?.to_string(), "patients:latest");
/// assert!("patients".parse::<DataRef>().is_err());
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct DataRef {
    /// The name.
    pub name: AssetName,
    /// Which version. Data assets have no aliases.
    pub version: VersionSpec,
}

impl DataRef {
    /// The newest version of `name`.
    pub fn latest(name: AssetName) -> Self {
        Self { name, version: VersionSpec::Latest }
    }
}

impl fmt::Display for DataRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.name, self.version)
    }
}

impl std::str::FromStr for DataRef {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (name, version) = text.split_once(':').ok_or_else(|| {
            Error::invalid("DataRef::from_str", "reference", "expected NAME:VERSION").with("value", text)
        })?;
        Ok(Self { name: AssetName::new(name)?, version: version.parse()? })
    }
}

/// What [`DataAssetStore::verify`](super::DataAssetStore::verify) found.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DataVerification {
    /// Every byte is what it was when it was registered.
    Intact {
        /// How many bytes were read.
        bytes: u64,
    },
    /// Content is missing or changed.
    Damaged {
        /// What, in words.
        reason: String,
    },
    /// The store cannot reach this location.
    NotChecked {
        /// Why.
        reason: String,
    },
}
