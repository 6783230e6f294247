//! The queue of tasks, as a state that records lead to.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use super::project::{LabelProject, LabelTask, LabelValue, MAX_PRELABELS, Prelabel, check_line};
use crate::error::{Error, ErrorKind, Result};
use crate::id::ActorId;
use crate::time::Timestamp;

const OP: &str = "LabelQueue";

/// What happened to a task.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case", deny_unknown_fields)]
pub enum LabelEvent {
    /// It was put into the queue.
    Added {
        /// The task.
        task: LabelTask,
    },
    /// A model suggested a label.
    Prelabelled {
        /// The task's id.
        task: String,
        /// The suggestion.
        prelabel: Prelabel,
    },
    /// It was handed out.
    Leased {
        /// The task's id.
        task: String,
        /// To whom.
        annotator: ActorId,
        /// Until when.
        until: Timestamp,
    },
    /// It was labelled.
    Submitted {
        /// The task's id.
        task: String,
        /// By whom.
        annotator: ActorId,
        /// The label.
        label: LabelValue,
    },
    /// It was given back without a label.
    Skipped {
        /// The task's id.
        task: String,
        /// By whom.
        annotator: ActorId,
        /// Why.
        reason: String,
    },
    /// Its time ran out.
    Expired {
        /// The task's id.
        task: String,
        /// In whose hands.
        annotator: ActorId,
    },
    /// A disagreement, or what was set aside, was decided.
    Adjudicated {
        /// The task's id.
        task: String,
        /// By whom.
        adjudicator: ActorId,
        /// The label.
        label: LabelValue,
        /// Why.
        reason: String,
    },
}

/// What happened, and when.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LabelRecord {
    /// When.
    pub at: Timestamp,
    /// What.
    pub what: LabelEvent,
}

/// How far a task is.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LabelStatus {
    /// Labels are wanted.
    Open,
    /// Enough annotators gave the same label.
    Agreed,
    /// They did not: an adjudicator has to decide.
    Disputed,
    /// Too many skipped it: an adjudicator has to decide.
    SetAside,
    /// An adjudicator has decided.
    Adjudicated,
}

impl LabelStatus {
    /// The status' name.
    ///
    /// ```
    /// assert_eq!(mlops_core::data::LabelStatus::SetAside.as_str(), "set_aside");
    /// ```
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Agreed => "agreed",
            Self::Disputed => "disputed",
            Self::SetAside => "set_aside",
            Self::Adjudicated => "adjudicated",
        }
    }
}

/// A label that somebody gave.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vote {
    /// Who.
    pub annotator: ActorId,
    /// The label.
    pub label: LabelValue,
    /// Whether a model's suggestion was shown.
    pub assisted: bool,
    /// When.
    pub at: Timestamp,
}

/// A task in somebody's hands.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Assignment {
    /// The task.
    pub task: LabelTask,
    /// Until when a label is taken.
    pub until: Timestamp,
    /// What models suggest, where the project shows it.
    pub prelabels: Vec<Prelabel>,
}

/// How many tasks there are of each status.
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabelProgress {
    /// Tasks by status.
    pub tasks: BTreeMap<LabelStatus, usize>,
    /// Labels given by annotators.
    pub votes: usize,
    /// Tasks in somebody's hands.
    pub leases: usize,
}

#[derive(Clone, Debug, PartialEq)]
struct Lease {
    annotator: ActorId,
    until: Timestamp,
    assisted: bool,
}

/// A task and what has happened to it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct State {
    pub(super) task: LabelTask,
    pub(super) status: LabelStatus,
    pub(super) votes: Vec<Vote>,
    pub(super) prelabels: Vec<Prelabel>,
    pub(super) label: Option<LabelValue>,
    leases: Vec<Lease>,
    skips: Vec<ActorId>,
}

impl State {
    fn new(task: LabelTask) -> Self {
        Self {
            task,
            status: LabelStatus::Open,
            votes: Vec::new(),
            prelabels: Vec::new(),
            label: None,
            leases: Vec::new(),
            skips: Vec::new(),
        }
    }

