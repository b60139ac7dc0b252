//! From any node to the leader: here, directly, or through another voter where the direct link is cut. What the leader does
//! with it is `handle`'s; who may ask is the peer plane's.
//!
//! ```text
//! hops 0: this node ─► leader                  hops 1: this node ─► another voter ─► leader         never further
//! ```
//! A proposal may be sent several times, over several ways: its request id makes the copies harmless. What must not get
//! lost is whether a copy may have been taken: then the answer is *unknown*, never "not done".

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use plantao_client::transport::{ConnectError, MESSAGE_BYTES_MAX};
use plantao_domain::planted::{Bug, planted};
use plantao_domain::{RequestId, codec};
use plantao_proto::peer::v1 as wire;
use plantao_proto::peer::v1::forward_service_client::ForwardServiceClient;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

use super::convert::{self, Affiliation};
use super::convoy::{Answers, Convoy, Lost};
use super::handle::{Consensus, NotApplied, ProposeError, check};
use super::read_index::{ReadError, ReadRounds};
use super::state_machine::Progress;
use super::types::Applied;
use crate::entropy::{SharedEntropy, random};
use crate::transport::{Lane, PeerChannels};

/// How often a message may be passed on by a node in between.
pub const HOPS_MAX: u32 = 1;
/// Between two rounds of tries, doubled each time.
const PAUSE_MIN: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_millis(250);
/// How long a link that failed is left alone while another way works.
const CUT_FOR: Duration = Duration::from_secs(5);
/// How long a round of read questions may go on; each reader has a deadline of its own.
const READ_ROUND: Duration = Duration::from_secs(5);

/// Why a proposal has no outcome, from anywhere.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ForwardError {
    /// Not proposed, for certain: no leader was found before the deadline. Repeat it later.
    #[error("no leader can be reached")]
    NoLeader,
    /// Not proposed, for certain: too much is under way. Repeat it later.
    #[error("too many proposals are under way")]
    Busy,
    /// Not proposed, for certain, and never will be: the envelope is not one.
    #[error("the proposal is not a whole envelope")]
    Malformed(#[source] codec::DecodeError),
    /// It may have been proposed: repeat it with the same request id, and never take it for undone.
    #[error("it is not known whether the proposal takes effect")]
    Unknown,
}

