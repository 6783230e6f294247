//! Requests as telemetry, as they end.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use mlops_core::deploy::{EndedRequest, RequestObserver};
use mlops_core::monitor::RequestOutcome;
use mlops_core::{Error, Result};
use uuid::Uuid;

use super::insights::AppInsights;
use crate::wire::telemetry::TelemetryItem;

/// Hears how every request ends and tells Application Insights of it: of failures each, of the others one of so many.
///
/// Give it to a server as its observer and call [`flush`](Self::flush) from time to time. Requests wait in memory, at most
/// [`MOST`](Self::MOST); the oldest of more go, and are counted. Each says for how many it stands, so that the service counts right.
/// For numbers that must be right use [`track_operation`](AppInsights::track_operation), which counts all.
///
/// ```
/// use std::time::Duration;
/// use mlops_azure::telemetry::{AppInsights, RequestTelemetry};
/// use mlops_core::deploy::{EndedRequest, RequestObserver as _};
/// use mlops_core::monitor::RequestOutcome;
///
/// let insights = AppInsights::builder("InstrumentationKey=00000000-0000-0000-0000-00000000abcd".parse()?).build()?;
/// let requests = RequestTelemetry::new(insights.clone(), 2)?;
/// let (endpoint, at) = ("churn".parse()?, "2026-01-01T00:00:00Z".parse()?);
/// for outcome in [RequestOutcome::Answered, RequestOutcome::Answered, RequestOutcome::Failed] {
///     requests.ended(&EndedRequest::new(&endpoint, None, at, outcome, Duration::from_millis(4)));
/// }
/// requests.flush()?;
/// assert_eq!(insights.waiting(), 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct RequestTelemetry {
    insights: AppInsights,
    one_of: u32,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<TelemetryItem>,
    heard: u64,
    dropped: u64,
}

impl RequestTelemetry {
    /// The most requests that wait in memory.
    pub const MOST: usize = 10_000;

    /// Tells of every failure, and of one of so many other requests.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](mlops_core::ErrorKind::InvalidInput) for one of none.
    pub fn new(insights: AppInsights, one_of: u32) -> Result<Self> {
        if one_of == 0 {
            return Err(Error::invalid("RequestTelemetry::new", "one_of", "must be at least 1"));
        }
        Ok(Self { insights, one_of, state: Mutex::default() })
    }

    /// Hands what waits to the client, whose own [`flush`](AppInsights::flush) sends it. Blocks for as long as the client's spool takes.
    ///
    /// # Errors
    /// As of [`AppInsights::track`]; what waited is then lost and counted.
    pub fn flush(&self) -> Result<()> {
        let items: Vec<TelemetryItem> = self.state().waiting.drain(..).collect();
        self.insights.track(&items).inspect_err(|_| self.state().dropped += items.len() as u64)
    }

    /// How many requests that were to be told were lost before they were.
    pub fn dropped(&self) -> u64 {
        self.state().dropped
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request as telemetry. Which status it was answered with the observer does not hear: 200, 500, 400 and 499 stand for how it ended.
fn item_of(request: &EndedRequest<'_>, one_of: u32) -> TelemetryItem {
    let (status, outcome) = match request.outcome {
        RequestOutcome::Answered => (200, "answered"),
        RequestOutcome::Refused => (400, "refused"),
        RequestOutcome::Abandoned => (499, "abandoned"),
        // What is not known here is no success.
        _ => (500, "failed"),
    };
    let id = Uuid::new_v4().simple().to_string();
    let name = format!("score {}", request.endpoint);
    let started = request.at - chrono::TimeDelta::from_std(request.latency).unwrap_or_default();
    let success = request.outcome == RequestOutcome::Answered;
    let item = TelemetryItem::request(&name, &id, status, success, request.latency, started)
        .with_property("endpoint", request.endpoint.as_str())
        .with_property("outcome", outcome)
        .standing_for(one_of);
    let item = if request.shadow { item.with_property("shadow", "true") } else { item };
    match request.deployment {
        Some(deployment) => item.with_property("deployment", deployment.as_str()),
        None => item,
    }
}

impl RequestObserver for RequestTelemetry {
    fn ended(&self, request: &EndedRequest<'_>) {
        let mut state = self.state();
        let stands_for = match request.outcome {
            RequestOutcome::Failed => 1,
            _ => {
                let is_one = state.heard.is_multiple_of(u64::from(self.one_of));
                state.heard = state.heard.wrapping_add(1);
                if !is_one {
                    return;
                }
                self.one_of
            }
        };
        if state.waiting.len() >= Self::MOST {
            state.waiting.pop_front();
            state.dropped += 1;
        }
        state.waiting.push_back(item_of(request, stands_for));
    }
}

impl fmt::Debug for RequestTelemetry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestTelemetry")
            .field("insights", &self.insights)
            .field("one_of", &self.one_of)
            .finish_non_exhaustive()
    }
}
