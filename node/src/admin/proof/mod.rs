//! Proofs and copies for operators and auditors. What is proven is `proof`'s; here are bounds, progress and the wire.

mod convert;

use super::About;
use crate::api::convert::status as status_of;
use crate::entropy::{SharedEntropy, random};
use crate::gateway::{Consistency, Gateway};
use crate::proof::{Options, Progress, ProveError, Prover};
use convert::Question;
use futures_util::stream;
use plantao_proto::admin::v1;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tonic::{Request, Response, Status};

/// Chunks that each holder proves unless more or fewer are asked for.
const CHALLENGE_CHUNKS: usize = crate::chunks::challenge::SAMPLE_CHUNKS;
/// More than that is what a scrub is for.
const CHALLENGE_CHUNKS_MAX: usize = 4_096;
/// One and a half of the time in which a scrub comes round by default.
const CHECK_AGE: Duration = Duration::from_secs(45 * 86_400);
/// Lists of copies that are made at once.
const LISTS_MAX: usize = 4;
/// Between two words about progress.
const TELL_EVERY: Duration = Duration::from_millis(100);
/// Words that wait for a slow reader; more are left out.
const TOLD_MAX: usize = 16;

/// Serves one node.
#[derive(Clone)]
pub struct ProofServices {
    gateway: Gateway,
    about: About,
    entropy: SharedEntropy,
    prover: Prover,
    /// One proof at a time: each reads hundreds of chunks on every node.
    proofs: Arc<Semaphore>,
    lists: Arc<Semaphore>,
}

impl ProofServices {
    /// With the prover of this node.
    pub fn new(gateway: Gateway, about: About, entropy: SharedEntropy, prover: Prover) -> Self {
        let (proofs, lists) = (Arc::new(Semaphore::new(1)), Arc::new(Semaphore::new(LISTS_MAX)));
        Self { gateway, about, entropy, prover, proofs, lists }
    }

    async fn prove(
        self,
        options: Options,
        answers: mpsc::Sender<Result<v1::ProveResponse, Status>>,
        _permit: OwnedSemaphorePermit,
    ) {
        let started = Instant::now();
        // A network without a quorum can be looked at too; the proof says so.
        let linearizable = self.gateway.settle(Consistency::Linearizable).await.is_ok();
        let made = self.gateway.clock().now();
        let progress = answers.clone();
        let told = std::sync::Mutex::new(None::<Instant>);
        let told = Arc::new(move |now: Progress| {
            let mut last = told.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            if last.is_none_or(|last| last.elapsed() >= TELL_EVERY) {
                *last = Some(Instant::now());
                let _ = progress.try_send(Ok(convert::progress(now)));
            }
        });
        let proving = self.prover.prove(options, random(&*self.entropy), linearizable, move |now| told(now));
        let report = tokio::select! {
            report = proving => report,
            // Whoever asked is gone.
            () = answers.closed() => return,
        };
        let answer = match report {
            Ok(report) => {
                let took = started.elapsed();
                tracing::info!(
                    verdict = ?report.verdict(),
                    findings = report.findings_total,
                    took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
                    "3-2-1 was looked at"
                );
                Ok(convert::proof(&report, &self.about.node, options, made, took))
            }
            Err(error) => Err(refused(error)),
        };
        let _ = answers.send(answer).await;
    }
}

fn refused(error: ProveError) -> Status {
    match error {
        ProveError::State(fault) => status_of(&fault.into()),
        ProveError::CutOff => Status::unavailable("the node stops; ask another"),
    }
}

type Answers = Pin<Box<dyn stream::Stream<Item = Result<v1::ProveResponse, Status>> + Send>>;

#[tonic::async_trait]
impl v1::proof_service_server::ProofService for ProofServices {
    type ProveStream = Answers;

    async fn prove(&self, request: Request<v1::ProveRequest>) -> Result<Response<Self::ProveStream>, Status> {
        let request = request.into_inner();
        let challenge_chunks = match usize::try_from(request.challenge_chunks).unwrap_or(usize::MAX) {
            0 => CHALLENGE_CHUNKS,
            asked if asked <= CHALLENGE_CHUNKS_MAX => asked,
            _ => {
                return Err(Status::invalid_argument(format!("challenge_chunks: at most {CHALLENGE_CHUNKS_MAX}")));
            }
        };
        let check_age_max = match request.check_age_ms_max {
            0 => CHECK_AGE,
            asked => Duration::from_millis(asked),
        };
        let permit = Arc::clone(&self.proofs).try_acquire_owned().map_err(|_| {
            Status::resource_exhausted("another proof is being made on this node; wait for it, or ask another node")
        })?;
        let (sender, receiver) = mpsc::channel(TOLD_MAX);
        let options = Options { challenge_chunks, check_age_max };
        tokio::spawn(self.clone().prove(options, sender, permit));
        let answers = stream::unfold(receiver, |mut receiver| async move {
            let answer = receiver.recv().await?;
            Some((answer, receiver))
        });
        Ok(Response::new(Box::pin(answers)))
    }

    async fn list_copies(
        &self,
        request: Request<v1::ListCopiesRequest>,
    ) -> Result<Response<v1::ListCopiesResponse>, Status> {
        let Question { of } = convert::question(request.get_ref())?;
        let _permit = self.lists.try_acquire().map_err(|_| {
            Status::resource_exhausted("too many lists of copies are being made on this node; ask again in a moment")
        })?;
        let page = self.prover.copies(of).await.map_err(refused)?;
        if let crate::proof::CopiesOf::Image(id) = of
            && page.objects.is_empty()
        {
            return Err(Status::not_found(format!("there is no image {id}: an upload that is open is none yet")));
        }
        Ok(Response::new(convert::copies(&page)))
    }
}