    /// Whether this annotator can never get it (again).
    fn closed_to(&self, annotator: &ActorId) -> bool {
        self.status != LabelStatus::Open
            || self.skips.contains(annotator)
            || self.votes.iter().any(|vote| vote.annotator == *annotator)
    }

    fn has_place(&self, overlap: usize) -> bool {
        self.status == LabelStatus::Open && self.votes.len() + self.leases.len() < overlap
    }
}

/// Tasks, who has which, and what they said.
///
/// Every call that changes something takes the time, checks whether it may, and leaves a [`LabelRecord`]; a call that fails
/// changes nothing. As JSON the queue is its project and its records, which are replayed and checked when read. Write the
/// new records to a journal before you act on what a call returns, and [`LabelQueue::replay`] brings the queue back.
///
/// | from | by | to |
/// |---|---|---|
/// | open | as many labels as the overlap, and consensus | agreed |
/// | open | as many labels as the overlap, and none | disputed |
/// | open | too many skips | set aside |
/// | disputed, set aside | an adjudicator who did not label it | adjudicated |
///
/// ```
/// use mlops_core::data::{LabelProject, LabelQueue, LabelScheme, LabelStatus, LabelTask};
/// use mlops_core::{ActorId, AssetName};
///
/// let now = "2026-03-02T09:00:00Z".parse()?;
/// let (ann, ben, chris) = (ActorId::new("ann")?, ActorId::new("ben")?, ActorId::new("chris")?);
/// let project = LabelProject::new(AssetName::new("triage")?, LabelScheme::nominal(["ill", "well"])?)
///     .with_overlap(2)
///     .with_adjudicators([chris.clone()]);
/// let mut queue = LabelQueue::new(project)?;
/// queue.add(LabelTask::of("note-1", b"chest pain"), now)?;
/// for (who, label) in [(&ann, "ill"), (&ben, "well")] {
///     let task = queue.claim(who, now)?.ok_or("nothing to do")?.task;
///     queue.submit(who, &task.id, label, now)?;
/// }
/// assert_eq!(queue.status("note-1")?, LabelStatus::Disputed);
/// queue.adjudicate(&chris, "note-1", "ill", "pain in the chest is urgent", now)?;
///
/// let stored = serde_json::to_string(&queue)?;
/// assert_eq!(serde_json::from_str::<LabelQueue>(&stored)?, queue);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "QueueWire", into = "QueueWire")]
pub struct LabelQueue {
    project: LabelProject,
    records: Vec<LabelRecord>,
    pub(super) tasks: Vec<State>,
    places: HashMap<String, usize>,
    /// The task that each annotator has.
    held: HashMap<ActorId, usize>,
    /// Before which place nothing is left for an annotator.
    cursors: HashMap<ActorId, usize>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct QueueWire {
    schema_version: u32,
    project: LabelProject,
    records: Vec<LabelRecord>,
}

impl From<LabelQueue> for QueueWire {
    fn from(queue: LabelQueue) -> Self {
        Self { schema_version: 1, project: queue.project, records: queue.records }
    }
}

impl TryFrom<QueueWire> for LabelQueue {
    type Error = Error;

    fn try_from(wire: QueueWire) -> Result<Self> {
        if wire.schema_version != 1 {
            let message = format!("is {}, only 1 is known", wire.schema_version);
            return Err(Error::invalid(OP, "schema_version", message));
        }
        Self::replay(wire.project, wire.records)
    }
}

impl PartialEq for LabelQueue {
    /// Queues with the same project and the same records are in the same state.
    fn eq(&self, other: &Self) -> bool {
        self.project == other.project && self.records == other.records
    }
}

impl LabelQueue {
    /// An empty queue.
    ///
    /// # Errors
    /// As [`LabelProject::check`].
    pub fn new(project: LabelProject) -> Result<Self> {
        project.check()?;
        Ok(Self {
            project,
            records: Vec::new(),
            tasks: Vec::new(),
            places: HashMap::new(),
            held: HashMap::new(),
            cursors: HashMap::new(),
        })
    }

