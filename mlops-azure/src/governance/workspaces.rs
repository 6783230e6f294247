//! A workspace as it is, and what is wrong with it.
//!
//! # Versions, permissions, and what is eventually consistent
//! Resource Manager, version [`API_VERSION`](crate::config::API_VERSION). To read takes
//! `Microsoft.MachineLearningServices/workspaces/read`, to diagnose `…/workspaces/diagnose/read`. A diagnosis takes a while; its result is
//! where `Location` says.
//!
//! # What Azure has that core has not
//! All of it: local backends have no storage account or vault of somebody else's to be refused by.

use mlops_core::Result;

use crate::http::{Operation, Repeat, Service};
use crate::wire::workspace::{Diagnose, DiagnoseReport, WorkspaceProperties};
use crate::wire::{Place, Resource};

/// A workspace, over a client of Resource Manager.
#[derive(Clone, Debug)]
pub struct Workspaces {
    service: Service,
    place: Place,
}

impl Workspaces {
    /// A workspace over a client.
    pub fn new(service: Service, place: Place) -> Self {
        Self { service, place }
    }

    /// Reads the workspace: region, identity, what it uses, where its MLflow is.
    ///
    /// # Errors
    /// Those of [`Service::call`].
    pub async fn get(&self) -> Result<Resource<WorkspaceProperties>> {
        self.service.call(self.place.itself().get("Workspaces::get")).await
    }

    /// Has Azure look at what the workspace needs (network, storage, vault, registry) and waits for what it found.
    ///
    /// # Errors
    /// Those of [`Service::call`] and of the operation.
    pub async fn diagnose(&self) -> Result<DiagnoseReport> {
        self.begin_diagnosis().await?.wait().await
    }

    /// Begins to have Azure look.
    ///
    /// # Errors
    /// Those of [`Service::call`].
    pub async fn begin_diagnosis(&self) -> Result<Operation<DiagnoseReport>> {
        const OP: &str = "Workspaces::diagnose";
        let at = self.place.itself::<Resource<WorkspaceProperties>>();
        // A diagnosis changes nothing.
        let call = at.act(OP, "diagnose")?.json(&Diagnose::default())?.repeat(Repeat::Safe);
        self.service.begin(call).await
    }
}
