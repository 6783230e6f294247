//! Approvals in the folder: one process asks, somebody decides in another.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use rusqlite::{Connection, Transaction};
use serde::{Deserialize, Serialize};

use super::db::Durability;
use super::seal::{self, open, seal};
use super::sql;
use super::store::{Inner, LocalStore};
use super::verify::{FindingKind, Findings};
use crate::error::{Error, ErrorKind, Result};
use crate::governance::{Approval, ApprovalDecision, ApprovalRequest, Approver, standing};
use crate::hash::{Digest, digest_json};
use crate::id::{ActorId, check_text};
use crate::page::{Page, PageRequest};
use crate::time::Timestamp;

const ASK: &str = "Approver::decide";
const DECIDE: &str = "LocalApprovals::decide";
const PENDING: &str = "LocalApprovals::pending";

/// Asks through the folder: a request stays there until somebody decides about it with [`LocalApprovals`].
///
/// The first call with a request writes it down; every call answers at once what is decided by then. A decision is final, and
/// survives a power cut, as the request does.
///
/// ```
/// use mlops_core::governance::{ApprovalDecision, ApprovalRequest, Approver as _};
/// use mlops_core::local::LocalStore;
/// use mlops_core::{ActorId, PageRequest, hash::Digest};
/// # use mlops_core::time::{Clock as _, SystemClock};
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// # let dir = tempfile::tempdir().unwrap();
/// # let folder = dir.path();
/// // The pipeline asks, and goes on with something else.
/// let now = SystemClock::new().now();
/// let request = ApprovalRequest::new(
///     Digest::of(b"decision"),
///     "Promote churn:4 to champion?",
///     ActorId::new("trainer")?,
///     now + std::time::Duration::from_secs(86_400),
/// );
/// let approver = LocalStore::open(folder)?.approvals(ActorId::new("risk-office")?);
/// assert_eq!(approver.decide(&request, now).await?.decision, ApprovalDecision::Pending);
///
/// // Somebody looks at what is open, perhaps in another process, and decides.
/// let desk = LocalStore::open(folder)?.approval_desk();
/// let open = desk.pending(&PageRequest::default()).await?.items.remove(0);
/// assert_eq!(open.request.question, "Promote churn:4 to champion?");
/// let officer = ActorId::new("risk-officer")?;
/// desk.decide(&open.digest, &officer, ApprovalDecision::Approved, "looks good").await?;
///
/// // The pipeline asks again.
/// let answer = approver.decide(&request, now).await?;
/// assert_eq!((answer.decision, answer.approver), (ApprovalDecision::Approved, officer));
/// # Ok::<(), mlops_core::Error>(()) })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct LocalApprover {
    store: Arc<Inner>,
    asked: ActorId,
}

/// Where people decide about requests.
#[derive(Clone)]
pub struct LocalApprovals {
    store: Arc<Inner>,
}

/// A request that nobody has decided about.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingApproval {
    /// The request's digest, by which it is decided.
    pub digest: Digest,
    /// The request.
    pub request: ApprovalRequest,
    /// Who is asked.
    pub asked: ActorId,
    /// When it was asked first.
    pub asked_at: Timestamp,
}

impl LocalStore {
    /// An approver that asks through this store. `asked` is who is asked: it is named with the request, and in answers that
    /// nobody gave. It need not be who decides.
    pub fn approvals(&self, asked: ActorId) -> LocalApprover {
        LocalApprover { store: self.inner().clone(), asked }
    }

    /// Where people decide about what was asked through this store.
    pub fn approval_desk(&self) -> LocalApprovals {
        LocalApprovals { store: self.inner().clone() }
    }
}

impl LocalApprovals {
    /// Decides about a request; its digest is [`PendingApproval::digest`], that of its canonical JSON. Deciding the same again
    /// changes nothing.
    ///
    /// Who `approver` is, is the caller's to make sure of: this store is as trustworthy as those who can write to its folder.
    ///
    /// # Errors
    /// * [`ErrorKind::NotFound`] for a request that was not asked.
    /// * [`ErrorKind::Rejected`] for a decision by who asked, and for a yes to a request that has expired.
    /// * [`ErrorKind::Conflict`] where something else was decided already.
    /// * [`ErrorKind::InvalidInput`] for [`ApprovalDecision::Pending`], [`ErrorKind::LimitExceeded`] for a comment that is too
    ///   long.
    pub async fn decide(
        &self,
        request: &Digest,
        approver: &ActorId,
        decision: ApprovalDecision,
        comment: &str,
    ) -> Result<Approval> {
        self.answer(request, approver, decision, comment, Ok).await
    }

