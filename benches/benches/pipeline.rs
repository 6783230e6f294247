//! What a step costs that need not run, against calling its function. `peers/pipeline.py` puts joblib's cached call beside it.
//!
//! ```sh
//! cargo bench -p mlops-benches --bench pipeline
//! ```
//!
//! A pipeline of 200 steps runs six times; all but the first are all hits. What the fastest costs is divided by the number of steps:
//! the key, the look-up, what is looked at of the outputs, and the entry in the journal, which in a folder survives a kill at once and
//! a power cut with the run's next entry that is no reuse. Lines are a name, a tab and microseconds of the wall clock per step.
#![allow(missing_docs)]

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mlops_core::Result;
use mlops_core::hash::Digest;
use mlops_core::id::{ComponentName, ComponentVersion, PortName, StepName};
use mlops_core::local::LocalStore;
use mlops_core::memory::{MemoryArtifactStore, MemoryPipelineJournal, MemoryStepCache};
use mlops_core::pipeline::{
    Backends, Component, Components, ExecutorOptions, ParamSpec, Pipeline, PipelineExecutor, PipelineSpec,
    PortType, RunOptions, StepSpec, VerifyPolicy,
};
use mlops_core::time::{SystemClock, TokioPause};

const STEPS: i64 = 200;

/// What a step does: digests a thousand bytes.
fn work(number: i64) -> Vec<u8> {
    Digest::of(&number.to_le_bytes().repeat(125)).as_bytes().to_vec()
}

fn pipeline() -> Result<(Pipeline, Components)> {
    let (out, n) = (PortName::new("out")?, PortName::new("n")?);
    let component =
        Component::new(ComponentName::new("work")?, ComponentVersion::new("1")?, Digest::of(b"code"))
            .with_output(out.clone(), PortType::UriFile)
            .with_parameter(n.clone(), ParamSpec::integer(None, None));
    let mut spec = PipelineSpec::new(ComponentName::new("bench")?);
    for number in 0..STEPS {
        let step = StepSpec::new(StepName::new(format!("s{number}"))?, component.reference());
        spec = spec.with_step(step.with_parameter(n.clone(), number));
    }
    let components = Components::new().with_fn(component, |context| async move {
        context.write("out", work(context.integer("n")?)).await?;
        Ok(())
    })?;
    let pipeline = Pipeline::new(spec, &components)?;
    Ok((pipeline, components))
}

/// The time of one step of a run that is all hits; the fastest of five.
async fn cached(backends: Backends, verify: VerifyPolicy) -> Result<(Duration, Duration)> {
    let (pipeline, components) = pipeline()?;
    let executor = PipelineExecutor::new(backends, components)
        .with_options(ExecutorOptions::default().with_verify(verify));
    let began = Instant::now();
    executor.run(&pipeline, &RunOptions::new()).await?;
    let first = began.elapsed();
    let mut fastest = Duration::MAX;
    for _ in 0..5 {
        let began = Instant::now();
        let report = executor.run(&pipeline, &RunOptions::new()).await?;
        fastest = fastest.min(began.elapsed());
        assert_eq!(report.reused(), pipeline.steps().len());
    }
    let steps = u32::try_from(STEPS).unwrap_or(1);
    Ok((first / steps, fastest / steps))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let mut call = Duration::MAX;
    for _ in 0..20 {
        let began = Instant::now();
        for number in 0..STEPS {
            black_box(work(black_box(number)));
        }
        call = call.min(began.elapsed() / u32::try_from(STEPS).unwrap_or(1));
    }
    let line = |name: String, took: Duration| println!("{name}\t{:.3}", took.as_secs_f64() * 1e6);
    line("calling the function".to_owned(), call);
    for verify in [VerifyPolicy::Never, VerifyPolicy::OnRestore, VerifyPolicy::Always] {
        let clock = Arc::new(SystemClock::new());
        let artifacts = Arc::new(MemoryArtifactStore::new(clock.clone()));
        let cache = Arc::new(MemoryStepCache::new(artifacts.clone(), clock.clone()));
        let journal = Arc::new(MemoryPipelineJournal::default());
        let memory = Backends::new(artifacts, cache, journal, clock.clone(), Arc::new(TokioPause));
        let (ran, hit) = cached(memory, verify).await?;
        line(format!("in memory, ran, verified {verify:?}"), ran);
        line(format!("in memory, reused, verified {verify:?}"), hit);
        let dir =
            tempfile::tempdir().map_err(|e| mlops_core::Error::invalid("bench", "dir", e.to_string()))?;
        let store = LocalStore::open(dir.path())?;
        let folder = Backends::new(
            Arc::new(store.artifacts()),
            Arc::new(store.step_cache()),
            Arc::new(store.pipelines()),
            clock,
            Arc::new(TokioPause),
        );
        let (ran, hit) = cached(folder, verify).await?;
        line(format!("in a folder, ran, verified {verify:?}"), ran);
        line(format!("in a folder, reused, verified {verify:?}"), hit);
    }
    Ok(())
}
