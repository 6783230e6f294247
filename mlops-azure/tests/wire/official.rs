//! Official examples outside of a workspace's own resources: read by the type of their kind, and written back as they were; and the
//! errors and events that Azure documents.

use mlops_azure::error::{Answer, ServiceError, from_operation, from_response};
use mlops_azure::event::EventReceiver;
use mlops_azure::wire::autoscale::AutoscaleSetting;
use mlops_azure::wire::component::ComponentVersion;
use mlops_azure::wire::event::{EventSubscription, SystemTopic};
use mlops_azure::wire::role::RoleAssignment;
use mlops_azure::wire::tags::Tags;
use mlops_azure::wire::workspace::WorkspaceProperties;
use mlops_azure::wire::{CodeVersion, Container, DataVersion, EnvironmentVersion, ModelVersion};
use mlops_core::ErrorKind;
use mlops_core::retrain::event_source::Received;
use serde_json::Value;

use super::{Passed, files, forgive, material, read, through};

/// A body through the type of its kind; `None` for kinds without one.
pub fn pass(kind: &str, body: &Value) -> Option<Result<Passed, String>> {
    let kind = kind.to_ascii_lowercase();
    if let Some(kind) = kind.strip_prefix("microsoft.machinelearningservices/registries/") {
        return Some(match kind {
            "models" | "data" | "environments" | "codes" | "components" => through::<Container>(body),
            "models/versions" => through::<ModelVersion>(body),
            "data/versions" => through::<DataVersion>(body),
            "environments/versions" => through::<EnvironmentVersion>(body),
            "codes/versions" => through::<CodeVersion>(body),
            "components/versions" => through::<ComponentVersion>(body),
            _ => return None,
        });
    }
    Some(match kind.as_str() {
        "microsoft.machinelearningservices/workspaces" => through::<WorkspaceProperties>(body),
        "microsoft.insights/autoscalesettings" => through::<AutoscaleSetting>(body),
        "microsoft.eventgrid/systemtopics" => through::<SystemTopic>(body),
        "microsoft.authorization/roleassignments" => through::<RoleAssignment>(body),
        "microsoft.resources/tags" => through::<Tags>(body),
        kind if kind.starts_with("microsoft.eventgrid/") && kind.ends_with("eventsubscriptions") => {
            through::<EventSubscription>(body)
        }
        _ => return None,
    })
}

#[test]
fn examples_outside_of_workspaces_are_read_and_written_back() {
    let Some(material) = material() else { return };
    let mut seen = std::collections::BTreeMap::new();
    for (name, example) in files(&material.join("examples")) {
        let Some(kind) = example["resourceType"].as_str() else { continue };
        let Some(ours) = pass(kind, &example["body"]) else { continue };
        let mut theirs = example["body"].clone();
        forgive(&mut theirs);
        assert_eq!(ours.unwrap_or_else(|e| panic!("{name}: {e}")).body, theirs, "{name}");
        *seen.entry(kind.to_ascii_lowercase()).or_insert(0) += 1;
    }
    println!("{seen:?}");
    for kind in [
        "microsoft.authorization/roleassignments",
        "microsoft.eventgrid/eventsubscriptions",
        "microsoft.eventgrid/systemtopics",
        "microsoft.eventgrid/systemtopics/eventsubscriptions",
        "microsoft.insights/autoscalesettings",
        "microsoft.machinelearningservices/registries/components/versions",
        "microsoft.machinelearningservices/registries/data/versions",
        "microsoft.machinelearningservices/registries/environments/versions",
        "microsoft.machinelearningservices/registries/models/versions",
        "microsoft.machinelearningservices/workspaces",
        "microsoft.resources/tags",
    ] {
        assert!(seen.contains_key(kind), "no example of {kind}");
    }
}

#[test]
fn errors_that_azure_answered_are_read() {
    let Some(material) = material() else { return };
    let errors = read(&material.join("examples/errors.json"));
    for (name, kind, code, inner) in [
        ("mfe_user_error_400", ErrorKind::InvalidInput, "UserError", "MissingArgument"),
        ("job_immutable", ErrorKind::AlreadyExists, "UserError", "JobPropertyImmutable"),
        ("mfe_service_error_500", ErrorKind::Transport, "ServiceError", ""),
        ("not_found_nested", ErrorKind::NotFound, "NotFound", ""),
        ("lro_failed", ErrorKind::Rejected, "ModelRegistryError", ""),
        ("rp_not_registered_409", ErrorKind::Unsupported, "MissingSubscriptionRegistration", ""),
    ] {
        let example = &errors[name];
        let body = example["body"].to_string();
        let status = example["status"].as_u64().unwrap_or(400);
        let answer = Answer::new(u16::try_from(status).unwrap(), body.as_bytes());
        let error = match status {
            200 => from_operation("test", example["body"]["status"].as_str().unwrap(), &answer),
            _ => from_response("test", &answer),
        };
        let said = ServiceError::of(&error).unwrap_or_else(|| panic!("{name}: {error:?}"));
        assert_eq!((error.kind(), said.code.as_deref()), (kind, Some(code)), "{name}");
        assert!(said.message.is_some(), "{name}");
        assert!(inner.is_empty() || said.has(inner), "{name}: {said:?}");
    }
}

#[test]
fn events_that_azure_documents_are_received() {
    let Some(material) = material() else { return };
    let documented = read(&material.join("examples/eventgrid-ml-events.json"));
    let all = documented["events"].as_array().unwrap();
    let body = documented["events"].to_string();
    let received = EventReceiver::new().unwrap().receive("POST", &[], body.as_bytes()).unwrap();
    let Received::Events(events) = &received else { panic!("{received:?}") };
    let kinds: Vec<&str> = events.iter().map(|event| event.kind.as_str()).collect();
    let expected: Vec<&str> = all.iter().map(|event| event["eventType"].as_str().unwrap()).collect();
    assert_eq!(kinds, expected);
    let breaches = EventReceiver::breaches(&received);
    assert_eq!(breaches.len(), 1, "{breaches:?}");
}
