//! Resource Manager: what it asks of every request, and its reads and writes.

use mlops_core::time::Timestamp;
use reqwest::Method;
use serde_json::{Map, Value, json};

use super::asset;
use super::azure::FakeAzure;
use super::exchange::{FakeAnswer, FakeRequest};
use super::kind::{self, Kind, Patch, Way};
use super::list;
use super::operation::Act;
use super::path::ArmPath;
use super::publish;
use super::state::{State, guid};
use super::store::set_provisioning;
use super::token::TENANT;
use crate::config::name::is_api_version;

/// Versions of Azure Machine Learning's API that are the same but for their name, and the only ones that this fake speaks.
const VERSIONS: [&str; 3] = ["2025-12-01", "2026-03-01", crate::config::API_VERSION];

type Outcome = Result<FakeAnswer, FakeAnswer>;

/// 404 for a resource.
pub(super) fn not_found(path: &str) -> FakeAnswer {
    FakeAnswer::error(404, "ResourceNotFound", format!("The resource '{path}' was not found."))
}

/// Checks what is asked of every request, before any part sees it; an error is the answer.
pub(super) fn admit(azure: &FakeAzure, request: &FakeRequest) -> Result<ArmPath, FakeAnswer> {
    let path = ArmPath::parse(request.path()).ok_or_else(|| not_found(request.path()))?;
    let version = request.query("api-version").ok_or_else(|| {
        let message = "The api-version query parameter (?api-version=) is required for all requests.";
        FakeAnswer::error(400, "MissingApiVersionParameter", message)
    })?;
    let known = !path.is_machine_learning() || path.words.is_empty() || VERSIONS.contains(&version.as_str());
    if !is_api_version(&version) || !(known || is_registration(&path)) {
        let message = format!("The api-version '{version}' is invalid for '{}'.", path.type_name());
        return Err(FakeAnswer::error(400, "InvalidApiVersionParameter", message));
    }
    let mut state = azure.state();
    state.refuse_unregistered(request, &path)?;
    let mut above = path.path.split('/');
    let is_there = |id: &str| state.store.has(&id.to_ascii_lowercase());
    let (subscription, group) = (above.nth(2).unwrap_or_default(), above.nth(1));
    if path.key.starts_with("/subscriptions/") && !is_there(&format!("/subscriptions/{subscription}")) {
        let message = format!("The subscription '{subscription}' could not be found.");
        return Err(FakeAnswer::error(404, "SubscriptionNotFound", message));
    }
    let is_in_group = path.key.split('/').nth(3) == Some("resourcegroups") && path.key.split('/').count() > 5;
    if let Some(group) = group.filter(|_| is_in_group)
        && !is_there(&format!("/subscriptions/{subscription}/resourceGroups/{group}"))
    {
        let message = format!("Resource group '{group}' could not be found.");
        return Err(FakeAnswer::error(404, "ResourceGroupNotFound", message));
    }
    Ok(path)
}

fn is_registration(path: &ArmPath) -> bool {
    path.words.len() == 1 && path.words.iter().any(|word| word.eq_ignore_ascii_case("register"))
}

/// Answers an admitted request that no part took.
pub(super) fn answer(azure: &FakeAzure, request: &FakeRequest, path: &ArmPath) -> FakeAnswer {
    let outcome = match (&request.method, path.is_resource()) {
        (&Method::GET, _) => read(azure, request, path),
        (&Method::PUT, true) => put(azure, request, path),
        (&Method::PATCH, true) => patch(azure, request, path),
        (&Method::DELETE, true) => delete(azure, request, path),
        (&Method::POST, false) => act(azure, request, path),
        _ => Err(not_allowed(request, path)),
    };
    outcome.unwrap_or_else(|refused| refused)
}

fn not_allowed(request: &FakeRequest, path: &ArmPath) -> FakeAnswer {
    let message = format!("The method {} is not supported for '{}'.", request.method, path.type_name());
    FakeAnswer::error(405, "MethodNotAllowed", message)
}

