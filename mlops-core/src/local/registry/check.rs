//! Checking all rows of the registry, and that they agree with each other.

use std::collections::{BTreeMap, HashMap};

use rusqlite::Connection;

use super::lineage::{EDGES, EdgeRow, NodeRow};
use super::protection::{PROTECTED, ProtectedRow};
use super::rows::{AliasRow, CallRow, ContentRow, EVENTS, EventRow, HistoryRow, ModelRow, VersionRow};
use crate::error::Result;
use crate::hash::Digest;
use crate::id::{Alias, ModelName, Version};
use crate::local::row::Record as _;
use crate::local::verify::{Contents, FindingKind, Findings, gaps};
use crate::registry::{AliasRecord, Node};
use crate::time::Timestamp;

/// The content of each version, and whether it is archived.
type Versions = BTreeMap<(ModelName, Version), (Digest, bool)>;

/// What matters of the record of a change.
struct Change {
    sequence: u64,
    from: Option<Version>,
    to: Option<Version>,
    at: Timestamp,
}

impl Change {
    fn of(record: &AliasRecord) -> Self {
        Self { sequence: record.sequence, from: record.from, to: record.to, at: record.at }
    }
}

/// Checks the registry, and says what content it refers to.
pub(crate) fn check(connection: &Connection, findings: &mut Findings, contents: &mut Contents) -> Result<()> {
    let models = models(connection, findings)?;
    let versions = versions(connection, findings, &models)?;
    for ((model, version), (artifact, _)) in &versions {
        contents.model(*artifact, format_args!("model {model}:{version}"));
    }
    content_index(connection, findings, &versions)?;
    aliases(connection, findings, &models, &versions)?;
    calls(connection, findings, &models)?;
    events(connection, findings)?;
    protected(connection, findings)?;
    lineage(connection, findings)
}

fn models(connection: &Connection, findings: &mut Findings) -> Result<BTreeMap<ModelName, ModelRow>> {
    let models: Vec<ModelRow> = findings.rows(connection, "name", |row| row)?;
    findings.names(connection, &models)?;
    Ok(models.into_iter().map(|model| (model.name.clone(), model)).collect())
}

fn versions(
    connection: &Connection,
    findings: &mut Findings,
    models: &BTreeMap<ModelName, ModelRow>,
) -> Result<Versions> {
    let mut numbers: BTreeMap<ModelName, Vec<u64>> =
        models.keys().map(|name| (name.clone(), Vec::new())).collect();
    let mut versions = Versions::new();
    let keep = |VersionRow { made, .. }| (made.spec.model, made.version, made.spec.artifact, made.archived);
    for (model, version, artifact, archived) in findings.rows(connection, "model, version", keep)? {
        numbers.entry(model.clone()).or_default().push(version.get());
        versions.insert((model, version), (artifact, archived));
    }
    for (name, found) in numbers {
        let expected = models.get(&name).map_or(0, |model| model.versions);
        findings.count(format!("model_version {name}"), expected, found.len() as u64);
        for gap in gaps(expected, found) {
            findings.add(FindingKind::Missing, format!("model_version {name} {gap}"), "the version is gone");
        }
    }
    Ok(versions)
}

fn content_index(connection: &Connection, findings: &mut Findings, versions: &Versions) -> Result<()> {
    let mut highest = HashMap::new();
    for ((model, version), (artifact, _)) in versions {
        highest.insert((model, *artifact), *version);
    }
    let rows: Vec<ContentRow> = findings.rows(connection, "model, artifact", |row| row)?;
    findings.count("model_content", highest.len() as u64, rows.len() as u64);
    for row in rows {
        if highest.get(&(&row.model, row.artifact)) != Some(&row.version) {
            let subject = format!("model_content {} {}", row.model, row.artifact);
            let reason = format!("version {} is not the highest one with this content", row.version);
            findings.add(FindingKind::Inconsistent, subject, reason);
        }
    }
    Ok(())
}

