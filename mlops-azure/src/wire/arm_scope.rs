//! What lies outside of a workspace: any resource by its id, and calls of other providers' versions.

use std::fmt;

use mlops_core::{Error, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::place::Nothing;
use super::resource::{Properties, Resource};
use crate::config::Workspace;
use crate::config::name::{is_guid, path_below};
use crate::http::{Call, Page};

/// What something may be said about: a subscription, a resource group or a resource, by its Resource Manager id.
///
/// ```
/// use mlops_azure::wire::arm_scope::ArmScope;
/// let group = ArmScope::new("/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/rg-ml")?;
/// assert_eq!(group.subscription(), "00000000-0000-0000-0000-000000000000");
/// assert!(ArmScope::new("/subscriptions/00000000-0000-0000-0000-000000000000/../x").is_err());
/// # Ok::<(), mlops_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ArmScope(String);

impl ArmScope {
    /// A scope.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](mlops_core::ErrorKind::InvalidInput) for an id that does not begin with `/subscriptions/` and a GUID,
    /// is longer than 2 048 bytes, or has a segment that a URL reads as something else.
    pub fn new(id: &str) -> Result<Self> {
        let bad = |reason| Error::invalid("ArmScope::new", "scope", reason).with("value", id);
        let mut segments = id.strip_prefix('/').unwrap_or_default().split('/');
        let word = segments.next().unwrap_or_default();
        let subscription = segments.next().unwrap_or_default();
        if id.len() > 2_048 || !word.eq_ignore_ascii_case("subscriptions") || !is_guid(subscription) {
            return Err(bad("must begin with /subscriptions/ and a GUID"));
        }
        let fits = |segment: &str| {
            let of_id = |c: char| c.is_ascii_alphanumeric() || "-_.()".contains(c);
            !segment.is_empty() && segment.chars().all(of_id) && segment.chars().any(|c| c != '.')
        };
        match segments.all(fits) {
            true => Ok(Self(id.to_owned())),
            false => Err(bad("has a segment that a URL reads as something else")),
        }
    }

    /// A subscription.
    ///
    /// # Errors
    /// As of [`new`](Self::new).
    pub fn of_subscription(id: &str) -> Result<Self> {
        Self::new(&format!("/subscriptions/{id}"))
    }

    /// A workspace.
    pub fn of_workspace(workspace: &Workspace) -> Self {
        Self(workspace.id())
    }

    /// The resource group that a workspace is in.
    pub fn of_group(workspace: &Workspace) -> Self {
        Self(format!(
            "/subscriptions/{}/resourceGroups/{}",
            workspace.subscription(),
            workspace.resource_group()
        ))
    }

    /// The Resource Manager id.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The subscription's id.
    pub fn subscription(&self) -> &str {
        self.0.split('/').nth(2).unwrap_or_default()
    }

    /// A resource of another provider, by the segments of its path below; all its calls speak this version.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](mlops_core::ErrorKind::InvalidInput) that names the segment.
    pub fn at<R>(&self, segments: &[&str], version: &'static str) -> Result<ArmAt<R>> {
        let path = path_below("ArmScope::at", &self.0, segments)?;
        Ok(ArmAt { path, version, resource: std::marker::PhantomData })
    }
}

impl fmt::Display for ArmScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One resource of any provider, and the calls that are about it.
pub struct ArmAt<R> {
    path: String,
    version: &'static str,
    resource: std::marker::PhantomData<fn() -> R>,
}

impl<R> ArmAt<R> {
    /// The Resource Manager id.
    pub fn id(&self) -> &str {
        &self.path
    }

    /// Reads it.
    pub fn get(&self, operation: &'static str) -> Call<R> {
        Call::get(operation, &self.path).query("api-version", self.version)
    }

    /// Removes it.
    pub fn delete(&self, operation: &'static str) -> Call<Nothing> {
        Call::delete(operation, &self.path).query("api-version", self.version)
    }

    /// Changes a part of it.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](mlops_core::ErrorKind::InvalidInput) for a body that JSON cannot hold.
    pub fn patch(&self, operation: &'static str, body: &impl Serialize) -> Result<Call<R>> {
        Ok(Call::patch(operation, &self.path, body)?.query("api-version", self.version))
    }

    /// Does something with it, once.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](mlops_core::ErrorKind::InvalidInput) for an action that a URL reads as something else.
    pub fn act<T: DeserializeOwned>(&self, operation: &'static str, action: &str) -> Result<Call<T>> {
        let path = path_below("ArmAt::act", &self.path, &[action])?;
        Ok(Call::post(operation, path).query("api-version", self.version))
    }

    /// The list that it is in.
    pub fn list(&self, operation: &'static str) -> Call<Page<R>> {
        let list = self.path.rsplit_once('/').map_or(self.path.as_str(), |(list, _)| list);
        Call::get(operation, list).query("api-version", self.version)
    }
}

impl<P: Properties> ArmAt<Resource<P>> {
    /// Writes the whole of it.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](mlops_core::ErrorKind::InvalidInput) for a body that JSON cannot hold.
    pub fn put(&self, operation: &'static str, resource: &Resource<P>) -> Result<Call<Resource<P>>> {
        Ok(Call::put(operation, &self.path, &resource.body()?)?.query("api-version", self.version))
    }
}

impl<R> fmt::Debug for ArmAt<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ArmAt").field(&self.path).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_that_leads_elsewhere_is_refused() {
        let id = "/subscriptions/00000000-0000-0000-0000-000000000000";
        for bad in ["", "/", "subscriptions/x", "/subscriptions/x", "/providers/x"] {
            assert!(ArmScope::new(bad).is_err(), "{bad}");
        }
        for rest in ["/", "/..", "/./x", "/a//b", "/a?b", "/a%2fb", "/a#b", "/ä"] {
            assert!(ArmScope::new(&format!("{id}{rest}")).is_err(), "{rest}");
        }
        assert!(ArmScope::new(&format!("{id}/resourceGroups/rg(1)/providers/Microsoft.X/y/z_1")).is_ok());
    }
}
