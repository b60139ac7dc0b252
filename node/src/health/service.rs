//! The services behind `plantao health`, `doctor` and `events`: thin; who may ask is whom the admin plane lets in.

use super::checks;
use super::convert;
use super::events::EventRing;
use super::facts::{ClockSeen, Facts, LinkSeen, Setup};
use super::{machine, media};
use crate::admin::About;
use crate::admin::convert::role;
use crate::consensus::profile::snapshot_distance;
use crate::consensus::{Link, Role, Status as RaftStatus};
use crate::gateway::Gateway;
use crate::images::keeping::Keeper;
use crate::telemetry::RequestCounts;
use plantao_proto::admin::v1;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

/// Who follows events at once.
const FOLLOWERS_MAX: usize = 16;
/// Events that wait for a slow follower.
const PAGE: usize = 64;
/// When nothing happens, a follower hears that after this time.
const QUIET: Duration = Duration::from_secs(10);
/// A diagnosis that is younger is given again: two operators at once load no disk twice.
const DIAGNOSIS_AGE_MAX: Duration = Duration::from_secs(2);

/// What the services are made of.
pub struct Parts {
    /// The node's gateway.
    pub gateway: Gateway,
    /// Who it is.
    pub about: About,
    /// Its images.
    pub keeper: Keeper,
    /// Its configuration, as far as it is looked at.
    pub setup: Setup,
    /// Its events.
    pub ring: EventRing,
    /// Requests of programs, and of operators.
    pub requests: (Arc<RequestCounts>, Arc<RequestCounts>),
    /// Ends whoever follows.
    pub stopping: CancellationToken,
}

/// The services of one node. Cheap to clone.
#[derive(Clone)]
pub struct HealthServices {
    parts: Arc<Parts>,
    diagnosis: Arc<Mutex<Option<(Instant, v1::DiagnoseResponse)>>>,
    followers: Arc<Semaphore>,
}

impl HealthServices {
    /// On these parts.
    pub fn new(parts: Parts) -> Self {
        let followers = Arc::new(Semaphore::new(FOLLOWERS_MAX));
        Self { parts: Arc::new(parts), diagnosis: Arc::default(), followers }
    }

    fn now_ms(&self) -> i64 {
        self.parts.gateway.clock().now().millis()
    }

    fn faults(&self, status: &RaftStatus) -> Vec<v1::Warning> {
        let mut faults = Vec::new();
        let mut fault = |code, message: &str, help: &str| {
            faults.push(v1::Warning { code, message: message.to_owned(), help: help.to_owned() });
        };
        if status.leader.is_none() {
            fault(2101, "no leader is known", "look whether a majority of the voters runs: plantao status");
        }
        if self.parts.about.node.keyed && self.parts.gateway.keyring().is_sealed() {
            fault(2001, "this node is sealed", "give it the root slot's key and start it again");
        }
        if self.parts.about.certificate.borrow().not_after < self.now_ms() / 1_000 {
            fault(2301, "this node's certificate has expired", "plantao pki renew");
        }
        faults
    }

    fn facts(&self) -> Result<Facts, Status> {
        let Parts { gateway, about, keeper, setup, .. } = &*self.parts;
        let (status, now) = (gateway.consensus().status(), Instant::now());
        let name = |id: u64| status.member(id).map_or_else(|| id.to_string(), |member| member.member.name.clone());
        let voters: Vec<u64> = status.members.iter().filter(|member| member.voter).map(|member| member.id).collect();
        let links = gateway.consensus().links().links(&voters, now);
        let reached: BTreeSet<u64> =
            links.iter().filter(|link| link.from == status.node && link.reachable).map(|link| link.to).collect();
        let link = |link: &Link| LinkSeen {
            from: name(link.from),
            to: name(link.to),
            to_us: link.to == status.node,
            from_us: link.from == status.node,
            reachable: link.reachable,
            cut: link.cut,
            seconds: link.lasting.as_secs(),
        };
        let clock = |member: &crate::consensus::MemberStatus| {
            let clock = member.clock.filter(|_| member.id != status.node)?;
            Some(ClockSeen {
                name: member.member.name.clone(),
                offset_ms: clock.offset_ms,
                uncertainty_ms: u64::try_from(clock.uncertainty.as_millis()).unwrap_or(u64::MAX),
            })
        };
        let images = keeper.own_report().map_err(|error| crate::api::convert::status(&error))?;
        let directory = keeper.own_directory();
        let media = media::media(&**gateway.state(), status.node, name)
            .map_err(|fault| crate::api::convert::status(&fault.into()))?;
        let journal = *gateway.journal().backlog().borrow();
        let certificate = about.certificate.borrow().clone();
        Ok(Facts {
            now_seconds: self.now_ms() / 1_000,
            clocks: status.members.iter().filter_map(clock).collect(),
            clock_skew_max: setup.clock_skew_max,
            data: machine::volume(&setup.data_dir),
            images: machine::volume(&setup.chunk_dir),
            image_reserve_bytes: setup.chunk_reserve_bytes,
            sync: machine::sync_time(&setup.data_dir),
            certificate_not_after: certificate.not_after,
            certificate_renewal_due: certificate.renewal_due,
            reload_failure: certificate.failure.map(|failure| failure.to_string()),
            roots: machine::roots(&setup.tls_roots),
            peer_listen: setup.peer_listen,
            peer_address: setup.peer_address.clone(),
            links: links.iter().map(link).collect(),
            leader: status.leader.map(name),
            voters: voters.len(),
            voters_reached: voters.iter().filter(|id| **id == status.node || reached.contains(id)).count(),
            others: status.members.iter().filter(|member| member.id != status.node).count(),
            keyed: about.node.keyed,
            sealed: gateway.keyring().is_sealed(),
            keys: machine::key_sources(&setup.slots, &setup.data_dir),
            media,
            medium: setup.medium.clone(),
            simulated_media: setup.simulated_media,
            chunks: directory.filter(|_| images.has_directory).map(|directory| directory.chunks),
            oldest_check: directory.map(|directory| directory.oldest_check_age).unwrap_or_default(),
            scrub_interval: setup.scrub_interval,
            bad_total: directory.map_or(0, |directory| directory.bad),
            bad_lately: keeper.figures().bad_lately(),
            without_source: images.without_source,
            journal_waiting: journal.waiting(),
            journal_broken: journal.broken,
            applied_index: status.applied_index,
            snapshot_index: status.snapshot_index,
            purged_index: status.purged_index,
            snapshot_distance: snapshot_distance(setup.snapshot_entries, gateway.state().count()),
            memory_available: machine::memory_available(),
            files_max: machine::files_max(),
            swap: machine::swap(),
            dumps_possible: machine::dumps_possible(),
        })
    }