    /// The queue that these records lead to.
    ///
    /// # Errors
    /// As the call that made the record, with its place, counted from 0, under `record`.
    pub fn replay(project: LabelProject, records: impl IntoIterator<Item = LabelRecord>) -> Result<Self> {
        let mut queue = Self::new(project)?;
        for (place, record) in records.into_iter().enumerate() {
            queue.record(record.what, record.at).map_err(|error| error.with("record", place))?;
        }
        Ok(queue)
    }

    /// The project.
    pub fn project(&self) -> &LabelProject {
        &self.project
    }

    /// Everything that happened, in order.
    pub fn records(&self) -> &[LabelRecord] {
        &self.records
    }

    /// Puts a task into the queue; `false` when it is there already.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] when its id is there for another item; [`ErrorKind::InvalidInput`] for an id that is no visible
    /// line of text.
    pub fn add(&mut self, task: LabelTask, now: Timestamp) -> Result<bool> {
        if self.places.get(&task.id).is_some_and(|&place| self.tasks[place].task == task) {
            return Ok(false);
        }
        self.record(LabelEvent::Added { task }, now).map(|()| true)
    }

    /// Keeps what a model suggests; `false` when it has suggested exactly that before.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`]; [`ErrorKind::Conflict`] when the model has suggested something else, or the task is closed;
    /// [`ErrorKind::InvalidInput`] for a label outside the scheme and a score outside [0, 1].
    pub fn prelabel(&mut self, task: &str, prelabel: Prelabel, now: Timestamp) -> Result<bool> {
        if self.state(task)?.prelabels.contains(&prelabel) {
            return Ok(false);
        }
        self.record(LabelEvent::Prelabelled { task: task.to_owned(), prelabel }, now).map(|()| true)
    }

    /// Hands out the next task, in the order in which they were added; `None` when nothing is left for this annotator.
    /// Leases that have run out are ended first. Who holds a task already gets the same again.
    ///
    /// # Errors
    /// [`ErrorKind::Auth`] for somebody who may not label.
    pub fn claim(&mut self, annotator: &ActorId, now: Timestamp) -> Result<Option<Assignment>> {
        self.may_label(annotator)?;
        self.expire(now)?;
        if let Some(&place) = self.held.get(annotator) {
            return Ok(self.assignment(place, annotator));
        }
        let from = self.cursors.get(annotator).copied().unwrap_or(0);
        let open = |state: &State| !state.closed_to(annotator);
        let first =
            (from..self.tasks.len()).find(|&place| open(&self.tasks[place])).unwrap_or(self.tasks.len());
        self.cursors.insert(annotator.clone(), first);
        let overlap = self.project.overlap;
        let free = |place: &usize| open(&self.tasks[*place]) && self.tasks[*place].has_place(overlap);
        let Some(place) = (first..self.tasks.len()).find(free) else { return Ok(None) };
        let length = chrono::TimeDelta::from_std(self.project.lease).unwrap_or(chrono::TimeDelta::MAX);
        let until = now.checked_add_signed(length).unwrap_or(Timestamp::MAX_UTC);
        let task = self.tasks[place].task.id.clone();
        self.record(LabelEvent::Leased { task, annotator: annotator.clone(), until }, now)?;
        Ok(self.assignment(place, annotator))
    }

    /// Takes a label for a task that the annotator holds, and says how far the task is now.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] for a task that is not in the annotator's hands, or no longer; [`ErrorKind::InvalidInput`] for a
    /// label outside the scheme; [`ErrorKind::NotFound`].
    pub fn submit(
        &mut self,
        annotator: &ActorId,
        task: &str,
        label: impl Into<LabelValue>,
        now: Timestamp,
    ) -> Result<LabelStatus> {
        let (annotator, label) = (annotator.clone(), label.into());
        self.record(LabelEvent::Submitted { task: task.to_owned(), annotator, label }, now)?;
        self.status(task)
    }

    /// Takes a task back without a label; the annotator does not get it again.
    ///
    /// # Errors
    /// As [`LabelQueue::submit`].
    pub fn skip(
        &mut self,
        annotator: &ActorId,
        task: &str,
        reason: impl Into<String>,
        now: Timestamp,
    ) -> Result<LabelStatus> {
        let (annotator, reason) = (annotator.clone(), reason.into());
        self.record(LabelEvent::Skipped { task: task.to_owned(), annotator, reason }, now)?;
        self.status(task)
    }

