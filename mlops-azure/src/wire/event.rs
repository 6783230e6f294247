//! Event Grid: system topics, subscriptions, and events in both schemas.
//!
//! Source: Azure's type definitions of `Microsoft.EventGrid`, version [`VERSION`]; publishing is version [`PUBLISH_VERSION`].

use std::fmt;

use chrono::SecondsFormat;
use mlops_core::governance::Secret;
use mlops_core::time::Timestamp;
use mlops_core::{Error, Result};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Value, json};

use super::arm_scope::{ArmAt, ArmScope};
use super::open::ProvisioningState;
use super::quiet::{Hidden, Members, Untyped};
use super::resource::{Properties, Resource};
use crate::config::Workspace;

/// The version of Event Grid's Resource Manager API that is spoken.
pub const VERSION: &str = "2025-02-15";
/// The version of publishing that is spoken.
pub const PUBLISH_VERSION: &str = "2018-01-01";
/// The kind of events that model monitors raise.
pub const RUN_STATUS_CHANGED: &str = "Microsoft.MachineLearningServices.RunStatusChanged";
/// The tag of a monitor's run that says which signal is over its threshold, as a path in an event's data.
pub const BREACH_KEY: &str = "data.RunTags.azureml_modelmonitor_threshold_breached";
/// What that tag contains.
pub const BREACH_TEXT: &str = "has failed due to one or more features violating metric thresholds";

/// A system topic: where a resource of Azure's own tells what happens to it.
///
/// ```
/// use mlops_azure::config::Workspace;
/// use mlops_azure::wire::Resource;
/// use mlops_azure::wire::event::SystemTopic;
/// let workspace = Workspace::new("00000000-0000-0000-0000-000000000000", "rg", "mlw-churn")?;
/// let body = Resource::new(SystemTopic::of_workspace(&workspace)).with_location("eastus").body()?;
/// assert_eq!(body["properties"]["topicType"], "Microsoft.MachineLearningServices.Workspaces");
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SystemTopic {
    /// The resource that tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// What kind of resource it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topic_type: Option<String>,
    /// How far it is; read only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provisioning_state: Option<ProvisioningState>,
    /// Members that this crate does not know.
    #[serde(flatten)]
    pub other: Members,
}

impl SystemTopic {
    /// Of a workspace of Azure Machine Learning.
    pub fn of_workspace(workspace: &Workspace) -> Self {
        Self {
            source: Some(workspace.id()),
            topic_type: Some("Microsoft.MachineLearningServices.Workspaces".to_owned()),
            ..Self::default()
        }
    }
}

impl Properties for SystemTopic {
    const READ_ONLY: &'static [&'static str] = &["provisioningState", "metricResourceId"];
}

open_enum! {
    /// What kind of place events go to.
    pub enum EndpointType {
        /// An address that takes POST requests.
        WebHook = "WebHook",
        /// A queue in Azure Storage.
        StorageQueue = "StorageQueue",
        /// A queue in Service Bus.
        ServiceBusQueue = "ServiceBusQueue",
        /// Event Hubs.
        EventHub = "EventHub",
        /// A function.
        AzureFunction = "AzureFunction",
    }
}

/// A header that every delivery has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryHeader {
    /// Its name.
    pub name: String,
    /// Its value; the service never tells one that is secret.
    pub value: Option<DeliveryValue>,
}

impl DeliveryHeader {
    /// A header whose value is read from a member of the event, such as `data.RunId`.
    ///
    /// ```
    /// use mlops_azure::wire::event::DeliveryHeader;
    /// let header = serde_json::to_value(DeliveryHeader::of_event("x-run", "data.runId"))?;
    /// assert_eq!((&header["type"], &header["properties"]["sourceField"]), (&"Dynamic".into(), &"data.runId".into()));
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    pub fn of_event(name: impl Into<String>, source_field: impl Into<String>) -> Self {
        Self { name: name.into(), value: Some(DeliveryValue::OfEvent(source_field.into())) }
    }
}

/// The value of a header.
#[non_exhaustive]
#[derive(Clone, PartialEq, Eq)]
pub enum DeliveryValue {
    /// One that anybody may see.
    Open(String),
    /// One that nobody may see.
    Secret(Hidden),
    /// That of this member of each event.
    OfEvent(String),
}