    fn of(&self) -> v1::EventsOf {
        v1::EventsOf {
            node_id: self.parts.about.node.node.0,
            node_name: self.parts.about.node.name.clone(),
            started_ms: self.parts.ring.started_ms(),
            first_sequence: self.parts.ring.first(),
        }
    }

    async fn tell(
        self,
        request: v1::WatchEventsRequest,
        answers: mpsc::Sender<Result<v1::WatchEventsResponse, Status>>,
        _permit: OwnedSemaphorePermit,
    ) {
        let ring = &self.parts.ring;
        let mut last = ring.last();
        let same = request.started_ms == 0 || request.started_ms == ring.started_ms();
        let mut told = if same { request.after_sequence } else { 0 };
        let hello = || Ok(v1::WatchEventsResponse { of: Some(self.of()), event: None });
        if answers.send(hello()).await.is_err() {
            return;
        }
        loop {
            last.mark_unchanged();
            loop {
                let page = ring.after(told, PAGE);
                let Some(newest) = page.last() else { break };
                told = newest.sequence;
                for stored in &page {
                    let event = v1::WatchEventsResponse { of: None, event: Some(convert::event(stored)) };
                    if answers.send(Ok(event)).await.is_err() {
                        return;
                    }
                }
            }
            if !request.follow {
                return;
            }
            tokio::select! {
                () = answers.closed() => return,
                () = self.parts.stopping.cancelled() => return,
                changed = last.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(QUIET) => if answers.send(hello()).await.is_err() { return },
            }
        }
    }
}

#[tonic::async_trait]
impl v1::health_service_server::HealthService for HealthServices {
    type WatchEventsStream = ReceiverStream<Result<v1::WatchEventsResponse, Status>>;

    async fn get_health(&self, _: Request<v1::GetHealthRequest>) -> Result<Response<v1::GetHealthResponse>, Status> {
        let status = self.parts.gateway.consensus().status();
        let voter = status.member(status.node).is_some_and(|member| member.voter);
        let faults = self.faults(&status);
        let (public, admin) = &self.parts.requests;
        Ok(Response::new(v1::GetHealthResponse {
            node_id: status.node,
            node_name: self.parts.about.node.name.clone(),
            healthy: faults.is_empty(),
            faults,
            role: role(status.role == Role::Leader, voter, status.leader.is_some()).into(),
            term: status.term,
            leader_id: status.leader.unwrap_or(0),
            applied_index: status.applied_index,
            now_ms: self.now_ms(),
            public_requests_total: public.total(),
            public_failures_total: public.failures(),
            admin_requests_total: admin.total(),
        }))
    }

    async fn diagnose(&self, _: Request<v1::DiagnoseRequest>) -> Result<Response<v1::DiagnoseResponse>, Status> {
        let mut last = self.diagnosis.lock().await;
        if let Some((made, answer)) = last.as_ref().filter(|(made, _)| made.elapsed() <= DIAGNOSIS_AGE_MAX) {
            tracing::debug!(age_ms = made.elapsed().as_millis(), "the last diagnosis is given again");
            return Ok(Response::new(answer.clone()));
        }
        let (this, began) = (self.clone(), Instant::now());
        let looking = crate::work::blocking(move || this.facts());
        let facts = looking.await.map_err(|_| Status::internal("looking was cut off; ask again"))??;
        let answer = v1::DiagnoseResponse {
            node_id: self.parts.about.node.node.0,
            node_name: self.parts.about.node.name.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            now_ms: self.now_ms(),
            checks: checks::all(&facts).iter().map(convert::check).collect(),
            took_ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
        };
        *last = Some((Instant::now(), answer.clone()));
        Ok(Response::new(answer))
    }

    async fn watch_events(
        &self,
        request: Request<v1::WatchEventsRequest>,
    ) -> Result<Response<Self::WatchEventsStream>, Status> {
        let permit = Arc::clone(&self.followers).try_acquire_owned().map_err(|_| {
            Status::resource_exhausted("too many follow the events of this node; end one, or ask another node")
        })?;
        let (sender, answers) = mpsc::channel(PAGE);
        tokio::spawn(self.clone().tell(request.into_inner(), sender, permit));
        Ok(Response::new(ReceiverStream::new(answers)))
    }
}
