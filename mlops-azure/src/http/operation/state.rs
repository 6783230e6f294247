//! Where a long-running operation is, and what the last answer says of it.

use std::fmt;
use std::time::Duration;

use mlops_core::time::{Timestamp, duration_text};
use mlops_core::{Error, ErrorKind, Result};
use reqwest::{Method, Url};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::super::guard;
use super::super::service::Reply;
use super::super::transport::bare;
use super::duration;
use crate::error;

/// What is needed to go on with an operation, also in another process: [saved](super::Operation::save), kept as JSON, and
/// [resumed](super::super::Service::resume).
///
/// The addresses in it may be signed by the service: keep it where secrets may be. Its `Debug` shows no query.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OperationState {
    /// How the operation was begun.
    begun: Begun,
    /// The resource that it is about, with the query of the first call.
    resource: Address,
    /// Where the result of a POST is.
    location: Option<Address>,
    phase: Phase,
    /// When it was begun, by this machine's clock.
    pub(super) started: Timestamp,
    /// How long it may take, as the service says.
    #[serde(with = "duration_text::option", default, skip_serializing_if = "Option::is_none")]
    pub(super) limit: Option<Duration>,
    /// What was last heard of it.
    pub(super) status: String,
    pub(super) percent: Option<f64>,
}

/// By which method.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Begun {
    /// GET: the result is the resource once nothing is under way.
    Read,
    /// PUT and PATCH: the result is the resource.
    Write,
    /// DELETE: the result is that it is gone.
    Delete,
    /// POST: the result is what `Location` says, if anything.
    Act,
}

/// An address, in JSON as its text.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
struct Address(Url);

impl Address {
    /// A link in the answer of this address, to the same host.
    fn link(&self, operation: &'static str, link: &str) -> Result<Self> {
        guard::same_origin(operation, &self.0, link).map(Self)
    }
}

impl From<Address> for String {
    fn from(address: Address) -> Self {
        address.0.into()
    }
}

impl TryFrom<String> for Address {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Url::parse(&text).map(Self).map_err(|e| e.to_string())
    }
}

#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Phase {
    /// Asks the status.
    Status(Address),
    /// Asks the address at which the result will be.
    Location(Address),
    /// Asks the resource how it is.
    Resource,
    /// It has succeeded; the result is here.
    Result(Address),
    /// It has succeeded, and this is the result.
    Done(Value),
}

impl OperationState {
    /// The operation that an answer begins.
    pub(super) fn begin(
        operation: &'static str,
        method: &Method,
        url: Url,
        reply: &Reply,
        now: Timestamp,
    ) -> Result<Self> {
        let begun = match *method {
            Method::GET => Begun::Read,
            Method::PUT | Method::PATCH => Begun::Write,
            Method::DELETE => Begun::Delete,
            _ => Begun::Act,
        };
        let resource = Address(url);
        let link = |name: &str| reply.header(name).map(|link| resource.link(operation, link)).transpose();
        let limit = reply.header("x-ms-async-operation-timeout").and_then(duration::parse);
        let status = link("azure-asyncoperation")?;
        // The official example of a job that is cancelled answers 200 with a `Location` that is no address: nothing is pending.
        let pending = matches!(reply.status, 201 | 202);
        let location = if pending || status.is_some() { link("location")? } else { None };
        let phase = match (status, &location) {
            (Some(status), _) => Phase::Status(status),
            (None, Some(location)) if pending => Phase::Location(location.clone()),
            _ => Phase::Resource,
        };
        let mut state = Self {
            begun,
            resource,
            location,
            phase,
            started: now,
            limit,
            status: "Accepted".to_owned(),
            percent: None,
        };
        if state.phase == Phase::Resource {
            state.provisioning(operation, reply)?;
        }
        Ok(state)
    }

    /// Checks that every address is one of the service at `base`.
    pub(super) fn check(&self, operation: &'static str, base: &Url) -> Result<()> {
        let phase = match &self.phase {
            Phase::Status(url) | Phase::Location(url) | Phase::Result(url) => Some(url),
            Phase::Resource | Phase::Done(_) => None,
        };
        for url in [&self.resource].into_iter().chain(&self.location).chain(phase) {
            guard::same_origin(operation, base, url.0.as_str())?;
        }
        Ok(())
    }

    /// What to ask next; `None` when it is done.
    pub(super) fn question(&self) -> Option<&Url> {
        match &self.phase {
            Phase::Status(url) | Phase::Location(url) | Phase::Result(url) => Some(&url.0),
            Phase::Resource => Some(&self.resource.0),
            Phase::Done(_) => None,
        }
    }

    /// Whether the next question is for the result of an operation that has succeeded.
    pub(super) fn has_succeeded(&self) -> bool {
        matches!(self.phase, Phase::Result(_) | Phase::Done(_))
    }

    /// The result, when it is done.
    pub(super) fn result(&self) -> Option<&Value> {
        match &self.phase {
            Phase::Done(value) => Some(value),
            _ => None,
        }
    }

    /// That what was asked for is not there. For a resource that is being removed that is success.
    pub(super) fn absent(&mut self) -> bool {
        let gone = self.begun == Begun::Delete && self.phase == Phase::Resource;
        if gone {
            self.succeed(Value::Null);
        }
        gone
    }