/// What stands in every answer: ids, and what is left of the limits.
pub(super) fn dress(azure: &FakeAzure, request: &FakeRequest, answer: FakeAnswer) -> FakeAnswer {
    let mut state = azure.state();
    let (at, name, limit) = match request.method {
        Method::GET | Method::HEAD => (0, "x-ms-ratelimit-remaining-subscription-reads", 12_000_u64),
        Method::DELETE => (2, "x-ms-ratelimit-remaining-subscription-deletes", 15_000),
        _ => (1, "x-ms-ratelimit-remaining-subscription-writes", 1200),
    };
    let count = state.counts.get_mut(at).map_or(0, |count| {
        *count += 1;
        *count
    });
    let number = state.counts.iter().sum();
    let id = guid(0x1d, number);
    answer
        .with(name, limit.saturating_sub(count).to_string())
        .with("x-ms-request-id", &id)
        .with("x-ms-correlation-request-id", guid(0xc0, number))
}

fn read(azure: &FakeAzure, request: &FakeRequest, path: &ArmPath) -> Outcome {
    let mut state = azure.state();
    if let Some(answer) = state.ask(path) {
        return Ok(answer);
    }
    if path.words.is_empty() {
        return Ok(state.provider(path));
    }
    if !path.is_resource() {
        return list::answer(&state, request, path);
    }
    let hidden = state.store.get(&path.key).is_some_and(|entry| entry.hidden > 0);
    if hidden {
        if let Some(entry) = state.store.get_mut(&path.key) {
            entry.hidden -= 1;
        }
        return Err(not_found(&path.path));
    }
    state.look_at_resource(&path.key);
    let entry = state.store.get(&path.key).ok_or_else(|| not_found(&path.path))?;
    Ok(FakeAnswer::ok(entry.value.clone()))
}

fn act(azure: &FakeAzure, request: &FakeRequest, path: &ArmPath) -> Outcome {
    let mut state = azure.state();
    if is_registration(path) {
        return Ok(state.register(path));
    }
    if path.is_machine_learning()
        && path.words.last().is_some_and(|word| word.eq_ignore_ascii_case("publish"))
    {
        return publish::answer(&mut state, request, path);
    }
    let above = path.parent().ok_or_else(|| not_found(&path.path))?;
    match state.store.has(&above.key) {
        true => Err(FakeAnswer::error(404, "NotFound", format!("There is no action '{}'.", path.path))),
        false => Err(not_found(&above.path)),
    }
}

/// The body of a write.
fn body(request: &FakeRequest) -> Result<Map<String, Value>, FakeAnswer> {
    match request.json() {
        Value::Object(members) => Ok(members),
        _ => {
            let message = "The request content was invalid and could not be deserialized.";
            Err(FakeAnswer::error(400, "InvalidRequestContent", message))
        }
    }
}

impl State {
    /// What is above a resource must be there; the container of an asset's versions comes with its first.
    fn refuse_orphan(&self, path: &ArmPath) -> Result<(), FakeAnswer> {
        let above =
            if asset::is_version(path) { path.parent().and_then(|p| p.parent()) } else { path.parent() };
        match above {
            Some(above) if !self.store.has(&above.key) => {
                let message = format!(
                    "Failed to perform '{}': the parent resource '{}' is not found.",
                    path.name(),
                    above.path
                );
                Err(FakeAnswer::error(404, "ParentResourceNotFound", message))
            }
            _ => Ok(()),
        }
    }

    /// Only one operation at a time works on a resource, and on an endpoint with its deployments. Whoever is turned away has
    /// looked at the other operation, and finds it over some time.
    pub(super) fn refuse_busy(&mut self, path: &ArmPath) -> Result<(), FakeAnswer> {
        let Some(other) = self.operations.of_family(kind::family(path)) else { return Ok(()) };
        self.look(other);
        Err(self.turn_away())
    }

    /// The answer to somebody who is turned away because of another operation. Azure documents the status alone, so the words are
    /// others every time: nobody can rely on them.
    pub(super) fn turn_away(&mut self) -> FakeAnswer {
        self.turned_away += 1;
        let message = "Another operation on this or dependent resource is in progress.";
        let state = "Cannot change a deployment in endpoint because it is in Updating provisioning state.";
        match self.turned_away % 6 {
            0 => FakeAnswer::error(409, "RetryableErrorDueToAnotherOperation", message).retry_after(0),
            1 => FakeAnswer::user_error(409, "UserError", state, &["Conflict"]),
            2 => FakeAnswer::error(409, "Conflict", message),
            3 => FakeAnswer::error(409, "AnotherOperationInProgress", message),
            4 => FakeAnswer::error(409, "Conflict", message).retry_after(0),
            _ => FakeAnswer::empty(409),
        }
    }
}

