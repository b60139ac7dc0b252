//! `plantao compliance 321`: asks a node for a proof of 3-2-1, shows it, writes it down and signs it.
//!
//! What is signed is the JSON document as it is written, byte by byte, so that nobody needs our code to verify it.

use crate::exit::Exit;
use crate::failure::{Failure, chain};
use crate::ids;
use crate::output::{Cell, Column, Format, Items, Out, Report, Table, Tone};
use crate::session::Session;
use crate::text::{Lang, Say, Word};
use crate::when;
use clap::{Args, Subcommand};
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use plantao_client::pki::ReportKey;
use plantao_proto::admin::v1::{
    FindingKind, HolderAnswer, Proof, ProofFinding, ProofHolder, ProofProgress, ProofStep, ProveRequest, Verdict,
};
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};

const DAY_MS: u64 = 24 * 3_600 * 1_000;

/// What the law and good practice ask for, proven.
#[derive(Debug, Subcommand)]
pub(crate) enum ComplianceCommand {
    /// Prove that three verified copies on two media exist, one of them off-site
    #[command(name = "321")]
    ThreeTwoOne(ProofArgs),
}

/// How thoroughly, and what becomes of it.
#[derive(Debug, Args)]
pub(crate) struct ProofArgs {
    /// Random chunks that each holder must prove to have (460 find a loss of 1 % with 99 %)
    #[arg(long, value_name = "N", default_value_t = 460, value_parser = clap::value_parser!(u32).range(1..=4_096))]
    challenge: u32,
    /// Oldest check that counts, in days
    #[arg(long, value_name = "DAYS", default_value_t = 45, value_parser = clap::value_parser!(u64).range(1..=3_660))]
    check_age: u64,
    /// Write the report as JSON to this file
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Sign the report with this key (see pki report-key); the signature is written to the report's file and .sig
    #[arg(long, value_name = "KEY", requires = "report")]
    sign: Option<PathBuf>,
}

/// Runs it.
pub(crate) async fn run(command: ComplianceCommand, session: &Session) -> Result<Exit, Failure> {
    let ComplianceCommand::ThreeTwoOne(args) = command;
    // A key that cannot be used is told before the work, not after it.
    let key = args.sign.as_deref().map(ReportKey::read).transpose();
    let key = key.map_err(|error| Failure::Authority { why: chain(&error) })?;
    let proof = prove(&args, session).await?;
    let report = view(&proof, session.out.lang);
    if let Some(path) = &args.report {
        let lang = session.out.lang;
        let out = Out { format: Format::Json, lang, style: session.out.style, quiet: true };
        let document = out.render(&report);
        write(path, document.as_bytes())?;
        if let Some(key) = &key {
            let signature = key.sign(document.as_bytes());
            let signature = signature.map_err(|error| Failure::Authority { why: chain(&error) })?;
            let mut name = path.as_os_str().to_owned();
            name.push(".sig");
            write(Path::new(&name), &signature)?;
        }
    }
    session.out.report(&report)?;
    if let Some(path) = &args.report {
        session.out.note(&Say::ReportWritten { file: path.display().to_string(), signed: key.is_some() });
    }
    Ok(match proof.verdict() {
        Verdict::Holds | Verdict::HoldsSimulated => Exit::Done,
        Verdict::DoesNotHold | Verdict::Unspecified => Exit::GoalNotMet,
    })
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    std::fs::write(path, bytes).map_err(|source| Failure::Work { why: format!("{}: {source}", path.display()) })
}

