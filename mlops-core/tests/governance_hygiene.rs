//! What nobody needs is offered, what anybody needs never is; what waste costs and where a budget stands.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{NaiveDate, TimeDelta};
use mlops_core::governance::budget::{Budget, DailyCost, Threshold, ThresholdBasis, TimeGrain};
use mlops_core::governance::cost::{
    ClusterCost, CostFinding, CostInventory, CostRule, CostRules, DeploymentCost, InstanceCost, Urgency,
    cost_findings,
};
use mlops_core::governance::forecast::{Forecast, MIN_DAYS, forecast};
use mlops_core::governance::hygiene::{HygieneRules, Inventory, Item, ItemId, ItemKind, Sweep, sweep};
use mlops_core::governance::{Approval, ApprovalDecision, ApprovalRequest, BudgetGuard, Ticket};
use mlops_core::hash::Digest;
use mlops_core::num::Random;
use mlops_core::time::Timestamp;
use mlops_core::{ActorId, ErrorKind};
use proptest::prelude::*;

fn now() -> Timestamp {
    "2026-03-01T00:00:00Z".parse().unwrap()
}

fn ago(days: i64) -> Timestamp {
    now() - TimeDelta::days(days)
}

fn id(kind: ItemKind, group: &str, name: impl ToString) -> ItemId {
    ItemId::new(kind, group, name.to_string())
}

fn approval(subject: Digest, expires_at: Timestamp) -> Approval {
    let (requester, approver) = (ActorId::new("ann").unwrap(), ActorId::new("ben").unwrap());
    let request = ApprovalRequest::new(subject, "?", requester, expires_at);
    Approval::answer(&request, ApprovalDecision::Approved, approver, "", ago(30))
}

fn no_last() -> HygieneRules {
    let mut rules = HygieneRules::default();
    rules.keep_last = 0;
    rules
}

fn offered(found: &Sweep) -> Vec<&ItemId> {
    found.proposals.iter().map(|p| &p.item).collect()
}

#[test]
fn age_alone_decides_about_what_nothing_holds() {
    use ItemKind::{Data, Deployment, Model, Run};
    for (kind, days) in [(Model, 90), (Data, 180), (Run, 180), (Deployment, 7)] {
        let at = |days| {
            let mut item = Item::new(id(kind, "g", "1"), ago(days));
            item.traffic = Some(0);
            sweep(&Inventory::new(vec![item], vec![]), &no_last(), now()).unwrap().proposals.len()
        };
        assert_eq!((at(days), at(days + 1)), (0, 1), "{kind:?}");
    }
    let mut item = Item::new(id(Model, "g", "1"), ago(400));
    item.last_used_at = Some(ago(1));
    let found = sweep(&Inventory::new(vec![item], vec![]), &no_last(), now()).unwrap();
    assert!(found.proposals.is_empty(), "use is what counts");
}

#[test]
fn every_reason_to_keep_keeps() {
    let model = id(ItemKind::Model, "churn", 1);
    let (content, gate) = (Digest::of(b"content"), Digest::of(b"gate"));
    let judge = |change: &dyn Fn(&mut Item), approvals: Vec<Approval>, rules: &HygieneRules| {
        let mut item = Item::new(model.clone(), ago(400));
        item.digests = BTreeSet::from([content, gate]);
        change(&mut item);
        let found =
            sweep(&Inventory::new(vec![item], vec![]).with_approvals(approvals), rules, now()).unwrap();
        assert_eq!(found.proposals.len() + found.kept.len(), 1);
        found.kept.first().map(|kept| kept.reason.clone())
    };
    let nothing = |_: &mut Item| {};
    assert_eq!(judge(&nothing, vec![], &no_last()), None);
    assert_eq!(
        judge(&nothing, vec![], &HygieneRules::default()).as_deref(),
        Some("one of the newest 3 of its group")
    );
    let alias = |name: &'static str| move |item: &mut Item| item.aliases = BTreeSet::from([name.to_owned()]);
    let reason = judge(&alias("champion"), vec![], &no_last());
    assert_eq!(reason.as_deref(), Some("the alias champion points to it"));
    assert_eq!(judge(&alias("experiment"), vec![], &no_last()), None);
    let mut every = no_last();
    every.aliases.clear();
    assert!(judge(&alias("experiment"), vec![], &every).is_some());
    let reason = judge(&nothing, vec![approval(gate, now() + TimeDelta::days(1))], &no_last());
    assert_eq!(reason.as_deref(), Some("an approval about it is in force until 2026-03-02"));
    assert_eq!(judge(&nothing, vec![approval(gate, now())], &no_last()), None, "expired");
    assert_eq!(
        judge(&nothing, vec![approval(Digest::of(b"x"), now() + TimeDelta::days(1))], &no_last()),
        None
    );
    let hold = |item: &mut Item| item.hold = Some("audit of 2025".to_owned());
    assert_eq!(judge(&hold, vec![], &no_last()).as_deref(), Some("on hold: audit of 2025"));
}

