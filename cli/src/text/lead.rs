//! What is said about the lead, in both languages.

use super::Lang;
use plantao_proto::admin::v1::{LeadCause, LeadKind};

/// Titles and cells.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum LeadWord {
    Cause,
    Detection,
    Loss,
    Path,
    WriteGap,
    // How a leader came to lead.
    Automatic,
    Drill,
    Forced,
    Planned,
    Recovery,
    // Why.
    Clock,
    Drained,
    Failback,
    Failover,
    HandedOver,
    MajorityLost,
    Preferred,
    Scheduled,
    Silence,
    Started,
    Switchover,
}

impl LeadWord {
    /// In a language.
    pub(super) const fn text(self, lang: Lang) -> &'static str {
        let (pt_br, en) = match self {
            Self::Cause => ("causa", "cause"),
            Self::Detection => ("detecção", "detection"),
            Self::Loss => ("perda", "loss"),
            Self::Path => ("de → para", "from → to"),
            Self::WriteGap => ("sem escrita", "write gap"),
            Self::Automatic => ("automática", "automatic"),
            Self::Drill => ("ensaio", "drill"),
            Self::Forced => ("forçada", "forced"),
            Self::Planned => ("planejada", "planned"),
            Self::Recovery => ("recuperação", "recovery"),
            Self::MajorityLost => ("maioria perdida", "majority lost"),
            Self::Clock => ("relógio", "clock"),
            Self::Drained => ("nó drenado", "node drained"),
            Self::Failback => ("failback", "failback"),
            Self::Failover => ("failover", "failover"),
            Self::HandedOver => ("líder passou a liderança", "leader handed over"),
            Self::Preferred => ("nó preferido", "preferred node"),
            Self::Scheduled => ("agendada", "scheduled"),
            Self::Silence => ("sem batimento", "no heartbeat"),
            Self::Started => ("nós ligaram", "nodes started"),
            Self::Switchover => ("switchover", "switchover"),
        };
        match lang {
            Lang::PtBr => pt_br,
            Lang::En => en,
        }
    }

    /// How a leader came to lead.
    pub(crate) const fn kind(kind: LeadKind) -> Option<Self> {
        Some(match kind {
            LeadKind::Unspecified => return None,
            LeadKind::Planned => Self::Planned,
            LeadKind::Automatic => Self::Automatic,
            LeadKind::Drill => Self::Drill,
            LeadKind::Forced => Self::Forced,
        })
    }

    /// Why.
    pub(crate) const fn cause(cause: LeadCause) -> Option<Self> {
        Some(match cause {
            LeadCause::Unspecified => return None,
            LeadCause::Silence => Self::Silence,
            LeadCause::Start => Self::Started,
            LeadCause::HandedOver => Self::HandedOver,
            LeadCause::Switchover => Self::Switchover,
            LeadCause::Scheduled => Self::Scheduled,
            LeadCause::Failback => Self::Failback,
            LeadCause::Preferred => Self::Preferred,
            LeadCause::Drain => Self::Drained,
            LeadCause::Clock => Self::Clock,
            LeadCause::Failover => Self::Failover,
        })
    }
}

/// Sentences.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum LeadSay {
    /// What a recovery of the quorum may have lost.
    LostAfter {
        index: u64,
        at: Option<String>,
    },
    /// What the last planned changes took.
    Expected {
        count: usize,
        median_ms: u64,
    },
    /// Nothing was measured yet.
    NothingMeasured,
    /// The new leader, and for how long nothing was written.
    Gap {
        from: String,
        to: String,
        term: u64,
        gap_ms: u64,
    },
    /// It leads already.
    LeadsAlready {
        node: String,
    },
    /// What takes it back.
    Undo,
    /// What a failover will do.
    FailoverPlan {
        from: Option<String>,
        to: String,
    },
    /// What it did.
    Leads {
        node: String,
        term: u64,
        elected: bool,
    },
    // What is to be so, or is.
    Drained {
        node: String,
    },
    Undrained {
        node: String,
    },
    Preferred {
        node: Option<String>,
    },
    Paused {
        until: String,
    },
    Resumed,
    Maintained {
        until: String,
    },
    MaintenanceOver,
    Scheduled {
        to: String,
        at: String,
    },
    ScheduleMissed {
        to: String,
        at: String,
    },
    ScheduleCancelled,
}

