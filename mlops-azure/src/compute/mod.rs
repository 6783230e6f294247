//! Computes: clusters, instances, and what there may be of machines.
//!
//! # Versions, permissions, and what is eventually consistent
//! Resource Manager, version [`API_VERSION`](crate::config::API_VERSION). To read takes
//! `Microsoft.MachineLearningServices/workspaces/computes/read`, to create and scale `computes/write`, to start and stop
//! `computes/{start,stop,restart}/action`; quotas take `locations/{usages,quotas,vmSizes}/read` in the subscription. The role
//! `AzureML Compute Operator` has those of a workspace. Usage lags minutes behind the machines.
//!
//! # What takes long
//! Creating, scaling, starting, stopping and removing are operations: each function returns as soon as Azure has begun, and the
//! [`Operation`] is waited for, told of, or [saved](Operation::save) and resumed by another process.
//!
//! # What differs from the local backend
//! Core's [compute](mlops_core::pipeline::compute) is data that nothing provides; here [`of_core`] makes resources of it. A serverless
//! compute is no resource: [`serverless`] lets a job ask for it. Azure cannot resize a cluster's machines: create another one.

use std::fmt;

use futures_util::{Stream, stream};
use mlops_core::pipeline::compute::{Cluster, Compute as CoreCompute, Instance, QueueTier, Serverless, Tier};
use mlops_core::{Error, ErrorKind, Result};

use crate::config::Workspace;
use crate::config::name::check;
use crate::http::{Call, Operation, Repeat, Service, guard};
use crate::wire::compute::{
    ClusterProperties, InstanceProperties, InstanceSchedules, NodePage, NodeState, Region, ScalePatch,
    ScaleSettings, StartStop, Underlying, Usage, VmPriority, VmSize,
};
use crate::wire::job::CommandJob;
use crate::wire::job::command::JobTier;
use crate::wire::{At, Compute, Nothing, Place, Resource};

/// The computes of a workspace. Cheap to clone.
///
/// ```no_run
/// use mlops_azure::compute::{Computes, of_core};
/// use mlops_core::pipeline::compute::{Cluster, Compute, Tier};
/// # use {mlops_azure::{config::Workspace, http::Service}, std::time::Duration};
/// # async fn example(arm: Service, workspace: Workspace) -> mlops_core::Result<()> {
/// let computes = Computes::new(arm, &workspace, "eastus")?;
/// let cluster = Compute::Cluster(
///     Cluster::new("Standard_DS3_v2", 4)
///         .with_min_nodes(0)
///         .with_idle_before_scale_down(Duration::from_secs(120))
///         .with_tier(Tier::LowPriority),
/// );
/// let cpu = computes.create("cpu", of_core(&cluster)?).await?.wait().await?;
/// println!("{:?}", cpu.properties.provisioning_state);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Computes {
    arm: Service,
    place: Place,
    region: Region,
    location: String,
}

impl Computes {
    /// Those of a workspace, with the region in which new ones are made.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for a region that is none.
    pub fn new(arm: Service, workspace: &Workspace, location: &str) -> Result<Self> {
        let region = Region::of(workspace, location)?;
        Ok(Self { arm, place: Place::from(workspace), region, location: location.to_owned() })
    }

    fn at(&self, operation: &'static str, name: &str) -> Result<At<Resource<Compute>>> {
        let rule = "must have 2 to 32 letters, digits or hyphens, a letter first and no hyphen last";
        let ok = (2..=32).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && name.starts_with(|c: char| c.is_ascii_alphabetic())
            && !name.ends_with('-');
        check(operation, "name", name, ok, rule)?;
        self.place.compute(name)
    }

    /// Begins to create a compute, or to change what there is of it.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for a name that none can have and for what Azure refuses; when it is waited for,
    /// [`ErrorKind::LimitExceeded`] where the quota does not suffice.
    pub async fn create(&self, name: &str, compute: Compute) -> Result<Operation<Resource<Compute>>> {
        const OP: &str = "Computes::create";
        let resource = Resource::new(compute).with_location(&*self.location);
        self.arm.begin(self.at(OP, name)?.put(OP, &resource)?).await
    }

