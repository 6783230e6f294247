//! Clusters and instances: made, scaled, started and stopped, removed; quotas and kinds of machines.

use std::time::Duration;

use futures_util::TryStreamExt as _;
use mlops_azure::compute::{Computes, of_core};
use mlops_azure::fake::FakeAzure;
use mlops_azure::wire::compute::{ScaleSettings, Underlying, VmPriority};
use mlops_azure::wire::open::ProvisioningState;
use mlops_core::ErrorKind;
use mlops_core::pipeline::compute::{Cluster, Compute, Instance, Serverless, Tier};

use crate::judged;

fn computes(azure: &FakeAzure) -> Computes {
    Computes::new(azure.arm(), &azure.workspace(), "eastus").unwrap()
}

fn cluster(min_nodes: u32) -> Compute {
    Compute::Cluster(
        Cluster::new("Standard_DS3_v2", 4)
            .with_min_nodes(min_nodes)
            .with_idle_before_scale_down(Duration::from_secs(120))
            .with_tier(Tier::LowPriority),
    )
}

fn instance() -> Compute {
    Compute::Instance(
        Instance::new("Standard_DS3_v2")
            .with_idle_shutdown(Duration::from_secs(1800))
            .with_stop_cron("0 18 * * *")
            .with_time_zone("Europe/Vienna"),
    )
}

#[tokio::test]
async fn a_cluster_is_made_scaled_and_removed() {
    let azure = judged();
    azure.faults().slow_operations(2);
    let computes = computes(&azure);
    let begun = computes.create("cpu", of_core(&cluster(0)).unwrap()).await.unwrap();
    assert!(!begun.is_done());
    // Another process can go on waiting for it.
    let saved = serde_json::to_string(&begun.save()).unwrap();
    drop(begun);
    let resumed = azure.arm().resume("test", serde_json::from_str(&saved).unwrap()).unwrap();
    let made: mlops_azure::wire::Resource<mlops_azure::wire::Compute> = resumed.wait().await.unwrap();
    assert_eq!(made.properties.provisioning_state, Some(ProvisioningState::Succeeded));
    let own = made.properties.as_cluster().unwrap();
    assert_eq!((own.vm_priority, own.current_node_count), (Some(VmPriority::LowPriority), Some(0)));
    let larger = ScaleSettings::up_to(8, Duration::from_secs(300));
    let scaled = computes.scale("cpu", larger).await.unwrap().wait().await.unwrap();
    let scale = scaled.properties.as_cluster().unwrap().scale_settings.unwrap();
    assert_eq!((scale.min_node_count, scale.max_node_count), (Some(0), 8));
    let mut odd = ScaleSettings::up_to(1, Duration::from_secs(300));
    odd.min_node_count = Some(2);
    assert_eq!(computes.scale("cpu", odd).await.unwrap_err().context("field"), Some("min_node_count"));
    let names: Vec<_> = computes.list().unwrap().try_collect::<Vec<_>>().await.unwrap();
    assert_eq!(names.len(), 1);
    computes.delete("cpu", Underlying::Delete).await.unwrap().wait().await.unwrap();
    assert!(azure.requests().iter().any(|line| line.contains("underlyingResourceAction=Delete")));
    assert_eq!(computes.get("cpu").await.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn an_instance_is_stopped_and_started() {
    let azure = judged();
    azure.faults().slow_operations(1);
    let computes = computes(&azure);
    let made = computes.create("desk", of_core(&instance()).unwrap()).await.unwrap().wait().await.unwrap();
    let own = made.properties.as_instance().unwrap();
    let times = own.schedules.unwrap().compute_start_stop;
    let zone = times[0].cron.as_ref().unwrap().time_zone.as_deref();
    assert_eq!((times[0].action.as_str(), zone), ("Stop", Some("W. Europe Standard Time")));
    let state = async || computes.get("desk").await.unwrap().properties.as_instance().unwrap().state.unwrap();
    computes.stop("desk").await.unwrap().wait().await.unwrap();
    assert_eq!(state().await, "Stopped");
    // A lost answer is asked for again: stopped twice is stopped.
    azure.faults().lose_answers(1);
    computes.start("desk").await.unwrap().wait().await.unwrap();
    assert_eq!(state().await, "Running");
    computes.restart("desk").await.unwrap().wait().await.unwrap();
    computes.create("cpu", of_core(&cluster(0)).unwrap()).await.unwrap().wait().await.unwrap();
    assert_eq!(computes.stop("cpu").await.unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(computes.start("nobody").await.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn a_quota_that_does_not_suffice_is_what_the_operation_says() {
    let azure = judged();
    azure.faults().fail_operation("/computes/cpu", "OutOfQuota", "not enough cores of this family");
    let computes = computes(&azure);
    let error =
        computes.create("cpu", of_core(&cluster(0)).unwrap()).await.unwrap().wait().await.unwrap_err();
    assert_eq!((error.kind(), error.context("code")), (ErrorKind::LimitExceeded, Some("OutOfQuota")));
    let left = computes.get("cpu").await.unwrap().properties.provisioning_state;
    assert_eq!(left, Some(ProvisioningState::Failed));
    // What failed is written again.
    computes.create("cpu", of_core(&cluster(0)).unwrap()).await.unwrap().wait().await.unwrap();
}

#[tokio::test]
async fn machines_quotas_and_sizes_are_listed() {
    let azure = judged();
    let computes = computes(&azure);
    computes.create("cpu", of_core(&cluster(3)).unwrap()).await.unwrap().wait().await.unwrap();
    let pages: Vec<_> = computes.nodes("cpu").unwrap().try_collect().await.unwrap();
    assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [2, 1]);
    assert_eq!(pages[1][0].node_id, "tvm-2");
    let usages: Vec<_> = computes.usages().try_collect().await.unwrap();
    assert_eq!((usages[0].name.value.as_str(), usages[0].left()), ("standardDSv2Family", Some(88)));
    let quotas: Vec<_> = computes.quotas().try_collect().await.unwrap();
    assert_eq!((quotas[0].limit, quotas[0].left()), (Some(100), None));
    let sizes: Vec<_> = computes.sizes().try_collect().await.unwrap();
    let cheap = sizes.iter().filter(|size| size.low_priority_capable == Some(true) && size.gpus == Some(0));
    assert_eq!(cheap.map(|size| size.name.as_str()).collect::<Vec<_>>(), ["STANDARD_DS3_V2"]);
}

#[tokio::test]
async fn what_is_no_compute_is_refused_before_anything_is_sent() {
    let azure = judged();
    let computes = computes(&azure);
    for name in ["", "a", "1cpu", "cpu-", "c_pu", "a/b", "x".repeat(33).as_str()] {
        let error = computes.create(name, of_core(&cluster(0)).unwrap()).await.unwrap_err();
        assert_eq!((error.kind(), error.context("field")), (ErrorKind::InvalidInput, Some("name")), "{name}");
    }
    assert!(Computes::new(azure.arm(), &azure.workspace(), "east us/..").is_err());
    let anywhere = Compute::Serverless(Serverless::new(Default::default()));
    assert_eq!(of_core(&anywhere).unwrap_err().kind(), ErrorKind::Unsupported);
    assert_eq!(azure.count(), 0);
}
