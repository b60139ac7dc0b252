//! Portuguese of Brazil.

use super::{Lang, Named, Say, Word, faults};
use plantao_proto::admin::v1::FindingKind;

/// Titles and states.
pub(super) const fn word(word: Word) -> &'static str {
    match word {
        Word::See(word) => super::see::word(super::Lang::PtBr, word),
        Word::Lead(word) => word.text(Lang::PtBr),
        Word::Action => "ação",
        Word::Actor => "autor",
        Word::Address => "endereço",
        Word::AdminCertificate => "certificado admin",
        Word::AdminEndpoints => "endereços admin",
        Word::AdminKey => "chave admin",
        Word::AlreadySo => "já estava assim, nada mudou",
        Word::Applied => "aplicado",
        Word::Appointment => "agendamento",
        Word::Arrived => "chegou",
        Word::At => "quando",
        Word::Attention => "ATENÇÃO",
        Word::Author => "autor",
        Word::Authored => "data",
        Word::AwaitsSite => "aguarda 2º local",
        Word::BirthDate => "nascimento",
        Word::Booked => "agendado",
        Word::Cancelled => "cancelado",
        Word::Certificate => "cert",
        Word::Chain => "cadeia",
        Word::Chunks => "blocos",
        Word::ClinicalImages => "imagens clínicas",
        Word::Closed => "encerrado",
        Word::Cluster => "rede",
        Word::Code => "código",
        Word::Committed => "confirmado",
        Word::Confirmed => "confirmado",
        Word::Consent => "consentimento",
        Word::Contact => "contato",
        Word::Content => "conteúdo",
        Word::Context => "contexto",
        Word::Copies => "cópias",
        Word::Count => "quantidade",
        Word::Country => "país",
        Word::Cpf => "CPF",
        Word::Damaged => "danificados",
        Word::Document => "documento",
        Word::Email => "e-mail",
        Word::Encaixe => "encaixe",
        Word::End => "fim",
        Word::Endpoints => "endereços",
        Word::Engine => "motor",
        Word::Errors => "erros",
        Word::Exit => "código de saída",
        Word::Failed => "falhas",
        Word::File => "arquivo",
        Word::Fingerprint => "impressão digital",
        Word::Fix => "o que fazer",
        Word::Head => "topo",
        Word::Id => "id",
        Word::Identity => "identidade",
        Word::Image => "imagem",
        Word::ImageAtRisk => "EM RISCO",
        Word::ImageCommitted => "em dois locais",
        Word::ImageProtected => "protegida",
        Word::ImageReplicated => "replicada",
        Word::Index => "índice",
        Word::Key => "chave",
        Word::Kind => "tipo",
        Word::Label => "rótulo",
        Word::Levels => "níveis",
        Word::Lag => "atraso",
        Word::Marketing => "divulgação",
        Word::Max => "máx",
        Word::MediaType => "formato",
        Word::Medium => "mídia",
        Word::MegabytesPerSecond => "MB/s",
        Word::Module => "módulo",
        Word::Name => "nome",
        Word::NewOnes => "novos",
        Word::Answers => "responde",
        Word::WouldLose => "perderia ≥",
        Word::No => "não",
        Word::NoQuorum => "SEM QUÓRUM",
        Word::NoShow => "faltou",
        Word::Node => "unidade/nó",
        Word::NotAfter => "válido até",
        Word::NotAsked => "não verificados",
        Word::NotStored => "NÃO GUARDADA",
        Word::Object => "objeto",
        Word::OffSite => "externo",
        Word::Ok => "BOA",
        Word::Operations => "operações",
        Word::OpsPerSecond => "operações/s",
        Word::Outcome => "resultado",
        Word::P50 => "p50",
        Word::P99 => "p99",
        Word::P999 => "p99,9",
        Word::Patient => "paciente",
        Word::Phones => "telefones",
        Word::Placed => "designado",
        Word::Practitioner => "profissional",
        Word::Proven => "provados",
        Word::Purposes => "finalidades",
        Word::Read => "lidos",
        Word::Reason => "motivo",
        Word::Receipt => "recibo",
        Word::Record => "registro",
        Word::Refusal => "recusa",
        Word::Refused => "recusados",
        Word::Remarks => "observações",
        Word::Request => "pedido",
        Word::Research => "pesquisa",
        Word::Revoked => "revogado",
        Word::Role => "papel",
        Word::RoleCandidate => "Candidato",
        Word::RoleLeader => "Líder",
        Word::RoleLearner => "Aprendiz",
        Word::RoleUnknown => "?",
        Word::RoleVoter => "Votante",
        Word::Room => "sala",
        Word::Roots => "raízes",
        Word::Rows => "linhas",
        Word::Seconds => "segundos",
        Word::Sequence => "sequência",
        Word::Serial => "série",
        Word::Sha256 => "SHA-256",
        Word::Sharing => "compartilhamento",
        Word::Site => "local",
        Word::Sites => "locais",
        Word::Size => "tamanho",
        Word::Slug => "nome curto",
        Word::Start => "início",
        Word::State => "estado",
        Word::StateActive => "ativo",
        Word::StateBehind => "atrasado",
        Word::StateNoLeader => "sem líder",
        Word::StateSealed => "lacrado",
        Word::StateSilent => "sem resposta",
        Word::StateUpToDate => "em dia",
        Word::Stored => "guardada",
        Word::Taken => "tirada em",
        Word::Term => "termo",
        Word::Token => "token",
        Word::Treatment => "tratamento",
        Word::Unchanged => "iguais",
        Word::Unit => "unidade",
        Word::UnknownOutcomes => "resultados desconhecidos",
        Word::Until => "até",
        Word::ValidFrom => "desde",
        Word::Value => "valor",
        Word::Version => "versão",
        Word::Visit => "atendimento",
        Word::What => "o quê",
        Word::Whole => "íntegra",
        Word::Written => "gravado",
        Word::Yes => "sim",
        Word::Checked => "verificada há",
        Word::Disk => "disco",
        Word::DoesNotHold => "não cumprida",
        Word::Holds => "cumprida",
        Word::HoldsSimulated => "cumprida (mídias simuladas)",
        Word::Missing => "faltam",
        Word::NoStore => "sem diretório",
        Word::Nodes => "nós",
        Word::Proved => "provados",
        Word::PublicKey => "chave pública",
        Word::Refuted => "não provou",
        Word::SameState => "dados iguais",
        Word::ThreeTwoOne => "3-2-1",
    }
}