    /// A compute as it is now.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`].
    pub async fn get(&self, name: &str) -> Result<Resource<Compute>> {
        const OP: &str = "Computes::get";
        self.arm.call(self.at(OP, name)?.get(OP)).await
    }

    /// The computes, page by page.
    ///
    /// # Errors
    /// None before the first page; those come in the stream.
    pub fn list(&self) -> Result<impl Stream<Item = Result<Resource<Compute>>> + Send + use<>> {
        let list = self.place.compute("any")?.list("Computes::list")?;
        Ok(self.arm.items(list))
    }

    /// The machines of a cluster, page by page.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for a name that none can have; others come in the stream.
    pub fn nodes(&self, name: &str) -> Result<impl Stream<Item = Result<Vec<NodeState>>> + Send + use<>> {
        const OP: &str = "Computes::nodes";
        const MAX_PAGES: u32 = 10_000;
        let first = self.at(OP, name)?.ask::<NodePage>(OP, "listNodes")?;
        let start = (self.arm.clone(), Some(first), 0_u32);
        Ok(stream::try_unfold(start, |(arm, call, pages)| async move {
            let Some(call) = call else { return Ok(None) };
            if pages >= MAX_PAGES {
                let message = "the list's pages have no end";
                return Err(Error::new(ErrorKind::Protocol, OP, message).with("pages", pages));
            }
            let page = arm.call(call).await?;
            let link = page.next_link.filter(|link| !link.is_empty());
            let next = link.map(|link| next_page(&arm, OP, &link)).transpose()?;
            Ok(Some((page.nodes, (arm, next, pages + 1))))
        }))
    }

    /// Begins to change how large a cluster may be.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for more machines at least than at most; [`ErrorKind::NotFound`].
    pub async fn scale(&self, name: &str, settings: ScaleSettings) -> Result<Operation<Resource<Compute>>> {
        const OP: &str = "Computes::scale";
        let at = self.at(OP, name)?;
        if settings.min_node_count.is_some_and(|min| min > settings.max_node_count) {
            return Err(Error::invalid(OP, "min_node_count", "must be at most max_node_count")
                .with("max_node_count", settings.max_node_count));
        }
        self.arm.begin(at.patch(OP, &ScalePatch::new(settings))?).await
    }

    async fn act(&self, operation: &'static str, name: &str, action: &str) -> Result<Operation<Nothing>> {
        // Started twice is started.
        self.arm.begin(self.at(operation, name)?.ask(operation, action)?).await
    }

    /// Begins to start an instance.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`]; what the service says of a compute that cannot be started.
    pub async fn start(&self, name: &str) -> Result<Operation<Nothing>> {
        self.act("Computes::start", name, "start").await
    }

    /// Begins to stop an instance: it costs nothing then but its disk.
    ///
    /// # Errors
    /// As of [`start`](Self::start).
    pub async fn stop(&self, name: &str) -> Result<Operation<Nothing>> {
        self.act("Computes::stop", name, "stop").await
    }

    /// Begins to restart an instance.
    ///
    /// # Errors
    /// As of [`start`](Self::start).
    pub async fn restart(&self, name: &str) -> Result<Operation<Nothing>> {
        self.act("Computes::restart", name, "restart").await
    }

    /// Begins to remove a compute; its machines are deleted, or, of one that was attached, stay.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`]; what the service says of a compute that is at work.
    pub async fn delete(&self, name: &str, machines: Underlying) -> Result<Operation<Nothing>> {
        const OP: &str = "Computes::delete";
        let call = self.at(OP, name)?.delete(OP).query("underlyingResourceAction", machines.as_str());
        self.arm.begin(call).await
    }

