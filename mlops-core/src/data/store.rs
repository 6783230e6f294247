//! The trait of data asset stores.

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;

use super::{DataAsset, DataRef, DataVerification, NewDataAsset};
use crate::error::Result;
use crate::id::{AssetName, Version};
use crate::page::{Page, PageRequest};

/// Named, versioned data.
///
/// # Contract
/// * `register` gives out versions 1, 2, 3, … for each name, without gaps, never twice, also when many register at once.
///   (`versions_are_contiguous`, `concurrent_registrations_get_distinct_versions`)
/// * The same key with the same content is the same registration and returns the same version; with other content it is
///   [`ErrorKind::Conflict`](crate::ErrorKind::Conflict). (`register_is_idempotent`, `key_reuse_is_a_conflict`)
/// * [`Location::Stored`](super::Location::Stored) needs the manifest in the artifact store, else
///   [`ErrorKind::NotFound`](crate::ErrorKind::NotFound), and no version is used up. Content that is there but is no
///   manifest is [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput). (`stored_content_must_exist`,
///   `stored_content_must_be_a_manifest`)
/// * What is registered never changes; only `archived` does. A failed call changes nothing.
///   (`registered_versions_never_change`, `failed_calls_change_nothing`)
/// * `Latest` is the highest version that is not archived; `Digest` the highest with that digest; an alias is
///   [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported). A name or version that is not there is
///   [`ErrorKind::NotFound`](crate::ErrorKind::NotFound), for `versions` too. (`latest_skips_archived`,
///   `resolve_by_digest`, `aliases_are_unsupported`, `missing_is_not_found`)
/// * `versions` lists newest first and `names` alphabetically (by bytes); paging sees every item that was there when it
///   began exactly once, also while others write. A token of another query is
///   [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput). (`versions_are_newest_first`, `names_are_alphabetical`,
///   `paging_is_complete_under_writes`, `tokens_belong_to_their_query`, `bad_pages_are_refused`)
/// * `verify` reads every byte; content that is gone is damage. (`verify_reads_every_byte`,
///   `verify_notices_missing_content`)
/// * Text of any script is kept exactly. (`unicode_is_kept_exactly`)
#[async_trait]
pub trait DataAssetStore: Debug + Send + Sync + 'static {
    /// Registers the next version of a name.
    async fn register(&self, asset: &NewDataAsset) -> Result<DataAsset>;

    /// Finds one version.
    async fn get(&self, reference: &DataRef) -> Result<DataAsset>;

    /// All versions of a name, newest first, archived ones too.
    async fn versions(&self, name: &AssetName, page: &PageRequest) -> Result<Page<DataAsset>>;

    /// All names, alphabetically.
    async fn names(&self, page: &PageRequest) -> Result<Page<AssetName>>;

    /// Hides a version from `Latest`, or shows it again.
    async fn set_archived(&self, name: &AssetName, version: Version, archived: bool) -> Result<DataAsset>;

    /// Reads the content of a version and compares it with its digest.
    async fn verify(&self, reference: &DataRef) -> Result<DataVerification>;
}

macro_rules! forward {
    ($pointer:ident) => {
        #[async_trait]
        #[deny(clippy::missing_trait_methods)]
        impl<T: DataAssetStore + ?Sized> DataAssetStore for $pointer<T> {
            async fn register(&self, asset: &NewDataAsset) -> Result<DataAsset> {
                (**self).register(asset).await
            }

            async fn get(&self, reference: &DataRef) -> Result<DataAsset> {
                (**self).get(reference).await
            }

            async fn versions(&self, name: &AssetName, page: &PageRequest) -> Result<Page<DataAsset>> {
                (**self).versions(name, page).await
            }

            async fn names(&self, page: &PageRequest) -> Result<Page<AssetName>> {
                (**self).names(page).await
            }

            async fn set_archived(
                &self,
                name: &AssetName,
                version: Version,
                archived: bool,
            ) -> Result<DataAsset> {
                (**self).set_archived(name, version, archived).await
            }

            async fn verify(&self, reference: &DataRef) -> Result<DataVerification> {
                (**self).verify(reference).await
            }
        }
    };
}
forward!(Arc);
forward!(Box);

/// Never called: that it compiles says that the trait can be an object.
#[allow(dead_code)]
fn is_object_safe(_: &dyn DataAssetStore) {}
