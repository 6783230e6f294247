//! What Event Grid delivers.

use std::fmt;

use mlops_core::governance::Secret;
use mlops_core::hash::Digest;
use mlops_core::retrain::event_source::{CloudEvents, EventGrid, Received};
use mlops_core::{Error, ErrorKind, Result};

use crate::monitor::Breach;

const RECEIVE: &str = "EventReceiver::receive";

/// Reads the requests that Event Grid sends to a webhook, in its own schema and as CloudEvents.
///
/// * Handshakes of both schemas are answered. The address in a handshake is never called.
/// * With a [key](Self::with_key), events are taken only with the header that the subscription sends: Event Grid signs nothing. A
///   handshake is answered without: it tells nobody anything, and whoever subscribes so has not the key.
/// * Nothing is remembered: that an event comes twice, the trigger finds by source and id.
///
/// Its `Debug` does not show the key.
#[derive(Clone)]
pub struct EventReceiver {
    cloud_events: CloudEvents,
    key: Option<(String, Secret)>,
}

impl EventReceiver {
    /// Takes events from Event Grid in Azure's public cloud.
    ///
    /// # Errors
    /// None in practice.
    pub fn new() -> Result<Self> {
        Self::from_origins(["eventgrid.azure.net"])
    }

    /// Takes CloudEvents from senders that ask from one of these hosts.
    ///
    /// # Errors
    /// As of [`CloudEvents::new`].
    pub fn from_origins(origins: impl IntoIterator<Item = impl Into<String>>) -> Result<Self> {
        Ok(Self { cloud_events: CloudEvents::new(origins)?, key: None })
    }

    /// Takes events only with this key in this header.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for a key of fewer than 16 bytes, which could be guessed.
    ///
    /// ```
    /// use mlops_azure::event::EventReceiver;
    /// use mlops_core::governance::Secret;
    /// let receiver = EventReceiver::new()?.with_key("x-mlops-key", Secret::new("a key of many bytes"))?;
    /// assert!(!format!("{receiver:?}").contains("many"));
    /// let body = br#"[{"topic": "/t", "id": "1", "eventType": "k"}]"#;
    /// assert!(receiver.receive("POST", &[], body).is_err());
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn with_key(mut self, header: impl Into<String>, key: Secret) -> Result<Self> {
        if key.expose().len() < 16 {
            return Err(Error::invalid("EventReceiver::with_key", "key", "must have at least 16 bytes"));
        }
        self.key = Some((header.into(), key));
        Ok(self)
    }

    /// Reads a request: `OPTIONS` asks whether events are wanted, `POST` brings some, or asks too.
    ///
    /// Answer a [`Received::Handshake`] with what it holds, and events with 200 once they are safe: everything else has Event Grid send
    /// them again.
    ///
    /// # Errors
    /// [`ErrorKind::Auth`] without the key: answer 401. As of [`CloudEvents::receive`] and [`EventGrid::receive`]: answer 400, by
    /// which Event Grid gives up. [`ErrorKind::Unsupported`] for another method.
    pub fn receive(&self, method: &str, headers: &[(String, String)], body: &[u8]) -> Result<Received> {
        if method.eq_ignore_ascii_case("OPTIONS") {
            return self.cloud_events.handshake(headers).map(Received::Handshake);
        }
        if !method.eq_ignore_ascii_case("POST") {
            let error = Error::new(ErrorKind::Unsupported, RECEIVE, "events come by POST");
            return Err(error.with("method", method));
        }
        let received = match is_cloud_event(headers) {
            true => self.cloud_events.receive(headers, body)?,
            false => EventGrid::receive(body)?,
        };
        match received {
            Received::Events(_) if !self.lets_in(headers) => {
                Err(Error::new(ErrorKind::Auth, RECEIVE, "the key is missing or another one"))
            }
            received => Ok(received),
        }
    }

    /// The breaches of model monitors among what was received, in its order.
    pub fn breaches(received: &Received) -> Vec<Breach> {
        match received {
            Received::Events(events) => events.iter().filter_map(Breach::of).collect(),
            _ => Vec::new(),
        }
    }

    /// Digests are compared, whose common beginning says nothing of the key.
    fn lets_in(&self, headers: &[(String, String)]) -> bool {
        let Some((name, key)) = &self.key else { return true };
        let mut given = headers.iter().filter(|(header, _)| header.eq_ignore_ascii_case(name));
        match (given.next(), given.next()) {
            (Some((_, value)), None) => {
                Digest::of(value.trim().as_bytes()) == Digest::of(key.expose().as_bytes())
            }
            _ => false,
        }
    }
}

impl fmt::Debug for EventReceiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventReceiver")
            .field("cloud_events", &self.cloud_events)
            .field("asks_for_a_key", &self.key.is_some())
            .finish()
    }
}

fn is_cloud_event(headers: &[(String, String)]) -> bool {
    headers.iter().any(|(name, value)| {
        let structured = name.eq_ignore_ascii_case("content-type")
            && value.trim().to_ascii_lowercase().starts_with("application/cloudevents");
        structured || name.eq_ignore_ascii_case("ce-specversion")
    })
}
