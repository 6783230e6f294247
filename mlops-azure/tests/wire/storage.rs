//! Bodies about storage.

use mlops_azure::wire::Resource;
use mlops_azure::wire::blob_service::{BlobService, BlobServiceAt, Retention};
use mlops_azure::wire::pending_upload;

use super::{Built, SUBSCRIPTION, material, place, read};

const SETTINGS: &str = "Microsoft.Storage/storageAccounts/blobServices@2026-04-01";

pub fn built() -> Vec<Built> {
    let at = BlobServiceAt::new(SUBSCRIPTION, "rg", "stchurn").unwrap();
    let settings = |service: BlobService| at.put("test", &Resource::new(service)).unwrap().answering();
    let kept = Retention::days(14).unwrap();
    let protected = BlobService {
        delete_retention_policy: Some(kept.clone()),
        container_delete_retention_policy: Some(kept),
        is_versioning_enabled: Some(true),
        ..BlobService::default()
    };
    let off = BlobService { delete_retention_policy: Some(Retention::off()), ..BlobService::default() };
    let code = place().code("e0586a8a-a934-4e58-aee4-a0059f998acf", "1").unwrap();
    vec![
        Built { call: settings(protected), kind: Some(SETTINGS), minimal: Some("storage_blob_protection") },
        Built { call: settings(off), kind: Some(SETTINGS), minimal: None },
        super::action(pending_upload::start("test", &code).unwrap().answering(), "start_pending_upload"),
    ]
}

/// The official examples of an account's settings are read, and written back as they were.
#[test]
fn examples_of_an_account_s_settings_pass_through_our_type_unchanged() {
    let Some(material) = material() else { return };
    for number in 1..=3 {
        let file =
            format!("examples/microsoft.storage-2026-04-01-storageaccounts-blobservices-{number}.json");
        let example = read(&material.join(file));
        let ours: Resource<BlobService> = serde_json::from_value(example["body"].clone()).unwrap();
        assert_eq!(ours.body().unwrap(), example["body"], "{number}");
    }
}
