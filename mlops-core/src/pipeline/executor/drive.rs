//! Which step is next: the ready set, its limits, and what a failure or a cancellation stops.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures_util::future::{BoxFuture, Either, FutureExt as _, select};
use futures_util::stream::{FuturesUnordered, StreamExt as _};

use super::PipelineExecutor;
use super::book::Book;
use crate::error::Result;
use crate::governance::BudgetStop;
use crate::id::{PortName, StepName};
use crate::pipeline::{
    Cancel, Pipeline, PipelineEvent, PipelineState, RunPlan, RunWhen, SkipReason, Source, StepSpec, StepState,
};

/// What came back.
pub(super) enum Landed {
    /// The step has ended.
    Ended,
    /// It failed, and is tried again after this wait.
    Again(Duration),
    /// The wait is over.
    Woken,
    /// A budget did not let it begin.
    Refused(BudgetStop),
}

type Flights<'a> = FuturesUnordered<BoxFuture<'a, (usize, Result<Landed>)>>;

/// One run at work. Steps are known by their number in the specification, and ordered by their place in the running order.
pub(super) struct Drive<'a> {
    pub(super) executor: &'a PipelineExecutor,
    pub(super) pipeline: &'a Pipeline,
    pub(super) plan: &'a RunPlan,
    pub(super) book: Arc<Book>,
    pub(super) forced: BTreeSet<StepName>,
    cancel: &'a Cancel,
    places: Vec<usize>,
}

/// What is queued and what is at work.
struct Board {
    /// Places of steps that have just become ready.
    ready: BTreeSet<usize>,
    /// Places of all steps that were ready at some time: each is woken once, by whichever of those before it ended last.
    seen: BTreeSet<usize>,
    /// Places of steps that will run as soon as they may.
    queue: BTreeSet<usize>,
    /// What stops the steps that were begun, by number.
    stops: HashMap<usize, Cancel>,
    /// How many are at work.
    busy: usize,
    /// How many of them occupy which class of resource.
    occupied: BTreeMap<PortName, usize>,
    /// Why nothing new begins: the run was cancelled, or a step failed.
    halt: Option<Halt>,
}

#[derive(Clone)]
enum Halt {
    Cancelled,
    Failed(StepName),
    Refused(BudgetStop),
}

impl Halt {
    fn reason(&self) -> String {
        match self {
            Self::Cancelled => "the run was cancelled".to_owned(),
            Self::Failed(step) => format!("step `{step}` failed"),
            Self::Refused(stop) => stop.to_string(),
        }
    }

    /// Whether a step that runs at these times is stopped too. What is there for failures is not stopped by one.
    fn stops(&self, when: RunWhen) -> bool {
        matches!(self, Self::Cancelled | Self::Refused(_)) || when == RunWhen::OnSuccess
    }
}

enum Decision {
    Run,
    Skip(SkipReason),
}

impl<'a> Drive<'a> {
    pub(super) fn new(
        executor: &'a PipelineExecutor,
        pipeline: &'a Pipeline,
        plan: &'a RunPlan,
        book: Arc<Book>,
        forced: BTreeSet<StepName>,
        cancel: &'a Cancel,
    ) -> Self {
        let mut places = vec![0; pipeline.numbers().len()];
        for (place, number) in pipeline.numbers().iter().enumerate() {
            places[*number] = place;
        }
        Self { executor, pipeline, plan, book, forced, cancel, places }
    }

    /// Runs what there is to run, and writes down the end.
    pub(super) async fn finish(&self) -> Result<()> {
        let this = self;
        let mut board = this.board().await;
        let (mut flights, mut landed) = (Flights::new(), VecDeque::new());
        loop {
            this.watch_cancel(&mut board);
            beside(this.settle(&mut board), &mut flights, &mut landed).await?;
            this.begin(&mut board, &mut flights);
            if flights.is_empty() && landed.is_empty() && board.queue.is_empty() {
                break;
            }
            if landed.is_empty() {
                landed.extend(this.next(&board, &mut flights).await);
            }
            let Some((number, answer)) = landed.pop_front() else { continue };
            if let Some(wait) =
                beside(this.land(number, answer?, &mut board), &mut flights, &mut landed).await
            {
                let stop = board.stops.entry(number).or_default().clone();
                flights.push(async move { (number, Ok(this.wait(wait, stop).await)) }.boxed());
            }
        }
        let cancelled = matches!(board.halt, Some(Halt::Cancelled | Halt::Refused(_)));
        let status = this.book.look(|state| state.outcome(cancelled)).await;
        this.book.record(PipelineEvent::Ended { status }).await
    }

