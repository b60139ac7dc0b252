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
    // Why.
    Clock,
    Drained,
    Failback,
    Failover,
    HandedOver,
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
    /// What the last planned changes took.
    Expected { count: usize, median_ms: u64 },
    /// Nothing was measured yet.
    NothingMeasured,
    /// The new leader, and for how long nothing was written.
    Gap { from: String, to: String, term: u64, gap_ms: u64 },
    /// It leads already.
    LeadsAlready { node: String },
    /// What takes it back.
    Undo,
}

impl LeadSay {
    /// In a language.
    pub(super) fn text(&self, lang: Lang) -> String {
        let pt_br = lang == Lang::PtBr;
        match self {
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
        }
    }
}
