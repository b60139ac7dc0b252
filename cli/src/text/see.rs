//! What `health`, `doctor`, `events` and `status` say, in both languages.

use super::{Lang, faults};
use plantao_proto::admin::v1::{Event, EventKind, NodeRole};

/// Titles and states of these commands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum SeeWord {
    Bad,
    Check,
    Clock,
    Healthy,
    Images,
    Links,
    Look,
    Result,
    Rpo,
    Seen,
    Situation,
    Subject,
    Took,
    Unknown,
    Works,
}

/// Sentences of these commands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum See {
    /// `doctor` begins.
    Asking { nodes: usize },
    /// `doctor` ends.
    Looked { fine: usize, attention: usize, bad: usize, unknown: usize },
    /// What to do about one finding.
    Now { id: String, node: String, help: String },
    /// Whose view `status` shows without a leader, and how old it is.
    ViewOf { node: String, heard_ms: Option<u64> },
    /// What a node would lose if it alone survived.
    Exposed { node: String, seconds: u64 },
    /// A clock that is off.
    ClockOff { node: String, offset_ms: i64 },
    /// `events -f` begins.
    Following { nodes: usize },
    /// A node whose events were followed does not answer.
    Lost { address: String, why: String },
    /// The keys of `top`, on one line.
    Keys,
    /// What `top` shows.
    TopHelp,
}

/// The word.
pub(super) const fn word(lang: Lang, word: SeeWord) -> &'static str {
    let (pt_br, en) = match word {
        SeeWord::Bad => ("FALHA", "BAD"),
        SeeWord::Check => ("verif.", "check"),
        SeeWord::Clock => ("relógio", "clock"),
        SeeWord::Healthy => ("saudável", "healthy"),
        SeeWord::Images => ("imagens", "images"),
        SeeWord::Links => ("enlaces", "links"),
        SeeWord::Look => ("atenção", "attention"),
        SeeWord::Result => ("resultado", "result"),
        SeeWord::Rpo => ("rpo obs.", "rpo seen"),
        SeeWord::Seen => ("visto", "seen"),
        SeeWord::Situation => ("situação", "situation"),
        SeeWord::Subject => ("assunto", "subject"),
        SeeWord::Took => ("tempo", "took"),
        SeeWord::Unknown => ("não se sabe", "unknown"),
        SeeWord::Works => ("em ordem", "fine"),
    };
    match lang {
        Lang::PtBr => pt_br,
        Lang::En => en,
    }
}

/// The sentence.
pub(super) fn say(lang: Lang, see: &See) -> String {
    let pt = lang == Lang::PtBr;
    match see {
        See::Asking { nodes } if pt => format!("Examinando {nodes} nós…"),
        See::Asking { nodes } => format!("Looking at {nodes} nodes…"),
        See::Looked { fine, attention, bad, unknown } if pt => {
            format!("{fine} em ordem · {attention} atenção · {bad} falhas · {unknown} não se sabe")
        }
        See::Looked { fine, attention, bad, unknown } => {
            format!("{fine} fine · {attention} attention · {bad} bad · {unknown} unknown")
        }
        See::Now { id, node, help } if node.is_empty() => format!("{id} → {help}"),
        See::Now { id, node, help } => format!("{id} {node} → {help}"),
        See::ViewOf { node, heard_ms: Some(ms) } if pt => {
            format!("Visão de {node}, que ouviu um líder há {}", super::span(*ms))
        }
        See::ViewOf { node, heard_ms: Some(ms) } => {
            format!("As {node} sees it, which heard a leader {} ago", super::span(*ms))
        }
        See::ViewOf { node, heard_ms: None } if pt => format!("Visão de {node}, que não ouviu um líder desde o início"),
        See::ViewOf { node, heard_ms: None } => format!("As {node} sees it, which has heard no leader since its start"),
        See::Exposed { node, seconds } if pt => {
            format!("▲ {node}: se só ele restasse, perderiam-se {seconds} s de registros → plantao status -W")
        }
        See::Exposed { node, seconds } => {
            format!("▲ {node}: if it alone were left, {seconds} s of entries would be lost → plantao status -W")
        }
        See::ClockOff { node, offset_ms } if pt => {
            format!("▲ {node}: relógio {offset_ms:+} ms → confira o serviço de hora dos dois: plantao doctor")
        }
        See::ClockOff { node, offset_ms } => {
            format!("▲ {node}: clock {offset_ms:+} ms → look at the time service of both: plantao doctor")
        }
        See::Following { nodes } if pt => format!("Acompanhando {nodes} nós; Ctrl-C encerra."),
        See::Following { nodes } => format!("Following {nodes} nodes; Ctrl-C ends."),
        See::Lost { address, why } if pt => format!("■ {address}: não responde ({why}); tentando de novo"),
        See::Lost { address, why } => format!("■ {address}: does not answer ({why}); trying again"),
        See::Keys if pt => "q sai · / filtra por nome · ? ajuda".to_owned(),
        See::Keys => "q ends · / filters by name · ? help".to_owned(),
        See::TopHelp if pt => TOP_HELP_PT_BR.to_owned(),
        See::TopHelp => TOP_HELP_EN.to_owned(),
    }
}

