//! Environments: images and packages.
//!
//! Resource Manager, version [`API_VERSION`](crate::config::API_VERSION): `…/workspaces/environments/versions/read` and `…/write`, which the
//! role `AzureML Data Scientist` has. A version is there as soon as it was written; its image is built when it is first used, for some
//! minutes. The local backend runs in the environment that it finds, and notes it in a capsule.

use std::sync::Arc;

use futures_util::Stream;
#[cfg(doc)]
use mlops_core::ErrorKind;
use mlops_core::hash::digest_json;
use mlops_core::{Error, Result};

use super::{ASKED, Known, register};
use crate::config::Workspace;
use crate::http::Service;
use crate::wire::{EnvironmentVersion, Place, Resource};

/// The environments of a workspace. Cheap to clone.
///
/// ```no_run
/// use mlops_azure::environment::Environments;
/// use mlops_azure::wire::EnvironmentVersion;
/// # use mlops_azure::{config::Workspace, http::Service};
/// # async fn example(arm: Service, workspace: Workspace) -> mlops_core::Result<()> {
/// let environments = Environments::new(arm, &workspace);
/// let image = "mcr.microsoft.com/azureml/openmpi4.1.0-ubuntu22.04";
/// let train = EnvironmentVersion::conda(image, "name: train\ndependencies: [python=3.12]\n");
/// let train = environments.register("train", "3", train).await?;
/// println!("{}", train.id.unwrap_or_default());
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Environments {
    arm: Service,
    place: Place,
    known: Arc<Known>,
}

impl Environments {
    /// The name under which the service keeps environments that nobody gave one.
    pub const ANONYMOUS: &'static str = "CliV2AnonymousEnvironment";

    /// Those of a workspace.
    pub fn new(arm: Service, workspace: &Workspace) -> Self {
        Self { arm, place: Place::from(workspace), known: Arc::default() }
    }

    /// Registers a version, with the digest of what is registered in its property `mlops.asked`. One that is there with the same content
    /// is returned as it is. Two calls, or one.
    ///
    /// # Errors
    /// [`ErrorKind::AlreadyExists`] for a version that is there with other content; [`ErrorKind::InvalidInput`] for names that a URL
    /// reads as something else, and for what Azure refuses.
    pub async fn register(
        &self,
        name: &str,
        version: &str,
        mut environment: EnvironmentVersion,
    ) -> Result<Resource<EnvironmentVersion>> {
        let at = self.place.environment(name, version)?;
        let asked = digest_json(&environment)?.to_string();
        environment.properties.get_or_insert_default().insert(ASKED, asked);
        register(&self.arm, "Environments::register", &at, &Resource::new(environment)).await
    }

    /// The id of an environment that has no name of its own; registered if this process has not done so. One call, or none: the
    /// version is the digest of the content, so that the same content is one version.
    ///
    /// # Errors
    /// As of [`register`](Self::register).
    pub async fn anonymous(&self, environment: &EnvironmentVersion) -> Result<String> {
        const OP: &str = "Environments::anonymous";
        let mut environment = environment.clone();
        environment.is_anonymous = Some(true);
        let digest = digest_json(&environment)?;
        if let Some(id) = self.known.get(&digest) {
            return Ok(id);
        }
        // As long as the SDK's versions of anonymous environments.
        let version = digest.hex().chars().take(32).collect::<String>();
        let at = self.place.environment(Self::ANONYMOUS, &version)?;
        self.arm.call(at.put(OP, &Resource::new(environment))?).await?;
        self.known.insert(digest, at.id());
        Ok(at.id().to_owned())
    }

    /// A version.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`].
    pub async fn get(&self, name: &str, version: &str) -> Result<Resource<EnvironmentVersion>> {
        self.arm.call(self.place.environment(name, version)?.get("Environments::get")).await
    }

    /// The version that was written last. Two calls.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] for a name that has none.
    pub async fn latest(&self, name: &str) -> Result<Resource<EnvironmentVersion>> {
        const OP: &str = "Environments::latest";
        let container = self.arm.call(self.place.container("environments", name)?.get(OP)).await?;
        let version = container.properties.latest_version;
        let version = version.ok_or_else(|| Error::not_found(OP, "version of the environment", name))?;
        self.arm.call(self.place.environment(name, &version)?.get(OP)).await
    }

    /// The versions of a name, page by page.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for a name that a URL reads as something else; others come in the stream.
    pub fn versions(
        &self,
        name: &str,
    ) -> Result<impl Stream<Item = Result<Resource<EnvironmentVersion>>> + Send + use<>> {
        let list = self.place.environment(name, "1")?.list("Environments::versions")?;
        Ok(self.arm.items(list))
    }

    /// Hides a version from lists, or shows it again: reads it, and writes the whole of it. Two calls.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`].
    pub async fn archive(&self, name: &str, version: &str, archived: bool) -> Result<()> {
        const OP: &str = "Environments::archive";
        let at = self.place.environment(name, version)?;
        let mut environment = self.arm.call(at.get(OP)).await?;
        if environment.properties.is_archived.unwrap_or(false) != archived {
            environment.properties.is_archived = Some(archived);
            self.arm.call(at.put(OP, &environment)?).await?;
        }
        Ok(())
    }
}