/// Judges the body of a PUT by Azure's types, where there are any.
pub(super) fn judge(
    state: &mut State,
    path: &ArmPath,
    version: &str,
    body: &Value,
) -> Result<(), FakeAnswer> {
    let Some(schemas) = state.schemas.clone() else { return Ok(()) };
    let type_name = format!("{}@{version}", path.type_name());
    let report = match schemas.judge(&type_name, body) {
        Ok(report) => report,
        Err(error) => {
            state.refused.push(format!("{type_name}: {error}"));
            let message = format!("No registered resource provider found for '{type_name}'.");
            return Err(FakeAnswer::error(400, "NoRegisteredProviderFound", message));
        }
    };
    if report.errors.is_empty() {
        return Ok(());
    }
    let said: Vec<String> = report.errors.iter().map(|e| format!("{} {}", e.at, e.message)).collect();
    state.refused.push(format!("{}: {}", report.type_name, said.join("; ")));
    Err(FakeAnswer::user_error(400, "UserError", said.join("; "), &["BadArgument", "ArgumentInvalid"]))
}

fn put(azure: &FakeAzure, request: &FakeRequest, path: &ArmPath) -> Outcome {
    let version = request.query("api-version").unwrap_or_default();
    let new = Value::Object(body(request)?);
    let (was_there, mut value) = {
        let mut state = azure.state();
        if !kind::is_name(path) {
            let message = format!("The name '{}' is not valid for '{}'.", path.name(), path.type_name());
            let inner = &["BadArgument", "ArgumentInvalid"];
            return Err(FakeAnswer::user_error(400, "UserError", message, inner));
        }
        judge(&mut state, path, &version, &new)?;
        state.refuse_orphan(path)?;
        state.refuse_busy(path)?;
        let old = state.store.get(&path.key).map(|entry| entry.value.clone());
        let new = asset::take(&state, path, new, old.as_ref())?;
        (old.is_some(), envelope(path, new, state.store.get(&path.key).map(|e| &e.value), state.now()))
    };
    azure.parts().iter().for_each(|part| part.complete(&mut value, azure));
    let mut state = azure.state();
    let way = Kind::of(path).put;
    if way != Way::AtOnce {
        set_provisioning(&mut value, if was_there { "Updating" } else { "Creating" });
    }
    let hidden = state.faults.hides();
    state.store.put(&path.key, value, hidden);
    asset::recount(&mut state.store, path);
    let (made, changed) = kind::statuses(path);
    let status = if was_there { changed } else { made };
    Ok(later(&mut state, path, Act::Write, way, &version, status))
}

fn patch(azure: &FakeAzure, request: &FakeRequest, path: &ArmPath) -> Outcome {
    let version = request.query("api-version").unwrap_or_default();
    let (way, members) = match Kind::of(path).patch {
        Patch::None => return Err(not_allowed(request, path)),
        Patch::Members(way, members) => (way, members),
        Patch::Merge(way) => (way, &["/tags", "/sku", "/identity", "/kind", "/properties"][..]),
    };
    let change = Value::Object(body(request)?);
    let mut value = {
        let mut state = azure.state();
        let entry = state.store.get(&path.key).ok_or_else(|| not_found(&path.path))?;
        let value = entry.value.clone();
        state.refuse_busy(path)?;
        value
    };
    for pointer in members {
        if let Some(new) = change.pointer(pointer) {
            overlay(&mut value, pointer, new);
        }
    }
    let mut state = azure.state();
    let mut value = envelope(path, value.clone(), Some(&value), state.now());
    drop(state);
    azure.parts().iter().for_each(|part| part.complete(&mut value, azure));
    state = azure.state();
    if way != Way::AtOnce {
        set_provisioning(&mut value, "Updating");
    }
    state.store.put(&path.key, value, 0);
    let status = if way == Way::Location { 202 } else { 200 };
    Ok(later(&mut state, path, Act::Write, way, &version, status))
}

/// Lays a value over what a pointer leads to: objects member by member, but tags as a whole.
fn overlay(value: &mut Value, pointer: &str, new: &Value) {
    let Some((above, name)) = pointer.rsplit_once('/') else { return };
    let Some(holder) = value.pointer_mut(above).and_then(Value::as_object_mut) else { return };
    match (holder.get_mut(name).and_then(Value::as_object_mut), new.as_object()) {
        (Some(old), Some(new)) if name != "tags" => {
            new.iter().for_each(|(name, member)| drop(old.insert(name.clone(), member.clone())));
        }
        _ => drop(holder.insert(name.to_owned(), new.clone())),
    }
}