async fn prove(args: &ProofArgs, session: &Session) -> Result<Proof, Failure> {
    let (cluster, _) = session.admin()?;
    let request =
        ProveRequest { challenge_chunks: args.challenge, check_age_ms_max: args.check_age.saturating_mul(DAY_MS) };
    let bar = if session.out.quiet { ProgressBar::hidden() } else { ProgressBar::new(0) };
    let style = ProgressStyle::with_template("{msg} {bar:30} {pos}/{len}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let mut failure = None;
    for node in Session::nodes(&cluster) {
        match node.prove(request, |progress| told(&bar, &progress, session.out.lang)).await {
            Ok(proof) => {
                bar.finish_and_clear();
                return Ok(proof);
            }
            Err(error) => failure = Some(Failure::from(error)),
        }
    }
    bar.finish_and_clear();
    Err(failure.unwrap_or(Failure::Connect { why: String::new() }))
}

fn told(bar: &ProgressBar, progress: &ProofProgress, lang: Lang) {
    let word = match progress.step() {
        ProofStep::Held => Word::Nodes,
        ProofStep::Challenge => Word::Proved,
        ProofStep::Expected | ProofStep::Unspecified => Word::Chunks,
    };
    bar.set_message(lang.word(word));
    bar.set_length(progress.total.max(progress.done));
    bar.set_position(progress.done);
}

/// The name of a verdict in documents.
pub(crate) fn verdict_key(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Holds => "holds",
        Verdict::HoldsSimulated => "holds (simulated media)",
        Verdict::DoesNotHold | Verdict::Unspecified => "does not hold",
    }
}

pub(crate) fn verdict_word(verdict: Verdict) -> (Word, Tone) {
    match verdict {
        Verdict::Holds => (Word::Holds, Tone::Good),
        Verdict::HoldsSimulated => (Word::HoldsSimulated, Tone::Good),
        Verdict::DoesNotHold | Verdict::Unspecified => (Word::DoesNotHold, Tone::Bad),
    }
}

pub(crate) fn answer_key(answer: HolderAnswer) -> &'static str {
    match answer {
        HolderAnswer::Answered => "answered",
        HolderAnswer::Silent | HolderAnswer::Unspecified => "silent",
        HolderAnswer::NoStore => "no_store",
        HolderAnswer::Refuted => "refuted",
    }
}

pub(crate) fn answer_cell(answer: HolderAnswer, lang: Lang) -> Cell {
    let (word, tone) = match answer {
        HolderAnswer::Answered => (Word::StateActive, Tone::Plain),
        HolderAnswer::Silent | HolderAnswer::Unspecified => (Word::StateSilent, Tone::Bad),
        HolderAnswer::NoStore => (Word::NoStore, Tone::Bad),
        HolderAnswer::Refuted => (Word::Refuted, Tone::Bad),
    };
    Cell { text: lang.word(word).to_owned(), tone }
}

/// An age in whole units, the largest that fits.
pub(crate) fn age(ms: u64) -> String {
    match ms / 1_000 {
        seconds @ 0..=119 => format!("{seconds} s"),
        seconds @ 120..=7_199 => format!("{} min", seconds / 60),
        seconds @ 7_200..=172_799 => format!("{} h", seconds / 3_600),
        seconds => format!("{} d", seconds / 86_400),
    }
}

fn finding_key(kind: FindingKind) -> &'static str {
    match kind {
        FindingKind::Lost => "lost",
        FindingKind::Awaited => "awaited",
        FindingKind::Refuted => "refuted",
        FindingKind::Overdue => "check_overdue",
        FindingKind::Silent => "silent",
        FindingKind::NoStore => "no_store",
        FindingKind::State | FindingKind::Unspecified => "state",
    }
}

fn holder_value(holder: &ProofHolder) -> Value {
    json!({
        "node_id": holder.node_id,
        "name": holder.name,
        "site": holder.site,
        "country": holder.country,
        "medium": holder.medium,
        "disk": ids::hex(&holder.disk_id),
        "simulated_media": holder.simulated_media,
        "off_site": holder.off_site,
        "answer": answer_key(holder.answer()),
        "expected_chunks": holder.expected_chunks,
        "expected_bytes": holder.expected_bytes,
        "lost_chunks": holder.lost_chunks,
        "awaited_chunks": holder.awaited_chunks,
        "held_chunks": holder.held_chunks,
        "held_bytes": holder.held_bytes,
        "oldest_check_age_ms": holder.check_age_ms,
        "bad_total": holder.bad_total,
        "challenged": holder.challenged,
        "proved": holder.proved,
        "state_applied_index": holder.applied_index,
        "state_check_age_ms": holder.state_check_age_ms,
        "state_agrees": holder.state_agrees,
    })
}

/// Lines of findings that a person reads; the document has each of them.
const SHOWN_MAX: usize = 10;

