//! `chaos links`: two units and an off-site node under a steady load, while links lose packets, pass one way only, or come and go.
//! How many writes are confirmed in each phase, and for how long none is? Afterwards every acknowledged write is looked for.
//!
//! ```text
//! loss 0 2 5 10 20 30 % between all nodes ─► each direction of each pair cut ─► each node flapping      healed between two phases
//! ```

use crate::aftermath::Aftermath;
use crate::faults::{Fault, Whom};
use crate::ground::{Ground, Standing, exit, millis, say, until_signal, yes};
use crate::process::cuts::Cuts;
use crate::process::site::Site;
use anyhow::Context;
use plantao_client::ConnectOptions;
use plantao_node::local_network::load::{Load, LoadOptions};
use serde::Serialize;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Packets of a hundred that are lost between all nodes, each way.
const LOSSES: [u32; 6] = [0, 2, 5, 10, 20, 30];
/// Up to here writes must go on.
const LOSS_PROMISED: u32 = 10;
/// A link that flaps is there for so long and gone for so long.
const FLAPS_MS: [u64; 2] = [300, 1_000];
/// No longer may writes stand still, for a one-way cut, a link that flaps or a loss that is promised.
const SILENCE_MAX: Duration = Duration::from_secs(10);
/// Acknowledged writes between two phases.
const FLOWING: usize = 200;

/// For how long.
#[derive(Debug, clap::Args)]
pub(crate) struct Links {
    /// Seconds of each phase.
    #[arg(long, value_name = "S", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    #[command(flatten)]
    ground: Ground,
}

/// What is wrong with links, phase by phase.
fn phases_of(nodes: usize) -> Vec<Fault> {
    let losses = LOSSES.into_iter().map(|percent| Fault::Loss { percent });
    let pairs = (0..nodes).flat_map(move |from| (0..nodes).map(move |to| (from, to)));
    let one_way = pairs.filter(|(from, to)| from != to).map(|(from, to)| Fault::OneWay { from, to });
    let flaps = (0..nodes).flat_map(|node| FLAPS_MS.map(|every_ms| Fault::Flap { whom: Whom::Node(node), every_ms }));
    losses.chain(one_way).chain(flaps).collect()
}

/// Whether writes must go on meanwhile.
const fn is_promised(wrong: &Fault) -> bool {
    !matches!(wrong, Fault::Loss { percent } if *percent > LOSS_PROMISED)
}

fn words(wrong: &Fault, names: &[String]) -> String {
    match wrong {
        Fault::Loss { percent } => format!("{percent} % lost each way"),
        Fault::OneWay { from, to } => format!("nothing from {} to {}", names[*from], names[*to]),
        Fault::Flap { whom: Whom::Node(node), every_ms } => {
            format!("{} there and gone every {every_ms} ms", names[*node])
        }
        other => format!("{other:?}"),
    }
}

/// Makes it so for a while, and heals.
async fn last(wrong: &Fault, site: &mut Site, length: Duration) -> anyhow::Result<()> {
    let met = if let Fault::Flap { whom: Whom::Node(node), .. } = wrong { vec![*node] } else { Vec::new() };
    let (whole, mut cuts) = (Cuts::default(), Cuts::default());
    cuts.add(wrong, &met, site.network.nodes().len());
    let ends = tokio::time::Instant::now() + length;
    if let Fault::Flap { every_ms, .. } = wrong {
        let every = Duration::from_millis(*every_ms);
        while tokio::time::Instant::now() < ends {
            site.cut(&cuts)?;
            tokio::time::sleep(every).await;
            site.cut(&whole)?;
            tokio::time::sleep(every).await;
        }
    } else {
        site.cut(&cuts)?;
        tokio::time::sleep_until(ends).await;
    }
    site.cut(&whole)
}

/// One phase.
#[derive(Debug, Serialize)]
struct Phase {
    wrong: String,
    /// Who led when it began.
    led: String,
    /// Acknowledged in it.
    acknowledged: u64,
    /// The longest time between two acknowledged writes that touches it.
    silence_ms: u64,
    promised: bool,
    held: bool,
}