impl LeadSay {
    /// In a language.
    pub(super) fn text(&self, lang: Lang) -> String {
        let pt_br = lang == Lang::PtBr;
        match self {
            Self::LostAfter { index, at: Some(at) } if pt_br => format!("após {at}, índice {index}"),
            Self::LostAfter { index, at: Some(at) } => format!("after {at}, index {index}"),
            Self::LostAfter { index, at: None } if pt_br => format!("após o índice {index}"),
            Self::LostAfter { index, at: None } => format!("after index {index}"),
            Self::Expected { count, median_ms } if pt_br => {
                format!("Interrupção prevista de escrita: {median_ms} ms (mediana das últimas planejadas: {count})")
            }
            Self::Expected { count, median_ms } => {
                format!("Expected interruption of writes: {median_ms} ms (median of the last planned ones: {count})")
            }
            Self::NothingMeasured if pt_br => "Interrupção prevista de escrita: ainda sem medida nesta rede".to_owned(),
            Self::NothingMeasured => "Expected interruption of writes: not measured in this network yet".to_owned(),
            Self::Gap { from, to, term, gap_ms } if pt_br => {
                format!("{from} → {to} (termo {term}) · {gap_ms} ms sem escrita")
            }
            Self::Gap { from, to, term, gap_ms } => {
                format!("{from} → {to} (term {term}) · {gap_ms} ms without writes")
            }
            Self::LeadsAlready { node } if pt_br => format!("{node} já lidera; nada mudou"),
            Self::LeadsAlready { node } => format!("{node} leads already; nothing changed"),
            Self::Undo if pt_br => "Desfazer: plantao failback, ou plantao switchover de volta".to_owned(),
            Self::Undo => "Undo: plantao failback, or plantao switchover back".to_owned(),
            Self::FailoverPlan { from: Some(from), to } if pt_br => {
                format!("Plano: {from} → {to}; se {from} não passar a liderança, {to} se candidata e a maioria decide")
            }
            Self::FailoverPlan { from: Some(from), to } => {
                format!("Plan: {from} → {to}; if {from} does not hand over, {to} stands for election")
            }
            Self::FailoverPlan { from: None, to } if pt_br => {
                format!("Plano: sem líder agora; {to} se candidata e a maioria decide")
            }
            Self::FailoverPlan { from: None, to } => format!("Plan: no leader now; {to} stands for election"),
            Self::Leads { node, term, elected: true } if pt_br => format!("{node} foi eleito líder (termo {term})"),
            Self::Leads { node, term, elected: true } => format!("{node} was elected leader (term {term})"),
            Self::Leads { node, term, elected: false } if pt_br => format!("{node} recebeu a liderança (termo {term})"),
            Self::Leads { node, term, elected: false } => format!("{node} was handed the lead (term {term})"),
            Self::Drained { node } if pt_br => {
                format!("{node}: drenado, não lidera e pede aos programas que usem outro nó; os dados ficam")
            }
            Self::Drained { node } => {
                format!("{node}: drained, does not lead and sends programs elsewhere; its data stays")
            }
            Self::Undrained { node } if pt_br => format!("{node}: pode liderar e atender de novo"),
            Self::Undrained { node } => format!("{node}: may lead and serve again"),
            Self::Preferred { node: Some(node) } if pt_br => {
                format!("A liderança pertence a {node}; vai para lá quando ele estiver em dia por 10 s")
            }
            Self::Preferred { node: Some(node) } => {
                format!("The lead belongs on {node}; it goes there when that node has been up to date for 10 s")
            }
            Self::Preferred { node: None } if pt_br => "A liderança fica em qualquer nó com a chave raiz".to_owned(),
            Self::Preferred { node: None } => "The lead stays on any node with the root key".to_owned(),
            Self::Paused { until } if pt_br => {
                format!("PAUSADO até {until}: se o líder cair, nenhum nó o substitui sozinho → plantao resume")
            }
            Self::Paused { until } => {
                format!("PAUSED until {until}: no node replaces a dead leader by itself → plantao resume")
            }
            Self::Resumed if pt_br => "Os líderes mudam sozinhos de novo".to_owned(),
            Self::Resumed => "Leaders change by themselves again".to_owned(),
            Self::Maintained { until } if pt_br => {
                format!("MANUTENÇÃO até {until}: nada se faz sozinho que possa esperar → plantao maintenance stop")
            }
            Self::Maintained { until } => {
                format!("MAINTENANCE until {until}: nothing that can wait is done by itself → plantao maintenance stop")
            }
            Self::MaintenanceOver if pt_br => "A manutenção terminou".to_owned(),
            Self::MaintenanceOver => "The maintenance is over".to_owned(),
            Self::Scheduled { to, at } if pt_br => format!("Troca de líder agendada: {to}, {at}"),
            Self::Scheduled { to, at } => format!("Switchover scheduled: {to}, {at}"),
            Self::ScheduleMissed { to, at } if pt_br => {
                format!("▲ A troca de líder agendada não aconteceu: {to}, {at} → plantao switchover cancel")
            }
            Self::ScheduleMissed { to, at } => {
                format!("▲ The scheduled switchover did not happen: {to}, {at} → plantao switchover cancel")
            }
            Self::ScheduleCancelled if pt_br => "Nenhuma troca de líder agendada".to_owned(),
            Self::ScheduleCancelled => "No switchover is scheduled".to_owned(),
        }
    }
}