    /// Ends the leases that have run out, and says which.
    ///
    /// # Errors
    /// None that a caller can bring about.
    pub fn expire(&mut self, now: Timestamp) -> Result<Vec<(String, ActorId)>> {
        let ran_out = |(annotator, &place): (&ActorId, &usize)| {
            let state = &self.tasks[place];
            let lease = state.leases.iter().find(|lease| lease.annotator == *annotator)?;
            (lease.until <= now).then(|| (place, annotator.clone()))
        };
        let mut ended: Vec<(usize, ActorId)> = self.held.iter().filter_map(ran_out).collect();
        ended.sort();
        let mut out = Vec::with_capacity(ended.len());
        for (place, annotator) in ended {
            let task = self.tasks[place].task.id.clone();
            self.record(LabelEvent::Expired { task: task.clone(), annotator: annotator.clone() }, now)?;
            out.push((task, annotator));
        }
        Ok(out)
    }

    /// Decides a task that is disputed or set aside.
    ///
    /// # Errors
    /// [`ErrorKind::Auth`] for somebody who is no adjudicator or has labelled the task; [`ErrorKind::Conflict`] for a task that
    /// needs no decision; [`ErrorKind::InvalidInput`] for a label outside the scheme and an empty reason;
    /// [`ErrorKind::NotFound`].
    pub fn adjudicate(
        &mut self,
        adjudicator: &ActorId,
        task: &str,
        label: impl Into<LabelValue>,
        reason: impl Into<String>,
        now: Timestamp,
    ) -> Result<()> {
        let (adjudicator, label, reason) = (adjudicator.clone(), label.into(), reason.into());
        self.record(LabelEvent::Adjudicated { task: task.to_owned(), adjudicator, label, reason }, now)
    }

    /// How far a task is.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`].
    pub fn status(&self, task: &str) -> Result<LabelStatus> {
        Ok(self.state(task)?.status)
    }

    /// The label of a task, once there is one: what annotators agreed on or an adjudicator decided.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`].
    pub fn label(&self, task: &str) -> Result<Option<&LabelValue>> {
        Ok(self.state(task)?.label.as_ref())
    }

    /// The labels that annotators gave to a task.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`].
    pub fn votes(&self, task: &str) -> Result<&[Vote]> {
        Ok(&self.state(task)?.votes)
    }

    /// What models suggested for a task.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`].
    pub fn prelabels(&self, task: &str) -> Result<&[Prelabel]> {
        Ok(&self.state(task)?.prelabels)
    }

    /// The tasks, in the order in which they were added.
    pub fn tasks(&self) -> impl Iterator<Item = (&LabelTask, LabelStatus)> {
        self.tasks.iter().map(|state| (&state.task, state.status))
    }

    /// How many tasks there are of each status.
    pub fn progress(&self) -> LabelProgress {
        let mut progress = LabelProgress { leases: self.held.len(), ..LabelProgress::default() };
        for state in &self.tasks {
            *progress.tasks.entry(state.status).or_default() += 1;
            progress.votes += state.votes.len();
        }
        progress
    }

    fn state(&self, task: &str) -> Result<&State> {
        self.place(task).map(|place| &self.tasks[place])
    }

    fn place(&self, task: &str) -> Result<usize> {
        self.places.get(task).copied().ok_or_else(|| Error::not_found(OP, "task", task))
    }

    fn may_label(&self, annotator: &ActorId) -> Result<()> {
        match self.project.annotators.is_empty() || self.project.annotators.contains(annotator) {
            true => Ok(()),
            false => Err(Error::new(ErrorKind::Auth, OP, "may not label here").with("annotator", annotator)),
        }
    }

    fn assignment(&self, place: usize, annotator: &ActorId) -> Option<Assignment> {
        let state = self.tasks.get(place)?;
        let lease = state.leases.iter().find(|lease| lease.annotator == *annotator)?;
        let prelabels = if lease.assisted { state.prelabels.clone() } else { Vec::new() };
        Some(Assignment { task: state.task.clone(), until: lease.until, prelabels })
    }