#[test]
fn an_idle_deployment_is_offered_but_not_what_it_serves() {
    let (data, run) = (id(ItemKind::Data, "rows", 1), id(ItemKind::Run, "e", "r"));
    let (model, blue) = (id(ItemKind::Model, "churn", 1), id(ItemKind::Deployment, "churn", "blue"));
    let mut deployment = Item::new(blue.clone(), ago(30));
    deployment.traffic = Some(0);
    let old = |id: &ItemId| Item::new(id.clone(), ago(400));
    let edges =
        vec![(data.clone(), run.clone()), (run.clone(), model.clone()), (model.clone(), blue.clone())];
    let mut items = vec![old(&data), old(&run), old(&model), deployment.clone()];
    let found = sweep(&Inventory::new(items.clone(), edges.clone()), &no_last(), now()).unwrap();
    assert_eq!(offered(&found), [&blue]);
    assert_eq!(found.kept.len(), 3);
    // Its traffic is not known: it is not idle.
    items[3].traffic = None;
    let found = sweep(&Inventory::new(items.clone(), edges.clone()), &no_last(), now()).unwrap();
    assert!(found.proposals.is_empty());
    // A rollout waits for it.
    deployment.digests = BTreeSet::from([Digest::of(b"plan")]);
    items[3] = deployment;
    let waiting = Inventory::new(items.clone(), edges.clone())
        .with_approvals([approval(Digest::of(b"plan"), now() + TimeDelta::days(1))]);
    assert!(sweep(&waiting, &no_last(), now()).unwrap().proposals.is_empty());
    // Lineage knows a deployment that was not listed: what it serves stays.
    let found = sweep(&Inventory::new(items[..3].to_vec(), edges.clone()), &no_last(), now()).unwrap();
    assert!(found.proposals.is_empty());
    // Once it is gone from both, everything goes, uses before origins.
    let found = sweep(&Inventory::new(items[..3].to_vec(), edges[..2].to_vec()), &no_last(), now()).unwrap();
    assert_eq!(offered(&found), [&model, &run, &data]);
}

