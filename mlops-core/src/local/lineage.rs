//! Lineage through the whole store: what the registry links, and what runs say they used.

use rusqlite::types::Type;
use rusqlite::{Connection, Row};

use super::db::failed;
use super::registry;
use super::store::LocalStore;
use crate::error::Result;
use crate::hash::Digest;
use crate::id::{AssetName, RunId, Version};
use crate::registry::{Direction, Edge, LineageGraph, Node, Relation};

const OP: &str = "LocalStore::lineage";

impl LocalStore {
    /// Follows lineage from a node, at most `depth` steps: the edges of the
    /// [registry](crate::registry::ModelRegistry::lineage), and from data to every run that has it among its inputs, deleted
    /// ones too.
    ///
    /// Reads the edges of what is reached, and no others.
    ///
    /// ```
    /// use mlops_core::local::LocalStore;
    /// use mlops_core::registry::{Direction, Node};
    /// use mlops_core::{ModelName, Version};
    /// # let dir = tempfile::tempdir()?;
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
    /// let store = LocalStore::open(dir.path())?;
    /// let model = Node::Model { name: ModelName::new("churn")?, version: Version::FIRST };
    /// let origins = store.lineage(&model, Direction::Upstream, 10).await?;
    /// assert_eq!(origins.nodes, [model]);
    /// # Ok::<(), mlops_core::Error>(()) })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn lineage(&self, node: &Node, direction: Direction, depth: u32) -> Result<LineageGraph> {
        let node = node.clone();
        let follow = move |connection: &Connection| {
            registry::reach(&node, direction, depth, |node| {
                let mut edges = registry::neighbours(OP, connection, node, direction)?;
                edges.extend(inputs(connection, node, direction)?);
                Ok(edges)
            })
        };
        self.inner().db.read(OP, follow).await
    }
}

/// The edges between data and runs.
fn inputs(connection: &Connection, node: &Node, direction: Direction) -> Result<Vec<Edge>> {
    let columns = "SELECT i.asset, i.version, i.digest, r.run_id FROM input i JOIN run r ON r.id = i.run";
    let read = |tail: &str, params: &[&dyn rusqlite::ToSql]| -> rusqlite::Result<Vec<Edge>> {
        let mut statement = connection.prepare_cached(&format!("{columns} {tail}"))?;
        statement.query_map(params, edge)?.collect()
    };
    let edges = match (node, direction) {
        (Node::Run(run), Direction::Upstream) => {
            read("WHERE r.run_id = ?1 ORDER BY i.place", &[&run.as_str()])
        }
        (Node::Data { name, version, digest }, Direction::Downstream) => {
            let tail = "WHERE i.asset = ?1 AND i.version = ?2 AND i.digest = ?3 ORDER BY i.run, i.place";
            read(tail, &[&name.as_str(), &version.get().cast_signed(), &digest.hex()])
        }
        _ => return Ok(Vec::new()),
    };
    edges.map_err(failed(OP))
}

fn edge(row: &Row<'_>) -> rusqlite::Result<Edge> {
    let damaged = |at: usize, e: Box<dyn std::error::Error + Send + Sync>| {
        rusqlite::Error::FromSqlConversionFailure(at, Type::Text, e)
    };
    let [asset, digest, run] = [row.get::<_, String>(0)?, row.get(2)?, row.get(3)?];
    let version = Version::new(row.get::<_, i64>(1)?.cast_unsigned());
    let from = Node::Data {
        name: AssetName::new(asset).map_err(|e| damaged(0, e.into()))?,
        version: version.ok_or(rusqlite::Error::IntegralValueOutOfRange(1, 0))?,
        digest: format!("sha256:{digest}").parse::<Digest>().map_err(|e| damaged(2, e.into()))?,
    };
    let to = Node::Run(run.parse::<RunId>().map_err(|e| damaged(3, e.into()))?);
    Ok(Edge { from, to, relation: Relation::UsedBy })
}
