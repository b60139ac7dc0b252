//! The question Hello: who we are, what our program reads, and what it is answered. Whoever asks it for its own purpose
//! (links, programs, incarnations) takes from the answer what it wants.

use std::time::Duration;

use plantao_proto::peer::v1::forward_service_client::ForwardServiceClient;
use plantao_proto::peer::v1::{HelloRequest, HelloResponse, LinkReport};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};
use tonic::Status;

use super::convert::Affiliation;
use crate::storage::level::LEVEL_FIRST;
use crate::transport::{Lane, PeerChannels};

/// Asks one node at its address, whose certificate must have its number. `None`: it could not be reached, or said nothing until
/// the deadline.
pub(super) async fn ask(
    (id, address): (u64, &str),
    us: Affiliation,
    newest_level: u32,
    links: Vec<LinkReport>,
    channels: &PeerChannels,
    deadline: Instant,
) -> Option<Result<HelloResponse, Status>> {
    let channel = channels.channel(id, address, Lane::Forward).ok()?;
    let question =
        HelloRequest { header: Some(us.header(id)), format_min: LEVEL_FIRST, format_max: newest_level, links };
    let answer = timeout_at(deadline, ForwardServiceClient::new(channel).hello(question)).await.ok()?;
    Some(answer.map(tonic::Response::into_inner))
}

/// Asks these nodes at the same time, ourselves left out, and returns what those answered that did so in time.
pub(super) async fn ask_all(
    nodes: Vec<(u64, String)>,
    us: Affiliation,
    newest_level: u32,
    channels: &PeerChannels,
    time_max: Duration,
) -> Vec<(u64, Result<HelloResponse, Status>)> {
    let deadline = Instant::now() + time_max;
    let mut calls = JoinSet::new();
    for (id, address) in nodes.into_iter().filter(|(id, _)| *id != us.node) {
        let channels = channels.clone();
        calls.spawn(async move {
            let answer = ask((id, &address), us, newest_level, Vec::new(), &channels, deadline).await?;
            Some((id, answer))
        });
    }
    let mut answers = Vec::new();
    while let Some(answer) = calls.join_next().await {
        answers.extend(answer.ok().flatten());
    }
    answers
}
