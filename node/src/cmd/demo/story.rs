//! `demo --once`: import, refused double bookings, images, a steady load, every node lost once, a blackout, and then the
//! question whether all that was promised held.

use super::figures::{DigestFigures, Failover, Fault, Figures, LoadFigures, hexadecimal, millis};
use super::teller::{Teller, grouped, mebibytes, seconds};
use super::{DemoOptions, EXIT_NOT_HELD, clinic, images, name, open_or_create, proof};
use crate::local_network::checks::{look_for, overlaps};
use crate::local_network::load::{Load, LoadOptions};
use crate::local_network::{LocalNetwork, Timers};
use anyhow::Context;
use plantao_client::import::{
    ImportReport, Importer, Issue, OnProgress, Phase, Progress, read_back, submit_conflicting,
};
use plantao_client::services::LINEARIZABLE;
use plantao_client::synthetic::CONFLICTING_FILE;
use plantao_client::{Cluster, ConnectOptions};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Goals of the first release, on the clinic's real data.
const IMPORT_MAX: Duration = Duration::from_secs(20);
const RESIDENT_MAX: u64 = 150 << 20;
const RESIDENT_WITH_IMAGES_MAX: u64 = 256 << 20;
const START_MAX: Duration = Duration::from_secs(2);
/// Promise 3: writes succeed again within this.
const fn failover_max(timers: Timers) -> Duration {
    match timers {
        Timers::Wan => Duration::from_millis(3_000),
        Timers::Lan => Duration::from_millis(1_600),
    }
}
/// Acknowledged writes before and after each fault: a second of the load.
const FLOWING: usize = 200;
/// Issues of an import that are shown.
const ISSUES_SHOWN: usize = 10;

/// Tells the story.
pub(super) async fn tell(
    options: &DemoOptions,
    directory: &Path,
    network: &mut Option<LocalNetwork>,
    teller: &Teller,
) -> anyhow::Result<ExitCode> {
    let begun = Instant::now();
    let mut figures = Figures { timers: options.timers.as_str(), ..Figures::default() };
    teller.line("Plantão: a história inteira, com três processos reais nesta máquina");
    teller.step("A rede: centro e jardins (com chaves, fjall) e cofre (externo, sem chave, sled)");
    open_or_create(options, directory, network).await?;
    let network = network.as_mut().context("the network is gone")?;
    figures.create_ms = millis(begun.elapsed());
    teller.line(&format!("   no ar em {}: autoridade nova, três votantes, TLS mútuo", seconds(begun.elapsed())));
    let files = clinic(options, directory).await?;
    // A read that fails ends the story, and a machine that is busy with other things may need a while.
    let mut patient = ConnectOptions::default();
    patient.retry.read_deadline = Duration::from_secs(60);
    let cluster = network.connect(&patient)?;

    Box::pin(import(network, &cluster, &files, &mut figures, teller)).await?;
    Box::pin(images::tell(network, &cluster, &files, &mut figures, teller)).await?;
    Box::pin(faults(options, network, &cluster, &mut figures, teller)).await?;
    proof::tell(network, &mut figures, teller).await?;

    figures.conclude(begun.elapsed());
    teller.step("Veredito");
    teller.line(&figures.verdict());
    if let Some(path) = &options.json {
        let text = serde_json::to_vec_pretty(&figures).context("the figures cannot be written as JSON")?;
        std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
        teller.line(&format!("Números em {}", path.display()));
    }
    network.stop_all().await?;
    teller.line(&format!("Fim, em {}.", seconds(begun.elapsed())));
    Ok(if figures.held { ExitCode::SUCCESS } else { ExitCode::from(EXIT_NOT_HELD) })
}

