//! Lists: which items, in which order, in pages.

use serde_json::{Value, json};

use super::arm::not_found;
use super::asset;
use super::exchange::{FakeAnswer, FakeRequest};
use super::path::ArmPath;
use super::state::State;
use super::store::Entry;

/// A page of a list, and where the next one is.
pub(super) fn answer(state: &State, request: &FakeRequest, path: &ArmPath) -> Result<FakeAnswer, FakeAnswer> {
    if let Some(above) = path.parent() {
        // The versions of an asset that is not there are none.
        if !state.store.has(&above.key) && !asset::is_version_list(path) {
            return Err(not_found(&above.path));
        }
    }
    let mut entries: Vec<&Entry> = match path.parent() {
        None if is_of_subscription(path) => of_type(state, path),
        _ => state.store.items(&path.key),
    };
    entries.retain(|entry| entry.hidden == 0 && is_wanted(request, path, &entry.value));
    sort(request, path, &mut entries)?;
    let number = |name: &str| match request.query(name) {
        None => Ok(None),
        Some(text) => text.parse::<usize>().map(Some).map_err(|_| {
            let message = format!("The parameter '{name}' is not a number.");
            FakeAnswer::user_error(400, "UserError", message, &["BadArgument", "ArgumentInvalid"])
        }),
    };
    // What is asked for is at most a page; it is never the end of the list.
    let wanted = number("$top")?.or(number("count")?).or(number("pageSize")?).filter(|n| *n > 0);
    let size = wanted.unwrap_or(state.page).min(state.page);
    let skip = number("$skip")?.unwrap_or(0);
    let page: Vec<Value> = entries.iter().skip(skip).take(size).map(|entry| entry.value.clone()).collect();
    let next = skip.saturating_add(page.len());
    match next < entries.len() {
        true => Ok(FakeAnswer::ok(json!({ "value": page, "nextLink": link(request, next) }))),
        false => Ok(FakeAnswer::ok(json!({ "value": page }))),
    }
}

/// The same address with another place to begin at.
fn link(request: &FakeRequest, skip: usize) -> String {
    let mut url = request.url.clone();
    let pairs = request.url.query_pairs().filter(|(name, _)| !name.eq_ignore_ascii_case("$skip"));
    let pairs: Vec<(String, String)> = pairs.map(|(name, value)| (name.into(), value.into())).collect();
    url.query_pairs_mut().clear().extend_pairs(pairs).append_pair("$skip", &skip.to_string());
    url.into()
}

/// Whether a list is of all resources of a type in the subscription.
fn is_of_subscription(path: &ArmPath) -> bool {
    path.words.len() == 1 && path.key.split('/').nth(3) == Some("providers")
}

fn of_type<'a>(state: &'a State, path: &ArmPath) -> Vec<&'a Entry> {
    let is_of_type = |entry: &&Entry| {
        let kind = entry.value.get("type").and_then(Value::as_str);
        kind.is_some_and(|kind| kind.eq_ignore_ascii_case(&path.type_name()))
    };
    state.store.all().map(|(_, entry)| entry).filter(is_of_type).collect()
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// Whether an item is one that the query asks for.
fn is_wanted(request: &FakeRequest, path: &ArmPath, item: &Value) -> bool {
    if !path.is_machine_learning() {
        return true;
    }
    let archived = item.pointer("/properties/isArchived").and_then(Value::as_bool).unwrap_or(false);
    let view = request.query("listViewType").unwrap_or_default().to_ascii_lowercase();
    let in_view = match view.as_str() {
        "all" => true,
        "archivedonly" => archived,
        _ => !archived,
    };
    let is = |name: &str, value: &str| {
        request.query(name).is_none_or(|wanted| wanted.is_empty() || wanted.eq_ignore_ascii_case(value))
    };
    let listed = |name: &str, value: &str| {
        request.query(name).is_none_or(|names| names.split(',').any(|n| n.trim().eq_ignore_ascii_case(value)))
    };
    let name = text(item, "/name");
    let is_default = item.pointer("/properties/isDefault").and_then(Value::as_bool).unwrap_or(false);
    let by_kind = match path.words.last().map(String::as_str) {
        Some("datastores") => {
            let found = request.query("searchText").is_none_or(|t| name.contains(&t));
            is("isDefault", &is_default.to_string()) && listed("names", name) && found
        }
        Some("jobs") => is("jobType", text(item, "/properties/jobType")),
        Some("onlineEndpoints") => is("name", name),
        _ => true,
    };
    let of_code = is("hash", text(item, "/properties/properties/hash_sha256"))
        && is("hashVersion", text(item, "/properties/properties/hash_version"));
    in_view
        && by_kind
        && of_code
        && is("version", name)
        && is("description", text(item, "/properties/description"))
        && ["tags", "tag", "$tags"].iter().all(|t| has(item, "/properties/tags", request.query(t)))
        && has(item, "/properties/properties", request.query("properties"))
}

/// Whether a map has every one of `a=b,c`: a name with its value, or a name alone.
fn has(item: &Value, pointer: &str, wanted: Option<String>) -> bool {
    let wanted = wanted.unwrap_or_default();
    let map = item.pointer(pointer);
    wanted.split(',').map(str::trim).filter(|pair| !pair.is_empty()).all(|pair| match pair.split_once('=') {
        Some((name, value)) => map.and_then(|map| map.get(name)).and_then(Value::as_str) == Some(value),
        None => map.is_some_and(|map| map.get(pair).is_some()),
    })
}

/// Versions come newest first, all others by name, unless `$orderBy` (or `orderBy`) says otherwise.
fn sort(request: &FakeRequest, path: &ArmPath, entries: &mut [&Entry]) -> Result<(), FakeAnswer> {
    let order = request.query("$orderBy").or(request.query("orderBy")).unwrap_or_default();
    let mut words = order.split_whitespace();
    let by = words.next().unwrap_or_default().to_ascii_lowercase();
    let down = words.next().is_some_and(|word| word.eq_ignore_ascii_case("desc"));
    match by.trim_start_matches("systemdata/") {
        "" if asset::is_version_list(path) => entries.sort_by_key(|entry| std::cmp::Reverse(entry.number)),
        "" => {}
        "createdtime" | "createdat" | "creationtime" if down => {
            entries.sort_by_key(|entry| std::cmp::Reverse(entry.number));
        }
        "createdtime" | "createdat" | "creationtime" => entries.sort_by_key(|entry| entry.number),
        "name" => {
            entries.sort_by(|a, b| text(&a.value, "/name").cmp(text(&b.value, "/name")));
            if down {
                entries.reverse();
            }
        }
        _ => {
            let message = format!("Cannot order by '{order}'.");
            return Err(FakeAnswer::user_error(
                400,
                "UserError",
                message,
                &["BadArgument", "ArgumentInvalid"],
            ));
        }
    }
    Ok(())
}
