//! Searches: a query becomes SQL that finds the runs, which are then read and looked at once more.
//!
//! Everything that came from outside is a parameter. What SQL cannot say exactly it says too generously, and
//! [`RunQuery::matches`] has the last word. Texts are compared by bytes on both sides.

use std::sync::Arc;

use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, params_from_iter};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::rows::{self, RunRow};
use super::value;
use super::{Leases, LocalTracker};
use crate::error::Result;
use crate::experiment::{
    Comparison, Field, Filter, InputMatch, Match, MetricStat, OrderBy, Run, RunQuery, RunStatus, View,
};
use crate::local::db::failed;
use crate::page::Page;
use crate::time::{Timestamp, lock};

const OP: &str = "ExperimentTracker::search_runs";

/// How many runs are read at once where it is not known how many will be left.
const BLOCK: usize = 512;

/// Where a page of a search ended.
#[derive(Serialize, Deserialize)]
enum Mark {
    /// After the run with these keys, the last of which is its id.
    Key(Vec<Key>),
    /// After this place of what this handle found in its search of this number.
    Listed(Uuid, u64, usize),
}

/// What a run is ordered by, where that never changes.
#[derive(Clone, Serialize, Deserialize)]
enum Key {
    Number(i64),
    Text(String),
}

impl From<Key> for Value {
    fn from(key: Key) -> Self {
        match key {
            Key::Number(number) => Self::Integer(number),
            Key::Text(text) => Self::Text(text),
        }
    }
}

impl Key {
    fn read(value: ValueRef<'_>) -> rusqlite::Result<Self> {
        match value {
            ValueRef::Integer(number) => Ok(Self::Number(number)),
            other => Ok(Self::Text(other.as_str()?.to_owned())),
        }
    }
}

impl LocalTracker {
    pub(super) fn search_now(&self, query: &RunQuery) -> Result<Page<Run>> {
        query.check()?;
        self.catch_up(OP);
        let asked = (&query.experiments, &query.filter, &query.order, query.view);
        let mut dead = Vec::new();
        let answer = self.inner.pager.page(OP, &asked, &query.page, |after: Option<Mark>| {
            let find = |db: &Connection| {
                dead = rows::overdue(OP, db, self.leases())?;
                self.find(db, query, &dead, after)
            };
            Ok(self.inner.db.read_now(OP, find)?.into_iter())
        });
        self.bury(OP, &dead);
        answer
    }

    /// The runs after a mark: a page of them, and one more if there is one.
    fn find(
        &self,
        db: &Connection,
        query: &RunQuery,
        dead: &[i64],
        after: Option<Mark>,
    ) -> Result<Vec<(Mark, Run)>> {
        let Some(search) = Search::new(db, query, dead)? else { return Ok(Vec::new()) };
        match (after, search.fixed_order()) {
            (None, Some(order)) => search.by_key(db, self.leases(), &order, None),
            (Some(Mark::Key(keys)), Some(order)) if keys.len() == order.len() => {
                search.by_key(db, self.leases(), &order, Some(keys))
            }
            (None, None) => {
                let found: Arc<[i64]> = search.all(db, self.leases())?.into();
                let mut listings = lock(&self.inner.tracker.listings);
                let more = found.len() > query.page.limit;
                let number = if more { listings.keep(found.clone()) } else { 0 };
                let handle = listings.handle;
                drop(listings);
                search.listed(db, self.leases(), &found, 0, |place| Mark::Listed(handle, number, place))
            }
            (Some(Mark::Listed(handle, number, last)), None) => {
                let listings = lock(&self.inner.tracker.listings);
                let found = listings.find(number).filter(|_| handle == listings.handle);
                drop(listings);
                let found = found.ok_or_else(|| query.page.bad_token(OP))?;
                let start = last.saturating_add(1);
                search.listed(db, self.leases(), &found, start, |place| Mark::Listed(handle, number, place))
            }
            _ => Err(query.page.bad_token(OP)),
        }
    }
}

