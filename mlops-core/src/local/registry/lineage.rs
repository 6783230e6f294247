//! Lineage: edges that are followed by reading those that are reached, and no others.

use std::collections::{HashMap, HashSet};

use rusqlite::Connection;
use rusqlite::types::Value;

use crate::error::Result;
use crate::local::row::{self, Cells, Record, Tally, damaged, doc, number};
use crate::registry::{Direction, Edge, LineageGraph, Node};

/// The tally of edges, which numbers them.
pub(super) const EDGES: &str = "lineage edges";

/// An edge, and when it was linked as a number.
#[derive(Debug)]
pub(crate) struct EdgeRow {
    sequence: u64,
    pub(crate) edge: Edge,
}

impl Record for EdgeRow {
    const TABLE: &'static str = "lineage_edge";
    const COLUMNS: &'static str = "sequence, origin, target, relation";
    const KEY: usize = 1;

    fn cells(&self) -> Result<Vec<Value>> {
        const OP: &str = "ModelRegistry::link";
        let Edge { from, to, relation } = &self.edge;
        Ok(vec![number(OP, self.sequence)?, doc(OP, from)?, doc(OP, to)?, doc(OP, relation)?])
    }

    fn read(cells: &Cells<'_, '_>) -> Result<Self> {
        let edge = Edge { from: cells.doc(1)?, to: cells.doc(2)?, relation: cells.doc(3)? };
        Ok(Self { sequence: cells.number(0)?, edge })
    }
}

/// How many edges a node has.
#[derive(Debug)]
pub(crate) struct NodeRow {
    pub(crate) node: Node,
    pub(crate) origins: u64,
    pub(crate) uses: u64,
}

impl Record for NodeRow {
    const TABLE: &'static str = "lineage_node";
    const COLUMNS: &'static str = "node, origins, uses";
    const KEY: usize = 1;

    fn cells(&self) -> Result<Vec<Value>> {
        const OP: &str = "ModelRegistry::link";
        Ok(vec![doc(OP, &self.node)?, number(OP, self.origins)?, number(OP, self.uses)?])
    }

    fn read(cells: &Cells<'_, '_>) -> Result<Self> {
        Ok(Self { node: cells.doc(0)?, origins: cells.number(1)?, uses: cells.number(2)? })
    }
}

impl NodeRow {
    fn of(operation: &'static str, connection: &Connection, node: &Node) -> Result<Self> {
        let found = row::find(operation, connection, "WHERE node = ?1", [doc(operation, node)?])?;
        Ok(found.unwrap_or_else(|| Self { node: node.clone(), origins: 0, uses: 0 }))
    }
}

/// Links an edge that may be linked already.
pub(super) fn link(operation: &'static str, connection: &Connection, edge: &Edge) -> Result<()> {
    let [from, to] = [doc(operation, &edge.from)?, doc(operation, &edge.to)?];
    let tail = "WHERE origin = ?1 AND target = ?2 AND relation = ?3";
    let key = (from, to, doc(operation, &edge.relation)?);
    if let Some(found) = row::find::<EdgeRow>(operation, connection, tail, key)? {
        // The index says which row it is: a damaged one may say another.
        let same = found.edge == *edge;
        return if same { Ok(()) } else { Err(damaged(operation, EdgeRow::TABLE, found.sequence)) };
    }
    let sequence = Tally::next(operation, connection, EDGES)?;
    row::insert(operation, connection, &EdgeRow { sequence, edge: edge.clone() })?;
    let mut origin = NodeRow::of(operation, connection, &edge.from)?;
    origin.uses += 1;
    row::put(operation, connection, &origin)?;
    // Read after that was written: an edge may lead to where it comes from.
    let mut target = NodeRow::of(operation, connection, &edge.to)?;
    target.origins += 1;
    row::put(operation, connection, &target)
}

/// The edges of a node in one direction, in the order in which they were linked.
pub(crate) fn neighbours(
    operation: &'static str,
    connection: &Connection,
    node: &Node,
    direction: Direction,
) -> Result<Vec<Edge>> {
    let tail = match direction {
        Direction::Upstream => "WHERE target = ?1 ORDER BY sequence",
        Direction::Downstream => "WHERE origin = ?1 ORDER BY sequence",
    };
    let rows: Vec<EdgeRow> = row::list(operation, connection, tail, [doc(operation, node)?])?;
    // The index says which rows they are: a damaged one may say others, or one of them twice.
    let mut last = 0;
    for EdgeRow { sequence, edge } in &rows {
        let here = match direction {
            Direction::Upstream => &edge.to,
            Direction::Downstream => &edge.from,
        };
        if here != node || *sequence <= last {
            return Err(damaged(operation, EdgeRow::TABLE, sequence));
        }
        last = *sequence;
    }
    let known = NodeRow::of(operation, connection, node)?;
    let counted = match direction {
        Direction::Upstream => known.origins,
        Direction::Downstream => known.uses,
    };
    if counted != rows.len() as u64 {
        let error = damaged(operation, EdgeRow::TABLE, format_args!("of {node}"));
        return Err(error.with("expected", counted).with("found", rows.len()));
    }
    Ok(rows.into_iter().map(|row| row.edge).collect())
}

/// Follows edges breadth-first from `start`, at most `depth` steps; `neighbours` has the edges of one node. Cycles do no
/// harm, and what is not reached is not read.
pub(crate) fn reach(
    start: &Node,
    direction: Direction,
    depth: u32,
    mut neighbours: impl FnMut(&Node) -> Result<Vec<Edge>>,
) -> Result<LineageGraph> {
    let mut graph = LineageGraph { nodes: vec![start.clone()], edges: Vec::new() };
    let mut steps = HashMap::from([(start.clone(), 0)]);
    let mut seen = HashSet::new();
    let mut next = 0;
    while let Some(node) = graph.nodes.get(next).cloned() {
        next += 1;
        let step = steps.get(&node).copied().unwrap_or(depth);
        if step >= depth {
            break;
        }
        for edge in neighbours(&node)? {
            if !seen.insert(edge.clone()) {
                continue;
            }
            let there = match direction {
                Direction::Upstream => &edge.from,
                Direction::Downstream => &edge.to,
            };
            if !steps.contains_key(there) {
                steps.insert(there.clone(), step + 1);
                graph.nodes.push(there.clone());
            }
            graph.edges.push(edge);
        }
    }
    Ok(graph)
}
