//! Operations that take longer than a request.

use std::collections::BTreeMap;

use mlops_core::time::Timestamp;
use serde_json::{Value, json};

use super::azure::REGION;
use super::exchange::FakeAnswer;
use super::kind::Way;
use super::path::ArmPath;
use super::state::State;
use super::store::set_provisioning;

/// What an operation does to its resource when it ends.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Act {
    /// Leaves it as it was written.
    Write,
    /// Removes it.
    Remove,
    /// Nothing; this is the result.
    Other(Value),
}

/// An operation.
#[derive(Clone, Debug)]
pub(super) struct Operation {
    /// The resource, and what only one operation at a time works on.
    key: String,
    family: String,
    act: Act,
    /// How many more looks find it under way; `None` for one that never ends of itself.
    left: Option<u32>,
    /// With what it fails.
    failure: Option<(String, String)>,
    status: &'static str,
    started: Timestamp,
    ended: Option<Timestamp>,
    /// Where it is asked for, by status and by result, without the query.
    at: String,
    api_version: String,
}

/// All operations, by their numbers, the ended ones too.
#[derive(Debug, Default)]
pub(super) struct Operations(BTreeMap<u64, Operation>);

impl Operations {
    /// The pending operation on something.
    pub(super) fn of_family(&self, family: &str) -> Option<u64> {
        let pending = |operation: &Operation| operation.ended.is_none() && operation.family == family;
        self.0.iter().find(|(_, operation)| pending(operation)).map(|(id, _)| *id)
    }

    /// The pending operation on a resource itself.
    fn of_resource(&self, key: &str) -> Option<u64> {
        let pending = |operation: &Operation| operation.ended.is_none() && operation.key == key;
        self.0.iter().find(|(_, operation)| pending(operation)).map(|(id, _)| *id)
    }
}

const HOST: &str = "https://management.azure.com";

/// The word in the id of an operation that says of what it is.
fn word(path: &ArmPath) -> &'static str {
    match path.kind().as_str() {
        "workspaces/onlineendpoints" | "workspaces/batchendpoints" => "oeidp",
        "workspaces/onlineendpoints/deployments" | "workspaces/batchendpoints/deployments" => "odidp",
        _ => "op",
    }
}

impl State {
    /// Begins an operation on a resource and dresses the answer that says so.
    pub(super) fn begin(
        &mut self,
        path: &ArmPath,
        family: &str,
        act: Act,
        way: Way,
        api_version: &str,
        answer: FakeAnswer,
    ) -> FakeAnswer {
        self.operations_begun += 1;
        let id = self.operations_begun;
        let subscription = path.path.split('/').nth(2).unwrap_or_default();
        let statuses = if path.is_machine_learning() { "mfeOperationsStatus" } else { "operationStatuses" };
        let name = format!("{}:{}:{}", word(path), super::state::guid(0x0e, 0), super::state::guid(0x0e, id));
        let place = format!("/subscriptions/{subscription}/providers/{}/locations/{REGION}", path.namespace);
        let at = format!("{place}/{statuses}/{name}");
        let operation = Operation {
            key: path.key.clone(),
            family: family.to_owned(),
            act,
            left: self.looks(),
            failure: self.take_failure(&path.key),
            status: "InProgress",
            started: self.now(),
            ended: None,
            at: at.clone(),
            api_version: api_version.to_owned(),
        };
        let (status, result) = operation.links();
        self.operations.0.insert(id, operation);
        let answer = answer.with("x-ms-async-operation-timeout", "PT1H").retry_after(0);
        match way {
            Way::AtOnce => answer,
            Way::Status => answer.with("azure-asyncoperation", status),
            Way::Location => answer.with("location", result),
        }
    }

    /// The address at which the status of the latest operation is asked for.
    pub(super) fn latest_status(&self) -> Option<String> {
        self.operations.0.get(&self.operations_begun).map(|operation| operation.links().0)
    }