/// A query, ready to be asked.
struct Search<'q> {
    query: &'q RunQuery,
    sql: Sql,
    condition: Condition,
}

/// One level of an order.
struct Level {
    sql: &'static str,
    descending: bool,
}

/// The last level of every order: the newest id first.
const BY_ID: Level = Level { sql: "r.run_id", descending: true };

impl<'q> Search<'q> {
    /// `None` if none of the experiments is there.
    fn new(db: &Connection, query: &'q RunQuery, dead: &[i64]) -> Result<Option<Self>> {
        let mut sql = Sql::new(dead);
        let mut condition = match query.view {
            View::Active => Condition::exact("r.deleted = 0"),
            View::Deleted => Condition::exact("r.deleted = 1"),
            View::All => Condition::truth(true),
        };
        if !query.experiments.is_empty() {
            let mut ids = Vec::new();
            for name in &query.experiments {
                ids.extend(rows::experiment(OP, db, name)?.map(|(id, _)| id));
            }
            let one_of = match ids[..] {
                [] => return Ok(None),
                [id] => format!("r.experiment = {}", sql.bind(id)),
                _ => format!("r.experiment IN (SELECT value FROM json_each({}))", sql.bind(rows::list(&ids))),
            };
            condition = condition.and(Condition::exact(one_of));
        }
        let filter = sql.filter(&query.filter);
        let condition = condition.and(filter);
        Ok(Some(Self { query, sql, condition }))
    }

    /// The order, if what it goes by never changes.
    fn fixed_order(&self) -> Option<Vec<Level>> {
        let level = |order: &OrderBy| {
            let sql = match order.field {
                Field::Started => "r.started_at",
                Field::Name => "r.name",
                Field::Id => "r.run_id",
                Field::Actor => "r.actor",
                _ => return None,
            };
            Some(Level { sql, descending: order.descending })
        };
        let mut levels: Vec<Level> = self.query.order.iter().map(level).collect::<Option<_>>()?;
        levels.push(BY_ID);
        // A field that was there already decides nothing; nothing follows the id.
        let mut seen = Vec::new();
        levels.retain(|level| {
            let new = !seen.contains(&level.sql) && !seen.contains(&BY_ID.sql);
            seen.push(level.sql);
            new
        });
        Some(levels)
    }

    /// A page in an order that never changes: everything after the keys where the page before ended.
    fn by_key(
        &self,
        db: &Connection,
        leases: &Leases,
        order: &[Level],
        mut after: Option<Vec<Key>>,
    ) -> Result<Vec<(Mark, Run)>> {
        let wanted = self.query.page.limit + 1;
        let each = if self.condition.exact { wanted } else { wanted.max(BLOCK) };
        let mut out = Vec::new();
        loop {
            let found = self.keys(db, order, after.as_deref(), each)?;
            let ids: Vec<i64> = found.iter().map(|(id, _)| *id).collect();
            let last = found.last().map(|(_, keys)| keys.clone());
            let runs = self.matching(db, leases, &ids)?;
            let mut keys = found.into_iter();
            for row in runs {
                if let Some((_, keys)) = keys.find(|(id, _)| *id == row.id) {
                    out.push((Mark::Key(keys), row.run));
                }
            }
            if ids.len() < each || out.len() >= wanted {
                return Ok(out);
            }
            after = last;
        }
    }