fn aliases(
    connection: &Connection,
    findings: &mut Findings,
    models: &BTreeMap<ModelName, ModelRow>,
    versions: &Versions,
) -> Result<()> {
    let mut histories: BTreeMap<(ModelName, Alias), Vec<Change>> = BTreeMap::new();
    let keep = |HistoryRow(record)| (Change::of(&record), (record.model, record.alias));
    for (change, of) in findings.rows(connection, "model, alias, sequence", keep)? {
        histories.entry(of).or_default().push(change);
    }
    let aliases: Vec<AliasRow> = findings.rows(connection, "model, alias", |row| row)?;
    for (name, model) in models {
        let found = aliases.iter().filter(|row| row.model == *name).count() as u64;
        findings.count(format!("alias {name}"), model.aliases, found);
    }
    for row in aliases {
        let subject = format!("alias {} {}", row.model, row.alias);
        if let Some(target) = row.target {
            let reason = match versions.get(&(row.model.clone(), target)) {
                Some((_, false)) => None,
                Some(_) => Some("is archived"),
                None => Some("is not there"),
            };
            if let Some(reason) = reason {
                let reason = format!("it points to version {target}, which {reason}");
                findings.add(FindingKind::Inconsistent, subject.as_str(), reason);
            }
        }
        let history = histories.remove(&(row.model.clone(), row.alias.clone())).unwrap_or_default();
        check_history(findings, &subject, &row, &history);
    }
    for (model, alias) in histories.into_keys() {
        let subject = format!("alias {model} {alias}");
        findings.add(FindingKind::Missing, subject, "there is a history of it, and nothing else");
    }
    Ok(())
}

fn check_history(findings: &mut Findings, subject: &str, row: &AliasRow, history: &[Change]) {
    for gap in gaps(row.sequence, history.iter().map(|record| record.sequence)) {
        let subject = format!("alias_history {} {} {gap}", row.model, row.alias);
        findings.add(FindingKind::Missing, subject, "the record is gone");
    }
    let mut inconsistent = |reason: String| findings.add(FindingKind::Inconsistent, subject, reason);
    for (one, two) in history.iter().zip(history.iter().skip(1)) {
        if one.at > two.at {
            inconsistent(format!("its record {} is before the one that precedes it", two.sequence));
        }
        if one.sequence + 1 == two.sequence && one.to != two.from {
            inconsistent(format!("its record {} does not begin where the one before ended", two.sequence));
        }
    }
    match history.last() {
        Some(last) if last.sequence > row.sequence => {
            inconsistent(format!("it was changed {} times, and has records of more", row.sequence));
        }
        Some(last) if last.sequence == row.sequence && (last.to, last.at) != (row.target, row.at) => {
            inconsistent("it does not point to where its last record says".to_owned());
        }
        _ => {}
    }
}

fn calls(
    connection: &Connection,
    findings: &mut Findings,
    models: &BTreeMap<ModelName, ModelRow>,
) -> Result<()> {
    for call in findings.rows(connection, "key", |row: CallRow| row)? {
        let known = models.get(&call.model);
        let there = known.is_some_and(|model| call.alias.is_some() || call.result <= model.versions);
        if !there {
            let reason = format!("it was of model {}, and what it did is not there", call.model);
            findings.add(FindingKind::Inconsistent, format!("registry_call {}", call.key), reason);
        }
    }
    Ok(())
}

fn events(connection: &Connection, findings: &mut Findings) -> Result<()> {
    let events: Vec<u64> = findings.rows(connection, "sequence", |EventRow(event)| event.sequence)?;
    let counted = findings.tally(connection, EVENTS)?;
    findings.count("registry_event", counted, events.len() as u64);
    for gap in gaps(counted, events) {
        findings.add(FindingKind::Missing, format!("registry_event {gap}"), "the event is gone");
    }
    Ok(())
}

fn protected(connection: &Connection, findings: &mut Findings) -> Result<()> {
    let rows = findings.rows(connection, "alias", |_: ProtectedRow| ())?.len() as u64;
    let counted = findings.tally(connection, PROTECTED)?;
    findings.count(ProtectedRow::TABLE, counted, rows);
    Ok(())
}

fn lineage(connection: &Connection, findings: &mut Findings) -> Result<()> {
    let mut degrees: HashMap<Node, (u64, u64)> = HashMap::new();
    let count = |EdgeRow { edge, .. }| {
        degrees.entry(edge.from).or_default().1 += 1;
        degrees.entry(edge.to).or_default().0 += 1;
    };
    let edges = findings.rows(connection, "sequence", count)?.len() as u64;
    let counted = findings.tally(connection, EDGES)?;
    findings.count("lineage_edge", counted, edges);
    for row in findings.rows(connection, "node", |row: NodeRow| row)? {
        if degrees.remove(&row.node).unwrap_or_default() != (row.origins, row.uses) {
            let reason = "it has not as many edges as were counted";
            findings.add(FindingKind::Missing, format!("lineage_node {}", row.node), reason);
        }
    }
    for node in degrees.into_keys() {
        findings.add(FindingKind::Missing, format!("lineage_node {node}"), "it has edges, and nothing else");
    }
    Ok(())
}
