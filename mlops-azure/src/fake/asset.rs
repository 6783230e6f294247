//! Assets: containers of versions, in a workspace and in a registry.
//!
//! A version can be written again only if nothing changes but description, tags, properties, stage and whether it is archived. That
//! another content is refused, as `Immutable`, is modelled on what the service says of jobs. The container comes with its first
//! version, counts, and stays when the last one goes; its `nextVersion` is one more than the highest version that is a number, and
//! is reserved for nobody.

use serde_json::{Map, Value, json};

use super::exchange::FakeAnswer;
use super::path::ArmPath;
use super::state::State;
use super::store::{Entry, Store};

/// The kinds of assets.
const KINDS: [&str; 5] = ["data", "models", "environments", "components", "codes"];

/// What may change in a version.
const MUTABLE: [&str; 5] = ["description", "tags", "properties", "isArchived", "stage"];

/// The kind of asset that a path is of: its container, a version, or a list of versions.
pub(super) fn container(path: &ArmPath) -> Option<&'static str> {
    let kind = path.kind();
    let mut words = kind.split('/');
    let (place, asset) = (words.next()?, words.next()?);
    let below = words.next();
    let is_asset = path.is_machine_learning()
        && matches!(place, "workspaces" | "registries")
        && below.is_none_or(|word| word == "versions")
        && words.next().is_none();
    KINDS.into_iter().find(|kind| is_asset && *kind == asset)
}

/// Whether a path is that of a version.
pub(super) fn is_version(path: &ArmPath) -> bool {
    container(path).is_some() && path.words.len() == 3 && path.is_resource()
}

/// Whether a path is that of a container's versions.
pub(super) fn is_version_list(path: &ArmPath) -> bool {
    container(path).is_some() && path.words.len() == 3 && !path.is_resource()
}

fn properties(value: &Value) -> Map<String, Value> {
    value.get("properties").and_then(Value::as_object).cloned().unwrap_or_default()
}

/// What a write of an asset leaves; of other resources what was sent.
pub(super) fn take(
    state: &State,
    path: &ArmPath,
    mut new: Value,
    old: Option<&Value>,
) -> Result<Value, FakeAnswer> {
    let Some(kind) = container(path) else { return Ok(new) };
    let mut sent = properties(&new);
    sent.retain(|_, value| !value.is_null());
    if is_version(path) {
        if let Some(old) = old {
            sent = rewrite(path, properties(old), sent)?;
        } else if kind == "data" {
            same_type(state, path, &sent)?;
        }
        sent.entry("isAnonymous").or_insert(json!(false));
    }
    sent.entry("isArchived").or_insert(json!(false));
    for map in ["tags", "properties"] {
        sent.entry(map).or_insert_with(|| json!({}));
    }
    if let Some(members) = new.as_object_mut() {
        members.insert("properties".to_owned(), Value::Object(sent));
    }
    Ok(new)
}

/// A version that is written again: what may change is what was sent, all else must be what it was.
fn rewrite(
    path: &ArmPath,
    old: Map<String, Value>,
    sent: Map<String, Value>,
) -> Result<Map<String, Value>, FakeAnswer> {
    let is_mutable = |name: &String| MUTABLE.contains(&name.as_str());
    let changed =
        sent.iter().find(|(name, value)| !is_mutable(name) && old.get(*name).is_some_and(|o| o != *value));
    let added = sent.keys().find(|name| !is_mutable(name) && !old.contains_key(*name));
    if let Some(name) = changed.map(|(name, _)| name).or(added) {
        let message = format!(
            "An asset with the name and version of '{}' already exists, and '{name}' differs. Only description, tags, properties, \
             stage and isArchived can be updated.",
            path.path
        );
        return Err(FakeAnswer::user_error(
            409,
            "UserError",
            message,
            &["Immutable", "AssetPropertyImmutable"],
        ));
    }
    let mut kept: Map<String, Value> = old.into_iter().filter(|(name, _)| !is_mutable(name)).collect();
    kept.extend(sent);
    Ok(kept)
}

/// All versions of a data asset are of one type.
fn same_type(state: &State, path: &ArmPath, sent: &Map<String, Value>) -> Result<(), FakeAnswer> {
    let container = path.parent().and_then(|container| state.store.get(&container.key));
    let of_all =
        container.and_then(|entry| entry.value.pointer("/properties/dataType")).and_then(Value::as_str);
    match (of_all, sent.get("dataType").and_then(Value::as_str)) {
        (Some(all), Some(this)) if !all.eq_ignore_ascii_case(this) => {
            let message =
                format!("The data asset is of type '{all}', and a version of type '{this}' cannot be added.");
            Err(FakeAnswer::user_error(400, "UserError", message, &["BadArgument", "ArgumentInvalid"]))
        }
        _ => Ok(()),
    }
}

/// Makes the container of a version, if it is not there, and counts its versions; nothing for what is no asset.
pub(super) fn recount(store: &mut Store, path: &ArmPath) {
    if container(path).is_none() {
        return;
    }
    let Some(container) = (if is_version(path) { path.parent() } else { Some(path.clone()) }) else { return };
    if !store.has(&container.key) {
        let Some(version) = store.get(&path.key) else { return };
        let mut own = json!({ "isArchived": false, "tags": {}, "properties": {} });
        if let Some(data_type) = version.value.pointer("/properties/dataType") {
            own["dataType"] = data_type.clone();
        }
        let now = version.value.get("systemData").cloned();
        let value = json!({
            "id": container.path, "name": container.name(), "type": container.type_name(),
            "systemData": now, "properties": own,
        });
        store.put(&container.key, value, 0);
    }
    let (latest, next) = count(&store.items(&format!("{}/versions", container.key)));
    if let Some(entry) = store.get_mut(&container.key)
        && let Some(properties) = entry.value.get_mut("properties").and_then(Value::as_object_mut)
    {
        properties.insert("latestVersion".to_owned(), json!(latest));
        properties.insert("nextVersion".to_owned(), json!(next));
    }
}

/// The version that was made last, and the number that the next one should have.
fn count(versions: &[&Entry]) -> (Option<String>, String) {
    let name = |entry: &Entry| entry.value.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
    let latest = versions.iter().max_by_key(|entry| entry.number).map(|entry| name(entry));
    let highest = versions.iter().filter_map(|entry| name(entry).parse::<u32>().ok()).max();
    (latest, u64::from(highest.unwrap_or(0)).saturating_add(1).to_string())
}