async fn import(
    network: &LocalNetwork,
    cluster: &Cluster,
    files: &Path,
    figures: &mut Figures,
    teller: &Teller,
) -> anyhow::Result<()> {
    teller.step("Importação");
    let before_images = Mutex::new(None);
    let on_progress = |progress: Progress| {
        if progress.phase == Phase::Images {
            let mut seen = before_images.lock().unwrap_or_else(PoisonError::into_inner);
            seen.get_or_insert_with(|| resident(network));
        }
        teller.progress("importação", progress);
    };
    let first = import_once(cluster, files, &on_progress, teller).await?;
    teller.line(&counts(&first));
    teller.line(&format!("   em {}", seconds(Duration::from_millis(first.elapsed_ms))));
    figures.claim("import_complete", first.is_clean(), format!("importação completa: {}", counts(&first).trim()));
    figures.goal(
        "import_ms",
        first.elapsed_ms,
        millis(IMPORT_MAX),
        format!("importação em {} (meta 20 s)", seconds(Duration::from_millis(first.elapsed_ms))),
    );
    figures.import = Some(first);
    let with_images = resident(network);
    let before_images = before_images.into_inner().unwrap_or_else(PoisonError::into_inner);
    let records = before_images.unwrap_or_else(|| with_images.clone());
    let told = |resident: &Resident| {
        let all = resident.iter().map(|(node, bytes)| format!("{node} {}", mebibytes(*bytes)));
        (resident.values().copied().max().unwrap_or(u64::MAX), all.collect::<Vec<_>>().join(", "))
    };
    let (most, all) = told(&records);
    teller.line(&format!("   memória residente, com os registros: {all}"));
    figures.goal("resident_bytes", most, RESIDENT_MAX, format!("memória por nó, registros: {all} (meta 150 MiB)"));
    let (most, all) = told(&with_images);
    teller.line(&format!("   e depois das imagens: {all}"));
    figures.goal(
        "resident_bytes_with_images",
        most,
        RESIDENT_WITH_IMAGES_MAX,
        format!("memória por nó, depois das imagens: {all} (meta 256 MiB)"),
    );
    figures.resident_bytes_after_import = records;
    figures.resident_bytes_after_images = with_images;

    let conflicting = files.join(CONFLICTING_FILE);
    if tokio::fs::try_exists(&conflicting).await.unwrap_or(false) {
        teller.step("Agendamentos que conflitam: cada um tem de ser recusado, dizendo o que está ocupado e por qual");
        let report = submit_conflicting(cluster, &conflicting).await.context("cannot read the conflicting bookings")?;
        let text = format!(
            "{} de {} recusados: {} por profissional, {} por sala, {} por paciente",
            report.refused, report.submitted, report.practitioner, report.room, report.patient
        );
        teller.line(&format!("   {text}"));
        issues(&report.issues, teller);
        figures.claim("conflicts_refused", report.holds(), format!("conflitos: {text}"));
        figures.conflicts = Some(report);
    }

    teller.step("Segunda importação: nada pode mudar");
    let on_progress = |progress| teller.progress("importação", progress);
    let second = import_once(cluster, files, &on_progress, teller).await?;
    let unchanged =
        [second.patients, second.records, second.appointments, second.images].iter().map(|tally| tally.unchanged).sum();
    teller.line(&format!(
        "   {}; {} já estavam iguais, em {}",
        if second.nothing_changed() { "nada mudou" } else { "ALGO MUDOU" },
        grouped(unchanged),
        seconds(Duration::from_millis(second.elapsed_ms))
    ));
    figures.claim(
        "second_import_changes_nothing",
        second.nothing_changed(),
        "segunda importação não muda nada".to_owned(),
    );
    figures.second_import = Some(second);

    teller.step("Leitura de volta: cada registro, byte a byte, de cada unidade");
    for node in network.nodes().iter().filter(|node| node.spec().keyed) {
        let only = cluster.only(&node.public()).context("a unit is not among the endpoints")?;
        let on_progress = |progress| teller.progress(node.name(), progress);
        let report = read_back(&only, files, LINEARIZABLE, &on_progress).await?;
        let text = format!(
            "{}: {} de {} idênticos ({}, {} consentimentos)",
            node.name(),
            grouped(report.identical),
            grouped(report.expected),
            mebibytes(report.bytes),
            report.consents
        );
        let took = seconds(Duration::from_millis(report.elapsed_ms));
        teller.line(&format!("   {text}, em {took}"));
        issues(&report.issues, teller);
        figures.claim("records_read_back", report.holds(), format!("registros em {text}"));
        figures.read_back.insert(node.name().to_owned(), report);
    }
    Ok(())
}

/// By node.
type Resident = BTreeMap<String, u64>;

fn resident(network: &LocalNetwork) -> Resident {
    let nodes = network.nodes().iter();
    nodes.map(|node| (node.name().to_owned(), node.resident_bytes().unwrap_or(u64::MAX))).collect()
}

async fn import_once(
    cluster: &Cluster,
    files: &Path,
    on_progress: OnProgress<'_>,
    teller: &Teller,
) -> anyhow::Result<ImportReport> {
    let report = Importer::new(cluster).run(files, on_progress).await?;
    issues(&report.issues, teller);
    if let Some(stopped) = &report.stopped {
        teller.line(&format!("   parou: {stopped}"));
    }
    Ok(report)
}