    /// Checks an event, lets it happen, and keeps it.
    fn record(&mut self, what: LabelEvent, at: Timestamp) -> Result<()> {
        match &what {
            LabelEvent::Added { task } => self.added(task)?,
            LabelEvent::Prelabelled { task, prelabel } => self.prelabelled(task, prelabel)?,
            LabelEvent::Leased { task, annotator, until } => self.leased(task, annotator, *until, at)?,
            LabelEvent::Submitted { task, annotator, label } => self.submitted(task, annotator, label, at)?,
            LabelEvent::Skipped { task, annotator, reason } => self.skipped(task, annotator, reason, at)?,
            LabelEvent::Expired { task, annotator } => self.expired(task, annotator, at)?,
            LabelEvent::Adjudicated { task, adjudicator, label, reason } => {
                self.adjudicated(task, adjudicator, label, reason)?;
            }
        }
        self.records.push(LabelRecord { at, what });
        Ok(())
    }

    fn added(&mut self, task: &LabelTask) -> Result<()> {
        check_line(OP, "task", &task.id)?;
        if let Some(&place) = self.places.get(&task.id) {
            let message = "the id is taken";
            return Err(
                Error::conflict(OP, message, task.item, self.tasks[place].task.item).with("task", &task.id)
            );
        }
        self.places.insert(task.id.clone(), self.tasks.len());
        self.tasks.push(State::new(task.clone()));
        Ok(())
    }

    fn prelabelled(&mut self, task: &str, prelabel: &Prelabel) -> Result<()> {
        let place = self.place(task)?;
        check_line(OP, "model", &prelabel.model)?;
        self.project.scheme.check(&prelabel.label)?;
        if let Some(score) = prelabel.score.filter(|score| !(*score >= 0.0 && *score <= 1.0)) {
            return Err(Error::invalid(OP, "score", format!("must lie in [0, 1], got {score}")));
        }
        let state = &mut self.tasks[place];
        if state.prelabels.iter().any(|other| other.model == prelabel.model) {
            return Err(
                conflict(task, "the model has suggested a label already").with("model", &prelabel.model)
            );
        }
        if state.status != LabelStatus::Open {
            return Err(conflict(task, "the task is closed"));
        }
        if state.prelabels.len() == MAX_PRELABELS {
            return Err(Error::limit(OP, "the suggestions for a task", MAX_PRELABELS, MAX_PRELABELS + 1));
        }
        state.prelabels.push(prelabel.clone());
        Ok(())
    }

    fn leased(&mut self, task: &str, annotator: &ActorId, until: Timestamp, at: Timestamp) -> Result<()> {
        self.may_label(annotator)?;
        let place = self.place(task)?;
        let state = &mut self.tasks[place];
        if self.held.contains_key(annotator) {
            return Err(conflict(task, "the annotator holds a task already").with("annotator", annotator));
        }
        if state.closed_to(annotator) || !state.has_place(self.project.overlap) {
            return Err(conflict(task, "no label of this annotator is wanted").with("annotator", annotator));
        }
        if until <= at {
            return Err(Error::invalid(OP, "until", "must lie after the time of the lease"));
        }
        let assisted = self.project.show_prelabels && !state.prelabels.is_empty();
        state.leases.push(Lease { annotator: annotator.clone(), until, assisted });
        self.held.insert(annotator.clone(), place);
        Ok(())
    }

    /// The place of a task and of the lease by which somebody holds it at a time.
    fn lease(&self, task: &str, annotator: &ActorId, at: Timestamp) -> Result<(usize, usize)> {
        let place = self.place(task)?;
        let lease = self.tasks[place].leases.iter().position(|lease| lease.annotator == *annotator);
        match lease {
            None => {
                Err(conflict(task, "the task is not in the annotator's hands").with("annotator", annotator))
            }
            Some(lease) if self.tasks[place].leases[lease].until <= at => {
                Err(conflict(task, "the lease has run out").with("annotator", annotator))
            }
            Some(lease) => Ok((place, lease)),
        }
    }

