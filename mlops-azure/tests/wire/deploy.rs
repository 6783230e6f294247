//! Bodies of what deployments need besides endpoints: autoscale settings.

use mlops_azure::config::Workspace;
use mlops_azure::wire::Resource;
use mlops_azure::wire::autoscale::{self, AutoscaleSetting, Capacity, Dimension, Profile, Rule};

use super::{Built, SUBSCRIPTION, id};

const KIND: &str = "Microsoft.Insights/autoscalesettings@2022-10-01";

pub fn built() -> Vec<Built> {
    let workspace = Workspace::new(SUBSCRIPTION, "rg", "wsp").unwrap();
    let blue = id("onlineEndpoints/ep/deployments/blue");
    let put = |setting: AutoscaleSetting, minimal| {
        let resource = Resource::new(setting).with_location("eastus");
        let call = autoscale::put("test", &workspace, "churn-blue", &resource).unwrap();
        Built { call: call.answering(), kind: Some(KIND), minimal }
    };
    let capacity = Capacity::between(2, 5).unwrap();
    let out = Rule::above(&blue, "CpuUtilizationPercentage", 70.0, 2);
    let plain =
        AutoscaleSetting::of(&blue).with_profile(Profile::new("default", capacity).with_rule(out.clone()));
    let latency = Rule::above(id("onlineEndpoints/ep"), "RequestLatency_P99", 250.0, 1)
        .with_dimension(Dimension::equals("deployment", ["blue"]));
    let profile = Profile::new("busy", capacity).with_rule(out).with_rule(latency).with_rule(Rule::below(
        &blue,
        "CpuUtilizationPercentage",
        30.0,
        1,
    ));
    let fixed = AutoscaleSetting::of(&blue).with_profile(Profile::new("fixed", capacity));
    vec![
        put(plain, Some("autoscale")),
        put(AutoscaleSetting::of(&blue).with_profile(profile), None),
        put(fixed, None),
    ]
}