impl fmt::Debug for DeliveryValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // Whoever made the subscription by hand may have left a key open.
            Self::Open(_) => f.write_str("Open(..)"),
            Self::Secret(_) => f.write_str("Secret(..)"),
            Self::OfEvent(member) => f.debug_tuple("OfEvent").field(member).finish(),
        }
    }
}

impl Serialize for DeliveryHeader {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if let Some(DeliveryValue::OfEvent(member)) = &self.value {
            let properties = json!({ "sourceField": member });
            return json!({ "name": self.name, "type": "Dynamic", "properties": properties })
                .serialize(serializer);
        }
        let properties = match &self.value {
            None | Some(DeliveryValue::OfEvent(_)) => json!({ "isSecret": true }),
            Some(DeliveryValue::Open(value)) => json!({ "value": value, "isSecret": false }),
            Some(DeliveryValue::Secret(Hidden(value))) => {
                json!({ "value": value.expose(), "isSecret": true })
            }
        };
        json!({ "name": self.name, "type": "Static", "properties": properties }).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for DeliveryHeader {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Raw {
            #[serde(default)]
            name: String,
            #[serde(default, rename = "type")]
            kind: String,
            #[serde(default)]
            properties: Value,
        }
        let raw = Raw::deserialize(deserializer)?;
        let member = raw.properties.get("sourceField").and_then(Value::as_str);
        if let Some(member) = member.filter(|_| raw.kind.eq_ignore_ascii_case("Dynamic")) {
            return Ok(Self::of_event(raw.name, member));
        }
        let text = raw.properties.get("value").and_then(Value::as_str);
        let secret = raw.properties.get("isSecret").and_then(Value::as_bool).unwrap_or_default();
        let value = text.map(|text| match secret {
            true => DeliveryValue::Secret(Hidden(Secret::new(text))),
            false => DeliveryValue::Open(text.to_owned()),
        });
        Ok(Self { name: raw.name, value })
    }
}

/// Where events go. Its `Debug` shows no address: one that takes events may hold a key.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Destination {
    /// What kind of place.
    pub endpoint_type: EndpointType,
    /// Which place.
    #[serde(default)]
    pub properties: DestinationProperties,
    /// Members that this crate does not know.
    #[serde(flatten)]
    pub other: Members,
}

impl fmt::Debug for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Destination").field("endpoint_type", &self.endpoint_type).finish_non_exhaustive()
    }
}

/// Which place events go to.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DestinationProperties {
    /// The address of a webhook, which the service never tells in full.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint_url: Option<Hidden>,
    /// The address of a webhook without its query; read only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint_base_url: Option<String>,
    /// The most events in a delivery.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_events_per_batch: Option<u32>,
    /// The tenant whose tokens deliveries carry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub azure_active_directory_tenant_id: Option<String>,
    /// The application for which those tokens are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub azure_active_directory_application_id_or_uri: Option<String>,
    /// Headers that every delivery has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivery_attribute_mappings: Option<Vec<DeliveryHeader>>,
    /// Members that this crate does not know.
    #[serde(flatten)]
    pub other: Members,
}

impl fmt::Debug for DestinationProperties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DestinationProperties")
            .field("max_events_per_batch", &self.max_events_per_batch)
            .finish_non_exhaustive()
    }
}

impl Destination {
    /// A webhook at this address.
    pub fn webhook(url: &Secret) -> Self {
        let properties =
            DestinationProperties { endpoint_url: Some(Hidden(url.clone())), ..Default::default() };
        Self { endpoint_type: EndpointType::WebHook, properties, other: Members::new() }
    }

    /// With a header on every delivery that says who sends: events are not signed.
    #[must_use]
    pub fn with_key(mut self, header: impl Into<String>, key: &Secret) -> Self {
        let value = Some(DeliveryValue::Secret(Hidden(key.clone())));
        let header = DeliveryHeader { name: header.into(), value };
        self.properties.delivery_attribute_mappings.get_or_insert_default().push(header);
        self
    }
}

