//! Who can prove what he says. All holders of a chunk are asked for the same proof; where they agree, and there are two
//! of them, that is it. Where they do not, or one is alone, the bytes decide.

use super::witness::Witness;
use crate::chunks::challenge::{CHALLENGE_CHUNKS_MAX, Possession, proof};
use crate::images::PeerError;
use crate::images::convert::Refusal;
use plantao_domain::{ChunkId, NodeId};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

/// Holders that are asked at once, each for one batch at a time: a disk reads best in one go.
const HOLDERS_AT_ONCE: usize = 16;
/// Chunks that are fetched at once to decide.
const FETCHED_AT_ONCE: usize = 4;

/// How a challenge went for one node.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(super) struct Challenged {
    /// Chunks that it was asked for.
    pub(super) asked: u32,
    /// Chunks that it proved to have.
    pub(super) proved: u32,
    /// Chunks that it owns up to not having, though it listed them.
    pub(super) missing: BTreeSet<ChunkId>,
    /// Chunks for which its proof is wrong.
    pub(super) refuted: BTreeSet<ChunkId>,
    /// Chunks about which nothing was learned.
    pub(super) unanswered: u32,
}

type Answers = BTreeMap<ChunkId, BTreeMap<NodeId, Possession>>;

/// Asks each node for its chunks. `told` hears how many answers came so far.
pub(super) async fn challenge(
    witness: &Arc<dyn Witness>,
    nonce: [u8; 32],
    of: BTreeMap<NodeId, Vec<ChunkId>>,
    told: &(dyn Fn(u64) + Send + Sync),
) -> BTreeMap<NodeId, Challenged> {
    let places = Arc::new(Semaphore::new(HOLDERS_AT_ONCE));
    let (sender, mut heard) = mpsc::channel(HOLDERS_AT_ONCE);
    let mut asking = JoinSet::new();
    for (node, ids) in of {
        let (witness, places, sender) = (Arc::clone(witness), Arc::clone(&places), sender.clone());
        asking.spawn(async move {
            let _place = places.acquire().await;
            for batch in ids.chunks(CHALLENGE_CHUNKS_MAX) {
                let answers = witness.challenge(node, &nonce, batch).await;
                let answers = answers.unwrap_or_else(|_| vec![Possession::Unsure; batch.len()]);
                let both: Vec<_> = batch.iter().copied().zip(answers).collect();
                if sender.send((node, both)).await.is_err() {
                    return;
                }
            }
        });
    }
    drop(sender);
    let mut answers = Answers::new();
    let mut count = 0;
    while let Some((node, batch)) = heard.recv().await {
        count += batch.len() as u64;
        for (id, possession) in batch {
            answers.entry(id).or_default().insert(node, possession);
        }
        told(count);
    }
    let truths = truths(witness, nonce, &answers).await;
    judge(&answers, &truths)
}

/// What is true of a chunk.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Truth {
    /// This proof.
    Proof([u8; 32]),
    /// Nobody who claims to have it could give its bytes.
    NoBytes,
    /// It could not be found out.
    Unknown,
}

/// The true proof of each chunk.
async fn truths(witness: &Arc<dyn Witness>, nonce: [u8; 32], answers: &Answers) -> BTreeMap<ChunkId, Truth> {
    let mut truths = BTreeMap::new();
    let places = Arc::new(Semaphore::new(FETCHED_AT_ONCE));
    let mut fetching = JoinSet::new();
    for (id, of) in answers {
        if let Some(agreed) = agreed(of) {
            truths.insert(*id, Truth::Proof(agreed));
            continue;
        }
        let claims = of.iter().filter(|(_, possession)| matches!(possession, Possession::Proof(_)));
        let claims: Vec<NodeId> = claims.map(|(node, _)| *node).collect();
        let (id, witness, places) = (*id, Arc::clone(witness), Arc::clone(&places));
        fetching.spawn(async move {
            let _place = places.acquire().await;
            (id, fetched(&*witness, &nonce, id, &claims).await)
        });
    }
    while let Some(fetched) = fetching.join_next().await {
        truths.extend(fetched.ok());
    }
    truths
}

/// The proof that two or more made and nobody contradicts.
fn agreed(of: &BTreeMap<NodeId, Possession>) -> Option<[u8; 32]> {
    let mut proofs = of.values().filter_map(|possession| match possession {
        Possession::Proof(proof) => Some(*proof),
        Possession::None | Possession::Unsure => None,
    });
    let (first, second) = (proofs.next()?, proofs.next()?);
    (second == first && proofs.all(|other| other == first)).then_some(first)
}

/// The proof that the bytes make, from whoever has them.
async fn fetched(witness: &dyn Witness, nonce: &[u8; 32], id: ChunkId, claims: &[NodeId]) -> Truth {
    let mut truth = Truth::NoBytes;
    for node in claims {
        match witness.get(*node, id).await {
            Ok(bytes) => return Truth::Proof(proof(nonce, &id, &bytes)),
            Err(
                PeerError::Unreachable { .. } | PeerError::Refused { refusal: Refusal::Busy | Refusal::Unsure, .. },
            ) => truth = Truth::Unknown,
            Err(_) => {}
        }
    }
    truth
}

fn judge(answers: &Answers, truths: &BTreeMap<ChunkId, Truth>) -> BTreeMap<NodeId, Challenged> {
    let mut judged: BTreeMap<NodeId, Challenged> = BTreeMap::new();
    for (id, of) in answers {
        let truth = truths.get(id).copied().unwrap_or(Truth::Unknown);
        for (node, possession) in of {
            let one = judged.entry(*node).or_default();
            one.asked += 1;
            match (possession, truth) {
                (Possession::Proof(proof), Truth::Proof(truth)) if *proof == truth => one.proved += 1,
                (Possession::Proof(_), Truth::Proof(_) | Truth::NoBytes) => drop(one.refuted.insert(*id)),
                (Possession::None, _) => drop(one.missing.insert(*id)),
                (Possession::Unsure, _) | (Possession::Proof(_), Truth::Unknown) => one.unanswered += 1,
            }
        }
    }
    judged
}
