//! Measures the tracker.
use mlops_core::experiment::*;
use mlops_core::local::*;
use mlops_core::*;
use std::time::{Duration, Instant};
fn cpu() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(text.split(' ').next().unwrap().parse().unwrap())
}
fn best<T>(n: usize, mut f: impl FnMut() -> T) -> (Duration, Duration) {
    let mut all: Vec<_> = (0..n)
        .map(|_| {
            let t = Instant::now();
            std::hint::black_box(f());
            t.elapsed()
        })
        .collect();
    all.sort();
    (all[0], all[n / 2])
}
fn main() {
    let rt = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let dir = tempfile::tempdir_in(".").unwrap();
    let path = dir.path().join("s");
    println!("open fresh {:?}", best(1, || LocalStore::open(&path).unwrap()));
    let store = LocalStore::open(&path).unwrap();
    let tracker = store.tracker();
    let name = ExperimentName::new("e").unwrap();
    rt.block_on(tracker.ensure_experiment(&ExperimentSpec::new(name.clone()))).unwrap();
    let spec = || RunSpec::new(name.clone(), "r", ActorId::new("a").unwrap());
    let run = rt.block_on(tracker.start_run(&spec())).unwrap().id;
    // logger
    let logger = tracker.logger(&run, LoggerOptions::default()).unwrap();
    let (k, h) = (MetricKey::new("loss").unwrap(), logger.handle(&MetricKey::new("loss").unwrap()));
    for what in ["key", "handle", "handle"] {
        let n = 500_000_i64;
        let (c, t) = (cpu(), Instant::now());
        for i in 0..n {
            if what == "key" { logger.metric(&k, i as f64, i) } else { logger.metric(&h, i as f64, i) }
        }
        let (c, t) = (cpu() - c, t.elapsed());
        let f = Instant::now();
        logger.flush().unwrap();
        println!(
            "logger.metric by {what}: {} ns cpu, {} ns wall; flush after {:?}",
            c.as_nanos() / n as u128,
            t.as_nanos() / n as u128,
            f.elapsed()
        );
    }
    drop(logger);
    // batches
    let run = rt.block_on(tracker.start_run(&spec())).unwrap().id;
    let at = run_at();
    for keys in [1, 10] {
        let ks: Vec<_> = (0..keys).map(|i| MetricKey::new(format!("b{keys}-{i}")).unwrap()).collect();
        let batches: Vec<LogBatch> = (0..500_i64)
            .map(|b| {
                let metrics = (0..1000_i64)
                    .map(|i| {
                        MetricPoint::new(ks[(i % keys) as usize].clone(), (b * i) as f64, at)
                            .with_step(b * 1000 + i)
                    })
                    .collect();
                LogBatch { metrics, ..LogBatch::new() }
            })
            .collect();
        let t = Instant::now();
        for b in &batches {
            rt.block_on(tracker.write(&run, b)).unwrap();
        }
        println!("batches of 1000 over {keys} keys: {:.0} points/s", 500_000.0 / t.elapsed().as_secs_f64());
    }
    let t = Instant::now();
    for i in 0..2000 {
        rt.block_on(tracker.log_metric(&run, k.clone(), 1.0, i, at)).unwrap();
    }
    println!("tracker.log_metric one by one: {:.0}/s", 2000.0 / t.elapsed().as_secs_f64());
    // create
    let t = Instant::now();
    for i in 0..10_000 {
        let run = rt.block_on(tracker.start_run(&spec())).unwrap().id;
        let mut b = LogBatch::new();
        for m in 0..10 {
            b = b.metric(MetricPoint::new(
                MetricKey::new(format!("m{m}")).unwrap(),
                ((i * 7919) % 10_007) as f64,
                at,
            ));
        }
        b = b.param(ParamKey::new("p").unwrap(), i);
        rt.block_on(tracker.write(&run, &b)).unwrap();
        rt.block_on(tracker.finish_run(&run, &RunEnd::FINISHED)).unwrap();
    }
    println!("create+10 metrics+finish: {:.0}/s", 10_000.0 / t.elapsed().as_secs_f64());
    let q = RunQuery::new(name.clone()).with_page(PageRequest::first(100));
    println!(
        "search 100 of 10k: {:?}",
        best(20, || rt.block_on(tracker.search_runs(&q)).unwrap().items.len())
    );
    let q2 = q.clone().with_order(OrderBy::descending(Field::Started));
    println!("by start: {:?}", best(20, || rt.block_on(tracker.search_runs(&q2)).unwrap().items.len()));
    let m = MetricKey::new("m3").unwrap();
    let q3 = q.clone().with_order(OrderBy::descending(Field::Metric(m.clone())));
    println!(
        "order by metric: {:?}",
        best(20, || rt.block_on(tracker.search_runs(&q3)).unwrap().items.len())
    );
    let q4 = q.clone().with_filter(Filter::Metric { key: m, comparison: Comparison::Less, value: 50.0 });
    println!(
        "filter by metric (0.5 %): {:?}",
        best(20, || rt.block_on(tracker.search_runs(&q4)).unwrap().items.len())
    );
    let q5 = RunQuery::everywhere().with_page(PageRequest::first(100));
    println!("everywhere: {:?}", best(20, || rt.block_on(tracker.search_runs(&q5)).unwrap().items.len()));
    println!("run(): {:?}", best(50, || rt.block_on(tracker.run(&run)).unwrap()));
    println!(
        "history page of 10000: {:?}",
        best(10, || rt
            .block_on(tracker.history(&run, &HistoryQuery::new(MetricKey::new("b1-0").unwrap())))
            .unwrap()
            .items
            .len())
    );
    println!("open, others have it open: {:?}", best(20, || LocalStore::open(&path).unwrap()));
    drop(tracker);
    drop(store);
    println!("open alone: {:?}", best(20, || LocalStore::open(&path).unwrap()));
    println!("db {} MB", std::fs::metadata(path.join("mlops.db")).unwrap().len() >> 20);
}
fn run_at() -> time::Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}