/// A condition on an event's members. Keys are paths such as `data.RunTags.stage`, which Event Grid reads in any case; texts match in
/// any case too.
///
/// ```
/// use mlops_azure::wire::event::AdvancedFilter;
/// let filter = AdvancedFilter::contains("data.RunTags.stage", ["final"]);
/// assert_eq!(
///     serde_json::to_string(&filter)?,
///     r#"{"operatorType":"StringContains","key":"data.RunTags.stage","values":["final"]}"#
/// );
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AdvancedFilter {
    /// How they are compared.
    pub operator_type: FilterOperator,
    /// Which member.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// With what, of which one has to match.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub values: Option<Vec<Untyped>>,
    /// With what, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Untyped>,
    /// Members that this crate does not know.
    #[serde(flatten)]
    pub other: Members,
}

open_enum! {
    /// How an event's member is compared.
    pub enum FilterOperator {
        /// It contains one of the texts.
        StringContains = "StringContains",
        /// It begins with one of the texts.
        StringBeginsWith = "StringBeginsWith",
        /// It ends with one of the texts.
        StringEndsWith = "StringEndsWith",
        /// It is one of the texts.
        StringIn = "StringIn",
        /// It is none of the texts.
        StringNotIn = "StringNotIn",
        /// It is there.
        IsNotNull = "IsNotNull",
        /// It is true or false.
        BoolEquals = "BoolEquals",
    }
}

impl AdvancedFilter {
    fn texts<S: Into<String>>(
        operator: FilterOperator,
        key: impl Into<String>,
        values: impl IntoIterator<Item = S>,
    ) -> Self {
        let values = values.into_iter().map(|value| Untyped(Value::String(value.into()))).collect();
        Self {
            operator_type: operator,
            key: Some(key.into()),
            values: Some(values),
            value: None,
            other: Members::new(),
        }
    }

    /// The member contains one of the texts.
    pub fn contains<S: Into<String>>(key: impl Into<String>, values: impl IntoIterator<Item = S>) -> Self {
        Self::texts(FilterOperator::StringContains, key, values)
    }

    /// The member is one of the texts.
    pub fn is_in<S: Into<String>>(key: impl Into<String>, values: impl IntoIterator<Item = S>) -> Self {
        Self::texts(FilterOperator::StringIn, key, values)
    }

    /// A model monitor's run says that a threshold is breached.
    pub fn breach() -> Self {
        Self::contains(BREACH_KEY, [BREACH_TEXT])
    }
}

/// Which events a subscription takes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SubscriptionFilter {
    /// Of these kinds; of all where nothing is set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub included_event_types: Option<Vec<String>>,
    /// With a subject that begins so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject_begins_with: Option<String>,
    /// With a subject that ends so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject_ends_with: Option<String>,
    /// Whether the subject's case counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_subject_case_sensitive: Option<bool>,
    /// With members like these; all have to hold, at most 25.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advanced_filters: Option<Vec<AdvancedFilter>>,
    /// Members that this crate does not know.
    #[serde(flatten)]
    pub other: Members,
}

open_enum! {
    /// How events are written.
    pub enum EventSchema {
        /// CloudEvents 1.0.
        CloudEvents = "CloudEventSchemaV1_0",
        /// Event Grid's own.
        EventGrid = "EventGridSchema",
        /// The publisher's own.
        Custom = "CustomInputSchema",
    }
}

/// How often and for how long a delivery is tried.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeliveryRetry {
    /// How often, 1 to 30.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_delivery_attempts: Option<u32>,
    /// For how many minutes, 1 to 1440.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_time_to_live_in_minutes: Option<u32>,
    /// Members that this crate does not know.
    #[serde(flatten)]
    pub other: Members,
}

impl DeliveryRetry {
    /// So often, and for so many minutes.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](mlops_core::ErrorKind::InvalidInput) outside of 1 to 30 attempts and 1 to 1 440 minutes.
    ///
    /// ```
    /// use mlops_azure::wire::event::DeliveryRetry;
    /// assert!(DeliveryRetry::new(30, 1440).is_ok() && DeliveryRetry::new(31, 1440).is_err());
    /// ```
    pub fn new(attempts: u32, minutes: u32) -> Result<Self> {
        const OP: &str = "DeliveryRetry::new";
        for (field, value, most) in [("attempts", attempts, 30), ("minutes", minutes, 1_440)] {
            if !(1..=most).contains(&value) {
                return Err(Error::invalid(OP, field, format!("must lie in 1 to {most}, got {value}")));
            }
        }
        Ok(Self {
            max_delivery_attempts: Some(attempts),
            event_time_to_live_in_minutes: Some(minutes),
            other: Members::new(),
        })
    }
}

