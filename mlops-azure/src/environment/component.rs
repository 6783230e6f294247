//! Components: steps of pipelines.
//!
//! Resource Manager, version [`API_VERSION`](crate::config::API_VERSION): `…/workspaces/components/versions/read` and `…/write`, which the
//! role `AzureML Data Scientist` has. A version is there as soon as it was written. Core's components are functions of this process, known
//! by their fingerprints; Azure's are commands in an environment.

use std::sync::Arc;

use futures_util::Stream;
use mlops_core::Result;
use mlops_core::hash::digest_json;

use super::{Known, guid, register};
use crate::config::Workspace;
use crate::http::Service;
use crate::wire::component::{CommandComponent, ComponentVersion};
use crate::wire::{Place, Resource};

/// The components of a workspace. Cheap to clone.
///
/// ```no_run
/// use mlops_azure::environment::Components;
/// use mlops_azure::wire::component::{CommandComponent, Port};
/// # use mlops_azure::{config::Workspace, http::Service};
/// # async fn example(arm: Service, workspace: Workspace) -> mlops_core::Result<()> {
/// let components = Components::new(arm, &workspace);
/// let prepare = CommandComponent::new("prepare", "1", "python p.py ${{outputs.o}}", "/subscriptions/…/environments/e/versions/1")
///     .with_output("o", Port::of("uri_folder"));
/// // Shared under its name and version, or known by its content alone.
/// components.register(&prepare).await?;
/// println!("{}", components.anonymous(&prepare).await?);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Components {
    arm: Service,
    place: Place,
    known: Arc<Known>,
}

impl Components {
    /// Those of a workspace.
    pub fn new(arm: Service, workspace: &Workspace) -> Self {
        Self { arm, place: Place::from(workspace), known: Arc::default() }
    }

    /// Registers a component under its name and version. One that is there with the same content is returned as it is. Two calls, or
    /// one.
    ///
    /// # Errors
    /// [`ErrorKind::AlreadyExists`](mlops_core::ErrorKind::AlreadyExists) for a version that is there with other content;
    /// [`ErrorKind::InvalidInput`](mlops_core::ErrorKind::InvalidInput) for names that a URL reads as something else, and for what
    /// Azure refuses.
    pub async fn register(&self, component: &CommandComponent) -> Result<Resource<ComponentVersion>> {
        let at = self.place.component(&component.name, &component.version)?;
        let version = Resource::new(ComponentVersion::command(component)?);
        register(&self.arm, "Components::register", &at, &version).await
    }

    /// The id of a component that only its content names; registered if this process has not done so. One call, or none.
    ///
    /// # Errors
    /// As of [`register`](Self::register).
    pub async fn anonymous(&self, component: &CommandComponent) -> Result<String> {
        const OP: &str = "Components::anonymous";
        let digest = digest_json(component)?;
        if let Some(id) = self.known.get(&digest) {
            return Ok(id);
        }
        let at = self.place.component(ComponentVersion::ANONYMOUS, &guid(&digest))?;
        let version = ComponentVersion::command(component)?.anonymous();
        self.arm.call(at.put(OP, &Resource::new(version))?).await?;
        self.known.insert(digest, at.id());
        Ok(at.id().to_owned())
    }

    /// A version.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](mlops_core::ErrorKind::NotFound).
    pub async fn get(&self, name: &str, version: &str) -> Result<Resource<ComponentVersion>> {
        self.arm.call(self.place.component(name, version)?.get("Components::get")).await
    }

    /// The versions of a name, page by page.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](mlops_core::ErrorKind::InvalidInput) for a name that a URL reads as something else; others come in
    /// the stream.
    pub fn versions(
        &self,
        name: &str,
    ) -> Result<impl Stream<Item = Result<Resource<ComponentVersion>>> + Send + use<>> {
        let list = self.place.component(name, "1")?.list("Components::versions")?;
        Ok(self.arm.items(list))
    }
}
