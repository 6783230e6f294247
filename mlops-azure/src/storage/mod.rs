//! Azure Storage: containers of blobs, uploads to datastores, and the settings of accounts (feature `storage`).
//!
//! | module | what it holds |
//! |---|---|
//! | [`access`] | [`DataLakeAccess`]: POSIX access lists of Data Lake Gen2 |
//! | [`account`] | [`StorageAccount`]: where an account is |
//! | [`code`] | [`LocalCode`]: a folder of code, as jobs are given it |
//! | [`container`] | [`Container`]: blobs by key, with conditions, over this crate's transport; `object_store` beside it |
//! | [`credential`] | [`StorageCredential`]: the account's key, a signature, tokens of Entra ID, a datastore's secret |
//! | [`datastore`] | [`Datastores`]: a workspace's names for storage, and their secrets |
//! | [`folder`] | [`LocalTree`]: what is to be uploaded, and the digest that names it |
//! | [`ignore`] | [`IgnoreRules`]: which files of a folder are left behind |
//! | [`model`] | [`DatastoreFiles`]: what models consist of, where endpoints read it |
//! | [`protection`] | [`Protection`]: soft delete and versions |
//! | [`upload`] | [`Uploads`]: data, models, build contexts and code, as the official SDK puts them, and resumed |
//!
//! # Version
//! Blobs and Data Lake are spoken to in version 2023-11-03, which `object_store` signs for; it signs here, lists, and is there for
//! everything else by [`Container::object_store`]. Its requests go through this crate's transport, too.
//!
//! # Permission
//! Data is read with the role `Storage Blob Data Reader` and written with `Storage Blob Data Contributor`, or with the account's key, a
//! signature, or a datastore's secret, which the role `AzureML Data Scientist` may ask for. What else it takes says each module.
//!
//! # What is eventually consistent
//! Nothing about blobs: what was written is read, and listed. Roles and signatures take minutes to be in force, and keys that
//! were made anew keep the old ones working for as long.
//!
//! # What differs from the local backend
//! The local store is one folder that processes of one machine share. Here any number of machines do, by conditions on ETags; requests
//! cost money; what is removed may be kept by soft delete.

pub mod access;
pub mod account;
mod client;
pub mod code;
mod connect;
pub mod container;
pub(crate) mod content;
pub mod credential;
pub mod datastore;
pub mod folder;
pub mod ignore;
pub mod model;
pub mod protection;
pub mod upload;

pub use access::{
    AclChange, AclEntry, AclFailure, AclOptions, AclPermissions, AclReport, AclScope, DataLakeAccess,
};
pub use account::StorageAccount;
pub use code::LocalCode;
pub use container::{BlobProperties, Container, ContainerBuilder};
pub use credential::StorageCredential;
pub use datastore::Datastores;
pub use folder::LocalTree;
pub use ignore::IgnoreRules;
pub use model::DatastoreFiles;
pub use protection::{Protection, ProtectionSettings};
pub use upload::{Uploaded, Uploads};