const TOP_HELP_PT_BR: &str = "\
A rede, a cada 2 segundos. Nada aqui a muda.

nós         como em plantao status
atraso      entradas que faltam ao nó, nos últimos 2 minutos
operações/s pedidos de programas que o nó atendeu
enlaces     ■ um lado não alcança o outro
situação    o que está errado primeiro, com o próximo comando

/ filtra por nome · Enter termina · Esc apaga o filtro
q, Esc ou Ctrl-C sai";

const TOP_HELP_EN: &str = "\
The network, every 2 seconds. Nothing here changes it.

nodes        as in plantao status
lag          entries that the node lacks, over the last 2 minutes
operations/s requests of programs that the node answered
links        ■ one end does not reach the other
situation    what is wrong first, each with the next command

/ filters by name · Enter ends · Esc clears the filter
q, Esc or Ctrl-C ends";

/// One event as a sentence; `None`: a kind of a newer node.
pub(crate) fn event(lang: Lang, event: &Event) -> Option<String> {
    let pt = lang == Lang::PtBr;
    let (node, other) = (&event.node_name, &event.other_node_name);
    let role = match (event.role(), pt) {
        (NodeRole::Learner, true) => "aprendiz",
        (NodeRole::Learner, false) => "learner",
        (_, true) => "votante",
        (_, false) => "voter",
    };
    let warning = || faults::what(lang, event.code, &event.message);
    let from = |word: &str| if other.is_empty() { String::new() } else { format!(" ({word} {other})") };
    let text = match (event.kind(), pt) {
        (EventKind::Unspecified, _) => return None,
        (EventKind::Started, true) => format!("● {node} iniciou"),
        (EventKind::Started, false) => format!("● {node} started"),
        (EventKind::LeaderChanged, true) => format!("● {node} é líder{}, termo {}", from("antes:"), event.term),
        (EventKind::LeaderChanged, false) => format!("● {node} leads{}, term {}", from("before:"), event.term),
        (EventKind::LeaderLost, true) => format!("■ sem líder{}", from("antes:")),
        (EventKind::LeaderLost, false) => format!("■ no leader{}", from("before:")),
        (EventKind::MemberJoined, true) => format!("● {node} entrou na rede, {role}"),
        (EventKind::MemberJoined, false) => format!("● {node} joined the network, {role}"),
        (EventKind::MemberLeft, true) => format!("▲ {node} saiu da rede"),
        (EventKind::MemberLeft, false) => format!("▲ {node} left the network"),
        (EventKind::MemberRole, true) => format!("● {node} agora é {role}"),
        (EventKind::MemberRole, false) => format!("● {node} is a {role} now"),
        (EventKind::NodeSilent, true) => format!("■ {node} não responde"),
        (EventKind::NodeSilent, false) => format!("■ {node} does not answer"),
        (EventKind::NodeBack, true) => format!("● {node} voltou a responder"),
        (EventKind::NodeBack, false) => format!("● {node} answers again"),
        (EventKind::LinkCut, true) => format!("■ enlace {node} → {other} cortado"),
        (EventKind::LinkCut, false) => format!("■ link {node} → {other} is cut"),
        (EventKind::LinkMended, true) => format!("● enlace {node} → {other} refeito"),
        (EventKind::LinkMended, false) => format!("● link {node} → {other} works again"),
        (EventKind::WarningRaised, true) => format!("▲ aviso PLT-{:04}: {}", event.code, warning()),
        (EventKind::WarningRaised, false) => format!("▲ warning PLT-{:04}: {}", event.code, warning()),
        (EventKind::WarningCleared, true) => format!("● fim do aviso PLT-{:04}: {}", event.code, warning()),
        (EventKind::WarningCleared, false) => format!("● warning over PLT-{:04}: {}", event.code, warning()),
        (EventKind::CertificateReloaded, true) => format!("● {node} passou a usar o novo certificado"),
        (EventKind::CertificateReloaded, false) => format!("● {node} uses its new certificate"),
        (EventKind::Sealed, true) => format!("■ {node} está lacrado"),
        (EventKind::Sealed, false) => format!("■ {node} is sealed"),
        (EventKind::Unsealed, true) => format!("● {node} abriu a chave raiz"),
        (EventKind::Unsealed, false) => format!("● {node} is unsealed"),
        (EventKind::CopiesBad, true) => format!("▲ {node} achou {} cópias ruins de imagens", event.count),
        (EventKind::CopiesBad, false) => format!("▲ {node} found {} bad copies of images", event.count),
    };
    Some(text)
}

