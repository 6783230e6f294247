//! What Resource Manager says is left of its limits.

use reqwest::header::HeaderMap;

/// The requests that are left, as the answer's `x-ms-ratelimit-remaining-…` headers say; `None` where they do not.
///
/// Resource Manager counts by subscription and by tenant, reads apart from writes and deletes; resource providers add limits of
/// their own. The numbers are those of the instance that answered: they fall and jump, and are a hint, not a budget.
///
/// ```
/// use mlops_azure::http::{HeaderMap, RateLimits};
/// let mut headers = HeaderMap::new();
/// headers.insert("x-ms-ratelimit-remaining-subscription-reads", "11999".parse().unwrap());
/// let limits = RateLimits::of(&headers);
/// assert_eq!((limits.subscription_reads, limits.lowest()), (Some(11_999), Some(11_999)));
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RateLimits {
    /// Reads in the subscription.
    pub subscription_reads: Option<u64>,
    /// Writes in the subscription.
    pub subscription_writes: Option<u64>,
    /// Deletes in the subscription.
    pub subscription_deletes: Option<u64>,
    /// Reads in the tenant.
    pub tenant_reads: Option<u64>,
    /// Writes in the tenant.
    pub tenant_writes: Option<u64>,
    /// Requests to resources of one type in the subscription.
    pub resource_requests: Option<u64>,
    /// Reads of resources of one type in the subscription.
    pub resource_entities_read: Option<u64>,
    /// What a resource provider says of its own limits, as it says it: name and number, several with `,` between.
    pub resource: Option<String>,
}

impl RateLimits {
    /// What an answer's headers say; a value that is no number counts as not said.
    pub fn of(headers: &HeaderMap) -> Self {
        let text = |name: &str| {
            let value = headers.get(format!("x-ms-ratelimit-remaining-{name}"))?;
            value.to_str().ok().map(str::trim)
        };
        let number = |name: &str| text(name)?.parse().ok();
        Self {
            subscription_reads: number("subscription-reads"),
            subscription_writes: number("subscription-writes"),
            subscription_deletes: number("subscription-deletes"),
            tenant_reads: number("tenant-reads"),
            tenant_writes: number("tenant-writes"),
            resource_requests: number("subscription-resource-requests"),
            resource_entities_read: number("subscription-resource-entities-read"),
            resource: text("resource").map(mlops_core::error::quote),
        }
    }

    /// The same with what a later answer says; what it does not say stays.
    #[must_use]
    pub fn updated(self, later: Self) -> Self {
        Self {
            subscription_reads: later.subscription_reads.or(self.subscription_reads),
            subscription_writes: later.subscription_writes.or(self.subscription_writes),
            subscription_deletes: later.subscription_deletes.or(self.subscription_deletes),
            tenant_reads: later.tenant_reads.or(self.tenant_reads),
            tenant_writes: later.tenant_writes.or(self.tenant_writes),
            resource_requests: later.resource_requests.or(self.resource_requests),
            resource_entities_read: later.resource_entities_read.or(self.resource_entities_read),
            resource: later.resource.or(self.resource),
        }
    }

    /// The least of the numbers; `None` where there is none.
    pub fn lowest(&self) -> Option<u64> {
        [
            self.subscription_reads,
            self.subscription_writes,
            self.subscription_deletes,
            self.tenant_reads,
            self.tenant_writes,
            self.resource_requests,
            self.resource_entities_read,
        ]
        .into_iter()
        .flatten()
        .min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_a_number_is_not_said_and_what_is_not_said_stays() {
        let mut headers = HeaderMap::new();
        headers.insert("x-ms-ratelimit-remaining-subscription-reads", "-1".parse().unwrap());
        headers.insert("x-ms-ratelimit-remaining-subscription-writes", "1199".parse().unwrap());
        headers
            .insert("x-ms-ratelimit-remaining-resource", "Microsoft.Compute/HighCost;107".parse().unwrap());
        let first = RateLimits::of(&headers);
        assert_eq!((first.subscription_reads, first.subscription_writes), (None, Some(1199)));
        headers.clear();
        headers.insert("x-ms-ratelimit-remaining-tenant-reads", "3".parse().unwrap());
        let both = first.updated(RateLimits::of(&headers));
        assert_eq!(
            (both.subscription_writes, both.tenant_reads, both.lowest()),
            (Some(1199), Some(3), Some(3))
        );
        assert_eq!(both.resource.as_deref(), Some("Microsoft.Compute/HighCost;107"));
        assert_eq!(RateLimits::default().lowest(), None);
    }
}