    /// The ids and keys of the runs that may match, after some keys.
    fn keys(
        &self,
        db: &Connection,
        order: &[Level],
        after: Option<&[Key]>,
        limit: usize,
    ) -> Result<Vec<(i64, Vec<Key>)>> {
        let mut values = self.sql.values.clone();
        let mut bind = |value: Value| {
            values.push(value);
            format!("?{}", values.len())
        };
        let mut condition = self.condition.sql.clone();
        if let Some(keys) = after {
            condition = format!("{condition} AND {}", follows(order, keys, &mut bind));
        }
        let columns: String = order.iter().map(|level| format!(", {}", level.sql)).collect();
        let by: Vec<_> = order.iter().map(|l| format!("{}{}", l.sql, direction(l.descending))).collect();
        let limit = bind(Value::Integer(i64::try_from(limit).unwrap_or(i64::MAX)));
        let sql = format!(
            "SELECT r.id{columns} FROM run AS r WHERE {condition} ORDER BY {} LIMIT {limit}",
            by.join(", ")
        );
        select(db, &sql, values, |row| {
            let keys = (1..=order.len()).map(|column| Key::read(row.get_ref(column)?));
            Ok((row.get(0)?, keys.collect::<rusqlite::Result<_>>()?))
        })
    }

    /// The ids of all runs that match, in order.
    fn all(&self, db: &Connection, leases: &Leases) -> Result<Vec<i64>> {
        let mut order = self.query.order.clone();
        let mut seen = Vec::new();
        order.retain(|level| {
            let new = !seen.contains(&level.field);
            seen.push(level.field.clone());
            new
        });
        if order.len() > Sql::MOST_LEVELS {
            return self.all_sorted_here(db, leases);
        }
        let mut sql = self.sql.clone();
        let levels: Vec<(String, bool)> =
            order.iter().map(|level| (sql.field(&level.field), level.descending)).collect();
        let columns: String =
            levels.iter().enumerate().map(|(i, (level, _))| format!(", {level} AS level{i}")).collect();
        let by: String = levels
            .iter()
            .enumerate()
            .map(|(i, (_, down))| format!("level{i}{} NULLS LAST, ", direction(*down)))
            .collect();
        let text = format!(
            "SELECT r.id{columns} FROM run AS r WHERE {} ORDER BY {by}r.run_id DESC",
            self.condition.sql
        );
        let ids = select(db, &text, sql.values, |row| row.get(0))?;
        if self.condition.exact {
            return Ok(ids);
        }
        let mut out = Vec::new();
        for block in ids.chunks(BLOCK) {
            out.extend(self.matching(db, leases, block)?.iter().map(|row| row.id));
        }
        Ok(out)
    }

    /// The same for an order with more levels than a statement should have.
    fn all_sorted_here(&self, db: &Connection, leases: &Leases) -> Result<Vec<i64>> {
        let text = format!("SELECT r.id FROM run AS r WHERE {}", self.condition.sql);
        let ids: Vec<i64> = select(db, &text, self.sql.values.clone(), |row| row.get(0))?;
        let mut found = Vec::new();
        for block in ids.chunks(BLOCK) {
            found.extend(self.matching(db, leases, block)?);
        }
        found.sort_by(|left, right| self.query.compare(&left.run, &right.run));
        Ok(found.iter().map(|row| row.id).collect())
    }

    /// A page of what was found before, from a place on. How the runs are now is what is shown, if they match still.
    fn listed(
        &self,
        db: &Connection,
        leases: &Leases,
        found: &[i64],
        start: usize,
        mark: impl Fn(usize) -> Mark,
    ) -> Result<Vec<(Mark, Run)>> {
        let wanted = self.query.page.limit + 1;
        let mut out = Vec::new();
        let mut place = start;
        while out.len() < wanted
            && let Some(rest) = found.get(place..).filter(|rest| !rest.is_empty())
        {
            let block = &rest[..rest.len().min(wanted)];
            let mut places = block.iter().enumerate();
            for row in self.matching(db, leases, block)? {
                if let Some((i, _)) = places.find(|(_, id)| **id == row.id) {
                    out.push((mark(place + i), row.run));
                }
            }
            place += block.len();
        }
        Ok(out)
    }

    /// Those of these runs that match, in the same order.
    fn matching(&self, db: &Connection, leases: &Leases, ids: &[i64]) -> Result<Vec<RunRow>> {
        // Who is overdue was looked up before.
        let mut runs = rows::read(OP, db, ids, leases, &mut Vec::new())?;
        runs.retain(|row| self.query.matches(&row.run));
        Ok(runs)
    }
}

