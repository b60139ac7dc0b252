//! Status, digests, the lead, tokens.

use super::convert;
use super::lead::{handover, policy, refused};
use crate::api::convert::status as status_of;
use crate::consensus::{self, Link, Role};
use crate::entropy::SharedEntropy;
use crate::gateway::Gateway;
use crate::health::Timeline;
use crate::images::keeping::{ImagesReport, Keeper};
use crate::lead::hand_over;
use crate::storage::identity::NodeIdentity;
use crate::transport::{ReloadStatus, peer_identity};
use plantao_proto::admin::v1;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tonic::{Request, Response, Status};

/// How long a handover of the lead may take.
const TRANSFER_TIME_MAX: Duration = Duration::from_secs(10);
/// Silence of a member that is worth a warning.
const SILENT_WARN: Duration = Duration::from_secs(5);
/// Entries behind the leader at which a member counts as behind.
const LAG_WARN: u64 = 1_000;

/// What the node is, for status.
#[derive(Clone)]
pub struct About {
    /// Its identity.
    pub node: Arc<NodeIdentity>,
    /// `fjall` or `sled`.
    pub engine: &'static str,
    /// When the process started.
    pub started: Instant,
    /// Its certificate.
    pub certificate: watch::Receiver<ReloadStatus>,
}

/// All admin services of one node.
#[derive(Clone)]
pub struct AdminServices {
    gateway: Gateway,
    about: About,
    entropy: SharedEntropy,
    keeper: Keeper,
    timeline: Timeline,
}

impl AdminServices {
    /// On a gateway; `keeper` knows of the images' copies, `timeline` how old entries are.
    pub fn new(gateway: Gateway, about: About, entropy: SharedEntropy, keeper: Keeper, timeline: Timeline) -> Self {
        Self { gateway, about, entropy, keeper, timeline }
    }

    /// What needs attention now, as `GetStatus` has it. Asks nobody; empty when the state cannot be read, which stops the
    /// node elsewhere.
    pub(crate) fn current_warnings(&self) -> Vec<v1::Warning> {
        let status = self.gateway.consensus().status();
        let images = self.keeper.own_report();
        images.map(|images| self.warnings(&status, &self.links(&status), &images)).unwrap_or_default()
    }

    fn certificate_not_after(&self) -> i64 {
        self.about.certificate.borrow().not_after.saturating_mul(1000)
    }

    fn links(&self, status: &consensus::Status) -> Vec<Link> {
        let voters: Vec<u64> = status.members.iter().filter(|member| member.voter).map(|member| member.id).collect();
        self.gateway.consensus().links().links(&voters, Instant::now())
    }

    fn warnings(&self, status: &consensus::Status, links: &[Link], images: &ImagesReport) -> Vec<v1::Warning> {
        let mut warnings = super::certificates::warnings(&self.about.certificate.borrow(), self.gateway.clock());
        let mut warn = |code, message: String, help: &str| {
            warnings.push(v1::Warning { code, message, help: help.to_string() });
        };
        if status.leader.is_none() {
            warn(
                2101,
                "no leader is known: writes and linearizable reads wait".to_string(),
                "look whether a majority of the voters runs and reaches each other",
            );
        }
        if self.about.node.keyed && self.gateway.keyring().is_sealed() {
            warn(
                2001,
                "this node is sealed: it serves no content".to_string(),
                "give it the root slot's key and start it again",
            );
        }
        if !images.has_directory {
            warn(
                3103,
                "the chunk directory of this node cannot be used: it keeps no images".to_string(),
                "look at this node's log for the reason, mend it and start the node again",
            );
        }
        let bad = self.keeper.own_directory().map_or(0, |directory| directory.bad);
        if self.keeper.figures().bad_lately() {
            warn(
                3101,
                format!(
                    "this node found bad copies of images within a day ({bad} since it started); they are fetched again"
                ),
                "look for disk errors in the system's journal; replace a disk that goes on like this",
            );
        }
        if images.without_source > 0 {
            warn(
                3102,
                format!("no node could give {} chunks of images that should be here", images.without_source),
                "bring back the nodes that are away, with their disks: `plantao status` shows which",
            );
        }
        let cut = |a: u64, b: u64| links.iter().any(|link| link.cut && (link.from, link.to) == (a, b));
        let name = |id: u64| status.member(id).map_or_else(|| id.to_string(), |member| member.member.name.clone());
        for link in links.iter().filter(|link| link.cut) {
            let both = cut(link.to, link.from);
            if both && link.from > link.to {
                // Told with the other direction.
                continue;
            }
            let (from, to, seconds) = (name(link.from), name(link.to), link.lasting.as_secs());
            let message = if both {
                format!("{from} and {to} have not reached each other for {seconds} s, though both are up")
            } else {
                format!("{from} has not reached {to} for {seconds} s, though both are up")
            };
            warn(2305, message, "look at the internet lines, the VPN and the firewall between the two");
        }
        let voters: Vec<u64> = status.members.iter().filter(|member| member.voter).map(|member| member.id).collect();
        let consensus = self.gateway.consensus();
        for id in consensus.rooms().low(status.node, status.members.iter().map(|member| member.id), Instant::now()) {
            let message = format!("the disk of {} is nearly full", name(id));
            warn(2306, message, "free space there, or give it a larger disk; its node goes on by itself");
        }
        if let Some(low) = consensus.no_room() {
            let message = format!(
                "the disks of {} of {} voters are nearly full: nothing is written until there is room",
                low.len(),
                voters.len()
            );
            warn(2105, message, "free space on these nodes, or give them larger disks; writes go on by themselves");
        }
        for member in &status.members {
            let lag = member.matched.map(|matched| status.last_index.saturating_sub(matched));
            // A leader that never had an answer knows no time either.
            let silent = member.silent_for.is_none_or(|silent| silent > SILENT_WARN);
            // A cut link was told above, by what it is.
            if status.leads() && member.id != status.node && silent && !cut(status.node, member.id) {
                let message = format!("{} does not answer", member.member.name);
                warn(2303, message, "look at that node and at the link to it");
            } else if lag.is_some_and(|lag| lag > LAG_WARN) {
                let message = format!("{} is {} entries behind", member.member.name, lag.unwrap_or_default());
                warn(2304, message, "it catches up by itself; look at its link if it does not");
            }
        }
        warnings
    }
}

