//! What an operator sees of the images' copies: by node, from the rows, with what each node says of its own directory where
//! it answers at once.

use super::Keeper;
use super::backlog::{Backlog, LinkRate, backlog};
use crate::gateway::Error;
use crate::images::convert::HeldReport;
use plantao_domain::NodeId;
use plantao_domain::rows::{self, Amount, ImagesHead, PAGE_ROWS_MAX};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// How long another node may take to say what it holds: a status is there within a second.
const ANSWER_TIME_MAX: Duration = Duration::from_millis(500);

/// The copies of one node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NodeCopies {
    /// The node.
    pub node: NodeId,
    /// On what they rest, as registered.
    pub medium: String,
    /// What committed images place there.
    pub expected: Amount,
    /// What of that has a receipt.
    pub received: Amount,
    /// What has none, and how long that takes over the links as this node sees them.
    pub backlog: Backlog,
    /// What it says of its directory; `None`: it did not answer at once.
    pub directory: Option<DirectoryState>,
}

/// A directory, as its node sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DirectoryState {
    /// Files.
    pub chunks: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Since the oldest check of one of them.
    pub oldest_check_age: Duration,
    /// Bad copies that were found since the node started.
    pub bad: u64,
}

/// All images of the network.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ImagesReport {
    /// Counts of the network.
    pub head: ImagesHead,
    /// Nodes with a directory that counts, in order.
    pub nodes: Vec<NodeCopies>,
    /// Whether this node has a directory that can be used.
    pub has_directory: bool,
    /// Chunks that should be on this node and that no node gave.
    pub without_source: u64,
}

impl Keeper {
    /// As it is now. Asks the other nodes, for a moment.
    ///
    /// # Errors
    /// The state cannot be read.
    pub async fn report(&self) -> Result<ImagesReport, Error> {
        let mut report = self.rows_report(|_| true)?;
        let nodes: Vec<NodeId> = report.nodes.iter().map(|copies| copies.node).collect();
        let mut directories = self.directories(nodes).await;
        for copies in &mut report.nodes {
            copies.directory = directories.remove(&copies.node);
        }
        Ok(report)
    }

    /// The same of this node alone; nobody is asked.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn own_report(&self) -> Result<ImagesReport, Error> {
        let us = self.chunks.node();
        let mut report = self.rows_report(|node| node == us)?;
        if let Some(own) = report.nodes.first_mut() {
            own.directory = self.own_directory();
        }
        Ok(report)
    }

    fn rows_report(&self, wanted: impl Fn(NodeId) -> bool) -> Result<ImagesReport, Error> {
        let state = &**self.chunks.state();
        let head = rows::images_head(state)?;
        let stores = rows::stores(state, None, PAGE_ROWS_MAX)?;
        let live: Vec<_> = stores.into_iter().filter(|(_, row)| row.retired_at.is_none()).collect();
        let us = self.chunks.node();
        let links = self.peers.links();
        let calendars: BTreeMap<NodeId, _> = live.iter().map(|(node, _)| (*node, links.calendar(*node))).collect();
        let rate = |node: NodeId| {
            let calendar = calendars.get(&node).filter(|_| node != us)?;
            Some(LinkRate { calendar, measured: links.measured(node) })
        };
        let nodes = live.iter().filter(|(node, _)| wanted(*node)).map(|(node, row)| {
            // What this node lacks may come from any other; what another lacks is seen over the link to it.
            let over: Vec<LinkRate<'_>> = if *node == us {
                live.iter().filter_map(|(other, _)| rate(*other)).collect()
            } else {
                rate(*node).into_iter().collect()
            };
            NodeCopies {
                node: *node,
                medium: row.medium.clone(),
                expected: row.expected,
                received: row.received,
                backlog: backlog(row, &over, links.minute()),
                directory: None,
            }
        });
        let nodes = nodes.collect();
        let without_source = self.figures.without_source();
        Ok(ImagesReport { head, nodes, has_directory: self.chunks.store().is_some(), without_source })
    }

    /// This node's directory.
    pub fn own_directory(&self) -> Option<DirectoryState> {
        let figures = self.chunks.store()?.directory().figures();
        let now = self.gateway.clock().now().millis();
        let age = figures.held.oldest_check.map_or(0, |at| now.saturating_sub(at.millis()));
        Some(DirectoryState {
            chunks: figures.held.count,
            bytes: figures.held.bytes,
            oldest_check_age: Duration::from_millis(u64::try_from(age).unwrap_or(0)),
            bad: figures.bad.iter().sum(),
        })
    }

    async fn directories(&self, nodes: Vec<NodeId>) -> BTreeMap<NodeId, DirectoryState> {
        let us = self.chunks.node();
        let mut asked = JoinSet::new();
        for node in nodes.into_iter().filter(|node| *node != us && self.peers.is_reachable(*node)) {
            let peers = self.peers.clone();
            asked.spawn(async move { (node, timeout(ANSWER_TIME_MAX, peers.held(node)).await) });
        }
        let mut found: BTreeMap<NodeId, DirectoryState> =
            self.own_directory().map(|own| (us, own)).into_iter().collect();
        while let Some(answer) = asked.join_next().await {
            if let Ok((node, Ok(Ok(report)))) = answer {
                found.insert(node, DirectoryState::of(&report));
            }
        }
        found
    }
}

impl DirectoryState {
    fn of(report: &HeldReport) -> Self {
        let ages = report.partitions.iter().map(|partition| partition.oldest_check_age);
        Self {
            chunks: report.partitions.iter().map(|partition| partition.count).sum(),
            bytes: report.partitions.iter().map(|partition| partition.bytes).sum(),
            oldest_check_age: ages.max().unwrap_or_default(),
            bad: report.bad,
        }
    }
}