/// The name of an event in documents.
pub(crate) const fn event_key(kind: EventKind) -> &'static str {
    match kind {
        EventKind::Unspecified => "unknown",
        EventKind::Started => "started",
        EventKind::LeaderChanged => "leader_changed",
        EventKind::LeaderLost => "leader_lost",
        EventKind::MemberJoined => "member_joined",
        EventKind::MemberLeft => "member_left",
        EventKind::MemberRole => "member_role",
        EventKind::NodeSilent => "node_silent",
        EventKind::NodeBack => "node_back",
        EventKind::LinkCut => "link_cut",
        EventKind::LinkMended => "link_mended",
        EventKind::WarningRaised => "warning_raised",
        EventKind::WarningCleared => "warning_cleared",
        EventKind::CertificateReloaded => "certificate_reloaded",
        EventKind::Sealed => "sealed",
        EventKind::Unsealed => "unsealed",
        EventKind::CopiesBad => "copies_bad",
    }
}

/// Portuguese of the help texts of these commands, by their English.
pub(super) static HELP: &[(&str, &str)] = &[
    ("Find the usual faults of a network, and what to do", "Acha as falhas usuais de uma rede, e o que fazer"),
    ("Also show what is fine", "Mostra também o que está em ordem"),
    ("Ask each node whether it does its work", "Pergunta a cada nó se ele trabalha"),
    ("Print the address of a node, for scripts", "Imprime o endereço de um nó, para scripts"),
    ("The leader, or one that reads go to", "O líder, ou um para leituras"),
    ("Which listener's address", "O endereço de qual porta"),
    ("Takes writes without a way round", "Recebe escritas sem desvio"),
    ("Serves content, and does not lead where another can", "Serve conteúdo, e não lidera se houver outro"),
    ("For programs", "Para programas"),
    ("For operators", "Para operadores"),
    ("Show what happened on the nodes", "Mostra o que aconteceu nos nós"),
    ("Go on as it happens", "Continua conforme acontece"),
    ("Watch the network on one screen", "Acompanha a rede em uma tela"),
    ("End after this many events", "Encerra depois de tantos eventos"),
];