#[tonic::async_trait]
impl v1::cluster_service_server::ClusterService for AdminServices {
    async fn get_status(&self, _: Request<v1::GetStatusRequest>) -> Result<Response<v1::GetStatusResponse>, Status> {
        let status = self.gateway.consensus().status();
        let described = self.gateway.nodes().map_err(|error| status_of(&error))?;
        let me = status.node;
        let members = status.members.iter().map(|member| {
            let described = described.iter().find(|(id, _)| id.0 == member.id).map(|(_, row)| &row.description);
            let behind = member.matched.map(|matched| self.timeline.behind(matched, Instant::now()));
            convert::member(member, described, status.leader, behind)
        });
        let links = self.links(&status);
        let voter = status.members.iter().any(|member| member.id == me && member.voter);
        let contact = self.gateway.consensus().leader_contact();
        let now_ms = self.gateway.clock().now().millis();
        let lead = self.gateway.lead_policy().map_err(|error| status_of(&error))?;
        let lead = policy(&lead, self.gateway.consensus().time(), self.gateway.consensus().elections());
        let images = self.keeper.report().await.map_err(|error| status_of(&error))?;
        Ok(Response::new(v1::GetStatusResponse {
            cluster_id: self.about.node.cluster.as_bytes().to_vec().into(),
            cluster_name: self.about.node.cluster_name.clone(),
            incarnation: self.about.node.incarnation,
            node_id: me,
            node_name: self.about.node.name.clone(),
            role: convert::role(status.role == Role::Leader, voter, status.leader.is_some()).into(),
            term: status.term,
            leader_id: status.leader.unwrap_or(0),
            last_log_index: status.last_index,
            committed_index: status.committed_index,
            applied_index: status.applied_index,
            snapshot_index: status.snapshot_index,
            purged_index: status.purged_index,
            unsealed: !self.gateway.keyring().is_sealed(),
            members: members.collect(),
            version: env!("CARGO_PKG_VERSION").to_string(),
            now_ms,
            certificate_not_after_ms: self.certificate_not_after(),
            engine: self.about.engine.to_string(),
            uptime_ms: u64::try_from(self.about.started.elapsed().as_millis()).unwrap_or(u64::MAX),
            leader_contact_ms: contact.map_or(u64::MAX, |age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX)),
            journal_backlog: self.gateway.journal().backlog().borrow().waiting(),
            warnings: self.warnings(&status, &links, &images),
            links: links.iter().map(|link| convert::link(link, now_ms)).collect(),
            images: Some(convert::images(&images)),
            lead: Some(lead),
            format_level: self.gateway.level().map_err(|error| status_of(&error))?,
            format_level_max: self.gateway.consensus().levels().newest(),
        }))
    }

    async fn get_digest(&self, _: Request<v1::GetDigestRequest>) -> Result<Response<v1::GetDigestResponse>, Status> {
        let meta = self.gateway.state().meta();
        Ok(Response::new(v1::GetDigestResponse {
            node_id: self.about.node.node.0,
            applied_index: meta.applied.map_or(0, |id| id.index),
            content: meta.content.to_vec().into(),
            chain: meta.chain.to_vec().into(),
            rows: meta.rows,
            engine: self.about.engine.to_string(),
        }))
    }

    async fn transfer_leadership(
        &self,
        request: Request<v1::TransferLeadershipRequest>,
    ) -> Result<Response<v1::TransferLeadershipResponse>, Status> {
        let actor = self.gateway.operator(&peer_identity(&request)?.identity).map_err(|error| status_of(&error))?;
        let wanted = handover(request.get_ref()).map_err(|error| status_of(&error))?;
        let started = Instant::now();
        let deadline = tokio::time::Instant::now() + TRANSFER_TIME_MAX;
        // In a task of its own: an operator who hangs up must not stop it half-way.
        let gateway = self.gateway.clone();
        let handing = tokio::spawn(async move { hand_over(&gateway, actor, &wanted, deadline).await });
        let handed =
            handing.await.map_err(|_| Status::internal("the handover was cut off; look with `plantao status`"))?;
        let handed = handed.map_err(|error| refused(&error))?;
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Ok(Response::new(v1::TransferLeadershipResponse {
            from_node_id: handed.from,
            to_node_id: handed.to,
            took_ms: millis(started.elapsed()),
            gap_ms: millis(handed.gap),
            term: handed.term,
        }))
    }

    async fn create_join_token(
        &self,
        request: Request<v1::CreateJoinTokenRequest>,
    ) -> Result<Response<v1::CreateJoinTokenResponse>, Status> {
        let actor = self.gateway.operator(&peer_identity(&request)?.identity).map_err(|error| status_of(&error))?;
        let new = convert::join_token(request.get_ref(), self.gateway.consensus().time(), &*self.entropy)?;
        let written = self.gateway.propose_once(actor, new.command).await.map_err(|error| status_of(&error))?;
        convert::confirmed(&written)?;
        Ok(Response::new(v1::CreateJoinTokenResponse { token: new.token, not_after_ms: new.not_after_ms }))
    }
}
