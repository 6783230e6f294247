//! How instances of a deployment are added and removed by load.
//!
//! An autoscale setting is a resource of Azure Monitor (`Microsoft.Insights/autoscalesettings`, version
//! [`VERSION`](crate::wire::autoscale::VERSION)) about a deployment. It needs the permission
//! `Microsoft.Insights/autoscaleSettings/write`, and the deployment's scale settings must be the default ones. Changes are seen within a
//! minute or so; the metrics that rules look at are a minute or two old.

use mlops_core::Result;

use crate::config::Workspace;
use crate::http::Service;
use crate::wire::autoscale::{self, AutoscaleSetting};
use crate::wire::{Nothing, Resource};

/// The autoscale settings of a workspace's resource group. Cheap to clone.
///
/// ```no_run
/// use mlops_azure::deploy::AutoscaleSettings;
/// use mlops_azure::wire::Resource;
/// use mlops_azure::wire::autoscale::{AutoscaleSetting, Capacity, Profile, Rule};
///
/// async fn by_load(settings: &AutoscaleSettings, deployment_id: &str) -> mlops_core::Result<()> {
///     let out = Rule::above(deployment_id, "CpuUtilizationPercentage", 70.0, 2);
///     let back = Rule::below(deployment_id, "CpuUtilizationPercentage", 30.0, 1);
///     let profile = Profile::new("default", Capacity::between(2, 5)?).with_rule(out).with_rule(back);
///     let setting = Resource::new(AutoscaleSetting::of(deployment_id).with_profile(profile)).with_location("eastus");
///     settings.put("churn-blue", &setting).await?;
///     Ok(())
/// }
/// ```
#[derive(Clone, Debug)]
pub struct AutoscaleSettings {
    arm: Service,
    workspace: Workspace,
}

impl AutoscaleSettings {
    /// The settings beside a workspace, by a client of Resource Manager.
    pub fn new(arm: Service, workspace: Workspace) -> Self {
        Self { arm, workspace }
    }

    /// Writes a setting.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](mlops_core::ErrorKind::InvalidInput) for a name that a URL reads as something else, and for a setting
    /// without a profile; those of the service.
    pub async fn put(
        &self,
        name: &str,
        setting: &Resource<AutoscaleSetting>,
    ) -> Result<Resource<AutoscaleSetting>> {
        const OP: &str = "AutoscaleSettings::put";
        self.arm.call(autoscale::put(OP, &self.workspace, name, setting)?).await
    }

    /// Reads a setting.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](mlops_core::ErrorKind::NotFound) for one that is not there; those of the service.
    pub async fn get(&self, name: &str) -> Result<Resource<AutoscaleSetting>> {
        self.arm.call(autoscale::get("AutoscaleSettings::get", &self.workspace, name)?).await
    }

    /// Removes a setting; the deployment keeps the instances that it has.
    ///
    /// # Errors
    /// Those of the service.
    pub async fn delete(&self, name: &str) -> Result<()> {
        let call = autoscale::delete("AutoscaleSettings::delete", &self.workspace, name)?;
        self.arm.reply::<Nothing>(call).await.map(|_| ())
    }
}