/// Why a linearizable read cannot be served here now. Nothing was changed, so it can be repeated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LinearizeError {
    /// No leader confirmed an index.
    #[error("the leader did not confirm the read")]
    NoIndex(#[source] ReadError),
    /// This node is too far behind.
    #[error("this node has not caught up in time")]
    Behind(#[source] NotApplied),
}

/// Finds the leader for this node's own requests, and for those of others that pass through it. Cheap to clone.
#[derive(Clone)]
pub struct Forwarder {
    way: Way,
    rounds: Arc<ReadRounds>,
    entropy: SharedEntropy,
}

/// Tries all ways once.
#[derive(Clone)]
struct Way {
    line: Line,
    /// By the node that is called.
    convoys: Arc<Mutex<BTreeMap<u64, Arc<Convoy>>>>,
    /// A leader whom this node does not reach, and until when others are asked first.
    cut: Arc<Mutex<Option<(u64, Instant)>>>,
}

/// Calls one node, once.
#[derive(Clone)]
struct Line {
    consensus: Consensus,
    us: Affiliation,
    channels: PeerChannels,
}

#[derive(Clone)]
enum Question {
    Propose(Bytes),
    Read,
}

enum Answer {
    Applied(Applied),
    Index(u64),
}

/// Why one way gave no answer.
enum Failure {
    /// That node was reached, and it knows nothing better: another way leads no further.
    Proposal(ProposeError),
    Read(ReadError),
    /// That node was not reached, or did not answer; `maybe` if it may have got the question.
    Lost {
        maybe: bool,
    },
}

impl Forwarder {
    /// For the node `us`. `entropy` spreads retries.
    pub fn new(consensus: Consensus, us: Affiliation, channels: PeerChannels, entropy: SharedEntropy) -> Self {
        let line = Line { consensus, us, channels };
        let way = Way { line, convoys: Arc::default(), cut: Arc::default() };
        let rounds = ReadRounds::start({
            let way = way.clone();
            move || {
                let way = way.clone();
                Box::pin(async move { way.read(Instant::now() + READ_ROUND).await })
            }
        });
        Self { way, rounds: Arc::new(rounds), entropy }
    }

    /// The node's own Raft handle.
    pub fn consensus(&self) -> &Consensus {
        &self.way.line.consensus
    }

    /// Proposes an encoded envelope wherever the leader is and waits for its outcome. Goes on through elections until the
    /// deadline. Dropping it leaves the outcome unknown.
    ///
    /// # Errors
    /// See [`ForwardError`].
    pub async fn propose(&self, envelope: Bytes, deadline: Instant) -> Result<Applied, ForwardError> {
        // Here, because from a node in between the refusal comes back as one of many.
        check(&envelope).map_err(ForwardError::Malformed)?;
        let mut question = Question::Propose(envelope);
        let mut taken = false;
        let mut pause = PAUSE_MIN;
        loop {
            match self.way.ask(&question, deadline).await {
                Ok(Answer::Applied(applied)) => return Ok(applied),
                Err(Failure::Proposal(ProposeError::Malformed(error))) => {
                    return Err(ForwardError::Malformed(error));
                }
                Err(Failure::Proposal(ProposeError::Busy)) if !taken => {
                    return Err(ForwardError::Busy);
                }
                Err(Failure::Proposal(ProposeError::Unknown) | Failure::Lost { maybe: true })
                | Ok(Answer::Index(_)) => {
                    taken = true;
                    if planted(Bug::LostIsNotDone) {
                        return Err(ForwardError::NoLeader);
                    }
                    if planted(Bug::RetryUnderNewId) {
                        question = self.renamed(question);
                    }
                }
                Err(
                    Failure::Proposal(ProposeError::NotLeader { .. } | ProposeError::Busy)
                    | Failure::Read(_)
                    | Failure::Lost { maybe: false },
                ) => {}
            }
            if !self.pause(&mut pause, deadline).await {
                return Err(if taken { ForwardError::Unknown } else { ForwardError::NoLeader });
            }
        }
    }

    /// [`Bug::RetryUnderNewId`].
    fn renamed(&self, question: Question) -> Question {
        let Question::Propose(envelope) = &question else { return question };
        let Ok(mut decoded) = codec::decode_envelope(envelope) else { return question };
        decoded.request_id = RequestId::from_bytes(random(&*self.entropy));
        Question::Propose(codec::encode_envelope(&decoded).into())
    }

    /// The index that a linearizable read on this node must wait for, from the leader. Readers at the same time share a
    /// question. Goes on through elections until the deadline. Cancel safe.
    ///
    /// # Errors
    /// The last reason, see [`ReadError`].
    pub async fn read_index(&self, deadline: Instant) -> Result<u64, ReadError> {
        let mut pause = PAUSE_MIN;
        loop {
            let error = match timeout_at(deadline, self.rounds.index()).await {
                Ok(Ok(index)) => return Ok(index),
                Ok(Err(error @ (ReadError::Busy | ReadError::Stopped))) => return Err(error),
                Ok(Err(error)) => error,
                Err(_) => return Err(ReadError::Unreachable),
            };
            if !self.pause(&mut pause, deadline).await {
                return Err(error);
            }
        }
    }

    /// Waits until a read on this node's rows is linearizable; gives what it then stands for.
    ///
    /// # Errors
    /// See [`LinearizeError`].
    pub async fn linearize(&self, deadline: Instant) -> Result<Progress, LinearizeError> {
        let index = self.read_index(deadline).await.map_err(LinearizeError::NoIndex)?;
        let reached = self.way.line.consensus.wait_applied(index, deadline).await;
        reached.map_err(LinearizeError::Behind)
    }

    /// Waits a little longer each time, up to the deadline; `false` once there is no time left. The halves that are left to
    /// chance keep many callers from coming back together.
    async fn pause(&self, pause: &mut Duration, deadline: Instant) -> bool {
        let [chance] = random::<1>(&*self.entropy);
        let until = Instant::now() + *pause / 2 + *pause / 2 * u32::from(chance) / 256;
        if until >= deadline {
            return false;
        }
        sleep_until(until).await;
        *pause = (*pause * 2).min(PAUSE_MAX);
        true
    }

    /// A proposal of node `from` that came here after `hops` nodes in between.
    pub async fn serve_propose(
        &self,
        from: u64,
        envelope: Bytes,
        hops: u32,
        deadline: Instant,
    ) -> Result<Applied, ProposeError> {
        match self.way.pass_on(from, &Question::Propose(envelope), hops, deadline).await {
            Ok(Answer::Applied(applied)) => Ok(applied),
            Err(Failure::Proposal(error)) => Err(error),
            Err(Failure::Lost { maybe: false }) => Err(ProposeError::NotLeader { leader: None }),
            Ok(Answer::Index(_)) | Err(Failure::Read(_) | Failure::Lost { maybe: true }) => Err(ProposeError::Unknown),
        }
    }

    /// A read question of node `from` that came here after `hops` nodes in between.
    pub async fn serve_read(&self, from: u64, hops: u32, deadline: Instant) -> Result<u64, ReadError> {
        match self.way.pass_on(from, &Question::Read, hops, deadline).await {
            Ok(Answer::Index(index)) => Ok(index),
            Err(Failure::Read(error)) => Err(error),
            Ok(Answer::Applied(_)) | Err(Failure::Proposal(_) | Failure::Lost { .. }) => Err(ReadError::Unreachable),
        }
    }
}

impl Way {
    async fn read(&self, deadline: Instant) -> Result<u64, ReadError> {
        match self.ask(&Question::Read, deadline).await {
            Ok(Answer::Index(index)) => Ok(index),
            Err(Failure::Read(error)) => Err(error),
            Ok(Answer::Applied(_)) | Err(Failure::Proposal(_) | Failure::Lost { .. }) => Err(ReadError::Unreachable),
        }
    }

    async fn here(&self, question: &Question, deadline: Instant) -> Result<Answer, Failure> {
        match question {
            Question::Propose(envelope) => {
                let applied = self.line.consensus.propose(envelope.clone(), deadline).await;
                applied.map(Answer::Applied).map_err(Failure::Proposal)
            }
            Question::Read => match timeout_at(deadline, self.line.consensus.read_index()).await {
                Ok(index) => index.map(Answer::Index).map_err(Failure::Read),
                Err(_) => Err(Failure::Read(ReadError::NoQuorum)),
            },
        }
    }

    /// This node, else the leader, else the other voters in turn.
    async fn ask(&self, question: &Question, deadline: Instant) -> Result<Answer, Failure> {
        let leader = match self.line.consensus.leader() {
            Some(leader) => leader,
            None => {
                let patience = deadline.min(Instant::now() + PAUSE_MAX);
                let found = self.line.consensus.wait_leader(patience).await;
                found.ok_or(Failure::Lost { maybe: false })?
            }
        };
        if leader == self.line.us.node {
            return self.here(question, deadline).await;
        }
        // A leader that is slow rather than cut off gets a copy more, no harm is done.
        let patience = self.line.consensus.timers().election_max() * 2;
        let mut maybe = false;
        if !self.is_cut(leader) {
            match self.call(leader, question, 0, deadline.min(Instant::now() + patience)).await {
                Err(Failure::Lost { maybe: lost }) => maybe = lost,
                answer => {
                    self.note_cut(None);
                    return answer;
                }
            }
            self.note_cut(Some(leader));
        }
        for via in self.voters_between(leader) {
            match self.call(via, question, 0, deadline.min(Instant::now() + patience)).await {
                Err(Failure::Lost { maybe: lost }) => maybe |= lost,
                // It does not get through either, or there is a new leader: say so, but forget no copy.
                Err(Failure::Proposal(ProposeError::NotLeader { .. })) => {}
                Err(Failure::Read(ReadError::NotLeader { .. } | ReadError::Unreachable)) => {}
                answer => return answer,
            }
        }
        // No way round it: the direct one is as good as any.
        self.note_cut(None);
        Err(Failure::Lost { maybe })
    }

    /// What others ask: answered here, or passed on once.
    async fn pass_on(&self, from: u64, question: &Question, hops: u32, deadline: Instant) -> Result<Answer, Failure> {
        let answer = self.here(question, deadline).await;
        let leader = match &answer {
            Err(Failure::Proposal(ProposeError::NotLeader { leader }))
            | Err(Failure::Read(ReadError::NotLeader { leader })) => *leader,
            _ => None,
        };
        match leader {
            Some(leader) if hops < HOPS_MAX && leader != from && leader != self.line.us.node => {
                match self.call(leader, question, hops + 1, deadline).await {
                    // The one in between knows who leads; that it did not get through is for the next try to find out.
                    Err(Failure::Lost { maybe: false }) => answer,
                    passed => passed,
                }
            }
            _ => answer,
        }
    }

    fn is_cut(&self, leader: u64) -> bool {
        let cut = self.cut.lock().unwrap_or_else(PoisonError::into_inner);
        cut.is_some_and(|(node, until)| node == leader && Instant::now() < until)
    }

    fn note_cut(&self, leader: Option<u64>) {
        let cut = leader.map(|leader| (leader, Instant::now() + CUT_FOR));
        *self.cut.lock().unwrap_or_else(PoisonError::into_inner) = cut;
    }

    fn voters_between(&self, leader: u64) -> Vec<u64> {
        let status = self.line.consensus.status();
        let voters = status.members.iter().filter(|member| member.voter).map(|member| member.id);
        voters.filter(|voter| *voter != leader && *voter != self.line.us.node).collect()
    }

    async fn call(&self, node: u64, question: &Question, hops: u32, deadline: Instant) -> Result<Answer, Failure> {
        match question {
            // What passes through here is rare, and each of it has a hurry of its own.
            Question::Propose(envelope) if hops == 0 => {
                let proposed = timeout_at(deadline, self.convoy(node).propose(envelope.clone())).await;
                match proposed.unwrap_or(Err(Lost { maybe: true })) {
                    Ok(answer) => answer.map(Answer::Applied).map_err(Failure::Proposal),
                    Err(Lost { maybe }) => Err(Failure::Lost { maybe }),
                }
            }
            question => self.line.call(node, question, hops, deadline).await,
        }
    }

    /// Of those nodes only that were members when they were called: few.
    fn convoy(&self, node: u64) -> Arc<Convoy> {
        let mut convoys = self.convoys.lock().unwrap_or_else(PoisonError::into_inner);
        let convoy = convoys.entry(node).or_insert_with(|| {
            let line = self.line.clone();
            Arc::new(Convoy::start(move |envelopes| {
                let line = line.clone();
                Box::pin(async move { line.propose_many(node, envelopes).await })
            }))
        });
        Arc::clone(convoy)
    }
}

impl Line {
    fn client(&self, node: u64) -> Option<ForwardServiceClient<Channel>> {
        let member = self.consensus.member(node)?;
        let channel = self.channels.channel(node, &member.peer_address, Lane::Forward).ok()?;
        Some(ForwardServiceClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX))
    }

    async fn propose_many(&self, node: u64, envelopes: Vec<Bytes>) -> Answers {
        let mut client = self.client(node).ok_or(Lost { maybe: false })?;
        let patience = self.consensus.timers().election_max() * 2;
        let mut request = Request::new(wire::ProposeManyRequest { header: Some(self.us.header(node)), envelopes });
        request.set_timeout(patience);
        match timeout(patience, client.propose_many(request)).await {
            Ok(Ok(response)) => Ok(response.into_inner().answers.into_iter().map(convert::proposed).collect()),
            Ok(Err(status)) => Err(Lost { maybe: !never_taken(&status) }),
            Err(_) => Err(Lost { maybe: true }),
        }
    }

    async fn call(&self, node: u64, question: &Question, hops: u32, deadline: Instant) -> Result<Answer, Failure> {
        let mut client = self.client(node).ok_or(Failure::Lost { maybe: false })?;
        let header = Some(self.us.header(node));
        let left = deadline.saturating_duration_since(Instant::now());
        let lost = |status: Status| Failure::Lost { maybe: !never_taken(&status) };
        match question {
            Question::Propose(envelope) => {
                let envelope = envelope.clone();
                let mut request = Request::new(wire::ProposeRequest { header, envelope, hops });
                request.set_timeout(left);
                let response = timeout_at(deadline, client.propose(request)).await;
                let response = response.map_err(|_| Failure::Lost { maybe: true })?.map_err(lost)?;
                let answer = convert::proposed(response.into_inner());
                answer.map(Answer::Applied).map_err(Failure::Proposal)
            }
            Question::Read => {
                let mut request = Request::new(wire::ReadIndexRequest { header, hops });
                request.set_timeout(left);
                let response = timeout_at(deadline, client.read_index(request)).await;
                let response = response.map_err(|_| Failure::Lost { maybe: true })?.map_err(lost)?;
                let answer = convert::read(response.into_inner());
                answer.map(Answer::Index).map_err(Failure::Read)
            }
        }
    }
}

/// Whether a call that failed so was certainly not proposed: refused at the door, or never sent.
fn never_taken(status: &Status) -> bool {
    let refused = matches!(
        status.code(),
        Code::FailedPrecondition
            | Code::PermissionDenied
            | Code::Unauthenticated
            | Code::InvalidArgument
            | Code::Unimplemented
    );
    let mut cause: Option<&(dyn Error + 'static)> = status.source();
    while let Some(error) = cause {
        if error.is::<ConnectError>() {
            return true;
        }
        cause = error.source();
    }
    refused
}