    /// What comes back next; nothing, when the run is cancelled first.
    async fn next(&self, board: &Board, flights: &mut Flights<'_>) -> Option<(usize, Result<Landed>)> {
        match &board.halt {
            Some(Halt::Cancelled) => flights.next().await,
            _ => match select(flights.next(), Box::pin(self.cancel.cancelled())).await {
                Either::Left((landed, _)) => landed,
                Either::Right(_) => None,
            },
        }
    }

    /// Where the run stands: at its beginning, or where it was cut off.
    async fn board(&self) -> Board {
        let (ready, failed) = self
            .book
            .look(|state| {
                let is = |number: &usize, wanted: fn(&StepState) -> bool| {
                    state.step(&self.pipeline.step_at(*number).id).is_some_and(|step| wanted(&step.state))
                };
                let numbers = self.pipeline.numbers();
                let ready = numbers.iter().filter(|number| is(number, |state| *state == StepState::Ready));
                let failed = numbers
                    .iter()
                    .find(|number| is(number, |state| matches!(state, StepState::Failed { .. })));
                (ready.map(|number| self.places[*number]).collect::<BTreeSet<_>>(), failed.copied())
            })
            .await;
        let go_on = self.pipeline.spec().continue_on_step_failure;
        let halt =
            failed.filter(|_| !go_on).map(|number| Halt::Failed(self.pipeline.step_at(number).id.clone()));
        Board {
            seen: ready.clone(),
            ready,
            queue: BTreeSet::new(),
            stops: HashMap::new(),
            busy: 0,
            occupied: BTreeMap::new(),
            halt,
        }
    }

    fn number(&self, place: usize) -> usize {
        self.pipeline.numbers().get(place).copied().unwrap_or_default()
    }

    fn watch_cancel(&self, board: &mut Board) {
        if self.cancel.is_cancelled() && !matches!(board.halt, Some(Halt::Cancelled)) {
            self.halt(Halt::Cancelled, board);
        }
    }

    /// Stops what is at work, and lets what is queued be looked at again.
    fn halt(&self, halt: Halt, board: &mut Board) {
        for (number, stop) in &board.stops {
            // What was let begin may come to its end.
            if matches!(halt, Halt::Refused(_)) {
                break;
            }
            if halt.stops(self.pipeline.step_at(*number).when) {
                stop.cancel();
            }
        }
        board.halt = Some(halt);
        let queued = std::mem::take(&mut board.queue);
        board.ready.extend(queued);
    }

    /// Decides about every step that is ready: it is queued, or ends here, which may make others ready.
    async fn settle(&self, board: &mut Board) -> Result<()> {
        while let Some(place) = board.ready.pop_first() {
            let number = self.number(place);
            let step = self.pipeline.step_at(number);
            let name = step.id.clone();
            let event = match &board.halt {
                Some(halt) if halt.stops(step.when) => {
                    match self.book.look(|state| self.decide(number, step, state)).await {
                        // That a step before it failed says more than that everything stops.
                        Decision::Skip(reason) => PipelineEvent::Skipped { step: name, reason },
                        Decision::Run => PipelineEvent::Cancelled { step: name, reason: halt.reason() },
                    }
                }
                _ => match self.book.look(|state| self.decide(number, step, state)).await {
                    Decision::Skip(reason) => PipelineEvent::Skipped { step: name, reason },
                    Decision::Run => {
                        board.queue.insert(place);
                        continue;
                    }
                },
            };
            self.book.record(event).await?;
            self.wake_those_behind(number, board).await;
        }
        Ok(())
    }

    async fn wake_those_behind(&self, number: usize, board: &mut Board) {
        let behind = self.pipeline.behind_at(number);
        let ready = self
            .book
            .look(|state| {
                let is_ready = |number: &&usize| {
                    let step = state.step(&self.pipeline.step_at(**number).id);
                    step.is_some_and(|step| step.state == StepState::Ready)
                };
                behind.iter().filter(is_ready).map(|number| self.places[*number]).collect::<Vec<_>>()
            })
            .await;
        board.ready.extend(ready.into_iter().filter(|place| board.seen.insert(*place)));
    }