/// Line and reason; never a line's content.
pub(super) fn issues(issues: &[Issue], teller: &Teller) {
    for issue in issues.iter().take(ISSUES_SHOWN) {
        let code = issue.code.map(|code| format!(" (PLT-{code:04})")).unwrap_or_default();
        teller.line(&format!("   {}:{}: {}{code}", issue.file, issue.line, issue.why));
    }
    if issues.len() > ISSUES_SHOWN {
        teller.line(&format!("   e mais {}", issues.len() - ISSUES_SHOWN));
    }
}

fn counts(report: &ImportReport) -> String {
    format!(
        "   {} pacientes, {} profissionais, {} salas, {} unidades, {} registros ({} consentimentos), {} agendamentos, \
         {} imagens",
        grouped(report.patients.accepted()),
        grouped(report.practitioners.accepted()),
        grouped(report.locations.accepted()),
        grouped(report.organizations.accepted()),
        grouped(report.records.accepted()),
        grouped(report.consents.accepted()),
        grouped(report.appointments.accepted()),
        grouped(report.images.accepted())
    )
}

/// The load, and under it every fault.
struct Faults<'a> {
    network: &'a mut LocalNetwork,
    load: Load,
    figures: &'a mut Figures,
    teller: &'a Teller,
}

async fn faults(
    options: &DemoOptions,
    network: &mut LocalNetwork,
    cluster: &Cluster,
    figures: &mut Figures,
    teller: &Teller,
) -> anyhow::Result<()> {
    teller.step("Carga constante: 200 escritas por segundo pelas duas unidades, metade agendamentos em disputa");
    let load = Load::start(cluster, &LoadOptions::default()).await?;
    let mut faults = Faults { network, load, figures, teller };
    faults.flow().await?;
    faults.lose_the_leader(options.timers).await?;
    faults.lose_all().await?;
    let Faults { network, load, figures, .. } = faults;
    teller.step("Fim da carga; cada escrita sem resposta é repetida com o mesmo número até ser decidida");
    let (stage, ledger) = load.stop().await?;
    figures.load = LoadFigures::from(&ledger);
    let it = &figures.load;
    let text = format!(
        "{} confirmadas ({} agendamentos, {} registros; {} só na repetição), {} recusadas por horário ocupado",
        grouped(it.acknowledged),
        grouped(it.bookings),
        grouped(it.records),
        grouped(it.retried),
        grouped(it.refused)
    );
    teller.line(&format!("   {text}, {} sem decisão, {} falhas", it.undecided, it.failed));
    if let Some(failure) = &it.first_failure {
        teller.line(&format!("   primeira falha: {failure}"));
    }
    let decided = it.undecided == 0 && it.failed == 0;
    figures.claim("every_write_decided", decided, format!("toda escrita foi decidida: {text}"));

    teller.step("Conferência");
    network.settle().await?;
    for node in network.nodes().iter().filter(|node| node.spec().keyed) {
        let only = cluster.only(&node.public()).context("a unit is not among the endpoints")?;
        let report = look_for(&only, &stage, &ledger).await?;
        let text = format!(
            "{}: {} de {} escritas confirmadas estão lá, {} perdidas, {} diferentes, {} a mais",
            node.name(),
            grouped(report.found),
            grouped(report.bookings + report.records),
            report.missing,
            report.different,
            report.unexpected
        );
        teller.line(&format!("   {text}"));
        figures.claim("acknowledged_writes_there", report.holds(), text);
        figures.acknowledged.insert(node.name().to_owned(), report);
    }
    let digests = network.digests().await?;
    let first = digests.first().context("no node gave a digest")?;
    let equal = digests.len() == network.nodes().len()
        && digests.iter().all(|digest| {
            (digest.applied_index, &digest.content, &digest.chain, digest.rows)
                == (first.applied_index, &first.content, &first.chain, first.rows)
        });
    for digest in &digests {
        teller.line(&format!(
            "   {} ({}): índice {}, {} linhas, conteúdo {}…, cadeia {}…",
            digest.node,
            digest.engine,
            grouped(digest.applied_index),
            grouped(digest.rows),
            &hexadecimal(&digest.content).get(..12).unwrap_or_default(),
            &hexadecimal(&digest.chain).get(..12).unwrap_or_default()
        ));
    }
    figures.claim(
        "digests_equal",
        equal,
        format!("as três cópias são iguais no índice {} (fjall e sled)", grouped(first.applied_index)),
    );
    figures.digests = digests.iter().map(DigestFigures::from).collect();
    let found = overlaps(cluster).await?;
    let text = format!(
        "{} agendamentos de {} unidades: {} sobreposições de profissional, {} de sala, {} de paciente",
        grouped(found.appointments),
        found.units,
        found.practitioners,
        found.rooms,
        found.patients
    );
    teller.line(&format!("   {text}"));
    figures.claim("nobody_booked_twice", found.holds(), text);
    figures.overlaps = found;
    Ok(())
}

