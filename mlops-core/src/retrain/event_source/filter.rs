//! Which events matter.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::IncomingEvent;
use crate::error::{Error, Result};

/// What a value in an event's data must be. Texts match in either case, as in Event Grid's advanced filters.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataFilter {
    /// The keys on the way to the value, in either case: `["runTags", "stage"]`.
    pub path: Vec<String>,
    /// What the value contains.
    pub contains: String,
}

/// Events that are a reason. All of its conditions have to hold.
///
/// ```
/// use mlops_core::retrain::event_source::{EventFilter, EventGrid, Received};
/// let filter = EventFilter::threshold_breached()?;
/// let body = br#"[{"topic": "/t", "id": "1", "eventType": "Microsoft.MachineLearningServices.RunStatusChanged", "data": {"runTags":
///   {"azureml_modelmonitor_threshold_breached": "The signal 'inputs' has failed due to one or more features violating metric thresholds."}}},
///   {"topic": "/t", "id": "2", "eventType": "Microsoft.MachineLearningServices.RunStatusChanged", "data": {"runTags": {}}}]"#;
/// let Received::Events(events) = EventGrid::receive(body)? else { return Err("a handshake".into()) };
/// let takes: Vec<bool> = events.iter().map(|event| filter.takes(event)).collect();
/// assert_eq!(takes, [true, false]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "FilterWire", into = "FilterWire")]
pub struct EventFilter {
    wire: FilterWire,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FilterWire {
    kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    subject_begins: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    data: Vec<DataFilter>,
}

impl From<EventFilter> for FilterWire {
    fn from(filter: EventFilter) -> Self {
        filter.wire
    }
}

impl TryFrom<FilterWire> for EventFilter {
    type Error = Error;

    fn try_from(wire: FilterWire) -> Result<Self> {
        const OP: &str = "EventFilter::new";
        if wire.kind.trim().is_empty() || wire.kind.strip_suffix('*').unwrap_or(&wire.kind).contains('*') {
            return Err(
                Error::invalid(OP, "kind", "is a kind, or its beginning and `*`").with("value", &wire.kind)
            );
        }
        let texts = [wire.kind.as_str(), wire.source.as_deref().unwrap_or_default(), &wire.subject_begins];
        if texts.iter().any(|text| text.len() > 1_024) {
            return Err(Error::invalid(OP, "kind", "kind, source and subject have at most 1 024 bytes"));
        }
        if wire.data.len() > 25 {
            return Err(Error::limit(OP, "the number of conditions", 25, wire.data.len()));
        }
        for (place, filter) in wire.data.iter().enumerate() {
            let fits = (1..=16).contains(&filter.path.len()) && filter.contains.len() <= 1_024;
            if !fits || filter.contains.is_empty() {
                let message = "a condition has 1 to 16 keys, and a text of 1 to 1 024 bytes";
                return Err(Error::invalid(OP, "data", message).with("place", place));
            }
        }
        Ok(Self { wire })
    }
}

impl EventFilter {
    /// Events of a kind, exactly, or of a beginning followed by `*`.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) when it is empty or has a `*` that is not its end.
    pub fn new(kind: impl Into<String>) -> Result<Self> {
        FilterWire { kind: kind.into(), source: None, subject_begins: String::new(), data: Vec::new() }
            .try_into()
    }

    /// Events by which Azure's model monitors say that a threshold is breached.
    ///
    /// # Errors
    /// None.
    pub fn threshold_breached() -> Result<Self> {
        Self::new("Microsoft.MachineLearningServices.RunStatusChanged")?.with_data(
            ["runTags", "azureml_modelmonitor_threshold_breached"],
            "has failed due to one or more features violating metric thresholds",
        )
    }

    /// Only of this source, exactly.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for one of more than 1 024 bytes.
    pub fn with_source(self, source: impl Into<String>) -> Result<Self> {
        FilterWire { source: Some(source.into()), ..self.wire }.try_into()
    }

    /// Only with a subject that begins so: `models/diabetes:`.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for one of more than 1 024 bytes.
    pub fn with_subject(self, begins: impl Into<String>) -> Result<Self> {
        FilterWire { subject_begins: begins.into(), ..self.wire }.try_into()
    }

    /// Only with data in which the value at a path contains a text.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for a path that is empty or has more than 16 keys, for a text
    /// that is empty or has more than 1 024 bytes; [`ErrorKind::LimitExceeded`](crate::ErrorKind::LimitExceeded) for more than 25
    /// conditions.
    pub fn with_data(
        mut self,
        path: impl IntoIterator<Item = impl Into<String>>,
        contains: impl Into<String>,
    ) -> Result<Self> {
        let path = path.into_iter().map(Into::into).collect();
        self.wire.data.push(DataFilter { path, contains: contains.into() });
        self.wire.try_into()
    }

    /// Whether an event is taken.
    pub fn takes(&self, event: &IncomingEvent) -> bool {
        let FilterWire { kind, source, subject_begins, data } = &self.wire;
        let of_kind = match kind.strip_suffix('*') {
            Some(beginning) => event.kind.starts_with(beginning),
            None => event.kind == *kind,
        };
        let subject = event.subject.as_deref().unwrap_or_default();
        of_kind
            && source.as_ref().is_none_or(|only| *only == event.source)
            && subject.starts_with(subject_begins.as_str())
            && data.iter().all(|filter| filter.takes(event))
    }
}

impl DataFilter {
    fn takes(&self, event: &IncomingEvent) -> bool {
        let path: Vec<&str> = self.path.iter().map(String::as_str).collect();
        let wanted = self.contains.to_lowercase();
        match event.at(&path) {
            Some(Value::String(text)) => text.to_lowercase().contains(&wanted),
            Some(Value::Number(number)) => wanted == number.to_string(),
            Some(Value::Bool(truth)) => wanted == if *truth { "true" } else { "false" },
            _ => false,
        }
    }
}