/// The first finding of each kind on each node, and how many there are of it.
fn alike(findings: &[ProofFinding]) -> Vec<(&ProofFinding, u64)> {
    let mut alike: Vec<(&ProofFinding, u64)> = Vec::new();
    for finding in findings {
        match alike.iter_mut().find(|(first, _)| (first.kind, first.node_id) == (finding.kind, finding.node_id)) {
            Some((_, count)) => *count += 1,
            None => alike.push((finding, 1)),
        }
    }
    alike
}

fn view(proof: &Proof, lang: Lang) -> Report {
    let rows = proof.holders.iter().map(|holder| {
        let missing = holder.lost_chunks + holder.awaited_chunks;
        let proved = Cell {
            text: format!("{}/{}", holder.proved, holder.challenged),
            tone: if holder.proved < holder.challenged { Tone::Bad } else { Tone::Plain },
        };
        let state = if holder.state_agrees { Word::Yes } else { Word::No };
        vec![
            holder.name.as_str().into(),
            holder.site.as_str().into(),
            holder.country.as_str().into(),
            holder.medium.as_str().into(),
            lang.word(if holder.off_site { Word::Yes } else { Word::No }).into(),
            answer_cell(holder.answer(), lang),
            holder.held_chunks.to_string().into(),
            HumanBytes(holder.held_bytes).to_string().into(),
            Cell { text: missing.to_string(), tone: if missing > 0 { Tone::Bad } else { Tone::Plain } },
            proved,
            age(holder.check_age_ms).into(),
            lang.word(state).into(),
            ids::hex(&holder.disk_id).chars().take(12).collect::<String>().into(),
        ]
    });
    let objects = proof.objects.iter().map(|of| {
        json!({
            "kind": of.kind,
            "objects": of.objects,
            "bytes": of.bytes,
            "fewest_copies": of.copies_least,
            "fewest_media": of.media_least,
            "fewest_off_site": of.off_site_least,
            "without_three_copies": of.without_three,
            "without_two_media": of.without_two,
            "without_off_site_copy": of.without_one,
        })
    });
    let findings = proof.findings.iter().map(|finding| {
        json!({
            "kind": finding_key(finding.kind()),
            "node_id": finding.node_id,
            "image_id": ids::text(&finding.image_id),
            "chunk_id": ids::hex(&finding.chunk_id),
        })
    });
    let (word, _) = verdict_word(proof.verdict());
    let mut footer: Vec<String> = proof
        .objects
        .iter()
        .map(|of| {
            lang.say(&Say::ProofObjects {
                images: of.kind == "images",
                objects: of.objects,
                copies: of.copies_least,
                media: of.media_least,
                off_site: of.off_site_least,
                short: of.without_three.max(of.without_two).max(of.without_one),
            })
        })
        .collect();
    let named = |id: u64| {
        let holder = proof.holders.iter().find(|holder| holder.node_id == id);
        holder.map_or_else(|| id.to_string(), |holder| holder.name.clone())
    };
    let alike = alike(&proof.findings);
    let told: u64 = alike.iter().take(SHOWN_MAX).map(|(_, count)| count).sum();
    for (finding, count) in alike.into_iter().take(SHOWN_MAX) {
        let image = Some(ids::text(&finding.image_id)).filter(|id| !id.is_empty());
        footer.push(lang.say(&Say::ProofFinding { kind: finding.kind(), node: named(finding.node_id), image, count }));
    }
    if proof.findings_total > told {
        footer.push(lang.say(&Say::MoreFindings { count: proof.findings_total - told }));
    }
    footer.push(format!("3-2-1: {}", lang.word(word)));
    Report {
        kind: "compliance_321",
        head: Map::from_iter([
            ("verdict".to_owned(), verdict_key(proof.verdict()).into()),
            ("cluster".to_owned(), proof.cluster_name.as_str().into()),
            ("cluster_id".to_owned(), ids::text(&proof.cluster_id).into()),
            ("made_at".to_owned(), json!(when::rfc3339(proof.made_ms))),
            ("made_by".to_owned(), json!({"node_id": proof.node_id, "name": proof.node_name})),
            ("applied_index".to_owned(), proof.applied_index.into()),
            ("linearizable".to_owned(), proof.linearizable.into()),
            ("challenge_chunks".to_owned(), proof.challenge_chunks.into()),
            ("check_age_max_ms".to_owned(), proof.check_age_ms_max.into()),
            ("took_ms".to_owned(), proof.took_ms.into()),
            ("objects".to_owned(), objects.collect::<Vec<_>>().into()),
            ("findings_total".to_owned(), proof.findings_total.into()),
            ("findings".to_owned(), findings.collect::<Vec<_>>().into()),
        ]),
        items: Items::Many("holders", proof.holders.iter().map(holder_value).collect()),
        table: Table {
            title: Some(proof.cluster_name.clone()),
            footer,
            ..Table::new(
                vec![
                    Column::of(Word::Node),
                    Column::of(Word::Site),
                    Column::of(Word::Country),
                    Column::of(Word::Medium),
                    Column::of(Word::OffSite),
                    Column::of(Word::State),
                    Column::number(Word::Chunks),
                    Column::number(Word::Size),
                    Column::number(Word::Missing),
                    Column::number(Word::Proved),
                    Column::number(Word::Checked),
                    Column::of(Word::SameState),
                    Column::of(Word::Disk).wide(),
                ],
                rows.collect(),
            )
        },
    }
}