#[test]
fn nothing_is_offered_while_something_could_not_be_read() {
    let item = Item::new(id(ItemKind::Model, "churn", 1), ago(400));
    let inventory = Inventory::new(vec![item.clone()], vec![]).with_gap("deployments of churn: timeout");
    let found = sweep(&inventory, &no_last(), now()).unwrap();
    assert!(found.proposals.is_empty());
    assert_eq!(found.gaps, ["deployments of churn: timeout"]);
    let twice = Inventory::new(vec![item.clone(), item], vec![]);
    assert_eq!(sweep(&twice, &no_last(), now()).unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[test]
fn the_newest_of_each_group_stay() {
    let items: Vec<Item> = (1..=5)
        .flat_map(|i| ["a", "b"].map(|group| Item::new(id(ItemKind::Model, group, i), ago(400 - i))))
        .collect();
    let mut rules = HygieneRules::default();
    rules.keep_last = 2;
    let found = sweep(&Inventory::new(items, vec![]), &rules, now()).unwrap();
    let names: BTreeSet<&str> = found.proposals.iter().map(|p| p.item.name.as_str()).collect();
    assert_eq!((found.proposals.len(), names), (6, BTreeSet::from(["1", "2", "3"])));
}

/// A random inventory: items of every kind, edges anywhere (cycles and unknown ends too), aliases, holds, approvals.
#[derive(Debug, Clone)]
struct Drawn {
    inventory: Inventory,
    roots: Vec<usize>,
}

/// Of each item its kind, age and mark; of each edge its ends.
type Draw = (Vec<(u8, i64, u8)>, Vec<(usize, usize)>);

fn drawn() -> impl Strategy<Value = Draw> {
    (2_usize..30).prop_flat_map(|n| {
        let items = prop::collection::vec((0_u8..4, 0_i64..800, 0_u8..12), n);
        let edges = prop::collection::vec((0..n + 2, 0..n + 2), 0..3 * n);
        (items, edges)
    })
}

fn build(items: &[(u8, i64, u8)], edges: &[(usize, usize)]) -> Drawn {
    let kinds = [ItemKind::Data, ItemKind::Run, ItemKind::Model, ItemKind::Deployment];
    // The two beyond the items are known to lineage only.
    let name = |i: usize| {
        let kind = items.get(i).map_or(ItemKind::Model, |(kind, ..)| kinds[usize::from(*kind)]);
        id(kind, ["a", "b"][i % 2], i)
    };
    let (mut list, mut roots, mut approvals) = (Vec::new(), Vec::new(), Vec::new());
    for (i, (_, days, mark)) in items.iter().enumerate() {
        let mut item = Item::new(name(i), ago(*days));
        item.traffic = (item.id.kind == ItemKind::Deployment).then_some(mark % 2);
        let digest = Digest::of(i.to_string().as_bytes());
        item.digests.insert(digest);
        match mark {
            0 => {
                item.aliases.insert("champion".to_owned());
            }
            1 => {
                item.aliases.insert("other".to_owned());
            }
            2 => item.hold = Some("hold".to_owned()),
            3 => approvals.push(approval(digest, now() + TimeDelta::days(1))),
            4 => approvals.push(approval(digest, now())),
            _ => {}
        }
        if matches!(mark, 0 | 2 | 3) || item.id.kind == ItemKind::Deployment {
            roots.push(i);
        }
        list.push(item);
    }
    let edges = edges.iter().map(|(from, to)| (name(*from), name(*to))).collect();
    Drawn { inventory: Inventory::new(list, edges).with_approvals(approvals), roots }
}

/// Reachability the slow way: Warshall's closure of a matrix.
fn reaches(n: usize, edges: &[(usize, usize)]) -> Vec<Vec<bool>> {
    let mut reach = vec![vec![false; n]; n];
    (0..n).for_each(|i| reach[i][i] = true);
    edges.iter().for_each(|(from, to)| reach[*from][*to] = true);
    for k in 0..n {
        for i in 0..n {
            for j in 0..n {
                reach[i][j] |= reach[i][k] && reach[k][j];
            }
        }
    }
    reach
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn nothing_that_a_root_is_made_from_is_ever_offered((items, edges) in drawn()) {
        let Drawn { inventory, roots } = build(&items, &edges);
        let found = sweep(&inventory, &no_last(), now()).unwrap();
        let reach = reaches(items.len() + 2, &edges);
        let offered: BTreeSet<&ItemId> = offered(&found).into_iter().collect();
        let rules = no_last();
        for (i, item) in inventory.items.iter().enumerate() {
            let deployment = item.id.kind == ItemKind::Deployment;
            let (is_root, mark) = (roots.contains(&i), items[i].2);
            let reached = if deployment {
                // A deployment is not kept by being one, nor by another that is made from it.
                matches!(mark, 0 | 2 | 3)
            } else {
                is_root || roots.iter().any(|root| reach[i][*root])
            };
            let limit = match item.id.kind {
                ItemKind::Model => rules.model_age,
                ItemKind::Data => rules.data_age,
                ItemKind::Run => rules.run_age,
                _ => rules.deployment_age,
            };
            let days = u64::try_from(items[i].1).unwrap();
            let old = Duration::from_secs(days * 86_400) > limit && (!deployment || item.traffic == Some(0));
            // Exactly what is old and reached by nothing: no more, and no less.
            prop_assert_eq!(offered.contains(&item.id), old && !reached, "{}", item.id);
        }
        // An origin never comes before its use.
        let kinds: Vec<ItemKind> = found.proposals.iter().map(|p| p.item.kind).collect();
        prop_assert!(kinds.windows(2).all(|pair| pair[0] >= pair[1]));
    }

    #[test]
    fn more_that_is_needed_never_offers_more((items, edges) in drawn(), extra in (0_usize..30, 0_usize..30)) {
        let before = sweep(&build(&items, &edges).inventory, &no_last(), now()).unwrap();
        let mut more = edges.clone();
        more.push((extra.0 % items.len(), extra.1 % items.len()));
        let after = sweep(&build(&items, &more).inventory, &no_last(), now()).unwrap();
        let before: BTreeSet<&ItemId> = offered(&before).into_iter().collect();
        prop_assert!(offered(&after).into_iter().all(|item| before.contains(item)));
    }
}

fn tags() -> BTreeMap<String, String> {
    BTreeMap::from([("Owner".to_owned(), "ann".to_owned()), ("cost-center".to_owned(), "42".to_owned())])
}

fn cluster() -> ClusterCost {
    ClusterCost::new("cpu", 0, Duration::from_secs(1800), false)
        .with_urgency(Urgency::Interruptible)
        .with_hourly(0.5)
        .with_tags(tags())
}

fn instance() -> InstanceCost {
    InstanceCost::new("ci")
        .with_idle_shutdown(Duration::from_secs(3600))
        .with_scheduled_stop(true)
        .with_hourly(0.25)
        .with_tags(tags())
}

fn deployment() -> DeploymentCost {
    DeploymentCost::new("churn/blue", 2, 100, ago(30))
        .with_peak_rate(80.0)
        .with_instance_rate(100.0)
        .with_hourly(1.0)
        .with_tags(tags())
}

fn clean() -> CostInventory {
    let mut inventory = CostInventory::default();
    inventory.clusters.push(cluster());
    inventory.instances.push(instance());
    inventory.deployments.push(deployment());
    inventory.scopes.insert("rg-churn".to_owned(), true);
    inventory.storage_price = Some(0.02);
    inventory
}

fn swept(kind: ItemKind) -> Sweep {
    let mut item = Item::new(id(kind, "g", 1), ago(1000));
    item.bytes = Some(10 << 30);
    sweep(&Inventory::new(vec![item], vec![]), &no_last(), now()).unwrap()
}

fn findings(inventory: &CostInventory, swept: &Sweep) -> Vec<CostFinding> {
    cost_findings(inventory, swept, &CostRules::default(), now()).unwrap()
}

#[test]
fn each_of_the_twelve_rules_is_broken_by_the_smallest_change_alone() {
    type Change = fn(&mut CostInventory, &mut Sweep);
    let cases: [(CostRule, Option<f64>, Change); 12] = [
        (CostRule::MinNodes, Some(365.25), |i, _| i.clusters[0].min_nodes = 1),
        (CostRule::SlowScaleDown, None, |i, _| {
            i.clusters[0].idle_before_scale_down = Duration::from_secs(1801);
        }),
        (CostRule::DedicatedPriority, None, |i, _| i.clusters[0].dedicated = true),
        (CostRule::NoIdleShutdown, None, |i, _| i.instances[0].idle_shutdown = None),
        (CostRule::NoSchedule, None, |i, _| i.instances[0].scheduled_stop = false),
        (CostRule::OverProvisioned, Some(730.5), |i, _| i.deployments[0].min_instances = 3),
        (CostRule::NoTraffic, Some(1461.0), |i, _| i.deployments[0].traffic = 0),
        (CostRule::UnusedModels, Some(0.2), |_, s| *s = swept(ItemKind::Model)),
        (CostRule::StaleData, Some(0.2), |_, s| *s = swept(ItemKind::Data)),
        (CostRule::OldRunLogs, Some(0.2), |_, s| *s = swept(ItemKind::Run)),
        (CostRule::MissingTags, None, |i, _| drop(i.clusters[0].tags.remove("Owner"))),
        (CostRule::NoBudget, None, |i, _| {
            i.scopes.insert("rg-churn".to_owned(), false);
        }),
    ];
    assert!(findings(&clean(), &Sweep::default()).is_empty());
    let covered: BTreeSet<CostRule> = cases.iter().map(|(rule, ..)| *rule).collect();
    assert_eq!(covered, BTreeSet::from(CostRule::ALL));
    for (rule, monthly, change) in cases {
        let (mut inventory, mut swept) = (clean(), Sweep::default());
        change(&mut inventory, &mut swept);
        let found = findings(&inventory, &swept);
        assert_eq!(found.len(), 1, "{rule:?}: {found:?}");
        assert_eq!((found[0].rule, found[0].monthly), (rule, monthly));
    }
}

#[test]
fn what_is_not_known_is_not_guessed_and_what_is_wrong_is_named() {
    let mut inventory = clean();
    inventory.deployments[0].min_instances = 50;
    inventory.deployments[0].peak_rate = None;
    assert!(findings(&inventory, &Sweep::default()).is_empty(), "no peak is known");
    inventory.deployments[0].peak_rate = Some(1e300);
    assert!(findings(&inventory, &Sweep::default()).is_empty());
    let mut unknown = swept(ItemKind::Model);
    unknown.proposals[0].bytes = None;
    assert_eq!(findings(&clean(), &unknown)[0].monthly, None);
    type Change = fn(&mut CostInventory);
    let bad: [(&str, Change); 5] = [
        ("hourly", |i| i.clusters[0].hourly = Some(f64::NAN)),
        ("hourly", |i| i.instances[0].hourly = Some(-1.0)),
        ("peak_rate", |i| i.deployments[0].peak_rate = Some(f64::INFINITY)),
        ("traffic", |i| i.deployments[0].traffic = 101),
        ("storage_price", |i| i.storage_price = Some(-0.1)),
    ];
    for (field, change) in bad {
        let mut inventory = clean();
        change(&mut inventory);
        let error = cost_findings(&inventory, &Sweep::default(), &CostRules::default(), now()).unwrap_err();
        assert_eq!(error.context("field"), Some(field), "{error}");
    }
}

fn day(text: &str) -> NaiveDate {
    text.parse().unwrap()
}

fn days(from: &str, amounts: &[f64]) -> Vec<DailyCost> {
    day(from).iter_days().zip(amounts).map(|(day, amount)| DailyCost::new(day, *amount)).collect()
}

#[test]
fn the_run_rate_forgives_one_expensive_day_and_knows_week_ends() {
    // Monday to Friday 100, Saturday and Sunday 0: a median of days would say 100.
    let week = [100.0, 100.0, 100.0, 100.0, 100.0, 0.0, 0.0];
    let mut amounts: Vec<f64> = week.iter().copied().cycle().take(28).collect();
    let of = |amounts: &[f64]| match forecast(&days("2026-02-02", amounts), 0.0, 7).unwrap() {
        Forecast::Estimate { amount, low, high, .. } => (amount, low, high),
        other => panic!("{other:?}"),
    };
    let (amount, low, high) = of(&amounts);
    assert!((amount - 500.0).abs() < 1e-9, "{amount}");
    assert!((high - low).abs() < 1e-9, "weeks that are alike leave no doubt: {low} {high}");
    amounts[10] = 100_000.0;
    assert!((of(&amounts).0 - 500.0).abs() < 1e-9);
}

#[test]
fn the_interval_holds_about_as_often_as_it_says() {
    // Noise around a weekly pattern; the days to come are forecast from those behind, also when one of these was expensive.
    for (known, ahead, spike) in [(28, 10, 0.0), (28, 3, 2000.0), (42, 25, 0.0), (56, 14, 2000.0)] {
        let (mut covered, trials) = (0, 1000_u32);
        for trial in 0..trials {
            let random = Random::new(7).stream(&format!("month {trial}"));
            let noise = |i: u64| {
                // The sum of twelve uniform numbers, less six, is close to normal with variance 1.
                let mut day = random.nth(i);
                (0..12).map(|_| day.next_f64()).sum::<f64>() - 6.0
            };
            let cost = |i: u64| 100.0 + if i % 7 < 5 { 50.0 } else { 0.0 } + 10.0 * noise(i);
            let mut amounts: Vec<f64> = (0..known + ahead).map(cost).collect();
            let truth: f64 = amounts.split_off(known as usize).iter().sum();
            amounts[trial as usize % known as usize] += spike;
            let found = forecast(&days("2026-01-01", &amounts), 0.0, ahead as u32).unwrap();
            let Forecast::Estimate { low, high, .. } = found else { panic!("{found:?}") };
            covered += u32::from((low..=high).contains(&truth));
        }
        let share = f64::from(covered) / f64::from(trials);
        assert!((0.86..=0.94).contains(&share), "{known} days, {ahead} ahead, {spike}: {share}");
    }
}

#[test]
fn an_incomplete_week_costs_what_its_weekdays_cost() {
    // Four weeks from a Monday on, without noise; what follows are a Monday and a Tuesday, and then whole weeks.
    let week = [100.0, 90.0, 80.0, 70.0, 60.0, 5.0, 0.0];
    let amounts: Vec<f64> = week.iter().copied().cycle().take(28).collect();
    for (ahead, expected) in [(0, 0.0), (1, 100.0), (2, 190.0), (6, 405.0), (7, 405.0), (9, 595.0)] {
        let found = forecast(&days("2026-02-02", &amounts), 11.0, ahead).unwrap();
        let Forecast::Estimate { amount, .. } = found else { panic!("{found:?}") };
        assert!((amount - 11.0 - expected).abs() < 1e-9, "{ahead}: {amount}");
    }
}

#[test]
fn a_forecast_refuses_what_it_cannot_be_made_from() {
    let flat = vec![1.0; 40];
    for n in 0..MIN_DAYS {
        let short = forecast(&days("2026-01-01", &flat[..n]), 0.0, 5).unwrap();
        assert_eq!(short, Forecast::Insufficient { days: n, needed: MIN_DAYS });
    }
    for bad in [f64::NAN, f64::INFINITY, -1.0] {
        let mut amounts = flat.clone();
        amounts[3] = bad;
        let error = forecast(&days("2026-01-01", &amounts), 0.0, 5).unwrap_err();
        assert_eq!(error.context("index"), Some("3"), "{error}");
        assert!(forecast(&days("2026-01-01", &flat), bad, 5).is_err());
    }
    let mut gap = days("2026-01-01", &flat);
    gap.remove(5);
    assert_eq!(forecast(&gap, 0.0, 5).unwrap_err().context("index"), Some("5"));
    assert!(forecast(&days("2026-01-01", &[f64::MAX; 30]), 0.0, u32::MAX).is_err());
}

fn budget(grain: TimeGrain, thresholds: &[(f64, ThresholdBasis)]) -> Budget {
    let thresholds = thresholds.iter().map(|(percent, basis)| Threshold::new(*percent).with_basis(*basis));
    Budget::new("b", 300.0, grain, day("2025-12-01"), thresholds.collect()).unwrap()
}

#[test]
fn periods_follow_the_grain_from_the_start() {
    let of = |grain, text| budget(grain, &[(100.0, ThresholdBasis::Actual)]).period(day(text));
    let period = |from, until| Some((day(from), day(until)));
    assert_eq!(of(TimeGrain::Monthly, "2026-02-28"), period("2026-02-01", "2026-03-01"));
    assert_eq!(of(TimeGrain::Quarterly, "2026-02-28"), period("2025-12-01", "2026-03-01"));
    assert_eq!(of(TimeGrain::Quarterly, "2026-03-01"), period("2026-03-01", "2026-06-01"));
    assert_eq!(of(TimeGrain::Annually, "2026-11-30"), period("2025-12-01", "2026-12-01"));
    assert_eq!(of(TimeGrain::Monthly, "2025-11-30"), None);
}

#[test]
fn thresholds_are_reached_by_what_is_spent_and_by_what_will_be() {
    use ThresholdBasis::{Actual, Forecast as Ahead};
    let all = [(50.0, Actual), (50.1, Actual), (100.0, Ahead), (104.0, Ahead)];
    // 1 February to 15 March at 10 a day: 150 are spent in March, 16 days remain.
    let costs = days("2026-02-01", &[10.0; 43]);
    let status = budget(TimeGrain::Monthly, &all).status(&costs).unwrap();
    let crossed: Vec<f64> = status.crossed.iter().map(|c| c.threshold.percent).collect();
    assert_eq!((status.actual, crossed), (150.0, vec![50.0, 100.0]));
    // With twelve days nobody knows, unless it is spent already.
    let status = budget(TimeGrain::Monthly, &[(100.0, Ahead), (10.0, Ahead)])
        .status(&days("2026-03-01", &[10.0; 12]))
        .unwrap();
    assert_eq!((status.crossed.len(), status.undecided.len()), (1, 1));
    assert!(matches!(status.forecast, Forecast::Insufficient { days: 12, .. }));
}

#[test]
fn a_budget_that_cannot_be_right_is_refused() {
    let at = |amount, start: &str, percents: &[f64]| {
        let thresholds = percents.iter().map(|p| Threshold::new(*p).with_basis(ThresholdBasis::Actual));
        Budget::new("b", amount, TimeGrain::Monthly, day(start), thresholds.collect())
    };
    assert!(at(1.0, "2026-01-01", &[0.0, 1000.0]).is_ok());
    for (amount, start, percents) in [
        (0.0, "2026-01-01", vec![1.0]),
        (f64::NAN, "2026-01-01", vec![1.0]),
        (1.0, "2026-01-31", vec![1.0]),
        (1.0, "2026-01-01", vec![]),
        (1.0, "2026-01-01", vec![1000.1]),
        (1.0, "2026-01-01", vec![f64::NAN]),
        (1.0, "2026-01-01", vec![-1.0]),
    ] {
        assert_eq!(at(amount, start, &percents).unwrap_err().kind(), ErrorKind::InvalidInput);
    }
    let text = r#"{"name":"b","amount":-1,"start":"2026-01-01","thresholds":[{"percent":80}]}"#;
    assert!(serde_json::from_str::<Budget>(text).is_err());
    let good = serde_json::from_str::<Budget>(&text.replace("-1,", "1,")).unwrap();
    assert_eq!(serde_json::from_str::<Budget>(&serde_json::to_string(&good).unwrap()).unwrap(), good);
    let costs = days("2026-03-05", &[1.0; 20]);
    assert!(good.status(&costs).is_err(), "the first days of March are not known");
    assert!(good.status(&[]).is_err());
}

/// A guard before a budget with a threshold on what is spent, and one on what is spent and promised.
fn guarded(amount: f64, spent: f64) -> BudgetGuard {
    let thresholds = [(50.0, ThresholdBasis::Actual), (90.0, ThresholdBasis::Forecast)];
    let thresholds = thresholds.map(|(percent, basis)| Threshold::new(percent).with_basis(basis)).to_vec();
    let budget = Budget::new("b", amount, TimeGrain::Monthly, day("2026-01-01"), thresholds).unwrap();
    BudgetGuard::new(&budget, spent).unwrap()
}

#[test]
fn of_many_threads_no_more_begin_than_the_budget_holds() {
    let guard = guarded(10.0, 0.0);
    let tickets: Vec<Option<Ticket>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| (0..100).map(|_| guard.admit(1.0).ok()).collect::<Vec<_>>()))
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(tickets.iter().flatten().count(), 10);
    drop(tickets);
    assert_eq!((guard.spent(), guard.promised(), guard.remaining()), (10.0, 0.0, 0.0));
    assert!(guard.admit(0.0).is_err(), "nothing is left, and nothing begins");
}