    /// Decides like [`decide`](Self::decide), and signs with the approver's key: whoever can write to the folder cannot answer in
    /// the approver's name where [signatures are asked for](crate::governance::ApproverKeys).
    ///
    /// # Errors
    /// As [`decide`](Self::decide).
    #[cfg(feature = "signing")]
    pub async fn decide_signed(
        &self,
        request: &Digest,
        approver: &ActorId,
        decision: ApprovalDecision,
        comment: &str,
        key: &crate::oversight::signing::SigningKey,
    ) -> Result<Approval> {
        let key = key.clone();
        self.answer(request, approver, decision, comment, move |answer| answer.signed(&key)).await
    }

    async fn answer(
        &self,
        request: &Digest,
        approver: &ActorId,
        decision: ApprovalDecision,
        comment: &str,
        sign: impl FnOnce(Approval) -> Result<Approval> + Send + 'static,
    ) -> Result<Approval> {
        if decision == ApprovalDecision::Pending {
            return Err(Error::invalid(DECIDE, "decision", "must be yes or no"));
        }
        check_text(DECIDE, "the comment", comment)?;
        let (request, now) = (*request, self.store.clock.now());
        let (approver, comment) = (approver.clone(), comment.to_owned());
        let decide = move |tx: &Transaction<'_>| {
            let asked = the_request(tx, &request)?.request;
            let answer = sign(Approval::answer(&asked, decision, approver, comment, now))?;
            record(tx, &request, &asked, answer)
        };
        self.store.db.write(DECIDE, Durability::Power, decide).await
    }

    /// The requests that are open: neither decided nor expired, by the store's clock. Oldest first.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for a page that is none; [`ErrorKind::Corrupt`] for a row that is not what was written.
    pub async fn pending(&self, page: &PageRequest) -> Result<Page<PendingApproval>> {
        page.check(PENDING)?;
        let (store, page) = (self.store.clone(), page.clone());
        let list = move |connection: &Connection| {
            let now = store.clock.now();
            store.pager.page(PENDING, &(), &page, |after: Option<i64>| pending(connection, after, &page, now))
        };
        self.store.db.read(PENDING, list).await
    }
}

impl fmt::Debug for LocalApprover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("LocalApprover");
        out.field("folder", &self.store.root).field("asked", &self.asked).finish()
    }
}

impl fmt::Debug for LocalApprovals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalApprovals").field("folder", &self.store.root).finish_non_exhaustive()
    }
}

fn find_request(
    operation: &'static str,
    connection: &Connection,
    digest: &Digest,
) -> Result<Option<PendingApproval>> {
    let key = digest.hex();
    let query = "SELECT body, digest FROM approval_request WHERE request = ?1";
    sql::first(operation, connection, query, [&key], |row| open(operation, "approval_request", &key, row, 0))
}

fn the_request(connection: &Connection, digest: &Digest) -> Result<PendingApproval> {
    let found = find_request(DECIDE, connection, digest)?;
    found.ok_or_else(|| Error::not_found(DECIDE, "request", digest))
}

fn find_answer(
    operation: &'static str,
    connection: &Connection,
    digest: &Digest,
) -> Result<Option<Approval>> {
    let key = digest.hex();
    let query = "SELECT body, digest FROM approval WHERE request = ?1";
    sql::first(operation, connection, query, [&key], |row| open(operation, "approval", &key, row, 0))
}

/// Writes down a decision, if it is one that may be made.
fn record(
    tx: &Transaction<'_>,
    digest: &Digest,
    request: &ApprovalRequest,
    answer: Approval,
) -> Result<Approval> {
    let rejected = |message: &str| {
        Err(Error::new(ErrorKind::Rejected, DECIDE, message).with("approver", &answer.approver))
    };
    if answer.approver == request.requester {
        return rejected("nobody can decide about what they asked for");
    }
    if let Some(made) = find_answer(DECIDE, tx, digest)? {
        let same = (&made.approver, made.decision, &made.comment)
            == (&answer.approver, answer.decision, &answer.comment);
        let found = format!("{:?} by {}", made.decision, made.approver);
        let expected = format!("{:?} by {}", answer.decision, answer.approver);
        return if same {
            Ok(made)
        } else {
            Err(Error::conflict(DECIDE, "the request was decided already", expected, found))
        };
    }
    if answer.decision == ApprovalDecision::Approved && answer.at >= request.expires_at {
        return rejected("the request has expired");
    }
    let key = digest.hex();
    let row = seal(DECIDE, "approval", &key, &answer)?;
    let insert = "INSERT INTO approval (request, body, digest) VALUES (?1, ?2, ?3)";
    sql::execute(DECIDE, tx, insert, (&key, row.body, row.digest))?;
    Ok(answer)
}

