//! `plantao endpoint`: the address of a node with a role, one line, for scripts. Which public address belongs to which node is
//! asked of the nodes themselves: a context need not list both planes in one order.

use crate::cmd::health;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Items, Report, Table};
use crate::session::Session;
use crate::text::Word;
use clap::{Args, ValueEnum};
use plantao_client::Cluster;
use plantao_client::services::LOCAL;
use plantao_proto::admin::v1::{GetHealthResponse, NodeRole};
use plantao_proto::public::v1::{ListUnitsRequest, Page};
use serde_json::{Map, json};

/// Of whom, and which.
#[derive(Debug, Args)]
pub(crate) struct EndpointArgs {
    /// The leader, or one that reads go to
    #[arg(long, value_enum)]
    role: EndpointRole,
    /// Which listener's address
    #[arg(long, value_enum, default_value = "public")]
    plane: EndpointPlane,
}

/// What the node is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum EndpointRole {
    /// Takes writes without a way round
    Leader,
    /// Serves content, and does not lead where another can
    Reader,
}

/// Which listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum EndpointPlane {
    /// For programs
    Public,
    /// For operators
    Admin,
}

/// Runs it.
pub(crate) async fn run(args: EndpointArgs, session: &Session) -> Result<Exit, Failure> {
    let (cluster, _) = session.admin()?;
    let probes = health::ask(&cluster).await;
    let answers: Vec<_> = probes.iter().filter_map(|probe| Some((probe.address(), probe.answer()?))).collect();
    if answers.is_empty() {
        return Err(Failure::Connect {
            why: probes.first().map(|probe| probe.error(session.out.lang)).unwrap_or_default(),
        });
    }
    let nodes: Vec<&GetHealthResponse> = answers.iter().map(|(_, answer)| *answer).collect();
    let wanted = choose(&nodes, args.role);
    if wanted.is_empty() {
        return Err(match args.role {
            EndpointRole::Leader => Failure::NoLeader,
            EndpointRole::Reader => Failure::Unavailable { why: "no node that answers is healthy".to_owned() },
        });
    }
    let found = match args.plane {
        EndpointPlane::Admin => wanted
            .iter()
            .find_map(|id| answers.iter().find(|(_, answer)| answer.node_id == *id))
            .map(|(address, _)| (*address).to_owned()),
        EndpointPlane::Public => Some(public_of(&cluster, &wanted).await?),
    };
    let address = found.ok_or(Failure::NoLeader)?;
    if session.out.format.is_json() {
        session.out.report(&Report {
            kind: "endpoint",
            head: Map::new(),
            items: Items::One("endpoint", json!({ "address": address })),
            table: Table::pairs(session.out.lang, vec![(Word::Address, address.into())]),
        })?;
    } else {
        session.out.raw(format!("{}\n", crate::escape::shown(&address)).as_bytes())?;
    }
    Ok(Exit::Done)
}

/// Numbers of the nodes that fit, the best first.
fn choose(nodes: &[&GetHealthResponse], role: EndpointRole) -> Vec<u64> {
    // A deposed leader may not know it yet: the higher term is the later one.
    let leading = nodes.iter().filter(|node| node.role() == NodeRole::Leader).max_by_key(|node| node.term);
    let leader = leading.map(|node| node.node_id);
    match role {
        EndpointRole::Leader => leader.into_iter().collect(),
        EndpointRole::Reader => {
            let mut fit: Vec<_> = nodes.iter().filter(|node| node.healthy).collect();
            fit.sort_by_key(|node| (Some(node.node_id) == leader, u64::MAX - node.applied_index));
            fit.iter().map(|node| node.node_id).collect()
        }
    }
}

/// The public address of the first of `wanted` that has one: each endpoint is asked who it is.
async fn public_of(cluster: &Cluster, wanted: &[u64]) -> Result<String, Failure> {
    let mut known = Vec::new();
    let mut last = None;
    for address in cluster.addresses() {
        let Some(only) = cluster.only(address) else { continue };
        let page = Some(Page { size: 1, ..Page::default() });
        match only.list_units(ListUnitsRequest { read: Some(LOCAL), page }).await {
            Ok(answer) => known.push((answer.as_of.map_or(0, |at| at.node_id), address.to_owned())),
            Err(error) => last = Some(error),
        }
    }
    let found = wanted.iter().find_map(|id| known.iter().find(|(node, _)| node == id));
    match (found, last) {
        (Some((_, address)), _) => Ok(address.clone()),
        (None, Some(error)) => Err(Failure::from(error)),
        (None, None) => {
            Err(Failure::Unavailable { why: "no public address of the context leads to that node".to_owned() })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(node_id: u64, role: NodeRole, term: u64, healthy: bool) -> GetHealthResponse {
        GetHealthResponse { node_id, role: role.into(), term, healthy, ..GetHealthResponse::default() }
    }

    #[test]
    fn the_leader_of_the_highest_term_leads_and_reads_go_elsewhere() {
        let nodes = [
            node(1, NodeRole::Leader, 4, true),
            node(2, NodeRole::Leader, 5, true),
            node(3, NodeRole::Voter, 5, false),
            node(4, NodeRole::Voter, 5, true),
        ];
        let nodes: Vec<_> = nodes.iter().collect();
        assert_eq!(choose(&nodes, EndpointRole::Leader), [2]);
        assert_eq!(choose(&nodes, EndpointRole::Reader), [1, 4, 2]);
        assert_eq!(choose(&nodes[2..], EndpointRole::Leader), Vec::<u64>::new());
        assert_eq!(choose(&nodes[1..2], EndpointRole::Reader), [2], "a leader alone serves reads too");
    }
}