    /// Whether a step whose forerunners have all ended runs.
    fn decide(&self, number: usize, step: &StepSpec, state: &PipelineState) -> Decision {
        if let Some(condition) = &step.run_if {
            let wanted = self.pipeline.spec().parameters.get(&condition.parameter);
            let equals = wanted.and_then(|spec| spec.accept(&condition.equals).ok());
            if self.plan.arguments.get(&condition.parameter) != equals.as_ref() {
                return Decision::Skip(SkipReason::Condition);
            }
        }
        let (mut failed, mut skipped) = (None, None);
        for before in self.pipeline.before_at(number) {
            let before = &self.pipeline.step_at(*before).id;
            match state.step(before).map(|step| &step.state) {
                Some(StepState::Failed { .. }) => failed = failed.or(Some(before)),
                // What failed before it, failed.
                Some(StepState::Skipped(SkipReason::Failed(first))) => failed = failed.or(Some(first)),
                Some(StepState::Cancelled(_)) => failed = failed.or(Some(before)),
                Some(StepState::Skipped(_)) => skipped = skipped.or(Some(before)),
                _ => {}
            }
        }
        match (step.when, failed) {
            (RunWhen::OnSuccess, Some(first)) => return Decision::Skip(SkipReason::Failed(first.clone())),
            (RunWhen::OnFailure, None) => return Decision::Skip(SkipReason::NothingFailed),
            _ => {}
        }
        match self.lacks(number, step, state) {
            Some(missing) => Decision::Skip(match failed {
                Some(first) => SkipReason::Failed(first.clone()),
                None => SkipReason::Skipped(skipped.unwrap_or(missing).clone()),
            }),
            None => Decision::Run,
        }
    }

    /// The step that did not make an input that must be there.
    fn lacks<'b>(&self, number: usize, step: &'b StepSpec, state: &PipelineState) -> Option<&'b StepName> {
        let component = self.pipeline.component_at(number);
        step.inputs.iter().find_map(|(port, source)| {
            let Source::Output { step: from, port: output } = source else { return None };
            let optional = component.inputs.get(port).is_some_and(|input| input.optional);
            let made = state.step(from)?.state.outputs().is_some_and(|outputs| outputs.contains_key(output));
            (!optional && !made).then_some(from)
        })
    }

    /// Begins what is queued, as far as the limits let it.
    fn begin<'b>(&'b self, board: &mut Board, flights: &mut Flights<'b>) {
        let options = &self.executor.options;
        let mut begun = Vec::new();
        for place in &board.queue {
            if board.busy >= options.parallelism {
                break;
            }
            let number = self.number(*place);
            if let Some(class) = &self.pipeline.step_at(number).resource {
                let occupied = board.occupied.entry(class.clone()).or_default();
                if options.limits.get(class).is_some_and(|limit| *occupied >= *limit) {
                    continue;
                }
                *occupied += 1;
            }
            board.busy += 1;
            begun.push(*place);
            let stop = board.stops.entry(number).or_default().clone();
            flights.push(async move { (number, self.work(number, stop).await) }.boxed());
        }
        for place in begun {
            board.queue.remove(&place);
        }
    }

    /// Takes in what came back; how long to wait, where it is to be tried again.
    async fn land(&self, number: usize, landed: Landed, board: &mut Board) -> Option<Duration> {
        if matches!(landed, Landed::Woken) {
            board.ready.insert(self.places[number]);
            return None;
        }
        board.busy -= 1;
        let step = self.pipeline.step_at(number);
        if let Some(occupied) = step.resource.as_ref().and_then(|class| board.occupied.get_mut(class)) {
            *occupied -= 1;
        }
        match landed {
            Landed::Again(wait) => return Some(wait),
            Landed::Refused(stop) => {
                board.stops.remove(&number);
                board.ready.insert(self.places[number]);
                if !matches!(board.halt, Some(Halt::Cancelled)) {
                    self.halt(Halt::Refused(stop), board);
                }
                return None;
            }
            Landed::Ended | Landed::Woken => {}
        }
        board.stops.remove(&number);
        let failed = self
            .book
            .look(|state| state.step(&step.id).is_some_and(|s| matches!(s.state, StepState::Failed { .. })))
            .await;
        if failed && board.halt.is_none() && !self.pipeline.spec().continue_on_step_failure {
            self.halt(Halt::Failed(step.id.clone()), board);
        }
        self.wake_those_behind(number, board).await;
        None
    }

    /// Waits, or until it is stopped.
    async fn wait(&self, wait: Duration, stop: Cancel) -> Landed {
        select(self.executor.backends.pause.pause(wait), Box::pin(stop.cancelled())).await;
        Landed::Woken
    }
}

/// Does something while what is under way goes on. It must: who waits for the journal may wait for one of those that are under
/// way, which nobody else drives.
async fn beside<'a, T>(
    work: impl Future<Output = T>,
    flights: &mut Flights<'a>,
    landed: &mut VecDeque<(usize, Result<Landed>)>,
) -> T {
    let mut work = std::pin::pin!(work);
    poll_fn(|context| {
        loop {
            if let Poll::Ready(answer) = work.as_mut().poll(context) {
                return Poll::Ready(answer);
            }
            match flights.poll_next_unpin(context) {
                // What came back may have let go of what the work waits for.
                Poll::Ready(Some(back)) => landed.push_back(back),
                Poll::Ready(None) | Poll::Pending => return Poll::Pending,
            }
        }
    })
    .await
}