impl Faults<'_> {
    /// Waits until the load flows.
    async fn flow(&self) -> anyhow::Result<()> {
        self.load.acknowledged_after(Instant::now(), FLOWING).await?;
        Ok(())
    }

    /// How long no write succeeded around `since`.
    fn interrupted(&self, since: Instant) -> Duration {
        self.load.ledger().interruption(since).map(|interruption| interruption.length()).unwrap_or_default()
    }

    async fn lose_the_leader(&mut self, timers: Timers) -> anyhow::Result<()> {
        let leader = self.network.leader().await?;
        let killed = name(self.network, leader)?;
        self.teller.step(&format!("kill -9 em {killed}, que lidera"));
        let at = Instant::now();
        self.network.kill(leader).await?;
        self.flow().await?;
        let gap = self.interrupted(at);
        let took_over = name(self.network, self.network.leader().await?)?;
        self.teller.line(&format!("   {took_over} assumiu sozinho; as escritas pararam por {}", seconds(gap)));
        self.figures.claim(
            "another_took_over",
            took_over != killed,
            format!("{killed} caiu, {took_over} assumiu sem ninguém intervir"),
        );
        let limit = failover_max(timers);
        self.figures.goal(
            "failover_ms",
            millis(gap),
            millis(limit),
            format!("escritas paradas por {} (promessa {})", seconds(gap), seconds(limit)),
        );
        self.figures.failover = Some(Failover { killed: killed.clone(), took_over, writes_failed_ms: millis(gap) });
        let mut slowest = self.restart(leader).await?;
        for at in (0..self.network.nodes().len()).filter(|at| *at != leader) {
            slowest = slowest.max(self.lose_one(at).await?);
        }
        self.figures.goal(
            "start_ms",
            millis(slowest),
            millis(START_MAX),
            format!("início de um nó com todo o estado em {} (meta 2 s)", seconds(slowest)),
        );
        Ok(())
    }

    async fn restart(&mut self, at: usize) -> anyhow::Result<Duration> {
        let node = name(self.network, at)?;
        let took = self.network.start(at).await?;
        self.network.settle().await?;
        self.teller.line(&format!("   {node} de volta: pronto em {}, em dia com os outros", seconds(took)));
        let start_ms = BTreeMap::from([(node.clone(), millis(took))]);
        self.figures.faults.push(Fault { kind: "restart", node, writes_failed_ms: None, start_ms });
        Ok(took)
    }

    async fn lose_one(&mut self, at: usize) -> anyhow::Result<Duration> {
        let node = name(self.network, at)?;
        let leads = if self.network.leader().await? == at { ", que agora lidera" } else { "" };
        self.teller.step(&format!("kill -9 em {node}{leads}"));
        let since = Instant::now();
        self.network.kill(at).await?;
        self.flow().await?;
        let gap = self.interrupted(since);
        self.teller.line(&format!("   maior pausa entre escritas: {}", seconds(gap)));
        self.figures.faults.push(Fault {
            kind: "kill",
            node,
            writes_failed_ms: Some(millis(gap)),
            start_ms: BTreeMap::new(),
        });
        self.restart(at).await
    }

    async fn lose_all(&mut self) -> anyhow::Result<()> {
        self.teller.step("Os três param em ordem (SIGTERM) e voltam");
        let since = Instant::now();
        self.network.stop_all().await?;
        self.all_back("stop_all", since).await?;
        self.teller.step("Apagão: kill -9 nos três de uma vez, e voltam");
        let since = Instant::now();
        self.network.kill_all().await?;
        self.all_back("kill_all", since).await
    }

    async fn all_back(&mut self, kind: &'static str, since: Instant) -> anyhow::Result<()> {
        let took = self.network.start_all().await?;
        self.network.settle().await?;
        self.flow().await?;
        let gap = self.interrupted(since);
        let start_ms: BTreeMap<String, u64> =
            self.network.nodes().iter().map(|node| node.name().to_owned()).zip(took.into_iter().map(millis)).collect();
        let slowest = start_ms.values().copied().max().unwrap_or_default();
        self.teller.line(&format!(
            "   todos prontos em {}; entre a última escrita antes e a primeira depois: {}",
            seconds(Duration::from_millis(slowest)),
            seconds(gap)
        ));
        let node = "all".to_owned();
        self.figures.faults.push(Fault { kind, node, writes_failed_ms: Some(millis(gap)), start_ms });
        Ok(())
    }
}
