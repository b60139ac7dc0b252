//! The end of the story: 3-2-1, proven by a node that believes none. Three processes of one computer share its disk, so
//! the network of the demonstration declares simulated media, and the verdict says so.

use super::figures::{Figures, ProofFigures, millis};
use super::teller::{Teller, grouped, seconds};
use crate::local_network::LocalNetwork;
use anyhow::Context;
use plantao_client::{Cluster, ConnectOptions};
use plantao_proto::admin::v1::{Proof, ProveRequest, Verdict};
use std::time::{Duration, Instant};

/// How long copies that are on their way may take.
const PROVEN_MAX: Duration = Duration::from_secs(300);
const LOOK_PAUSE: Duration = Duration::from_millis(500);

/// Tells it.
pub(super) async fn tell(network: &LocalNetwork, figures: &mut Figures, teller: &Teller) -> anyhow::Result<()> {
    teller.step("A prova 3-2-1: três cópias, duas mídias, uma fora, nenhum erro");
    let operator = Cluster::open(&network.context("operador"), &ConnectOptions::default())?;
    let node = operator.admin_nodes().first().context("the network has no admin endpoint")?.clone();
    let begun = Instant::now();
    let proof = loop {
        let asked = node.prove(ProveRequest::default(), |_| {}).await;
        let is_over = begun.elapsed() > PROVEN_MAX;
        match asked {
            Ok(proof) if is_over || proof.verdict() == Verdict::HoldsSimulated => break proof,
            // An election in the middle, on a machine that stood still: it is asked again.
            Err(error) if is_over => return Err(error.into()),
            Ok(_) | Err(_) => {}
        }
        tokio::time::sleep(LOOK_PAUSE).await;
    };
    for holder in &proof.holders {
        teller.line(&format!(
            "   {} ({}, {}): {} blocos, {} de {} sorteados provados, {} faltam",
            holder.name,
            holder.medium,
            if holder.off_site { "fora" } else { "unidade" },
            grouped(holder.held_chunks),
            holder.proved,
            holder.challenged,
            grouped(holder.lost_chunks + holder.awaited_chunks),
        ));
    }
    let took = seconds(Duration::from_millis(proof.took_ms));
    let word = match proof.verdict() {
        Verdict::Holds => "cumprida: holds",
        Verdict::HoldsSimulated => "cumprida, com mídias simuladas: holds (simulated media)",
        Verdict::DoesNotHold | Verdict::Unspecified => "NÃO cumprida: does not hold",
    };
    teller.line(&format!("   3-2-1 {word} (em {took})"));
    let held = proof.verdict() == Verdict::HoldsSimulated;
    figures.claim("proof_321", held, format!("3-2-1 {word}; {} achados", grouped(proof.findings_total)));
    figures.proof = Some(of(&proof, begun.elapsed()));
    Ok(())
}

fn of(proof: &Proof, waited: Duration) -> ProofFigures {
    ProofFigures {
        verdict: match proof.verdict() {
            Verdict::Holds => "holds",
            Verdict::HoldsSimulated => "holds (simulated media)",
            Verdict::DoesNotHold | Verdict::Unspecified => "does not hold",
        },
        findings: proof.findings_total,
        images: proof.objects.iter().find(|of| of.kind == "images").map_or(0, |of| of.objects),
        challenged: proof.holders.iter().map(|holder| u64::from(holder.challenged)).sum(),
        proved: proof.holders.iter().map(|holder| u64::from(holder.proved)).sum(),
        took_ms: proof.took_ms,
        waited_ms: millis(waited),
    }
}