    /// The answer to a question about an operation, which is a look at it; `None` for a path that is none.
    pub(super) fn ask(&mut self, path: &ArmPath) -> Option<FakeAnswer> {
        let kind = path.kind();
        let by_result = kind.ends_with("/mfeoperationresults") || kind.ends_with("/operationresults");
        let by_status = kind.ends_with("/mfeoperationsstatus") || kind.ends_with("/operationstatuses");
        if !by_result && !by_status {
            return None;
        }
        let id = path.name().rsplit(['-', ':']).next().and_then(|hex| u64::from_str_radix(hex, 16).ok());
        let known = |id: &u64| self.operations.0.get(id).is_some_and(|o| o.at.ends_with(path.name()));
        let Some(id) = id.filter(known) else {
            return Some(FakeAnswer::error(404, "NotFound", "there is no such operation"));
        };
        self.look(id);
        let operation = self.operations.0.get(&id)?;
        Some(if by_status { operation.status_answer() } else { operation.result_answer(self) })
    }

    /// A look at a resource is one at the operation on it.
    pub(super) fn look_at_resource(&mut self, key: &str) {
        if let Some(id) = self.operations.of_resource(key) {
            self.look(id);
        }
    }

    /// A look at an operation; the one that finds it at its end ends it.
    pub(super) fn look(&mut self, id: u64) {
        let Some(operation) = self.operations.0.get_mut(&id).filter(|o| o.ended.is_none()) else { return };
        match &mut operation.left {
            Some(0) => self.settle(id, None),
            Some(left) => *left -= 1,
            None => {}
        }
    }

    /// Ends the pending operation on something as it would have ended, or with another status; says whether there was one.
    pub(super) fn end(&mut self, path: &ArmPath, status: Option<&'static str>) -> bool {
        let family = super::kind::family(path);
        let id = self.operations.of_resource(&path.key).or_else(|| self.operations.of_family(family));
        if let Some(id) = id {
            self.settle(id, status);
        }
        id.is_some()
    }

    fn settle(&mut self, id: u64, status: Option<&'static str>) {
        let now = self.now();
        let Some(operation) = self.operations.0.get_mut(&id) else { return };
        let own = if operation.failure.is_some() { "Failed" } else { "Succeeded" };
        operation.status = status.unwrap_or(own);
        operation.ended = Some(now);
        let (key, status, act) = (operation.key.clone(), operation.status, operation.act.clone());
        match act {
            Act::Other(_) => {}
            Act::Remove if status == "Succeeded" => {
                self.store.remove(&key);
                if let Some(path) = ArmPath::parse(&key) {
                    super::asset::recount(&mut self.store, &path);
                }
            }
            Act::Write | Act::Remove => {
                if let Some(entry) = self.store.get_mut(&key) {
                    set_provisioning(&mut entry.value, status);
                }
            }
        }
    }
}

impl Operation {
    /// Where its status and where its result is.
    fn links(&self) -> (String, String) {
        let results = self
            .at
            .replace("mfeOperationsStatus", "mfeOperationResults")
            .replace("operationStatuses", "operationResults");
        let link = |path: &str| format!("{HOST}{path}?api-version={}", self.api_version);
        (link(&self.at), link(&results))
    }

    fn error(&self) -> Option<Value> {
        match (&self.failure, self.status) {
            (Some((code, message)), "Failed") => Some(json!({ "code": code, "message": message })),
            (_, "Canceled") => {
                Some(json!({ "code": "OperationCanceled", "message": "The operation was canceled." }))
            }
            _ => None,
        }
    }

    /// A status is told with 200, that of a failure too.
    fn status_answer(&self) -> FakeAnswer {
        let name = self.at.rsplit('/').next();
        let mut body = json!({
            "id": self.at, "name": name, "status": self.status, "startTime": self.started.to_rfc3339(),
        });
        if let (Some(ended), Some(members)) = (self.ended, body.as_object_mut()) {
            members.insert("endTime".to_owned(), json!(ended.to_rfc3339()));
            if let Some(error) = self.error() {
                members.insert("error".to_owned(), error);
            }
        }
        FakeAnswer::ok(body)
    }

    fn result_answer(&self, state: &State) -> FakeAnswer {
        if self.ended.is_none() {
            return FakeAnswer::empty(202).with("location", self.links().1).retry_after(0);
        }
        let resource = || state.store.get(&self.key).map(|entry| entry.value.clone());
        match (&self.act, self.error(), resource()) {
            (Act::Write, _, Some(resource)) => FakeAnswer::ok(resource),
            (_, Some(error), _) => FakeAnswer::json(409, json!({ "error": error })),
            (Act::Other(result), None, _) if !result.is_null() => FakeAnswer::ok(result.clone()),
            _ => FakeAnswer::empty(204),
        }
    }
}