#[cfg(test)]
pub(crate) mod samples {
    //! Fixed proofs for golden files.
    use super::*;
    use crate::golden::{MOMENT, id};
    use plantao_proto::admin::v1::ProofObjects;

    fn holder(node_id: u64, name: &str, medium: &str) -> ProofHolder {
        ProofHolder {
            node_id,
            name: name.into(),
            site: name.into(),
            country: "BR".into(),
            medium: medium.into(),
            off_site: node_id == 3,
            disk_id: vec![u8::try_from(node_id).unwrap_or(0); 32].into(),
            answer: HolderAnswer::Answered.into(),
            expected_chunks: 120,
            expected_bytes: 125_000_000,
            held_chunks: 120,
            held_bytes: 125_000_000,
            check_age_ms: 3 * DAY_MS,
            challenged: 120,
            proved: 120,
            applied_index: 918_204,
            state_check_age_ms: 4_000_000,
            state_agrees: true,
            ..ProofHolder::default()
        }
    }

    fn proof() -> Proof {
        let objects = |kind: &str, objects, bytes| ProofObjects {
            kind: kind.into(),
            objects,
            bytes,
            copies_least: 3,
            media_least: 2,
            off_site_least: 1,
            ..ProofObjects::default()
        };
        Proof {
            cluster_id: id(9),
            cluster_name: "estetica-sul".into(),
            node_id: 1,
            node_name: "centro".into(),
            made_ms: MOMENT,
            applied_index: 918_204,
            linearizable: true,
            challenge_chunks: 460,
            check_age_ms_max: 45 * DAY_MS,
            verdict: Verdict::Holds.into(),
            holders: vec![holder(1, "centro", "ssd"), holder(2, "jardins", "ssd"), holder(3, "cofre", "hdd")],
            objects: vec![objects("images", 32, 120_000_000), objects("state", 17_000, 0)],
            took_ms: 431,
            ..Proof::default()
        }
    }

    pub(crate) fn holds(lang: Lang) -> Report {
        view(&proof(), lang)
    }

    pub(crate) fn does_not_hold(lang: Lang) -> Report {
        let mut proof = proof();
        proof.verdict = Verdict::DoesNotHold.into();
        proof.objects[0].copies_least = 2;
        proof.objects[0].off_site_least = 0;
        (proof.objects[0].without_three, proof.objects[0].without_one) = (12, 12);
        let cofre = &mut proof.holders[2];
        (cofre.answer, cofre.proved) = (HolderAnswer::Refuted.into(), 108);
        proof.holders[1].lost_chunks = 1;
        let finding = |kind: FindingKind, node_id, image| ProofFinding {
            kind: kind.into(),
            node_id,
            image_id: image,
            chunk_id: vec![7; 32].into(),
        };
        proof.findings = vec![finding(FindingKind::Lost, 2, id(4))];
        proof.findings.extend((0..12).map(|_| finding(FindingKind::Refuted, 3, Default::default())));
        proof.findings_total = 13;
        view(&proof, lang)
    }
}