#[test]
fn what_is_said_counts_and_what_was_expected_where_nothing_is() {
    let guard = guarded(100.0, 0.0);
    let (said, silent, over) =
        (guard.admit(20.0).unwrap(), guard.admit(30.0).unwrap(), guard.admit(5.0).unwrap());
    said.spend(4.0);
    said.spend(f64::NAN);
    said.spend(-1.0);
    over.spend(15.0);
    assert_eq!((guard.spent(), guard.promised()), (19.0, 46.0));
    drop((said, silent, over));
    assert_eq!((guard.spent(), guard.promised()), (49.0, 0.0));
}

#[test]
fn each_threshold_is_told_once_and_what_was_crossed_before_is_not() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let log = told.clone();
    let first = guarded(100.0, 10.0).with_warning(move |crossed| log.lock().unwrap().push(crossed.amount));
    let ticket = first.admit(80.0).unwrap();
    assert_eq!(*told.lock().unwrap(), [90.0], "spent and promised");
    ticket.spend(40.0);
    ticket.spend(1.0);
    drop(ticket);
    assert_eq!(*told.lock().unwrap(), [90.0, 50.0]);
    assert_eq!(first.crossed().len(), 2);
    let late = guarded(100.0, 60.0).with_warning(|_| panic!("said already"));
    drop(late.admit(1.0).unwrap());
}

#[test]
fn what_cannot_be_counted_is_not_spent() {
    let guard = guarded(100.0, 0.0);
    for cost in [f64::NAN, f64::INFINITY, -1.0, 100.5] {
        assert!(guard.admit(cost).is_err() && guard.check(cost).is_err(), "{cost}");
    }
    assert!(guard.check(100.0).is_ok());
    let budget = budget(TimeGrain::Monthly, &[(100.0, ThresholdBasis::Actual)]);
    for spent in [f64::NAN, -1.0, f64::INFINITY] {
        assert_eq!(BudgetGuard::new(&budget, spent).unwrap_err().kind(), ErrorKind::InvalidInput);
    }
}