    /// How much of the subscription's quota is used in the region, by family of machines.
    pub fn usages(&self) -> impl Stream<Item = Result<Usage>> + Send + use<> {
        self.arm.items(self.region.usages("Computes::usages"))
    }

    /// How much of it each workspace may use.
    pub fn quotas(&self) -> impl Stream<Item = Result<Usage>> + Send + use<> {
        self.arm.items(self.region.quotas("Computes::quotas"))
    }

    /// The kinds of machines that there are in the region.
    pub fn sizes(&self) -> impl Stream<Item = Result<VmSize>> + Send + use<> {
        self.arm.items(self.region.vm_sizes("Computes::sizes"))
    }
}

/// The call of a next page of machines: the list is asked for by POST, and so are its pages.
fn next_page(arm: &Service, operation: &'static str, link: &str) -> Result<Call<NodePage>> {
    let url = guard::same_origin(operation, arm.base(), link)?;
    let target = match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    };
    Ok(Call::post(operation, target).repeat(Repeat::Safe))
}

impl fmt::Debug for Computes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Computes")
            .field("place", &self.place)
            .field("location", &self.location)
            .finish_non_exhaustive()
    }
}

/// A compute of core as a resource of Azure's.
///
/// # Errors
/// [`ErrorKind::Unsupported`] for a serverless one, which is none, and for a time zone without a name on Windows; without the feature
/// `schedule`, for every zone but UTC.
///
/// ```
/// use mlops_azure::compute::of_core;
/// use mlops_core::pipeline::PipelineFormat;
/// use mlops_core::pipeline::compute::ComputePlan;
///
/// let plan = ComputePlan::parse("[notebook.instance]\nsize = 'Standard_DS3_v2'\nidle_shutdown = '30m'\nstop_cron = '0 18 * * *'", PipelineFormat::Toml)?;
/// let (_, notebook) = plan.classes().next().ok_or("one class")?;
/// let instance = of_core(notebook)?.as_instance().ok_or("an instance")?;
/// assert_eq!(instance.idle_time_before_shutdown.as_ref().map(|d| d.as_str()), Some("PT30M"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn of_core(compute: &CoreCompute) -> Result<Compute> {
    match compute {
        CoreCompute::Cluster(cluster) => of_cluster(cluster),
        CoreCompute::Instance(instance) => of_instance(instance),
        CoreCompute::Serverless(_) => Err(Error::unsupported("of_core", "serverless computes as resources")),
        _ => Err(Error::unsupported("of_core", "computes of this kind")),
    }
}

fn of_cluster(cluster: &Cluster) -> Result<Compute> {
    let priority = match cluster.tier {
        Tier::Dedicated => VmPriority::Dedicated,
        Tier::LowPriority => VmPriority::LowPriority,
    };
    let mut scale = ScaleSettings::up_to(cluster.max_nodes, cluster.idle_before_scale_down);
    scale.min_node_count = Some(cluster.min_nodes);
    Compute::cluster(&ClusterProperties {
        vm_size: Some(cluster.size.clone()),
        vm_priority: Some(priority),
        os_type: Some("Linux".to_owned()),
        scale_settings: Some(scale),
        ..ClusterProperties::default()
    })
}

fn of_instance(instance: &Instance) -> Result<Compute> {
    let starts = instance.start_cron.iter().map(|cron| (cron, true));
    let times: Vec<_> = starts.chain(instance.stop_cron.iter().map(|cron| (cron, false))).collect();
    let schedules = match times.is_empty() {
        true => None,
        false => {
            let zone = windows_zone(&instance.time_zone)?;
            let at = |(cron, starts): (&String, bool)| match starts {
                true => StartStop::start(cron, &*zone),
                false => StartStop::stop(cron, &*zone),
            };
            let compute_start_stop = times.into_iter().map(at).collect();
            Some(InstanceSchedules { compute_start_stop, ..InstanceSchedules::default() })
        }
    };
    Compute::instance(&InstanceProperties {
        vm_size: Some(instance.size.clone()),
        idle_time_before_shutdown: instance.idle_shutdown.map(Into::into),
        schedules,
        ..InstanceProperties::default()
    })
}