/// Writes down a request, unless it is there.
fn ask(tx: &Transaction<'_>, new: &PendingApproval) -> Result<()> {
    if find_request(ASK, tx, &new.digest)?.is_some() {
        return Ok(());
    }
    let key = new.digest.hex();
    let row = seal(ASK, "approval_request", &key, new)?;
    let insert = "INSERT INTO approval_request (request, body, digest, expires_at) VALUES (?1, ?2, ?3, ?4)";
    let expires_at = whole_seconds(new.request.expires_at);
    sql::execute(ASK, tx, insert, (&key, row.body, row.digest, expires_at)).map(drop)
}

/// A moment in seconds, rounded up: nothing expires early.
fn whole_seconds(moment: Timestamp) -> i64 {
    moment.timestamp().saturating_add(i64::from(moment.timestamp_subsec_nanos() > 0))
}

/// The open requests after the one with this number, enough for a page.
fn pending(
    connection: &Connection,
    after: Option<i64>,
    page: &PageRequest,
    now: Timestamp,
) -> Result<std::vec::IntoIter<(i64, PendingApproval)>> {
    let query = "SELECT number, request, body, digest FROM approval_request WHERE number > ?1
        AND (expires_at IS NULL OR expires_at > ?3)
        AND NOT EXISTS (SELECT 1 FROM approval WHERE approval.request = approval_request.request)
        ORDER BY number LIMIT ?2";
    let mut open_ones = Vec::new();
    let mut last = after.unwrap_or_default();
    // The seconds of the column are rounded: the body says exactly what has expired.
    loop {
        let params = (last, sql::one_more(page), now.timestamp());
        let rows = sql::all(PENDING, connection, query, params, |row| {
            let (number, key): (i64, String) = sql::head(PENDING, row)?;
            let found: PendingApproval = open(PENDING, "approval_request", &key, row, 2)?;
            Ok((number, found))
        })?;
        let Some((number, _)) = rows.last() else { break };
        last = *number;
        open_ones.extend(rows.into_iter().filter(|(_, found)| now < found.request.expires_at));
        if open_ones.len() > page.limit {
            break;
        }
    }
    Ok(open_ones.into_iter())
}

/// Checks that what is passed over has expired by its body too.
fn check_expiry(
    connection: &Connection,
    requests: &HashMap<String, ApprovalRequest>,
    findings: &mut Findings,
) -> Result<()> {
    const OP: &str = "LocalStore::verify";
    let query = "SELECT request, expires_at FROM approval_request WHERE expires_at IS NOT NULL";
    for (key, found) in sql::all(OP, connection, query, [], |row| sql::head::<String, i64>(OP, row))? {
        let expected = requests.get(&key).map(|asked| whole_seconds(asked.expires_at));
        if expected.is_some_and(|expected| expected != found) {
            let reason = "its expiry is not that of the request";
            findings.add(FindingKind::Inconsistent, format!("approval_request {key}"), reason);
        }
    }
    Ok(())
}

/// Checks requests and answers, and that each answer is about its request.
pub(crate) fn check(connection: &Connection, findings: &mut Findings) -> Result<()> {
    let query = "SELECT request, body, digest FROM approval_request";
    let requests: Vec<(String, PendingApproval)> =
        seal::check(connection, findings, "approval_request", query)?;
    let requests: HashMap<String, ApprovalRequest> =
        requests.into_iter().map(|(key, asked)| (key, asked.request)).collect();
    check_expiry(connection, &requests, findings)?;
    let query = "SELECT request, body, digest FROM approval";
    for (key, answer) in seal::check::<Approval>(connection, findings, "approval", query)? {
        let about = |asked: &ApprovalRequest| {
            (asked.subject, &asked.requester, asked.expires_at)
                == (answer.subject, &answer.requester, answer.expires_at)
        };
        if !requests.get(&key).is_some_and(about) {
            let reason = "the answer is not about its request";
            findings.add(FindingKind::Inconsistent, format!("approval {key}"), reason);
        }
    }
    Ok(())
}

#[async_trait]
impl Approver for LocalApprover {
    async fn decide(&self, request: &ApprovalRequest, now: Timestamp) -> Result<Approval> {
        check_text(ASK, "the question", &request.question)?;
        let digest = digest_json(request)?;
        let find = move |c: &Connection| Ok((find_answer(ASK, c, &digest)?, find_request(ASK, c, &digest)?));
        let (earlier, known) = self.store.db.read(ASK, find).await?;
        if let Some(standing) = standing(earlier, &self.asked, request, now) {
            return Ok(standing);
        }
        if known.is_none() {
            let (request, asked) = (request.clone(), self.asked.clone());
            let new = PendingApproval { digest, request, asked, asked_at: self.store.clock.now() };
            self.store.db.write(ASK, Durability::Power, move |tx| ask(tx, &new)).await?;
        }
        Ok(Approval::answer(request, ApprovalDecision::Pending, self.asked.clone(), "", now))
    }
}
