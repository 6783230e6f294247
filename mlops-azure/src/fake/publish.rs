//! Publishing an asset from a workspace into a registry.

use reqwest::Method;
use serde_json::{Value, json};

use super::azure::FakeAzure;
use super::exchange::{FakeAnswer, FakePart, FakeRequest};

/// `POST …/workspaces/W/{models,data,…}/versions/V/publish`: copies the version into a registry of the same resource group, which is
/// there at once and said to be so when the operation ends. What the registry has under the name and number already is not
/// overwritten.
#[derive(Clone, Copy, Debug, Default)]
pub struct FakePublish;

impl FakePart for FakePublish {
    fn answer(&self, request: &FakeRequest, azure: &FakeAzure) -> Option<FakeAnswer> {
        let path = request.path().trim_end_matches('/');
        let (source, action) = path.rsplit_once('/')?;
        if request.method != Method::POST || !action.eq_ignore_ascii_case("publish") {
            return None;
        }
        let (place, asset) = source.split_once("/workspaces/")?;
        let segments: Vec<&str> = asset.split('/').collect();
        let [_, kind, _, "versions", _] = segments.as_slice() else { return None };
        Some(publish(request, azure, (place, kind, source)).unwrap_or_else(|refused| refused))
    }
}

fn publish(
    request: &FakeRequest,
    azure: &FakeAzure,
    (place, kind, source): (&str, &str, &str),
) -> Result<FakeAnswer, FakeAnswer> {
    let body = request.json();
    let member = |name: &str| {
        let value = body.get(name).and_then(Value::as_str).filter(|value| !value.is_empty());
        value.ok_or_else(|| {
            FakeAnswer::user_error(
                400,
                "UserError",
                format!("The value for '{name}' is missing."),
                &["BadArgument", "MissingArgument"],
            )
        })
    };
    let (registry, name) = (member("registryName")?, member("destinationName")?);
    let version = member("destinationVersion")?;
    let missing = |what: &str| FakeAnswer::error(404, "NotFound", format!("There is no {what}."));
    let asset = azure.resource(source).ok_or_else(|| missing("asset of this name and version"))?;
    let registry = format!("{place}/registries/{registry}");
    azure.resource(&registry).ok_or_else(|| missing("registry of this name"))?;
    let destination = format!("{registry}/{kind}/{name}/versions/{version}");
    if azure.resource(&destination).is_some() {
        let message = "An asset with this name and version already exists in the registry.";
        return Err(FakeAnswer::user_error(
            409,
            "UserError",
            message,
            &["Immutable", "AssetPropertyImmutable"],
        ));
    }
    let mut properties = asset.get("properties").cloned().unwrap_or_default();
    if let Some(members) = properties.as_object_mut() {
        // The registry has its own copy of the files.
        let uri =
            format!("azureml://registries/{}/{kind}/{name}/versions/{version}", registry_name(&registry));
        for place in
            ["modelUri", "dataUri"].into_iter().filter(|place| asset["properties"].get(*place).is_some())
        {
            members.insert(place.to_owned(), json!(uri));
        }
        members.insert("isArchived".to_owned(), json!(false));
    }
    azure.set_resource(&destination, json!({ "properties": properties }));
    let result = azure.resource(&destination).unwrap_or_default();
    Ok(azure.begin(request, &destination, result))
}

fn registry_name(id: &str) -> &str {
    id.rsplit('/').next().unwrap_or_default()
}