/// Where events go that could not be delivered: a container of blobs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeadLetter {
    /// `StorageBlob`.
    pub endpoint_type: String,
    /// Which.
    pub properties: DeadLetterProperties,
    /// Members that this crate does not know.
    #[serde(flatten)]
    pub other: Members,
}

/// Which container undelivered events go to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeadLetterProperties {
    /// The storage account's Resource Manager id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_id: Option<String>,
    /// The container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blob_container_name: Option<String>,
    /// Members that this crate does not know.
    #[serde(flatten)]
    pub other: Members,
}

impl DeadLetter {
    /// To a container of a storage account, by its Resource Manager id.
    pub fn blobs(account_id: impl Into<String>, container: impl Into<String>) -> Self {
        let properties = DeadLetterProperties {
            resource_id: Some(account_id.into()),
            blob_container_name: Some(container.into()),
            other: Members::new(),
        };
        Self { endpoint_type: "StorageBlob".to_owned(), properties, other: Members::new() }
    }
}

/// Who wants which events, and where.
///
/// ```
/// use mlops_azure::wire::Resource;
/// use mlops_azure::wire::event::{Destination, EventSubscription};
/// use mlops_core::governance::Secret;
/// let hook = Destination::webhook(&Secret::new("https://mlops.example.com/events"));
/// let body = Resource::new(EventSubscription::of_breaches(hook)).body()?;
/// assert_eq!(body["properties"]["filter"]["advancedFilters"][0]["operatorType"], "StringContains");
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EventSubscription {
    /// Where they go.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination: Option<Destination>,
    /// Which.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filter: Option<SubscriptionFilter>,
    /// How they are written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_delivery_schema: Option<EventSchema>,
    /// How often they are tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_policy: Option<DeliveryRetry>,
    /// Where those go that could not be delivered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dead_letter_destination: Option<DeadLetter>,
    /// Labels for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<Vec<String>>,
    /// When it ends by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expiration_time_utc: Option<Timestamp>,
    /// How far it is; read only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provisioning_state: Option<ProvisioningState>,
    /// What it is of; read only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
    /// Members that this crate does not know.
    #[serde(flatten)]
    pub other: Members,
}

impl EventSubscription {
    /// Takes every event.
    pub fn to(destination: Destination) -> Self {
        Self { destination: Some(destination), ..Self::default() }
    }

    /// Takes the events by which model monitors say that a threshold is breached, as CloudEvents, tried 30 times within a day.
    pub fn of_breaches(destination: Destination) -> Self {
        let filter = SubscriptionFilter {
            included_event_types: Some(vec![RUN_STATUS_CHANGED.to_owned()]),
            advanced_filters: Some(vec![AdvancedFilter::breach()]),
            ..SubscriptionFilter::default()
        };
        Self {
            filter: Some(filter),
            event_delivery_schema: Some(EventSchema::CloudEvents),
            retry_policy: DeliveryRetry::new(30, 1_440).ok(),
            ..Self::to(destination)
        }
    }

    /// Written so.
    #[must_use]
    pub fn written_as(mut self, schema: EventSchema) -> Self {
        self.event_delivery_schema = Some(schema);
        self
    }

    /// With a place for events that could not be delivered; without one they are lost.
    #[must_use]
    pub fn with_dead_letters(mut self, place: DeadLetter) -> Self {
        self.dead_letter_destination = Some(place);
        self
    }
}

impl Properties for EventSubscription {
    const READ_ONLY: &'static [&'static str] =
        &["provisioningState", "topic", "destination/properties/endpointBaseUrl"];
}

/// A system topic in the resource group of a workspace.
///
/// # Errors
/// [`ErrorKind::InvalidInput`](mlops_core::ErrorKind::InvalidInput) for a name that a URL reads as something else.
pub fn system_topic(group: &ArmScope, name: &str) -> Result<ArmAt<Resource<SystemTopic>>> {
    group.at(&["providers", "Microsoft.EventGrid", "systemTopics", name], VERSION)
}

/// A subscription to a system topic.
///
/// # Errors
/// As of [`system_topic`].
pub fn topic_subscription(
    group: &ArmScope,
    topic: &str,
    name: &str,
) -> Result<ArmAt<Resource<EventSubscription>>> {
    let below = ["providers", "Microsoft.EventGrid", "systemTopics", topic, "eventSubscriptions", name];
    group.at(&below, VERSION)
}

