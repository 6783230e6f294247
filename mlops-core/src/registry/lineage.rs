//! Lineage: what came from what, from the data to the endpoint and back.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::hash::Digest;
use crate::id::{AssetName, DeploymentName, EndpointName, ModelName, RunId, Version};

/// Something that has an origin or a use.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Node {
    /// A version of a data asset.
    Data {
        /// Its name.
        name: AssetName,
        /// Its version.
        version: Version,
        /// The digest of its content.
        digest: Digest,
    },
    /// A run.
    Run(RunId),
    /// A model version.
    Model {
        /// Its name.
        name: ModelName,
        /// Its version.
        version: Version,
    },
    /// A deployment of an endpoint.
    Deployment {
        /// The endpoint.
        endpoint: EndpointName,
        /// The deployment.
        deployment: DeploymentName,
    },
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Data { name, version, digest } => write!(f, "data {name}:{version} ({digest})"),
            Self::Run(run) => write!(f, "run {run}"),
            Self::Model { name, version } => write!(f, "model {name}:{version}"),
            Self::Deployment { endpoint, deployment } => write!(f, "deployment {endpoint}/{deployment}"),
        }
    }
}

/// How the second node of an edge relates to the first.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Relation {
    /// Data went into a run or a model.
    UsedBy,
    /// A run made a model.
    Produced,
    /// A model is served by a deployment.
    DeployedAs,
    /// Data is what a deployment is monitored against.
    BaselineOf,
}

/// One step of lineage, from origin to use.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Edge {
    /// The origin.
    pub from: Node,
    /// The use.
    pub to: Node,
    /// How they relate.
    pub relation: Relation,
}

/// Which way lineage is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Towards origins: what is this made from?
    Upstream,
    /// Towards uses: what depends on this?
    Downstream,
}

/// The part of the lineage that was reached.
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineageGraph {
    /// The nodes, nearest first, each once; the first is where it started.
    pub nodes: Vec<Node>,
    /// The edges between them, each once.
    pub edges: Vec<Edge>,
}

impl LineageGraph {
    /// Follows edges breadth-first from `start`, at most `depth` steps; cycles do no harm.
    ///
    /// Cost: O(edges) for every level reached.
    ///
    /// ```
    /// use mlops_core::registry::{Direction, Edge, LineageGraph, Node, Relation};
    /// use mlops_core::{ModelName, RunId, Version};
    ///
    /// let run = Node::Run(RunId::generate());
    /// let model = Node::Model { name: ModelName::new("churn")?, version: Version::FIRST };
    /// let edges = [Edge { from: run.clone(), to: model.clone(), relation: Relation::Produced }];
    /// let graph = LineageGraph::reach(&edges, &model, Direction::Upstream, 5);
    /// assert_eq!(graph.nodes, [model, run]);
    /// # Ok::<(), mlops_core::Error>(())
    /// ```
    pub fn reach(edges: &[Edge], start: &Node, direction: Direction, depth: u32) -> Self {
        let mut graph = Self { nodes: vec![start.clone()], edges: Vec::new() };
        let mut seen_nodes = std::collections::HashSet::from([start.clone()]);
        let mut seen_edges = std::collections::HashSet::new();
        let mut frontier = std::collections::HashSet::from([start.clone()]);
        for _ in 0..depth {
            let mut next = std::collections::HashSet::new();
            for edge in edges {
                let (here, there) = match direction {
                    Direction::Upstream => (&edge.to, &edge.from),
                    Direction::Downstream => (&edge.from, &edge.to),
                };
                if !frontier.contains(here) {
                    continue;
                }
                if seen_edges.insert(edge) {
                    graph.edges.push(edge.clone());
                }
                if seen_nodes.insert(there.clone()) {
                    graph.nodes.push(there.clone());
                    next.insert(there.clone());
                }
            }
            if next.is_empty() {
                break;
            }
            frontier = next;
        }
        graph
    }
}