fn direction(descending: bool) -> &'static str {
    if descending { " DESC" } else { " ASC" }
}

/// What comes after these keys in this order.
fn follows(order: &[Level], keys: &[Key], bind: &mut impl FnMut(Value) -> String) -> String {
    let (Some((level, order)), Some((key, keys))) = (order.split_first(), keys.split_first()) else {
        return "0".to_owned();
    };
    let key = bind(key.clone().into());
    let (sql, than) = (level.sql, if level.descending { "<" } else { ">" });
    if order.is_empty() {
        return format!("{sql} {than} {key}");
    }
    // The first part says nothing new; it is what an index can be searched with.
    let rest = follows(order, keys, bind);
    format!("{sql} {than}= {key} AND ({sql} {than} {key} OR ({sql} = {key} AND {rest}))")
}

fn select<T>(
    db: &Connection,
    sql: &str,
    values: Vec<Value>,
    read: impl FnMut(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
) -> Result<Vec<T>> {
    let find = || -> rusqlite::Result<Vec<T>> {
        // A long statement is rarely asked twice.
        match sql.len() {
            0..=4096 => db.prepare_cached(sql)?.query_map(params_from_iter(values), read)?.collect(),
            _ => db.prepare(sql)?.query_map(params_from_iter(values), read)?.collect(),
        }
    };
    find().map_err(failed(OP))
}

/// A condition in SQL that is never NULL.
struct Condition {
    sql: String,
    /// Whether it holds for exactly the runs that match; otherwise it holds for others, too.
    exact: bool,
}

impl Condition {
    fn exact(sql: impl Into<String>) -> Self {
        Self { sql: sql.into(), exact: true }
    }

    fn generous(sql: impl Into<String>) -> Self {
        Self { sql: sql.into(), exact: false }
    }

    /// What SQL cannot say at all.
    fn anything() -> Self {
        Self::generous("1")
    }

    fn is_anything(&self) -> bool {
        !self.exact && self.sql == "1"
    }

    fn truth(holds: bool) -> Self {
        Self::exact(if holds { "1" } else { "0" })
    }

    fn and(self, other: Self) -> Self {
        Self { sql: format!("{} AND {}", self.sql, other.sql), exact: self.exact && other.exact }
    }

    fn map(self, sql: impl FnOnce(String) -> String) -> Self {
        Self { sql: sql(self.sql), exact: self.exact }
    }
}

/// The parts of a statement about `run AS r`.
#[derive(Clone)]
struct Sql {
    values: Vec<Value>,
    /// How many filters may still be added: SQLite's expressions may be 1000 deep.
    left: usize,
    status: String,
    ended_at: String,
}

impl Sql {
    const MOST_FILTERS: usize = 500;
    /// The most parameters; SQLite takes 32 766.
    const MOST_VALUES: usize = 5_000;
    const MOST_LEVELS: usize = 50;

    /// Runs in `dead` are killed, though their rows do not say so yet.
    fn new(dead: &[i64]) -> Self {
        let (status, ended_at) = ("r.status".to_owned(), "r.ended_at".to_owned());
        let mut sql = Self { values: Vec::new(), left: Self::MOST_FILTERS, status, ended_at };
        if !dead.is_empty() {
            let is_dead = format!("r.id IN (SELECT value FROM json_each({}))", sql.bind(rows::list(dead)));
            sql.status = format!("(CASE WHEN {is_dead} THEN 4 ELSE r.status END)");
            sql.ended_at = format!("(CASE WHEN {is_dead} THEN r.lease_until ELSE r.ended_at END)");
        }
        sql
    }

    fn bind(&mut self, value: impl Into<Value>) -> String {
        self.values.push(value.into());
        format!("?{}", self.values.len())
    }

    fn filter(&mut self, filter: &Filter) -> Condition {
        let Some(left) = self.left.checked_sub(1) else { return Condition::anything() };
        self.left = left;
        match filter {
            Filter::And(parts) => self.all_of(parts),
            Filter::Or(parts) => self.any_of(parts),
            Filter::Not(part) => self.not(part),
            Filter::Metric { key, comparison, value } => {
                let holds = self.number("x.value", *comparison, *value);
                self.has("series", key.as_str(), holds)
            }
            Filter::MetricStat { key, stat, comparison, value } => {
                let holds = self.stat(*stat, *comparison, *value);
                self.has("series", key.as_str(), holds)
            }
            Filter::Param(key, text) => {
                let holds = self.text("x.value", text);
                self.has("param", key.as_str(), holds)
            }
            Filter::Tag(key, text) => {
                let holds = self.text("x.value", text);
                self.has("tag", key.as_str(), holds)
            }
            Filter::HasMetric(key) => self.has("series", key.as_str(), Condition::truth(true)),
            Filter::HasParam(key) => self.has("param", key.as_str(), Condition::truth(true)),
            Filter::HasTag(key) => self.has("tag", key.as_str(), Condition::truth(true)),
            Filter::Name(text) => self.text("r.name", text),
            Filter::Actor(text) => self.text("r.actor", text),
            Filter::Id(text) => self.text("r.run_id", text),
            Filter::Status(any) => self.status(any),
            Filter::Started(comparison, at) => self.moment("r.started_at", *comparison, *at),
            Filter::Ended(comparison, at) => {
                let ended_at = self.ended_at.clone();
                let holds = self.moment(&ended_at, *comparison, *at);
                holds.map(|sql| format!("({ended_at} IS NOT NULL AND {sql})"))
            }
            Filter::HasEnded => Condition::exact(format!("{} IS NOT NULL", self.ended_at)),
            Filter::Took(comparison, limit) => {
                // No run takes longer than an integer can say.
                let limit = i64::try_from(limit.as_micros());
                let took = self.took();
                let holds = match (limit, comparison) {
                    (Ok(limit), _) => format!("{took} {} {}", sign(*comparison), self.bind(limit)),
                    (Err(_), Comparison::Less | Comparison::AtMost | Comparison::NotEqual) => "1".to_owned(),
                    (Err(_), _) => "0".to_owned(),
                };
                Condition::exact(format!("({} IS NOT NULL AND {holds})", self.ended_at))
            }
            Filter::Parent(parent) => {
                Condition::exact(format!("r.parent IS {}", self.bind(parent.as_str().to_owned())))
            }
            Filter::HasParent => Condition::exact("r.parent IS NOT NULL"),
            Filter::Input(asset) => {
                let asset = self.bind(asset.as_str().to_owned());
                let sql =
                    format!("EXISTS (SELECT 1 FROM input AS x WHERE x.run = r.id AND x.asset = {asset})");
                Condition::exact(sql)
            }
            Filter::AnyInput(wanted) => self.input(wanted),
        }
    }

    fn all_of(&mut self, parts: &[Filter]) -> Condition {
        let parts: Vec<Condition> = parts.iter().map(|part| self.filter(part)).collect();
        let exact = parts.iter().all(|part| part.exact);
        let texts = parts.into_iter().filter(|part| !part.is_anything()).map(|part| part.sql);
        Condition { sql: joined(texts, " AND ", "1"), exact }
    }

    fn any_of(&mut self, parts: &[Filter]) -> Condition {
        let before = self.values.len();
        let parts: Vec<Condition> = parts.iter().map(|part| self.filter(part)).collect();
        if parts.iter().any(Condition::is_anything) {
            self.values.truncate(before);
            return Condition::anything();
        }
        let exact = parts.iter().all(|part| part.exact);
        Condition { sql: joined(parts.into_iter().map(|part| part.sql), " OR ", "0"), exact }
    }

    /// The opposite of too much could be too little.
    fn not(&mut self, part: &Filter) -> Condition {
        let before = self.values.len();
        let part = self.filter(part);
        if part.exact {
            return part.map(|sql| format!("NOT ({sql})"));
        }
        self.values.truncate(before);
        Condition::anything()
    }

    /// The run has this parameter, tag or metric, and for it something holds.
    fn has(&mut self, table: &str, key: &str, holds: Condition) -> Condition {
        let key = self.bind(key.to_owned());
        holds.map(|sql| {
            format!("EXISTS (SELECT 1 FROM {table} AS x WHERE x.run = r.id AND x.key = {key} AND {sql})")
        })
    }

    fn input(&mut self, wanted: &InputMatch) -> Condition {
        let mut holds = Condition::truth(true);
        for (column, text) in
            [("x.asset", &wanted.asset), ("x.digest", &wanted.digest), ("x.role", &wanted.role)]
        {
            if let Some(text) = text {
                holds = holds.and(self.text(column, text));
            }
        }
        if let Some(version) = wanted.version {
            let version = self.bind(version.get().cast_signed());
            holds = holds.and(Condition::exact(format!("x.version = {version}")));
        }
        holds.map(|sql| format!("EXISTS (SELECT 1 FROM input AS x WHERE x.run = r.id AND {sql})"))
    }

    /// A text that is never NULL.
    fn text(&mut self, column: &str, text: &Match) -> Condition {
        match text {
            Match::Equals(value) => Condition::exact(format!("{column} = {}", self.bind(value.clone()))),
            Match::Contains(part) => {
                Condition::exact(format!("instr({column}, {}) > 0", self.bind(part.clone())))
            }
            Match::StartsWith(part) => {
                Condition::exact(format!("instr({column}, {}) = 1", self.bind(part.clone())))
            }
            Match::In(values) => self.one_of(column, "IN", values),
            Match::NotIn(values) => self.one_of(column, "NOT IN", values),
            // SQLite's pattern takes both cases, and ends at a NUL.
            Match::Like(pattern) | Match::ILike(pattern) if !pattern.contains('\0') => {
                let pattern = self.bind(pattern.clone());
                Condition::generous(format!("({column} LIKE {pattern} OR instr({column}, char(0)) > 0)"))
            }
            Match::Like(_) | Match::ILike(_) => Condition::anything(),
        }
    }

    fn one_of(&mut self, column: &str, relation: &str, values: &[String]) -> Condition {
        if self.values.len() + values.len() > Self::MOST_VALUES {
            return Condition::anything();
        }
        let values: Vec<String> = values.iter().map(|value| self.bind(value.clone())).collect();
        Condition::exact(format!("{column} {relation} ({})", values.join(", ")))
    }

    fn status(&mut self, any: &[RunStatus]) -> Condition {
        let mut numbers: Vec<String> = any.iter().map(|s| rows::status_number(*s).to_string()).collect();
        numbers.sort();
        numbers.dedup();
        Condition::exact(format!("{} IN ({})", self.status, numbers.join(", ")))
    }

    /// A time, which is kept in whole microseconds, against one that may have a part of one.
    fn moment(&mut self, column: &str, comparison: Comparison, at: Timestamp) -> Condition {
        // Leap seconds have no microsecond of their own.
        if at.timestamp_subsec_nanos() >= 1_000_000_000 {
            return Condition::anything();
        }
        let whole = at.timestamp_subsec_nanos().is_multiple_of(1000);
        let sign = match comparison {
            comparison if whole => sign(comparison),
            Comparison::Less | Comparison::AtMost => "<=",
            Comparison::Greater | Comparison::AtLeast => ">",
            Comparison::Equal => return Condition::truth(false),
            Comparison::NotEqual => return Condition::truth(true),
        };
        Condition::exact(format!("{column} {sign} {}", self.bind(at.timestamp_micros())))
    }

    /// A value's key, which is no NULL, against a value.
    fn number(&mut self, column: &str, comparison: Comparison, value: f64) -> Condition {
        if value.is_nan() {
            return Condition::truth(comparison == Comparison::NotEqual);
        }
        let (least, most) = value::equal(value);
        let greatest = value::greatest();
        Condition::exact(match comparison {
            Comparison::Less => format!("{column} < {}", self.bind(least)),
            Comparison::AtMost => format!("{column} <= {}", self.bind(most)),
            Comparison::Equal => format!("{column} BETWEEN {} AND {}", self.bind(least), self.bind(most)),
            Comparison::NotEqual => {
                format!("{column} NOT BETWEEN {} AND {}", self.bind(least), self.bind(most))
            }
            // NaN's key is greater than all others.
            Comparison::AtLeast => {
                format!("{column} BETWEEN {} AND {}", self.bind(least), self.bind(greatest))
            }
            Comparison::Greater => {
                format!("({column} > {} AND {column} <= {})", self.bind(most), self.bind(greatest))
            }
        })
    }

    fn stat(&mut self, stat: MetricStat, comparison: Comparison, value: f64) -> Condition {
        let column = match stat {
            MetricStat::Min => "x.min",
            MetricStat::Max => "x.max",
            MetricStat::Count if value.is_nan() => {
                return Condition::truth(comparison == Comparison::NotEqual);
            }
            MetricStat::Count => {
                return Condition::exact(format!("x.count {} {}", sign(comparison), self.bind(value)));
            }
        };
        let holds = self.number(column, comparison, value);
        holds.map(|sql| format!("({column} IS NOT NULL AND {sql})"))
    }

    /// How long a run took; no more than an integer can say.
    fn took(&self) -> String {
        let (least, most) = ("-9223372036854775807 - 1", "9223372036854775807");
        format!("max({least}, min({most}, {} - r.started_at))", self.ended_at)
    }

    /// What runs are ordered by; NULL where a run does not have it.
    fn field(&mut self, field: &Field) -> String {
        match field {
            Field::Started => "r.started_at".to_owned(),
            Field::Name => "r.name".to_owned(),
            Field::Id => "r.run_id".to_owned(),
            Field::Actor => "r.actor".to_owned(),
            Field::Ended => self.ended_at.clone(),
            Field::Took => self.took(),
            Field::Status => {
                let names = [
                    RunStatus::Scheduled,
                    RunStatus::Running,
                    RunStatus::Finished,
                    RunStatus::Failed,
                    RunStatus::Killed,
                ]
                .map(|status| format!("WHEN {} THEN '{}'", rows::status_number(status), status.as_str()));
                format!("CASE {} {} END", self.status, names.join(" "))
            }
            Field::Metric(key) => {
                let number =
                    format!("CASE WHEN x.value <= {} THEN x.value END", self.bind(value::greatest()));
                self.of_key("series", key.as_str(), &number)
            }
            Field::MetricStat(key, stat) => {
                let number = match stat {
                    MetricStat::Min => "x.min",
                    MetricStat::Max => "x.max",
                    MetricStat::Count => "x.count",
                };
                self.of_key("series", key.as_str(), number)
            }
            Field::Param(key) => self.of_key("param", key.as_str(), "x.value"),
            Field::Tag(key) => self.of_key("tag", key.as_str(), "x.value"),
        }
    }

    fn of_key(&mut self, table: &str, key: &str, what: &str) -> String {
        let key = self.bind(key.to_owned());
        format!("(SELECT {what} FROM {table} AS x WHERE x.run = r.id AND x.key = {key})")
    }
}

fn joined(parts: impl Iterator<Item = String>, by: &str, none: &str) -> String {
    let parts: Vec<String> = parts.collect();
    if parts.is_empty() { none.to_owned() } else { format!("({})", parts.join(by)) }
}

fn sign(comparison: Comparison) -> &'static str {
    match comparison {
        Comparison::Less => "<",
        Comparison::AtMost => "<=",
        Comparison::Equal => "=",
        Comparison::NotEqual => "<>",
        Comparison::AtLeast => ">=",
        Comparison::Greater => ">",
    }
}
