//! Role assignments, tags, and what is wrong with a workspace.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use reqwest::Method;
use serde_json::{Map, Value, json};

use super::azure::FakeAzure;
use super::exchange::{FakeAnswer, FakePart, FakeRequest};
use crate::config::name::is_guid;

/// Rules of role assignments and tags, and diagnoses, in memory.
///
/// * The name of an assignment is a GUID. The same role of the same identity in the same scope under another name is
///   `RoleAssignmentExists`. An identity that is [new](Self::new_principal) is `PrincipalNotFound` for a while.
/// * Tags are changed by `Merge`, `Replace` and `Delete`, with 202 and `Location`; names have no case.
/// * A diagnosis finds what it is [told](Self::finds), with 202 and `Location`.
#[derive(Clone, Default)]
pub struct FakeGovernance(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// For how many tries an identity is not known.
    principals: BTreeMap<String, u32>,
    findings: BTreeMap<String, Vec<Value>>,
}

const ROLES: &str = "/providers/microsoft.authorization/roleassignments";
const TAGS: &str = "/providers/microsoft.resources/tags/default";

impl FakeGovernance {
    /// The rules of a fake, plugged in.
    pub fn of(azure: &FakeAzure) -> Self {
        let governance = Self::default();
        azure.plug(governance.clone());
        governance
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An identity that was just made: the next so many tries to give it a role do not find it.
    pub fn new_principal(&self, id: &str, tries: u32) {
        self.state().principals.insert(id.to_ascii_lowercase(), tries);
    }

    /// Has diagnoses find something, about `storageAccount`, `keyVault` and so on.
    pub fn finds(&self, what: &str, code: &str, level: &str, message: &str) {
        let finding = json!({ "code": code, "level": level, "message": message });
        self.state().findings.entry(format!("{what}Results")).or_default().push(finding);
    }

    fn refuse_assignment(&self, request: &FakeRequest, azure: &FakeAzure, id: &str) -> Option<FakeAnswer> {
        let (list, name) = id.rsplit_once('/')?;
        if !is_guid(name) {
            let message = format!("The role assignment ID '{name}' is not valid. It must be a GUID.");
            return Some(FakeAnswer::error(400, "InvalidRoleAssignmentId", message));
        }
        let sent = request.json();
        let text = |value: &Value, member: &str| {
            let found = value.pointer(&format!("/properties/{member}")).and_then(Value::as_str);
            found.unwrap_or_default().to_ascii_lowercase()
        };
        let (role, principal) = (text(&sent, "roleDefinitionId"), text(&sent, "principalId"));
        if let Some(left) = self.state().principals.get_mut(&principal).filter(|left| **left > 0) {
            *left -= 1;
            let message = format!("Principal {principal} does not exist in the directory.");
            return Some(FakeAnswer::error(400, "PrincipalNotFound", message));
        }
        let is_twin = |other: &Value| {
            let other_name = other.get("name").and_then(Value::as_str).unwrap_or_default();
            !other_name.eq_ignore_ascii_case(name)
                && text(other, "roleDefinitionId") == role
                && text(other, "principalId") == principal
        };
        azure
            .list_resources(list)
            .iter()
            .any(is_twin)
            .then(|| FakeAnswer::error(409, "RoleAssignmentExists", "The role assignment already exists."))
    }

    fn list_assignments(&self, request: &FakeRequest, azure: &FakeAzure, list: &str) -> FakeAnswer {
        let filter = request.query("$filter").unwrap_or_default();
        let wanted = filter.strip_prefix("principalId eq '").and_then(|rest| rest.strip_suffix('\''));
        let fits = |assignment: &Value| {
            let principal = assignment.pointer("/properties/principalId").and_then(Value::as_str);
            wanted.is_none_or(|wanted| principal.is_some_and(|of| of.eq_ignore_ascii_case(wanted)))
        };
        let found: Vec<Value> = azure.list_resources(list).into_iter().filter(fits).collect();
        FakeAnswer::ok(json!({ "value": found }))
    }

    fn change_tags(&self, request: &FakeRequest, azure: &FakeAzure, scope: &str) -> FakeAnswer {
        let Some(mut resource) = azure.resource(scope) else {
            return FakeAnswer::error(404, "ResourceNotFound", "there is no such resource");
        };
        let sent = request.json();
        let given = sent.pointer("/properties/tags").and_then(Value::as_object).cloned().unwrap_or_default();
        let mut tags = resource.get("tags").and_then(Value::as_object).cloned().unwrap_or_default();
        match sent.get("operation").and_then(Value::as_str) {
            Some("Replace") => tags = given,
            Some("Merge") => {
                for (name, value) in given {
                    forget(&mut tags, &name);
                    tags.insert(name, value);
                }
            }
            Some("Delete") => {
                for (name, value) in given {
                    if tags.iter().any(|(known, old)| known.eq_ignore_ascii_case(&name) && *old == value) {
                        forget(&mut tags, &name);
                    }
                }
            }
            _ => return FakeAnswer::error(400, "InvalidRequestContent", "there is no such operation"),
        }
        if tags.len() > 50 {
            return FakeAnswer::error(400, "InvalidTags", "at most 50 tags");
        }
        if let Some(members) = resource.as_object_mut() {
            members.insert("tags".to_owned(), Value::Object(tags));
        }
        azure.set_resource(scope, resource);
        azure.begin(request, &format!("{scope}{TAGS}"), shown(azure, scope))
    }
}

fn forget(tags: &mut Map<String, Value>, name: &str) {
    tags.retain(|known, _| !known.eq_ignore_ascii_case(name));
}

/// The tags of a resource as a resource of their own.
fn shown(azure: &FakeAzure, scope: &str) -> Value {
    let tags = azure.resource(scope).and_then(|resource| resource.get("tags").cloned());
    json!({
        "id": format!("{scope}/providers/Microsoft.Resources/tags/default"), "name": "default",
        "type": "Microsoft.Resources/tags", "properties": { "tags": tags.unwrap_or(json!({})) },
    })
}

impl FakePart for FakeGovernance {
    fn answer(&self, request: &FakeRequest, azure: &FakeAzure) -> Option<FakeAnswer> {
        if request.host() != "management.azure.com" {
            return None;
        }
        let id = request.path().trim_end_matches('/').to_ascii_lowercase();
        if id.ends_with(ROLES) && request.method == Method::GET {
            return Some(self.list_assignments(request, azure, &id));
        }
        if id.rsplit_once('/').is_some_and(|(list, _)| list.ends_with(ROLES)) && request.method == Method::PUT
        {
            return self.refuse_assignment(request, azure, &id);
        }
        if let Some(scope) = id.strip_suffix(TAGS) {
            return match request.method {
                Method::GET if azure.resource(scope).is_some() => Some(FakeAnswer::ok(shown(azure, scope))),
                Method::PATCH => Some(self.change_tags(request, azure, scope)),
                _ => None,
            };
        }
        let workspace = azure.workspace().id().to_ascii_lowercase();
        if request.method == Method::POST && id.strip_suffix("/diagnose") == Some(&workspace) {
            let found = json!({ "value": self.state().findings });
            return Some(azure.begin(request, &workspace, found));
        }
        None
    }

    fn complete(&self, resource: &mut Value, _: &FakeAzure) {
        let scope = resource.get("id").and_then(Value::as_str).and_then(scope_of);
        let properties = resource.get_mut("properties").and_then(Value::as_object_mut);
        if let (Some(scope), Some(properties)) = (scope, properties) {
            properties.insert("scope".to_owned(), Value::String(scope));
        }
    }
}

/// The scope of an assignment, by its id.
fn scope_of(id: &str) -> Option<String> {
    let at = id.to_ascii_lowercase().find(ROLES)?;
    id.get(..at).map(str::to_owned)
}

impl fmt::Debug for FakeGovernance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FakeGovernance").finish_non_exhaustive()
    }
}