fn delete(azure: &FakeAzure, request: &FakeRequest, path: &ArmPath) -> Outcome {
    let version = request.query("api-version").unwrap_or_default();
    let mut state = azure.state();
    let is_compute = path.is_machine_learning() && path.kind() == "workspaces/computes";
    if is_compute
        && !matches!(request.query("underlyingResourceAction").as_deref(), Some("Delete" | "Detach"))
    {
        let message = "The parameter underlyingResourceAction must be Delete or Detach.";
        return Err(FakeAnswer::user_error(400, "UserError", message, &["BadArgument", "MissingArgument"]));
    }
    if !state.store.has(&path.key) {
        return Ok(FakeAnswer::empty(204));
    }
    state.refuse_busy(path)?;
    let way = Kind::of(path).delete;
    if way == Way::AtOnce {
        state.store.remove(&path.key);
        asset::recount(&mut state.store, path);
        return Ok(FakeAnswer::empty(200));
    }
    if let Some(entry) = state.store.get_mut(&path.key) {
        set_provisioning(&mut entry.value, "Deleting");
    }
    Ok(later(&mut state, path, Act::Remove, way, &version, 202))
}

/// The answer to a write, and the operation that it begins where it is not done at once.
fn later(state: &mut State, path: &ArmPath, act: Act, way: Way, version: &str, status: u16) -> FakeAnswer {
    let shown = |state: &State, status: u16| match (&act, state.store.get(&path.key)) {
        (Act::Write, Some(entry)) => FakeAnswer::json(status, entry.value.clone()),
        _ => FakeAnswer::empty(status),
    };
    if way == Way::AtOnce {
        return shown(state, status);
    }
    let begun = state.begin(path, kind::family(path), act.clone(), way, version, FakeAnswer::empty(status));
    // Endpoints and deployments also keep where the last operation on them is asked for.
    let address = state.latest_status().filter(|_| act == Act::Write && kind::is_endpoint_kind(path));
    if let (Some(address), Some(entry)) = (address, state.store.get_mut(&path.key))
        && let Some(properties) = entry.value.get_mut("properties").and_then(Value::as_object_mut)
    {
        let own = properties.entry("properties").or_insert_with(|| json!({}));
        own["AzureAsyncOperationUri"] = json!(address);
    }
    let FakeAnswer { headers: own, body, .. } = shown(state, status);
    let mut headers = begun.headers;
    headers.extend(own);
    FakeAnswer { status, headers, body }
}

/// A resource as the store has it: what was sent, with what the service writes around it.
pub(super) fn envelope(path: &ArmPath, sent: Value, old: Option<&Value>, now: Timestamp) -> Value {
    let mut value = match sent {
        Value::Object(members) => members,
        _ => Map::new(),
    };
    let kept = |name: &str| old.and_then(|old| old.get(name)).cloned();
    value.insert("id".to_owned(), kept("id").unwrap_or_else(|| json!(path.path)));
    value.insert("name".to_owned(), kept("name").unwrap_or_else(|| json!(path.name())));
    value.insert("type".to_owned(), kept("type").unwrap_or_else(|| json!(path.type_name())));
    if path.is_machine_learning() {
        value.insert("systemData".to_owned(), system_data(kept("systemData"), now));
    }
    if let Some(identity) = value.get_mut("identity").and_then(Value::as_object_mut) {
        let is_system =
            identity.get("type").and_then(Value::as_str).is_some_and(|kind| kind.contains("SystemAssigned"));
        if is_system {
            // The same resource is always the same principal.
            let hash = path
                .key
                .bytes()
                .fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3));
            identity.insert("principalId".to_owned(), json!(guid(0x1de, hash)));
            identity.insert("tenantId".to_owned(), json!(TENANT));
        }
    }
    Value::Object(value)
}

/// Who made a resource and who changed it last, and when; not every provider says so.
fn system_data(old: Option<Value>, now: Timestamp) -> Value {
    let now = json!(now.to_rfc3339());
    let made = || json!({ "createdAt": now, "createdBy": "fake", "createdByType": "Application" });
    let mut system = old.unwrap_or_else(made);
    system["lastModifiedAt"] = now.clone();
    system["lastModifiedBy"] = json!("fake");
    system["lastModifiedByType"] = json!("Application");
    system
}