    fn submitted(
        &mut self,
        task: &str,
        annotator: &ActorId,
        label: &LabelValue,
        at: Timestamp,
    ) -> Result<()> {
        let (place, lease) = self.lease(task, annotator, at)?;
        self.project.scheme.check(label)?;
        let state = &mut self.tasks[place];
        let Lease { assisted, .. } = state.leases.remove(lease);
        self.held.remove(annotator);
        state.votes.push(Vote { annotator: annotator.clone(), label: label.clone(), assisted, at });
        if state.votes.len() >= self.project.overlap {
            let state = &self.tasks[place];
            let label = consensus(&self.project, &state.votes)?;
            let state = &mut self.tasks[place];
            state.status = if label.is_some() { LabelStatus::Agreed } else { LabelStatus::Disputed };
            state.label = label;
        }
        Ok(())
    }

    fn skipped(&mut self, task: &str, annotator: &ActorId, reason: &str, at: Timestamp) -> Result<()> {
        let (place, lease) = self.lease(task, annotator, at)?;
        check_line(OP, "reason", reason)?;
        let state = &mut self.tasks[place];
        state.leases.remove(lease);
        self.held.remove(annotator);
        state.skips.push(annotator.clone());
        if state.skips.len() >= self.project.max_skips {
            state.status = LabelStatus::SetAside;
            // Nobody needs to finish what is set aside.
            state.leases.drain(..).for_each(|lease| {
                self.held.remove(&lease.annotator);
            });
        }
        Ok(())
    }

    fn expired(&mut self, task: &str, annotator: &ActorId, at: Timestamp) -> Result<()> {
        let place = self.place(task)?;
        let state = &mut self.tasks[place];
        let lease = state.leases.iter().position(|lease| lease.annotator == *annotator && lease.until <= at);
        let Some(lease) = lease else {
            return Err(conflict(task, "no lease has run out").with("annotator", annotator));
        };
        state.leases.remove(lease);
        self.held.remove(annotator);
        Ok(())
    }

    fn adjudicated(
        &mut self,
        task: &str,
        adjudicator: &ActorId,
        label: &LabelValue,
        reason: &str,
    ) -> Result<()> {
        let place = self.place(task)?;
        self.project.scheme.check(label)?;
        check_line(OP, "reason", reason)?;
        let state = &mut self.tasks[place];
        let refuse = |why: &str| Err(Error::new(ErrorKind::Auth, OP, why).with("adjudicator", adjudicator));
        if !self.project.adjudicators.contains(adjudicator) {
            return refuse("is no adjudicator");
        }
        if state.votes.iter().any(|vote| vote.annotator == *adjudicator) {
            return refuse("has labelled the task: somebody else decides");
        }
        if !matches!(state.status, LabelStatus::Disputed | LabelStatus::SetAside) {
            return Err(conflict(task, "the task needs no decision").with("status", state.status.as_str()));
        }
        state.status = LabelStatus::Adjudicated;
        state.label = Some(label.clone());
        Ok(())
    }
}

fn conflict(task: &str, message: &str) -> Error {
    Error::new(ErrorKind::Conflict, OP, message).with("task", task)
}

/// The label that votes agree on: of classes the one with more than half of them and the share that the project asks for; of
/// numbers that lie within the tolerance the median.
fn consensus(project: &LabelProject, votes: &[Vote]) -> Result<Option<LabelValue>> {
    let codes = votes.iter().map(|vote| project.scheme.code(&vote.label)).collect::<Result<Vec<f64>>>()?;
    let mut sorted = codes;
    sorted.sort_by(f64::total_cmp);
    let (Some(&low), Some(&high)) = (sorted.first(), sorted.last()) else { return Ok(None) };
    if project.scheme.classes().is_none() {
        let middle = (sorted[(sorted.len() - 1) / 2] + sorted[sorted.len() / 2]) / 2.0;
        return Ok((high - low <= project.tolerance).then_some(LabelValue::Number(middle)));
    }
    let most = sorted.chunk_by(|a, b| a == b).max_by_key(|same| same.len()).unwrap_or_default();
    let enough =
        2 * most.len() > sorted.len() && most.len() as f64 >= project.consensus * sorted.len() as f64;
    Ok(most.first().filter(|_| enough).map(|&code| project.scheme.label(code)))
}
