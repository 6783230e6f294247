//! Bodies of data assets and models as this crate's stores write them, in workspaces and in registries.

use mlops_azure::config::Registry;
use mlops_azure::wire::model::ModelType;
use mlops_azure::wire::{Container, DataType, DataVersion, ModelVersion, Place, Resource, TextMap};

use super::{Built, place, put};

const SHARED_MODEL: &str = "Microsoft.MachineLearningServices/registries/models/versions@2026-05-01";
const SHARED_MODELS: &str = "Microsoft.MachineLearningServices/registries/models@2026-05-01";

/// What is in the properties and tags of everything that is registered.
fn said() -> TextMap {
    TextMap::from_iter([
        ("mlops.spec.000", "{}"),
        ("mlops.key", "k"),
        ("mlops.created_at", "1767225600000000"),
    ])
}

pub fn built() -> Vec<Built> {
    let registry = Registry::new("00000000-0000-0000-0000-000000000000", "rg-shared", "contoso-ml").unwrap();
    let shared = Place::from(&registry);
    let uri = "azureml://datastores/workspaceblobstore/paths/mlops/mlops--ledger/0f";
    let entry = DataVersion::new(DataType::UriFile, uri).with_properties(said()).with_description("an entry");
    let mut archived = DataVersion::new(DataType::MlTable, "s3://bucket/größe/家族").with_tags(said());
    archived.is_archived = Some(true);
    let minimal = ModelVersion::new(ModelType::Custom, "https://regsa.blob.core.windows.net/c/x/model");
    let mut model = minimal.clone().with_tags(said()).with_properties(said());
    (model.is_archived, model.description) = (Some(true), Some("a model".into()));
    let container = Container { tags: Some(said()), is_archived: Some(false), ..Container::default() };
    let shared_at = shared.model("churn", "1").unwrap();
    let model_at = place().model("churn", "1").unwrap();
    vec![
        put(&place().data("mlops--ledger", "1").unwrap(), &Resource::new(entry), "data/versions", None),
        put(&place().data("patients", "1").unwrap(), &Resource::new(archived), "data/versions", None),
        put(&shared_at, &Resource::new(minimal), SHARED_MODEL, Some("registry_model_version")),
        put(&shared_at, &Resource::new(model.clone()), SHARED_MODEL, None),
        put(&model_at, &Resource::new(model), "models/versions", None),
        put(
            &place().container("models", "churn").unwrap(),
            &Resource::new(container.clone()),
            "models",
            None,
        ),
        put(&shared.container("models", "churn").unwrap(), &Resource::new(container), SHARED_MODELS, None),
    ]
}
