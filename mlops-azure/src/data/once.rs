//! Names that are written once.

use std::time::Duration;

use futures_util::TryStreamExt as _;
use mlops_core::{Error, ErrorKind, Result};
use serde::de::DeserializeOwned;

use crate::error::ServiceError;
use crate::http::{Call, Page, Service};
use crate::wire::{DataType, DataVersion, Place, Resource, TextMap};

/// What the names of this crate's own containers begin with.
pub(crate) const RESERVED: &str = "mlops--";

/// How long something that was written is waited for, where nothing else is set.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A container whose versions are names that can be written once: each is a version of a data asset whose place, which Azure
/// does not let be changed, is what was written.
#[derive(Clone, Debug)]
pub(crate) struct Once {
    service: Service,
    place: Place,
    container: String,
    patience: Duration,
}

/// What counts under a name.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    /// What was written by whoever was first.
    pub text: String,
    /// What came with it.
    pub properties: TextMap,
    /// Whether the service says that this call made it. If it does not, it may have done so nevertheless, in a try whose answer
    /// was lost.
    pub fresh: bool,
}

impl Once {
    pub(crate) fn new(service: Service, place: Place, container: impl Into<String>) -> Self {
        Self { service, place, container: container.into(), patience: PATIENCE }
    }

    pub(crate) fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    pub(crate) fn container(&self) -> &str {
        &self.container
    }

    /// Writes a name, or finds what is written. `text` has characters of paths only; `note` is for people.
    pub(crate) async fn write(
        &self,
        operation: &'static str,
        name: &str,
        text: &str,
        properties: TextMap,
        note: String,
    ) -> Result<Written> {
        let at = self.place.data(&self.container, name)?;
        let uri = format!("azureml://datastores/workspaceblobstore/paths/{}{text}", self.folder());
        let mut data = DataVersion::new(DataType::UriFile, uri).with_properties(properties);
        data.description = (!note.is_empty()).then(|| note.into());
        match self.service.reply(at.put(operation, &Resource::new(data))?).await {
            Ok(reply) => {
                let fresh = reply.status == 201;
                self.written(operation, name, reply.json(operation)?, fresh)
            }
            Err(error) if is_taken(&error) => {
                // Whoever was first may have been so a moment ago, so that it is not yet seen everywhere.
                let settled = self.service.call(at.get(operation).settling(self.patience)).await;
                match settled {
                    Ok(found) => self.written(operation, name, found, false),
                    Err(_) => Err(error.with("container", &self.container).with("name", name)),
                }
            }
            Err(error) => Err(error.with("container", &self.container).with("name", name)),
        }
    }

    /// What is written under a name, as far as it is seen.
    pub(crate) async fn read(&self, operation: &'static str, name: &str) -> Result<Option<Written>> {
        let at = self.place.data(&self.container, name)?;
        self.look(operation, name, at.get(operation)).await
    }

    /// What is written under a name that should be there; it is waited for.
    pub(crate) async fn read_settled(&self, operation: &'static str, name: &str) -> Result<Option<Written>> {
        let at = self.place.data(&self.container, name)?;
        self.look(operation, name, at.get(operation).settling(self.patience)).await
    }

    async fn look(
        &self,
        operation: &'static str,
        name: &str,
        call: Call<Resource<DataVersion>>,
    ) -> Result<Option<Written>> {
        match self.service.call(call).await {
            Ok(found) => self.written(operation, name, found, false).map(Some),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.with("container", &self.container).with("name", name)),
        }
    }

    /// What is written under all names that the list shows.
    pub(crate) async fn all(&self, operation: &'static str) -> Result<Vec<(String, Written)>> {
        let list = self.place.data(&self.container, "1")?.list(operation)?.query("listViewType", "All");
        let found = items(&self.service, list).await?;
        let named = found.into_iter().filter_map(|resource| Some((resource.name.clone()?, resource)));
        named
            .map(|(name, resource)| {
                let written = self.written(operation, &name, resource, false)?;
                Ok((name, written))
            })
            .collect()
    }

    fn folder(&self) -> String {
        format!("mlops/{}/", self.container)
    }

    /// The service may answer with a longer form of the place that was written.
    fn written(
        &self,
        operation: &'static str,
        name: &str,
        resource: Resource<DataVersion>,
        fresh: bool,
    ) -> Result<Written> {
        let data = resource.properties;
        let folder = format!("/paths/{}", self.folder());
        let text = data.data_uri.split_once(folder.as_str()).map(|(_, text)| text.to_owned());
        let text = text.ok_or_else(|| {
            let message = "a name that this library writes was written by another client";
            Error::new(ErrorKind::Corrupt, operation, message)
                .with("container", &self.container)
                .with("name", name)
        })?;
        Ok(Written { text, properties: data.properties.unwrap_or_default(), fresh })
    }
}

/// Whether a write was refused because there is another one.
pub(crate) fn is_taken(error: &Error) -> bool {
    let said = ServiceError::of(error);
    let exists = said.and_then(|s| s.message.as_deref()).is_some_and(|m| m.contains("already exists"));
    match error.kind() {
        ErrorKind::AlreadyExists | ErrorKind::Conflict => true,
        ErrorKind::InvalidInput | ErrorKind::Rejected => exists || said.is_some_and(|s| s.has("Immutable")),
        _ => false,
    }
}

/// All items of a list; of a container that is not there, none.
pub(crate) async fn items<T>(service: &Service, list: Call<Page<T>>) -> Result<Vec<T>>
where
    T: DeserializeOwned + Send + 'static,
{
    match service.items(list).try_collect().await {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        found => found,
    }
}

/// The next number after those that a container says it has, where they are numbers.
pub(crate) fn after(latest: Option<&str>, next: Option<&str>) -> Option<u64> {
    let number = |text: &str| text.parse::<u64>().ok();
    let after_latest = latest.and_then(number).and_then(|n| n.checked_add(1));
    after_latest.into_iter().chain(next.and_then(number)).max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_number_is_after_both_that_a_container_says() {
        for (latest, next, expected) in [
            (Some("3"), Some("4"), Some(4)),
            (Some("3"), Some("7"), Some(7)),
            (Some("3"), None, Some(4)),
            (Some("2026.1"), None, None),
            (None, Some("1"), Some(1)),
            (Some("18446744073709551615"), None, None),
            (None, None, None),
        ] {
            assert_eq!(after(latest, next), expected, "{latest:?} {next:?}");
        }
    }
}
