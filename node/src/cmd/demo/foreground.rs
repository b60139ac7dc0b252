//! `demo` without `--once`: the network stays up, a clinic is in it, and the screen says what to try. A node that somebody
//! kills is shown and started again.

use super::teller::{Teller, grouped, seconds};
use super::{DemoOptions, Interrupts, clinic, name, open_or_create};
use crate::local_network::{Error, LocalNetwork};
use anyhow::Context;
use futures_util::TryStreamExt;
use plantao_client::import::Importer;
use plantao_client::services::LOCAL;
use plantao_client::{Cluster, ConnectOptions};
use plantao_proto::public::v1;
use std::path::Path;
use std::pin::pin;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// How long a node that was killed stays away: long enough to look at the network without it.
const AWAY: Duration = Duration::from_secs(15);
/// How long the others have to agree on a leader before the screen says that there is none.
const ELECTION: Duration = Duration::from_secs(5);
/// Between two looks whether all nodes run.
const LOOK: Duration = Duration::from_millis(250);

/// Makes or opens the network, imports, prints what to try, and keeps the nodes running. Ends only by an error: Ctrl-C is
/// for the caller.
pub(super) async fn stay(
    options: &DemoOptions,
    directory: &Path,
    network: &mut Option<LocalNetwork>,
    teller: &Teller,
) -> anyhow::Result<ExitCode> {
    let begun = Instant::now();
    teller.line("Plantão: uma rede de demonstração nesta máquina (centro, jardins e cofre, externo)");
    let new = open_or_create(options, directory, network).await?;
    let network = network.as_mut().context("the network is gone")?;
    let what = if new { "criada" } else { "religada" };
    teller.line(&format!("   {what} em {}", seconds(begun.elapsed())));
    let cluster = network.connect(&ConnectOptions::default())?;
    if new || options.import.is_some() {
        let files = clinic(options, directory).await?;
        let on_progress = |progress| teller.progress("importação", progress);
        let report = Importer::new(&cluster).run(&files, &on_progress).await?;
        teller.line(&format!(
            "   {} pacientes, {} registros, {} agendamentos; {} linhas recusadas",
            grouped(report.patients.accepted()),
            grouped(report.records.accepted()),
            grouped(report.appointments.accepted()),
            grouped(report.issue_count)
        ));
    }
    let day = first_day(&cluster).await;
    teller.line(&what_to_try(network, day.as_deref()));
    loop {
        tokio::time::sleep(LOOK).await;
        for at in network.fallen() {
            let node = name(network, at)?;
            // Without a majority there is none; the nodes that come back make one.
            let leader = match tokio::time::timeout(ELECTION, network.leader()).await {
                Ok(Ok(leader)) => name(network, leader)?,
                Ok(Err(_)) | Err(_) => "ninguém, falta maioria".to_owned(),
            };
            teller.line(&format!("{node} caiu; quem lidera: {leader}. Volta em {} s.", AWAY.as_secs()));
            tokio::time::sleep(AWAY).await;
            let took = network.start(at).await?;
            teller.line(&format!("{node} de volta: pronto em {}.", seconds(took)));
        }
    }
}

/// Stops the nodes in order; a second signal kills them.
pub(super) async fn stop(
    network: &mut LocalNetwork,
    interrupts: &mut Interrupts,
    teller: &Teller,
) -> Result<(), Error> {
    teller.line("\nParando em ordem (Ctrl-C de novo: já).");
    let stopped = tokio::select! {
        stopped = network.stop_all() => stopped,
        () = interrupts.next() => Ok(()),
    };
    network.kill_all().await?;
    stopped
}

/// The day of the first booking of a unit, `AAAA-MM-DD`; only for the examples.
async fn first_day(cluster: &Cluster) -> Option<String> {
    let mut units = pin!(cluster.units(v1::ListUnitsRequest { read: Some(LOCAL), page: None }));
    let unit = loop {
        let unit = units.try_next().await.ok()??;
        if unit.slug == "centro" {
            break unit;
        }
    };
    let now = plantao_client::time::unix_ms(std::time::SystemTime::now());
    let request = v1::ListAppointmentsRequest {
        read: Some(LOCAL),
        of: Some(v1::list_appointments_request::Of::UnitId(unit.id)),
        from_ms: now,
        to_ms: now.saturating_add(3_650 * 86_400_000),
        page: None,
    };
    let mut appointments = pin!(cluster.appointments(request));
    let start_ms = appointments.try_next().await.ok()??.slot?.start_ms;
    plantao_client::time::format_rfc3339(start_ms)?.get(..10).map(str::to_owned)
}

fn what_to_try(network: &LocalNetwork, day: Option<&str>) -> String {
    let beside = std::env::current_exe().ok().map(|program| program.with_file_name("plantao"));
    let tool = match beside.filter(|tool| tool.is_file()) {
        Some(tool) => tool.display().to_string(),
        None => "cargo run --release --bin plantao --".to_owned(),
    };
    let plantao = format!("{tool} --config {}", network.contexts_file().display());
    let day = day.map(|day| format!(" --day {day}")).unwrap_or_default();
    let mut text = String::from("\nA rede está no ar. Em outro terminal, experimente:\n");
    for (command, meaning) in [
        ("status -W".to_owned(), "quem lidera, quem está em dia"),
        (format!("agenda list --unit centro{day}"), "a agenda de um dia"),
        ("watch --unit centro".to_owned(), "cada mudança na hora em que acontece"),
        ("patient list".to_owned(), "os pacientes, só números; o conteúdo fica cifrado"),
        ("bench book --clients 16 --seconds 10".to_owned(), "agendamentos por segundo"),
        ("digest".to_owned(), "as três cópias são iguais?"),
        ("-c demo-auditoria audit list".to_owned(), "quem viu o quê"),
    ] {
        text.push_str(&format!("  # {meaning}\n  {plantao} {command}\n"));
    }
    text.push_str("\nDerrube um nó e veja o status: outro assume, e ele volta sozinho.\n");
    for node in network.nodes() {
        let pid = node.pid().map(|pid| pid.to_string()).unwrap_or_default();
        let row = format!(
            "  kill -9 {pid:<8} # {:<8} público {}, operação {}, métricas http://{}/metrics\n",
            node.name(),
            node.public(),
            node.admin(),
            node.metrics()
        );
        text.push_str(&row);
    }
    text.push_str(&format!("\nArquivos em {}. Ctrl-C para parar.", network.directory().display()));
    text
}