/// A subscription to what a resource tells; Azure makes the topic by itself.
///
/// # Errors
/// As of [`system_topic`].
pub fn subscription(of: &ArmScope, name: &str) -> Result<ArmAt<Resource<EventSubscription>>> {
    of.at(&["providers", "Microsoft.EventGrid", "eventSubscriptions", name], VERSION)
}

/// An event to publish.
///
/// ```
/// use mlops_azure::wire::event::Event;
/// let at = "2026-01-01T00:00:00Z".parse()?;
/// let event = Event::new("1", "/mlops/churn", "Mlops.DriftDetected", at).about("models/churn:3");
/// assert_eq!(event.cloud_event()["type"], "Mlops.DriftDetected");
/// assert_eq!(event.grid_event()["eventType"], "Mlops.DriftDetected");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Unique within its source: receivers know an event that comes twice by it.
    pub id: String,
    /// Where it comes from.
    pub source: String,
    /// What it is.
    pub kind: String,
    /// What it is about.
    pub subject: Option<String>,
    /// When it happened.
    pub time: Timestamp,
    /// What it holds.
    pub data: Untyped,
}

impl Event {
    /// An event with no data.
    pub fn new(
        id: impl Into<String>,
        source: impl Into<String>,
        kind: impl Into<String>,
        time: Timestamp,
    ) -> Self {
        Self {
            id: id.into(),
            source: source.into(),
            kind: kind.into(),
            subject: None,
            time,
            data: Untyped(json!({})),
        }
    }

    /// About something.
    #[must_use]
    pub fn about(mut self, subject: impl Into<String>) -> Self {
        self.subject = Some(subject.into());
        self
    }

    /// With data.
    #[must_use]
    pub fn with_data(mut self, data: Value) -> Self {
        self.data = Untyped(data);
        self
    }

    /// As CloudEvents 1.0 write it.
    pub fn cloud_event(&self) -> Value {
        let mut event = json!({
            "specversion": "1.0", "id": self.id, "source": self.source, "type": self.kind,
            "time": self.time.to_rfc3339_opts(SecondsFormat::AutoSi, true),
            "datacontenttype": "application/json", "data": self.data,
        });
        if let (Some(subject), Some(members)) = (&self.subject, event.as_object_mut()) {
            members.insert("subject".to_owned(), Value::String(subject.clone()));
        }
        event
    }

    /// As Event Grid's own schema writes it. The source is the topic's to say, and is left out.
    pub fn grid_event(&self) -> Value {
        json!({
            "id": self.id, "subject": self.subject.as_deref().unwrap_or(&self.source), "eventType": self.kind,
            "eventTime": self.time.to_rfc3339_opts(SecondsFormat::AutoSi, true), "dataVersion": "1", "data": self.data,
        })
    }

    /// Checks that receivers can read it.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](mlops_core::ErrorKind::InvalidInput) for an id, source or kind that is empty or longer than 1 024
    /// bytes, and a subject that is.
    pub fn check(&self) -> Result<()> {
        let parts = [
            ("id", Some(&self.id)),
            ("source", Some(&self.source)),
            ("kind", Some(&self.kind)),
            ("subject", self.subject.as_ref()),
        ];
        for (field, text) in parts {
            if text.is_some_and(|text| !(1..=1_024).contains(&text.len())) {
                return Err(Error::invalid("Event::check", field, "must have 1 to 1 024 bytes"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_an_address_nor_a_key_is_shown() {
        let hook = Destination::webhook(&Secret::new("https://h/?code=hunter2"))
            .with_key("x-key", &Secret::new("hunter2"));
        let subscription = EventSubscription::of_breaches(hook);
        let read: EventSubscription =
            serde_json::from_value(serde_json::to_value(&subscription).unwrap()).unwrap();
        assert_eq!(read, subscription);
        for shown in [format!("{read:?}"), format!("{:?}", read.destination.unwrap().properties)] {
            assert!(!shown.contains("hunter2"), "{shown}");
        }
        let header = DeliveryHeader {
            name: "x".to_owned(),
            value: Some(DeliveryValue::Secret(Hidden(Secret::new("hunter2")))),
        };
        assert!(!format!("{header:?}").contains("hunter2"));
    }
}