#[derive(Debug, Serialize)]
struct Figures {
    schema_version: u32,
    seconds: u64,
    phases: Vec<Phase>,
    #[serde(flatten)]
    aftermath: Aftermath,
    held: bool,
}

/// Runs it.
pub(crate) async fn run(arguments: &Links) -> anyhow::Result<ExitCode> {
    let standing = arguments.ground.stand()?;
    until_signal(measure(arguments, &standing)).await
}

async fn measure(arguments: &Links, standing: &Standing) -> anyhow::Result<ExitCode> {
    let mut site = Site::wired(standing, "chaos links").await?;
    let cluster = site.network.connect(&ConnectOptions::default())?;
    let load = Load::start(&cluster, &LoadOptions::default()).await?;
    let names: Vec<String> = site.network.nodes().iter().map(|node| node.name().to_owned()).collect();
    say(&format!("phases of {} s, wan timers", arguments.seconds));
    say("what is wrong                          led        acknowledged   longest silence");
    let mut phases = Vec::new();
    for wrong in phases_of(names.len()) {
        let phase = phase(&mut site, &load, &wrong, Duration::from_secs(arguments.seconds), &names).await?;
        say(&format!(
            "{:<38} {:<9} {:>13} {:>14} ms{}",
            phase.wrong,
            phase.led,
            phase.acknowledged,
            phase.silence_ms,
            if phase.held { "" } else { "  FAILED" }
        ));
        phases.push(phase);
    }
    let (stage, ledger) = load.stop().await?;
    let aftermath = Aftermath::of(&site.network, &cluster, &stage, ledger).await?;
    let figures = Figures {
        schema_version: 1,
        seconds: arguments.seconds,
        held: phases.iter().all(|phase| phase.held) && aftermath.holds(),
        phases,
        aftermath,
    };
    conclude(&figures);
    arguments.ground.write(&figures)?;
    site.network.stop_all().await?;
    Ok(exit(figures.held))
}

/// Writes flow, something is wrong for a while, writes flow again.
async fn phase(
    site: &mut Site,
    load: &Load,
    wrong: &Fault,
    length: Duration,
    names: &[String],
) -> anyhow::Result<Phase> {
    load.acknowledged_after(Instant::now(), FLOWING).await?;
    let led = names[site.network.leader().await?].clone();
    let began = Instant::now();
    last(wrong, site, length).await?;
    let ended = Instant::now();
    load.acknowledged_after(ended, FLOWING).await?;
    let ledger = load.ledger();
    let silence = ledger.interruption(began).context("no writes around the phase")?.length();
    let acknowledged = ledger.acknowledged.iter().filter(|done| done.at > began && done.at <= ended).count() as u64;
    let promised = is_promised(wrong);
    Ok(Phase {
        wrong: words(wrong, names),
        led,
        acknowledged,
        silence_ms: millis(silence),
        promised,
        held: !promised || (acknowledged > 0 && silence <= SILENCE_MAX),
    })
}

fn conclude(figures: &Figures) {
    let worst = figures.phases.iter().filter(|phase| phase.promised).map(|phase| phase.silence_ms).max();
    let held = figures.phases.iter().all(|phase| phase.held);
    say(&format!(
        "where it is promised, writes stood still for {} ms at most (promised: {}): {}",
        worst.unwrap_or(0),
        SILENCE_MAX.as_millis(),
        yes(held)
    ));
    figures.aftermath.say();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_direction_and_every_node_has_its_phase_and_heavy_loss_promises_nothing() {
        let all = phases_of(3);
        let count = |kind: fn(&Fault) -> bool| all.iter().filter(|wrong| kind(wrong)).count();
        assert_eq!(count(|wrong| matches!(wrong, Fault::Loss { .. })), 6);
        assert_eq!(count(|wrong| matches!(wrong, Fault::OneWay { .. })), 6);
        assert_eq!(count(|wrong| matches!(wrong, Fault::Flap { .. })), 6);
        let free: Vec<_> = all.iter().filter(|wrong| !is_promised(wrong)).collect();
        assert!(matches!(free[..], [Fault::Loss { percent: 20 }, Fault::Loss { percent: 30 }]), "{free:?}");
    }
}
