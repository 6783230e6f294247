//! Schedules: jobs and batch calls that the service starts at times.
//!
//! # Versions, permissions, and what is eventually consistent
//! Resource Manager, version [`API_VERSION`](crate::config::API_VERSION). To read takes
//! `Microsoft.MachineLearningServices/workspaces/schedules/read`, to create, switch and remove `schedules/write` and
//! `schedules/delete`; the role `AzureML Data Scientist` has them. A change is an operation of some seconds; firings that are under way go
//! on.
//!
//! # What differs from the local backend
//! Core's [schedules](mlops_core::pipeline) say what becomes of firings that were missed or that overlap, and have calendars of holidays;
//! Azure has neither: a firing that finds the one before at work starts beside it. Azure fires also while nothing of this library runs.
//! There is no change of a part: to switch a schedule it is read and written as a whole, and of two who do that at once the last wins.

use futures_util::Stream;
use mlops_core::Result;

use crate::config::Workspace;
use crate::config::name::{check, is_asset};
use crate::http::{Operation, Service};
use crate::wire::{At, Nothing, Place, Resource, Schedule};

/// The schedules of a workspace. Cheap to clone.
///
/// ```no_run
/// use mlops_azure::schedule::Schedules;
/// use mlops_azure::wire::job::CommandJob;
/// use mlops_azure::wire::{Schedule, ScheduleTrigger};
/// # use mlops_azure::{config::Workspace, http::Service};
/// # async fn example(arm: Service, workspace: Workspace) -> mlops_core::Result<()> {
/// let schedules = Schedules::new(arm, &workspace);
/// // With the feature `schedule`, `ScheduleTrigger::try_from` reads core's schedules.
/// let nightly = ScheduleTrigger::cron("30 2 * * *")?.in_time_zone("W. Europe Standard Time")?;
/// let job = CommandJob::new("python retrain.py", "azureml:train:3");
/// schedules.put("retrain", Schedule::new(nightly, job)).await?.wait().await?;
/// schedules.disable("retrain").await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Schedules {
    arm: Service,
    place: Place,
}

impl Schedules {
    /// Those of a workspace.
    pub fn new(arm: Service, workspace: &Workspace) -> Self {
        Self { arm, place: Place::from(workspace) }
    }

    fn at(&self, operation: &'static str, name: &str) -> Result<At<Resource<Schedule>>> {
        check(operation, "name", name, is_asset(name), "must have 1 to 255 letters, digits, -, _ or .")?;
        self.place.schedule(name)
    }

    /// Begins to write a schedule, whether there is one or not.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](mlops_core::ErrorKind::InvalidInput) for a name that none can have and for what Azure refuses.
    pub async fn put(&self, name: &str, schedule: Schedule) -> Result<Operation<Resource<Schedule>>> {
        const OP: &str = "Schedules::put";
        self.arm.begin(self.at(OP, name)?.put(OP, &Resource::new(schedule))?).await
    }

    /// A schedule.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](mlops_core::ErrorKind::NotFound).
    pub async fn get(&self, name: &str) -> Result<Resource<Schedule>> {
        const OP: &str = "Schedules::get";
        self.arm.call(self.at(OP, name)?.get(OP)).await
    }

    /// The schedules, page by page.
    ///
    /// # Errors
    /// None before the first page; those come in the stream.
    pub fn list(
        &self,
        view: SchedulesView,
    ) -> Result<impl Stream<Item = Result<Resource<Schedule>>> + Send + use<>> {
        let list = self.place.schedule("any")?.list("Schedules::list")?;
        Ok(self.arm.items(list.query("listViewType", view.as_str())))
    }

    /// Switches a schedule on, and waits until it is. One that is on is left as it is.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](mlops_core::ErrorKind::NotFound).
    pub async fn enable(&self, name: &str) -> Result<()> {
        self.switch("Schedules::enable", name, true).await
    }

    /// Switches a schedule off, and waits until it is. One that is off is left as it is.
    ///
    /// # Errors
    /// As of [`enable`](Self::enable).
    pub async fn disable(&self, name: &str) -> Result<()> {
        self.switch("Schedules::disable", name, false).await
    }

    async fn switch(&self, operation: &'static str, name: &str, on: bool) -> Result<()> {
        let at = self.at(operation, name)?;
        let mut schedule = self.arm.call(at.get(operation)).await?;
        // A schedule that says nothing is on.
        if schedule.properties.is_enabled.unwrap_or(true) == on {
            return Ok(());
        }
        schedule.properties.is_enabled = Some(on);
        self.arm.begin(at.put(operation, &schedule)?).await?.wait().await.map(|_| ())
    }

    /// Begins to remove a schedule. Azure wants one that is on to be switched off first.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](mlops_core::ErrorKind::NotFound); what the service says of one that is on: switch it off first.
    pub async fn delete(&self, name: &str) -> Result<Operation<Nothing>> {
        const OP: &str = "Schedules::delete";
        self.arm.begin(self.at(OP, name)?.delete(OP)).await
    }
}

/// Which schedules are listed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SchedulesView {
    /// Those that are on.
    #[default]
    Enabled,
    /// Those that are off.
    Disabled,
    /// All of them.
    All,
}

impl SchedulesView {
    /// The value of `listViewType`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Enabled => "EnabledOnly",
            Self::Disabled => "DisabledOnly",
            Self::All => "All",
        }
    }
}