    /// Takes in the answer to [`question`](Self::question).
    pub(super) fn absorb(&mut self, operation: &'static str, reply: &Reply) -> Result<()> {
        match self.phase {
            Phase::Status(_) => self.status(operation, reply),
            Phase::Location(_) => self.location(operation, reply),
            Phase::Resource => self.provisioning(operation, reply),
            Phase::Result(_) => {
                self.phase = Phase::Done(reply.json(operation)?);
                Ok(())
            }
            Phase::Done(_) => Ok(()),
        }
    }

    fn status(&mut self, operation: &'static str, reply: &Reply) -> Result<()> {
        let said: Status = reply.json(operation)?;
        let message = "the status of the operation has no status in it";
        let status = said.status.ok_or_else(|| Error::new(ErrorKind::Protocol, operation, message))?;
        self.percent = said.percent.filter(|p| p.is_finite());
        self.heard(&status);
        match outcome(&status) {
            Outcome::Failed => {
                Err(error::from_operation(operation, &self.status, &reply.answer(self.started)))
            }
            Outcome::Pending => {
                // The address may move while it is asked.
                if let Some(link) = reply.header("azure-asyncoperation") {
                    self.phase = Phase::Status(self.resource.link(operation, link)?);
                }
                if let Some(link) = reply.header("location") {
                    self.location = Some(self.resource.link(operation, link)?);
                }
                Ok(())
            }
            Outcome::Succeeded => {
                let elsewhere = said.resource_location.map(|link| self.resource.link(operation, &link));
                let place = match (elsewhere.transpose()?, self.begun) {
                    // Where it was there is nothing any more.
                    (_, Begun::Delete) => None,
                    (Some(place), _) => Some(place),
                    (None, Begun::Read | Begun::Write) => Some(self.resource.clone()),
                    (None, Begun::Act) => self.location.clone(),
                };
                match place {
                    Some(place) => self.phase = Phase::Result(place),
                    None => self.succeed(said.properties.unwrap_or(Value::Null)),
                }
                Ok(())
            }
        }
    }

    fn location(&mut self, operation: &'static str, reply: &Reply) -> Result<()> {
        if reply.status == 202 {
            if let Some(link) = reply.header("location") {
                self.phase = Phase::Location(self.resource.link(operation, link)?);
            }
            self.heard("InProgress");
            return Ok(());
        }
        let empty = reply.body.iter().all(u8::is_ascii_whitespace);
        match self.begun {
            // The answer says that it is over; the resource is where it was.
            Begun::Read | Begun::Write if empty => {
                self.heard("Succeeded");
                self.phase = Phase::Result(self.resource.clone());
            }
            _ => {
                let value: Value = reply.json(operation)?;
                self.judge(operation, &value, reply, "Succeeded")?;
            }
        }
        Ok(())
    }

    fn provisioning(&mut self, operation: &'static str, reply: &Reply) -> Result<()> {
        let value: Value = reply.json(operation)?;
        let otherwise = if matches!(reply.status, 201 | 202) { "InProgress" } else { "Succeeded" };
        self.judge(operation, &value, reply, otherwise)
    }

    /// Reads `properties.provisioningState`; what has none is in state `otherwise`. The address of an act is not one that can be
    /// read: what it is answered with is its result, whatever state the resource is in, unless that is a failure.
    fn judge(
        &mut self,
        operation: &'static str,
        value: &Value,
        reply: &Reply,
        otherwise: &str,
    ) -> Result<()> {
        let said = value.pointer("/properties/provisioningState").and_then(Value::as_str);
        let status = said.unwrap_or(otherwise);
        self.heard(status);
        match outcome(status) {
            Outcome::Failed => {
                Err(error::from_operation(operation, &self.status, &reply.answer(self.started)))
            }
            Outcome::Pending if self.begun != Begun::Act => {
                self.phase = Phase::Resource;
                Ok(())
            }
            Outcome::Pending | Outcome::Succeeded => {
                self.succeed(value.clone());
                Ok(())
            }
        }
    }

    fn succeed(&mut self, result: Value) {
        self.heard("Succeeded");
        self.phase = Phase::Done(result);
    }

    fn heard(&mut self, status: &str) {
        self.status = mlops_core::error::quote(status);
    }
}

#[derive(Deserialize)]
struct Status {
    #[serde(default)]
    status: Option<String>,
    #[serde(default, rename = "percentComplete")]
    percent: Option<f64>,
    #[serde(default, rename = "resourceLocation")]
    resource_location: Option<String>,
    #[serde(default)]
    properties: Option<Value>,
}

enum Outcome {
    Pending,
    Succeeded,
    Failed,
}

/// Whether a `provisioningState` says that something is under way.
pub(in super::super) fn is_pending(state: &str) -> bool {
    matches!(outcome(state), Outcome::Pending)
}

/// What a state means, in any case; one that is not known means that it goes on.
fn outcome(status: &str) -> Outcome {
    let is = |name: &str| status.eq_ignore_ascii_case(name);
    match () {
        () if is("succeeded") => Outcome::Succeeded,
        () if is("failed") || is("canceled") || is("cancelled") => Outcome::Failed,
        () => Outcome::Pending,
    }
}

impl fmt::Debug for OperationState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OperationState")
            .field("resource", &bare(&self.resource.0))
            .field("status", &self.status)
            .field("question", &self.question().map(bare))
            .finish_non_exhaustive()
    }
}