/// Sentences.
pub(super) fn say(say: &Say) -> String {
    match say {
        Say::See(see) => super::see::say(super::Lang::PtBr, see),
        Say::Lead(say) => say.text(Lang::PtBr),
        Say::NothingFound => "Nenhum resultado.".to_owned(),
        Say::Situation { word: state, voters, alive, spare } => {
            let spare = match spare {
                Some(spare) => format!("suporta perder mais {spare}"),
                None => "sem maioria".to_owned(),
            };
            format!("Situação: {} · quórum {alive}/{voters}, {spare}", word(*state))
        }
        Say::Copies(copies) => {
            let mut text = format!(
                "imagens em {} ({}): {} de {} pedaços",
                copies.node, copies.medium, copies.received, copies.expected
            );
            text += " · ";
            text += &match copies.missing() {
                _ if copies.received >= copies.expected => "completo".to_owned(),
                (amount, Some(time)) => format!("faltam {amount}, cerca de {time}"),
                (amount, None) => format!("faltam {amount}, sem previsão"),
            };
            if let Some(age) = copies.checked_ms {
                text += &format!(" · verificação mais antiga há {}", super::span(age));
            }
            if let Some(bad) = copies.bad.filter(|bad| *bad > 0) {
                text += &format!(" · {} cópias ruins desde o início", bad);
            }
            text
        }
        Say::NodeSilent { node, why } if why.is_empty() => {
            format!("■ {node}: não responde → veja o computador e o enlace: systemctl status plantaod")
        }
        Say::NodeSilent { node, why } => {
            format!("■ {node}: não responde ({why}) → veja o computador e o enlace: systemctl status plantaod")
        }
        Say::NodeBehind { node, entries } => format!("▲ {node}: {entries} entradas de atraso → plantao status -W"),
        Say::LinkCut(link) => {
            let (pair, test) = link.told("líder");
            format!(
                "■ ligação {pair} cortada desde {}, e os dois nós estão no ar → veja a internet, a VPN e o firewall entre \
                 eles; em {test}",
                link.since
            )
        }
        Say::NodeSealed { node } => {
            format!("▲ {node}: lacrado, não mostra conteúdo → dê a ele a chave raiz e reinicie o plantaod")
        }
        Say::NoLeader => {
            "■ nenhum nó lidera: nada pode ser gravado → religue um nó parado; leituras seguem com --stale".to_owned()
        }
        Say::ServerWarning { node, code, message, help } => {
            let what = faults::what(Lang::PtBr, *code, message);
            let help = faults::help(Lang::PtBr, *code, help);
            format!("▲ {node}: {what} (PLT-{code:04}) → {help}")
        }
        Say::Plan { from, to, behind: Some(entries) } => {
            format!("Plano: {from} → {to}   entradas pendentes: {entries}")
        }
        Say::Plan { from, to, behind: None } => format!("Plano: {from} → {to}"),
        Say::AnyVoter => "qualquer votante em dia".to_owned(),
        Say::Ask { label } => format!("Confirma em {label}? [s/N]"),
        Say::TypeName { of, name, label } => {
            let of = match of {
                Named::Node => "do nó",
                Named::Network => "da rede",
            };
            format!("Não tem volta em {label}. Digite o nome {of} ({name}):")
        }
        Say::Before => "Antes:".to_owned(),
        Say::After => "Depois:".to_owned(),
        Say::DigestsEqual { nodes, index } => format!("{nodes} nós iguais no índice {index}."),
        Say::DigestsNotCompared { nodes } => {
            format!("Nenhum índice comum a todos os que respondem ({nodes} responderam) → plantao digest --wait 60")
        }
        Say::QuorumThere { answering, voters } => format!("Há quórum: {answering} de {voters} votantes respondem."),
        Say::QuorumLost { answering, voters, latest } => format!(
            "Sem quórum: {answering} de {voters} votantes respondem; {latest} tem o registro mais recente → tente ligar outro \
             votante; se não voltam mais: plantao quorum recover, ou, com o nó parado, plantaod quorum show"
        ),
        Say::DigestMissing { node, why } => format!("■ {node}: não responde ({why})"),
        Say::TrailWhole { entries } => format!("A trilha está íntegra: {entries} entradas."),
        Say::TokenOnce => "Mostrado uma só vez. Leve ao novo nó por um caminho seguro: plantaod join".to_owned(),
        Say::ContextAdded { name } => format!("Contexto {name} salvo → plantao status -c {name}"),
        Say::ContextUsed { name } => format!("Contexto {name} é o atual."),
        Say::ContextRemoved { name } => format!("Contexto {name} removido; certificados e chaves ficam."),
        Say::NotDue { due } => format!("Não é preciso antes de {due} → acrescente --now para renovar assim mesmo"),
        Say::Certificates(said) => said.told(super::Lang::PtBr),
        Say::RootMade { directory } => {
            format!("A autoridade está em {directory}. A chave dela assina tudo: guarde fora dos nós, com cópia.")
        }
        Say::NothingChanged => "Nada mudou: tudo já estava lá.".to_owned(),
        Say::ImportDone { issues: 0 } => "Importação concluída.".to_owned(),
        Say::ImportDone { issues } => {
            format!("Importação concluída; {issues} linhas não foram aceitas → -o json lista todas")
        }
        Say::ImportStopped { why } => {
            format!("Importação parou: {why} → plantao status e repita: o que já está lá fica como está")
        }
        Say::Issue { place, code: Some(code), why, help } => format!("▲ {place}: {why} (PLT-{code:04}) → {help}"),
        Say::Issue { place, code: None, why, help } => format!("▲ {place}: {why} → {help}"),
        Say::ReadBack { endpoint, records } => {
            format!("{endpoint}: {records} documentos relidos byte a byte, todos iguais.")
        }
        Say::Watching { from } => format!("Acompanhando desde o índice {from}; Ctrl-C encerra."),
        Say::MorePatients => "Há mais: refine a busca.".to_owned(),
        Say::ReportWritten { file, signed: true } => {
            format!(
                "Relatório: {file}, assinatura: {file}.sig → openssl pkeyutl -verify -pubin -rawin -inkey CHAVE.pub -in {file} -sigfile {file}.sig"
            )
        }
        Say::ReportWritten { file, signed: false } => format!("Relatório: {file}"),
        Say::ProofObjects { images: true, objects: 0, .. } => "Imagens: nenhuma.".to_owned(),
        Say::ProofObjects { images, objects, copies, media, off_site, short } => {
            let kind = if *images { "Imagens" } else { "Agenda, registros, auditoria (linhas)" };
            let short = if *short == 0 { String::new() } else { format!("; {short} sem cópias suficientes") };
            format!("{kind}: {objects}; cada uma com ao menos {copies} cópias, {media} mídias, {off_site} fora{short}.")
        }
        Say::ProofFinding { kind, node, image, count } => {
            let times = if *count > 1 { format!(" ×{count}") } else { String::new() };
            let image = image.as_ref().map(|image| format!(" (imagem {image})")).unwrap_or_default();
            match kind {
                FindingKind::Lost => {
                    format!(
                        "■ {node}: uma cópia sumiu{times}{image} → o reparo é automático; veja de novo em um minuto"
                    )
                }
                FindingKind::Awaited => {
                    format!("▲ {node}: uma cópia está a caminho{times}{image} → plantao status mostra a fila")
                }
                FindingKind::Refuted => {
                    format!(
                        "■ {node}: não provou ter um bloco que declara{times}{image} → veja o disco; suas cópias não contam"
                    )
                }
                FindingKind::Overdue => format!("▲ {node}: verificação atrasada → aumente chunks.scrub_rate nesse nó"),
                FindingKind::Silent => format!("■ {node}: não responde → veja esse computador e o link"),
                FindingKind::NoStore => format!("■ {node}: sem diretório de imagens que conte → veja o log e o disco"),
                FindingKind::State | FindingKind::Unspecified => {
                    format!("■ {node}: os dados não puderam ser comparados, ou diferem → plantao digest")
                }
            }
        }
        Say::MoreFindings { count } => format!("… e mais {count} → -o json"),
        Say::SeeStatus => "veja a rede: plantao status".to_owned(),
        Say::NotSet { setting } => format!("falta {setting}"),
        Say::AddFlag { flag } => format!("acrescente {flag}"),
        Say::HowToCheck { request_id, over: true, .. } => {
            format!("já não pode ser aplicado: leia o objeto para saber se foi (pedido {request_id})")
        }
        Say::HowToCheck { request_id, not_after, over: false } => {
            format!("repita com --request-id {request_id} --not-after {not_after}: será feito no máximo uma vez")
        }
        Say::HeldBy { holder } => format!("ocupado pelo agendamento {holder}"),
        Say::ImagesPut { images, unchanged, rate } => {
            let rate = *rate as f64 / 1e6;
            format!("{images} guardadas, {unchanged} já estavam lá; {rate:.1} MB/s").replace('.', ",")
        }
        Say::ImagesReadBack { endpoint, images } => {
            format!("{endpoint}: {images} imagens relidas, todas com o SHA-256 do arquivo.")
        }
        Say::NoImage { path } => format!("▲ {path}: não é imagem, ficou de fora → nomeie o arquivo para saber por quê"),
        Say::OffSiteAwaited { waited_ms, late: true } => {
            format!("cópia externa ATRASADA: falta há {}", super::span(*waited_ms))
        }
        Say::OffSiteAwaited { waited_ms, late: false } => {
            format!("aguarda cópia externa há {}", super::span(*waited_ms))
        }
        Say::ImageWhole => "A imagem está íntegra: o SHA-256 é o de quem a enviou.".to_owned(),
        Say::ImageNotWhole => {
            "■ A imagem NÃO está íntegra neste nó → plantao image verify em outro: --endpoint".to_owned()
        }
        Say::Members(say) => say.say(super::Lang::PtBr),
        Say::Upgrade(say) => say.say(super::Lang::PtBr),
        Say::Quorum(say) => say.say(super::Lang::PtBr),
    }
}