/// The name of a time zone on Windows.
#[cfg(feature = "schedule")]
fn windows_zone(name: &str) -> Result<String> {
    let zone: mlops_core::pipeline::schedule::Zone = name.parse()?;
    let unknown =
        || Error::unsupported("of_core", "time zones without a name on Windows").with("time_zone", name);
    zone.windows_name().map(str::to_owned).ok_or_else(unknown)
}

/// Without the tables of time zones, one is known.
#[cfg(not(feature = "schedule"))]
fn windows_zone(name: &str) -> Result<String> {
    match name {
        "UTC" => Ok("UTC".to_owned()),
        _ => {
            let what = "time zones other than UTC without the feature `schedule`";
            Err(Error::unsupported("of_core", what).with("time_zone", name))
        }
    }
}

/// A command on machines that the service chooses, as urgent as core says.
///
/// ```
/// use mlops_azure::compute::serverless;
/// use mlops_azure::wire::job::CommandJob;
/// use mlops_core::pipeline::compute::{QueueTier, Serverless};
/// let spot = Serverless::new(QueueTier::Spot).with_size("Standard_NC6s_v3");
/// let job = serverless(CommandJob::new("python t.py", "azureml:e:1"), &spot);
/// assert_eq!(serde_json::to_value(job.queue_settings)?["jobTier"], "Spot");
/// # Ok::<(), serde_json::Error>(())
/// ```
pub fn serverless(job: CommandJob, compute: &Serverless) -> CommandJob {
    let tier = match compute.queue {
        QueueTier::Spot => JobTier::Spot,
        QueueTier::Standard => JobTier::Standard,
        QueueTier::Premium => JobTier::Premium,
    };
    let mut job = job.with_tier(tier);
    job.compute_id = None;
    if let Some(size) = &compute.size {
        job.resources.get_or_insert_default().instance_type = Some(size.clone());
    }
    job
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_cluster_of_core_says_all_that_core_says() {
        let idle = Duration::from_secs(300);
        let tier = Tier::LowPriority;
        let core = Cluster::new("S", 4).with_min_nodes(1).with_idle_before_scale_down(idle).with_tier(tier);
        let cluster = of_core(&CoreCompute::Cluster(core)).unwrap().as_cluster().unwrap();
        let scale = cluster.scale_settings.unwrap();
        assert_eq!((scale.min_node_count, scale.max_node_count), (Some(1), 4));
        assert_eq!(scale.node_idle_time_before_scale_down.unwrap().get(), Some(idle));
        assert_eq!(cluster.vm_priority, Some(VmPriority::LowPriority));
    }

    fn instance(zone: &str) -> CoreCompute {
        CoreCompute::Instance(
            Instance::new("S")
                .with_start_cron("0 8 * * *")
                .with_stop_cron("0 18 * * *")
                .with_time_zone(zone.to_owned()),
        )
    }

    #[test]
    fn an_instance_starts_and_stops_by_the_clock_of_its_zone() {
        let utc = of_core(&instance("UTC")).unwrap().as_instance().unwrap();
        let times = utc.schedules.unwrap().compute_start_stop;
        let actions: Vec<&str> = times.iter().map(|time| time.action.as_str()).collect();
        assert_eq!(actions, ["Start", "Stop"]);
        if cfg!(feature = "schedule") {
            let vienna = of_core(&instance("Europe/Vienna")).unwrap().as_instance().unwrap();
            let zone = vienna.schedules.unwrap().compute_start_stop[0].cron.clone().unwrap().time_zone;
            assert_eq!(zone.as_deref(), Some("W. Europe Standard Time"));
        }
        assert!(of_core(&instance("Europe/Nowhere")).is_err());
    }
}
