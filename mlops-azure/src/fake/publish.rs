//! Versions of a workspace that are copied to a registry.

use serde_json::{Value, json};

use super::arm::{envelope, not_found};
use super::asset;
use super::exchange::{FakeAnswer, FakeRequest};
use super::kind::Way;
use super::operation::Act;
use super::path::ArmPath;
use super::state::State;
use super::store::set_provisioning;

/// Copies the version that a path's action is about to the registry that the body names, which takes an operation.
///
/// The copy has the source's content and words. A version that is there already is taken again if its content is the same.
pub(super) fn answer(
    state: &mut State,
    request: &FakeRequest,
    path: &ArmPath,
) -> Result<FakeAnswer, FakeAnswer> {
    let source = path.parent().filter(asset::is_version).ok_or_else(|| not_found(&path.path))?;
    let entry = state.store.get(&source.key).ok_or_else(|| not_found(&source.path))?;
    let mut value = json!({ "properties": entry.value.get("properties").cloned().unwrap_or_default() });
    let body = request.json();
    let said = |name: &str| body.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let missing = |name: &str| {
        let message = format!("The value for '{name}' is missing.");
        FakeAnswer::user_error(
            400,
            "UserError",
            message,
            &["BadArgument", "ArgumentInvalid", "MissingArgument"],
        )
    };
    let registry = said("registryName").ok_or_else(|| missing("registryName"))?;
    let name = said("destinationName").ok_or_else(|| missing("destinationName"))?;
    let version = said("destinationVersion").ok_or_else(|| missing("destinationVersion"))?;
    let registry = registry_of(state, registry).ok_or_else(|| not_found(registry))?;
    let kind = source.words.get(1).map_or("", String::as_str);
    let to = format!("{registry}/{kind}/{name}/versions/{version}");
    let to = ArmPath::parse(&to).filter(super::kind::is_name).ok_or_else(|| {
        let message = "The destination's name or version is not valid.";
        FakeAnswer::user_error(400, "UserError", message, &["BadArgument", "ArgumentInvalid"])
    })?;
    state.refuse_busy(&to)?;
    let old = state.store.get(&to.key).map(|entry| entry.value.clone());
    if let Some(properties) = value.get_mut("properties").and_then(Value::as_object_mut) {
        properties.remove("provisioningState");
    }
    let value = asset::take(state, &to, value, old.as_ref())?;
    let mut value = envelope(&to, value, old.as_ref(), state.now());
    set_provisioning(&mut value, "Creating");
    state.store.put(&to.key, value, 0);
    asset::recount(&mut state.store, &to);
    let version = request.query("api-version").unwrap_or_default();
    Ok(state.begin(&to, &to.key, Act::Write, Way::Location, &version, FakeAnswer::empty(202)))
}

/// The id of a registry by its name, wherever it is.
fn registry_of(state: &State, name: &str) -> Option<String> {
    let is_it = |value: &Value| {
        let text = |member: &str| value.get(member).and_then(Value::as_str).unwrap_or_default();
        text("type").eq_ignore_ascii_case("Microsoft.MachineLearningServices/registries")
            && text("name").eq_ignore_ascii_case(name)
    };
    let found = state.store.all().find(|(_, entry)| is_it(&entry.value));
    found.and_then(|(_, entry)| entry.value.get("id")?.as_str().map(str::to_owned))
}
